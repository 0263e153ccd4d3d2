"""What an earlier run left behind: found by its tag before the first advert, and adopted or removed.

A daemon that was killed leaves addresses, routes, rules and virtual MAC devices. All carry our protocol
number (18), or a MAC of the virtual routers' range. Found ones that are wanted for good (static ones,
devices) are adopted: nothing is done to them. The others are removed, in reverse order. Where other daemons
share the network namespace, the tag does not tell whose a thing is; then only what this configuration or
the last run's record names is touched. keepalived.conf(5) instance; RFC 9568 section 6.4.1 (a router starts
without the addresses).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from . import rtnl
from .keys import Key, is_ours, key_of, message_key
from .links import Link, LinkTable, decode_address
from .nlmsg import HEADER
from .nlsock import NetlinkError, NetlinkSocket
from .plan import BENIGN_REMOVE, ObjectKind
from .routes import route_dump
from .rules import rule_dump
from .vmac import DeviceSpec, is_virtual

_KINDS = {
    rtnl.RTM_NEWADDR: (ObjectKind.ADDRESS, rtnl.RTM_DELADDR),
    rtnl.RTM_NEWROUTE: (ObjectKind.ROUTE, rtnl.RTM_DELROUTE),
    rtnl.RTM_NEWRULE: (ObjectKind.RULE, rtnl.RTM_DELRULE),
}


class Found(msgspec.Struct, frozen=True):
    """One thing in the kernel that may be ours."""

    kind: ObjectKind
    key: Key
    remove: bytes
    text: str
    tagged: bool
    """It carries our protocol number (older kernels keep none for addresses)."""


class Verdict(msgspec.Struct, frozen=True):
    """What to do: ``adopt`` stays as it is, ``remove`` goes, ``foreign`` is tagged but perhaps another
    daemon's.
    """

    adopt: list[Found]
    remove: list[Found]
    foreign: list[Found]


def find(table: LinkTable, sock: NetlinkSocket) -> list[Found]:
    """Everything in the kernel that could be ours: all addresses, the routes and rules with our tag, the
    macvlans with a virtual MAC and the ipvlans.

    Routes are filtered in the kernel: a full Internet table is not read. Raises :exc:`OSError` when the
    kernel cannot be asked.
    """
    found: list[Found] = []
    requests = [rtnl.address_dump()]
    for family in (socket.AF_INET, socket.AF_INET6):
        requests += [route_dump(family, protocol=rtnl.PROTOCOL), rule_dump(family)]
    for request in requests:
        for kind, body in sock.dump(request):
            if kind not in _KINDS or body[0] not in (socket.AF_INET, socket.AF_INET6):
                continue
            tagged = is_ours(kind, body)
            if not tagged and kind != rtnl.RTM_NEWADDR:
                continue
            what, delete = _KINDS[kind]
            key = key_of(kind, body)
            assert key is not None
            # What the kernel tells of a thing is, sent back as a deletion, exactly that thing.
            remove = HEADER.pack(HEADER.size + len(body), delete, 1, 0, 0) + body
            found.append(
                Found(kind=what, key=key, remove=remove, text=_text(kind, body, table), tagged=tagged)
            )
    for link in table:
        if (link.kind == "macvlan" and is_virtual(link.mac)) or link.kind == "ipvlan":
            found.append(
                Found(
                    kind=ObjectKind.LINK,
                    key=device_key(link),
                    remove=rtnl.link_delete(link.ifindex),
                    text=f"link {link.name}",
                    tagged=link.kind == "macvlan",
                )
            )
    return found


def device_key(link: Link) -> Key:
    """What tells a device from others across restarts."""
    return ("device", link.name, link.kind)


def _text(kind: int, body: bytes, table: LinkTable) -> str:
    if kind == rtnl.RTM_NEWADDR:
        address = decode_address(body)
        link = table.by_index(address.ifindex)
        return f"{address.ip}/{address.prefixlen} dev {link.name if link else address.ifindex}"
    key = key_of(kind, body) or ()
    family = socket.AF_INET6 if body[0] == socket.AF_INET6 else socket.AF_INET
    if kind == rtnl.RTM_NEWROUTE:
        destination, length = key[2], key[3]
        assert isinstance(destination, bytes)
        shown = f"{socket.inet_ntop(family, destination)}/{length}" if length else "default"
        return f"route {shown} table {key[7]}"
    return f"rule {'inet6 ' if family == socket.AF_INET6 else ''}preference {key[2]}"


def sort_out(
    found: Sequence[Found],
    *,
    keep: Collection[Key],
    virtual: Collection[Key],
    devices: Collection[DeviceSpec],
    recorded: Collection[Key] = (),
    alone: bool = True,
) -> Verdict:
    """Say what is to be adopted and what removed.

    ``keep``: keys of static objects, and of what an instance is to hold from its start. ``virtual``: keys
    of the addresses, routes and rules of all instances; those are removed even untagged, for a predecessor
    may have left them. ``devices``: those wanted. ``recorded``: keys from :meth:`Record.read`. ``alone``:
    no other daemon shares the network namespace (:func:`other_daemons`), so that whatever is tagged is ours.
    """
    adopt, remove, foreign = [], [], []
    wanted_devices = {("device", spec.name, spec.kind.value) for spec in devices}
    for thing in found:
        if thing.key in keep or thing.key in wanted_devices:
            adopt.append(thing)
        elif thing.key in virtual or thing.key in recorded or (thing.tagged and alone):
            remove.append(thing)
        elif thing.tagged:
            foreign.append(thing)
    remove.sort(key=lambda thing: -thing.kind)
    return Verdict(adopt=adopt, remove=remove, foreign=foreign)


def apply(verdict: Verdict, sock: NetlinkSocket) -> list[NetlinkError]:
    """Remove what is to be removed; what the kernel refused, other than because it was gone already."""
    outcome = sock.batch([t.remove for t in verdict.remove], [f"remove {t.text}" for t in verdict.remove])
    return [error for error in outcome if error is not None and error.errno not in BENIGN_REMOVE]


class Record:
    """A small file below the run directory that names what this daemon may set, for the run after a kill."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, messages: Iterable[bytes], devices: Iterable[DeviceSpec]) -> None:
        """Note the things of a plan (their ``remove`` messages) and its devices; raises :exc:`OSError`."""
        content = {
            "version": 1,
            "remove": [message.hex() for message in messages],
            "devices": [[spec.name, spec.kind.value] for spec in devices],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(content))
        partial.replace(self._path)

    def read(self) -> set[Key]:
        """The keys of what the last run noted; empty when there is no record or it is not readable."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(self._path.read_text())
            keys = {message_key(bytes.fromhex(message)) for message in content["remove"]}
            return keys | {("device", str(name), str(kind)) for name, kind in content["devices"]}
        return set()

    def remove(self) -> None:
        """After an orderly stop nothing is left."""
        self._path.unlink(missing_ok=True)


def other_daemons() -> list[int]:
    """Process ids of other VRRP daemons (keepalived, fastha) in this network namespace."""
    here = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116
    found = []
    own = _own_group()
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if not entry.isdigit() or int(entry) in own:
            continue
        with contextlib.suppress(OSError, ValueError):
            words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            names = [os.path.basename(word).decode(errors="replace") for word in words[:3]]  # noqa: PTH119
            daemon = names[0] == "keepalived" or "fastha-keepalived" in names
            daemon = daemon or ("fastha" in names and b"run" in words)
            if not daemon:
                continue
            try:
                near = os.stat(f"/proc/{entry}/ns/net").st_ino == here  # noqa: PTH116
            except PermissionError:  # it may do more than we: it may be here
                near = True
            if near:
                found.append(int(entry))
    return sorted(found)


def _own_group() -> set[int]:
    """This process and its ancestors: a wrapper that started us is no other daemon."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return found
