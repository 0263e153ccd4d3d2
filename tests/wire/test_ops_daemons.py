"""Whole daemons: keepalived and fastha with the same file and the same events call the same hooks, write
the same lines, and dump the same facts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastha.lab import KINDS, Lab, Node, wait_for
from fastha.lab.daemons import Daemon

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
    pytest.mark.skipif(shutil.which("keepalived") is None, reason="the comparison is with keepalived"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose scripts are secure: root's alone, below the sticky /tmp."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fhops", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def config(place: Path, hook: Path, check: Path) -> str:
    """A group of two with a flag file, an instance moved by a file and a script, one with a check that
    fails."""

    def notify(name: str) -> str:
        own = "".join(f'    notify_{s} "{hook} {s} {name}"\n' for s in ("master", "backup", "fault", "stop"))
        return own + f'    notify "{hook} generic"\n'

    def instance(name: str, vrid: int, more: str) -> str:
        return f"""
vrrp_instance {name} {{
    interface eth0
    virtual_router_id {vrid}
    priority 100
    version 3
    advert_int 0.3
    virtual_ipaddress {{
        198.51.100.{100 + vrid}
    }}
{more}{notify(name)}}}
"""

    return f"""
global_defs {{
    router_id R1
    script_user root
    enable_script_security
    vrrp_notify_fifo {place}/fifo
    vrrp_notify_priority_changes on
}}
vrrp_script check {{
    script "{check}"
    interval 1
    weight -10
    fall 2
}}
vrrp_script good {{
    script "/bin/true"
    interval 1
}}
track_file flag {{
    file {place}/flag
    weight 0
}}
track_file moves {{
    file {place}/moves
    weight 2
}}
vrrp_sync_group G {{
    group {{
        VI_1
        VI_2
    }}
    track_file {{
        flag
    }}
{notify("G")}}}
""" + "".join(
        (
            instance("VI_1", 1, ""),
            instance("VI_2", 2, ""),
            instance("VI_3", 3, "    track_file {\n        moves\n    }\n"),
            instance("VI_4", 4, "    track_script {\n        check\n        good\n    }\n"),
        )
    )


class Witness:
    """What a daemon called and wrote."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.calls_path = place / "calls"
        self.data = b""
        os.mkfifo(place / "fifo", 0o600)
        self._fd = os.open(place / "fifo", os.O_RDWR | os.O_NONBLOCK)

    def lines(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            self.data += os.read(self._fd, 1 << 20)
        return self.data.decode().splitlines()

    def per_name(self) -> dict[str, list[str]]:
        """The lines of each instance and group in order: between them the order is chance."""
        found: dict[str, list[str]] = {}
        for line in self.lines():
            match = re.fullmatch(r'(?:INSTANCE|GROUP) "(.+)" (.+)', line)
            assert match, line
            found.setdefault(match[1], []).append(match[2])
        return found

    def calls(self) -> Counter[str]:
        return Counter(self.calls_path.read_text().splitlines())

    def close(self) -> None:
        os.close(self._fd)


def play(kind: str, place: Path) -> tuple[dict[str, list[str]], Counter[str], str, dict[str, str]]:
    """The events, under one daemon: what it wrote, called, logged and dumped."""
    place.mkdir()
    (place / "flag").write_text("0")
    (place / "moves").write_text("0")
    hook, check = place / "hook.sh", place / "check.sh"
    hook.write_text(f'#!/bin/sh\nl=; for a; do l="$l<$a>"; done; echo "$l" >> {place}/calls\n')
    check.write_text(f"#!/bin/sh\ntest ! -e {place}/bad || {{ echo 'no answer' >&2; exit 3; }}\n")
    for path in (hook, check):
        path.chmod(0o755)
    witness = Witness(place)
    try:
        with Lab("ops") as lab:
            lab.segment("lan")
            node: Node = lab.node("r1", lan=["198.51.100.1/24"])
            daemon: Daemon = KINDS[kind](node, config(place, hook, check))
            daemon.start()

            def seen(name: str, words: str, count: int = 1) -> None:
                try:
                    wait_for(
                        f"{count} x {name} {words} from {kind}",
                        lambda: witness.per_name().get(name, []).count(words) >= count,
                        timeout=20,
                    )
                except BaseException:
                    print(witness.per_name(), daemon.log(), sep="\n")
                    raise

            for name in ("VI_1", "VI_2", "VI_3", "VI_4"):
                seen(name, "MASTER 100")
            seen("G", "MASTER 0")
            (place / "moves").write_text("7")
            seen("VI_3", "MASTER_PRIORITY 114")
            (place / "bad").touch()
            seen("VI_4", "MASTER_PRIORITY 90")
            (place / "bad").unlink()
            seen("VI_4", "MASTER_PRIORITY 100")
            (place / "flag").write_text("1")
            seen("VI_1", "FAULT 100")
            seen("VI_2", "FAULT 100")
            seen("G", "FAULT 0")
            (place / "flag").write_text("0")
            seen("VI_1", "MASTER 100", 2)
            seen("VI_2", "MASTER 100", 2)
            seen("G", "MASTER 0", 2)
            (place / "moves").write_text("-127")  # 2 x -127 is a fault; the priority stays as it was
            seen("VI_3", "FAULT 114")
            (place / "moves").write_text("-3")
            seen("VI_3", "MASTER 94")
            dumps = take_dumps(daemon)
            daemon.terminate()
            time.sleep(0.5)
            return witness.per_name(), witness.calls(), daemon.log(), dumps
    finally:
        witness.close()


def take_dumps(daemon: Daemon) -> dict[str, str]:
    """All three dumps."""
    found = {}
    pid = daemon.vrrp_pid
    for number, name in (
        (signal.SIGUSR1, "keepalived.data"),
        (signal.SIGUSR2, "keepalived.stats"),
        (signal.SIGRTMIN + 2, "keepalived.json"),
    ):
        path = daemon.directory / name
        os.kill(pid, number)
        wait_for(f"{path}", lambda path=path: path.exists() and path.stat().st_size > 0, timeout=10)
        time.sleep(0.2)
        found[name] = path.read_text()
    return found


def test_the_same_file_and_events_make_the_same_calls_lines_and_dumps(place: Path) -> None:
    lines, calls, log, dumps = play("keepalived", place / "k")
    our_lines, our_calls, our_log, our_dumps = play("fastha", place / "f")
    assert our_lines == lines
    assert our_calls == calls
    compare_logs(log, our_log)
    compare_json(json.loads(dumps["keepalived.json"]), json.loads(our_dumps["keepalived.json"]), place)
    compare_text(dumps, our_dumps)


def compare_logs(theirs: str, ours: str) -> None:
    """The lines that alerts look for; a priority that moves as a fault ends is "Setting" in keepalived."""
    pattern = re.compile(
        r"\((VI_\d)\) (Entering \w+ STATE|(?:Changing|Setting) effective priority .*?to \d+)"
    )

    def found(text: str) -> dict[str, list[str]]:
        lines: dict[str, list[str]] = {}
        for name, words in pattern.findall(text):
            lines.setdefault(name, []).append(re.sub(r".* priority .*to", "priority", words))
        return lines

    assert found(ours) == found(theirs)


#: What is a matter of the moment, of a later keepalived, or of the two runs' directories.
MOVING = {
    "last_transition",
    "master_priority",
    "advert_rcvd",
    "advert_sent",
    "pri_zero_sent",
    "pri_zero_rcvd",
}


def compare_json(
    theirs: list[dict[str, dict[str, object]]], ours: list[dict[str, dict[str, object]]], place: Path
) -> None:
    """Every key that keepalived writes, with its value, in its order."""
    assert [row["data"]["iname"] for row in ours] == [row["data"]["iname"] for row in theirs]
    for their, our in zip(theirs, ours, strict=True):
        for part in ("data", "stats"):
            known = {name: value for name, value in our[part].items() if name in their[part]}
            assert list(known) == list(their[part]), their[part]["iname"] if part == "data" else part
            for name, value in their[part].items():
                if name not in MOVING:
                    mine = json.dumps(known[name]).replace(f"{place}/f", f"{place}/k")
                    assert json.loads(mine) == value, name
                assert type(known[name]) is type(value) or {type(known[name]), type(value)} <= {int, float}, (
                    name
                )


def compare_text(theirs: dict[str, str], ours: dict[str, str]) -> None:
    """The lines that exporters read from the text dumps."""
    labels = (
        "State",
        "Wantstate",
        "Interface",
        "Virtual Router ID",
        "Priority",
        "Effective priority",
        "Sync group",
    )

    def facts(text: str) -> list[tuple[str, dict[str, str]]]:
        found = []
        body = text.split("VRRP Topology", 1)[1].split("------<", maxsplit=1)[0]
        for block in body.split(" VRRP Instance = ")[1:]:
            lines = dict(re.findall(r"^   ([A-Za-z _]+?) = (.*)$", block, re.M))
            found.append(
                (block.split("\n", 1)[0], {label: lines[label] for label in labels if label in lines})
            )
        return found

    assert facts(ours["keepalived.data"]) == facts(theirs["keepalived.data"])

    def counters(text: str) -> list[str]:
        """Without numbers, and without the counters of later versions."""
        words = [re.sub(r": \d+$", ":", line) for line in text.splitlines()]
        newer = {
            "Authentication Extension Errors:",
            "Missing:",
            "Malformed:",
            "Unknown Key:",
            "Invalid HMAC:",
            "Stale:",
            "Replay:",
        }
        return [word for word in words if word.strip() not in newer]

    assert counters(ours["keepalived.stats"]) == counters(theirs["keepalived.stats"])
