"""Two sequences aligned in order: the pairs of greatest total gain, none crossing another.

Optimal (Needleman and Wunsch's recurrence) as long as the sequences are short; longer ones are first cut at anchors, and what is long even
then is searched along its diagonal alone, so that the time stays near linear in the length.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence

Gain = Callable[[int, int], float]
Pair = tuple[int, int]

# Cells of a full table: 200 x 200 take some milliseconds, of which the comparisons are the larger part.
_LARGEST_TABLE = 40_000
# How far from the diagonal a longer pair of sequences is searched.
_BAND = 48


def align_sequences(left: Sequence[Hashable], right: Sequence[Hashable], gain: Gain) -> list[Pair]:
    """Pairs of positions, rising on both sides. `left` and `right` hold what may be compared for equality (fingerprints); `gain` is what a
    pair of positions is worth, not positive for one that should not be."""
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start] and gain(start, start) > 0:
        start += 1
    ends = len(left), len(right)
    tail = 0
    while tail < min(ends) - start and left[-1 - tail] == right[-1 - tail] and gain(ends[0] - 1 - tail, ends[1] - 1 - tail) > 0:
        tail += 1
    pairs = [(place, place) for place in range(start)]
    pairs += _align_middle((start, ends[0] - tail), (start, ends[1] - tail), (left, right), gain)
    return pairs + [(ends[0] - back, ends[1] - back) for back in range(tail, 0, -1)]


def _align_middle(span_left: Pair, span_right: Pair, keys: tuple[Sequence[Hashable], Sequence[Hashable]], gain: Gain) -> list[Pair]:
    pairs: list[Pair] = []
    if (span_left[1] - span_left[0]) * (span_right[1] - span_right[0]) <= _LARGEST_TABLE:
        return fill_table(span_left, span_right, gain)
    anchors = [pair for pair in _find_anchors(span_left, span_right, keys) if gain(*pair) > 0]
    from_left, from_right = span_left[0], span_right[0]
    for left, right in [*anchors, (span_left[1], span_right[1])]:
        pairs += fill_table((from_left, left), (from_right, right), gain)
        if left < span_left[1] and right < span_right[1]:
            pairs.append((left, right))
        from_left, from_right = left + 1, right + 1
    return pairs


def _find_anchors(span_left: Pair, span_right: Pair, keys: tuple[Sequence[Hashable], Sequence[Hashable]]) -> list[Pair]:
    """Equal elements that cannot be mistaken: those that occur once on each side, else those that kept their place."""
    once: list[Pair] = []
    places = [_find_single(keys[side], span) for side, span in enumerate((span_left, span_right))]
    once = sorted((place, places[1][key]) for key, place in places[0].items() if key in places[1])
    kept = keep_rising([right for _, right in once])
    anchors = [once[place] for place in kept]
    if anchors:
        return anchors
    length = min(span_left[1] - span_left[0], span_right[1] - span_right[0])
    steps = ((span_left[0] + step, span_right[0] + step) for step in range(length))
    return [(left, right) for left, right in steps if keys[0][left] == keys[1][right]]


def _find_single(keys: Sequence[Hashable], span: Pair) -> dict[Hashable, int]:
    places: dict[Hashable, int] = {}
    repeated: set[Hashable] = set()
    for place in range(*span):
        if keys[place] in places:
            repeated.add(keys[place])
        places[keys[place]] = place
    return {key: place for key, place in places.items() if key not in repeated}


def fill_table(span_left: Pair, span_right: Pair, gain: Gain) -> list[Pair]:
    """The best pairs within two spans; within a band about the diagonal where the table would be too large."""
    rows, columns = span_left[1] - span_left[0], span_right[1] - span_right[0]
    if rows <= 0 or columns <= 0:
        return []
    wide = rows * columns > _LARGEST_TABLE
    best: list[dict[int, float]] = [dict.fromkeys(range(columns + 1), 0.0)]
    steps: list[dict[int, str]] = []
    for row in range(1, rows + 1):
        middle = row * columns // rows
        low, high = (max(1, middle - _BAND), min(columns, middle + _BAND)) if wide else (1, columns)
        above, values, taken = best[-1], {}, {}
        values[low - 1] = above.get(low - 1, 0.0)
        for column in range(low, high + 1):
            worth = gain(span_left[0] + row - 1, span_right[0] + column - 1)
            choices = (above.get(column, 0.0), values[column - 1], above.get(column - 1, 0.0) + worth if worth > 0 else -1.0)
            value = max(choices)
            # a pair where it is as good as none, for the same answer on every run
            taken[column] = "pair" if choices[2] == value else "up" if choices[0] == value else "back"
            values[column] = value
        best.append(values)
        steps.append(taken)
    return _trace_back(steps, span_left[0], span_right[0], columns)


def _trace_back(steps: list[dict[int, str]], from_left: int, from_right: int, column: int) -> list[Pair]:
    pairs: list[Pair] = []
    row = len(steps)
    while row > 0 and column > 0:
        taken = steps[row - 1]
        if column not in taken:  # outside the band: towards it
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


def keep_rising(values: Sequence[int]) -> list[int]:
    """The places of a longest rising subsequence, in order. (Patience sorting, n log n.)"""
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
