"""nf_tables by netlink: the few messages and expressions that our filters need.

What this is for: packet filters put in place as one atomic transaction, without the nft program and without
a process. It knows no policy (:mod:`fastha.net.filters` does). Attribute numbers: the kernel's exported
linux/netfilter/nf_tables.h; numbers inside attributes are in network byte order.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Sequence

from .nlmsg import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    attr,
    attr_be32,
    attr_str,
    message,
    messages,
    nest,
)
from .nlsock import NETLINK_NETFILTER, NetlinkError

IPV4, IPV6 = socket.AF_INET, socket.AF_INET6
HOOK_INPUT, HOOK_OUTPUT = 1, 3
DROP, ACCEPT = 0, 1

TYPE_IPV4, TYPE_IPV6, TYPE_IFINDEX, TYPE_ICMPV6, TYPE_IFNAME = 7, 8, 20, 29, 41
"""Key types: the kernel keeps them only so that the nft program can print the set."""

META_IIF, META_OIF, META_IIFNAME, META_OIFNAME, META_L4PROTO = 4, 5, 6, 7, 16
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2

_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _NEWSET, _NEWSETELEM = 0, 2, 3, 6, 9, 12
_ELEMENTS_PER_MESSAGE = 400
_LIST_ELEM = 1
_SO_SNDBUFFORCE = 32


def _message(kind: int, family: int, body: bytes, flags: int = 0) -> bytes:
    return message(_SUBSYSTEM << 8 | kind, NLM_F_REQUEST | flags, struct.pack("!BBH", family, 0, 0) + body)


def table_add(family: int, table: str) -> bytes:
    """Make a table, or find it there."""
    return _message(_NEWTABLE, family, attr_str(1, table) + attr_be32(2, 0), NLM_F_CREATE)


def table_delete(family: int, table: str) -> bytes:
    """Remove a table with everything in it; the transaction fails when it does not exist."""
    return _message(_DELTABLE, family, attr_str(1, table))


def chain_add(family: int, table: str, chain: str, hook: int, priority: int) -> bytes:
    """A base chain of type filter that accepts what no rule decides."""
    place = nest(4, attr_be32(1, hook), attr_be32(2, priority & 0xFFFFFFFF))
    body = attr_str(1, table) + attr_str(3, chain) + place + attr_be32(5, ACCEPT) + attr_str(7, "filter")
    return _message(_NEWCHAIN, family, body, NLM_F_CREATE)


def set_add(family: int, table: str, name: str, fields: Sequence[tuple[int, int]], number: int) -> bytes:
    """A set; ``fields`` are type and length in bytes of each part of its key, ``number`` differs within a
    transaction.

    Parts shorter than a multiple of four bytes are padded in keys and registers.
    """
    kind, length = 0, 0
    for field, size in fields:
        kind = kind << 6 | field
        length += size if len(fields) == 1 else (size + 3) & ~3
    body = attr_str(1, table) + attr_str(2, name) + attr_be32(3, 0) + attr_be32(4, kind)
    return _message(_NEWSET, family, body + attr_be32(5, length) + attr_be32(10, number), NLM_F_CREATE)


def elements_add(family: int, table: str, name: str, keys: Iterable[bytes]) -> list[bytes]:
    """Put keys into a set: as many messages as their number needs."""
    every = list(keys)
    found = []
    for start in range(0, len(every), _ELEMENTS_PER_MESSAGE):
        part = every[start : start + _ELEMENTS_PER_MESSAGE]
        elements = [nest(_LIST_ELEM, nest(1, attr(1, key))) for key in part]
        body = attr_str(1, table) + attr_str(2, name) + nest(3, *elements)
        found.append(_message(_NEWSETELEM, family, body, NLM_F_CREATE))
    return found


def rule_append(family: int, table: str, chain: str, *expressions: bytes) -> bytes:
    """Append a rule made of expressions to a chain."""
    body = attr_str(1, table) + attr_str(2, chain) + nest(4, *expressions)
    return _message(_NEWRULE, family, body, NLM_F_CREATE | 0x800)


def _expression(name: str, *parts: bytes) -> bytes:
    return nest(_LIST_ELEM, attr_str(1, name), nest(2, *parts))


def payload(register: int, base: int, offset: int, length: int) -> bytes:
    """Load bytes of the packet into a register (8 is the first of sixteen of four bytes each)."""
    return _expression(
        "payload", attr_be32(1, register), attr_be32(2, base), attr_be32(3, offset), attr_be32(4, length)
    )


def meta(register: int, key: int) -> bytes:
    """Load something about the packet (META_*) into a register."""
    return _expression("meta", attr_be32(1, register), attr_be32(2, key))


def equals(register: int, value: bytes) -> bytes:
    """Go on only when the register holds this value."""
    return _expression("cmp", attr_be32(1, register), attr_be32(2, 0), nest(3, attr(1, value)))


def lookup(register: int, name: str, number: int) -> bytes:
    """Go on only when the set holds the register; ``number`` is that of :func:`set_add`."""
    return _expression("lookup", attr_str(1, name), attr_be32(2, register), attr_be32(4, number))


def counter() -> bytes:
    """Count packets and bytes that come this far."""
    return _expression("counter")


def verdict(code: int) -> bytes:
    """Drop or accept."""
    return _expression("immediate", attr_be32(1, 0), nest(2, nest(2, attr_be32(1, code))))


def _batch_mark(kind: int) -> bytes:
    return message(kind, NLM_F_REQUEST, struct.pack("!BBH", 0, 0, _SUBSYSTEM))


class NftSocket:
    """A netlink socket for nf_tables transactions, in the network namespace of the thread that makes it.

    Raises :exc:`OSError` when the kernel has no netfilter netlink.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        try:
            self._sock.bind((0, 0))
            self._sock.settimeout(5.0)
            try:
                self._sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 8 << 20)
            except OSError:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        except OSError:
            self._sock.close()
            raise
        self._seq = 1

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def transaction(self, parts: Sequence[bytes], asked: str) -> None:
        """Put all messages in force at once, or none of them.

        Raises :exc:`fastha.net.nlsock.NetlinkError` with the first refusal, :exc:`TimeoutError` when the
        kernel says nothing.
        """
        out = bytearray(_batch_mark(_BATCH_BEGIN))
        first = self._seq + 1
        for index, part in enumerate(parts):
            self._seq += 1
            patched = bytearray(part)
            flags = struct.unpack_from("=H", part, 6)[0] | (NLM_F_ACK if index == len(parts) - 1 else 0)
            struct.pack_into("=HI", patched, 6, flags, self._seq)
            out += patched
        out += _batch_mark(_BATCH_END)
        self._sock.send(bytes(out))
        while True:
            for kind, _flags, seq, _port, body in messages(self._sock.recv(1 << 16)):
                # An answer with an earlier number belongs to a transaction that was given up.
                if kind != NLMSG_ERROR or 0 < seq < first:
                    continue
                code = -struct.unpack_from("=i", body)[0]
                if code:
                    raise NetlinkError(code, asked, "nf_tables" if code == errno.EOPNOTSUPP else "")
                if seq == self._seq:
                    return
