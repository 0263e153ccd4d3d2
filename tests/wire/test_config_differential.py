"""The language beside keepalived itself: every keyword of every block with good, bad and missing words, given
to `keepalived -t` and to fastha. Both are content, complain, or refuse; where they differ, a row says why.

keepalived runs in a network namespace that has the interfaces eth0 to eth2. The whole set (about 6,000 files,
over a minute) runs with FASTHA_DIFFERENTIAL=all; otherwise a sample does, another one each day.
"""

from __future__ import annotations

import datetime
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastha.config import load
from fastha.config.keywords import TABLES

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("keepalived") is None, reason="root and keepalived"),
]

SAMPLE = 450
INSTANCE = (
    "vrrp_instance A {\n interface eth0\n virtual_router_id 5\n priority 50\n"
    " virtual_ipaddress {\n 10.0.0.1/24\n }\n@@\n}\n"
)
OTHER = INSTANCE.replace("A {", "B {").replace("id 5", "id 6").replace("10.0.0.1", "10.0.0.9")
PLAIN, PLAIN_B = INSTANCE.replace("@@", ""), OTHER.replace("@@", "")
SERVICE = (
    "virtual_server 10.0.0.1 80 {{\n lvs_sched wlc\n lvs_method NAT\n protocol TCP\n{0}\n"
    " real_server 10.0.0.2 80 {{\n{1}\n {3} {{\n{2}\n }}\n }}\n}}\n"
)


def _check(kind: str, before: str = "") -> str:
    return SERVICE.format("", "", f"{before}\n@@", kind)


#: Where the line of a keyword goes, by table.
FILES = {
    "root": "@@\n",
    "global_defs": "global_defs {\n@@\n}\n" + PLAIN,
    "vrrp_instance": INSTANCE,
    "vrrp_script": "vrrp_script s {\n script /bin/true\n@@\n}\n"
    + INSTANCE.replace("@@", "track_script {\n s\n }"),
    "vrrp_track_process": "vrrp_track_process s {\n process x\n@@\n}\n"
    + INSTANCE.replace("@@", "track_process {\n s\n }"),
    "track_file": "track_file s {\n file /tmp/x\n@@\n}\n" + INSTANCE.replace("@@", "track_file {\n s\n }"),
    "authentication": INSTANCE.replace("@@", "authentication {\n auth_type PASS\n auth_pass abc\n@@\n }"),
    "vrrp_sync_group": PLAIN + PLAIN_B + "vrrp_sync_group G {\n group {\n A\n B\n }\n@@\n}\n",
    "bfd_instance": "bfd_instance b {\n neighbor_ip 10.0.0.7\n@@\n}\n",
    "garp_group": "garp_group {\n interface eth0\n garp_interval 1\n@@\n}\n" + PLAIN,
    "SSL": "SSL {\n@@\n}\n",
    "virtual_server": SERVICE.format("@@", "", "", "TCP_CHECK"),
    "real_server": SERVICE.format("", "@@", "", "TCP_CHECK"),
    "MISC_CHECK": _check("MISC_CHECK", "misc_path /bin/true"),
    "url": SERVICE.format("", "", " url {\n path /\n@@\n }", "HTTP_GET"),
    **{kind: _check(kind) for kind in ("TCP_CHECK", "UDP_CHECK", "PING_CHECK", "SMTP_CHECK", "DNS_CHECK")},
    **{kind: _check(kind, "url {\n path /\n }") for kind in ("HTTP_GET", "SSL_GET")},
}
VALUES = (
    "",
    "foo",
    "0",
    "-1",
    "1",
    "99999999999",
    "1.5",
    "on",
    "1 2",
    "/bin/true",
    "10.0.0.5",
    "fe80::5",
    "eth1",
)
#: Keywords that would change how keepalived itself runs here, and not only what it says.
NOT_TRIED = {
    "instance",
    "net_namespace",
    "net_namespace_ipvs",
    "namespace_with_ipsets",
    "use_pid_dir",
    "child_wait_time",
    "reload_file",
    "config_save_dir",
}
#: What keepalived says of the machine and not of the file: scripts, users and names that this one lacks.
MACHINE = re.compile(
    r"SECURITY VIOLATION|not found/accessible|default user|uid/gid|insecure|Unable to access|NOTICE|"
    r"No such file|is not used|doesn't exist|unknown interface|interface \S+ already exists|^\s*$"
)
STOPS = re.compile(r"must be set$|at least one is required|both use VRID|Unknown interface!")
#: `table.keyword value` as a pattern, and why fastha says something else.
DIFFERENCES = {
    r"\S+ 99999999999": "times that do not fit: keepalived overflows in silence, fastha says so",
    r"\w+\.(static_routes|virtual_routes) [01]": "keepalived takes a bare 0 or 1 for a keyword and ends",
    r"global_defs\.smtp_server ": "keepalived asks the resolver while it reads; fastha when it sends",
    r"\w+\.(smtp_connect_timeout|interval|timeout|misc_timeout) 1\.5": "2.2.7 has whole seconds",
    r"global_defs\.lvs_sync_daemon ": "fastha says that the instance does not exist",
    r"global_defs\.vrrp_iptables": "Debian builds keepalived without iptables",
    r"global_defs\.\w+_cpu_affinity ": "keepalived compares with the CPUs of this machine",
    r"global_defs\.(snmp_socket|umask|reload_time_file|vrrp_rx_bufs_multiplier) 1 2": "a word too many",
    r"\w+\.kernel_rx_buf_size 1 2": "a word too many",
    r"global_defs\.vrrp_rx_bufs_policy ": "ignored: fastha sizes its own buffers, and says so",
    r"vrrp_instance\.use_ipvlan ": "the family of the device's address is found when it is made",
    r"global_defs\.\w+_script 1 2": "keepalived looks for the script on this machine",
    r"vrrp_script\.user ": "users are looked up when the daemon starts, not by a check",
    r"vrrp_track_process\.process ": "keepalived's own limit on how short a name may be",
    r"vrrp_sync_group\.group ": "two lists of members are joined",
    r"bfd_instance\.neighbou?r_ip ": "2.2.7 crashes, or says nothing of a link-local neighbour",
    r"virtual_server\.persistence_granularity ": "2.2.7 takes what is no netmask",
    r"garp_group\.": "a group that limits nothing is told",
    r"UDP_CHECK\.(payload|require_reply) ": "2.2.7 takes an odd number of digits",
    r"SMTP_CHECK\.bindto ": "2.2.7 does not compare the families here",
    r"DNS_CHECK\.name ": "2.2.7 takes a number for a name with an empty label",
    r"root\.linkbeat_interfaces ": "a method that is none is told",
    r"url\.regex": "Debian builds keepalived without regular expressions",
}


def _cases() -> list[tuple[str, str, str, str]]:
    found = []
    for table, text in FILES.items():
        for keyword in TABLES[table].values():
            if keyword.extension or keyword.kind == "block" or keyword.name in NOT_TRIED:
                continue
            for value in VALUES:
                line = f"{keyword.name} {value}"
                if keyword.kind in ("lines", "track"):
                    line = f"{keyword.name} {{\n{value}\n}}"
                found.append((table, keyword.name, value, text.replace("@@", line)))
    return found


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"cfg-diff-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for at in range(3):
            ip = ["ip", "-n", name, "link"]
            subprocess.run([*ip, "add", f"eth{at}", "type", "veth", "peer", "name", f"p{at}"], check=True)
            subprocess.run([*ip, "set", f"eth{at}", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def _keepalived(namespace: str, path: Path) -> tuple[str, list[str]]:
    command = ["ip", "netns", "exec", namespace, "timeout", "10", "keepalived", "-t", "-l", "-f", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = [line for line in (run.stdout + run.stderr).splitlines() if not MACHINE.search(line)]
    if "Non-existent interface" in run.stderr + run.stdout:
        return "machine", said
    if run.returncode in (124, 134, 139) or run.returncode < 0:
        return "crashes", said
    if run.returncode == 2 or any(STOPS.search(line) for line in said):
        return "refused", said
    return ("complaints" if said else "clean"), said


def test_every_keyword_beside_keepalived(namespace: str, tmp_path: Path) -> None:
    cases = _cases()
    if os.environ.get("FASTHA_DIFFERENTIAL") != "all":
        cases = random.Random(datetime.date.today().toordinal()).sample(cases, SAMPLE)

    def one(at: int) -> str:
        table, keyword, value, text = cases[at]
        path = tmp_path / f"{at}.conf"
        path.write_text(text)
        theirs, said = _keepalived(namespace, path)
        newer = any(f"nknown keyword '{keyword}'" in line for line in said)
        if newer or theirs in ("machine", "crashes"):
            return ""
        result = load(path)
        found = {d.severity for d in result.diagnostics if d.code != "FH0111"}
        ours = "refused" if "error" in found else "complaints" if "warning" in found else "clean"
        name = f"{table}.{keyword} {value}"
        if ours == theirs or any(re.match(pattern, name) for pattern in DIFFERENCES):
            return ""
        told = [d.message for d in result.diagnostics if d.severity != "note"]
        return f"{name}: keepalived {theirs} {said[:2]}, fastha {ours} {told[:2]}"

    with ThreadPoolExecutor(2) as pool:
        different = [line for line in pool.map(one, range(len(cases))) if line]
    assert not different, "\n".join(different)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN + PLAIN.replace("A {", "B {"), "refused"),  # the same VRID twice
        (PLAIN + PLAIN, "complaints"),  # the same name twice: the second one is left out
        (PLAIN.replace("virtual_router_id 5\n", ""), "refused"),
        (PLAIN.replace("interface eth0\n", ""), "refused"),
        (PLAIN.replace("priority", "version 3\npriority").replace("10.0.0.1/24", ""), "refused"),
        (PLAIN.replace("10.0.0.1/24", ""), "complaints"),
        (PLAIN.replace("vrrp_instance A", "vrrp_instance"), "complaints"),
        (PLAIN + "}\n", "complaints"),
        (PLAIN.replace("A {", "A\n{"), "clean"),
        (PLAIN.replace(" ", "\t").replace("\n", "\r\n"), "clean"),
        ("\ufeff" + "! nothing\n" + PLAIN, "complaints"),
        ("$R=5\n" + PLAIN.replace("id 5", "id $R"), "clean"),
        ("$R=5\n" + PLAIN.replace("id 5", "id ${R}"), "clean"),
        ("@^other $R=5\n@other $R=x\n" + PLAIN.replace("id 5", "id $R"), "clean"),
        ("$I= \\\n interface eth0 \\\n priority 9\n" + PLAIN.replace("interface eth0", "$I"), "clean"),
        (PLAIN.replace(" 10.0.0.1/24", "~SEQ(i,1,9) 10.0.0.${i}/24"), "clean"),
        (PLAIN.replace(" 10.0.0.1/24", "~LST(i,1,5,7) ~SEQ(j,1,3) 10.0.${j}.${i}/24"), "clean"),
        (PLAIN.replace(" 10.0.0.1/24", "~LST({i,j},{1,2},{3,4}) 10.0.${j}.${i}/24"), "clean"),
        (PLAIN.replace(" 10.0.0.1/24", "~SEQ(i,x,9) 10.0.0.${i}/24\n10.0.0.1"), "complaints"),
        ("x" * 2000 + "\n" + PLAIN, "complaints"),
        ("include /nonexistent/*.conf\n" + PLAIN, "clean"),
        ("includem /nonexistent.conf\n" + PLAIN, "refused"),
    ],
)  # fmt: skip
def test_whole_files_beside_keepalived(namespace: str, tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "keepalived.conf"
    path.write_text(text, newline="")
    theirs, said = _keepalived(namespace, path)
    found = {d.severity for d in load(path, config_id="this").diagnostics}
    ours = "refused" if "error" in found else "complaints" if "warning" in found else "clean"
    if "Config files missing" in "".join(said):  # which keepalived says by its exit status: 0, or 4 and above
        theirs = expected
    assert (theirs, ours) == (expected, expected), said
