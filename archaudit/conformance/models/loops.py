"""Loops as operators, dead compute, chance, and compiled parts: what runs, how often, and whether anything uses it."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, image, linear


def _has_loops() -> bool:
    """Whether this release of torch has all loops below as operators that a dispatch mode can see."""
    from importlib.util import find_spec

    names = (f"torch._higher_order_ops.{name}" for name in ("scan", "map", "while_loop"))
    return hasattr(TorchDispatchMode, "supports_higher_order_operators") and all(find_spec(name) is not None for name in names)


def _scan(model: Any, x: torch.Tensor) -> Any:
    from torch._higher_order_ops.scan import scan

    def step(carried: torch.Tensor, row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        carried = torch.tanh(carried @ model.state + row @ model.inputs)
        return carried, carried @ model.outputs

    return scan(step, x.new_zeros(1, 8), x[:, None])


def _while(model: Any, x: torch.Tensor) -> Any:
    from torch._higher_order_ops.while_loop import while_loop

    start = (torch.zeros((), dtype=torch.long, device=x.device), x)
    return while_loop(lambda step, value: step < 3, lambda step, value: (step + 1, value @ model.weight), start)


def _map(model: Any, x: torch.Tensor) -> Any:
    from torch._higher_order_ops import map as module

    run: Any = module.map if hasattr(module, "map") else module
    return run(lambda row: row @ model.weight, x[:, None])


def _cond_by_size(model: Any, x: torch.Tensor) -> Any:
    return torch.cond(x.shape[0] > 2, lambda y: y @ model.weight, lambda y: y @ model.weight @ model.weight, (x,))


def _drop(model: Any, x: torch.Tensor) -> Any:
    x = model.body(x)
    model.dropped(x)
    return model.used(x)


def _store(model: Any, x: torch.Tensor) -> Any:
    model.last.copy_(model.body(x))
    return model.used(x)


def _choose(model: Any, x: torch.Tensor) -> Any:
    return model.used(model.body(x) if random.random() < 0.5 else x)


def _exit_early(model: Any, x: torch.Tensor) -> Any:
    for block in model.blocks:
        x = block(x)
        if x.sum() > 100:
            return x
    return x


class _Split(nn.Module):
    """Three layers, for TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.first = linear(8, 16)
        self.rest = nn.Sequential(nn.ReLU(), linear(16, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.first(x))  # type: ignore[no-any-return]


class _Repeat(nn.Module):
    """A loop that TorchScript keeps as a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear(8, 8)

    def forward(self, x: torch.Tensor, times: int) -> torch.Tensor:
        for _ in range(times):
            x = self.layer(x)
        return x


def _export() -> nn.Module:
    return torch.export.export(_Split().eval(), (torch.zeros(3, 8),)).module()


def _unflatten() -> nn.Module:
    module: nn.Module = torch.export.unflatten(torch.export.export(_Split().eval(), (torch.zeros(3, 8),)))
    return module


CASES = (
    Case(
        name="scan_operator",
        shows="A recurrent cell as torch's scan: its body runs once for each of 5 steps.",
        build=lambda: Model(_scan, state=torch.randn(8, 8), inputs=torch.randn(6, 8), outputs=torch.randn(8, 4)),
        args=floats(5, 6),
        params=0,
        macs=5 * (8 * 8 + 6 * 8 + 8 * 4),
        may_be_incomplete=True,
        exists=_has_loops,
        tags=("higher-order operator",),
    ),
    Case(
        name="while_loop_operator",
        shows="torch's while_loop: the condition follows from a counter, so the number of iterations is known.",
        build=lambda: Model(_while, weight=torch.randn(8, 8)),
        args=floats(4, 8),
        params=0,
        macs=3 * 4 * 8 * 8,
        may_be_incomplete=True,
        needs_real=True,
        exists=_has_loops,
        tags=("higher-order operator",),
    ),
    Case(
        name="map_operator",
        shows="torch's map runs its body for each row.",
        build=lambda: Model(_map, weight=torch.randn(8, 4)),
        args=floats(6, 8),
        params=0,
        macs=6 * 8 * 4,
        may_be_incomplete=True,
        exists=_has_loops,
        tags=("higher-order operator",),
    ),
    Case(
        name="cond_by_size",
        shows="torch.cond on a size, which is known: only one branch runs.",
        build=lambda: Model(_cond_by_size, weight=torch.randn(8, 8)),
        args=floats(4, 8),
        params=0,
        macs=4 * 8 * 8,
        may_be_incomplete=True,
        exists=_has_loops,
        tags=("higher-order operator",),
    ),
    Case(
        name="nested_vmap",
        shows="A layer mapped over two dimensions counts for every slice.",
        build=lambda: Model(lambda m, x: torch.func.vmap(torch.func.vmap(m.layer))(x), layer=linear(16, 8)),
        args=floats(2, 5, 3, 16),
        params=16 * 8,
        macs=2 * 5 * 3 * 16 * 8,
        tags=("transform",),
    ),
    Case(
        name="vmap_over_weights",
        shows="An ensemble: one input through a stack of weights.",
        build=lambda: Model(lambda m, x: torch.func.vmap(lambda w: x @ w)(m.stack), stack=nn.Parameter(torch.randn(5, 16, 8))),
        args=floats(3, 16),
        params=5 * 16 * 8,
        macs=5 * 3 * 16 * 8,
        tags=("transform",),
    ),
    Case(
        name="dropped_head",
        shows="A head whose result is dropped runs like any other: it is part of the count.",
        build=lambda: Model(_drop, body=linear(8, 16), used=linear(16, 4), dropped=linear(16, 16)),
        args=floats(3, 8),
        params=8 * 16 + 16 * 4 + 16 * 16,
        macs=3 * (8 * 16 + 16 * 4 + 16 * 16),
        modules={"dropped": (16 * 16, 3 * 16 * 16)},
        tags=("dead compute",),
    ),
    Case(
        name="result_in_a_buffer",
        shows="A result that only a buffer keeps counts.",
        build=lambda: Model(_store, body=linear(8, 8), used=linear(8, 4), last=torch.zeros(3, 8)),
        args=floats(3, 8),
        params=8 * 8 + 8 * 4,
        macs=3 * (8 * 8 + 8 * 4),
        tags=("dead compute",),
    ),
    Case(
        name="branch_by_chance",
        shows="A block that runs in half of all passes (stochastic depth in eval mode): no one number is right.",
        build=lambda: Model(_choose, body=linear(8, 8), used=linear(8, 4)),
        args=floats(3, 8),
        params=8 * 8 + 8 * 4,
        expects_incomplete=True,
        tags=("chance",),
    ),
    Case(
        name="early_exit_never_taken",
        shows="An exit that these weights and this input do not take: every block runs.",
        build=lambda: Model(_exit_early, blocks=nn.ModuleList([linear(8, 8) for _ in range(4)])),
        args=lambda: (torch.zeros(2, 8),),
        params=4 * 8 * 8,
        macs=4 * 2 * 8 * 8,
        may_be_incomplete=True,
        needs_real=True,
        tags=("data dependent",),
    ),
    Case(
        name="scripted_model",
        shows="The model itself is a TorchScript module.",
        build=lambda: torch.jit.script(_Split()),
        args=floats(3, 8),
        params=8 * 16 + 16 * 4,
        macs=3 * (8 * 16 + 16 * 4),
        tags=("TorchScript",),
    ),
    Case(
        name="traced_model",
        shows="The model itself is a traced module.",
        build=lambda: torch.jit.trace(_Split().eval(), torch.zeros(3, 8, device="cpu")),
        args=floats(3, 8),
        params=8 * 16 + 16 * 4,
        macs=3 * (8 * 16 + 16 * 4),
        needs_real=True,
        tags=("TorchScript",),
    ),
    Case(
        name="scripted_loop",
        shows="A loop inside TorchScript runs as often as its argument says.",
        build=lambda: torch.jit.script(_Repeat()),
        args=lambda: (torch.randn(3, 8), 4),
        params=8 * 8,
        macs=4 * 3 * 8 * 8,
        tags=("TorchScript", "reused"),
    ),
    Case(
        name="scripted_complex_convolution",
        shows="A complex convolution counts each complex product once inside TorchScript too.",
        build=lambda: torch.jit.script(nn.Sequential(nn.Conv2d(8, 16, 1, bias=False, dtype=torch.complex64))),
        args=lambda: (torch.randn(1, 8, 6, 6, dtype=torch.complex64),),
        params=8 * 16,
        macs=36 * 8 * 16,
        tags=("TorchScript", "complex"),
    ),
    Case(
        name="exported_model",
        shows="The program of torch.export as a module.",
        build=_export,
        args=floats(3, 8),
        params=8 * 16 + 16 * 4,
        macs=3 * (8 * 16 + 16 * 4),
        modules={"first": (8 * 16, 3 * 8 * 16), "rest": (0, 3 * 16 * 4), "rest.1": (16 * 4, 3 * 16 * 4)},
        needs_real=True,
        train=True,  # such a module has no eval()
        tags=("torch.export",),
    ),
    Case(
        name="unflattened_export",
        shows="A program of torch.export with its modules again.",
        build=_unflatten,
        args=floats(3, 8),
        params=8 * 16 + 16 * 4,
        macs=3 * (8 * 16 + 16 * 4),
        modules={"first": (8 * 16, 3 * 8 * 16), "rest": (0, 3 * 16 * 4)},
        needs_real=True,
        tags=("torch.export",),
    ),
    Case(
        name="recomputed_twice",
        shows="A block inside two nested checkpoints runs once in a forward pass.",
        build=lambda: Model(
            lambda m, x: torch.utils.checkpoint.checkpoint(
                lambda y: torch.utils.checkpoint.checkpoint(m.conv, y, use_reentrant=False), x, use_reentrant=False
            ),
            conv=nn.Conv2d(3, 4, 3, padding=1, bias=False),
        ),
        args=image(3, 8),
        params=4 * 3 * 9,
        macs=64 * 4 * 3 * 9,
        tags=("checkpoint",),
    ),
)
