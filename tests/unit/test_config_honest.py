"""No setting is read and then forgotten: what no other part of the daemon uses, its keyword admits."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import msgspec
import pytest

import fastha
from fastha.config import load, model, model_bfd, model_lvs
from fastha.config import reference as reference  # noqa: PLC0414  (declares the tables)
from fastha.config.keywords import TABLES

SOURCES = Path(fastha.__file__).parent

#: Fields of the model that nothing outside of config/ reads, and the keyword that says so.
UNUSED = {
    "Globals.use_pid_dir": ("root", "use_pid_dir"),
    "Globals.child_wait_time_s": ("root", "child_wait_time"),
    "Globals.fifo_write_vrrp_states_on_reload": ("global_defs", "fifo_write_vrrp_states_on_reload"),
    "Globals.log_unknown_vrids": ("global_defs", "log_unknown_vrids"),
    "Globals.rx_bufs_policy": ("global_defs", "vrrp_rx_bufs_policy"),
    "Globals.rx_bufs_multiplier": ("global_defs", "vrrp_rx_bufs_multiplier"),
    "Globals.netlink_monitor_rcv_bufs": ("global_defs", "vrrp_netlink_monitor_rcv_bufs"),
    "Globals.reload_check_config": ("global_defs", "reload_check_config"),
    "Globals.reload_check_config_log": ("global_defs", "reload_check_config"),
    "Globals.config_save_dir": ("global_defs", "config_save_dir"),
    "Globals.dbus": ("global_defs", "enable_dbus"),
    "Globals.dbus_service_name": ("global_defs", "dbus_service_name"),
    "ProcessSettings.nice": ("global_defs", "vrrp_priority"),
    "ProcessSettings.rlimit_rttime_us": ("global_defs", "vrrp_rlimit_rttime"),
    "Garp.extra_if_ns": ("vrrp_instance", "garp_extra_if"),
    "Garp.extra_if_all": ("vrrp_instance", "garp_extra_if"),
}
#: Fields that are as they should be, and why.
FINE = {
    "BfdInstance.to_vrrp": "who may name a session is checked when the configuration is read",
    "BfdInstance.to_checker": "likewise",
    "Globals.dynamic_interfaces": "fastha always allows it",
    "Globals.dynamic_interfaces_allow_if_changes": "fastha always allows it",
    "ProcessSettings.no_swap": "the engine's memory is always locked, where permitted",
    "Globals.random_seed": "used while the text is expanded",
    "Vmac.netlink_notify_msg": "a note of its own (below)",
}


@functools.cache
def _unread() -> set[str]:
    text = "\n".join(
        f.read_text()
        for f in SOURCES.rglob("*.py")
        if f.parent.name not in ("config", "lab") and f.name != "preflight.py"
    )
    found: set[str] = set()
    for module in (model, model_lvs, model_bfd):
        for name, kind in vars(module).items():
            if not isinstance(kind, type) or not issubclass(kind, msgspec.Struct):
                continue
            own = vars(kind).get("__annotations__", {})
            for field in set(kind.__struct_fields__) & set(own) - {"span", "text", "line", "column"}:
                if not re.search(rf"\.{field}\b|\"{field}\"", text):
                    found.add(f"{name}.{field}")
    return found


def test_what_nothing_uses_is_known() -> None:
    known = {n for n in _unread() if n in UNUSED or n in FINE}
    assert _unread() - known == set()


@pytest.mark.parametrize("field", sorted(UNUSED))
def test_what_nothing_uses_its_keyword_admits(field: str) -> None:
    if field not in _unread():
        pytest.fail(f"{field} is used now: take it out of this table, and the status off its keyword")
    table, name = UNUSED[field]
    assert TABLES[table][name].status in ("parsed", "ignored", "deprecated")


@pytest.mark.parametrize(
    ("line", "severity"),
    [("use_vmac netlink_notify_msg", "note")],
)
def test_words_within_a_line_are_told_too(line: str, severity: str) -> None:
    text = f"vrrp_instance A {{\ninterface e\nvirtual_router_id 1\nno_virtual_ipaddress\n{line}\n}}\n"
    said = [d for d in load("-", text=text).diagnostics if d.code == "FH0111"]
    assert severity in {d.severity for d in said}


def test_a_seed_makes_random_numbers_repeat() -> None:
    text = "global_defs {\nrandom_seed 7\n}\nvrrp_instance A {\ninterface e\nno_virtual_ipaddress\n"
    text += "virtual_router_id ${_RANDOM 1 255}\npriority ${_RANDOM 1 254}\n}\n"
    drawn = set()
    for _ in range(5):
        config = load("-", text=text).config
        assert config is not None
        drawn.add((config.instances[0].vrid, config.instances[0].priority))
    assert len(drawn) == 1
