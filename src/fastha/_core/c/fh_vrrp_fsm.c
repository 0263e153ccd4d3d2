#include "fh_vrrp_fsm.h"

#include "fh_break.h"

/* How many times in a row lateness may make a router listen again before it acts after all: a machine that is
 * always late must not leave an address without a master for ever. */
#define MAX_LISTENS 3

/* LESSER. By RFC 9568 6.4.2 a backup takes Active_Adver_Interval and its patience from whatever advert it
 * accepts, also from that of a router which is less than the master (priority, then address) and about to
 * yield to it. Where intervals differ, a slower master that lives then seems to be silent: the backup takes
 * over, and two backups of one priority do so again and again, for ever. So, beyond the RFC, an advert of a
 * lesser router lengthens the patience with a better master that is still believed, but does not shorten it.
 * When the same lesser router has spoken so often and the better one, which would have made it yield, has
 * not, the RFC's rule is back. Between routers of one interval, as the RFCs want them and version 2 enforces,
 * all this makes no difference. */
#define UNANSWERED 3

static const char *const state_names[FH_VRRP_STATES] = {"INIT", "BACKUP", "MASTER", "FAULT", "HANDOVER"};

static const char *const cause_names[FH_VRRP_CAUSES] = {
    "none",
    "startup",
    "owner",
    "master silent",
    "master left",
    "preempted a lower master",
    "higher master heard",
    "fault",
    "shutdown",
    "sync group",
    "engine was stalled",
    "successor heard",
    "no successor heard",
    "master's path is down",
    "maintenance",
};

const char *fh_vrrp_state_name(int state) {
    return state >= 0 && state < FH_VRRP_STATES ? state_names[state] : "?";
}

const char *fh_vrrp_cause_name(int cause) {
    return cause >= 0 && cause < FH_VRRP_CAUSES ? cause_names[cause] : "?";
}

fh_ns fh_vrrp_skew(const fh_vrrp_params *p, uint8_t priority, fh_ns interval) {
    /* RFC 3768 reckons the skew in seconds whatever the interval; version 3 scales it. Multiplying first
     * keeps the fraction: 255 * 40.95 s fits easily into 63 bits. */
    if (FH_BROKEN(FH_BREAK_SKEW)) return 0;
    fh_ns unit = p->version == 2 ? FH_NS_PER_SEC : interval;
    return (256 - priority) * unit / 256;
}

fh_ns fh_vrrp_down(const fh_vrrp_params *p, uint8_t priority, fh_ns interval) {
    return p->down_adverts * interval + fh_vrrp_skew(p, priority, interval);
}

void fh_vrrp_init(const fh_vrrp_params *p, fh_vrrp *v) {
    memset(v, 0, sizeof(*v));
    v->timer = FH_NEVER;
    v->active_int = p->adver_int;
    v->priority = p->base_priority;
}

void fh_vrrp_overlap_told(fh_vrrp *v) {
    v->overlap_start = 0;
    v->overlap_last = 0;
}

static bool is_owner(const fh_vrrp_params *p) {
    return p->base_priority == 255;
}

static void set_timer(fh_vrrp *v, fh_vrrp_actions *a, fh_ns at) {
    if (v->timer != at) {
        v->timer = at;
        a->bits |= FH_VRRP_DO_TIMER;
    }
}

static void set_state(fh_vrrp *v, fh_vrrp_actions *a, uint8_t state, uint8_t cause) {
    v->state = state;
    v->wants_master = false;
    v->best_until = 0;
    a->cause = cause;
    a->bits |= FH_VRRP_DO_STATE;
}

/* Every own advert goes through here, so that last_sent is what the peers last heard of us. */
static void advert(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a, fh_ns now) {
    a->bits |= FH_VRRP_DO_ADVERT;
    v->last_sent = now;
    set_timer(v, a, now + p->adver_int);
}

static uint8_t silent_cause(const fh_vrrp_params *p, const fh_vrrp *v, fh_ns now) {
    if (v->last_heard == 0) return FH_VRRP_WHY_MASTER_SILENT;
    if (v->master_priority == 0) return FH_VRRP_WHY_MASTER_LEFT;
    if (v->master_priority < v->priority && (p->preempt || p->base_priority == 255) &&
        now - v->last_heard < p->down_adverts * v->active_int)
        return FH_VRRP_WHY_PREEMPT;
    return FH_VRRP_WHY_MASTER_SILENT;
}

/* A takeover that nobody is without the address for: a lower master goes on until it hears us, and one that
 * said goodbye answers until then, if it is as considerate as fastha. It is seamless if our addresses are
 * there when our advert is. How long the advert may wait for them: after a goodbye less than what the next
 * lower backup would wait longer than we. Without virtual MACs a leaving fastha answers for a while after it
 * has heard us (linger); then there is no need. */
static fh_ns room_for_addresses(const fh_vrrp_params *p, const fh_vrrp *v, fh_ns now, uint8_t cause) {
    if (v->state != FH_VRRP_BACKUP || cause == FH_VRRP_WHY_TAKEOVER) return 0;
    switch (silent_cause(p, v, now)) {
    case FH_VRRP_WHY_PREEMPT:
        return p->adver_int / 2;
    case FH_VRRP_WHY_MASTER_LEFT:
        return p->linger != 0 || v->priority < 2
                   ? 0
                   : (fh_vrrp_skew(p, (uint8_t)(v->priority - 1), v->active_int) -
                      fh_vrrp_skew(p, v->priority, v->active_int)) /
                         4 * 3;
    default:
        return 0;
    }
}

static void to_master(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a, fh_ns now, uint8_t cause) {
    a->room = room_for_addresses(p, v, now, cause);
    if (a->room != 0) a->bits |= FH_VRRP_DO_ADDRESSES_FIRST;
    set_state(v, a, FH_VRRP_MASTER, cause);
    v->preempt_until = 0;
    v->listens = 0;
    v->answered = 0;
    v->active_int = p->adver_int; /* RFC 9568 6.4.2: as master the local interval counts */
    fh_vrrp_overlap_told(v);
    a->bits |= FH_VRRP_DO_ACQUIRE;
    advert(p, v, a, now);
}

static void to_backup(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a, fh_ns from, uint8_t cause) {
    if (v->state == FH_VRRP_MASTER && !FH_BROKEN(FH_BREAK_RELEASE)) a->bits |= FH_VRRP_DO_RELEASE;
    set_state(v, a, FH_VRRP_BACKUP, cause);
    v->preempt_until = 0;
    set_timer(v, a, from + fh_vrrp_down(p, v->priority, v->active_int));
}

static void end_overlap(fh_vrrp *v, fh_vrrp_actions *a) {
    if (v->overlap_start != 0) a->bits |= FH_VRRP_DO_OVERLAP_END;
}

/* Down timer is over, or the group agreed: become master, or ask. */
static void claim(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a, fh_ns now, uint8_t cause) {
    if (!p->gated) {
        to_master(p, v, a, now, cause);
        return;
    }
    /* keepalived's rule: whoever is first restarts its full down timer until the others want it too */
    v->wants_master = true;
    set_timer(v, a, now + fh_vrrp_down(p, v->priority, v->active_int));
    a->bits |= FH_VRRP_DO_WANT;
}

static void startup(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a, fh_ns now) {
    if (v->state != FH_VRRP_INIT && v->state != FH_VRRP_FAULT && v->state != FH_VRRP_HANDOVER) return;
    /* An owner that is wanted back before its successor was heard has everything still: it goes on. */
    if (v->state == FH_VRRP_HANDOVER && (!is_owner(p) || p->gated)) a->bits |= FH_VRRP_DO_RELEASE;
    v->active_int = p->adver_int;
    v->preempt_until = 0;
    v->last_heard = 0;
    v->listens = 0;
    memset(&v->master_src, 0, sizeof(v->master_src));
    if (is_owner(p) && !p->gated) {
        to_master(p, v, a, now, FH_VRRP_WHY_OWNER); /* RFC 9568 6.4.1 (110) */
        return;
    }
    set_state(v, a, FH_VRRP_BACKUP, FH_VRRP_WHY_STARTUP);
    set_timer(v, a, now + fh_vrrp_down(p, v->priority, v->active_int));
    if (is_owner(p)) {
        v->wants_master = true;
        a->bits |= FH_VRRP_DO_WANT;
    }
}

/* INIT or FAULT, from wherever we are; a master says goodbye first (RFC 9568 6.4.3 (655)). */
static void leave(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a, fh_ns now, bool to_fault,
                  bool graceful, uint8_t cause) {
    uint8_t target = to_fault ? FH_VRRP_FAULT : FH_VRRP_INIT;

    if (v->state == FH_VRRP_HANDOVER) {
        if (graceful) { /* goes on as before, but may end elsewhere */
            v->after_handover = to_fault;
            v->return_alone = false; /* who was being drained and is now to stop does not come back */
            return;
        }
        a->bits |= FH_VRRP_DO_RELEASE;
    } else if (v->state == FH_VRRP_MASTER) {
        if (!FH_BROKEN(FH_BREAK_GOODBYE)) a->bits |= FH_VRRP_DO_ADVERT_ZERO;
        end_overlap(v, a);
        if (graceful) {
            /* A successor waits at most the skew of priority 1; then one advert interval for its advert to
             * come. Until it is heard the addresses go on answering: a planned hand-over loses nothing. */
            set_state(v, a, FH_VRRP_HANDOVER, cause);
            v->last_heard = 0;
            v->return_alone = false;
            a->bits |= FH_VRRP_DO_HUSH;
            v->after_handover = to_fault;
            set_timer(v, a, now + fh_vrrp_skew(p, 1, p->adver_int) + p->adver_int);
            return;
        }
        a->bits |= FH_VRRP_DO_RELEASE;
    } else if (v->state == target) {
        return;
    }
    set_state(v, a, target, cause);
    set_timer(v, a, FH_NEVER);
}

static void end_handover(fh_vrrp *v, fh_vrrp_actions *a, uint8_t cause) {
    a->bits |= FH_VRRP_DO_RELEASE;
    set_state(v, a, v->after_handover ? FH_VRRP_FAULT : FH_VRRP_INIT, cause);
    set_timer(v, a, FH_NEVER);
}

bool fh_vrrp_overslept(const fh_vrrp_params *p, const fh_vrrp *v, fh_ns now) {
    if (v->state != FH_VRRP_MASTER || is_owner(p) || FH_BROKEN(FH_BREAK_STALL)) return false;
    fh_ns patience = p->stall_backup_prio != 0 ? fh_vrrp_down(p, p->stall_backup_prio, p->adver_int)
                                               : p->down_adverts * p->adver_int;
    return now - v->last_sent >= patience;
}

static void timer(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a, fh_ns now) {
    fh_ns due = v->timer;

    if (due == FH_NEVER || now < due) /* an early timer never shortens an interval (VRRP-047) */
        return;
    switch (v->state) {
    case FH_VRRP_BACKUP:
        /* The queues are drained and nobody was heard. If we come half an advert interval late, the machine
         * was asleep, since when nobody knows, and may have lost what the master sent: it does not accuse its
         * neighbour, it listens. */
        if (now - due > v->active_int / 2 && v->listens < MAX_LISTENS && !FH_BROKEN(FH_BREAK_STALL)) {
            v->listens++;
            a->bits |= FH_VRRP_DO_STALLED;
            set_timer(v, a, now + v->active_int + fh_vrrp_skew(p, v->priority, v->active_int));
            return;
        }
        claim(p, v, a, now, silent_cause(p, v, now));
        return;
    case FH_VRRP_MASTER: {
        if (fh_vrrp_overslept(p, v, now)) {
            a->bits |= FH_VRRP_DO_STALLED;
            end_overlap(v, a);
            to_backup(p, v, a, now, FH_VRRP_WHY_STALLED);
            set_timer(v, a, now + p->adver_int + fh_vrrp_skew(p, v->priority, p->adver_int));
            v->listens = MAX_LISTENS; /* having listened once is enough */
            return;
        }
        if (v->overlap_start != 0) {
            if (now - v->overlap_last > v->overlap_int + v->overlap_int / 2) end_overlap(v, a);
            a->bits |=
                FH_VRRP_DO_ANNOUNCE; /* every advert that may end the overlap is followed by announcements */
        }
        a->bits |= FH_VRRP_DO_ADVERT;
        v->last_sent = now;
        /* From the deadline, not from now: the interval does not drift (VRRP-062). */
        set_timer(v, a, now - due < p->adver_int ? due + p->adver_int : now + p->adver_int);
        return;
    }
    case FH_VRRP_HANDOVER:
        if (v->last_heard == 0 && v->return_alone) {
            set_state(v, a, FH_VRRP_MASTER, FH_VRRP_WHY_NO_SUCCESSOR);
            a->bits |= FH_VRRP_DO_ACQUIRE; /* it has everything still; this ends the hush and announces */
            advert(p, v, a, now);
            return;
        }
        end_handover(v, a, v->last_heard != 0 ? FH_VRRP_WHY_SUCCESSOR : FH_VRRP_WHY_NO_SUCCESSOR);
        return;
    default:
        set_timer(v, a, FH_NEVER);
    }
}

static void believe(const fh_vrrp_params *p, fh_vrrp *v, const fh_vrrp_heard *h, fh_ns rx_time) {
    v->best_src = h->src;
    v->best_priority = h->priority;
    v->best_until = rx_time + fh_vrrp_down(p, v->priority, h->interval);
    v->unanswered = 0;
}

/* Whether an advert, of a router that spoke last or not, is of a lesser master than one that is believed
 * alive; who that one is from now on. */
static bool is_lesser(const fh_vrrp_params *p, fh_vrrp *v, const fh_vrrp_heard *h, fh_ns rx_time,
                      bool again) {
    int order = memcmp(&h->src, &v->best_src, sizeof(h->src));
    bool less = h->priority < v->best_priority || (h->priority == v->best_priority && order < 0);

    if (p->version != 2 && rx_time < v->best_until && order != 0 && less && !FH_BROKEN(FH_BREAK_LESSER)) {
        v->unanswered = again ? (uint8_t)(v->unanswered + 1) : 1;
        if (v->unanswered < UNANSWERED) return true;
    }
    believe(p, v, h, rx_time);
    return false;
}

static void heard_in_backup(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a,
                            const fh_vrrp_input *in) {
    const fh_vrrp_heard *h = in->advert;
    bool preempt =
        ((p->preempt && !FH_BROKEN(FH_BREAK_PREEMPT)) || FH_BROKEN(FH_BREAK_NOPREEMPT)) || is_owner(p);

    if (FH_BROKEN(FH_BREAK_ZERO) && h->priority == 0) return;
    if (FH_BROKEN(FH_BREAK_SPEAK) && h->priority < v->priority) a->bits |= FH_VRRP_DO_ADVERT;

    bool again = memcmp(&v->master_src, &h->src, sizeof(h->src)) == 0;
    if (!again && h->priority != 0) {
        v->master_src = h->src;
        a->bits |= FH_VRRP_DO_NEW_MASTER;
    }
    v->last_heard = in->rx_time;
    v->master_priority = h->priority;
    v->listens = 0;

    if (h->priority == 0) { /* RFC 9568 6.4.2 (415): whatever time was left */
        v->wants_master = false;
        if (memcmp(&v->best_src, &h->src, sizeof(h->src)) == 0) v->best_until = 0;
        set_timer(v, a, in->rx_time + fh_vrrp_skew(p, v->priority, v->active_int));
        return;
    }
    bool lesser = is_lesser(p, v, h, in->rx_time, again);
    if (h->priority < v->priority && preempt) {
        if (p->preempt_delay == 0 || is_owner(p)) return; /* (450): discard, the timer runs on */
        if (v->preempt_until == 0) {
            v->preempt_until = in->now + p->preempt_delay;
            a->bits |= FH_VRRP_DO_PREEMPT_WAIT;
        }
        if (in->now >= v->preempt_until) return;
    } else {
        v->preempt_until = 0;
    }
    v->wants_master = false;
    if (lesser) {
        fh_ns at = in->rx_time + fh_vrrp_down(p, v->priority, h->interval);
        if (at > v->timer) set_timer(v, a, at);
        return;
    }
    if (p->version != 2 && !FH_BROKEN(FH_BREAK_LEARN)) v->active_int = h->interval;
    set_timer(v, a, in->rx_time + fh_vrrp_down(p, v->priority, v->active_int));
}

static void heard_in_master(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a,
                            const fh_vrrp_input *in) {
    const fh_vrrp_heard *h = in->advert;

    v->last_heard = in->rx_time;
    if (h->priority == 0) { /* (700): at once, so that other backups stay */
        end_overlap(v, a);
        if (v->overlap_start != 0) a->bits |= FH_VRRP_DO_ANNOUNCE;
        advert(p, v, a, in->now);
        return;
    }
    if (h->priority == v->priority && h->src_order == 0) {
        a->bits |= FH_VRRP_DO_DUPLICATE;
        return;
    }
    int8_t order = FH_BROKEN(FH_BREAK_TIE) ? (int8_t)-h->src_order : h->src_order;
    if ((h->priority > v->priority && !FH_BROKEN(FH_BREAK_YIELD)) ||
        (h->priority == v->priority && order > 0)) {
        end_overlap(v, a);
        if (p->higher_prio_advert) a->bits |= FH_VRRP_DO_ADVERT;
        if (p->version != 2) v->active_int = h->interval;
        v->master_src = h->src;
        v->master_priority = h->priority;
        a->bits |= FH_VRRP_DO_NEW_MASTER;
        to_backup(p, v, a, in->rx_time, FH_VRRP_WHY_HIGHER);
        believe(p, v, h, in->rx_time);
        return;
    }

    /* A second, lower master. RFC 9568 answers at once; two such masters must not answer each other's answers
     * without end, so at most twice an interval. */
    if (v->overlap_start == 0) {
        v->overlap_start = in->rx_time;
        a->bits |= FH_VRRP_DO_OVERLAP_BEGIN;
    }
    v->overlap_last = in->rx_time;
    v->overlap_int = h->interval;
    a->bits |= FH_VRRP_DO_TOLD_LOWER;
    if (v->answered != 0 && in->now - v->answered < p->adver_int / 2) return;
    v->answered = in->now;
    a->bits |= FH_VRRP_DO_ANNOUNCE_LOWER;
    if (!p->lower_prio_no_advert) advert(p, v, a, in->now);
}

static void relearn(const fh_vrrp_params *p, fh_vrrp *v, fh_vrrp_actions *a, fh_ns now) {
    if (v->state == FH_VRRP_MASTER) {
        /* A shorter interval is promised to the peers from the next advert on; send it now. */
        v->active_int = p->adver_int;
        advert(p, v, a, now);
    } else if (v->state == FH_VRRP_BACKUP) {
        fh_ns from = v->last_heard != 0 ? v->last_heard : now;
        if (p->version == 2 || v->last_heard == 0) v->active_int = p->adver_int;
        fh_ns at = from + fh_vrrp_down(p, v->priority, v->active_int);
        /* The adverts of a lower master, that is to be displaced, gave no patience and give none now. */
        if (v->last_heard != 0 && v->master_priority < v->priority && p->preempt && p->preempt_delay == 0 &&
            at > v->timer)
            at = v->timer;
        set_timer(v, a, at > now ? at : now);
    }
}

fh_vrrp_actions fh_vrrp_step(const fh_vrrp_params *p, fh_vrrp *v, const fh_vrrp_input *in) {
    fh_vrrp_actions a = {.old_state = v->state};

    switch (in->event) {
    case FH_VRRP_EV_STARTUP:
        startup(p, v, &a, in->now);
        break;
    case FH_VRRP_EV_SHUTDOWN:
        leave(p, v, &a, in->now, false, p->graceful && !in->arg, FH_VRRP_WHY_SHUTDOWN);
        break;
    case FH_VRRP_EV_FAULT:
        /* To leave only if somebody comes, it must wait whether somebody does, whatever is configured. */
        leave(p, v, &a, in->now, true,
              in->arg == FH_VRRP_LEAVE_TO_SOMEBODY || (p->graceful && in->arg != FH_VRRP_LEAVE_NOW),
              in->arg != FH_VRRP_LEAVE_NOW ? FH_VRRP_WHY_MAINTENANCE : FH_VRRP_WHY_FAULT);
        if (v->state == FH_VRRP_HANDOVER) v->return_alone = in->arg == FH_VRRP_LEAVE_TO_SOMEBODY;
        break;
    case FH_VRRP_EV_TIMER:
        timer(p, v, &a, in->now);
        break;
    case FH_VRRP_EV_ADVERT:
        if (v->state == FH_VRRP_BACKUP)
            heard_in_backup(p, v, &a, in);
        else if (v->state == FH_VRRP_MASTER)
            heard_in_master(p, v, &a, in);
        else if (v->state == FH_VRRP_HANDOVER && in->advert->priority != 0 && in->advert->src_order != 0 &&
                 v->last_heard == 0) {
            v->last_heard = in->rx_time;
            v->master_src = in->advert->src;
            v->master_priority = in->advert->priority;
            set_timer(v, &a, in->now + p->linger);
        }
        break;
    case FH_VRRP_EV_PRIORITY:
        if (is_owner(p) || in->arg == v->priority || in->arg == 0) break;
        if (v->state == FH_VRRP_BACKUP && v->timer != FH_NEVER)
            set_timer(v, &a,
                      v->timer + fh_vrrp_skew(p, in->arg, v->active_int) -
                          fh_vrrp_skew(p, v->priority, v->active_int));
        v->priority = in->arg;
        if (v->state == FH_VRRP_MASTER)
            advert(p, v, &a, in->now); /* peers learn it now, not in an interval */
        break;
    case FH_VRRP_EV_GROUP_MASTER:
        if (v->state == FH_VRRP_BACKUP) to_master(p, v, &a, in->now, FH_VRRP_WHY_GROUP);
        break;
    case FH_VRRP_EV_GROUP_BACKUP:
        if (v->state == FH_VRRP_MASTER) {
            end_overlap(v, &a);
            to_backup(p, v, &a, in->now, FH_VRRP_WHY_GROUP);
        } else if (v->state == FH_VRRP_HANDOVER && in->arg) {
            v->return_alone = false; /* the group has a successor */
        }
        break;
    case FH_VRRP_EV_TAKEOVER:
        if (v->state == FH_VRRP_BACKUP) claim(p, v, &a, in->now, FH_VRRP_WHY_TAKEOVER);
        break;
    case FH_VRRP_EV_RELEARN:
        relearn(p, v, &a, in->now);
        break;
    default:
        break;
    }
    return a;
}
