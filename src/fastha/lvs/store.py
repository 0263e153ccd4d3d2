"""What the load balancer knows, kept over a restart: verdicts, the operator's drains and weights, and which
services of the kernel are ours.

One small JSON file, replaced as a whole. A file that is missing, cut short or from another version is no
error:
the checks find everything out again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from fastha.config.model_lvs import AnyChecker, Checker
from fastha.lvs.checkers.base import without_place


class Verdict(msgspec.Struct, frozen=True):
    """What a checker was, and when that was last seen (seconds since the epoch)."""

    up: bool
    delta: int
    reason: str
    wall: float


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator set for a real server. `deadline_wall` is when a drain ends, seconds since the
    epoch."""

    drain: str = "no"
    deadline_wall: float | None = None
    weight: int | None = None


class Stored(msgspec.Struct, kw_only=True):
    """The file."""

    version: int = 1
    verdicts: dict[str, Verdict] = {}
    #: By virtual server and real server, as named in logs.
    wishes: dict[str, Wish] = {}
    #: Keys of the services that are ours: numbers, and addresses in hexadecimal.
    services: list[list[int | str]] = []


def checker_key(conf: AnyChecker | Checker, weight: int) -> str:
    """A checker's name in the file: it changes when anything about the checker does."""
    raw = msgspec.json.encode((without_place(conf), weight), enc_hook=str, order="deterministic")
    return hashlib.blake2b(raw, digest_size=12).hexdigest()


def pack_key(key: tuple[int | bytes, ...]) -> list[int | str]:
    """A service's key as JSON has it."""
    return [part.hex() if isinstance(part, bytes) else part for part in key]


def unpack_key(key: list[int | str]) -> tuple[int | bytes, ...]:
    """The other way."""
    return tuple(bytes.fromhex(part) if isinstance(part, str) else part for part in key)


class Store:
    """The file at `path`; None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def load(self) -> Stored:
        """What is there, or nothing."""
        if self.path is None:
            return Stored()
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=Stored)
        except (OSError, msgspec.DecodeError):
            return Stored()
        return found if found.version == 1 else Stored()

    def save(self, stored: Stored) -> None:
        """Replaces the file. Raises OSError."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(stored))
            Path(name).replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
