"""Recorded times: looked up by the architecture, shown with their file."""

import msgspec
import pytest
from factories import make_input, make_profile

from archaudit.errors import SavedFileError
from archaudit.pipeline.recordings import attach_recorded, fingerprint, make_recording, merge_recording
from archaudit.schema import Latency, LatencyFile, Machine, TimingSettings, encode


def make_timed(name, seconds=0.01, modules=None, dtype="float32"):
    latency = Latency(
        device="GPU",
        method="",
        samples_s=(seconds,) * 12,
        settings=TimingSettings(device="cuda", dtype=dtype),
        machine=Machine(device="GPU", driver="1", torch="2"),
    )
    return make_profile(modules or {"a": 1}, name=name, inputs=(make_input(1, 3),), latency=latency)


def forget(profile, **fields):
    return msgspec.structs.replace(profile, latency=None, **fields)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "latency").mkdir()

    def write(*entries):
        content = LatencyFile()
        for entry in entries:
            content = merge_recording(content, entry)
        (tmp_path / "latency" / "gpu.json").write_bytes(encode(content))
        return tmp_path

    return write


BEFORE, AFTER = make_timed("before", modules={"a": 5}), make_timed("after", 0.004)


def test_the_fingerprint_does_not_depend_on_names():
    assert fingerprint(BEFORE) == fingerprint(forget(BEFORE, name="x", reference="y"))
    assert fingerprint(BEFORE) != fingerprint(AFTER)
    assert fingerprint(BEFORE) != fingerprint(forget(BEFORE, inputs=(make_input(16, 3),)))


def test_a_recorded_pair_is_found(folder):
    where = folder(make_recording([BEFORE, AFTER]))
    before, after = attach_recorded([forget(BEFORE, name="old"), forget(AFTER)], where)
    assert after.latency.samples_s == (0.004,) * 12
    assert before.latency.recorded == after.latency.recorded == "gpu.json"


def test_a_recording_of_the_swapped_pair_is_not_used(folder):
    where = folder(make_recording([BEFORE, AFTER]))
    swapped = [forget(AFTER), forget(BEFORE)]
    assert [profile.latency for profile in attach_recorded(swapped, where)] == [None, None]


def test_one_model_finds_its_side_of_a_recorded_pair(folder):
    where = folder(make_recording([BEFORE, AFTER]))
    assert attach_recorded([forget(AFTER)], where)[0].latency.samples_s == (0.004,) * 12


def test_float32_is_shown_first_and_other_dtypes_are_named(folder):
    others = [make_timed(name, 0.001, modules, "bfloat16") for name, modules in (("before", {"a": 5}), ("after", None))]
    where = folder(make_recording(others), make_recording([BEFORE, AFTER]))
    before, after = attach_recorded([forget(BEFORE), forget(AFTER)], where)
    assert before.latency.settings.dtype == "float32"
    assert after.latency.notes == ("another recording: bfloat16 on GPU (gpu.json): 1.000 ms → 1.000 ms",)


def test_a_new_recording_replaces_one_with_the_same_settings():
    once = merge_recording(LatencyFile(), make_recording([BEFORE, AFTER]))
    again = merge_recording(once, make_recording([make_timed("before", 0.02, {"a": 5}), AFTER]))
    assert len(again.entries) == 1
    assert again.entries[0].before.samples_s[0] == 0.02


def test_what_was_measured_now_is_not_replaced(folder):
    where = folder(make_recording([BEFORE, AFTER]))
    assert attach_recorded([make_timed("before", 1.0, {"a": 5}), forget(AFTER)], where)[0].latency.samples_s[0] == 1.0


def test_nothing_recorded_is_nothing(tmp_path):
    assert attach_recorded([forget(BEFORE)], tmp_path)[0].latency is None


def test_a_broken_file_is_a_message(tmp_path):
    (tmp_path / "latency").mkdir()
    (tmp_path / "latency" / "x.json").write_text('{"format_version": 1, "entries": [{}]}')
    with pytest.raises(SavedFileError, match=r"x\.json is not a file of recorded times"):
        attach_recorded([forget(BEFORE)], tmp_path)
