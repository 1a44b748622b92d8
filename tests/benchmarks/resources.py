"""What real-size language models cost to profile, next to the import of torch and transformers and to other counters.

    python tests/benchmarks/resources.py [ROUNDS] [MODEL...]

Each round (default 1) runs for each model, one after the other and each in a fresh process: the import alone; `archaudit profile`, workers
included; and torchinfo, fvcore, torch's FlopCounterMode, calflops and ptflops on the same model, built on the meta device, because its
weights do not fit into memory. Printed are medians over rounds of the ratios to the import before the same model: processor time of all
processes (wall time depends on what else the machine does), and the peak memory of the largest process. A counter that cannot run says
why; one that takes longer than ten minutes is ended.

Aims: at most 4 times the time and 1.5 times the memory of the import, for each model.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from process_tree import measure_command

IMPORT = [sys.executable, "-c", "import torch, transformers"]
MOST_TIME, MOST_MEMORY = 4.0, 1.5
TOKENS = 128
LIMIT_S = 600
# Time and memory as multiples of those of the import, and why it failed.
Relative = tuple[float, float, str]

# As published: sizes, attention heads, experts. Values that are left out are the defaults of the model type.
_LLAMA: dict[str, Any] = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 128256, "num_key_value_heads": 8},
    **{"rope_theta": 500000.0, "max_position_embeddings": 8192, "torch_dtype": "bfloat16", "tie_word_embeddings": False},
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "Llama-3-8B": {**_LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    "Llama-3-70B": {**_LLAMA, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64},
    "Mixtral-8x7B": {
        **{"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "torch_dtype": "bfloat16", "vocab_size": 32000},
        **{"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
        **{"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
    },
    "Qwen3-30B-A3B": {
        **{"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "torch_dtype": "bfloat16", "vocab_size": 151936},
        **{"hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 768, "num_hidden_layers": 48, "head_dim": 128},
        **{"num_attention_heads": 32, "num_key_value_heads": 4, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": True},
    },
    "GPT-OSS-20B": {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "torch_dtype": "bfloat16", "num_hidden_layers": 24}
    | {"num_local_experts": 32, "num_experts_per_tok": 4},
    "DeepSeek-V3": {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "torch_dtype": "bfloat16"},
}

BUILD = f"""
import json, sys, warnings
warnings.simplefilter("ignore")
import torch, transformers
fields = json.load(open(sys.argv[1]))
configuration = transformers.AutoConfig.for_model(**fields)
with torch.device("meta"):
    model = getattr(transformers, fields["architectures"][0])._from_config(configuration, dtype=torch.bfloat16).eval()
    ids = torch.zeros(1, {TOKENS}, dtype=torch.int64)
"""
COUNTERS = {
    "torchinfo": "from torchinfo import summary\nprint(summary(model, input_data={'input_ids': ids}, verbose=0, depth=10, device='meta'))",
    "fvcore": (
        "from fvcore.nn import FlopCountAnalysis\nmodel.config.use_cache = False\nmodel.config.return_dict = False\n"
        "with torch.no_grad(): print(FlopCountAnalysis(model, ids).unsupported_ops_warnings(False).total())"
    ),
    "FlopCounterMode": (
        "from torch.utils.flop_counter import FlopCounterMode\n"
        "with FlopCounterMode(display=False) as counter, torch.no_grad(): model(ids)\nprint(counter.get_total_flops())"
    ),
    "calflops": (
        "from calflops import calculate_flops\n"
        "print(calculate_flops(model=model, kwargs={'input_ids': ids}, print_results=False, include_backPropagation=False))"
    ),
    "ptflops": (
        "from ptflops import get_model_complexity_info\n"
        "print(get_model_complexity_info(model, (1,), input_constructor=lambda _: {'input_ids': ids}, print_per_layer_stat=False,\n"
        "    as_strings=False, verbose=False, backend='pytorch'))"
    ),
}


def main() -> None:
    """Runs the rounds and prints the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    models = sys.argv[2:] or list(CONFIGURATIONS)
    costs: dict[tuple[str, str], list[Relative]] = {}
    with tempfile.TemporaryDirectory() as folder:
        measure_command(IMPORT)  # once for nothing: files are read from the disk
        for model in models * rounds:
            bare = measure_command(IMPORT)
            path = Path(folder) / f"{model}.json"
            path.write_text(json.dumps(CONFIGURATIONS[model]))
            for counter, command in list_commands(path).items():
                cost = measure_command(command, LIMIT_S)
                relative = (cost.processor_s / bare.processor_s, cost.peak_bytes / bare.peak_bytes, cost.problem)
                costs.setdefault((model, counter), []).append(relative)
                print(f"# {model}, {counter}: {write_cell([relative])}", file=sys.stderr, flush=True)
    print(f"import torch, transformers: {bare.processor_s:.1f} s, {bare.peak_bytes / 2**20:,.0f} MiB; ratios to it: time, memory\n")
    names = ["archaudit", *COUNTERS]
    print("| model | " + " | ".join(names) + " |\n| --- |" + " ---: |" * len(names))
    for model in models:
        print(f"| {model} | " + " | ".join(write_cell(costs[model, counter]) for counter in names) + " |")
    ours = [relative for (_, counter), measured in costs.items() if counter == "archaudit" for relative in measured]
    met = all(time_ratio <= MOST_TIME and memory <= MOST_MEMORY and not problem for time_ratio, memory, problem in ours)
    print(f"\naim: at most {MOST_TIME:g}x the time and {MOST_MEMORY:g}x the memory: {'met' if met else 'NOT MET'}")


def list_commands(path: Path) -> dict[str, list[str]]:
    """The command of archaudit and of each other counter."""
    profile = [sys.executable, "-m", "archaudit", "profile", f"transformers:{path}", "--input", f"input_ids=int64[1,{TOKENS}]"]
    commands = {"archaudit": [*profile, "--format", "json", "--no-other-counters"]}
    return commands | {name: [sys.executable, "-c", BUILD + script, str(path)] for name, script in COUNTERS.items()}


def write_cell(measured: list[Relative]) -> str:
    """`1.2x, 0.9x`, or the error."""
    problem = next((text for _, _, text in measured if text), "")
    times, memories = [time_ratio for time_ratio, _, _ in measured], [memory for _, memory, _ in measured]
    return problem or f"{statistics.median(times):.2f}x, {statistics.median(memories):.2f}x"


if __name__ == "__main__":
    main()
