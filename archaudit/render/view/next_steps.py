"""What to do after a check that did not pass: the layers to look at, and the commands that update baselines and limits."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from archaudit.render.formatting import join_names, make_visible, name_path
from archaudit.schema import Judgement, Verdict, name_run

# As many as a reader takes in at once; the reasons have the others.
_MOST_LAYERS, _MOST_IDS = 3, 4
_CONFIG_FILES = ("archaudit.toml", "pyproject.toml")


def list_next_steps(judgement: Judgement) -> tuple[str, ...]:
    """The next steps, one sentence each; empty if every check passed."""
    open_checks = [check for check in judgement.checks if check.outcome != "passed"]
    return tuple(_list_steps(judgement, open_checks))


def _list_steps(judgement: Judgement, open_checks: Sequence[Verdict]) -> Iterator[str]:
    failed = [check for check in open_checks if check.outcome == "failed"]
    yield from list(dict.fromkeys(_describe_layer(check, judgement) for check in failed if check.contributors))[:_MOST_LAYERS]
    command = _write_command(judgement, [check for check in failed if check.origin == "baseline"])
    if command:
        yield f"If the change is meant, update the baseline: {command}"
    limits = [check.id for check in failed if check.origin == "budget" and check.key]
    if limits:
        yield f"If the change is meant, change the limit in {make_visible(judgement.source)}: {join_names(_show(limits), _MOST_IDS)}"
    unjudged = [check for check in open_checks if check.outcome == "inconclusive"]
    command = _write_command(judgement, [check for check in unjudged if "`archaudit baseline" in check.reason])
    if command:
        yield f"Write the baseline and commit it: {command}"
    rest = [check.id for check in unjudged if "`archaudit baseline" not in check.reason]
    if rest:
        yield f"Remove the reason why these cannot be judged: {join_names(_show(rest), _MOST_IDS)}"


def _show(names: Sequence[str]) -> list[str]:
    return [make_visible(name) for name in names]


def _describe_layer(check: Verdict, judgement: Judgement) -> str:
    """`Look at head of net (models/net.py:12)`: the layer that changed most, with the place of its class if that is known."""
    place = judgement.places.get(check.id)
    where = f" ({make_visible(place.file)}{f':{place.line}' if place.line else ''})" if place is not None else ""
    model = f" of {make_visible(name_run(check.model, check.scenario))}" if check.model else ""
    return f"Look at {name_path(check.contributors[0].path)}{model}{where}"


def _write_command(judgement: Judgement, checks: Sequence[Verdict]) -> str:
    """The command that writes the baselines of the checks' models; empty without checks."""
    models = dict.fromkeys(check.model for check in checks if check.model)
    if not models:
        return ""
    found_by_itself = judgement.source in _CONFIG_FILES or PurePath(judgement.source).suffix != ".toml"
    config = [] if found_by_itself else ["--config", judgement.source]
    return " ".join(["archaudit baseline", *(shlex.quote(make_visible(each)) for each in (*models, *config))])
