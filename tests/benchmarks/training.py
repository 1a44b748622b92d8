"""What a profile with a training step costs, compared with one of the forward pass: CPU time, and the peak memory of the process.

    python tests/benchmarks/training.py [REFERENCE INPUT ...]

Each model is measured in a process of its own, after one run that loads the libraries. The figures in docs/benchmarks.md come from here.
"""

import resource
import subprocess
import sys
import time

MODELS = (
    ("torchvision:resnet50", "1x3x224x224"),
    ("torchvision:efficientnet_b0", "1x3x224x224"),
    ("torchvision:vit_b_16", "1x3x224x224"),
    ("torchvision:vit_h_14(image_size=518)", "1x3x518x518"),
)
REPEATS = 3


def measure(reference, size):
    """CPU seconds without and with a training step, and the peak memory of this process in GiB."""
    import torch

    from archaudit.load import load_recipe
    from archaudit.load.inputs import parse_inputs
    from archaudit.load.reference import parse_reference
    from archaudit.measure.recipe import measure_recipe
    from archaudit.schema import TrainingSettings

    torch.set_num_threads(1)

    def run(training):
        start = time.process_time()
        recipe = load_recipe(parse_reference(reference), parse_inputs([size]), "model")
        measure_recipe(recipe, other_counters=False, training=training)
        return time.process_time() - start

    run(TrainingSettings())
    plain = min(run(None) for _ in range(REPEATS))
    stepped = min(run(TrainingSettings()) for _ in range(REPEATS))
    return plain, stepped, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(arguments):
    if arguments[:1] == ["--one"]:
        plain, stepped, memory = measure(*arguments[1:])
        print(f"{arguments[1]:40} {plain:6.2f} s {stepped:6.2f} s {stepped / plain:5.2f}x {memory:6.2f} GiB")
        return
    models = list(zip(arguments[::2], arguments[1::2], strict=True)) or MODELS
    for reference, size in models:
        subprocess.run([sys.executable, __file__, "--one", reference, size], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
