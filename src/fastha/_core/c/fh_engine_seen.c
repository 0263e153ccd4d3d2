/* What is remembered of the routers that are heard, for those who ask why: who sends adverts, how regularly
 * they come, how many are missing. Nothing here decides anything; the election is the state machine's. */
#include "fh_engine_int.h"

#define TELL_MISSED_INT (10 * FH_NS_PER_SEC)

/* Upper bounds in microseconds; one more bucket takes the rest. */
static const uint32_t spread_us[FH_SPREAD_BUCKETS] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000,
};

uint32_t fh_spread_bound_us(int bucket) {
    return bucket >= 0 && bucket < FH_SPREAD_BUCKETS ? spread_us[bucket] : UINT32_MAX;
}

void fh_spread_add(fh_spread *s, fh_ns value) {
    uint64_t us = value > 0 ? (uint64_t)value / 1000 : 0;
    int i = 0;

    while (i < FH_SPREAD_BUCKETS && us > spread_us[i])
        i++;
    fh_count(&s->count[i], 1);
    fh_count(&s->sum_us, us);
}

/* The entry of a router: its own, a free one, or that of the router which has been silent longest. */
static fh_peer_seen *entry_of(fh_seen *s, const fh_addr *src) {
    uint64_t address[2];
    fh_peer_seen *oldest = &s->peer[0];

    memcpy(address, src->b, sizeof(address));
    for (unsigned i = 0; i < FH_PEERS_SEEN; i++) {
        fh_peer_seen *p = &s->peer[i];
        fh_ns heard = atomic_load_explicit(&p->heard, memory_order_relaxed);
        if (heard != 0 && atomic_load_explicit(&p->address[0], memory_order_relaxed) == address[0] &&
            atomic_load_explicit(&p->address[1], memory_order_relaxed) == address[1])
            return p;
        if (heard < atomic_load_explicit(&oldest->heard, memory_order_relaxed)) oldest = p;
    }
    /* readers see the turn odd, and read again */
    uint64_t turn = atomic_load(&oldest->turn);
    atomic_store(&oldest->turn, turn + 1);
    atomic_store(&oldest->address[0], address[0]);
    atomic_store(&oldest->address[1], address[1]);
    atomic_store(&oldest->adverts, 0);
    atomic_store(&oldest->heard, 0);
    atomic_store(&oldest->turn, turn + 2);
    return oldest;
}

/* Adverts that should have come since the last one, while this router only listened. */
static void missed(fh_engine *e, fh_ei *ei, const fh_vrrp_heard *heard, fh_ns gap, fh_ns at, fh_ns now) {
    fh_seen *s = &ei->seen;
    fh_ns times = (gap + heard->interval / 2) / heard->interval;

    if (times < 2) return;
    uint32_t count = times > 1000 ? 1000 : (uint32_t)(times - 1);
    fh_count(&ei->stat[FH_STAT_ADVERTS_MISSED], count);
    s->missed_untold += count;
    if (s->missed_told != 0 && now - s->missed_told < TELL_MISSED_INT) return;
    s->missed_told = now;
    fh_event event = {.at = now,
                      .type = FH_EVENT_ADVERTS_MISSED,
                      .inst = ei->node.slot,
                      .arg = {s->missed_untold, ei->node.conf->fsm.down_adverts, heard->priority},
                      .v = {gap, heard->interval, ei->node.fsm.timer - at},
                      .addr = heard->src};
    s->missed_untold = 0;
    fh_engine_tell(e, &event);
}

void fh_engine_seen(fh_engine *e, fh_ei *ei, const fh_vrrp_heard *heard, fh_ns at, fh_ns now) {
    fh_seen *s = &ei->seen;
    fh_peer_seen *p = entry_of(s, &heard->src);
    fh_ns before = atomic_load_explicit(&p->heard, memory_order_relaxed);
    bool listening = ei->node.fsm.state == FH_VRRP_BACKUP &&
                     atomic_load_explicit(&ei->changed, memory_order_relaxed) < before;

    if (p == s->last && before != 0 && heard->priority != 0 && heard->interval > 0 && listening) {
        fh_ns gap = at - before;
        /* earlier than half an interval is an answer to somebody, not one of the regular adverts */
        if (gap > heard->interval / 2) {
            fh_ns regular = (gap + heard->interval / 2) / heard->interval * heard->interval;
            fh_spread_add(&s->jitter, gap > regular ? gap - regular : regular - gap);
            missed(e, ei, heard, gap, at, now);
        }
    }
    s->last = heard->priority != 0 ? p : NULL;
    atomic_store_explicit(&p->priority, heard->priority, memory_order_relaxed);
    atomic_store_explicit(&p->interval, heard->interval, memory_order_relaxed);
    fh_count(&p->adverts, 1);
    atomic_store_explicit(&p->heard, at, memory_order_relaxed);
}

bool fh_ei_peer(const fh_ei *ei, unsigned i, fh_peer_view *view) {
    const fh_peer_seen *p = &ei->seen.peer[i];

    for (int tries = 0; tries < 100; tries++) {
        uint64_t turn = atomic_load(&p->turn);
        uint64_t address[2] = {atomic_load(&p->address[0]), atomic_load(&p->address[1])};
        view->heard = atomic_load(&p->heard);
        view->interval = atomic_load_explicit(&p->interval, memory_order_relaxed);
        view->adverts = atomic_load_explicit(&p->adverts, memory_order_relaxed);
        view->priority = (uint8_t)atomic_load_explicit(&p->priority, memory_order_relaxed);
        if ((turn & 1) == 0 && turn == atomic_load(&p->turn)) {
            memcpy(view->address.b, address, sizeof(address));
            return view->heard != 0;
        }
    }
    return false;
}

uint64_t fh_spread_count(const fh_spread *s, int bucket) {
    return atomic_load_explicit(&s->count[bucket], memory_order_relaxed);
}

uint64_t fh_spread_sum_us(const fh_spread *s) {
    return atomic_load_explicit(&s->sum_us, memory_order_relaxed);
}

const fh_spread *fh_ei_jitter(const fh_ei *ei) {
    return &ei->seen.jitter;
}

const fh_spread *fh_engine_lateness(const fh_engine *e) {
    return &e->lateness;
}

int64_t fh_ei_timer(const fh_ei *ei) {
    return atomic_load_explicit(&ei->seen.timer, memory_order_relaxed);
}

int64_t fh_ei_preempt_until(const fh_ei *ei) {
    return atomic_load_explicit(&ei->seen.preempt_until, memory_order_relaxed);
}

bool fh_ei_wants_master(const fh_ei *ei) {
    return atomic_load_explicit(&ei->seen.wants_master, memory_order_relaxed) != 0;
}

void fh_engine_show_timers(fh_ei *ei) {
    const fh_vrrp *v = &ei->node.fsm;

    atomic_store_explicit(&ei->seen.timer, v->timer, memory_order_relaxed);
    atomic_store_explicit(&ei->seen.preempt_until, v->preempt_until, memory_order_relaxed);
    atomic_store_explicit(&ei->seen.wants_master, v->wants_master, memory_order_relaxed);
}
