/* Fuzz target: the receive path whole. Octets come in where the kernel would hand them over (recvmmsg, recv
 * and the clock are replaced), pass the socket's filter, the header, the checks, the node with its machines,
 * sync group, timers and link table, and leave as adverts, plans and announcements (sendmmsg and sendmsg are
 * replaced too).
 *
 * Three instances: a multicast and a unicast one that share a VRID and a socket, and one of IPv6 with a
 * tracked interface; the first and the third may form a sync group. The first octets choose their
 * configuration, then each step takes an octet for its kind and what it needs.
 *
 * What must hold:
 *   - every packet that is read appears in exactly one counter;
 *   - what is refused changes no state machine;
 *   - what the filter under attack refuses, the checks would have refused;
 *   - no timer lies in the past after the timers ran, and who waits for a deadline has one;
 *   - nobody in fault is master or backup;
 *   - members of a sync group are never master beside one that is in fault or backup;
 *   - every advert that leaves is a whole, right message of its instance. */
#include "fh_engine_int.h"
#include "fh_neigh_codec.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/ip6.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MULTI, UNI, SIX, INSTANCES };
enum { LINK = 3, TRACKED = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void failed(int line) {
    fprintf(stderr, "%s:%d: does not hold\n", __FILE__, line);
    abort();
}
#define must(so) ((so) ? (void)0 : failed(__LINE__))

/* ------------------------------------------------------------------ the world outside, replaced */

static fh_ns now_ns;
static const uint8_t *incoming; /* what the next recvmmsg or recv delivers, NULL: nothing */
static size_t incoming_size;
static uint8_t incoming_hops;
static bool incoming_bare; /* without what comes beside a packet */
static fh_addr incoming_src, incoming_dst;
static fh_sock *incoming_sock;
static struct sock_filter filter_code[2][128];
static unsigned filter_length[2];
static unsigned adverts_out;
static fh_engine *engine;

int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t) {
    fh_ns at = now_ns + (id == CLOCK_REALTIME ? 1700000000 * FH_NS_PER_SEC : 0);
    t->tv_sec = (time_t)(at / FH_NS_PER_SEC);
    t->tv_nsec = (long)(at % FH_NS_PER_SEC);
    return 0;
}

static size_t beside(struct msghdr *h, size_t at, int level, int type, const void *value, size_t length) {
    struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)h->msg_control + at);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(c), value, length);
    return at + CMSG_SPACE(length);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags, struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags, struct timespec *timeout) {
    (void)fd, (void)flags, (void)timeout;
    must(count > 0);
    if (incoming == NULL) {
        errno = EAGAIN;
        return -1;
    }
    struct msghdr *h = &msg->msg_hdr;
    size_t length = incoming_size < h->msg_iov->iov_len ? incoming_size : h->msg_iov->iov_len;
    memcpy(h->msg_iov->iov_base, incoming, length);
    msg->msg_len = (unsigned)length;
    size_t used = 0;
    if (!incoming_bare) {
        fh_ns wall = now_ns - FH_NS_PER_USEC + 1700000000 * FH_NS_PER_SEC;
        struct timespec stamp = {.tv_sec = (time_t)(wall / FH_NS_PER_SEC),
                                 .tv_nsec = (long)(wall % FH_NS_PER_SEC)};
        used = beside(h, used, SOL_SOCKET, SO_TIMESTAMPNS, &stamp, sizeof stamp);
    }
    if (incoming_sock->family == FH_AF_INET6) {
        struct sockaddr_in6 *from = h->msg_name;
        *from = (struct sockaddr_in6){.sin6_family = AF_INET6};
        memcpy(&from->sin6_addr, incoming_src.b, 16);
        struct in6_pktinfo info = {.ipi6_ifindex = LINK};
        memcpy(&info.ipi6_addr, incoming_dst.b, 16);
        int hops = incoming_hops;
        if (!incoming_bare) {
            used = beside(h, used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
            used = beside(h, used, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof hops);
        }
    }
    h->msg_controllen = used;
    incoming = NULL;
    return 1;
}

ssize_t __wrap_recv(int fd, void *to, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t size, int flags) {
    (void)fd, (void)flags;
    if (incoming == NULL) {
        errno = EAGAIN;
        return -1;
    }
    size_t length = incoming_size < size ? incoming_size : size;
    memcpy(to, incoming, length);
    incoming = NULL;
    return (ssize_t)length;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags) {
    ssize_t total = 0;
    (void)fd, (void)flags;
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        total += (ssize_t)msg->msg_iov[i].iov_len;
    return total;
}

static void sent(const uint8_t *packet, size_t length) {
    fh_rx_meta meta = {0};
    const uint8_t *payload;
    size_t rest;
    fh_vrrp_advert advert;
    bool six = packet[0] >> 4 == 6;

    enum fh_ip_rx ip = six ? fh_ip6_parse(packet, length, &meta, &payload, &rest)
                           : fh_ip4_parse(packet, length, true, &meta, &payload, &rest);
    must(ip == FH_IP_OK);
    if (meta.proto == FH_PROTO_AH) payload += FH_VRRP_AH_LEN, rest -= FH_VRRP_AH_LEN;
    must(fh_vrrp_decode(meta.family, payload, rest, &advert) && advert.vrid == (six ? 52 : 51));
    must(six ? advert.version == 3 : true);
    adverts_out++;
}

int __wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags) {
    (void)fd, (void)flags;
    for (unsigned i = 0; i < count; i++) {
        const struct iovec *v = msg[i].msg_hdr.msg_iov;
        const uint8_t *octets = v->iov_base;
        const struct sockaddr *to = msg[i].msg_hdr.msg_name;
        if (to->sa_family != AF_PACKET) {
            sent(octets, v->iov_len);
        } else if (v->iov_len == FH_ARP_FRAME_LEN && fh_get16(octets + 12) == FH_ETHERTYPE_ARP) {
            fh_neigh_seen seen;
            must(fh_neigh_parse_frame(octets, v->iov_len, &seen) == FH_NEIGH_ARP_ANNOUNCE);
        } else {
            sent(octets + FH_ETH_LEN, v->iov_len - FH_ETH_LEN);
        }
    }
    return (int)count;
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t length);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
    const struct sock_fprog *program = value;
    (void)level, (void)length;
    must(option == SO_ATTACH_FILTER && program->len <= 128 && (fd == 100 || fd == 101));
    memcpy(filter_code[fd - 100], program->filter, program->len * sizeof(struct sock_filter));
    filter_length[fd - 100] = program->len;
    return 0;
}

/* ------------------------------------------------------------------ the kernel's filter machine (classic
 * BPF) */

typedef struct {
    const uint8_t *data; /* from where the socket sees it */
    size_t size;
    uint8_t hops;
    bool six;
} packet;

static bool load(const packet *p, uint32_t k, unsigned octets, uint32_t *value) {
    const uint8_t *from = p->data;
    size_t size = p->size;
    uint8_t header[FH_IP6_LEN] = {0x60, [7] = p->hops};

    if (k == (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)) {
        *value = 1; /* never the one that is let through as a sample */
        return true;
    }
    if (k >= (uint32_t)SKF_NET_OFF) {
        k -= (uint32_t)SKF_NET_OFF;
        if (p->six) from = header, size = sizeof header;
    }
    if (k > size || octets > size - k) return false;
    *value = octets == 1 ? from[k] : octets == 2 ? fh_get16(from + k) : fh_get32(from + k);
    return true;
}

static bool passes(const struct sock_filter *code, unsigned length, const packet *p) {
    uint32_t a = 0, x = 0, memory[16] = {0};

    for (unsigned pc = 0; pc < length; pc++) {
        const struct sock_filter *f = &code[pc];
        unsigned octets = BPF_SIZE(f->code) == BPF_B ? 1 : BPF_SIZE(f->code) == BPF_H ? 2 : 4;
        uint32_t operand = BPF_SRC(f->code) == BPF_X ? x : f->k;
        switch (BPF_CLASS(f->code)) {
        case BPF_LD:
            if (BPF_MODE(f->code) == BPF_IMM)
                a = f->k;
            else if (BPF_MODE(f->code) == BPF_MEM)
                a = memory[f->k & 15];
            else if (BPF_MODE(f->code) == BPF_LEN)
                a = (uint32_t)p->size;
            else if (!load(p, BPF_MODE(f->code) == BPF_IND ? x + f->k : f->k, octets, &a))
                return false; /* reading past the end refuses the packet */
            break;
        case BPF_LDX:
            if (BPF_MODE(f->code) == BPF_MSH) {
                if (!load(p, f->k, 1, &x)) return false;
                x = (x & 15) * 4;
            } else {
                must(BPF_MODE(f->code) == BPF_IMM);
                x = f->k;
            }
            break;
        case BPF_ST:
            memory[f->k & 15] = a;
            break;
        case BPF_ALU:
            must(BPF_OP(f->code) == BPF_AND || BPF_OP(f->code) == BPF_RSH || BPF_OP(f->code) == BPF_SUB);
            if (BPF_OP(f->code) == BPF_SUB)
                a -= operand; /* modulo 2^32, as the kernel's */
            else
                a = BPF_OP(f->code) == BPF_AND ? a & operand : operand < 32 ? a >> operand : 0;
            break;
        case BPF_MISC:
            if (BPF_MISCOP(f->code) == BPF_TAX)
                x = a;
            else
                a = x;
            break;
        case BPF_JMP:
            if (BPF_OP(f->code) == BPF_JA)
                pc += f->k;
            else if (BPF_OP(f->code) == BPF_JEQ)
                pc += a == operand ? f->jt : f->jf;
            else if (BPF_OP(f->code) == BPF_JGE)
                pc += a >= operand ? f->jt : f->jf;
            else
                pc += (a & operand) != 0 ? f->jt : f->jf;
            break;
        case BPF_RET:
            return f->k != 0;
        }
    }
    abort(); /* a program without an end */
}

/* ------------------------------------------------------------------ the daemon, laid out by hand */

static const fh_addr vips4[2] = {{{192, 0, 2, 100}}, {{192, 0, 2, 101}}};
static const fh_addr vips6[2] = {{{0xfe, 0x80, [15] = 1}}, {{0x20, 1, 0xd, 0xb8, [15] = 100}}};
static const fh_addr own4 = {{192, 0, 2, 10}}, peer4 = {{192, 0, 2, 2}};
static const fh_addr own6 = {{0xfe, 0x80, [15] = 10}}, peer6 = {{0xfe, 0x80, [15] = 2}};
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 10};

static fh_ei eis[INSTANCES];
static fh_ei_conf confs[INSTANCES];
static fh_shot shots[INSTANCES];
static fh_vrrp_tx_conf tx[INSTANCES], peer_tx[INSTANCES];
static uint8_t packets[INSTANCES][FH_VRRP_PACKET_MAX];
static uint8_t frames[FH_ARP_FRAME_LEN];
static fh_announcement announcement;
static fh_item items[1];
static struct {
    struct nlmsghdr h;
    struct ifaddrmsg a;
    struct rtattr attribute;
    uint8_t address[4];
} plan[2];
static fh_sock socks[2];
static fh_sock *sock_slots[2];
static fh_hmac_md5_key ah;
static fh_vrrp_hmac_key key;
static const fh_vrrp_peer peer_of_unicast = {.addr = {{192, 0, 2, 2}}, .min_ttl = 1, .max_ttl = -1};
static const fh_track_link track = {.ifindex = TRACKED, .weight = -20};
static uint32_t members[2] = {MULTI, SIX};
static fh_inst *inst_slots[INSTANCES];
static fh_group group_slots[1];
static fh_link link_slots[4];
static fh_timer_slot timer_slots[INSTANCES * 5 + 4 + 16];
static fh_pace paces[1];
static uint8_t command_memory[2 * sizeof(fh_command)], event_memory[64 * sizeof(fh_event)];

static void configure(unsigned which, const uint8_t c[4]) {
    bool six = which == SIX, unicast = which == UNI, three = six || unicast || (c[0] & 1);
    fh_ei_conf *e = &confs[which];

    memset(e, 0, sizeof *e);
    e->family = six ? FH_AF_INET6 : FH_AF_INET;
    e->vrid = six ? 52 : 51;
    e->unicast = unicast;
    e->source = six ? own6 : own4;
    e->group = six ? fh_vrrp_group6 : fh_vrrp_group4;
    e->sock = six ? 1 : 0;
    e->sock_vmac = FH_NO_SOCK;
    uint8_t priority = (c[0] & 2) && which == MULTI ? 255 : (uint8_t)(50 + which * 50);
    fh_ns interval = three ? FH_NS_PER_CSEC * (1 + c[1] % 200) : FH_NS_PER_SEC * (1 + c[1] % 3);
    e->node = (fh_inst_conf){
        .fsm = {.adver_int = interval,
                .preempt_delay = c[2] & 1 ? 3 * interval : 0,
                .linger = 20 * FH_NS_PER_MSEC,
                .version = three ? 3 : 2,
                .base_priority = priority,
                .down_adverts = 3,
                .preempt = (c[2] & 2) == 0,
                .lower_prio_no_advert = (c[2] & 4) != 0,
                .higher_prio_advert = (c[2] & 8) != 0,
                .graceful = (c[2] & 16) == 0,
                .gated = (c[0] & 4) != 0 && which != UNI},
        .announce = {.second_delay = FH_NS_PER_SEC,
                     .refresh = c[2] & 32 ? FH_NS_PER_SEC : 0,
                     .repeat = 2,
                     .lower_repeat = 1,
                     .refresh_repeat = 1,
                     .teach = (c[2] & 64) != 0},
        .renew_int = FH_NS_PER_SEC,
        .repair_window = 60 * FH_NS_PER_SEC,
        .ifindex = LINK,
        .group = (c[0] & 4) != 0 && which != UNI ? 0 : FH_NO_GROUP,
        .repair_limit = 4,
        .tracks = which == SIX ? 1 : 0,
        .track_primary = true,
        .track = &track,
    };
    bool with_ah = !three && (c[0] & 8) != 0, with_hmac = three && (c[0] & 16) != 0;
    e->rx = (fh_vrrp_rx_conf){
        .version = three ? 3 : 2,
        .family = e->family,
        .vrid = e->vrid,
        .priority = priority,
        .auth_type = with_ah ? FH_VRRP_AUTH_AH : 0,
        .interval = fh_vrrp_interval_wire(three ? 3 : 2, interval),
        .no_pseudo = !six && (c[0] & 32) != 0,
        .unicast = unicast,
        .check_unicast_src = (c[3] & 1) != 0,
        .owner_ignores = (c[3] & 2) != 0,
        .accept_count_zero = (c[3] & 4) != 0,
        .accept_first_global = (c[3] & 8) != 0,
        .skip_check_adv_addr = (c[3] & 16) != 0,
        .addr_policy = c[3] & 32 ? FH_VRRP_ADDRS_DISCARD : FH_VRRP_ADDRS_PROCESS,
        .old_checksum = FH_VRRP_OLD_CHECKSUM_AUTO,
        .hmac_mode =
            with_hmac ? (c[3] & 64 ? FH_VRRP_HMAC_ENFORCE : FH_VRRP_HMAC_PERMISSIVE) : FH_VRRP_HMAC_OFF,
        .hmac_monotonic = (c[3] & 128) != 0,
        .hmac_window_s = 30,
        .own_src = e->source,
        .addr_count = 2,
        .addrs = six ? vips6 : vips4,
        .peer_count = unicast ? 1 : 0,
        .peers = &peer_of_unicast,
        .ah_key = &ah,
        .hmac_keys = &key,
        .hmac_key_count = 1,
    };
    fh_vrrp_rx_conf_prepare(&e->rx);
    tx[which] = (fh_vrrp_tx_conf){
        .msg = {.version = e->rx.version,
                .family = e->family,
                .vrid = e->vrid,
                .priority = priority,
                .interval = e->rx.interval,
                .auth_type = e->rx.auth_type,
                .addr_count = 2,
                .no_pseudo = e->rx.no_pseudo,
                .src = e->source,
                .dst = unicast ? peer4 : e->group,
                .addrs = e->rx.addrs},
        .ttl = 255,
        .tos = FH_TOS_CONTROL,
        .ethernet = !unicast,
        .ah_key = with_ah ? &ah : NULL,
        .hmac_key = with_hmac ? &key : NULL,
    };
    peer_tx[which] = tx[which];
    peer_tx[which].msg.src = six ? peer6 : peer4;
    peer_tx[which].msg.dst = unicast ? own4 : e->group;
    peer_tx[which].ethernet = false;
    shots[which] = (fh_shot){.ifindex = LINK, .dst = tx[which].msg.dst, .routed = unicast};
    must(fh_vrrp_template_init(&shots[which].packet, packets[which], sizeof packets[which], &tx[which]) ==
         FH_VRRP_BUILD_OK);
    e->shots = 1;
    e->shot = &shots[which];
    e->plan = (const uint8_t *)plan;
    e->frames = frames;
    if (which == MULTI) {
        e->items = 1;
        e->item = items;
        e->announcements = 1;
        e->announcement = &announcement;
        e->add_to = e->renew_to = sizeof plan[0];
        e->remove_from = sizeof plan[0];
        e->remove_to = sizeof plan;
    }
}

static void set_up(const uint8_t c[4]) {
    fh_engine *e = engine;

    memset(e, 0, sizeof *e);
    memset(eis, 0, sizeof eis);
    memset(socks, 0, sizeof socks);
    memset(inst_slots, 0, sizeof inst_slots);
    memset(group_slots, 0, sizeof group_slots);
    memset(link_slots, 0, sizeof link_slots);
    memset(paces, 0, sizeof paces);
    now_ns = 1000 * FH_NS_PER_SEC;
    incoming = NULL;
    e->conf = (fh_engine_conf){
        .max_instances = INSTANCES, .max_groups = 1, .max_links = 4, .max_socks = 2, .max_paces = 1};
    e->node.insts = inst_slots;
    e->node.inst_slots = INSTANCES;
    e->node.groups = group_slots;
    e->node.group_slots = 1;
    e->node.links = link_slots;
    e->node.link_slots = 4;
    e->socks = sock_slots;
    e->paces = paces;
    e->plan_fd = e->monitor_fd = e->event_fd = e->packet_fd = e->raw4_fd = e->raw6_fd = e->route_fd = -1;
    e->tx_frames.fd = e->tx_raw4.fd = e->tx_raw6.fd = -1;
    e->clock_offset = 1700000000 * FH_NS_PER_SEC;
    fh_timers_init(&e->node.timers, timer_slots, sizeof timer_slots / sizeof timer_slots[0]);
    fh_ring_init(&e->commands, command_memory, 2, sizeof(fh_command));
    fh_ring_init(&e->events, event_memory, 64, sizeof(fh_event));
    fh_node_init(&e->node, &fh_engine_io, e);
    for (unsigned i = 0; i < 2; i++) {
        socks[i] = (fh_sock){.fd = 100 + (int)i,
                             .ifindex = LINK,
                             .slot = i,
                             .family = i == 0 ? FH_AF_INET : FH_AF_INET6,
                             .protocol = i == 0 && (c[0] & 9) == 8 ? FH_PROTO_AH : FH_PROTO_VRRP};
        sock_slots[i] = &socks[i];
    }
    for (unsigned i = 0; i < INSTANCES; i++) {
        configure(i, c);
        eis[i].conf = &confs[i];
        fh_node_add(&e->node, &eis[i].node, i, &confs[i].node, now_ns);
        if (!(i == UNI && socks[0].protocol == FH_PROTO_AH)) {
            eis[i].next_vrid = socks[confs[i].sock].by_vrid[confs[i].vrid];
            socks[confs[i].sock].by_vrid[confs[i].vrid] = &eis[i];
        }
    }
    fh_engine_filter(e, &socks[0]);
    fh_engine_filter(e, &socks[1]);
    if (c[0] & 4) fh_node_set_group(&e->node, 0, members, 2, now_ns);
    fh_node_link_state(&e->node, LINK, true, false, now_ns);
    fh_node_link_state(&e->node, TRACKED, true, false, now_ns);
    for (unsigned i = 0; i < INSTANCES; i++)
        fh_node_told(&e->node, &eis[i].node, 0, FH_FAULT_DISABLED, 0, now_ns);
}

static void once(void) {
    if (engine != NULL) return;
    must(posix_memalign((void **)&engine, 64, sizeof *engine) == 0);
    fh_vrrp_ah_key_init(&ah, "s3cr3t", 6);
    fh_vrrp_hmac_key_init(&key, 1, "0123456789abcdef0123456789abcdef", 32);
    must(fh_garp_build(frames, sizeof frames, our_mac, vips4[0].b, FH_GARP_THA_BROADCAST, false) ==
         sizeof frames);
    announcement = (fh_announcement){.ifindex = LINK,
                                     .length = FH_ARP_FRAME_LEN,
                                     .pace = FH_NO_PACE,
                                     .family = FH_AF_INET,
                                     .addr = vips4[0]};
    for (unsigned i = 0; i < 2; i++) {
        plan[i].h = (struct nlmsghdr){.nlmsg_len = sizeof plan[i],
                                      .nlmsg_type = i == 0 ? RTM_NEWADDR : RTM_DELADDR,
                                      .nlmsg_flags = NLM_F_REQUEST};
        plan[i].a = (struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = LINK};
        plan[i].attribute = (struct rtattr){.rta_len = RTA_LENGTH(4), .rta_type = IFA_LOCAL};
        memcpy(plan[i].address, vips4[0].b, 4);
    }
    items[0] = (fh_item){.add_len = sizeof plan[0],
                         .remove = sizeof plan[0],
                         .remove_len = sizeof plan[0],
                         .ifindex = LINK,
                         .addr = vips4[0],
                         .kind = FH_ITEM_ADDRESS,
                         .family = FH_AF_INET,
                         .prefixlen = 24,
                         .renew = true,
                         .tracked = true};
}

/* ------------------------------------------------------------------ what must hold */

static uint64_t counted(const fh_sock *s) {
    uint64_t sum = fh_sock_unknown_vrid(s);

    for (int i = 0; i < FH_VRRP_RX_N; i++)
        sum += fh_sock_refused(s, i);
    for (unsigned i = 0; i < INSTANCES; i++)
        if (confs[i].sock == s->slot)
            sum += fh_ei_stat(&eis[i], FH_STAT_ADVERT_RX) + fh_ei_stat(&eis[i], FH_STAT_ZERO_RX);
    return sum;
}

static void arrives(fh_sock *s, const uint8_t *data, size_t size, uint8_t hops, bool bare) {
    fh_vrrp before[INSTANCES];
    uint64_t accepted = 0, accepted_before = 0;

    for (unsigned i = 0; i < INSTANCES; i++) {
        before[i] = eis[i].node.fsm;
        accepted_before += fh_ei_stat(&eis[i], FH_STAT_ADVERT_RX) + fh_ei_stat(&eis[i], FH_STAT_ZERO_RX);
    }
    incoming = data;
    incoming_size = size;
    incoming_hops = hops;
    incoming_bare = bare;
    incoming_sock = s;
    fh_engine_read(engine, s, now_ns);
    must(incoming == NULL && counted(s) == fh_sock_packets(s));
    for (unsigned i = 0; i < INSTANCES; i++)
        accepted += fh_ei_stat(&eis[i], FH_STAT_ADVERT_RX) + fh_ei_stat(&eis[i], FH_STAT_ZERO_RX);
    if (accepted == accepted_before) {
        for (unsigned i = 0; i < INSTANCES; i++)
            must(memcmp(&before[i], &eis[i].node.fsm, sizeof before[i]) == 0);
        return;
    }
    /* It was accepted, so the filter must let it through, shield or not. */
    packet p = {.data = data, .size = size, .hops = hops, .six = s->family == FH_AF_INET6};
    bool shield = s->shield.up;
    s->shield.up = true;
    fh_engine_filter(engine, s);
    must(passes(filter_code[s->slot], filter_length[s->slot], &p));
    s->shield.up = shield;
    fh_engine_filter(engine, s);
    must(passes(filter_code[s->slot], filter_length[s->slot], &p));
}

static void holds(void) {
    fh_event event;

    while (fh_ring_get(&engine->events, &event))
        must(event.type != 0);
    for (unsigned i = 0; i < INSTANCES; i++) {
        const fh_inst *inst = &eis[i].node;
        uint8_t state = inst->fsm.state;
        must(state < FH_VRRP_STATES);
        /* drained, alone or with its group, and nobody came: it goes on being master */
        uint32_t faults = inst->faults;
        if (group_slots[0].used && i != UNI)
            faults |= (eis[MULTI].node.faults | eis[SIX].node.faults) & ~(uint32_t)FH_FAULT_DISABLED;
        must((faults & ~(uint32_t)(FH_FAULT_MAINTENANCE | FH_FAULT_GROUP)) == 0 || inst->faults == 0 ||
             (state != FH_VRRP_MASTER && state != FH_VRRP_BACKUP));
        must((state != FH_VRRP_MASTER && state != FH_VRRP_HANDOVER) || inst->fsm.timer != FH_NEVER);
        must(state != FH_VRRP_BACKUP || inst->fsm.timer != FH_NEVER || inst->fsm.wants_master);
        must(inst->fsm.priority >= 1);
    }
    /* While a drain of the group goes on, its members leave, and come back, each at its own pace. */
    uint32_t faults = eis[MULTI].node.faults | eis[SIX].node.faults;
    if (group_slots[0].used && (faults & FH_FAULT_MAINTENANCE) == 0) {
        uint8_t one = eis[MULTI].node.fsm.state, two = eis[SIX].node.fsm.state;
        must(one != FH_VRRP_MASTER || (two != FH_VRRP_FAULT && two != FH_VRRP_BACKUP));
        must(two != FH_VRRP_MASTER || (one != FH_VRRP_FAULT && one != FH_VRRP_BACKUP));
    }
}

static void run_timers(void) {
    fh_node_overslept(&engine->node, now_ns);
    fh_node_run_timers(&engine->node, now_ns);
    must(fh_node_next(&engine->node) > now_ns);
    if (engine->repair_at != 0 && now_ns >= engine->repair_at) fh_engine_repair(engine, now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t made[FH_VRRP_PACKET_MAX];

    if (size < 4) return 0;
    once();
    set_up(data);
    data += 4;
    size -= 4;
    for (unsigned steps = 0; size >= 4 && steps < 200; steps++) {
        uint8_t kind = data[0], a = data[1], b = data[2], c = data[3];
        fh_ei *ei = &eis[a % INSTANCES];
        data += 4;
        size -= 4;
        switch (kind % 10) {
        case 0: /* octets as they are; b: how many */
        {
            size_t take = b < size ? b : size;
            fh_sock *s = &socks[a & 1];
            incoming_src = peer6;
            incoming_dst = fh_vrrp_group6;
            arrives(s, data, take, c, (a & 2) != 0);
            data += take;
            size -= take;
            break;
        }
        case 1:
        case 2: /* a right message of a peer with priority b; c: how many of its octets are then changed */
        {
            unsigned which = a % INSTANCES;
            fh_vrrp_tx_conf conf = peer_tx[which];
            fh_vrrp_template t;
            fh_vrrp_sign_state sign = {.ah_seq = eis[which].rx.sign.ah_seq, .ah_seq_known = true};
            conf.msg.priority = b;
            if (a & 32) conf.msg.src.b[conf.msg.family == FH_AF_INET6 ? 15 : 3] = 200; /* above ours */
            if (a & 64) conf.msg.addr_count = 1;
            if (a & 128) conf.msg.interval = (uint16_t)(1 + b % 255);
            if (fh_vrrp_template_init(&t, made, sizeof made, &conf) != FH_VRRP_BUILD_OK) break;
            fh_vrrp_template_sign(&t, &sign,
                                  confs[which].rx.hmac_monotonic ? now_ns : now_ns + engine->clock_offset);
            bool six = which == SIX;
            size_t length = t.len - (six ? FH_IP6_LEN : 0u);
            uint8_t *octets = made + (six ? FH_IP6_LEN : 0);
            for (unsigned n = c & 3; n > 0 && size >= 2; n--, data += 2, size -= 2)
                octets[data[0] % length] = data[1];
            if (c & 4) length -= length < (c >> 4) ? length : (size_t)(c >> 4);
            incoming_src = conf.msg.src;
            incoming_dst = conf.msg.dst;
            arrives(&socks[confs[which].sock], octets, length, c & 8 ? c : 255, false);
            break;
        }
        case 3: /* time passes */
            now_ns += ((fh_ns)b << 8 | c) * 100 * FH_NS_PER_USEC;
            run_timers();
            break;
        case 4: /* to the next deadline */
            if (fh_node_next(&engine->node) != FH_NEVER && fh_node_next(&engine->node) > now_ns)
                now_ns = fh_node_next(&engine->node) + (fh_ns)b * FH_NS_PER_USEC;
            run_timers();
            break;
        case 5: /* told from above */
            fh_node_told(&engine->node, &ei->node, b & 1 ? 1u << (9 + (b >> 1) % 7) : 0, b & 16 ? 0xff00u : 0,
                         (int8_t)c, now_ns);
            break;
        case 6: /* the kernel tells of a link, an address, a route or a rule: octets as they are */
        case 7: {
            uint8_t message[256];
            size_t take = b < size ? b : size;
            if (take > sizeof message) take = sizeof message;
            memcpy(message, data, take);
            data += take;
            size -= take;
            if (kind % 10 == 7 && take >= sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg)) {
                /* with a header that is right */
                static const uint16_t types[] = {RTM_NEWLINK, RTM_DELLINK,  RTM_NEWADDR,
                                                 RTM_DELADDR, RTM_DELROUTE, RTM_DELRULE};
                struct nlmsghdr h = {.nlmsg_len = (uint32_t)take, .nlmsg_type = types[c % 6]};
                memcpy(message, &h, sizeof h);
                if (c % 6 < 2) {
                    struct ifinfomsg link = {.ifi_index = c & 128 ? TRACKED : LINK,
                                             .ifi_flags = c & 64 ? IFF_UP | IFF_RUNNING : 0};
                    memcpy(message + sizeof h, &link, sizeof link);
                } else if (c % 6 == 3 && (c & 64) && take >= sizeof plan[1]) {
                    memcpy(message, &plan[1], sizeof plan[1]);
                }
            }
            incoming = message;
            incoming_size = take;
            fh_engine_monitor(engine, -1, now_ns);
            break;
        }
        case 8: /* somebody claims an address; or a frame of ARP or a neighbour advertisement as it is */
        {
            fh_sock arp = {.fd = -1,
                           .ifindex = LINK,
                           .family = b & 1 ? FH_AF_INET6 : FH_AF_INET,
                           .protocol = b & 1 ? FH_PROTO_ICMP6 : FH_SOCK_ARP};
            uint8_t frame[FH_ARP_FRAME_LEN];
            incoming_sock = &arp;
            incoming_hops = c;
            incoming_bare = false;
            if (b & 2) {
                memcpy(frame, frames, sizeof frame);
                frame[6] = frame[22] = c;
                incoming = frame;
                incoming_size = sizeof frame;
                incoming_sock->protocol = FH_SOCK_ARP;
                incoming_sock->family = FH_AF_INET;
            } else {
                size_t take = (size_t)(b >> 2) * 2 < size ? (size_t)(b >> 2) * 2 : size;
                incoming = data;
                incoming_size = take;
                data += take;
                size -= take;
            }
            fh_engine_read(engine, &arp, now_ns);
            break;
        }
        default: /* stop, take over, announce, housekeeping */
            if ((b & 7) == 0 && !ei->node.stopping)
                fh_node_stop(&engine->node, &ei->node, (b & 8) != 0, now_ns);
            else if ((b & 7) == 1)
                fh_node_takeover(&engine->node, &ei->node, now_ns);
            else if ((b & 7) == 2)
                fh_node_announce_now(&engine->node, &ei->node);
            else if ((b & 7) == 3)
                fh_node_replace(&engine->node, &ei->node, &ei->conf->node, now_ns);
            else if ((b & 7) == 4)
                fh_node_slept(&engine->node, (fh_ns)c * 100 * FH_NS_PER_MSEC, now_ns);
            else
                fh_engine_shields(engine, now_ns);
        }
        for (int i = 0; i < 8 && fh_engine_play(engine); i++)
            ;
        holds();
    }
    return 0;
}
