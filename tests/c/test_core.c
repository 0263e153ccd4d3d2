/* Timer queue, rings and the engine thread: order under random use, two threads on a ring, start and stop.
 * Run under ASan and UBSan by default, and under TSan with -DFASTHA_SANITIZE=thread. */
#include "check.h"
#include "fh_engine.h"
#include "fh_ring.h"
#include "fh_timer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define TIMERS 500

typedef struct {
    int number;
    fh_timer timer;
} owner;

static void timers_come_in_order(void) {
    static owner owners[TIMERS];
    static fh_timer_slot memory[TIMERS];
    fh_timers q;
    unsigned seed = 7;

    fh_timers_init(&q, memory, TIMERS);
    for (int i = 0; i < TIMERS; i++) {
        owners[i].number = i;
        fh_timer_init(&owners[i].timer, 0, (uint16_t)offsetof(owner, timer));
    }
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < TIMERS; i++) {
            int what = rand_r(&seed) % 4;
            if (what == 0)
                fh_timer_cancel(&q, &owners[i].timer);
            else
                CHECK(fh_timer_set(&q, &owners[i].timer, rand_r(&seed) % 1000));
        }
        fh_ns before = -1, was = 0;
        fh_timer *t;
        uint32_t expected = q.count, found = 0;
        while ((t = fh_timers_pop(&q, 1000, &was)) != NULL) {
            owner *o = FH_TIMER_OWNER(t, owner);
            CHECK(o == &owners[o->number]);
            CHECK(was >= before);
            CHECK(t->at == FH_NEVER);
            before = was;
            found++;
        }
        CHECK(found == expected);
        CHECK(fh_timers_next(&q) == FH_NEVER);
    }
}

static void timers_not_due_stay(void) {
    fh_timer_slot memory[1];
    fh_timers q;
    owner o, second;
    fh_ns was = 0;

    fh_timers_init(&q, memory, 1);
    fh_timer_init(&o.timer, 0, (uint16_t)offsetof(owner, timer));
    fh_timer_init(&second.timer, 0, (uint16_t)offsetof(owner, timer));
    CHECK(fh_timer_set(&q, &o.timer, 100));
    CHECK(!fh_timer_set(&q, &second.timer, 1)); /* full: refused, nothing broken */
    CHECK(fh_timers_pop(&q, 99, &was) == NULL);
    CHECK(fh_timers_pop(&q, 100, &was) == &o.timer);
    CHECK(fh_timer_set(&q, &o.timer, FH_NEVER));
    CHECK(q.count == 0);
}

#define RECORDS 200000

typedef struct {
    uint64_t number;
    uint64_t check;
} record;

static fh_ring ring;

static void *writer(void *nothing) {
    for (uint64_t i = 0; i < RECORDS;) {
        record r = {i, ~i};
        if (fh_ring_put(&ring, &r)) i++;
    }
    return nothing;
}

static void ring_between_two_threads(void) {
    static record memory[64];
    pthread_t thread;
    record r;

    fh_ring_init(&ring, memory, 64, sizeof(record));
    CHECK(!fh_ring_get(&ring, &r));
    CHECK(pthread_create(&thread, NULL, writer, NULL) == 0);
    for (uint64_t i = 0; i < RECORDS;) {
        if (!fh_ring_get(&ring, &r)) continue;
        CHECK(r.number == i && r.check == ~i);
        i++;
    }
    CHECK(!fh_ring_get(&ring, &r));
    pthread_join(thread, NULL);
}

static void full_ring_refuses(void) {
    static record memory[4];
    record r = {1, 2};

    fh_ring_init(&ring, memory, 4, sizeof(record));
    for (int i = 0; i < 4; i++)
        CHECK(fh_ring_put(&ring, &r));
    CHECK(!fh_ring_put(&ring, &r));
    CHECK(fh_ring_get(&ring, &r));
    CHECK(fh_ring_put(&ring, &r));
}

/* An instance without packets, plans or sockets: enough to make the thread work, and to watch it from
 * another. */
static void engine_lives_and_ends(void) {
    fh_engine_conf conf = {.max_instances = 4,
                           .max_groups = 4,
                           .max_links = 64,
                           .max_socks = 4,
                           .max_paces = 4,
                           .commands = 64,
                           .events = 256,
                           .cpu = -1};
    uint32_t warnings = 0;

    for (int round = 0; round < 5; round++) {
        fh_engine *e = fh_engine_new(&conf);
        if (e == NULL && (errno == EPERM || errno == EACCES)) {
            puts("engine: skipped, needs CAP_NET_RAW");
            return;
        }
        CHECK(e != NULL);
        CHECK(fh_engine_start(e, &warnings) == 0);
        fh_ei *ei = calloc(1, sizeof(*ei));
        fh_ei_conf *ec = calloc(1, sizeof(*ec));
        CHECK(ei != NULL && ec != NULL);
        ec->node.fsm = (fh_vrrp_params){.adver_int = FH_NS_PER_MSEC,
                                        .version = 3,
                                        .base_priority = 100,
                                        .down_adverts = 3,
                                        .preempt = true};
        ec->node.group = FH_NO_GROUP;
        ec->sock = ec->sock_vmac = FH_NO_SOCK;
        ec->vrid = 1;
        fh_command add = {.type = FH_CMD_INST_ADD, .slot = 1, .p = ei, .q = ec};
        fh_command go = {.type = FH_CMD_INST_TOLD, .slot = 1, .b = FH_FAULT_DISABLED};
        fh_command stop = {.type = FH_CMD_STOP_ALL, .a = 1};
        fh_command del = {.type = FH_CMD_INST_DEL, .slot = 1};
        fh_command quit = {.type = FH_CMD_QUIT};
        CHECK(fh_engine_command(e, &add));
        CHECK(fh_engine_command(e, &go));
        fh_event event;
        bool master = false, stopped = false;
        for (int i = 0; i < 5000 && !master; i++) {
            fh_engine_beat(e);
            while (fh_engine_event(e, &event))
                master |= event.type == FH_EVENT_STATE && event.arg[1] == FH_VRRP_MASTER;
            (void)fh_ei_state(ei);
            (void)fh_ei_stat(ei, FH_STAT_BECOME_MASTER);
            usleep(1000);
        }
        CHECK(master);
        CHECK(fh_ei_stat(ei, FH_STAT_BECOME_MASTER) == 1);
        CHECK(fh_engine_command(e, &stop));
        for (int i = 0; i < 5000 && !stopped; i++) {
            while (fh_engine_event(e, &event))
                stopped |= event.type == FH_EVENT_STOPPED;
            usleep(1000);
        }
        CHECK(stopped);
        CHECK(fh_engine_command(e, &del));
        CHECK(fh_engine_command(e, &quit));
        fh_engine_join(e);
        int retired = 0;
        while (fh_engine_event(e, &event))
            if (event.type == FH_EVENT_RETIRED) {
                free((void *)(intptr_t)event.v[0]);
                retired++;
            }
        CHECK(retired == 2);
        fh_engine_free(e);
    }
}

int main(void) {
    RUN(timers_come_in_order);
    RUN(timers_not_due_stay);
    RUN(ring_between_two_threads);
    RUN(full_ring_refuses);
    RUN(engine_lives_and_ends);
    return check_failed != 0;
}
