/* The engine against the thread that commands it: instances, groups, links, sockets and packets at random,
 * states and counters read meanwhile, and an end at any moment. For TSan (-DFASTHA_SANITIZE=thread), and for
 * ASan, which sees what was freed too early or never. Needs CAP_NET_RAW. */
#include "check.h"
#include "fh_engine.h"
#include "fh_sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOTS 8
#define ROUNDS 12

typedef struct {
    fh_engine *e;
    fh_ei *ei[SLOTS]; /* as the main thread knows them: NULL once INST_DEL was sent */
    bool stopping[SLOTS], gone[SLOTS];
    fh_sock *sock;
    uint32_t *members;
    unsigned retired[5], given[5];
} bench;

static uint32_t loopback;
static int sender = -1;

static fh_ei_conf *conf_new(unsigned seed, uint32_t slot) {
    fh_ei_conf *c = calloc(1, sizeof *c);

    c->node.fsm = (fh_vrrp_params){.adver_int = FH_NS_PER_MSEC * (1 + seed % 5),
                                   .version = 3,
                                   .base_priority = (uint8_t)(1 + seed % 254),
                                   .down_adverts = 3,
                                   .preempt = true,
                                   .graceful = (seed & 1) != 0,
                                   .gated = slot < 2};
    c->node.ifindex = loopback;
    c->node.track_primary = (seed & 2) != 0;
    c->node.group = slot < 2 ? 0 : FH_NO_GROUP;
    c->node.repair_window = FH_NS_PER_SEC;
    c->rx = (fh_vrrp_rx_conf){.version = 3, .family = FH_AF_INET, .vrid = (uint8_t)(slot + 1), .interval = 1};
    fh_vrrp_rx_conf_prepare(&c->rx);
    c->family = FH_AF_INET;
    c->vrid = (uint8_t)(slot + 1);
    c->sock = slot < 4 ? 0 : FH_NO_SOCK;
    c->sock_vmac = FH_NO_SOCK;
    return c;
}

static void events(bench *b) {
    fh_event event;

    fh_engine_event_ack(b->e);
    while (fh_engine_event(b->e, &event)) {
        if (event.type == FH_EVENT_STOPPED) b->gone[event.inst] = true;
        if (event.type != FH_EVENT_RETIRED) continue;
        CHECK(event.arg[0] >= 1 && event.arg[0] <= 4);
        b->retired[event.arg[0]]++;
        if (event.arg[0] == 3) close(((fh_sock *)(intptr_t)event.v[0])->fd);
        free((void *)(intptr_t)event.v[0]);
    }
}

/* The ring may be full: then the engine has to be given time. */
static void say(bench *b, fh_command c) {
    while (!fh_engine_command(b->e, &c)) {
        events(b);
        usleep(100);
    }
}

static void step(bench *b, unsigned *seed) {
    uint32_t slot = (uint32_t)rand_r(seed) % SLOTS;
    fh_ei *ei = b->ei[slot];

    switch (rand_r(seed) % 12) {
    case 0:
        if (ei != NULL) break;
        b->ei[slot] = calloc(1, sizeof(fh_ei));
        b->stopping[slot] = b->gone[slot] = false;
        b->given[1]++;
        b->given[2]++;
        say(b, (fh_command){.type = FH_CMD_INST_ADD,
                            .slot = slot,
                            .p = b->ei[slot],
                            .q = conf_new((unsigned)rand_r(seed), slot)});
        break;
    case 1:
        if (ei == NULL || b->stopping[slot]) break;
        b->given[1]++;
        say(b, (fh_command){
                   .type = FH_CMD_INST_CONF, .slot = slot, .q = conf_new((unsigned)rand_r(seed), slot)});
        break;
    case 2:
    case 3:
        if (ei != NULL)
            say(b, (fh_command){.type = FH_CMD_INST_TOLD,
                                .slot = slot,
                                .a = rand_r(seed) % 4 == 0 ? FH_FAULT_SCRIPT : 0,
                                .b = FH_FAULT_DISABLED | FH_FAULT_SCRIPT,
                                .v = rand_r(seed) % 60 - 30});
        break;
    case 4:
        if (ei == NULL || b->stopping[slot]) break;
        b->stopping[slot] = true;
        say(b, (fh_command){.type = FH_CMD_INST_STOP, .slot = slot, .a = rand_r(seed) % 2 != 0});
        break;
    case 5:
        if (ei == NULL || !b->gone[slot]) break;
        b->ei[slot] = NULL; /* from now on the engine's alone, until it is retired */
        say(b, (fh_command){.type = FH_CMD_INST_DEL, .slot = slot});
        break;
    case 6:
        if (b->sock != NULL) {
            b->sock = NULL;
            say(b, (fh_command){.type = FH_CMD_SOCK_DEL, .slot = 0});
            break;
        }
        b->sock = calloc(1, sizeof(fh_sock));
        b->sock->fd = fh_sock_vrrp_rx(FH_AF_INET, FH_PROTO_VRRP, loopback, 0);
        CHECK(b->sock->fd >= 0);
        b->sock->ifindex = loopback;
        b->sock->family = FH_AF_INET;
        b->sock->protocol = FH_PROTO_VRRP;
        b->given[3]++;
        say(b, (fh_command){.type = FH_CMD_SOCK_ADD, .slot = 0, .p = b->sock});
        break;
    case 7: {
        uint32_t *members = malloc(2 * sizeof *members);
        members[0] = 0;
        members[1] = 1;
        b->given[4]++;
        say(b, (fh_command){.type = FH_CMD_GROUP, .slot = 0, .p = members, .a = 2});
        b->members = members;
        break;
    }
    case 8:
        say(b, (fh_command){.type = FH_CMD_LINK_SET, .slot = loopback, .a = rand_r(seed) % 4 != 0});
        break;
    case 9:
        say(b, (fh_command){.type = FH_CMD_PACE, .slot = 0, .v = rand_r(seed) % 1000});
        break;
    default: {
        uint8_t message[12] = {0x31, (uint8_t)(rand_r(seed) % 6), (uint8_t)rand_r(seed), 1, 0, 1};
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        uint32_t sum = fh_sum_add(0, message, sizeof message);
        fh_put16(message + 6, fh_sum_fold(sum));
        if (sender >= 0) sendto(sender, message, sizeof message, 0, (struct sockaddr *)&to, sizeof to);
    }
    }
    for (unsigned i = 0; i < SLOTS; i++) { /* as `show` and the metrics do it */
        if (b->ei[i] == NULL) continue;
        CHECK((fh_ei_state(b->ei[i]) & 0xff) < FH_VRRP_STATES);
        for (int s = 0; s < FH_STATS; s++)
            (void)fh_ei_stat(b->ei[i], s);
        (void)fh_ei_faults(b->ei[i]);
        (void)fh_ei_heard(b->ei[i]);
        (void)fh_ei_reject(b->ei[i], FH_VRRP_RX_CHECKSUM);
        (void)fh_ei_learned(b->ei[i]);
    }
    if (b->sock != NULL) (void)(fh_sock_packets(b->sock) + fh_sock_unknown_vrid(b->sock));
    for (int s = 0; s < FH_ENGINE_STATS; s++)
        (void)fh_engine_stat_get(b->e, s);
}

static void commands_and_ends_at_any_moment(void) {
    fh_engine_conf conf = {.max_instances = SLOTS,
                           .max_groups = 2,
                           .max_links = 64,
                           .max_socks = 2,
                           .max_paces = 1,
                           .commands = 32,
                           .events = 64, /* so small that it overflows at times */
                           .cpu = -1};
    unsigned seed = 11;

    for (int round = 0; round < ROUNDS; round++) {
        uint32_t warnings;
        bench b = {.e = fh_engine_new(&conf)};
        if (b.e == NULL && (errno == EPERM || errno == EACCES)) {
            puts("engine: skipped, needs CAP_NET_RAW");
            return;
        }
        CHECK(b.e != NULL);
        CHECK(fh_engine_start(b.e, &warnings) == 0);
        int steps = rand_r(&seed) % 4 == 0 ? rand_r(&seed) % 10 : 400;
        for (int i = 0; i < steps; i++) {
            step(&b, &seed);
            fh_engine_beat(b.e);
            CHECK(fh_engine_last_turn(b.e) <= fh_now());
            events(&b);
            if (i % 16 == 0) usleep(1000);
        }
        say(&b, (fh_command){.type = FH_CMD_STOP_ALL, .a = 0});
        /* Asked to end with much still to be told: whoever frees waits for the thread. */
        say(&b, (fh_command){.type = FH_CMD_QUIT});
        fh_engine_join(b.e);
        events(&b);
        /* What is not given back by then, the engine never dropped or could not tell: it is the owner's
         * again. */
        for (unsigned kind = 1; kind <= 4; kind++)
            CHECK(b.retired[kind] <= b.given[kind]);
        CHECK(fh_engine_stat_get(b.e, FH_ENGINE_EVENTS_LOST) == 0 || steps > 10);
        for (unsigned i = 0; i < SLOTS; i++)
            if (b.ei[i] != NULL) {
                free((void *)(uintptr_t)b.ei[i]->conf);
                free(b.ei[i]);
            }
        if (b.sock != NULL) {
            close(b.sock->fd);
            free(b.sock);
        }
        free(b.members);
        fh_engine_free(b.e);
    }
}

static void memory_comes_back_though_events_are_lost(void) {
    fh_engine_conf conf = {.max_instances = SLOTS,
                           .max_groups = 1,
                           .max_links = 4,
                           .max_socks = 1,
                           .max_paces = 1,
                           .commands = 64,
                           .events = 64,
                           .cpu = -1};
    uint32_t warnings;
    bench b = {.e = fh_engine_new(&conf)};

    if (b.e == NULL && (errno == EPERM || errno == EACCES)) {
        puts("engine: skipped, needs CAP_NET_RAW");
        return;
    }
    CHECK(b.e != NULL && fh_engine_start(b.e, &warnings) == 0);
    for (uint32_t slot = 2; slot < SLOTS; slot++) {
        b.given[1]++;
        b.given[2]++;
        say(&b, (fh_command){.type = FH_CMD_INST_ADD,
                             .slot = slot,
                             .p = calloc(1, sizeof(fh_ei)),
                             .q = conf_new(100, slot)});
    }
    /* Nobody reads, and much is told: a priority that changes again and again. */
    for (int i = 0; i < 10000 && fh_engine_stat_get(b.e, FH_ENGINE_EVENTS_LOST) == 0; i++) {
        fh_command c = {.type = FH_CMD_INST_TOLD, .slot = 2, .v = i % 50};
        if (!fh_engine_command(b.e, &c)) usleep(100);
    }
    CHECK(fh_engine_stat_get(b.e, FH_ENGINE_EVENTS_LOST) > 0);
    for (uint32_t slot = 2; slot < SLOTS; slot++) {
        fh_command del = {.type = FH_CMD_INST_DEL, .slot = slot};
        while (!fh_engine_command(b.e, &del))
            usleep(100);
    }
    fh_command quit = {.type = FH_CMD_QUIT};
    while (!fh_engine_command(b.e, &quit))
        usleep(100);
    fh_engine_join(b.e);
    events(&b);
    CHECK_INT(b.retired[1], b.given[1]);
    CHECK_INT(b.retired[2], b.given[2]);
    fh_engine_free(b.e);
}

int main(void) {
    loopback = if_nametoindex("lo");
    sender = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, FH_PROTO_VRRP);
    RUN(commands_and_ends_at_any_moment);
    RUN(memory_comes_back_though_events_are_lost);
    if (sender >= 0) close(sender);
    return check_failed != 0;
}
