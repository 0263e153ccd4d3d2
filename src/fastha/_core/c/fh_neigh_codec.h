/* The frames by which an address moves: gratuitous ARP (RFC 826, 5227) and Neighbor Advertisements (RFC
 * 4861), built whole with their Ethernet header; and the reading of ARP and Neighbor Discovery, to answer for
 * our addresses and to notice who else claims them (RFC 5227 2.4, RFC 4862 5.4, RFC 9568 6.4.2).
 *
 * Ethernet only. Pure functions on the caller's memory; when and how often to send is the plan's affair. */
#ifndef FH_NEIGH_CODEC_H
#define FH_NEIGH_CODEC_H

#include "fh_base.h"
#include "fh_inet.h"

#define FH_MAC_LEN 6
#define FH_ARP_FRAME_LEN                                                                                     \
    60                     /* 42 and zeros up to Ethernet's minimum, so that no driver pads with old memory */
#define FH_NA_FRAME_LEN 86 /* Ethernet, IPv6, NA with its link-layer address option */

/* Target hardware address of a gratuitous ARP; receivers ignore it, but the standards and the peers differ.
 */
enum fh_garp_tha {
    FH_GARP_THA_BROADCAST = 0, /* ff:ff:ff:ff:ff:ff: keepalived and FRR; our default */
    FH_GARP_THA_ZERO,          /* RFC 5227 ARP Announcement */
    FH_GARP_THA_SENDER,        /* RFC 9568 with erratum 7949 */
};

/* Gratuitous ARP for ip (4 octets): broadcast, sender and target protocol address both ip, sender hardware
 * address and Ethernet source mac. reply: the reply form. Writes FH_ARP_FRAME_LEN octets and gives that, or 0
 * if cap is too small. */
size_t fh_garp_build(uint8_t *buf, size_t cap, const uint8_t mac[6], const uint8_t ip[4],
                     enum fh_garp_tha tha, bool reply);

/* ARP reply of the owner of ip (at mac) to whoever asked. Writes FH_ARP_FRAME_LEN octets, or gives 0. */
size_t fh_arp_reply_build(uint8_t *buf, size_t cap, const uint8_t mac[6], const uint8_t ip[4],
                          const uint8_t asker_mac[6], const uint8_t asker_ip[4]);

enum { FH_NA_ROUTER = 0x80, FH_NA_SOLICITED = 0x40, FH_NA_OVERRIDE = 0x20 };

/* Neighbor Advertisement that target is at mac, with the Target Link-Layer Address option, hop limit 255,
 * IPv6 traffic class 0. flags: FH_NA_...; unsolicited take-over of a virtual router: FH_NA_ROUTER |
 * FH_NA_OVERRIDE (NBR-006, -008). src NULL: target is the source, as peers do it. dst NULL: all nodes,
 * ff02::1, and then dst_mac is not looked at. Writes FH_NA_FRAME_LEN octets and gives that, or 0 if cap is
 * too small. */
size_t fh_na_build(uint8_t *buf, size_t cap, const uint8_t mac[6], const fh_addr *target, uint8_t flags,
                   const fh_addr *src, const fh_addr *dst, const uint8_t dst_mac[6]);

/* ff02::1:ffXX:XXXX of an address (RFC 4291 2.7.1). */
void fh_solicited_node(const fh_addr *a, fh_addr *group);

/* What a frame means to us. */
enum fh_neigh {
    FH_NEIGH_NONE =
        0,          /* not ARP for IPv4 over Ethernet, not ND, or an ND message that is neither NS nor NA */
    FH_NEIGH_SHORT, /* incomplete */
    FH_NEIGH_MALFORMED, /* wrong hop limit, code, option length; multicast target; other rules of RFC 4861 7.1
                         */
    FH_NEIGH_CHECKSUM,  /* ICMPv6 */
    FH_NEIGH_ARP_REQUEST,  /* asks for target; claims sender for its MAC */
    FH_NEIGH_ARP_PROBE,    /* asks for target with sender 0.0.0.0 (RFC 5227 1.1): claims nothing yet */
    FH_NEIGH_ARP_ANNOUNCE, /* gratuitous, request or reply: sender = target */
    FH_NEIGH_ARP_REPLY,
    FH_NEIGH_NS,     /* asks for target; claims sender if it carries its link-layer address */
    FH_NEIGH_NS_DAD, /* from :: : somebody is about to take target */
    FH_NEIGH_NA,     /* claims target */
    FH_NEIGH_N
};
const char *fh_neigh_name(enum fh_neigh kind);

typedef struct {
    enum fh_neigh kind;
    uint8_t family;
    uint8_t flags;      /* NA: FH_NA_... */
    bool has_claim;     /* claim and mac are filled */
    bool has_nonce;     /* NS with a Nonce option (RFC 7527): nonce is its first six octets */
    uint8_t eth_src[6]; /* zero when only the ICMPv6 part was given */
    uint8_t mac[6];     /* link-layer address told for claim: sha, or the option (NA without one: eth_src) */
    uint8_t nonce[6];
    fh_addr claim;  /* the address that somebody says is his */
    fh_addr target; /* the address asked for or advertised */
    fh_addr src;    /* ARP: sender protocol address; ND: IPv6 source */
} fh_neigh_seen;

/* Reads a whole Ethernet frame (no VLAN tag: the kernel has taken it off). *out is filled for kinds from
 * FH_NEIGH_ARP_REQUEST on, otherwise only out->kind. */
enum fh_neigh fh_neigh_parse_frame(const uint8_t *frame, size_t len, fh_neigh_seen *out);
/* Reads an ICMPv6 message; for a raw ICMPv6 socket, where the kernel has already verified the checksum (check
 * false). */
enum fh_neigh fh_neigh_parse_icmp6(const fh_rx_meta *meta, const uint8_t *icmp, size_t len, bool check,
                                   fh_neigh_seen *out);

/* Somebody with a MAC other than ours claims addr. */
static inline bool fh_neigh_is_foreign_claim(const fh_neigh_seen *seen, uint8_t family, const fh_addr *addr,
                                             const uint8_t our_mac[6]) {
    return seen->has_claim && seen->family == family && fh_addr_equal(&seen->claim, addr) &&
           memcmp(seen->mac, our_mac, FH_MAC_LEN) != 0;
}

/* Answers a question for target, held by mac (RFC 4861 7.2.4, RFC 5227 2.4): ARP reply; solicited NA, or for
 * a DAD probe an NA to all nodes without S. router: the R flag. Writes the frame and gives its length; 0 if
 * seen is no question or cap is too small. */
size_t fh_neigh_answer(const fh_neigh_seen *seen, const uint8_t mac[6], bool router, uint8_t *buf,
                       size_t cap);

#endif
