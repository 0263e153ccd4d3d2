"""The kernel's connection synchronisation daemon, kept in step with a VRRP instance.

keepalived.conf(5), lvs_sync_daemon: master while the instance is master, backup otherwise; without an
instance
both run. The kernel keeps one daemon of each kind, with the parameters it was started with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from fastha._core import ipvs
from fastha._core.ipvs import SyncDaemon
from fastha.config.model_lvs import SyncDaemonConfig
from fastha.lvs.ipvs import Ipvs


class SyncFollower:
    """Starts, stops and changes the daemon. `tell` is given lines for the log: (level, text)."""

    def __init__(self, client: Ipvs, tell: Callable[[str, str], None]) -> None:
        self._client = client
        self._tell = tell
        self._conf: SyncDaemonConfig | None = None
        self._states: dict[str, tuple[str, int]] = {}
        self._ours = False
        self._problem = ""

    def configure(self, conf: SyncDaemonConfig | None) -> None:
        """Another configuration, or None: puts the kernel right."""
        self._conf = conf
        if conf is not None or self._ours:
            self.apply()

    def on_vrrp_state(self, instance: str, state: str, vrid: int = 0) -> None:
        """An instance is now in this state (MASTER, BACKUP, FAULT...)."""
        self._states[instance] = (state, vrid)
        if self._conf is not None and self._conf.instance == instance:
            self.apply()

    def wanted(self) -> list[SyncDaemon]:
        """The daemons that are to run."""
        conf = self._conf
        if conf is None:
            return []
        state, vrid = self._states.get(conf.instance or "", ("BACKUP", 0))
        if conf.instance is None:
            kinds = [ipvs.MASTER, ipvs.BACKUP]
        else:
            kinds = [ipvs.MASTER if state == "MASTER" else ipvs.BACKUP]
        return [
            SyncDaemon(
                kind,
                conf.interface,
                vrid if conf.sync_id is None else conf.sync_id,
                max_len=conf.max_len,
                port=conf.port,
                ttl=conf.ttl,
                group=conf.group.packed if conf.group is not None else b"",
            )
            for kind in kinds
        ]

    def apply(self) -> None:
        """Stops what should not run, starts what should."""
        wanted = {daemon.state: daemon for daemon in self.wanted()}
        try:
            running = {daemon.state: daemon for daemon in self._client.daemons()}
            for kind, daemon in running.items():
                if kind not in wanted or not _fits(wanted[kind], daemon):
                    self._client.stop_daemon(kind)
            for kind, daemon in wanted.items():
                if kind not in running or not _fits(daemon, running[kind]):
                    self._client.start_daemon(daemon)
        except OSError as error:
            text = f"IPVS sync daemon: {error.strerror or error}"
            if text != self._problem:
                self._problem = text
                self._tell("error", text)
            self._ours = True  # one of two may run
            return
        self._problem = ""
        self._ours = bool(wanted)

    def repair(self) -> None:
        """Tries again what failed, and starts anew what somebody else stopped."""
        if self._conf is not None:
            self.apply()

    def stop(self) -> None:
        """At shutdown: stops what was started here."""
        if not self._ours:
            return
        with contextlib.suppress(OSError):
            for daemon in self._client.daemons():
                self._client.stop_daemon(daemon.state)
        self._ours = False


def _fits(wanted: SyncDaemon, running: SyncDaemon) -> bool:
    """Whether a running daemon is as wanted; what was not asked for is the kernel's choice."""
    return (
        wanted.interface == running.interface
        and wanted.sync_id == running.sync_id
        and wanted.max_len in (0, running.max_len)
        and wanted.port in (0, running.port)
        and wanted.ttl in (0, running.ttl)
        and wanted.group in (b"", running.group)
    )
