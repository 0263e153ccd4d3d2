# BFD sessions under the virtual clock of vnode.pyx, with the VRRP instances that follow them. Included by it.

from libc.stdint cimport int16_t, intptr_t, uint64_t

include "bfd_layout.pxi"

cdef extern from "stdbool.h" nogil:
    ctypedef unsigned char cbool "bool"  # bint is an int: wrong in the type of a function that C calls

cdef extern from "fh_bfd_codec.h" nogil:
    enum:
        FH_BFD_PACKET_MAX

cdef extern from "fh_bfd_fsm.h" nogil:
    enum:
        FH_BFD_ECHO_LEN
    size_t fh_bfd_write(const fh_bfd_params *p, void *s, fh_ns now, bint final, uint8_t *buf, size_t cap)
    size_t fh_bfd_write_echo(void *s, fh_ns now, uint8_t *buf)

cdef extern from "fh_bfd_table.h" nogil:
    ctypedef struct fh_bfd_table:
        fh_bfd_way **by_discr
        fh_bfd_way **by_peer
        uint32_t mask
    ctypedef struct fh_bfd_arrival:
        fh_addr src
        fh_addr dst
        uint32_t ifindex
        uint16_t port
        uint8_t family
        int ttl

cdef extern from "fh_bfd_node.h" nogil:
    ctypedef struct fh_bfd_node_io:
        void (*send)(void *io, fh_bs *s, cbool final) noexcept
        void (*echo)(void *io, fh_bs *s) noexcept
        void (*drain)(void *io, fh_ns now) noexcept
        void (*state)(void *io, fh_bs *s, uint8_t old, uint8_t cause, fh_ns now) noexcept
        void (*gone)(void *io, fh_bs *s) noexcept
        void (*event)(void *io, const fh_event *event) noexcept
    ctypedef struct fh_bfd_node:
        fh_timers timers
        fh_bs **sessions
        uint32_t slots
        fh_bfd_table table
        fh_ns woke
    void fh_bfd_node_init(fh_bfd_node *n, const uint64_t *seed, const fh_bfd_node_io *ops, void *io)
    uint32_t fh_bfd_node_random(fh_bfd_node *n)
    bint fh_bfd_node_add(fh_bfd_node *n, fh_bs *s, uint32_t slot, const fh_bs_conf *conf, fh_ns now)
    void fh_bfd_node_replace(fh_bfd_node *n, fh_bs *s, const fh_bs_conf *conf, fh_ns now)
    void fh_bfd_node_input(fh_bfd_node *n, fh_bs *s, uint8_t event, uint8_t arg, fh_ns now)
    void fh_bfd_node_stop(fh_bfd_node *n, fh_bs *s, bint graceful, fh_ns now)
    void fh_bfd_node_remove(fh_bfd_node *n, fh_bs *s)
    int fh_bfd_node_packet(fh_bfd_node *n, const fh_bfd_arrival *where, const uint8_t *data, size_t length,
                           fh_ns rx_time, fh_ns now)
    int fh_bfd_node_echo(fh_bfd_node *n, const fh_bfd_arrival *where, const uint8_t *data, size_t length,
                         fh_ns rx_time, fh_ns now)
    fh_ns fh_bfd_node_woke(fh_bfd_node *n, fh_ns since, fh_ns due, fh_ns now)
    void fh_bfd_node_run(fh_bfd_node *n, fh_ns now)
    void fh_bfd_node_congestion(fh_bfd_node *n, fh_ns now)
    fh_ns fh_bfd_node_next(const fh_bfd_node *n)

cdef extern from *:
    """
    /* The machine of a session and its settings, for what Python writes. */
    #define FH_BS_FSM(s) ((void *)&(s)->fsm)
    #define FH_BS_PARAMS(s) (&(s)->conf->fsm)
    """
    void *FH_BS_FSM(fh_bs *s) nogil
    const fh_bfd_params *FH_BS_PARAMS(fh_bs *s) nogil

cdef extern from "fh_bfd_join.h" nogil:
    ctypedef struct fh_bfd_join:
        fh_node *node
        fh_bfd_node *bfd
        fh_bfd_follow **by_session
        fh_bfd_follows **by_inst
    fh_bfd_follows *fh_bfd_join_set(fh_bfd_join *j, uint32_t inst, fh_bfd_follows *follows, fh_ns now)
    void fh_bfd_join_state(fh_bfd_join *j, const fh_bs *s, uint8_t old, uint8_t cause, fh_ns now)


cdef void _bfd_send(void *io, fh_bs *s, cbool final) noexcept:
    cdef uint8_t packet[9216]
    cdef VirtualRouter me = <VirtualRouter>io
    cdef size_t length = fh_bfd_write(FH_BS_PARAMS(s), FH_BS_FSM(s), me.clock, final, packet, sizeof(packet))
    me.packets.append((me.clock, "control", me.slot_of(s), (<char *>packet)[:length]))

cdef void _bfd_echo(void *io, fh_bs *s) noexcept:
    cdef uint8_t packet[FH_BFD_ECHO_LEN]
    cdef VirtualRouter me = <VirtualRouter>io
    cdef size_t length = fh_bfd_write_echo(FH_BS_FSM(s), me.clock, packet)
    me.packets.append((me.clock, "echo", me.slot_of(s), (<char *>packet)[:length]))

cdef void _bfd_drain(void *io, fh_ns now) noexcept:
    cdef VirtualRouter me = <VirtualRouter>io
    if me.on_drain is not None:
        me.on_drain()

cdef void _bfd_state(void *io, fh_bs *s, uint8_t old, uint8_t cause, fh_ns now) noexcept:
    fh_bfd_join_state(&(<VirtualRouter>io).join, s, old, cause, now)

cdef void _bfd_gone(void *io, fh_bs *s) noexcept:
    cdef VirtualRouter me = <VirtualRouter>io
    slot = me.slot_of(s)
    me.told.append((me.clock, 27, slot, (0, 0, 0, 0), (0, 0, 0, 0, 0, 0)))
    fh_bfd_node_remove(&me.bfd, s)
    free(<void *><intptr_t>me.bfd_confs.pop(slot))
    free(s)


cdef fh_bfd_node_io BFD_OPS
BFD_OPS.send = _bfd_send
BFD_OPS.echo = _bfd_echo
BFD_OPS.drain = _bfd_drain
BFD_OPS.state = _bfd_state
BFD_OPS.gone = _bfd_gone
BFD_OPS.event = _event


cdef class VirtualRouter(VirtualNode):
    """A VirtualNode that has BFD sessions as well. See vnode.pyi."""

    cdef fh_bfd_node bfd
    cdef fh_bfd_join join
    cdef dict bfd_confs  # by slot: address of the configuration in force
    cdef readonly list packets
    cdef public object on_drain

    def __cinit__(self, uint32_t size=16, uint32_t sessions=16, uint64_t seed=1):
        cdef uint64_t seeds[4]
        cdef uint32_t buckets = 16
        while buckets < sessions:
            buckets *= 2
        memset(&self.bfd, 0, sizeof(self.bfd))
        self.packets = []
        self.bfd_confs = {}
        self.on_drain = None
        self.bfd.sessions = <fh_bs **>calloc(sessions, sizeof(fh_bs *))
        self.bfd.slots = sessions
        self.bfd.table.by_discr = <fh_bfd_way **>calloc(buckets, sizeof(fh_bfd_way *))
        self.bfd.table.by_peer = <fh_bfd_way **>calloc(buckets, sizeof(fh_bfd_way *))
        self.bfd.table.mask = buckets - 1
        fh_timers_init(&self.bfd.timers, <fh_timer_slot *>calloc(sessions * 3, sizeof(fh_timer_slot)),
                       sessions * 3)
        self.join.node = &self.node
        self.join.bfd = &self.bfd
        self.join.by_session = <fh_bfd_follow **>calloc(sessions, sizeof(fh_bfd_follow *))
        self.join.by_inst = <fh_bfd_follows **>calloc(size, sizeof(fh_bfd_follows *))
        seeds[0], seeds[1], seeds[2], seeds[3] = seed, 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb
        fh_bfd_node_init(&self.bfd, seeds, &BFD_OPS, <void *>self)
        for _ in range(16):
            fh_bfd_node_random(&self.bfd)

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.bfd.slots):
            free(self.bfd.sessions[i])
        for i in range(self.size if self.join.by_inst != NULL else 0):
            free(self.join.by_inst[i])
        for address in (self.bfd_confs or {}).values():
            free(<void *><intptr_t>address)
        free(self.bfd.sessions)
        free(self.bfd.table.by_discr)
        free(self.bfd.table.by_peer)
        free(self.bfd.timers.slots)
        free(self.join.by_session)
        free(self.join.by_inst)

    cdef uint32_t slot_of(self, const fh_bs *s):
        cdef uint32_t i
        for i in range(self.bfd.slots):
            if self.bfd.sessions[i] == s:
                return i
        return 0xffffffff

    cdef fh_bs *_session(self, uint32_t slot) except NULL:
        if slot >= self.bfd.slots or self.bfd.sessions[slot] == NULL:
            raise KeyError(f"no BFD session in slot {slot}")
        return self.bfd.sessions[slot]

    def bfd_add(self, uint32_t slot, spec):
        cdef fh_bs *s
        cdef fh_bs_conf *conf
        cdef uint32_t discr = spec.discr
        if slot >= self.bfd.slots or self.bfd.sessions[slot] != NULL:
            raise KeyError(f"BFD slot {slot} is not free")
        conf = lay_out_bfd(spec, spec.echo_mac)
        s = <fh_bs *>calloc(1, FH_BS_SIZE)
        if s == NULL:
            free(conf)
            raise MemoryError
        while discr == 0:
            discr = fh_bfd_node_random(&self.bfd)
        s.fd = -1
        s.way.peer = bfd_address(spec.peer)
        s.way.local = bfd_address(spec.local)
        s.way.has_local = len(spec.local) != 0
        s.way.discr = discr
        s.way.ifindex = spec.ifindex
        s.way.family = spec.family
        s.way.port = (FH_BFD_PORT_SBFD if spec.kind == FH_BFD_KIND_SBFD
                      else FH_BFD_PORT_MULTI if spec.multihop else FH_BFD_PORT_SINGLE)
        if not fh_bfd_node_add(&self.bfd, s, slot, conf, self.clock):
            free(s)
            free(conf)
            raise ValueError(f"discriminator {discr} is taken")
        self.bfd_confs[slot] = <intptr_t>conf
        if spec.admin_down:
            self.bfd_admin(slot, False)
        return discr

    def bfd_replace(self, uint32_t slot, spec):
        cdef fh_bs *s = self._session(slot)
        cdef fh_bs_conf *conf = lay_out_bfd(spec, spec.echo_mac)
        old = self.bfd_confs[slot]
        self.bfd_confs[slot] = <intptr_t>conf
        fh_bfd_node_replace(&self.bfd, s, conf, self.clock)
        free(<void *><intptr_t>old)

    def bfd_admin(self, uint32_t slot, bint up, int diag=7):
        fh_bfd_node_input(&self.bfd, self._session(slot), FH_BFD_EV_ADMIN_UP if up else FH_BFD_EV_ADMIN_DOWN, diag,
                          self.clock)

    def bfd_path_down(self, uint32_t slot):
        fh_bfd_node_input(&self.bfd, self._session(slot), FH_BFD_EV_PATH_DOWN, 0, self.clock)

    def bfd_remove(self, uint32_t slot, bint graceful=True):
        fh_bfd_node_stop(&self.bfd, self._session(slot), graceful, self.clock)

    def bfd_track(self, uint32_t instance, tracks):
        self._inst(instance)
        free(fh_bfd_join_set(&self.join, instance, lay_out_follows(tracks), self.clock))

    def bfd_heard(self, bytes data, bytes src, bytes dst, int ttl=255, uint32_t ifindex=0, int port=3784,
                  int64_t age=0):
        cdef fh_bfd_arrival where
        memset(&where, 0, sizeof(where))
        where.src = bfd_address(src)
        where.dst = bfd_address(dst)
        where.family = 2 if len(src) == 4 else 10
        where.ifindex = ifindex
        where.port = port
        where.ttl = ttl
        if port == FH_BFD_PORT_ECHO:
            return BFD_REJECTS[fh_bfd_node_echo(&self.bfd, &where, <const uint8_t *><const char *>data, len(data),
                                                self.clock - age, self.clock)]
        return BFD_REJECTS[fh_bfd_node_packet(&self.bfd, &where, <const uint8_t *><const char *>data, len(data),
                                              self.clock - age, self.clock)]

    def due(self):
        """The next deadline, of VRRP or BFD; NEVER when there is none."""
        return min(fh_node_next(&self.node), fh_bfd_node_next(&self.bfd))

    def advance(self, int64_t by, bint stall=False):
        cdef int64_t begin = self.clock
        cdef int64_t end = self.clock + by
        if not stall:
            while self.due() <= end:
                self.clock = max(self.clock, self.due())
                self._turn(self.clock, self.clock)
        else:
            self.clock = end
        self._turn(begin, end)

    cdef int _turn(self, int64_t since, int64_t now) except -1:
        self.clock = now
        self.node.woke = now
        fh_bfd_node_woke(&self.bfd, since, fh_bfd_node_next(&self.bfd), now)
        fh_bfd_node_run(&self.bfd, now)
        fh_bfd_node_congestion(&self.bfd, now)
        fh_node_run_timers(&self.node, now)
        return 0

    def bfd_state(self, uint32_t slot=0):
        return session_view(self._session(slot))["state"]

    def bfd_status(self, uint32_t slot=0):
        return session_view(self._session(slot))

    def bfd_counters(self, uint32_t slot=0):
        return {BFD_STATS[i]: fh_bs_stat(self._session(slot), i) for i in range(FH_BFD_STATS)}

    def take_packets(self):
        """What was sent since the last call: (when, "control" or "echo", slot of the session, octets)."""
        packets, self.packets = self.packets, []
        return packets
