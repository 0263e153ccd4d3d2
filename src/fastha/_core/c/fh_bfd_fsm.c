/* See fh_bfd_fsm.h. Section numbers are RFC 5880's unless another is named. */
#include "fh_bfd_fsm.h"

#include "fh_break.h"

/* Packets that answer a change of state at once, between two scheduled ones (6.8.7). A handshake takes two.
 * Where the network duplicates packets, two neighbours would otherwise answer one another's old packets
 * without end. */
#define EXTRA_MOST 8

static const char *const cause_names[FH_BFD_CAUSES] = {
    [FH_BFD_WHY_NONE] = "none",
    [FH_BFD_WHY_HANDSHAKE] = "handshake",
    [FH_BFD_WHY_EXPIRED] = "detection_time_expired",
    [FH_BFD_WHY_ECHO] = "echo_failed",
    [FH_BFD_WHY_NEIGHBOR_DOWN] = "neighbor_down",
    [FH_BFD_WHY_NEIGHBOR_ADMIN] = "neighbor_admin_down",
    [FH_BFD_WHY_ADMIN] = "admin",
    [FH_BFD_WHY_FORWARDING] = "forwarding_plane_reset",
    [FH_BFD_WHY_PATH] = "path_down",
};

const char *fh_bfd_cause_name(unsigned cause) {
    return cause < FH_BFD_CAUSES ? cause_names[cause] : "?";
}

static uint32_t max_us(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static bool is_session(const fh_bfd_params *p) {
    return p->kind == FH_BFD_KIND_SESSION;
}

/* ---- negotiated values (6.8.2, 6.8.4) ---- */

fh_ns fh_bfd_tx_int(const fh_bfd_params *p, const fh_bfd *s) {
    uint32_t us = p->kind == FH_BFD_KIND_LOOPED ? s->tx_min_us : max_us(s->tx_min_us, s->remote_min_rx_us);
    return us * FH_NS_PER_USEC;
}

fh_ns fh_bfd_rx_int(const fh_bfd_params *p, const fh_bfd *s) {
    if (!is_session(p)) return fh_bfd_tx_int(p, s);
    return max_us(s->rx_min_us, s->remote_min_tx_us) * FH_NS_PER_USEC;
}

fh_ns fh_bfd_detect_int(const fh_bfd_params *p, const fh_bfd *s) {
    if (s->last_rx == 0) return 0;
    if (s->demand_on || !is_session(p)) return p->detect_mult * fh_bfd_tx_int(p, s);
    return s->remote_mult * fh_bfd_rx_int(p, s);
}

fh_ns fh_bfd_echo_int(const fh_bfd_params *p, const fh_bfd *s) {
    return s->echo_on ? max_us(p->echo_tx_us, s->remote_min_echo_rx_us) * FH_NS_PER_USEC : 0;
}

/* 75 to 100 % of the interval, 75 to 90 % when one lost packet is enough to go down (6.8.7). */
static fh_ns jittered(fh_ns interval, uint16_t jitter, unsigned detect_mult) {
    fh_ns span = detect_mult == 1 ? interval * 15 / 100 : interval / 4;
    return interval * 3 / 4 + ((span * jitter) >> 16);
}

/* ---- Poll Sequences (6.5) ---- */

static void start_poll(const fh_bfd_params *p, fh_bfd *s) {
    if (!is_session(p) || s->state == FH_BFD_ADMIN_DOWN || s->remote_discr == 0)
        return; /* nobody to answer */
    if (!s->poll) {
        s->poll = !s->poll_pending;
        s->poll_sent = false;
    } else if (s->poll_sent) {
        s->poll_pending = true; /* an F that comes now may answer a packet from before this change (6.8.3) */
    }
}

static void cancel_poll(fh_bfd *s) {
    s->poll = s->poll_sent = s->poll_pending = false;
}

/* ---- what we announce, and what is in force (6.8.3) ---- */

static uint32_t backed_off(uint32_t us, uint8_t times) {
    uint64_t wide = (uint64_t)us << times;
    return wide > UINT32_MAX ? UINT32_MAX : (uint32_t)wide;
}

/* Brings the announced intervals to what configuration, state and Echo ask for. True if one changed. */
static bool retarget(const fh_bfd_params *p, fh_bfd *s, bool poll) {
    bool up = s->state == FH_BFD_UP;
    uint32_t tx = backed_off(p->min_tx_us, s->backoff);
    uint32_t rx = p->kind == FH_BFD_KIND_SBFD ? 0 : backed_off(p->min_rx_us, s->backoff);
    if (!up) tx = max_us(max_us(tx, p->idle_tx_us), FH_BFD_SLOW_US);
    if (s->echo_on && rx != 0) rx = max_us(rx, FH_BFD_SLOW_US);
    if (tx == s->desired_min_tx_us && rx == s->required_min_rx_us) return false;
    s->desired_min_tx_us = tx;
    s->required_min_rx_us = rx;
    /* While Up, sending more slowly and expecting more have to wait until the neighbour knows. */
    bool wait = up && is_session(p) && s->remote_discr != 0;
    if (!wait || tx < s->tx_min_us) s->tx_min_us = tx;
    if (!wait || rx > s->rx_min_us) s->rx_min_us = rx;
    if (poll) start_poll(p, s);
    return true;
}

/* ---- the schedule ---- */

static bool demand_asked_of_us(const fh_bfd *s) {
    return s->remote_demand && s->state == FH_BFD_UP && s->remote_state == FH_BFD_UP;
}

/* Periodic packets are allowed (6.8.7). */
static bool may_send(const fh_bfd_params *p, const fh_bfd *s) {
    if (!is_session(p)) return s->state != FH_BFD_ADMIN_DOWN;
    if (p->passive && s->remote_discr == 0) return false;
    if (s->remote_min_rx_us == 0) return false;
    return s->poll || !demand_asked_of_us(s);
}

/* A packet goes out now: a scheduled one, or an extra one because its contents changed. */
static void send_now(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, fh_bfd_actions *out) {
    if (is_session(p) && p->passive && s->remote_discr == 0) return;
    out->bits |= FH_BFD_DO_SEND;
    s->last_tx = in->now;
    s->jitter = (uint16_t)(in->random >> 16);
    s->p_bit = s->poll;
    if (s->poll && !s->poll_sent) {
        s->poll_sent = true;
        s->poll_at = in->now;
        if (s->demand_on) s->asleep_mark = in->asleep;
    } else if (!s->poll && s->poll_pending) {
        s->poll_pending = false; /* this is the packet without P between two Poll Sequences */
        start_poll(p, s);
    }
}

static fh_ns tx_deadline(const fh_bfd_params *p, const fh_bfd *s, fh_ns now) {
    if (may_send(p, s)) {
        if (s->last_tx == 0) return now;
        return s->last_tx + jittered(fh_bfd_tx_int(p, s), s->jitter, p->detect_mult);
    }
    /* One that runs can go on only when the neighbour takes packets again (its Required Min RX is 0). */
    if (s->poll) return FH_NEVER;
    /* Nothing periodic, but the clock has to run: for a Poll Sequence that waits for its turn, for a
     * verifying one. */
    if (s->poll_pending) return s->last_tx + fh_bfd_tx_int(p, s);
    if (s->demand_on && p->demand_poll_us != 0) return s->poll_end + p->demand_poll_us * FH_NS_PER_USEC;
    return FH_NEVER;
}

/* Without the credit for sleep. */
static fh_ns detect_deadline(const fh_bfd_params *p, const fh_bfd *s) {
    fh_ns detect = fh_bfd_detect_int(p, s);
    if (s->last_rx == 0) return FH_NEVER;
    if (s->demand_on) return s->poll && s->poll_sent ? s->poll_at + detect : FH_NEVER;
    if (!s->watched) return FH_NEVER;
    if (!s->forgotten) return s->last_rx + detect;
    return s->seq_known ? s->last_rx + 2 * detect : FH_NEVER;
}

static fh_ns slept_since(const fh_bfd_input *in, fh_ns mark) {
    if (FH_BROKEN(FH_BREAK_BFD_SLEEP)) return 0;
    return in->asleep > mark ? in->asleep - mark : 0;
}

static fh_ns with_credit(fh_ns deadline, fh_ns credit) {
    return deadline == FH_NEVER ? FH_NEVER : deadline + credit;
}

/* After every input: demand, Echo, and the three deadlines follow from what is known now. */
static void settle(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, fh_bfd_actions *out) {
    bool both_up = s->state == FH_BFD_UP && s->remote_state == FH_BFD_UP;
    bool demand = p->demand && is_session(p) && both_up;
    if (demand != s->demand_on) {
        s->demand_on = demand;
        s->poll_end = in->now;
        if (s->state == FH_BFD_UP) start_poll(p, s); /* 6.6: a change of D goes with a Poll */
    }
    bool echo = is_session(p) && p->echo_tx_us != 0 && s->state == FH_BFD_UP && s->remote_min_echo_rx_us != 0;
    if (echo != s->echo_on) {
        s->echo_on = echo;
        s->echo_rx = s->echo_tx_at = in->now;
        s->echo_asleep_mark = in->asleep;
        retarget(p, s, s->state == FH_BFD_UP);
    }
    bool watched = !s->demand_on && (!is_session(p) || s->rx_min_us != 0);
    if (watched && !s->watched && s->last_rx != 0) {
        s->last_rx = in->now; /* the neighbour begins to send again only now */
        s->asleep_mark = in->asleep;
    }
    s->watched = watched;

    fh_ns at = tx_deadline(p, s, in->now);
    if (at != s->tx_at) out->bits |= FH_BFD_DO_TX_TIMER;
    s->tx_at = at;
    at = with_credit(detect_deadline(p, s), slept_since(in, s->asleep_mark));
    if (at != s->detect_at) out->bits |= FH_BFD_DO_DETECT_TIMER;
    s->detect_at = at;
    at = FH_NEVER;
    if (s->echo_on) {
        s->echo_expire_at = with_credit(s->echo_rx + p->detect_mult * fh_bfd_echo_int(p, s),
                                        slept_since(in, s->echo_asleep_mark));
        at = s->echo_tx_at < s->echo_expire_at ? s->echo_tx_at : s->echo_expire_at;
    }
    if (at != s->echo_at) out->bits |= FH_BFD_DO_ECHO_TIMER;
    s->echo_at = at;
}

/* ---- states (6.2, 6.8.6) ---- */

static void change_state(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, uint8_t state,
                         uint8_t diag, uint8_t cause, fh_bfd_actions *out) {
    out->bits |= FH_BFD_DO_STATE;
    out->cause = cause;
    out->old_state = s->state;
    bool was_up = s->state == FH_BFD_UP;
    s->state = state;
    s->local_diag = diag;
    s->transitions++;
    if (state == FH_BFD_UP)
        s->up_since = in->now;
    else
        s->up_since = 0;
    if (was_up || state == FH_BFD_ADMIN_DOWN) cancel_poll(s);
    retarget(p, s, state == FH_BFD_UP);
}

/* Step 17; true if the state changed. */
static bool hear_state(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, uint8_t heard,
                       fh_bfd_actions *out) {
    uint8_t next = s->state, diag = s->local_diag, cause = FH_BFD_WHY_HANDSHAKE;
    if (p->kind == FH_BFD_KIND_SBFD) { /* RFC 7880 7.3.1: no three-way handshake */
        next = heard == FH_BFD_UP ? FH_BFD_UP : FH_BFD_DOWN;
        cause = heard == FH_BFD_UP ? FH_BFD_WHY_HANDSHAKE : FH_BFD_WHY_NEIGHBOR_ADMIN;
        diag = heard == FH_BFD_UP ? FH_BFD_DIAG_NONE : FH_BFD_DIAG_NEIGHBOR_DOWN;
    } else if (heard == FH_BFD_ADMIN_DOWN) {
        next = FH_BFD_DOWN;
        diag = FH_BFD_DIAG_NEIGHBOR_DOWN;
        cause = FH_BFD_WHY_NEIGHBOR_ADMIN;
    } else if (s->state == FH_BFD_DOWN) {
        if (heard == FH_BFD_DOWN) next = FH_BFD_INIT;
        if (heard == FH_BFD_INIT) next = FH_BFD_UP;
    } else if (s->state == FH_BFD_INIT) {
        if (heard != FH_BFD_DOWN) next = FH_BFD_UP;
    } else if (heard == FH_BFD_DOWN) {
        next = FH_BFD_DOWN;
        diag = FH_BFD_DIAG_NEIGHBOR_DOWN;
        cause = FH_BFD_WHY_NEIGHBOR_DOWN;
    }
    if (next == s->state) return false;
    change_state(p, s, in, next, next == FH_BFD_UP ? FH_BFD_DIAG_NONE : diag, cause, out);
    return true;
}

static void go_down(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, uint8_t diag, uint8_t cause,
                    fh_bfd_actions *out) {
    if (s->state != FH_BFD_INIT && s->state != FH_BFD_UP) return;
    change_state(p, s, in, FH_BFD_DOWN, diag, cause, out);
    send_now(p, s, in, out);
}

/* ---- packets ---- */

static enum fh_bfd_rx authenticate(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_packet *packet,
                                   const uint8_t *buf) {
    if (p->key_count != 0 && p->auth_optional && !(packet->flags & FH_BFD_AUTH)) return FH_BFD_RX_OK;
    fh_bfd_auth auth = {
        .keys = p->keys, .key_count = p->key_count, .seq_known = s->seq_known, .rcv_seq = s->rcv_seq};
    enum fh_bfd_rx r = fh_bfd_auth_check(&auth, packet, buf, p->detect_mult);
    s->seq_known = auth.seq_known; /* unchanged unless all of it was right */
    s->rcv_seq = auth.rcv_seq;
    return r;
}

static enum fh_bfd_rx check_kind(const fh_bfd_params *p, const fh_bfd *s, const fh_bfd_packet *packet) {
    if (p->kind == FH_BFD_KIND_SBFD) {
        if (packet->flags & FH_BFD_DEMAND) return FH_BFD_RX_SBFD_DEMAND;
        if (packet->my_discr != p->remote_discr) return FH_BFD_RX_NO_SESSION;
        if (packet->state != FH_BFD_UP && packet->state != FH_BFD_ADMIN_DOWN) return FH_BFD_RX_SBFD_STATE;
    } else if (p->kind == FH_BFD_KIND_LOOPED) {
        bool ours = packet->my_discr == s->local_discr && packet->state != FH_BFD_ADMIN_DOWN &&
                    (packet->your_discr == 0 || packet->your_discr == s->local_discr);
        if (!ours) return FH_BFD_RX_LOOPED;
    }
    return FH_BFD_RX_OK;
}

/* Step 13. What an S-BFD reflector or our own looped packet says about intervals is ours or means nothing. */
static void remember(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_packet *packet, fh_bfd_actions *out) {
    if (s->remote_diag != packet->diag) out->bits |= FH_BFD_DO_DIAG;
    s->remote_state = packet->state;
    s->remote_diag = packet->diag;
    bool changed = s->remote_discr != packet->my_discr;
    s->remote_discr = packet->my_discr;
    if (p->kind != FH_BFD_KIND_LOOPED) {
        changed = changed || s->remote_min_rx_us != packet->min_rx_us;
        s->remote_min_rx_us = packet->min_rx_us;
    }
    if (is_session(p)) {
        changed = changed || s->remote_min_tx_us != packet->min_tx_us ||
                  s->remote_mult != packet->detect_mult || s->remote_min_echo_rx_us != packet->min_echo_rx_us;
        s->remote_min_tx_us = packet->min_tx_us;
        s->remote_min_echo_rx_us = packet->min_echo_rx_us;
        s->remote_demand = (packet->flags & FH_BFD_DEMAND) != 0;
        s->remote_mult = packet->detect_mult;
    }
    if (changed) out->bits |= FH_BFD_DO_REMOTE;
}

static void end_poll(fh_bfd *s, fh_ns now, fh_bfd_actions *out) {
    s->poll = s->poll_sent = false;
    s->poll_end = now;
    if (s->poll_pending) return; /* the values of now are not yet confirmed */
    s->tx_min_us = s->desired_min_tx_us;
    s->rx_min_us = s->required_min_rx_us;
    out->bits |= FH_BFD_DO_POLL_END;
}

enum fh_bfd_rx fh_bfd_receive(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in,
                              const fh_bfd_packet *packet, const uint8_t *buf, fh_bfd_actions *out) {
    memset(out, 0, sizeof *out);
    enum fh_bfd_rx r = check_kind(p, s, packet);
    if (r == FH_BFD_RX_OK) r = authenticate(p, s, packet, buf);
    if (r != FH_BFD_RX_OK) return r;
    /* Our own packets of a moment ago, still on their way when we came Up: no sign of anything. */
    if (p->kind == FH_BFD_KIND_LOOPED && s->state == FH_BFD_UP && packet->state != FH_BFD_UP)
        return FH_BFD_RX_OK;

    remember(p, s, packet, out);
    if ((packet->flags & FH_BFD_FINAL) && s->poll && s->poll_sent) end_poll(s, in->now, out);
    fh_ns rx_time = in->rx_time < in->now ? in->rx_time : in->now, age = in->now - rx_time;
    if (rx_time > s->last_rx) {
        s->last_rx = rx_time;
        /* Of a sleep that has just ended, what came after the packet still counts as sleep. */
        s->asleep_mark = in->asleep - (in->stall < age ? in->stall : age);
    }
    s->forgotten = false;
    bool admin_down = s->state == FH_BFD_ADMIN_DOWN;
    bool changed = !admin_down && hear_state(p, s, in, packet->state, out);
    settle(p, s, in, out); /* steps 14, 16, 18 and 20; before sending, so that D and P are right */
    if ((packet->flags & FH_BFD_POLL) && is_session(p) && !FH_BROKEN(FH_BREAK_BFD_POLL))
        out->bits |= FH_BFD_DO_FINAL; /* 6.8.7: whatever the state; it tells the change of state as well */
    else if (changed && s->extra < EXTRA_MOST) {
        s->extra++;
        send_now(p, s, in, out);
        settle(p, s, in, out);
    }
    return admin_down ? FH_BFD_RX_ADMIN_DOWN : FH_BFD_RX_OK;
}

/* ---- the other inputs ---- */

static void on_detect(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, fh_bfd_actions *out) {
    fh_ns deadline = detect_deadline(p, s);
    if (in->now < deadline || FH_BROKEN(FH_BREAK_BFD_DETECT)) return; /* heard meanwhile */
    if (in->now < with_credit(deadline, slept_since(in, s->asleep_mark))) {
        out->bits |=
            FH_BFD_DO_STALLED; /* we slept for part of that silence: give the neighbour the rest of it */
        return;
    }
    if (s->demand_on) {
        go_down(p, s, in, FH_BFD_DIAG_EXPIRED, FH_BFD_WHY_EXPIRED, out);
        return;
    }
    if (s->forgotten) {
        s->seq_known = false; /* 6.8.1: after twice the detection time */
        return;
    }
    s->forgotten = true;
    if (p->kind != FH_BFD_KIND_SBFD) {
        s->remote_discr = 0;
        out->bits |= FH_BFD_DO_FORGET;
    }
    s->remote_min_rx_us = 1; /* 6.8.18 */
    s->remote_demand = false;
    bool looped = p->kind == FH_BFD_KIND_LOOPED;
    go_down(p, s, in, looped ? FH_BFD_DIAG_ECHO_FAILED : FH_BFD_DIAG_EXPIRED,
            looped ? FH_BFD_WHY_ECHO : FH_BFD_WHY_EXPIRED, out);
}

static void on_tx(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, fh_bfd_actions *out) {
    if (in->now < s->tx_at) return;
    if (s->demand_on && p->demand_poll_us != 0 && !s->poll &&
        in->now - s->poll_end >= p->demand_poll_us * FH_NS_PER_USEC)
        start_poll(p, s);
    if (s->poll_pending && !s->poll && !may_send(p, s)) {
        s->poll_pending = false; /* an interval has passed instead of a packet without P */
        start_poll(p, s);
    }
    s->extra = 0;
    if (may_send(p, s)) send_now(p, s, in, out);
}

static void on_echo(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, fh_bfd_actions *out) {
    if (!s->echo_on) return;
    fh_ns interval = fh_bfd_echo_int(p, s);
    fh_ns expire = s->echo_rx + p->detect_mult * interval;
    if (in->now >= expire + slept_since(in, s->echo_asleep_mark)) {
        go_down(p, s, in, FH_BFD_DIAG_ECHO_FAILED, FH_BFD_WHY_ECHO, out);
        return;
    }
    if (in->now >= expire) out->bits |= FH_BFD_DO_STALLED;
    if (in->now >= s->echo_tx_at) {
        out->bits |= FH_BFD_DO_ECHO;
        s->echo_jitter = (uint16_t)in->random;
        s->echo_tx_at = in->now + jittered(interval, s->echo_jitter, 2);
    }
}

static void on_admin_down(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, fh_bfd_actions *out) {
    if (s->state == FH_BFD_ADMIN_DOWN) {
        if (s->local_diag != in->arg) out->bits |= FH_BFD_DO_DIAG;
        s->local_diag = in->arg;
        return;
    }
    change_state(p, s, in, FH_BFD_ADMIN_DOWN, in->arg, FH_BFD_WHY_ADMIN, out);
    s->admin_until = in->now + p->detect_mult * fh_bfd_tx_int(p, s);
    if (is_session(p)) send_now(p, s, in, out); /* the other kinds fall silent */
}

static void on_reconfigure(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, fh_bfd_actions *out) {
    bool changed = retarget(p, s, true);
    if (s->min_echo_rx_us != p->min_echo_rx_us) {
        s->min_echo_rx_us = p->min_echo_rx_us;
        changed = true;
    }
    if (s->detect_mult != p->detect_mult) {
        s->detect_mult = p->detect_mult;
        changed = true;
        if (s->demand_on || demand_asked_of_us(s))
            start_poll(p, s); /* 6.8.12: without demand, none is needed */
    }
    settle(p, s, in, out); /* demand may have been switched on or off, which is a change of contents */
    if (s->state != FH_BFD_ADMIN_DOWN && (changed || (s->poll && !s->poll_sent)) && may_send(p, s))
        send_now(p, s, in, out);
}

static void on_concat(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in, fh_bfd_actions *out) {
    if (s->state == FH_BFD_ADMIN_DOWN || s->local_diag == in->arg) return;
    bool ours = s->local_diag == FH_BFD_DIAG_CONCAT_DOWN || s->local_diag == FH_BFD_DIAG_REVERSE_CONCAT_DOWN;
    if (in->arg == 0 && !ours) return; /* nothing of this kind to take back */
    s->local_diag = in->arg;
    out->bits |= FH_BFD_DO_DIAG;
    if (demand_asked_of_us(s)) start_poll(p, s); /* 6.8.17 */
    send_now(p, s, in, out);
}

fh_bfd_actions fh_bfd_step(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in) {
    fh_bfd_actions out = {0};
    switch (in->event) {
    case FH_BFD_EV_TX:
        out.bits |= FH_BFD_DO_TX_TIMER; /* it has fired, so it has to be set again in any case */
        on_tx(p, s, in, &out);
        break;
    case FH_BFD_EV_DETECT:
        out.bits |= FH_BFD_DO_DETECT_TIMER;
        on_detect(p, s, in, &out);
        break;
    case FH_BFD_EV_ECHO:
        out.bits |= FH_BFD_DO_ECHO_TIMER;
        on_echo(p, s, in, &out);
        break;
    case FH_BFD_EV_ECHO_BACK:
        if (s->echo_on && in->rx_time > s->echo_rx) {
            s->echo_rx = in->rx_time < in->now ? in->rx_time : in->now;
            s->echo_asleep_mark = in->asleep;
        }
        break;
    case FH_BFD_EV_ADMIN_DOWN:
        on_admin_down(p, s, in, &out);
        break;
    case FH_BFD_EV_ADMIN_UP:
        if (s->state != FH_BFD_ADMIN_DOWN) break;
        change_state(p, s, in, FH_BFD_DOWN, FH_BFD_DIAG_NONE, FH_BFD_WHY_ADMIN, &out);
        send_now(p, s, in, &out);
        break;
    case FH_BFD_EV_RECONFIGURE:
        on_reconfigure(p, s, in, &out);
        break;
    case FH_BFD_EV_FORWARDING_RESET:
        go_down(p, s, in, FH_BFD_DIAG_FORWARDING_RESET, FH_BFD_WHY_FORWARDING, &out);
        break;
    case FH_BFD_EV_PATH_DOWN:
        go_down(p, s, in, FH_BFD_DIAG_PATH_DOWN, FH_BFD_WHY_PATH, &out);
        break;
    case FH_BFD_EV_CONCAT:
        on_concat(p, s, in, &out);
        break;
    case FH_BFD_EV_BACKOFF:
        s->backoff = in->arg > 6 ? 6 : in->arg;
        if (retarget(p, s, true) && may_send(p, s)) send_now(p, s, in, &out);
        break;
    case FH_BFD_EV_POLL:
        if (s->state == FH_BFD_UP && !s->poll) start_poll(p, s);
        break;
    default:
        break;
    }
    settle(p, s, in, &out);
    return out;
}

void fh_bfd_init(const fh_bfd_params *p, fh_bfd *s, uint32_t discr, uint32_t seq, uint64_t token, fh_ns now) {
    memset(s, 0, sizeof *s);
    s->state = s->remote_state = FH_BFD_DOWN;
    s->local_discr = discr;
    s->remote_discr = p->kind == FH_BFD_KIND_SBFD ? p->remote_discr : 0;
    s->remote_min_rx_us = 1;
    s->xmit_seq = seq;
    s->echo_token = token;
    s->detect_mult = p->detect_mult;
    s->min_echo_rx_us = p->min_echo_rx_us;
    s->jitter = (uint16_t)seq;
    s->watched = true;
    s->detect_at = s->echo_at = FH_NEVER;
    retarget(p, s, false);
    s->tx_at = tx_deadline(p, s, now);
}

bool fh_bfd_may_delete(const fh_bfd_params *p, const fh_bfd *s, fh_ns now) {
    if (!is_session(p) || s->remote_discr == 0) return true; /* nobody who would miss us */
    return s->state == FH_BFD_ADMIN_DOWN && now >= s->admin_until;
}
