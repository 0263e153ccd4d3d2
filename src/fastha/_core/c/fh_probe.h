/* Many short conversations with servers at once: the sockets and deadlines of health checks.
 *
 * One epoll set holds every socket and one timerfd for all deadlines, so that whoever runs the checks watches
 * a single descriptor. A probe connects, sends what it was given, and hands on what comes; each step ends at
 * its deadline. What is said on the wire is the caller's business.
 *
 * Not for the engine thread: opening allocates. */
#ifndef FH_PROBE_H
#define FH_PROBE_H

#include "fh_base.h"

typedef struct fh_probes fh_probes;

/* Where to and how. `type` is SOCK_STREAM or SOCK_DGRAM, `protocol` 0 or that of ICMP. Everything from
 * `source` on may be zero. `step` is how long each step may take after the connection, in nanoseconds. */
typedef struct {
    int family, type, protocol;
    fh_addr addr;
    uint16_t port;
    fh_ns deadline, step;
    bool connect_only;
    bool has_source;
    fh_addr source;
    uint16_t source_port;
    char interface[16];
    uint32_t mark;
} fh_probe_target;

enum {
    FH_PROBE_CONNECTED = 1, /* connect_only: and closed again */
    FH_PROBE_DATA = 2,
    FH_PROBE_CLOSED = 3,  /* the other side closed; so is the probe */
    FH_PROBE_FAILED = 4,  /* `error` says why; the probe is closed */
    FH_PROBE_TIMEOUT = 5, /* the deadline passed; the probe is closed */
};

typedef struct {
    uint64_t id;
    int kind, error;
    bool was_connected;
    const uint8_t *data; /* until the next call */
    size_t length;
} fh_probe_event;

/* NULL when memory or descriptors are short. */
fh_probes *fh_probes_new(void);
void fh_probes_free(fh_probes *p);
/* The descriptor to watch: readable when fh_probes_wait has something. */
int fh_probes_fd(const fh_probes *p);
uint32_t fh_probes_count(const fh_probes *p);

/* Starts a probe that sends `output` as soon as it can. Returns 0 and *id, or an errno; *step is then what
 * was refused ("socket", "bind", ...). */
int fh_probes_open(fh_probes *p, const fh_probe_target *target, const uint8_t *output, size_t length,
                   uint64_t *id, const char **step);
/* Sends more; returns 0 or an errno (ENOENT: the probe is over). */
int fh_probes_send(fh_probes *p, uint64_t id, const uint8_t *data, size_t length, fh_ns now);
bool fh_probes_deadline(fh_probes *p, uint64_t id, fh_ns when);
/* Ends a probe without an event. Does nothing for one that is over. */
void fh_probes_close(fh_probes *p, uint64_t id);
static inline uint32_t fh_probe_index(uint64_t id) {
    return (uint32_t)id;
}

/* Collects what is ready, without waiting; fh_probes_next then hands it out one by one until it says false.
 */
void fh_probes_wait(fh_probes *p);
bool fh_probes_next(fh_probes *p, fh_ns now, fh_probe_event *event);

#endif
