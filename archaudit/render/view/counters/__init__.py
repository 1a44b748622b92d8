"""What torchinfo and fvcore count, and why it is not what archaudit counts."""
