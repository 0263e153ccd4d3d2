"""Whether somebody is there to take over: what can be known before an instance is handed over, and no more.

A VRRP backup is silent (RFC 9568 6.4.2), so that its being there cannot be heard. What can be known: who is
master if this router is not; what the other router says of itself, when the operator brings its word
(`--peer`); and whether the machines that were ever heard, or are configured as unicast peers, answer at all
(ARP, RFC 826; neighbour solicitation, RFC 4861 7.2.2). A machine that answers may still run no VRRP: that is
"unknown", and the hand-over itself decides, for the engine gives nothing away until a successor is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from fastha._core.engine import Engine
from fastha.net.links import Link, LinkTable
from fastha.vrrp.planner import down_interval_ns
from fastha.vrrp.running import Running
from fastha.vrrp.words import address_text

THERE, UNKNOWN, ABSENT = "there", "unknown", "absent"
WAIT_S = 0.7
"""How long a neighbour may take to answer; it is asked three times."""
_ETH_ARP = 0x0806
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an instance's successor."""

    instance: str
    state: str
    verdict: str
    """"there": known to be there; "absent": known not to be; "unknown"."""
    why: str


async def outlook(
    running: Running,
    engine: Engine,
    table: LinkTable,
    statements: Sequence[Any] = (),
    bfd: Callable[[str, str], str] = lambda _neighbour, _interface: "",
) -> Outlook:
    """What is known of who would take over from an instance.

    `statements`: what other routers say of themselves, each the answer to `fastha show --json` there. `bfd`:
    the state of the BFD session with a neighbour on an interface, empty when there is none.
    """

    def known(verdict: str, why: str) -> Outlook:
        return Outlook(instance=running.name, state=running.shown_state, verdict=verdict, why=why)

    said = [_said(running, statement) for statement in statements]
    for verdict in (THERE, ABSENT):
        for found, why in said:
            if found == verdict and (verdict == THERE or len(said) == sum(f == ABSENT for f, _ in said)):
                return known(verdict, why)
    if running.state not in ("MASTER", "HANDOVER"):
        heard = int(engine.status(running.slot)["heard_ns"])
        age = time.monotonic_ns() - heard
        if heard and age < down_interval_ns(running.conf):
            who = running.master or "another router"
            return known(THERE, f"{who} is master, last heard {age / 1e9:.2f} s ago")
        return known(UNKNOWN, "not master here, and no master is heard")
    return known(*await _neighbours(running, engine, table, bfd))


def _said(running: Running, statement: Any) -> tuple[str, str]:
    """What another router's own word means for an instance."""
    conf = running.conf
    family = "IPv4" if conf.family == socket.AF_INET else "IPv6"
    rows = statement if isinstance(statement, list) else []
    for row in rows:
        if not isinstance(row, Mapping) or (row.get("vrid"), row.get("family")) != (conf.vrid, family):
            continue
        state, priority = row.get("state"), row.get("priority")
        if state in ("BACKUP", "MASTER"):
            return THERE, f"the other router says that it is {state} with priority {priority}"
        why = row.get("faults") or row.get("cause") or "no reason given"
        return ABSENT, f"the other router says that it is in {state}: {why}"
    return ABSENT, f"the other router says that it has no virtual router {conf.vrid} ({family})"


def machines(running: Running, engine: Engine) -> list[_IPAddress]:
    """The addresses of the machines that may run the other routers: the unicast peers, or whom the engine
    heard."""
    if running.conf.settings.unicast:
        return [p.address for p in running.conf.unicast_peers]
    heard = (address_text(bytes(row["address"])) for row in engine.peers(running.slot))
    return [ipaddress.ip_address(text) for text in heard if text]


async def _neighbours(
    running: Running, engine: Engine, table: LinkTable, bfd: Callable[[str, str], str]
) -> tuple[str, str]:
    """What those machines say."""
    conf = running.conf
    link = running.plan.link if running.plan is not None else None
    peers = machines(running, engine)
    if not peers:
        return UNKNOWN, "no other router of this group was heard since this daemon started"
    if link is None:
        return UNKNOWN, "without an interface nobody can be asked"
    near = [peer for peer in peers if on_link(peer, link, table)]
    source = running.plan.source if running.plan is not None else None
    answered = await asyncio.gather(*(answers_at(peer, link, source) for peer in near))
    answers = dict(zip(near, answered, strict=True))
    there = [str(p) for p, yes in answers.items() if yes]
    silent = [str(p) for p, yes in answers.items() if not yes]
    far = [str(p) for p in peers if p not in answers]
    if there:
        verb = "answers" if len(there) == 1 else "answer"
        states = {peer: bfd(peer, link.name) for peer in there}
        sessions = "".join(f" (BFD session {state})" for state in states.values() if state)
        return UNKNOWN, (
            f"{', '.join(there)} {verb} on {link.name}{sessions}; whether VRRP runs there cannot be heard "
            "from a backup"
        )
    if far:
        return UNKNOWN, f"{', '.join(far)} is not on {link.name}, so it cannot be asked directly"
    words = f"{', '.join(silent)} {'does' if len(silent) == 1 else 'do'} not answer on {link.name}"
    if conf.settings.unicast:
        return ABSENT, f"{words}; there is no other unicast_peer"
    return UNKNOWN, f"{words}; no other router was heard since this daemon started"


def on_link(peer: _IPAddress, link: Link, table: LinkTable) -> bool:
    """Whether an address is to be reached without a router."""
    if peer.version == 6 and peer.is_link_local:
        return True
    family = socket.AF_INET if peer.version == 4 else socket.AF_INET6
    for held in table.addresses(link.ifindex, family):
        if peer in ipaddress.ip_network((held.ip, held.prefixlen), strict=False):
            return True
    return False


async def answers_at(
    address: _IPAddress, link: Link, source: _IPAddress | None, wait_s: float = WAIT_S
) -> bool:
    """Whether a machine on the link answers for an address. `source`: whose question it is (IPv4)."""
    try:
        if isinstance(address, ipaddress.IPv4Address):
            return await _arp(address, link, source, wait_s)
        return await _solicit(address, link, wait_s)
    except OSError:
        return False


async def _arp(address: ipaddress.IPv4Address, link: Link, source: _IPAddress | None, wait_s: float) -> bool:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0) as sock:
        sock.bind((link.name, _ETH_ARP))
        sender = source.packed if source is not None and source.version == 4 else bytes(4)
        frame = b"\xff" * 6 + link.mac + struct.pack("!HHHBBH", _ETH_ARP, 1, 0x0800, 6, 4, 1)
        frame += link.mac + sender + bytes(6) + address.packed

        def answered(data: bytes) -> bool:
            # a reply (or any ARP) in which the address speaks of itself, from another machine
            return len(data) >= 42 and data[28:32] == address.packed and data[22:28] != link.mac

        return await _ask(sock, frame, None, answered, wait_s)


async def _solicit(address: ipaddress.IPv6Address, link: Link, wait_s: float) -> bool:
    with socket.socket(
        socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6
    ) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)  # RFC 4861 7.1.1
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.name.encode())
        asked = struct.pack("!BBHI", 135, 0, 0, 0) + address.packed + b"\x01\x01" + link.mac
        # its solicited-node group, RFC 4291 2.7.1
        group = ipaddress.IPv6Address(
            ipaddress.IPv6Address("ff02::1:ff00:0").packed[:13] + address.packed[13:]
        )
        to = (str(group), 0, 0, link.ifindex)

        def answered(data: bytes) -> bool:
            return len(data) >= 24 and data[0] == 136 and data[8:24] == address.packed

        return await _ask(sock, asked, to, answered, wait_s)


async def _ask(
    sock: socket.socket, question: bytes, to: Any, answered: Callable[[bytes], bool], wait_s: float
) -> bool:
    """Asks three times within the wait; true at the first answer."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def readable() -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            for _ in range(64):  # a flood must not hold up the daemon
                data = sock.recv(2048)
                if not done.done() and answered(data):
                    done.set_result(True)

    loop.add_reader(sock.fileno(), readable)
    try:
        for _ in range(3):
            if to is None:
                sock.send(question)
            else:
                sock.sendto(question, to)
            finished, _pending = await asyncio.wait([done], timeout=wait_s / 3)
            if finished:
                return True
        return False
    finally:
        loop.remove_reader(sock.fileno())
