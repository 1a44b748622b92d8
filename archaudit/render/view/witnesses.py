"""The witnesses' totals, one row for each side and witness, with the difference from our count explained by class."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from archaudit.metrics.quantities import format_exact, format_percent, format_signed
from archaudit.render.formatting import NOTHING, count, join_names, make_visible
from archaudit.render.view.figures import make_delta, make_figure
from archaudit.render.view.method_records import Difference, WitnessRow
from archaudit.schema import ModuleRecord, Profile, Witness

_NOTE = (
    "Other tools count the same model. archaudit's own count never uses their numbers. fvcore's FLOPs and torchinfo's mult-adds are MACs."
)
_NONE = "Not in this report: saved profiles leave these counts out, because they vary with the version of the other tool."


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
        return format_exact(theirs), "same"
    difference = theirs - ours
    if difference == count_tied(profile):
        return format_exact(theirs), f"{format_signed(difference)}: tied parameters counted twice"
    return format_exact(theirs), f"{format_signed(difference)}, unexplained"


def _summarise(difference: int, differences: Sequence[Difference], profile: Profile) -> str:
    """`0.3 % more than archaudit, fully explained`."""
    ours = profile.totals.macs
    if not profile.flops_complete:
        return "archaudit's own count is incomplete, so the two cannot be compared"
    if difference == 0 and not differences:
        return "same"
    if difference == 0:
        return "same total, but with differences that cancel out"
    amount = format_percent(abs(difference) / ours) if ours else format_exact(abs(difference))
    left = [each.macs.exact for each in differences if not each.explained]
    explained = f"{left[0]} unexplained" if left else "fully explained"
    return f"{amount} {'more' if difference > 0 else 'less'} than archaudit, {explained}"


def _collect_notes(witness: Witness) -> list[str]:
    notes = []
    if witness.unsupported:
        notes.append(f"operators without a formula: {describe_unsupported(witness)}")
    if witness.uncalled:
        notes.append(f"{count(len(witness.uncalled), 'module')} reported as never called")
    return notes


# --- why a witness counts other MACs than we do, by class, derived from its own rows; what no class covers is named as unexplained ---


UNEXPLAINED = "unexplained"

_MOST_NAMED = 4
_RECURRENT = ("LSTM", "GRU", "RNN")

# What fvcore counts by convention and we declare zero, by the operator's name.
_ELEMENTWISE = (
    ("normalization, counted per element", ("batch_norm", "layer_norm", "group_norm", "instance_norm")),
    ("adaptive pooling, counted per element", ("adaptive_avg_pool",)),
    ("resampling, counted per element", ("upsample", "grid_sampler")),
)

# What carries MACs and has no formula in fvcore, by a part of the name under which it lists it as unsupported.
_WITHOUT_FORMULA = (
    ("scaled_dot_product_attention", "attention not counted: no formula for scaled_dot_product_attention"),
    ("baddbmm", "baddbmm not counted: no formula"),
    ("tensordot", "tensordot not counted: no formula"),
    ("_convolution_mode", "convolutions with string padding not counted: no formula"),
    ("PythonOp", "custom autograd functions not counted: no formula"),
)


class _Gap(NamedTuple):
    """One module whose own MACs a witness sees otherwise."""

    module: ModuleRecord
    theirs: int

    @property
    def macs(self) -> int:
        return self.theirs - self.module.own.macs


def explain_difference(name: str, witness: Witness, profile: Profile) -> tuple[Difference, ...]:
    """The classes of difference between a witness's total and ours, largest first, what stays unexplained last; empty when equal."""
    total = (witness.totals.macs or 0) - profile.totals.macs
    gaps = list(_find_gaps(witness, profile))
    if name == "fvcore":
        explained = [*_explain_operators(witness), *_group(gaps, lambda gap: _classify_missed(gap, witness))]
    else:
        explained = _group(gaps, _classify_guessed)
    explained.sort(key=lambda part: -abs(part[1]))
    differences = [Difference(label=label, macs=make_delta(macs), where=where) for label, macs, where in explained]
    left = total - sum(macs for _, macs, _ in explained)
    if left:
        known = {id(gap) for gap in gaps if (_classify_missed(gap, witness) if name == "fvcore" else _classify_guessed(gap))}
        where = "" if name == "fvcore" else _name_types(gap.module for gap in gaps if id(gap) not in known)
        differences.append(Difference(label=UNEXPLAINED, macs=make_delta(left), where=where, explained=False))
    return tuple(differences)


def _find_gaps(witness: Witness, profile: Profile) -> Iterator[_Gap]:
    """Each module's own count by the witness, where it is not ours. Children stand after their parents: one pass from the end adds up."""
    below: Counter[str] = Counter()
    with_children = {module.path.rpartition(".")[0] for module in profile.modules if module.path}
    for module in reversed(profile.modules):
        said = witness.modules.get(module.path)
        children = below[module.path]
        # A container that is never called itself (a ModuleList) may have no figure of its own, though its children have.
        silent = said is None or said.macs is None or (not module.calls and module.path in with_children)
        inclusive = children if silent or said is None or said.macs is None else said.macs
        if module.path:
            below[module.path.rpartition(".")[0]] += inclusive
        if inclusive - children != module.own.macs:
            yield _Gap(module, inclusive - children)


def _group(gaps: Iterable[_Gap], classify: Callable[[_Gap], str]) -> list[tuple[str, int, str]]:
    members: defaultdict[str, list[_Gap]] = defaultdict(list)
    for gap in gaps:
        members[classify(gap)].append(gap)
    return [(label, sum(gap.macs for gap in part), _name_types(gap.module for gap in part)) for label, part in members.items() if label]


def _name_types(modules: Iterable[ModuleRecord]) -> str:
    """`34 BatchNorm2d, 2 LayerNorm`."""
    types = Counter(module.type for module in modules)
    return join_names([f"{number:,} {make_visible(kind)}" for kind, number in types.most_common()], _MOST_NAMED)


# --- fvcore: known by operator ---------------------------------------------------------------------------------------


def _explain_operators(witness: Witness) -> list[tuple[str, int, str]]:
    """What it counts and we declare zero, exactly, since it says so by operator."""
    parts = []
    for label, names in _ELEMENTWISE:
        found = {
            operator: macs
            for operator, macs in sorted(witness.macs_by_operator.items())
            if macs and any(name in operator for name in names)
        }
        if found:
            parts.append((label, sum(found.values()), join_names([make_visible(operator) for operator in found], _MOST_NAMED)))
    return parts


def _classify_missed(gap: _Gap, witness: Witness) -> str:
    """Why fvcore says less of a module than we do; empty where that is not known, or where it says more."""
    if gap.macs >= 0:
        return ""
    if not gap.module.calls and gap.theirs == 0 and gap.module.path in witness.uncalled:
        return "modules reported as never called"
    if gap.module.type.startswith(_RECURRENT):
        return "recurrent layers not counted: no formula"
    candidates = [label for name, label in _WITHOUT_FORMULA if any(name in operator for operator in witness.unsupported)]
    return candidates[0] if candidates else ""


# --- torchinfo: guessed from parameters and shapes --------------------------------------------------------------------


def _classify_guessed(gap: _Gap) -> str:
    """Why torchinfo says something else of a module, by its type, parameters and shapes; empty where that is not known."""
    module, kind = gap.module, gap.module.type
    if gap.macs == _count_bias_additions(module):
        return "bias additions counted as multiply-adds"
    if "Norm" in kind and module.own.macs == 0:
        return "norm parameters counted as multiply-adds"
    if "Embedding" in kind and module.own.macs == 0:
        return "embedding tables counted as multiply-adds"
    if "ConvTranspose" in kind:
        return "transposed convolutions counted per output position, with bias"
    if kind.startswith(_RECURRENT):
        return "recurrent layers counted with bias"
    if "Attention" in kind and gap.theirs == 0:
        return "attention not counted"
    if gap.theirs == 0:
        return "functional operators and layers not called as modules not counted"
    if gap.macs < 0 and gap.theirs == _count_by_batch(module):
        return "layers with inputs of more than two dimensions counted once per sample"
    return ""


def _count_by_batch(module: ModuleRecord) -> int:
    """Every parameter once for each sample, whatever lies between the batch and the features."""
    elements = sum(math.prod(tensor.shape) for tensor in module.tensors if tensor.kind == "parameter")
    return elements * sum(shape[0] for call in module.calls for shape in call.outputs[:1] if shape)


def _count_bias_additions(module: ModuleRecord) -> int:
    """One addition for each output element, where the module has a bias; -1 where it has none."""
    if not any(tensor.name == "bias" for tensor in module.tensors):
        return -1
    return sum(math.prod(shape) for call in module.calls for shape in call.outputs[:1])


def count_tied(profile: Profile) -> int:
    """The elements of parameters that are another name of a tensor counted elsewhere."""
    return sum(
        math.prod(tensor.shape)
        for module in profile.modules
        for tensor in module.tensors
        if tensor.kind == "parameter" and tensor.tied_to is not None
    )


def describe_unsupported(witness: Witness) -> str:
    """The operators that a witness has no formula for, and how often each ran."""
    ranked = sorted(witness.unsupported.items(), key=lambda pair: (-pair[1], pair[0]))
    return join_names([f"{make_visible(name)} ({number:,})" for name, number in ranked], _MOST_NAMED + 2) or count(0, "operator")
