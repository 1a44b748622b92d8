"""Default inputs of transformers' models of images and video, in the sizes that the configuration names."""

from __future__ import annotations

import importlib
import math
from typing import Any

from archaudit.load.transformers_arguments import (
    Arguments,
    constant,
    draw,
    fill,
    find_entry,
    find_number,
    largest_side,
    ones,
    read_pair,
    zeros,
)

_IMAGE_SIZE = 224  # the usual size of an image, where the configuration names none
_FRAMES = 8
# The elements of a tensor up to which its known values are kept in a run without values.
_MOST_KNOWN = 1 << 20
_CONFIGURED = "the size in the configuration"
_DEFAULT = "a default, since the configuration names no size"
_VIDEO = ("videomae", "vivit", "timesformer", "xclip", "vjepa2")
# Kinds that find out from the pixels which of several images are padding.
_PADDED = ("idefics2", "idefics3", "smolvlm", "granite_docling", "idefics")
_PAIRS = ("efficientloftr", "superglue", "lightglue")
# Kinds whose main input is text, but which need an image too.
_NEED_IMAGE = ("vilt", "bridgetower", "kosmos-2", "flava")


def choose_images(chosen: Arguments) -> None:
    """Chooses the arguments of images and video, if forward needs them."""
    name: str | None = next((each for each in ("pixel_values", "pixel_values_videos") if each in chosen.names), None)
    if {"hidden_states", "grid_thw"} <= set(chosen.required):
        name = "hidden_states"
    if name is None or not _is_image_needed(chosen, name):
        return
    channels = find_number(chosen.vision, "num_channels", "in_channels", "in_chans") or 3
    height, width, source = _read_image_size(chosen)
    if (grid := next((each for each in ("image_grid_thw", "grid_thw") if each in chosen.names), None)) is not None:
        height, width = _choose_patches(chosen, name, grid, channels, height, width)
        described = f"one image of {channels}x{height}x{width}, {source}"
    elif name == "pixel_values_videos" or chosen.kind.startswith(_VIDEO):
        frames = find_number(chosen.vision, "num_frames", "frames_per_clip") or _FRAMES
        chosen.makers[name] = lambda: draw(1, frames, channels, height, width)
        described = f"one video of {frames} frames of {channels}x{height}x{width}, {source}"
    else:
        described = f"one image of {channels}x{height}x{width}, {source}"
        _choose_pixels(chosen, name, (channels, height, width))
    _add_companions(chosen, (channels, height, width))
    chosen.parts.append(described)


def _is_image_needed(chosen: Arguments, name: str) -> bool:
    if chosen.is_needed(name) or name == "hidden_states" or chosen.kind in _NEED_IMAGE:
        return True
    return chosen.vision is not chosen.configuration


def _choose_pixels(chosen: Arguments, name: str, shape: tuple[int, int, int]) -> None:
    """The pixels of one image, as the processor of the kind gives them."""
    kind, (_, height, width) = chosen.kind, shape
    if kind == "mllama":
        tiles = find_number(chosen.vision, "max_num_tiles") or 4
        chosen.makers[name] = lambda: draw(1, 1, tiles, *shape)
        chosen.makers["aspect_ratio_ids"] = lambda: constant([[1]])
        chosen.makers["aspect_ratio_mask"] = lambda: constant([[[1, *[0] * (tiles - 1)]]])
    elif kind.startswith(_PADDED):
        chosen.makers[name] = lambda: fill(0.5, 1, 1, *shape)
        chosen.give("pixel_attention_mask", lambda: ones(1, 1, height, width).bool())
    elif "image_sizes" in chosen.names and (tiles := _count_tiles(chosen, height, width)):
        chosen.makers[name] = lambda: draw(1, tiles, *shape)  # the whole image, and its tiles
        chosen.makers["image_sizes"] = lambda: constant([[height, width]])
    elif kind.startswith(_PAIRS):
        chosen.makers[name] = lambda: draw(1, 2, *shape)
    elif kind == "pix2struct" or "flattened_patches" in chosen.names:
        return
    else:
        chosen.makers[name] = lambda: draw(1, *shape)
        if "image_sizes" in chosen.names and getattr(chosen.vision, "model_type", "") == "pixtral":
            chosen.makers["image_sizes"] = lambda: constant([[height, width]])


def _add_companions(chosen: Arguments, shape: tuple[int, int, int]) -> None:
    """Further arguments that a kind needs with its image."""
    _, height, width = shape
    if "task_inputs" in chosen.required:
        length = find_number(chosen.configuration, "task_seq_len") or 77
        chosen.makers["task_inputs"] = lambda: zeros(1, length)
    for name in ("prompt_pixel_values", "prompt_masks"):
        if name in chosen.required:
            chosen.makers[name] = lambda: draw(1, *shape)
    if "high_res_pixel_values" in chosen.names:
        side = find_number(getattr(chosen.configuration, "high_res_vision_config", None) or chosen.vision, "image_size") or height
        chosen.makers["high_res_pixel_values"] = lambda: draw(1, shape[0], side, side)
    if chosen.kind == "vitmatte":
        return
    if "pixel_mask" in chosen.required:
        chosen.makers["pixel_mask"] = lambda: ones(1, height, width)


def _count_tiles(chosen: Arguments, height: int, width: int) -> int:
    """How many images of the size of the encoder an image becomes, itself included; 0 for kinds without tiles."""
    pinpoints, side = find_entry(chosen.configuration, "image_grid_pinpoints"), find_number(chosen.vision, "image_size")
    if not pinpoints or side is None:
        return 0
    try:
        module: Any = importlib.import_module(f"transformers.models.{chosen.kind}.modeling_{chosen.kind}")
        return int(module.image_size_to_num_patches((height, width), pinpoints, side))
    except (ImportError, AttributeError):  # another kind that names these entries
        return 0


def _read_image_size(chosen: Arguments) -> tuple[int, int, str]:
    found = read_pair(find_entry(chosen.vision, "image_size", "img_size", "input_size")) or read_pair(
        find_entry(chosen.configuration, "image_size")
    )
    if chosen.kind == "depth_pro":  # the smallest of its scaled images has the size of a patch
        side, ratios = find_number(chosen.configuration, "patch_size") or 384, find_entry(chosen.configuration, "scaled_images_ratios")
        side = int(side / min(ratios or [1]))
        return side, side, _CONFIGURED
    height, width = found or (_IMAGE_SIZE, _IMAGE_SIZE)
    source = _CONFIGURED if found else _DEFAULT
    if chosen.kind.startswith(_PADDED):
        step = (find_number(chosen.vision, "patch_size") or 1) * (find_number(chosen.configuration, "scale_factor") or 1)
        side = min(max(step, height // step * step), largest_side(_MOST_KNOWN, 3, step))
        source = source if side == height else "a default below the size in the configuration"
        height = width = side
    if counts := find_entry(chosen.configuration, "projector_patch_to_query_dict"):  # Aria has queries for images of these sizes only
        patch = find_number(chosen.vision, "patch_size") or 14
        if (height // patch) * (width // patch) not in counts:
            height = width = patch * math.isqrt(min(counts))
            source = "the smallest that the configuration has queries for"
    if chosen.kind == "seggpt":  # its image has the prompt above
        height //= 2
    return height, width, source


def _choose_patches(chosen: Arguments, name: str, grid: str, channels: int, height: int, width: int) -> tuple[int, int]:
    """An image as a list of flattened patches, and how many there are in each direction; the height and width that they cover."""
    patch = find_number(chosen.vision, "patch_size", "spatial_patch_size") or 14
    merge = find_entry(chosen.vision, "spatial_merge_size", "merge_size") or 1
    frames = find_number(chosen.vision, "temporal_patch_size") or 1
    step = patch * merge if isinstance(merge, int) else patch * 2
    rows, columns = (max(1, min(size, _IMAGE_SIZE) // step) * step // patch for size in (height, width))
    chosen.makers[name] = lambda: draw(rows * columns, channels * frames * patch * patch)
    chosen.makers[grid] = lambda: constant([[1, rows, columns]])
    if "merge_sizes" in chosen.names:
        chosen.makers["merge_sizes"] = lambda: constant([merge])
    return rows * patch, columns * patch
