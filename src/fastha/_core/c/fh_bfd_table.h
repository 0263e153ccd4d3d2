/* Which session a BFD packet belongs to, and whether it came the way that session expects: step 7-9 of RFC
 * 5880 6.8.6, RFC 5881 3-5, RFC 5883 4-5.
 *
 * Memory is the caller's: the buckets, and one fh_bfd_way inside each session. No call, no clock. One thread
 * only. */
#ifndef FH_BFD_TABLE_H
#define FH_BFD_TABLE_H

#include "fh_bfd_codec.h"

/* How one session is found and reached. All but the links is set before fh_bfd_table_add and does not change
 * while it is in the table. */
typedef struct fh_bfd_way {
    struct fh_bfd_way *next_by_discr, *next_by_peer;
    fh_addr peer;
    fh_addr local;     /* with has_local: what the peer sends to */
    uint32_t discr;    /* ours, never 0 */
    uint32_t ifindex;  /* 0: by any interface */
    uint16_t port;     /* FH_BFD_PORT_SINGLE or FH_BFD_PORT_MULTI */
    uint8_t family;    /* FH_AF_INET or FH_AF_INET6 */
    uint8_t least_ttl; /* as fh_bfd_check_ttl has it */
    bool has_local;
} fh_bfd_way;

typedef struct {
    fh_bfd_way **by_discr, **by_peer; /* mask + 1 buckets each, NULL at first */
    uint32_t mask;                    /* a power of two less one */
} fh_bfd_table;

/* Where a packet came from, as the socket told it. */
typedef struct {
    fh_addr src, dst;
    uint32_t ifindex;
    uint16_t port; /* to which it was sent */
    uint8_t family;
    int ttl; /* -1: not told */
} fh_bfd_arrival;

/* False, and nothing done, when its discriminator is 0 or taken. */
bool fh_bfd_table_add(fh_bfd_table *t, fh_bfd_way *way);
/* False when it was not there. */
bool fh_bfd_table_remove(fh_bfd_table *t, fh_bfd_way *way);
fh_bfd_way *fh_bfd_table_discr(const fh_bfd_table *t, uint32_t discr);

/* The session of a packet that passed fh_bfd_decode. With Your Discriminator it is that alone which selects
 * (6.3); without, the peer's address, port and interface, the session that names more of them first. *way is
 * set also when the verdict is TTL or WRONG_PATH, so that the session can count it, else NULL. */
enum fh_bfd_rx fh_bfd_table_find(const fh_bfd_table *t, const fh_bfd_packet *packet,
                                 const fh_bfd_arrival *from, fh_bfd_way **way);

#endif
