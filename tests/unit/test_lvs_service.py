"""Who serves: quorum, sorry server, inhibit, weights, pools, panic, slow start, damping, drain. No I/O."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
import pytest

from fastha.config.model_base import Command
from fastha.config.model_lvs import (
    AddressRange,
    Forwarding,
    GroupMark,
    RealServer,
    SorryServer,
    TcpCheck,
    VirtualServer,
    VirtualServerGroup,
)
from fastha.lvs.events import LvsEvent, Notice, QuorumChange, RealServerChange
from fastha.lvs.service import Drain, VirtualState
from fastha.lvs.state import services_of

SECOND = 1_000_000_000


def real(number: int, weight: int = 1, **more: Any) -> RealServer:
    address = ipaddress.ip_address(f"10.1.0.{number}")
    check = TcpCheck(connect_ip=address, connect_port=80, delay_loop_ns=10 * SECOND)
    return RealServer(
        address=address, port=80, weight=weight, checkers=more.pop("checkers", (check,)), **more
    )


def virtual(*servers: RealServer, **more: Any) -> VirtualState:
    more.setdefault("address", ipaddress.ip_address("10.9.0.1"))
    return VirtualState(VirtualServer(port=80, real_servers=servers, **more))


def weights(state: VirtualState, now: int = 0) -> dict[str, int]:
    """What the kernel is to have for the (first) service: last octet and weight."""
    entry = next(iter(state.wanted(now).values()))
    return {str(dest.address[3]): dest.weight for dest in entry.destinations.values()}


def told(events: list[LvsEvent]) -> list[str]:
    """What notification is told, shortly."""
    out = []
    for event in events:
        if isinstance(event, RealServerChange) and not event.by_checker:
            out.append(f"RS {event.real_server} {'UP' if event.up else 'DOWN'}")
        elif isinstance(event, QuorumChange):
            out.append(f"VS {'UP' if event.up else 'DOWN'}")
    return out


def set_up(state: VirtualState, number: int, up: bool, now: int = 1, delta: int = 0) -> list[LvsEvent]:
    return state.checked(state.servers[number].slots[0], up, delta, "because", now)


SORRY = SorryServer(address=ipaddress.ip_address("10.1.0.99"), port=80)


def test_without_alpha_servers_start_up_and_only_the_quorum_is_told() -> None:
    state = virtual(real(1, 3), real(2))
    assert told(state.start(0)) == ["VS UP"]
    assert weights(state) == {"1": 3, "2": 1}


def test_rs_init_notifies() -> None:
    state = virtual(real(1))
    assert told(state.start(0, init_notifies=True)) == ["RS [10.1.0.1]:tcp:80 UP", "VS UP"]


def test_alpha_starts_down_and_adds_the_sorry_server() -> None:
    state = virtual(real(1), alpha=True, sorry_server=SORRY)
    assert told(state.start(0)) == []
    assert weights(state) == {"99": 1}
    assert told(set_up(state, 0, True)) == ["RS [10.1.0.1]:tcp:80 UP", "VS UP"]
    assert weights(state) == {"1": 1}


def test_a_server_needs_all_its_checkers() -> None:
    checks = tuple(
        TcpCheck(connect_ip=ipaddress.ip_address("10.1.0.1"), connect_port=port) for port in (80, 81)
    )
    state = virtual(real(1, checkers=checks))
    state.start(0)
    first, second = state.servers[0].slots
    assert told(state.checked(first, False, 0, "x", 1)) == ["RS [10.1.0.1]:tcp:80 DOWN", "VS DOWN"]
    events = state.checked(second, False, 0, "y", 2)
    assert told(events) == []
    assert [e.by_checker for e in events if isinstance(e, RealServerChange)] == [True]
    assert told(state.checked(first, True, 0, "x", 3)) == []
    assert told(state.checked(second, True, 0, "y", 4)) == ["RS [10.1.0.1]:tcp:80 UP", "VS UP"]


def test_quorum_is_counted_in_weights_with_hysteresis() -> None:
    state = virtual(real(1, 5), real(2, 5), real(3, 5), quorum=8, hysteresis=2, sorry_server=SORRY)
    assert told(state.start(0)) == ["VS UP"]
    assert told(set_up(state, 0, False)) == ["RS [10.1.0.1]:tcp:80 DOWN"]  # 10 >= 6
    assert told(set_up(state, 1, False)) == ["RS [10.1.0.2]:tcp:80 DOWN", "VS DOWN"]  # 5 < 6
    assert weights(state) == {"99": 1}  # the living one is out, too
    assert told(set_up(state, 0, True)) == ["RS [10.1.0.1]:tcp:80 UP", "VS UP"]  # 10 >= 10
    assert weights(state) == {"1": 5, "3": 5}


def test_without_a_sorry_server_a_lost_quorum_takes_nobody_out() -> None:
    state = virtual(real(1), real(2), quorum=2)
    state.start(0)
    assert told(set_up(state, 0, False))[-1] == "VS DOWN"
    assert weights(state) == {"2": 1}


def test_quorum_that_cannot_be_reached_is_lowered() -> None:
    state = virtual(real(1), real(2), quorum=9, hysteresis=9)
    assert (state.quorum, state.hysteresis) == (2, 1)


def test_inhibit_keeps_the_entry_with_weight_zero() -> None:
    state = virtual(real(1, inhibit_on_failure=True), real(2, inhibit_on_failure=True), sorry_server=SORRY)
    state.start(0)
    set_up(state, 0, False)
    assert weights(state) == {"1": 0, "2": 1}
    set_up(state, 1, False)
    assert weights(state) == {"1": 0, "2": 0, "99": 1}


def test_sorry_server_inhibit_keeps_it_with_weight_zero() -> None:
    state = virtual(real(1), sorry_server=msgspec.structs.replace(SORRY, inhibit=True))
    state.start(0)
    assert weights(state) == {"1": 1, "99": 0}


def test_weight_changes_are_added_and_move_the_quorum() -> None:
    state = virtual(real(1, 10), quorum=6)
    state.start(0)
    assert told(set_up(state, 0, True, delta=-5)) == ["VS DOWN"]
    assert weights(state) == {"1": 5}
    assert told(set_up(state, 0, True, delta=100000)) == ["VS UP"]
    assert weights(state) == {"1": 65535}
    set_up(state, 0, True, delta=-100)
    assert weights(state) == {"1": 0}


def test_weight_of_a_dead_server_comes_with_its_return() -> None:
    state = virtual(real(1, 10), real(2))
    state.start(0)
    set_up(state, 0, False, delta=5)
    assert weights(state) == {"2": 1}
    set_up(state, 0, True, delta=5)
    assert weights(state)["1"] == 15


def test_omega_tells_what_was_up() -> None:
    state = virtual(real(1), real(2), omega=True, quorum_down=Command(("/bin/x",)))
    state.start(0)
    set_up(state, 0, False)
    events = state.stop(9)
    assert told(events) == ["RS [10.1.0.2]:tcp:80 DOWN", "VS DOWN"]
    assert isinstance(events[-1], QuorumChange)
    assert events[-1].script == Command(("/bin/x",))
    assert virtual(real(1)).stop(9) == []


def test_standby_pool_serves_while_the_first_lacks_its_quorum() -> None:
    state = virtual(real(1), real(2), real(3, pool=1), quorum=2)
    state.start(0)
    assert weights(state) == {"1": 1, "2": 1}
    events = set_up(state, 0, False)
    assert told(events) == ["RS [10.1.0.1]:tcp:80 DOWN"]
    assert any(isinstance(e, Notice) and "pool 1" in e.text for e in events)
    assert weights(state) == {"2": 1, "3": 1}
    set_up(state, 0, True)
    assert weights(state) == {"1": 1, "2": 1}


def test_panic_keeps_the_last_good_set_and_says_so() -> None:
    state = virtual(*(real(n) for n in range(1, 11)), panic_percent=50)
    state.start(0)
    for number in range(5):
        set_up(state, number, False, now=SECOND)
    assert set(weights(state)) == {"6", "7", "8", "9", "10"}
    events = set_up(state, 5, False, now=2 * SECOND)
    assert any(isinstance(e, Notice) and e.level == "error" and "links" in e.text for e in events)
    assert len(weights(state)) == 10
    for number in range(6, 10):
        assert "VS DOWN" not in told(set_up(state, number, False, now=3 * SECOND))
    assert len(weights(state)) == 10
    for number in range(5):
        set_up(state, number, True, now=4 * SECOND)
    assert set(weights(state)) == {"1", "2", "3", "4", "5"}


def test_panic_leaves_out_who_was_down_long_before() -> None:
    state = virtual(*(real(n) for n in range(1, 5)), panic_percent=50)
    state.start(0)
    set_up(state, 0, False, now=1)
    for number in (1, 2, 3):
        set_up(state, number, False, now=1000 * SECOND)
    assert set(weights(state)) == {"2", "3", "4"}


def test_slow_start_grows_the_weight() -> None:
    state = virtual(real(1, 100, slow_start_ns=10 * SECOND), real(2))
    state.start(0)
    assert weights(state, 0)["1"] == 100  # at start it was never down
    set_up(state, 0, False, now=SECOND)
    set_up(state, 0, True, now=2 * SECOND)
    assert weights(state, 2 * SECOND)["1"] == 1
    assert weights(state, 7 * SECOND)["1"] == 50
    assert weights(state, 12 * SECOND)["1"] == 100


def test_damping_holds_back_a_server_that_flaps() -> None:
    state = virtual(real(1), real(2), damping=True)
    state.start(0)
    changes = 0
    before = weights(state)
    for second in range(1, 601):
        set_up(state, 0, second % 2 == 0, now=second * SECOND)
        state.tick(second * SECOND)
        changes += weights(state) != before
        before = weights(state)
    assert changes <= 2
    set_up(state, 0, True, now=601 * SECOND)
    assert told(state.tick(601 * SECOND)) == []
    assert told(state.tick(2000 * SECOND)) == ["RS [10.1.0.1]:tcp:80 UP"]


def test_drain_and_set_weight() -> None:
    state = virtual(real(1, 4), real(2))
    state.start(0)
    server = state.servers[0]
    state.set_server(server, 1, weight=9)
    assert weights(state)["1"] == 9
    state.set_server(server, 1, drain=Drain.DRAINING)
    assert weights(state)["1"] == 0
    state.set_server(server, 1, drain=Drain.DRAINED)
    assert "1" not in weights(state)
    state.set_server(server, 1, drain=Drain.NO, unset_weight=True)
    assert weights(state)["1"] == 4


def test_reload_keeps_what_is_known() -> None:
    old = virtual(real(1), real(2), sorry_server=SORRY)
    old.start(0)
    set_up(old, 0, False)
    old.servers[1].set_weight = 7
    new = virtual(real(1), real(2), real(3), sorry_server=SORRY, scheduler="rr")
    new.inherit(old, 5)
    assert told(new.reweigh(5, "reload")) == []
    assert weights(new) == {"2": 7, "3": 1}


def test_reload_with_another_checker_keeps_the_server_up() -> None:
    old = virtual(real(1))
    old.start(0)
    other = TcpCheck(connect_ip=ipaddress.ip_address("10.1.0.1"), connect_port=8080)
    new = virtual(real(1, checkers=(other,)))
    new.inherit(old, 5)
    assert told(new.reweigh(5, "reload")) == []
    assert weights(new) == {"1": 1}


@pytest.mark.parametrize(("method", "port"), [("NAT", 8080), ("DR", 80), ("TUN", 80)])
def test_ports_are_translated_by_nat_only(method: Any, port: int) -> None:
    server = msgspec.structs.replace(real(1), port=8080, forwarding=Forwarding(method=method))
    state = virtual(server)
    state.start(0)
    entry = next(iter(state.wanted(0).values()))
    assert [dest.port for dest in entry.destinations.values()] == [port]


def test_groups_are_many_services() -> None:
    group = VirtualServerGroup(
        name="g",
        ranges=(
            AddressRange(ipaddress.ip_address("10.9.0.1"), ipaddress.ip_address("10.9.0.3"), 80),
            AddressRange(ipaddress.ip_address("fd00::1"), ipaddress.ip_address("fd00::1"), 81),
        ),
        marks=(GroupMark(7), GroupMark(8, 10)),
    )
    state = virtual(real(1), address=None, group=group)
    assert [str(service) for service in state.services] == [
        "-t 10.9.0.1:80", "-t 10.9.0.2:80", "-t 10.9.0.3:80", "-t [fd00::1]:81", "-f 7", "-f 8 -6",
    ]  # fmt: skip
    assert state.name == "[g]:0"
    assert len(state.wanted(0)) == 6


def test_services_carry_persistence_flags_and_masks() -> None:
    (service,) = services_of(
        VirtualServer(
            address=ipaddress.ip_address("10.9.0.1"),
            port=53,
            protocol="UDP",
            scheduler="sh",
            flags=("sh-port", "sh-fallback", "ops"),
            persistence_granularity=ipaddress.IPv4Address("255.255.255.0"),
            persistence_engine="sip",
        )
    )
    assert (service.protocol, service.timeout, service.pe) == (17, 360, "sip")
    assert service.flags == 1 | 4 | 8 | 16
    assert service.netmask.to_bytes(4, "little") == bytes([255, 255, 255, 0])
