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

void fh_bfd_gauge_add(fh_bfd_gauge *g, fh_ns interval) {
    if (interval < 0) return;
    if (g->count == 0 || interval < g->least) g->least = interval;
    if (interval > g->most) g->most = interval;
    g->count++;
    g->sum += interval;
    g->steps[step_of(interval)]++;
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
