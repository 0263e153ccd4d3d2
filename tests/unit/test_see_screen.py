"""The live view's screen: always exactly as large as the terminal, whatever is on it."""

from __future__ import annotations

import unicodedata
from typing import Any

import pyte
from hypothesis import given
from hypothesis import strategies as st

from fastha.cli.since import words
from fastha.cli.watch_screen import VIEWS, Model, clip, pad, paint, screen

NOW = 1_700_000_000.0


def instance(name: str, state: str = "BACKUP", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "state": state, "priority": 100, "base_priority": 100, "master": "192.0.2.1",
        "since": NOW - 75, "cause": "startup", "interface": "eth0", "vrid": 7, "family": "IPv4", "faults": "",
        "split_brain": "",
    } | more  # fmt: skip


def model(*instances: dict[str, Any], **more: Any) -> Model:
    status = {"version": "1.0", "uptime_s": 5000, "states": {"BACKUP": len(instances)}, "maintenance": ""}
    return Model(node="r1", now=NOW, status=status, instances=list(instances), **more)


def drawn(what: Model, width: int = 80, height: int = 24) -> list[str]:
    """What a terminal of that size shows."""
    terminal = pyte.Screen(width, height)
    pyte.Stream(terminal).feed("\r\n".join(paint(screen(what, width, height), width)))
    return list(terminal.display)


def test_a_pair_at_80_by_24() -> None:
    shown = drawn(
        model(
            instance("VI_1", "MASTER", priority=150, cause="no advert from the master"),
            instance("VI_2", "FAULT", cause="its interface is down (eth1)", faults="its interface is down"),
            instance("VI_3", "MASTER", priority=90, split_brain="192.0.2.9: its adverts are refused here"),
            events=[
                {"event": "transition", "wall_ns": 0, "instance": "VI_1", "old": "BACKUP", "new": "MASTER",
                 "cause": "x"},
                {"event": "note", "wall_ns": 0, "text": "(VI_1) a note", "level": "warning"},
            ],
        )
    )  # fmt: skip
    text = "\n".join(shown)
    assert shown[0].startswith(" fastha 1.0 on r1  up 83 min")
    assert "SPLIT BRAIN  VI_3: 192.0.2.9" in text
    assert "VI_2 may not be master: its interface is down (eth1)" in text
    assert "VI_1     MASTER   150(+50) 192.0.2.1" in text or "150(+5" in text
    assert "VI_3     MASTER   90(-10)" in text
    assert "BACKUP → MASTER: x" in text
    assert shown[-1].startswith(" q quit")


def test_the_chosen_row_stays_on_the_screen() -> None:
    many = model(*(instance(f"VI_{n:03d}") for n in range(500)))
    for chosen in (0, 499, 250, 251, 12, 499, 0):
        many.chosen = chosen
        text = "\n".join(drawn(many))
        assert f"VI_{chosen:03d}" in text
        assert "of 500" in text


def test_a_dead_daemon_shows_nothing_old() -> None:
    shown = "\n".join(drawn(model(instance("VI_1", "MASTER"), trouble="fastha is dead: nobody listens")))
    assert "fastha is dead" in shown
    assert "MASTER" not in shown


_TEXT = st.text(st.characters(), max_size=40)


@given(
    width=st.integers(1, 200),
    height=st.integers(1, 60),
    view=st.sampled_from(VIEWS),
    names=st.lists(_TEXT, max_size=30),
    cause=_TEXT,
    top=st.integers(0, 1 << 20),
)
def test_it_fits_any_terminal(
    width: int, height: int, view: str, names: list[str], cause: str, top: int
) -> None:
    what = model(*(instance(name, cause=cause) for name in names), view=view, top=top, chosen=top)
    what.why = what.scripts = what.servers = [cause] * 3
    lines = screen(what, width, height)
    assert len(lines) == height
    for line in lines:
        shown = "".join(clip(text, width) for text, _ in line)
        assert all(c.isprintable() for c in clip(shown, width))
        assert sum(_columns(c) for c in clip(shown, width)) <= width
    painted = paint(lines, width)
    assert all("\n" not in line and "\r" not in line for line in painted)


def _columns(c: str) -> int:
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1


@given(text=_TEXT, width=st.integers(0, 60))
def test_padding_is_exact(text: str, width: int) -> None:
    assert sum(map(_columns, pad(text, width))) == width


def test_durations() -> None:
    assert [words(s) for s in (0.25, 5, 61, 600, 7300, 200_000)] == [
        "250 ms", "5.0 s", "61 s", "10 min", "2 h 01", "2 d 07 h",
    ]  # fmt: skip
