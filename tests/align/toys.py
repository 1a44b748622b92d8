"""Toy models for the thresholds of the matching: modules by path, that never run or run in a chain, and their partners.

The similarity of two linear layers follows from their sizes alone. With `r` the mean ratio of their weights' sizes, and no settings, it is
(0.5 + 0.3 r) / 0.8 for type and shape, times (1 + r) / 2: see `likeness`.
"""

from __future__ import annotations

from collections.abc import Mapping

from align.plan import Plan, Run
from factories import make_module, make_profile, make_tensor

from archaudit.align import align
from archaudit.schema import Match, ModuleRecord, Profile, Setting

Modules = Mapping[str, ModuleRecord]


def linear(outputs: int, inputs: int | None = None, type: str = "Linear", **settings: Setting) -> ModuleRecord:
    """A linear layer without bias, with as many inputs as outputs unless `inputs` is given."""
    inputs = outputs if inputs is None else inputs
    return make_module(inputs * outputs, type, tensors=(make_tensor("weight", (outputs, inputs)),), settings=settings)


def conv(outputs: int, inputs: int, kernel: int = 3, groups: int = 1, bias: bool = False) -> ModuleRecord:
    """A convolution."""
    shape = (outputs, inputs // groups, kernel, kernel)
    tensors = (make_tensor("weight", shape), *((make_tensor("bias", (outputs,)),) if bias else ()))
    count = outputs * (inputs // groups) * kernel**2 + outputs * bias
    return make_module(count, "Conv2d", tensors=tensors, settings={"groups": groups})


def norm(features: int) -> ModuleRecord:
    """A norm with a weight and a bias."""
    tensors = make_tensor("weight", (features,)), make_tensor("bias", (features,))
    return make_module(2 * features, "BatchNorm2d", tensors=tensors)


def box(type: str = "Block") -> ModuleRecord:
    """A container, or a layer without tensors."""
    return make_module(0, type)


def chain(modules: Modules, name: str = "model") -> Profile:
    """The model whose leaves run in a chain."""
    plan = Plan(make_profile(modules, name))
    last = Run("input", plan.root, [], (1, 4), "float32")
    plan.runs = [last]
    for node in plan.root.walk():
        if not node.children and node is not plan.root:
            last = Run("call", node, [last], (1, 4), "float32")
            plan.runs.append(last)
    return plan.build(name)


def list_matches(before: Modules | Profile, after: Modules | Profile) -> dict[tuple[str | None, str | None], Match]:
    """The matches of two models by their paths. Modules are a model that never runs."""
    sides = [side if isinstance(side, Profile) else make_profile(side) for side in (before, after)]
    return {(match.before_path, match.after_path): match for match in align(*sides)}


def find_partner(before: Modules | Profile, after: Modules | Profile, path: str) -> tuple[str | None, float | None]:
    """The partner of a module and the confidence; checks that the reverse comparison gives the same."""
    found = next((other, match.confidence) for (one, other), match in list_matches(before, after).items() if one == path)
    back = {pair[::-1]: match.confidence for pair, match in list_matches(after, before).items()}
    assert back[path, found[0]] == found[1], "the reverse comparison gives another pair"
    return found if found[0] is not None else (None, None)


def likeness(ratio: float) -> float:
    """The similarity of two layers of one type, without settings, whose weights' sizes have this mean ratio."""
    return (0.5 + 0.3 * ratio) / 0.8 * (1 + ratio) / 2
