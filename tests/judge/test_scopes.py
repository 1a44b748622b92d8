"""Checks of certain types of module, of input scenarios, and of models that were not measured."""

from __future__ import annotations

from typing import Any

import pytest
from factories import make_module, make_profile

from archaudit.errors import ArchauditError
from archaudit.judge import judge
from archaudit.schema import Check, Profile, Verdict

MODEL = make_profile(
    {
        "body": make_module(1, "Block"),
        "body.a": make_module(10, "Conv2d"),
        "body.b": make_module(100, "ConvTranspose2d"),
        "body.c*": make_module(1000, "Linear"),
        "body.cx": make_module(5000, "Linear"),
        "head": make_module(20000, "Conv2d"),
    },
    name="after",
)


def check(profiles: dict[str, Profile] | None = None, **fields: Any) -> Verdict:
    plain = {"id": "c", "origin": "budget", "model": "after", "metric": "params", "comparison": "max", "expected": "0"}
    return judge([Check(**plain | fields)], profiles or {"after": MODEL}, {})[0]


@pytest.mark.parametrize(
    ("scope", "types", "params", "text"),
    [
        ((), ("Conv2d",), 20010, "[Conv2d]"),
        (("body",), ("Conv2d",), 10, "body [Conv2d]"),
        (("body",), ("Conv*",), 110, "body [Conv*]"),
        (("body", "head"), ("ConvTranspose2d", "Conv2d"), 20110, "body + head [ConvTranspose2d, Conv2d]"),
        (("body.c*",), (), 6000, "body.c*"),
    ],
)
def test_a_check_of_certain_types_counts_only_their_modules(scope: tuple[str, ...], types: tuple[str, ...], params: int, text: str) -> None:
    verdict = check(scope=scope or ("",), types=types)
    assert (verdict.actual, verdict.scope) == (params, text)


def test_a_name_that_contains_a_wildcard_matches_one_character() -> None:
    # as a pattern, `body.c*` matches any name that begins so; as the path of a Linear, one more character
    verdict = check(scope=("body",), types=("Linear",))
    assert verdict.actual == 6000


def test_a_type_that_the_scope_does_not_have_is_inconclusive_and_lists_what_it_has() -> None:
    verdict = check(scope=("body",), types=("Conv2d", "GRU"))
    assert verdict.outcome == "inconclusive"
    assert verdict.reason == "no module of after in this scope is a 'GRU'; types are Block, Conv2d, ConvTranspose2d, Linear"
    kinds = {f"m{number}": make_module(1, f"T{number}") for number in range(6)}
    listed = check({"after": make_profile({"": make_module(0, "T0"), **kinds}, name="after")}, scope=("",), types=("GRU",)).reason
    assert listed.endswith("types are T0, T1, T2, T3, T4, T5")
    kinds["m6"] = make_module(1, "T6")
    listed = check({"after": make_profile({"": make_module(0, "T0"), **kinds}, name="after")}, scope=("",), types=("GRU",)).reason
    assert listed.endswith("types are T0, T1, T2, T3, T4, T5, ...")


def test_a_scenario_is_judged_by_its_own_profile_or_else_by_the_models() -> None:
    own, plain = make_profile({"a": 7}, name="after"), make_profile({"a": 9}, name="after")
    named = judge(
        [Check(id="c", origin="budget", model="m", metric="params", comparison="max", expected="8", scenario="s")], {"m": plain}, {}
    )
    assert named[0].actual == 9
    assert check({"other": own}).reason == "no model 'after' was measured; measured were: other"
    assert "measured were: none" in check({"": own}).reason


def test_a_model_that_could_not_be_measured_says_why_on_one_line() -> None:
    error = ArchauditError("it broke.\nbadly", "Mend it.")
    plain = Check(id="c", origin="budget", model="after", metric="params", comparison="max", expected="8")
    verdict = judge([plain], {}, {}, unmeasured={"after": error})[0]
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "it broke. badly. Mend it")
