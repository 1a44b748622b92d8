"""The options of a training step, which several commands share."""

from __future__ import annotations

from typing import Any

import click

from archaudit.cli.options import Command, read_dtype
from archaudit.schema import TrainingSettings


def training_options(command: Command) -> Command:
    """Adds `--training` and the options of a training step."""
    for option in reversed(
        (
            click.option(
                "--training", is_flag=True, help="Measure one training step too: loss, backward pass, optimizer; FLOPs and memory."
            ),
            click.option(
                "--optimizer",
                metavar="NAME",
                help="Optimizer of the step: adamw (default), sgd:momentum=0.9, adafactor, muon, any of torch.optim, package.module:Class.",
            ),
            click.option("--amp", callback=read_dtype, metavar="DTYPE", help="Run the step under autocast: bf16 or fp16."),
            click.option("--checkpoint", is_flag=True, help="Turn on activation checkpointing by the model's own flag."),
            click.option(
                "--checkpoint-modules", metavar="PATTERN", help="Checkpoint these modules: 'layers.*', or several patterns with commas."
            ),
            click.option("--reentrant", is_flag=True, help="Use the reentrant form of checkpointing."),
        )
    ):
        command = option(command)
    return command


def take_training(arguments: dict[str, Any]) -> TrainingSettings | None:
    """Takes the options of `training_options` out of `arguments`; None if none of them was given.

    With a training step, `--memory` is the memory of the device that the step has to fit in.
    """
    names = ("training", "optimizer", "amp", "checkpoint", "checkpoint_modules", "reentrant")
    training, optimizer, amp, checkpoint, patterns, reentrant = (arguments.pop(name) for name in names)
    if not any((training, optimizer, amp, checkpoint, patterns, reentrant)):
        return None
    if amp not in (None, "bfloat16", "float16"):
        raise click.UsageError(f"--amp takes bf16 or fp16, not {amp}.")
    if checkpoint and patterns:
        raise click.UsageError("Give --checkpoint (the model's own flag) or --checkpoint-modules, not both.")
    if reentrant and not (checkpoint or patterns):
        raise click.UsageError("--reentrant needs --checkpoint or --checkpoint-modules.")
    return TrainingSettings(
        optimizer=optimizer or "adamw",
        amp=amp,
        checkpoint=patterns or ("model" if checkpoint else ""),
        reentrant=reentrant,
        memory_bytes=arguments.pop("memory", None),
    )
