# BFD's part of engine.pyx: sockets, commands, what is retired. Included by it.

from fastha._core.bfd_spec import same_session

include "bfd_layout.pxi"

cdef extern from "fh_bfd_sock.h" nogil:
    int fh_bfd_sock_rx(int family, uint16_t port, uint32_t ifindex, int rcvbuf)
    int fh_bfd_sock_tx(int family, const fh_addr *source, uint32_t ifindex, uint8_t ttl, uint32_t random,
                       uint16_t *port)
    int fh_bfd_sock_no_fragments(int fd, int family)
    int fh_bfd_sock_answers(int fd, int family)
    int fh_bfd_sock_echo(int family, int rcvbuf)

cdef extern from "fh_engine.h" nogil:
    enum:
        FH_BSOCKS
        FH_CMD_BFD_LISTEN
        FH_CMD_BFD_ADD
        FH_CMD_BFD_CONF
        FH_CMD_BFD_INPUT
        FH_CMD_BFD_DEL
        FH_CMD_BFD_TRACK
        FH_CMD_BFD_ACCEPT
        FH_CMD_BFD_REFLECT
        FH_CMD_BFD_UNLISTEN
        FH_RETIRED_CONF
        FH_RETIRED_INST
        FH_RETIRED_SOCK
        FH_RETIRED_BFD_CONF
        FH_RETIRED_BFD
        FH_RETIRED_BSOCK
    ctypedef struct fh_bsock:
        int fd
        uint8_t family
        uint16_t port
    ctypedef struct fh_bfd_mirror:
        fh_sbfd_reflector reflector
    uint64_t fh_engine_bfd_refused(const fh_engine *e, int why)
    uint64_t fh_bsock_packets(const fh_bsock *s)

_SIGNALS = {
    "forwarding_reset": FH_BFD_EV_FORWARDING_RESET,
    "path_down": FH_BFD_EV_PATH_DOWN,
    "concat": FH_BFD_EV_CONCAT,
    "backoff": FH_BFD_EV_BACKOFF,
    "poll": FH_BFD_EV_POLL,
}
cdef bytes hardware_address(uint32_t ifindex):
    """Of an interface; b"" where there is none."""
    import fcntl
    import socket
    import struct
    try:
        name = socket.if_indextoname(ifindex)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            reply = fcntl.ioctl(s, 0x8927, struct.pack("16s24x", name.encode()))  # SIOCGIFHWADDR
    except OSError:
        return b""
    return reply[18:24] if int.from_bytes(reply[16:18], sys.byteorder) == 1 else b""


cdef fh_bfd_accepts *lay_out_accepts(object rules, uint32_t rate) except? NULL:
    cdef fh_bfd_accepts *all
    cdef fh_addr address
    cdef uint32_t i
    if not rules:
        return NULL
    for rule in rules:
        packed(rule.prefix)
        if not 0 <= rule.prefixlen <= 8 * len(rule.prefix) or len(rule.prefix) != (4 if rule.family == 2 else 16):
            raise ValueError("a prefix has the octets of its family, and no more bits than they have")
    all = <fh_bfd_accepts *>calloc(1, sizeof(fh_bfd_accepts) + len(rules) * sizeof(fh_bfd_accept))
    if all == NULL:
        raise MemoryError
    for i, rule in enumerate(rules):
        address = packed(rule.prefix)
        all.rule[i].ifindex = rule.ifindex
        all.rule[i].family = rule.family
        all.rule[i].prefixlen = rule.prefixlen
        all.rule[i].prefix = address
    all.count = len(rules)
    all.rate = rate
    return all


cdef fh_bfd_mirror *lay_out_mirror(object spec) except NULL:
    cdef _Block block = _Block()
    cdef fh_bfd_mirror *mirror
    cdef fh_bfd_key *keys
    cdef uint32_t *discrs
    cdef int i
    if not 1 <= len(spec.discrs) <= 255 or len(spec.keys) > 254 or not all(0 < d <= _UINT32_MOST for d in spec.discrs):
        raise ValueError("a reflector has 1 to 255 discriminators, none of them 0")
    block.want(sizeof(fh_bfd_mirror))
    block.want(len(spec.discrs) * sizeof(uint32_t))
    block.want(max(1, len(spec.keys)) * sizeof(fh_bfd_key))
    block.make()
    mirror = <fh_bfd_mirror *>block.take(sizeof(fh_bfd_mirror))
    discrs = <uint32_t *>block.take(len(spec.discrs) * sizeof(uint32_t))
    keys = <fh_bfd_key *>block.take(max(1, len(spec.keys)) * sizeof(fh_bfd_key))
    for i, discr in enumerate(spec.discrs):
        discrs[i] = discr
    write_keys(keys, spec.keys)
    mirror.reflector.min_rx_us = spec.min_rx_us
    mirror.reflector.admin_down = spec.admin_down
    mirror.reflector.discr_count = len(spec.discrs)
    mirror.reflector.discrs = discrs
    mirror.reflector.key_count = len(spec.keys)
    mirror.reflector.keys = keys
    return <fh_bfd_mirror *>block.give()
