/* See fh_sim.h. Here: making a world, its clocks, the turn of a router, the event loop. */
#include "fh_sim_int.h"

#include <stdlib.h>

#ifdef FH_BREAKABLE
uint32_t fh_broken;
#endif

static const char *const rule_names[FH_SIM_RULES] = {
    "no-master", "two-masters", "order",   "needless-preempt", "holds",       "flap",     "group",    "timer",
    "patience",  "speaks",      "goodbye", "bfd-one-side",     "bfd-accused", "bfd-poll", "bfd-flap",
};
static const char *const fault_names[FH_SIM_FAULTS] = {
    "loss",      "burst", "delay",    "jitter",   "reorder", "duplicate", "mute",      "deaf",
    "partition", "crash", "stop",     "pause",    "freeze",  "sleep",     "drift",     "late",
    "link",      "track", "priority", "interval", "drain",   "forge",     "bfd-speed", "bfd-admin",
};
static const char *const stat_names[FH_SIM_STATS] = {
    "events",  "packets",   "lost", "refused", "transitions", "takeovers", "false_takeovers",
    "doubles", "double_us", "gaps", "gap_us",  "gap_us_max",  "stalls",    "bfd_changes",
};

const char *fh_sim_rule_name(int rule) {
    return rule >= 0 && rule < FH_SIM_RULES ? rule_names[rule] : "?";
}

const char *fh_sim_fault_name(int kind) {
    return kind >= 0 && kind < FH_SIM_FAULTS ? fault_names[kind] : "?";
}

const char *fh_sim_stat_name(int stat) {
    return stat >= 0 && stat < FH_SIM_STATS ? stat_names[stat] : "?";
}

/* ------------------------------------------------------------------ chance: xoroshiro128+ */

static uint64_t mixed(uint64_t *x) { /* splitmix64 */
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t fh_sim_random(fh_sim *s) {
    uint64_t a = s->rng[0], b = s->rng[1], result = a + b;

    b ^= a;
    s->rng[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
    s->rng[1] = (b << 37) | (b >> 27);
    return result;
}

bool fh_sim_chance(fh_sim *s, int64_t millionths) {
    return millionths > 0 && (int64_t)((fh_sim_random(s) >> 32) * 1000000 >> 32) < millionths;
}

/* ------------------------------------------------------------------ small things */

void fh_sim_note(fh_sim *s, uint8_t type, uint32_t who, uint32_t from, int a, int b, int64_t c) {
    if (s->record_count == s->record_cap) return;
    s->records[s->record_count++] = (fh_sim_record){
        .at = s->now, .type = type, .a = (uint8_t)a, .b = (uint8_t)b, .who = who, .from = from, .c = c};
}

bool fh_sim_grow(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    void *old;

    if (count < *capacity) return true;
    memcpy(&old, array, sizeof(old));
    uint32_t more = *capacity != 0 ? *capacity * 2 : 8;
    void *grown = realloc(old, (size_t)more * size);
    if (grown == NULL) return false;
    memcpy(array, &grown, sizeof(grown));
    *capacity = more;
    return true;
}

void fh_sim_set(fh_sim *s, fh_timer *t, fh_ns at) {
    if (!fh_sim_grow(&s->queue.slots, s->queue.count, &s->queue.capacity, sizeof(fh_timer_slot)) ||
        !fh_timer_set(&s->queue, t, at))
        s->failed = true;
}

/* ------------------------------------------------------------------ clocks */

fh_ns fh_sim_local(const fh_sim_router *r, fh_ns global) {
    fh_ns since = global - r->g0;

    return r->l0 + since + since / 1000000 * r->ppm + since % 1000000 * r->ppm / 1000000;
}

/* The first moment at which its clock shows at least this. */
static fh_ns global_of(const fh_sim_router *r, fh_ns local) {
    fh_ns ahead = local - r->l0;

    if (r->ppm == 0) return r->g0 + ahead;
    int64_t rate = 1000000 + r->ppm;
    fh_ns global = r->g0 + ahead / rate * 1000000 + ahead % rate * 1000000 / rate;
    while (fh_sim_local(r, global) < local)
        global++;
    return global;
}

void fh_sim_set_clock(fh_sim_router *r, int64_t ppm) {
    r->l0 = fh_sim_local(r, r->sim->now);
    r->g0 = r->sim->now;
    r->ppm = ppm;
}

uint32_t fh_sim_address(const fh_sim_router *r, unsigned port) {
    return UINT32_C(0x0a000001) + r->ports[port].rank;
}

/* ------------------------------------------------------------------ a router's turn */

/* Sleeps until its next deadline. A wake-up that comes too early is harmless and cheaper than moving it later
 * at every packet. */
static void sleep_on(fh_sim_router *r) {
    fh_ns due = fh_node_next(&r->node), bfd = r->session_count != 0 ? fh_bfd_node_next(&r->bfd) : FH_NEVER;

    if (bfd < due) due = bfd;
    if (due == FH_NEVER || !fh_sim_awake(r)) return;
    fh_ns at = global_of(r, due);
    if (at <= r->sim->now) at = r->sim->now + 1;
    if (r->latency != 0) at += (fh_ns)(fh_sim_random(r->sim) % (uint64_t)r->latency);
    if (at < r->wake.at) fh_sim_set(r->sim, &r->wake, at);
}

static bool read_again(void *io, fh_ns now) {
    fh_sim_router *r = io;
    bool some = r->inbox != NULL;

    fh_sim_read(r, now);
    return some;
}

/* As fh_engine's turn: who overslept steps back; read; read again and run the timers; clocks. */
void fh_sim_turn(fh_sim_router *r) {
    fh_ns now = fh_sim_local(r, r->sim->now), due = fh_node_next(&r->node);
    bool late = due <= now && r->inbox != NULL && (fh_sim_random(r->sim) & 1) != 0;

    if (r->session_count != 0) {
        fh_bfd_node_woke(&r->bfd, r->turned, fh_bfd_node_next(&r->bfd), now);
        r->turned = now;
    }
    fh_node_woke(&r->node, due, now);
    if (r->wanted) fh_sim_wanted(r, now);
    /* Epoll told only of the deadline, or of the packets too: both happen. */
    if (!late) fh_sim_read(r, now);
    if (r->session_count != 0 && fh_bfd_node_next(&r->bfd) <= now) {
        fh_bfd_node_run(&r->bfd, now);
        r->sim->stat[FH_SIM_EVENTS]++;
        r->touched = true;
    }
    do { /* what is left in the sockets wakes it again at once */
        if (r->inbox != NULL && fh_node_next(&r->node) > now) fh_sim_read(r, now);
        if (fh_node_expire(&r->node, read_again, r, now) >= 0) {
            r->sim->stat[FH_SIM_EVENTS]++;
            r->touched = true;
        }
    } while (r->inbox != NULL);
    if (r->slept != 0) {
        fh_node_slept(&r->node, r->slept, now);
        if (r->session_count != 0) fh_bfd_node_slept(&r->bfd, r->slept, now);
        r->slept = 0;
        if (fh_node_next(&r->node) <= now) fh_node_run_timers(&r->node, now);
    }
    if (fh_node_next(&r->node) <= now)
        fh_sim_break(r->sim, FH_SIM_TIMER, r->inst_count != 0 ? r->insts[0]->index : 0, 0);
    if (r->touched) fh_sim_settle(r);
    sleep_on(r);
}

/* ------------------------------------------------------------------ what the node wants */

static fh_sim_inst *sim_inst(fh_inst *inst) {
    return (fh_sim_inst *)(void *)inst;
}

static void on_advert(void *io, fh_inst *inst, uint8_t priority) {
    (void)io;
    fh_sim_send(sim_inst(inst), priority);
}

static void on_acquire(void *io, fh_inst *inst) {
    sim_inst(inst)->held = true;
    ((fh_sim_router *)io)->touched = true;
}

static void on_release(void *io, fh_inst *inst) {
    sim_inst(inst)->held = false;
    ((fh_sim_router *)io)->touched = true;
}

static void on_nothing(void *io, fh_inst *inst) {
    (void)io;
    (void)inst;
}

static void on_announce(void *io, fh_inst *inst, unsigned repeat) {
    (void)io;
    (void)inst;
    (void)repeat;
}

static void on_event(void *io, const fh_event *e) {
    fh_sim_router *r = io;

    if (e->type == FH_EVENT_STATE)
        fh_sim_changed(r->insts[e->inst], e);
    else if (e->type == FH_EVENT_STALLED)
        r->sim->stat[FH_SIM_STALLS]++;
}

static const fh_node_io node_io = {
    .advert = on_advert,
    .acquire = on_acquire,
    .release = on_release,
    .hush = on_nothing,
    .announce = on_announce,
    .silence = on_nothing,
    .renew = on_nothing,
    .stopped = on_nothing,
    .event = on_event,
};

static void on_send(void *io, fh_bs *s, bool final) {
    (void)io;
    fh_sim_send_bfd((fh_sim_bs *)(void *)s, final);
}

static void on_echo(void *io, fh_bs *s) {
    (void)io;
    (void)s;
}

static void on_drain(void *io, fh_ns now) {
    fh_sim_read(io, now);
}

static void on_bfd_state(void *io, fh_bs *s, uint8_t old, uint8_t cause, fh_ns now) {
    fh_sim_router *r = io;

    r->touched = true;
    fh_bfd_join_state(&r->join, s, old, cause, now);
}

static void on_gone(void *io, fh_bs *s) {
    (void)io;
    (void)s;
}

static void on_bfd_event(void *io, const fh_event *e) {
    fh_sim_router *r = io;

    if (e->type == FH_EVENT_BFD_STATE)
        fh_sim_bfd_changed(r->sessions[e->inst], (uint8_t)e->arg[0], (uint8_t)e->arg[2], e->v[5]);
}

static const fh_bfd_node_io bfd_io = {
    .send = on_send,
    .echo = on_echo,
    .drain = on_drain,
    .state = on_bfd_state,
    .gone = on_gone,
    .event = on_bfd_event,
};

/* ------------------------------------------------------------------ making a world */

static void *zeroed(size_t count, size_t size) {
    return calloc(count != 0 ? count : 1, size);
}

/* A new object in a list of pointers: its index, or FH_SIM_ALL. */
static uint32_t made(void *array, uint32_t *count, uint32_t *capacity, void *object) {
    void **list;

    if (object == NULL || !fh_sim_grow(array, *count, capacity, sizeof(void *))) {
        free(object);
        return FH_SIM_ALL;
    }
    memcpy(&list, array, sizeof(list));
    list[*count] = object;
    return (*count)++;
}

fh_sim *fh_sim_new(uint64_t seed, fh_ns start_spread) {
    fh_sim *s = calloc(1, sizeof(*s));

    if (s == NULL) return NULL;
    s->rng[0] = mixed(&seed);
    s->rng[1] = mixed(&seed) | 1;
    s->now = FH_NS_PER_SEC;
    s->spread = start_spread;
    s->broken.rule = -1;
    return s;
}

uint32_t fh_sim_add_segment(fh_sim *s, fh_ns delay) {
    fh_sim_segment *g = calloc(1, sizeof(*g));
    uint32_t index = made(&s->segments, &s->segment_count, &s->segment_cap, g);

    if (index == FH_SIM_ALL) return index;
    g->delay = g->delay_most = delay;
    g->burst_toggle = FH_NEVER;
    fh_sim_plain(g);
    return index;
}

uint32_t fh_sim_add_router(fh_sim *s, const fh_sim_port_conf *ports, unsigned count) {
    if (s->started || count > FH_SIM_PORTS) return FH_SIM_ALL;
    for (unsigned i = 0; i < count; i++)
        if (ports[i].segment >= s->segment_count) return FH_SIM_ALL;
    fh_sim_router *r = calloc(1, sizeof(*r));
    uint32_t index = made(&s->routers, &s->router_count, &s->router_cap, r);
    if (index == FH_SIM_ALL) return index;
    r->sim = s;
    r->index = index;
    r->port_count = count;
    for (unsigned i = 0; i < count; i++)
        r->ports[i] = (fh_sim_port){.segment = ports[i].segment, .rank = ports[i].rank};
    r->inbox_end = &r->inbox;
    r->g0 = s->now;
    r->l0 = (index + 1) * 1000 * FH_NS_PER_SEC; /* nobody's clock shows what another's does */
    fh_timer_init(&r->wake, KIND_WAKE, (uint16_t)offsetof(fh_sim_router, wake));
    return index;
}

/* Versions 2 and 3 do not understand one another: two virtual routers, that share their packets. */
static fh_sim_vr *vr_of(fh_sim *s, uint32_t segment, uint8_t vrid, uint8_t version) {
    fh_sim_vr *other = NULL;

    for (uint32_t i = 0; i < s->vr_count; i++) {
        if (s->vrs[i]->segment != segment || s->vrs[i]->vrid != vrid) continue;
        if (s->vrs[i]->version == version) return s->vrs[i];
        other = s->vrs[i];
    }
    fh_sim_vr *vr = calloc(1, sizeof(*vr));
    if (made(&s->vrs, &s->vr_count, &s->vr_cap, vr) == FH_SIM_ALL) return NULL;
    vr->sim = s;
    vr->segment = segment;
    vr->vrid = vrid;
    vr->version = version;
    vr->other = other;
    if (other != NULL) other->other = vr;
    vr->disturbed = vr->cut_since = vr->calm_since = s->now;
    for (unsigned i = 0; i < FH_SIM_SIDES; i++) {
        fh_sim_side *d = &vr->sides[i];
        d->vr = vr;
        d->side = (uint8_t)i;
        d->gap_since = d->double_since = FH_NEVER;
        fh_timer_init(&d->no_master, KIND_NO_MASTER, (uint16_t)offsetof(fh_sim_side, no_master));
        fh_timer_init(&d->two, KIND_TWO, (uint16_t)offsetof(fh_sim_side, two));
        fh_timer_init(&d->order, KIND_ORDER, (uint16_t)offsetof(fh_sim_side, order));
    }
    return vr;
}

uint32_t fh_sim_add_inst(fh_sim *s, uint32_t router, const fh_sim_inst_conf *c) {
    if (s->started || router >= s->router_count || c->port >= s->routers[router]->port_count)
        return FH_SIM_ALL;
    fh_sim_router *r = s->routers[router];
    fh_sim_vr *vr = vr_of(s, r->ports[c->port].segment, c->vrid, c->fsm.version);
    if (vr == NULL || !fh_sim_grow(&vr->members, vr->count, &vr->capacity, sizeof(fh_sim_inst *)) ||
        !fh_sim_grow(&r->insts, r->inst_count, &r->inst_capacity, sizeof(fh_sim_inst *)))
        return FH_SIM_ALL;
    fh_sim_inst *si = calloc(1, sizeof(*si));
    uint32_t index = made(&s->insts, &s->inst_count, &s->inst_cap, si);
    if (index == FH_SIM_ALL) return index;
    si->router = r;
    si->vr = vr;
    si->index = index;
    si->slot = r->inst_count;
    si->port = c->port;
    si->vrid = c->vrid;
    si->rank = r->ports[c->port].rank;
    si->group = c->group;
    si->conf[0].fsm = c->fsm;
    si->conf[0].fsm.gated = c->group != FH_NO_GROUP;
    si->conf[0].group = c->group;
    si->conf[0].ifindex = c->port + 1U;
    si->conf[0].track_primary = true;
    si->conf[0].announce.repeat = 1;
    si->eligible_since = si->master_since = FH_NEVER;
    vr->members[vr->count++] = si;
    r->insts[r->inst_count++] = si;
    if (c->group != FH_NO_GROUP && c->group >= r->group_count) r->group_count = c->group + 1;
    vr->gated |= c->group != FH_NO_GROUP;
    vr->v2 |= c->fsm.version == 2;
    if (c->fsm.adver_int > vr->interval_most) vr->interval_most = c->fsm.adver_int;
    if (c->fsm.preempt_delay > vr->preempt_most) vr->preempt_most = c->fsm.preempt_delay;
    if (c->fsm.down_adverts > vr->adverts_most) vr->adverts_most = c->fsm.down_adverts;
    return index;
}

static fh_sim_bs *session_end(fh_sim_pair *p, fh_sim_router *r, uint32_t port, uint8_t end,
                              const fh_bfd_params *params) {
    fh_sim_bs *b = calloc(1, sizeof(*b));

    if (made(&r->sessions, &r->session_count, &r->session_capacity, b) == FH_SIM_ALL) return NULL;
    b->router = r;
    b->pair = p;
    b->end = end;
    b->port = (uint8_t)port;
    b->conf[0].fsm = *params;
    b->conf[0].least_ttl = 255;
    fh_timer_init(&b->poll, KIND_POLL, (uint16_t)offsetof(fh_sim_bs, poll));
    return b;
}

uint32_t fh_sim_add_session(fh_sim *s, uint32_t a, uint32_t port_a, uint32_t b, uint32_t port_b,
                            const fh_bfd_params *params, bool takeover) {
    if (s->started || a >= s->router_count || b >= s->router_count || a == b) return FH_SIM_ALL;
    fh_sim_router *ra = s->routers[a], *rb = s->routers[b];
    if (port_a >= ra->port_count || port_b >= rb->port_count ||
        ra->ports[port_a].segment != rb->ports[port_b].segment)
        return FH_SIM_ALL;
    fh_sim_pair *p = calloc(1, sizeof(*p));
    uint32_t index = made(&s->pairs, &s->pair_count, &s->pair_cap, p);
    if (index == FH_SIM_ALL) return index;
    p->sim = s;
    p->index = index;
    p->disturbed = p->calm_since = s->now;
    fh_timer_init(&p->one_side, KIND_ONE_SIDE, (uint16_t)offsetof(fh_sim_pair, one_side));
    p->end[0] = session_end(p, ra, port_a, 0, params);
    p->end[1] = session_end(p, rb, port_b, 1, params);
    if (p->end[0] == NULL || p->end[1] == NULL) {
        s->failed = true;
        return FH_SIM_ALL;
    }
    for (unsigned e = 0; e < 2; e++) {
        fh_sim_bs *me = p->end[e], *you = p->end[1 - e];
        fh_bfd_way *w = &me->bs.way;
        fh_put32(w->peer.b, fh_sim_address(you->router, you->port));
        w->discr = index * 2 + e + 1;
        w->ifindex = me->port + 1U;
        w->port = 3784;
        w->family = FH_AF_INET;
        w->least_ttl = 255;
        me->follows = takeover;
    }
    return index;
}

uint32_t fh_sim_add_fault(fh_sim *s, uint8_t kind, fh_ns at, fh_ns until, uint32_t target, int64_t a,
                          int64_t b) {
    uint32_t most = s->inst_count;

    if (kind <= FH_SIM_DUPLICATE || kind == FH_SIM_PARTITION)
        most = s->segment_count;
    else if (kind >= FH_SIM_BFD_SPEED)
        most = s->pair_count;
    else if (kind < FH_SIM_TRACK)
        most = s->router_count;
    if (kind >= FH_SIM_FAULTS || target >= most || at < 0 || until < at) return FH_SIM_ALL;
    if ((kind == FH_SIM_MUTE || kind == FH_SIM_DEAF || kind == FH_SIM_LINK) &&
        (b < 0 || b >= (int64_t)s->routers[target]->port_count))
        return FH_SIM_ALL;
    fh_sim_fault *f = calloc(1, sizeof(*f));
    uint32_t index = made(&s->faults, &s->fault_count, &s->fault_cap, f);
    if (index == FH_SIM_ALL) return index;
    *f = (fh_sim_fault){.sim = s, .at = at, .until = until, .target = target, .a = a, .b = b, .kind = kind};
    f->index = index;
    if (kind == FH_SIM_DRIFT && (a < 0 ? -a : a) > s->drift_most) s->drift_most = a < 0 ? -a : a;
    fh_timer_init(&f->t, KIND_FAULT, (uint16_t)offsetof(fh_sim_fault, t));
    fh_sim_set(s, &f->t, at > s->now ? at : s->now);
    return index;
}

/* ------------------------------------------------------------------ start, crash, restart */

static bool give_memory(fh_sim_router *r) {
    fh_node *n = &r->node;
    uint32_t timers = r->inst_count * 5 + r->port_count, buckets = 4;

    n->insts = zeroed(r->inst_count, sizeof(fh_inst *));
    n->inst_slots = r->inst_count;
    n->groups = zeroed(r->group_count, sizeof(fh_group));
    n->group_slots = r->group_count;
    n->links = zeroed(r->port_count, sizeof(fh_link));
    n->link_slots = r->port_count;
    n->timers.slots = zeroed(timers, sizeof(fh_timer_slot));
    n->timers.capacity = timers;
    r->group_members = zeroed(r->group_count, sizeof(uint32_t *));
    if (n->insts == NULL || n->groups == NULL || n->links == NULL || n->timers.slots == NULL ||
        r->group_members == NULL)
        return false;
    for (uint32_t g = 0; g < r->group_count; g++)
        if ((r->group_members[g] = zeroed(r->inst_count, sizeof(uint32_t))) == NULL) return false;
    if (r->session_count == 0) return true;
    while (buckets < r->session_count)
        buckets *= 2;
    fh_bfd_node *b = &r->bfd;
    b->sessions = zeroed(r->session_count, sizeof(fh_bs *));
    b->slots = r->session_count;
    b->timers.slots = zeroed(r->session_count * 3, sizeof(fh_timer_slot));
    b->timers.capacity = r->session_count * 3;
    b->table.by_discr = zeroed(buckets, sizeof(fh_bfd_way *));
    b->table.by_peer = zeroed(buckets, sizeof(fh_bfd_way *));
    b->table.mask = buckets - 1;
    r->join.by_session = zeroed(r->session_count, sizeof(fh_bfd_follow *));
    r->join.by_inst = zeroed(r->inst_count, sizeof(fh_bfd_follows *));
    return b->sessions != NULL && b->timers.slots != NULL && b->table.by_discr != NULL &&
           b->table.by_peer != NULL && r->join.by_session != NULL && r->join.by_inst != NULL;
}

/* Every instance of the router follows the sessions on its port, as `bfd auto` has it. */
static void follow(fh_sim_router *r, fh_ns now) {
    for (uint32_t i = 0; i < r->inst_count; i++) {
        fh_bfd_follows *all = calloc(1, sizeof(*all) + r->session_count * sizeof(fh_bfd_follow));
        if (all == NULL) {
            r->sim->failed = true;
            return;
        }
        for (uint32_t k = 0; k < r->session_count; k++) {
            if (r->sessions[k]->port != r->insts[i]->port || !r->sessions[k]->follows) continue;
            fh_bfd_follow *f = &all->follow[all->count++];
            f->session = k;
            f->takeover = true;
            f->initially_up = true;
        }
        free(fh_bfd_join_set(&r->join, i, all, now));
    }
}

static void boot_bfd(fh_sim_router *r, fh_ns now) {
    uint64_t seed[4];

    for (unsigned i = 0; i < 4; i++)
        seed[i] = fh_sim_random(r->sim) | 1;
    fh_bfd_node_init(&r->bfd, seed, &bfd_io, r);
    r->bfd.asleep = r->bfd.stall = 0;
    r->turned = now;
    for (uint32_t i = 0; i < r->session_count; i++) {
        fh_sim_bs *b = r->sessions[i];
        fh_bfd_way way = b->bs.way;
        memset(&b->bs, 0, sizeof(b->bs));
        b->bs.way = way;
        b->bs.way.next_by_discr = b->bs.way.next_by_peer = NULL;
        b->bs.way.discr = (way.discr & 0xffff) | r->boots << 16;
        b->state = FH_BFD_DOWN;
        b->last_arrival = r->sim->now;
        b->admin = false;
        if (!fh_bfd_node_add(&r->bfd, &b->bs, i, &b->conf[b->which], now)) r->sim->failed = true;
    }
}

void fh_sim_boot(fh_sim_router *r) {
    fh_ns now = fh_sim_local(r, r->sim->now);

    r->boots++;
    r->started = true;
    r->stopping = false;
    fh_node_init(&r->node, &node_io, r);
    for (unsigned i = 0; i < r->port_count; i++) {
        r->ports[i].told_up = r->ports[i].down == 0;
        fh_node_link_state(&r->node, i + 1, r->ports[i].told_up, false, now);
    }
    for (uint32_t i = 0; i < r->inst_count; i++) {
        fh_sim_inst *si = r->insts[i];
        if (si->reload) si->which ^= 1;
        si->reload = false;
        fh_sim_disturb(si->vr);
        fh_node_add(&r->node, &si->node, i, &si->conf[si->which], now);
    }
    for (uint32_t g = 0; g < r->group_count; g++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < r->inst_count; i++)
            if (r->insts[i]->group == g) r->group_members[g][count++] = i;
        fh_node_set_group(&r->node, g, r->group_members[g], count, now);
    }
    if (r->session_count != 0) {
        boot_bfd(r, now);
        follow(r, now);
    }
    for (uint32_t i = 0; i < r->inst_count; i++)
        fh_node_told(&r->node, &r->insts[i]->node, r->insts[i]->maintenance ? FH_FAULT_MAINTENANCE : 0,
                     FH_FAULT_DISABLED, r->insts[i]->delta, now);
    r->wanted = false;
    r->touched = true;
    fh_sim_settle(r);
    fh_sim_turn(r);
}

/* Gone, with all it knew. */
void fh_sim_halt(fh_sim_router *r) {
    r->started = false;
    r->node.timers.count = 0;
    r->bfd.timers.count = 0;
    memset(r->node.links, 0, r->port_count * sizeof(fh_link));
    memset(r->node.insts, 0, r->inst_count * sizeof(fh_inst *));
    memset(r->node.groups, 0, r->group_count * sizeof(fh_group));
    if (r->session_count != 0) {
        memset(r->bfd.sessions, 0, r->session_count * sizeof(fh_bs *));
        memset(r->bfd.table.by_discr, 0, (r->bfd.table.mask + 1) * sizeof(fh_bfd_way *));
        memset(r->bfd.table.by_peer, 0, (r->bfd.table.mask + 1) * sizeof(fh_bfd_way *));
        memset(r->join.by_session, 0, r->session_count * sizeof(fh_bfd_follow *));
        for (uint32_t i = 0; i < r->inst_count; i++) {
            free(r->join.by_inst[i]);
            r->join.by_inst[i] = NULL;
        }
        r->bfd.count = 0;
    }
    fh_timer_cancel(&r->sim->queue, &r->wake);
    while (r->inbox != NULL) {
        fh_sim_flight *f = r->inbox;
        r->inbox = f->next;
        fh_sim_drop(r->sim, f);
    }
    r->inbox_end = &r->inbox;
    for (uint32_t i = 0; i < r->inst_count; i++) {
        r->insts[i]->held =
            false; /* the addresses' lifetime ends before a successor may come: not modelled */
        memset(&r->insts[i]->node.fsm, 0, sizeof(r->insts[i]->node.fsm));
        r->insts[i]->state = FH_VRRP_INIT;
    }
}

bool fh_sim_start(fh_sim *s) {
    if (s->started) return false;
    s->started = true;
    s->disturbed = s->calm_since = s->now;
    for (uint32_t i = 0; i < s->vr_count; i++) {
        fh_sim_vr *vr = s->vrs[i];
        fh_sim_segment *g = s->segments[vr->segment];
        uint32_t capacity = g->vr_count;
        if (!fh_sim_grow(&g->vrs, g->vr_count, &capacity, sizeof(fh_sim_vr *))) return false;
        g->vrs[g->vr_count++] = vr;
        for (uint32_t k = 1; k < vr->count; k++) {
            const fh_vrrp_params *a = &vr->members[0]->conf[0].fsm, *b = &vr->members[k]->conf[0].fsm;
            vr->mixed |= a->version == 2 && a->adver_int != b->adver_int;
        }
    }
    for (uint32_t i = 0; i < s->router_count; i++) {
        fh_sim_router *r = s->routers[i];
        if (!give_memory(r)) return false;
        r->join.node = &r->node;
        r->join.bfd = &r->bfd;
        fh_sim_set(s, &r->wake,
                   s->now + (s->spread > 0 ? (fh_ns)(fh_sim_random(s) % (uint64_t)s->spread) : 0));
    }
    return !s->failed;
}

/* ------------------------------------------------------------------ the loop */

void fh_sim_run(fh_sim *s, fh_ns until, uint64_t events) {
    uint64_t last =
        events < UINT64_MAX - s->stat[FH_SIM_EVENTS] ? s->stat[FH_SIM_EVENTS] + events : UINT64_MAX;
    fh_ns was = 0;
    fh_timer *t;

    while (s->broken.rule < 0 && !s->failed && s->stat[FH_SIM_EVENTS] < last &&
           (t = fh_timers_pop(&s->queue, until, &was)) != NULL) {
        s->now = was;
        if (t->kind == KIND_FLIGHT) {
            fh_sim_arrive(s, FH_TIMER_OWNER(t, fh_sim_flight));
        } else if (t->kind == KIND_WAKE) {
            fh_sim_router *r = FH_TIMER_OWNER(t, fh_sim_router);
            if (!r->started && r->dead == 0)
                fh_sim_boot(r);
            else if (fh_sim_awake(r))
                fh_sim_turn(r);
        } else if (t->kind == KIND_FAULT) {
            fh_sim_fault_due(s, FH_TIMER_OWNER(t, fh_sim_fault));
        } else {
            fh_sim_due(s, t);
        }
        if (s->dirty != NULL) fh_sim_recheck(s);
    }
    if (s->broken.rule < 0 && s->now < until && s->stat[FH_SIM_EVENTS] < last) s->now = until;
}

/* ------------------------------------------------------------------ questions */

void fh_sim_trace(fh_sim *s, fh_sim_record *records, uint32_t capacity) {
    s->records = records;
    s->record_count = 0;
    s->record_cap = capacity;
}

void fh_sim_excuse(fh_sim *s, uint32_t rules) {
    s->excused = rules;
}

void fh_sim_verdict(const fh_sim *s, fh_sim_broken *out) {
    *out = s->broken;
}

fh_ns fh_sim_now(const fh_sim *s) {
    return s->now;
}

uint64_t fh_sim_stat(const fh_sim *s, int stat) {
    return stat >= 0 && stat < FH_SIM_STATS ? s->stat[stat] : 0;
}

uint32_t fh_sim_traced(const fh_sim *s) {
    return s->record_count;
}

uint64_t fh_sim_digest(const fh_sim *s) {
    return s->digest;
}

int fh_sim_state(const fh_sim *s, uint32_t inst) {
    return inst < s->inst_count ? s->insts[inst]->state : -1;
}

int fh_sim_priority(const fh_sim *s, uint32_t inst) {
    return inst < s->inst_count ? s->insts[inst]->node.fsm.priority : -1;
}

fh_ns fh_sim_master_since(const fh_sim *s, uint32_t inst) {
    return inst < s->inst_count ? s->insts[inst]->master_since : FH_NEVER;
}

uint32_t fh_sim_masters(const fh_sim *s, uint32_t inst) {
    uint32_t count = 0;

    if (inst >= s->inst_count) return 0;
    const fh_sim_vr *vr = s->insts[inst]->vr;
    for (uint32_t i = 0; i < vr->count; i++)
        count += vr->members[i]->master_since != FH_NEVER;
    return count;
}

int fh_sim_bfd_state(const fh_sim *s, uint32_t session, unsigned end) {
    return session < s->pair_count && end < 2 ? s->pairs[session]->end[end]->bs.fsm.state : -1;
}

static void free_list(void *list, uint32_t count) {
    void **items = list;

    for (uint32_t i = 0; i < count; i++)
        free(items[i]);
    free(items);
}

static void free_router(fh_sim_router *r) {
    for (uint32_t i = 0; r->join.by_inst != NULL && i < r->inst_count; i++)
        free(r->join.by_inst[i]);
    free_list(r->group_members, r->group_members != NULL ? r->group_count : 0);
    free_list(r->sessions, r->session_count);
    free(r->insts);
    free(r->node.insts);
    free(r->node.groups);
    free(r->node.links);
    free(r->node.timers.slots);
    free(r->bfd.sessions);
    free(r->bfd.timers.slots);
    free(r->bfd.table.by_discr);
    free(r->bfd.table.by_peer);
    free(r->join.by_session);
    free(r->join.by_inst);
}

void fh_sim_free(fh_sim *s) {
    if (s == NULL) return;
    for (uint32_t i = 0; i < s->router_count; i++)
        free_router(s->routers[i]);
    for (uint32_t i = 0; i < s->vr_count; i++)
        free(s->vrs[i]->members);
    for (uint32_t i = 0; i < s->segment_count; i++)
        free(s->segments[i]->vrs);
    free_list(s->routers, s->router_count);
    free_list(s->segments, s->segment_count);
    free_list(s->insts, s->inst_count);
    free_list(s->pairs, s->pair_count);
    free_list(s->vrs, s->vr_count);
    free_list(s->faults, s->fault_count);
    free_list(s->chunks, s->chunk_count);
    free(s->queue.slots);
    free(s);
}
