"""Finds what contradicts itself in a record that was read from a file: sums, counts against shapes, uniqueness, ranges.

Each function raises ValueError with the place and the two facts that do not fit; what archaudit writes has no such fault.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

import msgspec

from archaudit.schema.latency import Latency, LatencyFile
from archaudit.schema.profile import Cost, FlowNode, ModuleRecord, Profile, sum_costs
from archaudit.schema.record import Shape
from archaudit.schema.report import Report
from archaudit.schema.study import History, Sweep

# No cost of a model is near this number of elements, operations or bytes.
_LARGEST = 10**24
# Bytes of one element, for the dtypes of torch whose elements are whole bytes.
_ITEM_BYTES = {
    **{"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1},
    **{"complex128": 16, "complex64": 8, "float8_e4m3fn": 1, "float8_e5m2": 1, "uint16": 2, "uint32": 4, "uint64": 8},
}
_LONGEST_NAME = 80


def verify_profile(profile: Profile, place: str = "") -> None:
    """A profile: module paths, costs, tensors, calls, the forward graph, and the counts of operators."""
    dot = f"{place}." if place else ""
    paths = _verify_paths(profile.modules, dot)
    _verify_costs(profile, dot)
    _verify_tensors(profile, dot)
    _verify_calls(profile, paths, dot)
    _verify_flow(profile.flow, paths, f"{dot}flow")
    _verify_completeness(profile, dot)
    for number, record in enumerate(profile.inputs):
        _verify_shapes([record.shape], f"{dot}inputs[{number}]")
    for name in ("activation_bytes", "saved_bytes"):
        _expect_count(getattr(profile.peaks, name) or 0, f"{dot}peaks.{name}")
    for name, counter in profile.other_counters.items():
        for row in (counter.totals, *counter.modules.values()):
            _expect_count(row.params or 0, f"{dot}other_counters.{name}")
            _expect_count(row.macs or 0, f"{dot}other_counters.{name}")
    if profile.latency is not None:
        _verify_latency(profile.latency, f"{dot}latency")


def _fail(place: str, text: str) -> None:
    raise ValueError(f"{place}: {text}")


def _name(path: str) -> str:
    shown = path if len(path) <= _LONGEST_NAME else f"{path[: _LONGEST_NAME - 1]}…"
    return repr(shown) if path else "the root module"


def _expect_count(number: int, place: str) -> None:
    if not 0 <= number <= _LARGEST:
        _fail(place, f"{_shorten(number)} is not a possible count")


def _shorten(number: int) -> str:
    """A number for a message; Python refuses to write out integers of some thousand digits."""
    return f"{number:,}" if abs(number) <= _LARGEST else "a number of more than 24 digits"


def _expect_unique(values: Iterable[Hashable], place: str, noun: str) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            _fail(place, f"{noun} {_name(str(value))} is there {count} times")


def _verify_shapes(shapes: Iterable[Shape], place: str) -> None:
    for shape in shapes:
        for size in shape:
            _expect_count(size, f"{place}, shape")


# --- modules and costs -----------------------------------------------------------------------------------------------


def _verify_paths(modules: Sequence[ModuleRecord], dot: str) -> frozenset[str]:
    place = f"{dot}modules"
    _expect_unique((module.path for module in modules), place, "the path of")
    if not modules or modules[0].path:
        _fail(place, "the first module is not the root, whose path is empty")
    return frozenset(module.path for module in modules)


def _verify_costs(profile: Profile, dot: str) -> None:
    for number, module in enumerate(profile.modules):
        for side, cost in (("own", module.own), ("total", module.total)):
            for field in Cost.__struct_fields__:
                if not 0 <= (value := getattr(cost, field)) <= _LARGEST:
                    _fail(f"{dot}modules[{number}].{side}.{field}", f"{_shorten(value)} is not a possible count")
            if cost.trainable_params > cost.params:
                _fail(f"{dot}modules[{number}].{side}", f"{cost.trainable_params:,} of {cost.params:,} parameters are trainable")
    _compare_costs(sum_costs(module.own for module in profile.modules), profile.totals, f"{dot}totals", "the modules' own costs")
    totals, parents = _sum_subtrees(profile.modules)
    for number, module in enumerate(profile.modules):
        inside, path = totals[module.path], module.path
        # a module may have the name "a.b", and then be a child of the root although there is a module "a"
        if inside != module.total and path and any(inside - totals[child] == module.total for child in totals if parents[child] == path):
            continue
        _compare_costs(inside, module.total, f"{dot}modules[{number}].total", f"the own costs in {_name(path)}")


def _compare_costs(expected: Cost, written: Cost, place: str, noun: str) -> None:
    if expected == written:
        return
    for field in Cost.__struct_fields__:
        one, other = getattr(expected, field), getattr(written, field)
        if one != other:
            _fail(f"{place}.{field}", f"{_shorten(other)}, but {noun} add up to {_shorten(one)}")


def _sum_subtrees(modules: Sequence[ModuleRecord]) -> tuple[dict[str, Cost], dict[str, str | None]]:
    """The sum of the own costs of each module and of everything below it, and its parent; both by path."""
    fields = Cost.__struct_fields__
    totals = {module.path: [getattr(module.own, field) for field in fields] for module in modules}
    parents = {path: _find_parent(path, totals) for path in totals}
    for path in sorted(totals, key=lambda path: path.count(".") + bool(path), reverse=True):
        above = parents[path]
        if above is not None:
            totals[above] = [one + other for one, other in zip(totals[above], totals[path], strict=True)]
    return {path: Cost(**dict(zip(fields, values, strict=True))) for path, values in totals.items()}, parents


def _find_parent(path: str, known: dict[str, list[int]]) -> str | None:
    """The nearest path above that is a module: a module's name may itself hold a dot."""
    while path:
        path = path.rpartition(".")[0]
        if path in known:
            return path
    return None


# --- tensors ---------------------------------------------------------------------------------------------------------


def _verify_tensors(profile: Profile, dot: str) -> None:
    """Tensors against counts. A profile that lists no tensor at all has nothing to compare."""
    names = [f"{module.path}.{tensor.name}" if module.path else tensor.name for module in profile.modules for tensor in module.tensors]
    if not names:
        return
    known = frozenset(names)
    unknown = () if profile.unknown is msgspec.UNSET else profile.unknown
    for number, module in enumerate(profile.modules):
        place = f"{dot}modules[{number}]"
        _expect_unique((tensor.name for tensor in module.tensors), place, "the tensor")
        for tensor in module.tensors:
            _verify_shapes([tensor.shape], f"{place}.tensors, {_name(tensor.name)}")
            if tensor.tied_to is not None and tensor.tied_to not in known:
                _fail(f"{place}.tensors", f"{_name(tensor.name)} is tied to {_name(tensor.tied_to)}, which no module has")
        if not unknown:
            _verify_counts(module, place)
    _expect_unique((name for group in profile.ties for name in group), f"{dot}ties", "the tensor")


def _verify_counts(module: ModuleRecord, place: str) -> None:
    owned = [tensor for tensor in module.tensors if tensor.tied_to is None]
    params = [tensor for tensor in owned if tensor.kind == "parameter"]
    counts = {
        "params": [(math.prod(tensor.shape), tensor.shape) for tensor in params],
        "trainable_params": [(math.prod(tensor.shape), tensor.shape) for tensor in params if tensor.trainable],
        "buffers": [(math.prod(tensor.shape), tensor.shape) for tensor in owned if tensor.kind == "buffer"],
    }
    if all(tensor.dtype in _ITEM_BYTES for tensor in params):
        counts["param_bytes"] = [(math.prod(tensor.shape) * _ITEM_BYTES[tensor.dtype], tensor.shape) for tensor in params]
    for field, sizes in counts.items():
        largest = sum(size for size, _ in sizes)
        smallest = sum(size for size, shape in sizes if shape)  # a lazy parameter without a shape has no element, a scalar has one
        written = getattr(module.own, field)
        if not smallest <= written <= largest:
            _fail(f"{place}.own.{field}", f"{_shorten(written)}, but the tensors of {_name(module.path)} have {_shorten(largest)}")


# --- the forward pass ------------------------------------------------------------------------------------------------


def _verify_calls(profile: Profile, paths: frozenset[str], dot: str) -> None:
    programs = () if profile.programs is msgspec.UNSET else profile.programs
    orders: list[int] = []
    for number, module in enumerate(profile.modules):
        place = f"{dot}modules[{number}].calls"
        for call in module.calls:
            orders.append(call.order)
            _verify_shapes((*call.inputs, *call.outputs), place)
            for path in call.inputs_from:
                if path not in paths:
                    _fail(f"{place}.inputs_from", f"there is no module {_name(path)}")
        for position in () if module.programs is msgspec.UNSET else module.programs:
            if not 0 <= position < len(programs):
                _fail(f"{dot}modules[{number}].programs", f"there is no program {position}")
    _expect_unique(orders, f"{dot}modules.calls", "the order")
    for order in orders:
        _expect_count(order, f"{dot}modules.calls.order")


def _verify_flow(nodes: Sequence[FlowNode], paths: frozenset[str], place: str) -> None:
    seen: set[int] = set()
    for number, node in enumerate(nodes):
        if node.id in seen:
            _fail(f"{place}[{number}].id", f"{node.id} is there twice")
        for source in node.inputs:
            if source not in seen:
                _fail(f"{place}[{number}].inputs", f"{source} is no earlier node")
        if node.module not in paths:
            _fail(f"{place}[{number}].module", f"there is no module {_name(node.module)}")
        _verify_shapes([node.shape] if node.shape is not None else [], f"{place}[{number}]")
        if node.symbolic is not None and node.shape is not None and len(node.symbolic) != len(node.shape):
            _fail(f"{place}[{number}].symbolic", f"{len(node.symbolic)} sizes, but the shape has {len(node.shape)}")
        seen.add(node.id)


def _verify_completeness(profile: Profile, dot: str) -> None:
    ledger = profile.ledger
    for name in ("counted", "zero", "unknown"):
        _expect_count(getattr(ledger, name), f"{dot}ledger.{name}")
        runs = sum(record.count for record in ledger.operators if record.status == name)
        if ledger.operators and runs != getattr(ledger, name):
            _fail(f"{dot}ledger.{name}", f"{getattr(ledger, name):,}, but the operators have {runs:,} such calls")
    for number, record in enumerate(ledger.operators):
        _expect_count(record.count, f"{dot}ledger.operators[{number}].count")
        _expect_count(record.flops, f"{dot}ledger.operators[{number}].flops")
    # a module inside a TorchScript module may be incomplete in a complete model, whose interpreter counts it
    if profile.flops_complete and ledger.unknown:
        _fail(f"{dot}flops_complete", f"the FLOPs are said to be complete, but {ledger.unknown:,} operators are unknown")
    for name in ("flops_complete", "params_complete", "memory_complete"):
        whole, root = getattr(profile, name), getattr(profile.modules[0], name)
        if whole and not root:
            _fail(f"{dot}{name}", "it is true, but not for the root module")
        if not whole and all(getattr(module, name) for module in profile.modules):
            _fail(f"{dot}{name}", "it is false, but true for all modules")


# --- times -----------------------------------------------------------------------------------------------------------


def verify_latencies(content: LatencyFile) -> None:
    """Recorded times."""
    for number, entry in enumerate(content.entries):
        for side, latency in (("before", entry.before), ("after", entry.after)):
            if latency is not None:
                _verify_latency(latency, f"entries[{number}].{side}")


def _verify_latency(latency: Latency, place: str) -> None:
    for name, samples in _list_samples(latency):
        for sample in samples:
            if not (math.isfinite(sample) and sample >= 0):
                _fail(f"{place}.{name}", f"{sample} is not a possible time")
    for number in (latency.warmup, *latency.launches.values()):
        _expect_count(number, place)


def _list_samples(latency: Latency) -> Iterator[tuple[str, Sequence[float]]]:
    yield "samples_s", latency.samples_s
    yield "replays_s", latency.replays_s
    yield "compiled_s", latency.compiled_s
    for name in ("modules_s", "own_s"):
        for path, samples in getattr(latency, name).items():
            yield f"{name}, {_name(path)}", samples
    if latency.pairing is not None:
        yield "pairing.again_s", latency.pairing.again_s
    if latency.ceilings is not None:
        yield "ceilings", (*latency.ceilings.copies_s, *latency.ceilings.products_s, *latency.ceilings.launches_s)


# --- reports and studies ---------------------------------------------------------------------------------------------


def verify_report(report: Report) -> None:
    """A report: both profiles, the change between them, its rows, and its outcome."""
    verify_profile(report.before, "before")
    verify_profile(report.after, "after")
    _compare_costs(report.after.totals - report.before.totals, report.delta, "delta", "after minus before")
    _compare_costs(sum_costs(row.own_delta for row in report.modules), report.delta, "delta", "the rows of the modules")
    for side, profile in (("before", report.before), ("after", report.after)):
        paths = [path for row in report.modules if (path := getattr(row, f"{side}_path")) is not None]
        _expect_unique(paths, f"modules.{side}_path", "the path of")
        missing = {module.path for module in profile.modules} ^ set(paths)
        if missing:
            _fail(f"modules.{side}_path", f"{_name(min(missing))} is not both in the rows and in the profile")
    for number, group in enumerate(report.groups):
        _compare_costs(group.after - group.before, group.delta, f"groups[{number}].delta", "after minus before")
    if report.flops_complete != (report.before.flops_complete and report.after.flops_complete):
        _fail("flops_complete", "it is not what the two profiles say")
    if report.outcome != "failed" and any(check.outcome == "failed" and check.level == "error" for check in report.checks):
        _fail("outcome", f"{report.outcome}, but a check failed")


def verify_history(history: History) -> None:
    """The commits of a history."""
    _expect_unique((step.commit for step in history.steps), "steps", "the commit")
    _expect_count(history.untouched, "untouched")
    _verify_totals((step.totals for step in history.steps), "steps")


def verify_sweep(sweep: Sweep) -> None:
    """The variants of a sweep."""
    _verify_totals((variant.totals for variant in sweep.variants), "variants")


def _verify_totals(costs: Iterable[Cost | None], place: str) -> None:
    for number, cost in enumerate(costs):
        for field in Cost.__struct_fields__ if cost is not None else ():
            _expect_count(getattr(cost, field), f"{place}[{number}].totals.{field}")
