"""Models measured, timed and tried by workers, a process for each side."""
