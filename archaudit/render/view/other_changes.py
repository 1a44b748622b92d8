"""Changes that are no changes of modules: classes, the initialisation of parameters, and the keys of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from archaudit.render.audit_text import fold_findings, format_place
from archaudit.render.formatting import ARROW, count, join_names, make_visible, name_path
from archaudit.render.view.method_records import FactRow
from archaudit.schema import AuditChange, CheckpointMap, ClassUse, InitialisationChange, JoinedRows, PermutedAxes, Report

_MOST_NAMED = 4
_MOST_INITIALISED = 12
_MOST_FINDINGS = 20
_DEFAULT = "the layer's default"


def view_other_changes(report: Report) -> tuple[FactRow, ...]:
    """A sentence for each change; `kind` is `class`, `initialisation`, `audit` or `checkpoint`."""
    rows = [FactRow(side="", kind="class", text=_describe_class(each, "added")) for each in report.classes_added]
    rows += (FactRow(side="", kind="class", text=_describe_class(each, "removed")) for each in report.classes_removed)
    rows += (FactRow(side="", kind="initialisation", text=text) for text in _describe_initialisation(report.initialisation))
    if report.audit is not msgspec.UNSET:
        rows += (FactRow(side="", kind="audit", text=text) for text in describe_audit(report.audit))
    if report.checkpoint is not None:
        rows += (FactRow(side="", kind="checkpoint", text=text) for text in describe_checkpoint(report.checkpoint))
    return tuple(rows)


def describe_audit(change: AuditChange) -> Iterator[str]:
    """How many findings there are on each side, then the findings that the change introduces and resolves."""
    yield f"{count(change.before, 'finding')} before, {change.after:,} after"
    for word, findings in (("introduced", change.introduced), ("resolved", change.resolved)):
        for group in fold_findings(findings)[:_MOST_FINDINGS]:
            first = group[0]
            more = f" and in {len(group) - 1:,} more" if len(group) > 1 else ""
            place = f" ({format_place(first.place)})" if first.place is not None else ""
            fix = f"; fix: {make_visible(first.fix)}" if word == "introduced" else ""
            yield f"{word} {first.code} in {name_path(first.path)}{more}{place}: {make_visible(first.message)}{fix}"


def _describe_class(use: ClassUse, change: str) -> str:
    where = f" of {make_visible(use.defined_in)}" if use.defined_in else ""
    paths = join_names([name_path(path) for path in use.paths], _MOST_NAMED)
    return f"{make_visible(use.name)}{where} {change} ({paths})"


def _describe_initialisation(changes: tuple[InitialisationChange, ...]) -> Iterator[str]:
    """One line for all parameters with the same change."""
    same_change: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        before = "new" if change.before_path is None else make_visible(change.before or _DEFAULT)
        after = "removed" if change.after_path is None else make_visible(change.after or _DEFAULT)
        same_change.setdefault((before, after), []).append(
            name_path(change.after_path if change.after_path is not None else change.before_path)
        )
    for (before, after), paths in list(same_change.items())[:_MOST_INITIALISED]:
        yield f"{join_names(paths, _MOST_NAMED)}: " + (f"new, {after}" if before == "new" else f"{before} {ARROW} {after}")
    if len(same_change) > _MOST_INITIALISED:
        yield f"{len(same_change) - _MOST_INITIALISED:,} more changes of initialisation"


def describe_checkpoint(checkpoint: CheckpointMap) -> Iterator[str]:
    """What becomes of the keys of before in one sentence, then each group of keys that go into one tensor."""
    # one tensor that became one: only its layout is another
    layouts = {
        name: source
        for name, source in checkpoint.built.items()
        if isinstance(source, JoinedRows | PermutedAxes) and len(source.names) == 1 and _is_whole(source)
    }
    built = {name: source for name, source in checkpoint.built.items() if name not in layouts}
    numbers = {
        "load unchanged": len(checkpoint.same),
        "load under another name": len(checkpoint.renamed),
        "load transposed or reordered": len(layouts),
        f"are merged or divided into {count(len(built), 'key')} of after": len(
            {name for source in built.values() for name in source.names}
        ),
        "have another shape": len(checkpoint.reshaped),
        "are unexpected (after has no such key)": len(checkpoint.unused),
    }
    total = sum(numbers.values())
    if not total:
        yield "before has no parameters or buffers in its state_dict"
    else:
        listed = ", ".join(f"{number:,} {verb}" for verb, number in numbers.items() if number)
        missing = f"; {count(len(checkpoint.missing), 'key')} of after missing" if checkpoint.missing else ""
        yield f"before's state_dict ({count(total, 'key')}) loaded into after: {listed}{missing}"
    for keys in checkpoint.conflicts:
        yield f"{join_names([make_visible(key) for key in keys], _MOST_NAMED)} are separate tensors before and one tied tensor after"


def _is_whole(source: JoinedRows | PermutedAxes) -> bool:
    """Whether all rows are used."""
    return isinstance(source, PermutedAxes) or (source.start == 0 and source.stop is None)
