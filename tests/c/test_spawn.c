/* fh_spawn: the child has what was asked for, and failures name their step and leave no child. */
#include "fh_spawn.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *environment[] = {"PATH=/usr/bin:/bin", NULL};

static int status_of(const char *script, struct fh_spawn_request *request) {
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    enum fh_spawn_step step = FH_SPAWN_OK;
    request->path = "/bin/sh";
    request->argv = argv;
    request->envp = environment;
    pid_t pid = fh_spawn(request, &step);
    assert(pid > 0 && step == FH_SPAWN_OK);
    int status = 0;
    assert(waitpid(pid, &status, 0) == pid);
    assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static struct fh_spawn_request request_with_defaults(void) {
    struct fh_spawn_request request = {.fd = {-1, -1, -1}, .umask = -1};
    return request;
}

int main(void) {
    struct fh_spawn_request request = request_with_defaults();
    assert(status_of("exit 3", &request) == 3);

    /* Own process group, other descriptors closed (also one without close-on-exec), /dev/null in place. */
    int leak = dup(2);
    assert(leak > 2);
    char script[256];
    snprintf(script, sizeof script, "test ! -e /proc/self/fd/%d && test $(cut -d' ' -f5 /proc/$$/stat) = $$",
             leak);
    assert(status_of(script, &request) == 0);
    assert(status_of("test $(readlink /proc/$$/fd/1) = /dev/null", &request) == 0);
    close(leak);

    /* What the daemon ignores or blocks is not inherited. */
    signal(SIGPIPE, SIG_IGN);
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &before);
    /* exec: a shell blocks signals itself for moments while it waits */
    assert(status_of("exec grep -q '^SigIgn:.0*$' /proc/self/status", &request) == 0);
    assert(status_of("exec grep -q '^SigBlk:.0*$' /proc/self/status", &request) == 0);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    assert(sigismember(&now, SIGTERM)); /* the caller keeps its own mask */
    sigprocmask(SIG_SETMASK, &before, NULL);

    /* The umask and limits are the child's alone. */
    struct fh_spawn_limit limit = {.resource = RLIMIT_NOFILE, .soft = 77, .hard = 99};
    request.umask = 027;
    request.limits = &limit;
    request.n_limits = 1;
    mode_t mask = umask(0);
    umask(mask);
    assert(status_of("test $(umask) = 0027 && test $(ulimit -n) = 77 && test $(ulimit -Hn) = 99", &request) ==
           0);
    assert(umask(mask) == mask);

    /* Failures: the step, the errno, and no zombie. */
    request = request_with_defaults();
    char *argv[] = {"x", NULL};
    enum fh_spawn_step step = FH_SPAWN_OK;
    request.path = "/nonexistent/program";
    request.argv = argv;
    request.envp = environment;
    assert(fh_spawn(&request, &step) == -ENOENT && step == FH_SPAWN_EXEC);
    request.path = "/bin/true";
    request.cwd = "/nonexistent";
    assert(fh_spawn(&request, &step) == -ENOENT && step == FH_SPAWN_CHDIR);
    request.cwd = NULL;
    request.fd[1] = 9999;
    assert(fh_spawn(&request, &step) == -EBADF && step == FH_SPAWN_FILES);
    assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);

    /* Another user, exactly the groups given; the caller stays what it is. */
    if (geteuid() == 0) {
        gid_t groups[] = {7, 9};
        request = request_with_defaults();
        request.set_ids = true;
        request.uid = 65534;
        request.gid = 65534;
        request.groups = groups;
        request.n_groups = 2;
        assert(status_of("test $(id -u) = 65534 && test \"$(id -G)\" = '65534 7 9'", &request) == 0);
        assert(status_of("grep -q '^CapEff:.0*$' /proc/$$/status", &request) == 0);
        assert(geteuid() == 0);
        request.n_groups = 0;
        assert(status_of("test \"$(id -G)\" = 65534", &request) == 0);
    }
    puts("spawn: ok");
    return 0;
}
