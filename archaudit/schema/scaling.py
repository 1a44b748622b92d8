"""How the costs of a model grow with the sizes of its input: exact expressions, and the range in which they were checked."""

from __future__ import annotations

from archaudit.schema.record import FORMAT_VERSION, Record


class SizeVariable(Record, frozen=True, kw_only=True):
    """One size of the input. `base` is its value in the model's own input; `low` to `high` is the range that was run, in steps of `step`.

    `inputs` are the tensors that have it, as `name.dimension`.
    """

    name: str
    meaning: str
    base: int
    low: int
    high: int
    step: int = 1
    inputs: tuple[str, ...] = ()


class Law(Record, frozen=True, kw_only=True):
    """One quantity as Python text in the variables: `4*B*T**2 + 12*B*T`; a rounded size is `((H + 1)//2)`.

    `pieces` are the arguments of the outermost `max`, each with the path of the module that decides it, where the law is piecewise.
    `reason` says why there is no expression.
    """

    expression: str | None = None
    pieces: tuple[tuple[str, str], ...] = ()
    reason: str = ""


class ModuleLaws(Record, frozen=True, kw_only=True):
    """The laws of one module with everything below it; quantities that are zero for every size are left out."""

    path: str
    type: str
    laws: dict[str, Law] = {}


class ScalingLaws(Record, frozen=True, kw_only=True):
    """The laws of one model, by the name of the metric.

    `points` are the sizes of the runs from which they were found, `checked` those of further runs that were compared with them, `counts`
    what these cost; `wrong` says where a law did not hold. `fixed` are sizes of the input that the model does not accept in another value.
    `notes` name what is piecewise, data dependent or left out, with its module.
    """

    format_version: int = FORMAT_VERSION
    name: str
    reference: str
    variables: tuple[SizeVariable, ...]
    laws: dict[str, Law]
    modules: tuple[ModuleLaws, ...] = ()
    sections: dict[str, dict[str, Law]] = {}
    fixed: tuple[str, ...] = ()
    points: tuple[dict[str, int], ...] = ()
    checked: tuple[dict[str, int], ...] = ()
    counts: tuple[dict[str, int], ...] = ()
    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
