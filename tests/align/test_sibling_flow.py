"""Partners where equal sizes and the data flow disagree: skip lattices, and dense blocks behind a wider input. Every row by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from modeling import measure
from torch import nn
from torch.nn import functional

from archaudit.align import align

WIDTHS = (8, 16, 32, 64)
LAST = len(WIDTHS) - 1

Name = Callable[[int, int], str]


def double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU())


class Lattice(nn.Module):
    """Nodes by level and column; column 0 is the encoder. A U-Net has the last node of each level, a U-Net++ (nested) has all of them."""

    def __init__(self, name: Name, *, nested: bool, head: str = "head") -> None:
        super().__init__()
        self.nested, self.last = nested, head
        self.places: dict[tuple[int, int], str] = {}
        for level, (inputs, outputs) in enumerate(pairwise((3, *WIDTHS))):
            self.add(name, level, 0, inputs, outputs)
        for column in range(1, len(WIDTHS)):
            for level in range(LAST - column + 1):
                if nested or level + column == LAST:
                    self.add(name, level, column, WIDTHS[level] * (column if nested else 1) + WIDTHS[level + 1], WIDTHS[level])
        self.add_module(head, nn.Conv2d(WIDTHS[0], 2, 1))

    def add(self, name: Name, level: int, column: int, inputs: int, outputs: int) -> None:
        self.places[level, column] = name(level, column)
        self.add_module(name(level, column), double(inputs, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: dict[tuple[int, int], torch.Tensor] = {}
        for (level, column), path in self.places.items():
            if column:
                below = found.get((level + 1, column - 1))
                assert below is not None
                skips = [found[level, each] for each in range(column if self.nested else 1)]
                x = torch.cat([*skips, functional.interpolate(below, scale_factor=2)], 1)
            elif level:
                x = functional.max_pool2d(found[level - 1, 0], 2)
            found[level, column] = self.get_submodule(path)(x)
        return self.get_submodule(self.last)(found[0, LAST])


def name_by_place(level: int, column: int) -> str:
    return f"x_{level}_{column}"


def name_by_role(level: int, column: int) -> str:
    return f"up{column}" if column else f"down{level}"


class UnetBlock(nn.Module):
    """Resizes to the size of the skip and concatenates both."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(inputs + skip, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = functional.interpolate(x, scale_factor=2)
        return self.conv2(torch.relu(self.conv1(torch.cat([x, skip], 1))))


class NestedBlock(UnetBlock):
    pass


class Decoder(nn.Module):
    """A decoder with blocks in a list, or the lattice of a U-Net++ by depth and layer; two levels of the encoder are equally wide."""

    WIDTHS = (8, 8, 16, 32)
    OUTPUTS = (16, 8, 4)

    def __init__(self, block: type[UnetBlock], *, nested: bool) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(nn.Conv2d(*sizes, 3, padding=1) for sizes in pairwise((3, *self.WIDTHS)))
        skips, self.nested = self.WIDTHS[-2::-1], nested
        inputs = (self.WIDTHS[-1], *self.OUTPUTS[:-1])
        if nested:
            self.blocks = nn.ModuleDict()
            for layer in range(3):
                for depth in range(layer + 1):
                    sizes = (skips[layer - 1], skips[layer]) if depth else (inputs[layer], self.OUTPUTS[layer])
                    self.blocks[f"x_{depth}_{layer}"] = block(sizes[0], skips[layer] * (layer + 1 - depth), sizes[1])
        else:
            self.blocks = nn.ModuleList(block(inputs[layer], skips[layer], self.OUTPUTS[layer]) for layer in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = []
        for place, layer in enumerate(self.encoder):
            x = layer(functional.max_pool2d(x, 2) if place else x)
            features.append(x)
        x, *skips = features[::-1]
        if not self.nested:
            for block, skip in zip(self.blocks, skips, strict=True):
                x = block(x, skip)
            return x
        found: dict[tuple[int, int], torch.Tensor] = {}
        for step in range(3):
            for depth in range(3 - step):
                layer = depth + step
                below = found[depth, layer - 1] if step else (x, *skips)[depth]
                dense = [found[each, layer] for each in range(depth + 1, layer + 1)]
                found[depth, layer] = self.blocks[f"x_{depth}_{layer}"](below, torch.cat([*dense, skips[layer]], 1))
        return found[0, 2]


class Dense(nn.Module):
    """A dense block: each layer reads all that came before it."""

    def __init__(self, inputs: int, depth: int) -> None:
        super().__init__()
        for number in range(depth):
            self.add_module(f"layer{number + 1}", nn.Sequential(nn.BatchNorm2d(inputs + 4 * number), nn.Conv2d(inputs + 4 * number, 4, 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [x]
        for layer in self.children():
            found.append(layer(torch.cat(found, 1)))
        return torch.cat(found, 1)


class DenseNet(nn.Module):
    def __init__(self, *depths: int) -> None:
        super().__init__()
        width = 8
        self.stem = nn.Conv2d(3, width, 3)
        for number, depth in enumerate(depths, 1):
            self.add_module(f"block{number}", Dense(width, depth))
            width += 4 * depth
            self.add_module(f"transition{number}", nn.Conv2d(width, width // 2, 1))
            width //= 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def pair_children(before: Callable[[], nn.Module], after: Callable[[], nn.Module], under: str = "") -> dict[str | None, str | None]:
    """The partners of the modules directly under `under`, by their names; checks that the reverse comparison gives the same."""
    sides = [measure(build, torch.zeros(1, 3, 32, 32)) for build in (before, after)]
    pairs = {(match.before_path, match.after_path) for match in align(*sides)}
    assert {(match.after_path, match.before_path) for match in align(*sides[::-1])} == pairs
    start = f"{under}." if under else ""
    names = {
        tuple(None if path is None else path.removeprefix(start) for path in pair) for pair in pairs if (pair[0] or "").startswith(start)
    }
    return {one: other for one, other in names if one and "." not in one}


def test_the_last_decoder_block_of_a_nested_unet_is_the_one_before_the_head() -> None:
    """x_0_1 has the sizes that x_0_3 had, and x_1_1 those of x_1_2; the output still comes from x_2_1, x_1_2, x_0_3 in turn."""
    pairs = pair_children(lambda: Lattice(name_by_place, nested=False), lambda: Lattice(name_by_place, nested=True))
    assert pairs == {name: name for name in ("x_0_0", "x_1_0", "x_2_0", "x_3_0", "x_2_1", "x_1_2", "x_0_3", "head")}


def test_the_block_before_the_head_is_found_under_other_names() -> None:
    for head in ("head", "final"):
        pairs = pair_children(lambda: Lattice(name_by_role, nested=False), lambda head=head: Lattice(name_by_place, nested=True, head=head))
        assert (pairs["up1"], pairs["up3"], pairs["head"]) == ("x_2_1", "x_0_3", head)
        assert [pairs[f"down{level}"] for level in range(4)] == [f"x_{level}_0" for level in range(4)]


def test_of_equal_blocks_the_one_at_the_same_resolution_is_kept() -> None:
    """Blocks 1 and 2 of the list map 16+8 to 8, and 8+8 to 4 channels. x_1_1 maps 16+8 to 8 at the resolution of block 1."""
    for block in (UnetBlock, NestedBlock):
        pairs = pair_children(lambda: Decoder(UnetBlock, nested=False), lambda block=block: Decoder(block, nested=True), under="blocks")
        assert pairs == {"0": "x_0_0", "1": "x_1_1", "2": "x_0_2"}


def test_dense_layers_stay_in_place_behind_a_wider_input() -> None:
    """The second block gets 16 instead of 12 channels: its layer 1 has the sizes that layer 2 had. The third one gets deeper as well."""
    builds: list[Callable[[], nn.Module]] = [lambda: DenseNet(4, 6, 6), lambda: DenseNet(6, 6, 12)]
    for number, depth in ((1, 4), (2, 6), (3, 6)):
        assert pair_children(*builds, under=f"block{number}") == {f"layer{each}": f"layer{each}" for each in range(1, depth + 1)}
    assert pair_children(*builds) == {
        name: name for name in ("stem", *(f"{kind}{n}" for kind in ("block", "transition") for n in (1, 2, 3)))
    }


def test_a_layer_inserted_into_a_chain_shifts_the_names_behind_it() -> None:
    """conv2 is new and has other sizes; the old conv2 and conv3 are conv3 and conv4 now."""

    def chain(*widths: int) -> nn.Sequential:
        model = nn.Sequential()
        for number, sizes in enumerate(pairwise(widths), 1):
            model.add_module(f"conv{number}", nn.Conv2d(*sizes, 3))
        return model

    pairs = pair_children(lambda: chain(3, 8, 12, 20), lambda: chain(3, 8, 8, 12, 20))
    assert pairs == {"conv1": "conv1", "conv2": "conv3", "conv3": "conv4"}


class Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn(self.conv(x)))


class OldSplit(nn.Module):
    """Two branches, of which one is a plain convolution; norm and activation after they are joined."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.cv1, self.cv2, self.cv3 = Unit(8, 4, nn.Hardswish()), nn.Conv2d(8, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)
        self.cv4, self.bn, self.act = Unit(8, 8, nn.Hardswish()), nn.BatchNorm2d(8), nn.LeakyReLU()
        self.m = nn.Sequential(*(Unit(4, 4, nn.Hardswish()) for _ in range(depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cv4(self.act(self.bn(torch.cat([self.cv3(self.m(self.cv1(x))), self.cv2(x)], 1))))


class NewSplit(nn.Module):
    """Both branches are units; the last unit is the third one."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.cv1, self.cv2, self.cv3 = Unit(8, 4, nn.SiLU()), Unit(8, 4, nn.SiLU()), Unit(8, 8, nn.SiLU())
        self.m = nn.Sequential(*(Unit(4, 4, nn.SiLU()) for _ in range(depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], 1))


def test_blocks_of_a_sequence_that_were_written_anew_keep_their_places_and_layers() -> None:
    """Every block got another class; their layers are equal from block to block, and none moved to another block."""

    def stack(block: Callable[[int], nn.Module], act: Callable[[], nn.Module]) -> nn.Sequential:
        return nn.Sequential(Unit(3, 8, act()), block(1), Unit(8, 8, act()), block(3), block(1), block(1))

    sides = [measure(build, torch.zeros(1, 3, 8, 8)) for build in (lambda: stack(OldSplit, nn.Hardswish), lambda: stack(NewSplit, nn.SiLU))]
    pairs = {match.before_path: match.after_path for match in align(*sides) if match.before_path is not None}
    for block in ("1", "3", "4", "5"):
        expected = {"": "", ".cv1": ".cv1", ".cv2": ".cv2.conv", ".cv3": None, ".cv4": ".cv3", ".m": ".m"}
        assert {name: pairs[block + name] for name in expected} == {
            name: None if other is None else block + other for name, other in expected.items()
        }
