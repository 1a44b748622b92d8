"""The module tree: order, unusual names, settings."""

import torch
from torch import nn

from archaudit.measure.module_tree import read_settings, walk_tree


def test_paths_and_order_are_those_of_named_modules():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.ModuleDict({"head": nn.Linear(2, 1)}))
    tree = walk_tree(model)
    assert list(tree.paths) == [path for path, _ in model.named_modules()]
    assert tree.parents == (-1, 0, 1, 1, 0, 4)


def test_a_module_with_two_names_is_listed_once_under_the_first():
    shared = nn.Linear(2, 2)
    model = nn.ModuleDict({"first": shared, "second": shared})
    assert walk_tree(model).paths == ("", "first")


def test_unusual_names_get_unique_paths():
    inner = nn.Module()
    inner.add_module("b", nn.Linear(1, 1))
    model = nn.Module()
    model.add_module("a", inner)
    for name in ("a.b", "", "|", "<script>", "line\nbreak", "ü"):
        model._modules[name] = nn.ReLU()
    paths = walk_tree(model).paths
    assert len(set(paths)) == len(paths) == 9
    assert paths[:4] == ("", "a", "a.b", "a.b#2")
    assert {"|", "<script>", "line\nbreak", "ü"} <= set(paths)


def test_a_deep_tree_is_walked_without_recursion():
    model: nn.Module = nn.Linear(1, 1)
    for _ in range(3000):
        model = nn.Sequential(model)
    assert walk_tree(model).depths[-1] == 3000


def test_settings_are_the_plain_public_attributes():
    settings = read_settings(nn.Conv2d(4, 8, 3, stride=2, bias=False))
    assert settings["kernel_size"] == [3, 3]
    assert settings["stride"] == [2, 2]
    assert settings["groups"] == 1
    assert settings["bias"] is False
    assert "training" not in settings
    assert read_settings(nn.Dropout(0.3)) == {"p": 0.3, "inplace": False}


def test_settings_name_functions_and_dtypes_and_leave_tensors_out():
    module = nn.Module()
    module.activation = torch.nn.functional.gelu
    module.dtype = torch.float16
    module.ratio = float("inf")
    module.table = torch.zeros(3)
    module.sizes = [1, (2, 3)]
    assert read_settings(module) == {"activation": "gelu", "dtype": "float16", "ratio": "inf", "sizes": [1, [2, 3]]}
