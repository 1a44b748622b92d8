"""Where the contents of memory come from that several layers wrote into: the flow's answer for orders of writing known by hand."""

import torch
from modeling import measure, module
from torch import nn


class Writing(nn.Module):
    """Layers whose outputs a forward function, given from outside, puts into memory that `last` reads."""

    def __init__(self, write):
        super().__init__()
        self.a, self.b, self.c, self.last = (nn.Linear(4, 4, bias=False) for _ in range(4))
        self.write = write

    def forward(self, x):
        return self.last(self.write(self, x))


def find_sources(write):
    """What `last` reads: layers, and operators with the layers that each reads itself (`copy_ a`)."""
    profile = measure(lambda: Writing(write), torch.zeros(4, 4))
    nodes = {node.id: node for node in profile.flow}
    (last,) = [node for node in profile.flow if node.op == "call" and node.module == "last"]

    def name(node):
        if node.op == "call":
            return node.module
        return " ".join([node.op, *(nodes[source].module for source in node.inputs if nodes[source].op == "call")])

    return [name(nodes[source]) for source in last.inputs]


def test_a_copy_over_all_of_it_leaves_only_what_was_copied():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory.copy_(model.a(x))
        memory.copy_(model.b(x))
        return memory

    assert find_sources(write) == ["copy_ b"]


def test_two_halves_come_from_both():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory[:2] = model.a(x)[:2]
        memory[2:] = model.b(x)[2:]
        return memory

    assert find_sources(write) == ["zeros_like", "copy_ a", "copy_ b"]


def test_a_part_written_over_a_whole_comes_from_both():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory.copy_(model.a(x))
        memory[:1] = model.b(x)[:1]
        return memory

    assert find_sources(write) == ["copy_ a", "copy_ b"]


def test_a_whole_written_over_parts_leaves_none_of_them():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory[:2] = model.a(x)[:2]
        memory[2:] = model.b(x)[2:]
        memory.copy_(model.c(x))
        return memory

    assert find_sources(write) == ["copy_ c"]


def test_a_layers_output_that_is_overwritten_is_no_longer_its():
    def write(model, x):
        memory = model.a(x)
        memory.copy_(model.b(x))
        return memory

    assert find_sources(write) == ["copy_ a b"]


def test_a_layers_output_that_is_written_in_part_is_still_its():
    def write(model, x):
        memory = model.a(x)
        memory[:2] = model.b(x)[:2]
        return memory

    assert find_sources(write) == ["a", "copy_ a b"]


def test_a_write_through_a_view_is_a_write_into_what_is_viewed():
    def write(model, x):
        memory = model.a(x)
        memory.view(-1).copy_(model.b(x).view(-1))
        return memory

    assert find_sources(write) == ["copy_ a b"]


def test_what_was_computed_before_a_write_does_not_come_from_it():
    def write(model, x):
        memory = model.a(x)
        sums = memory + 1
        memory.copy_(model.b(x))
        return sums

    assert find_sources(write) == ["add a"]


def test_what_was_computed_between_two_writes_comes_from_the_first():
    def write(model, x):
        memory = torch.zeros_like(x)
        memory.copy_(model.a(x))
        sums = model.c(memory)
        memory.copy_(model.b(x))
        return sums

    assert find_sources(write) == ["c"]


def test_a_part_that_was_written_twice_comes_from_the_second_time():
    def write(model, x):
        memory = torch.zeros_like(x)
        half = memory[:2]
        half.copy_(model.a(x)[:2])
        half.mul_(2)
        return half

    assert find_sources(write) == ["mul_"]


def test_memory_that_is_used_again_does_not_remember_who_wrote_into_it():
    def write(model, x):
        for _ in range(50):  # the allocator hands the same memory out again
            dropped = torch.zeros_like(x)
            dropped.copy_(model.a(x))
            del dropped
            fresh = torch.zeros_like(x)
        return fresh

    assert find_sources(write) == ["zeros_like"]


def test_an_argument_that_is_written_by_name_is_written():
    def write(model, x):
        memory = model.c(x)
        torch.add(model.a(x), model.b(x), out=memory)
        return memory

    assert find_sources(write) == ["add c a b"]


def test_each_layer_that_works_in_place_is_where_the_next_one_reads_from():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.relu, self.last = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4)

        def forward(self, x):
            return self.last(self.relu(self.a(x)))

    profile = measure(InPlace, torch.zeros(4, 4))
    assert module(profile, "relu").calls[0].inputs_from == ("a",)
    assert module(profile, "last").calls[0].inputs_from == ("relu",)
