"""METRICS: the numbers of a profile, each with unit, getter, and whether it is additive over modules; FAMILIES and FACTS.

METRICS are the costs that every model has. A metric of FAMILIES takes a word after a colon, or describes the named modules themselves:
`modules:Conv2d`, `setting:out_channels`, `children`, `latency` (`find_metric`). FACTS need not be numbers: a shape, a setting's text,
whether a module exists.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from math import prod
from typing import NamedTuple

from msgspec import UNSET

from archaudit.errors import CannotJudge
from archaudit.index import index_modules, read_layer
from archaudit.metrics import param_counts, training_costs
from archaudit.metrics.selection import Completeness, find_incomplete, is_complete, select_modules, select_named
from archaudit.schema import Cost, HistoryStep, ModuleRecord, Profile, Record, Setting, Variant, sum_costs

Patterns = tuple[str, ...]


class Metric(Record, frozen=True, kw_only=True):
    """A number of a profile. Exactly one getter is set: additive metrics use `of_cost`, peaks `of_profile` (the whole model only).

    `of_scope` computes the others from the modules that patterns match; it raises CannotJudge, with the reason, where there is no number.
    `list_assumptions` names what the number depends on besides the architecture.
    """

    name: str
    unit: str
    label: str
    additive: bool
    of_cost: Callable[[Cost], int] | None = None
    of_profile: Callable[[Profile], int | None] | None = None
    of_scope: Callable[[Profile, Patterns], float] | None = None
    list_assumptions: Callable[[Profile, Patterns], tuple[str, ...]] | None = None
    completeness: Completeness | None = None
    depends_on_inputs: bool = True

    @property
    def needs_complete_flops(self) -> bool:
        """Whether an operator without a formula makes the number a lower bound."""
        return self.completeness == "flops"

    @property
    def depends_on_device(self) -> bool:
        """Whether the device decides it: other kernels allocate and read other bytes."""
        return self.completeness == "memory"

    def is_complete(self, record: Profile | ModuleRecord | HistoryStep | Variant) -> bool:
        """Whether the number of that model or module is the whole number, not a lower bound."""
        return is_complete(record, self.completeness)


def _additive(name: str, unit: str, label: str, completeness: Completeness | None, *, depends_on_inputs: bool = True) -> Metric:
    return Metric(
        name=name,
        unit=unit,
        label=label,
        additive=True,
        of_cost=lambda cost: int(getattr(cost, name)),
        completeness=completeness,
        depends_on_inputs=depends_on_inputs,
    )


def _param_count(
    name: str,
    label: str,
    counter: Callable[[Profile, Collection[ModuleRecord]], int | None],
    describe: Callable[[Profile, Collection[ModuleRecord]], tuple[str, ...]] | None = None,
) -> Metric:
    def read(profile: Profile, patterns: Patterns) -> float:
        modules = select_modules(profile, patterns)
        if not modules:
            raise CannotJudge(f"no module of {profile.name} matches {', '.join(map(repr, patterns))}")
        value = counter(profile, modules)
        if value is None:
            raise CannotJudge(f"the profile of {profile.name} does not have what {name} is computed from")
        return value

    return Metric(
        name=name,
        unit="params",
        label=label,
        additive=False,
        of_scope=read,
        completeness="params",
        list_assumptions=None if describe is None else lambda profile, patterns: describe(profile, select_modules(profile, patterns)),
        depends_on_inputs=name == "unused_params",
    )


def _peak(name: str, label: str, getter: Callable[[Profile], int | None]) -> Metric:
    return Metric(name=name, unit="bytes", label=label, additive=False, of_profile=getter, completeness="memory")


def _count_dead_flops(profile: Profile, patterns: Patterns) -> float:
    """FLOPs of the matched modules whose results reach no output of the model."""
    modules = select_modules(profile, patterns)
    if profile.dead_flops is UNSET:
        raise CannotJudge(f"the profile of {profile.name} does not say which results reach an output")
    incomplete = find_incomplete(profile, patterns, "flops")
    if incomplete:
        raise CannotJudge(incomplete)
    return sum(profile.dead_flops.get(module.path, 0) for module in modules)


def _count_summed_products(profile: Profile, patterns: Patterns) -> float:
    """Elementwise products that the matched modules sum."""
    if profile.summed_products is UNSET:
        raise CannotJudge(f"the profile of {profile.name} does not say which elementwise products are summed")
    return sum(profile.summed_products.get(module.path, 0) for module in select_modules(profile, patterns))


def _training(name: str, unit: str, label: str) -> Metric:
    return Metric(
        name=name,
        unit=unit,
        label=label,
        additive=False,
        of_scope=lambda profile, patterns: training_costs.measure(profile, patterns, name),
        list_assumptions=lambda profile, patterns: training_costs.describe(profile),
    )


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _additive("params", "params", "Parameters", "params", depends_on_inputs=False),
        _additive("trainable_params", "params", "Trainable parameters", "params", depends_on_inputs=False),
        _additive("buffers", "", "Buffer elements", None, depends_on_inputs=False),
        _additive("param_bytes", "bytes", "Parameter bytes", "params", depends_on_inputs=False),
        _additive("flops", "flops", "FLOPs", "flops"),
        _additive("macs", "macs", "MACs", "flops"),
        _additive("activation_bytes", "bytes", "Activation bytes", "memory"),
        _additive("moved_bytes", "bytes", "Bytes moved", "memory"),
        _param_count("embedding_params", "Embedding parameters", param_counts.count_embeddings),
        _param_count("non_embedding_params", "Non-embedding parameters", param_counts.count_non_embeddings),
        _param_count("unused_params", "Never executed parameters", param_counts.count_unused),
        _param_count("active_params", "Active parameters per token", param_counts.count_active, param_counts.describe_active),
        _param_count("adapter_params", "Adapter parameters", param_counts.count_adapters),
        _param_count("base_params", "Parameters without adapters", param_counts.count_base),
        _param_count("logical_params", "Parameters with packed ones unpacked", param_counts.count_logical),
        Metric(name="dead_flops", unit="flops", label="FLOPs that reach no output", additive=False, of_scope=_count_dead_flops),
        Metric(name="summed_products", unit="macs", label="Summed elementwise products", additive=False, of_scope=_count_summed_products),
        _training("forward_flops", "flops", "FLOPs of the forward pass in training"),
        _training("backward_flops", "flops", "FLOPs of the backward pass"),
        _training("recompute_flops", "flops", "FLOPs that checkpoints compute again"),
        _training("optimizer_flops", "flops", "FLOPs of the optimizer's step"),
        _training("training_flops", "flops", "FLOPs of a training step"),
        _training("gradient_bytes", "bytes", "Gradient bytes"),
        _training("optimizer_bytes", "bytes", "Optimizer state bytes"),
        _training("peak_training_bytes", "bytes", "Peak memory of a training step"),
        _peak("peak_activation_bytes", "Peak live activations", lambda profile: profile.peaks.activation_bytes),
        _peak("saved_bytes", "Saved for backward", lambda profile: profile.peaks.saved_bytes),
    )
}


# What the elements of packed tensors decide: unknown where the layout of a file of quantized weights is not recognized.
PARAM_COUNTS = (
    "params", "buffers", "embedding_params", "non_embedding_params", "unused_params", "active_params", "adapter_params", "base_params",
    "logical_params",
)  # fmt: skip


class Measured(Record, frozen=True, kw_only=True):
    """A metric's value over a scope; None, with the reason, where it is not known."""

    value: int | None
    reason: str = ""
    modules: int = 0


def is_unknown(profile: Profile, metric: str) -> bool:
    """Whether the source of a profile has no information on a metric (a checkpoint has no FLOPs)."""
    return profile.unknown is not UNSET and metric in profile.unknown


def measure_scope(profile: Profile, metric: Metric, scopes: str | Iterable[str] = "") -> Measured:
    """The value of `metric` over all modules of `profile` that `scopes` (one pattern or several) match, with everything below them."""
    patterns = (scopes,) if isinstance(scopes, str) else tuple(scopes)
    if is_unknown(profile, metric.name):
        # a profile without MACs was made from a file of weights; of a model that ran, only the size of packed weights is unknown
        packed = metric.name in PARAM_COUNTS or not is_unknown(profile, "macs")
        built = profile.modules[0].type != "?"
        reason = "the model was only built" if built else "there is no code to run"
        if packed:
            reason = "weights are packed in a layout that is not recognized"
        return Measured(value=None, reason=f"{metric.name} of {profile.name} is not known: {reason}")
    if metric.of_profile is not None and any(patterns):
        return Measured(value=None, reason=f"{metric.name} is not additive: it is known for the whole model only")
    if incomplete := find_incomplete(profile, patterns, metric.completeness):
        return Measured(value=None, reason=incomplete, modules=len(select_modules(profile, patterns)) if metric.additive else 0)
    if metric.of_profile is not None:
        value = metric.of_profile(profile)
        return Measured(value=value, reason="" if value is not None else f"{metric.name} was not measured")
    if metric.of_scope is not None:
        try:
            return Measured(value=int(metric.of_scope(profile, patterns)))
        except CannotJudge as error:
            return Measured(value=None, reason=str(error))
    modules = select_modules(profile, patterns)
    if not modules:
        return Measured(value=None, reason=f"no module of {profile.name} matches {', '.join(map(repr, patterns))}")
    assert metric.of_cost is not None
    return Measured(value=metric.of_cost(sum_costs(module.own for module in modules)), modules=len(modules))


# --- families: numbers of the modules that patterns match --------------------------------------------------------------


class Family(NamedTuple):
    """Metrics or facts that differ by the word after a colon; `argument` says whether there is such a word."""

    unit: str
    label: str
    argument: str  # "none", "required" or "optional"
    read: Callable[[Profile, Patterns, str], float] | None = None
    depends_on_inputs: bool = False


def read_setting(profile: Profile, patterns: Patterns, name: str) -> Setting:
    """The value of a setting in the matched modules, or in those below them. Raises CannotJudge unless there is exactly one value."""
    named = [module for module in select_named(profile, patterns) if name in module.settings]
    modules = named or [module for module in select_modules(profile, patterns) if name in module.settings]
    if not modules:
        raise CannotJudge(f"no module of {profile.name} in {' + '.join(map(repr, patterns))} has a setting {name!r}")
    values: list[Setting] = []
    for module in modules:
        if module.settings[name] not in values:
            values.append(module.settings[name])
    if len(values) > 1:
        several = ", ".join(map(str, values[:5]))
        raise CannotJudge(f"{name} has several values in {' + '.join(map(repr, patterns))}: {several}")
    return values[0]


def _read_number(profile: Profile, patterns: Patterns, name: str) -> float:
    value = read_setting(profile, patterns, name)
    if isinstance(value, list) and value and all(each == value[0] for each in value):
        value = value[0]  # people write 3 for a kernel of [3, 3]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CannotJudge(f"the setting {name!r} is {value}, which is not a number")
    return value


def _count_modules(profile: Profile, patterns: Patterns, name: str) -> float:
    modules = select_modules(profile, patterns)
    return len([module for module in modules if module.type == name]) if name else len(modules)


def _count_layers(profile: Profile, patterns: Patterns, name: str) -> float:
    index = index_modules(profile)
    return len([module for module in select_modules(profile, patterns) if index.is_leaf(module.path)])


def _count_children(profile: Profile, patterns: Patterns, name: str) -> float:
    index = index_modules(profile)
    return sum(len(index.children[module.path]) for module in select_named(profile, patterns))


def _read_stride(profile: Profile, patterns: Patterns, name: str) -> float:
    """The height of the model's input image divided by the height of the matched modules' outputs."""
    heights = [record.shape[2] for record in profile.inputs if len(record.shape) == 4]
    outputs = {shape[2] for module in select_named(profile, patterns) for call in module.calls for shape in call.outputs if len(shape) == 4}
    if not heights or len(outputs) != 1:
        raise CannotJudge(f"{' + '.join(map(repr, patterns))} has no single stride: it needs an input image and outputs of one height")
    return heights[0] / outputs.pop()


def _compare_with_dense(profile: Profile, patterns: Patterns, name: str) -> float:
    """The weights of one dense convolution from the first to the last convolution's channels, divided by the parameters of the scope."""
    layers = [layer for module in select_modules(profile, patterns) if (layer := read_layer(module)) is not None and layer.kernel]
    weights = measure_scope(profile, METRICS["params"], patterns).value
    if not weights or not layers:
        raise CannotJudge(f"there are no convolutions in {' + '.join(map(repr, patterns))}")
    kernel: int = prod(max(sizes) for sizes in zip(*(layer.kernel for layer in layers), strict=False))
    return layers[0].inputs * layers[-1].outputs * kernel / weights


def _read_latency(profile: Profile, patterns: Patterns, name: str) -> float:
    from statistics import median  # imports random and fractions, which most commands do not need

    if profile.latency is None:
        raise CannotJudge(f"the latency of {profile.name} was not measured")
    paths = [module.path for module in select_named(profile, patterns)]
    samples = profile.latency.samples_s if paths == [""] else [] if len(paths) != 1 else profile.latency.modules_s.get(paths[0], ())
    if not samples:
        raise CannotJudge(f"{' + '.join(map(repr, patterns))} is not one module whose latency was measured")
    return median(samples) * 1e3


FAMILIES: dict[str, Family] = {
    "modules": Family("", "Modules", "optional", _count_modules),
    "layers": Family("", "Modules without children", "none", _count_layers),
    "children": Family("", "Direct children", "none", _count_children),
    "setting": Family("", "Setting", "required", _read_number),
    "stride": Family("", "Image height / output height", "none", _read_stride),
    "dense_ratio": Family("x", "Dense convolution / these", "none", _compare_with_dense),
    "latency": Family("ms", "Median latency", "none", _read_latency, depends_on_inputs=True),
}

# What need not be a number; `judge.FACT_COMPARISONS` has the same keys.
FACTS: dict[str, Family] = {
    "shape": Family("", "Output shape (shape:in: input shape, shape:cat: result of an operator)", "optional"),
    "setting": Family("", "Setting as text", "required"),
    "presence": Family("", "Whether a module, or one of a type, exists", "optional"),
}


def find_metric(name: str) -> Metric | None:
    """The metric of that name, of METRICS or of a family: `params`, `modules:Conv2d`, `setting:p`. None if there is none."""
    head, colon, argument = name.partition(":")
    family = FAMILIES.get(head)
    if name in METRICS or family is None or not _fits(family, colon, argument):
        return METRICS.get(name)
    read = family.read
    assert read is not None
    return Metric(
        name=name,
        unit=family.unit,
        label=f"{family.label} {argument}".strip(),
        additive=False,
        of_scope=lambda profile, patterns: read(profile, patterns, argument),
        depends_on_inputs=family.depends_on_inputs,
    )


def is_fact(name: str) -> bool:
    """Whether the name is one of FACTS: `shape`, `setting:padding_mode`, `presence:Conv2d`."""
    head, colon, argument = name.partition(":")
    return head in FACTS and _fits(FACTS[head], colon, argument)


def _fits(family: Family, colon: str, argument: str) -> bool:
    allowed = {"none": not colon, "required": bool(argument), "optional": bool(argument) == bool(colon)}
    return allowed[family.argument]
