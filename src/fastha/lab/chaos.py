"""`fastha lab chaos`: a story of faults played on real daemons, and judged from what was on the wire.

What this is for: three routers on a segment, fastha alone or with keepalived among them, share an IPv4 and an
IPv6 address. The story (:mod:`fastha.lab.chaos_story`) comes from a seed; while it is played every frame is
captured, and a client asks for the IPv4 address all the time; then the invariants
(:mod:`fastha.lab.chaos_check`) are checked on the frames.

What it may not do: draw chance, or judge, while it plays.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from fastha._core import codec
from fastha.lab import confs, faults
from fastha.lab.capture import Capture
from fastha.lab.chaos_check import Bounds, Fault, Observed, Sent, Span, Violation, check, claims
from fastha.lab.chaos_story import PRIORITIES, Blow, Step, story
from fastha.lab.daemons import KINDS, Daemon
from fastha.lab.spaces import LabError
from fastha.lab.topology import Lab, Node, wait_for

PEERS = {
    "fastha": ("fastha", "fastha", "fastha"),
    "mixed": ("fastha", "keepalived", "fastha"),
    "keepalived": ("keepalived", "keepalived", "keepalived"),
}
"""What r1, r2 and r3 run. The last is for trying the invariants themselves."""
VIPS = ("198.51.100.99", "2001:db8:1::99")
FAMILY = {codec.AF_INET: "IPv4", codec.AF_INET6: "IPv6"}
BFD_AUTO = "bfd auto {{\nmin_rx {0}\nmin_tx {0}\nmultiplier 3\n}}"
ANSWER_EVERY = 0.02
SECOND = 1_000_000_000


class Asker:
    """A client that asks by ARP who has an address, every 20 ms, until it is stopped."""

    def __init__(self, node: Node, own: str, address: str) -> None:
        mac = bytes.fromhex(node.mac().replace(":", ""))
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
        self._frame = (
            b"\xff" * 6 + mac + b"\x08\x06" + arp + mac + ipaddress.ip_address(own).packed
            + bytes(6) + ipaddress.ip_address(address).packed + bytes(18)
        )  # fmt: skip
        with node.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((node.interface, 0))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self._thread.start()
        node.lab.on_close(self.stop)

    def _run(self) -> None:
        while not self._stopping.wait(ANSWER_EVERY):
            with contextlib.suppress(OSError):
                self._socket.send(self._frame)

    def stop(self) -> None:
        """No more questions."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._thread.join()
            self._socket.close()


@dataclass
class Outcome:
    """What became of a story."""

    timeline: list[str]
    violations: list[Violation]
    """Of fastha's making."""
    of_peers: list[Violation]
    """What another daemon did against the invariants: told, and not held against us."""
    terms: int
    """How often a router became master of either family."""
    logs: dict[str, str] = field(default_factory=dict)


class Chaos:
    """The bed and the player. A context manager; see :func:`run`."""

    def __init__(self, peers: str, *, advert: float, vmac: bool, bfd: bool = False) -> None:
        self.advert = advert
        self.lines = ("use_vmac",) if vmac else ()
        # half an advert interval, three times: a silent master is replaced before its adverts are missed
        self.bfd = BFD_AUTO.format(round(advert * 500)) if bfd else None
        self.priorities = {f"r{n}": priority for n, priority in enumerate(PRIORITIES, 1)}
        self.lab = Lab("chaos")
        try:
            self.lab.segment("lan")
            self.nodes = {name: self._router(name) for name in self.priorities}
            client = self.lab.node("client", lan=["198.51.100.200/24"])
            self.delays = faults.can_delay(client)
            self.capture = Capture(self.lab, "lan")
            self.daemons = {
                name: KINDS[kind](self.nodes[name], self._text(self.priorities[name], kind))
                for name, kind in zip(self.nodes, PEERS[peers], strict=True)
            }
            for daemon in self.daemons.values():
                daemon.start()
            wait_for("r1 alone has the addresses", lambda: self._holders() == {"r1": set(VIPS)}, timeout=20)
            self.asker = Asker(client, "198.51.100.200", VIPS[0])
        except BaseException:
            self.lab.close()
            raise
        self.faults: list[Fault] = []
        self.peace: list[Span] = []
        self.holders: list[tuple[int, dict[str, set[str]]]] = []
        self.told: list[tuple[int, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lab.close()

    def _router(self, name: str) -> Node:
        return self.lab.node(name, lan=self._own(name))

    @staticmethod
    def _own(name: str) -> list[str]:
        return [f"198.51.100.{name[1:]}/24", f"2001:db8:1::{name[1:]}/64"]

    def _text(self, priority: int, kind: str = "fastha") -> str:
        """Both families, the same everywhere but for the priority, and for what a daemon does not know."""
        own = (self.bfd,) if self.bfd is not None and kind == "fastha" else ()
        four, six = [f"{VIPS[0]}/24"], ["fe80::99/64", f"{VIPS[1]}/64"]
        return confs.config(
            *(
                confs.instance(
                    name,
                    vrid=99,
                    priority=priority,
                    advert=self.advert,
                    addresses=addresses,
                    lines=(*self.lines, *own),
                )
                for name, addresses in (("V4", four), ("V6", six))
            )
        )

    def _holders(self) -> dict[str, set[str]]:
        has = {name: node.addresses() & set(VIPS) for name, node in self.nodes.items()}
        return {name: addresses for name, addresses in has.items() if addresses}

    # ---------------------------------------------------------------- blows

    def _back(self, node: Node, *lines: str) -> None:
        """Undoes with lines of ip(8), and gives a router its own addresses, which some faults take away."""
        four, six = self._own(node.name)
        node.ip(*lines, f"address replace {four} dev eth0", f"address replace {six} dev eth0 nodad")

    def _delete(self, node: Node) -> None:
        for address in (f"{VIPS[0]}/24", f"{VIPS[1]}/64"):
            for interface in ("eth0", *(("vrrp.99", "vrrp6.99") if self.lines else ())):
                with contextlib.suppress(LabError):  # it is a backup, or the address has just moved
                    faults.remove_address(node, address, interface)

    def _begin(self, blow: Blow) -> Callable[[], object]:
        """Strikes; what undoes it."""
        node, daemon = self.nodes[blow.router], self.daemons[blow.router]
        match blow.kind:
            case "kill":
                daemon.kill()
                return daemon.start
            case "stop":
                daemon.terminate()
                return daemon.start
            case "freeze":
                daemon.pause()
                return daemon.resume
            case "unplug":
                faults.unplug(node)
                return lambda: faults.plug(node)
            case "link down":
                faults.link_down(node)
                return lambda: self._back(node, "link set eth0 up")
            case "flush":
                faults.flush_addresses(node)
                # the kernel has taken the link-local address too; it comes back with the link
                return lambda: self._back(node, "link set eth0 down", "link set eth0 up")
            case "recreate":
                faults.delete_interface(node)
                return lambda: faults.recreate_interface(node)
            case "mute":
                faults.mute(node)
            case "deafen":
                faults.deafen(node)
            case "isolate":
                faults.mute(node)
                faults.deafen(node)
            case "lose":
                faults.lose(node, blow.amount)
            case "delay":
                faults.delay(node, blow.amount)
                return lambda: faults.undelay(node)
            case "delete":
                self._delete(node)
                return time.time_ns
            case "reload":
                daemon.reload(self._text(blow.amount, daemon.kind))
                return lambda: daemon.reload(self._text(self.priorities[blow.router], daemon.kind))
            case _:
                raise LabError(f"there is no fault {blow.kind!r}")
        return lambda: faults.heal(node)

    def _strike(self, blow: Blow, failed: list[Exception]) -> None:
        try:
            time.sleep(blow.after)
            begun = time.time_ns()
            self.told.append((begun, str(blow)))
            undo = self._begin(blow)
            time.sleep(max(0.0, blow.lasts - (time.time_ns() - begun) / 1e9))
            undo()
            ended = time.time_ns()
            self.faults.append(Fault(blow.router, blow.kind, begun, ended))
            self.told.append((ended, f"{blow.router}: over"))
        except Exception as error:  # told by the thread that plays
            failed.append(error)

    def play(self, steps: list[Step]) -> Observed:
        """One step after the other, each with its rest; what was seen."""
        time.sleep(10 * self.advert)
        begin = time.time_ns()
        for step in steps:
            failed: list[Exception] = []
            threads = [threading.Thread(target=self._strike, args=(blow, failed)) for blow in step.blows]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if failed:
                raise failed[0]
            undone = time.time_ns()
            time.sleep(step.rest + 4 * self.advert)
            self.holders.append((time.time_ns(), self._holders()))
            self.peace.append(Span(undone, self.holders[-1][0]))
        self.asker.stop()
        self.capture.stop()
        seen = Observed(self.priorities, begin, faults=self.faults, peace=self.peace, holders=self.holders)
        for frame in self.capture.frames:
            if frame.at_ns < begin:
                continue
            if frame.advert is not None and frame.node in self.priorities:
                family = FAMILY[codec.AF_INET6 if ":" in (frame.src or "") else codec.AF_INET]
                sent = Sent(frame.at_ns, frame.node, frame.advert.priority)
                seen.adverts.setdefault(family, []).append(sent)
            elif frame.neighbour.kind == "arp_reply" and str(frame.neighbour.claim) == VIPS[0]:
                seen.answers.setdefault(VIPS[0], []).append(Sent(frame.at_ns, frame.node, 1))
        return seen


def run(
    seed: int,
    seconds: float,
    peers: str = "fastha",
    *,
    advert: float = 0.1,
    vmac: bool = False,
    bfd: bool = False,
    slack: float = 0.25,
    say: Callable[[str], None] = lambda _line: None,
) -> Outcome:
    """Plays the story of a seed for about so many seconds. ``bfd``: backups take over when their BFD session
    with the master is lost. ``slack``: what the machine may add to each bound, in seconds. Raises
    :exc:`LabError` when the bed cannot be built."""
    with Chaos(peers, advert=advert, vmac=vmac, bfd=bfd) as chaos:
        steps = story(
            seed,
            seconds,
            dict(zip(chaos.nodes, PEERS[peers], strict=True)),
            advert=advert,
            delay=chaos.delays,
        )
        say(
            f"seed {seed}, {peers}{', BFD' if bfd else ''}, adverts every {advert:g} s, {len(steps)} steps,"
            f" about {sum(step.seconds for step in steps):.0f} s"
            + ("" if chaos.delays else "; without delays, for this kernel has no netem")
        )
        seen = chaos.play(steps)
        bounds = Bounds(
            int(advert * SECOND), int(slack * SECOND), _lifetime(advert), int(ANSWER_EVERY * SECOND)
        )
        found = check(seen, bounds, seen.peace[-1].end)
        last = seen.peace[-1].end - bounds.gap
        ours = [v for v in found if chaos.daemons[v.node].kind == "fastha" or peers == "keepalived"]
        terms = [
            (name, node, term)
            for name, sent in seen.adverts.items()
            for node in chaos.nodes
            for term in claims(sent, node, bounds.gap)
        ]
        lines = [
            *chaos.told,
            *((term.begin, f"    {node} is master of {name}") for name, node, term in terms),
            *(
                (term.end, f"    {node} was master of {name}")
                for name, node, term in terms
                if term.end < last
            ),
            *((v.at_ns, f"  ! {v.invariant}: {v.text}") for v in found),
        ]
        timeline = [f"{(at - seen.begin) / 1e9:8.3f} s  {text}" for at, text in sorted(lines)]
        logs = {name: daemon.log() for name, daemon in chaos.daemons.items()}
    for line in timeline:
        say(line)
    return Outcome(timeline, ours, [v for v in found if v not in ours], len(terms), logs)


def _lifetime(advert: float) -> int:
    """How long a dead router's kernel keeps an address at most, by fastha's rule: whole seconds that the
    slowest peer waits, half as much again, and one."""
    wait = math.ceil(4 * advert)
    return (wait + 1 + max(1, wait // 2)) * SECOND


__all__ = ["PEERS", "Chaos", "Daemon", "Outcome", "run"]
