"""How much slower a comparison is than the imports that it cannot do without.

    python tests/benchmarks/startup.py [ROUNDS]

Each round runs, one after the other and each in a fresh process: `import torch, torchvision`; the built-in comparison; the same with its
report written into a folder; the same without torchinfo and fvcore. Printed is the median over rounds (default 7) of each round's ratio to
its own import, so that a machine that is busy for a while slows both sides of a ratio. The aim is less than 1.25.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

IMPORT = [sys.executable, "-c", "import torch, torchvision"]
COMPARE = [sys.executable, "-m", "archaudit", "compare", "before", "after"]
AIM = 1.25
# A checkout is compiled by its first run; where Python may not keep that, each later run would be charged with compiling again.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main() -> None:
    """Runs the rounds and prints the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "compare before after": COMPARE,
            "compare before after -o FOLDER": [*COMPARE, "-o", folder],
            "compare before after --no-other-counters": [*COMPARE, "--no-other-counters"],
        }
        for command in (IMPORT, *commands.values()):  # once for nothing: files are read from the disk
            time_process(command)
        ratios: dict[str, list[float]] = {name: [] for name in commands}
        imports = []
        for _ in range(rounds):
            imports.append(time_process(IMPORT))
            for name, command in commands.items():
                ratios[name].append(time_process(command) / imports[-1])
    print(f"import torch, torchvision: median {statistics.median(imports):.2f} s of {rounds}; ratios to it, each within its round:\n")
    print(f"{'':38s}median    lowest   highest")
    for name, values in ratios.items():
        print(f"{name:38s}{statistics.median(values):6.2f}x {min(values):8.2f}x {max(values):8.2f}x")
    print(f"\naim: less than {AIM}x")


def time_process(command: list[str]) -> float:
    """Wall seconds of one fresh process; a failure of it ends the benchmark."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
