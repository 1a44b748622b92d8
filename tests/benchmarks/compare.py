"""How long a comparison takes, beside the imports that it cannot do without.

    python tests/benchmarks/compare.py [ROUNDS]

Each round runs, one after the other and each in a fresh process: `import torch, torchvision`; the built-in comparison, both sides isolated,
with its report written into a folder; a comparison of two saved profiles; and one of two git revisions that were measured before. Printed
are medians over rounds (default 5): of the ratio to the round's own import, and of seconds for what imports no torch. The aims: less than
1.0 times, less than 0.3 s, less than a second.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORT = [sys.executable, "-c", "import torch, torchvision"]
ARCHAUDIT = [sys.executable, "-m", "archaudit"]
EXAMPLE = Path(__file__).parents[2] / "archaudit" / "examples" / "segmentation"


def main() -> None:
    """Runs the rounds and prints the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        environment = make_environment(root)
        make_repository(root, environment)
        for name in ("before", "after"):
            run([*ARCHAUDIT, "baseline", name, "--baselines", "saved", "--no-other-counters"], root, environment)
        commands = {
            "import torch, torchvision": IMPORT,
            "compare before after -o FOLDER": [*ARCHAUDIT, "compare", "before", "after", "-o", "reports"],
            "compare saved/before.json saved/after.json": [*ARCHAUDIT, "compare", "saved/before.json", "saved/after.json"],
            "compare main~..main model.py:Model, kept": [*ARCHAUDIT, "compare", "main~..main", "model.py:Model", "--input", "1x3x512x512"],
        }
        for command in commands.values():  # once for nothing: files are read from the disk, and revisions measured
            run(command, root, environment)
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                seconds[name].append(run(command, root, environment))
    imports, compared, *cheap = seconds
    ratios = [mine / theirs for mine, theirs in zip(seconds[compared], seconds[imports], strict=True)]
    print(f"{imports:45s}{statistics.median(seconds[imports]):6.2f} s, median of {rounds}")
    print(f"{compared:45s}{statistics.median(ratios):6.2f} times that, {min(ratios):.2f} to {max(ratios):.2f} (aim: at most 1.0)")
    for name, aim in zip(cheap, ("0.3", "1"), strict=True):
        times = seconds[name]
        print(f"{name:45s}{statistics.median(times):6.2f} s, {min(times):.2f} to {max(times):.2f} (aim: less than {aim})")


def make_environment(root: Path) -> dict[str, str]:
    """This archaudit, with its cache in the benchmark's folder; compiled code is kept as for users."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    search_path = os.pathsep.join(part for part in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")) if part)
    return {**kept, "PYTHONPATH": search_path, "ARCHAUDIT_CACHE": str(root / "cache")}


def make_repository(root: Path, environment: dict[str, str]) -> None:
    """The two models of the example as two revisions of one file, which is the case that archaudit was made for."""
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody")
    run(["git", "init", "--quiet", "--initial-branch=main"], root, environment)
    for name in ("before", "after"):
        shutil.copy(EXAMPLE / f"{name}.py", root / "model.py")
        text = (root / "model.py").read_text()
        (root / "model.py").write_text(f"{text}\n\nModel = {find_model(text)}\n")
        run(["git", "add", "model.py"], root, environment)
        run(["git", *identity, "commit", "--quiet", "-m", name], root, environment)


def find_model(text: str) -> str:
    """The last class of a file, which is its whole model."""
    return [line.partition("class ")[2].partition("(")[0] for line in text.splitlines() if line.startswith("class ")][-1]


def run(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Wall seconds of one fresh process; a failure of it ends the benchmark, a failed check does not."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
