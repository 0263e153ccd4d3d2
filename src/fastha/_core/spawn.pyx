# cython: language_level=3
"""Starting an operator's program without copying the daemon. See `fh_spawn.h`."""

from libc.stdlib cimport calloc, free
import os


cdef extern from "fh_spawn.h" nogil:
    enum fh_spawn_step:
        FH_SPAWN_OK
        FH_SPAWN_CLONE
        FH_SPAWN_FILES
        FH_SPAWN_GROUPS
        FH_SPAWN_GID
        FH_SPAWN_UID
        FH_SPAWN_CHDIR
        FH_SPAWN_EXEC

    struct fh_spawn_limit:
        int resource
        unsigned long long soft
        unsigned long long hard

    struct fh_spawn_request:
        const char *path
        char **argv
        char **envp
        const char *cwd
        int fd[3]
        bint set_ids
        unsigned int uid
        unsigned int gid
        const unsigned int *groups
        size_t n_groups
        int umask
        const fh_spawn_limit *limits
        size_t n_limits

    int fh_spawn(const fh_spawn_request *request, fh_spawn_step *step)


_STEPS = {
    FH_SPAWN_CLONE: "clone",
    FH_SPAWN_FILES: "opening standard files",
    FH_SPAWN_GROUPS: "setgroups",
    FH_SPAWN_GID: "setresgid",
    FH_SPAWN_UID: "setresuid",
    FH_SPAWN_CHDIR: "chdir",
    FH_SPAWN_EXEC: "execve",
}


cdef char **_strings(list values) except NULL:
    """A NULL-terminated array borrowing the bytes objects' own text: `values` must outlive it."""
    cdef char **array = <char **>calloc(len(values) + 1, sizeof(char *))
    cdef Py_ssize_t i
    if array == NULL:
        raise MemoryError()
    for i in range(len(values)):
        array[i] = <bytes>values[i]
    return array


def spawn(bytes path, argv, env, *, int stdin=-1, int stdout=-1, int stderr=-1, ids=None, int umask=-1,
          limits=(), bytes cwd=None):
    cdef fh_spawn_request request
    cdef fh_spawn_step step = FH_SPAWN_OK
    cdef list argv_list = list(argv)
    cdef list env_list = list(env)
    cdef list limit_list = list(limits)
    cdef unsigned int *groups = NULL
    cdef fh_spawn_limit *limit_array = NULL
    cdef char **argv_array = NULL
    cdef char **env_array = NULL
    cdef int pid
    cdef Py_ssize_t i
    for value in (path, *argv_list, *env_list):
        if not isinstance(value, bytes) or b"\0" in value:
            raise ValueError("a program's path, arguments and environment are bytes without NUL")
    request.path = path
    request.cwd = NULL
    if cwd is not None:
        request.cwd = cwd
    request.fd[0] = stdin
    request.fd[1] = stdout
    request.fd[2] = stderr
    request.set_ids = False
    request.uid = 0
    request.gid = 0
    request.groups = NULL
    request.n_groups = 0
    request.umask = umask
    request.limits = NULL
    request.n_limits = 0
    try:
        argv_array = _strings(argv_list)
        env_array = _strings(env_list)
        request.argv = argv_array
        request.envp = env_array
        if ids is not None:
            uid, gid, group_ids = ids
            group_list = list(group_ids)
            request.set_ids = True
            request.uid = uid
            request.gid = gid
            groups = <unsigned int *>calloc(len(group_list) + 1, sizeof(unsigned int))
            if groups == NULL:
                raise MemoryError()
            for i in range(len(group_list)):
                groups[i] = group_list[i]
            request.groups = groups
            request.n_groups = len(group_list)
        if limit_list:
            limit_array = <fh_spawn_limit *>calloc(len(limit_list), sizeof(fh_spawn_limit))
            if limit_array == NULL:
                raise MemoryError()
            for i in range(len(limit_list)):
                resource, soft, hard = limit_list[i]
                limit_array[i].resource = resource
                limit_array[i].soft = <unsigned long long>(<long long>soft)
                limit_array[i].hard = <unsigned long long>(<long long>hard)
            request.limits = limit_array
            request.n_limits = len(limit_list)
        with nogil:
            pid = fh_spawn(&request, &step)
    finally:
        free(argv_array)
        free(env_array)
        free(groups)
        free(limit_array)
    if pid < 0:
        raise OSError(-pid, f"{_STEPS[step]}: {os.strerror(-pid)}", os.fsdecode(path))
    return pid
