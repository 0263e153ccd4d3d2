/* Inside the engine: what its files share and nobody else sees. */
#ifndef FH_ENGINE_INT_H
#define FH_ENGINE_INT_H

#include "fh_engine.h"
#include "fh_sock.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define FH_RX_BATCH 32
#define FH_RX_OCTETS 4096
#define FH_BFD_OUT 9216 /* the longest padded packet */
#define FH_TX_BATCH 128
#define FH_PLAN_BATCH 32     /* instances in one netlink send: about a millisecond of the kernel's time */
#define FH_PLAN_BATCH_FAST 4 /* while BFD sends every few milliseconds */
#define FH_PLAN_OCTETS 65536
#define FH_HOUSEKEEPING FH_NS_PER_SEC
#define FH_HOUSEKEEPING_BUSY (250 * FH_NS_PER_MSEC) /* while a shield is up */

/* What of an instance's plan is to be played; RELEASE wins over what was queued before it. */
enum { FH_PLAN_NONE, FH_PLAN_RENEW, FH_PLAN_HUSH, FH_PLAN_ACQUIRE, FH_PLAN_RELEASE };

typedef struct {
    fh_ei *first, *last;
} fh_queue;

typedef struct {
    struct mmsghdr msg[FH_RX_BATCH];
    struct iovec iov[FH_RX_BATCH];
    struct sockaddr_storage from[FH_RX_BATCH];
    _Alignas(64) uint8_t control[FH_RX_BATCH][256];
    _Alignas(64) uint8_t data[FH_RX_BATCH][FH_RX_OCTETS];
} fh_rx_buffers;

typedef struct {
    struct mmsghdr msg[FH_TX_BATCH];
    struct iovec iov[FH_TX_BATCH];
    struct sockaddr_storage to[FH_TX_BATCH];
    fh_ei *owner[FH_TX_BATCH];
    _Alignas(8) uint8_t control[FH_TX_BATCH][64];
    unsigned count;
    int fd;
} fh_tx_batch;

/* Tags of epoll: a small number, a receive socket's slot above them; BFD's sockets and sessions have the
 * upper half. */
#define FH_TAG_BSOCK 0x80000000u
#define FH_TAG_SESSION 0xC0000000u

struct fh_engine {
    fh_node node;
    fh_bfd_node bfd;
    fh_bfd_join join;
    fh_bsock *bsocks[FH_BSOCKS];
    fh_bfd_mirror *mirror;
    fh_ns turned;      /* when the last turn began */
    fh_ns bfd_read_at; /* the sockets are read by the clock, next then; FH_NEVER: when they have something */
    uint64_t bfd_packets_seen; /* at the last housekeeping */
    fh_ns bfd_late_told;
    uint32_t sbfd_count;   /* sessions that are S-BFD initiators */
    uint32_t *bfd_scratch; /* two numbers a session, for filters */
    bool bfd_fast;    /* some session has to send within milliseconds: small portions of everything else */
    bool bfd_filters; /* sessions came or went: a filter that is up has to be made again */
    fh_engine_conf conf;
    fh_ring commands;
    fh_ring events;
    fh_queue out;  /* adverts to send */
    fh_queue held; /* adverts that wait for their addresses; by next_out, few at a time */
    uint32_t held_count;
    fh_queue plan;      /* netlink to play */
    fh_queue say_first; /* announcements to send: first rounds */
    fh_queue say;       /* and later ones */
    fh_sock **socks;
    fh_pace *paces;
    fh_ns next_say; /* pacing: when the head of the queue may go on */
    fh_ns next_housekeeping;
    fh_ns repair_at;    /* something deleted again and again is put back then; 0: nothing waits */
    fh_ns shields_at;   /* when refused packets were last counted */
    fh_ns clock_offset; /* CLOCK_REALTIME - CLOCK_MONOTONIC at the last turn */
    fh_ns boot_offset;  /* CLOCK_BOOTTIME - CLOCK_MONOTONIC */
    fh_ns event_told;
    int epoll;
    int command_fd;
    int event_fd;
    int packet_fd;
    int raw4_fd, raw6_fd;
    int plan_fd;    /* netlink: plans */
    int monitor_fd; /* netlink: links, addresses */
    int route_fd;   /* netlink: routes and rules, -1 until some instance tracks them */
    uint32_t timer_capacity;
    bool main_lost;
    bool quit;
    bool started;
    bool events_lost;
    bool events_new;
    bool repair_due;  /* some instance lost an object */
    bool stopped_due; /* some instance has left the network: tell once its plan is played */
    pthread_t thread;
    _Atomic int64_t beat;
    _Atomic int64_t last_turn;
    _Atomic uint64_t stat[FH_ENGINE_STATS];
    fh_spread lateness; /* of timers */
    fh_rx_buffers rx;
    fh_tx_batch tx_frames, tx_raw4, tx_raw6;
    fh_ei *plan_owner[FH_PLAN_BATCH];
    uint8_t netlink_in[65536];
    uint8_t bfd_out[FH_BFD_OUT];
};

static inline void fh_count(_Atomic uint64_t *counter, uint64_t by) {
    /* one writer: a plain add, published relaxed, costs nothing and stays readable from elsewhere */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static inline void fh_count_max(_Atomic uint64_t *counter, uint64_t value) {
    if (value > atomic_load_explicit(counter, memory_order_relaxed))
        atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline fh_ei *fh_ei_of(fh_inst *inst) {
    return (fh_ei *)(void *)inst;
}

void fh_engine_tell(fh_engine *e, const fh_event *event);
void fh_ei_show(fh_ei *ei, fh_ns now);

/* fh_engine_out.c */
extern const fh_node_io fh_engine_io;
/* Plays one portion of what is queued; true if something is left that can go on now. */
bool fh_engine_play(fh_engine *e);
fh_ns fh_engine_next_say(const fh_engine *e);
void fh_engine_forget(fh_engine *e, fh_ei *ei);    /* takes an instance out of every queue */
void fh_engine_send_held(fh_engine *e, fh_ei *ei); /* its advert waits for its addresses no longer */
void fh_engine_queue_plan(fh_engine *e, fh_ei *ei, uint8_t wanted);
void fh_engine_send_netlink(fh_engine *e, const uint8_t *data, size_t length);
void fh_engine_read_answers(fh_engine *e);

/* fh_engine_rx.c */
void fh_engine_read(fh_engine *e, fh_sock *s, fh_ns now);
/* Reads up to FH_RX_BATCH packets of a socket into e->rx; how many, or -1 with errno. */
int fh_engine_receive(fh_engine *e, int fd);
/* Whether a kernel's stamp (by the wall clock, 0: none) says when a packet came: stamp - offset, which is
 * fh_wall_offset() now. If the wall clock was set since the last turn nobody can say. */
bool fh_engine_stamped(const fh_engine *e, int64_t stamp, fh_ns offset);
/* Looks at what was refused since the last housekeeping; true when the shield goes up or down for it. */
bool fh_shield_turns(fh_shield *s, fh_ns elapsed, uint32_t *rate);
#define FH_SHIELD_SAMPLE 6 /* one refused packet in 64 is still counted */
/* Puts filters up under attack and down after it; true while one is up. */
bool fh_engine_shields(fh_engine *e, fh_ns now);
void fh_engine_filter(fh_engine *e, fh_sock *s);

/* fh_engine_seen.c */
void fh_engine_seen(fh_engine *e, fh_ei *ei, const fh_vrrp_heard *heard, fh_ns at, fh_ns now);
void fh_engine_show_timers(fh_ei *ei);

/* fh_engine_bfd.c */
extern const fh_bfd_node_io fh_engine_bfd_io;
void fh_engine_bfd_command(fh_engine *e, const fh_command *c, fh_ns now);
/* A ready socket of BFD, by its tag. */
void fh_engine_bfd_read(fh_engine *e, uint32_t tag, fh_ns now);
/* All of BFD's receive sockets, where they are read by the clock. */
void fh_engine_bfd_poll(fh_engine *e, fh_ns now);
bool fh_engine_bfd_shields(fh_engine *e, fh_ns elapsed, fh_ns now);
void fh_engine_bfd_forget_inst(fh_engine *e, uint32_t slot, fh_ns now);
/* fh_engine.c */
void fh_engine_retire(fh_engine *e, void *memory, uint32_t kind, uint32_t slot);
void fh_engine_watch(fh_engine *e, int fd, uint32_t what);
/* CLOCK_REALTIME less CLOCK_MONOTONIC, not spoilt by being interrupted between the two. */
fh_ns fh_wall_offset(void);

/* fh_engine_nl.c */
void fh_engine_monitor(fh_engine *e, int fd, fh_ns now);
void fh_engine_dump(fh_engine *e);
void fh_engine_repair(fh_engine *e, fh_ns now);

#endif
