#include "fh_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

/* 32-bit machines have old calls with 16-bit ids beside the ones wanted here. */
#ifdef SYS_setresuid32
#define FH_SETRESUID SYS_setresuid32
#define FH_SETRESGID SYS_setresgid32
#define FH_SETGROUPS SYS_setgroups32
#else
#define FH_SETRESUID SYS_setresuid
#define FH_SETRESGID SYS_setresgid
#define FH_SETGROUPS SYS_setgroups
#endif

/* The child runs on a stack that the sanitizers have not been told of. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FH_UNSANITIZED __attribute__((no_sanitize("address"), no_sanitize("thread")))
#else
#define FH_UNSANITIZED
#endif

enum { STACK_SIZE = 64 * 1024, LAST_SIGNAL = 64, MAX_FDS_WITHOUT_CLOSE_RANGE = 65536 };

struct child {
    const struct fh_spawn_request *request;
    volatile int error;
    volatile enum fh_spawn_step step;
};

static int give_up(struct child *child, enum fh_spawn_step step) {
    child->error = errno ? errno : EINVAL;
    child->step = step;
    return 127;
}

static void close_from(unsigned first) {
    if (syscall(SYS_close_range, first, ~0U, 0U) == 0) return;
    struct rlimit limit;
    int end = MAX_FDS_WITHOUT_CLOSE_RANGE;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)end) end = (int)limit.rlim_cur;
    for (int fd = (int)first; fd < end; fd++)
        close(fd);
}

/* Puts the three standard descriptors in place. They are first moved out of the way of one another. */
static bool place_files(const struct fh_spawn_request *request) {
    int moved[3];
    for (int i = 0; i < 3; i++) {
        int from = request->fd[i];
        if (from < 0) {
            int opened = open("/dev/null", O_RDWR | O_CLOEXEC);
            if (opened < 0) return false;
            from = opened;
        }
        moved[i] = fcntl(from, F_DUPFD_CLOEXEC, 3);
        if (moved[i] < 0) return false;
    }
    for (int i = 0; i < 3; i++)
        if (dup2(moved[i], i) < 0) return false;
    close_from(3);
    return true;
}

static void be_ordinary(void) {
    struct sched_param ordinary = {.sched_priority = 0};
    if (sched_getscheduler(0) != SCHED_OTHER) sched_setscheduler(0, SCHED_OTHER, &ordinary);
    /* Giving up a favour needs no privilege; a daemon made nicer than 0 passes that on. */
    errno = 0;
    int nice_value = getpriority(PRIO_PROCESS, 0);
    if (errno == 0 && nice_value < 0) setpriority(PRIO_PROCESS, 0, 0);

    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        char first = 0;
        if (read(fd, &first, 1) == 1 && first == '-' && write(fd, "0", 1) != 1) { /* stays as it was */
        }
        close(fd);
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

FH_UNSANITIZED static int run_child(void *opaque) {
    struct child *child = opaque;
    const struct fh_spawn_request *request = child->request;

    /* Handlers must not run here (they would see the parent's memory), and what is ignored would stay ignored
     * in the program; the mask is opened last, when all is default. */
    /* The system call itself: the C library keeps 32 and 33 to itself and would leave them ignored (make
     * ignores them). All zero is SIG_DFL, no flags, an empty mask. */
    static const unsigned char dfl[64];
    for (int signal_no = 1; signal_no <= LAST_SIGNAL; signal_no++)
        syscall(SYS_rt_sigaction, signal_no, dfl, NULL, 8 /* octets of the mask */);

    setpgid(0, 0);
    be_ordinary();
    if (!place_files(request)) return give_up(child, FH_SPAWN_FILES);
    for (size_t i = 0; i < request->n_limits; i++) {
        struct rlimit limit = {.rlim_cur = (rlim_t)request->limits[i].soft,
                               .rlim_max = (rlim_t)request->limits[i].hard};
        setrlimit((__rlimit_resource_t)request->limits[i].resource, &limit);
    }
    if (request->umask >= 0) umask((mode_t)request->umask);
    if (request->set_ids) {
        if (syscall(FH_SETGROUPS, request->n_groups, request->groups)) return give_up(child, FH_SPAWN_GROUPS);
        if (syscall(FH_SETRESGID, request->gid, request->gid, request->gid))
            return give_up(child, FH_SPAWN_GID);
        if (syscall(FH_SETRESUID, request->uid, request->uid, request->uid))
            return give_up(child, FH_SPAWN_UID);
    }
    if (request->cwd && chdir(request->cwd)) return give_up(child, FH_SPAWN_CHDIR);

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(request->path, request->argv, request->envp);
    return give_up(child, FH_SPAWN_EXEC);
}

pid_t fh_spawn(const struct fh_spawn_request *request, enum fh_spawn_step *step) {
    alignas(64) unsigned char stack[STACK_SIZE];
    struct child child = {.request = request, .error = 0, .step = FH_SPAWN_OK};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);

    /* Changing identity marks the borrowed memory as not to be dumped; the daemon wants its core files back.
     */
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    pid_t pid = clone(run_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
    int error = errno;
    if (request->set_ids && dumpable == 1) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);

    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        *step = FH_SPAWN_CLONE;
        return -error;
    }
    *step = child.step;
    if (child.step == FH_SPAWN_OK) return pid;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return -child.error;
}
