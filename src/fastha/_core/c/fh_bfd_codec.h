/* BFD control packets on the wire (RFC 5880 4 and 6.7, padding of RFC 9764): encode, decode, and the steps of
 * the receive procedure (5880 6.8.6) that need no session machine. Everything of S-BFD (RFC 7880) and of
 * unaffiliated Echo (RFC 9747) has the same format.
 *
 * Pure functions on the caller's memory. The machine is fh_bfd_fsm's; the UDP header is the kernel's. */
#ifndef FH_BFD_CODEC_H
#define FH_BFD_CODEC_H

#include "fh_base.h"
#include "fh_digest.h"
#include "fh_inet.h"

#define FH_BFD_LEN 24
#define FH_BFD_AUTH_MAX 28
#define FH_BFD_PACKET_MAX (FH_BFD_LEN + FH_BFD_AUTH_MAX) /* without padding */
#define FH_BFD_SECRET_MAX 20

enum {
    FH_BFD_PORT_SINGLE = 3784,
    FH_BFD_PORT_ECHO = 3785,
    FH_BFD_PORT_MULTI = 4784,
    FH_BFD_PORT_SBFD = 7784
};

enum fh_bfd_state { FH_BFD_ADMIN_DOWN = 0, FH_BFD_DOWN = 1, FH_BFD_INIT = 2, FH_BFD_UP = 3 };
const char *fh_bfd_state_name(unsigned state); /* "admin_down", "down", "init", "up" */

enum fh_bfd_diag {
    FH_BFD_DIAG_NONE = 0,
    FH_BFD_DIAG_EXPIRED = 1, /* control detection time expired */
    FH_BFD_DIAG_ECHO_FAILED = 2,
    FH_BFD_DIAG_NEIGHBOR_DOWN = 3, /* neighbour signalled session down */
    FH_BFD_DIAG_FORWARDING_RESET = 4,
    FH_BFD_DIAG_PATH_DOWN = 5,
    FH_BFD_DIAG_CONCAT_DOWN = 6,
    FH_BFD_DIAG_ADMIN_DOWN = 7,
    FH_BFD_DIAG_REVERSE_CONCAT_DOWN = 8,
};
const char *
fh_bfd_diag_name(unsigned diag); /* "none", "detection_time_expired", ...; "unassigned" for 9-31 */

enum {
    FH_BFD_POLL = 0x20,
    FH_BFD_FINAL = 0x10,
    FH_BFD_CPI = 0x08, /* control plane independent */
    FH_BFD_AUTH = 0x04,
    FH_BFD_DEMAND = 0x02,
    FH_BFD_MULTIPOINT = 0x01,
};

enum fh_bfd_auth_type {
    FH_BFD_AUTH_NONE = 0,
    FH_BFD_AUTH_SIMPLE = 1,
    FH_BFD_AUTH_MD5 = 2,
    FH_BFD_AUTH_METICULOUS_MD5 = 3,
    FH_BFD_AUTH_SHA1 = 4,
    FH_BFD_AUTH_METICULOUS_SHA1 = 5,
};

static inline bool fh_bfd_auth_is_meticulous(unsigned type) {
    return type == FH_BFD_AUTH_METICULOUS_MD5 || type == FH_BFD_AUTH_METICULOUS_SHA1;
}

static inline bool fh_bfd_auth_has_sequence(unsigned type) {
    return type >= FH_BFD_AUTH_MD5 && type <= FH_BFD_AUTH_METICULOUS_SHA1;
}

/* One key. Lengths: simple 1-16, MD5 1-16, SHA1 1-20 octets. */
typedef struct {
    uint8_t id;
    uint8_t type; /* enum fh_bfd_auth_type, never NONE */
    uint8_t len;
    uint8_t secret[FH_BFD_SECRET_MAX]; /* zero-padded */
} fh_bfd_key;

/* False if type or length is impossible. */
bool fh_bfd_key_init(fh_bfd_key *key, uint8_t id, unsigned type, const void *secret, size_t len);

typedef struct {
    uint8_t version; /* 1 */
    uint8_t diag;    /* 5 bits */
    uint8_t state;   /* enum fh_bfd_state */
    uint8_t flags;   /* FH_BFD_POLL ... */
    uint8_t detect_mult;
    uint8_t length; /* of the control packet with its authentication, as the field says */
    uint32_t my_discr, your_discr;
    uint32_t min_tx_us, min_rx_us, min_echo_rx_us;
    /* when the A flag is set */
    uint8_t auth_type, auth_len;
    uint8_t auth_key_id;
    uint32_t auth_seq; /* types 2-5 */
} fh_bfd_packet;

enum fh_bfd_build {
    FH_BFD_BUILD_OK = 0,
    FH_BFD_BUILD_SPACE, /* buffer too small */
    FH_BFD_BUILD_FIELD, /* a field beyond its width, Detect Mult 0, My Discriminator 0, P with F, M */
    FH_BFD_BUILD_KEY,
    FH_BFD_BUILD_N
};

/* Writes a control packet. The A flag and the authentication section follow from key (NULL = none) and
 * p->auth_seq, the Length from both; p->version, p->length and the other auth fields are not looked at.
 * padded > length: zeros up to that many octets (RFC 9764). Gives the octets written, or 0 and the reason in
 * *why (may be NULL). */
size_t fh_bfd_encode(const fh_bfd_packet *p, const fh_bfd_key *key, size_t padded, uint8_t *buf, size_t cap,
                     enum fh_bfd_build *why);

/* Everything that can become of a received packet; also the index of its counter. In the order of 5880 6.8.6
 * (the TTL and what belongs to a session, filled in by the engine and fh_bfd_fsm, where they stand in that
 * order). */
enum fh_bfd_rx {
    FH_BFD_RX_OK = 0,
    FH_BFD_RX_TOO_SHORT, /* fewer than 24 octets: the fields are not all there */
    FH_BFD_RX_VERSION,
    FH_BFD_RX_LENGTH_SMALL, /* Length below 24, or 26 with A */
    FH_BFD_RX_LENGTH_LARGE, /* Length beyond the payload */
    FH_BFD_RX_DETECT_MULT,  /* 0 */
    FH_BFD_RX_MULTIPOINT,
    FH_BFD_RX_MY_DISCR,        /* 0 */
    FH_BFD_RX_POLL_AND_FINAL,  /* a sender must not (6.5) */
    FH_BFD_RX_YOUR_UNKNOWN,    /* no session has this discriminator */
    FH_BFD_RX_YOUR_ZERO_STATE, /* Your Discriminator 0, state neither Down nor AdminDown */
    FH_BFD_RX_NO_SESSION,      /* Your Discriminator 0, no session with this peer */
    FH_BFD_RX_TTL,             /* GTSM (5881 5), multihop minimum, or unaffiliated Echo's 254 */
    FH_BFD_RX_WRONG_PATH,      /* single hop by another interface, other port or family than the session's */
    FH_BFD_RX_AUTH_UNEXPECTED, /* A set, no authentication in use */
    FH_BFD_RX_AUTH_MISSING,    /* A clear, authentication in use */
    FH_BFD_RX_AUTH_TYPE,       /* no key of ours has this type */
    FH_BFD_RX_AUTH_KEY_ID,     /* no key of this type has this id */
    FH_BFD_RX_AUTH_LENGTH,
    FH_BFD_RX_AUTH_SEQUENCE, /* outside the window */
    FH_BFD_RX_AUTH_DIGEST,   /* password or digest differs */
    FH_BFD_RX_ADMIN_DOWN,    /* session is AdminDown: taken note of, then discarded */
    FH_BFD_RX_SBFD_DEMAND,   /* S-BFD reflector: D clear; initiator: D set (7880 7.2.3, 7.3.3) */
    FH_BFD_RX_SBFD_PORT,     /* S-BFD reflector: source port 7784 */
    FH_BFD_RX_SBFD_STATE,    /* S-BFD initiator: an answer that is neither Up nor AdminDown */
    FH_BFD_RX_LOOPED,        /* unaffiliated Echo: not a packet of ours */
    FH_BFD_RX_LIMIT,         /* unsolicited session refused: limit, source filter or subnet (9468) */
    FH_BFD_RX_N
};
const char *fh_bfd_rx_name(enum fh_bfd_rx r);

/* Steps 1-6 of 6.8.6, and P with F: parses into *out. Needs no session. The authentication section is only
 * located here: its fields are filled as far as the octets reach, and judged by fh_bfd_auth_check. *out is
 * untouched on failure. */
enum fh_bfd_rx fh_bfd_decode(const uint8_t *buf, size_t len, fh_bfd_packet *out);

/* Step 8: a packet with Your Discriminator 0 may only be Down or AdminDown. */
static inline enum fh_bfd_rx fh_bfd_check_your_zero(const fh_bfd_packet *p) {
    return p->your_discr == 0 && p->state > FH_BFD_DOWN ? FH_BFD_RX_YOUR_ZERO_STATE : FH_BFD_RX_OK;
}

/* GTSM and its relatives: least = 255 for single hop, 1-255 for multihop with a minimum, 0 = no rule. Unknown
 * (-1) passes only where there is no rule. */
static inline enum fh_bfd_rx fh_bfd_check_ttl(int ttl, int least) {
    return ttl < least && least != 0 ? FH_BFD_RX_TTL : FH_BFD_RX_OK;
}

/* Authentication in use on a session: the keys accepted, the receive sequence. */
typedef struct {
    const fh_bfd_key *keys; /* caller's; NULL with count 0 = no authentication */
    uint8_t key_count;
    bool seq_known;   /* bfd.AuthSeqKnown */
    uint32_t rcv_seq; /* bfd.RcvAuthSeq */
} fh_bfd_auth;

/* Steps 10-12 with 6.7: presence, type, key id, length, sequence window [rcv, rcv + 3 * detect_mult]
 * (meticulous from rcv + 1), digest. buf is what fh_bfd_decode was given. Sets seq_known and rcv_seq only
 * when everything matched. detect_mult: the session's own. */
enum fh_bfd_rx fh_bfd_auth_check(fh_bfd_auth *auth, const fh_bfd_packet *p, const uint8_t *buf,
                                 uint8_t detect_mult);

#endif
