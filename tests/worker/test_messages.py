"""The protocol: every message arrives unchanged, and a closed socket is read as None."""

import socket

import pytest

from archaudit import errors
from archaudit.errors import ArchauditError
from archaudit.schema import InputSpec
from archaudit.worker.messages import Failed, Load, Loaded, Measure, Progress, TimeBlock, Timed, receive_reply, receive_request, send


@pytest.fixture
def channels():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    "request_", [Load("a.py:Net", "a", (InputSpec(shape=(1, 3), name="x"),)), Measure(other_counters=False), TimeBlock(repeats=3)]
)
def test_requests_arrive_unchanged(channels, request_):
    send(channels[0], request_)
    assert receive_request(channels[1]) == request_


@pytest.mark.parametrize("reply", [Loaded("a"), Timed((0.1, 0.2)), Progress("ü" * 3000), Failed("LoadError", "no", "try")])
def test_replies_arrive_unchanged(channels, reply):
    send(channels[0], reply)
    assert receive_reply(channels[1]) == reply


def test_a_closed_socket_is_read_as_none(channels):
    channels[0].close()
    assert receive_reply(channels[1]) is None


@pytest.mark.parametrize("kind", [name for name in vars(errors) if name.endswith("Error")])
def test_an_error_keeps_its_class_message_and_hint(kind):
    error = Failed(kind, "what", "hint").to_error()
    assert isinstance(error, ArchauditError)
    assert type(error).__name__ == kind
    assert (error.message, error.hint) == ("what", "hint")
