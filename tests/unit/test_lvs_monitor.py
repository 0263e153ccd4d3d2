"""keepalived's rules of trying again, and what is shared and kept."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fastha.config.model_lvs import (
    BfdCheck,
    FileCheck,
    LvsConfig,
    RealServer,
    TcpCheck,
    TrackedFile,
    VirtualServer,
)
from fastha.lvs.checkers.base import Check, Done, Result
from fastha.lvs.checkers.passive import FileChecker
from fastha.lvs.events import LvsEvent, QuorumChange, RealServerChange
from fastha.lvs.manager import LvsManager, UnknownServerError
from fastha.lvs.monitor import Monitor

SECOND = 1_000_000_000
LOCAL = ipaddress.ip_address("127.0.0.1")
WELL, ILL = Result(ok=True), Result(ok=False, reason="ill")


class Scripted(Check):
    """Answers when the test says so."""

    def start(self, up: bool, done: Done) -> None:
        self.done = done

    def cancel(self) -> None:
        pass


class Plan:
    """Remembers what was planned."""

    def __init__(self) -> None:
        self.due: list[int] = []

    def at(self, monitor: Monitor, due_ns: int) -> None:
        self.due.append(due_ns)

    finished = at


def monitor(**more: Any) -> tuple[Monitor, list[bool]]:
    finals: list[bool] = []
    conf = TcpCheck(
        connect_ip=LOCAL,
        **{"delay_loop_ns": 10 * SECOND, "delay_before_retry_ns": SECOND, "retry": 2, **more},
    )
    return Monitor(conf, Scripted(), not conf.alpha, lambda m, r, final: finals.append(final), Plan()), finals


def test_the_first_failure_is_final() -> None:
    m, finals = monitor()
    assert m.take(ILL, 1) == 10 * SECOND
    assert (m.up, finals) == (False, [True])


def test_a_failure_while_up_is_tried_again() -> None:
    m, finals = monitor()
    m.take(WELL, 1)
    assert [m.take(ILL, 2), m.take(ILL, 3)] == [SECOND, SECOND]
    assert m.up
    assert m.take(ILL, 4) == 10 * SECOND
    assert not m.up
    assert finals == [True, False, False, True]


def test_a_success_gives_all_tries_back() -> None:
    m, _ = monitor()
    m.take(WELL, 1)
    for now in range(2, 20, 2):
        m.take(ILL, now)
        m.take(WELL, now + 1)
    assert m.up


def test_one_success_is_up_and_rise_asks_for_more() -> None:
    m, _ = monitor(alpha=True)
    m.take(ILL, 1)
    m.take(WELL, 2)
    assert m.up
    m, _ = monitor(alpha=True, rise=3)
    m.take(ILL, 1)
    m.take(WELL, 2)
    m.take(WELL, 3)
    assert not m.up
    m.take(WELL, 4)
    assert m.up


def test_one_page_of_several_is_no_verdict() -> None:
    m, finals = monitor(alpha=True)
    m.take(msgspec.structs.replace(WELL, partial=True), 1)
    assert (m.up, m.has_run, finals) == (False, False, [])


@pytest.mark.parametrize(
    ("weight", "reverse", "value", "ok", "delta"),
    [
        (0, False, 0, True, None),
        (0, False, 3, False, None),
        (0, True, 0, False, None),
        (0, True, 3, True, None),
        (2, False, 5, True, 10),
        (2, True, 5, True, -10),
        (1, False, -(1 << 31), False, None),
    ],
)
def test_file_values(weight: int, reverse: bool, value: int, ok: bool, delta: int | None) -> None:
    conf = FileCheck(file=TrackedFile(name="f", path="/f"), weight=weight, reverse=reverse)
    result = FileChecker(conf).read(value)
    assert (result.ok, result.weight) == (ok, delta)


# -- the manager, without IPVS: checks and decisions go on all the same --


def config(*checkers: Any, count: int = 1, **more: Any) -> LvsConfig:
    server = RealServer(address=LOCAL, port=80, weight=5, checkers=checkers)
    return LvsConfig(
        virtual_servers=tuple(
            VirtualServer(
                address=ipaddress.ip_address(f"10.9.0.{number + 1}"), port=80, real_servers=(server,), **more
            )
            for number in range(count)
        )
    )


def told(events: list[LvsEvent]) -> list[str]:
    out = []
    for event in events:
        if isinstance(event, RealServerChange):
            out.append(f"{event.virtual_server} RS {'UP' if event.up else 'DOWN'}")
        elif isinstance(event, QuorumChange):
            out.append(f"{event.virtual_server} VS {'UP' if event.up else 'DOWN'}")
    return out


async def until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def test_identical_checks_are_run_once_for_all() -> None:
    async def main() -> None:
        asked = 0

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            writer.close()

        listener = await asyncio.start_server(note, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        check = TcpCheck(
            connect_ip=LOCAL, connect_port=port, warmup_ns=0, retry=0, delay_loop_ns=SECOND // 10
        )
        events: list[LvsEvent] = []
        manager = LvsManager(events.append)
        await manager.start(config(check, count=20))
        await until(lambda: manager.snapshot().checks_started >= 3)
        assert asked <= manager.snapshot().checks_started
        assert manager.snapshot().virtual_servers[0].servers[0].checkers[0].shared_by == 20
        events.clear()
        listener.close()
        await until(lambda: len(told(events)) == 40)
        why = manager.snapshot().virtual_servers[7].servers[0].why
        assert why.startswith("Connection re")  # refused; reset, for one that was just being accepted
        await manager.stop()

    asyncio.run(main())


def test_bfd_and_files_feed_their_checks() -> None:
    async def main() -> None:
        events: list[LvsEvent] = []
        manager = LvsManager(events.append)
        manager.on_bfd("core", True)
        tracked = TrackedFile(name="load", path="/run/load")
        await manager.start(config(BfdCheck(name="core"), FileCheck(file=tracked, weight=2)))
        assert manager.bfd_names() == {"core"}
        assert manager.files() == {"load": "/run/load"}
        manager.on_file("load", 3)
        assert manager.snapshot().virtual_servers[0].servers[0].weight == 11
        events.clear()
        manager.on_bfd("core", False, "neighbour signalled down")
        assert told(events) == ["[10.9.0.1]:tcp:80 RS DOWN", "[10.9.0.1]:tcp:80 VS DOWN"]
        assert "neighbour signalled down" in manager.snapshot().virtual_servers[0].servers[0].why
        manager.on_bfd("core", True)
        assert told(events)[-1] == "[10.9.0.1]:tcp:80 VS UP"
        await manager.stop()

    asyncio.run(main())


def test_ha_suspend_runs_checks_only_where_the_address_is() -> None:
    async def main() -> None:
        check = TcpCheck(connect_ip=LOCAL, connect_port=1, warmup_ns=0, delay_loop_ns=SECOND // 50)
        manager = LvsManager(lambda event: None)
        manager.on_addresses([])
        await manager.start(config(check, ha_suspend=True))
        manager.on_addresses([])
        started = manager.snapshot().checks_started
        await asyncio.sleep(0.2)
        assert manager.snapshot().checks_started == started
        assert manager.snapshot().virtual_servers[0].suspended
        manager.on_addresses([ipaddress.ip_address("10.9.0.1")])
        await until(lambda: manager.snapshot().checks_started > started + 2)
        await manager.stop()

    asyncio.run(main())


def test_starts_are_spread() -> None:
    async def main() -> None:
        servers = tuple(
            RealServer(
                address=address,
                port=80,
                checkers=(TcpCheck(connect_ip=address, connect_port=1, warmup_ns=100 * SECOND),),
            )
            for address in (ipaddress.ip_address("127.2.0.0") + n for n in range(2000))
        )
        virtual = VirtualServer(address=ipaddress.ip_address("10.9.0.1"), port=80, real_servers=servers)
        manager = LvsManager(lambda event: None)
        await manager.start(LvsConfig(virtual_servers=(virtual,)))
        await asyncio.sleep(0.2)
        assert manager.snapshot().checks_started < 200
        await manager.stop()

    asyncio.run(main())


def test_verdicts_wishes_and_weights_are_kept_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "lvs.json"

    async def first() -> None:
        check = TcpCheck(connect_ip=LOCAL, connect_port=1, warmup_ns=0, delay_loop_ns=SECOND)
        manager = LvsManager(lambda event: None, state_path=path)
        await manager.start(config(check))
        await until(lambda: not manager.snapshot().virtual_servers[0].servers[0].up)
        assert await manager.drain("127.0.0.1:80", deadline_s=600) == [
            "[127.0.0.1]:tcp:80 of [10.9.0.1]:tcp:80"
        ]
        await manager.set_weight("127.0.0.1", 77)
        await manager.stop(keep=True)

    async def second() -> None:
        check = TcpCheck(connect_ip=LOCAL, connect_port=1, warmup_ns=60 * SECOND, delay_loop_ns=SECOND)
        events: list[LvsEvent] = []
        manager = LvsManager(events.append, state_path=path)
        # Another warm-up makes it another checker: the verdict is not believed, the operator's wish is.
        await manager.start(config(check))
        server = manager.snapshot().virtual_servers[0].servers[0]
        assert (server.up, server.state, server.set_weight) == (True, "draining", 77)
        assert server.drain_deadline_in is not None
        assert 500 < server.drain_deadline_in <= 600
        await manager.stop(keep=True)
        same = TcpCheck(connect_ip=LOCAL, connect_port=1, warmup_ns=0, delay_loop_ns=SECOND)
        manager = LvsManager(events.append, state_path=path)
        await manager.start(config(same))
        assert (await manager.undrain("127.0.0.1")) != []
        assert (await manager.set_weight("127.0.0.1", None)) != []
        await manager.stop(keep=True)

    asyncio.run(first())
    asyncio.run(second())


def test_the_verdict_of_an_earlier_run_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "lvs.json"
    slow = TcpCheck(connect_ip=LOCAL, connect_port=1, warmup_ns=0, delay_loop_ns=60 * SECOND)

    async def first() -> None:
        manager = LvsManager(lambda event: None, state_path=path)
        await manager.start(config(slow))
        await until(lambda: not manager.snapshot().virtual_servers[0].servers[0].up)
        await manager.stop(keep=True)

    async def second() -> None:
        events: list[LvsEvent] = []
        manager = LvsManager(events.append, state_path=path)
        await manager.start(config(slow))
        assert told(events) == []  # no quorum: nobody is up
        server = manager.snapshot().virtual_servers[0].servers[0]
        assert not server.up
        assert server.why == "Connection refused (before the restart)"
        await manager.stop()

    asyncio.run(first())
    asyncio.run(second())
    path.write_text("{ not json")
    asyncio.run(first())


def test_unknown_servers_are_named_with_what_there_is() -> None:
    async def main() -> None:
        manager = LvsManager(lambda event: None)
        await manager.start(config())
        with pytest.raises(
            UnknownServerError, match=r"no real server 10\.0\.0\.1; there are 127\.0\.0\.1:80"
        ):
            await manager.drain("10.0.0.1")
        with pytest.raises(ValueError, match="65535"):
            await manager.set_weight("127.0.0.1", 70000)
        await manager.stop()

    asyncio.run(main())


def test_reload_keeps_the_monitors_that_did_not_change() -> None:
    async def main() -> None:
        check = TcpCheck(connect_ip=LOCAL, connect_port=1, warmup_ns=0, delay_loop_ns=SECOND // 20)
        events: list[LvsEvent] = []
        manager = LvsManager(events.append)
        await manager.start(config(check))
        await until(lambda: not manager.snapshot().virtual_servers[0].servers[0].up)
        runs = manager.snapshot().virtual_servers[0].servers[0].checkers[0].runs
        events.clear()
        await manager.reload(config(check, count=2))
        first, second = manager.snapshot().virtual_servers
        assert first.servers[0].checkers[0].runs >= runs
        assert not first.servers[0].up
        assert not second.servers[0].up  # the same probe: known to be down already
        await manager.reload(config())
        assert manager.snapshot().virtual_servers[0].servers[0].up  # no checker: nothing says it is down
        await manager.stop()

    asyncio.run(main())
