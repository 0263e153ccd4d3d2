/* Fuzz target: BFD decoding and authentication. What is decoded and has no authentication must encode to the
 * same octets; what authenticates must encode to the same octets with the key. */
#include <stdlib.h>

#include "fh_bfd_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fh_bfd_packet p;
    if (fh_bfd_decode(data, size, &p) != FH_BFD_RX_OK) return 0;
    if (p.length > size || p.my_discr == 0 || p.detect_mult == 0) abort();
    fh_bfd_key keys[5];
    for (unsigned type = 1; type <= 5; type++)
        if (!fh_bfd_key_init(&keys[type - 1], 7, type, "bfdsecret", 9)) abort();
    fh_bfd_auth auth = {.keys = keys, .key_count = 5}, none = {0};
    uint8_t out[FH_BFD_PACKET_MAX];
    if (!(p.flags & FH_BFD_AUTH)) {
        if (fh_bfd_auth_check(&none, &p, data, 3) != FH_BFD_RX_OK) abort();
        if (fh_bfd_encode(&p, NULL, 0, out, sizeof out, NULL) != FH_BFD_LEN) abort();
        uint8_t length = out[3];
        out[3] = data[3]; /* without A, a Length above 24 is allowed and has no meaning */
        if (length != FH_BFD_LEN || memcmp(out, data, FH_BFD_LEN) != 0) abort();
        return 0;
    }
    fh_bfd_auth before = auth;
    if (fh_bfd_auth_check(&auth, &p, data, 3) != FH_BFD_RX_OK) {
        if (auth.seq_known != before.seq_known || auth.rcv_seq != before.rcv_seq) abort();
        return 0;
    }
    size_t len = fh_bfd_encode(&p, &keys[p.auth_type - 1], 0, out, sizeof out, NULL);
    if (len != p.length) abort();
    if (p.auth_type >= FH_BFD_AUTH_MD5)
        out[27] = data[27]; /* reserved, ignored on receipt but part of the digest */
    if (memcmp(out, data, 28) != 0) abort();
    return 0;
}
