"""Tables of public model zoos, as facts: names, figures, and what each name is. Every row is bound by its name and judged.

`zoos/rows.csv` has the rows: the zoo, the heading above, the dataset and resolution that the row states, the name and the figures as they
are printed, and the model of timm that the name means (none for another model), which was checked by hand for every name.
`zoos/models.csv` has the models' parameters, counted with `sum(p.numel() for p in model.parameters())`, and their multiply-accumulates by
torch's FlopCounterMode, halved. `zoos/names.txt` are the names of the library. The counts do not come from archaudit.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from factories import make_module, make_profile

from archaudit.claims.named_figures import Catalogs, NamedFigure, list_named_figures
from archaudit.claims.names import Catalog
from archaudit.claims.reading import read_document
from archaudit.judge import judge
from archaudit.pipeline.table_claims import make_check
from archaudit.pipeline.zoo import Model
from archaudit.schema import Cost, Profile

FOLDER = Path(__file__).parent / "zoos"
LEAST_ROWS, LEAST_ZOOS = 400, 8
LEAST_RECALL, LEAST_PRECISION, MOST_FALSE_FALSE = 0.95, 0.98, 0.01
SCALES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}


class Fact(NamedTuple):
    """One figure of a zoo."""

    zoo: str
    section: str
    dataset: str
    name: str
    resolution: str
    metric: str
    heading: str
    figure: str
    model: str


@cache
def read_facts() -> tuple[Fact, ...]:
    with (FOLDER / "rows.csv").open(encoding="utf-8", newline="") as file:
        return tuple(Fact(**{name: row[name] for name in Fact._fields}) for row in csv.DictReader(file))


@cache
def read_models() -> dict[tuple[str, str], tuple[int, int]]:
    with (FOLDER / "models.csv").open(encoding="utf-8", newline="") as file:
        return {(row["model"], row["resolution"]): (int(row["params"]), int(row["macs"])) for row in csv.DictReader(file)}


def write_document(facts: list[Fact]) -> str:
    """The facts of one zoo as a document with a table for each section and kind of row."""
    rows: dict[tuple[str, bool, bool], dict[tuple[str, str, str, int], dict[str, str]]] = defaultdict(dict)
    repeats: dict[tuple[str, str, str, str, str], int] = defaultdict(int)
    for fact in facts:
        repeats[fact.section, fact.name, fact.resolution, fact.dataset, fact.heading] += 1
        count = repeats[fact.section, fact.name, fact.resolution, fact.dataset, fact.heading]
        key = fact.section, bool(fact.resolution), bool(fact.dataset)
        rows[key].setdefault((fact.name, fact.resolution, fact.dataset, count), {})[fact.heading] = fact.figure
    text = [f"# {facts[0].zoo}", ""]
    for (section, has_resolution, has_dataset), members in rows.items():
        headings = list(dict.fromkeys(heading for figures in members.values() for heading in figures))
        columns = ["Model", *(["Resolution"] if has_resolution else []), *(["Dataset"] if has_dataset else []), *headings]
        text += [f"## {section}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        for (name, resolution, dataset, _), figures in members.items():
            cells = [name, *([resolution] if has_resolution else []), *([dataset] if has_dataset else [])]
            text.append("| " + " | ".join([*cells, *(figures.get(heading, "-") for heading in headings)]) + " |")
        text.append("")
    return "\n".join(text)


@cache
def bind_all() -> tuple[tuple[Fact, NamedFigure | None], ...]:
    """Every fact with the figure that was found for it."""
    names = (FOLDER / "names.txt").read_text(encoding="utf-8").split()
    catalogs = Catalogs(((Catalog({name: name for name in names}), True),))
    bound: list[tuple[Fact, NamedFigure | None]] = []
    for zoo in dict.fromkeys(fact.zoo for fact in read_facts()):
        facts = [fact for fact in read_facts() if fact.zoo == zoo]
        found = list_named_figures(read_document(write_document(facts), "ZOO.md"), catalogs)
        waiting = defaultdict(list)
        for figure in found:
            waiting[figure.number.run.section, figure.name, figure.number.heading, figure.number.text.strip()].append(figure)
        for fact in facts:
            matching = waiting[" ".join(fact.section.split()), fact.name, fact.heading, fact.figure]
            bound.append((fact, matching.pop(0) if matching else None))
    return tuple(bound)


def is_true(fact: Fact, figure: NamedFigure, actual: int) -> bool:
    """Whether the digits of the figure are the number rounded to as many digits: worked out from the text.

    A plain number that ends in three zeros or more, as in indexes of models, is rounded to its other digits.
    """
    digits = fact.figure.strip().replace(",", "").rstrip("KMGBT ").strip()
    letter = figure.unit[:1] if figure.unit else fact.figure.strip()[-1:]
    scale = SCALES.get(letter if letter.isalpha() else "", 1)
    step = Decimal(1).scaleb(-len(digits.partition(".")[2])) * scale
    if digits.isdecimal() and scale == 1 and digits.endswith("000"):
        step = Decimal(10) ** (len(digits) - len(digits.rstrip("0")))
    value = Decimal(digits) * scale
    return value == actual if step == 1 else abs(Decimal(actual) - value) <= step / 2


def test_rows_of_zoos_are_bound_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    bound = bind_all()
    rows = {(fact.zoo, fact.section, fact.name, fact.resolution) for fact, _ in bound}
    known = [(fact, figure) for fact, figure in bound if fact.model]
    right = [fact for fact, figure in known if figure and figure.resolved.entry and figure.resolved.entry.name == fact.model]
    proposed = [(fact, figure) for fact, figure in bound if figure and figure.resolved.entry]
    wrong = [
        f"{fact.name}: {figure.resolved.entry.name if figure.resolved.entry else ''}" for fact, figure in proposed if fact not in right
    ]
    recall, precision = len(right) / len(known), 1 - len(wrong) / len(proposed)
    with capsys.disabled():
        print(f"\nzoos: {len(right)} of {len(known)} figures of {len(rows)} rows bound ({recall:.1%}), precision {precision:.1%}")  # noqa: T201
    assert len(bound) >= LEAST_ROWS
    assert len({fact.zoo.split(" ")[0] for fact, _ in bound}) >= LEAST_ZOOS
    assert recall >= LEAST_RECALL
    assert precision >= LEAST_PRECISION, wrong


def test_figures_of_zoos_are_judged_as_their_digits_say(capsys: pytest.CaptureFixture[str]) -> None:
    false_true, false_false, judged = [], [], 0
    for fact, figure in bind_all():
        if figure is None or figure.resolved.entry is None or figure.resolved.entry.name != fact.model:
            continue
        resolution = str(figure.resolved.resolution or "")
        if (fact.model, resolution) not in read_models() or not fact.model:
            continue
        params, macs = read_models()[fact.model, resolution]
        model = Model(fact.model, figure.resolved.resolution)
        verdict = judge([make_check(figure, model, "ZOO.md")], {model.name: make_measured(params, macs)}, {})[0]
        truth = (
            is_true(fact, figure, params) if fact.metric == "params" else any(is_true(fact, figure, value) for value in (macs, 2 * macs))
        )
        found = verdict.finding == "true" or (verdict.finding == "other reading" and fact.metric == "flops")
        judged += 1
        if found and not truth:
            false_true.append(f"{fact.name} {fact.figure}: {verdict.reason}")
        if truth and not found:
            false_false.append(f"{fact.name} {fact.figure}: {verdict.reason}")
    with capsys.disabled():
        print(f"\nzoos: {judged} figures judged, {len(false_true)} wrongly true, {len(false_false)} wrongly false")  # noqa: T201
    assert judged >= LEAST_ROWS
    assert false_true == []
    assert len(false_false) <= MOST_FALSE_FALSE * judged, false_false


def make_measured(params: int, macs: int) -> Profile:
    return make_profile({"body": make_module(Cost(params=params, trainable_params=params, macs=macs, flops=2 * macs))})
