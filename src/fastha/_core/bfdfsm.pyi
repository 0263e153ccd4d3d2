"""The BFD session machine (RFC 5880 6) under a virtual clock: for tests and simulations.

The engine runs the same C functions against sockets; here the caller is the clock and the network. Times
are nanoseconds on any clock that only grows, intervals in settings are microseconds. A step returns what
the engine would do, with the packets that it would send already written.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, TypeAlias

_Key: TypeAlias = tuple[int, int, bytes]
_Event: TypeAlias = Literal[
    "tx",
    "detect",
    "echo",
    "echo_back",
    "admin_down",
    "admin_up",
    "reconfigure",
    "forwarding_reset",
    "path_down",
    "concat",
    "backoff",
    "poll",
]

SESSION_SIZE: Final[int]
"""Octets that one session takes."""
NEVER: Final[int]
"""The deadline of a timer that is not set."""

class Actions(NamedTuple):
    """What came of an input. `verdict` is "ok" or the reason a packet was discarded, a name of
    `codec.BFD_RX_NAMES`; `todo` the names of `enum fh_bfd_action` in lower case; `cause` why the state
    changed, "" if it did not; `packets` what is sent, `echo` an Echo packet that is sent."""

    verdict: str
    todo: frozenset[str]
    cause: str
    packets: tuple[bytes, ...]
    echo: bytes | None

class Session:
    """One session. `kind` "sbfd" is an S-BFD initiator towards `remote_discr` (RFC 7880), "looped"
    unaffiliated Echo (RFC 9747). `keys` are (key id, auth type, secret); `tx_key` is an index into them,
    None to send without. Settings are those of `fh_bfd_params`."""

    def __init__(
        self,
        *,
        discr: int = 1,
        seq: int = 0,
        token: int = 0x1234,
        now: int = 1,
        kind: Literal["session", "sbfd", "looped"] = "session",
        min_tx_us: int = 50_000,
        min_rx_us: int = 50_000,
        idle_tx_us: int = 1_000_000,
        min_echo_rx_us: int = 0,
        echo_tx_us: int = 0,
        demand_poll_us: int = 0,
        remote_discr: int = 0,
        padded: int = 0,
        detect_mult: int = 3,
        keys: Iterable[_Key] = (),
        tx_key: int | None = 0,
        passive: bool = False,
        demand: bool = False,
        auth_optional: bool = False,
    ) -> None: ...
    def step(
        self,
        event: _Event,
        now: int,
        *,
        arg: int = 0,
        random: int = 0x80000000,
        rx_time: int = 0,
        asleep: int = 0,
        stall: int = 0,
    ) -> Actions:
        """Any input but a packet. `asleep` is how long the engine has overslept in total, `stall` how much
        of that ended just now."""

    def reconfigure(
        self,
        now: int,
        *,
        min_tx_us: int = 50_000,
        min_rx_us: int = 50_000,
        idle_tx_us: int = 1_000_000,
        min_echo_rx_us: int = 0,
        echo_tx_us: int = 0,
        demand_poll_us: int = 0,
        remote_discr: int = 0,
        padded: int = 0,
        detect_mult: int = 3,
        keys: Iterable[_Key] = (),
        tx_key: int | None = 0,
        passive: bool = False,
        demand: bool = False,
        auth_optional: bool = False,
    ) -> Actions:
        """New settings, all of them: what is not given takes its default."""

    def receive(
        self,
        data: bytes,
        now: int,
        *,
        random: int = 0x80000000,
        rx_time: int = 0,
        asleep: int = 0,
        stall: int = 0,
    ) -> Actions:
        """A packet that belongs to this session, received from the wire at `rx_time` (default: now)."""

    def echo_is_ours(self, data: bytes) -> bool: ...
    def may_delete(self, now: int) -> bool: ...
    @property
    def snapshot(self) -> bytes:
        """All of the session's memory, to see that nothing changed."""

    @property
    def state(self) -> str: ...
    @property
    def remote_state(self) -> str: ...
    @property
    def tx_at(self) -> int: ...
    @property
    def detect_at(self) -> int: ...
    @property
    def echo_at(self) -> int: ...
    @property
    def tx_int(self) -> int: ...
    @property
    def rx_int(self) -> int: ...
    @property
    def detect_int(self) -> int: ...
    @property
    def echo_int(self) -> int: ...

    # the variables of RFC 5880 6.8.1, and what is in force of them
    local_discr: int
    remote_discr: int
    desired_min_tx_us: int
    required_min_rx_us: int
    tx_min_us: int
    rx_min_us: int
    remote_min_tx_us: int
    remote_min_rx_us: int
    xmit_seq: int
    rcv_seq: int
    transitions: int
    local_diag: int
    remote_diag: int
    remote_demand: bool
    demand_on: bool
    seq_known: bool
    poll: bool
    poll_pending: bool
    echo_on: bool

def reflect(
    question: bytes,
    *,
    discrs: Iterable[int],
    src_port: int = 49152,
    min_rx_us: int = 10_000,
    admin_down: bool = False,
    keys: Iterable[_Key] = (),
) -> tuple[str, bytes | None]:
    """The S-BFD reflector (RFC 7880 7.2): its verdict on a packet, and the answer."""
