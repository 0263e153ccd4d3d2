"""What is to be tracked, and by whom: the input of the `TrackingHub`. Made from the configuration by
`plan`."""

from __future__ import annotations

import enum

import msgspec

from fastha.scripts.runner import Program


class Kind(enum.StrEnum):
    """What can be tracked; the words of the messages."""

    SCRIPT = "script"
    PROCESS = "process"
    FILE = "file"
    INTERFACE = "interface"
    BFD = "bfd"


class ScriptSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One vrrp_script. Exactly one of `program` and `open_path` (the `</path` test) is set.

    Intervals are seconds, used to the millisecond. A script that may not run (its checks failed) has no spec:
    nobody tracks it, as in keepalived.
    """

    name: str
    program: Program | None = None
    open_path: str | None = None
    interval: float = 1.0
    timeout: float | None = None
    rise: int = 1
    fall: int = 1
    weight: int = 0
    reverse: bool = False

    @property
    def limit(self) -> float:
        """The time limit of one run in seconds: `timeout`, else the interval."""
        return self.interval if self.timeout is None else self.timeout

    @property
    def identity(self) -> object:
        """What keeps its result over a reload: name, command and user."""
        return (self.name, self.open_path, self.program)


class ParamMatch(enum.StrEnum):
    """How the words after the command are compared; keepalived's names in its JSON."""

    NONE = "none"
    EXACT = "exact"
    PARTIAL = "partial"
    INITIAL = "initial"


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One vrrp_track_process. Delays are in seconds; `quorum_max` None is unlimited."""

    name: str
    command: str
    params: tuple[str, ...] = ()
    param_match: ParamMatch = ParamMatch.NONE
    full_command: bool = False
    quorum: int = 1
    quorum_max: int | None = None
    fork_delay: float = 0.0
    terminate_delay: float = 0.0
    weight: int = 0
    reverse: bool = False

    @property
    def wants_cmdline(self) -> bool:
        """Whether the command line must be read, and not only the 15 characters of the name."""
        return self.full_command or bool(self.params) or self.param_match is not ParamMatch.NONE

    @property
    def identity(self) -> object:
        """What keeps its count over a reload."""
        return (self.name, self.command, self.params, self.param_match, self.full_command)


class FileSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One track_file. `init_value` is written at start when the file is missing, or always with
    `overwrite`."""

    name: str
    path: str
    init_value: int | None = None
    overwrite: bool = False
    weight: int = 1
    reverse: bool = False

    @property
    def identity(self) -> object:
        """What keeps its value over a reload."""
        return (self.name, self.path)


class Entry(msgspec.Struct, frozen=True):
    """One line of a track_... block, with the weight that counts (its own or the tracked thing's)."""

    kind: Kind
    name: str
    weight: int = 0
    reverse: bool = False
    takeover: bool = False
    """A BFD session to the master: losing it makes the instance master, and with weight 0 counts for nothing
    else."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """An instance and all that it tracks, itself or through its sync group."""

    name: str
    base_priority: int
    entries: tuple[Entry, ...] = ()
    group: str | None = None


class TrackingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything tracked. Names are unique within their kind."""

    scripts: tuple[ScriptSpec, ...] = ()
    processes: tuple[ProcessSpec, ...] = ()
    files: tuple[FileSpec, ...] = ()
    targets: tuple[Target, ...] = ()
    process_rcv_bufs: int = 0
    process_rcv_bufs_force: bool = False
