"""The section on a training step in every format: numbers by hand, and nothing without a step."""

import re

import msgspec
import pytest
import torch
from torch import nn

from archaudit import compare, profile
from archaudit.render import FORMATS, PROFILE_FORMATS, render_profile_screen, render_screen
from archaudit.render.detail import Detail
from archaudit.render.view.training import view_profile_training, view_training
from archaudit.schema import BatchLimit

X = torch.rand(2, 4)


def make(hidden=5):
    return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 3))


@pytest.fixture(scope="module")
def measured():
    return profile(make(), X, training="sgd")


@pytest.fixture(scope="module")
def report():
    return compare(make(), make(512), X, training="sgd")


def find_table(view, label):
    return next(table for table in view.tables if table.label == label)


def test_the_flops_of_each_phase_are_a_row(measured):
    rows = find_table(view_profile_training(measured), "FLOPs by phase").rows
    assert rows == (("forward", "140", "140"), ("backward", "200", "200"), ("total", "340", "340"))  # 2 * (40 + 30), 2 * (40 + 2 * 30)


def test_sentences_name_the_settings_and_the_moment_of_the_peak(measured):
    first, second, third = view_profile_training(measured).sentences
    assert first == "One training step with sgd; the loss is the sum of the output."
    assert second == "It takes 140 FLOPs forward, 200 FLOPs backward (1.43 × forward)."
    assert re.fullmatch(r"The peak of memory is \d\.\d\d KiB, in the (backward pass|optimizer's step), at aten::\w+.*\.", third)


def test_a_comparison_says_where_the_peak_moved(report):
    view = view_training(report)
    assert view.sentences[-1].startswith(("The peak stays in", "The peak moves from"))
    saved = find_table(view, "Kept for the backward pass").rows
    # the result of the ReLU, 2 x 512 floats in place of 2 x 5; its argument is not kept
    assert saved == (("1", "512 bytes", "4.00 KiB", "+3.50 KiB", "+700.0 %"),)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_of_a_comparison_has_the_section(form, report):
    text = FORMATS[form](report)
    assert ("Training step" in text) == (form in ("text", "markdown", "html"))
    assert ('"peak"' in text) == (form == "json")


@pytest.mark.parametrize("form", sorted(PROFILE_FORMATS))
def test_every_format_of_a_profile_has_the_section(form, measured):
    text = PROFILE_FORMATS[form](measured)
    assert ("Training step" in text) == (form != "json")


def test_there_is_no_section_without_a_step(report):
    plain = profile(make(), X)
    assert view_profile_training(plain) is None
    assert "Training step" not in render_profile_screen(plain, Detail())
    half = msgspec.structs.replace(report, before=plain)
    assert view_training(half) is None
    assert "Training step" not in FORMATS["html"](half)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width, report, measured):
    for text in (render_screen(report, Detail(), width), render_profile_screen(measured, Detail(full=True), width)):
        section = text[text.index("\nTraining step\n") :]
        assert max(map(len, section.splitlines())) <= width


def test_the_areas_of_the_picture_are_stacked_up_to_the_peak(measured):
    (curve,) = view_profile_training(measured).curves
    highest = min(float(pair.partition(",")[2]) for area in curve.areas for pair in area.points.split())
    assert highest == curve.peak_y == 16  # the top of the plot
    assert [name for _, name in curve.x_ticks] == ["forward", "backward", "optimizer"]


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        (
            BatchLimit(memory_bytes=2**30, batch=7, peak_bytes=2**30 - 1024, next_peak_bytes=2**30 + 2**20),
            "The largest batch that fits in 1.00 GiB is 7: its peak is 1,073,740,800, and that of 8 is 1,074,790,400.",
        ),
        (
            BatchLimit(memory_bytes=2**20, batch=0, next_peak_bytes=2**21),
            "No batch fits in 1.00 MiB: the smallest that was measured needs 2.00 MiB.",
        ),
        (
            BatchLimit(memory_bytes=2**20, reason="no input has a batch dimension"),
            "The largest batch in 1.00 MiB is not known: no input has a batch dimension.",
        ),
    ],
)
def test_the_largest_batch_is_a_sentence(measured, limit, sentence):
    training = msgspec.structs.replace(measured.training, limit=limit)
    assert view_profile_training(msgspec.structs.replace(measured, training=training)).sentences[-1] == sentence
