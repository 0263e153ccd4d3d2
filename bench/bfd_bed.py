"""The test beds of the BFD scenarios: one daemon under test, and the ends that it speaks to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from fastha.lab import Capture, Daemon, FasthaDaemon, Frame, Lab, Node, wait_for
from fastha.lab.bfd import BFD_DAEMONS, BfdSession

MULTIPLIER = 3
DOWN, UP = 1, 3
EXPIRED = 1
"""The diagnostic of an expired detection time (RFC 5880 4.1)."""


@contextlib.contextmanager
def bfd_lab(nodes: int) -> Iterator[tuple[Lab, list[Node]]]:
    """So many nodes on one segment, r1 at 10.0.0.1 and so on; on failure shows the daemons' logs."""
    with Lab("benchbfd") as lab:
        lab.segment("lan")
        made = [lab.node(f"r{n}", lan=f"10.0.0.{n}/16") for n in range(1, nodes + 1)]
        try:
            yield lab, made
        except BaseException as error:
            for log in sorted(lab.directory.glob("*/log")):
                error.add_note(f"{log.parent.name}: {log.read_text(errors='replace')[-1500:]}")
            raise


def bfd_daemon(kind: str, node: Node, sessions: Sequence[BfdSession]) -> Daemon:
    """A daemon with these sessions, not yet started; nothing is tuned."""
    adapter = BFD_DAEMONS[kind]
    return adapter.daemon(node, adapter.text(sessions))


def between(one: int, other: int, interval_us: int) -> BfdSession:
    """The session of node `one` with node `other`."""
    return BfdSession(f"10.0.0.{one}", f"10.0.0.{other}", interval_us, MULTIPLIER)


def at_full_rate(frame: Frame, interval_us: int) -> bool:
    """A packet of a session that is Up on both sides as far as its sender knows, at its final interval."""
    packet = frame.bfd
    return (
        packet is not None
        and packet.state == UP
        and packet.your_discr != 0
        and packet.min_tx_us == interval_us
        and not packet.flags & 0x20
    )


def wait_rate(
    wire: Capture, node: str, interval_us: int, since: int, *, dst: str, timeout: float = 20
) -> None:
    """Until a node has sent a few packets of a session at its final interval since a time."""

    def there() -> bool:
        found = [f for f in wire.bfd(node, dst=dst, since=since) if at_full_rate(f, interval_us)]
        return len(found) >= MULTIPLIER + 1

    wait_for(f"{node} sends to {dst} every {interval_us} us", there, timeout=timeout, every=0.05)


def ends_of_up(frames: Sequence[Frame], *, diag: int | None = None) -> list[Frame]:
    """The first packet of each Down that followed an Up (with a diagnostic, if given), by the packets of each
    sender in order."""
    found = []
    before: dict[tuple[str, str | None], int] = {}
    for frame in frames:
        packet = frame.bfd
        if packet is None:
            continue
        key = (frame.node, frame.dst)
        if before.get(key) == UP and packet.state == DOWN and (diag is None or packet.diag == diag):
            found.append(frame)
        before[key] = packet.state
    return found


def standstills(daemon: Daemon) -> list[tuple[int, int]]:
    """When a fastha says that its engine stood still: (begin, end) in wall-clock nanoseconds."""
    if not isinstance(daemon, FasthaDaemon):
        return []
    events = daemon.show("events", "--since", "1h")
    return [
        (event["wall_ns"] - event["number"] * 1000, event["wall_ns"])
        for event in events
        if event["event"] == "note" and event["kind"] in ("engine_stall", "stalled")
    ]
