"""Everything about load balancing at one moment, as `fastha show servers` prints it. Plain values."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import msgspec

from fastha._core.ipvs import Destination, Stats
from fastha.lvs.directors import DirectorSnapshot
from fastha.lvs.monitor import Monitor, Outcome
from fastha.lvs.reconcile import Reconciler
from fastha.lvs.service import Drain, RealState, VirtualState
from fastha.lvs.state import destination


class CheckerSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One checker of a real server. Ages are seconds, latencies milliseconds."""

    kind: str
    up: bool
    reason: str
    warning: str = ""
    has_run: bool = False
    runs: int = 0
    failures: int = 0
    cannot_run: int = 0
    retries_left: int = 0
    weight_change: int = 0
    age: float | None = None
    next_in: float | None = None
    suspended: bool = False
    shared_by: int = 1
    latency_ms: dict[str, float] = {}
    last_results: tuple[Outcome, ...] = ()


class CounterSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """IPVS counters, as last read; rates are per second."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    connections_per_second: int = 0
    in_bytes_per_second: int = 0
    out_bytes_per_second: int = 0
    active: int = 0
    inactive: int = 0
    persistent: int = 0


class ServerSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One real server. `state` is up, down, draining, drained, standby, held or kept (panic)."""

    name: str
    address: str
    port: int
    method: str
    state: str
    up: bool
    why: str
    weight: int
    configured_weight: int
    effective_weight: int
    set_weight: int | None = None
    wished_at: str = ""
    """The director at which a drain or weight was set, when they share them."""
    pool: int = 0
    inhibit: bool = False
    in_ipvs: bool = False
    since: float = 0.0
    transitions: int = 0
    drain_deadline_in: float | None = None
    snmp_name: str | None = None
    checkers: tuple[CheckerSnapshot, ...] = ()
    counters: CounterSnapshot = CounterSnapshot()


class VirtualSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual server. `since` is how many seconds the quorum has been as it is."""

    name: str
    protocol: str
    scheduler: str
    quorum_up: bool
    quorum: int
    hysteresis: int
    alive_weight: int
    pool: int = 0
    panic: bool = False
    suspended: bool = False
    sorry_server: str | None = None
    sorry_in_use: bool = False
    since: float = 0.0
    snmp_name: str | None = None
    services: tuple[str, ...] = ()
    servers: tuple[ServerSnapshot, ...] = ()
    counters: CounterSnapshot = CounterSnapshot()


class LvsSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `problem` says why IPVS cannot be used. `lag_ms` counts by upper bound how late checks
    began."""

    problem: str = ""
    virtual_servers: tuple[VirtualSnapshot, ...] = ()
    checks_started: int = 0
    checks_under_way: int = 0
    lag_ms: tuple[tuple[float, int], ...] = ()
    worst_lag_ms: float = 0.0
    ipvs_messages: int = 0
    ipvs_refused: int = 0
    ipvs_repaired: int = 0
    directors: tuple[DirectorSnapshot, ...] = ()
    director_packets_refused: dict[str, int] = {}


def _counters(rows: list[tuple[Stats, int, int, int]]) -> CounterSnapshot:
    return CounterSnapshot(
        connections=sum(row[0].conns for row in rows),
        in_packets=sum(row[0].in_packets for row in rows),
        out_packets=sum(row[0].out_packets for row in rows),
        in_bytes=sum(row[0].in_bytes for row in rows),
        out_bytes=sum(row[0].out_bytes for row in rows),
        connections_per_second=sum(row[0].conn_rate for row in rows),
        in_bytes_per_second=sum(row[0].in_byte_rate for row in rows),
        out_bytes_per_second=sum(row[0].out_byte_rate for row in rows),
        active=sum(row[1] for row in rows),
        inactive=sum(row[2] for row in rows),
        persistent=sum(row[3] for row in rows),
    )


def _state(virtual: VirtualState, server: RealState) -> str:
    if server.drain is not Drain.NO:
        return str(server.drain.value)
    if not server.alive:
        return "kept" if server.kept else "held" if server.held_until_ns else "down"
    return "up" if virtual.serves(server) else "standby"


def checker_snapshot(monitor: Monitor, now: int) -> CheckerSnapshot:
    """One monitor as an operator sees it."""
    config = monitor.conf.__struct_config__
    return CheckerSnapshot(
        kind=str(config.tag),
        up=monitor.up,
        reason=monitor.reason or (monitor.results[-1].reason if monitor.results else ""),
        warning=monitor.warning,
        has_run=monitor.has_run,
        runs=monitor.runs,
        failures=monitor.failures,
        cannot_run=monitor.cannot_run,
        retries_left=monitor.tries_left,
        weight_change=monitor.delta,
        age=(now - monitor.checked_ns) / 1e9 if monitor.checked_ns else None,
        next_in=max(0.0, (monitor.due_ns - now) / 1e9) if monitor.due_ns > 0 else None,
        suspended=monitor.suspended,
        shared_by=len(monitor.slots),
        latency_ms=monitor.percentiles_ms(),
        last_results=tuple(monitor.results),
    )


def server_snapshot(
    virtual: VirtualState,
    server: RealState,
    monitors: list[Monitor],
    reconciler: Reconciler,
    origin: str,
    now: int,
) -> ServerSnapshot:
    """One real server as an operator sees it; `origin`: see `wished_at`."""
    entries: list[Destination] = []
    for service in virtual.services:
        known = reconciler.known.get(service.key)
        if known is not None:
            there = known.destinations.get(destination(service, server.conf, 0).key)
            if there is not None:
                entries.append(there)
    return ServerSnapshot(
        name=server.name,
        address=str(server.conf.address),
        port=server.conf.port,
        method=server.conf.forwarding.method,
        state=_state(virtual, server),
        up=server.alive,
        why=server.reason,
        weight=server.full_weight,
        configured_weight=server.conf.weight,
        effective_weight=server.weight(now),
        set_weight=server.set_weight,
        wished_at=origin,
        pool=server.conf.pool,
        inhibit=server.conf.inhibit_on_failure,
        in_ipvs=bool(entries),
        since=(now - server.changed_ns) / 1e9,
        transitions=server.transitions,
        drain_deadline_in=(server.drain_deadline_ns - now) / 1e9
        if server.drain is Drain.DRAINING and server.drain_deadline_ns < 1 << 62
        else None,
        snmp_name=server.conf.snmp_name,
        checkers=tuple(checker_snapshot(monitor, now) for monitor in monitors),
        counters=_counters([(d.stats, d.active, d.inactive, d.persistent) for d in entries]),
    )


def virtual_snapshot(
    virtual: VirtualState,
    monitors: dict[int, list[Monitor]],
    reconciler: Reconciler,
    origin: Callable[[RealState], str],
) -> Generator[None, None, VirtualSnapshot]:
    """One virtual server; yields after each real server, so that other work can go on meanwhile.

    `monitors`: those of each real server, by its id(); `origin`: see `wished_at`.
    """
    servers = []
    for server in tuple(virtual.servers):
        now = time.monotonic_ns()
        found = monitors.get(id(server), [])
        servers.append(server_snapshot(virtual, server, found, reconciler, origin(server), now))
        yield
    now = time.monotonic_ns()
    sorry = virtual.conf.sorry_server
    known = [reconciler.known[s.key] for s in virtual.services if s.key in reconciler.known]
    return VirtualSnapshot(
        name=virtual.name,
        protocol=virtual.conf.protocol,
        scheduler=virtual.conf.scheduler,
        quorum_up=virtual.quorum_up,
        quorum=virtual.quorum,
        hysteresis=virtual.hysteresis,
        alive_weight=virtual.alive_weight(),
        pool=virtual.level,
        panic=virtual.panic,
        suspended=virtual.suspended,
        sorry_server=None if sorry is None else f"{sorry.address}:{sorry.port}",
        sorry_in_use=sorry is not None and not virtual.quorum_up,
        since=(now - virtual.changed_ns) / 1e9,
        snmp_name=virtual.conf.snmp_name,
        services=tuple(str(service) for service in virtual.services),
        servers=tuple(servers),
        counters=_counters([(entry.service.stats, 0, 0, 0) for entry in known]),
    )
