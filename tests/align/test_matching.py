"""What comes out follows from the profiles alone: not from the order of sets and dictionaries, nor from what runs beside."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from archaudit.pipeline import Options, Target, compare_profiles, read_profile
from archaudit.schema import encode

BASELINES = Path(__file__).parents[2] / "baselines"
PAIR = [str(BASELINES / "before.json"), str(BASELINES / "after.json")]


def test_the_order_of_sets_and_dictionaries_is_nothing_to_it() -> None:
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


def test_threads_beside_each_other_find_the_same() -> None:
    profiles = [read_profile(Path(path)) for path in PAIR]
    targets = [Target(name=profile.name, key=profile.name, saved=profile) for profile in profiles]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: encode(compare_profiles(targets, profiles, Options())), range(8)))
    assert len(set(reports)) == 1
