"""Kernel settings under /proc/sys: set, remembered, restored.

What this is for: the settings that virtual MACs need (arp_ignore, rp_filter, ...), promote_secondaries, and
disable_local_igmp. What was there before is kept in a small file, so that a daemon that was killed
restores, after its next start and orderly stop, what the operator had, and not its own values. Documented
in the kernel's networking/ip-sysctl.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path


class SysctlError(OSError):
    """A setting could not be read or written: names the setting and what to do."""


def ipv4(interface: str, name: str) -> str:
    """The path of an IPv4 setting of an interface ("all" and "default" included)."""
    return f"net/ipv4/conf/{interface}/{name}"


def ipv6(interface: str, name: str) -> str:
    """The path of an IPv6 setting of an interface."""
    return f"net/ipv6/conf/{interface}/{name}"


class SysctlKeeper:
    """Changes settings and puts them back. The network namespace is that of the calling thread.

    ``state``: where the original values are kept while the daemon runs (a file below its run directory),
    or None.
    """

    def __init__(self, state: Path | None = None, root: Path = Path("/proc/sys")) -> None:
        self._root = root
        self._state = state
        self._original: dict[str, str] = {}
        if state is not None:
            # A broken file is no reason not to start; its values are then those found now.
            with contextlib.suppress(OSError, ValueError):
                kept = json.loads(state.read_text())
                if isinstance(kept, dict):
                    self._original = {str(k): str(v) for k, v in kept.items()}

    def read(self, path: str) -> str | None:
        """The value now, None where the kernel has no such setting (an interface that went, IPv6 switched
        off).
        """
        try:
            return (self._root / path).read_text().strip()
        except OSError:
            return None

    def set(self, path: str, value: int, *, remember: bool = True) -> bool:
        """Set a value; True when it was another one before.

        ``remember`` is False for devices that we make and remove ourselves. A setting that does not exist
        is left alone (False). Raises :exc:`SysctlError` when the kernel or a read-only /proc/sys refuses.
        """
        before = self.read(path)
        if before is None or before == str(value):
            return False
        try:
            (self._root / path).write_text(f"{value}\n")
        except FileNotFoundError:
            return False
        except OSError as error:
            dotted = path.replace("/", ".")
            raise SysctlError(
                error.errno or 0,
                f"cannot set {dotted} to {value} (it is {before}): {error.strerror}; run with "
                f"CAP_NET_ADMIN and /proc/sys/net writable, or set it before the daemon starts",
            ) from error
        if remember and path not in self._original:
            self._original[path] = before
            self._save()
        return True

    def original(self, path: str) -> str | None:
        """What the value was before we changed it, None when we did not."""
        return self._original.get(path)

    def restore(self, *paths: str) -> None:
        """Put settings back to what they were, all of them without arguments; what cannot be written is
        skipped.
        """
        for path in paths or tuple(self._original):
            before = self._original.pop(path, None)
            if before is not None and self.read(path) is not None:
                with contextlib.suppress(OSError):
                    (self._root / path).write_text(f"{before}\n")
        self._save()

    def _save(self) -> None:
        if self._state is None:
            return
        if not self._original:
            self._state.unlink(missing_ok=True)
            return
        with contextlib.suppress(OSError):
            self._state.parent.mkdir(parents=True, exist_ok=True)
            partial = self._state.with_suffix(".partial")
            partial.write_text(json.dumps(self._original))
            partial.replace(self._state)


def promote_secondaries(keeper: SysctlKeeper, interface: str) -> bool:
    """``promote_secondaries``: removing a primary address leaves the others of its subnet; True when it was
    changed.

    Raises :exc:`SysctlError`.
    """
    return keeper.set(ipv4(interface, "promote_secondaries"), 1)


def disable_local_igmp(keeper: SysctlKeeper) -> bool:
    """``disable_local_igmp``: no IGMP reports for 224.0.0.0/24, which switches flood anyway (RFC 4541
    section 2.1.2).

    Raises :exc:`SysctlError`.
    """
    return keeper.set("net/ipv4/igmp_link_local_mcast_reports", 0)
