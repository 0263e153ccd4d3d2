/* ARP and Neighbor Discovery in C, under the sanitizers: golden octets, every prefix, every single fault. */
#include "check.h"
#include "fh_neigh_codec.h"

static const uint8_t vmac4[6] = {0, 0, 0x5e, 0, 1, 51}, vmac6[6] = {0, 0, 0x5e, 0, 2, 51};
static const uint8_t vip4[4] = {192, 0, 2, 100};
static const fh_addr vip6 = {{0x20, 0x01, 0x0d, 0xb8, [14] = 1, [15] = 0}};

static enum fh_neigh parse(const uint8_t *frame, size_t len, fh_neigh_seen *seen) {
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, frame, len);
    enum fh_neigh kind = fh_neigh_parse_frame(copy, len, seen);
    free(copy);
    return kind;
}

static void golden(void) {
    uint8_t buf[FH_NA_FRAME_LEN];
    memset(buf, 0xee, sizeof buf);
    CHECK_INT(fh_garp_build(buf, sizeof buf, vmac4, vip4, FH_GARP_THA_BROADCAST, false), 60);
    CHECK_HEX(
        buf, 60,
        "ffffffffffff00005e0001330806000108000604000100005e000133c0000264ffffffffffffc00002640000000000000000"
        "00000000000000000000");
    CHECK_INT(fh_na_build(buf, sizeof buf, vmac6, &vip6, FH_NA_ROUTER | FH_NA_OVERRIDE, NULL, NULL, NULL),
              86);
    CHECK_HEX(buf, 86,
              "33330000000100005e00023386dd6000000000203aff20010db8000000000000000000000100ff0200000000000000"
              "0000000000"
              "0001880018faa000000020010db8000000000000000000000100020100005e000233");
    CHECK_INT(fh_garp_build(buf, 59, vmac4, vip4, FH_GARP_THA_ZERO, true), 0);
    CHECK_INT(fh_na_build(buf, 85, vmac6, &vip6, 0, NULL, NULL, NULL), 0);
}

static void foreign_claims(void) {
    uint8_t buf[FH_NA_FRAME_LEN];
    fh_neigh_seen seen;
    fh_addr ours4 = {{192, 0, 2, 100}};
    fh_garp_build(buf, sizeof buf, vmac4, vip4, FH_GARP_THA_SENDER, true);
    CHECK_STR(fh_neigh_name(parse(buf, 60, &seen)), "arp_announce");
    CHECK(!fh_neigh_is_foreign_claim(&seen, FH_AF_INET, &ours4, vmac4));
    CHECK(fh_neigh_is_foreign_claim(&seen, FH_AF_INET, &ours4, vmac6));
    CHECK(!fh_neigh_is_foreign_claim(&seen, FH_AF_INET6, &ours4, vmac6));
    fh_na_build(buf, sizeof buf, vmac6, &vip6, FH_NA_OVERRIDE, NULL, NULL, NULL);
    CHECK_STR(fh_neigh_name(parse(buf, 86, &seen)), "na");
    CHECK(fh_neigh_is_foreign_claim(&seen, FH_AF_INET6, &vip6, vmac4));
    CHECK(!fh_neigh_is_foreign_claim(&seen, FH_AF_INET6, &vip6, vmac6));
}

static void prefixes(void) {
    uint8_t arp[FH_ARP_FRAME_LEN], na[FH_NA_FRAME_LEN];
    fh_neigh_seen seen;
    fh_garp_build(arp, sizeof arp, vmac4, vip4, FH_GARP_THA_ZERO, false);
    for (size_t cut = 0; cut <= sizeof arp; cut++)
        CHECK((parse(arp, cut, &seen) == FH_NEIGH_ARP_ANNOUNCE) == (cut >= 42));
    fh_na_build(na, sizeof na, vmac6, &vip6, FH_NA_OVERRIDE, NULL, NULL, NULL);
    for (size_t cut = 0; cut <= sizeof na; cut++) {
        CHECK((parse(na, cut, &seen) == FH_NEIGH_NA) == (cut == sizeof na));
        if (cut >= FH_ETH_LEN + FH_IP6_LEN) { /* as if that were all there is */
            uint8_t shorter[FH_NA_FRAME_LEN];
            memcpy(shorter, na, sizeof na);
            fh_put16(shorter + FH_ETH_LEN + 4, (uint16_t)(cut - FH_ETH_LEN - FH_IP6_LEN));
            CHECK((parse(shorter, cut, &seen) == FH_NEIGH_NA) == (cut == sizeof na));
        }
    }
}

/* ND messages by way of the ICMPv6 socket, where the checksum is the kernel's affair. */
static enum fh_neigh parse_icmp(const char *hex, const char *src, const char *dst, int ttl) {
    uint8_t icmp[256];
    fh_neigh_seen seen;
    size_t len = unhex(hex, icmp, sizeof icmp);
    fh_rx_meta meta = {.family = FH_AF_INET6, .ttl = (int16_t)ttl};
    unhex(src, meta.src.b, 16);
    unhex(dst, meta.dst.b, 16);
    uint8_t *copy = malloc(len);
    memcpy(copy, icmp, len);
    enum fh_neigh kind = fh_neigh_parse_icmp6(&meta, copy, len, false, &seen);
    free(copy);
    return kind;
}

static void neighbor_discovery_rules(void) {
#define HOST "20010db8000000000000000000000002"
#define NOBODY "00000000000000000000000000000000"
#define TARGET "20010db8000000000000000000000100"
#define SOLICITED "ff0200000000000000000001ff000100"
#define ALL_NODES "ff020000000000000000000000000001"
    CHECK_INT(parse_icmp("8700000000000000" TARGET "0101020000000002", HOST, SOLICITED, 255), FH_NEIGH_NS);
    CHECK_INT(parse_icmp("8700000000000000" TARGET, HOST, TARGET, 255), FH_NEIGH_NS);
    CHECK_INT(parse_icmp("8700000000000000" TARGET "0101020000000002", HOST, SOLICITED, 254),
              FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8701000000000000" TARGET, HOST, SOLICITED, 255), FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8700000000000000" ALL_NODES, HOST, SOLICITED, 255), FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8700000000000000" TARGET "0100020000000002", HOST, SOLICITED, 255),
              FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8700000000000000" TARGET "0102020000000002", HOST, SOLICITED, 255),
              FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8700000000000000" TARGET "01", HOST, SOLICITED, 255), FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8700000000000000" TARGET, NOBODY, SOLICITED, 255), FH_NEIGH_NS_DAD);
    CHECK_INT(parse_icmp("8700000000000000" TARGET, NOBODY, ALL_NODES, 255), FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8700000000000000" TARGET "0101020000000002", NOBODY, SOLICITED, 255),
              FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8800000060000000" TARGET "0201020000000002", TARGET, HOST, 255), FH_NEIGH_NA);
    CHECK_INT(parse_icmp("8800000060000000" TARGET "0201020000000002", TARGET, ALL_NODES, 255),
              FH_NEIGH_MALFORMED);
    CHECK_INT(parse_icmp("8600000000000000" TARGET, HOST, ALL_NODES, 255), FH_NEIGH_NONE);
}

static void arp_rules(void) {
    uint8_t frame[FH_ARP_FRAME_LEN], good[FH_ARP_FRAME_LEN];
    fh_neigh_seen seen;
    fh_arp_reply_build(good, sizeof good, vmac4, vip4, vmac6, (const uint8_t[4]){192, 0, 2, 2});
    CHECK_INT(parse(good, sizeof good, &seen), FH_NEIGH_ARP_REPLY);
#define WITH(at, value, kind)                                                                                \
    do {                                                                                                     \
        memcpy(frame, good, sizeof frame);                                                                   \
        frame[FH_ETH_LEN + (at)] = (value);                                                                  \
        CHECK_INT(parse(frame, sizeof frame, &seen), kind);                                                  \
    } while (0)
    WITH(1, 6, FH_NEIGH_NONE);      /* another hardware */
    WITH(2, 9, FH_NEIGH_NONE);      /* another protocol */
    WITH(4, 8, FH_NEIGH_MALFORMED); /* address sizes */
    WITH(5, 16, FH_NEIGH_MALFORMED);
    WITH(7, 3, FH_NEIGH_NONE); /* RARP and other operations */
    WITH(7, 1, FH_NEIGH_ARP_REQUEST);
    memcpy(frame, good, sizeof frame);
    memset(frame + FH_ETH_LEN + 14, 0, 4);
    CHECK_INT(parse(frame, sizeof frame, &seen), FH_NEIGH_MALFORMED); /* a reply in nobody's name */
}

int main(void) {
    RUN(golden);
    RUN(foreign_claims);
    RUN(prefixes);
    RUN(neighbor_discovery_rules);
    RUN(arp_rules);
    for (int k = 0; k < FH_NEIGH_N; k++)
        CHECK(fh_neigh_name((enum fh_neigh)k) != NULL);
    return check_failed != 0;
}
