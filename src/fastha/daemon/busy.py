"""The file that tells who writes a configuration that it is being read: keepalived.conf(5), `reload_file`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def busy(path: str | None, directory: Path) -> Iterator[None]:
    """`reload_file`: exists, empty, while the block runs. None: not wanted; empty: `keepalived.reload` in
    `directory`."""
    if path is None:
        yield
        return
    file = path or str(directory / "keepalived.reload")
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(file, flags, 0o644))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(file)  # noqa: PTH108
