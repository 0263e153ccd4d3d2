"""The hardware address of a neighbour, as the kernel's table has it, and how to make the kernel ask for it.

What this is for: BFD's Echo packets must go to a neighbour's hardware address though their destination is
our own
(RFC 5881 4, RFC 9747 3). rtnetlink(7), RTM_GETNEIGH. It changes nothing in the table.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from fastha.net.nlmsg import NLM_F_REQUEST, attr, attrs, message
from fastha.net.nlsock import NetlinkError, NetlinkSocket

_RTM_GETNEIGH, _NDA_DST, _NDA_LLADDR = 30, 1, 2
_NDMSG = struct.Struct("=BxxxiHBB")
_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # REACHABLE, STALE, DELAY, PROBE, PERMANENT
_DISCARD = 9


def mac_of(sock: NetlinkSocket, ifindex: int, address: bytes) -> bytes:
    """The hardware address of a neighbour on a link; empty when the kernel does not know it."""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    body = _NDMSG.pack(family, ifindex, 0, 0, 0) + attr(_NDA_DST, address)
    try:
        _, answer = sock.ask(message(_RTM_GETNEIGH, NLM_F_REQUEST, body), "neighbour")
    except (NetlinkError, TimeoutError):
        return b""
    state = _NDMSG.unpack_from(answer)[2]
    if not state & _KNOWN:
        return b""
    return bytes(attrs(answer, _NDMSG.size).get(_NDA_LLADDR, b""))


def provoke(interface: str, ifindex: int, address: bytes) -> None:
    """Makes the kernel ask for a neighbour: one datagram to the discard port, with a TTL that ends on the
    link."""
    v4 = len(address) == 4
    text = socket.inet_ntop(socket.AF_INET if v4 else socket.AF_INET6, address)
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET if v4 else socket.AF_INET6, socket.SOCK_DGRAM) as sock,
    ):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        if v4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
            sock.sendto(b"", (text, _DISCARD))
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
            sock.sendto(b"", (text, _DISCARD, 0, ifindex))
