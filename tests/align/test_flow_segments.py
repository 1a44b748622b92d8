from factories import make_module, make_profile

from archaudit.align.flow_segments import find_dominators
from archaudit.schema import Call, FlowNode, Profile


def make_flow(*nodes: tuple[str, tuple[int, ...]], shape: tuple[int, ...] = (1,)) -> Profile:
    """A profile whose flow has these nodes: `input`, or the name of a layer that is called, and the ids of its input nodes."""
    flow = tuple(
        FlowNode(id=place, op="input" if name == "input" else "call", module="" if name == "input" else name, inputs=inputs, shape=shape)
        for place, (name, inputs) in enumerate(nodes)
    )
    root = make_module(type="Net", calls=(Call(order=0, inputs=((1,),), outputs=(shape,)),))
    return make_profile({"": root} | {name: make_module() for name, _ in nodes if name != "input"}, flow=flow)


def name_dominators(profile: Profile) -> list[str]:
    return [node.module or node.op for node in find_dominators(profile)]


def test_every_layer_of_a_chain_is_on_every_path() -> None:
    assert name_dominators(make_flow(("input", ()), ("a", (0,)), ("b", (1,)))) == ["input", "a", "b"]


def test_the_layers_of_branches_are_not_on_every_path() -> None:
    profile = make_flow(("input", ()), ("a", (0,)), ("left", (1,)), ("right", (1,)), ("join", (2, 3)), ("b", (4,)))
    assert name_dominators(profile) == ["input", "a", "join", "b"]


def test_a_layer_with_a_skip_connection_around_it_is_not_on_every_path() -> None:
    assert name_dominators(make_flow(("input", ()), ("a", (0,)), ("b", (1,)), ("c", (1, 2)))) == ["input", "a", "c"]


def test_a_node_that_no_input_reaches_is_not_a_second_input() -> None:
    assert name_dominators(make_flow(("input", ()), ("table", ()), ("a", (0, 1)))) == ["input", "a"]


def test_only_what_follows_both_inputs_is_on_every_path() -> None:
    assert name_dominators(make_flow(("input", ()), ("a", (0,)), ("input", ()), ("b", (1, 2)))) == ["b"]


def test_a_dead_end_of_another_shape_is_not_an_output() -> None:
    profile = make_flow(("input", ()), ("a", (0,)), ("dead", (0,)))
    dead = FlowNode(id=2, op="call", module="dead", inputs=(0,), shape=(9, 9))
    changed = make_profile({module.path: module for module in profile.modules}, flow=(*profile.flow[:2], dead))
    assert name_dominators(changed) == ["input", "a"]


def test_a_profile_without_a_flow_has_no_dominators() -> None:
    assert find_dominators(make_profile({"a": 1})) == []
