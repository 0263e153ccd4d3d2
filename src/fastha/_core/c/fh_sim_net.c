/* The simulator's network: segments on which everybody hears everybody, unless something is wrong with them.
 *
 * A segment without jitter, duplicates or reordering delivers an advert to all in one event; loss is decided
 * for each receiver. Who is down, deaf or on another side when a packet arrives does not get it. */
#include "fh_sim_int.h"

#include <stdlib.h>

#define CHUNK 256

void fh_sim_plain(fh_sim_segment *g) {
    g->plain = g->jitter == 0 && g->reorder == 0 && g->duplicate == 0;
}

static fh_sim_flight *flight(fh_sim *s) {
    fh_sim_flight *f = s->free_flights;

    if (f == NULL) {
        fh_sim_flight *chunk = calloc(CHUNK, sizeof(*chunk));
        if (chunk == NULL || !fh_sim_grow(&s->chunks, s->chunk_count, &s->chunk_cap, sizeof(void *))) {
            free(chunk);
            s->failed = true;
            return NULL;
        }
        s->chunks[s->chunk_count++] = chunk;
        for (unsigned i = 0; i < CHUNK; i++) {
            fh_timer_init(&chunk[i].t, KIND_FLIGHT, (uint16_t)offsetof(fh_sim_flight, t));
            chunk[i].next = s->free_flights;
            s->free_flights = &chunk[i];
        }
        f = s->free_flights;
    }
    s->free_flights = f->next;
    f->next = NULL;
    return f;
}

void fh_sim_drop(fh_sim *s, fh_sim_flight *f) {
    f->next = s->free_flights;
    s->free_flights = f;
}

static fh_ns under_way(fh_sim *s, const fh_sim_segment *g) {
    fh_ns delay = g->delay;

    if (g->jitter > 0) delay += (fh_ns)(fh_sim_random(s) % (uint64_t)g->jitter);
    if (fh_sim_chance(s, g->reorder)) delay += g->held_back;
    return delay > 0 ? delay : 1;
}

/* Copies of a packet to all members: one flight where all get it at the same time. */
static void to_members(fh_sim *s, const fh_sim_flight *model, fh_sim_vr *vr) {
    const fh_sim_segment *g = s->segments[vr->segment];
    uint32_t receivers = g->plain ? 1 : vr->count;

    for (uint32_t i = 0; i < receivers; i++) {
        if (!g->plain && vr->members[i]->router == model->from) continue;
        unsigned copies = fh_sim_chance(s, g->duplicate) ? 2 : 1;
        for (unsigned k = 0; k < copies; k++) {
            fh_sim_flight *f = flight(s);
            if (f == NULL) return;
            fh_timer t = f->t;
            *f = *model;
            f->t = t;
            f->vr = vr;
            f->to = g->plain ? NULL : vr->members[i];
            fh_sim_set(s, &f->t, s->now + under_way(s, g));
        }
    }
}

static void to_all(fh_sim *s, const fh_sim_flight *model) {
    to_members(s, model, model->vr);
    if (model->vr->other != NULL) to_members(s, model, model->vr->other);
}

void fh_sim_send(fh_sim_inst *si, uint8_t priority) {
    fh_sim_router *r = si->router;
    fh_sim *s = r->sim;
    const fh_sim_port *p = &r->ports[si->port];
    const fh_vrrp_params *c = &si->conf[si->which].fsm;

    if (priority == 0)
        si->goodbye = true;
    else if (si->node.fsm.state != FH_VRRP_MASTER && !c->higher_prio_advert)
        fh_sim_break(s, FH_SIM_SPEAKS, si->index, 0);
    fh_sim_note(s, FH_SIM_NOTE_SENT, si->index, 0, priority, 0, 0);
    if (p->down != 0 || p->mute != 0) return;
    fh_sim_flight f = {.sent = s->now, .vr = si->vr, .from = r, .from_port = si->port, .rank = si->rank};
    f.version = c->version;
    f.side = p->side;
    f.heard.interval = c->adver_int;
    f.heard.priority = priority;
    fh_put32(f.heard.src.b, fh_sim_address(r, si->port));
    to_all(s, &f);
}

void fh_sim_forge(fh_sim *s, fh_sim_vr *vr, uint8_t priority, fh_ns interval) {
    fh_sim_flight f = {.sent = s->now, .vr = vr, .from = NULL, .rank = UINT32_MAX};

    f.version = vr->members[0]->conf[vr->members[0]->which].fsm.version;
    f.side = FH_SIM_SIDES; /* heard everywhere */
    f.heard.interval = interval;
    f.heard.priority = priority;
    fh_put32(f.heard.src.b, UINT32_C(0x0afffffe));
    to_all(s, &f);
}

void fh_sim_send_bfd(fh_sim_bs *from, bool final) {
    fh_sim_router *r = from->router;
    fh_sim *s = r->sim;
    const fh_sim_port *p = &r->ports[from->port];
    uint8_t data[sizeof(((fh_sim_flight *)0)->data)];
    size_t length =
        fh_bfd_write(&from->bs.conf->fsm, &from->bs.fsm, fh_sim_local(r, s->now), final, data, sizeof(data));

    if (length == 0 || p->down != 0 || p->mute != 0) return;
    const fh_sim_segment *g = s->segments[p->segment];
    unsigned copies = fh_sim_chance(s, g->duplicate) ? 2 : 1;
    for (unsigned k = 0; k < copies; k++) {
        fh_sim_flight *f = flight(s);
        if (f == NULL) return;
        f->sent = s->now;
        f->vr = NULL;
        f->session = from->pair->end[1 - from->end];
        f->from = r;
        f->from_port = from->port;
        f->to = NULL;
        f->side = p->side;
        f->length = (uint16_t)length;
        memcpy(f->data, data, length);
        fh_sim_set(s, &f->t, s->now + under_way(s, g));
    }
}

static bool lost(fh_sim *s, fh_sim_segment *g) {
    while (g->burst_toggle <= s->now) {
        int64_t mean = g->in_burst ? g->burst_every : g->burst;
        g->in_burst = !g->in_burst;
        g->burst_toggle += 1 + (fh_ns)(fh_sim_random(s) % (uint64_t)(2 * mean + 1));
    }
    return g->in_burst || fh_sim_chance(s, g->loss);
}

/* A packet reaches a router's port: into its socket, which is read at once if it is awake. */
static void reach(fh_sim *s, fh_sim_flight *f, fh_sim_router *r, unsigned port, fh_sim_inst *si) {
    const fh_sim_port *p = &r->ports[port];
    fh_sim_segment *g = s->segments[p->segment];

    s->stat[FH_SIM_PACKETS]++;
    bool cut = r->dead != 0 || !r->started || p->down != 0 || p->deaf != 0 || r->frozen != 0 ||
               (f->side != FH_SIM_SIDES && f->side != p->side);
    if (cut || (g->rough != 0 && lost(s, g))) {
        s->stat[FH_SIM_LOST]++;
        if (si != NULL)
            fh_sim_note(s, FH_SIM_NOTE_LOST, si->index, f->from != NULL ? f->from->index : FH_SIM_ALL,
                        f->heard.priority, 0, (s->now - f->sent) / 1000);
        fh_sim_drop(s, f);
        return;
    }
    f->to = si;
    f->rx_time = fh_sim_local(r, s->now);
    f->next = NULL;
    *r->inbox_end = f;
    r->inbox_end = &f->next;
    if (r->paused != 0) return;
    if (r->latency != 0) {
        fh_ns at = s->now + (fh_ns)(fh_sim_random(s) % (uint64_t)r->latency);
        if (at < r->wake.at) fh_sim_set(s, &r->wake, at);
    } else {
        fh_sim_turn(r);
    }
}

void fh_sim_arrive(fh_sim *s, fh_sim_flight *f) {
    if (f->vr == NULL) {
        reach(s, f, f->session->router, f->session->port, NULL);
        return;
    }
    if (f->to != NULL) {
        reach(s, f, f->to->router, f->to->port, f->to);
        return;
    }
    for (uint32_t i = 0; i < f->vr->count && s->broken.rule < 0; i++) {
        fh_sim_inst *si = f->vr->members[i];
        if (si->router == f->from) continue;
        fh_sim_flight *copy = flight(s);
        if (copy == NULL) return;
        fh_timer t = copy->t;
        *copy = *f;
        copy->t = t;
        reach(s, copy, si->router, si->port, si);
    }
    fh_sim_drop(s, f);
}

static void read_vrrp(fh_sim_router *r, fh_sim_flight *f, fh_ns now) {
    fh_sim *s = r->sim;
    fh_sim_inst *si = f->to;
    const fh_vrrp_params *c = &si->conf[si->which].fsm;
    uint32_t from = f->from != NULL ? f->from->index : FH_SIM_ALL;

    /* as fh_vrrp_receive: another version, and in version 2 another interval, is refused */
    if (c->version != f->version || (c->version == 2 && c->adver_int != f->heard.interval)) {
        s->stat[FH_SIM_REFUSED]++;
        fh_sim_note(s, FH_SIM_NOTE_REFUSED, si->index, from, f->heard.priority, 0, 0);
        return;
    }
    f->heard.src_order = (int8_t)(f->rank > si->rank ? 1 : f->rank < si->rank ? -1 : 0);
    s->stat[FH_SIM_EVENTS]++;
    fh_sim_note(s, FH_SIM_NOTE_HEARD, si->index, from, f->heard.priority, 0, (s->now - f->sent) / 1000);
    fh_sim_heard(si, &f->heard, f->rx_time, now);
}

static void read_bfd(fh_sim_router *r, fh_sim_flight *f, fh_ns now) {
    fh_sim_bs *b = f->session;
    fh_bfd_arrival way = {.ifindex = b->port + 1U, .port = 3784, .family = FH_AF_INET, .ttl = 255};

    fh_put32(way.src.b, fh_sim_address(f->from, f->from_port));
    fh_put32(way.dst.b, fh_sim_address(r, b->port));
    r->sim->stat[FH_SIM_EVENTS]++;
    r->touched = true;
    if (fh_bfd_node_packet(&r->bfd, &way, f->data, f->length, f->rx_time, now) == FH_BFD_RX_OK) {
        b->last_arrival = f->rx_time;
        b->asleep_then = r->asleep;
    } else {
        r->sim->stat[FH_SIM_REFUSED]++;
    }
}

void fh_sim_read(fh_sim_router *r, fh_ns now) {
    while (r->inbox != NULL) {
        fh_sim_flight *f = r->inbox;
        r->inbox = f->next;
        if (r->inbox == NULL) r->inbox_end = &r->inbox;
        if (f->vr != NULL)
            read_vrrp(r, f, now);
        else
            read_bfd(r, f, now);
        fh_sim_drop(r->sim, f);
    }
}
