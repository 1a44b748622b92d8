"""`archaudit baseline`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from archaudit.cli import EXIT_FAILED
from archaudit.cli.options import build_options, device_option, dtype_option, measurement_options
from archaudit.cli.output import name_file, print_text, write_files
from archaudit.errors import ConfigError
from archaudit.schema import Profile, encode_baseline, strip_provenance

if TYPE_CHECKING:
    from archaudit.pipeline import Options


@click.command(short_help="Write or update baselines.")
@click.argument("names", nargs=-1)
@click.option("--tighten", "tightened", is_flag=True, help="Also tighten the budgets to the measured values; they are never loosened.")
@click.option("--convert", "converted", is_flag=True, help="Only write saved baselines again in the present layout; nothing is measured.")
@device_option
@dtype_option
@measurement_options
def command(names: tuple[str, ...], tightened: bool, converted: bool, **arguments: Any) -> int:
    """Profile the models NAMES and save them as baselines (default: all models with a budget relative to a baseline).

    The same code gives the same bytes: commit the baselines and review their diffs. --tighten also sets max and min in the config to the
    measured values where those are tighter, and keeps comments. It keeps the baseline of a model that got worse, and then exits with 1.
    """
    from archaudit.pipeline import find_baseline_folder, list_baselined, profile_runs

    if tightened and converted:
        raise click.UsageError("--convert measures nothing: leave out --tighten.")
    with build_options(**arguments) as options:
        if converted:
            return _convert(names, find_baseline_folder(options))
        if tightened:
            return _tighten(names, options)
        wanted = list_baselined(options.config, names)
        if not wanted:
            raise ConfigError("there is no model to write a baseline of", "Name the models: archaudit baseline NAME ...")
        profiles = profile_runs(wanted, options)
    paths = write_files(find_baseline_folder(options), _encode(profiles, options))
    print_text("\n".join(f"wrote {path}" for path in paths))
    return 0


def _convert(names: tuple[str, ...], folder: Path) -> int:
    """Writes saved baselines again: those of the runs `names`, or all of the folder. Nothing is written if one of them cannot be read."""
    from archaudit.pipeline.targets import read_profile

    files = [folder / f"{name_file(name)}.json" for name in names] or sorted(folder.glob("*.json"))
    if not files:
        raise ConfigError(f"{folder} has no baselines to convert", "Write them: archaudit baseline NAME ...")
    texts = {file.name: encode_baseline(read_profile(file)) for file in files}
    changed = {file.name: texts[file.name] for file in files if file.read_bytes() != texts[file.name]}
    write_files(folder, changed)
    print_text("\n".join(f"{'wrote' if file.name in changed else 'unchanged'} {file}" for file in files))
    return 0


def _encode(profiles: Mapping[str, Profile], options: Options) -> dict[str, bytes]:
    """The text of each baseline by its file's name. References start at the config's folder: other machines have it at another place."""
    start = f"{options.config.folder}{os.sep}" if options.config is not None else ""
    texts = {}
    for name, measured in profiles.items():
        portable = msgspec.structs.replace(strip_provenance(measured), reference=measured.reference.removeprefix(start))
        texts[f"{name_file(name)}.json"] = encode_baseline(portable)
    return texts


def _tighten(names: tuple[str, ...], options: Options) -> int:
    from archaudit.pipeline import find_baseline_folder, list_baselined, list_needed, list_worse, profile_runs, tighten

    config = options.config
    if config is None:
        raise ConfigError("there is no config to tighten", "Write archaudit.toml with [[budgets]], or give one with --config FILE.")
    baselined = list_baselined(config, names)
    needed = list_baselined(config, list_needed(config, names)) if list_needed(config, names) else []
    if not baselined and not needed:
        raise ConfigError(f"{config.source}: there is no budget to tighten", "--tighten lowers max, raises min, and rewrites baselines.")
    profiles = profile_runs(list(dict.fromkeys([*baselined, *needed])), options)
    worse = list_worse(config, profiles, options)
    kept = {run.name: profiles[run.name] for run in baselined if run.name not in worse}
    tightening = tighten(config, profiles, names)
    lines = [f"wrote {path}" for path in (write_files(find_baseline_folder(options), _encode(kept, options)) if kept else [])]
    if tightening is not None:
        write_files(tightening.path.resolve().parent, {tightening.path.resolve().name: tightening.text})
        lines += tightening.changes
    lines += [f"kept the baseline of {name}: the model is worse than its baseline, and --tighten never loosens" for name in worse]
    print_text("\n".join(lines) or "nothing to tighten")
    return EXIT_FAILED if worse else 0
