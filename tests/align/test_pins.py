import pytest
from factories import make_module, make_profile, make_tensor

from archaudit.align import Pin, align
from archaudit.errors import ConfigError
from archaudit.schema import Match, ModuleRecord, Profile


def linear(inputs: int, outputs: int) -> ModuleRecord:
    return make_module(inputs * outputs, "Linear", tensors=(make_tensor("weight", (outputs, inputs)),))


BEFORE = make_profile(
    {"stem": linear(3, 8), "body": make_module(type="Sequential"), "body.0": linear(8, 8), "body.1": linear(8, 4)}, name="before"
)
AFTER = make_profile(
    {"stem": linear(3, 8), "body": make_module(type="Sequential"), "body.0": linear(8, 8), "body.1": linear(8, 5)}, name="after"
)


def pair_up(before: Profile, after: Profile, *pins: Pin) -> dict[str | None, str | None]:
    return {match.before_path: match.after_path for match in align(before, after, pins) if match.before_path is not None}


def find(matches: tuple[Match, ...], before: str) -> Match:
    return next(match for match in matches if match.before_path == before)


def test_a_pin_wins_over_equal_subtrees_and_is_told() -> None:
    pin = Pin(before="body.0", after="body.1", source="archaudit.toml: align[0]")
    matches = align(BEFORE, AFTER, [pin])
    assert find(matches, "body.0").after_path == "body.1"
    assert find(matches, "body.0").confidence == 1.0
    assert find(matches, "body.0").reason.endswith("pinned (archaudit.toml: align[0])")
    assert find(matches, "stem").after_path == "stem"


def test_a_forbidden_pair_is_not_made_and_the_rest_of_the_tree_is() -> None:
    matches = align(BEFORE, AFTER, [Pin(before="body.1", after="body.1", forbid=True)])
    assert find(matches, "body.1").after_path is None
    assert find(matches, "body.1").reason == "no counterpart after; not matched with body.1 (align)"
    assert (find(matches, "body").after_path, find(matches, "body.0").after_path) == ("body", "body.0")


@pytest.mark.parametrize("pin", [Pin(before="body.0"), Pin(after="body.0")])
def test_a_module_pinned_to_nothing_is_left_alone(pin: Pin) -> None:
    pairs = pair_up(BEFORE, BEFORE, pin)
    assert pairs["body.0"] is None
    assert (pairs[""], pairs["stem"], pairs["body"], pairs["body.1"]) == ("", "stem", "body", "body.1")


def test_below_pinned_containers_children_are_matched() -> None:
    after = make_profile({"other": make_module(type="Block"), "other.0": linear(8, 8), "other.1": linear(8, 4), "stem": linear(3, 8)})
    pairs = pair_up(BEFORE, after, Pin(before="body", after="other"))
    assert (pairs["body"], pairs["body.0"], pairs["body.1"]) == ("other", "other.0", "other.1")


def test_unknown_and_contradicting_pins_are_told_all_at_once() -> None:
    pins = [Pin(before="bodi.0", after="body.0", source="align[0]"), Pin(before="stem", after="body.0", source="align[1]")]
    with pytest.raises(ConfigError) as caught:
        align(BEFORE, AFTER, pins)
    assert caught.value.message.splitlines() == [
        "align[0].before: before has no module 'bodi.0'; the nearest are body.0, body.1, body",
        "align[1].after: 'body.0' is pinned by align[0] already",
    ]


def test_pins_hold_with_the_sides_swapped() -> None:
    there = pair_up(BEFORE, AFTER, Pin(before="body.0", after="body.1"))
    back = pair_up(AFTER, BEFORE, Pin(before="body.1", after="body.0"))
    assert {(one, other) for one, other in there.items() if other} == {(other, one) for one, other in back.items() if other}
