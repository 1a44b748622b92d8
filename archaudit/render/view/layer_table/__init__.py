"""The layer table: its columns, its rows, what of it is folded, and the same as a tree."""
