"""The daemon's BFD sessions against Debian's BIRD, FRR and keepalived, many at once in one bed.

One fastha has a session of every kind with every peer: IPv4, IPv6, link-local, several hops, each type of
authentication with BIRD. Together they come up, change their timers, have their keys changed, are switched
off and on
again, are frozen, and lose their peers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fastha.daemon.client import ask
from fastha.lab import Capture, Daemon, FasthaDaemon, Lab, LabError, Node, confs, wait_for
from fastha.lab.bfd import BFD_DAEMONS, BfdSession, fastha_text
from fastha.lab.peers import BirdDaemon

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
    pytest.mark.skipif(
        shutil.which("bird") is None
        or shutil.which("keepalived") is None
        or not Path("/usr/lib/frr/bfdd").exists(),
        reason="needs bird2, keepalived and frr",
    ),
]
TYPES = ("simple", "keyed-md5", "meticulous-keyed-md5", "keyed-sha1", "meticulous-keyed-sha1")
INTERVAL_US = 60_000
SLOWER_US = 90_000
POLL, FINAL = 0x20, 0x10


@dataclass
class Bed:
    """fastha in r1; bird in r2 (and, two hops away, r5), keepalived in r3, frr in r4."""

    lab: Lab
    ours: FasthaDaemon
    peers: dict[str, Daemon]
    sessions: list[BfdSession]
    names: list[str] = field(default_factory=list)

    def ask(self, command: str, **arguments: Any) -> Any:
        return ask(self.ours.control_socket, command, timeout=10, **arguments)

    def states(self) -> dict[str, str]:
        return {s["name"]: s["state"] for s in self.ask("bfd")["sessions"]}

    def wait(self, what: str, so: Callable[[dict[str, Any]], bool], timeout: float = 15) -> None:
        """Until a condition holds for every session."""

        def all_so() -> bool:
            return all(so(s) for s in self.ask("bfd")["sessions"])

        try:
            wait_for(what, all_so, timeout=timeout, every=0.05)
        except LabError as error:
            raise LabError(f"{error}: {self.ask('bfd')}") from None

    def reload(self, sessions: list[BfdSession] | None = None, *more: str) -> None:
        if sessions is not None:
            self.sessions = sessions
        self.ours.configure(confs.config(fastha_text(self.sessions), *more))
        self.ask("reload")

    def flaps(self) -> int:
        return sum(s["flaps"] for s in self.ask("bfd")["sessions"])

    def since(self) -> dict[str, float]:
        return {s["name"]: s["since"] for s in self.ask("bfd")["sessions"]}


def _link_local(node: Node, interface: str = "eth0") -> str:
    return next(a for a in node.addresses(interface) if a.startswith("fe80"))


@contextlib.contextmanager
def _bed() -> Iterator[Bed]:
    with Lab("bfdd") as lab:
        for segment in ("lan", "far", *(f"a{n}" for n in range(1, 6))):
            lab.segment(segment)
        auths = {f"a{n}": f"10.0.{n}.%d/24" for n in range(1, 6)}
        r1 = lab.node(
            "r1", lan=["198.51.100.1/24", "2001:db8:1::1/64"], **{k: v % 1 for k, v in auths.items()}
        )
        r2 = lab.node(
            "r2",
            lan=["198.51.100.2/24", "2001:db8:1::2/64"],
            **{k: v % 2 for k, v in auths.items()},
            far=["203.0.113.2/24"],
        )
        r3 = lab.node("r3", lan=["198.51.100.3/24", "2001:db8:1::3/64"])
        r4 = lab.node("r4", lan=["198.51.100.4/24", "2001:db8:1::4/64"])
        r5 = lab.node("r5", far=["203.0.113.5/24"])
        r2.sysctl("ipv4/ip_forward", 1)
        r1.ip("route add 203.0.113.0/24 via 198.51.100.2")
        r5.ip("route add default via 203.0.113.2")

        v4, v6, ll = "198.51.100.1", "2001:db8:1::1", _link_local(r1)
        two = [
            BfdSession("198.51.100.2", v4, INTERVAL_US),
            BfdSession("2001:db8:1::2", v6, INTERVAL_US),
            BfdSession(_link_local(r2), ll, INTERVAL_US),
            *(
                BfdSession(
                    f"10.0.{n}.2", f"10.0.{n}.1", INTERVAL_US, interface=f"eth{n}", auth=kind, secret="first"
                )
                for n, kind in enumerate(TYPES, 1)
            ),
        ]
        bird = (
            BFD_DAEMONS["bird"]
            .text(two)
            .replace(
                'password "first" { id 1; };', 'password "first" { id 1; }; password "second" { id 2; };'
            )
        )
        peers: dict[str, Daemon] = {
            "bird": BirdDaemon(r2, bird),
            "keepalived": _peer(
                r3, "keepalived", BfdSession("198.51.100.3", v4), BfdSession("2001:db8:1::3", v6)
            ),
            "frr": _peer(r4, "frr", BfdSession("198.51.100.4", v4), BfdSession("2001:db8:1::4", v6)),
            "far": _peer(r5, "bird", BfdSession("203.0.113.5", v4, multihop=True)),
        }
        sessions = [
            BfdSession(v4, "198.51.100.2", INTERVAL_US, name="bird4"),
            BfdSession(v6, "2001:db8:1::2", INTERVAL_US, name="bird6"),
            BfdSession("", _link_local(r2), INTERVAL_US, name="birdll"),
            BfdSession(v4, "203.0.113.5", INTERVAL_US, name="far", multihop=True),
            BfdSession(v4, "198.51.100.3", INTERVAL_US, name="keepalived4"),
            BfdSession(v6, "2001:db8:1::3", INTERVAL_US, name="keepalived6"),
            BfdSession(v4, "198.51.100.4", INTERVAL_US, name="frr4"),
            BfdSession(v6, "2001:db8:1::4", INTERVAL_US, name="frr6"),
            *(
                BfdSession(
                    f"10.0.{n}.1", f"10.0.{n}.2", INTERVAL_US, name=f"auth-{kind}", lines=(_keys(kind),)
                )
                for n, kind in enumerate(TYPES, 1)
            ),
        ]
        ours = FasthaDaemon(r1, confs.config(fastha_text(sessions)))
        ours.start()
        for peer in peers.values():
            peer.start()
        made = Bed(lab, ours, peers, sessions)
        try:
            made.wait("every session is up", lambda s: s["state"] == "up", timeout=30)
            yield made
        except BaseException:
            for log in sorted(lab.directory.glob("*/log")):
                print(f"---- {log.parent.name}\n{log.read_text(errors='replace')[-4000:]}")
            raise


def _peer(node: Node, kind: str, *sessions: BfdSession) -> Daemon:
    adapter = BFD_DAEMONS[kind]
    return adapter.daemon(node, adapter.text([replace(s, interval_us=INTERVAL_US) for s in sessions]))


def _keys(kind: str, active: int = 1) -> str:
    return f"authentication {{\n  key 1 {kind} first\n  key 2 {kind} second\n  active_key {active}\n }}"


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with _bed() as made:
        yield made


def _slow(s: dict[str, Any], us: int) -> bool:
    return bool(s["state"] == "up" and s["detection_time_us"] == 3 * us)


# The tests go on from each other's bed, in this order.


def test_sessions_of_every_kind_come_up_with_every_peer(bed: Bed) -> None:
    bed.wait("the agreed timers", lambda s: _slow(s, INTERVAL_US))
    assert bed.flaps() == 0
    seen = bed.ask("bfd_session", name="auth-meticulous-keyed-sha1")
    assert seen["remote_state"] == "up"
    assert seen["configured"]["authentication"] == "meticulous-keyed-sha1, key 1 of 2"
    assert seen["counters"]["rx"] > 0
    wait_for("intervals are measured", lambda: bed.ask("bfd_session", name="bird4")["measured"]["count"] > 10)
    measured = bed.ask("bfd_session", name="bird4")["measured"]
    assert 0 < measured["min_us"] <= measured["mean_us"] <= measured["max_us"]
    assert INTERVAL_US * 0.5 < measured["mean_us"] < INTERVAL_US * 2
    shown = bed.ours.show("bfd", "far")
    assert shown["multihop"]
    assert [t["new"] for t in shown["transitions"]][-1] == "up"


def test_timers_change_while_up_without_a_flap(bed: Bed) -> None:
    before = bed.since()
    with Capture(bed.lab, "lan", everything=True) as wire:
        bed.reload([replace(s, interval_us=SLOWER_US) for s in bed.sessions])
        bed.wait("slower", lambda s: _slow(s, SLOWER_US))
        bed.reload([replace(s, interval_us=INTERVAL_US) for s in bed.sessions])
        bed.wait("as before", lambda s: _slow(s, INTERVAL_US))
    sent = [frame.bfd for frame in wire.bfd("r1") if frame.bfd is not None]
    assert {SLOWER_US, INTERVAL_US} <= {packet.min_tx_us for packet in sent if packet.flags & POLL}
    assert not any(packet.flags & POLL and packet.flags & FINAL for packet in sent)
    for node in ("r2", "r3", "r4"):  # each peer has answered the polls
        assert any(frame.bfd is not None and frame.bfd.flags & FINAL for frame in wire.bfd(node)), node
    assert bed.flaps() == 0
    assert bed.since() == before


def test_an_unrelated_reload_touches_nothing(bed: Bed) -> None:
    before = bed.since()
    sent = {s.name: bed.ask("bfd_session", name=s.name)["local_discriminator"] for s in bed.sessions}
    bed.reload(None, "track_file nothing {\n file /nowhere\n}\n")
    assert bed.since() == before
    assert {s.name: bed.ask("bfd_session", name=s.name)["local_discriminator"] for s in bed.sessions} == sent
    # another name is not another session
    bed.reload([replace(bed.sessions[0], name="renamed"), *bed.sessions[1:]])
    assert bed.ask("bfd_session", name="renamed")["local_discriminator"] == sent["bird4"]
    bed.reload([replace(bed.sessions[0], name="bird4"), *bed.sessions[1:]])
    assert bed.since() == before


def test_keys_are_rotated_a_hundred_times_without_a_flap(bed: Bed) -> None:
    before = bed.since()
    for turn in range(100):
        rotated = [
            replace(s, lines=(_keys(s.name.removeprefix("auth-"), 1 + turn % 2),)) if s.lines else s
            for s in bed.sessions
        ]
        bed.reload(rotated)
        if turn % 10 == 0:
            time.sleep(2 * INTERVAL_US / 1e6)  # packets under this key have gone
    active = bed.ask("bfd_session", name="auth-keyed-sha1")["configured"]["authentication"]
    assert active == "keyed-sha1, key 2 of 2"
    time.sleep(4 * INTERVAL_US / 1e6)
    assert set(bed.states().values()) == {"up"}
    assert bed.flaps() == 0
    assert bed.since() == before


def test_admin_down_is_told_and_is_no_failure(bed: Bed) -> None:
    for name in ("bird4", "keepalived4", "frr4"):
        bed.ask("bfd_admin", name=name, up=False)
    bed.wait("switched off", lambda s: s["state"] == "admin_down" or not s["name"].endswith("4"))

    def bird_heard() -> bool:
        done = subprocess.run(
            ["birdc", "-s", str(bed.peers["bird"].directory / "control"), "show", "bfd", "sessions"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
        line = next(one for one in done.stdout.splitlines() if one.startswith("198.51.100.1 "))
        return " Down " in line

    wait_for("bird heard it", bird_heard)
    bed.reload()
    assert bed.states()["bird4"] == "admin_down"  # also over a reload
    for name in ("bird4", "keepalived4", "frr4"):
        bed.ask("bfd_admin", name=name, up=True)
    bed.wait("up again", lambda s: s["state"] == "up")
    assert bed.flaps() == 0
    words = [c["cause"] for c in bed.ask("bfd_session", name="bird4")["transitions"]]
    assert "administratively down" in words


def test_a_frozen_daemon_accuses_nobody_on_waking(bed: Bed) -> None:
    changes = {s.name: len(bed.ask("bfd_session", name=s.name)["transitions"]) for s in bed.sessions}
    bed.ours.pause()
    time.sleep(1.0)  # several detection times: the peers rightly give us up
    bed.ours.resume()
    bed.wait("up again", lambda s: s["state"] == "up", timeout=20)
    for name, seen in changes.items():
        causes = [c["cause"] for c in bed.ask("bfd_session", name=name)["transitions"][seen:]]
        assert "no packet within the detection time" not in causes, name


def test_killed_peers_are_found_within_the_detection_time(bed: Bed) -> None:
    flaps = {s["name"]: s["flaps"] for s in bed.ask("bfd")["sessions"]}
    for peer in bed.peers.values():
        peer.kill()
    bed.wait("every session is down", lambda s: s["state"] == "down")
    for session in bed.sessions:
        last = bed.ask("bfd_session", name=session.name)["transitions"][-1]
        assert last["new"] == "down", session.name
        assert last["cause"] == "no packet within the detection time", session.name
        assert last["failure"]
        assert last["local_diag"] == "Control Detection Time Expired"
        steps = {mark["step"]: mark["at_us"] for mark in last["marks"]}
        assert steps["last packet received"] == pytest.approx(-3 * INTERVAL_US, abs=1)
        assert 0 <= steps["decided"] < 250_000  # a noisy machine may wake late, but not at once or never
    after = {s["name"]: s["flaps"] for s in bed.ask("bfd")["sessions"]}
    assert all(after[name] == flaps[name] + 1 for name in flaps)
    kinds = {e["session"] for e in bed.ask("events", limit=500) if e["event"] == "bfd" and e["failure"]}
    assert kinds >= {s.name for s in bed.sessions}
