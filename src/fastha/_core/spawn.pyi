"""Starting an operator's program without copying the daemon. See `fh_spawn.h`."""

from collections.abc import Sequence

def spawn(
    path: bytes,
    argv: Sequence[bytes],
    env: Sequence[bytes],
    *,
    stdin: int = -1,
    stdout: int = -1,
    stderr: int = -1,
    ids: tuple[int, int, Sequence[int]] | None = None,
    umask: int = -1,
    limits: Sequence[tuple[int, int, int]] = (),
    cwd: bytes | None = None,
) -> int:
    """Starts `path` in a process group of its own and returns its process id. The caller reaps it.

    `env` holds NAME=value. A standard descriptor of -1 is /dev/null; every other one is closed. `ids` is
    (uid,
    gid, supplementary groups) to become. `limits` are (RLIMIT_x, soft, hard), with -1 for infinity. Signals,
    scheduling, nice value, out-of-memory score and ambient capabilities are made ordinary.

    Raises OSError with the step that failed in its text ("execve", "setresuid", ...); never leaves a child.
    """
