/* Two daemons' BFD sessions on a virtual wire and a virtual clock: fh_bfd_node, and the VRRP instances that
 * follow sessions (fh_bfd_join). */
#include "check.h"
#include "fh_bfd_join.h"
#include "fh_bfd_node.h"

#define SESSIONS 16
#define MS FH_NS_PER_MSEC

typedef struct {
    fh_ns at;
    uint16_t len;
    bool echo;
    uint8_t slot; /* of the session that sent it */
    uint8_t data[64];
} wire_packet;

typedef struct side {
    fh_bfd_node bfd;
    fh_node vrrp;
    fh_bfd_join join;
    fh_bs *sessions[SESSIONS];
    fh_bs session[SESSIONS];
    fh_bs_conf conf[SESSIONS];
    fh_timer_slot slots[SESSIONS * 3], vrrp_slots[64];
    fh_bfd_way *by_discr[16], *by_peer[16];
    fh_inst *insts[4];
    fh_inst inst[4];
    fh_inst_conf inst_conf[4];
    fh_group groups[2];
    fh_link links[4];
    fh_bfd_follow *by_session[SESSIONS];
    fh_bfd_follows *by_inst[4];
    wire_packet queue[4096];
    unsigned first, last;
    struct side *peer;
    bool deaf, mute;     /* what it sends is lost; what reaches it waits */
    unsigned lose_every; /* so many packets, one is lost; 0: none */
    unsigned sent, echoes, states, gone, stalled, asked, rejects, adverts;
    fh_event last_state, last_asked;
} side;

static fh_ns clock_now;
static side left, right;

static void io_send(void *io, fh_bs *s, bool final) {
    side *me = io;
    wire_packet *p = &me->peer->queue[me->peer->last % 4096];

    p->len = (uint16_t)fh_bfd_write(&s->conf->fsm, &s->fsm, clock_now, final, p->data, sizeof(p->data));
    CHECK(p->len != 0);
    p->at = clock_now;
    p->echo = false;
    p->slot = (uint8_t)s->slot;
    me->sent++;
    bool lost = me->lose_every != 0 && me->sent % me->lose_every == 0;
    if (!me->mute && !lost) me->peer->last++;
}

static void io_echo(void *io, fh_bs *s) {
    side *me = io;
    wire_packet *p = &me->queue[me->last % 4096]; /* it comes back */

    p->len = (uint16_t)fh_bfd_write_echo(&s->fsm, clock_now, p->data);
    p->at = clock_now;
    p->echo = true;
    p->slot = (uint8_t)s->slot;
    me->echoes++;
    if (!me->mute) me->last++;
}

static uint16_t port = FH_BFD_PORT_SINGLE;

static fh_bfd_arrival arrival(const side *me, const wire_packet *p) {
    fh_bfd_arrival a = {.family = FH_AF_INET, .port = port, .ifindex = 2, .ttl = 255};
    a.src = me == &left ? (fh_addr){{10, 0, p->slot, 2}} : (fh_addr){{10, 0, p->slot, 1}};
    a.dst = me == &left ? (fh_addr){{10, 0, p->slot, 1}} : (fh_addr){{10, 0, p->slot, 2}};
    return a;
}

static void hear(side *me, fh_ns now) {
    while (!me->deaf && me->first != me->last) {
        const wire_packet *p = &me->queue[me->first++ % 4096];
        fh_bfd_arrival a = arrival(me, p);
        if (p->echo)
            fh_bfd_node_echo(&me->bfd, &a, p->data, p->len, p->at, now);
        else
            fh_bfd_node_packet(&me->bfd, &a, p->data, p->len, p->at, now);
    }
}

static void io_drain(void *io, fh_ns now) {
    hear(io, now);
}

static void io_state(void *io, fh_bs *s, uint8_t old, uint8_t cause, fh_ns now) {
    side *me = io;
    me->states++;
    fh_bfd_join_state(&me->join, s, old, cause, now);
}

static void io_gone(void *io, fh_bs *s) {
    side *me = io;
    me->gone++;
    fh_bfd_node_remove(&me->bfd, s);
}

static void io_event(void *io, const fh_event *e) {
    side *me = io;
    if (e->type == FH_EVENT_BFD_STATE) me->last_state = *e;
    if (e->type == FH_EVENT_BFD_STALLED) me->stalled++;
    if (e->type == FH_EVENT_BFD_REJECT) me->rejects++;
    if (e->type == FH_EVENT_BFD_ASKED) {
        me->asked++;
        me->last_asked = *e;
    }
}

static const fh_bfd_node_io bfd_io = {.send = io_send,
                                      .echo = io_echo,
                                      .drain = io_drain,
                                      .state = io_state,
                                      .gone = io_gone,
                                      .event = io_event};

static void v_inst(void *io, fh_inst *inst) {
    (void)io;
    (void)inst;
}
static void v_advert(void *io, fh_inst *inst, uint8_t priority) {
    (void)inst;
    (void)priority;
    ((side *)io)->adverts++;
}
static void v_announce(void *io, fh_inst *inst, unsigned repeat) {
    (void)io;
    (void)inst;
    (void)repeat;
}
static void v_event(void *io, const fh_event *e) {
    (void)io;
    (void)e;
}
static const fh_node_io vrrp_io = {.advert = v_advert,
                                   .acquire = v_inst,
                                   .release = v_inst,
                                   .hush = v_inst,
                                   .announce = v_announce,
                                   .silence = v_inst,
                                   .renew = v_inst,
                                   .stopped = v_inst,
                                   .event = v_event};

static void prepare(side *me, side *peer, uint64_t seed) {
    uint64_t seeds[4] = {seed, 2, 3, 4};
    memset(me, 0, sizeof(*me));
    me->peer = peer;
    me->bfd.sessions = me->sessions;
    me->bfd.slots = SESSIONS;
    fh_timers_init(&me->bfd.timers, me->slots, SESSIONS * 3);
    me->bfd.table = (fh_bfd_table){me->by_discr, me->by_peer, 15};
    fh_bfd_node_init(&me->bfd, seeds, &bfd_io, me);
    me->vrrp.insts = me->insts;
    me->vrrp.inst_slots = 4;
    me->vrrp.groups = me->groups;
    me->vrrp.group_slots = 2;
    me->vrrp.links = me->links;
    me->vrrp.link_slots = 4;
    fh_timers_init(&me->vrrp.timers, me->vrrp_slots, 64);
    fh_node_init(&me->vrrp, &vrrp_io, me);
    me->join = (fh_bfd_join){&me->vrrp, &me->bfd, me->by_session, me->by_inst};
}

static fh_bs_conf plain(uint32_t us, uint8_t mult) {
    fh_bs_conf c = {.fsm = {.min_tx_us = us,
                            .min_rx_us = us,
                            .idle_tx_us = FH_BFD_SLOW_US,
                            .detect_mult = mult,
                            .tx_key = FH_BFD_TX_KEY_NONE},
                    .least_ttl = 255};
    return c;
}

static fh_bs *add(side *me, uint8_t slot, const fh_bs_conf *conf) {
    fh_bs *s = &me->session[slot];
    fh_bfd_arrival a = arrival(me, &(wire_packet){.slot = slot});
    memset(s, 0, sizeof(*s));
    me->conf[slot] = *conf;
    s->way = (fh_bfd_way){.peer = a.src,
                          .local = a.dst,
                          .has_local = true,
                          .discr = (me == &left ? 100u : 200u) + slot,
                          .ifindex = 2,
                          .port = port,
                          .family = FH_AF_INET};
    CHECK(fh_bfd_node_add(&me->bfd, s, slot, &me->conf[slot], clock_now));
    return s;
}

static void turn(side *me) {
    fh_bfd_node_woke(&me->bfd, clock_now, FH_NEVER, clock_now);
    hear(me, clock_now);
    fh_bfd_node_run(&me->bfd, clock_now);
    me->vrrp.woke = clock_now;
    fh_node_run_timers(&me->vrrp, clock_now);
}

/* Both sides, packets take no time. frozen: does not run. */
static void run_both(fh_ns length, const side *frozen) {
    fh_ns end = clock_now + length;
    while (clock_now < end) {
        fh_ns next = end;
        side *both[] = {&left, &right};
        for (int i = 0; i < 2; i++) {
            if (both[i] == frozen) continue;
            fh_ns a = fh_bfd_node_next(&both[i]->bfd), b = fh_node_next(&both[i]->vrrp);
            if (a < next) next = a;
            if (b < next) next = b;
        }
        if (next > clock_now) clock_now = next;
        for (int rounds = 0; rounds < 4; rounds++)
            for (int i = 0; i < 2; i++)
                if (both[i] != frozen) turn(both[i]);
    }
}

static void begin(void) {
    clock_now = 1000 * FH_NS_PER_SEC;
    prepare(&left, &right, 11);
    prepare(&right, &left, 22);
}

static void both_up(uint32_t us, uint8_t mult) {
    begin();
    fh_bs_conf c = plain(us, mult);
    add(&left, 0, &c);
    add(&right, 0, &c);
    run_both(3 * FH_NS_PER_SEC, NULL);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_UP);
    CHECK_INT(right.session[0].fsm.state, FH_BFD_UP);
}

static void comes_up_and_measures(void) {
    both_up(10000, 3);
    fh_bs_view v;
    fh_bs_look(&left.session[0], &v);
    CHECK_INT(v.shown & 0xff, FH_BFD_UP);
    CHECK_INT(v.detect_int, 30 * MS);
    const fh_bfd_gauge *g = &left.session[0].rx_gauge;
    CHECK(g->count > 200 && g->least >= 75 * MS / 10 && g->most <= 10 * MS);
    CHECK_INT(fh_bs_stat(&left.session[0], FH_BFD_STAT_MISSED), 0);
    CHECK_INT(fh_bs_stat(&left.session[0], FH_BFD_STAT_UPS), 1);
    CHECK(v.margin_least >= 20 * MS && v.margin_least < 30 * MS);
}

static void silence_is_found_in_time(void) {
    both_up(10000, 3);
    right.mute = true;
    fh_ns last = left.session[0].fsm.last_rx;
    run_both(10 * MS, NULL);
    last = left.session[0].fsm.last_rx;
    run_both(100 * MS, NULL);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_DOWN);
    CHECK_INT(left.last_state.arg[2], FH_BFD_WHY_EXPIRED);
    CHECK_INT(left.last_state.v[0], last + 30 * MS);
    CHECK_INT(left.last_state.v[3], last);
    CHECK_INT(left.last_state.v[5], 30 * MS);
    CHECK_INT(fh_bs_stat(&left.session[0], FH_BFD_STAT_DOWNS), 1);
}

static void a_lost_packet_is_missed(void) {
    both_up(10000, 5);
    right.mute = true;
    run_both(21 * MS, NULL);
    right.mute = false;
    run_both(FH_NS_PER_SEC, NULL);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_UP);
    uint64_t missed = fh_bs_stat(&left.session[0], FH_BFD_STAT_MISSED);
    CHECK(missed == 2 || missed == 3);
}

/* A process that was frozen: its queue is read before anybody is judged. */
static void frozen_with_a_queue(void) {
    both_up(10000, 3);
    /* the neighbour goes on for five seconds of its own, as if it did not mind our silence */
    right.deaf = true;
    fh_timer_cancel(&right.bfd.timers, &right.session[0].t_detect);
    run_both(5 * FH_NS_PER_SEC, &left);
    CHECK(left.last - left.first > 400);
    fh_ns due = fh_bfd_node_next(&left.bfd);
    CHECK(fh_bfd_node_woke(&left.bfd, due - MS, due, clock_now) > 4 * FH_NS_PER_SEC);
    fh_bfd_node_run(&left.bfd, clock_now); /* timers before sockets: the worst order */
    CHECK_INT(left.session[0].fsm.state, FH_BFD_UP);
}

/* The whole machine paused: nothing waits in the queue, and still nobody is accused, but for long. */
static void frozen_without_a_queue(void) {
    both_up(10000, 3);
    fh_ns since = clock_now, due = fh_bfd_node_next(&left.bfd);
    clock_now += FH_NS_PER_SEC;
    fh_bfd_node_woke(&left.bfd, since, due, clock_now);
    fh_bfd_node_run(&left.bfd, clock_now);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_UP);
    CHECK(left.session[0].fsm.detect_at > clock_now);
    right.mute = true;
    run_both(31 * MS, &right);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_DOWN); /* one detection time of being awake */
}

/* A machine so busy that every wake-up is late: the neighbour's death is found later, but it is found. */
static void always_late(void) {
    static const fh_ns lateness[] = {2 * MS, 12 * MS, 90 * MS, 400 * MS};
    for (int i = 0; i < 4; i++) {
        both_up(100000, 3);
        right.mute = true;
        fh_ns died = clock_now, since = clock_now;
        for (int turns = 0; turns < 100 && left.session[0].fsm.state == FH_BFD_UP; turns++) {
            fh_ns due = fh_bfd_node_next(&left.bfd);
            clock_now = due + lateness[i];
            fh_bfd_node_woke(&left.bfd, since, due, clock_now);
            fh_bfd_node_run(&left.bfd, clock_now);
            since = clock_now;
        }
        CHECK_INT(left.session[0].fsm.state, FH_BFD_DOWN);
        CHECK(clock_now - died <= 400 * MS + 7 * lateness[i]);
    }
}

/* 6.8.6 in the order of the text, each verdict counted at its session or as nobody's. */
static void refused_and_counted(void) {
    both_up(10000, 3);
    fh_bs *s = &left.session[0];
    uint8_t buf[64];
    fh_bfd_packet p = {.state = FH_BFD_DOWN, .detect_mult = 3, .my_discr = 200, .your_discr = 100};
    size_t len = fh_bfd_encode(&p, NULL, 0, buf, sizeof(buf), NULL);
    fh_bfd_arrival a = arrival(&left, &(wire_packet){.slot = 0});
    fh_bfd forged = s->fsm;

    a.ttl = 254;
    CHECK_INT(fh_bfd_node_packet(&left.bfd, &a, buf, len, clock_now, clock_now), FH_BFD_RX_TTL);
    CHECK_INT(fh_bs_refused(s, FH_BFD_RX_TTL), 1);
    a.ttl = 255;
    a.ifindex = 3;
    CHECK_INT(fh_bfd_node_packet(&left.bfd, &a, buf, len, clock_now, clock_now), FH_BFD_RX_WRONG_PATH);
    a.ifindex = 2;
    fh_put32(buf + 8, 4711);
    CHECK_INT(fh_bfd_node_packet(&left.bfd, &a, buf, len, clock_now, clock_now), FH_BFD_RX_YOUR_UNKNOWN);
    CHECK_INT(fh_bfd_node_refused(&left.bfd, FH_BFD_RX_YOUR_UNKNOWN), 1);
    buf[1] = FH_BFD_UP << 6;
    fh_put32(buf + 8, 0);
    CHECK_INT(fh_bfd_node_packet(&left.bfd, &a, buf, len, clock_now, clock_now), FH_BFD_RX_YOUR_ZERO_STATE);
    buf[2] = 0; /* two faults at once: the first of the text counts */
    CHECK_INT(fh_bfd_node_packet(&left.bfd, &a, buf, len, clock_now, clock_now), FH_BFD_RX_DETECT_MULT);
    buf[0] = 2 << 5;
    CHECK_INT(fh_bfd_node_packet(&left.bfd, &a, buf, len, clock_now, clock_now), FH_BFD_RX_VERSION);
    CHECK_INT(fh_bfd_node_packet(&left.bfd, &a, buf, 23, clock_now, clock_now), FH_BFD_RX_TOO_SHORT);
    CHECK(memcmp(&forged, &s->fsm, sizeof(forged)) == 0); /* BFD-016: nothing moved */
    CHECK_INT(left.rejects, 2);                           /* an event a second at most for each */
}

/* A neighbour that takes no packets any more (Required Min RX 0, BFD-038) while two Poll Sequences are due:
 * nothing is sent, and no timer asks for it again and again. */
static void poll_that_nobody_takes(void) {
    both_up(10000, 50);
    fh_bs *s = &left.session[0];
    fh_bs_conf slow = plain(20000, 50), slower = plain(30000, 50);
    right.deaf = true; /* answers no Poll */
    fh_bfd_node_replace(&left.bfd, s, &slow, clock_now);
    run_both(30 * MS, NULL);
    fh_bfd_node_replace(&left.bfd, s, &slower, clock_now);
    CHECK(s->fsm.poll && s->fsm.poll_pending);
    uint8_t buf[64];
    fh_bfd_packet p = {
        .state = FH_BFD_UP, .detect_mult = 50, .my_discr = 200, .your_discr = 100, .min_tx_us = 10000};
    size_t len = fh_bfd_encode(&p, NULL, 0, buf, sizeof(buf), NULL);
    fh_bfd_arrival a = arrival(&left, &(wire_packet){.slot = 0});
    CHECK_INT(fh_bfd_node_packet(&left.bfd, &a, buf, len, clock_now, clock_now), FH_BFD_RX_OK);
    CHECK_INT(s->t_tx.at == FH_NEVER, 1);
    unsigned sent = left.sent;
    clock_now += 100 * MS;
    fh_bfd_node_run(&left.bfd, clock_now);
    CHECK_INT(left.sent, sent);
    right.deaf = false;
    run_both(FH_NS_PER_SEC, NULL); /* the neighbour's own packets allow it again */
    CHECK(!s->fsm.poll && !s->fsm.poll_pending);
    CHECK_INT(s->fsm.state, FH_BFD_UP);
}

static void many_leave_together(void) {
    begin();
    fh_bs_conf c = plain(10000, 3);
    for (uint8_t i = 0; i < SESSIONS; i++) {
        add(&left, i, &c);
        add(&right, i, &c);
    }
    run_both(3 * FH_NS_PER_SEC, NULL);
    for (int i = 0; i < SESSIONS; i++) {
        CHECK_INT(left.session[i].fsm.state, FH_BFD_UP);
        const fh_bfd_gauge *g = &left.session[i].rx_gauge;
        CHECK(g->least >= 75 * MS / 10 && g->most <= 10 * MS); /* also when sent before their time */
    }
    right.mute = true;
    run_both(100 * MS, NULL);
    for (int i = 0; i < SESSIONS; i++)
        CHECK_INT(left.session[i].fsm.state, FH_BFD_DOWN);
    CHECK_INT(left.bfd.timers.count <= SESSIONS * 3, 1);
}

/* RFC 5880 7, BFD-093: several hops, every fourth packet lost. */
static void backs_off_over_several_hops(void) {
    for (int many = 0; many < 2; many++) {
        port = many ? FH_BFD_PORT_MULTI : FH_BFD_PORT_SINGLE;
        both_up(100000, 5);
        right.lose_every = 4;
        for (int i = 0; i < 25; i++) {
            run_both(FH_NS_PER_SEC, NULL);
            fh_bfd_node_congestion(&left.bfd, clock_now);
        }
        const fh_bfd *f = &left.session[0].fsm;
        CHECK_INT(f->state, FH_BFD_UP);
        CHECK_INT(f->backoff, many ? 2 : 0);
        CHECK_INT(f->desired_min_tx_us, many ? 400000 : 100000);
        right.lose_every = 0;
        for (int i = 0; i < 150; i++) {
            run_both(FH_NS_PER_SEC, NULL);
            fh_bfd_node_congestion(&left.bfd, clock_now);
        }
        CHECK_INT(f->backoff, 0);
        CHECK_INT(f->tx_min_us, 100000);
        CHECK_INT(fh_bs_stat(&left.session[0], FH_BFD_STAT_DOWNS), 0);
    }
    port = FH_BFD_PORT_SINGLE;
}

static void removed_after_saying_so(void) {
    both_up(10000, 3);
    fh_bfd_node_stop(&left.bfd, &left.session[0], true, clock_now);
    CHECK_INT(left.gone, 0);
    run_both(MS, NULL);
    CHECK_INT(right.session[0].fsm.state, FH_BFD_DOWN);
    CHECK_INT(right.last_state.arg[2], FH_BFD_WHY_NEIGHBOR_ADMIN);
    run_both(10 * FH_NS_PER_SEC, NULL);
    CHECK_INT(left.gone, 1);
    CHECK_INT(left.bfd.count, 0);
    CHECK_INT(left.bfd.timers.count, 0);
    fh_bfd_node_stop(&right.bfd, &right.session[0], false, clock_now);
    CHECK_INT(right.gone, 1);
}

static void asked_for(void) {
    fh_bfd_accepts *accepts = calloc(1, sizeof(*accepts) + sizeof(fh_bfd_accept));
    *accepts = (fh_bfd_accepts){.count = 1, .rate = 2};
    accepts->rule[0] =
        (fh_bfd_accept){.ifindex = 2, .family = FH_AF_INET, .prefixlen = 23, .prefix = {{10, 0, 0, 0}}};
    begin();
    left.bfd.accepts = accepts;
    fh_bs_conf c = plain(10000, 3);
    add(&right, 0, &c);
    add(&right, 1, &c);
    add(&right, 2, &c); /* 10.0.2.2: not within 10.0.0.0/23 */
    run_both(MS, NULL);
    CHECK_INT(left.asked, 2);
    CHECK_INT(left.last_asked.arg[0], 2);
    CHECK_INT(fh_bfd_node_refused(&left.bfd, FH_BFD_RX_LIMIT), 1);
    CHECK_INT(fh_bfd_node_refused(&left.bfd, FH_BFD_RX_NO_SESSION), 2);
    fh_bs_conf passive = plain(10000, 3);
    passive.fsm.passive = true;
    add(&left, 0, &passive);
    CHECK_INT(left.sent, 0);
    run_both(3 * FH_NS_PER_SEC, NULL);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_UP);
    free(accepts);
}

static void echo_fails(void) {
    begin();
    fh_bs_conf c = plain(50000, 3);
    c.fsm.echo_tx_us = 5000;
    c.fsm.min_echo_rx_us = 1000;
    add(&left, 0, &c);
    add(&right, 0, &c);
    run_both(5 * FH_NS_PER_SEC, NULL);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_UP);
    CHECK(left.session[0].fsm.echo_on);
    CHECK(left.session[0].echo_gauge.count > 400);
    CHECK_INT(left.session[0].fsm.required_min_rx_us, FH_BFD_SLOW_US);
    left.mute = true; /* loses its Echo, though control packets from the other side still come */
    run_both(30 * MS, NULL);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_DOWN);
    CHECK_INT(left.last_state.arg[2], FH_BFD_WHY_ECHO);
    CHECK_INT(left.session[0].fsm.local_diag, FH_BFD_DIAG_ECHO_FAILED);
}

/* ---- VRRP ---- */

static fh_inst *instance(side *me, uint32_t slot, uint8_t priority, uint32_t group) {
    fh_inst_conf *c = &me->inst_conf[slot];
    *c = (fh_inst_conf){.fsm = {.adver_int = FH_NS_PER_SEC,
                                .version = 3,
                                .base_priority = priority,
                                .down_adverts = 3,
                                .preempt = true,
                                .gated = group != FH_NO_GROUP},
                        .group = group};
    fh_node_add(&me->vrrp, &me->inst[slot], slot, c, clock_now);
    fh_node_told(&me->vrrp, &me->inst[slot], 0, FH_FAULT_DISABLED, 0, clock_now);
    return &me->inst[slot];
}

static void master_speaks(side *me, uint32_t slot, fh_addr from) {
    fh_vrrp_heard h = {.interval = FH_NS_PER_SEC, .src = from, .src_order = 1, .priority = 200};
    fh_node_heard(&me->vrrp, &me->inst[slot], &h, clock_now, clock_now);
}

static fh_bfd_follows *follow(fh_bfd_follow f) {
    fh_bfd_follows *all = calloc(1, sizeof(*all) + sizeof(f));
    all->count = 1;
    all->follow[0] = f;
    return all;
}

static const fh_addr master_addr = {{10, 0, 0, 2}}, other_addr = {{10, 0, 0, 9}};

static void takes_over_with(fh_bfd_follow f, fh_addr master, uint8_t want) {
    both_up(10000, 3);
    instance(&left, 0, 100, FH_NO_GROUP);
    free(fh_bfd_join_set(&left.join, 0, follow(f), clock_now));
    master_speaks(&left, 0, master);
    run_both(10 * MS, NULL);
    CHECK_INT(left.inst[0].fsm.state, FH_VRRP_BACKUP);
    right.mute = true;
    run_both(45 * MS, NULL);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_DOWN);
    CHECK_INT(left.inst[0].fsm.state, want);
    free(fh_bfd_join_set(&left.join, 0, NULL, clock_now));
    CHECK(left.join.by_session[0] == NULL);
}

static void takeover(void) {
    takes_over_with((fh_bfd_follow){.takeover = true}, master_addr, FH_VRRP_MASTER);
    takes_over_with((fh_bfd_follow){.takeover = true}, other_addr,
                    FH_VRRP_BACKUP); /* another router is master */
    takes_over_with((fh_bfd_follow){.takeover = true, .takeover_delay = MS}, master_addr, FH_VRRP_MASTER);
    takes_over_with((fh_bfd_follow){.takeover = true, .takeover_delay = 300 * MS}, master_addr,
                    FH_VRRP_BACKUP);
    takes_over_with((fh_bfd_follow){.initially_up = true}, master_addr, FH_VRRP_FAULT);
}

static void a_quicker_router_ends_the_wait(void) {
    both_up(10000, 3);
    instance(&left, 0, 100, FH_NO_GROUP);
    free(fh_bfd_join_set(&left.join, 0, follow((fh_bfd_follow){.takeover = true, .takeover_delay = 20 * MS}),
                         clock_now));
    master_speaks(&left, 0, master_addr);
    right.mute = true;
    run_both(40 * MS, NULL);
    CHECK_INT(left.session[0].fsm.state, FH_BFD_DOWN);
    CHECK_INT(left.inst[0].fsm.state, FH_VRRP_BACKUP);
    master_speaks(&left, 0, other_addr);
    run_both(100 * MS, NULL);
    CHECK_INT(left.inst[0].fsm.state, FH_VRRP_BACKUP);
    free(fh_bfd_join_set(&left.join, 0, NULL, clock_now));
}

/* A backup below us found the master dead a moment before us, and we heard its advert first: still our turn.
 */
static void a_lower_router_was_quicker(void) {
    for (int how = 0; how < 3; how++) {
        both_up(10000, 3);
        instance(&left, 0, 100, FH_NO_GROUP);
        if (how == 1) left.inst_conf[0].fsm.preempt = false; /* then whoever is master stays */
        free(fh_bfd_join_set(&left.join, 0, follow((fh_bfd_follow){.takeover = true}), clock_now));
        master_speaks(&left, 0, master_addr);
        right.mute = true;
        run_both(15 * MS, NULL);
        fh_vrrp_heard h = {
            .interval = FH_NS_PER_SEC, .src = other_addr, .src_order = 1, .priority = how == 2 ? 150 : 50};
        fh_node_heard(&left.vrrp, &left.inst[0], &h, clock_now, clock_now);
        run_both(40 * MS, NULL);
        CHECK_INT(left.session[0].fsm.state, FH_BFD_DOWN);
        CHECK_INT(left.inst[0].fsm.state, how == 0 ? FH_VRRP_MASTER : FH_VRRP_BACKUP);
        free(fh_bfd_join_set(&left.join, 0, NULL, clock_now));
    }
}

/* RFC 5882 3.2, 4.2: neither an end that was planned nor a neighbour that lost us is the master's death. */
static void no_takeover_on_admin_down(void) {
    for (int how = 0; how < 3; how++) {
        both_up(10000, 3);
        instance(&left, 0, 100, FH_NO_GROUP);
        free(fh_bfd_join_set(&left.join, 0, follow((fh_bfd_follow){.takeover = true, .weight = 30}),
                             clock_now));
        master_speaks(&left, 0, master_addr);
        CHECK_INT(left.inst[0].fsm.priority, 130);
        if (how == 0)
            fh_bfd_node_input(&right.bfd, &right.session[0], FH_BFD_EV_ADMIN_DOWN, FH_BFD_DIAG_ADMIN_DOWN,
                              clock_now);
        else if (how == 1)
            fh_bfd_node_input(&left.bfd, &left.session[0], FH_BFD_EV_ADMIN_DOWN, FH_BFD_DIAG_ADMIN_DOWN,
                              clock_now);
        else
            fh_bfd_node_input(&right.bfd, &right.session[0], FH_BFD_EV_FORWARDING_RESET, 0, clock_now);
        turn(&left);
        CHECK(left.session[0].fsm.state != FH_BFD_UP);
        CHECK_INT(left.inst[0].fsm.state, FH_VRRP_BACKUP);
        CHECK_INT(left.inst[0].fsm.priority, how == 2 ? 100 : 130);
        free(fh_bfd_join_set(&left.join, 0, NULL, clock_now));
    }
}

static void groups_move_together(void) {
    uint32_t members[] = {0, 1};
    for (int one_in_fault = 0; one_in_fault < 2; one_in_fault++) {
        both_up(10000, 3);
        instance(&left, 0, 100, 0);
        instance(&left, 1, 100, 0);
        fh_node_set_group(&left.vrrp, 0, members, 2, clock_now);
        free(fh_bfd_join_set(&left.join, 0, follow((fh_bfd_follow){.takeover = true}), clock_now));
        master_speaks(&left, 0, master_addr);
        master_speaks(&left, 1, (fh_addr){{10, 1, 0, 2}});
        if (one_in_fault) fh_node_told(&left.vrrp, &left.inst[1], FH_FAULT_SCRIPT, 0, 0, clock_now);
        right.mute = true;
        run_both(45 * MS, NULL);
        CHECK_INT(left.session[0].fsm.state, FH_BFD_DOWN);
        for (int i = 0; i < 2; i++)
            CHECK_INT(left.inst[i].fsm.state, one_in_fault ? FH_VRRP_FAULT : FH_VRRP_MASTER);
        free(fh_bfd_join_set(&left.join, 0, NULL, clock_now));
    }
}

static void faults_and_weights(void) {
    begin();
    fh_bs_conf c = plain(10000, 3);
    fh_inst *inst = instance(&left, 0, 100, FH_NO_GROUP);
    fh_inst *other = instance(&left, 1, 100, FH_NO_GROUP);
    add(&left, 0, &c);
    add(&right, 0, &c);
    free(fh_bfd_join_set(&left.join, 0, follow((fh_bfd_follow){.initially_up = false}), clock_now));
    free(fh_bfd_join_set(&left.join, 1, follow((fh_bfd_follow){.weight = -20, .reverse = true}), clock_now));
    CHECK(inst->faults & FH_FAULT_BFD);
    CHECK_INT(other->fsm.priority, 120);
    fh_node_told(&left.vrrp, inst, 0, FH_FAULT_BFD, 0, clock_now); /* not from above */
    CHECK(inst->faults & FH_FAULT_BFD);
    run_both(3 * FH_NS_PER_SEC, NULL);
    CHECK_INT(inst->faults, 0);
    CHECK_INT(other->fsm.priority, 100);
    right.mute = true;
    run_both(100 * MS, NULL);
    CHECK(inst->faults & FH_FAULT_BFD);
    CHECK_INT(other->fsm.priority, 120);
    free(fh_bfd_join_set(&left.join, 0, NULL, clock_now));
    free(fh_bfd_join_set(&left.join, 1, NULL, clock_now));
    CHECK_INT(inst->faults, 0);
}

int main(void) {
    RUN(comes_up_and_measures);
    RUN(silence_is_found_in_time);
    RUN(a_lost_packet_is_missed);
    RUN(frozen_with_a_queue);
    RUN(frozen_without_a_queue);
    RUN(always_late);
    RUN(refused_and_counted);
    RUN(poll_that_nobody_takes);
    RUN(many_leave_together);
    RUN(backs_off_over_several_hops);
    RUN(removed_after_saying_so);
    RUN(asked_for);
    RUN(echo_fails);
    RUN(takeover);
    RUN(a_quicker_router_ends_the_wait);
    RUN(a_lower_router_was_quicker);
    RUN(no_takeover_on_admin_down);
    RUN(groups_move_together);
    RUN(faults_and_weights);
    return check_failed != 0;
}
