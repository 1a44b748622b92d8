"""Groups without a config: removed parts are grouped with the added parts that replace them.

Both models are cut into parts, at first the children of the root. Parts that share matched modules belong together. A part that became
several is cut further, so that each of those gets its own share of it (`decoder.0-2` became `decoder_stage1`, `decoder.3-5`
`decoder_stage2`); a part that holds most of the model is cut further too, since it would explain nothing. Parts without a match are grouped
with parts without a match in the same segment of the data flow: between the same two layers that are on every path from input to output.
Neighbours that did not change are one group, and so are blocks of one list with equal costs on each side. Modules outside all parts (the
operators that the root itself runs) are everything else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby

from archaudit.diff.groups import EVERYTHING_ELSE, Part, Parts, make_group, name_group, split_index
from archaudit.index import index_modules
from archaudit.schema import Cost, Group, Match, ModuleDiff, ModuleRecord, Pair, Profile, sum_costs

# Two parts belong together when at least this share of the smaller one's modules became modules of the other: a single dropout that
# moved does not join two parts.
_LEAST_COMMON = 0.25
# A part with more than this share of either model's modules explains too little, unless it is small; it is cut, but not into more pieces
# than a reader can take in.
_TOO_LARGE = 0.5
_LEAST_CUT = 12
_MOST_PIECES = 12
# More groups than this are a list of modules again: the smallest changes go into everything else.
_MOST_GROUPS = 24
# Each round cuts at least one part, and no model needs many: a bound for modules nested without end.
_MOST_ROUNDS = 64

_NOTHING = Cost()

# Parts before and after that belong together.
_PartGroup = Pair[tuple[Part, ...]]
_Members = Pair[dict[str, list[ModuleRecord]]]
_PathPairs = Sequence[tuple[str, str]]
_Links = Counter[tuple[str, str]]
_Unchanged = set[tuple[str | None, str | None]]


def find_groups(before: Profile, after: Profile, matches: tuple[Match, ...], rows: tuple[ModuleDiff, ...]) -> tuple[Group, ...]:
    """Groups that partition the modules of both profiles, in the order of their first rows. A model without parts has no groups."""
    profiles = Pair(before, after)
    parts = Pair(Parts(before), Parts(after))
    pairs = [(match.before_path, match.after_path) for match in matches if match.before_path is not None and match.after_path is not None]
    unchanged = {(row.before_path, row.after_path) for row in rows if row.changes == ("same",) and row.own_delta == _NOTHING}
    for _ in range(_MOST_ROUNDS):
        links = _link_parts(parts, pairs)
        if not _cut_shared(parts, links) and not _cut_large(parts, links, pairs, unchanged):
            break
    order = {path: place for place, match in enumerate(matches) for path in ((0, match.before_path), (1, match.after_path))}
    found = _join_linked(parts, _link_parts(parts, pairs))
    running = profiles.map(_list_running)
    found = _pair_replaced(found, {key: (matches[place].segment, key[1] in running[key[0]]) for key, place in order.items()})
    found.sort(key=lambda group: min(order[part.side, part.path] for part in (*group.before, *group.after)))
    return _write_groups(found, profiles, parts.map(lambda side: side.list_members()), unchanged)


def _link_parts(parts: Pair[Parts], pairs: _PathPairs) -> _Links:
    """The pairs of parts with enough modules in common, or whose topmost modules are one; and how many modules those are."""
    common: _Links = Counter()
    tops: set[tuple[str, str]] = set()
    for one, other in pairs:
        part_before, part_after = parts.before.find(one), parts.after.find(other)
        if part_before is not None and part_after is not None:
            common[part_before, part_after] += 1
            if (one, other) == (part_before, part_after):
                tops.add((one, other))
    sizes = parts.map(lambda side: side.sizes)
    return Counter(
        {
            (one, other): shared
            for (one, other), shared in common.items()
            if (one, other) in tops or shared >= _LEAST_COMMON * min(sizes.before[one], sizes.after[other])
        }
    )


def _cut_shared(parts: Pair[Parts], links: _Links) -> bool:
    """Cuts each part that became several, or was made of several, unless those are pieces themselves."""
    cut = False
    for side in (0, 1):
        partners: defaultdict[str, set[str]] = defaultdict(set)
        for pair in sorted(links):
            if not parts[1 - side].is_piece(pair[1 - side]):
                partners[pair[side]].add(pair[1 - side])
        for part, others in partners.items():
            if len(others) > 1 and parts[side].cut(part, as_pieces=True):
                cut = True
    return cut


def _cut_large(parts: Pair[Parts], links: _Links, pairs: _PathPairs, unchanged: _Unchanged) -> bool:
    """Cuts a pair of parts that holds most of a model and changed somewhere."""
    counts = Pair(Counter(one for one, _ in links), Counter(other for _, other in links))
    for one, other in sorted(links):
        both = Pair((parts.before, one), (parts.after, other))
        largest = max(side.sizes[part] for side, part in both)
        children = both.map(lambda each: each[0].count_children(each[1]))
        large = max(side.measure_share(part) for side, part in both) > _TOO_LARGE and largest > _LEAST_CUT
        if not large or not counts.before[one] == counts.after[other] == 1 or not all(children) or max(children) > _MOST_PIECES:
            continue
        inside = [pair for pair in pairs if parts.before.find(pair[0]) == one and parts.after.find(pair[1]) == other]
        if len(inside) == largest and all(pair in unchanged for pair in inside):
            continue
        for side, part in both:
            side.cut(part, as_pieces=False)
        return True
    return False


def _join_linked(parts: Pair[Parts], links: _Links) -> list[_PartGroup]:
    """The parts, linked ones in one group."""
    heads = {part: part for side, each in enumerate(parts) for part in (Part(side, path) for path in each.paths)}

    def find_head(part: Part) -> Part:
        while heads[part] != part:
            heads[part] = heads[heads[part]]
            part = heads[part]
        return part

    for one, other in sorted(links):
        heads[find_head(Part(0, one))] = find_head(Part(1, other))
    joined: defaultdict[Part, list[Part]] = defaultdict(list)
    for part in heads:
        joined[find_head(part)].append(part)
    return [
        Pair(tuple(part for part in group if part.side == 0), tuple(part for part in group if part.side == 1)) for group in joined.values()
    ]


def _list_running(profile: Profile) -> set[str]:
    """The paths of the modules that run, or hold one that does."""
    parents, found = index_modules(profile).parents, set[str]()
    for module in profile.modules:
        path: str | None = module.path if module.calls else None
        while path is not None and path not in found:
            found.add(path)
            path = parents[path]
    return found


def _pair_replaced(groups: list[_PartGroup], segments: dict[tuple[int, str | None], tuple[int, bool]]) -> list[_PartGroup]:
    """Groups of removed parts with those of added parts in the same segment: one to one where there are equally many, else all together.

    A part that never runs, such as an auxiliary head, is in no segment: nothing that runs replaces it.
    """
    found = [group for group in groups if group.before and group.after]
    one_sided: defaultdict[tuple[int, bool], Pair[list[_PartGroup]]] = defaultdict(lambda: Pair([], []))
    for group in groups:
        if not group.before or not group.after:
            part = (*group.before, *group.after)[0]
            one_sided[segments[part.side, part.path]][part.side].append(group)
    for _, (removed, added) in sorted(one_sided.items()):
        if len(removed) == len(added):
            found += [Pair(one.before, other.after) for one, other in zip(removed, added, strict=True)]
        elif removed and added:
            found.append(
                Pair(tuple(part for group in removed for part in group.before), tuple(part for group in added for part in group.after))
            )
        else:
            found += removed + added
    return found


# --- the records


def _write_groups(found: list[_PartGroup], profiles: Pair[Profile], members: _Members, unchanged: _Unchanged) -> tuple[Group, ...]:
    """A Group for each, neighbours without a change as one, then everything else."""
    unchanged_paths = Pair({one for one, _ in unchanged}, {other for _, other in unchanged})

    def is_unchanged(group: _PartGroup) -> bool:
        inside = [(part.side, record.path) for part in (*group.before, *group.after) for record in members[part.side][part.path]]
        return bool(group.before and group.after) and all(path in unchanged_paths[side] for side, path in inside)

    groups: list[Group] = []
    for same, run in groupby(found, key=is_unchanged):
        listed = list(run)
        for alike in [listed] if same else _gather_alike(listed, members):
            merged = Pair(tuple(part for each in alike for part in each.before), tuple(part for each in alike for part in each.after))
            costs = _sum_sides(merged, members)
            paths = merged.map(lambda side: tuple(part.path for part in side))
            groups.append(
                Group(
                    name=name_group(*paths, unchanged=same),
                    before_paths=paths.before,
                    after_paths=paths.after,
                    before=costs.before,
                    after=costs.after,
                    delta=costs.after - costs.before,
                )
            )
    groups = _keep_largest(groups)
    return (*groups, *_write_rest(groups, profiles, members))


def _gather_alike(groups: list[_PartGroup], members: _Members) -> list[list[_PartGroup]]:
    """The groups, neighbours together that are the next block of the same list on each side and have the same costs there."""
    runs: list[list[_PartGroup]] = []
    last: Pair[Cost] | None = None
    for group in groups:
        costs = _sum_sides(group, members)
        if runs and costs == last and all(_follows(*pair) for pair in zip(runs[-1][-1], group, strict=True)):
            runs[-1].append(group)
        else:
            runs.append([group])
        last = costs
    return runs


def _follows(one: tuple[Part, ...], other: tuple[Part, ...]) -> bool:
    """Whether the second is the next block of the list that the first is in; two groups without parts on a side agree there."""
    if len(one) != 1 or len(other) != 1:
        return not one and not other
    place, next_place = split_index(one[0].path), split_index(other[0].path)
    return place is not None and next_place == (place[0], place[1] + 1)


def _sum_sides(group: _PartGroup, members: _Members) -> Pair[Cost]:
    return group.map(lambda side: sum_costs(record.own for part in side for record in members[part.side][part.path]))


def _keep_largest(groups: list[Group]) -> list[Group]:
    ranked = sorted(range(len(groups)), key=lambda place: (-abs(groups[place].delta.params), -abs(groups[place].delta.flops), place))
    return [groups[place] for place in sorted(ranked[:_MOST_GROUPS])]


def _write_rest(groups: list[Group], profiles: Pair[Profile], members: _Members) -> list[Group]:
    if not groups:
        return []
    listed = Pair({path for group in groups for path in group.before_paths}, {path for group in groups for path in group.after_paths})
    rest = []
    for profile, paths, inside in zip(profiles, listed, members, strict=True):
        grouped = {record.path for path in paths for record in inside[path]}
        rest.append((profile, [record for record in profile.modules if record.path not in grouped]))
    return [make_group(EVERYTHING_ELSE, rest[0], rest[1])] if rest[0][1] or rest[1][1] else []
