"""What the tests of scripts, tracking, notification and telemetry share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from fastha.scripts.identity import own_identity
from fastha.scripts.runner import Program, Runner

ME = own_identity()


def run(coroutine: Coroutine[Any, Any, Any], limit: float = 60.0) -> Any:
    """Runs a test's coroutine on uvloop, as the daemon does."""

    async def limited() -> Any:
        return await asyncio.wait_for(coroutine, limit)

    return uvloop.run(limited())


def shell(text: str) -> Program:
    """A program that is a line of shell."""
    return Program("/bin/sh", ("sh", "-c", text), ME)


def script(path: Path, text: str, mode: int = 0o755) -> Program:
    """A program in a file."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return Program(str(path), (str(path),), ME)


@contextlib.asynccontextmanager
async def a_runner(**settings: Any) -> AsyncIterator[tuple[Runner, list[str]]]:
    """A runner and what it tells."""
    told: list[str] = []
    runner = Runner(asyncio.get_running_loop(), notice=told.append, **settings)
    try:
        yield runner, told
    finally:
        await runner.close(0.5)


async def until(condition: Callable[[], object], limit: float = 20.0, step: float = 0.01) -> None:
    """Waits until something is so; fails when it does not become so."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(step)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def gather(*things: Awaitable[Any]) -> None:
    """asyncio.gather without its result."""
    await asyncio.gather(*things)
