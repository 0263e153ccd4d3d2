/* See fh_digest.h. Written from RFC 1321, FIPS 180-4 and RFC 2104; the vectors are in tests/c/test_digest.c.
 */
#include "fh_digest.h"

static inline uint32_t rol(uint32_t v, unsigned n) {
    return (v << n) | (v >> (32 - n));
}

static inline uint32_t ror(uint32_t v, unsigned n) {
    return (v >> n) | (v << (32 - n));
}

static inline uint32_t get32le(const uint8_t *p) {
    return ((uint32_t)p[3] << 24) | ((uint32_t)p[2] << 16) | ((uint32_t)p[1] << 8) | p[0];
}

static inline void put32le(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

/* ---- compression functions ---- */

static const uint32_t md5_sine[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

#define MD5_F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MD5_G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define MD5_H(x, y, z) ((x) ^ (y) ^ (z))
#define MD5_I(x, y, z) ((y) ^ ((x) | ~(z)))
#define MD5_STEP(f, a, b, c, d, k, s, i) (a) = (b) + rol((a) + f(b, c, d) + w[k] + md5_sine[i], s)
#define MD5_FOUR(f, i, k0, k1, k2, k3, s0, s1, s2, s3)                                                       \
    MD5_STEP(f, a, b, c, d, k0, s0, i);                                                                      \
    MD5_STEP(f, d, a, b, c, k1, s1, (i) + 1);                                                                \
    MD5_STEP(f, c, d, a, b, k2, s2, (i) + 2);                                                                \
    MD5_STEP(f, b, c, d, a, k3, s3, (i) + 3)

static void md5_block(uint32_t h[4], const uint8_t *p) {
    uint32_t w[16];
    for (unsigned i = 0; i < 16; i++)
        w[i] = get32le(p + 4 * i);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3];
    MD5_FOUR(MD5_F, 0, 0, 1, 2, 3, 7, 12, 17, 22);
    MD5_FOUR(MD5_F, 4, 4, 5, 6, 7, 7, 12, 17, 22);
    MD5_FOUR(MD5_F, 8, 8, 9, 10, 11, 7, 12, 17, 22);
    MD5_FOUR(MD5_F, 12, 12, 13, 14, 15, 7, 12, 17, 22);
    MD5_FOUR(MD5_G, 16, 1, 6, 11, 0, 5, 9, 14, 20);
    MD5_FOUR(MD5_G, 20, 5, 10, 15, 4, 5, 9, 14, 20);
    MD5_FOUR(MD5_G, 24, 9, 14, 3, 8, 5, 9, 14, 20);
    MD5_FOUR(MD5_G, 28, 13, 2, 7, 12, 5, 9, 14, 20);
    MD5_FOUR(MD5_H, 32, 5, 8, 11, 14, 4, 11, 16, 23);
    MD5_FOUR(MD5_H, 36, 1, 4, 7, 10, 4, 11, 16, 23);
    MD5_FOUR(MD5_H, 40, 13, 0, 3, 6, 4, 11, 16, 23);
    MD5_FOUR(MD5_H, 44, 9, 12, 15, 2, 4, 11, 16, 23);
    MD5_FOUR(MD5_I, 48, 0, 7, 14, 5, 6, 10, 15, 21);
    MD5_FOUR(MD5_I, 52, 12, 3, 10, 1, 6, 10, 15, 21);
    MD5_FOUR(MD5_I, 56, 8, 15, 6, 13, 6, 10, 15, 21);
    MD5_FOUR(MD5_I, 60, 4, 11, 2, 9, 6, 10, 15, 21);
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
}

static void sha1_block(uint32_t h[5], const uint8_t *p) {
    uint32_t w[80];
    for (unsigned i = 0; i < 16; i++)
        w[i] = fh_get32(p + 4 * i);
    for (unsigned i = 16; i < 80; i++)
        w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t t = rol(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rol(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void sha256_block(uint32_t h[8], const uint8_t *p) {
    uint32_t w[64];
    for (unsigned i = 0; i < 16; i++)
        w[i] = fh_get32(p + 4 * i);
    for (unsigned i = 16; i < 64; i++) {
        uint32_t s0 = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t s1 = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t v[8];
    memcpy(v, h, sizeof v);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t s1 = ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25);
        uint32_t ch = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + ch + sha256_k[i] + w[i];
        uint32_t s0 = ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22);
        uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        v[7] = v[6];
        v[6] = v[5];
        v[5] = v[4];
        v[4] = v[3] + t1;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = v[0];
        v[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] += v[i];
}

/* ---- the three digests differ in state, block function and byte order only ---- */

#define DIGEST_UPDATE(name)                                                                                  \
    void fh_##name##_update(fh_##name *ctx, const void *data, size_t len) {                                  \
        const uint8_t *p = data;                                                                             \
        if (len == 0) return;                                                                                \
        ctx->len += len;                                                                                     \
        if (ctx->fill > 0) {                                                                                 \
            size_t take = FH_DIGEST_BLOCK - ctx->fill;                                                       \
            if (take > len) take = len;                                                                      \
            memcpy(ctx->buf + ctx->fill, p, take);                                                           \
            ctx->fill += (uint32_t)take;                                                                     \
            p += take;                                                                                       \
            len -= take;                                                                                     \
            if (ctx->fill < FH_DIGEST_BLOCK) return;                                                         \
            name##_block(ctx->h, ctx->buf);                                                                  \
            ctx->fill = 0;                                                                                   \
        }                                                                                                    \
        for (; len >= FH_DIGEST_BLOCK; p += FH_DIGEST_BLOCK, len -= FH_DIGEST_BLOCK)                         \
            name##_block(ctx->h, p);                                                                         \
        if (len > 0) memcpy(ctx->buf, p, len);                                                               \
        ctx->fill = (uint32_t)len;                                                                           \
    }

#define DIGEST_FINAL(name, size, put_len, put_word)                                                          \
    void fh_##name##_final(fh_##name *ctx, uint8_t out[size]) {                                              \
        uint64_t bits = ctx->len * 8;                                                                        \
        ctx->buf[ctx->fill++] = 0x80;                                                                        \
        if (ctx->fill > FH_DIGEST_BLOCK - 8) {                                                               \
            memset(ctx->buf + ctx->fill, 0, FH_DIGEST_BLOCK - ctx->fill);                                    \
            name##_block(ctx->h, ctx->buf);                                                                  \
            ctx->fill = 0;                                                                                   \
        }                                                                                                    \
        memset(ctx->buf + ctx->fill, 0, FH_DIGEST_BLOCK - 8 - ctx->fill);                                    \
        put_len(ctx->buf + FH_DIGEST_BLOCK - 8, bits);                                                       \
        name##_block(ctx->h, ctx->buf);                                                                      \
        for (unsigned i = 0; i < (size) / 4; i++)                                                            \
            put_word(out + 4 * i, ctx->h[i]);                                                                \
    }                                                                                                        \
                                                                                                             \
    void fh_##name##_sum(const void *data, size_t len, uint8_t out[size]) {                                  \
        fh_##name ctx;                                                                                       \
        fh_##name##_init(&ctx);                                                                              \
        fh_##name##_update(&ctx, data, len);                                                                 \
        fh_##name##_final(&ctx, out);                                                                        \
    }

static void put64le(uint8_t *p, uint64_t v) {
    put32le(p, (uint32_t)v);
    put32le(p + 4, (uint32_t)(v >> 32));
}

static void put64be(uint8_t *p, uint64_t v) {
    fh_put32(p, (uint32_t)(v >> 32));
    fh_put32(p + 4, (uint32_t)v);
}

static const uint32_t md5_start[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
static const uint32_t sha1_start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
static const uint32_t sha256_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

#define DIGEST_INIT(name)                                                                                    \
    void fh_##name##_init(fh_##name *ctx) {                                                                  \
        memcpy(ctx->h, name##_start, sizeof ctx->h);                                                         \
        ctx->fill = 0;                                                                                       \
        ctx->len = 0;                                                                                        \
    }

DIGEST_INIT(md5)
DIGEST_UPDATE(md5)
DIGEST_FINAL(md5, FH_MD5_SIZE, put64le, put32le)

DIGEST_INIT(sha1)
DIGEST_UPDATE(sha1)
DIGEST_FINAL(sha1, FH_SHA1_SIZE, put64be, fh_put32)

DIGEST_INIT(sha256)
DIGEST_UPDATE(sha256)
DIGEST_FINAL(sha256, FH_SHA256_SIZE, put64be, fh_put32)

/* ---- HMAC: the two padded key blocks are hashed when the key is made ---- */

#define HMAC(name, size)                                                                                     \
    void fh_hmac_##name##_prepare(fh_hmac_##name##_key *key, const void *secret, size_t len) {               \
        uint8_t block[FH_DIGEST_BLOCK] = {0};                                                                \
        if (len > sizeof block)                                                                              \
            fh_##name##_sum(secret, len, block);                                                             \
        else if (len > 0)                                                                                    \
            memcpy(block, secret, len);                                                                      \
        for (unsigned i = 0; i < sizeof block; i++)                                                          \
            block[i] ^= 0x36;                                                                                \
        memcpy(key->inner, name##_start, sizeof key->inner);                                                 \
        name##_block(key->inner, block);                                                                     \
        for (unsigned i = 0; i < sizeof block; i++)                                                          \
            block[i] ^= 0x36 ^ 0x5c;                                                                         \
        memcpy(key->outer, name##_start, sizeof key->outer);                                                 \
        name##_block(key->outer, block);                                                                     \
    }                                                                                                        \
                                                                                                             \
    void fh_hmac_##name##_begin(const fh_hmac_##name##_key *key, fh_##name *ctx) {                           \
        memcpy(ctx->h, key->inner, sizeof ctx->h);                                                           \
        ctx->fill = 0;                                                                                       \
        ctx->len = FH_DIGEST_BLOCK;                                                                          \
    }                                                                                                        \
                                                                                                             \
    void fh_hmac_##name##_end(const fh_hmac_##name##_key *key, fh_##name *ctx, uint8_t out[size]) {          \
        uint8_t inner[size];                                                                                 \
        fh_##name##_final(ctx, inner);                                                                       \
        memcpy(ctx->h, key->outer, sizeof ctx->h);                                                           \
        ctx->fill = 0;                                                                                       \
        ctx->len = FH_DIGEST_BLOCK;                                                                          \
        fh_##name##_update(ctx, inner, sizeof inner);                                                        \
        fh_##name##_final(ctx, out);                                                                         \
    }                                                                                                        \
                                                                                                             \
    void fh_hmac_##name(const fh_hmac_##name##_key *key, const void *data, size_t len, uint8_t out[size]) {  \
        fh_##name ctx;                                                                                       \
        fh_hmac_##name##_begin(key, &ctx);                                                                   \
        fh_##name##_update(&ctx, data, len);                                                                 \
        fh_hmac_##name##_end(key, &ctx, out);                                                                \
    }

HMAC(md5, FH_MD5_SIZE)
HMAC(sha256, FH_SHA256_SIZE)

bool fh_equal_ct(const void *a, const void *b, size_t len) {
    const volatile uint8_t *p = a, *q = b;
    uint8_t differ = 0;
    for (size_t i = 0; i < len; i++)
        differ = (uint8_t)(differ | (p[i] ^ q[i]));
    return differ == 0;
}
