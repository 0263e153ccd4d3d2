"""Serves the metrics over HTTP (GET /metrics), and writes them for node_exporter's textfile collector.

Small on purpose: one method, one page, no keep-alive, bounded requests and connections. The page is made
when a scrape asks for it, so that numbers are never older than the scrape. RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path

from fastha.telemetry.files import write_file_aside
from fastha.telemetry.prometheus import CONTENT_TYPE

MAX_CONNECTIONS = 32
REQUEST_TIMEOUT_S = 5.0
_MAX_REQUEST = 8192


class MetricsServer:
    """One listening address."""

    def __init__(
        self,
        page: Callable[[], Awaitable[bytes]],
        log: Callable[[str], None],
    ) -> None:
        """`page` makes what a scrape gets, in Prometheus' text format."""
        self._page = page
        self._log = log
        self._server: asyncio.Server | None = None
        self._connections = 0

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._server is None:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listens. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_MAX_REQUEST)

    async def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > MAX_CONNECTIONS:
                writer.writelines(_answer("503 Service Unavailable", b"too many connections\n"))
            else:
                writer.writelines(await self._respond(reader))
            await asyncio.wait_for(writer.drain(), REQUEST_TIMEOUT_S)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a scraper that hangs or hangs up is its own matter
        finally:
            self._connections -= 1
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_TIMEOUT_S)
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _answer("400 Bad Request", b"")
        if words[0] not in (b"GET", b"HEAD"):
            return _answer("405 Method Not Allowed", b"", extra="Allow: GET, HEAD\r\n")
        path = words[1].split(b"?", 1)[0]
        if path == b"/":
            body, kind = b"fastha: see /metrics\n", "text/plain"
        elif path == b"/metrics":
            body, kind = await self._page(), CONTENT_TYPE
        else:
            return _answer("404 Not Found", b"see /metrics\n")
        return _answer("200 OK", body, kind=kind, head_only=words[0] == b"HEAD")


async def write_textfile(path: str | Path, page: bytes, executor: Executor | None = None) -> None:
    """Writes the metrics where node_exporter collects them, readable for all. Raises OSError."""
    await write_file_aside(Path(path), page, 0o644, executor)


def _answer(
    status: str, body: bytes, *, kind: str = "text/plain", extra: str = "", head_only: bool = False
) -> tuple[bytes, bytes]:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n{extra}\r\n"
    )
    return head.encode(), b"" if head_only else body
