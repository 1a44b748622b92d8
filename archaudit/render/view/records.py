"""The rows of text of reports and profiles: immutable, in reading order. Renderers only loop over them."""

from __future__ import annotations

from archaudit.render.view.drawing_records import Flow, IciclePair, Waterfall
from archaudit.render.view.figures import Figure, Trend
from archaudit.render.view.method_records import FactRow, Methods
from archaudit.render.view.training_records import TrainingView
from archaudit.schema import Record


class Conclusion(Record, frozen=True, kw_only=True):
    """The outcome of all checks: the outcome, its symbol, the outcome as a headline, and the counts."""

    outcome: str
    symbol: str
    verdict: str
    why: str


class Headline(Record, frozen=True, kw_only=True):
    """The head of a report: names, inputs, the outcome, the change of the cost in a `sentence`, and the `changes` of the modules.

    `proof` is the result of --equivalent, empty without that option. `is_judged` says whether there were checks; `falsehoods` are the
    false claims in one sentence, `false_claims` is their number in words.
    """

    title: str
    before: str
    after: str
    references: tuple[str, ...]
    inputs: tuple[str, ...]
    conclusion: Conclusion
    sentence: str
    changes: str
    proof: str = ""
    is_judged: bool = True
    falsehoods: str = ""
    false_claims: str = ""


class MetricRow(Record, frozen=True, kw_only=True):
    """One metric of the whole models; `label` has its unit, `key` is its name in METRICS. `leading` rows are shown large.

    `summary` is the change in a few words, `aside` the same number in another unit.
    """

    key: str
    label: str
    trend: Trend
    summary: str
    note: str = ""
    aside: str = ""
    leading: bool = False


class Remark(Record, frozen=True, kw_only=True):
    """A claim about a section: the figure in the document, its metric, the finding, and the measured value."""

    figure: str
    about: str
    finding: str
    symbol: str
    measured: str


class SectionRow(Record, frozen=True, kw_only=True):
    """A section of the breakdown, or its total."""

    name: str
    paths: str
    params: Trend
    flops: Trend
    remarks: tuple[Remark, ...] = ()
    is_total: bool = False


class ColumnGroup(Record, frozen=True, kw_only=True):
    """Neighbouring number columns of a layer table under one heading; `columns` are their own headings, `exact` selects the form."""

    key: str
    label: str
    columns: tuple[str, ...]
    exact: bool = False


class LayerRow(Record, frozen=True, kw_only=True):
    """One module, or a matched pair. `figures` are in the order of the table's columns.

    `mark` is `+` added, `-` removed, `~` changed, `Δ` (unchanged itself, but its cost differs) or empty; `kind` is that mark as a word.
    `note` has what no column shows: the path before, changed settings, a container's own cost. `unexplained` are the changes that neither
    the note nor the figures show. `reason` says why two modules with different paths are matched, or why the cost of an unchanged module
    differs. `weight` is the row's share of the change (of a single profile: of the model); where room is short, the lightest rows go first.
    """

    path: str
    type: str
    mark: str
    kind: str
    changes: str
    shape: str
    shape_short: str
    note: str
    reason: str
    figures: tuple[Figure, ...]
    weight: float = 0.0
    unexplained: tuple[str, ...] = ()

    @property
    def is_gap(self) -> bool:
        """Whether this row represents several modules."""
        return False


class GapRow(Record, frozen=True, kw_only=True):
    """Several rows folded into one: rows whose params and FLOPs did not change, or blocks that repeat one above (`repeats`).

    Its figures are the sums of their own costs.
    """

    label: str
    inside: str
    figures: tuple[Figure, ...]
    weight: float = 0.0
    repeats: bool = False

    @property
    def is_gap(self) -> bool:
        """Whether this row represents several modules."""
        return True


class TreeRow(Record, frozen=True, kw_only=True):
    """A layer row in the tree. `name` is its path relative to the parent; `hidden` rows are folded at first.

    `numbers` are params, their bytes and FLOPs, each before and after, including submodules; `bars` are the CSS classes of the bars of
    params and FLOPs. A row that `gathers` is a heading for `blocks` equal siblings, which follow one level deeper.
    """

    row: LayerRow
    name: str
    anchor: str
    depth: int
    hidden: bool
    numbers: tuple[int | None, ...]
    bars: tuple[str, ...]
    gathers: bool = False
    blocks: int = 1


class LayerTable(Record, frozen=True, kw_only=True):
    """Every module, once as a `tree` and once as a `brief` list with unchanged modules folded.

    `widths` has the length of the longest text in each column of figures.
    """

    caption: str
    sides: tuple[str, ...]
    groups: tuple[ColumnGroup, ...]
    tree: tuple[TreeRow, ...]
    brief: tuple[LayerRow | GapRow, ...]
    summary: str
    widths: tuple[int, ...]

    @property
    def shown_exact(self) -> tuple[bool, ...]:
        """For each of a row's figures, whether its column shows the exact form."""
        return tuple(group.exact for group in self.groups for _ in group.columns)

    def label_of(self, key: str) -> str:
        """The heading of one group of columns; empty where the table has no such group."""
        return next((group.label for group in self.groups if group.key == key), "")

    def columns_of(self, key: str) -> tuple[int, ...]:
        """The positions, among a row's figures, of the columns of one group; none where the table has no such group."""
        position = 0
        for group in self.groups:
            if group.key == key:
                return tuple(range(position, position + len(group.columns)))
            position += len(group.columns)
        return ()


class CheckRow(Record, frozen=True, kw_only=True):
    """A budget or a comparison with a baseline, and its verdict. `growth` lists the modules that grew; `bound` is the limit in few letters,
    and `plain` what was measured. `assumptions` is what the measured number depends on besides the architecture.

    `level` is empty for a check that decides the outcome, else `warn` or `info`; `style` is how much its outcome matters.
    """

    outcome: str
    symbol: str
    id: str
    origin: str
    what: str
    expected: str
    bound: str
    plain: str
    actual: str
    deviation: str
    reason: str
    growth: str
    level: str = ""
    assumptions: str = ""

    @property
    def style(self) -> str:
        """The outcome, milder for a check that only warns."""
        return "inconclusive" if self.level and self.outcome == "failed" else self.outcome


class ClaimRow(Record, frozen=True, kw_only=True):
    """A figure that a document states, and what was found. `finding` is true, false or unbound; `outcome` what the gate makes of it.

    `reading` is the range of numbers that the figure means, or the other convention under which it is true.
    """

    figure: str
    what: str
    measured: str
    reading: str
    finding: str
    symbol: str
    expected: str
    outcome: str
    source: str
    reason: str

    @property
    def is_plain(self) -> bool:
        """Whether the claim is true as expected, so that nothing needs an explanation."""
        return self.finding == "true" and self.outcome == "passed"


class TotalRow(Record, frozen=True, kw_only=True):
    """One metric of one model; `label` names its unit."""

    key: str
    label: str
    value: Figure
    note: str = ""
    leading: bool = False


# --- whole reports, in reading order ----------------------------------------------------------------------------------


class ReportView(Record, frozen=True, kw_only=True):
    """A Report as text, in reading order."""

    headline: Headline
    metrics: tuple[MetricRow, ...]
    sections: tuple[SectionRow, ...]
    checks: tuple[CheckRow, ...]
    claims: tuple[ClaimRow, ...]
    layers: LayerTable
    waterfalls: tuple[Waterfall, ...]
    flow: Flow
    icicles: tuple[IciclePair, ...]
    other_changes: tuple[FactRow, ...]
    methods: Methods
    training: TrainingView | None = None


class ProfileView(Record, frozen=True, kw_only=True):
    """A Profile as text, in reading order."""

    title: str
    reference: str
    inputs: tuple[str, ...]
    totals: tuple[TotalRow, ...]
    layers: LayerTable
    flow: Flow
    icicles: tuple[IciclePair, ...]
    methods: Methods
    training: TrainingView | None = None


class DifferenceView(Record, frozen=True, kw_only=True):
    """How one model differs from its baseline, as text."""

    name: str
    sentence: str
    layers: LayerTable
    flow: Flow


class JudgementView(Record, frozen=True, kw_only=True):
    """A Judgement as text, in reading order."""

    checks: tuple[CheckRow, ...]
    claims: tuple[ClaimRow, ...]
    differences: tuple[DifferenceView, ...]
    conclusion: Conclusion
    next_steps: tuple[str, ...] = ()
