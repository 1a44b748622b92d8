"""Numbers in a document: found, bound to claims, drafted, and corrected.

`markdown` reads the lines of a document, `exclusions` masks what states no number, and `numbers` finds the numbers. `binding` reads the
claims in comments and finds the numbers of each claim, `drafting` proposes claims, and `fixing` writes corrections. A claim is a `Check`
like a budget: `judge` judges it.
"""
