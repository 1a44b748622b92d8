"""The module index, on a small tree with known answers; one module's name contains a dot."""

from __future__ import annotations

import gc

import msgspec
import pytest
from factories import make_module, make_profile, make_tensor

from archaudit.index import ModuleIndex, index_modules, is_below, join_name, parent_path
from archaudit.index import modules as index_room
from archaudit.schema import Call

PATHS = ("", "stem", "body", "body.0", "body.0.conv", "body.1.5", "head")
INPUTS = {"body": ("stem",), "head": ("body.1.5", "stem")}


@pytest.fixture
def index() -> ModuleIndex:
    records = [make_module() for _ in PATHS]
    calls = {path: (Call(order=0, inputs=(), outputs=(), inputs_from=sources),) * 2 for path, sources in INPUTS.items()}
    tensors = {"": (make_tensor("scale", (1,)),), "body.0.conv": (make_tensor("weight", (2, 2)),)}
    made = [
        make_module(record.own, calls=calls.get(path, ()), tensors=tensors.get(path, ()))
        for path, record in zip(PATHS, records, strict=True)
    ]
    return ModuleIndex([msgspec.structs.replace(record, path=path) for path, record in zip(PATHS, made, strict=True)])


def test_the_parent_is_the_nearest_module_above_even_where_a_name_contains_a_dot(index: ModuleIndex) -> None:
    assert index.parents == {
        "": None,
        "stem": "",
        "body": "",
        "body.0": "body",
        "body.0.conv": "body.0",
        "body.1.5": "body",  # there is no module body.1
        "head": "",
    }
    assert index.children["body"] == ("body.0", "body.1.5")
    assert index.children["head"] == ()
    assert (index.name("body.1.5"), index.name("head"), index.name("")) == ("1.5", "head", "")
    assert [path for path in PATHS if index.is_leaf(path)] == ["stem", "body.0.conv", "body.1.5", "head"]


def test_paths_that_are_not_modules_have_ancestors_too(index: ModuleIndex) -> None:
    assert list(index.walk_up("body.0.conv.weight")) == ["body.0.conv", "body.0", "body", ""]
    assert index.find_nearest("body.1.5.x.y") == "body.1.5"
    assert index.find_nearest("nobody") == ""
    assert index.find_parent("") is None


def test_the_chain_of_a_module_begins_at_the_root(index: ModuleIndex) -> None:
    assert index.list_chain("body.0.conv") == ("", "body", "body.0", "body.0.conv")
    assert index.list_chain("") == ("",)
    assert ModuleIndex([]).list_chain("a.b") == ("", "a.b")


def test_the_chain_of_a_module_deeper_than_the_recursion_limit() -> None:
    paths = [".".join(["x"] * depth) for depth in range(1, 1500)]
    index = ModuleIndex([msgspec.structs.replace(make_module(), path=path) for path in paths])
    assert index.list_chain(paths[-1]) == ("", *paths)


def test_a_subtree_lists_parents_first(index: ModuleIndex) -> None:
    assert [module.path for module in index.list_subtree("body")] == ["body", "body.0", "body.0.conv", "body.1.5"]
    assert [module.path for module in index.list_subtree("")] == list(PATHS)


def test_the_inputs_of_a_module_are_listed_once_over_all_its_calls(index: ModuleIndex) -> None:
    assert index.inputs["head"] == ("body.1.5", "stem")
    assert index.inputs["stem"] == ()


def test_tensors_have_the_keys_of_a_state_dict(index: ModuleIndex) -> None:
    assert {key: owner.module.path for key, owner in index.tensors.items()} == {"scale": "", "body.0.conv.weight": "body.0.conv"}
    assert index.get(None) is None
    assert index.get("nobody") is None
    assert "head" in index
    assert len(index) == 7


def test_a_profile_has_one_index_that_is_freed_with_it() -> None:
    profile = make_profile({"a": 1})
    index = index_modules(profile)
    assert index_modules(profile) is index
    assert index_modules(make_profile({"a": 1})) is not index  # an equal profile is another profile
    key = id(profile)
    del profile
    gc.collect()
    assert key not in index_room._indexes


def test_path_functions() -> None:
    assert (parent_path("a.b.c"), parent_path("a"), parent_path("")) == ("a.b", "", "")
    assert (join_name("", "weight"), join_name("a.b", "weight")) == ("weight", "a.b.weight")
    assert [is_below(path, "a.b") for path in ("a.b", "a.b.c", "a.bc", "a")] == [True, True, False, False]
    assert is_below("anything", "")
