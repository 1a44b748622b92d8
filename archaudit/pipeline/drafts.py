"""Drafts of claims for a document."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from archaudit.align import align
from archaudit.claims.drafting import Draft, draft_claims
from archaudit.claims.drafting.zoo import Judged, find_mac_columns, format_names, format_zoo
from archaudit.claims.named_figures import list_named_figures
from archaudit.claims.reading import read_document
from archaudit.config import read_claims
from archaudit.diff import diff
from archaudit.judge import judge
from archaudit.pipeline.checks import list_configs, list_pins, list_sections
from archaudit.pipeline.claim_sources import SIDES, name_sides, read_text
from archaudit.pipeline.claims import check_independence
from archaudit.pipeline.document_consistency import find_convention
from archaudit.pipeline.measuring import measure_targets
from archaudit.pipeline.options import Options
from archaudit.pipeline.table_claims import make_check
from archaudit.pipeline.targets import Target, resolve
from archaudit.pipeline.zoo import Model, Zoo, open_catalogs
from archaudit.schema import Group, Profile, Verdict, parse_quantity


def draft_document(path: Path, before: str, after: str, options: Options) -> str:
    """TOML that suggests what each number of a document is about, for a person to confirm."""
    document = read_document(read_text(path), path.name)
    targets = [resolve(reference, options.config, options.inputs) for reference in (before, after)]
    measured = measure_targets(targets, msgspec.structs.replace(options, other_counters=False))
    profiles = dict(zip(SIDES, measured, strict=True))
    check_independence(path, targets, profiles.values())
    groups = _find_groups(targets, measured, options)
    bound = {(binding.line, binding.column) for binding in document.bindings}
    drafts = draft_claims(document, profiles["before"], profiles["after"], groups, name_sides(targets))
    drafts = [draft for draft in drafts if (draft.number.line, draft.number.column) not in bound]  # a comment says what these are about
    checks = read_claims([draft.table for draft in drafts if draft.table], SIDES, path.name)
    verdicts = judge(checks, profiles, {})
    drafts = _name_columns(drafts, verdicts)
    verdicts = judge(read_claims([draft.table for draft in drafts if draft.table], SIDES, path.name), profiles, {})
    each = iter(verdicts)
    return "\n".join(draft.format_toml(next(each) if draft.table else None) for draft in drafts)


def _name_columns(drafts: Sequence[Draft], verdicts: Sequence[Verdict]) -> list[Draft]:
    """The drafts; `macs` in place of `flops` in a column of a table of which more figures are right as MACs than as FLOPs."""
    judged = dict(zip([position for position, draft in enumerate(drafts) if draft.table], verdicts, strict=True))
    columns: dict[tuple[int, int], list[int]] = defaultdict(list)
    for position in judged:
        draft = drafts[position]
        if draft.table["metric"] == "flops" and draft.number.run.row >= 0 and "against" not in draft.table:
            columns[draft.number.run.table, draft.number.run.cell].append(position)
    renamed = list(drafts)
    for members in columns.values():
        counted = [find_convention(judged[position]) for position in members]
        if counted.count("macs") <= counted.count("flops"):
            continue
        for position in members:
            table = dict(drafts[position].table)
            if parse_quantity(str(table["figure"])).unit != "flops":  # a cell that says FLOPs is not called MACs
                letter = re.sub(r"-?flops?\Z", "", str(table.get("unit", "")), flags=re.IGNORECASE).strip()
                table = {**table, "metric": "macs", **({"unit": letter} if letter else {})}
                renamed[position] = msgspec.structs.replace(drafts[position], table=table)
    return renamed


def _find_groups(targets: Sequence[Target], profiles: Sequence[Profile], options: Options) -> tuple[Group, ...]:
    before, after = profiles
    configs = list_configs(targets, options.config)
    return diff(before, after, align(before, after, list_pins(configs, targets)), list_sections(configs, targets)).groups


def draft_zoo(path: Path, sources: Sequence[str], options: Options, *, measure: bool = True) -> str:
    """TOML with the claims of a document about the models of `sources`, each bound by the name in its row or sentence.

    Without `measure`, only a list of names: which became which reference, and which are not known. Raises InputError.
    """
    document = read_document(read_text(path), path.name)
    bound = {(binding.line, binding.column) for binding in document.bindings}
    found = list_named_figures(document, open_catalogs(sources, options.config, Path.cwd()))
    figures = [figure for figure in found if (figure.number.line, figure.number.column) not in bound]
    if not measure:
        return format_names(figures)
    models = {
        position: Model(figure.resolved.entry.reference, figure.resolved.resolution)
        for position, figure in enumerate(figures)
        if figure.resolved.entry is not None
    }
    zoo = Zoo(options)
    checks = {position: make_check(figures[position], model, path.name) for position, model in models.items()}
    verdicts = dict(zip(checks, zoo.judge([*models.values()], [*checks.values()]), strict=True))
    of_macs = find_mac_columns(document, figures, verdicts)
    for position in of_macs:  # most of the column is right as MACs: then all of it states MACs
        figures[position] = figures[position]._replace(metric="macs")
        checks[position] = make_check(figures[position], models[position], path.name)
    again = zoo.judge([*models.values()], [*checks.values()])
    verdicts = dict(zip(checks, again, strict=True))
    judged = [Judged(figure, verdicts.get(position)) for position, figure in enumerate(figures)]
    return format_zoo(document, judged, sources, counts_macs=bool(of_macs))
