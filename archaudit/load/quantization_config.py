"""How a configuration next to a file of weights says that the weights are quantized: bits, and weights per scale."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

# Where the settings are: a configuration of transformers or MLX; older files of AutoGPTQ and AutoAWQ.
_FILES = ("config.json", "quantize_config.json", "quant_config.json")
_SECTIONS = ("quantization", "quantization_config", "compression_config")


class Scheme(NamedTuple):
    """How a configuration says that weights are quantized: bits, and weights per scale (None: not said; -1: a whole row)."""

    bits: int | None = None
    group: int | None = None


def read_configuration(folder: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a header's metadata, else in the first configuration file of the folder that has some; empty if there are none."""
    for section in _SECTIONS:
        if isinstance(found := _parse(metadata.get(section, "")), dict):
            return {section: found}
    for name in _FILES:
        path = folder / name
        content = _parse(path.read_bytes()) if path.is_file() else None
        if isinstance(content, dict) and (name != _FILES[0] or find_settings(content)):
            return content if name == _FILES[0] else {_SECTIONS[0]: content}
    return {}


def _parse(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


def read_schemes(configuration: Mapping[str, Any], path: str) -> tuple[tuple[Scheme, ...], str]:
    """What a configuration says of the layer at `path`, and the name of its method or format. Several schemes: one of them applies."""
    settings = find_settings(configuration)
    groups = settings.get("config_groups")
    if isinstance(groups, dict):  # compressed-tensors
        weights = [each["weights"] for each in groups.values() if isinstance(each, dict) and isinstance(each.get("weights"), dict)]
        schemes = tuple(Scheme(_read_number(each, "num_bits"), _read_number(each, "group_size")) for each in weights)
        return schemes, str(settings.get("format", ""))
    method = str(settings.get("quant_method", ""))
    own = settings.get(path)
    if isinstance(own, dict):  # MLX: a layer with settings of its own
        settings = own
    elif any(key in settings for key in ("dynamic", "extra_config")):  # GPTQModel, AutoRound: rules by layer, which are not read here
        return (), method
    bits, group = _read_number(settings, "bits", "w_bit"), _read_number(settings, "group_size", "q_group_size")
    return () if bits is None and group is None else (Scheme(bits, group),), method


def find_settings(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section on quantization, at the top or in the configuration of a part (`text_config`); empty if there is none."""
    for part in (configuration, *(each for each in configuration.values() if isinstance(each, dict))):
        for section in _SECTIONS:
            if isinstance(part.get(section), dict):
                return dict(part[section])
    return {}


def _read_number(settings: Mapping[str, Any], *names: str) -> int | None:
    return next((settings[name] for name in names if type(settings.get(name)) is int), None)
