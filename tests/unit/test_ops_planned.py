"""Planned change without a network: the file of wishes, what other routers say, what happens to servers, a
trial."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fastha.config import load
from fastha.config.diff import compare
from fastha.config.model import Config
from fastha.daemon import foretell, trial, trials
from fastha.daemon.foretell import Level
from fastha.daemon.successor import outlook
from fastha.daemon.wishes import MAX_OCTETS, Wishes, read_wishes, write_lasting
from fastha.scripts.programs import Resolver
from fastha.tracking.ahead import ahead, look, new_things
from fastha.tracking.plan import tracking_plan
from fastha.vrrp.running import Running


def read(text: str) -> Config:
    result = load("x.conf", text=text)
    assert result.config is not None, [d.render() for d in result.diagnostics]
    return result.config


# ---------------------------------------------------------------- the file


def test_wishes_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "maintenance.json"
    wishes = Wishes(node=True, groups={"G": 1.0}, instances={"VI": 2.0}, held={"W": 3.0}, since=4.0)
    write_lasting(path, msgspec.json.encode(wishes))
    assert read_wishes(path) == (wishes, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"node": "yes"}', b'{"v": 2}', b"\xff\xfe", b"null", b" " * (MAX_OCTETS + 1)],
)
def test_what_cannot_be_read_is_said_and_wishes_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    wishes, problem = read_wishes(path)
    assert wishes == Wishes() and problem


def test_no_file_is_no_problem_and_a_directory_is(tmp_path: Path) -> None:
    assert read_wishes(tmp_path / "none") == (Wishes(), "")
    assert read_wishes(tmp_path)[1]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_lasting(path, b"old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_lasting(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_a_link_in_the_place_of_the_new_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".f.new").symlink_to(victim)
    with pytest.raises(OSError):
        write_lasting(tmp_path / "f", b"new")
    assert victim.read_text() == "precious"


# ---------------------------------------------------------------- what other routers say


@pytest.mark.parametrize(
    ("rows", "verdict", "words"),
    [
        (
            [{"vrid": 51, "family": "IPv4", "state": "BACKUP", "priority": 90}],
            "there",
            "BACKUP with priority 90",
        ),
        (
            [{"vrid": 51, "family": "IPv4", "state": "FAULT", "faults": "its interface is down"}],
            "absent",
            "down",
        ),
        (
            [{"vrid": 51, "family": "IPv4", "state": "MAINT", "faults": "", "cause": "x"}],
            "absent",
            "MAINT: x",
        ),
        ([{"vrid": 51, "family": "IPv6", "state": "BACKUP"}], "absent", "no virtual router 51"),
        ([], "absent", "no virtual router 51"),
        ({"not": "rows"}, "absent", "no virtual router"),
        (["junk", None, 3], "absent", "no virtual router"),
    ],
)
def test_the_other_routers_own_word(rows: Any, verdict: str, words: str) -> None:
    conf = read(
        "vrrp_instance VI {\n interface lo\n virtual_router_id 51\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n"
    ).instances[0]
    running = Running(0, conf)
    running.state = "MASTER"
    engine: Any = SimpleNamespace()  # not asked
    table: Any = SimpleNamespace()
    found = asyncio.run(outlook(running, engine, table, [rows]))
    assert found.verdict == verdict and words in found.why
    there = [{"vrid": 51, "family": "IPv4", "state": "BACKUP", "priority": 80}]
    assert asyncio.run(outlook(running, engine, table, [rows, there])).verdict == "there"


# ---------------------------------------------------------------- servers


def balance(*servers: str, weight: int = 1, port: int = 80) -> str:
    inner = "".join(
        f" real_server {s} 80 {{\n weight {weight}\n TCP_CHECK {{\n connect_port {port}\n }}\n }}\n"
        for s in servers
    )
    return f"virtual_server 192.0.2.1 80 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n{inner}}}\n"


@pytest.mark.parametrize(
    ("old", "new", "level", "words"),
    [
        (balance("10.0.0.1"), balance("10.0.0.1"), None, ""),
        (balance("10.0.0.1"), balance(*(f"10.0.0.{n}" for n in range(1, 5))), Level.KEEPS, "3 servers added"),
        (balance("10.0.0.1", "10.0.0.2"), balance("10.0.0.1"), Level.KEEPS, "1 server removed"),
        (balance("10.0.0.1"), balance("10.0.0.1", weight=5), Level.KEEPS, "weight of 1 server changed"),
        (balance("10.0.0.1"), balance("10.0.0.1", port=81), Level.KEEPS, "check of 1 server changed"),
        (balance("10.0.0.1"), balance("10.0.0.9"), Level.MOVES, "1 server added, 1 server removed"),
        (balance("10.0.0.1"), "", Level.MOVES, "leaves IPVS"),
        ("", balance("10.0.0.1"), Level.KEEPS, "new, with 1 server"),
    ],
)
def test_what_becomes_of_virtual_servers(old: str, new: str, level: Level | None, words: str) -> None:
    before, after = read(old), read(new)
    changes = {c.name: c for c in compare(before, after)}
    effects = [
        foretell._server(name, was, now, changes.get(name))
        for name, was, now in foretell._servers(before, after)
    ]
    assert len(effects) == 1
    if level is None:
        assert effects == [None]
        return
    assert effects[0] is not None
    assert effects[0].level is level and words in effects[0].effect


# ---------------------------------------------------------------- tracking that is not applied yet


def test_what_tracking_would_say(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.write_text("3")
    config = read(
        f"track_file flag {{\n file {flag}\n weight 2\n}}\n"
        "vrrp_script old {\n script /bin/true\n interval 1\n weight 10\n user root\n}\n"
        "vrrp_script new {\n script /bin/true\n interval 1\n user root\n}\n"
        "vrrp_track_process gone {\n process no-such-process-at-all\n weight -20\n}\n"
        "vrrp_instance VI {\n interface lo\n virtual_router_id 51\n priority 100\n"
        " virtual_ipaddress {\n 192.0.2.1\n }\n track_file {\n flag\n }\n track_script {\n old\n new\n }\n"
        " track_process {\n gone\n }\n track_interface {\n dead0 weight -5\n }\n}\n"
    )
    plan, _ = tracking_plan(config, Resolver())
    found = ahead(plan, None, look(*new_things(plan, None)), lambda name: name != "dead0")["VI"]
    # 100, the file's 3 x 2, -20 without the process, -5 without the link; the script's 10 is not known
    assert (found.low, found.high) == (81, 91)
    assert found.open == ("script old", "script new") and found.may_fault
    assert not found.faults


# ---------------------------------------------------------------- a trial


def test_a_trial_misses_sessions_and_quorums_that_were_well(tmp_path: Path) -> None:
    session = SimpleNamespace(name="B1", state="up")
    other = SimpleNamespace(name="B2", state="down")
    virtual = SimpleNamespace(name="[192.0.2.1]:tcp:80", quorum_up=True)
    daemon: Any = SimpleNamespace(
        manager=SimpleNamespace(instances={}),
        machine=SimpleNamespace(table=None),
        sessions=SimpleNamespace(manager=SimpleNamespace(sessions={1: session, 2: other})),
        balance=SimpleNamespace(manager=SimpleNamespace(virtual=[virtual])),
    )
    told = foretell.Foretold(level=Level.KEEPS, unchanged=0, effects=())

    async def body() -> None:
        tried = trial.Trial(daemon, tmp_path / "new", "", Config(), 60.0)
        await tried.take_stock(told)
        assert await tried.wrong() == ""
        session.state, virtual.quorum_up = "down", False
        assert await tried.wrong() == ""  # for a moment it may be
        await asyncio.sleep(trial._GRACE_S + 0.05)
        said = await tried.wrong()
        assert "BFD session B1 is no longer up" in said
        assert "virtual server [192.0.2.1]:tcp:80 has lost its quorum" in said
        assert "B2" not in said

    asyncio.run(body())


def test_a_confirmed_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    real = tmp_path / "real.conf"
    real.write_text("old")
    real.chmod(0o640)
    standing = tmp_path / "fastha.conf"
    standing.symlink_to(real)
    trial.install(standing, "new \udcff")
    assert standing.is_symlink() and real.read_bytes() == b"new \xff"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert (tmp_path / "real.conf.before").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fastha.conf", "real.conf", "real.conf.before"]


def test_a_trial_ends_in_time_even_if_it_cannot_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[tuple[Config, str]] = []
    said: list[str] = []

    async def change(config: Config, why: str) -> None:
        changed.append((config, why))

    old = Config()

    async def body() -> None:
        daemon: Any = SimpleNamespace(
            state_directory=tmp_path,
            changing=asyncio.Lock(),
            change=change,
            note=lambda note: said.append(note.text),
            log=lambda _level, text, **_: said.append(text),
            options=SimpleNamespace(config=tmp_path / "fastha.conf"),
        )
        several = trials.Trials(daemon)
        tried = trial.Trial(daemon, tmp_path / "new", "", old, 0.3)
        monkeypatch.setattr(trials, "_LOOK_S", 0.05)

        async def broken() -> str:
            raise RuntimeError("no way to look")

        monkeypatch.setattr(tried, "wrong", broken)
        several.trial = tried
        await several._watch(tried)
        assert several.trial is None and several.last.endswith("not confirmed in time")

    asyncio.run(body())
    assert changed == [(old, "back to what ran before")]
    assert any("no way to look" in text for text in said)


def test_a_damaged_note_of_a_trial_is_no_reason_not_to_start(tmp_path: Path) -> None:
    said: list[str] = []
    daemon: Any = SimpleNamespace(
        state_directory=tmp_path,
        log=lambda _level, text, **_: said.append(text),
        options=SimpleNamespace(config=tmp_path / "fastha.conf"),
    )
    note = tmp_path / trials.FILE
    note.write_bytes(b"{ never")
    assert trials.Trials(daemon).last == "" and not note.exists()
    note.write_bytes(msgspec.json.encode(trials.Marker(file="/x/new", began=1.0, confirm_s=60.0)))
    assert "/x/new was on trial" in trials.Trials(daemon).last and not note.exists()
    note.mkdir()
    trials.Trials(daemon)
