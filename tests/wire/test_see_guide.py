"""The operator's guide: its configuration runs on a pair of routers, its commands are tried there in turn."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from vrrp_bed import bed, needs_root

from fastha.lab import wait_for
from fastha.lab.daemons import FasthaDaemon

pytestmark = [pytest.mark.wire, needs_root]

GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", GUIDE, re.M | re.S)
CONFIG = next(block for block in BLOCKS if block.startswith("global_defs"))
COMMANDS = [
    (int(found[1]), found[2].partition("  #")[0].strip())
    for block in BLOCKS
    for line in block.splitlines()
    if (found := re.fullmatch(r"r([12])# (.*)", line))
]
NOT_HERE = (
    "apt ",
    "python3 -m venv",
    "/opt/fastha/bin/pip",
    "ln -s /opt",
    "install -m",
    "mkdir -p /etc",
    "systemctl",
)
"""Beginnings of commands that change the machine itself; they are not tried."""
EXPECTED = {"fastha drain WEB --check": (0, 3)}


def test_the_guide_s_commands_in_turn(tmp_path: Path) -> None:
    tried = [command for _, command in COMMANDS if command.startswith("fastha") or "fastha why" in command]
    assert len(tried) >= 25
    with bed("seeguide") as made:
        routers: list[FasthaDaemon] = []
        for number, text in ((1, CONFIG), (2, CONFIG.replace("priority 150", "priority 100"))):
            daemon = made.daemon(number, "fastha", text)
            assert isinstance(daemon, FasthaDaemon)
            routers.append(daemon)
        made.wait_master(1, "198.51.100.10")
        wait_for("the other is backup", lambda: routers[1].show()[0]["state"] == "BACKUP")
        (tmp_path / "other.conf").write_text(routers[1].config_file.read_text())
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "fastha").symlink_to(Path(sys.executable).with_name("fastha"))
        # `ssh r2 COMMAND` asks the second router
        ssh = programs / "ssh"
        ssh.write_text(f'#!/bin/sh\nshift\nFASTHA_CONTROL_SOCKET={routers[1].control_socket} exec "$@"\n')
        ssh.chmod(0o755)
        for number, command in COMMANDS:
            if command.startswith(NOT_HERE):
                continue
            daemon = routers[number - 1]
            here = command.replace("/etc/fastha/fastha.conf", str(daemon.config_file))
            here = here.replace("/opt/fastha/bin/python", sys.executable)
            here = here.replace("/etc/fastha/other.conf", str(tmp_path / "other.conf"))
            done = subprocess.run(
                ["ip", "netns", "exec", made.routers[number - 1].namespace, "/bin/sh", "-c", here],
                env={
                    **os.environ,
                    "PATH": f"{programs}:{os.environ['PATH']}",
                    "FASTHA_CONTROL_SOCKET": str(daemon.control_socket),
                },
                capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
            allowed = EXPECTED.get(command, (0,))
            assert done.returncode in allowed, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
            assert done.stdout.strip(), f"{command} says nothing"
            if "--peer" in command:
                assert "→ MASTER" in done.stdout
                assert "the clock of" in done.stdout
            if command == "fastha drain WEB":
                made.wait_master(2, "198.51.100.10")


def test_what_the_guide_links_to_is_there() -> None:
    docs = Path(__file__).parents[2] / "docs"
    links = set(re.findall(r"\]\(([\w./]+\.md)\)", GUIDE))
    assert links
    assert not [link for link in links if not (docs / link).exists()]
    headings = {
        re.sub(r"[^\w ]", "", h).lower().replace(" ", "-") for h in re.findall(r"^## (.*)", GUIDE, re.M)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", GUIDE)) <= headings
    metrics = (docs / "metrics.md").read_text()
    named = set(
        re.findall(r"`(fastha_(?:instance|engine|takeover|script|notify|virtual|real|check|bfd)_\w+)`", GUIDE)
    )
    assert named
    assert not [name for name in named if f"`{name}`" not in metrics]
