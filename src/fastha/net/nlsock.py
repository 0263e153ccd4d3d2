"""Synchronous netlink requests: dump, and acknowledged batches.

What this is for: the few moments when the main thread must ask the kernel something and wait: the dump at
start, the creation of devices, the removal of leftovers. It may not be used between a failure and its
reaction: there the engine plays plans over a socket of its own. Framing: RFC 3549 section 2, netlink(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType

from .nlmsg import (
    HEADER,
    NLM_F_ACK,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_OVERRUN,
    NetlinkTruncatedError,
    attrs,
    messages,
    text,
    u32,
)

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_TIMEOUT_SECONDS = 5.0
_RECEIVE_BYTES = 1 << 18


class NetlinkError(OSError):
    """The kernel refused a message: ``errno``, the kernel's own words (extended acknowledgement) and what
    was asked.
    """

    def __init__(self, code: int, asked: str, hint: str = "") -> None:
        said = os.strerror(code) + (f" ({hint})" if hint else "")
        super().__init__(code, f"{asked}: {said}" if asked else said)
        self.asked = asked
        self.hint = hint


def _error(body: bytes, flags: int) -> tuple[int, str]:
    if len(body) < 4:
        raise NetlinkTruncatedError("netlink error without a code")
    (code,) = struct.unpack_from("=i", body)
    hint = ""
    if flags & _NLM_F_ACK_TLVS:
        offset = 4 + HEADER.size
        with contextlib.suppress(NetlinkTruncatedError):
            if not flags & _NLM_F_CAPPED and code:
                offset = 4 + ((u32(body[4:]) + 3) & ~3)
            hint = text(attrs(body, offset).get(_NLMSGERR_ATTR_MSG, b""))
    return -code, hint


class NetlinkSocket:
    """A blocking netlink socket of one protocol, in the network namespace of the thread that makes it.

    Every wait is bounded (five seconds); raises :exc:`OSError` when the kernel does not know the protocol.
    """

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._sock.bind((0, 0))
            self._sock.settimeout(_TIMEOUT_SECONDS)
            self._sock.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            with contextlib.suppress(OSError):
                self._sock.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        except OSError:
            self._sock.close()
            raise
        self._seq = 1

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def fileno(self) -> int:
        """The descriptor."""
        return self._sock.fileno()

    def _patch(self, message: bytes, flags: int) -> tuple[int, bytes]:
        self._seq += 1
        patched = bytearray(message)
        length, kind, old, _, _ = HEADER.unpack_from(patched)
        HEADER.pack_into(patched, 0, length, kind, old | flags, self._seq, 0)
        return self._seq, bytes(patched)

    def dump(self, request: bytes) -> list[tuple[int, bytes]]:
        """Send a dump request; every answer as ``(type, body)``.

        A dump that the kernel says was interrupted by a change is asked again, up to four times. Raises
        :exc:`NetlinkError` when it is refused, :exc:`TimeoutError` when nothing comes.
        """
        for attempt in range(5):
            seq, patched = self._patch(request, 0)
            self._sock.send(patched)
            found, interrupted = self._collect(seq)
            if not interrupted or attempt == 4:
                return found
        raise AssertionError("unreachable")

    def _collect(self, seq: int) -> tuple[list[tuple[int, bytes]], bool]:
        found: list[tuple[int, bytes]] = []
        interrupted = False
        while True:
            for kind, flags, got, _port, body in messages(self._sock.recv(_RECEIVE_BYTES)):
                if got != seq:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind == NLMSG_DONE:
                    return found, interrupted
                if kind == NLMSG_ERROR:
                    code, hint = _error(body, flags)
                    if code:
                        raise NetlinkError(code, "netlink dump", hint)
                    return found, interrupted
                if kind == NLMSG_OVERRUN:
                    raise NetlinkError(errno.ENOBUFS, "netlink dump")
                found.append((kind, body))

    def ask(self, request: bytes, asked: str = "") -> tuple[int, bytes]:
        """Send a question that has one answer; its type and body.

        Raises :exc:`NetlinkError` when it is refused (ENODEV: no such link), :exc:`TimeoutError`.
        """
        seq, patched = self._patch(request, 0)
        self._sock.send(patched)
        while True:
            for kind, flags, got, _port, body in messages(self._sock.recv(_RECEIVE_BYTES)):
                if got != seq:
                    continue
                if kind == NLMSG_ERROR:
                    code, hint = _error(body, flags)
                    raise NetlinkError(code, asked, hint)
                return kind, body

    def request(self, message: bytes, asked: str = "") -> None:
        """Send one message and wait for its acknowledgement; raises :exc:`NetlinkError` when it is
        refused.
        """
        for error in self.batch([message], [asked]):
            if error is not None:
                raise error

    def batch(self, batch: Sequence[bytes], asked: Sequence[str] = ()) -> list[NetlinkError | None]:
        """Send messages in few datagrams, each to be acknowledged; the outcome of each, in order.

        ``asked`` says what each of them was, for the errors.
        """
        outcome: list[NetlinkError | None] = []
        for start, chunk in _chunks(batch):
            wanted: dict[int, int] = {}
            out = bytearray()
            for index, message in enumerate(chunk, start):
                seq, patched = self._patch(message, NLM_F_ACK)
                wanted[seq] = index
                out += patched
            self._sock.send(bytes(out))
            results: dict[int, NetlinkError | None] = {}
            while wanted:
                for kind, flags, seq, _port, body in messages(self._sock.recv(_RECEIVE_BYTES)):
                    if kind != NLMSG_ERROR or seq not in wanted:
                        continue
                    index = wanted.pop(seq)
                    code, hint = _error(body, flags)
                    what = asked[index] if index < len(asked) else ""
                    results[index] = NetlinkError(code, what, hint) if code else None
            outcome.extend(results[start + i] for i in range(len(chunk)))
        return outcome


def _chunks(batch: Sequence[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    # Acknowledgements come back before send() returns: their number is bounded by the receive buffer
    # (212,992 bytes by default), and each refusal costs about a kilobyte of it in the kernel's accounting.
    start, size = 0, 0
    chunk: list[bytes] = []
    for index, message in enumerate(batch):
        if chunk and (len(chunk) >= 64 or size + len(message) > 32768):
            yield start, chunk
            start, chunk, size = index, [], 0
        chunk.append(message)
        size += len(message)
    if chunk:
        yield start, chunk
