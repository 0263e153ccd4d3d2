"""Dumps in keepalived's forms, the history, the metrics and the log."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from ops_support import run, until
from prometheus_client.parser import text_string_to_metric_families

import fastha
from fastha.telemetry import history as history_module
from fastha.telemetry.dump_json import dump_json
from fastha.telemetry.dump_text import dump_data, dump_stats
from fastha.telemetry.files import Dump, dump_path, write_file
from fastha.telemetry.history import (
    History,
    HistoryMark,
    HistoryRecord,
    Newest,
    boot_id,
    line_of,
    merge,
    read_records,
)
from fastha.telemetry.log import (
    FileSink,
    JournalSink,
    Level,
    Log,
    Sink,
    StreamSink,
    SyslogSink,
    effective_priority,
    entering_state,
    group_syncing,
)
from fastha.telemetry.metrics_http import MetricsServer, write_textfile
from fastha.telemetry.prometheus import render
from fastha.telemetry.snapshot import (
    ChannelSnapshot,
    DaemonSnapshot,
    FileSnapshot,
    GroupSnapshot,
    Histogram,
    InstanceSnapshot,
    InstanceStats,
    Metric,
    ProcessSnapshot,
    Sample,
    ScriptSnapshot,
    StateCode,
    TrackedBy,
)

INSTANCE = InstanceSnapshot(
    iname="V1",
    vrid=1,
    ifname="eth0",
    last_transition=1795414176.155272,
    vipset=True,
    adver_int=0.5,
    master_adver_int=1.0,
    state=StateCode.MASTER,
    wantstate=StateCode.MASTER,
    notify_deleted=True,
    script_master=("/root/n.sh", "m"),
    script=("/root/n.sh", "x y", "z"),
    vips=("10.9.1.1/24 dev eth0 scope global label eth0:1 set",),
    evips=("2001:db8::1/64 dev eth0 scope global set",),
    vroutes=("prepend 192.0.2.0/24 via inet 10.9.0.9 proto 18",),
    track_ifp=(TrackedBy(name="lo"),),
    track_script=(TrackedBy(name="ok", weight=2, command="'/usr/bin/ok' 'a b'"),),
    track_file=(TrackedBy(name="tf", weight=1),),
    auth_type=1,
    has_auth_data=True,
    sync_group="G",
    transitions=(("MASTER", 2), ("BACKUP", 1)),
    stats=InstanceStats(advert_sent=2, become_master=1, auth_failure=3),
)
SNAPSHOT = DaemonSnapshot(
    started=1795414000.0,
    version="1.2",
    router_id="R",
    settings=(("Default interface", "eth0"),),
    instances=(
        INSTANCE,
        InstanceSnapshot(iname='odd "name"\\', vrid=2, ifname="eth1", state=StateCode.MAINT),
    ),
    groups=(GroupSnapshot(name="G", state=StateCode.MASTER, members=("V1",), script_master=("/n", "gm")),),
    scripts=(
        ScriptSnapshot(
            name="ok",
            command=("/usr/bin/ok", "a b"),
            rise=2,
            result=4,
            status="GOOD",
            runs=3,
            duration_buckets=((0.1, 2), (1.0, 3)),
            duration_sum=0.75,
            tracked_by=("V1, weight 2",),
        ),
        ScriptSnapshot(name="new"),
    ),
    files=(FileSnapshot(name="tf", path="/etc/tf", value=33, tracked_by=("V1, weight 1",)),),
    processes=(
        ProcessSnapshot(name="pr", process="nginx", parameters=("-g",), param_match="exact", min_processes=2),
    ),
    channels=(ChannelSnapshot(name="hooks", kind="notify scripts", delivered=7, dropped=1),),
    metrics=(
        Metric(
            name="engine_late_wakeups_total",
            help="Late\nwake-ups.",
            kind="counter",
            samples=(Sample((), 4), Sample((("by", "1ms"),), 2.5)),
        ),
    ),
    histograms=(Histogram(name="outage_seconds", help="Outages.", buckets=((0.5, 1),), sum=2.0, count=2),),
)


# -- dumps ---------------------------------------------------------------------------------------------------


def test_json_is_keepalived_s() -> None:
    """Keys, order and forms as printed by keepalived for the same instance."""
    text = dump_json(SNAPSHOT)
    assert text is not None and "\n" not in text
    first = json.loads(text)[0]
    assert list(first) == ["data", "stats"]
    assert list(first["data"])[:10] == [
        "iname",
        "dont_track_primary",
        "skip_check_adv_addr",
        "strict_mode",
        "vmac_ifname",
        "ifp_ifname",
        "master_priority",
        "last_transition",
        "garp_delay",
        "garp_refresh",
    ]
    assert list(first["data"])[-11:] == [
        "notify_deleted",
        "script_master",
        "script",
        "vips",
        "evips",
        "vroutes",
        "track_ifp",
        "track_script",
        "auth_type",
        "auth_data",
        "fastha_state",
    ]
    for piece in (
        '"last_transition":1795414176.155272,"garp_delay":5,',
        '"dont_track_primary":0,',
        '"vipset":true,"promote_secondaries":false,"adver_int":0.5,"master_adver_int":1,"accept":1,',
        "\"script\":\"'\\/root\\/n.sh' 'x y' 'z'\"",
        '"vips":["10.9.1.1\\/24 dev eth0 scope global label eth0:1 set"]',
        '"track_ifp":["lo"],"track_script":["\'\\/usr\\/bin\\/ok\' \'a b\'"]',
        '"auth_type":1,"auth_data":"********","fastha_state":"MASTER"}',
        '"state":2,"wantstate":2,"version":2,',
    ):
        assert piece in text, piece
    assert list(first["stats"]) == list(InstanceStats.__struct_fields__)
    assert first["stats"]["auth_failure"] == 3
    assert json.loads(text)[1]["data"]["state"] == 3  # MAINT is a FAULT to readers made for keepalived
    assert json.loads(text)[1]["data"]["iname"] == 'odd "name"\\'
    assert "secret" not in text


def test_json_version_2_and_nothing_without_instances() -> None:
    second = json.loads(dump_json(SNAPSHOT, 2) or "")
    assert list(second) == ["vrrp", "track_process"]
    process = second["track_process"][0]
    assert process["process"] == "nginx" and process["param_match"] == "exact"
    assert "max_processes" not in process and process["have_quorum"] is False
    assert dump_json(DaemonSnapshot()) is None


def test_stats_are_keepalived_s() -> None:
    lines = dump_stats(SNAPSHOT).splitlines()
    assert lines[:6] == [
        "VRRP Instance: V1",
        "  Advertisements:",
        "    Received: 0",
        "    Sent: 2",
        "  Became master: 1",
        "  Released master: 0",
    ]
    assert "    Failure: 3" in lines and "  Priority Zero:" in lines


def test_data_has_the_lines_that_exporters_look_for() -> None:
    """The expressions are those of a well-known exporter's parser for the text dump."""
    text = dump_data(SNAPSHOT)
    instances = re.findall(r"^ VRRP Instance = (.+)$", text, re.M)
    assert instances == ["V1", 'odd "name"\\']
    block = text.split(" VRRP Instance = ")[1]
    found = dict(re.findall(r"^\s+([A-Za-z_ ]+?) = (.*)$", block, re.M))
    assert found["State"] == "MASTER" and found["Wantstate"] == "MASTER"
    assert found["Interface"] == "eth0" and found["Virtual Router ID"] == "1"
    assert found["Gratuitous ARP delay"] == "5" and found["Sync group"] == "G"
    assert found["Last transition"].startswith("1795414176.155272 (")
    assert found["Master state transition script"] == "'/root/n.sh' 'm'"
    assert re.search(r"^   Virtual IP \(1\):\n     10\.9\.1\.1/24 dev eth0", text, re.M)
    assert "   Password = ********" in text
    assert "   Tracked scripts :\n     ok weight 2\n   Tracked files :\n     tf, weight 1\n" in text
    assert " VRRP Sync Group = G, MASTER\n" in text
    assert re.search(r"^ VRRP Script = ok\n(   .*\n)*?   Status = GOOD\n", text, re.M)
    assert "------< VRRP Track processes >------" in text
    assert "   State = FAULT" in text.split(" VRRP Instance = ")[2]


def test_where_dumps_go(tmp_path: Path) -> None:
    nowhere = {"TMPDIR": "/nonexistent"}
    assert str(dump_path(Dump.VRRP, nowhere)) == "/tmp/keepalived.data"
    assert str(dump_path(Dump.CHECK, {})) == "/tmp/keepalived_check.data"
    here = {"TMPDIR": str(tmp_path)}
    assert dump_path(Dump.STATS, here) == tmp_path / "keepalived.stats"
    assert dump_path(Dump.JSON, here, state_dump_file="/x/y.z") == tmp_path / "keepalived.json"
    assert str(dump_path(Dump.PARENT, here, state_dump_file="/run/state.txt")) == "/run/state_parent.txt"
    assert dump_path(Dump.VRRP, here, suffix=".ns_i") == tmp_path / "keepalived.ns_i.data"


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write_file(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "x").touch()
    with pytest.raises(OSError, match="directory"):
        write_file(tmp_path / "dir", b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dir", "out"]


# -- history -------------------------------------------------------------------------------------------------


def record(number: int, name: str = "VI_1", state: str = "MASTER") -> HistoryRecord:
    return HistoryRecord(
        wall_ns=number,
        kind="INSTANCE",
        name=name,
        state=state,
        cause="script chk failed twice: exit 1, 'refused'",
        timeline=(HistoryMark("decision", 0), HistoryMark("first GARP", 92)),
    )


def read(history: History, since_ns: int = 0) -> list[HistoryRecord]:
    return run(history.since(since_ns))


def test_history_survives_restarts_and_crashes(tmp_path: Path) -> None:
    path = tmp_path / "lib" / "history.jsonl"

    async def first() -> None:
        history = History(path, log=print)
        assert await history.since(0) == []
        for number in range(3):
            history.append(line_of(record(number)))
        await until(lambda: path.exists() and path.read_text().count("\n") == 3)
        history.append(line_of(record(3, "VI_2")))
        await history.close()

    run(first())
    with path.open("ab") as file:
        file.write(b'{"wall_ns": 4, "kind"')  # a crash in the middle of a line

    async def second() -> None:
        history = History(path, log=print)
        assert len(await history.since(0)) == 4
        history.append(line_of(record(5)))
        await history.close()

    run(second())
    found = read(History(path, log=print), since_ns=1)
    assert [r.wall_ns for r in found] == [1, 2, 3, 5]
    assert found[0].timeline[1] == HistoryMark("first GARP", 92) and found[0].boot == boot_id()
    other = [("b", record(4)), ("b", record(0))]
    assert [node for node, _ in merge((("a", r) for r in found), other)] == ["b", "a", "a", "a", "b", "a"]


def test_records_from_a_time_on_are_the_files_the_waiting_and_those_held(tmp_path: Path) -> None:
    """Each once, and in order, wherever they are at that moment."""
    lines = [line_of(record(number)) for number in range(10)]
    path = tmp_path / "h"
    path.write_bytes(b"".join(lines[:6]))

    async def body() -> None:
        history = History(path, log=print)
        history._unwritten.extend(lines[4:8])  # of which two were just written
        found = await history.since(2, lines[5:])
        assert [r.wall_ns for r in found] == list(range(2, 10))
        path.unlink()
        path.mkdir()  # nothing to be read there
        log: list[str] = []
        history._log = log.append
        assert [r.wall_ns for r in await history.since(0, lines[5:])] == list(range(4, 10))
        assert "cannot read the history" in log[0]

    run(body())


def test_history_takes_names_that_are_no_utf8(tmp_path: Path) -> None:
    history = History(tmp_path / "h", log=print)
    history.append(line_of(record(1, b"caf\xe9".decode("utf-8", "surrogateescape"))))
    assert [r.name for r in read(History(tmp_path / "h", log=print))] == ["caf\ufffd"]


def test_history_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "h"
    history = History(path, log=print, max_bytes=20_000, unwritten=50)
    for number in range(500):
        history.append(line_of(record(number)))
    assert path.stat().st_size <= 20_000 + 400
    found = read(History(path, log=print))
    assert 20 < len(found) <= 100
    assert found[-1].wall_ns == 499


@pytest.mark.parametrize("most", [1, 49, 50, 120])
def test_the_newest_lines_are_held(most: int) -> None:
    newest = Newest(most)
    lines = [line_of(record(number)) for number in range(331)]
    for count, line in enumerate(lines, 1):
        newest.append(line)
        assert newest.lines() == lines[max(0, count - most) : count]
    held = sum(map(len, (*newest._full, *newest._last)))
    assert most < 50 or held < 50 * len(lines[0]) + most * len(lines[0]) // 4


def test_a_long_history_never_is_in_memory_as_a_whole(tmp_path: Path) -> None:
    """What the daemon once had in its memory stays locked there."""
    path, size = tmp_path / "h", 4 << 20
    line = msgspec.json.encode(record(7)) + b"\n"
    path.write_bytes(line * (size // len(line) + 1))

    async def body() -> None:
        history = History(path, log=print, max_bytes=size)
        line = line_of(record(8))
        history.append(line)
        assert path.exists()
        await history.close()
        assert [r.wall_ns for r in await history.since(8, [line])] == [8]

    tracemalloc.start()
    try:
        run(body())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size // 2 - len(line) <= path.stat().st_size <= size // 2
    assert most < 2 << 20, f"{most >> 10} KiB"
    assert all(r.wall_ns in (7, 8) for r in read_records(path.read_bytes().splitlines()))


def test_a_full_disk_is_told_once_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "_RETRY_S", 0.05)
    path = tmp_path / "h"
    write, state = os.write, {"room": 25}

    def limited(fd: int, data: bytes) -> int:
        if state["room"] <= 0:
            raise OSError(28, "No space left on device")
        taken = write(fd, data[: state["room"]])
        state["room"] -= taken
        return taken

    async def body() -> None:
        log: list[str] = []
        history = History(path, log=log.append)
        monkeypatch.setattr(history_module.os, "write", limited)
        history.append(line_of(record(1)))
        history.append(line_of(record(2)))
        await until(lambda: log)
        assert "No space left" in log[0] and "make room" in log[0]
        assert path.read_bytes() == b""  # no half line stays
        await asyncio.sleep(0.2)
        assert len(log) == 1 and [r.wall_ns for r in await history.since(0)] == [1, 2]
        state["room"] = 1 << 20
        await until(lambda: path.read_bytes().count(b"\n") == 2)
        await until(lambda: len(log) == 2)
        assert "written again" in log[1]
        await history.close()

    run(body())


# -- metrics -------------------------------------------------------------------------------------------------


def test_metrics_parse_and_say_what_is() -> None:
    families = {family.name: family for family in text_string_to_metric_families(render(SNAPSHOT).decode())}
    states = {
        (s.labels["instance_name"], s.labels["state"]): s.value
        for s in families["fastha_instance_state"].samples
    }
    assert states["V1", "MASTER"] == 1 and states["V1", "BACKUP"] == 0
    assert states['odd "name"\\', "MAINT"] == 1 and states['odd "name"\\', "FAULT"] == 0
    assert sum(states.values()) == 2
    errors = {
        s.labels["error"]: s.value
        for s in families["fastha_instance_packet_errors"].samples
        if s.labels["instance_name"] == "V1"
    }
    assert errors["auth_failure"] == 3 and errors["ttl"] == 0
    assert [s.value for s in families["fastha_script_up"].samples] == [1]
    buckets = families["fastha_script_duration_seconds"].samples
    assert [(s.labels.get("le"), s.value) for s in buckets] == [
        ("0.1", 2),
        ("1.0", 3),
        ("+Inf", 3),
        (None, 0.75),
        (None, 3),
    ]
    assert families["fastha_outage_seconds"].type == "histogram"
    assert [s.value for s in families["fastha_engine_late_wakeups"].samples] == [4, 2.5]
    assert families["fastha_notify_dropped"].samples[0].value == 1
    assert families["fastha_instance_transitions"].samples[0].labels["to"] == "MASTER"
    assert render(DaemonSnapshot()).count(b"# TYPE") == 2


def test_ten_thousand_instances_are_written_quickly() -> None:
    import time

    many = DaemonSnapshot(
        instances=tuple(InstanceSnapshot(iname=f"V{i}", vrid=1, ifname="e") for i in range(1000))
    )
    began = time.monotonic()
    text = render(many)
    assert time.monotonic() - began < 5 and text.count(b"\n") > 30_000


def test_metrics_over_http_and_in_a_file(tmp_path: Path) -> None:
    async def ask(port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        data = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return data

    async def body() -> None:
        async def page() -> bytes:
            return render(SNAPSHOT)

        server = MetricsServer(page, print)
        await server.start("127.0.0.1", 0)
        good = await ask(server.port, b"GET /metrics?x HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, text = good.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK") and b"version=0.0.4" in head
        assert f"Content-Length: {len(text)}".encode() in head
        assert text == render(SNAPSHOT)
        assert (await ask(server.port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
        assert b" 404 " in await ask(server.port, b"GET /other HTTP/1.1\r\n\r\n")
        assert b" 405 " in await ask(server.port, b"POST /metrics HTTP/1.1\r\n\r\n")
        assert b" 400 " in await ask(server.port, b"nonsense\r\n\r\n")
        assert await ask(server.port, b"GET /" + b"x" * 20000 + b"\r\n\r\n") == b""
        await server.close()
        await write_textfile(tmp_path / "fastha.prom", await page())
        assert (tmp_path / "fastha.prom").read_bytes() == render(SNAPSHOT)
        assert (tmp_path / "fastha.prom").stat().st_mode & 0o777 == 0o644

    run(body())


DATA = Path(fastha.__file__).parent / "data"
DOCS = Path(__file__).parents[2] / "docs"


def test_alert_rules_and_dashboard_name_metrics_that_exist() -> None:
    """Every metric that they use is one that is written (or that the engine or LVS adds, listed in the
    docs)."""
    written = set(re.findall(r"^(fastha_\w+?)(?:\{| )", render(SNAPSHOT).decode(), re.M))
    documented = set(re.findall(r"`(fastha_\w+)`", (DOCS / "metrics.md").read_text()))
    rules = (DATA / "prometheus" / "alerts.yml").read_text()
    dashboard = (DATA / "grafana" / "fastha.json").read_text()
    used = set(re.findall(r"\bfastha_\w+", "\n".join(re.findall(r"expr: (.*)", rules))))
    panels = json.loads(dashboard)["panels"]
    for panel in panels:
        for target in panel.get("targets", ()):
            used |= set(re.findall(r"\bfastha_\w+", target["expr"]))
    assert len(panels) >= 8 and len(re.findall(r"- alert:", rules)) >= 8
    assert used and used <= documented
    base = {re.sub(r"_(bucket|sum|count)$", "", name) for name in written}
    assert base - {"fastha_engine_late_wakeups_total", "fastha_outage_seconds"} <= documented


# -- the log -------------------------------------------------------------------------------------------------


class Lines(Sink):
    """A sink that can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[Level, str]] = []
        self.works = True

    def try_write(self, level: Level, text: str) -> bool:
        if self.works:
            self.lines.append((level, text))
        return self.works


def test_keepalived_s_words() -> None:
    assert entering_state("VI_1", "MASTER") == "(VI_1) Entering MASTER STATE"
    assert group_syncing("G", "FAULT") == "VRRP_Group(G) Syncing instances to FAULT state"
    assert effective_priority("V", 100, 90) == "(V) Changing effective priority from 100 to 90"


def test_levels_and_limits_per_kind() -> None:
    now = [0.0]
    sink = Lines()
    log = Log([sink], burst=3, interval=30.0, clock=lambda: now[0])
    log.debug("not shown")
    for _ in range(10):
        log.warning("bad packet", kind="packet")
    log.notice("(V) Entering MASTER STATE")
    assert [text for _, text in sink.lines] == ["bad packet"] * 3 + ["(V) Entering MASTER STATE"]
    now[0] = 10.0
    log.warning("bad packet", kind="packet")
    assert sink.lines[-1] == (Level.WARNING, "bad packet (7 like this were not logged)")
    log.warning("bad packet", kind="packet")
    log.flush_suppressed()
    assert "1 messages of the kind 'packet'" in sink.lines[-1][1]
    assert log.suppressed == 8
    log.level = Level.ERROR
    assert not log.message(Level.WARNING, "x")
    log.close()


def test_a_sink_that_does_not_keep_up_loses_and_says_so() -> None:
    sink = Lines()
    log = Log([sink])
    sink.works = False
    log.info("a")
    log.info("b")
    assert log.lost == 2
    sink.works = True
    log.info("c")
    assert [text for _, text in sink.lines] == ["2 log lines were lost: this log does not keep up", "c"]
    assert log.lost == 0


def test_a_full_pipe_does_not_block() -> None:
    read_end, write_end = os.pipe()
    sink = StreamSink(write_end, stamp=False, level_prefix=True)
    for _ in range(5000):
        sink.write(Level.INFO, "x" * 200)
    assert sink.lost > 0
    assert os.read(read_end, 1 << 20).startswith(b"<6>xxx")
    sink.write(Level.INFO, "y")
    assert sink.lost == 0
    os.close(read_end)
    os.close(write_end)


def test_syslog_journal_and_file(tmp_path: Path) -> None:
    for name, make in (("s", SyslogSink), ("j", JournalSink)):
        path = str(tmp_path / name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            sink = make(path=path, ident="Keepalived_vrrp")
            sink.write(Level.WARNING, "nobody listens")
            daemon.bind(path)
            sink.write(Level.NOTICE, "(V) Entering MASTER STATE")
            first, second = daemon.recv(4096), daemon.recv(4096)
            assert b"1 log lines were lost" in first and b"(V) Entering MASTER STATE" in second
            assert b"Keepalived_vrrp" in second
            if name == "s":
                assert re.match(rb"<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d Keepalived_vrrp\[\d+\]: ", second)
            else:
                assert b"\nPRIORITY=5\n" in second
            sink.close()
    with pytest.raises(KeyError):
        SyslogSink(facility="nonsense")
    file = FileSink(tmp_path / "log")
    file.write(Level.INFO, "hello")
    file.close()
    assert (tmp_path / "log").read_text().endswith(": hello\n")
