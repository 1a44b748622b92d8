"""Lookups in a profile's module records, each computed once.

`modules` has the module tree, the inputs of each module and the tensors by name; `layers` the family of a type and the sizes of a layer;
`forward_graph` the forward graph at a chosen level of detail; `programs` what each forward runs, `program_changes` and `program_texts` what
changed between two of them.
"""

from archaudit.index.forward_graph import GraphNode, build_graph, choose_opened, describe_kind, find_owner, find_repeats, list_readers
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
from archaudit.index.program_changes import Change, ProgramChanges, compare_programs
from archaudit.index.program_pairing import Names
from archaudit.index.program_texts import ChangeText, Texts, fold_numbered
from archaudit.index.programs import ProgramGraph, ProgramNode, Source, build_program_graph, has_programs, is_opened, read_programs

__all__ = [
    "Change",
    "ChangeText",
    "GraphNode",
    "Layer",
    "ModuleIndex",
    "Names",
    "ProgramChanges",
    "ProgramGraph",
    "ProgramNode",
    "Source",
    "TensorOwner",
    "Texts",
    "build_graph",
    "build_program_graph",
    "choose_opened",
    "compare_containers",
    "compare_layers",
    "compare_names",
    "compare_programs",
    "compare_words",
    "describe_kind",
    "find_family",
    "find_owner",
    "find_repeats",
    "fold_numbered",
    "has_programs",
    "index_modules",
    "is_below",
    "is_opened",
    "join_name",
    "list_readers",
    "parent_path",
    "read_layer",
    "read_programs",
    "read_weight",
]
