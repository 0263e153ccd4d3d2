#include "fh_bfd_gauge.h"

static size_t step_of(fh_ns v) {
    if (v < (INT64_C(1) << FH_BFD_GAUGE_LEAST_LOG)) return 0;
    int log = 63 - __builtin_clzll((unsigned long long)v);
    if (log >= FH_BFD_GAUGE_LEAST_LOG + FH_BFD_GAUGE_OCTAVES) return FH_BFD_GAUGE_STEPS - 1;
    return (size_t)(log - FH_BFD_GAUGE_LEAST_LOG) * 8 + ((size_t)(v >> (log - 3)) & 7) + 1;
}

/* First value beyond the step. */
static fh_ns end_of(size_t step) {
    if (step == 0) return INT64_C(1) << FH_BFD_GAUGE_LEAST_LOG;
    if (step == FH_BFD_GAUGE_STEPS - 1) return FH_NEVER;
    size_t octave = (step - 1) / 8;
    return (fh_ns)(9 + (step - 1) % 8) << (octave + FH_BFD_GAUGE_LEAST_LOG - 3);
}

/* One writer: a plain reckoning, published so that a reader sees whole numbers. */
#define PUBLISH(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

void fh_bfd_gauge_add(fh_bfd_gauge *g, fh_ns interval) {
    if (interval < 0) return;
    if (g->count == 0 || interval < g->least) PUBLISH(g->least, interval);
    if (interval > g->most) PUBLISH(g->most, interval);
    PUBLISH(g->count, g->count + 1);
    PUBLISH(g->sum, g->sum + interval);
    uint32_t *step = &g->steps[step_of(interval)];
    PUBLISH(*step, *step + 1);
}

void fh_bfd_gauge_copy(fh_bfd_gauge *to, const fh_bfd_gauge *from) {
    to->count = __atomic_load_n(&from->count, __ATOMIC_RELAXED);
    to->sum = __atomic_load_n(&from->sum, __ATOMIC_RELAXED);
    to->least = __atomic_load_n(&from->least, __ATOMIC_RELAXED);
    to->most = __atomic_load_n(&from->most, __ATOMIC_RELAXED);
    for (size_t i = 0; i < FH_BFD_GAUGE_STEPS; i++)
        to->steps[i] = __atomic_load_n(&from->steps[i], __ATOMIC_RELAXED);
}

fh_ns fh_bfd_gauge_mean(const fh_bfd_gauge *g) {
    return g->count == 0 ? 0 : g->sum / (fh_ns)g->count;
}

fh_ns fh_bfd_gauge_quantile(const fh_bfd_gauge *g, unsigned permille) {
    uint64_t want = (g->count * permille + 999) / 1000, seen = 0;
    if (want == 0) want = 1;
    for (size_t i = 0; i < FH_BFD_GAUGE_STEPS; i++) {
        seen += g->steps[i];
        if (seen >= want) return end_of(i) < g->most ? end_of(i) : g->most;
    }
    return g->most;
}
