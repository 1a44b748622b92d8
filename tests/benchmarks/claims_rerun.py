"""Times `claims check` of a document about 100 models of timm, with kept profiles.

    python tests/benchmarks/claims_rerun.py --models 100

The first run measures every model, which takes minutes; the second finds all profiles kept. The models are those of the corpus of zoos
whose names state no resolution.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = Path(__file__).parents[1] / "claims" / "zoos" / "models.csv"
STANZA = '[[tables]]\nmodels = "timm"\nname = "Model"\nparams = "Params (M)"\n'


def write_document(folder: Path, number: int) -> Path:
    """A table of models with their parameters, and the claim about it."""
    rows: dict[str, str] = {}
    with MODELS.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["model"], f"{int(row['params']) / 1e6:.2f}")
    chosen = list(rows.items())[:number]
    path = folder / "ZOO.md"
    path.write_text("| Model | Params (M) |\n|---|---|\n" + "".join(f"| {name} | {figure} |\n" for name, figure in chosen))
    path.with_name("ZOO.md.claims.toml").write_text(STANZA)
    return path


def time_check(path: Path, cache: Path) -> tuple[float, float, str]:
    """The seconds that one check takes, those of the processor, and its last line."""
    start, used = time.perf_counter(), sum(os.times()[2:4])
    command = [sys.executable, "-m", "archaudit", "claims", "check", path.name]
    done = subprocess.run(
        command, cwd=path.parent, env={**os.environ, "ARCHAUDIT_CACHE": str(cache)}, capture_output=True, text=True, check=False
    )
    return time.perf_counter() - start, sum(os.times()[2:4]) - used, (done.stdout or done.stderr).strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_document(Path(folder), wanted.models)
        for run in ("first run", "second run", "third run"):
            seconds, used, last = time_check(path, Path(folder) / "cache")
            print(f"{run}: {seconds:.1f} s ({used:.1f} s of the processor), {last}")


if __name__ == "__main__":
    main()
