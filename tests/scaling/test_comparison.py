"""Two laws: their difference, and from which size on one is cheaper; worked out by hand."""

from archaudit.scaling.comparison import find_crossings, subtract_laws


def test_equal_terms_cancel():
    assert subtract_laws("4*B*T**2 + 12*B*T", "20*B*T + 12*B*T") == "-4*B*T**2 + 20*B*T"


def test_the_linear_cost_is_cheaper_once_the_square_has_outgrown_it():
    # T^2 > 811 T from T = 812 on; at 811 both cost the same
    sign, crossings = find_crossings("B*T**2", "811*B*T", "T", {"B": 3})
    assert sign == 1
    assert [tuple(crossing) for crossing in crossings] == [(812, True)]


def test_a_cost_may_cross_twice():
    # after - before = (T - 10)(T - 1000): negative between them
    before, after = "1010*T", "T**2 + 10000"
    assert [tuple(crossing) for crossing in find_crossings(before, after, "T", {})[1]] == [(11, True), (1001, False)]


def test_rounded_sizes_are_compared_exactly():
    # 16 tokens for each block of 16 that was begun: 17 need 32, more than 31
    assert find_crossings("31", "16*((T + 15)//16)", "T", {})[1][0].size == 17


def test_equal_laws_do_not_cross():
    assert find_crossings("B*T", "T*B", "T", {"B": 2}) == (0, [])
