"""Models of transformers by their configuration file: `transformers:path/to/config.json`, or by the name of a checkpoint whose sizes are
known: `transformers:bert-base-uncased`. The library is optional. Nothing is downloaded.

Arguments replace entries of the configuration: `transformers:llama/config.json(num_hidden_layers=2)`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archaudit.errors import LoadError
from archaudit.load.reference import Reference
from archaudit.load.sources import read_configuration
from archaudit.load.transformers_checkpoints import read_checkpoints
from archaudit.load.transformers_inputs import DefaultInputs, UnknownInputsError, choose_inputs
from archaudit.schema import InputSpec, Recipe


def load(reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    """The recipe for the architecture of a configuration. `transformers_inputs` makes the default inputs."""
    transformers = _import_transformers()
    path = Path(reference.attribute).expanduser()
    path = path / "config.json" if path.is_dir() else path
    published = read_checkpoints().find(reference.attribute) if not path.exists() else None
    content = {**(read_configuration(path, reference, "model_type") if published is None else published), **reference.arguments}
    model_class = _find_class(transformers, content, reference)
    # in one pass over the whole sequence a key-value cache costs nothing, but it cannot be built on the meta device
    configuration = _make_configuration(transformers, {**content, "use_cache": False}, reference)
    dtype = _read_dtype(content)
    assumptions = (f"the sizes are those that are published for {reference.attribute}",) if published is not None else ()
    if "input_ids" in inspect.signature(model_class.forward).parameters:
        assumptions = (*assumptions, "one pass over the whole sequence, without a key-value cache")
    defaults = None
    if not inputs:
        defaults = _choose_inputs(configuration, model_class, reference)
        assumptions = (defaults.description, *assumptions)
    return Recipe(
        name=name,
        reference=reference.text,
        build=functools.partial(_build, model_class, configuration, dtype),
        inputs=inputs,
        default_inputs=defaults.make if defaults is not None else None,
        sources=(str(path.resolve()),) if published is None else (),
        assumptions=assumptions,
        configured_dtype=dtype,
    )


def _read_dtype(content: dict[str, Any]) -> str | None:
    """The dtype that a configuration names, at its top or in the configuration of its text model; None without one."""
    parts = [content, *(content[name] for name in ("text_config", "thinker_config") if isinstance(content.get(name), dict))]
    named = (part.get(key) for part in parts for key in ("dtype", "torch_dtype"))
    return next((str(each).removeprefix("torch.") for each in named if each not in (None, "auto")), None)


def _build(model_class: Any, configuration: Any, dtype: str | None) -> Any:
    """The model with its parameters in `dtype` (None: float32), as `from_pretrained` makes it: some layers stay in float32."""
    import torch

    return model_class._from_config(configuration, dtype=getattr(torch, dtype) if dtype is not None else torch.float32)


def _import_transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise LoadError(f"transformers cannot be imported: {error}") from error
        raise LoadError("transformers is not installed", "Install it with: pip install 'archaudit[transformers]'.") from error
    return transformers


def _find_class(transformers: Any, content: dict[str, Any], reference: Reference) -> Any:
    names = content.get("architectures") or []
    if not names:
        names = _list_classes(transformers, content["model_type"])
    model_class = getattr(transformers, names[0], None) if names else None
    if model_class is None:
        raise LoadError(
            f"{reference.text}: the installed transformers has no {names[0] if names else content['model_type']!r}",
            "The configuration's `architectures` names the class; another version of transformers may have it.",
        )
    return model_class


def _list_classes(transformers: Any, model_type: str) -> list[str]:
    """The classes of a kind: that without a head first. Some kinds have only classes with one."""
    auto = transformers.models.auto.modeling_auto
    mappings = [
        auto.MODEL_MAPPING_NAMES,
        *(value for name, value in vars(auto).items() if name.startswith("MODEL_") and name.endswith("_NAMES")),
    ]
    found = [mapping[model_type] for mapping in mappings if isinstance(mapping, Mapping) and model_type in mapping]
    return [each if isinstance(each, str) else each[0] for each in found]


def _make_configuration(transformers: Any, content: dict[str, Any], reference: Reference) -> Any:
    mapping = transformers.models.auto.configuration_auto.CONFIG_MAPPING
    if content["model_type"] not in mapping:
        raise LoadError(f"{reference.text}: the installed transformers has no model_type {content['model_type']!r}")
    try:
        return mapping[content["model_type"]].from_dict(content)
    except Exception as error:  # the library raises exceptions of many types for an invalid configuration
        raise LoadError(f"{reference.text}: the configuration is invalid: {' '.join(str(error).split())[:300]}") from error


def _choose_inputs(configuration: Any, model_class: Any, reference: Reference) -> DefaultInputs:
    try:
        return choose_inputs(configuration, model_class)
    except UnknownInputsError as error:
        missing = str(error)
        if not missing:
            raise LoadError(
                f"{reference.text}: archaudit knows no default input for {model_class.__name__}",
                "Give its inputs: --input 'NAME=DTYPE[SIZES]'.",
            ) from error
        raise LoadError(
            f"{reference.text}: there is no default input for {missing}", f"Give each: --input '{missing.split(',')[0]}=float32[...]'."
        ) from error
