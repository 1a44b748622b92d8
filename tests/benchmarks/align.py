"""How long two profiles take to be compared, by size: `python tests/benchmarks/align.py`.

Each model is a tree of blocks (20 modules each), with some changed layers. Times are the best of three, in this process;
`per module` should stay about the same from row to row, which is what near-linear growth means.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from factories import make_cost, make_module, make_profile, make_tensor

from archaudit.align import align
from archaudit.diff import diff
from archaudit.schema import Call, FlowNode, ModuleRecord, Profile

_LAYERS_A_BLOCK = 6
_ROUNDS = 3


def make_model(modules: int, changed: int, *, removed: int = 0, distinct: bool = False) -> Profile:
    """About `modules` modules that run in one chain. `changed` layers are wider; the first `removed` blocks are missing.

    Blocks repeat in eight shapes; with `distinct`, each has its own shape.
    """
    blocks = max(1, modules // (3 * _LAYERS_A_BLOCK + 2))
    wide = {place * blocks // changed for place in range(changed)} if changed else set()
    listed: dict[str, ModuleRecord] = {"blocks": make_module(type="ModuleList")}
    flow = [FlowNode(id=0, op="input", module="")]
    for block in range(removed, blocks):
        name = f"blocks.{block - removed}"
        listed[name] = make_module(type="Block")
        listed[f"{name}.body"] = make_module(type="Sequential")
        width = 16 + (block if distinct else 8 * (block % 8))
        for layer in range(_LAYERS_A_BLOCK):
            size = width + (4 if block in wide and layer == 2 else 0)
            for place, record in enumerate(_make_layer(width, size)):
                path = f"{name}.body.{3 * layer + place}"
                flow.append(FlowNode(id=len(flow), op="call", module=path, inputs=(len(flow) - 1,)))
                sources = (flow[-2].module,) if len(flow) > 2 else ()
                call = Call(order=len(flow), inputs=((1, width, 8, 8),), outputs=((1, size, 8, 8),), inputs_from=sources)
                listed[path] = _with_call(record, call)
    return make_profile(listed, flow=tuple(flow))


def _make_layer(inputs: int, outputs: int) -> tuple[ModuleRecord, ModuleRecord, ModuleRecord]:
    settings = {"in_channels": inputs, "out_channels": outputs, "kernel_size": [3, 3], "stride": [1, 1], "groups": 1, "bias": False}
    weight = make_tensor("weight", (outputs, inputs, 3, 3))
    vectors = make_tensor("weight", (outputs,)), make_tensor("bias", (outputs,))
    return (
        make_module(make_cost(9 * inputs * outputs, 576 * inputs * outputs), "Conv2d", settings=settings, tensors=(weight,)),
        make_module(make_cost(2 * outputs), "BatchNorm2d", settings={"num_features": outputs, "eps": 1e-5}, tensors=vectors),
        make_module(make_cost(0), "ReLU", settings={"inplace": True}),
    )


def _with_call(record: ModuleRecord, call: Call) -> ModuleRecord:
    import msgspec

    return msgspec.structs.replace(record, calls=(call,))


def measure(before: Profile, after: Profile) -> tuple[float, float]:
    """The seconds that aligning takes, and the seconds that the diff takes after that; the best of some rounds."""
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        matches = align(before, after)
        aligned = time.perf_counter()
        diff(before, after, matches)
        times.append((aligned - start, time.perf_counter() - aligned))
    return min(aligning for aligning, _ in times), min(differing for _, differing in times)


def main() -> None:
    """Prints the table."""
    print(f"{'case':44} {'modules':>8} {'align':>9} {'diff':>9} {'per module':>11}")
    for modules in (500, 2_000, 5_000, 10_000, 20_000):
        same = make_model(modules, 0)
        cases = {
            "against itself": same,
            "20 layers changed": make_model(modules, 20),
            "20 changed, the first two blocks removed": make_model(modules, 20, removed=2),
            "every block changed": make_model(modules, modules // 20),
        }
        for name, after in cases.items():
            _print_row(name, same, after)
        _print_row(
            "distinct blocks, 20 changed, two removed",
            make_model(modules, 0, distinct=True),
            make_model(modules, 20, removed=2, distinct=True),
        )


def _print_row(name: str, before: Profile, after: Profile) -> None:
    aligning, differing = measure(before, after)
    count = len(before.modules)
    print(f"{name:44} {count:8,} {aligning:7.3f} s {differing:7.3f} s {1e6 * (aligning + differing) / count:8.1f} us")


if __name__ == "__main__":
    main()
