"""What is drawn: data flows beside each other, waterfalls and icicles."""
