# BFD in memory: what the C files are called, and how a spec is laid out for them. Included by engine.pyx and vnode.pyx.

cdef extern from "fh_bfd_codec.h" nogil:
    enum:
        FH_BFD_RX_N
        FH_BFD_PORT_SINGLE
        FH_BFD_PORT_ECHO
        FH_BFD_PORT_MULTI
        FH_BFD_PORT_SBFD
    ctypedef struct fh_bfd_key:
        pass
    bint fh_bfd_key_init(fh_bfd_key *key, uint8_t id, unsigned type, const void *secret, size_t length)
    const char *fh_bfd_state_name(unsigned state)
    const char *fh_bfd_diag_name(unsigned diag)
    const char *fh_bfd_rx_name(int why)

cdef extern from "fh_bfd_fsm.h" nogil:
    enum:
        FH_BFD_CAUSES
        FH_BFD_TX_KEY_NONE
        FH_BFD_KIND_SESSION
        FH_BFD_KIND_SBFD
        FH_BFD_KIND_LOOPED
        FH_BFD_EV_ADMIN_DOWN
        FH_BFD_EV_ADMIN_UP
        FH_BFD_EV_FORWARDING_RESET
        FH_BFD_EV_PATH_DOWN
        FH_BFD_EV_CONCAT
        FH_BFD_EV_BACKOFF
        FH_BFD_EV_POLL
    const char *fh_bfd_cause_name(unsigned cause)
    ctypedef struct fh_bfd_params:
        uint32_t min_tx_us
        uint32_t min_rx_us
        uint32_t idle_tx_us
        uint32_t min_echo_rx_us
        uint32_t echo_tx_us
        uint32_t demand_poll_us
        uint32_t remote_discr
        uint16_t padded
        uint8_t detect_mult
        uint8_t kind
        uint8_t key_count
        uint8_t tx_key
        bint passive
        bint demand
        bint auth_optional
        const fh_bfd_key *keys
    ctypedef struct fh_sbfd_reflector:
        uint32_t min_rx_us
        bint admin_down
        uint8_t discr_count
        const uint32_t *discrs
        uint8_t key_count
        const fh_bfd_key *keys

cdef extern from "fh_bfd_gauge.h" nogil:
    ctypedef struct fh_bfd_gauge:
        uint64_t count
        fh_ns least
        fh_ns most
    void fh_bfd_gauge_copy(fh_bfd_gauge *to, const fh_bfd_gauge *gauge)
    fh_ns fh_bfd_gauge_mean(const fh_bfd_gauge *g)
    fh_ns fh_bfd_gauge_quantile(const fh_bfd_gauge *g, unsigned permille)

cdef extern from "fh_bfd_table.h" nogil:
    ctypedef struct fh_bfd_way:
        fh_addr peer
        fh_addr local
        uint32_t discr
        uint32_t ifindex
        uint16_t port
        uint8_t family
        bint has_local

cdef extern from "fh_bfd_node.h" nogil:
    enum:
        FH_BFD_STATS
    ctypedef struct fh_bs_conf:
        fh_bfd_params fsm
        uint8_t least_ttl
        bint has_mac
        uint8_t mac[6]
        uint8_t own_mac[6]
        fh_addr echo_source
    ctypedef struct fh_bs:
        fh_bfd_way way
        fh_bfd_gauge rx_gauge
        fh_bfd_gauge echo_gauge
        uint8_t ttl
        int fd
        uint16_t source_port
    ctypedef struct fh_bfd_accept:
        uint32_t ifindex
        uint8_t family
        uint8_t prefixlen
        fh_addr prefix
    ctypedef struct fh_bfd_accepts:
        uint32_t count
        uint32_t rate
        fh_bfd_accept rule[0]
    ctypedef struct fh_bs_view:
        uint32_t shown
        uint32_t flags
        uint32_t remote_discr
        uint32_t remote_min_rx
        uint32_t remote_min_tx
        uint32_t remote_echo
        uint32_t remote_mult
        uint32_t transitions
        int64_t tx_int
        int64_t rx_int
        int64_t detect_int
        int64_t echo_int
        int64_t changed
        int64_t up_since
        int64_t last_rx
        int64_t last_tx
        int64_t margin_least
    const char *fh_bfd_stat_name(int stat)
    void fh_bs_look(const fh_bs *s, fh_bs_view *view)
    uint64_t fh_bs_stat(const fh_bs *s, int stat)
    uint32_t fh_bs_refused(const fh_bs *s, int why)
    size_t FH_BS_SIZE

cdef extern from "fh_bfd_join.h" nogil:
    ctypedef struct fh_bfd_follow:
        uint32_t session
        fh_ns takeover_delay
        int16_t weight
        bint reverse
        bint takeover
        bint initially_up
    ctypedef struct fh_bfd_follows:
        uint32_t count
        fh_bfd_follow follow[0]

BFD_STATES = tuple(fh_bfd_state_name(i).decode() for i in range(4))
BFD_DIAGS = tuple(fh_bfd_diag_name(i).decode() for i in range(32))
BFD_CAUSES = tuple(fh_bfd_cause_name(i).decode() for i in range(FH_BFD_CAUSES))
BFD_REJECTS = tuple(fh_bfd_rx_name(i).decode() for i in range(FH_BFD_RX_N))
BFD_STATS = tuple(fh_bfd_stat_name(i).decode() for i in range(FH_BFD_STATS))

_UINT32_MOST = 0xffffffff


cdef int write_keys(fh_bfd_key *keys, object specs) except -1:
    cdef bytes secret
    cdef int i = 0
    for spec in specs:
        secret = spec.secret
        if not 0 <= spec.key_id <= 255:
            raise ValueError("a BFD key id is 0 to 255")
        if not fh_bfd_key_init(&keys[i], spec.key_id, spec.kind, <const char *>secret, len(secret)):
            raise ValueError("a BFD key has 1 to 16 octets (SHA1: 20), and a type of 1 to 5")
        i += 1
    return 0


cdef int checked_bfd(object spec) except -1:
    for name in ("min_tx_us", "min_rx_us", "idle_tx_us", "echo_tx_us", "min_echo_rx_us", "demand_poll_us",
                 "remote_discr", "discr"):
        if not 0 <= getattr(spec, name) <= _UINT32_MOST:
            raise ValueError(f"{name} is 0 to {_UINT32_MOST}")
    if spec.family not in (2, 10) or len(spec.peer) != (4 if spec.family == 2 else 16):
        raise ValueError("a BFD session has a neighbour of its family")
    if spec.local and len(spec.local) != len(spec.peer):
        raise ValueError("the two addresses of a BFD session have the same family")
    if spec.min_tx_us == 0 or not 1 <= spec.detect_mult <= 255:
        raise ValueError("min_tx_us is 1 or more, detect_mult 1 to 255")
    if not 1 <= spec.ttl <= 255 or not 0 <= spec.least_ttl <= 255 or not 0 <= spec.padded <= 9216:
        raise ValueError("ttl is 1 to 255, least_ttl 0 to 255, padded 0 to 9216")
    if spec.tx_key >= max(1, len(spec.keys)) or len(spec.keys) > 254:
        raise ValueError("tx_key is the index of one of the keys")
    if spec.kind == FH_BFD_KIND_SBFD and spec.remote_discr == 0:
        raise ValueError("S-BFD needs the reflector's discriminator")
    if spec.kind == FH_BFD_KIND_LOOPED or spec.echo_tx_us:
        if not spec.local or not spec.ifindex:
            raise ValueError("Echo needs our own address and the interface")
        if spec.multihop:
            raise ValueError("there is no Echo over several hops (RFC 5883 3)")
    return 0


cdef fh_addr bfd_address(bytes address) except *:
    cdef fh_addr result
    memset(&result, 0, sizeof(result))
    if len(address) not in (0, 4, 16):
        raise ValueError(f"an address has 4 or 16 octets, not {len(address)}")
    memcpy(result.b, <const char *>address, len(address))
    return result


cdef fh_bs_conf *lay_out_bfd(object spec, bytes own_mac) except NULL:
    """Copies a BfdSpec into one block of memory that begins with its fh_bs_conf; its keys follow."""
    cdef fh_bs_conf *conf
    cdef fh_bfd_key *keys
    cdef bytes mac = spec.echo_mac
    cdef fh_addr echo_source = bfd_address(spec.echo_source or spec.local)
    checked_bfd(spec)
    if len(mac) not in (0, 6):
        raise ValueError("a hardware address has 6 octets")
    conf = <fh_bs_conf *>calloc(1, sizeof(fh_bs_conf) + len(spec.keys) * sizeof(fh_bfd_key))
    if conf == NULL:
        raise MemoryError
    keys = <fh_bfd_key *>(conf + 1)
    try:
        write_keys(keys, spec.keys)
    except BaseException:
        free(conf)
        raise
    conf.fsm.min_tx_us = spec.min_tx_us
    conf.fsm.min_rx_us = spec.min_rx_us
    conf.fsm.idle_tx_us = spec.idle_tx_us
    conf.fsm.min_echo_rx_us = spec.min_echo_rx_us
    conf.fsm.echo_tx_us = spec.echo_tx_us
    conf.fsm.demand_poll_us = spec.demand_poll_us
    conf.fsm.remote_discr = spec.remote_discr
    conf.fsm.padded = spec.padded
    conf.fsm.detect_mult = spec.detect_mult
    conf.fsm.kind = spec.kind
    conf.fsm.key_count = len(spec.keys)
    conf.fsm.tx_key = spec.tx_key if spec.keys and spec.tx_key >= 0 else FH_BFD_TX_KEY_NONE
    conf.fsm.passive = spec.passive
    conf.fsm.demand = spec.demand
    conf.fsm.auth_optional = spec.auth_optional
    conf.fsm.keys = keys
    conf.least_ttl = spec.least_ttl
    conf.echo_source = echo_source
    if mac and own_mac:
        memcpy(conf.mac, <const char *>mac, 6)
        memcpy(conf.own_mac, <const char *>own_mac, 6)
        conf.has_mac = True
    return conf


cdef fh_bfd_follows *lay_out_follows(object tracks) except? NULL:
    cdef fh_bfd_follows *all
    cdef uint32_t i
    if not tracks:
        return NULL
    all = <fh_bfd_follows *>calloc(1, sizeof(fh_bfd_follows) + len(tracks) * sizeof(fh_bfd_follow))
    if all == NULL:
        raise MemoryError
    for i, track in enumerate(tracks):
        if not -253 <= track.weight <= 253:
            free(all)
            raise ValueError("a weight is -253 to 253")
        all.follow[i].session = track.session
        all.follow[i].weight = track.weight
        all.follow[i].reverse = track.reverse
        all.follow[i].takeover = track.takeover
        all.follow[i].takeover_delay = track.takeover_delay_us * 1000
        all.follow[i].initially_up = track.initially_up
    all.count = len(tracks)
    return all


cdef dict gauge_dict(const fh_bfd_gauge *shared, str name):
    cdef fh_bfd_gauge g
    fh_bfd_gauge_copy(&g, shared)
    return {
        f"{name}_count": g.count,
        f"{name}_min_ns": g.least,
        f"{name}_mean_ns": fh_bfd_gauge_mean(&g),
        f"{name}_max_ns": g.most,
        f"{name}_p50_ns": fh_bfd_gauge_quantile(&g, 500),
        f"{name}_p99_ns": fh_bfd_gauge_quantile(&g, 990),
    }


cdef dict session_view(const fh_bs *s):
    cdef fh_bs_view v
    fh_bs_look(s, &v)
    return {
        "state": BFD_STATES[v.shown & 0xff],
        "remote_state": BFD_STATES[(v.shown >> 8) & 0xff],
        "local_diag": (v.shown >> 16) & 0xff,
        "remote_diag": (v.shown >> 24) & 0xff,
        "local_discr": s.way.discr,
        "remote_discr": v.remote_discr,
        "source_port": s.source_port,
        "remote_min_rx_us": v.remote_min_rx,
        "remote_min_tx_us": v.remote_min_tx,
        "remote_min_echo_rx_us": v.remote_echo,
        "remote_mult": v.remote_mult,
        "transitions": v.transitions,
        "poll": v.flags & 1,
        "demand": (v.flags >> 1) & 1,
        "remote_demand": (v.flags >> 2) & 1,
        "echo": (v.flags >> 3) & 1,
        "backoff": v.flags >> 4,
        "tx_interval_ns": v.tx_int,
        "rx_interval_ns": v.rx_int,
        "detection_time_ns": v.detect_int,
        "echo_interval_ns": v.echo_int,
        "changed_ns": v.changed,
        "up_since_ns": v.up_since,
        "last_rx_ns": v.last_rx,
        "last_tx_ns": v.last_tx,
        "margin_least_ns": v.margin_least,
        **gauge_dict(&s.rx_gauge, "rx"),
        **gauge_dict(&s.echo_gauge, "echo"),
    }
