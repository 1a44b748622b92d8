"""References resolved to targets: a model in code, a name of a config or of the built-in example, or a saved profile."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from archaudit.config import Config, load_example_config
from archaudit.errors import ConfigError, LoadError, RevisionError, SavedFileError
from archaudit.load.inputs import parse_inputs
from archaudit.load.reference import FROM_FILES, LIBRARIES, Reference, parse_reference
from archaudit.pipeline.options import Options
from archaudit.schema import Checkout, InputSpec, Pair, Profile, Record, decode_profile, read_file


class Revised(Record, frozen=True, kw_only=True):
    """The checkout that a target at a git revision is measured from; `settings` is the cache key of its profile (None: no cache)."""

    checkout: Checkout
    toplevel: str
    commit: str
    settings: str | None = None
    assumption: str | None = None


class Target(Record, frozen=True, kw_only=True):
    """A resolved reference. `name` is its name in reports (as typed), `key` its name in checks; `config` is the config that defines it.

    Exactly one of `reference` and `saved` is set: code to load, or a profile from a file. A reference at a git revision is checked out when
    it is measured (`revised` is then set). `arg_file` has arguments of the model. `kept_as` is the cache key of the profile of a library's
    model (None: no cache).
    """

    name: str
    key: str
    reference: Reference | None = None
    inputs: tuple[InputSpec, ...] = ()
    saved: Profile | None = None
    config: Config | None = None
    revised: Revised | None = None
    arg_file: str = ""
    kept_as: str | None = None

    @property
    def is_revised(self) -> bool:
        """Whether it has a git revision that is not checked out yet."""
        return self.reference is not None and bool(self.reference.revision)

    @property
    def preload(self) -> tuple[str, ...]:
        """Libraries that its worker needs: importing them before the fork saves time."""
        needs_torchvision = self.config is not None and self.config.source.startswith("built-in")
        libraries = {self.reference.target} if self.reference is not None and self.reference.kind == "library" else set()
        return ("torchvision",) if needs_torchvision or "torchvision" in libraries else ()


def resolve(text: str, config: Config | None, inputs: tuple[str, ...] = (), *, allow_pickle: bool = False) -> Target:
    """The target of a reference. `inputs`, if given, replace the inputs in a config or in the model's file.

    Raises LoadError for a malformed reference or an unknown name (with similar names), InputError, or SavedFileError.
    """
    reference = parse_reference(text)
    given = parse_inputs(inputs)
    if reference.kind == "saved":
        if given:
            raise LoadError(f"{text} is a saved profile: its input cannot be changed", "Leave out --input, or name the model's code.")
        if reference.revision:
            return Target(name=text, key=_make_key(reference), reference=reference)
        return Target(name=text, key=reference.target, saved=read_profile(Path(reference.target)))
    if reference.kind == "weights":
        return _read_weights(reference, text, given, allow_pickle=allow_pickle)
    if reference.kind != "name":
        return Target(name=text, key=_make_key(reference), reference=reference, inputs=given)
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
            f"{config.source}: models.{name.target}.reference: {model.reference!r} is another name",
            "Write the model's code, such as file.py:Model.",
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
    return Target(name=name.text, key=_make_key(name), reference=reference, inputs=inputs, config=config)


def _read_weights(reference: Reference, text: str, given: tuple[InputSpec, ...], *, allow_pickle: bool) -> Target:
    if given:
        raise LoadError(f"{text} has weights only: it cannot be run on an input", "Leave out --input, or name the model's code.")
    from archaudit.load.weights_file import read_weights

    saved = read_weights(Path(reference.target).expanduser(), text, allow_pickle=allow_pickle)
    return Target(name=text, key=reference.target, saved=saved)


def _make_key(reference: Reference) -> str:
    """The name in checks. A model at a revision is not the model that budgets are about: it keeps its revision."""
    return f"{reference.base}@{reference.revision}" if reference.revision else reference.base


def _revise(name: Reference, reference: Reference, config: Config) -> Reference:
    if config.source.startswith("built-in"):
        raise LoadError(f"{name.text}: the built-in example has no revisions", "Only code in your own git repository has revisions.")
    if (
        reference.revision
        or reference.kind in ("weights", "exported")
        or (reference.kind == "library" and reference.target not in FROM_FILES)
    ):
        raise LoadError(f"{name.text}: {name.target} is {reference.text}, which has no revisions")
    return msgspec.structs.replace(reference, text=name.text, revision=name.revision)


def _unknown_name(reference: Reference, config: Config | None) -> LoadError:
    names = [*(config.models if config is not None else ()), *load_example_config().models]
    near = difflib.get_close_matches(reference.target, [*names, *LIBRARIES], n=3, cutoff=0.5)
    if not near:
        from archaudit.load.suggestions import suggest_libraries

        near = suggest_libraries(reference.target)
    known = ", ".join(dict.fromkeys(names))
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known names: {known}. Name code as file.py:Model or package.module:Model."
    return LoadError(f"there is no model named {reference.target!r}", hint)


def read_profile(path: Path) -> Profile:
    """A saved profile from a file. Raises SavedFileError."""
    try:
        data = read_file(path)
    except OSError as error:
        raise SavedFileError(
            f"{path} cannot be read: {error.strerror}", "Write it with: archaudit profile REF --format json -o FOLDER."
        ) from error
    try:
        return decode_profile(data, str(path))
    except SavedFileError as error:
        from archaudit.load.suggestions import suggest_configuration

        meant = suggest_configuration(path)
        if meant is None:
            raise
        raise SavedFileError(f"{path} is not a saved profile but the configuration of a model", f"Did you mean {meant}?") from error


def find_baseline_folder(options: Options, targets: Iterable[Target] = ()) -> Path:
    """The folder of baselines: the command's, else the config's, else that of a config that defines a target, else `baselines`."""
    configs = (options.config, *(target.config for target in targets))
    return options.baselines or next((config.baselines for config in configs if config is not None), Path("baselines"))


# --- `archaudit compare main..HEAD REF`: one model at two revisions ---


def resolve_pair(before: str, after: str, options: Options) -> Pair[Target]:
    """The two sides of a comparison: two references, or a range of revisions and one reference.

    With a range, checks on the model apply to the end of the range.
    """
    ends = _read_range(before)
    if ends is None:
        return Pair(_resolve_side(before, options, 0), _resolve_side(after, options, 1))
    reference = parse_reference(after)
    if reference.revision:
        raise RevisionError(f"{after} names a revision, and {before} two", "After a range, name the model without a revision.")
    sides = Pair(*(_resolve_side(f"{after}@{end}", options, position) for position, end in enumerate(ends)))
    return Pair(sides.before, msgspec.structs.replace(sides.after, key=reference.base))


def resolve_one(text: str, options: Options) -> Target:
    """The target of a command with one model. Raises LoadError for options that need the code of a model that has none."""
    target = resolve(text, options.config, options.inputs, allow_pickle=options.allow_pickle)
    given = "--arg-file" if options.arg_files else "--dtype" if options.dtype is not None else None
    if target.saved is not None and given is not None:
        raise LoadError(f"{text} is a saved profile or has only weights: {given} does not apply", "Name the model's code.")
    return msgspec.structs.replace(target, arg_file=options.choose_arg_file(0))


def _resolve_side(text: str, options: Options, position: int) -> Target:
    """The target of one side; `--input`, `--dtype` and `--arg-file` do not apply to a saved profile or a checkpoint."""
    if parse_reference(text).kind in ("saved", "weights"):
        return resolve(text, options.config, (), allow_pickle=options.allow_pickle)
    target = resolve(text, options.config, options.inputs, allow_pickle=options.allow_pickle)
    return msgspec.structs.replace(target, arg_file=options.choose_arg_file(position)) if target.reference is not None else target


def _read_range(text: str) -> Pair[str] | None:
    if ".." not in text or text.endswith(".json"):
        return None
    from archaudit.revisions import find_repository, parse_range

    found = parse_range(text)
    if found is None:
        return None
    start = found.find_ends(find_repository(Path.cwd()))[0] if found.from_merge_base else found.start
    return Pair(start, found.end)
