/* See fh_neigh_codec.h. */
#include "fh_neigh_codec.h"

enum { ARP_LEN = 28, ARP_REQUEST = 1, ARP_REPLY = 2 };
enum { ND_NS = 135, ND_NA = 136, ND_LEN = 24 };
enum { ND_OPT_SOURCE_LLA = 1, ND_OPT_TARGET_LLA = 2, ND_OPT_NONCE = 14 };

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t no_mac[6] = {0};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
static const fh_addr all_nodes = {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

static const char *const names[FH_NEIGH_N] = {
    [FH_NEIGH_NONE] = "none",
    [FH_NEIGH_SHORT] = "short",
    [FH_NEIGH_MALFORMED] = "malformed",
    [FH_NEIGH_CHECKSUM] = "checksum",
    [FH_NEIGH_ARP_REQUEST] = "arp_request",
    [FH_NEIGH_ARP_PROBE] = "arp_probe",
    [FH_NEIGH_ARP_ANNOUNCE] = "arp_announce",
    [FH_NEIGH_ARP_REPLY] = "arp_reply",
    [FH_NEIGH_NS] = "ns",
    [FH_NEIGH_NS_DAD] = "ns_dad",
    [FH_NEIGH_NA] = "na",
};

const char *fh_neigh_name(enum fh_neigh kind) {
    return (unsigned)kind < FH_NEIGH_N ? names[kind] : "?";
}

/* ---- build ---- */

static size_t put_arp(uint8_t *buf, size_t cap, const uint8_t eth_dst[6], uint16_t op, const uint8_t sha[6],
                      const uint8_t spa[4], const uint8_t tha[6], const uint8_t tpa[4]) {
    static const uint8_t ethernet_ip4[6] = {0, 1, 8, 0, 6, 4};
    if (cap < FH_ARP_FRAME_LEN) return 0;
    memset(buf, 0, FH_ARP_FRAME_LEN);
    fh_eth_put(buf, eth_dst, sha, FH_ETHERTYPE_ARP);
    uint8_t *arp = buf + FH_ETH_LEN;
    memcpy(arp, ethernet_ip4, 6);
    fh_put16(arp + 6, op);
    memcpy(arp + 8, sha, 6);
    memcpy(arp + 14, spa, 4);
    memcpy(arp + 18, tha, 6);
    memcpy(arp + 24, tpa, 4);
    return FH_ARP_FRAME_LEN;
}

size_t fh_garp_build(uint8_t *buf, size_t cap, const uint8_t mac[6], const uint8_t ip[4],
                     enum fh_garp_tha tha, bool reply) {
    const uint8_t *target = tha == FH_GARP_THA_ZERO ? no_mac : tha == FH_GARP_THA_SENDER ? mac : broadcast;
    return put_arp(buf, cap, broadcast, reply ? ARP_REPLY : ARP_REQUEST, mac, ip, target, ip);
}

size_t fh_arp_reply_build(uint8_t *buf, size_t cap, const uint8_t mac[6], const uint8_t ip[4],
                          const uint8_t asker_mac[6], const uint8_t asker_ip[4]) {
    return put_arp(buf, cap, asker_mac, ARP_REPLY, mac, ip, asker_mac, asker_ip);
}

size_t fh_na_build(uint8_t *buf, size_t cap, const uint8_t mac[6], const fh_addr *target, uint8_t flags,
                   const fh_addr *src, const fh_addr *dst, const uint8_t dst_mac[6]) {
    if (cap < FH_NA_FRAME_LEN) return 0;
    if (src == NULL) src = target;
    if (dst == NULL) {
        dst = &all_nodes;
        dst_mac = all_nodes_mac;
    }
    size_t len = ND_LEN + 8;
    fh_eth_put(buf, dst_mac, mac, FH_ETHERTYPE_IP6);
    fh_ip6_put(buf + FH_ETH_LEN, src, dst, FH_PROTO_ICMP6, 0, 255, len);
    uint8_t *na = buf + FH_ETH_LEN + FH_IP6_LEN;
    memset(na, 0, 8);
    na[0] = ND_NA;
    na[4] = flags & (FH_NA_ROUTER | FH_NA_SOLICITED | FH_NA_OVERRIDE);
    memcpy(na + 8, target->b, 16);
    na[24] = ND_OPT_TARGET_LLA;
    na[25] = 1;
    memcpy(na + 26, mac, 6);
    fh_put16(na + 2, fh_sum_fold(fh_sum_add(
                         fh_sum_pseudo(FH_AF_INET6, src, dst, FH_PROTO_ICMP6, (uint32_t)len), na, len)));
    return FH_NA_FRAME_LEN;
}

void fh_solicited_node(const fh_addr *a, fh_addr *group) {
    static const uint8_t prefix[13] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
    memcpy(group->b, prefix, sizeof prefix);
    memcpy(group->b + 13, a->b + 13, 3);
}

/* ---- read ---- */

static bool is_unspecified(const fh_addr *a) {
    static const fh_addr zero;
    return fh_addr_equal(a, &zero);
}

static enum fh_neigh parse_arp(const uint8_t *arp, size_t len, fh_neigh_seen *seen) {
    if (len < 8) return FH_NEIGH_SHORT;
    if (fh_get16(arp) != 1 || fh_get16(arp + 2) != FH_ETHERTYPE_IP4) return FH_NEIGH_NONE;
    if (arp[4] != 6 || arp[5] != 4) return FH_NEIGH_MALFORMED;
    if (len < ARP_LEN) return FH_NEIGH_SHORT;
    uint16_t op = fh_get16(arp + 6);
    if (op != ARP_REQUEST && op != ARP_REPLY) return FH_NEIGH_NONE;
    seen->family = FH_AF_INET;
    memcpy(seen->mac, arp + 8, 6);
    memcpy(seen->src.b, arp + 14, 4);
    memcpy(seen->target.b, arp + 24, 4);
    if (is_unspecified(&seen->src)) return op == ARP_REQUEST ? FH_NEIGH_ARP_PROBE : FH_NEIGH_MALFORMED;
    seen->claim = seen->src;
    seen->has_claim = true;
    if (fh_addr_equal(&seen->src, &seen->target)) return FH_NEIGH_ARP_ANNOUNCE;
    return op == ARP_REQUEST ? FH_NEIGH_ARP_REQUEST : FH_NEIGH_ARP_REPLY;
}

/* Looks for the link-layer address and nonce options; false if an option has length 0 or runs beyond the end.
 */
static bool read_options(const uint8_t *opt, size_t len, unsigned lla_type, bool *has_lla,
                         fh_neigh_seen *seen) {
    *has_lla = false;
    while (len > 0) {
        if (len < 2 || opt[1] == 0) return false;
        size_t size = (size_t)opt[1] * 8;
        if (size > len) return false;
        if (opt[0] == lla_type && size == 8) {
            memcpy(seen->mac, opt + 2, 6);
            *has_lla = true;
        } else if (opt[0] == ND_OPT_NONCE) {
            memcpy(seen->nonce, opt + 2, 6);
            seen->has_nonce = true;
        }
        opt += size;
        len -= size;
    }
    return true;
}

/* RFC 4861 7.1.1 and 7.1.2. */
static enum fh_neigh parse_nd(const fh_rx_meta *meta, const uint8_t *icmp, size_t len, bool check,
                              fh_neigh_seen *seen) {
    if (len < 1) return FH_NEIGH_SHORT;
    if (icmp[0] != ND_NS && icmp[0] != ND_NA) return FH_NEIGH_NONE;
    if (len < ND_LEN) return FH_NEIGH_SHORT;
    if (meta->ttl != 255 || icmp[1] != 0) return FH_NEIGH_MALFORMED;
    if (check) {
        uint32_t sum = fh_sum_pseudo(FH_AF_INET6, &meta->src, &meta->dst, FH_PROTO_ICMP6, (uint32_t)len);
        if (fh_sum_fold(fh_sum_add(sum, icmp, len)) != 0) return FH_NEIGH_CHECKSUM;
    }
    bool has_lla, is_ns = icmp[0] == ND_NS;
    seen->family = FH_AF_INET6;
    seen->src = meta->src;
    memcpy(seen->target.b, icmp + 8, 16);
    if (fh_is_multicast(FH_AF_INET6, &seen->target)) return FH_NEIGH_MALFORMED;
    if (!read_options(icmp + ND_LEN, len - ND_LEN, is_ns ? ND_OPT_SOURCE_LLA : ND_OPT_TARGET_LLA, &has_lla,
                      seen))
        return FH_NEIGH_MALFORMED;
    if (is_ns) {
        if (is_unspecified(&meta->src)) {
            /* to the solicited-node group only, and with no source to tell a link-layer address of */
            fh_addr group;
            fh_solicited_node(&seen->target, &group);
            if (has_lla || !fh_addr_equal(&group, &meta->dst)) return FH_NEIGH_MALFORMED;
            return FH_NEIGH_NS_DAD;
        }
        seen->has_claim = has_lla;
        seen->claim = seen->src;
        return FH_NEIGH_NS;
    }
    seen->flags = icmp[4] & (FH_NA_ROUTER | FH_NA_SOLICITED | FH_NA_OVERRIDE);
    if ((seen->flags & FH_NA_SOLICITED) && fh_is_multicast(FH_AF_INET6, &meta->dst))
        return FH_NEIGH_MALFORMED;
    if (!has_lla) memcpy(seen->mac, seen->eth_src, 6);
    seen->has_claim = has_lla || memcmp(seen->eth_src, no_mac, 6) != 0;
    seen->claim = seen->target;
    return FH_NEIGH_NA;
}

static enum fh_neigh finish(enum fh_neigh kind, const fh_neigh_seen *seen, fh_neigh_seen *out) {
    if (kind >= FH_NEIGH_ARP_REQUEST) *out = *seen;
    out->kind = kind;
    return kind;
}

enum fh_neigh fh_neigh_parse_frame(const uint8_t *frame, size_t len, fh_neigh_seen *out) {
    fh_neigh_seen seen;
    memset(&seen, 0, sizeof seen);
    if (len < FH_ETH_LEN) return finish(FH_NEIGH_SHORT, &seen, out);
    memcpy(seen.eth_src, frame + 6, 6);
    uint16_t type = fh_get16(frame + 12);
    frame += FH_ETH_LEN;
    len -= FH_ETH_LEN;
    if (type == FH_ETHERTYPE_ARP) return finish(parse_arp(frame, len, &seen), &seen, out);
    if (type != FH_ETHERTYPE_IP6) return finish(FH_NEIGH_NONE, &seen, out);
    fh_rx_meta meta;
    const uint8_t *icmp;
    size_t icmp_len;
    enum fh_ip_rx ip = fh_ip6_parse(frame, len, &meta, &icmp, &icmp_len);
    if (ip != FH_IP_OK) return finish(ip == FH_IP_SHORT ? FH_NEIGH_SHORT : FH_NEIGH_MALFORMED, &seen, out);
    if (meta.proto != FH_PROTO_ICMP6) return finish(FH_NEIGH_NONE, &seen, out);
    return finish(parse_nd(&meta, icmp, icmp_len, true, &seen), &seen, out);
}

enum fh_neigh fh_neigh_parse_icmp6(const fh_rx_meta *meta, const uint8_t *icmp, size_t len, bool check,
                                   fh_neigh_seen *out) {
    fh_neigh_seen seen;
    memset(&seen, 0, sizeof seen);
    return finish(parse_nd(meta, icmp, len, check, &seen), &seen, out);
}

size_t fh_neigh_answer(const fh_neigh_seen *seen, const uint8_t mac[6], bool router, uint8_t *buf,
                       size_t cap) {
    uint8_t r = router ? FH_NA_ROUTER : 0;
    switch (seen->kind) {
    case FH_NEIGH_ARP_REQUEST:
    case FH_NEIGH_ARP_PROBE:
        return fh_arp_reply_build(buf, cap, mac, seen->target.b, seen->mac, seen->src.b);
    case FH_NEIGH_NS:
        return fh_na_build(buf, cap, mac, &seen->target, r | FH_NA_SOLICITED | FH_NA_OVERRIDE, NULL,
                           &seen->src, seen->has_claim ? seen->mac : seen->eth_src);
    case FH_NEIGH_NS_DAD:
        return fh_na_build(buf, cap, mac, &seen->target, r | FH_NA_OVERRIDE, NULL, NULL, NULL);
    default:
        return 0;
    }
}
