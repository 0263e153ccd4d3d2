"""Numbers of the engine's events and faults (fh_node.h), for the layers above."""

from __future__ import annotations

import enum


class EventKind(enum.IntEnum):
    """What an engine event tells; see fh_node.h for its arguments."""

    STATE = 1
    TIMELINE = 2
    PRIORITY = 3
    FAULTS = 4
    LOWER_PRIO = 5
    STALLED = 6
    OVERLAP_BEGIN = 7
    OVERLAP_END = 8
    DUPLICATE = 9
    NEW_MASTER = 10
    PREEMPT_WAIT = 11
    REPAIRED = 12
    REPAIR_LIMIT = 13
    REJECT = 14
    NOTE = 15
    LINK = 16
    NETLINK_ERROR = 17
    SEND_ERROR = 18
    FOREIGN_CLAIM = 19
    ENGINE_STALL = 20
    STOPPED = 21
    RETIRED = 22
    MAIN_STALLED = 23
    SHIELD = 24
    RESYNC = 25
    BFD_STATE = 26
    BFD_GONE = 27
    BFD_TIMERS = 28
    BFD_STALLED = 29
    BFD_REJECT = 30
    BFD_ASKED = 31
    BFD_SHIELD = 32
    BFD_SEND_ERROR = 33
    BFD_DIAG = 34
    ADVERTS_MISSED = 35


class Fault(enum.IntFlag):
    """Why an instance may not run."""

    LINK = 1 << 0
    TRACK_LINK = 1 << 1
    GROUP = 1 << 2
    REPAIRS = 1 << 3
    MAIN = 1 << 4
    DISABLED = 1 << 8
    NO_SOURCE = 1 << 9
    SCRIPT = 1 << 10
    FILE = 1 << 11
    PROCESS = 1 << 12
    BFD = 1 << 13
    MAINTENANCE = 1 << 14
    CONFIG = 1 << 15
    LEAVE = 1 << 16


FAULT_WORDS: dict[Fault, str] = {
    Fault.LINK: "its interface is down",
    Fault.TRACK_LINK: "a tracked interface is down",
    Fault.GROUP: "another member of its sync group is in fault",
    Fault.REPAIRS: "its addresses were deleted too often",
    Fault.MAIN: "the daemon's main thread is stalled",
    Fault.DISABLED: "not started",
    Fault.NO_SOURCE: "no source address for adverts",
    Fault.SCRIPT: "a tracked script fails",
    Fault.FILE: "a tracked file says so",
    Fault.PROCESS: "a tracked process is missing",
    Fault.BFD: "a tracked BFD session is down",
    Fault.MAINTENANCE: "drained for maintenance",
    Fault.CONFIG: "something it needs could not be made",
}


def fault_words(mask: int) -> str:
    """The faults of a mask, in words an operator understands."""
    return ", ".join(words for fault, words in FAULT_WORDS.items() if mask & fault) or "none"
