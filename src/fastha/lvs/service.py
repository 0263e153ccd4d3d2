"""Who serves: real servers up and down, quorum, sorry server, standby pools, weights. Pure.

What health checks find goes in with a time; events come out, and `wanted()` says what the kernel is to have.
No clock is read, nothing is sent. Semantics are keepalived's (keepalived.conf(5), "Virtual server(s)"): a
real
server is up while all its checkers are; quorum is counted in weights; without a sorry server a lost quorum
takes nobody out of service. Standby pools, the panic threshold, slow start, damping and drain are extensions.
"""

from __future__ import annotations

import enum

import msgspec

from fastha._core.ipvs import Destination, Service
from fastha.config.model_lvs import AnyChecker, RealServer, VirtualServer
from fastha.lvs.events import LvsEvent, Notice, QuorumChange, RealServerChange
from fastha.lvs.names import real_server_name, virtual_server_name
from fastha.lvs.state import Entry, Key, Table, clamp, destination, services_of

SORRY_WEIGHT = 1
NEVER = 1 << 62

# Damping: every fall of a checker costs PENALTY, which halves every HALF_LIFE; a server comes back below
# REUSE.
PENALTY = 1000.0
PENALTY_MAX = 16000.0
REUSE = 750.0
HALF_LIFE_NS = 60_000_000_000


class Drain(enum.Enum):
    """Where a server is on its way out."""

    NO = "no"
    DRAINING = "draining"
    DRAINED = "drained"


class Slot:
    """One checker as a part of one real server: its verdict, and the weight that it adds."""

    __slots__ = ("checker", "delta", "reason", "server", "up")

    def __init__(self, checker: AnyChecker, server: RealState, up: bool) -> None:
        self.checker = checker
        self.server = server
        self.up = up
        self.delta = 0
        self.reason = ""


class RealState:
    """One real server of one virtual server."""

    __slots__ = (
        "alive",
        "changed_ns",
        "conf",
        "drain",
        "drain_deadline_ns",
        "held_until_ns",
        "kept",
        "name",
        "penalty",
        "penalty_ns",
        "reason",
        "set_weight",
        "slots",
        "transitions",
        "virtual",
    )

    def __init__(self, conf: RealServer, virtual: VirtualState) -> None:
        self.conf = conf
        self.virtual = virtual
        self.name = real_server_name(virtual.conf, conf)
        self.slots = [
            Slot(checker, self, not (checker.alpha or conf.alpha or virtual.conf.alpha))
            for checker in conf.checkers
        ]
        self.alive = all(slot.up for slot in self.slots)
        self.kept = False
        self.reason = "" if self.alive else "not checked yet (alpha)"
        self.changed_ns = 0
        self.transitions = 0
        self.set_weight: int | None = None
        self.drain = Drain.DRAINING if conf.drain else Drain.NO
        self.drain_deadline_ns = NEVER
        self.penalty = 0.0
        self.penalty_ns = 0
        self.held_until_ns = 0

    @property
    def key(self) -> tuple[bytes, int]:
        """What makes it one server and not another of its virtual server."""
        return (self.conf.address.packed, self.conf.port)

    @property
    def full_weight(self) -> int:
        """Its weight as configured or set, with what its checkers add."""
        if self.drain is not Drain.NO:
            return 0
        base = self.conf.weight if self.set_weight is None else self.set_weight
        return clamp(base + sum(slot.delta for slot in self.slots))

    def weight(self, now: int) -> int:
        """The weight for this moment: less than full while it starts slowly."""
        full = self.full_weight
        ramp = self.conf.slow_start_ns
        elapsed = now - self.changed_ns
        if not ramp or not self.transitions or elapsed >= ramp or full <= 1:
            return full
        return max(1, full * max(0, elapsed) // ramp)

    def ramp_ends_ns(self, now: int) -> int:
        """When it has its full weight, or 0 when it has it already."""
        end = self.changed_ns + self.conf.slow_start_ns
        return end if self.alive and self.transitions and now < end else 0

    def blame(self, now: int) -> None:
        """A checker fell: counts for damping."""
        self.penalty = min(self.current_penalty(now) + PENALTY, PENALTY_MAX)
        self.penalty_ns = now

    def current_penalty(self, now: int) -> float:
        """What is left of the penalty."""
        if not self.penalty:
            return 0.0
        return float(self.penalty * 0.5 ** (max(0, now - self.penalty_ns) / HALF_LIFE_NS))

    def hold_ns(self, now: int) -> int:
        """How long it must still be well before it comes back."""
        import math  # noqa: PLC0415 - only where servers flap

        left = self.current_penalty(now)
        return 0 if left <= REUSE else int(math.log2(left / REUSE) * HALF_LIFE_NS) + 1


class VirtualState:
    """One virtual server and what it is made of."""

    def __init__(self, conf: VirtualServer) -> None:
        self.conf = conf
        self.name = virtual_server_name(conf)
        self.services: list[Service] = services_of(conf)
        self.servers = [RealState(server, self) for server in conf.real_servers]
        total = sum(server.conf.weight for server in self.servers)
        self.quorum = max(1, min(conf.quorum, total)) if total else conf.quorum
        self.hysteresis = min(conf.hysteresis, self.quorum - 1)
        self.quorum_up = False
        self.level = 0
        self.panic = False
        self.suspended = False
        self.changed_ns = 0
        self.decided = False

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same virtual server after a reload."""
        conf = self.conf
        if conf.group is not None:
            return ("group", conf.group.name, conf.protocol, conf.family)
        if conf.fwmark:
            return ("mark", conf.fwmark, conf.family)
        return ("address", conf.address, conf.port, conf.protocol)

    # -- what goes in --

    def start(self, now: int, *, init_notifies: bool = False) -> list[LvsEvent]:
        """The state before any check has run: servers are up unless alpha says otherwise."""
        events: list[LvsEvent] = []
        self.changed_ns = now
        for server in self.servers:
            server.changed_ns = now
            if init_notifies and server.alive:
                events.append(self._real_event(server, True, "start", now))
        self._weigh(events, "start", now)
        return events

    def checked(self, slot: Slot, up: bool, delta: int, reason: str, now: int) -> list[LvsEvent]:
        """The verdict of one checker: `delta` is what it adds to the weight."""
        server = slot.server
        changed = slot.up != up
        weighed = slot.delta != delta
        slot.up, slot.delta, slot.reason = up, delta, reason
        events: list[LvsEvent] = []
        if weighed and not changed and server.alive:
            events.append(
                Notice(
                    level="info",
                    text=f"Changing weight to {server.full_weight} for active service {server.name} of VS "
                    f"{self.name}",
                    virtual_server=self.name,
                    real_server=server.name,
                )
            )
        if changed:
            if not up and self.conf.damping:
                server.blame(now)
            self._judge(server, slot, reason, now, events)
        if changed or weighed:
            self._weigh(events, reason, now)
        return events

    def tick(self, now: int) -> list[LvsEvent]:
        """What becomes due by time alone: servers held back come in."""
        events: list[LvsEvent] = []
        for server in self.servers:
            if server.held_until_ns and now >= server.held_until_ns:
                server.held_until_ns = 0
                self._judge(server, None, "has been well long enough", now, events)
        if events:
            self._weigh(events, "has been well long enough", now)
        return events

    def set_server(
        self,
        server: RealState,
        now: int,
        *,
        drain: Drain | None = None,
        deadline_ns: int = NEVER,
        weight: int | None = None,
        unset_weight: bool = False,
    ) -> list[LvsEvent]:
        """The operator's wish: drain, undrain, another weight."""
        events: list[LvsEvent] = []
        if drain is not None:
            server.drain = drain
            server.drain_deadline_ns = deadline_ns if drain is Drain.DRAINING else NEVER
        if weight is not None or unset_weight:
            server.set_weight = weight
        self._weigh(events, "set by the operator", now)
        return events

    def stop(self, now: int) -> list[LvsEvent]:
        """At shutdown, with omega: what is up is told to be down."""
        events: list[LvsEvent] = []
        if not self.conf.omega:
            return events
        events += [self._real_event(s, False, "fastha stops", now) for s in self.servers if s.alive]
        events.append(self._quorum_event(False, "fastha stops", now))
        return events

    def inherit(self, old: VirtualState, now: int) -> None:
        """Takes over, after a reload, what is known of the servers and checkers that stayed."""
        self.quorum_up, self.level, self.panic = old.quorum_up, old.level, old.panic
        self.changed_ns, self.suspended, self.decided = old.changed_ns, old.suspended, old.decided
        before = {server.key: server for server in old.servers}
        for server in self.servers:
            was = before.get(server.key)
            if was is None:
                server.changed_ns = now
                continue
            slots = {msgspec.structs.replace(slot.checker, span=None): slot for slot in was.slots}
            for slot in server.slots:
                known = slots.get(msgspec.structs.replace(slot.checker, span=None))
                if known is not None:
                    slot.up, slot.delta, slot.reason = known.up, known.delta, known.reason
                elif was.alive:
                    slot.up = not (slot.checker.alpha or server.conf.alpha or self.conf.alpha)
            server.alive = all(slot.up for slot in server.slots) and not was.held_until_ns
            server.kept = was.kept
            server.reason, server.changed_ns = was.reason, was.changed_ns
            server.transitions, server.set_weight = was.transitions, was.set_weight
            server.penalty, server.penalty_ns = was.penalty, was.penalty_ns
            server.held_until_ns = was.held_until_ns
            if was.drain is not Drain.NO and not was.conf.drain:
                server.drain, server.drain_deadline_ns = was.drain, was.drain_deadline_ns

    def reweigh(self, now: int, cause: str) -> list[LvsEvent]:
        """Decides quorum and pools anew, after something was inherited or restored."""
        events: list[LvsEvent] = []
        self._weigh(events, cause, now)
        return events

    # -- decisions --

    def _judge(
        self, server: RealState, slot: Slot | None, reason: str, now: int, events: list[LvsEvent]
    ) -> None:
        """Whether a server is up, now that one of its checkers changed."""
        up = all(each.up for each in server.slots)
        if up and self.conf.damping and not server.alive:
            hold = server.hold_ns(now)
            if hold:
                server.held_until_ns = now + hold
                server.reason = f"flaps: held back for {hold / 1e9:.0f} s more"
                up = False
        if not up and not all(each.up for each in server.slots):
            server.held_until_ns = 0
        if up == server.alive:
            if slot is not None:
                events.append(
                    msgspec.structs.replace(self._real_event(server, slot.up, reason, now), by_checker=True)
                )
                if not slot.up:
                    server.reason = reason
            return
        server.alive = up
        server.reason = reason
        server.changed_ns = now
        server.transitions += 1
        inhibit = server.conf.inhibit_on_failure
        if up:
            text = f"{'Enabling' if inhibit else 'Adding'} service {server.name} to VS {self.name}"
        else:
            text = (
                f"Disabling service {server.name} of VS {self.name}"
                if inhibit
                else f"Removing service {server.name} from VS {self.name}"
            )
        events.append(Notice(level="info", text=text, virtual_server=self.name, real_server=server.name))
        events.append(self._real_event(server, up, reason, now))

    def counts(self, server: RealState) -> bool:
        """Whether a server is taken to be able to serve."""
        return server.alive or server.kept

    def alive_weight(self, level: int | None = None) -> int:
        """The sum of the weights of the servers that can serve, up to a pool."""
        return sum(
            server.full_weight
            for server in self.servers
            if self.counts(server) and (level is None or server.conf.pool <= level)
        )

    def _weigh(self, events: list[LvsEvent], cause: str, now: int) -> None:
        """Panic, pools and quorum, in this order: each decides on what the one before left."""
        self._decide_panic(events, now)
        self._decide_level(events)
        total = self.alive_weight()
        if not self.quorum_up and total >= self.quorum + self.hysteresis and total:
            self.quorum_up = True
            text = f"Gained quorum {self.quorum}+{self.hysteresis}={self.quorum + self.hysteresis} <= {total}"
        elif self.quorum_up and (not total or total < self.quorum - self.hysteresis):
            self.quorum_up = False
            text = f"Lost quorum {self.quorum}-{self.hysteresis}={self.quorum - self.hysteresis} > {total}"
        else:
            return
        starting, self.changed_ns = not self.decided, now
        self.decided = True
        events.append(
            Notice(
                level="info" if self.quorum_up else "warning",
                text=f"{text} for VS {self.name}",
                virtual_server=self.name,
            )
        )
        sorry = self.conf.sorry_server
        if sorry is not None and not (starting and self.quorum_up):
            name = real_server_name(self.conf, sorry)
            if self.quorum_up:
                verb = "Disabling" if sorry.inhibit else "Removing"
                text = f"{verb} sorry server {name} from VS {self.name}"
            else:
                verb = "Enabling" if sorry.inhibit else "Adding"
                text = f"{verb} sorry server {name} to VS {self.name}"
            events.append(Notice(level="info", text=text, virtual_server=self.name))
        events.append(self._quorum_event(self.quorum_up, cause, now))

    def _decide_panic(self, events: list[LvsEvent], now: int) -> None:
        percent = self.conf.panic_percent
        if not percent or not self.servers:
            return
        first = [server for server in self.servers if server.conf.pool == 0]
        failed = [server for server in first if not server.alive]
        others = any(server.alive and server.conf.pool > 0 for server in self.servers)
        too_many = len(failed) * 100 > percent * len(first) and not others
        if too_many and not self.panic:
            window = max(
                (
                    checker.delay_loop_ns + (checker.retry + 1) * checker.delay_before_retry_ns
                    for server in first
                    for checker in server.conf.checkers
                ),
                default=0,
            )
            recent = [s for s in failed if s.transitions and now - s.changed_ns <= 2 * window]
            if not recent:
                return
            self.panic = True
            for server in recent:
                server.kept = True
            events.append(
                Notice(
                    level="error",
                    text=f"{len(failed)} of {len(first)} real servers of VS {self.name} failed together "
                    f"(more than {percent} %): keeping the last good set in service; look at this machine's "
                    "own links first",
                    virtual_server=self.name,
                )
            )
        elif too_many:
            for server in failed:
                server.kept = server.kept or now == server.changed_ns
        elif self.panic:
            self.panic = False
            for server in self.servers:
                server.kept = False
            events.append(
                Notice(
                    level="warning",
                    text=f"enough real servers of VS {self.name} are well again: failed ones are taken out",
                    virtual_server=self.name,
                )
            )

    def _decide_level(self, events: list[LvsEvent]) -> None:
        """The lowest pool that, with those below it, has the quorum; the last one when none has."""
        levels = sorted({server.conf.pool for server in self.servers})
        if len(levels) < 2:
            self.level = levels[0] if levels else 0
            return
        chosen = levels[-1]
        for level in levels:
            margin = -self.hysteresis if level >= self.level else self.hysteresis
            total = self.alive_weight(level)
            if total and total >= self.quorum + margin:
                chosen = level
                break
        if chosen != self.level:
            events.append(
                Notice(
                    level="warning" if chosen > self.level else "info",
                    text=f"VS {self.name} is served by pool {chosen}"
                    + (" as those before it lack the quorum" if chosen > self.level else " again"),
                    virtual_server=self.name,
                )
            )
            self.level = chosen

    def _real_event(self, server: RealState, up: bool, cause: str, now: int) -> RealServerChange:
        return RealServerChange(
            virtual_server=self.name,
            real_server=server.name,
            up=up,
            cause=cause,
            weight=server.full_weight,
            monotonic_ns=now,
            script=server.conf.notify_up if up else server.conf.notify_down,
            smtp_alert=server.conf.smtp_alert,
        )

    def _quorum_event(self, up: bool, cause: str, now: int) -> QuorumChange:
        return QuorumChange(
            virtual_server=self.name,
            up=up,
            cause=cause,
            weight=self.alive_weight(),
            monotonic_ns=now,
            script=self.conf.quorum_up if up else self.conf.quorum_down,
            smtp_alert=self.conf.smtp_alert,
        )

    # -- what comes out --

    def serves(self, server: RealState) -> bool:
        """Whether a server is to get new connections."""
        if self.conf.sorry_server is not None and not self.quorum_up:
            return False
        return self.counts(server) and server.conf.pool <= self.level

    def wanted(self, now: int) -> Table:
        """What the kernel is to have for this virtual server."""
        table: Table = {}
        sorry = self.conf.sorry_server
        for service in self.services:
            entry = Entry(service)
            for server in self.servers:
                if server.drain is Drain.DRAINED:
                    continue
                if self.serves(server):
                    _put(entry.destinations, destination(service, server.conf, server.weight(now)))
                elif server.conf.inhibit_on_failure:
                    _put(entry.destinations, destination(service, server.conf, 0))
            if sorry is not None and (not self.quorum_up or sorry.inhibit):
                _put(
                    entry.destinations,
                    destination(service, sorry, 0 if self.quorum_up else SORRY_WEIGHT),
                )
            table[service.key] = entry
        return table


def _put(into: dict[Key, Destination], dest: Destination) -> None:
    """Of two entries for one destination (a sorry server that is a real server too) the heavier counts."""
    there = into.get(dest.key)
    if there is None or dest.weight > there.weight:
        into[dest.key] = dest
