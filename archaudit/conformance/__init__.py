"""Conformance: small models whose right answer is known by hand, and the counters that are run against them.

`case` holds the records, `models` the cases, `run` the loop, `purity` what a counter may leave changed (nothing), `other_counters` the
adapters to other counters. Importing this package imports none of them, and no torch.
"""
