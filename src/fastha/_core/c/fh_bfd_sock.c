#include "fh_bfd_sock.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fh_bfd_codec.h"
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

static bool tells_all(int fd, int family) {
    bool ok = family == FH_AF_INET6
                  ? set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) && set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                  : set(fd, IPPROTO_IP, IP_RECVTTL, 1) && set(fd, IPPROTO_IP, IP_PKTINFO, 1);
    return ok && set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
}

static bool room(int fd, int rcvbuf) {
    return rcvbuf <= 0 || set(fd, SOL_SOCKET, SO_RCVBUFFORCE, rcvbuf) ||
           set(fd, SOL_SOCKET, SO_RCVBUF, rcvbuf);
}

int fh_bfd_sock_rx(int family, uint16_t port, uint32_t ifindex, int rcvbuf) {
    int fd = open_udp(family, ifindex);
    if (fd < 0) return fd;
    if (!tells_all(fd, family) || !room(fd, rcvbuf)) return fail(fd);
    if (port == FH_BFD_PORT_SBFD) { /* the reflector answers by the same socket (RFC 7881 6) */
        bool ok = family == FH_AF_INET6
                      ? set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255) &&
                            set(fd, IPPROTO_IPV6, IPV6_TCLASS, FH_TOS_CONTROL)
                      : set(fd, IPPROTO_IP, IP_TTL, 255) && set(fd, IPPROTO_IP, IP_TOS, FH_TOS_CONTROL);
        if (!ok) return fail(fd);
    }
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
    /* The address may come later than the session. */
    if (family == FH_AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    else
        set(fd, IPPROTO_IP, IP_FREEBIND, 1);
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

int fh_bfd_sock_no_fragments(int fd, int family) {
    bool ok = family == FH_AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE) &&
                                          set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1)
                                    : set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    return ok ? 0 : -errno;
}

int fh_bfd_sock_answers(int fd, int family) {
    int none = 0;
    if (!tells_all(fd, family)) return -errno;
    return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) == 0 ? 0 : -errno;
}

int fh_bfd_sock_echo(int family, int rcvbuf) {
    bool v4 = family == FH_AF_INET;
    struct sock_filter echo4[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 8),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 4, 0),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FH_BFD_PORT_ECHO, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_filter echo6[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 5),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 42),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FH_BFD_PORT_ECHO, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = v4 ? sizeof echo4 / sizeof *echo4 : sizeof echo6 / sizeof *echo6,
                                 .filter = v4 ? echo4 : echo6};
    struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(v4 ? ETH_P_IP : ETH_P_IPV6)};
    /* No protocol until the filter is there: not every packet of the machine. */
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ||
        !set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) || !room(fd, rcvbuf) ||
        bind(fd, (const struct sockaddr *)&where, sizeof where) < 0)
        return fail(fd);
    return fd;
}

/* ---- under attack ---- */

#define FILTER_MOST 4000 /* the kernel takes 4,096 instructions */
#define LEAF 4

typedef struct {
    struct sock_filter code[FILTER_MOST + 96];
    uint32_t length;
    bool fits;
} assembler;

static uint32_t emit(assembler *a, unsigned code, uint32_t k, uint8_t jt, uint8_t jf) {
    if (a->length >= FILTER_MOST) {
        a->fits = false;
        return 0;
    }
    a->code[a->length] = (struct sock_filter){(uint16_t)code, jt, jf, k};
    return a->length++;
}

/* Is the accumulator one of these? A binary search: comparisons above, a few equalities below. Where it is
 * not, the jump's constant is 0, to be replaced by the way to the end. */
static void emit_search(assembler *a, const uint32_t *v, uint32_t count) {
    if (count <= LEAF) {
        for (uint32_t i = 0; i < count; i++)
            emit(a, BPF_JMP | BPF_JEQ | BPF_K, v[i], (uint8_t)(count - i), 0);
        emit(a, BPF_JMP | BPF_JA, UINT32_MAX, 0, 0);
        emit(a, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
        return;
    }
    uint32_t half = count / 2;
    emit(a, BPF_JMP | BPF_JGE | BPF_K, v[half], 0, 1);
    uint32_t upper = emit(a, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_search(a, v, half);
    a->code[upper].k = a->length - upper - 1;
    emit_search(a, v + half, count - half);
}

/* Unless the test holds: to the end. */
static void require(assembler *a, unsigned test, uint32_t k) {
    emit(a, BPF_JMP | test | BPF_K, k, 1, 0);
    emit(a, BPF_JMP | BPF_JA, UINT32_MAX, 0, 0);
}

static bool assemble(assembler *a, const fh_bfd_filter *f, bool with_discrs, bool with_peers) {
    bool v4 = f->family == FH_AF_INET;

    a->length = 0;
    a->fits = true;
    /* a UDP socket's filter begins at the UDP header */
    if (f->gtsm) {
        emit(a, BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_NET_OFF + (v4 ? 8 : 7), 0, 0);
        require(a, BPF_JEQ, 255);
    }
    emit(a, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
    require(a, BPF_JGE, 8 + FH_BFD_LEN);
    emit(a, BPF_LD | BPF_B | BPF_ABS, 8, 0, 0);
    emit(a, BPF_ALU | BPF_RSH | BPF_K, 5, 0, 0);
    require(a, BPF_JEQ, 1);
    if (with_discrs) {
        emit(a, BPF_LD | BPF_W | BPF_ABS, 8 + 8, 0, 0);
        emit(a, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
        uint32_t zero = emit(a, BPF_JMP | BPF_JA, 0, 0, 0);
        emit_search(a, f->discr, f->discrs);
        a->code[zero].k = a->length - zero - 1;
        if (with_peers) {
            emit(a, BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + (v4 ? 12 : 20), 0, 0);
            emit_search(a, f->peer, f->peers);
        } /* else: a sample of them */
    } else {
        emit(a, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
    }
    if (!a->fits) return false;
    uint32_t end = a->length;
    for (uint32_t i = 0; i < end; i++)
        if (a->code[i].code == (BPF_JMP | BPF_JA) && a->code[i].k == UINT32_MAX) a->code[i].k = end - i - 1;
    emit(a, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM), 0, 0);
    emit(a, BPF_JMP | BPF_JSET | BPF_K, (1u << f->sample) - 1, 0, 1);
    emit(a, BPF_RET | BPF_K, 0, 0, 0);
    emit(a, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
    return a->fits;
}

int fh_bfd_sock_filter(int fd, const fh_bfd_filter *filter) {
    assembler a;
    int none = 0;

    if (filter == NULL)
        return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) == 0 ? 0 : -errno;
    if (!assemble(&a, filter, true, true) && !assemble(&a, filter, true, false) &&
        !assemble(&a, filter, false, false))
        return -E2BIG;
    struct sock_fprog program = {.len = (unsigned short)a.length, .filter = a.code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : -errno;
}
