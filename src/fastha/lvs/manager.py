"""The load balancer as the daemon owns it: one object that starts, reloads, stops, and tells what happens.

It joins the pure parts (`service`, `monitor`) with the kernel (`reconcile`) and the checks (`scheduler`,
`checkers`). What a check finds becomes, within one turn of the event loop, events for the daemon and at
most a
handful of netlink messages. It never touches VRRP, and nothing here waits for a script or a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from fastha._core.probe import Probes
from fastha.config.model_base import Command
from fastha.config.model_lvs import (
    LvsConfig,
)
from fastha.lvs.checkers.base import Env
from fastha.lvs.checking import Checking
from fastha.lvs.datapath import DataPaths
from fastha.lvs.events import LvsEvent
from fastha.lvs.ipvs import Ipvs
from fastha.lvs.monitor import Monitor
from fastha.lvs.reconcile import Reconciler
from fastha.lvs.scheduler import LAG_BOUNDS_MS, Scheduler
from fastha.lvs.service import NEVER, Drain, RealState, VirtualState
from fastha.lvs.shared import Wish
from fastha.lvs.snapshot import LvsSnapshot, VirtualSnapshot, virtual_snapshot
from fastha.lvs.state import Table
from fastha.lvs.store import Store, Stored, believe, gather, grant, unpack_key
from fastha.lvs.syncd import SyncFollower
from fastha.lvs.together import Together
from fastha.scripts.runner import Program, Runner

_TICK_S = 1.0
_SAVE_AFTER_S = 2.0
_PORTION = 50
"""Real servers that a snapshot looks at before other things have their turn: about a millisecond."""


class UnknownServerError(LookupError):
    """No real server fits what the operator named."""


class LvsManager(Checking):
    """See the module. All methods are to be called on the event loop it is used in."""

    def __init__(
        self,
        emit: Callable[[LvsEvent], None],
        *,
        runner: Runner | None = None,
        program: Callable[[Command], Program | str] | None = None,
        state_path: Path | None = None,
        inside: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        """`emit` is given every event. `runner` and `program` run MISC_CHECK (see `Env`). `state_path` is
        where
        verdicts and the operator's wishes are kept. `inside` makes a context in which the netlink socket is
        opened (the network namespace of net_namespace_ipvs)."""
        super().__init__(emit, program)
        self._runner = runner
        self._inside = inside
        self._store = Store(state_path)
        self._stored = Stored()
        self.config = LvsConfig()
        self.problem = ""
        self._dirty: dict[int, VirtualState] = {}
        self._timed: dict[int, VirtualState] = {}
        self._flush_handle: asyncio.Handle | None = None
        self._tick_handle: asyncio.TimerHandle | None = None
        self._save_handle: asyncio.TimerHandle | None = None
        self._repairs: asyncio.Task[None] | None = None
        self._client: Ipvs | None = None
        self._together = Together(self._wished, self._tell)

    # -- life --

    async def start(self, config: LvsConfig) -> None:
        """Begins: takes over what the kernel has, puts it right, and starts the checks.

        A kernel without IPVS is told as an error and does not raise: checks run all the same, and the
        table is
        written when IPVS appears.
        """
        self._loop = asyncio.get_running_loop()
        self._probes = Probes()
        self._loop.add_reader(self._probes.fileno(), self._probes.poll)
        self._env = Env(self._loop, self._probes, runner=self._runner, program=self._program)
        self._scheduler = Scheduler(self._loop)
        self._client = Ipvs(
            receive_buffer=config.netlink_rcv_bufs, force=config.netlink_rcv_bufs_force, inside=self._inside
        )
        self._reconciler = Reconciler(self._client, self._tell)
        self._syncd = SyncFollower(self._client, self._tell)
        self._paths = DataPaths(self._tell)
        self._stored = self._store.load()
        self._running = True
        now = time.monotonic_ns()
        self.config = config
        self.virtual = [VirtualState(conf) for conf in config.virtual_servers]
        believe(self._stored, self.virtual)
        for virtual in self.virtual:
            self._tell_all(virtual.start(now, init_notifies=config.rs_init_notifies))
        self._want_all(now)
        await self._write_table(first=True)
        self._attach_monitors(now)
        self._repairs = self._loop.create_task(self._repair_for_ever())
        await self._together.configure(config.share, self.virtual, self._stored.wishes)
        self._need_tick()

    async def reload(self, config: LvsConfig) -> int:
        """Goes over to another configuration: what did not change is not touched. Returns how many messages
        the kernel was sent."""
        now = time.monotonic_ns()
        old = {virtual.key: virtual for virtual in self.virtual}
        self.config = config
        self.virtual = [VirtualState(conf) for conf in config.virtual_servers]
        for virtual in self.virtual:
            was = old.pop(virtual.key, None)
            if was is None:
                grant(virtual, self._stored.wishes)
                self._tell_all(virtual.start(now, init_notifies=config.rs_init_notifies))
            else:
                virtual.inherit(was, now)
                self._tell_all(virtual.reweigh(now, "reload"))
        for gone in old.values():
            self._tell_all(gone.stop(now))
        self._want_all(now)
        sent = await self._write_table(first=False)
        self._attach_monitors(now)
        self._suspend_monitors()
        await self._together.configure(config.share, self.virtual, self._stored.wishes)
        self._need_tick()
        self._need_save()
        return sent

    async def stop(self, *, keep: bool = False) -> None:
        """Ends the checks and, unless `keep`, takes our services out of the kernel as configured."""
        if not self._running:
            return
        self._running = False
        self._together.close()
        if self._repairs is not None:
            self._repairs.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._repairs
        self._scheduler.close()
        for monitor in self._monitors.values():
            monitor.stop()
        for handle in (self._flush_handle, self._tick_handle, self._save_handle):
            if handle is not None:
                handle.cancel()
        self._loop.remove_reader(self._probes.fileno())
        self._probes.close()
        now = time.monotonic_ns()
        for virtual in self.virtual:
            self._tell_all(virtual.stop(now))
        with contextlib.suppress(OSError):
            if not keep and not self.problem:
                self._syncd.stop()
                if self.config.flush_on_stop == "all":
                    assert self._client is not None
                    self._client.flush()
                    self._reconciler.known.clear()
                self._reconciler.wanted = {}
                await self._reconciler.push_all()
        await self._save()
        if self._client is not None:
            self._client.close()

    # -- what others tell --

    def on_vrrp_state(self, instance: str, state: str, vrid: int = 0) -> None:
        """A VRRP instance is in this state (MASTER, BACKUP, FAULT...): the sync daemon follows."""
        if self._running and not self.problem:
            self._syncd.on_vrrp_state(instance, state, vrid)

    # -- what the operator asks --

    def find(self, server: str, virtual_server: str | None = None) -> list[RealState]:
        """The real servers that `HOST`, `HOST:PORT` or `[HOST]:PORT` names, in all virtual servers or in one.

        Raises UnknownServerError.
        """
        host, port = _split(server)
        found = [
            real
            for virtual in self.virtual
            if virtual_server is None or virtual.name == virtual_server
            for real in virtual.servers
            if str(real.conf.address) == host and port in (None, real.conf.port)
        ]
        if not found:
            there = sorted({f"{r.conf.address}:{r.conf.port}" for v in self.virtual for r in v.servers})
            hint = f"; there are {', '.join(there[:8])}" + (" ..." if len(there) > 8 else "") if there else ""
            raise UnknownServerError(f"no real server {server}{hint}")
        return found

    async def drain(
        self, server: str, *, deadline_s: float | None = None, virtual_server: str | None = None
    ) -> list[str]:
        """No new connections; removed when the last one has ended, or at the deadline. Returns the names."""
        now = time.monotonic_ns()
        deadline = NEVER if deadline_s is None else now + int(deadline_s * 1e9)
        return self._set(self.find(server, virtual_server), now, drain=Drain.DRAINING, deadline_ns=deadline)

    async def undrain(self, server: str, *, virtual_server: str | None = None) -> list[str]:
        """Takes a drain back. Returns the names."""
        return self._set(self.find(server, virtual_server), time.monotonic_ns(), drain=Drain.NO)

    async def set_weight(
        self, server: str, weight: int | None, *, virtual_server: str | None = None
    ) -> list[str]:
        """Another weight than the configured one, or with None that one again. Raises ValueError."""
        if weight is not None and not 0 <= weight <= 65535:
            raise ValueError(f"a weight is 0 to 65535, not {weight}")
        found = self.find(server, virtual_server)
        return self._set(found, time.monotonic_ns(), weight=weight, unset_weight=weight is None)

    async def refresh(self) -> None:
        """Reads the kernel's counters anew."""
        if not self.problem:
            with contextlib.suppress(OSError):
                await self._reconciler.read_back()

    def snapshot(self) -> LvsSnapshot:
        """Everything at this moment, with counters as last read (see `refresh`)."""
        shots: list[VirtualSnapshot] = []
        for _ in self._virtual_snapshots(shots):
            pass
        return self._snapshot(shots)

    async def snapshot_in_portions(self) -> LvsSnapshot:
        """The same, while checks go on: ten thousand servers take a third of a second. Each server is as it
        was at some moment meanwhile."""
        shots: list[VirtualSnapshot] = []
        for number, _ in enumerate(self._virtual_snapshots(shots), 1):
            if number % _PORTION == 0:
                await asyncio.sleep(0)
        return self._snapshot(shots)

    def _virtual_snapshots(self, shots: list[VirtualSnapshot]) -> Iterator[None]:
        """Fills `shots`, a real server at a time."""
        if not self._running:
            return
        by_server: dict[int, list[Monitor]] = {}
        for monitor in self._monitors.values():
            for slot in monitor.slots:
                by_server.setdefault(id(slot.server), []).append(monitor)
        for virtual in tuple(self.virtual):
            shot = yield from virtual_snapshot(virtual, by_server, self._reconciler, self._together.origin)
            shots.append(shot)

    def _snapshot(self, virtual_servers: list[VirtualSnapshot]) -> LvsSnapshot:
        if not self._running:
            return LvsSnapshot()
        lags = self._scheduler.lags
        return LvsSnapshot(
            problem=self.problem,
            virtual_servers=tuple(virtual_servers),
            directors=self._together.directors(),
            director_packets_refused=self._together.refused(),
            checks_started=self._scheduler.started,
            checks_under_way=self._scheduler.under_way,
            lag_ms=tuple(zip((*map(float, LAG_BOUNDS_MS), float("inf")), lags, strict=True)),
            worst_lag_ms=self._scheduler.worst_lag_ns / 1e6,
            ipvs_messages=self._reconciler.tally.sent,
            ipvs_refused=self._reconciler.tally.refused,
            ipvs_repaired=self._reconciler.tally.repaired,
        )

    # -- the kernel --

    def _want(self, virtual: VirtualState, now: int) -> list[tuple[int | bytes, ...]]:
        table: Table = {**virtual.wanted(now), **self._paths.wanted(virtual)}
        self._reconciler.wanted.update(table)
        return list(table)

    def _want_all(self, now: int) -> None:
        self._reconciler.wanted = {}
        for virtual in self.virtual:
            for key in virtual.wanted(now).keys() & self._reconciler.wanted.keys():
                service = self._reconciler.wanted[key].service
                self._say(
                    "error", f"{service} belongs to more than one virtual server; {virtual.name} has it"
                )
            self._want(virtual, now)

    async def _write_table(self, *, first: bool) -> int:
        config = self.config
        assert self._client is not None
        if first and not config.virtual_servers and config.sync_daemon is None and not self._stored.services:
            return 0
        try:
            if first:
                if config.flush:
                    self._client.flush()
                else:
                    await self._reconciler.adopt(unpack_key(key) for key in self._stored.services)
            times = (config.timeout_tcp_s, config.timeout_tcp_fin_s, config.timeout_udp_s)
            if any(each is not None for each in times):
                self._client.set_timeouts(*times)
            sent = await self._reconciler.push_all()
            self._syncd.configure(config.sync_daemon)
        except OSError as error:
            self._failed(error)
            return 0
        self.problem = ""
        return sent

    def _failed(self, error: OSError) -> None:
        text = error.strerror or str(error)
        if text != self.problem:
            self.problem = text
            self._say("error", f"IPVS: {text}")

    def _touch(self, virtual: VirtualState) -> None:
        """What this virtual server wants of the kernel may have changed: sent on the next turn of the
        loop."""
        self._dirty[id(virtual)] = virtual
        if self._flush_handle is None and self._running:
            self._flush_handle = self._loop.call_soon(self._flush)
        self._need_tick((virtual,))
        self._need_save()

    def _flush(self) -> None:
        self._flush_handle = None
        dirty, self._dirty = self._dirty, {}
        now = time.monotonic_ns()
        keys = [key for virtual in dirty.values() for key in self._want(virtual, now)]
        if self.problem:
            return
        try:
            self._reconciler.push(keys)
        except OSError as error:
            self._failed(error)

    async def _repair_for_ever(self) -> None:
        while True:
            interval = self.config.repair_interval_ns / 1e9
            await asyncio.sleep(interval if interval and not self.problem else 5.0)
            if self.problem:
                await self._write_table(first=True)
            elif not self.virtual and self.config.sync_daemon is None:
                continue
            elif interval:
                try:
                    await self._reconciler.repair()
                    self._syncd.repair()
                except OSError as error:
                    self._failed(error)

    # -- time --

    def _need_tick(self, virtuals: Iterable[VirtualState] | None = None) -> None:
        """Asks for a tick while something in these (or in all) changes by time alone."""
        now = time.monotonic_ns()
        for virtual in self.virtual if virtuals is None else virtuals:
            if any(
                server.drain is Drain.DRAINING or server.held_until_ns or server.ramp_ends_ns(now)
                for server in virtual.servers
            ):
                self._timed[id(virtual)] = virtual
        if self._timed and self._tick_handle is None and self._running:
            self._tick_handle = self._loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        self._tick_handle = None
        now = time.monotonic_ns()
        timed, self._timed = self._timed, {}
        current = {id(virtual) for virtual in self.virtual}
        for virtual in timed.values():
            if id(virtual) not in current:
                continue
            touched = False
            for server in virtual.servers:
                touched = touched or bool(server.ramp_ends_ns(now - int(2e9 * _TICK_S)))
                if server.drain is Drain.DRAINING and not server.conf.drain and self._drained(server, now):
                    self._tell_all(virtual.set_server(server, now, drain=Drain.DRAINED))
                    touched = True
            events = virtual.tick(now)
            self._tell_all(events)
            if touched or events:
                self._touch(virtual)
        self._need_tick(timed.values())

    def _drained(self, server: RealState, now: int) -> bool:
        """Whether a draining server may go: nobody is connected, or time is up."""
        left = self._connections(server)
        if now >= server.drain_deadline_ns:
            self._say(
                "warning", f"drain of {server.name}: the deadline has come with {left} connections left"
            )
            return True
        if self._together.busy(server):
            return False
        if left == 0:
            self._say("info", f"drain of {server.name}: the last connection has ended")
            return True
        return False

    def _connections(self, server: RealState) -> int:
        """Active, inactive and persistent connections of a server in its virtual server; -1 when unknown."""
        from fastha.lvs.state import destination  # noqa: PLC0415 - only while draining

        assert self._client is not None
        total = 0
        try:
            for service in server.virtual.services:
                key = destination(service, server.conf, 0).key
                for dest in self._client.destinations(service):
                    if dest.key == key:
                        total += dest.active + dest.inactive + dest.persistent
        except OSError:
            return -1
        return total

    # -- small things --

    def _set(self, servers: list[RealState], now: int, **change: object) -> list[str]:
        for server in servers:
            virtual = server.virtual
            self._tell_all(virtual.set_server(server, now, **change))  # type: ignore[arg-type]
            self._touch(virtual)
        self._together.made(servers)
        return [f"{server.name} of {server.virtual.name}" for server in servers]

    def _wished(self, server: RealState, wish: Wish) -> None:
        """The operator of another director wished this."""
        drain = None if server.conf.drain else Drain.DRAINING if wish.drain else Drain.NO
        if drain is Drain.DRAINING and server.drain is Drain.DRAINED:
            drain = None
        what = "drain" if wish.drain else "no drain"
        if wish.weight is not None:
            what += f", weight {wish.weight}"
        self._say(
            "info", f"{server.name} of {server.virtual.name}: {what}, as wished at director {wish.origin}"
        )
        events = server.virtual.set_server(
            server,
            time.monotonic_ns(),
            drain=drain,
            deadline_ns=self._together.deadline_ns(wish),
            weight=wish.weight,
            unset_weight=wish.weight is None,
        )
        self._tell_all(events)
        self._touch(server.virtual)

    # -- what is kept --

    def _need_save(self) -> None:
        if self._save_handle is None and self._running and self._store.path is not None:
            self._save_handle = self._loop.call_later(_SAVE_AFTER_S, self._save_soon)

    def _save_soon(self) -> None:
        self._save_handle = None
        self._saving = self._loop.create_task(self._save())

    async def _save(self) -> None:
        """Writes the file in a worker thread: a slow disk holds up nobody."""
        if self._store.path is None:
            return
        self._stored = gather(self._reconciler.known, self._monitors.values(), self.virtual)
        self._together.keep(self._stored.wishes)
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._store.save, self._stored)
        except OSError as error:
            self._say(
                "warning", f"cannot keep what is known of servers in {self._store.path}: {error.strerror}"
            )


def _split(server: str) -> tuple[str, int | None]:
    """HOST and PORT of `HOST`, `HOST:PORT`, `[HOST]:PORT`."""
    text, port = server, ""
    if server.startswith("["):
        text, _, rest = server[1:].partition("]")
        port = rest.removeprefix(":")
    elif server.count(":") == 1:
        text, _, port = server.partition(":")
    if port and not port.isdigit():
        raise UnknownServerError(f"'{server}' is no HOST[:PORT]")
    return text, int(port) if port else None
