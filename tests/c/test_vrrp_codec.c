/* The VRRP codec in C: packets built octet by octet like the golden ones, patching, signing, and every prefix
 * of every packet under the sanitizers. What each check lets through or refuses is tested from Python,
 * tests/unit/. */
#include "check.h"
#include "fh_vrrp_codec.h"

static const fh_addr router_a4 = {{192, 0, 2, 1}}, router_b4 = {{192, 0, 2, 2}};
static const fh_addr router_a6 = {{0xfe, 0x80, [15] = 1}};
static const fh_addr vips4[2] = {{{192, 0, 2, 100}}, {{192, 0, 2, 101}}};
static const fh_addr vips6[2] = {{{0xfe, 0x80, [14] = 1, [15] = 0}},
                                 {{0x20, 0x01, 0x0d, 0xb8, [14] = 1, [15] = 0}}};
static const uint8_t secret[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

static fh_vrrp_tx_conf tx4(uint8_t version) {
    fh_vrrp_tx_conf conf = {
        .msg = {.version = version,
                .family = FH_AF_INET,
                .vrid = 51,
                .priority = 100,
                .interval = version == 2 ? 1 : 100,
                .addr_count = 1,
                .src = router_a4,
                .dst = fh_vrrp_group4,
                .addrs = vips4},
        .ttl = 255,
        .tos = FH_TOS_CONTROL,
        .ip_id = 1,
    };
    return conf;
}

static fh_vrrp_tx_conf tx6(void) {
    fh_vrrp_tx_conf conf = tx4(3);
    conf.msg.family = FH_AF_INET6;
    conf.msg.addr_count = 2;
    conf.msg.src = router_a6;
    conf.msg.dst = fh_vrrp_group6;
    conf.msg.addrs = vips6;
    return conf;
}

static fh_vrrp_rx_conf rx_for(const fh_vrrp_tx_conf *tx) {
    fh_vrrp_rx_conf conf = {
        .version = tx->msg.version,
        .family = tx->msg.family,
        .vrid = tx->msg.vrid,
        .priority = 90,
        .auth_type = tx->msg.auth_type,
        .interval = tx->msg.interval,
        .no_pseudo = tx->msg.no_pseudo,
        .unicast = !fh_is_multicast(tx->msg.family, &tx->msg.dst),
        .hmac_mode = tx->hmac_key != NULL ? FH_VRRP_HMAC_ENFORCE : FH_VRRP_HMAC_OFF,
        .hmac_monotonic = true,
        .addr_count = tx->msg.addr_count,
        .addrs = tx->msg.addrs,
        .ah_key = tx->ah_key,
        .hmac_keys = tx->hmac_key,
        .hmac_key_count = tx->hmac_key != NULL,
    };
    memcpy(conf.auth_data, tx->msg.auth_data, sizeof conf.auth_data);
    fh_vrrp_rx_conf_prepare(&conf);
    return conf;
}

/* Through the IP header and all checks, from a buffer of exactly that size so that the sanitizer sees a step
 * beyond. */
static enum fh_vrrp_rx receive(const fh_vrrp_rx_conf *conf, fh_vrrp_rx_state *state, const uint8_t *packet,
                               size_t len, fh_vrrp_advert *out) {
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, packet, len);
    fh_rx_meta meta = {.mono_ns = 1};
    const uint8_t *payload;
    size_t payload_len;
    enum fh_ip_rx ip = conf->family == FH_AF_INET6
                           ? fh_ip6_parse(copy, len, &meta, &payload, &payload_len)
                           : fh_ip4_parse(copy, len, true, &meta, &payload, &payload_len);
    enum fh_vrrp_rx r = FH_VRRP_RX_N;
    if (ip == FH_IP_OK) r = fh_vrrp_receive(conf, state, &meta, payload, payload_len, out);
    free(copy);
    return r;
}

static void whole_packets(void) {
    uint8_t buf[FH_VRRP_PACKET_MAX];
    fh_vrrp_template t;
    size_t len;

    fh_vrrp_tx_conf conf = tx4(2);
    CHECK_INT(fh_vrrp_template_init(&t, buf, sizeof buf, &conf), FH_VRRP_BUILD_OK);
    CHECK_HEX(buf, t.len, "45c0002800010000ff701891c0000201e0000012213364010001b865c00002640000000000000000");

    conf = tx4(3);
    conf.ethernet = true;
    fh_vrrp_virtual_mac(FH_AF_INET, 51, conf.eth_src);
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    CHECK_HEX(buf, t.len,
              "01005e00001200005e000133080045c0002000010000ff701899c0000201e00000123133640100640572c0000264");
    const uint8_t *packet = fh_vrrp_template_packet(&t, &len);
    CHECK_INT(len, 32);
    CHECK(packet == buf + 14);
    CHECK(fh_vrrp_template_payload(&t, &len) == buf + 34);
    CHECK_INT(len, 12);

    conf = tx4(3);
    conf.msg.no_pseudo = true;
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    CHECK_HEX(buf, t.len, "45c0002000010000ff701899c0000201e0000012313364010064a802c0000264");

    conf = tx4(3);
    conf.msg.dst = router_b4;
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    CHECK_HEX(buf, t.len, "45c0002000010000ff7036a9c0000201c00002023133640100642382c0000264");
    conf.old_unicast_checksum = true; /* the group's pseudo-header: the checksum of the multicast packet */
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    CHECK_HEX(buf, t.len, "45c0002000010000ff7036a9c0000201c00002023133640100640572c0000264");

    conf = tx6();
    conf.ethernet = true;
    fh_vrrp_virtual_mac(FH_AF_INET6, 51, conf.eth_src);
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    CHECK_HEX(buf, t.len,
              "33330000001200005e00023386dd6c000000002870fffe800000000000000000000000000001ff0200000000000000"
              "00000000"
              "0000123133640200643dfdfe80000000000000000000000000010020010db8000000000000000000000100");
}

static void authentication(void) {
    uint8_t buf[FH_VRRP_PACKET_MAX];
    fh_vrrp_template t;
    fh_vrrp_sign_state sign = {0};

    fh_vrrp_tx_conf conf = tx4(2);
    conf.msg.auth_type = FH_VRRP_AUTH_SIMPLE;
    memcpy(conf.msg.auth_data, "s3cr3t", 6);
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    CHECK(!fh_vrrp_template_needs_sign(&t));
    CHECK_HEX(buf, t.len, "45c0002800010000ff701891c0000201e0000012213364010101ad4bc00002647333637233740000");

    fh_hmac_md5_key ah;
    fh_vrrp_ah_key_init(&ah, "s3cr3t", 6);
    conf = tx4(2);
    conf.msg.auth_type = FH_VRRP_AUTH_AH;
    conf.ah_key = &ah;
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    CHECK(fh_vrrp_template_needs_sign(&t));
    fh_vrrp_template_sign(&t, &sign, 0);
    CHECK_HEX(buf, t.len,
              "45c0004000010000ff3318b6c0000201e000001270040000c000020100000001208f95bbcf49f1f92b963723213364"
              "010201b6"
              "65c00002640000000000000000");

    fh_vrrp_hmac_key key;
    fh_vrrp_hmac_key_init(&key, 1, secret, sizeof secret);
    int64_t clock = INT64_C(1800000000500000000);
    conf = tx4(2);
    conf.hmac_key = &key;
    memset(&sign, 0, sizeof sign);
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    fh_vrrp_template_sign(&t, &sign, clock);
    CHECK_HEX(buf, t.len,
              "45c0004400010000ff701875c0000201e0000012213364010001b865c00002640000000000000000010100006b49d2"
              "00800000"
              "01d79a8f2aec186c46ff245b508200a60f");
    conf = tx4(3);
    conf.hmac_key = &key;
    memset(&sign, 0, sizeof sign);
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    fh_vrrp_template_sign(&t, &sign, clock);
    CHECK_HEX(buf, t.len,
              "45c0003c00010000ff70187dc0000201e00000123133640100640572c0000264010100006b49d200800000016175f5"
              "2848303f"
              "40cd25e8cafb399450");
    conf = tx6();
    conf.hmac_key = &key;
    memset(&sign, 0, sizeof sign);
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    fh_vrrp_template_sign(&t, &sign, clock);
    CHECK_HEX(buf, t.len,
              "6c000000004470fffe800000000000000000000000000001ff020000000000000000000000000012313364020064a3"
              "61fe8000"
              "0000000000000000000000010020010db8000000000000000000000100010100006b49d200800000017c091e0bd21e"
              "b199e4d2"
              "7c84cad2923b");
}

/* The stamp grows with every packet, also when the clock stands still or goes back, and over the counter's
 * wrap. */
static void stamps_grow(void) {
    fh_vrrp_hmac_key key;
    fh_vrrp_hmac_key_init(&key, 1, secret, sizeof secret);
    fh_vrrp_tx_conf conf = tx4(3);
    conf.hmac_key = &key;
    uint8_t buf[FH_VRRP_PACKET_MAX];
    fh_vrrp_template t;
    fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
    fh_vrrp_sign_state sign = {0};
    uint64_t last = 0;
    for (int i = 0; i < 70000; i++) {
        int64_t clock = i < 66000 ? 1000 * FH_NS_PER_SEC : 900 * FH_NS_PER_SEC;
        fh_vrrp_template_sign(&t, &sign, clock);
        if (sign.hmac_stamp <= last) {
            CHECK(sign.hmac_stamp > last);
            break;
        }
        last = sign.hmac_stamp;
    }
    CHECK_INT(last >> 32, 1000);
    uint16_t counter = (uint16_t)last;
    fh_vrrp_template_sign(&t, &sign, 2000 * FH_NS_PER_SEC);
    CHECK_INT(sign.hmac_stamp >> 32, 2000);
    CHECK_INT(sign.hmac_stamp & 0xffff, counter + 1);
}

/* A patched packet is the packet that would have been built. */
static void patching(void) {
    fh_hmac_md5_key ah;
    fh_vrrp_ah_key_init(&ah, "x", 1);
    fh_vrrp_hmac_key key;
    fh_vrrp_hmac_key_init(&key, 200, secret, sizeof secret);
    for (int kind = 0; kind < 7; kind++) {
        fh_vrrp_tx_conf conf = kind == 6 || kind == 5 ? tx6() : tx4(kind < 2 ? 2 : 3);
        if (kind == 1) {
            conf.msg.auth_type = FH_VRRP_AUTH_AH;
            conf.ah_key = &ah;
        }
        conf.msg.no_pseudo = kind == 3;
        if (kind == 4 || kind == 6) conf.hmac_key = &key;
        for (unsigned step = 0; step < 256; step++) {
            uint8_t patched[FH_VRRP_PACKET_MAX], built[FH_VRRP_PACKET_MAX];
            fh_vrrp_template t, u;
            fh_vrrp_sign_state s = {0}, s2 = {0};
            conf.msg.priority = 100;
            conf.msg.interval = conf.msg.version == 2 ? 1 : 100;
            conf.ip_id = 1;
            CHECK_INT(fh_vrrp_template_init(&t, patched, sizeof patched, &conf), FH_VRRP_BUILD_OK);
            fh_vrrp_template_set_priority(&t, (uint8_t)(255 - step));
            fh_vrrp_template_set_priority(&t, (uint8_t)step);
            uint16_t interval = (uint16_t)(conf.msg.version == 2 ? step % 255 + 1 : step * 16 + 1);
            fh_vrrp_template_set_interval(&t, interval);
            uint16_t id = (uint16_t)(step * 255 + 1);
            fh_vrrp_template_set_ip_id(&t, id);
            fh_vrrp_template_sign(&t, &s, 77);
            conf.msg.priority = (uint8_t)step;
            conf.msg.interval = interval;
            conf.ip_id = id;
            fh_vrrp_template_init(&u, built, sizeof built, &conf);
            fh_vrrp_template_sign(&u, &s2, 77);
            CHECK_INT(fh_vrrp_template_priority(&t), step);
            CHECK_INT(t.len, u.len);
            CHECK(memcmp(patched, built, t.len) == 0);
            fh_vrrp_rx_conf rx = rx_for(&conf);
            fh_vrrp_rx_state state = {0};
            fh_vrrp_advert advert;
            CHECK_STR(fh_vrrp_rx_name(receive(&rx, &state, patched, t.len, &advert)), "ok");
            CHECK_INT(advert.priority, step);
            CHECK_INT(advert.interval, interval);
        }
    }
}

static void impossible_messages(void) {
    uint8_t buf[FH_VRRP_PACKET_MAX];
    fh_vrrp_template t;
    enum fh_vrrp_build why;
    fh_hmac_md5_key ah;
    fh_vrrp_ah_key_init(&ah, "x", 1);
    fh_vrrp_hmac_key key;
    fh_vrrp_hmac_key_init(&key, 1, secret, sizeof secret);
#define REFUSED(change, reason)                                                                              \
    do {                                                                                                     \
        fh_vrrp_tx_conf conf = tx4(2);                                                                       \
        change;                                                                                              \
        CHECK_INT(fh_vrrp_template_init(&t, buf, sizeof buf, &conf), reason);                                \
        CHECK_INT(fh_vrrp_template_size(&conf, &why), 0);                                                    \
        CHECK_INT(why, reason);                                                                              \
    } while (0)
    REFUSED(conf.msg.version = 4, FH_VRRP_BUILD_VERSION);
    REFUSED(conf.msg.family = FH_AF_INET6, FH_VRRP_BUILD_FAMILY);
    REFUSED(conf.msg.family = 1, FH_VRRP_BUILD_FAMILY);
    REFUSED(conf.msg.vrid = 0, FH_VRRP_BUILD_VRID);
    REFUSED(conf.msg.interval = 0, FH_VRRP_BUILD_INTERVAL);
    REFUSED(conf.msg.interval = 256, FH_VRRP_BUILD_INTERVAL);
    REFUSED((conf.msg.version = 3, conf.msg.interval = 4096), FH_VRRP_BUILD_INTERVAL);
    REFUSED(conf.msg.auth_type = 3, FH_VRRP_BUILD_AUTH);
    REFUSED((conf.msg.version = 3, conf.msg.auth_type = 1), FH_VRRP_BUILD_AUTH);
    REFUSED(conf.msg.auth_type = FH_VRRP_AUTH_AH, FH_VRRP_BUILD_AUTH);
    REFUSED(conf.ah_key = &ah, FH_VRRP_BUILD_AUTH);
    REFUSED((conf.hmac_key = &key, conf.msg.auth_type = 1), FH_VRRP_BUILD_AUTH);
    REFUSED(conf.msg.addrs = NULL, FH_VRRP_BUILD_ADDRS);
    fh_vrrp_tx_conf conf = tx4(2);
    CHECK_INT(fh_vrrp_template_size(&conf, &why), 40);
    CHECK_INT(fh_vrrp_template_init(&t, buf, 39, &conf), FH_VRRP_BUILD_SPACE);
    CHECK_INT(fh_vrrp_encode(&conf.msg, buf, 19, &why), 0);
    CHECK_INT(why, FH_VRRP_BUILD_SPACE);
    CHECK_INT(fh_vrrp_encode(&conf.msg, buf, 20, NULL), 20);
}

/* Every prefix of every kind of packet is refused without a step beyond its end, and changes nothing. The IP
 * header's length is set to the prefix, so that it is the VRRP checks which have to notice. */
static void prefixes(void) {
    fh_hmac_md5_key ah;
    fh_vrrp_ah_key_init(&ah, "x", 1);
    fh_vrrp_hmac_key key;
    fh_vrrp_hmac_key_init(&key, 1, secret, sizeof secret);
    for (int kind = 0; kind < 6; kind++) {
        fh_vrrp_tx_conf conf = kind >= 4 ? tx6() : tx4(kind < 3 ? 2 : 3);
        if (kind == 1) {
            conf.msg.auth_type = FH_VRRP_AUTH_AH;
            conf.ah_key = &ah;
        }
        if (kind == 2 || kind == 5) conf.hmac_key = &key;
        uint8_t buf[FH_VRRP_PACKET_MAX];
        fh_vrrp_template t;
        fh_vrrp_sign_state sign = {0};
        fh_vrrp_template_init(&t, buf, sizeof buf, &conf);
        fh_vrrp_template_sign(&t, &sign, 5);
        fh_vrrp_rx_conf rx = rx_for(&conf);
        for (size_t cut = 0; cut < t.len; cut++) {
            fh_vrrp_rx_state state = {0}, before = {0};
            fh_vrrp_advert advert;
            memset(&advert, 0x5a, sizeof advert);
            if (kind >= 4 && cut >= FH_IP6_LEN)
                fh_put16(buf + 4, (uint16_t)(cut - FH_IP6_LEN));
            else if (kind < 4 && cut >= FH_IP4_LEN) {
                fh_put16(buf + 2, (uint16_t)cut);
                fh_put16(buf + 10, 0);
                fh_put16(buf + 10, fh_sum_fold(fh_sum_add(0, buf, FH_IP4_LEN)));
            }
            CHECK(receive(&rx, &state, buf, cut, &advert) != FH_VRRP_RX_OK);
            CHECK(memcmp(&state, &before, sizeof state) == 0);
            CHECK_INT(advert.priority, 0x5a);
        }
    }
}

static void times(void) {
    CHECK_INT(fh_vrrp_skew_ns(2, 100, FH_NS_PER_SEC), 609375000);
    CHECK_INT(fh_vrrp_skew_ns(2, 100, 3 * FH_NS_PER_SEC), 609375000);
    CHECK_INT(fh_vrrp_down_ns(2, 100, FH_NS_PER_SEC, 3), INT64_C(3609375000));
    CHECK_INT(fh_vrrp_skew_ns(2, 255, FH_NS_PER_SEC), 3906250);
    CHECK_INT(fh_vrrp_skew_ns(3, 200, 10 * FH_NS_PER_CSEC), 21875000);
    CHECK_INT(fh_vrrp_down_ns(3, 200, 10 * FH_NS_PER_CSEC, 3), 321875000);
    CHECK_INT(fh_vrrp_down_ns(3, 90, 300 * FH_NS_PER_CSEC, 3), INT64_C(10945312500));
    CHECK_INT(fh_vrrp_skew_ns(3, 255, FH_NS_PER_CSEC), 39063); /* 39062.5, rounded up */
    CHECK_INT(fh_vrrp_interval_ns(2, 255), 255 * FH_NS_PER_SEC);
    CHECK_INT(fh_vrrp_interval_ns(3, 4095), INT64_C(40950000000));
    CHECK_INT(fh_vrrp_interval_wire(3, 15 * FH_NS_PER_MSEC), 2);
    CHECK_INT(fh_vrrp_interval_wire(3, 0), 1);
    CHECK_INT(fh_vrrp_interval_wire(3, 60 * FH_NS_PER_SEC), 4095);
    CHECK_INT(fh_vrrp_interval_wire(2, 100 * FH_NS_PER_MSEC), 1);
    CHECK_INT(fh_vrrp_interval_wire(2, 300 * FH_NS_PER_SEC), 255);
}

int main(void) {
    RUN(whole_packets);
    RUN(authentication);
    RUN(stamps_grow);
    RUN(patching);
    RUN(impossible_messages);
    RUN(prefixes);
    RUN(times);
    for (int r = 0; r < FH_VRRP_RX_N; r++)
        CHECK(fh_vrrp_rx_name((enum fh_vrrp_rx)r) != NULL);
    CHECK_STR(fh_vrrp_rx_name(FH_VRRP_RX_N), "?");
    return check_failed != 0;
}
