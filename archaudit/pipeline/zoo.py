"""Many models at once: catalogs of their names, and verdicts on them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec

from archaudit.claims.named_figures import Catalogs
from archaudit.claims.names import Catalog
from archaudit.config import Config, load_config
from archaudit.errors import ArchauditError, InputError, LoadError
from archaudit.judge import judge
from archaudit.load.suggestions import list_library, list_weights
from archaudit.load.transformers_checkpoints import has_fixed_input, read_checkpoints
from archaudit.pipeline.kept_profiles import add_kept_key, find_profiles
from archaudit.pipeline.measuring import list_formulas, measure_targets
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target, resolve
from archaudit.schema import Check, Profile, Verdict
from archaudit.worker import share_pool

# Libraries whose models have names of their own. They classify ImageNet, so that a table on another task is not about them.
LIBRARIES = ("timm", "torchvision")
# Models of torchvision that are no image classifiers; torchvision publishes no input for the operations of detectors.
_DETECTORS = re.compile(r"faster_?rcnn|mask_?rcnn|keypoint_?rcnn|retinanet|ssd|fcos", re.IGNORECASE)
_OTHER_MODELS = re.compile(_DETECTORS.pattern + r"|fcn_|deeplab|lraspp|r3d|mc3|r2plus1d|s3d|mvit|swin3d|raft", re.IGNORECASE)
_WITH_AUXILIARY = ("fcn_", "deeplabv3_")  # that torchvision builds with an auxiliary classifier for its weights
_SIZE_OF_VIT = 224  # that torchvision builds vision transformers for
# Names that mean a checkpoint only as written: GPT-2 is a family, and by its paper the largest of it.
_EXACT_NAMES = ("gpt2",)
_SOURCES_HINT = "Name timm, torchvision, transformers, a TOML file with [models], or a folder of configurations."
_CONFIG_SUFFIX = ".json"
_MOST_FILES = 2000  # of a folder of configurations


class Model(NamedTuple):
    """A model of a document: its reference, and the side of its square input where the document states one."""

    reference: str
    resolution: int | None = None

    @property
    def name(self) -> str:
        """Its name in checks: `timm:resnet50`, or `timm:resnet50 at 288`."""
        return self.reference if self.resolution is None else f"{self.reference} at {self.resolution}"


# --- catalogs ---


def open_catalogs(sources: Sequence[str], config: Config | None, folder: Path) -> Catalogs:
    """The catalogs of `--models`: a library, a TOML file with [models], or a folder of configurations. Paths start at `folder`.

    Raises InputError for a source that is none of these or has no models, LoadError for a library that is not installed.
    """
    members = [member for source in sources for member in _open_catalogs(source, folder)]
    if config is not None and config.models:
        members.insert(0, (Catalog({name: name for name in config.models}), False))
    return Catalogs(tuple(members))


def _open_catalogs(source: str, folder: Path) -> Iterable[tuple[Catalog, bool]]:
    """The catalogs of one source, each with whether its models classify ImageNet."""
    if source in LIBRARIES:
        names = list_library(source)
        if not names:
            raise LoadError(f"{source} is not installed", f"Install it with: pip install 'archaudit[{source}]'.")
        if source == "torchvision":
            yield from _open_torchvision(names)
        else:
            yield Catalog({name: f"{source}:{name}" for name in names}), True
        return
    if source == "transformers":
        yield from _open_transformers()
        return
    path = folder / Path(source).expanduser()
    if path.is_dir():
        catalog = _open_folder(path)
    elif path.is_file() and path.suffix == ".toml":
        catalog = Catalog({name: _locate(model.reference, path.parent) for name, model in load_config(path).models.items()})
    else:
        raise InputError(f"{source}: is neither a library, a TOML file nor a folder", _SOURCES_HINT)
    if not catalog.entries:
        raise InputError(f"{source}: names no models", _SOURCES_HINT)
    yield catalog, False


def _open_torchvision(names: Iterable[str]) -> Iterable[tuple[Catalog, bool]]:
    """Two catalogs: image classifiers, and models of other tasks. Names of weights, such as `ViT_H_14_Weights.V1`, also say the input."""
    references = {name: f"torchvision:{name}" for name in names}
    inputs: dict[str, int] = {}
    for weights, (name, size) in list_weights().items():
        references[weights] = f"torchvision:{name}"
        if size is not None and name.startswith("vit_"):
            references[weights] += f"(image_size={size})" if size != _SIZE_OF_VIT else ""
        elif name.startswith(_WITH_AUXILIARY):
            references[weights] += "(aux_loss=True)"
        elif size is not None and not _OTHER_MODELS.match(name):
            inputs[weights] = size
    others = {name: reference for name, reference in references.items() if _OTHER_MODELS.match(name)}
    yield Catalog({name: each for name, each in references.items() if name not in others}, inputs=inputs), True
    yield Catalog(others, only_params=[name for name in others if _DETECTORS.match(name)]), False


def _open_transformers() -> Iterable[tuple[Catalog, bool]]:
    """Two catalogs of the checkpoints whose sizes are known: image classifiers, and models of text and sound."""
    checkpoints = read_checkpoints()
    images: dict[str, str] = {}
    sequences: dict[str, str] = {}
    for name, checkpoint in checkpoints.list_names().items():
        if has_fixed_input(checkpoints.find(checkpoint) or {}):
            images[name.replace("-", "_")] = f"transformers:{checkpoint}"  # as timm writes names, whose short forms are known
        else:
            sequences[name] = f"transformers:{checkpoint}"
    yield Catalog(images), True
    yield Catalog(sequences, only_params=sequences, exact=_EXACT_NAMES), False


def _open_folder(folder: Path) -> Catalog:
    """The configurations below a folder, each under the name of its file, or of its folder where the file is `config.json`."""
    references: dict[str, str] = {}
    only_params: set[str] = set()
    paths = sorted(path for path in folder.rglob(f"*{_CONFIG_SUFFIX}") if not any(part.startswith(".") for part in path.parts[1:]))
    for path in paths[:_MOST_FILES]:
        try:
            content = msgspec.json.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
        if not isinstance(content, dict) or not ("model_type" in content or "_class_name" in content or "architectures" in content):
            continue
        library = "diffusers" if "_class_name" in content else "transformers"
        name = path.parent.name if path.name == "config.json" else path.stem
        reference = f"{library}:{path}"
        kind, given = content.get("model_type"), content.get("_name_or_path")
        names = [name]
        if isinstance(kind, str) and kind.casefold() not in name.casefold():
            names.append(f"{kind}-{name}")
        if isinstance(given, str) and given:
            names.append(given.rpartition("/")[2])
        for each in names:
            if each not in references and library == "transformers" and not has_fixed_input(content):
                only_params.add(each)
            references.setdefault(each, reference)
    return Catalog(references, only_params=only_params)


def _locate(reference: str, folder: Path) -> str:
    """A reference of another config, with its file relative to that config's folder."""
    target, colon, rest = reference.partition(":")
    return f"{folder / target}{colon}{rest}" if target.endswith((".py", ".json")) and not Path(target).is_absolute() else reference


# --- profiles ---


class Zoo:
    """Judges checks on many models. Each model is measured once in a command, in parallel with others.

    Profiles of libraries' models are kept for the next command (`kept_profiles`), unless the options are not `cached`; with `fresh`, those
    that are kept are replaced.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._measured: dict[tuple[Model, bool], Profile | ArchauditError] = {}

    def judge(self, models: Sequence[Model], checks: Sequence[Check]) -> tuple[Verdict, ...]:
        """The verdicts on checks, each about the model at its position. False operation counts are judged again with fvcore's numbers."""
        verdicts = list(self._judge(models, checks, other_counters=False))
        false = [
            position
            for position, verdict in enumerate(verdicts)
            if verdict.finding == "false" and verdict.reading is None and checks[position].metric in ("macs", "flops")
        ]
        again = self._judge([models[position] for position in false], [checks[position] for position in false], other_counters=True)
        for position, verdict in zip(false, again, strict=True):
            is_open = verdict.finding == "false" and verdict.reading is None
            verdicts[position] = self._try_resolutions(models[position], checks[position], verdict) if is_open else verdict
        return tuple(verdicts)

    def _judge(self, models: Sequence[Model], checks: Sequence[Check], *, other_counters: bool) -> tuple[Verdict, ...]:
        self._measure(models, other_counters=other_counters)
        found = {model.name: self._measured[model, other_counters] for model in models}
        profiles = {name: each for name, each in found.items() if isinstance(each, Profile)}
        errors = {name: each for name, each in found.items() if isinstance(each, ArchauditError)}
        return judge(checks, profiles, {}, unmeasured=errors)

    def _measure(self, models: Iterable[Model], *, other_counters: bool) -> None:
        """Measures the models that are not measured yet; `other_counters`: with the numbers of fvcore and torchinfo."""
        missing = [model for model in dict.fromkeys(models) if (model, other_counters) not in self._measured]
        if not missing:
            return
        options = msgspec.structs.replace(
            self._options, other_counters=other_counters, symbolic=False, latency="off", equivalent=False, on_stage=lambda stage: None
        )
        targets = {model: _resolve(model, options) for model in missing}
        kept = _find_kept(targets) if not options.fresh else {}
        for model, profile in kept.items():
            self._measured[model, other_counters] = profile
        missing = [model for model in missing if model not in kept]
        if not missing:
            return
        self._options.on_progress(0, len(missing))
        with share_pool(options.workers) as pool, ThreadPoolExecutor((os.cpu_count() or 1) if pool is not None else 1) as threads:
            forked = msgspec.structs.replace(options, worker_pool=pool)
            futures = [(model, threads.submit(_measure, targets[model], forked)) for model in missing]
            for done, (model, future) in enumerate(futures, start=1):
                self._options.on_stage(model.name)
                try:
                    self._measured[model, other_counters] = future.result()
                except ArchauditError as error:
                    self._measured[model, other_counters] = error
                self._options.on_progress(done, len(missing))

    def _try_resolutions(self, model: Model, check: Check, verdict: Verdict) -> Verdict:
        """The verdict, with the reading where the document states no resolution and the figure is true at another one."""
        profile = self._measured[model, True]
        if model.resolution is not None or check.figure is None or verdict.actual is None or isinstance(profile, ArchauditError):
            return verdict
        for size in list_resolutions(profile, verdict.actual, check.figure.value):
            other = Model(model.reference, size)
            (found,) = self._judge([other], [msgspec.structs.replace(check, model=other.name)], other_counters=False)
            if found.finding in ("true", "other reading"):
                reading = f"at {size}x{size}" + (f"; {found.reading}" if found.reading else "")
                return msgspec.structs.replace(verdict, reading=reading, reason=f"{verdict.reason}; it is true {reading}")
        return verdict


def _resolve(model: Model, options: Options) -> tuple[Target, ...] | ArchauditError:
    """The targets to try for a model: at the document's resolution, then built for it, which models that accept one size only need."""
    inputs = (f"1x3x{model.resolution}x{model.resolution}",) if model.resolution is not None else ()
    try:
        target = resolve(model.reference, options.config, inputs)
    except ArchauditError as error:
        return error
    targets, reference = [target], target.reference
    if model.resolution is not None and reference is not None and reference.kind == "library" and reference.target == "timm":
        sized = msgspec.structs.replace(reference, arguments={**reference.arguments, "img_size": model.resolution})
        targets.append(msgspec.structs.replace(target, reference=sized))
    return tuple(add_kept_key(each, list_formulas(each, options), options) for each in targets)


def _find_kept(targets: Mapping[Model, tuple[Target, ...] | ArchauditError]) -> dict[Model, Profile]:
    """The profiles that an earlier command kept. If that of a model built for its resolution is there, it could not be run otherwise."""
    keys = {model: [each.kept_as for each in found if each.kept_as] for model, found in targets.items() if isinstance(found, tuple)}
    kept = find_profiles([key for each in keys.values() for key in each])
    return {model: next(kept[key] for key in each if key in kept) for model, each in keys.items() if any(key in kept for key in each)}


def _measure(targets: tuple[Target, ...] | ArchauditError, options: Options) -> Profile:
    """The profile of the first target that can be measured. Raises the last error."""
    if isinstance(targets, ArchauditError):
        raise targets
    *first, last = targets
    for target in first:
        try:
            return measure_targets([target], options)[0]
        except ArchauditError:
            continue
    return measure_targets([last], options)[0]


# --- figures that are true at another resolution ---


# Sizes of square inputs that published models are measured at.
_RESOLUTIONS = (
    128,
    160,
    176,
    192,
    208,
    224,
    240,
    256,
    260,
    272,
    280,
    288,
    299,
    300,
    320,
    331,
    336,
    352,
    380,
    384,
    416,
    448,
    456,
    480,
    512,
    528,
    544,
    600,
)
_NEAREST = 2  # resolutions that are tried for a figure
_CLOSE = 0.03  # how far such a resolution may be from the one that the area gives: strides round, and a classifier does not grow


def list_resolutions(profile: Profile, actual: float, claimed: float) -> list[int]:
    """The resolutions at which a network of convolutions would have the claimed operations: their number grows with the area."""
    side = next((record.shape[-1] for record in profile.inputs if len(record.shape) == 4 and record.shape[-1] == record.shape[-2]), 0)
    if not side or actual <= 0 or claimed <= 0:
        return []
    wanted = side * (claimed / actual) ** 0.5
    near = [size for size in _RESOLUTIONS if size != side and abs(size / wanted - 1) < _CLOSE]
    return sorted(near, key=lambda size: abs(size - wanted))[:_NEAREST]
