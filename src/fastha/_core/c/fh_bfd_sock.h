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

#endif
