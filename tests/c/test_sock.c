/* What the filter of a VRRP socket lets through while a flood is on, asked of the kernel itself: raw packets
 * on the loopback. Without the right to raw sockets there is nothing to ask. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "fh_sock.h"
#include "fh_vrrp_codec.h"

typedef union {
    struct sockaddr_in6 in6;
    struct sockaddr_in in4;
    struct sockaddr any;
} address;

static int rx, tx, family;
static bool authenticated; /* behind an AH of 24 octets: its head and the 12 octets of HMAC-MD5-96 */

static bool passes(const uint8_t *advert, size_t length, int ttl) {
    uint8_t packet[64] = {FH_PROTO_VRRP, 4}, got[128];
    size_t head = authenticated ? 24 : 0;
    address to;

    memset(&to, 0, sizeof to);
    if (family == FH_AF_INET) {
        to.in4.sin_family = AF_INET;
        to.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK(setsockopt(tx, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl) == 0);
    } else {
        to.in6.sin6_family = AF_INET6;
        to.in6.sin6_addr = in6addr_loopback;
        CHECK(setsockopt(tx, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof ttl) == 0);
    }
    memcpy(packet + head, advert, length);
    socklen_t size = family == FH_AF_INET ? sizeof to.in4 : sizeof to.in6;
    CHECK(sendto(tx, packet, head + length, 0, &to.any, size) == (ssize_t)(head + length));
    struct pollfd wait = {.fd = rx, .events = POLLIN};
    return poll(&wait, 1, 0) == 1 && recv(rx, got, sizeof got, MSG_DONTWAIT) > 0;
}

static void shield(int of, bool behind_ah) {
    family = of;
    authenticated = behind_ah;
    int protocol = behind_ah ? FH_PROTO_AH : FH_PROTO_VRRP;
    rx = fh_sock_vrrp_rx(family, protocol, 0, 1 << 16);
    if (rx == -EPERM || rx == -EAFNOSUPPORT) return;
    CHECK(rx >= 0);
    tx = socket(family == FH_AF_INET ? AF_INET : AF_INET6, SOCK_RAW, protocol);
    CHECK(tx >= 0);
    uint8_t advert[20] = {0x31, 7, 100, 1, 0, 100, 0, 0, 10, 0, 0, 1};
    address here = {.in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback}};
    bool there =
        family == FH_AF_INET || sendto(tx, advert, sizeof advert, 0, &here.any, sizeof here.in6) >= 0;

    /* two virtual routers, in the first and the last word of the set; nothing is sampled, as good as */
    fh_sock_filter_spec spec = {.family = family, .protocol = protocol, .shield = true, .sample = 31};
    spec.vrids[0] = 1 << 7;
    spec.vrids[31] = 1 << 7;
    CHECK_INT(fh_sock_filter(rx, &spec), 0);
    while (recv(rx, NULL, 0, MSG_DONTWAIT) >= 0)
        ;
    for (unsigned vrid = 0; there && vrid < 256; vrid++) {
        advert[1] = (uint8_t)vrid;
        CHECK(passes(advert, 12, 255) == (vrid == 7 || vrid == 255));
    }
    if (there) {
        CHECK(passes(advert, 8, 255));
        for (size_t length = 0; length < 8; length++)
            CHECK(!passes(advert, length, 255));
        CHECK(!passes(advert, 12, 254));
        for (unsigned first = 0; first < 256; first++) {
            advert[0] = (uint8_t)first;
            CHECK(passes(advert, 12, 255) == (first == 0x21 || first == 0x31));
        }
        advert[0] = 0x31;
        spec.any_ttl = true; /* unicast peers */
        CHECK_INT(fh_sock_filter(rx, &spec), 0);
        CHECK(passes(advert, 12, 64));
        CHECK(!passes(advert, 7, 64));
        spec.shield = false;
        CHECK_INT(fh_sock_filter(rx, &spec), 0);
        CHECK(passes(advert, 1, 64));
    }
    close(tx);
    close(rx);
}

static void ipv4(void) {
    shield(FH_AF_INET, false);
}

static void ipv6(void) {
    shield(FH_AF_INET6, false);
}

static void behind_ah(void) {
    shield(FH_AF_INET, true);
}

int main(void) {
    RUN(ipv4);
    RUN(ipv6);
    RUN(behind_ah);
    return check_failed != 0;
}
