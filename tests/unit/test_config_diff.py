"""The difference between two configurations, as an operator reads it before a reload."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fastha.cli.main import cli
from fastha.config import load
from fastha.config.diff import Change, compare, identity, server_name
from fastha.config.model import Config
from fastha.lvs.service import VirtualState
from fastha.vrrp.running import identity as daemon_identity

BASE = """
global_defs { router_id r1 }
vrrp_script chk { script "/bin/true" weight -20 }
vrrp_script other { script "/bin/false" }
vrrp_instance A {
    interface eth0
    virtual_router_id 10
    priority 100
    advert_int 1
    authentication { auth_type PASS
        auth_pass secret }
    virtual_ipaddress {
        192.0.2.1/24
        192.0.2.2/24
    }
    track_script { chk }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 11
    virtual_ipaddress { 192.0.2.9/24 }
}
virtual_server 192.0.2.1 80 {
    protocol TCP
    lvs_sched rr
    lvs_method NAT
    real_server 10.0.0.1 80 { TCP_CHECK { } }
    real_server 10.0.0.2 80 { TCP_CHECK { } }
}
"""


def model(text: str) -> Config:
    result = load("-", text=text.replace("{ ", "{\n").replace(" }", "\n}").replace('" w', '"\nw'))
    assert result.config is not None, [d.render() for d in result.diagnostics]
    return result.config


def changed(*swaps: tuple[str, str]) -> tuple[Change, ...]:
    text = BASE
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    return compare(model(BASE), model(text))


def only(*swaps: tuple[str, str]) -> Change:
    found = changed(*swaps)
    assert len(found) == 1, [c.render() for c in found]
    return found[0]


def test_a_file_is_no_change_of_itself_wherever_its_lines_are() -> None:
    assert compare(model(BASE), model("# a comment\n\n" + BASE)) == ()


def test_a_priority_says_that_the_role_may_move() -> None:
    change = only(("priority 100", "priority 90"))
    assert (change.action, change.kind, change.name) == ("changed", "vrrp_instance", "A")
    assert change.details == ("priority 100 -> 90",)
    assert "down" in change.effect


def test_an_interval_is_told_in_seconds() -> None:
    change = only(("advert_int 1", "advert_int 3"))
    assert change.details == ("advert_int 1 s -> 3 s",)
    assert "refuses" in change.effect


def test_an_address_that_goes_is_named() -> None:
    change = only(("192.0.2.2/24\n", "192.0.2.3/24\n"))
    assert change.details == ("- virtual_ipaddress 192.0.2.2/24", "+ virtual_ipaddress 192.0.2.3/24")
    assert "192.0.2.2 no longer answers" in change.effect


def test_the_order_of_addresses_is_a_change_of_order() -> None:
    change = only(("192.0.2.1/24\n        192.0.2.2/24", "192.0.2.2/24\n        192.0.2.1/24"))
    assert change.details == ("virtual_ipaddress: another order",)


def test_a_password_is_never_printed() -> None:
    change = only(("secret", "hidden"))
    text = change.render()
    assert "auth_pass changes" in text
    assert "secret" not in text
    assert "hidden" not in text
    assert "until all agree" in text


def test_another_vrid_is_another_virtual_router() -> None:
    removed, added = changed(("virtual_router_id 10", "virtual_router_id 12"))
    assert (removed.action, removed.name) == ("removed", "A")
    assert (added.action, added.name) == ("added", "A")
    assert "another virtual router" in added.effect


def test_a_new_name_is_no_new_router() -> None:
    change = only(("vrrp_instance B", "vrrp_instance C"))
    assert change.name == "B (now C)"
    assert "misses no advert" in change.effect


def test_what_is_tracked_comes_and_goes() -> None:
    change = only(("track_script { chk }", "track_script { other }"))
    assert change.details == ("- track_script chk", "+ track_script other")


def test_a_script_that_changes() -> None:
    change = only(("weight -20", "weight -30"))
    assert (change.kind, change.name) == ("vrrp_script", "chk")
    assert change.details == ("weight -20 -> -30",)


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("lvs_sched rr", "lvs_sched wrr", "lvs_sched rr -> wrr"),
        ("real_server 10.0.0.2 80", "real_server 10.0.0.3 80", "- real_server 10.0.0.2:80"),
        (
            "10.0.0.2 80 { TCP_CHECK { } }",
            "10.0.0.2 80 { TCP_CHECK { }\nweight 5\n}",
            "real_server 10.0.0.2:80: weight 1 -> 5",
        ),
    ],
)
def test_a_virtual_server_says_what_changes_in_it(old: str, new: str, detail: str) -> None:
    change = only((old, new))
    assert (change.kind, change.name) == ("virtual_server", "192.0.2.1:80 TCP")
    assert detail in change.details


def test_a_virtual_server_that_goes_and_one_that_comes() -> None:
    removed, added = changed(("virtual_server 192.0.2.1 80", "virtual_server 192.0.2.1 443"))
    assert removed.render().startswith("virtual_server 192.0.2.1:80 TCP is removed")
    assert added.details == ("2 real servers",)


def test_settings_that_need_a_restart_are_called_so() -> None:
    change = only(("router_id r1", "router_id r1\nfastha_control_socket /run/x.sock"))
    assert change.kind == "global_defs"
    assert "started anew" in change.effect


def _run(tmp_path: Path, new: str, *options: str) -> Result:
    (tmp_path / "old").write_text("vrrp_instance A {\ninterface e\nvirtual_router_id 1\npriority 9\n}\n")
    (tmp_path / "new").write_text(new)
    return CliRunner().invoke(cli, ["config", "diff", *options, str(tmp_path / "old"), str(tmp_path / "new")])


def test_the_command_says_nothing_changes(tmp_path: Path) -> None:
    text = "vrrp_instance A {\n  priority 9\n  interface e\n  virtual_router_id 1\n}\n"
    result = _run(tmp_path, text)
    assert (result.exit_code, result.output) == (0, "nothing changes\n")


def test_the_command_tells_changes_by_its_exit_code_and_as_json(tmp_path: Path) -> None:
    text = "vrrp_instance A {\ninterface e\nvirtual_router_id 1\npriority 8\n}\n"
    assert _run(tmp_path, text).exit_code == 1
    (change,) = json.loads(_run(tmp_path, text, "--json").output)
    assert change["name"] == "A"
    assert change["details"] == ["priority 9 -> 8"]


def test_the_command_refuses_a_file_with_errors(tmp_path: Path) -> None:
    result = _run(tmp_path, "vrrp_instance A {\n}\n")
    assert result.exit_code == 2
    assert "FH0202" in result.output


INSTANCES = [
    "",
    "priority 9",
    "virtual_router_id 2",
    "interface f",
    "mcast_dst_ip 224.0.0.9",
    "unicast_src_ip 192.0.2.7",
    "unicast_src_ip 192.0.2.8",
    "unicast_peer {\n192.0.2.9\n}",
    "use_vmac",
    "use_vmac other",
    "use_ipvlan",
    "version 3",
    "virtual_ipaddress {\n2001:db8::1\n}",
]


def test_what_is_the_same_instance_here_is_the_same_for_the_daemon() -> None:
    made = []
    for line in INSTANCES:
        text = f"vrrp_instance A {{\ninterface e\nvirtual_router_id 1\nno_virtual_ipaddress\n{line}\n}}\n"
        config = load("-", text=text).config
        assert config is not None
        made.append(config.instances[0])
    told = [[identity(a) == identity(b) for b in made] for a in made]
    done = [[daemon_identity(a) == daemon_identity(b) for b in made] for a in made]
    assert told == done
    assert sum(told[0]) > 1  # a priority is no new instance
    assert not all(told[0])


def test_what_is_the_same_virtual_server_here_is_the_same_for_the_daemon() -> None:
    heads = [
        ("192.0.2.1 80", "protocol TCP"),
        ("192.0.2.1 80", "protocol UDP"),
        ("192.0.2.1 81", "protocol TCP"),
        ("192.0.2.2 80", "protocol TCP"),
        ("fwmark 3", ""),
        ("fwmark 3", "ip_family inet6"),
        ("fwmark 4", "quorum 2"),
        ("group g", "protocol TCP"),
        ("group g", "protocol UDP"),
    ]
    made = []
    for head, line in heads:
        real = "2001:db8::9 80" if "inet6" in line else "10.0.0.1 80"
        text = "virtual_server_group g {\n192.0.2.5 80\n}\n"
        text += f"virtual_server {head} {{\n{line}\nlvs_method TUN\nreal_server {real} {{\n}}\n}}\n"
        config = load("-", text=text).config
        assert config is not None
        made.append(config.lvs.virtual_servers[0])
    names = [server_name(s) for s in made]
    keys = [VirtualState(s).key for s in made]
    assert len(set(names)) == len(set(keys)) == len(heads)
