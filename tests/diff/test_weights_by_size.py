"""Parameters that only their size identifies, on profiles written by hand: which are paired, and when none are."""

from __future__ import annotations

from factories import make_module, make_profile, make_tensor

from archaudit.diff.checkpoint.weight_sources import WeightMap, map_weights
from archaudit.schema import JoinedRows, Match, ModuleRecord, Profile, TensorRecord

WEIGHT = make_tensor("weight", (4, 4))


def layer(*tensors: TensorRecord) -> ModuleRecord:
    return make_module(0, "Layer", tensors=tensors)


def inherit(before: dict[str, ModuleRecord], after: dict[str, ModuleRecord], **renamed: str) -> WeightMap:
    """The likeliest way; modules are matched by their paths, or as `renamed` says."""
    sides: list[Profile] = [make_profile({"": make_module(0, "Net")} | side) for side in (before, after)]
    pairs = {path: renamed.get(path, path) for path in ["", *before]}
    matches = [Match(before_path=one, after_path=other, confidence=1.0, reason="") for one, other in pairs.items() if other in {"", *after}]
    return next(iter(map_weights(*sides, matches)))


def list_assumed(found: WeightMap) -> dict[str, str]:
    for name, sources in found.assumed.items():
        assert found.sources[name] == JoinedRows(tensors=sources)
    return {name: source for name, (source,) in found.assumed.items()}


def scale(name: str = "scale", size: int = 4) -> TensorRecord:
    return make_tensor(name, (size,))


def test_a_parameter_with_another_name_is_paired_with_the_one_of_its_size() -> None:
    found = inherit({"m": layer(WEIGHT, scale())}, {"m": layer(WEIGHT, scale("gamma"))})
    assert list_assumed(found) == {"m.gamma": "m.scale"}
    assert found.sources["m.weight"] == JoinedRows(tensors=("m.weight",))
    assert (found.new, found.mismatched) == ((), ())


def test_parameters_of_one_module_are_paired_before_those_of_the_whole_model() -> None:
    before = {"m": layer(scale()), "n": layer(scale())}
    after = {"n": layer(scale("gamma")), "m": layer(scale("gamma"))}
    assert list_assumed(inherit(before, after)) == {"n.gamma": "n.scale", "m.gamma": "m.scale"}
    # of a new module, with what is left in the whole model
    assert list_assumed(inherit({"m": layer(scale())}, {"o": layer(scale("gamma"))})) == {"o.gamma": "m.scale"}


def test_only_as_many_parameters_of_a_size_as_the_other_side_has_are_paired() -> None:
    two = {"m": layer(scale("a"), scale("b"))}
    found = inherit({"m": layer(scale())}, two)
    assert (list_assumed(found), found.new) == ({}, ("m.a", "m.b"))
    assert list_assumed(inherit({"m": layer(scale("x"), scale("y"))}, two)) == {"m.a": "m.x", "m.b": "m.y"}
    other_size = inherit({"m": layer(scale(size=5))}, {"m": layer(scale("gamma"))})
    assert (list_assumed(other_size), other_size.new) == ({}, ("m.gamma",))


def test_buffers_tied_tensors_and_tensors_that_are_used_already_are_not_paired() -> None:
    after = {"m": layer(WEIGHT, make_tensor("gamma", (4, 4)))}
    assert inherit({"m": layer(WEIGHT)}, after).new == ("m.gamma",)
    buffer = make_tensor("stat", (4, 4), kind="buffer", trainable=False)
    assert inherit({"m": layer(WEIGHT, buffer)}, after).new == ("m.gamma",)
    tied = make_tensor("again", (4, 4), tied_to="m.weight")
    assert inherit({"m": layer(WEIGHT, tied)}, after).new == ("m.gamma",)
    # after, too: a tied name needs no value of its own, and neither does a buffer
    assert inherit({"m": layer(WEIGHT)}, {"m": layer(WEIGHT, make_tensor("gamma", (4, 4), tied_to="m.weight"))}).new == ()
    assert inherit({"m": layer(WEIGHT)}, {"m": layer(WEIGHT, buffer)}).new == ()


def test_nothing_is_paired_by_size_where_a_parameter_has_another_shape() -> None:
    found = inherit({"m": layer(WEIGHT, scale())}, {"m": layer(make_tensor("weight", (4, 5)), scale("gamma"))})
    assert found.mismatched == ("m.weight is 4x5, before 4x4",)
    assert (list_assumed(found), found.new) == ({}, ("m.gamma",))


def test_a_scalar_that_became_a_vector_does_not_fit() -> None:
    found = inherit({"m": layer(make_tensor("t", ()))}, {"m": layer(make_tensor("t", (2,)))})
    assert found.mismatched == ("m.t is 2, before a scalar",)


def test_a_buffer_may_be_flattened_and_a_weight_may_not() -> None:
    def hold(kind: str, *shape: int) -> dict[str, ModuleRecord]:
        return {"m": layer(make_tensor("t", shape, kind=kind))}

    assert inherit(hold("buffer", 2, 6), hold("buffer", 3, 4)).sources["m.t"] == JoinedRows(tensors=("m.t",))
    assert inherit(hold("parameter", 2, 6), hold("parameter", 3, 4)).mismatched == ("m.t is 3x4, before 2x6",)
    # its rows stay: 2 of 6
    assert inherit(hold("parameter", 2, 6), hold("parameter", 2, 3, 2)).sources["m.t"] == JoinedRows(tensors=("m.t",))
    assert inherit(hold("parameter", 1, 2, 6), hold("parameter", 2, 6)).mismatched == ()


def test_a_transposed_weight_is_recognised_by_its_type_alone() -> None:
    def hold(type: str, *shape: int) -> dict[str, ModuleRecord]:
        return {"m": make_module(0, type, tensors=(make_tensor("weight", shape),))}

    found = inherit(hold("Conv1D", 2, 3), hold("Linear", 3, 2)).sources["m.weight"]
    assert found == inherit(hold("Linear", 2, 3), hold("Conv1D", 3, 2)).sources["m.weight"]
    assert found != JoinedRows(tensors=("m.weight",))
    assert inherit(hold("Linear", 2, 3), hold("Linear", 3, 2)).mismatched
    assert inherit(hold("Conv1D", 2, 3), hold("Conv1D", 3, 2)).mismatched
    assert inherit(hold("Conv1D", 2, 3), hold("Linear", 2, 3)).sources["m.weight"] == JoinedRows(tensors=("m.weight",))


def test_tensors_that_no_checkpoint_keeps_are_left_to_the_constructor() -> None:
    kept = make_tensor("mask", (4,), kind="buffer", persistent=False)
    assert inherit({"m": layer(WEIGHT, kept)}, {"m": layer(WEIGHT, kept)}).sources.keys() == {"m.weight"}


def test_outputs_are_compared_of_modules_that_are_one_module_on_both_sides() -> None:
    found = inherit({"m": layer(WEIGHT), "gone": layer()}, {"k": layer(WEIGHT), "new": layer()}, m="k")
    assert found.modules == {"": "", "k": "m"}
