"""Profiles of libraries' models that are kept: found again by the next command, and never stale.

The library is a small package called timm, found first. Its model has one layer of 8 inputs and WIDTH outputs: 9 parameters for each.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from archaudit.pipeline import kept_profiles
from archaudit.pipeline.options import Options
from archaudit.pipeline.zoo import Model, Zoo
from archaudit.schema import Check

PACKAGE = """
    import os
    from types import SimpleNamespace

    from torch import nn

    from timm.sizes import read_width


    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layer = nn.Linear(8, width)

        def forward(self, x):
            return self.layer(x.mean((1, 2))[..., :8])


    def list_models():
        return ["net"]


    def get_pretrained_cfg(name):
        return SimpleNamespace(input_size=(3, 8, 8))


    def create_model(name, pretrained=False, img_size=8):
        return Net(read_width())
"""
SIZES = """
    import os
    from pathlib import Path


    def read_width():
        {body}
"""
CHECK = Check(id="net", origin="claim", model="timm:net", metric="params", comparison="equals", expected="36")

Measure = Callable[..., tuple[float | None, bool]]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the package. It is the first place where workers look for modules."""
    folder = tmp_path / "library" / "timm"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(textwrap.dedent(PACKAGE))
    write_width(folder, "return 4")
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    monkeypatch.syspath_prepend(folder.parent)  # where the command itself looks whether the library is installed
    monkeypatch.setenv("ARCHAUDIT_CACHE", str(tmp_path / "cache"))
    return folder


def write_width(library: Path, body: str) -> None:
    (library / "sizes.py").write_text(textwrap.dedent(SIZES).format(body=body))


def measure(options: Options | None = None, resolution: int | None = None) -> tuple[float | None, bool]:
    """What a new command finds, and whether it measured the model to find it."""
    started: list[int] = []
    chosen = Options() if options is None else options
    watched = Options(
        **{name: getattr(chosen, name) for name in ("dtype", "device", "formulas", "cached", "fresh")},
        on_progress=lambda done, total: started.append(done),
    )
    model = Model("timm:net", resolution)
    check = CHECK if resolution is None else Check(**{**_fields(CHECK), "model": model.name})
    (verdict,) = Zoo(watched).judge([model], [check])
    return verdict.actual, bool(started)


def _fields(check: Check) -> dict[str, object]:
    return {name: getattr(check, name) for name in ("id", "origin", "metric", "comparison", "expected")}


def test_a_second_command_finds_the_profile_kept(library: Path) -> None:
    assert measure() == (36, True)
    assert measure() == (36, False)


@pytest.mark.slow
def test_profiles_are_measured_again_on_request(library: Path) -> None:
    assert measure() == (36, True)
    assert measure(Options(fresh=True)) == (36, True)
    assert measure(Options(cached=False)) == (36, True)
    assert measure() == (36, False)


def test_an_edited_library_is_measured_again(library: Path) -> None:
    assert measure() == (36, True)
    write_width(library, "return 6")
    assert measure() == (54, True)
    write_width(library, "return 4")  # the first profile is right again
    assert measure() == (36, False)


@pytest.mark.slow
def test_a_file_that_the_library_reads_is_part_of_the_key(library: Path, tmp_path: Path) -> None:
    width = tmp_path / "width"
    write_width(library, f"return int(open({str(width)!r}).read()) if os.path.exists({str(width)!r}) else 4")
    assert measure() == (36, True)
    width.write_text("6")
    assert measure() == (54, True)
    width.write_text("8")
    assert measure() == (72, True)


@pytest.mark.slow
def test_an_environment_variable_that_the_library_reads_is_part_of_the_key(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_width(library, "return int(os.environ.get('WIDTH_OF_NET', 4))")
    assert measure() == (36, True)
    monkeypatch.setenv("WIDTH_OF_NET", "6")
    assert measure() == (54, True)


@pytest.mark.slow
def test_another_package_that_is_found_first_is_measured(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert measure() == (36, True)
    other = tmp_path / "other" / "timm"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text((library / "__init__.py").read_text())
    write_width(other, "return 6")
    monkeypatch.setenv("PYTHONPATH", f"{other.parent}:{library.parent}")
    assert measure() == (54, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body", ["import random; return random.choice([4, 4])", "import subprocess; return int(subprocess.check_output(['echo', '4']))"]
)
def test_a_model_whose_dependencies_are_not_all_known_is_measured_each_time(library: Path, body: str) -> None:
    write_width(library, body)
    first, second = measure(), measure()
    assert second[1]
    assert first[0] == second[0]


@pytest.mark.slow
def test_options_and_the_source_of_archaudit_are_part_of_the_key(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formulas = tmp_path / "formulas.py"
    formulas.write_text("import archaudit\n")
    assert measure() == (36, True)
    assert measure(resolution=16) == (36, True)
    assert measure(resolution=16) == (36, False)
    assert measure(Options(dtype="float16")) == (36, True)
    assert measure(Options(device="cuda")) == (36, True)
    assert measure(Options(formulas=(str(formulas),))) == (36, True)
    assert measure(Options(formulas=(str(formulas),))) == (36, False)
    formulas.write_text("import archaudit  # another one\n")
    assert measure(Options(formulas=(str(formulas),))) == (36, True)
    monkeypatch.setattr(kept_profiles, "digest_own_source", lambda: "edited")
    assert measure() == (36, True)


@pytest.mark.slow
def test_a_damaged_entry_is_measured_again(library: Path, tmp_path: Path) -> None:
    assert measure() == (36, True)
    for entry in (tmp_path / "cache").rglob("*.entry"):
        entry.write_bytes(entry.read_bytes()[:-8])
    assert measure() == (36, True)
