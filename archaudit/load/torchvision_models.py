"""Models of torchvision by name: `torchvision:resnet50`, `torchvision:vit_b_16(image_size=384)`. Never downloads weights."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any

from archaudit.errors import LoadError
from archaudit.load.reference import Reference
from archaudit.schema import InputSpec, Recipe

MISMATCH_HINT = "Install matching versions: pip install --upgrade torch torchvision (0.26 goes with 2.11, and so on)."

# The number of frames of a video that torchvision's tests use; the entries of weights do not have it.
_FRAMES = 16

# The arguments for the only image size that a vision transformer or MaxViT accepts. Without one, a vision transformer accepts 224, even if
# its best weights were trained at another size.
_SIZE_ARGUMENTS = ("image_size", "input_size")
_TRANSFORMER_SIZE = 224

# These models warn unless they get the argument `init_weights`: its default may change.
_NEEDS_INIT_WEIGHTS = ("googlenet", "inception_v3")


def load(reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    """The recipe for a model of torchvision. The default input has the size that torchvision's published figures are for."""
    models = _import_models()
    known = models.list_models()
    if reference.attribute not in known:
        near = difflib.get_close_matches(reference.attribute, known, n=3, cutoff=0.4)
        raise LoadError(f"torchvision has no model {reference.attribute!r}", f"Did you mean {' or '.join(near)}?" if near else None)
    builder = models.get_model_builder(reference.attribute)
    arguments = _without_weights(builder, reference)
    assumptions: tuple[str, ...] = ()
    family = builder.__module__.removeprefix("torchvision.models.").split(".")[0]
    example_inputs: Callable[[], Any] | None = None
    if family == "detection":
        example_inputs = functools.partial(_make_images, inputs or (InputSpec(shape=(1, 3, 800, 800)),))
        assumptions = () if inputs else ("the input is one image of 3x800x800: torchvision publishes no size for detection models",)
        inputs = ()
    elif not inputs:
        inputs, assumption = _published_inputs(models, reference, family)
        assumptions = (assumption,)
    return Recipe(
        name=name,
        reference=reference.text,
        build=functools.partial(builder, **arguments),
        inputs=inputs,
        example_inputs=example_inputs,
        assumptions=assumptions,
    )


def _import_models() -> Any:
    try:
        import torchvision.models
    except RuntimeError as error:
        if "torchvision::nms" in str(error):
            raise LoadError(f"torch and torchvision do not match: {error}", MISMATCH_HINT) from error
        raise
    except ImportError as error:
        raise LoadError(f"torchvision cannot be imported: {error}", MISMATCH_HINT) from error
    return torchvision.models


def _without_weights(builder: Callable[..., Any], reference: Reference) -> dict[str, Any]:
    """The user's arguments, with weights set to None where the builder has such a parameter."""
    parameters = inspect.signature(builder).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    wanted = {key: value for key, value in reference.arguments.items() if key not in ("weights", "weights_backbone")}
    switches: dict[str, Any] = {key: None for key in ("weights", "weights_backbone") if key in parameters}
    given = [key for key in ("weights", "weights_backbone") if reference.arguments.get(key) is not None]
    if given:
        raise LoadError(f"{reference.text}: {given[0]} would be downloaded", "Counts do not depend on weights; remove the argument.")
    if not takes_any:
        unknown = [key for key in wanted if key not in parameters]
        if unknown:
            raise LoadError(
                f"{reference.text}: {reference.attribute} has no argument {unknown[0]!r}", f"It takes: {', '.join(parameters)}."
            )
    if reference.attribute.removeprefix("quantized_") in _NEEDS_INIT_WEIGHTS:
        switches["init_weights"] = True  # the current default
    return {**switches, **wanted}


def _published_inputs(models: Any, reference: Reference, family: str) -> tuple[tuple[InputSpec, ...], str]:
    """The input that torchvision's published figures are for: the crop size, frames for video, two images for optical flow."""
    sizes = [reference.arguments[name] for name in _SIZE_ARGUMENTS if reference.arguments.get(name)]
    size = sizes[0] if sizes else _read_crop_size(models, reference.attribute, family)
    height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
    if family == "video":
        shape: tuple[int, ...] = (1, 3, _FRAMES, height, width)
    else:
        shape = (1, 3, height, width)
    specs = (InputSpec(shape=shape),) * (2 if family == "optical_flow" else 1)
    return (
        specs,
        f"the input is {'x'.join(map(str, shape))}{', twice' if len(specs) == 2 else ''}: the size torchvision publishes figures for",
    )


def _read_crop_size(models: Any, name: str, family: str) -> Any:
    if family == "vision_transformer":
        return _TRANSFORMER_SIZE
    if family == "segmentation":
        return 520
    if family == "optical_flow":
        return 512
    weights = models.get_model_weights(name)
    entry = getattr(weights, "DEFAULT", None)
    transforms = getattr(entry, "transforms", None)
    crop = getattr(transforms, "keywords", {}).get("crop_size", 224)
    return crop if isinstance(crop, int) else tuple(crop)


def _make_images(specs: tuple[InputSpec, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The list of images that a detection model takes: each spec is a batch, or one image with three dimensions."""
    import torch

    images: list[Any] = []
    for spec in specs:
        made = torch.rand(spec.shape, dtype=getattr(torch, spec.dtype))
        images.extend(made.unbind(0) if made.dim() == 4 else [made])
    return (images,), {}
