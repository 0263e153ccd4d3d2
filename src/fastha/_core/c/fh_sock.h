/* The engine's sockets: how they are opened and what their filters let through.
 *
 * Opened by the main thread (errors become exceptions there), used by the engine thread. All are non-blocking
 * and close-on-exec. Every function returns a descriptor, or -errno. */
#ifndef FH_SOCK_H
#define FH_SOCK_H

#include "fh_inet.h"

/* Receives VRRP (or AH) of one family on one interface (0: any), with TTL, destination, and the kernel's
 * receive time. Starts with a filter that lets nothing through, until fh_sock_filter opens it: no packet is
 * taken for an interface whose socket was not yet bound to it. */
int fh_sock_vrrp_rx(int family, int protocol, uint32_t ifindex, int rcvbuf);
int fh_sock_join(int fd, int family, uint32_t ifindex, const fh_addr *group);
int fh_sock_leave(int fd, int family, uint32_t ifindex, const fh_addr *group);

/* What a receive socket's filter lets through. */
typedef struct {
    uint8_t vrids[32]; /* bit set of the virtual router ids in use */
    int family;
    int protocol;       /* FH_PROTO_* */
    bool any_ttl;       /* unicast peers: TTL is checked later, per peer */
    bool shield;        /* under attack: drop in the kernel what the checks would refuse, but for a sample */
    bool only_from_mac; /* frames from mac only: the virtual MAC's own interface gets what its parent loses */
    uint8_t mac[6];
    uint8_t sample; /* one in 2^sample of the refused is still let through, to be counted */
} fh_sock_filter_spec;
int fh_sock_filter(int fd, const fh_sock_filter_spec *spec);

int fh_sock_packet_tx(void);          /* AF_PACKET: whole frames, to any interface */
int fh_sock_raw_tx(int family);       /* whole IP packets, routed: unicast peers */
int fh_sock_arp_rx(uint32_t ifindex); /* gratuitous ARP and ARP replies from elsewhere */
int fh_sock_na_rx(uint32_t ifindex);  /* neighbour advertisements */
int fh_sock_netlink(uint32_t groups, int rcvbuf);
/* A netlink socket that hears of links and addresses, but not of addresses that come or are renewed, unless
 * duplicate detection failed: a master renews its own all the time. */
int fh_sock_monitor(int rcvbuf);

#endif
