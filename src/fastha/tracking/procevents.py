"""The kernel's process connector: told of every fork, exec, rename and exit, without looking for them.

linux/cn_proc.h, linux/connector.h. A filter in the kernel drops events of threads and of everything that
is not wanted, so that a busy machine does not wake the daemon for them. The connector exists in the first
network namespace only, and answers only to the first user and process namespaces: a daemon elsewhere tries
the first network namespace in a thread of its own, and is told by `ConnectorError` or by the missing
acknowledgement that it has to look by itself.
"""

from __future__ import annotations

import array
import contextlib
import enum
import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

from fastha.net.namespace import set_namespace

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_PROC_CN_MCAST_LISTEN = 1
_NLMSG_DONE = 3
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_NLMSG = struct.Struct("=IHHII")
_CN = struct.Struct("=IIIIHH")
_EVENT_AT = _NLMSG.size + _CN.size  # 36: what, cpu, timestamp
_DATA_AT = _EVENT_AT + 16
_FIRST_NETNS = "/proc/1/ns/net"
_RECEIVE = 512


class ConnectorError(OSError):
    """The kernel does not let this process listen."""


class What(enum.IntEnum):
    """Kinds of events."""

    ACK = 0
    FORK = 0x1
    EXEC = 0x2
    COMM = 0x200
    EXIT = 0x80000000


class ProcessEvent(NamedTuple):
    """One event about process `pid`; `parent` is set for a fork, `error` for an acknowledgement."""

    what: What
    pid: int
    parent: int = 0
    error: int = 0


def _filter_program() -> bytes:
    """Classic BPF: acknowledgements, execs, and forks, renames and exits of processes that are not mere
    threads."""
    load, to_x, equal_k, equal_x, give = 0x20, 0x07, 0x15, 0x1D, 0x06

    def process_leads_its_group(at: int) -> list[tuple[int, int, int, int]]:
        """Accepts when the process at `at` is its own thread group, which is the next word."""
        return [
            (load, 0, 0, at),
            (to_x, 0, 0, 0),
            (load, 0, 0, at + 4),
            (equal_x, 0, 1, 0),
            (give, 0, 0, 0xFFFFFFFF),
            (give, 0, 0, 0),
        ]

    drop, accept, fork, other = 6, 7, 8, 14  # where the parts begin
    tests = (
        (What.ACK, accept),
        (What.EXEC, accept),
        (What.FORK, fork),
        (What.EXIT, other),
        (What.COMM, other),
    )
    code = [(load, 0, 0, _EVENT_AT)]
    for what, part in tests:  # the filter loads big-endian, the event is in the machine's order
        code.append((equal_k, part - len(code) - 1, 0, socket.htonl(what)))
    assert len(code) == drop
    code += [(give, 0, 0, 0), (give, 0, 0, 0xFFFFFFFF)]
    code += process_leads_its_group(_DATA_AT + 8)  # the child's two words, after the parent's
    code += process_leads_its_group(_DATA_AT)
    return b"".join(struct.pack("=HBBI", *step) for step in code)


def _listen(rcv_bufs: int, force: bool) -> socket.socket:
    """A socket that has asked for the events. Raises ConnectorError."""
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
    except OSError as error:
        raise ConnectorError(error.errno, f"no process connector: {error.strerror}") from error
    try:
        sock.setblocking(False)
        program = array.array("B", _filter_program())
        address, size = program.buffer_info()
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", size // 8, address))
        if rcv_bufs:
            option = _SO_RCVBUFFORCE if force else socket.SO_RCVBUF
            sock.setsockopt(socket.SOL_SOCKET, option, rcv_bufs)
        sock.bind((0, _CN_IDX_PROC))
        body = struct.pack("=I", _PROC_CN_MCAST_LISTEN)
        message = _CN.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(body), 0) + body
        sock.send(_NLMSG.pack(_NLMSG.size + len(message), _NLMSG_DONE, 0, 0, 0) + message)
    except OSError as error:
        sock.close()
        raise ConnectorError(error.errno, f"the process connector refuses: {error.strerror}") from error
    return sock


def connect(rcv_bufs: int = 0, force: bool = False, first_netns: str = _FIRST_NETNS) -> socket.socket:
    """A non-blocking socket on which events arrive; the first should be an acknowledgement.

    From another network namespace the first one is entered by a thread made for that. Raises
    ConnectorError.
    """
    try:
        return _listen(rcv_bufs, force)
    except ConnectorError as refused:
        if refused.errno not in (errno.ECONNREFUSED, errno.EPROTONOSUPPORT):
            raise
        first_error = refused
    made: list[socket.socket] = []

    def in_first_namespace() -> None:
        with contextlib.suppress(OSError):
            fd = os.open(first_netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                set_namespace(fd)
            finally:
                os.close(fd)
            made.append(_listen(rcv_bufs, force))

    thread = threading.Thread(target=in_first_namespace, name="process-connector")
    thread.start()
    thread.join()
    if not made:
        raise first_error
    return made[0]


def events(sock: socket.socket, limit: int = 256) -> Iterator[ProcessEvent]:
    """What has arrived, at most `limit` events. Raises OSError with ENOBUFS when some were lost."""
    for _ in range(limit):
        try:
            data, sender = sock.recvfrom(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        if sender[0] != 0:  # only the kernel is believed
            continue
        event = parse(data)
        if event is not None:
            yield event


def parse(data: bytes) -> ProcessEvent | None:
    """One message of the connector; None for what is not wanted or not understood."""
    if len(data) < _DATA_AT + 8:
        return None
    idx, val, _seq, _ack, size, _flags = _CN.unpack_from(data, _NLMSG.size)
    if (idx, val) != (_CN_IDX_PROC, _CN_VAL_PROC) or size < _DATA_AT + 8 - _EVENT_AT:
        return None
    (number,) = struct.unpack_from("=I", data, _EVENT_AT)
    try:
        what = What(number)
    except ValueError:
        return None
    first, second = struct.unpack_from("=II", data, _DATA_AT)
    if what is What.ACK:
        return ProcessEvent(what, 0, error=first)
    if what is What.FORK:
        if len(data) < _DATA_AT + 16:
            return None
        child, child_group = struct.unpack_from("=II", data, _DATA_AT + 8)
        return ProcessEvent(what, child, parent=second) if child == child_group else None
    return ProcessEvent(what, first) if first == second else None
