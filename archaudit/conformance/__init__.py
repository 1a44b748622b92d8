"""The battery: small models whose right answer is known by hand, and the counters that are run against it.

`case` holds the records, `models` the cases, `run` the loop, `purity` what a counter may leave changed (nothing), `rivals` the other
counters. Importing this package imports none of them, and no torch.
"""
