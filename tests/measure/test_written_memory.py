"""The sources of memory that several layers write into, for write orders whose sources are worked out by hand."""

import torch
from modeling import measure, module
from torch import nn


class Writing(nn.Module):
    """Layers whose outputs the function `write` puts into memory; that memory is the input of `last`."""

    def __init__(self, write):
        super().__init__()
        self.a, self.b, self.c, self.last = (nn.Linear(4, 4, bias=False) for _ in range(4))
        self.write = write

    def forward(self, x):
        return self.last(self.write(self, x))


def find_sources(write):
    """The inputs of `last`: layers, and operators followed by the layers that are their inputs (`copy_ a`)."""
    profile = measure(lambda: Writing(write), torch.zeros(4, 4))
    nodes = {node.id: node for node in profile.flow}
    (last,) = [node for node in profile.flow if node.op == "call" and node.module == "last"]

    def name(node):
        if node.op == "call":
            return node.module
        return " ".join([node.op, *(nodes[source].module for source in node.inputs if nodes[source].op == "call")])

    return [name(nodes[source]) for source in last.inputs]


def test_a_copy_over_the_whole_memory_replaces_earlier_writes():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory.copy_(model.a(x))
        memory.copy_(model.b(x))
        return memory

    assert find_sources(write) == ["copy_ b"]


def test_two_written_halves_have_both_sources():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory[:2] = model.a(x)[:2]
        memory[2:] = model.b(x)[2:]
        return memory

    assert find_sources(write) == ["zeros_like", "copy_ a", "copy_ b"]


def test_a_part_written_over_a_whole_adds_a_source():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory.copy_(model.a(x))
        memory[:1] = model.b(x)[:1]
        return memory

    assert find_sources(write) == ["copy_ a", "copy_ b"]


def test_a_whole_written_over_parts_replaces_them():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory[:2] = model.a(x)[:2]
        memory[2:] = model.b(x)[2:]
        memory.copy_(model.c(x))
        return memory

    assert find_sources(write) == ["copy_ c"]


def test_an_overwritten_layer_output_has_the_new_source_only():
    def write(model, x):
        memory = model.a(x)
        memory.copy_(model.b(x))
        return memory

    assert find_sources(write) == ["copy_ b"]


def test_a_partly_overwritten_layer_output_keeps_its_source():
    def write(model, x):
        memory = model.a(x)
        memory[:2] = model.b(x)[:2]
        return memory

    assert find_sources(write) == ["a", "copy_ b"]


def test_a_write_through_a_view_writes_into_its_base():
    def write(model, x):
        memory = model.a(x)
        memory.view(-1).copy_(model.b(x).view(-1))
        return memory

    assert find_sources(write) == ["copy_ b"]


def test_a_result_computed_before_a_write_does_not_depend_on_it():
    def write(model, x):
        memory = model.a(x)
        sums = memory + 1
        memory.copy_(model.b(x))
        return sums

    assert find_sources(write) == ["add a"]


def test_a_result_computed_between_two_writes_depends_on_the_first():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory.copy_(model.a(x))
        sums = model.c(memory)
        memory.copy_(model.b(x))
        return sums

    assert find_sources(write) == ["c"]


def test_a_part_that_is_written_twice_has_the_second_source():
    def write(model, x):
        memory = torch.zeros_like(x)
        half = memory[:2]
        half.copy_(model.a(x)[:2])
        half.mul_(2)
        return half

    assert find_sources(write) == ["mul_"]


def test_reallocated_memory_does_not_keep_earlier_sources():
    def write(model, x):
        for _ in range(50):  # the allocator reuses the same memory
            dropped = torch.zeros_like(x)
            dropped.copy_(model.a(x))
            del dropped
            fresh = torch.zeros_like(x)
        return fresh

    assert find_sources(write) == ["zeros_like"]


def test_an_out_argument_is_a_write():
    def write(model, x):
        memory = model.c(x)
        torch.add(model.a(x), model.b(x), out=memory)
        return memory

    assert find_sources(write) == ["add c a b"]


def test_an_in_place_layer_is_the_source_of_the_next_layer():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.relu, self.last = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4)

        def forward(self, x):
            return self.last(self.relu(self.a(x)))

    profile = measure(InPlace, torch.zeros(4, 4))
    assert module(profile, "relu").calls[0].inputs_from == ("a",)
    assert module(profile, "last").calls[0].inputs_from == ("relu",)
