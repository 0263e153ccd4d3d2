"""The simulator's core: a world of routers under a virtual clock, see fh_sim.h.

Everything that happens in a run is compiled; from here a world is made, run and asked. The machines linked into this
module, and only those, can be broken on purpose (`breaks`).
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastha._core.cvrrp cimport fh_ns, fh_vrrp_cause_name, fh_vrrp_params, fh_vrrp_state_name

cdef extern from "fh_bfd_codec.h" nogil:
    const char *fh_bfd_state_name(unsigned state)

cdef extern from "fh_bfd_fsm.h" nogil:
    ctypedef struct fh_bfd_params:
        uint32_t min_tx_us
        uint32_t min_rx_us
        uint32_t idle_tx_us
        uint8_t detect_mult
        uint8_t tx_key
    const char *fh_bfd_cause_name(unsigned cause)

cdef extern from "fh_break.h" nogil:
    int FH_BREAKS
    uint32_t fh_broken

cdef extern from "fh_sim.h" nogil:
    int FH_SIM_RULES, FH_SIM_FAULTS, FH_SIM_STATS
    uint32_t FH_SIM_ALL
    ctypedef struct fh_sim:
        pass
    ctypedef struct fh_sim_port_conf:
        uint32_t segment
        uint32_t rank
    ctypedef struct fh_sim_inst_conf:
        fh_vrrp_params fsm
        uint8_t vrid
        uint8_t port
        uint32_t group
    ctypedef struct fh_sim_record:
        fh_ns at
        uint8_t type
        uint8_t a, b
        uint32_t who
        uint32_t origin "from"
        int64_t c
    ctypedef struct fh_sim_broken:
        fh_ns at
        int rule
        uint32_t who
        fh_ns bound
    const char *fh_sim_rule_name(int rule)
    const char *fh_sim_fault_name(int kind)
    const char *fh_sim_stat_name(int stat)
    fh_sim *fh_sim_new(uint64_t seed, fh_ns start_spread)
    void fh_sim_free(fh_sim *s)
    uint32_t fh_sim_add_segment(fh_sim *s, fh_ns delay)
    uint32_t fh_sim_add_router(fh_sim *s, const fh_sim_port_conf *ports, unsigned count)
    uint32_t fh_sim_add_inst(fh_sim *s, uint32_t router, const fh_sim_inst_conf *conf)
    uint32_t fh_sim_add_session(fh_sim *s, uint32_t a, uint32_t port_a, uint32_t b, uint32_t port_b,
                                const fh_bfd_params *params, bint takeover)
    uint32_t fh_sim_add_fault(fh_sim *s, uint8_t kind, fh_ns at, fh_ns until, uint32_t target, int64_t a, int64_t b)
    bint fh_sim_start(fh_sim *s)
    void fh_sim_trace(fh_sim *s, fh_sim_record *records, uint32_t capacity)
    void fh_sim_excuse(fh_sim *s, uint32_t rules)
    void fh_sim_run(fh_sim *s, fh_ns until, uint64_t events)
    void fh_sim_verdict(const fh_sim *s, fh_sim_broken *out)
    fh_ns fh_sim_now(const fh_sim *s)
    uint64_t fh_sim_stat(const fh_sim *s, int stat)
    uint32_t fh_sim_traced(const fh_sim *s)
    uint64_t fh_sim_digest(const fh_sim *s)
    int fh_sim_state(const fh_sim *s, uint32_t inst)
    int fh_sim_priority(const fh_sim *s, uint32_t inst)
    fh_ns fh_sim_master_since(const fh_sim *s, uint32_t inst)
    uint32_t fh_sim_masters(const fh_sim *s, uint32_t inst)
    int fh_sim_bfd_state(const fh_sim *s, uint32_t session, unsigned end)

EPOCH = 1_000_000_000
NOBODY = 0xFFFFFFFF
RULES = tuple(fh_sim_rule_name(i).decode() for i in range(FH_SIM_RULES))
FAULTS = tuple(fh_sim_fault_name(i).decode() for i in range(FH_SIM_FAULTS))
STATS = tuple(fh_sim_stat_name(i).decode() for i in range(FH_SIM_STATS))
STATES = tuple(fh_vrrp_state_name(i).decode() for i in range(5))
CAUSES = tuple(fh_vrrp_cause_name(i).decode() for i in range(15))
BFD_STATES = tuple(fh_bfd_state_name(i).decode() for i in range(4))
BFD_CAUSES = tuple(fh_bfd_cause_name(i).decode() for i in range(9))
BREAKS = (
    "skew", "zero", "goodbye", "drain", "stall", "early", "group-claim", "group-yield", "tie", "preempt", "nopreempt",
    "learn", "release", "yield", "speak", "bfd-poll", "bfd-detect", "bfd-sleep", "lesser",
    "group-wait",
)
assert len(BREAKS) == FH_BREAKS


def breaks(*names):
    """Breaks the machines of this module in these ways, and in no other. See sim.pyi."""
    global fh_broken
    cdef uint32_t wanted = 0
    for name in names:
        wanted |= 1 << BREAKS.index(name)
    fh_broken = wanted


cdef class World:
    """A network of routers with a seed. See sim.pyi."""

    cdef fh_sim *sim
    cdef fh_sim_record *records

    def __cinit__(self, uint64_t seed=0, int64_t start_spread=0):
        self.sim = fh_sim_new(seed, start_spread)
        if self.sim == NULL:
            raise MemoryError

    def __dealloc__(self):
        fh_sim_free(self.sim)
        free(self.records)

    cdef uint32_t _made(self, uint32_t index, str what) except? 0xFFFFFFFF:
        if index == FH_SIM_ALL:
            raise ValueError(f"{what}: names something that does not exist, or the world has started")
        return index

    def segment(self, int64_t delay):
        return self._made(fh_sim_add_segment(self.sim, delay), "segment")

    def router(self, ports):
        cdef fh_sim_port_conf conf[4]
        if len(ports) > 4:
            raise ValueError("a router has at most four ports")
        for i, (segment, rank) in enumerate(ports):
            conf[i].segment = segment
            conf[i].rank = rank
        return self._made(fh_sim_add_router(self.sim, conf, len(ports)), "router")

    def instance(self, uint32_t router, *, uint8_t vrid, uint8_t port=0, uint8_t version=3, uint8_t priority=100,
                 int64_t adver_int=1_000_000_000, bint preempt=True, int64_t preempt_delay=0, uint8_t down_adverts=3,
                 bint graceful=True, group=None):
        cdef fh_sim_inst_conf c
        memset(&c, 0, sizeof(c))
        if adver_int <= 0 or not 1 <= priority <= 255 or down_adverts == 0 or version not in (2, 3):
            raise ValueError("instance: impossible interval, priority, version or number of adverts")
        c.vrid = vrid
        c.port = port
        c.group = 0xFFFFFFFF if group is None else group
        c.fsm.version = version
        c.fsm.base_priority = priority
        c.fsm.adver_int = adver_int
        c.fsm.preempt = preempt
        c.fsm.preempt_delay = preempt_delay
        c.fsm.down_adverts = down_adverts
        c.fsm.graceful = graceful
        c.fsm.linger = 20_000_000
        return self._made(fh_sim_add_inst(self.sim, router, &c), "instance")

    def session(self, uint32_t a, uint32_t port_a, uint32_t b, uint32_t port_b, *, uint32_t interval_us=50_000,
                uint8_t detect_mult=3, bint takeover=True):
        cdef fh_bfd_params p
        memset(&p, 0, sizeof(p))
        if interval_us == 0 or detect_mult == 0:
            raise ValueError("session: impossible interval or multiplier")
        p.min_tx_us = interval_us
        p.min_rx_us = interval_us
        p.idle_tx_us = 1_000_000
        p.detect_mult = detect_mult
        p.tx_key = 0xFF
        return self._made(fh_sim_add_session(self.sim, a, port_a, b, port_b, &p, takeover), "session")

    def fault(self, str kind, int64_t at, int64_t until, uint32_t target, int64_t a=0, int64_t b=0):
        if kind not in FAULTS:
            raise ValueError(f"no such fault: {kind}")
        return self._made(fh_sim_add_fault(self.sim, FAULTS.index(kind), EPOCH + at, EPOCH + until, target, a, b),
                          f"fault {kind}")

    def trace(self, uint32_t capacity):
        free(self.records)
        self.records = <fh_sim_record *>calloc(capacity, sizeof(fh_sim_record))
        if self.records == NULL:
            raise MemoryError
        fh_sim_trace(self.sim, self.records, capacity)

    def excuse(self, *rules):
        cdef uint32_t wanted = 0
        for rule in rules:
            wanted |= 1 << RULES.index(rule)
        fh_sim_excuse(self.sim, wanted)

    def start(self):
        if not fh_sim_start(self.sim):
            raise RuntimeError("the world has started already, or memory is short")

    def run(self, int64_t until, uint64_t events=0xFFFFFFFFFFFFFFFF):
        with nogil:
            fh_sim_run(self.sim, 1_000_000_000 + until, events)
        return self.broken

    @property
    def broken(self):
        cdef fh_sim_broken b
        fh_sim_verdict(self.sim, &b)
        return None if b.rule < 0 else (b.at - EPOCH, RULES[b.rule], b.who, b.bound)

    @property
    def now(self):
        return fh_sim_now(self.sim) - EPOCH

    @property
    def digest(self):
        return fh_sim_digest(self.sim)

    def stats(self):
        return {name: fh_sim_stat(self.sim, i) for i, name in enumerate(STATS)}

    def state(self, uint32_t inst):
        cdef int state = fh_sim_state(self.sim, inst)
        if state < 0:
            raise IndexError(inst)
        return STATES[state]

    def priority(self, uint32_t inst):
        return fh_sim_priority(self.sim, inst)

    def masters(self, uint32_t inst):
        return fh_sim_masters(self.sim, inst)

    def bfd_state(self, uint32_t session, unsigned end):
        cdef int state = fh_sim_bfd_state(self.sim, session, end)
        if state < 0:
            raise IndexError(session)
        return BFD_STATES[state]

    def story(self):
        cdef uint32_t i
        out = []
        for i in range(fh_sim_traced(self.sim)):
            r = self.records[i]
            out.append((r.at - EPOCH, r.type, r.who, r.origin, r.a, r.b, r.c))
        return out
