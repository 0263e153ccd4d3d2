"""Entering a network namespace, as ``net_namespace`` and ``-s`` ask for.

What this is for: one call before any thread and any socket exists; afterwards everything the process does
happens in that namespace. The process gets a mount namespace of its own, so that /sys shows the namespace's
devices and that a run directory of its own can stand where the common one does. network_namespaces(7),
setns(2), mount(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 1 << 19
_MNT_DETACH = 2
NAMED = Path("/run/netns")
"""Where ip-netns(8) keeps named namespaces."""


class NamespaceError(OSError):
    """The namespace cannot be entered: says which and what to do."""


def path_of(namespace: str) -> Path:
    """The file of a namespace given by name, or by path when it has a slash."""
    return Path(namespace) if "/" in namespace else NAMED / namespace


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc(), name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def set_namespace(descriptor: int) -> None:
    """Move the calling thread into the network namespace of an open descriptor; raises :exc:`OSError`."""
    _call("setns", descriptor, _CLONE_NEWNET)


def enter(namespace: str, *, run_directory: Path | None = None) -> None:
    """Move the whole process into a network namespace.

    ``run_directory``: the directory of pid files; a subdirectory of it named after the namespace is mounted
    over it, so that daemons of several namespaces do not overwrite each other's. Raises
    :exc:`NamespaceError`; :exc:`RuntimeError` when other threads run already, which would stay behind.
    """
    if threading.active_count() != 1 or len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        raise RuntimeError("a network namespace is entered before any thread starts")
    path = path_of(namespace)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NamespaceError(
            error.errno or 0,
            f"network namespace {namespace}: {path}: {error.strerror}; make it with: "
            f"ip netns add {path.name}",
        ) from error
    try:
        set_namespace(descriptor)
        _call("unshare", _CLONE_NEWNS)
        # Nothing that is mounted here shows outside; what is mounted outside still shows here.
        _call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None)
    except OSError as error:
        raise NamespaceError(
            error.errno or 0,
            f"network namespace {namespace}: cannot enter it: {error.strerror}; run as root (CAP_SYS_ADMIN)",
        ) from error
    finally:
        os.close(descriptor)
    with contextlib.suppress(OSError):  # only what looks into /sys/class/net would notice
        _libc().umount2(b"/sys", _MNT_DETACH)
        _call("mount", namespace.encode(), b"/sys", b"sysfs", ctypes.c_ulong(0), None)
    if run_directory is not None:
        own = run_directory / path.name
        try:
            own.mkdir(parents=True, exist_ok=True)
            _call("mount", os.fsencode(own), os.fsencode(run_directory), None, ctypes.c_ulong(_MS_BIND), None)
        except OSError as error:
            raise NamespaceError(
                error.errno or 0,
                f"network namespace {namespace}: cannot mount {own} on {run_directory}: {error.strerror}",
            ) from error


@contextlib.contextmanager
def visiting(namespace: str | None) -> Iterator[None]:
    """Run a block in another network namespace (None: this one): what is opened there belongs to it for good.

    For ``net_namespace_ipvs``: sockets made inside keep speaking to that namespace. Only the calling thread
    goes. Raises :exc:`NamespaceError`.
    """
    if namespace is None:
        yield
        return
    path = path_of(namespace)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                set_namespace(there)
            finally:
                os.close(there)
        except OSError as error:
            raise NamespaceError(
                error.errno or 0, f"network namespace {namespace}: {path}: {error.strerror}"
            ) from error
        try:
            yield
        finally:
            set_namespace(here)
    finally:
        os.close(here)
