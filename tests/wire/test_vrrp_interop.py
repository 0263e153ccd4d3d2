"""fastha and Debian's keepalived share addresses, each as master and as backup of the other.

Every case walks the same way: the lower router comes up alone; the higher one comes and preempts; it ends
orderly (priority 0); it comes again; its machine dies. At each step exactly one router has the addresses, and
at the end tshark finds nothing wrong with any frame that either sent.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from vrrp_bed import Bed, bed, both_roles, needs_keepalived, needs_root, tshark_complaints

from fastha._core import codec
from fastha.lab import Frame, faults, wait_for
from fastha.lab.confs import config, instance, sync_group

pytestmark = [pytest.mark.wire, needs_root, needs_keepalived]
HIGH, LOW = 200, 100


@dataclass(frozen=True)
class Case:
    """Configuration of router 1 or 2 and what to expect of it."""

    text: Callable[[int], str]
    addresses: tuple[str, ...]
    vrids: tuple[int, ...]
    interval_ms: float = 100
    version: int = 3
    virtual_mac: str | None = None
    destination: str | None = None


def _one(
    address: str,
    vrid: int,
    *lines: str,
    peers: tuple[str, str] | None = None,
    version: int = 3,
    advert: float = 0.1,
    name: str = "VI",
) -> Callable[[int], str]:
    def text(number: int) -> str:
        more = list(lines)
        if peers:
            mine, other = peers if number == 1 else peers[::-1]
            more += [f"unicast_src_ip {mine}", f"unicast_peer {{\n{other}\n}}"]
        addresses = address.split()
        return instance(
            name, vrid=vrid, priority=HIGH if number == 1 else LOW, addresses=addresses, lines=more,
            version=version, advert=advert,
        )  # fmt: skip

    return text


def _file(*blocks: Callable[[int], str]) -> Callable[[int], str]:
    return lambda number: config(*(each(number) for each in blocks))


V4, V6 = ("198.51.100.1", "198.51.100.2"), ("2001:db8:1::1", "2001:db8:1::2")
CASES = {
    "v3-ipv4": Case(
        _file(_one("198.51.100.51/24 198.51.100.52/32", 51)),
        ("198.51.100.51", "198.51.100.52"), (51,), destination="224.0.0.18",
    ),
    "v3-ipv6": Case(
        _file(_one("fe80::52/64 2001:db8:1::52/64", 52)),
        ("fe80::52", "2001:db8:1::52"), (52,), destination="ff02::12",
    ),
    "v3-ipv4-unicast": Case(_file(_one("198.51.100.53/24", 53, peers=V4)), ("198.51.100.53",), (53,)),
    "v3-ipv6-unicast": Case(
        _file(_one("fe80::54/64 2001:db8:1::54/64", 54, peers=V6)), ("2001:db8:1::54",), (54,)
    ),
    "v3-ipv4-vmac": Case(
        _file(_one("198.51.100.55/24", 55, "use_vmac")), ("198.51.100.55",), (55,),
        virtual_mac="00:00:5e:00:01:37",
    ),
    "v3-ipv6-vmac": Case(
        _file(_one("fe80::56/64 2001:db8:1::56/64", 56, "use_vmac")), ("2001:db8:1::56",), (56,),
        virtual_mac="00:00:5e:00:02:38",
    ),
    "v2": Case(
        _file(
            _one("198.51.100.57/24", 57, version=2, advert=1, name="PLAIN"),
            _one("198.51.100.58/24", 58, "authentication {\nauth_type PASS\nauth_pass s3cret\n}", version=2,
                 advert=1, name="PASS"),
            _one("198.51.100.59/24", 59, "authentication {\nauth_type AH\nauth_pass s3cret\n}", version=2,
                 advert=1, name="AH"),
            _one("198.51.100.60/24", 60, version=2, advert=1, peers=V4, name="UNICAST"),
        ),
        ("198.51.100.57", "198.51.100.58", "198.51.100.59", "198.51.100.60"), (57, 58, 59, 60),
        interval_ms=1000, version=2,
    ),
}  # fmt: skip


def _check_format(made: Bed, case: Case, kinds: dict[str, str]) -> None:
    for frame in made.capture.adverts():
        assert frame.advert is not None
        assert frame.advert.version == case.version
        assert frame.advert.vrid in case.vrids
        assert frame.advert.interval_ns == case.interval_ms * 1e6
        # Debian's keepalived sends IPv6 unicast with the kernel's own hop limit; ours never does.
        assert frame.ttl == 255 or (kinds[frame.node] != "fastha" and frame.dst in V6 and frame.ttl == 64)
        if case.destination:
            assert frame.dst == case.destination
        if case.virtual_mac:
            assert frame.eth_src == case.virtual_mac
    if case.virtual_mac:
        announcing = {f.eth_src for f in made.capture.announcements() if f.announces in case.addresses}
        assert announcing == {case.virtual_mac}


def _live(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame.advert and frame.advert.priority > 0]


def _one_voice_until(made: Bed, case: Case, node: str, since: int, until: int) -> None:
    for vrid in case.vrids:
        heard = _live(made.capture.adverts(vrid=vrid, since=since + 1, until=until))
        assert {frame.node for frame in heard} <= {node}


@both_roles
@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_failover_and_back(pair: tuple[str, str], name: str, tmp_path: Path) -> None:
    case = CASES[name]
    ms = case.interval_ms
    with bed("interop") as made:
        two = made.daemon(2, pair[1], case.text(2))
        made.wait_master(2, *case.addresses)

        one = made.daemon(1, pair[0], case.text(1))  # the higher priority preempts
        made.wait_master(1, *case.addresses)
        made.capture.wait(
            "r1 announces every address",
            lambda: all(made.capture.announcements("r1", address=a) for a in case.addresses),
        )
        quiet = max(made.capture.adverts("r2")[-1].at_ns, made.capture.adverts("r1")[0].at_ns)

        asked = one.terminate()  # an orderly end: priority 0, and the lower one takes over at once
        made.wait_master(2, *case.addresses)
        _one_voice_until(made, case, "r1", quiet, asked)
        for vrid in case.vrids:
            last = made.capture.adverts("r1", vrid=vrid)[-1]
            assert last.advert is not None
            assert last.advert.priority == 0
            made.capture.wait(
                "r2 speaks", lambda v=vrid, at=last.at_ns: made.capture.adverts("r2", vrid=v, since=at)
            )
            follower = made.capture.adverts("r2", vrid=vrid, since=last.at_ns)[0]
            # Skew time, never the whole master-down interval.
            assert (follower.at_ns - last.at_ns) / 1e6 < 2 * ms

        one.start()  # preempts again
        made.wait_master(1, *case.addresses)
        made.capture.wait(
            "r1 speaks", lambda: all(made.capture.adverts("r1", vrid=v, since=asked) for v in case.vrids)
        )
        killed = one.kill()  # the machine dies
        faults.unplug(made.routers[0])
        made.capture.wait(
            "r2 speaks", lambda: all(made.capture.adverts("r2", vrid=v, since=killed) for v in case.vrids)
        )
        for vrid in case.vrids:
            last = made.capture.adverts("r1", vrid=vrid)[-1]
            first = made.capture.adverts("r2", vrid=vrid, since=killed)[0]
            waited = (first.at_ns - last.at_ns) / 1e6
            down = codec.vrrp_down_ns(case.version, LOW, int(ms * 1e6)) / 1e6
            # One advert more where the machine stood still: who was stalled gives the master that long.
            assert down - 1 < waited < down + ms + 500
        two.terminate()
        made.capture.stop()
        assert made.capture.dropped == 0
        _check_format(made, case, {"r1": pair[0], "r2": pair[1]})
        assert tshark_complaints(made.capture, tmp_path) == []


@both_roles
def test_nopreempt_leaves_the_lower_one_master(pair: tuple[str, str]) -> None:
    def text(number: int) -> str:
        lines = ["nopreempt"] if number == 1 else []
        return config(
            instance("VI", vrid=61, priority=HIGH if number == 1 else LOW, addresses=["198.51.100.61/24"],
                     lines=lines)
        )  # fmt: skip

    with bed("nopreempt") as made:
        two = made.daemon(2, pair[1], text(2))
        made.wait_master(2, "198.51.100.61")
        one = made.daemon(1, pair[0], text(1))
        start = made.capture.adverts("r2")[-1].at_ns
        made.capture.wait("ten more adverts of r2", lambda: len(made.capture.adverts("r2", since=start)) > 10)
        assert one.running
        assert not made.capture.adverts("r1")
        assert made.routers[1].has("198.51.100.61")
        two.kill()
        faults.unplug(made.routers[1])
        made.capture.wait("r1 takes over", lambda: made.capture.adverts("r1"))


@both_roles
def test_a_lower_priority_from_reload_hands_over(pair: tuple[str, str]) -> None:
    def text(priority: int) -> str:
        return config(instance("VI", vrid=62, priority=priority, addresses=["198.51.100.62/24"]))

    with bed("reprio") as made:
        one = made.daemon(1, pair[0], text(200))
        made.daemon(2, pair[1], text(150))
        made.wait_master(1, "198.51.100.62")
        one.reload(text(100))
        made.wait_master(2, "198.51.100.62")
        one.reload(text(200))
        made.wait_master(1, "198.51.100.62")


@both_roles
def test_equal_priorities_are_settled_by_address(pair: tuple[str, str]) -> None:
    text = config(instance("VI", vrid=63, priority=100, addresses=["198.51.100.63/24"]))
    with bed("tie") as made:
        one, two = made.daemon(1, pair[0], text, start=False), made.daemon(2, pair[1], text, start=False)
        faults.mute(made.routers[0])  # so that both become master
        faults.mute(made.routers[1])
        one.start()
        two.start()
        wait_for("both are master", lambda: all(r.has("198.51.100.63") for r in made.routers))
        faults.heal(made.routers[0])
        faults.heal(made.routers[1])
        made.wait_master(2, "198.51.100.63")  # the higher address
        made.capture.wait(
            "the winner announces the address again",
            lambda: made.capture.announcements("r2", address="198.51.100.63"),
        )


@both_roles
def test_a_sync_group_moves_as_one(pair: tuple[str, str]) -> None:
    def text(number: int) -> str:
        priority = HIGH if number == 1 else LOW
        return config(
            sync_group("G", ["INSIDE", "OUTSIDE"]),
            instance("INSIDE", vrid=64, priority=priority, addresses=["198.51.100.64/24"]),
            instance("OUTSIDE", vrid=65, priority=priority, addresses=["203.0.113.65/24"], interface="eth1"),
        )

    with bed("group") as made:
        made.lab.segment("wan")
        for number, node in enumerate(made.routers, 1):
            made.lab.attach(node, "wan", "eth1", [f"203.0.113.{number}/24"])
        one = made.daemon(1, pair[0], text(1))
        made.daemon(2, pair[1], text(2))
        both = ("198.51.100.64", "203.0.113.65")
        made.wait_master(1, *both)
        faults.link_down(made.routers[0], "eth1")  # one of the two; the other must follow
        made.wait_master(2, *both)
        faults.link_up(made.routers[0], "eth1")
        made.lab.nodes["r1"].ip("address replace 203.0.113.1/24 dev eth1")
        made.wait_master(1, *both)
        one.signal(signal.SIGTERM)
        made.wait_master(2, *both)
