"""A new configuration against a running daemon: what is foretold is what happens, and a trial goes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_ops_maintenance import ask, becomes, state
from vrrp_bed import Bed, bed, needs_root

from fastha.lab import FasthaDaemon, faults, wait_for
from fastha.lab.confs import block, config, instance

pytestmark = [pytest.mark.wire, needs_root]
VIP = {"ONE": "198.51.100.91", "TWO": "198.51.100.92", "SIX": "198.51.100.96"}


def text(
    one: int = 200,
    two: int = 200,
    *,
    more: tuple[str, ...] = (),
    lines: tuple[str, ...] = (),
    extra: tuple[str, ...] = (),
    only: tuple[str, ...] = ("ONE", "TWO"),
    advert: float = 0.1,
) -> str:
    """ONE and TWO; `more`: addresses of ONE, `lines`: of its block, `extra`: blocks."""
    priority = {"ONE": one, "TWO": two, "SIX": 100}
    blocks = [
        instance(
            name,
            vrid=90 + int(VIP[name][-1]),
            priority=priority[name],
            addresses=[f"{VIP[name]}/24", *(more if name == "ONE" else ())],
            advert=advert,
            lines=lines if name == "ONE" else (),
        )
        for name in only
    ]
    return config(*extra, *blocks)


class Desk:
    """The operator of router 1: plans and applies files."""

    def __init__(self, made: Bed, standing: str, other: str) -> None:
        one, two = made.daemon(1, "fastha", standing), made.daemon(2, "fastha", other)
        assert isinstance(one, FasthaDaemon) and isinstance(two, FasthaDaemon)
        self.made, self.one, self.two = made, one, two
        self.file = one.directory / "new.conf"
        made.wait_master(1, *(VIP[n] for n in ("ONE", "TWO")))
        for name in ("ONE", "TWO"):
            becomes(one, "MASTER", name)
            becomes(two, "BACKUP", name)

    def plan(self, new: str, code: int) -> dict[str, dict[str, Any]]:
        """The effects by name."""
        self.file.write_text(new)
        said = json.loads(ask(self.one, "plan", str(self.file), "--json", code=code))
        return {e["name"] or e["kind"]: e for e in said["effects"]}

    def apply(self, new: str, *options: str, code: int = 0) -> str:
        self.file.write_text(new)
        return ask(self.one, "apply", str(self.file), *options, code=code)

    def last(self) -> str:
        return str(self.one.show("status")["last_trial"])


def test_what_is_foretold_is_what_happens() -> None:
    with bed("plan") as made:
        desk = Desk(made, text(), text(100, 100))
        one = desk.one
        assert desk.plan(text(), 0) == {}
        assert ask(one, "reload", "--check", code=0).strip() == "nothing changes"
        flag = one.directory / "flag"
        flag.write_text("1")
        tracked = block("track_file flag", [f'file "{flag}"', "weight 0"])
        cases: list[tuple[str, int, dict[str, tuple[str, str]], dict[str, str]]] = [
            # the file, the exit code, (level, words) by name, states afterwards
            (
                text(210, more=("198.51.100.97/24",)),
                2,
                {"ONE": ("keeps", "keeps its role")},
                {"ONE": "MASTER"},
            ),
            (text(150), 3, {"ONE": ("moves", "for less")}, {"ONE": "MASTER"}),
            (text(50), 3, {"ONE": ("risk", "may change its role")}, {"ONE": "BACKUP"}),
            (text(250), 3, {"ONE": ("moves", "changes its role (BACKUP)")}, {"ONE": "MASTER"}),
            (
                text(250, lines=("track_file {\n    flag\n}",), extra=(tracked,)),
                3,
                {"ONE": ("moves", "goes to FAULT")},
                {"ONE": "FAULT"},
            ),
            (
                text(250, lines=("track_script {\n    good\n}",), extra=(_script("good", "/bin/true"),)),
                2,
                {"ONE": ("keeps", "keeps its role")},
                {"ONE": "MASTER"},
            ),
            (
                text(250, lines=("track_script {\n    bad\n}",), extra=(_script("bad", "/bin/false"),)),
                3,
                {"ONE": ("moves", "goes to FAULT")},
                {"ONE": "FAULT"},
            ),
            (
                text(250, only=("ONE", "TWO", "SIX")),
                2,
                {"SIX": ("keeps", "begins as BACKUP")},
                {"SIX": "MASTER"},
            ),
            (text(250, only=("ONE", "TWO")), 3, {"SIX": ("moves", "hands over")}, {"ONE": "MASTER"}),
            (
                text(250, lines=("track_interface {\n    nosuch0\n}",)),
                3,
                {"ONE": ("moves", "goes to FAULT")},
                {"ONE": "FAULT"},
            ),
        ]
        for new, code, wanted, states in cases:
            told = desk.plan(new, code)
            for name, (level, words) in wanted.items():
                assert told[name]["level"] == level, told
                assert words in told[name]["effect"], told
            assert "TWO" not in told
            reloads = one.show("status")["reloads"]
            one.reload(new)
            wait_for("the reload", lambda n=reloads: one.show("status")["reloads"] == n + 1)
            for name, wanted_state in states.items():
                becomes(one, wanted_state, name)
        assert state(one, "TWO") == "MASTER"
        assert "has errors" in ask(one, "plan", str(_bad(one.directory)), code=1)


def _script(name: str, program: str) -> str:
    return block(f"vrrp_script {name}", [f'script "{program}"', "interval 1", "user root"])


def _bad(directory: Path) -> Path:
    path = directory / "bad.conf"
    path.write_text("vrrp_instance X {\n    virtual_router_id 999\n    interface eth0\n}\n")
    return path


def test_no_failover_refuses_and_a_confirmed_file_takes_the_place_of_the_old() -> None:
    with bed("apply") as made:
        desk = Desk(made, text(), text(100, 100))
        one, standing = desk.one, desk.one.config_file
        old = standing.read_text()
        said = desk.apply(text(50), "--no-failover", code=1)
        assert "refused" in said and "priority falls from 200 to 50" in said
        assert ask(one, "apply", str(standing), code=1).count("what a restart reads") == 1
        new = text(220)
        assert "on trial" in desk.apply(new, "--no-failover", "--confirm", "1m")
        for words in (("reload",), ("drain", "ONE"), ("apply", str(desk.file))):
            assert "is on trial" in ask(one, *words, code=1)
        assert standing.read_text() == old
        ask(one, "confirm")
        assert standing.read_text() == new
        assert standing.with_name(standing.name + ".before").read_text() == old
        assert desk.plan(new, 0) == {}
        # applied without a trial
        desk.apply(text(230), "--no-failover")
        assert standing.read_text() == text(230)
        # what runs and what is on disk differ: nothing to go back to
        standing.write_text(text(190))
        assert "says something else" in desk.apply(text(240), "--confirm", "9s", code=1)
        assert one.show("instance", "ONE")["base_priority"] == 230
        assert "nothing is on trial" in ask(one, "confirm", code=1)


def test_a_trial_goes_back_in_time_on_request_and_over_a_restart() -> None:
    with bed("trial") as made:
        desk = Desk(made, text(), text(100, 100))
        one = desk.one

        def priority() -> int:
            return int(one.show("instance", "ONE")["base_priority"])

        desk.apply(text(220), "--confirm", "1s")
        assert priority() == 220
        wait_for("it goes back", lambda: priority() == 200)
        assert desk.last().endswith("was taken back: not confirmed in time")
        desk.apply(text(220), "--confirm", "1m")
        assert "taken back" in ask(one, "confirm", "--revert")
        assert priority() == 200
        for end in (one.kill, one.terminate):
            desk.apply(text(220), "--confirm", "1m")
            assert priority() == 220
            end()
            one.start()
            assert priority() == 200
            assert "was on trial when the daemon ended" in one.log()
        assert not (one.run_directory / "trial.json").exists()


def test_a_trial_goes_back_when_something_stops_answering() -> None:
    with bed("goback") as made:
        desk = Desk(made, text(), text(100, 100))
        one = desk.one

        def goes_back(why: str) -> None:
            wait_for("it goes back", lambda: why in desk.last(), timeout=20)
            assert int(one.show("instance", "ONE")["base_priority"]) == 200
            made.wait_master(1, *(VIP[n] for n in ("ONE", "TWO")))
            becomes(one, "MASTER", "ONE")

        # the other router heard us: it is known from the time when it was master
        ask(one, "drain", "ONE")
        made.wait_master(2, VIP["ONE"])
        ask(one, "undrain", "ONE")
        made.wait_master(1, VIP["ONE"])
        becomes(one, "MASTER", "ONE")
        # the peers do not understand the new one: two masters
        desk.apply(text().replace("version 3", "version 2", 1), "--confirm", "1m")
        goes_back("adverts of another router are refused (version)")
        assert "somebody removed" not in one.log()  # another lifetime is set without taking the address away
        # a role is lost that nobody foretold
        flag = one.directory / "flag"
        flag.write_text("0")
        tracked = block("track_file flag", [f'file "{flag}"', "weight 0"])
        new = text(lines=("track_file {\n    flag\n}",), extra=(tracked,))
        desk.apply(new, "--no-failover", "--confirm", "1m")
        flag.write_text("1")
        goes_back("ONE is in FAULT")
        # the other machine is gone
        desk.apply(text(220), "--no-failover", "--confirm", "1m")
        faults.link_down(made.routers[1])
        goes_back("198.51.100.2 no longer answers")
