"""Findings in published models, labelled by hand: how many are true, and that the audit still finds them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from archaudit.audit import Evidence, list_rules, run_audit
from archaudit.load import load_recipe
from archaudit.load.reference import parse_reference
from archaudit.measure.recipe import inspect_recipe

GROUPS = tomllib.loads((Path(__file__).parent / "labelled.toml").read_text(encoding="utf-8"))["groups"]
LEAST_PRECISION = 0.98
LEAST_LABELLED = 250
# These are audited again: small models, of each library and of each rule.
AGAIN = (
    "timm:vgg13_bn",
    "timm:visformer_tiny",
    "timm:dla46_c",
    "transformers big_bird BigBirdForMaskedLM",
    "transformers plbart PLBartForCausalLM",
)


def test_nearly_all_labelled_findings_are_true():
    findings = sum(group["findings"] for group in GROUPS)
    true = sum(group["findings"] for group in GROUPS if group["label"])
    assert findings >= LEAST_LABELLED
    assert true / findings >= LEAST_PRECISION


def test_every_label_has_a_reason_and_a_rule_that_is_on_by_default():
    for group in GROUPS:
        assert len(group["why"]) > 30
        assert not list_rules()[group["code"]].rule.off


def make_reference(model: str, folder: Path) -> str:
    """The reference of a labelled model; of transformers, with its default configuration in a file."""
    if not model.startswith("transformers "):
        return model
    from transformers import CONFIG_MAPPING

    _, kind, architecture = model.split()
    content = {**CONFIG_MAPPING[kind]().to_dict(), "architectures": [architecture], "model_type": kind}
    (folder / "config.json").write_text(json.dumps(content, default=str), encoding="utf-8")
    return f"transformers:{folder / 'config.json'}"


@pytest.mark.zoo
@pytest.mark.parametrize("model", AGAIN)
def test_the_audit_still_finds_what_was_labelled(model, tmp_path):
    groups = {group["code"]: group for group in GROUPS if group["model"] == model}
    recipe = load_recipe(parse_reference(make_reference(model, tmp_path)), (), model)
    found = run_audit(Evidence(*inspect_recipe(recipe)), groups)
    for code, group in groups.items():
        paths = [each.path for each in found.findings if each.code == code]
        assert (len(paths), group["first"] in paths) == (group["findings"], True), code
