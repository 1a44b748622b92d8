from pathlib import Path

import pytest
from factories import make_module, make_profile, make_tensor

from archaudit.config import load_config
from archaudit.errors import ConfigError
from archaudit.pipeline import Options, Target, compare_profiles

MODELS = """
[models.one]
reference = "one.py:Model"

[models.two]
reference = "two.py:Model"
"""


def test_pins_of_the_config_that_names_both_models_are_applied_and_told(tmp_path: Path) -> None:
    path = tmp_path / "archaudit.toml"
    path.write_text(MODELS + "[[align]]\nbefore = 'a'\nafter = 'b'\n\n[[align]]\nbefore = 'b'\n")
    config = load_config(path)
    wide = make_module(64, tensors=(make_tensor("weight", (8, 8)),))
    profiles = [make_profile({"a": wide, "b": wide}, name=name) for name in ("one", "two")]
    targets = [Target(name=name, key=name, saved=profile, config=config) for name, profile in zip(("one", "two"), profiles, strict=True)]
    rows = {row.before_path: row for row in compare_profiles(targets, profiles, Options(config=config)).modules}
    assert (rows["a"].after_path, rows["b"].after_path) == ("b", None)
    assert rows["a"].reason.endswith("align[0])")
    assert rows["b"].reason.endswith("align[1])")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[align]]\nbefor = 'a'", "align[0].befor: is not a known key; did you mean 'before'?"),
        ("[[align]]\nforbid = true", "align[0].forbid: needs a pair; remove it to leave a single module without a counterpart"),
        ("[[align]]\nbefore = 'a'\nafter = 'b'\nforbid = 1", "align[0].forbid: expected true or false"),
        ("[[align]]\nbefore = 3", "align[0].before: expected text, not a number"),
        ("[[align]]\n", "align[0].before: is missing; at least one of before, after is required"),
    ],
)
def test_faults_of_pins_are_named(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "archaudit.toml"
    path.write_text(MODELS + text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert fault in caught.value.message
