"""The supervisor, the process between the parent and its workers: imports torch once and forks a worker for each request.

It relays the output of workers, kills a worker that prints or allocates too much, and reports to the parent how each worker exited. When
the parent closes the control socket or is gone, it kills all its descendants. It does not run the user's code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

from archaudit.worker.pool import REQUEST_BYTES
from archaudit.worker.process_guard import adopt_orphans, die_with_parent, list_descendants, read_resident_bytes, read_session
from archaudit.worker.session import serve_and_exit
from archaudit.worker.status_file import StatusFile

# No model prints that much on purpose, and one that prints in an endless loop reaches it within a second.
OUTPUT_LIMIT_BYTES = 64 * 2**20
_SHOWN_BYTES = 32 * 2**10
# How often the memory of workers is read. A process can allocate a few hundred megabytes in that time.
_POLL_INTERVAL_S = 0.05


@dataclass(slots=True)
class _Child:
    number: int
    side: str
    output: int
    printed: int = 0
    exceeded: str | None = None
    bytes: int = 0


class Supervisor:
    """`options`: `preload`, `status_file` (a descriptor), `worker_memory` (bytes for one worker, or None) and `total_memory` (for all)."""

    def __init__(self, control: socket.socket, options: dict[str, object]) -> None:
        self._control = control
        self._options = options
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> None:
        """Runs until the parent closes the control socket or is gone."""
        adopt_orphans()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(_POLL_INTERVAL_S if self._children else None):
                if key.fileobj is self._control:
                    if not self._take_request():
                        return
                elif key.fd == self._wake_read:
                    with suppress(BlockingIOError):
                        os.read(self._wake_read, 4096)
                else:
                    self._relay(key.fd)
            self._watch_memory()
            self._reap()

    def kill_all(self) -> None:
        """Kills all descendants, orphans included, which this process adopts. Does not wait for them to end."""
        for pid in self._children:  # each leads a process group: this works where descendants cannot be listed, as well
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        killed: set[int] = set()
        while new := set(list_descendants(os.getpid())) - killed:  # a process that forked in between needs another round
            for pid in new:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            killed |= new

    def _take_request(self) -> bool:
        """Forks a worker for the socket that comes with a request. False if the parent has closed the control socket."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST_BYTES, 1)
            while 0 < len(data) < REQUEST_BYTES:
                more = self._control.recv(REQUEST_BYTES - len(data))
                data = data + more if more else b""
        except ConnectionResetError:
            return False
        if not data:
            return False
        request = json.loads(data)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become_worker(socket.socket(fileno=descriptors[0]), request, write)
        os.close(write)
        os.close(descriptors[0])
        os.set_blocking(read, False)
        self._children[pid] = _Child(request["number"], request["side"], read)
        self._selector.register(read, selectors.EVENT_READ)
        return True

    def _become_worker(self, channel: socket.socket, request: dict[str, object], output: int) -> None:
        try:
            os.setsid()
            die_with_parent()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            self._control.close()
            for descriptor in (self._wake_read, self._wake_write, *(child.output for child in self._children.values())):
                os.close(descriptor)
            # the output of the user's code goes to standard error: standard output is for the report
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            number, threads = request["number"], request["threads"]
            assert isinstance(number, int)
            status_file = StatusFile(int(str(self._options["status_file"])))
            serve_and_exit(channel, threads if isinstance(threads, int) else None, lambda text: status_file.write(number, text))
        finally:
            os._exit(1)

    def _relay(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return
        pid, child = next((pid, child) for pid, child in self._children.items() if child.output == descriptor)
        if not data:
            self._selector.unregister(descriptor)
            return
        room = _SHOWN_BYTES - child.printed
        child.printed += len(data)
        if room > 0:
            _print(data[:room])
            if child.printed > _SHOWN_BYTES:
                _print(f"\n(more output of {child.side} is not shown)\n".encode())
        if child.printed > OUTPUT_LIMIT_BYTES and child.exceeded is None:
            self._kill(pid, child, "output", child.printed)

    def _watch_memory(self) -> None:
        """Kills a worker above its memory limit with everything that it started; where the limit is for all workers, the largest."""
        each, together = self._options["worker_memory"], self._options["total_memory"]
        sizes = {pid: sum(map(read_resident_bytes, (pid, *list_descendants(pid)))) for pid in self._children}
        if isinstance(each, int):
            too_large = [pid for pid, size in sizes.items() if size > each]
        elif isinstance(together, int) and sum(sizes.values()) > together:
            too_large = [max(sizes, key=lambda pid: sizes[pid])]
        else:
            return
        for pid in too_large:
            if self._children[pid].exceeded is None:
                self._kill(pid, self._children[pid], "memory", sizes[pid])

    def _kill(self, pid: int, child: _Child, exceeded: str, size: int) -> None:
        child.exceeded, child.bytes = exceeded, size
        self._kill_session(pid)

    @staticmethod
    def _kill_session(pid: int) -> None:
        for victim in (pid, *list_descendants(pid), *(other for other in list_descendants(os.getpid()) if read_session(other) == pid)):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(victim, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.get(pid)
            if child is None:
                continue  # an orphan that a model left
            self._kill_session(pid)
            with suppress(KeyError):
                for _ in range(64):  # output that is still in the pipe
                    before = child.printed
                    self._relay(child.output)
                    if child.printed == before:
                        break
                self._selector.unregister(child.output)
            os.close(child.output)
            del self._children[pid]
            code = os.waitstatus_to_exitcode(status)
            report = {"number": child.number, "code": code, "exceeded": child.exceeded, "bytes": child.bytes}
            with suppress(OSError):  # the parent is gone
                self._control.sendall(json.dumps(report).encode() + b"\n")


def _print(data: bytes) -> None:
    with suppress(OSError):
        os.write(2, data)


def _preload(names: list[str]) -> None:
    """Imports what every worker needs.

    The garbage collector is off, which saves a tenth of the time: all these objects stay. Then they are frozen, so that the collector does
    not write to their memory pages, which workers share with this process.
    """
    gc.disable()
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112 - the model that needs it fails with the same error, and with its reference
            continue
    gc.freeze()
    gc.enable()


def main(arguments: list[str]) -> None:
    """`python -m archaudit.worker '{"control": fd, ...}'`. Exits without cleaning up: unloading torch takes most of a second."""
    options = json.loads(arguments[0])
    supervisor = Supervisor(socket.socket(fileno=options["control"]), options)
    try:
        _preload(options["preload"])
        supervisor.run()
    finally:
        supervisor.kill_all()
        if options["compiled"] is not None:
            shutil.rmtree(options["compiled"], ignore_errors=True)
        sys.stderr.flush()
        os._exit(0)
