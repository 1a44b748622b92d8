"""Edits with a known answer: each plants one kind of change into a plan, and says how the comparison must call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
from align.plan import Node, Plan
from factories import make_tensor


@dataclass(frozen=True)
class Planted:
    """What was done: the kind of change, and the modules (by uid) one of whose rows must show it.

    `gone` and `new` are modules of one side only.
    """

    kind: str
    uids: tuple[int, ...]
    gone: tuple[int, ...] = ()
    new: tuple[int, ...] = ()


Edit = Callable[[Plan, Random, set[int]], Planted | None]


def _choose(plan: Plan, random: Random, used: set[int], suits: Callable[[Node], bool]) -> Node | None:
    """A module that suits, far enough from those that were edited already: no edit touches another's parent or siblings."""
    suiting = [node for node in plan.root.walk() if node.parent is not None and node.uid not in used and suits(node)]
    suiting = [node for node in suiting if not used & _list_near(node)]
    return random.choice(suiting) if suiting else None


def _list_near(node: Node) -> set[int]:
    assert node.parent is not None
    near = {other.uid for other in node.parent.walk()}
    above: Node | None = node.parent
    while above is not None and above.parent is not None:
        near.add(above.uid)
        above = above.parent
    return near


def _renumber(parent: Node) -> None:
    for place, child in enumerate(parent.children):
        child.name = str(place)


def _place(parent: Node, place: int, node: Node) -> None:
    was_list = parent.is_list
    node.parent = parent
    parent.children.insert(place, node)
    if was_list:
        _renumber(parent)


def _is_leaf(node: Node) -> bool:
    return not node.children


def _runs_once(plan: Plan, node: Node) -> bool:
    return len(plan.find_runs(node)) == 1


def rename(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """Another name for a module that has one."""
    node = _choose(plan, random, used, lambda node: not node.name.isdecimal())
    if node is None:
        return None
    node.name = random.choice(["renamed", node.name + "_new", "my_" + node.name])
    return Planted("renamed", (node.uid,))


def change_setting(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """Another eps, p, stride or the like."""
    values: dict[str, Any] = {
        "p": 0.37,
        "eps": 0.0123,
        "dilation": [3, 3],
        "stride": [3, 3],
        "inplace": None,
        "momentum": 0.77,
        "approximate": "x",
    }
    node = _choose(plan, random, used, lambda node: _is_leaf(node) and bool(values.keys() & node.settings.keys()))
    if node is None:
        return None
    name = random.choice(sorted(values.keys() & node.settings.keys()))
    node.settings[name] = not node.settings[name] if name == "inplace" else values[name]
    return Planted("settings", (node.uid,))


def resize(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """Half or twice as many outputs."""
    node = _choose(plan, random, used, lambda node: _is_leaf(node) and any(len(tensor.shape) > 1 for tensor in node.tensors))
    if node is None:
        return None
    by = random.choice([0.5, 2, 1.5])
    node.tensors = [
        msgspec.structs.replace(tensor, shape=(max(1, int(tensor.shape[0] * by)), *tensor.shape[1:])) if tensor.shape else tensor
        for tensor in node.tensors
    ]
    for name in ("out_channels", "out_features"):
        if name in node.settings:
            node.settings[name] = max(1, int(node.settings[name] * by))
    return Planted("resized", (node.uid,)) if any(tensor.shape[0] > 1 for tensor in node.tensors if tensor.shape) else None


_SUCCESSORS = {
    "ReLU": "GELU", "ReLU6": "SiLU", "Hardswish": "ReLU", "GELU": "ReLU", "SiLU": "GELU", "Hardsigmoid": "Sigmoid",
    "BatchNorm2d": "GroupNorm", "LayerNorm": "RMSNorm", "MaxPool2d": "AvgPool2d", "AdaptiveAvgPool2d": "AdaptiveMaxPool2d",
    "Dropout": "AlphaDropout", "Conv2d": "LazyQuantConv2d", "Linear": "BitLinear",
}  # fmt: skip


def replace(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """Another type in its place."""
    node = _choose(plan, random, used, lambda node: _is_leaf(node) and node.type in _SUCCESSORS)
    if node is None:
        return None
    node.type = _SUCCESSORS[node.type]
    return Planted("replaced", (node.uid,))


def remove(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """A module removed with everything in it."""
    node = _choose(plan, random, used, lambda node: node.parent is not None and len(node.parent.children) > 2 and len(node.walk()) < 30)
    if node is None or node.parent is None:
        return None
    parent = node.parent
    was_list = parent.is_list
    plan.drop_runs(node.walk())
    parent.children.remove(node)
    if was_list:
        _renumber(parent)
    gone = tuple(below.uid for below in node.walk())
    return Planted("removed", (node.uid,), gone=gone)


def add(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """A new layer behind another one."""
    node = _choose(plan, random, used, lambda node: _is_leaf(node) and _runs_once(plan, node))
    if node is None or node.parent is None:
        return None
    made = {
        "Dropout2d": plan.make_node("extra", "Dropout2d", {"p": 0.11}),
        "Conv2d": plan.make_node(
            "extra", "Conv2d", {"kernel_size": [7, 7], "groups": 1, "bias": False}, make_tensor("weight", (13, 11, 7, 7))
        ),
        "PReLU": plan.make_node("extra", "PReLU", {"num_parameters": 1}, make_tensor("weight", (1,))),
        "Linear": plan.make_node("extra", "Linear", {"in_features": 17, "bias": False}, make_tensor("weight", (19, 17))),
    }
    new = made[random.choice(sorted(made))]
    _place(node.parent, node.parent.children.index(node) + 1, new)
    plan.insert_run(new, plan.find_runs(node)[0])
    return Planted("added", (new.uid,), new=(new.uid,))


def move(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """A module with weights moved to another container."""
    node = _choose(
        plan, random, used,
        lambda node: len(node.walk()) < 30 and any(len(tensor.shape) > 1 for below in node.walk() for tensor in below.tensors)
        and node.parent is not None and len(node.parent.children) > 2,
    )  # fmt: skip
    if node is None or node.parent is None:
        return None
    inside = {below.uid for below in node.walk()}
    homes = [
        other for other in plan.root.walk()
        if other.children and other is not node.parent and other.uid not in inside and other.uid not in used and other.parent is not None
        and not used & {below.uid for below in other.walk()} and other not in node.parent.children and node.parent not in other.children
        and other.parent is not node.parent
    ]  # fmt: skip
    if not homes:
        return None
    home = random.choice(homes)
    old = node.parent
    was_list = old.is_list
    old.children.remove(node)
    if was_list:
        _renumber(old)
    node.name = "moved" if not home.is_list else node.name
    _place(home, len(home.children), node)
    used.update(below.uid for below in (*old.children, *home.children))
    return Planted("moved", (node.uid,))


def wrap(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """A module put into a new container."""
    node = _choose(plan, random, used, lambda node: any(len(tensor.shape) > 1 for below in node.walk() for tensor in below.tensors))
    if node is None or node.parent is None:
        return None
    wrapper = plan.make_node(node.name, random.choice(["Sequential", "Wrapper"]), {})
    parent = node.parent
    parent.children[parent.children.index(node)] = wrapper
    wrapper.parent, wrapper.children = parent, [node]
    node.parent, node.name = wrapper, random.choice(["0", "inner"])
    return Planted("wrapped", (node.uid,), new=(wrapper.uid,))


def unwrap(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """A container removed, its children put in its place."""
    node = _choose(
        plan, random, used,
        lambda node: 0 < len(node.children) < 5 and any(len(tensor.shape) > 1 for child in node.children for tensor in child.tensors)
        and not node.tensors and all(run.op == "call" or run.node is not node for run in plan.runs),
    )  # fmt: skip
    if node is None or node.parent is None:
        return None
    parent = node.parent
    was_list = parent.is_list
    place = parent.children.index(node)
    parent.children[place : place + 1] = node.children
    for child in node.children:
        child.parent = parent
        if not was_list:
            child.name = f"{node.name}_{child.name}"
    if was_list:
        _renumber(parent)
    heavy = next(child for child in node.children if any(len(tensor.shape) > 1 for tensor in child.tensors))
    return Planted("unwrapped", (heavy.uid,), gone=(node.uid,))


def _is_dense(plan: Plan, node: Node) -> bool:
    weight = node.tensors[0].shape if node.tensors else ()
    return (
        node.type == "Conv2d"
        and len(weight) == 4
        and weight[2] > 1
        and weight[1] > 3
        and node.settings.get("groups") == 1
        and _runs_once(plan, node)
    )


def _separate(plan: Plan, node: Node) -> Node:
    """Makes `node` the depthwise part; returns the pointwise one."""
    assert node.parent is not None
    outputs, inputs, *kernel = node.tensors[0].shape
    base = dict(node.settings)
    second = plan.make_node(
        node.name + "_pw", "Conv2d",
        {**base, "kernel_size": [1, 1], "padding": [0, 0], "stride": [1, 1], "dilation": [1, 1],
         "in_channels": inputs, "out_channels": outputs},
        make_tensor("weight", (outputs, inputs, 1, 1)), *node.tensors[1:],
    )  # fmt: skip
    node.settings |= {"groups": inputs, "out_channels": inputs}
    node.tensors = [make_tensor("weight", (inputs, 1, *kernel))]
    node.settings["bias"] = False
    _place(node.parent, node.parent.children.index(node) + 1, second)
    plan.insert_run(second, plan.find_runs(node)[0])
    return second


def split(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """A convolution made depthwise separable, or a linear layer's outputs divided into three."""
    node = _choose(plan, random, used, lambda node: _is_dense(plan, node))
    if node is not None and random.random() < 0.7:
        second = _separate(plan, node)
        return Planted("split", (node.uid, second.uid), new=(second.uid,))
    node = _choose(
        plan,
        random,
        used,
        lambda node: (
            node.type == "Linear" and node.tensors[0].shape[0] % 3 == 0 and node.tensors[0].shape[0] > 3 and not node.name.isdecimal()
        ),
    )
    if node is None or node.parent is None:
        return None
    outputs = node.tensors[0].shape[0]
    third = outputs // 3
    parts = []
    for place, name in enumerate(("q", "k", "v")):
        tensors = [msgspec.structs.replace(tensor, shape=(third, *tensor.shape[1:])) for tensor in node.tensors]
        part = plan.make_node(f"{node.name}_{name}", "Linear", {**node.settings, "out_features": third}, *tensors)
        parts.append(part)
        _place(node.parent, node.parent.children.index(node) + 1 + place, part)
    runs = plan.find_runs(node)
    for part in parts if runs else ():
        plan.insert_run(part, runs[0])
    plan.drop_runs([node])
    node.parent.children.remove(node)
    first = parts[0]
    first.uid, node.uid = node.uid, -1
    return Planted("split", (first.uid,), new=tuple(part.uid for part in parts[1:]))


def reorder(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """Two neighbours in reverse order: a norm before its convolution."""

    def suits(node: Node) -> bool:
        if node.parent is None or not _is_leaf(node) or not _runs_once(plan, node):
            return False
        place = node.parent.children.index(node)
        if place + 1 == len(node.parent.children):
            return False
        other = node.parent.children[place + 1]
        if not _is_leaf(other) or not _runs_once(plan, other) or other.type == node.type:
            return False
        return plan.find_runs(other)[0].inputs == plan.find_runs(node) and bool(node.tensors) and bool(other.tensors)

    node = _choose(plan, random, used, suits)
    if node is None or node.parent is None:
        return None
    parent = node.parent
    place = parent.children.index(node)
    other = parent.children[place + 1]
    first, second = plan.find_runs(node)[0], plan.find_runs(other)[0]
    parent.children[place], parent.children[place + 1] = other, node
    if parent.is_list:
        _renumber(parent)
    for run in plan.runs:
        run.inputs = [first if source is second and run is not first else source for source in run.inputs]
    second.inputs, first.inputs = list(first.inputs), [second]
    at = plan.runs.index(first)
    plan.runs.remove(second)
    plan.runs.insert(at, second)
    return Planted("reordered", (node.uid, other.uid))


def repeat(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """Fewer of a list's repeated blocks."""

    def suits(node: Node) -> bool:
        types = {child.type for child in node.children}
        return len(types) == 1 and len(node.children) >= 3 and all(child.children for child in node.children)

    node = _choose(plan, random, used, lambda node: suits(node) and len(node.walk()) < 250)
    if node is None:
        return None
    count = random.randint(1, len(node.children) - 2)
    start = random.randint(0, len(node.children) - count)
    dropped = node.children[start : start + count]
    plan.drop_runs([below for block in dropped for below in block.walk()])
    was_list = node.is_list
    node.children = [child for child in node.children if child not in dropped]
    if was_list:
        _renumber(node)
    return Planted("repeated", (node.uid,), gone=tuple(below.uid for block in dropped for below in block.walk()))


def _retensor(kind: str, **fields: Any) -> Edit:
    def edit(plan: Plan, random: Random, used: set[int]) -> Planted | None:
        node = _choose(plan, random, used, lambda node: bool(node.tensors) and node.tensors[0].kind == "parameter")
        if node is None:
            return None
        node.tensors = [msgspec.structs.replace(node.tensors[0], **fields), *node.tensors[1:]]
        return Planted(kind, (node.uid,))

    return edit


freeze = _retensor("frozen", trainable=False)
cast = _retensor("dtype", dtype="float16")
tie = _retensor("tied", tied_to="somewhere.weight")


def rewire(plan: Plan, random: Random, used: set[int]) -> Planted | None:
    """A skip connection: a module takes an earlier output as a second input."""
    node = _choose(plan, random, used, lambda node: _is_leaf(node) and _runs_once(plan, node) and plan.find_runs(node)[0].op == "call")
    if node is None:
        return None
    run = plan.find_runs(node)[0]
    fed = {source.node.uid for source in run.inputs}
    earlier = [
        source for source in plan.runs[: plan.runs.index(run)]
        if source.op == "call" and source.node.uid not in fed | used and _runs_once(plan, source.node) and source not in run.inputs
    ]  # fmt: skip
    if not earlier:
        return None
    source = random.choice(earlier)
    run.inputs = [*run.inputs, source]
    used.add(source.node.uid)
    return Planted("rewired", (node.uid,))


EDITS: dict[str, Edit] = {
    "rename": rename, "settings": change_setting, "resize": resize, "replace": replace, "remove": remove, "add": add, "move": move,
    "wrap": wrap, "unwrap": unwrap, "split": split, "reorder": reorder, "repeat": repeat, "freeze": freeze, "cast": cast, "tie": tie,
    "rewire": rewire,
}  # fmt: skip
