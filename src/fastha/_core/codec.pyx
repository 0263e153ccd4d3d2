"""Packets as Python sees them: VRRP, BFD, ARP and Neighbor Discovery, over the same C functions that the
engine runs.

For tests, tools and simulations. The daemon itself does not pass packets through Python. Nothing here opens
a socket or reads a clock. The signatures and their meaning are in codec.pyi.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastha._core.ccodec cimport *

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

__all__ = [
    "BfdAuth", "BfdKey", "BfdPacket", "CodecError", "NeighSeen", "VrrpAdvert", "VrrpHmacKey", "VrrpReceiver",
    "VrrpTemplate", "BFD_RX_NAMES", "VRRP_RX_NAMES", "arp_reply", "bfd_check_ttl", "bfd_decode",
    "bfd_diag_name",
    "bfd_encode", "bfd_state_name", "checksum", "digest", "garp", "hmac", "neigh_answer", "neigh_parse",
    "neighbor_advertisement", "solicited_node", "virtual_mac", "vrrp_decode", "vrrp_down_ns", "vrrp_encode",
    "vrrp_interval_ns", "vrrp_interval_wire", "vrrp_peek", "vrrp_skew_ns",
]

AF_INET = 2
AF_INET6 = 10
VRRP_RX_NAMES = tuple((<bytes>fh_vrrp_rx_name(<fh_vrrp_rx>i)).decode() for i in range(FH_VRRP_RX_N))
BFD_RX_NAMES = tuple((<bytes>fh_bfd_rx_name(<fh_bfd_rx>i)).decode() for i in range(FH_BFD_RX_N))


class CodecError(ValueError):
    """What was asked for cannot be put on the wire; the message says why."""


# ---- addresses ----


cdef int put_addr(fh_addr *out, object address) except -1:
    """Fills *out; gives the family."""
    if isinstance(address, str):
        address = ip_address(address)
    cdef bytes packed = address.packed
    memset(out, 0, sizeof(fh_addr))
    memcpy(out.b, <const char *>packed, len(packed))
    return FH_AF_INET6 if len(packed) == 16 else FH_AF_INET


cdef object get_addr(int family, const fh_addr *a):
    if family == FH_AF_INET6:
        return IPv6Address(PyBytes_FromStringAndSize(<const char *>a.b, 16))
    return IPv4Address(PyBytes_FromStringAndSize(<const char *>a.b, 4))


cdef int put_mac(uint8_t *out, object mac) except -1:
    if isinstance(mac, str):
        mac = bytes.fromhex(mac.replace(":", ""))
    cdef bytes octets = bytes(mac)
    if len(octets) != 6:
        raise CodecError(f"a MAC address has 6 octets, not {len(octets)}")
    memcpy(out, <const char *>octets, 6)
    return 0


cdef class _Addresses:
    """A list of addresses of one family in C's form."""
    cdef fh_addr *items
    cdef Py_ssize_t count
    cdef tuple families

    def __cinit__(self, addresses):
        addresses = list(addresses)
        self.count = len(addresses)
        self.items = <fh_addr *>calloc(max(self.count, 1), sizeof(fh_addr))
        if self.items == NULL:
            raise MemoryError
        families = []
        for i in range(self.count):
            families.append(put_addr(&self.items[i], addresses[i]))
        self.families = tuple(families)

    def __dealloc__(self):
        free(self.items)

    cdef int want(self, int family) except -1:
        for other in self.families:
            if other != family:
                raise CodecError("an address of the list is not of the packet's family (RFC 9568 5.2.9)")
        return 0


# ---- digests and checksum ----


def digest(str name, bytes data not None):
    cdef uint8_t out[32]
    cdef const char *p = data
    if name == "md5":
        fh_md5_sum(p, len(data), out)
        return out[:16]
    if name == "sha1":
        fh_sha1_sum(p, len(data), out)
        return out[:20]
    if name == "sha256":
        fh_sha256_sum(p, len(data), out)
        return out[:32]
    raise CodecError(f"no digest {name!r}: md5, sha1 or sha256")


def hmac(str name, bytes key not None, bytes data not None):
    cdef uint8_t out[32]
    cdef fh_hmac_md5_key md5
    cdef fh_hmac_sha256_key sha256
    cdef const char *k = key
    cdef const char *p = data
    if name == "md5":
        fh_hmac_md5_prepare(&md5, k, len(key))
        fh_hmac_md5(&md5, p, len(data), out)
        return out[:16]
    if name == "sha256":
        fh_hmac_sha256_prepare(&sha256, k, len(key))
        fh_hmac_sha256(&sha256, p, len(data), out)
        return out[:32]
    raise CodecError(f"no HMAC {name!r}: md5 or sha256")


def checksum(bytes data not None):
    cdef const char *p = data
    return fh_sum_fold(fh_sum_add(0, p, len(data)))


# ---- VRRP ----


def virtual_mac(int family, int vrid):
    cdef uint8_t mac[6]
    fh_vrrp_virtual_mac(family, vrid, mac)
    return mac[:6]


def vrrp_skew_ns(int version, int priority, fh_ns interval_ns):
    return fh_vrrp_skew_ns(version, priority, interval_ns)


def vrrp_down_ns(int version, int priority, fh_ns interval_ns, unsigned adverts=3):
    return fh_vrrp_down_ns(version, priority, interval_ns, adverts)


def vrrp_interval_ns(int version, int wire):
    return fh_vrrp_interval_ns(version, wire)


def vrrp_interval_wire(int version, fh_ns interval_ns):
    return fh_vrrp_interval_wire(version, interval_ns)


class VrrpAdvert(NamedTuple):
    version: int
    vrid: int
    priority: int
    interval: int
    interval_ns: int
    auth_type: int
    addresses: tuple
    flags: frozenset = frozenset()
    source: object = None
    hmac_key_id: int = 0
    hmac_why: str = ""


cdef tuple _FLAGS = (
    (FH_VRRP_F_INTERVAL, "interval"),
    (FH_VRRP_F_ADDR_COUNT, "addr_count"),
    (FH_VRRP_F_ADDR_LIST, "addr_list"),
    (FH_VRRP_F_OWN_SOURCE, "own_source"),
    (FH_VRRP_F_OWNER, "owner"),
    (FH_VRRP_F_OLD_CHECKSUM, "old_checksum"),
    (FH_VRRP_F_HMAC_TOLERATED, "hmac_tolerated"),
    (FH_VRRP_F_HMAC_IGNORED, "hmac_ignored"),
    (FH_VRRP_F_HMAC_VERIFIED, "hmac_verified"),
    (FH_VRRP_F_COUNT_ZERO, "count_zero"),
    (FH_VRRP_F_FIRST_NOT_LINKLOCAL, "first_not_linklocal"),
)


cdef object make_advert(int family, const fh_vrrp_advert *a, bint received):
    cdef size_t size = 16 if family == FH_AF_INET6 else 4
    make = IPv6Address if family == FH_AF_INET6 else IPv4Address
    cdef const char *packed = <const char *>a.addrs
    cdef size_t i
    addresses = []
    for i in range(a.addr_count):
        addresses.append(make(PyBytes_FromStringAndSize(packed + i * size, size)))
    flags = frozenset(name for bit, name in _FLAGS if a.flags & <uint32_t>bit)
    why = (<bytes>fh_vrrp_rx_name(<fh_vrrp_rx>a.hmac_why)).decode() if "hmac_tolerated" in flags else ""
    return VrrpAdvert(
        a.version, a.vrid, a.priority, a.interval, a.interval_ns, a.auth_type, tuple(addresses), flags,
        get_addr(family, &a.src) if received else None, a.hmac_key_id, why,
    )


cdef int fill_msg(fh_vrrp_msg *m, version, vrid, priority, interval, src, dst, auth_type, bytes auth_data,
                  no_pseudo, _Addresses list_) except -1:
    memset(m, 0, sizeof(fh_vrrp_msg))
    m.version = version
    m.family = put_addr(&m.src, src)
    if put_addr(&m.dst, dst) != m.family:
        raise CodecError("source and destination are not of the same family")
    m.vrid = vrid
    m.priority = priority
    m.interval = interval
    m.auth_type = auth_type
    if len(auth_data) > 8:
        raise CodecError("VRRPv2's authentication data has at most 8 octets (RFC 2338 5.3.10)")
    memcpy(m.auth_data, <const char *>auth_data, len(auth_data))
    m.no_pseudo = no_pseudo
    if list_.count > 255:
        raise CodecError(f"{list_.count} addresses do not fit one advert: at most 255")
    list_.want(m.family)
    m.addr_count = <uint8_t>list_.count
    m.addrs = list_.items
    return 0


def vrrp_encode(*, version, vrid, priority, interval, addresses, src, dst, auth_type=0, bytes auth_data=b"",
                no_pseudo=False):
    cdef fh_vrrp_msg m
    cdef uint8_t buf[FH_VRRP_MSG_MAX + FH_VRRP_AUTH_LEN]
    cdef fh_vrrp_build why = FH_VRRP_BUILD_OK
    cdef _Addresses list_ = _Addresses(addresses)
    fill_msg(&m, version, vrid, priority, interval, src, dst, auth_type, auth_data, no_pseudo, list_)
    cdef size_t n = fh_vrrp_encode(&m, buf, sizeof(buf), &why)
    if n == 0:
        raise CodecError((<bytes>fh_vrrp_build_name(why)).decode())
    return PyBytes_FromStringAndSize(<const char *>buf, n)


def vrrp_decode(int family, bytes message not None):
    cdef fh_vrrp_advert a
    cdef const char *p = message
    if not fh_vrrp_decode(family, <const uint8_t *>p, len(message), &a):
        return None
    return make_advert(family, &a, False)


def vrrp_peek(bytes payload not None, int proto=112):
    cdef fh_vrrp_peek_info info
    cdef const char *p = payload
    if not fh_vrrp_peek(proto, <const uint8_t *>p, len(payload), &info):
        return None
    return info.version, info.type, info.vrid, info.priority


cdef class VrrpHmacKey:
    cdef fh_vrrp_hmac_key key

    def __init__(self, int key_id, bytes secret not None):
        if not 1 <= key_id <= 255:
            raise CodecError("an auth_hmac key id is 1 to 255")
        cdef const char *p = secret
        fh_vrrp_hmac_key_init(&self.key, key_id, p, len(secret))

    @property
    def key_id(self):
        return self.key.id


cdef class VrrpTemplate:
    cdef uint8_t buf[FH_VRRP_PACKET_MAX]
    cdef fh_vrrp_template t
    cdef fh_vrrp_sign_state state
    cdef fh_hmac_md5_key ah
    cdef VrrpHmacKey hmac_key

    def __init__(self, *, version, vrid, priority, interval, addresses, src, dst=None, auth_type=0,
                 bytes auth_data=b"", no_pseudo=False, ttl=255, tos=0xc0, ip_id=0, dont_fragment=False,
                 old_unicast_checksum=False, eth_src=None, eth_dst=None, VrrpHmacKey hmac_key=None):
        cdef fh_vrrp_tx_conf conf
        cdef fh_addr probe
        memset(&conf, 0, sizeof(conf))
        if dst is None:
            dst = get_addr(put_addr(&probe, src), fh_vrrp_group(put_addr(&probe, src)))
        cdef _Addresses list_ = _Addresses(addresses)
        fill_msg(&conf.msg, version, vrid, priority, interval, src, dst, auth_type, auth_data, no_pseudo,
                 list_)
        conf.ttl = ttl
        conf.tos = tos
        conf.ip_id = ip_id
        conf.dont_fragment = dont_fragment
        conf.old_unicast_checksum = old_unicast_checksum
        conf.ethernet = eth_src is not None
        if eth_src is not None:
            put_mac(conf.eth_src, eth_src)
        if eth_dst is not None:
            put_mac(conf.eth_dst, eth_dst)
        if auth_type == 2:
            fh_vrrp_ah_key_init(&self.ah, <const char *>auth_data, len(auth_data))
            conf.ah_key = &self.ah
        if hmac_key is not None:
            self.hmac_key = hmac_key
            conf.hmac_key = &hmac_key.key
        memset(&self.state, 0, sizeof(self.state))
        cdef fh_vrrp_build r = fh_vrrp_template_init(&self.t, self.buf, sizeof(self.buf), &conf)
        if r != FH_VRRP_BUILD_OK:
            raise CodecError((<bytes>fh_vrrp_build_name(r)).decode())

    @property
    def needs_sign(self):
        return bool(fh_vrrp_template_needs_sign(&self.t))

    @property
    def priority(self):
        return fh_vrrp_template_priority(&self.t)

    @priority.setter
    def priority(self, uint8_t value):
        fh_vrrp_template_set_priority(&self.t, value)

    def set_interval(self, uint16_t interval):
        fh_vrrp_template_set_interval(&self.t, interval)

    def set_ip_id(self, uint16_t ip_id):
        fh_vrrp_template_set_ip_id(&self.t, ip_id)

    def sign(self, int64_t clock_ns):
        fh_vrrp_template_sign(&self.t, &self.state, clock_ns)

    @property
    def frame(self):
        cdef size_t n
        cdef const uint8_t *p = fh_vrrp_template_frame(&self.t, &n)
        return PyBytes_FromStringAndSize(<const char *>p, n)

    @property
    def packet(self):
        cdef size_t n
        cdef const uint8_t *p = fh_vrrp_template_packet(&self.t, &n)
        return PyBytes_FromStringAndSize(<const char *>p, n)

    @property
    def payload(self):
        cdef size_t n
        cdef const uint8_t *p = fh_vrrp_template_payload(&self.t, &n)
        return PyBytes_FromStringAndSize(<const char *>p, n)


cdef dict _HMAC_MODES = {
    "off": FH_VRRP_HMAC_OFF,
    "enforce": FH_VRRP_HMAC_ENFORCE,
    "permissive": FH_VRRP_HMAC_PERMISSIVE,
    "receive-only": FH_VRRP_HMAC_RECEIVE_ONLY,
}


cdef class VrrpReceiver:
    cdef fh_vrrp_rx_conf conf
    cdef fh_vrrp_rx_state state
    cdef fh_hmac_md5_key ah
    cdef _Addresses list_
    cdef fh_vrrp_peer *peers
    cdef fh_vrrp_hmac_key *keys

    def __cinit__(self):
        memset(&self.conf, 0, sizeof(self.conf))
        memset(&self.state, 0, sizeof(self.state))

    def __init__(self, *, version, family, vrid, interval, addresses, priority=100, auth_type=0,
                 bytes auth_data=b"",
                 no_pseudo=False, unicast=False, check_unicast_src=False, peers=(), owner_ignores=False,
                 accept_count_zero=False, accept_first_global=False, skip_check_adv_addr=False,
                 discard_addr_mismatch=False, old_checksum_auto=False, hmac_mode="off", hmac_keys=(),
                 hmac_monotonic=False, hmac_window_s=5, hmac_forget_ns=0, own_src=None):
        cdef fh_vrrp_rx_conf *c = &self.conf
        cdef VrrpHmacKey key
        c.version = version
        c.family = family
        c.vrid = vrid
        c.priority = priority
        c.interval = interval
        c.auth_type = auth_type
        if len(auth_data) > 8:
            raise CodecError("VRRPv2's authentication data has at most 8 octets (RFC 2338 5.3.10)")
        memcpy(c.auth_data, <const char *>auth_data, len(auth_data))
        if auth_type == 2:
            fh_vrrp_ah_key_init(&self.ah, <const char *>auth_data, len(auth_data))
            c.ah_key = &self.ah
        c.no_pseudo = no_pseudo
        c.unicast = unicast
        c.check_unicast_src = check_unicast_src
        c.owner_ignores = owner_ignores
        c.accept_count_zero = accept_count_zero
        c.accept_first_global = accept_first_global
        c.skip_check_adv_addr = skip_check_adv_addr
        c.addr_policy = FH_VRRP_ADDRS_DISCARD if discard_addr_mismatch else FH_VRRP_ADDRS_PROCESS
        c.old_checksum = bool(old_checksum_auto)
        c.hmac_mode = _HMAC_MODES[hmac_mode]
        c.hmac_monotonic = hmac_monotonic
        c.hmac_window_s = hmac_window_s
        c.hmac_forget_int = hmac_forget_ns
        if own_src is not None:
            put_addr(&c.own_src, own_src)
        self.list_ = _Addresses(addresses)
        self.list_.want(family)
        if self.list_.count > 255:
            raise CodecError("at most 255 addresses")
        c.addr_count = <uint8_t>self.list_.count
        c.addrs = self.list_.items

        peers = list(peers)
        self.peers = <fh_vrrp_peer *>calloc(max(len(peers), 1), sizeof(fh_vrrp_peer))
        keys = list(hmac_keys)
        self.keys = <fh_vrrp_hmac_key *>calloc(max(len(keys), 1), sizeof(fh_vrrp_hmac_key))
        if self.peers == NULL or self.keys == NULL:
            raise MemoryError
        for i, (address, low, high) in enumerate(peers):
            put_addr(&self.peers[i].addr, address)
            self.peers[i].min_ttl = -1 if low is None else low
            self.peers[i].max_ttl = -1 if high is None else high
        for i, item in enumerate(keys):
            key = item
            self.keys[i] = key.key
        c.peers = self.peers
        c.peer_count = <uint16_t>len(peers)
        c.hmac_keys = self.keys
        c.hmac_key_count = <uint8_t>len(keys)
        fh_vrrp_rx_conf_prepare(c)

    def __dealloc__(self):
        free(self.peers)
        free(self.keys)

    @property
    def state_bytes(self):
        return PyBytes_FromStringAndSize(<const char *>&self.state, sizeof(self.state))

    @property
    def ah_sequence(self):
        return self.state.sign.ah_seq if self.state.sign.ah_seq_known else None

    cdef object run(self, const fh_rx_meta *meta, const uint8_t *payload, size_t n):
        cdef fh_vrrp_advert a
        cdef fh_vrrp_rx r = fh_vrrp_receive(&self.conf, &self.state, meta, payload, n, &a)
        advert = make_advert(self.conf.family, &a, True) if r == FH_VRRP_RX_OK else None
        return VRRP_RX_NAMES[<int>r], advert

    def receive(self, bytes payload not None, *, src, dst, int ttl=255, int proto=112, fh_ns mono_ns=1,
                int64_t wall_ns=0):
        cdef fh_rx_meta meta
        memset(&meta, 0, sizeof(meta))
        meta.family = put_addr(&meta.src, src)
        put_addr(&meta.dst, dst)
        meta.ttl = ttl
        meta.proto = proto
        meta.mono_ns = mono_ns
        meta.wall_ns = wall_ns
        cdef const char *p = payload
        return self.run(&meta, <const uint8_t *>p, len(payload))

    def receive_packet(self, bytes packet not None, *, fh_ns mono_ns=1, int64_t wall_ns=0):
        cdef fh_rx_meta meta
        cdef const uint8_t *payload
        cdef size_t n
        cdef fh_ip_rx ip
        cdef const char *p = packet
        memset(&meta, 0, sizeof(meta))
        if self.conf.family == FH_AF_INET6:
            ip = fh_ip6_parse(<const uint8_t *>p, len(packet), &meta, &payload, &n)
        else:
            ip = fh_ip4_parse(<const uint8_t *>p, len(packet), True, &meta, &payload, &n)
        if ip != FH_IP_OK:
            return "ip_" + (<bytes>fh_ip_rx_name(ip)).decode(), None
        meta.mono_ns = mono_ns
        meta.wall_ns = wall_ns
        return self.run(&meta, payload, n)


# ---- neighbours ----


cdef dict _THA = {
    "broadcast": FH_GARP_THA_BROADCAST,
    "zero": FH_GARP_THA_ZERO,
    "sender": FH_GARP_THA_SENDER,
}


class NeighSeen(NamedTuple):
    kind: str
    family: int = 0
    claim: object = None
    mac: bytes = b""
    target: object = None
    source: object = None
    eth_src: bytes = b""
    router: bool = False
    solicited: bool = False
    override: bool = False
    nonce: bytes = b""


def garp(mac, ip, *, tha="broadcast", reply=False):
    cdef uint8_t buf[FH_ARP_FRAME_LEN]
    cdef uint8_t m[6]
    cdef fh_addr a
    put_mac(m, mac)
    if put_addr(&a, ip) != FH_AF_INET:
        raise CodecError("gratuitous ARP is for IPv4")
    cdef size_t n = fh_garp_build(buf, sizeof(buf), m, a.b, <fh_garp_tha><int>_THA[tha], reply)
    return PyBytes_FromStringAndSize(<const char *>buf, n)


def arp_reply(mac, ip, asker_mac, asker_ip):
    cdef uint8_t buf[FH_ARP_FRAME_LEN]
    cdef uint8_t m[6]
    cdef uint8_t asker[6]
    cdef fh_addr a
    cdef fh_addr b
    put_mac(m, mac)
    put_mac(asker, asker_mac)
    if put_addr(&a, ip) != FH_AF_INET or put_addr(&b, asker_ip) != FH_AF_INET:
        raise CodecError("ARP is for IPv4")
    cdef size_t n = fh_arp_reply_build(buf, sizeof(buf), m, a.b, asker, b.b)
    return PyBytes_FromStringAndSize(<const char *>buf, n)


def neighbor_advertisement(mac, target, *, router=True, solicited=False, override=True, src=None, dst=None,
                           dst_mac=None):
    cdef uint8_t buf[FH_NA_FRAME_LEN]
    cdef uint8_t m[6]
    cdef uint8_t to_mac[6]
    cdef fh_addr t
    cdef fh_addr s
    cdef fh_addr d
    put_mac(m, mac)
    family = put_addr(&t, target)
    if src is not None:
        family = min(family, put_addr(&s, src))
    if dst is not None:
        family = min(family, put_addr(&d, dst))
        put_mac(to_mac, dst_mac)
    if family != FH_AF_INET6:
        raise CodecError("Neighbor Advertisements are for IPv6")
    flags = (FH_NA_ROUTER if router else 0) | (FH_NA_SOLICITED if solicited else 0)
    flags |= FH_NA_OVERRIDE if override else 0
    cdef size_t n = fh_na_build(buf, sizeof(buf), m, &t, flags, NULL if src is None else &s,
                                NULL if dst is None else &d, to_mac)
    return PyBytes_FromStringAndSize(<const char *>buf, n)


def solicited_node(address):
    cdef fh_addr a
    cdef fh_addr group
    if put_addr(&a, address) != FH_AF_INET6:
        raise CodecError("solicited-node groups are IPv6's")
    fh_solicited_node(&a, &group)
    return get_addr(FH_AF_INET6, &group)


def neigh_parse(bytes frame not None):
    cdef fh_neigh_seen s
    cdef const char *p = frame
    cdef fh_neigh kind = fh_neigh_parse_frame(<const uint8_t *>p, len(frame), &s)
    name = (<bytes>fh_neigh_name(kind)).decode()
    if kind < FH_NEIGH_ARP_REQUEST:
        return NeighSeen(name)
    return NeighSeen(
        name, s.family, get_addr(s.family, &s.claim) if s.has_claim else None,
        s.mac[:6] if s.has_claim else b"", get_addr(s.family, &s.target), get_addr(s.family, &s.src),
        s.eth_src[:6],
        bool(s.flags & FH_NA_ROUTER), bool(s.flags & FH_NA_SOLICITED), bool(s.flags & FH_NA_OVERRIDE),
        s.nonce[:6] if s.has_nonce else b"",
    )


def neigh_answer(bytes frame not None, mac, *, router=True):
    cdef fh_neigh_seen s
    cdef uint8_t m[6]
    cdef uint8_t buf[FH_NA_FRAME_LEN]
    cdef const char *p = frame
    put_mac(m, mac)
    if fh_neigh_parse_frame(<const uint8_t *>p, len(frame), &s) < FH_NEIGH_ARP_REQUEST:
        return None
    cdef size_t n = fh_neigh_answer(&s, m, router, buf, sizeof(buf))
    return PyBytes_FromStringAndSize(<const char *>buf, n) if n else None


# ---- BFD ----


class BfdPacket(NamedTuple):
    state: int
    detect_mult: int
    my_discr: int
    your_discr: int = 0
    min_tx_us: int = 1_000_000
    min_rx_us: int = 1_000_000
    min_echo_rx_us: int = 0
    diag: int = 0
    flags: int = 0
    length: int = 24
    auth_type: int = 0
    auth_len: int = 0
    auth_key_id: int = 0
    auth_seq: int = 0


cdef dict _BUILD = {
    FH_BFD_BUILD_SPACE: "packet too large",
    FH_BFD_BUILD_FIELD: "a field is out of range, or P and F are both set",
    FH_BFD_BUILD_KEY: "impossible key",
}


def bfd_state_name(unsigned state):
    return (<bytes>fh_bfd_state_name(state)).decode()


def bfd_diag_name(unsigned diag):
    return (<bytes>fh_bfd_diag_name(diag)).decode()


cdef class BfdKey:
    cdef fh_bfd_key key

    def __init__(self, int key_id, int auth_type, bytes secret not None):
        if not 0 <= key_id <= 255:
            raise CodecError("a BFD key id is 0 to 255")
        cdef const char *p = secret
        if auth_type < 0 or not fh_bfd_key_init(&self.key, key_id, auth_type, p, len(secret)):
            raise CodecError("a BFD key is of type 1 to 5 and has 1-16 octets (SHA1: 1-20)")

    @property
    def key_id(self):
        return self.key.id

    @property
    def auth_type(self):
        return self.key.type


cdef int fill_packet(fh_bfd_packet *p, object packet) except -1:
    memset(p, 0, sizeof(fh_bfd_packet))
    p.version = 1
    p.state = packet.state
    p.detect_mult = packet.detect_mult
    p.my_discr = packet.my_discr
    p.your_discr = packet.your_discr
    p.min_tx_us = packet.min_tx_us
    p.min_rx_us = packet.min_rx_us
    p.min_echo_rx_us = packet.min_echo_rx_us
    p.diag = packet.diag
    p.flags = packet.flags
    p.auth_seq = packet.auth_seq
    return 0


def bfd_encode(packet, BfdKey key=None, *, size_t padded=0):
    cdef fh_bfd_packet p
    cdef fh_bfd_build why = FH_BFD_BUILD_OK
    fill_packet(&p, packet)
    cdef size_t cap = max(padded, <size_t>FH_BFD_PACKET_MAX)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, cap)
    cdef char *buf = out
    cdef size_t n = fh_bfd_encode(&p, NULL if key is None else &key.key, padded, <uint8_t *>buf, cap, &why)
    if n == 0:
        raise CodecError(_BUILD[<int>why])
    return out[:n]


def bfd_decode(bytes data not None):
    cdef fh_bfd_packet p
    cdef const char *b = data
    cdef fh_bfd_rx r = fh_bfd_decode(<const uint8_t *>b, len(data), &p)
    if r == FH_BFD_RX_OK:
        r = fh_bfd_check_your_zero(&p)
    if r != FH_BFD_RX_OK:
        return BFD_RX_NAMES[<int>r], None
    return "ok", BfdPacket(
        p.state, p.detect_mult, p.my_discr, p.your_discr, p.min_tx_us, p.min_rx_us, p.min_echo_rx_us, p.diag,
        p.flags, p.length, p.auth_type, p.auth_len, p.auth_key_id, p.auth_seq,
    )


def bfd_check_ttl(int ttl, int least):
    return BFD_RX_NAMES[<int>fh_bfd_check_ttl(ttl, least)]


cdef class BfdAuth:
    cdef fh_bfd_auth auth
    cdef fh_bfd_key keys[32]

    def __init__(self, keys=()):
        cdef BfdKey key
        keys = list(keys)
        if len(keys) > 32:
            raise CodecError("at most 32 keys")
        for i, item in enumerate(keys):
            key = item
            self.keys[i] = key.key
        memset(&self.auth, 0, sizeof(self.auth))
        self.auth.keys = self.keys
        self.auth.key_count = <uint8_t>len(keys)

    @property
    def sequence(self):
        return self.auth.rcv_seq if self.auth.seq_known else None

    @sequence.setter
    def sequence(self, value):
        self.auth.seq_known = value is not None
        self.auth.rcv_seq = 0 if value is None else value

    def check(self, bytes data not None, *, int detect_mult):
        cdef fh_bfd_packet p
        cdef const char *b = data
        cdef fh_bfd_rx r = fh_bfd_decode(<const uint8_t *>b, len(data), &p)
        if r == FH_BFD_RX_OK:
            r = fh_bfd_auth_check(&self.auth, &p, <const uint8_t *>b, detect_mult)
        return BFD_RX_NAMES[<int>r]
