"""What must hold for every input: counters, arithmetic, numbers, and everything that reads foreign bytes."""

from __future__ import annotations

import ctypes
import json
import struct
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fastha._core import inotify
from fastha.notify.events import InstanceEvent, Kind, ServerEvent, ServerKind, State
from fastha.notify.fifo import line_of
from fastha.notify.journal import encode
from fastha.notify.mail import subject_of
from fastha.notify.smtp import _stuffed
from fastha.scripts.capture import last_line
from fastha.telemetry.dump_json import dump_json
from fastha.telemetry.dump_text import dump_data
from fastha.telemetry.history import HistoryRecord, read_records
from fastha.telemetry.prometheus import render
from fastha.telemetry.recorder import Distribution
from fastha.telemetry.snapshot import (
    DaemonSnapshot,
    InstanceSnapshot,
    InstanceStats,
    ScriptSnapshot,
    StateCode,
)
from fastha.tracking import procevents
from fastha.tracking.files import INT32_MAX, INT32_MIN, parse_number
from fastha.tracking.procinfo import matches
from fastha.tracking.risefall import RiseFall
from fastha.tracking.spec import ParamMatch, ProcessSpec
from fastha.tracking.weights import (
    Contribution,
    effective_priority,
    file_contribution,
    switch_contribution,
)

LIBC = ctypes.CDLL(None)
LIBC.strtol.restype = ctypes.c_long
WEIGHTS = st.integers(-254, 254)


@given(st.integers(1, 6), st.integers(1, 6), st.lists(st.booleans(), min_size=1))
def test_up_needs_rise_successes_and_down_fall_failures(rise: int, fall: int, results: list[bool]) -> None:
    """Against the rule in words: the last run of equal results decides once it is long enough."""
    counter = RiseFall(rise, fall)
    up = results[0]
    streak = 0
    for number, result in enumerate(results):
        changed = counter.record(result)
        before = up if number else None
        if number == 0:
            up = result
        else:
            streak = streak + 1 if result != up else 0
            if streak >= (rise if result else fall):
                up, streak = result, 0
        assert counter.up is up
        assert changed == (before is not up)
        assert counter.result is not None and 0 <= counter.result <= rise + fall - 1
        assert (counter.result >= rise) == up


@given(st.integers(1, 255), st.lists(st.builds(Contribution, st.integers(-300, 300), st.booleans())))
def test_effective_priorities_stay_in_range(base: int, contributions: list[Contribution]) -> None:
    effective = effective_priority(base, contributions)
    if base == 255:
        assert effective == 255
    else:
        assert 1 <= effective <= 254
        total = base + sum(c.delta for c in contributions)
        assert effective == total or effective in (1, 254)


@given(st.booleans(), WEIGHTS, st.booleans())
def test_switches(up: bool, weight: int, reverse: bool) -> None:
    it = switch_contribution(up, weight, reverse)
    if weight == 0:
        assert it.fault == (up == reverse) and it.delta == 0
    else:
        assert not it.fault
        # exactly one of up and down adds something, by the sign of the weight; reverse turns its sign
        assert bool(it.delta) == (up == (weight > 0))
        assert abs(it.delta) in (0, min(253, abs(weight)))
        assert it.delta == -switch_contribution(up, weight, not reverse).delta


@given(st.integers(INT32_MIN, INT32_MAX), WEIGHTS, st.booleans())
def test_files(value: int, weight: int, reverse: bool) -> None:
    it = file_contribution(value, weight, reverse)
    product = value * weight * (-1 if reverse else 1)
    if weight == 0:
        assert it.fault == ((value == 0) if reverse else (value != 0))
    else:
        assert it.fault == (product <= -254)
        assert it.delta == (0 if it.fault else min(253, max(-253, product)))


@given(st.binary(max_size=40) | st.from_regex(rb"\A[ \t]*[+-]?(0[xX]?)?[0-9a-fA-F]{0,12}", fullmatch=False))
@example(b"0x")
@example(b"0xg")
@example(b"-0x80000000")
@example(b"08")
@example(b"+ 4")
def test_numbers_are_read_as_c_does(text: bytes) -> None:
    text = text.split(b"\0")[0]
    wanted = LIBC.strtol(ctypes.c_char_p(text), None, 0)
    assert parse_number(text) == (wanted if INT32_MIN <= wanted <= INT32_MAX else None)


@given(st.binary(max_size=200))
def test_foreign_bytes_never_break_a_reader(data: bytes) -> None:
    procevents.parse(data)
    inotify.parse(data)
    assert len(last_line(data)) <= 200
    assert all(c.isprintable() for c in last_line(data))
    list(read_records(data.splitlines()))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**31), st.binary(max_size=20)), max_size=5))
def test_inotify_events(events: list[tuple[int, int, bytes]]) -> None:
    events = [(wd, mask, name.split(b"\0")[0]) for wd, mask, name in events]
    data = b""
    for wd, mask, name in events:
        padded = name + b"\0" * (16 - len(name) % 16)
        data += struct.pack("iIII", wd, mask, 7, len(padded)) + padded
    assert inotify.parse(data) == events
    assert inotify.parse(data + b"short") == events


PARAMS = st.lists(st.sampled_from(["-a", "-b", "-ab", ""]), max_size=3).map(tuple)


@given(PARAMS, PARAMS, st.sampled_from(list(ParamMatch)), st.booleans())
def test_parameters(
    wanted: tuple[str, ...], params: tuple[str, ...], how: ParamMatch, full_command: bool
) -> None:
    spec = ProcessSpec(name="p", command="c", params=wanted, param_match=how, full_command=full_command)
    found = matches(spec, "c", ("c", *params))
    if params == wanted:
        assert found  # what is written exactly always is meant
    if not spec.wants_cmdline:
        assert found
    elif how is ParamMatch.PARTIAL:
        assert found == (params[: len(wanted)] == wanted)
    elif how is ParamMatch.EXACT:
        assert found == (params == wanted)
    assert not matches(spec, "other", ("other", *params))


TEXT = st.text(max_size=30)


@given(TEXT, st.sampled_from(State), st.integers(0, 255), st.sampled_from(Kind), TEXT)
def test_events_become_one_line_or_one_header(
    name: str, state: State, priority: int, kind: Kind, cause: str
) -> None:
    event = InstanceEvent(
        kind=kind, name=name, state=state, priority=priority, wall_ns=0, monotonic_ns=0, cause=cause
    )
    line = line_of(event)
    assert line.startswith(kind.value.encode() + b' "') and line.endswith(b"\n")
    shown = 0 if kind is Kind.GROUP else priority
    assert line.decode().rstrip("\n").rsplit(" ", 1)[1] == str(shown)
    subject = subject_of(event, "R")
    assert subject is None or state.is_transition


@given(st.booleans(), st.booleans())
def test_lines_of_servers_end_with_a_newline(up: bool, real: bool) -> None:
    event = ServerEvent(
        kind=ServerKind.REAL_SERVER if real else ServerKind.VIRTUAL_SERVER,
        virtual_server="FWM 5",
        real_server="[192.0.2.1]:tcp:80" if real else None,
        up=up,
        wall_ns=0,
        monotonic_ns=0,
    )
    assert line_of(event).endswith(b" UP\n" if up else b" DOWN\n")


@given(st.lists(st.tuples(st.from_regex(r"\A[A-Z]{1,8}\Z"), TEXT), max_size=5))
def test_journal_fields_can_be_read_back(fields: list[tuple[str, str]]) -> None:
    data = encode(fields)
    found = []
    while data:
        head, _, rest = data.partition(b"\n")
        if b"=" in head:
            name, _, value = head.partition(b"=")
            data = rest
        else:
            name, (size,) = head, struct.unpack("<Q", rest[:8])
            value, data = rest[8 : 8 + size], rest[8 + size + 1 :]
        found.append((name.decode(), value.decode("utf-8")))
    assert found == [(name, value.encode("utf-8", "replace").decode()) for name, value in fields]


@given(st.lists(st.text(alphabet=".a\r\n", max_size=6), max_size=6))
def test_no_line_of_a_mail_ends_it(lines: list[str]) -> None:
    sent = _stuffed("\r\n".join(lines).encode())
    assert b"\r\n.\r\n" not in b"\r\n" + sent and sent.endswith(b"\r\n")


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
STATS = st.builds(InstanceStats, advert_rcvd=st.integers(0, 2**40), auth_failure=st.integers(0, 9))
INSTANCES = st.builds(
    InstanceSnapshot,
    iname=NAMES,
    vrid=st.integers(1, 255),
    ifname=NAMES,
    state=st.sampled_from(StateCode),
    adver_int=st.floats(0.01, 40.95),
    vips=st.lists(NAMES, max_size=3).map(tuple),
    script=st.lists(NAMES, max_size=3).map(tuple),
    stats=STATS,
    last_transition=st.floats(0, 2e9),
)


@settings(max_examples=50)
@given(st.lists(INSTANCES, max_size=4, unique_by=lambda i: i.iname), st.lists(NAMES, max_size=3, unique=True))
def test_every_snapshot_can_be_dumped_and_read_back(
    instances: list[InstanceSnapshot], scripts: list[str]
) -> None:
    snapshot = DaemonSnapshot(
        instances=tuple(instances), scripts=tuple(ScriptSnapshot(name=name, result=1) for name in scripts)
    )
    for version in (1, 2):
        text = dump_json(snapshot, version)
        if not instances:
            assert text is None
            continue
        assert text is not None
        parsed = json.loads(text)
        rows = parsed if version == 1 else parsed["vrrp"]
        assert [row["data"]["iname"] for row in rows] == [i.iname for i in instances]
        assert [row["stats"]["advert_rcvd"] for row in rows] == [i.stats.advert_rcvd for i in instances]
        assert [row["data"].get("vips", []) for row in rows] == [list(i.vips) for i in instances]
    assert dump_data(snapshot).count(" VRRP Instance = ") >= len(instances)
    families = {family.name: family for family in text_string_to_metric_families(render(snapshot).decode())}
    if instances:
        received = families["fastha_instance_adverts_received"].samples
        assert {s.labels["instance_name"]: s.value for s in received} == {
            i.iname: i.stats.advert_rcvd for i in instances
        }
    if scripts:
        assert {s.labels["script"] for s in families["fastha_script_up"].samples} == set(scripts)


@given(st.lists(st.floats(0, 100)))
def test_distributions(values: list[float]) -> None:
    distribution = Distribution((0.1, 1.0, 10.0))
    for value in values:
        distribution.observe(value)
    for bound, count in distribution.cumulative():
        assert count == sum(value <= bound for value in values)
    assert distribution.count == len(values)


@given(st.lists(st.tuples(st.integers(0, 2**62), TEXT, TEXT), max_size=5), st.binary(max_size=30))
def test_history_lines(rows: list[tuple[int, str, str]], junk: bytes) -> None:
    import msgspec

    records = [
        HistoryRecord(wall_ns=wall, kind="INSTANCE", name=name, state="MASTER", cause=cause)
        for wall, name, cause in rows
    ]
    junk = junk.replace(b"\n", b"").replace(b"\r", b"")
    data = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    found = list(read_records((b"{" + junk + b"\n" + data).split(b"\n")))
    assert found == records


def test_the_package_ships_its_data() -> None:
    import fastha

    folder = Path(fastha.__file__).parent / "data"
    assert (folder / "prometheus" / "alerts.yml").is_file() and (folder / "grafana" / "fastha.json").is_file()
