/* The simulator's rules: what must hold, judged from outside.
 *
 * Rules about moments are judged in the step itself. Rules about time are deadlines in the simulator's own
 * queue: set when a condition begins, cancelled when it ends, broken when they come due. Bounds come from the
 * protocol's numbers (docs/sim.md), never from the machine that is judged. */
#include "fh_sim_int.h"

static fh_ns latest(fh_ns a, fh_ns b) {
    return a > b ? a : b;
}

void fh_sim_break(fh_sim *s, int rule, uint32_t who, fh_ns bound) {
    if (s->broken.rule >= 0 || (s->excused >> rule & 1) != 0) return;
    s->broken = (fh_sim_broken){.at = s->now, .rule = rule, .who = who, .bound = bound};
    fh_sim_note(s, FH_SIM_NOTE_BROKEN, who, 0, rule, 0, bound);
}

/* ------------------------------------------------------------------ bounds */

/* What clocks that run slow make of a span of time. */
static fh_ns stretched(const fh_sim *s, fh_ns span) {
    return s->drift_most == 0
               ? span
               : span + span / 1000000 * (s->drift_most + s->drift_most * s->drift_most / 800000);
}

static fh_ns on_the_way(const fh_sim *s, uint32_t segment) {
    return s->segments[segment]->delay_most + 2 * s->latency_most + SLACK;
}

/* X: the longest that any member waits for adverts that do not come (RFC 9568 6.1: Active_Down_Interval with
 * the longest interval and the lowest priority; RFC 3768's skew is up to a second). */
fh_ns fh_sim_x(const fh_sim_vr *vr) {
    fh_ns skew = vr->v2 ? latest(FH_NS_PER_SEC, vr->interval_most) : vr->interval_most;

    return stretched(vr->sim, vr->adverts_most * vr->interval_most + skew) + on_the_way(vr->sim, vr->segment);
}

/* Y: until the lesser of two masters has heard the greater one. */
static fh_ns bound_y(const fh_sim_vr *vr) {
    return stretched(vr->sim, vr->interval_most) + on_the_way(vr->sim, vr->segment);
}

/* X for a sync group: its slowest member's. */
static fh_ns group_x(const fh_sim_vr *vr) {
    fh_ns most = fh_sim_x(vr);

    for (uint32_t i = 0; vr->gated && i < vr->sim->vr_count; i++)
        most = latest(most, fh_sim_x(vr->sim->vrs[i]));
    return most;
}

/* How long after something happened changes may still come of it. */
fh_ns fh_sim_settling(const fh_sim_vr *vr) {
    return 3 * group_x(vr) + 2 * bound_y(vr) + stretched(vr->sim, vr->preempt_most) + FH_NS_PER_SEC;
}

/* ------------------------------------------------------------------ standing of an instance */

static uint8_t side_of(const fh_sim_inst *si) {
    return si->router->ports[si->port].side;
}

void fh_sim_dirty(fh_sim_vr *vr) {
    if (vr->dirty) return;
    vr->dirty = true;
    vr->next_dirty = vr->sim->dirty;
    vr->sim->dirty = vr;
}

static bool stands(const fh_sim_inst *si) {
    return fh_sim_awake(si->router) && fh_sim_port_up(si->router, si->port);
}

/* Looks at an instance after a step: what others may count on. */
static void look(fh_sim_inst *si) {
    fh_sim *s = si->vr->sim;
    bool here = stands(si);
    bool master = here && si->node.fsm.state == FH_VRRP_MASTER;
    bool eligible = here && si->node.fsm.state == FH_VRRP_BACKUP;

    if (master == (si->master_since != FH_NEVER) && eligible == (si->eligible_since != FH_NEVER) &&
        si->node.fsm.priority == si->priority)
        return;
    if (si->node.fsm.priority != si->priority) si->priority_since = s->now;
    si->priority = si->node.fsm.priority;
    if (master != (si->master_since != FH_NEVER)) si->master_since = master ? s->now : FH_NEVER;
    if (eligible != (si->eligible_since != FH_NEVER)) si->eligible_since = eligible ? s->now : FH_NEVER;
    fh_sim_dirty(si->vr);
    for (uint32_t i = 0; si->group != FH_NO_GROUP && i < si->router->inst_count; i++)
        if (si->router->insts[i]->group == si->group) fh_sim_dirty(si->router->insts[i]->vr);
}

void fh_sim_regard(fh_sim_router *r) {
    for (uint32_t i = 0; i < r->inst_count; i++)
        look(r->insts[i]);
    for (uint32_t i = 0; i < r->session_count; i++)
        fh_sim_pair_look(r->sessions[i]->pair);
}

/* Whether a whole sync group could move, and since when. */
static bool group_ready(const fh_sim_inst *si, fh_ns *since) {
    const fh_sim_router *r = si->router;

    for (uint32_t i = 0; i < r->inst_count; i++) {
        const fh_sim_inst *m = r->insts[i];
        if (m->group != si->group) continue;
        if (m->eligible_since == FH_NEVER && m->master_since == FH_NEVER) return false;
        *since = latest(*since, m->eligible_since != FH_NEVER ? m->eligible_since : m->master_since);
        *since = latest(*since, latest(m->vr->cut_since, m->vr->calm_since));
    }
    return true;
}

/* ------------------------------------------------------------------ rules with time */

static void watch(fh_sim *s, fh_timer *t, fh_ns at) {
    if (at == FH_NEVER)
        fh_timer_cancel(&s->queue, t);
    else if (at != t->at)
        fh_sim_set(s, t, at > s->now ? at : s->now + 1);
}

static bool better(const fh_sim_inst *a, const fh_sim_inst *b) {
    return a->priority > b->priority || (a->priority == b->priority && a->rank > b->rank);
}

static void spans(fh_sim *s, fh_sim_side *d, bool gap, bool twice) {
    if (gap && d->gap_since == FH_NEVER) {
        d->gap_since = s->now;
    } else if (!gap && d->gap_since != FH_NEVER) {
        uint64_t us = (uint64_t)(s->now - d->gap_since) / 1000;
        d->gap_since = FH_NEVER;
        s->stat[FH_SIM_GAPS]++;
        s->stat[FH_SIM_GAP_US] += us;
        if (us > s->stat[FH_SIM_GAP_US_MAX]) s->stat[FH_SIM_GAP_US_MAX] = us;
    }
    if (twice && d->double_since == FH_NEVER) {
        d->double_since = s->now;
        s->stat[FH_SIM_DOUBLE]++;
    } else if (!twice && d->double_since != FH_NEVER) {
        s->stat[FH_SIM_DOUBLE_US] += (uint64_t)(s->now - d->double_since) / 1000;
        d->double_since = FH_NEVER;
    }
}

/* When the side will have been without a master for too long, given that a member that could be one is there.
 */
static fh_ns gap_due(fh_sim *s, fh_sim_side *d) {
    fh_sim_vr *vr = d->vr;
    fh_ns due = FH_NEVER;

    if (vr->forged != 0) return FH_NEVER;
    for (uint32_t i = 0; i < vr->count; i++) {
        const fh_sim_inst *m = vr->members[i];
        if (m->eligible_since == FH_NEVER || side_of(m) != d->side) continue;
        fh_ns since = latest(latest(m->eligible_since, vr->cut_since), d->gap_since), bound = fh_sim_x(vr);
        if (m->group != FH_NO_GROUP) {
            if (s->rough != 0 || !group_ready(m, &since)) continue;
            bound = 3 * group_x(vr);
        }
        if (since + bound < due) {
            due = since + bound;
            d->who_waits = m->index;
        }
    }
    return due;
}

static void recheck_side(fh_sim *s, fh_sim_side *d) {
    fh_sim_vr *vr = d->vr;
    const fh_sim_inst *best = NULL;
    uint32_t masters = 0, eligible = 0;
    fh_ns due = FH_NEVER, higher = FH_NEVER;

    for (uint32_t i = 0; i < vr->count; i++) {
        const fh_sim_inst *m = vr->members[i];
        if (side_of(m) != d->side) continue;
        eligible += m->eligible_since != FH_NEVER;
        if (m->master_since == FH_NEVER) continue;
        masters++;
        if (best == NULL || better(m, best)) best = m;
    }
    spans(s, d, masters == 0 && eligible != 0, masters > 1);
    watch(s, &d->no_master, masters == 0 && eligible != 0 ? gap_due(s, d) : FH_NEVER);

    bool calm = best != NULL && s->segments[vr->segment]->rough == 0 && !vr->mixed;
    for (uint32_t i = 0; calm && i < vr->count; i++) {
        const fh_sim_inst *m = vr->members[i];
        if (side_of(m) != d->side || m == best) continue;
        fh_ns since = latest(latest(best->master_since, best->priority_since),
                             latest(m->priority_since, vr->calm_since));
        if (m->master_since != FH_NEVER) {
            since = latest(since, m->master_since) + bound_y(vr);
            if (since < due) {
                due = since;
                d->who_rivals = m->index;
            }
        } else if (m->eligible_since != FH_NEVER && m->priority > best->priority && m->group == FH_NO_GROUP &&
                   (m->conf[m->which].fsm.preempt || m->priority == 255)) {
            since = latest(since, m->eligible_since) + fh_sim_x(vr);
            if (m->conf[m->which].fsm.preempt_delay != 0)
                since += stretched(s, m->conf[m->which].fsm.preempt_delay) + fh_sim_x(vr);
            if (since < higher) {
                higher = since;
                d->who_higher = m->index;
            }
        }
    }
    watch(s, &d->two, due);
    watch(s, &d->order, higher);
}

void fh_sim_recheck(fh_sim *s) {
    while (s->dirty != NULL) {
        fh_sim_vr *vr = s->dirty;
        s->dirty = vr->next_dirty;
        vr->dirty = false;
        for (unsigned i = 0; i < FH_SIM_SIDES; i++)
            recheck_side(s, &vr->sides[i]);
    }
}

/* ------------------------------------------------------------------ rules of the moment */

static bool undisturbed(const fh_sim_vr *vr) {
    const fh_sim *s = vr->sim;
    fh_ns since = vr->gated ? s->disturbed : vr->disturbed;

    return (vr->gated ? s->active : vr->active) == 0 && s->now - since > fh_sim_settling(vr);
}

static void count_takeover(fh_sim *s, const fh_sim_inst *si) {
    s->stat[FH_SIM_TAKEOVERS]++;
    for (uint32_t i = 0; i < si->vr->count; i++) {
        const fh_sim_inst *m = si->vr->members[i];
        if (m != si && m->master_since != FH_NEVER && side_of(m) == side_of(si) && better(m, si)) {
            s->stat[FH_SIM_FALSE]++;
            return;
        }
    }
}

void fh_sim_changed(fh_sim_inst *si, const fh_event *e) {
    fh_sim *s = si->vr->sim;
    uint8_t old = (uint8_t)e->arg[0], state = (uint8_t)e->arg[1], cause = (uint8_t)e->arg[2];
    const fh_vrrp_params *c = &si->conf[si->which].fsm;

    si->router->touched = true;
    s->stat[FH_SIM_TRANSITIONS]++;
    s->digest =
        (s->digest ^ ((uint64_t)s->now << 8) ^ ((uint64_t)si->index << 4) ^ state) * UINT64_C(0x100000001b3);
    fh_sim_note(s, FH_SIM_NOTE_STATE, si->index, 0, old, state, cause);
    if (old == FH_VRRP_MASTER &&
        (state == FH_VRRP_FAULT || state == FH_VRRP_INIT || state == FH_VRRP_HANDOVER) && !si->goodbye)
        fh_sim_break(s, FH_SIM_GOODBYE, si->index, 0);
    si->goodbye = false;
    if (state == FH_VRRP_MASTER) {
        if (old == FH_VRRP_BACKUP) count_takeover(s, si);
        if (cause == FH_VRRP_WHY_PREEMPT && !c->preempt && c->base_priority != 255)
            fh_sim_break(s, FH_SIM_NEEDLESS, si->index, 0);
    }
    bool flap = (old == FH_VRRP_BACKUP && state == FH_VRRP_MASTER) ||
                (old == FH_VRRP_MASTER && state == FH_VRRP_BACKUP);
    if (flap && undisturbed(si->vr)) fh_sim_break(s, FH_SIM_FLAP, si->index, 0);
    if (state == FH_VRRP_BACKUP) si->learned = cause == FH_VRRP_WHY_HIGHER ? 0 : c->adver_int;
    si->best.until = 0;
    if (state == FH_VRRP_BACKUP && cause == FH_VRRP_WHY_STARTUP) {
        si->best.speaker = 0;
        si->heard_some = false;
    }
}

/* Skew_Time by the texts, from numbers of our own. */
static fh_ns skew(const fh_vrrp_params *c, uint8_t priority, fh_ns interval) {
    return (256 - priority) * (c->version == 2 ? FH_NS_PER_SEC : interval) / 256;
}

static void trust(fh_sim_inst *si, const fh_vrrp_params *c, const fh_vrrp_heard *h, fh_ns rx_time) {
    si->best.src = fh_get32(h->src.b);
    si->best.priority = h->priority;
    si->best.until = rx_time + c->down_adverts * h->interval + skew(c, si->node.fsm.priority, h->interval);
    si->best.unanswered = 0;
}

/* docs/sim.md, "Deviation": whether this is a lesser master, that may not shorten the patience with a better
 * one.
 */
static bool lesser_spoke(fh_sim_inst *si, const fh_vrrp_params *c, const fh_vrrp_heard *h, fh_ns rx_time) {
    uint32_t src = fh_get32(h->src.b);
    bool same = si->best.speaker == src;

    si->best.speaker = src;
    if (c->version != 2 && rx_time < si->best.until && src != si->best.src &&
        (h->priority < si->best.priority || (h->priority == si->best.priority && src < si->best.src))) {
        si->best.unanswered = same ? si->best.unanswered + 1 : 1;
        if (si->best.unanswered < 3) return true;
    }
    trust(si, c, h, rx_time);
    return false;
}

/* RFC 9568 6.4.2 (415) to (450), RFC 3768 6.4.2: what an advert does to a backup's deadline. */
void fh_sim_heard(fh_sim_inst *si, const fh_vrrp_heard *h, fh_ns rx_time, fh_ns now) {
    const fh_vrrp_params *c = &si->conf[si->which].fsm;
    fh_vrrp *v = &si->node.fsm;
    bool backup = v->state == FH_VRRP_BACKUP, preempt = c->preempt || c->base_priority == 255;
    bool master = v->state == FH_VRRP_MASTER;
    uint8_t own = v->priority;
    fh_ns before = v->timer, expected = FH_NEVER;

    si->heard_some = true;
    bool lesser = backup && h->priority != 0 && lesser_spoke(si, c, h, rx_time);

    if (backup && h->priority == 0) {
        if (si->best.src == fh_get32(h->src.b)) si->best.until = 0;
        if (si->learned != 0) expected = rx_time + skew(c, v->priority, si->learned);
    } else if (backup && h->priority < v->priority && preempt) {
        if (c->preempt_delay == 0)
            expected = before;
        else
            si->learned = 0; /* while it waits, the lower master counts as its master, too */
    } else if (lesser) {
        expected =
            latest(before, rx_time + c->down_adverts * h->interval + skew(c, v->priority, h->interval));
    } else if (backup) {
        si->learned = c->version == 2 ? c->adver_int : h->interval;
        expected = rx_time + c->down_adverts * si->learned + skew(c, v->priority, si->learned);
    }
    fh_node_heard(&si->router->node, &si->node, h, rx_time, now);
    if (master && v->state == FH_VRRP_BACKUP &&
        (h->priority < own || (h->priority == own && h->src_order <= 0)))
        fh_sim_break(si->vr->sim, FH_SIM_ORDER, si->index, 0); /* RFC 9568 6.4.3 (725) */
    if (!backup && v->state == FH_VRRP_BACKUP) { /* it yielded: the new master's interval counts */
        si->learned = c->version == 2 ? c->adver_int : h->interval;
        si->best.speaker = fh_get32(h->src.b);
        trust(si, c, h, rx_time);
        return;
    }
    if (!backup || v->state != FH_VRRP_BACKUP || expected == FH_NEVER) return;
    fh_ns off = v->timer - expected;
    if (off < -FH_NS_PER_USEC || off > FH_NS_PER_USEC)
        fh_sim_break(si->vr->sim, FH_SIM_PATIENCE, si->index, expected - rx_time);
    if (si->node.t_proto.at != v->timer) fh_sim_break(si->vr->sim, FH_SIM_TIMER, si->index, 0);
}

static void groups_stand_together(fh_sim *s, fh_sim_router *r) {
    for (uint32_t g = 0; g < r->group_count; g++) {
        uint32_t masters = 0, others = 0, who = 0;
        for (uint32_t i = 0; i < r->inst_count; i++) {
            const fh_sim_inst *m = r->insts[i];
            if (m->group != g) continue;
            masters += m->node.fsm.state == FH_VRRP_MASTER;
            others += m->node.fsm.state != FH_VRRP_MASTER && m->node.fsm.state != FH_VRRP_HANDOVER;
            who = m->index;
        }
        if (masters != 0 && others != 0) fh_sim_break(s, FH_SIM_GROUP, who, 0);
    }
}

/* After a router's step, when all that belongs to it has been done. */
void fh_sim_settle(fh_sim_router *r) {
    fh_sim *s = r->sim;

    r->touched = false;
    for (uint32_t i = 0; i < r->inst_count; i++) {
        fh_sim_inst *si = r->insts[i];
        const fh_vrrp *v = &si->node.fsm;
        si->state = v->state;
        if (si->held != fh_inst_holds(&si->node)) fh_sim_break(s, FH_SIM_HOLDS, si->index, 0);
        bool waits = v->state == FH_VRRP_BACKUP || v->state == FH_VRRP_MASTER || v->state == FH_VRRP_HANDOVER;
        if (waits != (si->node.t_proto.at != FH_NEVER) || (waits && si->node.t_proto.at != v->timer))
            fh_sim_break(s, FH_SIM_TIMER, si->index, 0);
        look(si);
    }
    if (r->group_count != 0) groups_stand_together(s, r);
    for (uint32_t i = 0; i < r->session_count; i++)
        fh_sim_pair_look(r->sessions[i]->pair);
}

/* ------------------------------------------------------------------ BFD */

static fh_ns detect_of(const fh_sim_bs *b) {
    return stretched(b->router->sim, fh_bfd_detect_int(&b->bs.conf->fsm, &b->bs.fsm));
}

static bool pair_up(const fh_sim_bs *b) {
    return fh_sim_awake(b->router) && b->bs.fsm.state == FH_BFD_UP;
}

static bool pair_calm(const fh_sim_pair *p) {
    const fh_sim_bs *a = p->end[0], *b = p->end[1];

    return p->active == 0 && fh_sim_awake(a->router) && fh_sim_awake(b->router) &&
           fh_sim_port_up(a->router, a->port) && fh_sim_port_up(b->router, b->port) &&
           a->router->ports[a->port].side == b->router->ports[b->port].side;
}

static fh_ns transit(const fh_sim_pair *p) {
    return on_the_way(p->sim, p->end[0]->router->ports[p->end[0]->port].segment);
}

/* How long one side may be Up alone. */
static fh_ns alone(const fh_sim_pair *p, const bool *up) {
    const fh_sim_bs *high = p->end[up[0] ? 0 : 1], *low = p->end[up[0] ? 1 : 0];
    /* Who is gone is missed after the detection time. Who is there hears so at once, or finds out itself,
     * and then says so, at the slow rate at worst. */
    fh_ns bound = detect_of(high) + transit(p);

    if (p->sim->latency_most != 0)
        bound += detect_of(high); /* own lateness is no silence of the neighbour's */
    if (fh_sim_awake(low->router))
        bound += detect_of(low) + low->bs.conf->fsm.detect_mult * FH_NS_PER_SEC + transit(p);
    return bound;
}

/* True when there is more time: what waited in a socket may have lengthened the detection time. */
static bool still_in_time(fh_sim_pair *p) {
    bool up[2] = {pair_up(p->end[0]), pair_up(p->end[1])};
    fh_ns until = up[0] == up[1] ? 0 : p->alone_since + alone(p, up);

    if (until > p->sim->now) fh_sim_set(p->sim, &p->one_side, until);
    return until > p->sim->now;
}

void fh_sim_pair_look(fh_sim_pair *p) {
    fh_sim *s = p->sim;
    bool up[2] = {pair_up(p->end[0]), pair_up(p->end[1])};
    bool calm = pair_calm(p);

    if (up[0] == up[1]) {
        fh_timer_cancel(&s->queue, &p->one_side);
    } else if (p->one_side.at == FH_NEVER) {
        const fh_sim_bs *low = p->end[up[0] ? 1 : 0];
        p->alone_since = s->now;
        if (!fh_sim_awake(low->router) || calm) fh_sim_set(s, &p->one_side, s->now + alone(p, up));
    }
    for (unsigned e = 0; e < 2; e++) {
        fh_sim_bs *b = p->end[e];
        bool polls = calm && up[0] && up[1] && b->bs.fsm.poll && b->bs.fsm.poll_sent;
        if (!polls)
            fh_timer_cancel(&s->queue, &b->poll);
        else if (b->poll.at == FH_NEVER || b->poll_at != b->bs.fsm.poll_at) {
            b->poll_at = b->bs.fsm.poll_at;
            fh_sim_set(s, &b->poll,
                       s->now + 3 * stretched(s, fh_bfd_tx_int(&b->bs.conf->fsm, &b->bs.fsm)) +
                           3 * transit(p));
        }
    }
}

void fh_sim_bfd_changed(fh_sim_bs *b, uint8_t old, uint8_t cause, fh_ns detect) {
    fh_sim_pair *p = b->pair;
    fh_sim *s = p->sim;

    s->stat[FH_SIM_BFD_CHANGES]++;
    s->digest = (s->digest ^ ((uint64_t)s->now << 8) ^ ((uint64_t)p->index << 4) ^ b->bs.fsm.state) *
                UINT64_C(0x100000001b3);
    fh_sim_note(s, FH_SIM_NOTE_BFD_STATE, p->index * 2 + b->end, 0, old, b->bs.fsm.state, cause);
    if (old != FH_BFD_UP) return;
    if (cause == FH_BFD_WHY_EXPIRED && detect > 0) {
        fh_ns silent = fh_sim_local(b->router, s->now) - b->last_arrival;
        fh_ns slept = b->router->asleep - b->asleep_then;
        if (silent < detect - FH_NS_PER_USEC ||
            (b->router->slept == 0 && slept > detect && silent - slept < detect / 2))
            fh_sim_break(s, FH_SIM_BFD_ACCUSED, p->index, detect);
    }
    fh_ns settling = 2 * detect + 8 * FH_NS_PER_SEC;
    if (pair_calm(p) && s->now - p->disturbed > settling)
        fh_sim_break(s, FH_SIM_BFD_FLAP, p->index, settling);
}

/* ------------------------------------------------------------------ a deadline of ours has come */

void fh_sim_due(fh_sim *s, fh_timer *t) {
    if (t->kind == KIND_ONE_SIDE) {
        fh_sim_pair *p = FH_TIMER_OWNER(t, fh_sim_pair);
        if (!still_in_time(p)) fh_sim_break(s, FH_SIM_BFD_ONE_SIDE, p->index, 0);
        return;
    }
    if (t->kind == KIND_POLL) {
        const fh_sim_bs *b = FH_TIMER_OWNER(t, fh_sim_bs);
        fh_sim_break(s, FH_SIM_BFD_POLL, b->pair->index, 0);
        return;
    }
    fh_sim_side *d = FH_TIMER_OWNER(t, fh_sim_side);
    if (t->kind == KIND_NO_MASTER)
        fh_sim_break(s, FH_SIM_NO_MASTER, d->who_waits, fh_sim_x(d->vr));
    else if (t->kind == KIND_TWO)
        fh_sim_break(s, FH_SIM_TWO_MASTERS, d->who_rivals, bound_y(d->vr));
    else
        fh_sim_break(s, FH_SIM_ORDER, d->who_higher, fh_sim_x(d->vr));
}
