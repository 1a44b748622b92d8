"""Commands within sentences, and the YAML of CI systems: every command, option, action input and hook in README and docs exists."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from docs.blocks import list_blocks

from archaudit.cli import main

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def parse(command: str) -> None:
    """Parses a command line without running it; of alternatives such as `bash|zsh` the first. Raises click.UsageError.

    Arguments may be missing: a sentence may be about an option alone.
    """
    words = [word.split("|")[0] for word in shlex.split(command)[1:]]
    found: click.Command = main
    with click.Context(main) as context:
        while isinstance(found, click.Group) and words:
            name, *words = words
            inner = found.get_command(context, name)
            if inner is None:
                raise click.UsageError(f"there is no command {name!r}")
            found = inner
        if words:
            with contextlib.suppress(click.MissingParameter):
                found.make_context(found.name, words)


def list_inline_commands() -> list[Any]:
    commands = []
    for page in PAGES:
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for command in re.findall(r"`(archaudit [a-z][^`]*)`", " ".join(prose.split("\n"))):
            commands.append(pytest.param(command.replace("\\|", "|"), id=f"{page.name}: {command}"))
    return commands


def list_yaml(values: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a YAML document."""
    if isinstance(values, dict):
        yield values
    for value in values.values() if isinstance(values, dict) else values if isinstance(values, list) else ():
        yield from list_yaml(value)


MAPPINGS = [
    mapping
    for page in PAGES
    for block in list_blocks(page)
    if block.language == "yaml"
    for mapping in list_yaml(yaml.safe_load(block.text))
]


@pytest.mark.parametrize("command", list_inline_commands())
def test_a_command_within_a_sentence_parses(command):
    parse(command)


@pytest.mark.parametrize("command", ["archaudit compere a b", "archaudit check --formats junit", "archaudit schema toml"])
def test_a_command_that_does_not_exist_is_found(command):
    with pytest.raises(click.UsageError):
        parse(command)


def test_options_within_sentences_exist():
    known = {*list_options(main)} | {"--update-golden", "--update-docs"}  # of this repository's own tests
    for page in PAGES:
        spans = re.findall(r"`(--[a-z-]+)", page.read_text(encoding="utf-8"))
        assert [option for option in spans if option not in known] == [], page.name


def list_options(command: click.Command) -> list[str]:
    with click.Context(command) as context:
        own = [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
        names = command.list_commands(context) if isinstance(command, click.Group) else []
        return own + [option for name in names for option in list_options(command.get_command(context, name))]


def test_scripts_of_ci_systems_call_commands_that_exist():
    scripts = [line for mapping in MAPPINGS for line in mapping.get("script", []) if line.startswith("archaudit ")]
    assert scripts
    for script in scripts:
        parse(script)


def test_inputs_of_the_action_exist():
    inputs = yaml.safe_load((ROOT / ".github" / "actions" / "archaudit" / "action.yml").read_text())["inputs"]
    steps = [mapping for mapping in MAPPINGS if "/.github/actions/archaudit@" in str(mapping.get("uses"))]
    assert len(steps) >= 2
    assert [name for step in steps for name in step.get("with", {}) if name not in inputs] == []


def test_hooks_exist():
    hooks = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    used = {hook["id"] for mapping in MAPPINGS for hook in mapping.get("hooks", [])}
    assert used
    assert used <= hooks
