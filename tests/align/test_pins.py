"""Pins: modules that the user matches, or forbids to match, in a call or in the config."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories import make_module, make_profile, make_tensor

from archaudit.align import Pin, align
from archaudit.config import load_config
from archaudit.errors import ConfigError
from archaudit.pipeline import Options, Target, compare_profiles
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


def test_a_pin_has_precedence_over_equal_subtrees_and_is_in_the_reason() -> None:
    pin = Pin(before="body.0", after="body.1", source="archaudit.toml: align[0]")
    matches = align(BEFORE, AFTER, [pin])
    assert find(matches, "body.0").after_path == "body.1"
    assert find(matches, "body.0").confidence == 1.0
    assert find(matches, "body.0").reason.endswith("pinned (archaudit.toml: align[0])")
    assert find(matches, "stem").after_path == "stem"


def test_a_forbidden_pair_is_not_made_and_the_rest_of_the_tree_is_matched() -> None:
    matches = align(BEFORE, AFTER, [Pin(before="body.1", after="body.1", forbid=True)])
    assert find(matches, "body.1").after_path is None
    assert find(matches, "body.1").reason == "no counterpart after; not matched with body.1 (align)"
    assert (find(matches, "body").after_path, find(matches, "body.0").after_path) == ("body", "body.0")


@pytest.mark.parametrize("pin", [Pin(before="body.0"), Pin(after="body.0")])
def test_a_module_pinned_to_nothing_stays_unmatched(pin: Pin) -> None:
    pairs = pair_up(BEFORE, BEFORE, pin)
    assert pairs["body.0"] is None
    assert (pairs[""], pairs["stem"], pairs["body"], pairs["body.1"]) == ("", "stem", "body", "body.1")


def test_the_children_of_pinned_containers_are_matched() -> None:
    after = make_profile({"other": make_module(type="Block"), "other.0": linear(8, 8), "other.1": linear(8, 4), "stem": linear(3, 8)})
    pairs = pair_up(BEFORE, after, Pin(before="body", after="other"))
    assert (pairs["body"], pairs["body.0"], pairs["body.1"]) == ("other", "other.0", "other.1")


def test_all_unknown_and_contradicting_pins_are_in_one_error() -> None:
    pins = [Pin(before="bodi.0", after="body.0", source="align[0]"), Pin(before="stem", after="body.0", source="align[1]")]
    with pytest.raises(ConfigError) as caught:
        align(BEFORE, AFTER, pins)
    assert caught.value.message.splitlines() == [
        "align[0].before: before has no module 'bodi.0'; the nearest are body.0, body.1, body",
        "align[1].after: 'body.0' is pinned by align[0] already",
    ]


def test_pins_apply_with_the_sides_swapped() -> None:
    there = pair_up(BEFORE, AFTER, Pin(before="body.0", after="body.1"))
    back = pair_up(AFTER, BEFORE, Pin(before="body.1", after="body.0"))
    assert {(one, other) for one, other in there.items() if other} == {(other, one) for one, other in back.items() if other}


# --- in the config ----------------------------------------------------------------------------------------------------

MODELS = """
[models.one]
reference = "one.py:Model"

[models.two]
reference = "two.py:Model"
"""


def test_pins_of_the_config_are_applied_and_named_in_the_reasons(tmp_path: Path) -> None:
    path = tmp_path / "archaudit.toml"
    path.write_text(MODELS + "[[align]]\nbefore = 'a'\nafter = 'b'\n\n[[align]]\nbefore = 'b'\n")
    config = load_config(path)
    wide = make_module(64, tensors=(make_tensor("weight", (8, 8)),))
    profiles = [make_profile({"a": wide, "b": wide}, name=name) for name in ("one", "two")]
    targets = [Target(name=name, key=name, saved=profile, config=config) for name, profile in zip(("one", "two"), profiles, strict=True)]
    rows = {row.before_path: row for row in compare_profiles(targets, profiles, Options(config=config)).modules}
    assert (rows["a"].after_path, rows["b"].after_path) == ("b", None)
    assert rows["a"].reason.endswith("align[0])")
    assert rows["b"].reason.endswith("align[1])")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[align]]\nbefor = 'a'", "align[0].befor: is not a known key; did you mean 'before'?"),
        ("[[align]]\nforbid = true", "align[0].forbid: needs a pair; remove it to leave a single module without a counterpart"),
        ("[[align]]\nbefore = 'a'\nafter = 'b'\nforbid = 1", "align[0].forbid: expected true or false"),
        ("[[align]]\nbefore = 3", "align[0].before: expected text, not a number"),
        ("[[align]]\n", "align[0].before: is missing; at least one of before, after is required"),
    ],
)
def test_faulty_pins_of_a_config_are_named_by_their_key(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "archaudit.toml"
    path.write_text(MODELS + text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert fault in caught.value.message
