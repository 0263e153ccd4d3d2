/* See fh_bfd_codec.h. */
#include "fh_bfd_codec.h"

enum { AUTH_AT = FH_BFD_LEN, SEQ_AT = 28, DIGEST_AT = 32, SIMPLE_MAX = 16 };

static const char *const state_names[4] = {"admin_down", "down", "init", "up"};
static const char *const diag_names[9] = {
    "none",
    "detection_time_expired",
    "echo_failed",
    "neighbor_signaled_down",
    "forwarding_plane_reset",
    "path_down",
    "concatenated_path_down",
    "admin_down",
    "reverse_concatenated_path_down",
};
static const char *const rx_names[FH_BFD_RX_N] = {
    [FH_BFD_RX_OK] = "ok",
    [FH_BFD_RX_TOO_SHORT] = "too_short",
    [FH_BFD_RX_VERSION] = "version",
    [FH_BFD_RX_LENGTH_SMALL] = "length_small",
    [FH_BFD_RX_LENGTH_LARGE] = "length_large",
    [FH_BFD_RX_DETECT_MULT] = "detect_mult",
    [FH_BFD_RX_MULTIPOINT] = "multipoint",
    [FH_BFD_RX_MY_DISCR] = "my_discriminator",
    [FH_BFD_RX_POLL_AND_FINAL] = "poll_and_final",
    [FH_BFD_RX_YOUR_UNKNOWN] = "your_discriminator_unknown",
    [FH_BFD_RX_YOUR_ZERO_STATE] = "your_discriminator_zero",
    [FH_BFD_RX_NO_SESSION] = "no_session",
    [FH_BFD_RX_TTL] = "ttl",
    [FH_BFD_RX_WRONG_PATH] = "wrong_path",
    [FH_BFD_RX_AUTH_UNEXPECTED] = "auth_unexpected",
    [FH_BFD_RX_AUTH_MISSING] = "auth_missing",
    [FH_BFD_RX_AUTH_TYPE] = "auth_type",
    [FH_BFD_RX_AUTH_KEY_ID] = "auth_key_id",
    [FH_BFD_RX_AUTH_LENGTH] = "auth_length",
    [FH_BFD_RX_AUTH_SEQUENCE] = "auth_sequence",
    [FH_BFD_RX_AUTH_DIGEST] = "auth_digest",
    [FH_BFD_RX_ADMIN_DOWN] = "admin_down",
    [FH_BFD_RX_SBFD_DEMAND] = "sbfd_demand",
    [FH_BFD_RX_SBFD_PORT] = "sbfd_port",
    [FH_BFD_RX_SBFD_STATE] = "sbfd_state",
    [FH_BFD_RX_LOOPED] = "echo_not_ours",
    [FH_BFD_RX_LIMIT] = "unsolicited_refused",
};

const char *fh_bfd_state_name(unsigned state) {
    return state < 4 ? state_names[state] : "?";
}

const char *fh_bfd_diag_name(unsigned diag) {
    return diag < 9 ? diag_names[diag] : diag < 32 ? "unassigned" : "?";
}

const char *fh_bfd_rx_name(enum fh_bfd_rx r) {
    return (unsigned)r < FH_BFD_RX_N ? rx_names[r] : "?";
}

/* ---- authentication ---- */

static bool is_sha1(unsigned type) {
    return type == FH_BFD_AUTH_SHA1 || type == FH_BFD_AUTH_METICULOUS_SHA1;
}

static size_t secret_max(unsigned type) {
    return is_sha1(type) ? FH_SHA1_SIZE : FH_MD5_SIZE; /* a simple password has at most 16 octets, too */
}

/* Auth Len */
static size_t auth_size(const fh_bfd_key *key) {
    if (key->type == FH_BFD_AUTH_SIMPLE) return 3 + (size_t)key->len;
    return DIGEST_AT - AUTH_AT + secret_max(key->type);
}

static bool key_is_sane(const fh_bfd_key *key) {
    return key->type >= FH_BFD_AUTH_SIMPLE && key->type <= FH_BFD_AUTH_METICULOUS_SHA1 && key->len > 0 &&
           key->len <= secret_max(key->type);
}

bool fh_bfd_key_init(fh_bfd_key *key, uint8_t id, unsigned type, const void *secret, size_t len) {
    fh_bfd_key made = {.id = id, .type = (uint8_t)type, .len = (uint8_t)len};
    if (type > 255 || len > FH_BFD_SECRET_MAX || !key_is_sane(&made)) return false;
    memcpy(made.secret, secret, len);
    *key = made;
    return true;
}

/* Digest over the packet with the key in the digest's place: a plain hash, not an HMAC (6.7.3, 6.7.4). */
static void digest(const fh_bfd_key *key, const uint8_t *buf, uint8_t out[FH_SHA1_SIZE]) {
    uint8_t image[FH_BFD_PACKET_MAX];
    size_t size = secret_max(key->type);
    memcpy(image, buf, DIGEST_AT);
    memcpy(image + DIGEST_AT, key->secret, size);
    if (is_sha1(key->type))
        fh_sha1_sum(image, DIGEST_AT + size, out);
    else
        fh_md5_sum(image, DIGEST_AT + size, out);
}

/* ---- encode ---- */

size_t fh_bfd_encode(const fh_bfd_packet *p, const fh_bfd_key *key, size_t padded, uint8_t *buf, size_t cap,
                     enum fh_bfd_build *why) {
    enum fh_bfd_build result = FH_BFD_BUILD_OK;
    size_t len = FH_BFD_LEN;
    if (p->diag > 31 || p->state > FH_BFD_UP || p->detect_mult == 0 || p->my_discr == 0 || p->flags > 0x3f ||
        (p->flags & FH_BFD_MULTIPOINT) ||
        (p->flags & (FH_BFD_POLL | FH_BFD_FINAL)) == (FH_BFD_POLL | FH_BFD_FINAL)) {
        result = FH_BFD_BUILD_FIELD;
    } else if (key != NULL && !key_is_sane(key)) {
        result = FH_BFD_BUILD_KEY;
    } else {
        if (key != NULL) len += auth_size(key);
        if (len > cap || padded > cap) result = FH_BFD_BUILD_SPACE;
    }
    if (why != NULL) *why = result;
    if (result != FH_BFD_BUILD_OK) return 0;

    unsigned flags = (p->flags & ~(unsigned)FH_BFD_AUTH) | (key != NULL ? FH_BFD_AUTH : 0);
    buf[0] = (uint8_t)(1 << 5 | p->diag);
    buf[1] = (uint8_t)((unsigned)p->state << 6 | flags);
    buf[2] = p->detect_mult;
    buf[3] = (uint8_t)len;
    fh_put32(buf + 4, p->my_discr);
    fh_put32(buf + 8, p->your_discr);
    fh_put32(buf + 12, p->min_tx_us);
    fh_put32(buf + 16, p->min_rx_us);
    fh_put32(buf + 20, p->min_echo_rx_us);
    if (key != NULL) {
        uint8_t *auth = buf + AUTH_AT;
        auth[0] = key->type;
        auth[1] = (uint8_t)auth_size(key);
        auth[2] = key->id;
        if (key->type == FH_BFD_AUTH_SIMPLE) {
            memcpy(auth + 3, key->secret, key->len);
        } else {
            uint8_t out[FH_SHA1_SIZE];
            auth[3] = 0;
            fh_put32(buf + SEQ_AT, p->auth_seq);
            digest(key, buf, out);
            memcpy(buf + DIGEST_AT, out, secret_max(key->type));
        }
    }
    if (padded > len) {
        memset(buf + len, 0, padded - len);
        len = padded;
    }
    return len;
}

/* ---- decode ---- */

enum fh_bfd_rx fh_bfd_decode(const uint8_t *buf, size_t len, fh_bfd_packet *out) {
    if (len < FH_BFD_LEN) return FH_BFD_RX_TOO_SHORT;
    uint8_t flags = buf[1] & 0x3f, length = buf[3];
    if (buf[0] >> 5 != 1) return FH_BFD_RX_VERSION;
    if (length < FH_BFD_LEN || ((flags & FH_BFD_AUTH) && length < FH_BFD_LEN + 2))
        return FH_BFD_RX_LENGTH_SMALL;
    if (length > len) return FH_BFD_RX_LENGTH_LARGE;
    if (buf[2] == 0) return FH_BFD_RX_DETECT_MULT;
    if (flags & FH_BFD_MULTIPOINT) return FH_BFD_RX_MULTIPOINT;
    uint32_t my_discr = fh_get32(buf + 4);
    if (my_discr == 0) return FH_BFD_RX_MY_DISCR;
    if ((flags & FH_BFD_POLL) && (flags & FH_BFD_FINAL)) return FH_BFD_RX_POLL_AND_FINAL;
    fh_bfd_packet p = {
        .version = 1,
        .diag = buf[0] & 0x1f,
        .state = buf[1] >> 6,
        .flags = flags,
        .detect_mult = buf[2],
        .length = length,
        .my_discr = my_discr,
        .your_discr = fh_get32(buf + 8),
        .min_tx_us = fh_get32(buf + 12),
        .min_rx_us = fh_get32(buf + 16),
        .min_echo_rx_us = fh_get32(buf + 20),
    };
    if (flags & FH_BFD_AUTH) {
        p.auth_type = buf[AUTH_AT];
        p.auth_len = buf[AUTH_AT + 1];
        if (length > AUTH_AT + 2) p.auth_key_id = buf[AUTH_AT + 2];
        if (fh_bfd_auth_has_sequence(p.auth_type) && length >= DIGEST_AT) p.auth_seq = fh_get32(buf + SEQ_AT);
    }
    *out = p;
    return FH_BFD_RX_OK;
}

static bool in_window(const fh_bfd_auth *auth, const fh_bfd_packet *p, uint8_t detect_mult) {
    uint32_t ahead = p->auth_seq - auth->rcv_seq; /* circular, modulo 2^32 */
    if (fh_bfd_auth_is_meticulous(p->auth_type) && ahead == 0) return false;
    return ahead <= 3u * detect_mult;
}

enum fh_bfd_rx fh_bfd_auth_check(fh_bfd_auth *auth, const fh_bfd_packet *p, const uint8_t *buf,
                                 uint8_t detect_mult) {
    bool present = (p->flags & FH_BFD_AUTH) != 0;
    if (auth->key_count == 0) return present ? FH_BFD_RX_AUTH_UNEXPECTED : FH_BFD_RX_OK;
    if (!present) return FH_BFD_RX_AUTH_MISSING;
    const fh_bfd_key *key = NULL;
    bool type_known = false;
    for (unsigned i = 0; i < auth->key_count && key == NULL; i++) {
        if (auth->keys[i].type != p->auth_type) continue;
        type_known = true;
        if (auth->keys[i].id == p->auth_key_id) key = &auth->keys[i];
    }
    if (!type_known) return FH_BFD_RX_AUTH_TYPE;
    if (key == NULL) return FH_BFD_RX_AUTH_KEY_ID;

    /* Auth Len has to be the type's own, and the section has to end where the packet does. */
    size_t size = p->auth_len;
    if (AUTH_AT + size != p->length) return FH_BFD_RX_AUTH_LENGTH;
    if (key->type == FH_BFD_AUTH_SIMPLE) {
        if (size < 4 || size > 3 + SIMPLE_MAX) return FH_BFD_RX_AUTH_LENGTH;
        /* Padded to one length, so that the time tells nothing about the password's. */
        uint8_t got[SIMPLE_MAX] = {0};
        memcpy(got, buf + AUTH_AT + 3, size - 3);
        bool same = fh_equal_ct(got, key->secret, SIMPLE_MAX);
        return same && size == auth_size(key) ? FH_BFD_RX_OK : FH_BFD_RX_AUTH_DIGEST;
    }
    if (size != auth_size(key)) return FH_BFD_RX_AUTH_LENGTH;
    if (auth->seq_known && !in_window(auth, p, detect_mult)) return FH_BFD_RX_AUTH_SEQUENCE;
    uint8_t want[FH_SHA1_SIZE];
    digest(key, buf, want);
    if (!fh_equal_ct(want, buf + DIGEST_AT, secret_max(key->type))) return FH_BFD_RX_AUTH_DIGEST;
    auth->rcv_seq = p->auth_seq;
    auth->seq_known = true;
    return FH_BFD_RX_OK;
}
