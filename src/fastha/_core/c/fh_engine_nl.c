/* What the kernel tells: links going up and down, and objects of ours that somebody deleted. */
#include "fh_engine_int.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <unistd.h>

#define REPAIR_PAUSE (100 * FH_NS_PER_MSEC)

typedef struct {
    const uint8_t *data;
    size_t length;
} span;

/* The attribute of a type in a run of attributes; empty if there is none. */
static span attribute(const uint8_t *at, size_t left, uint16_t type) {
    struct rtattr a;

    while (left >= sizeof(a)) {
        memcpy(&a, at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > left) break;
        if ((a.rta_type & NLA_TYPE_MASK) == type) return (span){at + sizeof(a), a.rta_len - sizeof(a)};
        size_t step = RTA_ALIGN(a.rta_len);
        if (step >= left) break;
        at += step;
        left -= step;
    }
    return (span){NULL, 0};
}

static bool same_span(span a, span b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static uint32_t number(span s, uint32_t otherwise) {
    uint32_t value = otherwise;

    if (s.length == 4) memcpy(&value, s.data, 4);
    return value;
}

/* A complete message: header, fixed part, attributes. */
static bool parts(const uint8_t *msg, size_t length, size_t fixed, const uint8_t **body, span *attributes) {
    if (length < NLMSG_LENGTH(fixed)) return false;
    *body = msg + NLMSG_HDRLEN;
    size_t from = NLMSG_HDRLEN + NLMSG_ALIGN(fixed);
    *attributes = from < length ? (span){msg + from, length - from} : (span){msg + length, 0};
    return true;
}

/* Is what was deleted the route that our message makes? What our message leaves open, the kernel filled in.
 */
static bool same_route(const uint8_t *ours, size_t ours_len, const uint8_t *gone, size_t gone_len) {
    const uint8_t *a_body, *b_body;
    struct rtmsg a, b;
    span a_at, b_at;

    if (!parts(ours, ours_len, sizeof(a), &a_body, &a_at) ||
        !parts(gone, gone_len, sizeof(b), &b_body, &b_at))
        return false;
    memcpy(&a, a_body, sizeof(a));
    memcpy(&b, b_body, sizeof(b));
    if (a.rtm_family != b.rtm_family || a.rtm_dst_len != b.rtm_dst_len || a.rtm_tos != b.rtm_tos)
        return false;
    if (number(attribute(a_at.data, a_at.length, RTA_TABLE), a.rtm_table) !=
        number(attribute(b_at.data, b_at.length, RTA_TABLE), b.rtm_table))
        return false;
    span a_dst = attribute(a_at.data, a_at.length, RTA_DST),
         b_dst = attribute(b_at.data, b_at.length, RTA_DST);
    if (a.rtm_dst_len != 0 && !same_span(a_dst, b_dst)) return false;
    span a_prio = attribute(a_at.data, a_at.length, RTA_PRIORITY);
    return a_prio.length == 0 || same_span(a_prio, attribute(b_at.data, b_at.length, RTA_PRIORITY));
}

static bool same_rule(const uint8_t *ours, size_t ours_len, const uint8_t *gone, size_t gone_len) {
    static const uint16_t keys[] = {FRA_PRIORITY, FRA_SRC, FRA_DST, FRA_FWMARK, FRA_IIFNAME, FRA_OIFNAME};
    const uint8_t *a_body, *b_body;
    struct fib_rule_hdr a, b;
    span a_at, b_at;

    if (!parts(ours, ours_len, sizeof(a), &a_body, &a_at) ||
        !parts(gone, gone_len, sizeof(b), &b_body, &b_at))
        return false;
    memcpy(&a, a_body, sizeof(a));
    memcpy(&b, b_body, sizeof(b));
    if (a.family != b.family || a.src_len != b.src_len || a.dst_len != b.dst_len || a.action != b.action)
        return false;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        span mine = attribute(a_at.data, a_at.length, keys[i]);
        if (mine.length != 0 && !same_span(mine, attribute(b_at.data, b_at.length, keys[i]))) return false;
    }
    return true;
}

static void mark(fh_engine *e, fh_ei *ei, unsigned item) {
    if (!ei->repair_due) {
        ei->repair_due = true;
        ei->repair_item = (uint16_t)item;
    }
    e->repair_due = true;
}

static void address_gone(fh_engine *e, const uint8_t *msg, size_t length, bool unusable) {
    const uint8_t *body;
    struct ifaddrmsg a;
    fh_addr addr = {{0}};
    span at;

    if (!parts(msg, length, sizeof(a), &body, &at)) return;
    memcpy(&a, body, sizeof(a));
    if (unusable) { /* a new or changed address: only one that failed duplicate detection concerns us */
        uint32_t flags = number(attribute(at.data, at.length, IFA_FLAGS), a.ifa_flags);
        if ((flags & IFA_F_DADFAILED) == 0) return;
    }
    span value = attribute(at.data, at.length, IFA_LOCAL);
    if (value.length == 0) value = attribute(at.data, at.length, IFA_ADDRESS);
    if (value.length != fh_addr_size(a.ifa_family)) return;
    memcpy(addr.b, value.data, value.length);
    for (uint32_t i = 0; i < e->node.inst_slots; i++) {
        fh_inst *inst = e->node.insts[i];
        if (inst == NULL || !fh_inst_holds(inst)) continue;
        fh_ei *ei = fh_ei_of(inst);
        for (unsigned k = 0; k < ei->conf->items; k++) {
            const fh_item *item = &ei->conf->item[k];
            if (item->kind == FH_ITEM_ADDRESS && item->tracked && item->ifindex == a.ifa_index &&
                item->family == a.ifa_family && fh_addr_equal(&item->addr, &addr))
                mark(e, ei, k);
        }
    }
}

static void route_or_rule_gone(fh_engine *e, uint8_t kind, const uint8_t *msg, size_t length) {
    for (uint32_t i = 0; i < e->node.inst_slots; i++) {
        fh_inst *inst = e->node.insts[i];
        if (inst == NULL || !fh_inst_holds(inst)) continue;
        fh_ei *ei = fh_ei_of(inst);
        for (unsigned k = 0; k < ei->conf->items; k++) {
            const fh_item *item = &ei->conf->item[k];
            if (item->kind != kind || !item->tracked) continue;
            const uint8_t *ours = ei->conf->plan + item->add;
            if (kind == FH_ITEM_ROUTE ? same_route(ours, item->add_len, msg, length)
                                      : same_rule(ours, item->add_len, msg, length))
                mark(e, ei, k);
        }
    }
}

static void link_change(fh_engine *e, const uint8_t *msg, size_t length, bool gone, fh_ns now) {
    const uint8_t *body;
    struct ifinfomsg link;
    span at;

    if (!parts(msg, length, sizeof(link), &body, &at)) return;
    memcpy(&link, body, sizeof(link));
    if (link.ifi_family != 0 && link.ifi_family != AF_PACKET)
        return; /* bridge port notifications repeat a link under another family */
    bool up = (link.ifi_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
    fh_node_link_state(&e->node, (uint32_t)link.ifi_index, up, gone, now);
}

static void message(fh_engine *e, const struct nlmsghdr *h, const uint8_t *msg, fh_ns now) {
    size_t length = h->nlmsg_len;

    switch (h->nlmsg_type) {
    case RTM_NEWLINK:
        link_change(e, msg, length, false, now);
        break;
    case RTM_DELLINK:
        link_change(e, msg, length, true, now);
        break;
    case RTM_NEWADDR:
        address_gone(e, msg, length, true);
        break;
    case RTM_DELADDR:
        address_gone(e, msg, length, false);
        break;
    case RTM_DELROUTE:
        route_or_rule_gone(e, FH_ITEM_ROUTE, msg, length);
        break;
    case RTM_DELRULE:
        route_or_rule_gone(e, FH_ITEM_RULE, msg, length);
        break;
    default:
        break;
    }
}

/* Puts back what was deleted: at once; but what is deleted again within a moment (ip addr flush tries ten
 * times) is part of the same blow, put back when it is over and not counted again. Who still deletes
 * after that is counted: it is no single blow. */
void fh_engine_repair(fh_engine *e, fh_ns now) {
    e->repair_due = false;
    e->repair_at = 0;
    for (uint32_t i = 0; i < e->node.inst_slots; i++) {
        fh_ei *ei = e->node.insts[i] != NULL ? fh_ei_of(e->node.insts[i]) : NULL;
        if (ei == NULL || !ei->repair_due) continue;
        if (ei->repaired_at != 0 && now - ei->repaired_at < REPAIR_PAUSE) {
            fh_ns at = ei->repaired_at + REPAIR_PAUSE;
            if (e->repair_at == 0 || at < e->repair_at) e->repair_at = at;
            ei->same_blow = true;
            continue;
        }
        bool counted = !ei->same_blow || ei->blow_over;
        ei->blow_over = !counted;
        ei->same_blow = ei->repair_due = false;
        ei->repaired_at = now;
        bool again =
            counted ? fh_node_repair(&e->node, &ei->node, ei->repair_item, now) : fh_inst_holds(&ei->node);
        if (again) {
            fh_engine_queue_plan(e, ei, FH_PLAN_ACQUIRE);
            fh_engine_io.announce(e, &ei->node, 1);
        }
    }
}

/* The kernel dropped notifications: nothing that was heard before can be relied on. */
static void resync(fh_engine *e, fh_ns now) {
    fh_count(&e->stat[FH_ENGINE_NETLINK_LOST], 1);
    fh_event event = {.at = now, .type = FH_EVENT_RESYNC, .arg = {1}};
    fh_engine_tell(e, &event);
    fh_engine_dump(e);
    for (uint32_t i = 0; i < e->node.inst_slots; i++)
        if (e->node.insts[i] != NULL && fh_inst_holds(e->node.insts[i]))
            fh_engine_queue_plan(e, fh_ei_of(e->node.insts[i]), FH_PLAN_ACQUIRE);
}

void fh_engine_monitor(fh_engine *e, int fd, fh_ns now) {
    for (;;) {
        ssize_t got = recv(fd, e->netlink_in, sizeof(e->netlink_in), MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == ENOBUFS) {
            resync(e, now);
            continue;
        }
        if (got <= 0) break;
        size_t left = (size_t)got;
        for (const uint8_t *at = e->netlink_in; left >= sizeof(struct nlmsghdr);) {
            struct nlmsghdr h;
            memcpy(&h, at, sizeof(h));
            if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > left) break;
            message(e, &h, at, now);
            size_t step = NLMSG_ALIGN(h.nlmsg_len);
            if (step >= left) break;
            at += step;
            left -= step;
        }
    }
    if (e->repair_due) fh_engine_repair(e, now);
}

void fh_engine_dump(fh_engine *e) {
    struct {
        struct nlmsghdr h;
        struct ifinfomsg link;
    } ask = {.h = {.nlmsg_len = sizeof(ask),
                   .nlmsg_type = RTM_GETLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    sendto(e->monitor_fd, &ask, sizeof(ask), MSG_DONTWAIT, (struct sockaddr *)&kernel, sizeof(kernel));
}
