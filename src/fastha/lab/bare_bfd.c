/* The floor of what BFD costs: sessions in the fewest lines of C that still speak to a peer.
 *
 * usage: bare_bfd [--rt] SESSIONS
 *
 * SESSIONS is a file of lines "LOCAL PEER INTERVAL_US MULTIPLIER". Single hop over IPv4, asynchronous mode
 * (RFC 5880 6.8, RFC 5881): no authentication, no Echo, no Poll Sequences of its own; whoever sends is
 * believed when it comes from a peer in the file. Each change of state is a line on standard output:
 * "MONOTONIC_NS PEER up|down WHY". It is a control for measurements and nothing to run a network on.
 * --rt: SCHED_FIFO and locked memory. It ends at SIGTERM without a word to its peers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SESSIONS = 4096, PORT = 3784, SLOW_US = 1000000 };
enum { ADMIN_DOWN, DOWN, INIT, UP };

struct session {
    int64_t tx_at, detect_at; /* CLOCK_MONOTONIC ns; detect_at 0: nothing to detect */
    uint32_t interval_us, discr, remote_discr, remote_min_rx_us, remote_min_tx_us;
    in_addr_t peer;
    int fd;
    uint8_t state, diag, multiplier, remote_multiplier;
    bool ask;
};

static struct session sessions[MAX_SESSIONS];
static size_t count;
static volatile sig_atomic_t ended;
static uint32_t seed;

static void on_end(int sig) {
    (void)sig;
    ended = 1;
}

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bare_bfd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t bits(void) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

static void put(uint8_t *at, uint32_t value) {
    value = htonl(value);
    memcpy(at, &value, 4);
}

static uint32_t get(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return ntohl(value);
}

static uint32_t min_tx(const struct session *s) {
    return s->state == UP ? s->interval_us : larger(s->interval_us, SLOW_US);
}

static void transmit(struct session *s, bool final) {
    uint8_t p[24] = {0};
    p[0] = (uint8_t)(1 << 5 | s->diag);
    p[1] = (uint8_t)(s->state << 6 | (final ? 0x10 : s->ask ? 0x20 : 0));
    p[2] = s->multiplier;
    p[3] = sizeof p;
    put(p + 4, s->discr);
    put(p + 8, s->remote_discr);
    put(p + 12, min_tx(s));
    put(p + 16, s->interval_us);
    /* not connected: an ICMP error of a dead neighbour would take the place of the next packet */
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = s->peer};
    (void)!sendto(s->fd, p, sizeof p, 0, (struct sockaddr *)&to, sizeof to);
}

static void schedule(struct session *s, int64_t from) {
    int64_t interval = (int64_t)larger(min_tx(s), s->remote_min_rx_us) * 1000;
    s->tx_at = from + interval * 3 / 4 + (int64_t)(bits() % 1000) * interval / 4000;
}

static void change(struct session *s, uint8_t state, uint8_t diag, const char *why) {
    char text[INET_ADDRSTRLEN];
    bool told = state == UP || s->state == UP;
    s->state = state;
    s->diag = diag;
    s->ask = state == UP; /* the interval gets shorter: a Poll Sequence */
    transmit(s, false);
    schedule(s, now());
    if (!told)
        return;
    inet_ntop(AF_INET, &s->peer, text, sizeof text);
    printf("%lld %s %s %s\n", (long long)now(), text, state == UP ? "up" : "down", why);
    fflush(stdout);
}

static void heard(const uint8_t *p, ssize_t length, in_addr_t from) {
    struct session *s = NULL;
    if (length < 24 || p[0] >> 5 != 1 || p[3] < 24 || p[3] > length || !p[2] || p[1] & 5 || !get(p + 4))
        return;
    if (get(p + 8) != 0) {
        size_t at = get(p + 8) - 1;
        s = at < count ? &sessions[at] : NULL;
    } else {
        for (size_t i = 0; i < count && s == NULL; i++)
            s = sessions[i].peer == from ? &sessions[i] : NULL;
    }
    if (s == NULL)
        return;
    uint8_t remote = p[1] >> 6;
    uint32_t asked_us = s->remote_min_rx_us;
    s->remote_discr = get(p + 4);
    s->remote_min_tx_us = get(p + 12);
    s->remote_min_rx_us = get(p + 16);
    s->remote_multiplier = p[2];
    if (p[1] & 0x10)
        s->ask = false;
    int64_t at = now();
    s->detect_at = at + (int64_t)s->remote_multiplier * larger(s->interval_us, s->remote_min_tx_us) * 1000;
    if (s->remote_min_rx_us < asked_us) /* at once (6.8.3) */
        schedule(s, at);
    if (s->state == UP && remote <= DOWN)
        change(s, DOWN, 3, "neighbor");
    else if (s->state == DOWN && remote == DOWN)
        change(s, INIT, 0, "");
    else if (remote == UP || remote == INIT) {
        if (s->state == INIT || (s->state == DOWN && remote == INIT))
            change(s, UP, 0, "handshake");
    }
    if (p[1] & 0x20)
        transmit(s, true);
}

static void open_session(char *line) {
    char local[64], peer[64];
    unsigned interval, multiplier;
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct in_addr to;
    struct session *s = &sessions[count];
    int ttl = 255;
    if (count == MAX_SESSIONS || sscanf(line, "%63s %63s %u %u", local, peer, &interval, &multiplier) != 4 ||
        !inet_aton(local, &at.sin_addr) || !inet_aton(peer, &to)) {
        fprintf(stderr, "bare_bfd: not a session: %s", line);
        exit(1);
    }
    at.sin_port = htons((uint16_t)(49152 + count));
    s->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (s->fd < 0 || setsockopt(s->fd, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl) ||
        bind(s->fd, (struct sockaddr *)&at, sizeof at))
        die("sending socket");
    s->peer = to.s_addr;
    s->interval_us = interval;
    s->multiplier = (uint8_t)multiplier;
    s->state = DOWN;
    s->remote_min_rx_us = 1;
    s->discr = (uint32_t)++count;
    s->tx_at = now();
}

int main(int argc, char **argv) {
    bool rt = argc > 2 && strcmp(argv[1], "--rt") == 0;
    if (argc != 2 + rt) {
        fputs("usage: bare_bfd [--rt] SESSIONS\n", stderr);
        return 2;
    }
    FILE *file = fopen(argv[1 + rt], "r");
    if (file == NULL)
        die(argv[1 + rt]);
    seed = (uint32_t)now() | 1;
    struct sigaction end = {.sa_handler = on_end};
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    if (rt) {
        struct sched_param how = {.sched_priority = 50};
        if (sched_setscheduler(0, SCHED_FIFO, &how) || mlockall(MCL_CURRENT | MCL_FUTURE))
            die("real time");
    }
    prctl(PR_SET_TIMERSLACK, 1);
    for (char line[256]; fgets(line, sizeof line, file) != NULL;)
        open_session(line);
    fclose(file);
    int rx = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 1 << 22;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    setsockopt(rx, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (rx < 0 || bind(rx, (struct sockaddr *)&any, sizeof any))
        die("receiving socket");

    while (!ended) {
        int64_t due = INT64_MAX;
        for (size_t i = 0; i < count; i++) {
            const struct session *s = &sessions[i];
            if (s->tx_at < due)
                due = s->tx_at;
            if (s->detect_at != 0 && s->detect_at < due)
                due = s->detect_at;
        }
        int64_t wait = due - now();
        struct timespec t = {.tv_sec = wait > 0 ? wait / 1000000000 : 0,
                             .tv_nsec = wait > 0 ? wait % 1000000000 : 0};
        struct pollfd fd = {.fd = rx, .events = POLLIN};
        ppoll(&fd, 1, &t, NULL);
        uint8_t p[256];
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        for (ssize_t got; (got = recvfrom(rx, p, sizeof p, 0, (struct sockaddr *)&from, &length)) > 0;)
            heard(p, got, from.sin_addr.s_addr);
        int64_t at = now();
        for (size_t i = 0; i < count; i++) {
            struct session *s = &sessions[i];
            if (s->detect_at != 0 && at >= s->detect_at) {
                s->detect_at = 0;
                s->remote_discr = 0;
                s->remote_min_rx_us = 1;
                if (s->state >= INIT)
                    change(s, DOWN, 1, "expired");
            }
            if (at >= s->tx_at) {
                transmit(s, false);
                schedule(s, s->tx_at + 100000000 < at ? at : s->tx_at);
            }
        }
    }
    return 0;
}
