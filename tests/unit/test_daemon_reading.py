"""Configurations are read by a child process: with the same result as here, and whatever becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fastha.config.loading import load
from fastha.daemon.reading import Reading, read

CORPUS = sorted((Path(__file__).parents[1] / "data" / "corpus").rglob("*.conf"))[::7]
TEXT = "vrrp_instance A {\n interface eth0\n virtual_router_id 5\n virtual_ipaddress {\n 10.0.0.1/24\n }\n}\n"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def no_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_result_is_that_of_reading_here(path: Path) -> None:
    here, there = load(path, config_id="node1"), read(path, config_id="node1")
    assert there.diagnostics == here.diagnostics
    assert there.files == here.files
    assert there.config == here.config or "RND" in path.read_text(errors="replace")


@pytest.mark.parametrize("count", [1, 49, 50, 51, 230])
def test_many_instances_and_servers_come_in_portions_and_in_order(tmp_path: Path, count: int) -> None:
    """What they share with one another, and the groups that name them, is as it was."""
    members = "\n".join(f"I{n}" for n in range(count))
    text = f"vrrp_sync_group G {{\n group {{\n {members}\n }}\n}}\n"
    for n in range(count):
        text += (
            f"vrrp_instance I{n} {{\n interface eth0\n virtual_router_id {n + 1}\n"
            f" virtual_ipaddress {{\n 10.0.{n}.1/24\n }}\n}}\n"
            f"bfd_instance B{n} {{\n neighbor_ip 10.3.{n}.1\n}}\n"
            f"virtual_server 10.1.{n}.1 80 {{\n protocol TCP\n real_server 10.2.{n}.1 80 {{\n }}\n}}\n"
        )
    path = tmp_path / "many.conf"
    path.write_text(text)
    here, there = load(path), read(path)
    assert there == here
    assert there.config is not None
    assert [i.name for i in there.config.instances] == [f"I{n}" for n in range(count)]
    assert [b.name for b in there.config.bfd_instances] == [f"B{n}" for n in range(count)]
    assert len(there.config.lvs.virtual_servers) == count
    group = there.config.group_of(f"I{count - 1}")
    assert group is not None and group.name == "G"


def test_many_are_read_at_once_and_nothing_is_left_behind(tmp_path: Path) -> None:
    before = descriptors()
    found: list[bool] = []
    path = tmp_path / "one.conf"
    path.write_text(TEXT)
    threads = [threading.Thread(target=lambda: found.append(read(path).ok)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [True] * 8
    assert descriptors() == before
    assert no_children()


def test_a_text_is_read_instead_of_the_file() -> None:
    result = read(Path("nowhere.conf"), text=TEXT)
    assert result.config is not None
    assert [i.name for i in result.config.instances] == ["A"]


def test_a_file_that_is_wrong_is_told() -> None:
    result = read(Path("nowhere.conf"), text="vrrp_instance {\n")
    assert [d.code for d in result.diagnostics] != []
    assert read(Path("/nowhere.conf")).config is None


@pytest.mark.parametrize("running", [False, True])
def test_a_child_that_is_killed(running: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start it is done without; a daemon that runs does not try what may kill it, too."""
    with monkeypatch.context() as patched:
        patched.setattr(Reading, "_read", lambda _self: time.sleep(60))  # it shall not be done before
        reading = Reading(Path("nowhere.conf"), text=TEXT)
    os.kill(reading._pid, signal.SIGKILL)
    result = reading.result(running=running)
    assert result.ok is not running
    assert not running or "ended by signal 9" in result.diagnostics[0].message
    assert no_children()


def test_a_parser_that_fails_is_seen_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours is no end of the child's alone: it is raised where it can be told."""

    def broken(self: Reading) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(Reading, "_read", broken)
    with pytest.raises(ZeroDivisionError):
        read(Path("nowhere.conf"), text=TEXT)
    assert no_children()


def test_where_no_child_can_be_made_it_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = descriptors()
    monkeypatch.setattr(os, "fork", refused)
    assert read(Path("nowhere.conf"), text=TEXT).ok
    assert descriptors() == before


def test_where_children_are_not_waited_for() -> None:
    """A supervisor may have left SIGCHLD ignored: the kernel buries children itself then."""
    code = (
        "import signal\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from fastha.daemon.reading import read\n"
        f"print(read(Path('x'), text={TEXT!r}).ok)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_one_that_never_ends_is_given_up() -> None:
    reading = Reading(Path("nowhere.conf"), text=TEXT)
    os.kill(reading._pid, signal.SIGSTOP)
    began = time.monotonic()
    result = reading.result(limit_s=0.2)
    assert time.monotonic() - began < 30
    assert result.config is None
    assert "given up" in result.diagnostics[0].message
    assert no_children()


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed leaves no child that holds its sockets."""
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from fastha.daemon.reading import Reading\n"
        "class Slow(Reading):\n"
        "    def _read(self):\n"
        "        Path(sys.argv[1], 'child').write_text(str(os.getpid()))\n"
        "        time.sleep(60)\n"
        "Slow(Path('x'))\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    child = tmp_path / "child"
    try:
        while not (child.exists() and child.read_text()):
            time.sleep(0.02)
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    status = Path(f"/proc/{child.read_text()}/status")
    for _ in range(500):
        if not status.exists() or "Z (zombie)" in status.read_text():
            return
        time.sleep(0.02)
    raise AssertionError("the child lives on")


def test_the_daemon_does_not_have_the_language_in_memory() -> None:
    code = (
        "import sys, fastha.daemon.main, fastha.daemon.start, fastha.daemon.reading\n"
        "print([m for m in sys.modules if m in ('fastha.config.loading', 'fastha.config.reader')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_instances_have_in_common_is_there_once() -> None:
    """Thousands of instances differ in little."""
    text = "".join(
        f"vrrp_instance VI_{n} {{\ninterface eth0\nvirtual_router_id {n}\nadvert_int {1 + n % 2}\n"
        f"virtual_ipaddress {{\n10.0.0.{n}/24 dev eth1\n}}\n}}\n"
        for n in range(1, 41)
    )
    config = Reading(Path("nowhere.conf"), text=text).result().config
    assert config is not None
    assert [i.settings.advert_int_ns for i in config.instances] == [(1 + n % 2) * 10**9 for n in range(1, 41)]
    assert len({id(i.settings) for i in config.instances}) == 2
    assert len({id(i.settings.garp) for i in config.instances}) == 1
    addresses = [a for i in config.instances for a in i.addresses]
    assert [str(a.address) for a in addresses] == [f"10.0.0.{n}" for n in range(1, 41)]
    assert len({id(a.options) for a in addresses}) == 1 and addresses[0].options.dev == "eth1"
