/* BFD's UDP sockets: RFC 5881 4-5 (ports, GTSM), RFC 5883 5 (multihop).
 *
 * Opened by the main thread like those of fh_sock.h; used by whoever drives the sessions. Non-blocking and
 * close-on-exec. Every function returns a descriptor, or -errno. */
#ifndef FH_BFD_SOCK_H
#define FH_BFD_SOCK_H

#include "fh_base.h"

#define FH_BFD_SOURCE_PORT_LEAST 49152 /* RFC 5881 4: the source port lies in 49152-65535 */

/* Receives one family's packets to port (FH_BFD_PORT...), on ifindex (0: any), with TTL, destination,
 * interface and the kernel's receive time in control messages. A wrong TTL is let through: that it is counted
 * matters more than that it is dropped early. rcvbuf in octets, 0: the system's default. */
int fh_bfd_sock_rx(int family, uint16_t port, uint32_t ifindex, int rcvbuf);

/* Sends one session's packets, from source (NULL: the kernel's choice), over ifindex (0: as routed), with
 * this TTL or hop limit. *port becomes its source port, sought from random onwards; -EADDRINUSE when none is
 * free. Hears nothing. */
int fh_bfd_sock_tx(int family, const fh_addr *source, uint32_t ifindex, uint8_t ttl, uint32_t random,
                   uint16_t *port);

/* Don't Fragment, whatever the kernel believes of the path's MTU: padded packets shall find out (RFC 9764 3).
 */
int fh_bfd_sock_no_fragments(int fd, int family);
/* Hears answers, too: an S-BFD initiator. Asks for the same control messages as fh_bfd_sock_rx. */
int fh_bfd_sock_answers(int fd, int family);
/* Frames' IP packets to the Echo port, on any interface, from elsewhere. */
int fh_bfd_sock_echo(int family, int rcvbuf);

/* What a receive socket lets through under attack. */
typedef struct {
    int family;
    bool gtsm;             /* TTL 255 only */
    uint8_t sample;        /* one in 2^sample of the refused is still let through, to be counted */
    const uint32_t *discr; /* ours, ascending */
    const uint32_t *peer;  /* last four octets of the neighbours' addresses, ascending */
    uint32_t discrs, peers;
} fh_bfd_filter;
/* NULL: everything. With more sessions than a filter holds (about 950) it looks at discriminators only, and
 * beyond twice that at the packet's form. */
int fh_bfd_sock_filter(int fd, const fh_bfd_filter *filter);

#endif
