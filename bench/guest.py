"""What the scenarios `ipvs`, `ipvs_daemon` and `lvs` measure inside a kernel that has IPVS.

    tests/uml/run -- .venv/bin/python -m bench.guest SUBJECT '{"daemon": "fastha", ...}'

Prints the samples as one line of JSON, the last one. Everything ends with that kernel, so nothing is cleaned
up.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.lvs_checks import serve
from bench.lvs_checks import taken as connections
from bench.lvs_ipvs import table as requests_of
from bench.lvs_ipvs import timed
from fastha._core.ipvs import IpvsSocket
from fastha.lab import pss_kib

TICKS = os.sysconf("SC_CLK_TCK")
Samples = dict[str, list[float]]
HERE = Path("/run/bench")


def until(condition: Callable[[], Any], seconds: float, what: str, every: float = 0.01) -> float:
    """Waits; how long it took."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise AssertionError(f"{what} did not come about within {seconds} s")
        time.sleep(every)
    return time.perf_counter() - began


# ---- a table, by netlink alone


def table(daemon: str, services: int, servers: int, rounds: int) -> Samples:
    """Sets up and reads back a table so many times: by fastha's codec, or as ipvsadm does."""
    sock = IpvsSocket()
    requests = requests_of(services, servers)
    found: Samples = {"set_up_s": [], "read_s": []}

    def run(*command: str, text: bytes | None = None) -> bytes:
        return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout

    def read() -> None:
        for service in sock.services():
            sock.destinations(service)

    sock.execute(requests)
    saved = run("ipvsadm", "-Sn")
    for _ in range(rounds):
        sock.flush()
        if daemon == "fastha":
            found["set_up_s"].append(timed(lambda: sock.execute(requests)))
            found["read_s"].append(timed(read))
        else:
            found["set_up_s"].append(timed(lambda: run("ipvsadm", "-R", text=saved)))
            found["read_s"].append(timed(lambda: run("ipvsadm", "-Ln", "--stats")))
    return found


# ---- daemons


class Daemon:
    """fastha or keepalived with a configuration."""

    def __init__(self, kind: str, text: str) -> None:
        HERE.mkdir(exist_ok=True)
        self.file = HERE / "configuration"
        self.write(text)
        command = ["keepalived", "-n", "-l", "-f", str(self.file)]
        if kind == "fastha":
            command = [str(Path(sys.executable).parent / "fastha"), "run", "-f", str(self.file)]
        self.log = (HERE / "log").open("wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def write(self, text: str) -> None:
        """Another configuration, for the next reload."""
        self.file.write_text(text)

    def reload(self) -> None:
        """As `systemctl reload` does it."""
        self.process.send_signal(signal.SIGHUP)

    def pids(self) -> list[int]:
        """It and what it started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def said(self) -> str:
        """The end of its log."""
        return (HERE / "log").read_text(errors="replace")[-1500:]


def address_of(number: int) -> ipaddress.IPv4Address:
    """The address of a real server, one of `lo`."""
    return ipaddress.IPv4Address(f"127.1.{number // 250}.{number % 250 + 1}")


def text_of(services: int, servers: int, *, port: int = 80, check: str = "", weight: int = 1) -> str:
    """A configuration; `weight`: of the very last real server."""
    out = ["global_defs {", "    fastha_lvs_repair_interval 0", "}"]
    for service, server in itertools.product(range(services), range(servers)):
        if server == 0:
            out.append(f"virtual_server 10.9.{service // 250}.{service % 250 + 1} 80 {{")
            out += ["    lb_algo wrr", "    lb_kind NAT", "    protocol TCP", "    delay_loop 1"]
        number = service * servers + server
        last = number == services * servers - 1
        out.append(f"    real_server {address_of(number)} {port} {{")
        out.append(f"        weight {weight if last else 1}")
        out += [f"        {check}"] if check else []
        out.append("    }")
        if server == servers - 1:
            out.append("}")
    return "\n".join(out) + "\n"


def destinations() -> list[str]:
    """All real servers of the table, as the kernel's own listing has them."""
    return [line for line in Path("/proc/net/ip_vs").read_text().splitlines() if line.startswith("  -> 7F")]


def weight_of(number: int) -> int:
    """The weight in the table of the real server that `text_of` made as that number."""
    address = f"  -> {int(address_of(number)):08X}:"
    line = next(line for line in destinations() if line.startswith(address))
    return int(line.split()[3])


def whole(daemon: str, services: int, servers: int, rounds: int) -> Samples:
    """From its start to the whole table, and from SIGHUP to one changed weight, of a whole daemon."""
    found: Samples = {"start_s": [], "change_s": [], "pss_kib": []}
    it = Daemon(daemon, text_of(services, servers))
    try:
        found["start_s"].append(until(lambda: len(destinations()) == services * servers, 120, "the table"))
        time.sleep(2)
        for weight in range(2, 2 + rounds):
            it.write(text_of(services, servers, weight=weight))
            it.reload()
            found["change_s"].append(
                until(lambda weight=weight: weight_of(services * servers - 1) == weight, 60, "the new weight")
            )
            assert len(destinations()) == services * servers
            time.sleep(1)
        found["pss_kib"].append(sum(map(pss_kib, it.pids())))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{it.said()}") from None
    return found


def taken() -> int:
    """TCP connections that this kernel has taken."""
    return connections(Path("/proc/net/snmp").read_text())


def used(it: Daemon) -> float:
    """Processor time so far, in seconds: in ticks, for this kernel counts nothing finer."""
    total = 0
    for pid in it.pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def checks(daemon: str, kind: str, count: int, seconds: float) -> Samples:
    """Checks once a second of so many real servers: their cost, and how evenly the first ones are spread."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=serve, args=(theirs, kind), daemon=True).start()
    port = ours.recv()
    check = "TCP_CHECK { connect_timeout 20 }"
    if kind == "http":
        check = "HTTP_GET { url { path /\n status_code 200 }\n connect_timeout 20 }"
    per_service = min(count, 100)
    it = Daemon(daemon, text_of(count // per_service, per_service, port=port, check=check))
    try:
        until(lambda: taken() > 0, 60, "the first check", every=0.001)
        steps, seen = [], 0
        for _ in range(40):  # until all were asked, in tenths of a second
            time.sleep(0.1)
            now = taken()
            steps.append(min(now, count) - min(seen, count))
            seen = now
        time.sleep(4)
        spent, done, began = used(it), taken(), time.perf_counter()
        time.sleep(seconds)
        spent, done = used(it) - spent, taken() - done
        passed = time.perf_counter() - began
        assert done, "no checks"
        return {
            "busiest_percent": [100 * max(steps) / count],
            "checks_per_s": [done / passed],
            "us_per_check": [spent / done * 1e6],
            "core_percent": [100 * spent / passed],
            "pss_kib": [sum(map(pss_kib, it.pids()))],
        }
    except AssertionError as error:
        raise AssertionError(f"{error}\n{it.said()}") from None


if __name__ == "__main__":
    subject = {"table": table, "daemon": whole, "checks": checks}[sys.argv[1]]
    print(json.dumps(subject(**json.loads(sys.argv[2]))), flush=True)
