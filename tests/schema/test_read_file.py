"""A path that a user names can be a pipe or a device: reading it ends."""

import os
import threading
from pathlib import Path

import pytest

from archaudit.errors import ConfigError, SavedFileError
from archaudit.pipeline import read_profile
from archaudit.schema import read_file, saving


def test_a_file_is_read_as_it_is(tmp_path):
    (tmp_path / "a").write_bytes(b"\x00\xff" * 1_500_000)
    assert read_file(tmp_path / "a") == b"\x00\xff" * 1_500_000


def test_a_pipe_is_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"text" * 100_000,))
    descriptor = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)  # so that the writer does not wait
    writer.start()
    try:
        assert read_file(tmp_path / "pipe") == b"text" * 100_000
    finally:
        os.close(descriptor)
        writer.join()


@pytest.fixture
def _impatient(monkeypatch):
    monkeypatch.setattr(saving, "_LONGEST_WAIT_S", 0.05)


@pytest.mark.usefixtures("_impatient")
def test_a_pipe_that_nobody_writes_to_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="nothing came from it"):
        read_file(tmp_path / "pipe")


@pytest.mark.usefixtures("_impatient")
def test_a_pipe_whose_writer_says_nothing_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(OSError, match="nothing came from it"):
        read_file(tmp_path / "pipe")
    os.close(descriptor)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_device_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr(saving, "_LARGEST_FILE_BYTES", 2**22)
    with pytest.raises(OSError, match="larger than 4 MiB"):
        read_file(Path("/dev/zero"))
    assert read_file(Path(os.devnull)) == b""


@pytest.mark.usefixtures("_impatient")
def test_every_reader_has_a_message_for_a_pipe(tmp_path):
    from archaudit.config import load_config

    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="nothing came from it"):
        load_config(tmp_path / "pipe.toml")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(SavedFileError, match="nothing came from it"):
        read_profile(tmp_path / "pipe.json")
