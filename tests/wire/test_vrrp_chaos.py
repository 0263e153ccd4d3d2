"""Two fastha and one keepalived, and a random sequence of everything that can happen to them.

After each event, and with all that was broken healed, exactly one router holds the addresses of both
families, it is the one with the highest priority, and it answers the client. CHAOS_SEED and CHAOS_STEPS
repeat or prolong a run.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest
from vrrp_bed import OURS, Bed, bed, needs_keepalived, needs_root

from fastha.lab import Daemon, LabError, faults, wait_for
from fastha.lab.confs import config, instance

pytestmark = [pytest.mark.wire, needs_root, needs_keepalived]
VIPS = ("198.51.100.99", "2001:db8:1::99")
SEED = int(os.environ.get("CHAOS_SEED", "1"))
STEPS = int(os.environ.get("CHAOS_STEPS", "8"))
STANDING = ("198.51.100.{}/24", "2001:db8:1::{}/64")


def text(priority: int, *lines: str) -> str:
    """Both families, 50 ms adverts."""
    return config(
        instance("V4", vrid=99, priority=priority, advert=0.05, addresses=[f"{VIPS[0]}/24"], lines=lines),
        instance(
            "V6",
            vrid=99,
            priority=priority,
            advert=0.05,
            addresses=["fe80::99/64", f"{VIPS[1]}/64"],
            lines=lines,
        ),
    )


class Chaos:
    """What happens, and what must hold after it."""

    def __init__(self, made: Bed, lines: tuple[str, ...]) -> None:
        self.made = made
        self.lines = lines
        self.chance = random.Random(SEED)
        self.priority = [200, 150, 100]
        self.daemons: list[Daemon] = [
            made.daemon(n, kind, text(self.priority[n - 1], *lines))
            for n, kind in ((1, OURS), (2, OURS), (3, "keepalived"))
        ]
        self.done: list[str] = []

    def events(self) -> dict[str, Callable[[int], None]]:
        """Each leaves the router as it was, after a while."""
        return {
            "kill": self.kill,
            "stop": self.stop,
            "freeze": self.freeze,
            "unplug": self.unplug,
            "link down": self.down,
            "mute": self.mute,
            "deafen": self.deafen,
            "flush": self.flush,
            "delete the addresses": self.delete,
            "reload": self.reload,
            "recreate the interface": self.recreate,
        }

    def rest(self) -> None:
        """Somewhere between a moment and more than a master-down interval."""
        time.sleep(self.chance.choice([0.01, 0.05, 0.15, 0.3, 0.6]))

    def standing(self, number: int) -> None:
        """The router's own addresses, which some events take away."""
        nodad = ("", " nodad")
        self.made.routers[number].ip(
            *(f"address replace {each.format(number + 1)} dev eth0{nodad[':' in each]}" for each in STANDING)
        )

    def kill(self, number: int) -> None:
        self.daemons[number].kill()
        self.rest()
        self.daemons[number].start()

    def stop(self, number: int) -> None:
        self.daemons[number].terminate()
        self.rest()
        self.daemons[number].start()

    def freeze(self, number: int) -> None:
        self.daemons[number].pause()
        self.rest()
        self.daemons[number].resume()

    def unplug(self, number: int) -> None:
        faults.unplug(self.made.routers[number])
        self.rest()
        faults.plug(self.made.routers[number])

    def down(self, number: int) -> None:
        faults.link_down(self.made.routers[number])
        self.rest()
        faults.link_up(self.made.routers[number])
        self.standing(number)

    def mute(self, number: int) -> None:
        faults.mute(self.made.routers[number])
        self.rest()
        faults.heal(self.made.routers[number])

    def deafen(self, number: int) -> None:
        faults.deafen(self.made.routers[number])
        self.rest()
        faults.heal(self.made.routers[number])

    def flush(self, number: int) -> None:
        faults.flush_addresses(self.made.routers[number])
        self.rest()
        # The kernel has taken the link-local address too; it comes back with the link.
        self.made.routers[number].ip("link set eth0 down", "link set eth0 up")
        self.standing(number)

    def delete(self, number: int) -> None:
        for vip, length in zip(VIPS, (24, 64), strict=True):
            if self.made.routers[number].has(vip):
                try:
                    faults.remove_address(self.made.routers[number], f"{vip}/{length}")
                except LabError:
                    continue  # it moved away meanwhile

    def reload(self, number: int) -> None:
        self.daemons[number].reload(text(self.priority[number], *self.lines))

    def recreate(self, number: int) -> None:
        faults.delete_interface(self.made.routers[number])
        self.rest()
        faults.recreate_interface(self.made.routers[number])

    def step(self) -> None:
        """One event, or two at once on different routers."""
        for number in self.chance.sample(range(3), self.chance.choice([1, 1, 2])):
            name = self.chance.choice(sorted(self.events()))
            if number == 2 and name in {"recreate the interface", "flush"}:
                name = "kill"  # keepalived does not come back from these by itself
            self.done.append(f"r{number + 1}: {name}")
            self.events()[name](number)

    def settled(self) -> None:
        """Exactly the highest priority holds all addresses and answers."""
        try:
            wait_for("r1 alone speaks and holds the addresses", self.one_master, timeout=8)
            for vip in VIPS:
                wait_for(f"{vip} answers", lambda address=vip: self.answers(address), timeout=2)
        except LabError as error:
            raise AssertionError(f"seed {SEED}, after {'; '.join(self.done)}: {error}") from error

    def one_master(self) -> bool:
        """Whether for eight intervals only r1 has spoken, in both families, and then only it holds."""
        begin = time.time_ns()
        time.sleep(0.4)
        adverts = self.made.capture.adverts(since=begin)
        first, *others = self.made.routers
        return (
            {frame.node for frame in adverts} == {"r1"}
            and len({frame.dst for frame in adverts}) == 2
            and first.has(*VIPS)
            and not any(each.addresses() & set(VIPS) for each in others)
        )

    def answers(self, vip: str) -> bool:
        """Whether the client's ping is answered."""
        try:
            self.made.client.run("ping", "-c1", "-W1", vip)
        except LabError:
            return False
        return True


@pytest.mark.parametrize("lines", [(), ("use_vmac",)], ids=["plain", "vmac"])
def test_whatever_happens_one_router_has_the_addresses_in_the_end(lines: tuple[str, ...]) -> None:
    with bed("chaos", routers=3) as made:
        chaos = Chaos(made, lines)
        chaos.settled()
        for _ in range(STEPS):
            chaos.step()
            chaos.settled()
            assert all(daemon.running for daemon in chaos.daemons)
