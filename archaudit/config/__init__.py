"""The configuration: TOML to models, sections, and checks (budgets and claims), with every fault found at once.

Reading a config imports no model and opens no other file: references, inputs and patterns stay text. `reading` finds files and reads
models and sections, `checks` budgets, `claims` claims, all through the typed tables of `tables`.
"""

from archaudit.config.budgets import LIMITS, RELATIVE_LIMITS
from archaudit.config.json_schema import make_config_schema
from archaudit.config.reading import CONFIG_FILE, EXAMPLE_SOURCE, find_config, load_claims, load_config, load_example_config, read_claims
from archaudit.config.records import BASELINE, COMPUTED_SECTIONS, AlignPin, Config, ModelConfig, Section
from archaudit.config.starter import replace_values, write_starter

__all__ = [
    "BASELINE",
    "COMPUTED_SECTIONS",
    "CONFIG_FILE",
    "EXAMPLE_SOURCE",
    "LIMITS",
    "RELATIVE_LIMITS",
    "AlignPin",
    "Config",
    "ModelConfig",
    "Section",
    "find_config",
    "load_claims",
    "load_config",
    "load_example_config",
    "make_config_schema",
    "read_claims",
    "replace_values",
    "write_starter",
]
