"""Stories from seeds: a network as people build them, and a handful of things that go wrong with it.

The same seed gives the same story. Only what a sane operator would configure is made: routers of one VRID
agree on the version (and in version 2 on the interval), members of a sync group have one priority.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .story import Fault, Instance, Router, Segment, Session, Story

MS = 1_000
SECOND = 1_000_000
INTERVALS = (10 * MS, 50 * MS, 100 * MS, 100 * MS, 250 * MS, 500 * MS, SECOND, SECOND)

SEGMENT_FAULTS = ("loss", "burst", "delay", "jitter", "reorder", "duplicate", "partition")
ROUTER_FAULTS = (
    "crash", "crash", "stop", "pause", "pause", "freeze", "sleep", "drift", "late", "link", "link",
    "mute", "deaf",
)  # fmt: skip
INSTANCE_FAULTS = ("track", "track", "priority", "interval", "drain", "forge")
SESSION_FAULTS = ("bfd-speed", "bfd-admin")


@dataclass
class Shape:
    """What kind of network the seed asked for."""

    routers: int
    segments: int
    grouped: bool
    interval: int
    version: int


def _shape(r: random.Random) -> Shape:
    grouped = r.random() < 0.3
    version = 2 if r.random() < 0.2 else 3
    return Shape(
        routers=r.choice((2, 2, 3, 3, 4, 5, 8, 20)),
        segments=2 if grouped or r.random() < 0.2 else 1,
        grouped=grouped,
        interval=r.choice((SECOND, SECOND, 2 * SECOND)) if version == 2 else r.choice(INTERVALS),
        version=version,
    )


def _instances(r: random.Random, shape: Shape) -> list[Instance]:
    out = []
    for vrid in range(1, r.choice((2, 2, 3, 4)) if not shape.grouped else 2):
        preempt = r.random() < 0.75
        delay = r.choice((0, 0, 0, shape.interval * r.randint(1, 10))) if preempt else 0
        alone = r.randrange(shape.segments)
        owner = r.randrange(shape.routers) if r.random() < 0.1 and not shape.grouped else -1
        differ = shape.version == 3 and r.random() < 0.25
        for router in range(shape.routers):
            priority = 255 if router == owner else r.choice((50, 100, 100, 150, 200, r.randint(1, 254)))
            interval = r.choice(INTERVALS) if differ else shape.interval
            graceful = r.random() < 0.7
            for port in range(shape.segments) if shape.grouped else (alone,):
                out.append(
                    Instance(
                        router=router,
                        vrid=vrid,
                        port=port,
                        version=shape.version,
                        priority=priority,
                        adver_us=interval,
                        preempt=preempt,
                        preempt_delay_us=delay,
                        graceful=graceful,
                        group=0 if shape.grouped else None,
                    )
                )
    return out


def _sessions(r: random.Random, shape: Shape) -> list[Session]:
    if r.random() < 0.65:
        return []
    pairs = [(a, b) for a in range(shape.routers) for b in range(a)]
    r.shuffle(pairs)
    return [
        Session(
            a=a, b=b, interval_us=r.choice((10 * MS, 50 * MS, 300 * MS)), detect_mult=r.choice((2, 3, 5)),
            takeover=r.random() < 0.7,
        )
        for a, b in pairs[: r.randint(1, 3)]
    ]  # fmt: skip


def _values(r: random.Random, kind: str, shape: Shape) -> tuple[int, int]:
    """What a and b of a fault are; see docs/sim.md."""
    least = min(shape.interval, 100 * MS)
    share = r.choice((10_000, 100_000, 300_000, 700_000))

    def held() -> int:
        """A delay: mostly harmless, sometimes of several intervals."""
        return r.randint(1, r.choice((least // 4, 2 * shape.interval)))

    few: dict[str, Callable[[], tuple[int, int]]] = {
        "loss": lambda: (share, 0),
        "burst": lambda: (r.randint(1, 8 * shape.interval), r.randint(1, 8 * shape.interval)),
        "delay": lambda: (held(), 0),
        "jitter": lambda: (held(), 0),
        "reorder": lambda: (share, held()),
        "duplicate": lambda: (share, 0),
        "partition": lambda: (r.randint(1, 2 ** min(shape.routers, 60) - 2), 0),
        "drift": lambda: (r.randint(-80_000, 80_000), 0),
        "late": lambda: (r.randint(10, max(20, least // 8)), 0),
        "track": lambda: (r.choice((-100, -50, -10, 10, 50)), 0),
        "priority": lambda: (r.randint(1, 254), 0),
        "interval": lambda: (r.choice(INTERVALS), 0),
        "forge": lambda: (r.choice((0, 1, 100, 255)), r.choice(INTERVALS)),
        "bfd-speed": lambda: (r.choice((10 * MS, 100 * MS, 500 * MS)), r.randrange(2)),
        "bfd-admin": lambda: (0, r.randrange(2)),
    }
    if kind in ("mute", "deaf", "link"):
        return 0, r.randrange(shape.segments)
    return few[kind]() if kind in few else (0, 0)


def _fault(r: random.Random, shape: Shape, instances: int, sessions: int, span: int) -> Fault:
    pools: list[tuple[tuple[str, ...], int]] = [
        (SEGMENT_FAULTS, shape.segments),
        (ROUTER_FAULTS, shape.routers),
        (ROUTER_FAULTS, shape.routers),
        (INSTANCE_FAULTS, instances),
    ]
    if sessions:
        pools.append((SESSION_FAULTS, sessions))
    kinds, targets = r.choice(pools)
    kind = r.choice(kinds)
    a, b = _values(r, kind, shape)
    at = r.randrange(span)
    length = int(shape.interval * r.choice((0.5, 1, 2, 3, 5, 10, 30)) * r.uniform(0.7, 1.4))
    return Fault(kind, at, at + max(length, 1), r.randrange(targets), a, b)


def story(seed: int) -> Story:
    """The story of a seed."""
    r = random.Random(seed)  # noqa: S311  a seed is meant to be repeatable
    shape = _shape(r)
    instances = _instances(r, shape)
    sessions = _sessions(r, shape)
    ranks = list(range(shape.routers))
    r.shuffle(ranks)
    unit = max(i.adver_us for i in instances) * 5 + (SECOND if shape.version == 2 else 0)
    quiet = 6 * unit + max(i.preempt_delay_us for i in instances) + 2 * SECOND
    span = unit * r.choice((1, 3, 10))
    faults: list[Fault] = []
    start = quiet
    for _ in range(r.randint(1, 3)):  # storms, with enough peace between them for the rules of peace
        storm = [_fault(r, shape, len(instances), len(sessions), span) for _ in range(r.randint(1, 3))]
        faults += [
            Fault(f.kind, f.at_us + start, f.until_us + start, f.target, f.a, f.b)
            for f in sorted(storm, key=lambda f: f.at_us)
        ]
        start = max(f.until_us for f in faults) + quiet
    return Story(
        seed=seed,
        until_us=start + quiet,
        segments=tuple(Segment(r.choice((20, 100, 500))) for _ in range(shape.segments)),
        routers=tuple(
            Router(f"r{i + 1}", tuple((s, ranks[i]) for s in range(shape.segments)))
            for i in range(shape.routers)
        ),
        instances=tuple(instances),
        sessions=tuple(sessions),
        faults=tuple(faults),
        spread_us=r.choice((0, shape.interval, SECOND)),
    )
