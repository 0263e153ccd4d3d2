/* BFD in C, under the sanitizers: golden octets, every prefix, authentication in buffers of exactly their
 * size, and the session machine through one life. The requirements one by one are in
 * tests/unit/test_bfd_fsm.py. */
#include "check.h"
#include "fh_bfd_fsm.h"

static void golden(void) {
    uint8_t buf[FH_BFD_PACKET_MAX];
    fh_bfd_key key;
    fh_bfd_packet p = {.state = FH_BFD_UP,
                       .detect_mult = 3,
                       .my_discr = 0x11223344,
                       .your_discr = 0x55667788,
                       .min_tx_us = 50000,
                       .min_rx_us = 50000};
    CHECK_INT(fh_bfd_encode(&p, NULL, 0, buf, sizeof buf, NULL), 24);
    CHECK_HEX(buf, 24, "20c0031811223344556677880000c3500000c35000000000");
    p.auth_seq = 0x01020306;
    CHECK(fh_bfd_key_init(&key, 7, FH_BFD_AUTH_SHA1, "bfdsecret", 9));
    CHECK_INT(fh_bfd_encode(&p, &key, 0, buf, sizeof buf, NULL), 52);
    CHECK_HEX(buf, 52,
              "20c4033411223344556677880000c3500000c35000000000041c070001020306fc41d9eff3e56c8248fd2be2fb5eee"
              "acec72dfef");
}

static void impossible(void) {
    uint8_t buf[FH_BFD_PACKET_MAX];
    fh_bfd_key key;
    enum fh_bfd_build why;
    fh_bfd_packet good = {.state = FH_BFD_UP, .detect_mult = 3, .my_discr = 1}, p;
#define REFUSED(change)                                                                                      \
    do {                                                                                                     \
        p = good;                                                                                            \
        change;                                                                                              \
        CHECK_INT(fh_bfd_encode(&p, NULL, 0, buf, sizeof buf, &why), 0);                                     \
        CHECK_INT(why, FH_BFD_BUILD_FIELD);                                                                  \
    } while (0)
    REFUSED(p.diag = 32);
    REFUSED(p.state = 4);
    REFUSED(p.detect_mult = 0);
    REFUSED(p.my_discr = 0);
    REFUSED(p.flags = FH_BFD_POLL | FH_BFD_FINAL);
    REFUSED(p.flags = FH_BFD_MULTIPOINT);
    CHECK_INT(fh_bfd_encode(&good, NULL, 0, buf, 23, &why), 0);
    CHECK_INT(why, FH_BFD_BUILD_SPACE);
    CHECK_INT(fh_bfd_encode(&good, NULL, 53, buf, sizeof buf, &why), 0);
    CHECK_INT(why, FH_BFD_BUILD_SPACE);
    CHECK(!fh_bfd_key_init(&key, 1, 0, "x", 1));
    CHECK(!fh_bfd_key_init(&key, 1, 6, "x", 1));
    CHECK(!fh_bfd_key_init(&key, 1, 262, "x", 1));
    CHECK(!fh_bfd_key_init(&key, 1, 4, "x", 0));
    CHECK(!fh_bfd_key_init(&key, 1, 3, "0123456789abcdefg", 17));
    CHECK(!fh_bfd_key_init(&key, 1, 5, "0123456789abcdefghijk", 21));
    CHECK(fh_bfd_key_init(&key, 1, 5, "0123456789abcdefghij", 20));
}

/* Cut to any length, with the Length field set to what is there: nothing may be read beyond, whatever Auth
 * Len says. */
static void prefixes(void) {
    for (unsigned type = 0; type <= 5; type++) {
        fh_bfd_key key;
        fh_bfd_packet p = {.state = FH_BFD_DOWN, .detect_mult = 3, .my_discr = 1};
        uint8_t buf[FH_BFD_PACKET_MAX];
        if (type > 0) CHECK(fh_bfd_key_init(&key, 7, type, "bfdsecret", 9));
        size_t len = fh_bfd_encode(&p, type > 0 ? &key : NULL, 0, buf, sizeof buf, NULL);
        fh_bfd_auth auth = {.keys = &key, .key_count = type > 0};
        for (int cut_length = 0; cut_length < 2; cut_length++) {
            for (size_t cut = 0; cut <= len; cut++) {
                uint8_t *copy = malloc(cut ? cut : 1);
                memcpy(copy, buf, cut);
                if (cut_length && cut > 3) copy[3] = (uint8_t)cut;
                if (cut_length && cut > 25) copy[25] = (uint8_t)(cut - 24);
                fh_bfd_packet read;
                fh_bfd_auth used = auth;
                enum fh_bfd_rx r = fh_bfd_decode(copy, cut, &read);
                if (r == FH_BFD_RX_OK) r = fh_bfd_auth_check(&used, &read, copy, 3);
                CHECK((r == FH_BFD_RX_OK) == (cut == len));
                CHECK(used.seq_known == (cut == len && type >= 2));
                free(copy);
            }
        }
    }
}

static void one_life(void) {
    fh_bfd_params params = {.min_tx_us = 10000, .min_rx_us = 10000, .detect_mult = 3, .padded = 200};
    fh_bfd a, b;
    fh_bfd_init(&params, &a, 1, 10, 20, FH_NS_PER_SEC);
    fh_bfd_init(&params, &b, 2, 30, 40, FH_NS_PER_SEC);
    uint8_t buf[200];
    fh_bfd_input in = {.now = FH_NS_PER_SEC, .rx_time = FH_NS_PER_SEC, .event = FH_BFD_EV_TX};
    fh_bfd *from = &a, *to = &b;
    fh_bfd_actions out = fh_bfd_step(&params, from, &in);
    for (int turns = 0; turns < 20 && (out.bits & (FH_BFD_DO_SEND | FH_BFD_DO_FINAL)); turns++) {
        fh_bfd_packet read;
        CHECK_INT(fh_bfd_write(&params, from, in.now, (out.bits & FH_BFD_DO_FINAL) != 0, buf, 199), 0);
        CHECK_INT(fh_bfd_write(&params, from, in.now, (out.bits & FH_BFD_DO_FINAL) != 0, buf, sizeof buf),
                  200);
        CHECK_INT(fh_bfd_decode(buf, sizeof buf, &read), FH_BFD_RX_OK);
        CHECK_INT(fh_bfd_receive(&params, to, &in, &read, buf, &out), FH_BFD_RX_OK);
        fh_bfd *swap = from;
        from = to;
        to = swap;
    }
    CHECK_STR(fh_bfd_state_name(a.state), "up");
    CHECK_STR(fh_bfd_state_name(b.state), "up");
    in.event = FH_BFD_EV_DETECT;
    in.now = a.detect_at;
    out = fh_bfd_step(&params, &a, &in);
    CHECK_STR(fh_bfd_cause_name(out.cause), "detection_time_expired");
    CHECK_INT(out.old_state, FH_BFD_UP);
}

int main(void) {
    RUN(golden);
    RUN(impossible);
    RUN(prefixes);
    RUN(one_life);
    for (int r = 0; r < FH_BFD_RX_N; r++)
        CHECK(fh_bfd_rx_name((enum fh_bfd_rx)r) != NULL);
    CHECK_STR(fh_bfd_rx_name(FH_BFD_RX_N), "?");
    CHECK_STR(fh_bfd_diag_name(9), "unassigned");
    return check_failed != 0;
}
