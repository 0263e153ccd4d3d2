"""What the tests of health checks share: one run of a check against a server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

from fastha._core.probe import Probes
from fastha.config.model_lvs import AnyChecker
from fastha.lvs.checkers.base import Check, Env, Result
from fastha.lvs.checkers.make import make_check

LOCAL = ipaddress.ip_address("127.0.0.1")
SECOND = 1_000_000_000


def free_port() -> int:
    """Free for TCP and UDP: DNS wants both."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextlib.asynccontextmanager
async def environment(**more: Any) -> AsyncIterator[Env]:
    """What a check needs around it."""
    loop = asyncio.get_running_loop()
    probes = Probes()
    loop.add_reader(probes.fileno(), probes.poll)
    try:
        yield Env(loop, probes, **more)
    finally:
        loop.remove_reader(probes.fileno())
        probes.close()


async def run_check(check: Check, up: bool = True, limit: float = 10) -> Result:
    """Runs it to its end."""
    found: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    check.start(up, found.set_result)
    return await asyncio.wait_for(found, limit)


async def once(conf: AnyChecker, up: bool = True, limit: float = 10) -> Result:
    """One run of a check that is configured so."""
    async with environment() as env:
        return await run_check(make_check(conf, env, 1), up, limit)
