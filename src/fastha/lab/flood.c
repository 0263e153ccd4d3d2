/* Sends given frames in turn at a given rate.
 *
 * usage: flood INTERFACE RATE SECONDS < FRAMES
 *
 * FRAMES: one frame a line, in hex, with its Ethernet header. A batch leaves each millisecond. Prints
 * "ready", then "sent N in NANOSECONDS ns".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FRAMES = 256, MAX_LENGTH = 1514, MAX_BATCH = 1024 };

static uint8_t frames[MAX_FRAMES][MAX_LENGTH];
static size_t lengths[MAX_FRAMES];

static _Noreturn void die(const char *what) {
    fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static size_t read_frames(void) {
    static char line[2 * MAX_LENGTH + 2];
    size_t count = 0;
    while (count < MAX_FRAMES && fgets(line, sizeof line, stdin) != NULL) {
        size_t length = 0;
        unsigned octet;
        while (length < MAX_LENGTH && sscanf(line + 2 * length, "%2x", &octet) == 1)
            frames[count][length++] = (uint8_t)octet;
        if (length >= ETH_HLEN) lengths[count++] = length;
    }
    return count;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: flood INTERFACE RATE SECONDS < FRAMES\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1);
    double rate = atof(argv[2]), seconds = atof(argv[3]);
    size_t count = read_frames();
    unsigned index = if_nametoindex(argv[1]);
    if (index == 0) die(argv[1]);
    if (count == 0 || rate <= 0) {
        fprintf(stderr, "flood: nothing to send\n");
        return 2;
    }
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) die("AF_PACKET socket (needs CAP_NET_RAW)");
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)index};
    if (bind(fd, (struct sockaddr *)&to, sizeof to) < 0) die("bind");
    printf("ready\n");
    fflush(stdout);

    static struct mmsghdr messages[MAX_BATCH];
    static struct iovec iov[MAX_BATCH];
    int64_t begin = now(), end = begin + (int64_t)(seconds * 1e9), at;
    uint64_t sent = 0;
    while ((at = now()) < end) {
        uint64_t due = (uint64_t)((double)(at - begin) / 1e9 * rate);
        while (sent < due) {
            unsigned batch = due - sent < MAX_BATCH ? (unsigned)(due - sent) : MAX_BATCH;
            for (unsigned i = 0; i < batch; i++) {
                size_t frame = (sent + i) % count;
                iov[i] = (struct iovec){frames[frame], lengths[frame]};
                messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
            }
            int done = sendmmsg(fd, messages, batch, 0);
            if (done < 0 && errno != ENOBUFS && errno != EINTR) die("sendmmsg");
            sent += done > 0 ? (unsigned)done : 0;
            if (done <= 0) break;
        }
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    printf("sent %llu in %lld ns\n", (unsigned long long)sent, (long long)(now() - begin));
    return 0;
}
