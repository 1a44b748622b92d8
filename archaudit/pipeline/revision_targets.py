"""Targets at a git revision: read from the cache of profiles, or checked out into a temporary folder while they are measured."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from archaudit.config import Config
from archaudit.errors import ArchauditError, RevisionError, SavedFileError
from archaudit.load.reference import Reference
from archaudit.pipeline.targets import Revised, Target, resolve
from archaudit.revisions import (
    Cache,
    CacheKey,
    Repository,
    describe_environment,
    digest_settings,
    find_repository,
    list_missing,
    open_checkout,
)
from archaudit.schema import Checkout, Dependencies, Profile, decode_profile


@contextmanager
def open_revisions(targets: Sequence[Target], *, settings: Sequence[object] | None, harness: str = "") -> Iterator[list[Target]]:
    """The targets; those at a revision are either cached profiles, or references into a checkout that lasts as long as the block.

    `settings` are the options that a cached profile depends on; None skips the cache. `harness` is a file of the work tree that is added to
    each checkout. Raises RevisionError. Errors from within the block have the user's paths in place of the checkout's, and name files that
    the checkout lacks.
    """
    located = [_locate(target, harness) if target.is_revised else None for target in targets]
    with ExitStack() as stack:
        opened: list[Target] = []
        for target, place in zip(targets, located, strict=True):
            opened.append(target if place is None else _open(target, place, settings, stack))
        try:
            yield opened
        except ArchauditError as error:
            raise _restore_paths(error, [place for place in located if place is not None]) from error


def cache_profile(target: Target, profile: Profile, dependencies: Dependencies | None) -> Profile:
    """The profile with the paths of the user's tree; cached if everything that it depends on is known."""
    revised = target.revised
    if revised is None:
        return profile
    entries = find_repository(Path(revised.toplevel)).list_tree(revised.commit)
    sources = tuple(path for path in dependencies.sources if path in entries) if dependencies is not None else ()
    profile = _rename(profile, target, revised, sources)
    if dependencies is not None and revised.settings is not None:
        Cache().keep(CacheKey(settings=revised.settings, entries=entries), profile, dependencies)
    return profile


def find_source(reference: str, config: Config | None, commit: str = "HEAD", harness: str = "") -> tuple[Repository, str]:
    """The repository of a reference without a revision, and the path of its file at a commit; empty for an importable module.

    A `harness` is taken from the work tree, so it exists at every commit.

    Raises RevisionError if the commit has no such file.
    """
    place = _locate(resolve(f"{reference}@{commit}", config), harness)
    return place.repository, place.path or ""


class _Place(msgspec.Struct):
    """A target in its repository: the commit, the path of its file from the top (None for an importable module), the current folder."""

    repository: Repository
    commit: str
    path: str | None
    folder: str
    assumption: str | None = None
    root: str | None = None
    harness: str | None = None

    def make_key(self, target: Target, settings: Sequence[object]) -> CacheKey:
        assert target.reference is not None
        parts = [
            *settings,
            *describe_environment(),
            self.path,
            self.folder,
            self.assumption is not None,
            msgspec.to_builtins(msgspec.structs.replace(target.reference, revision="", text="")),
            msgspec.to_builtins(target.inputs),
            self.repository.read_conversions().decode(errors="replace"),
            str(self.repository.toplevel),
            self._read_harness(),
        ]
        return CacheKey(settings=digest_settings(parts), entries=self.repository.list_tree(self.commit))

    def _read_harness(self) -> str | None:
        if self.harness is None:
            return None
        return (self.repository.toplevel / self.harness).read_bytes().decode(errors="replace")

    def add_harness(self, root: Path) -> None:
        """Copies the harness from the work tree into a checkout."""
        if self.harness is not None:
            (root / self.harness).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.repository.toplevel / self.harness, root / self.harness)


def _locate(target: Target, harness: str = "") -> _Place:
    reference = target.reference
    assert reference is not None
    if reference.kind == "module":
        here = Path.cwd()
        repository = find_repository(here)
        folder = _path_inside(repository, here)
        return _Place(repository, repository.find_commit(reference.revision), None, folder, harness=_find_harness(repository, harness))
    path = Path.cwd() / Path(_file_of(reference)).expanduser()
    repository = find_repository(path.parent)
    commit = repository.find_commit(reference.revision)
    inside = _path_inside(repository, path)
    folder = _path_inside(repository, Path.cwd(), outside="")
    added = _find_harness(repository, harness)
    if inside == added:
        return _Place(repository, commit, inside, folder, f"{inside} is from the work tree", harness=added)
    found, assumption = _find_path(repository, commit, inside, reference)
    return _Place(repository, commit, found, folder, assumption, harness=added)


def _find_harness(repository: Repository, harness: str) -> str | None:
    """The path of the harness from the repository's top. Raises RevisionError if there is no such file."""
    if not harness:
        return None
    path = Path.cwd() / Path(harness).expanduser()
    if not path.is_file():
        raise RevisionError(f"there is no file {harness}", "Name a file of the work tree that builds the model: --harness audit.py.")
    return _path_inside(repository, path)


def _path_inside(repository: Repository, path: Path, outside: str | None = None) -> str:
    """The path from the repository's top, with slashes, symbolic links resolved. RevisionError (or `outside`) for a path outside."""
    real = Path(os.path.realpath(path.parent), path.name) if path.name not in ("", "..") else Path(os.path.realpath(path))
    inside = os.path.relpath(real, os.path.realpath(repository.toplevel)).replace(os.sep, "/")
    if inside == ".." or inside.startswith("../") or Path(inside).is_absolute():
        if outside is not None:
            return outside
        raise RevisionError(f"{path} is not in the repository {repository.toplevel}", "Only files of the repository have revisions.")
    return "" if inside == "." else inside


def _find_path(repository: Repository, commit: str, inside: str, reference: Reference) -> tuple[str, str | None]:
    """The file's path at the commit, and the assumption behind it if it had another name then."""
    entries = repository.list_tree(commit)
    if inside in entries or (reference.kind == "library" and any(path.startswith(f"{inside}/") for path in entries)):
        return inside, None
    earlier = repository.find_earlier_path(commit, inside, None) or repository.find_earlier_path(
        commit, inside, repository.find_commit("HEAD")
    )
    if earlier is not None:
        return earlier, f"{inside} was called {earlier} at {reference.revision}"
    raise RevisionError(
        f"{reference.text}: there is no {inside} at {reference.revision}",
        "Name the file by its path at that revision, or name another revision.",
    )


def _file_of(reference: Reference) -> str:
    return reference.attribute if reference.kind == "library" else reference.target


def _open(target: Target, place: _Place, settings: Sequence[object] | None, stack: ExitStack) -> Target:
    assert target.reference is not None
    if target.reference.kind == "saved":
        data = place.repository.read_file(place.commit, place.path or "")
        if data is None:
            raise SavedFileError(f"{target.name} cannot be read", "That revision has no such file.")
        return msgspec.structs.replace(target, reference=None, saved=decode_profile(data, target.name))
    key = place.make_key(target, settings) if settings is not None else None
    cached = Cache().find(key) if key is not None else None
    if cached is not None:
        profile = msgspec.structs.replace(cached[0], name=target.name, reference=target.name)
        return msgspec.structs.replace(target, reference=None, saved=profile)
    root = stack.enter_context(open_checkout(place.repository, place.commit))
    place.root = str(root)
    place.add_harness(root)
    moved = target.reference
    if place.path is not None:
        path = str(root / place.path)
        moved = msgspec.structs.replace(moved, **({"attribute": path} if moved.kind == "library" else {"target": path}))
    checkout = Checkout(root=str(root), toplevel=os.path.realpath(place.repository.toplevel), folder=place.folder, text=target.name)
    revised = Revised(
        checkout=checkout,
        toplevel=str(place.repository.toplevel),
        commit=place.commit,
        settings=key.settings if key is not None else None,
        assumption=place.assumption,
    )
    return msgspec.structs.replace(target, reference=msgspec.structs.replace(moved, revision=""), revised=revised)


def _rename(profile: Profile, target: Target, revised: Revised, sources: tuple[str, ...]) -> Profile:
    """The profile without the checkout's folder, which differs each time, and with all files of the revision that were read."""
    ledger, provenance = profile.ledger, profile.provenance
    if revised.assumption is not None:
        ledger = msgspec.structs.replace(ledger, assumptions=(revised.assumption, *ledger.assumptions))
    if provenance is not None:
        provenance = msgspec.structs.replace(provenance, sources=sources)
    return msgspec.structs.replace(profile, reference=target.name, ledger=ledger, provenance=provenance)


def _restore_paths(error: ArchauditError, places: Sequence[_Place]) -> ArchauditError:
    message, hint = error.message, error.hint
    for place in places:
        if place.root is not None:
            message, hint = message.replace(f"{place.root}/", ""), hint.replace(f"{place.root}/", "") if hint else hint
            missing = list_missing(place.repository, place.commit, Path(place.root))
            if missing:
                lack = f"The checkout of {place.commit[:10]} lacks {', '.join(missing)}: they are not fetched."
                hint = f"{hint}\n{lack}" if hint else lack
    return type(error)(message, hint)
