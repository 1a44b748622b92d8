"""Numerics: operators whose result is inexact, or is not what their place says."""

from __future__ import annotations

from collections.abc import Iterator

from archaudit.audit.evidence import Evidence
from archaudit.audit.operations import read_norm
from archaudit.audit.registry import rule
from archaudit.audit.repeated import skip_node
from archaudit.schema import Finding, Rule

# The smallest positive number of float16; what is at most half of it rounds to zero.
_SMALLEST_FLOAT16 = 2.0**-24


@rule(
    Rule(
        code="AR601",
        name="log-of-softmax",
        family="numerics",
        summary="A logarithm reads the result of a softmax, and nothing else does.",
        why="A probability that underflows to zero has the logarithm minus infinity, and the gradient becomes NaN.",
        example="torch.log(torch.softmax(x, dim=-1))",
        fix="Use log_softmax, which is one operator and exact.",
        source="PyTorch, documentation of torch.nn.functional.log_softmax",
    )
)
def find_logs_of_softmax(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number, node in enumerate(graph.nodes):
        source = graph.source(number) if node.op == "log" else None
        if source is None or evidence.ranges.read_operation(source)[0] != "softmax" or graph.sole_reader(source) != number:
            continue
        yield Finding(
            code="AR601",
            path=node.owner,
            key=f"log {graph.runs[number]}",
            message=f"log reads the softmax of {graph.describe(source)}: small probabilities become minus infinity",
            fix="use log_softmax",
        )


@rule(
    Rule(
        code="AR602",
        name="eps-rounds-to-zero",
        family="numerics",
        summary="The eps of a norm rounds to zero in float16, the dtype of the norm's parameters.",
        why="A constant input divides by zero: the output is NaN or infinite.",
        example="nn.LayerNorm(256, eps=1e-12).half()",
        fix="Use an eps of at least 1e-7, or keep the norm in float32.",
        source="IEEE 754-2019, binary16; Micikevicius et al., 2018, Mixed Precision Training",
    )
)
def find_vanishing_eps(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number in range(len(graph.nodes)):
        norm = read_norm(graph, number)
        if norm is None or norm.module is None or not any(tensor.dtype == "float16" for tensor in norm.module.tensors):
            continue
        if 0 <= norm.eps <= _SMALLEST_FLOAT16 / 2:
            yield Finding(
                code="AR602",
                path=norm.module.path,
                message=f"eps = {norm.eps:g} is zero in float16",
                fix="use an eps of at least 1e-7",
            )


@rule(
    Rule(
        code="AR603",
        name="softmax-over-batch",
        family="numerics",
        summary="A softmax layer runs over the first dimension of a batch, or its dimension is not given.",
        why="The examples of a batch share one probability: the result for one depends on the others.",
        example="nn.Softmax(dim=0)  # behind nn.Linear(64, 10)",
        fix="Give the dimension of the classes: nn.Softmax(dim=-1).",
        source="PyTorch, documentation of torch.nn.Softmax",
    )
)
def find_softmax_over_batches(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number, layer in graph.iterate_calls():
        call = graph.call(number)
        if layer.type not in ("Softmax", "LogSoftmax") or call is None or not call.inputs or len(call.inputs[0]) < 2:
            continue
        dim, source = layer.settings.get("dim"), graph.source(number)
        module = graph.layer(source) if source is not None else None
        if dim is None or (dim in (0, -len(call.inputs[0])) and module is not None and module.type == "Linear"):
            yield Finding(
                code="AR603",
                path=layer.path,
                message=f"{layer.type} runs over {'a dimension that torch guesses' if dim is None else 'the batch'}",
                fix="give the dimension of the classes",
            )


@rule(
    Rule(
        code="AR604",
        name="nonlinearity-before-softmax",
        family="numerics",
        summary="An activation that is never negative limits the logits that a softmax reads.",
        why="No class can get a logit below zero, so that no probability can become small, and half of the gradients are zero.",
        example="nn.Linear(64, 10), nn.ReLU(), nn.Softmax(dim=-1)",
        fix="Give the softmax the output of the linear layer.",
        source="Goodfellow, Bengio and Courville, 2016, Deep Learning, section 6.2.2.3 (softmax units for multinoulli outputs)",
    )
)
def find_limited_logits(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number, node in enumerate(graph.nodes):
        source = graph.source(number)
        if source is None or evidence.ranges.read_operation(number)[0] not in ("softmax", "log_softmax"):
            continue
        name = evidence.ranges.read_operation(source)[0]
        if name in ("relu", "hardtanh") and evidence.ranges.range_of(source).low >= 0 and skip_node(graph, source) is not None:
            yield Finding(
                code="AR604",
                path=graph.nodes[source].path or graph.nodes[source].owner,
                key=f"softmax {node.path or node.owner}",
                message=f"its values are never negative, and the softmax of {graph.describe(number)} reads them",
                fix="give the softmax the values in front of the activation",
            )
