"""The effective configuration as text: every default filled in, globals resolved into what inherits them,
includes and definitions gone. `fastha config show` prints it; read again it means the same.
"""

from __future__ import annotations

from functools import partial

from .model import (
    AuthHmac,
    BfdAuto,
    Config,
    Garp,
    GarpGroup,
    Notify,
    Route,
    Rule,
    SyncGroup,
    Track,
    TrackFile,
    TrackProcess,
    UnicastPeer,
    Vmac,
    VrrpInstance,
    VrrpScript,
    VrrpSettings,
)
from .model_bfd import BfdAuth, BfdInstance, BfdUnsolicited, SbfdReflector
from .render_globals import ROOT, global_defs
from .render_lvs import lvs
from .writer import Writer, address, millis, program, seconds, switch, user, word

_NOTIFY = (
    ("master", "notify_master", "program"),
    ("backup", "notify_backup", "program"),
    ("fault", "notify_fault", "program"),
    ("stop", "notify_stop", "program"),
    ("master_rx_lower_pri", "notify_master_rx_lower_pri", "program"),
    ("deleted", "notify_deleted", "program"),
    ("generic", "notify", "program"),
)
_INSTANCE = (
    ("state", "state", "plain"),
    ("interface", "interface", "word"),
    ("vrf", "vrf", "word"),
    ("vrid", "virtual_router_id", "plain"),
    ("version", "version", "plain"),
    ("priority", "priority", "plain"),
    ("advert_int_ns", "advert_int", "ns"),
    ("down_timer_adverts", "down_timer_adverts", "plain"),
    ("strict", "strict_mode", "bool"),
    ("skip_check_adv_addr", "skip_check_adv_addr", "bool"),
    ("address_list", "fastha_address_list", "plain"),
    ("v3_checksum_as_v2", "v3_checksum_as_v2", "bool"),
    ("owner_ignore_adverts", "owner_ignore_adverts", "bool"),
    ("lower_prio_no_advert", "lower_prio_no_advert", "bool"),
    ("higher_prio_send_advert", "higher_prio_send_advert", "bool"),
    ("timer_expired_backup", "timer_expired_backup", "plain"),
    ("kernel_rx_buf_size", "kernel_rx_buf_size", "plain"),
    ("track_source", "track_src_ip", "flag"),
    ("promote_secondaries", "promote_secondaries", "flag"),
    ("no_virtual_ipaddress", "no_virtual_ipaddress", "flag"),
    ("linkbeat_use_polling", "linkbeat_use_polling", "flag"),
    ("vmac_addr", "use_vmac_addr", "flag"),
    ("vmac_xmit_base", "vmac_xmit_base", "flag"),
    ("check_unicast_src", "check_unicast_src", "flag"),
    ("unicast_fault_no_peer", "unicast_fault_no_peer", "flag"),
    ("old_unicast_checksum", "old_unicast_checksum", "flag"),
    ("smtp_alert", "smtp_alert", "bool"),
    ("notify_priority_changes", "notify_priority_changes", "bool"),
    ("graceful_handover", "fastha_graceful_handover", "bool"),
)
_SCRIPT = (
    ("interval_ns", "interval", "ns"),
    ("timeout_ns", "timeout", "ns"),
    ("rise", "rise", "plain"),
    ("fall", "fall", "plain"),
    ("init_fail", "init_fail", "flag"),
)
_PROCESS = (
    ("quorum", "quorum", "plain"),
    ("quorum_max", "quorum_max", "plain"),
    ("fork_delay_ns", "fork_delay", "ns_nonzero"),
    ("terminate_delay_ns", "terminate_delay", "ns_nonzero"),
    ("full_command", "full_command", "flag"),
)
_BFD = (
    ("neighbor", "neighbor_ip", "plain"),
    ("source", "source_ip", "plain"),
    ("interface", "interface", "word"),
    ("min_rx_us", "min_rx", "us"),
    ("min_tx_us", "min_tx", "us"),
    ("idle_tx_us", "idle_tx", "us"),
    ("multiplier", "multiplier", "plain"),
    ("passive", "passive", "flag"),
    ("ttl", "ttl", "plain"),
    ("max_hops", "max_hops", "plain"),
    ("multihop", "multihop", "bool"),
    ("unaffiliated_echo", "unaffiliated_echo", "flag"),
    ("demand", "demand", "bool"),
)


def render(config: Config, *, secrets: bool = True) -> str:
    """The whole configuration; with `secrets` off, stars stand in place of passwords and keys."""
    out = Writer(secrets=secrets)
    out.fields(config.globals_, ROOT)
    out.blank()
    out.block("global_defs", body=partial(global_defs, out, config))
    _static(out, config)
    for script in config.scripts:
        out.blank()
        out.block("vrrp_script", word(script.name), body=partial(_script, out, script))
    for file in config.track_files:
        out.blank()
        out.block("track_file", word(file.name), body=partial(_file, out, file))
    for process in config.track_processes:
        out.blank()
        out.block("vrrp_track_process", word(process.name), body=partial(_process, out, process))
    for session in config.bfd_instances:
        out.blank()
        out.block("bfd_instance", word(session.name), body=partial(_bfd, out, session))
    for ask in config.bfd_unsolicited:
        out.blank()
        out.block("bfd_unsolicited", word(ask.interface), body=partial(_unsolicited, out, ask))
    if config.sbfd_reflector is not None:
        out.blank()
        out.block("sbfd_reflector", body=partial(_reflector, out, config.sbfd_reflector))
    for instance in config.instances:
        out.blank()
        out.block("vrrp_instance", word(instance.name), body=partial(_instance, out, instance))
    for group in config.sync_groups:
        out.blank()
        out.block("vrrp_sync_group", word(group.name), body=partial(_group, out, group))
    lvs(out, config.lvs)
    return out.text()


# -------------------------------------------------------------------- globals, static objects


def _static(out: Writer, config: Config) -> None:
    out.blank()
    for group in config.track_groups:
        out.block(
            "track_group",
            word(group.name),
            body=partial(out.lines, "group", map(word, group.members)),
        )
    out.lines("static_ipaddress", map(address, config.static_addresses))
    out.lines("static_routes", map(_line, config.static_routes))
    out.lines("static_rules", map(_line, config.static_rules))
    out.lines(
        "interface_up_down_delays",
        (f"{word(d.interface)} {seconds(d.down_ns)} {seconds(d.up_ns)}" for d in config.link_delays),
    )
    out.lines(
        "linkbeat_interfaces",
        (f"{word(b.interface)} {b.method or ''}".rstrip() for b in config.linkbeat_interfaces),
    )
    for garp in config.garp_groups:
        out.block("garp_group", body=partial(_garp_group, out, garp))


def _garp_group(out: Writer, garp: GarpGroup) -> None:
    if garp.garp_interval_ns:
        out.line("garp_interval", seconds(garp.garp_interval_ns))
    if garp.gna_interval_ns:
        out.line("gna_interval", seconds(garp.gna_interval_ns))
    out.lines("interfaces", map(word, garp.interfaces))


def _line(thing: Route | Rule) -> str:
    return " ".join(thing.text.split())


# -------------------------------------------------------------------- tracking


def _weight(weight: int, reverse: bool) -> str:
    return f"{weight}{' reverse' if reverse else ''}"


def _script(out: Writer, s: VrrpScript) -> None:
    if s.open_path is not None:
        out.line("script", word(f"<{s.open_path}"))
    elif s.command is not None:
        out.line("script", program(s.command, owner=False))
        if s.command.user is not None:
            out.line("user", user(s.command))
    out.line("weight", _weight(s.weight, s.reverse))
    out.fields(s, _SCRIPT)


def _file(out: Writer, f: TrackFile) -> None:
    out.line("file", word(f.path))
    out.line("weight", _weight(f.weight, f.reverse))
    if f.init_value is not None:
        out.line("init_file", str(f.init_value), "overwrite" if f.init_overwrite else "")


def _process(out: Writer, p: TrackProcess) -> None:
    out.line("process", word(p.command), *map(word, p.params))
    if p.param_match != "none":
        out.line("param_match", p.param_match)
    out.line("weight", _weight(p.weight, p.reverse))
    out.fields(p, _PROCESS)


def _tracks(out: Writer, thing: VrrpSettings | SyncGroup) -> None:
    for keyword, tracks in (
        ("track_interface", thing.track_interfaces),
        ("track_script", thing.track_scripts),
        ("track_file", thing.track_files),
        ("track_process", thing.track_processes),
        ("track_bfd", thing.track_bfds),
    ):
        out.lines(keyword, map(_track, tracks))


def _track(t: Track) -> str:
    words = [word(t.name)]
    if t.weight is not None:
        words += ["weight", str(t.weight)]
    if t.reverse:
        words.append("reverse")
    if t.takeover:
        words.append("takeover")
        if t.takeover_delay_ns:
            words.append(millis(t.takeover_delay_ns // 1000))
    return " ".join(words)


def _notify(out: Writer, n: Notify) -> None:
    out.fields(n, _NOTIFY)


# -------------------------------------------------------------------- instances


def _instance(out: Writer, i: VrrpInstance) -> None:
    s = i.settings
    out.fields(i, _INSTANCE)
    out.line("accept" if s.accept else "no_accept")
    out.line("preempt" if s.preempt else "nopreempt")
    if s.preempt_delay_ns:
        out.line("preempt_delay", seconds(s.preempt_delay_ns))
    if s.unicast:
        out.line("unicast_ttl", str(s.unicast_ttl))
    if i.source is not None:
        out.line("unicast_src_ip" if s.unicast else "mcast_src_ip", str(i.source))
    if s.mcast_group is not None:
        out.line("mcast_dst_ip", str(s.mcast_group))
    out.lines("unicast_peer", map(_peer, i.unicast_peers))
    if not s.track_primary:
        out.line("dont_track_primary")
    if s.vmac is not None:
        _vmac(out, s.vmac)
    if s.auth_type != "none":
        out.block("authentication", body=partial(_authentication, out, s))
    if s.auth_hmac is not None:
        out.block("auth_hmac", body=partial(_hmac, out, s.auth_hmac))
    life = s.address_lifetime_s
    out.line("fastha_address_lifetime", "auto" if life is None else str(life) if life else "off")
    _garp(out, s.garp)
    out.lines("virtual_ipaddress", map(address, i.addresses))
    out.lines("virtual_ipaddress_excluded", map(address, i.excluded))
    out.lines("virtual_routes", map(_line, i.routes))
    out.lines("virtual_rules", map(_line, i.rules))
    _tracks(out, s)
    if s.bfd_auto is not None:
        out.block("bfd", "auto", body=partial(_bfd_auto, out, s.bfd_auto))
    _notify(out, s.notify)


def _authentication(out: Writer, s: VrrpSettings) -> None:
    out.line("auth_type", s.auth_type.upper())
    out.line("auth_pass", out.secret(s.auth_pass.decode("utf-8", "surrogateescape")))


def _bfd_auto(out: Writer, auto: BfdAuto) -> None:
    out.line("min_rx", millis(auto.min_rx_ns // 1000))
    out.line("min_tx", millis(auto.min_tx_ns // 1000))
    out.line("multiplier", str(auto.multiplier))
    out.line("takeover", switch(auto.takeover))
    if auto.takeover_delay_ns:
        out.line("takeover_delay", millis(auto.takeover_delay_ns // 1000))
    if auto.auth is not None:
        _bfd_auth(out, auto.auth)


def _peer(p: UnicastPeer) -> str:
    words = [str(p.address)]
    if p.min_ttl is not None:
        words += ["min_ttl", str(p.min_ttl)]
    if p.max_ttl is not None:
        words += ["max_ttl", str(p.max_ttl)]
    return " ".join(words)


def _vmac(out: Writer, v: Vmac) -> None:
    words = []
    if v.name is not None:
        words += ["name", word(v.name)]
    if v.group is not None:
        words += ["group", word(v.group)]
    if v.kind == "macvlan":
        if v.mac is not None:
            words.append(v.mac.hex(":"))
        if v.netlink_notify_msg:
            words.append("netlink_notify_msg")
        out.line("use_vmac", *words)
        return
    if v.address is not None:
        words.append(str(v.address) + (f"/{v.address_prefixlen}" if v.address_prefixlen is not None else ""))
    out.line("use_ipvlan", *words, v.mode)


def _hmac(out: Writer, h: AuthHmac) -> None:
    for key in h.keys:
        out.line("key", str(key.key_id), out.secret(f"hex:{key.secret.hex()}"))
    out.line("active_key", str(h.active_key))
    if h.time_window_s is not None:
        out.line("time_window", str(h.time_window_s))
    out.line("anti_replay", h.anti_replay)
    out.line("mode", h.mode)


def _garp(out: Writer, g: Garp) -> None:
    for keyword, value in (
        ("garp_master_delay", seconds(g.master_delay_ns)),
        ("garp_master_repeat", str(g.master_repeat)),
        ("garp_master_refresh", seconds(g.master_refresh_ns)),
        ("garp_master_refresh_repeat", str(g.master_refresh_repeat)),
        ("garp_lower_prio_delay", seconds(g.lower_prio_delay_ns)),
        ("garp_lower_prio_repeat", str(g.lower_prio_repeat)),
    ):
        out.line(keyword, value)
    if g.extra_if_ns:
        out.line("garp_extra_if", "all" if g.extra_if_all else "", seconds(g.extra_if_ns))


def _group(out: Writer, g: SyncGroup) -> None:
    out.lines("group", map(word, g.members))
    _tracks(out, g)
    if g.tracking_weight:
        out.line("sync_group_tracking_weight")
    out.line("smtp_alert", switch(g.smtp_alert))
    out.line("notify_priority_changes", switch(g.notify_priority_changes))
    _notify(out, g.notify)


# -------------------------------------------------------------------- BFD


def _bfd(out: Writer, b: BfdInstance) -> None:
    out.fields(b, _BFD)
    out.line("weight", _weight(b.weight, b.reverse))
    if not (b.to_vrrp and b.to_checker):
        out.line("vrrp" if b.to_vrrp else "checker")
    if b.auth is not None:
        _bfd_auth(out, b.auth)
    for keyword, value in (
        ("echo_tx", b.echo_tx_us),
        ("min_echo_rx", b.min_echo_rx_us),
        ("demand_poll", b.demand_poll_us),
    ):
        if value:
            out.line(keyword, millis(value))
    if b.padded:
        out.line("pad_to", str(b.padded))
    if b.sbfd_discr:
        out.line("sbfd", str(b.sbfd_discr))
    for keyword, script in (
        ("notify", b.notify),
        ("notify_up", b.notify_up),
        ("notify_down", b.notify_down),
    ):
        if script is not None:
            out.line(keyword, program(script))


def _bfd_auth(out: Writer, auth: BfdAuth) -> None:
    def body() -> None:
        for key in auth.keys:
            out.line("key", str(key.key_id), key.type, out.secret(f"hex:{key.secret.hex()}"))
        out.line("active_key", str(auth.active_key))
        out.line("optional", switch(auth.optional))

    out.block("authentication", body=body)


def _unsolicited(out: Writer, b: BfdUnsolicited) -> None:
    out.lines("neighbors", b.prefixes)
    out.line("min_rx", millis(b.min_rx_us))
    out.line("min_tx", millis(b.min_tx_us))
    out.line("multiplier", str(b.multiplier))
    out.line("max_sessions", str(b.most))
    if b.auth is not None:
        _bfd_auth(out, b.auth)


def _reflector(out: Writer, r: SbfdReflector) -> None:
    for number in r.discriminators:
        out.line("discriminator", str(number))
    out.line("min_rx", millis(r.min_rx_us))
    out.line("admin_down", switch(r.admin_down))
    if r.auth is not None:
        _bfd_auth(out, r.auth)
