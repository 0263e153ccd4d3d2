"""`fastha show bfd` for people: every kind of session, with and without what only a running one has."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from fastha.cli import show_bfd

BRIEF: dict[str, Any] = {
    "name": "router2",
    "state": "up",
    "remote_state": "up",
    "peer": "192.0.2.2",
    "interface": "eth0",
    "multihop": False,
    "kind": "asynchronous",
    "origin": "configured",
    "since": 1_700_000_000.5,
    "cause": "the three-way handshake",
    "flaps": 2,
    "transmit_interval_us": 50_000,
    "receive_interval_us": 3_300,
    "detection_time_us": 150_000,
}
MEASURED = {
    "min_us": 40_000.0,
    "mean_us": 43_500.0,
    "max_us": 61_000.0,
    "p50_us": 44_000.0,
    "p99_us": 52_000.0,
}
WAITING = BRIEF | {
    "state": "waiting",
    "cause": "there is no interface eth9",
    "source": "",
    "configured": {
        "min_tx_us": 50_000, "min_rx_us": 500, "multiplier": 3, "passive": True, "demand": False,
        "authentication": "keyed-sha1, key 1 of 2",
    },
    "tracked_by": ["VI_1"],
    "transitions": [],
}  # fmt: skip
WAITING.pop("remote_state")
RUNNING = (
    WAITING
    | BRIEF
    | {
        "source": "192.0.2.1",
        "local_discriminator": 7,
        "remote_discriminator": 8,
        "local_diagnostic": "No Diagnostic",
        "remote_diagnostic": "No Diagnostic",
        "remote": {"min_tx_us": 50_000, "min_rx_us": 50_000, "min_echo_rx_us": 0, "multiplier": 3},
        "last_heard_us": 4660.0,
        "measured": {"count": 151, **MEASURED},
        "margin_us": 89_000.0,
        "echo": {"interval_us": 50_000, "count": 9, **MEASURED},
        "counters": {"rx": 155, "tx": 146, "stalls": 0},
        "rejected": {"ttl": 3},
        "transitions": [
            {
                "wall_ns": 1_700_000_000_000_000_000,
                "old": "up",
                "new": "down",
                "cause": "no packet within the detection time",
                "failure": True,
                "marks": [{"step": "decided", "at_us": 44.0}],
            }
        ],
    }
)


def shown(monkeypatch: pytest.MonkeyPatch, answer: Any, *words: str) -> str:
    monkeypatch.setattr(show_bfd, "answer", lambda *_a, **_k: answer)
    done = CliRunner().invoke(show_bfd.bfd, list(words), catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    far = BRIEF | {"name": "far", "interface": "", "multihop": True}
    out = shown(monkeypatch, {"sessions": [BRIEF, far], "refused": {"no_session": 12}})
    assert "router2  up     192.0.2.2%eth0" in out
    assert "192.0.2.2 multihop" in out
    assert "3.3 ms" in out
    assert out.endswith("packets that belong to no session: no_session 12\n")
    assert shown(monkeypatch, {"sessions": [], "refused": {}}) == "no BFD sessions\n"


def test_everything_about_one(monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown(monkeypatch, RUNNING, "router2")
    for text in (
        "up, the neighbour says up",
        "min_rx 0.5 ms, multiplier 3, passive, keyed-sha1, key 1 of 2",
        "tracked by             VI_1",
        "detection time 150 ms",
        "99 % within 52 ms, most 61 ms (151 intervals)",
        "89 ms were left of the detection time",
        "rx 155, tx 146\n",
        "ttl 3",
        "up -> down  no packet within the detection time  FAILURE",
        "+44.0 us  decided",
    ):
        assert text in out, text


def test_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown(monkeypatch, WAITING, "router2")
    assert "because                there is no interface eth9" in out
    assert "measured" not in out
