"""Ties: an embedding and a head that share a weight, or should; and ties that the next step of training or saving breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from archaudit.audit.evidence import Evidence, cost_of_tensors, full_name
from archaudit.audit.graph import REARRANGING, ValueGraph
from archaudit.audit.operations import read_product
from archaudit.audit.registry import rule
from archaudit.index.modules import join_name
from archaudit.schema import Finding, ModuleRecord, Rule, TensorRecord, Tie

_PRESS_WOLF = "Press and Wolf, 2017, Using the Output Embedding to Improve Language Models"
# Steps that a head's output passes on its way out of the model.
_PASSED = REARRANGING | {"to", "softmax", "log_softmax", "mul", "div", "tanh"}


class _Pair(NamedTuple):
    """An embedding of the model's inputs, and a linear layer of the same shape whose output the model returns."""

    embedding: ModuleRecord
    head: ModuleRecord
    weight: TensorRecord

    @property
    def names(self) -> tuple[str, str]:
        """The full names of both weights."""
        return join_name(self.embedding.path, "weight"), full_name(self.head.path, self.weight)


def _list_pairs(evidence: Evidence) -> Iterator[_Pair]:
    graph = evidence.graph
    embeddings = []
    for number, node in enumerate(graph.nodes):
        module = graph.module(number)
        reads_input = any(source.input is not None for source in node.operands) or _comes_from_input(graph, number)
        if node.op == "call" and module is not None and module.type == "Embedding" and reads_input:
            embeddings.append(module)
    for number in range(len(graph.nodes)):
        product = read_product(graph, number)
        if product is None or product.layer.kernel or not _is_returned(graph, number):
            continue
        weight = next((tensor for tensor in product.module.tensors if tensor.name == "weight"), None)
        if weight is None:
            continue
        for embedding in embeddings:
            same = [tensor for tensor in embedding.tensors if tensor.name == "weight" and tensor.shape == weight.shape]
            if same and embedding.path != product.module.path:
                yield _Pair(embedding, product.module, weight)


def _comes_from_input(graph: ValueGraph, number: int) -> bool:
    """Whether the ids are an input of the model, at most reshaped."""
    source = graph.source(number)
    while source is not None and graph.nodes[source].op in _PASSED:
        if any(each.input is not None for each in graph.nodes[source].operands):
            return True
        source = graph.source(source)
    return False


def _is_returned(graph: ValueGraph, number: int) -> bool:
    """Whether the value, at most reshaped or normalised, is an output of the model."""
    pending, seen = [number], {number}
    while pending:
        current = pending.pop()
        if current in graph.returned:
            return True
        for reader in graph.readers.get(current, ()):
            if reader.node not in seen and graph.nodes[reader.node].op in _PASSED and reader.operand == 0:
                seen.add(reader.node)
                pending.append(reader.node)
    return False


def _is_tied(evidence: Evidence, pair: _Pair) -> bool:
    return any(set(pair.names) <= set(group) for group in evidence.profile.ties)


def _report(code: str, pair: _Pair, message: str, fix: str, *, ties: bool) -> Finding:
    embedding, head = pair.names
    return Finding(
        code=code,
        path=pair.head.path,
        key=pair.embedding.path,
        message=message,
        fix=fix,
        cost=cost_of_tensors(pair.weight),
        edits=(Tie(tensor=head, to=embedding),) if ties else (),
    )


@rule(
    Rule(
        code="AR301",
        name="untied-against-configuration",
        family="ties",
        summary="The configuration says that the embedding and the head share their weight, and they do not.",
        why="The head has parameters of its own, and a checkpoint with a single weight leaves one of the two random.",
        example="config.tie_word_embeddings = True  # and lm_head.weight is a parameter of its own",
        fix="Tie the weights after every change of the model: model.tie_weights().",
        source=_PRESS_WOLF,
    )
)
def find_untied_against_configuration(evidence: Evidence) -> Iterator[Finding]:
    if evidence.inspection.facts.get("tie_word_embeddings") is not True:
        return
    for pair in _list_pairs(evidence):
        if not _is_tied(evidence, pair):
            message = f"the configuration ties its weight to {pair.names[0]}, but it is a parameter of its own"
            yield _report("AR301", pair, message, "tie the two weights", ties=True)


@rule(
    Rule(
        code="AR302",
        name="tied-against-configuration",
        family="ties",
        summary="The configuration says that the embedding and the head have weights of their own, and they share one.",
        why="Each changes the other in training, and a checkpoint with both weights loads only one of them.",
        example="config.tie_word_embeddings = False  # and lm_head.weight is embed.weight",
        fix="Give the head a weight of its own, or correct the configuration.",
        source=_PRESS_WOLF,
    )
)
def find_tied_against_configuration(evidence: Evidence) -> Iterator[Finding]:
    if evidence.inspection.facts.get("tie_word_embeddings") is not False:
        return
    for pair in _list_pairs(evidence):
        if _is_tied(evidence, pair):
            message = f"it shares its weight with {pair.embedding.path}, and the configuration says that it does not"
            yield _report("AR302", pair, message, "give it a weight of its own, or correct the configuration", ties=False)


@rule(
    Rule(
        code="AR303",
        name="untied-head",
        family="ties",
        summary="An embedding and the head have weights of the same shape, no configuration says that they differ, and they are not tied.",
        why="Tying saves the weight of the head; in small language models it is a large part of all parameters.",
        example="self.embed, self.head = nn.Embedding(50257, 768), nn.Linear(768, 50257, bias=False)",
        fix="Tie them: self.head.weight = self.embed.weight.",
        source=_PRESS_WOLF,
    )
)
def find_untied_heads(evidence: Evidence) -> Iterator[Finding]:
    if "tie_word_embeddings" in evidence.inspection.facts:
        return
    copied = {finding.path for finding in find_copied_ties(evidence)}
    for pair in _list_pairs(evidence):
        if not _is_tied(evidence, pair) and pair.head.path not in copied and not _shares_memory(evidence, pair):
            message = f"its weight has the shape of {pair.names[0]}, and is not tied to it"
            yield _report("AR303", pair, message, "tie the two weights", ties=True)


def _shares_memory(evidence: Evidence, pair: _Pair) -> bool:
    return any(set(pair.names) <= set(group) for group in evidence.inspection.shared_memory)


@rule(
    Rule(
        code="AR304",
        name="tie-by-memory",
        family="ties",
        summary="Two parameters share memory, but are not one parameter.",
        why="The tie ends at the next model.to(device), copy or load; until then an optimiser steps the weight twice.",
        example="self.head.weight = nn.Parameter(self.embed.weight.data)",
        fix="Assign the parameter itself: self.head.weight = self.embed.weight.",
        source="PyTorch, documentation of torch.nn.Parameter and of Module.to",
    )
)
def find_ties_by_memory(evidence: Evidence) -> Iterator[Finding]:
    for group in evidence.inspection.shared_memory:
        first, *others = group
        for name in others:
            path, _, tensor = name.rpartition(".")
            record = evidence.index.tensors.get(name)
            yield Finding(
                code="AR304",
                path=path,
                key=tensor,
                message=f"{tensor} shares the memory of {first}, but is another parameter",
                fix=f"assign the parameter {first} itself",
                cost=cost_of_tensors(record.tensor) if record is not None else cost_of_tensors(),
                edits=(Tie(tensor=name, to=first),),
            )


@rule(
    Rule(
        code="AR305",
        name="tie-by-copy",
        family="ties",
        summary="The head's weight is made as a copy of the embedding's weight, and is not tied to it.",
        why="The two weights are equal at the start and drift apart with the first step of training.",
        example="self.head.weight = nn.Parameter(self.embed.weight.clone())",
        fix="Assign the parameter itself: self.head.weight = self.embed.weight.",
        source=_PRESS_WOLF,
    )
)
def find_copied_ties(evidence: Evidence) -> Iterator[Finding]:
    for pair in _list_pairs(evidence):
        if not _is_tied(evidence, pair) and {pair.names, pair.names[::-1]} & set(evidence.inspection.copies):
            message = f"its weight is made as a copy of {pair.names[0]}, and is a parameter of its own"
            yield _report("AR305", pair, message, "assign the parameter itself", ties=True)


@rule(
    Rule(
        code="AR306",
        name="tie-lost-in-checkpoint",
        family="ties",
        summary="A model of transformers ties two weights that its `_tied_weights_keys` does not name.",
        why="save_pretrained writes safetensors, which refuse or drop memory that is shared without a name in that list.",
        example="self.lm_head.weight = self.embed.weight  # and _tied_weights_keys = None",
        fix="Add the name to _tied_weights_keys.",
        source="Hugging Face, documentation of PreTrainedModel.save_pretrained, and of torch shared tensors in safetensors",
    )
)
def find_ties_lost_in_checkpoints(evidence: Evidence) -> Iterator[Finding]:
    facts = evidence.inspection.facts
    if "tied_weights_keys" not in facts:
        return
    listed = facts["tied_weights_keys"]
    keys = [str(each) for each in listed] if isinstance(listed, list) else []
    for group in evidence.profile.ties:
        named = [name for name in group if any(_names(key, name) for key in keys)]
        aliases = {name for module in evidence.index for alias in module.aliases for name in (alias,)}
        if len(named) >= len(group) - 1 or any(name.rpartition(".")[0] in aliases for name in group):
            continue
        name = next(each for each in reversed(group) if each not in named)
        yield Finding(
            code="AR306",
            path=name.rpartition(".")[0],
            key=name.rpartition(".")[2],
            message=f"it is tied to {group[0]}, and _tied_weights_keys names neither",
            fix=f"add {name} to _tied_weights_keys",
        )


def _names(key: str, name: str) -> bool:
    """Whether an entry of the list, a name or a pattern, is about a tensor."""
    try:
        return key == name or re.search(key, name) is not None
    except re.error:
        return False
