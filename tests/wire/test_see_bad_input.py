"""Everything that programs, FIFOs, disks and mail servers do wrong, at once, in one master: not one
advert is late for it, nobody takes over, and each trouble is told once, with its remedy.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vrrp_bed import bed, needs_root

from fastha.lab import gaps_ms, wait_for
from fastha.lab.confs import block, config, instance
from fastha.lab.daemons import FasthaDaemon
from fastha.net.namespace import visiting

pytestmark = [pytest.mark.wire, needs_root]

LONG = "a_name_that_is_long_enough_to_fill_a_pipe_in_no_time_" * 3
ADVERT = 0.1


def end_all(place: Path) -> None:
    """Ends what scripts have left, with all that they started: by the groups of those that run a file of this
    directory, and by the list that they write themselves."""
    groups = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(place).encode() in (entry / "cmdline").read_bytes():
                groups.add(os.getpgid(int(entry.name)))
    for group in groups - {os.getpgid(0)}:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, 9)
    with contextlib.suppress(OSError):
        for pid in map(int, re.findall(r"\d+", (place / "left").read_text())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose scripts are secure, with a disk of its own that is full."""
    with tempfile.TemporaryDirectory(prefix="fhbad", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        full = path / "full"
        full.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(full)], check=True, timeout=10)
        try:
            with contextlib.suppress(OSError):
                (full / "filler").write_bytes(bytes(1 << 20))
            yield path
        finally:
            end_all(path)
            subprocess.run(["umount", "-l", str(full)], check=True, timeout=10)


def scripts(place: Path) -> dict[str, str]:
    """Checks that do everything that a check should not."""
    texts = {
        # a daemon of its own, with every descriptor kept open
        "forks": f"sh -c 'echo $$ >> {place}/left; exec sleep 20' & exit 0",
        "deaf": "trap '' TERM; while :; do sleep 1; done",
        "floods": "exec yes 'gigabytes of output'",
        "hangs": "exec sleep 1000",
        "replaced": "sleep 0.1; exit 0",
        "wrong_user": "exit 0",
    }
    for name, text in texts.items():
        path = place / f"{name}.sh"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    os.chown(place / "wrong_user.sh", 65534, 65534)
    return {name: str(place / f"{name}.sh") for name in texts}


def file_of(place: Path, mail: str, hook: str) -> str:
    checks = scripts(place)
    (place / "moves").write_text("0\n")
    track = [
        block("track_script", list(checks)),
        block("track_file", ["moves weight 1"]),
        "notify_priority_changes on",
        "smtp_alert on",
        f'notify_master "{place}/hang_for_ever.sh"',
    ]
    (place / "hang_for_ever.sh").write_text("#!/bin/sh\ntrap '' TERM\nsleep 1000\n")
    (place / "hang_for_ever.sh").chmod(0o755)
    return config(
        *(
            block(f"vrrp_script {name}", [f'script "{path}"', "interval 0.5", "timeout 1", "weight 1"])
            for name, path in checks.items()
        ),
        block("track_file moves", [f"file {place}/moves"]),
        instance("VI_1", vrid=70, priority=150, advert=ADVERT, addresses=["198.51.100.70/24"], lines=track),
        *(
            instance(
                f"{LONG}{n}", vrid=70 + n, priority=150, advert=ADVERT, addresses=[f"198.51.100.{70 + n}/24"],
                lines=[block("track_file", ["moves weight 1"])],
            )
            for n in range(1, 9)
        ),
        globals_=[
            "script_user root",
            "enable_script_security",
            f"vrrp_notify_fifo {place}/nobody",
            f"notify_fifo {place}/slow",
            "vrrp_notify_priority_changes on",
            block("notification_email", ["ops@example.net"]),
            "notification_email_from fastha@example.net",
            f"smtp_server {mail}",
            "smtp_connect_timeout 2",
            f"fastha_webhook http://{hook}/hook secret",
            f"fastha_history {place}/full/history.jsonl",
            f"fastha_metrics_file {place}/full/fastha.prom",
        ],
    )  # fmt: skip


@contextlib.contextmanager
def mute_server(namespace: str) -> Iterator[int]:
    """Accepts, and never says a word."""
    with visiting(namespace):
        server = socket.create_server(("0.0.0.0", 0))
    taken: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(server.accept()[0])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for one in taken:
            one.close()
        thread.join(5)


def told(log: str, *words: str) -> int:
    """How many lines of the log have all these words."""
    return sum(all(word in line for word in words) for line in log.splitlines())


@pytest.mark.timeout(90)
def test_nothing_that_others_do_wrong_makes_an_advert_late(place: Path) -> None:
    with bed("seebad") as made, mute_server(made.client.namespace) as port:
        there = f"198.51.100.200 {port}"
        daemon = made.daemon(1, "fastha", file_of(place, there, there.replace(" ", ":")))
        assert isinstance(daemon, FasthaDaemon)
        backup = made.daemon(
            2,
            "fastha",
            config(instance("VI_1", vrid=70, priority=50, advert=ADVERT, addresses=["198.51.100.70/24"])),
        )
        made.wait_master(1, "198.51.100.70")
        slow = os.open(place / "slow", os.O_RDONLY | os.O_NONBLOCK)
        since = time.time_ns()
        end = time.monotonic() + 7
        turn = 0
        while time.monotonic() < end:
            turn += 1
            (place / "moves").write_text(f"{turn % 2}\n")
            with contextlib.suppress(BlockingIOError):
                os.read(slow, 1)
            # another script in its place, while the old one runs
            fresh = place / "fresh"
            fresh.write_text(f"#!/bin/sh\nsleep 0.1 # {turn}\nexit 0\n")
            fresh.chmod(0o755)
            fresh.rename(place / "replaced.sh")
            time.sleep(0.02)
        os.close(slow)

        gaps = list(gaps_ms(made.capture.adverts("r1", since=since, vrid=70)))
        assert len(gaps) > 50
        assert max(gaps) < 2.5 * ADVERT * 1000, "an advert was late by more than an interval"
        assert "MASTER" not in backup.log()
        assert daemon.show()[0]["state"] == "MASTER"

        channels = {(c["kind"], c["name"]): c for c in daemon.show("channels")}
        dropped = {name: c["dropped"] for (_, name), c in channels.items() if name.startswith(str(place))}
        assert dropped.get(str(place / "nobody"), 0) > 0, channels
        assert dropped.get(str(place / "slow"), 0) > 0, channels

        wait_for("the mail server's silence is told", lambda: told(daemon.log(), "mail") > 0, timeout=20)
        log = daemon.log()
        once = {
            "the script of somebody else": ("wrong_user.sh", "chown"),
            "the FIFO without a reader": (f"{place}/nobody", "see that the program that reads it runs"),
            "the FIFO that is read too slowly": (f"{place}/slow", "see that the program that reads it runs"),
            "the full disk, for the history": ("history.jsonl", "No space left", "make room"),
            "the full disk, for the metrics": ("fastha.prom", "No space left", "Make room"),
            "the mail server that hangs": ("mail", "Check smtp_server"),
            "the webhook that hangs": ("webhook", "Check that the receiver runs"),
            "the check that hangs": ("hangs", "timed_out"),
            "the check that is deaf": ("deaf", "timed_out"),
            "the check that floods": ("floods", "timed_out"),
        }
        counts = {what: told(log, *words) for what, words in once.items()}
        assert all(count == 1 for count in counts.values()), counts
        rows = {row["name"]: row for row in daemon.show("scripts")}
        assert "wrong_user" not in rows
        assert rows["forks"]["state"] == rows["replaced"]["state"] == "up"
        assert rows["floods"]["output_dropped"] > 1 << 20
        # what a check left behind lives on, and nothing of the rest
        left = [int(pid) for pid in re.findall(r"\d+", (place / "left").read_text())]
        assert any(Path(f"/proc/{pid}").exists() for pid in left)
        rss = int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{daemon.pid}/status").read_text())[0])
        assert rss < 120_000, f"{rss} kB after a flood of output"

        daemon.terminate()
