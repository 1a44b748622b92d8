"""Sweeps: the combinations, the same result from every kind of worker, and the rendered tables."""

import subprocess
import sys
import textwrap
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import msgspec
import pytest
from factories import make_cost

from archaudit.cli import run as run_command
from archaudit.config import load_config
from archaudit.errors import ConfigError, InputError, LoadError, WorkerError
from archaudit.pipeline import Options
from archaudit.render.command_texts import render_study_html, render_study_markdown, render_study_text
from archaudit.schema import Peaks, Sweep, Variant
from archaudit.sweeps import Plan, Task, expand_inputs, expand_settings, measure_variants, run_task
from archaudit.sweeps.running import _mark_pareto, list_tasks
from archaudit.worker import WorkerOptions

NET = """
import os
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=8, kernel=3):
        super().__init__()
        if width == 13:
            os._exit(3)
        self.stem = nn.Conv2d(3, width, kernel)

    def forward(self, x):
        return self.stem(x)
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A file with a model, in the current directory."""
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("texts", "expanded"),
    [
        (["1x3x{2,4}x{2,4}"], [("1x3x2x2",), ("1x3x2x4",), ("1x3x4x2",), ("1x3x4x4",)]),
        (["ids=int64[1,{8, 16}]", "mask=bool[1,8]"], [("ids=int64[1,8]", "mask=bool[1,8]"), ("ids=int64[1,16]", "mask=bool[1,8]")]),
        (["1x3x8x8"], [("1x3x8x8",)]),
        ([], [()]),
    ],
)
def test_braces_are_alternatives(texts, expanded):
    assert expand_inputs(texts) == expanded


@pytest.mark.parametrize(
    ("texts", "expanded"),
    [
        (["width=0.5,1.0"], [{"width": 0.5}, {"width": 1.0}]),
        (["a=1,2", "b=x,y"], [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]),
        (["sizes=[1,2],[3]"], [{"sizes": [1, 2]}, {"sizes": [3]}]),
        (["name='a,b',None"], [{"name": "a,b"}, {"name": None}]),
        ([], [{}]),
    ],
)
def test_settings_are_literals_or_texts(texts, expanded):
    assert expand_settings(texts) == expanded


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expand_inputs(["1x{2"]), "braces do not match"),
        (lambda: expand_settings(["width"]), "is not a setting"),
        (lambda: expand_settings(["a=1", "a=2"]), "gives a twice"),
        (lambda: list_tasks(Plan(references=("a:B",), inputs=("1x{1,2,3}",) * 9), Options()), "more than the limit of"),
        (lambda: list_tasks(Plan(references=("a:B",), metrics=("params", "speed")), Options()), "no metric 'speed'"),
    ],
)
def test_an_invalid_plan_is_an_error(call, message):
    with pytest.raises((InputError, ConfigError), match=message):
        call()


def test_a_saved_profile_cannot_be_varied(tmp_path):
    from factories import make_profile

    from archaudit.schema import encode

    (tmp_path / "saved.json").write_bytes(encode(make_profile({"a": 1})))
    with pytest.raises(LoadError, match="no arguments or inputs to vary"):
        list_tasks(Plan(references=(str(tmp_path / "saved.json"),)), Options())


def test_the_pareto_front_is_what_no_other_variant_dominates():
    costs = [(1, 9), (2, 5), (3, 5), (9, 1), (2, 5)]
    variants = [Variant(reference="r", input="i", totals=make_cost(params, macs)) for params, macs in costs]
    variants.append(Variant(reference="r", input="i", totals=make_cost(0, 0), flops_complete=False))
    variants.append(Variant(reference="r", input="i", error="broken"))
    assert [variant.pareto for variant in _mark_pareto(variants, ("params", "flops"))] == [True, True, False, True, True, False, False]
    # on another input, what is larger than everything on the first one is the best all the same
    both = [*variants[:1], Variant(reference="r", input="j", totals=make_cost(99, 99))]
    assert [variant.pareto for variant in _mark_pareto(both, ("params", "flops"))] == [True, True]
    peaks = [Variant(reference="r", input="i", totals=make_cost(1), peaks=Peaks(activation_bytes=size)) for size in (5, 4)]
    assert [variant.pareto for variant in _mark_pareto(peaks, ("params", "peak_activation_bytes"))] == [False, True]


def test_the_same_table_with_one_worker_and_with_two(net, monkeypatch, capsys):
    """One variant kills its process; the others are not affected, and the exit status says that it is missing."""
    plan = Plan(references=("net.py:Net",), inputs=("1x3x{8,9}x8",), settings=("width=4,13",))
    one = measure_variants(plan, Options(), workers=1)
    assert [(each.choices["width"], each.input, each.error is None) for each in one.variants] == [
        ("4", "1x3x8x8", True), ("4", "1x3x9x8", True), ("13", "1x3x8x8", False), ("13", "1x3x9x8", False)
    ]  # fmt: skip
    assert one.variants[0].totals.params == 4 * 28
    assert "died while measuring net.py:Net" in one.variants[2].error
    arguments = ["sweep", "net.py:Net", "--input", "1x3x{8,9}x8", "--set", "width=4,13", "--workers", "2", "--format", "json"]
    monkeypatch.setattr(sys, "argv", ["archaudit", *arguments, "-o", str(net / "out")])
    with pytest.raises(SystemExit) as ended:
        run_command()
    assert ended.value.code == 2
    assert msgspec.json.decode(capsys.readouterr().out, type=Sweep) == one
    assert {path.suffix for path in (net / "out").iterdir()} == {".md", ".html", ".json"}


def test_an_error_names_the_model_as_the_user_typed_it(net):
    found = measure_variants(Plan(references=("net.py:Net",), settings=("nothing=1",)), Options(), workers=1)
    assert str(net) not in found.variants[0].error
    assert "net.py:Net(nothing=1)" in found.variants[0].error


class Flaky:
    """An executor that loses the first try of every task."""

    def __init__(self, losses=1):
        self.losses = losses
        self.seen = {}

    def submit(self, function, data):
        self.seen[data] = self.seen.get(data, 0) + 1
        future = Future()
        if self.seen[data] <= self.losses:
            future.set_exception(ConnectionError("the worker is gone"))
        else:
            task = msgspec.json.decode(data, type=Task)
            assert function is run_task
            future.set_result(msgspec.json.encode(Variant(reference=task.name, input="", choices=task.choices, totals=make_cost(1))))
        return future


def test_the_task_of_a_lost_worker_is_tried_three_times(net):
    plan = Plan(references=("net.py:Net",), settings=("width=1,2",))
    found = measure_variants(plan, Options(), executor=Flaky())
    assert [variant.choices for variant in found.variants] == [{"width": "1"}, {"width": "2"}]
    with pytest.raises(WorkerError, match="lost its worker 3 times: ConnectionError: the worker is gone"):
        measure_variants(plan, Options(), executor=Flaky(losses=3))


def test_every_format_escapes_control_characters_and_markup():
    hostile = "<b>\x1b[31m|x"
    variants = [
        Variant(reference=hostile, input="1x3", choices={"a": hostile}, totals=make_cost(size, size), pareto=True) for size in (1, 2)
    ]
    found = Sweep(variants=(*variants, Variant(reference="r", input="", error=hostile)))
    text = render_study_text(found, 80)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<b>" not in render_study_html(found)
    assert "<b>" not in render_study_markdown(found)


@pytest.mark.slow
def test_the_same_from_a_pool_of_processes(net):
    plan = Plan(references=("net.py:Net",), inputs=("1x3x{8,9}x8",), settings=("width=4,8",))
    with ProcessPoolExecutor(2) as executor:
        assert measure_variants(plan, Options(), executor=executor) == measure_variants(plan, Options(), workers=2)


CLUSTER = """
import os, signal, sys, threading, time
from pathlib import Path


def main():
    from distributed import Client, LocalCluster
    from archaudit.pipeline import Options
    from archaudit.sweeps import Plan, connect_dask, measure_variants

    plan = Plan(references=("net.py:Net",), inputs=("1x3x{8,9}x8",), settings=("width=4,6,8",))
    here = measure_variants(plan, Options(), workers=1)
    assert not any(variant.error for variant in here.variants)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50) as cluster:
        with connect_dask(cluster.scheduler_address) as executor:
            assert measure_variants(plan, Options(), executor=executor) == here
        # the model sleeps the first time that it is built, and its worker is killed in that time
        Path("net.py").write_text(Path("net.py").read_text().replace("if width == 13:", MARK + "        if width == 13:"))

        def kill():
            while not Path("begun").exists():
                time.sleep(0.05)
            with Client(cluster.scheduler_address, set_as_default=False) as client:
                busy = next(address for address, tasks in client.processing().items() if tasks)
                pids = client.run(os.getpid)
                for address, tasks in client.processing().items():
                    if tasks:
                        os.kill(pids[address], signal.SIGKILL)
                        break

        killer = threading.Thread(target=kill)
        killer.start()
        with connect_dask(cluster.scheduler_address) as executor:
            assert measure_variants(plan, Options(), executor=executor) == here
        killer.join()
    print("the same")


MARK = '''if not os.path.exists("begun"):
            open("begun", "w").close()
            import time
            time.sleep(20)
'''

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_the_same_from_a_dask_cluster_even_when_a_worker_is_killed(net):
    pytest.importorskip("distributed")
    (net / "cluster.py").write_text(CLUSTER)
    done = subprocess.run([sys.executable, "cluster.py"], cwd=net, capture_output=True, text=True, check=False, timeout=500)
    assert done.stdout.endswith("the same\n"), textwrap.shorten(done.stderr[-3000:], 3000)


def test_a_missing_dask_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    from archaudit.sweeps import connect_dask

    with pytest.raises(WorkerError, match="Dask is not installed"), connect_dask("tcp://127.0.0.1:1"):
        pass


def test_a_task_carries_its_limits(net):
    (task,) = list_tasks(Plan(references=("net.py:Net",)), Options(workers=WorkerOptions(timeout_s=7, memory_bytes=8)))
    assert (task.timeout_s, task.memory_bytes, task.reference) == (7, 8, f"{net}/net.py:Net")


TWICE = """
import torch
from torch import nn

torch.library.define("archaudit_sweep::twice", "(Tensor x) -> Tensor")


@torch.library.impl("archaudit_sweep::twice", "Meta")
def twice(x):
    return torch.empty_like(x)


class Net(nn.Module):
    def forward(self, x):
        return torch.ops.archaudit_sweep.twice(x)
"""

TWICE_FORMULA = """
from archaudit import register_formula

register_formula("archaudit_sweep::twice", lambda x, *, out: ((2, *x.shape),))
"""


def test_a_task_carries_the_formulas_of_the_config(net, tmp_path_factory, monkeypatch):
    (net / "twice.py").write_text(TWICE)
    (net / "formulas.py").write_text(TWICE_FORMULA)
    (net / "archaudit.toml").write_text('formulas = ["formulas.py"]\n')
    plan = Plan(references=("twice.py:Net",), inputs=("3x4",))
    (bare,) = list_tasks(plan, Options())
    (task,) = list_tasks(plan, Options(config=load_config(Path("archaudit.toml"))))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    counted, unknown = (msgspec.json.decode(run_task(msgspec.json.encode(each)), type=Variant) for each in (task, bare))
    assert (counted.flops_complete, counted.totals.macs) == (True, 24)
    assert not unknown.flops_complete
