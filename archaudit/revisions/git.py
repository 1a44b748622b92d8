"""Runs a few commands of git that only read. User input is never passed as an option."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from archaudit.errors import RevisionError
from archaudit.schema import Record

# Variables that git sets for the commands of a hook. They are removed, so that the repository is found from the folder alone.
_REMOVED_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF", "GIT_LITERAL_PATHSPECS")
_SETTINGS = {
    "GIT_NO_REPLACE_OBJECTS": "1",  # the content of a commit is what its hash says
    "GIT_OPTIONAL_LOCKS": "0",  # the user's index is not refreshed
    "GIT_TERMINAL_PROMPT": "0",
    # nothing is downloaded, also for the missing objects of a partial clone (the second for releases before 2.45)
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}
_OPTIONS = (
    "--no-pager", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false",
    "-c", "core.splitIndex=false", "-c", "core.sparseCheckout=false", "-c", "core.quotePath=false",
)  # fmt: skip
_TIMEOUT_S = 120.0
_SUBMODULE = "160000"


class TreeEntry(Record, frozen=True, kw_only=True):
    """A file of a commit: its mode and git's name of its content."""

    mode: str
    blob: str

    @property
    def is_submodule(self) -> bool:
        """Whether it is a commit of another repository, whose files are not here."""
        return self.mode == _SUBMODULE

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, neither a symbolic link nor a submodule."""
        return self.mode.startswith("100")


class Repository:
    """A repository with a work tree, at `toplevel`."""

    def __init__(self, toplevel: Path, git_folder: Path, *, shallow: bool) -> None:
        self.toplevel = toplevel
        self.git_folder = git_folder
        self.shallow = shallow

    def find_commit(self, revision: str) -> str:
        """The full hash of the commit that `revision` names. Raises RevisionError if there is none."""
        hint = "List the revisions with git log --oneline or git branch --all."
        if self.shallow:
            hint = "This is a shallow clone without older commits; fetch them with git fetch --unshallow."
        if not revision or revision.startswith("-") or "\0" in revision or "\n" in revision:
            raise RevisionError(f"{revision!r} is not a revision", hint)
        done = self._call("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if done.returncode != 0:
            raise RevisionError(f"{self.toplevel.name} has no revision {revision!r}", hint)
        return done.stdout.decode().strip()

    def find_merge_base(self, first: str, second: str) -> str:
        """The best common ancestor of two commits, given by their full hashes."""
        done = self._call("merge-base", first, second)
        if done.returncode != 0:
            hint = "This is a shallow clone without older commits; fetch them with git fetch --unshallow." if self.shallow else None
            raise RevisionError(f"{first[:10]} and {second[:10]} have no common ancestor in this repository", hint)
        return done.stdout.decode().split()[0]

    def list_commits(self, start: str | None, end: str) -> list[str]:
        """The commits after `start` (None: from the first one) up to `end`, along first parents, oldest first."""
        wanted = [end] if start is None else [end, f"^{start}"]
        return self._read_output("rev-list", "--first-parent", "--reverse", *wanted, "--").split()

    def list_changes(self, start: str | None, end: str) -> dict[str, list[tuple[str, str]]]:
        """The changes of each commit after `start` up to `end`, along first parents: a letter (A, D, M, T) and a path."""
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
        """The abbreviated hash, the author date (ISO) and the subject of each commit."""
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
        """Every file of a commit, by its path from the top of the repository, with slashes."""
        output = self._check(self._call("ls-tree", "-r", "-z", "--full-tree", commit, "--"), "ls-tree")
        entries: dict[str, TreeEntry] = {}
        for line in output.split(b"\0"):
            if line:
                head, _, path = line.partition(b"\t")
                mode, _, blob = head.split()
                entries[os.fsdecode(path)] = TreeEntry(mode=mode.decode(), blob=blob.decode())
        return entries

    def read_file(self, commit: str, path: str) -> bytes | None:
        """The content of a file at a commit; None if it does not exist."""
        entry = self.list_tree(commit).get(path)
        return None if entry is None else self._check(self._call("cat-file", "blob", entry.blob), "cat-file")

    def find_earlier_path(self, earlier: str, path: str, later: str | None) -> str | None:
        """The path in the commit `earlier` of the file that is at `path` in the commit `later` (None: in the user's work tree). None if git
        finds no rename."""
        arguments = ["diff", "--no-ext-diff", "--no-textconv", "--find-renames=40%", "--diff-filter=R", "--name-status", "-z", earlier]
        done = self._call(*arguments, *([later] if later else []), "--")
        if done.returncode != 0 and self.list_absent(earlier):
            return None  # a partial clone lacks the contents to compare
        parts = [os.fsdecode(part) for part in self._check(done, "diff").split(b"\0")]
        for _, old, new in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
            if new == path:
                return old
        return None

    def read_conversions(self) -> bytes:
        """The settings that change the content of checked-out files: line endings, filters, attributes outside the tree."""
        settings = self._call("config", "--null", "--get-regexp", r"^(filter\.|core\.(autocrlf|eol|symlinks|attributesfile))").stdout
        attributes = self.git_folder / "info" / "attributes"
        return settings + (attributes.read_bytes() if attributes.is_file() else b"")

    def _read_output(self, *arguments: str) -> str:
        """The output of a command. Raises RevisionError with git's message if it fails."""
        return self._check(self._call(*arguments), arguments[0]).decode(errors="replace")

    def write_tree(self, commit: str, folder: Path, index: Path) -> None:
        """Writes the files of a commit into an empty folder, with a separate index file; in a partial clone those that are there.

        No filter of the user runs.
        """
        environment = {"GIT_INDEX_FILE": str(index), **self._disable_filters()}
        places = (f"--git-dir={self.git_folder}", f"--work-tree={folder}")
        done = _run(folder, (*places, "read-tree", "--reset", "-u", commit), environment=environment)
        absent = self.list_absent(commit) if done.returncode != 0 else []
        if not absent:
            self._check(done, "read-tree")
            return
        index.unlink(missing_ok=True)
        self._check(_run(folder, (*places, "read-tree", commit), environment=environment), "read-tree")
        removed = b"".join(b"0 %s\t%s\0" % (b"0" * len(commit), os.fsencode(path)) for path in absent)
        self._check(_run(folder, (*places, "update-index", "-z", "--index-info"), environment=environment, data=removed), "update-index")
        self._check(_run(folder, (*places, "checkout-index", "--all", "--force"), environment=environment), "checkout-index")

    def list_absent(self, commit: str) -> list[str]:
        """The files of a commit whose contents are not in the repository: a partial clone has only some."""
        output = self._read_output("rev-list", "--objects", "--no-walk", "--missing=print", commit, "--")
        missing = {line[1:] for line in output.split("\n") if line.startswith("?")}
        return [path for path, entry in self.list_tree(commit).items() if entry.blob in missing]

    def _disable_filters(self) -> dict[str, str]:
        """The environment that sets the programs of all configured filters (`filter.NAME.smudge`) to none."""
        listed = self._call("config", "--null", "--name-only", "--get-regexp", r"^filter\..*\.(smudge|process|required)$").stdout
        keys = dict.fromkeys(os.fsdecode(key) for key in listed.split(b"\0") if key)
        given = os.environ.get("GIT_CONFIG_COUNT", "")
        first = int(given) if given.isdecimal() else 0
        settings = {"GIT_CONFIG_COUNT": str(first + len(keys))}
        for number, key in enumerate(keys, first):
            settings[f"GIT_CONFIG_KEY_{number}"] = key
            settings[f"GIT_CONFIG_VALUE_{number}"] = "false" if key.endswith(".required") else ""
        return settings

    def _call(self, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return _run(self.toplevel, arguments, data=data)

    def _check(self, done: subprocess.CompletedProcess[bytes], what: str) -> bytes:
        if done.returncode != 0:
            message = " ".join(done.stderr.decode(errors="replace").split())[:300]
            hint = (
                "This is a partial clone, and nothing is downloaded. Complete it: git fetch --refetch --no-filter."
                if ("promisor" in message or "not allowed" in message)
                else None
            )
            raise RevisionError(f"git {what} failed in {self.toplevel}: {message or f'exit status {done.returncode}'}", hint)
        return done.stdout


def find_repository(folder: Path) -> Repository:
    """The repository that contains `folder`, or its nearest parent that exists. Raises RevisionError."""
    while not folder.is_dir() and folder.parent != folder:
        folder = folder.parent
    return _open_repository(folder.resolve())


@functools.cache
def _open_repository(folder: Path) -> Repository:
    done = _run(folder, ("rev-parse", "--show-toplevel", "--absolute-git-dir", "--is-shallow-repository"))
    lines = done.stdout.decode(errors="surrogateescape").splitlines()
    if done.returncode != 0 or len(lines) != 3:
        message = " ".join(done.stderr.decode(errors="replace").split())[:300]
        plain = "not a git repository" in message or not message
        reason = "it is not in a git repository" if plain else message
        raise RevisionError(f"{folder} has no revisions: {reason}", "REF@REV needs code in a git repository with a work tree.")
    return Repository(Path(lines[0]), Path(lines[1]), shallow=lines[2] == "true")


def _run(
    folder: Path, arguments: Iterable[str], *, environment: Mapping[str, str] | None = None, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in _REMOVED_VARIABLES}
    try:
        return subprocess.run(
            ["git", *_OPTIONS, *arguments],
            cwd=folder,
            env={**kept, **_SETTINGS, **(environment or {})},
            input=data if data is not None else b"",
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise RevisionError("git was not found", "Install git, or add it to PATH.") from error
    except subprocess.TimeoutExpired as error:
        raise RevisionError(f"git did not finish within {_TIMEOUT_S:g} s in {folder}") from error


# --- ranges of revisions as git writes them: `main..HEAD`, and `main...HEAD` from the merge base ---


# Three dots are tried before two. A revision has a colon only in braces (`main@{12:00}`); a reference has one outside them.
_RANGE = re.compile(r"^(?P<start>(?:[^:{}]|\{[^{}]*\})*?)(?P<dots>\.\.\.?)(?P<end>(?:[^:{}.]|\{[^{}]*\}|\.(?!\.))*)$")


class Range(Record, frozen=True, kw_only=True):
    """Two revisions; a missing one is HEAD. With `from_merge_base`, the range begins at the merge base of both instead of at `start`."""

    start: str
    end: str
    from_merge_base: bool

    def find_ends(self, repository: Repository) -> tuple[str, str]:
        """The full hashes of the commits before and after."""
        start, end = repository.find_commit(self.start), repository.find_commit(self.end)
        return (repository.find_merge_base(start, end) if self.from_merge_base else start), end


def parse_range(text: str) -> Range | None:
    """The range; None for another text: a path (`../a.json`) or a reference (with a colon)."""
    found = _RANGE.match(text.strip())
    if found is None or text.endswith(".json") or text.startswith(("../", "./", "/")) or "/../" in text or text.strip() in ("..", "..."):
        return None
    return Range(start=found["start"] or "HEAD", end=found["end"] or "HEAD", from_merge_base=found["dots"] == "...")
