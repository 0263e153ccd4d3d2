/* See fh_ipvs_codec.h. */
#include "fh_ipvs_codec.h"

#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netlink.h>

#define ALIGNED(n) (((n) + 3u) & ~(size_t)3u)

enum {
    ACK_CAPPED = 0x100, /* NLM_F_CAPPED */
    ACK_TLVS = 0x200,   /* NLM_F_ACK_TLVS */
};

/* ---- writing ---- */

static void put_raw(fh_ipvs_buffer *out, const void *data, size_t size) {
    size_t room = ALIGNED(size);
    if (out->failed || out->size - out->used < room) {
        out->failed = true;
        return;
    }
    if (size) memcpy(out->data + out->used, data, size);
    memset(out->data + out->used + size, 0, room - size);
    out->used += room;
}

static void put_attr(fh_ipvs_buffer *out, uint16_t type, const void *data, size_t size) {
    struct nlattr head = {.nla_len = (uint16_t)(sizeof head + size), .nla_type = type};
    put_raw(out, &head, sizeof head);
    put_raw(out, data, size);
}

static void put_u8(fh_ipvs_buffer *out, uint16_t type, uint8_t value) {
    put_attr(out, type, &value, sizeof value);
}

static void put_u16(fh_ipvs_buffer *out, uint16_t type, uint16_t value) {
    put_attr(out, type, &value, sizeof value);
}

static void put_u32(fh_ipvs_buffer *out, uint16_t type, uint32_t value) {
    put_attr(out, type, &value, sizeof value);
}

static void put_be16(fh_ipvs_buffer *out, uint16_t type, uint16_t value) {
    uint8_t wire[2];
    fh_put16(wire, value);
    put_attr(out, type, wire, sizeof wire);
}

static void put_name(fh_ipvs_buffer *out, uint16_t type, const char *name) {
    put_attr(out, type, name, strnlen(name, FH_IPVS_NAME_MAX - 1) + 1);
}

static size_t open_nest(fh_ipvs_buffer *out, uint16_t type) {
    size_t at = out->used;
    put_attr(out, type | NLA_F_NESTED, NULL, 0);
    return at;
}

static void close_nest(fh_ipvs_buffer *out, size_t at) {
    if (!out->failed) {
        uint16_t length = (uint16_t)(out->used - at);
        memcpy(out->data + at, &length, sizeof length);
    }
}

static size_t open_message(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint8_t version,
                           uint16_t flags, uint32_t seq) {
    size_t at = out->used;
    struct nlmsghdr head = {
        .nlmsg_type = kind, .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST), .nlmsg_seq = seq};
    struct genlmsghdr generic = {.cmd = command, .version = version};
    out->failed = false;
    put_raw(out, &head, sizeof head);
    put_raw(out, &generic, sizeof generic);
    return at;
}

static bool close_message(fh_ipvs_buffer *out, size_t at) {
    if (out->failed) {
        out->used = at;
        return false;
    }
    uint32_t length = (uint32_t)(out->used - at);
    memcpy(out->data + at, &length, sizeof length);
    return true;
}

static void put_service_key(fh_ipvs_buffer *out, const fh_ipvs_service *service) {
    put_u16(out, IPVS_SVC_ATTR_AF, service->family);
    if (service->fwmark) {
        put_u32(out, IPVS_SVC_ATTR_FWMARK, service->fwmark);
        return;
    }
    put_u16(out, IPVS_SVC_ATTR_PROTOCOL, service->protocol);
    put_attr(out, IPVS_SVC_ATTR_ADDR, service->addr.b, sizeof service->addr.b);
    put_be16(out, IPVS_SVC_ATTR_PORT, service->port);
}

bool fh_ipvs_put_service(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq,
                         const fh_ipvs_service *service) {
    size_t at = open_message(out, kind, command, IPVS_GENL_VERSION, flags, seq);
    size_t nest = open_nest(out, IPVS_CMD_ATTR_SERVICE);
    put_service_key(out, service);
    if (command == FH_IPVS_CMD_NEW_SERVICE || command == FH_IPVS_CMD_SET_SERVICE) {
        struct ip_vs_flags bits = {.flags = service->flags, .mask = ~0u};
        put_name(out, IPVS_SVC_ATTR_SCHED_NAME, service->scheduler);
        if (service->pe[0]) put_name(out, IPVS_SVC_ATTR_PE_NAME, service->pe);
        put_attr(out, IPVS_SVC_ATTR_FLAGS, &bits, sizeof bits);
        put_u32(out, IPVS_SVC_ATTR_TIMEOUT, service->timeout);
        put_u32(out, IPVS_SVC_ATTR_NETMASK, service->netmask);
    }
    close_nest(out, nest);
    return close_message(out, at);
}

bool fh_ipvs_put_dest(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq,
                      const fh_ipvs_service *service, const fh_ipvs_dest *dest) {
    size_t at = open_message(out, kind, command, IPVS_GENL_VERSION, flags, seq);
    size_t nest = open_nest(out, IPVS_CMD_ATTR_SERVICE);
    put_service_key(out, service);
    close_nest(out, nest);
    nest = open_nest(out, IPVS_CMD_ATTR_DEST);
    /* The family only where it differs: kernels before 3.18 refuse to hear of it. */
    if (dest->family != service->family) put_u16(out, IPVS_DEST_ATTR_ADDR_FAMILY, dest->family);
    put_attr(out, IPVS_DEST_ATTR_ADDR, dest->addr.b, sizeof dest->addr.b);
    put_be16(out, IPVS_DEST_ATTR_PORT, dest->port);
    if (command == FH_IPVS_CMD_NEW_DEST || command == FH_IPVS_CMD_SET_DEST) {
        put_u32(out, IPVS_DEST_ATTR_FWD_METHOD, dest->forward);
        put_u32(out, IPVS_DEST_ATTR_WEIGHT, dest->weight);
        put_u32(out, IPVS_DEST_ATTR_U_THRESH, dest->upper);
        put_u32(out, IPVS_DEST_ATTR_L_THRESH, dest->lower);
        if (dest->forward == IP_VS_CONN_F_TUNNEL && (dest->tunnel_type || dest->tunnel_flags)) {
            put_u8(out, IPVS_DEST_ATTR_TUN_TYPE, dest->tunnel_type);
            put_be16(out, IPVS_DEST_ATTR_TUN_PORT, dest->tunnel_port);
            put_u16(out, IPVS_DEST_ATTR_TUN_FLAGS, dest->tunnel_flags);
        }
    }
    close_nest(out, nest);
    return close_message(out, at);
}

bool fh_ipvs_put_dest_request(fh_ipvs_buffer *out, uint16_t kind, uint32_t seq,
                              const fh_ipvs_service *service) {
    return fh_ipvs_put_service(out, kind, FH_IPVS_CMD_GET_DEST, NLM_F_DUMP, seq, service);
}

bool fh_ipvs_put_daemon(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq,
                        const fh_ipvs_daemon *daemon) {
    size_t at = open_message(out, kind, command, IPVS_GENL_VERSION, flags, seq);
    size_t nest = open_nest(out, IPVS_CMD_ATTR_DAEMON);
    put_u32(out, IPVS_DAEMON_ATTR_STATE, daemon->state);
    if (command == FH_IPVS_CMD_NEW_DAEMON) {
        put_name(out, IPVS_DAEMON_ATTR_MCAST_IFN, daemon->interface);
        put_u32(out, IPVS_DAEMON_ATTR_SYNC_ID, daemon->sync_id);
        if (daemon->max_len) put_u16(out, IPVS_DAEMON_ATTR_SYNC_MAXLEN, daemon->max_len);
        if (daemon->port) put_u16(out, IPVS_DAEMON_ATTR_MCAST_PORT, daemon->port);
        if (daemon->ttl) put_u8(out, IPVS_DAEMON_ATTR_MCAST_TTL, daemon->ttl);
        if (daemon->group_family == FH_AF_INET)
            put_attr(out, IPVS_DAEMON_ATTR_MCAST_GROUP, daemon->group.b, 4);
        else if (daemon->group_family == FH_AF_INET6)
            put_attr(out, IPVS_DAEMON_ATTR_MCAST_GROUP6, daemon->group.b, 16);
    }
    close_nest(out, nest);
    return close_message(out, at);
}

bool fh_ipvs_put_timeouts(fh_ipvs_buffer *out, uint16_t kind, uint16_t flags, uint32_t seq,
                          const fh_ipvs_timeouts *timeouts) {
    size_t at = open_message(out, kind, FH_IPVS_CMD_SET_CONFIG, IPVS_GENL_VERSION, flags, seq);
    put_u32(out, IPVS_CMD_ATTR_TIMEOUT_TCP, timeouts->tcp);
    put_u32(out, IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, timeouts->tcp_fin);
    put_u32(out, IPVS_CMD_ATTR_TIMEOUT_UDP, timeouts->udp);
    return close_message(out, at);
}

bool fh_ipvs_put_plain(fh_ipvs_buffer *out, uint16_t kind, uint8_t command, uint16_t flags, uint32_t seq) {
    return close_message(out, open_message(out, kind, command, IPVS_GENL_VERSION, flags, seq));
}

bool fh_ipvs_put_family_request(fh_ipvs_buffer *out, const char *name, uint32_t seq) {
    size_t at = open_message(out, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, 0, seq);
    put_name(out, CTRL_ATTR_FAMILY_NAME, name);
    return close_message(out, at);
}

/* ---- reading ---- */

/* One attribute: its type without flags, and what is in it. */
typedef struct {
    uint16_t type;
    size_t size;
    const uint8_t *data;
} attribute;

static bool next_attr(const uint8_t *data, size_t size, size_t *offset, attribute *found) {
    struct nlattr head;
    if (*offset > size || size - *offset < sizeof head) return false;
    memcpy(&head, data + *offset, sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > size - *offset) return false;
    found->type = head.nla_type & 0x3fff; /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
    found->size = head.nla_len - sizeof head;
    found->data = data + *offset + sizeof head;
    *offset += ALIGNED((size_t)head.nla_len);
    return true;
}

static uint16_t read_u16(const attribute *a) {
    uint16_t value = 0;
    if (a->size >= sizeof value) memcpy(&value, a->data, sizeof value);
    return value;
}

static uint32_t read_u32(const attribute *a) {
    uint32_t value = 0;
    if (a->size >= sizeof value) memcpy(&value, a->data, sizeof value);
    return value;
}

static uint64_t read_count(const attribute *a) {
    uint64_t value = 0;
    if (a->size >= sizeof value) {
        memcpy(&value, a->data, sizeof value);
        return value;
    }
    return read_u32(a);
}

static uint16_t read_be16(const attribute *a) {
    return a->size >= 2 ? fh_get16(a->data) : 0;
}

static void read_name(const attribute *a, char *name) {
    size_t n = a->size < FH_IPVS_NAME_MAX - 1 ? a->size : FH_IPVS_NAME_MAX - 1;
    memcpy(name, a->data, n);
    memset(name + n, 0, FH_IPVS_NAME_MAX - n);
}

static void read_addr(const attribute *a, fh_addr *addr) {
    size_t n = a->size < sizeof addr->b ? a->size : sizeof addr->b;
    memset(addr, 0, sizeof *addr);
    memcpy(addr->b, a->data, n);
}

/* The kernel copies sixteen octets also for IPv4, of which the last twelve mean nothing. */
static void trim_addr(fh_addr *addr, uint16_t family) {
    if (family == FH_AF_INET) memset(addr->b + 4, 0, 12);
}

static void read_stats(const attribute *nest, fh_ipvs_stats *stats) {
    uint64_t *fields[IPVS_STATS_ATTR_OUTBPS + 1] = {
        [IPVS_STATS_ATTR_CONNS] = &stats->conns,          [IPVS_STATS_ATTR_INPKTS] = &stats->in_packets,
        [IPVS_STATS_ATTR_OUTPKTS] = &stats->out_packets,  [IPVS_STATS_ATTR_INBYTES] = &stats->in_bytes,
        [IPVS_STATS_ATTR_OUTBYTES] = &stats->out_bytes,   [IPVS_STATS_ATTR_CPS] = &stats->conn_rate,
        [IPVS_STATS_ATTR_INPPS] = &stats->in_packet_rate, [IPVS_STATS_ATTR_OUTPPS] = &stats->out_packet_rate,
        [IPVS_STATS_ATTR_INBPS] = &stats->in_byte_rate,   [IPVS_STATS_ATTR_OUTBPS] = &stats->out_byte_rate,
    };
    attribute a;
    size_t offset = 0;
    while (next_attr(nest->data, nest->size, &offset, &a))
        if (a.type <= IPVS_STATS_ATTR_OUTBPS && fields[a.type]) *fields[a.type] = read_count(&a);
}

/* The nested attribute of this type inside the body of a generic message. */
static bool find_nest(const uint8_t *body, size_t length, uint16_t type, attribute *nest) {
    size_t offset = GENL_HDRLEN;
    while (next_attr(body, length, &offset, nest))
        if (nest->type == type) return true;
    return false;
}

bool fh_nl_next(const uint8_t *data, size_t size, size_t *offset, fh_nl_message *message) {
    struct nlmsghdr head;
    if (*offset > size || size - *offset < sizeof head) return false;
    memcpy(&head, data + *offset, sizeof head);
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > size - *offset) return false;
    message->type = head.nlmsg_type;
    message->flags = head.nlmsg_flags;
    message->seq = head.nlmsg_seq;
    message->port = head.nlmsg_pid;
    message->body = data + *offset + sizeof head;
    message->length = head.nlmsg_len - sizeof head;
    *offset += ALIGNED((size_t)head.nlmsg_len);
    return true;
}

int fh_nl_error(const fh_nl_message *message, char *words, size_t words_size) {
    int32_t code;
    if (words_size) words[0] = 0;
    if (message->length < sizeof code) return 0;
    memcpy(&code, message->body, sizeof code);
    if (message->flags & ACK_TLVS && words_size) {
        size_t offset = sizeof code + sizeof(struct nlmsghdr);
        if (!(message->flags & ACK_CAPPED) && code && message->length >= offset) {
            uint32_t asked;
            memcpy(&asked, message->body + sizeof code, sizeof asked);
            offset = sizeof code + ALIGNED((size_t)asked);
        }
        attribute a;
        while (next_attr(message->body, message->length, &offset, &a)) {
            if (a.type == NLMSGERR_ATTR_MSG) {
                size_t n = a.size < words_size - 1 ? a.size : words_size - 1;
                memcpy(words, a.data, n);
                words[n] = 0;
            }
        }
    }
    return code == INT32_MIN ? 0 : -code;
}

bool fh_ipvs_get_service(const uint8_t *body, size_t length, fh_ipvs_service *service) {
    attribute nest, a;
    size_t offset = 0;
    memset(service, 0, sizeof *service);
    if (!find_nest(body, length, IPVS_CMD_ATTR_SERVICE, &nest)) return false;
    bool wide = false;
    while (next_attr(nest.data, nest.size, &offset, &a)) {
        switch (a.type) {
        case IPVS_SVC_ATTR_AF:
            service->family = read_u16(&a);
            break;
        case IPVS_SVC_ATTR_PROTOCOL:
            service->protocol = read_u16(&a);
            break;
        case IPVS_SVC_ATTR_ADDR:
            read_addr(&a, &service->addr);
            break;
        case IPVS_SVC_ATTR_PORT:
            service->port = read_be16(&a);
            break;
        case IPVS_SVC_ATTR_FWMARK:
            service->fwmark = read_u32(&a);
            break;
        case IPVS_SVC_ATTR_SCHED_NAME:
            read_name(&a, service->scheduler);
            break;
        case IPVS_SVC_ATTR_PE_NAME:
            read_name(&a, service->pe);
            break;
        case IPVS_SVC_ATTR_FLAGS:
            service->flags = read_u32(&a);
            break;
        case IPVS_SVC_ATTR_TIMEOUT:
            service->timeout = read_u32(&a);
            break;
        case IPVS_SVC_ATTR_NETMASK:
            service->netmask = read_u32(&a);
            break;
        case IPVS_SVC_ATTR_STATS:
            if (!wide) read_stats(&a, &service->stats);
            break;
        case IPVS_SVC_ATTR_STATS64:
            wide = true;
            read_stats(&a, &service->stats);
            break;
        default:
            break;
        }
    }
    if (service->family != FH_AF_INET && service->family != FH_AF_INET6) return false;
    trim_addr(&service->addr, service->family);
    return true;
}

bool fh_ipvs_get_dest(const uint8_t *body, size_t length, uint16_t service_family, fh_ipvs_dest *dest) {
    attribute nest, a;
    size_t offset = 0;
    memset(dest, 0, sizeof *dest);
    if (!find_nest(body, length, IPVS_CMD_ATTR_DEST, &nest)) return false;
    dest->family = service_family;
    bool wide = false, has_addr = false;
    while (next_attr(nest.data, nest.size, &offset, &a)) {
        switch (a.type) {
        case IPVS_DEST_ATTR_ADDR:
            has_addr = true;
            read_addr(&a, &dest->addr);
            break;
        case IPVS_DEST_ATTR_PORT:
            dest->port = read_be16(&a);
            break;
        case IPVS_DEST_ATTR_FWD_METHOD:
            dest->forward = read_u32(&a) & IP_VS_CONN_F_FWD_MASK;
            break;
        case IPVS_DEST_ATTR_WEIGHT:
            dest->weight = read_u32(&a);
            break;
        case IPVS_DEST_ATTR_U_THRESH:
            dest->upper = read_u32(&a);
            break;
        case IPVS_DEST_ATTR_L_THRESH:
            dest->lower = read_u32(&a);
            break;
        case IPVS_DEST_ATTR_ACTIVE_CONNS:
            dest->active = read_u32(&a);
            break;
        case IPVS_DEST_ATTR_INACT_CONNS:
            dest->inactive = read_u32(&a);
            break;
        case IPVS_DEST_ATTR_PERSIST_CONNS:
            dest->persistent = read_u32(&a);
            break;
        case IPVS_DEST_ATTR_ADDR_FAMILY:
            dest->family = read_u16(&a);
            break;
        case IPVS_DEST_ATTR_TUN_TYPE:
            dest->tunnel_type = a.size ? a.data[0] : 0;
            break;
        case IPVS_DEST_ATTR_TUN_PORT:
            dest->tunnel_port = read_be16(&a);
            break;
        case IPVS_DEST_ATTR_TUN_FLAGS:
            dest->tunnel_flags = read_u16(&a);
            break;
        case IPVS_DEST_ATTR_STATS:
            if (!wide) read_stats(&a, &dest->stats);
            break;
        case IPVS_DEST_ATTR_STATS64:
            wide = true;
            read_stats(&a, &dest->stats);
            break;
        default:
            break;
        }
    }
    trim_addr(&dest->addr, dest->family);
    return has_addr;
}

bool fh_ipvs_get_daemon(const uint8_t *body, size_t length, fh_ipvs_daemon *daemon) {
    attribute nest, a;
    size_t offset = 0;
    memset(daemon, 0, sizeof *daemon);
    if (!find_nest(body, length, IPVS_CMD_ATTR_DAEMON, &nest)) return false;
    while (next_attr(nest.data, nest.size, &offset, &a)) {
        switch (a.type) {
        case IPVS_DAEMON_ATTR_STATE:
            daemon->state = read_u32(&a);
            break;
        case IPVS_DAEMON_ATTR_MCAST_IFN:
            read_name(&a, daemon->interface);
            break;
        case IPVS_DAEMON_ATTR_SYNC_ID:
            daemon->sync_id = read_u32(&a);
            break;
        case IPVS_DAEMON_ATTR_SYNC_MAXLEN:
            daemon->max_len = read_u16(&a);
            break;
        case IPVS_DAEMON_ATTR_MCAST_PORT:
            daemon->port = read_u16(&a);
            break;
        case IPVS_DAEMON_ATTR_MCAST_TTL:
            daemon->ttl = a.size ? a.data[0] : 0;
            break;
        case IPVS_DAEMON_ATTR_MCAST_GROUP:
            daemon->group_family = FH_AF_INET;
            read_addr(&a, &daemon->group);
            break;
        case IPVS_DAEMON_ATTR_MCAST_GROUP6:
            daemon->group_family = FH_AF_INET6;
            read_addr(&a, &daemon->group);
            break;
        default:
            break;
        }
    }
    return daemon->state != 0;
}

bool fh_ipvs_get_timeouts(const uint8_t *body, size_t length, fh_ipvs_timeouts *timeouts) {
    attribute a;
    size_t offset = GENL_HDRLEN;
    bool found = false;
    memset(timeouts, 0, sizeof *timeouts);
    while (next_attr(body, length, &offset, &a)) {
        if (a.type == IPVS_CMD_ATTR_TIMEOUT_TCP)
            timeouts->tcp = read_u32(&a);
        else if (a.type == IPVS_CMD_ATTR_TIMEOUT_TCP_FIN)
            timeouts->tcp_fin = read_u32(&a);
        else if (a.type == IPVS_CMD_ATTR_TIMEOUT_UDP)
            timeouts->udp = read_u32(&a);
        else
            continue;
        found = true;
    }
    return found;
}

bool fh_ipvs_get_info(const uint8_t *body, size_t length, uint32_t *version, uint32_t *table_size) {
    attribute a;
    size_t offset = GENL_HDRLEN;
    bool found = false;
    while (next_attr(body, length, &offset, &a)) {
        if (a.type == IPVS_INFO_ATTR_VERSION) {
            *version = read_u32(&a);
            found = true;
        } else if (a.type == IPVS_INFO_ATTR_CONN_TAB_SIZE) {
            *table_size = read_u32(&a);
        }
    }
    return found;
}

bool fh_ipvs_get_family(const uint8_t *body, size_t length, uint16_t *kind) {
    attribute a;
    if (!find_nest(body, length, CTRL_ATTR_FAMILY_ID, &a) || a.size < sizeof *kind) return false;
    *kind = read_u16(&a);
    return true;
}
