/* Probes against sockets on loopback: each ends with exactly one event. */
#include "check.h"
#include "fh_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static fh_ns now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * FH_NS_PER_SEC + ts.tv_nsec;
}

static int listener(uint16_t *port) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (struct sockaddr *)&in, size) == 0);
    CHECK(listen(fd, 64) == 0);
    getsockname(fd, (struct sockaddr *)&in, &size);
    *port = ntohs(in.sin_port);
    return fd;
}

static fh_probe_target to(uint16_t port) {
    fh_probe_target target = {.family = AF_INET, .type = SOCK_STREAM, .port = port};
    target.addr.b[0] = 127;
    target.addr.b[3] = 1;
    target.deadline = now() + 5 * FH_NS_PER_SEC;
    target.step = 5 * FH_NS_PER_SEC;
    return target;
}

/* Waits for the next event. */
static bool next(fh_probes *p, fh_probe_event *event) {
    for (int i = 0; i < 100; i++) {
        if (fh_probes_next(p, now(), event)) return true;
        struct pollfd fd = {.fd = fh_probes_fd(p), .events = POLLIN};
        poll(&fd, 1, 100);
        fh_probes_wait(p);
    }
    return false;
}

static void connect_and_close(void) {
    uint16_t port;
    int server = listener(&port);
    fh_probes *p = fh_probes_new();
    fh_probe_target target = to(port);
    const char *step;
    uint64_t id[600];
    fh_probe_event event;
    target.connect_only = true;
    for (int i = 0; i < 60; i++)
        CHECK_INT(fh_probes_open(p, &target, NULL, 0, &id[i], &step), 0);
    CHECK_INT(fh_probes_count(p), 60);
    for (int i = 0; i < 60; i++) {
        CHECK(next(p, &event));
        CHECK_INT(event.kind, FH_PROBE_CONNECTED);
    }
    CHECK_INT(fh_probes_count(p), 0);
    CHECK(!fh_probes_deadline(p, id[0], 1)); /* over: the number is nobody's */
    close(server);
    CHECK_INT(fh_probes_open(p, &target, NULL, 0, &id[0], &step), 0);
    CHECK(next(p, &event));
    CHECK_INT(event.kind, FH_PROBE_FAILED);
    CHECK_INT(event.error, ECONNREFUSED);
    fh_probes_free(p);
}

static void a_conversation(void) {
    uint16_t port;
    int server = listener(&port);
    fh_probes *p = fh_probes_new();
    fh_probe_target target = to(port);
    const char *step;
    uint64_t id;
    fh_probe_event event;
    char text[8];
    CHECK_INT(fh_probes_open(p, &target, (const uint8_t *)"hello", 5, &id, &step), 0);
    int peer = accept(server, NULL, NULL);
    CHECK(next(p, &event));
    CHECK_INT(event.kind, FH_PROBE_CONNECTED);
    CHECK_INT(recv(peer, text, 5, MSG_WAITALL), 5);
    CHECK(memcmp(text, "hello", 5) == 0);
    CHECK_INT(send(peer, "well", 4, 0), 4);
    CHECK(next(p, &event));
    CHECK_INT(event.kind, FH_PROBE_DATA);
    CHECK_INT(event.length, 4);
    CHECK_INT(fh_probes_send(p, id, (const uint8_t *)"bye", 3, now()), 0);
    CHECK_INT(recv(peer, text, 3, MSG_WAITALL), 3);
    close(peer);
    CHECK(next(p, &event));
    CHECK_INT(event.kind, FH_PROBE_CLOSED);
    CHECK_INT(fh_probes_send(p, id, NULL, 0, now()), ENOENT);
    close(server);
    fh_probes_free(p);
}

static void deadlines(void) {
    uint16_t port;
    int server = listener(&port);
    fh_probes *p = fh_probes_new();
    fh_probe_target target = to(port);
    const char *step;
    uint64_t id[300], silent;
    fh_probe_event event;
    target.deadline = now() + 20 * FH_NS_PER_MSEC;
    target.step = 0;
    CHECK_INT(fh_probes_open(p, &target, NULL, 0, &silent, &step), 0);
    CHECK(next(p, &event));
    CHECK_INT(event.kind, FH_PROBE_CONNECTED);
    CHECK(next(p, &event));
    CHECK_INT(event.kind, FH_PROBE_TIMEOUT);
    CHECK(event.id == silent);
    CHECK(event.was_connected);
    /* More than one chunk of slots; closing those under way leaves no event behind. */
    target = to(port);
    for (int i = 0; i < 300; i++) {
        int failed = fh_probes_open(p, &target, NULL, 0, &id[i], &step);
        CHECK(failed == 0);
    }
    for (int i = 0; i < 300; i++)
        fh_probes_close(p, id[i]);
    fh_probes_wait(p);
    CHECK(!fh_probes_next(p, now(), &event));
    CHECK_INT(fh_probes_count(p), 0);
    close(server);
    fh_probes_free(p);
}

static void what_cannot_be_opened(void) {
    fh_probes *p = fh_probes_new();
    fh_probe_target target = to(9);
    const char *step;
    uint64_t id;
    target.has_source = true;
    target.source.b[0] = 198;
    target.source.b[1] = 51;
    target.source.b[2] = 100;
    CHECK_INT(fh_probes_open(p, &target, NULL, 0, &id, &step), EADDRNOTAVAIL);
    CHECK_STR(step, "bind");
    target = to(9);
    target.type = SOCK_DGRAM;
    target.connect_only = false;
    CHECK_INT(fh_probes_open(p, &target, (const uint8_t *)"x", 1, &id, &step), 0);
    fh_probe_event event;
    CHECK(next(p, &event));
    CHECK_INT(event.kind, FH_PROBE_FAILED); /* the port answers with ICMP */
    fh_probes_free(p);
}

int main(void) {
    RUN(connect_and_close);
    RUN(a_conversation);
    RUN(deadlines);
    RUN(what_cannot_be_opened);
    return check_failed != 0;
}
