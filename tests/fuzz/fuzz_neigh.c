/* Fuzz target: reading ARP and Neighbor Discovery, and answering. An answer must itself be readable. */
#include <stdlib.h>

#include "fh_neigh_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t mac[6] = {0, 0, 0x5e, 0, 1, 51};
    fh_neigh_seen seen;
    enum fh_neigh kind = fh_neigh_parse_frame(data, size, &seen);
    if (kind != seen.kind || kind >= FH_NEIGH_N) abort();
    if (kind < FH_NEIGH_ARP_REQUEST) {
        fh_rx_meta meta = {.family = FH_AF_INET6, .ttl = 255};
        fh_neigh_parse_icmp6(&meta, data, size, false, &seen);
        if (seen.kind < FH_NEIGH_ARP_REQUEST) return 0;
    }
    uint8_t frame[FH_NA_FRAME_LEN];
    size_t len = fh_neigh_answer(&seen, mac, true, frame, sizeof frame);
    bool question = seen.kind == FH_NEIGH_ARP_REQUEST || seen.kind == FH_NEIGH_ARP_PROBE ||
                    seen.kind == FH_NEIGH_NS || seen.kind == FH_NEIGH_NS_DAD;
    if (question != (len > 0)) abort();
    if (len > 0) {
        fh_neigh_seen answer;
        enum fh_neigh got = fh_neigh_parse_frame(frame, len, &answer);
        /* An asker with an impossible address (multicast, or asking for 0.0.0.0) may get a frame that is not
         * one. */
        if (got < FH_NEIGH_ARP_REQUEST && got != FH_NEIGH_MALFORMED) abort();
        if (got >= FH_NEIGH_ARP_REQUEST && memcmp(answer.mac, mac, 6) != 0) abort();
    }
    return 0;
}
