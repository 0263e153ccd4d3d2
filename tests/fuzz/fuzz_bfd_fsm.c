/* Fuzz target: any sequence of inputs to a BFD session. The first octets choose the configuration; then each
 * step takes one octet for its kind and what it needs. What must hold is checked after each. */
#include <stdlib.h>

#include "fh_bfd_fsm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so) {
    if (!so) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 16) return 0;
    fh_bfd_key keys[2];
    must(fh_bfd_key_init(&keys[0], 1, data[0] % 5 + 1, "one", 3) &&
         fh_bfd_key_init(&keys[1], 2, 5, "two", 3));
    fh_bfd_params p = {
        .min_tx_us = fh_get16(data + 2) + 1u,
        .min_rx_us = fh_get16(data + 4),
        .idle_tx_us = fh_get16(data + 6) * 64u,
        .min_echo_rx_us = fh_get16(data + 8),
        .echo_tx_us = data[1] & 1 ? fh_get16(data + 10) : 0,
        .demand_poll_us = fh_get16(data + 12) * 16u,
        .remote_discr = 5,
        .detect_mult = (uint8_t)(data[14] % 20 + 1),
        .kind = data[15] % 3,
        .key_count = data[1] & 2 ? 2 : 0,
        .tx_key = data[1] & 4 ? 1 : 0,
        .passive = (data[1] & 8) != 0,
        .demand = (data[1] & 16) != 0,
        .auth_optional = (data[1] & 32) != 0,
        .keys = keys,
    };
    data += 16;
    size -= 16;
    fh_bfd s;
    fh_bfd_input in = {.now = FH_NS_PER_SEC};
    fh_bfd_init(&p, &s, 7, 0xfffffff0u, 99, in.now);
    while (size >= 4) {
        uint8_t kind = data[0];
        in.now += fh_get16(data + 1) * INT64_C(100000);
        in.rx_time = in.now - (data[3] & 3) * FH_NS_PER_MSEC;
        in.asleep += (data[3] & 4) ? FH_NS_PER_MSEC : 0;
        in.stall = (data[3] & 4) ? FH_NS_PER_MSEC : 0;
        in.random = data[3] * 0x01010101u;
        in.arg = data[3] >> 4;
        data += 4;
        size -= 4;
        fh_bfd_actions out;
        uint8_t old = s.state;
        if (kind < 128) {
            in.event = kind % (FH_BFD_EV_POLL + 2);
            if (in.event == FH_BFD_EV_RECONFIGURE) {
                p.min_tx_us = in.random % 1000000 + 1;
                p.demand = (in.arg & 1) != 0;
                p.detect_mult = (uint8_t)(in.arg + 1);
            }
            if (in.event == FH_BFD_EV_TX && s.tx_at != FH_NEVER && (kind & 64) && s.tx_at > in.now)
                in.now = s.tx_at;
            if (in.event == FH_BFD_EV_DETECT && s.detect_at != FH_NEVER && (kind & 64) &&
                s.detect_at > in.now)
                in.now = s.detect_at;
            out = fh_bfd_step(&p, &s, &in);
            /* Timers that have fired lie in the future after a few steps, or their owner would never come to
             * an end. */
            for (int n = 0;
                 in.event <= FH_BFD_EV_ECHO && n < 4 && (s.tx_at <= in.now || s.detect_at <= in.now); n++) {
                fh_bfd_input again = in;
                again.event = s.tx_at <= in.now ? FH_BFD_EV_TX : FH_BFD_EV_DETECT;
                old = s.state;
                out = fh_bfd_step(&p, &s, &again);
            }
            must(in.event > FH_BFD_EV_ECHO || (s.tx_at > in.now && s.detect_at > in.now));
        } else {
            /* a packet from the octets that follow, signed well if that is asked for */
            uint8_t buf[FH_BFD_PACKET_MAX] = {0};
            size_t take = size < 16 ? size : 16;
            fh_bfd_packet read, made = {.state = kind & 3,
                                        .flags = kind & (FH_BFD_POLL | FH_BFD_FINAL | FH_BFD_DEMAND),
                                        .detect_mult = (uint8_t)(kind | 1),
                                        .my_discr = p.kind == FH_BFD_KIND_LOOPED ? 7 : 5,
                                        .your_discr = 7,
                                        .auth_seq = s.rcv_seq + (kind & 7)};
            memcpy(buf, data, take);
            made.min_tx_us = fh_get32(buf);
            made.min_rx_us = fh_get32(buf + 4);
            made.min_echo_rx_us = fh_get32(buf + 8);
            data += take;
            size -= take;
            const fh_bfd_key *key = p.key_count != 0 && (kind & 64) ? &keys[kind & 1] : NULL;
            size_t len = fh_bfd_encode(&made, key, 0, buf, sizeof buf, NULL);
            if (len == 0 || fh_bfd_decode(buf, len, &read) != FH_BFD_RX_OK) continue;
            fh_bfd before = s;
            enum fh_bfd_rx r = fh_bfd_receive(&p, &s, &in, &read, buf, &out);
            if (r != FH_BFD_RX_OK && r != FH_BFD_RX_ADMIN_DOWN)
                must(memcmp(&before, &s, sizeof s) == 0 && out.bits == 0);
        }
        must(((out.bits & FH_BFD_DO_STATE) != 0) == (s.state != old));
        must(s.tx_at > 0 && s.detect_at > 0 && s.echo_at > 0);
        must(s.state == FH_BFD_UP || (s.desired_min_tx_us >= FH_BFD_SLOW_US && !s.echo_on && !s.demand_on));
        must(s.state != FH_BFD_INIT || p.kind != FH_BFD_KIND_SBFD);
        must((out.bits & (FH_BFD_DO_SEND | FH_BFD_DO_FINAL)) != (FH_BFD_DO_SEND | FH_BFD_DO_FINAL));
        if (out.bits & (FH_BFD_DO_SEND | FH_BFD_DO_FINAL)) {
            uint8_t buf[FH_BFD_PACKET_MAX];
            fh_bfd_packet read;
            size_t len = fh_bfd_write(&p, &s, in.now, (out.bits & FH_BFD_DO_FINAL) != 0, buf, sizeof buf);
            must(len > 0 && fh_bfd_decode(buf, len, &read) == FH_BFD_RX_OK && read.state == s.state);
        }
    }
    return 0;
}
