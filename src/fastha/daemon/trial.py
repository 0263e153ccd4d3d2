"""`fastha apply`: a configuration on trial, which goes back by itself.

The configuration file that a restart reads stays what it is until the trial is confirmed: whatever ends the
daemon meanwhile, the next start runs the old one. Confirmed, the new file takes its place (the old one is
kept beside it as `.before`). Not confirmed in time, or when something goes wrong that was not foretold (a
role is lost, a fault, two masters, an address or a peer that stops answering), the daemon goes back to what
ran before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fastha.config.model import Config, IPAddress
from fastha.net.links import LinkTable
from fastha.net.nlsock import NetlinkSocket
from fastha.vrrp.running import Identity, Running, identity

from .foretell import Foretold, Level
from .successor import answers_at, machines, on_link

if TYPE_CHECKING:
    from .main import Daemon

_MOST_ASKED = 64
_GRACE_S = 1.0
"""How long something may be away before it counts as gone: what was deleted is put back meanwhile."""


class Before(msgspec.Struct, kw_only=True):
    """An instance as it was when the trial began."""

    name: str
    state: str
    addresses: tuple[IPAddress, ...]
    """Those that it had as master and keeps."""
    spared: bool
    """Nothing was foretold that would excuse a change of its state."""


class Neighbour(NamedTuple):
    """Somebody on a link who answered when the trial began."""

    ifindex: int
    address: IPAddress
    of: Identity
    """The instance that has to do with it."""


def addresses_here() -> frozenset[bytes]:
    """The addresses that the kernel has, packed. (The link table leaves out those of instances.)"""
    sock = NetlinkSocket()
    try:
        table = LinkTable.snapshot(sock)
    finally:
        sock.close()
    return frozenset(a.address for link in table for a in table.addresses(link.ifindex))


class Trial:
    """One configuration on trial."""

    def __init__(self, daemon: Daemon, file: Path, text: str, old: Config, confirm_s: float) -> None:
        self.daemon = daemon
        self.file = file
        self.text = text
        self.old = old
        self.deadline = time.monotonic() + confirm_s
        self.before: dict[Identity, Before] = {}
        self._watched: list[Neighbour] = []
        self._well: set[str] = set()
        self._failing: dict[str, float] = {}
        self._counted: dict[int, dict[str, int]] = {}
        self._refused: dict[int, set[str]] = {}

    async def take_stock(self, told: Foretold) -> None:
        """What is there before the trial, so that it is seen when it is lost."""
        daemon = self.daemon
        excused = {e.name for e in told.effects if e.kind == "vrrp_instance" and e.level >= Level.RISK}
        for key, running in daemon.manager.instances.items():
            name = running.name
            self.before[key] = Before(
                name=name,
                state=running.shown_state,
                addresses=tuple(a.address for a in (*running.conf.addresses, *running.conf.excluded)),
                spared=not any(e == name or e.startswith(f"{name} (now ") for e in excused),
            )
            self._counted[running.slot] = daemon.engine.counters(running.slot)
            refused = daemon.engine.rejects(running.slot)
            self._refused[running.slot] = {why for why, count in refused.items() if count}
        self._well = {text for text, well in self._others().items() if well}
        self._watched = await self._answering(self._neighbours())

    def _others(self) -> dict[str, bool]:
        """BFD sessions and virtual servers: what is to be said when one is no longer well, and whether it
        is."""
        daemon = self.daemon
        found: dict[str, bool] = {}
        if daemon.sessions is not None:
            for session in daemon.sessions.manager.sessions.values():
                found[f"BFD session {session.name} is no longer up"] = session.state == "up"
        if daemon.balance is not None and daemon.balance.manager is not None:
            for virtual in daemon.balance.manager.virtual:
                found[f"virtual server {virtual.name} has lost its quorum"] = virtual.quorum_up
        return found

    def _neighbours(self) -> list[Neighbour]:
        """Whom to ask: the other routers' machines, and the addresses that another router holds."""
        found: dict[Neighbour, None] = {}
        table = self.daemon.machine.table
        for running in self.daemon.manager.instances.values():
            link = running.plan.link if running.plan is not None else None
            if link is None:
                continue
            near = [a for a in machines(running, self.daemon.engine) if on_link(a, link, table)]
            if running.state == "BACKUP":
                near += [a.address for a in running.conf.addresses[:1] if on_link(a.address, link, table)]
            found.update(dict.fromkeys(Neighbour(link.ifindex, a, identity(running.conf)) for a in near))
            if len(found) >= _MOST_ASKED:
                break
        return list(found)

    async def _answering(self, asked: list[Neighbour]) -> list[Neighbour]:
        """Those that answer."""
        answers = await asyncio.gather(*map(self._ask, asked))
        return [one for one, yes in zip(asked, answers, strict=True) if yes]

    async def _ask(self, one: Neighbour) -> bool:
        running = self.daemon.manager.instances.get(one.of)
        if running is None or running.state in ("MASTER", "HANDOVER"):
            held = running is not None and any(a.address == one.address for a in running.conf.addresses)
            if running is None or held:
                return True  # the instance went, or the address is here now: no neighbour's any more
        link = self.daemon.machine.table.by_index(one.ifindex)
        source = running.plan.source if running.plan is not None else None
        return link is not None and await answers_at(one.address, link, source)

    async def wrong(self) -> str:
        """What went wrong since the trial began; empty when nothing did."""
        now = time.monotonic()
        found: list[str] = []
        instances = self.daemon.manager.instances
        loop = asyncio.get_running_loop()
        here = await loop.run_in_executor(None, addresses_here)
        for key, was in self.before.items():
            running = instances.get(key)
            if running is None:
                continue
            found += self._other_masters(running)
            if running.shown_state == "FAULT" and was.state != "FAULT":
                found.append(f"{running.name} is in FAULT: {running.cause}")
            elif was.spared and running.shown_state != was.state and was.state in ("MASTER", "BACKUP"):
                found.append(f"{running.name} was {was.state} and is {running.shown_state}: {running.cause}")
            if running.state == "MASTER" and was.state == "MASTER":
                kept = {a.address for a in (*running.conf.addresses, *running.conf.excluded)}
                found += [
                    f"{address} of {running.name} is gone"
                    for address in was.addresses
                    if address in kept and address.packed not in here
                ]
        found += [text for text, well in self._others().items() if not well and text in self._well]
        if found:
            return self._lasting(found, now)
        if self._watched:
            answering = set(await self._answering(self._watched))
            found = [f"{one.address} no longer answers" for one in self._watched if one not in answering]
        return self._lasting(found, now)

    def _other_masters(self, running: Running) -> list[str]:
        """What the engine counted since that tells of a router that no longer agrees with this one."""
        engine, name = self.daemon.engine, running.name
        counted, before = engine.counters(running.slot), self._counted[running.slot]
        found = []
        if counted["overlaps"] > before["overlaps"]:
            found.append(f"{name}: a second master is heard")
        if counted["foreign_claims"] > before["foreign_claims"]:
            found.append(f"{name}: another machine claims its addresses")
        refused = {why for why, count in engine.rejects(running.slot).items() if count}
        for why in sorted(refused - self._refused[running.slot]):
            found.append(f"{name}: adverts of another router are refused ({why})")
        return found

    def _lasting(self, found: list[str], now: float) -> str:
        """Of what was found, what has been so for a moment."""
        self._failing = {text: self._failing.get(text, now) for text in found}
        return "; ".join(text for text, since in self._failing.items() if now - since >= _GRACE_S)


def install(standing: Path, text: str) -> None:
    """Puts a text where a restart reads its configuration; what was there is kept as `.before`. Raises
    OSError."""
    real = standing.resolve()
    shutil.copy2(real, real.with_name(f"{real.name}.before"))
    beside = real.with_name(f".{real.name}.new")
    try:
        with beside.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(real, beside)
        owner = real.stat()
        with contextlib.suppress(PermissionError):
            os.chown(beside, owner.st_uid, owner.st_gid)
        beside.rename(real)
    finally:
        beside.unlink(missing_ok=True)
