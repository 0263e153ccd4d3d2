"""The sessions of a daemon: planning, start and reload as a difference, links that come and go, who may ask.

The engine is a stand-in that writes down what it is told.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from fastha._core.bfd_spec import BfdKind, BfdSpec
from fastha._core.engine import BFD_CAUSES, BFD_STATES, EngineError
from fastha._core.events import EventKind
from fastha.bfd import words
from fastha.bfd.manager import BfdManager
from fastha.bfd.planner import identity, plan_session
from fastha.bfd.records import SessionChange, SessionNote
from fastha.bfd.session import Session
from fastha.config import load
from fastha.config.model_bfd import BfdInstance, BfdUnsolicited
from fastha.net.links import Link, LinkAddress
from fastha.tracking.plan import bfd_entries

OURS, THEIRS = "192.0.2.1", "192.0.2.2"


def link(ifindex: int, name: str) -> Link:
    """An Ethernet device that is up."""
    return Link(ifindex=ifindex, name=name, kind="veth", flags=1, mac=bytes(6), mtu=1500)


class Table:
    """Links by name, with addresses."""

    def __init__(self, **links: list[str]) -> None:
        self.links = {name: link(number, name) for number, name in enumerate(links, 2)}
        self.there = links

    def __iter__(self) -> Any:
        return iter(self.links.values())

    def by_name(self, name: str) -> Link | None:
        return self.links.get(name)

    def by_index(self, ifindex: int) -> Link | None:
        return next((one for one in self.links.values() if one.ifindex == ifindex), None)

    def addresses(self, ifindex: int, family: int = 0) -> list[LinkAddress]:
        device = self.by_index(ifindex)
        found = [ipaddress.ip_interface(a) for a in self.there.get(device.name if device else "", [])]
        return [
            LinkAddress(
                family=socket.AF_INET if a.version == 4 else socket.AF_INET6,
                ifindex=ifindex,
                address=a.ip.packed,
                prefixlen=a.network.prefixlen,
            )
            for a in found
        ]

    def holders(self, address: bytes) -> list[LinkAddress]:
        return [a for one in self for a in self.addresses(one.ifindex) if a.address == address]


class Engine:
    """What it was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.specs: dict[int, BfdSpec] = {}
        self.refuse: OSError | None = None

    def bfd_add(self, slot: int, spec: BfdSpec) -> int:
        if self.refuse is not None:
            raise self.refuse
        assert slot not in self.specs
        self.specs[slot] = spec
        self.told.append(("add", slot))
        return 1000 + slot

    def bfd_replace(self, slot: int, spec: BfdSpec) -> None:
        self.specs[slot] = spec
        self.told.append(("replace", slot))

    def bfd_remove(self, slot: int, graceful: bool = True) -> None:
        self.specs.pop(slot, None)
        self.told.append(("remove" if graceful else "drop", slot))

    def bfd_admin(self, slot: int, up: bool, diag: int = 7) -> None:
        self.told.append(("up" if up else "down", slot))

    def bfd_listen(self, family: int, port: int) -> None:
        self.told.append(("listen", (family, port)))

    def bfd_accept(self, rules: Any, rate: int = 16) -> None:
        self.told.append(("accept", len(rules)))

    def bfd_reflect(self, reflector: Any) -> None:
        self.told.append(("reflect", reflector))

    def taken(self) -> list[tuple[str, Any]]:
        """What was told since the last call."""
        told, self.told = self.told, []
        return told


class Event(msgspec.Struct):
    """An engine event."""

    kind: int
    slot: int = 0
    arg: tuple[int, int, int, int] = (0, 0, 0, 0)
    v: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    address: bytes = bytes(16)
    at: int = 1_000_000


class World:
    """A manager with its stand-ins."""

    def __init__(self, **links: list[str]) -> None:
        self.engine = Engine()
        self.table = Table(**(links or {"eth0": [f"{OURS}/24"]}))
        self.changes: list[SessionChange] = []
        self.notes: list[SessionNote] = []
        self.moves = 0
        self.manager = BfdManager(
            self.engine,  # type: ignore[arg-type]
            self.table,  # type: ignore[arg-type]
            on_change=self._changed,
            on_note=self.notes.append,
            on_moved=self._moved,
            on_asked=lambda _interface, _neighbor, _ours: None,
            mac_of=lambda _ifindex, _address: b"\2\0\0\0\0\1",
            forwards=lambda _family: False,
        )

    def _changed(self, _session: Session, change: SessionChange) -> None:
        self.changes.append(change)

    def _moved(self) -> None:
        self.moves += 1

    def state(self, slot: int, old: str, new: str, cause: str) -> None:
        arg = (BFD_STATES.index(old), BFD_STATES.index(new), BFD_CAUSES.index(cause), 1)
        v = (900, 800, 850, 100, 50, 30_000_000)
        self.manager.event(Event(EventKind.BFD_STATE, slot, arg, v))  # type: ignore[arg-type]


def conf(name: str = "a", peer: str = THEIRS, **more: Any) -> BfdInstance:
    for field in ("source",):
        if field in more:
            more[field] = ipaddress.ip_address(more[field])
    return BfdInstance(name=name, neighbor=ipaddress.ip_address(peer), **more)


def on_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


def parsed(text: str) -> BfdInstance:
    result = load("-", text=text)
    assert result.config is not None, [d.render() for d in result.diagnostics]
    return result.config.bfd_instances[0]


# ---------------------------------------------------------------- planning


def planned(c: BfdInstance, **links: list[str]) -> Any:
    table = Table(**(links or {"eth0": [f"{OURS}/24"]}))
    return plan_session(c, table, lambda _i, _a: b"\2\0\0\0\0\1")  # type: ignore[arg-type]


def test_keepalived_words_and_defaults() -> None:
    spec = planned(parsed(f"bfd_instance a {{\n neighbor_ip {THEIRS}\n}}")).spec
    assert (spec.min_tx_us, spec.min_rx_us, spec.idle_tx_us, spec.detect_mult) == (
        10_000,
        10_000,
        1_000_000,
        5,
    )
    assert (spec.ttl, spec.least_ttl, spec.multihop, spec.passive) == (255, 255, False, False)
    assert (spec.family, spec.peer, spec.local, spec.ifindex) == (2, b"\xc0\0\2\2", b"", 0)


@pytest.mark.parametrize(
    ("peer", "words_", "least"),
    [
        (THEIRS, "max_hops 3", 252),
        (THEIRS, "ttl 64", 64),
        (THEIRS, "ttl 64\n max_hops 4", 60),
        (THEIRS, "max_hops -1", 0),
        (THEIRS, "max_hops 255", 0),
        # what keepalived sends over IPv6 when nothing is set must be taken, and GTSM where it is asked for
        ("2001:db8::2", "", 64),
        ("2001:db8::2", "hoplimit 255", 255),
    ],
)
def test_the_ttl_that_must_be_left(peer: str, words_: str, least: int) -> None:
    spec = planned(parsed(f"bfd_instance a {{\n neighbor_ip {peer}\n {words_}\n}}")).spec
    assert spec.least_ttl == least


def test_what_is_not_there_is_waited_for() -> None:
    assert "no interface eth7" in planned(conf(interface="eth7")).waits
    assert "198.51.100.1 is not an address" in planned(conf(source="198.51.100.1")).waits
    assert "needs `interface`" in planned(conf(peer="fe80::2")).waits
    assert planned(conf(peer="fe80::2", interface="eth0")).spec.ifindex == 2


def test_kinds_of_sessions() -> None:
    assert planned(conf(sbfd_discr=7)).spec.kind == BfdKind.SBFD
    looped = planned(conf(unaffiliated_echo=True, echo_tx_us=50_000)).spec
    assert (looped.kind, looped.least_ttl, looped.ifindex) == (BfdKind.LOOPED, 254, 2)
    assert looped.echo_mac == b"\2\0\0\0\0\1"
    far = planned(conf(peer="203.0.113.1", echo_tx_us=50_000))
    assert "no link" in far.waits


def test_keys() -> None:
    spec = planned(
        parsed(
            f"bfd_instance a {{\n neighbor_ip {THEIRS}\n authentication {{\n key 3 simple one\n"
            " key 9 meticulous-keyed-sha1 hex:00ff\n active_key 9\n}\n}"
        )
    ).spec
    assert [(k.key_id, k.kind, k.secret) for k in spec.keys] == [(3, 1, b"one"), (9, 5, b"\0\xff")]
    assert spec.tx_key == 1
    assert "00ff" not in repr(spec)


@pytest.mark.parametrize(
    "text",
    [
        "multihop\n echo_tx 50",
        "sbfd 7\n passive",
        "unaffiliated_echo\n authentication {\n key 1 simple x\n }",
        "authentication {\n}",
        "authentication {\n key 1 rot13 x\n}",
        "authentication {\n key 1 simple x\n active_key 2\n}",
    ],
)
def test_what_cannot_be_is_an_error(text: str) -> None:
    result = load("-", text=f"bfd_instance a {{\n neighbor_ip {THEIRS}\n {text}\n}}")
    assert [d for d in result.diagnostics if d.severity == "error"]
    assert result.config is None


def test_an_unsolicited_rule_needs_real_prefixes() -> None:
    result = load("-", text="bfd_unsolicited eth0 {\n neighbors {\n nonsense\n }\n}")
    assert [d.code for d in result.diagnostics if d.severity == "error"] == ["FH0202"]


# ---------------------------------------------------------------- start and reload


@on_loop
async def test_a_reload_is_a_difference() -> None:
    world = World()
    one, two = conf("a"), conf("b", "192.0.2.3")
    world.manager.apply([one, two])
    assert world.engine.taken() == [("add", 0), ("add", 1)]
    world.manager.apply([one, two])
    assert world.engine.taken() == []
    slower = msgspec.structs.replace(two, min_rx_us=50_000)
    world.manager.apply([one, slower])
    assert world.engine.taken() == [("replace", 1)]
    renamed = msgspec.structs.replace(one, name="other")
    world.manager.apply([renamed, slower])
    assert world.engine.taken() == []
    assert world.manager.by_name("other") is not None
    moved = msgspec.structs.replace(slower, multihop=True)
    world.manager.apply([renamed, moved])
    assert world.engine.taken() == [("remove", 1), ("add", 2)]
    world.manager.apply([])
    assert sorted(world.engine.taken()) == [("remove", 0), ("remove", 2)]
    world.manager.event(Event(EventKind.BFD_GONE, 0))  # type: ignore[arg-type]
    world.manager.apply([one])
    assert world.engine.taken() == [("add", 0)]  # the slot that is free again
    await world.manager.stop(0.01)


@on_loop
async def test_links_and_addresses_are_followed() -> None:
    world = World(eth0=[f"{OURS}/24"])
    world.manager.apply([conf("bound", "fe80::2", interface="eth1"), conf("late", source="192.0.2.77")])
    assert world.engine.taken() == []
    assert {n.kind for n in world.notes} == {"bfd_waits"}
    world.table.links["eth1"] = link(9, "eth1")
    world.manager.links_changed({"eth1"})
    assert world.engine.taken() == [("add", 0)]
    world.table.there["eth0"].append("192.0.2.77/24")
    world.manager.links_changed({"eth0"})
    assert world.engine.taken() == [("add", 1)]
    world.state(0, "init", "up", "handshake")
    world.table.links["eth1"] = link(11, "eth1")  # another device of that name
    world.manager.links_changed({"eth1"})
    assert [what for what, _ in world.engine.taken()] == ["drop", "add"]
    assert world.changes[-1].new == "down"
    assert world.changes[-1].failure
    await world.manager.stop(0.01)


@on_loop
async def test_what_the_engine_refuses_is_told_once_and_tried_again() -> None:
    world = World()
    world.engine.refuse = EngineError(98, "Address already in use")
    world.manager.apply([conf()])
    world.manager.apply([conf()])
    assert [n.text for n in world.notes] == ["(a) cannot be started: Address already in use"]
    world.engine.refuse = None
    world.manager.links_changed(set())
    assert world.engine.taken() == [("add", 0)]
    await world.manager.stop(0.01)


@on_loop
async def test_echo_is_not_promised_where_nothing_is_forwarded() -> None:
    world = World()
    world.manager.apply([conf(min_echo_rx_us=50_000)])
    assert world.engine.specs[0].min_echo_rx_us == 0
    assert world.notes[-1].kind == "bfd_echo"
    await world.manager.stop(0.01)


@on_loop
async def test_switched_off_stays_off_over_reloads() -> None:
    world = World()
    world.manager.apply([conf()])
    session = world.manager.by_name("a")
    assert session is not None
    world.manager.admin(session, False)
    world.manager.apply([conf(min_tx_us=20_000)])
    assert world.engine.taken() == [("add", 0), ("down", 0), ("replace", 0)]
    world.manager.admin(session, True)
    assert world.engine.taken() == [("up", 0)]
    await world.manager.stop(0.01)


# ---------------------------------------------------------------- what happens


@on_loop
async def test_changes_are_told_with_cause_and_timeline() -> None:
    world = World()
    world.manager.apply([conf()])
    world.state(0, "init", "up", "handshake")
    world.state(0, "up", "down", "detection_time_expired")
    change = world.changes[-1]
    assert (change.old_word, change.word, change.failure) == ("UP", "DOWN", True)
    assert change.local_diag == "Control Detection Time Expired"
    assert change.detection_time_us == 30_000
    assert [m.step for m in change.marks] == [
        "last packet received", "last packet sent", "detection time ends", "engine awake", "decided"
    ]  # fmt: skip
    world.state(0, "down", "up", "handshake")
    world.state(0, "up", "down", "neighbor_admin_down")
    assert not world.changes[-1].failure
    session = world.manager.by_name("a")
    assert session is not None
    assert session.flaps == 1
    await world.manager.stop(0.01)


def _ask(neighbor: str, ours: str = OURS) -> Event:
    halves = struct.unpack("=qq", ipaddress.ip_address(ours).packed.ljust(16, b"\0"))
    return Event(
        EventKind.BFD_ASKED,
        arg=(2, 2, 77, 3),
        v=(0, 0, *halves, 0, 0),
        address=ipaddress.ip_address(neighbor).packed.ljust(16, b"\0"),
    )


@on_loop
async def test_who_may_ask_gets_a_passive_session() -> None:
    world = World()
    rule = BfdUnsolicited(interface="eth0", prefixes=("192.0.2.0/28",), most=2)
    world.manager.apply([conf()], (rule,))
    assert ("accept", 1) in world.engine.taken()
    world.manager.event(_ask("192.0.2.5"))  # type: ignore[arg-type]
    assert world.engine.specs[1].passive
    assert world.engine.specs[1].local == ipaddress.ip_address(OURS).packed
    world.manager.event(_ask("192.0.2.5"))  # type: ignore[arg-type]
    world.manager.event(_ask("192.0.2.99"))  # type: ignore[arg-type]
    world.manager.event(_ask(THEIRS))  # type: ignore[arg-type]
    assert len(world.engine.specs) == 2
    world.manager.event(_ask("192.0.2.6"))  # type: ignore[arg-type]
    world.manager.event(_ask("192.0.2.7"))  # type: ignore[arg-type]
    assert len(world.engine.specs) == 3
    assert "max_sessions" in world.notes[-1].text
    world.manager.apply([conf()], ())
    assert len(world.engine.specs) == 1
    await world.manager.stop(0.01)


def test_identity_is_not_the_name() -> None:
    assert identity(conf("a")) == identity(conf("b", min_rx_us=77))
    assert identity(conf()) != identity(conf(interface="eth0"))
    assert identity(conf()) != identity(conf(multihop=True))


def test_every_cause_has_words() -> None:
    for number, name in enumerate(BFD_CAUSES):
        if name != "none":
            assert words.cause_text(number) == words.CAUSES[name]


# ---------------------------------------------------------------- who follows what


def _followers(group: str, instance: str = "", priority: int = 100) -> tuple[dict[str, Any], tuple[str, ...]]:
    text = f"bfd_instance b {{\n neighbor_ip {THEIRS}\n weight 7\n}}\n"
    for number, name in enumerate(("A", "B"), 1):
        text += (
            f"vrrp_instance {name} {{\n interface eth0\n virtual_router_id {number}\n priority {priority}\n"
            f" virtual_ipaddress {{\n 192.0.2.{50 + number}\n }}\n {instance if name == 'A' else ''}\n}}\n"
        )
    text += f"vrrp_sync_group G {{\n group {{\n A\n B\n }}\n {group}\n}}\n"
    result = load("-", text=text)
    assert result.config is not None, [d.render() for d in result.diagnostics]
    found, said = bfd_entries(result.config)
    return {name: [(e.name, e.weight, e.reverse) for e in entries] for name, entries in found.items()}, said


def test_what_a_group_follows_all_its_members_follow() -> None:
    assert _followers("track_bfd {\n b weight 0\n}") == ({"A": [("b", 0, False)], "B": [("b", 0, False)]}, ())


def test_weights_do_not_count_in_groups_unless_wanted() -> None:
    found, said = _followers("", "track_bfd {\n b\n}")
    assert found == {}
    assert "sync_group_tracking_weight" in said[0]
    found, said = _followers("sync_group_tracking_weight", "track_bfd {\n b weight -20 reverse\n}")
    assert (found, said) == ({"A": [("b", -20, True)]}, ())


def test_weights_do_not_move_an_owner() -> None:
    found, said = _followers("sync_group_tracking_weight\n track_bfd {\n b\n}", priority=255)
    assert found == {}
    assert "address owner" in said[0]
