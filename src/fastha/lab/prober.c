/* A client that asks an address once a millisecond and tells when it was not answered.
 *
 * Usage: prober ADDRESS INTERVAL_US WAIT_MS
 * ICMP echo over IPv4 or IPv6 (RFC 792, RFC 4443). A probe not answered within WAIT_MS is lost; probes are judged in
 * the order they were sent. One line on standard output for each thing that happens:
 *   up SENT_NS             the first answer
 *   outage FROM_NS TO_NS N  N probes in a row were lost: from the first lost to the first answered again
 *   open FROM_NS N         an outage still open when the prober ends
 *   tick SENT LOST         twice a second
 *   total SENT LOST LATE_US MAX_US  at the end (SIGTERM, SIGINT): the latest the prober itself was, the slowest answer
 * Times are CLOCK_REALTIME nanoseconds. Ends when its parent does. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 1 << 16 };
static struct {
  int64_t sent;
  int answered;
} window[WINDOW];
static volatile sig_atomic_t stop;
static int64_t slowest, lateness;

static void on_signal(int number) {
  (void)number;
  stop = 1;
}

static int64_t now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint16_t sum(const uint8_t *data, size_t length) {
  uint32_t total = 0;
  for (size_t at = 0; at + 1 < length; at += 2) total += (uint32_t)(data[at] << 8 | data[at + 1]);
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return (uint16_t)~total;
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: prober ADDRESS INTERVAL_US WAIT_MS\n"), 2;
  int six = strchr(argv[1], ':') != NULL;
  int64_t step = atoll(argv[2]) * 1000, wait_ns = atoll(argv[3]) * 1000000;
  if (step < 100000 || wait_ns <= 0 || wait_ns / step >= WINDOW / 2)
    return fprintf(stderr, "prober: interval from 100 us on, and a wait below %d intervals\n", WINDOW / 2), 2;
  struct sockaddr_in to4 = {.sin_family = AF_INET};
  struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
  if (inet_pton(six ? AF_INET6 : AF_INET, argv[1], six ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr) != 1)
    return fprintf(stderr, "prober: %s is no address\n", argv[1]), 2;
  const struct sockaddr *to = six ? (void *)&to6 : (void *)&to4;
  socklen_t to_length = six ? sizeof to6 : sizeof to4;
  int sock = socket(six ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
  if (sock < 0) return perror("prober: socket"), 1;
  if (six) {
    struct icmp6_filter only;
    ICMP6_FILTER_SETBLOCKALL(&only);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only);
    setsockopt(sock, IPPROTO_ICMPV6, ICMP6_FILTER, &only, sizeof only);
  } else {
    struct icmp_filter only = {.data = ~(1u << ICMP_ECHOREPLY)};
    setsockopt(sock, SOL_RAW, ICMP_FILTER, &only, sizeof only);
  }
  struct sched_param first = {.sched_priority = 20}; /* a late probe would look like an outage of the router's */
  sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
  prctl(PR_SET_TIMERSLACK, 1);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  struct sigaction act = {.sa_handler = on_signal};
  sigaction(SIGTERM, &act, NULL);
  sigaction(SIGINT, &act, NULL);
  setvbuf(stdout, NULL, _IOLBF, 0);

  uint16_t id = (uint16_t)getpid();
  uint32_t next = 0, judged = 0;
  uint64_t lost = 0, run = 0;
  int64_t run_from = 0, due = now(CLOCK_MONOTONIC), tick = due;
  int seen_up = 0;
  while (!stop || judged != next) {
    int64_t at = now(CLOCK_MONOTONIC);
    if (!stop && at >= due) {
      if (at - due > lateness) lateness = at - due;
      uint8_t packet[56] = {0};
      packet[0] = six ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
      memcpy(packet + 4, &id, 2);
      uint16_t low = htons((uint16_t)next);
      memcpy(packet + 6, &low, 2);
      memcpy(packet + 8, &next, 4);
      if (!six) {
        uint16_t check = htons(sum(packet, sizeof packet));
        memcpy(packet + 2, &check, 2);
      }
      window[next % WINDOW].sent = now(CLOCK_REALTIME);
      window[next % WINDOW].answered = 0;
      (void)!sendto(sock, packet, sizeof packet, 0, to, to_length); /* a refused one is a lost one */
      next++;
      due += step;
      if (at - due > 20 * step) due = at + step; /* asleep too long: do not make up for it in a burst */
    }
    uint8_t answer[512];
    ssize_t got;
    while ((got = recv(sock, answer, sizeof answer, 0)) > 0) {
      size_t skip = six ? 0 : (size_t)(answer[0] & 15) * 4;
      uint32_t number;
      if ((size_t)got < skip + 12 || memcmp(answer + skip + 4, &id, 2) != 0) continue;
      memcpy(&number, answer + skip + 8, 4);
      if (next - number > WINDOW || number - judged >= WINDOW) continue; /* judged already */
      window[number % WINDOW].answered = 1;
      int64_t took = now(CLOCK_REALTIME) - window[number % WINDOW].sent;
      if (took > slowest) slowest = took;
    }
    int64_t wall = now(CLOCK_REALTIME);
    while (judged != next) {
      int64_t sent = window[judged % WINDOW].sent;
      if (window[judged % WINDOW].answered) {
        if (!seen_up) printf("up %lld\n", (long long)sent);
        seen_up = 1;
        if (run) printf("outage %lld %lld %llu\n", (long long)run_from, (long long)sent, (unsigned long long)run);
        run = 0;
      } else if (wall - sent > wait_ns) {
        if (seen_up) {
          lost++;
          if (!run++) run_from = sent;
        }
      } else {
        break;
      }
      judged++;
    }
    if (at - tick > 500000000) {
      printf("tick %u %llu\n", next, (unsigned long long)lost);
      tick = at;
    }
    int64_t pause = stop ? 10000000 : due - now(CLOCK_MONOTONIC);
    if (pause > 0) {
      struct pollfd one = {.fd = sock, .events = POLLIN};
      struct timespec limit = {.tv_sec = pause / 1000000000, .tv_nsec = pause % 1000000000};
      ppoll(&one, 1, &limit, NULL);
    }
  }
  if (run) printf("open %lld %llu\n", (long long)run_from, (unsigned long long)run);
  printf("total %u %llu %lld %lld\n", next, (unsigned long long)lost, (long long)(lateness / 1000),
         (long long)(slowest / 1000));
  return 0;
}
