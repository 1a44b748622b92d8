"""The peak of live activations of a profile, next to that of a real run of the same model on the CPU.

    python tests/benchmarks/peak_memory.py [NAME...]

The truth is a real forward pass with random weights, measured in two independent ways:

- `tensors`: the bytes of all storages that operators return, by weak references to real tensors.
- `allocator`: every allocation of torch's own CPU allocator, as torch.profiler records them, without what one operator allocates and frees
  before it returns.

Those temporaries of kernels are in the last two columns: the peak of the allocator with them, and the operator that runs at this peak.
oneDNN's convolutions copy inputs, weights and outputs into blocked layouts, and its LSTM has a scratchpad; both depend on the processor.
They are no tensors, and no part of a profile. Inputs are part of all numbers, weights of none. The fused inference path of
nn.TransformerEncoder is off, because it hides the layers.

Aim: within 5 % of both, for each model.
"""

from __future__ import annotations

import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

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
    print("| model | profile | tensors | ratio | allocator | ratio | with temporaries of kernels | of |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    outliers = []
    for name in chosen:
        model, args, kwargs = MODELS[name]()
        ours = measure_live(model, args, kwargs).peaks.activation_bytes or 0
        tensors = measure_tensors(model, args, kwargs)
        allocated = measure_allocator(model, args, kwargs)
        cells = [name, f"{ours:,}"]
        for truth in (tensors, allocated.peak):
            cells += [f"{truth:,}", f"{ours / truth:.3f}"]
            if abs(ours / truth - 1) > MOST_DIFFERENCE and name not in outliers:
                outliers.append(name)
        differs = allocated.whole_peak > allocated.peak * (1 + MOST_DIFFERENCE)
        print(f"| {' | '.join(cells)} | {allocated.whole_peak:,} | {allocated.running if differs else ''} |", flush=True)
    verdict = f"NOT MET by {', '.join(outliers)}" if outliers else f"met by {len(chosen)} models"
    print(f"\naim: within {MOST_DIFFERENCE:.0%} of the tensors and of the allocator: {verdict}")


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


class Allocated(NamedTuple):
    """Peaks of torch's allocator: without the temporaries of kernels, with them, and the operator that runs at the second."""

    peak: int
    whole_peak: int
    running: str


def measure_allocator(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Allocated:
    """The peaks of torch's CPU allocator in a real forward pass in eval mode, with the inputs."""
    model.eval()
    given = sum({tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in list_tensors(args, kwargs)}.values())
    with torch.no_grad():
        model(*args, **kwargs)  # once for nothing: kernels are chosen and caches filled
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            result = model(*args, **kwargs)
    del result
    steps = sorted(_list_allocations(recorded.profiler.kineto_results.experimental_event_tree()))
    live = whole_peak = 0
    running = ""
    for _, _, size, name, _ in steps:
        live += size
        if live > whole_peak:
            whole_peak, running = live, name
    live = peak = 0
    temporary = _find_temporaries(steps)
    for number, (_, _, size, _, _) in enumerate(steps):
        live += 0 if number in temporary else size
        peak = max(peak, live)
    return Allocated(peak + given, whole_peak + given, running)


# When, where in memory, how many bytes (negative: freed), the name of the operator and when it started; "" and -1 outside all operators.
_Allocation = tuple[int, int, int, str, int]


def _list_allocations(events: Iterable[Any], name: str = "", number: int = -1) -> Iterator[_Allocation]:
    """All allocations, each with the outermost operator that a dispatch mode sees, which composite operators are not."""
    for event in events:
        if hasattr(event.extra_fields, "alloc_size"):
            yield event.start_time_ns, event.extra_fields.ptr, event.extra_fields.alloc_size, name, number
        elif number < 0 and "::" in event.name and not _is_composite(event):
            yield from _list_allocations(event.children, event.name.removeprefix("aten::"), event.start_time_ns)
        else:
            yield from _list_allocations(event.children, name, number)


def _is_composite(event: Any) -> bool:
    """Whether torch runs other operators in its place. Of two overloads, one can be composite and call the other (`upsample_*.vec`)."""
    kinds = _list_kinds(event.name)
    return all(kinds) if len(set(kinds)) < 2 else any(child.name == event.name for child in event.children)


@cache
def _list_kinds(name: str) -> list[bool]:
    """Whether each overload that allocates its result is composite."""
    namespace, _, base = name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), base, None)
    overloads = [] if packet is None else [each for each in packet.overloads() if "out" not in each]
    known = filter(torch._C._dispatch_has_kernel, (f"{name}.{each}".removesuffix(".default") for each in overloads))
    return [torch._C._dispatch_has_kernel_for_dispatch_key(each, "CompositeImplicitAutograd") for each in known]


def _find_temporaries(steps: list[_Allocation]) -> set[int]:
    """The positions of what one run of an operator both allocates and frees."""
    found: set[int] = set()
    made: dict[int, tuple[int, int]] = {}
    for place, (_, address, size, _, number) in enumerate(steps):
        if size > 0:
            made[address] = place, number
        elif (start := made.pop(address, None)) is not None and start[1] == number >= 0:
            found |= {start[0], place}
    return found


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


def _unet() -> Case:
    import diffusers

    channels = (32, 64)
    kinds = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    model = diffusers.UNet2DModel(sample_size=64, block_out_channels=channels, layers_per_block=1, norm_num_groups=8, **kinds)
    return model, (torch.zeros(1, 3, 64, 64), torch.zeros(1)), {}


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
    "diffusers:UNet2DModel": _unet,
    "own: grouped attention, 2,048 tokens": lambda: (GroupedAttention(), (torch.zeros(1, 2048, 2048),), {}),
    "own: group norm and pointwise layers": lambda: _image(Pointwise()),
    "own: nn.TransformerEncoder": _encoder,
    "own: LSTM, 200 steps": lambda: (nn.LSTM(64, 128, 2, bidirectional=True), (torch.zeros(200, 4, 64),), {}),
    "own: GRU, 200 steps": lambda: (nn.GRU(64, 128, 2, batch_first=True), (torch.zeros(4, 200, 64),), {}),
}


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
