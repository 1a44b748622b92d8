"""Forward passes that depend on values: branches, loops, selection, routing."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear


def _equal_branches(model: Any, x: torch.Tensor) -> Any:
    return model.left(x) if x.sum() > 0 else model.right(x)


def _guarded(model: Any, x: torch.Tensor) -> Any:
    if bool((x == 0).all().item()):
        x = x + 1
    return model.layer(x)


def _loop(model: Any, x: torch.Tensor, steps: torch.Tensor) -> Any:
    for _ in range(int(steps.item())):
        x = model.layer(x)
    return x


def _selected(model: Any, x: torch.Tensor) -> Any:
    rows = (x[:, 0] > 0).nonzero().squeeze(1)
    return model.layer(x[rows])


def _routed(model: Any, x: torch.Tensor) -> Any:
    """Each row goes to the best of four experts; a loop runs each expert on its rows."""
    choice = model.router(x).argmax(-1)
    output = torch.zeros_like(x)
    for number, expert in enumerate(model.experts):
        rows = torch.where(choice == number)[0]
        output[rows] = expert(x[rows])
    return output


def _cond(model: Any, x: torch.Tensor) -> Any:
    return torch.cond(x.sum() > 0, lambda y: y @ model.left, lambda y: y @ model.right, (x,))


CASES = (
    Case(
        name="branch_of_equal_cost",
        shows="A branch on a value, both of whose sides cost the same.",
        build=lambda: Model(_equal_branches, left=linear(16, 8), right=linear(16, 8)),
        args=lambda: (torch.ones(3, 16),),
        params=2 * 16 * 8,
        macs=3 * 16 * 8,
        tags=("data dependent",),
    ),
    Case(
        name="branch_that_only_guards",
        shows="A check of a value that changes no product, as mask checks do.",
        build=lambda: Model(_guarded, layer=linear(16, 8)),
        args=lambda: (torch.ones(3, 16),),
        params=16 * 8,
        macs=3 * 16 * 8,
        modules={"layer": (16 * 8, 3 * 16 * 8)},
        tags=("data dependent",),  # calflops#61
    ),
    Case(
        name="branch_of_other_cost",
        shows="A branch whose sides differ in cost: the count is for these values, or incomplete.",
        build=lambda: Model(_equal_branches, left=linear(16, 8), right=nn.Sequential(linear(16, 4), linear(4, 8))),
        args=lambda: (torch.ones(3, 16),),
        params=16 * 8 + 16 * 4 + 4 * 8,
        macs=3 * 16 * 8,  # the sum is positive
        may_be_incomplete=True,
        needs_real=True,
        tags=("data dependent",),
    ),
    Case(
        name="loop_by_value",
        shows="A loop whose length is an input.",
        build=lambda: Model(_loop, layer=linear(8, 8)),
        args=lambda: (torch.ones(2, 8), torch.tensor(3)),
        params=8 * 8,
        macs=3 * 2 * 8 * 8,
        may_be_incomplete=True,
        needs_real=True,
        tags=("data dependent", "reused"),
    ),
    Case(
        name="selected_rows",
        shows="A layer that runs on the rows that satisfy a condition.",
        build=lambda: Model(_selected, layer=linear(8, 4)),
        args=lambda: (torch.cat([torch.ones(3, 8), -torch.ones(2, 8)]),),
        params=8 * 4,
        macs=3 * 8 * 4,  # three of five rows
        may_be_incomplete=True,
        needs_real=True,
        tags=("data dependent",),
    ),
    Case(
        name="expert_loop",
        shows="Mixture of experts in a loop: each row goes through one expert.",
        build=lambda: Model(_routed, router=linear(8, 4), experts=nn.ModuleList([linear(8, 8) for _ in range(4)])),
        args=floats(10, 8),
        params=8 * 4 + 4 * 8 * 8,
        macs=10 * 8 * 4 + 10 * 8 * 8,
        modules={"": (0, 10 * 8 * 4 + 10 * 8 * 8), "experts": (0, 10 * 8 * 8), "router": (8 * 4, 10 * 8 * 4)},
        may_be_incomplete=True,
        needs_real=True,
        tags=("data dependent", "moe"),
    ),
    Case(
        name="cond_operator",
        shows="torch.cond, a branch as an operator, with sides of the same cost: counted or unknown, never zero.",
        build=lambda: Model(_cond, left=torch.randn(16, 8), right=torch.randn(16, 8)),
        args=lambda: (torch.ones(3, 16),),
        params=0,
        macs=3 * 16 * 8,
        may_be_incomplete=True,
        needs_real=True,
        exists=lambda: hasattr(TorchDispatchMode, "supports_higher_order_operators"),  # earlier dispatch modes do not see such an operator
        tags=("higher-order operator",),  # pytorch#134385
    ),
)
