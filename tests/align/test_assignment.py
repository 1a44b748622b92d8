from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from archaudit.align import assignment
from archaudit.align.assignment import align_sequences, assign, find_common_subsequence, find_longest_increasing

_WORDS = st.lists(st.sampled_from("abc"), max_size=12)


def count_common(left: list[str], right: list[str]) -> int:
    """The length of a longest common subsequence, by the textbook algorithm."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for row, one in enumerate(left):
        for column, other in enumerate(right):
            table[row + 1][column + 1] = table[row][column] + 1 if one == other else max(table[row][column + 1], table[row + 1][column])
    return table[-1][-1]


@given(_WORDS, _WORDS)
def test_common_subsequences_are_longest_and_in_order(left: list[str], right: list[str]) -> None:
    for pairs in (
        find_common_subsequence(left, right),
        align_sequences(left, right, lambda row, column: float(left[row] == right[column])),
    ):
        assert pairs is not None
        assert all(left[row] == right[column] for row, column in pairs)
        assert all(one[0] < other[0] and one[1] < other[1] for one, other in pairwise(pairs))
        assert len(pairs) == count_common(left, right)


def test_no_common_subsequence_is_searched_in_sequences_that_differ_too_much() -> None:
    assert find_common_subsequence(list(range(1000)), list(range(1000, 2000))) is None


def test_alignment_maximises_the_total_gain_and_does_not_take_the_first_good_pair() -> None:
    gains = {(0, 0): 0.4, (0, 1): 1.0, (1, 1): 0.4, (1, 2): 1.0}
    assert align_sequences("ab", "xyz", lambda row, column: gains.get((row, column), -1.0)) == [(0, 1), (1, 2)]


def test_long_sequences_are_split_at_equal_elements_and_aligned_in_between() -> None:
    left = [place % 7 for place in range(1000)]
    right = [*left[:300], 100, *left[300:600], 200, *left[601:]]
    pairs = align_sequences(left, right, lambda row, column: 1.0 if left[row] == right[column] else 0.5 if right[column] == 200 else -1.0)
    assert len(left) * len(right) > assignment._LARGEST_SEQUENCE_TABLE
    assert (600, 601) in pairs  # replaced: the one place that differs on both sides
    assert 300 not in [column for _, column in pairs]
    assert len(pairs) == 1000


@given(st.permutations(range(7)))
def test_the_increasing_subsequence_is_a_longest_one(values: list[int]) -> None:
    kept = [values[place] for place in find_longest_increasing(values)]
    assert kept == sorted(kept)
    longest = max(
        bin(mask).count("1") for mask in range(1 << 7) if (chosen := [values[bit] for bit in range(7) if mask >> bit & 1]) == sorted(chosen)
    )
    assert len(kept) == longest


@given(st.integers(1, 4), st.integers(1, 5), st.data())
def test_assignments_are_optimal(rows: int, columns: int, data: st.DataObject) -> None:
    gains = [[data.draw(st.integers(-3, 9)) for _ in range(columns)] for _ in range(rows)]
    pairs = assign(rows, columns, lambda row, column: float(gains[row][column]))
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    total = sum(gains[row][column] for row, column in pairs)
    places = [*range(columns), *[None] * rows]
    best = max(
        sum(max(0, gains[row][place]) for row, place in enumerate(chosen) if place is not None) for chosen in permutations(places, rows)
    )
    assert total == best
    assert all(gains[row][column] > 0 for row, column in pairs)


def test_an_element_at_both_ends_of_a_shorter_sequence_is_paired_once() -> None:
    assert align_sequences(["a", "a"], ["a", "a", "a"], lambda row, column: 1.0) == [(0, 0), (1, 1)]
    assert align_sequences(["a", "b"], ["a", "x", "b"], lambda row, column: 1.0) == [(0, 0), (1, 2)]
    assert align_sequences(["a", "b", "b"], ["a", "b"], lambda row, column: 1.0) == [(0, 0), (1, 1)]
