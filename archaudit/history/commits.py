"""A model at one commit after the other."""

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


class Probe(Record, frozen=True, kw_only=True):
    """What came of one commit; `sources` are the files of the repository that its model was read from."""

    commit: str
    profile: Profile | None = None
    error: str | None = None
    sources: tuple[str, ...] = ()


class Prober:
    """Measures the model of a reference at commits, each once."""

    def __init__(self, reference: str, options: Options) -> None:
        self.reference = reference
        self._options = options
        self._probes: dict[str, Probe] = {}
        self.repository, self.path = find_source(reference, options.config)

    def probe(self, commit: str) -> Probe:
        """The profile at a commit, or why there is none."""
        if commit not in self._probes:
            described = self.describe(commit)
            self._options.on_stage(f"{described.short} {described.subject}")
            self._probes[commit] = self._measure(commit)
        return self._probes[commit]

    def advance(self, done: int, total: int) -> None:
        """Tells how much of the work is done."""
        self._options.on_progress(done, total)

    @property
    def count(self) -> int:
        """How many commits were looked at."""
        return len(self._probes)

    def _measure(self, commit: str) -> Probe:
        try:
            measured = profile(f"{self.reference}@{commit}", self._options)
        except ArchauditError as error:
            return Probe(commit=commit, error=error.message)
        sources = measured.provenance.sources if measured.provenance is not None else ()
        return Probe(commit=commit, profile=measured, sources=sources)

    def exists(self, commit: str) -> bool:
        """Whether the file of the reference was there, under whichever name."""
        try:
            self.path_at(commit)
        except RevisionError:
            return False
        return True

    def path_at(self, commit: str) -> str:
        """What the file of the reference was called; empty for an importable module. Raises RevisionError where there was none."""
        return find_source(self.reference, self._options.config, commit)[1]

    def describe(self, commit: str, probe: Probe | None = None) -> HistoryStep:
        """What git says of a commit, and the totals of `probe` or of what was measured there."""
        short, date, subject = self.repository.read_subjects([commit])[commit]
        step = HistoryStep(commit=commit, short=short, date=date, subject=subject)
        found = probe or self._probes.get(commit)
        if found is None:
            return step
        if found.profile is None:
            return msgspec.structs.replace(step, error=found.error)
        measured = found.profile
        return msgspec.structs.replace(step, totals=measured.totals, peaks=measured.peaks, flops_complete=measured.flops_complete)


@contextmanager
def open_prober(reference: str, options: Options) -> Iterator[Prober]:
    """A prober whose workers come from one pool."""
    if parse_reference(reference).revision:
        raise RevisionError(f"{reference} names a revision", "Leave it out: the range says which commits to look at.")
    plain = msgspec.structs.replace(options, witnesses=False, symbolic=False, latency="off", equivalent=False)
    with share_pool(options.workers) as pool:
        yield Prober(reference, msgspec.structs.replace(plain, worker_pool=pool))


def list_range(repository: Repository, text: str | None) -> tuple[str | None, list[str]]:
    """The commit before a range (None where it begins with the first commit) and the commits of it along first parents, oldest first.

    A single revision stands for all commits up to it, none for HEAD.
    """
    asked = parse_range(text) if text else None
    if asked is None:
        end = repository.find_commit(text or "HEAD")
        return None, repository.list_commits(None, end)
    start, end = asked.find_ends(repository)
    commits = repository.list_commits(start, end)
    if not commits:
        raise RevisionError(f"there are no commits in {text}", "A range is written from the older to the newer: main..HEAD.")
    return start, commits
