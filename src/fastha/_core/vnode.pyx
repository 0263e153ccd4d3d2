"""A node with a virtual clock: the engine's own logic (fh_node, fh_vrrp_fsm, timers), with what it wants done
written down instead of done.

Time stands still until `advance`; nothing is sent, nothing is installed. Tests drive it case by case; it is the
same object code that the engine thread runs.
"""

from libc.stdint cimport int64_t, int8_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastha._core.cvrrp cimport (
    fh_addr,
    fh_event,
    fh_inst_conf,
    fh_ns,
    fh_track_link,
    fh_vrrp_params,
    fh_vrrp_state_name,
)

cdef extern from "fh_timer.h" nogil:
    ctypedef struct fh_timer_slot:
        pass
    ctypedef struct fh_timers:
        fh_timer_slot *slots
        uint32_t count
    void fh_timers_init(fh_timers *q, fh_timer_slot *memory, uint32_t capacity)

cdef extern from "fh_vrrp_fsm.h" nogil:
    ctypedef struct fh_vrrp:
        fh_ns timer
        fh_ns active_int
        fh_ns last_sent
        fh_ns last_heard
        uint8_t state
        uint8_t priority
        bint wants_master
    ctypedef struct fh_vrrp_heard:
        fh_ns interval
        fh_addr src
        int8_t src_order
        uint8_t priority
    fh_ns fh_vrrp_skew(const fh_vrrp_params *p, uint8_t priority, fh_ns interval)
    fh_ns fh_vrrp_down(const fh_vrrp_params *p, uint8_t priority, fh_ns interval)

cdef extern from "fh_node.h" nogil:
    ctypedef struct fh_inst:
        fh_vrrp fsm
        const fh_inst_conf *conf
        uint32_t slot
        uint32_t faults
    ctypedef struct fh_group:
        uint32_t *members
    ctypedef struct fh_link:
        pass
    ctypedef struct fh_node_io:
        void (*advert)(void *io, fh_inst *inst, uint8_t priority) noexcept
        void (*acquire)(void *io, fh_inst *inst) noexcept
        void (*addresses_first)(void *io, fh_inst *inst, int64_t room) noexcept
        void (*release)(void *io, fh_inst *inst) noexcept
        void (*hush)(void *io, fh_inst *inst) noexcept
        void (*announce)(void *io, fh_inst *inst, unsigned repeat) noexcept
        void (*silence)(void *io, fh_inst *inst) noexcept
        void (*renew)(void *io, fh_inst *inst) noexcept
        void (*stopped)(void *io, fh_inst *inst) noexcept
        void (*event)(void *io, const fh_event *event) noexcept
    ctypedef struct fh_node:
        fh_timers timers
        fh_inst **insts
        uint32_t inst_slots
        fh_group *groups
        uint32_t group_slots
        fh_link *links
        uint32_t link_slots
        fh_ns woke
    void fh_node_init(fh_node *n, const fh_node_io *ops, void *io)
    void fh_node_add(fh_node *n, fh_inst *inst, uint32_t slot, const fh_inst_conf *conf, fh_ns now)
    void fh_node_replace(fh_node *n, fh_inst *inst, const fh_inst_conf *conf, fh_ns now)
    void fh_node_stop(fh_node *n, fh_inst *inst, bint graceful, fh_ns now)
    void fh_node_remove(fh_node *n, fh_inst *inst)
    void fh_node_set_group(fh_node *n, uint32_t slot, uint32_t *members, uint32_t count, fh_ns now)
    void fh_node_heard(fh_node *n, fh_inst *inst, const fh_vrrp_heard *heard, fh_ns rx_time, fh_ns now)
    void fh_node_run_timers(fh_node *n, fh_ns now)
    fh_ns fh_node_next(const fh_node *n)
    void fh_node_told(fh_node *n, fh_inst *inst, uint32_t set, uint32_t clear, int delta, fh_ns now)
    void fh_node_fault(fh_node *n, fh_inst *inst, uint32_t bit, bint on, fh_ns now)
    void fh_node_takeover(fh_node *n, fh_inst *inst, fh_ns now)
    void fh_node_slept(fh_node *n, fh_ns slept, fh_ns now)
    bint fh_node_link_conf(fh_node *n, uint32_t ifindex, fh_ns up_delay, fh_ns down_delay)
    void fh_node_link_state(fh_node *n, uint32_t ifindex, bint up, bint gone, fh_ns now)
    bint fh_node_repair(fh_node *n, fh_inst *inst, uint32_t item, fh_ns now)

NEVER = 0x7FFFFFFFFFFFFFFF
_NO_GROUP = 0xFFFFFFFF


cdef void _advert(void *io, fh_inst *inst, uint8_t priority) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "advert", inst.slot, priority))

cdef void _acquire(void *io, fh_inst *inst) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "acquire", inst.slot, 0))

cdef void _addresses_first(void *io, fh_inst *inst, int64_t room) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "addresses_first", inst.slot, room))

cdef void _release(void *io, fh_inst *inst) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "release", inst.slot, 0))

cdef void _announce(void *io, fh_inst *inst, unsigned repeat) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "announce", inst.slot, repeat))

cdef void _hush(void *io, fh_inst *inst) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "hush", inst.slot, 0))

cdef void _silence(void *io, fh_inst *inst) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "silence", inst.slot, 0))

cdef void _renew(void *io, fh_inst *inst) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "renew", inst.slot, 0))

cdef void _stopped(void *io, fh_inst *inst) noexcept:
    (<VirtualNode>io).done.append(((<VirtualNode>io).clock, "stopped", inst.slot, 0))

cdef void _event(void *io, const fh_event *event) noexcept:
    (<VirtualNode>io).told.append((
        event.at, event.type, event.inst, (event.arg[0], event.arg[1], event.arg[2], event.arg[3]),
        (event.v[0], event.v[1], event.v[2], event.v[3], event.v[4], event.v[5]),
    ))


cdef fh_node_io OPS
OPS.advert = _advert
OPS.acquire = _acquire
OPS.addresses_first = _addresses_first
OPS.release = _release
OPS.announce = _announce
OPS.hush = _hush
OPS.silence = _silence
OPS.renew = _renew
OPS.stopped = _stopped
OPS.event = _event


cdef class VirtualNode:
    """One daemon's virtual routers under a clock that the caller moves. See vnode.pyi."""

    cdef fh_node node
    cdef fh_inst *insts
    cdef fh_inst_conf *confs
    cdef fh_track_link *tracks
    cdef uint32_t *members
    cdef uint32_t size
    cdef public int64_t clock
    cdef public list done
    cdef public list told

    def __cinit__(self, uint32_t size=16, *_rest, **_named):
        memset(&self.node, 0, sizeof(self.node))
        self.size = size
        self.clock = 1_000_000_000
        self.done = []
        self.told = []
        self.insts = <fh_inst *>calloc(size, sizeof(fh_inst))
        self.confs = <fh_inst_conf *>calloc(size, sizeof(fh_inst_conf))
        self.tracks = <fh_track_link *>calloc(size * 8, sizeof(fh_track_link))
        self.members = <uint32_t *>calloc(size * size, sizeof(uint32_t))
        self.node.insts = <fh_inst **>calloc(size, sizeof(fh_inst *))
        self.node.inst_slots = size
        self.node.groups = <fh_group *>calloc(size, sizeof(fh_group))
        self.node.group_slots = size
        self.node.links = <fh_link *>calloc(size, sizeof(fh_link))
        self.node.link_slots = size
        fh_timers_init(&self.node.timers, <fh_timer_slot *>calloc(size * 6, sizeof(fh_timer_slot)), size * 6)
        fh_node_init(&self.node, &OPS, <void *>self)

    def __dealloc__(self):
        free(self.insts)
        free(self.confs)
        free(self.tracks)
        free(self.members)
        free(self.node.insts)
        free(self.node.groups)
        free(self.node.links)
        free(self.node.timers.slots)

    cdef int _conf(self, uint32_t slot, dict options) except -1:
        cdef fh_inst_conf *c = &self.confs[slot]
        cdef uint32_t i
        known = {
            "version": 3, "priority": 100, "adver_int": 1_000_000_000, "preempt": True, "preempt_delay": 0,
            "down_adverts": 3, "lower_prio_no_advert": False, "higher_prio_advert": False, "graceful": False,
            "stall_backup_prio": 0, "repeat": 5, "second_delay": 5_000_000_000, "lower_repeat": 5,
            "lower_second_delay": 5_000_000_000, "refresh": 0, "refresh_repeat": 1, "renew_int": 0,
            "repair_limit": 0, "repair_window": 60_000_000_000, "ifindex": 0, "track_primary": False,
            "group": _NO_GROUP, "tracks": (), "linger": 20_000_000, "teach": False,
        }
        if unknown := set(options) - set(known):
            raise TypeError(f"unknown options: {sorted(unknown)}")
        o = known | options
        memset(c, 0, sizeof(fh_inst_conf))
        c.fsm.version = o["version"]
        c.fsm.base_priority = o["priority"]
        c.fsm.adver_int = o["adver_int"]
        c.fsm.preempt = o["preempt"]
        c.fsm.preempt_delay = o["preempt_delay"]
        c.fsm.down_adverts = o["down_adverts"]
        c.fsm.lower_prio_no_advert = o["lower_prio_no_advert"]
        c.fsm.higher_prio_advert = o["higher_prio_advert"]
        c.fsm.graceful = o["graceful"]
        c.fsm.linger = o["linger"]
        c.announce.teach = o["teach"]
        c.fsm.stall_backup_prio = o["stall_backup_prio"]
        c.fsm.gated = o["group"] != _NO_GROUP
        c.announce.repeat = o["repeat"]
        c.announce.second_delay = o["second_delay"]
        c.announce.lower_repeat = o["lower_repeat"]
        c.announce.lower_second_delay = o["lower_second_delay"]
        c.announce.refresh = o["refresh"]
        c.announce.refresh_repeat = o["refresh_repeat"]
        c.renew_int = o["renew_int"]
        c.repair_limit = o["repair_limit"]
        c.repair_window = o["repair_window"]
        c.ifindex = o["ifindex"]
        c.track_primary = o["track_primary"]
        c.group = o["group"]
        c.tracks = len(o["tracks"])
        c.track = &self.tracks[slot * 8]
        for i, (ifindex, weight, reverse) in enumerate(o["tracks"]):
            self.tracks[slot * 8 + i].ifindex = ifindex
            self.tracks[slot * 8 + i].weight = weight
            self.tracks[slot * 8 + i].reverse = reverse
        return 0

    cdef fh_inst *_inst(self, uint32_t slot) except NULL:
        if slot >= self.size or self.node.insts[slot] == NULL:
            raise KeyError(f"no instance in slot {slot}")
        return self.node.insts[slot]

    def add(self, uint32_t slot=0, bint start=True, **options):
        if slot >= self.size or self.node.insts[slot] != NULL:
            raise KeyError(f"slot {slot} is not free")
        self._conf(slot, options)
        fh_node_add(&self.node, &self.insts[slot], slot, &self.confs[slot], self.clock)
        if start:
            self.told_faults(slot, clear=1 << 8)

    def replace(self, uint32_t slot, **options):
        cdef fh_inst_conf before
        self._inst(slot)
        before = self.confs[slot]
        self._conf(slot, options)
        # the node compares with what it had: give it the old one for the length of the call
        self.insts[slot].conf = &before
        fh_node_replace(&self.node, self._inst(slot), &self.confs[slot], self.clock)

    def group(self, uint32_t slot, members):
        cdef uint32_t i
        for i, member in enumerate(members):
            self.members[slot * self.size + i] = member
        fh_node_set_group(&self.node, slot, &self.members[slot * self.size], len(members), self.clock)

    def heard(self, uint32_t slot, int priority, int64_t interval=1_000_000_000, int src_order=1,
              bytes src=b"\xc0\x00\x02\x09", int64_t age=0):
        cdef fh_vrrp_heard h
        memset(&h, 0, sizeof(h))
        h.interval = interval
        h.priority = priority
        h.src_order = src_order
        memcpy(h.src.b, <const char *>src, min(len(src), 16))
        fh_node_heard(&self.node, self._inst(slot), &h, self.clock - age, self.clock)

    def advance(self, int64_t by, bint stall=False):
        """Moves the clock by `by` ns, running every timer at its deadline; with `stall` all at the end."""
        cdef int64_t end = self.clock + by
        if not stall:
            while fh_node_next(&self.node) <= end:
                self.clock = max(self.clock, fh_node_next(&self.node))
                self.node.woke = self.clock
                fh_node_run_timers(&self.node, self.clock)
        self.clock = end
        self.node.woke = end
        fh_node_run_timers(&self.node, end)

    def told_faults(self, uint32_t slot, uint32_t add=0, uint32_t clear=0, int delta=0):
        fh_node_told(&self.node, self._inst(slot), add, clear, delta, self.clock)

    def fault(self, uint32_t slot, uint32_t bit, bint on):
        fh_node_fault(&self.node, self._inst(slot), bit, on, self.clock)

    def stop(self, uint32_t slot, bint graceful=True):
        fh_node_stop(&self.node, self._inst(slot), graceful, self.clock)

    def remove(self, uint32_t slot):
        fh_node_remove(&self.node, self._inst(slot))

    def takeover(self, uint32_t slot):
        fh_node_takeover(&self.node, self._inst(slot), self.clock)

    def slept(self, int64_t by):
        fh_node_slept(&self.node, by, self.clock)

    def link(self, uint32_t ifindex, bint up, bint gone=False):
        fh_node_link_state(&self.node, ifindex, up, gone, self.clock)

    def link_delays(self, uint32_t ifindex, int64_t up, int64_t down):
        fh_node_link_conf(&self.node, ifindex, up, down)

    def repair(self, uint32_t slot, uint32_t item=0):
        return fh_node_repair(&self.node, self._inst(slot), item, self.clock)

    def state(self, uint32_t slot=0):
        return fh_vrrp_state_name(self._inst(slot).fsm.state).decode()

    def priority(self, uint32_t slot=0):
        return self._inst(slot).fsm.priority

    def faults(self, uint32_t slot=0):
        return self._inst(slot).faults

    def timer(self, uint32_t slot=0):
        """Nanoseconds until the protocol timer; NEVER when none runs."""
        cdef int64_t at = self._inst(slot).fsm.timer
        return NEVER if at == NEVER else at - self.clock

    def learned(self, uint32_t slot=0):
        return self._inst(slot).fsm.active_int

    def skew(self, uint32_t slot, int priority, int64_t interval):
        return fh_vrrp_skew(&self._inst(slot).conf.fsm, priority, interval)

    def down(self, uint32_t slot, int priority, int64_t interval):
        return fh_vrrp_down(&self._inst(slot).conf.fsm, priority, interval)

    def pending(self):
        """How many timers run."""
        return self.node.timers.count

    def take(self):
        """What was done since the last call, in order: (when, what, slot, argument)."""
        done, self.done = self.done, []
        return done

    def take_events(self):
        """What was told since the last call: (when, kind, slot, arg, v)."""
        told, self.told = self.told, []
        return told


include "vnode_bfd.pxi"
