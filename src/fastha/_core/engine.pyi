"""The engine from Python's side: commands down, events up, counters readable at any time."""

from collections.abc import Sequence
from types import TracebackType

from fastha._core.spec import VrrpSpec

STATES: tuple[str, ...]
"""INIT, BACKUP, MASTER, FAULT, HANDOVER, by the number that events carry."""
CAUSES: tuple[str, ...]
"""Why a transition happened, in words, by number."""
REJECTS: tuple[str, ...]
"""What can be wrong with a received advert, by number; [0] is "ok"."""
STATS: tuple[str, ...]
"""Names of an instance's counters."""
ENGINE_STATS: tuple[str, ...]
"""Names of the engine's own counters."""

class EngineError(OSError):
    """The engine, or one of its sockets, could not be made, or does not answer."""

class Event:
    """Something that the engine tells.

    `at` is CLOCK_MONOTONIC in nanoseconds; `kind` is one of `fastha._core.events`; what `slot`, `arg`, `v`
    and
    `address` (16 octets, IPv4 in the first four) mean depends on it.
    """

    @property
    def at(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def slot(self) -> int: ...
    @property
    def arg(self) -> tuple[int, int, int, int]: ...
    @property
    def v(self) -> tuple[int, int, int, int, int, int]: ...
    @property
    def address(self) -> bytes: ...

class Engine:
    """The engine thread and the memory that it works on.

    Made in the network namespace of the calling thread, where its sockets then live. Needs CAP_NET_RAW and
    CAP_NET_ADMIN. Not to be used from two threads at once.
    """

    def __init__(
        self,
        *,
        max_instances: int = 8192,
        max_sockets: int = 4096,
        max_links: int = 8192,
        priority: int = 50,
        cpu: int = -1,
        main_timeout: int = 10_000_000_000,
    ) -> None:
        """`priority`: SCHED_FIFO, 0 for ordinary scheduling; `cpu`: pin to it, -1 anywhere; `main_timeout`:
        nanoseconds
        without `beat()` after which every instance is handed over, 0 for never.

        Raises EngineError when its sockets cannot be opened.
        """

    def start(self) -> list[str]:
        """Starts the thread; returns what was refused though wanted (real-time priority, locked memory), in
        words."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when there are events."""

    def beat(self) -> None:
        """The main thread lives."""

    def events(self) -> list[Event]:
        """Takes what was told since the last call. Also frees what the engine handed back."""

    def open_socket(
        self,
        family: int,
        protocol: int,
        ifindex: int,
        groups: Sequence[bytes] = (),
        rcvbuf: int = 4194304,
        only_from: bytes = b"",
    ) -> int:
        """Opens a receive socket and hands it to the engine; returns its slot.

        `protocol`: 112 VRRP, 51 AH, 1 claims by ARP, 58 claims by neighbour advertisement. `only_from`:
        only frames with this source MAC. `ifindex` 0: any
        interface.
        """

    def join(self, slot: int, group: bytes) -> None: ...
    def leave(self, slot: int, group: bytes) -> None: ...
    def close_socket(self, slot: int) -> None: ...
    def add(self, slot: int, spec: VrrpSpec) -> None:
        """Puts an instance to work; it waits in fault "disabled" until `told(slot,
        clear_faults=DISABLED)`."""

    def replace(self, slot: int, spec: VrrpSpec) -> None:
        """Changes a running instance; it keeps its role. `spec.drop` removes what the old one installed in
        excess."""

    def stop(self, slot: int, graceful: bool = True) -> None:
        """Takes an instance off the network; event STOPPED follows when it is gone. Then `remove` it."""

    def remove(self, slot: int) -> None: ...
    def told(self, slot: int, *, set_faults: int = 0, clear_faults: int = 0, delta: int = 0) -> None:
        """Faults and the priority change from tracking (the sum of all; interfaces are the engine's own
        business)."""

    def announce(self, slot: int) -> None: ...
    def takeover(self, slot: int) -> None:
        """The path to the current master is dead: a backup takes over without waiting."""

    def group(self, slot: int, members: Sequence[int]) -> None:
        """A sync group of these instances; no members dissolves it."""

    def link_delays(self, ifindex: int, up: int, down: int) -> None: ...
    def link_state(self, ifindex: int, up: bool) -> None:
        """A link state found by polling, for drivers that do not tell it."""

    def pace(self, slot: int, arp_gap: int, na_gap: int) -> None:
        """Least distance between announcements of one pacing group, in nanoseconds."""

    def stop_all(self, graceful: bool = True) -> None: ...
    def watch_routes(self) -> None:
        """Hear of deleted routes and rules too (needed once an instance tracks some)."""

    def status(self, slot: int) -> dict[str, str | int]: ...
    def counters(self, slot: int) -> dict[str, int]: ...
    def rejects(self, slot: int) -> dict[str, int]: ...
    def socket_counters(self, slot: int) -> dict[str, int]: ...
    def engine_counters(self) -> dict[str, int]: ...
    def last_turn(self) -> int:
        """When the engine last woke (CLOCK_MONOTONIC, ns)."""

    def close(self) -> None: ...
    def __enter__(self) -> Engine: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
