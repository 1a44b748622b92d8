"""Whole reports of pairs, as golden texts. `test_real_pairs` asserts, written by hand, what must be in them.

The ledger and everything after it is left out: the names of operators depend on the release of torch.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from align.base_models import measure_torchvision

from archaudit.pipeline import Options, Target, compare_profiles
from archaudit.render import render_text

PAIRS = [
    ("mobilenet_v2", "mobilenet_v3_small"),
    ("resnet50", "resnext50_32x4d"),
    ("resnext50_32x4d", "wide_resnet50_2"),
    ("vit_b_16", "vit_l_16"),
    ("convnext_tiny", "convnext_small"),
    ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"),
    ("swin_t", "swin_v2_t"),
]


@pytest.mark.parametrize(("before", "after"), [PAIRS[0], *(pytest.param(*pair, marks=pytest.mark.zoo) for pair in PAIRS[1:])])
def test_the_report_of_a_pair(before: str, after: str, match_golden: Callable[[str, str], None]) -> None:
    profiles = [measure_torchvision(name) for name in (before, after)]
    targets = [Target(name=profile.name, key=profile.name, saved=profile) for profile in profiles]
    text = render_text(compare_profiles(targets, profiles, Options()), 110)
    match_golden(f"{before}-{after}.txt", text[: text.index("\nOperator coverage\n")])
