/* A node: all the virtual routers, sync groups and links of one daemon, and the rules that bind them.
 *
 * This is the engine's logic without its sockets: it holds the timers, runs the state machines, keeps sync
 * groups together, follows links, reckons priorities, schedules announcements and address renewals, counts
 * repairs. What it wants done it asks of an fh_node_io: the engine's sends packets and netlink messages, the
 * simulator's moves a virtual network. It makes no system call, reads no clock and allocates nothing; its
 * owner gives it memory and the time. */
#ifndef FH_NODE_H
#define FH_NODE_H

#include "fh_timer.h"
#include "fh_vrrp_fsm.h"

/* Why an instance may not run, a set of bits. The low ones are the engine's own, the others are told from
 * above. */
enum fh_fault {
    FH_FAULT_LINK = 1 << 0,       /* its own interface is down or gone */
    FH_FAULT_TRACK_LINK = 1 << 1, /* a tracked interface without weight is down */
    FH_FAULT_GROUP = 1 << 2,      /* another member of the sync group is in fault */
    FH_FAULT_REPAIRS = 1 << 3,    /* its addresses were deleted too often */
    FH_FAULT_MAIN = 1 << 4,       /* the main thread is stalled past its limit */
    FH_FAULT_DISABLED = 1 << 8,   /* not started yet, or being stopped */
    FH_FAULT_NO_SOURCE = 1 << 9,  /* no source address for adverts */
    FH_FAULT_SCRIPT = 1 << 10,
    FH_FAULT_FILE = 1 << 11,
    FH_FAULT_PROCESS = 1 << 12,
    FH_FAULT_BFD = 1 << 13,
    FH_FAULT_MAINTENANCE = 1 << 14, /* drained by the operator: handed over gracefully */
    FH_FAULT_CONFIG = 1 << 15,      /* something it needs cannot be made (VMAC, peer list) */
};
#define FH_FAULT_LEAVE (1 << 16) /* with maintenance: leave even if nobody takes over */
#define FH_FAULT_ENGINE                                                                                      \
    (FH_FAULT_LINK | FH_FAULT_TRACK_LINK | FH_FAULT_GROUP | FH_FAULT_REPAIRS | FH_FAULT_MAIN | FH_FAULT_BFD)
/* Faults under which the way out is known to work: leave without a gap. */
#define FH_FAULT_PLANNED (FH_FAULT_MAINTENANCE | FH_FAULT_MAIN | FH_FAULT_LEAVE)

enum fh_event_type {
    FH_EVENT_STATE =
        1, /* arg: old, new, cause, faults; v: decided, deadline, woke, last heard, last own advert */
    FH_EVENT_TIMELINE,   /* v: decided, first advert out, addresses set, first announcement out, all announced
                          */
    FH_EVENT_PRIORITY,   /* arg: old, new */
    FH_EVENT_FAULTS,     /* arg: old mask, new mask */
    FH_EVENT_LOWER_PRIO, /* arg: priority heard; addr: of whom */
    FH_EVENT_STALLED,    /* v: lateness, deadline; arg: state kept or left */
    FH_EVENT_OVERLAP_BEGIN, /* addr: the other master */
    FH_EVENT_OVERLAP_END,   /* v: duration */
    FH_EVENT_DUPLICATE,     /* our own source address was heard */
    FH_EVENT_NEW_MASTER,    /* addr; arg: priority */
    FH_EVENT_PREEMPT_WAIT,  /* v: until */
    FH_EVENT_REPAIRED,      /* an object somebody deleted was put back; arg: item number, repairs in window */
    FH_EVENT_REPAIR_LIMIT,  /* handing over: deleted too often */
    FH_EVENT_REJECT, /* first packet refused for a reason, rate-limited; arg: reason, count; addr: sender */
    FH_EVENT_NOTE,   /* packet processed though it differs; arg: flags; addr: sender */
    FH_EVENT_LINK,   /* inst: ifindex; arg: up */
    FH_EVENT_NETLINK_ERROR, /* arg: errno, item number, adding */
    FH_EVENT_SEND_ERROR,    /* arg: errno, what */
    FH_EVENT_FOREIGN_CLAIM, /* ARP or NA for an address of ours from elsewhere; addr; arg: MAC in two words */
    FH_EVENT_ENGINE_STALL,  /* the engine woke late; v: lateness, suspend */
    FH_EVENT_STOPPED,       /* an instance being stopped has left the network */
    FH_EVENT_RETIRED,       /* v[0]: memory that the engine no longer uses, arg[0]: what kind */
    FH_EVENT_MAIN_STALLED,  /* the main thread missed its heartbeat; arg: 1 lost, 0 back */
    FH_EVENT_SHIELD,        /* junk filter on or off; inst: socket; arg: on, rejected per second */
    FH_EVENT_RESYNC,        /* netlink or event ring overflowed: read everything again; arg: which */
    /* BFD; inst: slot of the session (UINT32_MAX: none), addr: the neighbour */
    FH_EVENT_BFD_STATE,   /* arg: old, new, cause, local diag | remote diag << 8 | remote state << 16;
                             v: decided, deadline (0: not by a timer), woke, last packet received, last sent,
                             detection time */
    FH_EVENT_BFD_GONE,    /* a session being removed has left; its slot is free */
    FH_EVENT_BFD_TIMERS,  /* arg: remote discriminator, remote multiplier, remote min RX, remote min TX in us;
                             v: transmit interval, receive interval, detection time */
    FH_EVENT_BFD_STALLED, /* detection was put off, we had slept; v: slept since its last packet, lateness now
                           */
    FH_EVENT_BFD_REJECT,  /* first packet refused for a reason, rate-limited; arg: reason, count; addr: sender
                           */
    FH_EVENT_BFD_ASKED, /* a neighbour asks for a session (RFC 9468); arg: ifindex, family, its discriminator,
                           multiplier; v: min TX, min RX in us, two halves of the address it sent to */
    FH_EVENT_BFD_SHIELD,     /* inst: family; arg: on, rejected per second, port */
    FH_EVENT_BFD_SEND_ERROR, /* arg: errno */
    FH_EVENT_BFD_DIAG,       /* arg: local diag, remote diag */
    FH_EVENT_ADVERTS_MISSED, /* adverts of the master did not come, but one did in time; arg: how many, how
                                many it takes to be declared dead, its priority; v: gap, interval, what was
                                left */
};

typedef struct {
    fh_ns at;
    uint32_t type; /* enum fh_event_type */
    uint32_t inst; /* slot of the instance, or as the type says */
    uint32_t arg[4];
    int64_t v[6];
    fh_addr addr;
} fh_event;

/* A tracked interface of an instance. */
typedef struct {
    uint32_t ifindex; /* 0 while the interface does not exist: counts as down */
    int16_t weight;   /* 0: down is a fault */
    bool reverse;
} fh_track_link;

/* How an instance announces its addresses (gratuitous ARP, unsolicited NA). */
typedef struct {
    fh_ns second_delay;       /* garp_master_delay; 0: no second round */
    fh_ns lower_second_delay; /* garp_lower_prio_delay */
    fh_ns refresh;            /* garp_master_refresh; 0: never */
    uint8_t repeat;           /* per address and round */
    uint8_t lower_repeat;     /* 0: none */
    uint8_t refresh_repeat;
    bool teach; /* a virtual MAC moves: repeat after 5, 20 and 60 ms, for switches that were taught otherwise
                   meanwhile */
} fh_announce_conf;

/* What the node itself needs to know of an instance's configuration. The engine's and the simulator's own
 * parts follow it in memory; the node never looks there. */
typedef struct {
    fh_vrrp_params fsm;
    fh_announce_conf announce;
    fh_ns renew_int;     /* addresses carry a lifetime: renew this often while master; 0: they do not */
    fh_ns repair_window; /* with repair_limit: more repairs than that within the window, and it hands over */
    uint32_t ifindex;    /* 0 while the interface does not exist; faults unless untracked */
    uint32_t group;      /* slot of the sync group, FH_NO_GROUP */
    uint16_t repair_limit;
    uint16_t tracks; /* number of tracked interfaces */
    bool track_primary;
    const fh_track_link *track;
} fh_inst_conf;

#define FH_NO_GROUP UINT32_MAX

struct fh_node;

/* One virtual router at work. */
typedef struct fh_inst {
    fh_vrrp fsm;
    const fh_inst_conf *conf; /* NULL: free slot */
    fh_timer t_proto;
    fh_timer t_second;  /* second round of announcements */
    fh_timer t_refresh; /* periodic announcements */
    fh_timer t_renew;   /* address lifetimes */
    fh_timer t_repair;  /* end of the repair window, or of the fault it caused */
    fh_ns decided;      /* when the last transition was decided */
    fh_ns deadline;     /* the deadline that led to it */
    uint32_t slot;
    uint32_t faults;    /* enum fh_fault */
    int16_t told_delta; /* priority change told from above (scripts, files, processes) */
    int16_t link_delta; /* from tracked interfaces */
    int16_t bfd_delta;  /* from tracked BFD sessions */
    uint16_t repairs;   /* within the window */
    uint8_t second_repeat;
    uint8_t taught; /* early repetitions of the announcement done (virtual MAC) */
    bool stopping;
    uint8_t shown_state; /* last state told in an event */
} fh_inst;

typedef struct {
    uint32_t *members; /* slots of instances */
    uint32_t count;
    bool used;
} fh_group;

typedef struct {
    uint32_t ifindex; /* 0: free entry */
    bool up;          /* as the instances see it */
    bool pending;     /* what the kernel said last, while a delay runs */
    bool seen_up;
    fh_ns up_delay;
    fh_ns down_delay;
    fh_timer t_delay;
} fh_link;

/* What a node asks of the world. Called in the order in which things are wanted; the engine batches them and
 * keeps that order: adverts first, then addresses, then announcements. */
typedef struct {
    void (*advert)(void *io, fh_inst *inst, uint8_t priority);
    void (*acquire)(void *io, fh_inst *inst);
    /* The next advert follows the addresses, if they are there within `room`; NULL: adverts come first. */
    void (*addresses_first)(void *io, fh_inst *inst, fh_ns room);
    void (*release)(void *io, fh_inst *inst);
    void (*hush)(void *io, fh_inst *inst); /* keep the addresses, but answer no questions for them */
    void (*announce)(void *io, fh_inst *inst, unsigned repeat);
    void (*silence)(void *io, fh_inst *inst); /* drop announcements not yet sent */
    void (*renew)(void *io, fh_inst *inst);   /* refresh the lifetime of the addresses */
    void (*stopped)(void *io, fh_inst *inst); /* an instance that was to stop has left the network */
    void (*event)(void *io, const fh_event *event);
} fh_node_io;

typedef struct fh_node {
    fh_timers timers;
    fh_inst **insts; /* by slot; NULL: free */
    uint32_t inst_slots;
    fh_group *groups;
    uint32_t group_slots;
    fh_link *links;
    uint32_t link_slots;
    const fh_node_io *ops;
    void *io;
    fh_ns woke; /* when the engine woke, for the timeline */
} fh_node;

/* Memory comes from the owner: insts[inst_slots], groups[group_slots], links[link_slots] zeroed, timer slots
 * for five timers an instance and one a link. */
void fh_node_init(fh_node *n, const fh_node_io *ops, void *io);

/* Puts an instance (zeroed memory) at work; it starts in fault FH_FAULT_DISABLED until told otherwise. */
void fh_node_add(fh_node *n, fh_inst *inst, uint32_t slot, const fh_inst_conf *conf, fh_ns now);
/* Replaces the configuration of a running instance; keeps its role. What the change means for installed
 * objects is the caller's business, before or after. */
void fh_node_replace(fh_node *n, fh_inst *inst, const fh_inst_conf *conf, fh_ns now);
/* Takes an instance out: a master says goodbye, gracefully or at once; ops->stopped is called when it is
 * gone. */
void fh_node_stop(fh_node *n, fh_inst *inst, bool graceful, fh_ns now);
/* Forgets an instance that has stopped. */
void fh_node_remove(fh_node *n, fh_inst *inst);
void fh_node_set_group(fh_node *n, uint32_t slot, uint32_t *members, uint32_t count, fh_ns now);

void fh_node_heard(fh_node *n, fh_inst *inst, const fh_vrrp_heard *heard, fh_ns rx_time, fh_ns now);
void fh_node_run_timers(fh_node *n, fh_ns now);
static inline fh_ns fh_node_next(const fh_node *n) {
    return fh_timers_next(&n->timers);
}

/* Faults and priority as told from above; engine faults cannot be set here. */
void fh_node_told(fh_node *n, fh_inst *inst, uint32_t set, uint32_t clear, int delta, fh_ns now);
void fh_node_fault(fh_node *n, fh_inst *inst, uint32_t bit, bool on, fh_ns now);
/* What the tracked BFD sessions say: fault FH_FAULT_BFD, and their share of the priority. */
void fh_node_bfd(fh_node *n, fh_inst *inst, bool fault, int delta, fh_ns now);
/* The path to the current master is dead: take over without waiting. */
void fh_node_takeover(fh_node *n, fh_inst *inst, fh_ns now);
/* Likewise, with the whole sync group (if none of its members is kept from it), and not before delay has
 * passed without an advert. */
void fh_node_takeover_after(fh_node *n, fh_inst *inst, fh_ns delay, fh_ns now);
/* One turn of the owner, in this order: fh_node_woke, read what has arrived, fh_node_expire.
 *
 * The owner has waited for due and woken now. If that is late, masters that overslept step back before
 * anything is read. Gives the lateness, 0 if it woke in time or for something else. */
fh_ns fh_node_woke(fh_node *n, fh_ns due, fh_ns now);
/* If a deadline has passed: reads once more what came in meanwhile (drain: gives all of it to fh_node_heard;
 * false when there was nothing), so that nobody is declared dead before what they sent was read, then runs
 * the timers. Gives their lateness, -1 if none was run. */
fh_ns fh_node_expire(fh_node *n, bool (*drain)(void *io, fh_ns now), void *io, fh_ns now);
#define FH_NODE_LATE (10 * FH_NS_PER_MSEC) /* a wake-up so late is a stall */
/* After a late wake-up, before anything is read: masters that overslept step back, so that they judge what
 * was queued meanwhile as backups. */
void fh_node_overslept(fh_node *n, fh_ns now);
/* The machine slept (suspend, VM pause) on a clock that did not count it: mastership is doubtful, neighbours
 * are not to be accused. */
void fh_node_slept(fh_node *n, fh_ns slept, fh_ns now);
void fh_node_announce_now(fh_node *n, fh_inst *inst);

fh_link *fh_node_link(fh_node *n, uint32_t ifindex);
bool fh_node_link_conf(fh_node *n, uint32_t ifindex, fh_ns up_delay, fh_ns down_delay);
/* What the kernel says of a link. gone: the interface was deleted (no delay then). */
void fh_node_link_state(fh_node *n, uint32_t ifindex, bool up, bool gone, fh_ns now);

/* An object of a master was deleted by somebody: true if it is to be put back (then counted). */
bool fh_node_repair(fh_node *n, fh_inst *inst, uint32_t item, fh_ns now);

static inline bool fh_inst_holds(const fh_inst *inst) {
    return inst->fsm.state == FH_VRRP_MASTER || inst->fsm.state == FH_VRRP_HANDOVER;
}

#endif
