"""From the tape and the tensors to records: each module with its own and total cost, the ledger, the operators of one module."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import torch
from msgspec import UNSET
from torch import nn

from archaudit.measure.formulas import format_work
from archaudit.measure.module_tree import ModuleTree, find_inside_script, list_aliases, read_settings
from archaudit.measure.tape import Tape, TapeEntry
from archaudit.measure.tensors import ModuleTensors, iterate_module_tensors, storage_key
from archaudit.schema import Call, Cost, Explanation, Ledger, ModuleRecord, OperatorRun, OperatorStatus, OpRecord

# Libraries whose classes are identified by name.
_LIBRARIES = frozenset(("torch", "torchvision", "torchaudio", "timm", "transformers", "diffusers", "peft"))


def assemble_modules(tape: Tape, tensors: list[ModuleTensors]) -> tuple[ModuleRecord, ...]:
    """One record for each module, in tree order. Every run checks that the own costs add up to the total of the root."""
    tree = tape.tree
    own = _own_costs(tape, tensors)
    totals = _sum_up(tree, own)
    incomplete = _add_parents(tree, (entry.module for entry in tape.entries if entry.work.status == "unknown"))
    packed = find_packed_modules(tree)
    without_params = _add_parents(tree, (*packed, *(module for module, _ in find_unregistered(tree, tape))))
    without_memory = _add_parents(tree, (*packed, *(entry.module for entry in tape.entries if _hides_memory(entry))))
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
            params_complete=position not in without_params,
            memory_complete=position not in without_memory,
            tensors=tuple(tensors[position].tensors),
            calls=tuple(calls[position]),
            defined_in=_find_library(module),
            aliases=aliases.get(position, ()),
            programs=tuple(tape.programs.of_module.get(position, ())) or UNSET,
        )
        for position, module in enumerate(tree.modules)
    )
    assert sum(record.own.params for record in records) == records[0].total.params, "own parameters must add up to the total"
    assert sum(record.own.macs for record in records) == records[0].total.macs, "own MACs must add up to the total"
    return records


def _find_library(module: nn.Module) -> str:
    """The library that defines the module's class; empty for any other, because a user's file may be imported under any name."""
    package = type(module).__module__.partition(".")[0]
    return package if package in _LIBRARIES else ""


def _own_costs(tape: Tape, tensors: list[ModuleTensors]) -> list[Cost]:
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
        for position, held in enumerate(tensors)
    ]


def _sum_up(tree: ModuleTree, own: list[Cost]) -> list[Cost]:
    """Totals. A parent comes before its children in tree order, so one pass from the end adds every subtree to its parent."""
    fields = Cost.__struct_fields__
    sums = [[getattr(cost, field) for field in fields] for cost in own]
    for position in range(len(tree) - 1, 0, -1):
        parent = sums[tree.parents[position]]
        for column, value in enumerate(sums[position]):
            parent[column] += value
    return [Cost(**dict(zip(fields, values, strict=True))) for values in sums]


def _add_parents(tree: ModuleTree, positions: Iterable[int]) -> set[int]:
    """These modules and all their ancestors."""
    found: set[int] = set()
    for position in positions:
        while position >= 0 and position not in found:
            found.add(position)
            position = tree.parents[position]
    return found


def _hides_memory(entry: TapeEntry) -> bool:
    """Whether an operator may allocate tensors that the tape does not see: one without a formula that is not torch's own."""
    return entry.work.status == "unknown" and not entry.operator.startswith(("aten::", "prims::"))


def _describe_calls(tape: Tape) -> dict[int, list[Call]]:
    calls: dict[int, list[Call]] = defaultdict(list)
    paths_by_producers: dict[frozenset[int], tuple[str, ...]] = {}
    for call in tape.calls:
        paths = paths_by_producers.get(call.producers)
        if paths is None:
            paths = tuple(tape.tree.paths[position] for position in tape.flow.find_producing_modules(call.producers))
            paths_by_producers[call.producers] = paths
        calls[call.module].append(Call(order=call.order, inputs=call.inputs, outputs=call.outputs, inputs_from=paths))
    return calls


def assemble_ledger(tape: Tape, assumptions: tuple[str, ...], deciding: tuple[str, ...] = ()) -> Ledger:
    """Every operator that ran, by name and status; `deciding` are the assumptions that decide costs."""
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
        deciding=deciding,
    )


# --- the operators of one module ---


def assemble_explanation(name: str, tape: Tape, root: int) -> Explanation:
    """The operators that the module at position `root` and the modules inside it ran. `name` is the name of the profile."""
    paths = tape.tree.paths
    runs = tuple(_describe_operator(entry, paths) for entry in tape.entries if _is_inside(entry.module, root, tape.tree))
    return Explanation(
        name=name,
        path=paths[root],
        type=type(tape.tree.modules[root]).__name__,
        macs=sum(run.macs for run in runs),
        flops_complete=all(run.status != "unknown" for run in runs),
        operators=runs,
    )


def _is_inside(position: int, root: int, tree: ModuleTree) -> bool:
    while position > root:
        position = tree.parents[position]
    return position == root


def _describe_operator(entry: TapeEntry, paths: tuple[str, ...]) -> OperatorRun:
    return OperatorRun(
        operator=entry.operator,
        module=paths[entry.module],
        status=entry.work.status,
        inputs=entry.inputs,
        outputs=entry.outputs,
        formula=format_work(entry.work),
        macs=entry.work.macs if entry.work.status == "counted" else 0,
        note=entry.work.note,
    )


# --- weights that no parameter count includes, because torch does not know them as parameters of the model ---


# As many modules as fit in a sentence.
_MOST_NAMED = 3


def describe_unregistered_weights(tree: ModuleTree, tape: Tape) -> Iterator[str]:
    """An assumption on parameters that forward uses but no module has registered (layers in a plain list), and one on weights inside
    objects that are no tensors (as torch's quantized layers have them)."""
    missing = find_unregistered(tree, tape)
    if missing:
        users = Counter(module for module, _ in missing)
        elements = sum(count for _, count in missing)
        yield (
            f"{_list_paths(tree, list(users))} uses {len(missing):,} parameter{'s' if len(missing) > 1 else ''} ({elements:,} elements) "
            "that no module registers (layers in a plain list, for example): parameters() does not return them, and no parameter count "
            "includes them"
        )
    packed = find_packed_modules(tree)
    if packed:
        yield f"{_list_paths(tree, packed)} has weights packed in an object that is not a tensor: no parameter count includes them"


def find_unregistered(tree: ModuleTree, tape: Tape) -> list[tuple[int, int]]:
    """Each parameter that forward reads and no module has registered: the module that reads it first, and its number of elements."""
    registered = {storage_key(tensor) for module in tree.modules for _, tensor, _, _ in iterate_module_tensors(module)}
    return [read for key, read in tape.read_parameters.items() if key and key not in registered]


def find_packed_modules(tree: ModuleTree) -> list[int]:
    """The positions of the modules that have weights inside objects that are no tensors."""
    return [position for position, module in enumerate(tree.modules) if any(map(_is_packed_object, vars(module).values()))]


def describe_summed_products(tree: ModuleTree, tape: Tape) -> Iterator[str]:
    """An assumption on contractions that the model writes as an elementwise product and a sum."""
    elements = tape.summed_products.elements
    if elements:
        yield (
            f"elementwise products or gathered rows are summed in {_list_paths(tree, sorted(elements))}: they count as zero, as "
            f"elementwise operators do, but would be {sum(elements.values()):,} multiply-accumulates "
            "as einsum or as a sparse matrix product"
        )


def count_dead_flops(tape: Tape) -> dict[str, int]:
    """The FLOPs of operators whose results reach no output of the model, by the path of the module that runs them."""
    found: Counter[str] = Counter()
    for number in sorted(tape.dead_entries):
        entry = tape.entries[number]
        if entry.work.status == "counted":
            found[tape.tree.paths[entry.module]] += 2 * entry.work.macs
    return dict(found)


def describe_dead_compute(tree: ModuleTree, dead: dict[str, int], flops: int) -> Iterator[str]:
    """An assumption on dead compute."""
    if dead:
        positions = [tree.paths.index(path) for path in sorted(dead, key=lambda path: -dead[path])]
        yield (
            f"dead compute: {sum(dead.values()):,} of {flops:,} FLOPs, in {_list_paths(tree, positions)}, are spent on results that reach "
            "no output of the model; they count in the total"
        )


def describe_script_modules(tree: ModuleTree) -> Iterator[str]:
    """An assumption on modules whose parts cannot be observed."""
    tops = sorted({*find_inside_script(tree).values()})
    if tops:
        where = _list_paths(tree, tops)
        yield f"TorchScript's interpreter runs {where}: the FLOPs count there, and those of each module inside are not known"


def _is_packed_object(value: object) -> bool:
    """Whether it is an object of TorchScript that is no module; the parameters of a module are known."""
    return isinstance(value, torch.ScriptObject) and not isinstance(value, torch._C.ScriptModule)


def _list_paths(tree: ModuleTree, positions: list[int]) -> str:
    names = [tree.paths[position] or "the model itself" for position in positions[:_MOST_NAMED]]
    more = len(positions) - len(names)
    return ", ".join(names) + (f" (and {more} more)" if more else "")
