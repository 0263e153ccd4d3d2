"""The BFD session machine under a virtual clock: for tests and simulations. See bfdfsm.pyi and
c/fh_bfd_fsm.h."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastha._core.ccodec cimport (
    FH_BFD_PACKET_MAX, FH_BFD_RX_OK, fh_bfd_check_your_zero, fh_bfd_decode, fh_bfd_key, fh_bfd_key_init,
    fh_bfd_packet, fh_bfd_rx, fh_bfd_rx_name, fh_bfd_state_name, fh_ns,
)

from typing import NamedTuple


cdef extern from "fh_base.h" nogil:
    fh_ns FH_NEVER


cdef extern from "fh_bfd_fsm.h" nogil:
    enum:
        FH_BFD_ECHO_LEN
        FH_BFD_TX_KEY_NONE

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

    ctypedef struct fh_bfd:
        fh_ns tx_at
        fh_ns detect_at
        fh_ns echo_at
        uint32_t local_discr
        uint32_t remote_discr
        uint32_t desired_min_tx_us
        uint32_t required_min_rx_us
        uint32_t tx_min_us
        uint32_t rx_min_us
        uint32_t remote_min_tx_us
        uint32_t remote_min_rx_us
        uint32_t xmit_seq
        uint32_t rcv_seq
        uint32_t transitions
        uint8_t state
        uint8_t remote_state
        uint8_t local_diag
        uint8_t remote_diag
        uint8_t remote_mult
        bint remote_demand
        bint demand_on
        bint seq_known
        bint poll
        bint poll_pending
        bint echo_on

    ctypedef struct fh_bfd_input:
        fh_ns now
        fh_ns rx_time
        fh_ns asleep
        fh_ns stall
        uint32_t random
        uint8_t event
        uint8_t arg

    ctypedef struct fh_bfd_actions:
        uint32_t bits
        uint8_t cause
        uint8_t old_state

    enum:
        FH_BFD_EV_TX
        FH_BFD_EV_DETECT
        FH_BFD_EV_ECHO
        FH_BFD_EV_ECHO_BACK
        FH_BFD_EV_ADMIN_DOWN
        FH_BFD_EV_ADMIN_UP
        FH_BFD_EV_RECONFIGURE
        FH_BFD_EV_FORWARDING_RESET
        FH_BFD_EV_PATH_DOWN
        FH_BFD_EV_CONCAT
        FH_BFD_EV_BACKOFF
        FH_BFD_EV_POLL
        FH_BFD_DO_SEND
        FH_BFD_DO_FINAL
        FH_BFD_DO_ECHO
        FH_BFD_DO_TX_TIMER
        FH_BFD_DO_DETECT_TIMER
        FH_BFD_DO_ECHO_TIMER
        FH_BFD_DO_STATE
        FH_BFD_DO_DIAG
        FH_BFD_DO_REMOTE
        FH_BFD_DO_POLL_END
        FH_BFD_DO_STALLED
        FH_BFD_DO_FORGET

    const char *fh_bfd_cause_name(unsigned cause)
    void fh_bfd_init(const fh_bfd_params *p, fh_bfd *s, uint32_t discr, uint32_t seq, uint64_t token,
                     fh_ns now)
    fh_bfd_actions fh_bfd_step(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *inp)
    fh_bfd_rx fh_bfd_receive(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *inp,
                             const fh_bfd_packet *packet, const uint8_t *buf, fh_bfd_actions *out)
    size_t fh_bfd_write(const fh_bfd_params *p, fh_bfd *s, fh_ns now, bint final, uint8_t *buf, size_t cap)
    size_t fh_bfd_write_echo(fh_bfd *s, fh_ns now, uint8_t *buf)
    bint fh_bfd_echo_is_ours(const fh_bfd *s, const uint8_t *buf, size_t len)
    fh_ns fh_bfd_tx_int(const fh_bfd_params *p, const fh_bfd *s)
    fh_ns fh_bfd_rx_int(const fh_bfd_params *p, const fh_bfd *s)
    fh_ns fh_bfd_detect_int(const fh_bfd_params *p, const fh_bfd *s)
    fh_ns fh_bfd_echo_int(const fh_bfd_params *p, const fh_bfd *s)
    bint fh_bfd_may_delete(const fh_bfd_params *p, const fh_bfd *s, fh_ns now)

    ctypedef struct fh_sbfd_reflector:
        uint32_t min_rx_us
        bint admin_down
        uint8_t discr_count
        const uint32_t *discrs
        uint8_t key_count
        const fh_bfd_key *keys

    fh_bfd_rx fh_sbfd_reflect(const fh_sbfd_reflector *r, const fh_bfd_packet *packet, const uint8_t *buf,
                              uint16_t src_port, uint8_t *out, size_t cap, size_t *out_len)


cdef enum:
    MAX_KEYS = 16

SESSION_SIZE = sizeof(fh_bfd)
NEVER = FH_NEVER

cdef dict _EVENTS = {
    "tx": FH_BFD_EV_TX,
    "detect": FH_BFD_EV_DETECT,
    "echo": FH_BFD_EV_ECHO,
    "echo_back": FH_BFD_EV_ECHO_BACK,
    "admin_down": FH_BFD_EV_ADMIN_DOWN,
    "admin_up": FH_BFD_EV_ADMIN_UP,
    "reconfigure": FH_BFD_EV_RECONFIGURE,
    "forwarding_reset": FH_BFD_EV_FORWARDING_RESET,
    "path_down": FH_BFD_EV_PATH_DOWN,
    "concat": FH_BFD_EV_CONCAT,
    "backoff": FH_BFD_EV_BACKOFF,
    "poll": FH_BFD_EV_POLL,
}

cdef tuple _ACTIONS = (
    (FH_BFD_DO_SEND, "send"),
    (FH_BFD_DO_FINAL, "final"),
    (FH_BFD_DO_ECHO, "echo"),
    (FH_BFD_DO_TX_TIMER, "tx_timer"),
    (FH_BFD_DO_DETECT_TIMER, "detect_timer"),
    (FH_BFD_DO_ECHO_TIMER, "echo_timer"),
    (FH_BFD_DO_STATE, "state"),
    (FH_BFD_DO_DIAG, "diag"),
    (FH_BFD_DO_REMOTE, "remote"),
    (FH_BFD_DO_POLL_END, "poll_end"),
    (FH_BFD_DO_STALLED, "stalled"),
    (FH_BFD_DO_FORGET, "forget"),
)


class Actions(NamedTuple):
    verdict: str
    todo: frozenset
    cause: str
    packets: tuple
    echo: object


cdef str state_name(unsigned state):
    return (<bytes>fh_bfd_state_name(state)).decode()


cdef int fill_keys(fh_bfd_key *out, object keys) except -1:
    keys = list(keys)
    if len(keys) > MAX_KEYS:
        raise ValueError(f"at most {MAX_KEYS} keys")
    cdef bytes secret
    for i, (key_id, auth_type, secret_) in enumerate(keys):
        secret = secret_
        if not fh_bfd_key_init(&out[i], key_id, auth_type, <const char *>secret, len(secret)):
            raise ValueError("impossible key")
    return <int>len(keys)


cdef class Session:
    cdef fh_bfd_params p
    cdef fh_bfd s
    cdef fh_bfd_key keys[MAX_KEYS]
    cdef uint8_t *buf
    cdef size_t cap

    def __cinit__(self):
        self.buf = NULL

    def __dealloc__(self):
        free(self.buf)

    def __init__(self, *, uint32_t discr=1, uint32_t seq=0, uint64_t token=0x1234, fh_ns now=1,
                 str kind="session", **settings):
        memset(&self.p, 0, sizeof(self.p))
        self.p.kind = ("session", "sbfd", "looped").index(kind)
        self.configure(settings)
        fh_bfd_init(&self.p, &self.s, discr, seq, token, now)

    cdef int configure(self, dict settings) except -1:
        known = {"min_tx_us": 50_000, "min_rx_us": 50_000, "idle_tx_us": 1_000_000, "min_echo_rx_us": 0,
                 "echo_tx_us": 0, "demand_poll_us": 0, "remote_discr": 0, "padded": 0, "detect_mult": 3,
                 "keys": (), "tx_key": 0, "passive": False, "demand": False, "auth_optional": False}
        unknown = set(settings) - set(known)
        if unknown:
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        wanted = known | settings
        self.p.min_tx_us = wanted["min_tx_us"]
        self.p.min_rx_us = wanted["min_rx_us"]
        self.p.idle_tx_us = wanted["idle_tx_us"]
        self.p.min_echo_rx_us = wanted["min_echo_rx_us"]
        self.p.echo_tx_us = wanted["echo_tx_us"]
        self.p.demand_poll_us = wanted["demand_poll_us"]
        self.p.remote_discr = wanted["remote_discr"]
        self.p.padded = wanted["padded"]
        self.p.detect_mult = wanted["detect_mult"]
        self.p.passive = wanted["passive"]
        self.p.demand = wanted["demand"]
        self.p.auth_optional = wanted["auth_optional"]
        self.p.key_count = fill_keys(self.keys, wanted["keys"])
        self.p.keys = self.keys
        self.p.tx_key = FH_BFD_TX_KEY_NONE if wanted["tx_key"] is None else wanted["tx_key"]
        free(self.buf)
        self.cap = max(<size_t>FH_BFD_PACKET_MAX, <size_t>self.p.padded)
        self.buf = <uint8_t *>calloc(1, self.cap)
        if self.buf == NULL:
            raise MemoryError
        return 0

    cdef object act(self, const fh_bfd_actions *a, fh_ns now, str verdict):
        cdef uint8_t echo[FH_BFD_ECHO_LEN]
        todo = frozenset(name for bit, name in _ACTIONS if a.bits & <uint32_t>bit)
        packets = []
        for bit in (FH_BFD_DO_SEND, FH_BFD_DO_FINAL):
            if a.bits & <uint32_t>bit:
                n = fh_bfd_write(&self.p, &self.s, now, bit == FH_BFD_DO_FINAL, self.buf, self.cap)
                packets.append(PyBytes_FromStringAndSize(<const char *>self.buf, n))
        sent = None
        if a.bits & <uint32_t>FH_BFD_DO_ECHO:
            fh_bfd_write_echo(&self.s, now, echo)
            sent = PyBytes_FromStringAndSize(<const char *>echo, FH_BFD_ECHO_LEN)
        cause = (<bytes>fh_bfd_cause_name(a.cause)).decode() if "state" in todo else ""
        return Actions(verdict, todo, cause, tuple(packets), sent)

    def step(self, str event, fh_ns now, *, int arg=0, uint32_t random=0x80000000, fh_ns rx_time=0,
             fh_ns asleep=0, fh_ns stall=0):
        cdef fh_bfd_input inp
        memset(&inp, 0, sizeof(inp))
        inp.now = now
        inp.rx_time = rx_time or now
        inp.asleep = asleep
        inp.stall = stall
        inp.random = random
        inp.event = _EVENTS[event]
        inp.arg = arg
        cdef fh_bfd_actions a = fh_bfd_step(&self.p, &self.s, &inp)
        return self.act(&a, now, "ok")

    def reconfigure(self, fh_ns now, **settings):
        self.configure(settings)
        return self.step("reconfigure", now)

    def receive(self, bytes data not None, fh_ns now, *, uint32_t random=0x80000000, fh_ns rx_time=0,
                fh_ns asleep=0, fh_ns stall=0):
        cdef fh_bfd_input inp
        cdef fh_bfd_packet packet
        cdef fh_bfd_actions a
        cdef const char *b = data
        memset(&a, 0, sizeof(a))
        memset(&inp, 0, sizeof(inp))
        inp.now = now
        inp.rx_time = rx_time or now
        inp.asleep = asleep
        inp.stall = stall
        inp.random = random
        cdef fh_bfd_rx r = fh_bfd_decode(<const uint8_t *>b, len(data), &packet)
        if r == FH_BFD_RX_OK:
            r = fh_bfd_check_your_zero(&packet)
        if r == FH_BFD_RX_OK:
            r = fh_bfd_receive(&self.p, &self.s, &inp, &packet, <const uint8_t *>b, &a)
        return self.act(&a, now, (<bytes>fh_bfd_rx_name(r)).decode())

    def echo_is_ours(self, bytes data not None):
        cdef const char *b = data
        return bool(fh_bfd_echo_is_ours(&self.s, <const uint8_t *>b, len(data)))

    def may_delete(self, fh_ns now):
        return bool(fh_bfd_may_delete(&self.p, &self.s, now))

    @property
    def snapshot(self):
        return PyBytes_FromStringAndSize(<const char *>&self.s, sizeof(self.s))

    @property
    def state(self):
        return state_name(self.s.state)

    @property
    def remote_state(self):
        return state_name(self.s.remote_state)

    @property
    def tx_at(self):
        return self.s.tx_at

    @property
    def detect_at(self):
        return self.s.detect_at

    @property
    def echo_at(self):
        return self.s.echo_at

    @property
    def tx_int(self):
        return fh_bfd_tx_int(&self.p, &self.s)

    @property
    def rx_int(self):
        return fh_bfd_rx_int(&self.p, &self.s)

    @property
    def detect_int(self):
        return fh_bfd_detect_int(&self.p, &self.s)

    @property
    def echo_int(self):
        return fh_bfd_echo_int(&self.p, &self.s)

    def __getattr__(self, str name):
        fields = {
            "local_discr": self.s.local_discr,
            "remote_discr": self.s.remote_discr,
            "desired_min_tx_us": self.s.desired_min_tx_us,
            "required_min_rx_us": self.s.required_min_rx_us,
            "tx_min_us": self.s.tx_min_us,
            "rx_min_us": self.s.rx_min_us,
            "remote_min_tx_us": self.s.remote_min_tx_us,
            "remote_min_rx_us": self.s.remote_min_rx_us,
            "xmit_seq": self.s.xmit_seq,
            "rcv_seq": self.s.rcv_seq,
            "transitions": self.s.transitions,
            "local_diag": self.s.local_diag,
            "remote_diag": self.s.remote_diag,
            "remote_demand": bool(self.s.remote_demand),
            "demand_on": bool(self.s.demand_on),
            "seq_known": bool(self.s.seq_known),
            "poll": bool(self.s.poll),
            "poll_pending": bool(self.s.poll_pending),
            "echo_on": bool(self.s.echo_on),
        }
        try:
            return fields[name]
        except KeyError:
            raise AttributeError(name) from None


def reflect(bytes question not None, *, discrs, int src_port=49152, uint32_t min_rx_us=10_000,
            admin_down=False, keys=()):
    cdef fh_sbfd_reflector r
    cdef fh_bfd_key key_list[MAX_KEYS]
    cdef uint32_t discr_list[255]
    cdef fh_bfd_packet packet
    cdef uint8_t out[FH_BFD_PACKET_MAX]
    cdef size_t n = 0
    cdef const char *b = question
    discrs = list(discrs)
    if len(discrs) > 255:
        raise ValueError("at most 255 discriminators")
    for i, discr in enumerate(discrs):
        discr_list[i] = discr
    r.min_rx_us = min_rx_us
    r.admin_down = admin_down
    r.discr_count = <uint8_t>len(discrs)
    r.discrs = discr_list
    r.key_count = fill_keys(key_list, keys)
    r.keys = key_list
    cdef fh_bfd_rx v = fh_bfd_decode(<const uint8_t *>b, len(question), &packet)
    if v == FH_BFD_RX_OK:
        v = fh_sbfd_reflect(&r, &packet, <const uint8_t *>b, src_port, out, sizeof(out), &n)
    return (<bytes>fh_bfd_rx_name(v)).decode(), PyBytes_FromStringAndSize(<const char *>out, n) if n else None
