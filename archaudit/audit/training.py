"""Training: what makes a step of training unstable, or different from inference."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from archaudit.audit.evidence import Evidence
from archaudit.audit.operations import read_norm, read_product
from archaudit.audit.registry import rule
from archaudit.schema import Finding, Rule


@rule(
    Rule(
        code="AR501",
        name="dropout-before-batch-norm",
        family="training",
        summary="A batch norm reads the output of a dropout layer, directly or through one linear layer or convolution.",
        why="Dropout changes the variance in training only, so the running variance of the norm is wrong at inference.",
        example="nn.Dropout(0.5), nn.Linear(64, 64), nn.BatchNorm1d(64)",
        fix="Put dropout behind the last batch norm.",
        source="Li, Chen, Hu and Yang, 2019, Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift",
    )
)
def find_dropout_before_norms(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number, layer in graph.iterate_calls():
        rate = layer.settings.get("p")
        if not layer.type.startswith("Dropout") or not isinstance(rate, int | float) or rate <= 0:
            continue
        reader = graph.sole_reader(number)
        if reader is not None and read_product(graph, reader) is not None:
            reader = graph.sole_reader(reader)
        norm = read_norm(graph, reader) if reader is not None else None
        if norm is not None and norm.kind == "batch" and reader is not None:
            yield Finding(
                code="AR501",
                path=layer.path,
                message=f"the batch norm at {graph.describe(reader)} learns the variance that dropout makes in training",
                fix="put it behind the batch norm",
            )


@rule(
    Rule(
        code="AR502",
        name="batch-norm-of-one-position",
        family="training",
        summary="A batch norm reads one position of each channel, so that its statistics come from the batch alone.",
        why="A batch of one raises an error in training, and a small batch gives statistics that are mostly noise.",
        example="nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64)",
        fix="Use a norm that does not need the batch there (layer norm, group norm), or none.",
        source="Wu and He, 2018, Group Normalization, section 1 (the error of batch norm at small batches)",
        note="Squeeze-and-excitation and pyramid pooling have such norms in published models, which are trained with large batches.",
    )
)
def find_norms_of_one_position(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number in range(len(graph.nodes)):
        layer, call = graph.layer(number), graph.call(number)
        norm = read_norm(graph, number) if layer is not None else None
        if norm is None or norm.kind != "batch" or call is None or not call.inputs or len(call.inputs[0]) < 3:
            continue
        if layer is not None and prod(call.inputs[0][2:]) == 1:
            yield Finding(
                code="AR502",
                path=layer.path,
                message="it normalises one position of each channel: its statistics come from the batch alone",
                fix="use a layer norm or group norm there, or none",
            )
