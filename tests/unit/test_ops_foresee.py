"""Who would be master: `fastha check --explain`, and the settings that can never work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fastha.cli.main import cli
from fastha.config import load
from fastha.config.model import Config
from fastha.scripts.programs import Resolver
from fastha.tracking.advice import advice
from fastha.tracking.ahead import ahead
from fastha.tracking.foresee import foresee
from fastha.tracking.plan import tracking_plan
from fastha.tracking.spec import Kind


def router(priority: int = 100, extra: str = "", *, weight: str = "", script: str = "") -> Config:
    text = f"""
vrrp_script chk {{
    script "/no/such/script"
    {f"weight {weight}" if weight else ""}
    {script}
}}
vrrp_instance VI {{
    interface eth0
    virtual_router_id 51
    priority {priority}
    virtual_ipaddress {{
        192.0.2.1/24
    }}
    track_script {{
        chk
    }}
    {extra}
}}
"""
    result = load("-", text=text)
    assert result.config is not None, [d.render() for d in result.diagnostics]
    return result.config


def codes(*routers: Config) -> set[str]:
    return {d.code for d in advice([(f"r{n}", c) for n, c in enumerate(routers, 1)])}


def after(what: str, *routers: Config) -> tuple[int | None, str | None]:
    (virtual,) = foresee([(f"r{n}", c) for n, c in enumerate(routers, 1)])
    (outcome,) = [o for o in virtual.outcomes if what in o.what]
    return outcome.priority, outcome.master


def test_a_weight_larger_than_the_gap_moves_the_address() -> None:
    assert after("chk", router(101, weight="-20"), router(100)) == (81, "r2")
    assert "FH0301" not in codes(router(101, weight="-20"), router(100))


def test_a_weight_smaller_than_the_gap_never_does() -> None:
    pair = router(103, weight="-2"), router(100)
    assert after("chk", *pair) == (101, "r1")
    found = [d for d in advice([("r1", pair[0]), ("r2", pair[1])]) if d.code == "FH0301"]
    assert len(found) == 1
    assert found[0].severity == "error"
    assert "at least 4" in found[0].suggestion


def test_the_advised_weight_is_the_least_that_works() -> None:
    assert after("chk", router(103, weight="-3"), router(100))[1] == "r1"
    assert after("chk", router(103, weight="-4"), router(100))[1] == "r2"


def test_a_positive_weight_is_lost_on_failure() -> None:
    assert after("chk", router(99, weight="5"), router(95, weight="5")) == (99, "r2")
    assert {"FH0309"} <= codes(router(99, weight="5"), router(95, weight="5"))


def test_nopreempt_on_the_other_router_holds_the_address() -> None:
    pair = router(101, weight="-20"), router(100, "nopreempt")
    assert after("chk", *pair) == (81, "r1")
    assert "FH0302" in codes(*pair)
    assert "FH0301" not in codes(*pair)


def test_a_fault_moves_the_address_even_from_nopreempt() -> None:
    pair = router(101), router(100, "nopreempt")
    assert after("chk", *pair) == (None, "r2")
    assert not {"FH0301", "FH0302"} & codes(*pair)


def test_a_third_router_takes_over_when_the_second_will_not() -> None:
    three = router(110, weight="-30"), router(100, "nopreempt"), router(90)
    assert after("chk", *three) == (80, "r3")


def test_one_router_says_what_the_other_needs() -> None:
    (virtual,) = foresee([("r1", router(100, weight="-20"))])
    assert virtual.master is None
    assert [o.needs for o in virtual.outcomes] == [None, 81]


def test_a_sync_group_drops_weighted_scripts() -> None:
    text = "vrrp_sync_group G {\ngroup {\nVI\n}\n%s\n}\n"
    base = """
vrrp_script chk {
    script "/x"
    weight -20
}
vrrp_instance VI {
    interface eth0
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        192.0.2.1
    }
    track_script {
        chk
    }
}
"""
    without, with_ = (
        load("-", text=base + text % more).config for more in ("", "sync_group_tracking_weight")
    )
    assert without is not None
    assert with_ is not None
    assert len(foresee([("r", without)])[0].outcomes) == 1
    assert len(foresee([("r", with_)])[0].outcomes) == 2


@pytest.mark.parametrize(
    ("one", "other", "word"),
    [
        ("version 2", "version 3", "version"),
        ("advert_int 1", "advert_int 2", "advert_int"),
        ("", "authentication {\nauth_type PASS\nauth_pass x\n}", "authentication"),
        ("", "unicast_peer {\n192.0.2.8\n}", "way of adverts"),
        ("", "mcast_dst_ip 224.0.0.77", "multicast group"),
    ],
)
def test_routers_that_would_not_hear_each_other(one: str, other: str, word: str) -> None:
    found = advice([("r1", router(101, one)), ("r2", router(100, other))])
    assert [d.severity for d in found if d.code == "FH0307" and word in d.message] == ["error"]


def test_a_unicast_peer_that_is_not_listed() -> None:
    mine = "unicast_src_ip 192.0.2.7\nunicast_peer {\n%s\n}"
    good = router(101, mine % "192.0.2.8"), router(100, mine.replace("2.7", "2.8") % "192.0.2.7")
    bad = router(101, mine % "192.0.2.9"), router(100, mine.replace("2.7", "2.8") % "192.0.2.7")
    assert "FH0307" not in codes(*good)
    assert "FH0307" in codes(*bad)


def test_equal_priorities_and_other_addresses_are_told() -> None:
    other = router(100, "virtual_ipaddress {\n192.0.2.2\n}")
    assert {"FH0306", "FH0310"} <= codes(router(100), other)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (router(100, "strict_mode on"), "FH0304"),
        (router(255, weight="-20"), "FH0305"),
        (router(250, weight="20"), "FH0303"),
        (router(20, weight="-30"), "FH0303"),
        (router(100, "nopreempt", weight="-20"), "FH0302"),
        (router(100, script="interval 20\nfall 3"), "FH0311"),
        (router(100, "authentication {\nauth_type PASS\nauth_pass x\n}"), "FH0313"),
    ],
)
def test_what_one_file_shows(config: Config, code: str) -> None:
    assert code in codes(config)


def test_a_sound_pair_has_nothing_but_notes() -> None:
    pair = advice([("r1", router(101)), ("r2", router(100))])
    assert {d.severity for d in pair} <= {"note"}


def test_a_session_gives_its_own_weight_where_none_is_said() -> None:
    text = """
bfd_instance far {
    neighbor_ip 192.0.2.77
    weight -20
}
vrrp_instance VI {
    interface eth0
    virtual_router_id 51
    priority 101
    virtual_ipaddress {
        192.0.2.1
    }
    track_bfd {
        far %s
    }
}
"""
    for said, priority in (("", 81), ("weight -5", 96), ("weight 0", None)):
        config = load("-", text=text % said).config
        assert config is not None
        assert after("far", config, router(100))[0] == priority


def test_nothing_tracked_is_noted() -> None:
    text = "vrrp_instance VI {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1\n}\n}\n"
    config = load("-", text=text).config
    assert config is not None
    assert "FH0312" in codes(config)


@given(st.integers(1, 254), st.integers(1, 254), st.integers(-253, 253), st.booleans())
def test_the_master_foreseen_is_never_worse_than_a_willing_router(
    one: int, other: int, weight: int, nopreempt: bool
) -> None:
    second = router(other, "nopreempt" if nopreempt else "")
    (virtual,) = foresee([("r1", router(one, weight=str(weight))), ("r2", second)])
    for outcome in virtual.outcomes:
        if outcome.router != "r1":
            continue
        if outcome.priority is None or (other > outcome.priority and not nopreempt):
            assert outcome.master == "r2"
        else:
            assert outcome.master == "r1"


def _files(tmp_path: Path, weight: int) -> list[str]:
    names = []
    for number, priority in enumerate((101, 98), 1):
        file = tmp_path / f"r{number}.conf"
        file.write_text(
            f'vrrp_script chk {{\nscript "/bin/true"\nweight {weight}\n}}\nvrrp_instance VI {{\n'
            f"interface eth0\nvirtual_router_id 1\npriority {priority}\n"
            "virtual_ipaddress {\n192.0.2.1\n}\ntrack_script {\nchk\n}\n}\n"
        )
        names.append(str(file))
    return names


@pytest.mark.parametrize(("weight", "code"), [(-2, 1), (-20, 0)])
def test_explain_fails_when_a_failure_can_never_move_an_address(
    tmp_path: Path, weight: int, code: int
) -> None:
    result = CliRunner().invoke(cli, ["check", "--explain", *_files(tmp_path, weight)])
    assert result.exit_code == code
    assert ("NOTHING MOVES" in result.output) == bool(code)
    plain = CliRunner().invoke(cli, ["check", *_files(tmp_path, weight)])
    assert plain.exit_code == 0


def test_explain_as_json(tmp_path: Path) -> None:
    files = _files(tmp_path, -20)
    result = CliRunner().invoke(cli, ["check", "--explain", "--json", *files])
    data = json.loads(result.output.splitlines()[-1])
    (virtual,) = data["virtual_routers"]
    assert virtual["master"] == files[0]
    assert [o["master"] for o in virtual["outcomes"]] == [files[1], files[1]]


def test_a_session_that_brings_takeover_is_neither_weight_nor_fault() -> None:
    """Losing it says that the other router has failed."""
    session = "bfd_instance peer {\n neighbor_ip 192.0.2.9\n}\n"
    result = load(
        "-",
        text=session
        + """
vrrp_instance VI {
    interface eth0
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        192.0.2.1/24
    }
    track_bfd {
        peer takeover
    }
}
""",
    )
    assert result.config is not None
    (virtual,) = foresee([("r1", result.config)])
    assert not [o for o in virtual.outcomes if "peer" in o.what]
    plan, _ = tracking_plan(result.config, Resolver())
    for found in ({}, {(Kind.BFD, "peer"): 0}, {(Kind.BFD, "peer"): 1}):
        one = ahead(plan, None, found, lambda _name: True)["VI"]
        assert (one.low, one.high, one.faults, one.open, one.may_fault) == (100, 100, (), (), False)


@pytest.mark.parametrize(("up", "faults"), [(0, ("bfd peer is down",)), (1, ())])
def test_what_a_session_says_now_is_what_a_plan_says(up: int, faults: tuple[str, ...]) -> None:
    result = load(
        "-",
        text="""
bfd_instance peer {
    neighbor_ip 192.0.2.9
}
vrrp_instance VI {
    interface eth0
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        192.0.2.1/24
    }
    track_bfd {
        peer
    }
}
""",
    )
    assert result.config is not None
    plan, _ = tracking_plan(result.config, Resolver())
    one = ahead(plan, None, {(Kind.BFD, "peer"): up}, lambda _name: True)["VI"]
    assert (one.faults, one.open, one.may_fault) == (faults, (), False)
    unknown = ahead(plan, None, {}, lambda _name: True)["VI"]
    assert unknown.may_fault
    assert unknown.open == ("bfd peer",)
