"""How the numbers were made: operator coverage, timing, ties, assumptions, versions, and the counting conventions in sentences."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from archaudit.render.formatting import count, join_names, make_visible, name_path
from archaudit.render.view.latency_section import NOT_MEASURED, view_latency, view_timing
from archaudit.render.view.method_records import FactRow, LedgerRow, Methods
from archaudit.render.view.other_counters import view_other_counters
from archaudit.render.view.time_spending import Part
from archaudit.schema import OpRecord, Profile

_MOST_MODULES = 4

# The conventions as docs/counting.md defines them.
_CONVENTIONS = (
    "FLOPs = 2 × MACs. MACs are the multiply-accumulates of dense contractions in one forward pass with the given inputs in eval mode: "
    "convolutions (transposed: per input position), linear/matmul/bmm/einsum, QK^T and AV of attention (no discount for causal masks or "
    "padding), RNN gate products. Bias, norms, activations, softmax, pooling, resizing, embedding and other elementwise operators are "
    "counted as zero; the bytes that they move are counted.",
    "Vision papers and fvcore call MACs FLOPs; torchinfo calls them mult-adds.",
    "A shared parameter is counted once, in the first module that holds it. Bytes use powers of 1024, all other units powers of 1000.",
    "delta = after - before; ratio = larger / smaller, from 2 on. An operator without a formula makes FLOPs incomplete (≥); a check on "
    "incomplete FLOPs is inconclusive, never passed.",
)
_NO_LATENCY = f"Latency: {NOT_MEASURED}."

# What each build mode runs with, in the words of a reader who does not know its name.
_BUILD_MODES = {
    "meta": "meta tensors (shapes only)",
    "deferred": "real constructor, then meta tensors (shapes only)",
    "fake": "fake tensors (shapes only)",
    "routed": "meta tensors, with tokens spread evenly over the experts",
    "answered": "meta tensors, one run for each value of the conditions that depend on data",
    "real": "real tensors",
}


def view_methods(sides: Sequence[tuple[str, Profile]], parts: Sequence[Part] = ()) -> Methods:
    """Everything below the tables. `sides` are the profiles with their names (empty for a single profile).

    `parts` are the parts of both models that the sentences on time are about.
    """
    other_counters, counters_note = view_other_counters(sides)
    latency, latency_note = view_latency(sides)
    return Methods(
        other_counters=other_counters,
        counters_note=counters_note,
        ledger=tuple(_view_ledger(side, profile) for side, profile in sides),
        latency=latency,
        latency_note=latency_note,
        timing=view_timing(sides, parts),
        ties=_merge_sides(_view_tie(side, tie) for side, profile in sides for tie in profile.ties),
        assumptions=_merge_sides(
            FactRow(side=side, kind="assumption", text=make_visible(text)) for side, profile in sides for text in profile.ledger.assumptions
        ),
        provenance=_merge_sides(row for side, profile in sides for row in _view_provenance(side, profile)),
        conventions=(
            *_CONVENTIONS,
            *_describe_device(sides),
            *(() if latency else (_NO_LATENCY,)),
            *_describe_command([profile for _, profile in sides]),
        ),
    )


_DEVICES = {"cpu": "the CPU", "cuda": "a CUDA device"}


def _describe_device(sides: Sequence[tuple[str, Profile]]) -> Iterator[str]:
    """The device whose operators were assumed, or the device of each side where they differ."""
    devices = {profile.device: side for side, profile in sides if profile.device is not None}
    names = [_DEVICES.get(device, device) + (f" ({side})" if len(devices) > 1 else "") for device, side in devices.items() if device]
    if names:
        yield f"Activation, peak, saved and moved bytes follow the operators that {' and '.join(names)} runs (--device cpu or cuda)."


def _describe_command(profiles: Sequence[Profile]) -> Iterator[str]:
    """The command that reproduces the measurement; nothing for a live model. References of code always contain a colon."""
    if all(":" in profile.reference for profile in profiles):
        names = " ".join(shlex.quote(make_visible(profile.name)) for profile in profiles)
        command = "profile" if len(profiles) == 1 else "compare"
        yield f"To reproduce: archaudit {command} {names} (with the input shown at the top)"


def _merge_sides(rows: Iterable[FactRow]) -> tuple[FactRow, ...]:
    """The rows, with those that are the same for both sides listed once."""
    sides: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        sides.setdefault((row.kind, row.text), []).append(row.side)
    return tuple(FactRow(side=" and ".join(dict.fromkeys(names)), kind=kind, text=text) for (kind, text), names in sides.items())


def _view_ledger(side: str, profile: Profile) -> LedgerRow:
    ledger = profile.ledger
    total = ledger.counted + ledger.zero + ledger.unknown
    line = (
        f"{count(total, 'operator call')}: {ledger.counted:,} counted, {ledger.zero:,} counted as zero, "
        f"{ledger.unknown:,} without a formula"
    )
    unknown = [operator for operator in ledger.operators if operator.status == "unknown"]
    return LedgerRow(side=side, line=line, complete=profile.flops_complete, unknown=tuple(_describe_operator(each) for each in unknown))


def _describe_operator(operator: OpRecord) -> str:
    modules = join_names([name_path(path) for path in operator.modules], _MOST_MODULES)
    return f"{make_visible(operator.name)} ({count(operator.count, 'call')} in {modules})"


def _view_tie(side: str, tie: Sequence[str]) -> FactRow:
    return FactRow(side=side, kind="tie", text=" ≡ ".join(make_visible(name) for name in tie))


def _view_provenance(side: str, profile: Profile) -> Iterator[FactRow]:
    if profile.provenance is None:
        return
    environment = profile.provenance.environment
    packages = ", ".join(f"{name} {version}" for name, version in sorted(environment.packages.items()))
    texts = {
        "versions": f"archaudit {environment.archaudit}, python {environment.python}, torch {environment.torch}, {environment.platform}",
        "packages": packages,
        "build mode": _BUILD_MODES.get(profile.provenance.rung, profile.provenance.rung),
        "failed build modes": "; ".join(profile.provenance.rungs_failed),
        "sources": ", ".join(profile.provenance.sources),
    }
    for kind, text in texts.items():
        if text:
            yield FactRow(side=side, kind=kind, text=make_visible(text))
