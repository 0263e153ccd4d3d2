"""What a daemon has: memory, descriptors, sockets, threads, processes, and what it made in its namespace; and
whether any of it grows."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from fastha.lab.daemons import FasthaDaemon, children


@dataclass(frozen=True)
class Sample:
    """One look at a daemon. ``rest``: taken when everything was as in the beginning."""

    at_s: float
    rest: bool
    memory_kib: int
    descriptors: int
    sockets: int
    netlink_sockets: int
    threads: int
    processes: int
    interfaces: int
    addresses: int
    routes: int
    filters: int
    kinds: dict[str, int] = field(default_factory=dict)
    """Descriptors by what they are."""


MEASURES = (
    *("memory_kib", "descriptors", "sockets", "netlink_sockets", "threads", "processes"),
    *("interfaces", "addresses", "routes", "filters"),
)
MEMORY_MAY_GROW_KIB = 1536
"""Between the second quarter of a run and the last: the allocator's breathing."""
WARM_UP_KIB = 3072
"""In a run of few rounds, whose second quarter is still warm-up: histories of bounded length fill up."""
FEW = 12
THREADS_MAY_BE = 24
"""Pools make their threads as they are first needed, up to a fixed number; beyond all of them is a leak."""


def _kinds(pid: int) -> dict[str, int]:
    found: Counter[str] = Counter()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(fd.readlink())
            found[target.partition(":")[0]] += 1
    return dict(found)


def _anonymous_kib(pid: int) -> int:
    """The process's own memory. Not Pss: that grows when another process that shares the libraries ends."""
    for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if row.startswith("Anonymous:"):
            return int(row.split()[1])
    raise OSError("the kernel tells no anonymous memory")


def _netlink(pid: int) -> int:
    """The daemon's own netlink sockets: those of its namespace whose inode it holds."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(fd.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    rows = Path(f"/proc/{pid}/net/netlink").read_text().splitlines()[1:]
    return sum(row.split()[-1] in inodes for row in rows)


def look(daemon: FasthaDaemon, at_s: float, *, rest: bool) -> Sample:
    """Takes a sample."""
    pid, run = daemon.pid, daemon.node.run
    kinds = _kinds(pid)
    return Sample(
        at_s=at_s,
        rest=rest,
        memory_kib=_anonymous_kib(pid),
        descriptors=sum(kinds.values()),
        sockets=kinds.get("socket", 0),
        netlink_sockets=_netlink(pid),
        threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
        processes=len(children(pid)),
        interfaces=len(run("ip", "-o", "link").splitlines()),
        addresses=len(run("ip", "-o", "address").splitlines()),
        routes=len(run("ip", "route", "show", "table", "all").splitlines())
        + len(run("ip", "-6", "route", "show", "table", "all").splitlines()),
        filters=len(run("nft", "list", "ruleset").splitlines()),
        kinds=kinds,
    )


def at_rest(daemon: FasthaDaemon, at_s: float) -> Sample:
    """The least of a few looks: a check that happens to run just then is no growth."""
    looks = []
    for _ in range(4):
        looks.append(look(daemon, at_s, rest=True))
        time.sleep(0.23)
    least = {name: min(getattr(each, name) for each in looks) for name in MEASURES}
    return replace(min(looks, key=lambda each: each.descriptors), **least)


def growth(samples: list[Sample]) -> list[str]:
    """What has grown, by the samples at rest; empty if nothing has.

    Memory: the median of the last quarter against that of the second (the first is warm-up). Everything else
    is counted and has to be what it was: the least of the last quarter is not above the most of the second.
    """
    calm = [s for s in samples if s.rest]
    if len(calm) < 4:
        return [f"only {len(calm)} samples at rest, too few to judge"]
    quarter = len(calm) // 4
    second, last = calm[quarter : max(2 * quarter, quarter + 1)], calm[-quarter:]
    found = []
    before = statistics.median(s.memory_kib for s in second)
    after = statistics.median(s.memory_kib for s in last)
    if after - before > (MEMORY_MAY_GROW_KIB if len(calm) >= FEW else WARM_UP_KIB):
        found.append(f"memory grew from {before:.0f} to {after:.0f} KiB")
    for name in MEASURES[1:]:
        most, least = max(getattr(s, name) for s in second), min(getattr(s, name) for s in last)
        if least > (max(most, THREADS_MAY_BE) if name == "threads" else most):
            text = f"{name} grew from {most} to {least}"
            if name == "descriptors":
                text += f": {second[-1].kinds} -> {last[-1].kinds}"
            found.append(text)
    return found


def as_json(samples: list[Sample]) -> list[dict[str, object]]:
    """For the report's data file."""
    return [asdict(s) for s in samples]
