"""The engine from Python's side: commands down, events up, counters readable at any time."""

from collections.abc import Sequence
from types import TracebackType

from fastha._core.bfd_spec import BfdAccept, BfdReflector, BfdSpec, BfdTrack
from fastha._core.spec import VrrpSpec

STATES: tuple[str, ...]
"""INIT, BACKUP, MASTER, FAULT, HANDOVER, by the number that events carry."""
CAUSES: tuple[str, ...]
"""Why a transition happened, in words, by number."""
REJECTS: tuple[str, ...]
"""What can be wrong with a received advert, by number; [0] is "ok"."""
STATS: tuple[str, ...]
"""Names of an instance's counters."""
SPREAD_BOUNDS: tuple[float, ...]
"""Upper bounds in seconds of `Engine.jitter` and `Engine.lateness`; the last count is for the rest."""
ENGINE_STATS: tuple[str, ...]
"""Names of the engine's own counters."""

BFD_STATES: tuple[str, ...]
"""admin_down, down, init, up, by the number that events carry."""
BFD_DIAGS: tuple[str, ...]
"""Diagnostics 0 to 31 in words."""
BFD_CAUSES: tuple[str, ...]
"""Why a session changed its state, by number."""
BFD_REJECTS: tuple[str, ...]
"""What can be wrong with a received BFD packet, by number; [0] is "ok"."""
BFD_STATS: tuple[str, ...]
"""Names of a session's counters."""

def one_heap() -> bool:
    """All threads of the process share one heap from now on (glibc's mallopt, M_ARENA_MAX).

    Else each thread that ever read a large configuration keeps what that took for itself and for ever, in
    locked memory. Returns False where the C library has no such setting.
    """

def give_back() -> bool:
    """Gives memory that was freed back to the kernel (glibc's malloc_trim), while it may: of locked memory
    nothing goes back. Returns whether anything did.
    """

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
        max_sessions: int = 4096,
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

    def events(self, most: int = ...) -> list[Event]:
        """Takes what was told since the last call. Also frees what the engine handed back.

        At most `most` events; whoever gets so many asks again, for nothing tells that there are more.
        """

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

    # ---- BFD. Sessions have slots of their own, from 0 to max_sessions - 1.

    def bfd_listen(self, family: int, port: int) -> None:
        """Receives BFD on this port (3784, 4784, 7784) of this family, if it does not yet. `bfd_add` does
        it for
        the session's own; needed alone for `bfd_accept` and `bfd_reflect`.

        Raises EngineError when the port is taken, usually by another BFD daemon.
        """

    def bfd_unlisten(self, family: int, port: int) -> None: ...
    def bfd_add(self, slot: int, spec: BfdSpec) -> int:
        """Starts a session; returns its discriminator. Raises KeyError when the slot is not free, ValueError
        when the spec is impossible, EngineError when a socket cannot be opened."""

    def bfd_replace(self, slot: int, spec: BfdSpec) -> None:
        """Changes a running session without a flap: timers by a Poll Sequence, keys, padding, Echo.

        Raises ValueError if it is not the same session (`bfd_spec.same_session`).
        """

    def bfd_admin(self, slot: int, up: bool, diag: int = 7) -> None:
        """Takes a session to AdminDown (with the diagnostic 7, or 5 path down) or back."""

    def bfd_signal(self, slot: int, what: str, arg: int = 0) -> None:
        """What is known from elsewhere: "path_down" (the link is gone), "forwarding_reset", "concat" (arg:
        6, 8,
        or 0 for over), "backoff" (arg: intervals are doubled so often), "poll"."""

    def bfd_remove(self, slot: int, graceful: bool = True) -> None:
        """Ends a session: gracefully, it tells AdminDown for one detection time. Event BFD_GONE tells that
        the slot
        is free."""

    def bfd_track(self, instance: int, tracks: Sequence[BfdTrack]) -> None:
        """The sessions that a VRRP instance follows, all of them; what the change means happens at once.
        Fault
        BFD is the engine's own: `told` cannot set or clear it."""

    def bfd_accept(self, rules: Sequence[BfdAccept], rate: int = 16) -> None:
        """From whom packets that belong to no session become an event BFD_ASKED, `rate` a second at most."""

    def bfd_reflect(self, reflector: BfdReflector | None) -> None:
        """Answers S-BFD questions (RFC 7880); None: no longer."""

    def bfd_status(self, slot: int) -> dict[str, str | int]:
        """State, timers, diagnostics and what was measured, as the engine last left them. Times are
        nanoseconds
        of CLOCK_MONOTONIC, intervals nanoseconds."""

    def bfd_counters(self, slot: int) -> dict[str, int]: ...
    def bfd_rejects(self, slot: int | None = None) -> dict[str, int]:
        """Packets refused, by reason; None: those that belong to no session."""

    def status(self, slot: int) -> dict[str, str | int]:
        """State, priorities, faults and timers. Times are nanoseconds of CLOCK_MONOTONIC; `timer_ns` is the
        deadline of the protocol's timer, the greatest 64-bit number when none runs."""

    def peers(self, slot: int) -> list[dict[str, bytes | int]]:
        """The routers that an instance heard, at most the last four: address (16 octets), priority (0: said
        goodbye), interval_ns, heard_ns, adverts."""

    def jitter(self, slot: int) -> tuple[tuple[int, ...], float]:
        """How far the adverts of the master that is listened to were from their interval: counts by
        `SPREAD_BOUNDS`, and the sum in seconds."""

    def lateness(self) -> tuple[tuple[int, ...], float]:
        """How late timers were served, in the same form."""

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
