"""The demonstration: a client, three routers, and what the client notices when they come and go.

What this is for: ``fastha lab demo``. Two routers run fastha, one Debian's keepalived; they share an IPv4 and
an IPv6 address by VRRP version 3 (RFC 9568). The client's traffic goes *through* the shared addresses, as
through a default gateway, to a service behind the routers, one probe a millisecond in each family.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fastha._core import codec
from fastha.lab import confs, faults
from fastha.lab.capture import Capture, Frame
from fastha.lab.daemons import KINDS, Daemon
from fastha.lab.prober import Prober
from fastha.lab.topology import Lab, Node, wait_for

GATEWAY = {"IPv4": "192.0.2.254", "IPv6": "2001:db8:1::254"}
SERVICE = {"IPv4": "203.0.113.80", "IPv6": "2001:db8:80::80"}
FAMILY = {"IPv4": codec.AF_INET, "IPv6": codec.AF_INET6}
ROUTERS = (("r1", "fastha", 200), ("r2", "fastha", 150), ("r3", "keepalived", 100))
VRID = 7


@dataclass
class Step:
    """One thing done to the routers and what it cost the client, by family."""

    title: str
    master: str
    lost: dict[str, int] = field(default_factory=dict)
    outage_ms: dict[str, float] = field(default_factory=dict)
    minimum_ms: dict[str, float] = field(default_factory=dict)


class Demo:
    """One run; ``say`` gets each line of the account. Raises :exc:`~fastha.lab.spaces.LabError`."""

    def __init__(self, lab: Lab, *, advert: float, say: Callable[[str], None]) -> None:
        self.lab = lab
        self.advert = advert
        self._say = say
        self._began = time.monotonic()
        self.steps: list[Step] = []
        lab.segment("lan")
        self.daemons: dict[str, Daemon] = {}
        self.priority = {name: priority for name, _, priority in ROUTERS}
        for number, (name, kind, priority) in enumerate(ROUTERS, 1):
            node = lab.node(name, lan=[f"192.0.2.{number}/24", f"2001:db8:1::{number}/64"])
            self._serve(node)
            self.daemons[name] = KINDS[kind](node, self._config(priority))
        self.client = lab.node("client", lan=["192.0.2.100/24", "2001:db8:1::100/64"])
        self.client.ip(
            f"route add 203.0.113.0/24 via {GATEWAY['IPv4']}",
            f"route add 2001:db8:80::/64 via {GATEWAY['IPv6']}",
        )
        self.capture = Capture(lab, "lan")
        self.probers: dict[str, Prober] = {}

    def _serve(self, node: Node) -> None:
        """The service stands behind every router: each reaches it by itself."""
        faults.forwarding(node)
        node.ip(f"address add {SERVICE['IPv4']}/32 dev lo", f"address add {SERVICE['IPv6']}/128 dev lo nodad")

    def _config(self, priority: int) -> str:
        return confs.config(
            confs.instance(
                "GATEWAY4", vrid=VRID, priority=priority, advert=self.advert,
                addresses=[f"{GATEWAY['IPv4']}/24"],
            ),
            confs.instance(
                "GATEWAY6", vrid=VRID, priority=priority, advert=self.advert,
                addresses=["fe80::254/64", f"{GATEWAY['IPv6']}/64"],
            ),
        )  # fmt: skip

    def say(self, text: str) -> None:
        """A line of the account with the seconds since the beginning."""
        self._say(f"{time.monotonic() - self._began:7.2f} s  {text}")

    def who(self, name: str) -> str:
        """A router with its daemon and priority."""
        return f"{name} ({self.daemons[name].kind}, priority {self.priority[name]})"

    def _masters(self, since: int) -> set[str]:
        """Who has the addresses now and has announced both since a time."""
        holding = {name for name in self.daemons if self.lab.nodes[name].has(*GATEWAY.values())}
        return {
            name
            for name in holding
            if all(self._first_advert(name, family, since) is not None for family in FAMILY)
        }

    def _first_advert(self, name: str, family: str, since: int) -> Frame | None:
        for frame in self.capture.adverts(name, family=FAMILY[family], since=since):
            if frame.advert is not None and frame.advert.priority > 0:
                return frame
        return None

    def become(self, name: str, since: int) -> None:
        """Wait until this router alone is master; say so."""
        others = [each for each in self.daemons if each != name]

        def so() -> bool:
            reachable = [o for o in others if self.daemons[o].running]
            held = any(self.lab.nodes[o].addresses() & set(GATEWAY.values()) for o in reachable)
            return name in self._masters(since) and not held

        wait_for(f"{name} is the only master", so, timeout=10 + 8 * self.advert)
        self.say(f"{self.who(name)} is master")

    def begin(self) -> None:
        """Start everything, wait for a master and for the client's first answers."""
        self.say("a client, three routers; starting their daemons")
        for daemon in self.daemons.values():
            daemon.start()
            self.say(f"{daemon.node.name} runs {daemon.kind}")
        self.become("r1", 0)
        self.probers = {
            family: Prober(self.client, address, wait_ms=500).wait_up() for family, address in SERVICE.items()
        }
        self.say(
            "the client asks the service through the shared addresses, 1,000 times a second, IPv4 and IPv6"
        )
        time.sleep(0.5)

    def step(self, title: str, act: Callable[[], int], successor: str, *, dead: str | None = None) -> None:
        """Do one thing, wait for the successor, settle, and tell what the client lost.

        ``dead``: the router that says nothing any more; then the protocol has a minimum, from the first
        lost probe to the master-down interval after its last advert.
        """
        self._say("")
        self.say(title)
        seen = {family: len(prober.outages) for family, prober in self.probers.items()}
        when = act()
        self.become(successor, when)
        time.sleep(max(1.0, 2 * self.advert))  # longer than a probe may take before it counts as lost
        step = Step(title, successor)
        for family, prober in self.probers.items():
            outages = prober.outages[seen[family] :]
            step.lost[family] = sum(outage.lost for outage in outages)
            step.outage_ms[family] = max((outage.ms for outage in outages), default=0.0)
            if dead is not None and outages:
                step.minimum_ms[family] = self._minimum_ms(dead, family, successor, outages[0].from_ns)
            self.say(f"    {family}: {self._told(step, family)}")
        self.steps.append(step)

    def _minimum_ms(self, dead: str, family: str, successor: str, lost_ns: int) -> float:
        """From the first lost probe to the end of the successor's master-down interval (RFC 9568 6.1)."""
        last = self.capture.adverts(dead, family=FAMILY[family], until=lost_ns + 10_000_000)[-1]
        down = codec.vrrp_down_ns(3, self.priority[successor], round(self.advert * 1e9))
        return (last.at_ns + down - lost_ns) / 1e6

    def _told(self, step: Step, family: str) -> str:
        lost = step.lost[family]
        if not lost:
            return "no probe lost"
        text = f"{lost} probe{'s' if lost > 1 else ''} lost, outage {step.outage_ms[family]:.1f} ms"
        if family in step.minimum_ms:
            text += f"; the protocol's minimum was {step.minimum_ms[family]:.1f} ms"
        return text

    def run(self) -> None:
        """The whole play."""
        self.begin()
        one = self.lab.nodes["r1"]

        def power_cut() -> int:
            when = faults.unplug(one)
            self.daemons["r1"].kill()
            return when

        def restore() -> int:
            for address in self._leftovers(one):
                one.ip(f"address del {address} dev eth0")
            when = faults.plug(one)
            self.daemons["r1"].start()
            return when

        self.step("power cut at the master r1: cable out and SIGKILL", power_cut, "r2", dead="r1")
        self.step("r1 is back, and preempts", restore, "r1")
        self.step("r1 is stopped gracefully (SIGTERM)", self.daemons["r1"].terminate, "r2")
        self.step("r2 too is stopped gracefully: keepalived takes over", self.daemons["r2"].terminate, "r3")

        def start_two() -> int:
            when = time.time_ns()
            self.daemons["r2"].start()
            return when

        self.step("r2 is started again, and preempts keepalived", start_two, "r2")
        self.finish()

    def _leftovers(self, node: Node) -> list[str]:
        """What a machine that really lost its power would not have any more."""
        return [
            f"{address}/{64 if ':' in address else 24}"
            for address in ("fe80::254", *GATEWAY.values())
            if node.has(address)
        ]

    def finish(self) -> None:
        """Stop the client and sum up."""
        for prober in self.probers.values():
            prober.stop()
        down = codec.vrrp_down_ns(3, self.priority["r2"], round(self.advert * 1e9)) / 1e6
        self._say("")
        self._say(
            f"{'what happened':<52} {'new master':<16} {'lost v4/v6':>11} {'outage ms':>15} {'minimum':>15}"
        )
        for step in self.steps:
            lost = "/".join(str(step.lost[f]) for f in FAMILY)
            outage = " / ".join(f"{step.outage_ms[f]:.0f}" for f in FAMILY)
            least = " / ".join(f"{step.minimum_ms.get(f, 0.0):.0f}" for f in FAMILY)
            master = f"{step.master} {self.daemons[step.master].kind}"
            self._say(f"{step.title:<52.52} {master:<16} {lost:>11} {outage:>15} {least:>15}")
        self._say("")
        self._say(
            f"Adverts every {self.advert * 1e3:g} ms: a backup of priority {self.priority['r2']} waits "
            f"{down:.1f} ms after the last one (RFC 9568 6.1)."
        )
        late = max(prober.own_lateness_ms for prober in self.probers.values())
        if late > 20:
            self._say(f"The machine was busy: the client itself was up to {late:.0f} ms late.")


def run(*, advert: float = 0.1, say: Callable[[str], None] = print) -> list[Step]:
    """Build the lab, play the demonstration, take it down; what each step cost the client.

    ``advert``: the advertisement interval in seconds. Raises :exc:`~fastha.lab.spaces.LabError`.
    """
    with Lab("demo") as lab:
        demo = Demo(lab, advert=advert, say=say)
        demo.run()
        return demo.steps
