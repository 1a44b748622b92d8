"""The words of change notes: what metrics are called, what else is counted in them, and what says nothing."""

from __future__ import annotations

from collections.abc import Mapping

# What people call a metric.
METRIC_WORDS = {
    "params": frozenset(("params", "param", "parameters", "parameter", "weights")),
    "macs": frozenset(("macs", "gmacs", "mmacs", "mult-adds", "multiply-adds", "multiply-accumulates")),
    "flops": frozenset(("flops", "gflops", "mflops")),
    "param_bytes": frozenset(("mb", "mib", "gb", "kb", "bytes", "checkpoint", "download")),
    "setting:in_channels": frozenset(("channels", "channel", "input", "inputs", "ch", "width")),
    "setting:out_channels": frozenset(("channels", "channel", "output", "outputs", "ch", "width", "filters")),
    "setting:num_features": frozenset(("channels", "channel", "ch", "width")),
    "setting:in_features": frozenset(("features", "inputs", "input", "width", "units")),
    "setting:out_features": frozenset(("features", "outputs", "output", "classes", "width", "units")),
    "setting:embed_dim": frozenset(("dim", "dimension", "dimensions", "embedding", "width")),
    "setting:p": frozenset(("dropout", "rate", "probability")),
    "setting:groups": frozenset(("groups",)),
    "setting:kernel_size": frozenset(("kernel", "kernels")),
    "setting:num_heads": frozenset(("heads",)),
    "children": frozenset(("branches", "branch", "stages", "blocks", "layers", "children")),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What is counted in change notes and not measured here.
FOREIGN_WORDS = _words("""
    accuracy acc acc@1 acc@5 top-1 top-5 top1 top5 miou iou map ap auc f1 psnr ssim bleu rouge perplexity ppl loss score dice recall
    precision error training epoch epochs step steps iteration iterations iters learning lr decay momentum warmup batch batches optimizer
    gpu gpus cpu cpus core cores thread threads worker workers memory vram ram time latency throughput speed speedup faster slower fps
    year years day days week weeks hour hours minutes seconds images samples seed seeds run runs percentile
    point points user users people commit commits line lines page pages issue issues pr bug bugs version dollars cost
""")

# Words behind a number that do not say what it counts.
EMPTY_NOUNS = _words("""
    and or to from in of on at by for with the a an is are was were be has have had it its this that these than then as so not only just
    while but before after now old new instead each per both total overall less more fewer lower higher smaller larger bigger reduction
    reductions compression through via against vs versus between still again already here there today
""")


def _invert(words: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    topics: dict[str, frozenset[str]] = {}
    for metric, names in words.items():
        for name in names:
            topics[name] = topics.get(name, frozenset()) | {metric}
    return topics


# By word: the metrics that it may mean.
TOPICS = _invert(METRIC_WORDS)

# Words of a sentence about less of something, which is of parameters where nothing else is named.
LESSENING = _words("""
    reduction reductions reduces reduced reduce fewer less smaller lighter cut cuts saves saved saving savings compression compressed
    shrinks shrank shrunk slimmer
""")
