"""Planned change with real routers: drain, undrain and switchover lose nothing, are refused when nobody is
there, and outlive the daemon.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from vrrp_bed import Bed, bed, needs_keepalived, needs_root

from fastha.lab import FasthaDaemon, wait_for
from fastha.lab.confs import config, instance
from fastha.lab.daemons import _fastha
from fastha.net.namespace import visiting

pytestmark = [pytest.mark.wire, needs_root]
WEB, DB = "198.51.100.80", "198.51.100.81"


def text(priority: int, *lines: str, db: int | None = None, group: bool = False) -> str:
    """WEB, and with `db` DB of that priority, perhaps both in a sync group."""
    made = [instance("WEB", vrid=80, priority=priority, addresses=[f"{WEB}/24"], advert=0.1, lines=lines)]
    if db is not None:
        made.append(instance("DB", vrid=81, priority=db, addresses=[f"{DB}/24"], advert=0.1, lines=lines))
    if group:
        made.append("vrrp_sync_group BOTH {\n    group {\n        WEB\n        DB\n    }\n}\n")
    return config(*made)


def ask(daemon: FasthaDaemon, *words: str, code: int = 0, stdin: str | None = None) -> str:
    """A command of fastha's; what it printed."""
    done = subprocess.run(
        [*_fastha(), *words, "--control-socket", str(daemon.control_socket)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        input=stdin,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def state(daemon: FasthaDaemon, name: str = "WEB") -> str:
    """The state of an instance."""
    return str(next(row["state"] for row in daemon.show() if row["name"] == name))


def becomes(daemon: FasthaDaemon, wanted: str, name: str = "WEB", timeout: float = 15) -> None:
    wait_for(
        f"{name} of {daemon} is {wanted}",
        lambda: daemon.running and daemon.ready() and state(daemon, name) == wanted,
        timeout=timeout,
    )


def pair(made: Bed, first: str, second: str) -> tuple[FasthaDaemon, FasthaDaemon]:
    one, two = made.daemon(1, "fastha", first), made.daemon(2, "fastha", second)
    assert isinstance(one, FasthaDaemon) and isinstance(two, FasthaDaemon)
    made.wait_master(1, WEB)
    becomes(one, "MASTER")
    becomes(two, "BACKUP")
    return one, two


def test_a_drained_instance_stays_away_over_restarts_and_a_kill() -> None:
    with bed("drain") as made:
        one, two = pair(made, text(200), text(100))
        with made.probe(WEB) as probe:
            said = ask(one, "drain", "WEB", "--peer", "-", stdin=json.dumps(two.show()))
            assert "a successor is there: the other router says that it is BACKUP" in said
            assert "handed over to 198.51.100.2" in said
            made.wait_master(2, WEB)
            assert state(one) == "MAINT"
            for end in (one.terminate, one.kill):
                end()
                one.start()
                becomes(one, "MAINT")
            assert not made.capture.adverts("r1", since=made.capture.adverts("r2")[-1].at_ns)
            told = one.show("status")["maintenance"]
            assert told == "instance WEB"
            assert "takes part again" in ask(one, "undrain", "WEB")
            made.wait_master(1, WEB)
        assert probe.longest_ms < 200  # in truth none is lost; the machine may be busy
        assert one.show("status")["maintenance"] == "nothing"
        one.terminate()
        one.start()
        made.wait_master(1, WEB)


def test_a_drain_without_a_successor_is_refused_and_loses_nothing() -> None:
    with bed("refused") as made:
        one, two = pair(made, text(200, db=200, group=True), text(100, db=100, group=True))
        two.terminate()
        with made.probe(WEB) as probe, made.probe(DB) as other:
            for what in (("WEB",), ("group", "BOTH"), ("node",)):
                said = ask(one, "drain", *what, code=1)
                assert "nobody took over" in said
                for name in ("WEB", "DB"):
                    assert state(one, name) == "MASTER"
            assert one.show("status")["maintenance"] == "nothing"
        assert probe.lost == other.lost == 0
        assert made.capture.adverts("r1")[-1].advert is not None
        said = ask(one, "drain", "node", "--force")
        assert "nobody took over" in said
        wait_for("the addresses are gone", lambda: not made.routers[0].has(WEB))
        becomes(one, "MAINT", "DB")
        wait_for("it says so", lambda: "its addresses have no owner" in one.log(), timeout=15)
        assert "absent" not in ask(one, "drain", "node", "--check", code=3)
        ask(one, "undrain", "node")
        made.wait_master(1, WEB, DB)


def test_a_unicast_peer_that_does_not_answer_is_known_to_be_absent() -> None:
    with bed("absent") as made:
        peers = ("unicast_peer {\n        198.51.100.77\n    }", "unicast_src_ip 198.51.100.1")
        one = made.daemon(1, "fastha", text(200, *peers))
        assert isinstance(one, FasthaDaemon)
        made.wait_master(1, WEB)
        becomes(one, "MASTER")
        since = len(made.capture.frames)
        said = ask(one, "drain", "WEB", code=1)
        assert "198.51.100.77 does not answer" in said and "nothing was changed" in said
        assert all(f.advert is None or f.advert.priority for f in made.capture.frames[since:])
        assert "NO SUCCESSOR" in ask(one, "drain", "WEB", "--check", code=4)
        one.reload(text(200, peers[0].replace(".77", ".2"), peers[1]))
        wait_for("the reload", lambda: one.show("status")["reloads"] == 1)
        assert "198.51.100.2 answers" in ask(one, "drain", "WEB", "--check", code=3)
        said = ask(one, "drain", "WEB", code=1)  # the machine is there, VRRP is not: asking shows it
        assert "nobody took over" in said


def test_two_routers_are_rolled_one_after_the_other() -> None:
    with bed("rolling") as made:
        one, two = pair(made, text(200, db=100), text(100, db=200))
        made.wait_master(2, DB)
        with made.probe(WEB) as web, made.probe(DB) as db:
            for this, other, addresses in ((one, 2, (WEB, DB)), (two, 1, (WEB, DB))):
                ask(this, "drain", "node")
                made.wait_master(other, *addresses)
                this.terminate()  # the new version is installed, the machine boots
                this.start()
                for name in ("WEB", "DB"):
                    becomes(this, "MAINT", name)
                assert this.show("status")["maintenance"] == "the node"
                ask(this, "undrain", "node", "--keep-backup")
                for name in ("WEB", "DB"):
                    becomes(this, "BACKUP", name)
                made.wait_master(other, *addresses)  # it does not take back
            # the second one handed everything to the first, which is as configured again
            assert [row["held"] for row in one.show()] == [False, False]
            assert [row["held"] for row in two.show()] == [True, True]
            ask(two, "undrain", "node")
            made.wait_master(2, DB)
            made.wait_master(1, WEB)
        assert max(web.longest_ms, db.longest_ms) < 200


def test_a_switchover_is_not_taken_back_until_the_successor_fails() -> None:
    with bed("switch") as made:
        one, two = pair(made, text(200), text(100))
        with made.probe(WEB) as probe:
            said = ask(one, "switchover", "WEB", "--to", "198.51.100.2")
            assert "handed over to 198.51.100.2" in said
            made.wait_master(2, WEB)
            becomes(one, "BACKUP")
            one.terminate()
            one.start()
            becomes(one, "BACKUP")
            quiet = made.capture.adverts("r2")[-1].at_ns
            assert one.show("instance", "WEB")["held"]
            made.capture.wait("r2 goes on", lambda: len(made.capture.adverts("r2", since=quiet)) > 8)
            assert not made.capture.adverts("r1", since=quiet)
            refused = ask(one, "switchover", "WEB", code=1)
            assert "nothing to hand over here" in refused
        assert probe.longest_ms < 200
        two.kill()
        becomes(one, "MASTER")
        assert not one.show("instance", "WEB")["held"]
        two.start()
        becomes(two, "BACKUP")
        said = ask(one, "switchover", "WEB", "--to", "198.51.100.9", code=1)
        assert "198.51.100.2 took over, not 198.51.100.9" in said
        ask(one, "undrain", "WEB")
        made.wait_master(1, WEB)


def test_a_damaged_file_is_put_aside_and_stops_nobody() -> None:
    with bed("damaged") as made:
        one = made.daemon(1, "fastha", text(200), start=False)
        assert isinstance(one, FasthaDaemon)
        one.run_directory.mkdir()
        file = one.run_directory / "maintenance.json"
        file.write_text('{"v": 1, "node": tr')
        one.start()
        made.wait_master(1, WEB)
        assert f"cannot read {file}" in one.log()
        assert file.with_suffix(".bad").exists() and not file.exists()


def test_the_dumps_tell_maintenance_from_a_fault() -> None:
    with bed("dumps") as made:
        first = text(200).replace("router_id lab", "router_id lab\n    fastha_metrics 127.0.0.1:9105")
        one, _two = pair(made, first, text(100))
        ask(one, "drain", "WEB")
        one.signal(36)  # RTMIN+2: JSON
        path = Path(one.directory) / "keepalived.json"
        wait_for("the dump", lambda: path.exists() and path.stat().st_size > 0)
        data: dict[str, Any] = json.loads(path.read_text())[0]["data"]
        assert (data["state"], data["fastha_state"]) == (3, "MAINT")
        with visiting(made.routers[0].namespace):
            page = urllib.request.urlopen("http://127.0.0.1:9105/metrics", timeout=10).read().decode()
        for name in (
            'instance_state{instance_name="WEB".*state="MAINT"',
            'instance_drained{instance_name="WEB".*',
        ):
            assert re.search(rf"^fastha_{name}}} 1$", page, re.M), page
        records = [
            json.loads(line) for line in (one.run_directory / "history.jsonl").read_text().splitlines()
        ]
        assert records[-1]["state"] == "MAINT"


@needs_keepalived
def test_a_keepalived_backup_takes_over_and_is_left_in_peace() -> None:
    with bed("other") as made:
        one = made.daemon(1, "fastha", text(200, db=200, group=True))
        two = made.daemon(2, "keepalived", text(100, db=100, group=True))
        assert isinstance(one, FasthaDaemon)
        made.wait_master(1, WEB, DB)
        becomes(one, "MASTER")
        with made.probe(WEB) as probe:
            assert "handed over to 198.51.100.2" in ask(one, "switchover", "group", "BOTH")
            made.wait_master(2, WEB, DB)
            for name in ("WEB", "DB"):
                becomes(one, "BACKUP", name)
            assert "198.51.100.2 is master" in ask(one, "drain", "node", "--check")
            ask(one, "drain", "node")
            ask(one, "undrain", "node")  # as configured again: it preempts
            made.wait_master(1, WEB, DB)
        assert probe.longest_ms < 300
        two.terminate()
        assert "nobody took over" in ask(one, "drain", "BOTH", code=1)
