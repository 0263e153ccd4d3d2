"""Stories from seeds: a network as people build them, and a handful of things that go wrong with it.

The same seed gives the same story. Mostly what a sane operator would configure is made: routers of one VRID
agree on the version (and in version 2 on the interval), members of a sync group have one priority. Now and
then something rarer is laid over a story (`_oddities`): hundreds of routers on many segments, members of a
group with different intervals, versions 2 and 3 side by side while a network is being migrated, routers that
count another number of missed adverts, BFD sessions that everybody follows on a bad line.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

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


def _slow_members(r: random.Random, story: Story) -> Story:
    """Each segment its own interval: members of one sync group differ."""
    if story.instances[0].version == 2 or len(story.segments) < 2:
        return story
    intervals = [r.choice(INTERVALS) for _ in story.segments]
    return replace(story, instances=tuple(replace(i, adver_us=intervals[i.port]) for i in story.instances))


def _migration(r: random.Random, story: Story) -> Story:
    """Some routers speak the other version already: they are a virtual router of their own, beside the rest,
    and refuse what the rest say."""
    if any(i.group is not None for i in story.instances):
        return story
    moved = r.sample(range(len(story.routers)), r.randint(1, len(story.routers)))
    return replace(
        story,
        instances=tuple(
            replace(i, version=5 - i.version, adver_us=SECOND) if i.router in moved else i
            for i in story.instances
        ),
    )


def _patience(r: random.Random, story: Story) -> Story:
    """Other numbers of missed adverts, here and there (`vrrp_down_timer_adverts`), and no graceful end: a
    router that knows only the RFC."""
    count = [r.choice((2, 3, 3, 5)) for _ in story.routers]
    return replace(
        story,
        instances=tuple(
            replace(i, down_adverts=count[i.router], graceful=i.graceful and count[i.router] == 3)
            for i in story.instances
        ),
    )


def _followed(r: random.Random, story: Story) -> Story:
    """Every router has a session with the one that has the highest priority, and takes over by it; the line
    loses and reorders."""
    best = max(story.instances, key=lambda i: i.priority).router
    interval, mult = r.choice((10 * MS, 50 * MS)), r.choice((3, 5))
    others = [n for n in range(len(story.routers)) if n != best][:8]
    at = r.randrange(story.until_us // 2)
    length = r.randint(1, story.until_us // 4)
    bad = (
        Fault("loss", at, at + length, 0, r.choice((10_000, 100_000, 300_000)), 0),
        Fault("reorder", at, at + length, 0, r.choice((10_000, 300_000)), r.randint(1, 2 * interval)),
    )
    return replace(
        story,
        sessions=tuple(
            Session(a=n, b=best, interval_us=interval, detect_mult=mult, takeover=True) for n in others
        ),
        faults=tuple(f for f in story.faults if f.kind not in SESSION_FAULTS) + bad,
    )


def _crowd(r: random.Random, story: Story) -> Story:
    """Hundreds of routers: what the story has, and beside it, on segments of their own, many more; some of
    them have a port on the first segment, too, and take part there."""
    first = story.instances[0]
    routers, instances, segments = list(story.routers), list(story.instances), list(story.segments)
    rank = len(story.routers)
    for _ in range(r.randint(2, 8)):
        segments.append(Segment(r.choice((20, 100, 500))))
        here = len(segments) - 1
        vrids = r.randint(1, 3)
        interval = r.choice((100 * MS, 250 * MS, SECOND)) if first.version != 2 else SECOND
        for n in range(r.choice((10, 20, 50))):
            bridge = n == 0 and first.group is None
            ports = ((here, n), (0, rank)) if bridge else ((here, n),)
            rank += bridge
            routers.append(Router(f"r{len(routers) + 1}", ports))
            me = len(routers) - 1
            instances += [
                Instance(
                    router=me,
                    vrid=vrid + 1,
                    version=first.version,
                    priority=r.randint(1, 254),
                    adver_us=interval,
                )
                for vrid in range(vrids)
            ]
            if bridge:
                instances.append(replace(first, router=me, port=1, priority=r.randint(1, 254)))
    faults = list(story.faults)
    for n in r.sample(range(len(story.routers), len(routers)), 3):
        at = r.randrange(story.until_us // 2)
        faults.append(
            Fault(r.choice(("crash", "stop", "pause", "sleep")), at, at + r.randint(1, 3 * SECOND), n)
        )
    return replace(
        story,
        routers=tuple(routers),
        instances=tuple(instances),
        segments=tuple(segments),
        faults=tuple(faults),
        until_us=story.until_us + 5 * SECOND,
    )


ODDITIES: tuple[tuple[float, Callable[[random.Random, Story], Story]], ...] = (
    (0.05, _slow_members),
    (0.03, _migration),
    (0.05, _patience),
    (0.02, _followed),
    (0.01, _crowd),
)


def _oddities(seed: int, story: Story) -> Story:
    """What is rare, by chance of its own: a seed that gets nothing of it keeps its story."""
    r = random.Random(f"odd {seed}")  # noqa: S311
    for share, change in ODDITIES:
        if r.random() < share:
            story = change(r, story)
    return story


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
    made = Story(
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
    return _oddities(seed, made)
