/* See fh_inet.h. */
#include "fh_inet.h"

/* Sums are kept in the machine's own byte order: a one's complement sum does not care (RFC 1071 2 B), and
 * whole words can be added as they lie in memory. fh_sum_fold turns the result round. */

static uint32_t fold32(uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    return (uint32_t)((sum & 0xffff) + (sum >> 16));
}

uint32_t fh_sum_add(uint32_t sum, const void *data, size_t len) {
    const uint8_t *p = data;
    uint64_t acc = sum;
    for (; len >= 4; p += 4, len -= 4) {
        uint32_t word;
        memcpy(&word, p, 4);
        acc += word;
    }
    if (len >= 2) {
        uint16_t word;
        memcpy(&word, p, 2);
        acc += word;
        p += 2;
        len -= 2;
    }
    if (len > 0) {
        uint8_t last[2] = {*p, 0};
        uint16_t word;
        memcpy(&word, last, 2);
        acc += word;
    }
    return fold32(acc);
}

uint16_t fh_sum_fold(uint32_t sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    uint16_t native = (uint16_t)~sum;
    uint8_t bytes[2];
    memcpy(bytes, &native, 2);
    return fh_get16(bytes);
}

uint32_t fh_sum_pseudo(int family, const fh_addr *src, const fh_addr *dst, uint8_t proto, uint32_t len) {
    uint8_t tail[8];
    fh_put32(tail, len);
    fh_put32(tail + 4, proto);
    size_t size = fh_addr_size(family);
    /* IPv4's length has 16 bits, IPv6's 32: the same sum, the upper half being zero. */
    return fh_sum_add(fh_sum_add(fh_sum_add(0, src->b, size), dst->b, size), tail, sizeof tail);
}

uint16_t fh_sum_patch(uint16_t checksum, uint16_t before, uint16_t after) {
    uint32_t sum = (uint32_t)(uint16_t)~checksum + (uint16_t)~before + after;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void fh_ip4_put(uint8_t *ip, const fh_addr *src, const fh_addr *dst, uint8_t proto, uint8_t tos, uint8_t ttl,
                uint16_t id, bool dont_fragment, size_t payload_len) {
    ip[0] = 0x45;
    ip[1] = tos;
    fh_put16(ip + 2, (uint16_t)(FH_IP4_LEN + payload_len));
    fh_put16(ip + 4, id);
    fh_put16(ip + 6, dont_fragment ? 0x4000 : 0);
    ip[8] = ttl;
    ip[9] = proto;
    fh_put16(ip + 10, 0);
    memcpy(ip + 12, src->b, 4);
    memcpy(ip + 16, dst->b, 4);
    fh_put16(ip + 10, fh_sum_fold(fh_sum_add(0, ip, FH_IP4_LEN)));
}

void fh_ip6_put(uint8_t *ip, const fh_addr *src, const fh_addr *dst, uint8_t next, uint8_t traffic_class,
                uint8_t hops, size_t payload_len) {
    fh_put32(ip, 0x60000000u | ((uint32_t)traffic_class << 20));
    fh_put16(ip + 4, (uint16_t)payload_len);
    ip[6] = next;
    ip[7] = hops;
    memcpy(ip + 8, src->b, 16);
    memcpy(ip + 24, dst->b, 16);
}

void fh_eth_put(uint8_t *eth, const uint8_t dst[6], const uint8_t src[6], uint16_t ethertype) {
    memcpy(eth, dst, 6);
    memcpy(eth + 6, src, 6);
    fh_put16(eth + 12, ethertype);
}

void fh_multicast_mac(int family, const fh_addr *group, uint8_t mac[6]) {
    if (family == FH_AF_INET6) {
        mac[0] = mac[1] = 0x33;
        memcpy(mac + 2, group->b + 12, 4);
    } else {
        mac[0] = 0x01;
        mac[1] = 0x00;
        mac[2] = 0x5e;
        mac[3] = group->b[1] & 0x7f;
        mac[4] = group->b[2];
        mac[5] = group->b[3];
    }
}

static const char *const ip_names[FH_IP_N] = {
    [FH_IP_OK] = "ok",         [FH_IP_SHORT] = "short",       [FH_IP_VERSION] = "version",
    [FH_IP_HEADER] = "header", [FH_IP_FRAGMENT] = "fragment", [FH_IP_CHECKSUM] = "checksum",
};

const char *fh_ip_rx_name(enum fh_ip_rx r) {
    return (unsigned)r < FH_IP_N ? ip_names[r] : "?";
}

enum fh_ip_rx fh_ip4_parse(const uint8_t *pkt, size_t len, bool check, fh_rx_meta *meta,
                           const uint8_t **payload, size_t *payload_len) {
    if (len < FH_IP4_LEN) return FH_IP_SHORT;
    if (pkt[0] >> 4 != 4) return FH_IP_VERSION;
    size_t header = (size_t)(pkt[0] & 0x0f) * 4, total = fh_get16(pkt + 2);
    if (header < FH_IP4_LEN || header > total) return FH_IP_HEADER;
    if (total > len) return FH_IP_SHORT;
    if (fh_get16(pkt + 6) & 0x3fff) return FH_IP_FRAGMENT;
    if (check && fh_sum_fold(fh_sum_add(0, pkt, header)) != 0) return FH_IP_CHECKSUM;
    meta->family = FH_AF_INET;
    meta->proto = pkt[9];
    meta->ttl = pkt[8];
    memset(&meta->src, 0, sizeof meta->src);
    memset(&meta->dst, 0, sizeof meta->dst);
    memcpy(meta->src.b, pkt + 12, 4);
    memcpy(meta->dst.b, pkt + 16, 4);
    meta->ip4 = pkt;
    meta->ip4_len = (uint16_t)header;
    *payload = pkt + header;
    *payload_len = total - header;
    return FH_IP_OK;
}

enum fh_ip_rx fh_ip6_parse(const uint8_t *pkt, size_t len, fh_rx_meta *meta, const uint8_t **payload,
                           size_t *payload_len) {
    if (len < FH_IP6_LEN) return FH_IP_SHORT;
    if (pkt[0] >> 4 != 6) return FH_IP_VERSION;
    size_t size = fh_get16(pkt + 4);
    if (size > len - FH_IP6_LEN) return FH_IP_SHORT;
    meta->family = FH_AF_INET6;
    meta->proto = pkt[6];
    meta->ttl = pkt[7];
    memcpy(meta->src.b, pkt + 8, 16);
    memcpy(meta->dst.b, pkt + 24, 16);
    meta->ip4 = NULL;
    meta->ip4_len = 0;
    *payload = pkt + FH_IP6_LEN;
    *payload_len = size;
    return FH_IP_OK;
}
