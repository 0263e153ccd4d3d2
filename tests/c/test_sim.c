/* The simulator under the sanitizers: worlds with every kind of fault, made, run and taken down. */
#include "fh_sim.h"

#include <assert.h>
#include <stdio.h>

#define MS FH_NS_PER_MSEC

static fh_sim *world(uint64_t seed, uint8_t kind, int64_t a, int64_t b) {
    fh_sim *s = fh_sim_new(seed, 100 * MS);
    assert(s != NULL);
    for (unsigned i = 0; i < 2; i++)
        assert(fh_sim_add_segment(s, FH_NS_PER_USEC * 100) == i);
    for (uint32_t r = 0; r < 3; r++) {
        fh_sim_port_conf ports[2] = {{.segment = 0, .rank = r}, {.segment = 1, .rank = r}};
        assert(fh_sim_add_router(s, ports, 2) == r);
        for (uint8_t port = 0; port < 2; port++) {
            fh_sim_inst_conf c = {.vrid = 1, .port = port, .group = 0};
            c.fsm.version = 3;
            c.fsm.adver_int = 100 * MS;
            c.fsm.base_priority = (uint8_t)(100 + 20 * r);
            c.fsm.down_adverts = 3;
            c.fsm.preempt = c.fsm.graceful = true;
            c.fsm.linger = 20 * MS;
            assert(fh_sim_add_inst(s, r, &c) != FH_SIM_ALL);
        }
    }
    fh_bfd_params p = {.min_tx_us = 50000, .min_rx_us = 50000, .idle_tx_us = 1000000, .detect_mult = 3};
    p.tx_key = FH_BFD_TX_KEY_NONE;
    assert(fh_sim_add_session(s, 0, 0, 2, 0, &p, true) == 0);
    assert(fh_sim_add_session(s, 1, 1, 2, 1, &p, true) == 1);
    if (kind < FH_SIM_FAULTS)
        assert(fh_sim_add_fault(s, kind, 10000 * MS, 12000 * MS, 0, a, b) != FH_SIM_ALL);
    return s;
}

static void every_fault(void) {
    static const int64_t values[FH_SIM_FAULTS][2] = {
        [FH_SIM_LOSS] = {300000, 0},    [FH_SIM_BURST] = {50000, 200000},  [FH_SIM_DELAY] = {5000, 0},
        [FH_SIM_JITTER] = {5000, 0},    [FH_SIM_REORDER] = {300000, 5000}, [FH_SIM_DUPLICATE] = {300000, 0},
        [FH_SIM_PARTITION] = {1, 0},    [FH_SIM_DRIFT] = {50000, 0},       [FH_SIM_LATE] = {5000, 0},
        [FH_SIM_TRACK] = {100, 0},      [FH_SIM_PRIORITY] = {200, 0},      [FH_SIM_INTERVAL] = {50000, 0},
        [FH_SIM_FORGE] = {255, 100000}, [FH_SIM_BFD_SPEED] = {10000, 1},
    };

    for (uint8_t kind = 0; kind <= FH_SIM_FAULTS; kind++) {
        int64_t a = kind < FH_SIM_FAULTS ? values[kind][0] : 0,
                b = kind < FH_SIM_FAULTS ? values[kind][1] : 0;
        uint64_t digest[2];
        for (unsigned again = 0; again < 2; again++) {
            fh_sim_broken broken;
            fh_sim_record records[256];
            fh_sim *s = world(kind + 1U, kind, a, b);
            fh_sim_trace(s, records, 256);
            assert(fh_sim_start(s));
            assert(!fh_sim_start(s));
            fh_sim_run(s, 60000 * MS, UINT64_MAX);
            fh_sim_verdict(s, &broken);
            if (broken.rule >= 0) printf("%s: %s\n", fh_sim_fault_name(kind), fh_sim_rule_name(broken.rule));
            assert(broken.rule < 0);
            assert(fh_sim_masters(s, 0) == 1);
            assert(fh_sim_stat(s, FH_SIM_EVENTS) > 1000);
            digest[again] = fh_sim_digest(s);
            fh_sim_free(s);
        }
        assert(digest[0] == digest[1]);
    }
    puts("every_fault                                        ok");
}

static void nonsense_is_refused(void) {
    fh_sim *s = world(1, FH_SIM_FAULTS, 0, 0);
    fh_sim_port_conf nowhere = {.segment = 9};
    fh_sim_inst_conf c = {.port = 3};
    fh_bfd_params p = {.detect_mult = 3};

    assert(fh_sim_add_router(s, &nowhere, 1) == FH_SIM_ALL);
    assert(fh_sim_add_inst(s, 0, &c) == FH_SIM_ALL);
    assert(fh_sim_add_inst(s, 77, &c) == FH_SIM_ALL);
    assert(fh_sim_add_session(s, 0, 0, 0, 0, &p, false) == FH_SIM_ALL);
    assert(fh_sim_add_session(s, 0, 0, 1, 1, &p, false) == FH_SIM_ALL); /* no common segment */
    assert(fh_sim_add_fault(s, FH_SIM_FAULTS, 0, 1, 0, 0, 0) == FH_SIM_ALL);
    assert(fh_sim_add_fault(s, FH_SIM_LINK, 0, 1, 0, 0, 5) == FH_SIM_ALL);
    assert(fh_sim_add_fault(s, FH_SIM_CRASH, 5, 1, 0, 0, 0) == FH_SIM_ALL);
    fh_sim_free(s);
    fh_sim_free(NULL);
    puts("nonsense_is_refused                                ok");
}

int main(void) {
    every_fault();
    nonsense_is_refused();
    return 0;
}
