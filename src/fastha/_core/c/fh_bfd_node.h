/* All the BFD sessions of one daemon: their timers, their table, what is counted and measured of each.
 *
 * To fh_bfd_fsm what fh_node is to fh_vrrp_fsm: the engine's logic without its sockets. It finds the session
 * of a packet, steps the machine, sets the timers, counts, and asks an fh_bfd_node_io for what is to be sent
 * and told: the engine's sends it, the simulator's moves a virtual network. No system call, no clock, no
 * allocation; its owner gives it memory, the time, and a seed. */
#ifndef FH_BFD_NODE_H
#define FH_BFD_NODE_H

#include "fh_bfd_fsm.h"
#include "fh_bfd_gauge.h"
#include "fh_bfd_table.h"
#include "fh_node.h"
#include <stdatomic.h>

enum fh_bfd_stat {
    FH_BFD_STAT_RX,       /* packets accepted */
    FH_BFD_STAT_TX,       /* packets sent, answers to a Poll among them */
    FH_BFD_STAT_FINAL_TX, /* those answers */
    FH_BFD_STAT_TX_ERRORS,
    FH_BFD_STAT_UPS,
    FH_BFD_STAT_DOWNS,  /* from Up to anything else */
    FH_BFD_STAT_MISSED, /* packets that by the agreed interval should have come while Up: lost or too late */
    FH_BFD_STAT_LOST,   /* lost for certain: gaps in the sequence of meticulous authentication */
    FH_BFD_STAT_ECHO_TX,
    FH_BFD_STAT_ECHO_RX,     /* own Echo packets that came back */
    FH_BFD_STAT_STALLS,      /* detections put off because the engine had slept */
    FH_BFD_STAT_LATE_US_MAX, /* greatest lateness of an own packet */
    FH_BFD_STATS
};
const char *fh_bfd_stat_name(int stat);

/* A session's configuration: immutable, replaced whole. Its keys follow it in memory. */
typedef struct {
    fh_bfd_params fsm;
    uint8_t least_ttl;
    bool has_mac; /* Echo can be sent */
    uint8_t mac[6], own_mac[6];
    fh_addr echo_source;
} fh_bs_conf;

/* How a session counts for those who track it (RFC 5882 3.2: AdminDown, ours or theirs, is no failure). */
enum { FH_BS_NEVER_UP, FH_BS_GOOD, FH_BS_FAILED };

/* A session at work. Zeroed at first; the owner sets way (but for the links), fd, before fh_bfd_node_add. */
typedef struct fh_bs {
    fh_bfd fsm;
    const fh_bs_conf *conf;
    fh_bfd_way way;
    fh_timer t_tx, t_detect, t_echo;
    uint32_t slot;
    uint8_t standing;  /* FH_BS_... */
    bool removing;     /* tells AdminDown, then goes */
    bool connected;    /* the owner's: its socket knows where to send */
    bool first_sample; /* the next interval begins with an old packet: not measured */
    uint8_t ttl;       /* of what it sends */
    int fd;            /* the owner's: sends; S-BFD: receives the answers, too */
    uint16_t source_port;
    fh_ns reject_told, trouble_told, stall_told;
    uint8_t told_reject;
    /* congestion over several hops: what was counted when the window began */
    fh_ns window_from;
    uint64_t window_rx, window_missed;
    uint8_t calm; /* windows without loss */
    /* what is measured; readable at any time */
    fh_bfd_gauge rx_gauge;   /* intervals between received packets while Up */
    fh_bfd_gauge echo_gauge; /* round trips of Echo packets */
    _Atomic uint64_t stat[FH_BFD_STATS];
    _Atomic uint32_t refused[FH_BFD_RX_N];
    _Atomic uint32_t
        shown; /* state, remote state, local diagnostic, remote diagnostic, from the low octet up */
    _Atomic uint32_t shown_flags; /* FH_BS_SHOWN_... */
    _Atomic uint32_t shown_remote_discr, shown_remote_min_rx, shown_remote_min_tx, shown_remote_echo;
    _Atomic uint32_t shown_remote_mult, shown_transitions;
    _Atomic int64_t shown_tx_int, shown_rx_int, shown_detect_int, shown_echo_int;
    _Atomic int64_t changed, up_since, last_rx, last_tx;
    _Atomic int64_t
        margin_least; /* least time that was left to detection when a packet came, since Up; -1: none */
} fh_bs;

enum {
    FH_BS_SHOWN_POLL = 1,
    FH_BS_SHOWN_DEMAND = 2,
    FH_BS_SHOWN_REMOTE_DEMAND = 4,
    FH_BS_SHOWN_ECHO = 8,
    FH_BS_SHOWN_BACKOFF = 16, /* times how often the intervals are doubled */
};

/* From whom a session may be asked for (RFC 9468). */
typedef struct {
    uint32_t ifindex;
    uint8_t family;
    uint8_t prefixlen;
    fh_addr prefix;
} fh_bfd_accept;

typedef struct {
    uint32_t count;
    uint32_t rate; /* events a second */
    fh_bfd_accept rule[];
} fh_bfd_accepts;

typedef struct {
    void (*send)(void *io, fh_bs *s, bool final);
    void (*echo)(void *io, fh_bs *s);
    /* Gives every packet that arrived before now to fh_bfd_node_packet. */
    void (*drain)(void *io, fh_ns now);
    /* Before the event is told: who tracks it. old: its state before. */
    void (*state)(void *io, fh_bs *s, uint8_t old, uint8_t cause, fh_ns now);
    void (*gone)(void *io, fh_bs *s); /* a session that was being removed has said so for long enough */
    void (*event)(void *io, const fh_event *event);
} fh_bfd_node_io;

#define FH_BFD_SLEEPS 4

typedef struct {
    fh_ns ended, length;
} fh_bfd_sleep;

typedef struct fh_bfd_node {
    fh_timers timers;
    fh_bs **sessions; /* by slot; NULL: free */
    uint32_t slots;
    uint32_t count;
    fh_bfd_table table;
    const fh_bfd_accepts *accepts;
    fh_ns accept_window;
    uint32_t accept_told;
    uint64_t rng[4];
    fh_ns asleep;                     /* total of own lateness that mattered */
    fh_ns stall;                      /* the part of it that ended with this wake-up */
    fh_bfd_sleep away[FH_BFD_SLEEPS]; /* own sleeps, however noticed: each later one is shorter */
    unsigned aways;
    fh_ns woke;
    fh_ns fastest;    /* least detection time of the sessions, FH_NEVER: none is Up */
    bool fastest_old; /* to be found again */
    fh_ns reject_told;
    uint8_t told_reject;
    bool drained;
    bool late_before; /* at the wake-up before this one */
    const fh_bfd_node_io *ops;
    void *io;
    _Atomic uint64_t refused[FH_BFD_RX_N]; /* of packets that belong to no session */
} fh_bfd_node;

/* Memory comes from the owner: sessions[slots] and the table's buckets zeroed, timer slots for three timers a
 * session. seed: random, not all zero. */
void fh_bfd_node_init(fh_bfd_node *n, const uint64_t seed[4], const fh_bfd_node_io *ops, void *io);
uint32_t fh_bfd_node_random(fh_bfd_node *n);

/* Puts a session to work. False, and nothing done, if its slot or its discriminator is taken. */
bool fh_bfd_node_add(fh_bfd_node *n, fh_bs *s, uint32_t slot, const fh_bs_conf *conf, fh_ns now);
void fh_bfd_node_replace(fh_bfd_node *n, fh_bs *s, const fh_bs_conf *conf, fh_ns now);
/* Any input of the machine but its timers. */
void fh_bfd_node_input(fh_bfd_node *n, fh_bs *s, uint8_t event, uint8_t arg, fh_ns now);
/* AdminDown for a detection time, or nothing; then ops->gone, in which the owner calls fh_bfd_node_remove. */
void fh_bfd_node_stop(fh_bfd_node *n, fh_bs *s, bool graceful, fh_ns now);
void fh_bfd_node_remove(fh_bfd_node *n, fh_bs *s);

/* A UDP payload. Gives what became of it, which is counted already. */
enum fh_bfd_rx fh_bfd_node_packet(fh_bfd_node *n, const fh_bfd_arrival *from, const uint8_t *data,
                                  size_t length, fh_ns rx_time, fh_ns now);
/* A payload of port 3785: an Echo packet, of ours or not. */
enum fh_bfd_rx fh_bfd_node_echo(fh_bfd_node *n, const fh_bfd_arrival *from, const uint8_t *data,
                                size_t length, fh_ns rx_time, fh_ns now);

/* The owner has waited from since for due (FH_NEVER: for nothing) and woken now. Gives the lateness that
 * counts as sleep, 0 if it woke in time. */
fh_ns fh_bfd_node_woke(fh_bfd_node *n, fh_ns since, fh_ns due, fh_ns now);
/* The machine was suspended, on a clock that did not count it. */
void fh_bfd_node_slept(fh_bfd_node *n, fh_ns slept, fh_ns now);
/* The neighbour may have given this session up while we were away, and has not been heard since: then it
 * sends slowly, and its silence says nothing of the path. */
bool fh_bfd_node_was_away(const fh_bfd_node *n, const fh_bs *s);
void fh_bfd_node_run(fh_bfd_node *n, fh_ns now);
/* Now and then, a few seconds apart at most: sessions over several hops that lose packets double their
 * intervals, and halve them again when the path is well (RFC 5880 7). */
void fh_bfd_node_congestion(fh_bfd_node *n, fh_ns now);
fh_ns fh_bfd_node_fastest(fh_bfd_node *n);
static inline fh_ns fh_bfd_node_next(const fh_bfd_node *n) {
    return fh_timers_next(&n->timers);
}

void fh_bfd_node_count_refused(fh_bfd_node *n, fh_bs *s, enum fh_bfd_rx why, const fh_addr *src, fh_ns now);

static inline void fh_bs_count(fh_bs *s, int stat, uint64_t by) {
    atomic_store_explicit(&s->stat[stat], atomic_load_explicit(&s->stat[stat], memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static inline fh_bs *fh_bs_of(fh_bfd_way *way) {
    return (fh_bs *)(void *)((char *)way - offsetof(fh_bs, way));
}

/* What may be read of a session at any time, from any thread. */
typedef struct {
    uint32_t shown, flags, remote_discr, remote_min_rx, remote_min_tx, remote_echo, remote_mult, transitions;
    int64_t tx_int, rx_int, detect_int, echo_int, changed, up_since, last_rx, last_tx, margin_least;
} fh_bs_view;
void fh_bs_look(const fh_bs *s, fh_bs_view *view);
uint64_t fh_bs_stat(const fh_bs *s, int stat);
uint32_t fh_bs_refused(const fh_bs *s, int why);
uint64_t fh_bfd_node_refused(const fh_bfd_node *n, int why);
#define FH_BS_SIZE sizeof(fh_bs)

#endif
