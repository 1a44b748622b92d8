"""Lookups in a profile's module records, each computed once.

`modules` has the module tree, the inputs of each module and the tensors by name; `layers` the family of a type and the sizes of a layer.
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
