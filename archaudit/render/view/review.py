"""A comment for a pull request: what changed, what each cause cost, what the change puts at risk, and what to ask."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from archaudit.errors import CannotJudge
from archaudit.index import index_modules, is_below, parent_path
from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_short, format_signed
from archaudit.render.formatting import ARROW, count, join_names, make_visible, name_path, shorten_middle
from archaudit.render.view.layer_table.notes import Notes
from archaudit.render.view.other_changes import describe_checkpoint
from archaudit.render.view.screen import view_screen
from archaudit.render.view.screen_records import ReportScreen, ScreenTotal
from archaudit.schema import CheckpointMap, ModuleDiff, Pair, Profile, Record, Report

# A reviewer reads so much at a glance; GitHub shows it without scrolling.
_MOST_CHANGES, _MOST_RISKS, _MOST_QUESTIONS = 7, 5, 3
_LONGEST_LINE = 210
_MOST_CAUSES, _MOST_NAMED = 2, 2
# Below this, the matching itself says that two modules may be different ones.
_UNSURE = 0.7


class Review(Record, frozen=True, kw_only=True):
    """The lines of a review; `rest` counts the changes that are left out."""

    title: str
    verdict: str
    sentence: str
    totals: str
    changes: tuple[str, ...]
    rest: str
    risks: tuple[str, ...]
    questions: tuple[str, ...]


def view_review(report: Report) -> Review:
    """The review of a comparison."""
    screen = view_screen(report)
    ranked = sorted(range(len(screen.changes)), key=lambda place: -screen.changes[place].weight)[:_MOST_CHANGES]
    # what costs nothing is a line only where nothing else changed
    ranked = [place for place in ranked if screen.changes[place].weight] or ranked
    left = len(screen.changes) - len(ranked)
    risks, questions = _cut(_list_risks(report, screen), _MOST_RISKS), _cut(_list_questions(report), _MOST_QUESTIONS)
    return Review(
        title=screen.title,
        verdict="" if screen.conclusion is None else f"{screen.conclusion.symbol} {screen.conclusion.verdict}: {screen.conclusion.why}",
        sentence=" ".join(screen.sentences),
        totals="; ".join(_describe_total(row) for row in screen.totals),
        changes=_cut((_describe_change(report, screen, place) for place in sorted(ranked)), _MOST_CHANGES),
        rest=f"{count(left, 'smaller change')}, see the report" if left else "",
        risks=risks,
        questions=questions,
    )


def _cut(lines: Iterator[str], most: int) -> tuple[str, ...]:
    """The first lines, each short enough to be read; what is left out is counted in the last one."""
    found = [shorten_middle(line, _LONGEST_LINE) for line in dict.fromkeys(lines)]
    return tuple(found) if len(found) <= most else (*found[: most - 1], f"{count(len(found) - most + 1, 'more', 'more')}, see the report")


def _describe_total(row: ScreenTotal) -> str:
    sides = row.trend.sides
    before, after = (figure.exact if row.exact else figure.short for figure in (sides.before, sides.after))
    return f"{row.label} {before} {ARROW} {after} ({row.trend.percent})"


# --- what changed -----------------------------------------------------------------------------------------------------


def _describe_change(report: Report, screen: ReportScreen, place: int) -> str:
    """`ASPP: -3,065,600 params, -6.12G FLOPs; -1,327,616 by removing aspp.branches.3, -1,204,224 from outputs 256→128`."""
    row = screen.changes[place]
    costs = [f"{row.params.sides.delta.exact} params" if row.params.direction != "same" else ""]
    costs += [f"{row.compute.sides.delta.short} {screen.unit}" if row.compute.direction != "same" else ""]
    head = f"{row.name}: {', '.join(filter(None, costs)) or 'no cost'}"
    if screen.heading != "section":
        return f"{head}; {row.detail}" if row.detail else head
    group = next((group for group in report.groups if make_visible(group.name) == row.name), None)
    causes = _sum_causes(report, group.before_paths, group.after_paths) if group is not None else Counter()
    named = [f"{format_signed(delta)} {text}" for text, delta in sorted(causes.items(), key=lambda item: -abs(item[1]))[:_MOST_CAUSES]]
    return f"{head}; {', '.join(named)}" if named else head


def _sum_causes(report: Report, before: Sequence[str], after: Sequence[str]) -> Counter[str]:
    """The parameters that each cause added or removed in a section: changed sizes, and whole modules."""
    causes: Counter[str] = Counter()
    whole: defaultdict[tuple[int, str, str], Counter[str]] = defaultdict(Counter)
    explained = {row.change_id for row in report.modules if row.causes}
    indexes = Pair(index_modules(report.before), index_modules(report.after))
    alone = Pair(
        {row.before_path for row in report.modules if row.after_path is None},
        {row.after_path for row in report.modules if row.before_path is None},
    )
    for row in report.modules:
        side, path = (1, row.after_path) if row.after_path is not None else (0, row.before_path)
        if path is None or not any(is_below(path, top) or path == top for top in (before, after)[side]):
            continue
        if row.before_path is not None and row.after_path is not None:
            causes.update({f"from {make_visible(cause.text)}": cause.delta for cause in row.causes})
        elif row.own_delta.params and (row.change_id is None or row.change_id not in explained):
            while parent_path(path) in alone[side]:
                path = parent_path(path)
            whole[side, parent_path(path), indexes[side][path].type][path] += row.own_delta.params
    for (side, _, kind), costs in whole.items():
        more = f" ({len(costs):,} × {make_visible(kind)})" if len(costs) > 1 else ""
        causes[f"by {'adding' if side else 'removing'} {join_names(list(map(name_path, costs)), 1)}{more}"] += costs.total()
    return causes


# --- risks ------------------------------------------------------------------------------------------------------------


def _list_risks(report: Report, screen: ReportScreen) -> Iterator[str]:
    """What the change can break, the gravest first."""
    yield from (alert.text for alert in screen.alerts if not alert.text.endswith(", as expected"))
    checkpoint = report.checkpoint
    if checkpoint is not None and (checkpoint.renamed or checkpoint.reshaped or checkpoint.unused or checkpoint.missing):
        lost = [*(each.before for each in checkpoint.reshaped), *checkpoint.unused, *checkpoint.renamed]
        examples = join_names([make_visible(name) for name in lost], _MOST_NAMED)
        yield f"Checkpoint keys: {_count_keys(checkpoint)}" + (f" ({examples})" if examples else "")
        yield from list(describe_checkpoint(checkpoint))[1:]
    for kind, verb in (("tied", "newly tied"), ("untied", "no longer tied"), ("frozen", "frozen"), ("unfrozen", "no longer frozen")):
        paths = [name_path(row.after_path) for row in report.modules if kind in row.changes and row.after_path is not None]
        if paths:
            yield f"Parameters {verb}: {join_names(paths, _MOST_NAMED)}"
    for name, noun in (("unused_params", "parameters that no forward pass uses"), ("dead_flops", "FLOPs that reach no output")):
        now, was = _read(report.after, name), _read(report.before, name)
        if now and now != was:
            yield f"Dead: {format_short(now)} {noun}" + (f" (before: {format_short(was)})" if was else "")
    if report.initialisation:
        changed = [name_path(change.after_path) for change in report.initialisation if change.before_path is not None and change.after_path]
        if changed:
            yield f"Another initialisation: {join_names(changed, _MOST_NAMED)}"


def _count_keys(checkpoint: CheckpointMap) -> str:
    """`41 of 372 load; 227 with another shape, 104 gone; 54 new in after`."""
    parts = {name for source in checkpoint.built.values() for name in source.names}
    counts = {
        "under another name": len(checkpoint.renamed),
        "merged or divided": len(parts),
        "with another shape": len(checkpoint.reshaped),
        "gone": len(checkpoint.unused),
    }
    total = len(checkpoint.same) + sum(counts.values())
    lost = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
    new = f"{len(checkpoint.missing):,} new in after" if checkpoint.missing else ""
    return "; ".join(filter(None, (f"{len(checkpoint.same):,} of {total:,} load", lost, new)))


def _read(profile: Profile, name: str) -> float | None:
    """A metric that is computed from the modules; None where the profile lacks what it is computed from."""
    metric = METRICS[name]
    try:
        return metric.of_scope(profile, ("",)) if metric.of_scope is not None else None
    except CannotJudge:
        return None


# --- questions --------------------------------------------------------------------------------------------------------


def _list_questions(report: Report) -> Iterator[str]:
    """What a reviewer cannot see in the numbers."""
    before, after = report.before, report.after
    checkpoint = report.checkpoint
    lost = checkpoint is not None and (checkpoint.reshaped or checkpoint.unused or checkpoint.missing)
    if lost:
        yield "Is the model trained from scratch? If not: how are old checkpoints converted?"
    elif checkpoint is not None and checkpoint.renamed:
        yield "Old checkpoints load only under new names: where are the keys renamed? (`--checkpoint-map` writes them)"
    for row in report.modules:
        if row.before_path is not None and row.after_path is not None and row.confidence < _UNSURE and row.own_delta.params:
            yield f"Is {name_path(row.after_path)} the successor of {name_path(row.before_path)}? ({make_visible(row.reason)})"
    yield from _list_opposed(report)
    for path in _list_uncalled(report):
        yield f"{path} is new and never runs: what is it for?"
    indexes, notes = Pair(index_modules(before), index_modules(after)), Notes(report)
    for row in report.modules:
        if row.changes == ("settings",) and not row.total_delta.params and not row.total_delta.flops:
            pair = Pair(indexes.before.get(row.before_path), indexes.after.get(row.after_path))
            yield f"{name_path(row.after_path)}: {notes.write(row, pair, is_container=False).text}: is this meant? It changes no cost."


def _list_opposed(report: Report) -> Iterator[str]:
    before, after = report.before, report.after
    params, flops = after.totals.params - before.totals.params, after.totals.flops - before.totals.flops
    if params * flops < 0 and report.flops_complete:
        yield f"Parameters change by {format_signed(params)}, FLOPs by {_sign(flops)}: is the opposite direction meant?"
    peaks = before.peaks.activation_bytes, after.peaks.activation_bytes
    if None not in peaks and params < 0 and (peaks[1] or 0) > (peaks[0] or 0):
        yield "The model has fewer parameters but a higher peak memory: is that acceptable on the target?"


def _sign(value: int) -> str:
    text = format_short(value)
    return text if text.startswith("-") else f"+{text}"


def _list_uncalled(report: Report) -> Iterator[str]:
    """New modules with parameters that the forward pass does not run; a container runs if one inside it does."""
    index = index_modules(report.after)
    for row in _list_added(report):
        module = index.get(row.after_path)
        if module is not None and index.is_leaf(module.path) and not module.calls and module.own.params:
            yield name_path(module.path)


def _list_added(report: Report) -> Iterator[ModuleDiff]:
    return (row for row in report.modules if row.before_path is None and row.after_path is not None)
