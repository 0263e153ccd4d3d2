"""Structured records for the systemd journal, over its own protocol (systemd.journal-fields(7), "Native
protocol").

An extension: `journalctl FASTHA_INSTANCE=VI_1` shows what became of an instance, with cause and timeline.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable

from fastha.notify.channel import Channel
from fastha.notify.events import Event, InstanceEvent, ServerEvent, SessionEvent, SessionState, State

JOURNAL_SOCKET = "/run/systemd/journal/socket"
#: One id per kind of record, made once for all installations.
MESSAGE_ID_INSTANCE = "6f0e1d5a7c5b4e1f9a53a0c6e2d4b781"
MESSAGE_ID_SERVER = "b4c9f3a2d1e84f67935d7b80c1aa26f4"
MESSAGE_ID_SESSION = "2d7a90c4f6b1437b8e35c1f20d94a65e"
_WARNING, _NOTICE, _INFO = 4, 5, 6


def encode(fields: Iterable[tuple[str, str]]) -> bytes:
    """One datagram: NAME=value lines; values with line ends are written with their length."""
    parts = []
    for name, value in fields:
        data = value.encode("utf-8", "replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def fields_of(event: Event) -> list[tuple[str, str]]:
    """The record of an event."""
    if isinstance(event, ServerEvent):
        subject = event.virtual_server
        if event.real_server is not None:
            subject = f"{event.real_server} of {event.virtual_server}"
        word = "up" if event.up else "down"
        fields = [
            ("MESSAGE", f"{event.kind.value} {subject} is {word}" + _because(event.cause)),
            ("PRIORITY", str(_INFO if event.up else _WARNING)),
            ("MESSAGE_ID", MESSAGE_ID_SERVER),
            ("FASTHA_VIRTUAL_SERVER", event.virtual_server),
            ("FASTHA_STATE", word.upper()),
        ]
        if event.real_server is not None:
            fields.append(("FASTHA_REAL_SERVER", event.real_server))
    elif isinstance(event, SessionEvent):
        fields = _session_fields(event)
    else:
        fields = _instance_fields(event)
    fields += [("SYSLOG_IDENTIFIER", "fastha"), ("FASTHA_CAUSE", event.cause)]
    return fields


def _session_fields(event: SessionEvent) -> list[tuple[str, str]]:
    fields = [
        ("MESSAGE", f"BFD session {event.name}: {event.state.value}" + _because(event.cause)),
        ("PRIORITY", str(_NOTICE if event.state is SessionState.UP or not event.failure else _WARNING)),
        ("MESSAGE_ID", MESSAGE_ID_SESSION),
        ("FASTHA_SESSION", event.name),
        ("FASTHA_STATE", event.state.value),
        ("FASTHA_PREVIOUS", event.previous.value),
        ("FASTHA_PEER", event.peer),
    ]
    if event.interface:
        fields.append(("FASTHA_INTERFACE", event.interface))
    if event.timeline:
        fields.append(("FASTHA_TIMELINE", "\n".join(f"{m.at_us} us {m.step}" for m in event.timeline)))
    return fields


def _instance_fields(event: InstanceEvent) -> list[tuple[str, str]]:
    level = _WARNING if event.state in (State.FAULT, State.MASTER_RX_LOWER_PRI) else _NOTICE
    fields = [
        ("MESSAGE", f"{event.kind.value.lower()} {event.name}: {event.state.value}" + _because(event.cause)),
        ("PRIORITY", str(level)),
        ("MESSAGE_ID", MESSAGE_ID_INSTANCE),
        (f"FASTHA_{event.kind.value}", event.name),
        ("FASTHA_STATE", event.state.value),
        ("FASTHA_PRIORITY", str(event.priority)),
    ]
    if event.previous is not None:
        fields.append(("FASTHA_PREVIOUS", event.previous.value))
    if event.interface:
        fields.append(("FASTHA_INTERFACE", event.interface))
    if event.vrid:
        fields.append(("FASTHA_VRID", str(event.vrid)))
    if event.timeline:
        fields.append(("FASTHA_TIMELINE", "\n".join(f"{m.at_us} us {m.step}" for m in event.timeline)))
    return fields


class JournalChannel(Channel):
    """Writes records to the journal; drops them rather than wait for it."""

    kind = "journal"

    def __init__(self, log: Callable[[str], None], path: str = JOURNAL_SOCKET) -> None:
        super().__init__(path, log)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def send(self, event: Event) -> None:
        """Writes the record of an event."""
        if isinstance(event, InstanceEvent) and event.quiet:
            return
        try:
            self._socket.sendto(encode(fields_of(event)), self.name)
        except BlockingIOError:
            self.dropped += 1
            self._trouble("the journal does not keep up and records are dropped", "See systemd-journald")
        except OSError as error:
            self.failed += 1
            self._trouble(f"cannot write: {error.strerror}", "Is systemd-journald running here?")
        else:
            self._works()

    async def close(self, grace: float) -> None:  # noqa: ARG002 - nothing is held back
        """Closes the socket."""
        self._socket.close()


def _because(cause: str) -> str:
    return f" ({cause})" if cause else ""
