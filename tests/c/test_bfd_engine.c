/* The engine thread with BFD sessions on the loopback of a namespace of its own: two sessions of one engine
 * that talk to each other, while this thread reads what they measure, changes, floods and removes them. Meant
 * for the sanitizers; without the privilege to make a namespace there is nothing to try. */
#include "check.h"
#include "fh_bfd_sock.h"
#include "fh_engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS FH_NS_PER_MSEC

static fh_engine *engine;
static fh_bs *session[2];
static fh_bs_conf *conf[2];
static fh_bsock *sock;
static unsigned ups, downs, gone, shields, retired, masters;

static void *zeroed(size_t size) {
    void *p = calloc(1, size);
    if (p == NULL) abort();
    return p;
}

static void send_command(fh_command c) {
    for (int tries = 0; !fh_engine_command(engine, &c); tries++) {
        if (tries > 1000) abort();
        usleep(1000);
    }
}

static fh_bs_conf *settings(uint32_t us) {
    fh_bs_conf *c = zeroed(sizeof(*c));
    *c = (fh_bs_conf){.fsm = {.min_tx_us = us,
                              .min_rx_us = us,
                              .idle_tx_us = FH_BFD_SLOW_US,
                              .detect_mult = 50, /* sanitizers and a busy machine are slow */
                              .tx_key = FH_BFD_TX_KEY_NONE},
                      .least_ttl = 255};
    return c;
}

static void read_events(void) {
    fh_event e;
    while (fh_engine_event(engine, &e)) {
        switch (e.type) {
        case FH_EVENT_BFD_STATE:
            ups += e.arg[1] == FH_BFD_UP;
            downs += e.arg[0] == FH_BFD_UP;
            break;
        case FH_EVENT_BFD_GONE:
            gone++;
            break;
        case FH_EVENT_BFD_SHIELD:
            shields += e.arg[0];
            break;
        case FH_EVENT_STATE:
            masters += e.arg[1] == FH_VRRP_MASTER;
            break;
        case FH_EVENT_RETIRED:
            retired++;
            if (e.arg[0] == FH_RETIRED_BFD) close(((fh_bs *)(intptr_t)e.v[0])->fd);
            if (e.arg[0] == FH_RETIRED_BSOCK) close(((fh_bsock *)(intptr_t)e.v[0])->fd);
            free((void *)(intptr_t)e.v[0]);
            break;
        default:
            break;
        }
    }
}

/* Reads events and every number of both sessions until there are so many, at most ten seconds. */
static void wait_for(const unsigned *what, unsigned count) {
    fh_bs_view view;
    static fh_bfd_gauge gauge;
    for (int i = 0; i < 10000 && *what < count; i++) {
        read_events();
        fh_engine_beat(engine);
        for (int n = 0; n < 2 && gone == 0; n++) {
            fh_bs_look(session[n], &view);
            fh_bfd_gauge_copy(&gauge, &session[n]->rx_gauge);
            CHECK(gauge.least <= gauge.most);
            for (int k = 0; k < FH_BFD_STATS; k++)
                (void)fh_bs_stat(session[n], k);
        }
        usleep(1000);
    }
    CHECK_INT(*what >= count, 1);
}

static bool own_network(void) {
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (unshare(CLONE_NEWNET) != 0) return false;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    close(fd);
    return ok;
}

static void add(uint32_t slot, uint8_t own, uint8_t other) {
    fh_bs *s = session[slot] = zeroed(FH_BS_SIZE);
    s->way = (fh_bfd_way){.peer = {{127, 0, 0, other}},
                          .local = {{127, 0, 0, own}},
                          .has_local = true,
                          .discr = 1000 + slot,
                          .family = FH_AF_INET,
                          .port = FH_BFD_PORT_SINGLE};
    s->fd = fh_bfd_sock_tx(FH_AF_INET, &s->way.local, 0, 255, 4711, &s->source_port);
    CHECK(s->fd >= 0);
    conf[slot] = settings(10000);
    send_command((fh_command){.type = FH_CMD_BFD_ADD, .slot = slot, .p = s, .q = conf[slot]});
}

static void comes_up(void) {
    sock = zeroed(sizeof(*sock));
    *sock = (fh_bsock){.family = FH_AF_INET, .port = FH_BFD_PORT_SINGLE};
    sock->fd = fh_bfd_sock_rx(FH_AF_INET, FH_BFD_PORT_SINGLE, 0, 1 << 20);
    CHECK(sock->fd >= 0);
    send_command((fh_command){.type = FH_CMD_BFD_LISTEN, .slot = 0, .p = sock});
    add(0, 1, 2);
    add(1, 2, 1);
    wait_for(&ups, 2);
}

/* New intervals while Up: no flap, the old memory comes back. */
static void changes(void) {
    unsigned before = retired;
    for (int i = 0; i < 40; i++) {
        send_command((fh_command){
            .type = FH_CMD_BFD_CONF, .slot = (uint32_t)i % 2, .q = settings(5000 + (uint32_t)i * 300)});
        usleep(3000);
    }
    wait_for(&retired, before + 40);
    CHECK_INT(downs, 0);
}

/* Packets for nobody, as fast as this thread can for a second and a half: the shield goes up, nobody flaps.
 */
static void flood(void) {
    uint16_t port = 0;
    int fd = fh_bfd_sock_tx(FH_AF_INET, NULL, 0, 255, 99, &port);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(FH_BFD_PORT_SINGLE)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uint8_t junk[FH_BFD_LEN] = {1 << 5, 3 << 6, 3, FH_BFD_LEN, 0, 0, 0, 1};
    fh_ns end = fh_now() + 1500 * MS;
    for (uint32_t i = 0; fh_now() < end; i++) {
        fh_put32(junk + 8, i * 2654435761u | 1u << 31);
        CHECK(sendto(fd, junk, sizeof(junk), 0, (const struct sockaddr *)&to, sizeof(to)) ==
              (ssize_t)sizeof(junk));
        if (i % 64 == 0) read_events();
    }
    close(fd);
    wait_for(&shields, 1);
    CHECK_INT(downs, 0);
    CHECK(fh_engine_bfd_refused(engine, FH_BFD_RX_YOUR_UNKNOWN) > 1000);
}

/* An instance that follows a session is taken along, and its memory comes back. */
static void followed(void) {
    fh_bfd_follows *follows = zeroed(sizeof(*follows) + sizeof(fh_bfd_follow));
    follows->count = 1;
    follows->follow[0] = (fh_bfd_follow){.session = 0, .weight = 10};
    unsigned before = retired;
    send_command((fh_command){.type = FH_CMD_BFD_TRACK, .slot = 3, .p = follows});
    send_command((fh_command){.type = FH_CMD_BFD_TRACK, .slot = 3});
    wait_for(&retired, before + 1);
}

static void removed(void) {
    send_command((fh_command){.type = FH_CMD_BFD_DEL, .slot = 0, .a = 1});
    wait_for(&downs, 1);
    send_command((fh_command){.type = FH_CMD_BFD_DEL, .slot = 0, .a = 0});
    send_command((fh_command){.type = FH_CMD_BFD_DEL, .slot = 1, .a = 0});
    wait_for(&gone, 2);
    unsigned before = retired;
    send_command((fh_command){.type = FH_CMD_BFD_UNLISTEN, .slot = 0});
    wait_for(&retired, before + 1);
}

int main(void) {
    fh_engine_conf c = {.max_instances = 8,
                        .max_groups = 8,
                        .max_links = 8,
                        .max_socks = 8,
                        .max_paces = 8,
                        .max_sessions = 64,
                        .commands = 64,
                        .events = 1024,
                        .cpu = -1};
    uint32_t warnings = 0;
    if (!own_network() || (engine = fh_engine_new(&c)) == NULL) {
        printf("no privilege: %s; skipped\n", strerror(errno));
        return 0;
    }
    CHECK_INT(fh_engine_start(engine, &warnings), 0);
    RUN(comes_up);
    RUN(changes);
    RUN(flood);
    RUN(followed);
    RUN(removed);
    send_command((fh_command){.type = FH_CMD_QUIT});
    fh_engine_join(engine);
    read_events();
    fh_engine_free(engine);
    return check_failed != 0;
}
