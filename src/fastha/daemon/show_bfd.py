"""What the control socket answers about BFD: plain values, made from the sessions and the engine's counters.

Intervals are microseconds, points in time seconds since the epoch.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from fastha.bfd import words
from fastha.bfd.manager import BfdManager
from fastha.bfd.planner import kind_of
from fastha.bfd.session import Session

_MEASURED = ("min", "mean", "max", "p50", "p99")
_KINDS = ("asynchronous", "s-bfd", "unaffiliated echo")


def overview(manager: BfdManager) -> dict[str, Any]:
    """Every session in a line, and the packets that belong to none."""
    return {
        "sessions": [brief(manager, session) for session in manager.sessions.values()],
        "refused": {name: count for name, count in manager.engine.bfd_rejects().items() if count},
    }


def brief(manager: BfdManager, session: Session) -> dict[str, Any]:
    """One session in a line."""
    found: dict[str, Any] = {
        "name": session.name,
        "state": session.state if session.slot is not None else "waiting",
        "peer": session.peer,
        "interface": session.interface,
        "multihop": session.conf.multihop,
        "kind": _KINDS[int(kind_of(session.conf))],
        "origin": session.origin,
        "since": session.since_wall_ns / 1e9,
        "cause": session.waits or session.cause,
        "flaps": session.flaps,
        "transmit_interval_us": 0,
        "receive_interval_us": 0,
        "detection_time_us": 0,
    }
    if session.slot is not None:
        live = manager.engine.bfd_status(session.slot)
        found["state"] = live["state"]
        found["remote_state"] = live["remote_state"]
        found["transmit_interval_us"] = int(live["tx_interval_ns"]) // 1000
        found["receive_interval_us"] = int(live["rx_interval_ns"]) // 1000
        found["detection_time_us"] = int(live["detection_time_ns"]) // 1000
    return found


def in_full(manager: BfdManager, session: Session, trackers: list[str]) -> dict[str, Any]:
    """Everything about a session."""
    conf = session.conf
    found = brief(manager, session) | {
        "source": str(conf.source) if conf.source is not None else "",
        "configured": {
            "min_tx_us": conf.min_tx_us,
            "min_rx_us": conf.min_rx_us,
            "idle_tx_us": conf.idle_tx_us,
            "multiplier": conf.multiplier,
            "passive": conf.passive,
            "demand": conf.demand,
            "echo_tx_us": conf.echo_tx_us,
            "min_echo_rx_us": conf.min_echo_rx_us,
            "authentication": active_key(session),
            "pad_to": conf.padded,
        },
        "tracked_by": trackers,
        "transitions": [msgspec.to_builtins(change) for change in session.changes],
    }
    if session.slot is None:
        return found
    live = manager.engine.bfd_status(session.slot)
    now = time.monotonic_ns()
    heard = int(live["last_rx_ns"])
    return found | {
        "local_discriminator": live["local_discr"],
        "remote_discriminator": live["remote_discr"],
        "local_diagnostic": words.diagnostic(int(live["local_diag"])),
        "remote_diagnostic": words.diagnostic(int(live["remote_diag"])),
        "remote": {
            "min_tx_us": live["remote_min_tx_us"],
            "min_rx_us": live["remote_min_rx_us"],
            "min_echo_rx_us": live["remote_min_echo_rx_us"],
            "multiplier": live["remote_mult"],
        },
        "last_heard_us": (now - heard) / 1000 if heard else None,
        "measured": {
            "count": live["rx_count"],
            **{f"{which}_us": int(live[f"rx_{which}_ns"]) / 1000 for which in _MEASURED},
        },
        "margin_us": int(live["margin_least_ns"]) / 1000 if int(live["rx_count"]) else None,
        "echo": {
            "interval_us": int(live["echo_interval_ns"]) // 1000,
            "count": live["echo_count"],
            **{f"{which}_us": int(live[f"echo_{which}_ns"]) / 1000 for which in _MEASURED},
        },
        "counters": manager.engine.bfd_counters(session.slot),
        "rejected": manager.engine.bfd_rejects(session.slot),
    }


def active_key(session: Session) -> str:
    """The type and number of the key that signs; empty without authentication."""
    auth = session.conf.auth
    if auth is None:
        return ""
    kind = next(key.type for key in auth.keys if key.key_id == auth.active_key)
    optional = ", optional" if auth.optional else ""
    return f"{kind}, key {auth.active_key} of {len(auth.keys)}{optional}"
