"""What goes over a segment, with the kernel's time of each frame.

What this is for: a thread reads a packet socket in the switch, where every frame arrives once, at the port of
the node that sent it; the frames are kept and decoded when asked. packet(7), SO_TIMESTAMPNS in socket(7).

What it may not do: decode while it captures; a burst of ten thousand frames must fit.

Times are the kernel's wall-clock nanoseconds (CLOCK_REALTIME), comparable with ``time.time_ns()``.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from fastha._core import codec
from fastha.lab.spaces import LabError
from fastha.lab.topology import Lab
from fastha.net.namespace import visiting

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE, _SO_ATTACH_FILTER = 35, 33, 26
_VRRP, _AH, _UDP = 112, 51, 17
_BFD_PORTS = frozenset({3784, 3785, 4784, 7784})


@dataclass(frozen=True)
class Frame:
    """One frame: when it arrived at the switch, the node and interface that sent it, its bytes."""

    at_ns: int
    node: str
    interface: str
    data: bytes = field(repr=False)

    @cached_property
    def _ip(self) -> tuple[int, int, bytes, str, str] | None:
        """(family, protocol, payload, source, destination) of an IP packet."""
        kind, packet = struct.unpack_from("!H", self.data, 12)[0], self.data[14:]
        if kind == 0x0800 and len(packet) >= 20:
            length = (packet[0] & 15) * 4
            total = struct.unpack_from("!H", packet, 2)[0]
            return (
                codec.AF_INET, packet[9], packet[length:total],
                str(ip_address(packet[12:16])), str(ip_address(packet[16:20])),
            )  # fmt: skip
        if kind == 0x86DD and len(packet) >= 40:
            size = struct.unpack_from("!H", packet, 4)[0]
            return (
                codec.AF_INET6, packet[6], packet[40 : 40 + size],
                str(ip_address(packet[8:24])), str(ip_address(packet[24:40])),
            )  # fmt: skip
        return None

    @cached_property
    def advert(self) -> codec.VrrpAdvert | None:
        """The VRRP advert in it, also behind an authentication header; None if there is none."""
        if self._ip is None or self._ip[1] not in {_VRRP, _AH}:
            return None
        family, protocol, payload = self._ip[:3]
        if protocol == _AH:
            if len(payload) < 24 or payload[0] != _VRRP:
                return None
            payload = payload[(payload[1] + 2) * 4 :]
        return codec.vrrp_decode(family, payload)

    @cached_property
    def bfd(self) -> codec.BfdPacket | None:
        """The BFD control packet in it; None if there is none, or one that RFC 5880 6.8.6 discards at
        sight."""
        if self._ip is None or self._ip[1] != _UDP or len(self._ip[2]) < 8:
            return None
        if int.from_bytes(self._ip[2][2:4], "big") not in _BFD_PORTS:
            return None
        return codec.bfd_decode(self._ip[2][8:])[1]

    @cached_property
    def neighbour(self) -> codec.NeighSeen:
        """What it says as ARP or Neighbor Discovery; its kind is "none" if it is neither."""
        return codec.neigh_parse(self.data)

    @property
    def announces(self) -> str | None:
        """The address that this gratuitous ARP or unsolicited NA announces."""
        seen = self.neighbour
        if seen.kind == "arp_announce" or (seen.kind == "na" and not seen.solicited):
            return str(seen.claim if seen.claim is not None else seen.target)
        return None

    @property
    def eth_src(self) -> str:
        """The sending MAC address."""
        return self.data[6:12].hex(":")

    @property
    def eth_dst(self) -> str:
        """The MAC address it is sent to."""
        return self.data[:6].hex(":")

    @property
    def src(self) -> str | None:
        """The IP source."""
        return self._ip[3] if self._ip else None

    @property
    def dst(self) -> str | None:
        """The IP destination."""
        return self._ip[4] if self._ip else None

    @property
    def ttl(self) -> int | None:
        """TTL or hop limit."""
        if self._ip is None:
            return None
        return self.data[14 + (8 if self._ip[0] == codec.AF_INET else 7)]


def control_filter(ports: list[int] | None = None) -> list[tuple[int, int, int, int]]:
    """A classic BPF program: ARP, VRRP, AH, IGMP, MLD, ICMPv6 but echo; only from these interfaces if given.

    Without it a capture beside a client at a thousand probes a second would keep all of them.
    """
    code: list[tuple[int, int, int, int]] = []
    if ports:
        code.append((0x20, 0, 0, 0xFFFFF000 + 8))  # ld ifindex
        code += [(0x15, len(ports) - n, 0, port) for n, port in enumerate(ports)]
        code.append((0x06, 0, 0, 0))
    return [
        *code,
        (0x28, 0, 0, 12),  # ldh [12]
        (0x15, 11, 0, 0x0806),  # ARP: take
        (0x15, 0, 4, 0x0800),
        (0x30, 0, 0, 23),  # ldb IPv4 protocol
        (0x15, 8, 0, _VRRP),
        (0x15, 7, 0, _AH),
        (0x15, 6, 7, 2),  # IGMP
        (0x15, 0, 6, 0x86DD),
        (0x30, 0, 0, 20),  # ldb IPv6 next header
        (0x15, 3, 0, _VRRP),
        (0x15, 2, 0, _AH),
        (0x15, 1, 0, 0),  # hop-by-hop options: MLD
        (0x15, 3, 2, 58),  # ICMPv6: look further
        (0x06, 0, 0, 0x40000),  # take
        (0x06, 0, 0, 0),
        (0x06, 0, 0, 0),
        (0x30, 0, 0, 54),  # ldb ICMPv6 type
        (0x35, 0, 1, 130),  # echo is 128 and 129
        (0x06, 0, 0, 0x40000),
        (0x06, 0, 0, 0),
    ]


class Capture:
    """Frames of a segment from now until :meth:`stop`. A context manager.

    ``only``: the nodes whose frames are wanted (default all). ``everything``: also the clients' traffic.
    ``taker``, when it is set, gets every frame in place of the list (the capture's thread calls it): when it
    came, the switch's port, and the bytes. What is captured for minutes is counted, not kept.
    """

    taker: Callable[[int, str, bytes], None] | None = None

    def __init__(
        self, lab: Lab, segment: str, *, only: list[str] | None = None, everything: bool = False
    ) -> None:
        self.lab = lab
        self._raw: list[tuple[int, str, bytes]] = []
        self._taken = 0
        self._decoded: list[Frame] = []
        self._segment = segment
        self.dropped = 0
        with visiting(lab.switch):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            numbers = {name: number for number, name in socket.if_nameindex()}
        if not everything:
            wanted = [numbers[port] for port, (node, _) in self._owners().items() if only and node in only]
            self._attach(control_filter(wanted))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        with contextlib.suppress(OSError):  # since Linux 4.20; older ones show what leaves as well
            self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setblocking(False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"capture {segment}", daemon=True)
        self._thread.start()
        lab.on_close(self.stop)

    def _attach(self, program: list[tuple[int, int, int, int]]) -> None:
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
        head = struct.pack("HL", len(program), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)

    def _owners(self) -> dict[str, tuple[str, str]]:
        """Which port of the switch is whose: (node, interface), read anew as nodes may come later."""
        return {
            port.switch_port: (node.name, port.interface)
            for node in self.lab.nodes.values()
            for port in node.ports.values()
            if port.segment == self._segment
        }

    def port(self, node: str) -> str:
        """The switch's port to a node, as `taker` gets it."""
        return next(port for port, (owner, _) in self._owners().items() if owner == node)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not self._stopping.is_set():
            if not poll.poll(50):
                continue
            with contextlib.suppress(BlockingIOError):
                while True:
                    data, extra, _, sender = self._socket.recvmsg(65536, 64)
                    seconds, rest = struct.unpack("qq", extra[0][2])
                    if sender[2] == socket.PACKET_OUTGOING:
                        continue
                    at_ns = seconds * 1_000_000_000 + rest
                    if self.taker is not None:
                        self.taker(at_ns, sender[0], data)
                    else:
                        self._raw.append((at_ns, sender[0], data))

    def stop(self) -> None:
        """Take what the kernel still has, and stop. Frames stay readable."""
        if self._stopping.is_set():
            return
        time.sleep(0.06)
        self._stopping.set()
        self._thread.join()
        _, self.dropped = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def frames(self) -> list[Frame]:
        """All frames so far, oldest first."""
        owners = self._owners()
        while self._taken < len(self._raw):
            at_ns, device, data = self._raw[self._taken]
            self._taken += 1
            if device in owners:  # the others are the bridge itself, which hears each frame once more
                self._decoded.append(Frame(at_ns, *owners[device], data))
        return self._decoded

    def adverts(
        self,
        node: str | None = None,
        *,
        vrid: int | None = None,
        family: int | None = None,
        since: int = 0,
        until: int | None = None,
    ) -> list[Frame]:
        """The VRRP adverts, of one node and virtual router if given, in a span of time."""
        found = []
        for one in self.frames:
            if one.at_ns < since or (until is not None and one.at_ns > until):
                continue
            if (node is not None and one.node != node) or one.advert is None:
                continue
            if vrid is not None and one.advert.vrid != vrid:
                continue
            if family is None or (one._ip and one._ip[0] == family):
                found.append(one)
        return found

    def bfd(
        self, node: str | None = None, *, dst: str | None = None, since: int = 0, until: int | None = None
    ) -> list[Frame]:
        """The BFD control packets, of one node and to one address if given, in a span of time."""
        return [
            one
            for one in self.frames
            if one.at_ns >= since
            and (until is None or one.at_ns <= until)
            and (node is None or one.node == node)
            and (dst is None or one.dst == dst)
            and one.bfd is not None
        ]

    def announcements(
        self, node: str | None = None, *, address: str | None = None, since: int = 0
    ) -> list[Frame]:
        """The gratuitous ARPs and unsolicited NAs, of one node and address if given."""
        wanted = str(ip_address(address)) if address else None
        return [
            one
            for one in self.frames
            if one.at_ns >= since
            and (node is None or one.node == node)
            and one.announces is not None
            and (wanted is None or one.announces == wanted)
        ]

    def wait(self, what: str, found: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until something is in the capture. Raises :exc:`LabError`."""
        deadline = time.monotonic() + timeout
        while not found():
            if time.monotonic() > deadline:
                raise LabError(f"after {timeout:g} s not seen on {self._segment}: {what}")
            time.sleep(0.02)

    def save(self, path: Path, frames: list[Frame] | None = None) -> Path:
        """Write a pcap file with nanosecond stamps, for tshark and people."""
        with path.open("wb") as out:
            out.write(struct.pack("IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65536, 1))
            for one in self.frames if frames is None else frames:
                seconds, rest = divmod(one.at_ns, 1_000_000_000)
                out.write(struct.pack("IIII", seconds, rest, len(one.data), len(one.data)) + one.data)
        return path


def gaps_ms(frames: list[Frame]) -> Iterator[float]:
    """The times between one frame and the next, in milliseconds."""
    for one, following in itertools.pairwise(frames):
        yield (following.at_ns - one.at_ns) / 1e6
