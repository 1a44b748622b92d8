"""The errors that a user can see. Each names what is wrong, where, and what to do, in one to three lines."""

from __future__ import annotations

_LONGEST_TEXT = 300


def read_message(error: BaseException | None) -> str:
    """The message of an exception. Those of a model are untrusted: `__str__` may raise, and its text may contain lone surrogates."""
    try:
        return str.encode(str(error), "utf-8", "backslashreplace").decode()
    except BaseException:  # noqa: BLE001 - `__str__` may raise anything, even SystemExit
        return "(its message cannot be read)"


def describe_error(error: BaseException | None, *, with_type: bool = True) -> str:
    """`ValueError: no such mode`, on one line and shortened; the message alone without `with_type`."""
    text = " ".join(read_message(error).split())
    text = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
    if not with_type:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ArchauditError(Exception):
    """An error that archaudit can explain; the command line prints it and exits with 2.

    `message` names what is wrong and where; `hint`, if given, what to do about it.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[ArchauditError], tuple[str, str | None]]:
        return (type(self), (self.message, self.hint))


class ConfigError(ArchauditError):
    """The configuration is malformed, or names something that does not exist."""


class LoadError(ArchauditError):
    """A reference does not lead to a model."""


class InputError(ArchauditError):
    """The description of a model's inputs cannot be read, or is missing."""


class MeasureError(ArchauditError):
    """A model was found but cannot be built, copied or run."""


class SavedFileError(ArchauditError):
    """A saved profile, baseline or report cannot be read: missing, truncated, or of another format version."""


class RevisionError(ArchauditError):
    """A git revision cannot be found or checked out."""


class OutputError(ArchauditError):
    """A file cannot be written."""


class WorkerError(ArchauditError):
    """The process that measures a model died, hung or sent a malformed reply."""


class WorkerKilledError(WorkerError):
    """A signal ended the process that measures a model: an operator has a defect, for example, or it ran without values and cannot."""


class CannotJudge(Exception):
    """A check can neither pass nor fail; the text is the reason, for the verdict.

    Only this makes a verdict inconclusive. It is no ArchauditError: the other checks are judged, and the command goes on.
    """
