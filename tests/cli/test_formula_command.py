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


def test_two_models_have_a_difference_and_a_cheaper_one(archaudit, project):
    result = archaudit("formula", "old.py:Net", "new.py:Net", *NET)
    assert result.status == 0
    # 8 * 27 + 2 * 8 before, and half of it after
    assert "MACs: -116·B·H·W" in result.out
    assert "after is cheaper at every W (B=1, H=16)" in result.out


def test_costs_at_other_sizes_are_exact(archaudit, project):
    result = archaudit("formula", "new.py:Net", *NET, "--at", "B=2,H=10,W=5")
    assert "MACs: 11,600 (11.6K)" in result.out
    assert archaudit("formula", "new.py:Net", *NET, "--at", "T=5").status == 2


def test_the_python_file_has_a_test_that_passes(archaudit, project):
    code = archaudit("formula", "new.py:Net", *NET, "--format", "python").out
    functions = {}
    exec(code, functions)
    functions["test_the_formulas_give_what_was_counted"]()
    assert functions["macs"](B=2, H=10, W=5) == 11_600
    assert code.count("assert macs(") == 3


def test_latex_has_a_line_for_each_quantity(archaudit, project):
    out = archaudit("formula", "new.py:Net", *NET, "--format", "latex").out
    assert r"\text{MACs} &= 116 \, B \, H \, W" in out


def test_all_formats_are_written_to_a_folder(archaudit, project):
    assert archaudit("formula", "new.py:Net", *NET, "-o", "out").status == 0
    stem = "out/new.py-Net-formula"
    assert "| MACs | 116·B·H·W |" in (project / f"{stem}.md").read_text()
    page = (project / f"{stem}.html").read_text()
    assert '<g class="line s0"><line ' in page
    assert "MACs over H" in page
    for extension in (".json", ".tex", ".py"):
        assert (project / f"{stem}{extension}").exists()


CONFIG = """
[models.net]
reference = "new.py:Net"
input = "1x3x16x16"

[[budgets]]
metric = "macs"
at = "H=100,W=100"
max = "1.16M"

[[budgets]]
metric = "activation_bytes"
growth = "<= H"
"""


def test_budgets_limit_a_formula_and_its_growth(archaudit, project):
    (project / "archaudit.toml").write_text(CONFIG)
    result = archaudit("check", "--no-isolation")
    # 116 for each of 10,000 pixels
    assert result.status == 0
    assert "1.16M at H=100,W=100" in result.out
    assert "2 checks, 2 passed" in result.out
    (project / "archaudit.toml").write_text(CONFIG.replace("1.16M", "1.15M"))
    result = archaudit("check", "--no-isolation")
    assert result.status == 1
    assert "1,160,000 at H=100,W=100 is 10,000 over the limit of 1.15M" in " ".join(result.out.split())


def test_a_faulty_formula_budget_is_named(archaudit, project):
    (project / "archaudit.toml").write_text(CONFIG.replace('"<= H"', '"fast"').replace('"H=100,W=100"', '"H"'))
    result = archaudit("check", "--no-isolation")
    assert result.status == 2
    assert "'fast' is not a growth" in result.err
    assert "'H' is not a size" in result.err
    (project / "archaudit.toml").write_text(CONFIG.replace('"macs"', '"params"'))
    assert "params has no formula" in archaudit("check", "--no-isolation").err
