/* The S-BFD reflector of fh_bfd_fsm.h (RFC 7880 7.2, RFC 7881 6): it remembers nothing. */
#include "fh_bfd_fsm.h"

static bool is_known(const fh_sbfd_reflector *r, uint32_t discr) {
    for (unsigned i = 0; i < r->discr_count; i++)
        if (r->discrs[i] == discr) return true;
    return false;
}

static const fh_bfd_key *find_key(const fh_sbfd_reflector *r, const fh_bfd_packet *packet) {
    if (!(packet->flags & FH_BFD_AUTH)) return NULL;
    for (unsigned i = 0; i < r->key_count; i++)
        if (r->keys[i].type == packet->auth_type && r->keys[i].id == packet->auth_key_id) return &r->keys[i];
    return NULL;
}

enum fh_bfd_rx fh_sbfd_reflect(const fh_sbfd_reflector *r, const fh_bfd_packet *packet, const uint8_t *buf,
                               uint16_t src_port, uint8_t *out, size_t cap, size_t *out_len) {
    *out_len = 0;
    /* Answers to answers would never end: D tells a question, and no question comes from the reflector's
     * port. */
    if (!(packet->flags & FH_BFD_DEMAND)) return FH_BFD_RX_SBFD_DEMAND;
    if (src_port == FH_BFD_PORT_SBFD) return FH_BFD_RX_SBFD_PORT;
    if (!is_known(r, packet->your_discr)) return FH_BFD_RX_YOUR_UNKNOWN;
    fh_bfd_auth auth = {.keys = r->keys,
                        .key_count = r->key_count}; /* sequence never known, so never judged */
    enum fh_bfd_rx result = fh_bfd_auth_check(&auth, packet, buf, packet->detect_mult);
    if (result != FH_BFD_RX_OK) return result;
    fh_bfd_packet answer = {
        .diag = r->admin_down ? FH_BFD_DIAG_ADMIN_DOWN : FH_BFD_DIAG_NONE,
        .state = r->admin_down ? FH_BFD_ADMIN_DOWN : FH_BFD_UP,
        .flags = (packet->flags & FH_BFD_POLL) ? FH_BFD_FINAL : 0,
        .detect_mult = packet->detect_mult,
        .my_discr = packet->your_discr,
        .your_discr = packet->my_discr,
        .min_tx_us = packet->min_tx_us,
        .min_rx_us = r->min_rx_us,
        .auth_seq = packet->auth_seq,
    };
    *out_len = fh_bfd_encode(&answer, find_key(r, packet), 0, out, cap, NULL);
    return FH_BFD_RX_OK;
}
