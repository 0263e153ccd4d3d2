/* Inner parts of the VRRP codec, shared by fh_vrrp_codec.c and fh_vrrp_receive.c and by nobody else. */
#ifndef FH_VRRP_WIRE_H
#define FH_VRRP_WIRE_H

#include "fh_vrrp_codec.h"

enum {
    VRRP_ADVERTISEMENT = 1,  /* the only type there is */
    VRRP_AH_PAYLOAD_LEN = 4, /* in 32-bit words less two (RFC 2402 2.2) */
    /* offsets in the AH */
    VRRP_AH_SPI = 4,
    VRRP_AH_SEQ = 8,
    VRRP_AH_ICV = 12,
    VRRP_ICV_LEN = 12,
    /* offsets in the auth_hmac trailer */
    VRRP_HMAC_EXT_TYPE = 1, /* its value */
    VRRP_HMAC_STAMP = 4,
    VRRP_HMAC_TAG = 12,
    VRRP_TAG_LEN = 16,
};

/* Start of the checksum's sum: the pseudo-header, or 0 where there is none. */
uint32_t fh_vrrp_pseudo_sum(int version, int family, bool no_pseudo, const fh_addr *src, const fh_addr *dst,
                            size_t len);
/* ICV over IPv4 header, AH and what follows it (len octets from ah on). ip4_len at most 60. */
void fh_vrrp_ah_icv(const fh_hmac_md5_key *key, const uint8_t *ip4, size_t ip4_len, bool zero_ttl,
                    const uint8_t *ah, size_t len, uint8_t icv[VRRP_ICV_LEN]);
void fh_vrrp_hmac_tag(const fh_vrrp_hmac_key *key, int family, const fh_addr *src, const uint8_t *msg,
                      size_t msg_len, const uint8_t *trailer, uint8_t tag[VRRP_TAG_LEN]);
/* A clock as the trailer holds it, with counter 0. */
uint64_t fh_vrrp_hmac_stamp(int64_t clock_ns);

#endif
