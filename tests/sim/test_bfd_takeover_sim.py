"""Two routers under one virtual clock: VRRP by multicast, BFD between them, a network that loses and delays.

What must hold whatever the seed: a dead master is replaced within a detection time (and a packet's way), a
living one
never by BFD while fewer packets are lost in a row than its multiplier, and nobody is accused by one who
slept.
"""

from __future__ import annotations

import heapq
import itertools
import random

import pytest

from fastha._core.bfd_spec import BfdSpec, BfdTrack
from fastha._core.events import EventKind
from fastha._core.vnode import VirtualRouter

MS = 1_000_000
SECOND = 1_000_000_000
ADDRESS = (b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02")


class Pair:
    """Router 0 has the higher priority; both track their session to the other with takeover."""

    def __init__(self, seed: int, *, mult: int = 3, us: int = 10_000, loss: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.loss, self.mult = loss, mult
        self.routers = [VirtualRouter(seed=seed * 2 + n) for n in (0, 1)]
        self.dead = [False, False]
        self.queue: list[tuple[int, int, int, str, object]] = []
        self.count = itertools.count()
        self.lost_in_a_row = [0, 0]
        self.master_at: list[list[int]] = [[], []]
        self.down_causes: list[tuple[int, int]] = []
        for n, router in enumerate(self.routers):
            router.add(0, priority=200 - 100 * n)
            router.bfd_add(
                0,
                BfdSpec(
                    family=2, peer=ADDRESS[1 - n], local=ADDRESS[n], ifindex=1, detect_mult=mult,
                    min_tx_us=us, min_rx_us=us,
                ),
            )  # fmt: skip
            router.bfd_track(0, [BfdTrack(session=0, takeover=True)])
            router.on_drain = lambda n=n: self.deliver(n)

    @property
    def now(self) -> int:
        return self.routers[0].clock

    def deliver(self, n: int) -> None:
        """Everything that has reached router n by its clock."""
        mine = [one for one in self.queue if one[2] == n and one[0] <= self.routers[n].clock]
        self.queue = [one for one in self.queue if one not in mine]
        heapq.heapify(self.queue)
        router = self.routers[n]
        for at, _, _, kind, what in sorted(mine):
            if kind == "bfd":
                assert isinstance(what, bytes)
                router.bfd_heard(what, ADDRESS[1 - n], ADDRESS[n], ifindex=1, age=router.clock - at)
            else:
                assert isinstance(what, int)
                router.heard(
                    0, what, src=ADDRESS[1 - n], src_order=1 if n == 0 else -1, age=router.clock - at
                )

    def collect(self) -> None:
        for n, router in enumerate(self.routers):
            for at, what, _, argument in router.take():
                if what == "acquire":
                    self.master_at[n].append(at)
                if what == "advert":
                    self.send(n, at, "advert", argument)
            for at, _, _, data in router.take_packets():
                self.send(n, at, "bfd", data)
            for _, kind, _, arg, _ in router.take_events():
                if kind == EventKind.BFD_STATE and arg[0] == 3:
                    self.down_causes.append((n, arg[2]))

    def send(self, n: int, at: int, kind: str, what: object) -> None:
        if self.dead[n]:
            return
        if kind == "bfd":
            # never so many in a row that a living neighbour would be lost with reason
            if self.random.random() < self.loss and self.lost_in_a_row[n] < self.mult - 2:
                self.lost_in_a_row[n] += 1
                return
            self.lost_in_a_row[n] = 0
        way = self.random.randrange(50_000, 900_000)
        heapq.heappush(self.queue, (at + way, next(self.count), 1 - n, kind, what))

    def run(self, length: int) -> None:
        end = self.now + length
        while self.now < end:
            due = min(
                [end]
                + [one[0] for one in self.queue[:1]]
                + [router.due() for n, router in enumerate(self.routers) if not self.dead[n]]
            )
            for n, router in enumerate(self.routers):
                if self.dead[n]:
                    router.clock = max(router.clock, due)
                    self.queue = [one for one in self.queue if one[2] != n]
                else:
                    router.advance(max(0, due - router.clock))
                    self.deliver(n)
            self.collect()

    def settle(self) -> None:
        self.run(8 * SECOND)
        assert [router.state(0) for router in self.routers] == ["MASTER", "BACKUP"]
        assert [router.bfd_state(0) for router in self.routers] == ["up", "up"]
        self.down_causes.clear()


@pytest.mark.parametrize("seed", range(12))
def test_dead_master_is_replaced_within_a_detection_time(seed: int) -> None:
    pair = Pair(seed)
    pair.settle()
    pair.run(pair.random.randrange(1, SECOND))
    died = pair.now
    pair.dead[0] = True
    pair.master_at[1].clear()
    pair.run(40 * MS)
    assert pair.routers[1].state(0) == "MASTER"
    assert 20 * MS <= pair.master_at[1][0] - died <= 31 * MS


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_reordering_move_no_address(seed: int) -> None:
    pair = Pair(seed, mult=5, loss=0.3)
    pair.settle()
    pair.run(20 * SECOND)
    assert not pair.down_causes
    assert [router.state(0) for router in pair.routers] == ["MASTER", "BACKUP"]


@pytest.mark.parametrize("seed", range(6))
def test_who_slept_accuses_nobody(seed: int) -> None:
    pair = Pair(seed)
    pair.settle()
    sleeper = pair.routers[1]
    # asleep for 2 s, while what the master sends waits for it, stamped with the time of its arrival
    begun = sleeper.clock
    for _ in range(200):
        pair.routers[0].advance(10 * MS)
        # its own detection time passes, too; it must not notice, or it would say Down with reason
        for _, kind, _, data in pair.routers[0].take_packets():
            if kind == "control" and data[1] >> 6 == 3:
                heapq.heappush(pair.queue, (pair.routers[0].clock, next(pair.count), 1, "bfd", data))
        pair.routers[0].take()
    sleeper.advance(pair.routers[0].clock - begun, stall=True)
    states = [arg for _, kind, _, arg, _ in sleeper.take_events() if kind == EventKind.BFD_STATE]
    assert all(arg[2] != 2 for arg in states), "declared dead by its own sleep"
    assert sleeper.bfd_state(0) == "up"


def test_a_planned_end_is_no_failure() -> None:
    pair = Pair(7)
    pair.settle()
    pair.routers[0].bfd_admin(0, False)
    pair.run(100 * MS)
    assert pair.routers[1].bfd_state(0) == "down"
    assert [router.state(0) for router in pair.routers] == ["MASTER", "BACKUP"]
    pair.routers[0].bfd_admin(0, True)
    pair.run(3 * SECOND)
    assert [router.bfd_state(0) for router in pair.routers] == ["up", "up"]


def test_both_believe_the_other_dead_and_the_better_one_wins() -> None:
    """The path of BFD alone breaks: both are master for a packet's way, then priority settles it."""
    pair = Pair(3)
    pair.settle()
    pair.loss, pair.mult = 1.0, 10**9  # every BFD packet is lost, adverts are not
    pair.run(200 * MS)
    assert pair.master_at[1], "the backup took over"
    assert [router.state(0) for router in pair.routers] == ["MASTER", "BACKUP"]
    pair.run(5 * SECOND)
    assert [router.state(0) for router in pair.routers] == ["MASTER", "BACKUP"]
    assert len(pair.master_at[1]) == 1, "it took over once, by BFD, and never again"
