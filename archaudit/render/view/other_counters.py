"""The numbers of other counters: one row for each side and counter, with the reasons for the difference from archaudit."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from archaudit.index import index_modules
from archaudit.metrics.quantities import format_exact, format_percent, format_signed
from archaudit.render.formatting import NOTHING, count, join_names, make_visible
from archaudit.render.view.figures import make_delta, make_figure
from archaudit.render.view.method_records import CounterRow, Difference
from archaudit.schema import CounterResult, ModuleRecord, Profile

_NOTE = (
    "Other tools count the same model. archaudit's own count never uses their numbers. fvcore's FLOPs and torchinfo's mult-adds are MACs."
)
_NONE = "Not in this report: saved profiles leave these counts out, because they vary with the version of the other tool."


def view_other_counters(sides: Sequence[tuple[str, Profile]]) -> tuple[tuple[CounterRow, ...], str]:
    """A row for each counter and side, and a sentence that explains them."""
    rows = tuple(
        _view_counter(side, name, counter, profile) for side, profile in sides for name, counter in sorted(profile.other_counters.items())
    )
    return rows, _NOTE if rows else _NONE


def _view_counter(side: str, name: str, counter: CounterResult, profile: Profile) -> CounterRow:
    shown = make_visible(name)
    if counter.reason is not None:
        return CounterRow(side=side, name=shown, absent=make_visible(counter.reason) or "left out")
    params, note = _compare_params(counter, profile)
    if counter.totals.macs is None:
        return CounterRow(side=side, name=shown, params=params, params_note=note, macs=make_figure(None), summary="counts no MACs")
    difference = counter.totals.macs - profile.totals.macs
    differences = explain_difference(name, counter, profile)
    return CounterRow(
        side=side,
        name=shown,
        params=params,
        params_note=note,
        macs=make_figure(counter.totals.macs),
        difference=make_delta(difference),
        summary=_summarise(difference, differences, profile),
        differences=differences,
        notes=tuple(_collect_notes(counter)),
    )


def _compare_params(counter: CounterResult, profile: Profile) -> tuple[str, str]:
    theirs, ours = counter.totals.params, profile.totals.params
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


def _collect_notes(counter: CounterResult) -> list[str]:
    notes = []
    if counter.unsupported:
        notes.append(f"operators without a formula: {describe_unsupported(counter)}")
    if counter.uncalled:
        notes.append(f"{count(len(counter.uncalled), 'module')} reported as never called")
    return notes


# --- the reasons why a counter's MACs differ from archaudit's, from its own rows; the rest is named as unexplained ---


UNEXPLAINED = "unexplained"

_MOST_NAMED = 4
_RECURRENT = ("LSTM", "GRU", "RNN")

# Operators that fvcore counts and archaudit counts as zero, by name.
_ELEMENTWISE = (
    ("normalization, counted per element", ("batch_norm", "layer_norm", "group_norm", "instance_norm")),
    ("adaptive pooling, counted per element", ("adaptive_avg_pool",)),
    ("resampling, counted per element", ("upsample", "grid_sampler")),
)

# Operators with MACs that fvcore has no formula for, by a part of the name in its list of unsupported operators.
_WITHOUT_FORMULA = (
    ("scaled_dot_product_attention", "attention not counted: no formula for scaled_dot_product_attention"),
    ("baddbmm", "baddbmm not counted: no formula"),
    ("tensordot", "tensordot not counted: no formula"),
    ("_convolution_mode", "convolutions with string padding not counted: no formula"),
    ("PythonOp", "custom autograd functions not counted: no formula"),
)


class _Gap(NamedTuple):
    """A module for which a counter has other own MACs."""

    module: ModuleRecord
    theirs: int

    @property
    def macs(self) -> int:
        return self.theirs - self.module.own.macs


def explain_difference(name: str, counter: CounterResult, profile: Profile) -> tuple[Difference, ...]:
    """The reasons for the difference between a counter's total and archaudit's, largest first, the unexplained rest last."""
    total = (counter.totals.macs or 0) - profile.totals.macs
    gaps = list(_find_gaps(counter, profile))
    if name == "fvcore":
        explained = [*_explain_operators(counter), *_group(gaps, lambda gap: _classify_missing(gap, counter))]
    else:
        explained = _group(gaps, _classify_by_shapes)
    explained.sort(key=lambda part: -abs(part[1]))
    differences = [Difference(label=label, macs=make_delta(macs), where=where) for label, macs, where in explained]
    left = total - sum(macs for _, macs, _ in explained)
    if left:
        known = {id(gap) for gap in gaps if (_classify_missing(gap, counter) if name == "fvcore" else _classify_by_shapes(gap))}
        where = "" if name == "fvcore" else _name_types(gap.module for gap in gaps if id(gap) not in known)
        differences.append(Difference(label=UNEXPLAINED, macs=make_delta(left), where=where, explained=False))
    return tuple(differences)


def _find_gaps(counter: CounterResult, profile: Profile) -> Iterator[_Gap]:
    """The modules for which a counter's own MACs differ. Children come after their parents, so one pass from the end adds them up."""
    below: Counter[str] = Counter()
    index = index_modules(profile)
    for module in reversed(profile.modules):
        row = counter.modules.get(module.path)
        children = below[module.path]
        # A container that is never called itself (a ModuleList) may have no number of its own, though its children have.
        is_silent = not module.calls and not index.is_leaf(module.path)
        inclusive = children if row is None or row.macs is None or is_silent else row.macs
        parent = index.parents[module.path]
        if parent is not None:
            below[parent] += inclusive
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


# --- fvcore: it reports its counts by operator -----------------------------------------------------------------------


def _explain_operators(counter: CounterResult) -> list[tuple[str, int, str]]:
    """What fvcore counts and archaudit counts as zero: exact, since fvcore reports it by operator."""
    parts = []
    for label, names in _ELEMENTWISE:
        found = {
            operator: macs
            for operator, macs in sorted(counter.macs_by_operator.items())
            if macs and any(name in operator for name in names)
        }
        if found:
            parts.append((label, sum(found.values()), join_names([make_visible(operator) for operator in found], _MOST_NAMED)))
    return parts


def _classify_missing(gap: _Gap, counter: CounterResult) -> str:
    """Why fvcore counts less than archaudit for a module; empty if that is not known, or if it counts more."""
    if gap.macs >= 0:
        return ""
    if not gap.module.calls and gap.theirs == 0 and gap.module.path in counter.uncalled:
        return "modules reported as never called"
    if gap.module.type.startswith(_RECURRENT):
        return "recurrent layers not counted: no formula"
    candidates = [label for name, label in _WITHOUT_FORMULA if any(name in operator for operator in counter.unsupported)]
    return candidates[0] if candidates else ""


# --- torchinfo: derived from parameters and shapes --------------------------------------------------------------------


def _classify_by_shapes(gap: _Gap) -> str:
    """Why torchinfo counts something else for a module, from its type, parameters and shapes; empty if that is not known."""
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
    """Every parameter once for each sample, independent of the dimensions between the batch and the features."""
    elements = sum(math.prod(tensor.shape) for tensor in module.tensors if tensor.kind == "parameter")
    return elements * sum(shape[0] for call in module.calls for shape in call.outputs[:1] if shape)


def _count_bias_additions(module: ModuleRecord) -> int:
    """One addition for each output element, where the module has a bias; -1 where it has none."""
    if not any(tensor.name == "bias" for tensor in module.tensors):
        return -1
    return sum(math.prod(shape) for call in module.calls for shape in call.outputs[:1])


def count_tied(profile: Profile) -> int:
    """The elements of parameters that share a tensor with another parameter, which is counted."""
    return sum(
        math.prod(tensor.shape)
        for module in profile.modules
        for tensor in module.tensors
        if tensor.kind == "parameter" and tensor.tied_to is not None
    )


def describe_unsupported(counter: CounterResult) -> str:
    """The operators that a counter has no formula for, and how often each was called."""
    ranked = sorted(counter.unsupported.items(), key=lambda pair: (-pair[1], pair[0]))
    return join_names([f"{make_visible(name)} ({number:,})" for name, number in ranked], _MOST_NAMED + 2) or count(0, "operator")
