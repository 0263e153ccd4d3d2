/* The little that a C unit test needs: each test_*.c is one program, made of void functions that main calls
 * through RUN. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failed;

#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #what);                 \
            check_failed++;                                                                                  \
        }                                                                                                    \
    } while (0)

#define CHECK_INT(got, want)                                                                                 \
    do {                                                                                                     \
        long long got_ = (long long)(got), want_ = (long long)(want);                                        \
        if (got_ != want_) {                                                                                 \
            fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", __FILE__, __LINE__, __func__, #got, got_,   \
                    want_);                                                                                  \
            check_failed++;                                                                                  \
        }                                                                                                    \
    } while (0)

#define CHECK_STR(got, want)                                                                                 \
    do {                                                                                                     \
        const char *got_ = (got), *want_ = (want);                                                           \
        if (strcmp(got_, want_) != 0) {                                                                      \
            fprintf(stderr, "%s:%d: %s: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, __func__, #got,     \
                    got_, want_);                                                                            \
            check_failed++;                                                                                  \
        }                                                                                                    \
    } while (0)

static inline void check_hex(const char *file, int line, const void *got, size_t len, const char *want) {
    char text[4096 * 2 + 1];
    for (size_t i = 0; i < len && i < 4096; i++)
        snprintf(text + 2 * i, 3, "%02x", ((const uint8_t *)got)[i]);
    text[2 * len] = 0;
    if (strcmp(text, want) != 0) {
        fprintf(stderr, "%s:%d: got  %s\n%*s want %s\n", file, line, text, (int)strlen(file) + 6, "", want);
        check_failed++;
    }
}

#define CHECK_HEX(got, len, want) check_hex(__FILE__, __LINE__, got, len, want)

/* Octets of a hexadecimal string; gives their number. */
static inline size_t unhex(const char *text, uint8_t *out, size_t cap) {
    size_t n = strlen(text) / 2;
    if (n > cap) abort();
    for (size_t i = 0; i < n; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

#define RUN(test)                                                                                            \
    do {                                                                                                     \
        int before_ = check_failed;                                                                          \
        test();                                                                                              \
        printf("%-50s %s\n", #test, check_failed == before_ ? "ok" : "FAILED");                              \
    } while (0)

#endif
