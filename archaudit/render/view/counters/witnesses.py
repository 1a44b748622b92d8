"""The witnesses' totals, one row for each side and witness, with the difference from our count explained by class."""

from __future__ import annotations

from collections.abc import Sequence

from archaudit.quantities import format_exact, format_percent, format_signed
from archaudit.render.formatting import NOTHING, count, make_visible
from archaudit.render.view.counters.disagreement import count_tied, describe_unsupported, explain_difference
from archaudit.render.view.figures import make_delta, make_figure
from archaudit.render.view.records import Difference, WitnessRow
from archaudit.schema import Profile, Witness

_NOTE = "Second counters, shown beside our own count and never in its place. What fvcore calls FLOPs, and torchinfo mult-adds, are MACs."
_NONE = "Not in this report: a saved or committed profile leaves them out, since they follow their own versions."


def view_witnesses(sides: Sequence[tuple[str, Profile]]) -> tuple[tuple[WitnessRow, ...], str]:
    """A row for each witness of each side, and a sentence on what they are."""
    rows = tuple(
        _view_witness(side, name, witness, profile) for side, profile in sides for name, witness in sorted(profile.witnesses.items())
    )
    return rows, _NOTE if rows else _NONE


def _view_witness(side: str, name: str, witness: Witness, profile: Profile) -> WitnessRow:
    shown = make_visible(name)
    if witness.reason is not None:
        return WitnessRow(side=side, name=shown, absent=make_visible(witness.reason) or "left out")
    params, note = _compare_params(witness, profile)
    if witness.totals.macs is None:
        return WitnessRow(side=side, name=shown, params=params, params_note=note, macs=make_figure(None), summary="counts no MACs")
    difference = witness.totals.macs - profile.totals.macs
    differences = explain_difference(name, witness, profile)
    return WitnessRow(
        side=side,
        name=shown,
        params=params,
        params_note=note,
        macs=make_figure(witness.totals.macs),
        difference=make_delta(difference),
        summary=_summarise(difference, differences, profile),
        differences=differences,
        notes=tuple(_collect_notes(witness)),
    )


def _compare_params(witness: Witness, profile: Profile) -> tuple[str, str]:
    theirs, ours = witness.totals.params, profile.totals.params
    if theirs is None:
        return NOTHING, "counts no params"
    if theirs == ours:
        return format_exact(theirs), "as we count"
    difference = theirs - ours
    if difference == count_tied(profile):
        return format_exact(theirs), f"{format_signed(difference)}: tied parameters counted twice"
    return format_exact(theirs), f"{format_signed(difference)}, unexplained"


def _summarise(difference: int, differences: Sequence[Difference], profile: Profile) -> str:
    """`0.3 % more than we count, all of it explained`."""
    ours = profile.totals.macs
    if not profile.flops_complete:
        return "our own count is incomplete, so the two cannot be compared"
    if difference == 0 and not differences:
        return "as we count"
    if difference == 0:
        return "as we count, by differences that cancel out"
    amount = format_percent(abs(difference) / ours) if ours else format_exact(abs(difference))
    left = [each.macs.exact for each in differences if not each.explained]
    explained = f"{left[0]} unexplained" if left else "all of it explained"
    return f"{amount} {'more' if difference > 0 else 'less'} than we count, {explained}"


def _collect_notes(witness: Witness) -> list[str]:
    notes = []
    if witness.unsupported:
        notes.append(f"operators that it does not count: {describe_unsupported(witness)}")
    if witness.uncalled:
        notes.append(f"{count(len(witness.uncalled), 'module')} that it believes never ran")
    return notes
