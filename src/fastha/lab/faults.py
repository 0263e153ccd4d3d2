"""What goes wrong in real networks, done to a node.

Each function does one thing at once and returns when it was done (wall-clock nanoseconds); most have one that
undoes it. Processes are hurt through their :class:`~fastha.lab.daemons.Daemon`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastha.lab import spaces
from fastha.lab.spaces import LabError
from fastha.lab.topology import Node
from fastha.net.namespace import visiting

_TABLE = "fhlab"
_PTRACE_SEIZE, _PTRACE_INTERRUPT, _PTRACE_DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000


def link_down(node: Node, interface: str | None = None) -> int:
    """The node's own interface is set down, as an operator would do it."""
    when = time.time_ns()
    node.ip(f"link set {interface or node.interface} down")
    return when


def link_up(node: Node, interface: str | None = None) -> int:
    """Undo :func:`link_down`."""
    when = time.time_ns()
    node.ip(f"link set {interface or node.interface} up")
    return when


def unplug(node: Node, interface: str | None = None) -> int:
    """The cable is out: the switch's port goes down, the node loses its carrier."""
    when = time.time_ns()
    port = node.ports[interface or node.interface].switch_port
    spaces.batch([f"link set {port} down"], node.lab.switch)
    return when


def plug(node: Node, interface: str | None = None) -> int:
    """Undo :func:`unplug`."""
    when = time.time_ns()
    port = node.ports[interface or node.interface].switch_port
    spaces.batch([f"link set {port} up"], node.lab.switch)
    return when


def _nft(namespace: str, text: str) -> int:
    when = time.time_ns()
    spaces.run("ip", "netns", "exec", namespace, "nft", "-f", "-", text=text)
    return when


def _drop(hook: str, chain: str) -> str:
    where = f"type filter hook {hook} priority -500; policy accept;"
    only = (
        "ip protocol { 112, 51 } counter drop; ip6 nexthdr { 112, 51 } counter drop;"
        " udp dport { 3784, 4784 } counter drop;"
    )
    return f"add table inet {_TABLE}\nadd chain inet {_TABLE} {chain} {{ {where} }}\n" + "".join(
        f"add rule inet {_TABLE} {chain} {rule.strip()}\n" for rule in only.split(";") if rule.strip()
    )


def deafen(node: Node) -> int:
    """The node hears no VRRP and no BFD any more, but speaks: one-way loss, dropped in its input."""
    return _nft(node.namespace, _drop("input", "deaf"))


_CONTROL = ("ip protocol { 112, 51 }", "ip6 nexthdr { 112, 51 }", "udp dport { 3784, 4784 }")


def _at_switch(node: Node, what: str, verdict: str) -> int:
    when = time.time_ns()
    for port in node.ports.values():
        chain = _chain(what, port.switch_port)
        _nft(
            node.lab.switch,
            f"add table netdev {_TABLE}\n"
            f"add chain netdev {_TABLE} {chain}"
            f' {{ type filter hook ingress device "{port.switch_port}" priority -500; policy accept; }}\n'
            + "".join(f"add rule netdev {_TABLE} {chain} {match} {verdict}\n" for match in _CONTROL),
        )
    return when


def mute(node: Node) -> int:
    """The node's VRRP and BFD leave it no more, but it hears. Packets are dropped at its port of the switch,
    so that the node's daemon cannot notice, not even one that writes frames itself."""
    return _at_switch(node, "mute", "counter drop")


def lose(node: Node, percent: int) -> int:
    """Of the node's VRRP and BFD packets so many in a hundred are lost at the switch, by chance."""
    return _at_switch(node, "lose", f"numgen random mod 100 < {percent} counter drop")


def delay(node: Node, milliseconds: int, interface: str | None = None) -> int:
    """Everything that the node sends leaves it so much later. Raises :exc:`LabError` without sch_netem, see
    :func:`can_delay`."""
    when = time.time_ns()
    where = ("dev", interface or node.interface, "root", "netem", "delay", f"{milliseconds}ms")
    node.run("tc", "qdisc", "replace", *where)
    return when


def can_delay(node: Node) -> bool:
    """Whether this kernel has sch_netem."""
    try:
        node.run("tc", "qdisc", "replace", "dev", "lo", "root", "netem", "delay", "0ms")
    except LabError:
        return False
    node.run("tc", "qdisc", "del", "dev", "lo", "root")
    return True


def undelay(node: Node, interface: str | None = None) -> int:
    """Undo :func:`delay`."""
    when = time.time_ns()
    node.run("tc", "qdisc", "del", "dev", interface or node.interface, "root")
    return when


def _chain(what: str, port: str) -> str:
    return f"{what}_" + "".join(letter if letter.isalnum() else "_" for letter in port)


def heal(node: Node) -> int:
    """Undo :func:`deafen`, :func:`mute` and :func:`lose`."""
    when = time.time_ns()
    _nft(node.namespace, f"add table inet {_TABLE}\ndelete table inet {_TABLE}\n")
    chains = "".join(
        f"flush chain netdev {_TABLE} {chain}\ndelete chain netdev {_TABLE} {chain}\n"
        for port in node.ports.values()
        for what in ("mute", "lose")
        if _exists(node, chain := _chain(what, port.switch_port))
    )
    if chains:
        _nft(node.lab.switch, chains)
    return when


def _exists(node: Node, chain: str) -> bool:
    try:
        spaces.run("ip", "netns", "exec", node.lab.switch, "nft", "list", "chain", "netdev", _TABLE, chain)
    except spaces.LabError:
        return False
    return True


def flush_addresses(node: Node, interface: str | None = None) -> int:
    """``ip addr flush``: every address of the interface is gone, the node's own as well."""
    when = time.time_ns()
    try:
        node.run("ip", "address", "flush", "dev", interface or node.interface)
    except LabError as error:
        if "Flush remains incomplete" not in str(error):  # somebody puts them back as fast as they go
            raise
    return when


def remove_address(node: Node, address: str, interface: str | None = None) -> int:
    """An operator or a network manager deletes one address (written with its prefix length)."""
    when = time.time_ns()
    node.ip(f"address del {address} dev {interface or node.interface}")
    return when


def delete_interface(node: Node, interface: str | None = None) -> int:
    """The interface is gone, as when a card or a container's veth is removed."""
    when = time.time_ns()
    node.ip(f"link del {interface or node.interface}")
    return when


def recreate_interface(node: Node, interface: str | None = None) -> int:
    """Undo :func:`delete_interface`: same name and addresses, another index and MAC."""
    when = time.time_ns()
    port = node.ports[interface or node.interface]
    node.lab.attach(node, port.segment, port.interface, port.addresses)
    return when


def forwarding(node: Node) -> None:
    """The node routes between its segments."""
    with visiting(node.namespace):
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path("/proc/sys/net", name).write_text("1\n", encoding="ascii")


@contextlib.contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Processes stand still (SIGSTOP) for the length of the block. They may notice: see also
    :func:`thread_stopped`."""
    all_of_them = list(pids)
    for pid in all_of_them:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in all_of_them:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def thread_stopped(pid: int, thread: int | None = None) -> Iterator[None]:
    """One thread of a process stands still for the length of the block; the others go on.

    ``thread``: its id; the process's main thread without it. It is held by ptrace(2), as a debugger would, so
    that nothing in the process can know. Raises :exc:`LabError`.
    """
    task = thread if thread is not None else pid
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long

    def trace(request: int) -> None:
        if libc.ptrace(request, task, None, None) != 0:
            code = ctypes.get_errno()
            raise LabError(f"holding thread {task} of process {pid}: {os.strerror(code)}")

    trace(_PTRACE_SEIZE)
    trace(_PTRACE_INTERRUPT)
    os.waitpid(task, _WALL)
    try:
        yield
    finally:
        trace(_PTRACE_DETACH)
