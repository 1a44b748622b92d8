"""Any change of a config is refused with a message that names its place, or is read in the same way each time; it is never a traceback."""

import random

import pytest
import tomlkit
from mutating import ODD

from archaudit.config import load_config
from archaudit.errors import ConfigError

CONFIG = """
gated = ["params"]
strict = true
[models.net]
reference = "net.py:Net"
inputs = {small = "1x3x64x64", large = "1x3x128x128"}
[models.other]
reference = "other.json"
[defaults]
level = "warn"
[[budgets]]
id = "size"
metric = "params"
max = "25K"
level = "error"
[[budgets]]
metric = "macs"
scope = ["stem", "head*"]
max_increase = "1%"
floor = 1_000
against = "other"
until = 2099-12-31
reason = "so"
[[budgets]]
metric = "params"
model = "net"
max = 3e6
overrides = "size"
[[unchanged]]
scope = "stem"
[[sections]]
name = "Head"
after = "head"
[[align]]
before = "a"
after = "b"
[[claims]]
figure = "~21K"
metric = "params"
model = "net"
[latency]
before = "other"
after = "net"
max_increase = "5%"
"""
SLICES = [pytest.param(range(100), id="first"), pytest.param(range(100, 1_000), id="all", marks=pytest.mark.slow)]


def list_places(table):
    for key in list(table) if isinstance(table, dict) else range(len(table)):
        yield table, key
        if isinstance(table[key], (dict, list)):
            yield from list_places(table[key])


def mutate(seed):
    """The config with a change of its values, its keys or its text."""
    chance = random.Random(seed)
    if seed % 4 == 0:
        text = CONFIG.encode()
        place = chance.randrange(len(text))
        odd = chance.choice((b"", b"\xff", b"[", b"\x00", b'"', b"[[", b"\n", "١".encode(), b"1e400", b"0x", b"=", b"[" * 5_000))
        return text[:place] + odd + text[place + chance.randrange(4) :]
    content = tomlkit.parse(CONFIG).unwrap()
    places = list(list_places(content))
    holder, key = chance.choice(places)
    if seed % 4 == 1 and isinstance(holder, dict):
        holder[f"{key}{chance.choice(('s', ' ', '.', 'é'))}"] = holder.pop(key)
    elif seed % 4 == 2:
        other, name = chance.choice(places)
        holder[key] = other[name]
    else:
        value = chance.choice([each for each in ODD if each is not None and each != [None]])
        holder[key] = value if not isinstance(value, int) or abs(value) < 2**63 else float(min(value, 10**300))
    try:
        return tomlkit.dumps(content).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError, TypeError):
        return CONFIG.encode()[: chance.randrange(1, len(CONFIG))]


@pytest.mark.parametrize("seeds", SLICES)
def test_a_changed_config_is_refused_with_its_place_or_read_the_same_each_time(tmp_path, seeds):
    path = tmp_path / "archaudit.toml"
    refused, messages = 0, []
    for seed in seeds:
        path.write_bytes(mutate(seed))
        try:
            found = load_config(path)
        except ConfigError as error:
            messages += error.message.splitlines()
            refused += 1
        else:
            assert load_config(path) == found
            assert all(check.model in ("", *found.models) for check in found.checks)
    assert [message for message in messages if not message.startswith(str(path))] == []
    assert refused > len(seeds) * 0.5


def test_the_config_itself_is_valid(tmp_path):
    (tmp_path / "archaudit.toml").write_text(CONFIG)
    assert len(load_config(tmp_path / "archaudit.toml").checks) >= 5
