"""The BFD session machine against BIRD, keepalived and FRR: real daemons in a namespace, our side a small
loop in Python around the very C functions that the engine runs.

Each peer: comes up, timers change while up without a flap, administratively down and up again, killed and
found dead. BIRD also with every type of authentication.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastha._core.bfdfsm import NEVER, Actions, Session

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

OURS, THEIRS = "192.0.2.1", "192.0.2.2"
SECRET = "bfdsecret"
AUTH = {
    1: "simple",
    2: "keyed md5",
    3: "meticulous keyed md5",
    4: "keyed sha1",
    5: "meticulous keyed sha1",
}


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


class Loop:
    """A session on a UDP socket in its own namespace, driven by the monotonic clock."""

    def __init__(self, namespace: str, **config: object) -> None:
        # A socket belongs to the namespace in which it was made: a child makes it there and hands it over.
        self.rx = in_namespace(namespace, lambda: udp(3784))
        self.tx = in_namespace(namespace, lambda: udp(49152 + os.getpid() % 16000))
        self.session = Session(
            discr=int.from_bytes(os.urandom(4), "big") | 1,
            seq=int.from_bytes(os.urandom(4), "big"),
            now=time.monotonic_ns(),
            **config,  # type: ignore[arg-type]
        )
        self.verdicts: dict[str, int] = {}
        self.causes: list[str] = []

    def close(self) -> None:
        self.rx.close()
        self.tx.close()

    def done(self, actions: Actions) -> None:
        self.verdicts[actions.verdict] = self.verdicts.get(actions.verdict, 0) + 1
        if actions.cause:
            self.causes.append(actions.cause)
        for data in actions.packets:
            with contextlib.suppress(OSError):  # the peer's port may be closed
                self.tx.sendto(data, (THEIRS, 3784))

    def run_until(self, reached: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            s = self.session
            due = min(s.tx_at, s.detect_at)
            wait = 0.05 if due == NEVER else min(max((due - time.monotonic_ns()) / 1e9, 0), 0.05)
            select.select([self.rx], [], [], wait)
            with contextlib.suppress(BlockingIOError):
                while True:
                    data = self.rx.recv(2048)
                    self.done(s.receive(data, time.monotonic_ns(), random=self.bits()))
            for event in ("tx", "detect"):
                if time.monotonic_ns() >= (s.tx_at if event == "tx" else s.detect_at):
                    self.done(s.step(event, time.monotonic_ns(), random=self.bits()))  # type: ignore[arg-type]
            if reached():
                return True
        return False

    @staticmethod
    def bits() -> int:
        return int.from_bytes(os.urandom(4), "big")

    def both_up(self) -> bool:
        return self.session.state == self.session.remote_state == "up"


def udp(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
    made.bind((OURS, port))
    made.setblocking(False)
    return made


def in_namespace(name: str, make: Callable[[], socket.socket]) -> socket.socket:
    """Makes a socket in a namespace, through a child, so that this thread stays where it is."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with Path(f"/run/netns/{name}").open() as file:
                libc_setns(file.fileno())
            made = make()
            socket.send_fds(there, [b"x"], [made.fileno()])
            status = 0
        finally:
            os._exit(status)
    there.close()
    with here:
        here.settimeout(10)
        try:
            _, fds, _, _ = socket.recv_fds(here, 1, 1)
        finally:
            os.waitpid(pid, 0)
    taken = socket.socket(fileno=fds[0])
    taken.setblocking(False)
    return taken


def libc_setns(fd: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@pytest.fixture
def cable() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth pair: ours and the peer's."""
    names = (f"bfdm-{os.getpid()}-a", f"bfdm-{os.getpid()}-b")
    try:
        for name in names:
            run("ip", "netns", "add", name)
        run(
            "ip", "-n", names[0], "link", "add", "c0", "type", "veth", "peer", "name", "c1", "netns", names[1]
        )
        for name, link, address in ((names[0], "c0", OURS), (names[1], "c1", THEIRS)):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20, check=False)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that daemons can use after they have given up root."""
    with tempfile.TemporaryDirectory(prefix="bfdm-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@contextlib.contextmanager
def daemons(namespace: str, *commands: list[str]) -> Iterator[Callable[[], None]]:
    """Starts them in the foreground; gives what kills them at once. None outlives the block."""
    started = [
        subprocess.Popen(
            ["ip", "netns", "exec", namespace, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in commands
    ]

    def kill() -> None:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait(10)

    try:
        yield kill
    finally:
        kill()


def bird(place: Path, auth: int = 0) -> list[list[str]]:
    words = ""
    if auth:
        words = f'authentication {AUTH[auth]}; password "{SECRET}" {{ id 7; }};'
    config = place / "bird.conf"
    config.write_text(
        "router id 192.0.2.2;\nprotocol device {}\nprotocol bfd {\n"
        f' interface "c1" {{ interval 50 ms; multiplier 3; {words} }};\n'
        f' neighbor {OURS} dev "c1" local {THEIRS};\n}}\n'
    )
    return [["bird", "-f", "-c", str(config), "-s", str(place / "ctl"), "-P", str(place / "pid")]]


def keepalived(place: Path) -> list[list[str]]:
    config = place / "keepalived.conf"
    config.write_text(
        f"bfd_instance peer {{\n neighbor_ip {OURS}\n source_ip {THEIRS}\n"
        " min_rx 50\n min_tx 50\n multiplier 3\n}\n"
        # without a virtual router keepalived may leave nothing running
        "vrrp_instance v {\n interface c1\n virtual_router_id 51\n virtual_ipaddress { 192.0.2.100 }\n}\n"
    )
    files = [str(place / name) for name in ("pid", "vrrp.pid", "checkers.pid", "bfd.pid")]
    return [
        [
            "keepalived",
            "-n",
            "-l",
            "-f",
            str(config),
            "-p",
            files[0],
            "-r",
            files[1],
            "-c",
            files[2],
            "-b",
            files[3],
        ]
    ]


def frr(place: Path) -> list[list[str]]:
    config = place / "bfdd.conf"
    config.write_text(
        f"bfd\n peer {OURS} local-address {THEIRS} interface c1\n  receive-interval 50\n"
        "  transmit-interval 50\n  detect-multiplier 3\n  no shutdown\n"
    )
    (place / "zebra.conf").write_text("\n")

    def program(name: str, conf: Path, *more: str) -> list[str]:
        command = [f"/usr/lib/frr/{name}", "-u", "frr", "-g", "frr", "--vty_socket", str(place)]
        command += ["-z", str(place / "zserv"), "-f", str(conf), "-i", str(place / f"{name}.pid")]
        return [*command, *more]

    bfdctl = str(place / "bfdd.sock")
    return [program("zebra", place / "zebra.conf"), program("bfdd", config, "--bfdctl", bfdctl)]


PEERS = {"bird": bird, "keepalived": keepalived, "frr": frr}
PROGRAMS = {"bird": "bird", "keepalived": "keepalived", "frr": "/usr/lib/frr/bfdd"}


@pytest.mark.parametrize("name", PEERS)
def test_life_with_a_peer(name: str, cable: tuple[str, str], place: Path) -> None:
    if shutil.which(PROGRAMS[name]) is None:
        pytest.skip(f"{name} is not installed")
    with daemons(cable[1], *PEERS[name](place)) as kill:
        loop = Loop(cable[0], min_tx_us=50_000, min_rx_us=50_000, detect_mult=3)
        s = loop.session
        try:
            assert loop.run_until(loop.both_up, 20), (s.state, s.remote_state, loop.verdicts)
            assert loop.run_until(lambda: not s.poll, 5)
            loop.run_until(lambda: False, 1)
            assert s.remote_min_tx_us <= 300_000  # the peer has left the slow rate, too
            ups = s.transitions
            # timers up and down while up: BFD-053 ... BFD-057
            for tx, rx in ((200_000, 50_000), (30_000, 200_000), (100_000, 60_000), (50_000, 50_000)):
                loop.done(s.reconfigure(time.monotonic_ns(), min_tx_us=tx, min_rx_us=rx))
                assert loop.run_until(lambda: not s.poll, 5), (
                    f"{name} does not answer the Poll for {tx}, {rx}"
                )
                assert (s.tx_min_us, s.rx_min_us) == (tx, rx)
                loop.run_until(lambda: False, 0.5)
            assert s.transitions == ups, loop.causes
            # administratively down: the peer hears it, and comes back with us
            loop.done(s.step("admin_down", time.monotonic_ns(), arg=7))
            assert loop.run_until(lambda: s.remote_state == "down", 5)
            assert s.remote_diag == 3
            loop.done(s.step("admin_up", time.monotonic_ns()))
            assert loop.run_until(loop.both_up, 20), (s.state, s.remote_state)
            assert loop.run_until(lambda: not s.poll, 5)
            # dead
            kill()
            before = time.monotonic_ns()
            assert loop.run_until(lambda: s.state == "down", 10)
            assert loop.causes[-1] == "detection_time_expired", loop.causes
            assert time.monotonic_ns() - before < 5_000_000_000
            assert set(loop.verdicts) <= {"ok", "admin_down"}, loop.verdicts
        finally:
            loop.close()


@pytest.mark.parametrize("kind", AUTH)
def test_authentication_with_bird(kind: int, cable: tuple[str, str], place: Path) -> None:
    """BFD-071, BFD-074 ... BFD-076: up and staying up with each type; a wrong key never comes up."""
    if shutil.which("bird") is None:
        pytest.skip("bird is not installed")
    with daemons(cable[1], *bird(place, kind)):
        wrong = Loop(cable[0], keys=[(7, kind, b"wrong")])
        try:
            wrong.run_until(lambda: wrong.verdicts.get("auth_digest", 0) > 1, 10)
            assert wrong.session.state == "down"
            assert wrong.verdicts.get("auth_digest", 0) > 1
        finally:
            wrong.close()
        loop = Loop(cable[0], keys=[(7, kind, SECRET.encode())])
        s = loop.session
        try:
            assert loop.run_until(loop.both_up, 20), (s.state, s.remote_state, loop.verdicts)
            loop.run_until(lambda: False, 1.5)
            assert loop.both_up()
            assert set(loop.verdicts) == {"ok"}, loop.verdicts
            assert s.transitions <= 2
        finally:
            loop.close()
