/* See fh_vrrp_codec.h: times, encoding and the prebuilt packet. Receiving is in fh_vrrp_receive.c. */
#include "fh_vrrp_codec.h"
#include "fh_vrrp_wire.h"

const fh_addr fh_vrrp_group4 = {{224, 0, 0, 18}};
const fh_addr fh_vrrp_group6 = {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12}};

void fh_vrrp_virtual_mac(int family, uint8_t vrid, uint8_t mac[6]) {
    static const uint8_t base[5] = {0x00, 0x00, 0x5e, 0x00, 0x01};
    memcpy(mac, base, 5);
    if (family == FH_AF_INET6) mac[4] = 0x02;
    mac[5] = vrid;
}

/* ---- times ---- */

fh_ns fh_vrrp_skew_ns(int version, uint8_t priority, fh_ns interval_ns) {
    fh_ns unit = version == 2 ? FH_NS_PER_SEC : interval_ns;
    return ((fh_ns)(256 - priority) * unit + 255) / 256;
}

fh_ns fh_vrrp_down_ns(int version, uint8_t priority, fh_ns interval_ns, unsigned adverts) {
    return (fh_ns)adverts * interval_ns + fh_vrrp_skew_ns(version, priority, interval_ns);
}

fh_ns fh_vrrp_interval_ns(int version, uint16_t wire) {
    return (fh_ns)wire * (version == 2 ? FH_NS_PER_SEC : FH_NS_PER_CSEC);
}

uint16_t fh_vrrp_interval_wire(int version, fh_ns interval_ns) {
    fh_ns unit = version == 2 ? FH_NS_PER_SEC : FH_NS_PER_CSEC, most = version == 2 ? 255 : 4095;
    if (interval_ns <= unit) return 1;
    if (interval_ns >= most * unit) return (uint16_t)most;
    return (uint16_t)((interval_ns + unit - 1) / unit);
}

/* ---- encode ---- */

static const char *const build_names[FH_VRRP_BUILD_N] = {
    [FH_VRRP_BUILD_OK] = "ok",
    [FH_VRRP_BUILD_VERSION] = "version is neither 2 nor 3",
    [FH_VRRP_BUILD_FAMILY] = "address family does not fit the version",
    [FH_VRRP_BUILD_VRID] = "virtual router id is 0",
    [FH_VRRP_BUILD_INTERVAL] = "advertisement interval out of range",
    [FH_VRRP_BUILD_AUTH] = "impossible authentication",
    [FH_VRRP_BUILD_ADDRS] = "address list missing",
    [FH_VRRP_BUILD_SPACE] = "buffer too small",
};

const char *fh_vrrp_build_name(enum fh_vrrp_build r) {
    return (unsigned)r < FH_VRRP_BUILD_N ? build_names[r] : "?";
}

size_t fh_vrrp_msg_len(int version, int family, unsigned addr_count) {
    return FH_VRRP_HDR_LEN + addr_count * fh_addr_size(family) + (version == 2 ? FH_VRRP_AUTH_LEN : 0);
}

static enum fh_vrrp_build check_msg(const fh_vrrp_msg *m) {
    if (m->version != 2 && m->version != 3) return FH_VRRP_BUILD_VERSION;
    if (m->family != FH_AF_INET && (m->family != FH_AF_INET6 || m->version == 2)) return FH_VRRP_BUILD_FAMILY;
    if (m->vrid == 0) return FH_VRRP_BUILD_VRID;
    if (m->interval == 0 || m->interval > (m->version == 2 ? 255 : 4095)) return FH_VRRP_BUILD_INTERVAL;
    if (m->auth_type > (m->version == 2 ? FH_VRRP_AUTH_AH : FH_VRRP_AUTH_NONE)) return FH_VRRP_BUILD_AUTH;
    if (m->addr_count > 0 && m->addrs == NULL) return FH_VRRP_BUILD_ADDRS;
    return FH_VRRP_BUILD_OK;
}

/* Everything but the checksum, whose field is left zero. */
static void put_msg(const fh_vrrp_msg *m, uint8_t *p) {
    p[0] = (uint8_t)(m->version << 4 | VRRP_ADVERTISEMENT);
    p[1] = m->vrid;
    p[2] = m->priority;
    p[3] = m->addr_count;
    if (m->version == 2) {
        p[4] = m->auth_type;
        p[5] = (uint8_t)m->interval;
    } else {
        fh_put16(p + 4, m->interval);
    }
    fh_put16(p + 6, 0);
    p += FH_VRRP_HDR_LEN;
    size_t size = fh_addr_size(m->family);
    for (unsigned i = 0; i < m->addr_count; i++, p += size)
        memcpy(p, m->addrs[i].b, size);
    if (m->version == 2) {
        if (m->auth_type == FH_VRRP_AUTH_SIMPLE)
            memcpy(p, m->auth_data, FH_VRRP_AUTH_LEN);
        else
            memset(p, 0, FH_VRRP_AUTH_LEN);
    }
}

uint32_t fh_vrrp_pseudo_sum(int version, int family, bool no_pseudo, const fh_addr *src, const fh_addr *dst,
                            size_t len) {
    if (version == 2 || (family == FH_AF_INET && no_pseudo)) return 0;
    return fh_sum_pseudo(family, src, dst, FH_PROTO_VRRP, (uint32_t)len);
}

size_t fh_vrrp_encode(const fh_vrrp_msg *msg, uint8_t *buf, size_t cap, enum fh_vrrp_build *why) {
    enum fh_vrrp_build result = check_msg(msg);
    size_t len = result == FH_VRRP_BUILD_OK ? fh_vrrp_msg_len(msg->version, msg->family, msg->addr_count) : 0;
    if (len > cap) {
        result = FH_VRRP_BUILD_SPACE;
        len = 0;
    }
    if (why != NULL) *why = result;
    if (len == 0) return 0;
    put_msg(msg, buf);
    uint32_t sum = fh_vrrp_pseudo_sum(msg->version, msg->family, msg->no_pseudo, &msg->src, &msg->dst, len);
    fh_put16(buf + 6, fh_sum_fold(fh_sum_add(sum, buf, len)));
    return len;
}

/* ---- keys ---- */

void fh_vrrp_hmac_key_init(fh_vrrp_hmac_key *key, uint8_t id, const void *secret, size_t len) {
    key->id = id;
    fh_hmac_sha256_prepare(&key->key, secret, len);
}

void fh_vrrp_ah_key_init(fh_hmac_md5_key *key, const void *password, size_t len) {
    uint8_t padded[8] = {0};
    if (len > 0) memcpy(padded, password, len < sizeof padded ? len : sizeof padded);
    fh_hmac_md5_prepare(key, padded, sizeof padded);
}

void fh_vrrp_ah_icv(const fh_hmac_md5_key *key, const uint8_t *ip4, size_t ip4_len, bool zero_ttl,
                    const uint8_t *ah, size_t len, uint8_t icv[VRRP_ICV_LEN]) {
    /* RFC 2402 3.3.3.1.1 counts type of service, flags with fragment offset, TTL and checksum as changing on
     * the way. */
    uint8_t header[60], zero[VRRP_ICV_LEN] = {0}, full[FH_MD5_SIZE];
    memcpy(header, ip4, ip4_len);
    header[1] = 0;
    header[6] = header[7] = 0;
    if (zero_ttl) header[8] = 0;
    header[10] = header[11] = 0;
    fh_md5 ctx;
    fh_hmac_md5_begin(key, &ctx);
    fh_md5_update(&ctx, header, ip4_len);
    fh_md5_update(&ctx, ah, VRRP_AH_ICV);
    fh_md5_update(&ctx, zero, sizeof zero);
    fh_md5_update(&ctx, ah + FH_VRRP_AH_LEN, len - FH_VRRP_AH_LEN);
    fh_hmac_md5_end(key, &ctx, full);
    memcpy(icv, full, VRRP_ICV_LEN);
}

void fh_vrrp_hmac_tag(const fh_vrrp_hmac_key *key, int family, const fh_addr *src, const uint8_t *msg,
                      size_t msg_len, const uint8_t *trailer, uint8_t tag[VRRP_TAG_LEN]) {
    uint8_t pseudo[20] = {0}, zero[VRRP_TAG_LEN] = {0}, full[FH_SHA256_SIZE];
    pseudo[0] = family == FH_AF_INET6 ? 6 : 4;
    pseudo[1] = msg[0] >> 4;
    pseudo[2] = msg[1];
    memcpy(pseudo + 4, src->b, fh_addr_size(family));
    fh_sha256 ctx;
    fh_hmac_sha256_begin(&key->key, &ctx);
    fh_sha256_update(&ctx, pseudo, sizeof pseudo);
    fh_sha256_update(&ctx, msg, 6);
    fh_sha256_update(&ctx, zero, 2); /* the checksum */
    fh_sha256_update(&ctx, msg + FH_VRRP_HDR_LEN, msg_len - FH_VRRP_HDR_LEN);
    fh_sha256_update(&ctx, trailer, VRRP_HMAC_TAG);
    fh_sha256_update(&ctx, zero, sizeof zero);
    fh_hmac_sha256_end(&key->key, &ctx, full);
    memcpy(tag, full, VRRP_TAG_LEN);
}

/* ---- the prebuilt packet ---- */

static bool mac_is_zero(const uint8_t mac[6]) {
    return (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) == 0;
}

static enum fh_vrrp_build layout(fh_vrrp_template *t, const fh_vrrp_tx_conf *conf) {
    const fh_vrrp_msg *m = &conf->msg;
    enum fh_vrrp_build result = check_msg(m);
    if (result != FH_VRRP_BUILD_OK) return result;
    bool with_ah = m->auth_type == FH_VRRP_AUTH_AH;
    if (with_ah != (conf->ah_key != NULL)) return FH_VRRP_BUILD_AUTH;
    if (conf->hmac_key != NULL && m->auth_type != FH_VRRP_AUTH_NONE) return FH_VRRP_BUILD_AUTH;
    memset(t, 0, sizeof *t);
    t->version = m->version;
    t->family = m->family;
    t->multicast = fh_is_multicast(m->family, &m->dst);
    t->ip_off = conf->ethernet ? FH_ETH_LEN : 0;
    size_t at = t->ip_off + (size_t)(m->family == FH_AF_INET6 ? FH_IP6_LEN : FH_IP4_LEN);
    if (with_ah) {
        t->ah_off = (uint16_t)at;
        at += FH_VRRP_AH_LEN;
    }
    t->msg_off = (uint16_t)at;
    t->msg_len = (uint16_t)fh_vrrp_msg_len(m->version, m->family, m->addr_count);
    at += t->msg_len;
    if (conf->hmac_key != NULL) {
        t->hmac_off = (uint16_t)at;
        at += FH_VRRP_HMAC_LEN;
    }
    t->len = (uint16_t)at;
    t->ah_key = conf->ah_key;
    t->hmac_key = conf->hmac_key;
    return FH_VRRP_BUILD_OK;
}

size_t fh_vrrp_template_size(const fh_vrrp_tx_conf *conf, enum fh_vrrp_build *why) {
    fh_vrrp_template t;
    enum fh_vrrp_build result = layout(&t, conf);
    if (why != NULL) *why = result;
    return result == FH_VRRP_BUILD_OK ? t.len : 0;
}

enum fh_vrrp_build fh_vrrp_template_init(fh_vrrp_template *t, uint8_t *buf, size_t cap,
                                         const fh_vrrp_tx_conf *conf) {
    fh_vrrp_template made;
    enum fh_vrrp_build result = layout(&made, conf);
    if (result != FH_VRRP_BUILD_OK) return result;
    if (made.len > cap) return FH_VRRP_BUILD_SPACE;
    *t = made;
    t->buf = buf;
    const fh_vrrp_msg *m = &conf->msg;
    memset(buf, 0, t->len);
    if (conf->ethernet) {
        uint8_t dst[6];
        memcpy(dst, conf->eth_dst, 6);
        if (mac_is_zero(dst) && t->multicast) fh_multicast_mac(m->family, &m->dst, dst);
        fh_eth_put(buf, dst, conf->eth_src, m->family == FH_AF_INET6 ? FH_ETHERTYPE_IP6 : FH_ETHERTYPE_IP4);
    }
    uint8_t *ip = buf + t->ip_off;
    if (m->family == FH_AF_INET6) {
        fh_ip6_put(ip, &m->src, &m->dst, FH_PROTO_VRRP, conf->tos, conf->ttl, (size_t)(t->len - t->msg_off));
    } else {
        /* The ICV covers the Identification, so with AH the kernel must not get to choose it. */
        uint16_t id = t->ah_off && conf->ip_id == 0 ? 1 : conf->ip_id;
        fh_ip4_put(ip, &m->src, &m->dst, t->ah_off ? FH_PROTO_AH : FH_PROTO_VRRP, conf->tos, conf->ttl, id,
                   conf->dont_fragment, (size_t)(t->len - t->ip_off - FH_IP4_LEN));
    }
    if (t->ah_off) {
        uint8_t *ah = buf + t->ah_off;
        ah[0] = FH_PROTO_VRRP;
        ah[1] = VRRP_AH_PAYLOAD_LEN;
        memcpy(ah + VRRP_AH_SPI, m->src.b, 4);
    }
    put_msg(m, buf + t->msg_off);
    const fh_addr *dst = &m->dst;
    if (conf->old_unicast_checksum && m->family == FH_AF_INET) dst = &fh_vrrp_group4;
    uint32_t sum = fh_vrrp_pseudo_sum(m->version, m->family, m->no_pseudo, &m->src, dst, t->msg_len);
    fh_put16(buf + t->msg_off + 6, fh_sum_fold(fh_sum_add(sum, buf + t->msg_off, t->msg_len)));
    return FH_VRRP_BUILD_OK;
}

uint8_t fh_vrrp_template_priority(const fh_vrrp_template *t) {
    return t->buf[t->msg_off + 2];
}

/* One aligned word of the message and, with it, the checksum. */
static void patch_msg(fh_vrrp_template *t, size_t at, uint16_t word) {
    uint8_t *msg = t->buf + t->msg_off;
    fh_put16(msg + 6, fh_sum_patch(fh_get16(msg + 6), fh_get16(msg + at), word));
    fh_put16(msg + at, word);
}

void fh_vrrp_template_set_priority(fh_vrrp_template *t, uint8_t priority) {
    patch_msg(t, 2, (uint16_t)(priority << 8 | t->buf[t->msg_off + 3]));
}

void fh_vrrp_template_set_interval(fh_vrrp_template *t, uint16_t interval) {
    if (t->version == 2)
        patch_msg(t, 4, (uint16_t)(t->buf[t->msg_off + 4] << 8 | (interval & 0xff)));
    else
        patch_msg(t, 4, interval & 0x0fff);
}

void fh_vrrp_template_set_ip_id(fh_vrrp_template *t, uint16_t id) {
    if (t->family != FH_AF_INET) return;
    uint8_t *ip = t->buf + t->ip_off;
    fh_put16(ip + 10, fh_sum_patch(fh_get16(ip + 10), fh_get16(ip + 4), id));
    fh_put16(ip + 4, id);
}

uint64_t fh_vrrp_hmac_stamp(int64_t clock_ns) {
    uint64_t ns = clock_ns < 0 ? 0 : (uint64_t)clock_ns, sec = ns / 1000000000, rest = ns % 1000000000;
    return (sec & 0xffffffff) << 32 | ((rest << 16) / 1000000000) << 16;
}

static void sign_hmac(fh_vrrp_template *t, fh_vrrp_sign_state *s, int64_t clock_ns) {
    /* The counter goes up with every packet and the time never back, so the stamp grows whatever rule a
     * receiver uses. When the counter wraps within one tick of the fraction, the carry moves the time on by
     * that tick. */
    uint64_t now = fh_vrrp_hmac_stamp(clock_ns), next = s->hmac_stamp + 1;
    if ((int64_t)(now - (next & ~UINT64_C(0xffff))) > 0) next = now | (next & 0xffff);
    s->hmac_stamp = next;

    uint8_t *msg = t->buf + t->msg_off, *trailer = t->buf + t->hmac_off;
    trailer[0] = VRRP_HMAC_EXT_TYPE;
    trailer[1] = t->hmac_key->id;
    fh_put16(trailer + 2, 0);
    fh_put32(trailer + VRRP_HMAC_STAMP, (uint32_t)(next >> 32));
    fh_put32(trailer + VRRP_HMAC_STAMP + 4, (uint32_t)next);
    fh_addr src = {{0}}, dst = {{0}};
    const uint8_t *ip = t->buf + t->ip_off;
    if (t->family == FH_AF_INET6) {
        memcpy(src.b, ip + 8, 16);
        memcpy(dst.b, ip + 24, 16);
    } else {
        memcpy(src.b, ip + 12, 4);
    }
    fh_vrrp_hmac_tag(t->hmac_key, t->family, &src, msg, t->msg_len, trailer, trailer + VRRP_HMAC_TAG);
    if (t->family == FH_AF_INET6) { /* the kernel of a peer checks the whole payload, trailer included */
        size_t len = (size_t)t->msg_len + FH_VRRP_HMAC_LEN;
        fh_put16(msg + 6, 0);
        uint32_t sum = fh_vrrp_pseudo_sum(t->version, t->family, false, &src, &dst, len);
        fh_put16(msg + 6, fh_sum_fold(fh_sum_add(sum, msg, len)));
    }
}

void fh_vrrp_template_sign(fh_vrrp_template *t, fh_vrrp_sign_state *s, int64_t clock_ns) {
    if (t->ah_off) {
        s->ah_seq = s->ah_seq_known ? s->ah_seq + 1 : 1;
        s->ah_seq_known = true;
        uint8_t *ah = t->buf + t->ah_off;
        fh_put32(ah + VRRP_AH_SEQ, s->ah_seq);
        fh_vrrp_ah_icv(t->ah_key, t->buf + t->ip_off, FH_IP4_LEN, !t->multicast, ah,
                       (size_t)(t->len - t->ah_off), ah + VRRP_AH_ICV);
    }
    if (t->hmac_off) sign_hmac(t, s, clock_ns);
}
