"""A segmentation model before and after its parameters were cut by 63 %: the change that archaudit was first built to audit.

`before` and `after` each define a `LightweightSegmentationModel`; `audit.toml` names its sections, budgets and claims.
"""
