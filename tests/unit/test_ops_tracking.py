"""Scripts, files, processes and the hub that joins them."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from ops_support import ME, a_runner, alive, run, script, until

from fastha.scripts.runner import Program, Runner
from fastha.tracking import processes, procevents
from fastha.tracking.files import FileTracker, FileWatcher
from fastha.tracking.hub import Standing, TrackingHub
from fastha.tracking.processes import ProcessTracker, ProcessWatcher
from fastha.tracking.procevents import ConnectorError, What, connect, events
from fastha.tracking.procinfo import Process, matches, matching, read_process, scan
from fastha.tracking.risefall import RiseFall
from fastha.tracking.scripts import ScriptTracker
from fastha.tracking.spec import (
    Entry,
    FileSpec,
    Kind,
    ParamMatch,
    ProcessSpec,
    ScriptSpec,
    Target,
    TrackingPlan,
)


def counter(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


class Watch:
    """A hub with what it told."""

    def __init__(self, runner: Runner) -> None:
        self.told: list[Standing] = []
        self.log: list[str] = []
        self.hub = TrackingHub(runner, on_change=self.told.append, log=self.log.append)


# -- the counter ---------------------------------------------------------------------------------------------


def test_the_first_result_decides_and_then_it_counts() -> None:
    """As seen of keepalived 2.2.7 with rise 2, fall 3: F up-after-2, then down only at the third failure."""
    c = RiseFall(2, 3)
    assert c.up is None
    assert c.record(False) and c.up is False
    assert not c.record(True)
    assert c.record(True) and c.up is True
    assert [c.record(False) for _ in range(3)] == [False, False, True]
    again = RiseFall(5, 1)
    assert again.record(True) and again.up is True and again.result == 5


def test_new_limits_keep_up_or_down() -> None:
    c = RiseFall(1, 3)
    c.record(True)
    c.adjust(4, 2)
    assert (c.up, c.result) == (True, 5)
    c.record(False)
    c.record(False)
    assert c.up is False
    c.adjust(1, 1)
    assert c.up is False


# -- scripts -------------------------------------------------------------------------------------------------


def test_a_script_is_run_once_for_all_and_its_cause_is_told(tmp_path: Path) -> None:
    runs, flag = tmp_path / "runs", tmp_path / "ok"
    program = script(
        tmp_path / "chk", f"echo r >> {runs}; test -e {flag} || {{ echo 'connection refused' >&2; exit 1; }}"
    )
    flag.touch()
    spec = ScriptSpec(name="chk_nginx", program=program, interval=0.1, fall=2)
    targets = tuple(
        Target(name=f"VI_{i}", base_priority=100, entries=(Entry(Kind.SCRIPT, "chk_nginx"),))
        for i in range(5)
    )

    async def body() -> None:
        async with a_runner() as (runner, _):
            w = Watch(runner)
            w.hub.configure(TrackingPlan(scripts=(spec,), targets=targets))
            assert w.hub.standing("VI_0").pending == ("chk_nginx",) and not w.hub.standing("VI_0").healthy
            await until(lambda: len(w.told) == 5)
            assert all(s.healthy and s.delta == 0 for s in w.told)
            w.told.clear()
            flag.unlink()
            await until(lambda: len(w.told) == 5)
            assert w.told[0].faults == ("script chk_nginx failed twice: exit 1, 'connection refused'",)
            assert w.told[0].cause == w.told[0].faults[0]
            assert w.hub.scripts["chk_nginx"].status().runs <= counter(runs)
            assert "VRRP_Script(chk_nginx) succeeded" in w.log
            assert any(
                line.startswith("VRRP_Script(chk_nginx) failed (exited with status 1)") for line in w.log
            )
            assert "Script `chk_nginx` now returning 1" in w.log
            w.hub.close()
            seen = counter(runs)
            await asyncio.sleep(0.4)
            assert counter(runs) <= seen + 1

    run(body())


def test_an_overrun_is_a_failure_at_once_and_never_piles_up(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = script(tmp_path / "slow", f"trap '' TERM; echo $$ >> {pids}; sleep 60; sleep 60")
    spec = ScriptSpec(name="slow", program=program, interval=0.1, timeout=0.3)
    target = Target(name="VI", base_priority=100, entries=(Entry(Kind.SCRIPT, "slow"),))

    async def body() -> None:
        async with a_runner() as (runner, _):
            w = Watch(runner)
            began = time.monotonic()
            w.hub.configure(TrackingPlan(scripts=(spec,), targets=(target,)))
            await until(lambda: w.told)
            assert time.monotonic() - began < 2.0  # not after the KILL two seconds later
            assert "timed out after" in w.told[0].faults[0]
            assert "VRRP_Script(slow) timed_out" in w.log
            await asyncio.sleep(1.0)
            assert counter(pids) == 1
            status = w.hub.scripts["slow"].status()
            assert status.timeouts == 1 and status.overruns >= 5
            assert len([line for line in w.log if "already running" in line]) == 1
            await until(lambda: counter(pids) >= 2)  # killed two seconds after TERM, then run again
            first = int(pids.read_text().split()[0])
            assert not alive(first)
            w.hub.close()

    run(body())


def test_the_open_test(tmp_path: Path) -> None:
    path = tmp_path / "flag"
    path.touch()
    spec = ScriptSpec(name="f", open_path=str(path), interval=0.05)
    target = Target(name="VI", base_priority=100, entries=(Entry(Kind.SCRIPT, "f"),))

    async def body() -> None:
        async with a_runner() as (runner, _):
            w = Watch(runner)
            w.hub.configure(TrackingPlan(scripts=(spec,), targets=(target,)))
            await until(lambda: w.told and w.told[-1].healthy)
            path.unlink()
            await until(lambda: w.told[-1].faults)
            assert "No such file" in w.told[-1].faults[0]
            os.mkfifo(path)  # nobody writes to it: it is not waited for
            await until(lambda: w.told[-1].healthy)
            w.hub.close()

    run(body())


def test_an_open_that_hangs_is_a_failure_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastha.tracking import scripts

    calls: list[str] = []

    def hang(path: str) -> str:
        calls.append(path)
        time.sleep(1.5)
        return ""

    monkeypatch.setattr(scripts, "_can_open", hang)

    async def body() -> None:
        async with a_runner() as (runner, _):
            changes: list[ScriptTracker] = []
            tracker = ScriptTracker(
                ScriptSpec(name="nfs", open_path="/mnt/x", interval=0.1, timeout=0.3),
                runner,
                on_change=changes.append,
                log=lambda _: None,
            )
            tracker.start()
            await until(lambda: changes)
            assert tracker.up is False and "timed out" in tracker.cause()
            assert len(calls) == 1
            await asyncio.sleep(0.5)
            assert len(calls) == 1 and tracker.up is False
            tracker.stop()

    run(body())


def test_a_reload_keeps_results_by_name_command_and_user(tmp_path: Path) -> None:
    good = ScriptSpec(name="a", program=script(tmp_path / "a", "exit 0"), interval=30.0)
    target = Target(name="VI", base_priority=100, entries=(Entry(Kind.SCRIPT, "a", 20),))

    async def body() -> None:
        async with a_runner() as (runner, _):
            w = Watch(runner)
            w.hub.configure(TrackingPlan(scripts=(good,), targets=(target,)))
            await until(lambda: w.told)
            assert (w.told[-1].delta, w.told[-1].effective) == (20, 120)
            tracker = w.hub.scripts["a"]
            w.told.clear()
            w.hub.configure(TrackingPlan(scripts=(good,), targets=(target,)))
            assert w.hub.scripts["a"] is tracker and not w.told
            # another interval is the same script; another weight only moves the priority
            slower = ScriptSpec(name="a", program=good.program, interval=60.0, rise=3)
            heavier = Target(name="VI", base_priority=100, entries=(Entry(Kind.SCRIPT, "a", 30),))
            w.hub.configure(TrackingPlan(scripts=(slower,), targets=(heavier,)))
            assert w.hub.scripts["a"] is tracker and w.told[-1].delta == 30
            # another command is another script: not known yet, but no fault on a reload
            other = ScriptSpec(name="a", program=script(tmp_path / "b", "sleep 1; exit 1"), interval=30.0)
            unweighted = Target(name="VI", base_priority=100, entries=(Entry(Kind.SCRIPT, "a"),))
            w.hub.configure(TrackingPlan(scripts=(other,), targets=(unweighted,)))
            assert w.hub.scripts["a"] is not tracker
            assert w.hub.standing("VI").healthy
            await until(lambda: w.told[-1].faults)
            w.hub.configure(TrackingPlan(targets=(unweighted,)))  # no such script any more
            assert w.hub.standing("VI").healthy and not w.hub.scripts
            w.hub.close()

    run(body())


def test_two_hundred_fast_scripts_stay_cheap(tmp_path: Path) -> None:
    """The loop is never held up for long by starting them."""
    program = Program("/bin/true", ("/bin/true",), ME)
    specs = tuple(ScriptSpec(name=f"s{i}", program=program, interval=1.0) for i in range(200))
    target = Target(name="VI", base_priority=100, entries=tuple(Entry(Kind.SCRIPT, s.name, 1) for s in specs))

    async def body() -> None:
        async with a_runner() as (runner, _):
            w = Watch(runner)
            worst = 0.0
            w.hub.configure(TrackingPlan(scripts=specs, targets=(target,)))
            began = time.monotonic()
            while w.hub.standing("VI").delta < 200:
                before = time.monotonic()
                await asyncio.sleep(0.001)
                worst = max(worst, time.monotonic() - before)
                assert time.monotonic() - began < 30
            assert w.hub.standing("VI").effective == 254
            assert worst < 2.0
            w.hub.close()

    run(body())


# -- files ---------------------------------------------------------------------------------------------------


def test_files_are_followed_however_they_change(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    path = folder / "weight"

    async def body() -> None:
        changed: list[tuple[int, str]] = []
        log: list[str] = []

        def note(tracker: FileTracker) -> None:
            changed.append((tracker.value, tracker.cause()))

        watcher = FileWatcher(asyncio.get_running_loop(), on_change=note, log=log.append)
        watcher.configure([FileSpec(name="w", path=str(path), init_value=3)], start=True)
        tracker = watcher.files["w"]
        assert tracker.value == 3 and path.read_text() == "3\n" and path.stat().st_mode & 0o777 == 0o600
        for text, value in (("40", 40), ("0x10", 16), ("010", 8), (" -3\n", -3), ("abc", 0), ("7 8", 7)):
            path.write_text(text)
            await until(lambda v=value: tracker.value == v)  # type: ignore[misc]
        path.write_text("99999999999")
        await until(lambda: any("Invalid number 99999999999" in line for line in log))
        assert tracker.value == 7
        path.unlink()
        await until(lambda: tracker.value == 0)
        assert "missing" in tracker.cause()
        (folder / "new").write_text("55")
        (folder / "new").rename(path)
        await until(lambda: tracker.value == 55)
        path.rename(folder / "old")
        await until(lambda: tracker.value == 0)
        # the directory itself goes and comes back
        (folder / "old").unlink()
        folder.rmdir()
        await until(lambda: any("cannot be watched" in line for line in log))
        folder.mkdir()
        path.write_text("9")
        await until(lambda: tracker.value == 9)
        assert changed[-1] == (9, f"file {path} holds 9")
        watcher.close()

    run(body())


def test_a_link_that_is_turned_is_noticed(tmp_path: Path) -> None:
    """As a mounted ConfigMap: the file is a link through a directory that is a link."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "weight").write_text(str(number))
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "..data").symlink_to(tmp_path / "v1")
    (mount / "weight").symlink_to("..data/weight")

    async def body() -> None:
        watcher = FileWatcher(asyncio.get_running_loop(), on_change=lambda _: None, log=lambda _: None)
        watcher.configure([FileSpec(name="w", path=str(mount / "weight"))], start=True)
        assert watcher.files["w"].value == 1
        (mount / "..tmp").symlink_to(tmp_path / "v2")
        (mount / "..tmp").rename(mount / "..data")
        await until(lambda: watcher.files["w"].value == 2)
        (tmp_path / "v2" / "weight").write_text("22")
        await until(lambda: watcher.files["w"].value == 22)
        watcher.close()

    run(body())


def test_init_file_respects_what_is_there(tmp_path: Path) -> None:
    kept, reset = tmp_path / "kept", tmp_path / "reset"
    kept.write_text("5")
    reset.write_text("5")

    async def body() -> None:
        log: list[str] = []
        watcher = FileWatcher(asyncio.get_running_loop(), on_change=lambda _: None, log=log.append)
        watcher.configure(
            [
                FileSpec(name="a", path=str(kept), init_value=1),
                FileSpec(name="b", path=str(reset), init_value=2, overwrite=True),
                FileSpec(name="c", path=str(tmp_path), init_value=2, overwrite=True),
            ],
            start=True,
        )
        assert [watcher.files[name].value for name in "abc"] == [5, 2, 0]
        assert any("cannot write" in line for line in log)
        assert "no ordinary file" in watcher.files["c"].cause()
        watcher.close()

    run(body())


# -- processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "comm", "cmdline", "expected"),
    [
        ({}, "nginx", (), True),
        ({}, "nginx2", (), False),
        ({"command": "a-very-long-process-name"}, "a-very-long-pro", (), True),
        ({"params": ("-g", "x")}, "nginx", ("nginx", "-g", "x"), True),
        ({"params": ("-g",)}, "nginx", ("nginx", "-g", "x"), False),
        ({"params": ("-g",), "param_match": ParamMatch.PARTIAL}, "nginx", ("nginx", "-g", "x"), True),
        ({"params": ("-g", "x"), "param_match": ParamMatch.PARTIAL}, "nginx", ("nginx", "-g"), False),
        (
            {"params": ("-conf=/e",), "param_match": ParamMatch.INITIAL},
            "n",
            ("nginx", "-conf=/etc", "y"),
            True,
        ),
        ({"params": ("-conf=/e",), "param_match": ParamMatch.INITIAL}, "n", ("nginx", "-x"), False),
        ({"param_match": ParamMatch.EXACT}, "nginx", ("nginx",), True),
        ({"param_match": ParamMatch.INITIAL}, "nginx", ("nginx", "-g"), False),
        ({"full_command": True}, "other", ("nginx", "-g"), True),
        ({"full_command": True}, "nginx", ("/usr/sbin/nginx",), False),
        ({"full_command": True}, "nginx", (), False),
    ],
)
def test_which_processes_are_meant(
    spec: dict[str, object], comm: str, cmdline: tuple[str, ...], expected: bool
) -> None:
    wanted = ProcessSpec(**{"name": "p", "command": "nginx", **spec})  # type: ignore[arg-type]
    assert matches(wanted, comm, cmdline) is expected


def fake_process(proc: Path, pid: int, comm: str, *cmdline: str, state: str = "S") -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"{pid} ({comm}) {state} 1 1")
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in cmdline))


def test_reading_proc(tmp_path: Path) -> None:
    fake_process(tmp_path, 10, "a) b (c", "x", "y z")
    fake_process(tmp_path, 11, "gone", state="Z")
    fake_process(tmp_path, 12, "kthread")
    (tmp_path / "self").mkdir()
    assert read_process(10, True, str(tmp_path)) == Process(10, "a) b (c", ("x", "y z"))
    assert read_process(11, True, str(tmp_path)) is None
    assert read_process(99, True, str(tmp_path)) is None
    specs = [ProcessSpec(name="k", command="kthread"), ProcessSpec(name="x", command="x", params=("y z",))]
    assert scan(specs, str(tmp_path)) == {10: frozenset({"x"}), 12: frozenset({"k"})}
    assert matching(specs, Process(1, "kthread", ())) == {"k"}
    me = read_process(os.getpid(), True)
    assert me is not None and me.cmdline


def test_quorum_and_delays() -> None:
    async def body() -> None:
        changes: list[tuple[bool, int]] = []
        loop = asyncio.get_running_loop()

        def tracker(**settings: object) -> ProcessTracker:
            spec = ProcessSpec(name="p", command="p", **settings)  # type: ignore[arg-type]
            return ProcessTracker(spec, loop, lambda t: changes.append((t.up, t.count)))

        plain = tracker(quorum=2, quorum_max=3)
        for count in (1, 2, 3, 4, 3, 1):
            plain.set_count(count)
        assert changes == [(True, 2), (False, 4), (True, 3), (False, 1)]
        assert "1 running, 2 to 3 wanted" in plain.cause()

        changes.clear()
        absent = tracker(quorum=0, quorum_max=0)
        absent.settle(0)
        assert absent.up
        absent.set_count(1)
        assert changes == [(False, 1)] and "none wanted" in absent.cause()

        changes.clear()
        delayed = tracker(terminate_delay=0.2, fork_delay=0.4)
        delayed.settle(1)
        delayed.set_count(0)
        assert delayed.terminate_timer_running and delayed.up
        delayed.set_count(1)  # a restart within the delay does not show
        await asyncio.sleep(0.4)
        assert not changes and not delayed.terminate_timer_running
        delayed.set_count(0)
        await until(lambda: changes == [(False, 0)])
        delayed.set_count(1)
        assert delayed.fork_timer_running and not delayed.up
        await until(lambda: changes == [(False, 0), (True, 1)])
        delayed.close()

    run(body())


def connector_works() -> bool:
    """Whether this machine lets its processes be watched (root of the first namespaces)."""
    try:
        sock = connect()
    except ConnectorError:
        return False
    time.sleep(0.3)
    try:
        return any(event.what is What.ACK and not event.error for event in events(sock))
    finally:
        sock.close()


def test_processes_are_counted_by_events() -> None:
    if not connector_works():
        pytest.skip("the kernel gives no process events here")
    marker = f"61.{os.getpid()}"

    async def body() -> None:
        changes: list[tuple[str, bool]] = []
        log: list[str] = []
        watcher = ProcessWatcher(
            asyncio.get_running_loop(), on_change=lambda t: changes.append((t.name, t.up)), log=log.append
        )
        spec = ProcessSpec(name="p", command="sleep", params=(marker,))
        watcher.configure([spec])
        assert watcher.trackers["p"].up is False
        first = subprocess.Popen(["sleep", marker])
        await until(lambda: changes == [("p", True)])
        second = subprocess.Popen(["sh", "-c", f"sleep {marker}; true"], start_new_session=True)
        await until(lambda: watcher.trackers["p"].count == 2)
        first.kill()
        await until(lambda: watcher.trackers["p"].count == 1)
        assert changes == [("p", True)]
        os.killpg(second.pid, 9)
        await until(lambda: changes == [("p", True), ("p", False)])
        first.wait()
        second.wait()
        assert not watcher.polling and not log
        # one that already runs is found when it begins to be tracked
        third = subprocess.Popen(["sleep", marker])
        await until(lambda: watcher.trackers["p"].count == 1)
        watcher.configure([spec, ProcessSpec(name="q", command="sleep", params=(marker,))])
        assert watcher.trackers["q"].up
        third.kill()
        third.wait()
        watcher.close()

    run(body())


def test_lost_events_are_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says ENOBUFS: /proc is read again, once, and it is told with its remedy."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    fake_process(tmp_path, 5, "daemon")
    state = {"lost": False}
    real = processes.events

    def lossy(sock: socket.socket) -> object:
        if state.pop("lost", False):
            theirs_data = sock.recv(10)
            assert theirs_data
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return real(sock)

    monkeypatch.setattr(processes, "events", lossy)

    async def body() -> None:
        log: list[str] = []
        watcher = ProcessWatcher(
            asyncio.get_running_loop(),
            on_change=lambda _: None,
            log=log.append,
            proc=str(tmp_path),
            opener=lambda _size, _force: ours,
        )
        watcher.configure([ProcessSpec(name="d", command="daemon")])
        assert watcher.trackers["d"].count == 1
        fake_process(tmp_path, 6, "daemon")
        state["lost"] = True
        theirs.send(b"x")
        await until(lambda: watcher.trackers["d"].count == 2)
        assert watcher.lost_events == 1 and "process_monitor_rcv_bufs" in log[0]
        watcher.close()

    run(body())
    theirs.close()


def test_without_events_proc_is_looked_through_and_that_is_told_once(tmp_path: Path) -> None:
    def refuse(_size: int, _force: bool) -> socket.socket:
        raise ConnectorError(errno.ECONNREFUSED, "the process connector refuses: Connection refused")

    async def body() -> None:
        changes: list[bool] = []
        log: list[str] = []
        watcher = ProcessWatcher(
            asyncio.get_running_loop(),
            on_change=lambda t: changes.append(t.up),
            log=log.append,
            proc=str(tmp_path),
            opener=refuse,
        )
        watcher.configure([ProcessSpec(name="d", command="daemon")])
        assert watcher.polling and len(log) == 1 and "host's process and user namespace" in log[0]
        fake_process(tmp_path, 5, "daemon")
        await until(lambda: changes == [True])
        fake_process(tmp_path, 5, "daemon", state="Z")
        await until(lambda: changes == [True, False])
        assert len(log) == 1
        watcher.close()

    run(body())


def test_a_kernel_that_does_not_answer_is_noticed(tmp_path: Path) -> None:
    """A daemon in a process namespace of its own may ask, and never hears anything."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    async def body() -> None:
        log: list[str] = []
        watcher = ProcessWatcher(
            asyncio.get_running_loop(),
            on_change=lambda _: None,
            log=log.append,
            proc=str(tmp_path),
            opener=lambda _size, _force: ours,
        )
        watcher.configure([ProcessSpec(name="d", command="daemon")])
        await until(lambda: watcher.polling)
        assert "does not answer" in log[0]
        watcher.close()

    run(body())
    theirs.close()


def test_messages_of_the_connector() -> None:
    def message(what: int, *words: int) -> bytes:
        body = what.to_bytes(4, "little") + bytes(12) + b"".join(w.to_bytes(4, "little") for w in words)
        head = (36 + len(body)).to_bytes(4, "little") + bytes(12)
        return (
            head
            + b"".join((1).to_bytes(4, "little") for _ in range(2))
            + bytes(8)
            + len(body).to_bytes(2, "little")
            + bytes(2)
            + body
        )

    assert procevents.parse(message(1, 7, 7, 9, 9)) == procevents.ProcessEvent(What.FORK, 9, parent=7)
    assert procevents.parse(message(1, 7, 7, 10, 9)) is None  # a thread
    assert procevents.parse(message(2, 9, 9)) == procevents.ProcessEvent(What.EXEC, 9)
    assert procevents.parse(message(0x80000000, 9, 9, 0, 0)) == procevents.ProcessEvent(What.EXIT, 9)
    assert procevents.parse(message(0x80000000, 10, 9, 0, 0)) is None
    assert procevents.parse(message(0, 1, 0)) == procevents.ProcessEvent(What.ACK, 0, error=1)
    assert procevents.parse(message(4, 9, 9)) is None
    assert procevents.parse(message(1, 7, 7)) is None


# -- the hub -------------------------------------------------------------------------------------------------


def test_weights_of_all_kinds_add_up(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_text("5")
    plan = TrackingPlan(
        files=(FileSpec(name="f", path=str(path)),),
        targets=(
            Target(
                name="VI",
                base_priority=100,
                entries=(
                    Entry(Kind.FILE, "f", 2),
                    Entry(Kind.INTERFACE, "eth1", -30),
                    Entry(Kind.BFD, "b", 7),
                ),
            ),
            Target(name="owner", base_priority=255, entries=(Entry(Kind.FILE, "f", 2),)),
            Target(name="other", base_priority=50),
        ),
    )

    async def body() -> None:
        async with a_runner() as (runner, _):
            w = Watch(runner)
            w.hub.configure(plan)
            assert (w.hub.standing("VI").delta, w.hub.standing("owner").effective) == (10, 255)
            w.hub.set_switch(Kind.BFD, "b", True)
            w.hub.set_switch(Kind.INTERFACE, "eth1", False, "interface eth1 lost its carrier")
            standing = w.hub.standing("VI")
            assert (standing.delta, standing.effective) == (10 - 30 + 7, 87)
            assert w.told[-1].cause == "interface eth1 lost its carrier"
            count = len(w.told)
            w.hub.set_switch(Kind.INTERFACE, "eth1", False)  # nothing new
            assert len(w.told) == count
            path.write_text("-127")
            await until(lambda: w.hub.standing("VI").faults)
            assert w.hub.standing("VI").faults == (f"file {path} holds -127",)
            assert w.hub.standing("VI").delta == -13 and not w.told[-1].tell_priority  # as it was before
            path.write_text("0")
            await until(lambda: w.hub.standing("VI").healthy)
            assert w.hub.standing("VI").delta == -23 and not w.told[-1].tell_priority
            path.write_text("1")
            await until(lambda: w.hub.standing("VI").delta == -21)
            assert w.told[-1].tell_priority
            assert w.hub.used_by(Kind.FILE, "f") == ("VI", "owner")
            assert not any(s.name == "other" for s in w.told)
            w.hub.close()

    run(body())


def test_an_unknown_script_with_a_weight_holds_nothing_up(tmp_path: Path) -> None:
    spec = ScriptSpec(
        name="s", program=script(tmp_path / "s", "sleep 1; exit 1"), interval=30.0, timeout=20.0
    )
    plan = TrackingPlan(
        scripts=(spec,),
        targets=(
            Target(name="weighted", base_priority=100, entries=(Entry(Kind.SCRIPT, "s", -20),)),
            Target(name="plain", base_priority=100, entries=(Entry(Kind.SCRIPT, "s"),)),
            Target(name="absent", base_priority=100, entries=(Entry(Kind.SCRIPT, "disabled"),)),
        ),
    )

    async def body() -> None:
        async with a_runner() as (runner, _):
            w = Watch(runner)
            w.hub.configure(plan)
            assert w.hub.standing("weighted").healthy and w.hub.standing("weighted").effective == 100
            assert w.hub.standing("plain").pending == ("s",)
            assert w.hub.standing("absent").healthy
            await until(lambda: len(w.told) == 2)
            assert w.hub.standing("weighted").effective == 80
            assert w.hub.standing("plain").faults and not w.hub.standing("plain").pending
            w.hub.close()

    run(body())
