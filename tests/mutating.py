"""Random changes of saved files: of their values, their structure, and their bytes. The same seed gives the same changes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

# Values that no writer makes, and those that are easily confused.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, -(10**30), 0.5, -0.0, 1e308, "", "x", "\udc80", "\x00"),
    *([], {}, [[]], [None], {"": 0}, "NaN", "١", [0, -1], [10**18] * 4),
)


def mutate_json(data: bytes, seed: int) -> bytes:
    """A saved file with one to three changes of its values or its structure; every tenth time of its bytes."""
    chance = random.Random(seed)
    if seed % 10 == 0:
        return _mutate_bytes(data, chance)
    content = copy.deepcopy(json.loads(data))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _change(content, chance)
    text = json.dumps(content)
    if seed % 10 == 1:  # a key twice
        keys = [key for key in ("name", "totals", "modules", "entries", "outcome", "params") if f'"{key}": ' in text]
        key = chance.choice(keys) if keys else "name"
        text = text.replace(f'"{key}": ', f'"{key}": {json.dumps(chance.choice(ODD))}, "{key}": ', 1)
    return text.encode("utf-8", "surrogatepass")


def _mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return chance.choice(
        (
            data[:place],
            data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :],
            data[:place] + data[place + chance.randrange(1, 60) :],
            data[:place] + data[chance.randrange(len(data)) :],
            data[:place] + b"[" * 20_000 + data[place:],
            data[:place] + b"\xff\xfe" + data[place:],
            data + data,
            b"\xef\xbb\xbf" + data,
        )
    )


def _change(content: Any, chance: random.Random) -> None:
    places = list(_list_places(content))
    if not places:
        return
    holder, key = chance.choice(places)
    value = holder[key]
    action = chance.randrange(6)
    if action == 0:
        holder[key] = copy.deepcopy(chance.choice(ODD))
    elif action == 1 and isinstance(value, (int, float)) and not isinstance(value, bool):
        holder[key] = chance.choice((value + 1, -value, value * 2, value * 10**20))
    elif action == 2:
        del holder[key]
    elif action == 3 and isinstance(value, list) and value:
        value.append(copy.deepcopy(chance.choice(value)))
    elif action == 4 and isinstance(value, list) and len(value) > 1:
        chance.shuffle(value)
    else:
        other_holder, other_key = chance.choice(places)
        holder[key] = copy.deepcopy(other_holder[other_key])


def _list_places(content: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [content]
    while waiting:
        each = waiting.pop()
        for key in list(each) if isinstance(each, dict) else range(len(each)):
            yield each, key
            if isinstance(each[key], (dict, list)):
                waiting.append(each[key])
