/* The digests against their published vectors: RFC 1321 A.5, FIPS 180-4 examples, RFC 2202 2, RFC 4231 4. */
#include "check.h"
#include "fh_digest.h"

static const char *const alphabet448 = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
static const char *const alphabet896 =
    "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnop"
    "jklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";

static void md5_suite(void) {
    static const struct {
        const char *text, *digest;
    } suite[] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };
    for (size_t i = 0; i < sizeof suite / sizeof *suite; i++) {
        uint8_t out[FH_MD5_SIZE];
        fh_md5_sum(suite[i].text, strlen(suite[i].text), out);
        CHECK_HEX(out, sizeof out, suite[i].digest);
    }
}

static void sha1_suite(void) {
    uint8_t out[FH_SHA1_SIZE];
    fh_sha1_sum("abc", 3, out);
    CHECK_HEX(out, sizeof out, "a9993e364706816aba3e25717850c26c9cd0d89d");
    fh_sha1_sum("", 0, out);
    CHECK_HEX(out, sizeof out, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    fh_sha1_sum(alphabet448, strlen(alphabet448), out);
    CHECK_HEX(out, sizeof out, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    fh_sha1_sum(alphabet896, strlen(alphabet896), out);
    CHECK_HEX(out, sizeof out, "a49b2446a02c645bf419f995b67091253a04a259");
}

static void sha256_suite(void) {
    uint8_t out[FH_SHA256_SIZE];
    fh_sha256_sum("abc", 3, out);
    CHECK_HEX(out, sizeof out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    fh_sha256_sum("", 0, out);
    CHECK_HEX(out, sizeof out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    fh_sha256_sum(alphabet448, strlen(alphabet448), out);
    CHECK_HEX(out, sizeof out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    fh_sha256_sum(alphabet896, strlen(alphabet896), out);
    CHECK_HEX(out, sizeof out, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

/* A million times "a", fed in pieces of every size from 0 up: the seams of the block buffer. */
static void million_in_pieces(void) {
    static uint8_t block[1500];
    memset(block, 'a', sizeof block);
    fh_md5 md5;
    fh_sha1 sha1;
    fh_sha256 sha256;
    fh_md5_init(&md5);
    fh_sha1_init(&sha1);
    fh_sha256_init(&sha256);
    size_t left = 1000000, piece = 0;
    while (left > 0) {
        size_t take = piece < left ? piece : left;
        fh_md5_update(&md5, block, take);
        fh_sha1_update(&sha1, block, take);
        fh_sha256_update(&sha256, block, take);
        left -= take;
        piece = piece == sizeof block ? 0 : piece + 1;
    }
    uint8_t out[FH_SHA256_SIZE];
    fh_md5_final(&md5, out);
    CHECK_HEX(out, FH_MD5_SIZE, "7707d6ae4e027c70eea2a935c2296f21");
    fh_sha1_final(&sha1, out);
    CHECK_HEX(out, FH_SHA1_SIZE, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    fh_sha256_final(&sha256, out);
    CHECK_HEX(out, FH_SHA256_SIZE, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

struct hmac_case {
    const char *key, *data, *digest;
};

static const struct hmac_case hmac_md5_cases[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265", "9294727a3638bb1c13f48ef8158bfc9d"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "750c783e6ab0b503eaa86e310a5db738"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddd",
     "56be34521d144c88dbb8c733f0e8b3f6"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcd",
     "697eaf0aca3a3aea3a75164746ffaa79"},
    {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
     "56461ef2342edc00f9bab995690efd4c"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579"
     "204669727374",
     "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b657920616e64204c6172676572"
     "205468616e204f6e6520426c6f636b2d53697a652044617461",
     "6f630fad67cda0ee1fb1f562db3aa53e"},
};

static const struct hmac_case hmac_sha256_cases[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddd",
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcd",
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579"
     "204669727374",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a65206b65"
     "7920616e642061206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865206b6579206e6565"
     "647320746f20626520686173686564206265666f7265206265696e6720757365642062792074686520484d414320616c"
     "676f726974686d2e",
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

static void hmac_md5_suite(void) {
    for (size_t i = 0; i < sizeof hmac_md5_cases / sizeof *hmac_md5_cases; i++) {
        uint8_t key[256], data[256], out[FH_MD5_SIZE];
        size_t key_len = unhex(hmac_md5_cases[i].key, key, sizeof key);
        size_t len = unhex(hmac_md5_cases[i].data, data, sizeof data);
        fh_hmac_md5_key prepared;
        fh_hmac_md5_prepare(&prepared, key, key_len);
        for (int again = 0; again < 2; again++) { /* a prepared key is not used up */
            fh_hmac_md5(&prepared, data, len, out);
            CHECK_HEX(out, sizeof out, hmac_md5_cases[i].digest);
        }
    }
}

static void hmac_sha256_suite(void) {
    for (size_t i = 0; i < sizeof hmac_sha256_cases / sizeof *hmac_sha256_cases; i++) {
        uint8_t key[256], data[256], out[FH_SHA256_SIZE];
        size_t key_len = unhex(hmac_sha256_cases[i].key, key, sizeof key);
        size_t len = unhex(hmac_sha256_cases[i].data, data, sizeof data);
        fh_hmac_sha256_key prepared;
        fh_hmac_sha256_prepare(&prepared, key, key_len);
        for (int again = 0; again < 2; again++) {
            fh_hmac_sha256(&prepared, data, len, out);
            CHECK_HEX(out, sizeof out, hmac_sha256_cases[i].digest);
        }
    }
}

static void constant_time_compare(void) {
    CHECK(fh_equal_ct("", "", 0));
    CHECK(fh_equal_ct("secret", "secret", 6));
    CHECK(!fh_equal_ct("secret", "secreT", 6));
    CHECK(!fh_equal_ct("Secret", "secret", 6));
}

int main(void) {
    RUN(md5_suite);
    RUN(sha1_suite);
    RUN(sha256_suite);
    RUN(million_in_pieces);
    RUN(hmac_md5_suite);
    RUN(hmac_sha256_suite);
    RUN(constant_time_compare);
    return check_failed != 0;
}
