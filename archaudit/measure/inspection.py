"""What the built model shows besides its profile: source lines and comments, what a pass in training mode calls and reads, and ties."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import nn

from archaudit.errors import describe_error
from archaudit.measure.building.copying import run_with_large_stack
from archaudit.measure.model_run import Run
from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.process_state import DispatchMode, without_fusion
from archaudit.measure.saved_bytes import in_mode
from archaudit.measure.source_lines import locate_modules
from archaudit.measure.tape.known_values import track_constants
from archaudit.measure.tape.module_calls import observe_calls
from archaudit.measure.tape.shape_cache import CachedShapesMode, ShapeCache
from archaudit.measure.tensors import COPY_NOTE, iterate_module_tensors, list_tensors_in, storage_key
from archaudit.schema import Inspection, Setting

# Attributes of a model's configuration that rules compare with the model.
_FACTS = ("tie_word_embeddings", "vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
# The passes in training mode that are tried: the value of booleans that depend on data (None: they raise), and whether batch norms stay in
# eval mode, because in training mode they refuse a single value for each channel.
_PASSES = ((None, False), (False, False), (None, True), (False, True))


def inspect_run(run: Run) -> Inspection:
    """Inspects the model of a run: one more forward pass, in training mode, and its source files."""
    places, directives = locate_modules(run.tree)
    training = _TrainingPass(run.tree)
    reason = _run_training_pass(run, training)
    return Inspection(
        places=places,
        directives=directives,
        trained=not reason,
        reason=reason,
        called_in_training=frozenset(run.tree.paths[position] for position in training.called),
        read_in_training=frozenset(training.list_read()) if not reason else frozenset(),
        without_gradient=tuple(training.list_without_gradient()) if not reason else (),
        facts=_read_facts(run.model),
        shared_memory=tuple(_find_shared_memory(run.tree)),
        copies=tuple(_find_copies(run.tree)),
    )


class _TrainingPass:
    """Records the modules that a pass calls, the memory that it reads, and the parameters that gradients of its outputs reach."""

    def __init__(self, tree: ModuleTree) -> None:
        self.tree = tree
        self.called: set[int] = set()
        self.read: set[int] = set()
        self.reached: set[int] = set()
        self.differentiable = False

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.called.add(position)

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        pass

    def follow_gradients(self, result: object) -> None:
        """Walks autograd's graph from every output back to the parameters."""
        pending = [tensor.grad_fn for tensor in list_tensors_in(result) if tensor.grad_fn is not None]
        self.reached |= {id(tensor) for tensor in list_tensors_in(result) if tensor.grad_fn is None and tensor.requires_grad}
        self.differentiable = bool(pending)
        seen = set(pending)
        while pending:
            node = pending.pop()
            variable = getattr(node, "variable", None)
            if variable is not None:
                self.reached.add(id(variable))
            for following, _ in node.next_functions:
                if following is not None and following not in seen:
                    seen.add(following)
                    pending.append(following)

    def list_read(self) -> Iterable[str]:
        """The full names of the tensors whose memory an operator read."""
        return (name for name, tensor in _name_tensors(self.tree) if storage_key(tensor) in self.read)

    def list_without_gradient(self) -> Iterable[str]:
        """Trainable parameters that were read, and that no gradient reaches; none if no output has a gradient at all."""
        if not self.differentiable:
            return
        reached_memory = {storage_key(tensor) for _, tensor in _name_tensors(self.tree) if id(tensor) in self.reached}
        for name, tensor in _name_tensors(self.tree):
            trainable = isinstance(tensor, nn.Parameter) and tensor.requires_grad
            if trainable and storage_key(tensor) in self.read and storage_key(tensor) not in reached_memory:
                yield name


def _name_tensors(tree: ModuleTree) -> Iterable[tuple[str, torch.Tensor]]:
    for module, path in zip(tree.modules, tree.paths, strict=True):
        for name, tensor, _, _ in iterate_module_tensors(module):
            yield (f"{path}.{name}" if path else name), tensor


class _Reads(DispatchMode):
    """Adds the memory of every tensor that an operator takes to `read`."""

    def __init__(self, read: set[int]) -> None:
        super().__init__()
        self._read = read

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        self._read.update(storage_key(tensor) for tensor in list_tensors_in((args, kwargs or {})))
        return func(*args, **(kwargs or {}))


def _run_training_pass(run: Run, training: _TrainingPass) -> str:
    """Runs the pass. Returns why it failed; empty if it did not."""
    failure: BaseException | None = None
    for answer, fixed_norms in _PASSES:
        if answer is not None and run.build_mode in ("fake", "real"):
            continue
        try:
            run_with_large_stack(lambda: _run_once(run, training, answer, fixed_norms), max(run.tree.depths, default=0))  # noqa: B023
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a model may fail in training mode for any reason
            failure = failure or error
            continue
        return ""
    return f"it raised {describe_error(failure)}"


def _run_once(run: Run, training: _TrainingPass, answer: bool | None, fixed_norms: bool) -> None:
    known_values = run.shape_cache.known_values
    cache = run.shape_cache if answer is None else ShapeCache(answer, known_values)
    args, kwargs = run.copy_inputs()
    with (
        in_mode(run.model, training=True),
        warnings.catch_warnings(action="ignore"),
        run.context(),
        without_fusion(),
        torch.enable_grad(),
        track_constants(known_values),
        CachedShapesMode(cache),
        _Reads(training.read),
        observe_calls(run.tree, training),
    ):
        for module in run.tree.modules if fixed_norms else ():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.training = False
        training.follow_gradients(run.model(*args, **kwargs))


def _read_facts(model: nn.Module) -> dict[str, Setting]:
    """What the model's configuration says, where it has one, and the names that its library ties.

    A configuration of several parts has the facts on words in the part for text.
    """
    config = getattr(model, "config", None)
    text = next((part for name in _TEXT_PARTS if (part := getattr(config, name, None)) is not None), None)
    facts: dict[str, Setting] = {}
    for name in _FACTS:
        value = getattr(config, name, getattr(text, name, None))
        if isinstance(value, bool | int | str):
            facts[name] = value
    tied = [
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        for name in _list_tied_keys(getattr(type(module), "_tied_weights_keys", None) or vars(module).get("_tied_weights_keys"))
    ]
    if hasattr(model, "_tied_weights_keys"):
        facts["tied_weights_keys"] = sorted(tied)
    return facts


# Where a configuration of several parts has that of its language model.
_TEXT_PARTS = ("text_config", "decoder", "language_config", "llm_config")


def _list_tied_keys(keys: object) -> list[str]:
    return [str(key) for key in keys] if isinstance(keys, Collection) and not isinstance(keys, str) else []


def _find_copies(tree: ModuleTree) -> Iterable[tuple[str, str]]:
    """Each parameter that was made as a copy of another one, and the name of that."""
    for name, tensor in _name_tensors(tree):
        origin = tensor.__dict__.get(COPY_NOTE) if isinstance(tensor, nn.Parameter) else None
        if isinstance(origin, str) and origin != name:
            yield name, origin


def _find_shared_memory(tree: ModuleTree) -> Iterable[tuple[str, ...]]:
    """The names of different parameters of the same shape that share memory: a tie that the next `.to()` breaks."""
    groups: dict[tuple[int, int, tuple[int, ...]], dict[int, str]] = {}
    for name, tensor in _name_tensors(tree):
        if isinstance(tensor, nn.Parameter) and (key := storage_key(tensor)) and tensor.numel():
            groups.setdefault((key, int(tensor.storage_offset()), tuple(tensor.shape)), {}).setdefault(id(tensor), name)
    return (tuple(names.values()) for names in groups.values() if len(names) > 1)
