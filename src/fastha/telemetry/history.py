"""What happened, kept across restarts: a bounded file of transitions with cause and timeline.

One JSON document per line, newest last. The file is appended to in a worker thread and cut back to its
newest half when it has grown beyond its bound; a line that a crash left unfinished is skipped. A full disk
loses no record for those who look while the daemon runs: the newest are also held in memory, and are
written as soon as there is room.

In memory a record is its line. When thousands of instances fail over at once their records are the newest,
and as objects they would be a third of what each instance takes.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Executor
from functools import cache
from pathlib import Path

import msgspec

from fastha.telemetry.files import write_file

DEFAULT_PATH = "/var/lib/fastha/history.jsonl"
MAX_BYTES = 4 * 1024 * 1024
IN_MEMORY = 500
_RETRY_S = 10.0
_BLOCK = 50
"""Lines that are compressed together."""


class HistoryMark(msgspec.Struct, frozen=True):
    """One point of a timeline: `at_us` microseconds after the first."""

    step: str
    at_us: int


class HistoryRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. `wall_ns` is CLOCK_REALTIME; `monotonic_ns` counts since boot `boot`."""

    wall_ns: int
    kind: str
    name: str
    state: str
    previous: str = ""
    priority: int = 0
    cause: str = ""
    timeline: tuple[HistoryMark, ...] = ()
    interface: str = ""
    vrid: int = 0
    group: str = ""
    monotonic_ns: int = 0
    boot: str = ""
    details: dict[str, str] = {}


def line_of(record: HistoryRecord) -> bytes:
    """The line of a record, with this boot's id if it has none."""
    if not record.boot:
        record = msgspec.structs.replace(record, boot=boot_id())
    try:
        return _encoder.encode(record) + b"\n"
    except UnicodeEncodeError:  # a name that is no UTF-8: JSON has no place for it
        shown = {
            field: value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for field in record.__struct_fields__
            if isinstance(value := getattr(record, field), str)
        }
        return _encoder.encode(msgspec.structs.replace(record, **shown)) + b"\n"


_encoder = msgspec.json.Encoder()


class Newest:
    """The newest lines, compressed but for the last ones."""

    def __init__(self, most: int = IN_MEMORY) -> None:
        """`most`: so many are held."""
        self._most = most
        self._full: deque[bytes] = deque(maxlen=-(-most // _BLOCK))
        self._last: list[bytes] = []

    def append(self, line: bytes) -> None:
        """Adds a line; the oldest goes."""
        self._last.append(line)
        if len(self._last) == _BLOCK:
            # small tables: what zlib needs to work shall leave no hole in locked memory
            packer = zlib.compressobj(wbits=-12, memLevel=5)
            self._full.append(packer.compress(b"".join(self._last)) + packer.flush())
            self._last.clear()

    def lines(self) -> list[bytes]:
        """All that are held, newest last."""
        found = [
            line for block in self._full for line in zlib.decompress(block, -12).splitlines(keepends=True)
        ]
        return (found + self._last)[-self._most :]


class History:
    """The records of one node, in its file."""

    def __init__(
        self,
        path: str | Path = DEFAULT_PATH,
        *,
        log: Callable[[str], None],
        max_bytes: int = MAX_BYTES,
        unwritten: int = IN_MEMORY,
        executor: Executor | None = None,
    ) -> None:
        """At most `unwritten` lines wait for the disk. `executor` writes the file; without one, the event
        loop's own."""
        self._executor = executor
        self.path = Path(path)
        self._log = log
        self._max_bytes = max_bytes
        self._limit = unwritten
        self._unwritten: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None
        self._in_trouble = False
        self.lost = 0

    def append(self, line: bytes) -> None:
        """Adds a record's line; it is written soon, in the background when an event loop runs, else at
        once."""
        if len(self._unwritten) < self._limit:
            self._unwritten.append(line)
        else:
            self.lost += 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._note(self._write_out())
            return
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())

    async def since(self, since_ns: int, held: Iterable[bytes] = ()) -> list[HistoryRecord]:
        """Records from a time on (CLOCK_REALTIME), newest last: the file's, those that wait for the disk,
        and those of the lines `held` by the caller that are neither."""
        newest = dict.fromkeys(held)
        waiting = [line for line in self._unwritten if line not in newest]
        last = dict.fromkeys((*waiting, *newest))
        loop = asyncio.get_running_loop()
        found: list[HistoryRecord] = []
        try:
            found = await loop.run_in_executor(self._executor, self._from_file, since_ns, last)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._log(f"cannot read the history {self.path}: {error.strerror}")
        return [*found, *_since(since_ns, last)]

    def _from_file(self, since_ns: int, but: Container[bytes]) -> list[HistoryRecord]:
        with self.path.open("rb") as file:
            return _since(since_ns, (line for line in file if line not in but))

    async def close(self) -> None:
        """Writes what is not written yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)
        self._note(self._write_out())

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._unwritten:
            problem = await loop.run_in_executor(self._executor, self._write_out)
            self._note(problem)
            if problem:
                await asyncio.sleep(_RETRY_S)

    def _note(self, problem: str) -> None:
        """Tells the first of a row of problems, and its end."""
        if problem:
            self._tell(problem)
        elif self._in_trouble:
            self._in_trouble = False
            self._log(f"the history {self.path} is written again")

    def _write_out(self) -> str:
        """Writes all that waits; what went wrong. May run in a worker thread."""
        lines = list(self._unwritten)
        if not lines:
            return ""
        try:
            _append(self.path, b"".join(lines))
        except OSError as error:
            return (
                f"cannot write the history {self.path}: {error.strerror}. Records are kept in memory: make "
                "room, or make the directory writable"
            )
        for _ in lines:
            self._unwritten.popleft()
        try:
            self._cut_back()
        except OSError as error:
            return f"cannot cut back the history {self.path}: {error.strerror}"
        return ""

    def _cut_back(self) -> None:
        """Drops the older half. In pieces: what the daemon once had in its memory is locked there."""
        size = self.path.stat().st_size
        if size <= self._max_bytes:
            return
        with self.path.open("rb") as file:
            file.seek(size - self._max_bytes // 2)
            file.readline()
            write_file(self.path, iter(lambda: file.read(1 << 16), b""), 0o640)

    def _tell(self, text: str) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            self._log(text)


def read_records(lines: Iterable[bytes]) -> Iterator[HistoryRecord]:
    """The records in the lines of a history; those that are none are skipped."""
    decoder = msgspec.json.Decoder(HistoryRecord)
    for line in lines:
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:
            continue


def _since(since_ns: int, lines: Iterable[bytes]) -> list[HistoryRecord]:
    return [record for record in read_records(lines) if record.wall_ns >= since_ns]


def merge(*histories: Iterable[tuple[str, HistoryRecord]]) -> list[tuple[str, HistoryRecord]]:
    """The (node, record) pairs of several nodes in order of their wall clocks."""
    return sorted((pair for history in histories for pair in history), key=lambda pair: pair[1].wall_ns)


@cache
def boot_id() -> str:
    """Tells one boot of the machine from another; empty when the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _append(path: Path, data: bytes) -> None:
    """Appends whole lines. What a full disk cut off is taken back, so that no half line stays. Raises
    OSError."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        size = os.fstat(fd).st_size
        # After a crash the last line may be unfinished: it must not take the next one with it.
        if size and not _ends_with_newline(path, size):
            data = b"\n" + data
        at = 0
        try:
            while at < len(data):
                at += os.write(fd, data[at:])
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def _ends_with_newline(path: Path, size: int) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return os.pread(fd, 1, size - 1) == b"\n"
    finally:
        os.close(fd)
