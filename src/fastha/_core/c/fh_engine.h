/* The engine: one thread that owns the sockets, the clock and the netlink plan socket, and drives a node with
 * them.
 *
 * The thread never holds the GIL, allocates nothing and takes no lock. Everything it works on is memory that
 * the main thread prepared and handed down in a command; what it no longer uses it hands back in an event
 * (RETIRED). Counters and states are written by the engine only and may be read at any time.
 *
 * One turn of the loop: wait; read the clock; read every socket that has something (so that what a peer sent
 * before the deadline is known before the deadline is judged); run the timers; then play what was decided,
 * most urgent first: adverts, then addresses and routes, then announcements, a bounded portion of each so
 * that an advert never waits for more than one portion of the others. */
#ifndef FH_ENGINE_H
#define FH_ENGINE_H

#include "fh_engine_seen.h"
#include "fh_bfd_join.h"
#include "fh_bfd_node.h"
#include "fh_node.h"
#include "fh_ring.h"
#include "fh_vrrp_codec.h"
#include <pthread.h>
#include <stdatomic.h>

/* An address, route, rule or link that a master installs: ready-made netlink messages. */
typedef struct {
    uint32_t add; /* offset of the message in the plan's octets */
    uint32_t remove;
    uint32_t add_len;
    uint32_t remove_len;
    uint32_t ifindex; /* addresses and links */
    fh_addr addr;
    uint8_t kind; /* enum fh_item_kind */
    uint8_t family;
    uint8_t prefixlen;
    bool renew;   /* carries a lifetime */
    bool tracked; /* put back when somebody deletes it */
} fh_item;

enum fh_item_kind { FH_ITEM_LINK = 1, FH_ITEM_ADDRESS, FH_ITEM_ROUTE, FH_ITEM_RULE };

/* What is announced after taking over: one frame, built when the configuration was made. */
typedef struct {
    uint32_t ifindex;
    uint16_t offset; /* of the frame in the configuration's frame octets */
    uint16_t length;
    uint32_t pace; /* slot of the pacing group, FH_NO_PACE */
    uint8_t family;
    fh_addr addr;
} fh_announcement;
#define FH_NO_PACE UINT32_MAX

/* One packet to send for an advert: to the group, or to one unicast peer. */
typedef struct {
    fh_vrrp_template packet; /* its buffer lies in the configuration's memory */
    uint32_t ifindex;
    fh_addr dst;
    bool routed; /* unicast: an IP packet for the routing table; otherwise a frame for the interface */
} fh_shot;

/* An instance's configuration as the engine sees it: immutable but for the packet templates. */
typedef struct {
    fh_inst_conf node; /* first: the node knows only this part */
    fh_vrrp_rx_conf rx;
    fh_addr source;     /* our address in adverts */
    fh_addr group;      /* multicast destination */
    uint32_t sock_vmac; /* the virtual MAC's own interface, likewise */
    uint32_t sock;      /* slot of the receive socket, FH_NO_SOCK while there is none */
    uint8_t family;
    uint8_t vrid;
    bool unicast;
    uint16_t shots;
    uint16_t items;
    uint16_t announcements;
    fh_shot *shot;
    const fh_item *item;
    const fh_announcement *announcement;
    const uint8_t *plan; /* netlink messages */
    const uint8_t *frames;
    uint32_t add_from, add_to;       /* all "add" messages, in order, contiguous */
    uint32_t remove_from, remove_to; /* all "remove" messages, in reverse order, contiguous */
    uint32_t renew_from, renew_to;   /* "add" messages of addresses with a lifetime */
    uint32_t hush_from, hush_to;     /* at the begin of a hand-over: no more answers for the addresses */
    uint32_t drop_from,
        drop_to; /* on replacing: removes what the old configuration had and this one has not */
    bool announce_on_replace;
    bool has_ipv6; /* some announced address is IPv6 */
} fh_ei_conf;
#define FH_NO_SOCK UINT32_MAX

enum fh_stat {
    FH_STAT_ADVERT_RX,
    FH_STAT_ADVERT_TX,
    FH_STAT_BECOME_MASTER,
    FH_STAT_RELEASE_MASTER,
    FH_STAT_ZERO_RX,
    FH_STAT_ZERO_TX,
    FH_STAT_ANNOUNCE_TX,
    FH_STAT_REPAIRS,
    FH_STAT_STALLS,
    FH_STAT_OVERLAPS,
    FH_STAT_OVERLAP_US,
    FH_STAT_SEND_ERRORS,
    FH_STAT_NETLINK_ERRORS,
    FH_STAT_FOREIGN_CLAIMS,
    FH_STAT_LATE_US_MAX,    /* greatest lateness of an own advert */
    FH_STAT_ADVERTS_MISSED, /* of the master, while backup: late by an interval or more */
    FH_STATS
};
const char *fh_stat_name(int stat);

/* An instance at work in the engine. */
typedef struct fh_ei {
    fh_inst node; /* first */
    const fh_ei_conf *conf;
    struct fh_ei *next_vrid; /* same VRID on the same socket (unicast) */
    struct fh_ei *next_out;  /* queue of adverts */
    struct fh_ei *next_plan;
    struct fh_ei *next_said; /* queue of announcements */
    fh_vrrp_rx_state rx;
    fh_ns advert_out; /* timeline of the last take-over */
    fh_ns plan_done;
    fh_ns first_said;
    fh_ns trouble_told[4]; /* rate limits of events: sending, netlink, lower master, refused packets */
    fh_ns repaired_at;     /* last time that something was put back */
    fh_ns hold_until;      /* announcements wait until the kernel answers for the address (IPv6) */
    fh_ns odd_at, claim_told;
    uint16_t odd_told; /* oddities of the last accepted advert, told when they change */
    uint16_t trouble_count;
    uint16_t repair_item;
    uint8_t told_reject;
    bool repair_due;
    bool same_blow; /* deleted again right after it was put back */
    bool blow_over; /* the last repair was the uncounted end of a blow */
    uint16_t say_place;
    uint8_t say_left; /* rounds still to announce */
    uint8_t out_priority;
    uint8_t plan_wanted;                      /* enum plan */
    bool out_queued, plan_queued, say_queued; /* in which queues it stands */
    bool sent_ok, timeline_open, stopped_due;
    bool held_next;   /* the next advert is to wait for the addresses */
    bool held_queued; /* it waits: until hold_until after the plan was played */
    bool held_settle; /* also until IPv6 addresses work */
    _Atomic uint64_t stat[FH_STATS];
    _Atomic uint32_t reject[FH_VRRP_RX_N];
    _Atomic uint32_t state_shown; /* state | priority << 8 | master priority << 16 */
    _Atomic uint32_t faults_shown;
    _Atomic int64_t changed; /* when the state last changed */
    _Atomic int64_t heard;   /* when another router was last heard */
    _Atomic int64_t learned; /* advert interval in force while backup */
    fh_seen seen;
} fh_ei;

/* Whether the kernel is asked to refuse a receive socket's bad packets itself. */
typedef struct {
    bool up;
    uint32_t refused; /* since the last housekeeping */
    uint32_t calm;    /* housekeepings without an attack */
} fh_shield;

enum { FH_SOCK_ARP = 1 };

/* A receive socket of one interface, family and protocol. */
typedef struct {
    int fd;
    uint32_t ifindex;
    uint8_t family;
    uint8_t protocol; /* FH_PROTO_VRRP, FH_PROTO_AH; FH_SOCK_ARP, FH_PROTO_ICMP6: foreign claims */
    bool any_ttl;
    bool only_from_mac; /* see fh_sock_filter_spec */
    uint8_t mac[6];
    uint32_t slot;
    fh_ei *by_vrid[256];
    _Atomic uint64_t packets;
    _Atomic uint64_t unknown_vrid;
    _Atomic uint64_t refused[FH_VRRP_RX_N];
    fh_shield shield;
} fh_sock;

/* Pacing of announcements on an interface or garp_group. */
typedef struct {
    fh_ns arp_gap, na_gap;
    fh_ns arp_next, na_next;
} fh_pace;

/* A receive socket of BFD: one a family and port. */
typedef struct {
    int fd;
    uint8_t family;
    uint16_t port; /* FH_BFD_PORT_...; FH_BFD_PORT_ECHO: a packet socket */
    fh_shield shield;
    _Atomic uint64_t packets;
} fh_bsock;
#define FH_BSOCKS 8

/* The S-BFD reflector; its discriminators and keys follow it in memory. */
typedef struct {
    fh_sbfd_reflector reflector;
} fh_bfd_mirror;

enum fh_command_type {
    FH_CMD_SOCK_ADD = 1, /* p: fh_sock */
    FH_CMD_SOCK_DEL,     /* slot */
    FH_CMD_INST_ADD,     /* slot, p: fh_ei (zeroed), q: fh_ei_conf */
    FH_CMD_INST_CONF,    /* slot, q: fh_ei_conf */
    FH_CMD_INST_STOP,    /* slot, a: graceful */
    FH_CMD_INST_DEL,     /* slot, once stopped */
    FH_CMD_INST_TOLD,    /* slot, a: faults to set, b: faults to clear, v: priority delta */
    FH_CMD_INST_ANNOUNCE,
    FH_CMD_INST_TAKEOVER,
    FH_CMD_GROUP,     /* slot, p: members (uint32_t[a]) */
    FH_CMD_LINK_CONF, /* slot: ifindex, v: up delay, w: down delay */
    FH_CMD_LINK_SET,  /* slot: ifindex, a: up (polled link state) */
    FH_CMD_PACE,      /* slot, v: ARP gap, w: NA gap */
    FH_CMD_STOP_ALL,  /* a: graceful */
    FH_CMD_WATCH,     /* a: netlink socket that hears of routes and rules */
    FH_CMD_QUIT,
    FH_CMD_BFD_LISTEN,   /* slot: of the socket, p: fh_bsock */
    FH_CMD_BFD_ADD,      /* slot, p: fh_bs, q: fh_bs_conf */
    FH_CMD_BFD_CONF,     /* slot, q: fh_bs_conf */
    FH_CMD_BFD_INPUT,    /* slot, a: enum fh_bfd_event, b: its argument */
    FH_CMD_BFD_DEL,      /* slot, a: graceful */
    FH_CMD_BFD_TRACK,    /* slot: instance, p: fh_bfd_follows or NULL */
    FH_CMD_BFD_ACCEPT,   /* p: fh_bfd_accepts or NULL */
    FH_CMD_BFD_REFLECT,  /* p: fh_bfd_mirror or NULL */
    FH_CMD_BFD_UNLISTEN, /* slot: of the socket */
};

/* What a RETIRED event hands back (arg[0]). */
enum {
    FH_RETIRED_CONF = 1,
    FH_RETIRED_INST,
    FH_RETIRED_SOCK,
    FH_RETIRED_GROUP,
    FH_RETIRED_BFD_CONF,
    FH_RETIRED_BFD,
    FH_RETIRED_BSOCK,
    FH_RETIRED_BFD_OTHER, /* what a session's slot does not stand for: follows, accepts, mirror */
};

typedef struct {
    uint32_t type;
    uint32_t slot;
    uint32_t a, b;
    int64_t v, w;
    void *p, *q;
} fh_command;

typedef struct {
    uint32_t max_instances;
    uint32_t max_groups;
    uint32_t max_links;
    uint32_t max_socks;
    uint32_t max_paces;
    uint32_t max_sessions; /* of BFD */
    uint32_t commands;     /* ring sizes, powers of two */
    uint32_t events;
    int priority; /* SCHED_FIFO; 0: ordinary scheduling */
    int cpu;      /* pin to this CPU; -1: anywhere */
    fh_ns main_timeout;
} fh_engine_conf;

enum fh_engine_stat {
    FH_ENGINE_WAKEUPS,
    FH_ENGINE_TIMERS,
    FH_ENGINE_LATE_US_MAX,
    FH_ENGINE_LATE_OVER_1MS,
    FH_ENGINE_LATE_OVER_10MS,
    FH_ENGINE_STALLS,
    FH_ENGINE_EVENTS_LOST,
    FH_ENGINE_NETLINK_LOST,
    FH_ENGINE_PACKETS_RX,
    FH_ENGINE_PACKETS_TX,
    FH_ENGINE_NETLINK_TX,
    FH_ENGINE_STATS
};
const char *fh_engine_stat_name(int stat);

typedef struct fh_engine fh_engine;

/* Makes an engine and its memory; NULL with errno. Opens its own netlink and send sockets, in the caller's
 * network namespace. */
fh_engine *fh_engine_new(const fh_engine_conf *conf);
/* Starts the thread. Returns 0 or -errno; *warnings gets bits of what was refused though wanted. */
int fh_engine_start(fh_engine *e, uint32_t *warnings);
enum { FH_ENGINE_NO_FIFO = 1, FH_ENGINE_NO_MLOCK = 2, FH_ENGINE_NO_AFFINITY = 4 };
/* After FH_CMD_QUIT: waits for the thread and frees everything. */
void fh_engine_free(fh_engine *e);
void fh_engine_join(fh_engine *e);

bool fh_engine_command(fh_engine *e, const fh_command *c);
bool fh_engine_event(fh_engine *e, fh_event *event);
int fh_engine_event_fd(const fh_engine *e);
/* Clears the eventfd's count; call before reading events. */
void fh_engine_event_ack(fh_engine *e);
void fh_engine_beat(fh_engine *e);
uint64_t fh_engine_stat_get(const fh_engine *e, int stat);
int64_t fh_engine_last_turn(const fh_engine *e);

fh_ns fh_now(void);

uint64_t fh_engine_bfd_refused(const fh_engine *e, int why);
uint64_t fh_bsock_packets(const fh_bsock *s);

/* What may be read of an instance or a socket at any time, from any thread. */
#define FH_EI_SIZE sizeof(fh_ei)
uint64_t fh_ei_stat(const fh_ei *ei, int stat);
uint32_t fh_ei_reject(const fh_ei *ei, int why);
uint32_t
fh_ei_state(const fh_ei *ei); /* state, priority and the master's priority, from the lowest octet up */
uint32_t fh_ei_faults(const fh_ei *ei);
int64_t fh_ei_changed(const fh_ei *ei);
int64_t fh_ei_heard(const fh_ei *ei);
int64_t fh_ei_learned(const fh_ei *ei);
int64_t fh_ei_timer(const fh_ei *ei);
int64_t fh_ei_preempt_until(const fh_ei *ei);
bool fh_ei_wants_master(const fh_ei *ei);
/* A router that was heard, 0 <= i < FH_PEERS_SEEN; false: none there. */
bool fh_ei_peer(const fh_ei *ei, unsigned i, fh_peer_view *view);
const fh_spread *fh_ei_jitter(const fh_ei *ei);
const fh_spread *fh_engine_lateness(const fh_engine *e);
uint64_t fh_sock_packets(const fh_sock *s);
uint64_t fh_sock_unknown_vrid(const fh_sock *s);
uint64_t fh_sock_refused(const fh_sock *s, int why);

#endif
