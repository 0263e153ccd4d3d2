/* A ring between two threads: one writes, one reads, nobody waits and nobody locks.
 *
 * Fixed-size records in caller-given memory. Each side owns one index and caches the other's, so that a quiet
 * ring costs one shared cache line a batch. A full ring refuses the record: the writer decides (the engine
 * counts and asks for a resynchronisation, Python waits). Waking the other side is the caller's business (an
 * eventfd). */
#ifndef FH_RING_H
#define FH_RING_H

#include "fh_base.h"
#include <stdatomic.h>

typedef struct {
    _Alignas(64) _Atomic uint32_t head; /* next to write; writer's */
    uint32_t tail_seen;                 /* writer's cache of tail */
    _Alignas(64) _Atomic uint32_t tail; /* next to read; reader's */
    uint32_t head_seen;                 /* reader's cache of head */
    _Alignas(64) uint8_t *records;
    uint32_t mask; /* number of records - 1, a power of two less one */
    uint32_t size; /* octets of a record */
} fh_ring;

static inline void fh_ring_init(fh_ring *r, void *memory, uint32_t records_pow2, uint32_t size) {
    memset(r, 0, sizeof(*r));
    r->records = memory;
    r->mask = records_pow2 - 1;
    r->size = size;
}

/* Refuses when the ring would then hold more than most records. */
static inline bool fh_ring_put_within(fh_ring *r, const void *record, uint32_t most) {
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

    if (head - r->tail_seen >= most) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (head - r->tail_seen >= most) return false;
    }
    memcpy(r->records + (size_t)(head & r->mask) * r->size, record, r->size);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return true;
}

static inline bool fh_ring_put(fh_ring *r, const void *record) {
    return fh_ring_put_within(r, record, r->mask + 1);
}

static inline bool fh_ring_get(fh_ring *r, void *record) {
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    if (tail == r->head_seen) {
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
        if (tail == r->head_seen) return false;
    }
    memcpy(record, r->records + (size_t)(tail & r->mask) * r->size, r->size);
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}

#endif
