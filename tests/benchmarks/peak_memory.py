"""The peak of live activations of a profile, next to that of a real run of the same model on the CPU.

    python tests/benchmarks/peak_memory.py [NAME...]

The truth is a real forward pass with random weights, measured in two ways: `tensors`, the bytes of all storages that operators return, by
weak references to real tensors; and `allocator`, every allocation of torch's CPU allocator, as torch.profiler records them. The second also
has what kernels allocate for themselves and free before they return: oneDNN's convolutions copy inputs, weights and outputs into blocked
layouts. The tensors are what a profile is about. Inputs are part of all numbers, weights of none. The fused inference path of
nn.TransformerEncoder is off, because it hides the layers.

Aim: within 5 % of the tensors, for each model. Where the allocator differs by more, the table names the operator that allocates.
"""

from __future__ import annotations

import os
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from archaudit.measure.recipe import measure_live

MOST_DIFFERENCE = 0.05
Case = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


def main() -> None:
    """Measures the models and prints the table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    chosen = sys.argv[1:] or list(MODELS)
    print(
        "| model | profile | tensors | ratio | allocator | ratio | allocates for itself |\n| --- | ---: | ---: | ---: | ---: | ---: | --- |"
    )
    outliers = []
    for name in chosen:
        model, args, kwargs = MODELS[name]()
        ours = measure_live(model, args, kwargs).peaks.activation_bytes or 0
        tensors = measure_tensors(model, args, kwargs)
        allocated, operators = measure_allocator(model, args, kwargs)
        cells = (name, f"{ours:,}", f"{tensors:,}", f"{ours / tensors:.3f}", f"{allocated:,}", f"{ours / allocated:.3f}")
        differs = abs(ours / allocated - 1) > MOST_DIFFERENCE
        print(f"| {' | '.join(cells)} | {', '.join(operators) if differs else ''} |", flush=True)
        if abs(ours / tensors - 1) > MOST_DIFFERENCE:
            outliers.append(name)
    print(f"\naim: within {MOST_DIFFERENCE:.0%} of the tensors: {'NOT MET by ' + ', '.join(outliers) if outliers else 'met'}")


class _LiveStorages(TorchDispatchMode):
    """The bytes of the storages of all tensors that operators return, while they are alive."""

    def __init__(self, given: list[torch.Tensor], ignored: set[int]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = dict.fromkeys(ignored)
        for tensor in given:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def forget(_: object) -> None:
            self._known.pop(key, None)
            self.live -= size

        self._known[key] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)


def list_tensors(*values: Any) -> list[torch.Tensor]:
    """The tensors in the arguments of a model."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def measure_tensors(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """The peak of live storages in a real forward pass in eval mode."""
    model.eval()
    weights = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    mode = _LiveStorages(list_tensors(args, kwargs), weights)
    with mode, torch.no_grad():
        result = model(*args, **kwargs)
    del result
    return mode.peak


def measure_allocator(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, list[str]]:
    """The peak of torch's CPU allocator, and the innermost operators that run when it is reached."""
    model.eval()
    given = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in list_tensors(args, kwargs)}
    with torch.no_grad():
        model(*args, **kwargs)  # once for nothing: kernels are chosen and caches filled
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            result = model(*args, **kwargs)
    del result
    events = recorded.profiler.kineto_results.events()
    live = peak = peak_ns = 0
    for event in sorted((each for each in events if each.name() == "[memory]"), key=lambda each: each.start_ns()):
        live += event.nbytes()
        if live > peak:
            peak, peak_ns = live, event.start_ns()
    running = [each for each in events if each.name() != "[memory]" and each.start_ns() <= peak_ns <= each.end_ns()]
    names = [each.name().removeprefix("aten::") for each in sorted(running, key=lambda each: each.start_ns())]
    return peak + sum(given.values()), names[-1:]


# --- the models


def _image(model: nn.Module, size: int = 224) -> Case:
    return model, (torch.zeros(1, 3, size, size),), {}


def _torchvision(name: str) -> Callable[[], Case]:
    def build() -> Case:
        import torchvision

        return _image(getattr(torchvision.models, name)(weights=None))

    return build


def _timm(name: str) -> Callable[[], Case]:
    def build() -> Case:
        import timm

        return _image(timm.create_model(name, pretrained=False))

    return build


def _transformers(kind: str, tokens: int = 256, **sizes: Any) -> Callable[[], Case]:
    def build() -> Case:
        import transformers

        configuration = getattr(transformers, f"{kind}Config")(vocab_size=2000, **sizes)
        configuration.pad_token_id, configuration.bos_token_id, configuration.eos_token_id = 0, 1, 2
        configuration.decoder_start_token_id = 0
        names = [name for name in (f"{kind}ForCausalLM", f"{kind}ForConditionalGeneration", f"{kind}Model") if hasattr(transformers, name)]
        model = getattr(transformers, names[0])._from_config(configuration)
        ids = torch.randint(3, 2000, (1, tokens), generator=torch.Generator().manual_seed(0))
        given = {"input_ids": ids} | ({"decoder_input_ids": ids[:, :32]} if names[0].endswith("Generation") else {})
        return model, (), given

    return build


class GroupedAttention(nn.Module):
    """Causal attention whose 32 query heads share 8 key heads."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = nn.Linear(2048, 2048), nn.Linear(2048, 512), nn.Linear(2048, 512), nn.Linear(2048, 2048)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, 2048)."""
        batch, length, _ = x.shape
        q, k, v = (layer(x).view(batch, length, -1, 64).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o(y.transpose(1, 2).reshape(batch, length, -1))


class Pointwise(nn.Module):
    """Blocks of group norm, depthwise and pointwise layers with a residual, as in ConvNeXt-like networks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(48, 48, 7, padding=3, groups=48), nn.GroupNorm(1, 48), nn.Conv2d(48, 192, 1), nn.GELU(), nn.Conv2d(192, 48, 1)
            )
            for _ in range(3)
        )
        self.stem = nn.Conv2d(3, 48, 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, height, width)."""
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return x


def _encoder() -> Case:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True), 2), (torch.zeros(2, 128, 256),), {}


MODELS: dict[str, Callable[[], Case]] = {
    **{f"torchvision:{name}": _torchvision(name) for name in ("resnet18", "mobilenet_v3_small", "convnext_tiny", "swin_t", "vit_b_16")},
    **{f"torchvision:{name}": _torchvision(name) for name in ("densenet121", "efficientnet_b0", "maxvit_t")},
    **{f"timm:{name}": _timm(name) for name in ("mixer_s16_224", "deit_tiny_patch16_224", "pvt_v2_b0", "xcit_nano_12_p16_224")},
    "transformers:Llama": _transformers("Llama", hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_key_value_heads=4),
    "transformers:Mixtral": _transformers("Mixtral", hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_key_value_heads=4),
    "transformers:GPT2": _transformers("GPT2", n_embd=256, n_layer=4, n_head=4),
    "transformers:Bert": _transformers("Bert", hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4),
    "transformers:T5": _transformers("T5", d_model=256, d_ff=512, num_layers=2, num_heads=4, d_kv=64),
    "own: grouped attention, 2,048 tokens": lambda: (GroupedAttention(), (torch.zeros(1, 2048, 2048),), {}),
    "own: group norm and pointwise layers": lambda: _image(Pointwise()),
    "own: nn.TransformerEncoder": _encoder,
    "own: LSTM, 200 steps": lambda: (nn.LSTM(64, 128, 2, bidirectional=True), (torch.zeros(200, 4, 64),), {}),
    "own: GRU, 200 steps": lambda: (nn.GRU(64, 128, 2, batch_first=True), (torch.zeros(4, 200, 64),), {}),
}


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
