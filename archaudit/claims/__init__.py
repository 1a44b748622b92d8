"""Numbers in a document: found, bound to claims, drafted, and corrected.

`reading` finds the text and tables of each format, `exclusions` masks what states no number, and `numbers` finds the numbers. `columns`,
`names` and `named_figures` find which model and metric a figure is about. `binding` reads the claims in comments and finds the numbers of
each claim, `drafting` proposes claims, and `fixing` writes corrections. A claim is a `Check` like a budget: `judge` judges it.
"""
