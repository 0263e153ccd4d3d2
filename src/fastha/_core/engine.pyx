"""The engine from Python's side: commands down, events up, counters readable at any time.

Nothing here runs in the engine thread. Memory for an instance is laid out here, handed down in a command and freed when
the engine says that it no longer uses it.
"""

from libc.errno cimport errno
from libc.stdint cimport int16_t, int64_t, intptr_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import os
import time

from fastha._core.cvrrp cimport (
    fh_addr,
    fh_event,
    fh_inst_conf,
    fh_ns,
    fh_track_link,
    fh_vrrp_cause_name,
    fh_vrrp_params,
    fh_vrrp_state_name,
)

cdef extern from "fh_digest.h" nogil:
    ctypedef struct fh_hmac_md5_key:
        pass

cdef extern from "fh_neigh_codec.h" nogil:
    enum:
        FH_GARP_THA_BROADCAST
        FH_NA_ROUTER
        FH_NA_OVERRIDE
    size_t fh_garp_build(uint8_t *buf, size_t cap, const uint8_t *mac, const uint8_t *ip, int tha, bint reply)
    size_t fh_na_build(uint8_t *buf, size_t cap, const uint8_t *mac, const fh_addr *target, uint8_t flags,
                       const fh_addr *src, const fh_addr *dst, const uint8_t *dst_mac)

cdef extern from "fh_vrrp_codec.h" nogil:
    cdef enum fh_vrrp_build:
        FH_VRRP_BUILD_OK
    enum:
        FH_VRRP_RX_N
        FH_VRRP_HMAC_RECEIVE_ONLY
    ctypedef struct fh_vrrp_hmac_key:
        uint8_t id
    ctypedef struct fh_vrrp_msg:
        uint8_t version
        uint8_t family
        uint8_t vrid
        uint8_t priority
        uint16_t interval
        uint8_t auth_type
        uint8_t addr_count
        uint8_t auth_data[8]
        bint no_pseudo
        fh_addr src
        fh_addr dst
        const fh_addr *addrs
    ctypedef struct fh_vrrp_tx_conf:
        fh_vrrp_msg msg
        uint8_t ttl
        uint8_t tos
        bint old_unicast_checksum
        bint ethernet
        uint8_t eth_src[6]
        const fh_hmac_md5_key *ah_key
        const fh_vrrp_hmac_key *hmac_key
    ctypedef struct fh_vrrp_template:
        pass
    ctypedef struct fh_vrrp_peer:
        fh_addr addr
        int16_t min_ttl
        int16_t max_ttl
    ctypedef struct fh_vrrp_rx_conf:
        uint8_t version
        uint8_t family
        uint8_t vrid
        uint8_t priority
        uint8_t auth_type
        uint8_t auth_data[8]
        uint16_t interval
        bint no_pseudo
        bint unicast
        bint check_unicast_src
        bint owner_ignores
        bint accept_count_zero
        bint accept_first_global
        bint skip_check_adv_addr
        uint8_t addr_policy
        uint8_t old_checksum
        uint8_t hmac_mode
        bint hmac_monotonic
        uint16_t hmac_window_s
        fh_ns hmac_forget_int
        fh_addr own_src
        uint8_t addr_count
        uint8_t hmac_key_count
        uint16_t peer_count
        const fh_addr *addrs
        const fh_vrrp_peer *peers
        const fh_hmac_md5_key *ah_key
        const fh_vrrp_hmac_key *hmac_keys
    uint16_t fh_vrrp_interval_wire(int version, fh_ns interval_ns)
    size_t fh_vrrp_template_size(const fh_vrrp_tx_conf *conf, fh_vrrp_build *why)
    fh_vrrp_build fh_vrrp_template_init(fh_vrrp_template *t, uint8_t *buf, size_t cap, const fh_vrrp_tx_conf *conf)
    const char *fh_vrrp_build_name(fh_vrrp_build why)
    const char *fh_vrrp_rx_name(int why)
    void fh_vrrp_rx_conf_prepare(fh_vrrp_rx_conf *conf)
    void fh_vrrp_hmac_key_init(fh_vrrp_hmac_key *key, uint8_t id, const void *secret, size_t length)
    void fh_vrrp_ah_key_init(fh_hmac_md5_key *key, const void *password, size_t length)

cdef extern from "fh_sock.h" nogil:
    int fh_sock_vrrp_rx(int family, int protocol, uint32_t ifindex, int rcvbuf)
    int fh_sock_join(int fd, int family, uint32_t ifindex, const fh_addr *group)
    int fh_sock_leave(int fd, int family, uint32_t ifindex, const fh_addr *group)
    int fh_sock_arp_rx(uint32_t ifindex)
    int fh_sock_na_rx(uint32_t ifindex)
    int fh_sock_netlink(uint32_t groups, int rcvbuf)

cdef extern from "fh_engine.h" nogil:
    enum:
        FH_STATS
        FH_ENGINE_STATS
        FH_ENGINE_NO_FIFO
        FH_ENGINE_NO_MLOCK
        FH_ENGINE_NO_AFFINITY
        FH_EVENT_RETIRED
        FH_ITEM_ADDRESS
        FH_CMD_SOCK_ADD
        FH_CMD_SOCK_DEL
        FH_CMD_INST_ADD
        FH_CMD_INST_CONF
        FH_CMD_INST_STOP
        FH_CMD_INST_DEL
        FH_CMD_INST_TOLD
        FH_CMD_INST_ANNOUNCE
        FH_CMD_INST_TAKEOVER
        FH_CMD_GROUP
        FH_CMD_LINK_CONF
        FH_CMD_LINK_SET
        FH_CMD_PACE
        FH_CMD_STOP_ALL
        FH_CMD_WATCH
        FH_CMD_QUIT
    ctypedef struct fh_item:
        uint32_t add
        uint32_t remove
        uint32_t add_len
        uint32_t remove_len
        uint32_t ifindex
        fh_addr addr
        uint8_t kind
        uint8_t family
        uint8_t prefixlen
        bint renew
        bint tracked
    ctypedef struct fh_announcement:
        uint32_t ifindex
        uint16_t offset
        uint16_t length
        uint32_t pace
        uint8_t family
        fh_addr addr
    ctypedef struct fh_shot:
        fh_vrrp_template packet
        uint32_t ifindex
        fh_addr dst
        bint routed
    ctypedef struct fh_ei_conf:
        fh_inst_conf node
        fh_vrrp_rx_conf rx
        fh_addr source
        fh_addr group
        uint32_t sock_vmac
        uint32_t sock
        uint8_t family
        uint8_t vrid
        bint unicast
        uint16_t shots
        uint16_t items
        uint16_t announcements
        fh_shot *shot
        const fh_item *item
        const fh_announcement *announcement
        const uint8_t *plan
        const uint8_t *frames
        uint32_t add_from
        uint32_t add_to
        uint32_t remove_from
        uint32_t remove_to
        uint32_t renew_from
        uint32_t renew_to
        uint32_t hush_from
        uint32_t hush_to
        uint32_t drop_from
        uint32_t drop_to
        bint announce_on_replace
        bint has_ipv6
    ctypedef struct fh_ei:
        pass
    ctypedef struct fh_sock:
        int fd
        uint32_t ifindex
        uint8_t family
        uint8_t protocol
        bint only_from_mac
        uint8_t mac[6]
        uint32_t slot
    ctypedef struct fh_command:
        uint32_t type
        uint32_t slot
        uint32_t a
        uint32_t b
        int64_t v
        int64_t w
        void *p
        void *q
    ctypedef struct fh_engine_conf:
        uint32_t max_instances
        uint32_t max_groups
        uint32_t max_links
        uint32_t max_socks
        uint32_t max_paces
        uint32_t max_sessions
        uint32_t commands
        uint32_t events
        int priority
        int cpu
        fh_ns main_timeout
    ctypedef struct fh_engine:
        pass
    fh_engine *fh_engine_new(const fh_engine_conf *conf)
    int fh_engine_start(fh_engine *e, uint32_t *warnings)
    void fh_engine_free(fh_engine *e)
    void fh_engine_join(fh_engine *e)
    bint fh_engine_command(fh_engine *e, const fh_command *c)
    bint fh_engine_event(fh_engine *e, fh_event *event)
    int fh_engine_event_fd(const fh_engine *e)
    void fh_engine_event_ack(fh_engine *e)
    void fh_engine_beat(fh_engine *e)
    uint64_t fh_engine_stat_get(const fh_engine *e, int stat)
    int64_t fh_engine_last_turn(const fh_engine *e)
    const char *fh_stat_name(int stat)
    const char *fh_engine_stat_name(int stat)
    uint64_t fh_ei_stat(const fh_ei *ei, int stat)
    uint32_t fh_ei_reject(const fh_ei *ei, int why)
    uint32_t fh_ei_state(const fh_ei *ei)
    uint32_t fh_ei_faults(const fh_ei *ei)
    int64_t fh_ei_changed(const fh_ei *ei)
    int64_t fh_ei_heard(const fh_ei *ei)
    int64_t fh_ei_learned(const fh_ei *ei)
    int64_t fh_ei_timer(const fh_ei *ei)
    int64_t fh_ei_preempt_until(const fh_ei *ei)
    bint fh_ei_wants_master(const fh_ei *ei)
    ctypedef struct fh_spread:
        pass
    ctypedef struct fh_peer_view:
        fh_addr address
        uint64_t adverts
        int64_t heard
        int64_t interval
        uint8_t priority
    enum:
        FH_SPREAD_BUCKETS
        FH_PEERS_SEEN
    bint fh_ei_peer(const fh_ei *ei, unsigned i, fh_peer_view *view)
    const fh_spread *fh_ei_jitter(const fh_ei *ei)
    const fh_spread *fh_engine_lateness(const fh_engine *e)
    uint32_t fh_spread_bound_us(int bucket)
    uint64_t fh_spread_count(const fh_spread *s, int bucket)
    uint64_t fh_spread_sum_us(const fh_spread *s)
    uint64_t fh_sock_packets(const fh_sock *s)
    uint64_t fh_sock_unknown_vrid(const fh_sock *s)
    uint64_t fh_sock_refused(const fh_sock *s, int why)
    size_t FH_EI_SIZE

STATES = tuple(fh_vrrp_state_name(i).decode() for i in range(5))
CAUSES = tuple(fh_vrrp_cause_name(i).decode() for i in range(15))
REJECTS = tuple(fh_vrrp_rx_name(i).decode() for i in range(FH_VRRP_RX_N))
SPREAD_BOUNDS = tuple(fh_spread_bound_us(i) / 1e6 for i in range(FH_SPREAD_BUCKETS))
STATS = tuple(fh_stat_name(i).decode() for i in range(FH_STATS))
ENGINE_STATS = tuple(fh_engine_stat_name(i).decode() for i in range(FH_ENGINE_STATS))

_PLAN_ALIGN = 4
_NLMSG_HEADER = 16
_NLM_F_ACK = 4


cdef class Event:
    """Something that the engine tells. What `arg`, `v` and `address` mean depends on `kind` (see fh_node.h)."""

    cdef readonly int64_t at
    cdef readonly uint32_t kind
    cdef readonly uint32_t slot
    cdef readonly tuple arg
    cdef readonly tuple v
    cdef readonly bytes address

    def __repr__(self):
        return f"Event({self.kind}, slot={self.slot}, arg={self.arg}, v={self.v}, address={self.address.hex()})"


cdef extern from *:
    """
    #include <malloc.h>
    static int fh_one_heap(void) {
    #ifdef M_ARENA_MAX
        return mallopt(M_ARENA_MAX, 1);
    #else
        return 0;
    #endif
    }
    static int fh_give_back(void) {
    #ifdef __GLIBC__
        return malloc_trim(0);
    #else
        return 0;
    #endif
    }
    """
    int fh_one_heap() nogil
    int fh_give_back() nogil


def one_heap():
    return bool(fh_one_heap())


def give_back():
    return bool(fh_give_back())


class EngineError(OSError):
    """The engine, or one of its sockets, could not be made."""


cdef fh_addr packed(bytes address) except *:
    cdef fh_addr result
    memset(&result, 0, sizeof(result))
    if len(address) not in (0, 4, 16):
        raise ValueError(f"an address has 4 or 16 octets, not {len(address)}")
    memcpy(result.b, <const char *>address, len(address))
    return result


cdef bytes numbered(bytes messages, uint32_t seq):
    """Netlink messages with the engine's sequence number and without a request for acknowledgement."""
    cdef bytearray out = bytearray(messages)
    cdef uint32_t length
    cdef uint16_t flags
    cdef size_t at = 0
    while at + _NLMSG_HEADER <= <size_t>len(out):
        length = int.from_bytes(out[at:at + 4], "little" if _LITTLE else "big")
        if length < _NLMSG_HEADER or at + length > <size_t>len(out):
            raise ValueError("a plan holds an incomplete netlink message")
        flags = int.from_bytes(out[at + 6:at + 8], "little" if _LITTLE else "big") & ~_NLM_F_ACK
        out[at + 6:at + 8] = flags.to_bytes(2, "little" if _LITTLE else "big")
        out[at + 8:at + 12] = seq.to_bytes(4, "little" if _LITTLE else "big")
        at += (length + 3) & ~3
    while len(out) % _PLAN_ALIGN:
        out.append(0)
    return bytes(out)


import sys

cdef bint _LITTLE = sys.byteorder == "little"


cdef class _Block:
    """Memory for one configuration: sizes are summed up first, then pieces are handed out, aligned."""

    cdef uint8_t *memory
    cdef size_t size
    cdef size_t used

    def __cinit__(self):
        self.memory = NULL
        self.size = 0
        self.used = 0

    cdef void want(self, size_t octets):
        self.size += (octets + 15) & ~<size_t>15

    cdef int make(self) except -1:
        self.memory = <uint8_t *>calloc(1, self.size)
        if self.memory == NULL:
            raise MemoryError
        return 0

    cdef void *take(self, size_t octets) except NULL:
        cdef void *piece = self.memory + self.used
        self.used += (octets + 15) & ~<size_t>15
        if self.used > self.size:
            raise RuntimeError("the engine's configuration memory was reckoned too small")
        return piece

    cdef uint8_t *give(self):
        cdef uint8_t *memory = self.memory
        self.memory = NULL
        return memory

    def __dealloc__(self):
        free(self.memory)


cdef fh_ei_conf *lay_out(object spec, uint32_t slot) except NULL:
    """Copies a VrrpSpec into one block of memory that begins with its fh_ei_conf."""
    cdef _Block block = _Block()
    cdef fh_ei_conf *conf
    cdef fh_vrrp_tx_conf tx
    cdef fh_vrrp_params *fsm
    cdef fh_addr *addrs
    cdef fh_vrrp_peer *peers
    cdef fh_hmac_md5_key *ah_key = NULL
    cdef fh_vrrp_hmac_key *hmac_keys = NULL
    cdef fh_track_link *tracks
    cdef fh_item *items
    cdef fh_announcement *announcements
    cdef uint8_t *plan
    cdef uint8_t *frames
    cdef uint8_t *packet
    cdef fh_addr address
    cdef size_t octets
    cdef fh_vrrp_build why = FH_VRRP_BUILD_OK
    cdef uint32_t i
    cdef bytes data
    cdef bytes password = spec.auth_password
    cdef int version = spec.version

    if not 1 <= spec.vrid <= 255 or not 1 <= spec.base_priority <= 255 or version not in (2, 3):
        raise ValueError("virtual_router_id and priority are 1 to 255, version is 2 or 3")

    # ---- netlink messages: everything to add in order, everything to remove in reverse order, what to drop
    adds = [numbered(item.add, (slot << 17) | (<uint32_t>n << 1) | 1) for n, item in enumerate(spec.items)]
    removes = [numbered(item.remove, (slot << 17) | (<uint32_t>n << 1)) for n, item in enumerate(spec.items)]
    drop = numbered(spec.drop, (slot << 17) | (0xffff << 1))
    hush = numbered(spec.hush, (slot << 17) | (0xffff << 1))
    plan_octets = sum(map(len, adds)) + sum(map(len, removes)) + len(drop) + len(hush)

    # ---- packets
    memset(&tx, 0, sizeof(tx))
    tx.msg.version = version
    tx.msg.family = spec.family
    tx.msg.vrid = spec.vrid
    tx.msg.priority = spec.base_priority
    tx.msg.interval = fh_vrrp_interval_wire(version, spec.adver_int)
    tx.msg.auth_type = spec.auth_type
    tx.msg.addr_count = len(spec.addresses)
    tx.msg.no_pseudo = spec.no_pseudo
    tx.msg.src = packed(spec.source)
    if spec.auth_type == 1:
        memcpy(tx.msg.auth_data, <const char *>password, min(len(password), 8))
    tx.tos = 0xc0
    tx.old_unicast_checksum = spec.old_checksum_send
    signs = spec.hmac_mode != 0 and spec.hmac_mode != FH_VRRP_HMAC_RECEIVE_ONLY

    block.want(sizeof(fh_ei_conf))
    block.want(len(spec.addresses) * sizeof(fh_addr))
    block.want(len(spec.peers) * sizeof(fh_vrrp_peer))
    if spec.auth_type == 2:
        block.want(sizeof(fh_hmac_md5_key))
    block.want(len(spec.hmac_keys) * sizeof(fh_vrrp_hmac_key))
    block.want(len(spec.tracks) * sizeof(fh_track_link))
    block.want(len(spec.items) * sizeof(fh_item))
    block.want(len(spec.announcements) * sizeof(fh_announcement))
    block.want(len(spec.announcements) * 96)
    block.want(len(spec.shots) * sizeof(fh_shot))
    block.want(plan_octets)
    for _ in spec.shots:  # headers, AH, list, password, trailer: at most this
        block.want(14 + (40 if spec.family == 10 else 20) + (24 if spec.auth_type == 2 else 0)
                   + 8 + len(spec.addresses) * (16 if spec.family == 10 else 4) + (8 if version == 2 else 0)
                   + (28 if signs else 0))
    block.make()

    conf = <fh_ei_conf *>block.take(sizeof(fh_ei_conf))
    addrs = <fh_addr *>block.take(len(spec.addresses) * sizeof(fh_addr))
    for i, data in enumerate(spec.addresses):
        addrs[i] = packed(data)
    tx.msg.addrs = addrs
    peers = <fh_vrrp_peer *>block.take(len(spec.peers) * sizeof(fh_vrrp_peer))
    for i, peer in enumerate(spec.peers):
        peers[i].addr = packed(peer.address)
        peers[i].min_ttl = peer.min_ttl
        peers[i].max_ttl = peer.max_ttl
    if spec.auth_type == 2:
        ah_key = <fh_hmac_md5_key *>block.take(sizeof(fh_hmac_md5_key))
        fh_vrrp_ah_key_init(ah_key, <const char *>password, len(password))
        tx.ah_key = ah_key
    if spec.hmac_keys:
        hmac_keys = <fh_vrrp_hmac_key *>block.take(len(spec.hmac_keys) * sizeof(fh_vrrp_hmac_key))
        for i, key in enumerate(spec.hmac_keys):
            data = key.secret
            fh_vrrp_hmac_key_init(&hmac_keys[i], key.key_id, <const char *>data, len(data))
            if signs and key.key_id == spec.hmac_active:
                tx.hmac_key = &hmac_keys[i]

    conf.shots = len(spec.shots)
    conf.shot = <fh_shot *>block.take(len(spec.shots) * sizeof(fh_shot))
    for i, shot in enumerate(spec.shots):
        tx.msg.dst = packed(shot.destination)
        tx.ttl = shot.ttl
        tx.ethernet = bool(shot.eth_src)
        if shot.eth_src:
            data = shot.eth_src
            if len(data) != 6:
                raise ValueError("an Ethernet address has 6 octets")
            memcpy(tx.eth_src, <const char *>data, 6)
        octets = fh_vrrp_template_size(&tx, &why)
        if octets == 0:
            raise ValueError(f"no advert can be built: {fh_vrrp_build_name(why).decode()}")
        packet = <uint8_t *>block.take(octets)
        why = fh_vrrp_template_init(&conf.shot[i].packet, packet, octets, &tx)
        if why != FH_VRRP_BUILD_OK:
            raise ValueError(f"no advert can be built: {fh_vrrp_build_name(why).decode()}")
        conf.shot[i].ifindex = shot.ifindex
        conf.shot[i].dst = packed(shot.destination)
        conf.shot[i].routed = not shot.eth_src

    # ---- the node's part
    fsm = &conf.node.fsm
    fsm.adver_int = spec.adver_int
    fsm.preempt_delay = spec.preempt_delay
    fsm.version = version
    fsm.base_priority = spec.base_priority
    fsm.down_adverts = spec.down_adverts
    fsm.preempt = spec.preempt
    fsm.lower_prio_no_advert = spec.lower_prio_no_advert
    fsm.higher_prio_advert = spec.higher_prio_advert
    fsm.graceful = spec.graceful
    fsm.gated = spec.group != 0xFFFFFFFF
    fsm.stall_backup_prio = spec.stall_backup_prio
    conf.node.announce.repeat = min(spec.announce_repeat, 255)
    conf.node.announce.second_delay = spec.announce_second_delay
    conf.node.announce.lower_repeat = min(spec.announce_lower_repeat, 255)
    conf.node.announce.lower_second_delay = spec.announce_lower_second_delay
    conf.node.announce.refresh = spec.announce_refresh
    conf.node.announce.refresh_repeat = min(spec.announce_refresh_repeat, 255)
    conf.node.announce.teach = spec.announce_teach
    fsm.linger = spec.linger
    conf.node.renew_int = spec.renew_int
    conf.node.repair_window = spec.repair_window
    conf.node.repair_limit = spec.repair_limit
    conf.node.ifindex = spec.ifindex
    conf.node.group = spec.group
    conf.node.track_primary = spec.track_primary
    conf.node.tracks = len(spec.tracks)
    tracks = <fh_track_link *>block.take(len(spec.tracks) * sizeof(fh_track_link))
    for i, track in enumerate(spec.tracks):
        tracks[i].ifindex = track.ifindex
        tracks[i].weight = track.weight
        tracks[i].reverse = track.reverse
    conf.node.track = tracks

    # ---- receiving
    conf.rx.version = version
    conf.rx.family = spec.family
    conf.rx.vrid = spec.vrid
    conf.rx.priority = spec.base_priority
    conf.rx.auth_type = spec.auth_type
    memcpy(conf.rx.auth_data, tx.msg.auth_data, 8)
    conf.rx.interval = tx.msg.interval
    conf.rx.no_pseudo = spec.no_pseudo
    conf.rx.unicast = spec.unicast
    conf.rx.check_unicast_src = spec.check_unicast_src
    conf.rx.owner_ignores = spec.owner_ignores
    conf.rx.accept_count_zero = spec.accept_count_zero
    conf.rx.accept_first_global = spec.accept_first_global
    conf.rx.skip_check_adv_addr = spec.skip_check_adv_addr
    conf.rx.addr_policy = 1 if spec.discard_addr_mismatch else 0
    conf.rx.old_checksum = 1 if spec.old_checksum_auto else 0
    conf.rx.hmac_mode = spec.hmac_mode
    conf.rx.hmac_monotonic = spec.hmac_monotonic
    conf.rx.hmac_window_s = spec.hmac_window_s
    conf.rx.hmac_forget_int = spec.adver_int * 10
    conf.rx.own_src = packed(spec.source)
    conf.rx.addr_count = len(spec.addresses)
    conf.rx.addrs = addrs
    conf.rx.peer_count = len(spec.peers)
    conf.rx.peers = peers
    conf.rx.ah_key = ah_key
    conf.rx.hmac_key_count = len(spec.hmac_keys)
    conf.rx.hmac_keys = hmac_keys
    fh_vrrp_rx_conf_prepare(&conf.rx)

    # ---- the plan
    items = <fh_item *>block.take(len(spec.items) * sizeof(fh_item))
    plan = <uint8_t *>block.take(plan_octets)
    octets = 0
    conf.renew_from = conf.renew_to = 0
    conf.add_from = 0
    for i, item in enumerate(spec.items):
        data = adds[i]
        items[i].kind = item.kind
        items[i].family = item.family
        items[i].ifindex = item.ifindex
        items[i].addr = packed(item.address)
        items[i].prefixlen = item.prefixlen
        items[i].renew = item.renew
        items[i].tracked = item.tracked
        items[i].add = octets
        items[i].add_len = len(data)
        memcpy(plan + octets, <const char *>data, len(data))
        if item.renew:
            if conf.renew_to == 0:
                conf.renew_from = octets
            conf.renew_to = octets + len(data)
        octets += len(data)
    conf.add_to = octets
    conf.remove_from = octets
    for n in range(len(spec.items) - 1, -1, -1):
        data = removes[n]
        items[n].remove = octets
        items[n].remove_len = len(data)
        memcpy(plan + octets, <const char *>data, len(data))
        octets += len(data)
    conf.remove_to = octets
    conf.drop_from = octets
    data = drop
    memcpy(plan + octets, <const char *>data, len(data))
    conf.drop_to = octets + len(data)
    octets += len(data)
    conf.hush_from = octets
    data = hush
    memcpy(plan + octets, <const char *>data, len(data))
    conf.hush_to = octets + len(data)
    conf.items = len(spec.items)
    conf.item = items
    conf.plan = plan
    conf.announce_on_replace = spec.announce_on_replace

    # ---- announcements
    announcements = <fh_announcement *>block.take(len(spec.announcements) * sizeof(fh_announcement))
    frames = <uint8_t *>block.take(len(spec.announcements) * 96)
    octets = 0
    for i, said in enumerate(spec.announcements):
        data = said.mac
        if len(data) != 6:
            raise ValueError("an Ethernet address has 6 octets")
        address = packed(said.address)
        announcements[i].ifindex = said.ifindex
        announcements[i].family = said.family
        conf.has_ipv6 = conf.has_ipv6 or said.family == 10
        announcements[i].addr = address
        announcements[i].pace = said.pace
        announcements[i].offset = octets
        if said.family == 2:
            announcements[i].length = fh_garp_build(
                frames + octets, 96, <const uint8_t *><const char *>data, address.b, FH_GARP_THA_BROADCAST, False)
        else:
            announcements[i].length = fh_na_build(
                frames + octets, 96, <const uint8_t *><const char *>data, &address,
                FH_NA_OVERRIDE | (FH_NA_ROUTER if said.router else 0), NULL, NULL, NULL)
        octets += announcements[i].length
        if octets > 65000:
            raise ValueError("too many addresses to announce in one instance (about 700)")
    conf.announcements = len(spec.announcements)
    conf.announcement = announcements
    conf.frames = frames

    conf.source = packed(spec.source)
    conf.group = packed(spec.group_address)
    conf.sock = spec.sock
    conf.sock_vmac = spec.sock_vmac
    conf.family = spec.family
    conf.vrid = spec.vrid
    conf.unicast = spec.unicast
    return <fh_ei_conf *>block.give()


include "engine_bfd.pxi"


cdef class Engine:
    """The engine thread and the memory that it works on. See engine.pyi for the meaning of each method."""

    cdef fh_engine *engine
    cdef fh_ei **instances
    cdef fh_ei_conf **configurations
    cdef fh_sock **sockets
    cdef uint32_t max_instances
    cdef uint32_t max_sockets
    cdef fh_bs **sessions
    cdef uint32_t max_sessions
    cdef fh_bsock *bsocks[8]
    cdef dict session_specs  # by slot: what was asked for
    cdef dict session_confs  # by slot: address of the configuration in force
    cdef dict follows  # by instance: address of what it follows
    cdef fh_bfd_accepts *accepts
    cdef fh_bfd_mirror *mirror
    cdef bint running

    def __cinit__(self, *, int max_instances=8192, int max_sockets=4096, int max_links=8192, int priority=50,
                  int cpu=-1, int64_t main_timeout=10_000_000_000, int max_sessions=4096):
        cdef fh_engine_conf conf
        memset(&conf, 0, sizeof(conf))
        if not 0 < max_instances <= 32767:
            raise ValueError("max_instances is 1 to 32767")
        conf.max_instances = max_instances
        conf.max_groups = max_instances
        conf.max_links = max_links
        conf.max_socks = max_sockets
        conf.max_paces = 4096
        if not 0 < max_sessions <= 65536:
            raise ValueError("max_sessions is 1 to 65536")
        conf.max_sessions = max_sessions
        conf.commands = 4096
        conf.events = 16384
        conf.priority = priority
        conf.cpu = cpu
        conf.main_timeout = main_timeout
        self.max_instances = max_instances
        self.max_sockets = max_sockets
        self.max_sessions = max_sessions
        self.session_specs = {}
        self.session_confs = {}
        self.follows = {}
        self.running = False
        self.instances = <fh_ei **>calloc(max_instances, sizeof(fh_ei *))
        self.configurations = <fh_ei_conf **>calloc(max_instances, sizeof(fh_ei_conf *))
        self.sockets = <fh_sock **>calloc(max_sockets, sizeof(fh_sock *))
        self.sessions = <fh_bs **>calloc(max_sessions, sizeof(fh_bs *))
        if (self.instances == NULL or self.configurations == NULL or self.sockets == NULL
                or self.sessions == NULL):
            raise MemoryError
        self.engine = fh_engine_new(&conf)
        if self.engine == NULL:
            raise EngineError(errno, f"the engine's sockets could not be opened: {os.strerror(errno)} "
                                     "(it needs CAP_NET_RAW and CAP_NET_ADMIN)")

    def start(self):
        cdef uint32_t warnings = 0
        cdef int result
        self._check()
        if self.running:
            raise RuntimeError("the engine runs already")
        result = fh_engine_start(self.engine, &warnings)
        if result < 0:
            raise EngineError(-result, f"the engine thread could not be started: {os.strerror(-result)}")
        self.running = True
        told = []
        if warnings & FH_ENGINE_NO_FIFO:
            told.append("real-time scheduling was refused (needs CAP_SYS_NICE): a busy machine can delay adverts")
        if warnings & FH_ENGINE_NO_MLOCK:
            told.append("locking memory was refused (needs CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK): "
                        "swapping can delay adverts")
        if warnings & FH_ENGINE_NO_AFFINITY:
            told.append("pinning the engine to its CPU was refused")
        return told

    def fileno(self):
        self._check()
        return fh_engine_event_fd(self.engine)

    cdef int _check(self) except -1:
        if self.engine == NULL:
            raise RuntimeError("the engine is closed")
        return 0

    cdef int _slot(self, uint32_t slot) except -1:
        self._check()
        if slot >= self.max_instances or self.instances[slot] == NULL:
            raise KeyError(f"no instance in slot {slot}")
        return 0

    cdef int _send(self, fh_command *c) except -1:
        self._check()
        tries = 0
        while not fh_engine_command(self.engine, c):
            tries += 1
            if tries > 10_000:
                raise EngineError(0, "the engine takes no commands: its thread is stuck")
            time.sleep(0.001)
        return 0

    cdef int _simple(self, uint32_t kind, uint32_t slot, uint32_t a=0, uint32_t b=0, int64_t v=0,
                     int64_t w=0) except -1:
        cdef fh_command c
        memset(&c, 0, sizeof(c))
        c.type, c.slot, c.a, c.b, c.v, c.w = kind, slot, a, b, v, w
        return self._send(&c)

    # ---- sockets

    def open_socket(self, int family, int protocol, uint32_t ifindex, groups=(), int rcvbuf=4 << 20,
                    bytes only_from=b""):
        cdef uint32_t slot = 0
        cdef int fd
        cdef fh_sock *s
        cdef fh_addr group
        cdef fh_command c
        self._check()
        while slot < self.max_sockets and self.sockets[slot] != NULL:
            slot += 1
        if slot == self.max_sockets:
            raise EngineError(24, f"more than {self.max_sockets} sockets")
        if protocol == 1:
            fd = fh_sock_arp_rx(ifindex)
        elif protocol == 58:
            fd = fh_sock_na_rx(ifindex)
        else:
            fd = fh_sock_vrrp_rx(family, protocol, ifindex, rcvbuf)
        if fd < 0:
            raise EngineError(-fd, f"receive socket (protocol {protocol}): {os.strerror(-fd)}")
        try:
            for data in groups:
                group = packed(data)
                result = fh_sock_join(fd, family, ifindex, &group)
                if result < 0:
                    raise EngineError(-result, f"joining the multicast group: {os.strerror(-result)}")
            s = <fh_sock *>calloc(1, sizeof(fh_sock))
            if s == NULL:
                raise MemoryError
        except BaseException:
            os.close(fd)
            raise
        s.fd = fd
        s.ifindex = ifindex
        s.family = family
        s.protocol = protocol
        s.slot = slot
        if only_from:
            s.only_from_mac = True
            memcpy(s.mac, <const char *>only_from, 6)
        self.sockets[slot] = s
        memset(&c, 0, sizeof(c))
        c.type, c.slot, c.p = FH_CMD_SOCK_ADD, slot, s
        self._send(&c)
        return slot

    def join(self, uint32_t slot, bytes group):
        cdef fh_addr address = packed(group)
        self._check()
        if slot >= self.max_sockets or self.sockets[slot] == NULL:
            raise KeyError(f"no socket in slot {slot}")
        result = fh_sock_join(self.sockets[slot].fd, self.sockets[slot].family, self.sockets[slot].ifindex,
                              &address)
        if result < 0:
            raise EngineError(-result, f"joining the multicast group: {os.strerror(-result)}")

    def leave(self, uint32_t slot, bytes group):
        cdef fh_addr address = packed(group)
        self._check()
        if slot < self.max_sockets and self.sockets[slot] != NULL:
            fh_sock_leave(self.sockets[slot].fd, self.sockets[slot].family, self.sockets[slot].ifindex,
                          &address)

    def close_socket(self, uint32_t slot):
        self._check()
        if slot < self.max_sockets and self.sockets[slot] != NULL:
            self._simple(FH_CMD_SOCK_DEL, slot)

    # ---- instances

    def add(self, uint32_t slot, spec):
        cdef fh_command c
        cdef fh_ei *ei
        cdef fh_ei_conf *conf
        self._check()
        if slot >= self.max_instances or self.instances[slot] != NULL:
            raise KeyError(f"slot {slot} is not free")
        conf = lay_out(spec, slot)
        ei = <fh_ei *>calloc(1, FH_EI_SIZE)
        if ei == NULL:
            free(conf)
            raise MemoryError
        self.instances[slot] = ei
        self.configurations[slot] = conf
        memset(&c, 0, sizeof(c))
        c.type, c.slot, c.p, c.q = FH_CMD_INST_ADD, slot, ei, conf
        self._send(&c)

    def replace(self, uint32_t slot, spec):
        cdef fh_command c
        cdef fh_ei_conf *conf
        self._slot(slot)
        conf = lay_out(spec, slot)
        self.configurations[slot] = conf
        memset(&c, 0, sizeof(c))
        c.type, c.slot, c.q = FH_CMD_INST_CONF, slot, conf
        self._send(&c)

    def stop(self, uint32_t slot, bint graceful=True):
        self._slot(slot)
        self._simple(FH_CMD_INST_STOP, slot, graceful)

    def remove(self, uint32_t slot):
        self._slot(slot)
        self._simple(FH_CMD_INST_DEL, slot)

    def told(self, uint32_t slot, *, uint32_t set_faults=0, uint32_t clear_faults=0, int delta=0):
        self._slot(slot)
        self._simple(FH_CMD_INST_TOLD, slot, set_faults, clear_faults, delta)

    def announce(self, uint32_t slot):
        self._slot(slot)
        self._simple(FH_CMD_INST_ANNOUNCE, slot)

    def takeover(self, uint32_t slot):
        self._slot(slot)
        self._simple(FH_CMD_INST_TAKEOVER, slot)

    def group(self, uint32_t slot, members):
        cdef fh_command c
        cdef uint32_t *slots = NULL
        cdef uint32_t i
        if slot >= self.max_instances:
            raise KeyError(f"no group slot {slot}")
        memset(&c, 0, sizeof(c))
        if members:
            slots = <uint32_t *>malloc(len(members) * sizeof(uint32_t))
            if slots == NULL:
                raise MemoryError
            for i, member in enumerate(members):
                slots[i] = member
        c.type, c.slot, c.a, c.p = FH_CMD_GROUP, slot, len(members), slots
        self._send(&c)

    def link_delays(self, uint32_t ifindex, int64_t up, int64_t down):
        self._simple(FH_CMD_LINK_CONF, ifindex, 0, 0, up, down)

    def link_state(self, uint32_t ifindex, bint up):
        self._simple(FH_CMD_LINK_SET, ifindex, up)

    def pace(self, uint32_t slot, int64_t arp_gap, int64_t na_gap):
        if slot >= 4096:
            raise KeyError(f"no pacing slot {slot}")
        self._simple(FH_CMD_PACE, slot, 0, 0, arp_gap, na_gap)

    def stop_all(self, bint graceful=True):
        self._simple(FH_CMD_STOP_ALL, 0, graceful)

    def watch_routes(self):
        cdef int fd = fh_sock_netlink((1 << 6) | (1 << 10) | (1 << 7) | (1 << 18), 8 << 20)
        if fd < 0:
            raise EngineError(-fd, f"watching routes and rules: {os.strerror(-fd)}")
        self._simple(FH_CMD_WATCH, 0, fd)

    # ---- events and states

    def beat(self):
        if self.engine != NULL:
            fh_engine_beat(self.engine)

    def events(self, Py_ssize_t most=0x7FFFFFFF):
        cdef fh_event raw
        cdef Event event
        self._check()
        cdef list told = []
        fh_engine_event_ack(self.engine)
        while len(told) < most and fh_engine_event(self.engine, &raw):
            if raw.type == FH_EVENT_RETIRED:
                self._retired(&raw)
                continue
            event = Event.__new__(Event)
            event.at = raw.at
            event.kind = raw.type
            event.slot = raw.inst
            event.arg = (raw.arg[0], raw.arg[1], raw.arg[2], raw.arg[3])
            event.v = (raw.v[0], raw.v[1], raw.v[2], raw.v[3], raw.v[4], raw.v[5])
            event.address = (<char *>raw.addr.b)[:16]
            told.append(event)
        return told

    cdef void _retired(self, fh_event *raw):
        cdef void *memory = <void *><intptr_t>raw.v[0]
        cdef fh_sock *s
        cdef fh_bs *session
        cdef fh_bsock *bsock
        if raw.arg[0] == FH_RETIRED_CONF:
            if self.configurations[raw.inst] == <fh_ei_conf *>memory:
                self.configurations[raw.inst] = NULL
        elif raw.arg[0] == FH_RETIRED_INST:
            self.instances[raw.inst] = NULL
        elif raw.arg[0] == FH_RETIRED_SOCK:
            s = <fh_sock *>memory
            os.close(s.fd)
            self.sockets[raw.inst] = NULL
        elif raw.arg[0] == FH_RETIRED_BFD:
            session = <fh_bs *>memory
            if session.fd >= 0:
                os.close(session.fd)
            self.sessions[raw.inst] = NULL
            self.session_specs.pop(raw.inst, None)
            self.session_confs.pop(raw.inst, None)
        elif raw.arg[0] == FH_RETIRED_BFD_CONF:
            if self.session_confs.get(raw.inst) == <intptr_t>memory:
                del self.session_confs[raw.inst]
        elif raw.arg[0] == FH_RETIRED_BSOCK:
            bsock = <fh_bsock *>memory
            os.close(bsock.fd)
            self.bsocks[raw.inst] = NULL
        elif self.follows.get(raw.inst) == <intptr_t>memory:
            del self.follows[raw.inst]
        elif memory == <void *>self.accepts:
            self.accepts = NULL
        elif memory == <void *>self.mirror:
            self.mirror = NULL
        free(memory)

    def status(self, uint32_t slot):
        cdef fh_ei *ei
        cdef uint32_t shown
        self._slot(slot)
        ei = self.instances[slot]
        shown = fh_ei_state(ei)
        return {
            "state": STATES[shown & 0xff],
            "priority": (shown >> 8) & 0xff,
            "master_priority": (shown >> 16) & 0xff,
            "faults": fh_ei_faults(ei),
            "changed_ns": fh_ei_changed(ei),
            "heard_ns": fh_ei_heard(ei),
            "learned_interval_ns": fh_ei_learned(ei),
            "timer_ns": fh_ei_timer(ei),
            "preempt_until_ns": fh_ei_preempt_until(ei),
            "wants_master": int(fh_ei_wants_master(ei)),
        }

    def peers(self, uint32_t slot):
        cdef fh_peer_view view
        self._slot(slot)
        found = []
        for i in range(FH_PEERS_SEEN):
            if fh_ei_peer(self.instances[slot], i, &view):
                found.append({
                    "address": bytes(view.address.b[:16]),
                    "priority": view.priority,
                    "interval_ns": view.interval,
                    "heard_ns": view.heard,
                    "adverts": view.adverts,
                })
        return found

    cdef tuple _spread(self, const fh_spread *s):
        return (
            tuple(fh_spread_count(s, i) for i in range(FH_SPREAD_BUCKETS + 1)),
            fh_spread_sum_us(s) / 1e6,
        )

    def jitter(self, uint32_t slot):
        self._slot(slot)
        return self._spread(fh_ei_jitter(self.instances[slot]))

    def lateness(self):
        self._check()
        return self._spread(fh_engine_lateness(self.engine))

    def counters(self, uint32_t slot):
        self._slot(slot)
        return {STATS[i]: fh_ei_stat(self.instances[slot], i) for i in range(FH_STATS)}

    def rejects(self, uint32_t slot):
        self._slot(slot)
        return {
            REJECTS[i]: count
            for i in range(1, FH_VRRP_RX_N)
            if (count := fh_ei_reject(self.instances[slot], i)) != 0
        }

    def socket_counters(self, uint32_t slot):
        cdef fh_sock *s
        self._check()
        if slot >= self.max_sockets or self.sockets[slot] == NULL:
            raise KeyError(f"no socket in slot {slot}")
        s = self.sockets[slot]
        counters = {"packets": fh_sock_packets(s), "unknown_vrid": fh_sock_unknown_vrid(s)}
        for i in range(1, FH_VRRP_RX_N):
            if fh_sock_refused(s, i):
                counters[REJECTS[i]] = fh_sock_refused(s, i)
        return counters

    def engine_counters(self):
        self._check()
        return {ENGINE_STATS[i]: fh_engine_stat_get(self.engine, i) for i in range(FH_ENGINE_STATS)}

    # ---- BFD

    cdef int _session(self, uint32_t slot) except -1:
        self._check()
        if slot >= self.max_sessions or self.sessions[slot] == NULL:
            raise KeyError(f"no BFD session in slot {slot}")
        return 0

    cdef int _bfd(self, uint32_t kind, uint32_t slot, void *p, void *q, uint32_t a=0, uint32_t b=0) except -1:
        cdef fh_command c
        memset(&c, 0, sizeof(c))
        c.type, c.slot, c.p, c.q, c.a, c.b = kind, slot, p, q, a, b
        return self._send(&c)

    def bfd_listen(self, int family, int port):
        cdef uint32_t slot
        cdef uint32_t free_slot = FH_BSOCKS
        cdef fh_bsock *s
        cdef int fd
        self._check()
        for slot in range(FH_BSOCKS):
            if self.bsocks[slot] == NULL:
                free_slot = min(free_slot, slot)
            elif self.bsocks[slot].family == family and self.bsocks[slot].port == port:
                return
        if free_slot == FH_BSOCKS:
            raise ValueError(f"BFD has no port {port}")
        if port == FH_BFD_PORT_ECHO:
            fd = fh_bfd_sock_echo(family, 4 << 20)
        else:
            fd = fh_bfd_sock_rx(family, port, 0, 4 << 20)
        if fd < 0:
            what = f"receiving BFD on UDP port {port}: {os.strerror(-fd)}"
            if -fd == 98:
                what += " (another BFD daemon has it: ss -lunp shows which)"
            raise EngineError(-fd, what)
        s = <fh_bsock *>calloc(1, sizeof(fh_bsock))
        if s == NULL:
            os.close(fd)
            raise MemoryError
        s.fd, s.family, s.port = fd, family, port
        self.bsocks[free_slot] = s
        self._bfd(FH_CMD_BFD_LISTEN, free_slot, s, NULL)

    def bfd_unlisten(self, int family, int port):
        cdef uint32_t slot
        self._check()
        for slot in range(FH_BSOCKS):
            if (self.bsocks[slot] != NULL and self.bsocks[slot].family == family
                    and self.bsocks[slot].port == port):
                self._bfd(FH_CMD_BFD_UNLISTEN, slot, NULL, NULL)

    cdef uint32_t _discriminator(self, uint32_t wanted) except 0:
        cdef uint32_t slot
        cdef uint32_t discr
        while True:
            discr = wanted or int.from_bytes(os.urandom(4), "big")
            taken = discr == 0
            for slot in range(self.max_sessions):
                taken = taken or (self.sessions[slot] != NULL and self.sessions[slot].way.discr == discr)
            if not taken:
                return discr
            if wanted:
                raise ValueError(f"discriminator {wanted} is taken")

    cdef int _sending(self, fh_bs *s, object spec) except -1:
        """Opens the socket by which a session sends."""
        cdef fh_addr source
        cdef const fh_addr *from_here = NULL
        cdef uint32_t seed = int.from_bytes(os.urandom(4), "big")
        cdef int fd
        cdef int result = 0
        if spec.local:
            source = bfd_address(spec.local)
            from_here = &source
        fd = fh_bfd_sock_tx(spec.family, from_here, spec.ifindex, spec.ttl, seed, &s.source_port)
        if fd < 0:
            raise EngineError(-fd, f"a socket to send BFD by: {os.strerror(-fd)}")
        if spec.kind == FH_BFD_KIND_SBFD:
            result = fh_bfd_sock_answers(fd, spec.family)
        if result == 0 and spec.padded:
            result = fh_bfd_sock_no_fragments(fd, spec.family)
        if result < 0:
            os.close(fd)
            raise EngineError(-result, f"a socket to send BFD by: {os.strerror(-result)}")
        s.fd = fd
        return 0

    def bfd_add(self, uint32_t slot, spec):
        cdef fh_bs *s
        cdef fh_bs_conf *conf
        self._check()
        if slot >= self.max_sessions or self.sessions[slot] != NULL:
            raise KeyError(f"BFD slot {slot} is not free")
        conf = lay_out_bfd(spec, hardware_address(spec.ifindex) if spec.echo_mac else b"")
        s = NULL
        try:
            s = <fh_bs *>calloc(1, FH_BS_SIZE)
            if s == NULL:
                raise MemoryError
            s.fd = -1
            s.way.peer = bfd_address(spec.peer)
            s.way.local = bfd_address(spec.local)
            s.way.has_local = len(spec.local) != 0
            s.way.discr = self._discriminator(spec.discr)
            s.way.ifindex = spec.ifindex
            s.way.family = spec.family
            s.way.port = (FH_BFD_PORT_SBFD if spec.kind == FH_BFD_KIND_SBFD
                          else FH_BFD_PORT_MULTI if spec.multihop else FH_BFD_PORT_SINGLE)
            s.ttl = spec.ttl
            self._sending(s, spec)
            if spec.kind == FH_BFD_KIND_SESSION:
                self.bfd_listen(spec.family, s.way.port)
            if spec.kind == FH_BFD_KIND_LOOPED or spec.echo_tx_us:
                self.bfd_listen(spec.family, FH_BFD_PORT_ECHO)
        except BaseException:
            if s != NULL and s.fd >= 0:
                os.close(s.fd)
            free(s)
            free(conf)
            raise
        self.sessions[slot] = s
        self.session_specs[slot] = spec
        self.session_confs[slot] = <intptr_t>conf
        discr = s.way.discr
        self._bfd(FH_CMD_BFD_ADD, slot, s, conf, spec.admin_down)
        return discr

    def bfd_replace(self, uint32_t slot, spec):
        cdef fh_bs_conf *conf
        self._session(slot)
        if not same_session(self.session_specs[slot], spec):
            raise ValueError("this is another session: remove the old one and add it")
        conf = lay_out_bfd(spec, hardware_address(spec.ifindex) if spec.echo_mac else b"")
        if spec.echo_tx_us:
            try:
                self.bfd_listen(spec.family, FH_BFD_PORT_ECHO)
            except BaseException:
                free(conf)
                raise
        if spec.padded:
            fh_bfd_sock_no_fragments(self.sessions[slot].fd, spec.family)
        self.session_specs[slot] = spec
        self.session_confs[slot] = <intptr_t>conf
        self._bfd(FH_CMD_BFD_CONF, slot, NULL, conf)

    def bfd_admin(self, uint32_t slot, bint up, int diag=7):
        self._session(slot)
        if not 0 <= diag <= 31:
            raise ValueError("a diagnostic is 0 to 31")
        self._bfd(FH_CMD_BFD_INPUT, slot, NULL, NULL, FH_BFD_EV_ADMIN_UP if up else FH_BFD_EV_ADMIN_DOWN, diag)

    def bfd_signal(self, uint32_t slot, str what, int arg=0):
        self._session(slot)
        if what not in _SIGNALS:
            raise ValueError(f"no such signal: {what}")
        if not 0 <= arg <= 255:
            raise ValueError("the argument is 0 to 255")
        self._bfd(FH_CMD_BFD_INPUT, slot, NULL, NULL, _SIGNALS[what], arg)

    def bfd_remove(self, uint32_t slot, bint graceful=True):
        self._session(slot)
        self._bfd(FH_CMD_BFD_DEL, slot, NULL, NULL, graceful)

    def bfd_track(self, uint32_t instance, tracks):
        cdef fh_bfd_follows *follows
        self._slot(instance)
        follows = lay_out_follows(tracks)
        self.follows[instance] = <intptr_t>follows
        self._bfd(FH_CMD_BFD_TRACK, instance, follows, NULL)

    def bfd_accept(self, rules, uint32_t rate=16):
        self._check()
        self.accepts = lay_out_accepts(rules, rate)
        self._bfd(FH_CMD_BFD_ACCEPT, 0, self.accepts, NULL)

    def bfd_reflect(self, reflector):
        self._check()
        self.mirror = NULL if reflector is None else lay_out_mirror(reflector)
        self._bfd(FH_CMD_BFD_REFLECT, 0, self.mirror, NULL)

    def bfd_status(self, uint32_t slot):
        self._session(slot)
        return session_view(self.sessions[slot])

    def bfd_counters(self, uint32_t slot):
        self._session(slot)
        return {BFD_STATS[i]: fh_bs_stat(self.sessions[slot], i) for i in range(FH_BFD_STATS)}

    def bfd_rejects(self, slot=None):
        cdef uint32_t number
        counts = {}
        self._check()
        if slot is not None:
            number = slot
            self._session(number)
        for i in range(1, FH_BFD_RX_N):
            count = fh_engine_bfd_refused(self.engine, i) if slot is None else fh_bs_refused(self.sessions[number], i)
            if count:
                counts[BFD_REJECTS[i]] = count
        return counts

    def last_turn(self):
        self._check()
        return fh_engine_last_turn(self.engine)

    # ---- end

    def close(self):
        """Ends the thread and frees everything. Instances that still run are left as they are."""
        cdef uint32_t i
        if self.engine == NULL:
            return
        if self.running:
            self._simple(FH_CMD_QUIT, 0)
            with nogil:
                fh_engine_join(self.engine)
            self.running = False
        self.events()  # what was retired last
        for i in range(self.max_sockets):
            if self.sockets[i] != NULL:
                os.close(self.sockets[i].fd)
                free(self.sockets[i])
                self.sockets[i] = NULL
        for i in range(FH_BSOCKS):
            if self.bsocks[i] != NULL:
                os.close(self.bsocks[i].fd)
                free(self.bsocks[i])
                self.bsocks[i] = NULL
        fh_engine_free(self.engine)
        self.engine = NULL
        self._free_sessions()
        for i in range(self.max_instances):
            free(self.instances[i])
            free(self.configurations[i])
            self.instances[i] = NULL
            self.configurations[i] = NULL

    cdef void _free_sessions(self):
        cdef uint32_t i
        for i in range(self.max_sessions):
            if self.sessions[i] == NULL:
                continue
            if self.sessions[i].fd >= 0:
                os.close(self.sessions[i].fd)
            free(self.sessions[i])
            self.sessions[i] = NULL
        for address in (*self.session_confs.values(), *self.follows.values()):
            free(<void *><intptr_t>address)
        self.session_confs.clear()
        self.follows.clear()
        free(self.accepts)
        self.accepts = NULL
        free(self.mirror)
        self.mirror = NULL

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __dealloc__(self):
        if self.engine != NULL and not self.running:
            fh_engine_free(self.engine)
        free(self.instances)
        free(self.configurations)
        free(self.sockets)
        free(self.sessions)
