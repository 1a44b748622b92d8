"""Redundant steps: activations and limits that do nothing, results that are computed twice, layers that return their input."""

from __future__ import annotations

from collections.abc import Iterator

from archaudit.audit.evidence import Evidence
from archaudit.audit.graph import ValueGraph
from archaudit.audit.operations import read_product
from archaudit.audit.registry import rule
from archaudit.audit.value_ranges import ANY, read_bounds
from archaudit.schema import Cost, Edit, Finding, ModuleRecord, Remove, Reuse, Rule, Setting, Skip, SkipOperator

# On values of these signs, the activation returns its operand.
_IDENTITY_ON_POSITIVE = frozenset(("leaky_relu", "prelu_kernel", "elu", "celu", "abs"))


@rule(
    Rule(
        code="AR203",
        name="activation-without-effect",
        family="redundant",
        summary="An activation or a limit gets values that it returns unchanged, for any input and any weights.",
        why="It costs a pass over memory, and a reader takes it for a nonlinearity.",
        example="nn.ReLU(), nn.MaxPool2d(2), nn.ReLU()",
        fix="Remove the layer or the call.",
        source="Moore, Kearfott and Cloud, 2009, Introduction to Interval Analysis",
        support="proof",
    )
)
def find_idle_activations(evidence: Evidence) -> Iterator[Finding]:
    graph, finder = evidence.graph, evidence.ranges
    for number, node in enumerate(graph.nodes):
        source = graph.source(number)
        given = finder.range_of(source)
        name, arguments = finder.read_operation(number)
        if source is None or given == ANY or not name:
            continue
        bounds = read_bounds(name, arguments) if len(node.operands) == 1 else None
        idle = bounds is not None and bounds.contains(given)
        idle = idle or (name in _IDENTITY_ON_POSITIVE and given.low >= 0 and arguments.get("scale", 1) == 1)
        edit = skip_node(graph, number)
        if not idle or edit is None:
            continue
        yield Finding(
            code="AR203",
            path=node.path or node.owner,
            key=f"{name} {_count_before(graph, number)}",
            message=f"{name} gets values from {given.low:g} to {given.high:g} from {graph.describe(source)} and returns them as they are",
            fix="remove it",
            cost=_cost_of_node(graph, number),
            edits=(edit,),
        )


def _count_before(graph: ValueGraph, number: int) -> int:
    """Which call of its module, or which run of its operator in the module, a node is."""
    return graph.calls[graph.nodes[number].path].index(number) if graph.nodes[number].op == "call" else graph.runs[number]


def skip_node(graph: ValueGraph, number: int) -> Edit | None:
    """The edit that lets a node return its operand; None if it cannot be named."""
    node = graph.nodes[number]
    if node.op != "call":
        return SkipOperator(path=node.owner, operator=node.op, run=graph.runs[number]) if _runs_once(graph, node.owner) else None
    call = graph.call_number(number)
    if call is None:
        return None
    return Remove(path=node.path) if graph.is_sole_call(number) else Skip(path=node.path, call=call)


def _runs_once(graph: ValueGraph, path: str) -> bool:
    """Whether the module runs once in a forward pass, so that its operators can be counted."""
    module = graph.index.get(path)
    return not path or (module is not None and len(module.calls) == 1)


def _cost_of_node(graph: ValueGraph, number: int) -> Cost:
    """The bytes that the call allocates and moves; nothing for an operator, until it is measured."""
    module = graph.module(number)
    if module is None or not module.calls:
        return Cost()
    share, total = len(module.calls), module.total
    return Cost(
        params=total.params if share == 1 else 0,
        flops=2 * (total.macs // share),
        macs=total.macs // share,
        activation_bytes=total.activation_bytes // share,
        moved_bytes=total.moved_bytes // share,
    )


@rule(
    Rule(
        code="AR205",
        name="layer-returns-its-input",
        family="redundant",
        summary="A layer returns its input: a pool over one position, a resize by one, a padding of nothing, a frozen identity.",
        why="It costs a pass over memory, and a reader takes it for a change of size.",
        example="nn.MaxPool2d(kernel_size=1, stride=1)",
        fix="Remove the layer or the call.",
        source="PyTorch, documentation of torch.nn.MaxPool2d, Upsample and ZeroPad2d",
        support="proof",
    )
)
def find_identity_layers(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number, layer in graph.iterate_calls():
        reason = _find_identity(layer) or _find_frozen_identity(graph, number, layer)
        edit = skip_node(graph, number) if reason else None
        if edit is None:
            continue
        yield Finding(
            code="AR205",
            path=layer.path,
            key=str(_count_before(graph, number)) if len(layer.calls) > 1 else "",
            message=f"{layer.type} returns its input: {reason}",
            fix="remove it",
            cost=_cost_of_node(graph, number),
            edits=(edit,),
        )


def _find_identity(layer: ModuleRecord) -> str:
    """Why a layer without weights returns its input; empty if it does not."""
    settings = layer.settings
    if layer.type.startswith(("MaxPool", "AvgPool")) and not layer.type.startswith("MaxUnpool"):
        sizes = [settings.get(name) for name in ("kernel_size", "stride")]
        if all(_is_all(value, 1) for value in sizes) and _is_all(settings.get("padding", 0), 0) and not settings.get("return_indices"):
            divisor = settings.get("divisor_override")
            return "it pools over one position" if divisor in (None, 1) else ""
    if layer.type.startswith("Upsample") and settings.get("size") is None and _is_all(settings.get("scale_factor"), 1):
        return "it resizes by a factor of one"
    if layer.type.endswith(("Pad1d", "Pad2d", "Pad3d")) and _is_all(settings.get("padding"), 0):
        return "it pads nothing"
    if layer.type == "PixelShuffle" and settings.get("upscale_factor") == 1:
        return "it shuffles by a factor of one"
    return ""


def _find_frozen_identity(graph: ValueGraph, number: int, layer: ModuleRecord) -> str:
    """Why a layer with fixed weights returns its input: they were initialised to the identity, and are not trained."""
    product = read_product(graph, number)
    if product is None or product.bias or product.layer.inputs != product.layer.outputs or set(product.stride) - {1}:
        return ""
    weight = next(tensor for tensor in layer.tensors if tensor.name == "weight")
    init = weight.init or ""
    centred = all(pad == size // 2 and size % 2 for pad, size in zip(product.padding, product.layer.kernel, strict=False))
    if weight.trainable or not centred or set(product.dilation) - {1} or product.layer.groups != 1:
        return ""
    return f"its frozen weight is the identity ({init})" if init.startswith(("eye_", "dirac_")) else ""


def _is_all(value: Setting, wanted: int) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(not isinstance(each, bool) and each == wanted for each in values)


# --- the same result twice ---

# Their results differ from call to call, or are no computation.
_CHANGING = frozenset(
    ("dropout", "alpha_dropout", "rand", "randn", "rand_like", "randn_like", "bernoulli", "multinomial", "normal", "more")
)
_PRODUCTS = frozenset(("linear", "conv", "matmul", "bmm", "mm", "addmm", "scaled_dot_product_attention", "einsum"))


@rule(
    Rule(
        code="AR208",
        name="same-result-twice",
        family="redundant",
        summary="A layer or a product runs on the same operands, with the same weights, as an earlier one.",
        why="The result is known already: it is computed, and kept for the backward pass, twice.",
        example="a, b = self.norm(x), self.norm(x)",
        fix="Compute it once and use the result twice.",
        source="Cocke, 1970, Global common subexpression elimination",
        support="proof",
    )
)
def find_repeated_results(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    classes: dict[object, int] = {}
    same: dict[int, int] = {}  # each node, and the first one with the same result
    for number, node in enumerate(graph.nodes):
        same[number] = number
        module = graph.module(number)
        if node.op in _CHANGING or number in graph.written or number in graph.overwritten or any(each.writes for each in node.operands):
            continue
        if node.op == "call" and (graph.layer(number) is None or "ropout" in (module.type if module else "")):
            continue
        if not any(each.node is not None or each.input is not None for each in node.operands) or any(
            each.name in ("tensor", "outer", "nothing") for each in node.operands
        ):
            continue
        operands = tuple(each._replace(node=same[each.node]) if each.node is not None else each for each in node.operands)
        what = _identify(module) if module is not None else node.op
        first = classes.setdefault((what, operands, str(node.arguments), str(node.sizes)), number)
        same[number] = first
        if first == number or not _is_costly(graph, number):
            continue
        yield Finding(
            code="AR208",
            path=node.path or node.owner,
            key=f"{node.op} {_count_before(graph, number)}",
            message=f"it computes what {graph.describe(first)} has computed already",
            fix="compute it once and use the result twice",
            cost=_cost_of_node(graph, number),
            edits=_reuse(graph, number, first),
        )


def _identify(module: ModuleRecord) -> object:
    """What makes the results of two layers equal: the same layer, or two of a type without tensors and with the same settings."""
    return module.path if module.tensors else (module.type, str(sorted(module.settings.items(), key=lambda pair: pair[0])))


def _is_costly(graph: ValueGraph, number: int) -> bool:
    """Whether it computes anything: a layer that allocates a result, or a product."""
    module = graph.module(number)
    return graph.nodes[number].op in _PRODUCTS if module is None else bool(module.total.activation_bytes or module.total.flops)


def _reuse(graph: ValueGraph, number: int, first: int) -> tuple[Edit, ...]:
    call, earlier = (graph.call_number(each) if graph.nodes[each].op == "call" else None for each in (number, first))
    if call is None or earlier is None:
        return ()
    return (Reuse(path=graph.nodes[number].path, call=call, of=graph.nodes[first].path, of_call=earlier),)


@rule(
    Rule(
        code="AR209",
        name="neutral-constant",
        family="redundant",
        summary="A tensor of the forward pass is multiplied or divided by one, or zero is added to it.",
        why="It costs a pass over memory and changes nothing; often a factor was meant.",
        example="x = x * 1.0",
        fix="Remove the operator, or use the factor that was meant.",
        source="Aho, Lam, Sethi and Ullman, Compilers, 2nd edition, 8.5.4 (algebraic identities)",
        support="proof",
        off="A factor of one is often a value of the configuration, such as a scale that other sizes of the model use.",
    )
)
def find_neutral_constants(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    neutral = {"mul": 1, "div": 1, "add": 0, "sub": 0, "pow": 1}
    for number, node in enumerate(graph.nodes):
        other = node.arguments.get("exponent" if node.op == "pow" else "other")
        if node.op not in neutral or len(node.operands) != 1 or isinstance(other, bool) or other != neutral[node.op]:
            continue
        source = graph.source(number)
        if source is None or graph.nodes[source].op == "reciprocal":  # torch computes 1 / x as 1 * reciprocal(x)
            continue
        if not evidence.is_float(number) or node.arguments.get("rounding_mode"):
            continue
        edit = skip_node(graph, number)
        yield Finding(
            code="AR209",
            path=node.owner,
            key=f"{node.op} {graph.runs[number]}",
            message=f"{node.op} with {other} returns its operand",
            fix="remove it, or use the factor that was meant",
            edits=(edit,) if edit is not None else (),
        )
