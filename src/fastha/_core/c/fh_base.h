/* What every C file of the core shares: time, byte order, addresses.
 *
 * Time is CLOCK_MONOTONIC in int64 nanoseconds, always absolute unless a name says "_int" (an interval).
 * Addresses are held in network order. Nothing here allocates or calls the system. */
#ifndef FH_BASE_H
#define FH_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int64_t fh_ns;

#define FH_NS_PER_SEC INT64_C(1000000000)
#define FH_NS_PER_MSEC INT64_C(1000000)
#define FH_NS_PER_USEC INT64_C(1000)
#define FH_NS_PER_CSEC INT64_C(10000000) /* VRRPv3's unit, a hundredth of a second */
#define FH_NEVER INT64_MAX

/* Same values as Linux' AF_INET and AF_INET6, so that nobody has to translate. */
enum { FH_AF_INET = 2, FH_AF_INET6 = 10 };

/* An IPv4 or IPv6 address. IPv4 lies in the first four octets, the rest is zero. */
typedef struct {
    uint8_t b[16];
} fh_addr;

static inline size_t fh_addr_size(int family) {
    return family == FH_AF_INET6 ? 16 : 4;
}

static inline uint16_t fh_get16(const uint8_t *p) {
    return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t fh_get32(const uint8_t *p) {
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

static inline void fh_put16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void fh_put32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

#endif
