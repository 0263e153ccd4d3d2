/* The simulator's faults: what begins and ends when, and what may change because of it.
 *
 * A fault disturbs the virtual routers whose master it may move; the rule "flap" judges those that nothing
 * has disturbed. Loss, one-way links and forged adverts make a segment rough: while they last, rules that
 * need both sides to hear one another are not judged. */
#include "fh_sim_int.h"

void fh_sim_disturb(fh_sim_vr *vr) {
    vr->disturbed = vr->sim->disturbed = vr->sim->now;
}

static bool settled(const fh_sim_vr *vr) {
    fh_ns since = vr->gated ? vr->sim->disturbed : vr->disturbed;
    uint32_t active = vr->gated ? vr->sim->active : vr->active;

    return active == 0 && vr->sim->now - since > fh_sim_settling(vr);
}

static void stir(fh_sim_vr *vr, int by) {
    vr->active = (uint32_t)((int64_t)vr->active + by);
    vr->sim->active = (uint32_t)((int64_t)vr->sim->active + by);
    fh_sim_disturb(vr);
}

static void stir_segment(fh_sim *s, uint32_t segment, int by) {
    for (uint32_t i = 0; i < s->segments[segment]->vr_count; i++)
        stir(s->segments[segment]->vrs[i], by);
    for (uint32_t i = 0; i < s->pair_count; i++) {
        fh_sim_pair *p = s->pairs[i];
        if (p->end[0]->router->ports[p->end[0]->port].segment != segment) continue;
        p->active = (uint32_t)((int64_t)p->active + by);
        p->disturbed = s->now;
    }
}

/* Who hears whom has changed in a segment. */
static void cut(fh_sim *s, uint32_t segment) {
    s->calm_since = s->now;
    for (uint32_t i = 0; i < s->vr_count; i++)
        fh_sim_dirty(s->vrs[i]); /* groups span segments */
    for (uint32_t i = 0; i < s->segments[segment]->vr_count; i++) {
        fh_sim_vr *vr = s->segments[segment]->vrs[i];
        vr->cut_since = vr->calm_since = s->now;
        fh_sim_disturb(vr);
        fh_sim_dirty(vr);
    }
    for (uint32_t i = 0; i < s->pair_count; i++) {
        fh_sim_pair *p = s->pairs[i];
        if (p->end[0]->router->ports[p->end[0]->port].segment != segment) continue;
        p->calm_since = p->disturbed = s->now;
        fh_sim_pair_look(p);
    }
}

static void rough(fh_sim *s, uint32_t segment, bool on) {
    fh_sim_segment *g = s->segments[segment];

    g->rough += on ? 1U : UINT32_MAX;
    s->rough += on ? 1U : UINT32_MAX;
    stir_segment(s, segment, on ? 1 : -1);
    cut(s, segment);
}

/* The pairs of a router cannot be judged while it is away, and for a while after. */
static void stir_pairs(fh_sim_router *r, int by) {
    for (uint32_t i = 0; i < r->session_count; i++) {
        fh_sim_pair *p = r->sessions[i]->pair;
        p->active = (uint32_t)((int64_t)p->active + by);
        p->disturbed = r->sim->now;
    }
}

/* Something takes a router, or one of its ports, from the network for a time. Where it was no more than a
 * settled backup nobody has cause to change, neither now nor when it is back, unless it can displace the
 * master. */
static bool concerns_others(const fh_sim_inst *si) {
    return si->state != FH_VRRP_BACKUP || !settled(si->vr);
}

static void away(fh_sim_router *r, unsigned port, bool back, bool returns_new) {
    for (uint32_t i = 0; i < r->inst_count; i++) {
        fh_sim_inst *si = r->insts[i];
        if (port != FH_SIM_PORTS && si->port != port && si->group == FH_NO_GROUP) continue;
        if (concerns_others(si) || (back && (returns_new || si->vr->disturbed >= r->paused_at)))
            fh_sim_disturb(si->vr);
    }
}

/* A machine that stood still notices it by a deadline that has passed by half an interval, or by its clocks.
 * If not, what it missed meanwhile counts against its neighbour. So it does when packets from before wait. */
static void unnoticed(fh_sim_router *r) {
    bool mixed = r->mixed;

    r->mixed = false;
    if (!mixed && (!r->missed || r->slept != 0)) return;
    r->missed = false;
    for (uint32_t i = 0; i < r->inst_count; i++) {
        fh_sim_inst *si = r->insts[i];
        const fh_vrrp *v = &si->node.fsm;
        if (v->state == FH_VRRP_BACKUP &&
            (mixed || fh_sim_local(r, r->sim->now) - v->timer <= v->active_int / 2 + SLACK))
            fh_sim_disturb(si->vr);
    }
}

static void carry_on(fh_sim_router *r) {
    fh_sim *s = r->sim;

    if (r->paused != 0 || !r->started || r->dead != 0) return;
    unnoticed(r);
    if (r->slept == 0)
        r->asleep += fh_sim_local(r, s->now) - r->stood_at; /* by its own clock, which drifts */
    away(r, FH_SIM_PORTS, true, false);
    fh_sim_regard(r);
    fh_sim_set(s, &r->wake,
               s->now + 1 + (r->latency != 0 ? (fh_ns)(fh_sim_random(s) % (uint64_t)r->latency) : 0));
}

static void stand_still(fh_sim_router *r) {
    if (r->paused++ != 0) return;
    r->paused_at = r->sim->now;
    r->stood_at = fh_sim_local(r, r->sim->now);
    away(r, FH_SIM_PORTS, false, false);
    fh_timer_cancel(&r->sim->queue, &r->wake);
    fh_sim_regard(r);
}

static void want(fh_sim_router *r) {
    r->wanted = true;
    if (fh_sim_awake(r)) fh_sim_set(r->sim, &r->wake, r->sim->now + 1);
}

void fh_sim_wanted(fh_sim_router *r, fh_ns now) {
    r->wanted = false;
    r->touched = true;
    r->sim->stat[FH_SIM_EVENTS]++;
    for (unsigned i = 0; i < r->port_count; i++) {
        fh_sim_port *p = &r->ports[i];
        if (p->told_up == (p->down == 0)) continue;
        p->told_up = p->down == 0;
        fh_node_link_state(&r->node, i + 1, p->told_up, false, now);
    }
    for (uint32_t i = 0; i < r->inst_count; i++) {
        fh_sim_inst *si = r->insts[i];
        if (si->reload) {
            si->which ^= 1;
            si->reload = false;
            if (si->conf[0].fsm.adver_int != si->conf[1].fsm.adver_int) {
                si->learned = 0;
                /* who has not heard anybody yet waits anew, by the new interval */
                if (!si->heard_some && si->eligible_since != FH_NEVER) si->eligible_since = r->sim->now;
                fh_sim_dirty(si->vr);
            }
            fh_node_replace(&r->node, &si->node, &si->conf[si->which], now);
        }
        bool in_maintenance = (si->node.faults & FH_FAULT_MAINTENANCE) != 0;
        if (in_maintenance != si->maintenance || si->node.told_delta != si->delta)
            fh_node_told(&r->node, &si->node, si->maintenance ? FH_FAULT_MAINTENANCE : 0,
                         si->maintenance ? 0 : FH_FAULT_MAINTENANCE, si->delta, now);
        if (r->stopping && !si->node.stopping) fh_node_stop(&r->node, &si->node, true, now);
    }
    for (uint32_t i = 0; i < r->session_count; i++) {
        fh_sim_bs *b = r->sessions[i];
        if (b->reload) {
            b->which ^= 1;
            b->reload = false;
            fh_timer_cancel(&r->sim->queue, &b->pair->one_side); /* other bounds from now on */
            fh_bfd_node_replace(&r->bfd, &b->bs, &b->conf[b->which], now);
        }
        if (b->admin != (b->bs.fsm.state == FH_BFD_ADMIN_DOWN))
            fh_bfd_node_input(&r->bfd, &b->bs, b->admin ? FH_BFD_EV_ADMIN_DOWN : FH_BFD_EV_ADMIN_UP,
                              FH_BFD_DIAG_ADMIN_DOWN, now);
    }
}

/* The configuration that is to come, a copy of the one in force unless another reload waits already. */
static fh_inst_conf *next_conf(fh_sim_inst *si) {
    fh_inst_conf *next = &si->conf[1 - si->which];

    if (!si->reload) *next = si->conf[si->which];
    si->reload = true;
    return next;
}

/* ------------------------------------------------------------------ one function for each family */

static void on_segment(fh_sim *s, fh_sim_fault *f, bool on) {
    fh_sim_segment *g = s->segments[f->target];
    int64_t sign = on ? 1 : -1;
    fh_ns a_ns = f->a * 1000, least = FH_NEVER;

    for (uint32_t i = 0; i < s->inst_count; i++) {
        const fh_sim_inst *si = s->insts[i];
        for (unsigned k = 0; k < 2; k++)
            if (si->conf[k].fsm.adver_int != 0 && si->conf[k].fsm.adver_int < least)
                least = si->conf[k].fsm.adver_int;
    }
    switch (f->kind) {
    case FH_SIM_LOSS:
        g->loss += sign * f->a;
        rough(s, f->target, on);
        return;
    case FH_SIM_BURST:
        if (on) {
            g->burst = a_ns;
            g->burst_every = f->b * 1000;
            g->burst_toggle = s->now;
            g->in_burst = false;
        } else {
            g->burst_toggle = FH_NEVER;
            g->in_burst = false;
        }
        rough(s, f->target, on);
        return;
    case FH_SIM_DELAY:
        g->delay += sign * a_ns;
        if (on) g->delay_most += a_ns; /* delays add up */
        break;
    case FH_SIM_JITTER:
        g->jitter += sign * a_ns;
        if (on) g->delay_most += a_ns;
        break;
    case FH_SIM_REORDER:
        g->reorder += sign * f->a;
        g->held_back = f->b * 1000;
        if (on) g->delay_most += g->held_back;
        a_ns = g->held_back;
        break;
    default:
        g->duplicate += sign * f->a;
        a_ns = 0;
        break;
    }
    fh_sim_plain(g);
    for (uint32_t i = 0; i < g->vr_count; i++)
        fh_sim_dirty(g->vrs[i]); /* bounds have changed */
    /* Late packets move nothing as long as they come within half an interval. For BFD that is already too
     * late. */
    if (on) f->counted = a_ns >= least / 2 || s->pair_count != 0;
    if (f->counted) stir_segment(s, f->target, on ? 1 : -1);
}

static void partition(fh_sim *s, const fh_sim_fault *f, bool on) {
    for (uint32_t i = 0; i < s->router_count; i++) {
        fh_sim_router *r = s->routers[i];
        if (((uint64_t)f->a >> (i % 60) & 1) == 0) continue;
        for (unsigned k = 0; k < r->port_count; k++)
            if (r->ports[k].segment == f->target) r->ports[k].side = on ? 1 : 0;
    }
    s->rough += on ? 1U : UINT32_MAX; /* groups span segments: theirs cannot be judged meanwhile */
    cut(s, f->target);
}

static void take_down(fh_sim *s, fh_sim_router *r) {
    fh_sim_halt(r);
    fh_sim_regard(r);
    (void)s;
}

static void on_router(fh_sim *s, fh_sim_fault *f, bool on) {
    fh_sim_router *r = s->routers[f->target];
    fh_sim_port *p = &r->ports[f->b >= 0 && f->b < FH_SIM_PORTS ? f->b : 0];

    switch (f->kind) {
    case FH_SIM_MUTE:
    case FH_SIM_DEAF: {
        uint8_t *count = f->kind == FH_SIM_MUTE ? &p->mute : &p->deaf;
        *count = (uint8_t)(*count + (on ? 1 : -1));
        rough(s, p->segment, on);
        break;
    }
    case FH_SIM_CRASH:
    case FH_SIM_STOP:
        if (on) {
            if (f->kind == FH_SIM_STOP && fh_sim_awake(r)) {
                away(r, FH_SIM_PORTS, false, false);
                stir_pairs(r, 1);
                r->stopping = true;
                want(r);
                break;
            }
            stir_pairs(r, 1);
            away(r, FH_SIM_PORTS, false, false);
            if (r->dead++ == 0 && r->started) take_down(s, r);
            f->counted = true;
            break;
        }
        stir_pairs(r, -1);
        if (!f->counted) {
            if (r->started && r->dead == 0 && r->stopping) take_down(s, r);
        } else {
            r->dead--;
        }
        if (r->dead != 0 || r->started) break;
        away(r, FH_SIM_PORTS, true, true);
        if (r->paused == 0) fh_sim_set(s, &r->wake, s->now + 1);
        break;
    case FH_SIM_PAUSE:
    case FH_SIM_FREEZE:
    case FH_SIM_SLEEP:
        stir_pairs(r, on ? 1 : -1);
        if (on) {
            stand_still(r);
            r->frozen = (uint8_t)(r->frozen + (f->kind != FH_SIM_PAUSE));
            r->missed |= r->frozen != 0;
            /* in its sockets: what came in a pause before, or what it was about to read, being late */
            r->mixed |= r->frozen != 0 && (r->frozen != r->paused || r->inbox != NULL);
            f->counted = f->kind == FH_SIM_SLEEP && r->paused == 1 && r->started;
            break;
        }
        if (f->counted && r->started && r->paused == 1) { /* its clock goes on where it stood */
            r->slept += fh_sim_local(r, s->now) - r->stood_at;
            r->l0 = r->stood_at;
            r->g0 = s->now;
        }
        r->frozen = (uint8_t)(r->frozen - (f->kind != FH_SIM_PAUSE));
        r->paused--;
        if (r->paused == 0 && !r->started && r->dead == 0)
            fh_sim_set(s, &r->wake, s->now + 1);
        else
            carry_on(r);
        break;
    case FH_SIM_DRIFT:
        fh_sim_set_clock(r, on ? f->a : 0);
        if (r->started) fh_sim_set(s, &r->wake, s->now + 1);
        break;
    case FH_SIM_LATE:
        r->latency = on ? f->a * 1000 : 0;
        if (r->latency > s->latency_most) s->latency_most = r->latency;
        for (uint32_t i = 0; i < s->pair_count; i++) { /* bounds have changed */
            fh_timer_cancel(&s->queue, &s->pairs[i]->one_side);
            fh_sim_pair_look(s->pairs[i]);
        }
        stir_pairs(r, on ? 1 : -1);
        /* late by more than a BFD neighbour waits: that one may well take over */
        for (uint32_t i = 0; r->session_count != 0 && i < r->inst_count; i++)
            stir(r->insts[i]->vr, on ? 1 : -1);
        break;
    default: /* FH_SIM_LINK */
        stir_pairs(r, on ? 1 : -1);
        away(r, (unsigned)f->b, !on, !on);
        p->down = (uint8_t)(p->down + (on ? 1 : -1));
        want(r);
        fh_sim_regard(r);
        break;
    }
}

static void forge(fh_sim *s, fh_sim_fault *f, fh_sim_vr *vr) {
    fh_ns interval = f->b * 1000;

    if (s->now < f->until) {
        fh_sim_forge(s, vr, (uint8_t)f->a, interval);
        fh_ns next =
            s->now + (interval > 0 ? interval / 2 : FH_NS_PER_SEC) + (fh_ns)(fh_sim_random(s) % 1000000);
        fh_sim_set(s, &f->t, next < f->until ? next : f->until);
        if (f->on) return;
        f->on = true;
        vr->forged++;
        if (interval > vr->interval_most) vr->interval_most = interval;
        rough(s, vr->segment, true);
        return;
    }
    vr->forged--;
    rough(s, vr->segment, false);
}

static void on_inst(fh_sim *s, fh_sim_fault *f, bool on) {
    fh_sim_inst *si = s->insts[f->target];
    fh_inst_conf *next;

    fh_sim_disturb(si->vr);
    for (uint32_t i = 0; si->group != FH_NO_GROUP && i < si->router->inst_count; i++)
        fh_sim_disturb(si->router->insts[i]->vr);
    switch (f->kind) {
    case FH_SIM_TRACK:
    case FH_SIM_PRIORITY:
        /* members of a group that disagree on the priority would change places for ever */
        if (f->kind == FH_SIM_PRIORITY && !on) return;
        for (uint32_t i = 0; i < si->router->inst_count; i++) {
            fh_sim_inst *m = si->router->insts[i];
            if (m != si && (si->group == FH_NO_GROUP || m->group != si->group)) continue;
            if (f->kind == FH_SIM_TRACK) {
                m->delta = (int16_t)(m->delta + (on ? f->a : -f->a));
            } else {
                next = next_conf(m);
                next->fsm.base_priority = (uint8_t)(f->a < 1 ? 1 : f->a > 254 ? 254 : f->a);
            }
        }
        break;
    case FH_SIM_INTERVAL:
        if (!on || si->conf[si->which].fsm.version == 2) return;
        for (uint32_t i = 0; i < si->router->inst_count; i++) {
            fh_sim_inst *m = si->router->insts[i];
            if (m != si && (si->group == FH_NO_GROUP || m->group != si->group)) continue;
            next = next_conf(m);
            next->fsm.adver_int = f->a * 1000;
            if (f->a * 1000 > m->vr->interval_most) m->vr->interval_most = f->a * 1000;
            m->priority_since = s->now; /* patience begins anew */
            fh_sim_dirty(m->vr);
        }
        break;
    default:
        si->maintenance = on;
        break;
    }
    want(si->router);
}

static void on_pair(fh_sim *s, fh_sim_fault *f, bool on) {
    fh_sim_pair *p = s->pairs[f->target];
    fh_sim_bs *b = p->end[f->b & 1];

    p->active = (uint32_t)((int64_t)p->active + (on ? 1 : -1));
    p->disturbed = s->now;
    for (uint32_t i = 0; i < b->router->inst_count; i++)
        fh_sim_disturb(b->router->insts[i]->vr);
    if (f->kind == FH_SIM_BFD_ADMIN) {
        b->admin = on;
    } else {
        if (!on) return;
        fh_bs_conf *next = &b->conf[1 - b->which];
        if (!b->reload) *next = b->conf[b->which];
        next->fsm.min_tx_us = next->fsm.min_rx_us = (uint32_t)f->a;
        b->reload = true;
    }
    want(b->router);
}

void fh_sim_fault_due(fh_sim *s, fh_sim_fault *f) {
    bool on = !f->on;

    if (f->kind == FH_SIM_FORGE) {
        bool began = f->on;
        forge(s, f, s->insts[f->target]->vr);
        if (!began || s->now >= f->until) fh_sim_note(s, FH_SIM_NOTE_FAULT, f->index, 0, !began, 0, 0);
        return;
    }
    fh_sim_note(s, FH_SIM_NOTE_FAULT, f->index, 0, on, 0, 0);
    f->on = on;
    if (on) fh_sim_set(s, &f->t, f->until > s->now ? f->until : s->now + 1);
    if (f->kind == FH_SIM_PARTITION)
        partition(s, f, on);
    else if (f->kind <= FH_SIM_DUPLICATE)
        on_segment(s, f, on);
    else if (f->kind >= FH_SIM_BFD_SPEED)
        on_pair(s, f, on);
    else if (f->kind < FH_SIM_TRACK)
        on_router(s, f, on);
    else
        on_inst(s, f, on);
}
