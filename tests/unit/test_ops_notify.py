"""Every channel, with what it must survive: slow hooks, full FIFOs, servers that hang."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import stat
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from ops_support import a_runner, run, script, shell, until

from fastha.notify import hooks as hooks_module
from fastha.notify import webhook as webhook_module
from fastha.notify.channel import Channel
from fastha.notify.events import Event, InstanceEvent, Kind, Mark, ServerEvent, ServerKind, State
from fastha.notify.fifo import FifoChannel, line_of
from fastha.notify.hooks import MAX_WAITING, HookChannel
from fastha.notify.journal import JournalChannel, encode
from fastha.notify.lifecycle import run_lifecycle_script
from fastha.notify.mail import MailChannel, subject_of
from fastha.notify.notifier import Notifier
from fastha.notify.spec import (
    FifoSpec,
    InstanceHooks,
    MailSpec,
    NotifyPlan,
    ServerHooks,
    WebhookSpec,
)
from fastha.notify.webhook import WebhookChannel, sign
from fastha.scripts.runner import Program


def event(
    state: State, name: str = "VI_1", *, kind: Kind = Kind.INSTANCE, priority: int = 100, **more: object
) -> InstanceEvent:
    return InstanceEvent(
        kind=kind,
        name=name,
        state=state,
        priority=priority,
        wall_ns=1_795_000_000_000_000_000,
        monotonic_ns=1,
        **more,  # type: ignore[arg-type]
    )


def server_event(up: bool = True, real: str | None = "[192.0.2.9]:tcp:80", **more: object) -> ServerEvent:
    return ServerEvent(
        kind=ServerKind.REAL_SERVER if real else ServerKind.VIRTUAL_SERVER,
        virtual_server="[192.0.2.1]:tcp:80",
        real_server=real,
        up=up,
        wall_ns=1,
        monotonic_ns=1,
        **more,  # type: ignore[arg-type]
    )


def hook_program(tmp_path: Path, name: str, before: str = "") -> Program:
    """A script that writes its name and arguments to `calls`."""
    return script(tmp_path / name, f'{before}\necho "{name} $*" >> {tmp_path}/calls')


def calls(tmp_path: Path) -> list[str]:
    path = tmp_path / "calls"
    return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []


def all_hooks(
    tmp_path: Path, kind: Kind = Kind.INSTANCE, name: str = "VI_1", **more: object
) -> InstanceHooks:
    words = ("master", "backup", "fault", "stop", "deleted", "master_rx_lower_pri", "generic")
    programs = {word: hook_program(tmp_path, f"{name}.{word}") for word in words}
    return InstanceHooks(kind=kind, name=name, **programs, **more)  # type: ignore[arg-type]


# -- hooks ---------------------------------------------------------------------------------------------------


def test_hooks_get_keepalived_s_arguments_in_its_order(tmp_path: Path) -> None:
    states = (
        State.BACKUP,
        State.MASTER,
        State.MASTER_RX_LOWER_PRI,
        State.MASTER_PRIORITY,
        State.FAULT,
        State.MAINT,
        State.STOP,
    )

    async def body() -> None:
        async with a_runner() as (runner, _):
            hooks = HookChannel(runner, print, hooks=[all_hooks(tmp_path)])
            for state in states:
                hooks.send(event(state, priority=120))
            await until(lambda: hooks.delivered == 11)
            assert not hooks.queued

    run(body())
    assert calls(tmp_path) == [
        "VI_1.backup",
        "VI_1.generic INSTANCE VI_1 BACKUP 120",
        "VI_1.master",
        "VI_1.generic INSTANCE VI_1 MASTER 120",
        "VI_1.master_rx_lower_pri",
        "VI_1.fault",
        "VI_1.generic INSTANCE VI_1 FAULT 120",
        "VI_1.fault",  # scripts made for keepalived must let go on MAINT, too
        "VI_1.generic INSTANCE VI_1 FAULT 120",
        "VI_1.stop",
        "VI_1.generic INSTANCE VI_1 STOP 120",
    ]


@pytest.mark.parametrize("told", [True, False])
def test_a_removed_instance_is_a_fault_unless_asked_for(tmp_path: Path, told: bool) -> None:
    async def body() -> None:
        async with a_runner() as (runner, _):
            hooks = HookChannel(runner, print, hooks=[all_hooks(tmp_path, notify_deleted=told)])
            hooks.send(event(State.DELETED))
            await until(lambda: hooks.delivered == 1 + told and not hooks.queued)

    run(body())
    word = "DELETED" if told else "FAULT"
    own = ["VI_1.deleted"] if told else []
    assert calls(tmp_path) == [*own, f"VI_1.generic INSTANCE VI_1 {word} 100"]
    assert line_of(event(State.DELETED), notify_deleted=told) == f'INSTANCE "VI_1" {word} 100\n'.encode()


def test_groups_have_priority_0_and_the_cause_is_in_the_environment(tmp_path: Path) -> None:
    program = script(
        tmp_path / "g", f'echo "$* $FASTHA_CAUSE $FASTHA_STATE $FASTHA_PREVIOUS" >> {tmp_path}/calls'
    )

    async def body() -> None:
        async with a_runner() as (runner, _):
            hooks = HookChannel(
                runner, print, hooks=[InstanceHooks(kind=Kind.GROUP, name="G", generic=program)]
            )
            hooks.send(event(State.MAINT, "G", kind=Kind.GROUP, cause="drained", previous=State.MASTER))
            hooks.send(event(State.MASTER, "unknown"))
            hooks.send(event(State.MASTER, "G", kind=Kind.GROUP, quiet=True))
            await until(lambda: calls(tmp_path))
            await asyncio.sleep(0.2)

    run(body())
    assert calls(tmp_path) == ["GROUP G FAULT 0 drained MAINT MASTER"]


def test_scripts_of_one_instance_never_overlap_and_the_last_tells_the_truth(tmp_path: Path) -> None:
    """More changes than scripts can follow: the oldest are left out, and that is told once."""
    lock = tmp_path / "lock"
    text = f"test ! -e {lock} || echo OVERLAP >> {tmp_path}/calls; touch {lock}; sleep 0.05; rm {lock}"
    generic = hook_program(tmp_path, "n", text)

    async def body() -> None:
        async with a_runner() as (runner, _):
            log: list[str] = []
            hooks = HookChannel(
                runner, log.append, hooks=[InstanceHooks(kind=Kind.INSTANCE, name="VI_1", generic=generic)]
            )
            for number in range(200):
                hooks.send(event(State.MASTER if number % 2 else State.BACKUP, priority=number))
            hooks.send(event(State.FAULT, priority=7))
            assert hooks.queued <= MAX_WAITING + 1
            await until(lambda: calls(tmp_path) and calls(tmp_path)[-1].endswith("FAULT 7"))
            assert "OVERLAP" not in calls(tmp_path)
            assert hooks.dropped >= 150 and len([x for x in log if "faster than its scripts" in x]) == 1

    run(body())
    order = [int(line.split()[-1]) for line in calls(tmp_path)[:-1]]
    assert order == sorted(order)


def test_a_hook_that_hangs_holds_up_its_own_instance_only_for_a_while(tmp_path: Path) -> None:
    hanging = InstanceHooks(
        kind=Kind.INSTANCE, name="A", master=shell("sleep 60"), generic=hook_program(tmp_path, "A.n")
    )
    fine = InstanceHooks(kind=Kind.INSTANCE, name="B", generic=hook_program(tmp_path, "B.n"))

    async def body() -> None:
        async with a_runner() as (runner, _):
            log: list[str] = []
            hooks = HookChannel(runner, log.append, hooks=[hanging, fine], patience=1.0)
            hooks.send(event(State.MASTER, "A"))
            hooks.send(event(State.MASTER, "B"))
            await until(lambda: calls(tmp_path) == ["B.n INSTANCE B MASTER 100"])
            hooks.send(event(State.FAULT, "A"))
            await until(lambda: len(calls(tmp_path)) == 3)
            assert calls(tmp_path)[1:] == ["A.n INSTANCE A MASTER 100", "A.n INSTANCE A FAULT 100"]
            assert len([line for line in log if "in the background" in line]) == 1
            for execution in runner.running:
                execution.end()

    run(body())


def test_a_thousand_changes_at_once_are_taken_at_once_and_run_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing only queues; a bounded number runs at the same time, and hanging ones stop being counted."""
    monkeypatch.setattr(hooks_module, "MAX_RUNNING", 4)
    hanging = [InstanceHooks(kind=Kind.INSTANCE, name=f"H{n}", master=shell("sleep 60")) for n in range(4)]
    quick = [InstanceHooks(kind=Kind.INSTANCE, name=f"Q{n}", master=shell("true")) for n in range(100)]

    async def body() -> None:
        async with a_runner() as (runner, _):
            hooks = HookChannel(runner, lambda _: None, hooks=[*hanging, *quick], patience=1.0)
            for hook in (*hanging, *quick):
                hooks.send(event(State.MASTER, hook.name))
            assert not runner.running  # nothing was started by publishing
            most = 0
            while hooks.delivered < 100:
                await asyncio.sleep(0.005)
                most = max(most, len(runner.running))
            assert 4 <= most <= 8
            for execution in runner.running:
                execution.end()

    run(body())


def test_a_failing_hook_is_told_once_with_what_it_said(tmp_path: Path) -> None:
    bad = shell("echo 'no route to cloud' >&2; exit 4")

    async def body() -> None:
        async with a_runner() as (runner, _):
            log: list[str] = []
            hooks = HookChannel(
                runner,
                log.append,
                hooks=[InstanceHooks(kind=Kind.INSTANCE, name="VI_1", master=bad, backup=bad)],
            )
            for state in (State.MASTER, State.BACKUP, State.MASTER):
                hooks.send(event(state))
            await until(lambda: hooks.failed == 3)
            assert len(log) == 1 and "exit 4, 'no route to cloud'" in log[0]

    run(body())


def test_server_hooks(tmp_path: Path) -> None:
    vs = "[192.0.2.1]:tcp:80"

    async def body() -> None:
        async with a_runner() as (runner, _):
            hooks = HookChannel(
                runner,
                print,
                server_hooks=[
                    ServerHooks(
                        virtual_server=vs,
                        up=hook_program(tmp_path, "q_up"),
                        down=hook_program(tmp_path, "q_down"),
                    ),
                    ServerHooks(
                        virtual_server=vs,
                        real_server="[192.0.2.9]:tcp:80",
                        down=hook_program(tmp_path, "rs_down"),
                    ),
                ],
            )
            hooks.send(server_event(False))
            hooks.send(server_event(True))
            hooks.send(server_event(False, None))
            hooks.send(server_event(True, None))
            hooks.send(server_event(False, by_checker=True))
            await until(lambda: len(calls(tmp_path)) == 3)
            await asyncio.sleep(0.2)

    run(body())
    assert sorted(calls(tmp_path)) == ["q_down", "q_up", "rs_down"]


def test_stop_scripts_are_waited_for_a_moment_and_may_go_on(tmp_path: Path) -> None:
    slow = script(tmp_path / "slow", f"sleep 2; touch {tmp_path}/finished")

    async def body() -> None:
        async with a_runner() as (runner, _):
            hooks = HookChannel(
                runner, print, hooks=[InstanceHooks(kind=Kind.INSTANCE, name="VI_1", stop=slow)]
            )
            hooks.send(event(State.STOP))
            began = time.monotonic()
            await hooks.close(0.3)
            assert time.monotonic() - began < 1.5
            await runner.close(0.3)
            await until((tmp_path / "finished").exists)

    run(body())


# -- FIFOs ---------------------------------------------------------------------------------------------------


def test_fifo_lines() -> None:
    assert line_of(event(State.MASTER, priority=120)) == b'INSTANCE "VI_1" MASTER 120\n'
    assert line_of(event(State.BACKUP, "G", kind=Kind.GROUP)) == b'GROUP "G" BACKUP 0\n'
    assert line_of(event(State.MASTER_RX_LOWER_PRI)) == b'INSTANCE "VI_1" MASTER_RX_LOWER_PRI 100\n'
    assert line_of(event(State.BACKUP_PRIORITY, priority=90)) == b'INSTANCE "VI_1" BACKUP_PRIORITY 90\n'
    assert line_of(server_event(False)) == b"RS [192.0.2.9]:tcp:80 [192.0.2.1]:tcp:80 DOWN\n"
    assert line_of(server_event(True, None)) == b"VS [192.0.2.1]:tcp:80 UP\n"


def test_a_fifo_is_made_written_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "fifo"

    async def body() -> None:
        async with a_runner() as (runner, _):
            fifo = FifoChannel(
                FifoSpec(path=str(path), vrrp=True, lvs=False),
                runner,
                print,
                priority_changes=lambda _kind, name: name == "VI_1",
            )
            assert fifo.open()
            info = path.stat()
            assert stat.S_ISFIFO(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o600
            for sent in (
                event(State.MASTER),
                event(State.MASTER_PRIORITY),
                event(State.MASTER_PRIORITY, "VI_2"),
                server_event(),
            ):
                fifo.send(sent)
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            assert (
                os.read(reader, 1000) == b'INSTANCE "VI_1" MASTER 100\nINSTANCE "VI_1" MASTER_PRIORITY 100\n'
            )
            os.close(reader)
            await fifo.close(0.1)
            assert not path.exists()

    run(body())


def test_a_fifo_without_a_reader_drops_counts_and_tells_once(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def body() -> None:
        async with a_runner() as (runner, _):
            log: list[str] = []
            fifo = FifoChannel(FifoSpec(path=str(path), vrrp=True, lvs=True), runner, log.append)
            assert fifo.open()
            began = time.monotonic()
            for _ in range(5000):
                fifo.send(event(State.MASTER))
            assert time.monotonic() - began < 5
            assert fifo.dropped > 1000 and fifo.delivered > 1000
            assert len(log) == 1 and "see that the program that reads it runs" in log[0]
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            data = os.read(reader, 1 << 20)
            assert data.endswith(b"100\n") and set(data.split(b"\n")[:-1]) == {b'INSTANCE "VI_1" MASTER 100'}
            fifo.send(event(State.BACKUP))
            assert os.read(reader, 100) == b'INSTANCE "VI_1" BACKUP 100\n'
            assert "works again" in log[1] and str(fifo.dropped) in log[1]
            os.close(reader)
            await fifo.close(0.1)
            assert path.exists()  # it was there before

    run(body())


def test_what_is_no_fifo_or_somebody_else_s_is_not_used(tmp_path: Path) -> None:
    plain, link, foreign = tmp_path / "plain", tmp_path / "link", tmp_path / "foreign"
    plain.write_text("precious")
    os.mkfifo(tmp_path / "target")
    link.symlink_to(tmp_path / "target")
    os.mkfifo(foreign)
    cases = [(plain, "is no FIFO"), (link, ""), (tmp_path / "no" / "dir", "No such file")]
    if os.geteuid() == 0:
        os.chown(foreign, 65534, 65534)
        cases.append((foreign, "is owned by 65534:65534, not by 0:"))

    async def body() -> None:
        async with a_runner() as (runner, _):
            for path, word in cases:
                log: list[str] = []
                fifo = FifoChannel(FifoSpec(path=str(path), vrrp=True, lvs=True), runner, log.append)
                assert not fifo.open() and len(log) == 1 and word in log[0]
                fifo.send(event(State.MASTER))
                assert fifo.dropped == 1
                await fifo.close(0.1)

    run(body())
    assert plain.read_text() == "precious" and foreign.exists()


def test_the_program_of_a_fifo_reads_to_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    program = script(
        tmp_path / "reader",
        f'echo "start $*" >> {tmp_path}/calls; while read l; do echo "$l" >> {tmp_path}/calls; done < "$2"',
    )
    program = Program(program.path, (program.path, "arg"), program.identity)

    async def body() -> None:
        async with a_runner() as (runner, _):
            log: list[str] = []
            spec = FifoSpec(path=str(path), vrrp=True, lvs=True, script=program)
            fifo = FifoChannel(spec, runner, log.append)
            assert fifo.open()
            fifo.send(event(State.BACKUP))
            await until(lambda: len(calls(tmp_path)) == 2)
            fifo.restart_script(spec)
            await until(lambda: len(calls(tmp_path)) == 3)
            fifo.send(event(State.STOP))
            await fifo.close(10.0)
            assert not log

    run(body())
    assert calls(tmp_path) == [
        f"start arg {path}",
        'INSTANCE "VI_1" BACKUP 100',
        f"start arg {path}",
        'INSTANCE "VI_1" STOP 100',
    ]


def test_a_program_of_a_fifo_that_dies_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with a_runner() as (runner, _):
            log: list[str] = []
            spec = FifoSpec(path=str(tmp_path / "f"), vrrp=True, lvs=True, script=shell("exit 3"))
            fifo = FifoChannel(spec, runner, log.append)
            fifo.open()
            await until(lambda: log)
            assert "ended (exit 3)" in log[0]
            await fifo.close(0.1)

    run(body())


# -- mail ----------------------------------------------------------------------------------------------------


class MailServer:
    """A small SMTP server that can misbehave."""

    def __init__(self, mode: str = "good") -> None:
        self.mode = mode
        self.mails: list[str] = []
        self.commands: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "hang":
            await asyncio.sleep(60)
        if self.mode == "nonsense":
            writer.write(b"SSH-2.0-OpenSSH\r\n")
            return
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            self.commands.append(line)
            verb = line.split()[0].upper()
            if self.mode == "busy" and verb == "MAIL":
                writer.write(b"451 later\r\n")
            elif self.mode == "refuse-second" and "two@" in line:
                writer.write(b"550 no such user\r\n")
            elif verb == "EHLO":
                writer.write(b"250-here\r\n250 SIZE 1000\r\n")
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                lines = []
                while (text := (await reader.readline()).decode("latin-1")) != ".\r\n":
                    lines.append(text)
                self.mails.append("".join(lines))
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")


@asynccontextmanager
async def mail_server(mode: str = "good") -> AsyncIterator[tuple[MailServer, int]]:
    server = MailServer(mode)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield server, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


def mail_spec(port: int, **more: object) -> MailSpec:
    settings: dict[str, object] = {
        "server": "127.0.0.1",
        "port": port,
        "recipients": ("one@example.org", "two@example.org"),
        "sender": "lb@example.org",
        "helo": "lb1",
        "timeout": 5.0,
    }
    return MailSpec(**{**settings, **more})  # type: ignore[arg-type]


ALERTS = (InstanceHooks(kind=Kind.INSTANCE, name="VI_1", smtp_alert=True),)


def test_mails_are_keepalived_s() -> None:
    async def body() -> None:
        async with mail_server() as (server, port):
            log: list[str] = []
            channel = MailChannel(
                mail_spec(port), asyncio.get_running_loop(), log.append, router_id="LB1", hooks=ALERTS
            )
            channel.send(
                event(
                    State.MASTER,
                    cause="timer\n.expired",
                    previous=State.BACKUP,
                    timeline=(Mark("netlink done", 81),),
                )
            )
            channel.send(event(State.MASTER))  # the same state is not mailed twice
            channel.send(event(State.FAULT))
            channel.send(event(State.MASTER, "VI_2"))  # no smtp_alert
            channel.send(server_event(False, smtp_alert=True, cause="TCP CHECK failed on service"))
            await until(lambda: len(server.mails) == 3)
            await until(lambda: channel.delivered == 3)
            assert not log and not channel.queued
            assert server.commands[:5] == [
                "HELO lb1",
                "MAIL FROM:<lb@example.org>",
                "RCPT TO:<one@example.org>",
                "RCPT TO:<two@example.org>",
                "DATA",
            ]
            first = server.mails[0]
            assert "Subject: [LB1] VRRP Instance VI_1 - Entering MASTER state\r\n" in first
            assert "To: one@example.org, two@example.org\r\n" in first
            assert "X-Mailer: Keepalived\r\n" in first and "Date: " in first
            assert "\r\n\r\n=> VRRP Instance is now owning VRRP VIPs <=\r\n" in first
            assert "netlink done" in first
            assert "=> TCP CHECK failed on service <=" in server.mails[2]

    run(body())


def test_subjects() -> None:
    assert subject_of(event(State.STOP), "R") == "[R] VRRP Instance VI_1 - Stopping"
    assert (
        subject_of(event(State.BACKUP, "G", kind=Kind.GROUP), "R")
        == "[R] VRRP Group G - Entering BACKUP state"
    )
    assert subject_of(event(State.DELETED), "R", notify_deleted=True) == "[R] VRRP Instance VI_1 - Deleted"
    assert subject_of(event(State.DELETED), "R") == "[R] VRRP Instance VI_1 - Entering FAULT state"
    assert subject_of(event(State.MASTER_RX_LOWER_PRI), "R") is None
    assert (
        subject_of(server_event(True), "R")
        == "[R] Realserver [192.0.2.9]:tcp:80 of virtual server [192.0.2.1]:tcp:80 - UP"
    )
    assert subject_of(server_event(False, None), "R") == "[R] Virtualserver [192.0.2.1]:tcp:80 - DOWN"


def test_switches_of_mail() -> None:
    async def body() -> None:
        async with mail_server() as (server, port):
            channel = MailChannel(
                mail_spec(port, no_faults=True, no_checker_emails=True),
                asyncio.get_running_loop(),
                print,
                router_id="R",
                hooks=ALERTS,
            )
            channel.send(event(State.FAULT))
            channel.send(event(State.DELETED))
            channel.send(server_event(smtp_alert=True, by_checker=True))
            channel.send(server_event(smtp_alert=False))
            channel.send(event(State.MASTER, quiet=True))
            channel.send(event(State.MASTER))
            await until(lambda: channel.delivered == 1)
            assert len(server.mails) == 1

    run(body())


@pytest.mark.parametrize("mode", ["hang", "nonsense", "busy", "refused"])
def test_a_mail_server_in_trouble_is_told_once_and_holds_up_nothing(mode: str) -> None:
    async def body() -> None:
        async with mail_server(mode) as (_, server_port):
            port = server_port
            log: list[str] = []
            if mode == "refused":
                with socket.socket() as unused:
                    unused.bind(("127.0.0.1", 0))
                    port = unused.getsockname()[1]
            channel = MailChannel(
                mail_spec(port, timeout=0.2),
                asyncio.get_running_loop(),
                log.append,
                router_id="R",
                hooks=ALERTS,
                first_retry=0.01,
            )
            began = time.monotonic()
            for number in range(500):
                channel.send(event(State.MASTER if number % 2 else State.BACKUP))
            assert time.monotonic() - began < 2
            assert channel.queued <= 200 and channel.dropped >= 299
            await until(lambda: channel.failed >= 2)
            assert len(log) == 1 and "Check smtp_server" in log[0]
            await channel.close(0.2)
            assert channel.failed + channel.dropped + channel.delivered == 500

    run(body())


def test_a_refused_recipient_does_not_stop_the_others() -> None:
    async def body() -> None:
        async with mail_server("refuse-second") as (server, port):
            log: list[str] = []
            channel = MailChannel(
                mail_spec(port), asyncio.get_running_loop(), log.append, router_id="R", hooks=ALERTS
            )
            channel.send(event(State.MASTER))
            await until(lambda: channel.delivered == 1)
            assert len(server.mails) == 1 and "two@example.org" in log[0]

    run(body())


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"tls": "starttls"}, "STARTTLS"), ({"user": "u", "password": "p"}, "without TLS")],
)
def test_nothing_secret_goes_in_the_clear(settings: dict[str, str], word: str) -> None:
    async def body() -> None:
        async with mail_server() as (server, port):
            log: list[str] = []
            channel = MailChannel(
                mail_spec(port, **settings),
                asyncio.get_running_loop(),
                log.append,
                router_id="R",
                hooks=ALERTS,
            )
            channel.send(event(State.MASTER))
            await until(lambda: channel.failed == 1)
            assert word in log[0] and not server.mails
            assert server.commands == ["EHLO lb1"]

    run(body())


def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, and a server's settings with it."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mail"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
        timeout=60,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


class TlsMailServer(MailServer):
    """Offers STARTTLS before TLS, and a login after it."""

    def __init__(self, context: ssl.SSLContext, methods: str) -> None:
        super().__init__()
        self.context = context
        self.methods = methods

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            self.commands.append(line)
            verb = line.split()[0].upper()
            if verb == "EHLO":
                offer = "STARTTLS" if writer.get_extra_info("sslcontext") is None else f"AUTH {self.methods}"
                writer.write(f"250-here\r\n250 {offer}\r\n".encode())
            elif verb == "STARTTLS":
                writer.write(b"220 go\r\n")
                await writer.start_tls(self.context)
            elif verb == "AUTH" and "LOGIN" in line:
                writer.write(b"334 VXNlcg==\r\n")
                self.commands.append((await reader.readline()).decode().strip())
                writer.write(b"334 UGFzcw==\r\n")
                self.commands.append((await reader.readline()).decode().strip())
                writer.write(b"235 in\r\n")
            elif verb == "AUTH":
                writer.write(b"235 in\r\n")
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                while (await reader.readline()) != b".\r\n":
                    pass
                self.mails.append("mail")
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"250 ok\r\n")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize("methods", ["PLAIN LOGIN", "LOGIN"])
def test_mail_over_tls_with_a_login(tmp_path: Path, tls: str, methods: str) -> None:
    cert, context = certificate(tmp_path)

    async def body() -> None:
        server = TlsMailServer(context, methods)
        how = {"ssl": context} if tls == "implicit" else {}
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, **how)  # type: ignore[arg-type]
        port = listener.sockets[0].getsockname()[1]
        login = {"tls": tls, "user": "lb", "password": "s3cret"}
        loop = asyncio.get_running_loop()
        good = MailChannel(
            mail_spec(port, ca_file=str(cert), **login), loop, print, router_id="R", hooks=ALERTS
        )
        good.send(event(State.MASTER))
        await until(lambda: good.delivered == 1)
        sent = " ".join(server.commands)
        if "PLAIN" in methods:
            assert base64.b64encode(b"\0lb\0s3cret").decode() in sent
        else:
            assert base64.b64encode(b"s3cret").decode() in sent
        # an authority that is not known: nothing is sent, and the reason is told
        log: list[str] = []
        server.commands.clear()
        bad = MailChannel(
            mail_spec(port, **login), loop, log.append, router_id="R", hooks=ALERTS, first_retry=0.01
        )
        bad.send(event(State.MASTER))
        await until(lambda: bad.failed == 1)
        assert "certificate" in log[0].lower() and not any("AUTH" in line for line in server.commands)
        listener.close()

    run(body())


# -- webhooks ------------------------------------------------------------------------------------------------


class WebServer:
    """Answers POSTs with the codes it was given, then 204."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:-2])}
            headers[""] = lines[0]
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((headers, body))
            answer = self.answers.pop(0) if self.answers else "204 No Content"
            if answer == "hang":
                await asyncio.sleep(30)
            writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def web_server(*answers: str) -> AsyncIterator[tuple[WebServer, str]]:
    server = WebServer(*answers)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield server, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/hook?x=1"
    finally:
        listener.close()


def test_webhooks_are_signed_numbered_and_tried_again() -> None:
    async def body() -> None:
        async with web_server("500 Oops", "429 Slow down", "hang") as (server, url):
            log: list[str] = []
            spec = WebhookSpec(url=url, secret=b"s3cret", timeout=0.5)
            channel = WebhookChannel(
                spec, asyncio.get_running_loop(), log.append, node="lb1", first_retry=0.01
            )
            channel.send(
                event(State.MASTER, cause="timer expired", timeline=(Mark("decision", 0), Mark("garp", 90)))
            )
            channel.send(server_event(False))
            channel.send(event(State.MASTER, quiet=True))
            await until(lambda: channel.delivered == 2)
            assert [json.loads(body)["sequence"] for _, body in server.requests] == [1, 1, 1, 1, 2]
            headers, body = server.requests[0]
            assert headers[""] == "POST /hook?x=1 HTTP/1.1"
            assert headers["x-fastha-signature"] == sign(b"s3cret", headers["x-fastha-timestamp"], body)
            document = json.loads(body)
            assert document["node"] == "lb1" and document["event"] == "vrrp" and document["state"] == "MASTER"
            assert document["timeline"][1] == {"step": "garp", "at_us": 90}
            assert json.loads(server.requests[-1][1])["event"] == "lvs"
            assert len(log) == 2 and "500" in log[0] and "works again" in log[1]

    run(body())


def test_webhooks_give_up_where_trying_again_is_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_module, "MAX_QUEUED", 10)

    async def body() -> None:
        async with web_server("404 Not Found") as (server, url):
            log: list[str] = []
            channel = WebhookChannel(
                WebhookSpec(url=url), asyncio.get_running_loop(), log.append, node="n", first_retry=0.01
            )
            for _ in range(30):
                channel.send(event(State.MASTER))
            assert channel.queued == 10 and channel.dropped == 20
            await until(lambda: channel.delivered == 9)
            assert channel.failed == 1 and len(server.requests) == 10
            numbers = [json.loads(body)["sequence"] for _, body in server.requests]
            assert numbers[0] == 1 and numbers[1:] == list(range(22, 31))  # the newest are kept
        for url in ("ftp://x/", "http:///", "no url", "http://x/a b"):
            with pytest.raises(ValueError, match="no http or https URL"):
                WebhookChannel(WebhookSpec(url=url), asyncio.get_running_loop(), print, node="n")
        hidden = WebhookChannel(
            WebhookSpec(url="https://user:pw@h.example/p?token=x"),
            asyncio.get_running_loop(),
            print,
            node="n",
        )
        assert hidden.name == "https://h.example/p"

    run(body())


def test_webhooks_over_tls_check_the_certificate(tmp_path: Path) -> None:
    cert, context = certificate(tmp_path)

    async def body() -> None:
        server = WebServer()
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/hook"
        loop = asyncio.get_running_loop()
        good = WebhookChannel(WebhookSpec(url=url, ca_file=str(cert)), loop, print, node="n")
        good.send(event(State.MASTER))
        await until(lambda: good.delivered == 1)
        log: list[str] = []
        bad = WebhookChannel(WebhookSpec(url=url, attempts=1), loop, log.append, node="n")
        bad.send(event(State.MASTER))
        await until(lambda: bad.failed == 1)
        assert "certificate" in log[0].lower() and len(server.requests) == 1
        listener.close()

    run(body())


# -- the journal ---------------------------------------------------------------------------------------------


def test_journal_records(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    log: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        channel = JournalChannel(log.append, path)
        channel.send(event(State.MASTER))
        assert channel.failed == 1 and "systemd-journald" in log[0]
        journald.bind(path)
        channel.send(event(State.FAULT, cause="link\ndown", interface="eth0", vrid=51))
        data = journald.recv(65536)
        assert (
            b"MESSAGE\n" + struct.pack("<Q", 32) in data
        )  # a value with a line end has its length before it
        assert b"\nFASTHA_INSTANCE=VI_1\n" in data and b"\nFASTHA_VRID=51\n" in data
        assert b"\nPRIORITY=4\n" in data and "works again" in log[1]
        channel.send(server_event(False, cause="timeout"))
        assert b"FASTHA_REAL_SERVER=[192.0.2.9]:tcp:80\n" in journald.recv(65536)
        journald.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for _ in range(2000):  # nobody reads: it is dropped, not waited for
            channel.send(event(State.MASTER))
        assert channel.dropped > 0
    run(channel.close(0))
    assert encode([("A", "b"), ("C", "d\ne")]) == b"A=b\nC\n\x03\0\0\0\0\0\0\0d\ne\n"


# -- all together --------------------------------------------------------------------------------------------


class Recorder(Channel):
    """Writes down what it is told."""

    kind = "recorder"

    def __init__(self) -> None:
        super().__init__("r", print)
        self.seen: list[Event] = []

    def send(self, event: Event) -> None:
        self.seen.append(event)


def test_the_notifier_tells_everybody_once(tmp_path: Path) -> None:
    path = tmp_path / "fifo"

    async def body() -> None:
        async with a_runner() as (runner, _):
            notifier = Notifier(runner, print)
            recorder = Recorder()
            notifier.add_channel(recorder)
            plan = NotifyPlan(
                hooks=(all_hooks(tmp_path, notify_deleted=True),),
                fifos=(FifoSpec(path=str(path), vrrp=True, lvs=True),),
            )
            notifier.configure(plan)
            assert [channel.kind for channel in notifier.channels] == [
                "notify scripts",
                "notify_fifo",
                "recorder",
            ]
            for state in (
                State.BACKUP,
                State.BACKUP,
                State.MASTER,
                State.MASTER_RX_LOWER_PRI,
                State.MASTER_RX_LOWER_PRI,
            ):
                notifier.publish(event(state))
            notifier.publish(event(State.MASTER, quiet=True))  # a reload that re-emits states
            assert [e.state.value for e in recorder.seen if isinstance(e, InstanceEvent)] == [
                "BACKUP",
                "MASTER",
                "MASTER_RX_LOWER_PRI",
                "MASTER_RX_LOWER_PRI",
                "MASTER",
            ]
            # a reload that removes the instance: it is told of as its old settings say
            notifier.configure(NotifyPlan(fifos=plan.fifos))
            notifier.publish(event(State.DELETED))
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            assert os.read(reader, 4096).splitlines()[-2:] == [
                b'INSTANCE "VI_1" MASTER 100',
                b'INSTANCE "VI_1" DELETED 100',
            ]
            os.close(reader)
            await until(lambda: len(calls(tmp_path)) == 8)
            assert calls(tmp_path)[-2:] == ["VI_1.deleted", "VI_1.generic INSTANCE VI_1 DELETED 100"]
            await until(lambda: notifier.status()[0].delivered == 8)
            notifier.configure(NotifyPlan())
            await until(lambda: not path.exists())
            await notifier.close(0.5)

    run(body())


def test_channels_come_and_go_with_the_configuration(tmp_path: Path) -> None:
    async def body() -> None:
        async with a_runner() as (runner, _), mail_server() as (mails, port), web_server() as (web, url):
            log: list[str] = []
            notifier = Notifier(runner, log.append)
            plan = NotifyPlan(
                router_id="R",
                hooks=ALERTS,
                mail=mail_spec(port),
                webhooks=(WebhookSpec(url=url), WebhookSpec(url="bad url")),
                journal=True,
            )
            notifier.configure(plan)
            assert any("no http or https URL" in line for line in log)
            notifier.publish(event(State.MASTER))
            await until(lambda: mails.mails and web.requests)
            notifier.configure(plan)
            notifier.configure(NotifyPlan())
            assert len(notifier.channels) == 1
            notifier.publish(event(State.BACKUP))
            await notifier.close(2.0)
            assert len(mails.mails) == 1 and len(web.requests) == 1

    run(body())


def test_start_up_scripts(tmp_path: Path) -> None:
    async def body() -> None:
        async with a_runner() as (runner, _):
            log: list[str] = []
            assert await run_lifecycle_script("startup_script", shell("exit 0"), 5, runner, log.append)
            assert not await run_lifecycle_script(
                "startup_script", shell("echo no >&2; exit 2"), 5, runner, log.append
            )
            assert log == ["startup_script (sh -c 'echo no >&2; exit 2') failed: exit 2, 'no'"]
            began = time.monotonic()
            assert not await run_lifecycle_script(
                "shutdown_script", shell("sleep 60"), 0.2, runner, log.append
            )
            assert time.monotonic() - began < 10 and "timed out" in log[1]

    run(body())


def test_names_that_are_no_utf8_go_everywhere(tmp_path: Path) -> None:
    """A configuration in Latin-1: FIFO and scripts get its very bytes, JSON what it can hold."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")

    async def body() -> None:
        async with a_runner() as (runner, _), mail_server() as (_server, port), web_server() as (web, url):
            log: list[str] = []
            notifier = Notifier(runner, log.append)
            hook = InstanceHooks(
                kind=Kind.INSTANCE, name=name, generic=hook_program(tmp_path, "n"), smtp_alert=True
            )
            notifier.configure(
                NotifyPlan(
                    hooks=(hook,),
                    fifos=(FifoSpec(path=str(tmp_path / "f"), vrrp=True, lvs=True),),
                    mail=mail_spec(port),
                    webhooks=(WebhookSpec(url=url),),
                )
            )
            notifier.publish(event(State.MASTER, name, cause=name))
            reader = os.open(tmp_path / "f", os.O_RDONLY | os.O_NONBLOCK)
            assert os.read(reader, 100) == b'INSTANCE "caf\xe9" MASTER 100\n'
            os.close(reader)
            await until(lambda: all(status.delivered == 1 for status in notifier.status()))
            assert b"INSTANCE caf\xe9 MASTER" in (tmp_path / "calls").read_bytes()
            assert json.loads(web.requests[0][1])["name"] == name
            assert not log
            await notifier.close(1.0)

    run(body())


def test_a_broken_channel_does_not_silence_the_others() -> None:
    class Broken(Recorder):
        def send(self, event: Event) -> None:
            raise RuntimeError("oops")

    async def body() -> None:
        async with a_runner() as (runner, _):
            log: list[str] = []
            notifier = Notifier(runner, log.append)
            broken, fine = Broken(), Recorder()
            notifier.add_channel(broken)
            notifier.add_channel(fine)
            notifier.publish(event(State.MASTER))
            assert len(fine.seen) == 1 and broken.failed == 1 and "oops" in log[0]

    run(body())
