/* See fh_bfd_node.h. */
#include "fh_bfd_node.h"

#include "fh_inet.h"

enum { KIND_TX, KIND_DETECT, KIND_ECHO };

#define TELL_INT FH_NS_PER_SEC
/* Lateness that counts as sleep: less than this is what every wake-up has. */
#define SLEPT_MOST FH_NS_PER_MSEC
#define SLEPT_LEAST (100 * FH_NS_PER_USEC)
/* So late that nobody can say when the sleep began: the time since the last turn is forgiven as well. */
#define SLEPT_LONG (10 * FH_NS_PER_MSEC)

/* Congestion over several hops: a fifth of a window's packets lost, and intervals are doubled; a hundredth at
 * most in each of six windows, and they are halved. */
#define CONGESTION_WINDOW (10 * FH_NS_PER_SEC)
#define CONGESTION_LEAST 20 /* fewer packets say nothing */
#define CONGESTION_MOST 3
#define CONGESTION_CALM 6

/* Sending together: a packet may go a tenth of its interval before its time, in batches that make no other
 * timer wait. */
#define TOGETHER_FROM 2
#define TOGETHER_SHARE 10
#define TOGETHER_MOST (10 * FH_NS_PER_MSEC)
#define TOGETHER_BATCH 24
/* So long after an own sleep a neighbour that gave us up may still send once a second. */
#define AWAY_COUNTS (5 * FH_NS_PER_SEC)

static const char *const stat_names[FH_BFD_STATS] = {
    "rx",     "tx",   "final_tx", "tx_errors", "ups",    "downs",
    "missed", "lost", "echo_tx",  "echo_rx",   "stalls", "late_us_max",
};

const char *fh_bfd_stat_name(int stat) {
    return stat >= 0 && stat < FH_BFD_STATS ? stat_names[stat] : "?";
}

#define SHOW(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define LOOK(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* ------------------------------------------------------------------ random numbers: xoshiro256** */

static uint64_t rotate(uint64_t v, int by) {
    return v << by | v >> (64 - by);
}

uint32_t fh_bfd_node_random(fh_bfd_node *n) {
    uint64_t *s = n->rng;
    uint64_t result = rotate(s[1] * 5, 7) * 9, moved = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= moved;
    s[3] = rotate(s[3], 45);
    return (uint32_t)(result >> 32);
}

/* ------------------------------------------------------------------ what others see */

static void show(fh_bs *s) {
    const fh_bfd *f = &s->fsm;
    const fh_bfd_params *p = &s->conf->fsm;
    uint32_t flags = 0;

    SHOW(s->shown, (uint32_t)f->state | (uint32_t)f->remote_state << 8 | (uint32_t)f->local_diag << 16 |
                       (uint32_t)f->remote_diag << 24);
    if (f->poll) flags |= FH_BS_SHOWN_POLL;
    if (f->demand_on) flags |= FH_BS_SHOWN_DEMAND;
    if (f->remote_demand) flags |= FH_BS_SHOWN_REMOTE_DEMAND;
    if (f->echo_on) flags |= FH_BS_SHOWN_ECHO;
    flags |= (uint32_t)f->backoff * FH_BS_SHOWN_BACKOFF;
    SHOW(s->shown_flags, flags);
    SHOW(s->shown_remote_discr, f->remote_discr);
    SHOW(s->shown_remote_min_rx, f->remote_min_rx_us);
    SHOW(s->shown_remote_min_tx, f->remote_min_tx_us);
    SHOW(s->shown_remote_echo, f->remote_min_echo_rx_us);
    SHOW(s->shown_remote_mult, f->remote_mult);
    SHOW(s->shown_transitions, f->transitions);
    SHOW(s->shown_tx_int, fh_bfd_tx_int(p, f));
    SHOW(s->shown_rx_int, fh_bfd_rx_int(p, f));
    SHOW(s->shown_detect_int, fh_bfd_detect_int(p, f));
    SHOW(s->shown_echo_int, fh_bfd_echo_int(p, f));
    SHOW(s->up_since, f->up_since);
}

void fh_bs_look(const fh_bs *s, fh_bs_view *v) {
    v->shown = LOOK(s->shown);
    v->flags = LOOK(s->shown_flags);
    v->remote_discr = LOOK(s->shown_remote_discr);
    v->remote_min_rx = LOOK(s->shown_remote_min_rx);
    v->remote_min_tx = LOOK(s->shown_remote_min_tx);
    v->remote_echo = LOOK(s->shown_remote_echo);
    v->remote_mult = LOOK(s->shown_remote_mult);
    v->transitions = LOOK(s->shown_transitions);
    v->tx_int = LOOK(s->shown_tx_int);
    v->rx_int = LOOK(s->shown_rx_int);
    v->detect_int = LOOK(s->shown_detect_int);
    v->echo_int = LOOK(s->shown_echo_int);
    v->changed = LOOK(s->changed);
    v->up_since = LOOK(s->up_since);
    v->last_rx = LOOK(s->last_rx);
    v->last_tx = LOOK(s->last_tx);
    v->margin_least = LOOK(s->margin_least);
}

uint64_t fh_bs_stat(const fh_bs *s, int stat) {
    return LOOK(s->stat[stat]);
}

uint32_t fh_bs_refused(const fh_bs *s, int why) {
    return LOOK(s->refused[why]);
}

uint64_t fh_bfd_node_refused(const fh_bfd_node *n, int why) {
    return LOOK(n->refused[why]);
}

/* ------------------------------------------------------------------ doing what the machine says */

static void tell(fh_bfd_node *n, const fh_bs *s, fh_ns now, fh_event *e) {
    e->at = now;
    e->inst = s->slot;
    e->addr = s->way.peer;
    n->ops->event(n->io, e);
}

/* The least detection time in use; sought again when one has changed, which is rare. */
fh_ns fh_bfd_node_fastest(fh_bfd_node *n) {
    if (!n->fastest_old) return n->fastest;
    n->fastest_old = false;
    n->fastest = FH_NEVER;
    for (uint32_t i = 0, seen = 0; i < n->slots && seen < n->count; i++) {
        const fh_bs *s = n->sessions[i];
        if (s == NULL) continue;
        seen++;
        fh_ns detect = s->fsm.state == FH_BFD_UP ? fh_bfd_detect_int(&s->conf->fsm, &s->fsm) : 0;
        fh_ns echo = fh_bfd_echo_int(&s->conf->fsm, &s->fsm) * s->conf->fsm.detect_mult;
        if (echo != 0 && (echo < detect || detect == 0)) detect = echo;
        if (detect != 0 && detect < n->fastest) n->fastest = detect;
    }
    return n->fastest;
}

static void stand(fh_bs *s, uint8_t old, uint8_t cause) {
    if (s->fsm.state == FH_BFD_UP)
        s->standing = FH_BS_GOOD;
    else if (old == FH_BFD_UP && cause != FH_BFD_WHY_ADMIN && cause != FH_BFD_WHY_NEIGHBOR_ADMIN)
        s->standing = FH_BS_FAILED;
}

static void state_changed(fh_bfd_node *n, fh_bs *s, const fh_bfd_actions *a, fh_ns deadline, fh_ns detect,
                          fh_ns now) {
    const fh_bfd *f = &s->fsm;

    SHOW(s->changed, now);
    if (f->state == FH_BFD_UP) {
        fh_bs_count(s, FH_BFD_STAT_UPS, 1);
        SHOW(s->margin_least, -1);
        s->first_sample = true;
    } else if (a->old_state == FH_BFD_UP) {
        fh_bs_count(s, FH_BFD_STAT_DOWNS, 1);
    }
    stand(s, a->old_state, a->cause);
    n->ops->state(n->io, s, a->old_state, a->cause, now);
    fh_event e = {
        .type = FH_EVENT_BFD_STATE,
        .arg = {a->old_state, f->state, a->cause,
                (uint32_t)f->local_diag | (uint32_t)f->remote_diag << 8 | (uint32_t)f->remote_state << 16},
        .v = {now, deadline, n->woke, f->last_rx, f->last_tx, detect},
    };
    tell(n, s, now, &e);
}

/* deadline: of the timer that led here, 0 if none did; detect: the detection time before the step. */
static void perform(fh_bfd_node *n, fh_bs *s, const fh_bfd_actions *a, fh_ns deadline, fh_ns detect,
                    fh_ns now) {
    const fh_bfd *f = &s->fsm;

    if (a->bits & (FH_BFD_DO_SEND | FH_BFD_DO_FINAL)) {
        n->ops->send(n->io, s, (a->bits & FH_BFD_DO_FINAL) != 0);
        SHOW(s->last_tx, now);
    }
    if (a->bits & FH_BFD_DO_ECHO) n->ops->echo(n->io, s);
    if (a->bits & FH_BFD_DO_TX_TIMER) fh_timer_set(&n->timers, &s->t_tx, f->tx_at);
    if (a->bits & FH_BFD_DO_DETECT_TIMER) fh_timer_set(&n->timers, &s->t_detect, f->detect_at);
    if (a->bits & FH_BFD_DO_ECHO_TIMER) fh_timer_set(&n->timers, &s->t_echo, f->echo_at);
    const uint32_t seen = FH_BFD_DO_STATE | FH_BFD_DO_DIAG | FH_BFD_DO_REMOTE | FH_BFD_DO_POLL_END |
                          FH_BFD_DO_FORGET | FH_BFD_DO_STALLED;
    if ((a->bits & seen) == 0) return;
    if (a->bits & FH_BFD_DO_STATE) state_changed(n, s, a, deadline, detect, now);
    show(s);
    if (a->bits & (FH_BFD_DO_STATE | FH_BFD_DO_REMOTE | FH_BFD_DO_POLL_END)) n->fastest_old = true;
    if (a->bits & FH_BFD_DO_DIAG) {
        fh_event e = {.type = FH_EVENT_BFD_DIAG, .arg = {f->local_diag, f->remote_diag}};
        tell(n, s, now, &e);
    }
    if (a->bits & (FH_BFD_DO_REMOTE | FH_BFD_DO_POLL_END)) {
        const fh_bfd_params *p = &s->conf->fsm;
        fh_event e = {.type = FH_EVENT_BFD_TIMERS,
                      .arg = {f->remote_discr, f->remote_mult, f->remote_min_rx_us, f->remote_min_tx_us},
                      .v = {fh_bfd_tx_int(p, f), fh_bfd_rx_int(p, f), fh_bfd_detect_int(p, f)}};
        tell(n, s, now, &e);
    }
    if (a->bits & FH_BFD_DO_STALLED) {
        fh_bs_count(s, FH_BFD_STAT_STALLS, 1);
        if (s->stall_told == 0 || now - s->stall_told >= TELL_INT) {
            s->stall_told = now;
            fh_event e = {.type = FH_EVENT_BFD_STALLED, .v = {n->asleep - f->asleep_mark, n->stall}};
            tell(n, s, now, &e);
        }
    }
}

static fh_bfd_input input_of(fh_bfd_node *n, uint8_t event, uint8_t arg, fh_ns now) {
    fh_bfd_input in = {.now = now,
                       .rx_time = now,
                       .asleep = n->asleep,
                       .stall = n->stall,
                       .random = fh_bfd_node_random(n),
                       .event = event,
                       .arg = arg};
    return in;
}

static void step(fh_bfd_node *n, fh_bs *s, uint8_t event, uint8_t arg, fh_ns rx_time, fh_ns deadline,
                 fh_ns now) {
    fh_bfd_input in = input_of(n, event, arg, now);
    const fh_bfd_params *p = &s->conf->fsm;
    fh_ns detect = fh_bfd_detect_int(p, &s->fsm);

    in.rx_time = rx_time;
    fh_bfd_actions a = fh_bfd_step(p, &s->fsm, &in);
    perform(n, s, &a, deadline, detect, now);
}

void fh_bfd_node_input(fh_bfd_node *n, fh_bs *s, uint8_t event, uint8_t arg, fh_ns now) {
    step(n, s, event, arg, now, 0, now);
    show(s);
}

/* ------------------------------------------------------------------ sessions */

void fh_bfd_node_init(fh_bfd_node *n, const uint64_t seed[4], const fh_bfd_node_io *ops, void *io) {
    memcpy(n->rng, seed, sizeof(n->rng));
    n->ops = ops;
    n->io = io;
    n->fastest = FH_NEVER;
    n->aways = 0;
}

bool fh_bfd_node_add(fh_bfd_node *n, fh_bs *s, uint32_t slot, const fh_bs_conf *conf, fh_ns now) {
    if (slot >= n->slots || n->sessions[slot] != NULL) return false;
    s->way.least_ttl = conf->least_ttl;
    if (!fh_bfd_table_add(&n->table, &s->way)) return false;
    uint64_t token = (uint64_t)fh_bfd_node_random(n) << 32 | fh_bfd_node_random(n);
    s->slot = slot;
    s->conf = conf;
    fh_bfd_init(&conf->fsm, &s->fsm, s->way.discr, fh_bfd_node_random(n), token, now);
    fh_timer_init(&s->t_tx, KIND_TX, (uint16_t)offsetof(fh_bs, t_tx));
    fh_timer_init(&s->t_detect, KIND_DETECT, (uint16_t)offsetof(fh_bs, t_detect));
    fh_timer_init(&s->t_echo, KIND_ECHO, (uint16_t)offsetof(fh_bs, t_echo));
    n->sessions[slot] = s;
    n->count++;
    SHOW(s->changed, now);
    SHOW(s->margin_least, -1);
    fh_timer_set(&n->timers, &s->t_tx, s->fsm.tx_at);
    show(s);
    return true;
}

void fh_bfd_node_replace(fh_bfd_node *n, fh_bs *s, const fh_bs_conf *conf, fh_ns now) {
    s->conf = conf;
    s->way.least_ttl = conf->least_ttl;
    step(n, s, FH_BFD_EV_RECONFIGURE, 0, now, 0, now);
    show(s);
    n->fastest_old = true;
}

static void leave(fh_bfd_node *n, fh_bs *s) {
    fh_timer_cancel(&n->timers, &s->t_tx);
    fh_timer_cancel(&n->timers, &s->t_detect);
    fh_timer_cancel(&n->timers, &s->t_echo);
    n->ops->gone(n->io, s);
}

void fh_bfd_node_stop(fh_bfd_node *n, fh_bs *s, bool graceful, fh_ns now) {
    if (s->fsm.state != FH_BFD_ADMIN_DOWN)
        step(n, s, FH_BFD_EV_ADMIN_DOWN, FH_BFD_DIAG_ADMIN_DOWN, now, 0, now);
    s->removing = true;
    if (!graceful || fh_bfd_may_delete(&s->conf->fsm, &s->fsm, now)) {
        leave(n, s);
        return;
    }
    if (s->t_tx.at > s->fsm.admin_until) fh_timer_set(&n->timers, &s->t_tx, s->fsm.admin_until);
}

void fh_bfd_node_remove(fh_bfd_node *n, fh_bs *s) {
    fh_bfd_table_remove(&n->table, &s->way);
    n->sessions[s->slot] = NULL;
    n->count--;
    n->fastest_old = true;
}

/* ------------------------------------------------------------------ what arrives */

void fh_bfd_node_count_refused(fh_bfd_node *n, fh_bs *s, enum fh_bfd_rx why, const fh_addr *src, fh_ns now) {
    fh_ns *told = s != NULL ? &s->reject_told : &n->reject_told;
    uint8_t *told_why = s != NULL ? &s->told_reject : &n->told_reject;
    uint32_t count;

    if (s != NULL) {
        count = LOOK(s->refused[why]) + 1;
        SHOW(s->refused[why], count);
    } else {
        uint64_t all = LOOK(n->refused[why]) + 1;
        SHOW(n->refused[why], all);
        count = (uint32_t)all;
    }
    fh_ns quiet = *told_why == (uint8_t)why ? 10 * TELL_INT : TELL_INT;
    if (*told != 0 && now - *told < quiet) return;
    *told = now;
    *told_why = (uint8_t)why;
    fh_event e = {.at = now,
                  .type = FH_EVENT_BFD_REJECT,
                  .inst = s != NULL ? s->slot : UINT32_MAX,
                  .arg = {(uint32_t)why, count},
                  .addr = *src};
    n->ops->event(n->io, &e);
}

/* The interval that ends with a packet. Jitter makes intervals 75 to 100 % of what was agreed, so n of them
 * take about 0.875 n. */
static void measure(fh_bs *s, fh_ns before, fh_ns rx_time, fh_ns agreed, fh_ns detect_at) {
    fh_ns gap = rx_time - before;

    if (gap <= 0) return;
    if (s->first_sample) { /* it began while the neighbour still sent once a second */
        s->first_sample = fh_bfd_rx_int(&s->conf->fsm, &s->fsm) >= FH_BFD_SLOW_US * FH_NS_PER_USEC / 2;
        return;
    }
    fh_bfd_gauge_add(&s->rx_gauge, gap);
    if (gap > agreed * 5 / 4 && agreed > 0) {
        fh_ns intervals = (gap * 8 / agreed + 3) / 7;
        if (intervals > 1) fh_bs_count(s, FH_BFD_STAT_MISSED, (uint64_t)(intervals - 1));
    }
    if (detect_at == FH_NEVER) return;
    fh_ns left = detect_at > rx_time ? detect_at - rx_time : 0, least = LOOK(s->margin_least);
    if (least < 0 || left < least) SHOW(s->margin_least, left);
}

static bool within(const fh_bfd_accept *rule, const fh_addr *a) {
    unsigned whole = rule->prefixlen / 8U, rest = rule->prefixlen % 8U;

    if (memcmp(a->b, rule->prefix.b, whole) != 0) return false;
    return rest == 0 || ((a->b[whole] ^ rule->prefix.b[whole]) >> (8 - rest)) == 0;
}

/* RFC 9468: a neighbour that we do not know asks for a session. */
static enum fh_bfd_rx asked(fh_bfd_node *n, const fh_bfd_arrival *from, const fh_bfd_packet *packet,
                            fh_ns now) {
    const fh_bfd_accepts *all = n->accepts;
    bool here = false, welcome = false;

    if (all == NULL || from->port != FH_BFD_PORT_SINGLE) return FH_BFD_RX_NO_SESSION;
    for (uint32_t i = 0; i < all->count && !welcome; i++) {
        const fh_bfd_accept *rule = &all->rule[i];
        if (rule->ifindex != from->ifindex || rule->family != from->family) continue;
        here = true;
        welcome = within(rule, &from->src);
    }
    if (!here) return FH_BFD_RX_NO_SESSION;
    if (fh_bfd_check_ttl(from->ttl, 255) != FH_BFD_RX_OK) return FH_BFD_RX_TTL;
    if (!welcome || packet->state != FH_BFD_DOWN) return FH_BFD_RX_LIMIT;
    if (now - n->accept_window >= FH_NS_PER_SEC) {
        n->accept_window = now;
        n->accept_told = 0;
    }
    if (n->accept_told >= all->rate) return FH_BFD_RX_LIMIT;
    n->accept_told++;
    fh_event e = {.at = now,
                  .type = FH_EVENT_BFD_ASKED,
                  .inst = UINT32_MAX,
                  .arg = {from->ifindex, from->family, packet->my_discr, packet->detect_mult},
                  .v = {packet->min_tx_us, packet->min_rx_us},
                  .addr = from->src};
    memcpy(&e.v[2], from->dst.b, 16);
    n->ops->event(n->io, &e);
    return FH_BFD_RX_NO_SESSION;
}

/* A packet that has found its session. */
static enum fh_bfd_rx deliver(fh_bfd_node *n, fh_bs *s, const fh_bfd_packet *packet, const uint8_t *data,
                              fh_ns rx_time, fh_ns now) {
    fh_bfd_input in = input_of(n, 0, 0, now);
    fh_bfd_actions a;
    const fh_bfd_params *p = &s->conf->fsm;
    fh_ns before = s->fsm.last_rx, detect_at = s->fsm.detect_at, agreed = fh_bfd_rx_int(p, &s->fsm);
    fh_ns detect = fh_bfd_detect_int(p, &s->fsm);
    uint32_t seq = s->fsm.rcv_seq;
    bool was_up = s->fsm.state == FH_BFD_UP, counted = s->fsm.seq_known;

    in.rx_time = rx_time;
    enum fh_bfd_rx r = fh_bfd_receive(p, &s->fsm, &in, packet, data, &a);
    if (r != FH_BFD_RX_OK && r != FH_BFD_RX_ADMIN_DOWN) return r;
    if (r == FH_BFD_RX_OK) {
        fh_bs_count(s, FH_BFD_STAT_RX, 1);
        SHOW(s->last_rx, s->fsm.last_rx);
        if (was_up && s->fsm.state == FH_BFD_UP) {
            /* an answer to our Poll comes outside the neighbour's schedule */
            if (!(packet->flags & FH_BFD_FINAL)) measure(s, before, rx_time, agreed, detect_at);
            if (counted && (packet->flags & FH_BFD_AUTH) && fh_bfd_auth_is_meticulous(packet->auth_type) &&
                s->fsm.rcv_seq - seq > 1)
                fh_bs_count(s, FH_BFD_STAT_LOST, s->fsm.rcv_seq - seq - 1);
        }
    }
    perform(n, s, &a, 0, detect, now);
    return r;
}

enum fh_bfd_rx fh_bfd_node_packet(fh_bfd_node *n, const fh_bfd_arrival *from, const uint8_t *data,
                                  size_t length, fh_ns rx_time, fh_ns now) {
    fh_bfd_packet packet;
    fh_bfd_way *way = NULL;
    enum fh_bfd_rx r = fh_bfd_decode(data, length, &packet);

    if (r == FH_BFD_RX_OK) r = fh_bfd_table_find(&n->table, &packet, from, &way);
    if (r == FH_BFD_RX_NO_SESSION) r = asked(n, from, &packet, now);
    fh_bs *s = way != NULL ? fh_bs_of(way) : NULL;
    if (r == FH_BFD_RX_OK && s != NULL) r = deliver(n, s, &packet, data, rx_time, now);
    if (r != FH_BFD_RX_OK) fh_bfd_node_count_refused(n, s, r, &from->src, now);
    return r;
}

/* ------------------------------------------------------------------ Echo */

enum fh_bfd_rx fh_bfd_node_echo(fh_bfd_node *n, const fh_bfd_arrival *from, const uint8_t *data,
                                size_t length, fh_ns rx_time, fh_ns now) {
    fh_bfd_way *way = NULL;
    uint32_t discr = fh_bfd_echo_discr(data, length);

    if (discr != 0) {
        way = fh_bfd_table_discr(&n->table, discr);
        fh_bs *s = way != NULL ? fh_bs_of(way) : NULL;
        if (s != NULL && fh_bfd_echo_is_ours(&s->fsm, data, length)) {
            fh_bs_count(s, FH_BFD_STAT_ECHO_RX, 1);
            /* how long it was under way, from the low half of the clock in microseconds that it carries */
            uint32_t sent = fh_get32(data + 12), took = (uint32_t)(rx_time / FH_NS_PER_USEC) - sent;
            if (took < 60000000u) fh_bfd_gauge_add(&s->echo_gauge, (fh_ns)took * FH_NS_PER_USEC);
            step(n, s, FH_BFD_EV_ECHO_BACK, 0, rx_time, 0, now);
            return FH_BFD_RX_OK;
        }
        fh_bfd_node_count_refused(n, s, FH_BFD_RX_LOOPED, &from->src, now);
        return FH_BFD_RX_LOOPED;
    }
    /* Unaffiliated Echo (RFC 9747) is a control packet of ours: its own discriminator says whose. */
    fh_bfd_packet packet;
    enum fh_bfd_rx r = fh_bfd_decode(data, length, &packet);
    fh_bs *s = NULL;
    if (r == FH_BFD_RX_OK) {
        way = fh_bfd_table_discr(&n->table, packet.my_discr);
        s = way != NULL ? fh_bs_of(way) : NULL;
        if (s == NULL || s->conf->fsm.kind != FH_BFD_KIND_LOOPED) {
            s = NULL;
            r = FH_BFD_RX_LOOPED;
        } else if (s->way.family != from->family ||
                   (s->way.ifindex != 0 && s->way.ifindex != from->ifindex)) {
            r = FH_BFD_RX_WRONG_PATH;
        } else {
            /* 254 and nothing else: what comes back unchanged was not forwarded (RFC 9747 2) */
            r = from->ttl == 254 ? deliver(n, s, &packet, data, rx_time, now) : FH_BFD_RX_TTL;
        }
    }
    if (r != FH_BFD_RX_OK) fh_bfd_node_count_refused(n, s, r, &from->src, now);
    return r;
}

/* ------------------------------------------------------------------ time */

/* A hiccup hides no long sleep before it, nor that one a shorter sleep after it. */
static void remember_sleep(fh_bfd_node *n, fh_ns length, fh_ns now) {
    unsigned k = n->aways;

    while (k > 0 && (n->away[k - 1].length <= length || now - n->away[k - 1].ended > AWAY_COUNTS))
        k--;
    if (k == FH_BFD_SLEEPS) memmove(&n->away[0], &n->away[1], --k * sizeof(n->away[0]));
    n->away[k] = (fh_bfd_sleep){.ended = now, .length = length};
    n->aways = k + 1;
}

fh_ns fh_bfd_node_woke(fh_bfd_node *n, fh_ns since, fh_ns due, fh_ns now) {
    n->woke = now;
    n->stall = 0;
    n->drained = false;
    if (due > now) {
        n->late_before = false;
        return 0;
    }
    fh_ns least = fh_bfd_node_fastest(n) / 4;
    if (least > SLEPT_MOST) least = SLEPT_MOST;
    if (least < SLEPT_LEAST) least = SLEPT_LEAST;
    fh_ns lateness = now - due;
    if (lateness <= least) {
        n->late_before = false;
        return 0;
    }
    n->stall = lateness;
    /* Not twice in a row, and no more than the lateness again: on a machine that is always late a dead
     * neighbour has to be found, too. */
    fh_ns waited = due > since ? due - since : 0;
    if (lateness > SLEPT_LONG && !n->late_before) n->stall += waited < lateness ? waited : lateness;
    n->late_before = true;
    n->asleep += n->stall;
    remember_sleep(n, n->stall, now);
    return lateness;
}

/* One session's window has ended. */
static void judge_path(fh_bfd_node *n, fh_bs *s, fh_ns now) {
    uint64_t rx = LOOK(s->stat[FH_BFD_STAT_RX]) - s->window_rx;
    uint64_t missed = LOOK(s->stat[FH_BFD_STAT_MISSED]) - s->window_missed;
    uint8_t level = s->fsm.backoff;

    s->window_from = now;
    s->window_rx += rx;
    s->window_missed += missed;
    if (s->fsm.state != FH_BFD_UP || s->fsm.demand_on || rx + missed < CONGESTION_LEAST) return;
    bool bad = missed * 5 >= rx + missed, good = missed * 100 <= rx + missed;
    s->calm = good && s->calm < UINT8_MAX ? s->calm + 1 : 0;
    if (bad && level < CONGESTION_MOST) {
        level++;
    } else if (s->calm >= CONGESTION_CALM && level > 0) {
        level--;
        s->calm = 0;
    } else {
        return;
    }
    fh_bfd_node_input(n, s, FH_BFD_EV_BACKOFF, level, now);
}

void fh_bfd_node_congestion(fh_bfd_node *n, fh_ns now) {
    for (uint32_t i = 0, seen = 0; i < n->slots && seen < n->count; i++) {
        fh_bs *s = n->sessions[i];
        if (s == NULL) continue;
        seen++;
        if (s->way.port != FH_BFD_PORT_MULTI || s->removing) continue;
        if (now - s->window_from >= CONGESTION_WINDOW) judge_path(n, s, now);
    }
}

void fh_bfd_node_slept(fh_bfd_node *n, fh_ns slept, fh_ns now) {
    remember_sleep(n, slept, now);
}

bool fh_bfd_node_was_away(const fh_bfd_node *n, const fh_bs *s) {
    const fh_bfd_params *p = &s->conf->fsm;
    fh_ns patience = (p->detect_mult > 1 ? p->detect_mult - 1 : 1) * p->min_tx_us * FH_NS_PER_USEC;

    for (unsigned i = 0; i < n->aways; i++)
        if (s->fsm.last_rx <= n->away[i].ended && n->away[i].length >= patience) return true;
    return false;
}

static void drain(fh_bfd_node *n, fh_ns now) {
    if (n->drained) return;
    n->drained = true;
    n->ops->drain(n->io, now);
}

/* Packets that are almost due go with those that are: one wake-up serves them all, here and at a neighbour
 * that they have in common. The interval stays above the three quarters that jitter allows. */
static bool almost_due(const fh_bfd_node *n, fh_ns now) {
    const fh_timer *t = n->timers.count != 0 ? n->timers.slots[0].timer : NULL;

    if (n->count < TOGETHER_FROM || t == NULL || t->kind != KIND_TX) return false;
    const fh_bs *s = (const fh_bs *)(const void *)((const char *)t - t->offset);
    fh_ns interval = fh_bfd_tx_int(&s->conf->fsm, &s->fsm), early = interval / TOGETHER_SHARE;
    if (early > TOGETHER_MOST) early = TOGETHER_MOST;
    return t->at - now <= early && now - s->fsm.last_tx >= interval / 4 * 3 + 1 && s->fsm.last_tx != 0;
}

static void run_timer(fh_bfd_node *n, fh_timer *t, fh_ns was, fh_ns now) {
    fh_bs *s = FH_TIMER_OWNER(t, fh_bs);

    switch (t->kind) {
    case KIND_TX:
        if (s->removing && fh_bfd_may_delete(&s->conf->fsm, &s->fsm, now)) {
            leave(n, s);
            return; /* its memory is no longer ours */
        }
        if (s->fsm.state == FH_BFD_UP && now > was &&
            (uint64_t)(now - was) / 1000 > LOOK(s->stat[FH_BFD_STAT_LATE_US_MAX]))
            SHOW(s->stat[FH_BFD_STAT_LATE_US_MAX], (uint64_t)(now - was) / 1000);
        if (was > now) s->fsm.tx_at = now;
        step(n, s, FH_BFD_EV_TX, 0, now, was, now);
        if (s->removing && s->t_tx.at > s->fsm.admin_until)
            fh_timer_set(&n->timers, &s->t_tx, s->fsm.admin_until);
        break;
    case KIND_DETECT:
        drain(n, now);
        step(n, s, FH_BFD_EV_DETECT, 0, now, was, now);
        break;
    default:
        if (now >= s->fsm.echo_expire_at) drain(n, now);
        step(n, s, FH_BFD_EV_ECHO, 0, now, was, now);
        break;
    }
    /* Whatever the machine says, one session does not keep the others from their turn. */
    if (t->at <= now) fh_timer_set(&n->timers, t, now + FH_NS_PER_MSEC);
}

void fh_bfd_node_run(fh_bfd_node *n, fh_ns now) {
    fh_ns was = 0;
    fh_timer *t;

    while ((t = fh_timers_pop(&n->timers, now, &was)) != NULL)
        run_timer(n, t, was, now);
    for (unsigned i = 0; i < TOGETHER_BATCH && almost_due(n, now); i++)
        if ((t = fh_timers_pop(&n->timers, FH_NEVER, &was)) != NULL) run_timer(n, t, was, now);
}
