"""What follows from a profile's module records, found once.

`modules` is the tree of modules, their inputs and their tensors by name; `layers` the family of a type and the sizes of a layer.
"""

from archaudit.index.layers import (
    Layer,
    compare_containers,
    compare_layers,
    compare_names,
    compare_words,
    find_family,
    read_layer,
    read_weight,
)
from archaudit.index.modules import ModuleIndex, TensorOwner, index_modules, is_below, join_name, parent_path

__all__ = [
    "Layer",
    "ModuleIndex",
    "TensorOwner",
    "compare_containers",
    "compare_layers",
    "compare_names",
    "compare_words",
    "find_family",
    "index_modules",
    "is_below",
    "join_name",
    "parent_path",
    "read_layer",
    "read_weight",
]
