"""Notification FIFOs, with keepalived's lines and keepalived's rules for the file.

keepalived.conf(5), `notify_fifo`, `vrrp_notify_fifo`, `lvs_notify_fifo`. A FIFO is made when it is missing
and then removed at the end. It is opened for reading and writing without waiting, so that it exists with
or without a reader; what does not fit is dropped, counted, and told once. Every line ends with a newline
and nothing else, as keepalived 2.2.7 writes them (later ones put a NUL behind those of servers, which readers
that take lines see at the beginning of the next). BFD sessions have a FIFO of their own (an extension), so
that readers made for keepalived see no line that they do not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import stat
import struct
import termios
from collections.abc import Callable
from pathlib import Path

from fastha.notify.channel import Channel
from fastha.notify.events import Event, InstanceEvent, Kind, ServerEvent, SessionEvent, State
from fastha.notify.spec import FifoSpec
from fastha.scripts.runner import Execution, Outcome, Runner


def line_of(event: Event, *, notify_deleted: bool = False) -> bytes:
    """The line of an event, in keepalived's form."""
    if isinstance(event, InstanceEvent):
        word = event.state.hook_word
        if event.state is State.DELETED and not notify_deleted:
            word = State.FAULT.value
        priority = 0 if event.kind is Kind.GROUP else event.priority
        # names are as they stand in the file, whatever its encoding
        return f'{event.kind.value} "{event.name}" {word} {priority}\n'.encode("utf-8", "surrogateescape")
    if isinstance(event, SessionEvent):
        return f'BFD "{event.name}" {event.state.value} {event.peer}\n'.encode("utf-8", "surrogateescape")
    word = "UP" if event.up else "DOWN"
    subject = event.virtual_server
    if event.real_server is not None:
        subject = f"{event.real_server} {event.virtual_server}"
    return f"{event.kind.value} {subject} {word}\n".encode("utf-8", "surrogateescape")


class FifoChannel(Channel):
    """One FIFO and the program that reads it."""

    kind = "notify_fifo"

    def __init__(
        self,
        spec: FifoSpec,
        runner: Runner,
        log: Callable[[str], None],
        *,
        umask: int = 0o177,
        deleted_word: Callable[[Kind, str], bool] = lambda _kind, _name: False,
        priority_changes: Callable[[Kind, str], bool] = lambda _kind, _name: False,
    ) -> None:
        super().__init__(spec.path, log)
        self.spec = spec
        self._runner = runner
        self._umask = umask
        self._deleted_word = deleted_word
        self._priority_changes = priority_changes
        self._fd = -1
        self._full = False
        self._made = False
        self._script: Execution | None = None
        self._closing = False

    @property
    def fd(self) -> int:
        """The open descriptor, -1 when the FIFO cannot be used."""
        return self._fd

    def open(self) -> bool:
        """Makes and opens the FIFO and starts its program. What is wrong is told."""
        try:
            self._open()
        except OSError as error:
            self._fail(f"{error.strerror}")
            return False
        self._start_script()
        return self._fd >= 0

    def restart_script(self, spec: FifoSpec) -> None:
        """A reload: the program is started anew, as keepalived does."""
        self.spec = spec
        self._end_script()
        self._start_script()

    def send(self, event: Event) -> None:
        """Writes the event's line if this FIFO gets such events."""
        if isinstance(event, InstanceEvent):
            if not self.spec.vrrp:
                return
            if event.state in (State.MASTER_PRIORITY, State.BACKUP_PRIORITY) and not self._priority_changes(
                event.kind, event.name
            ):
                return
            line = line_of(event, notify_deleted=self._deleted_word(event.kind, event.name))
        elif isinstance(event, SessionEvent):
            if not self.spec.bfd:
                return
            line = line_of(event)
        elif isinstance(event, ServerEvent):
            if not self.spec.lvs or event.by_checker:
                return
            line = line_of(event)
        if self._fd < 0:
            self.dropped += 1
            return
        try:
            written = os.write(self._fd, line)
        except BlockingIOError:
            self.dropped += 1
            self._full = True
            self._trouble(
                "it is full and lines are dropped",
                "Nothing reads it, or too slowly: see that the program that reads it runs",
            )
        except OSError as error:
            self.failed += 1
            self._trouble(f"cannot be written: {error.strerror}", "Remove it and reload to have it made anew")
        else:
            if written != len(line):
                self.failed += 1
            elif not self._full or self._has_room():
                # while it is nearly full a short line may fit where a long one does not: that is no cure
                self._full = False
                self._works()
            else:
                self.delivered += 1

    async def close(self, grace: float) -> None:
        """Lets the reader read what is there, for at most `grace` seconds; then ends it and removes the
        FIFO."""
        self._closing = True
        deadline = self._runner.loop.time() + grace
        if self._script is not None:
            while self._unread() and self._script.running and self._runner.loop.time() < deadline:
                await asyncio.sleep(0.01)
        script = self._script
        self.abandon()
        if script is not None and script.running:
            await asyncio.wait([script.gone], timeout=max(0.0, deadline - self._runner.loop.time()))

    def abandon(self) -> None:
        """Ends it at once: closed, its program told to end, the file removed if it was made here."""
        self._closing = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._end_script()
        if self._made:
            with contextlib.suppress(OSError):
                Path(self.spec.path).unlink()
            self._made = False

    # -- the file --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        path = self.spec.path
        uid = os.geteuid() if self.spec.uid is None else self.spec.uid
        gid = os.getegid() if self.spec.gid is None else self.spec.gid
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            pass
        else:
            self._made = True
            if (uid, gid) != (os.geteuid(), os.getegid()):
                os.chown(path, uid, gid, follow_symlinks=False)
            Path(path).chmod(0o644 & ~self._umask)
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        info = os.fstat(fd)
        problem = ""
        if not stat.S_ISFIFO(info.st_mode):
            problem = f"{path} exists and is no FIFO: remove it, or name another"
        elif info.st_uid != uid or (self.spec.gid is not None and info.st_gid != gid):
            problem = (
                f"{path} is owned by {info.st_uid}:{info.st_gid}, not by {uid}:{gid}: remove it, or chown it"
            )
        if problem:
            os.close(fd)
            self._fail(problem)
            return
        self._fd = fd

    def _fail(self, problem: str) -> None:
        self.last_error = problem
        self._log(f"notify_fifo {self.spec.path} cannot be used: {problem}")

    def _has_room(self) -> bool:
        """Whether at least half of the pipe has been read."""
        return 2 * self._unread() <= fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ)

    def _unread(self) -> int:
        """Bytes that nobody has read yet."""
        if self._fd < 0:
            return 0
        with contextlib.suppress(OSError):
            (count,) = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))
            return int(count)
        return 0

    # -- the program -----------------------------------------------------------------------------------------

    def _start_script(self) -> None:
        if self.spec.script is None or self._fd < 0:
            return
        execution = self._runner.start(self.spec.script, extra_args=(self.spec.path,), capture=False)
        execution.on_outcome = self._script_ended
        self._script = execution

    def _end_script(self) -> None:
        script, self._script = self._script, None
        if script is not None:
            script.on_outcome = None
            script.end("fastha is stopping" if self._closing else "reload")

    def _script_ended(self, outcome: Outcome) -> None:
        self._script = None
        self.last_error = f"the program that reads it ended: {outcome.describe()}"
        self._log(
            f"notify_fifo {self.spec.path}: the program that reads it ended ({outcome.describe()}); "
            "it is started again at the next reload"
        )
