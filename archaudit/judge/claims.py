"""Claims: true, false, or true under another convention; as expected or not; and hints that explain a false one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple

import msgspec

from archaudit.index import Layer, read_layer
from archaudit.judge.comparisons import Finding
from archaudit.judge.conventions import Convention
from archaudit.metrics.selection import select_modules
from archaudit.schema import Check, ModuleRecord, Outcome, Pair, Profile, Quantity, Verdict

# The finding that each expectation of a claim is about.
_EXPECTED_FINDINGS: dict[Outcome, str] = {"passed": "true", "failed": "false", "inconclusive": "other reading"}


def conclude_claim(check: Check, verdict: Verdict, reading: tuple[Convention, Finding] | None) -> Verdict:
    """The verdict on a claim whose figure was compared; `reading` is the convention under which a false one is true.

    A convention that does not decide is named, and the claim stays false.

    A claim with an expectation passes if the finding is as expected, and fails otherwise, even if the claim became true. A reason as
    expected ends with the claim's `why`.
    """
    excused = reading is not None and reading[0].decides
    finding = "true" if verdict.outcome == "passed" else "other reading" if excused else "false"
    reason = verdict.reason
    if finding == "false":
        reason += _describe_deviation(check.figure, verdict.actual)
    if reading is not None:
        number = f" ({reading[1].actual_text})" if reading[1].actual_text else ""
        reason += f"; true as {reading[0].name}{number}" if excused else f"; it is {reading[0].name}"
    expected = _EXPECTED_FINDINGS[check.expect_outcome]
    outcome: Outcome
    if finding == expected:
        outcome = "passed"
        reason = f"{finding}{', as expected' if expected != 'true' else ''}: {reason}" + (f"; {check.why}" if check.why else "")
    elif expected == "true":
        outcome = "failed" if finding == "false" else "inconclusive"
        reason = f"{finding}: {reason}"
    elif finding == "true":
        marked = "false" if expected == "false" else f"true under an{expected} only"
        outcome, reason = "failed", f"marked as {marked} but is now true: remove `expect`. {reason[:1].upper()}{reason[1:]}"
    else:
        outcome, reason = "failed", f"{finding}, but marked as {expected}: {reason}"
    changes = {"outcome": outcome, "finding": finding, "reason": reason, "reading": reading[0].name if reading else None}
    return msgspec.structs.replace(verdict, interval=_find_interval(check) if verdict.actual is not None else None, **changes)


def _describe_deviation(figure: Quantity | None, actual: float | None) -> str:
    """How far the measured number is from the figure, and the number in the figure's own unit: ` (8.91B, 61.3 % less)`."""
    if figure is None or actual is None or not figure.value:
        return ""
    change = 100 * (actual - figure.value) / abs(figure.value)
    size = f"{abs(change):.1f} %" if abs(change) >= _SMALLEST_SHOWN else f"under {_SMALLEST_SHOWN} %"
    letter = _SCALE.search(figure.text)
    own = f"{actual / figure.scale:.4g}{letter[1]}, " if letter and figure.scale > 1 else ""
    return f" ({own}{size} {'more' if change > 0 else 'less'})"


_SMALLEST_SHOWN = 0.1  # percent
_SCALE = re.compile(r"(?<=[\d\s])((?:[KMGT]i|[KMGTB])(?![a-z])|[ ](?:m|b|tr)illion|[ ]?(?:Mio|bn))")


def _find_interval(check: Check) -> tuple[float | None, float | None] | None:
    """The numbers that the figure means: those that round to it, or those on the allowed side of a bound. None if it is no number."""
    figure = check.figure
    if figure is None:
        return None
    if figure.relation:
        return (None, figure.value) if figure.relation.startswith("<") else (figure.value, None)
    return figure.low, figure.high


def add_hints(checks: Sequence[Check], verdicts: Sequence[Verdict], profiles: Mapping[str, Profile]) -> tuple[Verdict, ...]:
    """The verdicts, with hints on false claims: a layer size that fits the figure, or figures of the document that it follows from."""
    documents: dict[str | None, list[tuple[Check, Verdict]]] = defaultdict(list)
    for check, verdict in zip(checks, verdicts, strict=True):
        if check.origin == "claim":
            documents[check.document].append((check, verdict))
    with_hints = []
    for check, verdict in zip(checks, verdicts, strict=True):
        hints: list[str] = []
        if verdict.finding == "false" and check.figure is not None and check.model in profiles and verdict.actual is not None:
            hints = find_fitting_sizes(check, check.figure, profiles[check.model])
            hints += find_source_figures(check, check.figure, documents[check.document])
        reason = verdict.reason
        for hint in hints:  # a `why` may end in a full stop
            reason += f" {hint[:1].upper()}{hint[1:]}." if reason.endswith(".") else f"; {hint}"
        with_hints.append(msgspec.structs.replace(verdict, hints=tuple(hints), reason=reason) if hints else verdict)
    return tuple(with_hints)


# --- hints: sizes of a layer that give the false figure, and other figures of the document that it follows from ---


_MOST = 2  # hints for one figure: more are guesses
_MOST_FIGURES = 200  # of one document: they are tried in pairs


def find_fitting_sizes(check: Check, figure: Quantity, profile: Profile) -> list[str]:
    """The sizes of the scope's only layer that give the figure exactly: `a 3x3 convolution from 384 channels`."""
    if check.metric != "params" or check.comparison != "equals" or not figure.is_exact or figure.value <= 0:
        return []
    modules = [module for module in select_modules(profile, check.scope) if module.own.params and read_layer(module) is not None]
    if len(modules) != 1:
        return []
    (module,) = modules
    layer = read_layer(module)
    assert layer is not None
    noun = f"a {'x'.join(map(str, layer.kernel))} convolution" if layer.kernel else "a linear layer"
    hints = []
    for solution in _solve_layer(layer, any(tensor.name == "bias" for tensor in module.tensors), figure.value):
        source = _name_parts(module, profile) if solution.is_input else ""
        hints.append(f"this figure fits {noun} {solution.text}; the code has {source}{solution.actual:,}")
    return hints[:_MOST]


class _Solution(NamedTuple):
    """A size of a layer that gives the claimed figure: `from 384 channels`, and the size in the code."""

    is_input: bool
    text: str
    actual: int


def _solve_layer(layer: Layer, has_bias: bool, value: float) -> Iterable[_Solution]:
    """Parameters are inputs / groups x kernel x outputs, and a bias for each output: solved for the inputs, and for the outputs."""
    noun, kernel = "channels" if layer.kernel else "features", prod(layer.kernel)
    inputs = (value / layer.outputs - has_bias) * layer.groups / kernel
    if inputs > 0 and inputs.is_integer() and int(inputs) != layer.inputs:
        yield _Solution(True, f"from {int(inputs):,} {noun}", layer.inputs)
    outputs = value / (layer.inputs // layer.groups * kernel + has_bias)
    if outputs.is_integer() and int(outputs) != layer.outputs:
        yield _Solution(False, f"to {int(outputs):,} {noun}", layer.outputs)


def _name_parts(layer: ModuleRecord, profile: Profile) -> str:
    """`256+48 = ` if the layer's input is a concatenation of channels; empty otherwise."""
    input_shapes = [shape for call in layer.calls for shape in call.inputs]
    nodes = {node.id: node for node in profile.flow}
    for node in profile.flow:
        parts = [nodes[each].shape for each in node.inputs if each in nodes]
        shapes = [shape for shape in parts if shape is not None and len(shape) > 1]
        if node.op == "cat" and node.shape in input_shapes and len(shapes) == len(parts) > 1:
            sizes = [shape[1] for shape in shapes]
            if node.shape is not None and sum(sizes) == node.shape[1]:
                return "+".join(map(str, sizes)) + " = "
    return ""


def find_source_figures(check: Check, figure: Quantity, others: Sequence[tuple[Check, Verdict]]) -> list[str]:
    """Two figures of the same document whose ratio, percentage or difference is this figure."""
    if check.comparison not in _DERIVATIONS:
        return []
    sign, compute = _DERIVATIONS[check.comparison]
    counts = [
        (each, other, each.figure.value)
        for each, other in others[:_MOST_FIGURES]
        if each.metric == check.metric and each.comparison == "equals" and each.figure is not None and each.figure.value > 0
    ]
    found = []
    for first, first_verdict, before in counts:
        for second, second_verdict, after in counts:
            score = _score_relation(check, first, second)
            if score and before > after and figure.contains(compute(before, after)):
                found.append((score, f"{first.expected} {sign} {second.expected}", Pair(first_verdict, second_verdict)))
    if not found:
        return []
    _, text, parts = max(found, key=lambda each: each[0])
    return [f"follows from the document's own figures, {text}, {_describe_parts(parts)}"]


_DERIVATIONS: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "ratio": ("/", lambda before, after: before / after),
    "percent": ("→", lambda before, after: 100 * (before - after) / before),
    "difference": ("−", lambda before, after: before - after),
}


def _score_relation(check: Check, first: Check, second: Check) -> int:
    """How closely two claims are related to this one; 0 if they are not about its two models."""
    if (first.model, second.model) != (check.against, check.model):
        return 0
    same_source = [each.source == check.source for each in (first, second)]
    same_group = [each.group == check.group for each in (first, second)]
    return 1 + sum(same_source) + 2 * sum(same_group) + 2 * (second.scope == check.scope)


def _describe_parts(parts: Pair[Verdict]) -> str:
    wrong = [name for name, verdict in zip(("the first", "the second"), parts, strict=True) if verdict.finding == "false"]
    if len(wrong) == 2:
        return "both of which are false"
    if wrong:
        return f"of which {wrong[0]} is false"
    rounded = [verdict for verdict in parts if verdict.actual is not None and verdict.limit != verdict.actual]
    return "which are true, but " + (f"{rounded[0].expected} was measured as {rounded[0].actual:,}" if rounded else "not of this scope")
