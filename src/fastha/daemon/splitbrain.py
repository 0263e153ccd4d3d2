"""Two masters at once: noticed, told once with what to do, counted, and told again when it is over.

A second master is heard (the engine's overlap), or inferred while this router is master: adverts for its
virtual router are refused here (another password, version, address list...), so that their sender does not
know this master either and goes on; or another machine claims a virtual address. RFC 9568 6.4.3 lets two
masters that understand each other settle it within an interval; those that do not never do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec

from fastha.vrrp.records import Level, Note, Transition

#: Refusals that an advert of another configuration earns, and none that a stray or forged packet does.
_DEAF = (
    "auth_", "ah_", "hmac_", "version", "interval_v2", "addr_list", "not_multicast", "not_unicast",
    "unknown_peer", "checksum_other_form",
)  # fmt: skip
_HOLD_S = {"heard": 0.0, "refused": 25.0, "claim": 15.0}
"""How long each kind of evidence counts after it was last seen; an overlap tells its end itself. Refusals
are told every ten seconds at most."""


_GRACE_NS = 500_000_000
_CLAIMS_NS = 30 * 10**9
"""Claims further apart than this are not the same dispute."""


class Doubt(msgspec.Struct, kw_only=True):
    """A split brain of one instance that goes on."""

    how: str
    peer: str
    since_ns: int
    why: str
    until_ns: int = 0
    """0: until it is told to be over."""


class SplitBrains:
    """Watches all instances. Give it every transition and note; it tells by `tell`."""

    def __init__(self, tell: Callable[[Note], None]) -> None:
        self._tell = tell
        self._masters: set[str] = set()
        self._doubts: dict[str, Doubt] = {}
        self._counts: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._claims: dict[str, int] = {}
        self._overlaps: dict[str, int] = {}
        """When another master was first heard; one advert more on the way is no split brain yet."""

    def doubt(self, instance: str) -> Doubt | None:
        """What speaks for a second master now; None for nothing."""
        return self._doubts.get(instance)

    def count(self, instance: str) -> int:
        """Split brains since the start."""
        return self._counts.get(instance, 0)

    def seconds(self, instance: str) -> float:
        """How long they lasted, with the one that goes on."""
        doubt = self._doubts.get(instance)
        lasting = (time.monotonic_ns() - doubt.since_ns) / 1e9 if doubt is not None else 0.0
        return self._seconds.get(instance, 0.0) + lasting

    def forget(self, names: Iterable[str]) -> None:
        """Instances that no longer exist."""
        for name in names:
            self._masters.discard(name)
            self._end(name, told=False)
            self._counts.pop(name, None)
            self._seconds.pop(name, None)

    def transition(self, t: Transition) -> None:
        """An instance that is no longer master has no part in a split brain."""
        if t.new in ("MASTER", "HANDOVER"):
            self._masters.add(t.instance)
            return
        self._masters.discard(t.instance)
        self._overlaps.pop(t.instance, None)
        self._end(t.instance)

    def note(self, note: Note) -> None:
        """Evidence, or the end of it."""
        name = note.instance
        if name is None:
            return
        if note.kind == "overlap_end":
            self._overlaps.pop(name, None)
            doubt = self._doubts.get(name)
            if doubt is not None and doubt.how == "heard":
                self._end(name)
        elif name not in self._masters:
            return
        elif note.kind == "overlap_begin":
            self._overlaps[name] = note.monotonic_ns
        elif note.kind == "lower_priority":
            began = self._overlaps.get(name)
            if began is not None and note.monotonic_ns - began > _GRACE_NS:
                self._seen(name, "heard", note, f"priority {note.number}, it does not give way")
        elif note.kind == "foreign_claim":
            first = self._claims.get(name)
            if first is None or note.monotonic_ns - first > _CLAIMS_NS:
                self._claims[name] = note.monotonic_ns
            elif note.monotonic_ns - first > _GRACE_NS:
                self._seen(name, "claim", note, "another machine claims a virtual address again and again")
        elif note.kind.startswith("reject_") and note.kind.removeprefix("reject_").startswith(_DEAF):
            reason = note.text.partition(" refused: ")[2] or note.kind
            self._seen(name, "refused", note, f"its adverts are refused here: {reason}")

    def _seen(self, name: str, how: str, note: Note, why: str) -> None:
        now = time.monotonic_ns()
        until = now + int(_HOLD_S[how] * 1e9) if _HOLD_S[how] else 0
        doubt = self._doubts.get(name)
        if doubt is None:
            self._doubts[name] = Doubt(how=how, peer=note.peer, since_ns=now, why=why, until_ns=until)
            self._counts[name] = self._counts.get(name, 0) + 1
            who = f"{note.peer} is master too" if how != "claim" else "a second master, or a stray address"
            advice = {
                "heard": "it does not hear us: packets are lost one way between the two",
                "refused": "neither yields before both have the same settings: compare the two files "
                "with `fastha check A B`",
                "claim": "its MAC is in the message before this one; find its port on the switch",
            }[how]
            self._say(name, Level.ERROR, f"split brain: {who} ({why}). {advice}", note.peer)
        elif doubt.until_ns:
            doubt.until_ns = until or doubt.until_ns
        if until:
            self._arm(name)

    def _arm(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        left = (self._doubts[name].until_ns - time.monotonic_ns()) / 1e9
        if self._doubts[name].until_ns:
            self._timers[name] = asyncio.get_running_loop().call_later(max(0.01, left), self._end, name)

    def _end(self, name: str, *, told: bool = True) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        doubt = self._doubts.pop(name, None)
        if doubt is None:
            return
        seconds = (time.monotonic_ns() - doubt.since_ns) / 1e9
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        if told:
            self._say(
                name, Level.NOTICE, f"no sign of a second master any more, after {seconds:.1f} s", doubt.peer
            )

    def _say(self, name: str, level: Level, text: str, peer: str) -> None:
        self._tell(
            Note(
                kind="split_brain",
                level=level,
                text=f"({name}) {text}",
                instance=name,
                monotonic_ns=time.monotonic_ns(),
                peer=peer,
            )
        )
