/* BFD's sockets on the loopback: what is sent carries the TTL and the source port, and the receiver is told.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "fh_bfd_codec.h"
#include "fh_bfd_sock.h"

typedef union {
    struct sockaddr_in6 in6;
    struct sockaddr_in in4;
    struct sockaddr any;
} address;

static address loopback(int family, uint16_t port) {
    address a;
    memset(&a, 0, sizeof a);
    if (family == FH_AF_INET6) {
        a.in6 =
            (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_loopback};
    } else {
        a.in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        a.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    return a;
}

static uint16_t port_of(int fd) {
    address a;
    socklen_t len = sizeof a;
    CHECK(getsockname(fd, &a.any, &len) == 0);
    return a.any.sa_family == AF_INET6 ? a.in6.sin6_port : a.in4.sin_port;
}

static void there(int family, uint8_t ttl) {
    int rx = fh_bfd_sock_rx(family, 0, 0, 65536); /* any free port: no privilege, nobody in the way */
    if (rx == -EAFNOSUPPORT) return;
    CHECK(rx >= 0);
    uint16_t first = 0, second = 0;
    int tx = fh_bfd_sock_tx(family, NULL, 0, ttl, 16383, &first); /* the range's last: the next one wraps */
    int other = fh_bfd_sock_tx(family, NULL, 0, ttl, 16383, &second);
    CHECK(tx >= 0 && other >= 0);
    CHECK(first >= FH_BFD_SOURCE_PORT_LEAST && second >= FH_BFD_SOURCE_PORT_LEAST && first != second);

    socklen_t len = family == FH_AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    address to = loopback(family, port_of(rx));
    if (sendto(tx, "bfd", 3, 0, &to.any, len) != 3) {
        CHECK(family == FH_AF_INET6); /* a machine without ::1 */
    } else {
        struct pollfd wait = {.fd = rx, .events = POLLIN};
        CHECK(poll(&wait, 1, 5000) == 1);
        address from;
        char data[16];
        _Alignas(struct cmsghdr) char control[256];
        struct iovec iov = {.iov_base = data, .iov_len = sizeof data};
        struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        CHECK(recvmsg(rx, &m, 0) == 3);
        CHECK(ntohs(family == FH_AF_INET6 ? from.in6.sin6_port : from.in4.sin_port) == first);
        int hops = -1, info = 0, stamp = 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) stamp++;
            if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) info++;
            if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) info++;
            if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
                (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT))
                memcpy(&hops, CMSG_DATA(c), sizeof hops);
        }
        CHECK(hops == ttl && info == 1 && stamp == 1);

        /* The sending socket hears nothing. */
        to = loopback(family, htons(first));
        CHECK(sendto(other, "x", 1, 0, &to.any, len) == 1);
        CHECK(recv(tx, data, sizeof data, 0) < 0 && errno == EAGAIN);
    }
    close(other);
    close(tx);
    close(rx);
}

static void ipv4(void) {
    there(FH_AF_INET, 255);
    there(FH_AF_INET, 64);
}

static void ipv6(void) {
    there(FH_AF_INET6, 255);
}

/* The address may come later than the session: the socket is made, only sending fails. */
static void source_not_ours(void) {
    uint16_t port = 0;
    fh_addr elsewhere = {{192, 0, 2, 77}};
    int tx = fh_bfd_sock_tx(FH_AF_INET, &elsewhere, 0, 255, 0, &port);
    CHECK(tx >= 0 && port >= FH_BFD_SOURCE_PORT_LEAST);
    address to = loopback(FH_AF_INET, htons(FH_BFD_SOURCE_PORT_LEAST));
    CHECK(sendto(tx, "x", 1, 0, &to.any, sizeof(struct sockaddr_in)) < 0);
    close(tx);
}

/* What the shield lets through, asked of the kernel itself. */
static bool passes(int rx, int tx, const address *to, const uint8_t *data, size_t len) {
    char got[64];
    CHECK(sendto(tx, data, len, 0, &to->any, sizeof(struct sockaddr_in)) == (ssize_t)len);
    struct pollfd wait = {.fd = rx, .events = POLLIN};
    return poll(&wait, 1, 0) == 1 && recv(rx, got, sizeof got, 0) >= 0;
}

static void shield_with(uint32_t sessions) {
    static uint32_t discr[5000], peer[5000];
    uint16_t port = 0;
    int rx = fh_bfd_sock_rx(FH_AF_INET, 0, 0, 0);
    int tx = fh_bfd_sock_tx(FH_AF_INET, NULL, 0, 255, 7, &port);
    int low = fh_bfd_sock_tx(FH_AF_INET, NULL, 0, 254, 7, &port);
    CHECK(rx >= 0 && tx >= 0 && low >= 0);
    address to = loopback(FH_AF_INET, port_of(rx));
    for (uint32_t i = 0; i < sessions; i++) {
        discr[i] = 1000 + i * 800000u;
        peer[i] = 0x7f000001u + i;
    }
    fh_bfd_filter f = {.family = FH_AF_INET,
                       .gtsm = true,
                       .sample = 31, /* of two thousand million: as good as none */
                       .discr = discr,
                       .peer = peer,
                       .discrs = sessions,
                       .peers = sessions};
    CHECK_INT(fh_bfd_sock_filter(rx, &f), 0);
    bool exact = sessions < 1900, by_peer = sessions < 900;
    uint8_t packet[FH_BFD_LEN] = {1 << 5, 1 << 6, 3, FH_BFD_LEN};
    for (uint32_t i = 0; i < sessions; i += 1 + sessions / 50) {
        fh_put32(packet + 8, discr[i]);
        CHECK(passes(rx, tx, &to, packet, sizeof packet));
        fh_put32(packet + 8, discr[i] + 1);
        CHECK(passes(rx, tx, &to, packet, sizeof packet) == !exact);
    }
    fh_put32(packet + 8, discr[0]);
    CHECK(!passes(rx, low, &to, packet, sizeof packet));    /* TTL */
    CHECK(!passes(rx, tx, &to, packet, sizeof packet - 1)); /* too short */
    packet[0] = 0;
    CHECK(!passes(rx, tx, &to, packet, sizeof packet)); /* version */
    packet[0] = 1 << 5;
    fh_put32(packet + 8, 0);
    CHECK(passes(rx, tx, &to, packet, sizeof packet) == (by_peer || !exact)); /* a neighbour that begins */
    for (uint32_t i = 0; i < sessions; i++)
        peer[i] += 0x01000000;
    CHECK_INT(fh_bfd_sock_filter(rx, &f), 0);
    CHECK(passes(rx, tx, &to, packet, sizeof packet) == !exact); /* somebody else */
    CHECK_INT(fh_bfd_sock_filter(rx, NULL), 0);
    CHECK(passes(rx, low, &to, packet, 3));
    close(low);
    close(tx);
    close(rx);
}

static void shield(void) {
    shield_with(1);
    shield_with(5);
    shield_with(64);
    shield_with(800);
    shield_with(1500);
    shield_with(5000);
}

int main(void) {
    RUN(ipv4);
    RUN(ipv6);
    RUN(source_not_ours);
    RUN(shield);
    return check_failed != 0;
}
