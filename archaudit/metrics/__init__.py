"""The numbers of a profile.

`catalog` is the table of metrics, `param_counts` counts particular parameters, `quantities` formats numbers.
"""
