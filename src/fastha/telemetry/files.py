"""Where dumps go, and writing them so that a reader never sees half a file and a slow disk holds up nobody.

keepalived(8), "SIGNALS": `<tmp>/keepalived.data` and its kin, where <tmp> is TMPDIR when that is an
absolute, existing directory, else /tmp. `state_dump_file` gives another name for the data files; what
tells them apart stands before its last dot.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path


class Dump(enum.Enum):
    """The dumps of keepalived, with what tells the data files apart."""

    PARENT = "_parent"
    VRRP = ""
    CHECK = "_check"
    BFD = "_bfd"
    STATS = ".stats"
    JSON = ".json"


def dump_folder(environment: Mapping[str, str]) -> Path:
    """keepalived's rule for its temporary directory."""
    wanted = environment.get("TMPDIR", "")
    if wanted.startswith("/") and Path(wanted).is_dir():
        return Path(wanted)
    return Path("/tmp")  # noqa: S108 - where keepalived's users look for it


def dump_path(
    dump: Dump,
    environment: Mapping[str, str],
    *,
    state_dump_file: str | None = None,
    suffix: str = "",
) -> Path:
    """Where a dump is written. `suffix` is `.<netns>_<instance>` with data_use_instance, for data files
    only."""
    folder = dump_folder(environment)
    if dump in (Dump.STATS, Dump.JSON):
        return folder / f"keepalived{dump.value}"
    base = Path(state_dump_file) if state_dump_file else Path("keepalived.data")
    name = f"{base.stem}{dump.value}{suffix}{base.suffix}"
    return folder / base.parent / name


def write_file(path: Path, data: bytes | Iterable[bytes], mode: int = 0o600) -> None:
    """Writes `path` whole or not at all: into a new file beside it, which then takes its name. `data`: all of
    it, or its pieces. Raises OSError."""
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.writelines((data,) if isinstance(data, bytes) else data)
            os.fchmod(file.fileno(), mode)
        Path(temporary).rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


async def write_file_aside(
    path: Path, data: bytes, mode: int = 0o600, executor: Executor | None = None
) -> None:
    """`write_file` in a worker thread (of `executor`, or the event loop's own). Raises OSError."""
    await asyncio.get_running_loop().run_in_executor(executor, write_file, path, data, mode)
