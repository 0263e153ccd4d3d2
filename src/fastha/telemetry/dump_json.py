"""keepalived's JSON dump (SIGRTMIN+2): same keys, same order, same number and text forms, so that
exporters go on.

Version 1 is a list of instances; version 2 (`json_version 2`) an object with `vrrp` and `track_process`.
With no instance nothing is written. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from fastha.telemetry.snapshot import (
    DaemonSnapshot,
    InstanceSnapshot,
    InstanceStats,
    ProcessSnapshot,
    StateCode,
)

Pairs = list[tuple[str, str]]


def dump_json(snapshot: DaemonSnapshot, version: int = 1) -> str | None:
    """The text of keepalived.json without a line end; None when there is no instance."""
    if not snapshot.instances:
        return None
    instances = _array(
        _object([("data", _data(instance)), ("stats", _stats(instance.stats))])
        for instance in snapshot.instances
    )
    if version < 2:
        return instances
    processes = _array(_process(process) for process in snapshot.processes)
    return _object([("vrrp", instances), ("track_process", processes)])


def quoted_command(words: Iterable[str]) -> str:
    """A command as keepalived prints it: every word in single quotes."""
    return " ".join(f"'{word}'" for word in words)


def _data(instance: InstanceSnapshot) -> str:
    number, flag, switch, text = _number, _flag, _switch, _text
    pairs: Pairs = [
        ("iname", text(instance.iname)),
        ("dont_track_primary", flag(instance.dont_track_primary)),
        ("skip_check_adv_addr", flag(instance.skip_check_adv_addr)),
        ("strict_mode", flag(instance.strict_mode)),
        ("vmac_ifname", text(instance.vmac_ifname)),
    ]
    if instance.ifname:
        pairs.append(("ifp_ifname", text(instance.ifname)))
    pairs += [
        ("master_priority", number(instance.master_priority)),
        ("last_transition", f"{instance.last_transition:f}"),
        ("garp_delay", number(instance.garp_delay)),
        ("garp_refresh", number(instance.garp_refresh)),
        ("garp_rep", number(instance.garp_rep)),
        ("garp_refresh_rep", number(instance.garp_refresh_rep)),
        ("garp_lower_prio_delay", number(instance.garp_lower_prio_delay)),
        ("garp_lower_prio_rep", number(instance.garp_lower_prio_rep)),
        ("lower_prio_no_advert", flag(instance.lower_prio_no_advert)),
        ("higher_prio_send_advert", flag(instance.higher_prio_send_advert)),
        ("vrid", number(instance.vrid)),
        ("base_priority", number(instance.base_priority)),
        ("effective_priority", number(instance.effective_priority)),
        ("vipset", switch(instance.vipset)),
        ("promote_secondaries", switch(instance.promote_secondaries)),
        ("adver_int", number(instance.adver_int)),
        ("master_adver_int", number(instance.master_adver_int)),
        ("accept", flag(instance.accept)),
        ("nopreempt", switch(instance.nopreempt)),
        ("preempt_delay", number(int(instance.preempt_delay))),
        ("state", number(_code(instance.state))),
        ("wantstate", number(_code(instance.wantstate))),
        ("version", number(instance.version)),
        ("smtp_alert", switch(instance.smtp_alert)),
        ("notify_deleted", switch(instance.notify_deleted)),
    ]
    scripts = (
        ("script_backup", instance.script_backup),
        ("script_master", instance.script_master),
        ("script_fault", instance.script_fault),
        ("script_stop", instance.script_stop),
        ("script_deleted", instance.script_deleted),
        ("script", instance.script),
        ("script_master_rx_lower_pri", instance.script_master_rx_lower_pri),
    )
    pairs += [(name, text(quoted_command(words))) for name, words in scripts if words]
    lists: tuple[tuple[str, list[str]], ...] = (
        ("vips", list(instance.vips)),
        ("evips", list(instance.evips)),
        ("vroutes", list(instance.vroutes)),
        ("vrules", list(instance.vrules)),
        ("track_ifp", [tracked.name for tracked in instance.track_ifp]),
        ("track_script", [tracked.command or tracked.name for tracked in instance.track_script]),
        ("track_process", [tracked.name for tracked in instance.track_process]),
    )
    pairs += [(name, _array(map(text, values))) for name, values in lists if values]
    pairs.append(("auth_type", number(instance.auth_type)))
    if instance.has_auth_data:
        pairs.append(("auth_data", text("********")))
    # fastha's own, behind everything that keepalived writes: tells maintenance from a fault
    pairs.append(("fastha_state", text(instance.state.name)))
    return _object(pairs)


def _stats(stats: InstanceStats) -> str:
    return _object((name, _number(getattr(stats, name))) for name in InstanceStats.__struct_fields__)


def _process(process: ProcessSnapshot) -> str:
    pairs: Pairs = [
        ("process", _text(process.process)),
        ("parameters", _text(" ".join(process.parameters))),
        ("param_match", _text(process.param_match)),
        ("min_processes", _number(process.min_processes)),
    ]
    if process.max_processes is not None:
        pairs.append(("max_processes", _number(process.max_processes)))
    pairs += [
        ("current_processes", _number(process.current_processes)),
        ("have_quorum", _switch(process.have_quorum)),
        ("weight", _number(process.weight)),
        ("terminate_delay", _number(process.terminate_delay)),
        ("fork_delay", _number(process.fork_delay)),
        ("fork_delay_timer_running", _switch(process.fork_delay_timer_running)),
        ("terminate_delay_timer_running", _switch(process.terminate_delay_timer_running)),
        ("full_command", _switch(process.full_command)),
    ]
    return _object(pairs)


def _object(pairs: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"


def _array(values: Iterable[str]) -> str:
    return "[" + ",".join(values) + "]"


def _code(state: StateCode) -> int:
    """Readers made for keepalived know no MAINT: to them it is a FAULT."""
    return StateCode.FAULT.value if state is StateCode.MAINT else state.value


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("/", "\\/")


def _number(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else f"{value:g}"


def _flag(value: bool) -> str:
    """A truth value that keepalived writes as a number."""
    return "1" if value else "0"


def _switch(value: bool) -> str:
    """A truth value that keepalived writes as one."""
    return "true" if value else "false"
