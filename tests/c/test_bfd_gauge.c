/* Measured intervals: the exact figures, and quantiles no more than an eighth too high and never too low. */
#include "check.h"
#include "fh_bfd_gauge.h"

static void nothing_yet(void) {
    fh_bfd_gauge g = {0};
    CHECK_INT(fh_bfd_gauge_mean(&g), 0);
    CHECK_INT(fh_bfd_gauge_quantile(&g, 990), 0);
    fh_bfd_gauge_add(&g, -1);
    CHECK_INT(g.count, 0);
}

static void a_late_one_in_a_hundred(void) {
    fh_bfd_gauge g = {0};
    for (int i = 0; i < 980; i++)
        fh_bfd_gauge_add(&g, 10 * FH_NS_PER_MSEC);
    for (int i = 0; i < 20; i++)
        fh_bfd_gauge_add(&g, 40 * FH_NS_PER_MSEC);
    CHECK_INT(g.least, 10 * FH_NS_PER_MSEC);
    CHECK_INT(g.most, 40 * FH_NS_PER_MSEC);
    CHECK_INT(fh_bfd_gauge_mean(&g), 10600000);
    fh_ns median = fh_bfd_gauge_quantile(&g, 500);
    CHECK(median >= 10 * FH_NS_PER_MSEC && median <= 11250000);
    CHECK_INT(fh_bfd_gauge_quantile(&g, 990), 40 * FH_NS_PER_MSEC);
}

/* Each size alone, with one far larger so that the most does not hide the step's end. */
static void every_size(void) {
    for (fh_ns v = 1; v < INT64_C(1) << 40; v += v / 5 + 1) {
        fh_bfd_gauge g = {0};
        fh_bfd_gauge_add(&g, v);
        fh_bfd_gauge_add(&g, INT64_C(1) << 41);
        fh_ns half = fh_bfd_gauge_quantile(&g, 500);
        CHECK(half >= v);
        if (v >= INT64_C(1) << FH_BFD_GAUGE_LEAST_LOG && v < INT64_C(1) << 36) CHECK(half <= v + v / 8 + 1);
    }
}

int main(void) {
    RUN(nothing_yet);
    RUN(a_late_one_in_a_hundred);
    RUN(every_size);
    return check_failed != 0;
}
