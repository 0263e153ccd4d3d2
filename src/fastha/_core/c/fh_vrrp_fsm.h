/* The VRRP state machine of one virtual router: RFC 9568 6.4 (version 3), RFC 3768 6.4 (version 2).
 *
 * A pure step function: (parameters, state, input, now) in; changed state and a short list of actions out. No
 * system call, no clock, no allocation. The engine drives it with sockets and timers, the simulator with a
 * virtual clock and network, the tests case by case.
 *
 * What goes beyond the RFCs, each marked where it happens in fh_vrrp_fsm.c:
 *   - FAULT, when the router cannot do its duty (link down, tracked object failed);
 *   - HANDOVER, a master that has said goodbye (priority 0) but goes on answering until its successor is
 * heard;
 *   - sync groups: a gated router asks its group before it becomes master;
 *   - preempt_delay, as keepalived means it;
 *   - a lesser master's interval does not shorten the patience with a better one that was just heard
 * (LESSER);
 *   - lateness: a router that was asleep longer than its peers wait listens before it speaks;
 *   - overlap: how long a second master was heard. */
#ifndef FH_VRRP_FSM_H
#define FH_VRRP_FSM_H

#include "fh_base.h"

enum fh_vrrp_state {
    FH_VRRP_INIT = 0,
    FH_VRRP_BACKUP = 1,
    FH_VRRP_MASTER = 2, /* RFC 9568 says "Active" */
    FH_VRRP_FAULT = 3,
    FH_VRRP_HANDOVER = 4, /* priority 0 is sent, addresses still answer */
    FH_VRRP_STATES
};

/* What the operator configured; constant between reconfigurations. */
typedef struct {
    fh_ns adver_int;       /* Advertisement_Interval */
    fh_ns preempt_delay;   /* wait before displacing a lower master; 0: none */
    uint8_t version;       /* 2 or 3 */
    uint8_t base_priority; /* 1-255; 255 is the address owner */
    uint8_t down_adverts;  /* missed adverts before taking over, 3 in the RFCs */
    bool preempt;
    bool lower_prio_no_advert; /* do not answer a lower master's advert (RFC 3768, 5798 and strict mode) */
    bool higher_prio_advert;   /* one last advert before yielding to a higher master */
    fh_ns linger;  /* graceful: how long after the successor's first advert the addresses still answer; see
                      LINGER */
    bool graceful; /* a planned hand-over goes on answering until the successor is heard */
    bool gated;    /* in a sync group: ask before becoming master */
    uint8_t stall_backup_prio; /* keepalived's timer_expired_backup: patience is reckoned for this peer
                                  priority */
} fh_vrrp_params;

/* What changes while it runs. Zero-initialise, then fh_vrrp_init. */
typedef struct {
    fh_ns timer;         /* absolute deadline of the only protocol timer, FH_NEVER when none */
    fh_ns active_int;    /* Active_Adver_Interval: learned from the master in version 3 */
    fh_ns preempt_until; /* preempt_delay runs until then; 0: not running */
    fh_ns last_sent;     /* last advert of ours that left, 0: none since becoming master */
    fh_ns last_heard;    /* last accepted or discarded-as-lower advert of another router */
    fh_ns answered;      /* last immediate answer to a lower master (rate limit) */
    fh_ns overlap_start; /* first advert of a second master while we were master; 0: no overlap */
    fh_ns overlap_last;
    fh_ns overlap_int;  /* the interval that the second master advertises */
    fh_addr master_src; /* who is master, while backup: who spoke last */
    fh_ns best_until;   /* backup: the best master heard is believed alive until then, 0: none; see LESSER */
    fh_addr best_src;
    uint8_t state;    /* enum fh_vrrp_state */
    uint8_t priority; /* effective priority, 1-254, or 255 for an owner */
    uint8_t master_priority;
    bool wants_master; /* gated: our down timer ran out, the group decides */
    bool return_alone; /* HANDOVER: nobody came, so be master again rather than leave the address to nobody */
    bool after_handover; /* HANDOVER ends in FAULT (true) or INIT (false) */
    uint8_t listens;     /* times in a row that lateness made us listen again */
    uint8_t best_priority;
    uint8_t unanswered; /* adverts of one lesser master since the best one spoke */
} fh_vrrp;

enum fh_vrrp_event {
    FH_VRRP_EV_STARTUP,  /* all is in place: leave INIT or FAULT */
    FH_VRRP_EV_SHUTDOWN, /* administrative stop; arg: true = immediate, no graceful hand-over */
    FH_VRRP_EV_FAULT,    /* cannot do its duty; arg: FH_VRRP_LEAVE_* */
    FH_VRRP_EV_TIMER,    /* the deadline in timer has passed and the receive queues are drained */
    FH_VRRP_EV_ADVERT,
    FH_VRRP_EV_PRIORITY,     /* effective priority changed; arg: the new one */
    FH_VRRP_EV_GROUP_MASTER, /* every member of the sync group wants it */
    FH_VRRP_EV_GROUP_BACKUP, /* another member yielded; arg: to another router, not because it was asleep */
    FH_VRRP_EV_TAKEOVER,     /* the path to the master is known dead (BFD): do not wait for the timer */
    FH_VRRP_EV_RELEARN,      /* parameters were replaced while running */
};

/* How a fault makes a master leave. */
enum {
    FH_VRRP_LEAVE_NOW,
    FH_VRRP_LEAVE_GRACEFULLY,
    FH_VRRP_LEAVE_TO_SOMEBODY /* gracefully, and only if somebody comes */
};

/* An advert that passed every receive check. */
typedef struct {
    fh_ns interval; /* what the sender advertises */
    fh_addr src;
    int8_t src_order; /* sender's address against ours, unsigned in network order: -1, 0, 1 */
    uint8_t priority;
} fh_vrrp_heard;

typedef struct {
    fh_ns now;
    fh_ns rx_time; /* ADVERT: when the kernel received it, at most now */
    const fh_vrrp_heard *advert;
    uint8_t event; /* enum fh_vrrp_event */
    uint8_t arg;
} fh_vrrp_input;

/* What is to be done, in this order. A set of bits, so that there is nothing to overflow and nothing to
 * order. */
enum fh_vrrp_action {
    FH_VRRP_DO_ADVERT = 1 << 0,         /* send an advert with our priority */
    FH_VRRP_DO_ADVERT_ZERO = 1 << 1,    /* send an advert with priority 0 */
    FH_VRRP_DO_ACQUIRE = 1 << 2,        /* install addresses, then announce them (first and second round) */
    FH_VRRP_DO_RELEASE = 1 << 3,        /* remove addresses, stop announcing */
    FH_VRRP_DO_ANNOUNCE_LOWER = 1 << 4, /* announce again: a lower master was heard */
    FH_VRRP_DO_ANNOUNCE = 1 << 5,       /* announce again: an overlap of masters goes on or has ended */
    FH_VRRP_DO_TIMER = 1 << 6,          /* the timer changed */
    FH_VRRP_DO_STATE = 1 << 7,          /* the state changed */
    FH_VRRP_DO_WANT = 1 << 8,           /* gated: ask the group */
    FH_VRRP_DO_TOLD_LOWER = 1 << 9,     /* tell the operator: master received a lower priority */
    FH_VRRP_DO_STALLED = 1 << 10,       /* tell the operator: we were late and listen first */
    FH_VRRP_DO_OVERLAP_BEGIN = 1 << 11,
    FH_VRRP_DO_OVERLAP_END =
        1 << 12, /* overlap_start and overlap_last still hold; caller clears with fh_vrrp_overlap_told */
    FH_VRRP_DO_DUPLICATE = 1 << 13,    /* our own address sent an advert: loop or duplicate address */
    FH_VRRP_DO_NEW_MASTER = 1 << 14,   /* while backup, another router is master now */
    FH_VRRP_DO_PREEMPT_WAIT = 1 << 15, /* preempt_delay started */
    FH_VRRP_DO_HUSH =
        1 << 16, /* hand-over begins: go on receiving, but answer no more questions for the address */
    FH_VRRP_DO_ADDRESSES_FIRST =
        1 << 17, /* with ADVERT and ACQUIRE: somebody still answers, so be able to before taking over */
};

/* Why a transition happened, for the timeline. */
enum fh_vrrp_cause {
    FH_VRRP_WHY_NONE = 0,
    FH_VRRP_WHY_STARTUP,
    FH_VRRP_WHY_OWNER,
    FH_VRRP_WHY_MASTER_SILENT, /* master-down interval over */
    FH_VRRP_WHY_MASTER_LEFT,   /* it sent priority 0 */
    FH_VRRP_WHY_PREEMPT,       /* a lower master was displaced */
    FH_VRRP_WHY_HIGHER,        /* a higher (or equal with greater address) master was heard */
    FH_VRRP_WHY_FAULT,
    FH_VRRP_WHY_SHUTDOWN,
    FH_VRRP_WHY_GROUP,        /* the sync group moved */
    FH_VRRP_WHY_STALLED,      /* we were asleep */
    FH_VRRP_WHY_SUCCESSOR,    /* handed over: the successor was heard */
    FH_VRRP_WHY_NO_SUCCESSOR, /* handed over: nobody came in time */
    FH_VRRP_WHY_TAKEOVER,     /* BFD says the master's path is dead */
    FH_VRRP_WHY_MAINTENANCE,
    FH_VRRP_CAUSES
};

typedef struct {
    uint32_t bits; /* FH_VRRP_DO_* */
    uint8_t cause; /* enum fh_vrrp_cause, when DO_STATE is set */
    uint8_t old_state;
    fh_ns room; /* ADDRESSES_FIRST: so long may the advert wait for them */
} fh_vrrp_actions;

/* Skew_Time for a priority at an advert interval: exact fractions (RFC 9568 6.1; version 2 uses whole
 * seconds). */
fh_ns fh_vrrp_skew(const fh_vrrp_params *p, uint8_t priority, fh_ns interval);
/* Active_Down_Interval: down_adverts missed adverts plus the skew. */
fh_ns fh_vrrp_down(const fh_vrrp_params *p, uint8_t priority, fh_ns interval);

void fh_vrrp_init(const fh_vrrp_params *p, fh_vrrp *v);
/* Whether a master has been silent longer than its most eager peer waits: then it must not speak before it
 * has listened, and not judge what was queued meanwhile as if it were still master. */
bool fh_vrrp_overslept(const fh_vrrp_params *p, const fh_vrrp *v, fh_ns now);
fh_vrrp_actions fh_vrrp_step(const fh_vrrp_params *p, fh_vrrp *v, const fh_vrrp_input *in);
void fh_vrrp_overlap_told(fh_vrrp *v);

const char *fh_vrrp_state_name(int state);
const char *fh_vrrp_cause_name(int cause);

#endif
