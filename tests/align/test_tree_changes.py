"""Changes of the module tree: wrappers and counts of blocks, on profiles written by hand and on measured ones."""

import torch
from factories import make_module, make_profile
from modeling import measure
from torch import nn

from archaudit.align import align
from archaudit.schema import ModuleRecord, Profile


def make_linear(inputs: int, outputs: int) -> ModuleRecord:
    return make_module(inputs * outputs, settings={"in_features": inputs, "out_features": outputs})


def find_changes(before: Profile, after: Profile) -> dict[tuple[str | None, str | None], tuple[str, ...]]:
    return {(match.before_path, match.after_path): match.changes for match in align(before, after)}


def test_an_adapter_under_the_name_of_the_layer_that_it_holds_wraps_it() -> None:
    plain = {"attn": make_module(0, "Attention"), "attn.q": make_linear(8, 8), "attn.v": make_linear(8, 8)}
    adapted = {
        "attn": make_module(0, "Attention"),
        "attn.q": make_module(0, "Adapter"),
        "attn.q.base": make_linear(8, 8),
        "attn.q.down": make_linear(8, 2),
        "attn.q.up": make_linear(2, 8),
        "attn.v": make_linear(8, 8),
    }
    changes = find_changes(make_profile(plain), make_profile(adapted))
    assert changes["attn.q", "attn.q.base"] == ("wrapped",)
    assert changes[None, "attn.q"] == ()
    assert find_changes(make_profile(adapted), make_profile(plain))["attn.q.base", "attn.q"] == ("unwrapped",)


class SeparateProjections(nn.Module):
    """Three parallel projections, and one of their result."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.q(x) * self.k(x) + self.v(x))


class FusedProjection(nn.Module):
    """The same three projections in one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out(q * k + v)


def test_merged_projections_are_not_a_change_of_the_number_of_blocks() -> None:
    changes = find_changes(*(measure(build, torch.zeros(2, 8)) for build in (SeparateProjections, FusedProjection)))
    assert "repeated" not in changes["", ""]
    assert sum("merged" in kinds for kinds in changes.values()) == 3
