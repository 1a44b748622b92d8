"""Experts in loops, in the forms that models write: without values every token goes to its number of experts, spread evenly.

32 tokens of 16 features; 8 experts of two layers 16 -> 24 -> 16.
"""

import pytest
import torch
from modeling import measure, module
from torch import nn
from torch.nn import functional as F

from archaudit.measure import fallbacks
from archaudit.measure.recipe import measure_live

TOKENS, SIZE, HIDDEN, EXPERTS = 32, 16, 24, 8
ROUTER, EXPERT = TOKENS * SIZE * EXPERTS, 2 * SIZE * HIDDEN  # the router on all tokens; an expert on one token


def loop_over_experts(model, x):
    weights, chosen = model.router(x).softmax(-1).topk(2, dim=-1)
    output = torch.zeros_like(x)
    for number, expert in enumerate(model.experts):
        rows, place = torch.where(chosen == number)
        output.index_add_(0, rows, expert(x[rows]) * weights[rows, place][:, None])
    return output


def loop_over_experts_that_are_hit(model, x):
    _, chosen = model.router(x).topk(2, dim=-1)
    mask = F.one_hot(chosen, EXPERTS).permute(2, 1, 0)
    output = torch.zeros_like(x)
    for number in (mask.sum(dim=(-1, -2)) > 0).nonzero():
        _, rows = torch.where(mask[number[0]])
        output.index_add_(0, rows, model.experts[number[0]](x[rows]))
    return output


def skip_experts_without_tokens(model, x):
    chosen = model.router(x).topk(2, dim=-1).indices
    output = torch.zeros_like(x)
    for number, expert in enumerate(model.experts):
        mask = (chosen == number).any(-1)
        if mask.any():
            output[mask] += expert(x[mask])
    return output


def sort_by_expert(model, x):
    flat = model.router(x).topk(2, dim=-1).indices.view(-1)
    counts = torch.bincount(flat, minlength=EXPERTS).tolist()
    parts = x[flat.argsort() // 2].split(counts)
    return torch.cat([expert(part) for expert, part in zip(model.experts, parts, strict=True)])


def choose_one(model, x):
    chosen = model.router(x).argmax(-1)
    output = torch.zeros_like(x)
    for number, expert in enumerate(model.experts):
        rows = (chosen == number).nonzero().squeeze(1)
        output[rows] = expert(x[rows])
    return output


def choose_largest(model, x):
    _, chosen = model.router(x).max(dim=-1, keepdim=True)
    return torch.cat([expert(x[chosen.squeeze(-1) == number]) for number, expert in enumerate(model.experts)])


class Mixture(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run = run
        self.router = nn.Linear(SIZE, EXPERTS, bias=False)
        layers = [
            nn.Sequential(nn.Linear(SIZE, HIDDEN, bias=False), nn.ReLU(), nn.Linear(HIDDEN, SIZE, bias=False)) for _ in range(EXPERTS)
        ]
        self.experts = nn.ModuleList(layers)

    def forward(self, x):
        return self.run(self, x)


@pytest.mark.parametrize(
    ("run", "chosen"),
    [
        *((run, 2) for run in (loop_over_experts, loop_over_experts_that_are_hit, skip_experts_without_tokens, sort_by_expert)),
        (choose_one, 1),
        (choose_largest, 1),
    ],
)
def test_each_token_goes_to_its_number_of_experts(run, chosen, monkeypatch):
    for limit in (fallbacks.REAL_PARAM_BYTES_LIMIT, 0):  # a model of any size: no model is small enough for a real run
        monkeypatch.setattr(fallbacks, "REAL_PARAM_BYTES_LIMIT", limit)
        profile = measure(lambda: Mixture(run), torch.zeros(TOKENS, SIZE))
        assert profile.flops_complete
        assert profile.totals.macs == ROUTER + TOKENS * chosen * EXPERT
        assert {module(profile, f"experts.{number}").total.macs for number in range(EXPERTS)} == {TOKENS * chosen // EXPERTS * EXPERT}
        assert profile.provenance.rung == "routed"
        (text,) = profile.ledger.deciding
        assert text.startswith(f"the choice of {chosen} of {EXPERTS} at test_even_routing.py:")
        assert text in profile.ledger.assumptions


def test_a_live_model_routes_by_its_own_weights():
    model = Mixture(choose_one).eval()
    with torch.no_grad():
        model.router.weight.zero_()  # all scores equal: the first expert for every token
    profile = measure_live(model, (torch.ones(TOKENS, SIZE),))
    assert profile.provenance.rung == "real"
    assert module(profile, "experts.0").total.macs == TOKENS * EXPERT
    assert module(profile, "experts.1").total.macs == 0


def test_a_choice_among_the_tokens_of_a_vocabulary_is_no_routing():
    class Decode(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(SIZE, 2000, bias=False)
            self.table = nn.Embedding(2000, SIZE)

        def forward(self, x):
            if self.head(x).argmax(-1)[0] == 0:  # decides on a token by its value
                x = self.table(torch.ones(1, dtype=torch.long))
            return self.head(x) if x[0, 0].item() > 0 else x

    profile = measure(Decode, torch.ones(1, SIZE))
    assert profile.provenance.rung == "real"
