"""Playing stories: one, or one seed after the other until the time is over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from fastha._core import sim

from .chance import story as story_of
from .story import US, Story


@dataclass(frozen=True)
class Broken:
    """A rule that was broken: when (ns since the start), by whom, what was exceeded (ns, 0: no time)."""

    at: int
    rule: str
    who: int
    bound: int

    def words(self, story: Story) -> str:
        """One line, for people."""
        if self.rule.startswith("bfd"):
            s = story.sessions[self.who]
            name = f"the session {story.routers[s.a].name}-{story.routers[s.b].name}"
        else:
            i = story.instances[self.who]
            name = f"VRID {i.vrid} of {story.routers[i.router].name}"
        bound = f" (allowed: {self.bound / 1e6:.3f} ms)" if self.bound else ""
        return f"{self.rule} at {self.at / 1e9:.6f} s: {name}{bound}"


@dataclass
class Outcome:
    """What came of a run."""

    broken: Broken | None
    stats: dict[str, int]
    digest: int
    records: list[tuple[int, int, int, int, int, int, int]] = field(default_factory=list)


def play(story: Story, *, trace: int = 0, events: int = 2**63) -> Outcome:
    """Plays a story to its end, or to the first broken rule. Raises StoryError."""
    world = story.world(trace)
    found = world.run(story.until_us * US, events)
    return Outcome(
        broken=Broken(*found) if found else None,
        stats=world.stats(),
        digest=world.digest,
        records=world.story() if trace else [],
    )


@dataclass
class Hunt:
    """What came of many seeds."""

    seeds: int = 0
    seconds: float = 0.0
    stats: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    found: list[tuple[int, Broken]] = field(default_factory=list)


def hunt(seeds: Iterable[int], *, seconds: float = 0.0, events: int = 0, most: int = 1) -> Hunt:
    """Plays the stories of seeds until a limit is reached: seconds, events, broken stories, or the seeds."""
    out = Hunt()
    begin = time.monotonic()
    for seed in seeds:
        story = story_of(seed)
        outcome = play(story)
        out.seeds += 1
        peak = max(out.stats["gap_us_max"], outcome.stats["gap_us_max"])
        out.stats.update(outcome.stats)
        out.stats["gap_us_max"] = peak
        out.kinds.update({f.kind for f in story.faults})
        out.seconds = time.monotonic() - begin
        if outcome.broken is not None:
            out.found.append((seed, outcome.broken))
            if len(out.found) >= most:
                break
        if (seconds and out.seconds >= seconds) or (events and out.stats["events"] >= events):
            break
    return out


def broken_machines(*names: str) -> None:
    """Breaks the simulator's machines on purpose, in these ways (`fastha._core.sim.BREAKS`) and no other."""
    sim.breaks(*names)
