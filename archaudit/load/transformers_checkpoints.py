"""The published sizes of transformers' models, so that `transformers:bert-base-uncased` is built without the network.

`transformers_checkpoints.toml` has them. A name that it does not have is unknown: sizes are never guessed from a name.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_suffix(".toml")


class Checkpoints:
    """The content of configurations by the names of checkpoints, and other names of the same architecture."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        classes = {name: table for name, table in content.items() if name != "aliases"}
        self._configurations: dict[str, dict[str, Any]] = {
            name: {"model_type": table["model_type"], "architectures": [class_name], **table.get("shared", {}), **sizes}
            for class_name, table in classes.items()
            for name, sizes in table["checkpoints"].items()
        }
        self._aliases: dict[str, str] = dict(content["aliases"])

    def find(self, name: str) -> dict[str, Any] | None:
        """The configuration of a checkpoint, as its `config.json` has it; None for an unknown name."""
        found = self._configurations.get(self._aliases.get(name, name))
        return None if found is None else dict(found)

    def list_names(self) -> dict[str, str]:
        """The checkpoint that each name means: its own name, and each alias."""
        return {**{name: name for name in self._configurations}, **self._aliases}


@functools.cache
def read_checkpoints() -> Checkpoints:
    """The checkpoints whose sizes are known."""
    return Checkpoints(tomllib.loads(_FILE.read_text(encoding="utf-8")))


def has_fixed_input(content: Mapping[str, Any]) -> bool:
    """Whether a configuration decides the size of its input: an image. Operations of any other model grow with the length of the input."""
    if any(str(name).endswith("ForImageClassification") for name in content.get("architectures") or ()):
        return True
    return "image_size" in content and "vocab_size" not in content and "text_config" not in content
