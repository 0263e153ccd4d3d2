"""Netlink framing: headers and attributes, packed and unpacked with ``struct``.

What this is for: a few microseconds and no imports for each message. It knows nothing of what the messages
mean (:mod:`fastha.net.rtnl`, :mod:`fastha.net.nft`) and opens no socket (:mod:`fastha.net.nlsock`).
Layout: RFC 3549 section 2 and netlink(7). Header fields are in host byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4

NLM_F_REQUEST = 0x001
NLM_F_MULTI = 0x002
NLM_F_ACK = 0x004
NLM_F_DUMP_INTR = 0x010
NLM_F_ROOT = 0x100
NLM_F_MATCH = 0x200
NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLM_F_ACK_TLVS = 0x200

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_NLA = struct.Struct("=HH")
_U32 = struct.Struct("=I")
_PAD = (b"", b"\0\0\0", b"\0\0", b"\0")


class NetlinkTruncatedError(ValueError):
    """A message or attribute says it is longer than what was received, or shorter than its own header."""


def message(kind: int, flags: int, body: bytes, *, seq: int = 0, port: int = 0) -> bytes:
    """One complete netlink message, padded to four bytes; ``seq`` and ``port`` may be patched later in
    place.
    """
    length = HEADER.size + len(body)
    return HEADER.pack(length, kind, flags, seq, port) + body + _PAD[length & 3]


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute with its padding."""
    length = 4 + len(payload)
    return _NLA.pack(length, kind) + payload + _PAD[length & 3]


def attr_u8(kind: int, value: int) -> bytes:
    """An attribute holding one byte."""
    return _NLA.pack(5, kind) + bytes((value, 0, 0, 0))


def attr_u16(kind: int, value: int) -> bytes:
    """An attribute holding 16 bits in host order."""
    return _NLA.pack(6, kind) + struct.pack("=Hxx", value)


def attr_u32(kind: int, value: int) -> bytes:
    """An attribute holding 32 bits in host order."""
    return _NLA.pack(8, kind) + _U32.pack(value)


def attr_be16(kind: int, value: int) -> bytes:
    """An attribute holding 16 bits in network order."""
    return _NLA.pack(6, kind) + struct.pack("!Hxx", value)


def attr_be32(kind: int, value: int) -> bytes:
    """An attribute holding 32 bits in network order."""
    return _NLA.pack(8, kind) + struct.pack("!I", value)


def attr_be64(kind: int, value: int) -> bytes:
    """An attribute holding 64 bits in network order."""
    return _NLA.pack(12, kind) + struct.pack("!Q", value)


def attr_str(kind: int, text: str) -> bytes:
    """An attribute holding a zero-terminated string."""
    return attr(kind, text.encode() + b"\0")


def nest(kind: int, *parts: bytes, flag: bool = True) -> bytes:
    """An attribute holding attributes; ``flag`` sets NLA_F_NESTED, which older attribute families do
    without.
    """
    return attr(kind | (NLA_F_NESTED if flag else 0), b"".join(parts))


def messages(data: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Split a received datagram into ``(type, flags, seq, port, body)``.

    Raises :exc:`NetlinkTruncatedError` when a header does not fit what was received.
    """
    offset, end = 0, len(data)
    while offset + HEADER.size <= end:
        length, kind, flags, seq, port = HEADER.unpack_from(data, offset)
        if length < HEADER.size or offset + length > end:
            raise NetlinkTruncatedError(f"netlink message of {length} bytes with {end - offset} left")
        yield kind, flags, seq, port, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


def attrs(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes of ``data`` from ``offset`` on, by type; of a repeated type the last one is kept.

    Raises :exc:`NetlinkTruncatedError` when an attribute does not fit.
    """
    found: dict[int, bytes] = {}
    for kind, value in attr_list(data, offset):
        found[kind] = value
    return found


def attr_list(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Like :func:`attrs`, in order and with repeats (multipath lists, set elements)."""
    end = len(data)
    while offset + 4 <= end:
        length, kind = _NLA.unpack_from(data, offset)
        if length < 4 or offset + length > end:
            raise NetlinkTruncatedError(f"netlink attribute of {length} bytes with {end - offset} left")
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def u8(value: bytes) -> int:
    """8 bits; raises :exc:`NetlinkTruncatedError` when there are none."""
    if not value:
        raise NetlinkTruncatedError("8-bit attribute without a byte")
    return value[0]


def u32(value: bytes) -> int:
    """32 bits in host order; raises :exc:`NetlinkTruncatedError` when there are fewer."""
    if len(value) < 4:
        raise NetlinkTruncatedError(f"32-bit attribute of {len(value)} bytes")
    return int(_U32.unpack_from(value)[0])


def text(value: bytes) -> str:
    """A zero-terminated string; bytes that are not UTF-8 are kept as surrogates."""
    return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
