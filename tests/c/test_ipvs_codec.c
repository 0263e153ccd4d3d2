/* Messages of IPVS against themselves and against every way of being cut short. */
#include "check.h"
#include "fh_ipvs_codec.h"

#include <linux/ip_vs.h>

static fh_ipvs_service a_service(void) {
    fh_ipvs_service service;
    memset(&service, 0, sizeof service);
    service.family = FH_AF_INET;
    service.protocol = 6;
    service.port = 80;
    service.addr.b[0] = 10;
    memcpy(service.scheduler, "wlc", 4);
    service.netmask = 0xffffffff;
    return service;
}

static void a_service_comes_back(void) {
    uint8_t data[512];
    fh_ipvs_buffer out = {.data = data, .size = sizeof data};
    fh_ipvs_service service = a_service(), read;
    service.flags = 5;
    service.timeout = 300;
    memcpy(service.pe, "sip", 4);
    CHECK(fh_ipvs_put_service(&out, 30, FH_IPVS_CMD_NEW_SERVICE, 4, 7, &service));
    fh_nl_message message;
    size_t offset = 0;
    CHECK(fh_nl_next(data, out.used, &offset, &message));
    CHECK_INT(message.type, 30);
    CHECK_INT(message.seq, 7);
    CHECK_INT(offset, out.used);
    CHECK(fh_ipvs_get_service(message.body, message.length, &read));
    CHECK(memcmp(&read, &service, sizeof read) == 0);
    CHECK(!fh_nl_next(data, out.used, &offset, &message));
}

static void a_destination_comes_back_and_stands_being_cut(void) {
    uint8_t data[512];
    fh_ipvs_buffer out = {.data = data, .size = sizeof data};
    fh_ipvs_service service = a_service();
    fh_ipvs_dest dest, read;
    memset(&dest, 0, sizeof dest);
    dest.family = FH_AF_INET6;
    dest.addr.b[15] = 1;
    dest.port = 8080;
    dest.forward = 2;
    dest.weight = 9;
    dest.tunnel_type = 1;
    dest.tunnel_port = 5555;
    CHECK(fh_ipvs_put_dest(&out, 30, FH_IPVS_CMD_NEW_DEST, 0, 1, &service, &dest));
    fh_nl_message message;
    size_t offset = 0;
    CHECK(fh_nl_next(data, out.used, &offset, &message));
    CHECK(fh_ipvs_get_dest(message.body, message.length, FH_AF_INET, &read));
    CHECK(memcmp(&read, &dest, sizeof read) == 0);
    for (size_t cut = 0; cut < message.length; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1); /* so that a sanitizer sees a read past the end */
        memcpy(copy, message.body, cut);
        fh_ipvs_get_dest(copy, cut, FH_AF_INET, &read);
        fh_ipvs_get_service(copy, cut, &service);
        free(copy);
    }
}

static void what_does_not_fit_leaves_the_buffer_as_it_was(void) {
    uint8_t data[160];
    fh_ipvs_service service = a_service();
    fh_ipvs_buffer whole = {.data = data, .size = sizeof data};
    CHECK(fh_ipvs_put_service(&whole, 30, FH_IPVS_CMD_NEW_SERVICE, 0, 1, &service));
    for (size_t size = 0; size < whole.used; size++) {
        fh_ipvs_buffer small = {.data = data, .size = size};
        CHECK(!fh_ipvs_put_service(&small, 30, FH_IPVS_CMD_NEW_SERVICE, 0, 1, &service));
        CHECK_INT(small.used, 0);
    }
    fh_ipvs_buffer two = {.data = data, .size = sizeof data};
    CHECK(fh_ipvs_put_plain(&two, 30, FH_IPVS_CMD_FLUSH, 0, 1));
    CHECK_INT(two.used, 20);
    while (fh_ipvs_put_plain(&two, 30, FH_IPVS_CMD_FLUSH, 0, 1)) {
    }
    CHECK_INT(two.used, 160);
}

static void errors_are_read(void) {
    uint8_t body[24] = {0};
    char words[16];
    int32_t code = -17;
    memcpy(body, &code, sizeof code);
    fh_nl_message message = {.type = 2, .flags = 0, .body = body, .length = sizeof body};
    CHECK_INT(fh_nl_error(&message, words, sizeof words), 17);
    CHECK_STR(words, "");
    message.length = 3;
    CHECK_INT(fh_nl_error(&message, words, sizeof words), 0);
    message.length = sizeof body;
    code = INT32_MIN; /* has no positive counterpart */
    memcpy(body, &code, sizeof code);
    CHECK_INT(fh_nl_error(&message, words, sizeof words), 0);
}

int main(void) {
    RUN(a_service_comes_back);
    RUN(a_destination_comes_back_and_stands_being_cut);
    RUN(what_does_not_fit_leaves_the_buffer_as_it_was);
    RUN(errors_are_read);
    return check_failed != 0;
}
