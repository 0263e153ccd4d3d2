/* The machine's own lateness: sleeps to absolute times and notes how much later it woke.
 *
 * usage: wakeups {fifo|other} SPACING_US COUNT
 *
 * The control of every measurement of timers: nothing that waits for the same clock can do better. Prints all
 * latenesses in nanoseconds, one a line, when done or on SIGTERM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

static volatile sig_atomic_t ended;

static void on_end(int sig) {
    (void)sig;
    ended = 1;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: wakeups {fifo|other} SPACING_US COUNT\n");
        return 2;
    }
    struct sigaction action = {.sa_handler = on_end};
    sigaction(SIGTERM, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1);
    struct sched_param urgent = {.sched_priority = 50};
    if (strcmp(argv[1], "fifo") == 0 && sched_setscheduler(0, SCHED_FIFO, &urgent) < 0) {
        fprintf(stderr, "wakeups: SCHED_FIFO: %s\n", strerror(errno));
        return 1;
    }
    mlockall(MCL_CURRENT | MCL_FUTURE);
    int64_t spacing = atoll(argv[2]) * 1000;
    size_t count = strtoul(argv[3], NULL, 10), done = 0;
    int64_t *late = calloc(count, sizeof *late);
    if (late == NULL) return 1;
    memset(late, 0, count * sizeof *late);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t due = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    while (done < count && !ended) {
        due += spacing;
        struct timespec until = {due / 1000000000, due % 1000000000};
        if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) continue;
        clock_gettime(CLOCK_MONOTONIC, &t);
        late[done++] = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec - due;
    }
    for (size_t i = 0; i < done; i++)
        printf("%lld\n", (long long)late[i]);
    return 0;
}
