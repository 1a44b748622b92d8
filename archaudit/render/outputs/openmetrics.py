"""OpenMetrics text, as GitLab's metrics reports and Prometheus read it.

Source: the OpenMetrics specification, version 1.0.
"""

from __future__ import annotations

from collections.abc import Callable

from archaudit.render.formatting import make_visible
from archaudit.schema import Judgement, Verdict, name_run

_OUTCOMES = ("passed", "failed", "inconclusive")
# What each family says, and its value for a check; None leaves the check out.
_FAMILIES: dict[str, tuple[str, Callable[[Verdict], float | None]]] = {
    "archaudit_measured": ("What was measured, in the metric's own unit.", lambda check: check.actual),
    "archaudit_limit": ("The number that the limit comes to.", lambda check: check.limit),
}


def write(judgement: Judgement) -> str:
    """A sample of each check in each family, then its outcome as a set of states; ends as the format demands."""
    lines = []
    for name, (text, read) in _FAMILIES.items():
        lines += [f"# TYPE {name} gauge", f"# HELP {name} {text}"]
        lines += [f"{name}{{{_label(check)}}} {value}" for check in judgement.checks if (value := read(check)) is not None]
    lines += ["# TYPE archaudit_check stateset", "# HELP archaudit_check Which outcome each check has."]
    for check in judgement.checks:
        lines += [f'archaudit_check{{{_label(check)},archaudit_check="{each}"}} {int(check.outcome == each)}' for each in _OUTCOMES]
    lines += ["# TYPE archaudit_outcome stateset", "# HELP archaudit_outcome What all checks come to."]
    lines += [f'archaudit_outcome{{archaudit_outcome="{each}"}} {int(judgement.outcome == each)}' for each in _OUTCOMES]
    return "\n".join([*lines, "# EOF", ""])


def _label(check: Verdict) -> str:
    labels = {
        "check": check.id,
        "level": check.level,
        "metric": check.metric,
        "model": name_run(check.model, check.scenario),
        "scope": check.scope,
    }
    return ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())


def _escape(text: str) -> str:
    return make_visible(text).replace("\\", "\\\\").replace('"', '\\"')
