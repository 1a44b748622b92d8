"""`archaudit latency BEFORE [AFTER]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED, printable
from archaudit.cli.options import asked_options, measuring_options
from archaudit.cli.output import name_file, print_text, terminal_width, wants_color, write_files
from archaudit.errors import ConfigError, SavedFileError
from archaudit.schema import LatencyFile, Profile, TimingSettings, Verdict, decode_latencies, encode

if TYPE_CHECKING:
    from archaudit.pipeline import Options, TimingOptions


@click.command(short_help="Time one model, or two against each other.")
@click.argument("before")
@click.argument("after", required=False)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where (default: auto, CUDA where there is one)."
)
@click.option(
    "--dtype", type=click.Choice(["float32", "tf32", "float16", "bfloat16"]), default="float32", help="Arithmetic (default: float32)."
)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="The first dimension of every input (default: as it is).")
@click.option("--channels-last", is_flag=True, help="Lay images and weights out with the channels last.")
@click.option("--compile", "compiled", is_flag=True, help="Time the compiled model too, as a whole.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Of the CPU (default: half as many as there are CPUs).")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Of the order of the blocks (default: drawn, and printed).")
@click.option("--seconds", type=click.FloatRange(min=1), default=15.0, help="For one measurement of two models (default: 15).")
@click.option(
    "--max-increase", type=click.FloatRange(min=0), metavar="PERCENT", help="Fail when AFTER takes so much more time than BEFORE."
)
@click.option("--record", is_flag=True, help="Keep the times, in the baselines' folder latency/DEVICE.json.")
@click.option("--format", "format_name", type=click.Choice(["text", "json"]), default="text", help="What to print (default: text).")
@measuring_options
def command(before: str, after: str | None, format_name: str, max_increase: float | None, record: bool, **asked: Any) -> int:
    """Time the forward pass of BEFORE, or of BEFORE and AFTER in turn on one device, whole and layer by layer.

    The ratio comes with a confidence interval and with the smallest regression that this machine can see today. Exits with 1 when it is
    beyond --max-increase, with 2 when that could not be judged; without --max-increase with 0.
    """
    from archaudit.pipeline import Options, compare, profile
    from archaudit.render.terminal import paint_profile_timing, paint_timing

    if after is None and max_increase is not None:
        raise click.UsageError("--max-increase is about two models: name BEFORE and AFTER.")
    timing = _make_timing(asked, max_increase)
    # other counters have nothing to say of time, and cost seconds
    asked |= {"latency": timing.settings.device, "timing": timing, "witnesses": False}
    with asked_options(**asked) as options:
        assert isinstance(options, Options)
        report = compare(before, after, options) if after is not None else None
        profiles = (report.before, report.after) if report is not None else (profile(before, options),)
    if format_name == "json":
        print_text(encode(report or profiles[0]).decode())
    elif report is not None:
        print_text(paint_timing(report, terminal_width(), wants_color()))
    else:
        print_text(paint_profile_timing(profiles[0], terminal_width(), wants_color()))
    lines = [_record(profiles, options)] if record else []
    verdict = _judge(profiles, timing)
    if verdict is not None:
        lines.append(f"{verdict.outcome.upper()}: {verdict.reason}")
    for line in lines:
        click.echo(printable(line), err=format_name == "json")  # JSON stays alone on standard output
    return 0 if verdict is None else {"passed": 0, "failed": EXIT_FAILED}.get(verdict.outcome, EXIT_UNJUDGED)


def _make_timing(asked: dict[str, Any], max_increase: float | None) -> TimingOptions:
    from archaudit.pipeline import TimingOptions
    from archaudit.schema import LatencyBudget

    names = ("device", "dtype", "batch", "channels_last", "compiled", "threads")
    settings = TimingSettings(**{name: asked.pop(name) for name in names})
    ratio = 1 + max_increase / 100 if max_increase is not None else None
    budget = LatencyBudget(max_ratio=ratio, expected=f"{ratio:.4g}x") if ratio is not None else None
    return TimingOptions(settings=settings, seed=asked.pop("seed"), limit_s=asked.pop("seconds"), budget=budget)


def _judge(profiles: tuple[Profile, ...], timing: TimingOptions) -> Verdict | None:
    """The verdict under --max-increase; None where that was not given."""
    from archaudit.judge.latency import judge_latency

    if timing.budget is None:
        return None
    return judge_latency(profiles[1].name, profiles[0].latency, profiles[1].latency, timing.budget)


def _record(profiles: tuple[Profile, ...], options: Options) -> str:
    """Adds the times to the device's file, in place of earlier ones of the same models and settings; says where."""
    from archaudit.pipeline import find_folder
    from archaudit.pipeline.recordings import make_recording, merge_recording

    if any(profile.latency is None for profile in profiles):
        raise ConfigError("a saved profile was not timed, so there is nothing to record of it", "Name the models' code.")
    entry = make_recording(profiles)
    name = f"{name_file(entry.before.device)}.json"
    path = find_folder(options) / "latency" / name
    try:
        known = decode_latencies(path.read_bytes(), str(path)) if path.exists() else LatencyFile()
    except OSError as error:
        raise SavedFileError(f"{path} cannot be read: {error.strerror}") from error
    written = write_files(path.parent, {name: encode(merge_recording(known, entry))})
    return f"wrote {written[0]}"
