"""The lab itself: the demonstration runs, a file becomes a lab, and nothing is ever left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vrrp_bed import needs_keepalived, needs_root

from fastha.lab import Lab, LabError, Prober, faults, spaces, wait_for
from fastha.lab.demo import run
from fastha.lab.topofile import read

pytestmark = [pytest.mark.wire]
FASTHA = str(Path(sys.executable).with_name("fastha"))


@needs_root
@needs_keepalived
def test_the_demonstration_plays_to_its_end() -> None:
    told: list[str] = []
    steps = run(say=told.append)
    assert [step.master for step in steps] == ["r2", "r1", "r2", "r3", "r2"]
    cut, *planned = steps
    for family in ("IPv4", "IPv6"):
        assert cut.lost[family] > 100
        assert cut.outage_ms[family] > cut.minimum_ms[family] - 2
        assert sum(step.lost[family] for step in planned) < cut.lost[family]
    assert any("r1 (fastha, priority 200) is master" in line for line in told)


def _ours(pid: int) -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"{spaces.PREFIX}-{pid}-*")]


@needs_root
@needs_keepalived
def test_a_file_becomes_a_lab_and_ctrl_c_takes_it_down(tmp_path: Path) -> None:
    (tmp_path / "r1.conf").write_text(
        "vrrp_instance A {\n state MASTER\n interface eth0\n virtual_router_id 9\n version 3\n"
        " advert_int 0.1\n virtual_ipaddress {\n 192.0.2.254/24\n }\n}\n"
    )
    (tmp_path / "lab.toml").write_text(
        'segments = ["lan"]\n'
        '[nodes.r1]\nlan = ["192.0.2.1/24"]\ndaemon = "keepalived"\nconfig = "r1.conf"\nforward = true\n'
        '[nodes.pc]\nlan = ["192.0.2.9/24"]\ncommands = ["route add 203.0.113.0/24 via 192.0.2.254"]\n'
    )
    with subprocess.Popen([FASTHA, "lab", "up", str(tmp_path / "lab.toml")], stdout=subprocess.PIPE) as up:
        try:
            assert up.stdout is not None
            line = up.stdout.readline().decode()
            assert line.split()[0] == "r1"
            pc = up.stdout.readline().decode().split()[4]
            wait_for("the address answers", lambda: _answers(pc, "192.0.2.254"))
            assert len(_ours(up.pid)) == 3
        finally:
            up.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                up.wait(20)
            late = up.poll() is None
            up.kill()
        assert not late, "it did not end"
    assert _ours(up.pid) == []


def _answers(namespace: str, address: str) -> bool:
    ping = ["ip", "netns", "exec", namespace, "ping", "-c1", "-W1", address]
    return subprocess.run(ping, capture_output=True, check=False).returncode == 0


@needs_root
def test_what_a_killed_lab_left_is_swept_by_the_next() -> None:
    program = (
        "import time; from fastha.lab import Lab\n"
        "with Lab('doomed') as lab:\n"
        "    lab.segment('lan'); node = lab.node('r1', lan='192.0.2.1/24')\n"
        "    print(node.popen('sleep', '600').pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as doomed:
        assert doomed.stdout is not None
        sleeper = int(doomed.stdout.readline())
        assert len(_ours(doomed.pid)) == 2
        doomed.kill()
    with Lab("next"):
        assert _ours(doomed.pid) == []
        wait_for("the process in it is gone", lambda: not _alive(sleeper))
        assert len(_ours(os.getpid())) == 1
    assert _ours(os.getpid()) == []


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@needs_root
def test_the_prober_measures_an_outage() -> None:
    with Lab("probe") as lab:
        lab.segment("lan")
        router = lab.node("r1", lan=["192.0.2.1/24", "2001:db8::1/64"])
        client = lab.node("pc", lan=["192.0.2.2/24", "2001:db8::2/64"])
        probes = [Prober(client, address).wait_up() for address in ("192.0.2.1", "2001:db8::1")]
        time.sleep(0.2)
        down = faults.unplug(router)
        time.sleep(0.3)
        up = faults.plug(router)
        time.sleep(0.3)
        for probe in probes:
            probe.stop()
            assert 250 < probe.longest_ms < (up - down) / 1e6 + 500
            assert probe.lost >= 200
            assert sum(one.lost for one in probe.outages) == probe.lost


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("segments = 1", "segments must be a list"),
        ('segments = ["lan"]', "no node"),
        ('segments = ["lan"]\n[nodes.r1]\nwan = []', "neither a segment"),
        ('segments = ["lan"]\n[nodes.r1]\nlan = "192.0.2.1/24"', "lan must be a list"),
        ('segments = ["lan"]\n[nodes.r1]\ndaemon = "gated"', "no daemon 'gated'"),
        ('segments = ["lan"]\n[nodes.r1]\ndaemon = "fastha"', "go together"),
        ('segments = ["lan"]\n[nodes.r1]\ndaemon = "fastha"\nconfig = "none"', "there is no file"),
        ("[[", "lab.toml"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(text)
    with pytest.raises(LabError, match=complaint):
        read(file)
