"""What the load balancer knows, kept over a restart: verdicts, the operator's drains and weights, and which
services of the kernel are ours.

One small JSON file, replaced as a whole. A file that is missing, cut short or from another version is no
error:
the checks find everything out again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from fastha.config.model_lvs import AnyChecker, Checker
from fastha.lvs.checkers.base import without_place
from fastha.lvs.checkers.make import weight_matters
from fastha.lvs.monitor import Monitor
from fastha.lvs.service import NEVER, Drain, RealState, Slot, VirtualState
from fastha.lvs.state import Key

#: A verdict of an earlier run is believed for this long, or three periods of its checker if that is longer.
BELIEVED_S = 300.0


class Verdict(msgspec.Struct, frozen=True):
    """What a checker was, and when that was last seen (seconds since the epoch)."""

    up: bool
    delta: int
    reason: str
    wall: float


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator set for a real server. `deadline_wall` is when a drain ends, seconds since the
    epoch; `stamp` and `origin` are those of `shared`."""

    drain: str = "no"
    deadline_wall: float | None = None
    weight: int | None = None
    stamp: int = 0
    origin: str = ""


class Stored(msgspec.Struct, kw_only=True):
    """The file."""

    version: int = 1
    verdicts: dict[str, Verdict] = {}
    #: By virtual server and real server, as named in logs.
    wishes: dict[str, Wish] = {}
    #: Keys of the services that are ours: numbers, and addresses in hexadecimal.
    services: list[list[int | str]] = []


def checker_key(conf: AnyChecker | Checker, weight: int) -> str:
    """A checker's name in the file: it changes when anything about the checker does."""
    raw = msgspec.json.encode((without_place(conf), weight), enc_hook=str, order="deterministic")
    return hashlib.blake2b(raw, digest_size=12).hexdigest()


def pack_key(key: tuple[int | bytes, ...]) -> list[int | str]:
    """A service's key as JSON has it."""
    return [part.hex() if isinstance(part, bytes) else part for part in key]


def unpack_key(key: list[int | str]) -> tuple[int | bytes, ...]:
    """The other way."""
    return tuple(bytes.fromhex(part) if isinstance(part, str) else part for part in key)


class Store:
    """The file at `path`; None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def load(self) -> Stored:
        """What is there, or nothing."""
        if self.path is None:
            return Stored()
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=Stored)
        except (OSError, msgspec.DecodeError):
            return Stored()
        return found if found.version == 1 else Stored()

    def save(self, stored: Stored) -> None:
        """Replaces the file. Raises OSError."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(stored))
            Path(name).replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise


def own_weight(slot: Slot, server: RealState) -> int:
    """The part of a checker's identity that is the weight of its server: only where it matters."""
    return server.conf.weight if weight_matters(slot.checker) else 0


def believe(stored: Stored, virtuals: Iterable[VirtualState]) -> None:
    """At start: takes over verdicts that are not too old, drains and weights."""
    wall = time.time()
    for virtual in virtuals:
        grant(virtual, stored.wishes)
        for server in virtual.servers:
            for slot in server.slots:
                known = stored.verdicts.get(checker_key(slot.checker, own_weight(slot, server)))
                if known is None:
                    continue
                believed = max(BELIEVED_S, 3 * slot.checker.delay_loop_ns / 1e9)
                if 0 <= wall - known.wall <= believed:
                    slot.up, slot.delta = known.up, known.delta
                    slot.reason = f"{known.reason} (before the restart)"
            down = [slot for slot in server.slots if not slot.up]
            server.alive = not down
            if down and down[0].reason:
                server.reason = down[0].reason


def grant(virtual: VirtualState, wishes: dict[str, Wish]) -> None:
    """Gives the servers of a virtual server what an operator wished for them."""
    for server in virtual.servers:
        wish = wishes.get(f"{virtual.name} {server.name}")
        if wish is None:
            continue
        server.set_weight = wish.weight
        if wish.drain != "no":
            server.drain = Drain(wish.drain)
            if wish.deadline_wall is not None:
                left = wish.deadline_wall - time.time()
                server.drain_deadline_ns = time.monotonic_ns() + int(max(0.0, left) * 1e9)


def gather(services: Iterable[Key], monitors: Iterable[Monitor], virtuals: Iterable[VirtualState]) -> Stored:
    """What is to be kept at this moment."""
    wall, now = time.time(), time.monotonic_ns()
    stored = Stored(services=[pack_key(key) for key in services])
    for monitor in monitors:
        if monitor.has_run:
            age = (now - monitor.checked_ns) / 1e9
            stored.verdicts[monitor.store_key] = Verdict(
                monitor.up, monitor.delta, monitor.reason, wall - age
            )
    for virtual in virtuals:
        for server in virtual.servers:
            drain = Drain.NO if server.conf.drain else server.drain
            if drain is Drain.NO and server.set_weight is None:
                continue
            deadline = server.drain_deadline_ns
            stored.wishes[f"{virtual.name} {server.name}"] = Wish(
                drain=drain.value,
                deadline_wall=wall + (deadline - now) / 1e9 if deadline < NEVER else None,
                weight=server.set_weight,
            )
    return stored
