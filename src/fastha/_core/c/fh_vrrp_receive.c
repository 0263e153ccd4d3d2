/* See fh_vrrp_codec.h: the checks on a received advert, in the order of enum fh_vrrp_rx. */
#include "fh_vrrp_codec.h"
#include "fh_vrrp_wire.h"

static const char *const rx_names[FH_VRRP_RX_N] = {
    [FH_VRRP_RX_OK] = "ok",
    [FH_VRRP_RX_TOO_SHORT] = "too_short",
    [FH_VRRP_RX_AH_MISSING] = "ah_missing",
    [FH_VRRP_RX_AH_UNEXPECTED] = "ah_unexpected",
    [FH_VRRP_RX_AH_MALFORMED] = "ah_malformed",
    [FH_VRRP_RX_TTL] = "ttl",
    [FH_VRRP_RX_VERSION] = "version",
    [FH_VRRP_RX_TYPE] = "type",
    [FH_VRRP_RX_LENGTH] = "length",
    [FH_VRRP_RX_TRAILING] = "trailing",
    [FH_VRRP_RX_CHECKSUM] = "checksum",
    [FH_VRRP_RX_CHECKSUM_OTHER_FORM] = "checksum_other_form",
    [FH_VRRP_RX_VRID] = "vrid",
    [FH_VRRP_RX_NOT_MULTICAST] = "not_multicast",
    [FH_VRRP_RX_NOT_UNICAST] = "not_unicast",
    [FH_VRRP_RX_UNKNOWN_PEER] = "unknown_peer",
    [FH_VRRP_RX_PEER_TTL] = "peer_ttl",
    [FH_VRRP_RX_AH_SPI] = "ah_spi",
    [FH_VRRP_RX_AH_ICV] = "ah_icv",
    [FH_VRRP_RX_AH_REPLAY] = "ah_replay",
    [FH_VRRP_RX_HMAC_MISSING] = "hmac_missing",
    [FH_VRRP_RX_HMAC_MALFORMED] = "hmac_malformed",
    [FH_VRRP_RX_HMAC_STALE] = "hmac_stale",
    [FH_VRRP_RX_HMAC_UNKNOWN_KEY] = "hmac_unknown_key",
    [FH_VRRP_RX_HMAC_INVALID] = "hmac_invalid",
    [FH_VRRP_RX_HMAC_REPLAY] = "hmac_replay",
    [FH_VRRP_RX_AUTH_TYPE] = "auth_type",
    [FH_VRRP_RX_AUTH_MISMATCH] = "auth_mismatch",
    [FH_VRRP_RX_AUTH_FAILURE] = "auth_failure",
    [FH_VRRP_RX_OWNER_IGNORED] = "owner_ignored",
    [FH_VRRP_RX_COUNT_ZERO] = "count_zero",
    [FH_VRRP_RX_INTERVAL_ZERO] = "interval_zero",
    [FH_VRRP_RX_FIRST_NOT_LINKLOCAL] = "first_not_linklocal",
    [FH_VRRP_RX_INTERVAL_V2] = "interval_v2",
    [FH_VRRP_RX_ADDR_LIST] = "addr_list",
};

const char *fh_vrrp_rx_name(enum fh_vrrp_rx r) {
    return (unsigned)r < FH_VRRP_RX_N ? rx_names[r] : "?";
}

/* ---- address lists ---- */

static uint64_t mix(uint64_t v) {
    v ^= v >> 33;
    v *= UINT64_C(0xff51afd7ed558ccd);
    v ^= v >> 33;
    v *= UINT64_C(0xc4ceb9fe1a85ec53);
    return v ^ (v >> 33);
}

static uint64_t hash_addr(const uint8_t *p, size_t size) {
    uint64_t part[2] = {0, 0};
    memcpy(part, p, size);
    return mix(part[0] + UINT64_C(0x9e3779b97f4a7c15) + mix(part[1]));
}

void fh_vrrp_rx_conf_prepare(fh_vrrp_rx_conf *conf) {
    conf->addrs_hash = 0;
    for (unsigned i = 0; i < conf->addr_count; i++)
        conf->addrs_hash += hash_addr(conf->addrs[i].b, fh_addr_size(conf->family));
    conf->any_peer_ttl = false;
    for (unsigned i = 0; i < conf->peer_count; i++)
        if (conf->peers[i].min_ttl >= 0 || conf->peers[i].max_ttl >= 0) conf->any_peer_ttl = true;
}

/* Same addresses, each as often, in any order. A sum of hashes refuses other lists without comparing all
 * pairs, so that a flood of them is cheap; a list that passes is then compared for good. */
static bool same_addrs(const fh_vrrp_rx_conf *conf, const uint8_t *list, unsigned count) {
    size_t size = fh_addr_size(conf->family);
    if (count != conf->addr_count) return false;
    unsigned first = 0; /* that differs */
    while (first < count && memcmp(conf->addrs[first].b, list + first * size, size) == 0)
        first++;
    if (first == count) return true;
    uint64_t hash = 0;
    for (unsigned k = 0; k < count; k++)
        hash += hash_addr(list + k * size, size);
    if (hash != conf->addrs_hash) return false;
    uint64_t used[(FH_VRRP_MAX_ADDRS + 63) / 64] = {0};
    for (unsigned i = first; i < count; i++) {
        unsigned k = first;
        while (k < count &&
               ((used[k / 64] >> (k % 64) & 1) || memcmp(conf->addrs[k].b, list + i * size, size) != 0))
            k++;
        if (k == count) return false;
        used[k / 64] |= UINT64_C(1) << (k % 64);
    }
    return true;
}

/* ---- auth_hmac ---- */

static const fh_vrrp_hmac_key *find_key(const fh_vrrp_rx_conf *conf, uint8_t id) {
    for (unsigned i = 0; i < conf->hmac_key_count; i++)
        if (conf->hmac_keys[i].id == id) return &conf->hmac_keys[i];
    return NULL;
}

static bool is_trailer(const uint8_t *trailer, size_t len) {
    return len == FH_VRRP_HMAC_LEN && trailer[0] == VRRP_HMAC_EXT_TYPE && trailer[1] != 0 &&
           fh_get16(trailer + 2) == 0;
}

static uint64_t trailer_stamp(const uint8_t *trailer) {
    return (uint64_t)fh_get32(trailer + VRRP_HMAC_STAMP) << 32 | fh_get32(trailer + VRRP_HMAC_STAMP + 4);
}

static bool within_window(const fh_vrrp_rx_conf *conf, int64_t wall_ns, uint64_t stamp) {
    uint64_t window = (uint64_t)conf->hmac_window_s << 32;
    uint64_t now = fh_vrrp_hmac_stamp(wall_ns), then = stamp & ~UINT64_C(0xffff);
    return now - then <= window || then - now <= window;
}

/* The slot of this sender; or else a free one or that of the longest silent, with *known false. */
static unsigned sender_slot(const fh_vrrp_rx_conf *conf, const fh_vrrp_rx_state *state,
                            const fh_rx_meta *meta, bool *known) {
    unsigned oldest = 0;
    for (unsigned i = 0; i < FH_VRRP_HMAC_SENDERS; i++) {
        if (state->hmac[i].heard != 0 && fh_addr_equal(&state->hmac[i].src, &meta->src)) {
            fh_ns silent = meta->mono_ns - state->hmac[i].heard;
            *known = !(conf->hmac_monotonic && conf->hmac_forget_int > 0 && silent > conf->hmac_forget_int);
            return i;
        }
        if (state->hmac[i].heard < state->hmac[oldest].heard) oldest = i;
    }
    *known = false;
    return oldest;
}

static enum fh_vrrp_rx check_hmac(const fh_vrrp_rx_conf *conf, const fh_vrrp_rx_state *state,
                                  const fh_rx_meta *meta, const uint8_t *msg, size_t msg_len, size_t len) {
    const uint8_t *trailer = msg + msg_len;
    if (len == msg_len) return FH_VRRP_RX_HMAC_MISSING;
    if (!is_trailer(trailer, len - msg_len)) return FH_VRRP_RX_HMAC_MALFORMED;
    if (!conf->hmac_monotonic && !within_window(conf, meta->wall_ns, trailer_stamp(trailer)))
        return FH_VRRP_RX_HMAC_STALE;
    const fh_vrrp_hmac_key *key = find_key(conf, trailer[1]);
    if (key == NULL) return FH_VRRP_RX_HMAC_UNKNOWN_KEY;
    uint8_t tag[VRRP_TAG_LEN];
    fh_vrrp_hmac_tag(key, meta->family, &meta->src, msg, msg_len, trailer, tag);
    if (!fh_equal_ct(tag, trailer + VRRP_HMAC_TAG, sizeof tag)) return FH_VRRP_RX_HMAC_INVALID;
    bool known;
    unsigned slot = sender_slot(conf, state, meta, &known);
    if (known && (int64_t)(trailer_stamp(trailer) - state->hmac[slot].stamp) <= 0)
        return FH_VRRP_RX_HMAC_REPLAY;
    return FH_VRRP_RX_OK;
}

static void remember_stamp(const fh_vrrp_rx_conf *conf, fh_vrrp_rx_state *state, const fh_rx_meta *meta,
                           const uint8_t *trailer) {
    bool known;
    unsigned slot = sender_slot(conf, state, meta, &known);
    state->hmac[slot].src = meta->src;
    state->hmac[slot].stamp = trailer_stamp(trailer);
    state->hmac[slot].heard = meta->mono_ns != 0 ? meta->mono_ns : 1;
}

/* ---- the checks, group by group ---- */

static enum fh_vrrp_rx check_ah(const fh_vrrp_rx_conf *conf, const fh_vrrp_rx_state *state,
                                const fh_rx_meta *meta, const uint8_t *ah, size_t len) {
    if (memcmp(ah + VRRP_AH_SPI, meta->src.b, 4) != 0) return FH_VRRP_RX_AH_SPI;
    /* Without the IP header or a key nothing can be verified, so nothing is believed. */
    if (conf->ah_key == NULL || meta->ip4 == NULL || meta->ip4_len < FH_IP4_LEN || meta->ip4_len > 60)
        return FH_VRRP_RX_AH_ICV;
    /* keepalived leaves the TTL in on multicast and zeroes it on unicast; RFC 2402 always zeroes it. Either
     * is as safe, the TTL being checked by itself. */
    uint8_t icv[VRRP_ICV_LEN];
    bool zero_ttl = !fh_is_multicast(FH_AF_INET, &meta->dst);
    fh_vrrp_ah_icv(conf->ah_key, meta->ip4, meta->ip4_len, zero_ttl, ah, len, icv);
    if (!fh_equal_ct(icv, ah + VRRP_AH_ICV, sizeof icv)) {
        fh_vrrp_ah_icv(conf->ah_key, meta->ip4, meta->ip4_len, !zero_ttl, ah, len, icv);
        if (!fh_equal_ct(icv, ah + VRRP_AH_ICV, sizeof icv)) return FH_VRRP_RX_AH_ICV;
    }
    if (state->sign.ah_seq_known && (int32_t)(fh_get32(ah + VRRP_AH_SEQ) - state->sign.ah_seq) <= 0)
        return FH_VRRP_RX_AH_REPLAY;
    return FH_VRRP_RX_OK;
}

static enum fh_vrrp_rx check_checksum(const fh_vrrp_rx_conf *conf, const fh_rx_meta *meta, const uint8_t *msg,
                                      size_t msg_len, size_t len, uint32_t *flags) {
    /* IPv6: the kernel sums what follows the IP header, so a trailer is in it; IPv4: it is not. */
    size_t covered = conf->family == FH_AF_INET6 ? len : msg_len;
    uint32_t body = fh_sum_add(0, msg, covered);
    uint32_t pseudo =
        fh_vrrp_pseudo_sum(conf->version, conf->family, conf->no_pseudo, &meta->src, &meta->dst, covered);
    if (fh_sum_fold(body + pseudo) == 0) return FH_VRRP_RX_OK;
    if (conf->version == 2 || conf->family == FH_AF_INET6) return FH_VRRP_RX_CHECKSUM;
    if (conf->unicast && !conf->no_pseudo && conf->old_checksum == FH_VRRP_OLD_CHECKSUM_AUTO) {
        uint32_t old = fh_vrrp_pseudo_sum(3, FH_AF_INET, false, &meta->src, &fh_vrrp_group4, covered);
        if (fh_sum_fold(body + old) == 0) {
            *flags |= FH_VRRP_F_OLD_CHECKSUM;
            return FH_VRRP_RX_OK;
        }
    }
    uint32_t other = fh_vrrp_pseudo_sum(3, FH_AF_INET, !conf->no_pseudo, &meta->src, &meta->dst, covered);
    return fh_sum_fold(body + other) == 0 ? FH_VRRP_RX_CHECKSUM_OTHER_FORM : FH_VRRP_RX_CHECKSUM;
}

static enum fh_vrrp_rx check_sender(const fh_vrrp_rx_conf *conf, const fh_rx_meta *meta) {
    bool multicast = fh_is_multicast(conf->family, &meta->dst);
    if (!conf->unicast) return multicast ? FH_VRRP_RX_OK : FH_VRRP_RX_NOT_MULTICAST;
    if (multicast) return FH_VRRP_RX_NOT_UNICAST;
    if (!conf->check_unicast_src && !conf->any_peer_ttl && conf->hmac_mode != FH_VRRP_HMAC_ENFORCE)
        return FH_VRRP_RX_OK;
    const fh_vrrp_peer *peer = NULL;
    for (unsigned i = 0; i < conf->peer_count && peer == NULL; i++)
        if (fh_addr_equal(&conf->peers[i].addr, &meta->src)) peer = &conf->peers[i];
    if (peer == NULL) return FH_VRRP_RX_UNKNOWN_PEER;
    if (peer->min_ttl >= 0 && meta->ttl < peer->min_ttl) return FH_VRRP_RX_PEER_TTL;
    if (peer->max_ttl >= 0 && (meta->ttl < 0 || meta->ttl > peer->max_ttl)) return FH_VRRP_RX_PEER_TTL;
    return FH_VRRP_RX_OK;
}

static enum fh_vrrp_rx check_auth_v2(const fh_vrrp_rx_conf *conf, const uint8_t *msg, size_t msg_len) {
    uint8_t type = msg[4];
    if (type > FH_VRRP_AUTH_AH) return FH_VRRP_RX_AUTH_TYPE;
    if (type != conf->auth_type) return FH_VRRP_RX_AUTH_MISMATCH;
    if (type == FH_VRRP_AUTH_SIMPLE &&
        !fh_equal_ct(msg + msg_len - FH_VRRP_AUTH_LEN, conf->auth_data, FH_VRRP_AUTH_LEN))
        return FH_VRRP_RX_AUTH_FAILURE;
    return FH_VRRP_RX_OK;
}

/* What the message says, authenticated by now. */
static enum fh_vrrp_rx check_fields(const fh_vrrp_rx_conf *conf, fh_vrrp_advert *a) {
    if (conf->priority == FH_VRRP_PRIO_OWNER && conf->owner_ignores) return FH_VRRP_RX_OWNER_IGNORED;
    if (conf->version == 2) return a->interval != conf->interval ? FH_VRRP_RX_INTERVAL_V2 : FH_VRRP_RX_OK;
    if (a->addr_count == 0) {
        if (!conf->accept_count_zero) return FH_VRRP_RX_COUNT_ZERO;
        a->flags |= FH_VRRP_F_COUNT_ZERO;
    }
    if (a->interval == 0) return FH_VRRP_RX_INTERVAL_ZERO;
    if (conf->family == FH_AF_INET6 && a->addr_count > 0) {
        fh_addr first;
        memcpy(first.b, a->addrs, sizeof first.b);
        if (!fh_is_linklocal6(&first)) {
            if (!conf->accept_first_global) return FH_VRRP_RX_FIRST_NOT_LINKLOCAL;
            a->flags |= FH_VRRP_F_FIRST_NOT_LINKLOCAL;
        }
    }
    if (a->interval != conf->interval) a->flags |= FH_VRRP_F_INTERVAL;
    return FH_VRRP_RX_OK;
}

static enum fh_vrrp_rx check_addrs(const fh_vrrp_rx_conf *conf, const fh_vrrp_rx_state *state,
                                   fh_vrrp_advert *a) {
    bool count_differs, addrs_differ;
    if (conf->skip_check_adv_addr && state->last_known && fh_addr_equal(&state->last_src, &a->src)) {
        count_differs = state->last_count_differs;
        addrs_differ = state->last_addrs_differ;
    } else {
        count_differs = a->addr_count != conf->addr_count;
        addrs_differ = !same_addrs(conf, a->addrs, a->addr_count);
    }
    if (count_differs) a->flags |= FH_VRRP_F_ADDR_COUNT;
    if (addrs_differ) a->flags |= FH_VRRP_F_ADDR_LIST;
    if (addrs_differ && conf->addr_policy == FH_VRRP_ADDRS_DISCARD && a->priority != FH_VRRP_PRIO_OWNER)
        return FH_VRRP_RX_ADDR_LIST;
    return FH_VRRP_RX_OK;
}

bool fh_vrrp_peek(uint8_t proto, const uint8_t *payload, size_t len, fh_vrrp_peek_info *out) {
    size_t at = proto == FH_PROTO_AH ? FH_VRRP_AH_LEN : 0;
    if (len < at + FH_VRRP_HDR_LEN) return false;
    out->version = payload[at] >> 4;
    out->type = payload[at] & 0x0f;
    out->vrid = payload[at + 1];
    out->priority = payload[at + 2];
    return true;
}

static void read_fields(const uint8_t *msg, fh_vrrp_advert *a) {
    memset(a, 0, sizeof *a);
    a->version = msg[0] >> 4;
    a->vrid = msg[1];
    a->priority = msg[2];
    a->addr_count = msg[3];
    if (a->version == 2) {
        a->auth_type = msg[4];
        a->interval = msg[5];
    } else {
        a->interval = fh_get16(msg + 4) & 0x0fff;
    }
    a->interval_ns = fh_vrrp_interval_ns(a->version, a->interval);
    a->addrs = msg + FH_VRRP_HDR_LEN;
}

bool fh_vrrp_decode(int family, const uint8_t *msg, size_t len, fh_vrrp_advert *out) {
    if (len < FH_VRRP_HDR_LEN || (msg[0] >> 4 != 2 && msg[0] >> 4 != 3)) return false;
    if (len < fh_vrrp_msg_len(msg[0] >> 4, family, msg[3])) return false;
    read_fields(msg, out);
    return true;
}

enum fh_vrrp_rx fh_vrrp_receive(const fh_vrrp_rx_conf *conf, fh_vrrp_rx_state *state, const fh_rx_meta *meta,
                                const uint8_t *payload, size_t len, fh_vrrp_advert *out) {
    enum fh_vrrp_rx r;
    const uint8_t *ah = NULL, *msg = payload;
    size_t payload_len = len;
    bool want_ah = conf->version == 2 && conf->auth_type == FH_VRRP_AUTH_AH;
    if (meta->proto == FH_PROTO_AH) {
        if (!want_ah) return FH_VRRP_RX_AH_UNEXPECTED;
        if (len < FH_VRRP_AH_LEN + FH_VRRP_HDR_LEN) return FH_VRRP_RX_TOO_SHORT;
        if (payload[0] != FH_PROTO_VRRP || payload[1] != VRRP_AH_PAYLOAD_LEN) return FH_VRRP_RX_AH_MALFORMED;
        ah = payload;
        msg += FH_VRRP_AH_LEN;
        len -= FH_VRRP_AH_LEN;
    } else {
        if (len < FH_VRRP_HDR_LEN) return FH_VRRP_RX_TOO_SHORT;
        if (want_ah) return FH_VRRP_RX_AH_MISSING;
    }
    if (!conf->unicast && meta->ttl != 255) return FH_VRRP_RX_TTL;
    if (msg[0] >> 4 != conf->version) return FH_VRRP_RX_VERSION;
    if ((msg[0] & 0x0f) != VRRP_ADVERTISEMENT) return FH_VRRP_RX_TYPE;

    size_t msg_len = fh_vrrp_msg_len(conf->version, conf->family, msg[3]);
    if (len < msg_len) return FH_VRRP_RX_LENGTH;
    bool foreign_trailer = conf->hmac_mode == FH_VRRP_HMAC_OFF && len > msg_len;
    if (foreign_trailer && !is_trailer(msg + msg_len, len - msg_len)) return FH_VRRP_RX_TRAILING;

    fh_vrrp_advert a;
    read_fields(msg, &a);
    a.src = meta->src;
    if ((r = check_checksum(conf, meta, msg, msg_len, len, &a.flags)) != FH_VRRP_RX_OK) return r;
    if (a.vrid != conf->vrid) return FH_VRRP_RX_VRID;
    if ((r = check_sender(conf, meta)) != FH_VRRP_RX_OK) return r;

    bool verified = false;
    if (ah != NULL && (r = check_ah(conf, state, meta, ah, payload_len)) != FH_VRRP_RX_OK) return r;
    if (foreign_trailer) a.flags |= FH_VRRP_F_HMAC_IGNORED;
    if (conf->hmac_mode != FH_VRRP_HMAC_OFF) {
        r = check_hmac(conf, state, meta, msg, msg_len, len);
        if (r == FH_VRRP_RX_OK) {
            verified = true;
            a.flags |= FH_VRRP_F_HMAC_VERIFIED;
            a.hmac_key_id = msg[msg_len + 1];
        } else if (conf->hmac_mode == FH_VRRP_HMAC_ENFORCE) {
            return r;
        } else {
            a.flags |= FH_VRRP_F_HMAC_TOLERATED;
            a.hmac_why = (uint8_t)r;
        }
    }
    if (conf->version == 2 && (r = check_auth_v2(conf, msg, msg_len)) != FH_VRRP_RX_OK) return r;
    if ((r = check_fields(conf, &a)) != FH_VRRP_RX_OK) return r;
    if ((r = check_addrs(conf, state, &a)) != FH_VRRP_RX_OK) return r;
    if (a.priority == FH_VRRP_PRIO_OWNER) a.flags |= FH_VRRP_F_OWNER;
    if (fh_addr_equal(&a.src, &conf->own_src)) a.flags |= FH_VRRP_F_OWN_SOURCE;

    if (ah != NULL) {
        state->sign.ah_seq = fh_get32(ah + VRRP_AH_SEQ);
        state->sign.ah_seq_known = true;
    }
    if (verified) remember_stamp(conf, state, meta, msg + msg_len);
    state->last_known = true;
    state->last_src = a.src;
    state->last_count_differs = (a.flags & FH_VRRP_F_ADDR_COUNT) != 0;
    state->last_addrs_differ = (a.flags & FH_VRRP_F_ADDR_LIST) != 0;
    *out = a;
    return FH_VRRP_RX_OK;
}
