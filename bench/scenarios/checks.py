"""Health checks by the thousand in the daemon that also sends adverts every 10 ms."""

from __future__ import annotations

import itertools
import sys
import time

from bench.bed import HIGH, address_of, bed, sleep_ms
from bench.daemons import Vrrp, keepalived_text
from bench.model import Case, Goal, Metric, Size
from fastha.lab import FasthaDaemon, Node, cpu_seconds, gaps_ms, pss_kib, wait_for

TITLE = "Health checks beside VRRP"
TEXT = """One master at 10 ms adverts whose daemon also asks so many real servers once a second whether they
take a TCP connection; they are addresses of its own loopback, with one process behind them. *Deviation* and
*missed* are of the adverts; *checks* are the connections that the kernel counted. The kernel of this machine
need not have IPVS: checks run without it (and so nobody is here to compare with, for keepalived's do not).
"""
METRICS = (
    Metric("deviation_ms", "deviation, ms", ("p50", "p99", "max"), 3, plot=True),
    Metric("missed", "missed", ("sum",), 0),
    Metric("checks_per_s", "checks a second", ("p50",), 0),
    Metric("core_percent", "daemon, % of a core", ("p50",), 1),
    Metric("pss_kib", "PSS, KiB", ("p50",), 0),
)
GOALS = (
    Goal("no advert missed", "missed", "sum", "keepalived", 0),
    Goal("as many as are asked for", "checks_per_s", "p50", "keepalived", 0, 9900, ("10000 checks/s",), True),
)
INTERVAL = 10
_SERVER = """
from bench.lvs_checks import serve
class Pipe:
    def send(self, port): print(port, flush=True)
serve(Pipe(), "tcp")
"""


def cases(size: Size) -> list[Case]:
    """So many real servers, for so many seconds."""
    plan = {"smallest": (20,), "quick": (0, 2000), "full": (0, 1000, 5000, 10000)}
    seconds = {"smallest": 1.0, "quick": 4.0, "full": 20.0}[size]
    return [
        Case(f"{count} checks/s", {"count": count, "seconds": seconds}, ("fastha",)) for count in plan[size]
    ]


def _servers(count: int, port: int) -> str:
    """Virtual servers of a hundred real ones each."""
    out = []
    for start in range(0, count, 100):
        out.append(f"virtual_server 10.250.{start // 100 // 250}.{start // 100 % 250 + 1} 80 {{")
        out += ["    lb_algo rr", "    lb_kind NAT", "    protocol TCP", "    delay_loop 1"]
        for n in range(start, min(start + 100, count)):
            out.append(f"    real_server 127.1.{n // 250}.{n % 250 + 1} {port} {{")
            out.append("        TCP_CHECK { connect_timeout 5 }")
            out.append("    }")
        out.append("}")
    return "\n".join(out) + "\n"


def _connections(node: Node) -> int:
    """Connections that this node's kernel has taken."""
    names, values = (
        line.split() for line in node.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Tcp:")
    )
    return int(values[names.index("PassiveOpens")])


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed with a master alone."""
    count, seconds = case.parameters["count"], case.parameters["seconds"]
    with bed(daemon) as made:
        node = made.node(1)
        server = node.popen(sys.executable, "-c", _SERVER, stdout=-1)
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            router = Vrrp(1, HIGH, INTERVAL, address_of(0), source="10.0.0.1")
            master = FasthaDaemon(node, keepalived_text([router]) + _servers(count, port))
            since = time.time_ns()
            master.start(timeout=30)
            made.wait_masters(1, 1, since, 30)
            # every server has been asked once, and is asked every second
            first = _connections(node)
            wait_for("the checks run", lambda: _connections(node) - first >= count, timeout=60, every=0.5)
            sleep_ms(2000 if seconds > 1 else 200)
            used, taken, began = sum(map(cpu_seconds, master.pids())), _connections(node), time.monotonic()
            begin = time.time_ns()
            sleep_ms(seconds * 1000)
            end = time.time_ns()
            used, taken = sum(map(cpu_seconds, master.pids())) - used, _connections(node) - taken
            passed = time.monotonic() - began
            memory = sum(map(pss_kib, master.pids()))
            sleep_ms(100)
            frames = made.capture.adverts("r1", since=begin, until=end)
            assert master.running
        finally:
            server.kill()
            server.wait()
    times = [begin, *(frame.at_ns for frame in frames), end]
    return {
        "deviation_ms": [abs(gap - INTERVAL) for gap in gaps_ms(frames)],
        "missed": [sum(max(0, round((b - a) / 1e6 / INTERVAL) - 1) for a, b in itertools.pairwise(times))],
        "checks_per_s": [taken / passed],
        "core_percent": [100 * used / passed],
        "pss_kib": [memory],
    }
