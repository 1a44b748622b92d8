"""Two recorded latencies, weighed: timed against each other in one run, or one now against one that was stored."""

from __future__ import annotations

from collections.abc import Sequence

from archaudit.schema import Latency
from archaudit.timing.evidence import Evidence, weigh
from archaudit.timing.order import LEAST_ROUNDS

# The states in which a clock is held down by heat or a fault; a power cap is how data-centre GPUs run under load, and meets both sides.
_DOUBTFUL = frozenset({"hardware slowdown", "software thermal", "hardware thermal", "power brake"})


def weigh_pair(before: Latency, after: Latency) -> tuple[Evidence, ...]:
    """One piece of evidence for each measurement of the pair; none where one side has no samples.

    Latencies of different runs are weighed too: the odd and the even samples before are the A/A pair, the two halves after are two
    measurements. What that is worth, `find_doubts` says.
    """
    pairing = after.pairing
    if pairing is None or not is_pair(before, after):
        return _weigh_apart(before, after)
    found, start = [], 0
    for number, rounds in enumerate(pairing.rounds):
        cut = slice(start, start + rounds)
        sides = [_split(samples, 2 * pairing.passes)[cut] for samples in (before.samples_s, after.samples_s, pairing.again_s)]
        found.append(weigh(sides[0], sides[1], sides[2], pairing.seed + number))
        start += rounds
    return tuple(found)


def is_pair(before: Latency, after: Latency) -> bool:
    """Whether the two were timed against each other: as many samples as the rounds say."""
    if after.pairing is None:
        return False
    expected = 2 * after.pairing.passes * sum(after.pairing.rounds)
    return {len(before.samples_s), len(after.samples_s), len(after.pairing.again_s)} == {expected}


def find_doubts(before: Latency | None, after: Latency | None) -> tuple[str, ...]:
    """Why the two times cannot be compared, or not be trusted; nothing where they can."""
    if before is None or after is None or not before.samples_s or not after.samples_s:
        return ("latency was not measured",)
    doubts = [f"other {what}: {first} before, {second} after" for what, first, second in _list_differences(before, after)]
    throttled = {reason for side in (before, after) for state in side.states for reason in state.throttled} & _DOUBTFUL
    if throttled:
        doubts.append(f"throttled: {', '.join(sorted(throttled))}")
    return tuple(doubts)


def _list_differences(before: Latency, after: Latency) -> list[tuple[str, str, str]]:
    """What has to be the same, and is not: the device, its driver, torch, and the settings."""
    compared: list[tuple[str, object, object]] = [("device", before.device, after.device)]
    if before.machine is not None and after.machine is not None:
        compared += [(name, getattr(before.machine, name), getattr(after.machine, name)) for name in ("driver", "torch", "cuda")]
    if before.settings is not None and after.settings is not None:
        names = before.settings.__struct_fields__
        compared += [(name.replace("_", " "), getattr(before.settings, name), getattr(after.settings, name)) for name in names]
    else:
        compared += [("method", before.method, after.method), ("threads", before.threads, after.threads)]
    return [(name, str(first), str(second)) for name, first, second in compared if first != second]


def _weigh_apart(before: Latency, after: Latency) -> tuple[Evidence, ...]:
    rounds = min(len(before.samples_s) // 2, len(after.samples_s) // 2)
    if rounds < 1:
        return ()
    evens, odds = before.samples_s[::2], before.samples_s[1::2]
    half = len(after.samples_s) // 2
    rounds = min(rounds, max(LEAST_ROUNDS, rounds // 2))
    first, again = _split_into(evens, rounds), _split_into(odds, rounds)
    return tuple(
        weigh(first, _split_into(part, rounds), again, number)
        for number, part in enumerate((after.samples_s[:half], after.samples_s[half:]))
    )


def _split(samples: Sequence[float], size: int) -> list[Sequence[float]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def _split_into(samples: Sequence[float], rounds: int) -> list[Sequence[float]]:
    """So many rounds of the same size; what is left over at the end is left out."""
    return _split(samples, len(samples) // rounds)[:rounds]
