"""Every table and key of a config file, declared once: the type of the value, its meaning, its choices and its default.

`tables` reads values by these declarations, `json_schema` makes the JSON Schema of them, and docs/configuration.md is made from that
schema. What depends on several values or on other tables is checked while reading: a unit that does not fit a metric, an unknown model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from msgspec.structs import replace

from archaudit.metrics.catalog import METRICS
from archaudit.schema import Device, Level, Precision, Record
from archaudit.schema.quantity import APPROXIMATE_SHARE

Kind = Literal["text", "texts", "number", "value", "flag", "date", "named_texts", "text_table"]

LEVELS: tuple[Level, ...] = get_args(Level)
RELATIVE_LIMITS = ("max_increase", "max_decrease")
LIMITS = ("max", "min", *RELATIVE_LIMITS)
# The unit that the figure of a claim must have, by the claim's comparison; "" is the metric's own unit. A count is exact and a ratio or
# percentage is rounded, so the figure must say which it is.
COMPARISON_UNITS = {"equals": "", "difference": "", "ratio": "x", "percent": "%"}
EXPECTATIONS = ("true", "false", "other reading")
# A name of a model or of an input scenario. Nothing that would make it another kind of reference: no `:`, `@`, `(`, `.`, `/`.
NAME_PATTERN = r"[A-Za-z_][\w-]*"


class Field(Record, frozen=True, kw_only=True):
    """One key of a table.

    `kind` is the type of its value: `text` is not blank; `texts` is a text or a list of texts; `number` has a unit or none, as a text or a
    TOML number; `value` is a number, text, true, false, or a list of these; `flag` is true or false; `date` is a TOML date or a text such
    as 2026-12-31; `named_texts` is a table of texts under names that the user chooses; `text_table` one of single texts under any keys.

    `default` is the value of a missing key, `choices` are the only values. Of `texts`, `allow_blank` permits blank texts (`""` is the path
    of the whole model), and `allow_empty` permits an empty list, which is refused where it could be read as "all". `needs` is another key
    that must be given with this one, `conflicts` one that must not.
    """

    kind: Kind
    meaning: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    allow_blank: bool = False
    allow_empty: bool = False
    needs: str = ""
    conflicts: str = ""


class TableType(Record, frozen=True, kw_only=True):
    """One kind of table. `form` is how TOML writes it: [name], several [[name]], or [name.NAME] under names that the user chooses.

    Where `one_of` has keys, at least one of them must be given.
    """

    form: Literal["table", "array", "named"]
    meaning: str
    fields: Mapping[str, Field | TableType]
    one_of: tuple[str, ...] = ()


def _text(meaning: str, **options: Any) -> Field:
    return Field(kind="text", meaning=meaning, **options)


def _texts(meaning: str, **options: Any) -> Field:
    return Field(kind="texts", meaning=meaning, **options)


def _number(meaning: str, **options: Any) -> Field:
    return Field(kind="number", meaning=meaning, **options)


_CHANGE = "An amount, or a percentage such as 1%, compared with `against`."
_SCOPE = _texts("Module paths or patterns: * matches within one name, ** across names. Default: the whole model.", allow_blank=True)
# The keys that budgets and pins of [[unchanged]] have in common.
_SUBJECT: dict[str, Field] = {
    "id": _text("The name in reports. Default: made from the metric, scope and model."),
    "model": _texts("Names from [models]. Default: `after` in `compare`, every model in `check`."),
    "scenario": _texts("Names from [models.NAME.inputs]. Default: every scenario."),
    "scope": replace(_SCOPE, conflicts="section"),
    "type": _texts("Module classes, each with everything below it; patterns as in file names."),
    "section": _text("The name of a section, in place of `scope`."),
    "against": _text("What is compared with: `baseline` (the default), or the name of another model."),
    "level": _text("Only `error` decides the exit status; `warn` and `info` are shown.", choices=LEVELS, default="error"),
    "reason": _text("Why the limit is what it is."),
    "until": Field(
        kind="date", meaning="The last day of the limit, a TOML date. After it the check fails. Needs `reason`.", needs="reason"
    ),
}

MODEL = TableType(
    form="named",
    meaning="The models, each under its name.",
    fields={
        "reference": _text("The model: file.py:Class, package.module:Class, torchvision:NAME, or a saved profile.", required=True),
        "input": _texts("The input, such as 1x3x224x224 or ids=int64[1,128].", conflicts="inputs"),
        "inputs": Field(kind="named_texts", meaning="Several named inputs (scenarios), each judged separately. `compare` takes the first."),
    },
)
BUDGET = TableType(
    form="array",
    meaning="Limits on metrics. A budget needs at least one of max, min, max_increase, max_decrease and growth.",
    fields={
        "metric": _text("The metric that is limited.", choices=tuple(METRICS), required=True),
        "max": _number("The largest value: a number such as 3M, 2.6 GMACs or 10 MiB."),
        "min": _number("The smallest value."),
        "max_increase": _number(f"The largest increase. {_CHANGE}"),
        "max_decrease": _number(f"The largest decrease. {_CHANGE}"),
        "at": _text("Sizes of the input, such as B=1,T=8192: the formula of the metric is judged there, in place of the measured input."),
        "growth": _text("The largest growth with the sizes of the input: <= T fails if the formula has a term T²."),
        "floor": _number("For a percentage: the budget fails only if the change exceeds this amount too."),
        "overrides": _text("The id of a budget above. This budget replaces it for its models."),
        **_SUBJECT,
    },
    one_of=(*LIMITS, "growth"),
)
UNCHANGED = TableType(form="array", meaning="Parts of a model that may not change at all.", fields=_SUBJECT)
DEFAULTS = TableType(
    form="table",
    meaning="Values for all budgets that do not set them.",
    fields={name: BUDGET.fields[name] for name in ("model", "scenario", "against", "level", "floor")},
)
SECTION = TableType(
    form="array",
    meaning="The rows of the breakdown in reports.",
    fields={
        "name": _text("The name of the row.", required=True),
        "before": _texts("Module paths or patterns in the model before.", allow_empty=True),
        "after": _texts("Module paths or patterns in the model after.", allow_empty=True),
    },
    one_of=("before", "after"),
)
ALIGN_PIN = TableType(
    form="array",
    meaning="Corrections to how modules are matched.",
    fields={
        "before": _text("The path of a module before. Alone: it has no counterpart."),
        "after": _text("The path of a module after. Alone: it has no counterpart."),
        "forbid": Field(kind="flag", meaning="true: the two are not the same module.", default="false"),
    },
    one_of=("before", "after"),
)
# What a claim says about the document, with or without `exempt`.
_DOCUMENT_KEYS: dict[str, Field] = {
    "id": _text("The name in reports. Default: made from the source and the figure."),
    "figure": Field(kind="value", meaning="The number as the document writes it, such as ~21K, 42x or 63%.", required=True),
    "document": _text("The document's file name."),
    "source": _text("The part of the document, such as a heading."),
    "near": _text("Text on the line of the figure, which distinguishes equal figures."),
    "section": _text("The name of the section of the report that shows the claim."),
}
# What a claim says about a model: not given with `exempt`.
_CHECK_KEYS: dict[str, Field] = {
    "model": _text("The name of the model that the figure is about, or a reference such as torchvision:resnet50."),
    "input": _text("The input of that model, such as 1x3x384x384. Default: the model's own."),
    "metric": _text("What the figure counts; see docs/claims.md. Required unless `exempt` is given."),
    "scope": _SCOPE,
    "comparison": _text("How the figure is compared.", choices=tuple(COMPARISON_UNITS), default="equals"),
    "against": _text("The other model of a ratio, percentage or difference."),
    "against_scope": _texts("Module paths or patterns in the other model. Default: `scope`.", allow_blank=True),
    "unit": _text("The unit, if the document writes it in another place, such as a table heading."),
    "tolerance": _number(f"The percentage by which an approximate figure may differ, such as 5%. Default: {APPROXIMATE_SHARE:.0%}."),
    "expect": _text("The expected result. Values other than `true` need `why`.", choices=EXPECTATIONS, default="true"),
    "why": _text("Why the claim is expected to be false, or true under another reading."),
}
CLAIM = TableType(
    form="array",
    meaning="Figures of documents, and what they are about.",
    fields={
        **_DOCUMENT_KEYS,
        **{name: replace(field, conflicts="exempt") for name, field in _CHECK_KEYS.items()},
        "exempt": _text(f"Why the number is not checked. Only {', '.join(f'`{name}`' for name in _DOCUMENT_KEYS)} can be given with it."),
    },
    one_of=("metric", "exempt"),
)
TABLE_CLAIM = TableType(
    form="array",
    meaning="Tables of a document, in which each row is about the model that it names: which columns hold what.",
    fields={
        "document": _text("The document's file name. Default: the document that the file belongs to."),
        "section": _text("Only tables below this heading. Default: every table that has the columns."),
        "models": _texts(
            "Where names are looked up: timm, torchvision, transformers, a TOML file with [models], or a folder of configurations.",
            required=True,
        ),
        "name": _text("The heading of the column with the names of the models.", required=True),
        "resolution": _text("The heading of the column with the size of the input image."),
        "params": _text("The heading of the column with parameters."),
        "macs": _text("The heading of the column with multiply-accumulates, under any heading, such as FLOPs."),
        "flops": _text("The heading of the column with FLOPs: a multiply-accumulate is two."),
        "param_bytes": _text("The heading of the column with the size of the parameters."),
        "accept": _texts("Readings under which a figure counts as true, such as `truncated, not rounded`."),
        "names": Field(kind="text_table", meaning="References of models under the names that the document gives them."),
        "exempt": Field(kind="text_table", meaning="Rows that are not checked, by name, each with the reason."),
        "expect_false": Field(kind="text_table", meaning="Rows with figures that are known to be false, by name, each with the reason."),
    },
    one_of=("params", "macs", "flops", "param_bytes"),
)
LATENCY = TableType(
    form="table",
    meaning="The budget on measured time.",
    fields={
        "id": _text("The name in reports.", default="latency"),
        "before": _text(
            "A model that is measured in the same run, or `baseline` for recorded times of the baseline of `after`.", required=True
        ),
        "after": _text("The model whose time is limited.", required=True),
        "max_ratio": _number("The largest ratio after/before, such as 0.5. In place of `max_increase`."),
        "max_increase": _number("The largest increase in percent.", default="5%", conflicts="max_ratio"),
        "min_change": _number("A change up to this time never fails, such as 0.1 ms. Default: 0.02 ms."),
        "device": _text("Where to run. `auto` is CUDA if there is a device, else the CPU.", choices=get_args(Device), default="auto"),
        "dtype": _text("The arithmetic.", choices=get_args(Precision), default="float32"),
    },
)
AUDIT = TableType(
    form="table",
    meaning="Which rules of the audit `check` judges, and how many findings a model may have. See docs/audit.md.",
    fields={
        "select": _texts("Codes (`AR101`), families (`AR1` or `dead`), or `all`. Default: every rule that is on by default."),
        "ignore": _texts("Codes or families that are not judged."),
        "max": _number("The largest number of findings in one model.", default="0"),
        "level": _text("Only `error` decides the exit status; `warn` and `info` are shown.", choices=LEVELS, default="error"),
        "suppress": Field(
            kind="text_table", meaning="Findings that are accepted: `CODE` or `CODE:PATTERN` of module paths, each with the reason."
        ),
    },
)
TRAINING = TableType(
    form="table",
    meaning="How the training step is run that budgets on metrics such as `peak_training_bytes` are about.",
    fields={
        "optimizer": _text("A class of torch.optim in lower case with its arguments, such as sgd:momentum=0.9.", default="adamw"),
        "amp": _text("The dtype of autocast. Default: no autocast.", choices=("bfloat16", "float16")),
        "checkpoint": _text("`model` for the model's own flag, or patterns of the modules that are checkpointed, with commas."),
        "reentrant": Field(kind="flag", meaning="true: the reentrant form of checkpoints.", default="false"),
    },
)
CONFIG = TableType(
    form="table",
    meaning="archaudit.toml, or the table [tool.archaudit] of pyproject.toml.",
    fields={
        "baselines": _text("The folder of saved profiles, relative to the config.", default="baselines"),
        "formulas": _texts("Files or modules that register formulas for operators."),
        "gated": _texts("Metrics that need an upper limit on the whole of every model, in every scenario.", choices=tuple(METRICS)),
        "models": MODEL,
        "defaults": DEFAULTS,
        "budgets": BUDGET,
        "unchanged": UNCHANGED,
        "sections": SECTION,
        "align": ALIGN_PIN,
        "claims": CLAIM,
        "tables": TABLE_CLAIM,
        "latency": LATENCY,
        "training": TRAINING,
        "audit": AUDIT,
        "strict": Field(kind="flag", meaning="true: a check on a figure that depends on an assumption is inconclusive.", default="false"),
    },
)
CLAIMS_FILE = TableType(form="table", meaning="A file that holds only claims.", fields={"claims": CLAIM, "tables": TABLE_CLAIM})
