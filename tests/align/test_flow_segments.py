from factories import make_module, make_profile

from archaudit.align.flow_segments import find_passages
from archaudit.schema import Call, FlowNode, Profile


def make_flow(*nodes: tuple[str, tuple[int, ...]], shape: tuple[int, ...] = (1,)) -> Profile:
    """A profile whose flow has these nodes: `input`, or the name of a layer that is called, and the places of what it reads."""
    flow = tuple(
        FlowNode(id=place, op="input" if name == "input" else "call", module="" if name == "input" else name, inputs=inputs, shape=shape)
        for place, (name, inputs) in enumerate(nodes)
    )
    root = make_module(type="Net", calls=(Call(order=0, inputs=((1,),), outputs=(shape,)),))
    return make_profile({"": root} | {name: make_module() for name, _ in nodes if name != "input"}, flow=flow)


def name_passages(profile: Profile) -> list[str]:
    return [node.module or node.op for node in find_passages(profile)]


def test_layers_in_a_chain_all_lie_on_every_path() -> None:
    assert name_passages(make_flow(("input", ()), ("a", (0,)), ("b", (1,)))) == ["input", "a", "b"]


def test_branches_are_passed_by() -> None:
    profile = make_flow(("input", ()), ("a", (0,)), ("left", (1,)), ("right", (1,)), ("join", (2, 3)), ("b", (4,)))
    assert name_passages(profile) == ["input", "a", "join", "b"]


def test_a_skip_around_a_layer_makes_it_no_passage() -> None:
    assert name_passages(make_flow(("input", ()), ("a", (0,)), ("b", (1,)), ("c", (1, 2)))) == ["input", "a", "c"]


def test_what_no_input_reaches_is_no_second_way_in() -> None:
    assert name_passages(make_flow(("input", ()), ("table", ()), ("a", (0, 1)))) == ["input", "a"]


def test_a_second_input_is() -> None:
    assert name_passages(make_flow(("input", ()), ("a", (0,)), ("input", ()), ("b", (1, 2)))) == ["b"]


def test_a_dead_end_of_another_shape_is_no_output() -> None:
    profile = make_flow(("input", ()), ("a", (0,)), ("dead", (0,)))
    dead = FlowNode(id=2, op="call", module="dead", inputs=(0,), shape=(9, 9))
    changed = make_profile({module.path: module for module in profile.modules}, flow=(*profile.flow[:2], dead))
    assert name_passages(changed) == ["input", "a"]


def test_no_flow_no_passages() -> None:
    assert find_passages(make_profile({"a": 1})) == []
