/* The floor of what VRRP costs: a virtual router in the fewest lines of C that still speak to a peer.
 *
 * usage: bare [--rt] ROUTERS
 *
 * ROUTERS is a file of lines "INTERFACE VRID PRIORITY ADVERT_CS SOURCE ADDRESS/LENGTH". Version 3 over IPv4,
 * multicast, preempting (RFC 9568 6.4); one socket to hear and one to send, one address each, one gratuitous
 * ARP. It checks next to nothing, tells nobody anything, and survives no change of its interfaces: it is a
 * control for measurements and nothing to run a network on. SIGTERM: priority 0, addresses off.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ROUTERS = 4096, GROUP = 0xE0000012 };

struct router {
    int64_t due;      /* next advert if master, else the end of patience; CLOCK_MONOTONIC ns */
    int64_t interval; /* ns */
    int64_t master_interval;
    unsigned ifindex;
    uint32_t source, address; /* network order */
    uint8_t vrid, priority, length;
    bool master;
    uint8_t mac[6];
    uint8_t packet[12];
};

static struct router routers[MAX_ROUTERS];
static size_t count;
static int rx, tx, raw, netlink;
static volatile sig_atomic_t ended;

static void on_end(int sig) {
    (void)sig;
    ended = 1;
}

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t sum16(const void *bytes, size_t length, uint32_t sum) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < length; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    return sum;
}

static void advertise(struct router *r, uint8_t priority) {
    uint16_t cs = (uint16_t)(r->interval / 10000000);
    uint8_t *p = r->packet;
    p[0] = 0x31;
    p[1] = r->vrid;
    p[2] = priority;
    p[3] = 1;
    p[4] = (uint8_t)(cs >> 8);
    p[5] = (uint8_t)cs;
    p[6] = p[7] = 0;
    memcpy(p + 8, &r->address, 4);
    struct {
        uint32_t from, to;
        uint8_t zero, protocol;
        uint16_t length;
    } pseudo = {r->source, htonl(GROUP), 0, 112, htons(12)};
    uint32_t sum = sum16(p, 12, sum16(&pseudo, 12, 0));
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    p[6] = (uint8_t)(~sum >> 8);
    p[7] = (uint8_t)~sum;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(GROUP)}};
    struct iovec iov = {p, 12};
    union {
        char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct cmsghdr align;
    } control = {{0}};
    struct msghdr message = {.msg_name = &to,
                             .msg_namelen = sizeof to,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo info = {.ipi_ifindex = (int)r->ifindex, .ipi_spec_dst = {r->source}};
    memcpy(CMSG_DATA(c), &info, sizeof info);
    sendmsg(tx, &message, MSG_DONTWAIT);
}

static void set_address(const struct router *r, bool add) {
    struct {
        struct nlmsghdr head;
        struct ifaddrmsg address;
        struct rtattr a1;
        uint32_t local;
        struct rtattr a2;
        uint32_t prefix;
    } request = {
        .head = {.nlmsg_len = sizeof request,
                 .nlmsg_type = add ? RTM_NEWADDR : RTM_DELADDR,
                 .nlmsg_flags = NLM_F_REQUEST | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0)},
        .address = {.ifa_family = AF_INET, .ifa_prefixlen = r->length, .ifa_index = r->ifindex},
        .a1 = {8, IFA_LOCAL},
        .local = r->address,
        .a2 = {8, IFA_ADDRESS},
        .prefix = r->address,
    };
    send(netlink, &request, sizeof request, MSG_DONTWAIT);
}

static void announce(const struct router *r) {
    uint8_t f[42] = {255, 255, 255, 255, 255, 255};
    memcpy(f + 6, r->mac, 6);
    static const uint8_t kind[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};
    memcpy(f + 12, kind, sizeof kind);
    memcpy(f + 22, r->mac, 6);
    memcpy(f + 28, &r->address, 4);
    memset(f + 32, 255, 6);
    memcpy(f + 38, &r->address, 4);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)r->ifindex, .sll_halen = 6};
    sendto(raw, f, sizeof f, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
}

static int64_t skew(const struct router *r) {
    return r->master_interval * (256 - r->priority) / 256;
}

static void to_backup(struct router *r, int64_t patience) {
    if (r->master) set_address(r, false);
    r->master = false;
    r->due = now() + patience;
}

static void heard(const uint8_t *bytes, size_t length, unsigned ifindex) {
    size_t skip = (size_t)(bytes[0] & 15) * 4;
    if (length < skip + 12) return;
    const uint8_t *p = bytes + skip;
    uint32_t source;
    memcpy(&source, bytes + 12, 4);
    if (p[0] != 0x31 || bytes[8] != 255) return;
    for (size_t i = 0; i < count; i++) {
        struct router *r = &routers[i];
        if (r->vrid != p[1] || r->ifindex != ifindex || source == r->source) continue;
        int64_t interval = (int64_t)((p[4] & 15) << 8 | p[5]) * 10000000;
        bool above = p[2] > r->priority || (p[2] == r->priority && ntohl(source) > ntohl(r->source));
        if (r->master && p[2] == 0) {
            advertise(r, r->priority);
        } else if (r->master && above) {
            r->master_interval = interval;
            to_backup(r, 3 * interval + skew(r));
        } else if (!r->master && p[2] == 0) {
            r->due = now() + skew(r);
        } else if (!r->master && p[2] >= r->priority) {
            r->master_interval = interval;
            r->due = now() + 3 * interval + skew(r);
        }
        return;
    }
}

static void open_sockets(void) {
    rx = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 112);
    tx = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 112);
    raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (rx < 0 || tx < 0 || raw < 0 || netlink < 0) die("sockets (needs CAP_NET_RAW)");
    int one = 1, none = 0, ttl = 255, room = 4 << 20;
    setsockopt(rx, IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
    setsockopt(rx, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(tx, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    setsockopt(tx, SOL_SOCKET, SO_RCVBUF, &none, sizeof none);
    setsockopt(tx, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl);
    setsockopt(tx, IPPROTO_IP, IP_MULTICAST_LOOP, &none, sizeof none);
}

static void read_routers(const char *file) {
    FILE *in = fopen(file, "re");
    if (in == NULL) die(file);
    char name[IFNAMSIZ], source[16], address[16];
    unsigned vrid, priority, cs, length;
    while (count < MAX_ROUTERS && fscanf(in, "%15s %u %u %u %15s %15[^/]/%u", name, &vrid, &priority, &cs,
                                         source, address, &length) == 7) {
        struct router *r = &routers[count++];
        struct ifreq ask = {0};
        memcpy(ask.ifr_name, name, sizeof name);
        r->ifindex = if_nametoindex(name);
        if (r->ifindex == 0 || ioctl(rx, SIOCGIFHWADDR, &ask) < 0) die(name);
        memcpy(r->mac, ask.ifr_hwaddr.sa_data, 6);
        r->vrid = (uint8_t)vrid;
        r->priority = (uint8_t)priority;
        r->interval = r->master_interval = (int64_t)cs * 10000000;
        r->length = (uint8_t)length;
        if (inet_pton(AF_INET, source, &r->source) != 1 || inet_pton(AF_INET, address, &r->address) != 1)
            die("address");
        struct ip_mreqn group = {.imr_multiaddr = {htonl(GROUP)}, .imr_ifindex = (int)r->ifindex};
        if (setsockopt(rx, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) < 0 && errno != EADDRINUSE)
            die("IP_ADD_MEMBERSHIP");
    }
    fclose(in);
}

static void take(void) {
    uint8_t bytes[256];
    char control[128];
    struct iovec iov = {bytes, sizeof bytes};
    for (;;) {
        struct msghdr message = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t length = recvmsg(rx, &message, MSG_DONTWAIT);
        if (length <= 0) return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
            if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
                struct in_pktinfo info;
                memcpy(&info, CMSG_DATA(c), sizeof info);
                heard(bytes, (size_t)length, (unsigned)info.ipi_ifindex);
            }
    }
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = on_end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    if (argc < 2) {
        fprintf(stderr, "usage: bare [--rt] ROUTERS\n");
        return 2;
    }
    open_sockets();
    read_routers(argv[argc - 1]);
    if (strcmp(argv[1], "--rt") == 0) {
        struct sched_param urgent = {.sched_priority = 50};
        if (sched_setscheduler(0, SCHED_FIFO, &urgent) < 0) die("SCHED_FIFO");
        mlockall(MCL_CURRENT | MCL_FUTURE);
    }
    int64_t begin = now();
    for (size_t i = 0; i < count; i++)
        routers[i].due = begin + 3 * routers[i].interval + skew(&routers[i]);
    while (!ended) {
        int64_t at = now(), next = INT64_MAX;
        for (size_t i = 0; i < count; i++) {
            struct router *r = &routers[i];
            if (r->due <= at) {
                take(); /* what has arrived is believed before anyone is declared gone */
                if (r->due <= at) {
                    advertise(r, r->priority);
                    if (!r->master) {
                        set_address(r, true);
                        announce(r);
                        r->master = true;
                        r->due = at;
                    }
                    r->due += r->interval;
                }
            }
            next = r->due < next ? r->due : next;
        }
        int64_t left = next - now();
        struct timespec wait = {left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
        struct pollfd poll_in = {.fd = rx, .events = POLLIN};
        if (ppoll(&poll_in, 1, &wait, NULL) > 0) take();
    }
    for (size_t i = 0; i < count; i++)
        if (routers[i].master) {
            advertise(&routers[i], 0);
            set_address(&routers[i], false);
        }
    return 0;
}
