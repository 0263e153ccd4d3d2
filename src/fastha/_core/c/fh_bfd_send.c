/* What a session of fh_bfd_fsm.h puts on the wire: control packets (RFC 5880 6.8.7) and Echo. */
#include "fh_bfd_fsm.h"

/* Keyed authentication: the sequence grows when the contents change, and once a second (6.7.3: SHOULD
 * occasionally); meticulous: with every packet. */
static void move_sequence(fh_bfd *s, const fh_bfd_packet *packet, unsigned type, fh_ns now) {
    const uint32_t words[] = {
        (uint32_t)packet->diag << 24 | (uint32_t)packet->state << 16 | (uint32_t)packet->flags << 8 |
            packet->detect_mult,
        packet->your_discr,
        packet->min_tx_us,
        packet->min_rx_us,
        packet->min_echo_rx_us,
    };
    uint32_t digest = 2166136261u;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        digest = (digest ^ words[i]) * 16777619u;
    if (fh_bfd_auth_is_meticulous(type) || digest != s->sent_digest || now - s->seq_tx_at >= FH_NS_PER_SEC) {
        s->xmit_seq++;
        s->seq_tx_at = now;
    }
    s->sent_digest = digest;
}

size_t fh_bfd_write(const fh_bfd_params *p, fh_bfd *s, fh_ns now, bool final, uint8_t *buf, size_t cap) {
    fh_bfd_packet packet = {
        .diag = s->local_diag,
        .state = s->state,
        .flags = (uint8_t)(final      ? FH_BFD_FINAL
                           : s->p_bit ? FH_BFD_POLL
                                      : 0),
        .detect_mult = p->detect_mult,
        .my_discr = s->local_discr,
        .your_discr = s->remote_discr,
        .min_tx_us = s->desired_min_tx_us,
        .min_rx_us = s->required_min_rx_us,
        .min_echo_rx_us = p->min_echo_rx_us,
    };
    if (s->demand_on) packet.flags |= FH_BFD_DEMAND;
    if (p->kind == FH_BFD_KIND_SBFD) {
        packet.flags = FH_BFD_DEMAND;
        packet.min_rx_us = packet.min_echo_rx_us = 0;
    } else if (p->kind == FH_BFD_KIND_LOOPED) {
        packet.min_tx_us = packet.min_rx_us =
            FH_BFD_SLOW_US; /* RFC 9747 2: not used, so say something harmless */
        packet.min_echo_rx_us = 0;
    }
    const fh_bfd_key *key = p->tx_key < p->key_count ? &p->keys[p->tx_key] : NULL;
    if (key != NULL) {
        move_sequence(s, &packet, key->type, now);
        packet.auth_seq = s->xmit_seq;
    }
    return fh_bfd_encode(&packet, key, p->padded, buf, cap, NULL);
}

/* ---- Echo ---- */

static const uint8_t echo_mark[4] = {'f', 'h', 'e', 1};

size_t fh_bfd_write_echo(fh_bfd *s, fh_ns now, uint8_t buf[FH_BFD_ECHO_LEN]) {
    memset(buf, 0, FH_BFD_ECHO_LEN);
    memcpy(buf, echo_mark, sizeof echo_mark);
    fh_put32(buf + 4, s->local_discr);
    fh_put32(buf + 8, ++s->echo_seq);
    fh_put32(buf + 12, (uint32_t)(now / FH_NS_PER_USEC)); /* its sender learns how long it took */
    fh_put32(buf + 16, (uint32_t)(s->echo_token >> 32));
    fh_put32(buf + 20, (uint32_t)s->echo_token);
    return FH_BFD_ECHO_LEN;
}

uint32_t fh_bfd_echo_discr(const uint8_t *buf, size_t len) {
    if (len < FH_BFD_ECHO_LEN || memcmp(buf, echo_mark, sizeof echo_mark) != 0) return 0;
    return fh_get32(buf + 4);
}

bool fh_bfd_echo_is_ours(const fh_bfd *s, const uint8_t *buf, size_t len) {
    uint8_t token[8];
    if (fh_bfd_echo_discr(buf, len) != s->local_discr) return false;
    fh_put32(token, (uint32_t)(s->echo_token >> 32));
    fh_put32(token + 4, (uint32_t)s->echo_token);
    return fh_equal_ct(buf + 16, token, sizeof token) && s->echo_seq - fh_get32(buf + 8) < 256;
}
