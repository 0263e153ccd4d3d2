"""How many health checks a second one core carries, and how late they start.

    python -m bench.lvs_checks [--kind tcp|http] [--rate 10000] [--seconds 10] [--json FILE]

Runs the load balancer with `rate` real servers that are each checked once a second, against a server in
another process on loopback, and reports the checks done, CPU per check, memory per real server and how late
checks began. Needs no IPVS: the checks run without it.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import multiprocessing
import os
import resource
import socket
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SECOND = 1_000_000_000
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def serve(pipe: Connection, kind: str) -> None:
    """The other process: takes every connection, and answers with a page when it is asked for one.

    As few system calls as can be, so that it is not the server that is measured.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == "http":  # accepted when the request is there
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    listener.bind(("0.0.0.0", 0))
    listener.listen(16384)
    pipe.send(listener.getsockname()[1])
    while True:
        fd, _ = listener._accept()  # type: ignore[attr-defined]
        if kind == "http":
            os.read(fd, 4096)
            os.write(fd, PAGE)
        os.close(fd)


def taken(snmp: str) -> int:
    """TCP connections that a kernel has taken, by its /proc/net/snmp."""
    names, values = (line.split() for line in snmp.splitlines() if line.startswith("Tcp:"))
    return int(values[names.index("PassiveOpens")])


def raise_limit() -> None:
    """As many descriptors as allowed: each check under way has one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resident() -> int:
    """Resident memory of this process in octets."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure(kind: str, rate: int, seconds: float, port: int) -> dict[str, Any]:
    """One run."""
    from fastha.config.model_lvs import HttpCheck, HttpUrl, LvsConfig, RealServer, TcpCheck, VirtualServer
    from fastha.lvs.manager import LvsManager

    base = int(ipaddress.ip_address("127.1.0.1"))
    more = {"delay_loop_ns": SECOND, "warmup_ns": SECOND, "connect_timeout_ns": 5 * SECOND}

    def checker(address: Any) -> Any:
        if kind == "tcp":
            return TcpCheck(connect_ip=address, connect_port=port, **more)
        return HttpCheck(connect_ip=address, connect_port=port, urls=(HttpUrl(path="/"),), **more)

    before = resident()
    servers = [
        RealServer(address=address, port=port, checkers=(checker(address),))
        for address in map(ipaddress.ip_address, range(base, base + rate))
    ]
    virtual = tuple(
        VirtualServer(
            address=ipaddress.ip_address("10.9.0.0") + start // 100,
            port=80,
            real_servers=tuple(servers[start : start + 100]),
        )
        for start in range(0, rate, 100)
    )
    events: list[Any] = []
    manager = LvsManager(events.append)
    await manager.start(LvsConfig(virtual_servers=virtual, repair_interval_ns=0))
    await asyncio.sleep(2)  # every server has been asked once
    used = resident() - before
    scheduler = manager._scheduler
    scheduler.lags = [0] * len(scheduler.lags)
    scheduler.worst_lag_ns = 0
    started, cpu, began = scheduler.started, time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    checks = scheduler.started - started
    cpu = time.process_time() - cpu
    snapshot_lags = manager.snapshot().lag_ms
    total = sum(count for _, count in snapshot_lags)
    seen, p99 = 0, 0.0
    for bound, count in snapshot_lags:
        seen += count
        if seen >= 0.99 * total:
            p99 = bound
            break
    failed = sum(1 for event in events if getattr(event, "up", True) is False)
    await manager.stop()
    return {
        "kind": kind,
        "servers": rate,
        "seconds": round(took, 2),
        "checks_per_second": round(checks / took),
        "cpu_us_per_check": round(cpu / max(1, checks) * 1e6, 1),
        "cpu_share_of_core": round(cpu / took, 3),
        "p99_lag_ms_at_most": p99,
        "worst_lag_ms": round(scheduler.worst_lag_ns / 1e6, 1),
        "memory_bytes_per_server": used // rate,
        "servers_that_failed": failed,
    }


def main() -> None:
    """Starts the server, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=["tcp", "http"], default="tcp")
    parser.add_argument("--rate", type=int, default=10000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", help="append the result to this file, one line")
    options = parser.parse_args()
    raise_limit()
    import uvloop

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, options.kind), daemon=True)
    process.start()
    try:
        result = uvloop.run(measure(options.kind, options.rate, options.seconds, ours.recv()))
    finally:
        process.terminate()
        process.join()
    text = json.dumps(result)
    print(text)
    if options.json:
        with Path(options.json).open("a") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
