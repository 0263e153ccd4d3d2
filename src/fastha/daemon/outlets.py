"""What the daemon shows of itself beyond the control socket: the history file, metrics over HTTP and in a
file.

Loaded when the configuration asks for one of them (the history is on unless it is switched off). Nothing
here is waited for by anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastha.config.model import Globals
from fastha.scripts.pool import DaemonPool
from fastha.telemetry.history import DEFAULT_PATH, History
from fastha.vrrp.records import Note, Transition

from .chronicle import Sieve

if TYPE_CHECKING:
    from fastha.bfd.records import SessionChange

FILE_EVERY_S = 15.0
_RETRY_S = 10.0


def history_path(g: Globals, directory: Path) -> Path | None:
    """Where the history is kept; None for no history. `directory`: of what must survive a restart."""
    if g.history is not None:
        return Path(g.history) if g.history else None
    return directory / Path(DEFAULT_PATH).name


class Outlets:
    """The history and the metrics of one daemon."""

    def __init__(
        self,
        log: Callable[[str], None],
        page: Callable[[], Awaitable[bytes]],
    ) -> None:
        """`page` makes all metrics in Prometheus' text format."""
        self._log = log
        self._page = page
        self.history: History | None = None
        self._pool = DaemonPool(2, "write")
        self._wanted: tuple[str, int] | None = None
        self._file: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._server_task: asyncio.Task[None] | None = None
        self._file_task: asyncio.Task[None] | None = None
        self._sieve = Sieve()

    def configure(self, g: Globals, path: Path | None) -> None:
        """Opens what is wanted and closes what is not."""
        if self.history is not None and self.history.path != path:
            self._spawn(self.history.close())
            self.history = None
        if path is not None and self.history is None:
            self.history = History(path, log=self._log, executor=self._pool)
        if g.metrics != self._wanted:
            self._wanted = g.metrics
            if self._server_task is not None:
                self._server_task.cancel()
            self._server_task = self._spawn(self._serve(*g.metrics)) if g.metrics is not None else None
        if g.metrics_file != self._file:
            self._file = g.metrics_file
            if self._file_task is not None:
                self._file_task.cancel()
            self._file_task = self._spawn(self._write(g.metrics_file)) if g.metrics_file else None

    def remember(self, line: bytes, what: Transition | Note | SessionChange | None = None) -> None:
        """Writes the line of what happened; of a note not, if its kind has been written often of late."""
        if self.history is not None and (not isinstance(what, Note) or self._sieve.passes(what)):
            self.history.append(line)

    async def close(self) -> None:
        """Writes what is not written yet, and stops."""
        for task in (self._server_task, self._file_task):
            if task is not None:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        if self.history is not None:
            await self.history.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, host: str, port: int) -> None:
        """Listens until cancelled; an address that is not there yet (a virtual one, say) is tried again."""
        from fastha.telemetry.metrics_http import MetricsServer  # noqa: PLC0415

        server = MetricsServer(self._page, self._log)
        told = False
        while True:
            try:
                await server.start(host, port)
                break
            except OSError as error:
                if not told:
                    told = True
                    self._log(
                        f"metrics cannot be served at {host}:{port}: {error.strerror or error}; trying again "
                        f"every {_RETRY_S:g} s"
                    )
                await asyncio.sleep(_RETRY_S)
        try:
            await asyncio.Event().wait()
        finally:
            await server.close()

    async def _write(self, path: str) -> None:
        from fastha.telemetry.metrics_http import write_textfile  # noqa: PLC0415

        told = False
        while True:
            try:
                await write_textfile(path, await self._page(), self._pool)
                told = False
            except OSError as error:
                if not told:
                    told = True
                    self._log(
                        f"metrics cannot be written to {path}: {error.strerror}. Make room, or name another "
                        f"place with fastha_metrics_file; tried again every {FILE_EVERY_S:g} s"
                    )
            await asyncio.sleep(FILE_EVERY_S)
