/* Fuzz target: the receive path of VRRP. The first octet picks a kind of instance, the rest is an IP packet.
 * What is refused must change nothing; what is accepted must be a message that we could have sent. */
#include <stdlib.h>

#include "fh_vrrp_codec.h"

static const fh_addr vips4[2] = {{{192, 0, 2, 100}}, {{192, 0, 2, 101}}};
static const fh_addr vips6[1] = {{{0xfe, 0x80, [14] = 1, [15] = 0}}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    uint8_t kind = *data++;
    size--;
    bool six = (kind & 3) == 3;
    fh_hmac_md5_key ah;
    fh_vrrp_ah_key_init(&ah, "s3cr3t", 6);
    fh_vrrp_hmac_key key;
    fh_vrrp_hmac_key_init(&key, 1, "0123456789abcdef0123456789abcdef", 32);
    fh_vrrp_peer peer = {.addr = {{192, 0, 2, 2}}, .min_ttl = 1, .max_ttl = -1};
    fh_vrrp_rx_conf conf = {
        .version = (kind & 3) >= 2 ? 3 : 2,
        .family = six ? FH_AF_INET6 : FH_AF_INET,
        .vrid = 51,
        .priority = kind & 4 ? 255 : 100,
        .auth_type = (kind & 3) == 1 ? FH_VRRP_AUTH_AH : 0,
        .interval = (kind & 3) >= 2 ? 100 : 1,
        .no_pseudo = (kind & 8) != 0,
        .unicast = (kind & 16) != 0,
        .old_checksum = (kind & 8) != 0,
        .accept_count_zero = (kind & 32) != 0,
        .skip_check_adv_addr = (kind & 32) != 0,
        .addr_policy = kind & 64 ? FH_VRRP_ADDRS_DISCARD : FH_VRRP_ADDRS_PROCESS,
        .hmac_mode =
            kind & 128 ? (kind & 64 ? FH_VRRP_HMAC_ENFORCE : FH_VRRP_HMAC_PERMISSIVE) : FH_VRRP_HMAC_OFF,
        .hmac_monotonic = true,
        .addr_count = six ? 1 : 2,
        .addrs = six ? vips6 : vips4,
        .peer_count = 1,
        .peers = &peer,
        .ah_key = &ah,
        .hmac_keys = &key,
        .hmac_key_count = 1,
    };
    fh_vrrp_rx_conf_prepare(&conf);
    fh_rx_meta meta = {.mono_ns = 7};
    const uint8_t *payload;
    size_t len;
    enum fh_ip_rx ip = six ? fh_ip6_parse(data, size, &meta, &payload, &len)
                           : fh_ip4_parse(data, size, false, &meta, &payload, &len);
    if (ip != FH_IP_OK) return 0;
    fh_vrrp_peek_info info;
    fh_vrrp_peek(meta.proto, payload, len, &info);
    fh_vrrp_rx_state state = {0}, before = {0};
    fh_vrrp_advert advert;
    enum fh_vrrp_rx r = fh_vrrp_receive(&conf, &state, &meta, payload, len, &advert);
    if (r != FH_VRRP_RX_OK) {
        if (memcmp(&state, &before, sizeof state) != 0) abort();
        return 0;
    }
    if (advert.version != conf.version || advert.vrid != conf.vrid || advert.interval == 0) abort();
    if (advert.addrs < data || advert.addrs + advert.addr_count * fh_addr_size(conf.family) > data + size)
        abort();
    /* Again: the same packet is a replay where there is a sequence, and the same advert where there is none.
     */
    fh_vrrp_advert again;
    enum fh_vrrp_rx second = fh_vrrp_receive(&conf, &state, &meta, payload, len, &again);
    bool sequence = meta.proto == FH_PROTO_AH || (conf.hmac_mode == FH_VRRP_HMAC_ENFORCE);
    if (sequence != (second != FH_VRRP_RX_OK)) abort();
    return 0;
}
