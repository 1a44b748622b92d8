"""Modules that kept their path are taken for the same module: what state_dict and every checkpoint go by."""

from __future__ import annotations

from archaudit.schema import Match, Profile

# A path is what people keep when they put a better layer in a place, but another type may as well be another thing under a reused name
# (`decoder.3` of a rewritten Sequential): as likely as not.
ANOTHER_TYPE_CONFIDENCE = 0.5


def match_by_path(before: Profile, after: Profile) -> list[Match]:
    """A match for each path that both sides have, in the order of the before side."""
    types_after = {module.path: module.type for module in after.modules}
    matches = []
    for module in before.modules:
        if module.path not in types_after:
            continue
        same_type = module.type == types_after[module.path]
        matches.append(
            Match(
                before_path=module.path,
                after_path=module.path,
                confidence=1.0 if same_type else ANOTHER_TYPE_CONFIDENCE,
                reason="same path" if same_type else "same path, another type",
            )
        )
    return matches
