/* BFD in the engine: sockets, commands, and the fh_bfd_node_io that sends and tells.
 *
 * One receive socket a family and port hears all sessions; each session sends by a connected socket of its
 * own, whose route the kernel keeps. Echo goes and comes as frames, for its destination is our own address.
 */
#include "fh_engine_int.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/epoll.h>
#include <time.h>

#include "fh_bfd_sock.h"

#define TROUBLE_INT (10 * FH_NS_PER_SEC)
#define DRAIN_ROUNDS 4096
#define READ_ROUNDS 8    /* of FH_RX_BATCH packets: a flood does not keep the timers waiting */
#define CLOCK_ABOVE 2000 /* packets a second from which on sockets are read by the clock */
#define CLOCK_BELOW 1000

uint64_t fh_engine_bfd_refused(const fh_engine *e, int why) {
    return fh_bfd_node_refused(&e->bfd, why);
}

uint64_t fh_bsock_packets(const fh_bsock *s) {
    return atomic_load_explicit(&s->packets, memory_order_relaxed);
}

/* ------------------------------------------------------------------ what leaves */

static socklen_t address_of(const fh_bs *s, struct sockaddr_storage *to) {
    memset(to, 0, sizeof(*to));
    if (s->way.family == FH_AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(s->way.port);
        memcpy(&in6->sin6_addr, s->way.peer.b, 16);
        if (fh_is_linklocal6(&s->way.peer)) in6->sin6_scope_id = s->way.ifindex;
        return sizeof(*in6);
    }
    struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)to;
    in4->sin_family = AF_INET;
    in4->sin_port = htons(s->way.port);
    memcpy(&in4->sin_addr, s->way.peer.b, 4);
    return sizeof(*in4);
}

/* Back to an unconnected socket that keeps its port: the next packet seeks its way, and its source, anew. */
static void disconnect(fh_bs *s) {
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    if (connect(s->fd, &nobody, sizeof(nobody)) == 0) s->connected = false;
}

static bool connected(fh_bs *s) {
    struct sockaddr_storage to;

    if (!s->connected) {
        socklen_t length = address_of(s, &to);
        s->connected = connect(s->fd, (const struct sockaddr *)&to, length) == 0;
    }
    return s->connected;
}

static void trouble(fh_engine *e, fh_bs *s, int error, fh_ns now) {
    fh_bs_count(s, FH_BFD_STAT_TX_ERRORS, 1);
    if (s->trouble_told != 0 && now - s->trouble_told < TROUBLE_INT) return;
    s->trouble_told = now;
    fh_event event = {.at = now,
                      .type = FH_EVENT_BFD_SEND_ERROR,
                      .inst = s->slot,
                      .arg = {(uint32_t)error},
                      .addr = s->way.peer};
    fh_engine_tell(e, &event);
}

/* An IP packet on the Echo port from source to our own address. */
static size_t echo_packet(uint8_t *ip, const fh_bs *s, const uint8_t *payload, size_t length) {
    const fh_addr *src = &s->conf->echo_source, *dst = &s->way.local;
    size_t header = s->way.family == FH_AF_INET6 ? FH_IP6_LEN : FH_IP4_LEN, udp_len = 8 + length;
    uint8_t *udp = ip + header;

    if (s->way.family == FH_AF_INET6)
        fh_ip6_put(ip, src, dst, IPPROTO_UDP, FH_TOS_CONTROL, 255, udp_len);
    else
        fh_ip4_put(ip, src, dst, IPPROTO_UDP, FH_TOS_CONTROL, 255, 0, true, udp_len);
    fh_put16(udp, s->source_port);
    fh_put16(udp + 2, FH_BFD_PORT_ECHO);
    fh_put16(udp + 4, (uint16_t)udp_len);
    fh_put16(udp + 6, 0);
    memcpy(udp + 8, payload, length);
    uint32_t sum = fh_sum_pseudo(s->way.family, src, dst, IPPROTO_UDP, (uint32_t)udp_len);
    uint16_t checksum = fh_sum_fold(fh_sum_add(sum, udp, udp_len));
    fh_put16(udp + 6, checksum != 0 ? checksum : 0xffff);
    return header + udp_len;
}

/* An Ethernet frame for the next hop, to our own address: what comes back has been forwarded. */
static bool send_frame(fh_engine *e, const fh_bs *s, const uint8_t *payload, size_t length) {
    uint8_t frame[ETH_HLEN + 40 + 8 + FH_BFD_OUT];
    const fh_bs_conf *c = s->conf;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)s->way.ifindex};

    memcpy(frame, c->mac, 6);
    memcpy(frame + 6, c->own_mac, 6);
    fh_put16(frame + 12, s->way.family == FH_AF_INET6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
    size_t ip = echo_packet(frame + ETH_HLEN, s, payload, length);
    memcpy(&to.sll_protocol, frame + 12, 2);
    return sendto(e->packet_fd, frame, ETH_HLEN + ip, MSG_DONTWAIT, (const struct sockaddr *)&to,
                  sizeof(to)) > 0;
}

static void io_send(void *io, fh_bs *s, bool final) {
    fh_engine *e = io;
    fh_ns now = e->bfd.woke;
    size_t length = fh_bfd_write(&s->conf->fsm, &s->fsm, now, final, e->bfd_out, sizeof(e->bfd_out));

    if (s->conf->fsm.kind == FH_BFD_KIND_LOOPED) {
        if (!s->conf->has_mac) return; /* nobody knows yet where to */
        if (!send_frame(e, s, e->bfd_out, length)) {
            trouble(e, s, errno, now);
            return;
        }
    } else {
        bool sent = false;
        /* An ICMP error about an earlier packet is told by the next send, which then has not been sent. */
        for (int tries = 0; tries < 3 && !sent; tries++)
            sent = connected(s) && send(s->fd, e->bfd_out, length, MSG_DONTWAIT) >= 0;
        if (!sent) {
            int error = errno;
            if (s->connected && error != EAGAIN && error != ENOBUFS) disconnect(s);
            trouble(e, s, error, now);
            return;
        }
    }
    fh_bs_count(s, FH_BFD_STAT_TX, 1);
    if (final) fh_bs_count(s, FH_BFD_STAT_FINAL_TX, 1);
    fh_count(&e->stat[FH_ENGINE_PACKETS_TX], 1);
}

static void io_echo(void *io, fh_bs *s) {
    fh_engine *e = io;
    uint8_t payload[FH_BFD_ECHO_LEN];

    if (!s->conf->has_mac) return;
    size_t length = fh_bfd_write_echo(&s->fsm, fh_now(), payload);
    if (!send_frame(e, s, payload, length)) {
        trouble(e, s, errno, e->bfd.woke);
        return;
    }
    fh_bs_count(s, FH_BFD_STAT_ECHO_TX, 1);
    fh_count(&e->stat[FH_ENGINE_PACKETS_TX], 1);
}

/* ------------------------------------------------------------------ what arrives */

/* Control messages of one packet. */
typedef struct {
    fh_bfd_arrival from;
    uint16_t src_port;
    int64_t stamp; /* wall clock; 0: none */
} arrival;

static void read_address(arrival *a, const struct sockaddr_storage *from) {
    if (a->from.family == FH_AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(a->from.src.b, &in6->sin6_addr, 16);
        a->src_port = ntohs(in6->sin6_port);
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)from;
        memcpy(a->from.src.b, &in4->sin_addr, 4);
        a->src_port = ntohs(in4->sin_port);
    }
}

static void read_control(arrival *a, const struct msghdr *msg) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
         c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof(t));
            a->stamp = (int64_t)t.tv_sec * FH_NS_PER_SEC + t.tv_nsec;
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            memcpy(&a->from.ttl, CMSG_DATA(c), sizeof(int));
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            memcpy(a->from.dst.b, &info.ipi_addr, 4);
            a->from.ifindex = (uint32_t)info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            memcpy(a->from.dst.b, &info.ipi6_addr, 16);
            a->from.ifindex = info.ipi6_ifindex;
        }
    }
}

/* The answer of the S-BFD reflector goes back by the socket that heard the question, from the address it went
 * to. */
static enum fh_bfd_rx reflect(fh_engine *e, const fh_bsock *sock, const arrival *a, struct mmsghdr *m,
                              const uint8_t *data, size_t length) {
    uint8_t out[FH_BFD_PACKET_MAX];
    size_t out_len = 0;
    fh_bfd_packet packet;

    enum fh_bfd_rx r = fh_bfd_decode(data, length, &packet);
    if (r != FH_BFD_RX_OK) return r;
    if (e->mirror == NULL) return FH_BFD_RX_YOUR_UNKNOWN;
    r = fh_sbfd_reflect(&e->mirror->reflector, &packet, data, a->src_port, out, sizeof(out), &out_len);
    if (r != FH_BFD_RX_OK || out_len == 0) return r;
    struct iovec iov = {out, out_len};
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    struct msghdr msg = {.msg_name = m->msg_hdr.msg_name,
                         .msg_namelen = m->msg_hdr.msg_namelen,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control};
    struct cmsghdr *c = (struct cmsghdr *)(void *)control;
    if (a->from.family == FH_AF_INET6) {
        struct in6_pktinfo info = {.ipi6_ifindex = fh_is_linklocal6(&a->from.dst) ? a->from.ifindex : 0};
        memcpy(&info.ipi6_addr, a->from.dst.b, 16);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        msg.msg_controllen = CMSG_SPACE(sizeof(info));
    } else {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, a->from.dst.b, 4);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        msg.msg_controllen = CMSG_SPACE(sizeof(info));
    }
    if (sendmsg(sock->fd, &msg, MSG_DONTWAIT) > 0) fh_count(&e->stat[FH_ENGINE_PACKETS_TX], 1);
    return r;
}

/* A frame's IP packet on the Echo port: the addresses and the UDP payload. */
static bool unwrap(arrival *a, const struct sockaddr_storage *from, const uint8_t **data, size_t *length) {
    const struct sockaddr_ll *ll = (const struct sockaddr_ll *)(const void *)from;
    const uint8_t *p = *data;
    size_t left = *length, header;

    a->from.ifindex = (uint32_t)ll->sll_ifindex;
    if (a->from.family == FH_AF_INET6) {
        header = 40;
        if (left < header + 8 || p[0] >> 4 != 6 || p[6] != IPPROTO_UDP) return false;
        a->from.ttl = p[7];
        memcpy(a->from.src.b, p + 8, 16);
        memcpy(a->from.dst.b, p + 24, 16);
    } else {
        header = left != 0 ? (size_t)(p[0] & 15) * 4 : 0;
        if (header < 20 || left < header + 8 || p[0] >> 4 != 4 || p[9] != IPPROTO_UDP ||
            (fh_get16(p + 6) & 0x3fff) != 0)
            return false;
        a->from.ttl = p[8];
        memcpy(a->from.src.b, p + 12, 4);
        memcpy(a->from.dst.b, p + 16, 4);
    }
    size_t udp = fh_get16(p + header + 4);
    if (fh_get16(p + header + 2) != FH_BFD_PORT_ECHO || udp < 8 || header + udp > left) return false;
    a->src_port = fh_get16(p + header);
    *data = p + header + 8;
    *length = udp - 8;
    return true;
}

static void packet_in(fh_engine *e, fh_bsock *sock, arrival *a, struct mmsghdr *m, const uint8_t *data,
                      fh_ns rx_time, fh_ns now) {
    size_t length = m->msg_len;
    enum fh_bfd_rx r;

    if (a->from.port == FH_BFD_PORT_ECHO) {
        if (!unwrap(a, m->msg_hdr.msg_name, &data, &length)) return;
        r = fh_bfd_node_echo(&e->bfd, &a->from, data, length, rx_time, now);
    } else if (sock != NULL && a->from.port == FH_BFD_PORT_SBFD) {
        r = reflect(e, sock, a, m, data, length);
        if (r != FH_BFD_RX_OK) fh_bfd_node_count_refused(&e->bfd, NULL, r, &a->from.src, now);
    } else {
        r = fh_bfd_node_packet(&e->bfd, &a->from, data, length, rx_time, now);
    }
    if (r != FH_BFD_RX_OK && r != FH_BFD_RX_ADMIN_DOWN && sock != NULL) sock->shield.refused++;
}

/* sock NULL: a session's own socket. all: until what had come before now is read, else a bounded portion. */
static void read_from(fh_engine *e, int fd, uint8_t family, uint16_t port, fh_bsock *sock, bool all,
                      fh_ns now) {
    fh_rx_buffers *b = &e->rx;
    fh_ns offset = fh_wall_offset();

    for (int rounds = 0; rounds < (all ? DRAIN_ROUNDS : READ_ROUNDS); rounds++) {
        int got = fh_engine_receive(e, fd);
        if (got < 0 && errno == ECONNREFUSED)
            continue; /* of our own packets; the detection time speaks for it */
        if (got <= 0) return;
        if (sock != NULL) fh_count(&sock->packets, (uint64_t)got);
        bool later = false;
        for (int i = 0; i < got; i++) {
            arrival a = {.from = {.family = family, .port = port, .ttl = -1}};
            read_control(&a, &b->msg[i].msg_hdr);
            if (port != FH_BFD_PORT_ECHO) read_address(&a, &b->from[i]);
            bool known = fh_engine_stamped(e, a.stamp, offset);
            fh_ns rx_time = known && a.stamp - offset < now ? a.stamp - offset : now;
            later |= known && rx_time == now;
            packet_in(e, sock, &a, &b->msg[i], b->data[i], rx_time, now);
        }
        if (got < FH_RX_BATCH || (all && later)) return;
    }
}

static void read_session(fh_engine *e, fh_bs *s, bool all, fh_ns now) {
    read_from(e, s->fd, s->way.family, s->way.port, NULL, all, now);
}

void fh_engine_bfd_read(fh_engine *e, uint32_t tag, fh_ns now) {
    if (tag >= FH_TAG_SESSION) {
        uint32_t slot = tag - FH_TAG_SESSION;
        if (slot < e->bfd.slots && e->bfd.sessions[slot] != NULL)
            read_session(e, e->bfd.sessions[slot], false, now);
        return;
    }
    fh_bsock *s = tag - FH_TAG_BSOCK < FH_BSOCKS ? e->bsocks[tag - FH_TAG_BSOCK] : NULL;
    if (s != NULL) read_from(e, s->fd, s->family, s->port, s, false, now);
}

static fh_ns read_pause(fh_engine *e) {
    fh_ns pause = fh_bfd_node_fastest(&e->bfd) / 16;
    return pause < FH_NS_PER_MSEC ? pause : FH_NS_PER_MSEC;
}

/* Many packets a second: then waking for each costs more than the packet. The sockets are taken out of epoll
 * and read at every wake-up for a timer, or a millisecond after the last time. What arrived when, the
 * kernel's stamps tell. */
void fh_engine_bfd_poll(fh_engine *e, fh_ns now) {
    if (e->bfd_read_at == FH_NEVER) return;
    for (unsigned i = 0; i < FH_BSOCKS; i++)
        if (e->bsocks[i] != NULL) fh_engine_bfd_read(e, FH_TAG_BSOCK + i, now);
    e->bfd_read_at = now + read_pause(e);
}

static void choose_reading(fh_engine *e, fh_ns elapsed, fh_ns now) {
    uint64_t packets = 0;

    for (unsigned i = 0; i < FH_BSOCKS; i++)
        if (e->bsocks[i] != NULL) packets += fh_bsock_packets(e->bsocks[i]);
    uint64_t more = packets > e->bfd_packets_seen ? packets - e->bfd_packets_seen : 0;
    uint64_t rate = more * FH_NS_PER_SEC / (uint64_t)(elapsed > 0 ? elapsed : 1);
    bool by_clock = e->bfd_read_at != FH_NEVER;
    e->bfd_packets_seen = packets;
    /* and only where a look finds several */
    if (rate * (uint64_t)read_pause(e) < 2 * FH_NS_PER_SEC) rate = 0;
    if (by_clock ? rate >= CLOCK_BELOW : rate <= CLOCK_ABOVE) return;
    e->bfd_read_at = by_clock ? FH_NEVER : now;
    for (unsigned i = 0; i < FH_BSOCKS; i++) {
        if (e->bsocks[i] == NULL) continue;
        if (by_clock)
            fh_engine_watch(e, e->bsocks[i]->fd, FH_TAG_BSOCK + i);
        else
            epoll_ctl(e->epoll, EPOLL_CTL_DEL, e->bsocks[i]->fd, NULL);
    }
}

static void io_drain(void *io, fh_ns now) {
    fh_engine *e = io;

    for (unsigned i = 0; i < FH_BSOCKS; i++) {
        fh_bsock *s = e->bsocks[i];
        if (s != NULL) read_from(e, s->fd, s->family, s->port, s, true, now);
    }
    for (uint32_t i = 0, seen = 0; i < e->bfd.slots && seen < e->sbfd_count; i++) {
        fh_bs *s = e->bfd.sessions[i];
        if (s == NULL || s->conf->fsm.kind != FH_BFD_KIND_SBFD) continue;
        seen++;
        read_session(e, s, true, now);
    }
}

/* ------------------------------------------------------------------ floods */

static void sort(uint32_t *v, uint32_t count) {
    for (uint32_t gap = count / 2; gap > 0; gap /= 2)
        for (uint32_t i = gap; i < count; i++) {
            uint32_t moved = v[i], k = i;
            for (; k >= gap && v[k - gap] > moved; k -= gap)
                v[k] = v[k - gap];
            v[k] = moved;
        }
}

static void filter(fh_engine *e, fh_bsock *s) {
    fh_bfd_filter f = {.family = s->family, .sample = FH_SHIELD_SAMPLE, .gtsm = true};
    uint32_t *discrs = e->bfd_scratch, *peers = e->bfd_scratch + e->bfd.slots;

    if (s->port == FH_BFD_PORT_ECHO || s->port == FH_BFD_PORT_SBFD) return;
    if (!s->shield.up) {
        fh_bfd_sock_filter(s->fd, NULL);
        return;
    }
    for (uint32_t i = 0; i < e->bfd.slots; i++) {
        const fh_bs *b = e->bfd.sessions[i];
        if (b == NULL || b->way.family != s->family || b->way.port != s->port) continue;
        discrs[f.discrs++] = b->way.discr;
        peers[f.peers++] = fh_get32(b->way.peer.b + (s->family == FH_AF_INET6 ? 12 : 0));
        f.gtsm = f.gtsm && b->conf->least_ttl == 255;
    }
    sort(discrs, f.discrs);
    sort(peers, f.peers);
    f.discr = discrs;
    f.peer = peers;
    fh_bfd_sock_filter(s->fd, &f);
}

bool fh_engine_bfd_shields(fh_engine *e, fh_ns elapsed, fh_ns now) {
    bool any = false;
    uint32_t rate;

    for (uint32_t i = 0; i < FH_BSOCKS; i++) {
        fh_bsock *s = e->bsocks[i];
        if (s == NULL) continue;
        if (fh_shield_turns(&s->shield, elapsed, &rate)) {
            filter(e, s);
            fh_event event = {.at = now,
                              .type = FH_EVENT_BFD_SHIELD,
                              .inst = s->family,
                              .arg = {s->shield.up, rate, s->port}};
            fh_engine_tell(e, &event);
        } else if (s->shield.up && e->bfd_filters) {
            filter(e, s);
        }
        any |= s->shield.up;
    }
    e->bfd_filters = false;
    choose_reading(e, elapsed, now);
    fh_bfd_node_congestion(&e->bfd, now);
    return any;
}

/* ------------------------------------------------------------------ commands */

static void io_state(void *io, fh_bs *s, uint8_t old, uint8_t cause, fh_ns now) {
    fh_bfd_join_state(&((fh_engine *)io)->join, s, old, cause, now);
}

static void io_gone(void *io, fh_bs *s) {
    fh_engine *e = io;
    uint32_t slot = s->slot;

    if (s->conf->fsm.kind == FH_BFD_KIND_SBFD) {
        epoll_ctl(e->epoll, EPOLL_CTL_DEL, s->fd, NULL);
        e->sbfd_count--;
    }
    fh_event event = {.at = fh_now(), .type = FH_EVENT_BFD_GONE, .inst = slot, .addr = s->way.peer};
    fh_bfd_node_remove(&e->bfd, s);
    e->bfd_filters = true;
    fh_engine_retire(e, (void *)(uintptr_t)s->conf, FH_RETIRED_BFD_CONF, slot);
    fh_engine_retire(e, s, FH_RETIRED_BFD, slot);
    fh_engine_tell(e, &event);
}

static void io_event(void *io, const fh_event *event) {
    fh_engine_tell(io, event);
}

static void add(fh_engine *e, uint32_t slot, fh_bs *s, const fh_bs_conf *conf, bool admin_down, fh_ns now) {
    if (!fh_bfd_node_add(&e->bfd, s, slot, conf, now)) return;
    e->bfd_filters = true;
    if (conf->fsm.kind == FH_BFD_KIND_SBFD) {
        fh_engine_watch(e, s->fd, FH_TAG_SESSION + slot);
        e->sbfd_count++;
    }
    if (admin_down) fh_bfd_node_input(&e->bfd, s, FH_BFD_EV_ADMIN_DOWN, FH_BFD_DIAG_ADMIN_DOWN, now);
}

void fh_engine_bfd_forget_inst(fh_engine *e, uint32_t slot, fh_ns now) {
    fh_engine_retire(e, fh_bfd_join_set(&e->join, slot, NULL, now), FH_RETIRED_BFD_OTHER, slot);
}

void fh_engine_bfd_command(fh_engine *e, const fh_command *c, fh_ns now) {
    fh_bs *s = c->slot < e->bfd.slots ? e->bfd.sessions[c->slot] : NULL;
    fh_bsock *sock;
    void *old;

    switch (c->type) {
    case FH_CMD_BFD_LISTEN:
        e->bsocks[c->slot] = sock = c->p;
        if (e->bfd_read_at == FH_NEVER) fh_engine_watch(e, sock->fd, FH_TAG_BSOCK + c->slot);
        break;
    case FH_CMD_BFD_UNLISTEN:
        sock = e->bsocks[c->slot];
        if (sock == NULL) break;
        epoll_ctl(e->epoll, EPOLL_CTL_DEL, sock->fd, NULL);
        e->bsocks[c->slot] = NULL;
        fh_engine_retire(e, sock, FH_RETIRED_BSOCK, c->slot);
        break;
    case FH_CMD_BFD_ADD:
        add(e, c->slot, c->p, c->q, c->a != 0, now);
        break;
    case FH_CMD_BFD_CONF:
        if (s == NULL) break;
        old = (void *)(uintptr_t)s->conf;
        fh_bfd_node_replace(&e->bfd, s, c->q, now);
        fh_engine_retire(e, old, FH_RETIRED_BFD_CONF, c->slot);
        e->bfd_filters = true;
        break;
    case FH_CMD_BFD_INPUT:
        if (s != NULL && !s->removing) fh_bfd_node_input(&e->bfd, s, (uint8_t)c->a, (uint8_t)c->b, now);
        break;
    case FH_CMD_BFD_DEL:
        if (s != NULL) fh_bfd_node_stop(&e->bfd, s, c->a != 0, now);
        break;
    case FH_CMD_BFD_TRACK:
        old = fh_bfd_join_set(&e->join, c->slot, c->p, now);
        fh_engine_retire(e, old, FH_RETIRED_BFD_OTHER, c->slot);
        break;
    case FH_CMD_BFD_ACCEPT:
        old = (void *)(uintptr_t)e->bfd.accepts;
        e->bfd.accepts = c->p;
        fh_engine_retire(e, old, FH_RETIRED_BFD_OTHER, 0);
        break;
    case FH_CMD_BFD_REFLECT:
        old = e->mirror;
        e->mirror = c->p;
        fh_engine_retire(e, old, FH_RETIRED_BFD_OTHER, 0);
        break;
    default:
        break;
    }
}

const fh_bfd_node_io fh_engine_bfd_io = {
    .send = io_send,
    .echo = io_echo,
    .drain = io_drain,
    .state = io_state,
    .gone = io_gone,
    .event = io_event,
};
