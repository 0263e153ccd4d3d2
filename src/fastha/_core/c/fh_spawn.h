/* Starting an operator's program from a large, memory-locked process.
 *
 * fork() copies the page tables of the whole daemon and makes every page of it copy-on-write, also for the
 * engine thread, which would then take a fault on each page it touches. So the child is made with CLONE_VM |
 * CLONE_VFORK: it borrows the caller's memory until execve(), only the calling thread waits, and the engine
 * notices nothing.
 *
 * Because memory is shared, the child only makes system calls; changes of identity are raw ones, since the C
 * library's would be carried over to every thread of the daemon. */
#ifndef FH_SPAWN_H
#define FH_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Which step failed, for the message. */
enum fh_spawn_step {
    FH_SPAWN_OK = 0,
    FH_SPAWN_CLONE,
    FH_SPAWN_FILES,
    FH_SPAWN_GROUPS,
    FH_SPAWN_GID,
    FH_SPAWN_UID,
    FH_SPAWN_CHDIR,
    FH_SPAWN_EXEC,
};

/* A resource limit to give back to the child: RLIMIT_x and its two values. */
struct fh_spawn_limit {
    int resource;
    unsigned long long soft;
    unsigned long long hard;
};

struct fh_spawn_request {
    const char *path;
    char *const *argv;
    char *const *envp;
    const char *cwd; /* NULL: the caller's */
    int fd[3];       /* stdin, stdout, stderr; -1: /dev/null. Every other descriptor is closed. */
    bool set_ids;    /* become uid and gid, with exactly `groups` as supplementary groups */
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t n_groups;
    int umask; /* -1: the caller's */
    const struct fh_spawn_limit *limits;
    size_t n_limits;
};

/* Starts request->path in a process group of its own, with default signal handling, ordinary scheduling, nice
 * 0, no ambient capabilities and the ordinary chance of being chosen by the out-of-memory killer. Returns the
 * process id, or -errno with *step saying what failed (a failed child has already been reaped). */
pid_t fh_spawn(const struct fh_spawn_request *request, enum fh_spawn_step *step);

#endif
