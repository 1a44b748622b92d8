"""The peak of memory of a real training step on the CPU, counted without archaudit: plain PyTorch under a mode that watches storages."""

import contextlib
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class CountingAllocator(TorchDispatchMode):
    """The live bytes of all storages that operators return, each rounded up to 512 bytes, and their peak."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self._watched = {}

    def watch(self, tensor):
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._watched:
            return
        size = -(-storage.nbytes() // 512) * 512

        def free(_reference):
            self._watched.pop(key, None)
            self.live -= size

        self._watched[key] = weakref.ref(storage, free)
        self.live += size
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.watch(leaf)
        return result


def measure_real_peak(model, args, kwargs, make_optimizers, *, amp=None):
    """The peak of the second step, in training mode: the optimizer's states exist, and the gradients of the first step are freed."""
    model.train()
    optimizers = make_optimizers(model)
    _train(model, args, kwargs, optimizers, amp)
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    counting = CountingAllocator()
    states = [value for each in optimizers for state in each.state.values() for value in state.values()]
    for tensor in (*model.parameters(), *model.buffers(), *args, *kwargs.values(), *states):
        if isinstance(tensor, torch.Tensor):
            counting.watch(tensor)
    with counting:
        _train(model, args, kwargs, optimizers, amp)
    return counting.peak


def _train(model, args, kwargs, optimizers, amp):
    with torch.autocast("cpu", getattr(torch, amp)) if amp else contextlib.nullcontext():
        output = model(*args, **kwargs)
        loss = getattr(output, "loss", None)
        if loss is None:
            parts = [leaf.sum() for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
            loss = parts[0]
            for part in parts[1:]:
                loss = loss + part
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
