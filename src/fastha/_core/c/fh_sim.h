/* The simulator: many routers, each with the node and the BFD sessions of one daemon, on a network that
 * exists only here, under a clock that jumps from event to event.
 *
 * What decides is the engine's own code (fh_node, fh_bfd_node, fh_bfd_join and the machines below them); the
 * turn of a router is the engine's turn (fh_node_woke, read, fh_node_expire). Exchanged are the clock, the
 * network, and what is written down instead of done. All chance comes from one seed: the same world with the
 * same seed is the same story, to the nanosecond.
 *
 * Every step is judged by rules that know nothing of the machines' inner workings (fh_sim_check.c); the
 * rules' names and bounds are in docs/sim.md. No thread, no system call but for memory. */
#ifndef FH_SIM_H
#define FH_SIM_H

#include "fh_bfd_join.h"
#include "fh_break.h"

#define FH_SIM_PORTS 4
#define FH_SIM_SIDES 4
#define FH_SIM_ALL UINT32_MAX

enum fh_sim_rule {
    FH_SIM_NO_MASTER,    /* nobody is master though somebody could be, for longer than X */
    FH_SIM_TWO_MASTERS,  /* two masters hear one another for longer than an interval and the delay */
    FH_SIM_ORDER,        /* a higher router that may preempt does not */
    FH_SIM_NEEDLESS,     /* a lower master was displaced by a router with nopreempt */
    FH_SIM_HOLDS,        /* an address is held by a router that is not master, or not held by one that is */
    FH_SIM_FLAP,         /* a change of state though nothing was wrong for long enough */
    FH_SIM_GROUP,        /* members of one sync group stand apart */
    FH_SIM_TIMER,        /* a deadline in the past, or none where there must be one */
    FH_SIM_PATIENCE,     /* what an advert does to the deadline is not what the RFC says */
    FH_SIM_SPEAKS,       /* an advert of a router that is not master */
    FH_SIM_GOODBYE,      /* a master left without priority 0 */
    FH_SIM_BFD_ONE_SIDE, /* Up on one side only for longer than it takes to notice */
    FH_SIM_BFD_ACCUSED,  /* detection expired before the neighbour was silent so long */
    FH_SIM_BFD_POLL,     /* a Poll Sequence does not end */
    FH_SIM_BFD_FLAP,     /* a session left Up though nothing was wrong */
    FH_SIM_RULES
};
const char *fh_sim_rule_name(int rule);

enum fh_sim_fault_kind {
    FH_SIM_LOSS,      /* segment; a: share of packets lost, in millionths */
    FH_SIM_BURST,     /* segment; a: mean length of a burst in us, b: mean distance in us */
    FH_SIM_DELAY,     /* segment; a: us */
    FH_SIM_JITTER,    /* segment; a: us at most */
    FH_SIM_REORDER,   /* segment; a: share of packets held back, in millionths; b: for how many us */
    FH_SIM_DUPLICATE, /* segment; a: share, in millionths */
    FH_SIM_MUTE,      /* router's port b: what it sends does not arrive */
    FH_SIM_DEAF,      /* router's port b: it hears nothing */
    FH_SIM_PARTITION, /* segment; a: set of routers (by index modulo 60) that are cut off from the rest */
    FH_SIM_CRASH,     /* router: gone at once, started again at the end */
    FH_SIM_STOP,      /* router: stopped in an orderly way, started again at the end */
    FH_SIM_PAUSE,     /* router: the process stands still, packets wait in its sockets */
    FH_SIM_FREEZE,    /* router: the machine stands still, its clock does not, packets are lost */
    FH_SIM_SLEEP,     /* router: the machine and its monotonic clock stand still, packets are lost */
    FH_SIM_DRIFT,     /* router; a: its clock runs fast by so many millionths */
    FH_SIM_LATE,      /* router; a: it wakes up to so many us late */
    FH_SIM_LINK,      /* router's port b: down */
    FH_SIM_TRACK,     /* instance; a: change of priority by what it tracks */
    FH_SIM_PRIORITY,  /* instance; a: priority by reload, for good */
    FH_SIM_INTERVAL,  /* instance; a: interval by reload in us, for good */
    FH_SIM_DRAIN,     /* instance: maintenance */
    FH_SIM_FORGE, /* instance (its virtual router): foreign adverts; a: priority, b: interval told in us */
    FH_SIM_BFD_SPEED, /* session; a: interval in us by reload, for good */
    FH_SIM_BFD_ADMIN, /* session: AdminDown */
    FH_SIM_FAULTS
};
const char *fh_sim_fault_name(int kind);

enum fh_sim_note {
    FH_SIM_NOTE_STATE,   /* who: instance; a: old, b: new, c: cause */
    FH_SIM_NOTE_SENT,    /* who: instance; a: priority */
    FH_SIM_NOTE_HEARD,   /* who: instance, from: router (FH_SIM_ALL: forged); a: priority; c: us under way */
    FH_SIM_NOTE_LOST,    /* likewise */
    FH_SIM_NOTE_REFUSED, /* likewise: other version, other interval */
    FH_SIM_NOTE_FAULT,   /* who: index in the plan; a: begins or ends */
    FH_SIM_NOTE_BFD_STATE, /* who: session; a: old, b: new, c: cause */
    FH_SIM_NOTE_BROKEN,    /* who: instance or session; a: rule */
};

typedef struct {
    fh_ns at;
    uint8_t type;
    uint8_t a, b;
    uint32_t who, from;
    int64_t c;
} fh_sim_record;

enum fh_sim_stat {
    FH_SIM_EVENTS,  /* inputs to state machines */
    FH_SIM_PACKETS, /* delivered or lost, each receiver counted */
    FH_SIM_LOST,
    FH_SIM_REFUSED,
    FH_SIM_TRANSITIONS, /* of instances */
    FH_SIM_TAKEOVERS,   /* backup to master */
    FH_SIM_FALSE,       /* of these: while a master was alive, awake and on the same side */
    FH_SIM_DOUBLE,      /* times that two masters heard one another */
    FH_SIM_DOUBLE_US,   /* and for how long, summed */
    FH_SIM_GAPS,        /* times that nobody was master though somebody could be */
    FH_SIM_GAP_US,      /* and for how long, summed */
    FH_SIM_GAP_US_MAX,
    FH_SIM_STALLS,
    FH_SIM_BFD_CHANGES,
    FH_SIM_STATS
};
const char *fh_sim_stat_name(int stat);

typedef struct fh_sim fh_sim;

typedef struct {
    uint32_t segment;
    uint32_t rank; /* order of the source address, unique in the segment */
} fh_sim_port_conf;

typedef struct {
    fh_vrrp_params fsm;
    uint8_t vrid;
    uint8_t port;
    uint32_t group; /* of the router, FH_NO_GROUP */
} fh_sim_inst_conf;

/* A world is made in this order; all but _new and the queries give the index of what was made, FH_SIM_ALL
 * when memory is short or the arguments name nothing. */
fh_sim *fh_sim_new(uint64_t seed, fh_ns start_spread);
void fh_sim_free(fh_sim *s);
uint32_t fh_sim_add_segment(fh_sim *s, fh_ns delay);
uint32_t fh_sim_add_router(fh_sim *s, const fh_sim_port_conf *ports, unsigned count);
uint32_t fh_sim_add_inst(fh_sim *s, uint32_t router, const fh_sim_inst_conf *conf);
/* A session between two routers over their ports. takeover: the instances of a that share the segment follow
 * it. */
uint32_t fh_sim_add_session(fh_sim *s, uint32_t a, uint32_t port_a, uint32_t b, uint32_t port_b,
                            const fh_bfd_params *params, bool takeover);
uint32_t fh_sim_add_fault(fh_sim *s, uint8_t kind, fh_ns at, fh_ns until, uint32_t target, int64_t a,
                          int64_t b);
bool fh_sim_start(fh_sim *s);
void fh_sim_trace(fh_sim *s, fh_sim_record *records, uint32_t capacity);
/* Rules that are not judged, a set of 1 << rule. */
void fh_sim_excuse(fh_sim *s, uint32_t rules);

/* Runs to a point of time, or until a rule is broken, or so many events have passed. */
void fh_sim_run(fh_sim *s, fh_ns until, uint64_t events);

typedef struct {
    fh_ns at;
    int rule; /* -1: none */
    uint32_t who;
    fh_ns bound; /* what was exceeded, 0 where it is no matter of time */
} fh_sim_broken;
void fh_sim_verdict(const fh_sim *s, fh_sim_broken *out);
fh_ns fh_sim_now(const fh_sim *s);
uint64_t fh_sim_stat(const fh_sim *s, int stat);
uint32_t fh_sim_traced(const fh_sim *s);
uint64_t fh_sim_digest(const fh_sim *s); /* of every change of state so far */
int fh_sim_state(const fh_sim *s, uint32_t inst);
int fh_sim_priority(const fh_sim *s, uint32_t inst);
fh_ns fh_sim_master_since(const fh_sim *s, uint32_t inst); /* FH_NEVER: it is none */
uint32_t fh_sim_masters(const fh_sim *s, uint32_t inst);   /* of its virtual router */
int fh_sim_bfd_state(const fh_sim *s, uint32_t session, unsigned end);

#endif
