"""keepalived's text dumps: keepalived.data (SIGUSR1) and keepalived.stats (SIGUSR2), with its headings and
labels.

keepalived does not promise these to stay the same, but scripts and exporters read them, so the lines that
they look for are written as keepalived writes them. Lines of fastha's own come last in each part. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from fastha.telemetry.dump_json import quoted_command
from fastha.telemetry.snapshot import (
    DaemonSnapshot,
    FileSnapshot,
    GroupSnapshot,
    InstanceSnapshot,
    ProcessSnapshot,
    ScriptSnapshot,
    StateCode,
    TrackedBy,
)

_AUTH_TYPES = {1: "SIMPLE_PASSWORD", 2: "IPSEC_AH"}


def dump_stats(snapshot: DaemonSnapshot) -> str:
    """The text of keepalived.stats."""
    lines: list[str] = []
    for instance in snapshot.instances:
        s = instance.stats
        lines += [
            f"VRRP Instance: {instance.iname}",
            "  Advertisements:",
            f"    Received: {s.advert_rcvd}",
            f"    Sent: {s.advert_sent}",
            f"  Became master: {s.become_master}",
            f"  Released master: {s.release_master}",
            "  Packet Errors:",
            f"    Length: {s.packet_len_err}",
            f"    TTL: {s.ip_ttl_err}",
            f"    Invalid Type: {s.invalid_type_rcvd}",
            f"    Advertisement Interval: {s.advert_interval_err}",
            f"    Address List: {s.addr_list_err}",
            "  Authentication Errors:",
            f"    Invalid Type: {s.invalid_authtype}",
            f"    Type Mismatch: {s.authtype_mismatch}",
            f"    Failure: {s.auth_failure}",
            "  Authentication Extension Errors:",
            f"    Missing: {s.auth_ext_missing}",
            f"    Malformed: {s.auth_ext_malformed}",
            f"    Unknown Key: {s.auth_ext_unknown_key}",
            f"    Invalid HMAC: {s.auth_ext_invalid_hmac}",
            f"    Stale: {s.auth_ext_stale}",
            f"    Replay: {s.auth_ext_replay}",
            "  Priority Zero:",
            f"    Received: {s.pri_zero_rcvd}",
            f"    Sent: {s.pri_zero_sent}",
        ]
    return _text(lines)


def dump_data(snapshot: DaemonSnapshot) -> str:
    """The text of keepalived.data."""
    lines = ["------< Global definitions >------"]
    if snapshot.router_id:
        lines.append(f" Router ID = {snapshot.router_id}")
    lines += [f" {name} = {value}" for name, value in snapshot.settings]
    lines.append("------< VRRP Topology >------")
    for instance in snapshot.instances:
        lines += _instance(instance)
    if snapshot.groups:
        lines.append("------< VRRP Sync groups >------")
        for group in snapshot.groups:
            lines += _group(group)
    if snapshot.scripts:
        lines.append("------< VRRP Scripts >------")
        for script in snapshot.scripts:
            lines += _script(script)
    if snapshot.files:
        lines.append("------< VRRP Track files >------")
        for file in snapshot.files:
            lines += _file(file)
    if snapshot.processes:
        lines.append("------< VRRP Track processes >------")
        for process in snapshot.processes:
            lines += _process(process)
    return _text(lines)


def _instance(i: InstanceSnapshot) -> list[str]:
    lines = [f" VRRP Instance = {i.iname}", f"   VRRP Version = {i.version}"]
    if i.sync_group:
        lines.append(f"   Sync group = {i.sync_group}")
    lines.append(f"   State = {_state(i.state)}")
    if i.state is StateCode.BACKUP:
        lines += [
            f"   Master router = {i.master_address or '0.0.0.0'}",  # noqa: S104 - a text, not a socket
            f"   Master priority = {i.master_priority}",
        ]
    lines += [
        f"   Wantstate = {_state(i.wantstate)}",
        f"   Number of interface and track script faults = {len(i.fault_reasons)}",
        f"   Number of track scripts init = {i.not_run_scripts}",
        f"   Last transition = {_moment(i.last_transition)}",
        f"   Master down timer = {i.master_down_timer_us} usecs",
        f"   Interface = {i.ifname}",
    ]
    if i.vmac_ifname:
        lines.append(f"   VMAC interface = {i.vmac_ifname}")
    if i.source_address:
        lines.append(f"   Using src_ip = {i.source_address}")
    if i.multicast_address:
        lines.append(f"   Multicast address {i.multicast_address}")
    lines += [
        f"   Gratuitous ARP delay = {i.garp_delay:g}",
        f"   Gratuitous ARP repeat = {i.garp_rep}",
        f"   Gratuitous ARP refresh = {i.garp_refresh:g}",
        f"   Gratuitous ARP refresh repeat = {i.garp_refresh_rep}",
        f"   Gratuitous ARP lower priority delay = {i.garp_lower_prio_delay:g}",
        f"   Gratuitous ARP lower priority repeat = {i.garp_lower_prio_rep}",
        f"   Down timer adverts = {i.down_timer_adverts}",
        f"   Send advert after receive lower priority advert = {_bool(not i.lower_prio_no_advert)}",
        f"   Send advert after receive higher priority advert = {_bool(i.higher_prio_send_advert)}",
        f"   Virtual Router ID = {i.vrid}",
        f"   Priority = {i.base_priority}",
        f"   Effective priority = {i.effective_priority}",
        f"   Advert interval = {_interval(i)}",
        f"   Accept = {_able(i.accept)}",
        f"   Preempt = {_able(not i.nopreempt)}",
    ]
    if i.preempt_delay:
        lines.append(f"   Preempt delay = {i.preempt_delay:g} secs")
    lines.append(f"   Promote_secondaries = {_able(i.promote_secondaries)}")
    if i.auth_type:
        lines.append(f"   Authentication type = {_AUTH_TYPES.get(i.auth_type, i.auth_type)}")
        if i.has_auth_data:
            lines.append("   Password = ********")
    elif i.version == 2:
        lines.append("   Authentication type = none")
    lines += _listed(f"Virtual IP ({len(i.vips)}):", i.vips)
    lines += _listed("Virtual IP Excluded :", i.evips)
    if i.unicast_peers:
        lines.append(f"   Unicast TTL = {i.unicast_ttl}")
    lines += _listed("Unicast Peer :", i.unicast_peers)
    lines += _listed("Virtual Routes :", i.vroutes)
    lines += _listed("Virtual Rules :", i.vrules)
    lines += _listed("Tracked interfaces :", map(_tracked, i.track_ifp))
    lines += _listed("Tracked scripts :", map(_tracked, i.track_script))
    lines += _listed("Tracked files :", map(_tracked_comma, i.track_file))
    lines += _listed("Tracked processes :", map(_tracked_comma, i.track_process))
    lines += _listed("Tracked BFDs :", map(_tracked, i.track_bfd))
    lines += [
        f"   Using smtp notification = {_yes(i.smtp_alert)}",
        f"   Notify deleted = {'Deleted' if i.notify_deleted else 'Fault'}",
    ]
    lines += _scripts(
        ("Backup", i.script_backup),
        ("Master", i.script_master),
        ("Fault", i.script_fault),
        ("Stop", i.script_stop),
        ("Deleted", i.script_deleted),
    )
    if i.script_master_rx_lower_pri:
        lines.append(f"   Master rx lower pri script = {quoted_command(i.script_master_rx_lower_pri)}")
    if i.script:
        lines.append(f"   Generic state transition script = {quoted_command(i.script)}")
    lines.append(f"   Notify priority changes = {_bool(i.priority_changes)}")
    if i.cause:
        lines.append(f"   Cause of last transition = {i.cause}")
    lines += _listed("Faults :", i.fault_reasons)
    return lines


def _group(group: GroupSnapshot) -> list[str]:
    lines = [f" VRRP Sync Group = {group.name}, {_state(group.state)}"]
    lines += _listed("VRRP member instances :", group.members)
    if group.tracking_weight:
        lines.append("   Sync group tracking weight")
    lines.append(f"   Using smtp notification = {_yes(group.smtp_alert)}")
    lines += _scripts(
        ("Backup", group.script_backup),
        ("Master", group.script_master),
        ("Fault", group.script_fault),
        ("Stop", group.script_stop),
    )
    if group.script:
        lines.append(f"   Generic state transition script = {quoted_command(group.script)}")
    return lines


def _script(script: ScriptSnapshot) -> list[str]:
    lines = [
        f" VRRP Script = {script.name}",
        f"   Command = {quoted_command(script.command)}",
        f"   Interval = {script.interval:g} sec",
        f"   Timeout = {script.timeout:g} sec",
        f"   Weight = {script.weight}{' reverse' if script.reverse else ''}",
        f"   Rise = {script.rise}",
        f"   Fall = {script.fall}",
        f"   Result = {0 if script.result is None else script.result}",
        f"   Status = {script.status}",
        f"   Script user = {script.user}",
    ]
    lines += _listed("Tracking instances :", script.tracked_by)
    lines.append(f"   Runs = {script.runs}, failed {script.failures}, timed out {script.timeouts}")
    if script.last_output:
        lines.append(f"   Last output = {script.last_output}")
    return lines


def _file(file: FileSnapshot) -> list[str]:
    lines = [
        f" Track file = {file.name}",
        f"   File = {file.path}",
        f"   Status = {file.value}",
        f"   Weight = {file.weight}{' reverse' if file.reverse else ''}",
    ]
    return lines + _listed("Tracking instances :", file.tracked_by)


def _process(process: ProcessSnapshot) -> list[str]:
    lines = [f" VRRP Track process = {process.name}", f"   Process = {process.process}"]
    if process.parameters:
        lines.append(f"   Parameters = {' '.join(process.parameters)}")
    if process.param_match != "none":
        suffix = {"partial": " = partial", "initial": " = initial"}.get(process.param_match, "")
        lines.append(f"   Param match{suffix}")
    lines.append(f"   Min processes = {process.min_processes}")
    if process.max_processes is not None:
        lines.append(f"   Max processes = {process.max_processes}")
    lines += [
        f"   Current processes = {process.current_processes}",
        f"   Have quorum = {_bool(process.have_quorum)}",
        f"   Weight = {process.weight}{' reverse' if process.reverse else ''}",
        f"   Terminate delay = {process.terminate_delay:f}s",
        f"   Fork delay = {process.fork_delay:f}s",
        f"   Fork delay timer {'' if process.fork_delay_timer_running else 'not '}running",
        f"   Terminate delay timer {'' if process.terminate_delay_timer_running else 'not '}running",
        f"   Full command = {_bool(process.full_command)}",
    ]
    return lines + _listed("Tracking instances :", process.tracked_by)


def _scripts(*scripts: tuple[str, tuple[str, ...]]) -> list[str]:
    return [
        f"   {state} state transition script = {quoted_command(words)}" for state, words in scripts if words
    ]


def _listed(heading: str, values: Iterable[str]) -> list[str]:
    lines = [f"     {value}" for value in values]
    return [f"   {heading}", *lines] if lines else []


def _tracked(tracked: TrackedBy) -> str:
    return f"{tracked.name} weight {tracked.weight}{' reverse' if tracked.reverse else ''}"


def _tracked_comma(tracked: TrackedBy) -> str:
    return f"{tracked.name}, weight {tracked.weight}{' reverse' if tracked.reverse else ''}"


def _interval(instance: InstanceSnapshot) -> str:
    if instance.version == 2 or instance.adver_int == int(instance.adver_int):
        return f"{instance.adver_int:g} sec"
    return f"{instance.adver_int * 1000:g} milli-sec"


def _moment(seconds: float) -> str:
    """`1795414176.155272 (Mon Nov 23 06:09:36.155272 2026)`, local time."""
    local = datetime.fromtimestamp(seconds).astimezone()
    return f"{seconds:f} ({local:%a %b %e %H:%M:%S}.{local.microsecond:06d} {local:%Y})"


def _state(state: StateCode) -> str:
    return "FAULT" if state is StateCode.MAINT else state.name


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _able(value: bool) -> str:
    return "enabled" if value else "disabled"


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n" if lines else ""
