/* What arrives: adverts, claims on our addresses by others. Everything here is hostile until checked. */
#include "fh_engine_int.h"

#include <errno.h>
#include <net/ethernet.h>
#include <time.h>

#define TELL_INT FH_NS_PER_SEC
/* More refused packets a second than this, and the kernel is asked to refuse them itself. */
#define SHIELD_AT 1000
#define SHIELD_CALM 20 /* housekeepings without an attack until the shield goes down */

bool fh_engine_stamped(const fh_engine *e, int64_t stamp, fh_ns offset) {
    fh_ns drift = offset - e->clock_offset;

    return stamp != 0 && drift <= FH_NS_PER_MSEC && drift >= -FH_NS_PER_MSEC;
}

/* When a packet came on the engine's clock; now where nobody can say, which is the safe answer. */
static fh_ns received_at(const fh_engine *e, const struct msghdr *msg, fh_ns offset, fh_ns now,
                         int64_t *wall) {
    int64_t at = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
         c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) continue;
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
        at = (int64_t)stamp.tv_sec * FH_NS_PER_SEC + stamp.tv_nsec;
        break;
    }
    bool known = fh_engine_stamped(e, at, offset);
    *wall = known ? at : now + offset;
    return known && at - offset < now ? at - offset : now;
}

static void refused(fh_engine *e, fh_sock *s, fh_ei *ei, enum fh_vrrp_rx why, const fh_addr *src, fh_ns now) {
    s->shield.refused++;
    fh_count(&s->refused[why], 1);
    if (ei == NULL) return;
    atomic_fetch_add_explicit(&ei->reject[why], 1, memory_order_relaxed);
    if (ei->trouble_told[3] != 0 && now - ei->trouble_told[3] < 10 * TELL_INT &&
        ei->told_reject == (uint8_t)why)
        return;
    if (ei->trouble_told[3] != 0 && now - ei->trouble_told[3] < TELL_INT) return;
    ei->trouble_told[3] = now;
    ei->told_reject = (uint8_t)why;
    fh_event event = {.at = now,
                      .type = FH_EVENT_REJECT,
                      .inst = ei->node.slot,
                      .arg = {(uint32_t)why, atomic_load_explicit(&ei->reject[why], memory_order_relaxed)},
                      .addr = *src};
    fh_engine_tell(e, &event);
}

static fh_ei *instance_for(const fh_sock *s, uint8_t vrid, const fh_rx_meta *meta) {
    fh_ei *first = s->by_vrid[vrid];

    if (first == NULL || first->next_vrid == NULL) return first;
    /* several unicast instances share a VRID: told apart by the address that they listen on */
    for (fh_ei *ei = first; ei != NULL; ei = ei->next_vrid)
        if (ei->conf->unicast ? fh_addr_equal(&ei->conf->source, &meta->dst)
                              : fh_is_multicast(meta->family, &meta->dst))
            return ei;
    return first;
}

static void advert_in(fh_engine *e, fh_sock *s, const fh_rx_meta *meta, const uint8_t *payload, size_t length,
                      fh_ns now) {
    fh_vrrp_peek_info peek;
    fh_vrrp_advert advert;

    if (!fh_vrrp_peek(meta->proto, payload, length, &peek)) {
        refused(e, s, NULL, FH_VRRP_RX_TOO_SHORT, &meta->src, now);
        return;
    }
    fh_ei *ei = instance_for(s, peek.vrid, meta);
    if (ei == NULL) {
        fh_count(&s->unknown_vrid, 1);
        s->shield.refused++;
        return;
    }
    enum fh_vrrp_rx result = fh_vrrp_receive(&ei->conf->rx, &ei->rx, meta, payload, length, &advert);
    if (result != FH_VRRP_RX_OK) {
        refused(e, s, ei, result, &meta->src, now);
        return;
    }
    uint64_t which = advert.priority == 0 ? FH_STAT_ZERO_RX : FH_STAT_ADVERT_RX;
    fh_count(&ei->stat[which], 1);
    uint32_t odd =
        advert.flags & (FH_VRRP_F_INTERVAL | FH_VRRP_F_ADDR_COUNT | FH_VRRP_F_ADDR_LIST |
                        FH_VRRP_F_HMAC_TOLERATED | FH_VRRP_F_HMAC_IGNORED | FH_VRRP_F_OLD_CHECKSUM);
    if (odd != ei->odd_told || (odd != 0 && now - ei->odd_at > 60 * TELL_INT)) {
        ei->odd_told = (uint16_t)odd;
        ei->odd_at = now;
        fh_event event = {.at = now,
                          .type = FH_EVENT_NOTE,
                          .inst = ei->node.slot,
                          .arg = {odd, advert.hmac_why, advert.interval, advert.addr_count},
                          .addr = advert.src};
        fh_engine_tell(e, &event);
    }
    int order = fh_addr_compare(&advert.src, &ei->conf->source);
    fh_vrrp_heard heard = {
        .interval = advert.interval_ns,
        .src = advert.src,
        .src_order = (int8_t)(order < 0 ? -1 : order > 0),
        .priority = advert.priority,
    };
    atomic_store_explicit(&ei->heard, meta->mono_ns, memory_order_relaxed);
    fh_engine_seen(e, ei, &heard, meta->mono_ns, now);
    fh_node_heard(&e->node, &ei->node, &heard, meta->mono_ns, now);
    fh_ei_show(ei, now);
}

static void vrrp_packet(fh_engine *e, fh_sock *s, const struct mmsghdr *m, const uint8_t *data, fh_ns offset,
                        fh_ns now) {
    fh_rx_meta meta = {.family = s->family, .proto = s->protocol, .ttl = -1};
    const uint8_t *payload = data;
    size_t length = m->msg_len;

    if (s->family == FH_AF_INET) {
        if (fh_ip4_parse(data, length, false, &meta, &payload, &length) != FH_IP_OK) {
            refused(e, s, NULL, FH_VRRP_RX_TOO_SHORT, &meta.src, now);
            return;
        }
    } else {
        const struct sockaddr_in6 *from = (const struct sockaddr_in6 *)m->msg_hdr.msg_name;
        memcpy(meta.src.b, &from->sin6_addr, 16);
        const struct msghdr *h = &m->msg_hdr;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL;
             c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, c)) {
            if (c->cmsg_level != IPPROTO_IPV6) continue;
            if (c->cmsg_type == IPV6_HOPLIMIT) {
                int hops;
                memcpy(&hops, CMSG_DATA(c), sizeof(hops));
                meta.ttl = (int16_t)hops;
            } else if (c->cmsg_type == IPV6_PKTINFO) {
                struct in6_pktinfo info;
                memcpy(&info, CMSG_DATA(c), sizeof(info));
                memcpy(meta.dst.b, &info.ipi6_addr, 16);
            }
        }
    }
    meta.mono_ns = received_at(e, &m->msg_hdr, offset, now, &meta.wall_ns);
    advert_in(e, s, &meta, payload, length, now);
}

/* Somebody else says that an address of ours is his. As master we answer by announcing it again. */
static void claim(fh_engine *e, const fh_sock *s, int family, const fh_addr *addr, const uint8_t mac[6],
                  fh_ns now) {
    for (uint32_t i = 0; i < e->node.inst_slots; i++) {
        fh_inst *inst = e->node.insts[i];
        if (inst == NULL || inst->fsm.state != FH_VRRP_MASTER) continue;
        fh_ei *ei = fh_ei_of(inst);
        for (unsigned k = 0; k < ei->conf->announcements; k++) {
            const fh_announcement *a = &ei->conf->announcement[k];
            if (a->family != family || !fh_addr_equal(&a->addr, addr) ||
                (a->ifindex != s->ifindex && inst->conf->ifindex != s->ifindex))
                continue;
            if (memcmp(ei->conf->frames + a->offset + 6, mac, 6) == 0)
                return; /* our own virtual MAC, from the peer that shares it: the election settles that */
            /* The old master answers our first announcements if they find it before it has let go. Neighbours
             * that heard it must be told again; nobody else need know. */
            bool late_answer = now - inst->decided < FH_NS_PER_SEC / 2;
            if (!late_answer) fh_count(&ei->stat[FH_STAT_FOREIGN_CLAIMS], 1);
            if (ei->claim_told != 0 && now - ei->claim_told < FH_NS_PER_SEC) return;
            ei->claim_told = now;
            fh_event event = {.at = now,
                              .type = FH_EVENT_FOREIGN_CLAIM,
                              .inst = inst->slot,
                              .arg = {fh_get32(mac), fh_get16(mac + 4), (uint32_t)family},
                              .addr = *addr};
            if (!late_answer) fh_engine_tell(e, &event);
            fh_engine_io.announce(e, inst, 1);
            return;
        }
    }
}

static void arp_packet(fh_engine *e, const fh_sock *s, const uint8_t *data, size_t length, fh_ns now) {
    const uint8_t *arp = data + ETH_HLEN;
    fh_addr sender = {{0}};

    /* Ethernet and IPv4, complete; the filter has seen to the rest */
    if (length < ETH_HLEN + 28 || fh_get16(arp) != 1 || fh_get16(arp + 2) != 0x0800 || arp[4] != 6 ||
        arp[5] != 4)
        return;
    memcpy(sender.b, arp + 14, 4);
    claim(e, s, FH_AF_INET, &sender, arp + 8, now);
}

static void na_packet(fh_engine *e, const fh_sock *s, const struct mmsghdr *m, const uint8_t *data,
                      fh_ns now) {
    size_t length = m->msg_len;
    fh_addr target;
    int hops = 0;

    const struct msghdr *h = &m->msg_hdr;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, c))
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)
            memcpy(&hops, CMSG_DATA(c), sizeof(hops));
    if (length < 24 || data[0] != 136 || data[1] != 0 || hops != 255) /* RFC 4861 7.1.2 */
        return;
    memcpy(target.b, data + 8, 16);
    for (size_t at = 24; at + 8 <= length && data[at + 1] != 0; at += (size_t)data[at + 1] * 8)
        if (data[at] == 2) {
            claim(e, s, FH_AF_INET6, &target, data + at + 2, now);
            return;
        }
}

int fh_engine_receive(fh_engine *e, int fd) {
    fh_rx_buffers *b = &e->rx;

    for (unsigned i = 0; i < FH_RX_BATCH; i++) {
        b->iov[i] = (struct iovec){b->data[i], FH_RX_OCTETS};
        b->msg[i].msg_hdr = (struct msghdr){
            .msg_name = &b->from[i],
            .msg_namelen = sizeof(b->from[i]),
            .msg_iov = &b->iov[i],
            .msg_iovlen = 1,
            .msg_control = b->control[i],
            .msg_controllen = sizeof(b->control[i]),
        };
    }
    int got = recvmmsg(fd, b->msg, FH_RX_BATCH, MSG_DONTWAIT, NULL);
    if (got > 0) fh_count(&e->stat[FH_ENGINE_PACKETS_RX], (uint64_t)got);
    return got;
}

void fh_engine_read(fh_engine *e, fh_sock *s, fh_ns now) {
    const fh_rx_buffers *b = &e->rx;
    fh_ns offset = fh_wall_offset();

    /* bounded, so that a flood on one interface does not keep the timers waiting */
    for (int rounds = 0; rounds < 8; rounds++) {
        int got = fh_engine_receive(e, s->fd);
        if (got <= 0) return; /* nothing (more), or the interface is gone, of which netlink tells */
        fh_count(&s->packets, (uint64_t)got);
        for (int i = 0; i < got; i++) {
            if (s->protocol == FH_SOCK_ARP)
                arp_packet(e, s, b->data[i], b->msg[i].msg_len, now);
            else if (s->protocol == FH_PROTO_ICMP6)
                na_packet(e, s, &b->msg[i], b->data[i], now);
            else
                vrrp_packet(e, s, &b->msg[i], b->data[i], offset, now);
        }
        if (got < FH_RX_BATCH) return;
    }
}

void fh_engine_filter(fh_engine *e, fh_sock *s) {
    fh_sock_filter_spec spec = {.family = s->family,
                                .protocol = s->protocol,
                                .shield = s->shield.up,
                                .only_from_mac = s->only_from_mac,
                                .sample = FH_SHIELD_SAMPLE};

    (void)e;
    if (s->protocol != FH_PROTO_VRRP && s->protocol != FH_PROTO_AH) return;
    memcpy(spec.mac, s->mac, sizeof(spec.mac));
    for (unsigned vrid = 1; vrid < 256; vrid++)
        for (const fh_ei *ei = s->by_vrid[vrid]; ei != NULL; ei = ei->next_vrid) {
            spec.vrids[vrid / 8] |= (uint8_t)(1U << (vrid % 8));
            spec.any_ttl |= ei->conf->unicast;
        }
    fh_sock_filter(s->fd, &spec);
}

bool fh_shield_turns(fh_shield *s, fh_ns elapsed, uint32_t *rate) {
    uint64_t refused = (uint64_t)s->refused * FH_NS_PER_SEC / (uint64_t)(elapsed > 0 ? elapsed : 1);

    *rate = (uint32_t)refused;
    s->refused = 0;
    bool attack = refused > (s->up ? SHIELD_AT >> FH_SHIELD_SAMPLE : SHIELD_AT);
    s->calm = attack ? 0 : s->calm + 1;
    if (attack == s->up || (s->up && s->calm < SHIELD_CALM)) return false;
    s->up = attack;
    return true;
}

bool fh_engine_shields(fh_engine *e, fh_ns now) {
    fh_ns elapsed = now - e->shields_at;
    bool any = false;
    uint32_t rate;

    e->shields_at = now;
    for (uint32_t i = 0; i < e->conf.max_socks; i++) {
        fh_sock *s = e->socks[i];
        if (s == NULL) continue;
        if (fh_shield_turns(&s->shield, elapsed, &rate)) {
            fh_engine_filter(e, s);
            fh_event event = {.at = now, .type = FH_EVENT_SHIELD, .inst = i, .arg = {s->shield.up, rate}};
            fh_engine_tell(e, &event);
        }
        any |= s->shield.up;
    }
    any |= fh_engine_bfd_shields(e, elapsed, now);
    return any;
}
