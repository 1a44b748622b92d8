"""Asking git: a few reading commands, each told that what follows is no option."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from archaudit.errors import RevisionError
from archaudit.schema import Record

# What a hook of git sets for the commands that it runs; the repository is to be found from the folder alone.
_LEFT_OUT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF", "GIT_LITERAL_PATHSPECS")
_SETTINGS = {
    "GIT_OPTIONAL_LOCKS": "0",  # the user's index is not refreshed
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",  # nothing is downloaded
    "LC_ALL": "C",
}
_OPTIONS = (
    "--no-pager", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false",
    "-c", "core.splitIndex=false", "-c", "core.sparseCheckout=false", "-c", "core.quotePath=false",
)  # fmt: skip
_LONGEST_ANSWER_S = 120.0
_SUBMODULE = "160000"


class TreeEntry(Record, frozen=True, kw_only=True):
    """A file of a commit: its mode and the name of its content."""

    mode: str
    blob: str

    @property
    def is_submodule(self) -> bool:
        """Whether it is another repository's commit, of which nothing is here."""
        return self.mode == _SUBMODULE


class Repository:
    """A repository with a work tree, at `toplevel`."""

    def __init__(self, toplevel: Path, git_folder: Path, *, shallow: bool) -> None:
        self.toplevel = toplevel
        self.git_folder = git_folder
        self.shallow = shallow

    def find_commit(self, revision: str) -> str:
        """The full name of the commit that `revision` means. Raises RevisionError for one that is not there."""
        hint = "See git log --oneline, or git branch --all, for what there is."
        if self.shallow:
            hint = "This is a shallow clone, which lacks older commits: git fetch --unshallow."
        if not revision or revision.startswith("-") or "\0" in revision or "\n" in revision:
            raise RevisionError(f"{revision!r} is not a revision", hint)
        done = self._call("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if done.returncode != 0:
            raise RevisionError(f"{self.toplevel.name} has no revision {revision!r}", hint)
        return done.stdout.decode().strip()

    def find_merge_base(self, first: str, second: str) -> str:
        """The best common ancestor of two commits, given by full name."""
        done = self._call("merge-base", first, second)
        if done.returncode != 0:
            shallow = "This is a shallow clone: git fetch --unshallow." if self.shallow else None
            raise RevisionError(f"{first[:10]} and {second[:10]} have no common ancestor here", shallow)
        return done.stdout.decode().split()[0]

    def list_commits(self, start: str | None, end: str) -> list[str]:
        """The commits after `start` (None: from the first one) up to `end`, along first parents, oldest first."""
        wanted = [end] if start is None else [end, f"^{start}"]
        return self.ask("rev-list", "--first-parent", "--reverse", *wanted, "--").split()

    def list_changes(self, start: str | None, end: str) -> dict[str, list[tuple[str, str]]]:
        """For each commit after `start` up to `end`, along first parents, what it changed: a letter (A, D, M, T) and a path."""
        wanted = [end] if start is None else [end, f"^{start}"]
        options = ("--first-parent", "--diff-merges=first-parent", "--root", "--no-renames", "--name-status", "-z", "--format=%x00%H")
        output = self._check(self._call("log", *options, *wanted, "--"), "log")
        changes: dict[str, list[tuple[str, str]]] = {}
        current: list[tuple[str, str]] = []
        parts = iter(output.split(b"\0"))
        for part in parts:
            word = part.strip().decode(errors="replace")
            if len(word) >= 40:
                current = changes.setdefault(word, [])
            elif word:
                current.append((word[0], os.fsdecode(next(parts, b""))))
        return changes

    def read_subjects(self, commits: Iterable[str]) -> dict[str, tuple[str, str, str]]:
        """For each commit its abbreviated name, its date (ISO, of the author) and its subject."""
        names = list(commits)
        if not names:
            return {}
        data = ("\n".join(names) + "\n").encode()
        done = self._call("log", "--no-walk=unsorted", "--stdin", "-z", "--format=%H%n%h%n%as%n%s", data=data)
        self._check(done, "log")
        rows = [entry.split("\n", 3) for entry in done.stdout.decode(errors="replace").split("\0") if entry.strip()]
        return {row[0].strip(): (row[1], row[2], row[3].strip() if len(row) > 3 else "") for row in rows}

    @functools.cache  # noqa: B019 - a repository lives as long as the command
    def list_tree(self, commit: str) -> dict[str, TreeEntry]:
        """Every file of a commit by its path from the top, with slashes."""
        output = self._check(self._call("ls-tree", "-r", "-z", "--full-tree", commit, "--"), "ls-tree")
        entries: dict[str, TreeEntry] = {}
        for line in output.split(b"\0"):
            if line:
                head, _, path = line.partition(b"\t")
                mode, _, blob = head.split()
                entries[os.fsdecode(path)] = TreeEntry(mode=mode.decode(), blob=blob.decode())
        return entries

    def read_file(self, commit: str, path: str) -> bytes | None:
        """What a file holds at a commit; None where it is not there."""
        entry = self.list_tree(commit).get(path)
        return None if entry is None else self._check(self._call("cat-file", "blob", entry.blob), "cat-file")

    def find_earlier_path(self, earlier: str, path: str, later: str | None) -> str | None:
        """What the file that is at `path` in the commit `later` (None: in the user's tree) was called in `earlier`; None when git sees no
        rename."""
        arguments = ["diff", "--no-ext-diff", "--no-textconv", "--find-renames=40%", "--diff-filter=R", "--name-status", "-z", earlier]
        output = self._check(self._call(*arguments, *([later] if later else []), "--"), "diff")
        parts = [os.fsdecode(part) for part in output.split(b"\0")]
        for _, old, new in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
            if new == path:
                return old
        return None

    def read_conversions(self) -> bytes:
        """The settings that change what a checked-out file holds: line endings, filters, attributes outside the tree."""
        settings = self._call("config", "--null", "--get-regexp", r"^(filter\.|core\.(autocrlf|eol|symlinks|attributesfile))").stdout
        attributes = self.git_folder / "info" / "attributes"
        return settings + (attributes.read_bytes() if attributes.is_file() else b"")

    def ask(self, *arguments: str) -> str:
        """What git answers. Raises RevisionError with git's own words when it refuses."""
        return self._check(self._call(*arguments), arguments[0]).decode(errors="replace")

    def write_tree(self, commit: str, folder: Path, index: Path) -> None:
        """Writes the files of a commit into an empty folder, by way of an index of its own."""
        arguments = (f"--git-dir={self.git_folder}", f"--work-tree={folder}", "read-tree", "--reset", "-u", commit)
        self._check(_run(folder, arguments, environment={"GIT_INDEX_FILE": str(index)}), "read-tree")

    def _call(self, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return _run(self.toplevel, arguments, data=data)

    def _check(self, done: subprocess.CompletedProcess[bytes], what: str) -> bytes:
        if done.returncode != 0:
            said = " ".join(done.stderr.decode(errors="replace").split())[:300]
            raise RevisionError(f"git {what} failed in {self.toplevel}: {said or f'exit status {done.returncode}'}")
        return done.stdout


def find_repository(folder: Path) -> Repository:
    """The repository that `folder` (or the nearest folder above it that exists) is in. Raises RevisionError."""
    while not folder.is_dir() and folder.parent != folder:
        folder = folder.parent
    return _open_repository(folder.resolve())


@functools.cache
def _open_repository(folder: Path) -> Repository:
    done = _run(folder, ("rev-parse", "--show-toplevel", "--absolute-git-dir", "--is-shallow-repository"))
    lines = done.stdout.decode(errors="surrogateescape").splitlines()
    if done.returncode != 0 or len(lines) != 3:
        said = " ".join(done.stderr.decode(errors="replace").split())[:300]
        plain = "not a git repository" in said or not said
        reason = "it is in no git repository" if plain else said
        raise RevisionError(f"{folder} has no revisions: {reason}", "REF@REV is for code in a git repository with a work tree.")
    return Repository(Path(lines[0]), Path(lines[1]), shallow=lines[2] == "true")


def _run(
    folder: Path, arguments: Iterable[str], *, environment: Mapping[str, str] | None = None, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    try:
        return subprocess.run(
            ["git", *_OPTIONS, *arguments],
            cwd=folder,
            env={**kept, **_SETTINGS, **(environment or {})},
            input=data if data is not None else b"",
            capture_output=True,
            timeout=_LONGEST_ANSWER_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise RevisionError("git was not found", "Revisions need git on the PATH.") from error
    except subprocess.TimeoutExpired as error:
        raise RevisionError(f"git gave no answer within {_LONGEST_ANSWER_S:g} s in {folder}") from error


# --- ranges of revisions as git writes them: `main..HEAD`, and `main...HEAD` from where the two parted ---


# Three dots before two; a revision holds no colon but in braces (`main@{12:00}`), where a reference has one.
_RANGE = re.compile(r"^(?P<start>(?:[^:{}]|\{[^{}]*\})*?)(?P<dots>\.\.\.?)(?P<end>(?:[^:{}.]|\{[^{}]*\}|\.(?!\.))*)$")


class Range(Record, frozen=True, kw_only=True):
    """Two revisions; an end left out is HEAD. `parted` asks for the commit where `end` left `start` instead of `start` itself."""

    start: str
    end: str
    parted: bool

    def find_ends(self, repository: Repository) -> tuple[str, str]:
        """The commits before and after, by full name."""
        start, end = repository.find_commit(self.start), repository.find_commit(self.end)
        return (repository.find_merge_base(start, end) if self.parted else start), end


def parse_range(text: str) -> Range | None:
    """The range, or None for a text that is none: a path (`../a.json`) or a reference (it has a colon)."""
    found = _RANGE.match(text.strip())
    if found is None or text.endswith(".json") or text.startswith(("../", "./", "/")) or "/../" in text or text.strip() in ("..", "..."):
        return None
    return Range(start=found["start"] or "HEAD", end=found["end"] or "HEAD", parted=found["dots"] == "...")
