"""Reloads at a time that a file names, and the file that tells that a configuration is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastha.daemon import schedule
from fastha.daemon.busy import busy
from fastha.daemon.schedule import Schedule, TimeError, when

#: 2026-02-28 12:00:00 UTC
NOW = 1_772_280_000.0


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("line", "after"),
    [
        (b"12:00:01Z", 1),
        (b"12:00:00Z", 86400),  # now is over: tomorrow, which is in March
        (b"11:59:59Z", 86399),
        (b"26-02-28 12:30:00Z", 1800),
        (b"2026-02-28 12:30:00Z", 1800),
        (b"2026-03-01 00:00:00Z", 43200),
        (b"2026-02-27 12:00:00Z", -86400),
        (b"2028-02-29 12:00:00Z", 731 * 86400),
        (b"17:30:01", 1),  # 5:30 ahead of UTC
        (b"2026-02-28 17:31:00", 60),
    ],
)
def test_what_a_line_means(elsewhere: None, line: bytes, after: int) -> None:
    assert when(line, NOW) == NOW + after


@pytest.mark.parametrize(
    "line",
    [
        b"", b"12:00", b" 12:00:00", b"12:00:00 ", b"12:00:00z", b"24:00:00", b"12:60:00", b"\xff" * 30,
        b"126-02-28 12:00:00", b"2026-02-30 12:00:00", b"2026-13-01 12:00:00", b"2026-02-28  12:00:00",
        b"2026-02-28T12:00:00",
    ],
)  # fmt: skip
def test_what_is_no_time(line: bytes) -> None:
    with pytest.raises(TimeError):
        when(line, NOW)


class Clerk:
    """A schedule that counts its reloads."""

    def __init__(self) -> None:
        self.reloads = 0
        self.said: list[str] = []
        self.schedule = Schedule(self.reload, lambda _level, text: self.said.append(text))

    async def reload(self) -> None:
        self.reloads += 1

    async def until(self, condition: object) -> None:
        deadline = time.monotonic() + 10
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline, self.said
            await asyncio.sleep(0.01)


def soon(seconds: float) -> str:
    return time.strftime("%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.mark.parametrize("repeat", [False, True])
def test_a_reload_at_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeat: bool) -> None:
    monkeypatch.setattr(schedule, "LOOK_S", 0.05)
    path = tmp_path / "when"

    async def body() -> None:
        clerk = Clerk()
        clerk.schedule.configure(str(path), repeat)
        await asyncio.sleep(0.1)
        assert clerk.schedule.at is None
        # made, changed, removed
        path.write_text(soon(3000) + "\nrest")
        await clerk.until(lambda: clerk.schedule.at is not None)
        path.write_text("junk")
        await clerk.until(lambda: clerk.schedule.at is None)
        assert "no reload is scheduled" in clerk.said[-1]
        path.write_text(soon(3000))
        await clerk.until(lambda: clerk.schedule.at is not None)
        path.unlink()
        await clerk.until(lambda: clerk.schedule.at is None)
        assert "called off" in clerk.said[-1]
        assert clerk.reloads == 0
        # its time comes
        due = time.time() + 2
        path.write_text(time.strftime("%H:%M:%SZ", time.gmtime(due)))
        await clerk.until(lambda: clerk.reloads == 1)
        assert time.time() >= int(due)
        await asyncio.sleep(0.2)
        assert path.exists() == repeat
        if repeat:
            assert clerk.schedule.at is not None and clerk.schedule.at > time.time() + 80000
        else:
            assert clerk.schedule.at is None
        assert clerk.reloads == 1
        clerk.schedule.close()

    asyncio.run(body())


def test_the_file_that_tells_of_a_reload(tmp_path: Path) -> None:
    named = tmp_path / "named"
    named.write_text("touched by who writes the configuration")
    for path, file in ((str(named), named), ("", tmp_path / "keepalived.reload")):
        with busy(path, tmp_path):
            assert file.read_text() == ""
        assert not file.exists()
    with busy(None, tmp_path):
        assert list(tmp_path.iterdir()) == []
    with busy(str(tmp_path / "no" / "such"), tmp_path):
        pass
    victim = tmp_path / "victim"
    victim.write_text("precious")
    named.symlink_to(victim)
    with busy(str(named), tmp_path):
        assert victim.read_text() == "precious"
