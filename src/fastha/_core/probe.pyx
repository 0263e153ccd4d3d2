# cython: language_level=3
"""The sockets and deadlines of health checks. See `fh_probe.h` and the stub beside this file."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec


cdef extern from "fh_probe.h" nogil:
    ctypedef struct fh_addr:
        uint8_t b[16]

    ctypedef struct fh_probes:
        pass

    ctypedef struct fh_probe_target:
        int family, type, protocol
        fh_addr addr
        uint16_t port
        int64_t deadline, step
        bint connect_only
        bint has_source
        fh_addr source
        uint16_t source_port
        char interface[16]
        uint32_t mark

    ctypedef struct fh_probe_event:
        uint64_t id
        int kind, error
        bint was_connected
        const uint8_t *data
        size_t length

    fh_probes *fh_probes_new()
    void fh_probes_free(fh_probes *p)
    int fh_probes_fd(const fh_probes *p)
    uint32_t fh_probes_count(const fh_probes *p)
    int fh_probes_open(fh_probes *p, const fh_probe_target *target, const uint8_t *output, size_t length,
                       uint64_t *id, const char **step)
    int fh_probes_send(fh_probes *p, uint64_t id, const uint8_t *data, size_t length, int64_t now)
    bint fh_probes_deadline(fh_probes *p, uint64_t id, int64_t when)
    void fh_probes_close(fh_probes *p, uint64_t id)
    void fh_probes_wait(fh_probes *p)
    bint fh_probes_next(fh_probes *p, int64_t now, fh_probe_event *event)
    uint32_t fh_probe_index(uint64_t id)


CONNECTED, DATA, CLOSED, FAILED, TIMEOUT = 1, 2, 3, 4, 5


class ProbeError(OSError):
    """A probe could not be started: `step` says at what ("bind", "connect"...)."""

    def __init__(self, code, step):
        super().__init__(code, step)
        self.step = step


cdef int64_t _now() noexcept nogil:
    cdef timespec ts
    clock_gettime(CLOCK_MONOTONIC, &ts)
    return <int64_t>ts.tv_sec * 1000000000 + ts.tv_nsec


cdef class Target:
    cdef fh_probe_target c

    def __init__(self, int family, int kind, int protocol, bytes address, int port, *,
                 bint connect_only=False, int64_t step=0, bytes source=b"", int source_port=0,
                 str interface="", unsigned int mark=0):
        cdef size_t size = 4 if family == 2 else 16
        cdef bytes name = interface.encode()
        memset(&self.c, 0, sizeof(self.c))
        if family not in (2, 10) or len(address) != size or (source and len(source) != size):
            raise ValueError("an address does not fit the family")
        if len(name) > 15 or not 0 <= port <= 65535 or not 0 <= source_port <= 65535:
            raise ValueError("an interface name or a port is out of range")
        self.c.family = family
        self.c.type = kind
        self.c.protocol = protocol
        memcpy(self.c.addr.b, <const char *>address, size)
        self.c.port = <uint16_t>port
        self.c.connect_only = connect_only
        self.c.step = step
        if source:
            self.c.has_source = True
            memcpy(self.c.source.b, <const char *>source, size)
        self.c.source_port = <uint16_t>source_port
        memcpy(self.c.interface, <const char *>name, len(name))
        self.c.mark = mark


cdef class Probes:
    cdef fh_probes *_p
    cdef list _owners

    def __cinit__(self):
        self._p = fh_probes_new()
        if self._p == NULL:
            raise MemoryError("no memory or descriptors left for health checks")
        self._owners = []

    def __dealloc__(self):
        fh_probes_free(self._p)

    def close(self):
        """Ends every probe without an event, and closes the descriptor."""
        fh_probes_free(self._p)
        self._p = NULL
        self._owners.clear()

    def fileno(self):
        return fh_probes_fd(self._p) if self._p != NULL else -1

    def __len__(self):
        return fh_probes_count(self._p) if self._p != NULL else 0

    def open(self, owner, Target target not None, int64_t timeout, bytes output=b""):
        cdef uint64_t probe = 0
        cdef const char *step = b""
        cdef uint32_t index
        cdef int failed
        if self._p == NULL:
            raise ValueError("closed")
        target.c.deadline = _now() + timeout
        failed = fh_probes_open(self._p, &target.c, <const uint8_t *><const char *>output, len(output),
                                &probe, &step)
        if failed:
            raise ProbeError(failed, step.decode())
        index = fh_probe_index(probe)
        while len(self._owners) <= index:
            self._owners.append(None)
        self._owners[index] = owner
        return probe

    def send(self, uint64_t probe, bytes data):
        if self._p == NULL:
            return 2
        return fh_probes_send(self._p, probe, <const uint8_t *><const char *>data, len(data), _now())

    def deadline(self, uint64_t probe, int64_t timeout):
        return self._p != NULL and fh_probes_deadline(self._p, probe, _now() + timeout)

    def end(self, uint64_t probe):
        if self._p != NULL:
            fh_probes_close(self._p, probe)

    def poll(self):
        """Tells every owner what happened: `owner.probed(probe, kind, error, was_connected, data)`."""
        cdef fh_probe_event event
        cdef int count = 0
        if self._p == NULL:
            return 0
        fh_probes_wait(self._p)
        while self._p != NULL and fh_probes_next(self._p, _now(), &event):
            count += 1
            owner = self._owners[fh_probe_index(event.id)]
            data = (<const char *>event.data)[:event.length] if event.length else b""
            owner.probed(event.id, event.kind, event.error, event.was_connected, data)
        return count
