"""BFD's metrics for the export: sessions, what was measured of them, every kind of packet refused.

Intervals are in seconds, as Prometheus has it.
"""

from __future__ import annotations

from collections.abc import Callable

from fastha.bfd.manager import BfdManager
from fastha.bfd.session import Session
from fastha.telemetry.snapshot import Metric, Sample

STATES = ("waiting", "admin_down", "down", "init", "up")
_NS = 1e9
_LIVE = (
    ("detection_time_ns", "detection_time_seconds", "Silence after which the neighbour counts as lost."),
    ("tx_interval_ns", "transmit_interval_seconds", "Agreed interval of our packets."),
    ("rx_interval_ns", "receive_interval_seconds", "Agreed interval of the neighbour's packets."),
    ("rx_mean_ns", "received_interval_mean_seconds", "Measured interval of its packets, mean."),
    ("rx_p99_ns", "received_interval_p99_seconds", "Measured interval of its packets, 99th percentile."),
    ("rx_max_ns", "received_interval_max_seconds", "Longest measured interval of its packets."),
    ("margin_least_ns", "margin_min_seconds", "What was left of the detection time when it was closest."),
)


def metrics(manager: BfdManager) -> tuple[Metric, ...]:
    """All of BFD's metrics at this moment."""
    engine = manager.engine
    sessions = tuple(manager.sessions.values())
    running = [(session, session.slot) for session in sessions if session.slot is not None]
    live = {session.name: engine.bfd_status(slot) for session, slot in running}

    def each(value: Callable[[Session], float | None]) -> tuple[Sample, ...]:
        found = ((session, value(session)) for session in sessions)
        return tuple(Sample(_labels(session), number) for session, number in found if number is not None)

    states = tuple(
        Sample((*_labels(session), ("state", state)), float(state == _state(session)))
        for session in sessions
        for state in STATES
    )
    made = [
        Metric(name="bfd_session_state", help="1 for the state that the session is in.", samples=states),
        Metric(
            name="bfd_failures_total",
            kind="counter",
            help="Times that the session was lost though nobody wanted it.",
            samples=each(lambda session: session.flaps),
        ),
    ]
    for key, name, text in _LIVE:

        def value(session: Session, key: str = key) -> float | None:
            found = live.get(session.name)
            return None if found is None else int(found[key]) / _NS

        made.append(Metric(name=f"bfd_{name}", help=text, samples=each(value)))
    counters = tuple(
        Sample((*_labels(session), ("counter", name)), count)
        for session, slot in running
        for name, count in engine.bfd_counters(slot).items()
    )
    made.append(
        Metric(
            name="bfd_events_total",
            kind="counter",
            help="What a session sent, received and went through, by counter.",
            samples=counters,
        )
    )
    refused = [
        Sample((*_labels(session), ("reason", reason)), count)
        for session, slot in running
        for reason, count in engine.bfd_rejects(slot).items()
    ]
    refused += [
        Sample((("session", ""), ("peer", ""), ("reason", reason)), count)
        for reason, count in engine.bfd_rejects().items()
    ]
    made.append(
        Metric(
            name="bfd_refused_total",
            kind="counter",
            help="Packets refused, by reason; without a session: those that belong to none.",
            samples=tuple(refused),
        )
    )
    return tuple(made)


def _state(session: Session) -> str:
    return session.state if session.slot is not None else "waiting"


def _labels(session: Session) -> tuple[tuple[str, str], ...]:
    return (("session", session.name), ("peer", session.peer))
