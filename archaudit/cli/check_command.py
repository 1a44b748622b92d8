"""`archaudit check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED, printable
from archaudit.cli.options import build_options, device_option, dtype_option, measurement_options
from archaudit.cli.output import print_text, terminal_width, wants_color, write_files
from archaudit.errors import ArchauditError
from archaudit.render.outputs import OUTPUTS
from archaudit.schema import Judgement, Verdict

# The formats that -o writes without --format.
_USUAL = ("markdown", "junit", "json")
# GitHub reads these from the log, so they are printed with -o too.
_PRINTED = ("annotations",)


@click.command(short_help="Judge the budgets of the config.")
@click.argument("names", nargs=-1)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["text", *OUTPUTS]),
    multiple=True,
    help="What to print, or to write with -o; repeat for several (default: text).",
)
@click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Write the formats to this folder, and print text."
)
@click.option(
    "--allow-inconclusive", is_flag=True, help="Exit with 0 even if a check could not be judged. Without any check the status stays 2."
)
@click.option("--self-test", is_flag=True, help="Instead, add a regression of each kind to a small model and verify that the check fails.")
@device_option
@dtype_option
@measurement_options
def command(names: tuple[str, ...], formats: tuple[str, ...], folder: Path | None, allow_inconclusive: bool, **arguments: Any) -> int:
    """Check every budget of the config, or only those of the models NAMES. Relative budgets compare with the saved baselines.

    Exit status: 1 if a budget is exceeded, 2 if one could not be judged or if there is none.
    """
    from archaudit.pipeline import check

    if arguments.pop("self_test"):
        return _test_gate(arguments)
    try:
        with build_options(**arguments) as options:
            judgement = check(names, options)
    except ArchauditError as error:  # overwrite the files of an earlier run: they may say passed
        if formats or folder:
            _deliver(_make_error_judgement(error), formats, folder)
        raise
    _deliver(judgement, formats, folder)
    for name, why in judgement.unmeasured.items():
        click.echo(printable(" ".join(f"archaudit: {name} was not measured: {why}".split())), err=True)
    return _choose_status(judgement, allow_inconclusive=allow_inconclusive)


def _test_gate(arguments: dict[str, Any]) -> int:
    """Prints the result of every self-test case. A case that is not caught is a failure, independent of the config."""
    from archaudit.pipeline import check
    from archaudit.pipeline.self_test import run_self_test

    with build_options(**arguments) as options:
        cases = run_self_test(check, options)
    for case in cases:
        result = case.expected if case.holds else f"{case.outcome or 'not judged'}, but should be {case.expected}"
        print_text(f"{'✓' if case.holds else '✗'} {case.id}: {result}\n    {case.reason}")
    failed = sum(not case.holds for case in cases)
    verdict = "failed" if failed else "passed"
    print_text(f"\nSelf-test {verdict}: {len(cases) - failed} of {len(cases)} cases gave the expected outcome.")
    return EXIT_FAILED if failed else 0


def _deliver(judgement: Judgement, formats: tuple[str, ...], folder: Path | None) -> None:
    """Prints the formats; with a folder, writes them there and prints text and the annotations."""
    from archaudit.render import render_judgement_text
    from archaudit.render.outputs import write_output

    wanted = list(dict.fromkeys(formats)) or (["text"] if folder is None else ["text", *_USUAL])
    texts = {
        name: render_judgement_text(judgement, terminal_width(), wants_color()) if name == "text" else write_output(name, judgement)
        for name in (wanted if folder is None else dict.fromkeys(["text", *wanted]))
    }
    if folder is not None:
        write_files(folder, {OUTPUTS[name].file: texts[name] for name in wanted if name != "text"})
    for name, text in texts.items():
        if text and (folder is None or name == "text" or name in _PRINTED):
            print_text(text, commands=name in _PRINTED)


def _make_error_judgement(error: ArchauditError) -> Judgement:
    """Returns an inconclusive judgement with the error that prevented all checks."""
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
