"""The forward graph: operators between modules, and the inputs of each node."""

import torch
from modeling import measure, module
from torch import nn


class Fusion(nn.Module):
    """Two branches, resized, concatenated, classified, with a dropout in eval mode and an in-place activation."""

    def __init__(self):
        super().__init__()
        self.left = nn.Conv2d(3, 4, 1)
        self.right = nn.Sequential(nn.Conv2d(3, 4, 1, stride=2), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        right = nn.functional.interpolate(self.right(x), size=(8, 8))
        return self.head(torch.cat([self.left(x), right], dim=1))


def test_operators_between_modules_are_nodes():
    profile = measure(Fusion, torch.zeros(1, 3, 8, 8))
    by_id = {node.id: node for node in profile.flow}
    names = [node.op if node.op != "call" else node.module for node in profile.flow]
    assert names == ["input", "right.0", "right.1", "right.2", "upsample_nearest2d", "left", "cat", "head"]
    edges = {names[node.id]: [names[by_id[number].id] for number in node.inputs] for node in profile.flow}
    assert edges["right.2"] == ["right.1"]
    assert edges["cat"] == ["upsample_nearest2d", "left"]
    assert edges["head"] == ["cat"]
    assert by_id[names.index("cat")].shape == (1, 8, 8, 8)


def test_inputs_from_skips_the_operators_between_modules():
    profile = measure(Fusion, torch.zeros(1, 3, 8, 8))
    assert module(profile, "head").calls[0].inputs_from == ("left", "right.2")
    assert module(profile, "left").calls[0].inputs_from == ()
    assert module(profile, "head").calls[0].outputs == ((1, 2, 8, 8),)


def test_writes_into_a_part_of_a_tensor_are_followed():
    class Slices(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(4, 1)

        def forward(self, x):
            both = torch.zeros(1, 4)
            both[:, :2] = self.a(x)
            both[:, 2:] = self.b(x)
            return self.head(both)

    profile = measure(Slices, torch.zeros(1, 2))
    assert module(profile, "head").calls[0].inputs_from == ("a", "b")


def test_an_identity_module_is_a_source_in_its_own_branch_only():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.skip, self.body, self.after = nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            x = self.stem(x)
            skipped = self.skip(x)
            return self.after(skipped + self.body(x))

    profile = measure(Residual, torch.zeros(1, 2))
    assert module(profile, "body").calls[0].inputs_from == ("stem",)
    assert module(profile, "after").calls[0].inputs_from == ("skip", "body")
