#include "fh_timer.h"

void fh_timers_init(fh_timers *q, fh_timer_slot *memory, uint32_t capacity) {
    q->slots = memory;
    q->count = 0;
    q->capacity = capacity;
}

void fh_timer_init(fh_timer *t, uint16_t kind, uint16_t offset) {
    t->at = FH_NEVER;
    t->place = FH_TIMER_IDLE;
    t->kind = kind;
    t->offset = offset;
}

static void put(fh_timers *q, uint32_t place, fh_timer_slot slot) {
    q->slots[place] = slot;
    slot.timer->place = place;
}

static void sift_up(fh_timers *q, uint32_t place, fh_timer_slot slot) {
    while (place > 0) {
        uint32_t parent = (place - 1) / 4;
        if (q->slots[parent].at <= slot.at) break;
        put(q, place, q->slots[parent]);
        place = parent;
    }
    put(q, place, slot);
}

static void sift_down(fh_timers *q, uint32_t place, fh_timer_slot slot) {
    for (;;) {
        uint32_t child = place * 4 + 1;
        uint32_t last = child + 4 < q->count ? child + 4 : q->count;
        uint32_t best = child;

        if (child >= q->count) break;
        for (uint32_t i = child + 1; i < last; i++)
            if (q->slots[i].at < q->slots[best].at) best = i;
        if (slot.at <= q->slots[best].at) break;
        put(q, place, q->slots[best]);
        place = best;
    }
    put(q, place, slot);
}

static void take_out(fh_timers *q, uint32_t place) {
    fh_timer_slot moved = q->slots[--q->count];

    if (place == q->count) return;
    if (place > 0 && moved.at < q->slots[(place - 1) / 4].at)
        sift_up(q, place, moved);
    else
        sift_down(q, place, moved);
}

void fh_timer_cancel(fh_timers *q, fh_timer *t) {
    if (t->place != FH_TIMER_IDLE) take_out(q, t->place);
    t->place = FH_TIMER_IDLE;
    t->at = FH_NEVER;
}

bool fh_timer_set(fh_timers *q, fh_timer *t, fh_ns at) {
    fh_timer_slot slot = {at, t};

    if (at == FH_NEVER) {
        fh_timer_cancel(q, t);
        return true;
    }
    if (t->place == FH_TIMER_IDLE) {
        if (q->count == q->capacity) return false;
        t->at = at;
        sift_up(q, q->count++, slot);
        return true;
    }
    fh_ns before = t->at;
    t->at = at;
    if (at < before)
        sift_up(q, t->place, slot);
    else
        sift_down(q, t->place, slot);
    return true;
}

fh_timer *fh_timers_pop(fh_timers *q, fh_ns now, fh_ns *was) {
    if (q->count == 0 || q->slots[0].at > now) return NULL;
    fh_timer *t = q->slots[0].timer;
    *was = t->at;
    fh_timer_cancel(q, t);
    return t;
}
