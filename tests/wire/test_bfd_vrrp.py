"""BFD moves VRRP, scripts, FIFOs and streams: takeover, fault and weight, `bfd auto`, unsolicited and
S-BFD sessions."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastha.daemon.client import ask
from fastha.lab import Capture, Daemon, FasthaDaemon, KeepalivedDaemon, Lab, Node, confs, wait_for
from fastha.lab.bfd import BFD_DAEMONS, BfdSession, fastha_text, keepalived_text

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
]
needs_keepalived = pytest.mark.skipif(shutil.which("keepalived") is None, reason="needs Debian's keepalived")
needs_bird = pytest.mark.skipif(shutil.which("bird") is None, reason="needs bird2")
VIP = "198.51.100.77"
ONE, TWO = "198.51.100.1", "198.51.100.2"
DOWN_S = 3.6
"""The master-down interval of the VRRP here: a takeover that needed it is later than BFD's by an order."""
SOON_S = 1.2


@contextlib.contextmanager
def _lab(label: str) -> Iterator[tuple[Lab, Node, Node]]:
    with Lab(label) as lab:
        lab.segment("lan")
        one = lab.node("r1", lan=[f"{ONE}/24", "2001:db8:1::1/64"])
        two = lab.node("r2", lan=[f"{TWO}/24", "2001:db8:1::2/64"])
        try:
            yield lab, one, two
        except BaseException:
            for log in sorted(lab.directory.glob("*/log")):
                print(f"---- {log.parent.name}\n{log.read_text(errors='replace')[-5000:]}")
            raise


def _vrrp(priority: int, *lines: str) -> str:
    return confs.instance("VI", vrid=77, priority=priority, addresses=[f"{VIP}/24"], advert=1, lines=lines)


def _session(local: str, peer: str, ms: int = 20) -> BfdSession:
    return BfdSession(local, peer, ms * 1000, 3, name="other")


def _start(kind: type[Daemon], node: Node, *blocks: str) -> Daemon:
    daemon = kind(node, confs.config(*blocks))
    daemon.start()
    return daemon


def _ask(daemon: Daemon, command: str, **arguments: Any) -> Any:
    assert isinstance(daemon, FasthaDaemon)
    return ask(daemon.control_socket, command, timeout=10, **arguments)


def _wait_up(daemon: Daemon) -> None:
    def up() -> bool:
        sessions = _ask(daemon, "bfd")["sessions"]
        return bool(sessions) and all(s["state"] == "up" for s in sessions)

    wait_for("BFD is up", up, timeout=15)


def _killed_master(lab: Lab, master: Daemon, backup: Daemon, two: Node) -> float:
    """Kills the master; how long after its last packet the backup advertised, in seconds."""
    with Capture(lab, "lan", everything=True) as wire:
        time.sleep(0.3)
        when = master.kill()
        wait_for("the backup is master", lambda: two.has(VIP), timeout=10)
        wire.wait("its advert", lambda: wire.adverts("r2", since=when))
        wire.wait("its announcement", lambda: wire.announcements("r2", address=VIP, since=when))
    sent = [frame for frame in wire.frames if frame.node == "r1" and (frame.bfd or frame.advert)]
    last = [frame for frame in sent if frame.at_ns <= when + 5_000_000][-1]
    first = wire.adverts("r2", since=when)[0]
    assert first.at_ns <= wire.announcements("r2", address=VIP, since=when)[0].at_ns
    down = [f for f in wire.bfd("r2", since=when) if f.bfd is not None and f.bfd.state == 1]
    assert down  # the session told Down, too
    return (first.at_ns - last.at_ns) / 1e9


@pytest.mark.parametrize(
    "master_kind", [FasthaDaemon, pytest.param(KeepalivedDaemon, marks=needs_keepalived)]
)
def test_a_lost_session_to_the_master_is_a_takeover_at_once(master_kind: type[Daemon]) -> None:
    with _lab("bfdt") as (lab, one, two):
        master = _start(master_kind, one, keepalived_text([_session(ONE, TWO)]), _vrrp(200))
        backup = _start(
            FasthaDaemon,
            two,
            fastha_text([_session(TWO, ONE)]),
            _vrrp(100, "track_bfd {\n other takeover\n}"),
        )
        _wait_up(backup)
        wait_for("the first is master", lambda: one.has(VIP), timeout=10)
        wait_for("the second is backup", lambda: _ask(backup, "instances")[0]["state"] == "BACKUP")
        wait_for("it knows the master", lambda: _ask(backup, "instances")[0]["master"] == ONE)
        took = _killed_master(lab, master, backup, two)
        assert 0.059 < took < SOON_S
        assert _ask(backup, "instances")[0]["state"] == "MASTER"
        transition = [e for e in _ask(backup, "events") if e["event"] == "transition"][-1]
        assert transition["new"] == "MASTER"
        assert "BFD session to the master" in transition["cause"]


def test_auto_builds_the_session_from_adverts_and_an_orderly_stop_is_no_failure() -> None:
    auto = "bfd auto {\n min_rx 20\n min_tx 20\n multiplier 3\n}"
    with _lab("bfda") as (lab, one, two):
        backup = _start(FasthaDaemon, two, _vrrp(100, auto))
        master = _start(FasthaDaemon, one, _vrrp(200, auto))
        wait_for("the higher is master", lambda: one.has(VIP) and not two.has(VIP), timeout=15)
        _wait_up(master)
        _wait_up(backup)
        assert [s["origin"] for s in _ask(backup, "bfd")["sessions"]] == ["auto"]
        assert _ask(backup, "bfd")["sessions"][0]["peer"] == ONE
        took = _killed_master(lab, master, backup, two)
        assert 0.059 < took < SOON_S
        # it comes back, preempts, and has its session again; its orderly end is VRRP's business alone
        master = FasthaDaemon(one, confs.config(_vrrp(200, auto)))
        master.start()
        wait_for("the higher is master again", lambda: one.has(VIP) and not two.has(VIP), timeout=15)
        wait_for(
            "they have a session again",
            lambda: any(s["state"] == "up" for s in _ask(backup, "bfd")["sessions"]),
        )
        before = sum(s["flaps"] for s in _ask(backup, "bfd")["sessions"])
        master.terminate()
        wait_for("the backup follows", lambda: two.has(VIP), timeout=10)
        assert sum(s["flaps"] for s in _ask(backup, "bfd")["sessions"]) == before
        causes = [e["cause"] for e in _ask(backup, "events") if e["event"] == "transition"]
        assert "goodbye" in causes[-1]


@needs_keepalived
def test_auto_beside_a_master_without_bfd_costs_nothing_but_questions() -> None:
    auto = "bfd auto {\n min_rx 20\n min_tx 20\n}"
    with _lab("bfdn") as (lab, one, two):
        _start(KeepalivedDaemon, one, _vrrp(200))
        backup = _start(FasthaDaemon, two, _vrrp(100, auto))
        wait_for("it knows the master", lambda: _ask(backup, "instances")[0]["master"] == ONE, timeout=10)
        with Capture(lab, "lan", everything=True) as wire:
            time.sleep(2.5)
        assert 1 <= len(wire.bfd("r2")) <= 4  # one a second
        assert _ask(backup, "instances")[0]["state"] == "BACKUP"
        assert not two.has(VIP)


def test_weight_fault_scripts_fifo_and_stream(tmp_path: Path) -> None:
    with _lab("bfdw") as (lab, one, two):
        notes = lab.directory / "notes"
        script = lab.directory / "told"
        script.write_text(f'#!/bin/sh\necho "$@" "$FASTHA_STATE" >> {notes}\n')
        script.chmod(0o755)
        fifo = lab.directory / "bfd.fifo"
        hooks = (f"notify {script} root", f"notify_down {script} root")
        session = BfdSession(ONE, TWO, 100_000, 5, name="other", lines=hooks)
        ours = FasthaDaemon(
            one,
            confs.config(
                fastha_text([session]),
                confs.instance(
                    "W", vrid=1, priority=100, addresses=[f"{VIP}/24"],
                    lines=["track_bfd {\n other weight -30\n}"],
                ),
                confs.instance(
                    "F", vrid=2, priority=100, addresses=["198.51.100.78/24"],
                    lines=["track_bfd {\n other\n}", f"notify {script} root"],
                ),
                globals_=["script_user root", f"bfd_notify_fifo {fifo}"],
            ),
        )  # fmt: skip
        ours.start()
        stream = subprocess.Popen(
            [*ours.command()[:1], "show", "events", "--follow", "--json", "-n", "50", "--control-socket",
             str(ours.control_socket)],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        lab.on_close(lambda: _end(stream))
        lines = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

        def shown(name: str) -> Any:
            return next(i for i in _ask(ours, "instances") if i["name"] == name)

        # as keepalived: what has not been up counts as down
        wait_for("F waits in fault", lambda: shown("F")["state"] == "FAULT")
        wait_for("W has its weight", lambda: shown("W")["priority"] == 70)
        wait_for("that is told", lambda: notes.exists() and "INSTANCE F FAULT 100" in notes.read_text())
        peer = BFD_DAEMONS["bare"].daemon(two, BFD_DAEMONS["bare"].text([BfdSession(TWO, ONE, 100_000, 5)]))
        peer.start()
        wait_for("the session is up", lambda: _ask(ours, "bfd")["sessions"][0]["state"] == "up")
        wait_for("F is master", lambda: shown("F")["state"] == "MASTER", timeout=10)
        wait_for("W has its priority", lambda: shown("W")["priority"] == 100)
        peer.kill()
        wait_for("F is in fault", lambda: shown("F")["state"] == "FAULT")
        wait_for("it says why", lambda: shown("F")["cause"] == "bfd other is down")
        wait_for("W has its weight", lambda: shown("W")["priority"] == 70)
        # notify_down has no arguments
        wanted = {"BFD other UP UP", "BFD other DOWN DOWN", "DOWN", "INSTANCE F FAULT 100 FAULT"}
        wait_for("scripts ran", lambda: wanted <= set(notes.read_text().splitlines()))
        assert notes.read_text().splitlines().count("BFD other UP UP") == 1
        written = b""

        def read_all() -> bytes:
            nonlocal written
            with contextlib.suppress(BlockingIOError):
                written += os.read(lines, 4096)
            return written

        wait_for("the FIFO has both lines", lambda: read_all().count(b"\n") >= 2)
        os.close(lines)
        assert written == b'BFD "other" UP 198.51.100.2\nBFD "other" DOWN 198.51.100.2\n'
        time.sleep(0.5)  # the last events are on their way
        stream.send_signal(signal.SIGINT)
        out, _ = stream.communicate(timeout=10)
        events = [json.loads(line) for line in out.splitlines()]
        changes = [e for e in events if e["event"] == "bfd"]
        assert [(e["new"], e["failure"]) for e in changes] == [("up", False), ("down", True)]
        assert any(e["event"] == "transition" and e["instance"] == "F" for e in events)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


@needs_bird
def test_unsolicited_and_sbfd_sessions() -> None:
    with _lab("bfdu") as (_, one, two):
        ours = _start(
            FasthaDaemon,
            one,
            "bfd_unsolicited eth0 {\n neighbors {\n 198.51.100.0/28\n }\n min_rx 50\n min_tx 50\n}\n",
            "sbfd_reflector {\n discriminator 4711\n}\n",
        )
        assert _ask(ours, "bfd")["sessions"] == []
        adapter = BFD_DAEMONS["bird"]
        bird = adapter.daemon(
            two, adapter.text([BfdSession(TWO, ONE, 50_000), BfdSession("2001:db8:1::2", "2001:db8:1::1")])
        )
        bird.start()
        _wait_up(ours)
        (session,) = _ask(ours, "bfd")["sessions"]
        assert (session["origin"], session["peer"], session["interface"]) == ("unsolicited", TWO, "eth0")
        asker = _start(
            FasthaDaemon, two, fastha_text([BfdSession(TWO, ONE, 50_000, name="asker", lines=("sbfd 4711",))])
        )
        _wait_up(asker)
        assert _ask(asker, "bfd")["sessions"][0]["kind"] == "s-bfd"
        bird.kill()
        wait_for("found dead", lambda: _ask(ours, "bfd")["sessions"][0]["state"] == "down")
        ours.kill()
        wait_for("found dead, too", lambda: _ask(asker, "bfd")["sessions"][0]["state"] == "down")


def test_a_session_waits_for_its_link_and_address_and_follows_them() -> None:
    with _lab("bfdl") as (_, one, two):
        late = BfdSession("198.51.100.9", TWO, 50_000, name="late")
        link = next(a for a in two.addresses("eth0") if a.startswith("fe80"))
        bound = BfdSession("", link, 50_000, name="bound", interface="eth9")
        ours = _start(FasthaDaemon, one, fastha_text([late, bound]))
        states = {s["name"]: s for s in _ask(ours, "bfd")["sessions"]}
        assert states["late"]["state"] == "waiting"
        assert "198.51.100.9" in states["late"]["cause"]
        assert states["bound"]["cause"] == "there is no interface eth9"
        own = next(a for a in one.addresses("eth0") if a.startswith("fe80"))
        peer = _start(
            FasthaDaemon, two,
            fastha_text(
                [BfdSession(TWO, "198.51.100.9", 50_000, name="a"), BfdSession("", own, 50_000, name="b")]
            ),
        )  # fmt: skip
        one.ip(
            "address add 198.51.100.9/24 dev eth0",
            "link set eth0 down",
            "link set eth0 name eth9",
            "link set eth9 up",
        )
        _wait_up(peer)
        _wait_up(ours)


def test_with_two_backups_one_master_is_left() -> None:
    """Both backups lose the same master's session; the lower one steps back at the other's first advert."""
    with Lab("bfd3") as lab:
        lab.segment("lan")
        nodes = [lab.node(f"r{n}", lan=f"198.51.100.{n}/24") for n in (1, 2, 3)]
        auto = "bfd auto {\n min_rx 20\n min_tx 20\n multiplier 3\n}"
        routers = [
            _start(FasthaDaemon, node, _vrrp(priority, auto))
            for node, priority in zip(nodes, (200, 150, 100), strict=True)
        ]
        wait_for("the highest is master", lambda: nodes[0].has(VIP), timeout=15)
        for router in routers[1:]:
            _wait_up(router)
            wait_for("they know", lambda router=router: _ask(router, "instances")[0]["master"] == ONE)
        with Capture(lab, "lan") as wire:
            when = routers[0].kill()
            wait_for("the next is master", lambda: nodes[1].has(VIP), timeout=SOON_S)
            time.sleep(1.5)
        assert _ask(routers[1], "instances")[0]["state"] == "MASTER"
        assert _ask(routers[2], "instances")[0]["state"] == "BACKUP"
        assert not nodes[2].has(VIP)
        lower = [f.at_ns for f in wire.adverts("r3", since=when)]
        assert not lower or (lower[-1] - lower[0]) / 1e9 < 0.5  # only while they had not heard each other


def test_echo_comes_back_from_a_neighbour_that_forwards() -> None:
    with _lab("bfde") as (_, one, two):
        two.sysctl("ipv4/ip_forward", 1)
        for where in ("all", "eth0"):
            two.sysctl(f"ipv4/conf/{where}/send_redirects", 0)
        looped = BfdSession(ONE, TWO, 50_000, name="looped", lines=("unaffiliated_echo", "echo_tx 50"))
        ours = _start(FasthaDaemon, one, fastha_text([looped]))
        _wait_up(ours)
        two.sysctl("ipv4/ip_forward", 0)
        wait_for("it is lost", lambda: _ask(ours, "bfd")["sessions"][0]["state"] == "down")
        assert _ask(ours, "bfd")["sessions"][0]["flaps"] == 1
        two.sysctl("ipv4/ip_forward", 1)
        _wait_up(ours)
        # beside an ordinary session, whose neighbour promises to return Echo because it forwards
        echo = ("echo_tx 50", "min_echo_rx 50")
        ours.reload(confs.config(fastha_text([BfdSession(ONE, TWO, 50_000, name="with", lines=echo)])))
        theirs = fastha_text([BfdSession(TWO, ONE, 50_000, name="back", lines=("min_echo_rx 50",))])
        _start(FasthaDaemon, two, theirs)
        wait_for("a session", lambda: _ask(ours, "bfd")["sessions"][0]["name"] == "with")
        _wait_up(ours)

        def measured() -> Any:
            return _ask(ours, "bfd_session", name="with")["echo"]

        wait_for("Echo comes back", lambda: measured()["count"] > 5)
        assert 0 < measured()["mean_us"] < 50_000
        two.sysctl("ipv4/ip_forward", 0)
        wait_for("its loss is the session's", lambda: _ask(ours, "bfd")["sessions"][0]["flaps"] > 0)
        cause = _ask(ours, "bfd_session", name="with")["transitions"]
        assert "our Echo packets no longer come back" in [c["cause"] for c in cause]


def test_a_server_follows_its_bfd_check() -> None:
    """The check's verdict, and what follows from it; IPVS itself need not be in this kernel."""
    with _lab("bfdc") as (_, one, two):
        server = confs.block(
            "virtual_server 198.51.100.50 80",
            [
                "lvs_sched rr",
                "protocol TCP",
                confs.block(f"real_server {TWO} 80", [confs.block("BFD_CHECK", ["name web"])]),
            ],
        )
        ours = _start(FasthaDaemon, one, fastha_text([BfdSession(ONE, TWO, 50_000, name="web")]), server)

        def real() -> Any:
            return _ask(ours, "servers")["virtual_servers"][0]["servers"][0]

        assert not real()["up"]
        peer = BFD_DAEMONS["bare"].daemon(two, BFD_DAEMONS["bare"].text([BfdSession(TWO, ONE, 50_000)]))
        peer.start()
        wait_for("the server is up", lambda: real()["up"])
        assert "BFD session web is up" in real()["why"]
        peer.kill()
        wait_for("the server is down", lambda: not real()["up"])
        assert "no packet within the detection time" in real()["why"]


def test_a_session_that_a_reload_adds_faults_nobody_before_it_was_up() -> None:
    with _lab("bfdr") as (_, one, two):
        alone = confs.instance("VI", vrid=9, priority=100, addresses=[f"{VIP}/24"])
        follows = confs.instance(
            "VI", vrid=9, priority=100, addresses=[f"{VIP}/24"], lines=["track_bfd {\n other\n}"]
        )
        ours = _start(FasthaDaemon, one, alone)
        wait_for("it is master", lambda: one.has(VIP))
        ours.configure(confs.config(fastha_text([_session(ONE, TWO)]), follows))
        _ask(ours, "reload")
        time.sleep(0.5)
        assert _ask(ours, "instances")[0]["state"] == "MASTER"
        bare = BFD_DAEMONS["bare"]
        peer = bare.daemon(two, bare.text([_session(TWO, ONE)]))
        peer.start()
        _wait_up(ours)
        peer.kill()
        wait_for("now it counts", lambda: _ask(ours, "instances")[0]["state"] == "FAULT")
        assert _ask(ours, "instances")[0]["cause"] == "bfd other is down"
        ours.configure(confs.config(alone))
        _ask(ours, "reload")
        wait_for("followed no more", lambda: _ask(ours, "instances")[0]["state"] == "MASTER")
        wait_for("it is gone", lambda: _ask(ours, "bfd")["sessions"] == [])
