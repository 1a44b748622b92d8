"""Writes a first config for a model, with comments and limits from the measured values; and changes values of a config in place."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from archaudit.config.reading import PYPROJECT_FILE
from archaudit.errors import ConfigError
from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_exact, format_short
from archaudit.schema import Profile

_STEPS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K"))
_DIGITS = 3
_HEAD = """\
# Budgets for {name}, checked by `archaudit check`. Exit status: 0 all budgets hold, 1 a limit is exceeded, 2 something could not be judged.
# For completion in editors: archaudit schema config > archaudit.schema.json, and this as the first line of the file:
# #:schema ./archaudit.schema.json

# Every model below must have a budget on each of these metrics.
gated = {gated}

[models.{name}]
reference = {reference}
{inputs}
# Several inputs, each judged separately, in place of `input`:
# [models.{name}.inputs]
# small = "1x3x256x256"
# large = "8x3x512x512"
"""
_LIMIT = """
[[budgets]]
metric = "{metric}"
max = "{limit}"          # measured: {measured}. `archaudit baseline --tighten` lowers it to the measured value
"""
_GROWTH = """
# Compared with baselines/{name}.json, which is committed. Fails only if both the percentage and the floor are exceeded.
[[budgets]]
metric = "{metric}"
max_increase = "{share}"
floor = "{floor}"
"""
_FOOT = """
# A limit for a part of the model: a path or pattern, a module class, or the name of a section.
# [[budgets]]
# metric = "params"
# scope = "{scope}"
# max = "{part}"
# level = "warn"            # error decides the exit status; warn and info are only shown

# A part that may not change: no module, no setting, no shape, and no operator between modules.
# [[unchanged]]
# scope = "{scope}"

# A temporary limit: it fails after this day.
# [[budgets]]
# metric = "params"
# max = "{raised}"
# reason = "wide head until distillation lands"
# until = 2030-12-31
"""
# By metric, the percentage and the floor: changes too small to matter are allowed.
_GROWTHS = {"params": ("1%", "1K"), "macs": ("1%", "1M"), "activation_bytes": ("5%", "1 MiB")}


def write_starter(name: str, reference: str, inputs: tuple[str, ...], profile: Profile) -> str:
    """The text of a config for a measured model. Without budgets on MACs if their count is incomplete."""
    metrics = [metric for metric in _GROWTHS if METRICS[metric].is_complete(profile)]
    costs = {metric: int(getattr(profile.totals, metric)) for metric in _GROWTHS}
    texts = [_quote(text) for text in inputs]
    given = f"input = {texts[0] if len(texts) == 1 else '[' + ', '.join(texts) + ']'}" if texts else '# input = "1x3x224x224"'
    gated = "[" + ", ".join(f'"{metric}"' for metric in metrics) + "]"
    parts = [_HEAD.format(name=name, reference=_quote(reference), inputs=given, gated=gated)]
    if not profile.flops_complete:
        parts.append("\n# No budget on MACs: an operator of this model has no formula. docs/counting.md shows how to register one.\n")
    parts += [_LIMIT.format(metric=each, limit=_round_up(costs[each]), measured=format_exact(costs[each])) for each in metrics[:-1]]
    parts += [_GROWTH.format(name=name, metric=each, share=_GROWTHS[each][0], floor=_GROWTHS[each][1]) for each in metrics]
    largest = _find_largest(profile)
    raised = _round_up(costs["params"] * 2)
    parts.append(_FOOT.format(scope=largest[0], part=_round_up(largest[1]), raised=raised))
    return "".join(parts)


def _round_up(value: int) -> str:
    """The value rounded up to three digits: 2,516,853 is `2.52M`."""
    for step, letter in _STEPS:
        if value >= step:
            scaled = Decimal(value) / step
            places = _DIGITS - 1 - scaled.adjusted()
            rounded = scaled.quantize(Decimal(1).scaleb(-places), rounding=ROUND_CEILING)
            return f"{rounded:f}{letter}"
    return format_short(value)


def _find_largest(profile: Profile) -> tuple[str, int]:
    """The path and the parameters of the largest child; those of the whole model if it has no children."""
    parts = [module for module in profile.modules if module.path and "." not in module.path]
    largest = max(parts, key=lambda module: module.total.params, default=profile.modules[0])
    return _quote(largest.path)[1:-1], largest.total.params


def _quote(text: str) -> str:
    """A text as a TOML string."""
    import tomlkit

    return tomlkit.string(text).as_string()


# --- changes values of a config file in place: comments, order and everything else stay the same ---


def replace_values(path: Path, values: Mapping[tuple[str, int, str], int]) -> str:
    """The file's text with new values, by the table, the position of the entry in it, and the key. Raises ConfigError."""
    import tomlkit  # imported only to write
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, TOMLKitError) as error:
        raise ConfigError(f"{path}: cannot be edited: {error}") from error
    top: Any = document["tool"]["archaudit"] if path.name == PYPROJECT_FILE else document
    for (table, position, key), value in values.items():
        entry = top[table][position]
        item = tomlkit.integer(f"{value:_}")
        item.trivia.comment_ws, item.trivia.comment = entry.item(key).trivia.comment_ws, entry.item(key).trivia.comment
        entry[key] = item
    return tomlkit.dumps(document)
