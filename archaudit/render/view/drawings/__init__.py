"""The drawings: diagrams of the data flow, waterfalls and icicles."""
