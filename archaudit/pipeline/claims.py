"""Claims of documents, judged by the models that they name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from archaudit.claims.binding import LocatedClaims, locate_claims
from archaudit.claims.named_sides import find_direct_sides, find_named_sides
from archaudit.claims.reading import read_document
from archaudit.config import BASELINE
from archaudit.errors import ConfigError
from archaudit.judge import conclude, judge
from archaudit.pipeline.baselines import read_baselines
from archaudit.pipeline.claim_sources import SIDES, collect_claims, list_names, read_text
from archaudit.pipeline.corrections import Correction, correct_document
from archaudit.pipeline.document_consistency import judge_together
from archaudit.pipeline.kept_profiles import add_kept_key, find_profiles
from archaudit.pipeline.measuring import MEASURED, list_formulas, measure_targets
from archaudit.pipeline.options import Options
from archaudit.pipeline.table_claims import ExpandedTables, accept_readings, expand_tables
from archaudit.pipeline.targets import Target, resolve
from archaudit.pipeline.zoo import Zoo
from archaudit.schema import Check, Outcome, Profile, Record, Verdict, name_run
from archaudit.schema.documents import Binding, Coverage, Document, Number


class DocumentJudgement(Record, frozen=True, kw_only=True):
    """The verdicts on a document's claims, the numbers that each is about, what claims cover, the outcome, and corrections.

    `models` are the references of the models that rows of claimed tables name; `unknown` the names that no catalog has.
    """

    document: str
    verdicts: tuple[Verdict, ...]
    numbers: dict[str, tuple[Number, ...]]
    coverage: Coverage
    outcome: Outcome
    corrections: tuple[Correction, ...] = ()
    unknown: tuple[UnknownModel, ...] = ()
    models: dict[str, str] = msgspec.field(default_factory=dict)


class UnknownModel(Record, frozen=True, kw_only=True):
    """A name in a claimed table that no catalog has: its figures are another model's."""

    name: str
    reason: str
    lines: tuple[int, ...]


def check_document(
    path: Path, options: Options, pair: tuple[str, str] | None = None, *, strict: bool = False, fix: bool = False
) -> DocumentJudgement:
    """Judges every claim about a document: of the config, of the file `DOCUMENT.claims.toml` next to it, and in its own comments.

    `pair` are the references of the models `before` and `after`. With `strict`, a number that no claim covers is a failure. The outcome
    is `passed` only if a claim was judged. Raises an ArchauditError for a file or model that cannot be read or measured.
    """
    document = read_document(read_text(path), path.name)
    claims = collect_claims(path, document, options)
    tables = expand_tables(document, claims.tables, options.config, path.parent)
    options = msgspec.structs.replace(options, other_counters=False)  # claims are judged by our own numbers only
    profiles = _measure(path, claims.checks, options, pair)
    verdicts = judge(claims.checks, profiles, read_baselines(claims.checks, options), earlier=_find_earlier(profiles))
    rows = _judge_tables(tables, options)
    bound = [(_bind(claim.number), claim.check) for claim in tables.claims]
    exempt = [(_bind(figure.number), _exempt(figure.number, reason)) for figure, reason in tables.exempt]
    checks = (*claims.checks, *(check for _, check in (*bound, *exempt)))
    located = locate_claims(document, checks, (*claims.inline, *bound, *exempt))
    names = list_names(pair, options) if pair is not None else {}
    named = {**find_direct_sides(document, names), **_keep_tables(document, find_named_sides(document, names))}
    verdicts = tuple(_mark_swapped(verdict, located, named) for verdict in verdicts)
    verdicts = (*(_mark_stale(verdict, located) for verdict in verdicts), *rows, *judge([check for _, check in exempt], {}, {}))
    verdicts = judge_together(document, [*zip(checks, verdicts, strict=True)], located.numbers)
    claimed = {claim.check.id: claim for claim in tables.claims}
    verdicts = tuple(accept_readings(each, claimed[each.id]) if each.id in claimed else each for each in verdicts)
    located = located._replace(coverage=_leave_out(located.coverage, tables.other_columns))
    judged = [(check, verdict) for check, verdict in zip(checks, verdicts, strict=True)]
    corrections = correct_document(path, document, claims, judged, (located, profiles)) if fix else ()
    return DocumentJudgement(
        document=path.name,
        verdicts=verdicts,
        numbers=located.numbers,
        coverage=located.coverage,
        outcome=_conclude(verdicts, located.coverage, strict=strict),
        corrections=tuple(corrections),
        unknown=_list_unknown(tables),
        models={claim.row: claim.model.name for claim in tables.claims},
    )


def _judge_tables(tables: ExpandedTables, options: Options) -> Sequence[Verdict]:
    """The verdicts on the figures of tables, in order."""
    if not tables.claims:
        return ()
    return Zoo(options).judge([claim.model for claim in tables.claims], [claim.check for claim in tables.claims])


def _leave_out(coverage: Coverage, places: frozenset[tuple[int, int]]) -> Coverage:
    """The coverage without the numbers in columns of claimed tables that state no measured metric; they are counted by rule."""
    left = tuple(number for number in coverage.uncovered if (number.line, number.column) not in places)
    count = len(coverage.uncovered) - len(left)
    by_rule = coverage.by_rule | ({"numbers in other columns of claimed tables": count} if count else {})
    return msgspec.structs.replace(coverage, uncovered=left, by_rule=by_rule)


def _bind(number: Number) -> Binding:
    return Binding(text="", line=number.line, column=number.column, table={})


def _exempt(number: Number, reason: str) -> Check:
    return Check(
        id=f"exempt-line-{number.line}-{number.column}",
        origin="claim",
        metric="",
        comparison="equals",
        expected=number.reading,
        source=number.run.section or None,
        exempt=reason,
    )


def _list_unknown(tables: ExpandedTables) -> tuple[UnknownModel, ...]:
    lines: dict[tuple[str, str], list[int]] = defaultdict(list)
    for figure in tables.unknown:
        lines[figure.name, figure.resolved.reason].append(figure.number.line)
    return tuple(UnknownModel(name=name, reason=reason, lines=tuple(dict.fromkeys(each))) for (name, reason), each in lines.items())


# --- measuring the models -----------------------------------------------------------------------------------------------


def _measure(path: Path, checks: Iterable[Check], options: Options, pair: tuple[str, str] | None) -> dict[str, Profile]:
    """The profiles of the models that the claims name; `before` and `after` are those of `pair`."""
    judged = [check for check in checks if check.exempt is None]
    runs: dict[str, tuple[str, tuple[str, ...]]] = {}  # by the run's name: the model and its inputs
    for check in judged:
        for name in (check.model, check.against):
            if name is not None and name != BASELINE:
                inputs = (check.scenario,) if check.scenario else options.inputs
                runs.setdefault(name_run(name, check.scenario), (name, inputs))
    references = dict(zip(SIDES, pair, strict=True)) if pair is not None else {}
    options = options.choose_training(check.metric for check in judged)
    targets = [resolve(references.get(name, name), options.config, inputs) for name, inputs in runs.values()]
    profiles = dict(zip(runs, _measure_in_batches(targets, options), strict=True))
    check_independence(path, targets, profiles.values())
    return profiles


def _measure_in_batches(targets: Sequence[Target], options: Options) -> Iterable[Profile]:
    """The profiles of targets: kept ones of libraries' models, and the others in parts, since each has a process of its own."""
    keyed = [add_kept_key(target, list_formulas(target, options), options) for target in targets]
    kept = {} if options.fresh or options.latency in MEASURED else find_profiles([each.kept_as for each in keyed if each.kept_as])
    found = [kept.get(each.kept_as or "") for each in keyed]
    missing = [each for each, profile in zip(keyed, found, strict=True) if profile is None]
    parts = [missing[start : start + _MOST_PROCESSES] for start in range(0, len(missing), _MOST_PROCESSES)]
    measured = iter([profile for part in parts for profile in measure_targets(part, options)])
    return [profile if profile is not None else next(measured) for profile in found]


_MOST_PROCESSES = 4  # at once: each needs about half a GiB


def check_independence(path: Path, targets: Sequence[Target], profiles: Iterable[Profile]) -> None:
    """Raises ConfigError if a model is read from the document itself: a document is no evidence for its own claims."""
    document = path.resolve()
    for target, profile in zip(targets, profiles, strict=True):
        sources = [*(profile.provenance.sources if profile.provenance is not None else ())]
        if target.reference is not None and target.reference.kind == "file":
            sources.append(target.reference.target)
        if target.saved is not None:
            sources.append(target.key)
        if any(Path(source).resolve() == document for source in sources):
            raise ConfigError(
                f"{target.name} is read from {path.name} itself, which cannot be the evidence of its own claims",
                "Name the model's code, or a profile that was measured from it.",
            )


def _find_earlier(profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    return {"after": profiles["before"]} if set(SIDES) <= set(profiles) else {}


# --- the outcome --------------------------------------------------------------------------------------------------------


def _mark_swapped(verdict: Verdict, located: LocatedClaims, named: Mapping[tuple[int, int], str]) -> Verdict:
    """The verdict; false if the row of a table, or the words directly before the figure, name the other model of the pair."""
    sides = {named.get((number.line, number.column)) for number in located.numbers[verdict.id]}
    if verdict.comparison != "equals" or verdict.model not in SIDES or len(sides) != 1 or not (sides <= {*SIDES} - {verdict.model}):
        return verdict
    where = "row" if any(number.run.table >= 0 for number in located.numbers[verdict.id]) else "sentence"
    reason = f"false: the {where} is about {sides.pop()}, the claim about {verdict.model}: {verdict.reason}"
    return msgspec.structs.replace(verdict, finding="false", outcome="failed", reason=reason)


def _keep_tables(document: Document, sides: Mapping[tuple[int, int], str]) -> dict[tuple[int, int], str]:
    """The sides of numbers in tables."""
    places = {(number.line, number.column) for number in document.numbers if number.run.table >= 0}
    return {place: side for place, side in sides.items() if place in places}


def _mark_stale(verdict: Verdict, located: LocatedClaims) -> Verdict:
    """The verdict; `unbound` if the document does not contain the claim's figure, even if the claim is true."""
    if located.numbers[verdict.id] or not any(character.isdigit() for character in verdict.expected):
        return verdict  # the presence of a module is stated in words, which are not searched
    where = f" in {verdict.source!r}" if verdict.source else ""
    reason = f"the document does not contain {verdict.expected}{where}, or other claims are about it"
    return msgspec.structs.replace(verdict, finding="unbound", outcome="inconclusive", reason=reason)


def _conclude(verdicts: Sequence[Verdict], coverage: Coverage, *, strict: bool) -> Outcome:
    outcome = conclude(verdicts)
    if strict and (coverage.uncovered or coverage.unreadable):
        return "failed"
    judged = any(verdict.finding in ("true", "false", "other reading") for verdict in verdicts)
    return outcome if judged or outcome == "failed" else "inconclusive"
