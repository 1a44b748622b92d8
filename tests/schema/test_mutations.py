"""Any change of a saved file is refused with a message, or the file means the same as before; it never ends in a traceback."""

import zlib

import msgspec
import pytest
from factories import make_cost, make_input, make_module, make_profile, make_tensor
from mutating import mutate_json

from archaudit.errors import SavedFileError
from archaudit.judge import judge
from archaudit.pipeline.profile_diff import compare_plain
from archaudit.revisions.cache import Cache, CacheKey
from archaudit.revisions.git import TreeEntry
from archaudit.schema import (
    Call,
    Check,
    Dependencies,
    FlowNode,
    Latency,
    LatencyFile,
    RecordedLatency,
    decode_latencies,
    decode_profile,
    decode_rendered,
    encode,
    encode_baseline,
)

# 1,000 changes of each file; a tenth of them by default.
SLICES = [pytest.param(range(100), id="first"), pytest.param(range(100, 1_000), id="all", marks=pytest.mark.slow)]


def make_net(head=8):
    """Two blocks and a head, each called once, the blocks equal."""
    modules, flow = {"blocks": 0}, [FlowNode(id=0, op="input", module="", shape=(1, 8))]
    for place, (path, outputs) in enumerate((("blocks.0", 8), ("blocks.1", 8), ("head", head))):
        call = Call(order=place, inputs=((1, 8),), outputs=((1, outputs),), inputs_from=("blocks.0",) if place == 1 else ())
        modules[path] = make_module(
            make_cost(8 * outputs, 8 * outputs, activation_bytes=4 * outputs, moved_bytes=100),
            settings={"bias": False, "eps": 1e-05},
            tensors=(make_tensor("weight", (outputs, 8)),),
            calls=(call,),
        )
        flow.append(FlowNode(id=place + 1, op="call", module=path, inputs=(place,), shape=(1, outputs)))
    return make_profile(modules, name="net", inputs=(make_input(1, 8),), flow=tuple(flow))


NET = make_net()
REPORT = compare_plain(NET, make_net(head=16))
TIMES = Latency(device="CPU", method="eager", samples_s=(0.01, 0.011), modules_s={"head": (0.001,)}, launches={"head": 1})
RECORD = LatencyFile(entries=(RecordedLatency(name_before="net", fingerprint_before="ab", before=TIMES),))


def read_costs(profile):
    return profile.totals, sorted((module.path, module.own) for module in profile.modules)


def read(decode, data):
    """What a changed file is read as; None if it is refused with a message."""
    try:
        return decode(data, "changed.json")
    except SavedFileError as error:
        message = error.message
    assert message.startswith("changed.json ")
    assert len(message) < 2_000
    return None


@pytest.mark.parametrize("seeds", SLICES)
def test_a_changed_baseline_is_refused_or_equal(seeds):
    data = encode_baseline(NET)
    found = [read(decode_profile, mutate_json(data, seed)) for seed in seeds]
    assert [each for each in found if each not in (None, NET)] == []
    assert found.count(None) > len(found) * 0.8


@pytest.mark.parametrize("seeds", SLICES)
def test_a_changed_profile_is_refused_or_has_the_same_costs(seeds):
    data = encode(NET)
    found = [read(decode_profile, mutate_json(data, seed)) for seed in seeds]
    assert [each for each in found if each is not None and read_costs(each) != read_costs(NET)] == []
    assert found.count(None) > len(found) * 0.5


@pytest.mark.parametrize("seeds", SLICES)
def test_a_changed_report_is_refused_or_has_the_same_costs(seeds):
    data = encode(REPORT)
    for seed in seeds:
        found = read(decode_rendered, mutate_json(data, seed))
        if found is not None and hasattr(found, "delta"):
            assert (found.delta, read_costs(found.before), read_costs(found.after)) == (
                REPORT.delta,
                read_costs(REPORT.before),
                read_costs(REPORT.after),
            )


@pytest.mark.parametrize("seeds", SLICES)
def test_changed_times_are_refused_or_possible(seeds):
    data = encode(RECORD)
    for seed in seeds:
        found = read(decode_latencies, mutate_json(data, seed))
        for entry in found.entries if found is not None else ():
            assert all(0 <= sample < float("inf") for sample in entry.before.samples_s)


@pytest.mark.parametrize("seeds", SLICES)
def test_a_changed_kept_entry_counts_as_none_or_is_the_kept_profile(tmp_path, seeds):
    cache = Cache(tmp_path)
    key = CacheKey(settings="s", entries={"net.py": TreeEntry(mode="100644", blob="1" * 40)})
    assert cache.keep(key, NET, Dependencies(sources=("net.py",)))
    (entry,), (kept,) = tmp_path.glob("*/*.entry"), tmp_path.glob("*/*.profile")
    texts = {path: zlib.decompress(path.read_bytes()) for path in (entry, kept)}
    for seed in seeds:
        path = (entry, kept)[seed % 2]
        path.write_bytes(zlib.compress(mutate_json(texts[path], seed // 2)))
        found = cache.find(key)
        assert found is None or read_costs(found[0]) == read_costs(NET)
        path.write_bytes(zlib.compress(texts[path]))
    assert cache.find(key) == (NET, ("net.py",))
    entry.write_bytes(entry.read_bytes()[:20])
    assert cache.find(key) is None


def test_what_is_read_can_be_judged():
    """A profile that loads never makes the judge fail, with any change that loading accepts."""
    data = encode(NET)
    metrics = ("params", "macs", "active_params", "peak_activation_bytes")
    checks = [Check(id=metric, origin="budget", model="net", metric=metric, comparison="max", expected="1G") for metric in metrics]
    for seed in range(100):
        found = read(decode_profile, mutate_json(data, seed))
        if found is not None:
            assert len(judge(checks, {"net": found}, {})) == len(checks)


def test_the_changes_are_many_and_different():
    data = encode(NET)
    assert len({mutate_json(data, seed) for seed in range(100)}) > 90
    assert msgspec.json.decode(data)["name"] == "net"
