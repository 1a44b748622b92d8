"""`archaudit check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED, printable
from archaudit.cli.options import asked_options, measuring_options
from archaudit.cli.output import print_text, terminal_width, wants_color, write_files
from archaudit.errors import ArchauditError
from archaudit.render.outputs import OUTPUTS
from archaudit.schema import Judgement, Verdict

# What is written where a folder was named and no format.
_USUAL = ("markdown", "junit", "json")
# Read from the log of a run, so that printing them is the point.
_PRINTED = ("annotations",)


@click.command(short_help="Judge the budgets of the config.")
@click.argument("names", nargs=-1)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["text", *OUTPUTS]),
    multiple=True,
    help="What to print, or with -o to write; several allowed (default: text).",
)
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Write the formats there, and print text.")
@click.option("--allow-inconclusive", is_flag=True, help="Exit with 0 also where a check could not be judged; never where there is none.")
@click.option("--self-test", is_flag=True, help="Instead: plant a regression of each kind in a small model, and see that the gate trips.")
@measuring_options
def command(names: tuple[str, ...], formats: tuple[str, ...], folder: Path | None, allow_inconclusive: bool, **asked: Any) -> int:
    """Judge every budget of the config, or those of the models NAMES, against baselines where they ask for it.

    Exits with 1 when a budget is exceeded, with 2 when one could not be judged or there is none.
    """
    from archaudit.pipeline import check

    if asked.pop("self_test"):
        return _test_gate(asked)
    try:
        with asked_options(**asked) as options:
            judgement = check(names, options)
    except ArchauditError as error:  # files of an earlier run may not stand for this one
        if formats or folder:
            _deliver(_tell_error(error), formats, folder)
        raise
    _deliver(judgement, formats, folder)
    for name, why in judgement.unmeasured.items():
        click.echo(printable(f"archaudit: {name} was not measured: {why}"), err=True)
    return _choose_status(judgement, allow_inconclusive=allow_inconclusive)


def _test_gate(asked: dict[str, Any]) -> int:
    """Prints what became of every planted case; a gate that does not close is a failure, whatever the config says."""
    from archaudit.pipeline import check
    from archaudit.pipeline.gate.self_test import run_self_test

    with asked_options(**asked) as options:
        cases = run_self_test(check, options)
    for case in cases:
        came_out = case.expected if case.holds else f"{case.outcome or 'not judged'}, but should be {case.expected}"
        print_text(f"{'✓' if case.holds else '✗'} {case.id}: {came_out}\n    {case.reason}")
    failed = sum(not case.holds for case in cases)
    said = "does not close" if failed else "closes"
    print_text(f"\nThe gate {said}: {len(cases) - failed} of {len(cases)} planted cases came out as they should.")
    return EXIT_FAILED if failed else 0


def _deliver(judgement: Judgement, formats: tuple[str, ...], folder: Path | None) -> None:
    """Prints the formats; with a folder, writes them there and prints text and what a log is read for."""
    from archaudit.render import render_judgement_text
    from archaudit.render.outputs import write_output

    wanted = list(dict.fromkeys(formats)) or (["text"] if folder is None else ["text", *_USUAL])
    texts = {
        name: render_judgement_text(judgement, terminal_width(), wants_color()) if name == "text" else write_output(name, judgement)
        for name in (wanted if folder is None else dict.fromkeys(["text", *wanted]))
    }
    if folder is not None:
        write_files(folder, {OUTPUTS[name].file: texts[name] for name in wanted if name != "text"})
    printed = [text for name, text in texts.items() if folder is None or name == "text" or name in _PRINTED]
    if any(printed):
        print_text("\n".join(text.rstrip("\n") for text in printed if text))


def _tell_error(error: ArchauditError) -> Judgement:
    """What kept everything from being judged, as a judgement: nothing of it is green."""
    reason = " ".join(part for part in (error.message, error.hint) if part)
    verdict = Verdict(
        id="check", origin="budget", model="", metric="", scope="", comparison="", expected="", outcome="inconclusive", reason=reason
    )
    return Judgement(outcome="inconclusive", checks=(verdict,))


def _choose_status(judgement: Judgement, *, allow_inconclusive: bool) -> int:
    if judgement.outcome == "failed":
        return EXIT_FAILED
    if judgement.outcome == "passed" or (allow_inconclusive and judgement.checks and not judgement.unmeasured):
        return 0
    return EXIT_UNJUDGED
