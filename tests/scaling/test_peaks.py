"""The peak of live memory is a maximum of sums, of which only those are kept that are the largest somewhere."""

from archaudit.scaling.fitting import Fitter
from archaudit.scaling.peaks import fit_peak
from archaudit.scaling.samples import Sample

FIRST, SQUARE, LAST = (0, "first", 0), (1, "square", 0), (2, "last", 0)


def run(size):
    """Scores of T x T, freed before a table of 100 x T is allocated; 4 bytes each, and an input of T that stays."""
    return Sample(
        sizes={"T": size},
        products={},
        allocations={FIRST: (4, size), SQUARE: (4, size, size), LAST: (4, 100, size)},
        events=[(True, FIRST), (True, SQUARE), (False, SQUARE), (True, LAST), (False, LAST)],
    )


def test_the_pieces_name_the_modules_that_decide():
    samples = [run(size) for size in (7, 30, 110, 250, 400, 777)]
    text, pieces = fit_peak(Fitter(samples, {}), [sample.sizes for sample in samples])
    # the scores are larger from T = 100 on
    assert sorted(pieces) == [("4*T**2 + 4*T", 1), ("404*T", 2)]
    assert text.startswith("max(")


def test_a_moment_that_is_never_the_largest_is_left_out():
    samples = [run(size) for size in (110, 130, 250, 333, 400, 777)]
    text, pieces = fit_peak(Fitter(samples, {}), [sample.sizes for sample in samples])
    assert text == "4*T**2 + 4*T"
    assert len(pieces) == 1
