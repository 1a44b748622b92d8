"""What the default inputs of transformers' models are chosen from: the arguments of forward, and the entries of nested configurations."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TEXT = ("text_config", "llm_config", "language_config", "text_encoder", "thinker_config", "decoder", "generator_config")
_VISION = ("vision_config", "vision_tower_config", "backbone_config", "vision_model_config", "vit_config", "image_encoder", "encoder")
_AUDIO = ("audio_config", "audio_encoder_config", "speech_config", "encoder_config", "encoder")
_DEEPEST = 8  # deeper nesting is a configuration that contains itself
_SEED = 0

Maker = Callable[[], Any]


class Arguments:
    """The arguments of a forward, and the functions that make those that are given (`makers`). `parts` says what they are."""

    def __init__(self, configuration: Any, model_class: Any) -> None:
        parameters = inspect.signature(model_class.forward).parameters
        plain = [each for each in list(parameters.values())[1:] if each.kind is each.POSITIONAL_OR_KEYWORD]
        main = getattr(model_class, "main_input_name", "input_ids")
        self.main = tuple(main) if isinstance(main, list | tuple) else (main,)
        self.names = {each.name for each in plain}
        self.required = [each.name for each in plain if each.default is each.empty]
        self.configuration = configuration
        self.text = find_part(configuration, _TEXT)
        self.vision = find_part(configuration, _VISION)
        self.audio = find_part(configuration, _AUDIO)
        self.kind = str(getattr(configuration, "model_type", ""))
        self.class_name = str(model_class.__name__)
        self.makers: dict[str, Maker] = {}
        self.parts: list[str] = []

    def is_needed(self, name: str) -> bool:
        """Whether forward takes this argument as its main input, or requires it."""
        return name in self.names and (name in self.main or name in self.required)

    def give(self, name: str, maker: Maker) -> None:
        """Gives an argument if forward has it."""
        if name in self.names:
            self.makers[name] = maker


def find_part(configuration: Any, names: tuple[str, ...]) -> Any:
    """The nested configuration of one of these names; the whole if there is none."""
    for name in names:
        part = getattr(configuration, name, None)
        if part is not None and part is not configuration and hasattr(part, "to_dict"):
            inner = find_part(part, names) if name == "thinker_config" else part
            return inner if inner is not part and name == "thinker_config" else part
    return configuration


def find_entry(configuration: Any, *names: str) -> Any:
    """The first of these entries that a configuration has, or that one nested in it has; `name.entry` is one of the nested one."""
    for part in _walk(configuration, 0):
        for name in names:
            value = getattr(part, name, None)
            if value is not None:
                return value
    return None


def find_number(configuration: Any, *names: str) -> int | None:
    """The first of these entries that is a positive integer."""
    for part in _walk(configuration, 0):
        for name in names:
            value = getattr(part, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None


def _walk(configuration: Any, depth: int) -> Iterator[Any]:
    yield configuration
    if depth == _DEEPEST:
        return
    for value in vars(configuration).values():
        if value is not configuration and hasattr(value, "to_dict") and hasattr(value, "model_type"):
            yield from _walk(value, depth + 1)


def read_pair(size: Any) -> tuple[int, int] | None:
    """Height and width from an integer, a pair or a mapping; None for anything else."""
    if isinstance(size, Mapping):
        size = [size.get("height") or size.get("shortest_edge"), size.get("width") or size.get("shortest_edge")]
    if isinstance(size, int) and size > 0:
        return size, size
    if isinstance(size, list | tuple) and size and all(isinstance(each, int) and each > 0 for each in size):
        return size[0], size[-1]
    return None


# --- making tensors on the default device, under which this is called


def draw_tokens(length: int, vocabulary: int, special: tuple[int, ...]) -> Any:
    """Random tokens without special ones, the same each time."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    tokens = torch.randint(0, vocabulary, (1, length), generator=generator, device="cpu")
    plain = next(token for token in range(len(special) + 1) if token not in special)
    for token in special:
        tokens[tokens == token] = min(plain, vocabulary - 1)
    return tokens.to(torch.get_default_device())


def draw(*shape: int) -> Any:
    """Random values between 0 and 1."""
    import torch

    return torch.rand(shape)


def fill(value: float, *shape: int) -> Any:
    """One floating-point value everywhere: a model can read it also without values, as a constant."""
    import torch

    return torch.full(shape, float(value))


def zeros(*shape: int) -> Any:
    """Integer zeros."""
    import torch

    return torch.zeros(shape, dtype=torch.int64)


def ones(*shape: int) -> Any:
    """Integer ones."""
    import torch

    return torch.ones(shape, dtype=torch.int64)


def count_up(length: int) -> Any:
    """A row of the integers from 0."""
    import torch

    return torch.arange(length)[None]


def constant(values: list[Any]) -> Any:
    """A tensor of Python numbers."""
    import torch

    return torch.tensor(values)


def largest_side(elements: int, channels: int, step: int) -> int:
    """The side of the largest square image of at most so many elements, a multiple of `step`."""
    return math.isqrt(elements // channels) // step * step
