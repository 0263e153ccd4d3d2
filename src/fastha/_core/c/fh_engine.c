/* The engine thread: its life, its loop, its commands. */
#include "fh_engine_int.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EPOLL_BATCH 64
#define STALL_TOLD FH_NODE_LATE      /* lateness of the whole engine that is worth an event */
#define SLEPT (100 * FH_NS_PER_MSEC) /* suspend longer than this counts as having been away */

/* What an epoll event stands for: a small number, or a receive socket's slot above them. */
enum { ON_COMMAND, ON_MONITOR, ON_ROUTES, ON_PLAN, ON_SOCK };

static const char *const stat_names[FH_STATS] = {
    "advert_rx",        "advert_tx",        "become_master", "release_master",
    "priority_zero_rx", "priority_zero_tx", "announce_tx",   "repairs",
    "stalls",           "overlaps",         "overlap_us",    "send_errors",
    "netlink_errors",   "foreign_claims",   "late_us_max",   "adverts_missed",
};

static const char *const engine_stat_names[FH_ENGINE_STATS] = {
    "wakeups",     "timers",       "late_us_max", "late_over_1ms", "late_over_10ms", "stalls",
    "events_lost", "netlink_lost", "packets_rx",  "packets_tx",    "netlink_tx",
};

const char *fh_stat_name(int stat) {
    return stat >= 0 && stat < FH_STATS ? stat_names[stat] : "?";
}

const char *fh_engine_stat_name(int stat) {
    return stat >= 0 && stat < FH_ENGINE_STATS ? engine_stat_names[stat] : "?";
}

static fh_ns clock_of(clockid_t id) {
    struct timespec t;

    clock_gettime(id, &t);
    return (fh_ns)t.tv_sec * FH_NS_PER_SEC + t.tv_nsec;
}

fh_ns fh_now(void) {
    return clock_of(CLOCK_MONOTONIC);
}

fh_ns fh_wall_offset(void) {
    for (int tries = 0;; tries++) {
        fh_ns before = fh_now(), real = clock_of(CLOCK_REALTIME), after = fh_now();
        if (after - before < 20 * FH_NS_PER_USEC || tries == 3) return real - (before + (after - before) / 2);
    }
}

/* ------------------------------------------------------------------ events and states that others read */

/* A lost event costs history, a lost RETIRED would cost memory: half of the ring is kept for those. More come
 * only for commands, of which the main thread sends no such number without reading events. */
void fh_engine_tell(fh_engine *e, const fh_event *event) {
    uint32_t all = e->events.mask + 1;

    if (!fh_ring_put_within(&e->events, event, event->type == FH_EVENT_RETIRED ? all : all / 2)) {
        fh_count(&e->stat[FH_ENGINE_EVENTS_LOST], 1);
        e->events_lost = true;
    }
    e->events_new = true;
}

static void wake_main(fh_engine *e) {
    uint64_t one = 1;

    if (e->events_lost) {
        /* said as soon as there is room: states and counters stay readable, so nothing is lost but the
         * history */
        fh_event event = {.at = fh_now(), .type = FH_EVENT_RESYNC, .arg = {2}};
        if (fh_ring_put(&e->events, &event)) e->events_lost = false;
    }
    e->events_new = false;
    if (write(e->event_fd, &one, sizeof(one)) < 0)
        return; /* its counter is full: the main thread has long been woken */
}

void fh_ei_show(fh_ei *ei, fh_ns now) {
    const fh_vrrp *v = &ei->node.fsm;
    uint32_t shown = (uint32_t)v->state | (uint32_t)v->priority << 8 | (uint32_t)v->master_priority << 16;
    uint32_t before = atomic_load_explicit(&ei->state_shown, memory_order_relaxed);

    if ((before & 0xff) != v->state) atomic_store_explicit(&ei->changed, now, memory_order_relaxed);
    atomic_store_explicit(&ei->state_shown, shown, memory_order_relaxed);
    atomic_store_explicit(&ei->faults_shown, ei->node.faults, memory_order_relaxed);
    atomic_store_explicit(&ei->learned, v->active_int, memory_order_relaxed);
    fh_engine_show_timers(ei);
}

uint64_t fh_engine_stat_get(const fh_engine *e, int stat) {
    return atomic_load_explicit(&e->stat[stat], memory_order_relaxed);
}

int64_t fh_engine_last_turn(const fh_engine *e) {
    return atomic_load_explicit(&e->last_turn, memory_order_relaxed);
}

uint64_t fh_ei_stat(const fh_ei *ei, int stat) {
    return atomic_load_explicit(&ei->stat[stat], memory_order_relaxed);
}

uint32_t fh_ei_reject(const fh_ei *ei, int why) {
    return atomic_load_explicit(&ei->reject[why], memory_order_relaxed);
}

uint32_t fh_ei_state(const fh_ei *ei) {
    return atomic_load_explicit(&ei->state_shown, memory_order_relaxed);
}

uint32_t fh_ei_faults(const fh_ei *ei) {
    return atomic_load_explicit(&ei->faults_shown, memory_order_relaxed);
}

int64_t fh_ei_changed(const fh_ei *ei) {
    return atomic_load_explicit(&ei->changed, memory_order_relaxed);
}

int64_t fh_ei_heard(const fh_ei *ei) {
    return atomic_load_explicit(&ei->heard, memory_order_relaxed);
}

int64_t fh_ei_learned(const fh_ei *ei) {
    return atomic_load_explicit(&ei->learned, memory_order_relaxed);
}

uint64_t fh_sock_packets(const fh_sock *s) {
    return atomic_load_explicit(&s->packets, memory_order_relaxed);
}

uint64_t fh_sock_unknown_vrid(const fh_sock *s) {
    return atomic_load_explicit(&s->unknown_vrid, memory_order_relaxed);
}

uint64_t fh_sock_refused(const fh_sock *s, int why) {
    return atomic_load_explicit(&s->refused[why], memory_order_relaxed);
}

/* ------------------------------------------------------------------ commands */

void fh_engine_retire(fh_engine *e, void *memory, uint32_t kind, uint32_t slot) {
    if (memory == NULL) return;
    fh_event event = {.at = fh_now(), .type = FH_EVENT_RETIRED, .inst = slot, .arg = {kind}};
    event.v[0] = (int64_t)(intptr_t)memory;
    fh_engine_tell(e, &event);
}

static fh_sock *sock_at(const fh_engine *e, uint32_t slot) {
    return slot < e->conf.max_socks ? e->socks[slot] : NULL;
}

static void listen_on(fh_engine *e, fh_ei *ei) {
    fh_sock *s = sock_at(e, ei->conf->sock);

    if (s != NULL) {
        ei->next_vrid = s->by_vrid[ei->conf->vrid];
        s->by_vrid[ei->conf->vrid] = ei;
        fh_engine_filter(e, s);
    }
    s = sock_at(e, ei->conf->sock_vmac);
    if (s != NULL) { /* nobody else's */
        s->by_vrid[ei->conf->vrid] = ei;
        fh_engine_filter(e, s);
    }
}

static void listen_off(fh_engine *e, fh_ei *ei) {
    fh_sock *s = sock_at(e, ei->conf->sock);

    if (s != NULL) {
        for (fh_ei **at = &s->by_vrid[ei->conf->vrid]; *at != NULL; at = &(*at)->next_vrid)
            if (*at == ei) {
                *at = ei->next_vrid;
                break;
            }
        fh_engine_filter(e, s);
    }
    s = sock_at(e, ei->conf->sock_vmac);
    if (s != NULL) {
        s->by_vrid[ei->conf->vrid] = NULL;
        fh_engine_filter(e, s);
    }
}

static void inst_add(fh_engine *e, const fh_command *c, fh_ns now) {
    fh_ei *ei = c->p;

    if (c->slot >= e->node.inst_slots || e->node.insts[c->slot] != NULL) return;
    ei->conf = c->q;
    fh_node_add(&e->node, &ei->node, c->slot, &ei->conf->node, now);
    listen_on(e, ei);
    fh_ei_show(ei, now);
}

static void inst_conf(fh_engine *e, fh_ei *ei, const fh_ei_conf *conf, fh_ns now) {
    const fh_ei_conf *old = ei->conf;

    fh_engine_send_held(e, ei);
    while (ei->plan_queued || ei->out_queued) /* what was decided under the old one is played with it */
        fh_engine_play(e);
    listen_off(e, ei);
    ei->conf = conf;
    ei->say_place = 0;
    listen_on(e, ei);
    fh_node_replace(&e->node, &ei->node, &conf->node, now);
    if (conf->drop_to > conf->drop_from)
        fh_engine_send_netlink(e, conf->plan + conf->drop_from, conf->drop_to - conf->drop_from);
    if (fh_inst_holds(&ei->node)) {
        fh_engine_queue_plan(e, ei, FH_PLAN_ACQUIRE);
        if (conf->announce_on_replace) fh_node_announce_now(&e->node, &ei->node);
    }
    fh_ei_show(ei, now);
    fh_engine_retire(e, (void *)(uintptr_t)old, FH_RETIRED_CONF, ei->node.slot);
}

static void inst_del(fh_engine *e, fh_ei *ei) {
    uint32_t slot = ei->node.slot;

    listen_off(e, ei);
    fh_engine_bfd_forget_inst(e, slot, fh_now());
    fh_node_remove(&e->node, &ei->node);
    fh_engine_forget(e, ei);
    fh_engine_retire(e, (void *)(uintptr_t)ei->conf, FH_RETIRED_CONF, slot);
    fh_engine_retire(e, ei, FH_RETIRED_INST, slot);
}

void fh_engine_watch(fh_engine *e, int fd, uint32_t what) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};

    epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void command(fh_engine *e, const fh_command *c, fh_ns now) {
    fh_inst *inst = c->slot < e->node.inst_slots ? e->node.insts[c->slot] : NULL;
    fh_ei *ei = inst != NULL ? fh_ei_of(inst) : NULL;

    switch (c->type) {
    case FH_CMD_SOCK_ADD:
        e->socks[c->slot] = c->p;
        fh_engine_filter(e, c->p);
        fh_engine_watch(e, e->socks[c->slot]->fd, ON_SOCK + c->slot);
        break;
    case FH_CMD_SOCK_DEL:
        if (e->socks[c->slot] != NULL) {
            epoll_ctl(e->epoll, EPOLL_CTL_DEL, e->socks[c->slot]->fd, NULL);
            fh_engine_retire(e, e->socks[c->slot], FH_RETIRED_SOCK, c->slot);
            e->socks[c->slot] = NULL;
        }
        break;
    case FH_CMD_INST_ADD:
        inst_add(e, c, now);
        break;
    case FH_CMD_INST_CONF:
        if (ei != NULL) inst_conf(e, ei, c->q, now);
        break;
    case FH_CMD_INST_STOP:
        if (inst != NULL) fh_node_stop(&e->node, inst, c->a != 0, now);
        break;
    case FH_CMD_INST_DEL:
        if (ei != NULL) inst_del(e, ei);
        break;
    case FH_CMD_INST_TOLD:
        if (inst != NULL) fh_node_told(&e->node, inst, c->a, c->b, (int)c->v, now);
        break;
    case FH_CMD_INST_ANNOUNCE:
        if (inst != NULL) fh_node_announce_now(&e->node, inst);
        break;
    case FH_CMD_INST_TAKEOVER:
        if (inst != NULL) fh_node_takeover(&e->node, inst, now);
        break;
    case FH_CMD_GROUP:
        fh_engine_retire(e, e->node.groups[c->slot].members, FH_RETIRED_GROUP, c->slot);
        fh_node_set_group(&e->node, c->slot, c->p, c->a, now);
        break;
    case FH_CMD_LINK_CONF:
        fh_node_link_conf(&e->node, c->slot, c->v, c->w);
        break;
    case FH_CMD_LINK_SET:
        fh_node_link_state(&e->node, c->slot, c->a != 0, false, now);
        break;
    case FH_CMD_PACE:
        e->paces[c->slot] = (fh_pace){.arp_gap = c->v, .na_gap = c->w};
        break;
    case FH_CMD_STOP_ALL:
        for (uint32_t i = 0; i < e->node.inst_slots; i++)
            if (e->node.insts[i] != NULL) fh_node_stop(&e->node, e->node.insts[i], c->a != 0, now);
        break;
    case FH_CMD_WATCH:
        if (e->route_fd < 0) {
            e->route_fd = (int)c->a;
            fh_engine_watch(e, e->route_fd, ON_ROUTES);
        }
        break;
    case FH_CMD_QUIT:
        e->quit = true;
        break;
    default:
        if (c->type >= FH_CMD_BFD_LISTEN) fh_engine_bfd_command(e, c, now);
        break;
    }
    if (ei != NULL && c->type != FH_CMD_INST_DEL) fh_ei_show(ei, now);
}

static void commands(fh_engine *e, fh_ns now) {
    uint64_t count;
    fh_command c;

    if (read(e->command_fd, &count, sizeof(count)) < 0) return;
    while (fh_ring_get(&e->commands, &c))
        command(e, &c, now);
}

/* ------------------------------------------------------------------ the loop */

static void stopped(fh_engine *e) {
    e->stopped_due = false;
    for (uint32_t i = 0; i < e->node.inst_slots; i++) {
        fh_ei *ei = e->node.insts[i] != NULL ? fh_ei_of(e->node.insts[i]) : NULL;
        if (ei == NULL || !ei->stopped_due) continue;
        if (ei->plan_queued || ei->out_queued) {
            e->stopped_due = true;
            continue;
        }
        ei->stopped_due = false;
        fh_event event = {.at = fh_now(), .type = FH_EVENT_STOPPED, .inst = i};
        fh_engine_tell(e, &event);
    }
}

/* An engine that serves a main thread which no longer lives keeps an address for nobody. */
static void check_main(fh_engine *e, fh_ns now) {
    fh_ns silent = now - atomic_load_explicit(&e->beat, memory_order_relaxed);
    bool lost = e->conf.main_timeout != 0 && silent > e->conf.main_timeout;

    if (lost == e->main_lost) return;
    e->main_lost = lost;
    fh_event event = {.at = now, .type = FH_EVENT_MAIN_STALLED, .arg = {lost}, .v = {silent}};
    fh_engine_tell(e, &event);
    for (uint32_t i = 0; i < e->node.inst_slots; i++)
        if (e->node.insts[i] != NULL) fh_node_fault(&e->node, e->node.insts[i], FH_FAULT_MAIN, lost, now);
}

/* Distances between clocks: the wall clock for receive stamps, the boot clock to notice that the machine
 * slept. */
static void clocks(fh_engine *e, fh_ns now) {
    fh_ns boot = clock_of(CLOCK_BOOTTIME) - fh_now();
    fh_ns slept = boot - e->boot_offset;

    e->clock_offset = fh_wall_offset();
    e->boot_offset = boot;
    if (slept < SLEPT) return;
    fh_count(&e->stat[FH_ENGINE_STALLS], 1);
    fh_event event = {.at = now, .type = FH_EVENT_ENGINE_STALL, .v = {0, slept}};
    fh_engine_tell(e, &event);
    fh_node_slept(&e->node, slept, now);
    fh_bfd_node_slept(&e->bfd, slept, now);
}

/* Once for each late wake-up. tell: though it be less than STALL_TOLD. */
static void late(fh_engine *e, fh_ns lateness, bool tell, fh_ns now) {
    fh_spread_add(&e->lateness, lateness);
    fh_count_max(&e->stat[FH_ENGINE_LATE_US_MAX], (uint64_t)lateness / 1000);
    if (lateness > FH_NS_PER_MSEC) fh_count(&e->stat[FH_ENGINE_LATE_OVER_1MS], 1);
    if (lateness > STALL_TOLD)
        fh_count(&e->stat[FH_ENGINE_LATE_OVER_10MS], 1);
    else if (!tell)
        return;
    fh_count(&e->stat[FH_ENGINE_STALLS], 1);
    fh_event event = {.at = now, .type = FH_EVENT_ENGINE_STALL, .v = {lateness, 0}};
    fh_engine_tell(e, &event);
}

/* What would make a neighbour miss our packets has to be told, though it be a few milliseconds; ten times a
 * second at most. */
static void late_for_bfd(fh_engine *e, fh_ns lateness, fh_ns now) {
    bool tell = lateness <= STALL_TOLD && lateness >= e->bfd.fastest / 3 &&
                now - e->bfd_late_told >= 100 * FH_NS_PER_MSEC;

    if (tell) e->bfd_late_told = now;
    late(e, lateness, tell, now);
}

static int wait_for(fh_engine *e, struct epoll_event *ready, fh_ns timeout) {
    struct timespec t = {.tv_sec = timeout / FH_NS_PER_SEC, .tv_nsec = timeout % FH_NS_PER_SEC};

    return (int)syscall(SYS_epoll_pwait2, e->epoll, ready, EPOLL_BATCH, timeout == FH_NEVER ? NULL : &t, NULL,
                        0);
}

/* BFD first: what it hears is wanted within microseconds, and its timers follow. */
static void turn_bfd(fh_engine *e, const struct epoll_event *ready, int count, fh_ns now) {
    for (int i = 0; i < count; i++)
        if (ready[i].data.u32 >= FH_TAG_BSOCK) fh_engine_bfd_read(e, ready[i].data.u32, now);
    if (fh_bfd_node_next(&e->bfd) <= now || e->bfd_read_at <= now) fh_engine_bfd_poll(e, now);
    if (fh_bfd_node_next(&e->bfd) <= now) {
        fh_count(&e->stat[FH_ENGINE_TIMERS], 1);
        fh_bfd_node_run(&e->bfd, now);
    }
}

/* Reads everything that is ready; true if something was. */
static bool read_ready(fh_engine *e, const struct epoll_event *ready, int count, fh_ns now) {
    for (int i = 0; i < count; i++) {
        uint32_t what = ready[i].data.u32;
        if (what >= FH_TAG_BSOCK)
            continue;
        else if (what == ON_COMMAND)
            commands(e, now);
        else if (what == ON_MONITOR)
            fh_engine_monitor(e, e->monitor_fd, now);
        else if (what == ON_ROUTES)
            fh_engine_monitor(e, e->route_fd, now);
        else if (what == ON_PLAN)
            fh_engine_read_answers(e);
        else if (e->socks[what - ON_SOCK] != NULL)
            fh_engine_read(e, e->socks[what - ON_SOCK], now);
    }
    return count > 0;
}

static bool read_again(void *io, fh_ns now) {
    fh_engine *e = io;
    struct epoll_event ready[EPOLL_BATCH];
    int count = wait_for(e, ready, 0);

    turn_bfd(e, ready, count, now);
    return read_ready(e, ready, count, now);
}

static void turn(fh_engine *e, bool more) {
    struct epoll_event ready[EPOLL_BATCH];
    fh_ns due = fh_node_next(&e->node);
    fh_ns bfd_due = fh_bfd_node_next(&e->bfd);
    fh_ns wake = due < bfd_due ? due : bfd_due;
    if (e->bfd_read_at < wake) wake = e->bfd_read_at;
    fh_ns say = fh_engine_next_say(e);
    fh_ns timeout = 0;

    if (e->next_housekeeping < wake) wake = e->next_housekeeping;
    if (say != FH_NEVER && say < wake) wake = say;
    if (e->repair_at != 0 && e->repair_at < wake) wake = e->repair_at;
    if (!more) {
        timeout = wake - fh_now();
        timeout = timeout < 0 ? 0 : timeout;
    }
    int count = wait_for(e, ready, timeout);
    fh_ns now = fh_now();
    atomic_store_explicit(&e->last_turn, now, memory_order_relaxed);
    fh_count(&e->stat[FH_ENGINE_WAKEUPS], 1);

    fh_ns bfd_late = fh_bfd_node_woke(&e->bfd, e->turned, bfd_due, now);
    e->turned = now;
    fh_ns woke_late = fh_node_woke(&e->node, due, now);
    if (woke_late > STALL_TOLD) {
        late(e, woke_late, false, now);
    } else if (bfd_late > 0) {
        late_for_bfd(e, bfd_late, now);
    }
    turn_bfd(e, ready, count, now);
    e->bfd_fast = e->bfd.fastest <= 50 * FH_NS_PER_MSEC;
    read_ready(e, ready, count, now);
    fh_ns lateness = fh_node_expire(&e->node, read_again, e, now);
    if (lateness >= 0) {
        fh_count(&e->stat[FH_ENGINE_TIMERS], 1);
        if (lateness <= STALL_TOLD) late(e, lateness, false, now);
    }
    if (e->repair_at != 0 && now >= e->repair_at) fh_engine_repair(e, now);
    clocks(e, now);
    if (now >= e->next_housekeeping) {
        check_main(e, now);
        e->next_housekeeping = now + (fh_engine_shields(e, now) ? FH_HOUSEKEEPING_BUSY : FH_HOUSEKEEPING);
    }
}

static void *run(void *argument) {
    fh_engine *e = argument;
    bool more = false;

    prctl(PR_SET_NAME, "fastha-engine");
    prctl(PR_SET_TIMERSLACK, 1UL);
    fh_engine_dump(e);
    e->turned = fh_now();
    while (!e->quit) {
        turn(e, more);
        more = fh_engine_play(e);
        if (e->stopped_due) stopped(e);
        if (e->events_new) wake_main(e);
    }
    while (fh_engine_play(e))
        ;
    wake_main(e);
    return NULL;
}

/* ------------------------------------------------------------------ life */

static void *zeroed(size_t count, size_t size, bool *failed) {
    void *memory = calloc(count != 0 ? count : 1, size);

    if (memory == NULL) *failed = true;
    return memory;
}

/* A ring's memory, all of it there from the beginning: locked memory comes at the first touch, and the engine
 * shall not wait for the kernel to find a page while it tells of a failover. */
static void make_ring(fh_ring *r, uint32_t records, uint32_t size, bool *failed) {
    volatile uint8_t *memory = zeroed(records, size, failed);

    for (size_t at = 0; memory != NULL && at < (size_t)records * size; at += 4096)
        memory[at] = 0;
    fh_ring_init(r, (void *)memory, records, size);
}

static void free_all(fh_engine *e) {
    int fds[] = {e->epoll,   e->command_fd, e->event_fd,   e->packet_fd, e->raw4_fd,
                 e->raw6_fd, e->plan_fd,    e->monitor_fd, e->route_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0) close(fds[i]);
    free(e->node.insts);
    free(e->node.groups);
    free(e->node.links);
    free(e->node.timers.slots);
    free(e->socks);
    free(e->paces);
    free(e->bfd.sessions);
    free(e->bfd.timers.slots);
    free(e->bfd.table.by_discr);
    free(e->bfd.table.by_peer);
    free(e->join.by_session);
    free(e->join.by_inst);
    free(e->bfd_scratch);
    free(e->commands.records);
    free(e->events.records);
    free(e);
}

static void make_bfd(fh_engine *e, bool *failed) {
    uint32_t sessions = e->conf.max_sessions, buckets = 64;
    uint64_t seed[4] = {0};

    while (buckets < sessions)
        buckets *= 2;
    e->bfd.sessions = zeroed(sessions, sizeof(fh_bs *), failed);
    e->bfd.slots = sessions;
    fh_timers_init(&e->bfd.timers, zeroed((size_t)sessions * 3, sizeof(fh_timer_slot), failed), sessions * 3);
    e->bfd.table.by_discr = zeroed(buckets, sizeof(fh_bfd_way *), failed);
    e->bfd.table.by_peer = zeroed(buckets, sizeof(fh_bfd_way *), failed);
    e->bfd.table.mask = buckets - 1;
    if (getrandom(seed, sizeof(seed), 0) != sizeof(seed)) *failed = true;
    seed[0] |= 1; /* never all zero */
    fh_bfd_node_init(&e->bfd, seed, &fh_engine_bfd_io, e);
    e->join = (fh_bfd_join){.node = &e->node, .bfd = &e->bfd};
    e->join.by_session = zeroed(sessions, sizeof(fh_bfd_follow *), failed);
    e->bfd_scratch = zeroed((size_t)sessions * 2, sizeof(uint32_t), failed);
    e->join.by_inst = zeroed(e->conf.max_instances, sizeof(fh_bfd_follows *), failed);
}

fh_engine *fh_engine_new(const fh_engine_conf *conf) {
    fh_engine *e = NULL;
    bool failed = false;

    if (posix_memalign((void **)&e, 64, sizeof(*e)) != 0) {
        errno = ENOMEM;
        return NULL;
    }
    memset(e, 0, sizeof(*e));
    e->conf = *conf;
    e->route_fd = -1;
    e->bfd_read_at = FH_NEVER;
    e->node.insts = zeroed(conf->max_instances, sizeof(fh_inst *), &failed);
    e->node.inst_slots = conf->max_instances;
    e->node.groups = zeroed(conf->max_groups, sizeof(fh_group), &failed);
    e->node.group_slots = conf->max_groups;
    e->node.links = zeroed(conf->max_links, sizeof(fh_link), &failed);
    e->node.link_slots = conf->max_links;
    uint32_t timers = conf->max_instances * 5 + conf->max_links;
    fh_timers_init(&e->node.timers, zeroed(timers, sizeof(fh_timer_slot), &failed), timers);
    e->socks = zeroed(conf->max_socks, sizeof(fh_sock *), &failed);
    e->paces = zeroed(conf->max_paces, sizeof(fh_pace), &failed);
    make_ring(&e->commands, conf->commands, sizeof(fh_command), &failed);
    make_ring(&e->events, conf->events, sizeof(fh_event), &failed);
    fh_node_init(&e->node, &fh_engine_io, e);
    make_bfd(e, &failed);

    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    e->command_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    e->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    e->packet_fd = fh_sock_packet_tx();
    e->raw4_fd = fh_sock_raw_tx(FH_AF_INET);
    e->raw6_fd = fh_sock_raw_tx(FH_AF_INET6); /* may be missing where IPv6 is off; then only its sends fail */
    e->plan_fd = fh_sock_netlink(0, 1 << 20);
    e->monitor_fd = fh_sock_monitor(8 << 20);
    int needed[] = {e->epoll,   e->command_fd, e->event_fd,  e->packet_fd,
                    e->raw4_fd, e->plan_fd,    e->monitor_fd};
    int error = failed ? ENOMEM : 0;
    for (size_t i = 0; error == 0 && i < sizeof(needed) / sizeof(needed[0]); i++)
        if (needed[i] < 0) error = i >= 3 ? -needed[i] : errno;
    if (error != 0) {
        free_all(e);
        errno = error;
        return NULL;
    }
    e->tx_frames.fd = e->packet_fd;
    e->tx_raw4.fd = e->raw4_fd;
    e->tx_raw6.fd = e->raw6_fd;
    fh_engine_watch(e, e->command_fd, ON_COMMAND);
    fh_engine_watch(e, e->monitor_fd, ON_MONITOR);
    fh_engine_watch(e, e->plan_fd, ON_PLAN);
    e->clock_offset = fh_wall_offset();
    e->boot_offset = clock_of(CLOCK_BOOTTIME) - fh_now();
    e->next_housekeeping = fh_now() + FH_HOUSEKEEPING;
    fh_engine_beat(e);
    return e;
}

int fh_engine_start(fh_engine *e, uint32_t *warnings) {
    sigset_t all, before;

    *warnings = 0;
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0) *warnings |= FH_ENGINE_NO_MLOCK;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's business */
    int error = pthread_create(&e->thread, NULL, run, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) return -error;
    e->started = true;
    if (e->conf.priority > 0) {
        struct sched_param param = {.sched_priority = e->conf.priority};
        if (pthread_setschedparam(e->thread, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) != 0)
            *warnings |= FH_ENGINE_NO_FIFO;
    }
    if (e->conf.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)e->conf.cpu, &set);
        if (pthread_setaffinity_np(e->thread, sizeof(set), &set) != 0) *warnings |= FH_ENGINE_NO_AFFINITY;
    }
    return 0;
}

void fh_engine_join(fh_engine *e) {
    if (e->started) pthread_join(e->thread, NULL);
    e->started = false;
}

void fh_engine_free(fh_engine *e) {
    fh_engine_join(e);
    free_all(e);
}

bool fh_engine_command(fh_engine *e, const fh_command *c) {
    uint64_t one = 1;

    if (!fh_ring_put(&e->commands, c)) return false;
    return write(e->command_fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN;
}

bool fh_engine_event(fh_engine *e, fh_event *event) {
    return fh_ring_get(&e->events, event);
}

int fh_engine_event_fd(const fh_engine *e) {
    return e->event_fd;
}

void fh_engine_event_ack(fh_engine *e) {
    uint64_t count;

    if (read(e->event_fd, &count, sizeof(count)) < 0) return; /* nothing was signalled: fine */
}

void fh_engine_beat(fh_engine *e) {
    atomic_store_explicit(&e->beat, fh_now(), memory_order_relaxed);
}
