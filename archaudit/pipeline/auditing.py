"""The audit of a model: measured and inspected in a worker, judged by the rules, and its fixes proven on the model."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from archaudit.audit import Evidence, run_audit, select_rules
from archaudit.pipeline.measuring import make_load_request, open_targets, open_workers, report_warnings
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target, resolve_one
from archaudit.pipeline.timing import receive_reply
from archaudit.schema import Audit
from archaudit.worker import Loaded, Measure, Measured, Worker


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
        return run_audit(Evidence(measured.profile, measured.inspection), codes, suppressed)


def _inspect(target: Target, worker: Worker, options: Options) -> Measured:
    worker.send(make_load_request(target, options))
    options.while_workers_start()
    receive_reply(worker, Loaded)
    worker.send(Measure(other_counters=False, symbolic=False, inspected=True))
    measured = receive_reply(worker, Measured)
    report_warnings([target], [measured], options)
    return measured
