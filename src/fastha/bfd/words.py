"""BFD events in words. States and diagnostics are worded in the log as keepalived words them."""

from __future__ import annotations

import ipaddress
import os

from fastha._core.engine import BFD_CAUSES, BFD_REJECTS, BFD_STATES, Event
from fastha._core.events import EventKind

from .records import Level, SessionMark, SessionNote

DIAGNOSTICS = (
    "No Diagnostic",
    "Control Detection Time Expired",
    "Echo Function Failed",
    "Neighbor Signaled Session Down",
    "Forwarding Plane Reset",
    "Path Down",
    "Concatenated Path Down",
    "Administratively Down",
    "Reverse Concatenated Path Down",
)
"""RFC 5880 4.1, in the words of keepalived's log."""

CAUSES = {
    "handshake": "the three-way handshake",
    "detection_time_expired": "no packet within the detection time",
    "echo_failed": "our Echo packets no longer come back",
    "neighbor_down": "the neighbour signals Down: it lost us, or it restarted",
    "neighbor_admin_down": "the neighbour is administratively down",
    "admin": "administratively down",
    "forwarding_plane_reset": "the forwarding plane was reset",
    "path_down": "the link is gone",
}
_FAILURES = frozenset(
    {"detection_time_expired", "echo_failed", "neighbor_down", "forwarding_plane_reset", "path_down"}
)

_REJECT_HINTS = {
    "ttl": "its TTL is too low for a single hop: it was routed, or the neighbour does not send 255 "
    "(keepalived over IPv6: set hoplimit 255 there, or max_hops here)",
    "wrong_path": "it came by another interface, port or family than the session's",
    "auth_missing": "it carries no authentication, which is configured here",
    "auth_unexpected": "it carries authentication, which is not configured here",
    "auth_type": "another type of authentication: set the same on both sides",
    "auth_key_id": "a key id that is not configured here",
    "auth_digest": "another key, or it was forged",
    "auth_sequence": "an old sequence number: replayed",
    "your_discriminator_unknown": "for a session that is not here: the neighbour still means an earlier one",
    "no_session": "nobody configured a session with this neighbour",
    "admin_down": "the session is administratively down here",
}


def diagnostic(number: int) -> str:
    """A diagnostic as the log has it."""
    return DIAGNOSTICS[number] if number < len(DIAGNOSTICS) else f"Unassigned {number}"


def address_text(family: int, raw: bytes) -> str:
    """An event's address (16 octets, IPv4 in the first four)."""
    return str(ipaddress.ip_address(raw[:4] if family == 2 else raw[:16]))


def any_address_text(raw: bytes) -> str:
    """The same where the family is not told; empty when there is none."""
    if not any(raw):
        return ""
    return address_text(10 if any(raw[4:]) else 2, raw)


def cause_text(cause: int) -> str:
    """Why a session changed."""
    name = BFD_CAUSES[cause]
    return CAUSES.get(name, name.replace("_", " "))


def is_failure(old: int, new: int, cause: int) -> bool:
    """Whether clients are to take the change for a failure (RFC 5882 3.2)."""
    return BFD_STATES[old] == "up" and BFD_STATES[new] == "down" and BFD_CAUSES[cause] in _FAILURES


def marks(event: Event) -> tuple[SessionMark, ...]:
    """The timeline of a BFD_STATE event, in microseconds from the end of the detection time."""
    decided, deadline, woke, received, sent = event.v[:5]
    zero = deadline or decided
    found = []
    if received:
        found.append(SessionMark("last packet received", (received - zero) / 1000))
    if sent:
        found.append(SessionMark("last packet sent", (sent - zero) / 1000))
    if deadline:
        found.append(SessionMark("detection time ends", 0.0))
        found.append(SessionMark("engine awake", (woke - zero) / 1000))
    found.append(SessionMark("decided", (decided - zero) / 1000))
    return tuple(found)


def note_of(event: Event, session: str | None) -> SessionNote | None:
    """The note that an event is worth; None for those that are told otherwise."""
    kind = event.kind
    peer = any_address_text(event.address)

    def note(name: str, level: Level, text: str, number: int = 0) -> SessionNote:
        return SessionNote(
            kind=name,
            level=level,
            text=f"({session}) {text}" if session else text,
            session=session,
            monotonic_ns=event.at,
            peer=peer,
            number=number,
        )

    if kind == EventKind.BFD_TIMERS:
        tx, rx, detection = (ns / 1e6 for ns in event.v[:3])
        text = (
            f"Detection time is {detection:g} ms: the neighbour sends every {rx:g} ms with multiplier "
            f"{event.arg[1]}, we send every {tx:g} ms"
        )
        return note("bfd_timers", "info", text, event.v[2] // 1000)
    if kind == EventKind.BFD_STALLED:
        text = (
            f"this machine was asleep or busy for {event.v[0] / 1e6:.1f} ms; the neighbour is given that time"
        )
        return note("bfd_stalled", "info", text, event.v[0] // 1000)
    if kind == EventKind.BFD_REJECT:
        name = BFD_REJECTS[event.arg[0]]
        hint = _REJECT_HINTS.get(name, "")
        text = f"BFD packet from {peer} refused: {name}" + (f" ({hint})" if hint else "")
        return note(f"bfd_reject_{name}", "warning", text, event.arg[1])
    if kind == EventKind.BFD_SHIELD:
        family = {2: "IPv4", 10: "IPv6"}.get(event.slot, "")
        text = (
            f"{event.arg[1]} bad {family} BFD packets a second on port {event.arg[2]}: the kernel now drops "
            "them, a few are still counted"
            if event.arg[0]
            else f"the flood of bad {family} BFD packets on port {event.arg[2]} is over"
        )
        return note("bfd_shield", "warning", text, event.arg[1])
    if kind == EventKind.BFD_SEND_ERROR:
        return note("bfd_send_error", "warning", f"sending: {os.strerror(event.arg[0])}", event.arg[0])
    if kind == EventKind.BFD_DIAG:
        text = f"diagnostics: ours {diagnostic(event.arg[0])}, the neighbour's {diagnostic(event.arg[1])}"
        return note("bfd_diag", "info", text)
    return None
