/* What intervals a BFD neighbour's packets really came in: least, mean, most, and a quantile from a histogram
 * whose steps are an eighth of an octave. So an operator can choose intervals from data.
 *
 * Pure; one writer, any number of readers at any time (the fields are then read one by one: a reader may see
 * a packet in the count and not yet in the steps, never a torn number). Intervals are nanoseconds. */
#ifndef FH_BFD_GAUGE_H
#define FH_BFD_GAUGE_H

#include "fh_base.h"

#define FH_BFD_GAUGE_LEAST_LOG 14 /* the first step ends at 16.4 us ... */
#define FH_BFD_GAUGE_OCTAVES 22   /* ... the last one begins near 69 s */
#define FH_BFD_GAUGE_STEPS (FH_BFD_GAUGE_OCTAVES * 8 + 2)

/* Begins zeroed. */
typedef struct {
    uint64_t count;
    fh_ns sum, least, most;
    uint32_t steps[FH_BFD_GAUGE_STEPS];
} fh_bfd_gauge;

/* A negative interval (clock of the receive time was set) is not counted. */
void fh_bfd_gauge_add(fh_bfd_gauge *g, fh_ns interval);
/* A copy to look at, from any thread. */
void fh_bfd_gauge_copy(fh_bfd_gauge *to, const fh_bfd_gauge *from);
fh_ns fh_bfd_gauge_mean(const fh_bfd_gauge *g); /* 0 when nothing was counted */
/* The interval that permille of all do not exceed: the upper end of its step, so up to an eighth too high,
 * never beyond the most. 0 when nothing was counted. */
fh_ns fh_bfd_gauge_quantile(const fh_bfd_gauge *g, unsigned permille);

#endif
