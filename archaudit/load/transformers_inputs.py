"""Default inputs for the models of transformers: what a model's forward takes, in the sizes that its configuration names.

Tokens are random with a fixed seed, so that a router does not send all of them to the same experts. A multimodal model gets its image,
video or audio, and a token for each of its features in the text: the model itself computes how many features there are. Sizes that a
configuration does not name are defaults, and the description says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from archaudit.load.transformers_arguments import Arguments, count_up, draw, draw_tokens, find_entry, find_number, ones, zeros
from archaudit.load.transformers_images import choose_images
from archaudit.load.transformers_signals import choose_signals

# Long enough that attention is visible next to the projections, short enough for every table of positions.
TOKENS = 128

_SPECIAL_TOKENS = (
    *("pad_token_id", "bos_token_id", "eos_token_id", "image_token_id", "image_token_index", "video_token_id", "video_token_index"),
    *("audio_token_id", "audio_token_index", "vision_start_token_id", "vision_end_token_id"),
)
# By the argument: the entries for the token that represents one of its features, and the method that computes the features.
_FEATURE_TOKENS = {
    "pixel_values": ("image_token_id", "image_token_index"),
    "input_features": ("audio_token_id", "audio_token_index"),
}
_COMPUTE = {"pixel_values": "get_image_features", "input_features": "get_audio_features"}
# A model of characters (CANINE) has no vocabulary: this many characters are in the plane that nearly all text is written in.
_CHARACTERS = 1 << 16
_PATCHES = 2048  # of Pix2Struct: what its processor makes of an image
_REGIONS = 36  # of LXMERT: what a detector finds in an image
_MEL_FRAMES = 100


class DefaultInputs(NamedTuple):
    """`make(model)` gives the keyword arguments of one forward pass of a built model; `description` says what they are."""

    make: Callable[[Any], dict[str, Any]]
    description: str


class UnknownInputsError(Exception):
    """No default is known for these required arguments of forward."""


def choose_inputs(configuration: Any, model_class: Any) -> DefaultInputs:
    """The default inputs of an architecture. Raises UnknownInputsError, with the names, for required arguments without a default."""
    chosen = Arguments(configuration, model_class)
    choose_signals(chosen)
    choose_images(chosen)
    _name_feature_tokens(chosen)
    _choose_tokens(chosen)
    _choose_decoder(chosen)
    missing = [name for name in chosen.required if name not in chosen.makers]
    if missing or not chosen.makers:
        raise UnknownInputsError(", ".join(missing))
    return DefaultInputs(lambda model: _make(chosen, model), "the input is " + " and ".join(chosen.parts))


# --- text


def _name_feature_tokens(chosen: Arguments) -> None:
    """Where the configuration names no token that represents a feature, it is the last one of the vocabulary. The model reads it there."""
    for argument, names in _FEATURE_TOKENS.items():
        known = [name for name in names if hasattr(chosen.configuration, name)]
        if argument in chosen.makers and known and find_entry(chosen.configuration, *names) is None:
            setattr(chosen.configuration, known[0], (find_number(chosen.text, "vocab_size") or 2) - 1)


def _choose_tokens(chosen: Arguments) -> None:
    vocabulary = find_number(chosen.text, "vocab_size", "n_vocab") or find_number(chosen.configuration, "vocab_size", "n_vocab")
    if vocabulary is None and "num_hash_buckets" in vars(chosen.configuration):
        vocabulary = _CHARACTERS
    if "input_ids" in chosen.names and vocabulary:
        limits = [find_number(chosen.text, "max_position_embeddings"), find_number(chosen.text, "n_positions")]
        named = [limit for limit in limits if limit is not None and limit > 2]
        length = min([TOKENS, *named])
        chosen.makers["input_ids"] = lambda: draw_tokens(length, vocabulary, _list_special_tokens(chosen))
        source = "a default length" if length == TOKENS else "the most it has positions for"
        chosen.parts.append(f"one sequence of {length} tokens, {source}")
        _add_to_tokens(chosen, length)
    if "qformer_input_ids" in chosen.required:
        chosen.makers["qformer_input_ids"] = lambda: draw_tokens(TOKENS, 1000, ())


def _add_to_tokens(chosen: Arguments, length: int) -> None:
    """Further arguments that a kind needs with its tokens."""
    configuration = chosen.configuration
    if "bbox" in chosen.names:
        chosen.makers["bbox"] = (lambda: draw(1, length, 4)) if chosen.kind == "udop" else (lambda: zeros(1, length, 4))
    if chosen.kind == "kosmos-2" and (queries := find_number(configuration, "latent_query_num")):
        positions = min(length, queries)
        chosen.makers["image_embeds_position_mask"] = lambda: (count_up(length) < positions).long()
    if chosen.kind == "idefics":
        chosen.makers["image_attention_mask"] = lambda: ones(1, length, 1)
    if chosen.kind == "lxmert":
        width, places = find_number(configuration, "visual_feat_dim") or 2048, find_number(configuration, "visual_pos_dim") or 4
        chosen.makers["visual_feats"] = lambda: draw(1, _REGIONS, width)
        chosen.makers["visual_pos"] = lambda: draw(1, _REGIONS, places)
        chosen.parts.append(f"{_REGIONS} regions of an image, a default number")
    if "lang_ids" in chosen.names:
        chosen.makers["lang_ids"] = lambda: zeros(1)


def _choose_decoder(chosen: Arguments) -> None:
    """The tokens of a decoder; patches that a text decoder describes; frames of a decoder of speech."""
    configuration = chosen.configuration
    if "flattened_patches" in chosen.names:
        width = find_number(chosen.vision, "patch_embed_hidden_size") or 768
        chosen.makers["flattened_patches"] = lambda: draw(1, _PATCHES, 2 + width)
        chosen.parts.append(f"one image of {_PATCHES} patches, a default number")
    encodes = getattr(configuration, "is_encoder_decoder", False) or chosen.kind in ("whisper", "speech_to_text", "pix2struct")
    books = find_number(configuration, "num_codebooks") if chosen.kind.startswith("musicgen") else None
    if "decoder_input_ids" in chosen.names and (encodes or books):
        decoder = getattr(configuration, "decoder_config", None) or getattr(configuration, "decoder", None)
        of_decoder = find_number(decoder, "vocab_size") if decoder is not None and hasattr(decoder, "to_dict") else None
        vocabulary = of_decoder or find_number(configuration, "vocab_size") or find_number(chosen.text, "vocab_size")
        if vocabulary is not None:
            chosen.makers["decoder_input_ids"] = lambda: _shape_decoder(
                chosen, draw_tokens(TOKENS, vocabulary, _list_special_tokens(chosen)), books
            )
            if "input_ids" not in chosen.makers:
                chosen.parts.append(f"{TOKENS} tokens of the decoder")
    if "decoder_input_values" in chosen.names and (bins := find_number(configuration, "num_mel_bins")):
        chosen.makers["decoder_input_values"] = lambda: draw(1, _MEL_FRAMES, bins)
        if speakers := find_number(configuration, "speaker_embedding_dim"):
            chosen.give("speaker_embeddings", lambda: draw(1, speakers))
        chosen.parts.append(f"{_MEL_FRAMES} frames of the decoder, a default length")


def _shape_decoder(chosen: Arguments, tokens: Any, books: int | None) -> Any:
    """The tokens as decoders of several codebooks take them: a row for each, or a column."""
    if books is not None:
        return tokens.expand(books, -1)
    decoder = getattr(chosen.configuration, "decoder_config", None)
    channels = find_number(decoder, "num_channels") if chosen.kind == "dia" and decoder is not None else None
    return tokens[..., None].expand(-1, -1, channels) if channels is not None else tokens


def _list_special_tokens(chosen: Arguments) -> tuple[int, ...]:
    found = [find_entry(part, name) for part in (chosen.configuration, chosen.text) for name in _SPECIAL_TOKENS]
    return tuple(each for each in found if isinstance(each, int))


# --- the inputs of a built model


def _make(chosen: Arguments, model: Any) -> dict[str, Any]:
    given = {name: maker() for name, maker in chosen.makers.items()}
    given = _cast(given, model)
    if "input_ids" in given:
        _place_features(chosen, model, given)
    return given


def _cast(given: dict[str, Any], model: Any) -> dict[str, Any]:
    """The inputs in the dtype of the model's parameters, as a pipeline passes them."""
    import torch

    dtype = getattr(model, "dtype", None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        return given
    return {
        name: value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value for name, value in given.items()
    }


def _place_features(chosen: Arguments, model: Any, given: dict[str, Any]) -> None:
    """Adds a token for each feature of the image (or the sound) to the text, as the model's processor does."""
    import torch

    for argument, tokens in _FEATURE_TOKENS.items():
        token = find_entry(chosen.configuration, *tokens)
        if argument not in given or not isinstance(token, int):
            continue
        number = _compute_number(chosen, model, argument, given)
        if number is None:
            continue
        placed = torch.full((1, number), token, dtype=torch.int64)
        given["input_ids"] = torch.cat([given["input_ids"][:, :1], placed, given["input_ids"][:, 1:]], dim=1)
        if "mm_token_type_ids" in chosen.names:
            given["mm_token_type_ids"] = (given["input_ids"] == token).long()


def _compute_number(chosen: Arguments, model: Any, argument: str, given: dict[str, Any]) -> int | None:
    """How many features the model makes of its image or sound: it computes them, or its configuration has their number."""
    import torch

    compute = getattr(model, _COMPUTE[argument], None)
    if argument == "input_features" and (padded := find_number(chosen.configuration, "audio_soft_tokens_per_image")):
        return padded  # Gemma 3n pads its features to this number
    if compute is None and argument == "input_features":
        return _count_frames(model, given)
    if compute is None:
        return find_number(chosen.configuration, "num_query_tokens", "image_seq_length")
    accepted = inspect.signature(compute).parameters
    with torch.no_grad():
        features = compute(**{name: value for name, value in given.items() if name in accepted and name != "input_ids"})
    return _count_features(features, find_entry(chosen.text, "hidden_size", "n_embd", "d_model"))


def _count_frames(model: Any, given: dict[str, Any]) -> int | None:
    """How many frames the tower of a model without `get_audio_features` (Qwen2-Audio) makes of all frames of the sound."""
    count = getattr(_find_tower(model), "_get_feat_extract_output_lengths", None)
    return None if count is None else int(count(given["input_features"].shape[-1])[-1])


def _find_tower(model: Any) -> Any:
    return getattr(model, "audio_tower", None) or getattr(getattr(model, "model", None), "audio_tower", None)


def _count_features(features: Any, hidden: Any) -> int:
    """How many vectors of the text's hidden size there are, over all images."""
    features = getattr(features, "pooler_output", features)
    if isinstance(features, list | tuple):
        return sum(_count_features(each, hidden) for each in features if each is not None)
    return int(features.numel()) // (hidden if isinstance(hidden, int) else int(features.shape[-1]))
