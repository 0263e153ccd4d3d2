"""The engine's BFD sessions on real sockets: two engines in two namespaces, joined by a cable.

The machine's rules are tested elsewhere, other daemons as peers too; here: what only sockets can get
wrong. Ports and
addresses, Echo that comes back through a neighbour's kernel, S-BFD's two ends, a process that was frozen,
floods.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastha._core.bfd_spec import BfdAccept, BfdKeySpec, BfdKind, BfdReflector, BfdSpec
from fastha._core.engine import BFD_CAUSES, Engine, EngineError, Event
from fastha._core.events import EventKind
from fastha.net.namespace import visiting

pytestmark = [pytest.mark.wire, pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: run as root")]

A4, B4 = "192.0.2.1", "192.0.2.2"
A6, B6 = "2001:db8::1", "2001:db8::2"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


class End:
    """An engine in a namespace, and what it has told."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        with visiting(namespace):
            self.ifindex = socket.if_nametoindex("eth0")
            self.engine = Engine(max_instances=8)
        self.engine.start()
        self.told: list[Event] = []

    def spec(self, local: str, peer: str, **more: object) -> BfdSpec:
        base: dict[str, object] = {
            "min_tx_us": 20_000,
            "min_rx_us": 20_000,
            "detect_mult": 10,
            "ifindex": self.ifindex,
        }
        return BfdSpec(
            family=10 if ":" in peer else 2,
            peer=packed(peer),
            local=packed(local) if local else b"",
            **(base | more),  # type: ignore[arg-type]
        )

    def add(self, slot: int, local: str, peer: str, **more: object) -> int:
        with visiting(self.namespace):  # its sockets are made now
            return self.engine.bfd_add(slot, self.spec(local, peer, **more))

    def replace(self, slot: int, local: str, peer: str, **more: object) -> None:
        with visiting(self.namespace):
            self.engine.bfd_replace(slot, self.spec(local, peer, **more))

    def poll(self) -> None:
        self.engine.beat()
        self.told += self.engine.events()

    def state(self, slot: int) -> str:
        return str(self.engine.bfd_status(slot)["state"])

    def number(self, slot: int, name: str) -> int:
        return int(self.engine.bfd_status(slot)[name])

    def downs(self) -> list[str]:
        """Why sessions went from up to something else."""
        return [BFD_CAUSES[e.arg[2]] for e in self.told if e.kind == EventKind.BFD_STATE and e.arg[0] == 3]


def until(what: str, so: Callable[[], object], *ends: End, timeout: float = 15) -> None:
    deadline = time.monotonic() + timeout
    while not so():
        assert time.monotonic() < deadline, f"still not: {what}"
        for end in ends:
            end.poll()
        time.sleep(0.01)
    for end in ends:
        end.poll()


def both_up(slot: int, *ends: End) -> None:
    until("both up", lambda: all(end.state(slot) == "up" for end in ends), *ends)


@contextlib.contextmanager
def cable() -> Iterator[tuple[str, str]]:
    names = [f"fhbfde-{os.getpid()}-{side}" for side in "ab"]
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run(
            "ip",
            "-n",
            names[0],
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            names[1],
        )
        for name, v4, v6 in zip(names, (A4, B4), (A6, B6), strict=True):
            run("ip", "-n", name, "addr", "add", f"{v4}/24", "dev", "eth0")
            run("ip", "-n", name, "addr", "add", f"{v6}/64", "dev", "eth0", "nodad")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            with visiting(name):
                for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                    Path(f"/proc/sys/net/{path}").write_text("1")
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)


@pytest.fixture
def pair() -> Iterator[tuple[End, End]]:
    with cable() as names, contextlib.ExitStack() as stack:
        ends = []
        for name in names:
            end = End(name)
            stack.enter_context(end.engine)
            ends.append(end)
        yield ends[0], ends[1]


def hardware(end: End) -> bytes:
    """Of its eth0. By netlink: /sys shows the namespace in which it was mounted."""
    done = subprocess.run(
        ["ip", "-n", end.namespace, "-o", "link", "show", "eth0"], capture_output=True, text=True, check=True
    )
    return bytes.fromhex(done.stdout.split("link/ether ")[1].split()[0].replace(":", ""))


def test_both_families_single_and_multihop_at_once(pair: tuple[End, End]) -> None:
    a, b = pair
    for end, v4, v6 in ((a, (A4, B4), (A6, B6)), (b, (B4, A4), (B6, A6))):
        end.add(0, *v4)
        end.add(1, *v6)
        end.add(2, *v4, multihop=True, ifindex=0, least_ttl=0, ttl=64)
        end.add(3, *v6, multihop=True, ifindex=0, least_ttl=254)
        end.add(
            4, "", v4[1], padded=512, ifindex=0, least_ttl=0, discr=4711, kind=BfdKind.SBFD, remote_discr=99
        )
    for slot in range(4):
        both_up(slot, a, b)
    discriminators = {int(a.engine.bfd_status(slot)["local_discr"]) for slot in range(5)}
    assert len(discriminators) == 5 and 4711 in discriminators
    assert all(a.number(slot, "source_port") >= 49152 for slot in range(5))
    assert not a.engine.bfd_rejects(0) and not b.engine.bfd_rejects(1)


def test_link_local_neighbours(pair: tuple[End, End]) -> None:
    a, b = pair
    for name, address in ((a.namespace, "fe80::a"), (b.namespace, "fe80::b")):
        run("ip", "-n", name, "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
    a.add(0, "fe80::a", "fe80::b")
    b.add(0, "fe80::b", "fe80::a")
    both_up(0, a, b)


def test_settings_and_keys_change_without_a_flap(pair: tuple[End, End]) -> None:
    a, b = pair
    old, new = BfdKeySpec(1, 5, b"first"), BfdKeySpec(2, 5, b"second")
    a.add(0, A4, B4)
    b.add(0, B4, A4)
    both_up(0, a, b)
    # authentication is rolled out, then its key is changed, in steps that each side takes in its own time
    for keys, signs, optional in (
        ((old,), -1, True),
        ((old,), 0, True),
        ((old,), 0, False),
        ((old, new), 0, False),
        ((old, new), 1, False),
        ((new,), 0, False),
    ):
        for end, own, peer in ((a, A4, B4), (b, B4, A4)):
            end.replace(0, own, peer, keys=keys, tx_key=signs, auth_optional=optional)
            time.sleep(0.05)
    for us, mult in ((50_000, 10), (10_000, 20), (100_000, 5), (20_000, 10)):
        a.replace(0, A4, B4, keys=(new,), min_tx_us=us, min_rx_us=us, detect_mult=mult)
        want = max(us, 20_000) * 1000
        until(
            "F came",
            lambda want=want: a.number(0, "tx_interval_ns") == want and not a.number(0, "poll"),
            a,
            b,
        )
    assert not a.downs() and not b.downs()
    assert a.engine.bfd_counters(0)["lost"] == 0


def test_admin_down_and_removal_are_told(pair: tuple[End, End]) -> None:
    a, b = pair
    a.add(0, A4, B4)
    b.add(0, B4, A4)
    both_up(0, a, b)
    a.engine.bfd_admin(0, False)
    until("b down", lambda: b.state(0) == "down", a, b)
    a.engine.bfd_admin(0, True)
    both_up(0, a, b)
    a.engine.bfd_remove(0, graceful=False)
    until("gone", lambda: any(e.kind == EventKind.BFD_GONE for e in a.told), a, b)
    until("b down again", lambda: b.state(0) == "down", a, b)
    assert set(b.downs()) == {"neighbor_admin_down"}
    a.add(0, A4, B4)  # the slot is free again
    both_up(0, a, b)


def test_a_port_that_is_taken_is_said(pair: tuple[End, End]) -> None:
    a, _ = pair
    with visiting(a.namespace):
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("0.0.0.0", 3784))
    with taken, pytest.raises(EngineError, match="another BFD daemon"):
        a.add(0, A4, B4)
    a.add(0, A4, B4)
    with pytest.raises(ValueError, match="another session"):
        a.replace(0, A4, "192.0.2.3")
    with pytest.raises(KeyError):
        a.add(0, A4, B4)


def test_asked_for_a_session(pair: tuple[End, End]) -> None:
    a, b = pair
    with visiting(a.namespace):
        a.engine.bfd_listen(2, 3784)
    a.engine.bfd_accept([BfdAccept(a.ifindex, 2, packed("192.0.2.0"), 24)])
    b.add(0, B4, A4, detect_mult=2)
    until("asked", lambda: any(e.kind == EventKind.BFD_ASKED for e in a.told), a, b)
    event = next(e for e in a.told if e.kind == EventKind.BFD_ASKED)
    assert event.address[:4] == packed(B4) and event.arg[0] == a.ifindex
    assert struct.pack("=qq", event.v[2], event.v[3])[:4] == packed(A4)
    a.add(0, A4, B4, passive=True, detect_mult=2)
    both_up(0, a, b)
    a.engine.bfd_accept([BfdAccept(a.ifindex, 2, packed("198.51.100.0"), 24)])
    a.engine.bfd_remove(0, graceful=False)
    until("refused", lambda: a.engine.bfd_rejects().get("unsolicited_refused"), a, b)


@pytest.mark.parametrize(("own", "peer"), [(A4, B4), (A6, B6)])
def test_echo_comes_back_through_the_neighbour(pair: tuple[End, End], own: str, peer: str) -> None:
    a, b = pair
    a.add(0, own, peer, echo_tx_us=20_000, echo_mac=hardware(b), min_rx_us=1_000_000)
    b.add(0, peer, own, min_echo_rx_us=5_000)
    both_up(0, a, b)
    until("Echo returns", lambda: a.engine.bfd_counters(0)["echo_rx"] >= 20, a, b)
    assert a.number(0, "echo_interval_ns") == 20_000_000
    assert 0 < a.number(0, "echo_p50_ns") < 20_000_000
    assert not a.downs() and not b.downs()
    with visiting(b.namespace):  # the neighbour's forwarding plane stops, its BFD lives
        path = "ipv6/conf/all/forwarding" if ":" in own else "ipv4/ip_forward"
        Path(f"/proc/sys/net/{path}").write_text("0")
    until("Echo fails", lambda: "echo_failed" in a.downs(), a, b)


@pytest.mark.parametrize(("own", "peer"), [(A4, B4), (A6, B6)])
def test_unaffiliated_echo_needs_no_bfd_at_the_neighbour(pair: tuple[End, End], own: str, peer: str) -> None:
    a, b = pair
    a.add(0, own, peer, kind=BfdKind.LOOPED, echo_mac=hardware(b), least_ttl=254)
    until("up", lambda: a.state(0) == "up", a)
    run("ip", "-n", b.namespace, "link", "set", "eth0", "down")
    until("down", lambda: a.downs() == ["echo_failed"], a)


@pytest.mark.parametrize(("own", "peer"), [(A4, B4), (A6, B6)])
def test_sbfd_asks_and_reflects(pair: tuple[End, End], own: str, peer: str) -> None:
    a, b = pair
    keys = (BfdKeySpec(3, 4, b"reflect"),)
    with visiting(b.namespace):
        b.engine.bfd_listen(10 if ":" in own else 2, 7784)
    b.engine.bfd_reflect(BfdReflector(discrs=(77, 78), min_rx_us=10_000, keys=keys))
    a.add(0, own, peer, kind=BfdKind.SBFD, remote_discr=78, keys=keys, detect_mult=3)
    a.add(1, own, peer, kind=BfdKind.SBFD, remote_discr=79, keys=keys)
    until("up", lambda: a.state(0) == "up", a, b)
    until("not its discriminator", lambda: b.engine.bfd_rejects().get("your_discriminator_unknown"), a, b)
    assert a.state(1) == "down"
    b.engine.bfd_reflect(BfdReflector(discrs=(78,), admin_down=True, keys=keys))
    until("told to be down", lambda: a.downs() == ["neighbor_admin_down"], a, b)
    b.engine.bfd_reflect(BfdReflector(discrs=(78,), keys=keys))
    until("up again", lambda: a.state(0) == "up", a, b)
    b.engine.bfd_reflect(None)
    until("silent", lambda: a.downs()[1:] == ["detection_time_expired"], a, b)


def _frozen_end(namespace: str, report: int) -> None:
    """In a child: an engine that hears a quick neighbour and itself may be silent for eight seconds."""
    end = End(namespace)
    end.add(0, B4, A4, min_tx_us=400_000, min_rx_us=10_000, detect_mult=20)
    while True:
        end.poll()
        stalls = [e.v[0] for e in end.told if e.kind == EventKind.ENGINE_STALL]
        text = f"{end.state(0)} {len(end.downs())} {max(stalls, default=0)}"
        os.pwrite(report, text.ljust(80).encode(), 0)
        time.sleep(0.02)


@pytest.mark.parametrize("seconds", [1.0, 4.0])
def test_frozen_process_reports_nobody_dead(seconds: float, tmp_path: object) -> None:
    """Its neighbour's three packets of detection time have long passed when it wakes; they are in the
    queue."""
    with cable() as names:
        report = os.open(f"{tmp_path}/state", os.O_RDWR | os.O_CREAT)
        child = os.fork()
        if child == 0:
            try:
                _frozen_end(names[1], report)
            finally:
                os._exit(1)
        a = End(names[0])
        try:
            with a.engine:
                a.add(0, A4, B4, min_tx_us=10_000, min_rx_us=400_000, detect_mult=3)
                both_up(0, a)
                until("the child knows", lambda: os.pread(report, 80, 0).startswith(b"up 0"), a)
                time.sleep(0.3)
                os.kill(child, signal.SIGSTOP)
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    a.poll()
                    time.sleep(0.05)
                os.kill(child, signal.SIGCONT)
                until("it knows that it slept", lambda: int(os.pread(report, 80, 0).split()[2]) > 0, a)
                time.sleep(0.5)
                a.poll()
                state, downs, slept = os.pread(report, 80, 0).split()
                assert (state, downs) == (b"up", b"0")
                assert int(slept) > seconds * 0.8e9
                assert not a.downs()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(report)


def test_flood_of_forged_packets_moves_nothing(pair: tuple[End, End]) -> None:
    """As fast as one sender can for two seconds, from the neighbour's own address with the right TTL: no
    flap, the
    shield goes up, what it refuses is still counted by a sample."""
    a, b = pair
    a.add(0, A4, B4, detect_mult=20)
    b.add(0, B4, A4, detect_mult=20)
    both_up(0, a, b)
    with visiting(b.namespace):
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        out.connect((A4, 3784))
    end, sent = time.monotonic() + 2.5, 0
    with out:
        while time.monotonic() < end:
            for _ in range(500):
                with contextlib.suppress(OSError):
                    out.send(
                        struct.pack(
                            "!BBBBIIIII", 0x20, 0xC0, 3, 24, 7, (sent * 2654435761) & 0xFFFFFFFF, 1, 1, 0
                        )
                    )
                sent += 1
            a.poll()
            b.poll()
    assert sent > 20_000
    assert any(e.kind == EventKind.BFD_SHIELD and e.arg[0] for e in a.told)
    assert 1000 < a.engine.bfd_rejects()["your_discriminator_unknown"] < sent
    assert not a.downs() and not b.downs()
    assert len([e for e in a.told if e.kind == EventKind.BFD_REJECT]) < 10
