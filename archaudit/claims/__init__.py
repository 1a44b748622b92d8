"""Numbers in a document: found, bound to what they are about, drafted, and put right.

Nothing here judges: a claim is a `Check` like any other, and the judge has the word. `markdown` finds the runs, `numbers` the figures in
them, `binding` the comments beside them, `coverage` which figure belongs to which claim, `drafting` proposes, `fixing` rewrites.
"""
