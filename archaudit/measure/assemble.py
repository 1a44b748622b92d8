"""From the tape and the tensors to the records of a Profile: own costs, totals up the tree, ledger."""

from __future__ import annotations

from collections import Counter, defaultdict

from torch import nn

from archaudit.measure.structure.params import Holdings, list_aliases
from archaudit.measure.structure.tree import ModuleTree, read_settings
from archaudit.measure.tape import Tape
from archaudit.schema import Call, Cost, Ledger, ModuleRecord, OperatorStatus, OpRecord

# Libraries whose classes are known by name wherever they are used.
_LIBRARIES = frozenset(("torch", "torchvision", "torchaudio", "timm", "transformers", "diffusers", "peft"))


def assemble_modules(tape: Tape, holdings: list[Holdings]) -> tuple[ModuleRecord, ...]:
    """One record a module, in tree order. The own costs add up to the root's total: checked here, on every run."""
    tree = tape.tree
    own = _own_costs(tape, holdings)
    totals = _sum_up(tree, own)
    incomplete = _find_incomplete(tape)
    calls = _describe_calls(tape)
    aliases = list_aliases(tree)
    records = tuple(
        ModuleRecord(
            path=tree.paths[position],
            type=type(module).__name__,
            settings=read_settings(module),
            own=own[position],
            total=totals[position],
            flops_complete=position not in incomplete,
            tensors=tuple(holdings[position].tensors),
            calls=tuple(calls[position]),
            defined_in=_find_library(module),
            aliases=aliases.get(position, ()),
        )
        for position, module in enumerate(tree.modules)
    )
    assert sum(record.own.params for record in records) == records[0].total.params, "own parameters must add up to the total"
    assert sum(record.own.macs for record in records) == records[0].total.macs, "own MACs must add up to the total"
    return records


def _find_library(module: nn.Module) -> str:
    """The library that brings the module's class; empty for any other, since a user's own file is imported under any name."""
    package = type(module).__module__.partition(".")[0]
    return package if package in _LIBRARIES else ""


def _own_costs(tape: Tape, holdings: list[Holdings]) -> list[Cost]:
    macs = [0] * len(tape.tree)
    for entry in tape.entries:
        if entry.work.status == "counted":
            macs[entry.module] += entry.work.macs
    return [
        Cost(
            params=held.params,
            trainable_params=held.trainable_params,
            buffers=held.buffers,
            param_bytes=held.param_bytes,
            flops=2 * macs[position],
            macs=macs[position],
            activation_bytes=tape.activation_bytes[position],
            moved_bytes=tape.moved_bytes[position],
        )
        for position, held in enumerate(holdings)
    ]


def _sum_up(tree: ModuleTree, own: list[Cost]) -> list[Cost]:
    """Totals: a parent stands before its children in tree order, so one pass from the end adds every subtree to its parent."""
    fields = Cost.__struct_fields__
    sums = [[getattr(cost, field) for field in fields] for cost in own]
    for position in range(len(tree) - 1, 0, -1):
        parent = sums[tree.parents[position]]
        for column, value in enumerate(sums[position]):
            parent[column] += value
    return [Cost(**dict(zip(fields, values, strict=True))) for values in sums]


def _find_incomplete(tape: Tape) -> set[int]:
    """The modules that ran an unknown operator, and their ancestors."""
    incomplete: set[int] = set()
    for entry in tape.entries:
        if entry.work.status == "unknown":
            position = entry.module
            while position >= 0 and position not in incomplete:
                incomplete.add(position)
                position = tape.tree.parents[position]
    return incomplete


def _describe_calls(tape: Tape) -> dict[int, list[Call]]:
    calls: dict[int, list[Call]] = defaultdict(list)
    feeders: dict[frozenset[int], tuple[str, ...]] = {}
    for call in tape.calls:
        if call.makers not in feeders:
            feeders[call.makers] = tuple(tape.tree.paths[position] for position in tape.flow.trace_modules(call.makers))
        calls[call.module].append(Call(order=call.order, inputs=call.inputs, outputs=call.outputs, inputs_from=feeders[call.makers]))
    return calls


def assemble_ledger(tape: Tape, assumptions: tuple[str, ...]) -> Ledger:
    """Every operator that ran, by name and by what was made of it."""
    counts: Counter[tuple[str, OperatorStatus]] = Counter()
    flops: Counter[tuple[str, OperatorStatus]] = Counter()
    modules: dict[tuple[str, OperatorStatus], dict[int, None]] = defaultdict(dict)
    for entry in tape.entries:
        key = (entry.operator, entry.work.status)
        counts[key] += 1
        modules[key][entry.module] = None
        if entry.work.status == "counted":
            flops[key] += 2 * entry.work.macs
    operators = tuple(
        OpRecord(
            name=name,
            count=counts[name, status],
            status=status,
            flops=flops[name, status],
            modules=tuple(tape.tree.paths[position] for position in sorted(modules[name, status])),
        )
        for name, status in sorted(counts)
    )
    return Ledger(
        counted=sum(record.count for record in operators if record.status == "counted"),
        zero=sum(record.count for record in operators if record.status == "zero"),
        unknown=sum(record.count for record in operators if record.status == "unknown"),
        operators=operators,
        assumptions=assumptions,
    )
