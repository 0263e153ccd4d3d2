"""The keyword tables of BFD: bfd_instance, its authentication, and what fastha adds.

Source: keepalived.conf(5), "BFD CONFIGURATION"; ranges and defaults as keepalived has them.
"""

from __future__ import annotations

from .keywords import block, boolean, command, extend, flag, ip, lines, millis, number, table, word, words

MOST_MS = 4294967
AUTH_TYPES = ("simple", "keyed-md5", "meticulous-keyed-md5", "keyed-sha1", "meticulous-keyed-sha1")

extend(
    "root",
    block("bfd_instance", "bfd_instance", "a BFD session", multiple=True, named=True),
    block(
        "bfd_unsolicited",
        "bfd_unsolicited",
        "sessions that neighbours on an interface ask for (RFC 9468)",
        multiple=True,
        extension=True,
        named=True,
    ),
    block(
        "sbfd_reflector",
        "sbfd_reflector",
        "answer the questions of S-BFD initiators (RFC 7880, RFC 7881)",
        extension=True,
    ),
)
extend(
    "global_defs",
    words("bfd_notify_fifo", "FIFO of BFD events: PATH [USER [GROUP]]", extension=True),
    command("bfd_notify_fifo_script", "its reader", extension=True),
)

table(
    "bfd_instance",
    ip("neighbor_ip", "the neighbour; compulsory"),
    ip("neighbour_ip", "same as neighbor_ip"),
    ip("source_ip", "source of packets", "the kernel's choice"),
    millis("min_rx", 1, MOST_MS, "required interval of received packets, ms (or with suffix us)", "10"),
    millis("min_tx", 1, MOST_MS, "desired interval of sent packets, ms (or with suffix us)", "10"),
    millis("idle_tx", 1000, MOST_MS, "interval while the session is not up, ms", "1000"),
    number("multiplier", 1, 255, "intervals without a packet that mean down", "5"),
    flag("passive", "wait for the neighbour to speak first"),
    number("ttl", 1, 255, "TTL of sent packets", "255; accepted over IPv6: 64 and above"),
    number("hoplimit", 1, 255, "same as ttl", "255"),
    number("max_hops", -1, 255, "how much lower a received TTL may be; -1 and 255: any", "0"),
    boolean("multihop", "a session over several hops: port 4784 (RFC 5883)"),
    words("weight", "-253 to 253 [reverse], for track_bfd", "0"),
    flag("vrrp", "state changes go to VRRP (to all when neither word is given)"),
    flag("checker", "state changes go to checkers (to all when neither word is given)"),
    # fastha's own
    word("interface", "the link of the session, for link-local neighbours", extension=True),
    block(
        "authentication",
        "bfd_authentication",
        "authenticate packets (RFC 5880 6.7)",
        extension=True,
    ),
    millis("echo_tx", 0, MOST_MS, "interval of our Echo packets, ms; 0: none", "0", extension=True),
    millis("min_echo_rx", 0, MOST_MS, "interval of Echo packets we return, ms; 0: none", "0", extension=True),
    flag("unaffiliated_echo", "only Echo packets: the neighbour needs no BFD (RFC 9747)", extension=True),
    boolean("demand", "demand mode (RFC 5880 6.6)", extension=True),
    millis("demand_poll", 0, MOST_MS, "how often to poll in demand mode, ms; 0: never", "0", extension=True),
    number("sbfd", 1, 4294967295, "S-BFD initiator: the reflector's discriminator", "off", extension=True),
    command("notify", "run on every change, with BFD, the name and the state as arguments", extension=True),
    command("notify_up", "run when the session comes up", extension=True),
    command("notify_down", "run when the session goes down", extension=True),
    number("pad_to", 0, 9000, "pad packets to so many octets (RFC 9764); 0: do not", "0", extension=True),
)
table(
    "bfd_authentication",
    words(
        "key",
        "ID TYPE SECRET; TYPE: " + ", ".join(AUTH_TYPES) + "; SECRET: text, hex:HEX or file:PATH",
        multiple=True,
        extension=True,
    ),
    number("active_key", 0, 255, "the key that signs", "the first", extension=True),
    boolean("optional", "accept packets without authentication, too", extension=True),
)
table(
    "bfd_unsolicited",
    lines("neighbors", "prefixes that neighbours must be in", extension=True),
    millis("min_rx", 1, MOST_MS, "required interval of received packets, ms", "50", extension=True),
    millis("min_tx", 1, MOST_MS, "desired interval of sent packets, ms", "50", extension=True),
    number("multiplier", 1, 255, "intervals without a packet that mean down", "3", extension=True),
    number("max_sessions", 1, 4096, "sessions that may be made", "64", extension=True),
    block("authentication", "bfd_authentication", "authenticate packets", extension=True),
)
extend(
    "vrrp_instance",
    block(
        "bfd",
        "bfd_auto",
        "`bfd auto { ... }`: a session with whoever is master, built from its adverts",
        extension=True,
    ),
)
table(
    "bfd_auto",
    millis("min_rx", 1, MOST_MS, "required interval of received packets, ms", "10", extension=True),
    millis("min_tx", 1, MOST_MS, "desired interval of sent packets, ms", "10", extension=True),
    number("multiplier", 1, 255, "intervals without a packet that mean down", "3", extension=True),
    boolean("takeover", "become master at once when the session to the master is lost", "on", extension=True),
    millis(
        "takeover_delay",
        0,
        1000,
        "wait so long for a quicker backup's advert before taking over, ms",
        "0",
        extension=True,
    ),
    block("authentication", "bfd_authentication", "authenticate packets", extension=True),
)
table(
    "sbfd_reflector",
    number("discriminator", 1, 4294967295, "a discriminator that is answered", multiple=True, extension=True),
    millis("min_rx", 1, MOST_MS, "announced interval between questions, ms", "1000", extension=True),
    boolean("admin_down", "answer AdminDown instead of Up", extension=True),
    block("authentication", "bfd_authentication", "authenticate packets", extension=True),
)
