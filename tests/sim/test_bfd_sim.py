"""Two BFD sessions on a virtual network: loss, delay, reordering, partitions, frozen engines, all from a
seed.

The machines are the engine's own object code; clock and network are this file.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastha._core import codec
from fastha._core.bfdfsm import NEVER, Actions, Session

MS = 1_000_000
SECOND = 1_000_000_000


class Node:
    """An engine with one session: it can be frozen, and then finds its packets in the socket, its timers
    overdue."""

    def __init__(self, net: Network, name: str, **config: Any) -> None:
        self.net, self.name = net, name
        self.session = Session(now=net.now, **config)
        self.peer: Node
        self.frozen_until = 0
        self.asleep = 0
        self.inbox: list[tuple[int, bytes]] = []
        self.sent: list[tuple[int, codec.BfdPacket]] = []
        self.changes: list[tuple[int, str, str]] = []
        self.verdicts: dict[str, int] = {}
        self.rearm()

    def rearm(self) -> None:
        for event, at in (("tx", self.session.tx_at), ("detect", self.session.detect_at)):
            if at != NEVER:
                self.net.at(max(at, self.net.now), lambda event=event, at=at: self.timer(event, at))

    def timer(self, event: str, at: int) -> None:
        due = self.session.tx_at if event == "tx" else self.session.detect_at
        if due == at and self.net.now >= self.frozen_until:
            self.done(self.session.step(event, self.net.now, random=self.bits(), asleep=self.asleep))

    def bits(self) -> int:
        return self.net.random.getrandbits(32)

    def hear(self, data: bytes) -> None:
        self.inbox.append((self.net.now, data))
        if self.net.now >= self.frozen_until:
            self.drain(0)

    def drain(self, stall: int) -> None:
        inbox, self.inbox = self.inbox, []
        for rx_time, data in inbox:
            self.done(
                self.session.receive(
                    data,
                    self.net.now,
                    rx_time=rx_time,
                    random=self.bits(),
                    asleep=self.asleep,
                    stall=stall,
                )
            )

    def freeze(self, span: int) -> None:
        start = self.net.now
        self.frozen_until = start + span

        def wake() -> None:
            self.asleep += span
            self.drain(span)
            self.rearm()

        self.net.at(self.frozen_until, wake)

    def done(self, actions: Actions) -> None:
        self.verdicts[actions.verdict] = self.verdicts.get(actions.verdict, 0) + 1
        if "state" in actions.todo:
            self.changes.append((self.net.now, self.session.state, actions.cause))
        for data in actions.packets:
            _, read = codec.bfd_decode(data)
            assert read is not None
            assert read.flags & 0x30 != 0x30
            self.sent.append((self.net.now, read))
            self.net.carry(self, data)
        self.rearm()

    def causes(self) -> list[str]:
        return [cause for _, _, cause in self.changes]


class Network:
    def __init__(self, seed: int = 0, *, delay: int = MS // 10, reorder: int = 0, loss: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.now = SECOND
        self.delay, self.reorder, self.loss = delay, reorder, loss
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.order = count()

    def at(self, when: int, what: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (when, next(self.order), what))

    def carry(self, sender: Node, data: bytes) -> None:
        if self.random.random() >= self.loss:
            late = self.random.randrange(self.reorder) if self.reorder else 0
            self.at(self.now + self.delay + late, lambda: sender.peer.hear(data))

    def run(self, span: int) -> None:
        end = self.now + span
        while self.queue and self.queue[0][0] <= end:
            self.now, _, what = heapq.heappop(self.queue)
            what()
        self.now = end

    def pair(self, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None) -> tuple[Node, Node]:
        one = Node(self, "a", discr=101, seq=self.random.getrandbits(32), **(a or {}))
        two = Node(self, "b", discr=202, seq=self.random.getrandbits(32), **(b or a or {}))
        one.peer, two.peer = two, one
        return one, two


FAST = {"min_tx_us": 10_000, "min_rx_us": 10_000}


def bring_up(net: Network, *configs: dict[str, Any]) -> tuple[Node, Node]:
    a, b = net.pair(*configs)
    net.run(5 * SECOND)
    assert (a.session.state, b.session.state) == ("up", "up")
    return a, b


@given(st.integers(0, 2**32), st.sampled_from([1_000, 3_300, 10_000, 50_000, 1_000_000]), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_up_and_no_flap_without_loss(seed: int, interval: int, mult: int) -> None:
    """BFD-100: every common interval, with multiplier 1 too: the jitter leaves room for the delay."""
    net = Network(seed, delay=50_000)
    a, b = bring_up(net, {"min_tx_us": interval, "min_rx_us": interval, "detect_mult": mult})
    net.run(3 * SECOND)
    for node in (a, b):
        assert node.session.state == "up"
        assert node.session.transitions <= 2
        assert not node.session.poll
        assert set(node.verdicts) == {"ok"}


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_nobody_sends_too_fast(seed: int) -> None:
    """BFD-034: scheduled packets are at least 75 % of the agreed interval apart, whatever is lost or
    reordered."""
    net = Network(seed, reorder=4 * MS, loss=0.1)
    a, b = net.pair({"min_tx_us": 10_000, "min_rx_us": 20_000}, {"min_tx_us": 5_000, "min_rx_us": 50_000})
    net.run(20 * SECOND)
    for node, agreed in ((a, 50 * MS), (b, 20 * MS)):
        plain = [(at, p) for at, p in node.sent if not p.flags & 0x10]
        for (before, old), (after, new) in pairwise(plain):
            same = old._replace(flags=0, auth_seq=0) == new._replace(flags=0, auth_seq=0)
            if same and old.state == 3:
                assert after - before >= agreed * 3 // 4


@given(st.integers(0, 2**32), st.floats(0, 0.3))
@settings(max_examples=15, deadline=None)
def test_comes_up_again_after_loss(seed: int, loss: float) -> None:
    """Whatever loss did before, a healed path is Up again and stays."""
    net = Network(seed, reorder=6 * MS, loss=loss)
    a, b = net.pair(FAST)
    net.run(10 * SECOND)
    net.loss, net.reorder = 0.0, 0
    net.run(5 * SECOND)
    before = (a.session.transitions, b.session.transitions)
    assert (a.session.state, b.session.state) == ("up", "up")
    net.run(5 * SECOND)
    assert (a.session.transitions, b.session.transitions) == before


@given(st.integers(0, 2**32), st.integers(1, 20))
@settings(max_examples=15, deadline=None)
def test_detection_is_exact(seed: int, mult: int) -> None:
    """BFD-045: a cut is found at multiplier times interval after the last packet, to the nanosecond, not
    before."""
    net = Network(seed)
    a, b = bring_up(net, FAST, FAST | {"detect_mult": mult})
    net.loss = 1.0
    net.run(MS)
    last = a.session.detect_at - mult * 10 * MS
    net.run(SECOND)
    assert a.changes[-1] == (last + mult * 10 * MS, "down", "detection_time_expired")
    assert b.changes[-1][1:] == ("down", "detection_time_expired")


def test_one_way_loss_brings_both_down() -> None:
    """The side that still hears is told by diagnostic 3."""
    net = Network(3)
    a, b = bring_up(net, FAST)
    carry = net.carry
    net.carry = lambda sender, data: carry(sender, data) if sender is a else None  # type: ignore[method-assign]
    net.run(SECOND)
    assert a.changes[-1][1:] == ("down", "detection_time_expired")
    assert b.changes[-1][1:] in [("down", "neighbor_down"), ("init", "handshake")]
    assert "neighbor_down" in b.causes()


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200), st.integers(1, 9)), min_size=1, max_size=8)
)
@settings(max_examples=20, deadline=None)
def test_any_change_of_timers_without_a_flap(changes: list[tuple[int, int, int]]) -> None:
    """BFD-053 ... BFD-059: up, down, together, in the middle of the last one's Poll Sequence."""
    net = Network(7, delay=MS)
    a, b = bring_up(net, FAST)
    for n, (tx, rx, mult) in enumerate(changes):
        node = (a, b)[n % 2]
        node.done(
            node.session.reconfigure(
                net.now, min_tx_us=tx * 1000, min_rx_us=rx * 1000, detect_mult=max(mult, 2)
            )
        )
        net.run((n * 7 % 40) * MS)
    net.run(5 * SECOND)
    for node in (a, b):
        assert node.session.transitions <= 2
        assert not node.session.poll
        assert node.session.tx_min_us == node.session.desired_min_tx_us
        assert node.session.rx_min_us == node.session.required_min_rx_us
    assert a.session.tx_int == b.session.rx_int
    assert b.session.tx_int == a.session.rx_int


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
def test_keys_rotated_a_hundred_times(kind: int) -> None:
    """BFD-082: each router in its own time, types mixed in between, never a flap."""
    net = Network(kind, delay=MS)
    key = (1, kind, b"key 1")
    a, b = bring_up(net, FAST | {"keys": [key]})
    for n in range(2, 102):
        new = (n % 256, kind if n % 2 else n % 5 + 1, f"key {n}".encode())
        for settings_ in ({"keys": [key, new]}, {"keys": [key, new], "tx_key": 1}, {"keys": [new]}):
            for node in (a, b):
                node.done(node.session.reconfigure(net.now, **FAST, **settings_))
                net.run(3 * MS)
            net.run(40 * MS)
        key = new
    for node in (a, b):
        assert node.session.transitions <= 2
        assert set(node.verdicts) == {"ok"}


@given(st.integers(1, 3000), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_a_frozen_engine_does_not_accuse(span: int, seed: int) -> None:
    """BFD-048: frozen for any time, its packets waiting in the socket, it never finds the neighbour
    expired. The neighbour may well have given it up, and says so."""
    net = Network(seed)
    a, b = bring_up(net, FAST)
    a.freeze(span * MS)
    net.run(span * MS + 5 * SECOND)
    assert "detection_time_expired" not in a.causes()
    assert (a.session.state, b.session.state) == ("up", "up")
    if span < 20:
        assert a.session.transitions <= 2


@given(st.integers(1, 3000), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_both_frozen_together_nobody_goes_down(span: int, seed: int) -> None:
    """A virtual machine that holds both ends was paused: nothing was missed, nothing happens."""
    net = Network(seed)
    a, b = bring_up(net, FAST)
    a.freeze(span * MS)
    b.freeze(span * MS)
    net.run(span * MS + 5 * SECOND)
    assert (a.session.transitions, b.session.transitions) <= (2, 2)
    assert (a.session.state, b.session.state) == ("up", "up")


def test_a_dead_neighbour_is_found_in_spite_of_own_sleep() -> None:
    """Credit for sleep is never more than the sleep: the dead are found."""
    net = Network(5)
    a, _ = bring_up(net, FAST)
    net.loss = 1.0
    start = net.now
    for _ in range(10):
        a.freeze(25 * MS)
        net.run(30 * MS)
    assert a.session.state == "down"
    assert a.changes[-1][0] - start <= 330 * MS


def test_demand_mode_on_both_sides_is_silent_and_alive() -> None:
    """BFD-060 ... BFD-062: verified every second, nothing in between; and a cut is found by the
    verification."""
    net = Network(9)
    a, b = bring_up(net, FAST | {"demand": True, "demand_poll_us": 1_000_000})
    net.run(SECOND)
    mark = len(a.sent) + len(b.sent)
    net.run(10 * SECOND)
    assert (a.session.state, b.session.state) == ("up", "up")
    assert 2 * 2 * 9 <= len(a.sent) + len(b.sent) - mark <= 2 * 2 * 11 + 2
    net.loss = 1.0
    net.run(1100 * MS)
    assert (a.session.state, b.session.state) == ("down", "down")


def test_passive_side_comes_up_and_falls_silent() -> None:
    """BFD-032."""
    net = Network(11)
    a, b = bring_up(net, FAST, FAST | {"passive": True})
    assert b.sent[0][0] > a.sent[0][0]
    net.loss = 1.0
    net.run(5 * SECOND)
    silent = len(b.sent)
    net.run(5 * SECOND)
    assert len(b.sent) == silent
    net.loss = 0.0
    net.run(5 * SECOND)
    assert (a.session.state, b.session.state) == ("up", "up")


def test_two_passive_sides_never_speak() -> None:
    net = Network(12)
    a, b = net.pair(FAST | {"passive": True})
    net.run(30 * SECOND)
    assert a.sent == b.sent == []


def test_restart_of_the_neighbour() -> None:
    """A new process with a new discriminator: one Down, then Up again, with authentication too."""
    net = Network(13)
    config = FAST | {"keys": [(1, 4, b"k")]}
    a, b = bring_up(net, config)
    fresh = Node(net, "b", discr=303, seq=(b.session.xmit_seq + 1) % 2**32, **config)
    fresh.peer, a.peer = a, fresh
    b.frozen_until = 1 << 62
    net.run(5 * SECOND)
    assert (a.session.state, fresh.session.state, a.session.remote_discr) == ("up", "up", 303)
    assert a.causes().count("neighbor_down") == 1


field = st.integers(0, 0xFFFFFFFF)


@given(
    st.lists(
        st.one_of(
            st.builds(
                codec.BfdPacket,
                state=st.integers(0, 3),
                detect_mult=st.integers(1, 255),
                my_discr=st.integers(1, 3),
                your_discr=st.just(7),
                min_tx_us=field,
                min_rx_us=field,
                min_echo_rx_us=field,
                diag=st.integers(0, 31),
                flags=st.sampled_from([0, 2, 0x10, 0x12, 0x20, 0x22]),
                auth_seq=st.just(0),
            ),
            st.sampled_from(["tx", "detect", "echo", "echo_back", "admin_up", "path_down", "poll"]),
            st.tuples(st.sampled_from(["admin_down", "concat", "backoff"]), st.integers(0, 8)),
        ),
        max_size=60,
    ),
    st.booleans(),
    st.booleans(),
    st.integers(0, 50_000),
)
@settings(max_examples=200)
def test_any_sequence_of_inputs_keeps_the_rules(
    inputs: list[Any], demand: bool, passive: bool, echo: int
) -> None:
    """Whatever comes in whatever order: P never with F, slow while not Up, D only when both are Up, a
    passive session silent without a neighbour, and deadlines that are times."""
    s = Session(discr=7, demand=demand, passive=passive, echo_tx_us=echo, min_tx_us=10_000)
    now = SECOND
    for item in inputs:
        now += 30 * MS
        known = s.remote_discr != 0
        if isinstance(item, str):
            actions = s.step(item, now)  # type: ignore[arg-type]
        elif isinstance(item, codec.BfdPacket):
            actions = s.receive(codec.bfd_encode(item), now)
            known = True
        else:
            actions = s.step(item[0], now, arg=item[1])
        for data in actions.packets:
            verdict, read = codec.bfd_decode(data)
            assert read is not None, verdict
            assert read.state == ["admin_down", "down", "init", "up"].index(s.state)
            assert read.state == 3 or read.min_tx_us >= 1_000_000
            assert not read.flags & 2 or (s.state, s.remote_state) == ("up", "up")
            assert known or not passive
        assert s.echo_on <= (s.state == "up")
        for at in (s.tx_at, s.detect_at, s.echo_at):
            assert 0 < at <= NEVER
