# cython: language_level=3
"""IPVS tables over generic netlink. See `fh_ipvs_codec.h` and the stub beside this file."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

import collections
import os
import socket as _socket
import struct as _struct


cdef extern from "fh_ipvs_codec.h" nogil:
    ctypedef struct fh_addr:
        uint8_t b[16]

    ctypedef struct fh_ipvs_stats:
        uint64_t conns, in_packets, out_packets, in_bytes, out_bytes
        uint64_t conn_rate, in_packet_rate, out_packet_rate, in_byte_rate, out_byte_rate

    ctypedef struct fh_ipvs_service:
        uint16_t family, protocol, port
        uint32_t fwmark
        fh_addr addr
        char scheduler[16]
        char pe[16]
        uint32_t flags, timeout, netmask
        fh_ipvs_stats stats

    ctypedef struct fh_ipvs_dest:
        uint16_t family, port
        fh_addr addr
        uint32_t forward, weight, upper, lower
        uint32_t active, inactive, persistent
        uint16_t tunnel_port, tunnel_flags
        uint8_t tunnel_type
        fh_ipvs_stats stats

    ctypedef struct fh_ipvs_daemon:
        uint32_t state, sync_id
        char interface[16]
        uint16_t max_len, port, group_family
        uint8_t ttl
        fh_addr group

    ctypedef struct fh_ipvs_timeouts:
        uint32_t tcp, tcp_fin, udp

    ctypedef struct fh_ipvs_buffer:
        uint8_t *data
        size_t size, used
        bint failed

    ctypedef struct fh_nl_message:
        uint16_t type, flags
        uint32_t seq, port
        const uint8_t *body
        size_t length

    bint fh_ipvs_put_service(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags,
                             uint32_t seq, const fh_ipvs_service *service)
    bint fh_ipvs_put_dest(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq,
                          const fh_ipvs_service *service, const fh_ipvs_dest *dest)
    bint fh_ipvs_put_dest_request(fh_ipvs_buffer *out, uint16_t kind, uint32_t seq,
                                  const fh_ipvs_service *service)
    bint fh_ipvs_put_daemon(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq,
                            const fh_ipvs_daemon *daemon)
    bint fh_ipvs_put_timeouts(fh_ipvs_buffer *out, uint16_t kind, uint16_t flags, uint32_t seq,
                              const fh_ipvs_timeouts *timeouts)
    bint fh_ipvs_put_plain(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq)
    bint fh_ipvs_put_family_request(fh_ipvs_buffer *out, const char *name, uint32_t seq)
    bint fh_nl_next(const uint8_t *data, size_t size, size_t *offset, fh_nl_message *message)
    int fh_nl_error(const fh_nl_message *message, char *words, size_t words_size)
    bint fh_ipvs_get_service(const uint8_t *body, size_t length, fh_ipvs_service *service)
    bint fh_ipvs_get_dest(const uint8_t *body, size_t length, uint16_t service_family, fh_ipvs_dest *dest)
    bint fh_ipvs_get_daemon(const uint8_t *body, size_t length, fh_ipvs_daemon *daemon)
    bint fh_ipvs_get_timeouts(const uint8_t *body, size_t length, fh_ipvs_timeouts *timeouts)
    bint fh_ipvs_get_info(const uint8_t *body, size_t length, uint32_t *version, uint32_t *table_size)
    bint fh_ipvs_get_family(const uint8_t *body, size_t length, uint16_t *kind)

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void *buf, size_t size, int flags)
    ssize_t send(int fd, const void *buf, size_t size, int flags)


NEW_SERVICE, SET_SERVICE, DEL_SERVICE = 1, 2, 3
NEW_DEST, SET_DEST, DEL_DEST = 5, 6, 7
ZERO, FLUSH = 16, 17

PERSISTENT, HASHED, ONE_PACKET = 0x01, 0x02, 0x04
FLAG_1, FLAG_2, FLAG_3 = 0x08, 0x10, 0x20
MASQUERADE, LOCAL, TUNNEL, DIRECT, BYPASS = 0, 1, 2, 3, 4
TUNNEL_IPIP, TUNNEL_GUE, TUNNEL_GRE = 0, 1, 2
CHECKSUM, REMOTE_CHECKSUM = 1, 2
MASTER, BACKUP = 1, 2

DEF _DUMP = 0x300
DEF _ACK = 4
DEF _NLMSG_ERROR = 2
DEF _NLMSG_DONE = 3
DEF _DUMP_INTR = 0x10
DEF _RECEIVE = 1 << 17
# Acknowledgements come back before send() returns, into a receive buffer of 212,992 octets by default where
# each costs about a kilobyte of accounting.
DEF _BATCH = 64
DEF _SEND = 65536
DEF _WAIT_S = 5

_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_SO_RCVBUFFORCE = 33

Stats = collections.namedtuple(
    "Stats",
    "conns in_packets out_packets in_bytes out_bytes "
    "conn_rate in_packet_rate out_packet_rate in_byte_rate out_byte_rate",
)
Timeouts = collections.namedtuple("Timeouts", "tcp tcp_fin udp")

_PROTOCOLS = {6: "TCP", 17: "UDP", 132: "SCTP"}
_SHORT = {6: "-t", 17: "-u", 132: "--sctp-service"}
_FORWARD = {0: "-m", 1: "-l", 2: "-i", 3: "-g", 4: "-b"}


# What the stub names for type checkers: a change to make, and why one was refused.
Request = tuple
Refusal = tuple


class NoIpvsError(OSError):
    """This kernel has no IPVS, or this process may not use it; the text names the remedy."""


cdef object _stats(const fh_ipvs_stats *s):
    return Stats(s.conns, s.in_packets, s.out_packets, s.in_bytes, s.out_bytes,
                 s.conn_rate, s.in_packet_rate, s.out_packet_rate, s.in_byte_rate, s.out_byte_rate)


cdef int _set_addr(fh_addr *addr, uint16_t family, bytes value) except -1:
    if family not in (2, 10) or len(value) != (4 if family == 2 else 16):
        raise ValueError(f"an address of family {family} cannot have {len(value)} octets")
    memset(addr, 0, sizeof(fh_addr))
    memcpy(addr.b, <const char *>value, len(value))
    return 0


cdef int _set_name(char *name, str value) except -1:
    cdef bytes text = value.encode()
    if len(text) > 15 or b"\0" in text:
        raise ValueError(f"{value!r} is too long: the kernel takes names of up to 15 octets")
    memset(name, 0, 16)
    memcpy(name, <const char *>text, len(text))
    return 0


cdef str _host(uint16_t family, const fh_addr *addr):
    cdef bytes raw = (<const char *>addr.b)[:4 if family == 2 else 16]
    return _socket.inet_ntop(family, raw)


cdef str _endpoint(uint16_t family, const fh_addr *addr, uint16_t port):
    host = _host(family, addr)
    return f"[{host}]:{port}" if family == 10 else f"{host}:{port}"


cdef class Service:
    cdef fh_ipvs_service c

    def __init__(self, int family, int protocol, bytes address, int port, *, unsigned int fwmark=0,
                 str scheduler="wlc", unsigned int flags=0, unsigned int timeout=0, netmask=None, str pe=""):
        memset(&self.c, 0, sizeof(self.c))
        if family != 2 and family != 10:
            raise ValueError(f"family {family} is neither AF_INET nor AF_INET6")
        self.c.family = <uint16_t>family
        self.c.fwmark = fwmark
        if not fwmark:
            if not 0 <= port <= 65535:
                raise ValueError(f"port {port} is out of range")
            self.c.protocol = <uint16_t>protocol
            self.c.port = <uint16_t>port
            _set_addr(&self.c.addr, self.c.family, address)
        _set_name(self.c.scheduler, scheduler)
        _set_name(self.c.pe, pe)
        self.c.flags = flags
        self.c.timeout = timeout
        if netmask is None:
            self.c.netmask = 0xffffffff if family == 2 else 128
        else:
            self.c.netmask = netmask

    @property
    def family(self):
        return self.c.family

    @property
    def protocol(self):
        return self.c.protocol

    @property
    def address(self):
        return (<const char *>self.c.addr.b)[:4 if self.c.family == 2 else 16]

    @property
    def port(self):
        return self.c.port

    @property
    def fwmark(self):
        return self.c.fwmark

    @property
    def scheduler(self):
        return self.c.scheduler.decode("ascii", "replace")

    @property
    def pe(self):
        return self.c.pe.decode("ascii", "replace")

    @property
    def flags(self):
        return self.c.flags

    @property
    def timeout(self):
        return self.c.timeout

    @property
    def netmask(self):
        return self.c.netmask

    @property
    def stats(self):
        return _stats(&self.c.stats)

    @property
    def key(self):
        """What makes a service one and not another, in the kernel's eyes."""
        if self.c.fwmark:
            return (self.c.family, self.c.fwmark)
        return (self.c.family, self.c.protocol, self.address, self.c.port)

    def same(self, Service other not None):
        """Whether both ask the same of the kernel (counters and the kernel's own mark aside)."""
        cdef uint32_t mine = self.c.flags | 2, its = other.c.flags | 2
        if self.key != other.key or mine != its:
            return False
        if memcmp(self.c.scheduler, other.c.scheduler, 16) or memcmp(self.c.pe, other.c.pe, 16):
            return False
        if mine & 1 and self.c.timeout != other.c.timeout:
            return False
        return self.c.netmask == other.c.netmask

    def __str__(self):
        if self.c.fwmark:
            return f"-f {self.c.fwmark}" + (" -6" if self.c.family == 10 else "")
        where = _endpoint(self.c.family, &self.c.addr, self.c.port)
        return f"{_SHORT.get(self.c.protocol, self.c.protocol)} {where}"

    def __repr__(self):
        return f"<Service {self} {self.scheduler}>"


cdef class Destination:
    cdef fh_ipvs_dest c

    def __init__(self, int family, bytes address, int port, *, int forward=0, unsigned int weight=1,
                 unsigned int upper=0, unsigned int lower=0, int tunnel_type=0, int tunnel_port=0,
                 int tunnel_flags=0):
        memset(&self.c, 0, sizeof(self.c))
        if not 0 <= port <= 65535 or not 0 <= tunnel_port <= 65535:
            raise ValueError("a port is out of range")
        self.c.family = <uint16_t>family
        _set_addr(&self.c.addr, self.c.family, address)
        self.c.port = <uint16_t>port
        self.c.forward = <uint32_t>forward
        self.c.weight = weight
        self.c.upper = upper
        self.c.lower = lower
        self.c.tunnel_type = <uint8_t>tunnel_type
        self.c.tunnel_port = <uint16_t>tunnel_port
        self.c.tunnel_flags = <uint16_t>tunnel_flags

    @property
    def family(self):
        return self.c.family

    @property
    def address(self):
        return (<const char *>self.c.addr.b)[:4 if self.c.family == 2 else 16]

    @property
    def port(self):
        return self.c.port

    @property
    def forward(self):
        return self.c.forward

    @property
    def weight(self):
        return self.c.weight

    @property
    def upper(self):
        return self.c.upper

    @property
    def lower(self):
        return self.c.lower

    @property
    def tunnel_type(self):
        return self.c.tunnel_type

    @property
    def tunnel_port(self):
        return self.c.tunnel_port

    @property
    def tunnel_flags(self):
        return self.c.tunnel_flags

    @property
    def active(self):
        return self.c.active

    @property
    def inactive(self):
        return self.c.inactive

    @property
    def persistent(self):
        return self.c.persistent

    @property
    def stats(self):
        return _stats(&self.c.stats)

    @property
    def key(self):
        """What makes a destination one and not another inside its service."""
        return (self.c.family, self.address, self.c.port)

    def same(self, Destination other not None):
        """Whether both ask the same of the kernel (counters aside)."""
        if (self.c.family != other.c.family or self.c.port != other.c.port
                or memcmp(self.c.addr.b, other.c.addr.b, 16)):
            return False
        if self.c.forward == 2 and (
                self.c.tunnel_type != other.c.tunnel_type or self.c.tunnel_port != other.c.tunnel_port
                or self.c.tunnel_flags != other.c.tunnel_flags):
            return False
        return (self.c.forward == other.c.forward and self.c.weight == other.c.weight
                and self.c.upper == other.c.upper and self.c.lower == other.c.lower)

    def __str__(self):
        return (f"-r {_endpoint(self.c.family, &self.c.addr, self.c.port)} "
                f"{_FORWARD.get(self.c.forward, self.c.forward)} -w {self.c.weight}")

    def __repr__(self):
        return f"<Destination {self}>"


cdef class SyncDaemon:
    cdef fh_ipvs_daemon c

    def __init__(self, int state, str interface, unsigned int sync_id, *, int max_len=0, int port=0,
                 int ttl=0, bytes group=b""):
        memset(&self.c, 0, sizeof(self.c))
        self.c.state = <uint32_t>state
        self.c.sync_id = sync_id
        _set_name(self.c.interface, interface)
        self.c.max_len = <uint16_t>max_len
        self.c.port = <uint16_t>port
        self.c.ttl = <uint8_t>ttl
        if group:
            self.c.group_family = 2 if len(group) == 4 else 10
            _set_addr(&self.c.group, self.c.group_family, group)

    @property
    def state(self):
        return self.c.state

    @property
    def interface(self):
        return self.c.interface.decode("ascii", "replace")

    @property
    def sync_id(self):
        return self.c.sync_id

    @property
    def max_len(self):
        return self.c.max_len

    @property
    def port(self):
        return self.c.port

    @property
    def ttl(self):
        return self.c.ttl

    @property
    def group(self):
        if not self.c.group_family:
            return b""
        return (<const char *>self.c.group.b)[:4 if self.c.group_family == 2 else 16]

    def __repr__(self):
        role = "master" if self.c.state == 1 else "backup"
        return f"<SyncDaemon {role} {self.interface} id {self.c.sync_id}>"


cdef bint _put(fh_ipvs_buffer *out, uint16_t kind, uint32_t seq, uint16_t flags, int command, service,
               dest) except? 0:
    if command in (5, 6, 7):
        return fh_ipvs_put_dest(out, kind, <uint8_t>command, flags, seq, &(<Service?>service).c,
                                &(<Destination?>dest).c)
    if command in (1, 2, 3) or (command == 16 and service is not None):
        return fh_ipvs_put_service(out, kind, <uint8_t>command, flags, seq, &(<Service?>service).c)
    if command in (16, 17):
        return fh_ipvs_put_plain(out, kind, <uint8_t>command, flags, seq)
    raise ValueError(f"{command} is no command that changes a table")


def encode(int kind, int command, service=None, dest=None, *, int flags=0, unsigned int seq=0):
    """One message as it goes to the kernel."""
    cdef uint8_t store[1024]
    cdef fh_ipvs_buffer out
    out.data = store
    out.size = sizeof(store)
    out.used = 0
    out.failed = False
    if not _put(&out, <uint16_t>kind, seq, <uint16_t>flags, command, service, dest):
        raise ValueError("the message does not fit")
    return (<const char *>store)[:out.used]


def decode_service(bytes body):
    """A Service from the body after the netlink header, or None."""
    cdef Service service = Service.__new__(Service)
    if not fh_ipvs_get_service(<const uint8_t *><const char *>body, len(body), &service.c):
        return None
    return service


def decode_destination(bytes body, int service_family):
    """A Destination from the body after the netlink header, or None."""
    cdef Destination dest = Destination.__new__(Destination)
    if not fh_ipvs_get_dest(<const uint8_t *><const char *>body, len(body), <uint16_t>service_family,
                            &dest.c):
        return None
    return dest


cdef class IpvsSocket:
    cdef object _sock
    cdef int _fd
    cdef uint16_t _kind
    cdef uint32_t _seq
    cdef uint8_t *_in
    cdef uint8_t *_out
    cdef readonly uint64_t messages_sent
    cdef readonly uint64_t refusals

    def __cinit__(self):
        self._in = <uint8_t *>malloc(_RECEIVE)
        self._out = <uint8_t *>malloc(_SEND)
        self._fd = -1
        if self._in == NULL or self._out == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._in)
        free(self._out)

    def __init__(self, *, int receive_buffer=0, bint force=False):
        try:
            self._sock = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 16)
            self._sock.bind((0, 0))
        except OSError as error:
            raise NoIpvsError(error.errno, f"generic netlink cannot be used: {error.strerror}") from None
        for option in (_CAP_ACK, _EXT_ACK):
            try:
                self._sock.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:  # kernels before 4.3 and 4.12
                pass
        if receive_buffer > 0:
            self._sock.setsockopt(
                _socket.SOL_SOCKET, _SO_RCVBUFFORCE if force else _socket.SO_RCVBUF, receive_buffer)
        self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, _struct.pack("@qq", _WAIT_S, 0))
        self._fd = self._sock.fileno()
        self._seq = 0
        self._kind = 0
        try:
            self._kind = self._family()
        except BaseException:
            self.close()
            raise

    def close(self):
        if self._sock is not None:
            self._sock.close()
            self._sock = None
            self._fd = -1

    def fileno(self):
        return self._fd

    # -- the wire ------------------------------------------------------------------------------------------

    cdef size_t _receive(self) except? 0:
        cdef ssize_t got
        while True:
            with nogil:
                got = recv(self._fd, self._in, _RECEIVE, 0)
            if got >= 0:
                return <size_t>got
            if errno == EINTR:
                continue
            if errno == EAGAIN:
                raise TimeoutError(errno, f"the kernel did not answer an IPVS request within {_WAIT_S} s")
            raise OSError(errno, f"IPVS netlink socket: {os.strerror(errno)}")

    cdef int _transmit(self, size_t size) except -1:
        cdef ssize_t done
        if self._fd < 0:
            raise ValueError("the socket is closed")
        while True:
            with nogil:
                done = send(self._fd, self._out, size, 0)
            if done >= 0:
                return 0
            if errno != EINTR:
                raise OSError(errno, f"IPVS netlink socket: {os.strerror(errno)}")

    cdef fh_ipvs_buffer _buffer(self):
        cdef fh_ipvs_buffer out
        out.data = self._out
        out.size = _SEND
        out.used = 0
        out.failed = False
        return out

    cdef uint16_t _family(self) except? 0:
        cdef fh_ipvs_buffer out = self._buffer()
        cdef fh_nl_message message
        cdef size_t size, offset
        cdef uint16_t kind = 0
        cdef int code
        self._seq += 1
        fh_ipvs_put_family_request(&out, b"IPVS", self._seq)
        self._transmit(out.used)
        while True:
            size = self._receive()
            offset = 0
            while fh_nl_next(self._in, size, &offset, &message):
                if message.seq != self._seq:
                    continue
                if message.type == _NLMSG_ERROR:
                    code = fh_nl_error(&message, NULL, 0)
                    raise NoIpvsError(
                        code, "this kernel has no IPVS: load it with `modprobe ip_vs` (for a container, on "
                        "its host), or use a kernel built with CONFIG_IP_VS")
                if fh_ipvs_get_family(message.body, message.length, &kind):
                    return kind

    # -- changes -------------------------------------------------------------------------------------------

    def execute(self, requests):
        """Sends (command, service, destination) in batches, each acknowledged.

        Returns a list of the same length: None where the kernel agreed, else (errno, its own words).
        """
        cdef list todo = list(requests)
        cdef list results = [None] * len(todo)
        cdef Py_ssize_t start = 0, end
        cdef fh_ipvs_buffer out
        cdef uint32_t first
        while start < len(todo):
            out = self._buffer()
            first = self._seq + 1
            end = start
            while end < len(todo) and end - start < _BATCH:
                command, service, dest = todo[end]
                if not _put(&out, self._kind, first + <uint32_t>(end - start), _ACK, command, service, dest):
                    break
                end += 1
            self._seq += <uint32_t>(end - start)
            self.messages_sent += <uint64_t>(end - start)
            self._transmit(out.used)
            self._acknowledged(first, <uint32_t>(end - start), results, start)
            start = end
        return results

    cdef int _acknowledged(self, uint32_t first, uint32_t count, list results, Py_ssize_t start) except -1:
        cdef fh_nl_message message
        cdef size_t size, offset
        cdef uint32_t left = count
        cdef char words[160]
        cdef int code
        while left:
            size = self._receive()
            offset = 0
            while fh_nl_next(self._in, size, &offset, &message):
                if message.type != _NLMSG_ERROR or message.seq - first >= count:
                    continue
                code = fh_nl_error(&message, words, sizeof(words))
                left -= 1
                if code:
                    self.refusals += 1
                    results[start + <Py_ssize_t>(message.seq - first)] = (
                        code, words.decode("utf-8", "replace"))
        return 0

    cdef int _simple(self, size_t size, str asked) except -1:
        cdef list results = [None]
        self.messages_sent += 1
        self._transmit(size)
        self._acknowledged(self._seq, 1, results, 0)
        if results[0] is not None:
            code, words = results[0]
            raise OSError(code, f"{asked}: {os.strerror(code)}" + (f" ({words})" if words else ""))
        return 0

    def start_daemon(self, SyncDaemon daemon not None):
        cdef fh_ipvs_buffer out = self._buffer()
        self._seq += 1
        fh_ipvs_put_daemon(&out, self._kind, 9, _ACK, self._seq, &daemon.c)
        self._simple(out.used, f"starting the IPVS sync daemon on {daemon.interface}")

    def stop_daemon(self, int state):
        # A daemon that is stopped before its thread has run once makes the kernel answer EINTR, which netlink
        # does not pass on: no acknowledgement comes. So a question is sent along whose answer comes for sure.
        cdef fh_ipvs_buffer out = self._buffer()
        cdef fh_ipvs_daemon daemon
        cdef fh_nl_message message
        cdef size_t size, offset
        cdef uint32_t asked
        cdef int code = 0, found
        memset(&daemon, 0, sizeof(daemon))
        daemon.state = <uint32_t>state
        self._seq += 2
        asked = self._seq
        fh_ipvs_put_daemon(&out, self._kind, 10, _ACK, asked - 1, &daemon)
        fh_ipvs_put_plain(&out, self._kind, 15, 0, asked)
        self.messages_sent += 1
        self._transmit(out.used)
        while True:
            size = self._receive()
            offset = 0
            while fh_nl_next(self._in, size, &offset, &message):
                if message.type == _NLMSG_ERROR and message.seq == asked - 1:
                    found = fh_nl_error(&message, NULL, 0)
                    code = found if found else code
                elif message.seq == asked:
                    if code:
                        raise OSError(code, f"stopping the IPVS sync daemon: {os.strerror(code)}")
                    return

    def set_timeouts(self, unsigned int tcp, unsigned int tcp_fin, unsigned int udp):
        cdef fh_ipvs_buffer out = self._buffer()
        cdef fh_ipvs_timeouts timeouts
        timeouts.tcp = tcp
        timeouts.tcp_fin = tcp_fin
        timeouts.udp = udp
        self._seq += 1
        fh_ipvs_put_timeouts(&out, self._kind, _ACK, self._seq, &timeouts)
        self._simple(out.used, "setting the IPVS time-outs")

    def flush(self):
        cdef fh_ipvs_buffer out = self._buffer()
        self._seq += 1
        fh_ipvs_put_plain(&out, self._kind, 17, _ACK, self._seq)
        self._simple(out.used, "flushing the IPVS table")

    # -- questions -----------------------------------------------------------------------------------------

    cdef list _dump(self, int what, Service service):
        """What the kernel has: services (4), destinations of one (8) or daemons (11)."""
        cdef list found = []
        cdef bint interrupted = False
        for _ in range(5):
            found = []
            interrupted = self._dump_once(what, service, found)
            if not interrupted:
                break
        return found

    cdef bint _dump_once(self, int what, Service service, list found) except *:
        cdef fh_ipvs_buffer out = self._buffer()
        cdef fh_nl_message message
        cdef size_t size, offset
        cdef Service a_service
        cdef Destination a_dest
        cdef SyncDaemon a_daemon
        cdef uint16_t family = 0
        cdef bint interrupted = False
        cdef int code
        self._seq += 1
        if what == 8:
            family = service.c.family
            fh_ipvs_put_dest_request(&out, self._kind, self._seq, &service.c)
        else:
            fh_ipvs_put_plain(&out, self._kind, <uint8_t>what, _DUMP, self._seq)
        self._transmit(out.used)
        while True:
            size = self._receive()
            offset = 0
            while fh_nl_next(self._in, size, &offset, &message):
                if message.seq != self._seq:
                    continue
                if message.flags & _DUMP_INTR:
                    interrupted = True
                if message.type == _NLMSG_DONE:
                    return interrupted
                if message.type == _NLMSG_ERROR:
                    code = fh_nl_error(&message, NULL, 0)
                    if code:
                        raise OSError(code, f"reading the IPVS table: {os.strerror(code)}")
                    return interrupted
                if what == 4:
                    a_service = Service.__new__(Service)
                    if fh_ipvs_get_service(message.body, message.length, &a_service.c):
                        found.append(a_service)
                elif what == 8:
                    a_dest = Destination.__new__(Destination)
                    if fh_ipvs_get_dest(message.body, message.length, family, &a_dest.c):
                        found.append(a_dest)
                else:
                    a_daemon = SyncDaemon.__new__(SyncDaemon)
                    if fh_ipvs_get_daemon(message.body, message.length, &a_daemon.c):
                        found.append(a_daemon)

    def services(self):
        return self._dump(4, None)

    def destinations(self, Service service not None):
        return self._dump(8, service)

    def daemons(self):
        return self._dump(11, None)

    cdef object _ask(self, int command):
        cdef fh_ipvs_buffer out = self._buffer()
        cdef fh_nl_message message
        cdef size_t size, offset
        cdef fh_ipvs_timeouts timeouts
        cdef uint32_t version = 0, table = 0
        cdef int code
        self._seq += 1
        fh_ipvs_put_plain(&out, self._kind, <uint8_t>command, 0, self._seq)
        self._transmit(out.used)
        while True:
            size = self._receive()
            offset = 0
            while fh_nl_next(self._in, size, &offset, &message):
                if message.seq != self._seq:
                    continue
                if message.type == _NLMSG_ERROR:
                    code = fh_nl_error(&message, NULL, 0)
                    raise OSError(code, f"asking IPVS: {os.strerror(code)}")
                if command == 13 and fh_ipvs_get_timeouts(message.body, message.length, &timeouts):
                    return Timeouts(timeouts.tcp, timeouts.tcp_fin, timeouts.udp)
                if command == 15 and fh_ipvs_get_info(message.body, message.length, &version, &table):
                    return ((version >> 16 & 255, version >> 8 & 255, version & 255), table)
                raise OSError(71, "IPVS gave an answer that is none")

    def timeouts(self):
        return self._ask(13)

    def info(self):
        return self._ask(15)
