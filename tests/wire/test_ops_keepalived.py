"""The same configuration and the same events under Debian's keepalived and under fastha's tracking and
notification.

keepalived runs live, in a namespace, and what it does is the expectation: effective priorities and faults
for the same results of scripts and contents of files, the same calls of hooks with the same arguments, the
same FIFO lines, the same mails, the same scripts refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from net_namespaces import namespace, veth

from fastha.config.model import (
    Command,
    Config,
    Globals,
    Notify,
    SyncGroup,
    Track,
    TrackFile,
    VrrpInstance,
    VrrpScript,
    with_settings,
)
from fastha.notify.events import InstanceEvent, Kind, State
from fastha.notify.mail import MailChannel
from fastha.notify.notifier import Notifier
from fastha.notify.plan import notify_plan
from fastha.notify.spec import FifoSpec, MailSpec
from fastha.scripts.programs import Resolver
from fastha.scripts.runner import Runner
from fastha.tracking.hub import Standing, TrackingHub
from fastha.tracking.plan import tracking_plan

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(shutil.which("keepalived") is None, reason="the comparison is with keepalived"),
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that keepalived's checks find secure: root's alone, below the sticky /tmp."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fhops", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


class Keepalived:
    """One run of keepalived in the namespace that the thread is in."""

    def __init__(self, place: Path, config: str, *options: str) -> None:
        self.place = place
        self.config = place / "keepalived.conf"
        self.config.write_text(config)
        self.log_path = place / "log"
        self._log = self.log_path.open("wb")
        pids = ("-p", str(place / "k.pid"), "-r", str(place / "v.pid"))
        self.process = subprocess.Popen(
            ["keepalived", "-n", "-l", "-D", "-G", "-P", "-f", str(self.config), *pids, *options],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(place)},
        )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for(self, pattern: str, limit: float = 20.0) -> None:
        wait_until(lambda: re.search(pattern, self.log), limit, lambda: f"{pattern}\n{self.log}")

    def reload(self, config: str) -> None:
        self.config.write_text(config)
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()


@contextlib.contextmanager
def keepalived(place: Path, config: str) -> Iterator[Keepalived]:
    """keepalived, ended whatever happens."""
    it = Keepalived(place, config)
    try:
        it.wait_for("Startup complete|Entering|exited|Terminating")
        yield it
    finally:
        it.stop()


def wait_until(condition: Callable[[], object], limit: float, explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {limit} s: {explain()}"
        time.sleep(0.02)


class FifoReader:
    """Collects the lines of a FIFO in a thread."""

    def __init__(self, path: Path) -> None:
        self.data = b""
        os.mkfifo(path, 0o600)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            with contextlib.suppress(BlockingIOError):
                self.data += os.read(self._fd, 65536)

    @property
    def lines(self) -> list[tuple[str, str, str, int]]:
        found = []
        for line in self.data.decode().splitlines():
            match = re.fullmatch(r'(INSTANCE|GROUP) "(.*)" (\w+) (\d+)', line)
            assert match, line
            found.append((match[1], match[2], match[3], int(match[4])))
        return found

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._fd)


def write_script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def instance_text(name: str, vrid: int, body: str, priority: int = 100) -> str:
    return f"""
vrrp_instance {name} {{
    interface eth0
    virtual_router_id {vrid}
    priority {priority}
    virtual_ipaddress {{
        10.99.1.{vrid}
    }}
{body}
}}
"""


def model_instance(name: str, vrid: int, **more: object) -> VrrpInstance:
    own = {key: more.pop(key) for key in ("priority", "addresses") if key in more}
    made = VrrpInstance(
        **{"name": name, "vrid": vrid, "family": 2, "interface": "eth0", **own}  # type: ignore[arg-type]
    )
    return with_settings(made, **more)


# -- tracking ------------------------------------------------------------------------------------------------

#: (name, words in keepalived's configuration, the same in the model)
SCRIPT_TRACKS = [
    ("w_plus", "chk weight 10", Track("chk", 10)),
    ("w_minus", "chk weight -10", Track("chk", -10)),
    ("w_plus_rev", "chk weight 10 reverse", Track("chk", 10, reverse=True)),
    ("w_minus_rev", "chk weight -10 reverse", Track("chk", -10, reverse=True)),
    ("w_zero", "chk weight 0", Track("chk", 0)),
    ("w_zero_rev", "chk weight 0 reverse", Track("chk", 0, reverse=True)),
    ("w_default", "chk", Track("chk")),
    ("w_big", "chk weight 253", Track("chk", 253)),
    ("w_big_minus", "chk weight -253", Track("chk", -253)),
]
#: Exit codes of the script's runs; the last one goes on.
RESULTS = (1, 0, 0, 1, 0, 1, 1, 1, 0)


def seen_by_keepalived(lines: list[tuple[str, str, str, int]], names: list[str]) -> dict[str, list[object]]:
    """Per instance: each new effective priority, and entering and leaving FAULT."""
    found: dict[str, list[object]] = {name: [] for name in names}
    faulty: dict[str, bool] = {}
    for _, name, word, priority in lines:
        if word.endswith("_PRIORITY"):
            found[name].append(priority)
        elif word == "FAULT":
            found[name].append("fault")
            faulty[name] = True
        elif word in ("BACKUP", "MASTER") and faulty.pop(name, False):
            found[name].append("well")
    return found


class Seen:
    """The same of the hub's standings."""

    def __init__(self, names: list[str]) -> None:
        self.found: dict[str, list[object]] = {name: [] for name in names}
        self._faulty: dict[str, bool] = {}

    def __call__(self, standing: Standing) -> None:
        name = standing.name
        if standing.tell_priority:
            self.found[name].append(standing.effective)
        if standing.faults and not self._faulty.get(name):
            self._faulty[name] = True
            self.found[name].append("fault")
        elif standing.healthy and self._faulty.pop(name, False):
            self.found[name].append("well")


def test_results_of_a_script_move_priorities_alike(place: Path) -> None:
    counter = place / "runs"
    codes = " ".join(map(str, RESULTS))
    check = write_script(
        place / "check.sh",
        f"echo x >> {counter}\nset -- {codes}\nn=$(wc -l < {counter})\n[ $n -gt $# ] && n=$#\n"
        'eval "exit \\${$n}"',
    )
    names = [name for name, _, _ in SCRIPT_TRACKS]
    text = f"""
global_defs {{
    script_user root
    enable_script_security
    vrrp_notify_fifo {place}/fifo
    vrrp_notify_priority_changes on
}}
vrrp_script chk {{
    script "{check}"
    interval 1
    weight 3
    rise 2
    fall 3
}}
""" + "".join(
        instance_text(name, number, f"    track_script {{\n        {words}\n    }}")
        for number, (name, words, _) in enumerate(SCRIPT_TRACKS, 1)
    )
    with namespace("fhops"):
        veth("eth0", "eth1", "10.99.0.1/24")
        fifo = FifoReader(place / "fifo")
        try:
            with keepalived(place, text):
                wait_until(
                    lambda: counter.exists() and counter.read_text().count("x") > len(RESULTS),
                    40,
                    lambda: "the script is not run",
                )
            expected = seen_by_keepalived(fifo.lines, names)
        finally:
            fifo.close()
    assert any(expected.values())
    counter.unlink()

    config = Config(
        globals_=Globals(script_user="root", enable_script_security=True),
        scripts=(
            VrrpScript(
                name="chk",
                command=Command((str(check),)),
                interval_ns=200_000_000,
                timeout_ns=5_000_000_000,
                weight=3,
                rise=2,
                fall=3,
            ),
        ),
        instances=tuple(
            model_instance(name, number, track_scripts=(track,))
            for number, (name, _, track) in enumerate(SCRIPT_TRACKS, 1)
        ),
    )
    resolver = Resolver(script_user="root", security=True)
    plan, said = tracking_plan(config, resolver)
    assert not said and not resolver.messages
    seen = Seen(names)

    async def body() -> None:
        runner = Runner(asyncio.get_running_loop(), notice=print)
        hub = TrackingHub(runner, on_change=seen, log=lambda _: None)
        hub.configure(plan)
        deadline = time.monotonic() + 30
        while hub.scripts["chk"].status().runs <= len(RESULTS):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        hub.close()
        await runner.close()

    uvloop.run(body())
    assert seen.found == expected


FILE_TRACKS = [
    ("f_one", "tf weight 1", Track("tf", 1)),
    ("f_two_rev", "tf weight 2 reverse", Track("tf", 2, reverse=True)),
    ("f_minus", "tf weight -2", Track("tf", -2)),
    ("f_zero", "tf weight 0", Track("tf", 0)),
    ("f_zero_rev", "tf weight 0 reverse", Track("tf", 0, reverse=True)),
    ("f_default", "tf", Track("tf")),
    ("f_big", "tf weight 100", Track("tf", 100)),
]
CONTENTS = [
    "5",
    "abc",
    "0x10",
    "010",
    " 12 \n",
    "-3",
    "9x",
    "99999999999",
    "08",
    "1.5",
    "",
    "254",
    "-254",
    "1",
    "-127",
    "2 9",
    None,
    "7",
]


def test_contents_of_a_file_move_priorities_alike(place: Path) -> None:
    path = place / "weight"
    names = [name for name, _, _ in FILE_TRACKS]
    text = f"""
global_defs {{
    script_user root
    vrrp_notify_fifo {place}/fifo
    vrrp_notify_priority_changes on
}}
track_file tf {{
    file {path}
    weight 3
    init_file 2
}}
""" + "".join(
        instance_text(name, number, f"    track_file {{\n        {words}\n    }}")
        for number, (name, words, _) in enumerate(FILE_TRACKS, 1)
    )

    def write(content: str | None) -> None:
        if content is None:
            path.unlink()
        else:
            path.write_text(content)

    with namespace("fhops"):
        veth("eth0", "eth1", "10.99.0.1/24")
        fifo = FifoReader(place / "fifo")
        try:
            with keepalived(place, text) as it:
                it.wait_for("Entering BACKUP")
                initial = path.read_text()
                time.sleep(0.5)
                before = len(fifo.lines)
                for content in CONTENTS:
                    write(content)
                    time.sleep(0.25)
            # a stop is no result
            lines = [line for line in fifo.lines[before:] if line[2] != "STOP"]
            first = [line for line in fifo.lines[:before] if line[2] == "FAULT"]
            expected = seen_by_keepalived(first + lines, names)
        finally:
            fifo.close()
    path.unlink()

    config = Config(
        track_files=(TrackFile(name="tf", path=str(path), weight=3, init_value=2),),
        instances=tuple(
            model_instance(name, number, track_files=(track,))
            for number, (name, _, track) in enumerate(FILE_TRACKS, 1)
        ),
    )
    plan, _ = tracking_plan(config, Resolver())
    seen = Seen(names)

    async def body() -> None:
        runner = Runner(asyncio.get_running_loop(), notice=print)
        hub = TrackingHub(runner, on_change=seen, log=lambda _: None)
        hub.configure(plan)
        assert path.read_text() == initial
        for name in names:
            seen(hub.standing(name))
        for content in CONTENTS:
            write(content)
            await asyncio.sleep(0.1)
        hub.close()
        await runner.close()

    uvloop.run(body())
    assert seen.found == expected


# -- notification --------------------------------------------------------------------------------------------

STATES = ("master", "backup", "fault", "stop")


def notify_words(script: Path, name: str) -> str:
    lines = [f"    notify_{state} \"{script} {state} 'of {name}'\"" for state in STATES]
    lines.append(f'    notify "{script} generic"')
    return "\n".join(lines)


def notify_model(script: Path, name: str, **more: object) -> Notify:
    commands = {state: Command((str(script), state, f"of {name}")) for state in STATES}
    return Notify(generic=Command((str(script), "generic")), **commands, **more)  # type: ignore[arg-type]


def test_hooks_fifo_lines_and_mails_are_alike(place: Path) -> None:
    """Start, mastership, a fault of a sync group, recovery, a reload that removes two instances, and the
    end."""
    calls, flag, mails = place / "calls", place / "flag", place / "mails"
    # one write for each line, since keepalived's hooks run at the same time
    hook = write_script(place / "hook.sh", f'l=; for a; do l="$l<$a>"; done; echo "$l" >> {calls}')
    server = place / "smtpd.py"
    server.write_text(SMTP_SERVER)
    flag.write_text("0")
    head = f"""
global_defs {{
    router_id R1
    script_user root
    enable_script_security
    notify_fifo {place}/fifo
    vrrp_notify_priority_changes on
    smtp_server 127.0.0.1 2525
    smtp_helo_name lb.example
    notification_email_from lb@example.org
    notification_email {{
        one@example.org
    }}
    smtp_alert_vrrp on
}}
track_file flag {{
    file {flag}
    weight 0
}}
track_file moves {{
    file {place}/moves
    weight 1
}}
vrrp_sync_group G {{
    group {{
        VI_1
        VI_2
    }}
    track_file {{
        flag
    }}
{notify_words(hook, "G")}
}}
"""
    kept = (
        instance_text("VI_1", 1, notify_words(hook, "VI_1"))
        + instance_text("VI_2", 2, notify_words(hook, "VI_2"))
        + instance_text(
            "VI_3", 3, "    track_file {\n        moves\n    }\n    notify_priority_changes on", 50
        )
    )
    removed = instance_text("VI_4", 4, notify_words(hook, "VI_4") + "\n    notify_deleted") + instance_text(
        "VI_5", 5, notify_words(hook, "VI_5")
    )
    everybody = [f"VI_{n}" for n in range(1, 6)]
    with namespace("fhops"):
        veth("eth0", "eth1", "10.99.0.1/24")
        fifo = FifoReader(place / "fifo")
        smtpd = subprocess.Popen([sys.executable, str(server), str(mails)], stdout=subprocess.PIPE)
        assert smtpd.stdout is not None
        smtpd.stdout.readline()  # it listens

        def seen(name: str, word: str, count: int = 1) -> Callable[[], bool]:
            return lambda: sum(line[1:3] == (name, word) for line in fifo.lines) >= count

        try:
            with keepalived(place, head + kept + removed) as it:

                def explain() -> str:
                    return f"{fifo.lines}\n{it.log}"

                for name in (*everybody, "G"):
                    wait_until(seen(name, "MASTER"), 20, explain)
                (place / "moves").write_text("7")
                wait_until(seen("VI_3", "MASTER_PRIORITY"), 10, explain)
                flag.write_text("1")
                for name in ("VI_1", "VI_2", "G"):
                    wait_until(seen(name, "FAULT"), 10, explain)
                flag.write_text("0")
                for name in ("VI_1", "VI_2", "G"):
                    wait_until(seen(name, "MASTER", 2), 20, explain)
                it.reload(head + kept)
                wait_until(seen("VI_4", "DELETED"), 10, explain)
                wait_until(seen("VI_5", "FAULT"), 10, explain)
                time.sleep(1.0)
                sent = mails.read_text()
            time.sleep(1.0)
            lines, data = fifo.lines, fifo.data
        finally:
            fifo.close()
            smtpd.kill()
            smtpd.wait()
    expected_calls = calls.read_text().splitlines()
    calls.unlink()
    (place / "fifo").unlink(missing_ok=True)

    # the same for fastha: its configuration, and keepalived's events in keepalived's order
    instances = [
        model_instance(f"VI_{n}", n, notify=notify_model(hook, f"VI_{n}"), smtp_alert=True) for n in (1, 2)
    ]
    instances.append(model_instance("VI_3", 3, priority=50, notify_priority_changes=True, smtp_alert=True))
    instances.append(
        model_instance("VI_4", 4, notify=notify_model(hook, "VI_4", notify_deleted=True), smtp_alert=True)
    )
    instances.append(model_instance("VI_5", 5, notify=notify_model(hook, "VI_5"), smtp_alert=True))
    config = Config(
        globals_=Globals(router_id="R1", script_user="root", enable_script_security=True),
        instances=tuple(instances),
        sync_groups=(
            SyncGroup(name="G", members=("VI_1", "VI_2"), notify=notify_model(hook, "G"), smtp_alert=True),
        ),
    )
    resolver = Resolver(script_user="root", security=True)
    plan, _ = notify_plan(config, resolver)
    assert not resolver.messages
    plan = type(plan)(
        router_id=plan.router_id,
        hooks=plan.hooks,
        fifos=(FifoSpec(path=str(place / "fifo"), vrrp=True, lvs=True),),
    )
    events = list(replay(lines))

    async def body() -> bytes:
        runner = Runner(asyncio.get_running_loop(), notice=print)
        notifier = Notifier(runner, print)
        notifier.configure(plan)
        reader = os.open(place / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        for event in events:
            notifier.publish(event)
        written = os.read(reader, 1 << 20)
        os.close(reader)
        await notifier.close(20.0)
        await runner.close()
        return written

    assert uvloop.run(body()) == data
    # keepalived starts hooks and forgets them: their order is chance there, and only there
    assert Counter(calls.read_text().splitlines()) == Counter(expected_calls)
    check_order(calls.read_text().splitlines())
    check_mails(sent, events, plan.hooks)


def replay(lines: list[tuple[str, str, str, int]]) -> Iterator[InstanceEvent]:
    """keepalived's lines as events; the one FAULT that was a removal is one again."""
    for number, (kind, name, word, priority) in enumerate(lines):
        state = State(word)
        if name == "VI_5" and word == "FAULT":
            state = State.DELETED
        yield InstanceEvent(
            kind=Kind(kind), name=name, state=state, priority=priority, wall_ns=number, monotonic_ns=number
        )


def check_order(calls: list[str]) -> None:
    """fastha's own promise: the script of the state, then the generic one, in the order of events."""
    for name in ("VI_1", "VI_2", "G"):
        words = []
        for call in calls:
            parts = re.findall("<(.*?)>", call)
            if parts[1] == f"of {name}":
                words.append((parts[0].upper(), "own"))
            elif parts[0] == "generic" and parts[2] == name:
                words.append((parts[3], "generic"))
        assert [state for state, _ in words[::2]] == [state for state, _ in words[1::2]]
        assert {which for _, which in words[::2]} == {"own"}


def check_mails(sent: str, events: list[InstanceEvent], hooks: object) -> None:
    """keepalived's mails, but for their dates and what fastha adds below keepalived's line."""

    async def ours() -> list[bytes]:
        channel = MailChannel(
            MailSpec(server="x", recipients=("one@example.org",), sender="lb@example.org"),
            asyncio.get_running_loop(),
            print,
            router_id="R1",
            hooks=hooks,  # type: ignore[arg-type]
        )
        made: list[bytes] = []
        channel._put = lambda mail: made.append(channel.message(mail))  # type: ignore[method-assign]
        for event in events:
            if event.state is not State.STOP:  # keepalived ends before those go out
                channel.send(event)
        return made

    def essence(text: str) -> tuple[str, ...]:
        return tuple(line for line in text.splitlines() if line and not line.startswith(("Date:", "Before:")))

    theirs = Counter(essence(mail) for mail in sent.split("\f") if mail)
    mine = Counter(essence(mail.decode()) for mail in uvloop.run(ours()))
    assert theirs
    assert mine == theirs


SMTP_SERVER = """
import socketserver, sys, threading
lock = threading.Lock()
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 here\\r\\n")
        while line := self.rfile.readline():
            verb = line.split()[0].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\\r\\n")
                mail = b""
                while (line := self.rfile.readline()) != b".\\r\\n":
                    mail += line
                with lock, open(sys.argv[1], "ab") as file:
                    file.write(mail + b"\\f")
            self.wfile.write(b"221 bye\\r\\n" if verb == b"QUIT" else b"250 ok\\r\\n")
            if verb == b"QUIT":
                return
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 2525), Handler)
print("ready", flush=True)
server.serve_forever()
"""


# -- security ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", [False, True])
def test_the_same_scripts_are_refused(place: Path, security: bool) -> None:
    ran = place / "ran"
    ran.write_text("")
    ran.chmod(0o666)
    cases = make_scripts(place, ran)
    text = (
        "global_defs {\n    script_user root\n" + ("    enable_script_security\n" if security else "") + "}\n"
    )
    for name, words, user in cases:
        text += f'vrrp_script {name} {{\n    script "{words} {name}"\n    interval 1\n    user {user}\n}}\n'
    tracked = "\n".join(f"        {name} weight 1" for name, _, _ in cases)
    text += instance_text("VI", 1, f"    track_script {{\n{tracked}\n    }}")
    with namespace("fhops"):
        veth("eth0", "eth1", "10.99.0.1/24")
        with keepalived(place, text) as it:
            it.wait_for("Entering BACKUP")
            time.sleep(2.0)
    expected = set(ran.read_text().split())
    resolver = Resolver(script_user="root", security=security)
    ours = {name for name, words, user in cases if resolver.program([*words.split(), name], user) is not None}
    assert ours == expected
    assert ("SECURITY VIOLATION" in it.log) == any("SECURITY VIOLATION" in m for m in resolver.messages)


def make_scripts(place: Path, ran: Path) -> list[tuple[str, str, str]]:
    """(name, command, user): sound and unsound ones of every kind."""

    def put(path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> str:
        full = place / path
        full.parent.mkdir(exist_ok=True)
        full.write_text(f"#!/bin/sh\necho $1 >> {ran}\n")
        os.chown(full, uid, gid)
        full.chmod(mode)
        return str(full)

    folders = {
        "theirs": (0o755, 65534, 0),
        "group": (0o775, 0, 60),
        "open": (0o777, 0, 0),
        "sticky": (0o1777, 0, 0),
    }
    cases = [
        ("sound", put("sound.sh"), "root"),
        ("by_nobody", put("nobody.sh"), "nobody"),
        ("not_executable", put("plain.sh", 0o644), "root"),
        ("for_all", put("all.sh", 0o757), "root"),
        ("for_group", put("grp.sh", 0o775, 0, 60), "root"),
        ("for_root_group", put("rgrp.sh", 0o775), "root"),
        ("of_nobody", put("of.sh", 0o755, 65534), "root"),
        ("of_nobody_by_nobody", put("ofby.sh", 0o755, 65534), "nobody"),
        ("absent", str(place / "absent"), "root"),
        ("a_directory", str(place), "root"),
        ("gone", "no-such-program-at-all", "root"),
    ]
    for folder, (mode, uid, gid) in folders.items():
        cases.append((f"in_{folder}", put(f"{folder}/x.sh"), "root"))
        os.chown(place / folder, uid, gid)
        (place / folder).chmod(mode)
    (place / "dirlink").symlink_to("sticky")
    (place / "filelink").symlink_to(put("target.sh"))
    cases.append(("through_a_directory_link", str(place / "dirlink" / "x.sh"), "root"))
    cases.append(("through_a_file_link", str(place / "filelink"), "root"))
    closed = put("closed/x.sh")
    (place / "closed").chmod(0o700)
    cases.append(("behind_a_closed_directory", closed, "nobody"))
    return cases
