"""The sockets and deadlines of health checks: thousands of short conversations behind one descriptor.

What this is for: connecting, sending and receiving for checkers without a Python object or an event loop's
timer for every socket. It does not know what is said. Times are nanoseconds.
"""

from typing import Protocol

CONNECTED: int
DATA: int
CLOSED: int
FAILED: int
TIMEOUT: int

class ProbeError(OSError):
    """A probe could not be started; `step` says at what: socket, fwmark, bind_if, bind, connect, send."""

    step: str

class Owner(Protocol):
    """Who is told. Exceptions raised by `probed` go to the caller of `poll`."""

    def probed(self, probe: int, kind: int, error: int, was_connected: bool, data: bytes) -> None:
        """CONNECTED, DATA (with `data`), or how the probe ended: CLOSED by the other side, FAILED with an
        errno,
        TIMEOUT. A probe opened with `connect_only` ends with CONNECTED."""

class Target:
    """Where to and how. `step` bounds each step after the connection; `source`, `source_port`, `interface`
    and
    `mark` are where from."""

    def __init__(
        self,
        family: int,
        kind: int,
        protocol: int,
        address: bytes,
        port: int,
        *,
        connect_only: bool = False,
        step: int = 0,
        source: bytes = b"",
        source_port: int = 0,
        interface: str = "",
        mark: int = 0,
    ) -> None: ...

class Probes:
    """All probes of one event loop. Raises MemoryError when memory or descriptors are short."""

    def close(self) -> None:
        """Ends every probe without an event."""
    def fileno(self) -> int:
        """Readable when `poll` has something to tell."""
    def __len__(self) -> int:
        """How many are under way."""
    def open(self, owner: Owner, target: Target, timeout: int, output: bytes = b"") -> int:
        """Starts a probe that sends `output` once connected; returns its number. Raises ProbeError."""
    def send(self, probe: int, data: bytes) -> int:
        """Sends more; 0 or an errno (ENOENT when the probe is over)."""
    def deadline(self, probe: int, timeout: int) -> bool:
        """Moves the deadline to `timeout` from now; False when the probe is over."""
    def end(self, probe: int) -> None:
        """Ends a probe without an event."""
    def poll(self) -> int:
        """Tells the owners what happened; how many events that were. Never waits."""
