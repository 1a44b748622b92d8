"""What a user's reference leads to: a name from a config, the built-in example, a model in code, or a saved profile."""

from __future__ import annotations

import difflib
from pathlib import Path

import msgspec

from archaudit.config import Config, load_example_config
from archaudit.errors import ConfigError, LoadError, RevisionError, SavedFileError
from archaudit.load.inputs import parse_inputs
from archaudit.load.reference import LIBRARIES, Reference, parse_reference
from archaudit.pipeline.options import Options
from archaudit.schema import Checkout, InputSpec, Profile, Record, decode_profile


class Revised(Record, frozen=True, kw_only=True):
    """What a target at a git revision is measured from, and under which settings its profile is kept (None: it is not)."""

    checkout: Checkout
    toplevel: str
    commit: str
    settings: str | None = None
    assumption: str | None = None


class Target(Record, frozen=True, kw_only=True):
    """A side, resolved. `name` is what reports call it (as typed), `key` what checks name it by; `config` the one that defined it.

    Exactly one of `reference` and `saved` is set: code to load, or a profile that was read from a file. A reference at a git revision is
    followed when it is measured (`revised`).
    """

    name: str
    key: str
    reference: Reference | None = None
    inputs: tuple[InputSpec, ...] = ()
    saved: Profile | None = None
    config: Config | None = None
    revised: Revised | None = None

    @property
    def is_revised(self) -> bool:
        """Whether it is to be looked up at a git revision."""
        return self.reference is not None and bool(self.reference.revision)

    @property
    def preload(self) -> tuple[str, ...]:
        """What its worker will need anyway, worth importing before forking."""
        needs_torchvision = self.config is not None and self.config.source.startswith("built-in")
        libraries = {self.reference.target} if self.reference is not None and self.reference.kind == "library" else set()
        return ("torchvision",) if needs_torchvision or "torchvision" in libraries else ()


def resolve(text: str, config: Config | None, inputs: tuple[str, ...] = (), *, allow_pickle: bool = False) -> Target:
    """The target of a reference. `inputs`, when given, replace the inputs that a config or the model's file names.

    Raises LoadError for what is no reference or an unknown name (with the nearest ones), InputError, or SavedFileError.
    """
    reference = parse_reference(text)
    given = parse_inputs(inputs)
    if reference.kind == "saved":
        if given:
            raise LoadError(f"{text} is a saved profile: its input cannot be changed", "Leave --input out, or name the model's code.")
        if reference.revision:
            return Target(name=text, key=_key_of(reference), reference=reference)
        return Target(name=text, key=reference.target, saved=read_profile(Path(reference.target)))
    if reference.kind == "weights":
        return _read_weights(reference, text, given, allow_pickle=allow_pickle)
    if reference.kind != "name":
        return Target(name=text, key=_key_of(reference), reference=reference, inputs=given)
    for known in (config, load_example_config()):
        if known is not None and reference.target in known.models:
            return _resolve_name(reference, known, given)
    raise _unknown_name(reference, config)


def _resolve_name(name: Reference, config: Config, given: tuple[InputSpec, ...]) -> Target:
    model = config.models[name.target]
    try:
        reference = parse_reference(model.reference)
        inputs = given or parse_inputs(model.inputs)
    except LoadError as error:
        raise ConfigError(f"{config.source}: models.{name.target}.reference: {error.message}", error.hint) from error
    if reference.kind == "name":
        raise ConfigError(
            f"{config.source}: models.{name.target}.reference: {model.reference!r} is another name", "Write where the model is."
        )
    if reference.kind in ("file", "saved", "weights", "exported"):
        reference = msgspec.structs.replace(reference, target=str(config.folder / reference.target))
    if name.revision:
        reference = _revise(name, reference, config)
    elif reference.kind == "saved":
        return Target(name=name.text, key=name.target, saved=read_profile(Path(reference.target)), config=config)
    elif reference.kind == "weights":
        target = _read_weights(reference, name.text, given, allow_pickle=False)
        return msgspec.structs.replace(target, key=name.target, config=config)
    reference = msgspec.structs.replace(reference, arguments={**reference.arguments, **name.arguments})
    return Target(name=name.text, key=_key_of(name), reference=reference, inputs=inputs, config=config)


def _read_weights(reference: Reference, text: str, given: tuple[InputSpec, ...], *, allow_pickle: bool) -> Target:
    if given:
        raise LoadError(f"{text} has weights only: it cannot be run on an input", "Leave --input out, or name the model's code.")
    from archaudit.load.weights_file import read_weights

    saved = read_weights(Path(reference.target).expanduser(), text, allow_pickle=allow_pickle)
    return Target(name=text, key=reference.target, saved=saved)


def _key_of(reference: Reference) -> str:
    """A model at a revision is another one than the model: budgets are about what is now."""
    return f"{reference.base}@{reference.revision}" if reference.revision else reference.base


def _revise(name: Reference, reference: Reference, config: Config) -> Reference:
    if config.source.startswith("built-in"):
        raise LoadError(f"{name.text}: the built-in example has no revisions", "A revision is of code in a git repository of yours.")
    if (
        reference.revision
        or reference.kind in ("weights", "exported")
        or (reference.kind == "library" and reference.target != "transformers")
    ):
        raise LoadError(f"{name.text}: {name.target} is {reference.text}, which has no revisions of its own")
    return msgspec.structs.replace(reference, text=name.text, revision=name.revision)


def _unknown_name(reference: Reference, config: Config | None) -> LoadError:
    names = [*(config.models if config is not None else ()), *load_example_config().models]
    near = difflib.get_close_matches(reference.target, [*names, *LIBRARIES], n=3, cutoff=0.5)
    known = ", ".join(dict.fromkeys(names))
    hint = (
        f"Did you mean {' or '.join(near)}?" if near else f"Known names: {known}. Code is named as file.py:Model or package.module:Model."
    )
    return LoadError(f"there is no model named {reference.target!r}", hint)


def read_profile(path: Path) -> Profile:
    """A saved profile from a file. Raises SavedFileError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SavedFileError(
            f"{path} cannot be read: {error.strerror}", "Write it with: archaudit profile REF --format json -o FOLDER."
        ) from error
    return decode_profile(data, str(path))


# --- `archaudit compare main..HEAD REF`: one model at two revisions ---


def resolve_pair(before: str, after: str, options: Options) -> list[Target]:
    """The two sides of a comparison: two references, or a range of revisions and one reference. The model at the range's end stands for the
    model as it is: what is asked of it by name is asked of this side."""
    ends = _read_range(before)
    if ends is None:
        return [_resolve_side(text, options) for text in (before, after)]
    reference = parse_reference(after)
    if reference.revision:
        raise RevisionError(f"{after} names a revision, and {before} two", "Name the model without a revision after a range.")
    sides = [resolve(f"{after}@{end}", options.config, options.inputs) for end in ends]
    return [sides[0], msgspec.structs.replace(sides[1], key=reference.base)]


def _resolve_side(text: str, options: Options) -> Target:
    """A side that cannot be run on another input stands beside one that is."""
    inputs = () if parse_reference(text).kind in ("saved", "weights") else options.inputs
    return resolve(text, options.config, inputs, allow_pickle=options.allow_pickle)


def _read_range(text: str) -> tuple[str, str] | None:
    if ".." not in text or text.endswith(".json"):
        return None
    from archaudit.revisions import find_repository, parse_range

    asked = parse_range(text)
    if asked is None:
        return None
    if not asked.from_merge_base:
        return asked.start, asked.end
    repository = find_repository(Path.cwd())
    return asked.find_ends(repository)[0], asked.end
