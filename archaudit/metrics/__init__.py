"""What can be asked of a profile.

`catalog` is the table of metrics, `param_counts` counts particular parameters, `quantities` reads and writes numbers with units.
"""
