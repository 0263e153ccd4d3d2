"""Running operators' programs: what they get, what is kept of them, and what the badly behaved ones can
do."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ops_support import ME, a_runner, alive, open_descriptors, run, script, shell, until

from fastha._core.spawn import spawn
from fastha.scripts import runner as runner_module
from fastha.scripts.identity import Identity, resolve
from fastha.scripts.pool import DaemonPool
from fastha.scripts.runner import Program, Runner, current_limits

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


def test_outcomes_in_words() -> None:
    async def body() -> None:
        async with a_runner() as (runner, _):
            fail = await runner.run(shell("echo noise; echo 'connection refused' >&2; exit 1"), timeout=10)
            assert (fail.ok, fail.exit_code, fail.describe()) == (False, 1, "exit 1, 'connection refused'")
            good = await runner.run(shell("exit 0"), timeout=10)
            assert good.ok and good.describe() == "exit 0"
            killed = await runner.run(shell("kill -9 $$"), timeout=10)
            assert killed.signal == signal.SIGKILL and "SIGKILL" in killed.describe()
            stdout_only = await runner.run(shell("echo bad disk; exit 2"), timeout=10)
            assert stdout_only.describe() == "exit 2, 'bad disk'"
            absent = await runner.run(Program("/nonexistent/x", ("x",), ME), timeout=10)
            assert not absent.ok and "No such file" in absent.describe()

    run(body())


def test_the_child_has_a_clean_slate(tmp_path: Path) -> None:
    """Own group, /dev/null as input, no descriptor, default signals, no unsafe variable, given umask and
    limits."""
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    environment = {
        "PATH": os.environ["PATH"],
        "LD_PRELOAD": "",
        "IFS": "x",
        "LD_LIBRARY_PATH": "/",
        "KEPT": "yes",
    }
    text = (
        f"ls /proc/$$/fd | tr '\\n' ' '; readlink /proc/$$/fd/0; cut -d' ' -f5 /proc/$$/stat; echo $$; "
        f"umask; ulimit -n; env | sort; grep SigIgn /proc/$$/status; test -e /proc/$$/fd/{leak} && echo LEAK"
    )

    async def body() -> None:
        async with a_runner(environment=environment, umask=0o027, limits=[(7, 123, 456)]) as (runner, _):
            outcome = await runner.run(
                shell(text), timeout=10, extra_environment={"FASTHA_CAUSE": "link down"}
            )
        lines = outcome.output.decode().splitlines()
        assert lines[0].endswith("/dev/null")
        group, pid, umask, limit = lines[1:5]
        assert group == pid and umask == "0027" and limit == "123"
        assert "FASTHA_CAUSE=link down" in lines and "KEPT=yes" in lines
        assert not any(line.startswith(("IFS=", "LD_")) for line in lines)
        assert any(line.split() == ["SigIgn:", "0000000000000000"] for line in lines)
        assert "LEAK" not in lines

    try:
        run(body())
    finally:
        os.close(leak)


@needs_root
def test_another_user_with_exactly_its_groups() -> None:
    nobody = resolve("nobody")
    identity = Identity(nobody.uid, nobody.gid, (7, 9), "nobody")

    async def body() -> None:
        async with a_runner() as (runner, _):
            outcome = await runner.run(
                Program("/bin/sh", ("sh", "-c", "id -u; id -g; id -G"), identity), timeout=10
            )
            plain = await runner.run(Program("/bin/sh", ("sh", "-c", "id -G"), nobody), timeout=10)
        assert outcome.output.split() == [b"65534", b"65534", b"65534", b"7", b"9"]
        assert plain.output.split() == [b"65534"]

    run(body())
    assert os.geteuid() == 0


def test_what_overruns_is_ended_with_its_whole_group(tmp_path: Path) -> None:
    """Also a grandchild that ignores TERM; and the outcome is known at the time limit, not when all is
    over."""
    pids = tmp_path / "pids"
    text = (
        f"trap '' TERM; (trap '' TERM; echo $$ >> {pids}; sleep 60) & echo $! >> {pids}; sleep 60; sleep 60"
    )

    async def body() -> None:
        async with a_runner() as (runner, _):
            began = time.monotonic()
            execution = runner.start(shell(text), timeout=0.5)
            outcome = await execution.outcome
            assert outcome.timed_out and time.monotonic() - began < 2.0
            await execution.gone
            started = [int(pid) for pid in pids.read_text().split()]
            assert len(started) == 2
            await until(lambda: not any(alive(pid) for pid in started))

    run(body())


def test_gigabytes_of_output_cost_nothing() -> None:
    """What is kept is bounded while it runs, the end of it is kept, and it is told once."""

    async def body() -> None:
        async with a_runner() as (runner, told):
            text = "head -c 400000000 /dev/zero; echo; echo the end >&2; exit 3"
            for _ in range(2):
                outcome = await runner.run(shell(text), timeout=50)
                assert outcome.describe() == "exit 3, 'the end'"
                assert len(outcome.output) <= 8192 and outcome.dropped_output > 50_000_000
            assert len([line for line in told if "printed more than is kept" in line]) == 1

    run(body())


def test_a_daemon_left_behind_lives_and_cannot_fill_memory(tmp_path: Path) -> None:
    """It is not waited for, not killed, and what it prints later is refused to it without a signal."""
    mark = tmp_path / "mark"
    text = f"(sleep 0.5; echo late || echo refused > {mark}; echo alive >> {mark}) & echo $! ; exit 0"

    async def body() -> None:
        async with a_runner() as (runner, _):
            began = time.monotonic()
            outcome = await runner.run(shell(text), timeout=10)
            assert outcome.ok and time.monotonic() - began < 5
        await until(lambda: mark.exists() and "alive" in mark.read_text())
        assert mark.read_text().split() == ["refused", "alive"]

    run(body())


def test_a_text_without_an_interpreter_line_is_run_by_the_shell(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_text('echo "$1" > "$0.out"\n')
    path.chmod(0o755)

    async def body() -> None:
        async with a_runner() as (runner, _):
            outcome = await runner.run(
                Program(str(path), (str(path),), ME), timeout=10, extra_args=("two words",)
            )
            assert outcome.ok
        assert (tmp_path / "plain.out").read_text() == "two words\n"

    run(body())


def test_a_script_replaced_while_it_runs(tmp_path: Path) -> None:
    """The run that is under way ends as the old one; the next is the new one."""
    path = tmp_path / "check"
    program = script(path, "sleep 0.5; exit 3")

    async def body() -> None:
        async with a_runner() as (runner, _):
            first = runner.start(program, timeout=10)
            await asyncio.sleep(0.2)
            other = tmp_path / "new"
            script(other, "exit 4")
            other.rename(path)
            assert (await first.outcome).exit_code == 3
            assert (await runner.run(program, timeout=10)).exit_code == 4

    run(body())


def test_nothing_leaks_and_nothing_is_left() -> None:
    async def body() -> None:
        async with a_runner() as (runner, _):
            await runner.run(shell("true"), timeout=10)
            gc.collect()
            before = open_descriptors()
            pids = []
            for _ in range(50):
                execution = runner.start(shell("echo x; exit 1"), timeout=10)
                await execution.gone
                pids.append(execution.pid)
            assert not runner.running
            await until(lambda: open_descriptors() <= before)
            for pid in pids:  # each was reaped
                with pytest.raises(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    run(body())


def test_closing_ends_what_runs_except_what_may_outlive(tmp_path: Path) -> None:
    async def body() -> None:
        runner = Runner(asyncio.get_running_loop(), notice=lambda _: None)
        stubborn = runner.start(shell("trap '' TERM; sleep 60; sleep 60"))
        kept = runner.start(shell(f"sleep 1; touch {tmp_path}/done"), outlives=True)
        await until(lambda: stubborn.pid and kept.pid)
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await runner.close(0.5)
        assert time.monotonic() - began < 5
        await until(lambda: not alive(stubborn.pid))
        await until((tmp_path / "done").exists)
        late = runner.start(shell("true"))
        assert "stopping" in (await late.outcome).error

    run(body())


def test_a_loop_that_was_held_up_accuses_nobody() -> None:
    """The script ended in time; that the daemon looked late is not its fault."""

    async def body() -> None:
        async with a_runner() as (runner, _):
            execution = runner.start(shell("sleep 0.1; exit 0"), timeout=0.5)
            await until(lambda: execution.pid)
            time.sleep(1.0)
            assert (await execution.outcome).ok

    run(body())


def test_it_works_without_pidfds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels before 5.3 have none: the end is then looked for."""

    def refuse(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(runner_module.os, "pidfd_open", refuse)

    async def body() -> None:
        async with a_runner() as (runner, _):
            assert (await runner.run(shell("exit 7"), timeout=10)).exit_code == 7

    run(body())


def test_spawn_refuses_what_it_cannot_carry_out() -> None:
    with pytest.raises(ValueError, match="NUL"):
        spawn(b"/bin/true", [b"a\0b"], [])
    with pytest.raises(OSError, match="execve"):
        spawn(b"/nonexistent", [b"x"], [])
    with pytest.raises(OSError, match="chdir"):
        spawn(b"/bin/true", [b"true"], [], cwd=b"/nonexistent")
    with pytest.raises(TypeError):
        spawn("/bin/true", [b"true"], [])  # type: ignore[arg-type]


def test_limits_are_read_before_they_are_raised() -> None:
    kinds = {kind for kind, _, _ in current_limits()}
    assert 7 in kinds  # RLIMIT_NOFILE
    assert all(soft >= -1 and hard >= -1 for _, soft, hard in current_limits())


def test_a_thread_that_hangs_does_not_keep_the_daemon_alive() -> None:
    """As one in execve() on a dead mount: the process ends all the same."""
    text = (
        "import time; from fastha.scripts.pool import DaemonPool; p = DaemonPool(2, 'x')\n"
        "p.submit(time.sleep, 60); assert p.submit(lambda: 7).result() == 7\n"
        "p.shutdown(cancel_futures=True); print('end')"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "end\n" and time.monotonic() - began < 30


def test_the_pool_of_threads() -> None:
    pool = DaemonPool(2, "test")
    assert pool.threads == 0
    assert [pool.submit(abs, -n).result() for n in range(20)] == list(range(20))
    assert 1 <= pool.threads <= 2
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result()
    gate = threading.Event()
    held = [pool.submit(gate.wait, 30) for _ in range(2)]
    waiting = pool.submit(abs, -1)
    time.sleep(0.1)
    assert pool.threads == 2 and not waiting.done()
    pool.shutdown(cancel_futures=True)
    assert waiting.cancelled()
    gate.set()
    assert all(job.result() for job in held)
    with pytest.raises(RuntimeError):
        pool.submit(abs, 1)
