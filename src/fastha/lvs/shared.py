"""What operators wish of real servers, as several directors hold it: each wish has a stamp, and the latest
wins.

Pure values; the packets are `directors`. A stamp is a Lamport number: one more than the greatest that this
director has seen, so that a wish that was made in the knowledge of another always beats it, whatever the
clocks say. Between equal stamps the name of the director decides; both end with the same. That a wish was
taken back is a wish, too, and is kept: a director that comes back with an old one must not revive it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

MOST = 20_000
"""Wishes that are kept; more than that comes from no configuration."""
FOR_EVER_S = 1e9


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """What was wished for one real server. `left_s`: seconds until the deadline of a drain, at the time of
    speaking. `busy`: the speaker's own server is still being drained."""

    key: str
    stamp: int
    origin: str
    drain: bool = False
    left_s: float | None = None
    weight: int | None = None
    busy: bool = False

    @property
    def rank(self) -> tuple[int, str]:
        """Of two wishes the greater one holds."""
        return self.stamp, self.origin


class Wishes:
    """All wishes that this director knows. Times are seconds of time.monotonic()."""

    def __init__(self, own: str) -> None:
        self.own = own
        self.clock = 0
        self.known: dict[str, Wish] = {}
        self.until: dict[str, float] = {}
        """When a drain's deadline comes."""

    def make(
        self, key: str, now: float, *, drain: bool, left_s: float | None = None, weight: int | None = None
    ) -> Wish:
        """A wish of this director's operator."""
        self.clock += 1
        return self._keep(Wish(key, self.clock, self.own, drain, left_s, weight), now)

    def hear(self, wishes: Iterable[Wish], now: float) -> list[Wish]:
        """Takes what another director, or an earlier run, knows; returns what is news."""
        news = []
        for wish in wishes:
            mine = self.known.get(wish.key)
            if not 0 < wish.stamp < 2**53 or (mine is None and len(self.known) >= MOST):
                continue
            if mine is None or mine.rank < wish.rank:
                self.clock = max(self.clock, wish.stamp)
                news.append(self._keep(wish, now))
        return news

    def told(self, now: float, busy: Callable[[str], bool], wishes: Iterable[Wish]) -> Iterator[Wish]:
        """Wishes as they are to be told now; `busy`: whether a server is still being drained here."""
        for wish in wishes:
            key = wish.key
            until = self.until.get(key)
            left = None if until is None else max(0.0, until - now)
            yield Wish(key, wish.stamp, wish.origin, wish.drain, left, wish.weight, wish.drain and busy(key))

    def _keep(self, wish: Wish, now: float) -> Wish:
        self.known[wish.key] = wish
        if wish.drain and wish.left_s is not None and 0 <= wish.left_s < FOR_EVER_S:
            self.until[wish.key] = now + wish.left_s
        else:
            self.until.pop(wish.key, None)
        return wish
