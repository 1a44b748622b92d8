"""A commit can change a model only if it changes code that building and running the model can reach."""

from __future__ import annotations

import pytest
from repositories import Repo

from archaudit.history import trace_history
from archaudit.history.relevance import Relevance
from archaudit.pipeline import Options

NET = '''
from torch import nn
from tools import scale

WIDTH = 8


def make_layer(width):
    """A layer."""
    return nn.Linear(4, width)


def unrelated(x):
    return x + 1


class Net(nn.Module):
    """A model."""

    def __init__(self):
        super().__init__()
        self.layer = make_layer(WIDTH)

    def forward(self, x):
        return scale(self.layer(x))
'''
TOOLS = "def scale(x):\n    return x * 2\n\n\ndef train(model):\n    return model.train()\n"


def can_matter(before, after, **others):
    relevance = Relevance("net.py:Net")
    common = {name.replace("__", "."): text.encode() for name, text in {"tools__py": TOOLS, **others}.items()}
    return relevance.digest(common | {"net.py": before.encode()}) != relevance.digest(common | {"net.py": after.encode()})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A model.", "The model."),
        ("WIDTH = 8", "WIDTH = 8  # wide enough"),
        ("return x + 1", "return x + 2"),
        ("def unrelated(x)", "def renamed(x)"),
    ],
)
def test_comments_docstrings_and_code_that_nothing_reaches_cannot_matter(old, new):
    assert not can_matter(NET, NET.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"), [("WIDTH = 8", "WIDTH = 9"), ("nn.Linear(4, width)", "nn.Linear(4, 2 * width)"), ("scale(self", "(self")]
)
def test_code_that_the_model_reaches_can_matter(old, new):
    assert can_matter(NET, NET.replace(old, new))


@pytest.mark.parametrize(
    "lookup",
    [
        "globals()[WIDTH]",
        "getattr(nn, str(WIDTH))",
        "eval('unrel' + 'ated')",
        "importlib.import_module('net')",
        "nn.Module.__subclasses__()",
    ],
)
def test_names_that_are_computed_reach_everything(lookup):
    dynamic = NET.replace("make_layer(WIDTH)", lookup)
    assert can_matter(dynamic, dynamic.replace("x + 1", "x + 2"))
    assert not can_matter(
        NET.replace("scale(self.layer(x))", "scale(self.eval())"), NET.replace("scale(self.layer(x))", "scale(self.eval())")
    )


def test_decorated_code_and_names_in_other_files_are_reachable():
    registered = NET.replace("def unrelated", "@register('u')\ndef unrelated")
    assert can_matter(registered, registered.replace("x + 1", "x + 2"))
    assert can_matter(NET, NET.replace("x + 1", "x + 2"), net__yaml="head: unrelated")


def test_a_history_measures_only_commits_that_can_matter_and_folds_equal_ones(tmp_path, monkeypatch):
    repo = Repo(tmp_path / "repo")
    repo.folder.mkdir()
    repo.git("init", "--quiet", "--initial-branch=main")
    texts = [NET, NET.replace("A model.", "It."), NET.replace("x + 1", "x + 2"), NET.replace("WIDTH = 8", "WIDTH = 4 + 4")]
    texts.append(texts[-1].replace("4 + 4", "16"))
    texts.append(texts[-1].replace("return scale(self.layer(x))", "return scale(self.layer(x).relu())"))
    repo.import_commits([{"net.py": text, "tools.py": TOOLS} for text in texts])
    monkeypatch.chdir(repo.folder)
    history = trace_history("net.py:Net", None, Options(other_counters=False, symbolic=False, inputs=("2x4",)))
    subjects = {step.commit: step.subject for step in history.steps}
    assert list(subjects.values()) == ["commit 0", "commit 3", "commit 4", "commit 5"]
    assert [step.subject for step in history.skipped] == ["commit 1", "commit 2"]
    assert [step.same for step in history.steps] == [False, True, False, False]
    assert [step.structure for step in history.steps][:2] == ["", ""]
    assert history.steps[2].structure.startswith("1 with changed settings (out_features)")
    assert "relu" in history.steps[3].structure
    assert history.untouched == 0


PACKAGE = {
    "zoo/__init__.py": "from .vit import ViT\nfrom .mae import MAE\n",
    "zoo/vit.py": "from torch import nn\nfrom zoo.blocks import Block\n\nclass ViT(nn.Module):\n    block = Block\n",
    "zoo/blocks.py": "class Block:\n    pass\n\nclass Wide:\n    pass\n",
    "zoo/mae.py": "import torch\n\nclass Block:\n    depth = 2\n\nclass MAE:\n    block = Block\n",
}


def changes_vit(**edits):
    """Whether an edit of PACKAGE (`file=(old, new)`, or the text of a new file) changes what zoo/vit.py:ViT reaches."""
    relevance = Relevance("zoo/vit.py:ViT")
    after = dict(PACKAGE)
    for name, edit in edits.items():
        path = f"zoo/{name}.py"
        after[path] = edit if isinstance(edit, str) else after[path].replace(*edit)
    digests = []
    for texts in (PACKAGE, after):
        contents = {path: text.encode() for path, text in texts.items()}
        imported = relevance.list_imported("zoo/vit.py", contents, contents.get)
        digests.append(relevance.digest({path: contents[path] for path in imported}, "zoo/vit.py"))
    return digests[0] != digests[1]


@pytest.mark.parametrize(
    "edits",
    [
        {"mae": ("depth = 2", "depth = 3")},  # a class of the same name in a file that vit.py does not import
        {"mae": "import torch\n\ndef make():\n    return torch\n"},
        {"new": "import torch\n\nclass ViT:\n    pass\n", "__init__": ("from .mae", "from .new import ViT as Newer\nfrom .mae")},
        {"blocks": ("class Wide", "class Wider")},
        {"vit": ("from torch import nn", "from torch import nn, fft")},
    ],
)
def test_other_models_of_a_package_cannot_matter(edits):
    assert not changes_vit(**edits)


@pytest.mark.parametrize(
    "edits",
    [
        {"blocks": ("class Block:\n    pass", "class Block:\n    depth = 1")},
        {"vit": ("from zoo.blocks", "from zoo.mae")},  # both files are imported before and after
        {"vit": ("import Block", "import Wide as Block")},
        {"mae": ("depth = 2", "depth = 2\n\nimport zoo.vit\nzoo.vit.Block = Block")},  # runs on import
        {"mae": ("import torch", "import einops")},  # the import may fail
        {"new": "import zoo.blocks\nzoo.blocks.Block.depth = 4\n", "__init__": ("from .mae", "from . import new\nfrom .mae")},
        {"__init__": ("from .mae", "from .missing import gone\nfrom .mae")},
        {"blocks": ("class Wide", "class Block(dict)")},  # the second definition of a name wins
    ],
)
def test_what_an_import_runs_and_where_a_name_is_from_can_matter(edits):
    assert changes_vit(**edits)


def test_a_harness_may_use_any_name():
    before = Relevance("audit.py:make", everything=True).digest({"net.py": NET.encode()})
    assert before != Relevance("audit.py:make", everything=True).digest({"net.py": NET.replace("x + 1", "x + 2").encode()})
