"""Default inputs for the models of transformers: what a model's forward takes, in the sizes that its configuration names.

Tokens are random with a fixed seed, so that a router does not send all of them to the same experts. A multimodal model gets its image,
video or audio, and a token for each of its features in the text: the model itself computes how many features there are. Sizes that a
configuration does not name are defaults, and the description says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

# Long enough that attention is visible next to the projections, short enough for every table of positions.
TOKENS = 128
_IMAGE_SIZE = 224  # the usual size of an image, where the configuration names none
_SECOND = 16_000  # samples of one second of speech, at the usual rate
_SEED = 0

_TEXT = ("text_config", "llm_config", "language_config", "text_encoder", "thinker_config", "decoder", "generator_config")
_VISION = ("vision_config", "vision_tower_config", "backbone_config", "vision_model_config", "vit_config", "image_encoder", "encoder")
_AUDIO = ("audio_config", "audio_encoder_config", "speech_config", "encoder_config", "encoder")
_SPECIAL_TOKENS = (
    *("pad_token_id", "bos_token_id", "eos_token_id", "image_token_id", "image_token_index", "video_token_id", "video_token_index"),
    *("audio_token_id", "audio_token_index", "vision_start_token_id", "vision_end_token_id"),
)


class DefaultInputs(NamedTuple):
    """`make(model)` gives the keyword arguments of one forward pass of a built model; `description` says what they are."""

    make: Callable[[Any], dict[str, Any]]
    description: str


class UnknownInputsError(Exception):
    """No default is known for these required arguments of forward."""


def choose_inputs(configuration: Any, model_class: Any) -> DefaultInputs:
    """The default inputs of an architecture. Raises UnknownInputsError, with the names, for required arguments without a default."""
    chooser = _Chooser(configuration, model_class)
    chooser.choose()
    missing = [name for name in chooser.required if name not in chooser.makers]
    if missing or not chooser.makers:
        raise UnknownInputsError(", ".join(missing) or "all of its arguments")
    return DefaultInputs(chooser.make, "the input is " + " and ".join(chooser.parts))


class _Chooser:
    """Goes through the arguments of forward: `makers` has a function for each that is given."""

    def __init__(self, configuration: Any, model_class: Any) -> None:
        parameters = inspect.signature(model_class.forward).parameters
        plain = [each for each in list(parameters.values())[1:] if each.kind is each.POSITIONAL_OR_KEYWORD]
        main = getattr(model_class, "main_input_name", "input_ids")
        self.main = tuple(main) if isinstance(main, list | tuple) else (main,)
        self.names = {each.name for each in plain}
        self.required = [each.name for each in plain if each.default is each.empty]
        self.configuration = configuration
        self.text = _find_part(configuration, _TEXT)
        self.vision = _find_part(configuration, _VISION)
        self.audio = _find_part(configuration, _AUDIO)
        self.kind = str(getattr(configuration, "model_type", ""))
        self.makers: dict[str, Callable[[], Any]] = {}
        self.parts: list[str] = []

    def choose(self) -> None:
        self._choose_series()
        self._choose_audio()
        self._choose_images()
        self._choose_tokens()

    def is_needed(self, name: str) -> bool:
        return name in self.names and (name in self.main or name in self.required)

    # --- text

    def _choose_tokens(self) -> None:
        if "input_ids" in self.names and (vocabulary := _find(self.text, "vocab_size") or _find(self.configuration, "vocab_size")):
            limits = [_find(self.text, "max_position_embeddings"), _find(self.text, "n_positions")]
            length = min([TOKENS, *(limit for limit in limits if isinstance(limit, int) and limit > 2)])
            self.makers["input_ids"] = lambda: _draw_tokens(length, vocabulary, self._list_special_tokens())
            self.parts.append(f"one sequence of {length} tokens")
        encodes = getattr(self.configuration, "is_encoder_decoder", False) or self.kind in ("whisper", "speech_to_text")
        if "decoder_input_ids" in self.names and encodes and (vocabulary := _find(self.configuration, "vocab_size")):
            self.makers["decoder_input_ids"] = lambda: _draw_tokens(TOKENS, vocabulary, self._list_special_tokens())
            if "input_ids" not in self.makers:
                self.parts.append(f"{TOKENS} tokens of the decoder")
        if "bbox" in self.names and "input_ids" in self.makers:
            self.makers["bbox"] = lambda: _zeros((1, length, 4))
        if "qformer_input_ids" in self.required:
            self.makers["qformer_input_ids"] = lambda: _draw_tokens(TOKENS, 1000, ())

    def _list_special_tokens(self) -> tuple[int, ...]:
        found = [_find(part, name) for part in (self.configuration, self.text) for name in _SPECIAL_TOKENS]
        return tuple(each for each in found if isinstance(each, int))

    # --- images and video

    def _choose_images(self) -> None:
        name: str | None = next((each for each in ("pixel_values", "pixel_values_videos") if each in self.names), None)
        if {"hidden_states", "grid_thw"} <= set(self.required):
            name = "hidden_states"
        if name is None or (not self.is_needed(name) and self.vision is self.configuration and name != "hidden_states"):
            return
        channels = _find(self.vision, "num_channels", "in_channels", "in_chans") or 3
        height, width, source = self._read_image_size()
        described = f"one image of {channels}x{height}x{width}, {source}"
        if (grid := next((each for each in ("image_grid_thw", "grid_thw") if each in self.names), None)) is not None:
            height, width = self._choose_patches(name, grid, channels, height, width)
            described = f"one image of {channels}x{height}x{width}, {source}"
        elif name == "pixel_values_videos" or self.kind in ("videomae", "vivit", "timesformer"):
            frames = _find(self.vision, "num_frames", "frames_per_clip") or 8
            self.makers[name] = lambda: _draw((1, frames, channels, height, width))
            described = f"one video of {frames} frames of {channels}x{height}x{width}, {source}"
        elif self.kind == "mllama":
            tiles = _find(self.vision, "max_num_tiles") or 4
            self.makers[name] = lambda: _draw((1, 1, tiles, channels, height, width))
            self.makers["aspect_ratio_ids"] = lambda: _constant([[1]])
            self.makers["aspect_ratio_mask"] = lambda: _constant([[[1, *[0] * (tiles - 1)]]])
        elif self.kind.startswith(("idefics2", "idefics3", "smolvlm", "granite_docling")) or self.kind == "idefics":
            self.makers[name] = lambda: _draw((1, 1, channels, height, width))
        elif "image_sizes" in self.names and self.kind.startswith(("llava_next", "llava_onevision")):
            self.makers[name] = lambda: _draw((1, 2, channels, height, width))  # the whole image, and its one tile
            self.makers["image_sizes"] = lambda: _constant([[height, width]])
        else:
            self.makers[name] = lambda: _draw((1, channels, height, width))
            if "image_sizes" in self.names and getattr(self.vision, "model_type", "") == "pixtral":
                self.makers["image_sizes"] = lambda: _constant([[height, width]])
        if "task_inputs" in self.required:
            length = _find(self.configuration, "task_seq_len") or 77
            self.makers["task_inputs"] = lambda: _zeros((1, length))
        self.parts.append(described)

    def _read_image_size(self) -> tuple[int, int, str]:
        size = _find(self.vision, "image_size", "img_size", "input_size") or _find(self.configuration, "image_size")
        if isinstance(size, Mapping):
            size = [size.get("height") or size.get("shortest_edge"), size.get("width") or size.get("shortest_edge")]
        if isinstance(size, int) and size > 0:
            return size, size, "the size in the configuration"
        if isinstance(size, list | tuple) and size and all(isinstance(each, int) for each in size):
            return size[0], size[-1], "the size in the configuration"
        return _IMAGE_SIZE, _IMAGE_SIZE, "a default, since the configuration names no size"

    def _choose_patches(self, name: str, grid: str, channels: int, height: int, width: int) -> tuple[int, int]:
        """An image as a list of flattened patches, and how many there are in each direction; the height and width that they cover."""
        patch = _find(self.vision, "patch_size", "spatial_patch_size") or 14
        merge = _find(self.vision, "spatial_merge_size", "merge_size") or 1
        frames = _find(self.vision, "temporal_patch_size") or 1
        step = patch * merge if isinstance(merge, int) else patch * 2
        rows, columns = (max(1, min(size, _IMAGE_SIZE) // step) * step // patch for size in (height, width))
        self.makers[name] = lambda: _draw((rows * columns, channels * frames * patch * patch))
        self.makers[grid] = lambda: _constant([[1, rows, columns]])
        if "merge_sizes" in self.names:
            self.makers["merge_sizes"] = lambda: _constant([merge])
        return rows * patch, columns * patch

    # --- audio and time series

    def _choose_audio(self) -> None:
        if self.is_needed("input_values"):
            self._choose_waveform()
        if self.is_needed("input_features") or ("input_features" in self.names and self.audio is not self.configuration):
            self._choose_spectrogram()

    def _choose_waveform(self) -> None:
        if _find(self.configuration, "num_mel_bins") and _find(self.configuration, "max_length"):
            frames, bins = _find(self.configuration, "max_length"), _find(self.configuration, "num_mel_bins")
            self.makers["input_values"] = lambda: _draw((1, frames, bins))
            self.parts.append(f"one spectrogram of {frames} frames of {bins} bins, the size in the configuration")
            return
        rate = _find(self.configuration, "sampling_rate", "sample_rate") or _SECOND
        channels = _find(self.configuration, "audio_channels")
        codec = channels is not None or self.kind.startswith(("dac", "mimi", "xcodec", "encodec"))
        self.makers["input_values"] = lambda: _draw((1, channels or 1, rate) if codec else (1, rate))
        self.parts.append(f"one second of sound, {rate:,} samples")

    def _choose_spectrogram(self) -> None:
        bins = _find(self.audio, "num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim", "mel_bins", "input_dim") or 80
        positions = _find(self.audio, "max_source_positions")
        frames = 2 * positions if isinstance(positions, int) and positions <= 1500 else 1000
        by_channel = self.kind.startswith(("whisper", "qwen2_audio", "voxtral", "audioflamingo3", "qwen2_5_omni", "glmasr"))
        self.makers["input_features"] = lambda: _draw((1, bins, frames) if by_channel else (1, frames, bins))
        for name in ("feature_attention_mask", "input_features_mask"):
            if name in self.names:
                self.makers[name] = lambda: _ones((1, frames))
        source = "the size in the configuration" if isinstance(positions, int) and positions <= 1500 else "a default length"
        self.parts.append(f"one spectrogram of {frames} frames of {bins} bins, {source}")

    def _choose_series(self) -> None:
        if "past_values" not in self.names:
            return
        length = _find(self.configuration, "context_length") or 512
        channels = _find(self.configuration, "num_input_channels", "input_size") or 1
        if self.kind.startswith("timesfm"):
            self.makers["past_values"] = lambda: [_draw((length,))]
            if "freq" in self.names:
                self.makers["freq"] = lambda: [_constant([0])]
        elif "past_time_features" in self.required:
            length += max(_find(self.configuration, "lags_sequence") or [0])
            features = (_find(self.configuration, "num_time_features") or 0) + (_find(self.configuration, "num_dynamic_real_features") or 0)
            future = _find(self.configuration, "prediction_length") or 24
            shape = (1, length) if channels == 1 else (1, length, channels)
            self.makers["past_values"] = lambda: _draw(shape)
            self.makers["past_observed_mask"] = lambda: _ones(shape)
            self.makers["past_time_features"] = lambda: _draw((1, length, features))
            self.makers["future_values"] = lambda: _draw((1, future, *shape[2:]))
            self.makers["future_time_features"] = lambda: _draw((1, future, features))
        else:
            self.makers["past_values"] = lambda: _draw((1, length, channels))
        self.parts.append(f"one series of {length} values of {channels} channel{'' if channels == 1 else 's'}")

    # --- the inputs of a built model

    def make(self, model: Any) -> dict[str, Any]:
        given = {name: maker() for name, maker in self.makers.items()}
        if "input_ids" in given:
            self._place_features(model, given)
        return given

    def _place_features(self, model: Any, given: dict[str, Any]) -> None:
        """Adds a token for each feature of the image (or the sound) to the text, as the model's processor does."""
        import torch

        for argument, feature, tokens in (
            ("pixel_values", "get_image_features", ("image_token_id", "image_token_index")),
            ("input_features", "get_audio_features", ("audio_token_id", "audio_token_index")),
        ):
            token = _find(self.configuration, *tokens)
            compute = getattr(model, feature, None)
            if argument not in given or compute is None or not isinstance(token, int):
                continue
            accepted = inspect.signature(compute).parameters
            with torch.no_grad():
                features = compute(**{name: value for name, value in given.items() if name in accepted and name != "input_ids"})
            number = _count_features(features, _find(self.text, "hidden_size", "n_embd", "d_model"))
            placed = torch.full((1, number), token, dtype=torch.int64)
            given["input_ids"] = torch.cat([given["input_ids"][:, :1], placed, given["input_ids"][:, 1:]], dim=1)
            if "mm_token_type_ids" in self.names:
                given["mm_token_type_ids"] = (given["input_ids"] == token).long()


def _count_features(features: Any, hidden: Any) -> int:
    """How many vectors of the text's hidden size there are, over all images."""
    features = getattr(features, "pooler_output", features)
    if isinstance(features, list | tuple):
        return sum(_count_features(each, hidden) for each in features if each is not None)
    return int(features.numel()) // (hidden if isinstance(hidden, int) else int(features.shape[-1]))


# --- reading configurations


def _find_part(configuration: Any, names: tuple[str, ...]) -> Any:
    """The nested configuration of one of these names; the whole if there is none."""
    for name in names:
        part = getattr(configuration, name, None)
        if part is not None and hasattr(part, "to_dict"):
            inner = _find_part(part, names)
            return inner if inner is not part and name == "thinker_config" else part
    return configuration


def _find(configuration: Any, *names: str) -> Any:
    """The first of these entries that a configuration has, or that one nested in it has."""
    for part in _walk(configuration):
        for name in names:
            value = getattr(part, name, None)
            if value is not None:
                return value
    return None


def _walk(configuration: Any) -> Iterator[Any]:
    yield configuration
    for value in vars(configuration).values():
        if hasattr(value, "to_dict") and hasattr(value, "model_type"):
            yield from _walk(value)


# --- making tensors on the default device, under which this is called


def _draw_tokens(length: int, vocabulary: int, special: tuple[int, ...]) -> Any:
    """Random tokens without special ones, the same each time."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    tokens = torch.randint(0, vocabulary, (1, length), generator=generator, device="cpu")
    plain = next(token for token in range(len(special) + 1) if token not in special)
    for token in special:
        tokens[tokens == token] = min(plain, vocabulary - 1)
    return tokens.to(torch.get_default_device())


def _draw(shape: tuple[int, ...]) -> Any:
    import torch

    return torch.rand(shape)


def _zeros(shape: tuple[int, ...]) -> Any:
    import torch

    return torch.zeros(shape, dtype=torch.int64)


def _ones(shape: tuple[int, ...]) -> Any:
    import torch

    return torch.ones(shape, dtype=torch.int64)


def _constant(values: list[Any]) -> Any:
    import torch

    return torch.tensor(values)
