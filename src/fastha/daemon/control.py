"""The control socket: one local, versioned way to ask the daemon what is, and to tell it what to do.

A UNIX stream socket; each line in is a JSON object `{"v": 1, "do": NAME, ...arguments}`, each line out
`{"v": 1, "ok": true, "data": ...}` or `{"v": 1, "ok": false, "error": TEXT}`. Root may do everything;
members of the
configured group may do what is marked as reading. Who asks is told by the kernel (SO_PEERCRED), never by the
request.

Nothing here touches the engine or a file: handlers are given by the daemon.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import socket
import stat
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

VERSION = 1
MAX_REQUEST = 1 << 20
"""Octets of the longest request."""
MAX_CLIENTS = 64

Handler = Callable[[dict[str, Any]], Awaitable[Any]]


class ControlError(Exception):
    """A request that cannot be carried out; its text is for the operator."""


class Request(msgspec.Struct):
    """What every request has; the rest are arguments of the command."""

    v: int
    do: str


class Command(msgspec.Struct, frozen=True):
    """A command of the socket and who may use it."""

    handler: Handler
    reads: bool


def _groups_of(uid: int, gid: int) -> set[int]:
    """All groups of a user, as the system's databases know them."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return {gid}
    return {gid, *os.getgrouplist(name, gid)}


class ControlServer:
    """Serves the control socket on the running event loop."""

    def __init__(self, path: Path, group: str | None = None) -> None:
        """`group`: members may ask, but change nothing."""
        self.path = path
        self.group = group
        self.commands: dict[str, Command] = {}
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    def add(self, name: str, handler: Handler, *, reads: bool) -> None:
        """Makes a command known. `reads`: it changes nothing, so the group may use it."""
        self.commands[name] = Command(handler, reads)

    async def start(self) -> None:
        """Opens the socket. Raises OSError when it cannot be bound, ControlError when another daemon has
        it."""
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._remove_stale()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            before = os.umask(0o177)
            try:
                sock.bind(str(self.path))
            finally:
                os.umask(before)
            if self.group is not None:
                try:
                    os.chown(self.path, -1, grp.getgrnam(self.group).gr_gid)
                except KeyError:
                    raise ControlError(f"fastha_control_group: there is no group {self.group!r}") from None
                self.path.chmod(0o660)
            self._server = await asyncio.start_unix_server(self._client, sock=sock, limit=MAX_REQUEST)
        except BaseException:
            sock.close()
            raise

    def _remove_stale(self) -> None:
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ControlError(
                f"{self.path} exists and is not a socket; remove it or set fastha_control_socket"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.path))
            except OSError:
                self.path.unlink(missing_ok=True)
                return
        raise ControlError(f"another daemon answers on {self.path}")

    async def stop(self) -> None:
        """Closes the socket and every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._clients):
            writer.close()
        self.path.unlink(missing_ok=True)

    def _may(self, writer: asyncio.StreamWriter, command: Command) -> bool:
        sock: socket.socket = writer.get_extra_info("socket")
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _pid, uid, gid = struct.unpack("3i", raw)
        if uid in (0, os.geteuid()):
            return True
        if not command.reads or self.group is None:
            return False
        try:
            return grp.getgrnam(self.group).gr_gid in _groups_of(uid, gid)
        except KeyError:
            return False

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            writer.close()
            return
        self._clients.add(writer)
        try:
            while line := await self._line(reader, writer):
                answer = await self._reply(line, writer)
                if isinstance(answer, AsyncGenerator):
                    await self._stream(answer, reader, writer)
                    break
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass  # gone: nobody is left to tell
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _stream(
        self, items: AsyncGenerator[Any, None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Writes one answer after the other, as they come, until the client says anything or goes away."""
        gone = asyncio.ensure_future(reader.read(1))
        try:
            while not gone.done():
                following = asyncio.ensure_future(anext(items))
                await asyncio.wait({gone, following}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    await asyncio.wait({following})
                    return
                data = {"v": VERSION, "ok": True, "data": following.result()}
                writer.write(msgspec.json.encode(data) + b"\n")
                await writer.drain()
        finally:
            gone.cancel()
            await items.aclose()

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        try:
            return await reader.readline()
        except ValueError:  # where the next request would begin, nobody can say
            writer.write(_encoded(_failed(f"a request has at most {MAX_REQUEST} octets")))
            await writer.drain()
            return b""

    async def _reply(self, line: bytes, writer: asyncio.StreamWriter) -> bytes | AsyncGenerator[Any, None]:
        try:
            answer = await self._answer(line, writer)
            data = answer.get("data")
            return data if isinstance(data, AsyncGenerator) else _encoded(answer)
        except Exception as error:  # an error of ours: who asked is told so, and the log has the rest
            what = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a control request failed", "exception": error, "task": asyncio.current_task()}
            )
            return _encoded(_failed(f"internal error, see the daemon's log: {what}"))

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=Request)
            arguments: dict[str, Any] = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _failed(f"not a request: {error}")
        if request.v != VERSION:
            return _failed(f"version {request.v} is not spoken here; this daemon speaks version {VERSION}")
        command = self.commands.get(request.do)
        if command is None:
            return _failed(f"unknown command {request.do!r}; known: {', '.join(sorted(self.commands))}")
        if not self._may(writer, command):
            return _failed(
                f"{request.do} is for root"
                + ("" if not command.reads else " and for members of the group set by fastha_control_group")
            )
        arguments.pop("v", None)
        arguments.pop("do", None)
        try:
            data = await command.handler(arguments)
        except ControlError as error:
            return _failed(str(error))
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            return _failed(f"{request.do}: {error}")
        return {"v": VERSION, "ok": True, "data": data}


def _encoded(reply: dict[str, Any]) -> bytes:
    return msgspec.json.encode(reply) + b"\n"


def _failed(text: str) -> dict[str, Any]:
    return {"v": VERSION, "ok": False, "error": text}
