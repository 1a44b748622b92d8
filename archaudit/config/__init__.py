"""The configuration: TOML to models, sections, and checks (budgets and claims), with every fault found at once.

Reading a config imports no model and opens no other file: references, inputs and patterns stay text. `declaration` declares every table and
key; `tables` reads values by it, and `json_schema` makes the JSON Schema of it. `reading` finds files and reads models and sections,
`budgets` budgets and `claims` claims. `starter` writes a first config and changes values in place.
"""

from archaudit.config.declaration import LIMITS, RELATIVE_LIMITS
from archaudit.config.json_schema import make_config_schema
from archaudit.config.reading import (
    CONFIG_FILE,
    EXAMPLE_SOURCE,
    find_config,
    load_claims,
    load_config,
    load_example_config,
    load_table_claims,
    read_claims,
)
from archaudit.config.records import BASELINE, COMPUTED_SECTIONS, AlignPin, AuditConfig, Config, ModelConfig, Section, TableClaim
from archaudit.config.starter import replace_values, write_starter

__all__ = [
    "BASELINE",
    "COMPUTED_SECTIONS",
    "CONFIG_FILE",
    "EXAMPLE_SOURCE",
    "LIMITS",
    "RELATIVE_LIMITS",
    "AlignPin",
    "AuditConfig",
    "Config",
    "ModelConfig",
    "Section",
    "TableClaim",
    "find_config",
    "load_claims",
    "load_config",
    "load_example_config",
    "load_table_claims",
    "make_config_schema",
    "read_claims",
    "replace_values",
    "write_starter",
]
