"""The simulator's core; what the numbers of faults mean is in docs/sim.md. Times: ns since the start."""

NOBODY: int
"""Stands for a router that is none: the sender of forged adverts."""
EPOCH: int
RULES: tuple[str, ...]
FAULTS: tuple[str, ...]
STATS: tuple[str, ...]
STATES: tuple[str, ...]
CAUSES: tuple[str, ...]
BFD_STATES: tuple[str, ...]
BFD_CAUSES: tuple[str, ...]
BREAKS: tuple[str, ...]

def breaks(*names: str) -> None:
    """Breaks this module's machines in these ways (BREAKS) and no other; without names they are whole."""

class World:
    """A network of routers; made in the order segments, routers, instances, sessions, faults; then started.

    What makes something returns its index. ValueError: an argument names nothing, or the world has started.
    """

    def __init__(self, seed: int = 0, start_spread: int = 0) -> None:
        """All chance comes from seed; the routers start within start_spread ns."""
    def segment(self, delay: int) -> int:
        """A link that any number of routers share; every packet is under way for delay ns."""
    def router(self, ports: list[tuple[int, int]]) -> int:
        """Ports: (segment, rank of its address there); the higher rank wins a tie of priorities."""
    def instance(
        self,
        router: int,
        *,
        vrid: int,
        port: int = 0,
        version: int = 3,
        priority: int = 100,
        adver_int: int = 1_000_000_000,
        preempt: bool = True,
        preempt_delay: int = 0,
        down_adverts: int = 3,
        graceful: bool = True,
        group: int | None = None,
    ) -> int:
        """A virtual router on one of the router's ports; group: number of its sync group in that router."""
    def session(
        self,
        a: int,
        port_a: int,
        b: int,
        port_b: int,
        *,
        interval_us: int = 50_000,
        detect_mult: int = 3,
        takeover: bool = True,
    ) -> int:
        """A BFD session over a common segment; takeover: the instances on these ports follow it."""
    def fault(self, kind: str, at: int, until: int, target: int, a: int = 0, b: int = 0) -> int:
        """Something goes wrong at `at` and is put right at `until`."""
    def trace(self, capacity: int) -> None:
        """Writes down what happens, until so many records are full; before start."""
    def excuse(self, *rules: str) -> None:
        """Rules that are not judged in this world."""
    def start(self) -> None: ...
    def run(self, until: int, events: int = ...) -> tuple[int, str, int, int] | None:
        """Runs to `until`, for so many events, or until a rule is broken: (when, rule, who, bound in ns)."""
    @property
    def broken(self) -> tuple[int, str, int, int] | None: ...
    @property
    def now(self) -> int: ...
    @property
    def digest(self) -> int:
        """Of every change of state so far: the same world gives the same digest."""
    def stats(self) -> dict[str, int]: ...
    def state(self, inst: int) -> str: ...
    def priority(self, inst: int) -> int: ...
    def masters(self, inst: int) -> int:
        """How many of the instance's virtual router are master and awake."""
    def bfd_state(self, session: int, end: int) -> str: ...
    def story(self) -> list[tuple[int, int, int, int, int, int, int]]:
        """The records: (when, type, who, from, a, b, c), as fh_sim.h has them."""
