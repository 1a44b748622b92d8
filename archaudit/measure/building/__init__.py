"""Builds a recipe's model and its inputs, with or without values, and records what the constructor did to the parameters."""

from archaudit.measure.building.build_modes import (
    Built,
    build_deferred,
    build_fake,
    build_on_meta,
    build_real,
    build_without_device,
    copy_inputs_to_meta,
    needs_missing_device,
)
from archaudit.measure.building.inputs import describe_inputs, make_inputs, set_batch

__all__ = [
    "Built",
    "build_deferred",
    "build_fake",
    "build_on_meta",
    "build_real",
    "build_without_device",
    "copy_inputs_to_meta",
    "describe_inputs",
    "make_inputs",
    "needs_missing_device",
    "set_batch",
]
