"""The programs of modules: the operators that each forward runs itself, with their constants and the order of their operands.

A program is relative to its module: an operand is an argument of forward, a result of an earlier step, or a registered tensor. So equal
blocks have equal programs, and a change upstream leaves the programs downstream as they are. Each program is kept once.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch import nn

from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.tape.arguments import Arguments, as_setting, read_name
from archaudit.measure.tape.memory import Traits
from archaudit.measure.tape.rearranging import Frame, add_rearrangement
from archaudit.measure.tensors import iterate_module_tensors, list_tensors_in, shape_of, storage_key
from archaudit.schema import Program, Setting, Step
from archaudit.schema.record import escape_texts

# A module that is called in a loop has many programs if their sizes differ; the first ones say what it runs.
_MOST_PROGRAMS = 4
# Steps beyond these are kept as one hash: an unrolled loop is not for reading.
_MOST_STEPS = 4_000
# Of a constant tensor with more values, only that it is one is written.
_MOST_VALUES = 16
# Without an effect on values, so they are left out where nothing uses their result.
_PURE = frozenset(("reshape", "permute", "slice", "select", "expand", "detach", "to", "value"))


class ProgramRecorder:
    """Writes the programs while the model runs. `programs` has each once; `of_module` their numbers, by the position of the module."""

    def __init__(self, tree: ModuleTree) -> None:
        self._tree = tree
        self._names = _name_tensors(tree)
        self._frames: list[Frame] = []
        self._numbers: dict[bytes, int] = {}
        self._parameters: dict[int, list[str]] = {}
        self.find_value: Callable[[torch.Tensor], torch.Tensor | None] = lambda _tensor: None
        self.programs: list[Program] = []
        self.of_module: dict[int, list[int]] = {}
        self.inside_function = False
        self.indices: list[list[int]] = []  # those in the index that is being read

    @property
    def is_skipped(self) -> bool:
        """Whether the running module has no program, or a function is a step as a whole."""
        return self.inside_function or not self._frames or self._frames[-1].skipped

    # --- calls of modules

    def enter(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Opens the frame of a call, and adds a step to that of the caller."""
        caller = self._frames[-1] if self._frames else None
        named = self._name_arguments(position, args, kwargs)
        if caller is not None and not caller.skipped:
            tensors = [tensor for _, value in named for tensor in list_tensors_in(value)]
            constants, sizes = _read_plain(named)
            caller.add(
                Step(
                    op="call",
                    module=self._relate(self._tree.paths[position], caller.position),
                    operands=tuple(self._label(tensor, caller) for tensor in tensors),
                    arguments=constants,
                    sizes=sizes,
                    shape=shape_of(tensors[0]) if sizes and tensors else None,
                )
            )
        skipped = (caller is not None and caller.skipped) or (self._tree.is_leaf[position] and _is_of_torch(self._tree.modules[position]))
        frame = Frame(position, skipped)
        if not skipped:
            for place, tensor in enumerate(list_tensors_in(*(value for _, value in named))):
                if frame.find(tensor) is None:
                    frame.name(tensor, f"in{place}")
        self._frames.append(frame)

    def leave(self, result: Any) -> None:
        """Closes the frame; `result` is what the caller gets."""
        frame = self._frames.pop()
        tensors = list_tensors_in(result)
        if not frame.skipped:
            self._keep(frame, tuple(self._label(tensor, frame) for tensor in tensors))
        caller = self._frames[-1] if self._frames else None
        if caller is not None and not caller.skipped and caller.steps:
            self._name_results(caller, tensors)

    def fail(self) -> None:
        """Drops the frame of a call that raised."""
        self._frames.pop()

    def _name_arguments(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
        """The arguments in the order of the signature: whether one is passed by name makes no difference."""
        named: list[tuple[str, Any]] = [(str(place), value) for place, value in enumerate(args)]
        if not kwargs:
            return named
        parameters = self._parameters.get(position)
        if parameters is None:
            parameters = self._parameters[position] = _list_parameters(type(self._tree.modules[position]))
        places = {name: place for place, name in enumerate(parameters)}
        given = sorted(kwargs.items(), key=lambda pair: places.get(pair[0], len(places)))
        return named + [(str(places[name]) if name in places else name, value) for name, value in given]

    def _keep(self, frame: Frame, returns: tuple[str, ...]) -> None:
        known = self.of_module.setdefault(frame.position, [])
        if len(known) >= _MOST_PROGRAMS:
            return
        try:
            program = _simplify(frame.steps, returns)
            data = msgspec.json.encode(program)
        except UnicodeEncodeError:  # a name of the model or of an argument has lone surrogates
            steps = msgspec.convert(escape_texts(msgspec.to_builtins(frame.steps)), list[Step])
            program = _simplify(steps, tuple(escape_texts(returns)))
            data = msgspec.json.encode(program)
        number = self._numbers.setdefault(data, len(self.programs))
        if number == len(self.programs):
            self.programs.append(program)
        if number not in known:
            known.append(number)

    def _name_results(self, frame: Frame, tensors: list[torch.Tensor]) -> None:
        step = len(frame.steps) - 1
        for place, tensor in enumerate(tensors):
            frame.name(tensor, f"{step}.{place}" if place else str(step))

    # --- operands

    def _label(self, tensor: torch.Tensor, frame: Frame) -> str:
        label = frame.find(tensor)
        if label is None:
            label = self._label_unknown(tensor, frame)
        written = frame.writes.get(storage_key(tensor)) if frame.writes else None
        if written is not None and not (label[0].isdigit() and int(label.partition(".")[0].partition("+")[0]) >= written):
            return f"{label}+{written}"
        return label

    def _label_unknown(self, tensor: torch.Tensor, frame: Frame) -> str:
        name = self._names.get(id(tensor))
        if name is not None:
            related = self._relate(name, frame.position)
            return related if related.startswith("/") else f".{related}"
        if any(other.find(tensor) is not None for other in reversed(self._frames) if other is not frame):
            return "outer"
        if tensor.numel() <= _MOST_VALUES and (value := self.find_value(tensor)) is not None:
            listed = as_setting(value.tolist())
            return f"value {listed}"
        return "tensor"

    def _relate(self, path: str, position: int) -> str:
        above = self._tree.paths[position]
        if not above:
            return path
        return path[len(above) + 1 :] if path.startswith(f"{above}.") else f"/{path}"

    # --- operators

    def record(
        self,
        operator: Any,
        traits: Traits,
        args: tuple[Any, ...],
        arguments: Arguments,
        tensors: tuple[list[torch.Tensor], list[torch.Tensor]],
    ) -> None:
        """Adds the step of an operator that the innermost module runs itself."""
        inputs, outputs = tensors
        if self.is_skipped or not outputs:
            return
        frame, name = self._frames[-1], read_name(operator)
        if inputs and add_rearrangement(frame, name, args, self._label(inputs[0], frame), (inputs[0], outputs)):
            return
        step = Step(
            op=name,
            operands=tuple(self._label(tensor, frame) for tensor in inputs),
            arguments=_add_places(args, arguments.constants | ({"indices": as_setting(self.indices)} if self.indices else {})),
            sizes=arguments.sizes if inputs else {},
            shape=shape_of(inputs[0]) if arguments.sizes and inputs else None,
        )
        if name.startswith("upsample_"):
            step = msgspec.structs.replace(step, shape=shape_of(inputs[0])[2:])
        frame.add(step)
        self._name_results(frame, outputs)
        if traits.written_positions or traits.written_names:
            for number in traits.written_positions:
                for tensor in list_tensors_in(args[number]) if number < len(args) else ():
                    frame.writes[storage_key(tensor)] = len(frame.steps) - 1

    # --- functions that are one step, independent of the operators that they run

    def run_function(
        self, name: str, named: list[tuple[str, Any]], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Runs a function of torch and adds one step for it; `named` are its arguments by name, in the order of its signature."""
        frame = self._frames[-1]
        operands = tuple(self._label(tensor, frame) for _, value in named for tensor in list_tensors_in(value))
        arguments = {
            key: as_setting(value)
            for key, value in named
            if not isinstance(value, torch.Tensor | tuple) and value not in (None, False, 0.0)
        }
        self.inside_function = True
        try:
            result = function(*args, **kwargs)
        finally:
            self.inside_function = False
        frame.add(Step(op=name, operands=operands, arguments=arguments))
        return result

    def name_function_result(self, result: Any) -> None:
        """Records the tensors that the last function returned."""
        self._name_results(self._frames[-1], list_tensors_in(result))


def _add_places(args: tuple[Any, ...], constants: dict[str, Setting]) -> dict[str, Setting]:
    """The constants, and for an index with gaps (`x[:, ids]`) the places of its tensors."""
    for value in args:
        if isinstance(value, list | tuple) and any(each is None for each in value):
            return constants | {"at": [place for place, each in enumerate(value) if each is not None]}
    return constants


def _read_plain(named: list[tuple[str, Any]]) -> tuple[dict[str, Setting], dict[str, Setting]]:
    """The plain values among a module's arguments: constants, and whole numbers, which may be sizes."""
    constants: dict[str, Setting] = {}
    sizes: dict[str, Setting] = {}
    for name, value in named:
        if isinstance(value, bool | float | str):
            if value is not False:
                constants[name] = as_setting(value)
        elif isinstance(value, int):
            sizes[name] = value
    return constants, sizes


def _simplify(steps: list[Step], returns: tuple[str, ...]) -> Program:
    """The program without steps that have no effect and whose result nothing uses; the rest is numbered anew."""
    used = {place for label in returns for place in _list_steps(label)}
    kept: list[int] = []
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        if number in used or step.op not in _PURE:
            kept.append(number)
            used.update(place for label in step.operands for place in _list_steps(label))
    kept.reverse()
    numbers = {number: place for place, number in enumerate(kept)}
    listed = [msgspec.structs.replace(steps[n], operands=tuple(_renumber(label, numbers) for label in steps[n].operands)) for n in kept]
    if len(listed) > _MOST_STEPS:
        rest = hashlib.sha256(msgspec.json.encode(listed[_MOST_STEPS:], order="sorted")).hexdigest()[:16]
        listed = [*listed[:_MOST_STEPS], Step(op="more", arguments={"count": len(listed) - _MOST_STEPS, "digest": rest})]
    return Program(steps=tuple(listed), returns=tuple(_renumber(label, numbers) for label in returns))


def _list_steps(label: str) -> list[int]:
    """The numbers of the steps in an operand such as `3`, `3.1` or `in0+3`."""
    return [int(part.partition(".")[0]) for part in label.split("+") if part[:1].isdigit()]


def _renumber(label: str, numbers: dict[int, int]) -> str:
    parts = []
    for part in label.split("+"):
        head, dot, place = part.partition(".")
        parts.append(f"{numbers.get(int(head), head)}{dot}{place}" if head.isdigit() else part)
    return "+".join(parts)


def _name_tensors(tree: ModuleTree) -> dict[int, str]:
    """The full name of each registered tensor, under its first owner."""
    names: dict[int, str] = {}
    for module, path in zip(tree.modules, tree.paths, strict=True):
        for name, tensor, _, _ in iterate_module_tensors(module):
            names.setdefault(id(tensor), f"{path}.{name}" if path else name)
    return names


def _is_of_torch(module: nn.Module) -> bool:
    return type(module).__module__.partition(".")[0] == "torch"


def _list_parameters(kind: type) -> list[str]:
    try:
        return list(inspect.signature(kind.forward).parameters)[1:]  # type: ignore[attr-defined]
    except (TypeError, ValueError, AttributeError):
        return []
