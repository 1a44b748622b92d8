"""Default inputs for models of segmentation_models_pytorch, MONAI, torchaudio and torch_geometric, made for the built model.

Channels and widths are those of the model. Sizes that these libraries leave open are defaults: images of 224, volumes of 96 voxels in each
direction, one second of sound, a graph of 100 nodes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_IMAGE = 224  # divisible by 32, as all encoders need, and the size of vision transformers
_VOLUME = 96  # MONAI's usual region of interest
_SAMPLES = 16_000
_FRAMES = 100
_NODES, _EDGES = 100, 400
_TOKENS = 20

Given = dict[str, Any]


def make_library_inputs(model: nn.Module) -> Given | None:
    """The keyword arguments of one forward pass; None for a model of another library, or of a kind without a default."""
    root = type(model).__module__.partition(".")[0]
    make = _LIBRARIES.get(root)
    if make is None:
        return None
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return None
    given = make(model, [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)])
    missing = [each.name for each in parameters if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    return given if given and all(name in given for name in missing) else None


def describe_library_inputs(library: str) -> str:
    """What the default inputs of a library are, for the profile."""
    return f"the input is {_DESCRIPTIONS[library]}"


def is_known(library: str) -> bool:
    """Whether models of this library have default inputs."""
    return library in _LIBRARIES


# --- images and volumes ---


def _make_image(model: nn.Module, names: list[str]) -> Given:
    """One image for the first convolution: as many channels and dimensions as that has."""
    first = next((each for each in model.modules() if isinstance(each, nn.Conv1d | nn.Conv2d | nn.Conv3d)), None)
    if first is None or not names:
        return {}
    dimensions = len(first.kernel_size)
    sizes = _read_size(model, dimensions) or ((_IMAGE,) * 2 if dimensions == 2 else (_VOLUME,) * dimensions)
    return {names[0]: torch.rand(1, first.in_channels, *sizes)}


def _read_size(model: nn.Module, dimensions: int) -> tuple[int, ...] | None:
    """The size of the image that a model of patches has positions for."""
    feature, patch = getattr(model, "feat_size", None), getattr(model, "patch_size", None)
    if feature is not None and patch is not None:
        patches = (patch,) * dimensions if isinstance(patch, int) else patch
        return tuple(int(count) * int(size) for count, size in zip(feature, patches, strict=True))
    embedding = getattr(model, "patch_embedding", None)
    positions, convolution = getattr(embedding, "position_embeddings", None), getattr(embedding, "patch_embeddings", None)
    if isinstance(positions, torch.Tensor) and isinstance(convolution, nn.Conv2d | nn.Conv3d):
        side = round(positions.shape[1] ** (1 / dimensions))
        return tuple(side * int(size) for size in convolution.kernel_size)
    return None


# --- sound ---


def _make_sound(model: nn.Module, names: list[str]) -> Given:
    kind = type(model).__name__
    if kind in ("Wav2Vec2Model", "HuBERTPretrainModel"):
        given: Given = {"waveforms": torch.rand(1, _SAMPLES)}
        return given | ({"labels": torch.zeros(1, 49, dtype=torch.int64)} if "labels" in names else {})
    if kind in ("Conformer", "Emformer"):
        width = next((int(each.normalized_shape[0]) for each in model.modules() if isinstance(each, nn.LayerNorm)), 80)
        context = int(getattr(model, "right_context_length", 0))
        return {"input": torch.rand(1, _FRAMES + context, width), "lengths": torch.full((1,), _FRAMES)}
    makers: dict[str, Callable[[], Given]] = {
        "ConvTasNet": lambda: {"input": torch.rand(1, 1, _SAMPLES)},
        "HDemucs": lambda: {"input": torch.rand(1, int(getattr(model, "audio_channels", 2)), 4 * _SAMPLES)},
        "SquimObjective": lambda: {"x": torch.rand(1, _SAMPLES)},
        "SquimSubjective": lambda: {"waveform": torch.rand(1, _SAMPLES), "reference": torch.rand(1, _SAMPLES)},
        "DeepSpeech": lambda: {"x": torch.rand(1, 1, _FRAMES, _find_width(model))},
        "Wav2Letter": lambda: _make_letters(model),
        "WaveRNN": lambda: _make_wave_rnn(model),
        "Tacotron2": lambda: {
            "tokens": torch.ones(1, _TOKENS, dtype=torch.int64),
            "token_lengths": torch.full((1,), _TOKENS),
            "mel_specgram": torch.rand(1, int(getattr(model, "n_mels", 80)), _FRAMES),
            "mel_specgram_lengths": torch.full((1,), _FRAMES),
        },
        "RNNT": lambda: _make_transducer(model),
    }
    return makers[kind]() if kind in makers else {}


def _find_width(model: nn.Module) -> int:
    return next(each.in_features for each in model.modules() if isinstance(each, nn.Linear))


def _make_letters(model: nn.Module) -> Given:
    first = next(each for each in model.modules() if isinstance(each, nn.Conv1d))
    return {"x": torch.rand(1, first.in_channels, _SAMPLES if first.in_channels == 1 else _FRAMES)}


def _make_wave_rnn(model: nn.Module) -> Given:
    hop, padding = int(getattr(model, "hop_length", 200)), int(getattr(model, "_pad", 2))
    frequencies = next(each.in_channels for each in model.modules() if isinstance(each, nn.Conv1d))
    frames = 20
    return {"waveform": torch.rand(1, 1, hop * (frames - 2 * padding)), "specgram": torch.rand(1, 1, frequencies, frames)}


def _make_transducer(model: nn.Module) -> Given:
    width = _find_width(model)
    return {
        "sources": torch.rand(1, _FRAMES, width),
        "source_lengths": torch.full((1,), _FRAMES, dtype=torch.int32),
        "targets": torch.ones(1, _TOKENS, dtype=torch.int32),
        "target_lengths": torch.full((1,), _TOKENS, dtype=torch.int32),
    }


# --- graphs ---


def _make_graph(model: nn.Module, names: list[str]) -> Given:
    """A graph with `x` of the model's channels and random edges; molecules for the kinds that take atoms and positions."""
    generator = torch.Generator().manual_seed(0)

    def draw(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=generator, device="cpu")

    if {"z", "pos"} <= set(names):
        atoms = {"z": draw(1, 10, _TOKENS), "pos": torch.rand(_TOKENS, 3) * 5}
        return atoms | ({"batch": torch.zeros(_TOKENS, dtype=torch.int64)} if "batch" in names else {})
    if "x" not in names and "edge_index" not in names:
        return {}
    channels = getattr(model, "in_channels", None)
    channels = channels[0] if isinstance(channels, list | tuple) else channels
    if not isinstance(channels, int):
        channels = next((found for each in model.modules() if isinstance(found := getattr(each, "in_channels", None), int)), None)
    given: Given = {"edge_index": draw(0, _NODES, 2, _EDGES)} if "edge_index" in names or "adj_t" in names else {}
    if "x" in names and channels:
        given["x"] = torch.rand(_NODES, channels)
    edges = getattr(model, "edge_dim", None)
    if "edge_attr" in names and isinstance(edges, int):
        given["edge_attr"] = torch.rand(_EDGES, edges)
    if "batch" in names:
        given["batch"] = torch.zeros(_NODES, dtype=torch.int64)
    return given


_LIBRARIES: dict[str, Callable[[nn.Module, list[str]], Given]] = {
    "segmentation_models_pytorch": _make_image,
    "monai": _make_image,
    "torchaudio": _make_sound,
    "torch_geometric": _make_graph,
}
_DESCRIPTIONS = {
    "segmentation_models_pytorch": f"one image of {_IMAGE}x{_IMAGE}, a default",
    "monai": f"one image of the model's size, by default {_IMAGE} in each direction, or {_VOLUME} for a volume",
    "torchaudio": f"one piece of sound of a default length: {_SAMPLES:,} samples or {_FRAMES} frames",
    "torch_geometric": f"a random graph of {_NODES} nodes and {_EDGES} edges, a default, or a molecule of {_TOKENS} atoms",
}
