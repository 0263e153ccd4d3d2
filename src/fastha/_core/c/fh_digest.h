/* MD5 (RFC 1321), SHA-1 and SHA-256 (FIPS 180-4), HMAC over MD5 and SHA-256 (RFC 2104), for the
 * authentication that VRRP (AH of RFC 2338, keepalived's auth_hmac) and BFD (RFC 5880 6.7) ask for.
 *
 * For protocol compatibility only: MD5 and SHA-1 are what the peers speak, not what anybody would choose
 * today. Nothing here allocates, calls the system or can fail. A context is plain memory and may be copied,
 * which is how a key's padded block is hashed once and used for every packet. */
#ifndef FH_DIGEST_H
#define FH_DIGEST_H

#include "fh_base.h"

#define FH_MD5_SIZE 16
#define FH_SHA1_SIZE 20
#define FH_SHA256_SIZE 32
#define FH_DIGEST_BLOCK 64 /* block size of all three, in octets */

typedef struct {
    uint32_t h[4];
    uint32_t fill; /* octets waiting in buf */
    uint64_t len;  /* octets taken in so far */
    uint8_t buf[FH_DIGEST_BLOCK];
} fh_md5;

typedef struct {
    uint32_t h[5];
    uint32_t fill;
    uint64_t len;
    uint8_t buf[FH_DIGEST_BLOCK];
} fh_sha1;

typedef struct {
    uint32_t h[8];
    uint32_t fill;
    uint64_t len;
    uint8_t buf[FH_DIGEST_BLOCK];
} fh_sha256;

void fh_md5_init(fh_md5 *ctx);
void fh_md5_update(fh_md5 *ctx, const void *data, size_t len);
void fh_md5_final(fh_md5 *ctx, uint8_t out[FH_MD5_SIZE]);
void fh_md5_sum(const void *data, size_t len, uint8_t out[FH_MD5_SIZE]);

void fh_sha1_init(fh_sha1 *ctx);
void fh_sha1_update(fh_sha1 *ctx, const void *data, size_t len);
void fh_sha1_final(fh_sha1 *ctx, uint8_t out[FH_SHA1_SIZE]);
void fh_sha1_sum(const void *data, size_t len, uint8_t out[FH_SHA1_SIZE]);

void fh_sha256_init(fh_sha256 *ctx);
void fh_sha256_update(fh_sha256 *ctx, const void *data, size_t len);
void fh_sha256_final(fh_sha256 *ctx, uint8_t out[FH_SHA256_SIZE]);
void fh_sha256_sum(const void *data, size_t len, uint8_t out[FH_SHA256_SIZE]);

/* An HMAC key with its inner and outer block already hashed: two compressions saved for every packet.
 * Prepare once; then per message copy nothing, call begin, update..., end. Keys of any length. */
typedef struct {
    uint32_t inner[4], outer[4];
} fh_hmac_md5_key;

typedef struct {
    uint32_t inner[8], outer[8];
} fh_hmac_sha256_key;

void fh_hmac_md5_prepare(fh_hmac_md5_key *key, const void *secret, size_t len);
void fh_hmac_md5_begin(const fh_hmac_md5_key *key, fh_md5 *ctx);
void fh_hmac_md5_end(const fh_hmac_md5_key *key, fh_md5 *ctx, uint8_t out[FH_MD5_SIZE]);
void fh_hmac_md5(const fh_hmac_md5_key *key, const void *data, size_t len, uint8_t out[FH_MD5_SIZE]);

void fh_hmac_sha256_prepare(fh_hmac_sha256_key *key, const void *secret, size_t len);
void fh_hmac_sha256_begin(const fh_hmac_sha256_key *key, fh_sha256 *ctx);
void fh_hmac_sha256_end(const fh_hmac_sha256_key *key, fh_sha256 *ctx, uint8_t out[FH_SHA256_SIZE]);
void fh_hmac_sha256(const fh_hmac_sha256_key *key, const void *data, size_t len, uint8_t out[FH_SHA256_SIZE]);

/* Compares secrets: the time taken tells nothing about where they differ. */
bool fh_equal_ct(const void *a, const void *b, size_t len);

#endif
