"""Planned change of who is master: drain, undrain and switchover, for an instance, a sync group or the node.

What the operator wished is written down (`maintenance.json` in the state directory) before it is done, and
read before the first instance begins: a router in maintenance stays away over restarts and reboots. A file
that cannot be read is put aside and told, and the router takes part: an address without an owner is worse
than one that comes back too early.

Nobody's address is given away to nobody: the engine hands over only when a successor is heard, and is master
again otherwise (`fh_node`), unless forced.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fastha.config.model import VrrpInstance
from fastha.vrrp.planner import down_interval_ns, skew_ns
from fastha.vrrp.records import Level, Note
from fastha.vrrp.running import Identity, Running
from fastha.vrrp.words import NOBODY_CAME

from .control import ControlError
from .wishes import Wishes, read_wishes, write_lasting

if TYPE_CHECKING:
    from fastha.scripts.pool import DaemonPool

    from .main import Daemon
    from .successor import Outlook

FILE = "maintenance.json"
_WATCH_S = 1.0
_WRITE_S = 5.0


class Maintenance:
    """Who stays away on the operator's wish. Made before the first instance begins."""

    def __init__(self, daemon: Daemon, directory: Path) -> None:
        self._daemon = daemon
        self.path = directory / FILE
        self._pool: DaemonPool | None = None
        self.wishes, problem = read_wishes(self.path)
        self._names: dict[Identity, str] = {}
        self._watching = False
        self._ownerless: set[str] = set()
        self._away_since: dict[str, int] = {}
        if problem:
            self._put_aside(problem)
        elif self.any:
            daemon.log("notice", f"in maintenance since before this start: {self.words()}")

    def _put_aside(self, problem: str) -> None:
        aside = self.path.with_suffix(".bad")
        told = f"cannot read {self.path}: {problem}; taking part as if nothing were in maintenance"
        try:
            self.path.rename(aside)
            told += f". It is now {aside}"
        except OSError as error:
            told += f". It could not be put aside either: {error.strerror}"
        self._daemon.log("error", told)

    # ---------------------------------------------------------------- what is wished

    @property
    def any(self) -> bool:
        """Whether anything stays away, or is held from preempting."""
        w = self.wishes
        return bool(w.node or w.groups or w.instances or w.held)

    def words(self) -> str:
        """All wishes, for people."""
        w = self.wishes
        parts = ["the node"] if w.node else []
        parts += [f"group {name}" for name in w.groups] + [f"instance {name}" for name in w.instances]
        parts += [f"{name} does not take back (switchover)" for name in w.held]
        return ", ".join(parts) or "nothing"

    def drained(self, name: str) -> bool:
        """Whether an instance is to stay away."""
        w = self.wishes
        if w.node or name in w.instances:
            return True
        group = self._daemon.manager.config.group_of(name)
        return group is not None and group.name in w.groups

    def of_new(self, conf: VrrpInstance) -> tuple[bool, bool]:
        """For the manager: whether a new instance stays away, and whether it is held from preempting."""
        return self.drained(conf.name), conf.name in self.wishes.held

    def status(self) -> dict[str, Any]:
        """For `fastha show status`."""
        w = self.wishes
        return {"node": w.node, "groups": [*w.groups], "instances": [*w.instances], "held": [*w.held]}

    def settle(self) -> None:
        """After a configuration was applied: renamed instances keep their wishes, members that a drained
        group gained stay away as well."""
        renamed: dict[str, str] = {}
        now = {key: running.name for key, running in self._daemon.manager.instances.items()}
        for key, name in now.items():
            was = self._names.get(key)
            if was is not None and was != name and was not in now.values():
                renamed[was] = name
        self._names = now
        for wishes in (self.wishes.instances, self.wishes.held):
            for was in [w for w in renamed if w in wishes]:
                wishes[renamed[was]] = wishes.pop(was)
        if renamed:
            self._save_soon()
        for running in self._daemon.manager.instances.values():
            wanted = self.drained(running.name)
            if wanted != running.drained:
                self._daemon.manager.maintenance(running, wanted, leave=True)
        self._watch()

    # ---------------------------------------------------------------- the file

    async def _save(self) -> str:
        """Writes the wishes down; returns what went wrong, in words."""
        from fastha.scripts.pool import DaemonPool  # noqa: PLC0415

        if self._pool is None:
            self._pool = DaemonPool(1, "wishes")
        data = msgspec.json.format(msgspec.json.encode(self.wishes), indent=2) + b"\n"
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.run_in_executor(self._pool, write_lasting, self.path, data), _WRITE_S)
        except TimeoutError:
            problem = f"{self.path} could not be written within {_WRITE_S:g} s"
        except OSError as error:
            problem = f"{self.path} could not be written: {error.strerror}"
        else:
            return ""
        self._daemon.log("error", f"{problem}; maintenance will not survive a restart", key="maintenance")
        return problem

    def _save_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._save())
        self._daemon.keep(task)

    # ---------------------------------------------------------------- whom a command means

    def resolve(self, arguments: dict[str, Any]) -> tuple[str, str, list[Running]]:
        """("instance", "group" or "node", its name, the instances) that a command means.

        An instance of a sync group stands for its group: its members move together. Raises ControlError.
        """
        kind, name = arguments.get("kind"), str(arguments.get("name") or "")
        manager, groups = self._daemon.manager, self._daemon.config.sync_groups
        if kind == "node":
            return "node", "", list(manager.instances.values())
        if kind in (None, "instance") and (running := manager.by_name(name)) is not None:
            group = self._daemon.config.group_of(name)
            if group is None:
                return "instance", name, [running]
            kind, name = "group", group.name
        if kind in (None, "group"):
            group = next((g for g in groups if g.name == name), None)
            if group is not None:
                found = (manager.by_name(member) for member in group.members)
                return "group", name, [r for r in found if r is not None]
        if kind not in (None, "instance", "group"):
            raise ControlError(f"{kind!r} is neither an instance, a group, nor the node")
        there = {
            "instances": sorted(r.name for r in manager.instances.values()),
            "groups": sorted(g.name for g in groups),
        }
        wanted = (kind,) if kind else ("instance", "group")
        known = "; ".join(f"{w}s: {', '.join(there[f'{w}s']) or 'none'}" for w in wanted)
        raise ControlError(f"there is no {' or '.join(wanted)} {name!r}; there are {known}")

    # ---------------------------------------------------------------- commands

    def register(self, add: Callable[..., None]) -> None:
        """Makes the commands known; `add` is the control server's."""
        add("outlook", self._do_outlook, reads=True)
        add("drain", self._do_drain, reads=False)
        add("undrain", self._do_undrain, reads=False)
        add("switchover", self._do_switchover, reads=False)

    async def _outlooks(self, targets: Sequence[Running], statements: Sequence[Any]) -> list[Outlook]:
        from .successor import outlook  # noqa: PLC0415  (a daemon that is never drained does without)

        daemon = self._daemon
        found: list[Outlook] = []
        for at in range(0, len(targets), 64):  # as many sockets as that at a time
            some = targets[at : at + 64]
            found += await asyncio.gather(
                *(outlook(r, daemon.engine, daemon.machine.table, statements, self._bfd) for r in some)
            )
        return found

    def _bfd(self, neighbour: str, interface: str) -> str:
        """The state of the BFD session with a neighbour; empty when there is none."""
        sessions = self._daemon.sessions
        session = sessions.manager.to(neighbour, interface) if sessions is not None else None
        return session.state if session is not None else ""

    async def _do_outlook(self, arguments: dict[str, Any]) -> Any:
        kind, name, targets = self.resolve(arguments)
        found = await self._outlooks(targets, arguments.get("peers") or ())
        return {"kind": kind, "name": name, "instances": [msgspec.to_builtins(one) for one in found]}

    async def _do_drain(self, arguments: dict[str, Any]) -> Any:
        self._daemon.trials.refuse_meanwhile()
        async with self._daemon.changing:
            kind, name, targets = self.resolve(arguments)
            force = bool(arguments.get("force"))
            if not force:
                await self._refuse_the_ownerless(targets, arguments.get("peers") or ())
            before = msgspec.json.encode(self.wishes)
            self._wish(kind, name)
            unsaved = await self._save()
            done, stayed = await self._hand_over(targets, force)
            if not stayed:
                self._watch()
                return {"kind": kind, "name": name, "instances": done, "unsaved": unsaved}
            # what went stays away; what stayed is not in maintenance
            self.wishes = msgspec.json.decode(before, type=Wishes)
            if kind == "node":
                for running in targets:
                    if running.drained:
                        self._wish("instance", running.name)
            await self._save()
            self._watch()
            raise ControlError(self._left_behind(kind, targets, stayed))

    def _left_behind(self, kind: str, targets: Sequence[Running], stayed: Sequence[Running]) -> str:
        who = ", ".join(r.name for r in stayed)
        one = len(stayed) == 1
        text = (
            f"{who}: nobody took over, so {'it goes' if one else 'they go'} on being master and nothing was "
            "lost; is the other router running? --force leaves all the same"
        )
        if kind != "node":
            return text
        away = [r.name for r in targets if r.drained]
        kept = f"\nalready in maintenance: {', '.join(away)} (`fastha undrain NAME` ends it)" if away else ""
        return f"the node is NOT drained. {text}{kept}"

    async def _refuse_the_ownerless(self, targets: Sequence[Running], statements: Sequence[Any]) -> None:
        masters = [r for r in targets if r.state == "MASTER"]
        absent = [o for o in await self._outlooks(masters, statements) if o.verdict == "absent"]
        if absent:
            reasons = "".join(f"\n  {one.instance}: {one.why}" for one in absent)
            raise ControlError(
                f"refused, for nobody is there to take over:{reasons}\nnothing was changed; --force leaves "
                "the addresses without an owner"
            )

    def _wish(self, kind: str, name: str) -> None:
        w, now = self.wishes, time.time()
        if kind == "node":
            w.node, w.since = True, now
        elif kind == "group":
            w.groups[name] = now
        else:
            w.instances[name] = now

    async def _hand_over(
        self, targets: Sequence[Running], force: bool
    ) -> tuple[list[dict[str, Any]], list[Running]]:
        """Drains; returns what became of each, and those that nobody succeeded (taken back)."""
        manager = self._daemon.manager
        began = time.monotonic_ns()
        masters = [r for r in targets if r.state in ("MASTER", "HANDOVER")]
        for running in targets:
            manager.maintenance(running, True, leave=force)

        def alone(running: Running) -> bool:
            return running.state == "MASTER" and running.cause == NOBODY_CAME and running.since_ns > began

        def settled(running: Running) -> bool:
            return running.state not in ("MASTER", "HANDOVER") or alone(running)

        longest = max((skew_ns(r.conf, 1) + r.conf.settings.advert_int_ns for r in masters), default=0)
        deadline = time.monotonic() + longest / 1e9 + 2.0
        while time.monotonic() < deadline and not all(map(settled, masters)):
            await asyncio.sleep(0.01)
        stayed = [r for r in masters if r.state in ("MASTER", "HANDOVER")] if not force else []
        back = list(stayed)
        for group in self._daemon.config.sync_groups:  # members move together
            if any(r.name in group.members for r in stayed):
                back += [r for r in targets if r.name in group.members and r not in back]
        for running in back:
            manager.maintenance(running, False)
        done = [
            {
                "instance": r.name,
                "state": r.shown_state,
                "was_master": r in masters,
                "successor": r.master if r in masters and r.cause != NOBODY_CAME else "",
                "took_ms": round((r.since_ns - began) / 1e6, 1) if r in masters else 0.0,
            }
            for r in targets
        ]
        return done, stayed

    async def _do_undrain(self, arguments: dict[str, Any]) -> Any:
        self._daemon.trials.refuse_meanwhile()
        async with self._daemon.changing:
            w, manager = self.wishes, self._daemon.manager
            try:
                kind, name, targets = self.resolve(arguments)
            except ControlError:
                if not self._is_past(str(arguments.get("name") or "")):
                    raise
                kind, name, targets = self._forget(str(arguments["name"]))
            names = {r.name for r in targets}
            if kind == "node":
                w.node = False
                w.groups.clear()
                w.instances.clear()
                w.held.clear()
            else:
                if w.node:
                    raise ControlError("the node as a whole is in maintenance: `fastha undrain node`")
                w.groups.pop(name, None)
                for member in names:
                    w.instances.pop(member, None)
                    w.held.pop(member, None)
            keep = bool(arguments.get("keep_backup"))
            if keep:
                w.held.update(dict.fromkeys((r.name for r in targets if r.drained), time.time()))
            unsaved = await self._save()
            changed = [r for r in targets if r.drained or r.held]
            for running in targets:
                manager.hold(running, running.name in w.held)
                if not self.drained(running.name):
                    manager.maintenance(running, False)
            self._watch()
            return {"kind": kind, "name": name, "instances": [r.name for r in changed], "unsaved": unsaved}

    def _is_past(self, name: str) -> bool:
        """Whether a name is known only from the time when it was drained."""
        return any(name in wishes for wishes in (self.wishes.instances, self.wishes.groups, self.wishes.held))

    def _forget(self, name: str) -> tuple[str, str, list[Running]]:
        kind = "group" if name in self.wishes.groups else "instance"
        self.wishes.instances.pop(name, None)
        self.wishes.held.pop(name, None)
        return kind, name, []

    async def _do_switchover(self, arguments: dict[str, Any]) -> Any:
        self._daemon.trials.refuse_meanwhile()
        async with self._daemon.changing:
            kind, name, targets = self.resolve(arguments)
            if kind == "node":
                raise ControlError("a switchover is of an instance or a group; `fastha drain node` for all")
            to = str(arguments.get("to") or "")
            masters = [r for r in targets if r.state == "MASTER"]
            self._may_switch(targets, masters, to)
            await self._refuse_the_ownerless(masters, arguments.get("peers") or ())
            manager = self._daemon.manager
            for running in targets:
                manager.hold(running, True)
            done, stayed = await self._hand_over(targets, False)
            if stayed:
                for running in targets:
                    manager.hold(running, False)
                raise ControlError(self._left_behind(kind, targets, stayed))
            # as a backup again, at once: should the successor fail, this router is there
            self.wishes.held.update(dict.fromkeys((r.name for r in targets), time.time()))
            for running in targets:
                manager.maintenance(running, False)
            unsaved = await self._save()
            others = sorted({str(d["successor"]) for d in done if d["was_master"]} - {to})
            if to and others:
                raise ControlError(
                    f"{', '.join(others)} took over, not {to}: VRRP lets the backup of highest priority "
                    "succeed. Nothing was lost; this router is BACKUP now and does not take back"
                )
            return {"kind": kind, "name": name, "instances": done, "unsaved": unsaved}

    def _may_switch(self, targets: Sequence[Running], masters: Sequence[Running], to: str) -> None:
        if any(r.drained for r in targets):
            raise ControlError("it is in maintenance; `fastha undrain` first")
        if not masters:
            where = ", ".join(f"{r.name} is {r.shown_state}, master is {r.master or '?'}" for r in targets)
            raise ControlError(f"there is nothing to hand over here: {where}")
        owners = [r.name for r in targets if r.conf.priority == 255]
        if owners:
            raise ControlError(
                f"{', '.join(owners)} is address owner (priority 255), which always takes back (RFC 9568 "
                "6.4.2); use `fastha drain`"
            )
        if to and any(r.conf.settings.unicast for r in masters):
            for running in masters:
                known = [str(p.address) for p in running.conf.unicast_peers]
                if running.conf.settings.unicast and to not in known:
                    raise ControlError(f"{to} is no unicast_peer of {running.name}; {', '.join(known)}")

    # ---------------------------------------------------------------- what happens meanwhile

    def became_master(self, name: str) -> None:
        """After a switchover an instance is as configured again once it is master."""
        running = self._daemon.manager.by_name(name)
        if running is None or not running.held:
            return
        self.wishes.held.pop(name, None)
        asyncio.get_running_loop().call_soon(self._daemon.manager.hold, running, False)
        self._save_soon()

    def _away(self) -> Iterable[Running]:
        return (r for r in self._daemon.manager.instances.values() if r.drained)

    def _watch(self) -> None:
        """While anything stays away, looks once a second whether its addresses have an owner."""
        if not self._watching and any(True for _ in self._away()):
            self._watching = True
            asyncio.get_running_loop().call_later(_WATCH_S, self._look)

    def _look(self) -> None:
        self._watching = False
        now = time.monotonic_ns()
        away: dict[str, int] = {}
        for running in self._away():
            since = away[running.name] = self._away_since.get(running.name, now)
            heard = int(self._daemon.engine.status(running.slot)["heard_ns"])
            silent = now - max(heard, since) > 3 * down_interval_ns(running.conf)
            if silent and running.name not in self._ownerless:
                self._ownerless.add(running.name)
                self._tell(
                    running,
                    "in maintenance, and no master is heard: its addresses have no owner. "
                    f"`fastha undrain {running.name}` lets this router take them",
                )
            elif not silent and running.name in self._ownerless:
                self._ownerless.discard(running.name)
                self._tell(running, "a master is heard again", level=Level.NOTICE)
        self._away_since = away
        self._ownerless &= set(away)
        self._watch()

    def ownerless(self, name: str) -> bool:
        """Whether an instance in maintenance hears no master."""
        return name in self._ownerless

    def _tell(self, running: Running, text: str, level: Level = Level.WARNING) -> None:
        self._daemon.note(
            Note(
                kind="no_owner",
                level=level,
                text=f"({running.name}) {text}",
                instance=running.name,
                monotonic_ns=time.monotonic_ns(),
            )
        )
