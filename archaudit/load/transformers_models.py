"""Models of transformers by their configuration file: `transformers:path/to/config.json`. The library is optional. Nothing is downloaded.

Arguments replace entries of the configuration: `transformers:llama/config.json(num_hidden_layers=2)`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from archaudit.errors import LoadError
from archaudit.load.reference import Reference
from archaudit.schema import InputSpec, Recipe

# Long enough for a visible share of attention next to the projections, short enough for every table of positions.
_TOKENS = 128


def load(reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    """The recipe for the architecture of a configuration. The default input is 128 tokens, or one image of its size."""
    transformers = _import_transformers()
    path = Path(reference.attribute).expanduser()
    path = path / "config.json" if path.is_dir() else path
    content = {**_read_json(path, reference), **reference.arguments}
    model_class = _find_class(transformers, content, reference)
    # in one pass over the whole sequence a key-value cache costs nothing, but it cannot be built on the meta device
    configuration = _make_configuration(transformers, {**content, "use_cache": False}, reference)
    reads_images = getattr(model_class, "main_input_name", "") == "pixel_values"
    assumptions = () if reads_images else ("one pass over the whole sequence, without a key-value cache",)
    if not inputs:
        inputs, assumption = _choose_inputs(configuration, model_class, reference)
        assumptions = (assumption, *assumptions)
    return Recipe(
        name=name,
        reference=reference.text,
        build=functools.partial(model_class, configuration),
        inputs=inputs,
        sources=(str(path.resolve()),),
        assumptions=assumptions,
    )


def _import_transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise LoadError(f"transformers cannot be imported: {error}") from error
        raise LoadError("transformers is not installed", "Install it with: pip install 'archaudit[transformers]'.") from error
    return transformers


def _read_json(path: Path, reference: Reference) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise LoadError(f"{reference.text}: {path} cannot be read: {error.strerror}", "Give the path of a model's config.json.") from error
    except ValueError as error:
        raise LoadError(f"{reference.text}: {path} is not JSON: {error}") from error
    if not isinstance(content, dict) or "model_type" not in content:
        raise LoadError(f"{reference.text}: {path} has no model_type, so it is not a configuration of transformers")
    return content


def _find_class(transformers: Any, content: dict[str, Any], reference: Reference) -> Any:
    names = content.get("architectures") or []
    if not names:
        mapping = transformers.models.auto.modeling_auto.MODEL_MAPPING_NAMES
        found = mapping.get(content["model_type"])
        names = [found if isinstance(found, str) else found[0]] if found else []
    model_class = getattr(transformers, names[0], None) if names else None
    if model_class is None:
        raise LoadError(
            f"{reference.text}: the installed transformers has no {names[0] if names else content['model_type']!r}",
            "The configuration's `architectures` names the class; another version of transformers may have it.",
        )
    return model_class


def _make_configuration(transformers: Any, content: dict[str, Any], reference: Reference) -> Any:
    mapping = transformers.models.auto.configuration_auto.CONFIG_MAPPING
    if content["model_type"] not in mapping:
        raise LoadError(f"{reference.text}: the installed transformers has no model_type {content['model_type']!r}")
    try:
        return mapping[content["model_type"]].from_dict(content)
    except Exception as error:  # the library raises exceptions of many types for an invalid configuration
        raise LoadError(f"{reference.text}: the configuration is invalid: {' '.join(str(error).split())[:300]}") from error


def _choose_inputs(configuration: Any, model_class: Any, reference: Reference) -> tuple[tuple[InputSpec, ...], str]:
    main = getattr(model_class, "main_input_name", "input_ids")
    if main == "pixel_values":
        size = getattr(configuration, "image_size", 224)
        height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
        shape = (1, int(getattr(configuration, "num_channels", 3)), int(height), int(width))
        return (
            InputSpec(shape=shape, name=main),
        ), f"the input is one image of {'x'.join(map(str, shape[1:]))}, the size in the configuration"
    if main != "input_ids":
        raise LoadError(f"{reference.text}: the shape of its main input {main} is not known", f"Give it: --input '{main}=float32[...]'.")
    specs = [InputSpec(shape=(1, _TOKENS), dtype="int64", name="input_ids")]
    if getattr(configuration, "is_encoder_decoder", False):
        specs.append(InputSpec(shape=(1, _TOKENS), dtype="int64", name="decoder_input_ids"))
    return tuple(specs), f"the input is one sequence of {_TOKENS} tokens"
