"""What an audit costs beside a profile: `python tests/benchmarks/audit_cost.py [REFERENCE ...]`.

Each is a command in a process of its own, with its default options; the profile has other counters then, the audit a pass in training mode
and the source files. The two run in turn, and the smallest user time of each counts, because other processes can only add to it. The audit
runs without proofs: a proof runs the model with values, which a profile does not. Aim: at most 30 % more.
"""

from __future__ import annotations

import resource
import subprocess
import sys

_ROUNDS = 5
_REFERENCES = ("before", "after", "torchvision:resnet50")


def measure(*arguments: str) -> float:
    """The CPU seconds of one command, with its worker processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "archaudit", *arguments, "--no-isolation"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime


def main() -> None:
    for reference in sys.argv[1:] or _REFERENCES:
        times: dict[str, list[float]] = {"profile": [], "audit": []}
        for _ in range(_ROUNDS):
            times["profile"].append(measure("profile", reference, "--quiet"))
            times["audit"].append(measure("audit", reference, "--no-proof"))
        profile, audit = (min(times[name]) for name in ("profile", "audit"))
        print(f"{reference}: profile {profile:.2f} s, audit {audit:.2f} s, {audit / profile - 1:+.0%}")


if __name__ == "__main__":
    main()
