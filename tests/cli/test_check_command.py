"""`archaudit check` on saved profiles: what is green, what is not, and what it says."""

import json
import re
import subprocess
import sys

import pytest
from factories import make_cost, make_input, make_module, make_profile

from archaudit.schema import Ledger, encode

CONV = {"kernel_size": [3, 3], "out_channels": 64}


def make_net(head=1_000, **fields):
    """A small model: a stem of two layers and a head, 11,000 parameters with the default head."""
    modules = {
        "stem": make_module(0, "Stem"),
        "stem.conv": make_module(make_cost(8_000, 80_000), "Conv2d", settings=fields.pop("settings", CONV)),
        "stem.norm": make_module(2_000, "BatchNorm2d"),
        "head": make_module(make_cost(head, 10 * head), "Linear"),
    }
    return make_profile(modules, name="net", inputs=(make_input(1, 3, 8, 8),), **fields)


def say(result):
    """What was printed, in one line: lines are broken to fit."""
    return " ".join((result.out + result.err).split())


BUDGET = '[[budgets]]\nmetric = "params"\n'
CAP = BUDGET + 'max = "12K"\n'


def test_a_budget_that_holds_is_green(gate):
    result = gate(CAP, net=make_net())
    assert result.status == 0
    assert "PASSED: 1 check, 1 passed" in say(result)


def test_a_defect_in_the_judge_is_a_message_and_no_verdict(tmp_path):
    (tmp_path / "net.json").write_bytes(encode(make_net()))
    (tmp_path / "archaudit.toml").write_text('[models.net]\nreference = "net.json"\n' + CAP)
    script = (
        "import sys, archaudit.cli, archaudit.judge\n"
        "def broken(case): list(zip([1], [1, 2], strict=True))\n"
        "archaudit.judge.COMPARISONS['max'] = broken\n"
        "sys.argv = ['archaudit', 'check']\n"
        "archaudit.cli.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("archaudit: internal error: ValueError: zip()")
    assert not re.search("inconclusive|passed", done.stdout, re.IGNORECASE)


# --- limits that limit nothing: never green


@pytest.mark.parametrize("figure", ["100-200", "0.18m", "٣M", "~3M"])
def test_a_limit_that_is_not_one_clear_number_is_refused(gate, figure):
    result = gate(BUDGET + f'max = "{figure}"\n', net=make_net())
    assert (result.status, result.out) == (2, "")
    assert "budgets[0].max: " in result.err


def test_warnings_that_judged_nothing_are_not_green_and_the_last_line_counts_them(gate):
    result = gate(BUDGET + 'max_increase = "0%"\nlevel = "warn"\n', net=make_net())
    assert result.status == 2
    assert result.out.splitlines()[-1] == "? INCONCLUSIVE: 1 check, none of level error; 1 warning (1 inconclusive)"


def test_an_inconclusive_warning_is_in_the_last_line_of_a_check_that_passes(gate):
    result = gate(CAP + BUDGET + 'max_increase = "0%"\nlevel = "warn"\n', net=make_net())
    assert result.status == 0
    assert result.out.splitlines()[-1] == "✓ PASSED: 2 checks, 1 passed; 1 warning (1 inconclusive)"


def test_a_budget_that_replaces_the_only_one_on_a_metric_is_told(gate):
    config = CAP + 'id = "cap"\n[[budgets]]\nmetric = "macs"\nmax = "1M"\noverrides = "cap"\n'
    result = gate(config, net=make_net())
    assert "budgets[1] replaces budgets[0], and no other check of level error limits params of the whole net from above" in say(result)
    assert "(1 inconclusive)" in result.out.splitlines()[-1]


def test_an_exceeded_limit_names_the_layers_that_grew_since_the_baseline_first(gate):
    # the stem is larger, but only the head grew, by 500
    result = gate(CAP.replace("12K", "11K"), net=make_net(head=1_500), baselines={"net": make_net()})
    assert result.status == 1
    assert "11K budget exceeded by 500 (+4.5 %): 11,500; mostly head (+500)" in say(result)


# --- nothing ran: never green


def test_no_budgets_at_all_are_not_green(gate):
    result = gate("", net=make_net())
    assert result.status == 2
    assert "NO CHECKS: there are no budgets" in say(result)


def test_no_budgets_are_not_green_by_leave_either(gate):
    assert gate("", "--allow-inconclusive", net=make_net()).status == 2


def test_no_config_is_not_green(archaudit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = archaudit("check")
    assert result.status == 2
    assert "there is no config here to check" in result.err


def test_a_pattern_that_matches_no_module_is_not_green(gate):
    result = gate(CAP + 'scope = "haed*"\n', net=make_net())
    assert result.status == 2
    assert "no module of net matches 'haed*'; the nearest are head" in say(result)


def test_a_pattern_that_matches_nothing_may_not_hide_behind_one_that_does(gate):
    assert gate(CAP + 'scope = ["head", "neck"]\n', net=make_net()).status == 2


def test_a_type_that_no_module_is_of_is_not_green(gate):
    result = gate(CAP + 'type = "Conv3d"\n', net=make_net())
    assert result.status == 2
    assert "no module of net in this scope is a 'Conv3d'; types are Linear, Stem, Conv2d, BatchNorm2d" in say(result)


def test_a_missing_baseline_is_not_green(gate):
    result = gate(BUDGET + 'max_increase = "1%"\n', net=make_net())
    assert result.status == 2
    assert "net has no baseline yet: `archaudit baseline net` writes it" in say(result)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format_version": 99}', b"\x00\xff", b'{"format_version": 1, "name": "x"'])
def test_a_baseline_that_cannot_be_read_is_not_green(gate, content):
    assert gate(BUDGET + 'max_increase = "1%"\n', net=make_net(), baselines={"net": content}).status == 2


def test_a_baseline_of_another_input_is_not_green(gate):
    other = make_profile({"head": 1}, inputs=(make_input(1, 3, 4, 4),))
    result = gate('[[budgets]]\nmetric = "macs"\nmax_increase = "1%"\n', net=make_net(), baselines={"net": other})
    assert result.status == 2
    assert "the baseline was measured with input 1x3x4x4, this is 1x3x8x8" in say(result)


def test_a_model_that_is_not_there_is_not_green(gate):
    result = gate(CAP + "[models.other]\nreference = 'gone.json'\n", net=make_net())
    assert result.status == 2
    assert "gone.json cannot be read" in result.err


def test_a_budget_about_a_model_that_is_not_in_the_config_is_not_green(gate):
    assert gate(CAP + 'model = "nett"\n', net=make_net()).status == 2


def test_an_incomplete_count_is_not_green(gate):
    unknown = make_module(make_cost(5, 5), "Exotic", flops_complete=False)
    profile = make_profile({"exotic": unknown}, ledger=Ledger(counted=1, unknown=1))
    result = gate('[[budgets]]\nmetric = "macs"\nmax = "1G"\n', net=profile)
    assert result.status == 2
    assert "the FLOPs of exotic are incomplete" in say(result)


def test_a_metric_that_was_not_measured_is_not_green(gate):
    assert gate('[[budgets]]\nmetric = "peak_activation_bytes"\nmax = "1 GiB"\n', net=make_net()).status == 2


def test_a_declared_metric_without_a_check_is_not_green(gate):
    result = gate('gated = ["params", "macs"]\n' + CAP, net=make_net())
    assert result.status == 2
    assert "macs is declared as gated, and no check of level error is about macs of net" in say(result)
    assert gate('gated = ["params"]\n' + CAP, net=make_net()).status == 0


def test_a_declared_metric_that_is_only_warned_of_is_not_green(gate):
    assert gate('gated = ["params"]\n' + CAP + 'level = "warn"\n', net=make_net()).status == 2


def test_a_model_without_a_check_on_a_declared_metric_is_not_green(gate):
    result = gate('gated = ["params"]\n' + CAP + 'model = "net"\n', net=make_net(), other=make_net())
    assert result.status == 2
    assert "params of other" in say(result)


def test_leave_to_be_inconclusive_is_explicit_and_does_not_cover_failures(gate):
    config = BUDGET + 'max_increase = "1%"\n'
    assert gate(config, "--allow-inconclusive", net=make_net()).status == 0
    assert gate(config + BUDGET + 'max = "1K"\n', "--allow-inconclusive", net=make_net()).status == 1


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("raise ValueError('no')", ["--no-isolation"]),
        ("raise SystemExit(0)", ["--no-isolation"]),
        ("import os; os._exit(0)", []),  # a process that is dead, and says that all is well
    ],
)
def test_a_model_that_does_not_run_is_not_green(archaudit, project, body, arguments):
    (project / "dead.py").write_text(f"from torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x):\n        {body}\n")
    (project / "archaudit.toml").write_text("[models.net]\nreference = 'dead.py:Net'\ninput = '1x3x8x8'\n" + CAP)
    result = archaudit("check", "--no-other-counters", "--allow-inconclusive", *arguments)
    assert result.status == 2
    assert "PASSED" not in result.out


# --- shares and floors


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (1_000, 0),  # the same
        (1_150, 0),  # +150: over 1 % of 11,000, within the floor of 200
        (1_200, 0),  # +200 is no more than the floor
        (1_201, 1),  # over both
    ],
)
def test_a_growth_fails_only_beyond_both_the_share_and_the_floor(gate, head, status):
    result = gate(BUDGET + 'max_increase = "1%"\nfloor = 200\n', net=make_net(head), baselines={"net": make_net()})
    assert result.status == status
    assert "max increase 1% or 200 = 11,200" in say(result)
    if head == 1_201:
        assert "is 201 (+1.8 %) more than the baseline's 11,000: 1 beyond the allowed 200; mostly head (+201)" in say(result)


def test_a_growth_over_the_floor_but_within_the_share_holds(gate):
    config = BUDGET + 'max_increase = "10%"\nfloor = "10"\n'
    assert gate(config, net=make_net(1_500), baselines={"net": make_net()}).status == 0


def test_defaults_hold_unless_a_budget_says_otherwise(gate):
    config = '[defaults]\nfloor = "1K"\nlevel = "warn"\n' + BUDGET + 'max_increase = "1%"\n'
    assert gate(config, net=make_net(1_900), baselines={"net": make_net()}).status == 0
    assert gate(config + 'level = "error"\n', net=make_net(1_900), baselines={"net": make_net()}).status == 0
    assert gate(config + 'level = "error"\nfloor = 0\n', net=make_net(1_900), baselines={"net": make_net()}).status == 1


def test_a_budget_for_one_model_overrides_that_for_all(gate):
    config = BUDGET + 'id = "cap"\nmax = "12K"\n' + BUDGET + 'overrides = "cap"\nmodel = "large"\nmax = "50K"\n'
    result = gate(config, net=make_net(), large=make_net(30_000))
    assert result.status == 0
    assert "2 checks, 2 passed" in say(result)
    assert gate(config, net=make_net(30_000), large=make_net(30_000)).status == 1


# --- levels


@pytest.mark.parametrize(("level", "status"), [("error", 1), ("warn", 0), ("info", 0)])
def test_only_errors_decide_and_the_others_are_shown(gate, level, status):
    result = gate(BUDGET + f'max = "1K"\nlevel = "{level}"\n', net=make_net())
    assert result.status == status
    assert "1K budget exceeded by 10,000" in say(result)
    assert ("1 warning" in say(result), "1 note" in say(result)) == (level == "warn", level == "info")


# --- scopes


def test_a_type_is_every_module_of_it_with_what_is_below(gate):
    result = gate(BUDGET + 'type = "Stem"\nmax = "9K"\n', net=make_net())
    assert result.status == 1
    assert "9K budget exceeded by 1,000 (+11.1 %): 10,000; largest: stem.conv (8,000), stem.norm (2,000)" in say(result)
    assert gate(BUDGET + 'type = "Conv*"\nmax = "8K"\n', net=make_net()).status == 0


def test_a_section_is_a_scope(gate):
    config = '[[sections]]\nname = "Stem"\nafter = ["stem.conv", "stem.norm"]\n' + BUDGET + 'section = "Stem"\nmax = "9K"\n'
    result = gate(config, net=make_net())
    assert result.status == 1
    assert "9K budget exceeded by 1,000 (+11.1 %): 10,000; largest: stem.conv (8,000), stem.norm (2,000)" in say(result)


# --- limits that end


def test_a_raise_holds_until_its_last_day_and_fails_after(gate, monkeypatch):
    config = CAP + 'reason = "until distillation lands"\nuntil = 2026-12-31\n'
    for today, status in (("2026-12-31", 0), ("2027-01-01", 1)):
        monkeypatch.setattr("archaudit.pipeline.steps.find_today", lambda today=today: today)
        result = gate(config, net=make_net())
        assert result.status == status
        assert today == "2026-12-31" or today not in result.out
    assert "max 12K was allowed until 2026-12-31 only (until distillation lands): remove it or renew it" in say(result)


# --- what changed


def test_a_model_that_differs_from_its_baseline_is_shown_as_a_diff(gate):
    grown = make_net(1_500, settings=CONV | {"out_channels": 72})
    result = gate(BUDGET + 'max_increase = "1%"\n', net=grown, baselines={"net": make_net()})
    assert result.status == 1
    assert "net since its baseline" in result.out
    assert "out_channels 64 → 72" in say(result)
    assert "mostly head (+500)" in say(result)


def test_an_unchanged_baseline_shows_no_diff(gate):
    result = gate(BUDGET + 'max_increase = "1%"\n', net=make_net(), baselines={"net": make_net()})
    assert (result.status, "since its baseline" in result.out) == (0, False)


def test_a_pin_fails_on_any_change_of_its_scope_and_names_it(gate):
    changed = make_net(settings=CONV | {"kernel_size": [1, 1]})
    result = gate('[[unchanged]]\nscope = "stem"\n', net=changed, baselines={"net": make_net()})
    assert result.status == 1
    assert "nothing may change, and 1 of 3 modules did since the baseline: stem.conv kernel_size [3, 3] → [1, 1]" in say(result)
    assert gate('[[unchanged]]\nscope = "head"\n', net=changed, baselines={"net": make_net()}).status == 0
    assert gate('[[unchanged]]\nscope = "head"\n', net=make_net(1_001), baselines={"net": make_net()}).status == 1


def test_a_pin_without_a_baseline_is_not_green(gate):
    assert gate("[[unchanged]]\n", net=make_net()).status == 2
    assert gate('[[unchanged]]\nscope = "neck"\n', net=make_net(), baselines={"net": make_net()}).status == 2


def test_numbers_that_round_alike_are_shown_exactly(gate):
    profile = make_profile({"a": make_cost(activation_bytes=1_801)})
    result = gate('[[budgets]]\nmetric = "activation_bytes"\nmax = "1.8 KB"\n', net=profile)
    assert result.status == 1
    assert "1,800 bytes budget exceeded by 1 byte" in say(result)


TWO = """
[models.good]
reference = "old.py:Net"
input = "1x3x8x8"
[models.bad]
reference = "broken.py:Net"
input = "1x3x8x8"
[[budgets]]
metric = "params"
max = "{most}"
level = "{level}"
"""


@pytest.mark.parametrize(
    ("most", "level", "arguments", "status", "outcome"),
    [
        ("1K", "error", (), 2, "inconclusive"),
        ("1K", "error", ("--allow-inconclusive",), 2, "inconclusive"),
        ("1K", "warn", (), 2, "inconclusive"),
        ("100", "error", (), 1, "failed"),
    ],
)
def test_a_model_that_cannot_be_measured_hides_no_other_and_is_never_green(archaudit, project, most, level, arguments, status, outcome):
    (project / "broken.py").write_text("import os\n\n\ndef Net():\n    raise ValueError('no weights here')\n")
    (project / "archaudit.toml").write_text(TWO.format(most=most, level=level))
    result = archaudit("check", "--format", "json", "--no-other-counters", *arguments)
    judged = json.loads(result.out)
    assert (result.status, judged["outcome"]) == (status, outcome)
    good, bad = judged["checks"]
    assert (good["model"], good["actual"]) == ("good", 8 * 27 + 18)
    assert (bad["model"], bad["outcome"]) == ("bad", "inconclusive")
    assert "raised while it was built: ValueError: no weights here" in bad["reason"]
    assert "\n" not in bad["reason"]
    assert re.search(r"archaudit: bad was not measured: \S*broken\.py:Net raised while it was built", result.err)
    assert list(judged["unmeasured"]) == ["bad"]
