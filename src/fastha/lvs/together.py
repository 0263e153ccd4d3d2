"""Joins what operators wish of real servers here with what other directors know of it (`shared`,
`directors`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fastha.config.model_lvs import Share
from fastha.lvs import store
from fastha.lvs.directors import Directors, DirectorSnapshot
from fastha.lvs.service import NEVER, Drain, RealState, VirtualState
from fastha.lvs.shared import Wish, Wishes


def key_of(server: RealState) -> str:
    """What a real server is called among directors, and in the file."""
    return f"{server.virtual.name} {server.name}"


class Together:
    """The shared part of a load balancer; does nothing while nothing is to be shared."""

    def __init__(
        self,
        change: Callable[[RealState, Wish], None],
        say: Callable[[str, str], None],
    ) -> None:
        """`change`: makes a server what another director's operator wished. `say`: level and text."""
        self._change, self._say = change, say
        self._wishes = Wishes("")
        self._directors: Directors | None = None
        self._servers: dict[str, RealState] = {}

    async def configure(
        self, share: Share | None, virtuals: Iterable[VirtualState], stored: dict[str, store.Wish]
    ) -> None:
        """Begins, goes over to other directors, or ends it. `stored`: what an earlier run kept."""
        self._servers = {key_of(server): server for virtual in virtuals for server in virtual.servers}
        before = self._directors.conf if self._directors is not None else None
        if share is not None and not self._wishes.own:
            self._restore(stored)
        if share is not None:
            self._wishes.own = share.address
            self.made(server for key, server in self._servers.items() if key not in self._wishes.known)
            for wish in list(self._wishes.known.values()):  # of servers that are new here
                self._apply(wish)
        if share == before:
            return
        self.close()
        if share is not None:
            self._directors = Directors(share, self._told, self._heard, self._say)
            await self._directors.open()

    def close(self) -> None:
        """Ends the exchange; the wishes stay."""
        if self._directors is not None:
            self._directors.close()
            self._directors = None

    def _restore(self, stored: dict[str, store.Wish]) -> None:
        wall = time.time()
        wishes = [
            Wish(
                key,
                kept.stamp,
                kept.origin,
                kept.drain != "no",
                None if kept.deadline_wall is None else max(0.0, kept.deadline_wall - wall),
                kept.weight,
            )
            for key, kept in stored.items()
        ]
        self._wishes.hear(wishes, time.monotonic())

    # -- from here --

    def made(self, servers: Iterable[RealState]) -> None:
        """The operator has changed these here (or had, before it was to be shared)."""
        if not self._wishes.own:
            return
        now = time.monotonic()
        made = []
        for server in servers:
            key = key_of(server)
            drain = server.drain is not Drain.NO and not server.conf.drain
            if drain or server.set_weight is not None or key in self._wishes.known:
                deadline = server.drain_deadline_ns
                left = deadline / 1e9 - now if drain and deadline < NEVER else None
                made.append(self._wishes.make(key, now, drain=drain, left_s=left, weight=server.set_weight))
        if self._directors is not None and made:
            self._directors.tell(self._with_busy(made))

    def _with_busy(self, wishes: Iterable[Wish]) -> list[Wish]:
        return list(self._wishes.told(time.monotonic(), self._draining, wishes))

    def _told(self) -> list[Wish]:
        return self._with_busy(list(self._wishes.known.values()))

    def _draining(self, key: str) -> bool:
        server = self._servers.get(key)
        return server is not None and server.drain is Drain.DRAINING

    # -- from there --

    def _heard(self, wishes: list[Wish]) -> None:
        for wish in self._wishes.hear(wishes, time.monotonic()):
            self._apply(wish, news=True)

    def _apply(self, wish: Wish, *, news: bool = False) -> None:
        server = self._servers.get(wish.key)
        if server is None:
            return
        drains = server.drain is not Drain.NO or server.conf.drain
        other_deadline = news and wish.drain and server.drain is Drain.DRAINING
        if drains != (wish.drain or server.conf.drain) or server.set_weight != wish.weight or other_deadline:
            self._change(server, wish)

    def deadline_ns(self, wish: Wish) -> int:
        """When the drain of a wish ends, by this machine's clock."""
        until = self._wishes.until.get(wish.key)
        return NEVER if until is None else int(until * 1e9)

    def busy(self, server: RealState) -> bool:
        """Whether another director still drains this server: its connections may yet come here."""
        return self._directors is not None and self._directors.busy(key_of(server))

    # -- to be shown and kept --

    def origin(self, server: RealState) -> str:
        """At which director the wish in force was made; empty when it was never shared."""
        wish = self._wishes.known.get(key_of(server))
        return wish.origin if wish is not None and (wish.drain or wish.weight is not None) else ""

    def directors(self) -> tuple[DirectorSnapshot, ...]:
        """The others."""
        return () if self._directors is None else self._directors.snapshot()

    def refused(self) -> dict[str, int]:
        """Packets that were not believed, by reason."""
        return {} if self._directors is None else dict(self._directors.refused)

    def keep(self, wishes: dict[str, store.Wish]) -> None:
        """Adds stamps, and what was taken back, to what is written to the file."""
        wall, now = time.time(), time.monotonic()
        for key, wish in self._wishes.known.items():
            mine = wishes.get(key)
            until = self._wishes.until.get(key)
            wishes[key] = store.Wish(
                drain=mine.drain if mine is not None else "draining" if wish.drain else "no",
                deadline_wall=None if until is None else wall + until - now,
                weight=wish.weight,
                stamp=wish.stamp,
                origin=wish.origin,
            )
