/* IPv4 and IPv6 headers and the Internet checksum (RFC 791, 8200, 1071, incremental update RFC 1624), shared
 * by the codecs. Works on buffers of the caller; never reads past the given length. */
#ifndef FH_INET_H
#define FH_INET_H

#include "fh_base.h"

#define FH_ETH_LEN 14
#define FH_IP4_LEN 20 /* without options: what we send */
#define FH_IP6_LEN 40
#define FH_ETHERTYPE_IP4 0x0800
#define FH_ETHERTYPE_ARP 0x0806
#define FH_ETHERTYPE_IP6 0x86dd
#define FH_TOS_CONTROL 0xc0 /* internetwork control, what every VRRP and BFD speaker uses */

enum { FH_PROTO_UDP = 17, FH_PROTO_AH = 51, FH_PROTO_ICMP6 = 58, FH_PROTO_VRRP = 112 };

/* One's complement sum, not yet folded; parts of even length may be summed one after the other. Start with 0.
 */
uint32_t fh_sum_add(uint32_t sum, const void *data, size_t len);
/* Folds and complements: the value for the checksum field. Over a packet that carries a right checksum it
 * gives 0. */
uint16_t fh_sum_fold(uint32_t sum);
/* Sum of the pseudo-header of either family (RFC 793, RFC 8200 8.1), to continue with fh_sum_add. */
uint32_t fh_sum_pseudo(int family, const fh_addr *src, const fh_addr *dst, uint8_t proto, uint32_t len);
/* New checksum field after one aligned 16-bit word went from before to after (RFC 1624 eqn. 3). */
uint16_t fh_sum_patch(uint16_t checksum, uint16_t before, uint16_t after);

/* Writes FH_IP4_LEN octets with checksum; payload_len octets follow it. */
void fh_ip4_put(uint8_t *ip, const fh_addr *src, const fh_addr *dst, uint8_t proto, uint8_t tos, uint8_t ttl,
                uint16_t id, bool dont_fragment, size_t payload_len);
/* Writes FH_IP6_LEN octets. */
void fh_ip6_put(uint8_t *ip, const fh_addr *src, const fh_addr *dst, uint8_t next, uint8_t traffic_class,
                uint8_t hops, size_t payload_len);
void fh_eth_put(uint8_t *eth, const uint8_t dst[6], const uint8_t src[6], uint16_t ethertype);
/* The Ethernet group address of an IPv4 (RFC 1112) or IPv6 (RFC 2464) multicast address. */
void fh_multicast_mac(int family, const fh_addr *group, uint8_t mac[6]);

static inline bool fh_is_multicast(int family, const fh_addr *a) {
    return family == FH_AF_INET6 ? a->b[0] == 0xff : (a->b[0] & 0xf0) == 0xe0;
}

static inline bool fh_is_linklocal6(const fh_addr *a) {
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static inline bool fh_addr_equal(const fh_addr *a, const fh_addr *b) {
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* Unsigned, network order, as VRRP's tie-break wants it (RFC 9568 6.4.3): < 0, 0, > 0. */
static inline int fh_addr_compare(const fh_addr *a, const fh_addr *b) {
    return memcmp(a->b, b->b, sizeof a->b);
}

/* What a datagram brought with it from the network layer, however the socket told it. */
typedef struct {
    uint8_t family; /* FH_AF_INET or FH_AF_INET6 */
    uint8_t proto;  /* FH_PROTO_VRRP or FH_PROTO_AH for VRRP */
    int16_t ttl;    /* TTL or Hop Limit; -1 = the socket did not tell, which counts as wrong where a value is
                       asked */
    fh_addr src, dst;
    const uint8_t *ip4; /* the whole IPv4 header as received (the AH's ICV covers it), NULL if not at hand */
    uint16_t ip4_len;   /* its length in octets */
    fh_ns mono_ns;      /* receive time, CLOCK_MONOTONIC */
    int64_t wall_ns;    /* receive time, CLOCK_REALTIME, for auth_hmac's time window only */
} fh_rx_meta;

enum fh_ip_rx {
    FH_IP_OK = 0,
    FH_IP_SHORT,    /* header incomplete, or total length beyond the octets received */
    FH_IP_VERSION,  /* version nibble */
    FH_IP_HEADER,   /* header length below 20 or beyond the total length */
    FH_IP_FRAGMENT, /* a fragment: none of our protocols is ever fragmented */
    FH_IP_CHECKSUM,
    FH_IP_N
};
const char *fh_ip_rx_name(enum fh_ip_rx r);

/* Splits an IPv4 packet as AF_INET raw sockets and AF_PACKET deliver it. Fills meta's family, proto, ttl,
 * src, dst, ip4 and ip4_len (not the times); *payload and *payload_len are what follows the header, without
 * Ethernet padding. check: verify the header checksum (AF_PACKET: yes; AF_INET: the kernel has). On failure
 * nothing is written. */
enum fh_ip_rx fh_ip4_parse(const uint8_t *pkt, size_t len, bool check, fh_rx_meta *meta,
                           const uint8_t **payload, size_t *payload_len);
/* The same for IPv6 from AF_PACKET. Extension headers are not walked: proto is the Next Header as it stands.
 */
enum fh_ip_rx fh_ip6_parse(const uint8_t *pkt, size_t len, fh_rx_meta *meta, const uint8_t **payload,
                           size_t *payload_len);

#endif
