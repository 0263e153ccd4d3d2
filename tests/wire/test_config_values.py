"""What a file means: the values that keepalived itself dumps (`keepalived -d`), beside fastha's model.

Instances with random settings, globals among them, are given to both; every value that keepalived shows of an
instance must be the one in the model.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastha.config import load
from fastha.config.model import VrrpInstance

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("keepalived") is None, reason="root and keepalived"),
]

SECOND = 1_000_000_000
INSTANCES = 40


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"cfg-val-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for at in range(3):
            ip = ["ip", "-n", name]
            add = ["link", "add", f"eth{at}", "type", "veth", "peer", "name", f"p{at}"]
            subprocess.run([*ip, *add], check=True)
            subprocess.run([*ip, "addr", "add", f"192.168.{at}.1/24", "dev", f"eth{at}"], check=True)
            subprocess.run([*ip, "link", "set", f"eth{at}", "up"], check=True)
            subprocess.run([*ip, "link", "set", f"p{at}", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def _file(seed: int) -> str:
    """A file with random settings that keepalived takes."""
    r = random.Random(seed)

    def maybe(chance: float, line: str) -> str:
        return line + "\n" if r.random() < chance else ""

    text = "global_defs {\n" + maybe(0.5, f" vrrp_version {r.choice((2, 3))}")
    for name, most in (
        ("garp_master_delay", 20),
        ("garp_master_repeat", 9),
        ("garp_master_refresh", 60),
        ("garp_master_refresh_repeat", 5),
        ("garp_lower_prio_delay", 20),
        ("garp_lower_prio_repeat", 9),
        ("down_timer_adverts", 9),
    ):
        text += maybe(0.3, f" vrrp_{name} {r.randint(1, most)}")
    text += maybe(0.2, " vrrp_min_garp") + maybe(0.2, " vrrp_lower_prio_no_advert")
    text += maybe(0.2, " vrrp_higher_prio_send_advert") + maybe(0.1, " vrrp_strict")
    text += maybe(0.3, " vrrp_mcast_group4 224.0.0.77") + "}\n"
    for vrid in range(1, INSTANCES + 1):
        text += f"vrrp_instance I{vrid} {{\n interface eth{r.randrange(3)}\n virtual_router_id {vrid}\n"
        text += maybe(0.7, f" priority {r.choice((1, 50, 100, 150, 254, 255))}")
        text += maybe(0.4, f" state {r.choice(('MASTER', 'BACKUP'))}")
        text += maybe(0.4, f" version {r.choice((2, 3))}")
        text += maybe(0.7, f" advert_int {r.choice((1, 2, 3, 0.5, 0.05, 1.25, 60))}")
        text += maybe(0.3, " nopreempt") + maybe(0.2, " preempt_delay 12") + maybe(0.1, " preempt")
        text += maybe(0.1, " accept") + maybe(0.1, " no_accept") + maybe(0.1, " strict_mode")
        text += maybe(0.2, f" garp_master_delay {r.randint(0, 9)}") + maybe(
            0.2, f" garp_master_repeat {r.randint(1, 9)}"
        )
        text += maybe(0.2, f" garp_lower_prio_delay {r.randint(0, 9)}")
        text += maybe(0.2, f" garp_lower_prio_repeat {r.randint(0, 9)}")
        text += maybe(0.2, f" garp_master_refresh {r.randint(0, 90)}") + maybe(0.1, " down_timer_adverts 7")
        text += maybe(0.1, " lower_prio_no_advert") + maybe(0.1, " higher_prio_send_advert")
        text += maybe(0.2, " authentication {\n auth_type PASS\n auth_pass secret12\n }")
        text += maybe(0.1, " mcast_dst_ip 224.0.0.99") + maybe(0.1, " promote_secondaries")
        text += " virtual_ipaddress {\n"
        for n in range(r.randint(1, 4)):
            length = r.choice(("", "/24", "/32"))
            text += f"  10.{vrid}.{n}.1{length}" + r.choice(("", " dev eth1", f" label eth9:{vrid}")) + "\n"
        text += " }\n}\n"
    return text


def _dump(namespace: str, path: Path, tmp_path: Path) -> dict[str, dict[str, str]]:
    """Of each instance what keepalived shows."""
    pids = [f"--{name}={tmp_path}/{name}" for name in ("pid", "vrrp_pid")]
    command = ["ip", "netns", "exec", namespace, "keepalived", "-n", "-l", "-d", "-P", *pids, "-f", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    try:
        for raw in process.stdout:
            line = re.sub(r"^\w{3} \w{3} +\d+ [\d:]+ \d{4}: ", "", raw.rstrip())
            if "< Interfaces >" in line:
                break
            name, _, value = line.strip().partition(" = ")
            if name == "VRRP Instance":
                current = found.setdefault(value, {"addresses": ""})
            elif name.startswith("Multicast address"):
                current["group"] = name.split()[-1]
            elif line.startswith("     10."):
                current["addresses"] += line.split()[0] + " "
            elif value:
                current.setdefault(name, value)
    finally:
        process.terminate()
        process.stdout.close()
        process.wait(20)
    return found


def _expected(i: VrrpInstance) -> dict[str, str]:
    """The same from the model, in keepalived's words."""
    settings = i.settings
    seconds = settings.advert_int_ns / SECOND
    return {
        "VRRP Version": str(settings.version),
        "Wantstate": settings.state,
        "Gratuitous ARP delay": str(settings.garp.master_delay_ns // SECOND),
        "Gratuitous ARP repeat": str(settings.garp.master_repeat),
        "Gratuitous ARP refresh": str(settings.garp.master_refresh_ns // SECOND),
        "Gratuitous ARP lower priority delay": str(settings.garp.lower_prio_delay_ns // SECOND),
        "Gratuitous ARP lower priority repeat": str(settings.garp.lower_prio_repeat),
        "Down timer adverts": str(settings.down_timer_adverts),
        "Send advert after receive lower priority advert": str(not settings.lower_prio_no_advert).lower(),
        "Send advert after receive higher priority advert": str(settings.higher_prio_send_advert).lower(),
        "Virtual Router ID": str(i.vrid),
        "Priority": str(i.priority),
        "Advert interval": f"{seconds:.0f} sec"
        if settings.version == 2
        else f"{settings.advert_int_ns // 1_000_000} milli-sec",
        "Accept": "enabled" if settings.accept else "disabled",
        "Preempt": "enabled" if settings.preempt else "disabled",
        "Promote_secondaries": "enabled" if settings.promote_secondaries else "disabled",
        "group": str(settings.mcast_group or "224.0.0.18"),
        "addresses": "".join(
            f"{a.address}{'' if a.prefixlen == 32 else f'/{a.prefixlen}'} " for a in i.addresses
        ),
    }


@pytest.mark.parametrize("seed", range(4))
def test_every_value_is_keepaliveds(namespace: str, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "keepalived.conf"
    path.write_text(_file(seed))
    dumped = _dump(namespace, path, tmp_path)
    result = load(path)
    assert result.config is not None, [d.render() for d in result.diagnostics if d.severity == "error"]
    assert len(dumped) == len(result.config.instances) == INSTANCES
    wrong = []
    for instance in result.config.instances:
        theirs, ours = dumped[instance.name], _expected(instance)
        for name, value in ours.items():
            if theirs.get(name) != value:
                wrong.append(f"{instance.name} {name}: keepalived {theirs.get(name)}, fastha {value}")
    assert not wrong, "\n".join(wrong)
