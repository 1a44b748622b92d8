"""Files are imported as the interpreter would with the root of their repository on the path; where that fails, in other ways."""

from __future__ import annotations

import sys

import pytest

from archaudit.errors import LoadError
from archaudit.load.reference import NestedCall, parse_reference
from archaudit.load.sources import load_recipe

# the fixture forgets what a test imported, and torch cannot be imported a second time
pytest.importorskip("torch")
pytest.importorskip("archaudit.load.python_source")

NET = "from torch import nn\n\n\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(WIDTH, 2)\n"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """The number of inputs of the model in a file of a repository, and the recipe's assumptions."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)

    def run(path, **files):
        for name, text in files.items():
            file = (
                tmp_path
                / "repo"
                / f"{name.replace('__', '/') if not name.endswith('_init') else name[:-5].replace('__', '/') + '/__init__'}.py"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        recipe = load_recipe(parse_reference(f"{tmp_path}/repo/{path}"))
        return recipe.build().in_features, recipe.assumptions

    yield run
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_absolute_imports_start_at_the_root_of_the_repository(load):
    files = {"nets1__net": f"from nets1.sizes import WIDTH\n{NET}", "nets1__sizes": "WIDTH = 3"}
    assert load("nets1/net.py:Net", **files) == (3, ())


def test_relative_imports_work_in_a_package_without_init(load):
    width, notes = load("nets2/net.py:Net", nets2__net=f"from .sizes import WIDTH\n{NET}", nets2__sizes="WIDTH = 4")
    assert width == 4
    assert notes == (
        "net.py was imported as nets2.net from repo, because importing it alone: "
        "ImportError: attempted relative import with no known parent package",
    )


@pytest.mark.parametrize("line", ["import package_that_is_not_here", "raise ValueError('not today')"])
def test_a_package_that_does_not_import_does_not_stop_a_file_that_does(load, line):
    name = f"nets3{len(line)}"
    files = {f"{name}__net": f"from .sizes import WIDTH\n{NET}", f"{name}__sizes": "WIDTH = 5", f"{name}_init": line}
    width, notes = load(f"{name}/net.py:Net", **files)
    assert width == 5
    assert notes[0].startswith(f"net.py was imported without its package's __init__.py, because importing it as {name}.net from repo: ")


def test_a_failure_says_what_was_tried(load):
    with pytest.raises(LoadError) as failed:
        load("nets4/net.py:Net", nets4__net=f"from .gone import WIDTH\n{NET}")
    assert "attempted relative import" in failed.value.message
    assert "Tried to import it alone: " in failed.value.hint
    assert "; as nets4.net from repo: ModuleNotFoundError: No module named 'nets4.gone'" in failed.value.hint


def test_an_error_of_the_file_itself_is_not_tried_again(load):
    with pytest.raises(LoadError) as failed:
        load("nets5/net.py:Net", nets5__net="raise ValueError('broken')", nets5_init="")
    assert "ValueError: broken" in failed.value.message
    assert "Tried" not in (failed.value.hint or "")


CONFIGURED = """
from dataclasses import dataclass, field
from torch import nn


@dataclass
class Inner:
    width: int = 1


@dataclass
class Config:
    inner: Inner = field(default_factory=Inner)
    extra: int = 0


class Net(nn.Linear):
    def __init__(self, config):
        super().__init__(config.inner.width + config.extra, 2)
"""


def test_nested_calls_make_configuration_objects(load):
    width, _ = load("config1.py:Net(config=Config(inner=Inner(width=6), extra=1))", config1=CONFIGURED)
    assert width == 7
    assert load("config1.py:Net(config=Config(Inner(2)))", config1=CONFIGURED)[0] == 2


def test_a_nested_call_is_written_as_it_was_typed():
    text = "net.py:Net(config=Config(inner=[Inner(width=6)], extra=(1, -2)))"
    reference = parse_reference(text)
    assert reference.arguments["config"] == NestedCall(
        name="Config", arguments={"inner": [NestedCall(name="Inner", arguments={"width": 6})], "extra": (1, -2)}
    )
    assert reference.format() == text
    assert parse_reference(reference.format()).arguments == reference.arguments


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config2.py:Net(config=Confg())", "has no 'Confg'"),
        ("config2.py:Net(config=Config(depth=1))", "Config(depth=1) raised TypeError"),
        ("config2.py:Net(config=Config(x for x in y))", "the value of config is not a literal"),
        ("config2.py:Net(config=(lambda: 1)())", "the value of config is not a literal"),
    ],
)
def test_faults_in_nested_calls_are_explained(load, text, message):
    with pytest.raises(LoadError) as failed:
        load(text, config2=CONFIGURED)
    assert message in failed.value.message


def test_models_of_libraries_take_no_calls():
    with pytest.raises(LoadError, match="the value of weights is not a literal"):
        load_recipe(parse_reference("torchvision:resnet18(weights=Weights())"))


def test_a_package_of_the_repository_comes_before_an_installed_one_of_its_name(load, tmp_path):
    """The root of a checkout is at the end of the path, as that of a work tree may be: the harness of a revision must not build another."""
    (tmp_path / "installed" / "ownpkg").mkdir(parents=True)
    (tmp_path / "installed" / "ownpkg" / "__init__.py").write_text("WIDTH = 9")
    sys.path.insert(0, str(tmp_path / "installed"))
    sys.path.append(str(tmp_path / "repo"))
    assert load("audit.py:Net", ownpkg_init="WIDTH = 3", audit=f"from ownpkg import WIDTH\n{NET}") == (3, ())
