"""keepalived's arithmetic: what a tracked thing does to the priority of those that track it.

keepalived.conf(5), `track_script`, `track_process`, `track_file`, `track_interface`, `track_bfd`. Pure
functions.

For things that are up or down: weight 0 makes whoever tracks it faulty while it is down; a positive weight
is added while it is up, a negative one while it is down; `reverse` turns the sign of what is added, and
with weight 0 makes *up* the fault. For files the value read is multiplied by the weight; a product of -254
or less is a fault, and with weight 0 any value but 0 is (with reverse: 0 is).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

OWNER = 255
MIN_EFFECTIVE, MAX_EFFECTIVE = 1, 254
#: The most that one tracked thing can add or take.
MAX_CONTRIBUTION = 253
#: A file's product at or below this is a fault.
FILE_FAULT = -254


class Contribution(msgspec.Struct, frozen=True):
    """What one tracked thing does: adds `delta` to the priority, and may be the reason of a fault."""

    delta: int = 0
    fault: bool = False


NOTHING = Contribution()
FAULT = Contribution(fault=True)


def switch_contribution(up: bool, weight: int, reverse: bool) -> Contribution:
    """Of a script, process, interface or BFD session that is up or down."""
    if weight == 0:
        return FAULT if up == reverse else NOTHING
    if (weight > 0) == up:
        return Contribution(_clip(-weight if reverse else weight))
    return NOTHING


def file_contribution(value: int, weight: int, reverse: bool) -> Contribution:
    """Of a file holding `value`."""
    if weight == 0:
        return FAULT if (value != 0) != reverse else NOTHING
    product = value * (-weight if reverse else weight)
    return FAULT if product <= FILE_FAULT else Contribution(_clip(product))


def effective_priority(base: int, contributions: Iterable[Contribution]) -> int:
    """Base priority plus all that is added, kept within 1..254. An owner (255) is not moved."""
    if base == OWNER:
        return OWNER
    total = base + sum(c.delta for c in contributions)
    return max(MIN_EFFECTIVE, min(MAX_EFFECTIVE, total))


def _clip(delta: int) -> int:
    return max(-MAX_CONTRIBUTION, min(MAX_CONTRIBUTION, delta))
