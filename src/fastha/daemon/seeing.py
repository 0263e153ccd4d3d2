"""The commands of the control socket that only look: events, why, scripts, groups, links, channels.

What they need is loaded when they are asked: nothing of it is wanted between start and first advert.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastha.vrrp.running import Running

from .control import ControlError

if TYPE_CHECKING:
    from fastha.telemetry.history import HistoryRecord

    from .main import Daemon

OF_THE_NODE = ("link", "engine_stall", "main_stalled", "resync", "shield")
"""Notes of the machine as a whole, which concern every instance."""


class Seeing:
    """What may be asked of the running daemon; nothing here changes anything."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def register(self, add: Callable[..., None]) -> None:
        """Makes the commands known; `add` is the control server's."""
        add("events", self._events, reads=True)
        add("bfd_session", self._no_bfd, reads=True)
        add("follow", self._follow, reads=True)
        add("why", self._why, reads=True)
        add("scripts", self._scripts, reads=True)
        add("groups", self._groups, reads=True)
        add("links", self._links, reads=True)
        add("tracking", self._tracking, reads=True)
        add("channels", self._channels, reads=True)

    async def _no_bfd(self, _arguments: dict[str, Any]) -> Any:
        raise ControlError("no BFD sessions are configured")

    # ---------------------------------------------------------------- events and why

    async def _events(self, arguments: dict[str, Any]) -> Any:
        """Events; with `since_s` those of so many seconds, from earlier runs too, else the latest."""
        from fastha.telemetry.records_json import event_of  # noqa: PLC0415

        name = arguments.get("instance")
        since = arguments.get("since_s")
        limit = max(0, int(arguments.get("limit") or (100 if since is None else 0)))
        records = await self._records(float(since) if since is not None else None)
        chosen = [r for r in records if name is None or r.name == name]
        node = os.uname().nodename
        return [event_of(record, node) for record in (chosen[-limit:] if limit else chosen)]

    async def _follow(self, arguments: dict[str, Any]) -> Any:
        """The last `limit` events, then every one as it happens, until the asker goes away."""
        limit = int(arguments.get("limit") or 0)
        first = await self._events(arguments | {"limit": limit}) if limit else []
        return self._daemon.stream.subscribe(first)

    async def _records(self, since_s: float | None) -> list[HistoryRecord]:
        from fastha.telemetry.history import read_records  # noqa: PLC0415

        daemon = self._daemon
        newest = daemon.newest.lines()
        # whoever asks for the beginning of time gets it
        since_ns = time.time_ns() - int(min(since_s, 1e9) * 1e9) if since_s is not None else 0
        outlets = daemon.outlets
        if since_s is not None and outlets is not None and outlets.history is not None:
            return await outlets.history.since(since_ns, newest)
        return [record for record in read_records(newest) if record.wall_ns >= since_ns]

    def _meant(self, what: str) -> list[Running]:
        """The instances of a name, or of a virtual address (with or without its length)."""
        running = self._daemon.manager.by_name(what)
        if running is not None:
            return [running]
        everything = self._daemon.manager.instances.values()
        try:
            address = ipaddress.ip_interface(what).ip
        except ValueError:
            known = ", ".join(sorted(r.name for r in everything)) or "none"
            raise ControlError(f"there is no instance {what!r}; there are: {known}") from None
        found = [
            r for r in everything if any(a.address == address for a in (*r.conf.addresses, *r.conf.excluded))
        ]
        if not found:
            raise ControlError(f"no instance here has the virtual address {address}")
        return found

    async def _why(self, arguments: dict[str, Any]) -> Any:
        """Why what is asked for is master or not, and the events of `since_s` seconds that bear on it."""
        from fastha.telemetry.records_json import event_of  # noqa: PLC0415

        from .why import explain  # noqa: PLC0415

        meant = self._meant(str(arguments.get("what")))
        records = await self._records(float(arguments.get("since_s") or 3600.0))
        names = {running.name for running in meant}
        for group in self._daemon.config.sync_groups:
            if names & set(group.members):
                names |= set(group.members)
        names |= {track.name for running in meant for track in running.conf.settings.track_bfds}
        node = os.uname().nodename
        return {
            "node": node,
            "wall_ns": time.time_ns(),
            "now": [explain(self._daemon, running) for running in meant],
            "events": [
                event_of(r, node)
                for r in records
                if r.name in names or (not r.name and r.state in OF_THE_NODE)
            ],
        }

    # ---------------------------------------------------------------- what is followed

    async def _scripts(self, _arguments: dict[str, Any]) -> Any:
        if self._daemon.hooks is None:
            return []
        from .seen_things import scripts  # noqa: PLC0415

        return scripts(self._daemon.hooks.hub)

    async def _tracking(self, _arguments: dict[str, Any]) -> Any:
        from .seen_things import files, processes  # noqa: PLC0415

        hub = self._daemon.hooks.hub if self._daemon.hooks is not None else None
        return {
            "files": [] if hub is None else files(hub),
            "processes": [] if hub is None else processes(hub),
        }

    async def _groups(self, _arguments: dict[str, Any]) -> Any:
        from .seen_things import groups  # noqa: PLC0415

        return groups(self._daemon)

    async def _links(self, _arguments: dict[str, Any]) -> Any:
        from .seen_things import links  # noqa: PLC0415

        return links(self._daemon)

    async def _channels(self, _arguments: dict[str, Any]) -> Any:
        if self._daemon.hooks is None:
            return []
        from .snapshots import channel_snapshots  # noqa: PLC0415

        rows = channel_snapshots(self._daemon.hooks.notifier)
        return [{f: getattr(row, f) for f in row.__struct_fields__} for row in rows]
