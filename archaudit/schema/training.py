"""What one training step of a model costs: FLOPs by phase, and the memory over the step."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.record import OperatorStatus, Record

# What a step does, in this order; recomputation of checkpointed parts runs between the operators of the backward pass.
TrainingPhase = Literal["forward", "backward", "recompute", "optimizer"]
TRAINING_PHASES: tuple[TrainingPhase, ...] = ("forward", "backward", "recompute", "optimizer")

# What memory is used for. `activations` outlive the forward pass (or the recomputation) that makes them; `temporaries` are all others.
MemoryCategory = Literal["parameters", "gradients", "optimizer states", "activations", "temporaries", "inputs"]
MEMORY_CATEGORIES: tuple[MemoryCategory, ...] = (
    "parameters", "gradients", "optimizer states", "activations", "temporaries", "inputs",
)  # fmt: skip


class TrainingSettings(Record, frozen=True, kw_only=True):
    """How a training step is run.

    `optimizer` is the name of a class of `torch.optim` in lower case, or `package.module:Class`, with arguments after a colon:
    `sgd:momentum=0.9`. `amp` is the dtype of autocast, None without it. `checkpoint` turns activation checkpointing on: `model` by the
    model's own flag, else patterns of the modules that are checkpointed, with commas. `memory_bytes` is the memory of the device that the
    step has to fit in: then the largest batch is searched.
    """

    optimizer: str = "adamw"
    amp: str | None = None
    checkpoint: str = ""
    reentrant: bool = False
    memory_bytes: int | None = None


class TrainingCost(Record, frozen=True, kw_only=True):
    """What a module itself costs in one training step. FLOPs are twice the multiply-accumulates of dense contractions.

    `gradient_bytes` and `optimizer_bytes` are those of the parameters that the module owns; `saved_bytes` those of the tensors that its
    operators made and that are kept for the backward pass.
    """

    forward_flops: int = 0
    backward_flops: int = 0
    recompute_flops: int = 0
    optimizer_flops: int = 0
    gradient_bytes: int = 0
    optimizer_bytes: int = 0
    saved_bytes: int = 0

    @property
    def training_flops(self) -> int:
        """The FLOPs of the whole step."""
        return self.forward_flops + self.backward_flops + self.recompute_flops + self.optimizer_flops

    def __add__(self, other: TrainingCost) -> TrainingCost:
        return TrainingCost(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class TrainingOperator(Record, frozen=True, kw_only=True):
    """All runs of one operator in one phase. `note` is the reason of an unknown one, or says what a kernel computes again."""

    phase: TrainingPhase
    name: str
    count: int
    status: OperatorStatus
    flops: int = 0
    note: str = ""


class SavedTensors(Record, frozen=True, kw_only=True):
    """The tensors that one operator of one module made and that are kept for the backward pass."""

    module: str
    operator: str
    bytes: int
    count: int = 1


class MemoryPoint(Record, frozen=True, kw_only=True):
    """The live bytes while one operator runs: its number in the step, its phase and module, and the bytes by category."""

    step: int
    phase: TrainingPhase
    operator: str
    module: str
    bytes: dict[MemoryCategory, int]

    @property
    def total(self) -> int:
        """The bytes of all categories."""
        return sum(self.bytes.values())


class BatchLimit(Record, frozen=True, kw_only=True):
    """The largest batch whose training step fits in the memory of a device.

    `batch` is 0 if not even one sample fits. `peak_bytes` is the measured peak with that batch, `next_peak_bytes` that with one sample
    more. `reason` says why there is no limit.
    """

    memory_bytes: int
    batch: int | None = None
    peak_bytes: int | None = None
    next_peak_bytes: int | None = None
    measured_batch: int = 0
    reason: str = ""


class TrainingMemory(Record, frozen=True, kw_only=True):
    """The memory over one training step after the first one, when the optimizer's states exist.

    Every storage counts with its size rounded up to 512 bytes, as torch's allocator on CUDA does. `peak` is the operator with the most live
    bytes, `curve` the largest point of each part of the step, in order.
    """

    peak: MemoryPoint
    curve: tuple[MemoryPoint, ...] = ()
    saved: tuple[SavedTensors, ...] = ()
    operators: int = 0


class Training(Record, frozen=True, kw_only=True):
    """One training step of a model: forward pass, loss, backward pass and the optimizer's step.

    `device` is the one whose operators are assumed. `modules` has the own costs of each module that has any. `loss` says what is
    differentiated. `mode` is `train`, or `eval` if the model does not run in training mode. `kernel_recompute_flops` is the part of the
    backward FLOPs that fused kernels spend on computing again what the forward pass did not keep.
    """

    settings: TrainingSettings
    device: str = "cpu"
    loss: str
    mode: Literal["train", "eval"] = "train"
    totals: TrainingCost
    modules: dict[str, TrainingCost]
    flops_complete: bool = True
    kernel_recompute_flops: int = 0
    operators: tuple[TrainingOperator, ...] = ()
    memory: TrainingMemory
    limit: BatchLimit | None = None
    assumptions: tuple[str, ...] = ()
