from factories import make_module, make_profile

from archaudit.align import align
from archaudit.diff import diff
from archaudit.schema import Call, ModuleDiff, Profile


def model(**sources_by_name: tuple[str, ...]) -> Profile:
    """Layers by name, each of a type of its own, with what feeds them, in order of execution."""
    return make_profile({
        name: make_module(type=name.upper(), calls=(Call(order=place, inputs=((1,),), outputs=((1,),), inputs_from=sources),))
        for place, (name, sources) in enumerate(sources_by_name.items())
    })  # fmt: skip


def compare(before: Profile, after: Profile) -> dict[str | None, ModuleDiff]:
    return {row.after_path or row.before_path: row for row in diff(before, after, align(before, after)).modules}


CHAIN = model(a=(), b=("a",), c=("b",))


def test_a_new_skip_connection_rewires_the_module_that_reads_it() -> None:
    rows = compare(CHAIN, model(a=(), b=("a",), c=("a", "b")))
    assert [rows[name].changes for name in "abc"] == [("same",), ("same",), ("rewired",)]


def test_a_layer_put_in_between_or_taken_out_rewires_nothing() -> None:
    longer = model(a=(), new=("a",), b=("new",), c=("b",))
    assert all(compare(CHAIN, longer)[name].changes == ("same",) for name in "abc")
    assert all(compare(longer, CHAIN)[name].changes == ("same",) for name in "abc")


def test_a_removed_branch_rewires_nothing_either() -> None:
    joined = model(a=(), left=("a",), right=("a",), c=("left", "right"))
    assert compare(joined, model(a=(), left=("a",), c=("left",)))["c"].changes == ("same",)


def test_reading_from_another_module_is_rewired() -> None:
    assert compare(CHAIN, model(a=(), b=("a",), c=("a",)))["c"].changes == ("rewired",)


def test_modules_that_did_not_run_are_not_rewired() -> None:
    assert compare(CHAIN, make_profile({name: make_module(type=name.upper()) for name in "abc"}))["c"].changes == ("uncalled",)
