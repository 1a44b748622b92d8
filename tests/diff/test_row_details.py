"""Rows of a comparison, field by field, for pairs of modules that differ in one thing each; the matches given by hand."""

from __future__ import annotations

from typing import Any

import pytest
from factories import make_cost, make_module, make_profile, make_tensor
from msgspec import UNSET

from archaudit.diff import diff
from archaudit.schema import Call, Cost, Match, ModuleDiff, ModuleRecord


def compare(
    before: dict[str, ModuleRecord], after: dict[str, ModuleRecord], *matches: Match
) -> dict[tuple[str | None, str | None], ModuleDiff]:
    root = Match(before_path="", after_path="", confidence=1.0, reason="same path")
    rows = diff(make_profile(before), make_profile(after), (root, *matches)).modules
    return {(row.before_path, row.after_path): row for row in rows}


def match(before: str | None, after: str | None, **fields: Any) -> Match:
    return Match(before_path=before, after_path=after, **{"confidence": 0.75, "reason": "by hand"} | fields)


def compare_one(before: ModuleRecord, after: ModuleRecord) -> ModuleDiff:
    return compare({"m": before}, {"m": after}, match("m", "m"))["m", "m"]


def test_a_removed_and_an_added_module_cost_all_that_they_are() -> None:
    rows = compare(
        {"old": make_module(make_cost(5, 7)), "old.in": make_module(make_cost(1, 2))},
        {"new": make_module(make_cost(11, 13))},
        match("old", None, change_id=3, changes=("split",)),
        match("old.in", None),
        match(None, "new", reason="added by hand"),
    )
    old, new = rows["old", None], rows[None, "new"]
    assert (old.changes, old.change_id, old.confidence, old.reason) == (("removed", "split"), 3, 0.75, "by hand")
    assert (old.own_delta, old.total_delta) == (-make_cost(5, 7), -make_cost(6, 9))
    assert (new.changes, new.change_id, new.reason) == (("added",), None, "added by hand")
    assert (new.own_delta, new.total_delta) == (make_cost(11, 13), make_cost(11, 13))
    assert (old.causes, new.causes, old.settings_changed) == ((), (), {})


def test_a_pair_has_the_difference_of_both_and_the_matchs_own_kinds() -> None:
    before, after = {"a": make_module(make_cost(5, 7)), "a.x": make_module(1)}, {"b": make_module(make_cost(8, 7)), "b.x": make_module(3)}
    row = compare(before, after, match("a", "b", changes=("renamed",), change_id=1), match("a.x", "b.x"))["a", "b"]
    assert (row.changes, row.change_id, row.confidence, row.reason) == (("renamed",), 1, 0.75, "by hand")
    assert (row.own_delta.params, row.total_delta.params) == (3, 5)


def test_modules_that_cost_the_same_have_no_delta() -> None:
    row = compare_one(make_module(make_cost(5, 7)), make_module(make_cost(5, 7)))
    assert (row.changes, row.own_delta, row.total_delta, row.reason) == (("same",), Cost(), Cost(), "by hand")


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"kind": "parameter"}, {"kind": "buffer", "trainable": False}, ("resized",)),  # one name, but another tensor
        ({"kind": "buffer"}, {"kind": "buffer", "trainable": False}, ("same",)),  # buffers are not trained
        ({}, {"trainable": False}, ("frozen",)),
        ({"trainable": False}, {}, ("unfrozen",)),
        ({}, {"dtype": "float16"}, ("dtype",)),
        ({}, {"shape": (3, 2)}, ("resized",)),
        ({}, {"name": "other"}, ("resized",)),
        ({}, {"init": "zeros_()"}, ("same",)),
    ],
)
def test_what_became_of_a_tensor(before: dict[str, Any], after: dict[str, Any], changes: tuple[str, ...]) -> None:
    sides = [make_module(0, tensors=(make_tensor(**{"name": "weight", "shape": (2, 2)} | fields),)) for fields in (before, after)]
    assert compare_one(*sides).changes == changes


def test_another_type_may_hold_other_tensors_and_know_other_settings() -> None:
    weight, scale = make_tensor("weight", (2, 2)), make_tensor("scale", (2,))
    before = make_module(0, "Linear", tensors=(weight,), settings={"bias": True, "mode": 1})
    after = make_module(0, "Norm", tensors=(weight, scale), settings={"eps": 1, "bias": True})
    assert (compare_one(before, after).changes, compare_one(before, after).settings_changed) == (("replaced",), {})
    wider = make_module(0, "Norm", tensors=(make_tensor("weight", (3, 2)),), settings={"bias": False})
    assert compare_one(before, wider).changes == ("replaced", "settings", "resized")
    assert compare_one(before, wider).settings_changed == {"bias": (True, False)}


def test_of_one_type_settings_are_compared_by_value_and_kind() -> None:
    def hold(**settings: Any) -> ModuleRecord:
        return make_module(0, settings=settings)

    assert compare_one(hold(a=1, b=2), hold(b=3, a=1)).settings_changed == {"b": (2, 3)}
    assert compare_one(hold(a=1), hold(a=1.0)).settings_changed == {}  # equal numbers
    assert compare_one(hold(a=None), hold()).changes == ("same",)  # unset and None are the same to a reader


def test_a_cost_that_changed_alone_is_explained_by_the_calls_or_by_the_operators() -> None:
    def call(*sizes: int) -> tuple[Call, ...]:
        return tuple(Call(order=place, inputs=((1, size),), outputs=()) for place, size in enumerate(sizes))

    def explain(before: tuple[Call, ...], after: tuple[Call, ...], macs: int = 9, **fields: Any) -> object:
        sides = make_module(make_cost(1, 5), calls=before), make_module(make_cost(1, macs), calls=after, **fields)
        return compare_one(*sides).cost_change

    assert explain(call(4), call(5)) == "calls"
    assert explain(call(4), call(4, 4)) == "calls"
    assert explain(call(4), call(4)) == "operators"
    assert explain(call(4), call(5), macs=5) is UNSET  # the cost is the same
    assert explain(call(4), call(5), settings={"p": 1}) is UNSET  # another change explains it


def test_the_rows_of_a_split_share_the_causes_of_the_whole() -> None:
    def conv(outputs: int, inputs: int, kernel: int, groups: int = 1) -> ModuleRecord:
        shape = (outputs, inputs // groups, kernel, kernel)
        count = outputs * (inputs // groups) * kernel**2
        return make_module(count, "Conv2d", settings={"groups": groups}, tensors=(make_tensor("weight", shape),))

    rows = compare(
        {"whole": conv(4, 8, 3)},
        {"dw": conv(8, 8, 3, groups=8), "pw": conv(4, 8, 1)},
        match("whole", "dw", changes=("split",), change_id=0),
        match(None, "pw", changes=("split",), change_id=0),
    )
    # 4 x 8 x 9 = 288 weights became 8 x 9 + 4 x 8 = 104
    assert [(cause.text, cause.delta) for cause in rows["whole", "dw"].causes] == [("3x3 dense → depthwise 3x3 + pointwise 1x1", -184)]
    assert rows[None, "pw"].causes == ()
    assert rows["whole", "dw"].own_delta.params == 72 - 288


def run(*rows: tuple[str, tuple[str, ...]]) -> dict[str, ModuleRecord]:
    """Modules that ran, with what each reads."""
    return {
        path: make_module(0, calls=(Call(order=place, inputs=(), outputs=(), inputs_from=sources),))
        for place, (path, sources) in enumerate(rows)
    }


def list_rewired(before: dict[str, ModuleRecord], after: dict[str, ModuleRecord], *matches: Match) -> set[str | None]:
    return {row.after_path for row in compare(before, after, *matches).values() if "rewired" in row.changes}


def test_a_module_is_rewired_when_another_one_feeds_it() -> None:
    before = run(("a", ()), ("b", ("a",)), ("c", ("b",)))
    same = [match(path, path) for path in "abc"]
    assert list_rewired(before, run(("a", ()), ("b", ("a",)), ("c", ("b",))), *same) == set()
    assert list_rewired(before, run(("a", ()), ("b", ("a",)), ("c", ("a",))), *same) == {"c"}
    assert list_rewired(before, run(("a", ()), ("b", ("a",)), ("c", ("a", "b"))), *same) == {"c"}
    assert list_rewired(run(("a", ()), ("b", ("a",)), ("c", ("a", "b"))), before, *same) == {"c"}


def test_of_a_container_and_what_is_in_it_only_the_inner_module_is_rewired() -> None:
    same = [match(path, path) for path in ("a", "b", "box", "box.in", "box.in.x")]
    before = run(("a", ()), ("b", ()), ("box", ("a",)), ("box.in", ("a",)), ("box.in.x", ("a",)))
    after = run(("a", ()), ("b", ()), ("box", ("b",)), ("box.in", ("b",)), ("box.in.x", ("b",)))
    assert list_rewired(before, after, *same) == {"box.in.x"}


def test_what_was_put_in_between_is_looked_through_however_long_the_way() -> None:
    before = run(("a", ()), ("c", ("a",)))
    after = run(("a", ()), ("n1", ("a",)), ("n2", ("n1",)), ("c", ("n2",)))
    added = match(None, "n1"), match(None, "n2")
    assert list_rewired(before, after, match("a", "a"), match("c", "c"), *added) == set()
    # a loop among them ends
    looped = run(("a", ()), ("n1", ("a", "n2")), ("n2", ("n1",)), ("c", ("n2",)))
    assert list_rewired(before, looped, match("a", "a"), match("c", "c"), *added) == set()
    # the other way round, what was taken out is looked through
    removed = match("n1", None), match("n2", None)
    assert list_rewired(after, before, match("a", "a"), match("c", "c"), *removed) == set()
    # but what is behind it must be what fed the module before
    other = run(("a", ()), ("b", ()), ("n1", ("b",)), ("n2", ("n1",)), ("c", ("n2",)))
    both = run(("a", ()), ("b", ()), ("c", ("a",)))
    assert list_rewired(both, other, match("a", "a"), match("b", "b"), match("c", "c"), *added) == {"c"}


def test_a_module_that_did_not_run_on_one_side_is_not_rewired() -> None:
    before, after = run(("a", ()), ("c", ("a",))), run(("a", ()), ("c", ()))
    after["c"] = make_module(0)
    assert list_rewired(before, after, match("a", "a"), match("c", "c")) == set()
    assert list_rewired(after, before, match("a", "a"), match("c", "c")) == set()


def test_a_renamed_feeder_is_the_same_feeder() -> None:
    before, after = run(("a", ()), ("c", ("a",))), run(("z", ()), ("c", ("z",)))
    assert list_rewired(before, after, match("a", "z"), match("c", "c")) == set()


def test_of_modules_that_are_no_longer_called_or_called_now_only_the_outermost_is_marked() -> None:
    """The block has another name on each side; its child is one of several where an outer one already says it."""
    call = (Call(order=1, inputs=(), outputs=()),)
    used = {"old": make_module(0, "Block", calls=call), "old.x": make_module(1, calls=call)}
    unused = {"new": make_module(0, "Block"), "new.x": make_module(1)}
    marks = {"uncalled", "called"}

    def find_marks(before: dict[str, ModuleRecord], after: dict[str, ModuleRecord]) -> list[set[str]]:
        pairs = list(zip(before, after, strict=True))
        rows = compare(before, after, *(match(one, other) for one, other in pairs))
        return [marks & set(rows[pair].changes) for pair in pairs]

    assert find_marks(used, unused) == [{"uncalled"}, set()]
    assert find_marks(unused, used) == [{"called"}, set()]
    inlined = {"new": make_module(0, "Block"), "new.x": make_module(1, calls=call)}
    assert find_marks(used, inlined) == [set(), set()]  # its child still runs
    assert find_marks(inlined, used) == [set(), set()]
    skipped = {"new": make_module(0, "Block", calls=call), "new.x": make_module(1)}
    assert find_marks(used, skipped) == [set(), {"uncalled"}]
    assert find_marks(skipped, used) == [set(), {"called"}]
