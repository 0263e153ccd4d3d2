"""Routers, clients and the segments between them.

What this is for: a lab is a few nodes (one network namespace each) and a few segments (one bridge each, all
in a namespace of their own, the switch). A node's interface is one end of a veth pair whose other end is a
port of the bridge; so the switch sees every frame once, with the port that tells who sent it.

What it may not do: leave anything behind. A lab is a context manager; what it made is removed when the block
ends, at exit of the process, and, if the process was killed, by the next lab's sweep.
"""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from fastha.lab import spaces
from fastha.lab.spaces import LabError
from fastha.net.namespace import visiting


@dataclass(frozen=True)
class Port:
    """One interface of a node: its name in the node, and the name of the switch's end."""

    segment: str
    interface: str
    switch_port: str
    addresses: tuple[str, ...]


@dataclass
class Node:
    """A machine: a namespace with interfaces on segments."""

    name: str
    namespace: str
    lab: Lab
    ports: dict[str, Port] = field(default_factory=dict)

    def ip(self, *lines: str) -> None:
        """Lines of ip(8) in this node."""
        spaces.batch(lines, self.namespace)

    def run(self, *command: str, timeout: float = 30) -> str:
        """Run a program in this node; its standard output."""
        return spaces.run("ip", "netns", "exec", self.namespace, *command, timeout=timeout)

    def popen(self, *command: str, **how: object) -> subprocess.Popen[bytes]:
        """Start a program in this node. The process id is the program's own."""
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            ["ip", "netns", "exec", self.namespace, *command], **how
        )

    def sysctl(self, name: str, value: int | str) -> None:
        """Set a network sysctl (with slashes, below ``/proc/sys/net``)."""
        spaces.write_sysctl(self.namespace, name, value)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in this node for the length of the block; sockets made there stay there."""
        with visiting(self.namespace):
            yield

    @property
    def interface(self) -> str:
        """The name of the first interface."""
        return next(iter(self.ports.values())).interface

    def mac(self, interface: str | None = None) -> str:
        """The MAC address of an interface."""
        return self.run("cat", f"/sys/class/net/{interface or self.interface}/address").strip()

    def addresses(self, interface: str | None = None) -> set[str]:
        """The addresses (without prefix length) on one interface or, without a name, on all."""
        found = set()
        which = ("dev", interface) if interface else ()
        try:
            text = spaces.run("ip", "-n", self.namespace, "-br", "address", "show", *which)
        except LabError:
            return set()  # the interface is gone
        for line in text.splitlines():
            for word in line.split()[2:]:
                with contextlib.suppress(ValueError):
                    found.add(str(ipaddress.ip_interface(word).ip))
        return found

    def has(self, *addresses: str) -> bool:
        """Whether all of these addresses are on this node."""
        return {str(ipaddress.ip_address(one)) for one in addresses} <= self.addresses()


class Lab:
    """A test bed. ``with Lab() as lab: ...``; see :meth:`segment` and :meth:`node`."""

    def __init__(self, label: str = "lab") -> None:
        spaces.sweep()
        self.label = label
        self.nodes: dict[str, Node] = {}
        self.segments: list[str] = []
        self.directory = Path(tempfile.mkdtemp(prefix=f"{spaces.PREFIX}-{label}-"))
        self._closers: list[Callable[[], None]] = []
        try:
            self.switch = spaces.make(f"{label}-switch")
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        with visiting(self.switch):
            # The switch is no host: no address of its own, no router solicitations among the frames.
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1\n", encoding="ascii")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def on_close(self, closer: Callable[[], None]) -> None:
        """Call this before the namespaces are removed, last registered first."""
        self._closers.append(closer)

    def close(self) -> None:
        """End what runs in the lab, remove its namespaces and its directory. May be repeated."""
        failures: list[Exception] = []
        while self._closers:
            try:
                self._closers.pop()()
            except Exception as error:  # the rest must still be cleaned up
                failures.append(error)
        for node in self.nodes.values():
            spaces.remove(node.namespace)
        spaces.remove(self.switch)
        shutil.rmtree(self.directory, ignore_errors=True)
        if failures:
            raise ExceptionGroup("closing the lab", failures)

    def segment(self, name: str) -> str:
        """A broadcast domain: a bridge that forwards at once and floods multicast."""
        if name in self.segments:
            raise LabError(f"segment {name} exists already")
        if len(name) > 8:
            raise LabError(f"segment {name}: at most 8 letters, for the names of interfaces are short")
        spaces.batch(
            [
                f"link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                f"link set {name} up",
            ],
            self.switch,
        )
        self.segments.append(name)
        return name

    def node(self, name: str, **attached: str | Sequence[str]) -> Node:
        """A machine. Each keyword is a segment, its value the addresses there: ``lan="192.0.2.1/24"``.

        The interfaces are called eth0, eth1, ... in the order of the keywords. Duplicate address detection is
        off: addresses work at once.
        """
        if name in self.nodes:
            raise LabError(f"node {name} exists already")
        if len(name) > 6:
            raise LabError(f"node {name}: at most 6 letters, for the names of interfaces are short")
        node = Node(name, spaces.make(f"{self.label}-{name}"), self)
        self.nodes[name] = node
        for setting, value in (
            ("ipv6/conf/all/accept_dad", 0),
            ("ipv6/conf/default/accept_dad", 0),
            ("ipv6/conf/default/router_solicitations", 0),
            ("ipv4/ip_nonlocal_bind", 0),
        ):
            node.sysctl(setting, value)
        for number, (segment, addresses) in enumerate(attached.items()):
            given = (addresses,) if isinstance(addresses, str) else tuple(addresses)
            self.attach(node, segment, f"eth{number}", given)
        return node

    def attach(self, node: Node, segment: str, interface: str, addresses: Sequence[str]) -> Port:
        """A new interface of a node on a segment; also to bring back one that was deleted."""
        if segment not in self.segments:
            raise LabError(f"node {node.name}: there is no segment {segment}")
        port = Port(segment, interface, f"{node.name}.{segment}", tuple(addresses))
        spaces.batch(
            [
                f"link add {port.switch_port} type veth peer name {interface} netns {node.namespace}",
                f"link set {port.switch_port} master {segment} up",
            ],
            self.switch,
        )
        nodad = ("", " nodad")
        node.ip(
            f"link set {interface} up",
            *(f"address add {one} dev {interface}{nodad[':' in one]}" for one in addresses if one),
        )
        node.ports[interface] = port
        return port


def wait_for(
    what: str, condition: Callable[[], object], *, timeout: float = 10.0, every: float = 0.02
) -> None:
    """Wait until a condition holds. Raises :exc:`LabError` saying what did not come, after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"after {timeout:g} s still not: {what}")
        time.sleep(every)
