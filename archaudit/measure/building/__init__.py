"""From a recipe to a model and its inputs: with or without values, copied or built, and what its constructor did to its parameters."""

from archaudit.measure.building.build_modes import build_copied, build_deferred, build_fake, build_on_meta, build_real
from archaudit.measure.building.inputs import describe_inputs, make_inputs
from archaudit.measure.building.missing_device import Built, asks_for_device, build_elsewhere

__all__ = [
    "Built",
    "asks_for_device",
    "build_copied",
    "build_deferred",
    "build_elsewhere",
    "build_fake",
    "build_on_meta",
    "build_real",
    "describe_inputs",
    "make_inputs",
]
