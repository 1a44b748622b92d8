"""What a user may have meant by a reference that leads to no model. Nothing of the user's code is run."""

from __future__ import annotations

import ast
import difflib
import functools
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# A configuration is this large at most; a saved profile with the same key would be larger.
_LARGEST_CONFIGURATION = 1 << 22
_MOST_NAMED = 4
# Of a folder with more Python files than this, the first ones are read.
_MOST_NEIGHBOURS = 100
# A registered function, and the name that it is registered under if that is another.
_WEIGHTS_CLASS = re.compile(r"^class (\w+)_Weights\(WeightsEnum\):\n((?:[ ].*\n|\n)+)", re.MULTILINE)
_WEIGHTS_ENTRY = re.compile(r"^    (\w+) = Weights\(\n((?:     .*\n)+)", re.MULTILINE)
_CROP_SIZE = re.compile(r"crop_size=\(?(\d+)")
_REGISTERED = re.compile(r"^@register_model(?:\((?:name=\"(\w+)\")?\))?\n(?:[@ )].*\n)*def (\w+)\(", re.MULTILINE)


def suggest_libraries(name: str) -> list[str]:
    """`torchvision:resnet50` for `resnet50`: the references to models of that name in installed libraries."""
    path = Path(name)
    if (found := suggest_configuration(path / "config.json")) is not None:
        return [found]
    for library in ("torchvision", "timm"):
        known = list_library(library)
        if name in known:
            return [f"{library}:{name}"]
    near = [
        f"{library}:{each}"
        for library in ("torchvision", "timm")
        for each in difflib.get_close_matches(name, list_library(library), n=2, cutoff=0.8)
    ]
    return near[:_MOST_NAMED]


@functools.cache
def list_library(library: str) -> list[str]:
    """The names of the models of timm or torchvision, read from its source, since importing it takes seconds; none without it."""
    spec = find_spec(library)
    folders = [Path(folder) / "models" for folder in (spec.submodule_search_locations or ())] if spec is not None else []
    names: set[str] = set()
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        names.update(given or name for given, name in _REGISTERED.findall(text))
    return sorted(names)


@functools.cache
def list_weights() -> dict[str, tuple[str, int | None]]:
    """The names of torchvision's weights, `ResNet50_Weights.IMAGENET1K_V2`, each with its model and the side of its input, if stated."""
    spec = find_spec("torchvision")
    folders = [Path(folder) / "models" for folder in (spec.submodule_search_locations or ())] if spec is not None else []
    models = set(list_library("torchvision"))
    found: dict[str, tuple[str, int | None]] = {}
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for name, body in _WEIGHTS_CLASS.findall(text):
            for entry, content in _WEIGHTS_ENTRY.findall(body):
                size = _CROP_SIZE.search(content)
                if name.lower() in models:
                    found[f"{name}_Weights.{entry}"] = (name.lower(), int(size[1]) if size else None)
    return found


def suggest_configuration(path: Path) -> str | None:
    """`transformers:dir/config.json` for the configuration of a library's model; None for any other file."""
    try:
        if path.stat().st_size > _LARGEST_CONFIGURATION:
            return None
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    if "_class_name" in content:
        return f"diffusers:{path}"
    return f"transformers:{path}" if "model_type" in content or "architectures" in content else None


def suggest_attributes(path: Path, wanted: str = "") -> list[str]:
    """`net.py:Net` for each class and function of a Python file that can be called without arguments and may make a model.

    Those most like `wanted` come first.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    names = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and _may_make_model(node)]
    names.sort(key=lambda name: -difflib.SequenceMatcher(None, name.lower(), wanted.lower()).ratio())
    return [f"{path}:{name}" for name in names]


def suggest_users(path: Path, name: str) -> list[str]:
    """`model.py:build_large` for each maker of a model in the folder of a Python file whose own file imports `name` from it."""
    found = []
    for neighbour in sorted(path.parent.glob("*.py"))[:_MOST_NEIGHBOURS]:
        try:
            tree = ast.parse(neighbour.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        if any((node.module or "").rpartition(".")[2] == path.stem and name in {each.name for each in node.names} for node in imported):
            found += [f"{neighbour.name}:{each.rpartition(':')[2]}" for each in suggest_attributes(neighbour, name)]
    return found


def _may_make_model(node: ast.FunctionDef | ast.ClassDef) -> bool:
    if isinstance(node, ast.FunctionDef):
        returned = "" if node.returns is None else ast.unparse(node.returns)
        return not node.name.startswith("_") and node.name != "example_inputs" and not _requires(node, 0) and returned not in _NO_MODELS
    makers = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    constructor = next((each for each in makers if each.name == "__init__"), None)
    return any(each.name == "forward" for each in makers) and (constructor is None or not _requires(constructor, 1))


# Return types of functions that make no model.
_NO_MODELS = frozenset({"None", "int", "float", "str", "bool", "bytes", "torch.Tensor", "Tensor"})


def _requires(function: ast.FunctionDef, bound: int) -> bool:
    """Whether a call needs arguments besides the first `bound` ones."""
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - bound - len(arguments.defaults)
    return positional > 0 or any(default is None for default in arguments.kw_defaults)
