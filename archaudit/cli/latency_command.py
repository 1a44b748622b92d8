"""`archaudit latency BEFORE [AFTER]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED, printable
from archaudit.cli.options import build_options, measurement_options
from archaudit.cli.output import name_file, print_text, terminal_width, wants_color, write_files
from archaudit.errors import ConfigError, SavedFileError
from archaudit.schema import LatencyFile, Profile, TimingSettings, Verdict, decode_latencies, encode, read_file

if TYPE_CHECKING:
    from archaudit.pipeline import Options, TimingOptions


@click.command(short_help="Time one model, or two against each other.")
@click.argument("before")
@click.argument("after", required=False)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Device (default: auto, which is CUDA if available)."
)
@click.option(
    "--dtype", type=click.Choice(["float32", "tf32", "float16", "bfloat16"]), default="float32", help="Arithmetic type (default: float32)."
)
@click.option(
    "--batch", type=click.IntRange(min=1), metavar="N", help="Batch size: the first dimension of every input (default: unchanged)."
)
@click.option("--channels-last", is_flag=True, help="Use torch.channels_last memory format.")
@click.option("--compile", "compiled", is_flag=True, help="Also time the whole model under torch.compile.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads (default: half the number of CPUs).")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of the order of the rounds (default: random, and printed).")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=15.0,
    metavar="SECONDS",
    help="Time budget for one measurement of two models (default: 15).",
)
@click.option(
    "--max-increase", type=click.FloatRange(min=0), metavar="PERCENT", help="Fail if AFTER is slower than BEFORE by more than this."
)
@click.option("--record", is_flag=True, help="Save the times to latency/DEVICE.json in the baselines folder.")
@click.option("--format", "format_name", type=click.Choice(["text", "json"]), default="text", help="What to print (default: text).")
@measurement_options
def command(before: str, after: str | None, format_name: str, max_increase: float | None, record: bool, **arguments: Any) -> int:
    """Time the forward pass of BEFORE, or of BEFORE and AFTER in turns on one device, as a whole and layer by layer.

    The ratio has a confidence interval, and the report says which regression this run can detect. Exit status with --max-increase: 1 if
    AFTER is too slow, 2 if that could not be judged. Without --max-increase it is 0.
    """
    from archaudit.pipeline import Options, compare, profile
    from archaudit.render.terminal import format_comparison_timing, format_profile_timing

    if after is None and max_increase is not None:
        raise click.UsageError("--max-increase needs two models: BEFORE and AFTER.")
    timing = _make_timing(arguments, max_increase)
    # torchinfo and fvcore measure no time, and running them costs seconds
    arguments |= {"latency": timing.settings.device, "timing": timing, "other_counters": False}
    with build_options(**arguments) as options:
        assert isinstance(options, Options)
        report = compare(before, after, options) if after is not None else None
        profiles = (report.before, report.after) if report is not None else (profile(before, options),)
    if format_name == "json":
        print_text(encode(report or profiles[0]).decode())
    elif report is not None:
        print_text(format_comparison_timing(report, terminal_width(), wants_color()))
    else:
        print_text(format_profile_timing(profiles[0], terminal_width(), wants_color()))
    lines = [_record(profiles, options)] if record else []
    verdict = _judge(profiles, timing)
    if verdict is not None:
        lines.append(f"{verdict.outcome.upper()}: {verdict.reason}")
    for line in lines:
        click.echo(printable(line), err=format_name == "json")  # standard output holds the JSON only
    return 0 if verdict is None else {"passed": 0, "failed": EXIT_FAILED}.get(verdict.outcome, EXIT_UNJUDGED)


def _make_timing(arguments: dict[str, Any], max_increase: float | None) -> TimingOptions:
    from archaudit.pipeline import TimingOptions
    from archaudit.schema import LatencyBudget

    names = ("device", "dtype", "batch", "channels_last", "compiled", "threads")
    settings = TimingSettings(**{name: arguments.pop(name) for name in names})
    ratio = 1 + max_increase / 100 if max_increase is not None else None
    budget = LatencyBudget(max_ratio=ratio, expected=f"{ratio:.4g}x") if ratio is not None else None
    return TimingOptions(settings=settings, seed=arguments.pop("seed"), limit_s=arguments.pop("seconds"), budget=budget)


def _judge(profiles: tuple[Profile, ...], timing: TimingOptions) -> Verdict | None:
    """Returns the verdict under --max-increase; None without that option."""
    from archaudit.judge.latency import judge_latency

    if timing.budget is None:
        return None
    return judge_latency(profiles[1].name, profiles[0].latency, profiles[1].latency, timing.budget)


def _record(profiles: tuple[Profile, ...], options: Options) -> str:
    """Saves the times in the device's file, in place of earlier ones with the same models and settings; returns a message."""
    from archaudit.pipeline import find_baseline_folder
    from archaudit.pipeline.recordings import make_recording, merge_recording

    if any(profile.latency is None for profile in profiles):
        raise ConfigError("a saved profile holds no times to record", "Give references to code instead of saved profiles.")
    entry = make_recording(profiles)
    name = f"{name_file(entry.before.device)}.json"
    path = find_baseline_folder(options) / "latency" / name
    try:
        known = decode_latencies(read_file(path), str(path)) if path.exists() else LatencyFile()
    except OSError as error:
        raise SavedFileError(f"{path} cannot be read: {error.strerror}") from error
    written = write_files(path.parent, {name: encode(merge_recording(known, entry))})
    return f"wrote {written[0]}"
