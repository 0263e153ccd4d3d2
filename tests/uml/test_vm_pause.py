"""A router in a virtual machine that its host puts to sleep, as when it is saved, moved or starved.

The machine is a real kernel (User-Mode Linux) with a network device on the lab's segment. Its processes are
stopped from outside: nothing in it can know until it goes on, and its clock has then jumped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.wire.vrrp_bed import Bed, bed

from fastha.lab import Node, faults, wait_for
from fastha.lab.confs import config, instance

ROOT = Path(__file__).parents[2]
VIP, VRID = "198.51.100.70", 70
pytestmark = [
    pytest.mark.uml,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
    pytest.mark.skipif(
        shutil.which("linux.uml", path="/usr/bin:/usr/sbin") is None, reason="no user-mode-linux"
    ),
    pytest.mark.skipif(shutil.which("keepalived") is None, reason="needs Debian's keepalived"),
]


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, rest = entry.read_text().split(" (", 1)
            parents.setdefault(int(rest.rpartition(")")[2].split()[1]), []).append(int(number))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def traced(pid: int) -> bool:
    """Whether another process steers it (ptrace)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return "TracerPid:\t0\n" not in status


class VirtualMachine:
    """A kernel of its own on a node's place of the segment, with fastha in it."""

    def __init__(self, node: Node, text: str, address: str) -> None:
        # The node is the machine's cable: its interface and the machine's are ports of a bridge.
        node.ip(
            f"address flush dev {node.interface}",
            "link add br0 type bridge",
            "link set br0 up",
            f"link set {node.interface} master br0",
            "tuntap add dev t0 mode tap",
            "link set t0 master br0",
            "link set t0 up",
        )
        file = node.lab.directory / "vm.conf"
        file.write_text(text)
        self.log = node.lab.directory / "vm.log"
        inside = (
            f"ip link set vec0 name eth0 && ip address add {address}/24 dev eth0 && ip link set eth0 up && "
            f"exec {sys.executable} -c 'from fastha.cli.main import main; main()' run -f {file}"
        )
        with self.log.open("wb") as out:
            self.process = node.popen(
                str(ROOT / "tests/uml/run"), "--timeout", "150", "--net",
                "vec0:transport=tap,ifname=t0,depth=64,gro=0", "--", "sh", "-c", inside,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip

    def kernel(self) -> list[int]:
        """The processes that are the kernel. Those of the guest are traced by it: none can go on without it,
        and a signal to one of them would reach the guest."""
        (keeper,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [pid for pid in descendants(int(keeper)) if not traced(pid)]

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """For the length of the block nothing of it runs."""
        pids = self.kernel()
        assert pids
        with faults.stopped(pids):
            yield

    def close(self) -> None:
        """Switches it off."""
        self.process.terminate()
        self.process.wait(20)


def text(priority: int) -> str:
    return config(instance("VI", vrid=VRID, priority=priority, addresses=[f"{VIP}/24"], advert=0.2))


def spoke(made: Bed, router: str) -> int:
    return len(made.capture.adverts(router, vrid=VRID))


@pytest.mark.parametrize("other", ["keepalived", "fastha"])
def test_a_machine_that_slept_listens_before_it_speaks(other: str) -> None:
    with bed("vmpause") as made:
        machine = VirtualMachine(made.routers[0], text(200), "198.51.100.1")
        try:
            wait_for("the machine is master", lambda: spoke(made, "r1") > 5, timeout=60)
            made.daemon(2, other, text(100))
            time.sleep(1)  # five intervals: it is backup
            assert not spoke(made, "r2")
            with machine.asleep():
                wait_for("r2 takes over", lambda: spoke(made, "r2") > 5, timeout=15)
                before = spoke(made, "r1")
                time.sleep(1)
                assert spoke(made, "r1") == before
                woken = time.time_ns()
            # It has the higher priority: it takes the address back, in its time.
            wait_for("the machine is master again", lambda: spoke(made, "r1") > before + 5, timeout=30)
            again = made.capture.adverts("r1", since=woken, vrid=VRID)[0].at_ns
            heard = [f for f in made.capture.adverts("r2", since=woken, vrid=VRID) if f.at_ns < again]
            # One advert interval and its own skew time: whoever is master has been heard by then.
            assert again - woken > 200_000_000
            assert heard, "the machine spoke before it had listened"
            assert not [
                f
                for f in made.capture.announcements("r1", address=VIP)
                if woken < f.at_ns < again - 50_000_000
            ]
            time.sleep(1)
            late = list(made.capture.adverts("r2", since=again + 400_000_000, vrid=VRID))
            assert not late, "two masters"
        finally:
            print(machine.log.read_text(errors="replace")[-4000:])
            machine.close()
