"""What was measured of time, as rows: whole passes, layers, what bounds them, and the verdict."""
