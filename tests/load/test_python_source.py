"""Models from the user's files, and their faults."""

import os
import py_compile
import sys

import pytest
import torch
from torch import nn

from archaudit.errors import LoadError
from archaudit.load import load_recipe, parse_reference

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width, depth=1):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)])

    def forward(self, x):
        return self.layers(x)


def small(width=4):
    return Net(width)


ready = Net(2)
number = 7


class NoModel:
    pass


def example_inputs():
    return torch.zeros(1, 4)
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net_file.py"
    path.write_text(NET)
    return path


def load(text):
    return load_recipe(parse_reference(text))


def test_a_class_a_factory_and_an_instance(net):
    assert isinstance(load(f"{net}:Net(width=3, depth=2)").build(), nn.Module)
    assert len(load(f"{net}:Net(width=3, depth=2)").build().layers) == 2
    assert load(f"{net}:small").build().layers[0].in_features == 4
    ready = load(f"{net}:ready")
    assert ready.instance
    assert ready.build() is ready.build()


def test_the_example_inputs_of_the_file_are_used_and_an_assumption(net):
    recipe = load(f"{net}:small")
    assert recipe.example_inputs is not None
    assert recipe.example_inputs().shape == torch.Size([1, 4])
    assert recipe.assumptions == ("the input is what example_inputs() of net_file.py returns",)


@pytest.mark.parametrize(
    ("attribute", "message", "hint"),
    [
        ("Nett", "has no 'Nett'", "Did you mean Net"),
        ("number", "is not a model but of type int", "Net"),
        ("NoModel", "not an nn.Module", "Net"),
        ("Net", "requires arguments: width", "width=..."),
        ("Net(width=1, wdith=2)", "has no argument 'wdith'", "It takes: width, depth"),
        ("ready(a=1)", "takes no arguments", None),
    ],
)
def test_a_reference_to_another_object_lists_the_models(net, attribute, message, hint):
    with pytest.raises(LoadError) as caught:
        load(f"{net}:{attribute}")
    assert message in caught.value.message
    if hint:
        assert hint in (caught.value.hint or "")


def test_a_missing_file_suggests_the_most_similar_name(net):
    with pytest.raises(LoadError, match="there is no file") as caught:
        load(f"{net.parent}/net_fil.py:Net")
    assert "net_file.py" in (caught.value.hint or "")


def test_a_folder_is_reported(tmp_path):
    (tmp_path / "models.py").mkdir()
    with pytest.raises(LoadError, match=r"models\.py is a folder"):
        load(f"{tmp_path}/models.py:Net")


def test_a_file_that_does_not_import_shows_its_line(tmp_path):
    for name, text, expected in (
        ("raises", "x = 1\nraise KeyError('nope')\n", "raises.py:2"),
        ("syntax", "def broken(:\n", "syntax.py:1"),
        ("exits", "import sys\nsys.exit(3)\n", "SystemExit"),
        ("missing", "import no_such_module_anywhere\n", "no_such_module_anywhere"),
    ):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(LoadError, match="does not import") as caught:
            load(f"{tmp_path}/{name}.py:Net")
        assert expected in str(caught.value)


def test_two_files_with_the_same_name_are_two_models(tmp_path):
    for folder, width in (("one", 2), ("two", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text(f"from torch import nn\ndef make():\n    return nn.Linear({width}, 1)\n")
    widths = [load(f"{tmp_path}/{folder}/same_name.py:make").build().in_features for folder in ("one", "two")]
    assert widths == [2, 3]


def test_relative_imports_in_a_package_work(tmp_path):
    package = tmp_path / "own_package" / "models"
    package.mkdir(parents=True)
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("from torch import nn\nclass Part(nn.Linear):\n    pass\n")
    (package / "net.py").write_text("from .parts import Part\ndef make():\n    return Part(5, 1)\n")
    assert load(f"{package}/net.py:make").build().in_features == 5


def test_a_file_named_like_a_module_does_not_replace_it(tmp_path):
    (tmp_path / "random.py").write_text("from torch import nn\ndef make():\n    return nn.Linear(1, 1)\n")
    load(f"{tmp_path}/random.py:make").build()
    import random

    assert hasattr(random, "getstate")


def test_a_missing_module_is_reported():
    with pytest.raises(LoadError, match="no module 'no_such_package'"):
        load("no_such_package.models:Net")


def test_an_edit_of_the_same_size_in_the_same_second_is_seen(tmp_path):
    path = tmp_path / "edited_at_once.py"
    for width in (4, 5):
        path.write_text(f"from torch import nn\n\ndef build():\n    return nn.Linear({width}, 1)\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        if width == 4:  # bytecode of another program, with the time and size of the edited file
            py_compile.compile(str(path))
        assert load(f"{path}:build").build().in_features == width
        for name in ("edited_at_once", "archaudit_user_edited_at_once"):
            sys.modules.pop(name, None)


def test_no_bytecode_is_written_next_to_the_users_files(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "parts.py").write_text("from torch import nn\n\nclass Net(nn.Linear):\n    pass\n")
    (tmp_path / "pkg" / "whole.py").write_text("from .parts import Net\n")
    load(f"{tmp_path / 'pkg' / 'whole.py'}:Net(in_features=1, out_features=1)")
    assert not list(tmp_path.rglob("__pycache__"))
