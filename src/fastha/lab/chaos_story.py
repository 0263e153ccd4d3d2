"""What goes wrong, when and where: a story told from a seed before anything runs.

What this is for: the same seed is the same story on every machine, whatever the routers make of it. A story
is a row of steps; a step is one or two blows (a fault that begins and ends) and a rest in which nothing
happens, so that what must hold in peace can be checked after each.

What it may not do: look at a clock, a network or the outcome.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

PRIORITIES = (200, 150, 100)
"""Of r1, r2, r3."""

DEAD = ("kill", "stop", "freeze", "unplug", "link down", "flush", "recreate")
"""The router does not serve while it lasts."""
PATH = ("mute", "deafen", "isolate", "lose", "delay")
"""Its adverts do not reach the others, or theirs do not reach it, wholly or in part."""
LIGHT = ("delete", "reload")
"""It goes on serving."""
ONLY_FASTHA = ("flush", "recreate")
"""keepalived does not come back from these by itself."""


@dataclass(frozen=True)
class Blow:
    """One fault of one router. Times in seconds; ``amount``: per cent lost, milliseconds, or the priority."""

    router: str
    kind: str
    after: float
    lasts: float
    amount: int = 0

    def __str__(self) -> str:
        what = {
            "lose": f"loses {self.amount} % of its adverts",
            "delay": f"sends {self.amount} ms late",
            "reload": f"reload with priority {self.amount}",
            "delete": "its virtual addresses are deleted",
        }.get(self.kind, self.kind)
        lasts = f" for {self.lasts:.2f} s" if self.kind != "delete" else ""
        return f"{self.router}: {what}{lasts}"


@dataclass(frozen=True)
class Step:
    """Blows, each so long after the step's begin, and the rest after the last has ended."""

    blows: tuple[Blow, ...]
    rest: float

    @property
    def seconds(self) -> float:
        """How long it takes when nothing has to be waited for."""
        return max(blow.after + blow.lasts for blow in self.blows) + self.rest


def kinds_for(daemon: str, *, delay: bool) -> tuple[str, ...]:
    """The faults that a router with this daemon is given; ``delay``: the kernel can delay packets."""
    every = [*DEAD, *PATH, *LIGHT]
    return tuple(
        kind
        for kind in every
        if (daemon == "fastha" or kind not in ONLY_FASTHA) and (delay or kind != "delay")
    )


def _blow(chance: random.Random, router: str, kinds: tuple[str, ...], advert: float, after: float) -> Blow:
    kind = chance.choice(kinds)
    # somewhere between a moment and twice the longest master-down interval
    lasts = round(advert * chance.choice([0.1, 0.5, 1.5, 3, 6, 8]) + 0.01, 3)
    amount = 0
    if kind == "lose":
        amount, lasts = chance.choice([10, 30, 60]), max(lasts, 6 * advert)
    elif kind == "delay":
        amount, lasts = int(1000 * advert * chance.choice([0.2, 1, 2])), max(lasts, 6 * advert)
    elif kind == "reload":
        amount, lasts = chance.choice([50, 120, 250]), max(lasts, 6 * advert)
    elif kind == "delete":
        lasts = 0.0
    return Blow(router, kind, round(after, 3), lasts, amount)


def story(
    seed: int, seconds: float, daemons: dict[str, str], *, advert: float = 0.1, delay: bool = False
) -> list[Step]:
    """Steps for about so many seconds, for routers and the daemons that they run.

    ``advert``: the interval in seconds, by which everything is scaled; ``delay``: with late packets (netem).
    """
    chance = random.Random(f"chaos {seed}")  # noqa: S311  (a story, not a secret)
    steps: list[Step] = []
    total = 0.0
    while True:
        count = chance.choice([1, 1, 1, 2])
        chosen = chance.sample(sorted(daemons), count)
        blows = tuple(
            _blow(
                chance, router, kinds_for(daemons[router], delay=delay), advert,
                chance.choice([0.0, 0.3, 1.0, 2.5]) * advert if number else 0.0,
            )
            for number, router in enumerate(chosen)
        )  # fmt: skip
        step = Step(blows, round(10 * advert + chance.random(), 3))
        total += step.seconds + 1.0  # a daemon takes about so long to start
        if steps and total > seconds:
            return steps
        steps.append(step)
