"""The JSON dump as a strictly typed reader sees it: exporters made for keepalived decode it into records
whose fields have one type each, and fail as a whole on a field of another one.

The list of fields and types is that of keepalived's own dump (2.2.7 and 2.4), by which such readers are made.
"""

from __future__ import annotations

import msgspec
import pytest

from fastha.telemetry.dump_json import dump_json
from fastha.telemetry.snapshot import (
    DaemonSnapshot,
    InstanceSnapshot,
    InstanceStats,
    ProcessSnapshot,
    StateCode,
    TrackedBy,
)


class Data(msgspec.Struct, kw_only=True):
    """An instance's `data`."""

    iname: str
    dont_track_primary: int
    skip_check_adv_addr: int
    strict_mode: int
    vmac_ifname: str
    ifp_ifname: str | None = None
    master_priority: int
    last_transition: float
    garp_delay: float
    garp_refresh: float
    garp_rep: int
    garp_refresh_rep: int
    garp_lower_prio_delay: float
    garp_lower_prio_rep: int
    lower_prio_no_advert: int
    higher_prio_send_advert: int
    vrid: int
    base_priority: int
    effective_priority: int
    vipset: bool
    promote_secondaries: bool
    adver_int: float
    master_adver_int: float
    accept: int
    nopreempt: bool
    preempt_delay: int
    state: int
    wantstate: int
    version: int
    smtp_alert: bool
    notify_deleted: bool
    script_backup: str | None = None
    script_master: str | None = None
    script_fault: str | None = None
    script_stop: str | None = None
    script_deleted: str | None = None
    script: str | None = None
    script_master_rx_lower_pri: str | None = None
    vips: list[str] = []
    evips: list[str] = []
    vroutes: list[str] = []
    vrules: list[str] = []
    track_ifp: list[str] = []
    track_script: list[str] = []
    track_process: list[str] = []
    auth_type: int
    auth_data: str | None = None


class Stats(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An instance's `stats`."""

    advert_rcvd: int
    advert_sent: int
    become_master: int
    release_master: int
    packet_len_err: int
    advert_interval_err: int
    ip_ttl_err: int
    invalid_type_rcvd: int
    addr_list_err: int
    invalid_authtype: int
    authtype_mismatch: int
    auth_failure: int
    auth_ext_missing: int
    auth_ext_malformed: int
    auth_ext_unknown_key: int
    auth_ext_invalid_hmac: int
    auth_ext_stale: int
    auth_ext_replay: int
    pri_zero_rcvd: int
    pri_zero_sent: int


class Instance(msgspec.Struct, forbid_unknown_fields=True):
    """One element of version 1."""

    data: Data
    stats: Stats


class Process(msgspec.Struct, kw_only=True):
    """A tracked process, of version 2."""

    process: str
    parameters: str
    param_match: str
    min_processes: int
    max_processes: int | None = None
    current_processes: int
    have_quorum: bool
    weight: int
    terminate_delay: float
    fork_delay: float
    fork_delay_timer_running: bool
    terminate_delay_timer_running: bool
    full_command: bool


class Second(msgspec.Struct, forbid_unknown_fields=True):
    """Version 2."""

    vrrp: list[Instance]
    track_process: list[Process]


def snapshot(state: StateCode) -> DaemonSnapshot:
    return DaemonSnapshot(
        instances=(
            InstanceSnapshot(iname="bare", vrid=1, ifname="", state=state),
            InstanceSnapshot(
                iname="full",
                vrid=255,
                ifname="eth0",
                state=state,
                last_transition=1.5,
                garp_delay=0.25,
                adver_int=0.01,
                master_adver_int=40.95,
                preempt_delay=1.5,
                accept=False,
                nopreempt=True,
                vips=("192.0.2.1/24 dev eth0 scope global set",),
                evips=("2001:db8::1/64 dev eth0 scope global",),
                vroutes=("prepend 0.0.0.0/0 via inet 192.0.2.254",),
                vrules=("from all lookup 1",),
                script=("/bin/n", "it's"),
                script_master=("/bin/m",),
                script_deleted=("/bin/d",),
                track_ifp=(TrackedBy(name="eth1"),),
                track_script=(TrackedBy(name="s", command="'/bin/s'"),),
                track_process=(TrackedBy(name="p"),),
                auth_type=1,
                has_auth_data=True,
                stats=InstanceStats(advert_sent=1 << 40),
            ),
        ),
        processes=(
            ProcessSnapshot(
                name="p", process="nginx", parameters=("-g", "x"), max_processes=3, fork_delay=0.5
            ),
            ProcessSnapshot(name="q", process="q"),
        ),
    )


@pytest.mark.parametrize("state", list(StateCode), ids=lambda s: s.name)
def test_a_strictly_typed_reader_takes_both_versions(state: StateCode) -> None:
    first = msgspec.json.decode(dump_json(snapshot(state)) or "", type=list[Instance], strict=True)
    assert [one.data.iname for one in first] == ["bare", "full"]
    assert first[0].data.state in (0, 1, 2, 3, 97, 98), "a state that such readers know"
    assert first[1].stats.advert_sent == 1 << 40
    second = msgspec.json.decode(dump_json(snapshot(state), 2) or "", type=Second, strict=True)
    assert [p.process for p in second.track_process] == ["nginx", "q"]
    assert second.vrrp[1].data.vips == ["192.0.2.1/24 dev eth0 scope global set"]
