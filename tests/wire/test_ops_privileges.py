"""What the daemon and its children may do: as root, and with capabilities only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_ops_maintenance import ask
from vrrp_bed import Bed, bed, needs_root

from fastha.daemon.privileges import NAMES, WHAT_FOR
from fastha.lab import FasthaDaemon, wait_for
from fastha.lab.confs import block, config, instance

pytestmark = [pytest.mark.wire, needs_root]
VIP = "198.51.100.60"
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
NOBODY = 65534


def text(*blocks: str, lines: tuple[str, ...] = (), globals_: tuple[str, ...] = ()) -> str:
    made = instance("VI", vrid=60, priority=100, addresses=[f"{VIP}/24"], lines=lines)
    return config(*blocks, made, globals_=globals_)


def names(mask: int) -> set[str]:
    return {name for number, name in enumerate(NAMES) if mask >> number & 1}


def status(path: Path) -> dict[str, set[str]]:
    """The capability sets of a status file, and NoNewPrivs as {"1"} or {"0"}."""
    words = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    found = {key: names(int(words[key], 16)) for key in SETS}
    return {**found, "NoNewPrivs": {words["NoNewPrivs"].strip()}, "Uid": set(words["Uid"].split())}


def threads(daemon: FasthaDaemon) -> list[dict[str, set[str]]]:
    """Of every thread, for capabilities are each thread's own."""
    found = [status(path) for path in Path(f"/proc/{daemon.pid}/task").glob("*/status")]
    assert len(found) > 1
    return found


def possible() -> set[str]:
    """What this container's root has."""
    return status(Path("/proc/self/status"))["CapPrm"]


def scripts(made: Bed, users: tuple[str, ...]) -> tuple[str, Path]:
    """A check for each user that writes down its own status."""
    place = made.lab.directory / "out"
    place.mkdir()
    place.chmod(0o1777)
    made.lab.directory.chmod(0o755)
    program = made.lab.directory / "tell.sh"
    program.write_text(f"#!/bin/sh\ncat /proc/self/status > {place}/$1.new && mv {place}/$1.new {place}/$1\n")
    program.chmod(0o755)
    return "".join(
        block(f"vrrp_script {user}", [f'script "{program} {user}"', "interval 1", f"user {user}"])
        for user in users
    ), place


def test_root_gives_up_what_it_does_not_need_and_its_children_more() -> None:
    with bed("priv") as made:
        wanted, place = scripts(made, ("nobody", "root"))
        tracked = ("track_script {\n    nobody\n    root\n}",)
        one = made.daemon(1, "fastha", text(wanted, lines=tracked))
        assert isinstance(one, FasthaDaemon)
        made.wait_master(1, VIP)
        for found in threads(one):
            assert found["CapPrm"] == found["CapEff"] == possible() & set(WHAT_FOR)
            assert not found["CapInh"] and not found["CapAmb"]
        for user in ("nobody", "root"):
            wait_for(f"{user} ran", lambda u=user: (place / u).exists())
        nobody = status(place / "nobody")
        assert nobody["Uid"] == {str(NOBODY)}
        assert not any(nobody[key] for key in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
        assert status(place / "root")["CapEff"] == status(place / "root")["CapBnd"]
        assert "SYS_ADMIN" in status(place / "root")["CapEff"] or "SYS_ADMIN" not in possible()


def test_without_programs_of_root_nothing_can_be_gained_by_executing() -> None:
    with bed("bound") as made:
        one = made.daemon(1, "fastha", text())
        assert isinstance(one, FasthaDaemon)
        made.wait_master(1, VIP)
        for found in threads(one):
            assert found["CapBnd"] == found["CapPrm"] == possible() & set(WHAT_FOR)
        wanted, place = scripts(made, ("root",))
        one.reload(text(wanted, lines=("track_script {\n    root\n}",)))
        wait_for("root ran", (place / "root").exists)
        assert status(place / "root")["CapEff"] <= set(WHAT_FOR)
        assert "with the daemon's own capabilities only" in one.log()


class Bare(FasthaDaemon):
    """A daemon that is no root and has only these capabilities."""

    kind = "bare"
    capabilities = ("net_admin", "net_raw", "sys_nice", "ipc_lock")

    def command(self) -> list[str]:
        chosen = ",".join(f"+{name}" for name in self.capabilities)
        return [
            "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
            f"--inh-caps=-all,{chosen}",
            f"--ambient-caps=-all,{chosen}", f"--bounding-set=-all,{chosen}", *super().command(),
        ]  # fmt: skip

    def launch(self) -> None:
        self.node.lab.directory.chmod(0o755)
        self.run_directory.mkdir(exist_ok=True)
        for path in (self.directory, self.run_directory):
            os.chown(path, NOBODY, NOBODY)
        super().launch()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)")
def test_capabilities_are_enough_without_root() -> None:
    if not _readable_by_all():
        pytest.skip("the interpreter lies in a directory of root's alone")
    with bed("caps") as made:
        one, two = Bare(made.routers[0], text()), Bare(made.routers[1], text().replace("100", "90", 1))
        for daemon in (one, two):
            daemon.start()
        wait_for("a master", lambda: sum(r.has(VIP) for r in made.routers) == 1)
        for found in threads(one):
            assert found["Uid"] == {str(NOBODY)}
            assert found["CapEff"] == found["CapPrm"] == {"NET_ADMIN", "NET_RAW", "SYS_NICE", "IPC_LOCK"}
            assert not found["CapAmb"] and not found["CapInh"]
            assert found["NoNewPrivs"] == {"1"}
        with made.probe(VIP) as probe:
            ask(one, "drain", "node")
            made.wait_master(2, VIP)
            ask(one, "undrain", "node")
            ask(two, "drain", "node")
            made.wait_master(1, VIP)
        assert probe.longest_ms < 200
        one.terminate()
        assert not made.routers[0].has(VIP)


def _readable_by_all() -> bool:
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable]
    return subprocess.run([*words, "-c", "import fastha._core.engine"], check=False).returncode == 0


UNIT = Path(__file__).parents[2] / "contrib" / "fastha.service"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


@needs_systemd
def test_the_unit_is_hardened() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=41", str(UNIT)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def setting(name: str) -> list[str]:
    """The words of a setting of the unit."""
    return " ".join(re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)).split()


def syscalls(group: str) -> set[str]:
    """The system calls of one of systemd's sets."""
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", group], capture_output=True, text=True, check=True
    ).stdout
    words = {w for line in said.splitlines() if (w := line.strip()) and not w.startswith("#")} - {group}
    return {w for w in words if w[0] != "@"}.union(*(syscalls(w) for w in words if w[0] == "@"))


# What systemd would set up: a file system that is read-only but for some paths, the bounding set, the filter.
STAGE = """
import ctypes, os, struct, sys
calls, bounding, writable, command = sys.argv[1], sys.argv[2], sys.argv[3].split(), sys.argv[4:]
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def mount(source, target, flags):
    must(libc.mount(source, target, None, ctypes.c_ulong(flags), None))
RDONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 1 << 18
must(libc.unshare(0x20000))
mount(b"none", b"/", REC | PRIVATE)
for path in writable:
    mount(path.encode(), path.encode(), BIND)
mount(b"none", b"/", REMOUNT | BIND | RDONLY)
for number in range(64):
    if libc.prctl(23, number, 0, 0, 0) == 1 and str(number) not in bounding.split(","):
        must(libc.prctl(24, number, 0, 0, 0))
step = lambda code, jt, jf, k: struct.pack("=HBBI", code, jt, jf, k)
numbers = [int(n) for n in calls.split(",")]
program = [step(0x20, 0, 0, 0)]
for n in numbers:
    program += [step(0x15, 0, 1, n), step(6, 0, 0, 0x7FFF0000)]
program.append(step(6, 0, 0, 0x00050000 | 1))  # EPERM
code = ctypes.create_string_buffer(b"".join(program))
must(libc.prctl(22, 2, ctypes.c_char_p(struct.pack("HL", len(program), ctypes.addressof(code)))))
os.execvp(command[0], command)
"""


class UnderUnit(FasthaDaemon):
    """A daemon with what the unit leaves it."""

    kind = "unit"

    def command(self) -> list[str]:
        header = next(p for p in Path("/usr/include").glob("**/asm/unistd_64.h"))
        known = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", header.read_text()))
        allowed = {
            known[name] for group in setting("SystemCallFilter") for name in syscalls(group) if name in known
        }
        bounding = ",".join(
            str(NAMES.index(n.removeprefix("CAP_"))) for n in setting("CapabilityBoundingSet")
        )
        return [sys.executable, "-c", STAGE, ",".join(sorted(allowed)), bounding, "/tmp", *super().command()]


@needs_systemd
@pytest.mark.skipif(not any(Path("/usr/include").glob("**/asm/unistd_64.h")), reason="needs linux-libc-dev")
def test_the_daemon_runs_with_what_the_unit_leaves_it() -> None:
    with bed("unit") as made:
        wanted, place = scripts(made, ("nobody", "root"))
        tracked = ("track_script {\n    nobody\n    root\n}", "use_vmac", f'notify "/bin/true {place}"')
        globals_ = (f"notify_fifo {place}/fifo nobody", "script_user root")
        one = UnderUnit(made.routers[0], text(wanted, lines=tracked, globals_=globals_))
        one.start()
        made.probe(VIP)
        wait_for("a master", lambda: one.show()[0]["state"] == "MASTER")
        for user in ("nobody", "root"):
            wait_for(f"{user} ran", lambda u=user: (place / u).exists())
        bounding = {n.removeprefix("CAP_") for n in setting("CapabilityBoundingSet")}
        assert status(place / "root")["CapEff"] == bounding & possible()
        assert (place / "fifo").stat().st_uid == NOBODY
        assert one.show("status")["maintenance"] == "nothing"
        one.reload(text(wanted, globals_=globals_).replace("100", "120", 1))
        wait_for("the reload", lambda: one.show("status")["reloads"] == 1)
        one.terminate()
        refused = [line for line in one.log().splitlines() if "ermitted" in line or "ead-only" in line]
        assert not refused, refused
