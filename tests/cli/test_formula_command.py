"""`archaudit formula`: the formulas of one model, in every format."""

import json

NET = ("--input", "1x3x16x16", "--no-isolation")


def test_the_formulas_are_printed_with_the_range_that_was_run(archaudit, project):
    result = archaudit("formula", "new.py:Net", *NET)
    assert result.status == 0
    # 3 * 4 * 9 and 4 * 2 multiply-accumulates for each pixel
    assert "MACs\n  116·B·H·W\n" in result.out
    assert "FLOPs\n  232·B·H·W\n" in result.out
    assert "B (batch): 1 to " in result.out
    assert "checked in 3 others: all equal" in result.out


def test_every_module_has_its_own_formula(archaudit, project):
    result = archaudit("formula", "new.py:Net", *NET, "--modules")
    assert "  head, MACs: 8·B·H·W" in result.out


def test_the_json_has_expressions_that_python_evaluates(archaudit, project):
    laws = json.loads(archaudit("formula", "new.py:Net", *NET, "--format", "json").out)
    assert eval(laws["laws"]["macs"]["expression"], {"B": 2, "H": 10, "W": 5}) == 2 * 10 * 5 * 116
    assert [module["path"] for module in laws["modules"]] == ["", "conv", "head"]


def test_a_saved_profile_is_one_point_and_has_no_formula(archaudit, project):
    (project / "net.json").write_text(archaudit("profile", "new.py:Net", *NET, "--no-other-counters", "--format", "json").out)
    result = archaudit("formula", "net.json")
    assert result.status == 2
    assert "the costs of one input only" in result.err
