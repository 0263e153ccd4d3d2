"""Reads configurations in a process of its own, forked for that.

The daemon needs the model of a configuration, not what it takes to make it: the parser, and words and trees
that are many times the model. A child reads the file and hands the model back through a pipe, so that a
daemon with thousands of instances stays small, its threads go on with their work meanwhile, and what a file
does to the parser costs a child. At the start the parent loads its other modules in that time.

A fork, not another program: it may read what the daemon may, by capabilities that would be lost. Where no
child can be made, or one fails, the file is read here.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import pickle
import select
import signal
import struct
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from fastha.config.result import LoadResult

LIMIT_S = 120.0
"""A file that takes longer is not read to its end."""
_PR_SET_PDEATHSIG = 1
_LENGTH = struct.Struct("=Q")
_PORTION = 50
"""Instances and sessions that come through the pipe at a time."""


class Reading:
    """A configuration that is being read. `text`: instead of the file's content."""

    def __init__(self, path: Path, *, config_id: str | None = None, text: str | None = None) -> None:
        self._path, self._config_id, self._text = path, config_id, text
        self._pid = self._pipe = -1
        self._status = 0
        with contextlib.suppress(OSError):
            self._fork()

    def result(self, limit_s: float = LIMIT_S, *, running: bool = False) -> LoadResult:
        """Waits for it. Never raises for what a file says, or how long that is. `running`: a daemon that has
        something to lose; it does not try itself what killed the child (a lack of memory)."""
        if self._pid > 0:
            try:
                with self._received(time.monotonic() + limit_s) as data:
                    if len(data):
                        return _unpacked(data)
            except TimeoutError:
                return self._failed(f"reading it was given up after {limit_s:.0f} s")
            if running and os.WIFSIGNALED(self._status):
                return self._failed(
                    f"the process that read it was ended by signal {os.WTERMSIG(self._status)}"
                )
        return self._read()

    # ---------------------------------------------------------------- the parent

    @contextlib.contextmanager
    def _received(self, deadline: float) -> Iterator[memoryview]:
        """What the child made; nothing if it did not come to its end. The memory is a mapping of its own,
        and goes back whole."""
        waiting = select.poll()
        waiting.register(self._pipe, select.POLLIN)
        size, have, late = bytearray(_LENGTH.size), 0, False
        mapping = None
        try:
            into = memoryview(size)
            while have < len(into):
                left = deadline - time.monotonic()
                if left <= 0 or not waiting.poll(left * 1000):
                    late = True
                    break
                more = os.readv(self._pipe, [into[have:]])
                if more == 0:
                    break
                have += more
                if mapping is None and have == len(into):
                    mapping = mmap.mmap(-1, _LENGTH.unpack(size)[0])
                    into, have = memoryview(mapping), 0
        finally:
            os.close(self._pipe)
            if late:
                os.kill(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # nothing to wait for where SIGCHLD is ignored
                _, self._status = os.waitpid(self._pid, 0)
        if late:
            raise TimeoutError
        whole = mapping is not None and have == len(into) and self._status == 0
        with into if whole else memoryview(b"") as data:
            yield data
        if mapping is not None:
            into.release()
            mapping.close()

    def _failed(self, text: str) -> LoadResult:
        from fastha.config.diagnostics import Diagnostic  # noqa: PLC0415
        from fastha.config.model import Span  # noqa: PLC0415

        place = Span(str(self._path), 1)
        return LoadResult(None, (Diagnostic(severity="error", code="FH0001", message=text, span=place),))

    def _fork(self) -> None:
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            with warnings.catch_warnings():  # of threads: the child uses none of what they may hold
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            raise
        if pid == 0:
            self._child(write)
        os.close(write)
        self._pid, self._pipe = pid, read

    # ---------------------------------------------------------------- the child

    def _read(self) -> LoadResult:
        from fastha.config.loading import load  # noqa: PLC0415  (which the parent shall not have loaded)

        return load(self._path, config_id=self._config_id, text=self._text)

    def _child(self, pipe: int) -> NoReturn:
        status = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            gc.disable()
            parts = _packed(self._read())
            for part in (_LENGTH.pack(sum(map(len, parts))), *parts):
                data = memoryview(part)
                while data:
                    data = data[os.write(pipe, data) :]
            status = 0
        finally:
            os._exit(status)


# ---------------------------------------------------------------- on the way through the pipe


def _packed(result: LoadResult) -> list[bytes]:
    """A result in portions, each with its length before it: first all but what there may be thousands of.

    What pickle needs for a struct while it makes one is several times the struct, and it keeps that until
    the portion is done: between thousands of instances it would leave holes in the daemon's memory for good.
    """
    config = result.config
    many: list[tuple[str, tuple[object, ...]]] = []
    if config is not None:
        for name, things, size in (
            ("instances", config.instances, _PORTION),
            ("bfd_instances", config.bfd_instances, _PORTION),
            ("virtual_servers", config.lvs.virtual_servers, 5),
        ):
            many += [(name, things[at : at + size]) for at in range(0, len(things), size)]
        rest = msgspec.structs.replace(config.lvs, virtual_servers=())
        config = msgspec.structs.replace(config, instances=(), bfd_instances=(), lvs=rest)
        result = msgspec.structs.replace(result, config=config)
    made = (pickle.dumps(each, 5) for each in (result, *many))
    return [part for each in made for part in (_LENGTH.pack(len(each)), each)]


def _unpacked(data: memoryview) -> LoadResult:
    result: LoadResult | None = None
    many: dict[str, list[Any]] = {"instances": [], "bfd_instances": [], "virtual_servers": []}
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        made = pickle.loads(data[at : at + length])  # noqa: S301  (of our own child)
        if isinstance(made, LoadResult):
            result = made
        else:
            many[made[0]] += made[1]
        at += length
    assert result is not None
    if result.config is None:
        return result
    lvs = msgspec.structs.replace(result.config.lvs, virtual_servers=tuple(many.pop("virtual_servers")))
    found = {name: tuple(things) for name, things in many.items()}
    return msgspec.structs.replace(result, config=msgspec.structs.replace(result.config, lvs=lvs, **found))


def read(path: Path, *, config_id: str | None = None, text: str | None = None) -> LoadResult:
    """Reads a configuration for a daemon that runs, and waits for it: for a thread that may wait."""
    return Reading(path, config_id=config_id, text=text).result(running=True)
