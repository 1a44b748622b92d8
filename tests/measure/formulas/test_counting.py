from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from archaudit.errors import ConfigError
from archaudit.measure.formulas import FORMULA_FILES, Work, count_operator, format_work, formula, formula_names, register_formula
from archaudit.measure.formulas import registry as formula_registry

rand = torch.rand


@pytest.fixture
def operator():
    """An operator of another library, and the formulas restored afterwards."""
    library = torch.library.Library("archaudit_test", "DEF")
    library.define("fused(Tensor x, Tensor weight, int repeats=1) -> Tensor")
    before = dict(formula_registry._FORMULAS)
    yield torch.ops.archaudit_test.fused.default
    formula_registry._FORMULAS.clear()
    formula_registry._FORMULAS.update(before)
    library._destroy()


def count_work(operator, **kwargs):
    return count_operator(operator, (rand(3, 4), rand(4, 5)), kwargs, rand(3, 5))


def test_an_operator_without_formula_is_unknown_with_a_reason(operator):
    work = count_work(operator)
    assert (work.status, work.macs) == ("unknown", 0)
    assert format_work(work) == "unknown: no formula for this operator; a plugin can register one"


def test_a_registered_formula_counts_at_once(operator):
    assert count_work(operator).status == "unknown"

    @formula("archaudit_test::fused")
    def count_fused(x, weight, repeats=1, *, out):
        return ((x.shape, out.shape[-1], repeats),)

    assert count_work(operator).macs == 3 * 4 * 5
    assert format_work(count_work(operator, repeats=2)) == "3*4 * 5 * 2 = 120"


def test_a_formula_for_an_overload_has_priority(operator):
    register_formula("archaudit_test::fused", lambda *_, **__: 1)
    register_formula("archaudit_test::fused.default", lambda *_, **__: 2)
    assert count_work(operator).macs == 2


@pytest.mark.parametrize(("answer", "macs"), [(7, 7), (((2, 3),), 6), ([[2, (3, 4)], [5]], 29)])
def test_formulas_may_return_numbers_and_lists(operator, answer, macs):
    register_formula("archaudit_test::fused", lambda *_, **__: answer)
    assert count_work(operator) == Work("counted", count_work(operator).products)
    assert count_work(operator).macs == macs


@pytest.mark.parametrize("answer", [None, -1, 1.5, True, "12", (3, 4), ((2, -3),), ((2, (3, 0.5)),)])
def test_results_that_are_no_products_make_the_work_unknown(operator, answer):
    register_formula("archaudit_test::fused", lambda *_, **__: answer)
    assert count_work(operator).status == "unknown"
    assert count_work(operator).note.startswith("its formula")


def test_a_formula_that_fails_makes_the_work_unknown(operator):
    register_formula("archaudit_test::fused", lambda x, weight, **_: ((x.shape[7],),))
    assert count_work(operator).note.startswith("its formula failed: IndexError")


def test_a_formula_without_products_is_zero(operator):
    register_formula("archaudit_test::fused", lambda *_, **__: ())
    assert count_work(operator) == Work("zero", note="multiplies nothing")


@pytest.mark.parametrize("name", ["fused", "::fused", "archaudit_test::", ""])
def test_a_malformed_operator_name_is_a_config_error(name):
    with pytest.raises(ConfigError, match="cannot register"):
        register_formula(name, lambda **_: 1)


def test_work_is_formatted():
    assert format_work(Work("counted", (((1, 32, 32), 256, (64, 9)),))) == "1*32*32 * 256 * 64*9 = 150,994,944"
    assert format_work(Work("counted", ((2, 3), (4, 5)))) == "2 * 3 + 4 * 5 = 26"
    assert format_work(Work("counted", (((), 7),))) == "7 = 7"
    assert format_work(Work("zero", note="norm")) == "0 (norm)"
    assert format_work(Work("unknown", note="why")) == "unknown: why"


def test_terms_are_flat():
    work = Work("counted", (((1, 2), 3, ()), (4,)))
    assert work.terms == ((1, 2, 3), (4,))
    assert work.macs == 6 + 4


def test_numbers_do_not_overflow():
    assert Work("counted", ((2**40, 2**40),)).macs == 2**80


def test_sizes_known_only_at_run_time_are_unknown():
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    environment = ShapeEnv()
    with FakeTensorMode(shape_env=environment):
        rows = environment.create_unbacked_symint()
        torch._check(rows >= 0)
        left, right = torch.empty(rows, 4), torch.empty(4, 5)
        work = count_operator(torch.ops.aten.mm.default, (left, right), {}, left)
    assert (work.status, work.note) == ("unknown", "a size depends on the data")


def test_higher_order_operators_are_counted_or_unknown_never_zero(count):
    from torch._higher_order_ops.out_dtype import out_dtype

    mm, add = torch.ops.aten.mm.default, torch.ops.aten.add.Tensor
    left, right = torch.ones(3, 4, dtype=torch.int8), torch.ones(4, 5, dtype=torch.int8)
    assert count_operator(out_dtype, (mm, torch.int32, left, right), {}, torch.ones(3, 5)).macs == 3 * 4 * 5
    assert count_operator(out_dtype, (add, torch.int32, left, left), {}, left).status == "unknown"
    conditional = count_operator(torch.ops.higher_order.cond, (True, None, None, ()), {}, None)
    assert (conditional.status, conditional.note) == ("unknown", "a higher-order operator: the operators inside it are not visible")


def test_every_formula_states_its_source_and_what_it_leaves_out():
    for name in formula_names():
        function = formula_registry.find_formula(name, "default")
        if function.__module__ in {file.__name__ for file in FORMULA_FILES}:
            assert "Source:" in function.__doc__, name
            assert "Leaves out:" in function.__doc__, name


def test_importing_the_formulas_imports_no_heavy_package():
    script = (
        "import sys, torch; before = set(sys.modules); import archaudit.measure.formulas;"
        "heavy = {'torchvision', 'torch._dynamo', 'sympy', 'torchinfo', 'fvcore', 'numpy'};"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
