"""keepalived's dumps on keepalived's signals, so that scripts and exporters made for it go on working.

SIGUSR1 writes keepalived.data, SIGUSR2 keepalived.stats, SIGRTMIN+2 keepalived.json; SIGRTMAX-1 writes the
statistics and counts from 0 again in what is written. Files are written in a worker thread: a slow disk
holds up nobody.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fastha.scripts.pool import DaemonPool
from fastha.telemetry.dump_json import dump_json
from fastha.telemetry.dump_text import dump_data, dump_stats
from fastha.telemetry.files import Dump, dump_path, write_file_aside
from fastha.telemetry.prometheus import render
from fastha.telemetry.recorder import TransitionRecorder
from fastha.telemetry.snapshot import DaemonSnapshot, InstanceStats, Metric

from . import metrics_planned, metrics_seen, snapshots

if TYPE_CHECKING:
    from fastha.lvs.snapshot import LvsSnapshot

    from .main import Daemon

_NO_STATS = InstanceStats()


class Dumps:
    """Takes snapshots of a daemon, and writes them when signals ask for it."""

    def __init__(self, daemon: Daemon, recorder: TransitionRecorder | None = None) -> None:
        self._daemon = daemon
        self._recorder = recorder
        self._cleared: dict[str, InstanceStats] = {}
        self._pool = DaemonPool(1, "dump")
        self._pages = DaemonPool(1, "metrics")
        self._writing: set[asyncio.Task[None]] = set()

    def write(self, what: str) -> None:
        """Writes a dump: "data", "stats", "json" or "stats_and_clear". Raises KeyError for another."""
        {"data": self.data, "stats": self.stats, "json": self.json, "stats_and_clear": self.stats_and_clear}[
            what
        ]()

    def snapshot(self) -> DaemonSnapshot:
        """Everything at this moment."""
        daemon = self._daemon
        hooks = daemon.hooks
        return snapshots.build(
            daemon.engine,
            daemon.manager,
            daemon.config,
            hub=hooks.hub if hooks is not None else None,
            notifier=hooks.notifier if hooks is not None else None,
            recorder=self._recorder,
            started=daemon.started_wall,
            more=self._more(),
            histograms=metrics_seen.histograms(daemon.engine, daemon.manager.instances.values()),
        )

    def _more(self) -> tuple[Metric, ...]:
        """Metrics of the rooms that are loaded."""
        daemon = self._daemon
        found = metrics_seen.metrics(daemon.engine, daemon.manager.instances.values(), daemon.split_brains)
        found += metrics_planned.metrics(daemon)
        if daemon.sessions is not None:
            found += daemon.sessions.metrics()
        return found

    async def metrics(self) -> bytes:
        """All metrics in Prometheus' text format.

        They are written by a worker thread: for ten thousand real servers that takes seconds, in which the
        checks go on. What it reads are values of this moment that nobody changes any more.
        """
        daemon = self._daemon
        lvs = None
        if daemon.balance is not None and daemon.balance.manager is not None:
            manager = daemon.balance.manager
            await daemon.balance.fetch()
            lvs = await manager.snapshot_in_portions()
        return await asyncio.get_running_loop().run_in_executor(self._pages, _page, self.snapshot(), lvs)

    def data(self) -> None:
        """Writes keepalived.data."""
        self._write(Dump.VRRP, lambda: dump_data(self.snapshot()))

    def stats(self) -> None:
        """Writes keepalived.stats."""
        self._write(Dump.STATS, lambda: dump_stats(self._since_cleared()))

    def stats_and_clear(self) -> None:
        """Writes keepalived.stats; what is written later counts from here."""
        self.stats()
        self._cleared = {one.iname: one.stats for one in self.snapshot().instances}

    def json(self) -> None:
        """Writes keepalived.json; nothing without instances, as keepalived."""
        version = self._daemon.config.globals_.json_version
        self._write(Dump.JSON, lambda: dump_json(self._since_cleared(), version))

    def _since_cleared(self) -> DaemonSnapshot:
        taken = self.snapshot()
        if not self._cleared:
            return taken
        instances = tuple(
            msgspec.structs.replace(one, stats=_less(one.stats, self._cleared.get(one.iname, _NO_STATS)))
            for one in taken.instances
        )
        return msgspec.structs.replace(taken, instances=instances)

    def _write(self, dump: Dump, make: Callable[[], str | None]) -> None:
        text = make()
        if text is None:
            return
        g = self._daemon.config.globals_
        suffix = ""
        if g.data_use_instance:
            parts = [part for part in (g.net_namespace, g.instance) if part]
            suffix = f".{'_'.join(parts)}" if parts else ""
        path = dump_path(dump, os.environ, state_dump_file=g.state_dump_file, suffix=suffix)
        task = asyncio.get_running_loop().create_task(
            self._put(path, text.encode("utf-8", "surrogateescape"))
        )
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _put(self, path: Path, data: bytes) -> None:
        try:
            await write_file_aside(path, data, executor=self._pool)
        except OSError as error:
            self._daemon.log("warning", f"cannot write {path}: {error.strerror}", key=f"dump {path}")


def _page(taken: DaemonSnapshot, lvs: LvsSnapshot | None) -> bytes:
    if lvs is None:
        return render(taken)
    from . import metrics_lvs  # noqa: PLC0415

    return render(taken, metrics_lvs.metrics(lvs))


def _less(now: InstanceStats, before: InstanceStats) -> InstanceStats:
    """The difference of all counters; an engine that counts anew is taken as it is."""
    return InstanceStats(
        **{
            name: _since(getattr(now, name), getattr(before, name))
            for name in InstanceStats.__struct_fields__
        }
    )


def _since(now: int, before: int) -> int:
    return now - before if now >= before else now
