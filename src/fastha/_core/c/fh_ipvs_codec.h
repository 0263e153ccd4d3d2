/* IPVS over generic netlink: services, destinations, statistics, time-outs and the sync daemon, as messages.
 *
 * Encodes requests into a buffer of the caller's and decodes the kernel's answers, with every length checked
 * before it is read. Does no I/O and allocates nothing. Constants are those of <linux/ip_vs.h>; framing is
 * RFC 3549 section 2.3 and <linux/genetlink.h>. */
#ifndef FH_IPVS_CODEC_H
#define FH_IPVS_CODEC_H

#include "fh_base.h"

#define FH_IPVS_NAME_MAX 16

enum {
    FH_IPVS_CMD_NEW_SERVICE = 1,
    FH_IPVS_CMD_SET_SERVICE = 2,
    FH_IPVS_CMD_DEL_SERVICE = 3,
    FH_IPVS_CMD_GET_SERVICE = 4,
    FH_IPVS_CMD_NEW_DEST = 5,
    FH_IPVS_CMD_SET_DEST = 6,
    FH_IPVS_CMD_DEL_DEST = 7,
    FH_IPVS_CMD_GET_DEST = 8,
    FH_IPVS_CMD_NEW_DAEMON = 9,
    FH_IPVS_CMD_DEL_DAEMON = 10,
    FH_IPVS_CMD_GET_DAEMON = 11,
    FH_IPVS_CMD_SET_CONFIG = 12,
    FH_IPVS_CMD_GET_CONFIG = 13,
    FH_IPVS_CMD_SET_INFO = 14,
    FH_IPVS_CMD_GET_INFO = 15,
    FH_IPVS_CMD_ZERO = 16,
    FH_IPVS_CMD_FLUSH = 17
};

/* The kernel's counters of a service or a destination; rates are per second. */
typedef struct {
    uint64_t conns, in_packets, out_packets, in_bytes, out_bytes;
    uint64_t conn_rate, in_packet_rate, out_packet_rate, in_byte_rate, out_byte_rate;
} fh_ipvs_stats;

/* A virtual service. With fwmark set, protocol, address and port mean nothing. `netmask` is as the kernel has
 * it: a mask in network order for IPv4, a prefix length for IPv6. Port is in host order. */
typedef struct {
    uint16_t family, protocol, port;
    uint32_t fwmark;
    fh_addr addr;
    char scheduler[FH_IPVS_NAME_MAX];
    char pe[FH_IPVS_NAME_MAX];
    uint32_t flags, timeout, netmask;
    fh_ipvs_stats stats;
} fh_ipvs_service;

/* A destination (real server) of a service. Ports are in host order. */
typedef struct {
    uint16_t family, port;
    fh_addr addr;
    uint32_t forward, weight, upper, lower;
    uint32_t active, inactive, persistent;
    uint16_t tunnel_port, tunnel_flags;
    uint8_t tunnel_type;
    fh_ipvs_stats stats;
} fh_ipvs_dest;

/* The connection synchronisation daemon. Zero and empty leave the kernel's default. */
typedef struct {
    uint32_t state, sync_id;
    char interface[FH_IPVS_NAME_MAX];
    uint16_t max_len, port, group_family;
    uint8_t ttl;
    fh_addr group;
} fh_ipvs_daemon;

/* Connection time-outs in seconds. */
typedef struct {
    uint32_t tcp, tcp_fin, udp;
} fh_ipvs_timeouts;

/* Where a message is written. `failed` is set, once and for all, when something did not fit. */
typedef struct {
    uint8_t *data;
    size_t size, used;
    bool failed;
} fh_ipvs_buffer;

/* Each writes one whole message (netlink header, generic header, attributes) and returns false when it does
 * not fit; what was there before stays as it was. `kind` is the family's number, `flags` go into the header.
 */
bool fh_ipvs_put_service(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq,
                         const fh_ipvs_service *service);
bool fh_ipvs_put_dest(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq,
                      const fh_ipvs_service *service, const fh_ipvs_dest *dest);
/* The request for all destinations of one service. */
bool fh_ipvs_put_dest_request(fh_ipvs_buffer *out, uint16_t kind, uint32_t seq,
                              const fh_ipvs_service *service);
bool fh_ipvs_put_daemon(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq,
                        const fh_ipvs_daemon *daemon);
bool fh_ipvs_put_timeouts(fh_ipvs_buffer *out, uint16_t kind, uint16_t flags, uint32_t seq,
                          const fh_ipvs_timeouts *timeouts);
bool fh_ipvs_put_plain(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq);
/* The request that asks the controller for a family's number by its name. */
bool fh_ipvs_put_family_request(fh_ipvs_buffer *out, const char *name, uint32_t seq);

/* One netlink message found in a datagram. */
typedef struct {
    uint16_t type, flags;
    uint32_t seq, port;
    const uint8_t *body;
    size_t length;
} fh_nl_message;

/* The message at *offset, which is moved on; false at the end, or where what is left is no whole message. */
bool fh_nl_next(const uint8_t *data, size_t size, size_t *offset, fh_nl_message *message);
/* The errno of an NLMSG_ERROR body (0 is an acknowledgement) and the kernel's own words, if it says any. */
int fh_nl_error(const fh_nl_message *message, char *words, size_t words_size);

/* Each decodes the body after the netlink header; false when it is not what it should be. */
bool fh_ipvs_get_service(const uint8_t *body, size_t length, fh_ipvs_service *service);
bool fh_ipvs_get_dest(const uint8_t *body, size_t length, uint16_t service_family, fh_ipvs_dest *dest);
bool fh_ipvs_get_daemon(const uint8_t *body, size_t length, fh_ipvs_daemon *daemon);
bool fh_ipvs_get_timeouts(const uint8_t *body, size_t length, fh_ipvs_timeouts *timeouts);
bool fh_ipvs_get_info(const uint8_t *body, size_t length, uint32_t *version, uint32_t *table_size);
bool fh_ipvs_get_family(const uint8_t *body, size_t length, uint16_t *kind);

#endif
