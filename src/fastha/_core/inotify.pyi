"""inotify(7), which Python's library lacks: three calls and their flags."""

IN_CLOSE_WRITE: int
IN_MOVED_FROM: int
IN_MOVED_TO: int
IN_CREATE: int
IN_DELETE: int
IN_DELETE_SELF: int
IN_MOVE_SELF: int
IN_Q_OVERFLOW: int
IN_IGNORED: int
IN_ONLYDIR: int

def init() -> int:
    """A new non-blocking, close-on-exec inotify descriptor. Raises OSError."""

def add_watch(fd: int, path: bytes, mask: int) -> int:
    """Watches `path`; returns the watch descriptor. Raises OSError."""

def rm_watch(fd: int, wd: int) -> None:
    """Ends a watch; one that is already gone is no error."""

def parse(data: bytes) -> list[tuple[int, int, bytes]]:
    """The (watch, mask, name) of each event in what was read from the descriptor."""
