/* The timer queue: a four-ary heap over caller-owned timers.
 *
 * Deadlines are absolute. A timer lies inside the object it belongs to; the heap holds (deadline, pointer)
 * pairs so that sifting touches no other memory. Setting, moving and cancelling are O(log n); nothing is
 * allocated after fh_timers_init was given its memory. */
#ifndef FH_TIMER_H
#define FH_TIMER_H

#include "fh_base.h"

#define FH_TIMER_IDLE UINT32_MAX

typedef struct {
    fh_ns at;        /* FH_NEVER when idle */
    uint32_t place;  /* index in the heap, FH_TIMER_IDLE when idle */
    uint16_t kind;   /* the owner's business */
    uint16_t offset; /* from the owner's start to this timer */
} fh_timer;

typedef struct {
    fh_ns at;
    fh_timer *timer;
} fh_timer_slot;

typedef struct {
    fh_timer_slot *slots;
    uint32_t count;
    uint32_t capacity;
} fh_timers;

void fh_timers_init(fh_timers *q, fh_timer_slot *memory, uint32_t capacity);
void fh_timer_init(fh_timer *t, uint16_t kind, uint16_t offset);
/* FH_NEVER cancels. False when the queue is full, which its owner prevents by giving memory for all its
 * timers. */
bool fh_timer_set(fh_timers *q, fh_timer *t, fh_ns at);
void fh_timer_cancel(fh_timers *q, fh_timer *t);
/* Takes the earliest timer that is due, or NULL. The timer is idle afterwards; *was is the deadline it had.
 */
fh_timer *fh_timers_pop(fh_timers *q, fh_ns now, fh_ns *was);

static inline fh_ns fh_timers_next(const fh_timers *q) {
    return q->count != 0 ? q->slots[0].at : FH_NEVER;
}

#define FH_TIMER_OWNER(timer, type) ((type *)(void *)((char *)(timer) - (timer)->offset))

#endif
