"""The names of report files: reports of different models get different files, and none is replaced without a note."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from archaudit.cli import printable
from archaudit.cli.output import write_files

# File names that many models have: the folder says which model it is.
_GENERIC = frozenset(
    (
        *("config.json", "model.json", "model_index.json", "profile.json", "model.safetensors", "model.safetensors.index.json"),
        *("pytorch_model.bin", "diffusion_pytorch_model.safetensors", "model.gguf", "model.onnx", "model.pt2"),
        *("__init__.py", "model.py", "models.py"),
    )
)
_LONGEST = 150
_DIGITS = 6


def name_report(*references: str) -> str:
    """A file name for a report about these references: never a path, never hidden, never long.

    The folder of a file is part of the name where the file's own name says little (`config.json`) or is the same on both sides.
    """
    depths = [1 + (_list_parts(reference)[-1].partition(":")[0] in _GENERIC) for reference in references]
    while len(set(references)) > 1 and len({_write(*each) for each in zip(references, depths, strict=True)}) == 1:
        deeper = [min(depth + 1, len(_list_parts(reference))) for reference, depth in zip(references, depths, strict=True)]
        if deeper == depths:
            break
        depths = deeper
    return "-".join(map(_write, references, depths))[:_LONGEST]


def _list_parts(reference: str) -> list[str]:
    """The folders of a reference to a file, then its last part. Slashes in arguments, `Net(path="a/b")`, belong to the last part."""
    head = re.split(r"[(@]", reference, maxsplit=1)[0]
    folders = head.replace("\\", "/").split("/")
    return [*(folder for folder in folders[:-1] if folder not in ("", ".", "..")), folders[-1] + reference[len(head) :]]


def _write(reference: str, depth: int) -> str:
    cleaned = [re.sub(r"[^\w.=-]+", "-", part).strip("-.") for part in _list_parts(reference)[-depth:]]
    return "-".join(filter(None, cleaned)) or "model"


def choose_stem(folder: Path, stem: str, names: Sequence[str]) -> str:
    """The stem; with a digest of the models' names if the folder has a report under it that is about other models."""
    path = folder / f"{stem}.json"
    if not path.exists() or _read_names(path) == list(names):
        return stem
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{stem}-{digest[:_DIGITS]}"


class _Named(msgspec.Struct):
    name: str = ""
    reference: str = ""


class _Saved(msgspec.Struct):
    """The names in a saved report, profile, history or sweep."""

    name: str | None = None
    reference: str | None = None
    before: _Named | None = None
    after: _Named | None = None
    variants: list[_Named] = []


def _read_names(path: Path) -> list[str]:
    """What a saved file is about; empty if it cannot be read, so that it is not replaced."""
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return []
    if saved.before is not None and saved.after is not None:
        return [saved.before.name, saved.after.name]
    if saved.variants:
        return list(dict.fromkeys(variant.reference for variant in saved.variants))
    return [name for name in (saved.name or saved.reference,) if name is not None]


def write_report_files(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Writes the files of a report, with a note about those that had other content."""
    replaced = [name for name, content in contents.items() if _differs(folder / name, content)]
    written = write_files(folder, contents)
    if replaced:
        click.echo(printable(f"archaudit: replaced {', '.join(replaced)} in {folder}"), err=True)
    return written


def _differs(path: Path, content: str) -> bool:
    try:
        return path.read_bytes() != content.encode()
    except OSError:  # there is no such file
        return False
