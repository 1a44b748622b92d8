"""However a model finds its width, a cached profile is never that of another width.

Each model has a layer of 8 inputs and as many outputs as `read()` returns, so 9 parameters for each output. What it reads is changed
between two measurements from 4 to 6, without a new commit.
"""

import json
import os

import pytest

from archaudit.pipeline import Options, profile
from archaudit.worker import WorkerOptions, share_pool

NET = """
import os, sys
from torch import nn

PLACE = {place!r}

def read():
{body}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, read())

    def forward(self, x):
        return self.layer(x)

def example_inputs():
    import torch
    return torch.zeros(1, 8)
"""

# Ways to read the file `width`, which contains b"4 ". First those that are recorded, so that the profile is cached.
RECORDED = {
    "open": "return int(open(PLACE + '/width').read())",
    "pathlib": "import pathlib; return int(pathlib.Path(PLACE, 'width').read_bytes())",
    "os_open": "return int(os.read(os.open(PLACE + '/width', os.O_RDONLY), 9))",
    "size": "return os.stat(PLACE + '/by_size').st_size",
    "posix_stat": "import posix; return posix.stat(PLACE + '/by_size').st_size",
    "names": "return len(os.listdir(PLACE + '/names'))",
    "entries": "return sum(entry.stat().st_size for entry in os.scandir(PLACE + '/sizes'))",
    "link": "return int(open(PLACE + '/link').read())",
    "readlink": "return int(os.readlink(PLACE + '/target'))",
    "numpy": "import numpy; return int(numpy.fromfile(PLACE + '/width', dtype='S1')[0])",
    "mmap": "import mmap; f = open(PLACE + '/width', 'r+b'); return int(mmap.mmap(f.fileno(), 0)[:2])",
    "module": "sys.path.append(PLACE + '/modules'); import outside_width; return outside_width.WIDTH",
    "proc": "here = os.getcwd(); os.chdir(PLACE); width = int(open('/proc/self/cwd/width').read()); os.chdir(here); return width",
    "bytecode": "return int(open(PLACE + '/__pycache__/width').read())",
}
# Those that are not, or that give another width each time.
REFUSED = {
    "folder_descriptor": "return int(os.read(os.open('width', os.O_RDONLY, dir_fd=os.open(PLACE, os.O_RDONLY)), 9))",
    "list_descriptor": "return len(os.listdir(os.open(PLACE + '/names', os.O_RDONLY)))",
    "ctypes": "import ctypes; c = ctypes.CDLL(None); b = ctypes.create_string_buffer(9); "
    "c.read(c.open((PLACE + '/width').encode(), 0), b, 8); return int(b.value)",
    "getenv": "import ctypes; ctypes.CDLL(None).getenv(b'HOME'); return 4",
    "sqlite": "import sqlite3; return sqlite3.connect(PLACE + '/base').execute('select n from t').fetchone()[0]",
    "from_file": "import torch; return int(bytes(torch.from_file(PLACE + '/width', size=1, dtype=torch.uint8).tolist()))",
    "storage": "import torch; return int(bytes(torch.UntypedStorage.from_file(PLACE + '/width', False, 1).tolist()))",
    "safe_open": "import safetensors; f = safetensors.safe_open(PLACE + '/w.safetensors', 'pt'); return f.get_slice('w').get_shape()[0]",
    "process": "import subprocess; return int(subprocess.check_output(['cat', PLACE + '/width']))",
    "random": "import random; return random.randint(4, 9)",
    "numpy_random": "import numpy; return int(numpy.random.randint(4, 9))",
    "generator": "import random; return random.Random().randint(4, 10**6)",
    "urandom": "return 4 + int.from_bytes(os.urandom(2), 'big')",
    "time": "import time; return 4 + int(time.time()) // 10**9",
    "clock": "from time import perf_counter; return 4 + int(perf_counter()) // 10**9",
    "date": "import datetime; return datetime.datetime.now().year - 2020",
}
ENVIRONMENT = {
    "environ": "return int(os.environ['NET_WIDTH'])",
    "getenvb": "return int(os.getenvb(b'NET_WIDTH'))",
    "posix": "import posix; return int(posix.environ[b'NET_WIDTH'])",
    "copy": "return int(os.environ.copy()['NET_WIDTH'])",
    "data": "return int(dict(os.environ._data)[b'NET_WIDTH'])",
}
QUICK = {"open", "entries", "link", "proc", "folder_descriptor", "ctypes", "safe_open", "random", "generator", "time", "posix"}


def list_cases(ways):
    return [pytest.param(name, id=name, marks=() if name in QUICK else pytest.mark.slow) for name in ways]


@pytest.fixture(scope="module")
def pool():
    with share_pool(WorkerOptions()) as fork:
        yield fork


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "place"
    for name in ("names", "sizes", "modules", "__pycache__"):
        (folder / name).mkdir(parents=True)
    write_width(folder, 4)
    return folder


def write_width(folder, width):
    """Every file keeps its time; those that hold the width as text keep their size."""
    import sqlite3

    texts = {"width": f"{width} ", "__pycache__/width": f"{width} ", "modules/outside_width.py": f"WIDTH = {width}\n"}
    texts |= {"by_size": "x" * width, "sizes/one": "x" * width, "4": "4", "6": "6"}
    for name, text in texts.items():
        (folder / name).write_text(text)
        os.utime(folder / name, (1, 1))
    for number in range(width):
        (folder / "names" / str(number)).touch()
    for name in ("link", "target"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(str(width))
    (folder / "base").unlink(missing_ok=True)
    with sqlite3.connect(folder / "base") as base:
        base.execute("create table t (n int)")
        base.execute(f"insert into t values ({width})")
    base.close()
    # the layout of safetensors: the length of the header, the header, and the values
    header = json.dumps({"w": {"dtype": "F32", "shape": [width], "data_offsets": [0, 4 * width]}}).encode()
    (folder / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4 * width))


def measure(repo, monkeypatch, pool=None):
    monkeypatch.chdir(repo.folder)
    options = Options(other_counters=False, worker_pool=pool)
    return profile("net.py:Net@HEAD", options).totals.params


def commit_net(make_repo, body, place):
    repo = make_repo()
    repo.commit("one", **{"net.py": NET.format(body=f"    {body}", place=str(place))})
    return repo


def list_cached(tmp_path):
    return list((tmp_path / "cache").glob("*/*.entry"))


@pytest.mark.parametrize("way", list_cases(RECORDED))
def test_a_change_of_what_was_read_is_measured(make_repo, place, pool, monkeypatch, tmp_path, way):
    repo = commit_net(make_repo, RECORDED[way], place)
    assert measure(repo, monkeypatch, pool) == 9 * 4
    assert list_cached(tmp_path)
    assert measure(repo, monkeypatch, pool) == 9 * 4
    write_width(place, 6)
    assert measure(repo, monkeypatch, pool) == 9 * 6


@pytest.mark.parametrize("way", list_cases(REFUSED))
def test_what_cannot_be_known_is_not_cached(make_repo, place, pool, monkeypatch, tmp_path, way):
    if way == "safe_open":
        pytest.importorskip("safetensors")
    repo = commit_net(make_repo, REFUSED[way], place)
    assert measure(repo, monkeypatch, pool) >= 9 * 4
    assert not list_cached(tmp_path)


@pytest.mark.parametrize("way", list_cases(ENVIRONMENT))
def test_a_change_of_a_variable_that_was_read_is_measured(make_repo, place, monkeypatch, tmp_path, way):
    repo = commit_net(make_repo, ENVIRONMENT[way], place)
    monkeypatch.setenv("NET_WIDTH", "4")
    assert measure(repo, monkeypatch) == 9 * 4
    assert list_cached(tmp_path)
    monkeypatch.setenv("NET_WIDTH", "6")
    assert measure(repo, monkeypatch) == 9 * 6


LIBRARIES = {
    "torchvision": "import torchvision; return torchvision.models.resnet18(weights=None).fc.weight.shape[0]",
    "timm": "import timm; return timm.create_model('resnet18').fc.weight.shape[0]",
    "transformers": "from transformers import BertConfig; return BertConfig().hidden_size",
}


@pytest.mark.parametrize("library", ["torchvision", *(pytest.param(name, marks=pytest.mark.slow) for name in ("timm", "transformers"))])
def test_a_model_of_a_library_is_read_from_the_cache(make_repo, monkeypatch, tmp_path, library):
    """With a pool for each measurement, as two commands have: nothing that differs between them is a dependency."""
    repo = commit_net(make_repo, LIBRARIES[library], "")
    first = measure(repo, monkeypatch)
    assert list_cached(tmp_path)
    monkeypatch.setattr("archaudit.pipeline.measuring._measure_all", None)
    assert measure(repo, monkeypatch) == first


def test_a_committed_link_that_is_pointed_elsewhere_is_another_model(make_repo, pool, monkeypatch, tmp_path):
    """The link `impl.py` names small.py, then large.py; both files are in both commits."""
    repo = make_repo()
    source = NET.format(body="    import impl; return impl.WIDTH", place="")
    (repo.folder / "impl.py").symlink_to("small.py")
    repo.commit("one", **{"net.py": source, "small.py": "WIDTH = 4\n", "large.py": "WIDTH = 6\n"})
    assert measure(repo, monkeypatch, pool) == 9 * 4
    (repo.folder / "impl.py").unlink()
    (repo.folder / "impl.py").symlink_to("large.py")
    repo.commit("two")
    assert measure(repo, monkeypatch, pool) == 9 * 6
    assert len(list_cached(tmp_path)) == 2


def test_a_model_that_depends_on_the_order_of_a_set_is_the_same_each_time(make_repo, monkeypatch):
    repo = make_repo()
    repo.commit("one", **{"net.py": NET.format(body="    return 4 + list({'a', 'b', 'c', 'd', 'e', 'f'}).index('a')", place="")})
    monkeypatch.setenv("ARCHAUDIT_CACHE", os.devnull)
    assert len({measure(repo, monkeypatch) for _ in range(3)}) == 1


def test_a_profile_with_other_counters_is_kept_too(make_repo, monkeypatch, tmp_path):
    repo = make_repo()
    repo.commit(
        "one", **{"net.py": "from torch import nn\n\n\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(8, 4)\n"}
    )
    monkeypatch.chdir(repo.folder)
    assert profile("net.py:Net@HEAD", Options(inputs=("1x8",))).other_counters
    assert list_cached(tmp_path)
