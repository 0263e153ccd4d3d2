"""Two daemons with the same virtual servers: what an operator sets at one, the other does as well.

No IPVS is needed for that: the checks run, and the wishes are kept, without one too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastha.lab import FasthaDaemon, Lab, wait_for
from fastha.lab.confs import block, config

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
]
FASTHA = str(Path(sys.executable).with_name("fastha"))


def text(lab: Lab, own: int) -> str:
    servers = [
        block(f"real_server 10.0.0.{n} 80", ["weight 10", block("PING_CHECK", ["delay_loop 60"])])
        for n in (50, 51)
    ]
    return config(
        block("virtual_server 10.0.0.100 80", ["lb_algo rr", "lb_kind NAT", "protocol TCP", *servers]),
        globals_=[
            f'fastha_lvs_share 10.0.0.{own}:3786 "the shared secret"',
            "fastha_lvs_peer 10.0.0.1:3786",
            "fastha_lvs_peer 10.0.0.2:3786",
            f"fastha_state_directory {lab.directory}/state{own}",
        ],
    )


def fastha(daemon: FasthaDaemon, *words: str) -> str:
    done = subprocess.run(
        [FASTHA, *words, "--control-socket", str(daemon.control_socket)],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def server(daemon: FasthaDaemon, address: str) -> dict[str, Any]:
    (virtual,) = daemon.show("servers")["virtual_servers"]
    found: dict[str, Any] = next(s for s in virtual["servers"] if s["address"] == address)
    return found


def test_a_drain_at_one_director_is_a_drain_at_both_and_outlives_either() -> None:
    with Lab("direct") as lab:
        lab.segment("lan")
        nodes = [lab.node(f"r{n}", lan=[f"10.0.0.{n}/24"]) for n in (1, 2)]
        one, two = (FasthaDaemon(node, text(lab, n)) for n, node in enumerate(nodes, 1))
        one.start()
        fastha(one, "drain", "server", "10.0.0.50", "--deadline", "1h")  # before there is another one
        two.start()
        wait_for("both know it", lambda: server(two, "10.0.0.50")["state"] == "draining", timeout=20)
        there = server(two, "10.0.0.50")
        assert 3400 < there["drain_deadline_in"] <= 3600
        assert there["wished_at"] == "10.0.0.1"
        assert "set at 10.0.0.1" in fastha(two, "show", "servers")
        wait_for("they hear each other", lambda: all(d["here"] for d in two.show("servers")["directors"]))
        shown = fastha(two, "show", "servers", "--verbose")
        assert "director 10.0.0.1  is there" in shown
        assert shown.count("PING_CHECK") == 2
        # another deadline, set at the other one
        fastha(two, "drain", "server", "10.0.0.50", "--deadline", "2h")
        wait_for("the deadline", lambda: server(one, "10.0.0.50")["drain_deadline_in"] > 7000, timeout=20)

        fastha(two, "weight", "server", "10.0.0.51", "3")
        wait_for("the weight", lambda: server(one, "10.0.0.51")["set_weight"] == 3, timeout=20)

        # One dies; what is taken back meanwhile is not revived by its return.
        one.kill()
        fastha(two, "undrain", "server", "10.0.0.50")
        assert server(two, "10.0.0.50")["state"] != "draining"
        wait_for("it is away", lambda: not two.show("servers")["directors"][0]["here"], timeout=30)
        one.start()
        wait_for("it is told", lambda: server(one, "10.0.0.50")["state"] != "draining", timeout=20)
        assert server(one, "10.0.0.51")["set_weight"] == 3
        assert server(two, "10.0.0.50")["state"] != "draining"

        # Both end orderly; the wishes are in their files.
        fastha(one, "drain", "server", "10.0.0.51")
        wait_for("both drain", lambda: server(two, "10.0.0.51")["state"] == "draining", timeout=20)
        one.terminate()
        two.terminate()
        two.start()
        kept = server(two, "10.0.0.51")
        assert (kept["state"], kept["set_weight"], kept["wished_at"]) == ("draining", 3, "10.0.0.1")
