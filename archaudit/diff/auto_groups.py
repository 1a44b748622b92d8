"""Groups without a config: what was taken out against what was put in.

Both models are cut into parts, the children of the root at first. Parts that share matched modules belong together. One part that went
into several is cut further, so that each of those gets its own share of it (`decoder.0-2` became `decoder_stage1`, `decoder.3-5`
`decoder_stage2`); a part that holds most of the model is cut further as well, since it would explain nothing. What has no match is set
against what has none in the same segment of the data flow: between the same two layers that lie on every path from input to output.
Neighbours that did not change are one group, and so are blocks of one list that cost the same as each other on either side. What stands
outside all parts (the operators that the root itself runs) is everything else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from archaudit.diff.groups import EVERYTHING_ELSE, Part, Parts, make_group, name_group, split_index
from archaudit.schema import Cost, Group, Match, ModuleDiff, ModuleRecord, Profile, sum_costs

# Two parts belong together when at least this share of the smaller one's modules became modules of the other: a single dropout that
# moved does not make one of two parts.
_LEAST_COMMON = 0.25
# A part of more than this share of either model says too little, unless it is small anyway; it is cut, if not into more pieces than can be
# read.
_TOO_LARGE = 0.5
_LEAST_CUT = 12
_MOST_PIECES = 12
# More groups than this are a list of modules again: the smallest changes join everything else.
_MOST_GROUPS = 24
# Each round cuts at least one part, and no model needs many: a bound for what nests without end.
_MOST_ROUNDS = 64

_NOTHING = Cost()

_Members = tuple[dict[str, list[ModuleRecord]], ...]


class _Hunk(NamedTuple):
    """Parts before and after that belong together."""

    before: tuple[Part, ...]
    after: tuple[Part, ...]


def find_groups(before: Profile, after: Profile, matches: tuple[Match, ...], rows: tuple[ModuleDiff, ...]) -> tuple[Group, ...]:
    """Groups that partition the modules of both profiles, in the order of their first rows. A model without parts has no groups."""
    sides = Parts(before, 0), Parts(after, 1)
    pairs = [(match.before_path, match.after_path) for match in matches if match.before_path is not None and match.after_path is not None]
    unchanged = {(row.before_path, row.after_path) for row in rows if row.changes == ("same",) and row.own_delta == _NOTHING}
    for _ in range(_MOST_ROUNDS):
        links = _link(sides, pairs)
        if not _cut_shared(sides, links) and not _cut_large(sides, links, pairs, unchanged):
            break
    order = {path: place for place, match in enumerate(matches) for path in ((0, match.before_path), (1, match.after_path))}
    hunks = _join(sides, _link(sides, pairs))
    hunks = _set_against(hunks, {key: matches[place].segment for key, place in order.items()})
    hunks.sort(key=lambda hunk: min(order[part.side, part.path] for part in (*hunk.before, *hunk.after)))
    return _write_groups(hunks, (before, after), sides, unchanged)


def _link(sides: tuple[Parts, Parts], pairs: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """How many modules two parts have in common, for those that have enough."""
    common: Counter[tuple[str, str]] = Counter()
    for one, other in pairs:
        part_before, part_after = sides[0].find(one), sides[1].find(other)
        if part_before is not None and part_after is not None:
            common[part_before, part_after] += 1
    sizes = sides[0].sizes, sides[1].sizes
    return Counter({pair: count for pair, count in common.items() if count >= _LEAST_COMMON * min(sizes[0][pair[0]], sizes[1][pair[1]])})


def _cut_shared(sides: tuple[Parts, Parts], links: Counter[tuple[str, str]]) -> bool:
    """Cuts each part that became several, or was made of several, unless those are pieces themselves."""
    cut = False
    for side in (0, 1):
        partners: defaultdict[str, set[str]] = defaultdict(set)
        for pair in sorted(links):
            if not sides[1 - side].is_piece(pair[1 - side]):
                partners[pair[side]].add(pair[1 - side])
        for part, others in partners.items():
            if len(others) > 1 and sides[side].cut(part, as_pieces=True):
                cut = True
    return cut


def _cut_large(
    sides: tuple[Parts, Parts], links: Counter[tuple[str, str]], pairs: list[tuple[str, str]], unchanged: set[tuple[str | None, str | None]]
) -> bool:
    """Cuts a pair of parts that holds most of a model and is not all unchanged."""
    counts = [Counter(pair[side] for pair in links) for side in (0, 1)]
    for one, other in sorted(links):
        alone = counts[0][one] == counts[1][other] == 1
        large = max(sides[0].share(one), sides[1].share(other)) > _TOO_LARGE
        large = large and max(sides[0].sizes[one], sides[1].sizes[other]) > _LEAST_CUT
        few = max(sides[0].count_children(one), sides[1].count_children(other)) <= _MOST_PIECES
        if not (alone and large and few) or not sides[0].count_children(one) or not sides[1].count_children(other):
            continue
        inside = [pair for pair in pairs if sides[0].find(pair[0]) == one and sides[1].find(pair[1]) == other]
        if len(inside) == max(sides[0].sizes[one], sides[1].sizes[other]) and all(pair in unchanged for pair in inside):
            continue
        sides[0].cut(one, as_pieces=False)
        sides[1].cut(other, as_pieces=False)
        return True
    return False


def _join(sides: tuple[Parts, Parts], links: Counter[tuple[str, str]]) -> list[_Hunk]:
    """The parts, those that are linked in one hunk."""
    heads: dict[tuple[int, str], tuple[int, str]] = {(side, path): (side, path) for side in (0, 1) for path in sides[side].paths}

    def find_head(key: tuple[int, str]) -> tuple[int, str]:
        while heads[key] != key:
            heads[key] = heads[heads[key]]
            key = heads[key]
        return key

    for one, other in sorted(links):
        heads[find_head((0, one))] = find_head((1, other))
    joined: defaultdict[tuple[int, str], list[tuple[int, str]]] = defaultdict(list)
    for key in heads:
        joined[find_head(key)].append(key)
    return [_Hunk(*(tuple(Part(side, path) for number, path in keys if number == side) for side in (0, 1))) for keys in joined.values()]


def _set_against(hunks: list[_Hunk], segments: dict[tuple[int, str | None], int]) -> list[_Hunk]:
    """What was taken out and what was put in within one segment: in pairs where there are equally many, else together."""
    whole = [hunk for hunk in hunks if hunk.before and hunk.after]
    taken: defaultdict[int, tuple[list[_Hunk], list[_Hunk]]] = defaultdict(lambda: ([], []))
    for hunk in hunks:
        if not hunk.before or not hunk.after:
            part = (*hunk.before, *hunk.after)[0]
            taken[segments[part.side, part.path]][part.side].append(hunk)
    for _, (removed, added) in sorted(taken.items()):
        if len(removed) == len(added):
            whole += [_Hunk(out.before, put.after) for out, put in zip(removed, added, strict=True)]
        elif removed and added:
            whole.append(
                _Hunk(tuple(part for hunk in removed for part in hunk.before), tuple(part for hunk in added for part in hunk.after))
            )
        else:
            whole += removed + added
    return whole


# --- writing


def _write_groups(
    hunks: list[_Hunk], profiles: tuple[Profile, Profile], sides: tuple[Parts, Parts], unchanged: set[tuple[str | None, str | None]]
) -> tuple[Group, ...]:
    """The groups of hunks, then everything else."""
    quiet_paths = {one for one, _ in unchanged}, {other for _, other in unchanged}
    members = sides[0].list_members(), sides[1].list_members()

    def is_quiet(hunk: _Hunk) -> bool:
        inside = [(part.side, record.path) for part in (*hunk.before, *hunk.after) for record in members[part.side][part.path]]
        return bool(hunk.before and hunk.after) and all(path in quiet_paths[side] for side, path in inside)

    groups: list[Group] = []
    for quiet, run in groupby(hunks, key=is_quiet):
        listed = list(run)
        for alike in [listed] if quiet else _gather_alike(listed, members):
            hunk = _Hunk(*(tuple(part for each in alike for part in each[side]) for side in (0, 1)))
            costs = _sum_sides(hunk, members)
            paths = [tuple(part.path for part in hunk[side]) for side in (0, 1)]
            name = name_group(paths[0], paths[1], unchanged=quiet)
            groups.append(
                Group(name=name, before_paths=paths[0], after_paths=paths[1], before=costs[0], after=costs[1], delta=costs[1] - costs[0])
            )
    groups = _keep_largest(groups)
    return (*groups, *_write_rest(groups, profiles, members))


def _gather_alike(hunks: list[_Hunk], members: _Members) -> list[list[_Hunk]]:
    """The hunks, neighbours together that are the next block of the same list on each side and cost the same there."""
    runs: list[list[_Hunk]] = []
    costs: list[Cost] = []
    for hunk in hunks:
        found = _sum_sides(hunk, members)
        if runs and found == costs and all(_follows(runs[-1][-1][side], hunk[side]) for side in (0, 1)):
            runs[-1].append(hunk)
        else:
            runs.append([hunk])
        costs = found
    return runs


def _follows(one: tuple[Part, ...], other: tuple[Part, ...]) -> bool:
    """Whether the second is the next block of the list that the first is in; two that are not on a side are nothing there."""
    if len(one) != 1 or len(other) != 1:
        return not one and not other
    places = split_index(one[0].path), split_index(other[0].path)
    return places[0] is not None and places[1] == (places[0][0], places[0][1] + 1)


def _sum_sides(hunk: _Hunk, members: _Members) -> list[Cost]:
    return [sum_costs(record.own for part in hunk[side] for record in members[side][part.path]) for side in (0, 1)]


def _keep_largest(groups: list[Group]) -> list[Group]:
    ranked = sorted(range(len(groups)), key=lambda place: (-abs(groups[place].delta.params), -abs(groups[place].delta.flops), place))
    return [groups[place] for place in sorted(ranked[:_MOST_GROUPS])]


def _write_rest(groups: list[Group], profiles: tuple[Profile, Profile], members: tuple[dict[str, list[ModuleRecord]], ...]) -> list[Group]:
    if not groups:
        return []
    rest = []
    for side, profile in enumerate(profiles):
        listed = {path for group in groups for path in (group.before_paths, group.after_paths)[side]}
        claimed = {record.path for path in listed for record in members[side][path]}
        rest.append((profile, [record for record in profile.modules if record.path not in claimed]))
    return [make_group(EVERYTHING_ELSE, rest[0], rest[1])] if rest[0][1] or rest[1][1] else []
