# The C codecs as Cython sees them: for codec.pyx and for any other module of the core that handles packets.
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "fh_base.h" nogil:
    ctypedef int64_t fh_ns
    int FH_AF_INET
    int FH_AF_INET6

    ctypedef struct fh_addr:
        uint8_t b[16]


cdef extern from "fh_digest.h" nogil:
    void fh_md5_sum(const void *data, size_t len, uint8_t *out)
    void fh_sha1_sum(const void *data, size_t len, uint8_t *out)
    void fh_sha256_sum(const void *data, size_t len, uint8_t *out)

    ctypedef struct fh_hmac_md5_key:
        pass

    ctypedef struct fh_hmac_sha256_key:
        pass

    void fh_hmac_md5_prepare(fh_hmac_md5_key *key, const void *secret, size_t len)
    void fh_hmac_md5(const fh_hmac_md5_key *key, const void *data, size_t len, uint8_t *out)
    void fh_hmac_sha256_prepare(fh_hmac_sha256_key *key, const void *secret, size_t len)
    void fh_hmac_sha256(const fh_hmac_sha256_key *key, const void *data, size_t len, uint8_t *out)


cdef extern from "fh_inet.h" nogil:
    uint32_t fh_sum_add(uint32_t sum, const void *data, size_t len)
    uint16_t fh_sum_fold(uint32_t sum)

    ctypedef struct fh_rx_meta:
        uint8_t family
        uint8_t proto
        int16_t ttl
        fh_addr src
        fh_addr dst
        const uint8_t *ip4
        uint16_t ip4_len
        fh_ns mono_ns
        int64_t wall_ns

    enum fh_ip_rx:
        FH_IP_OK

    const char *fh_ip_rx_name(fh_ip_rx r)
    fh_ip_rx fh_ip4_parse(const uint8_t *pkt, size_t len, bint check, fh_rx_meta *meta,
                          const uint8_t **payload, size_t *payload_len)
    fh_ip_rx fh_ip6_parse(const uint8_t *pkt, size_t len, fh_rx_meta *meta, const uint8_t **payload,
                          size_t *payload_len)


cdef extern from "fh_vrrp_codec.h" nogil:
    enum:
        FH_VRRP_MSG_MAX
        FH_VRRP_PACKET_MAX
        FH_VRRP_AUTH_LEN

    const fh_addr *fh_vrrp_group(int family)
    void fh_vrrp_virtual_mac(int family, uint8_t vrid, uint8_t *mac)
    fh_ns fh_vrrp_skew_ns(int version, uint8_t priority, fh_ns interval_ns)
    fh_ns fh_vrrp_down_ns(int version, uint8_t priority, fh_ns interval_ns, unsigned adverts)
    fh_ns fh_vrrp_interval_ns(int version, uint16_t wire)
    uint16_t fh_vrrp_interval_wire(int version, fh_ns interval_ns)

    ctypedef struct fh_vrrp_msg:
        uint8_t version
        uint8_t family
        uint8_t vrid
        uint8_t priority
        uint16_t interval
        uint8_t auth_type
        uint8_t addr_count
        uint8_t auth_data[8]
        bint no_pseudo
        fh_addr src
        fh_addr dst
        const fh_addr *addrs

    enum fh_vrrp_build:
        FH_VRRP_BUILD_OK

    const char *fh_vrrp_build_name(fh_vrrp_build r)
    size_t fh_vrrp_encode(const fh_vrrp_msg *msg, uint8_t *buf, size_t cap, fh_vrrp_build *why)

    ctypedef struct fh_vrrp_hmac_key:
        uint8_t id

    void fh_vrrp_hmac_key_init(fh_vrrp_hmac_key *key, uint8_t id, const void *secret, size_t len)
    void fh_vrrp_ah_key_init(fh_hmac_md5_key *key, const void *password, size_t len)

    ctypedef struct fh_vrrp_tx_conf:
        fh_vrrp_msg msg
        uint8_t ttl
        uint8_t tos
        bint dont_fragment
        bint old_unicast_checksum
        uint16_t ip_id
        bint ethernet
        uint8_t eth_src[6]
        uint8_t eth_dst[6]
        const fh_hmac_md5_key *ah_key
        const fh_vrrp_hmac_key *hmac_key

    ctypedef struct fh_vrrp_template:
        uint16_t len

    ctypedef struct fh_vrrp_sign_state:
        uint32_t ah_seq
        bint ah_seq_known
        uint64_t hmac_stamp

    fh_vrrp_build fh_vrrp_template_init(fh_vrrp_template *t, uint8_t *buf, size_t cap,
                                        const fh_vrrp_tx_conf *conf)
    uint8_t fh_vrrp_template_priority(const fh_vrrp_template *t)
    void fh_vrrp_template_set_priority(fh_vrrp_template *t, uint8_t priority)
    void fh_vrrp_template_set_interval(fh_vrrp_template *t, uint16_t interval)
    void fh_vrrp_template_set_ip_id(fh_vrrp_template *t, uint16_t id)
    void fh_vrrp_template_sign(fh_vrrp_template *t, fh_vrrp_sign_state *s, int64_t clock_ns)
    bint fh_vrrp_template_needs_sign(const fh_vrrp_template *t)
    const uint8_t *fh_vrrp_template_frame(const fh_vrrp_template *t, size_t *len)
    const uint8_t *fh_vrrp_template_packet(const fh_vrrp_template *t, size_t *len)
    const uint8_t *fh_vrrp_template_payload(const fh_vrrp_template *t, size_t *len)

    enum fh_vrrp_rx:
        FH_VRRP_RX_OK
        FH_VRRP_RX_N

    const char *fh_vrrp_rx_name(fh_vrrp_rx r)

    enum:
        FH_VRRP_F_INTERVAL
        FH_VRRP_F_ADDR_COUNT
        FH_VRRP_F_ADDR_LIST
        FH_VRRP_F_OWN_SOURCE
        FH_VRRP_F_OWNER
        FH_VRRP_F_OLD_CHECKSUM
        FH_VRRP_F_HMAC_TOLERATED
        FH_VRRP_F_HMAC_IGNORED
        FH_VRRP_F_HMAC_VERIFIED
        FH_VRRP_F_COUNT_ZERO
        FH_VRRP_F_FIRST_NOT_LINKLOCAL
        FH_VRRP_ADDRS_PROCESS
        FH_VRRP_ADDRS_DISCARD
        FH_VRRP_HMAC_OFF
        FH_VRRP_HMAC_ENFORCE
        FH_VRRP_HMAC_PERMISSIVE
        FH_VRRP_HMAC_RECEIVE_ONLY

    ctypedef struct fh_vrrp_peer:
        fh_addr addr
        int16_t min_ttl
        int16_t max_ttl

    ctypedef struct fh_vrrp_rx_conf:
        uint8_t version
        uint8_t family
        uint8_t vrid
        uint8_t priority
        uint8_t auth_type
        uint8_t auth_data[8]
        uint16_t interval
        bint no_pseudo
        bint unicast
        bint check_unicast_src
        bint owner_ignores
        bint accept_count_zero
        bint accept_first_global
        bint skip_check_adv_addr
        uint8_t addr_policy
        uint8_t old_checksum
        uint8_t hmac_mode
        bint hmac_monotonic
        uint16_t hmac_window_s
        fh_ns hmac_forget_int
        fh_addr own_src
        uint8_t addr_count
        uint8_t hmac_key_count
        uint16_t peer_count
        const fh_addr *addrs
        const fh_vrrp_peer *peers
        const fh_hmac_md5_key *ah_key
        const fh_vrrp_hmac_key *hmac_keys

    void fh_vrrp_rx_conf_prepare(fh_vrrp_rx_conf *conf)

    ctypedef struct fh_vrrp_rx_state:
        fh_vrrp_sign_state sign

    ctypedef struct fh_vrrp_advert:
        uint8_t version
        uint8_t vrid
        uint8_t priority
        uint8_t addr_count
        uint8_t auth_type
        uint16_t interval
        fh_ns interval_ns
        uint32_t flags
        uint8_t hmac_why
        uint8_t hmac_key_id
        fh_addr src
        const uint8_t *addrs

    ctypedef struct fh_vrrp_peek_info:
        uint8_t version
        uint8_t type
        uint8_t vrid
        uint8_t priority

    bint fh_vrrp_peek(uint8_t proto, const uint8_t *payload, size_t len, fh_vrrp_peek_info *out)
    fh_vrrp_rx fh_vrrp_receive(const fh_vrrp_rx_conf *conf, fh_vrrp_rx_state *state, const fh_rx_meta *meta,
                               const uint8_t *payload, size_t len, fh_vrrp_advert *out)
    bint fh_vrrp_decode(int family, const uint8_t *msg, size_t len, fh_vrrp_advert *out)


cdef extern from "fh_neigh_codec.h" nogil:
    enum:
        FH_ARP_FRAME_LEN
        FH_NA_FRAME_LEN
        FH_NA_ROUTER
        FH_NA_SOLICITED
        FH_NA_OVERRIDE

    enum fh_garp_tha:
        FH_GARP_THA_BROADCAST
        FH_GARP_THA_ZERO
        FH_GARP_THA_SENDER

    size_t fh_garp_build(uint8_t *buf, size_t cap, const uint8_t *mac, const uint8_t *ip, fh_garp_tha tha,
                         bint reply)
    size_t fh_arp_reply_build(uint8_t *buf, size_t cap, const uint8_t *mac, const uint8_t *ip,
                              const uint8_t *asker_mac, const uint8_t *asker_ip)
    size_t fh_na_build(uint8_t *buf, size_t cap, const uint8_t *mac, const fh_addr *target, uint8_t flags,
                       const fh_addr *src, const fh_addr *dst, const uint8_t *dst_mac)
    void fh_solicited_node(const fh_addr *a, fh_addr *group)

    enum fh_neigh:
        FH_NEIGH_ARP_REQUEST

    const char *fh_neigh_name(fh_neigh kind)

    ctypedef struct fh_neigh_seen:
        fh_neigh kind
        uint8_t family
        uint8_t flags
        bint has_claim
        bint has_nonce
        uint8_t eth_src[6]
        uint8_t mac[6]
        uint8_t nonce[6]
        fh_addr claim
        fh_addr target
        fh_addr src

    fh_neigh fh_neigh_parse_frame(const uint8_t *frame, size_t len, fh_neigh_seen *out)
    size_t fh_neigh_answer(const fh_neigh_seen *seen, const uint8_t *mac, bint router, uint8_t *buf,
                           size_t cap)


cdef extern from "fh_bfd_codec.h" nogil:
    enum:
        FH_BFD_PACKET_MAX

    const char *fh_bfd_state_name(unsigned state)
    const char *fh_bfd_diag_name(unsigned diag)

    ctypedef struct fh_bfd_key:
        uint8_t id
        uint8_t type
        uint8_t len

    bint fh_bfd_key_init(fh_bfd_key *key, uint8_t id, unsigned type, const void *secret, size_t len)

    ctypedef struct fh_bfd_packet:
        uint8_t version
        uint8_t diag
        uint8_t state
        uint8_t flags
        uint8_t detect_mult
        uint8_t length
        uint32_t my_discr
        uint32_t your_discr
        uint32_t min_tx_us
        uint32_t min_rx_us
        uint32_t min_echo_rx_us
        uint8_t auth_type
        uint8_t auth_len
        uint8_t auth_key_id
        uint32_t auth_seq

    enum fh_bfd_build:
        FH_BFD_BUILD_OK
        FH_BFD_BUILD_SPACE
        FH_BFD_BUILD_FIELD
        FH_BFD_BUILD_KEY

    size_t fh_bfd_encode(const fh_bfd_packet *p, const fh_bfd_key *key, size_t padded, uint8_t *buf,
                         size_t cap, fh_bfd_build *why)

    enum fh_bfd_rx:
        FH_BFD_RX_OK
        FH_BFD_RX_N

    const char *fh_bfd_rx_name(fh_bfd_rx r)
    fh_bfd_rx fh_bfd_decode(const uint8_t *buf, size_t len, fh_bfd_packet *out)
    fh_bfd_rx fh_bfd_check_your_zero(const fh_bfd_packet *p)
    fh_bfd_rx fh_bfd_check_ttl(int ttl, int least)

    ctypedef struct fh_bfd_auth:
        const fh_bfd_key *keys
        uint8_t key_count
        bint seq_known
        uint32_t rcv_seq

    fh_bfd_rx fh_bfd_auth_check(fh_bfd_auth *auth, const fh_bfd_packet *p, const uint8_t *buf,
                                uint8_t detect_mult)
