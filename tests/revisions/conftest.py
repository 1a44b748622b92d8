"""Git repositories for tests."""

from collections.abc import Callable

import pytest
from repositories import BLOCKS, SEG, Repo, use_temporary_folders


@pytest.fixture
def make_repo(tmp_path) -> Callable[[str], Repo]:
    """`make_repo("a name")`: an empty repository with the branch main."""

    def make(name: str = "repo") -> Repo:
        repo = Repo(tmp_path / name)
        repo.folder.mkdir()
        repo.git("init", "--quiet", "--initial-branch=main")
        return repo

    return make


@pytest.fixture
def repo(make_repo) -> Repo:
    """A package `models` with a model whose one layer comes from another file of the package."""
    made = make_repo("re po@x")
    made.write(".gitignore", "__pycache__/\n")
    made.write("models/__init__.py", "")
    made.write("models/blocks.py", BLOCKS)
    made.write("models/seg.py", SEG)
    made.commit("first")
    return made


@pytest.fixture(autouse=True)
def _temporary_folders(tmp_path, monkeypatch):
    use_temporary_folders(tmp_path, monkeypatch)
