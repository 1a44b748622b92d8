"""Claims of documents: collected from configs and the document, judged by the models that they name; drafts and corrections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from archaudit.align import align
from archaudit.claims.binding import LocatedClaims, locate_claims
from archaudit.claims.drafting import draft_claims
from archaudit.claims.fixing import format_like, format_shape_like, replace_claimed_figure, replace_numbers
from archaudit.claims.markdown import read_document
from archaudit.config import BASELINE, Config, load_claims, load_example_config, read_claims
from archaudit.diff import diff
from archaudit.errors import ConfigError, InputError
from archaudit.judge import conclude, judge
from archaudit.metrics.selection import select_named
from archaudit.pipeline.baselines import read_baselines
from archaudit.pipeline.checks import list_configs, list_pins, list_sections
from archaudit.pipeline.measuring import measure_targets
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target, resolve
from archaudit.schema import Check, Group, Outcome, Profile, Record, Verdict, read_file
from archaudit.schema.documents import Binding, Coverage, Document, Number

# The models that claims are about if a pair of models is given, or if they name none.
SIDES = ("before", "after")
_LARGEST_DOCUMENT = 16 * 2**20  # bytes; documents that people read are a thousandth of it


class Correction(Record, frozen=True, kw_only=True):
    """One file as it is and as it should be."""

    path: str
    before: str
    after: str


class DocumentJudgement(Record, frozen=True, kw_only=True):
    """The verdicts on a document's claims, the numbers that each is about, what claims cover, the outcome, and corrections."""

    document: str
    verdicts: tuple[Verdict, ...]
    numbers: dict[str, tuple[Number, ...]]
    coverage: Coverage
    outcome: Outcome
    corrections: tuple[Correction, ...] = ()


class _Origin(NamedTuple):
    """The file that a claim was written in, and its position among the claims there."""

    path: Path
    position: int


class _Claims(NamedTuple):
    """The claims about a document; where those of files are written; and those in comments of the document."""

    checks: tuple[Check, ...]
    origins: dict[str, _Origin]
    inline: tuple[tuple[Binding, Check], ...]


def check_document(
    path: Path, options: Options, pair: tuple[str, str] | None = None, *, strict: bool = False, fix: bool = False
) -> DocumentJudgement:
    """Judges every claim about a document: of the config, of the file `DOCUMENT.claims.toml` next to it, and in its own comments.

    `pair` are the references of the models `before` and `after`. With `strict`, a number that no claim covers is a failure. The outcome
    is `passed` only if a claim was judged. Raises an ArchauditError for a file or model that cannot be read or measured.
    """
    document = read_document(_read_text(path), path.name)
    claims = _collect(path, document, options, pair)
    options = msgspec.structs.replace(options, witnesses=False)  # claims are judged by our own numbers only
    profiles = _measure(path, claims.checks, options, pair)
    verdicts = judge(claims.checks, profiles, read_baselines(claims.checks, options), earlier=_find_earlier(profiles))
    located = locate_claims(document, claims.checks, claims.inline)
    verdicts = tuple(_mark_stale(verdict, located) for verdict in verdicts)
    corrections = _correct(path, document, claims, zip(claims.checks, verdicts, strict=True), (located, profiles)) if fix else ()
    return DocumentJudgement(
        document=path.name,
        verdicts=verdicts,
        numbers=located.numbers,
        coverage=located.coverage,
        outcome=_conclude(verdicts, located.coverage, strict=strict),
        corrections=tuple(corrections),
    )


def draft_document(path: Path, before: str, after: str, options: Options) -> str:
    """TOML that suggests what each number of a document is about, for a person to confirm."""
    document = read_document(_read_text(path), path.name)
    targets = [resolve(reference, options.config, options.inputs) for reference in (before, after)]
    measured = measure_targets(targets, msgspec.structs.replace(options, witnesses=False))
    profiles = dict(zip(SIDES, measured, strict=True))
    _check_independence(path, targets, profiles.values())
    drafts = draft_claims(document, profiles["before"], profiles["after"], _find_groups(targets, measured, options))
    checks = read_claims([draft.table for draft in drafts if draft.table], SIDES, path.name)
    verdicts = iter(judge(checks, profiles, {}))
    return "\n".join(draft.format_toml(next(verdicts) if draft.table else None) for draft in drafts)


def _find_groups(targets: Sequence[Target], profiles: Sequence[Profile], options: Options) -> tuple[Group, ...]:
    before, after = profiles
    configs = list_configs(targets, options.config)
    return diff(before, after, align(before, after, list_pins(configs, targets)), list_sections(configs, targets)).groups


def _read_text(path: Path) -> str:
    try:
        content = read_file(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}", "Name a Markdown document: archaudit claims check NOTES.md"
        ) from error
    if len(content) > _LARGEST_DOCUMENT:
        raise InputError(f"{path}: is larger than {_LARGEST_DOCUMENT >> 20} MiB", "Split it, or name the part that states numbers.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8 (byte {error.start})") from error


# --- collecting claims --------------------------------------------------------------------------------------------------


def _collect(path: Path, document: Document, options: Options, pair: tuple[str, str] | None) -> _Claims:
    example = load_example_config()
    configs = [options.config] if options.config is not None else []
    models = [*dict.fromkeys([*(name for config in (*configs, example) for name in config.models), *SIDES])]
    checks: list[Check] = []
    origins: dict[str, _Origin] = {}
    for config in (*configs, example):
        found = [check for check in config.checks if check.origin == "claim"]
        about = [(position, check) for position, check in enumerate(found) if _is_about(check, config, path, is_example=config is example)]
        for position, check in about:
            checks.append(_make_unique(check, origins))
            origins[checks[-1].id] = _Origin(Path(config.source), position)
    claims_file = path.with_name(path.name + ".claims.toml")
    if claims_file.exists():
        for position, check in enumerate(load_claims(claims_file, models)):
            checks.append(_make_unique(check, origins))
            origins[checks[-1].id] = _Origin(claims_file, position)
    taken = dict.fromkeys(origins, True)
    inline = []
    for binding in document.bindings:
        check = read_claims([binding.table], models, f"{path.name}:{binding.line}")[0]
        inline.append((binding, _make_unique(check, taken)))
        taken[inline[-1][1].id] = True
    written = [_complete(check, path) for check in (*checks, *(check for _, check in inline))]
    by_id = {check.id: check for check in written}
    return _Claims(tuple(written), origins, tuple((binding, by_id[check.id]) for binding, check in inline))


def _is_about(check: Check, config: Config, path: Path, *, is_example: bool) -> bool:
    """Whether a claim of a config is about this document: by its path from the config's folder; for the built-in example, by its name."""
    if check.document is None:
        return False
    return check.document == path.name if is_example else (config.folder / check.document).resolve() == path.resolve()


def _make_unique(check: Check, taken: Mapping[str, object]) -> Check:
    """The check with an id that no check before it has: ids are unique within one file only."""
    number, name = 1, check.id
    while name in taken:
        number += 1
        name = f"{check.id}-{number}"
    return msgspec.structs.replace(check, id=name)


def _complete(check: Check, path: Path) -> Check:
    return msgspec.structs.replace(check, model=check.model or SIDES[1], document=path.name)


# --- measuring the models -----------------------------------------------------------------------------------------------


def _measure(path: Path, checks: Iterable[Check], options: Options, pair: tuple[str, str] | None) -> dict[str, Profile]:
    """The profiles of the models that the claims name; `before` and `after` are those of `pair`."""
    judged = [check for check in checks if check.exempt is None]
    named = [name for check in judged for name in (check.model, check.against) if name is not None and name != BASELINE]
    names = list(dict.fromkeys(named))
    references = dict(zip(SIDES, pair, strict=True)) if pair is not None else {}
    targets = [resolve(references.get(name, name), options.config, options.inputs) for name in names]
    profiles = dict(zip(names, measure_targets(targets, options), strict=True)) if targets else {}
    _check_independence(path, targets, profiles.values())
    return profiles


def _check_independence(path: Path, targets: Sequence[Target], profiles: Iterable[Profile]) -> None:
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


def _mark_stale(verdict: Verdict, located: LocatedClaims) -> Verdict:
    """The verdict; `unbound` if the document does not contain the claim's figure, even if the claim is true."""
    if located.numbers[verdict.id] or not any(character.isdigit() for character in verdict.expected):
        return verdict  # the presence of a module is stated in words, which are not searched
    where = f" in {verdict.source!r}" if verdict.source else ""
    reason = f"the document does not contain {verdict.expected}{where}, or other claims are about it"
    return msgspec.structs.replace(verdict, finding="unbound", outcome="inconclusive", reason=reason)


def _conclude(verdicts: Sequence[Verdict], coverage: Coverage, *, strict: bool) -> Outcome:
    outcome = conclude(verdicts)
    if strict and coverage.uncovered:
        return "failed"
    judged = any(verdict.finding in ("true", "false", "other reading") for verdict in verdicts)
    return outcome if judged or outcome == "failed" else "inconclusive"


# --- corrections --------------------------------------------------------------------------------------------------------


def _correct(
    path: Path,
    document: Document,
    claims: _Claims,
    judged: Iterable[tuple[Check, Verdict]],
    found: tuple[LocatedClaims, Mapping[str, Profile]],
) -> Iterable[Correction]:
    """The document and the files of claims, with each false figure replaced that exactly one number states and that is not expected."""
    located, profiles = found
    replacements: list[tuple[Number, str]] = []
    files: dict[Path, tuple[str, str]] = {}
    for check, verdict in judged:
        numbers = located.numbers[check.id]
        if verdict.finding != "false" or verdict.outcome != "failed" or len(numbers) != 1:
            continue
        text = _format_measured(numbers[0].text, check, verdict, profiles)
        origin = claims.origins.get(check.id)
        if text is None or (origin is not None and not _correct_file(files, origin, check, text)):
            continue
        replacements.append((numbers[0], text))
    if replacements:
        yield Correction(path=str(path), before=document.text, after=replace_numbers(document, replacements))
    for file, (before, after) in files.items():
        yield Correction(path=str(file), before=before, after=after)


def _format_measured(figure: str, check: Check, verdict: Verdict, profiles: Mapping[str, Profile]) -> str | None:
    """The measured value written like `figure`; None where that is not possible, and a person has to correct it."""
    if verdict.actual is not None:
        try:
            whole = format_like(f"{figure}{check.expected[len(check.written) :]}" if check.written else figure, verdict.actual)
        except (ValueError, ArithmeticError):  # the document's text is not a figure, or has too many digits
            return None
        return whole[: len(whole) - len(check.expected) + len(check.written)] if whole and check.written else whole
    if check.metric == "shape" and len(check.scope) == 1:
        profile = profiles[check.model]
        shapes = [shape for module in select_named(profile, check.scope) for call in module.calls for shape in call.outputs]
        image = next((record.shape for record in profile.inputs if len(record.shape) == 4), None)
        if image is not None and len(set(shapes)) == 1:
            return format_shape_like(figure, shapes[0], {"B": image[0], "N": image[0], "H": image[2], "W": image[3]})
    return None


def _correct_file(files: dict[Path, tuple[str, str]], origin: _Origin, check: Check, figure: str) -> bool:
    """Changes the claim's own figure; False if it is not found: then the document must not change either."""
    if origin.path not in files:
        try:
            text = origin.path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        files[origin.path] = (text, text)
    before, now = files[origin.path]
    changed = replace_claimed_figure(now, origin.position, check.written or check.expected, figure)
    if changed is not None:
        files[origin.path] = (before, changed)
    elif before == now:
        del files[origin.path]
    return changed is not None
