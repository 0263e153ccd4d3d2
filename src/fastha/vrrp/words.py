"""Engine events in words. Transitions are worded as keepalived words them, so that log alerts go on
matching."""

from __future__ import annotations

import errno
import ipaddress
import os

from fastha._core.engine import CAUSES, REJECTS, STATES, Event
from fastha._core.events import EventKind, fault_words

from .records import Level, Mark, Note

_ODD = {
    1 << 0: "advertises another interval (learned, as version 3 asks; set the same advert_int on both)",
    1 << 1: "advertises another number of addresses (virtual_ipaddress differs; the advert still counts)",
    1 << 2: "advertises other addresses (the virtual_ipaddress lists differ; the advert still counts)",
    1 << 5: "uses the checksum of keepalived before 1.3.7",
    1 << 6: "fails auth_hmac, which the mode tolerates",
    1 << 7: "signs its adverts with auth_hmac, which is not configured here",
}

_REJECT_HINTS = {
    "ttl": "TTL or hop limit is not 255: it was routed, or the sender is not a VRRP router of this link",
    "version": "another VRRP version: set the same version on both routers",
    "checksum": "damaged on the way, or forged",
    "checksum_other_form": "the checksum fits the other form: set v3_checksum_as_v2 the same on both routers",
    "auth_mismatch": "another authentication type: configure the same on both routers",
    "auth_failure": "another password: configure the same auth_pass on both routers",
    "ah_icv": "AH does not verify: configure the same auth_pass on both routers",
    "ah_missing": "it carries no AH, which is configured here",
    "ah_unexpected": "it carries an AH, which is not configured here",
    "ah_replay": "an old AH sequence number: replayed, or the sender restarted",
    "interval_v2": "another advert_int, which version 2 forbids: both routers will be master",
    "addr_list": "other addresses, and fastha_address_list is check",
    "not_multicast": "came by unicast, but this instance uses multicast",
    "not_unicast": "came by multicast, but this instance uses unicast",
    "unknown_peer": "the sender is not in unicast_peer",
    "peer_ttl": "its TTL is outside the peer's min_ttl and max_ttl",
    "hmac_missing": "it is not signed, and auth_hmac is enforced",
    "hmac_invalid": "auth_hmac does not verify: configure the same keys on both routers",
    "hmac_stale": "auth_hmac is outside the time window: are both clocks right?",
    "hmac_unknown_key": "auth_hmac names a key that is not configured here",
}


NOBODY_CAME = "no successor heard"
"""The cause of a hand-over that nobody answered."""


def address_text(raw: bytes) -> str:
    """An event's address; empty when there is none."""
    if not any(raw):
        return ""
    if not any(raw[4:]):
        return str(ipaddress.IPv4Address(raw[:4]))
    return str(ipaddress.IPv6Address(raw))


def cause_text(event: Event) -> str:
    """Why the transition of a STATE event happened."""
    cause = CAUSES[event.arg[2]]
    if cause == "fault":
        return fault_words(event.arg[3])
    if cause == "master silent":
        return "no advert from the master within the master-down interval"
    if cause == "master's path is down":
        return "the BFD session to the master is lost"
    if cause == "master left":
        return "the master said goodbye (priority 0)"
    if cause == "higher master heard":
        return f"a master with higher priority (or address) was heard: {address_text(event.address)}"
    if cause == "successor heard":
        return f"handed over to {address_text(event.address)}"
    return cause


def start_marks(event: Event) -> tuple[Mark, ...]:
    """The first half of a timeline, from a STATE event, in microseconds from the deadline."""
    decided, deadline, woke, heard, sent = event.v[:5]
    zero = deadline or decided
    marks = []
    if heard:
        marks.append(Mark("last advert heard", (heard - zero) / 1000))
    if sent:
        marks.append(Mark("last own advert", (sent - zero) / 1000))
    if deadline:
        marks.append(Mark("deadline", 0.0))
        marks.append(Mark("engine awake", (woke - zero) / 1000))
    marks.append(Mark("decided", (decided - zero) / 1000))
    return tuple(marks)


def end_marks(event: Event, zero: int) -> tuple[Mark, ...]:
    """The second half, from a TIMELINE event, by time: where a takeover is seamless, addresses come first."""
    names = ("advert sent", "addresses set", "first announcement", "all announced")
    marks = (Mark(name, (at - zero) / 1000) for name, at in zip(names, event.v[1:5], strict=True) if at != 0)
    return tuple(sorted(marks, key=lambda mark: mark.at_us))


def note_of(event: Event, instance: str, item_text: str) -> Note | None:
    """The note that an event is worth; None for those that are not told as notes."""
    kind = event.kind
    peer = address_text(event.address)

    def note(name: str, level: Level, text: str, number: int = 0) -> Note:
        return Note(
            kind=name,
            level=level,
            text=f"({instance}) {text}" if instance else text,
            instance=instance or None,
            monotonic_ns=event.at,
            peer=peer,
            number=number,
        )

    if kind == EventKind.PRIORITY:
        return note(
            "priority",
            Level.INFO,
            f"Changing effective priority from {event.arg[0]} to {event.arg[1]}",
            event.arg[1],
        )
    if kind == EventKind.LOWER_PRIO:
        return note(
            "lower_priority",
            Level.WARNING,
            f"Received advert from {peer} with lower priority {event.arg[0]}, forcing new election",
            event.arg[0],
        )
    if kind == EventKind.STALLED:
        late = event.v[0] / 1e6
        text = f"this machine was asleep or busy for {late:.1f} ms; listening before acting"
        return note("stalled", Level.WARNING, text, event.v[0] // 1000)
    if kind == EventKind.OVERLAP_BEGIN:
        return note(
            "overlap_begin", Level.WARNING, f"a second master is heard: {peer} (priority {event.arg[0]})"
        )
    if kind == EventKind.OVERLAP_END:
        seconds = event.v[0] / 1e9
        text = f"two masters for {seconds:.3f} s; every address is announced again"
        return note("overlap_end", Level.WARNING, text, event.v[0] // 1000)
    if kind == EventKind.DUPLICATE:
        text = f"an advert from our own address {peer} was heard: a loop, or a duplicate address"
        return note("duplicate", Level.WARNING, text)
    if kind == EventKind.NEW_MASTER:
        return note("new_master", Level.INFO, f"master is {peer} (priority {event.arg[0]})", event.arg[0])
    if kind == EventKind.PREEMPT_WAIT:
        return note(
            "preempt_wait",
            Level.INFO,
            f"lower master heard; preempting in {(event.v[0] - event.at) / 1e9:.1f} s",
        )
    if kind == EventKind.REPAIRED:
        text = f"somebody removed {item_text}; put back ({event.arg[1]} repairs in this window)"
        return note("repaired", Level.WARNING, text, event.arg[1])
    if kind == EventKind.REPAIR_LIMIT:
        text = (
            f"{item_text} was removed {event.arg[1]} times (fastha_repair_limit); handing over. "
            "Who removes it? A network manager must be told to leave it alone"
        )
        return note("repair_limit", Level.ERROR, text, event.arg[1])
    if kind == EventKind.REJECT:
        name = REJECTS[event.arg[0]]
        hint = _REJECT_HINTS.get(name, "")
        text = f"advert from {peer} refused: {name}" + (f" ({hint})" if hint else "")
        return note(f"reject_{name}", Level.WARNING, text, event.arg[1])
    if kind == EventKind.NOTE:
        odd = [words for bit, words in _ODD.items() if event.arg[0] & bit]
        if not odd:
            return note("note_clear", Level.INFO, f"{peer} now advertises what is configured here")
        return note("note", Level.WARNING, f"{peer} {'; '.join(odd)}", event.arg[0])
    if kind == EventKind.NETLINK_ERROR:
        what = "setting" if event.arg[2] else "removing"
        code = errno.errorcode.get(event.arg[0], str(event.arg[0]))
        text = f"{what} {item_text} was refused by the kernel: {os.strerror(event.arg[0])} ({code})"
        return note("netlink_error", Level.ERROR, text, event.arg[0])
    if kind == EventKind.SEND_ERROR:
        what = "advert" if event.arg[1] == 0 else "announcement" if event.arg[1] == 1 else "plan"
        return note(
            "send_error", Level.WARNING, f"sending an {what}: {os.strerror(event.arg[0])}", event.arg[0]
        )
    if kind == EventKind.FOREIGN_CLAIM:
        mac = (event.arg[0].to_bytes(4, "big") + event.arg[1].to_bytes(2, "big")).hex(":")
        text = (
            f"{mac} claims our address {peer}; announcing it again. A second master, or a duplicate address?"
        )
        return note("foreign_claim", Level.WARNING, text)
    if kind == EventKind.ADVERTS_MISSED:
        missed, needed = event.arg[0], event.arg[1]
        what = "an advert" if missed == 1 else f"{missed} adverts"
        text = (
            f"{what} of the master {peer} did not come: {event.v[0] / 1e9:.2f} s between two, every "
            f"{event.v[1] / 1e9:g} s is one due; in another {max(0, event.v[2]) / 1e9:.2f} s it had been "
            f"declared dead ({needed} missing). Packets are lost on the way, or that machine is overloaded"
        )
        return note("adverts_missed", Level.WARNING, text, missed)
    return None


def engine_note(event: Event) -> Note | None:
    """The note that an event of the engine as a whole is worth; None for an instance's event."""
    kind = event.kind

    def note(name: str, level: Level, text: str, number: int = 0) -> Note:
        return Note(kind=name, level=level, text=text, monotonic_ns=event.at, number=number)

    if kind == EventKind.ENGINE_STALL:
        late, slept = event.v[0], event.v[1]
        text = (
            f"the engine woke {late / 1e6:.1f} ms late" if late else f"the machine slept {slept / 1e9:.1f} s"
        )
        level = Level.WARNING if max(late, slept) > 50_000_000 else Level.INFO
        return note("engine_stall", level, text, max(late, slept) // 1000)
    if kind == EventKind.MAIN_STALLED:
        text = f"the main thread was stalled for {event.v[0] / 1e9:.1f} s; " + (
            "every instance is handed over" if event.arg[0] else "taking part again"
        )
        return note("main_stalled", Level.ERROR, text)
    if kind == EventKind.SHIELD:
        text = (
            f"{event.arg[1]} bad adverts a second: the kernel now drops them, one in 64 is still counted"
            if event.arg[0]
            else "the flood of bad adverts is over"
        )
        return note("shield", Level.WARNING, text)
    if kind == EventKind.RESYNC:
        text = (
            "netlink messages were lost; reading everything again"
            if event.arg[0] == 1
            else "engine events were lost"
        )
        return note("resync", Level.WARNING, text)
    return None


def state_name(number: int) -> str:
    """The state of an event."""
    return STATES[number]
