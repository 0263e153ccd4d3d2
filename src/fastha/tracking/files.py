"""Numbers that other programs write into files, read when inotify says that a file changed.

keepalived.conf(5), `track_file`. The number is read as C's strtol does with base 0 (blanks, sign, 0x,
leading 0 for octal; what follows the number is ignored). No number, an empty file or no file is 0. A
number outside 32 bits is ignored, and the value stays. Directories are watched, not files, so that a file
may be replaced; a directory that is missing is looked for every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from fastha._core import inotify
from fastha.tracking.spec import FileSpec

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
_READ = 128
_RETRY_S = 1.0
_MASK = (
    inotify.IN_CLOSE_WRITE
    | inotify.IN_MOVED_FROM
    | inotify.IN_MOVED_TO
    | inotify.IN_CREATE
    | inotify.IN_DELETE
    | inotify.IN_DELETE_SELF
    | inotify.IN_MOVE_SELF
    | inotify.IN_ONLYDIR
)
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")


def parse_number(text: bytes) -> int | None:
    """The number at the beginning of `text`, 0 when there is none, None when it does not fit 32 bits."""
    match = _NUMBER.match(text)
    if match is None:
        return 0
    digits = match[2]
    if digits[:2] in (b"0x", b"0X"):
        value = int(digits, 16)
    elif digits.startswith(b"0"):
        value = int(digits, 8)
    else:
        value = int(digits)
    if match[1] == b"-":
        value = -value
    return value if INT32_MIN <= value <= INT32_MAX else None


class FileTracker:
    """One file and the number last read from it."""

    def __init__(self, spec: FileSpec) -> None:
        self.spec = spec
        self.value = 0
        self.note = "not read yet"

    @property
    def name(self) -> str:
        """The track_file's name in the configuration."""
        return self.spec.name

    def cause(self) -> str:
        """In words: `file /etc/weight holds -300`."""
        return f"file {self.spec.path} {self.note}"

    def read(self) -> str | None:
        """Reads the file. What is worth telling: a number that is ignored."""
        value, note, complaint = _read(self.spec.path)
        if value is not None:
            self.value = value
            self.note = note
        return complaint


def _read(path: str) -> tuple[int | None, str, str | None]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0, "is missing, which counts as 0", None
    except OSError as error:
        return 0, f"cannot be read ({error.strerror}), which counts as 0", f"{path}: {error.strerror}"
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return 0, "is no ordinary file, which counts as 0", f"{path} is no ordinary file"
        text = os.read(fd, _READ)
    except OSError as error:
        return 0, f"cannot be read ({error.strerror}), which counts as 0", f"{path}: {error.strerror}"
    finally:
        os.close(fd)
    value = parse_number(text)
    if value is None:
        shown = text.split(b"\n")[0][:32].decode("ascii", "replace").strip()
        return None, "", f"Invalid number {shown} read from {path} - ignoring"
    if not text.strip():
        return 0, "is empty, which counts as 0", None
    return value, f"holds {value}", None


class FileWatcher:
    """Watches all tracked files with one inotify descriptor. `on_change` is called for a file with a new
    value."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_change: Callable[[FileTracker], None],
        log: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._on_change = on_change
        self._log = log
        self._fd = -1
        self._files: dict[str, FileTracker] = {}
        self._folders: dict[int, str] = {}
        self._by_folder: dict[str, set[str]] = {}
        self._missing: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def files(self) -> dict[str, FileTracker]:
        """The watched files by their names."""
        return self._files

    def configure(self, specs: Iterable[FileSpec], *, start: bool) -> None:
        """Watches exactly `specs`. With `start` (not on a reload of known files) init_file is carried out."""
        wanted = {spec.name: spec for spec in specs}
        for name in list(self._files):
            if name not in wanted or wanted[name].identity != self._files[name].spec.identity:
                del self._files[name]
        for name, spec in wanted.items():
            known = self._files.get(name)
            if known is not None:
                known.spec = spec
                continue
            if start or not Path(spec.path).exists():
                self._initialise(spec)
            self._files[name] = FileTracker(spec)
        self._watch()
        for tracker in self._files.values():
            self._tell(tracker.read())

    def close(self) -> None:
        """Stops watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._files.clear()

    def _initialise(self, spec: FileSpec) -> None:
        """init_file: the number and a newline, mode 0600."""
        if spec.init_value is None:
            return
        path = Path(spec.path)
        if path.exists() and not spec.overwrite:
            return
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            fd = os.open(path, flags, 0o600)
            try:
                os.write(fd, f"{spec.init_value}\n".encode())
            finally:
                os.close(fd)
        except OSError as error:
            self._log(f"track_file {spec.name}: cannot write {spec.path}: {error.strerror}")

    # -- watching --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._fd < 0 and self._files:
            try:
                self._fd = inotify.init()
            except OSError as error:
                self._log(
                    f"cannot watch track files ({error.strerror}; see fs.inotify.max_user_instances): "
                    "they are read every second instead"
                )
                self._poll_again()
                return
            self._loop.add_reader(self._fd, self._ready)
        self._by_folder.clear()
        for name, tracker in self._files.items():
            for folder in _folders_of(tracker.spec.path):
                self._by_folder.setdefault(folder, set()).add(name)
        for wd, folder in list(self._folders.items()):
            if folder not in self._by_folder:
                inotify.rm_watch(self._fd, wd)
                del self._folders[wd]
        self._missing.clear()
        watched = set(self._folders.values())
        for folder in self._by_folder:
            if folder not in watched:
                self._add(folder)
        if self._missing:
            self._poll_again()

    def _add(self, folder: str) -> None:
        try:
            wd = inotify.add_watch(self._fd, os.fsencode(folder), _MASK)
        except OSError as error:
            if folder not in self._missing:
                self._log(
                    f"track file directory {folder} cannot be watched ({error.strerror}): "
                    "trying again every second"
                )
            self._missing.add(folder)
            return
        self._missing.discard(folder)
        self._folders[wd] = folder

    def _ready(self) -> None:
        names: set[str] = set()
        again = False
        while True:
            try:
                data = os.read(self._fd, 65536)
            except (BlockingIOError, InterruptedError):
                break
            for wd, mask, entry in inotify.parse(data):
                if mask & inotify.IN_Q_OVERFLOW:
                    names.update(self._files)
                    continue
                folder = self._folders.get(wd)
                if folder is None:
                    continue
                if mask & (inotify.IN_IGNORED | inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF):
                    if not mask & inotify.IN_IGNORED:
                        inotify.rm_watch(self._fd, wd)
                    self._folders.pop(wd, None)
                    again = True
                    names.update(self._by_folder.get(folder, ()))
                    continue
                touched, moved = self._touched(folder, os.fsdecode(entry))
                names |= touched
                again |= moved
        if again:
            self._watch()
        self._read(names)

    def _touched(self, folder: str, entry: str) -> tuple[set[str], bool]:
        """Which files an event in `folder` is about, and whether a link may lead elsewhere now."""
        touched = set()
        moved = False
        for name in self._by_folder.get(folder, ()):
            path = Path(self._files[name].spec.path)
            if path.name == entry and str(path.parent) == folder:
                touched.add(name)
                moved |= path.is_symlink()
            elif path.is_symlink():  # such as a mounted ConfigMap, where a directory behind the link changes
                touched.add(name)
                moved = True
        return touched, moved

    def _read(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            tracker = self._files.get(name)
            if tracker is None:
                continue
            before = tracker.value
            self._tell(tracker.read())
            if tracker.value != before:
                self._on_change(tracker)

    def _poll_again(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_RETRY_S, self._retry)

    def _retry(self) -> None:
        self._timer = None
        missing = set(self._missing)
        if self._fd < 0:
            self._read(self._files)
            self._poll_again()
            return
        for folder in missing:
            self._add(folder)
        found = missing - self._missing
        self._read({name for folder in found for name in self._by_folder.get(folder, ())})
        if self._missing:
            self._poll_again()

    def _tell(self, complaint: str | None) -> None:
        if complaint:
            self._log(complaint)


def _folders_of(path: str) -> set[str]:
    """The directories whose changes can change what `path` holds: its own, and the one behind a link."""
    folders = {str(Path(path).parent)}
    with contextlib.suppress(OSError, RuntimeError):
        if Path(path).is_symlink():
            folders.add(str(Path(path).resolve(strict=True).parent))
    return folders
