/* Finding a packet's session: by discriminator, by peer, the wrong way, and while sessions come and go. */
#include "check.h"
#include "fh_bfd_table.h"

#define WAYS 500

static fh_bfd_way *discr_buckets[64], *peer_buckets[64];
static fh_bfd_table table = {discr_buckets, peer_buckets, 63};

static const fh_addr peer = {{192, 0, 2, 1}}, local = {{192, 0, 2, 2}}, other = {{192, 0, 2, 3}};

static fh_bfd_way single(uint32_t discr, uint32_t ifindex) {
    return (fh_bfd_way){.peer = peer,
                        .discr = discr,
                        .ifindex = ifindex,
                        .port = FH_BFD_PORT_SINGLE,
                        .family = FH_AF_INET,
                        .least_ttl = 255};
}

static fh_bfd_arrival arrival(uint32_t ifindex) {
    return (fh_bfd_arrival){.src = peer,
                            .dst = local,
                            .ifindex = ifindex,
                            .port = FH_BFD_PORT_SINGLE,
                            .family = FH_AF_INET,
                            .ttl = 255};
}

static enum fh_bfd_rx find(uint32_t your, uint8_t state, fh_bfd_arrival from, fh_bfd_way **way) {
    fh_bfd_packet packet;
    memset(&packet, 0, sizeof packet);
    packet.my_discr = 9;
    packet.your_discr = your;
    packet.state = state;
    return fh_bfd_table_find(&table, &packet, &from, way);
}

static void verdicts(void) {
    fh_bfd_way a = single(7, 3), *found = NULL;
    CHECK(fh_bfd_table_add(&table, &a));
    CHECK_INT(find(7, FH_BFD_UP, arrival(3), &found), FH_BFD_RX_OK);
    CHECK(found == &a);
    CHECK_INT(find(8, FH_BFD_UP, arrival(3), &found), FH_BFD_RX_YOUR_UNKNOWN);
    CHECK(found == NULL);
    CHECK_INT(find(0, FH_BFD_UP, arrival(3), &found), FH_BFD_RX_YOUR_ZERO_STATE);
    CHECK_INT(find(0, FH_BFD_DOWN, arrival(4), &found), FH_BFD_RX_NO_SESSION);
    CHECK(found == NULL);
    CHECK_INT(find(0, FH_BFD_DOWN, arrival(3), &found), FH_BFD_RX_OK);
    CHECK(found == &a);

    CHECK_INT(find(7, FH_BFD_UP, arrival(4), &found), FH_BFD_RX_WRONG_PATH);
    CHECK(found == &a);
    fh_bfd_arrival from = arrival(3);
    from.port = FH_BFD_PORT_MULTI;
    CHECK_INT(find(7, FH_BFD_UP, from, &found), FH_BFD_RX_WRONG_PATH);
    from = arrival(3);
    from.ttl = 254;
    CHECK_INT(find(7, FH_BFD_UP, from, &found), FH_BFD_RX_TTL);
    CHECK_INT(find(0, FH_BFD_DOWN, from, &found), FH_BFD_RX_TTL);
    CHECK(found == &a);
    from.ttl = -1;
    CHECK_INT(find(7, FH_BFD_UP, from, &found), FH_BFD_RX_TTL);
    from = arrival(3);
    from.src = other;
    CHECK_INT(find(0, FH_BFD_DOWN, from, &found), FH_BFD_RX_NO_SESSION);
    CHECK(fh_bfd_table_remove(&table, &a));
}

static void named_more_first(void) {
    fh_bfd_way any = single(1, 0), on3 = single(2, 3), exact = single(3, 3), elsewhere = single(4, 3), *found;
    exact.has_local = elsewhere.has_local = true;
    exact.local = local;
    elsewhere.local = other;
    fh_bfd_way *all[] = {&exact, &on3, &any, &elsewhere};
    for (size_t i = 0; i < 4; i++)
        CHECK(fh_bfd_table_add(&table, all[i]));
    CHECK_INT(find(0, FH_BFD_DOWN, arrival(3), &found), FH_BFD_RX_OK);
    CHECK(found == &exact);
    CHECK(fh_bfd_table_remove(&table, &exact));
    find(0, FH_BFD_DOWN, arrival(3), &found);
    CHECK(found == &on3);
    find(0, FH_BFD_DOWN, arrival(4), &found);
    CHECK(found == &any);
    for (size_t i = 1; i < 4; i++)
        CHECK(fh_bfd_table_remove(&table, all[i]));
}

static void come_and_go(void) {
    static fh_bfd_way ways[WAYS];
    fh_bfd_way zero = single(0, 0), twin = single(1, 0);
    CHECK(!fh_bfd_table_add(&table, &zero));
    for (uint32_t i = 0; i < WAYS; i++) {
        ways[i] = single(i + 1, i + 1);
        CHECK(fh_bfd_table_add(&table, &ways[i]));
    }
    CHECK(!fh_bfd_table_add(&table, &twin));
    for (uint32_t i = 0; i < WAYS; i += 2)
        CHECK(fh_bfd_table_remove(&table, &ways[i]));
    CHECK(!fh_bfd_table_remove(&table, &ways[0]));
    for (uint32_t i = 0; i < WAYS; i++) {
        fh_bfd_way *want = i % 2 ? &ways[i] : NULL, *found;
        CHECK(fh_bfd_table_discr(&table, i + 1) == want);
        find(0, FH_BFD_DOWN, arrival(i + 1), &found);
        CHECK(found == want);
    }
    for (uint32_t i = 1; i < WAYS; i += 2)
        CHECK(fh_bfd_table_remove(&table, &ways[i]));
    for (size_t i = 0; i < 64; i++)
        CHECK(discr_buckets[i] == NULL && peer_buckets[i] == NULL);
}

int main(void) {
    RUN(verdicts);
    RUN(named_more_first);
    RUN(come_and_go);
    return check_failed != 0;
}
