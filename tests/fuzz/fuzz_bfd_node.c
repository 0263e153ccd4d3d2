/* Fuzz target: everything that a BFD daemon does with octets from the network. Each record is how a packet
 * arrived and the packet; it goes through decoding, the table, the machine, Echo, unsolicited requests and
 * the VRRP instances that follow sessions. Between records time passes. What must hold is checked after each.
 */
#include <stdlib.h>

#include "fh_bfd_join.h"
#include "fh_bfd_node.h"

#define SESSIONS 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so) {
    if (!so) abort();
}

typedef struct {
    fh_bfd_node bfd;
    fh_node vrrp;
    fh_bfd_join join;
    fh_bs session[SESSIONS];
    fh_bs_conf conf[SESSIONS];
    fh_bfd_key keys[2];
    fh_bs *sessions[8];
    fh_timer_slot slots[24], vrrp_slots[16];
    fh_bfd_way *by_discr[8], *by_peer[8];
    fh_inst inst;
    fh_inst_conf inst_conf;
    fh_inst *insts[2];
    fh_group groups[1];
    fh_link links[1];
    fh_bfd_follow *by_session[8];
    fh_bfd_follows *by_inst[2];
    uint64_t told, sent;
    fh_ns now;
} world;

static void io_send(void *io, fh_bs *s, bool final) {
    uint8_t packet[600];
    fh_bfd_packet read;
    world *w = io;
    size_t length = fh_bfd_write(&s->conf->fsm, &s->fsm, w->now, final, packet, sizeof(packet));
    must(length >= FH_BFD_LEN && fh_bfd_decode(packet, length, &read) == FH_BFD_RX_OK);
    must(read.my_discr == s->way.discr && read.state == s->fsm.state);
    w->sent++;
}

static void io_echo(void *io, fh_bs *s) {
    uint8_t packet[FH_BFD_ECHO_LEN];
    must(fh_bfd_write_echo(&s->fsm, ((world *)io)->now, packet) == FH_BFD_ECHO_LEN);
}

static void io_drain(void *io, fh_ns now) {
    (void)io;
    (void)now;
}

static void io_state(void *io, fh_bs *s, uint8_t old, uint8_t cause, fh_ns now) {
    must(old != s->fsm.state);
    fh_bfd_join_state(&((world *)io)->join, s, old, cause, now);
}

static void io_gone(void *io, fh_bs *s) {
    fh_bfd_node_remove(&((world *)io)->bfd, s);
}

static void io_event(void *io, const fh_event *e) {
    (void)e;
    ((world *)io)->told++;
}

static const fh_bfd_node_io bfd_io = {io_send, io_echo, io_drain, io_state, io_gone, io_event};

static void v_inst(void *io, fh_inst *inst) {
    (void)io;
    (void)inst;
}
static void v_advert(void *io, fh_inst *inst, uint8_t priority) {
    (void)io;
    (void)inst;
    (void)priority;
}
static void v_announce(void *io, fh_inst *inst, unsigned repeat) {
    (void)io;
    (void)inst;
    (void)repeat;
}
static const fh_node_io vrrp_io = {.advert = v_advert,
                                   .acquire = v_inst,
                                   .release = v_inst,
                                   .hush = v_inst,
                                   .announce = v_announce,
                                   .silence = v_inst,
                                   .renew = v_inst,
                                   .stopped = v_inst,
                                   .event = io_event};

/* A plain session, one with keys, one over several hops, unaffiliated Echo, an S-BFD initiator. */
static void prepare(world *w) {
    static const uint64_t seed[4] = {1, 2, 3, 4};
    w->now = 100 * FH_NS_PER_SEC;
    w->bfd.sessions = w->sessions;
    w->bfd.slots = 8;
    fh_timers_init(&w->bfd.timers, w->slots, 24);
    w->bfd.table = (fh_bfd_table){w->by_discr, w->by_peer, 7};
    fh_bfd_node_init(&w->bfd, seed, &bfd_io, w);
    w->vrrp.insts = w->insts;
    w->vrrp.inst_slots = 2;
    w->vrrp.groups = w->groups;
    w->vrrp.group_slots = 1;
    w->vrrp.links = w->links;
    w->vrrp.link_slots = 1;
    fh_timers_init(&w->vrrp.timers, w->vrrp_slots, 16);
    fh_node_init(&w->vrrp, &vrrp_io, w);
    w->join = (fh_bfd_join){&w->vrrp, &w->bfd, w->by_session, w->by_inst};
    must(fh_bfd_key_init(&w->keys[0], 1, 1, "one", 3) && fh_bfd_key_init(&w->keys[1], 2, 5, "two", 3));
    for (uint32_t i = 0; i < SESSIONS; i++) {
        fh_bs *s = &w->session[i];
        bool many = i == 2;
        w->conf[i] = (fh_bs_conf){.fsm = {.min_tx_us = 10000,
                                          .min_rx_us = 10000,
                                          .min_echo_rx_us = i == 0 ? 1000 : 0,
                                          .echo_tx_us = i == 0 ? 5000 : 0,
                                          .detect_mult = 3,
                                          .tx_key = i == 1 ? 1 : FH_BFD_TX_KEY_NONE,
                                          .key_count = i == 1 ? 2 : 0,
                                          .keys = w->keys,
                                          .kind = i == 3   ? FH_BFD_KIND_LOOPED
                                                  : i == 4 ? FH_BFD_KIND_SBFD
                                                           : FH_BFD_KIND_SESSION,
                                          .remote_discr = i == 4 ? 9 : 0},
                                  .least_ttl = many     ? 0
                                               : i == 3 ? 254
                                                        : 255};
        s->way = (fh_bfd_way){.peer = {{10, 0, 0, (uint8_t)i}},
                              .discr = 1 + i,
                              .port = many     ? FH_BFD_PORT_MULTI
                                      : i == 4 ? FH_BFD_PORT_SBFD
                                               : FH_BFD_PORT_SINGLE,
                              .family = FH_AF_INET,
                              .ifindex = many ? 0 : 1};
        must(fh_bfd_node_add(&w->bfd, s, i, &w->conf[i], w->now));
    }
    w->inst_conf = (fh_inst_conf){.fsm = {.adver_int = FH_NS_PER_SEC,
                                          .version = 3,
                                          .base_priority = 100,
                                          .down_adverts = 3,
                                          .preempt = true},
                                  .group = FH_NO_GROUP};
    fh_node_add(&w->vrrp, &w->inst, 0, &w->inst_conf, w->now);
    fh_node_told(&w->vrrp, &w->inst, 0, FH_FAULT_DISABLED, 0, w->now);
}

static void sane(const world *w) {
    must(w->bfd.timers.count <= 3 * SESSIONS && w->bfd.count <= SESSIONS);
    for (int i = 0; i < SESSIONS; i++) {
        const fh_bs *s = &w->session[i];
        must(s->fsm.state <= FH_BFD_UP && s->fsm.local_discr == s->way.discr);
        must(s->fsm.last_rx <= w->now && s->fsm.last_tx <= w->now);
        must(fh_bs_stat(s, FH_BFD_STAT_UPS) >= fh_bs_stat(s, FH_BFD_STAT_DOWNS));
    }
    must(w->inst.fsm.priority >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint16_t ports[] = {FH_BFD_PORT_SINGLE, FH_BFD_PORT_MULTI, FH_BFD_PORT_ECHO,
                                     FH_BFD_PORT_SBFD};
    world *w = calloc(1, sizeof(*w));
    fh_bfd_follows *follows = calloc(1, sizeof(*follows) + 2 * sizeof(fh_bfd_follow));
    fh_bfd_accepts *accepts = calloc(1, sizeof(*accepts) + sizeof(fh_bfd_accept));
    must(w != NULL && follows != NULL && accepts != NULL);
    prepare(w);
    follows->count = 2;
    follows->follow[0] = (fh_bfd_follow){.session = 0, .takeover = true};
    follows->follow[1] = (fh_bfd_follow){.session = 1, .weight = -20};
    fh_bfd_join_set(&w->join, 0, follows, w->now);
    *accepts = (fh_bfd_accepts){.count = 1, .rate = 4};
    accepts->rule[0] = (fh_bfd_accept){.ifindex = 1, .family = FH_AF_INET, .prefixlen = 30};
    w->bfd.accepts = accepts;
    while (size >= 6) {
        size_t length = data[5] < size - 6 ? data[5] : size - 6;
        fh_ns since = w->now, due = fh_bfd_node_next(&w->bfd);
        w->now += data[0] * INT64_C(250000);
        fh_bfd_node_woke(&w->bfd, since, due, w->now);
        fh_bfd_arrival a = {.src = {{10, 0, 0, data[1] & 7}},
                            .dst = {{10, 0, 0, 9}},
                            .ifindex = data[1] >> 6,
                            .port = ports[data[2] & 3],
                            .family = data[2] & 4 ? FH_AF_INET6 : FH_AF_INET,
                            .ttl = data[3] & 1   ? 255
                                   : data[3] & 2 ? 254
                                                 : data[3]};
        fh_ns rx_time = w->now - (data[4] & 15) * FH_NS_PER_MSEC;
        enum fh_bfd_rx r = a.port == FH_BFD_PORT_ECHO
                               ? fh_bfd_node_echo(&w->bfd, &a, data + 6, length, rx_time, w->now)
                               : fh_bfd_node_packet(&w->bfd, &a, data + 6, length, rx_time, w->now);
        must(r < FH_BFD_RX_N);
        sane(w);
        fh_bfd_node_run(&w->bfd, w->now);
        w->vrrp.woke = w->now;
        fh_node_run_timers(&w->vrrp, w->now);
        sane(w);
        data += 6 + length;
        size -= 6 + length;
    }
    must(w->sent < 100000);
    free(accepts);
    free(follows);
    free(w);
    return 0;
}
