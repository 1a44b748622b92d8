"""Operators whose results reach no output, for small models whose dead layers are visible in their code.

Every layer is a Linear(8, 8) without bias on three rows: 2 * 3 * 8 * 8 FLOPs.
"""

from dataclasses import dataclass

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.errors import CannotJudge
from archaudit.metrics.catalog import METRICS, measure_scope
from archaudit.schema.saving import decode_profile, encode

LAYER = 2 * 3 * 8 * 8


class Layers(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(8, 8, bias=False) for _ in range(3))
        self.register_buffer("state", torch.zeros(3, 8))
        self.norm = nn.BatchNorm1d(8)
        self.kept = []
        self.run = run

    def forward(self, x):
        return self.run(self, x)


def find_dead(run):
    return measure(lambda: Layers(run), torch.zeros(3, 8)).dead_flops


@dataclass
class Output:
    loss: torch.Tensor
    extra: object = None


class Opaque:
    def __init__(self, value):
        self.value = value


def drop_result(model, x):
    x = model.a(x)
    model.b(x)
    return model.c(x)


def drop_chain(model, x):
    model.c(torch.relu(model.b(x)).view(3, 8)[:, :8])
    return model.a(x)


def read_shape_only(model, x):
    return model.a(x) * model.b(x).shape[0]


def overwrite(model, x):
    memory = torch.empty_like(x)
    memory.copy_(model.a(x))
    memory.copy_(model.b(x))
    return memory


def overwrite_twice_through_a_view(model, x):
    memory = torch.empty_like(x)
    memory.view(-1).copy_(model.c(x).view(-1))
    return memory.zero_()


def replace_by_constant(model, x):
    model.b(x).fill_(1.0)
    return model.a(x)


def drop_matrix_product(model, x):
    _ = x @ model.a.weight  # no module of its own: the model itself runs it
    return model.b(x)


@pytest.mark.parametrize(
    ("run", "dead"),
    [
        (drop_result, {"b": LAYER}),
        (drop_chain, {"b": LAYER, "c": LAYER}),
        (read_shape_only, {"b": LAYER}),
        (overwrite, {"a": LAYER}),
        (overwrite_twice_through_a_view, {"c": LAYER}),
        (replace_by_constant, {"b": LAYER}),
        (drop_matrix_product, {"": LAYER}),
    ],
)
def test_results_that_reach_no_output_are_dead(run, dead):
    assert find_dead(run) == dead


def write_buffer(model, x):
    model.state.copy_(model.b(x))
    return model.a(x)


def write_part_of_buffer(model, x):
    model.state[:, :4] = model.b(x)[:, :4]
    return model.a(x)


def update_statistics(model, x):
    model.norm.train()
    model.norm(model.b(x))
    return model.a(x)


def keep_in_list(model, x):
    model.kept.append(model.b(x))
    return model.a(x)


def replace_attribute(model, x):
    model.state = model.b(x)
    return model.a(x)


def return_dict(model, x):
    return {"a": model.a(x), "more": [{"b": model.b(x)}, (model.c(x),)]}


def return_dataclass(model, x):
    return Output(model.a(x), Output(model.b(x).detach()))


def return_object(model, x):
    return Opaque({"a": model.a(x), "b": Opaque([model.b(x)])})


def return_view(model, x):
    return model.a(x)[0], model.b(x).transpose(0, 1).split(2)[1]


def write_input(model, x):
    x.add_(model.b(x))
    return 0


def write_parts(model, x):
    memory = torch.zeros(3, 16)
    memory[:, :8] = model.a(x)
    memory[:, 8:].add_(model.b(x))
    return memory


def sort_by_score(model, x):
    return x[model.a(x)[:, 0].argsort()]


def write_by_index(model, x):
    memory = torch.zeros(3, 8)
    memory.index_add_(0, torch.arange(3), model.a(x))
    memory.scatter_(0, torch.zeros(3, 8, dtype=torch.long), model.b(x))
    return memory


def write_list(model, x):
    memory = [torch.zeros(3, 8), torch.zeros(3, 8)]
    torch._foreach_add_(memory, [model.a(x), model.b(x)])
    return memory


def write_into_out(model, x):
    memory = torch.empty(3, 8)
    torch.add(model.a(x), model.b(x), out=memory)
    return memory


def change_in_inference_mode(model, x):
    with torch.inference_mode():
        return model.a(x).transpose(0, 1).reshape(24).clone(), model.b(x).t().contiguous()


def keep_sparse(model, x):
    return torch.sparse.mm(model.a(x).to_sparse(), model.b(x).t())


@pytest.mark.parametrize(
    "run",
    [
        *(write_buffer, write_part_of_buffer, update_statistics, keep_in_list, replace_attribute, return_dict, return_dataclass),
        *(return_object, return_view, write_input, write_parts, sort_by_score, write_by_index, write_list, write_into_out),
        *(change_in_inference_mode, keep_sparse),
    ],
)
def test_results_in_outputs_buffers_and_caches_are_used(run):
    assert find_dead(run) == {}


def branch(model, x):
    return model.a(x) if model.b(x).sum() > 0 else model.c(x)


def use_number(model, x):
    return model.a(x) * model.b(x).sum().item()


def use_list(model, x):
    return model.a(x) * model.b(x).tolist()[0][0]


def use_numpy(model, x):
    return model.a(x) * float(model.b(x).detach().numpy().sum())


def use_length(model, x):
    return model.a(x) * len(model.b(x).nonzero())


def use_mask(model, x):
    return model.a(x) * len(x[model.b(x) > 0])


@pytest.mark.parametrize("run", [branch, use_number, use_list, use_numpy, use_length, use_mask])
def test_values_that_python_reads_are_used(run):
    assert find_dead(run) == {}


def test_a_hook_uses_what_it_keeps():
    kept = []

    def build():
        model = Layers(drop_result)
        model.b.register_forward_hook(lambda module, args, output: kept.append(output))
        return model

    assert measure(build, torch.zeros(3, 8)).dead_flops == {}


def test_dead_compute_is_a_metric_of_modules_and_a_line_of_the_profile():
    profile = measure(lambda: Layers(drop_chain), torch.zeros(3, 8))
    metric = METRICS["dead_flops"]
    assert measure_scope(profile, metric).value == 2 * LAYER
    assert measure_scope(profile, metric, "b").value == LAYER
    assert measure_scope(profile, metric, "a").value == 0
    (line,) = [text for text in profile.ledger.assumptions if "dead compute" in text]
    assert f"{2 * LAYER:,} of {3 * LAYER:,} FLOPs, in b, c," in line


def test_a_profile_saved_before_this_was_observed_has_no_number():
    profile = measure(lambda: Layers(drop_chain), torch.zeros(3, 8))
    assert decode_profile(encode(profile), "it").dead_flops == {"b": LAYER, "c": LAYER}
    older = decode_profile(encode(profile).replace(b'"dead_flops"', b'"other_key"'), "it")
    found = measure_scope(older, METRICS["dead_flops"])
    assert found.value is None
    assert "does not say which results reach an output" in found.reason
    with pytest.raises(CannotJudge):
        METRICS["dead_flops"].of_scope(older, ("",))
