"""The command line options that several commands share, and the pipeline Options that they build."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from archaudit.cli import printable
from archaudit.cli.progress import show_progress
from archaudit.cli.table_options import TABLE_FORMATS
from archaudit.worker.client import DEFAULT_TIMEOUT_S

if TYPE_CHECKING:
    from archaudit.pipeline import Options, TimingOptions
    from archaudit.render.detail import Detail
    from archaudit.schema import TrainingSettings

Command = TypeVar("Command", bound=Callable[..., Any])


def _read_size(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Parses a number of bytes such as 8G."""
    if text is None:
        return None
    from archaudit.schema import parse_quantity

    try:
        size = parse_quantity(text)
    except ValueError:
        size = None
    if size is None or size.unit not in ("", "bytes") or size.value <= 0 or size.relation or size.is_range:
        raise click.BadParameter(f"{text!r} is not a size; write for example 8G or 512Mi.", ctx, param)
    return int(size.value)


def read_dtype(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    """The dtype that a user typed."""
    if text is None:
        return None
    from archaudit.errors import InputError
    from archaudit.load.inputs import parse_dtype

    try:
        return parse_dtype(text)
    except InputError as error:
        raise click.BadParameter(f"{error.message}. {error.hint}", ctx, param) from error


def dtype_option(command: Command) -> Command:
    """Adds `--dtype`."""
    return click.option(
        "--dtype",
        callback=read_dtype,
        metavar="DTYPE",
        help="Cast each model and its floating-point inputs to bfloat16, float16, float32 or float64 (default: as it is built).",
    )(command)


def arg_file_option(command: Command) -> Command:
    """Adds `--arg-file`."""
    return click.option(
        "--arg-file",
        "arg_files",
        multiple=True,
        metavar="FILE",
        help="Arguments of the model from a .json, .toml or .yaml file, or from FILE.py:NAME; give it twice for before and after.",
    )(command)


def _leave_out_other_counters(context: click.Context, parameter: click.Parameter, chosen: bool) -> None:
    if chosen:
        context.default_map = {**(context.default_map or {}), "other_counters": False}


def _refuse_nan(ctx: click.Context, param: click.Parameter, seconds: float) -> float:
    """Rejects nan, which no range excludes."""
    if math.isnan(seconds):
        raise click.BadParameter("nan is not a time; inf means no limit.", ctx, param)
    return seconds


def measurement_options(command: Command) -> Command:
    """Adds `--input`, `--config` and the options of measuring."""
    for option in reversed(
        (
            click.option(
                "--input",
                "inputs",
                multiple=True,
                metavar="INPUT",
                help="Input: 1x3x512x512, ids=int64[1,128], ids=int64[1,128]:randint(0,32000), @FILE.npz or FILE.py:FUNCTION; repeat for "
                "several inputs.",
            ),
            click.option("--params-only", is_flag=True, help="Only build each model: no input is needed, and FLOPs are not counted."),
            click.option(
                "--config",
                "config_path",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Config file (default: archaudit.toml or pyproject.toml, here or in a parent folder).",
            ),
            click.option(
                "--baselines",
                type=click.Path(path_type=Path),
                metavar="DIR",
                help="Folder of the saved profiles (default: baselines, or as the config says).",
            ),
            click.option("--baseline-rev", "baseline_revision", metavar="REV", help="Read the saved profiles from this git revision."),
            click.option("--other-counters/--no-other-counters", default=True, help="Also count with torchinfo and fvcore (default: yes)."),
            # The name of this option in earlier versions.
            click.option(
                "--no-witnesses", is_flag=True, is_eager=True, hidden=True, expose_value=False, callback=_leave_out_other_counters
            ),
            click.option("--isolation/--no-isolation", default=True, help="Measure each model in its own process (default: yes)."),
            click.option(
                "--timeout",
                "timeout_s",
                type=click.FloatRange(min=0, min_open=True),
                callback=_refuse_nan,
                default=DEFAULT_TIMEOUT_S,
                metavar="SECONDS",
                help=f"Time limit for each measuring step (default: {DEFAULT_TIMEOUT_S:g}).",
            ),
            click.option(
                "--memory",
                callback=_read_size,
                metavar="SIZE",
                help="Memory limit for each model: 8G, 512Mi (default: most of the free memory). With --training: memory of the device, "
                "in which the largest batch is searched.",
            ),
            click.option(
                "--python",
                "pythons",
                multiple=True,
                metavar="PATH",
                help="Measure with another Python interpreter that has archaudit and torch; give it twice for before and after.",
            ),
            click.option(
                "--allow-pickle", is_flag=True, help="Allow weights in .pt and .pth files, read with torch.load(weights_only=True)."
            ),
            click.option(
                "--harness",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                help="Add this file of the work tree to each git revision: it builds the model from the revision's code.",
            ),
            click.option(
                "--cache/--no-cache",
                "cached",
                default=True,
                help="Cache profiles of git revisions and of documents' models (default: yes).",
            ),
        )
    ):
        command = option(command)
    return command


def fresh_option(command: Command) -> Command:
    """Adds `--fresh`."""
    return click.option("--fresh", is_flag=True, help="Measure every model again, even if its kept profile is still right.")(command)


def device_option(command: Command) -> Command:
    """Adds `--device`."""
    return click.option(
        "--device",
        type=click.Choice(["cpu", "cuda"]),
        default="cpu",
        help="Device whose operators are assumed for memory: fused attention and layers differ (default: cpu). No device is needed.",
    )(command)


def latency_option(command: Command) -> Command:
    """Adds `--latency`."""
    return click.option(
        "--latency",
        type=click.Choice(["recorded", "auto", "cuda", "cpu", "off"]),
        help="Forward pass times: recorded ones (default, unless the config has [latency]), or measured now on cuda or cpu; auto uses CUDA "
        "if available.",
    )(command)


def format_option(command: Command) -> Command:
    """Adds `--format` and `-o`."""
    return _add_formats(command, ("text", "json", "markdown", "html"))


def report_format_option(command: Command) -> Command:
    """Adds `--format`, with the formats of comparisons, and `-o`."""
    return _add_formats(command, ("text", "json", "markdown", "html", "review", *TABLE_FORMATS))


def table_format_option(command: Command) -> Command:
    """Adds `--format`, with those of tables and figures, and `-o`."""
    return _add_formats(command, ("text", "json", "markdown", "html", *TABLE_FORMATS))


def _add_formats(command: Command, names: tuple[str, ...]) -> Command:
    command = click.option("--format", "format_name", type=click.Choice(names), default="text", help="What to print (default: text).")(
        command
    )
    return click.option(
        "-o",
        "--output",
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Also write the report to this folder as .md, .html and .json.",
    )(command)


def detail_options(command: Command) -> Command:
    """Adds the options that say how much of a text report is printed."""
    for option in reversed(
        (
            click.option("--full", is_flag=True, help="Print everything: layers, forward pass, budgets, assumptions, method."),
            click.option("--layers", is_flag=True, help="Add the table of layers."),
            click.option("--depth", type=click.IntRange(min=0), metavar="N", help="Add the table of layers, down to this level."),
            click.option("--top", type=click.IntRange(min=1), metavar="N", help="Number of changes, or of modules, to list."),
            click.option("--only-changes", is_flag=True, help="Add the table of layers, without those that did not change."),
            click.option(
                "--units", type=click.Choice(["flops", "macs"]), default="flops", help="The unit of compute in tables (default: flops)."
            ),
            click.option("-q", "--quiet", is_flag=True, help="Print only the verdict; see the exit status."),
        )
    ):
        command = option(command)
    return command


def read_detail(arguments: dict[str, Any], report: str) -> Detail:
    """Takes the options of `detail_options` out of `arguments`. `report` is where the report was written, empty if nowhere."""
    from archaudit.render.detail import Detail

    return Detail(**{name: arguments.pop(name) for name in ("full", "layers", "depth", "top", "only_changes", "units")}, report=report)


def _make_absolute(text: str) -> str:
    """The path of a file from the root, because a worker of a git revision runs in another folder."""
    return str(Path.cwd() / Path(text).expanduser())


@contextmanager
def build_options(
    inputs: tuple[str, ...],
    config_path: Path | None,
    baselines: Path | None,
    baseline_revision: str | None,
    other_counters: bool,
    isolation: bool,
    timeout_s: float,
    latency: Any = "off",
    timing: TimingOptions | None = None,
    symbolic: bool = False,
    equivalent: bool = False,
    prove_map: bool = False,
    audit: bool = False,
    while_workers_start: Callable[[], None] = lambda: None,
    cached: bool = True,
    fresh: bool = False,
    harness: Path | None = None,
    memory: int | None = None,
    pythons: tuple[str, ...] = (),
    allow_pickle: bool = False,
    device: Any = "cpu",
    dtype: str | None = None,
    params_only: bool = False,
    arg_files: tuple[str, ...] = (),
    training: TrainingSettings | None = None,
) -> Iterator[Options]:
    """Yields the pipeline's Options. While the context is open, a terminal shows progress."""
    from archaudit.config import find_config, load_config
    from archaudit.pipeline import Options, TimingOptions
    from archaudit.worker import WorkerOptions

    path = config_path or find_config(Path.cwd())
    config = load_config(path) if path is not None else None
    with show_progress() as progress:
        yield Options(
            config=config,
            inputs=inputs,
            baselines=baselines,
            baseline_revision=baseline_revision,
            other_counters=other_counters,
            symbolic=symbolic,
            equivalent=equivalent,
            prove_map=prove_map,
            audit=audit,
            latency=latency,
            timing=timing or TimingOptions(),
            workers=WorkerOptions(isolated=isolation, timeout_s=timeout_s, memory_bytes=memory, pythons=pythons),
            on_stage=progress.notify,
            on_warning=lambda text: click.echo(printable(text), err=True),
            on_progress=progress.advance,
            while_workers_start=while_workers_start,
            cached=cached,
            fresh=fresh,
            harness=str(harness) if harness is not None else "",
            allow_pickle=allow_pickle,
            device=device,
            dtype=dtype,
            params_only=params_only,
            training=training,
            arg_files=tuple(_make_absolute(text) for text in arg_files),
        )
