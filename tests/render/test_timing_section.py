"""The latency section: sums that are made by hand, labels, the roofline, and what is not said."""

import re

import msgspec
from factories import make_cost, make_module, make_profile, make_tensor

from archaudit.render import FORMATS, PROFILE_FORMATS, render_text
from archaudit.render.terminal import format_comparison_timing, format_profile_timing
from archaudit.render.view.latency_section import view_timing
from archaudit.render.view.time_spending import list_parts
from archaudit.schema import DeviceState, Group, Latency, Machine, MeasuredCeilings, ModuleDiff, Pairing, Report, TimingSettings

# 1000 FLOP/s, 100 bytes/s, 1 ms a launch.
CEILINGS = MeasuredCeilings(copied_bytes=100, copies_s=(1.0, 2.0), product_flops=1000, products_s=(2.0, 1.0), launches_s=(0.001,))
ROUNDS, PASSES = 8, 1


def make_latency(seconds, own, **fields):
    """Every pass the same; `own` are seconds by path, which are added up along the paths."""
    totals = {path: sum(spent for other, spent in own.items() if other == path or not path or other.startswith(f"{path}.")) for path in own}
    plain = {
        "device": "Fake 1",
        "method": "by hand",
        "samples_s": (seconds,) * (2 * ROUNDS * PASSES),
        "own_s": {path: (spent,) * 3 for path, spent in own.items()},
        "modules_s": {path: (spent,) * 3 for path, spent in totals.items()},
        "launches": dict.fromkeys(own, 1),
        "attribution": "by hand",
        "settings": TimingSettings(device="cuda", dtype="bfloat16", batch=16),
        "machine": Machine(device="Fake 1", driver="570", torch="2.9"),
        "ceilings": CEILINGS,
    }
    return Latency(**(plain | fields))


def make_side(name, seconds, flops, own, path="stage", **fields):
    """A model with one stage around one layer, which does all the work."""
    layer = make_module(make_cost(macs=flops // 2, moved_bytes=71), "Conv2d")
    return make_profile({path: 0, f"{path}.conv": layer}, name=name, latency=make_latency(seconds, own, **fields))


def make_pair(path="stage", **fields):
    own_before = {"": 0.1, path: 0.0, f"{path}.conv": 3.1}
    own_after = {"": 0.1, path: 0.0, f"{path}.conv": 1.0}
    pairing = Pairing(before="", seed=7, passes=PASSES, rounds=(ROUNDS,), order=(), again_s=(3.5,) * (2 * ROUNDS * PASSES))
    before = make_side("before", 3.5, 1000, own_before, path)
    return before, make_side("after", 1.2, 60, own_after, path, pairing=pairing, **fields)


def make_report(before, after):
    rows = tuple(
        ModuleDiff(
            before_path=module.path,
            after_path=other.path,
            changes=("same",),
            change_id=number,
            confidence=1.0,
            reason="",
            own_delta=other.own - module.own,
            total_delta=other.total - module.total,
        )
        for number, (module, other) in enumerate(zip(before.modules, after.modules, strict=True))
    )
    return Report(before=before, after=after, delta=after.totals - before.totals, flops_complete=True, modules=rows, outcome="inconclusive")


def view(before, after, **fields):
    report = msgspec.structs.replace(make_report(before, after), **fields)
    return view_timing((("before", before), ("after", after)), list_parts(report))


def test_the_layers_and_the_difference_sum_to_the_whole_pass():
    rows = {row.label: row for row in view(*make_pair()).rows}
    assert rows["end to end, eager"].values == ("3,500", "1,200")
    assert rows["sum of the layers"].values == ("3,200", "1,100")
    assert rows["end to end minus layers"].values == ("300", "100.0")
    assert rows["end to end, eager"].ratio == "2.92x faster"
    assert rows["end to end minus layers"].ratio == "-"


def test_a_graph_replay_is_held_against_the_layers():
    before, after = make_pair(replays_s=(1.122,) * 16)
    rows = {row.label: row for row in view(before, after).rows}
    assert rows["CUDA graph minus layers"].values == ("-", "22.0")
    assert rows["CUDA graph minus layers"].note == "before: not measured; after: the replay differs from the sum of the kernels by +2.0 %"
    assert "end to end, CUDA graph" not in {row.label for row in view(*make_pair()).rows}


def test_why_so_many_fewer_flops_are_only_so_much_faster_is_a_sentence():
    (sentence,) = view(*make_pair()).sentences
    assert sentence == "stage: 94.0 % fewer FLOPs, 3.10x faster: memory-bound, 71 % of copy bandwidth"


def test_where_there_are_sections_the_sentences_are_about_them():
    before, after = make_pair()
    layers = [next(module for module in side.modules if module.path == "stage.conv").total for side in (before, after)]
    costs = {"before": layers[0], "after": layers[1], "delta": layers[1] - layers[0]}
    section = Group(name="The work", before_paths=("stage.conv",), after_paths=("stage.conv",), **costs)
    (sentence,) = view(before, after, groups=(section,)).sentences
    assert sentence.startswith("The work: 94.0 % fewer FLOPs, 3.10x faster")


def test_the_verdict_names_the_interval_the_pair_and_the_floor():
    told = " ".join(view(*make_pair()).judgement)
    assert "After takes 0.343x the time of before (99 % confidence interval 0.343x to 0.343x, 8 interleaved rounds)." in told
    assert "A/A test (before against itself): 1.000x" in told
    assert "smallest regression that this run can detect is 0 %" in told
    assert "PASSED with a budget of 5 %" in told


def test_where_the_time_goes_says_what_bounds_each_layer():
    hotspots = {(row.side, row.path): row for row in view(*make_pair()).hotspots}
    assert hotspots["before", "stage.conv"].bound == "compute-bound, 32.3 %"
    assert hotspots["after", "stage.conv"].bound == "memory-bound, 71.0 %"
    assert hotspots["after", "stage.conv"].share == "90.9 %"
    assert hotspots["after", "(root)"].bound == "-"


def test_under_an_autocast_a_model_in_float32_moves_half_of_its_bytes():
    def give_weights(profile):
        weighted = [msgspec.structs.replace(each, tensors=(make_tensor("weight", (1,)),)) for each in profile.modules]
        return msgspec.structs.replace(profile, modules=tuple(weighted))

    section = view(*map(give_weights, make_pair()))
    (row,) = [row for row in section.hotspots if (row.side, row.path) == ("after", "stage.conv")]
    assert (row.bytes_per_s, row.intensity, row.bound) == ("35B/s", "1.71", "memory-bound, 35.0 %")
    assert any(note.startswith("bytes moved are taken as half of the float32 bytes") for note in section.notes)
    assert not any(note.startswith("bytes moved") for note in view(*make_pair()).notes)
    full = view(*(give_weights(each) for each in make_pair(settings=TimingSettings(device="cuda", dtype="tf32"))))
    assert [row.intensity for row in full.hotspots if (row.side, row.path) == ("after", "stage.conv")] == ["0.845"]


def test_the_source_says_the_device_the_versions_and_the_settings():
    assert view(*make_pair()).source == ("measured: Fake 1, driver 570, torch 2.9, bfloat16, batch 16")
    recorded = [msgspec.structs.replace(each, latency=msgspec.structs.replace(each.latency, recorded="gpu.json")) for each in make_pair()]
    assert view(*recorded).source.startswith("recorded in gpu.json: Fake 1")


def test_the_state_of_the_device_is_noted():
    hot = DeviceState(clock_mhz=900, temperature_c=88, throttled=("hardware thermal",), other_processes=2)
    notes = view(*make_pair(states=(DeviceState(clock_mhz=1980), hot))).notes
    assert "after: device at the start: 1980 MHz" in notes
    assert "after: device at the end: 900 MHz, 88 °C, clocks limited by hardware thermal, 2 other processes" in notes
    assert any("seed 7" in note for note in notes)


def test_points_lie_where_their_numbers_say_and_below_the_roof():
    plot = view(*make_pair()).roofline
    points = {point.kind: point for point in plot.points}
    assert len(plot.points) == 2
    assert points["after"].left < points["before"].left, "fewer FLOPs on as many bytes is to the left"
    assert points["after"].top > points["before"].top, "fewer FLOP/s is below"
    assert all(0 <= coordinate <= 100 for point in plot.points for coordinate in (point.left, point.top))
    assert "2 layers" in plot.alt
    assert plot.roof_texts == ("copy 100B/s", "matrix product 1.00KFLOP/s")


def test_without_ceilings_nothing_is_said_of_bounds_and_nothing_drawn():
    sides = [msgspec.structs.replace(each, latency=msgspec.structs.replace(each.latency, ceilings=None)) for each in make_pair()]
    timing = view(*sides)
    assert timing.roofline is None
    assert timing.sentences == ("stage: 94.0 % fewer FLOPs, 3.10x faster",)
    assert {row.bound for row in timing.hotspots} == {"-"}


def test_without_times_there_is_no_section():
    before, after = (msgspec.structs.replace(each, latency=None) for each in make_pair())
    assert view_timing((("before", before), ("after", after))) is None


def test_the_page_draws_the_roofline_without_style_or_script_of_its_own():
    page = FORMATS["html"](make_report(*make_pair()))
    (plot,) = re.findall(r"<svg[^>]*aria-label=\"Roofline.*?</svg>", page, re.DOTALL)
    assert "<circle" in plot
    assert "<path" in plot
    assert "style=" not in plot
    assert "<title>after: stage.conv, 90.9 % of the time" in plot
    assert "Latency, ms (GPU)" in page


def test_every_text_has_the_section_and_fits():
    report = make_report(*make_pair())
    for width in (60, 80, 120):
        for text in (
            render_text(report, width),
            format_comparison_timing(report, width, False),
            format_profile_timing(report.after, width, False),
        ):
            assert all(len(line) <= width for line in text.splitlines())
            assert "end to end minus layers" in text
    assert "Latency, ms (GPU) before" in FORMATS["markdown"](report)
    assert "| Latency, ms (GPU) |" in PROFILE_FORMATS["markdown"](report.after)
