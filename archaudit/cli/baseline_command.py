"""`archaudit baseline`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from archaudit.cli import EXIT_FAILED
from archaudit.cli.options import asked_options, measuring_options
from archaudit.cli.output import name_file, print_text, write_files
from archaudit.errors import ConfigError
from archaudit.schema import Profile, encode_lock, strip_provenance

if TYPE_CHECKING:
    from archaudit.pipeline import Options


@click.command(short_help="Write or update baselines.")
@click.argument("names", nargs=-1)
@click.option("--tighten", "tightened", is_flag=True, help="Also lower budgets to what is measured; nothing is ever raised.")
@measuring_options
def command(names: tuple[str, ...], tightened: bool, **asked: Any) -> int:
    """Profile the models NAMES (default: all that the config's baseline budgets are about) and save them as baselines.

    The same code gives the same bytes: commit them, and review their diffs. With --tighten, max and min in the config are set to what is
    measured where that is tighter, with comments kept, and a baseline that a model does not hold stays as it is (then exits with 1).
    """
    from archaudit.pipeline import find_folder, list_baselined, profile_runs

    with asked_options(**asked) as options:
        if tightened:
            return _tighten(names, options)
        wanted = list_baselined(options.config, names)
        if not wanted:
            raise ConfigError("there is nothing to write a baseline of", "Name the models: archaudit baseline NAME ...")
        profiles = profile_runs(wanted, options)
    paths = write_files(find_folder(options), _encode(profiles))
    print_text("\n".join(f"wrote {path}" for path in paths))
    return 0


def _encode(profiles: Mapping[str, Profile]) -> dict[str, bytes]:
    return {f"{name_file(name)}.json": encode_lock(strip_provenance(measured)) for name, measured in profiles.items()}


def _tighten(names: tuple[str, ...], options: Options) -> int:
    from archaudit.pipeline import find_folder, list_baselined, list_needed, list_worse, profile_runs, tighten

    config = options.config
    if config is None:
        raise ConfigError("there is no config here to tighten", "Write archaudit.toml with [[budgets]], or name one: --config FILE.")
    baselined = list_baselined(config, names)
    needed = list_baselined(config, list_needed(config, names)) if list_needed(config, names) else []
    if not baselined and not needed:
        raise ConfigError(f"{config.source}: there is no budget to tighten", "The ratchet lowers max, raises min, and rewrites baselines.")
    profiles = profile_runs(list(dict.fromkeys([*baselined, *needed])), options)
    worse = list_worse(config, profiles, options)
    kept = {run.name: profiles[run.name] for run in baselined if run.name not in worse}
    tightening = tighten(config, profiles, names)
    lines = [f"wrote {path}" for path in (write_files(find_folder(options), _encode(kept)) if kept else [])]
    if tightening is not None:
        write_files(tightening.path.resolve().parent, {tightening.path.resolve().name: tightening.text})
        lines += tightening.changes
    lines += [f"kept the baseline of {name}: it does not hold, and a ratchet raises nothing" for name in worse]
    print_text("\n".join(lines) or "nothing could be tighter")
    return EXIT_FAILED if worse else 0
