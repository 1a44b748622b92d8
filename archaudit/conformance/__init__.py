"""Conformance: small models whose right answer is worked out by hand, and counters that are run on them.

`case` holds the records, `models` the cases, `run` the loop and the judgement, `snapshots` what a counter leaves changed (it must be
nothing), `other_counters` the adapters to other counters. Importing this package imports neither torch nor any counter.
"""
