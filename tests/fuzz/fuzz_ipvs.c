/* Fuzz target: what the kernel answers about IPVS, and its netlink frames. What decodes must encode, and what
 * was encoded must decode to the same. The first octet says what the rest is taken for. */
#include <stdio.h>
#include <stdlib.h>

#include "fh_ipvs_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void failed(int line) {
    fprintf(stderr, "%s:%d: does not hold\n", __FILE__, line);
    abort();
}
#define must(so) ((so) ? (void)0 : failed(__LINE__))

static fh_nl_message only(const fh_ipvs_buffer *out) {
    fh_nl_message message = {0};
    size_t offset = 0;
    must(!out->failed && fh_nl_next(out->data, out->used, &offset, &message) && offset == out->used);
    return message;
}

static void service(const uint8_t *data, size_t size) {
    fh_ipvs_service read, again;
    uint8_t octets[1024];
    fh_ipvs_buffer out = {.data = octets, .size = sizeof octets};

    if (!fh_ipvs_get_service(data, size, &read)) return;
    must(memchr(read.scheduler, 0, sizeof read.scheduler) && memchr(read.pe, 0, sizeof read.pe));
    if (!fh_ipvs_put_service(&out, 30, FH_IPVS_CMD_NEW_SERVICE, 0, 1, &read)) return;
    fh_nl_message m = only(&out);
    must(fh_ipvs_get_service(m.body, m.length, &again));
    memset(&read.stats, 0, sizeof read.stats); /* the kernel's, never sent */
    must(again.fwmark == read.fwmark && again.timeout == read.timeout && again.flags == read.flags);
    must(strcmp(again.scheduler, read.scheduler) == 0 && strcmp(again.pe, read.pe) == 0);
    if (read.fwmark == 0)
        must(again.port == read.port && again.protocol == read.protocol &&
             memcmp(&again.addr, &read.addr, fh_addr_size(read.family)) == 0);
}

static void dest(const uint8_t *data, size_t size) {
    static const fh_ipvs_service of = {.family = FH_AF_INET, .protocol = 6, .port = 80, .scheduler = "rr"};
    fh_ipvs_dest read, again;
    uint8_t octets[1024];
    fh_ipvs_buffer out = {.data = octets, .size = sizeof octets};

    if (!fh_ipvs_get_dest(data, size, FH_AF_INET, &read)) return;
    if (!fh_ipvs_put_dest(&out, 30, FH_IPVS_CMD_NEW_DEST, 0, 1, &of, &read)) return;
    fh_nl_message m = only(&out);
    must(fh_ipvs_get_dest(m.body, m.length, FH_AF_INET, &again));
    must(again.port == read.port && again.weight == read.weight && again.forward == read.forward &&
         again.upper == read.upper && again.lower == read.lower);
    must(memcmp(&again.addr, &read.addr, fh_addr_size(read.family)) == 0);
}

static void sync_daemon(const uint8_t *data, size_t size) {
    fh_ipvs_daemon read, again;
    uint8_t octets[1024];
    fh_ipvs_buffer out = {.data = octets, .size = sizeof octets};

    if (!fh_ipvs_get_daemon(data, size, &read)) return;
    must(memchr(read.interface, 0, sizeof read.interface) != NULL);
    if (!fh_ipvs_put_daemon(&out, 30, FH_IPVS_CMD_NEW_DAEMON, 0, 1, &read)) return;
    fh_nl_message m = only(&out);
    must(fh_ipvs_get_daemon(m.body, m.length, &again) && again.state == read.state &&
         again.sync_id == read.sync_id && strcmp(again.interface, read.interface) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fh_ipvs_timeouts timeouts;
    uint32_t version, table;
    uint16_t kind;
    char words[64];

    if (size < 1) return 0;
    uint8_t what = data[0];
    data++;
    size--;
    switch (what % 7) {
    case 0:
        service(data, size);
        break;
    case 1:
        dest(data, size);
        break;
    case 2:
        sync_daemon(data, size);
        break;
    case 3:
        (void)fh_ipvs_get_timeouts(data, size, &timeouts);
        break;
    case 4:
        (void)fh_ipvs_get_info(data, size, &version, &table);
        break;
    case 5:
        (void)fh_ipvs_get_family(data, size, &kind);
        break;
    default: {
        size_t offset = 0, before = 0;
        fh_nl_message m;
        while (fh_nl_next(data, size, &offset, &m)) {
            must(offset > before && offset <= size + 3 && m.body >= data && m.body + m.length <= data + size);
            before = offset;
            (void)fh_nl_error(&m, words, sizeof words);
            must(memchr(words, 0, sizeof words) != NULL);
            service(m.body, m.length);
            dest(m.body, m.length);
        }
    }
    }
    return 0;
}
