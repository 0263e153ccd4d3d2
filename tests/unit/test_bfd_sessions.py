"""What the machine alone cannot show of RFC 5880 to 5883, 9468 and 9747: which session a packet belongs
to, what is counted,
what is sent when; numbered as the requirements of the protocols' list. On the engine's own code under a
virtual clock.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from fastha._core import codec
from fastha._core.bfd_spec import BfdKeySpec, BfdKind, BfdSpec, BfdTrack
from fastha._core.events import EventKind, Fault
from fastha._core.vnode import VirtualRouter

MS, SECOND = 1_000_000, 1_000_000_000
US, THEM, OTHER = b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02", b"\xc0\x00\x02\x03"
DOWN, INIT, UP = 1, 2, 3
POLL, FINAL, AUTH, DEMAND, MULTIPOINT = 0x20, 0x10, 0x04, 0x02, 0x01


def packet(
    state: int,
    your: int,
    *,
    my: int = 77,
    flags: int = 0,
    mult: int = 3,
    tx: int = 10_000,
    rx: int = 10_000,
    echo: int = 0,
    diag: int = 0,
    version: int = 1,
    length: int = 24,
) -> bytes:
    return struct.pack(
        "!BBBBIIIII", version << 5 | diag, state << 6 | flags, mult, length, my, your, tx, rx, echo
    )


def spec(**more: object) -> BfdSpec:
    base: dict[str, object] = {"family": 2, "peer": THEM, "local": US, "ifindex": 1, "discr": 1}
    return BfdSpec(**(base | more))  # type: ignore[arg-type]


class Router(VirtualRouter):
    """A VirtualRouter with a neighbour that this test plays."""

    def hear(self, data: bytes, **where: int) -> str:
        return self.bfd_heard(data, THEM, US, ifindex=where.pop("ifindex", 1), **where)

    def come_up(self, discr: int = 1, **fields: int) -> None:
        assert self.hear(packet(DOWN, 0, **fields)) == "ok"
        assert self.hear(packet(INIT, discr, **fields)) == "ok"
        assert self.hear(packet(UP, discr, flags=FINAL, **fields)) == "ok"
        assert self.bfd_state(0) == "up"
        self.take_packets()
        self.take_events()

    def keep_up(self, length: int, every: int = 8 * MS) -> None:
        """The neighbour goes on for so long."""
        for _ in range(length // every):
            self.advance(every)
            self.hear(packet(UP, 1))

    def sent(self) -> list[bytes]:
        return [data for _, kind, _, data in self.take_packets() if kind == "control"]


@pytest.fixture
def router() -> Router:
    made = Router()
    made.bfd_add(0, spec())
    return made


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (packet(DOWN, 0, version=0), "version"),
        (packet(DOWN, 0, length=23), "length_small"),  # BFD-002
        (packet(DOWN, 0, length=25, flags=AUTH) + b"\0", "length_small"),
        (packet(DOWN, 0, length=25), "length_large"),  # BFD-003
        (packet(DOWN, 0) + bytes(500), "ok"),
        (packet(DOWN, 0, mult=0), "detect_mult"),  # BFD-004
        (packet(DOWN, 0, flags=MULTIPOINT), "multipoint"),  # BFD-005
        (packet(DOWN, 0, my=0), "my_discriminator"),
        (packet(DOWN, 4711), "your_discriminator_unknown"),  # BFD-008
        (packet(INIT, 0), "your_discriminator_zero"),
        (packet(DOWN, 0)[:23], "too_short"),
        # BFD-017: two faults at once, the first of the text counts
        (packet(DOWN, 0, version=2, mult=0), "version"),
        (packet(DOWN, 0, length=23, mult=0), "length_small"),
        (packet(DOWN, 0, mult=0, flags=MULTIPOINT), "detect_mult"),
        (packet(DOWN, 4711, my=0), "my_discriminator"),
        (packet(UP, 1, flags=AUTH, length=28) + b"\1\4\1x", "auth_unexpected"),
    ],
)
def test_every_refusal_has_its_counter_and_changes_nothing(router: Router, data: bytes, verdict: str) -> None:
    """BFD-016, BFD-019."""
    before = router.bfd_status(0)
    assert router.hear(data) == verdict
    if verdict != "ok":
        assert router.bfd_status(0) == before
        events = [arg for _, kind, _, arg, _ in router.take_events() if kind == EventKind.BFD_REJECT]
        assert [codec.BFD_RX_NAMES[arg[0]] for arg in events] == [verdict]


def test_your_discriminator_alone_selects(router: Router) -> None:
    """BFD-007: from another address it is still the session; BFD-089: answers go where they went."""
    router.come_up()
    assert router.bfd_heard(packet(UP, 1), OTHER, US, ifindex=1) == "ok"
    assert router.bfd_heard(packet(UP, 1), OTHER, US, ifindex=2) == "wrong_path"
    assert router.bfd_heard(packet(UP, 1), OTHER, US, ifindex=1, ttl=254) == "ttl"
    assert router.bfd_heard(packet(DOWN, 0), OTHER, US, ifindex=1) == "no_session"


def test_discriminators_are_random_unique_and_never_zero() -> None:
    """BFD-011."""
    made = [Router(sessions=1000, seed=seed) for seed in (1, 2)]
    found = []
    for router in made:
        given = [router.bfd_add(n, spec(discr=0, peer=struct.pack("!I", n + 1))) for n in range(1000)]
        assert len(set(given)) == 1000 and 0 not in given
        assert max(given) - min(given) > 1 << 31
        found.append(set(given))
    assert len(found[0] & found[1]) < 3
    with pytest.raises(ValueError, match="taken"):
        made[0].bfd_remove(0, False)
        made[0].bfd_add(0, spec(discr=next(iter(found[0] - {0}))))


def test_sequence_numbers_begin_anywhere() -> None:
    """BFD-077."""
    begun = set()
    for seed in range(8):
        router = Router(seed=seed)
        router.bfd_add(0, spec(keys=(BfdKeySpec(1, 5, b"secret"),)))
        router.advance(0)
        begun.add(struct.unpack("!I", router.sent()[0][28:32])[0])
    assert len(begun) == 8 and max(begun) > 1 << 24


def _intervals(router: Router, count: int) -> Iterable[float]:
    last = None
    found: list[float] = []
    while len(found) < count:
        router.keep_up(80 * MS)
        for at, _, _, _ in router.take_packets():
            if last is not None:
                found.append((at - last) / (10 * MS))
            last = at
    return found


@pytest.mark.parametrize(("mult", "most"), [(3, 1.0), (1, 0.9)])
def test_jitter_is_uniform(mult: int, most: float) -> None:
    """BFD-034, BFD-035, BFD-036: three quarters to all of the interval, nine tenths with a multiplier of
    1."""
    router = Router()
    router.bfd_add(0, spec(detect_mult=mult))
    router.come_up()
    router.keep_up(40 * MS)
    router.take_packets()
    found = sorted(_intervals(router, 1000))
    assert found[0] >= 0.75 and found[-1] <= most
    span = most - 0.75
    for part in (0.25, 0.5, 0.75):  # quartiles of a uniform distribution
        assert abs(found[int(part * len(found))] - (0.75 + part * span)) < 0.1 * span + 0.005


def test_echo_is_announced_only_where_it_is_looped(router: Router) -> None:
    """BFD-044."""
    router.advance(0)
    assert router.sent()[0][20:24] == bytes(4)
    router.bfd_replace(0, spec(min_echo_rx_us=5000))
    router.come_up()
    router.advance(10 * MS)
    assert struct.unpack("!I", router.sent()[-1][20:24])[0] == 5000


def test_no_echo_over_several_hops() -> None:
    """BFD-067."""
    with pytest.raises(ValueError, match="5883"):
        Router().bfd_add(0, spec(multihop=True, echo_tx_us=1000))


def test_diagnostics_of_others_are_shown(router: Router) -> None:
    """BFD-014, BFD-022."""
    router.come_up(diag=9)
    assert router.bfd_status(0)["remote_diag"] == 9
    assert router.hear(packet(DOWN, 1)) == "ok"
    assert router.bfd_status(0)["local_diag"] == 3


def test_ports_of_one_hop_and_of_several_are_apart() -> None:
    """BFD-091, BFD-094, and BFD-092: at least so many of the TTL must be left."""
    router = Router()
    router.bfd_add(0, spec())
    router.bfd_add(1, spec(discr=2, multihop=True, ifindex=0, least_ttl=250))
    assert router.hear(packet(DOWN, 0), port=4784, ttl=250) == "ok"
    assert router.bfd_state(1) == "init" and router.bfd_state(0) == "down"
    assert router.hear(packet(INIT, 2), port=3784) == "wrong_path"
    assert router.hear(packet(INIT, 1), port=4784) == "wrong_path"
    assert router.hear(packet(INIT, 2), port=4784, ttl=249) == "ttl"
    assert router.hear(packet(INIT, 2), port=4784, ttl=251) == "ok"
    assert router.bfd_state(1) == "up"


def test_gtsm_of_a_single_hop(router: Router) -> None:
    """BFD-086."""
    for ttl in (254, 1, 0, -1):
        assert router.hear(packet(DOWN, 0), ttl=ttl) == "ttl"
    assert router.bfd_state(0) == "down"
    assert router.hear(packet(DOWN, 0), ttl=255) == "ok"


def test_one_session_for_a_neighbour_a_link_and_a_family() -> None:
    """BFD-087: what names more of its way is sought first."""
    router = Router()
    router.bfd_add(0, spec(ifindex=0, local=b"", discr=1))
    router.bfd_add(1, spec(ifindex=2, local=b"", discr=2))
    router.bfd_add(2, spec(ifindex=2, discr=3))
    for ifindex, dst, slot in ((1, US, 0), (2, OTHER, 1), (2, US, 2)):
        assert router.bfd_heard(packet(DOWN, 0), THEM, dst, ifindex=ifindex) == "ok"
        assert router.bfd_state(slot) == "init"


def test_sbfd_discriminators_of_others_do_not_select() -> None:
    """BFD-103, BFD-108: an initiator takes answers of its own reflector only."""
    router = Router()
    router.bfd_add(0, spec(kind=BfdKind.SBFD, remote_discr=9, least_ttl=0))
    assert router.hear(packet(UP, 1, my=9, flags=DEMAND), port=7784) == "sbfd_demand"
    assert router.hear(packet(UP, 1, my=8), port=7784) == "no_session"
    assert router.hear(packet(UP, 1, my=9)) == "wrong_path"
    assert router.hear(packet(UP, 1, my=9), port=7784) == "ok"
    assert router.bfd_state(0) == "up"


def test_unaffiliated_echo_believes_only_itself() -> None:
    """BFD-109 to BFD-113: own packets, once forwarded, in BFD's format; the slow rate until Up."""
    router = Router()
    router.bfd_add(0, spec(kind=BfdKind.LOOPED, least_ttl=254))
    router.advance(0)
    (first,) = router.sent()
    assert (
        struct.unpack("!II", first[4:12]) == (1, 0) and struct.unpack("!II", first[12:20]) == (1_000_000,) * 2
    )
    assert router.hear(first, port=3785, ttl=255) == "ttl"
    assert router.hear(first, port=3785, ttl=253) == "ttl"
    assert router.hear(packet(DOWN, 0), port=3785, ttl=254) == "echo_not_ours"
    router.advance(700 * MS)
    assert not router.sent()
    for _ in range(3):
        assert router.hear(first, port=3785, ttl=254) == "ok"
        first = (router.sent() or [first])[-1]
    assert router.bfd_state(0) == "up"
    router.advance(31 * MS)
    assert router.bfd_state(0) == "down" and router.bfd_status(0)["local_diag"] == 2
    assert len(router.sent()) >= 3  # at the provisioned rate until then


def test_clients_hear_of_failures_only() -> None:
    """BFD-096 to BFD-098 (RFC 5882 3): neither the first Up nor an administrator's wish is one."""
    router = Router()
    router.add(0)
    router.add(1)
    router.bfd_add(0, spec())
    router.bfd_track(0, [BfdTrack(session=0, initially_up=True)])
    router.bfd_track(1, [BfdTrack(session=0)])
    assert [router.faults(n) & Fault.BFD for n in (0, 1)] == [0, Fault.BFD]
    router.come_up()
    assert [router.faults(n) & Fault.BFD for n in (0, 1)] == [0, 0]
    router.hear(packet(0, 1))
    assert router.bfd_state(0) == "down"
    assert [router.faults(n) & Fault.BFD for n in (0, 1)] == [0, 0]
    router.come_up()
    router.bfd_admin(0, False)
    assert [router.faults(n) & Fault.BFD for n in (0, 1)] == [0, 0]
    router.bfd_admin(0, True)
    router.come_up()
    router.advance(31 * MS)
    assert [router.faults(n) & Fault.BFD for n in (0, 1)] == [Fault.BFD, Fault.BFD]


def test_loss_that_is_certain_is_counted() -> None:
    """Meticulous authentication numbers every packet: a gap is a loss."""
    ours, theirs = Router(seed=1), Router(seed=2)
    keys = (BfdKeySpec(1, 5, b"secret"),)
    ours.bfd_add(0, spec(keys=keys))
    theirs.bfd_add(0, spec(keys=keys, peer=US, local=THEM, discr=2))

    def exchange(length: int, lose: int = 0) -> int:
        lost = 0
        for n in range(length // MS):
            for router in (ours, theirs):
                router.advance(MS)
            for data in ours.sent():
                theirs.bfd_heard(data, US, THEM, ifindex=1)
            for data in theirs.sent():
                if lose and n % lose == 0:
                    lost += 1
                else:
                    ours.hear(data)
        return lost

    exchange(3 * SECOND)
    assert ours.bfd_state(0) == theirs.bfd_state(0) == "up"
    assert ours.bfd_counters(0)["lost"] == 0
    lost = exchange(3 * SECOND, lose=7)
    exchange(SECOND)
    assert lost > 10 and ours.bfd_counters(0)["lost"] == lost
    assert ours.bfd_counters(0)["downs"] == 0
