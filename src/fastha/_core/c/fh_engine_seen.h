/* What is remembered of the routers that an instance hears; written by the engine, readable at any time. */
#ifndef FH_ENGINE_SEEN_H
#define FH_ENGINE_SEEN_H

#include "fh_base.h"

#include <stdatomic.h>

/* A distribution of times. */
#define FH_SPREAD_BUCKETS 13
typedef struct {
    _Atomic uint64_t count[FH_SPREAD_BUCKETS + 1];
    _Atomic uint64_t sum_us;
} fh_spread;

/* A router that was heard. `turn` is odd while the entry is given to another router. */
typedef struct {
    _Atomic uint64_t turn;
    _Atomic uint64_t address[2];
    _Atomic uint64_t adverts;
    _Atomic int64_t heard; /* 0: free */
    _Atomic int64_t interval;
    _Atomic uint32_t priority; /* of its last advert; 0: it said goodbye */
} fh_peer_seen;

#define FH_PEERS_SEEN 4
typedef struct {
    fh_peer_seen peer[FH_PEERS_SEEN];
    fh_peer_seen *last; /* whose advert was the last; NULL after a goodbye */
    fh_spread jitter;   /* of the adverts that are listened to, against their interval */
    fh_ns missed_told;
    uint32_t missed_untold;
    _Atomic uint32_t wants_master; /* a sync group waits for its other members */
    _Atomic int64_t timer;         /* the protocol timer, FH_NEVER when none */
    _Atomic int64_t preempt_until; /* 0: no preempt_delay runs */
} fh_seen;

/* One consistent view of an entry. */
typedef struct {
    fh_addr address;
    uint64_t adverts;
    int64_t heard;
    int64_t interval;
    uint8_t priority;
} fh_peer_view;

uint32_t fh_spread_bound_us(int bucket);
void fh_spread_add(fh_spread *s, fh_ns value);
uint64_t fh_spread_count(const fh_spread *s, int bucket);
uint64_t fh_spread_sum_us(const fh_spread *s);

#endif
