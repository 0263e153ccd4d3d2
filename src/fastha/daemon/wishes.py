"""What the operator wished of a router, written so that neither a crash nor a full disk changes it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

MAX_OCTETS = 1 << 20


class Wishes(msgspec.Struct, kw_only=True):
    """What the operator wished; the content of the file."""

    v: int = 1
    node: bool = False
    groups: dict[str, float] = {}
    """Sync groups that stay away, and since when (seconds since 1970)."""
    instances: dict[str, float] = {}
    held: dict[str, float] = {}
    """Instances that do not preempt after a switchover."""
    since: float = 0.0
    """When the node was drained."""


def write_lasting(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, so that it is there after a crash of the machine. Raises OSError."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_wishes(path: Path) -> tuple[Wishes, str]:
    """The wishes of a file, and what is wrong with it (empty when nothing is). Never raises."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_OCTETS + 1)
        return decode_wishes(raw), ""
    except FileNotFoundError:
        return Wishes(), ""
    except OSError as error:
        return Wishes(), error.strerror or str(error)
    except (ValueError, msgspec.MsgspecError) as error:
        return Wishes(), str(error)


def decode_wishes(raw: bytes) -> Wishes:
    """The wishes of a file's content. Raises ValueError, msgspec.MsgspecError."""
    if len(raw) > MAX_OCTETS:
        raise ValueError(f"it has more than {MAX_OCTETS} octets")
    found = msgspec.json.decode(raw, type=Wishes)
    if found.v != 1:
        raise ValueError(f"it is of version {found.v}")
    return found
