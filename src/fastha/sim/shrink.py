"""Makes a broken story short: fewer faults, routers, instances, sessions, less time; the rule still breaks.

Delta debugging: a change is kept if the story, played again, still breaks the same rule. What is left is
seldom the least there is, but short enough to be read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from .play import play
from .story import US, Fault, Story, StoryError

ROUTER_FAULTS = frozenset(
    ("mute", "deaf", "crash", "stop", "pause", "freeze", "sleep", "drift", "late", "link")
)
INSTANCE_FAULTS = frozenset(("track", "priority", "interval", "drain", "forge"))


def _without_faults(story: Story) -> Iterator[Story]:
    """Halves first, then single ones."""
    size = len(story.faults)
    while size > 0:
        for start in range(0, len(story.faults), size):
            kept = story.faults[:start] + story.faults[start + size :]
            yield dataclasses.replace(story, faults=kept)
        size //= 2


def _gone(index: int, gone: int) -> int:
    return index - (index > gone)


def _without_instances(story: Story, gone: set[int]) -> Story:
    new = {old: n for n, old in enumerate(i for i in range(len(story.instances)) if i not in gone)}
    faults = tuple(
        dataclasses.replace(f, target=new[f.target]) if f.kind in INSTANCE_FAULTS else f
        for f in story.faults
        if f.kind not in INSTANCE_FAULTS or f.target in new
    )
    kept = tuple(i for n, i in enumerate(story.instances) if n in new)
    return dataclasses.replace(story, instances=kept, faults=faults)


def _without_session(story: Story, gone: int) -> Story:
    faults = tuple(
        dataclasses.replace(f, target=_gone(f.target, gone)) if f.kind.startswith("bfd") else f
        for f in story.faults
        if not (f.kind.startswith("bfd") and f.target == gone)
    )
    sessions = story.sessions[:gone] + story.sessions[gone + 1 :]
    return dataclasses.replace(story, sessions=sessions, faults=faults)


def _without_router(story: Story, gone: int) -> Story:
    for n in reversed(range(len(story.sessions))):
        if gone in (story.sessions[n].a, story.sessions[n].b):
            story = _without_session(story, n)
    story = _without_instances(story, {n for n, i in enumerate(story.instances) if i.router == gone})

    def moved(f: Fault) -> Fault:
        if f.kind == "partition":
            low = f.a & ((1 << gone) - 1)
            return dataclasses.replace(f, a=low | (f.a >> (gone + 1)) << gone)
        return dataclasses.replace(f, target=_gone(f.target, gone)) if f.kind in ROUTER_FAULTS else f

    return dataclasses.replace(
        story,
        routers=story.routers[:gone] + story.routers[gone + 1 :],
        instances=tuple(dataclasses.replace(i, router=_gone(i.router, gone)) for i in story.instances),
        sessions=tuple(
            dataclasses.replace(s, a=_gone(s.a, gone), b=_gone(s.b, gone)) for s in story.sessions
        ),
        faults=tuple(moved(f) for f in story.faults if not (f.kind in ROUTER_FAULTS and f.target == gone)),
    )


def _without_things(story: Story) -> Iterator[Story]:
    for n in reversed(range(len(story.routers))):
        if len(story.routers) > 1:
            yield _without_router(story, n)
    for vrid in {i.vrid for i in story.instances}:
        yield _without_instances(story, {n for n, i in enumerate(story.instances) if i.vrid == vrid})
    for n in reversed(range(len(story.sessions))):
        yield _without_session(story, n)


def _sooner(story: Story) -> Iterator[Story]:
    """Faults moved towards the start, and made shorter."""
    for share in (2, 4, 8):
        first = min((f.at_us for f in story.faults), default=0) // share
        yield dataclasses.replace(
            story,
            faults=tuple(
                dataclasses.replace(f, at_us=f.at_us - first, until_us=f.until_us - first)
                for f in story.faults
            ),
        )
    for n, f in enumerate(story.faults):
        for share in (8, 2):
            shorter = dataclasses.replace(f, until_us=f.at_us + max((f.until_us - f.at_us) // share, 1))
            yield dataclasses.replace(story, faults=(*story.faults[:n], shorter, *story.faults[n + 1 :]))
    if story.spread_us:
        yield dataclasses.replace(story, spread_us=0)


def shrink(story: Story, *, tell: Callable[[str], None] | None = None, tries: int = 2000) -> Story:
    """The shortest story found that breaks the same rule; the story itself if it breaks none.

    tell is called with a line on each step that helped.
    """
    first = play(story).broken
    if first is None:
        return story
    left = tries

    def cut(s: Story) -> Story | None:
        """The story up to its breaking point, if it breaks the same rule."""
        nonlocal left
        left -= 1
        try:
            broken = play(s, events=20_000_000).broken
        except StoryError:
            return None
        if broken is None or broken.rule != first.rule:
            return None
        return dataclasses.replace(s, until_us=min(s.until_us, broken.at // US + 1))

    story = cut(story) or story
    progress = True
    while progress and left > 0:
        progress = False
        for ways in (_without_faults, _without_things, _sooner):
            again = True
            while again and left > 0:
                again = False
                for candidate in ways(story):
                    shorter = cut(candidate) if left > 0 else None
                    if shorter is not None and shorter != story:
                        story, again, progress = shorter, True, True
                        break
        if tell is not None:
            tell(f"{len(story.faults)} faults, {len(story.routers)} routers, {story.until_us / 1e6:.3f} s")
        if ways is _sooner and not progress:
            break
    return story
