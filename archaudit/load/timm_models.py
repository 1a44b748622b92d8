"""Models of timm by name: `timm:vit_tiny_patch16_224`, `timm:resnet50(num_classes=10)`. timm is optional; weights are never downloaded."""

from __future__ import annotations

import difflib
import functools
from typing import Any

from archaudit.errors import LoadError
from archaudit.load.reference import Reference
from archaudit.schema import InputSpec, Recipe


def load(reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    """The recipe for a model of timm. The default input is the size in its configuration, or the argument `img_size`."""
    timm = _import_timm()
    known = timm.list_models()
    base = reference.attribute.partition(".")[0]
    if base not in known:
        near = difflib.get_close_matches(base, known, n=3, cutoff=0.5)
        raise LoadError(f"timm has no model {reference.attribute!r}", f"Did you mean {' or '.join(near)}?" if near else None)
    if reference.arguments.get("pretrained"):
        raise LoadError(
            f"{reference.text}: pretrained weights would be downloaded", "Counts do not depend on weights; remove the argument."
        )
    assumptions: tuple[str, ...] = ()
    if not inputs:
        shape = (1, *_read_size(timm, reference))
        inputs = (InputSpec(shape=shape),)
        assumptions = (f"the input is {'x'.join(map(str, shape))}: the size in timm's configuration of the model",)
    arguments = {**reference.arguments, "pretrained": False}
    return Recipe(
        name=name,
        reference=reference.text,
        build=functools.partial(timm.create_model, reference.attribute, **arguments),
        inputs=inputs,
        assumptions=assumptions,
    )


def _import_timm() -> Any:
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise LoadError(f"timm cannot be imported: {error}") from error
        raise LoadError("timm is not installed", "Install it with: pip install 'archaudit[timm]'.") from error
    return timm


def _read_size(timm: Any, reference: Reference) -> tuple[int, int, int]:
    configuration = timm.get_pretrained_cfg(reference.attribute)
    channels, height, width = getattr(configuration, "input_size", None) or (3, 224, 224)
    channels = reference.arguments.get("in_chans", channels)
    size = reference.arguments.get("img_size")
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
    return int(channels), int(height), int(width)
