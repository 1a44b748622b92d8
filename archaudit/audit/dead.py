"""Dead: parameters, modules, buffers and compute that no output of the model needs."""

from __future__ import annotations

from collections.abc import Iterator

from archaudit.audit.evidence import Evidence, cost_of_tensors, full_name
from archaudit.audit.registry import rule
from archaudit.index.modules import is_below
from archaudit.schema import Cost, DropTensor, Finding, Remove, Rule, Stub, sum_costs

_PARAMETERS_SOURCE = "PyTorch, DistributedDataParallel, `find_unused_parameters`; Chen et al., 2018, TVM (dead code elimination)"


@rule(
    Rule(
        code="AR101",
        name="parameter-never-read",
        family="dead",
        summary="A module runs, but no operator reads one of its parameters, in eval mode or in training mode.",
        why="The parameter takes memory and a place in every checkpoint, and DistributedDataParallel stops at it.",
        example="self.scale = nn.Parameter(torch.ones(64))  # forward never uses self.scale",
        fix="Remove the parameter, or use it in forward.",
        source=_PARAMETERS_SOURCE,
        support="proof",
    )
)
def find_unread_parameters(evidence: Evidence) -> Iterator[Finding]:
    evidence.require_run()
    uncalled = [finding.path for finding in find_uncalled_modules(evidence)]
    for module in evidence.index:
        if any(is_below(module.path, path) for path in uncalled):
            continue
        for tensor in module.tensors:
            if tensor.kind != "parameter" or tensor.tied_to is not None or evidence.is_read(full_name(module.path, tensor)):
                continue
            yield Finding(
                code="AR101",
                path=module.path,
                key=tensor.name,
                message=f"no operator reads the parameter {tensor.name}",
                fix=f"remove {tensor.name}",
                cost=cost_of_tensors(tensor),
                edits=(DropTensor(path=module.path, tensor=tensor.name),),
            )


@rule(
    Rule(
        code="AR102",
        name="module-never-called",
        family="dead",
        summary="A module with parameters is never called, in eval mode or in training mode, and nothing reads its parameters.",
        why="Its parameters take memory and a place in every checkpoint, and they are never trained.",
        example="self.norm2 = nn.LayerNorm(256)  # forward never calls self.norm2",
        fix="Remove the module, or call it.",
        source=_PARAMETERS_SOURCE,
        support="proof",
        note="What is never called depends on the input: a decoder without an encoder does not call its cross-attention, and a model of "
        "images and text does not call what is for the input that is not given.",
    )
)
def find_uncalled_modules(evidence: Evidence) -> Iterator[Finding]:
    evidence.require_run()
    topmost: list[str] = []
    for module in evidence.index:
        if not module.path or any(is_below(module.path, path) for path in topmost):
            continue
        subtree = evidence.index.list_subtree(module.path)
        names = [full_name(each.path, tensor) for each in subtree for tensor in each.tensors]
        if any(evidence.is_called(each.path) for each in subtree) or any(map(evidence.is_read, names)):
            continue
        cost = sum_costs(cost_of_tensors(*each.tensors) for each in subtree)
        if not cost.params:
            continue
        topmost.append(module.path)
        yield Finding(
            code="AR102",
            path=module.path,
            message=f"{module.type} is never called with this input, and nothing reads its parameters",
            fix="remove the module",
            cost=cost,
            edits=(Remove(path=module.path),),
        )


@rule(
    Rule(
        code="AR103",
        name="dead-compute",
        family="dead",
        summary="The result of a module's operators reaches no output of the model.",
        why="Every forward pass computes it for nothing.",
        example="attended = self.attention(x)  # x, not attended, goes on",
        fix="Remove the call, or use its result.",
        source="Aho, Lam, Sethi and Ullman, Compilers, 2nd edition, 9.1.6 (dead-code elimination)",
        support="proof",
        note="Linear attention and other recurrent layers compute the state after the last step, which only a cache reads.",
    )
)
def find_dead_compute(evidence: Evidence) -> Iterator[Finding]:
    dead = evidence.dead_flops
    topmost: list[str] = []
    for module in evidence.index:  # parents come first: a module all of whose compute is dead, with all that is in it
        if any(is_below(module.path, path) for path in topmost):
            continue
        inside = sum(flops for path, flops in dead.items() if is_below(path, module.path))
        if not inside:
            continue
        whole = bool(module.path) and inside == module.total.flops
        own = dead.get(module.path, 0)
        children = evidence.index.children[module.path]
        if (not whole and not own) or (whole and any(evidence.index[child].total.flops == inside for child in children)):
            continue  # nothing, or one module inside computes all of it
        if whole:
            topmost.append(module.path)
        cost = Cost(flops=inside, macs=inside // 2) if whole else Cost(flops=own, macs=own // 2)
        yield Finding(
            code="AR103",
            path=module.path,
            message=f"what {module.type} computes reaches no output" if whole else "a part of what it computes itself reaches no output",
            fix="remove the call, or use its result",
            cost=cost,
            edits=(Stub(path=module.path),) if whole else (),
        )
