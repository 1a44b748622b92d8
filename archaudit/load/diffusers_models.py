"""Models of diffusers by their configuration file: `diffusers:path/to/unet` or `diffusers:unet/config.json`. The library is optional.

The configuration names its class (`_class_name`). Arguments replace its entries: `diffusers:unet/config.json(sample_size=32)`.
"""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

from archaudit.errors import LoadError
from archaudit.load.reference import Reference
from archaudit.load.sources import read_configuration
from archaudit.schema import InputSpec, Recipe

# What text encoders give by default: 77 tokens of CLIP; FLUX takes 512 of T5, SD3 both, 77 + 256.
_CLIP_TOKENS, _FLUX_TOKENS, _SD3_TOKENS = 77, 512, 333
_LATENT_SIZE = 64  # of an image of 512 x 512 pixels, where the configuration names no size
_FRAMES = 8


def load(reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    """The recipe for the architecture of a configuration. The default input is one sample of its size, with the text that it takes."""
    diffusers = _import_diffusers()
    path = Path(reference.attribute).expanduser()
    path = path / "config.json" if path.is_dir() else path
    content = {**read_configuration(path, reference, "_class_name"), **reference.arguments}
    model_class = getattr(diffusers, str(content["_class_name"]), None)
    if model_class is None or not hasattr(model_class, "from_config"):
        raise LoadError(f"{reference.text}: the installed diffusers has no model {content['_class_name']!r}")
    assumptions: tuple[str, ...] = ()
    if not inputs:
        assumptions = ("one denoising step, or one pass of an autoencoder, on one sample of the configuration's size",)
    return Recipe(
        name=name,
        reference=reference.text,
        build=functools.partial(_build, model_class, content),
        inputs=inputs,
        default_inputs=None if inputs else _make_inputs,
        sources=(str(path.resolve()),),
        assumptions=assumptions,
    )


def _build(model_class: Any, content: dict[str, Any]) -> Any:
    return model_class.from_config(content)


def _import_diffusers() -> Any:
    try:
        import diffusers
    except ModuleNotFoundError as error:
        if error.name != "diffusers":
            raise LoadError(f"diffusers cannot be imported: {error}") from error
        raise LoadError("diffusers is not installed", "Install it with: pip install 'archaudit[diffusers]'.") from error
    return diffusers


# --- default inputs -------------------------------------------------------------------------------------------------


def _make_inputs(model: Any) -> dict[str, Any]:
    """The keyword arguments of one forward pass. Raises LoadError for required arguments without a default."""
    configuration, parameters = dict(model.config), inspect.signature(model.forward).parameters
    given = _make_sample(configuration, parameters, type(model).__name__)
    given |= {name: value for name, value in _make_conditions(configuration, type(model).__name__).items() if name in parameters}
    missing = [name for name, each in parameters.items() if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    missing = [name for name in missing if name not in given]
    if missing:
        raise LoadError(f"there is no default input for {', '.join(missing)} of {type(model).__name__}", "Give each with --input.")
    return given


def _make_sample(configuration: dict[str, Any], parameters: Any, kind: str) -> dict[str, Any]:
    import torch

    channels = configuration.get("in_channels") or 3
    size = configuration.get("sample_size") or _LATENT_SIZE
    height, width = (size, size) if isinstance(size, int) else (size[-2], size[-1])
    if "sample" in parameters:
        if kind == "UNetSpatioTemporalConditionModel":
            return {"sample": torch.rand(1, _FRAMES, channels, height, width)}
        frames = (_FRAMES,) if "3D" in kind or kind == "UNetMotionModel" else ()
        return {"sample": torch.rand(1, channels, *frames, height, width)}
    if kind.startswith("Flux"):  # the latent image as a list of patches of 2 x 2
        side = _LATENT_SIZE
        return {"hidden_states": torch.rand(1, side * side, channels), "img_ids": torch.zeros(side * side, 3)}
    if "3D" in kind:
        return {"hidden_states": torch.rand(1, channels, _FRAMES, height, width)}
    return {"hidden_states": torch.rand(1, channels, height, width)}


def _make_conditions(configuration: dict[str, Any], kind: str) -> dict[str, Any]:
    """The time step, the text, and what else conditions a step; only those that forward takes are used."""
    import torch

    given: dict[str, Any] = {"timestep": torch.ones(1, dtype=torch.int64)}
    if kind.startswith("Flux"):
        given |= {"timestep": torch.ones(1), "txt_ids": torch.zeros(_FLUX_TOKENS, 3)}
        if configuration.get("guidance_embeds"):
            given["guidance"] = torch.ones(1)
    tokens = _FLUX_TOKENS if kind.startswith("Flux") else _SD3_TOKENS if kind.startswith("SD3") else _CLIP_TOKENS
    names = ("joint_attention_dim", "cross_attention_dim", "caption_channels", "text_embed_dim", "text_dim")
    width = next((configuration[name] for name in names if configuration.get(name)), None)
    width = width[0] if isinstance(width, list | tuple) else width
    if width is not None:
        given["encoder_hidden_states"] = torch.rand(1, tokens, width)
    if pooled := configuration.get("pooled_projection_dim"):
        given["pooled_projections"] = torch.rand(1, pooled)
    if configuration.get("addition_embed_type") == "text_time":  # SDXL: six sizes and crops, and the pooled text
        embedded = configuration["addition_time_embed_dim"] * 6
        text = configuration["projection_class_embeddings_input_dim"] - embedded
        given["added_cond_kwargs"] = {"text_embeds": torch.rand(1, text), "time_ids": torch.zeros(1, 6)}
    elif kind.startswith("PixArt"):
        given["added_cond_kwargs"] = {"resolution": None, "aspect_ratio": None}
    if kind == "UNetSpatioTemporalConditionModel":
        given["added_time_ids"] = torch.zeros(1, 3)
    if kind.startswith("ControlNet"):
        side = (configuration.get("sample_size") or _LATENT_SIZE) * 8
        given["controlnet_cond"] = torch.rand(1, configuration.get("conditioning_channels") or 3, side, side)
    if configuration.get("num_embeds_ada_norm") and kind.startswith("DiT"):
        given["class_labels"] = torch.zeros(1, dtype=torch.int64)
    return given
