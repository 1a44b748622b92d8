from factories import draw_profiles, list_preorder, make_module, make_profile
from hypothesis import given

from archaudit.align import align
from archaudit.schema import Match, Profile


def align_paths(before: list[str], after: list[str]) -> list[tuple[str | None, str | None]]:
    """Aligns modules of which each has a type of its own, its name, so that none is like another."""
    sides = [make_profile({path: make_module(type=path.upper()) for path in paths}) for paths in (before, after)]
    matches = align(*sides)
    return [(match.before_path, match.after_path) for match in matches]


def test_equal_paths_match_and_the_others_are_removed_or_added() -> None:
    before = make_profile({"kept": 1, "gone": make_module(2, "Dropout"), "other": make_module(3, "Conv2d")})
    after = make_profile({"kept": 1, "other": make_module(3, "Linear"), "new": make_module(4, "ReLU")})
    assert align(before, after) == (
        Match(before_path="", after_path="", confidence=1.0, reason="same path"),
        Match(before_path="kept", after_path="kept", confidence=1.0, reason="same path"),
        Match(before_path="gone", after_path=None, confidence=1.0, reason="no counterpart after"),
        Match(before_path="other", after_path="other", confidence=0.5, reason="same path, another type"),
        Match(before_path=None, after_path="new", confidence=1.0, reason="no counterpart before"),
    )


def test_what_was_added_stands_where_the_after_side_has_it_and_behind_what_was_removed_there() -> None:
    assert align_paths(
        ["low", "aspp", "decoder", "decoder.0", "head"], ["low", "mid", "mid.0", "aspp", "stage1", "stage1.0", "stage2", "head"]
    ) == [
        ("", ""),
        ("low", "low"),
        (None, "mid"),
        (None, "mid.0"),
        ("aspp", "aspp"),
        ("decoder", None),
        ("decoder.0", None),
        (None, "stage1"),
        (None, "stage1.0"),
        (None, "stage2"),
        ("head", "head"),
    ]


def test_an_added_sibling_does_not_split_the_subtree_before_it() -> None:
    assert align_paths(["a", "a.0", "b"], ["a", "a.0", "a.1", "new", "b"]) == [
        ("", ""),
        ("a", "a"),
        ("a.0", "a.0"),
        (None, "a.1"),
        (None, "new"),
        ("b", "b"),
    ]


def test_reordered_modules_keep_the_order_of_the_before_side() -> None:
    assert align_paths(["a", "b", "c"], ["c", "x", "a", "b"]) == [("", ""), ("a", "a"), ("b", "b"), ("c", "c"), (None, "x")]


@given(draw_profiles(), draw_profiles())
def test_every_module_of_each_side_stands_in_exactly_one_match(before: Profile, after: Profile) -> None:
    matches = align(before, after)
    assert [match.before_path for match in matches if match.before_path is not None] == [module.path for module in before.modules]
    assert sorted(match.after_path for match in matches if match.after_path is not None) == sorted(module.path for module in after.modules)
    assert all(match.before_path is not None or match.after_path is not None for match in matches)


@given(draw_profiles(), draw_profiles())
def test_what_was_added_stands_below_its_parent(before: Profile, after: Profile) -> None:
    matches = align(before, after)
    rows = {match.after_path: row for row, match in enumerate(matches)}
    for match in matches:
        if match.before_path is None and match.after_path:
            assert rows[match.after_path.rpartition(".")[0]] < rows[match.after_path]


@given(draw_profiles())
def test_a_profile_matches_itself_in_its_own_order(profile: Profile) -> None:
    assert [(match.before_path, match.after_path, match.confidence) for match in align(profile, profile)] == [
        (module.path, module.path, 1.0) for module in profile.modules
    ]


def test_modules_nested_deeper_than_the_recursion_limit() -> None:
    paths = list_preorder([".".join(["x"] * 1500)])
    assert align_paths(paths[:-1], paths) == [(path, path) for path in paths[:-1]] + [(None, paths[-1])]
