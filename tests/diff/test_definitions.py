"""Added and removed classes, and parameters with another initialisation: the example, and profiles written by hand."""

from factories import make_module, make_profile, make_tensor

from archaudit.diff.definitions import diff_classes, diff_initialisation
from archaudit.schema import ClassUse, InitialisationChange, Match

HE = "kaiming_normal_(a=0, mode='fan_out', nonlinearity='relu')"


def make_side(**inits):
    """A model whose children are linear layers with one weight, initialised so."""
    modules = {"": make_module(0, "Net", defined_in="")}
    return make_profile(
        modules | {name: make_module(0, tensors=(make_tensor("weight", (2, 2), init=init),)) for name, init in inits.items()}
    )


def match(*pairs):
    return [Match(before_path=one, after_path=other, confidence=1.0, reason="by hand") for one, other in pairs]


def test_classes_of_one_side_only_are_named_with_where_they_are_used():
    before = make_profile({"a": make_module(0, "Conv2d", defined_in="torch"), "b": make_module(0, "Old", defined_in="")})
    after = make_profile({"a": make_module(0, "Conv2d"), "b": make_module(0, "New", defined_in=""), "c": make_module(0, "New")})
    added, removed = diff_classes(before, after)
    assert added == (ClassUse(name="New", defined_in="", paths=("b", "c")),)
    assert removed == (ClassUse(name="Old", defined_in="", paths=("b",)),)
    assert diff_classes(before, before) == ((), ())


def test_rules_are_compared_and_not_what_they_come_to():
    before = make_side(a=f"{HE} = normal_(mean=0, std=0.1)", b="zeros_()", c="ones_()")
    after = make_side(a=f"{HE} = normal_(mean=0, std=0.2)", b=None, d="zeros_()")
    changes = diff_initialisation(before, after, match(("", ""), ("a", "a"), ("b", "b"), ("c", None), (None, "d")))
    assert changes == (
        InitialisationChange(before_path="b.weight", after_path="b.weight", before="zeros_()", after=None),
        InitialisationChange(before_path="c.weight", after_path=None, before="ones_()", after=None),
        InitialisationChange(before_path=None, after_path="d.weight", before=None, after="zeros_()"),
    )


def test_nothing_is_said_of_a_profile_that_did_not_note_it():
    before = make_profile({"a": make_module(0, tensors=(make_tensor("weight", (2, 2)),))})
    assert diff_initialisation(before, make_side(a="zeros_()"), match(("", ""), ("a", "a"))) == ()


def test_tied_parameters_and_buffers_have_no_rule_of_their_own():
    def side(rule):
        table = make_tensor("table", (2, 2), kind="buffer", init=rule)
        tied = make_tensor("weight", (2, 2), tied_to="other.weight", init=rule)
        return make_profile({"": make_module(0, "Net", defined_in=""), "m": make_module(0, tensors=(table, tied))})

    assert diff_initialisation(side("zeros_()"), side("ones_()"), match(("", ""), ("m", "m"))) == ()
