"""Counts and distributions of what happens: transitions per instance, how long takeovers took.

The daemon tells it every transition with the engine's timeline; it turns them into the metrics of a
snapshot. Pure.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastha.telemetry.snapshot import Histogram

#: Upper bounds in seconds, from what the engine does alone to what operators notice.
REACTION_BOUNDS = (50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.5, 1.0)
OUTAGE_BOUNDS = (0.01, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 30.0, 60.0)


class Distribution:
    """A histogram that can be added to."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.sum = 0.0
        self.count = 0

    def observe(self, seconds: float) -> None:
        """Adds one value."""
        self._counts[bisect.bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds
        self.count += 1

    def cumulative(self) -> tuple[tuple[float, int], ...]:
        """Counts at or below each bound."""
        return cumulative(self._bounds, self._counts)

    def histogram(self, name: str, text: str, labels: tuple[tuple[str, str], ...] = ()) -> Histogram:
        """As a snapshot has it; `name` is without the `fastha_` prefix."""
        from fastha.telemetry.snapshot import Histogram  # noqa: PLC0415 - only who asks for metrics loads it

        return Histogram(
            name=name, help=text, labels=labels, buckets=self.cumulative(), sum=self.sum, count=self.count
        )


def cumulative(bounds: Sequence[float], counts: Sequence[int]) -> tuple[tuple[float, int], ...]:
    """Counts per interval (one more than bounds) as cumulative counts per bound."""
    total = 0
    found = []
    for bound, count in zip(bounds, counts, strict=False):
        total += count
        found.append((bound, total))
    return tuple(found)


class TransitionRecorder:
    """What became of all instances since the start."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        """By state, and there by instance: a dictionary for each of thousands would be twice as large."""
        self._reaction = Distribution(REACTION_BOUNDS)
        self._outage = Distribution(OUTAGE_BOUNDS)

    def record(
        self,
        name: str,
        state: str,
        *,
        reaction_s: float | None = None,
        outage_s: float | None = None,
    ) -> None:
        """A transition of instance `name` to `state`.

        `reaction_s` is from the decision to the first announcement of an address, `outage_s` from the last
        sign of the old master to that announcement; both in seconds, for takeovers only.
        """
        counts = self._counts.setdefault(state, {})
        counts[name] = counts.get(name, 0) + 1
        if reaction_s is not None:
            self._reaction.observe(reaction_s)
        if outage_s is not None:
            self._outage.observe(outage_s)

    def record_marks(self, name: str, state: str, marks: Iterable[tuple[str, float]]) -> None:
        """The same from a timeline of (step, microseconds), by the names that the engine's timeline has."""
        at = dict(marks)
        announced = at.get("first announcement")
        if state != "MASTER" or announced is None:
            self.record(name, state)
            return
        decided, heard = at.get("decided"), at.get("last advert heard")
        self.record(
            name,
            state,
            reaction_s=None if decided is None else max(0.0, announced - decided) / 1e6,
            outage_s=None if heard is None else max(0.0, announced - heard) / 1e6,
        )

    def transitions(self, name: str) -> tuple[tuple[str, int], ...]:
        """How often an instance entered each state."""
        found = ((state, counts.get(name)) for state, counts in sorted(self._counts.items()))
        return tuple((state, count) for state, count in found if count)

    def forget(self, names: Iterable[str]) -> None:
        """Instances that no longer exist."""
        for name in names:
            for counts in self._counts.values():
                counts.pop(name, None)

    def histograms(self) -> tuple[Histogram, ...]:
        """The distributions, once there is something in them."""
        found = []
        if self._reaction.count:
            found.append(
                self._reaction.histogram(
                    "takeover_reaction_seconds", "From the decision to the first announcement of an address."
                )
            )
        if self._outage.count:
            found.append(
                self._outage.histogram(
                    "takeover_outage_seconds",
                    "From the last sign of the old master to the first announcement of an address.",
                )
            )
        return tuple(found)
