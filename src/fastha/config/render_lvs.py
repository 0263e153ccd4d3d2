"""The load-balancing half of :mod:`fastha.config.render`."""

from __future__ import annotations

from functools import partial

from .model_lvs import (
    AddressRange,
    AgentCheck,
    AnyChecker,
    BfdCheck,
    DnsCheck,
    FileCheck,
    Forwarding,
    GreetingCheck,
    GrpcCheck,
    HttpCheck,
    HttpUrl,
    LvsConfig,
    MiscCheck,
    NetworkChecker,
    RealServer,
    SmtpCheck,
    TlsOptions,
    UdpCheck,
    VirtualServer,
    VirtualServerGroup,
)
from .writer import Writer, endpoint, program, seconds, switch, user, word

_COMMON = (
    ("delay_loop_ns", "delay_loop", "ns"),
    ("retry", "retry", "plain"),
    ("delay_before_retry_ns", "delay_before_retry", "ns"),
    ("warmup_ns", "warmup", "ns"),
    ("alpha", "alpha", "bool"),
    ("log_all_failures", "log_all_failures", "bool"),
    ("rise", "fastha_rise", "plain"),
    ("jitter_percent", "fastha_jitter", "plain"),
)
_NETWORK = (
    ("connect_ip", "connect_ip", "plain"),
    ("connect_port", "connect_port", "nonzero"),
    ("bindto", "bindto", "plain"),
    ("bind_port", "bind_port", "nonzero"),
    ("bind_if", "bind_if", "word"),
    ("connect_timeout_ns", "connect_timeout", "ns"),
    ("fwmark", "fwmark", "plain"),
    ("via_data_path", "fastha_data_path", "bool"),
)
_TLS = (
    ("ca", "fastha_tls_ca", "word"),
    ("certificate", "fastha_tls_certificate", "word"),
    ("key", "fastha_tls_key", "word"),
    ("verify", "fastha_tls_verify", "bool"),
    ("minimum_version", "fastha_tls_minimum", "plain"),
    ("expiry_warning_days", "fastha_tls_expiry", "plain"),
)
_HTTP = (
    ("http_protocol", "http_protocol", "plain"),
    ("virtualhost", "virtualhost", "word"),
    ("enable_sni", "enable_sni", "bool"),
    ("sni_name", "sni_name", "word"),
    ("fast_recovery", "fast_recovery", "bool"),
)
_URL = (
    ("path", "path", "word"),
    ("digest", "digest", "word"),
    ("virtualhost", "virtualhost", "word"),
    ("regex", "regex", "quoted"),
    ("json_path", "fastha_json_path", "word"),
    ("json_value", "fastha_json_value", "word"),
)
_VIRTUAL = (
    ("protocol", "protocol", "plain"),
    ("scheduler", "lvs_sched", "plain"),
    ("persistence_timeout_s", "persistence_timeout", "nonzero"),
    ("persistence_engine", "persistence_engine", "word"),
    ("persistence_granularity", "persistence_granularity", "plain"),
    ("ha_suspend", "ha_suspend", "flag"),
    ("alpha", "alpha", "bool"),
    ("omega", "omega", "flag"),
    ("quorum", "quorum", "plain"),
    ("hysteresis", "hysteresis", "plain"),
    ("quorum_up", "quorum_up", "program"),
    ("quorum_down", "quorum_down", "program"),
    ("smtp_alert", "smtp_alert", "bool"),
    ("snmp_name", "snmp_name", "word"),
    ("panic_percent", "fastha_panic", "plain"),
    ("damping", "fastha_damping", "bool"),
)
_REAL = (
    ("weight", "weight", "plain"),
    ("upper_threshold", "uthreshold", "nonzero"),
    ("lower_threshold", "lthreshold", "nonzero"),
    ("inhibit_on_failure", "inhibit_on_failure", "bool"),
    ("alpha", "alpha", "bool"),
    ("notify_up", "notify_up", "program"),
    ("notify_down", "notify_down", "program"),
    ("smtp_alert", "smtp_alert", "bool"),
    ("virtualhost", "virtualhost", "word"),
    ("snmp_name", "snmp_name", "word"),
    ("slow_start_ns", "fastha_slow_start", "ns"),
    ("pool", "fastha_pool", "plain"),
    ("drain", "fastha_drain", "bool"),
)


def lvs_globals(out: Writer, c: LvsConfig) -> None:
    """The lines of global_defs that are about load balancing."""
    timeouts = [
        f"{name} {value}"
        for name, value in (
            ("tcp", c.timeout_tcp_s),
            ("tcpfin", c.timeout_tcp_fin_s),
            ("udp", c.timeout_udp_s),
        )
        if value is not None
    ]
    if timeouts:
        out.line("lvs_timeouts", *timeouts)
    if c.flush:
        out.line("lvs_flush")
    if c.flush_on_stop != "no":
        out.line("lvs_flush_on_stop", "VS" if c.flush_on_stop == "vs" else "")
    out.line("rs_init_notifies", switch(c.rs_init_notifies))
    out.line("fastha_lvs_repair_interval", seconds(c.repair_interval_ns))
    if c.netlink_rcv_bufs:
        out.line("lvs_netlink_cmd_rcv_bufs", str(c.netlink_rcv_bufs))
    if c.netlink_rcv_bufs_force:
        out.line("lvs_netlink_cmd_rcv_bufs_force", "on")
    if c.share is not None:
        secret = out.secret(f"hex:{c.share.secret.hex()}")
        out.line("fastha_lvs_share", endpoint(c.share.address, c.share.port), secret)
        for address, port in c.share.peers:
            out.line("fastha_lvs_peer", endpoint(address, port))
    d = c.sync_daemon
    if d is None:
        return
    words = [word(d.interface)]
    if d.instance is not None:
        words += ["inst", word(d.instance)]
    for name, value in (
        ("id", d.sync_id),
        ("maxlen", d.max_len or None),
        ("port", d.port or None),
        ("ttl", d.ttl or None),
        ("group", d.group),
    ):
        if value is not None:
            words += [name, str(value)]
    out.line("lvs_sync_daemon", *words)


def lvs(out: Writer, config: LvsConfig) -> None:
    """Groups and virtual servers."""
    groups = {s.group.name: s.group for s in config.virtual_servers if s.group is not None}
    for group in groups.values():
        out.blank()
        out.block("virtual_server_group", word(group.name), body=partial(_group, out, group))
    for server in config.virtual_servers:
        out.blank()
        if server.group is not None:
            where = ("group", word(server.group.name))
        elif server.fwmark:
            where = ("fwmark", str(server.fwmark))
        else:
            where = (str(server.address), str(server.port) if server.port else "")
        out.block("virtual_server", *where, body=partial(_virtual, out, server))


def _group(out: Writer, group: VirtualServerGroup) -> None:
    for r in group.ranges:
        out.line(_range(r), str(r.port) if r.port else "")
    for mark in group.marks:
        family = {2: "inet", 10: "inet6", None: ""}[mark.family]
        out.line("fwmark", str(mark.mark), family)


def _range(r: AddressRange) -> str:
    return str(r.first) if r.first == r.last else f"{r.first}-{r.last}"


def _forwarding(f: Forwarding) -> str:
    if f.method != "TUN":
        return f.method
    port = f" port {f.tunnel_port}" if f.tunnel == "gue" else ""
    return f"TUN type {f.tunnel}{port} {f.checksum}"


def _virtual(out: Writer, v: VirtualServer) -> None:
    out.line("ip_family", "inet6" if v.family == 10 else "inet")
    out.fields(v, _VIRTUAL)
    for flag in v.flags:
        out.line(flag)
    out.line("lvs_method", _forwarding(v.forwarding))
    s = v.sorry_server
    if s is not None:
        out.line("sorry_server", str(s.address), str(s.port) if s.port else "")
        if s.inhibit:
            out.line("sorry_server_inhibit")
        out.line("sorry_server_lvs_method", _forwarding(s.forwarding))
    for real in v.real_servers:
        port = str(real.port) if real.port else ""
        out.block("real_server", str(real.address), port, body=partial(_real, out, real))


def _real(out: Writer, real: RealServer) -> None:
    out.fields(real, _REAL)
    out.line("lvs_method", _forwarding(real.forwarding))
    for check in real.checkers:
        kind = str(type(check).__struct_config__.tag)
        if isinstance(check, HttpCheck) and check.ssl:
            kind = "SSL_GET"
        out.block(kind, body=partial(_check, out, check))


def _check(out: Writer, check: AnyChecker) -> None:
    if isinstance(check, BfdCheck):
        out.line("name", word(check.name))
        out.line("alpha", switch(check.alpha))
        return
    if isinstance(check, FileCheck):
        out.line("track_file", word(check.file.name))
        out.line("weight", str(check.weight), "reverse" if check.reverse else "")
        out.line("alpha", switch(check.alpha))
        return
    out.fields(check, _COMMON)
    if isinstance(check, MiscCheck):
        _misc(out, check)
        return
    assert isinstance(check, NetworkChecker)
    out.fields(check, _NETWORK)
    if isinstance(check, HttpCheck):
        _http(out, check)
    elif isinstance(check, UdpCheck):
        _udp(out, check)
    elif isinstance(check, SmtpCheck):
        out.line("helo_name", word(check.helo_name))
    elif isinstance(check, DnsCheck):
        out.line("type", check.type)
        out.line("name", word(check.name))
    elif isinstance(check, GrpcCheck):
        _grpc(out, check)
    elif isinstance(check, GreetingCheck):
        out.line("protocol", check.protocol)
        if check.password is not None:
            out.line("password", out.secret(check.password))
    elif isinstance(check, AgentCheck) and check.send:
        out.line("send", word(check.send))


def _misc(out: Writer, check: MiscCheck) -> None:
    out.line("misc_path", program(check.command, owner=False))
    if check.command.user is not None:
        out.line("user", user(check.command))
    out.line("misc_timeout", seconds(check.timeout_ns))
    if check.dynamic:
        out.line("misc_dynamic")


def _udp(out: Writer, check: UdpCheck) -> None:
    if check.payload is not None:
        out.line("payload", check.payload.hex())
    if check.require_reply:
        digits = zip(check.reply.hex(), check.reply_mask.hex(), strict=True)
        out.line("require_reply", "".join(d if m == "f" else "X" for d, m in digits))
    out.line("min_reply_length", str(check.min_reply_length))
    out.line("max_reply_length", str(check.max_reply_length))


def _tls(out: Writer, tls: TlsOptions) -> None:
    out.fields(tls, _TLS)
    if tls.password is not None:
        out.line("fastha_tls_password", out.secret(tls.password))


def _grpc(out: Writer, check: GrpcCheck) -> None:
    if check.service:
        out.line("service", word(check.service))
    if check.authority is not None:
        out.line("authority", word(check.authority))
    if check.ssl:
        out.line("ssl")
    if check.sni_name is not None:
        out.line("sni_name", word(check.sni_name))
    _tls(out, check.tls)


def _http(out: Writer, check: HttpCheck) -> None:
    out.fields(check, _HTTP)
    if check.ssl:
        out.line("tls_compliant", switch(check.tls_compliant))
        _tls(out, check.tls)
    for url in check.urls:
        out.block("url", body=partial(_url, out, url, ssl=check.ssl))


def _url(out: Writer, url: HttpUrl, *, ssl: bool) -> None:
    out.fields(url, _URL)
    codes = (str(a) if a == b else f"{a}-{b}" for a, b in url.status_codes)
    out.line("status_code", " ".join(codes))
    if url.regex is not None:
        if url.regex_no_match:
            out.line("regex_no_match")
        if url.regex_options:
            out.line("regex_options", *url.regex_options)
        out.line("regex_min_offset", str(url.regex_min_offset))
        if url.regex_max_offset is not None:
            out.line("regex_max_offset", str(url.regex_max_offset))
    if ssl or url.tls_compliant:
        out.line("tls_compliant", switch(url.tls_compliant))
