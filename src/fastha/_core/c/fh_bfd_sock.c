#include "fh_bfd_sock.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fh_inet.h"

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

#define SOURCE_PORTS (65536u - FH_BFD_SOURCE_PORT_LEAST)

static bool set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static int fail(int fd) {
    int error = errno;
    close(fd);
    return -error;
}

/* On the interface, if any, and of this family only. */
static int open_udp(int family, uint32_t ifindex) {
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0) return -errno;
    if (family == FH_AF_INET6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) return fail(fd);
    if (ifindex != 0 && !set(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)ifindex)) return fail(fd);
    return fd;
}

static int bind_to(int fd, int family, const fh_addr *a, uint32_t ifindex, uint16_t port) {
    if (family == FH_AF_INET6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        if (a != NULL) {
            memcpy(&in6.sin6_addr, a->b, 16);
            if (fh_is_linklocal6(a)) in6.sin6_scope_id = ifindex;
        }
        return bind(fd, (const struct sockaddr *)&in6, sizeof in6);
    }
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (a != NULL) memcpy(&in4.sin_addr, a->b, 4);
    return bind(fd, (const struct sockaddr *)&in4, sizeof in4);
}

int fh_bfd_sock_rx(int family, uint16_t port, uint32_t ifindex, int rcvbuf) {
    int fd = open_udp(family, ifindex);
    if (fd < 0) return fd;
    bool ok = family == FH_AF_INET6
                  ? set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) && set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                  : set(fd, IPPROTO_IP, IP_RECVTTL, 1) && set(fd, IPPROTO_IP, IP_PKTINFO, 1);
    if (!ok || !set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1)) return fail(fd);
    if (rcvbuf > 0 && !set(fd, SOL_SOCKET, SO_RCVBUFFORCE, rcvbuf) && !set(fd, SOL_SOCKET, SO_RCVBUF, rcvbuf))
        return fail(fd);
    if (bind_to(fd, family, NULL, ifindex, port) < 0) return fail(fd);
    return fd;
}

int fh_bfd_sock_tx(int family, const fh_addr *source, uint32_t ifindex, uint8_t ttl, uint32_t random,
                   uint16_t *port) {
    int fd = open_udp(family, ifindex);
    if (fd < 0) return fd;
    bool ok = family == FH_AF_INET6
                  ? set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl) &&
                        set(fd, IPPROTO_IPV6, IPV6_TCLASS, FH_TOS_CONTROL)
                  : set(fd, IPPROTO_IP, IP_TTL, ttl) && set(fd, IPPROTO_IP, IP_TOS, FH_TOS_CONTROL);
    if (!ok) return fail(fd);
    /* Nobody reads it: what is sent to its port must not pile up in kernel memory. */
    struct sock_filter nothing = {.code = BPF_RET | BPF_K, .k = 0};
    struct sock_fprog program = {.len = 1, .filter = &nothing};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) return fail(fd);
    for (uint32_t i = 0; i < SOURCE_PORTS; i++) {
        uint16_t candidate =
            (uint16_t)(FH_BFD_SOURCE_PORT_LEAST + (random % SOURCE_PORTS + i) % SOURCE_PORTS);
        if (bind_to(fd, family, source, ifindex, candidate) == 0) {
            *port = candidate;
            return fd;
        }
        if (errno != EADDRINUSE) return fail(fd);
    }
    close(fd);
    return -EADDRINUSE;
}
