#include "fh_node.h"

#include "fh_break.h"

static const fh_ns teach_after[] = {5 * FH_NS_PER_MSEC, 20 * FH_NS_PER_MSEC, 60 * FH_NS_PER_MSEC};
#define TEACHINGS (sizeof(teach_after) / sizeof(teach_after[0]))

enum { KIND_PROTO, KIND_SECOND, KIND_REFRESH, KIND_RENEW, KIND_REPAIR, KIND_LINK };

static void apply(fh_node *n, fh_inst *inst, uint8_t event, uint8_t arg, const fh_vrrp_heard *heard,
                  fh_ns rx_time, fh_ns now);

static void tell(fh_node *n, const fh_inst *inst, fh_ns now, fh_event *e) {
    e->at = now;
    e->inst = inst->slot;
    n->ops->event(n->io, e);
}

void fh_node_init(fh_node *n, const fh_node_io *ops, void *io) {
    n->ops = ops;
    n->io = io;
}

/* ------------------------------------------------------------------ sync groups */

static fh_group *group_of(const fh_node *n, const fh_inst *inst) {
    uint32_t slot = inst->conf->group;

    return slot < n->group_slots && n->groups[slot].used ? &n->groups[slot] : NULL;
}

static fh_inst *member(const fh_node *n, const fh_group *g, uint32_t i) {
    return g->members[i] < n->inst_slots ? n->insts[g->members[i]] : NULL;
}

/* All want it, or already have it: then all take over at once. */
static void group_claim(fh_node *n, fh_group *g, fh_ns now) {
    for (uint32_t i = 0; i < g->count; i++) {
        fh_inst *m = member(n, g, i);
        if (FH_BROKEN(FH_BREAK_GROUP_CLAIM)) continue;
        if (m == NULL ||
            !(m->fsm.state == FH_VRRP_MASTER || (m->fsm.state == FH_VRRP_BACKUP && m->fsm.wants_master)))
            return;
    }
    for (uint32_t i = 0; i < g->count; i++)
        if (!FH_BROKEN(FH_BREAK_GROUP_CLAIM) || member(n, g, i)->fsm.wants_master)
            apply(n, member(n, g, i), FH_VRRP_EV_GROUP_MASTER, 0, NULL, 0, now);
}

static void group_yield(fh_node *n, fh_group *g, const fh_inst *first, bool succeeded, fh_ns now) {
    for (uint32_t i = 0; i < g->count; i++) {
        fh_inst *m = member(n, g, i);
        if (m != NULL && m != first && !FH_BROKEN(FH_BREAK_GROUP_YIELD))
            apply(n, m, FH_VRRP_EV_GROUP_BACKUP, succeeded, NULL, 0, now);
    }
}

/* ------------------------------------------------------------------ faults and priority */

/* How an instance leaves, by its faults and those of the group that it stands with. */
static uint8_t way_out(const fh_node *n, const fh_inst *inst) {
    const fh_group *g = group_of(n, inst);
    uint32_t own = inst->faults & ~(uint32_t)FH_FAULT_GROUP;

    if (g != NULL)
        for (uint32_t i = 0; i < g->count; i++) {
            const fh_inst *m = member(n, g, i);
            if (m != NULL) own |= m->faults & ~(uint32_t)FH_FAULT_GROUP;
        }
    if (own == 0 || (own & ~(uint32_t)FH_FAULT_PLANNED) != 0) return FH_VRRP_LEAVE_NOW;
    return own == FH_FAULT_MAINTENANCE ? FH_VRRP_LEAVE_TO_SOMEBODY : FH_VRRP_LEAVE_GRACEFULLY;
}

/* A master that came back from a hand-over that nobody answered: that maintenance ends, or that its group
 * hears of it, is no reason to try again. */
static bool tried_in_vain(const fh_node *n, const fh_inst *inst, uint32_t old) {
    uint32_t fresh = inst->faults & ~old & ~(uint32_t)FH_FAULT_GROUP;

    return inst->fsm.state == FH_VRRP_MASTER && old != 0 && fresh == 0 &&
           way_out(n, inst) == FH_VRRP_LEAVE_TO_SOMEBODY;
}

static void change_faults(fh_node *n, fh_inst *inst, uint32_t faults, fh_ns now) {
    uint32_t old = inst->faults;

    if (old == faults) return;
    inst->faults = faults;
    fh_event e = {.type = FH_EVENT_FAULTS, .arg = {old, faults}};
    tell(n, inst, now, &e);
    if (inst->stopping || ((faults & FH_FAULT_DISABLED) && inst->fsm.state == FH_VRRP_INIT)) return;
    if (faults == 0)
        apply(n, inst, FH_VRRP_EV_STARTUP, 0, NULL, 0, now);
    else if (inst->fsm.state != FH_VRRP_FAULT && !tried_in_vain(n, inst, old))
        apply(n, inst, FH_VRRP_EV_FAULT, way_out(n, inst), NULL, 0, now);
}

/* What keeps an instance's whole group from running. Not having been started yet is no such thing: a group
 * takes over when all its members want to, so nothing is lost by starting them one after the other. */
static bool fails_group(const fh_inst *inst) {
    return (inst->faults & ~(uint32_t)(FH_FAULT_GROUP | FH_FAULT_DISABLED)) != 0;
}

/* Members of a group that are being drained, and to whom nobody has answered yet, all wait as long as the
 * slowest of them: each at its own time, some would be back as masters when others have found a successor, or
 * when the drain is taken back. */
static void wait_together(fh_node *n, const fh_group *g) {
    fh_ns last = 0;

    for (uint32_t i = 0; i < g->count; i++) {
        const fh_inst *m = member(n, g, i);
        if (m == NULL || m->fsm.state != FH_VRRP_HANDOVER) continue;
        if (!m->fsm.return_alone || m->fsm.last_heard != 0) return;
        if (m->fsm.timer > last) last = m->fsm.timer;
    }
    for (uint32_t i = 0; i < g->count; i++) {
        fh_inst *m = member(n, g, i);
        if (m == NULL || m->fsm.state != FH_VRRP_HANDOVER || m->fsm.timer == last) continue;
        m->fsm.timer = last;
        fh_timer_set(&n->timers, &m->t_proto, last);
    }
}

static void group_faults(fh_node *n, const fh_inst *inst, fh_ns now) {
    fh_group *g = group_of(n, inst);

    if (g == NULL) return;
    uint32_t failed = 0; /* members with a fault of their own */
    for (uint32_t i = 0; i < g->count; i++) {
        const fh_inst *m = member(n, g, i);
        failed += m != NULL && fails_group(m);
    }
    for (uint32_t i = 0; i < g->count; i++) {
        fh_inst *m = member(n, g, i);
        if (m == NULL) continue;
        bool own = fails_group(m);
        bool others = failed > (own ? 1U : 0U);
        change_faults(n, m, others ? m->faults | FH_FAULT_GROUP : m->faults & ~(uint32_t)FH_FAULT_GROUP, now);
        /* It had come back, see tried_in_vain, or would when nobody comes: not with a group that has failed.
         */
        bool runs = m->fsm.state == FH_VRRP_BACKUP || fh_inst_holds(m);
        if (m->faults != 0 && runs && !m->stopping && way_out(n, m) != FH_VRRP_LEAVE_TO_SOMEBODY)
            apply(n, m, FH_VRRP_EV_FAULT, way_out(n, m), NULL, 0, now);
    }
    if (!FH_BROKEN(FH_BREAK_GROUP_WAIT)) wait_together(n, g);
}

static void set_faults(fh_node *n, fh_inst *inst, uint32_t faults, fh_ns now) {
    if (faults == inst->faults) return;
    change_faults(n, inst, faults, now);
    group_faults(n, inst, now);
}

static void reckon_priority(fh_node *n, fh_inst *inst, fh_ns now) {
    uint8_t base = inst->conf->fsm.base_priority;
    int sum = base + inst->told_delta + inst->link_delta + inst->bfd_delta;
    uint8_t want = base == 255 ? 255 : (uint8_t)(sum < 1 ? 1 : sum > 254 ? 254 : sum);

    if (want == inst->fsm.priority) return;
    fh_event e = {.type = FH_EVENT_PRIORITY, .arg = {inst->fsm.priority, want}};
    apply(n, inst, FH_VRRP_EV_PRIORITY, want, NULL, 0, now);
    inst->fsm.priority = want; /* an owner that is configured otherwise, and the reverse */
    tell(n, inst, now, &e);    /* last: what is shown follows what is told */
}

/* ------------------------------------------------------------------ doing what the machine says */

static void stop_announcing(fh_node *n, fh_inst *inst) {
    fh_timer_cancel(&n->timers, &inst->t_second);
    fh_timer_cancel(&n->timers, &inst->t_refresh);
    fh_timer_cancel(&n->timers, &inst->t_renew);
    n->ops->silence(n->io, inst);
}

static void second_round(fh_node *n, fh_inst *inst, fh_ns delay, uint8_t repeat, fh_ns now) {
    if (delay == 0 || repeat == 0) return;
    inst->second_repeat = repeat;
    fh_timer_set(&n->timers, &inst->t_second, now + delay);
}

static void announce_lower(fh_node *n, fh_inst *inst, fh_ns now) {
    const fh_announce_conf *c = &inst->conf->announce;

    if (c->lower_repeat == 0) return;
    n->ops->announce(n->io, inst, c->lower_repeat);
    second_round(n, inst, c->lower_second_delay, c->lower_repeat, now);
}

static void perform(fh_node *n, fh_inst *inst, const fh_vrrp_actions *a, const fh_vrrp_heard *heard,
                    fh_ns now) {
    const fh_inst_conf *c = inst->conf;

    if ((a->bits & FH_VRRP_DO_ADDRESSES_FIRST) && n->ops->addresses_first != NULL)
        n->ops->addresses_first(n->io, inst, a->room);
    if (a->bits & FH_VRRP_DO_ADVERT) n->ops->advert(n->io, inst, inst->fsm.priority);
    if (a->bits & FH_VRRP_DO_ADVERT_ZERO) n->ops->advert(n->io, inst, 0);
    if (a->bits & FH_VRRP_DO_ACQUIRE) {
        n->ops->acquire(n->io, inst);
        n->ops->announce(n->io, inst, c->announce.repeat);
        inst->taught = c->announce.teach ? 0 : (uint8_t)TEACHINGS;
        second_round(n, inst, c->announce.second_delay, c->announce.repeat, now);
        if (c->announce.teach) fh_timer_set(&n->timers, &inst->t_second, now + teach_after[0]);
        if (c->announce.refresh != 0) fh_timer_set(&n->timers, &inst->t_refresh, now + c->announce.refresh);
        if (c->renew_int != 0) fh_timer_set(&n->timers, &inst->t_renew, now + c->renew_int);
    }
    if (a->bits & FH_VRRP_DO_HUSH) n->ops->hush(n->io, inst);
    if (a->bits & FH_VRRP_DO_RELEASE) {
        stop_announcing(n, inst);
        n->ops->release(n->io, inst);
    }
    if (a->bits & FH_VRRP_DO_ANNOUNCE_LOWER) {
        fh_group *g = group_of(n, inst);
        announce_lower(n, inst, now);
        for (uint32_t i = 0; g != NULL && i < g->count; i++) {
            fh_inst *m = member(n, g, i);
            if (m != NULL && m != inst && m->fsm.state == FH_VRRP_MASTER) announce_lower(n, m, now);
        }
    } else if ((a->bits & FH_VRRP_DO_ANNOUNCE) && inst->fsm.state == FH_VRRP_MASTER) {
        n->ops->announce(n->io, inst, 1);
    }
    if (a->bits & FH_VRRP_DO_TIMER) {
        fh_ns early = FH_BROKEN(FH_BREAK_EARLY) && inst->fsm.timer != FH_NEVER ? FH_NS_PER_MSEC : 0;
        fh_timer_set(&n->timers, &inst->t_proto, inst->fsm.timer - early);
    }

    if (a->bits & FH_VRRP_DO_STALLED) {
        fh_event e = {.type = FH_EVENT_STALLED,
                      .arg = {a->old_state, inst->fsm.state},
                      .v = {now - inst->deadline, inst->deadline}};
        tell(n, inst, now, &e);
    }
    if ((a->bits & FH_VRRP_DO_OVERLAP_BEGIN) && heard != NULL) {
        fh_event e = {.type = FH_EVENT_OVERLAP_BEGIN, .addr = heard->src, .arg = {heard->priority}};
        tell(n, inst, now, &e);
    }
    if ((a->bits & FH_VRRP_DO_TOLD_LOWER) && heard != NULL) {
        fh_event e = {.type = FH_EVENT_LOWER_PRIO, .addr = heard->src, .arg = {heard->priority}};
        tell(n, inst, now, &e);
    }
    if (a->bits & FH_VRRP_DO_OVERLAP_END) {
        /* Half an interval lies, on average, between the last advert heard and the end of what it stood for.
         */
        fh_event e = {.type = FH_EVENT_OVERLAP_END,
                      .v = {inst->fsm.overlap_last - inst->fsm.overlap_start + inst->fsm.overlap_int / 2}};
        tell(n, inst, now, &e);
        fh_vrrp_overlap_told(&inst->fsm);
        if (inst->fsm.state == FH_VRRP_MASTER) /* the winner announces everything once more, both rounds */
            second_round(n, inst, c->announce.second_delay, c->announce.repeat, now);
    }
    if ((a->bits & FH_VRRP_DO_DUPLICATE) && heard != NULL) {
        fh_event e = {.type = FH_EVENT_DUPLICATE, .addr = heard->src, .arg = {heard->priority}};
        tell(n, inst, now, &e);
    }
    if ((a->bits & FH_VRRP_DO_NEW_MASTER) && heard != NULL) {
        fh_event e = {.type = FH_EVENT_NEW_MASTER, .addr = heard->src, .arg = {heard->priority}};
        tell(n, inst, now, &e);
    }
    if (a->bits & FH_VRRP_DO_PREEMPT_WAIT) {
        fh_event e = {.type = FH_EVENT_PREEMPT_WAIT, .v = {inst->fsm.preempt_until}};
        tell(n, inst, now, &e);
    }
}

static void apply(fh_node *n, fh_inst *inst, uint8_t event, uint8_t arg, const fh_vrrp_heard *heard,
                  fh_ns rx_time, fh_ns now) {
    fh_vrrp_input in = {.now = now, .rx_time = rx_time, .advert = heard, .event = event, .arg = arg};
    fh_ns last_heard = inst->fsm.last_heard;
    fh_ns last_sent = inst->fsm.last_sent;
    fh_vrrp_actions a = fh_vrrp_step(&inst->conf->fsm, &inst->fsm, &in);

    perform(n, inst, &a, heard, now);
    if (a.bits & FH_VRRP_DO_STATE) {
        inst->decided = now;
        fh_event e = {.type = FH_EVENT_STATE,
                      .arg = {a.old_state, inst->fsm.state, a.cause, inst->faults},
                      .v = {now, event == FH_VRRP_EV_TIMER ? inst->deadline : 0, n->woke, last_heard,
                            last_sent, inst->fsm.priority}};
        e.addr = heard != NULL ? heard->src : inst->fsm.master_src;
        inst->shown_state = inst->fsm.state;
        tell(n, inst, now, &e);

        fh_group *g = group_of(n, inst);
        if (g != NULL && a.old_state == FH_VRRP_MASTER && inst->fsm.state == FH_VRRP_BACKUP &&
            a.cause != FH_VRRP_WHY_GROUP)
            group_yield(n, g, inst, a.cause == FH_VRRP_WHY_HIGHER, now);
        if (inst->stopping && inst->fsm.state == FH_VRRP_INIT) n->ops->stopped(n->io, inst);
    }
    if (a.bits & FH_VRRP_DO_WANT) {
        fh_group *g = group_of(n, inst);
        if (g != NULL)
            group_claim(n, g, now);
        else /* its group was dissolved while it waited */
            apply(n, inst, FH_VRRP_EV_GROUP_MASTER, 0, NULL, 0, now);
    }
}

/* ------------------------------------------------------------------ links */

fh_link *fh_node_link(fh_node *n, uint32_t ifindex) {
    for (uint32_t i = 0; i < n->link_slots; i++)
        if (n->links[i].ifindex == ifindex) return &n->links[i];
    return NULL;
}

static fh_link *link_make(fh_node *n, uint32_t ifindex) {
    fh_link *l = fh_node_link(n, ifindex);

    if (l != NULL || ifindex == 0) return l;
    l = fh_node_link(n, 0);
    if (l == NULL) return NULL;
    memset(l, 0, sizeof(*l));
    l->ifindex = ifindex;
    fh_timer_init(&l->t_delay, KIND_LINK, (uint16_t)offsetof(fh_link, t_delay));
    return l;
}

static bool link_up(fh_node *n, uint32_t ifindex) {
    const fh_link *l = ifindex != 0 ? fh_node_link(n, ifindex) : NULL;

    return l != NULL && l->up;
}

static void reckon_links(fh_node *n, fh_inst *inst, fh_ns now) {
    const fh_inst_conf *c = inst->conf;
    uint32_t faults = inst->faults & ~(uint32_t)(FH_FAULT_LINK | FH_FAULT_TRACK_LINK);
    int delta = 0;

    if (c->track_primary && !link_up(n, c->ifindex)) faults |= FH_FAULT_LINK;
    for (unsigned i = 0; i < c->tracks; i++) {
        const fh_track_link *t = &c->track[i];
        bool up = link_up(n, t->ifindex);
        if (t->weight == 0)
            faults |= up == t->reverse ? FH_FAULT_TRACK_LINK : 0;
        else if (up == (t->weight > 0)) /* keepalived: a positive weight counts while up, a negative one
                                           while down; reverse turns the sign, not the moment */
            delta += t->reverse ? -t->weight : t->weight;
    }
    inst->link_delta = (int16_t)(delta < -254 ? -254 : delta > 254 ? 254 : delta);
    set_faults(n, inst, faults, now);
    reckon_priority(n, inst, now);
}

static bool concerns(const fh_inst_conf *c, uint32_t ifindex) {
    if (c->ifindex == ifindex) return true;
    for (unsigned i = 0; i < c->tracks; i++)
        if (c->track[i].ifindex == ifindex) return true;
    return false;
}

static void link_settle(fh_node *n, fh_link *l, bool up, fh_ns now) {
    uint32_t ifindex = l->ifindex;

    fh_timer_cancel(&n->timers, &l->t_delay);
    l->pending = up;
    if (l->up == up) return;
    l->up = up;
    l->seen_up |= up;
    fh_event e = {.at = now, .type = FH_EVENT_LINK, .inst = ifindex, .arg = {up}};
    n->ops->event(n->io, &e);
    for (uint32_t i = 0; i < n->inst_slots; i++)
        if (n->insts[i] != NULL && concerns(n->insts[i]->conf, ifindex)) reckon_links(n, n->insts[i], now);
}

void fh_node_link_state(fh_node *n, uint32_t ifindex, bool up, bool gone, fh_ns now) {
    fh_link *l = gone ? fh_node_link(n, ifindex) : link_make(n, ifindex);

    if (l == NULL || ifindex == 0) return;
    fh_ns delay = up ? l->up_delay : l->down_delay;
    if (gone || delay == 0 || !l->seen_up) {
        link_settle(n, l, up && !gone, now);
        if (gone) l->ifindex = 0;
        return;
    }
    if (up == l->pending && l->t_delay.at != FH_NEVER) return; /* still waiting for the same */
    l->pending = up;
    if (up == l->up)
        fh_timer_cancel(&n->timers, &l->t_delay); /* it came back within the delay: nothing happened */
    else
        fh_timer_set(&n->timers, &l->t_delay, now + delay);
}

bool fh_node_link_conf(fh_node *n, uint32_t ifindex, fh_ns up_delay, fh_ns down_delay) {
    fh_link *l = link_make(n, ifindex);

    if (l == NULL) return false;
    l->up_delay = up_delay;
    l->down_delay = down_delay;
    return true;
}

/* ------------------------------------------------------------------ instances */

void fh_node_add(fh_node *n, fh_inst *inst, uint32_t slot, const fh_inst_conf *conf, fh_ns now) {
    memset(inst, 0, sizeof(*inst));
    inst->slot = slot;
    inst->conf = conf;
    inst->faults = FH_FAULT_DISABLED;
    fh_vrrp_init(&conf->fsm, &inst->fsm);
    fh_timer_init(&inst->t_proto, KIND_PROTO, (uint16_t)offsetof(fh_inst, t_proto));
    fh_timer_init(&inst->t_second, KIND_SECOND, (uint16_t)offsetof(fh_inst, t_second));
    fh_timer_init(&inst->t_refresh, KIND_REFRESH, (uint16_t)offsetof(fh_inst, t_refresh));
    fh_timer_init(&inst->t_renew, KIND_RENEW, (uint16_t)offsetof(fh_inst, t_renew));
    fh_timer_init(&inst->t_repair, KIND_REPAIR, (uint16_t)offsetof(fh_inst, t_repair));
    n->insts[slot] = inst;
    reckon_links(n, inst, now);
    group_faults(n, inst, now);
}

void fh_node_replace(fh_node *n, fh_inst *inst, const fh_inst_conf *conf, fh_ns now) {
    const fh_inst_conf *old = inst->conf;
    bool timing = old->fsm.adver_int != conf->fsm.adver_int || old->fsm.version != conf->fsm.version ||
                  old->fsm.down_adverts != conf->fsm.down_adverts;

    inst->conf = conf;
    if (!conf->fsm.preempt || conf->fsm.preempt_delay == 0) inst->fsm.preempt_until = 0;
    reckon_links(n, inst, now);
    reckon_priority(n, inst, now);
    if (timing) apply(n, inst, FH_VRRP_EV_RELEARN, 0, NULL, 0, now);
    if (fh_inst_holds(inst)) {
        fh_timer_set(&n->timers, &inst->t_renew, conf->renew_int != 0 ? now + conf->renew_int : FH_NEVER);
        if (conf->announce.refresh != old->announce.refresh)
            fh_timer_set(&n->timers, &inst->t_refresh,
                         conf->announce.refresh != 0 ? now + conf->announce.refresh : FH_NEVER);
    }
}

void fh_node_stop(fh_node *n, fh_inst *inst, bool graceful, fh_ns now) {
    bool settled = inst->fsm.state == FH_VRRP_INIT;

    if (inst->stopping && graceful) return;
    inst->stopping = true;
    inst->faults |= FH_FAULT_DISABLED;
    if (settled)
        n->ops->stopped(n->io, inst);
    else
        apply(n, inst, FH_VRRP_EV_SHUTDOWN, !graceful, NULL, 0, now);
}

void fh_node_remove(fh_node *n, fh_inst *inst) {
    stop_announcing(n, inst);
    fh_timer_cancel(&n->timers, &inst->t_proto);
    fh_timer_cancel(&n->timers, &inst->t_repair);
    n->insts[inst->slot] = NULL;
}

void fh_node_set_group(fh_node *n, uint32_t slot, uint32_t *members, uint32_t count, fh_ns now) {
    fh_group *g = &n->groups[slot];

    g->members = members;
    g->count = count;
    g->used = count != 0;
    for (uint32_t i = 0; i < count; i++) {
        fh_inst *m = member(n, g, i);
        if (m != NULL) {
            group_faults(n, m, now);
            break;
        }
    }
}

void fh_node_heard(fh_node *n, fh_inst *inst, const fh_vrrp_heard *heard, fh_ns rx_time, fh_ns now) {
    apply(n, inst, FH_VRRP_EV_ADVERT, 0, heard, rx_time, now);
}

void fh_node_told(fh_node *n, fh_inst *inst, uint32_t set, uint32_t clear, int delta, fh_ns now) {
    uint32_t faults =
        (inst->faults & ~(clear & ~(uint32_t)FH_FAULT_ENGINE)) | (set & ~(uint32_t)FH_FAULT_ENGINE);

    inst->told_delta = (int16_t)(delta < -1000 ? -1000 : delta > 1000 ? 1000 : delta);
    reckon_priority(n, inst, now);
    set_faults(n, inst, faults, now);
}

void fh_node_fault(fh_node *n, fh_inst *inst, uint32_t bit, bool on, fh_ns now) {
    set_faults(n, inst, on ? inst->faults | bit : inst->faults & ~bit, now);
}

void fh_node_takeover(fh_node *n, fh_inst *inst, fh_ns now) {
    inst->deadline = now;
    apply(n, inst, FH_VRRP_EV_TAKEOVER, 0, NULL, 0, now);
}

void fh_node_bfd(fh_node *n, fh_inst *inst, bool fault, int delta, fh_ns now) {
    inst->bfd_delta = (int16_t)(delta < -254 ? -254 : delta > 254 ? 254 : delta);
    reckon_priority(n, inst, now);
    fh_node_fault(n, inst, FH_FAULT_BFD, fault, now);
}

/* A delay is no more than a shorter wait for the master's next advert: one that comes makes all as it was. */
static void takeover_one(fh_node *n, fh_inst *inst, fh_ns delay, fh_ns now) {
    if (inst->fsm.state != FH_VRRP_BACKUP) return;
    if (delay == 0) {
        fh_node_takeover(n, inst, now);
    } else if (inst->fsm.timer > now + delay) {
        inst->fsm.timer = now + delay;
        fh_timer_set(&n->timers, &inst->t_proto, inst->fsm.timer);
    }
}

void fh_node_takeover_after(fh_node *n, fh_inst *inst, fh_ns delay, fh_ns now) {
    fh_group *g = group_of(n, inst);

    if (g == NULL) {
        takeover_one(n, inst, delay, now);
        return;
    }
    for (uint32_t i = 0; i < g->count; i++) {
        const fh_inst *m = member(n, g, i);
        if (m == NULL || (m->fsm.state != FH_VRRP_BACKUP && m->fsm.state != FH_VRRP_MASTER)) return;
    }
    for (uint32_t i = 0; i < g->count; i++)
        takeover_one(n, member(n, g, i), delay, now);
}

fh_ns fh_node_woke(fh_node *n, fh_ns due, fh_ns now) {
    n->woke = now;
    if (due > now) return 0;
    if (now - due > FH_NODE_LATE) fh_node_overslept(n, now);
    return now - due;
}

fh_ns fh_node_expire(fh_node *n, bool (*drain)(void *io, fh_ns now), void *io, fh_ns now) {
    if (fh_node_next(n) > now) return -1;
    for (int rounds = 0; rounds < 4 && !FH_BROKEN(FH_BREAK_DRAIN); rounds++)
        if (!drain(io, now)) break;
    fh_ns due = fh_node_next(n);
    if (due > now) return -1;
    fh_node_run_timers(n, now);
    return now - due;
}

void fh_node_overslept(fh_node *n, fh_ns now) {
    for (uint32_t i = 0; i < n->inst_slots; i++) {
        fh_inst *inst = n->insts[i];
        if (inst == NULL || !fh_vrrp_overslept(&inst->conf->fsm, &inst->fsm, now)) continue;
        inst->deadline = inst->fsm.timer;
        apply(n, inst, FH_VRRP_EV_TIMER, 0, NULL, 0, now);
    }
}

void fh_node_slept(fh_node *n, fh_ns slept, fh_ns now) {
    for (uint32_t i = 0; i < n->inst_slots; i++) {
        fh_inst *inst = n->insts[i];
        if (inst == NULL) continue;
        fh_vrrp *v = &inst->fsm;
        if (v->state == FH_VRRP_MASTER) {
            v->last_sent -= slept;
            v->timer = now; /* the machine itself decides, at once, whether its peers have stopped waiting */
        } else if (v->state == FH_VRRP_BACKUP) {
            fh_ns listen = now + v->active_int + fh_vrrp_skew(&inst->conf->fsm, v->priority, v->active_int);
            if (v->timer < listen) v->timer = listen;
        } else {
            continue;
        }
        fh_timer_set(&n->timers, &inst->t_proto, v->timer);
    }
}

void fh_node_announce_now(fh_node *n, fh_inst *inst) {
    if (inst->fsm.state == FH_VRRP_MASTER) n->ops->announce(n->io, inst, inst->conf->announce.repeat);
}

bool fh_node_repair(fh_node *n, fh_inst *inst, uint32_t item, fh_ns now) {
    const fh_inst_conf *c = inst->conf;

    if (!fh_inst_holds(inst)) return false;
    if (inst->repairs < UINT16_MAX) inst->repairs++;
    if (inst->t_repair.at == FH_NEVER)
        fh_timer_set(&n->timers, &inst->t_repair,
                     now + (c->repair_window != 0 ? c->repair_window : FH_NS_PER_SEC));
    if (c->repair_limit != 0 && inst->repairs > c->repair_limit && inst->fsm.state == FH_VRRP_MASTER) {
        fh_event e = {.type = FH_EVENT_REPAIR_LIMIT, .arg = {item, inst->repairs}};
        tell(n, inst, now, &e);
        fh_timer_set(&n->timers, &inst->t_repair, now + c->repair_window);
        fh_node_fault(n, inst, FH_FAULT_REPAIRS, true, now);
        return false;
    }
    fh_event e = {.type = FH_EVENT_REPAIRED, .arg = {item, inst->repairs}};
    tell(n, inst, now, &e);
    return true;
}

/* ------------------------------------------------------------------ time */

/* Some member of its group has left for good: a successor was heard there. */
static bool group_has_left(const fh_node *n, const fh_inst *inst) {
    const fh_group *g = group_of(n, inst);

    for (uint32_t i = 0; g != NULL && i < g->count; i++) {
        const fh_inst *m = member(n, g, i);
        if (m == NULL || m == inst || m->fsm.state == FH_VRRP_MASTER) continue;
        if (m->fsm.state != FH_VRRP_HANDOVER || m->fsm.last_heard != 0) return true;
    }
    return false;
}

static void run_inst_timer(fh_node *n, fh_inst *inst, uint16_t kind, fh_ns was, fh_ns now) {
    const fh_announce_conf *c = &inst->conf->announce;

    switch (kind) {
    case KIND_PROTO:
        inst->deadline = was;
        /* Who heard no successor returns, but not where the others of its group are gone. */
        if (inst->fsm.state == FH_VRRP_HANDOVER && inst->fsm.return_alone && group_has_left(n, inst))
            inst->fsm.return_alone = false;
        apply(n, inst, FH_VRRP_EV_TIMER, 0, NULL, 0, now);
        break;
    case KIND_SECOND:
        if (inst->fsm.state != FH_VRRP_MASTER) break;
        if (inst->taught < TEACHINGS) {
            n->ops->announce(n->io, inst, 1);
            if (++inst->taught < TEACHINGS)
                fh_timer_set(&n->timers, &inst->t_second, inst->decided + teach_after[inst->taught]);
            else
                second_round(n, inst, c->second_delay, c->repeat, inst->decided);
            break;
        }
        n->ops->announce(n->io, inst, inst->second_repeat);
        break;
    case KIND_REFRESH:
        if (inst->fsm.state == FH_VRRP_MASTER && c->refresh != 0) {
            n->ops->announce(n->io, inst, c->refresh_repeat);
            fh_timer_set(&n->timers, &inst->t_refresh, now + c->refresh);
        }
        break;
    case KIND_RENEW:
        if (fh_inst_holds(inst) && inst->conf->renew_int != 0) {
            n->ops->renew(n->io, inst);
            fh_timer_set(&n->timers, &inst->t_renew, now + inst->conf->renew_int);
        }
        break;
    case KIND_REPAIR:
        inst->repairs = 0;
        fh_node_fault(n, inst, FH_FAULT_REPAIRS, false, now);
        break;
    default:
        break;
    }
}

void fh_node_run_timers(fh_node *n, fh_ns now) {
    fh_ns was = 0;
    fh_timer *t;

    while ((t = fh_timers_pop(&n->timers, now, &was)) != NULL) {
        if (t->kind == KIND_LINK) {
            fh_link *l = FH_TIMER_OWNER(t, fh_link);
            link_settle(n, l, l->pending, now);
        } else {
            run_inst_timer(n, FH_TIMER_OWNER(t, fh_inst), t->kind, was, now);
        }
    }
}
