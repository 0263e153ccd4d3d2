"""The other end of the control socket, for the command line: ask, and know within a second if nobody
answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from fastha.daemon.control import VERSION

DEFAULT_PATH = Path("/run/fastha/control.sock")
TIMEOUT = 1.0
"""Seconds until a silent daemon is called hung."""


class NoDaemonError(Exception):
    """No daemon answers; the text says whether it is dead, hung, or closed to us, and what to do."""


class RefusedError(Exception):
    """The daemon answered that it will not."""


def ask(path: Path, command: str, *, timeout: float = TIMEOUT, **arguments: Any) -> Any:
    """Sends one command and returns its data.

    Raises NoDaemonError when nobody answers within `timeout` seconds, RefusedError when the daemon declines.
    """
    request = msgspec.json.encode({"v": VERSION, "do": command, **arguments}) + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(str(path))
        except FileNotFoundError:
            raise NoDaemonError(f"fastha is not running: there is no {path}") from None
        except ConnectionRefusedError:
            raise NoDaemonError(f"fastha is dead: {path} is left over and nobody listens") from None
        except PermissionError:
            raise NoDaemonError(
                f"you may not ask: {path} is for root and the group of fastha_control_group"
            ) from None
        except TimeoutError:
            raise NoDaemonError(f"fastha hangs: no answer on {path} within {timeout:g} s") from None
        try:
            sock.sendall(request)
            answer = _line(sock)
        except TimeoutError:
            raise NoDaemonError(f"fastha hangs: no answer on {path} within {timeout:g} s") from None
        except ConnectionError as error:
            raise NoDaemonError(f"fastha went away while answering: {error}") from None
    reply: dict[str, Any] = msgspec.json.decode(answer)
    if not reply.get("ok"):
        raise RefusedError(str(reply.get("error", "no reason given")))
    return reply.get("data")


def follow(path: Path, command: str, *, timeout: float = TIMEOUT, **arguments: Any) -> Iterator[Any]:
    """Sends one command and yields the data of every answer that comes, until the daemon ends.

    Raises NoDaemonError when nobody listens, RefusedError when the daemon declines.
    """
    request = msgspec.json.encode({"v": VERSION, "do": command, **arguments}) + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(str(path))
            sock.sendall(request)
        except OSError as error:
            raise NoDaemonError(f"fastha does not answer on {path}: {error.strerror or error}") from None
        sock.settimeout(None)
        with sock.makefile("rb") as lines:
            for line in lines:
                reply: dict[str, Any] = msgspec.json.decode(line)
                if not reply.get("ok"):
                    raise RefusedError(str(reply.get("error", "no reason given")))
                yield reply.get("data")


def _line(sock: socket.socket) -> bytes:
    parts = bytearray()
    while not parts.endswith(b"\n"):
        piece = sock.recv(1 << 16)
        if not piece:
            raise NoDaemonError(
                "fastha closed the connection without an answer (too many clients, or it is stopping)"
            )
        parts += piece
    return bytes(parts)
