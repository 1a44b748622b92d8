"""Matches of synthetic profiles: which modules are paired, the order of the rows, and that both are deterministic."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from factories import draw_profiles, list_preorder, make_module, make_profile
from hypothesis import given

from archaudit.align import align
from archaudit.pipeline import Options, Target, compare_profiles, read_profile
from archaudit.schema import Match, Profile, encode

BASELINES = Path(__file__).parents[2] / "baselines"
PAIR = [str(BASELINES / "before.json"), str(BASELINES / "after.json")]


def align_paths(before: list[str], after: list[str]) -> list[tuple[str | None, str | None]]:
    """Aligns modules that each have their own type (the path in capitals), so that no two are similar."""
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
        Match(before_path="other", after_path="other", confidence=0.5, reason="same path, different type"),
        Match(before_path=None, after_path="new", confidence=1.0, reason="no counterpart before"),
    )


def test_added_modules_are_where_the_after_side_has_them_behind_the_removed_ones() -> None:
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
def test_every_module_of_each_side_is_in_exactly_one_match(before: Profile, after: Profile) -> None:
    matches = align(before, after)
    assert [match.before_path for match in matches if match.before_path is not None] == [module.path for module in before.modules]
    assert sorted(match.after_path for match in matches if match.after_path is not None) == sorted(module.path for module in after.modules)
    assert all(match.before_path is not None or match.after_path is not None for match in matches)


@given(draw_profiles(), draw_profiles())
def test_an_added_module_is_below_its_parent(before: Profile, after: Profile) -> None:
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


def test_the_hash_seed_does_not_change_the_report() -> None:
    texts = {
        subprocess.run(
            [sys.executable, "-m", "archaudit", "compare", *PAIR, "--format", "json"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(texts) == 1
    assert b'"decoder_stage1"' in texts.pop()


def test_concurrent_comparisons_give_the_same_report() -> None:
    profiles = [read_profile(Path(path)) for path in PAIR]
    targets = [Target(name=profile.name, key=profile.name, saved=profile) for profile in profiles]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: encode(compare_profiles(targets, profiles, Options())), range(8)))
    assert len(set(reports)) == 1
