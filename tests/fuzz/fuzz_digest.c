/* Fuzz target: digests and HMAC. Taken in whole or in any pieces, the result is the same; a key's prepared
 * form gives what the definition of RFC 2104 gives. */
#include <stdio.h>
#include <stdlib.h>

#include "fh_digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void failed(int line) {
    fprintf(stderr, "%s:%d: does not hold\n", __FILE__, line);
    abort();
}
#define must(so) ((so) ? (void)0 : failed(__LINE__))

/* One algorithm: in one piece, in pieces whose lengths the data choose, and HMAC by its definition. */
#define CHECK_DIGEST(NAME, SIZE)                                                                             \
    static void check_##NAME(const uint8_t *data, size_t size) {                                             \
        uint8_t whole[SIZE], pieces[SIZE];                                                                   \
        fh_##NAME ctx;                                                                                       \
        fh_##NAME##_sum(data, size, whole);                                                                  \
        fh_##NAME##_init(&ctx);                                                                              \
        for (size_t at = 0; at < size;) {                                                                    \
            size_t step = data[at] % 130u;                                                                   \
            if (step > size - at) step = size - at;                                                          \
            fh_##NAME##_update(&ctx, data + at, step);                                                       \
            if (step == 0) fh_##NAME##_update(&ctx, data + at, step = 1);                                    \
            at += step;                                                                                      \
        }                                                                                                    \
        fh_##NAME##_final(&ctx, pieces);                                                                     \
        must(fh_equal_ct(whole, pieces, SIZE));                                                              \
    }

CHECK_DIGEST(md5, FH_MD5_SIZE)
CHECK_DIGEST(sha1, FH_SHA1_SIZE)
CHECK_DIGEST(sha256, FH_SHA256_SIZE)

#define CHECK_HMAC(NAME, SIZE)                                                                               \
    static void check_hmac_##NAME(const uint8_t *secret, size_t length, const uint8_t *data, size_t size) {  \
        uint8_t block[FH_DIGEST_BLOCK] = {0}, got[SIZE], want[SIZE];                                         \
        fh_hmac_##NAME##_key key;                                                                            \
        fh_##NAME ctx;                                                                                       \
        fh_hmac_##NAME##_prepare(&key, secret, length);                                                      \
        fh_hmac_##NAME(&key, data, size, got);                                                               \
        if (length > sizeof block)                                                                           \
            fh_##NAME##_sum(secret, length, block);                                                          \
        else if (length != 0)                                                                                \
            memcpy(block, secret, length);                                                                   \
        for (size_t i = 0; i < sizeof block; i++)                                                            \
            block[i] ^= 0x36;                                                                                \
        fh_##NAME##_init(&ctx);                                                                              \
        fh_##NAME##_update(&ctx, block, sizeof block);                                                       \
        fh_##NAME##_update(&ctx, data, size);                                                                \
        fh_##NAME##_final(&ctx, want);                                                                       \
        for (size_t i = 0; i < sizeof block; i++)                                                            \
            block[i] ^= 0x36 ^ 0x5c;                                                                         \
        fh_##NAME##_init(&ctx);                                                                              \
        fh_##NAME##_update(&ctx, block, sizeof block);                                                       \
        fh_##NAME##_update(&ctx, want, SIZE);                                                                \
        fh_##NAME##_final(&ctx, want);                                                                       \
        must(fh_equal_ct(got, want, SIZE));                                                                  \
        want[size % SIZE] ^= 1;                                                                              \
        must(!fh_equal_ct(got, want, SIZE));                                                                 \
    }

CHECK_HMAC(md5, FH_MD5_SIZE)
CHECK_HMAC(sha256, FH_SHA256_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    size_t secret = data[0] % 100u < size ? data[0] % 100u : size;
    check_md5(data, size);
    check_sha1(data, size);
    check_sha256(data, size);
    check_hmac_md5(data, secret, data + secret, size - secret);
    check_hmac_sha256(data, secret, data + secret, size - secret);
    return 0;
}
