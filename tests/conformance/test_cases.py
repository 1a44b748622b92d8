"""The answers of the cases, compared with what can be known without a counter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models import all_cases
from archaudit.conformance.models.structure import HOSTILE_NAMES

CASES = all_cases()

# The 19 models that other counters were measured on: name here, parameters, multiply-accumulates.
PUBLISHED_ANSWERS = {
    "functional_linear": (164, 160),
    "functional_conv2d": (216, 13824),
    "called_twice": (256, 512),
    "aliased": (256, 512),
    "tied_embedding": (1600, 16000),
    "direct_parameter_and_child": (1192, 5832),
    "unused_submodule": (1972, 256),
    "matmul_operator": (256, 4160),
    "mha_eval": (1024, 13440),
    "sdpa": (1024, 13440),
    "encoder_layer": (2080, 23680),
    "lstm": (6144, 61440),
    "einsum": (128, 1280),
    "embedding": (64000, 0),
    "conv_transpose2d": (96, 6144),
    "conv2d_depthwise": (144, 9216),
    "linear_3d_input": (128, 1280),
    "child_forward_called": (256, 256),
    "weight_norm": (136, 128),
}


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _run(case: Case, model: nn.Module) -> None:
    with torch.no_grad():
        model(*case.args(), **case.kwargs())


def _by_name(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def test_there_are_at_least_220_cases() -> None:
    assert len(CASES) >= 220  # 232 with the newest torch; earlier releases lack some operators


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_importing_the_package_does_not_import_torch() -> None:
    script = "import sys, archaudit.conformance, archaudit.conformance.case, archaudit.conformance.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.filterwarnings("ignore:Sparse ")  # torch says once that sparse layouts are new
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_builds_and_runs_with_the_params_it_says(case: Case) -> None:
    model = case.build()
    if not case.train:
        model.eval()
    if case.raises:
        with pytest.raises(RuntimeError):
            _run(case, model)
    elif "deep" in case.name:
        if sys.version_info[:2] == (3, 12):
            pytest.xfail("Python 3.12 has a fixed limit of C recursion, which this model's plain forward pass meets")
        with ThreadPoolExecutor(1) as fresh_stack:  # it needs nearly all of Python's stack
            fresh_stack.submit(_run, case, model).result()
    else:  # not in a thread: some releases of torch do not survive compiling in one
        _run(case, model)
    assert sum(parameter.numel() for parameter in {id(p): p for p in model.parameters()}.values()) == case.params


@pytest.mark.parametrize("case", [case for case in CASES if not case.needs_real], ids=lambda case: case.name)
def test_case_builds_on_meta_with_the_ties_and_inputs_it_has(case: Case) -> None:
    real = case.build()
    with torch.device("meta"):
        model, args, kwargs = case.build(), case.args(), case.kwargs()
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in real.named_parameters()]
    assert all(parameter.is_meta for parameter in model.parameters())
    assert all(leaf.is_meta for leaf in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor))


@pytest.mark.filterwarnings("ignore:Sparse ")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_build_and_each_input_is_new(case: Case) -> None:
    first, second = case.build(), case.build()
    assert first is not second
    assert not {id(parameter) for parameter in first.parameters()} & {id(parameter) for parameter in second.parameters()}
    leaves = [torch.utils._pytree.tree_leaves((case.args(), case.kwargs())) for _ in range(2)]
    tensors = [{id(leaf) for leaf in found if isinstance(leaf, torch.Tensor)} for found in leaves]
    assert tensors[0] or not leaves[0]
    assert not tensors[0] & tensors[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_figures_of_modules_fit_into_the_total(case: Case) -> None:
    assert sum(own for own, _ in case.modules.values()) <= case.params
    if "" in case.modules:
        assert case.modules[""][1] == case.macs
    assert all(total <= (case.macs or 0) for _, total in case.modules.values())


@pytest.mark.parametrize("name", PUBLISHED_ANSWERS)
def test_the_published_cases_are_included(name: str) -> None:
    case = _by_name(name)
    assert (case.params, case.macs) == PUBLISHED_ANSWERS[name]


def test_a_case_without_an_answer_must_say_why() -> None:
    with pytest.raises(ValueError, match="macs must be given"):
        Case(name="x", shows="", build=nn.Identity, params=0)
    with pytest.raises(ValueError, match="macs must be given"):
        Case(name="x", shows="", build=nn.Identity, params=0, macs=3, expects_incomplete=True)


def test_answers_by_convention_differ_from_the_right_one() -> None:
    assert [case.name for case in CASES if case.macs in case.by_convention] == []


def test_each_case_says_in_one_sentence_what_it_shows() -> None:
    assert [case.name for case in CASES if not case.shows.endswith(".") or "\n" in case.shows] == []


def test_all_hostile_names_are_in_the_model() -> None:
    assert list(_by_name("hostile_names").build()._modules) == list(HOSTILE_NAMES)
    assert {"a.b", "", "line\nbreak"} <= set(HOSTILE_NAMES)
