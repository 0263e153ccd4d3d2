"""The lab's other daemons do what they are for: the bare control speaks VRRP that keepalived takes, BIRD
and FRR BFD."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from fastha._core import codec
from fastha.lab import Capture, KeepalivedDaemon, Lab, Node, Prober, confs, faults, wait_for
from fastha.lab.peers import BareDaemon, BareRtDaemon, BirdDaemon, Flood, FrrBfdDaemon, Wakeups

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
]
ADDRESS = "198.51.100.77"


def _routers(lab: Lab) -> tuple[Node, Node]:
    lab.segment("lan")
    one, two = (lab.node(f"r{n}", lan=f"198.51.100.{n}/24") for n in (1, 2))
    return one, two


@pytest.mark.skipif(shutil.which("keepalived") is None, reason="needs Debian's keepalived")
@pytest.mark.parametrize("kind", [BareDaemon, BareRtDaemon])
def test_the_bare_control_and_keepalived_take_over_from_each_other(kind: type[BareDaemon]) -> None:
    with Lab("bare") as lab:
        one, two = _routers(lab)
        client = lab.node("c", lan="198.51.100.9/24")
        wire = Capture(lab, "lan")
        instance = confs.instance("VI", vrid=77, priority=100, addresses=[f"{ADDRESS}/24"])
        KeepalivedDaemon(two, confs.config(instance)).start()
        wait_for("keepalived is master", lambda: two.has(ADDRESS))

        bare = kind(one, f"eth0 77 200 10 198.51.100.1 {ADDRESS}/24\n")
        bare.start()
        wait_for("the control preempts", lambda: one.has(ADDRESS) and not two.has(ADDRESS))
        assert wire.announcements("r1", address=ADDRESS)
        probe = Prober(client, ADDRESS).wait_up()
        killed = bare.kill()
        faults.unplug(one)
        wait_for("keepalived takes over", lambda: two.has(ADDRESS))
        last = wire.adverts("r1", until=killed)[-1]
        first = wire.adverts("r2", since=killed)[0]
        assert (first.at_ns - last.at_ns) / 1e6 > 360.9 - 1  # 3 * 100 ms and a skew of 60.9 ms
        wait_for("the client is answered again", lambda: len(probe.outages) == 1)
        assert probe.stop().longest_ms > 200

        faults.plug(one)
        bare.start()
        wait_for("the control preempts again", lambda: one.has(ADDRESS) and not two.has(ADDRESS))
        bare.terminate()
        assert not one.has(ADDRESS)
        leaving = wire.adverts("r1")[-1].advert
        assert leaving is not None
        assert leaving.priority == 0
        wait_for("keepalived follows", lambda: two.has(ADDRESS))


@pytest.mark.skipif(
    shutil.which("bird") is None or not Path("/usr/lib/frr/bfdd").exists(), reason="needs bird2 and frr"
)
def test_bird_and_frr_bring_a_bfd_session_up() -> None:
    bird = """
router id 198.51.100.1;
protocol device {}
protocol bfd { interface "eth0" { interval 50 ms; multiplier 3; }; neighbor 198.51.100.2 dev "eth0"; }
"""
    frr = """bfd
 peer 198.51.100.1 interface eth0
  receive-interval 50
  transmit-interval 50
  no shutdown
"""
    with Lab("bfd") as lab:
        one, two = _routers(lab)
        wire = Capture(lab, "lan", everything=True)
        daemons = BirdDaemon(one, bird), FrrBfdDaemon(two, frr)
        for daemon in daemons:
            daemon.start()

        def states(node: str, since: int = 0) -> set[str]:
            found = set()
            for frame in wire.frames:
                data = frame.data
                if frame.node != node or frame.at_ns < since or data[12:14] != b"\x08\x00" or data[23] != 17:
                    continue
                if data[36:38] == (3784).to_bytes(2):
                    verdict, packet = codec.bfd_decode(data[42:])
                    assert verdict == "ok"
                    assert packet is not None
                    found.add(codec.bfd_state_name(packet.state))
            return found

        wire.wait("both are up", lambda: "up" in states("r1") and "up" in states("r2"), timeout=20)
        killed = daemons[0].kill()
        wire.wait("FRR finds BIRD dead", lambda: "down" in states("r2", killed))
        assert daemons[1].running
        zebra = daemons[1].zebra
        assert zebra is not None
        daemons[1].close()
        assert zebra.returncode is not None


def test_a_flood_reaches_its_rate_and_the_control_counts_its_wakeups() -> None:
    frame = bytes.fromhex("ffffffffffff02fa0000000188b5") + bytes(50)
    with Lab("flood") as lab, Wakeups(real_time=False) as late:
        one, _ = _routers(lab)
        wire = Capture(lab, "lan", everything=True)
        rate = Flood(one, [frame], rate=5000, seconds=0.5).wait()
        time.sleep(0.1)
        seen = [f for f in wire.frames if f.data == frame]
    assert 3000 < rate < 6000
    assert 0.9 * rate * 0.5 <= len(seen) <= 1.1 * rate * 0.5 + 10
    assert len(late.late_us) > 100
    assert min(late.late_us) >= 0
