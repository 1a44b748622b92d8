"""Tables with named columns: the same names and values in every format; joined columns of a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from factories import make_cost
from render.synthetic import make_cost as make_full_cost
from render.synthetic import make_hostile_report, make_incomplete_report, make_module, make_profile, make_report, make_segmentation_report

import archaudit
from archaudit.errors import ArchauditError, ConfigError
from archaudit.render.exports import Extra, Selection, make_frame, parse_extra, tabulate, write_table
from archaudit.render.exports.formats import format_csv
from archaudit.render.exports.sources import Rows
from archaudit.schema import Profile, Report, Sweep, Variant

# conv: 100 parameters and 1,000 MACs; head: 50 and 20, after it 40 and 10.
BEFORE = make_profile(
    "net",
    [
        make_module("", "Net"),
        make_module("conv", "Conv2d", make_full_cost(100, 1_000)),
        make_module("head", "Linear", make_full_cost(50, 20)),
    ],
)
AFTER = make_profile(
    "net",
    [
        make_module("", "Net"),
        make_module("conv", "Conv2d", make_full_cost(100, 1_000)),
        make_module("head", "Linear", make_full_cost(40, 10)),
    ],
)
SWEEP = Sweep(
    variants=(
        Variant(reference="torchvision:a", input="1x3x8x8", totals=make_cost(10, 4), pareto=True),
        Variant(reference="torchvision:a", input="1x3x9x9", totals=make_cost(10, 6)),
        Variant(reference="net.py:B", input="1x3x8x8", choices={"width": "4"}, error="it has no such size"),
    )
)


def read_csv(record: Report | Profile | Sweep, columns: str = "", rows: str = "", extra: Extra | None = None) -> list[dict[str, str]]:
    table, _ = tabulate(record, Selection(rows=rows, columns=tuple(filter(None, columns.split(","))), extra=extra))
    return list(csv.DictReader(io.StringIO(write_table(table, "csv"))))


def test_layers_of_a_profile_have_exact_numbers() -> None:
    assert read_csv(AFTER, "path,type,params,macs,flops,own_params,params_share") == [
        {"path": "(root)", "type": "Net", "params": "140", "macs": "1010", "flops": "2020", "own_params": "0", "params_share": "100.0"},
        {
            "path": "conv",
            "type": "Conv2d",
            "params": "100",
            "macs": "1000",
            "flops": "2000",
            "own_params": "100",
            "params_share": "71.4286",
        },
        {"path": "head", "type": "Linear", "params": "40", "macs": "10", "flops": "20", "own_params": "40", "params_share": "28.5714"},
    ]


def test_layers_of_a_comparison_add_up_by_their_own_cost() -> None:
    rows = read_csv(make_report(BEFORE, AFTER), "before_path,after_path,own_params_delta,own_flops_delta,params_percent", "layers")
    assert sum(int(row["own_params_delta"]) for row in rows) == -10
    assert sum(int(row["own_flops_delta"]) for row in rows) == -20
    assert [row["params_percent"] for row in rows] == ["-6.66667", "0.0", "-20.0"]  # of 150, 100 and 50


def test_a_comparison_as_models_has_a_row_for_each() -> None:
    rows = read_csv(make_report(BEFORE, AFTER), "model,params,macs", "models")
    assert rows == [{"model": "net", "params": "150", "macs": "1020"}, {"model": "net", "params": "140", "macs": "1010"}]


def test_sections_end_with_the_total() -> None:
    report = make_segmentation_report()
    rows = read_csv(report)
    assert rows[-1]["section"] == "Total"
    assert int(rows[-1]["params_after"]) == report.after.totals.params
    assert sum(int(row["params_after"]) for row in rows[:-1]) == report.after.totals.params


def test_a_lower_bound_has_no_difference_and_a_column_says_so() -> None:
    rows = read_csv(make_incomplete_report(), "section,flops_before,flops_delta,flops_percent,complete")
    bound = next(row for row in rows if row["complete"] == "False")
    assert (bound["flops_delta"], bound["flops_percent"]) == ("", "")
    assert "complete" in read_csv(make_incomplete_report())[0]
    assert "complete" not in read_csv(make_segmentation_report())[0]


def test_variants_of_a_sweep_have_their_arguments_and_errors() -> None:
    rows = read_csv(SWEEP)
    assert [row["params"] for row in rows] == ["10", "10", ""]
    assert [row["pareto"] for row in rows] == ["True", "False", "False"]
    assert rows[2]["width"] == "4"
    assert rows[2]["error"] == "it has no such size"


@pytest.mark.parametrize(
    ("record", "rows"),
    [(make_segmentation_report(), each) for each in ("sections", "layers", "models")]
    + [(AFTER, "layers"), (AFTER, "models"), (SWEEP, "models")],
)
def test_every_column_is_in_every_format_in_the_order_given(record: Report | Profile | Sweep, rows: Rows) -> None:
    with pytest.raises(ConfigError) as error:
        tabulate(record, Selection(rows=rows, columns=("no_such_column",)))
    assert error.value.hint is not None
    names = error.value.hint.removeprefix("Columns: ").removesuffix(".").split(", ")
    for order in (names, names[::-1]):
        table, _ = tabulate(record, Selection(rows=rows, columns=tuple(order)))
        assert [column.name for column in table.columns] == order
        lines = {form: write_table(table, form).splitlines() for form in ("csv", "latex", "markdown", "text", "html")}
        count = len(list(table.rows))
        assert len(list(csv.reader(io.StringIO("\n".join(lines["csv"]))))) == count + 1
        assert sum(line.rstrip().endswith("\\\\") for line in lines["latex"]) == count + 1 + any(column.group for column in table.columns)
        assert sum(line.startswith("|") for line in lines["markdown"]) == count + 2


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no column 'param'.* Did you mean params\?"):
        tabulate(AFTER, Selection(columns=("param",)))


def test_rows_that_do_not_exist_are_listed() -> None:
    with pytest.raises(ConfigError) as error:
        tabulate(AFTER, Selection(rows="sections"))
    assert error.value.hint == "Rows: layers, models."


@pytest.mark.parametrize("name", ["=1+1", "@SUM(1)", "+cmd()", "-cmd()"])
def test_names_that_a_spreadsheet_takes_for_a_formula_are_defused(name: str) -> None:
    cells = [cell for row in read_csv(make_hostile_report(name), rows="layers") for cell in row.values()]
    assert any(name in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(name[0]) and not cell[1:2].isdigit()]


def test_a_signed_number_in_a_text_stays_a_number() -> None:
    assert format_csv(["off"], [["+0.5 %"], ["-3"], ["-"]]) == "off\n+0.5 %\n-3\n-\n"


# --- columns of a file ------------------------------------------------------------------------------------------------


def test_a_file_is_joined_by_the_name_with_and_without_its_library() -> None:
    rows = read_csv(SWEEP, "model,accuracy", extra=parse_extra("model,accuracy\na,69.8\nnet.py:B,71\n", "acc.csv"))
    assert [row["accuracy"] for row in rows] == ["69.8", "69.8", "71"]


def test_a_column_of_the_file_that_is_an_argument_or_the_input_must_agree() -> None:
    extra = parse_extra("model,input,accuracy\na,1x3x8x8,60\na,1x3x9x9,70\n", "acc.csv")
    assert [row["accuracy"] for row in read_csv(SWEEP, "model,accuracy", extra=extra)] == ["60", "70", ""]


def test_names_that_match_nothing_and_models_without_a_row_are_said() -> None:
    _, notes = tabulate(SWEEP, Selection(extra=parse_extra("model,accuracy\na,1\nc,2\n", "acc.csv")))
    assert notes == ["acc.csv: no row of the table is about c; the models are torchvision:a, net.py:B", "acc.csv: nothing on net.py:B"]


def test_both_sides_of_a_comparison_can_be_called_before_and_after() -> None:
    extra = parse_extra("name,mIoU\nbefore,72.1\nafter,71\n", "acc.csv")
    assert [row["mIoU"] for row in read_csv(make_report(BEFORE, AFTER), extra=extra)] == ["72.1", "71"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table"),
        ("model,accuracy\n", "no table"),
        ("model\na\n", "no table"),
        ("model,accuracy\na,1,2\n", "row 2 has 3 cells, not 2"),
        ("model,accuracy,accuracy\na,1,2\n", "heading of its own"),
        ("model,params\na,1\n", "column 'params' already"),
    ],
)
def test_a_file_that_cannot_be_joined_says_why(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tabulate(SWEEP, Selection(extra=parse_extra(text, "acc.csv")))


def test_layers_have_no_columns_of_a_file() -> None:
    with pytest.raises(ConfigError, match="about models, not about layers"):
        tabulate(AFTER, Selection(rows="layers", extra=parse_extra("model,accuracy\na,1\n", "acc.csv")))


# --- data frames ------------------------------------------------------------------------------------------------------


def test_a_data_frame_has_numbers_and_what_is_missing() -> None:
    pytest.importorskip("pandas")
    table, _ = tabulate(SWEEP, Selection(extra=parse_extra("model,accuracy\na,69.8\n", "acc.csv")))
    frame = make_frame(table)
    assert list(frame["params"].dropna()) == [10, 10]
    assert str(frame["params"].dtype) == "Int64"
    assert frame["accuracy"].mean() == 69.8
    assert frame["accuracy"].isna().sum() == 1


def test_profiles_comparisons_and_sweeps_have_data_frames(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    report = archaudit.compare(BEFORE, AFTER)
    assert list(report.to_dataframe(["params_delta"])["params_delta"])[-1] == -10
    assert list(report.to_dataframe(rows="models")["params"]) == [150, 140]
    (tmp_path / "net.json").write_bytes(archaudit.schema.encode(BEFORE))
    assert list(archaudit.load_profile(tmp_path / "net.json").to_dataframe("params")["params"]) == [150, 100, 50]


def test_without_pandas_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    table, _ = tabulate(AFTER, Selection())
    with pytest.raises(ArchauditError, match="needs pandas") as error:
        make_frame(table)
    assert error.value.hint == "Install it with: pip install pandas"
