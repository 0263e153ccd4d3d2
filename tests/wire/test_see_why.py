"""`fastha why` on a pair of routers: what is now, and the causal story, merged from both."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vrrp_bed import Bed, bed, needs_root

from fastha.lab import faults, wait_for
from fastha.lab.confs import block, config, instance, sync_group
from fastha.lab.daemons import FasthaDaemon

pytestmark = [pytest.mark.wire, needs_root]

FASTHA = str(Path(sys.executable).with_name("fastha"))


def fastha(daemon: FasthaDaemon, *words: str, stdin: bytes | None = None) -> str:
    """A command of the daemon's operator; its output."""
    done = subprocess.run(
        [FASTHA, *words, "--control-socket", str(daemon.control_socket)],
        input=stdin, capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def why(daemon: FasthaDaemon, what: str, *words: str, stdin: bytes | None = None) -> Any:
    """`fastha why --json`, decoded."""
    return json.loads(fastha(daemon, "why", what, "--json", *words, stdin=stdin))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose scripts are secure."""
    with tempfile.TemporaryDirectory(prefix="fhsee", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def pair(test_bed: Bed, place: Path) -> tuple[FasthaDaemon, FasthaDaemon]:
    check = place / "chk.sh"
    check.write_text(f"#!/bin/sh\n[ -e {place}/bad ] || exit 0\necho connection refused >&2\nexit 1\n")
    check.chmod(0o755)
    script = block(
        "vrrp_script chk_nginx", [f'script "{check}"', "interval 0.3", "weight -60", "fall 2", "user root"]
    )
    track = block("track_script", ["chk_nginx"])
    address = ["198.51.100.50/24"]
    one = test_bed.daemon(
        1,
        "fastha",
        config(script, instance("VI_1", vrid=51, priority=150, addresses=address, lines=[track])),
    )
    two = test_bed.daemon(2, "fastha", config(instance("VI_1", vrid=51, priority=100, addresses=address)))
    assert isinstance(one, FasthaDaemon)
    assert isinstance(two, FasthaDaemon)
    test_bed.wait_master(1, "198.51.100.50")
    return one, two


def test_why_it_is_master_and_how_it_came_to_that(place: Path) -> None:
    with bed("seewhy") as test_bed:
        one, two = pair(test_bed, place)

        now = why(one, "VI_1")["now"][0]
        assert now["state"] == "MASTER"
        assert now["priority"]["base"] == now["priority"]["effective"] == 150
        (part,) = now["priority"]["parts"]
        assert (part["name"], part["weight"], part["adds"]) == ("chk_nginx", -60, 0)
        assert any("advert" in timer["timer"] and timer["in_s"] < 0.2 for timer in now["timers"])
        # by its address, too
        assert why(one, "198.51.100.50/24")["now"][0]["instance"] == "VI_1"

        def heard() -> bool:
            backup = why(two, "VI_1")["now"][0]
            return backup["state"] == "BACKUP" and bool(backup["peers"])

        wait_for("the backup hears the master", heard)
        backup = why(two, "VI_1")["now"][0]
        (peer,) = backup["peers"]
        assert (peer["address"], peer["priority"], peer["wins"]) == ("198.51.100.1", 150, True)
        assert peer["interval_s"] == 0.1
        assert "priority 150 > 100" in backup["verdict"]
        (timer,) = backup["timers"]
        assert "declared dead" in timer["timer"]
        assert 0 < timer["in_s"] < 0.4

        (place / "bad").touch()
        test_bed.wait_master(2, "198.51.100.50")
        wait_for("both wrote it down", lambda: "preempted" in fastha(one, "why", "VI_1"))

        # one router alone tells the whole chain
        alone = why(one, "VI_1")
        moved = alone["now"][0]
        assert moved["state"] == "BACKUP"
        assert moved["priority"]["effective"] == 90
        assert moved["priority"]["parts"][0]["adds"] == -60
        assert "connection refused" in moved["priority"]["parts"][0]["why"]
        headline = alone["story"][-1]["headlines"][-1]
        chain = [
            "script chk_nginx failed twice: exit 1, 'connection refused'",
            "priority 150→90",
            "198.51.100.2 with priority 100 preempted",
        ]
        assert " → ".join(chain) in headline

        # and both together, with the other's clock put right
        events = fastha(two, "show", "events", "--since", "1h", "--json")
        shifted = json.loads(events)
        for event in shifted:
            event["wall_ns"] += 7_000_000_000
            event["node"] = "r2"
        merged = why(one, "VI_1", "--peer", "-", stdin=json.dumps(shifted).encode())
        assert merged["clock"]["pairs"] >= 1
        assert abs(merged["clock"]["offset_s"] + 7) < 0.1
        story = merged["story"][-1]["headlines"][-1]
        assert "r2: master" in story
        assert story.index("chk_nginx") < story.index("r2: master")

        text = fastha(one, "why", "VI_1", "--peer", "-", stdin=json.dumps(shifted).encode())
        assert "the clock of r2 is 7.0" in text and "ahead" in text

        scripts = json.loads(fastha(one, "show", "scripts", "--json"))
        assert scripts[0]["state"] == "down"
        assert scripts[0]["last_output"] == "connection refused\n"
        assert scripts[0]["last_runs"][-1]["result"] == "exit 1, 'connection refused'"

        # after a restart the story is still there, and without a daemon too
        one.terminate()
        gone = subprocess.run(
            [
                FASTHA, "why", "VI_1", "--control-socket", str(one.control_socket),
                "--history", str(one.run_directory / "history.jsonl"),
            ],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert gone.returncode == 1
        assert "priority 150→90" in gone.stdout


def test_adverts_that_do_not_come_are_told_before_anybody_is_dead() -> None:
    patient = ["down_timer_adverts 12"]
    with bed("seemiss") as test_bed:
        first, second = (
            test_bed.daemon(
                n,
                "fastha",
                config(instance("VI_1", vrid=52, priority=p, addresses=["198.51.100.52/24"], lines=patient)),
            )
            for n, p in ((1, 150), (2, 100))
        )
        assert isinstance(second, FasthaDaemon)
        test_bed.wait_master(1, "198.51.100.52")
        wait_for("the master is heard", lambda: second.show("instance", "VI_1")["last_heard_s"] is not None)
        first.pause()
        time.sleep(0.4)
        first.resume()
        wait_for("it is told", lambda: "did not come" in second.log())
        assert second.show("instance", "VI_1")["counters"]["adverts_missed"] >= 2
        assert "MASTER" not in second.log()
        assert any(e.get("kind") == "adverts_missed" for e in second.show("events"))


def test_two_masters_are_a_split_brain_while_it_lasts() -> None:
    with bed("seesplit") as test_bed:
        first, second = (
            test_bed.daemon(
                n, "fastha", config(instance("VI_1", vrid=53, priority=p, addresses=["198.51.100.53/24"]))
            )
            for n, p in ((1, 150), (2, 100))
        )
        assert isinstance(first, FasthaDaemon)
        assert isinstance(second, FasthaDaemon)
        test_bed.wait_master(1, "198.51.100.53")
        wait_for("the backup is one", lambda: second.show()[0]["state"] == "BACKUP")
        faults.mute(test_bed.routers[0])  # it hears the other, who does not hear it
        wait_for("the split is seen", lambda: bool(first.show()[0]["split_brain"]), timeout=10)
        now = why(first, "VI_1")["now"][0]
        assert now["split_brain"]["peer"] == "198.51.100.2"
        assert "and so is 198.51.100.2" in now["verdict"]
        assert first.log().count("split brain:") == 1
        faults.heal(test_bed.routers[0])
        wait_for("it is over", lambda: not first.show()[0]["split_brain"], timeout=10)
        wait_for("that is told", lambda: "no sign of a second master any more" in first.log())
        assert first.show()[0]["state"] == "MASTER"


def test_faults_groups_and_maintenance_are_named() -> None:
    with bed("seefault", routers=1) as test_bed:
        router = test_bed.routers[0]
        router.ip("link add dummy9 type veth peer name dummy9p")
        router.ip("link set dummy9 up")
        router.ip("link set dummy9p up")
        track = block("track_interface", ["dummy9"])
        blocks = [
            instance("VI_1", vrid=54, priority=150, addresses=["198.51.100.54/24"], lines=[track]),
            instance("VI_2", vrid=55, priority=150, addresses=["198.51.100.55/24"]),
            instance(
                "VI_3",
                vrid=56,
                priority=150,
                addresses=["198.51.100.56/24"],
                lines=[block("track_interface", ["dummy9 weight -30 reverse"])],
            ),
            instance(
                "VI_4",
                vrid=57,
                priority=150,
                addresses=["198.51.100.57/24"],
                lines=[block("track_bfd", ["far"])],
            ),
        ]
        far = block("bfd_instance far", ["neighbor_ip 198.51.100.250"])
        daemon = test_bed.daemon(1, "fastha", config(far, *blocks, sync_group("G", ["VI_1", "VI_2"])))
        assert isinstance(daemon, FasthaDaemon)
        test_bed.wait_master(1, "198.51.100.54", "198.51.100.55", "198.51.100.56")
        router.ip("link set dummy9 down")
        wait_for("the group is in fault", lambda: why(daemon, "VI_2")["now"][0]["state"] == "FAULT")
        now = why(daemon, "VI_1")["now"][0]
        assert now["verdict"] == "VI_1 may not be master: a tracked interface is down (dummy9)"
        other = why(daemon, "VI_2")
        assert (
            "sync group G: VI_1 is in fault (a tracked interface is down (dummy9)"
            in other["now"][0]["verdict"]
        )
        assert {m["instance"]: m["state"] for m in other["now"][0]["group"]["members"]} == {
            "VI_1": "FAULT",
            "VI_2": "FAULT",
        }
        assert any("dummy9 down" in line for line in other["story"][-1]["headlines"])
        # a weight of less than nothing counts while the interface is down, and `reverse` turns its sign
        moved = why(daemon, "VI_3")["now"][0]["priority"]
        assert [(part["name"], part["adds"]) for part in moved["parts"]] == [("dummy9", 30)]
        assert (moved["effective"], moved["other"]) == (180, 0)
        lost = why(daemon, "VI_4")["now"][0]
        assert [fault["why"] for fault in lost["faults"]] == ["bfd far is down"]
        (group,) = daemon.show("groups")
        assert group["state"] == "FAULT"
        assert any(link["name"] == "dummy9" and not link["up"] for link in daemon.show("links"))
        fastha(daemon, "drain", "VI_3", "--force")
        drained = why(daemon, "VI_3")["now"][0]
        assert drained["state"] == "MAINT"
        assert "undrain" in drained["verdict"]
        # what there is not is said, with what there is
        done = subprocess.run(
            [FASTHA, "why", "192.0.2.77", "--control-socket", str(daemon.control_socket)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "no instance here has the virtual address 192.0.2.77" in done.stderr
