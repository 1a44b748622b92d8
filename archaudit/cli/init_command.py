"""`archaudit init REF`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from archaudit.cli.options import build_options, dtype_option, measurement_options
from archaudit.cli.output import print_text, write_files
from archaudit.errors import ConfigError
from archaudit.schema import encode_baseline, strip_provenance


@click.command(short_help="Write a first config and baseline.")
@click.argument("reference")
@click.option("--name", help="Name of the model in the config (default: from REFERENCE).")
@click.option("--force", is_flag=True, help="Overwrite an existing config and baseline.")
@dtype_option
@measurement_options
def command(reference: str, name: str | None, force: bool, **arguments: Any) -> int:
    """Measure REFERENCE, and write archaudit.toml with budgets from the measured values, and baselines/NAME.json.

    Existing files are kept unless --force is given.
    """
    from archaudit.config import CONFIG_FILE, write_starter
    from archaudit.pipeline import profile

    model_name = name or _name_model(reference)
    if not re.fullmatch(r"[A-Za-z_][\w-]*", model_name) or model_name == "baseline":
        raise ConfigError(f"{model_name!r} cannot name a model", "Give a name of letters, digits, _ and -: --name NAME.")
    paths = [Path(CONFIG_FILE), Path("baselines", f"{model_name}.json")]
    there = [str(path) for path in paths if path.exists()]
    if there and not force:
        raise ConfigError(f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} already here", "Overwrite with --force.")
    with build_options(**arguments) as options:
        measured = profile(reference, options)
        where, inputs = _find_code(reference, options.inputs, options.config)
    write_files(paths[1].parent, {paths[1].name: encode_baseline(strip_provenance(measured))})
    write_files(Path(), {CONFIG_FILE: write_starter(model_name, where, inputs, measured)})
    print_text(f"wrote {paths[0]} and {paths[1]}\nreview the limits, then run: archaudit check")
    return 0


def _name_model(reference: str) -> str:
    """A name for the model of a reference: `models/seg.py:Net(width=2)` is `net`, `torchvision:resnet50` `resnet50`."""
    head = reference.partition("(")[0].partition("@")[0].removesuffix(".json")
    last = re.split(r"[:/\\]", head)[-1].removesuffix(".py")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).lower()
    return re.sub(r"\W+", "_", words, flags=re.ASCII).strip("_")


def _find_code(reference: str, inputs: tuple[str, ...], config: Any) -> tuple[str, tuple[str, ...]]:
    """Returns the reference and inputs for the config. A name is resolved, because a config needs a reference to code."""
    from archaudit.config import load_example_config
    from archaudit.load.reference import parse_reference

    parsed = parse_reference(reference)
    for known in (config, load_example_config()):
        if parsed.kind == "name" and known is not None and parsed.target in known.models:
            model = known.models[parsed.target]
            return model.reference, inputs or model.inputs
    return reference, inputs
