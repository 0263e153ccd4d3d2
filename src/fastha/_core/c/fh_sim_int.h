/* What the files of the simulator share. */
#ifndef FH_SIM_INT_H
#define FH_SIM_INT_H

#include "fh_sim.h"

enum { KIND_WAKE, KIND_FLIGHT, KIND_FAULT, KIND_NO_MASTER, KIND_TWO, KIND_ORDER, KIND_ONE_SIDE, KIND_POLL };

#define SLACK FH_NS_PER_MSEC /* what rounding may cost */

struct fh_sim_router;
struct fh_sim_vr;

typedef struct fh_sim_inst {
    fh_inst node; /* first */
    fh_inst_conf conf[2];
    struct fh_sim_router *router;
    struct fh_sim_vr *vr;
    uint32_t index;
    uint32_t slot;
    uint32_t rank;
    uint32_t group;
    uint8_t port;
    uint8_t which; /* conf in force */
    uint8_t vrid;
    bool held;    /* the addresses are here */
    bool goodbye; /* priority 0 was sent in this step */
    bool reload;  /* conf[1 - which] waits to be taken */
    bool maintenance;
    bool heard_some; /* since it started, an advert */
    int16_t delta;
    uint8_t state; /* as last looked at */
    uint8_t priority;
    fh_ns eligible_since; /* FH_NEVER: is not */
    fh_ns master_since;
    fh_ns priority_since;
    fh_ns learned; /* interval that counts for its patience, 0: not known */
    struct {       /* the best master that it heard, and until when it is believed alive */
        fh_ns until;
        uint32_t src, speaker; /* addresses: its own, and of whoever spoke last */
        uint32_t unanswered;
        uint8_t priority;
    } best;
} fh_sim_inst;

/* The part of a virtual router on one side of a partition, and what it is being watched for. */
typedef struct {
    struct fh_sim_vr *vr;
    fh_timer no_master, two, order;
    fh_ns gap_since, double_since; /* FH_NEVER: none */
    uint32_t who_waits, who_rivals, who_higher;
    uint8_t side;
} fh_sim_side;

typedef struct fh_sim_vr {
    fh_sim *sim;
    fh_sim_inst **members;
    uint32_t count, capacity;
    struct fh_sim_vr *other; /* of the other version, NULL: none */
    uint32_t segment;
    uint8_t vrid, version;
    bool gated, mixed, dirty;
    uint32_t active; /* faults at work that may make it change */
    uint32_t forged;
    fh_ns interval_most; /* that anybody ever advertised */
    fh_ns preempt_most;
    uint8_t adverts_most;
    bool v2;
    fh_ns disturbed;  /* last time that something happened to it */
    fh_ns cut_since;  /* its sides are as they are since */
    fh_ns calm_since; /* nothing is lost since */
    struct fh_sim_vr *next_dirty;
    fh_sim_side sides[FH_SIM_SIDES];
} fh_sim_vr;

typedef struct {
    fh_ns delay, delay_most;
    int64_t loss, jitter, reorder, held_back, duplicate; /* millionths, ns, millionths, ns, millionths */
    int64_t burst, burst_every;                          /* mean lengths in ns */
    fh_ns burst_toggle;
    bool in_burst, plain;
    uint32_t rough; /* faults at work that lose packets */
    struct fh_sim_vr **vrs;
    uint32_t vr_count;
} fh_sim_segment;

typedef struct {
    uint32_t segment, rank;
    uint8_t side;
    uint8_t down, mute, deaf; /* counts of faults */
    bool told_up;
} fh_sim_port;

typedef struct fh_sim_flight {
    fh_timer t;
    struct fh_sim_flight *next;
    fh_ns sent, rx_time;
    fh_vrrp_heard heard;
    struct fh_sim_vr *vr;       /* VRRP */
    struct fh_sim_bs *session;  /* BFD: of the receiver */
    struct fh_sim_router *from; /* NULL: forged */
    uint32_t from_port, rank;
    fh_sim_inst *to; /* NULL: all */
    uint8_t version;
    uint8_t side;
    uint16_t length;
    uint8_t data[64];
} fh_sim_flight;

struct fh_sim_pair;
typedef struct fh_sim_bs {
    fh_bs bs; /* first */
    fh_bs_conf conf[2];
    struct fh_sim_router *router;
    struct fh_sim_pair *pair;
    uint8_t end, port, which;
    bool reload, admin, follows;
    uint8_t state;
    fh_ns last_arrival, asleep_then; /* when the other end was last heard; how long we had slept by then */
    fh_timer poll;
    fh_ns poll_at;
} fh_sim_bs;

typedef struct fh_sim_pair {
    fh_sim *sim;
    uint32_t index;
    fh_sim_bs *end[2];
    fh_timer one_side;
    fh_ns alone_since; /* one side is Up, the other is not */
    uint32_t active;
    fh_ns disturbed, calm_since;
} fh_sim_pair;

typedef struct fh_sim_router {
    fh_sim *sim;
    uint32_t index;
    fh_node node;
    fh_bfd_node bfd;
    fh_bfd_join join;
    fh_timer wake;
    fh_ns g0, l0;
    int64_t ppm;
    uint32_t boots;
    uint8_t paused, frozen, dead; /* counts of faults */
    bool started, touched, wanted, stopping;
    bool missed; /* packets were lost while it stood still */
    bool
        mixed; /* of one standstill, packets of one part wait in its sockets and those of another were lost */
    fh_ns paused_at, stood_at, asleep, slept, turned;
    int64_t latency;
    fh_sim_flight *inbox, **inbox_end;
    fh_sim_port ports[FH_SIM_PORTS];
    unsigned port_count;
    fh_sim_inst **insts;
    uint32_t inst_count, inst_capacity;
    uint32_t group_count;
    uint32_t **group_members; /* by group, inst_count each */
    fh_sim_bs **sessions;
    uint32_t session_count, session_capacity;
} fh_sim_router;

typedef struct {
    fh_sim *sim;
    fh_timer t;
    fh_ns at, until;
    int64_t a, b;
    uint32_t target, index;
    uint8_t kind;
    bool on, counted; /* counted: it is among the active ones of what it touches */
} fh_sim_fault;

struct fh_sim {
    fh_timers queue;
    fh_ns now, spread;
    uint64_t rng[2];
    fh_sim_router **routers;
    fh_sim_segment **segments;
    fh_sim_inst **insts;
    fh_sim_pair **pairs;
    fh_sim_vr **vrs;
    fh_sim_fault **faults;
    uint32_t router_count, segment_count, inst_count, pair_count, vr_count, fault_count;
    uint32_t router_cap, segment_cap, inst_cap, pair_cap, vr_cap, fault_cap;
    fh_sim_vr *dirty;
    fh_sim_flight *free_flights;
    void **chunks;
    uint32_t chunk_count, chunk_cap;
    uint32_t rough; /* cuts and losses at work anywhere */
    uint32_t active;
    fh_ns disturbed, calm_since;
    int64_t drift_most; /* millionths */
    fh_ns latency_most;
    uint32_t excused;
    bool started, failed;
    fh_sim_broken broken;
    fh_sim_record *records;
    uint32_t record_count, record_cap;
    uint64_t stat[FH_SIM_STATS];
    uint64_t digest;
};

/* fh_sim.c */
uint64_t fh_sim_random(fh_sim *s);
bool fh_sim_chance(fh_sim *s, int64_t millionths);
fh_ns fh_sim_local(const fh_sim_router *r, fh_ns global);
static inline bool fh_sim_awake(const fh_sim_router *r) {
    return r->started && r->dead == 0 && r->paused == 0;
}
static inline bool fh_sim_port_up(const fh_sim_router *r, unsigned port) {
    return r->ports[port].down == 0;
}
void fh_sim_note(fh_sim *s, uint8_t type, uint32_t who, uint32_t from, int a, int b, int64_t c);
void fh_sim_set(fh_sim *s, fh_timer *t, fh_ns at);
bool fh_sim_grow(void *array, uint32_t count, uint32_t *capacity, size_t size);
void fh_sim_boot(fh_sim_router *r);
void fh_sim_halt(fh_sim_router *r);
void fh_sim_turn(fh_sim_router *r);
void fh_sim_set_clock(fh_sim_router *r, int64_t ppm);
uint32_t fh_sim_address(const fh_sim_router *r, unsigned port);

/* fh_sim_net.c */
void fh_sim_send(fh_sim_inst *si, uint8_t priority);
void fh_sim_forge(fh_sim *s, fh_sim_vr *vr, uint8_t priority, fh_ns interval);
void fh_sim_send_bfd(fh_sim_bs *from, bool final);
void fh_sim_arrive(fh_sim *s, fh_sim_flight *f);
void fh_sim_drop(fh_sim *s, fh_sim_flight *f);
void fh_sim_read(fh_sim_router *r, fh_ns now);
void fh_sim_plain(fh_sim_segment *g);

/* fh_sim_check.c */
void fh_sim_break(fh_sim *s, int rule, uint32_t who, fh_ns bound);
void fh_sim_changed(fh_sim_inst *si, const fh_event *e);
void fh_sim_heard(fh_sim_inst *si, const fh_vrrp_heard *h, fh_ns rx_time, fh_ns now);
void fh_sim_settle(fh_sim_router *r);
void fh_sim_regard(fh_sim_router *r); /* it woke, fell asleep, was cut off */
void fh_sim_recheck(fh_sim *s);
void fh_sim_dirty(fh_sim_vr *vr);
void fh_sim_due(fh_sim *s, fh_timer *t);
void fh_sim_bfd_changed(fh_sim_bs *b, uint8_t old, uint8_t cause, fh_ns detect);
void fh_sim_pair_look(fh_sim_pair *p);
fh_ns fh_sim_x(const fh_sim_vr *vr);
fh_ns fh_sim_settling(const fh_sim_vr *vr);

/* fh_sim_fault.c */
void fh_sim_fault_due(fh_sim *s, fh_sim_fault *f);
void fh_sim_disturb(fh_sim_vr *vr);
void fh_sim_wanted(fh_sim_router *r, fh_ns now); /* commands that have come in */

#endif
