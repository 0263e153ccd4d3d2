"""The keyword tables of load balancing: virtual servers, real servers, every checker, TLS material.

Source: keepalived.conf(5), "LVS CONFIGURATION"; ranges and defaults as keepalived has them. Keywords that
begin with `fastha_`, and the blocks GRPC_CHECK, GREETING_CHECK and AGENT_CHECK, are fastha's own.
"""

from __future__ import annotations

from .keywords import (
    Keyword,
    block,
    boolean,
    choice,
    command,
    extend,
    first_counts,
    flag,
    ip,
    lenient,
    lines,
    number,
    seconds,
    table,
    text,
    word,
    words,
)

UINT = 4294967295
INT = 2147483647
TIME = 9e9  # what 64 bits of nanoseconds hold, seconds
METHOD = "NAT, DR or TUN [type ipip | gue port N | gre] [nocsum | csum | remcsum]"
SCHEDULERS = (
    "rr",
    "wrr",
    "lc",
    "wlc",
    "lblc",
    "sh",
    "mh",
    "dh",
    "fo",
    "ovf",
    "lblcr",
    "sed",
    "nq",
    "twos",
)
REGEX_OPTIONS = (
    "allow_empty_class",
    "alt_bsux",
    "auto_callout",
    "caseless",
    "dollar_endonly",
    "dotall",
    "dupnames",
    "extended",
    "firstline",
    "match_unset_backref",
    "multiline",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "utf",
    "never_backslash_c",
    "alt_circumflex",
    "alt_verbnames",
    "use_offset_limit",
)

extend(
    "root",
    block("SSL", "SSL", "client certificate and CA of SSL_GET"),
    lines(
        "virtual_server_group",
        "several addresses and marks that are one service: ADDRESS[-LAST|/LENGTH] [PORT], fwmark N",
        multiple=True,
        named=True,
    ),
    block(
        "virtual_server",
        "virtual_server",
        "a service of IPVS: ADDRESS [PORT] | fwmark N | group NAME",
        multiple=True,
        named=True,
    ),
)
extend(
    "global_defs",
    seconds(
        "fastha_lvs_repair_interval",
        0,
        86400,
        "how often IPVS is compared with what it should be; 0: never",
        "30",
        extension=True,
    ),
    words(
        "fastha_lvs_share",
        "own ADDRESS:PORT, and a secret (file:PATH or text): directors share drains and weights",
        extension=True,
    ),
    words(
        "fastha_lvs_peer",
        "ADDRESS:PORT of another director of the same servers, as its fastha_lvs_share has it",
        multiple=True,
        extension=True,
    ),
)
table(
    "SSL",
    word("password", "password of the key"),
    word("ca", "file of certificate authorities"),
    word("certificate", "file of the client certificate"),
    word("key", "file of its key"),
)

_INHERITED = (
    number("retry", 1, UINT, "further tries before a server that is up counts as failed", "1"),
    seconds("delay_before_retry", 0, TIME, "time between them", "1; HTTP 3; DNS delay_loop"),
    seconds("warmup", 0, TIME, "the first check comes within this time, at random", "delay_loop"),
    seconds("connect_timeout", 0.000001, 4294.967295, "time limit of a connection", "5"),
    seconds("delay_loop", 0.000001, TIME, "period of checks", "60"),
    boolean("smtp_alert", "mail on a change", "global"),
    word("virtualhost", "Host: of HTTP checks", "none"),
    text("snmp_name", "name in SNMP"),
    boolean("alpha", "start down", loose=True),
)

table(
    "virtual_server",
    *_INHERITED,
    choice("ip_family", ("inet", "inet6"), "family, for marks and groups", "of the addresses"),
    boolean("inhibit_on_failure", "failed servers stay with weight 0", loose=True),
    choice("lb_algo", SCHEDULERS, "scheduler", "wlc"),
    choice("lvs_sched", SCHEDULERS, "scheduler", "wlc"),
    flag("hashed", "hash entries"),
    flag("ops", "one-packet scheduling (UDP)"),
    flag("flag-1", "first flag of the scheduler"),
    flag("flag-2", "second flag of the scheduler"),
    flag("flag-3", "third flag of the scheduler"),
    flag("sh-port", "sh: hash the port, too"),
    flag("sh-fallback", "sh: fall back when the server is down"),
    flag("mh-port", "mh: hash the port, too"),
    flag("mh-fallback", "mh: fall back when the server is down"),
    words("lb_kind", f"forwarding: {METHOD}", "NAT"),
    words("lvs_method", f"forwarding: {METHOD}", "NAT"),
    word("persistence_engine", "persistence engine (sip)"),
    number(
        "persistence_timeout", 1, 2678400, "persistence, seconds", "off; 360 without a value", optional=True
    ),
    word("persistence_granularity", "which clients are one: netmask (IPv4) or prefix length (IPv6)", "host"),
    choice("protocol", ("TCP", "UDP", "SCTP"), "transport", "UDP, with a warning"),
    flag("ha_suspend", "check only while the address is here"),
    flag("omega", "run notify_down and quorum_down at stop, too"),
    command("quorum_up", "run when the quorum is gained"),
    command("quorum_down", "run when the quorum is lost"),
    number("quorum", 1, UINT, "sum of weights that is needed", "1"),
    number("hysteresis", 0, UINT, "margin around the quorum", "0"),
    number("weight", 1, 65535, "default weight of real servers", "1"),
    words("sorry_server", "serves when the quorum is lost: ADDRESS [PORT]"),
    flag("sorry_server_inhibit", "keep it with weight 0 otherwise"),
    words("sorry_server_lvs_method", f"its forwarding: {METHOD}", "lvs_method"),
    block("real_server", "real_server", "a server: ADDRESS [PORT]", multiple=True, named=True),
    number("fastha_panic", 0, 100, "keep the last good set when over N % fail at once", "0", extension=True),
    boolean("fastha_damping", "hold back real servers that flap", extension=True),
)

CHECKER_TABLES = (
    "TCP_CHECK",
    "PING_CHECK",
    "UDP_CHECK",
    "SMTP_CHECK",
    "DNS_CHECK",
    "MISC_CHECK",
    "FILE_CHECK",
    "BFD_CHECK",
    "HTTP_GET",
    "SSL_GET",
    "GRPC_CHECK",
    "GREETING_CHECK",
    "AGENT_CHECK",
)
_CHECK_HELP = {
    "TCP_CHECK": "up when a connection is made",
    "PING_CHECK": "up when an echo is answered",
    "UDP_CHECK": "up when no ICMP error comes back",
    "SMTP_CHECK": "up when a mail server greets",
    "DNS_CHECK": "up when a question is answered",
    "MISC_CHECK": "up when a program exits with 0",
    "FILE_CHECK": "the number in a track_file",
    "BFD_CHECK": "up while a BFD session is",
    "HTTP_GET": "up when pages are as they should be",
    "SSL_GET": "HTTP_GET through TLS",
    "GRPC_CHECK": "grpc.health.v1 says SERVING",
    "GREETING_CHECK": "the first words of a database",
    "AGENT_CHECK": "a line as HAProxy's agents send it",
}
_OWN = ("GRPC_CHECK", "GREETING_CHECK", "AGENT_CHECK")

table(
    "real_server",
    *_INHERITED,
    boolean("alpha", "start down", "of the virtual server"),
    number("weight", 0, 65535, "weight", "of the virtual server"),
    words("lvs_method", f"forwarding: {METHOD}", "of the virtual server"),
    number("uthreshold", 0, UINT, "most connections", "0"),
    number("lthreshold", 0, UINT, "take new ones again below", "0"),
    boolean("inhibit_on_failure", "stay with weight 0 when failed", "of the virtual server"),
    command("notify_up", "run when it comes up"),
    command("notify_down", "run when it goes down"),
    *(
        block(
            name,
            name,
            _CHECK_HELP[name],
            multiple=True,
            extension=name in _OWN,
        )
        for name in CHECKER_TABLES
    ),
    seconds("fastha_slow_start", 0, 86400, "the weight grows over this time", "0", extension=True),
    number("fastha_pool", 0, 255, "stand-by pool: 0 serves first, then 1...", "0", extension=True),
    boolean("fastha_drain", "no new connections", extension=True),
)

_OWN_TIMES = (
    number("fastha_rise", 1, 65535, "successes in a row to be up again", "1", extension=True),
    number("fastha_jitter", 0, 50, "vary the period at random by N %", "0", extension=True),
)
_PERIOD = (
    number("retry", 0, UINT, "further tries before a server that is up counts as failed", "1"),
    seconds("delay_before_retry", 0, TIME, "time between them", "1"),
    seconds("warmup", 0, TIME, "the first check comes within this time, at random", "delay_loop"),
    seconds("delay_loop", 0.000001, TIME, "period", "60"),
    boolean("alpha", "start down", "of the real server"),
    boolean("log_all_failures", "log each failure", "checker_log_all_failures"),
    *_OWN_TIMES,
)
_NETWORK = (
    *_PERIOD,
    ip("connect_ip", "where to connect", "the real server"),
    number("connect_port", 1, 65535, "port to connect to", "of the real server"),
    ip("bindto", "source address"),
    number("bind_port", 1, 65535, "source port"),
    word("bind_if", "source interface"),
    seconds("connect_timeout", 0.000001, 4294.967295, "time limit", "5"),
    number("fwmark", 0, UINT, "mark of packets", "0"),
    boolean(
        "fastha_data_path",
        "ask the virtual address, the way clients' packets go",
        extension=True,
    ),
)
_TLS = (
    word("fastha_tls_ca", "file of certificate authorities", "SSL", extension=True),
    word("fastha_tls_certificate", "file of the client certificate", "SSL", extension=True),
    word("fastha_tls_key", "file of its key", "SSL", extension=True),
    word("fastha_tls_password", "password of the key", "SSL", extension=True),
    boolean("fastha_tls_verify", "the certificate must be valid for the name asked", extension=True),
    choice("fastha_tls_minimum", ("1.0", "1.1", "1.2", "1.3"), "oldest version accepted", extension=True),
    number("fastha_tls_expiry", 0, 3650, "tell when it ends within N days; 0: never", "0", extension=True),
)
_SNI: tuple[Keyword, ...] = (
    boolean("enable_sni", "send the virtualhost as server name"),
    word("sni_name", "server name to send", "virtualhost", optional=True),
)
_HTTP = (
    *_NETWORK,
    number("nb_get_retry", 0, UINT, "use retry", status="deprecated"),
    word("virtualhost", "Host:", "of the real server"),
    choice(
        "http_protocol",
        ("1.0", "1.0C", "1.0c", "1.1", "2"),
        "how to ask; C adds Connection: close; 2 is fastha's own",
        "1.0",
    ),
    *_SNI,
    boolean("fast_recovery", "when down, try all pages at once"),
    block("url", "url", "a page and what it must be", multiple=True),
)

table("TCP_CHECK", *_NETWORK)
table("PING_CHECK", *_NETWORK)
table(
    "UDP_CHECK",
    *_NETWORK,
    words("payload", "what to send, hexadecimal", "keepalived's own text"),
    words("require_reply", "an answer is needed, perhaps this one: hexadecimal, X is any", optional=True),
    number("min_reply_length", 0, 65535, "shortest answer", "0"),
    number("max_reply_length", 0, 65535, "longest answer", "255"),
)
table(
    "SMTP_CHECK",
    *_NETWORK,
    word("helo_name", "HELO argument", "smtpchecker.keepalived.org"),
    block("host", "host", "old place of connect_ip and so on", status="deprecated", multiple=True),
)
table("host", *_NETWORK)
table(
    "DNS_CHECK",
    *_NETWORK,
    choice("type", ("A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA"), "record to ask for", "SOA"),
    word("name", "name to ask for", "."),
)
table(
    "MISC_CHECK",
    *_PERIOD,
    command("misc_path", "the program"),
    seconds("misc_timeout", 0, TIME, "its limit", "delay_loop"),
    flag("misc_dynamic", "exit codes 2 to 255 mean up with a weight of that less 2"),
    words("user", "user (and group) that it runs as", "script_user"),
)
table(
    "FILE_CHECK",
    word("track_file", "which"),
    words("weight", "multiplier [reverse]; 0: a number other than 0 means down", "of the track_file"),
    boolean("alpha", "start down", "of the real server", extension=True),
)
table(
    "BFD_CHECK",
    word("name", "the bfd_instance"),
    boolean("alpha", "start down", "of the real server"),
)
table("HTTP_GET", *_HTTP)
table("SSL_GET", *_HTTP, boolean("tls_compliant", "a proper end of TLS is needed"), *_TLS)
table(
    "url",
    word("path", "compulsory", "/"),
    word("digest", "MD5 of the body, 32 hexadecimal digits (see fastha genhash)"),
    words("status_code", "accepted: N | A-B, several with blanks or commas", "200-299"),
    word("virtualhost", "Host:", "of the check"),
    word("regex", "PCRE2 that the body must match"),
    flag("regex_no_match", "must not match"),
    words("regex_options", "PCRE2 options: " + " ".join(REGEX_OPTIONS)),
    number("regex_min_offset", 0, UINT, "the match begins there or later", "0"),
    number("regex_max_offset", 0, UINT, "the match begins there or before"),
    words("regex_stack", "sizes of keepalived's JIT stack: START MAX", status="ignored"),
    boolean("tls_compliant", "a proper end of TLS is needed", "of the check", extension=True),
    word("fastha_json_path", "a field of a JSON body, as a.b[0].c", extension=True),
    word("fastha_json_value", "what the field must be", "anything", extension=True),
)
table(
    "GRPC_CHECK",
    *_NETWORK,
    word("service", "name of the service", "the whole server", extension=True),
    word("authority", "the :authority to send", "the address", extension=True),
    flag("ssl", "through TLS", extension=True),
    word("sni_name", "server name to send", extension=True),
    *_TLS,
)
table(
    "GREETING_CHECK",
    *_NETWORK,
    choice("protocol", ("redis", "mysql", "postgresql"), "whose greeting; compulsory", extension=True),
    word("password", "redis only", extension=True),
)
table("AGENT_CHECK", *_NETWORK, word("send", "what to say first", "nothing", extension=True))

lenient("SSL", "warning", "password", "ca", "certificate", "key")
lenient("virtual_server", "warning", "snmp_name", "sorry_server_lvs_method", "virtualhost")
lenient("real_server", "warning", "snmp_name", "virtualhost")
lenient("MISC_CHECK", "nothing", "misc_path")
lenient("MISC_CHECK", "warning", "user")
lenient("UDP_CHECK", "warning", "payload")
lenient("SMTP_CHECK", "warning", "helo_name")
lenient("HTTP_GET", "warning", "http_protocol", "virtualhost")
lenient("SSL_GET", "warning", "http_protocol", "virtualhost")
lenient("url", "warning", "virtualhost")
lenient(
    "url",
    "nothing",
    "regex",
    "regex_max_offset",
    "regex_min_offset",
    "regex_options",
    "regex_stack",
    "status_code",
)
first_counts("virtual_server", "quorum_up", "quorum_down")
first_counts("real_server", "notify_up", "notify_down")
first_counts("DNS_CHECK", "name")
