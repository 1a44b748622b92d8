"""Modules that are fed by others than before: the same module in another data flow, such as a new skip connection.

Producers are compared through the matches. What was added or removed on the way is looked through to what feeds it, so that a layer put
in between two others rewires neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from archaudit.schema import Match, ModuleRecord, Profile


def find_rewired(before: Profile, after: Profile, matches: tuple[Match, ...]) -> set[str]:
    """The paths after of matched modules that ran on both sides and read from other modules now.

    Of a container and what is in it, only the inner ones: what enters a container is told of the child that reads it.
    """
    pairs = {match.before_path: match.after_path for match in matches if match.before_path is not None and match.after_path is not None}
    sources_before = _Sources(before, pairs)
    sources_after = _Sources(after, {path: path for path in pairs.values()})
    rewired = {
        other
        for one, other in pairs.items()
        if sources_before.ran(one) and sources_after.ran(other) and not _agree(sources_before.find(one), sources_after.find(other))
    }
    outer: set[str] = set()
    for path in rewired:
        while path and (path := path.rpartition(".")[0]) not in outer:
            outer.add(path)
    return rewired - outer


def _agree(before: _Found, after: _Found) -> bool:
    """Whether every known feeder of either side feeds the other too, be it through what was added or removed."""
    return before.direct <= after.direct | after.through and after.direct <= before.direct | before.through


class _Found(NamedTuple):
    """Matched modules that feed a module: those that it reads itself, and those behind what has no match."""

    direct: frozenset[str]
    through: frozenset[str]


class _Sources:
    """What feeds the modules of one profile, by the names that matched modules have after."""

    def __init__(self, profile: Profile, names: Mapping[str, str]) -> None:
        self._modules: dict[str, ModuleRecord] = {module.path: module for module in profile.modules}
        self._names = names
        self._seen_through: dict[str, frozenset[str]] = {}

    def ran(self, path: str) -> bool:
        """Whether the module was called."""
        return bool(self._modules[path].calls)

    def find(self, path: str) -> _Found:
        """The matched modules whose output the module reads, at once or through others."""
        feeders = self._list_feeders(path)
        behind = [self._look_through(feeder) for feeder in feeders if feeder not in self._names]
        return _Found(frozenset(self._names[feeder] for feeder in feeders if feeder in self._names), frozenset().union(*behind))

    def _look_through(self, path: str) -> frozenset[str]:
        if path not in self._seen_through:
            found: set[str] = set()
            seen, waiting = {path}, [path]
            while waiting:
                for feeder in self._list_feeders(waiting.pop()):
                    if feeder in self._names:
                        found.add(self._names[feeder])
                    elif feeder not in seen:
                        seen.add(feeder)
                        waiting.append(feeder)
            self._seen_through[path] = frozenset(found)
        return self._seen_through[path]

    def _list_feeders(self, path: str) -> set[str]:
        module = self._modules.get(path)
        return {feeder for call in module.calls for feeder in call.inputs_from} if module is not None else set()
