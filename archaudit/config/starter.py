"""A first config for a model: commented, with limits from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from archaudit.config.reading import PYPROJECT_FILE
from archaudit.errors import ConfigError
from archaudit.metrics.quantities import format_exact, format_short
from archaudit.schema import Profile

_STEPS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K"))
_DIGITS = 3
_HEAD = """\
# What {name} may cost. `archaudit check` judges it: exit status 0 all holds, 1 a limit is exceeded, 2 it could not be judged.
# Editors complete and check this file: archaudit schema config > archaudit.schema.json, and then as its first line
# #:schema ./archaudit.schema.json

# Every model below must have a budget on each of these, or the check is not green.
gated = {gated}

[models.{name}]
reference = {reference}
{inputs}
# Several inputs, each judged by itself, in place of `input`:
# [models.{name}.inputs]
# small = "1x3x256x256"
# large = "8x3x512x512"
"""
_LIMIT = """
[[budgets]]
metric = "{metric}"
max = "{limit}"          # measured: {measured}. `archaudit baseline --tighten` lowers it to what is measured then
"""
_GROWTH = """
# Against baselines/{name}.json, which is committed: fails only beyond both the share and the floor.
[[budgets]]
metric = "{metric}"
max_increase = "{share}"
floor = "{floor}"
"""
_FOOT = """
# A part may have a limit of its own: a path or pattern, a type of module, or the name of a [[sections]].
# [[budgets]]
# metric = "params"
# scope = "{scope}"
# max = "{part}"
# level = "warn"            # error (decides), warn or info (shown)

# Nothing may change here: no module, setting or shape, and not what runs between them.
# [[unchanged]]
# scope = "{scope}"

# A raise that ends: past the day it fails.
# [[budgets]]
# metric = "params"
# max = "{raised}"
# reason = "wide head until distillation lands"
# until = 2030-12-31
"""
# Enough to let go what nobody would notice, by metric: the share and the floor.
_GROWTHS = {"params": ("1%", "1K"), "macs": ("1%", "1M"), "activation_bytes": ("5%", "1 MiB")}


def write_starter(name: str, reference: str, inputs: tuple[str, ...], profile: Profile) -> str:
    """The text of a config for a model that was measured; budgets on MACs are left out where their count is incomplete."""
    metrics = [metric for metric in _GROWTHS if metric != "macs" or profile.flops_complete]
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
    """The next number of three digits that is not below: 2,516,853 is `2.52M`."""
    for step, letter in _STEPS:
        if value >= step:
            scaled = Decimal(value) / step
            places = _DIGITS - 1 - scaled.adjusted()
            rounded = scaled.quantize(Decimal(1).scaleb(-places), rounding=ROUND_CEILING)
            return f"{rounded:f}{letter}"
    return format_short(value)


def _find_largest(profile: Profile) -> tuple[str, int]:
    """The path and the parameters of the largest direct part; of a model without parts, its whole."""
    parts = [module for module in profile.modules if module.path and "." not in module.path]
    largest = max(parts, key=lambda module: module.total.params, default=profile.modules[0])
    return _quote(largest.path)[1:-1], largest.total.params


def _quote(text: str) -> str:
    """A text as TOML writes it."""
    import tomlkit

    return tomlkit.string(text).as_string()


# --- changing one value of a config file in place: comments, order and everything else stay as they are ---


def replace_values(path: Path, values: Mapping[tuple[str, int, str], int]) -> str:
    """The file's text with new values, each by its table, the position of the entry in it and the key. Raises ConfigError."""
    import tomlkit  # only where something is written
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
