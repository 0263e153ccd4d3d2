"""The instances of a daemon: from a configuration to a running engine.

Start and reload are the same thing: the difference between what runs and what is wanted. An instance is the
same one if its VRID, family, interface and way of addressing are the same, whatever its name (keepalived's
rule), so that it keeps its role. What does not change is not touched. Links and addresses that come and go
lead to the plans they concern being made again.

The manager never waits for the engine. What the engine tells goes to `happenings`, and from there to the
daemon through `on_transition` and `on_note`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from fastha._core.engine import Engine, Event
from fastha._core.events import Fault
from fastha._core.spec import VrrpSpec
from fastha.config.model import Config, Track, VrrpInstance, with_settings
from fastha.net.filters import Filter, FilterAddress, FilterError
from fastha.net.links import LinkTable
from fastha.net.model_plan import ModelPlanner, PlanError
from fastha.net.nlsock import NetlinkError, NetlinkSocket
from fastha.net.plan import ObjectKind, PlanObject, difference
from fastha.net.sysctl import SysctlError, SysctlKeeper, ipv4
from fastha.net.vmac import DeviceError, DeviceManager, DeviceSpec

from .happenings import Happenings
from .planner import Device, Plan, devices_of, plan_instance
from .records import Level, Note, Transition
from .running import NO_DEVICES, TRACKED, Identity, Running, identity
from .sockets import Sockets
from .world import Paces, Prospect, World, world_of

_TOLD = (
    Fault.DISABLED
    | Fault.NO_SOURCE
    | Fault.SCRIPT
    | Fault.FILE
    | Fault.PROCESS
    | Fault.BFD
    | Fault.MAINTENANCE
    | Fault.CONFIG
    | Fault.LEAVE
)
_PLANNED = Fault.NO_SOURCE | Fault.CONFIG
"""Faults that planning sets and clears."""


def _digest(spec: VrrpSpec) -> bytes:
    """Enough of what the engine is told to see whether it is anything new."""
    return hashlib.blake2b(msgspec.msgpack.encode(spec), digest_size=16).digest()


def _lost(old: Iterable[PlanObject], new: Iterable[PlanObject]) -> tuple[str, ...]:
    """The addresses that were there and are nowhere then, in words."""
    kept = {o.address for o in new if o.kind is ObjectKind.ADDRESS}
    return tuple(o.text for o in old if o.kind is ObjectKind.ADDRESS and o.address not in kept)


class Manager:
    """Owns the instances. Give it the engine's events with `event`, the kernel's link changes with
    `links_changed`."""

    def __init__(
        self,
        engine: Engine,
        table: LinkTable,
        netlink: NetlinkSocket,
        *,
        sysctls: SysctlKeeper,
        planner: ModelPlanner,
        on_transition: Callable[[Transition], None],
        on_note: Callable[[Note], None],
    ) -> None:
        self.engine = engine
        self.table = table
        self.planner = planner
        self.devices = DeviceManager(table, sysctls)
        self.instances: dict[Identity, Running] = {}
        self._by_name: dict[str, Running] = {}
        self.config = Config()
        self.filter: Filter | None = None
        self._netlink = netlink
        self._sysctls = sysctls
        self._on_note = on_note
        self.on_started: Callable[[Running], None] | None = None
        """Called with an instance that the engine has just been given, and that has not begun yet."""
        self._by_slot: dict[int, Running] = {}
        self._leaving: dict[int, Running] = {}
        self._free: list[int] = []
        self._next_slot = 0
        self._sockets = Sockets(engine, self._note)
        self._world = World(Config(), {}, Paces(Config()), frozenset())
        self._paced: tuple[Paces, int] = (self._world.paces, 0)
        self._members: dict[int, tuple[int, ...]] = {}
        self.wishes: Callable[[VrrpInstance], tuple[bool, bool]] = lambda _conf: (False, False)
        """Of a new instance: whether it is kept away, and whether it is not to preempt, on the operator's
        wish."""
        self._held = True
        self._routes_watched = False
        self._stopped = asyncio.Event()
        self._happenings = Happenings(
            engine,
            table,
            self.instances,
            self._by_slot,
            on_gone=self._gone,
            on_transition=on_transition,
            on_note=on_note,
        )

    # ---------------------------------------------------------------- looking

    @property
    def virtual_addresses(self) -> frozenset[bytes]:
        """The addresses of all instances, packed: never the source of an advert, and no news when they
        change."""
        return self._world.ours

    def event(self, event: Event) -> None:
        """Takes in one engine event."""
        self._happenings.event(event)

    def is_up(self, name: str) -> bool:
        """Whether an interface exists and carries; what the engine has just told counts before the table."""
        return self._happenings.is_up(name)

    def by_name(self, name: str) -> Running | None:
        """The instance of that name."""
        return self._by_name.get(name)

    # ---------------------------------------------------------------- start and reload

    def apply(self, config: Config) -> None:
        """Makes the configuration the running one; never raises for what a single instance cannot have."""
        gone_groups = [slot for name, slot in self._world.groups.items() if name not in self._names(config)]
        self.config = config
        self._world = world_of(config, self._world)
        wanted = {identity(conf): self._with_group(conf, config) for conf in config.instances}
        for delay in config.link_delays:
            link = self.table.by_name(delay.interface)
            if link is not None:
                self.engine.link_delays(link.ifindex, delay.up_ns, delay.down_ns)

        for key in [k for k in self.instances if k not in wanted]:
            self._leave(key, deleted=True)
        fresh: list[Running] = []
        for key, conf in wanted.items():
            running = self.instances.get(key)
            if running is None:
                running = Running(self._slot(), conf)
                running.drained, running.held = self.wishes(conf)
                self.instances[key] = running
                self._by_slot[running.slot] = running
                fresh.append(running)
            elif running.conf != conf:
                if running.conf.rules != conf.rules:
                    running.rules = None
                running.conf = conf
        self._by_name = {running.name: running for running in self.instances.values()}
        for slot in gone_groups:
            self._members.pop(slot, None)
            self.engine.group(slot, ())
        for running in self.instances.values():
            self._plan(running)
        self._apply_filters()
        self._announce_groups()
        if not self._held:
            for running in fresh:
                self._tell(running, clear=Fault.DISABLED)

    def release(self) -> None:
        """Lets every instance begin (after the start-up delay)."""
        self._held = False
        for running in self.instances.values():
            self._tell(running, clear=Fault.DISABLED)

    @staticmethod
    def _with_group(conf: VrrpInstance, config: Config) -> VrrpInstance:
        """The instance with the interfaces that its sync group tracks, and those of static objects tied to
        it."""
        more = [t for g in config.sync_groups if conf.name in g.members for t in g.track_interfaces]
        tied = {g.name for g in config.track_groups if conf.name in g.members}
        if tied:
            more += [
                Track(a.options.dev)
                for a in config.static_addresses
                if a.options.track_group in tied and a.options.dev
            ]
            more += [Track(r.dev) for r in config.static_routes if r.track_group in tied and r.dev]
        known = {track.name: track for track in (*more, *conf.settings.track_interfaces)}
        return with_settings(conf, track_interfaces=tuple(known.values())) if more else conf

    def _slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._next_slot += 1
        return self._next_slot - 1

    @staticmethod
    def _names(config: Config) -> set[str]:
        return {group.name for group in config.sync_groups}

    def _send_paces(self) -> None:
        """Tells the engine of paces that it does not know yet."""
        paces = self._world.paces
        known = self._paced[1] if self._paced[0] is paces else 0
        for asked in paces.asked[known:]:
            self.engine.pace(*asked)
        self._paced = (paces, len(paces.asked))

    def _announce_groups(self) -> None:
        for group in self.config.sync_groups:
            slot = self._world.groups[group.name]
            found = (self.by_name(member) for member in group.members)
            members = tuple(r.slot for r in found if r is not None)
            if members != self._members.get(slot, ()):
                self._members[slot] = members
                self.engine.group(slot, members)

    # ---------------------------------------------------------------- looking ahead

    def foresee(self, config: Config) -> list[Prospect]:
        """What `apply` would do with a configuration, reckoned as `apply` reckons it; nothing is changed."""
        world = world_of(config, self._world)
        wanted = {identity(conf): self._with_group(conf, config) for conf in config.instances}
        found = [
            Prospect(
                name=running.name,
                was=running.name,
                action="removed",
                state=running.shown_state,
                removed=tuple(o.text for o in running.plan.objects) if running.plan is not None else (),
            )
            for key, running in self.instances.items()
            if key not in wanted
        ]
        for key, conf in wanted.items():
            found.append(self._foresee_one(world, conf, self.instances.get(key)))
        return found

    def _foresee_one(self, world: World, conf: VrrpInstance, running: Running | None) -> Prospect:
        g = world.config.globals_
        specs = devices_of(conf, self.table, (g.vmac_prefix, g.vmac_addr_prefix or g.vmac_prefix))
        had = running.devices if running is not None else {}
        devices = {p: d for p, d in had.items() if specs.get(p) == d.spec}
        anew = tuple(parent for parent in specs if parent not in devices)
        if running is not None and running.conf.rules == conf.rules and running.rules is not None:
            rules = running.rules
        else:
            rules = self._rules_of(conf, lambda _text: None)
        plan = self._plan_in(world, conf, running is not None and running.held, devices, rules)
        troubles = plan.troubles
        if anew:  # without its device, planning finds faults that making it mends
            troubles = tuple(t for t in troubles if t.fault is not Fault.CONFIG)
        if running is None or running.plan is None:
            added = tuple(o.text for o in plan.objects)
            return Prospect(name=conf.name, action="added", added=added, troubles=troubles, devices=anew)
        assert plan.spec is not None
        sock, sock_vmac = self._sockets.foresee(conf, devices, plan)
        spec = msgspec.structs.replace(plan.spec, sock=sock, sock_vmac=sock_vmac)
        change = difference(running.plan.objects, plan.objects)
        return Prospect(
            name=conf.name,
            was=running.name,
            action="same" if _digest(spec) == running.digest and not anew else "replaced",
            state=running.shown_state,
            added=tuple(o.text for o in change.add),
            removed=() if anew else tuple(o.text for o in change.remove),
            lost=() if anew else _lost(running.plan.objects, plan.objects),
            troubles=tuple(t for t in troubles if not t.fault & running.told),
            devices=anew,
        )

    # ---------------------------------------------------------------- one instance

    def _plan(self, running: Running, *, announce: bool = True) -> None:
        """Plans an instance and tells the engine what came of it, if it is anything new."""
        conf = running.conf
        before = running.plan
        self._make_devices(running)
        if running.rules is None:
            running.rules = self._plan_rules(running)
        plan = self._plan_in(self._world, conf, running.held, running.devices, running.rules)
        self._send_paces()
        socks, sock, sock_vmac = self._sockets.make(running, plan)
        assert plan.spec is not None
        spec = msgspec.structs.replace(plan.spec, sock=sock, sock_vmac=sock_vmac)
        digest = _digest(spec)
        if before is None:
            self._start(running, spec, plan)
        elif digest != running.digest:
            change = difference(before.objects, plan.objects)
            new_addresses = any(thing.kind is ObjectKind.ADDRESS for thing in change.add)
            drop = b"".join(thing.remove for thing in change.remove)
            announce = announce and new_addresses
            self.engine.replace(
                running.slot, msgspec.structs.replace(spec, drop=drop, announce_on_replace=announce)
            )
        running.digest = digest
        running.plan = msgspec.structs.replace(plan, spec=None, watched=())
        for slot in running.socks:
            if slot not in socks:
                self._sockets.drop(slot, running.slot)
        running.socks = tuple(socks)
        self._troubles(running, plan)
        if conf.settings.promote_secondaries and plan.link is not None:
            self._sysctl(running, ipv4(plan.link.name, "promote_secondaries"), 1)
        if (conf.routes or conf.rules) and not self._routes_watched:
            self._routes_watched = True
            self.engine.watch_routes()

    def _plan_in(
        self,
        world: World,
        conf: VrrpInstance,
        held: bool,
        devices: Mapping[str, Device],
        rules: tuple[PlanObject, ...],
    ) -> Plan:
        """Plans an instance as a configuration has it: for the engine, or only to look."""
        g = world.config.globals_
        return plan_instance(
            with_settings(conf, preempt=False) if held else conf,
            self.table,
            devices=devices,
            objects=self.planner,
            group=world.group_of(conf.name),
            pace_of=world.paces.slot,
            rules=rules,
            repair=(g.repair_limit, g.repair_window_ns),
            ours=world.ours,
        )

    def _start(self, running: Running, spec: VrrpSpec, plan: Plan) -> None:
        running.told = int(Fault.DISABLED) | (plan.faults & _PLANNED)
        if running.drained:
            running.told |= Fault.MAINTENANCE | Fault.LEAVE
        self.engine.add(running.slot, spec)
        self.engine.told(running.slot, set_faults=running.told, delta=running.delta)
        if self.on_started is not None:
            self.on_started(running)

    def _plan_rules(self, running: Running) -> tuple[PlanObject, ...]:
        return self._rules_of(running.conf, lambda text: self._note(running, "rule", Level.ERROR, text))

    def _rules_of(self, conf: VrrpInstance, refused: Callable[[str], None]) -> tuple[PlanObject, ...]:
        made: list[PlanObject] = []
        for rule in conf.rules:
            try:
                made.extend(self.planner.rule(rule))
            except PlanError as error:
                refused(str(error))
        return tuple(made)

    def _troubles(self, running: Running, plan: Plan) -> None:
        bits = plan.faults & _PLANNED
        texts = tuple(trouble.text for trouble in plan.troubles)
        for text in texts:
            if text not in running.reasons:
                self._note(running, "trouble", Level.WARNING, text)
        running.reasons = texts
        self._tell(running, set_=bits, clear=_PLANNED & ~bits)

    def _tell(self, running: Running, *, set_: int = 0, clear: int = 0) -> None:
        told = (running.told & ~clear) | set_
        if told == running.told:
            return
        running.told = told
        self.engine.told(
            running.slot,
            set_faults=told & _TOLD,
            clear_faults=_TOLD & ~told,
            delta=running.delta,
        )

    def _note(self, running: Running | None, kind: str, level: Level, text: str) -> None:
        name = running.name if running is not None else None
        self._on_note(
            Note(
                kind=kind,
                level=level,
                text=f"({name}) {text}" if name else text,
                instance=name,
                monotonic_ns=time.monotonic_ns(),
            )
        )

    def _sysctl(self, running: Running, path: str, value: int) -> None:
        try:
            self._sysctls.set(path, value)
        except SysctlError as error:
            self._note(running, "sysctl", Level.WARNING, str(error))

    # ---------------------------------------------------------------- devices

    def _make_devices(self, running: Running) -> None:
        g = self.config.globals_
        wanted = devices_of(running.conf, self.table, (g.vmac_prefix, g.vmac_addr_prefix or g.vmac_prefix))
        devices = dict(running.devices)
        for parent in [p for p in devices if p not in wanted]:
            self._remove_device(running, devices.pop(parent).spec)
        for parent, spec in wanted.items():
            had = devices.get(parent)
            if had is not None and had.spec == spec and self.table.by_index(had.link.ifindex) is not None:
                devices[parent] = Device(spec, self.table.by_index(had.link.ifindex) or had.link)
                continue
            try:
                link = self.devices.ensure(spec, self._netlink, keep_up=running.state == "MASTER")
            except (DeviceError, SysctlError, NetlinkError) as error:
                devices.pop(parent, None)
                self._note(running, "device", Level.ERROR, str(error))
                continue
            devices[parent] = Device(spec, link)
        running.devices = devices or NO_DEVICES

    def _remove_device(self, running: Running, spec: DeviceSpec) -> None:
        try:
            self.devices.remove(spec.name, self._netlink)
        except (NetlinkError, SysctlError) as error:
            self._note(running, "device", Level.WARNING, f"removing {spec.name}: {error}")

    # ---------------------------------------------------------------- filters

    def _dropped(self) -> set[FilterAddress]:
        found: set[FilterAddress] = set()
        for running in self.instances.values():
            if running.plan is not None:
                found.update(running.plan.filtered)
        return found

    def _apply_filters(self) -> None:
        wanted = self._dropped()
        if self.filter is None:
            if wanted:
                self._note(
                    None, "filter", Level.ERROR, "no_accept needs a packet filter, and none was set up"
                )
            return
        try:
            self.filter.apply(wanted)
        except (FilterError, NetlinkError) as error:
            self._note(None, "filter", Level.ERROR, str(error))

    # ---------------------------------------------------------------- the machine changes

    def links_changed(self, names: set[str]) -> None:
        """Plans again whatever has to do with these interfaces: they came, went, were renamed or
        re-addressed."""
        for delay in self.config.link_delays:
            link = self.table.by_name(delay.interface)
            if delay.interface in names and link is not None:
                self.engine.link_delays(link.ifindex, delay.up_ns, delay.down_ns)
        touched = False
        for running in list(self.instances.values()):
            if running.interfaces & names:
                self._plan(running)
                touched = True
        if touched:
            self._apply_filters()

    # ---------------------------------------------------------------- what moves an instance

    def tracked(self, name: str, delta: int, faults: int, reasons: tuple[str, ...]) -> None:
        """What tracking says of an instance: its priority change, fault bits (SCRIPT, FILE, PROCESS, BFD),
        and why."""
        running = self.by_name(name)
        if running is None:
            return
        running.tracking = reasons
        told = (running.told & ~int(TRACKED)) | (faults & int(TRACKED))
        if told == running.told and delta == running.delta:
            return
        running.told, running.delta = told, delta
        self.engine.told(running.slot, set_faults=told & _TOLD, clear_faults=_TOLD & ~told, delta=delta)

    def maintenance(self, running: Running, on: bool, *, leave: bool = False) -> None:
        """Hands an instance over and keeps it away, or lets it take part again.

        Unless `leave`, a master to which no successor answers goes on being master (its cause then says
        so), and is to be taken out of maintenance again.
        """
        running.drained = on
        if on:
            self._tell(running, set_=Fault.MAINTENANCE | (Fault.LEAVE if leave else Fault(0)))
        else:
            self._tell(running, clear=Fault.MAINTENANCE | Fault.LEAVE)

    def hold(self, running: Running, on: bool) -> None:
        """Keeps an instance from preempting whoever is master, or lets it do as configured."""
        if running.held != on:
            running.held = on
            self._plan(running)

    # ---------------------------------------------------------------- the end

    def _leave(self, key: Identity, *, deleted: bool) -> None:
        running = self.instances.pop(key)
        if self._by_name.get(running.name) is running:
            del self._by_name[running.name]
        running.stopping = True
        running.deleted = deleted
        self._leaving[running.slot] = running
        self.engine.stop(running.slot, running.conf.settings.graceful_handover)

    async def stop(self, timeout: float | None = None) -> None:
        """Hands every instance over and waits until all have left the network (or `timeout` seconds)."""
        longest = max((r.conf.settings.advert_int_ns for r in self.instances.values()), default=0)
        for key in list(self.instances):
            self._leave(key, deleted=False)
        self._stopped.clear()
        if not self._leaving:
            return
        try:
            await asyncio.wait_for(self._stopped.wait(), timeout or 2 * longest / 1e9 + 2)
        except TimeoutError:
            self._note(None, "stop", Level.WARNING, f"{len(self._leaving)} instances did not leave in time")

    def clean_up(self) -> None:
        """After `stop`: removes devices, filters and settings."""
        try:
            self.devices.remove_all(self._netlink)
            if self.filter is not None:
                self.filter.remove()
        except (NetlinkError, SysctlError, FilterError) as error:
            self._note(None, "clean_up", Level.WARNING, str(error))

    def _gone(self, running: Running) -> None:
        self._leaving.pop(running.slot, None)
        self._by_slot.pop(running.slot, None)
        self.engine.remove(running.slot)
        for slot in running.socks:
            self._sockets.drop(slot, running.slot)
        for device in running.devices.values():
            self._remove_device(running, device.spec)
        self._free.append(running.slot)
        if not self._leaving:
            self._stopped.set()
