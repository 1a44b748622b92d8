"""Language and vision models of transformers, from configurations written here, against formulas worked out by hand.

    pytest -m "zoo or not zoo" tests/zoo/test_transformers.py

In the formulas `tokens` is the length of the one sequence; a projection costs tokens x inputs x outputs, and attention twice
tokens x tokens x width: once for the scores, once for the values. Grouped heads share keys, which saves projections and no attention.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archaudit.load import load_recipe, parse_reference
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import InputSpec, Profile

TOKENS = 128

LLAMA_3_8B = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 128256,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
LLAMA_3_70B = {**LLAMA_3_8B, "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "intermediate_size": 28672}


@pytest.fixture(autouse=True)
def _transformers() -> None:
    pytest.importorskip("transformers")


def measure(folder: Path, configuration: dict[str, Any], tokens: int = TOKENS) -> Profile:
    """The profile of the model that a configuration file describes; all counts complete, without weights."""
    path = folder / "config.json"
    path.write_text(json.dumps(configuration))
    inputs = () if tokens == TOKENS else (InputSpec(shape=(1, tokens), dtype="int64", name="input_ids"),)
    profile = measure_recipe(load_recipe(parse_reference(f"transformers:{path}"), inputs), other_counters=False)
    assert profile.flops_complete
    assert profile.provenance is not None
    assert profile.provenance.rung != "real"
    return profile


def attend(queries: int, keys: int, width: int) -> int:
    """Scores and values."""
    return 2 * queries * keys * width


def encode(tokens: int, layers: int, width: int, hidden: int) -> int:
    """Layers of four square projections, attention, and a perceptron of two layers."""
    return layers * (tokens * (4 * width * width + 2 * width * hidden) + attend(tokens, tokens, width))


def count_llama(configuration: dict[str, Any], tokens: int) -> int:
    """Queries and outputs of full width, keys and values of grouped heads, a gated perceptron of three matrices, an untied head."""
    width, hidden = configuration["hidden_size"], configuration["intermediate_size"]
    keys = width // configuration["num_attention_heads"] * configuration["num_key_value_heads"]
    layer = tokens * (2 * width * width + 2 * width * keys + 3 * width * hidden) + attend(tokens, tokens, width)
    return configuration["num_hidden_layers"] * layer + tokens * width * configuration["vocab_size"]


@pytest.mark.zoo
def test_bert_with_a_pooler(tmp_path: Path) -> None:
    profile = measure(tmp_path, {"model_type": "bert", "architectures": ["BertModel"]})
    assert profile.totals.params == 109_482_240
    assert profile.totals.macs == encode(TOKENS, 12, 768, 3072) + 768 * 768  # the pooler reads one token


@pytest.mark.zoo
def test_bert_with_a_tied_head(tmp_path: Path) -> None:
    profile = measure(tmp_path, {"model_type": "bert", "architectures": ["BertForMaskedLM"]})
    assert profile.totals.params == 109_514_298
    assert profile.totals.macs == encode(TOKENS, 12, 768, 3072) + TOKENS * (768 * 768 + 768 * 30522)
    assert ("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight") in profile.ties


def test_distilbert(tmp_path: Path) -> None:
    profile = measure(tmp_path, {"model_type": "distilbert", "architectures": ["DistilBertForMaskedLM"]})
    assert profile.totals.params == 66_985_530
    assert profile.totals.macs == encode(TOKENS, 6, 768, 3072) + TOKENS * (768 * 768 + 768 * 30522)


@pytest.mark.zoo
def test_gpt2_is_tied_and_its_conv1d_is_no_convolution(tmp_path: Path) -> None:
    profile = measure(tmp_path, {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]})
    assert profile.totals.params == 124_439_808
    assert profile.totals.macs == encode(TOKENS, 12, 768, 3072) + TOKENS * 768 * 50257
    assert profile.ties == (("transformer.wte.weight", "lm_head.weight"),)


@pytest.mark.zoo
@pytest.mark.parametrize("tokens", [TOKENS, 2048])
def test_llama_3_8b(tmp_path: Path, tokens: int) -> None:
    profile = measure(tmp_path, LLAMA_3_8B, tokens)
    assert profile.totals.params == 8_030_261_248
    assert profile.totals.macs == count_llama(LLAMA_3_8B, tokens)


@pytest.mark.zoo
def test_llama_3_70b(tmp_path: Path) -> None:
    profile = measure(tmp_path, LLAMA_3_70B)
    assert profile.totals.params == 70_553_706_496
    assert profile.totals.macs == count_llama(LLAMA_3_70B, TOKENS)


@pytest.mark.zoo
def test_t5_has_three_kinds_of_attention_and_one_embedding(tmp_path: Path) -> None:
    width, hidden, layers, vocabulary = 512, 2048, 6, 32128
    configuration = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
    sizes = {"vocab_size": vocabulary, "d_model": width, "d_kv": 64, "d_ff": hidden, "num_layers": layers, "num_heads": 8}
    profile = measure(tmp_path, {**configuration, **sizes})
    cross = layers * (TOKENS * 4 * width * width + attend(TOKENS, TOKENS, width))
    assert profile.totals.params == 60_506_624
    assert profile.totals.macs == 2 * encode(TOKENS, layers, width, hidden) + cross + TOKENS * width * vocabulary
    assert [len(names) for names in profile.ties] == [4]


@pytest.mark.zoo
def test_vit_counts_its_patches(tmp_path: Path) -> None:
    profile = measure(tmp_path, {"model_type": "vit", "architectures": ["ViTForImageClassification"], "num_labels": 1000})
    patches = 14 * 14
    assert profile.totals.params == 86_567_656
    assert profile.totals.macs == patches * 768 * 3 * 16 * 16 + encode(patches + 1, 12, 768, 3072) + 768 * 1000
    assert not any("cache" in text for text in profile.ledger.assumptions)


@pytest.mark.zoo
def test_a_mixture_of_experts_counts_the_experts_of_each_token(tmp_path: Path) -> None:
    width, hidden, layers, experts, given, vocabulary, keys = 64, 128, 2, 8, 2, 1000, 32
    sizes = {"hidden_size": width, "intermediate_size": hidden, "num_hidden_layers": layers, "vocab_size": vocabulary}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": experts, "num_experts_per_tok": given}
    profile = measure(tmp_path, {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], **sizes, **heads})
    attention = 2 * width * width + 2 * width * keys
    router, expert, norms = width * experts, 3 * width * hidden, 2 * width
    assert profile.totals.params == layers * (attention + router + experts * expert + norms) + width + 2 * vocabulary * width
    layer = TOKENS * (attention + router + given * expert) + attend(TOKENS, TOKENS, width)
    assert profile.totals.macs == layers * layer + TOKENS * width * vocabulary
