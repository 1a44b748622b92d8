"""What stands on the sides of a comparison: references resolved, ranges of revisions, and revisions checked out."""
