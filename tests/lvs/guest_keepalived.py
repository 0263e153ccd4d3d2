"""The same configuration under Debian's keepalived and under fastha leaves the same IPVS table.

Every virtual server of the configurations in tests/data/lvs. Packets to real servers vanish, so that checks
time out long after the comparison: what is compared is what the configuration asks for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bed import DATA, director, listing, sh, until
from fastha.config.loading import load
from fastha.config.model import Command
from fastha.daemon.hooks import script_resolver
from fastha.scripts.runner import Program

CONFIGS = sorted((DATA / "lvs").glob("*.conf"))

#: Where the two differ on purpose, and why.
DIFFERENT: dict[str, str] = {
    "080": "after a checker that keepalived does not take it loses count of the braces; fastha reads on",
    "156": "a BFD_CHECK of a session that could not be made: keepalived keeps it, and it is down",
    "182": "persistence_granularity of a mark in a group: told to the kernel by fastha, lost in 2.2.7",
}


@pytest.fixture(scope="module", autouse=True)
def void() -> None:
    """Everything that is not here is behind a device that swallows packets."""
    sh("""ip link add void type dummy; ip link set void up
        ip addr add 198.18.0.1/15 dev void; ip -6 addr add 2001:2::1/48 dev void nodad
        ip route add default dev void; ip -6 route add default dev void""")
    # Names are not asked for where nobody answers. (What is written here ends with this kernel.)
    Path("/etc/nsswitch.conf").write_text("hosts: files\npasswd: files\ngroup: files\n")


def under_keepalived(path: Path) -> list[str]:
    log = Path("/tmp/keepalived.log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["keepalived", "-n", "-l", "-C", "-f", str(path)],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(
            lambda: b"Startup complete" in log.read_bytes() or process.poll() is not None,
            15,
            "keepalived's start",
        )
        time.sleep(0.1)
        assert process.poll() is None, log.read_text(errors="replace")
        return listing()
    finally:
        # Its own end would wait for the checks under way; the table is emptied here.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        sh("rm -f /run/keepalived*.pid; ipvsadm -C")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_table_is_the_same(path: Path) -> None:
    loaded = load(path)
    assert loaded.config is not None, loaded.diagnostics
    wanted = under_keepalived(path)
    resolver = script_resolver(loaded.config)

    def program(command: Command) -> Program | str:
        found = resolver.program(command.argv, command.user, command.group, what="MISC_CHECK")
        return found if found is not None else "; ".join(resolver.messages)

    with director(loaded.config.lvs, program=program) as it:
        ours = listing()
        problems = [str(event) for event in it.events if "error" in str(event)]
    if path.stem in DIFFERENT:
        assert ours != wanted, f"no longer different: {DIFFERENT[path.stem]}"
        return
    assert ours == wanted, problems
