"""What the fuzzer found on the control socket, kept as cases: every whole line gets an answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fastha.daemon.control import MAX_REQUEST, ControlServer


async def fails(_arguments: dict[str, Any]) -> Any:
    raise RuntimeError("of our own making")


async def number(arguments: dict[str, Any]) -> Any:
    return int(arguments["limit"])


async def unspeakable(_arguments: dict[str, Any]) -> Any:
    return "\ud800"


def answers(path: Path, *lines: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """What a server answers, line by line, on one connection; and what it tells of its own errors."""
    told: list[str] = []

    async def play() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _loop, context: (
                told.append(str(context["exception"]))
                if not isinstance(context.get("exception"), asyncio.CancelledError)
                else None
            )
        )
        server = ControlServer(path)
        server.add("fails", fails, reads=True)
        server.add("number", number, reads=True)
        server.add("unspeakable", unspeakable, reads=True)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(path))
        got = []
        for line in lines:
            writer.write(line + b"\n")
            got.append(json.loads(await asyncio.wait_for(reader.readline(), 20)))
        writer.close()
        await server.stop()
        return got

    return asyncio.run(play()), told


@pytest.mark.parametrize(
    "line",
    [
        b'{"v":1,"do":"\xff"}',
        b"[" * 100_000,
        b'{"v":1,"do":"number","limit":1e999}',
        b'{"v":1,"do":"number","limit":1e308}',
        b'{"v":1,"do":"\\ud800"}',
        b"",
    ],
    ids=["not UTF-8", "deep", "infinite", "huge", "surrogate", "empty"],
)
def test_what_is_no_request_gets_an_error_and_the_connection_stays(tmp_path: Path, line: bytes) -> None:
    (first, second), told = answers(tmp_path / "control", line, b'{"v":1,"do":"number","limit":7}')
    assert (first["ok"], second) == (line.endswith(b"308}"), {"v": 1, "ok": True, "data": 7})
    assert not told


@pytest.mark.parametrize("name", ["fails", "unspeakable"])
def test_an_error_of_ours_is_told_to_who_asked_and_to_the_log(tmp_path: Path, name: str) -> None:
    line = json.dumps({"v": 1, "do": name}).encode()
    (first, second), told = answers(tmp_path / "control", line, b'{"v":1,"do":"number","limit":7}')
    assert first["ok"] is False and "internal error" in first["error"]
    assert second["ok"] is True
    assert len(told) == 1


def test_a_request_without_end_is_refused_with_a_word(tmp_path: Path) -> None:
    (first,), told = answers(tmp_path / "control", b"x" * (2 * MAX_REQUEST))
    assert first["ok"] is False and str(MAX_REQUEST) in first["error"]
    assert not told
