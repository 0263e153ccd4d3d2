/* What one packet costs in the codecs and machines, in nanoseconds: best of several rounds, so that the
 * scheduler's part stays out. One line for each: name, tab, nanoseconds. Built and run by bench/codec.py. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fh_bfd_fsm.h"
#include "fh_neigh_codec.h"
#include "fh_ring.h"
#include "fh_timer.h"
#include "fh_vrrp_codec.h"
#include "fh_vrrp_fsm.h"

enum { ROUNDS = 15, LOOPS = 20000 };

static fh_ns now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * FH_NS_PER_SEC + t.tv_nsec;
}

static volatile unsigned sink;

#define BENCH(name, ...)                                                                                     \
    do {                                                                                                     \
        fh_ns best = FH_NEVER;                                                                               \
        for (int round = 0; round < ROUNDS; round++) {                                                       \
            fh_ns start = now();                                                                             \
            for (unsigned i = 0; i < LOOPS; i++) {                                                           \
                __VA_ARGS__;                                                                                 \
            }                                                                                                \
            fh_ns took = now() - start;                                                                      \
            if (took < best) best = took;                                                                    \
        }                                                                                                    \
        printf("%s\t%.1f\n", name, (double)best / LOOPS);                                                    \
    } while (0)

#define MUST(what)                                                                                           \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "codec_bench: not so: %s\n", #what);                                             \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static const fh_addr vips[3] = {{{192, 0, 2, 100}}, {{192, 0, 2, 101}}, {{192, 0, 2, 102}}};

static fh_vrrp_tx_conf tx_conf(uint8_t version) {
    return (fh_vrrp_tx_conf){
        .msg = {.version = version,
                .family = FH_AF_INET,
                .vrid = 51,
                .priority = 100,
                .interval = version == 2 ? 1 : 100,
                .addr_count = 3,
                .src = {{192, 0, 2, 1}},
                .dst = fh_vrrp_group4,
                .addrs = vips},
        .ttl = 255,
        .tos = FH_TOS_CONTROL,
        .ip_id = 1,
    };
}

static void vrrp(uint8_t version, const char *encode, const char *build, const char *patch,
                 const char *receive) {
    uint8_t buf[FH_VRRP_PACKET_MAX];
    fh_vrrp_template t;
    fh_vrrp_tx_conf conf = tx_conf(version);
    BENCH(encode, sink += (unsigned)fh_vrrp_encode(&conf.msg, buf, sizeof buf, NULL));
    BENCH(build, sink += fh_vrrp_template_init(&t, buf, sizeof buf, &conf));
    BENCH(patch, fh_vrrp_template_set_priority(&t, (uint8_t)i));
    fh_vrrp_template_set_priority(&t, 100);
    fh_vrrp_rx_conf rx = {.version = version,
                          .family = FH_AF_INET,
                          .vrid = 51,
                          .priority = 90,
                          .interval = conf.msg.interval,
                          .addr_count = 3,
                          .addrs = vips};
    fh_vrrp_rx_conf_prepare(&rx);
    fh_vrrp_rx_state state = {0};
    fh_vrrp_advert advert;
    enum fh_vrrp_rx r = FH_VRRP_RX_N;
    BENCH(receive, {
        fh_rx_meta meta = {0};
        const uint8_t *payload;
        size_t len;
        fh_ip4_parse(buf, t.len, false, &meta, &payload, &len);
        r = fh_vrrp_receive(&rx, &state, &meta, payload, len, &advert);
        sink += advert.priority;
    });
    MUST(r == FH_VRRP_RX_OK);
}

static void signed_vrrp(void) {
    uint8_t buf[FH_VRRP_PACKET_MAX];
    fh_vrrp_template t;
    fh_vrrp_sign_state sign = {0};
    fh_hmac_md5_key ah;
    fh_vrrp_ah_key_init(&ah, "s3cr3t", 6);
    fh_vrrp_tx_conf conf = tx_conf(2);
    conf.msg.auth_type = FH_VRRP_AUTH_AH;
    conf.ah_key = &ah;
    MUST(fh_vrrp_template_init(&t, buf, sizeof buf, &conf) == FH_VRRP_BUILD_OK);
    BENCH("vrrp2_sign_ah", fh_vrrp_template_sign(&t, &sign, i));
    fh_vrrp_hmac_key key;
    fh_vrrp_hmac_key_init(&key, 1, "0123456789abcdef0123456789abcdef", 32);
    conf = tx_conf(3);
    conf.hmac_key = &key;
    MUST(fh_vrrp_template_init(&t, buf, sizeof buf, &conf) == FH_VRRP_BUILD_OK);
    BENCH("vrrp3_sign_auth_hmac", fh_vrrp_template_sign(&t, &sign, i));
}

static void bfd(void) {
    uint8_t buf[FH_BFD_PACKET_MAX];
    fh_bfd_packet p = {.state = FH_BFD_UP,
                       .detect_mult = 3,
                       .my_discr = 2,
                       .your_discr = 1,
                       .min_tx_us = 10000,
                       .min_rx_us = 10000};
    fh_bfd_packet read;
    enum fh_bfd_rx r = FH_BFD_RX_N;
    BENCH("bfd_encode", p.diag = i & 7; sink += (unsigned)fh_bfd_encode(&p, NULL, 0, buf, sizeof buf, NULL));
    p.diag = 0;
    fh_bfd_encode(&p, NULL, 0, buf, sizeof buf, NULL);
    BENCH("bfd_decode", sink += r = fh_bfd_decode(buf, sizeof buf, &read));
    MUST(r == FH_BFD_RX_OK);

    fh_bfd_params params = {.min_tx_us = 10000, .min_rx_us = 10000, .detect_mult = 3};
    fh_bfd s;
    fh_bfd_actions out;
    fh_bfd_input in = {.now = FH_NS_PER_SEC, .rx_time = FH_NS_PER_SEC, .random = 12345};
    fh_bfd_init(&params, &s, 1, 7, 8, in.now);
    read.state = FH_BFD_INIT;
    read.flags = 0;
    fh_bfd_receive(&params, &s, &in, &read, buf, &out);
    MUST(s.state == FH_BFD_UP);
    s.poll = false;
    BENCH("bfd_decode_and_step", {
        in.now += 1000;
        in.rx_time = in.now;
        fh_bfd_decode(buf, sizeof buf, &read);
        r = fh_bfd_receive(&params, &s, &in, &read, buf, &out);
        sink += out.bits;
    });
    MUST(r == FH_BFD_RX_OK && s.state == FH_BFD_UP);
    in.event = FH_BFD_EV_TX;
    size_t written = 0;
    BENCH("bfd_step_and_write", {
        in.now = s.tx_at;
        sink += fh_bfd_step(&params, &s, &in).bits;
        written = fh_bfd_write(&params, &s, in.now, false, buf, sizeof buf);
    });
    MUST(written == FH_BFD_LEN);

    static const char *const names[6] = {[2] = "bfd_encode_md5", [4] = "bfd_encode_sha1"};
    static const char *const checks[6] = {[2] = "bfd_check_md5", [4] = "bfd_check_sha1"};
    for (unsigned type = 2; type <= 4; type += 2) {
        fh_bfd_key key;
        MUST(fh_bfd_key_init(&key, 7, type, "bfdsecret", 9));
        fh_bfd_auth auth = {.keys = &key, .key_count = 1};
        BENCH(names[type], sink += (unsigned)fh_bfd_encode(&p, &key, 0, buf, sizeof buf, NULL));
        fh_bfd_decode(buf, sizeof buf, &read);
        BENCH(checks[type], sink += r = fh_bfd_auth_check(&auth, &read, buf, 3));
        MUST(r == FH_BFD_RX_OK);
    }
}

static void neighbours(void) {
    static const uint8_t mac[6] = {0, 0, 0x5e, 0, 1, 51};
    uint8_t buf[FH_NA_FRAME_LEN];
    fh_neigh_seen seen;
    BENCH("garp_build", sink += (unsigned)fh_garp_build(buf, sizeof buf, mac, vips[i % 3].b, 0, false));
    BENCH("arp_parse", sink += fh_neigh_parse_frame(buf, FH_ARP_FRAME_LEN, &seen));
    MUST(seen.kind == FH_NEIGH_ARP_ANNOUNCE);
    fh_addr target = {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
    BENCH("na_build", target.b[15] = (uint8_t)i;
          sink += (unsigned)fh_na_build(buf, sizeof buf, mac, &target, FH_NA_OVERRIDE, NULL, NULL, NULL));
    BENCH("na_parse", sink += fh_neigh_parse_frame(buf, FH_NA_FRAME_LEN, &seen));
    MUST(seen.kind == FH_NEIGH_NA);
}

/* A backup that hears its master, and a master whose advert is due. */
static void machine(void) {
    const fh_vrrp_params p = {
        .adver_int = FH_NS_PER_SEC, .version = 3, .base_priority = 100, .down_adverts = 3, .preempt = true};
    fh_vrrp_heard heard = {
        .interval = FH_NS_PER_SEC, .src = {{192, 0, 2, 9}}, .src_order = 1, .priority = 200};
    fh_vrrp v = {0};
    fh_vrrp_input in = {.now = FH_NS_PER_SEC, .event = FH_VRRP_EV_STARTUP};

    fh_vrrp_init(&p, &v);
    fh_vrrp_step(&p, &v, &in);
    in.event = FH_VRRP_EV_ADVERT;
    in.advert = &heard;
    BENCH("vrrp_step_backup_heard", {
        in.rx_time = in.now += 1000;
        sink += fh_vrrp_step(&p, &v, &in).bits;
    });
    MUST(v.state == FH_VRRP_BACKUP && v.master_priority == 200);
    in.event = FH_VRRP_EV_TIMER;
    in.now = v.timer;
    fh_vrrp_step(&p, &v, &in);
    MUST(v.state == FH_VRRP_MASTER);
    BENCH("vrrp_step_master_advert", {
        in.now = v.timer;
        sink += fh_vrrp_step(&p, &v, &in).bits;
    });
    MUST(v.state == FH_VRRP_MASTER);
}

/* The earliest of 4,000 timers is taken and set again, an interval later. */
static void timers(void) {
    enum { COUNT = 4000 };
    static fh_timer_slot slots[COUNT];
    static fh_timer timer[COUNT];
    fh_timers q;
    fh_ns was = 0;
    fh_timer *t = NULL;

    fh_timers_init(&q, slots, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        fh_timer_init(&timer[i], 0, 0);
        MUST(fh_timer_set(&q, &timer[i], 1 + i * 7919 % COUNT));
    }
    BENCH("timers_pop_and_set_4000", {
        t = fh_timers_pop(&q, FH_NEVER - 1, &was);
        fh_timer_set(&q, t, was + COUNT);
    });
    MUST(q.count == COUNT && t != NULL);
}

static void ring(void) {
    static uint8_t memory[1024 * 96];
    uint8_t record[96] = {0};
    bool got = false;
    fh_ring r;

    fh_ring_init(&r, memory, 1024, sizeof(record));
    BENCH("ring_put_and_get", {
        record[0] = (uint8_t)i;
        fh_ring_put(&r, record);
        got = fh_ring_get(&r, record);
        sink += record[0];
    });
    MUST(got);
}

int main(void) {
    machine();
    timers();
    ring();
    vrrp(2, "vrrp2_encode", "vrrp2_packet_build", "vrrp2_patch_priority", "vrrp2_receive");
    vrrp(3, "vrrp3_encode", "vrrp3_packet_build", "vrrp3_patch_priority", "vrrp3_receive");
    signed_vrrp();
    bfd();
    neighbours();
    return 0;
}
