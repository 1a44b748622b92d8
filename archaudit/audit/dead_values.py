"""Dead values: buffers that nobody reads, parameters that no gradient reaches, layers that compute a constant or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from archaudit.audit.evidence import Evidence, cost_of_tensors, full_name
from archaudit.audit.operations import read_norm
from archaudit.audit.registry import rule
from archaudit.audit.repeated import skip_node
from archaudit.index.modules import is_below
from archaudit.schema import Cost, DropTensor, Finding, ModuleRecord, Rule, Setting

# torch's own bookkeeping in a norm; whether anything reads it depends on the mode.
_BOOKKEEPING = ("num_batches_tracked", "running_mean", "running_var")
# A smaller buffer costs nothing worth a line.
_FEWEST_ELEMENTS = 2


@rule(
    Rule(
        code="AR104",
        name="buffer-never-read",
        family="dead",
        summary="No operator reads a buffer that checkpoints contain, in eval mode or in training mode.",
        why="It takes memory and a place in every checkpoint, and a checkpoint without it does not load.",
        example='self.register_buffer("mask", torch.ones(512, 512))  # forward makes its own mask',
        fix="Remove the buffer, or register it with persistent=False.",
        source="PyTorch, documentation of torch.nn.Module.register_buffer",
        support="proof",
    )
)
def find_unread_buffers(evidence: Evidence) -> Iterator[Finding]:
    evidence.require_run()
    for module in evidence.index:
        called = (
            evidence.is_called(module.path) or not module.path or any(evidence.is_called(c) for c in evidence.index.children[module.path])
        )
        for tensor in module.tensors if called else ():
            if tensor.kind != "buffer" or not tensor.persistent or tensor.name in _BOOKKEEPING or prod(tensor.shape) < _FEWEST_ELEMENTS:
                continue
            if tensor.tied_to is not None or evidence.is_read(full_name(module.path, tensor)):
                continue
            yield Finding(
                code="AR104",
                path=module.path,
                key=tensor.name,
                message=f"no operator reads the buffer {tensor.name}",
                fix=f"remove {tensor.name}, or register it with persistent=False",
                cost=cost_of_tensors(tensor),
                edits=(DropTensor(path=module.path, tensor=tensor.name),),
            )


@rule(
    Rule(
        code="AR105",
        name="no-gradient",
        family="dead",
        summary="A trainable parameter is read in training mode, but no gradient of any output reaches it.",
        why="It keeps its initial values for ever, while the optimiser keeps state for it.",
        example="weights = self.gate(x).argmax(-1)  # no gradient passes an argmax",
        fix="Let a gradient reach it, or freeze it with requires_grad_(False).",
        source="PyTorch, Autograd mechanics",
    )
)
def find_parameters_without_gradient(evidence: Evidence) -> Iterator[Finding]:
    names = set(evidence.trained.without_gradient)
    dead = [path for path, flops in evidence.dead_flops.items() if flops]
    for module in evidence.index:
        tensors = [tensor for tensor in module.tensors if full_name(module.path, tensor) in names]
        if not tensors or any(is_below(module.path, path) for path in dead):  # dead compute is a finding of its own
            continue
        listed = " and ".join(tensor.name for tensor in tensors)
        yield Finding(
            code="AR105",
            path=module.path,
            message=f"no gradient of any output reaches {listed}",
            fix="let a gradient reach it, or freeze it",
            cost=cost_of_tensors(*tensors),
        )


@rule(
    Rule(
        code="AR106",
        name="dropout-of-nothing",
        family="dead",
        summary="A dropout layer has the probability zero: it does nothing in either mode.",
        why="It is a call without an effect, and graphs and exports show it.",
        example="nn.Dropout(p=0.0)",
        fix="Leave it out where the probability is zero.",
        source="PyTorch, documentation of torch.nn.Dropout",
        support="proof",
        off="Libraries build dropout with a probability of zero as a switch; it costs no memory and no FLOPs.",
    )
)
def find_idle_dropouts(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number, layer in graph.iterate_calls():
        if layer.type.startswith(("Dropout", "AlphaDropout", "FeatureAlphaDropout")) and layer.settings.get("p") == 0:
            edit = skip_node(graph, number)
            if edit is not None and graph.call_number(number) == 0:
                yield Finding(
                    code="AR106",
                    path=layer.path,
                    message=f"{layer.type} drops nothing",
                    fix="leave it out where the probability is zero",
                    edits=(edit,) if graph.is_sole_call(number) else (),
                )


@rule(
    Rule(
        code="AR107",
        name="norm-of-one-value",
        family="dead",
        summary="A norm or a softmax runs over a single value: its result is a constant, for any input.",
        why="All that was computed before it is lost.",
        example="nn.Softmax(dim=1)  # behind nn.Linear(64, 1)",
        fix="Normalise over the dimension that was meant.",
        source="Ba, Kiros and Hinton, 2016, Layer Normalization, section 3",
    )
)
def find_constant_norms(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number, layer in graph.iterate_calls():
        call = graph.call(number)
        if call is None or not call.inputs:
            continue
        size = _count_normalized(layer, call.inputs[0])
        norm = read_norm(graph, number)
        if size != 1 or (norm is not None and norm.kind == "rms"):
            continue
        yield Finding(
            code="AR107",
            path=layer.path,
            message=f"{layer.type} normalises over one value, so its result is a constant",
            fix="normalise over the dimension that was meant",
            cost=Cost(activation_bytes=layer.total.activation_bytes),
        )


def _count_normalized(layer: ModuleRecord, shape: tuple[int, ...]) -> int | None:
    """The number of values that the layer normalises together; None for another layer, and where that is not known."""
    settings = layer.settings
    if layer.type == "LayerNorm":
        return _multiply(settings.get("normalized_shape"))
    if layer.type == "GroupNorm":
        groups = settings.get("num_groups")
        return prod(shape[1:]) // groups if isinstance(groups, int) and groups else None
    if layer.type.startswith("InstanceNorm") and not settings.get("track_running_stats"):
        return prod(shape[2:])
    if layer.type in ("Softmax", "LogSoftmax"):
        dim = settings.get("dim")
        return shape[dim] if isinstance(dim, int) and -len(shape) <= dim < len(shape) else None
    return None


def _multiply(sizes: Setting) -> int | None:
    if isinstance(sizes, int):
        return sizes
    return prod(each for each in sizes if isinstance(each, int)) if isinstance(sizes, list) else None


@rule(
    Rule(
        code="AR108",
        name="constant-activation",
        family="dead",
        summary="An activation or a limit returns one value for every input.",
        why="All that was computed before it is lost, and no gradient passes.",
        example="torch.relu(-torch.relu(x))",
        fix="Correct the sign or the limits.",
        source="Moore, Kearfott and Cloud, 2009, Introduction to Interval Analysis",
    )
)
def find_constant_activations(evidence: Evidence) -> Iterator[Finding]:
    graph, finder = evidence.graph, evidence.ranges
    for number, node in enumerate(graph.nodes):
        found, source = finder.range_of(number), graph.source(number)
        given = finder.range_of(source)
        if source is None or found.low != found.high or given.low == given.high or not evidence.is_float(number):
            continue
        yield Finding(
            code="AR108",
            path=node.path or node.owner,
            key=node.op if node.op != "call" else "",
            message=f"it returns {found.low:g} for every input: {graph.describe(source)} gives values from {given.low:g} to {given.high:g}",
            fix="correct the sign or the limits",
        )
