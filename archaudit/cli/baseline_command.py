"""`archaudit baseline`."""

from __future__ import annotations

from typing import Any

import click

from archaudit.cli.asking import asked_options, measuring_options
from archaudit.cli.output import name_file, print_text, write_files
from archaudit.errors import ConfigError
from archaudit.schema import encode_lock, strip_provenance


@click.command(short_help="Write or update baselines.")
@click.argument("names", nargs=-1)
@measuring_options
def command(names: tuple[str, ...], **asked: Any) -> int:
    """Profile the models NAMES (default: all that the config's baseline budgets are about) and save them as baselines.

    The same code gives the same bytes: commit them, and review their diffs.
    """
    from archaudit.pipeline import find_folder, list_baselined, profile_runs

    with asked_options(**asked) as options:
        wanted = list_baselined(options.config, names)
        if not wanted:
            raise ConfigError("there is nothing to write a baseline of", "Name the models: archaudit baseline NAME ...")
        profiles = profile_runs(wanted, options)
    files = {f"{name_file(name)}.json": encode_lock(strip_provenance(measured)) for name, measured in profiles.items()}
    print_text("\n".join(f"wrote {path}" for path in write_files(find_folder(options), files)))
    return 0
