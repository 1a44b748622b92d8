"""What is planted, and what counts as noticed: on texts small enough to be written out."""

from __future__ import annotations

import pytest
from mutation.coverage_map import CoverageMap, Statement, find_statement
from mutation.mutants import OPERATORS, Mutant, apply_mutant, group_places, list_changed, list_mutants, show_mutant
from mutation.packages import PACKAGES, list_sources, list_tests
from mutation.sampling import draw_sample

SOURCE = '''
THRESHOLD = 0.5

def choose(values: list[int] | None, least: int = 2) -> int | None:
    """The first of enough values."""
    assert values is not None
    values.sort()
    if len(values) >= least and values[0] != -1:
        return values[0]
    return None
'''


def mutate(source: str) -> list[str]:
    return [list_changed(source, mutant)[1] for mutant in list_mutants("m.py", source)]


def test_every_mutant_of_a_function() -> None:
    assert sorted(mutate(SOURCE)) == sorted(
        [
            "THRESHOLD = 0.4",
            "THRESHOLD = 0.625",
            "def choose(values: list[int] | None, least: int = 3) -> int | None:",
            "def choose(values: list[int] | None, least: int = 1) -> int | None:",
            "pass",
            "if not len(values) >= least and values[0] != -1:",
            "if len(values) > least and values[0] != -1:",
            "if len(values) < least and values[0] != -1:",
            "if len(values) >= least or values[0] != -1:",
            "if len(values) >= least and values[0] == -1:",
            "if len(values) >= least and values[ 1] != -1:",
            "if len(values) >= least and values[ -1] != -1:",
            "if len(values) >= least and values[0] != 1:",
            "if len(values) >= least and values[0] != - 2:",
            "if len(values) >= least and values[0] != - 0:",
            "return values[ 1]",
            "return values[ -1]",
        ]
    )


def test_annotations_assertions_and_docstrings_are_left_alone() -> None:
    assert mutate('"""Ten: 10."""\nfrom x import y\ndef f(a: int | None) -> int | str:\n    assert a > 1\n    b: int | None\n') == []
    assert mutate("a = list(zip(b, c, strict=True))\n@cache\ndef f(x): ...\n@g(True)\ndef h(x): ...\n") == [""]  # without g
    assert mutate("class A(Record, frozen=True):\n    x = False\n") == ["x = True"]
    assert mutate("class A(Record):\n    x: int\n") == mutate("class A(B, frozen=True): ...\n") == []
    assert mutate("b: int | None = 3\n") == ["b: int | None = 4", "b: int | None = 2"]


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_each_operator_does_what_its_examples_say(name: str) -> None:
    operator = OPERATORS[name]
    for example in operator.examples():
        mutant = Mutant("m.py", 1, 0, name, example.occurrence or 0)
        assert apply_mutant(example.pre_mutation_code, mutant).split() == example.post_mutation_code.split()


def test_a_mutant_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"m\.py has no AddNot number 7"):
        apply_mutant(SOURCE, Mutant("m.py", 1, 0, "AddNot", 7))


def test_a_mutant_is_shown_as_the_lines_that_it_changes() -> None:
    (mutant,) = [mutant for mutant in list_mutants("m.py", SOURCE) if mutant.operator == "RemoveCall"]
    assert show_mutant(SOURCE, mutant).splitlines() == ["m.py:7 RemoveCall", "  - values.sort()", "  + pass"]


def test_mutants_of_one_place_are_drawn_as_one() -> None:
    places = group_places(list_mutants("m.py", "a = 1 >= 2\n"))
    assert [len(place) for place in places] == [2, 2, 2]


def test_the_statement_of_a_line_is_the_innermost_one_and_of_a_block_its_head() -> None:
    source = "x = (\n    1,\n    2,\n)\nif (x and\n        x):\n    y = 1\n@f\ndef g():\n    return 1\n"
    assert [find_statement(source, line)[:2] for line in range(1, 11)] == [
        (1, 4), (1, 4), (1, 4), (1, 4), (5, 6), (5, 6), (7, 7), (8, 9), (8, 9), (10, 10),
    ]  # fmt: skip
    assert [find_statement(source, line).in_function for line in (1, 8, 9, 10)] == [False, False, False, True]


def test_the_tests_of_a_statement_come_first_and_the_fastest_of_them_before_the_others() -> None:
    covered = CoverageMap(
        {"t/a.py::slow": 2.0, "t/a.py::fast": 1.0, "t/a.py::shared": 0.1, "t/b.py::far": 0.1},
        {"m.py": {1: [], 5: ["t/a.py::slow"], 6: ["t/a.py::fast"], 9: ["t/b.py::far"]}},
    )
    assert covered.list_tests("m.py", Statement(5, 6, True)) == ["t/a.py::fast", "t/a.py::slow", "t/a.py::shared"]
    assert covered.list_tests("m.py", Statement(1, 1, False)) == ["t/b.py::far", "t/a.py::fast", "t/a.py::slow", "t/a.py::shared"]
    assert covered.list_tests("m.py", Statement(7, 8, True)) == []


def test_a_seed_draws_the_same_mutants_and_one_of_each_place() -> None:
    one, same, other = (draw_sample(["metrics"], 30, seed)["metrics"] for seed in (1, 1, 2))
    assert one == same != other
    assert len({mutant.place for mutant in one}) == 30


def test_every_package_has_sources_and_tests() -> None:
    assert all(list_sources(package) and list_tests(package) for package in PACKAGES)
