"""Load balancing's metrics for the export: virtual and real servers, their checks, IPVS' own counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from fastha.lvs.snapshot import CheckerSnapshot, CounterSnapshot, LvsSnapshot, ServerSnapshot, VirtualSnapshot
from fastha.telemetry.snapshot import Metric, Sample

Labels = tuple[tuple[str, str], ...]

_COUNTERS = (
    ("connections", "connections_total", "Connections."),
    ("in_packets", "in_packets_total", "Packets from clients."),
    ("out_packets", "out_packets_total", "Packets to clients that came back this way (NAT)."),
    ("in_bytes", "in_bytes_total", "Octets from clients."),
    ("out_bytes", "out_bytes_total", "Octets to clients that came back this way (NAT)."),
)
SERVER_STATES = ("up", "down", "draining", "drained", "standby", "held", "kept")
_QUANTILES = (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"), ("max", "1"))


def metrics(snapshot: LvsSnapshot) -> Iterator[Metric]:
    """All of load balancing's metrics, each made when it is asked for: of ten thousand servers a metric has
    ten thousand samples."""
    virtuals = [((("virtual_server", v.name),), v) for v in snapshot.virtual_servers]
    reals = [((*labels, ("real_server", r.name)), r) for labels, v in virtuals for r in v.servers]
    checks = [
        ((*labels, ("check", check.kind), ("number", str(number))), check)
        for labels, real in reals
        for number, check in enumerate(real.checkers, 1)
    ]
    yield from _of_virtual_servers(virtuals)
    yield from _of_real_servers(reals)
    yield from _of_checks(checks)
    yield from _of_all(snapshot)


def _of_virtual_servers(rows: Sequence[tuple[Labels, VirtualSnapshot]]) -> Iterable[Metric]:
    def each(name: str, help_: str, value: Callable[[VirtualSnapshot], float], kind: str = "gauge") -> Metric:
        samples = tuple(Sample(labels, value(one)) for labels, one in rows)
        return Metric(name=f"virtual_server_{name}", help=help_, kind=kind, samples=samples)

    yield each("quorum_up", "1 while there is a quorum of real servers.", lambda v: v.quorum_up)
    yield each("quorum_weight", "Weight that makes a quorum.", lambda v: v.quorum)
    yield each("alive_weight", "Weight of the servers that are up.", lambda v: v.alive_weight)
    yield each("sorry_server_in_use", "1 while the sorry server answers.", lambda v: v.sorry_in_use)
    yield each("panic", "1 while too many failed at once and the last good set is kept.", lambda v: v.panic)
    for field, name, help_ in _COUNTERS:
        yield each(name, help_, lambda v, f=field: _count(v.counters, f), "counter")  # type: ignore[misc]


def _of_real_servers(rows: Sequence[tuple[Labels, ServerSnapshot]]) -> Iterable[Metric]:
    def each(name: str, help_: str, value: Callable[[ServerSnapshot], float], kind: str = "gauge") -> Metric:
        samples = tuple(Sample(labels, value(one)) for labels, one in rows)
        return Metric(name=f"real_server_{name}", help=help_, kind=kind, samples=samples)

    yield each("up", "1 while its checks are well.", lambda r: r.up)
    yield Metric(
        name="real_server_state",
        help="1 for the state that the real server is in.",
        samples=tuple(
            Sample((*labels, ("state", state)), r.state == state)
            for labels, r in rows
            for state in SERVER_STATES
        ),
    )
    yield each("weight", "Weight in IPVS; 0: no new connections.", lambda r: r.effective_weight)
    yield each("active_connections", "Connections that are open.", lambda r: r.counters.active)
    yield each("inactive_connections", "Connections that are closing.", lambda r: r.counters.inactive)
    yield each("transitions_total", "Times that it went up or down.", lambda r: r.transitions, "counter")
    for field, name, help_ in _COUNTERS:
        yield each(name, help_, lambda r, f=field: _count(r.counters, f), "counter")  # type: ignore[misc]


def _of_checks(rows: Sequence[tuple[Labels, CheckerSnapshot]]) -> Iterable[Metric]:
    def each(name: str, help_: str, value: Callable[[CheckerSnapshot], float], kind: str) -> Metric:
        samples = tuple(Sample(labels, value(one)) for labels, one in rows)
        return Metric(name=f"check_{name}", help=help_, kind=kind, samples=samples)

    yield each("up", "1 while the check is well.", lambda c: c.up, "gauge")
    yield each("runs_total", "Runs that ended.", lambda c: c.runs, "counter")
    yield each("failures_total", "Runs that failed.", lambda c: c.failures, "counter")
    yield each("cannot_run_total", "Runs that could not be made here.", lambda c: c.cannot_run, "counter")
    yield Metric(
        name="check_latency_seconds",
        help="How long the last runs took; quantile 1 is the longest of them.",
        samples=tuple(
            Sample((*labels, ("quantile", quantile)), check.latency_ms[key] / 1e3)
            for labels, check in rows
            for key, quantile in _QUANTILES
            if key in check.latency_ms
        ),
    )


def _of_all(snapshot: LvsSnapshot) -> Iterable[Metric]:
    def one(name: str, help_: str, value: float, kind: str = "counter") -> Metric:
        return Metric(name=name, help=help_, kind=kind, samples=(Sample((), value),))

    yield one("ipvs_usable", "1 while the kernel's IPVS can be used.", not snapshot.problem, "gauge")
    yield one("ipvs_messages_total", "Changes sent to IPVS.", snapshot.ipvs_messages)
    yield one("ipvs_refused_total", "Changes that IPVS refused.", snapshot.ipvs_refused)
    yield one("ipvs_repaired_total", "Entries put back that somebody changed.", snapshot.ipvs_repaired)
    yield one("checks_started_total", "Checks begun.", snapshot.checks_started)
    yield one("checks_under_way", "Checks that run now.", snapshot.checks_under_way, "gauge")
    yield Metric(
        name="lvs_director_up",
        help="1 while another director that shares drains and weights is heard.",
        kind="gauge",
        samples=tuple(Sample((("director", d.address),), d.here) for d in snapshot.directors),
    )
    yield Metric(
        name="lvs_director_refused_total",
        help="Packets that claim to be another director's and were not believed.",
        kind="counter",
        samples=tuple(
            Sample((("reason", why),), count) for why, count in snapshot.director_packets_refused.items()
        ),
    )
    lag = snapshot.worst_lag_ms / 1e3
    yield one("check_lag_max_seconds", "The latest that a check began since the start.", lag, "gauge")


def _count(counters: CounterSnapshot, field: str) -> int:
    return int(getattr(counters, field))
