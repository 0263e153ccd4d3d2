"""Whether a script may run: is it there, is it executable for its user, could someone else have written it.

keepalived.conf(5), `enable_script_security`. A script that runs as root (uid or gid 0, or a file that
becomes root by its set-id bits) must not be writable by others, nor must any directory on the way to it:
every element of the path is owned by root and not writable by a group other than root's or by others.
Sticky directories may be writable, since nobody can replace another's file there. Symbolic links are
followed, and the directories on both sides are checked.

A script that is absent or not executable never runs. An insecure one runs, with one warning, unless
`enable_script_security` is set.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from fastha.scripts.identity import Identity

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_LINKS = 40


class Usable(enum.Enum):
    """What the checks say of a script."""

    YES = "yes"
    INSECURE = "insecure"
    MISSING = "missing"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the checks: `path` is what is to be executed, `messages` are for the log."""

    usable: Usable
    path: str
    messages: tuple[str, ...] = ()

    def may_run(self, security: bool) -> bool:
        """Whether the script may run, given `enable_script_security`."""
        return self.usable is Usable.YES or (self.usable is Usable.INSECURE and not security)


def search_path(name: str, path: str | None = None) -> str | None:
    """Where a name without a slash is found, or None. `path` defaults to the daemon's PATH."""
    for folder in (path if path is not None else os.environ.get("PATH", DEFAULT_PATH)).split(":"):
        candidate = f"{folder or '.'}/{name}"
        try:
            info = Path(candidate).stat()
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode) and info.st_mode & 0o111:
            return candidate
    return None


def elements(path: str) -> Iterator[str]:
    """Every directory, link and the file passed on the way along an absolute path, links followed as they
    come.

    Raises OSError where the kernel would.
    """
    todo = list(reversed(PurePosixPath(path).parts[1:]))
    here = "/"
    yield here
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            here = str(PurePosixPath(here).parent)
            continue
        step = f"{here.rstrip('/')}/{part}"
        info = os.lstat(step)
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = PurePosixPath(Path(step).readlink())
            if target.is_absolute():
                here = "/"
                todo.extend(reversed(target.parts[1:]))
            else:
                todo.extend(reversed(target.parts))
            continue
        here = step
        yield here


def _allowed(info: os.stat_result, identity: Identity, bit: int) -> bool:
    """Whether the mode lets these ids do what `bit` says (4 read, 2 write, 1 execute or search)."""
    if identity.uid == 0:
        return bit != 1 or stat.S_ISDIR(info.st_mode) or bool(info.st_mode & 0o111)
    if info.st_uid == identity.uid:
        return bool(info.st_mode & bit << 6)
    if info.st_gid == identity.gid or info.st_gid in identity.groups:
        return bool(info.st_mode & bit << 3)
    return bool(info.st_mode & bit)


def _insecure(element: str, info: os.stat_result) -> str | None:
    """Why a path element could have been changed by somebody who is not root, or None."""
    mode = stat.S_IMODE(info.st_mode)
    if info.st_uid != 0:
        return f"{element} is owned by uid {info.st_uid} (mode {mode:04o}): chown root {element}"
    if stat.S_ISDIR(info.st_mode) and mode & stat.S_ISVTX:
        return None
    if mode & stat.S_IWOTH:
        return f"{element} is writable by everybody (mode {mode:04o}): chmod o-w {element}"
    if mode & stat.S_IWGRP and info.st_gid != 0:
        return f"{element} is writable by group {info.st_gid} (mode {mode:04o}): chmod g-w {element}"
    return None


def check(
    program: str,
    identity: Identity,
    *,
    security: bool = False,
    follow_links: bool = True,
    path: str | None = None,
) -> Verdict:
    """Checks a script's first word. With `follow_links` (default) what is executed is the path without links.

    `security` only changes the wording ("disabling"). Never raises for what the file system holds.
    """
    messages: list[str] = []
    written = program
    if "/" not in program:
        found = search_path(program, path)
        if found is None:
            return Verdict(
                usable=Usable.MISSING,
                path=program,
                messages=(f"Cannot find script {program} in path - disabling",),
            )
        messages.append(
            f"WARNING - script `{program}` resolved by path search to `{found}`. Please specify full path."
        )
        written = found
    written = os.path.abspath(written)  # noqa: PTH100 - resolving links is what must not happen here
    try:
        walked = [(element, os.lstat(element)) for element in elements(written)]
    except OSError as error:
        return _missing(messages, written, f"Script {written} cannot be accessed - {error.strerror}")
    target, info = walked[-1]
    for element, element_info in walked[:-1]:
        if not _allowed(element_info, identity, 1):
            mode = stat.S_IMODE(element_info.st_mode)
            return _missing(
                messages,
                written,
                f"Script {written} cannot be accessed - Permission denied "
                f"({element}, mode {mode:04o}, cannot be searched by {identity.describe()})",
            )
    if not stat.S_ISREG(info.st_mode):
        return _missing(messages, written, f"Wrong file type found in script path '{target}'.")
    if not _allowed(info, identity, 1):
        return _missing(
            messages,
            written,
            f"WARNING - script '{target}' is not executable for uid:gid {identity.uid}:{identity.gid} - "
            f"disabling. (mode {stat.S_IMODE(info.st_mode):04o}: chmod +x {target})",
        )
    chosen = target if follow_links else written
    becomes_root = (info.st_mode & stat.S_ISUID and info.st_uid == 0) or (
        info.st_mode & stat.S_ISGID and info.st_gid == 0
    )
    if identity.is_root or becomes_root:
        problems = [text for element, found_info in walked if (text := _insecure(element, found_info))]
        if problems:
            ending = " - disabling." if security else "."
            reasons = "; ".join(dict.fromkeys(problems))
            messages.append(f"Unsafe permissions found for script '{target}'{ending} ({reasons})")
            return Verdict(usable=Usable.INSECURE, path=chosen, messages=tuple(messages))
    return Verdict(usable=Usable.YES, path=chosen, messages=tuple(messages))


def _missing(messages: list[str], path: str, text: str) -> Verdict:
    return Verdict(usable=Usable.MISSING, path=path, messages=(*messages, text))


#: Said once when insecure scripts run because nobody asked for security.
VIOLATION = (
    "SECURITY VIOLATION - scripts are being executed but script_security not enabled."
    " Set 'enable_script_security' and make their paths writable by root only."
)
