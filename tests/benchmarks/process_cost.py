"""What `archaudit profile` costs: beside importing torch and torchvision, and beside torchinfo with fvcore on real tensors.

    python tests/benchmarks/process_cost.py [ROUNDS]

For a small model, a large one, and chains of 5,000 and 20,000 layers, each round (default 3) runs three fresh processes one after the
other: the bare import; `archaudit profile`, workers included; and the script that people write by hand (random weights, torchinfo,
fvcore). Printed are medians over rounds of the ratios within a round: processor time of all processes, and peak memory of the largest.
Above 5,000 modules archaudit leaves torchinfo and fvcore out, and the script by hand is not run on 20,000 layers.

Then: what an operator costs in the longer chain over what it costs in the shorter, each measured in a fresh process, in processor time
and without imports.

Aims: on the large model, memory within 15 % of the bare import and less than twice its time; the cost of an operator does not grow.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from process_tree import Cost, measure_command

IMPORT = [sys.executable, "-c", "import torch, torchvision"]

CHAIN = """
import torch
from torch import nn

def chain(layers):
    return nn.Sequential(*(nn.Linear(64, 64) for _ in range(layers)))
"""

BY_HAND = """
import sys
import torch
sys.path.insert(0, {folder!r})
from {module} import {builder} as build
from fvcore.nn import FlopCountAnalysis
from torchinfo import summary
model = build({arguments}).eval()
inputs = torch.rand({shape})
print(summary(model, input_data=inputs, verbose=0, depth=10))
with torch.no_grad():
    print(FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())
"""

OPERATOR_COST = """
import sys, time
import torch, torchvision
sys.path.insert(0, {folder!r})
from archaudit.load import load_recipe, parse_inputs, parse_reference
from archaudit.measure.recipe import measure_recipe

def measure(layers):
    reference = parse_reference("chain:chain(layers=%d)" % layers)
    start = time.process_time()
    profile = measure_recipe(load_recipe(reference, parse_inputs(["1x64"])), other_counters=False)
    spent = time.process_time() - start
    return spent / (profile.ledger.counted + profile.ledger.zero)

measure(10)  # what is imported on first use
print(measure({layers}))
"""


@dataclass(frozen=True)
class Subject:
    """A model to be profiled: its reference for archaudit, and how a script builds it."""

    label: str
    module: str
    builder: str
    arguments: str
    shape: tuple[int, ...]
    by_hand: bool = True

    def ask_archaudit(self, folder: Path, *options: str) -> list[str]:
        """The command that profiles it."""
        source = "torchvision" if self.module == "torchvision.models" else str(folder / "chain.py")
        reference = f"{source}:{self.builder}({self.arguments})" if self.arguments else f"{source}:{self.builder}"
        shape = "x".join(map(str, self.shape))
        return [sys.executable, "-m", "archaudit", "profile", reference, "--input", shape, "--format", "json", *options]

    def ask_by_hand(self, folder: Path) -> list[str]:
        """The command that runs torchinfo and fvcore on it."""
        script = BY_HAND.format(
            folder=str(folder), module=self.module, builder=self.builder, arguments=self.arguments, shape=", ".join(map(str, self.shape))
        )
        return [sys.executable, "-W", "ignore", "-c", script]


SUBJECTS = (
    Subject("mobilenet_v3_small, 224 px", "torchvision.models", "mobilenet_v3_small", "", (1, 3, 224, 224)),
    Subject("vit_h_14, 518 px", "torchvision.models", "vit_h_14", "image_size=518", (1, 3, 518, 518)),
    Subject("5,000 linear layers", "chain", "chain", "layers=5000", (1, 64)),
    Subject("20,000 linear layers", "chain", "chain", "layers=20000", (1, 64), by_hand=False),
)
SHORT, LONG = 5_000, 20_000


def main() -> None:
    """Runs the rounds and prints the tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "chain.py").write_text(CHAIN)
        measure(IMPORT)  # once for nothing: files are read from the disk
        print(f"medians of {rounds} rounds; times and memory relative to `import torch, torchvision` in the same round\n")
        print(f"{'':28s}   archaudit profile      torchinfo + fvcore by hand")
        print(f"{'':28s}   time     memory         time     memory")
        for subject in SUBJECTS:
            print(f"{subject.label:28s}{compare(subject, folder, rounds)}", flush=True)
        print(f"\nan operator among {LONG:,} layers costs {compare_growth(folder, rounds):.2f}x what it costs among {SHORT:,}")


def compare(subject: Subject, folder: Path, rounds: int) -> str:
    """One row: the ratios of archaudit and of the hand-written script to the bare import."""
    ours, theirs = [], []
    for _ in range(rounds):
        bare = measure(IMPORT)
        ours.append(relate(measure(subject.ask_archaudit(folder)), bare))
        if subject.by_hand:
            theirs.append(relate(measure(subject.ask_by_hand(folder)), bare))
    return write_medians(ours) + "     " + (write_medians(theirs) if theirs else "      -          -")


def relate(cost: Cost, bare: Cost) -> tuple[float, float]:
    """Time and memory of one command as multiples of another's."""
    return cost.processor_s / bare.processor_s, cost.peak_bytes / bare.peak_bytes


def write_medians(ratios: Sequence[tuple[float, float]]) -> str:
    """`  1.12x     0.94x`."""
    times, memories = zip(*ratios, strict=True)
    return f"{statistics.median(times):7.2f}x {statistics.median(memories):9.2f}x"


def compare_growth(folder: Path, rounds: int) -> float:
    """The median ratio of what an operator costs in the longer chain to what it costs in the shorter."""
    return statistics.median(cost_operator(folder, LONG) / cost_operator(folder, SHORT) for _ in range(rounds))


def cost_operator(folder: Path, layers: int) -> float:
    """Processor seconds an operator."""
    script = OPERATOR_COST.format(folder=str(folder), layers=layers)
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def measure(command: list[str]) -> Cost:
    """Runs a command in a fresh process; a failure of it ends the benchmark."""
    cost = measure_command(command)
    if cost.problem:
        raise SystemExit(f"{cost.problem}: {' '.join(command)}")
    return cost


if __name__ == "__main__":
    main()
