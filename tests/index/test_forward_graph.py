"""The forward graph at a level of detail, on profiles written by hand."""

from render.synthetic import make_cost, make_flow, make_module, make_profile, make_segmentation_report

from archaudit.index import build_graph, choose_opened, find_repeats


def test_what_runs_inside_a_module_is_one_node():
    graph = build_graph(make_segmentation_report().before, {""})
    assert [node.path or node.last.op for node in graph] == [
        "input", "backbone", "aspp", "upsample_bilinear2d", "cat", "decoder", "classifier", "upsample_bilinear2d",
    ]  # fmt: skip


def test_a_constant_is_left_out_but_not_a_module_that_takes_only_constants():
    modules = [make_module("", "Net"), make_module("positions", "Embedding"), make_module("head", "Linear")]
    steps = [("input", "", ()), ("arange", "", ()), ("call", "positions", (1,)), ("add", "", (0, 2)), ("call", "head", (3,))]
    graph = build_graph(make_profile("net", modules, flow=make_flow(*steps)), {""})
    assert [(node.path or node.last.op, node.sources) for node in graph] == [
        ("input", ()), ("positions", ()), ("add", (0, 1)), ("head", (2,)),
    ]  # fmt: skip


def test_an_opened_module_without_children_is_still_one_node():
    modules = [make_module("", "Net"), make_module("head", "Linear")]
    (_, head) = build_graph(make_profile("net", modules, flow=make_flow(("input", "", ()), ("call", "head", (0,)))), {"", "head"})
    assert (head.path, head.sources) == ("head", (0,))


def test_a_run_may_take_what_its_first_layer_takes_but_nothing_else():
    alike = [None, "layer", "layer", "layer"]
    assert find_repeats([(), (0,), (0, 1), (0, 2)], alike) == [(1, 2), (2, 3)]
    assert find_repeats([(), (), (0,), (0, 2), (1, 3)], [None, None, "layer", "layer", "layer"]) == []


def test_four_modules_show_enough_structure_and_three_do_not():
    def list_opened(names):
        modules = [make_module("", "Net")]
        for name in names:  # each has a quarter or a third of the parameters: none hides the structure
            modules += [make_module(name, "Block"), make_module(f"{name}.fc", "Linear", make_cost(10)), make_module(f"{name}.act", "ReLU")]
        steps = [("input", "", ())]
        for place, name in enumerate(names):
            steps += [("call", f"{name}.fc", (2 * place,)), ("call", f"{name}.act", (2 * place + 1,))]
        (opened,) = choose_opened([make_profile("net", modules, flow=make_flow(*steps))], [{""}], lambda side, path: None)
        return opened - {""}

    assert list_opened("abcd") == set()
    assert list_opened("abc")
