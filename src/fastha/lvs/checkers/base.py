"""What every kind of check is: something that is started, and says once what it found.

A check knows nothing of retries, periods or servers (see `monitor`): it asks one question and ends in a
bounded
time with a result whose reason an operator can read. Network checks speak through `fastha._core.probe`; each
step of theirs may take connect_timeout, and the whole of it at most four times that, so that a server that
answers one octet a second ends too.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from fastha._core import probe
from fastha._core.probe import ProbeError, Probes, Target
from fastha.config.model_lvs import Checker, NetworkChecker

if TYPE_CHECKING:
    from fastha.lvs.checkers.tls import TlsContexts
    from fastha.scripts.runner import Program, Runner

#: The whole of a check may take so many times its connect_timeout.
STEPS = 4

_CANNOT_RUN = frozenset(
    {
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,
        errno.ENODEV,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EPERM,
        errno.EACCES,
        errno.ENOENT,
        errno.EAFNOSUPPORT,
    }
)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a check found.

    `weight` is what it adds to the server's weight, None for nothing. `partial` is one page of several: no
    verdict yet. `cannot_run` is a fault on this side. `warning` is worth telling though the check succeeded.
    """

    ok: bool
    reason: str = ""
    weight: int | None = None
    partial: bool = False
    cannot_run: bool = False
    warning: str = ""


Done = Callable[[Result], None]


class Env:
    """What checks share: sockets, the loop, the runner of scripts, TLS contexts."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        probes: Probes,
        *,
        runner: Runner | None = None,
        program: Callable[[Any], Program | str] | None = None,
    ) -> None:
        """`program` turns a model Command into a Program that security rules allow, or says why not."""
        self.loop = loop
        self.probes = probes
        self.runner = runner
        self.program = program
        self._tls: TlsContexts | None = None

    @property
    def tls(self) -> TlsContexts:
        """TLS contexts, made when first needed: importing ssl costs memory."""
        if self._tls is None:
            from fastha.lvs.checkers.tls import TlsContexts  # noqa: PLC0415

            self._tls = TlsContexts()
        return self._tls


class Check:
    """One check; `start` it, and it calls `done` once, unless cancelled before."""

    #: Whether it is fed from outside instead of started.
    passive = False

    def start(self, up: bool, done: Done) -> None:
        """Begins; `up` is what the checker is taken to be at the moment."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Ends without a result. Does nothing when none is under way."""
        raise NotImplementedError


class BrokenCheck(Check):
    """A check that cannot be made: it fails with the reason, every time."""

    def __init__(self, env: Env, reason: str) -> None:
        self._loop = env.loop
        self._reason = reason
        self._done: Done | None = None

    def start(self, up: bool, done: Done) -> None:
        self._done = done
        self._loop.call_soon(self._tell, done)

    def cancel(self) -> None:
        self._done = None

    def _tell(self, done: Done) -> None:
        if self._done is done:
            self._done = None
            done(Result(ok=False, reason=self._reason, cannot_run=True))


#: Longest reason that is kept.
_MAX_REASON = 240


def plain(text: str) -> str:
    """What a server or a program said, fit for a line of a log, a FIFO or a mail's subject: on one line, of
    bounded length, with `?` for each character that would move a terminal's cursor or end the line."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "?" for char in text[: 2 * _MAX_REASON])
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 4] + " ..."


def describe_error(code: int) -> str:
    """`Connection refused`."""
    return os.strerror(code)


def seconds(ns: int) -> str:
    """`5 s`, `0.25 s`."""
    return f"{ns / 1e9:g} s"


class SocketCheck(Check):
    """A check that talks to a socket. Kinds override what happens; the ends that are always bad are here."""

    stream = True
    connect_only = False

    def __init__(self, conf: NetworkChecker, env: Env) -> None:
        self.conf = conf
        self.env = env
        self.probe = -1
        self.received = 0
        self.began_ns = 0
        self._done: Done | None = None
        self._target: Target | None = None

    # -- for kinds --

    def protocol(self) -> int:
        """The socket's protocol number."""
        return 0

    def hello(self) -> bytes:
        """What is sent as soon as there is a connection."""
        return b""

    def begin(self, up: bool) -> None:
        """Starts the first conversation."""
        self.connect()

    def connected(self) -> None:
        """The connection is there."""

    def heard(self, data: bytes) -> None:
        """Something came."""

    def closed(self) -> None:
        """The other side closed."""
        if self.received:
            self.fail(f"closed the connection after {self.received} octets")
        else:
            self.fail("closed the connection without a word")

    def refused(self, code: int, was_connected: bool) -> None:
        """The socket failed."""
        self.fail(describe_error(code))

    def overdue(self, was_connected: bool) -> None:
        """A step took too long."""
        limit = seconds(self.conf.connect_timeout_ns)
        if not was_connected:
            self.fail(f"no connection within {limit}")
        elif self.received:
            took = time.monotonic_ns() - self.began_ns
            self.fail(f"answered {self.received} octets in {took / 1e9:.1f} s and did not come to an end")
        else:
            self.fail(f"connected, but said nothing within {limit}")

    # -- the machinery --

    def start(self, up: bool, done: Done) -> None:
        self._done = done
        self.began_ns = time.monotonic_ns()
        self.received = 0
        self.begin(up)

    def cancel(self) -> None:
        self._done = None
        self._end_probe()

    def connect(self) -> None:
        """Opens a connection to the configured place."""
        target = self._target
        if target is None:
            target = self._target = self._make_target()
        self._end_probe()
        try:
            self.probe = self.env.probes.open(self, target, self.conf.connect_timeout_ns, self.hello())
        except ProbeError as error:
            self._not_opened(error)

    def _make_target(self) -> Target:
        conf = self.conf
        return Target(
            socket.AF_INET if conf.connect_ip.version == 4 else socket.AF_INET6,
            socket.SOCK_STREAM if self.stream else socket.SOCK_DGRAM,
            self.protocol(),
            conf.connect_ip.packed,
            conf.connect_port,
            connect_only=self.connect_only,
            step=conf.connect_timeout_ns,
            source=conf.bindto.packed if conf.bindto is not None else b"",
            source_port=conf.bind_port,
            interface=conf.bind_if or "",
            mark=conf.fwmark,
        )

    def _not_opened(self, error: ProbeError) -> None:
        code = error.errno or 0
        conf = self.conf
        what = {
            "bind": f"cannot bind to {conf.bindto or 'any'} port {conf.bind_port}: ",
            "bind_if": f"cannot use interface {conf.bind_if}: ",
            "fwmark": "cannot set the fwmark: ",
        }.get(error.step, "")
        cannot = error.step not in ("connect", "send") or code in _CANNOT_RUN
        # From inside start(): the caller is told on a later turn, as with every other end.
        reason = what + describe_error(code)
        self.env.loop.call_soon(self._late_fail, self._done, reason, cannot)

    def _late_fail(self, done: Done | None, reason: str, cannot: bool) -> None:
        if done is not None and done is self._done:
            self.finish(Result(ok=False, reason=reason, cannot_run=cannot))

    def say(self, data: bytes) -> None:
        """Sends, and gives the answer its time."""
        code = self.env.probes.send(self.probe, data)
        if code:
            self.fail(describe_error(code))

    def probed(self, probe_id: int, kind: int, error: int, was_connected: bool, data: bytes) -> None:
        """From the probes: one thing that happened. Whatever goes wrong here, the check comes to its end."""
        if probe_id != self.probe or self._done is None:
            return
        try:
            self._happened(kind, error, was_connected, data)
        except Exception as failure:
            if self._done is None:
                raise
            text = f"the check itself failed: {type(failure).__name__}: {failure}"
            self.finish(Result(ok=False, reason=text, cannot_run=True))

    def _happened(self, kind: int, error: int, was_connected: bool, data: bytes) -> None:
        if kind == probe.DATA:
            self.received += len(data)
            self._more_time()
            if self._done is not None:
                self.heard(data)
        elif kind == probe.CONNECTED:
            if self.connect_only:
                self.probe = -1
            self.connected()
        else:
            self.probe = -1
            if kind == probe.CLOSED:
                self.closed()
            elif kind == probe.FAILED:
                self.refused(error, was_connected)
            else:
                self.overdue(was_connected)

    def _more_time(self) -> None:
        left = self.began_ns + STEPS * self.conf.connect_timeout_ns - time.monotonic_ns()
        if left <= 0:
            self.overdue(True)
        else:
            self.env.probes.deadline(self.probe, min(left, self.conf.connect_timeout_ns))

    def _end_probe(self) -> None:
        if self.probe >= 0:
            self.env.probes.end(self.probe)
            self.probe = -1

    def finish(self, result: Result) -> None:
        """The end: tells the result."""
        done, self._done = self._done, None
        self._end_probe()
        if done is not None:
            reason = plain(result.reason)
            done(result if reason == result.reason else msgspec.structs.replace(result, reason=reason))

    def succeed(self, reason: str = "", **more: Any) -> None:
        """The end, well."""
        self.finish(Result(ok=True, reason=reason, **more))

    def fail(self, reason: str) -> None:
        """The end, badly."""
        self.finish(Result(ok=False, reason=reason))


def without_place(checker: Checker) -> Checker:
    """The checker as a key: where it stands in the file means nothing."""
    return msgspec.structs.replace(checker, span=None)
