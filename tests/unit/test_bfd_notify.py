"""A BFD session's change in every channel: FIFO, scripts, journal, and not in mails."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from fastha.config import load
from fastha.notify.events import InstanceEvent, Kind, Mark, SessionEvent, SessionState, State
from fastha.notify.fifo import FifoChannel, line_of
from fastha.notify.journal import fields_of
from fastha.notify.notifier import Notifier
from fastha.notify.plan import notify_plan
from fastha.notify.spec import FifoSpec
from fastha.scripts.programs import Resolver
from fastha.scripts.runner import Runner

EVENT = SessionEvent(
    name="router2",
    state=SessionState.DOWN,
    previous=SessionState.UP,
    peer="192.0.2.2",
    cause="no packet within the detection time",
    failure=True,
    wall_ns=1_700_000_000_000_000_000,
    monotonic_ns=1,
    timeline=(Mark("decided", 44),),
)


def test_the_line_of_a_fifo() -> None:
    assert line_of(EVENT) == b'BFD "router2" DOWN 192.0.2.2\n'


def test_only_bfds_own_fifo_gets_it(tmp_path: Path) -> None:
    vrrp = InstanceEvent(
        kind=Kind.INSTANCE, name="VI", state=State.MASTER, priority=100, wall_ns=1, monotonic_ns=1
    )

    async def run() -> None:
        runner = Runner(asyncio.get_running_loop(), notice=print)
        specs = [
            FifoSpec(path=str(tmp_path / "all"), vrrp=True, lvs=True),
            FifoSpec(path=str(tmp_path / "bfd"), vrrp=False, lvs=False, bfd=True),
        ]
        channels = [FifoChannel(spec, runner, print) for spec in specs]
        for channel in channels:
            assert channel.open()
            channel.send(EVENT)
            channel.send(vrrp)
        assert os.read(channels[0].fd, 4096) == b'INSTANCE "VI" MASTER 100\n'
        assert os.read(channels[1].fd, 4096) == line_of(EVENT)
        for channel in channels:
            channel.abandon()

    asyncio.run(run())


def test_a_record_of_the_journal() -> None:
    fields = dict(fields_of(EVENT))
    assert fields["FASTHA_SESSION"] == "router2"
    assert fields["FASTHA_STATE"] == "DOWN"
    assert fields["PRIORITY"] == "4"
    assert fields["FASTHA_TIMELINE"] == "44 us decided"
    wanted = msgspec.structs.replace(EVENT, failure=False)
    assert dict(fields_of(wanted))["PRIORITY"] == "5"


def test_the_document_of_a_web_hook() -> None:
    document = msgspec.to_builtins(EVENT)
    assert document["event"] == "bfd"
    assert document["failure"] is True


def test_scripts_are_called_with_name_and_state(tmp_path: Path) -> None:
    script, out = tmp_path / "told", tmp_path / "out"
    script.write_text(f'#!/bin/sh\necho "$@" $FASTHA_PEER $FASTHA_FAILURE >> {out}\n')
    script.chmod(0o755)
    result = load(
        "-",
        text=f"bfd_instance router2 {{\n neighbor_ip 192.0.2.2\n notify {script} root\n"
        f' notify_up "{script} never" root\n notify_down "{script} own" root\n}}\n',
    )
    assert result.config is not None
    resolver = Resolver(script_user="root")
    plan, _ = notify_plan(result.config, resolver)
    assert [hooks.name for hooks in plan.session_hooks] == ["router2"], resolver.messages

    async def run() -> None:
        notifier = Notifier(Runner(asyncio.get_running_loop(), notice=print), print)
        notifier.configure(plan)
        notifier.publish(EVENT)
        for _ in range(200):
            await asyncio.sleep(0.02)
            if out.exists() and len(out.read_text().splitlines()) == 2:
                break
        await notifier.close()

    asyncio.run(run())
    assert out.read_text().splitlines() == ["own 192.0.2.2 1", "BFD router2 DOWN 192.0.2.2 1"]
