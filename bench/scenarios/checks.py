"""Health checks by the thousand in the daemon that also sends adverts every 10 ms."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable

from bench.bed import HIGH, address_of, bed, sleep_ms
from bench.daemons import Vrrp, keepalived_text
from bench.lvs_checks import taken
from bench.model import Case, Goal, Metric, Size
from fastha.lab import FasthaDaemon, Node, cpu_seconds, gaps_ms, pss_kib, wait_for

TITLE = "Health checks beside VRRP"
TEXT = """One master at 10 ms adverts whose daemon also asks so many real servers once a second whether they
take a TCP connection, or for a page; they are addresses of its own loopback, with one process behind them.
*Lag* is how late checks began, by the daemon's own account: the bound below which 99 % are, in a span in
which it is asked once by `fastha show servers` and once for its metrics. *Deviation* and *missed* are of the
adverts; *checks* are the connections that the kernel counted. The kernel of this machine need not have IPVS:
checks run without it (and so nobody is here to compare with, for keepalived's do not).
"""
METRICS = (
    Metric("deviation_ms", "deviation, ms", ("p50", "p99", "max"), 3, plot=True),
    Metric("missed", "missed", ("sum",), 0),
    Metric("checks_per_s", "checks a second", ("p50",), 0),
    Metric("lag_ms", "lag, ms (p99)", ("p50",), 0),
    Metric("core_percent", "daemon, % of a core", ("p50",), 1),
    Metric("pss_kib", "PSS, KiB", ("p50",), 0),
)
GOALS = (
    Goal("no advert missed", "missed", "sum", "keepalived", 0),
    Goal("as many as are asked for", "checks_per_s", "p50", "keepalived", 0, 9900, ("10000 checks/s",), True),
    Goal(
        "as many as are asked for",
        "checks_per_s",
        "p50",
        "keepalived",
        0,
        4950,
        ("5000 HTTP checks/s",),
        True,
    ),
    Goal(
        "99 % begin within 50 ms",
        "lag_ms",
        "p50",
        "keepalived",
        0,
        50,
        ("10000 checks/s", "5000 HTTP checks/s"),
    ),
)
INTERVAL = 10
_METRICS = "127.0.0.1:9650"
_SCRAPE = """
import sys, urllib.request
with urllib.request.urlopen(f"http://{sys.argv[1]}/metrics", timeout=60) as page:
    print(page.read().decode())
"""
_SERVER = """
import sys
from bench.lvs_checks import serve
class Pipe:
    def send(self, port): print(port, flush=True)
serve(Pipe(), sys.argv[1])
"""


def cases(size: Size) -> list[Case]:
    """So many real servers, for so many seconds."""
    plan = {
        "smallest": ((20, "tcp"),),
        "quick": ((2000, "tcp"), (1000, "http")),
        "full": ((0, "tcp"), (1000, "tcp"), (5000, "tcp"), (10000, "tcp"), (5000, "http")),
    }[size]
    seconds = {"smallest": 1.0, "quick": 3.0, "full": 20.0}[size]
    return [
        Case(
            f"{count} {'' if kind == 'tcp' else 'HTTP '}checks/s",
            {"count": count, "kind": kind, "seconds": seconds},
            ("fastha",),
        )
        for count, kind in plan
    ]


def _servers(count: int, port: int, kind: str) -> str:
    """Virtual servers of a hundred real ones each."""
    check = "TCP_CHECK { connect_timeout 5 }"
    if kind == "http":
        check = "HTTP_GET {\n url { path /\n status_code 200\n }\n connect_timeout 5\n }"
    out = []
    for start in range(0, count, 100):
        out.append(f"virtual_server 10.250.{start // 100 // 250}.{start // 100 % 250 + 1} 80 {{")
        out += ["    lb_algo rr", "    lb_kind NAT", "    protocol TCP", "    delay_loop 1"]
        for n in range(start, min(start + 100, count)):
            out.append(f"    real_server 127.1.{n // 250}.{n % 250 + 1} {port} {{")
            out.append(f"        {check}")
            out.append("    }")
        out.append("}")
    return "\n".join(out) + "\n"


def _connections(node: Node) -> int:
    """Connections that this node's kernel has taken."""
    return taken(node.run("cat", "/proc/net/snmp"))


def _lags(daemon: FasthaDaemon) -> dict[float, int]:
    """How many checks began how late so far, by upper bound in milliseconds."""
    return dict(daemon.show("servers")["lag_ms"])


def _scrape(node: Node) -> str:
    """All metrics, as Prometheus asks for them."""
    return node.run(sys.executable, "-c", _SCRAPE, _METRICS)


def _p99(counts: Iterable[tuple[float, int]]) -> float:
    """The bound below which 99 % are, of (upper bound, count) pairs."""
    pairs = list(counts)
    seen, total = 0, sum(count for _, count in pairs)
    for bound, count in pairs:
        seen += count
        if seen >= 0.99 * total:
            return bound
    return 0.0


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed with a master alone."""
    count, seconds, kind = (case.parameters[word] for word in ("count", "seconds", "kind"))
    with bed(daemon) as made:
        node = made.node(1)
        server = node.popen(sys.executable, "-c", _SERVER, kind, stdout=-1)
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            router = Vrrp(1, HIGH, INTERVAL, address_of(0), source="10.0.0.1")
            text = keepalived_text([router]) + _servers(count, port, kind)
            master = FasthaDaemon(node, f"global_defs {{\n fastha_metrics {_METRICS}\n}}\n{text}")
            since = time.time_ns()
            master.start(timeout=30)
            made.wait_masters(1, 1, since, 30)
            # every server has been asked once, and is asked every second
            first = _connections(node)
            wait_for("the checks run", lambda: _connections(node) - first >= count, timeout=60, every=0.5)
            lags = _lags(master) if count else {}
            sleep_ms(2000 if seconds > 1 else 200)
            used, taken, began = sum(map(cpu_seconds, master.pids())), _connections(node), time.monotonic()
            begin = time.time_ns()
            sleep_ms(seconds * 500)
            assert "fastha_check_up{" in _scrape(node) or not count
            sleep_ms(begin / 1e6 + seconds * 1000 - time.time_ns() / 1e6)
            end = time.time_ns()
            used, taken = sum(map(cpu_seconds, master.pids())) - used, _connections(node) - taken
            passed = time.monotonic() - began
            memory = sum(map(pss_kib, master.pids()))
            late = _lags(master) if count else {}
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
        "lag_ms": [_p99((bound, number - lags.get(bound, 0)) for bound, number in late.items())],
        "core_percent": [100 * used / passed],
        "pss_kib": [memory],
    }
