"""The calls of modules inside a program of torch.export, `torch.export.export(model, args).module()`.

Such a graph runs all operators itself: its modules hold parameters, and nothing calls them. But each node names the modules that it comes
from (`nn_module_stack`). So a call of these modules is opened before the first of their nodes, and closed after the last.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.tensors import list_tensors_in

if TYPE_CHECKING:
    from archaudit.measure.tape.module_calls import CallObserver


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node is: the calls that start with it, how many end with it, and the places of parameters in its arguments."""

    opened: tuple[int, ...]
    closed: int
    stored: tuple[int, ...]


class _OpenCalls:
    """The calls that are open inside one run of a graph, outermost first. It keeps no tensor alive."""

    def __init__(self, observer: CallObserver) -> None:
        self.observer = observer
        self.positions: list[int] = []

    def wrap(self, name: str, target: Callable[..., Any], place: _Place) -> Callable[..., Any]:
        """The function of a node, which also opens and closes calls. A call takes the tensors of its first node, and returns those of its
        last."""

        def run_node(*args: Any, **kwargs: Any) -> Any:
            if place.opened:
                given = tuple(list_tensors_in(*(value for number, value in enumerate(args) if number not in place.stored)))
                for position in place.opened:
                    self.observer.enter_call(position, given, {})
                    self.positions.append(position)
            result = target(*args, **kwargs)
            for _ in range(place.closed):
                self.observer.leave_call(self.positions.pop(), (), {}, result)
            return result

        run_node.__name__ = run_node.__qualname__ = name  # the generated code calls it by this name
        return run_node

    def fail(self, error: BaseException) -> None:
        """Closes all calls, because a node raised."""
        while self.positions:
            self.observer.fail_call(self.positions.pop(), error)


def observe_graph(module: nn.Module, tree: ModuleTree, observer: CallObserver) -> Callable[..., Any] | None:
    """A forward of an exported program that also reports the calls of the modules that its nodes come from; None for any other module."""
    if not isinstance(module, fx.GraphModule) or not _runs_all_itself(module):
        return None
    graph = copy.deepcopy(module.graph)
    nodes = [node for node in graph.nodes if node.op == "call_function" and isinstance(node.target, torch._ops.OperatorBase)]
    chains = [_find_chain(node, module, tree) for node in nodes]
    if not any(chains):
        return None
    running = _OpenCalls(observer)
    for number, (node, before, chain, after) in enumerate(zip(nodes, [(), *chains], chains, [*chains[1:], ()], strict=False)):
        stored = tuple(place for place, operand in enumerate(node.args) if isinstance(operand, fx.Node) and operand.op == "get_attr")
        place = _Place(chain[_count_shared(before, chain) :], len(chain) - _count_shared(chain, after), stored)
        node.target = running.wrap(f"node_{number}", node.target, place)
    forward: Callable[..., Any] = type(fx.GraphModule(module, graph)).forward

    @functools.wraps(module.forward)
    def observed(*args: Any, **kwargs: Any) -> Any:
        try:
            return forward(module, *args, **kwargs)
        except BaseException as error:
            running.fail(error)
            raise

    return observed


def _runs_all_itself(module: fx.GraphModule) -> bool:
    """Whether no node calls a module with parameters, as those of `fx.symbolic_trace` do."""
    called = [module.get_submodule(str(node.target)) for node in module.graph.nodes if node.op == "call_module"]
    return not any(True for each in called for _ in each.parameters())


def _find_chain(node: fx.Node, root: fx.GraphModule, tree: ModuleTree) -> tuple[int, ...]:
    """The positions of the modules inside `root` that a node comes from, outermost first.

    A module without parameters or buffers (an activation) is not in the program: its nodes belong to the nearest module above.
    """
    found: list[int] = []
    for path, _ in (node.meta.get("nn_module_stack") or {}).values():
        module: Any = root
        for name in str(path).partition("@")[0].split("."):  # the second call of a module is named `path@1`
            module = None if module is None else module._modules.get(name)
        if module is not None and tree.positions[id(module)] not in found:
            found.append(tree.positions[id(module)])
    return tuple(found)


def _count_shared(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """How many calls of two nodes are the same."""
    return next(
        (number for number, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), min(len(before), len(after))
    )
