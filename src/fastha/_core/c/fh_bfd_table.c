#include "fh_bfd_table.h"

#include "fh_inet.h"

/* Only configured peers and our own random discriminators are ever put in, so nobody outside can choose what
 * collides. */
static uint32_t mix(uint32_t h) {
    h ^= h >> 16;
    h *= 0x7feb352du;
    h ^= h >> 15;
    h *= 0x846ca68bu;
    return h ^ (h >> 16);
}

static uint32_t peer_hash(uint8_t family, const fh_addr *peer, uint16_t port) {
    uint32_t h = ((uint32_t)family << 16) | port;
    for (size_t i = 0; i < sizeof peer->b; i += 4)
        h = mix(h ^ fh_get32(peer->b + i));
    return h;
}

static fh_bfd_way **discr_bucket(const fh_bfd_table *t, uint32_t discr) {
    return &t->by_discr[mix(discr) & t->mask];
}

static fh_bfd_way **peer_bucket(const fh_bfd_table *t, uint8_t family, const fh_addr *peer, uint16_t port) {
    return &t->by_peer[peer_hash(family, peer, port) & t->mask];
}

fh_bfd_way *fh_bfd_table_discr(const fh_bfd_table *t, uint32_t discr) {
    fh_bfd_way *way = *discr_bucket(t, discr);
    while (way != NULL && way->discr != discr)
        way = way->next_by_discr;
    return way;
}

bool fh_bfd_table_add(fh_bfd_table *t, fh_bfd_way *way) {
    if (way->discr == 0 || fh_bfd_table_discr(t, way->discr) != NULL) return false;
    fh_bfd_way **first = discr_bucket(t, way->discr);
    way->next_by_discr = *first;
    *first = way;
    first = peer_bucket(t, way->family, &way->peer, way->port);
    way->next_by_peer = *first;
    *first = way;
    return true;
}

bool fh_bfd_table_remove(fh_bfd_table *t, fh_bfd_way *way) {
    fh_bfd_way **link = discr_bucket(t, way->discr);
    while (*link != NULL && *link != way)
        link = &(*link)->next_by_discr;
    if (*link == NULL) return false;
    *link = way->next_by_discr;
    link = peer_bucket(t, way->family, &way->peer, way->port);
    while (*link != way)
        link = &(*link)->next_by_peer;
    *link = way->next_by_peer;
    way->next_by_discr = way->next_by_peer = NULL;
    return true;
}

static fh_bfd_way *by_peer(const fh_bfd_table *t, const fh_bfd_arrival *from) {
    fh_bfd_way *best = NULL;
    int best_named = -1;
    for (fh_bfd_way *way = *peer_bucket(t, from->family, &from->src, from->port); way != NULL;
         way = way->next_by_peer) {
        if (way->family != from->family || way->port != from->port || !fh_addr_equal(&way->peer, &from->src))
            continue;
        if (way->ifindex != 0 && way->ifindex != from->ifindex) continue;
        if (way->has_local && !fh_addr_equal(&way->local, &from->dst)) continue;
        int named = (way->ifindex != 0) + way->has_local;
        if (named > best_named) {
            best = way;
            best_named = named;
        }
    }
    return best;
}

enum fh_bfd_rx fh_bfd_table_find(const fh_bfd_table *t, const fh_bfd_packet *packet,
                                 const fh_bfd_arrival *from, fh_bfd_way **way) {
    *way = NULL;
    if (packet->your_discr != 0) {
        *way = fh_bfd_table_discr(t, packet->your_discr);
        if (*way == NULL) return FH_BFD_RX_YOUR_UNKNOWN;
        if ((*way)->family != from->family || (*way)->port != from->port ||
            ((*way)->ifindex != 0 && (*way)->ifindex != from->ifindex))
            return FH_BFD_RX_WRONG_PATH;
    } else {
        enum fh_bfd_rx verdict = fh_bfd_check_your_zero(packet);
        if (verdict != FH_BFD_RX_OK) return verdict;
        *way = by_peer(t, from);
        if (*way == NULL) return FH_BFD_RX_NO_SESSION;
    }
    return fh_bfd_check_ttl(from->ttl, (*way)->least_ttl);
}
