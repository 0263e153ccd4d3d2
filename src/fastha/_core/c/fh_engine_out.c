/* What leaves: adverts, then plans (netlink), then announcements; a portion of each a turn. */
#include "fh_engine_int.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <time.h>

/* The kernel makes a new IPv6 address work from a work queue, up to a millisecond after it has taken it; who
 * is moved here before that meets nobody. */
#define IPV6_SETTLE (2 * FH_NS_PER_MSEC)
/* What setting a few addresses takes; with less room than that the advert goes first. */
#define PLAN_TIME (150 * FH_NS_PER_USEC)
#define HELD_MOST                                                                                            \
    4 /* adverts that wait at a time: where hundreds move, the first must not wait for the last */
#define TELL_INT (10 * FH_NS_PER_SEC) /* the same trouble of the same instance is told this often at most */

static void push(fh_queue *q, fh_ei *ei, fh_ei **link) {
    /* The link member differs by queue; it is at the same offset in every instance. */
    ptrdiff_t offset = (char *)link - (char *)ei;

    *link = NULL;
    if (q->last != NULL)
        *(fh_ei **)(void *)((char *)q->last + offset) = ei;
    else
        q->first = ei;
    q->last = ei;
}

static void pull(fh_queue *q, fh_ei *next) {
    q->first = next;
    if (next == NULL) q->last = NULL;
}

static void take_out(fh_queue *q, const fh_ei *ei, size_t offset) {
    fh_ei **at = &q->first;
    fh_ei *before = NULL;

    while (*at != NULL && *at != ei) {
        before = *at;
        at = (fh_ei **)(void *)((char *)*at + offset);
    }
    if (*at == NULL) return;
    *at = *(fh_ei *const *)(const void *)((const char *)ei + offset);
    if (q->last == ei) q->last = before;
}

/* Its advert waits no longer: the caller sends it, or it is not to be sent any more. */
static bool let_go(fh_engine *e, fh_ei *ei) {
    ei->held_next = false;
    if (!ei->held_queued) return false;
    take_out(&e->held, ei, offsetof(fh_ei, next_out));
    e->held_count--;
    ei->held_queued = false;
    return true;
}

void fh_engine_forget(fh_engine *e, fh_ei *ei) {
    take_out(&e->out, ei, offsetof(fh_ei, next_out));
    let_go(e, ei);
    take_out(&e->plan, ei, offsetof(fh_ei, next_plan));
    take_out(&e->say_first, ei, offsetof(fh_ei, next_said));
    take_out(&e->say, ei, offsetof(fh_ei, next_said));
    ei->out_queued = ei->plan_queued = ei->say_queued = false;
    ei->plan_wanted = FH_PLAN_NONE;
    ei->say_left = 0;
}

static void send_trouble(fh_engine *e, fh_ei *ei, int error, uint32_t what) {
    fh_ns now = fh_now();

    fh_count(&ei->stat[FH_STAT_SEND_ERRORS], 1);
    if (ei->trouble_told[0] != 0 && now - ei->trouble_told[0] < TELL_INT) return;
    ei->trouble_told[0] = now;
    fh_event event = {
        .at = now, .type = FH_EVENT_SEND_ERROR, .inst = ei->node.slot, .arg = {(uint32_t)error, what}};
    fh_engine_tell(e, &event);
}

static void timeline(fh_engine *e, fh_ei *ei) {
    ei->timeline_open = false;
    fh_event event = {
        .at = fh_now(),
        .type = FH_EVENT_TIMELINE,
        .inst = ei->node.slot,
        .v = {ei->node.decided, ei->advert_out, ei->plan_done, ei->first_said, fh_now(), ei->node.deadline}};
    fh_engine_tell(e, &event);
}

/* ------------------------------------------------------------------ batches */

enum { SENT_ADVERT, SENT_ANNOUNCEMENT };

static void batch_send(fh_engine *e, fh_tx_batch *b, uint32_t what) {
    unsigned done = 0;
    int patience = 3; /* a full queue empties within microseconds, or the link is stuck */

    while (done < b->count) {
        int sent = sendmmsg(b->fd, b->msg + done, b->count - done, MSG_DONTWAIT);
        if (sent > 0) {
            for (int i = 0; i < sent; i++)
                b->owner[done + (unsigned)i]->sent_ok = true;
            done += (unsigned)sent;
            fh_count(&e->stat[FH_ENGINE_PACKETS_TX], (uint64_t)sent);
        } else if (errno == EINTR || ((errno == EAGAIN || errno == ENOBUFS) && patience-- > 0)) {
            continue;
        } else {
            send_trouble(e, b->owner[done], errno, what);
            done++;
        }
    }
    fh_ns now = fh_now();
    for (unsigned i = 0; i < b->count; i++) {
        fh_ei *ei = b->owner[i];
        if (!ei->sent_ok) continue;
        ei->sent_ok = false;
        if (what == SENT_ADVERT) {
            fh_count(&ei->stat[ei->out_priority == 0 ? FH_STAT_ZERO_TX : FH_STAT_ADVERT_TX], 1);
            if (ei->timeline_open && ei->advert_out == 0) ei->advert_out = now;
        } else if (ei->first_said == 0) {
            ei->first_said = now;
        }
    }
    b->count = 0;
}

static unsigned batch_slot(fh_engine *e, fh_tx_batch *b, fh_ei *ei, const void *data, size_t length,
                           uint32_t what) {
    if (b->count == FH_TX_BATCH) batch_send(e, b, what);
    unsigned i = b->count++;
    b->owner[i] = ei;
    b->iov[i] = (struct iovec){(void *)(uintptr_t)data, length};
    memset(&b->msg[i].msg_hdr, 0, sizeof(b->msg[i].msg_hdr));
    b->msg[i].msg_hdr.msg_iov = &b->iov[i];
    b->msg[i].msg_hdr.msg_iovlen = 1;
    b->msg[i].msg_hdr.msg_name = &b->to[i];
    return i;
}

static void batch_frame(fh_engine *e, fh_ei *ei, const void *frame, size_t length, uint32_t ifindex,
                        uint32_t what) {
    fh_tx_batch *b = &e->tx_frames;
    unsigned i = batch_slot(e, b, ei, frame, length, what);
    struct sockaddr_ll *to = (struct sockaddr_ll *)(void *)&b->to[i];
    const uint8_t *octets = frame;

    memset(to, 0, sizeof(*to));
    to->sll_family = AF_PACKET;
    to->sll_ifindex = (int)ifindex;
    memcpy(&to->sll_protocol, octets + 12, 2); /* the frame's own, already in network order */
    b->msg[i].msg_hdr.msg_namelen = sizeof(*to);
}

static void batch_routed(fh_engine *e, fh_ei *ei, const void *packet, size_t length, const fh_shot *shot) {
    bool v4 = ei->conf->family == FH_AF_INET;
    fh_tx_batch *b = v4 ? &e->tx_raw4 : &e->tx_raw6;
    unsigned i = batch_slot(e, b, ei, packet, length, SENT_ADVERT);
    struct msghdr *msg = &b->msg[i].msg_hdr;

    if (v4) {
        struct sockaddr_in *to = (struct sockaddr_in *)(void *)&b->to[i];
        memset(to, 0, sizeof(*to));
        to->sin_family = AF_INET;
        memcpy(&to->sin_addr, shot->dst.b, 4);
        msg->msg_namelen = sizeof(*to);
    } else {
        struct sockaddr_in6 *to = (struct sockaddr_in6 *)(void *)&b->to[i];
        memset(to, 0, sizeof(*to));
        to->sin6_family = AF_INET6;
        memcpy(&to->sin6_addr, shot->dst.b, 16);
        if (fh_is_linklocal6(&shot->dst)) to->sin6_scope_id = shot->ifindex;
        msg->msg_namelen = sizeof(*to);
    }
    if (shot->ifindex == 0) return;
    msg->msg_control = b->control[i];
    struct cmsghdr *c = (struct cmsghdr *)(void *)b->control[i];
    if (v4) {
        struct in_pktinfo info = {.ipi_ifindex = (int)shot->ifindex};
        *c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        msg->msg_controllen = CMSG_SPACE(sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = shot->ifindex};
        memcpy(&info.ipi6_addr, ei->conf->source.b, 16);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        msg->msg_controllen = CMSG_SPACE(sizeof(info));
    }
}

/* ------------------------------------------------------------------ adverts */

static void play_adverts(fh_engine *e) {
    fh_ei *ei;

    while ((ei = e->out.first) != NULL) {
        pull(&e->out, ei->next_out);
        ei->out_queued = false;
        for (unsigned i = 0; i < ei->conf->shots; i++) {
            fh_shot *shot = &ei->conf->shot[i];
            size_t length = 0;
            fh_vrrp_template_set_priority(&shot->packet, ei->out_priority);
            if (fh_vrrp_template_needs_sign(&shot->packet)) {
                fh_ns clock = fh_now();
                if (!ei->conf->rx.hmac_monotonic) clock += e->clock_offset;
                fh_vrrp_template_sign(&shot->packet, &ei->rx.sign, clock);
            }
            if (shot->routed) {
                const uint8_t *packet = fh_vrrp_template_packet(&shot->packet, &length);
                batch_routed(e, ei, packet, length, shot);
            } else {
                const uint8_t *frame = fh_vrrp_template_frame(&shot->packet, &length);
                batch_frame(e, ei, frame, length, shot->ifindex, SENT_ADVERT);
            }
        }
    }
    if (e->tx_frames.count != 0) batch_send(e, &e->tx_frames, SENT_ADVERT);
    if (e->tx_raw4.count != 0) batch_send(e, &e->tx_raw4, SENT_ADVERT);
    if (e->tx_raw6.count != 0) batch_send(e, &e->tx_raw6, SENT_ADVERT);
}

static void queue_advert(fh_engine *e, fh_ei *ei) {
    ei->out_queued = true;
    push(&e->out, ei, &ei->next_out);
}

static void io_addresses_first(void *io, fh_inst *inst, fh_ns room) {
    fh_engine *e = io;
    fh_ei *ei = fh_ei_of(inst);

    if (room < PLAN_TIME || e->held_count >= HELD_MOST || ei->out_queued ||
        ei->conf->add_to == ei->conf->add_from || ei->conf->announcements == 0)
        return;
    ei->held_next = true;
    ei->held_settle = room >= PLAN_TIME + IPV6_SETTLE;
}

/* Adverts whose addresses are there now; true if there are any. */
static bool release_held(fh_engine *e) {
    fh_ns now = fh_now();
    bool any = false;
    fh_ei *next;

    for (fh_ei *ei = e->held.first; ei != NULL; ei = next) {
        next = ei->next_out;
        if (ei->plan_queued || (ei->held_settle && ei->hold_until > now)) continue;
        let_go(e, ei);
        queue_advert(e, ei);
        any = true;
    }
    return any;
}

/* When the next of them waits for nothing but the time; FH_NEVER if none does. */
static fh_ns next_held(const fh_engine *e) {
    fh_ns next = FH_NEVER;

    for (const fh_ei *ei = e->held.first; ei != NULL; ei = ei->next_out)
        if (!ei->plan_queued && ei->hold_until < next) next = ei->hold_until;
    return next;
}

void fh_engine_send_held(fh_engine *e, fh_ei *ei) {
    if (let_go(e, ei)) queue_advert(e, ei);
}

static void io_advert(void *io, fh_inst *inst, uint8_t priority) {
    fh_engine *e = io;
    fh_ei *ei = fh_ei_of(inst);

    if (ei->held_next) {
        ei->held_next = false;
        ei->held_queued = true;
        ei->out_priority = priority;
        e->held_count++;
        push(&e->held, ei, &ei->next_out);
        fh_engine_show_timers(ei);
        return;
    }
    let_go(e, ei); /* what is said now says more */
    if (ei->out_queued) {
        if (ei->out_priority == priority) return;
        play_adverts(e); /* goodbye and a new priority are two packets, in this order */
    }
    ei->out_priority = priority;
    queue_advert(e, ei);
    fh_engine_show_timers(ei);
    if (inst->fsm.state == FH_VRRP_MASTER && inst->deadline != 0 && e->node.woke > inst->deadline &&
        inst->deadline + inst->conf->fsm.adver_int == inst->fsm.timer)
        fh_count_max(&ei->stat[FH_STAT_LATE_US_MAX], (uint64_t)(e->node.woke - inst->deadline) / 1000);
}

/* ------------------------------------------------------------------ plans */

void fh_engine_queue_plan(fh_engine *e, fh_ei *ei, uint8_t wanted) {
    if (wanted == FH_PLAN_RENEW && ei->plan_queued) return; /* whatever is queued says more */
    ei->plan_wanted = wanted;
    if (ei->plan_queued) return;
    ei->plan_queued = true;
    push(&e->plan, ei, &ei->next_plan);
}

/* Errors of plans. Which message it was is in its sequence number: slot, item, add or remove. */
static void answer(fh_engine *e, const struct nlmsghdr *h) {
    struct nlmsgerr report;

    if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(sizeof(report))) return;
    memcpy(&report, NLMSG_DATA(h), sizeof(report));
    uint32_t seq = report.msg.nlmsg_seq;
    uint32_t slot = seq >> 17;
    uint32_t item = (seq >> 1) & 0xffff;
    bool adding = (seq & 1) != 0;
    int error = -report.error;

    if (error == 0 || slot >= e->node.inst_slots || e->node.insts[slot] == NULL) return;
    if (adding && error == EEXIST) return; /* it is there, which is what was wanted */
    if (!adding && (error == EADDRNOTAVAIL || error == ESRCH || error == ENOENT || error == ENODEV))
        return; /* it was gone already */
    fh_ei *ei = fh_ei_of(e->node.insts[slot]);
    fh_ns now = fh_now();
    fh_count(&ei->stat[FH_STAT_NETLINK_ERRORS], 1);
    if (ei->trouble_told[1] != 0 && now - ei->trouble_told[1] < TELL_INT && ei->trouble_count++ >= 16) return;
    if (ei->trouble_told[1] == 0 || now - ei->trouble_told[1] >= TELL_INT) {
        ei->trouble_told[1] = now;
        ei->trouble_count = 0;
    }
    fh_event event = {
        .at = now, .type = FH_EVENT_NETLINK_ERROR, .inst = slot, .arg = {(uint32_t)error, item, adding}};
    fh_engine_tell(e, &event);
}

void fh_engine_read_answers(fh_engine *e) {
    for (;;) {
        ssize_t got = recv(e->plan_fd, e->netlink_in, sizeof(e->netlink_in), MSG_DONTWAIT);
        if (got <= 0) {
            if (got < 0 && errno == ENOBUFS)
                continue; /* answers were lost; what they said shows in the kernel's state */
            return;
        }
        size_t left = (size_t)got;
        for (uint8_t *at = e->netlink_in; left >= sizeof(struct nlmsghdr);) {
            struct nlmsghdr h;
            memcpy(&h, at, sizeof(h));
            if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > left) break;
            answer(e, (const struct nlmsghdr *)(const void *)at);
            size_t step = NLMSG_ALIGN(h.nlmsg_len);
            if (step >= left) break;
            at += step;
            left -= step;
        }
    }
}

static void netlink_send(fh_engine *e, struct iovec *iov, size_t count) {
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct msghdr msg = {
        .msg_name = &kernel, .msg_namelen = sizeof(kernel), .msg_iov = iov, .msg_iovlen = count};

    while (sendmsg(e->plan_fd, &msg, 0) < 0) {
        if (errno == EINTR) continue;
        fh_event event = {
            .at = fh_now(), .type = FH_EVENT_SEND_ERROR, .inst = UINT32_MAX, .arg = {(uint32_t)errno, 2}};
        fh_engine_tell(e, &event);
        break;
    }
    fh_count(&e->stat[FH_ENGINE_NETLINK_TX], 1);
}

/* A range of complete messages, in pieces that the socket takes. */
void fh_engine_send_netlink(fh_engine *e, const uint8_t *data, size_t length) {
    while (length >= sizeof(struct nlmsghdr)) {
        size_t piece = 0;
        while (length - piece >= sizeof(struct nlmsghdr)) {
            struct nlmsghdr h;
            memcpy(&h, data + piece, sizeof(h));
            size_t step = NLMSG_ALIGN(h.nlmsg_len);
            if (h.nlmsg_len < sizeof(h) || step > length - piece ||
                (piece != 0 && piece + step > FH_PLAN_OCTETS))
                break;
            piece += step;
        }
        if (piece == 0) break;
        struct iovec iov = {(void *)(uintptr_t)data, piece};
        netlink_send(e, &iov, 1);
        data += piece;
        length -= piece;
    }
    fh_engine_read_answers(e);
}

static void plan_range(const fh_ei *ei, uint32_t *from, uint32_t *to) {
    const fh_ei_conf *c = ei->conf;

    switch (ei->plan_wanted) {
    case FH_PLAN_ACQUIRE:
        *from = c->add_from;
        *to = c->add_to;
        break;
    case FH_PLAN_RELEASE:
        *from = c->remove_from;
        *to = c->remove_to;
        break;
    case FH_PLAN_HUSH:
        *from = c->hush_from;
        *to = c->hush_to;
        break;
    case FH_PLAN_RENEW:
        *from = c->renew_from;
        *to = c->renew_to;
        break;
    default:
        *from = *to = 0;
    }
}

/* One portion: the plans of some instances in one system call. */
static void play_plans(fh_engine *e) {
    struct iovec iov[FH_PLAN_BATCH];
    unsigned owners = 0;
    size_t count = 0;
    size_t octets = 0;
    fh_ei *ei;

    unsigned most = e->bfd_fast ? FH_PLAN_BATCH_FAST : FH_PLAN_BATCH;
    while ((ei = e->plan.first) != NULL && owners < most) {
        uint32_t from, to;
        plan_range(ei, &from, &to);
        size_t length = to - from;
        if (octets != 0 && octets + length > FH_PLAN_OCTETS) break;
        pull(&e->plan, ei->next_plan);
        ei->plan_queued = false;
        e->plan_owner[owners++] = ei;
        if (length > FH_PLAN_OCTETS) {
            fh_engine_send_netlink(e, ei->conf->plan + from, length);
            break;
        }
        octets += length;
        if (length != 0) iov[count++] = (struct iovec){(void *)(uintptr_t)(ei->conf->plan + from), length};
    }
    if (count != 0) netlink_send(e, iov, count);
    fh_ns now = fh_now();
    for (unsigned i = 0; i < owners; i++) {
        ei = e->plan_owner[i];
        if (ei->plan_wanted == FH_PLAN_ACQUIRE && ei->plan_done == 0) {
            ei->plan_done = now;
            if (ei->conf->has_ipv6) ei->hold_until = now + IPV6_SETTLE;
            if (ei->conf->announcements == 0 && ei->timeline_open) timeline(e, ei);
        }
        ei->plan_wanted = FH_PLAN_NONE;
    }
    fh_engine_read_answers(e);
}

static void io_acquire(void *io, fh_inst *inst) {
    fh_engine *e = io;
    fh_ei *ei = fh_ei_of(inst);

    fh_count(&ei->stat[FH_STAT_BECOME_MASTER], 1);
    ei->advert_out = ei->plan_done = ei->first_said = 0;
    ei->timeline_open = true;
    fh_engine_queue_plan(e, ei, FH_PLAN_ACQUIRE);
}

static void io_release(void *io, fh_inst *inst) {
    fh_engine *e = io;
    fh_ei *ei = fh_ei_of(inst);

    fh_count(&ei->stat[FH_STAT_RELEASE_MASTER], 1);
    ei->timeline_open = false;
    let_go(e, ei);
    fh_engine_queue_plan(e, ei, FH_PLAN_RELEASE);
}

static void io_hush(void *io, fh_inst *inst) {
    fh_ei *ei = fh_ei_of(inst);

    if (ei->conf->hush_to > ei->conf->hush_from) fh_engine_queue_plan(io, ei, FH_PLAN_HUSH);
}

static void io_renew(void *io, fh_inst *inst) {
    fh_engine_queue_plan(io, fh_ei_of(inst), FH_PLAN_RENEW);
}

/* ------------------------------------------------------------------ announcements */

static void io_announce(void *io, fh_inst *inst, unsigned repeat) {
    fh_engine *e = io;
    fh_ei *ei = fh_ei_of(inst);

    if (repeat == 0 || ei->conf->announcements == 0) return;
    if (repeat > UINT8_MAX) repeat = UINT8_MAX;
    if (ei->say_left < repeat) ei->say_left = (uint8_t)repeat;
    if (ei->say_queued) return;
    ei->say_queued = true;
    ei->say_place = 0;
    e->next_say = 0;
    push(&e->say_first, ei, &ei->next_said);
}

static void io_silence(void *io, fh_inst *inst) {
    (void)io;
    fh_ei_of(inst)->say_left = 0; /* the queue drops it when its turn comes */
}

/* When the pacing of an announcement's group lets it go; books the slot if that is now. */
static fh_ns paced(fh_engine *e, const fh_announcement *a, fh_ns now) {
    if (a->pace >= e->conf.max_paces) return 0;
    fh_pace *p = &e->paces[a->pace];
    fh_ns *next = a->family == FH_AF_INET ? &p->arp_next : &p->na_next;
    fh_ns gap = a->family == FH_AF_INET ? p->arp_gap : p->na_gap;
    if (gap == 0) return 0;
    if (*next > now) return *next;
    *next = now + gap;
    return 0;
}

/* One portion. An instance's first round stands before every second round, so that the first announcement of
 * every address leaves before the second of any. */
static void play_announcements(fh_engine *e) {
    fh_ns now = fh_now();
    fh_ei *held = NULL;       /* first one that pacing held back: seeing it again ends the portion */
    fh_ei *told[FH_TX_BATCH]; /* whose first round ends with this portion */
    unsigned tell = 0;

    e->next_say = FH_NEVER;
    for (;;) {
        fh_queue *q = e->say_first.first != NULL ? &e->say_first : &e->say;
        fh_ei *ei = q->first;
        if (ei == NULL || ei == held || (q == &e->say_first && ei->plan_queued)) break;
        bool first_round = q == &e->say_first;
        fh_ns wait = ei->hold_until > now ? ei->hold_until : 0;
        if (wait == 0 && ei->held_queued) wait = now + 1; /* its advert goes first, in the next turn */
        if (ei->say_left != 0 && wait == 0) {
            while (ei->say_place < ei->conf->announcements && e->tx_frames.count < FH_TX_BATCH) {
                const fh_announcement *a = &ei->conf->announcement[ei->say_place];
                wait = paced(e, a, now);
                if (wait != 0) break;
                batch_frame(e, ei, ei->conf->frames + a->offset, a->length, a->ifindex, SENT_ANNOUNCEMENT);
                fh_count(&ei->stat[FH_STAT_ANNOUNCE_TX], 1);
                ei->say_place++;
            }
        }
        if (wait == 0 && ei->say_left != 0 && ei->say_place < ei->conf->announcements)
            break; /* the portion is full */
        pull(q, ei->next_said);
        if (wait != 0) {
            e->next_say = wait < e->next_say ? wait : e->next_say;
            push(first_round ? &e->say_first : &e->say, ei, &ei->next_said);
            if (held == NULL) held = ei;
            continue;
        }
        if (ei->say_left != 0 && --ei->say_left != 0) {
            ei->say_place = 0;
            push(&e->say, ei, &ei->next_said);
        } else {
            ei->say_queued = false;
        }
        if (first_round && ei->timeline_open) told[tell++] = ei;
        if (e->tx_frames.count == FH_TX_BATCH || tell == FH_TX_BATCH) break;
    }
    if (e->next_say == FH_NEVER) e->next_say = 0;
    if (e->tx_frames.count != 0) batch_send(e, &e->tx_frames, SENT_ANNOUNCEMENT);
    for (unsigned i = 0; i < tell; i++)
        timeline(e, told[i]);
}

bool fh_engine_play(fh_engine *e) {
    if (e->out.first != NULL) play_adverts(e);
    if (e->plan.first != NULL) play_plans(e);
    if (e->held.first != NULL && release_held(e)) play_adverts(e);
    if ((e->say_first.first != NULL || e->say.first != NULL) && e->next_say <= fh_now())
        play_announcements(e);
    return e->plan.first != NULL || fh_engine_next_say(e) == 0;
}

fh_ns fh_engine_next_say(const fh_engine *e) {
    fh_ns held = e->held.first != NULL ? next_held(e) : FH_NEVER;
    fh_ns say = e->say_first.first != NULL || e->say.first != NULL ? e->next_say : FH_NEVER;

    return held < say ? held : say;
}

static void io_stopped(void *io, fh_inst *inst) {
    fh_ei_of(inst)->stopped_due = true;
    ((fh_engine *)io)->stopped_due = true; /* told when its plan has been played */
}

static void io_event(void *io, const fh_event *event) {
    fh_engine *e = io;

    if (event->inst < e->node.inst_slots && e->node.insts[event->inst] != NULL &&
        event->type != FH_EVENT_LINK) {
        fh_ei *ei = fh_ei_of(e->node.insts[event->inst]);
        switch (event->type) {
        case FH_EVENT_STALLED:
            fh_count(&ei->stat[FH_STAT_STALLS], 1);
            break;
        case FH_EVENT_OVERLAP_END:
            fh_count(&ei->stat[FH_STAT_OVERLAPS], 1);
            fh_count(&ei->stat[FH_STAT_OVERLAP_US], (uint64_t)event->v[0] / 1000);
            break;
        case FH_EVENT_REPAIRED:
            fh_count(&ei->stat[FH_STAT_REPAIRS], 1);
            break;
        default:
            break;
        }
        fh_ei_show(ei, event->at);
        if (event->type == FH_EVENT_LOWER_PRIO) {
            /* one a second at most: a lower master may advertise every ten milliseconds */
            if (ei->trouble_told[2] != 0 && event->at - ei->trouble_told[2] < FH_NS_PER_SEC) return;
            ei->trouble_told[2] = event->at;
        }
    }
    fh_engine_tell(e, event);
}

const fh_node_io fh_engine_io = {
    .advert = io_advert,
    .acquire = io_acquire,
    .addresses_first = io_addresses_first,
    .release = io_release,
    .announce = io_announce,
    .silence = io_silence,
    .hush = io_hush,
    .renew = io_renew,
    .stopped = io_stopped,
    .event = io_event,
};
