/* VRRP instances that follow BFD sessions: faults, weights, and taking over at once when the path to the
 * master is lost. Between fh_node and fh_bfd_node; pure like both. */
#ifndef FH_BFD_JOIN_H
#define FH_BFD_JOIN_H

#include "fh_bfd_node.h"
#include "fh_node.h"

/* That an instance follows a session. */
typedef struct fh_bfd_follow {
    struct fh_bfd_follow *next; /* of the same session */
    uint32_t inst;
    uint32_t session;
    fh_ns takeover_delay;
    int16_t weight; /* 0: fault, unless takeover */
    bool reverse;
    bool takeover;
    bool initially_up; /* how a session counts that was never up */
} fh_bfd_follow;

/* All that one instance follows. */
typedef struct {
    uint32_t count;
    fh_bfd_follow follow[];
} fh_bfd_follows;

typedef struct {
    fh_node *node;
    fh_bfd_node *bfd;
    fh_bfd_follow **by_session; /* bfd->slots, zeroed */
    fh_bfd_follows **by_inst;   /* node->inst_slots, zeroed */
} fh_bfd_join;

/* Replaces what an instance follows (NULL: nothing more) and reckons; gives what was there before. */
fh_bfd_follows *fh_bfd_join_set(fh_bfd_join *j, uint32_t inst, fh_bfd_follows *follows, fh_ns now);
/* fh_bfd_node_io.state */
void fh_bfd_join_state(fh_bfd_join *j, const fh_bs *s, uint8_t old, uint8_t cause, fh_ns now);

#endif
