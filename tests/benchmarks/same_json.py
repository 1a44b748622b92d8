"""Whether two versions of archaudit write the same JSON, byte for byte, but for texts meant for people.

    PYTHONPATH=/path/to/one/checkout   python tests/benchmarks/same_json.py record before/
    PYTHONPATH=/path/to/other/checkout python tests/benchmarks/same_json.py record after/
    python tests/benchmarks/same_json.py compare before/ after/

`record` runs `python -m archaudit` as found on PYTHONPATH, one command at a time, and writes the output and the exit status of each
into the folder. `compare` prints each difference as a path in the JSON with the values before and after, and exits with 1 where there
is one. `--quick`, given to both, takes only the built-in example and two pairs of torchvision models. Both recordings need the same
Python, torch and torchvision.

`PROSE` and `LEFT_OUT` list what is not compared. Of each text in `PROSE`, the comparison still checks that it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

QUICK = {
    "example": "compare before after",
    "mobilenet": "compare torchvision:mobilenet_v2 torchvision:mobilenet_v3_large",
    "segmentation": "compare torchvision:deeplabv3_mobilenet_v3_large torchvision:lraspp_mobilenet_v3_large",
}
COMMANDS = QUICK | {
    "resnet": "compare torchvision:resnet18 torchvision:resnet34",
    "wide_resnet": "compare torchvision:resnet50 torchvision:wide_resnet50_2",
    "vit": "compare torchvision:vit_b_16 torchvision:vit_b_32",
    "swin": "compare torchvision:swin_t torchvision:swin_v2_t",
    "convnext": "compare torchvision:convnext_tiny torchvision:convnext_small",
    "densenet": "compare torchvision:densenet121 torchvision:densenet169",
    "efficientnet": "compare torchvision:efficientnet_b0 torchvision:efficientnet_v2_s",
    "regnet": "compare torchvision:regnet_y_400mf torchvision:regnet_x_400mf",
    "profile_example": "profile after",
    "profile_inception": "profile torchvision:inception_v3",
    "check_own": "check --config .ci/archaudit.toml",  # in the checkout; every other command runs in an empty folder
    "check_failing": "check --config grown.toml",
}

# The failing check: a baseline of one model, and under the same name a model that is larger. It fails with a comparison of the two.
SMALL_CONFIG = '[models.net]\nreference = "torchvision:squeezenet1_1"\n'
GROWN_CONFIG = """
[models.net]
reference = "torchvision:squeezenet1_0"
[[budgets]]
id = "no-growth"
metric = "params"
max_increase = "0%"
[[budgets]]
id = "few-macs"
metric = "macs"
max = "1G"
[[unchanged]]
id = "same-modules"
model = ["net"]
"""

ALL = r"(?s).+"
WORDS = r"(?<!\d)[A-Za-z]+(?: [A-Za-z]+)*"  # not the x in 3x3

# The last keys of a path, the part of the text there that is prose, and why it is no data.
PROSE = {
    "modules[].reason": (ALL, "a sentence on why two modules match; its kinds of change and its confidence are fields"),
    "modules[].causes[].text": (WORDS, "the name of a size that changed; the sizes in it are compared, its share is a field"),
    "modules[].flop_causes[].text": (WORDS, "as in causes"),
    "flow.sentences[]": (ALL, "the changes in flow.parts and flow.edges, in words"),
    "checks[].reason": (ALL, "a sentence on the verdict; its figures and its outcome are fields"),
    "checks[].hints[]": (ALL, "a sentence that explains a false figure"),
    "checks[].measured": (r" \(.*\)$", "a remark in parentheses after the measured value"),
    "checks[].why": (ALL, "copied from the config, where it explains a claim to its reader"),
    "ledger.assumptions[]": (ALL, "a sentence on a default; what was assumed shows in the inputs and the costs"),
    "provenance.rungs_failed[]": (ALL, "a sentence with an error message"),
}
LEFT_OUT = {
    "provenance.environment": "the versions and the platform",
    "provenance.sources": "absolute paths of a checkout",
    "modules[].repeats": "a key that earlier versions did not have: the numbers in `reason`",
    "modules[].cost_change": "a key that earlier versions did not have: a cause in `reason`",
    "modules[].inputs_changed": "a key that earlier versions did not have: what a note of the layer table found by itself",
    "flow.detail": "a key that earlier versions did not have: the level of detail that diagrams draw",
    **{
        f"flow.parts[].{key}": "a key that earlier versions did not have: what the diagram found by itself"
        for key in ("change", "before_paths", "after_paths", "before_nodes", "after_nodes")
    },
}
MOST_SHOWN = 40  # differences a file that are printed without --all: enough to see a pattern
LONGEST_VALUE = 160  # characters of a value that are printed: a row is to fit a screen's width


class Difference(NamedTuple):
    """A place in the JSON where two files differ; values are as they are printed."""

    path: str
    before: str
    after: str


def main() -> int:
    """Records or compares; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    record_mode = modes.add_parser("record", help="run the commands and write their JSON into a folder")
    record_mode.add_argument("folder", type=Path)
    compare_mode = modes.add_parser("compare", help="compare two such folders")
    compare_mode.add_argument("before", type=Path)
    compare_mode.add_argument("after", type=Path)
    compare_mode.add_argument("--all", action="store_true", help=f"print every difference, not the first {MOST_SHOWN} of a file")
    for mode in (record_mode, compare_mode):
        mode.add_argument("--quick", action="store_true", help="the built-in example and two pairs of models only")
    options = parser.parse_args()
    commands = QUICK if options.quick else COMMANDS
    if options.mode == "record":
        record(options.folder, commands)
        return 0
    return compare(options.before, options.after, commands, show_all=options.all)


def record(folder: Path, commands: dict[str, str]) -> None:
    """Writes NAME.json and NAME.status for each command."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in commands:
        for suffix in ("json", "status"):
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        environment = make_environment(work)
        checkout = find_checkout(work, environment)
        print(f"recording {checkout / 'archaudit'}")
        if "check_failing" in commands:
            (work / "small.toml").write_text(SMALL_CONFIG)
            (work / "grown.toml").write_text(GROWN_CONFIG)
            run_archaudit(["baseline", "net", "--config", "small.toml"], work, environment)
        for name, command in commands.items():
            start = time.perf_counter()
            where = checkout if name == "check_own" else work
            done = run_archaudit([*command.split(), "--format", "json"], where, environment)
            (folder / f"{name}.json").write_bytes(done.stdout)
            (folder / f"{name}.status").write_text(f"{done.returncode}\n")
            print(f"{time.perf_counter() - start:6.1f} s, exit status {done.returncode}: {command}", flush=True)


def make_environment(work: Path) -> dict[str, str]:
    """The caller's environment with absolute search paths, as commands run in other folders, and with an empty cache."""
    paths = [str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "ARCHAUDIT_CACHE": str(work / "cache")}


def find_checkout(work: Path, environment: dict[str, str]) -> Path:
    """The folder that holds the package archaudit which the commands import."""
    command = [sys.executable, "-c", "import archaudit; print(archaudit.__file__)"]
    found = subprocess.run(command, cwd=work, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Path(found.stdout.strip()).parents[1]


def run_archaudit(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """One command; a failed or inconclusive check is a result, any other failure ends the recording."""
    command = [sys.executable, "-m", "archaudit", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    if done.returncode not in (0, 1, 2) or not done.stdout:
        raise SystemExit(f"archaudit {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done


def compare(before: Path, after: Path, commands: dict[str, str], *, show_all: bool = False) -> int:
    """Prints the differences of two recordings; the exit status."""
    differing = 0
    for name, command in commands.items():
        differences = compare_recordings(before / name, after / name)
        if not differences:
            continue
        differing += 1
        print(f"{name} ({command}): {len(differences)} differences")
        for each in differences if show_all else differences[:MOST_SHOWN]:
            print(f"  {each.path}\n    before: {each.before}\n    after:  {each.after}")
        if not show_all and len(differences) > MOST_SHOWN:
            print(f"  and {len(differences) - MOST_SHOWN} more (--all)")
    print(f"{differing} of {len(commands)} recordings differ" if differing else f"{len(commands)} recordings are the same")
    return 1 if differing else 0


def compare_recordings(before: Path, after: Path) -> list[Difference]:
    """The differences of two recordings of one command, each given by its path without the suffix."""
    pairs = [(before.with_suffix(suffix), after.with_suffix(suffix)) for suffix in (".json", ".status")]
    missing = [path for pair in pairs for path in pair if not path.exists()]
    if missing:
        return [Difference(str(path), "", "the file is missing") for path in missing]
    (json_before, json_after), (status_before, status_after) = pairs
    statuses = (status_before.read_text().strip(), status_after.read_text().strip())
    differences = compare_json(json_before.read_bytes(), json_after.read_bytes())
    return [Difference("(exit status)", *statuses), *differences] if statuses[0] != statuses[1] else differences


def compare_json(before: bytes, after: bytes) -> list[Difference]:
    """The differences of two JSON documents outside `PROSE` and `LEFT_OUT`.

    Both must have one of the layouts that archaudit writes, the same one: then equal values in equal order are equal bytes.
    """
    values = [msgspec.json.decode(text) for text in (before, after)]
    layouts = [find_layouts(text, value) for text, value in zip((before, after), values, strict=True)]
    differences = [] if layouts[0] & layouts[1] else [Difference("(layout)", *(" or ".join(each) or "unknown" for each in layouts))]
    masked = [mask_prose(value) for value in values]
    if msgspec.json.encode(masked[0]) != msgspec.json.encode(masked[1]):
        differences.extend(find_differences(masked[0], masked[1], ""))
    return differences


def find_layouts(text: bytes, value: Any) -> set[str]:
    """Which of archaudit's layouts of the value are the bytes of the document: both, where all of it is ASCII."""
    layouts = {
        "UTF-8": msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n",
        "ASCII": json.dumps(value, indent=1).encode() + b"\n",
    }
    return {name for name, layout in layouts.items() if layout == text}


def mask_prose(value: Any, path: tuple[str, ...] = ()) -> Any:
    """The value with prose replaced by `<text>`, and without what is left out."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if not any(ends_with((*path, key), field) for field in LEFT_OUT)}
        return {key: mask_prose(each, (*path, key)) for key, each in kept.items()}
    if isinstance(value, list):
        return [mask_prose(each, (*path, "[]")) for each in value]
    if isinstance(value, str):
        for field, (pattern, _) in PROSE.items():
            if ends_with(path, field):
                return re.sub(pattern, "<text>", value)
    return value


def ends_with(path: tuple[str, ...], field: str) -> bool:
    """Whether the last keys of a path are those of a field, written `modules[].reason`."""
    keys = field.replace("[]", ".[]").split(".")
    return list(path[-len(keys) :]) == keys


def find_differences(before: Any, after: Any, path: str) -> Iterator[Difference]:
    """The places where two values differ, in the order of the document; records in lists are compared by their names."""
    if isinstance(before, dict) and isinstance(after, dict):
        children = [{f".{key}": each for key, each in side.items()} for side in (before, after)]
    elif holds_records(before) and holds_records(after):
        children = [{f"[{name}]": each for name, each in zip(name_items(side), side, strict=True)} for side in (before, after)]
    else:
        if msgspec.json.encode(before) != msgspec.json.encode(after):
            yield Difference(path, show(before), show(after))
        return
    left, right = children
    for name in dict.fromkeys((*left, *right)):
        if name in left and name in right:
            yield from find_differences(left[name], right[name], path + name)
        else:
            yield Difference(path + name, *(show(side[name]) if name in side else "(absent)" for side in children))
    orders = [[name for name in side if name in left and name in right] for side in children]
    if orders[0] != orders[1]:
        yield Difference(f"{path} (order)".lstrip(), *(show(order) for order in orders))


def holds_records(value: Any) -> bool:
    """Whether a value is a list of objects (or an empty list)."""
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def name_items(items: list[dict[str, Any]]) -> list[str]:
    """A name for each object of a list: by the first keys that tell all of them apart, else by position."""
    for keys in (("path",), ("before_path", "after_path"), ("id",), ("name",), ("before", "after")):
        names = [" → ".join(str(each.get(key)) for key in keys) for each in items]
        if all(key in each for each in items for key in keys) and len(set(names)) == len(names):
            return names
    return [str(position) for position in range(len(items))]


def show(value: Any) -> str:
    """A value as it is printed: JSON on one line, long ones cut."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


if __name__ == "__main__":
    sys.exit(main())
