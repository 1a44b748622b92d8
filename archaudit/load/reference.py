"""References: what a user types for a model, taken apart without running anything.

Arguments are Python literals, read with `ast` and never evaluated.
"""

from __future__ import annotations

import ast
import functools
import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from archaudit.errors import LoadError
from archaudit.schema import Record

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kind = Literal["name", "saved", "file", "module", "library", "weights", "exported"]

# Libraries whose models go by name: `torchvision:resnet50`.
LIBRARIES = ("torchvision", "timm", "transformers")

_FORMS = "A reference is a name from the config, file.py:Model, package.module:Model, torchvision:NAME or a saved profile.json; REF@REV."
# What is told by a file's ending. Pickles are recognised so that they can be refused in their own words.
_ENDINGS: dict[str, Kind] = {
    ".safetensors": "weights", ".onnx": "weights", ".pt": "weights", ".pth": "weights", ".ckpt": "weights", ".bin": "weights",
    ".pkl": "weights", ".pt2": "exported",
}  # fmt: skip
_NAME = re.compile(r"^[^\W\d][\w.-]*$")
_ATTRIBUTE = re.compile(r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")


class Reference(Record, frozen=True, kw_only=True):
    """A reference in parts. `text` is as typed; `target` the name, file, module or library; `attribute` what to take from it.

    `arguments` are keyword arguments for the class or factory; `base` is the text without them; `revision` is the git revision after an @.
    """

    text: str
    kind: Kind
    target: str
    attribute: str = ""
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    revision: str = ""

    @property
    def base(self) -> str:
        """The reference without its arguments: what budgets and claims name a model by."""
        return self.target if self.kind in ("name", "saved", "weights", "exported") else f"{self.target}:{self.attribute}"

    def spell(self) -> str:
        """The reference as text again, with its present target and arguments."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.base}({arguments})" if arguments else self.base


def parse_reference(text: str) -> Reference:
    """A reference taken apart. Raises LoadError, saying what forms there are, for a text that is none."""
    text = text.strip()
    if not text:
        raise LoadError("an empty reference names no model", _FORMS)
    for place in [match.start() for match in re.finditer("@", text)]:  # the first that has a reference before it: paths hold @ too
        revised = _read_revised(text, text[:place], text[place + 1 :])
        if revised is not None:
            return revised
    return _parse_plain(text)


def _read_revised(text: str, head: str, tail: str) -> Reference | None:
    """`head@tail`, where tail may be a revision: with arguments after either; None where `head` is no reference."""
    try:
        reference = _parse_plain(head)
    except LoadError:
        return None
    if reference.kind in ("weights", "exported"):
        raise LoadError(f"{text}: files of weights and programs have no revisions here", "Revisions are of code and of saved profiles.")
    if reference.kind in ("name", "saved") and ":" in tail:
        return None  # pictures@large/net.py:Model is a file
    if reference.target == "transformers" and ".json" in tail:
        return None
    if reference.kind == "library" and reference.target != "transformers":
        raise LoadError(f"{text}: models of {reference.target} have no revisions here", "They come with the installed library.")
    arguments = reference.arguments
    if not arguments and reference.kind != "saved" and tail.endswith(")") and "(" in tail:
        tail, arguments = _split_arguments(tail)
    if not tail:
        raise LoadError(f"{text}: there is no revision after the @", "Write for example @main, @HEAD~3 or @v1.2.")
    return msgspec.structs.replace(reference, text=text, arguments=arguments, revision=tail)


def _parse_plain(text: str) -> Reference:
    head, arguments = _split_arguments(text)
    library, colon, rest = head.partition(":")
    if colon and library in LIBRARIES:
        return Reference(text=text, kind="library", target=library, attribute=rest, arguments=arguments)
    if head.endswith(".json") and ":" not in head.rpartition("/")[2]:
        if arguments:
            raise LoadError(f"{text}: a saved profile takes no arguments", _FORMS)
        return Reference(text=text, kind="saved", target=head)
    ending = head[head.rfind(".") :] if "." in head.rpartition("/")[2] else ""
    if ending in _ENDINGS:
        if arguments:
            raise LoadError(f"{text}: a file of weights or a program takes no arguments", _FORMS)
        return Reference(text=text, kind=_ENDINGS[ending], target=head)
    if colon and "/" not in library and "." not in library and find_plugin(library) is not None:
        return Reference(text=text, kind="library", target=library, attribute=rest, arguments=arguments)
    target, colon, attribute = head.rpartition(":")
    if not colon:
        if head.endswith(".py"):
            raise LoadError(f"{text} names a file but no model in it", f"Write {head}:Model, with the class or factory to take.")
        if not _NAME.match(head):
            raise LoadError(f"{text!r} is not a reference", _FORMS)
        return Reference(text=text, kind="name", target=head, arguments=arguments)
    if not _ATTRIBUTE.match(attribute):
        raise LoadError(f"{text}: {attribute!r} is not the name of a class, factory or model", _FORMS)
    is_file = target.endswith(".py") or "/" in target or "\\" in target
    return Reference(text=text, kind="file" if is_file else "module", target=target, attribute=attribute, arguments=arguments)


@functools.cache
def find_plugin(name: str) -> EntryPoint | None:
    """The source of that name which another package brings, by the entry point `archaudit.sources`: a function like those of SOURCES."""
    from importlib.metadata import entry_points  # here, since saved profiles are compared without

    return next(iter(entry_points(group="archaudit.sources", name=name)), None)


def _split_arguments(text: str) -> tuple[str, dict[str, Any]]:
    """`attr(a=1, b="x")` as head and literals; only a closing parenthesis at the end makes arguments."""
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
    hint = "Arguments are keywords with literal values: Model(width=0.5, name='tiny', sizes=[1, 2])."
    if call.args:
        raise LoadError(f"{text}: arguments need their names", hint)
    arguments: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise LoadError(f"{text}: ** is not possible here", hint)
        try:
            arguments[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise LoadError(f"{text}: the value of {keyword.arg} is not a literal", hint) from error
    return arguments
