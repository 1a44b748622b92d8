"""Pairs of rows and columns of greatest total gain: in any order (an assignment), or in rising order (a sequence alignment)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

Gain = Callable[[int, int], float]
"""The gain of pairing a row with a column; not positive for a pair that must not be made."""

Cell = tuple[int, int]
"""A row and a column."""


class Span(NamedTuple):
    """A part of a sequence: its first place, and the place after its last."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """The number of places."""
        return self.stop - self.start


# --- in any order -----------------------------------------------------------------------------------------------------

# Rows plus columns. The optimal assignment takes cubic time, which is milliseconds up to here.
_LARGEST_OPTIMAL = 80
# Cells. Beyond this not even every pair is compared; so many unmatched siblings are near-duplicates of each other.
_LARGEST_TABLE = 200_000


def assign(rows: int, columns: int, gain: Gain) -> list[Cell]:
    """Pairs of positive gain, each row and column at most once: the best total in a small table, the best pair first in a large one."""
    if not rows or not columns or rows * columns > _LARGEST_TABLE:
        return []
    gains = [[max(0.0, gain(row, column)) for column in range(columns)] for row in range(rows)]
    if not any(any(row) for row in gains):
        return []
    if rows + columns > _LARGEST_OPTIMAL:
        return _assign_greedily(gains)
    if rows <= columns:
        pairs = _assign_optimally(gains)
    else:
        pairs = [(row, column) for column, row in _assign_optimally([list(column) for column in zip(*gains, strict=True)])]
    return sorted((row, column) for row, column in pairs if gains[row][column] > 0)


def _assign_greedily(gains: list[list[float]]) -> list[Cell]:
    ranked = sorted((-value, row, column) for row, line in enumerate(gains) for column, value in enumerate(line) if value > 0)
    rows: set[int] = set()
    columns: set[int] = set()
    pairs = []
    for _, row, column in ranked:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            pairs.append((row, column))
    return sorted(pairs)


def _assign_optimally(gains: list[list[float]]) -> list[Cell]:
    """The Hungarian method by shortest augmenting paths. Needs at most as many rows as columns; counts from one, zero means no row.

    Source: H. W. Kuhn, The Hungarian method for the assignment problem, 1955; with the potentials of Jonker and Volgenant, 1987.
    """
    rows, columns = len(gains), len(gains[0])
    row_potential, column_potential = [0.0] * (rows + 1), [0.0] * (columns + 1)
    row_of = [0] * (columns + 1)
    for row in range(1, rows + 1):
        row_of[0] = row
        came_from = [0] * (columns + 1)
        slack = [float("inf")] * (columns + 1)
        done = [False] * (columns + 1)
        column = 0
        while row_of[column]:
            done[column] = True
            here, nearest, step = row_of[column], 0, float("inf")
            for other in range(1, columns + 1):
                if done[other]:
                    continue
                reduced = -gains[here - 1][other - 1] - row_potential[here] - column_potential[other]
                if reduced < slack[other]:
                    slack[other], came_from[other] = reduced, column
                if slack[other] < step:
                    step, nearest = slack[other], other
            for other in range(columns + 1):
                if done[other]:
                    row_potential[row_of[other]] += step
                    column_potential[other] -= step
                else:
                    slack[other] -= step
            column = nearest
        while column:
            row_of[column] = row_of[came_from[column]]
            column = came_from[column]
    return [(row_of[column] - 1, column - 1) for column in range(1, columns + 1) if row_of[column]]


# --- in rising order ---------------------------------------------------------------------------------------------------

# Cells of a full table: 200 x 200 takes a few milliseconds, most of it for the comparisons.
_LARGEST_SEQUENCE_TABLE = 40_000
# How far from the diagonal two longer sequences are searched.
_BAND = 48
# The search for a common subsequence takes memory quadratic in the number of differences. With more than this many, sequences are split at
# elements that occur once instead.
_MOST_DIFFERENCES = 400


def align_sequences(left: Sequence[Hashable], right: Sequence[Hashable], gain: Gain) -> list[Cell]:
    """Pairs of places, rising on both sides, of greatest total gain. `left` and `right` are fingerprints: equal elements are equal things.

    Exact for short sequences. Longer ones are split at equal elements, and the parts between them are aligned.
    """
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start] and gain(start, start) > 0:
        start += 1
    ends = len(left), len(right)
    tail = 0
    while tail < min(ends) - start and left[-1 - tail] == right[-1 - tail] and gain(ends[0] - 1 - tail, ends[1] - 1 - tail) > 0:
        tail += 1
    pairs = [(place, place) for place in range(start)]
    pairs += _align_middle(Span(start, ends[0] - tail), Span(start, ends[1] - tail), (left, right), gain)
    return pairs + [(ends[0] - back, ends[1] - back) for back in range(tail, 0, -1)]


def _align_middle(span_left: Span, span_right: Span, keys: tuple[Sequence[Hashable], Sequence[Hashable]], gain: Gain) -> list[Cell]:
    pairs: list[Cell] = []
    if span_left.length * span_right.length <= _LARGEST_SEQUENCE_TABLE:
        return _align_by_table(span_left, span_right, gain)
    anchors = [pair for pair in _find_anchors(span_left, span_right, keys) if gain(*pair) > 0]
    from_left, from_right = span_left.start, span_right.start
    for left, right in anchors:
        pairs += _align_by_table(Span(from_left, left), Span(from_right, right), gain)
        pairs.append((left, right))
        from_left, from_right = left + 1, right + 1
    return pairs + _align_by_table(Span(from_left, span_left.stop), Span(from_right, span_right.stop), gain)


def _find_anchors(span_left: Span, span_right: Span, keys: tuple[Sequence[Hashable], Sequence[Hashable]]) -> list[Cell]:
    """Equal elements at which to split: a longest common subsequence where the sequences differ in few places; else the elements that occur
    once on each side; else those at the same place."""
    lefts, rights = (side[slice(*span)] for side, span in zip(keys, (span_left, span_right), strict=True))
    common = find_common_subsequence(lefts, rights)
    if common is None:
        places = _find_single(lefts), _find_single(rights)
        once = [(place, places[1][key]) for key, place in places[0].items() if key in places[1]]
        common = [once[place] for place in find_longest_increasing([right for _, right in once])]
    if not common:
        common = [(place, place) for place in range(min(len(lefts), len(rights))) if lefts[place] == rights[place]]
    return [(span_left.start + left, span_right.start + right) for left, right in common]


def _find_single(keys: Sequence[Hashable]) -> dict[Hashable, int]:
    """The place of each element that occurs once, in order."""
    counts = Counter(keys)
    return {key: place for place, key in enumerate(keys) if counts[key] == 1}


def find_common_subsequence(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[Cell] | None:
    """A longest common subsequence as pairs of places; None where the sequences differ in too many places.

    Takes time proportional to the length times the number of differences. Source: E. W. Myers, An O(ND) difference algorithm, 1986.
    """
    furthest = {1: 0}
    rounds: list[dict[int, int]] = []
    for steps in range(min(len(left) + len(right), _MOST_DIFFERENCES) + 1):
        rounds.append(dict(furthest))
        for diagonal in range(-steps, steps + 1, 2):
            down = diagonal == -steps or (diagonal != steps and furthest[diagonal - 1] < furthest[diagonal + 1])
            row = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            while row < len(left) and row - diagonal < len(right) and left[row] == right[row - diagonal]:
                row += 1
            furthest[diagonal] = row
            if row >= len(left) and row - diagonal >= len(right):
                return _trace_common_subsequence(rounds, len(left), len(right))
    return None


def _trace_common_subsequence(rounds: list[dict[int, int]], row: int, column: int) -> list[Cell]:
    pairs: list[Cell] = []
    for steps in range(len(rounds) - 1, -1, -1):
        furthest, diagonal = rounds[steps], row - column
        down = diagonal == -steps or (diagonal != steps and furthest[diagonal - 1] < furthest[diagonal + 1])
        before = diagonal + 1 if down else diagonal - 1
        start_row = furthest[before] if steps else 0
        start_column = start_row - before if steps else 0
        while row > start_row and column > start_column:
            row, column = row - 1, column - 1
            pairs.append((row, column))
        row, column = start_row, start_column
    return pairs[::-1]


def _align_by_table(span_left: Span, span_right: Span, gain: Gain) -> list[Cell]:
    """The best pairs within two spans, by dynamic programming; only in a band along the diagonal where the table is too large."""
    rows, columns = span_left.length, span_right.length
    if rows <= 0 or columns <= 0:
        return []
    wide = rows * columns > _LARGEST_SEQUENCE_TABLE
    best: list[dict[int, float]] = [dict.fromkeys(range(columns + 1), 0.0)]
    steps: list[dict[int, str]] = []
    for row in range(1, rows + 1):
        middle = row * columns // rows
        low, high = (max(1, middle - _BAND), min(columns, middle + _BAND)) if wide else (1, columns)
        above, values, taken = best[-1], {}, {}
        values[low - 1] = above.get(low - 1, 0.0)
        for column in range(low, high + 1):
            gained = gain(span_left.start + row - 1, span_right.start + column - 1)
            paired = above.get(column - 1, 0.0) + gained if gained > 0 else -1.0
            choices = (above.get(column, 0.0), values[column - 1], paired)
            value = max(choices)
            # of equal values a pair wins, then the row above: the result is deterministic
            taken[column] = "pair" if choices[2] == value else "up" if choices[0] == value else "back"
            values[column] = value
        best.append(values)
        steps.append(taken)
    return _trace_back(steps, span_left.start, span_right.start, columns)


def _trace_back(steps: list[dict[int, str]], from_left: int, from_right: int, column: int) -> list[Cell]:
    pairs: list[Cell] = []
    row = len(steps)
    while row > 0 and column > 0:
        taken = steps[row - 1]
        if column not in taken:  # outside the band: move towards it
            if column > max(taken):
                column -= 1
            else:
                row -= 1
        elif taken[column] == "pair":
            row, column = row - 1, column - 1
            pairs.append((from_left + row, from_right + column))
        elif taken[column] == "up":
            row -= 1
        else:
            column -= 1
    return pairs[::-1]


def find_longest_increasing(values: Sequence[int]) -> list[int]:
    """The places of a longest increasing subsequence, in order, by patience sorting in O(n log n)."""
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for place, value in enumerate(values):
        height = bisect_left(tails, value)
        previous.append(ends[height - 1] if height else -1)
        if height == len(tails):
            tails.append(value)
            ends.append(place)
        else:
            tails[height], ends[height] = value, place
    kept: list[int] = []
    place = ends[-1] if ends else -1
    while place >= 0:
        kept.append(place)
        place = previous[place]
    return kept[::-1]
