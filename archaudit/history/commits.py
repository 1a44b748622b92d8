"""Measures a model at single commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from archaudit.errors import ArchauditError, RevisionError
from archaudit.load.reference import parse_reference
from archaudit.pipeline import Options, profile
from archaudit.pipeline.revision_targets import find_source
from archaudit.revisions import Repository, parse_range
from archaudit.schema import HistoryStep, Profile, Record
from archaudit.worker import share_pool


class CommitResult(Record, frozen=True, kw_only=True):
    """The profile at one commit, or the error; `sources` are the files of the repository that the model was read from."""

    commit: str
    profile: Profile | None = None
    error: str | None = None
    sources: tuple[str, ...] = ()


class CommitMeasurer:
    """Measures the model of one reference at commits, each commit once."""

    def __init__(self, reference: str, options: Options) -> None:
        self.reference = reference
        self._options = options
        self._results: dict[str, CommitResult] = {}
        self.repository, self.path = find_source(reference, options.config, harness=options.harness)

    def measure(self, commit: str) -> CommitResult:
        """The result at a commit."""
        if commit not in self._results:
            described = self.describe(commit)
            self._options.on_stage(f"{described.short} {described.subject}")
            self._results[commit] = self._measure(commit)
        return self._results[commit]

    def advance(self, done: int, total: int) -> None:
        """Updates the progress bar."""
        self._options.on_progress(done, total)

    @property
    def has_harness(self) -> bool:
        """Whether the model is made by a file of the work tree."""
        return bool(self._options.harness)

    @property
    def count(self) -> int:
        """How many commits were measured."""
        return len(self._results)

    def _measure(self, commit: str) -> CommitResult:
        try:
            measured = profile(f"{self.reference}@{commit}", self._options)
        except ArchauditError as error:
            return CommitResult(commit=commit, error=error.message)
        sources = measured.provenance.sources if measured.provenance is not None else ()
        return CommitResult(commit=commit, profile=measured, sources=sources)

    def exists(self, commit: str) -> bool:
        """Whether the file of the reference exists at a commit, possibly under another name."""
        try:
            self.find_path(commit)
        except RevisionError:
            return False
        return True

    def find_path(self, commit: str) -> str:
        """The path of the reference's file at a commit; empty for an importable module. Raises RevisionError where it does not exist."""
        return find_source(self.reference, self._options.config, commit, self._options.harness)[1]

    def describe(self, commit: str, result: CommitResult | None = None) -> HistoryStep:
        """A commit's hash, date and subject, with the totals of `result`, or of what was measured there."""
        short, date, subject = self.repository.read_subjects([commit])[commit]
        step = HistoryStep(commit=commit, short=short, date=date, subject=subject)
        found = result or self._results.get(commit)
        if found is None:
            return step
        if found.profile is None:
            return msgspec.structs.replace(step, error=found.error)
        measured = found.profile
        return msgspec.structs.replace(
            step,
            totals=measured.totals,
            peaks=measured.peaks,
            flops_complete=measured.flops_complete,
            params_complete=measured.params_complete,
            memory_complete=measured.memory_complete,
        )


@contextmanager
def open_measurer(reference: str, options: Options) -> Iterator[CommitMeasurer]:
    """A measurer that takes all its workers from one pool. Raises RevisionError for a reference with a revision."""
    if parse_reference(reference).revision:
        raise RevisionError(f"{reference} names a revision", "Remove it: the range says which commits to measure.")
    static = msgspec.structs.replace(options, other_counters=False, symbolic=False, latency="off", equivalent=False)
    with share_pool(options.workers) as pool:
        yield CommitMeasurer(reference, msgspec.structs.replace(static, worker_pool=pool))


def list_range(repository: Repository, text: str | None) -> tuple[str | None, list[str]]:
    """The commit before a range (None where the range begins with the first commit), and its commits along first parents, oldest first.

    A single revision means all commits up to it, None all up to HEAD. Raises RevisionError for an empty range.
    """
    ends = parse_range(text) if text else None
    if ends is None:
        return None, repository.list_commits(None, repository.find_commit(text or "HEAD"))
    start, end = ends.find_ends(repository)
    commits = repository.list_commits(start, end)
    if not commits:
        raise RevisionError(f"there are no commits in {text}", "Write the older commit first: main..HEAD.")
    return start, commits
