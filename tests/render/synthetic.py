"""A fixed Report about a small segmentation model, of the kind that people write notes about, and variants of it.

Figures are made up but add up: totals are the sums of own costs, and the rows' own deltas sum to the report's delta.
"""

from __future__ import annotations

from typing import Any

import msgspec

from archaudit.diff.flow import diff_flow
from archaudit.schema import (
    Call,
    Contributor,
    Cost,
    CounterResult,
    CounterRow,
    DeviceState,
    Environment,
    FlowNode,
    Group,
    InputRecord,
    Latency,
    Ledger,
    Machine,
    MeasuredCeilings,
    ModuleDiff,
    ModuleRecord,
    OpRecord,
    Outcome,
    Peaks,
    Profile,
    Provenance,
    Report,
    Shape,
    TensorRecord,
    TimingSettings,
    Verdict,
    sum_costs,
)

NOTHING = Cost()


def make_cost(params: int = 0, macs: int = 0, activations: int = 0) -> Cost:
    return Cost(
        params=params,
        trainable_params=params,
        param_bytes=4 * params,
        flops=2 * macs,
        macs=macs,
        activation_bytes=activations,
        moved_bytes=2 * activations,
    )


def make_module(
    path: str, kind: str, cost: Cost = NOTHING, shape: Shape | None = (1, 8, 16, 16), *, bias: bool = False, **settings: Any
) -> ModuleRecord:
    """A module with its own cost only; `make_profile` adds the totals."""
    size = cost.params - 8 * bias
    tensors = [TensorRecord(name="weight", kind="parameter", persistent=True, shape=(size,), dtype="float32", trainable=True)]
    if bias:
        tensors.append(TensorRecord(name="bias", kind="parameter", persistent=True, shape=(8,), dtype="float32", trainable=True))
    return ModuleRecord(
        path=path,
        type=kind,
        settings=settings,
        own=cost,
        total=cost,
        tensors=tuple(tensors) if cost.params else (),
        calls=(Call(order=0, inputs=((1, 3, 16, 16),), outputs=(shape,)),) if shape else (),
    )


def make_flow(*steps: tuple[str, str, tuple[int, ...]]) -> tuple[FlowNode, ...]:
    """Nodes in order: the operator, the module, and the places of the nodes that it reads."""
    return tuple(FlowNode(id=place, op=op, module=module, inputs=inputs) for place, (op, module, inputs) in enumerate(steps))


def make_profile(name: str, modules: list[ModuleRecord], **fields: Any) -> Profile:
    def is_below(path: str, above: str) -> bool:
        return path == above or not above or path.startswith(f"{above}.")

    complete = [
        msgspec.structs.replace(
            module,
            total=sum_costs(each.own for each in modules if is_below(each.path, module.path)),
            flops_complete=all(each.flops_complete for each in modules if is_below(each.path, module.path)),
            calls=tuple(msgspec.structs.replace(call, order=place) for call in module.calls),
        )
        for place, module in enumerate(modules)
    ]
    defaults: dict[str, Any] = {
        "reference": f"models.py:{name.title()}",
        "inputs": (InputRecord(name="0", dtype="float32", shape=(1, 3, 512, 512)),),
        "peaks": Peaks(activation_bytes=9_437_184, saved_bytes=12_582_912),
        "ledger": Ledger(counted=62, zero=166),
        "flops_complete": all(module.flops_complete for module in modules),
    }
    return Profile(name=name, totals=sum_costs(module.own for module in modules), modules=tuple(complete), **(defaults | fields))


def make_rows(before: Profile, after: Profile) -> tuple[ModuleDiff, ...]:
    """Modules matched by path; removed ones stay in place, added ones come last."""
    old = {module.path: module for module in before.modules}
    new = {module.path: module for module in after.modules}
    rows = []
    for path in [*old, *(path for path in new if path not in old)]:
        one, other = old.get(path), new.get(path)
        settings = {
            key: (one.settings[key], other.settings[key])
            for key in (one.settings if one and other else {})
            if one and other and one.settings[key] != other.settings[key]
        }
        kinds = ["added"] if one is None else ["removed"] if other is None else ["settings", "resized"] if settings else ["same"]
        rows.append(
            ModuleDiff(
                before_path=path if one else None,
                after_path=path if other else None,
                changes=tuple(kinds),
                reason="same path" if one and other else "",
                settings_changed=settings,
                own_delta=(other.own if other else NOTHING) - (one.own if one else NOTHING),
                total_delta=(other.total if other else NOTHING) - (one.total if one else NOTHING),
            )
        )
    return tuple(rows)


def make_report(before: Profile, after: Profile, **fields: Any) -> Report:
    outcome: Outcome = fields.pop("outcome", "passed")
    rows = fields.pop("modules", None) or make_rows(before, after)
    flow = diff_flow(before, after, rows) if before.flow and after.flow else None
    return Report(
        before=before,
        after=after,
        delta=after.totals - before.totals,
        flops_complete=before.flops_complete and after.flops_complete,
        modules=rows,
        outcome=outcome,
        **({"flow": flow} | fields),
    )


# --- the example ------------------------------------------------------------------------------------------------------


def _backbone() -> list[ModuleRecord]:
    blocks = [make_module("backbone", "Sequential")]
    for block in range(12):
        blocks.append(make_module(f"backbone.{block}", "Sequential"))
        blocks.append(
            make_module(f"backbone.{block}.0", "Conv2d", make_cost(70_000, 45_000_000, 65_536), out_channels=16, kernel_size=[3, 3])
        )
        blocks.append(make_module(f"backbone.{block}.1", "BatchNorm2d", make_cost(7_250, 0, 65_536), num_features=16))
    return blocks


def _head(width: int, branches: int) -> list[ModuleRecord]:
    shape = (1, width, 32, 32)
    modules = [make_module("aspp", "ASPP", make_cost(0, 0, 4_096 * width), shape), make_module("aspp.branches", "ModuleList", shape=None)]
    for branch in range(branches):
        cost = make_cost(576 * width, 590_000 * width, 4_096 * width)
        modules.append(make_module(f"aspp.branches.{branch}", "Conv2d", cost, shape, out_channels=width, kernel_size=[1, 1]))
    modules.append(make_module("aspp.dropout", "Dropout", NOTHING, shape, p=0.3 if width == 256 else 0.1))
    return modules


def _flow(decoder: str, layers: tuple[str, ...], branches: int) -> tuple[FlowNode, ...]:
    """Backbone, branches side by side, upsampling, a skip connection from the backbone, decoder, classifier, upsampling."""
    steps: list[tuple[str, str, tuple[int, ...]]] = [("input", "", ()), ("call", "backbone.0.0", (0,)), ("call", "backbone.11.1", (1,))]
    steps += [("call", f"aspp.branches.{branch}", (2,)) for branch in range(branches)]
    steps.append(("cat", "aspp", tuple(range(3, 3 + branches))))
    steps.append(("upsample_bilinear2d", "", (len(steps) - 1,)))
    steps.append(("cat", "", (1, len(steps) - 1)))
    for layer in layers:
        steps.append(("call", f"{decoder}.{layer}", (len(steps) - 1,)))
    steps.append(("call", "classifier", (len(steps) - 1,)))
    steps.append(("upsample_bilinear2d", "", (len(steps) - 1,)))
    return make_flow(*steps)


def make_segmentation_profiles() -> tuple[Profile, Profile]:
    before = [
        make_module("", "Segmenter", NOTHING, (1, 21, 512, 512)),
        *_backbone(),
        *_head(256, 4),
        make_module("decoder", "Sequential", NOTHING, (1, 256, 128, 128)),
        make_module("decoder.0", "Conv2d", make_cost(700_416, 11_475_615_744, 16_777_216), (1, 256, 128, 128), out_channels=256),
        make_module("decoder.1", "BatchNorm2d", make_cost(512, 0, 16_777_216), (1, 256, 128, 128)),
        make_module("classifier", "Conv2d", make_cost(5_397, 88_080_384, 1_376_256), (1, 21, 128, 128), bias=True, in_channels=256),
    ]
    after = [
        make_module("", "Segmenter", NOTHING, (1, 21, 512, 512)),
        *_backbone(),
        *_head(128, 3),
        make_module("decoder_stage1", "DepthwiseSeparableConv", NOTHING, (1, 128, 64, 64)),
        make_module("decoder_stage1.depthwise", "Conv2d", make_cost(1_440, 5_898_240, 2_621_440), (1, 160, 64, 64)),
        make_module("decoder_stage1.pointwise", "Conv2d", make_cost(20_480, 83_886_080, 2_097_152), (1, 128, 64, 64)),
        make_module("decoder_stage1.bn", "BatchNorm2d", make_cost(256, 0, 2_097_152), (1, 128, 64, 64)),
        make_module("classifier", "Conv2d", make_cost(2_709, 44_040_192, 1_376_256), (1, 21, 128, 128), bias=True, in_channels=128),
    ]
    return (
        _add_other_counters(make_profile("before", before, flow=_flow("decoder", ("0", "1"), 4))),
        _add_other_counters(
            make_profile(
                "after",
                after,
                ties=(("head.weight", "embedding.weight"),),
                flow=_flow("decoder_stage1", ("depthwise", "pointwise", "bn"), 3),
            )
        ),
    )


def _add_other_counters(profile: Profile) -> Profile:
    """torchinfo counts norms and bias, fvcore norms and resampling; both as the real ones do."""
    norms = [module for module in profile.modules if module.type == "BatchNorm2d"]
    extra = {module.path: module.own.params for module in norms}
    bias = 21 * 128 * 128
    rows = {
        module.path: CounterRow(
            params=module.total.params,
            macs=module.total.macs
            + sum(count for path, count in extra.items() if not module.path or path == module.path or path.startswith(f"{module.path}."))
            + (bias if module.path in ("", "classifier") else 0),
        )
        for module in profile.modules
    }
    torchinfo = CounterResult(totals=rows[""], modules=rows, macs_by_operator={"Conv2d": profile.totals.macs + bias})
    fvcore = CounterResult(
        totals=CounterRow(params=profile.totals.params, macs=profile.totals.macs + 3_000 + 4_000),
        modules={"": CounterRow(params=profile.totals.params, macs=profile.totals.macs + 7_000)},
        macs_by_operator={"conv": profile.totals.macs, "batch_norm": 3_000, "upsample_bilinear2d": 4_000},
        unsupported={"aten::hardswish_": 12},
    )
    return msgspec.structs.replace(profile, other_counters={"torchinfo": torchinfo, "fvcore": fvcore})


def _group(name: str, before: Profile, after: Profile, before_paths: tuple[str, ...], after_paths: tuple[str, ...]) -> Group:
    def cost(profile: Profile, paths: tuple[str, ...]) -> Cost:
        return sum_costs(module.total for module in profile.modules if module.path in paths)

    one, other = cost(before, before_paths), cost(after, after_paths)
    return Group(name=name, before_paths=before_paths, after_paths=after_paths, before=one, after=other, delta=other - one)


def make_verdict(**fields: Any) -> Verdict:
    defaults: dict[str, Any] = {
        "id": "check",
        "origin": "budget",
        "model": "after",
        "metric": "params",
        "scope": "",
        "comparison": "max",
        "expected": "3M",
        "outcome": "passed",
        "reason": "",
    }
    return Verdict(**(defaults | fields))


def make_checks(after: Profile) -> tuple[Verdict, ...]:
    params = after.totals.params
    return (
        make_verdict(id="params-under-3m", limit=3_000_000, actual=params, deviation=params - 3_000_000, reason="it is under 3M"),
        make_verdict(
            id="classifier-params",
            scope="classifier",
            expected="2K",
            limit=2_000,
            actual=2_709,
            deviation=709,
            outcome="failed",
            reason="2K budget exceeded by 709 (+35.4 %): 2,709; mostly classifier (+709)",
            contributors=(Contributor(path="classifier", delta=709),),
        ),
        make_verdict(
            id="latency-like", metric="peak_activation_bytes", outcome="inconclusive", reason="peak_activation_bytes was not measured"
        ),
        make_verdict(
            id="stage1-before",
            origin="claim",
            model="before",
            scope="decoder.0",
            comparison="equals",
            expected="884,736",
            limit=884_736,
            interval=(884_736, 884_736),
            actual=700_416,
            deviation=-184_320,
            finding="false",
            reason="false, as expected: document says 884,736, measured 700,416; 304 input channels, not 384.",
            source="section 6",
            group="Decoder stage 1",
            why="304 input channels, not 384.",
        ),
        make_verdict(
            id="stage1-after",
            origin="claim",
            scope="decoder_stage1",
            comparison="equals",
            expected="~21K",
            limit=21_000,
            interval=(18_900, 23_100),
            actual=22_176,
            deviation=1_176,
            finding="true",
            reason="true: document says ~21K, measured 22,176",
            source="section 6",
            group="Decoder stage 1",
        ),
        make_verdict(
            id="total",
            origin="claim",
            comparison="percent",
            expected="42%",
            limit=42,
            actual=42.31234567,
            deviation=0.31234567,
            finding="true",
            reason="true: document says 42%",
            source="conclusion",
        ),
        make_verdict(
            id="unbound",
            origin="claim",
            expected="6x",
            outcome="inconclusive",
            finding="unbound",
            reason="no module matches",
            source="title",
        ),
    )


def make_segmentation_report() -> Report:
    before, after = make_segmentation_profiles()
    groups = (
        _group("Backbone", before, after, ("backbone",), ("backbone",)),
        _group("ASPP", before, after, ("aspp",), ("aspp",)),
        _group("Decoder stage 1", before, after, ("decoder",), ("decoder_stage1",)),
        _group("Classifier", before, after, ("classifier",), ("classifier",)),
        _group("everything else", before, after, (), ()),
    )
    return make_report(before, after, groups=groups, checks=make_checks(after), outcome="failed")


def make_incomplete_report() -> Report:
    """The after side runs an operator that has no formula, was timed, and says what it was measured with."""
    before, after = make_segmentation_profiles()
    modules = [
        msgspec.structs.replace(module, flops_complete=module.path != "decoder_stage1.pointwise", total=module.own)
        for module in after.modules
    ]
    ledger = Ledger(
        counted=60,
        zero=166,
        unknown=2,
        operators=(OpRecord(name="mylib::fold", count=2, status="unknown", flops=0, modules=("decoder_stage1.pointwise",)),),
        assumptions=("a branch at model.py:12 depends on the value of a boolean tensor; both branches were run",),
    )
    latency = Latency(
        device="cpu",
        method="interleaved",
        threads=2,
        warmup=3,
        samples_s=(0.0123, 0.0124, 0.0125, 0.0131),
        modules_s={"": (0.0124,), "classifier": (0.0031,)},
    )
    provenance = Provenance(
        environment=Environment(archaudit="0.1.0", python="3.11.7", torch="2.15.0", platform="Linux x86_64", packages={"fvcore": "0.1.5"}),
        rung="meta",
    )
    incomplete = make_profile("after", modules, ledger=ledger, latency=latency, provenance=provenance, peaks=Peaks())
    groups = (_group("Decoder stage 1", before, incomplete, ("decoder",), ("decoder_stage1",)),)
    return make_report(before, incomplete, groups=groups, outcome="inconclusive")


def make_large_report(modules: int) -> Report:
    """Transformer-like: blocks of a hundred modules, one setting changed in each block."""

    def build(name: str, width: int) -> Profile:
        records = [make_module("", "Model"), make_module("layers", "ModuleList", shape=None)]
        for block in range(modules // 100):
            records.append(make_module(f"layers.{block}", "Block"))
            for position in range(99):
                features = width if position == 0 else 64
                # A bit more in each, since real models seldom repeat a number a thousand times.
                cost = make_cost(features * 65_536 + block, features * (16_777_216 + position), 65_536)
                records.append(make_module(f"layers.{block}.sublayer_{position}", "Linear", cost, (1, 128, 64), out_features=features))
        totals = sum_costs(record.own for record in records)
        blocks = {
            f"layers.{block}": sum_costs(each.own for each in records[2 + 100 * block : 102 + 100 * block])
            for block in range(modules // 100)
        }
        whole = {"": totals, "layers": totals, **blocks}
        placed = tuple(msgspec.structs.replace(record, total=whole.get(record.path, record.own)) for record in records)
        return Profile(name=name, reference=name, totals=totals, modules=placed)

    before, after = build("before", 64), build("after", 65)
    rows = {module.path: CounterRow(params=module.own.params, macs=module.own.macs, output_shape=(1, 128, 64)) for module in before.modules}
    other_counters = {name: CounterResult(totals=CounterRow(params=1, macs=1), modules=rows) for name in ("torchinfo", "fvcore")}
    return make_report(
        msgspec.structs.replace(before, other_counters=other_counters),
        msgspec.structs.replace(after, other_counters=other_counters),
        outcome="inconclusive",
    )


HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "a|b",
    "line\nbreak",
    "]]>",
    "\u202egnp.exe",
    "quote\"and'apostrophe",
    "\x1b[31mred\x1b[0m",
    "[bold]markup[/bold] :smile:",
    "`code` **bold** _it_ ~~no~~ [link](http://example.com) #1 @someone $x$ \\|",
    "long" * 75,
    "{{ 7 * 7 }}{% raw %}",
    "&amp;&lt;",
    "--><img src=x onerror=alert(1)>",
    "名前",
    "lone\ud800surrogate",
    "",
)


def make_hostile_latency(name: str, path: str) -> Latency:
    """Times of layers, with the name everywhere that a name can stand."""
    return Latency(
        device=name,
        method=name,
        samples_s=(0.1, 0.2),
        own_s={"": (0.01,), path: (0.05,), f"{path}.x": (0.04,)},
        modules_s={"": (0.1,), path: (0.09,), f"{path}.x": (0.04,)},
        attribution=name,
        settings=TimingSettings(device="cuda"),
        machine=Machine(device=name, driver=name, torch=name, cuda=name),
        states=(DeviceState(throttled=(name,)),),
        ceilings=MeasuredCeilings(copied_bytes=100, copies_s=(1.0,), product_flops=1000, products_s=(1.0,), launches_s=(0.001,)),
        notes=(name,),
        recorded=name,
    )


def make_hostile_report(name: str) -> Report:
    """Everything that a model, a config or a document may put into a report is `name`."""
    path = name or "a."
    modules = [
        make_module("", name),
        make_module(path, name, make_cost(10, 20, 5), p=name),
        make_module(f"{path}.x", name, make_cost(1, 2)),
    ]
    changed = [make_module("", name), make_module(path, name, make_cost(11, 22, 5), p=f"{name}!")]
    ledger = Ledger(unknown=1, operators=(OpRecord(name=name, count=1, status="unknown", flops=0, modules=(path,)),), assumptions=(name,))
    counter = CounterResult(
        totals=CounterRow(params=1, macs=2), modules={}, macs_by_operator={f"batch_norm{name}": 2}, unsupported={name: 1}
    )
    fields: dict[str, Any] = {
        "reference": f"file:{name}",
        "inputs": (InputRecord(name=name, dtype=name, shape=(1, 2)),),
        "ledger": ledger,
        "flops_complete": False,
        "ties": ((name, f"{name}.tied"),),
        "other_counters": {"fvcore": counter, f"z{name}": CounterResult(reason=name)},
        "latency": make_hostile_latency(name, path),
        "flow": (
            FlowNode(id=0, op="input", module=""),
            FlowNode(id=1, op="call", module=path, inputs=(0,), shape=(1, 2), symbolic=(name, "2")),
            FlowNode(id=2, op=name, module="", inputs=(1,)),
        ),
        "provenance": Provenance(environment=Environment(archaudit=name, python=name, torch=name, platform=name), rung=name),
    }
    modules, changed = ([msgspec.structs.replace(each, flops_complete=False) for each in side] for side in (modules, changed))
    before, after = make_profile(name, modules, **fields), make_profile(name, changed, **fields)
    checks = (
        make_verdict(
            id=name, model=name, scope=name, expected=name, outcome="failed", reason=name, contributors=(Contributor(path=path, delta=1),)
        ),
        make_verdict(
            id=name,
            origin="claim",
            metric=name,
            comparison=name,
            expected=name,
            reason=name,
            finding="false",
            source=name,
            group=name,
            why=name,
        ),
    )
    groups = (_group(name, before, after, (path,), (path,)),)
    return make_report(before, after, groups=groups, checks=checks, outcome="failed")
