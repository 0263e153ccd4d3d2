/* See fh_bfd_join.h. */
#include "fh_bfd_join.h"

#include "fh_inet.h"

static bool counts_as_up(const fh_bfd_join *j, const fh_bfd_follow *f) {
    const fh_bs *s = f->session < j->bfd->slots ? j->bfd->sessions[f->session] : NULL;

    if (s == NULL || s->standing == FH_BS_NEVER_UP) return f->initially_up;
    return s->standing == FH_BS_GOOD;
}

static void reckon(fh_bfd_join *j, uint32_t slot, fh_ns now) {
    fh_inst *inst = slot < j->node->inst_slots ? j->node->insts[slot] : NULL;
    const fh_bfd_follows *all = j->by_inst[slot];
    bool fault = false;
    int delta = 0;

    if (inst == NULL) return;
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        const fh_bfd_follow *f = &all->follow[i];
        bool up = counts_as_up(j, f);
        if (f->weight == 0)
            fault |= up == f->reverse && !f->takeover;
        else if (up == (f->weight > 0)) /* keepalived: reverse turns the sign, not the moment */
            delta += f->reverse ? -f->weight : f->weight;
    }
    fh_node_bfd(j->node, inst, fault, delta, now);
}

static void link_in(fh_bfd_join *j, fh_bfd_follow *f) {
    f->next = NULL;
    if (f->session >= j->bfd->slots) return;
    f->next = j->by_session[f->session];
    j->by_session[f->session] = f;
}

static void link_out(fh_bfd_join *j, const fh_bfd_follow *f) {
    if (f->session >= j->bfd->slots) return;
    for (fh_bfd_follow **at = &j->by_session[f->session]; *at != NULL; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            return;
        }
}

fh_bfd_follows *fh_bfd_join_set(fh_bfd_join *j, uint32_t inst, fh_bfd_follows *follows, fh_ns now) {
    if (inst >= j->node->inst_slots) return follows;
    fh_bfd_follows *old = j->by_inst[inst];

    for (uint32_t i = 0; old != NULL && i < old->count; i++)
        link_out(j, &old->follow[i]);
    j->by_inst[inst] = follows;
    for (uint32_t i = 0; follows != NULL && i < follows->count; i++) {
        follows->follow[i].inst = inst;
        link_in(j, &follows->follow[i]);
    }
    reckon(j, inst, now);
    return old;
}

/* We, and nobody else, found the path to the neighbour dead: no word of it, no planned end (RFC
 * 5882 3.2, 4.2). */
static bool path_lost(const fh_bs *s, uint8_t old, uint8_t cause) {
    return old == FH_BFD_UP && s->fsm.state != FH_BFD_UP &&
           (cause == FH_BFD_WHY_EXPIRED || cause == FH_BFD_WHY_ECHO);
}

/* The router that this session watches was master to the last. Or it was until a lower backup, who found it
 * dead a moment before us, said so: then our own turn has come, as the longer way round (the lower adverts
 * are not heeded, and the timer runs out) would show. */
static bool is_next(const fh_inst *inst, const fh_bs *s) {
    const fh_vrrp *v = &inst->fsm;
    const fh_vrrp_params *p = &inst->conf->fsm;

    if (v->state != FH_VRRP_BACKUP || v->last_heard == 0) return false;
    if (fh_addr_equal(&v->master_src, &s->way.peer)) return true;
    return p->preempt && p->preempt_delay == 0 && v->master_priority != 0 && v->master_priority < v->priority;
}

void fh_bfd_join_state(fh_bfd_join *j, const fh_bs *s, uint8_t old, uint8_t cause, fh_ns now) {
    bool lost = path_lost(s, old, cause) && !fh_bfd_node_was_away(j->bfd, s);
    fh_bfd_follow *next;

    for (fh_bfd_follow *f = j->by_session[s->slot]; f != NULL; f = next) {
        next = f->next;
        reckon(j, f->inst, now);
        if (!lost || !f->takeover) continue;
        fh_inst *inst = j->node->insts[f->inst];
        if (inst == NULL || !is_next(inst, s)) continue;
        fh_node_takeover_after(j->node, inst, f->takeover_delay, now);
    }
}
