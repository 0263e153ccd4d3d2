#include "fh_sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/icmpv6.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static int fail(int fd) {
    int error = -errno;

    close(fd);
    return error;
}

static int set_int(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof(value));
}

static void big_buffers(int fd, int rcvbuf) {
    /* FORCE needs CAP_NET_ADMIN; without it the kernel's limit applies, which is not worth failing for */
    if (rcvbuf > 0 && set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, rcvbuf) < 0)
        set_int(fd, SOL_SOCKET, SO_RCVBUF, rcvbuf);
}

static int attach(int fd, struct sock_filter *code, size_t length) {
    struct sock_fprog program = {.len = (unsigned short)length, .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int fh_sock_vrrp_rx(int family, int protocol, uint32_t ifindex, int rcvbuf) {
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd < 0) return -errno;
    if (attach(fd, nothing, 1) < 0) return fail(fd);
    if (ifindex != 0 && set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)ifindex) < 0) return fail(fd);
    if (set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) < 0) return fail(fd);
    if (family == AF_INET) {
        if (set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) < 0 || set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0) < 0)
            return fail(fd);
    } else {
        if (set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) < 0 ||
            set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) < 0 ||
            set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0) < 0)
            return fail(fd);
    }
    big_buffers(fd, rcvbuf);
    return fd;
}

static int membership(int fd, int family, uint32_t ifindex, const fh_addr *group, bool join) {
    if (family == AF_INET) {
        struct ip_mreqn request = {.imr_ifindex = (int)ifindex};
        memcpy(&request.imr_multiaddr, group->b, 4);
        if (setsockopt(fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &request,
                       sizeof(request)) < 0)
            return -errno;
    } else {
        struct ipv6_mreq request = {.ipv6mr_interface = ifindex};
        memcpy(&request.ipv6mr_multiaddr, group->b, 16);
        if (setsockopt(fd, IPPROTO_IPV6, join ? IPV6_ADD_MEMBERSHIP : IPV6_DROP_MEMBERSHIP, &request,
                       sizeof(request)) < 0)
            return -errno;
    }
    return 0;
}

int fh_sock_join(int fd, int family, uint32_t ifindex, const fh_addr *group) {
    int result = membership(fd, family, ifindex, group, true);

    return result == -EADDRINUSE ? 0 : result;
}

int fh_sock_leave(int fd, int family, uint32_t ifindex, const fh_addr *group) {
    return membership(fd, family, ifindex, group, false);
}

/* A filter grows front to back; jumps to its end are patched when it is complete. */
typedef struct {
    struct sock_filter code[128];
    uint8_t to_end[32]; /* places whose false branch goes to the end */
    unsigned length;
    unsigned ends;
} assembler;

static void emit(assembler *a, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf) {
    a->code[a->length++] = (struct sock_filter){code, jt, jf, k};
}

static void require(assembler *a, uint16_t test, uint32_t k) {
    a->to_end[a->ends++] = (uint8_t)a->length;
    emit(a, (uint16_t)(BPF_JMP | test | BPF_K), k, 0, 0);
}

int fh_sock_filter(int fd, const fh_sock_filter_spec *spec) {
    assembler a = {.length = 0, .ends = 0};
    bool v4 = spec->family == FH_AF_INET;
    uint32_t ah = spec->protocol == FH_PROTO_AH ? 24 : 0;

    if (spec->only_from_mac) {
        emit(&a, BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_LL_OFF + 6, 0, 0);
        emit(&a, BPF_JMP | BPF_JEQ | BPF_K, fh_get32(spec->mac), 1, 0);
        emit(&a, BPF_RET | BPF_K, 0, 0, 0);
        emit(&a, BPF_LD | BPF_H | BPF_ABS, (uint32_t)SKF_LL_OFF + 10, 0, 0);
        emit(&a, BPF_JMP | BPF_JEQ | BPF_K, fh_get16(spec->mac + 4), 1, 0);
        emit(&a, BPF_RET | BPF_K, 0, 0, 0);
    }
    if (!spec->shield) {
        emit(&a, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
        return attach(fd, a.code, a.length) < 0 ? -errno : 0;
    }

    /* An IPv4 raw socket sees the IP header, an IPv6 one does not. */
    if (!spec->any_ttl) {
        emit(&a, BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_NET_OFF + (v4 ? 8 : 7), 0, 0);
        require(&a, BPF_JEQ, 255);
    }
    if (v4)
        emit(&a, BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0);
    else
        emit(&a, BPF_LDX | BPF_W | BPF_IMM, 0, 0, 0);
    emit(&a, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
    emit(&a, BPF_ALU | BPF_SUB | BPF_X, 0, 0, 0);
    require(&a, BPF_JGE, ah + 8);                 /* an advert's head, and what authenticates it */
    emit(&a, BPF_LD | BPF_B | BPF_IND, ah, 0, 0); /* version and type */
    emit(&a, BPF_JMP | BPF_JEQ | BPF_K, 0x21, 1, 0);
    require(&a, BPF_JEQ, 0x31);

    /* vrid: the word of the bit set that it lies in, shifted by its low bits */
    emit(&a, BPF_LD | BPF_B | BPF_IND, ah + 1, 0, 0);
    emit(&a, BPF_ST, 0, 0, 0);
    emit(&a, BPF_ALU | BPF_AND | BPF_K, 31, 0, 0);
    emit(&a, BPF_MISC | BPF_TAX, 0, 0, 0);
    emit(&a, BPF_LD | BPF_MEM, 0, 0, 0);
    emit(&a, BPF_ALU | BPF_RSH | BPF_K, 5, 0, 0);
    for (unsigned word = 0; word < 8; word++) {
        uint32_t bits = 0;
        for (unsigned i = 0; i < 4; i++)
            bits |= (uint32_t)spec->vrids[word * 4 + i] << (8 * i);
        emit(&a, BPF_JMP | BPF_JEQ | BPF_K, word, 0, 2);
        emit(&a, BPF_LD | BPF_W | BPF_IMM, bits, 0, 0);
        emit(&a, BPF_JMP | BPF_JA, 3 * (7 - word), 0, 0); /* past the other words */
    }
    emit(&a, BPF_ALU | BPF_RSH | BPF_X, 0, 0, 0);
    require(&a, BPF_JSET, 1);
    emit(&a, BPF_RET | BPF_K, UINT32_MAX, 0, 0);

    unsigned end = a.length;
    emit(&a, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM), 0, 0);
    emit(&a, BPF_JMP | BPF_JSET | BPF_K, (1U << spec->sample) - 1, 0, 1);
    emit(&a, BPF_RET | BPF_K, 0, 0, 0);
    emit(&a, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
    for (unsigned i = 0; i < a.ends; i++)
        a.code[a.to_end[i]].jf = (uint8_t)(end - a.to_end[i] - 1);
    return attach(fd, a.code, a.length) < 0 ? -errno : 0;
}

int fh_sock_packet_tx(void) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return -errno;
    set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20);
    return fd;
}

int fh_sock_raw_tx(int family) {
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);

    if (fd < 0) return -errno;
    set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20);
    /* sending before the source address is there, or after it has gone, is an error of the packet, not of the
     * socket */
    set_int(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
            family == AF_INET ? IP_FREEBIND : IPV6_FREEBIND, 1);
    return fd;
}

int fh_sock_arp_rx(uint32_t ifindex) {
    /* From others only; replies, and requests whose sender and target address are the same (announcements).
     */
    struct sock_filter claims[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 8, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, ETH_HLEN + 6),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPOP_REPLY, 5, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ETH_HLEN + 14),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ETH_HLEN + 24),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 128),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sockaddr_ll where = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = (int)ifindex};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return -errno;
    if (attach(fd, claims, sizeof(claims) / sizeof(claims[0])) < 0 ||
        bind(fd, (struct sockaddr *)&where, sizeof(where)) < 0)
        return fail(fd);
    return fd;
}

int fh_sock_na_rx(uint32_t ifindex) {
    struct icmp6_filter filter;
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6);

    if (fd < 0) return -errno;
    memset(&filter, 0xff, sizeof(filter)); /* a set bit blocks the type */
    filter.data[136 >> 5] &= ~(1U << (136 & 31));
    if (setsockopt(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, &filter, sizeof(filter)) < 0 ||
        set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)ifindex) < 0 ||
        set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) < 0)
        return fail(fd);
    return fd;
}

int fh_sock_netlink(uint32_t groups, int rcvbuf) {
    struct sockaddr_nl where = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0) return -errno;
    big_buffers(fd, rcvbuf);
    set_int(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1); /* errors need not repeat the whole request */
    if (bind(fd, (struct sockaddr *)&where, sizeof(where)) < 0) return fail(fd);
    return fd;
}

int fh_sock_monitor(int rcvbuf) {
    /* Netlink is in the host's byte order, filters read the network's: compare what htons makes of a number.
     */
    struct sock_filter wanted[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWADDR), 0, 3),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct ifaddrmsg, ifa_flags)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IFA_F_DADFAILED, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    int fd = fh_sock_netlink(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, rcvbuf);

    if (fd >= 0 && attach(fd, wanted, sizeof(wanted) / sizeof(wanted[0])) < 0) return fail(fd);
    return fd;
}
