"""Reloads on the wire: a thousand instances of which one changes; addresses rolled through a pair."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from itertools import pairwise

import pytest
from vrrp_bed import Bed, bed, needs_keepalived, needs_root

from fastha.lab import Capture, FasthaDaemon, Lab, wait_for
from fastha.lab.confs import config, instance

pytestmark = [pytest.mark.wire, needs_root]
LINKS, EACH = 4, 250
ADVERT_S = 0.5


def text(priority: int, changed: dict[str, int]) -> str:
    """A thousand instances on four links; `changed`: other priorities by name."""
    return config(
        *(
            instance(
                f"I{link}_{vrid}",
                vrid=vrid,
                interface=f"eth{link}",
                priority=changed.get(f"I{link}_{vrid}", priority),
                advert=ADVERT_S,
                addresses=[f"10.{link}.{vrid}.100/32"],
            )
            for link in range(LINKS)
            for vrid in range(1, EACH + 1)
        ),
        globals_=("vrrp_garp_master_repeat 1", "vrrp_garp_master_delay 0"),
    )


def test_a_reload_of_a_thousand_instances_misses_no_advert() -> None:
    with Lab("thousand") as lab:
        for link in range(LINKS):
            lab.segment(f"s{link}")
        nodes = [
            lab.node(f"r{n}", **{f"s{link}": f"198.51.{100 + link}.{n}/24" for link in range(LINKS)})
            for n in (1, 2)
        ]
        one, two = (FasthaDaemon(node, text(200 // n, {})) for n, node in enumerate(nodes, 1))

        def states(daemon: FasthaDaemon) -> dict[str, int]:
            found: dict[str, int] = daemon.show("status")["states"]
            return found

        for daemon in (one, two):
            daemon.start(timeout=30)
        wait_for("all are master", lambda: states(one) == {"MASTER": LINKS * EACH}, timeout=30, every=0.2)
        wait_for("all are backup", lambda: states(two) == {"BACKUP": LINKS * EACH}, timeout=30, every=0.2)
        before = [daemon.show("status")["transitions"] for daemon in (one, two)]

        captures = [Capture(lab, f"s{link}", only=["r1"]) for link in range(LINKS)]
        for capture in captures:
            capture.wait("a round before", lambda c=capture: len(c.adverts("r1")) > 2 * EACH)
        changed: dict[str, int] = {}
        for number, name in enumerate(("I0_17", "I3_250", "I2_1"), 1):
            changed[name] = 200 + number
            one.reload(text(200, changed))
            wait_for("the reload", lambda n=number: one.show("status")["reloads"] == n, timeout=30, every=0.1)
        seen = len(captures[0].adverts("r1"))
        captures[0].wait("one more round", lambda: len(captures[0].adverts("r1")) > seen + 2 * EACH)
        for capture in captures:
            capture.stop()

        priorities: dict[str, set[int]] = {}
        for link, capture in enumerate(captures):
            assert capture.dropped == 0
            times: dict[int, list[int]] = defaultdict(list)
            for frame in capture.adverts("r1"):
                assert frame.advert is not None
                times[frame.advert.vrid].append(frame.at_ns)
                priorities.setdefault(f"I{link}_{frame.advert.vrid}", set()).add(frame.advert.priority)
            assert sorted(times) == list(range(1, EACH + 1))
            begin = min(at[0] for at in times.values())
            end = max(at[-1] for at in times.values())
            for vrid, at in times.items():
                whole = [begin, *at, end]
                longest = max(b - a for a, b in pairwise(whole))
                assert longest < 1.9 * ADVERT_S * 1e9, f"I{link}_{vrid} was silent for {longest / 1e6:.0f} ms"
        for name, heard in priorities.items():
            assert heard == ({200, changed[name]} if name in changed else {200}), name
        assert [daemon.show("status")["transitions"] for daemon in (one, two)] == before
        assert states(one) == {"MASTER": LINKS * EACH} and states(two) == {"BACKUP": LINKS * EACH}

        # A thousand things at once are told in portions, and to the last.
        one.terminate()
        wait_for("all are master", lambda: states(two) == {"MASTER": LINKS * EACH}, timeout=30, every=0.2)
        assert two.show("status")["transitions"] == before[1] + LINKS * EACH
        assert sum(") stopped: " in line for line in one.log().splitlines()) == LINKS * EACH


def test_more_instances_than_there_is_room_for_are_refused_by_name() -> None:
    """The engine is given its memory once; what does not fit is told, and what runs goes on."""

    def many(count: int) -> str:
        addresses = [f"10.9.{n // 250}.{n % 250 + 1}/32" for n in range(count)]
        return config(
            *(
                instance(
                    f"I{n}", vrid=n % 255 + 1, priority=100, interface=f"eth{n // 255}", addresses=[address]
                )
                for n, address in enumerate(addresses)
            )
        )

    with Lab("room") as lab:
        lab.segment("s0")
        daemon = FasthaDaemon(lab.node("r1", s0="198.51.100.1/24"), many(1))
        daemon.start()
        daemon.reload(many(1100))
        wait_for("the refusal", lambda: "has room for" in daemon.log(), timeout=30)
        assert daemon.show("status")["reloads"] == 0
        assert len(daemon.show("instances")) == 1
        daemon.reload(many(2))
        wait_for("one that fits", lambda: daemon.show("status")["reloads"] == 1, timeout=30)
        assert "internal error" not in daemon.log()


def test_addresses_are_rolled_through_both_routers_without_a_second_master() -> None:
    """Additions and removals in any order, one router after the other: the one that is not there yet still
    counts the other's adverts, and says that the lists differ until they are the same again."""
    chance = random.Random(7)

    def rolled(priority: int, addresses: set[int]) -> str:
        vips = [f"198.51.100.{n}/24" for n in sorted({50, *addresses})]
        return config(instance("VI", vrid=50, priority=priority, advert=0.1, addresses=vips))

    with bed("rolled") as made:
        daemons = [made.daemon(n, "fastha", rolled(200 // n, set())) for n in (1, 2)]
        made.wait_master(1, "198.51.100.50")
        one, two = daemons
        assert isinstance(one, FasthaDaemon) and isinstance(two, FasthaDaemon)
        wait_for("the backup", lambda: two.show()[0]["state"] == "BACKUP")
        before = [daemon.show("status")["transitions"] for daemon in (one, two)]
        wanted: set[int] = set()
        with made.probe("198.51.100.50") as probe:
            for step in range(1, 9):
                wanted ^= {chance.randrange(60, 64), chance.randrange(64, 68)}
                order = [(one, 200), (two, 100)]
                chance.shuffle(order)
                for daemon, priority in order:
                    daemon.reload(rolled(priority, wanted))
                    wait_for(
                        "the reload", lambda d=daemon, n=step: d.show("status")["reloads"] == n, every=0.05
                    )
                made.wait_master(1, *(f"198.51.100.{n}" for n in {50, *wanted}))
        assert probe.longest_ms < 200
        assert [daemon.show("status")["transitions"] for daemon in (one, two)] == before
        for daemon in (one, two):
            assert daemon.show("counters")["instances"]["VI"]["overlaps"] == 0
        assert "virtual_ipaddress" in two.log()
        wait_for("the lists agree", lambda: "now advertises what is configured here" in two.log())


@needs_keepalived
def test_both_routers_reload_in_the_second_that_a_file_names() -> None:
    def timed(priority: int, made: Bed, *more: int) -> str:
        vips = [f"198.51.100.{n}/24" for n in (50, *more)]
        return config(
            instance("VI", vrid=50, priority=priority, advert=0.1, addresses=vips),
            globals_=(f"reload_time_file {made.lab.directory}/when{priority}",),
        )

    with bed("timed") as made:
        one = made.daemon(1, "fastha", timed(200, made))
        two = made.daemon(2, "keepalived", timed(100, made))
        made.wait_master(1, "198.51.100.50")
        for daemon, priority in ((one, 200), (two, 100)):
            daemon.configure(timed(priority, made, 51))
        due = int(time.time()) + 3
        for priority in (200, 100):
            place = made.lab.directory / f"when{priority}"
            place.with_suffix(".new").write_text(time.strftime("%Y-%m-%d %H:%M:%SZ\n", time.gmtime(due)))
            place.with_suffix(".new").rename(place)
        assert not made.routers[0].has("198.51.100.51")
        made.wait_master(1, "198.51.100.51", timeout=10)
        assert due <= time.time() < due + 2
        wait_for("the other one, too", lambda: "Reloading" in two.log())
        assert "a reload is scheduled for" in one.log()
        for priority in (200, 100):
            wait_for("the file is gone", lambda p=priority: not (made.lab.directory / f"when{p}").exists())
