/* VRRP on the wire: version 2 (RFC 3768, authentication of RFC 2338) and version 3 (RFC 9568, checksum of RFC
 * 5798 where peers want it), over IPv4 and IPv6, multicast and unicast, and the auth_hmac trailer of
 * keepalived 2.4.
 *
 * Three parts: encode a message; keep a prebuilt packet and patch it (template); check what was received.
 * Pure functions on the caller's memory: no clock, no system call, no allocation. Elections and timers are
 * fh_vrrp_fsm's. */
#ifndef FH_VRRP_CODEC_H
#define FH_VRRP_CODEC_H

#include "fh_base.h"
#include "fh_digest.h"
#include "fh_inet.h"

#define FH_VRRP_HDR_LEN 8
#define FH_VRRP_AUTH_LEN 8    /* version 2's authentication data, always present */
#define FH_VRRP_AH_LEN 24     /* AH with a 96-bit ICV */
#define FH_VRRP_HMAC_LEN 28   /* auth_hmac trailer */
#define FH_VRRP_MAX_ADDRS 255 /* width of the count field */
#define FH_VRRP_MSG_MAX (FH_VRRP_HDR_LEN + 16 * FH_VRRP_MAX_ADDRS)
/* Largest packet that a template can need, with everything. Real ones are bounded by the MTU. */
#define FH_VRRP_PACKET_MAX (FH_ETH_LEN + FH_IP6_LEN + FH_VRRP_AH_LEN + FH_VRRP_MSG_MAX + FH_VRRP_HMAC_LEN)

enum { FH_VRRP_AUTH_NONE = 0, FH_VRRP_AUTH_SIMPLE = 1, FH_VRRP_AUTH_AH = 2 };
enum { FH_VRRP_PRIO_STOP = 0, FH_VRRP_PRIO_OWNER = 255 };

extern const fh_addr fh_vrrp_group4; /* 224.0.0.18 */
extern const fh_addr fh_vrrp_group6; /* ff02::12 */

static inline const fh_addr *fh_vrrp_group(int family) {
    return family == FH_AF_INET6 ? &fh_vrrp_group6 : &fh_vrrp_group4;
}

/* 00:00:5e:00:01:VRID, for IPv6 00:00:5e:00:02:VRID (RFC 9568 7.3). */
void fh_vrrp_virtual_mac(int family, uint8_t vrid, uint8_t mac[6]);

/* ---- times (RFC 3768 6.1, RFC 9568 6.1)
 * ------------------------------------------------------------------------ */

/* Skew_Time: version 2 (256 - priority) / 256 s whatever the interval, version 3 that fraction of the
 * interval (of the active router's). Exact to the nanosecond, rounded up. */
fh_ns fh_vrrp_skew_ns(int version, uint8_t priority, fh_ns interval_ns);
/* Active_Down_Interval: adverts (3 by the RFC, keepalived's down_timer_adverts) intervals plus Skew_Time. */
fh_ns fh_vrrp_down_ns(int version, uint8_t priority, fh_ns interval_ns, unsigned adverts);
/* Between the wire's unit (version 2: seconds, version 3: centiseconds) and nanoseconds. */
fh_ns fh_vrrp_interval_ns(int version, uint16_t wire);
/* Rounds up to the unit, clamps to 1-255 s or 1-4095 cs. */
uint16_t fh_vrrp_interval_wire(int version, fh_ns interval_ns);

/* ---- encode
 * ---------------------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t version; /* 2 or 3 */
    uint8_t family;  /* FH_AF_INET or FH_AF_INET6 (version 3 only) */
    uint8_t vrid;    /* 1-255 */
    uint8_t priority;
    uint16_t interval;  /* in the wire's unit: version 2 seconds 1-255, version 3 centiseconds 1-4095 */
    uint8_t auth_type;  /* version 2: FH_VRRP_AUTH_...; version 3: 0 */
    uint8_t addr_count; /* 0-255; 0 is legal to send only as keepalived's no_virtual_ipaddress */
    uint8_t auth_data[FH_VRRP_AUTH_LEN]; /* with FH_VRRP_AUTH_SIMPLE: the password, zero-padded; else sent as
                                            zero */
    bool no_pseudo;   /* version 3 over IPv4: checksum over the message only (RFC 9568, v3_checksum_as_v2) */
    fh_addr src, dst; /* of the IP header; the pseudo-header needs them */
    const fh_addr *addrs;
} fh_vrrp_msg;

enum fh_vrrp_build {
    FH_VRRP_BUILD_OK = 0,
    FH_VRRP_BUILD_VERSION,  /* neither 2 nor 3 */
    FH_VRRP_BUILD_FAMILY,   /* unknown, or IPv6 with version 2 */
    FH_VRRP_BUILD_VRID,     /* 0 */
    FH_VRRP_BUILD_INTERVAL, /* out of the field's range */
    FH_VRRP_BUILD_AUTH, /* unknown type, authentication with version 3, AH without a key, AH with auth_hmac */
    FH_VRRP_BUILD_ADDRS, /* addr_count > 0 and addrs NULL */
    FH_VRRP_BUILD_SPACE, /* buffer too small */
    FH_VRRP_BUILD_N
};
const char *fh_vrrp_build_name(enum fh_vrrp_build r);

/* Length of the VRRP message (no IP header, no AH, no trailer). */
size_t fh_vrrp_msg_len(int version, int family, unsigned addr_count);

/* Writes the VRRP message with its checksum. Gives its length, or 0 and the reason in *why (why may be NULL).
 */
size_t fh_vrrp_encode(const fh_vrrp_msg *msg, uint8_t *buf, size_t cap, enum fh_vrrp_build *why);

/* ---- a prebuilt packet
 * ----------------------------------------------------------------------------------------- */

/* A key of auth_hmac: 32 to 64 octets (any length works), prepared once. */
typedef struct {
    uint8_t id; /* 1-255 */
    fh_hmac_sha256_key key;
} fh_vrrp_hmac_key;

void fh_vrrp_hmac_key_init(fh_vrrp_hmac_key *key, uint8_t id, const void *secret, size_t len);
/* The AH key as keepalived makes it: auth_pass, zero-padded or cut to 8 octets. */
void fh_vrrp_ah_key_init(fh_hmac_md5_key *key, const void *password, size_t len);

/* How a whole packet is to look. */
typedef struct {
    fh_vrrp_msg msg;
    uint8_t ttl;               /* TTL or Hop Limit: 255 on multicast */
    uint8_t tos;               /* FH_TOS_CONTROL */
    bool dont_fragment;        /* IPv4's DF */
    bool old_unicast_checksum; /* version 3 over IPv4 to a unicast peer: the pseudo-header carries 224.0.0.18
                                instead of the peer, as keepalived before 1.3.7 does it */
    uint16_t ip_id; /* IPv4's Identification; 0 lets the kernel choose when it sends with IP_HDRINCL */
    bool ethernet;  /* put an Ethernet header in front, for AF_PACKET */
    uint8_t eth_src[6];
    uint8_t eth_dst[6];               /* all zero: derived from a multicast msg.dst */
    const fh_hmac_md5_key *ah_key;    /* with auth_type AH; kept by reference */
    const fh_vrrp_hmac_key *hmac_key; /* sign with auth_hmac, NULL = no trailer; kept by reference */
} fh_vrrp_tx_conf;

/* A packet in the caller's buffer, ready to send, and where its parts are. The buffer and the keys must live
 * as long as the template. Patching costs a few additions (plus one HMAC where one is used). 40-odd octets:
 * keep one per instance and unicast peer. */
typedef struct {
    uint8_t *buf;
    const fh_hmac_md5_key *ah_key;
    const fh_vrrp_hmac_key *hmac_key;
    uint16_t len;      /* whole, from the first octet of buf */
    uint16_t ip_off;   /* 14 with an Ethernet header, else 0 */
    uint16_t ah_off;   /* 0 = none */
    uint16_t msg_off;  /* the VRRP message */
    uint16_t msg_len;  /* without the trailer */
    uint16_t hmac_off; /* 0 = none */
    uint8_t version, family;
    bool multicast;
} fh_vrrp_template;

/* Octets of buffer that a template needs; 0 if conf is impossible (see fh_vrrp_build for why). */
size_t fh_vrrp_template_size(const fh_vrrp_tx_conf *conf, enum fh_vrrp_build *why);
/* Builds the packet. Packets with AH or auth_hmac are not sendable until fh_vrrp_template_sign was called. */
enum fh_vrrp_build fh_vrrp_template_init(fh_vrrp_template *t, uint8_t *buf, size_t cap,
                                         const fh_vrrp_tx_conf *conf);
uint8_t fh_vrrp_template_priority(const fh_vrrp_template *t);
/* Both patch the VRRP checksum incrementally; sign afterwards if the packet is signed. */
void fh_vrrp_template_set_priority(fh_vrrp_template *t, uint8_t priority);
void fh_vrrp_template_set_interval(fh_vrrp_template *t, uint16_t interval);
/* IPv4's Identification, with the header checksum. Nothing to do for IPv6. */
void fh_vrrp_template_set_ip_id(fh_vrrp_template *t, uint16_t id);

/* What signing remembers, one per instance. */
typedef struct {
    uint32_t ah_seq; /* last sequence number sent or accepted: fh_vrrp_receive keeps it too, so that a router
                        which takes over continues above the old master, as keepalived's receivers ask */
    bool ah_seq_known;
    uint64_t hmac_stamp; /* last one sent: 32 bits seconds, 16 bits fraction, 16 bits counter */
} fh_vrrp_sign_state;

/* Fills AH or the auth_hmac trailer for the next sending: before every send of a template with a key, a no-op
 * without. clock_ns: for auth_hmac, CLOCK_REALTIME (anti_replay time) or CLOCK_MONOTONIC (anti_replay
 * monotonic). If the clock was set back the stamp still grows. */
void fh_vrrp_template_sign(fh_vrrp_template *t, fh_vrrp_sign_state *s, int64_t clock_ns);
static inline bool fh_vrrp_template_needs_sign(const fh_vrrp_template *t) {
    return t->ah_off != 0 || t->hmac_off != 0;
}

/* What to hand to the socket: a frame (AF_PACKET), an IP packet (IP_HDRINCL), or what follows the IP header
 * (IPv6 raw sockets; IPv4 ones without IP_HDRINCL, not with AH). */
static inline const uint8_t *fh_vrrp_template_frame(const fh_vrrp_template *t, size_t *len) {
    *len = t->len;
    return t->buf;
}

static inline const uint8_t *fh_vrrp_template_packet(const fh_vrrp_template *t, size_t *len) {
    *len = (size_t)(t->len - t->ip_off);
    return t->buf + t->ip_off;
}

static inline const uint8_t *fh_vrrp_template_payload(const fh_vrrp_template *t, size_t *len) {
    *len = (size_t)(t->len - t->msg_off);
    return t->buf + t->msg_off;
}

/* ---- receive
 * --------------------------------------------------------------------------------------------------- */

/* Everything that can become of an advert; also the index of its counter. Checks run in this order except
 * where a comment says otherwise: the cheap ones first, none that reads an address before the length is
 * known, authentication before any field is believed. */
enum fh_vrrp_rx {
    FH_VRRP_RX_OK = 0,
    FH_VRRP_RX_TOO_SHORT,  /* no whole VRRP (or AH) header */
    FH_VRRP_RX_AH_MISSING, /* AH is configured and the packet has none */
    FH_VRRP_RX_AH_UNEXPECTED,
    FH_VRRP_RX_AH_MALFORMED, /* next header or length of the AH */
    FH_VRRP_RX_TTL,          /* multicast and not 255 */
    FH_VRRP_RX_VERSION,
    FH_VRRP_RX_TYPE,
    FH_VRRP_RX_LENGTH,   /* fewer octets than the count asks for */
    FH_VRRP_RX_TRAILING, /* octets after the message that belong to nothing */
    FH_VRRP_RX_CHECKSUM,
    FH_VRRP_RX_CHECKSUM_OTHER_FORM, /* version 3 over IPv4: right with (without) the pseudo-header where we
                                       are set to without (with): the instances' v3_checksum_as_v2 differ */
    FH_VRRP_RX_VRID,
    FH_VRRP_RX_NOT_MULTICAST, /* came by unicast to a multicast instance */
    FH_VRRP_RX_NOT_UNICAST,   /* came by multicast to a unicast instance */
    FH_VRRP_RX_UNKNOWN_PEER,  /* unicast, peers are checked, and the source is none of them */
    FH_VRRP_RX_PEER_TTL,      /* outside the peer's min_ttl and max_ttl */
    FH_VRRP_RX_AH_SPI,        /* SPI is not the source address */
    FH_VRRP_RX_AH_ICV,        /* wrong key, or changed on the way */
    FH_VRRP_RX_AH_REPLAY,     /* sequence number not above the last */
    FH_VRRP_RX_HMAC_MISSING,
    FH_VRRP_RX_HMAC_MALFORMED,
    FH_VRRP_RX_HMAC_STALE, /* outside the time window */
    FH_VRRP_RX_HMAC_UNKNOWN_KEY,
    FH_VRRP_RX_HMAC_INVALID,
    FH_VRRP_RX_HMAC_REPLAY,
    FH_VRRP_RX_AUTH_TYPE,     /* a type no RFC knows */
    FH_VRRP_RX_AUTH_MISMATCH, /* a known type that is not ours */
    FH_VRRP_RX_AUTH_FAILURE,  /* wrong password */
    FH_VRRP_RX_OWNER_IGNORED, /* we are the owner and set to ignore adverts */
    FH_VRRP_RX_COUNT_ZERO,
    FH_VRRP_RX_INTERVAL_ZERO,
    FH_VRRP_RX_FIRST_NOT_LINKLOCAL, /* IPv6 (RFC 9568 erratum 8300) */
    FH_VRRP_RX_INTERVAL_V2,         /* version 2 discards an advert with another interval */
    FH_VRRP_RX_ADDR_LIST,           /* policy discard only */
    FH_VRRP_RX_N
};
/* Short lower-case name for counters and JSON: "ttl", "checksum_other_form", ... "?" beyond the enum. */
const char *fh_vrrp_rx_name(enum fh_vrrp_rx r);

/* What is odd about an accepted advert; each deserves a counter and a rate-limited log line. */
enum {
    FH_VRRP_F_INTERVAL = 1 << 0,     /* version 3: interval differs from ours; learned, not discarded */
    FH_VRRP_F_ADDR_COUNT = 1 << 1,   /* other number of addresses */
    FH_VRRP_F_ADDR_LIST = 1 << 2,    /* other addresses */
    FH_VRRP_F_OWN_SOURCE = 1 << 3,   /* source is our own address: looped back, or a duplicate address */
    FH_VRRP_F_OWNER = 1 << 4,        /* priority 255 */
    FH_VRRP_F_OLD_CHECKSUM = 1 << 5, /* unicast peer with the pre-1.3.7 pseudo-header */
    FH_VRRP_F_HMAC_TOLERATED =
        1 << 6, /* auth_hmac failed and the mode tolerates it; the reason is in hmac_why */
    FH_VRRP_F_HMAC_IGNORED = 1 << 7, /* signed with auth_hmac, which we do not use */
    FH_VRRP_F_HMAC_VERIFIED = 1 << 8,
    FH_VRRP_F_COUNT_ZERO = 1 << 9,           /* no address, and accept_count_zero is on */
    FH_VRRP_F_FIRST_NOT_LINKLOCAL = 1 << 10, /* and accept_first_global is on */
};

enum fh_vrrp_addr_policy {
    FH_VRRP_ADDRS_PROCESS =
        0,                 /* compare, flag, process: what version 3 asks and keepalived since 2.3.3 does */
    FH_VRRP_ADDRS_DISCARD, /* discard unless the sender's priority is 255 (RFC 3768 7.1) */
};

enum fh_vrrp_hmac_mode {
    FH_VRRP_HMAC_OFF = 0,
    FH_VRRP_HMAC_ENFORCE,      /* refuse what is not signed well */
    FH_VRRP_HMAC_PERMISSIVE,   /* sign; accept unsigned and failing adverts, with a flag */
    FH_VRRP_HMAC_RECEIVE_ONLY, /* receives like permissive; the caller signs nothing */
};

enum fh_vrrp_old_checksum {
    FH_VRRP_OLD_CHECKSUM_NEVER = 0,
    FH_VRRP_OLD_CHECKSUM_AUTO, /* take either pseudo-header from a unicast peer */
};

typedef struct {
    fh_addr addr;
    int16_t min_ttl, max_ttl; /* -1 = no limit */
} fh_vrrp_peer;

/* What an instance expects. Filled by the caller, then fh_vrrp_rx_conf_prepare. Pointers stay the caller's.
 */
typedef struct {
    uint8_t version, family, vrid;
    uint8_t priority;  /* ours: 255 = owner */
    uint8_t auth_type; /* version 2 */
    uint8_t auth_data[FH_VRRP_AUTH_LEN];
    uint16_t interval; /* ours, in the wire's unit */
    bool no_pseudo;    /* v3_checksum_as_v2 */
    bool unicast;
    bool check_unicast_src;   /* only listed peers are heard; implied when a peer has a TTL limit */
    bool owner_ignores;       /* owner_ignore_adverts */
    bool accept_count_zero;   /* tolerate keepalived's no_virtual_ipaddress */
    bool accept_first_global; /* IPv6: tolerate a list that does not begin with a link-local address */
    bool skip_check_adv_addr; /* do not compare the list again while the sender is the same */
    uint8_t addr_policy;      /* enum fh_vrrp_addr_policy */
    uint8_t old_checksum;     /* enum fh_vrrp_old_checksum */
    uint8_t hmac_mode;        /* enum fh_vrrp_hmac_mode */
    bool hmac_monotonic;      /* anti_replay monotonic: the stamps are no wall clock, no time window */
    uint16_t hmac_window_s;   /* accepted clock difference, seconds */
    fh_ns hmac_forget_int;    /* monotonic stamps: forget a silent sender after this, since its clock restarts
                                 when it    boots; 0 = never */
    fh_addr own_src;          /* our primary address, zero if none yet */
    uint8_t addr_count;
    uint8_t hmac_key_count;
    uint16_t peer_count;
    const fh_addr *addrs; /* what we advertise, in our order */
    const fh_vrrp_peer *peers;
    const fh_hmac_md5_key *ah_key;
    const fh_vrrp_hmac_key *hmac_keys;
    uint64_t addrs_hash; /* set by fh_vrrp_rx_conf_prepare */
    bool any_peer_ttl;   /* likewise */
} fh_vrrp_rx_conf;

void fh_vrrp_rx_conf_prepare(fh_vrrp_rx_conf *conf);

#define FH_VRRP_HMAC_SENDERS 4

/* What receiving remembers, one per instance; zero it to begin. Only an accepted advert changes it. */
typedef struct {
    fh_vrrp_sign_state sign;
    bool last_known;
    bool last_addrs_differ; /* result of the last comparison, for skip_check_adv_addr */
    bool last_count_differs;
    fh_addr last_src; /* sender of the last accepted advert */
    struct {
        fh_addr src;
        uint64_t stamp;
        fh_ns heard; /* 0 = free */
    } hmac[FH_VRRP_HMAC_SENDERS];
} fh_vrrp_rx_state;

/* What an accepted advert says. */
typedef struct {
    uint8_t version, vrid, priority, addr_count, auth_type;
    uint16_t interval; /* in the wire's unit */
    fh_ns interval_ns;
    uint32_t flags;   /* FH_VRRP_F_... */
    uint8_t hmac_why; /* enum fh_vrrp_rx, when FH_VRRP_F_HMAC_TOLERATED */
    uint8_t hmac_key_id;
    fh_addr src;
    const uint8_t *addrs; /* addr_count packed addresses of 4 or 16 octets inside the received packet */
} fh_vrrp_advert;

/* Enough to find the instance, nothing checked but the length. */
typedef struct {
    uint8_t version, type, vrid, priority;
} fh_vrrp_peek_info;

/* payload: what follows the IP header; proto: FH_PROTO_VRRP, or FH_PROTO_AH to look behind the AH. */
bool fh_vrrp_peek(uint8_t proto, const uint8_t *payload, size_t len, fh_vrrp_peek_info *out);

/* Runs every check on one advert (RFC 3768 7.1, RFC 9568 7.1 with errata 8298-8301, keepalived's additions).
 * payload: what follows the IP header (with meta->proto FH_PROTO_AH it begins with the AH). On FH_VRRP_RX_OK
 * *out is filled and *state moved on; on anything else neither is touched. */
enum fh_vrrp_rx fh_vrrp_receive(const fh_vrrp_rx_conf *conf, fh_vrrp_rx_state *state, const fh_rx_meta *meta,
                                const uint8_t *payload, size_t len, fh_vrrp_advert *out);

/* Decodes without judging (tools, logs): false if the octets do not hold a whole message. Fills version ...
 * interval_ns, auth_type and addrs; flags, hmac and src are zero. */
bool fh_vrrp_decode(int family, const uint8_t *msg, size_t len, fh_vrrp_advert *out);

#endif
