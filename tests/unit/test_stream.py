"""The event stream: nothing is missed, nobody is waited for, losses are told."""

from __future__ import annotations

import asyncio

from fastha.daemon import stream
from fastha.daemon.stream import Stream


def test_a_subscriber_gets_what_was_first_and_then_everything() -> None:
    async def run() -> None:
        out = Stream()
        assert not out.watched
        items = out.subscribe([{"n": 0}])
        out.publish({"n": 1})  # before it is read: not missed
        assert [await anext(items), await anext(items)] == [{"n": 0}, {"n": 1}]
        assert out.watched
        await items.aclose()
        assert not out.watched

    asyncio.run(run())


def test_a_slow_one_loses_events_and_is_told_how_many() -> None:
    async def run() -> None:
        out = Stream()
        slow, quick = out.subscribe(), out.subscribe()
        for n in range(stream.MOST + 5):
            out.publish({"n": n})
            assert await anext(quick) == {"n": n}
        got = [await anext(slow) for _ in range(stream.MOST + 1)]
        assert got[:-1] == [{"n": n} for n in range(stream.MOST)]
        assert got[-1] == {"event": "lost", "number": 5}
        out.publish({"n": "later"})
        assert await anext(slow) == {"n": "later"}

    asyncio.run(run())
