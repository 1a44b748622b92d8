"""`archaudit conformance`."""

from __future__ import annotations

import json
import warnings

import click
import msgspec

from archaudit.cli import EXIT_FAILED
from archaudit.cli.output import print_text

_COLUMNS = ("counter", "right", "convention", "wrong", "zero", "incomplete", "error", "dirty")


@click.command(short_help="Check the counts on models with known answers.")
@click.argument("cases", nargs=-1)
@click.option(
    "--against", metavar="NAMES", default="", help="Also run: torchinfo, fvcore, flop_counter, thop, ptflops, calflops (comma-separated)."
)
@click.option(
    "--format", "format_name", type=click.Choice(["text", "json", "markdown"]), default="text", help="What to print (default: text)."
)
@click.option("-v", "--verbose", is_flag=True, help="List every answer that is not right, with the reason.")
def command(cases: tuple[str, ...], against: str, format_name: str, verbose: bool) -> int:
    """Count small models with known answers, with archaudit and with other tools.

    right: parameters, MACs and the MACs of each module equal the hand-computed ones. convention: differs only by bias, norm or pooling
    operations. wrong: another number. zero: 0 without a warning, though there is work. incomplete: wrong, but reported as incomplete.
    error: an exception. dirty: the model or the process was changed. Exit status: 1 unless archaudit is always right and never dirty.
    """
    from archaudit.conformance.run import run_counters

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the models and of the other counters
        results, scores = run_counters([name.strip() for name in against.split(",") if name.strip()], cases)
    own = scores[0]
    if format_name == "json":
        print_text(json.dumps({"scores": msgspec.to_builtins(scores), "results": msgspec.to_builtins(results)}, indent=1))
    else:
        rows = [_COLUMNS, *(tuple(str(getattr(score, column)) for column in _COLUMNS) for score in scores)]
        print_text(_align(rows, markdown=format_name == "markdown") + f"\n\n{own.cases} models")
    if verbose and format_name != "json":
        lines = [
            f"{result.counter}: {result.case}: {result.outcome} {result.reason}"
            for result in results
            if result.outcome != "right" or result.dirt
        ]
        print_text("\n".join(lines))
    return 0 if own.right == own.cases and not own.dirty else EXIT_FAILED


def _align(rows: list[tuple[str, ...]], *, markdown: bool) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    cells = [
        [cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    ]
    if not markdown:
        return "\n".join("  ".join(row).rstrip() for row in cells)
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], ruler, *cells[1:]))
