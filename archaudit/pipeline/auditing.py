"""The audit of a model: measured and inspected in a worker, judged by the rules, and its fixes proven on the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from archaudit.audit import Evidence, list_rules, run_audit, select_rules, sort_findings
from archaudit.errors import ArchauditError
from archaudit.index import ModuleIndex, index_modules
from archaudit.pipeline.measuring import make_load_request, open_targets, open_workers, report_warnings
from archaudit.pipeline.options import Options
from archaudit.pipeline.proving import PARAM_BYTES_LIMIT
from archaudit.pipeline.targets import Target, resolve_one
from archaudit.pipeline.timing import receive_reply
from archaudit.schema import Audit, Cost, DropTensor, Finding, Profile, SkipOperator, sum_costs
from archaudit.worker import FixesProven, Loaded, Measure, Measured, ProveFixes, Worker

# Six passes in double precision: about a minute on two cores.
FLOPS_LIMIT = 60 * 10**9


def audit(reference: str, options: Options, codes: Iterable[str] | None = None, *, proof: bool = True) -> Audit:
    """The audit of one reference by the rules with these codes, or by those that the config selects."""
    return audit_target(resolve_one(reference, options), options, codes, proof=proof)


def audit_target(target: Target, options: Options, codes: Iterable[str] | None = None, *, proof: bool = True) -> Audit:
    """The same for a target. Of a saved profile, only what it holds is judged."""
    config = options.config.audit if options.config is not None else None
    if codes is None:
        codes = select_rules(config.select, config.ignore) if config is not None else select_rules()
    suppressed = config.suppress if config is not None else {}
    if target.saved is not None:
        return run_audit(Evidence(target.saved), codes, suppressed)
    live = msgspec.structs.replace(options, cached=False)
    with open_targets([target], live) as (opened,), open_workers([opened], live) as (worker,):
        measured = _inspect(opened, worker, live)
        found = run_audit(Evidence(measured.profile, measured.inspection), codes, suppressed)
        return _prove(found, measured.profile, worker, live) if proof else found


def audit_live(model: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Audit:
    """The audit of a live model, which stays unchanged, by the rules that are on by default; without proofs.

    `args` may be texts that describe inputs, as `--input` takes them.
    """
    from archaudit.load.inputs import parse_inputs
    from archaudit.measure.recipe import inspect_live

    texts = (args,) if isinstance(args, str) else tuple(args) if isinstance(args, list | tuple) else ()
    if texts and all(isinstance(text, str) for text in texts):
        profile, inspection = inspect_live(model, kwargs=kwargs, inputs=parse_inputs(texts))
    else:
        profile, inspection = inspect_live(model, args, kwargs)
    return run_audit(Evidence(profile, inspection), select_rules())


def _prove(found: Audit, profile: Profile, worker: Worker, options: Options) -> Audit:
    """The audit with a proof for each fix, and with what the fixes save, measured on the fixed model.

    Fixes of advice are neither proven nor applied.
    """
    fixable = [each for each in found.findings if each.edits and list_rules()[each.code].rule.support == "proof"]
    if not fixable:
        return found
    worker.send(ProveFixes(tuple(each.edits for each in fixable), _find_obstacle(profile)))
    try:
        reply = receive_reply(worker, FixesProven)
    except ArchauditError as error:  # the findings hold without a proof
        options.on_warning(f"{found.name}: the fixes were not proven: {error.message}")
        return found
    proven = dict(zip((each.identity for each in fixable), reply.proofs, strict=True))
    attached = [msgspec.structs.replace(each, proof=proven.get(each.identity)) for each in found.findings]
    if reply.total is None:
        return msgspec.structs.replace(found, findings=tuple(attached))
    costs = measure_savings(
        [each for each in attached if each.proof is not None and each.proof.outcome != "refuted"], profile, reply.totals
    )
    measured = [
        msgspec.structs.replace(each, cost=costs[each.identity], measured=True) if each.identity in costs else each for each in attached
    ]
    return msgspec.structs.replace(found, findings=tuple(sort_findings(measured)), saving=profile.totals - reply.total)


def measure_savings(findings: Sequence[Finding], profile: Profile, fixed: Mapping[str, Cost]) -> dict[tuple[str, str, str], Cost]:
    """What each fix saves: the cost of the modules that it edits, less their cost in the fixed model.

    A module that several fixes edit as a whole counts for the first one. What a module saves by operators that are skipped is divided
    equally between those fixes.
    """
    index = index_modules(profile)
    counted: set[str] = set()
    skipped = Counter(edit.path for each in findings for edit in each.edits if isinstance(edit, SkipOperator))
    saved: dict[tuple[str, str, str], Cost] = {}
    for finding in findings:
        parts = [Cost()]
        for edit in finding.edits:
            if isinstance(edit, SkipOperator | DropTensor):
                own = index[edit.path].own - _find_own(edit.path, index, fixed)
                parts.append(finding.cost if isinstance(edit, DropTensor) else _divide_bytes(own, skipped[edit.path]))
                continue
            paths = [path for path in edit.paths if path in index and path not in counted]
            counted.update(paths)
            parts += [index[path].total - fixed.get(path, Cost()) for path in paths]
        saved[finding.identity] = sum_costs(parts)
    return saved


def _divide_bytes(cost: Cost, parts: int) -> Cost:
    """An equal part of the bytes of activations and of those moved."""
    return Cost(activation_bytes=cost.activation_bytes // parts, moved_bytes=cost.moved_bytes // parts)


def _find_own(path: str, index: ModuleIndex, fixed: Mapping[str, Cost]) -> Cost:
    """What a module of the fixed model does itself: its total less those of its children."""
    return fixed.get(path, Cost()) - sum_costs(fixed.get(child, Cost()) for child in index.children[path])


def _find_obstacle(profile: Profile) -> str:
    """Why the model is not run with values; empty if it is."""
    if profile.totals.param_bytes > PARAM_BYTES_LIMIT:
        return f"the model is too large to run twice: it has {profile.totals.param_bytes:,} bytes of parameters"
    if profile.totals.flops > FLOPS_LIMIT:
        return f"a pass has {profile.totals.flops:,} FLOPs, which takes too long: choose a smaller input"
    return ""


def _inspect(target: Target, worker: Worker, options: Options) -> Measured:
    worker.send(make_load_request(target, options))
    options.while_workers_start()
    receive_reply(worker, Loaded)
    worker.send(Measure(other_counters=False, symbolic=False, inspected=True))
    measured = receive_reply(worker, Measured)
    report_warnings([target], [measured], options)
    return measured
