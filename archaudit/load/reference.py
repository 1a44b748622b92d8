"""References: what a user types for a model, parsed without running any code.

Arguments are Python literals, read with `ast` and never evaluated.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from archaudit.errors import LoadError
from archaudit.schema import Record

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kind = Literal["name", "saved", "file", "module", "library", "weights", "exported"]

# Libraries whose models have names: `torchvision:resnet50`.
LIBRARIES = ("torchvision", "timm", "transformers", "diffusers")
# Of these, whose models are described by a file of the user, which may be in a git revision.
FROM_FILES = ("transformers", "diffusers")

_FORMS = "A reference is a name from the config, file.py:Model, package.module:Model, torchvision:NAME or a saved profile.json; REF@REV."
# Kinds by the suffix of a file. Pickles are here so that they are refused with their own message.
_SUFFIXES: dict[str, Kind] = {
    ".safetensors": "weights", ".onnx": "weights", ".pt": "weights", ".pth": "weights", ".ckpt": "weights", ".bin": "weights",
    ".pkl": "weights", ".gguf": "weights", ".safetensors.index.json": "weights", ".pt2": "exported",
}  # fmt: skip
_INDEX_SUFFIX = ".safetensors.index.json"
_NAME = re.compile(r"^[^\W\d][\w.-]*$")
_ATTRIBUTE = re.compile(r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")


class NestedCall(Record, frozen=True, kw_only=True):
    """A value of an argument that the model's file makes: `GPTConfig(n_layer=2)`."""

    name: str
    positional: tuple[Any, ...] = ()
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        """As it is written."""
        written = [*map(repr, self.positional), *(f"{name}={value!r}" for name, value in self.arguments.items())]
        return f"{self.name}({', '.join(written)})"


class Reference(Record, frozen=True, kw_only=True):
    """A parsed reference. `text` is as typed, `target` the name, file, module or library, `attribute` the name of the model in it.

    `arguments` are keyword arguments for the class or factory; `base` is the text without them; `revision` is the git revision after @.
    """

    text: str
    kind: Kind
    target: str
    attribute: str = ""
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    revision: str = ""

    @property
    def base(self) -> str:
        """The reference without its arguments, by which budgets and claims name a model."""
        return self.target if self.kind in ("name", "saved", "weights", "exported") else f"{self.target}:{self.attribute}"

    def format(self) -> str:
        """The reference as text, with its current target and arguments."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.base}({arguments})" if arguments else self.base


def parse_reference(text: str) -> Reference:
    """The parsed reference. Raises LoadError, with the forms of references, for any other text."""
    text = text.strip()
    if not text:
        raise LoadError("the reference is empty", _FORMS)
    for place in [match.start() for match in re.finditer("@", text)]:  # the first one after a reference: paths can have @, too
        revised = _read_revised(text, text[:place], text[place + 1 :])
        if revised is not None:
            return revised
    return _parse_plain(text)


def _read_revised(text: str, head: str, tail: str) -> Reference | None:
    """`head@tail`, if tail can be a revision; arguments are after one of them. None if `head` is not a reference."""
    try:
        reference = _parse_plain(head)
    except LoadError:
        return None
    if reference.kind in ("weights", "exported"):
        raise LoadError(f"{text}: files of weights and exported programs cannot have a revision", "Only code and saved profiles can.")
    if reference.kind in ("name", "saved") and ":" in tail:
        return None  # pictures@large/net.py:Model is a file
    if reference.target in FROM_FILES and ".json" in tail:
        return None
    if reference.kind == "library" and reference.target not in FROM_FILES:
        raise LoadError(f"{text}: models of {reference.target} cannot have a revision", "They come with the installed library.")
    arguments = reference.arguments
    if not arguments and reference.kind != "saved" and tail.endswith(")") and "(" in tail:
        tail, arguments = _split_arguments(tail)
    if not tail:
        raise LoadError(f"{text}: the revision after @ is missing", "Write for example @main, @HEAD~3 or @v1.2.")
    return msgspec.structs.replace(reference, text=text, arguments=arguments, revision=tail)


def _parse_plain(text: str) -> Reference:
    head, arguments = _split_arguments(text)
    library, colon, rest = head.partition(":")
    if colon and library in LIBRARIES:
        return Reference(text=text, kind="library", target=library, attribute=rest, arguments=arguments)
    if head.endswith(".json") and ":" not in head.rpartition("/")[2] and not head.endswith(_INDEX_SUFFIX):
        if arguments:
            raise LoadError(f"{text}: a saved profile takes no arguments", _FORMS)
        return Reference(text=text, kind="saved", target=head)
    suffix = _INDEX_SUFFIX if head.endswith(_INDEX_SUFFIX) else head[head.rfind(".") :] if "." in head.rpartition("/")[2] else ""
    if suffix in _SUFFIXES:
        if arguments:
            raise LoadError(f"{text}: a file of weights or an exported program takes no arguments", _FORMS)
        return Reference(text=text, kind=_SUFFIXES[suffix], target=head)
    if colon and "/" not in library and "." not in library and find_plugin(library) is not None:
        return Reference(text=text, kind="library", target=library, attribute=rest, arguments=arguments)
    target, colon, attribute = head.rpartition(":")
    if not colon:
        if head.endswith(".py"):
            from archaudit.load.suggestions import suggest_attributes

            found = suggest_attributes(Path(head))
            hint = f"Did you mean {' or '.join(found[:3])}?" if found else f"Write {head}:Model, with the name of a class or factory."
            raise LoadError(f"{text} names a file but not the model in it", hint)
        if not _NAME.match(head):
            from archaudit.load.suggestions import suggest_configuration

            meant = suggest_configuration(Path(head) / "config.json")
            raise LoadError(f"{text!r} is not a reference", _FORMS if meant is None else f"Did you mean {meant}?")
        return Reference(text=text, kind="name", target=head, arguments=arguments)
    if not _ATTRIBUTE.match(attribute):
        raise LoadError(f"{text}: {attribute!r} is not the name of a class, factory or model", _FORMS)
    is_file = target.endswith(".py") or "/" in target or "\\" in target
    return Reference(text=text, kind="file" if is_file else "module", target=target, attribute=attribute, arguments=arguments)


@functools.cache
def find_plugin(name: str) -> EntryPoint | None:
    """The source of that name that another package registers as an entry point of `archaudit.sources`: a function like those of SOURCES."""
    from importlib.metadata import entry_points  # not needed to compare saved profiles

    return next(iter(entry_points(group="archaudit.sources", name=name)), None)


def _split_arguments(text: str) -> tuple[str, dict[str, Any]]:
    """Splits `attr(a=1, b="x")` into its head and its arguments. Without a closing parenthesis at the end there are none."""
    if not text.endswith(")"):
        return text, {}
    for start in [match.start() for match in re.finditer(r"\(", text)]:
        arguments = _read_call("f" + text[start:])
        if arguments is not None:
            return text[:start], _read_literals(text, arguments)
    raise LoadError(
        f"{text}: the arguments in parentheses cannot be read", "Write keyword arguments with literal values: Model(width=0.5, depth=3)."
    )


def _read_call(source: str) -> ast.Call | None:
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return tree.body if isinstance(tree.body, ast.Call) and isinstance(tree.body.func, ast.Name) else None


def _read_literals(text: str, call: ast.Call) -> dict[str, Any]:
    hint = "Arguments are keywords with literal values or calls: Model(width=0.5, sizes=[1, 2], config=Config(depth=3))."
    if call.args:
        raise LoadError(f"{text}: arguments must have names", hint)
    arguments: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise LoadError(f"{text}: ** is not allowed", hint)
        try:
            arguments[keyword.arg] = _read_value(keyword.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise LoadError(f"{text}: the value of {keyword.arg} is not a literal", hint) from error
    return arguments


def _read_value(node: ast.expr) -> Any:
    """A literal, or a call of a name with such values. Raises ValueError for anything else."""
    if isinstance(node, ast.Call):
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("** is not allowed")
        name = ast.unparse(node.func)
        if not _ATTRIBUTE.match(name):
            raise ValueError(f"{name} is not a name")
        positional = tuple(_read_value(each) for each in node.args)
        return NestedCall(name=name, positional=positional, arguments={str(each.arg): _read_value(each.value) for each in node.keywords})
    if isinstance(node, ast.List):
        return [_read_value(each) for each in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_read_value(each) for each in node.elts)
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_read_value, node.values), strict=True))
    return ast.literal_eval(node)
