"""A story: a network, what goes wrong with it and when. Plain data, written and read as JSON.

Times are microseconds since the start. What `a` and `b` of a fault mean is in docs/sim.md.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from fastha._core import sim

US = 1_000


class StoryError(ValueError):
    """A story that cannot be played: names what is wrong with it, and where."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """A link that any number of routers share; a packet is under way for delay_us."""

    delay_us: int = 100


@dataclasses.dataclass(frozen=True)
class Router:
    """A daemon: its name, and its ports as (segment, rank of its address there)."""

    name: str
    ports: tuple[tuple[int, int], ...] = ((0, 0),)


@dataclasses.dataclass(frozen=True)
class Instance:
    """A virtual router on a port of a router; group: the sync group's number there."""

    router: int
    vrid: int
    port: int = 0
    version: int = 3
    priority: int = 100
    adver_us: int = 1_000_000
    preempt: bool = True
    preempt_delay_us: int = 0
    down_adverts: int = 3
    graceful: bool = True
    group: int | None = None


@dataclasses.dataclass(frozen=True)
class Session:
    """A BFD session between ports of two routers on a common segment."""

    a: int
    b: int
    port_a: int = 0
    port_b: int = 0
    interval_us: int = 50_000
    detect_mult: int = 3
    takeover: bool = True


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong from at_us to until_us."""

    kind: str
    at_us: int
    until_us: int
    target: int
    a: int = 0
    b: int = 0


@dataclasses.dataclass(frozen=True)
class Story:
    """All that determines a run. spread_us: the routers start within that time."""

    seed: int
    until_us: int
    segments: tuple[Segment, ...]
    routers: tuple[Router, ...]
    instances: tuple[Instance, ...]
    sessions: tuple[Session, ...] = ()
    faults: tuple[Fault, ...] = ()
    spread_us: int = 0
    about: str = ""
    excuse: tuple[str, ...] = ()

    def world(self, trace: int = 0) -> sim.World:
        """The world of this story, started; trace: how many records are written down.

        Raises StoryError when it names something that does not exist.
        """
        try:
            return self._world(trace)
        except (ValueError, OverflowError) as error:
            raise StoryError(f"this story cannot be played: {error}") from None

    def _world(self, trace: int) -> sim.World:
        w = sim.World(self.seed, self.spread_us * US)
        for segment in self.segments:
            w.segment(segment.delay_us * US)
        for router in self.routers:
            w.router(list(router.ports))
        for i in self.instances:
            w.instance(
                i.router,
                vrid=i.vrid,
                port=i.port,
                version=i.version,
                priority=i.priority,
                adver_int=i.adver_us * US,
                preempt=i.preempt,
                preempt_delay=i.preempt_delay_us * US,
                down_adverts=i.down_adverts,
                graceful=i.graceful,
                group=i.group,
            )
        for s in self.sessions:
            w.session(
                s.a, s.port_a, s.b, s.port_b,
                interval_us=s.interval_us, detect_mult=s.detect_mult, takeover=s.takeover,
            )  # fmt: skip
        for f in self.faults:
            w.fault(f.kind, f.at_us * US, f.until_us * US, f.target, f.a, f.b)
        w.excuse(*self.excuse)
        if trace:
            w.trace(trace)
        w.start()
        return w

    def to_json(self) -> str:
        """As text; what has its usual value is left out."""
        return json.dumps(_bare(self), indent=1) + "\n"


def _bare(thing: Any) -> Any:
    if dataclasses.is_dataclass(thing):
        return {
            f.name: _bare(getattr(thing, f.name))
            for f in dataclasses.fields(thing)
            if getattr(thing, f.name) != f.default
        }
    return [_bare(item) for item in thing] if isinstance(thing, tuple) else thing


def _made(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise StoryError(f"{where}: an object was expected")
    known = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(data) - known):
        raise StoryError(f"{where}: no such field: {', '.join(unknown)}")
    try:
        return cls(**data)
    except TypeError as error:
        raise StoryError(f"{where}: {error}") from None


def from_json(text: str) -> Story:
    """Reads what `to_json` writes. Raises StoryError."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise StoryError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise StoryError("a story is a JSON object")
    kinds = {
        "segments": Segment,
        "routers": Router,
        "instances": Instance,
        "sessions": Session,
        "faults": Fault,
    }
    for name, cls in kinds.items():
        if name in data:
            data[name] = tuple(_made(cls, item, f"{name}[{i}]") for i, item in enumerate(data[name]))
    data["routers"] = tuple(
        dataclasses.replace(r, ports=tuple((s, k) for s, k in r.ports)) for r in data.get("routers", ())
    )
    data["excuse"] = tuple(data.get("excuse", ()))
    story = _made(Story, data, "story")
    assert isinstance(story, Story)
    return story


def read(path: Path) -> Story:
    """Reads a story from a file. Raises StoryError, OSError."""
    return from_json(path.read_text(encoding="utf-8"))
