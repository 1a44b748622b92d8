"""Edits of forward alone: every one is in the headline and in the row of its module; refactorings that compute the same are nothing."""

from __future__ import annotations

import pytest
import torch
from forward_models import MODELS, Edit, build, replace
from modeling import measure
from torch import nn
from torch.nn import functional as F

from archaudit.pipeline.profile_diff import compare_plain
from archaudit.render.view.sentences import explain_changes
from archaudit.schema import Profile, Report

EDITS = [(name, edit) for name, model in MODELS.items() for edit in model.edits]
REFACTORINGS = [(name, edit) for name, model in MODELS.items() for edit in model.refactorings]


@pytest.fixture(scope="module")
def originals() -> dict[str, Profile]:
    """The profile of each model without an edit."""
    return {name: measure_source(model.source, model.shape) for name, model in MODELS.items()}


def measure_source(source: str, shape: tuple[int, ...]) -> Profile:
    return measure(lambda: build(source), torch.zeros(shape))


def compare_edited(originals: dict[str, Profile], name: str, edit: Edit) -> Report:
    model = MODELS[name]
    return compare_plain(originals[name], measure_source(replace(model.source, edit), model.shape))


def compare(before: nn.Module, after: nn.Module, *shape: int) -> Report:
    return compare_plain(measure(lambda: before, torch.zeros(shape)), measure(lambda: after, torch.zeros(shape)))


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(MODELS) >= 20
    assert len(EDITS) >= 80
    assert len(REFACTORINGS) >= 50


@pytest.mark.parametrize(("name", "edit"), EDITS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(EDITS)])
def test_every_edit_is_in_the_headline_and_in_a_row(originals: dict[str, Profile], name: str, edit: Edit) -> None:
    report = compare_edited(originals, name, edit)
    assert explain_changes(report) != "Modules: none changed."
    assert any(row.changes != ("same",) for row in report.modules)
    assert report.flow is not None
    assert report.flow.sentences


@pytest.mark.parametrize(("name", "edit"), REFACTORINGS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(REFACTORINGS)])
def test_no_refactoring_is_a_change(originals: dict[str, Profile], name: str, edit: Edit) -> None:
    report = compare_edited(originals, name, edit)
    assert explain_changes(report) == "Modules: none changed."
    assert all(row.changes == ("same",) for row in report.modules)
    assert report.flow is not None
    assert report.flow.sentences == ()


@pytest.mark.parametrize(
    ("name", "edit", "text"),
    [
        ("mlp", ("F.relu(self.one(x))", "F.gelu(self.one(x))"), "none changed; forward: relu → gelu"),
        ("mlp", ("0.1, self.training", "0.5, self.training"), "none changed; forward: dropout: p 0.1 → 0.5"),
        ("residual", ("F.relu(x + y)", "F.relu(x - y)"), "none changed; forward: 4 add → sub"),
        ("residual", ("F.relu(x + y)", "F.relu(y)"), "none changed; forward: 4 add(the block's input, bn2) removed"),
        ("residual", ("self.stem(x)", "self.stem(x).detach()"), "none changed; forward: detach(stem) added"),
        ("attention", ("8**-0.5", "0.5"), "none changed; forward: 3 mul: 0.3536 → 0.5"),
        ("attention", (".softmax(-1)", ".softmax(1)"), "none changed; forward: 3 softmax: dim -1 → 1"),
        ("attention", ("return self.norm(x)", "return x"), "1 no longer called (norm)"),
        (
            "unet",
            ("scale_factor=2", "scale_factor=2, mode='bilinear'"),
            "none changed; forward: 2 upsample_nearest2d → upsample_bilinear2d",
        ),
        ("siamese", ("one - two", "two - one"), "none changed; forward: sub(tower, tower): operands in another order"),
        ("branches", ("[a, b, c]", "[a, c, b]"), "none changed; forward: cat(a, b, c, dim=1) → cat(a, c, b, dim=1)"),
        ("generator", ("0.2)", "0.1)"), "none changed; forward: 2 leaky_relu: negative_slope 0.2 → 0.1"),
        ("rotary", ("1e-6", "1e-5"), "none changed; forward: add: 1e-06 → 1e-05"),
    ],
)
def test_the_headline_names_the_change(originals: dict[str, Profile], name: str, edit: Edit, text: str) -> None:
    assert explain_changes(compare_edited(originals, name, edit)) == f"Modules: {text}."


class Deep(nn.Module):
    """Twelve blocks with an activation and attention, or with another activation, or with fused attention."""

    class Block(nn.Module):
        def __init__(self, act, fused):
            super().__init__()
            self.qkv, self.proj, self.up = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 8)
            self._act, self._fused = act, fused

        def forward(self, x):
            q, k, v = self.qkv(x).chunk(3, -1)
            y = F.scaled_dot_product_attention(q, k, v) if self._fused else (q @ k.mT * 8**-0.5).softmax(-1) @ v
            return x + self._act(self.up(self.proj(y)))

    def __init__(self, act=F.relu, fused=False):
        super().__init__()
        self.blocks = nn.ModuleList(self.Block(act, fused) for _ in range(12))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_blocks_that_changed_alike_are_one_sentence() -> None:
    report = compare(Deep(), Deep(F.gelu), 1, 4, 8)
    assert report.flow is not None
    assert report.flow.sentences == ("in each of 12 blocks: relu → gelu (blocks.*)",)
    report = compare(Deep(), Deep(fused=True), 1, 4, 8)
    assert report.flow is not None
    assert report.flow.sentences == (
        "in each of 12 blocks: matmul, mul(0.3536), softmax, matmul → scaled_dot_product_attention (blocks.*)",
    )


class PreNorm(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(8), layer

    def forward(self, x):
        return self.fn(self.norm(x))


class Layers(nn.Module):
    """Twelve blocks whose norms are applied by a wrapper, or by the block itself; before the layers, or after the sums."""

    class Block(nn.Module):
        def __init__(self, wrapped, norm_first):
            super().__init__()
            attn, mlp = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
            self._wrapped, self._norm_first = wrapped, norm_first
            if wrapped:
                self.attn, self.mlp = PreNorm(attn), PreNorm(mlp)
            else:
                self.norm1, self.attn, self.norm2, self.mlp = nn.LayerNorm(8), attn, nn.LayerNorm(8), mlp

        def forward(self, x):
            if self._wrapped:
                x = x + self.attn(x)
                return x + self.mlp(x)
            if self._norm_first:
                x = x + self.attn(self.norm1(x))
                return x + self.mlp(self.norm2(x))
            x = self.norm1(x + self.attn(x))
            return self.norm2(x + self.mlp(x))

    def __init__(self, wrapped=False, norm_first=True):
        super().__init__()
        self.blocks = nn.ModuleList(self.Block(wrapped, norm_first) for _ in range(12))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_dissolving_a_wrapper_changes_nothing_in_the_forward() -> None:
    report = compare(Layers(wrapped=True), Layers(), 1, 4, 8)
    assert not any({"rewired", "forward", "reordered"} & set(row.changes) for row in report.modules)
    assert report.flow is not None
    assert len(report.flow.sentences) <= 5


def test_norms_after_the_sums_are_told_block_by_block_in_few_sentences() -> None:
    report = compare(Layers(), Layers(norm_first=False), 1, 4, 8)
    assert report.flow is not None
    assert len(report.flow.sentences) <= 5
    text = "\n".join(report.flow.sentences)
    assert "in each of 12 blocks: returns norm2 instead of add (blocks.*)" in text
    assert "norm1: new input from the block's input and attn" not in text
    assert "attn: new input from the block's input, no longer input from norm1" in text


class Head(nn.Module):
    """A layer that is called, or whose weight is used directly."""

    def __init__(self, direct):
        super().__init__()
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 4, bias=False)
        self._direct = direct

    def forward(self, x):
        x = self.body(x)
        return F.linear(x, self.head.weight) if self._direct else self.head(x)


def test_a_weight_that_is_used_directly_is_said_so() -> None:
    report = compare(Head(False), Head(True), 1, 8)
    assert explain_changes(report) == "Modules: 1 no longer called (head); forward: linear(body, head.weight) added."
    assert report.flow is not None
    assert "head is no longer called: its weight is used by linear directly" in report.flow.sentences


def test_an_earlier_profile_without_programs_is_compared_as_before(originals: dict[str, Profile]) -> None:
    import msgspec

    older = msgspec.structs.replace(originals["attention"], programs=msgspec.UNSET)
    report = compare_plain(older, originals["attention"])
    assert explain_changes(report) == "Modules: none changed."


@pytest.mark.parametrize(
    ("name", "shape"), [("attention", (2, 14, 12)), ("unet", (1, 3, 32, 48)), ("windows", (1, 4, 6, 3)), ("rotary", (3, 9, 8))]
)
def test_another_input_size_changes_no_constants(originals: dict[str, Profile], name: str, shape: tuple[int, ...]) -> None:
    other = measure_source(MODELS[name].source, shape)
    assert explain_changes(compare_plain(originals[name], other)) == "Modules: none changed."


def test_a_step_with_another_constant_is_drawn_as_changed() -> None:
    model = MODELS["generator"].source.replace("torch.tanh(self.out(x))", "torch.tanh(self.out(x)) * {}")
    factors = [measure_source(model.replace("{}", factor), (2, 5)) for factor in ("2", "3")]
    flow = compare_plain(*factors).flow
    assert flow is not None
    assert {part.after for part in flow.parts if part.change == "changed"} == {"mul()"}
    assert flow.sentences == ("mul: 2 → 3",)


class Tied(nn.Module):
    """A head of its own, or with the weight of the embedding."""

    def __init__(self, tied):
        super().__init__()
        self.embed, self.body, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.body(self.embed(x.long())))


def test_a_tied_head_is_not_gone() -> None:
    from archaudit.render.view.sections import view_sections

    rows = {row.name: row for row in view_sections(compare(Tied(False), Tied(True), 1, 4))}
    assert rows["head"].params.percent == "tied"


class Nested(nn.Module):
    """Everything is in one module, as in the models of many libraries."""

    def __init__(self, width):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(6, 6), nn.Sequential(nn.Linear(6, width), nn.Linear(width, 6)))

    def forward(self, x):
        return self.model(x)


def test_a_change_that_is_all_in_one_module_is_placed_where_it_is() -> None:
    from archaudit.render.view.sentences import explain_cost

    assert "100 % of the parameter change is in model.1" in explain_cost(compare(Nested(8), Nested(16), 1, 6))
