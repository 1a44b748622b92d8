"""Printing text and writing files, for all commands.

Files are written as a whole or not at all: each gets a temporary name in its folder and is renamed when all are complete.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from archaudit.cli import defuse_commands, finish_output
from archaudit.errors import OutputError


def print_text(text: str, *, commands: bool = False) -> None:
    """Prints a text with one newline at the end. Only with `commands` may its lines be commands of a CI system.

    Raises OutputError if it cannot be written as a whole.
    """
    text = text if commands else defuse_commands(text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    finish_output(text.rstrip("\n").encode(encoding, "replace").decode(encoding) + "\n")  # the encoding may lack characters


def terminal_width() -> int:
    """Returns the width of the terminal, COLUMNS, or 100 in a pipe."""
    return shutil.get_terminal_size((100, 24)).columns


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal. A stream that was closed before the start is None."""
    return stream is not None and stream.isatty()


def wants_color() -> bool:
    """Whether standard output is a terminal with colours, or FORCE_COLOR is set; NO_COLOR overrides both."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (is_terminal(sys.stdout) and os.environ.get("TERM") != "dumb")


def name_file(*names: str) -> str:
    """Makes a file name from names of models: never a path, never hidden, never long."""
    parts = [re.sub(r"[^\w.=-]+", "-", name.replace("\\", "/").rpartition("/")[2]).strip("-.") for name in names]
    return "-".join(part or "model" for part in parts)[:150]


def name_page(folder: Path | None, stem: str) -> str:
    """The path of the HTML report in a folder; empty without a folder."""
    return "" if folder is None else str(folder / f"{stem}.html")


def write_files(folder: Path, contents: Mapping[str, str | bytes]) -> list[Path]:
    """Writes all files into `folder` (created if needed), or none of them. Raises OutputError."""
    import tempfile  # imported here, because most commands only print

    written: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=".archaudit-")
            written.append((Path(temporary), folder / name))
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
            Path(temporary).chmod(0o666 & ~_read_umask())
        _replace_all(written)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}", "Choose another folder with -o.") from error
    finally:
        for temporary_path, _ in written:
            temporary_path.unlink(missing_ok=True)
    return [path for _, path in written]


def _replace_all(written: list[tuple[Path, Path]]) -> None:
    """Renames each temporary file to its path. If one fails, the files of before are restored."""
    previous: list[Path | None] = []
    replaced = 0
    try:
        for temporary, path in written:
            previous.append(_save_previous(temporary, path))
        for temporary, path in written:
            temporary.replace(path)
            replaced += 1
    except BaseException:
        for (_, path), saved in list(zip(written, previous, strict=False))[:replaced]:
            if saved is None:
                path.unlink()
            else:
                saved.replace(path)
        raise
    finally:
        for saved in previous:
            if saved is not None:
                saved.unlink(missing_ok=True)


def _save_previous(temporary: Path, path: Path) -> Path | None:
    """A second name for the file at `path`; None if there is none. Raises IsADirectoryError."""
    if not os.path.lexists(path):
        return None
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
    saved = temporary.with_name(f"{temporary.name}.previous")
    try:
        saved.hardlink_to(path)
    except OSError:  # a file system without hard links
        shutil.copy2(path, saved, follow_symlinks=False)
    return saved


def _read_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
