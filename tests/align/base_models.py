"""The models that edits are planted into: models of torchvision, measured once a session, and random trees."""

from __future__ import annotations

import functools
from random import Random
from typing import Any

from align.plan import Node, Plan, Run
from factories import make_profile, make_tensor

from archaudit.schema import Cost, Profile

# Small inputs where the architecture allows them: the comparison does not depend on the size.
TORCHVISION = {
    "alexnet": (1, 3, 64, 64),
    "resnet18": (1, 3, 64, 64),
    "vgg11_bn": (1, 3, 64, 64),
    "mobilenet_v3_small": (1, 3, 64, 64),
    "squeezenet1_1": (1, 3, 64, 64),
    "vit_b_16": (1, 3, 224, 224),
    "swin_t": (1, 3, 64, 64),
    "convnext_tiny": (1, 3, 64, 64),
}


@functools.cache
def measure_torchvision(name: str, shape: tuple[int, ...] | None = None) -> Profile:
    """The profile of a model of torchvision, on the published input size unless a shape is given."""
    from archaudit.load.reference import parse_reference
    from archaudit.load.torchvision_models import load
    from archaudit.measure.recipe import measure_recipe
    from archaudit.schema import InputSpec

    inputs = (InputSpec(shape=shape),) if shape is not None else ()
    return measure_recipe(load(parse_reference(f"torchvision:{name}"), inputs, name), other_counters=False)


def make_plan(name: str, seed: int) -> Plan:
    """A plan to edit: of a model of torchvision, or of a random tree for the name `tree`."""
    return draw_plan(Random(seed)) if name == "tree" else Plan(measure_torchvision(name, TORCHVISION[name])).copy()


def draw_plan(random: Random, stages: int | None = None) -> Plan:
    """A random tree: stages of blocks of layers, named or numbered, run one after the other with skips."""
    plan = Plan(make_profile({}))
    plan.root.type = "Net"
    last = Run("input", plan.root, [], (1, 3, 32, 32), "float32")
    plan.runs = [last]
    width = 3
    for stage in range(stages or random.randint(3, 6)):
        outer = _put(plan, plan.root, random.choice([f"stage{stage}", f"layer{stage}", f"part_{stage}"]), "Sequential", {})
        blocks = random.randint(2, 5)
        kind = random.choice(["BasicBlock", "MixBlock", "Bottleneck"])
        named = random.random() < 0.5
        layers = random.randint(1, 3)
        for place in range(blocks):
            block = _put(plan, outer, str(place), kind, {})
            entry = last
            for layer in range(layers):
                wider = random.choice([8, 16, 24, 32, 48, 64]) if place == 0 else width
                last = _draw_layer(plan, block, (width, wider), (named, layer), last, random)
                width = wider
            if place and random.random() < 0.5:
                last = Run("add", block, [last, entry], last.shape, "float32")
                plan.runs.append(last)
    head = _put(plan, plan.root, "head", "Linear", {"in_features": width, "out_features": 10, "bias": True},
                make_tensor("weight", (10, width)), make_tensor("bias", (10,)))  # fmt: skip
    plan.runs.append(Run("call", head, [last], (1, 10), "float32"))
    return plan


def _draw_layer(plan: Plan, block: Node, sizes: tuple[int, int], naming: tuple[bool, int], last: Run, random: Random) -> Run:
    inputs, outputs = sizes
    named, layer = naming
    kernel = random.choice([1, 3])
    settings = {
        "in_channels": inputs, "out_channels": outputs, "kernel_size": [kernel, kernel], "stride": [1, 1], "dilation": [1, 1],
        "padding": [kernel // 2, kernel // 2], "groups": 1, "bias": False,
    }  # fmt: skip
    parts: list[tuple[str, str, dict[str, Any], list[Any]]] = [
        ("conv", "Conv2d", settings, [make_tensor("weight", (outputs, inputs, kernel, kernel))]),
        (
            "norm",
            "BatchNorm2d",
            {"num_features": outputs, "eps": 1e-5},
            [make_tensor("weight", (outputs,)), make_tensor("bias", (outputs,))],
        ),
        ("act", random.choice(["ReLU", "GELU"]), {}, []),
    ]
    if random.random() < 0.3:
        parts.append(("drop", "Dropout", {"p": random.choice([0.1, 0.2]), "inplace": False}, []))
    for word, type_name, values, tensors in parts:
        name = f"{word}{layer}" if named else str(len(block.children))
        node = _put(plan, block, name, type_name, values, *tensors)
        last = Run("call", node, [last], (1, outputs, 32, 32), "float32")
        plan.runs.append(last)
    return last


def _put(plan: Plan, parent: Node, name: str, type_name: str, settings: dict[str, Any], *tensors: Any) -> Node:
    node = plan.make_node(name, type_name, dict(settings), *tensors)
    node.activations = Cost(activation_bytes=64, moved_bytes=128)
    node.parent = parent
    parent.children.append(node)
    return node
