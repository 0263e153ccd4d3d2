/* See fh_probe.h. */
#include "fh_probe.h"

#include "fh_timer.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CHUNK 256u
#define CHUNKS_MAX 1024u
#define READY 256
#define BUFFER 65536u
#define TIMER_ID UINT64_MAX

typedef struct {
    fh_timer timer;
    int fd; /* -1 when the slot is free */
    uint32_t generation;
    uint32_t index; /* its own; of the next free slot, while free */
    bool connecting, connect_only, stream, wants_out;
    fh_ns step;
    uint8_t *output;
    size_t length, sent;
} slot;

struct fh_probes {
    int epoll, timerfd;
    uint32_t chunks, free, count;
    slot *chunk[CHUNKS_MAX];
    fh_timers timers;
    fh_ns armed;
    struct epoll_event ready[READY];
    int n_ready, next_ready;
    uint8_t buffer[BUFFER];
};

enum { NONE = UINT32_MAX };

static slot *slot_at(fh_probes *p, uint32_t index) {
    return &p->chunk[index / CHUNK][index % CHUNK];
}

static uint64_t id_of(const slot *s, uint32_t index) {
    return ((uint64_t)s->generation << 32) | index;
}

static slot *slot_of(fh_probes *p, uint64_t id) {
    uint32_t index = (uint32_t)id;
    if (index >= p->chunks * CHUNK) return NULL;
    slot *s = slot_at(p, index);
    return s->fd >= 0 && s->generation == (uint32_t)(id >> 32) ? s : NULL;
}

fh_probes *fh_probes_new(void) {
    fh_probes *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->free = NONE;
    p->armed = FH_NEVER;
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    p->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = TIMER_ID};
    if (p->epoll < 0 || p->timerfd < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->timerfd, &event)) {
        fh_probes_free(p);
        return NULL;
    }
    return p;
}

static void release(fh_probes *p, slot *s, uint32_t index) {
    fh_timer_cancel(&p->timers, &s->timer);
    close(s->fd);
    free(s->output);
    s->output = NULL;
    s->fd = -1;
    s->generation++;
    s->index = p->free;
    p->free = index;
    p->count--;
}

void fh_probes_free(fh_probes *p) {
    if (!p) return;
    for (uint32_t i = 0; i < p->chunks * CHUNK; i++)
        if (slot_at(p, i)->fd >= 0) release(p, slot_at(p, i), i);
    for (uint32_t i = 0; i < p->chunks; i++)
        free(p->chunk[i]);
    free(p->timers.slots);
    if (p->epoll >= 0) close(p->epoll);
    if (p->timerfd >= 0) close(p->timerfd);
    free(p);
}

int fh_probes_fd(const fh_probes *p) {
    return p->epoll;
}

uint32_t fh_probes_count(const fh_probes *p) {
    return p->count;
}

static int grow(fh_probes *p) {
    if (p->chunks == CHUNKS_MAX) return ENFILE;
    slot *chunk = calloc(CHUNK, sizeof *chunk);
    uint32_t capacity = (p->chunks + 1) * CHUNK;
    fh_timer_slot *heap = realloc(p->timers.slots, capacity * sizeof *heap);
    if (heap) {
        p->timers.slots = heap;
        p->timers.capacity = capacity;
    }
    if (!chunk || !heap) {
        free(chunk);
        return ENOMEM;
    }
    uint32_t first = p->chunks * CHUNK;
    p->chunk[p->chunks++] = chunk;
    for (uint32_t i = CHUNK; i-- > 0;) {
        fh_timer_init(&chunk[i].timer, 0, (uint16_t)offsetof(slot, timer));
        chunk[i].fd = -1;
        chunk[i].index = p->free;
        p->free = first + i;
    }
    return 0;
}

/* The timerfd is only ever moved forward in time when it fires: most deadlines are cancelled long before. */
static void arm(fh_probes *p, fh_ns when) {
    if (when >= p->armed) return;
    p->armed = when;
    struct itimerspec spec = {.it_value = {.tv_sec = when / FH_NS_PER_SEC, .tv_nsec = when % FH_NS_PER_SEC}};
    if (when <= 0) spec.it_value.tv_nsec = 1;
    timerfd_settime(p->timerfd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void set_deadline(fh_probes *p, slot *s, fh_ns when) {
    fh_timer_set(&p->timers, &s->timer, when);
    arm(p, when);
}

static socklen_t fill(struct sockaddr_storage *to, int family, const fh_addr *addr, uint16_t port) {
    memset(to, 0, sizeof *to);
    if (family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, addr->b, 16);
        return sizeof *in6;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    memcpy(&in->sin_addr, addr->b, 4);
    return sizeof *in;
}

/* A socket on its way to the target, or -errno. */
static int connect_to(const fh_probe_target *t, bool *connecting, const char **step) {
    struct sockaddr_storage where;
    const int one = 1;
    *step = "socket";
    int fd = socket(t->family, t->type | SOCK_NONBLOCK | SOCK_CLOEXEC, t->protocol);
    if (fd < 0) return -errno;
    int failed = 0;
    if (t->mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &t->mark, sizeof t->mark)) {
        *step = "fwmark";
        failed = errno;
    } else if (t->interface[0] && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, t->interface,
                                             (socklen_t)strnlen(t->interface, sizeof t->interface - 1) + 1)) {
        *step = "bind_if";
        failed = errno;
    } else if (t->has_source || t->source_port) {
        socklen_t size = fill(&where, t->family, &t->source, t->source_port);
        if (t->source_port)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        else /* the port is chosen at connect, when the other end is known: no shortage of ports */
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&where, size)) {
            *step = "bind";
            failed = errno;
        }
    }
    if (!failed) {
        socklen_t size = fill(&where, t->family, &t->addr, t->port);
        *step = "connect";
        *connecting = false;
        if (connect(fd, (struct sockaddr *)&where, size)) {
            if (errno == EINPROGRESS)
                *connecting = true;
            else
                failed = errno;
        }
    }
    if (failed) {
        close(fd);
        return -failed;
    }
    return fd;
}

/* Sends what is left; returns an errno that is not just "later". */
static int flush(fh_probes *p, slot *s, uint32_t index) {
    while (s->sent < s->length) {
        ssize_t n = send(s->fd, s->output + s->sent, s->length - s->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return errno;
            break;
        }
        s->sent += (size_t)n;
    }
    bool wants_out = s->sent < s->length;
    if (!wants_out) {
        free(s->output);
        s->output = NULL;
        s->length = s->sent = 0;
    }
    if (wants_out != s->wants_out) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = id_of(s, index)};
        if (wants_out) event.events |= EPOLLOUT;
        s->wants_out = wants_out;
        epoll_ctl(p->epoll, EPOLL_CTL_MOD, s->fd, &event);
    }
    return 0;
}

static int keep(slot *s, const uint8_t *data, size_t length) {
    if (!length) return 0;
    uint8_t *more = realloc(s->output, s->length + length);
    if (!more) return ENOMEM;
    memcpy(more + s->length, data, length);
    s->output = more;
    s->length += length;
    return 0;
}

int fh_probes_open(fh_probes *p, const fh_probe_target *t, const uint8_t *output, size_t length, uint64_t *id,
                   const char **step) {
    *step = "memory";
    int failed;
    if (p->free == NONE && (failed = grow(p))) return failed;
    bool connecting = false;
    int fd = connect_to(t, &connecting, step);
    if (fd < 0) return -fd;
    uint32_t index = p->free;
    slot *s = slot_at(p, index);
    p->free = s->index;
    s->index = index;
    p->count++;
    s->fd = fd;
    s->stream = t->type == SOCK_STREAM;
    /* A stream that is connected at once (loopback) still reports it through epoll, as any other. */
    s->connecting = s->stream;
    s->connect_only = t->connect_only;
    s->step = t->step;
    s->sent = s->length = 0;
    s->output = NULL;
    s->wants_out = s->connecting;
    struct epoll_event event = {.events = s->connecting ? EPOLLOUT : EPOLLIN, .data.u64 = id_of(s, index)};
    *step = "epoll";
    failed = epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event) ? errno : keep(s, output, length);
    if (!failed && !s->connecting) {
        *step = "send";
        failed = flush(p, s, index);
    }
    if (failed) {
        release(p, s, index);
        return failed;
    }
    set_deadline(p, s, t->deadline);
    *id = id_of(s, index);
    return 0;
}

int fh_probes_send(fh_probes *p, uint64_t id, const uint8_t *data, size_t length, fh_ns now) {
    slot *s = slot_of(p, id);
    if (!s) return ENOENT;
    int failed = keep(s, data, length);
    if (!failed && !s->connecting) failed = flush(p, s, fh_probe_index(id));
    if (!failed && s->step) set_deadline(p, s, now + s->step);
    return failed;
}

bool fh_probes_deadline(fh_probes *p, uint64_t id, fh_ns when) {
    slot *s = slot_of(p, id);
    if (!s) return false;
    set_deadline(p, s, when);
    return true;
}

void fh_probes_close(fh_probes *p, uint64_t id) {
    slot *s = slot_of(p, id);
    if (s) release(p, s, fh_probe_index(id));
}

void fh_probes_wait(fh_probes *p) {
    p->next_ready = 0;
    p->n_ready = epoll_wait(p->epoll, p->ready, READY, 0);
    if (p->n_ready < 0) p->n_ready = 0;
}

static bool finish(fh_probes *p, slot *s, uint32_t index, fh_probe_event *event, int kind, int error) {
    event->kind = kind;
    event->error = error;
    event->was_connected = !s->connecting;
    release(p, s, index);
    return true;
}

/* One readiness; false when there is nothing to tell. */
static bool serve(fh_probes *p, uint64_t id, uint32_t events, fh_ns now, fh_probe_event *event) {
    slot *s = slot_of(p, id);
    if (!s) return false;
    uint32_t index = fh_probe_index(id);
    event->id = id;
    event->data = NULL;
    event->length = 0;
    event->error = 0;
    int error = 0;
    if (s->connecting) {
        socklen_t size = sizeof error;
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size)) error = errno;
        if (error) return finish(p, s, index, event, FH_PROBE_FAILED, error);
        if (!(events & EPOLLOUT)) return false;
        s->connecting = false;
        if (s->connect_only) {
            /* What the server said first is taken, so that closing is a FIN and not a reset. */
            while (recv(s->fd, p->buffer, BUFFER, MSG_DONTWAIT) > 0 && !(events & EPOLLHUP))
                events |= EPOLLHUP;
            return finish(p, s, index, event, FH_PROBE_CONNECTED, 0);
        }
        s->wants_out = true;
        error = flush(p, s, index);
        if (error) return finish(p, s, index, event, FH_PROBE_FAILED, error);
        if (s->step) set_deadline(p, s, now + s->step);
        event->kind = FH_PROBE_CONNECTED;
        event->was_connected = true;
        return true;
    }
    if (events & EPOLLOUT) {
        error = flush(p, s, index);
        if (error) return finish(p, s, index, event, FH_PROBE_FAILED, error);
    }
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) return false;
    ssize_t n = recv(s->fd, p->buffer, BUFFER, MSG_DONTWAIT);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR) return false;
        return finish(p, s, index, event, FH_PROBE_FAILED, errno);
    }
    if (n == 0 && s->stream) return finish(p, s, index, event, FH_PROBE_CLOSED, 0);
    event->kind = FH_PROBE_DATA;
    event->was_connected = true;
    event->data = p->buffer;
    event->length = (size_t)n;
    return true;
}

bool fh_probes_next(fh_probes *p, fh_ns now, fh_probe_event *event) {
    while (p->next_ready < p->n_ready) {
        const struct epoll_event *ready = &p->ready[p->next_ready++];
        if (ready->data.u64 == TIMER_ID) {
            uint64_t ticks;
            ssize_t n = read(p->timerfd, &ticks, sizeof ticks);
            (void)n;
            p->armed = FH_NEVER;
            continue;
        }
        if (serve(p, ready->data.u64, ready->events, now, event)) return true;
    }
    fh_timer *due = fh_timers_pop(&p->timers, now, &(fh_ns){0});
    if (!due) {
        arm(p, fh_timers_next(&p->timers));
        return false;
    }
    slot *s = FH_TIMER_OWNER(due, slot);
    uint32_t index = s->index;
    event->id = id_of(s, index);
    event->data = NULL;
    event->length = 0;
    return finish(p, s, index, event, FH_PROBE_TIMEOUT, 0);
}
