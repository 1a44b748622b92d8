"""The options that several commands share, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from archaudit.cli.progress import shown_progress
from archaudit.worker.client import DEFAULT_TIMEOUT_S

if TYPE_CHECKING:
    from archaudit.pipeline import Options, TimingOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def _read_size(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """A number of bytes as people write it."""
    if text is None:
        return None
    from archaudit.schema import parse_quantity

    try:
        size = parse_quantity(text)
    except ValueError:
        size = None
    if size is None or size.unit not in ("", "bytes") or size.value <= 0 or size.relation or size.is_range:
        raise click.BadParameter(f"{text!r} is no size; write for example 8G or 512Mi.", ctx, param)
    return int(size.value)


def measuring_options(command: Command) -> Command:
    """`--input`, `--config`, and how models are measured."""
    for option in reversed(
        (
            click.option("--input", "inputs", multiple=True, metavar="SHAPE", help="1x3x512x512, or ids=int64[1,128]; several allowed."),
            click.option(
                "--config",
                "config_path",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Instead of archaudit.toml or pyproject.toml here or above.",
            ),
            click.option("--baselines", type=click.Path(path_type=Path), metavar="DIR", help="Where saved profiles are."),
            click.option("--baseline-rev", "baseline_revision", metavar="REV", help="Read saved profiles as they are at a git revision."),
            click.option("--witnesses/--no-witnesses", default=True, help="Ask torchinfo and fvcore too (default: yes)."),
            click.option("--isolation/--no-isolation", default=True, help="Measure each model in a process of its own (default: yes)."),
            click.option(
                "--timeout",
                "timeout_s",
                type=click.FloatRange(min=0, min_open=True),
                default=DEFAULT_TIMEOUT_S,
                metavar="SECONDS",
                help=f"For each step of measuring (default: {DEFAULT_TIMEOUT_S:g}).",
            ),
            click.option(
                "--memory", callback=_read_size, metavar="SIZE", help="For each model: 8G, 512Mi (default: most of what is free, together)."
            ),
            click.option(
                "--python",
                "pythons",
                multiple=True,
                metavar="PATH",
                help="Measure under another interpreter, which has its own archaudit and torch; given twice: before, after.",
            ),
            click.option("--allow-pickle", is_flag=True, help="Read a .pt or .pth of weights, by torch's reader that runs no code."),
            click.option("--cache/--no-cache", "cached", default=True, help="Keep and use profiles of git revisions (default: yes)."),
        )
    ):
        command = option(command)
    return command


def latency_option(command: Command) -> Command:
    """`--latency`."""
    return click.option(
        "--latency",
        type=click.Choice(["recorded", "auto", "cuda", "cpu", "off"]),
        help="Times of the forward pass, whole and by module: what was recorded of the same models (the default, unless the config has "
        "[latency]), or measured now, auto on CUDA where there is one.",
    )(command)


def format_option(command: Command) -> Command:
    """`--format` and `-o`."""
    command = click.option(
        "--format",
        "format_name",
        type=click.Choice(["text", "json", "markdown", "html"]),
        default="text",
        help="What to print (default: text).",
    )(command)
    return click.option(
        "-o",
        "--output",
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Also write the report there, as .md, .html and .json.",
    )(command)


@contextmanager
def asked_options(
    inputs: tuple[str, ...],
    config_path: Path | None,
    baselines: Path | None,
    baseline_revision: str | None,
    witnesses: bool,
    isolation: bool,
    timeout_s: float,
    latency: Any = "off",
    timing: TimingOptions | None = None,
    symbolic: bool = False,
    equivalent: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
    cached: bool = True,
    memory: int | None = None,
    pythons: tuple[str, ...] = (),
    allow_pickle: bool = False,
) -> Iterator[Options]:
    """What the shared options come to. While open, progress is shown on a terminal, and is gone afterwards."""
    from archaudit.config import find_config, load_config
    from archaudit.pipeline import Options, TimingOptions
    from archaudit.worker import WorkerOptions

    path = config_path or find_config(Path.cwd())
    config = load_config(path) if path is not None else None
    with shown_progress() as shown:
        yield Options(
            config=config,
            inputs=inputs,
            baselines=baselines,
            baseline_revision=baseline_revision,
            witnesses=witnesses,
            symbolic=symbolic,
            equivalent=equivalent,
            latency=latency,
            timing=timing or TimingOptions(),
            workers=WorkerOptions(isolated=isolation, timeout_s=timeout_s, memory_bytes=memory, pythons=pythons),
            notify=shown.notify,
            advance=shown.advance,
            meanwhile=meanwhile,
            cached=cached,
            allow_pickle=allow_pickle,
        )
