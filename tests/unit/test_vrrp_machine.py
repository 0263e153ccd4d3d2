"""The VRRP machine and its node, case by case: the tables of RFC 3768, 5798 and 9568 section 6.4, and what
goes beyond.

Names in brackets are the numbers of the requirements that a case shows.
"""

from __future__ import annotations

import pytest

from fastha._core.events import EventKind
from fastha._core.vnode import NEVER, VirtualNode

S = 1_000_000_000
MS = 1_000_000
CS = 10_000_000
DISABLED = 1 << 8
MAINTENANCE = 1 << 14
SCRIPT = 1 << 10
LEAVE = 1 << 16


def what(node: VirtualNode) -> list[str]:
    """What was done, without times: "advert 100", "acquire"..."""
    return [f"{name} {arg}" if name in ("advert", "announce") else name for _, name, _, arg in node.take()]


def backup(**options: object) -> VirtualNode:
    node = VirtualNode()
    node.add(0, **options)
    assert node.state() == "BACKUP"
    node.take()
    return node


def master(**options: object) -> VirtualNode:
    node = backup(**options)
    node.advance(node.timer())
    assert node.state() == "MASTER"
    node.take()
    return node


# ---------------------------------------------------------------- arithmetic (1.3)


@pytest.mark.parametrize(
    ("version", "priority", "interval", "skew_ns", "down_ns"),
    [
        (2, 100, S, 609_375_000, 3_609_375_000),
        (2, 90, S, 648_437_500, 3_648_437_500),
        (2, 100, 5 * S, 609_375_000, 15_609_375_000),
        (3, 90, 3 * S, 1_945_312_500, 10_945_312_500),
        (3, 200, 100 * MS, 21_875_000, 321_875_000),
        (3, 254, CS, 78_125, 30_078_125),
        (3, 1, 4095 * CS, 4095 * CS * 255 // 256, 3 * 4095 * CS + 4095 * CS * 255 // 256),
    ],
)
def test_skew_and_down_interval(
    version: int, priority: int, interval: int, skew_ns: int, down_ns: int
) -> None:
    node = backup(version=version, priority=priority, adver_int=interval)
    assert node.skew(0, priority, interval) == skew_ns
    assert node.down(0, priority, interval) == down_ns
    assert node.timer() == down_ns  # [VRRP-045]


# ---------------------------------------------------------------- start (6.4.1)


def test_an_owner_starts_as_master_advert_before_announcement() -> None:  # [VRRP-046]
    node = VirtualNode()
    node.add(0, priority=255)
    assert node.state() == "MASTER"
    assert what(node) == ["advert 255", "acquire", "announce 5"]


def test_below_owner_starts_as_backup_and_is_silent() -> None:  # [VRRP-045]
    node = backup()
    node.advance(node.timer() - 1)
    assert what(node) == []
    node.advance(1)
    assert node.state() == "MASTER"
    assert what(node) == ["advert 100", "acquire", "announce 5"]


def test_an_early_timer_does_nothing() -> None:  # [VRRP-047]
    node = backup()
    node.advance(1 * S)
    assert node.state() == "BACKUP"


def test_advert_while_not_started_is_ignored() -> None:
    node = VirtualNode()
    node.add(0, start=False)
    assert node.state() == "FAULT" or node.state() == "INIT"
    node.heard(0, 50)
    assert what(node) == []


# ---------------------------------------------------------------- backup (6.4.2)


@pytest.mark.parametrize(("offset", "resets"), [(-1, False), (0, True), (1, True)])
def test_backup_timer_at_the_boundary_of_its_priority(offset: int, resets: bool) -> None:  # [VRRP-050, -052]
    node = backup(priority=100)
    node.advance(2 * S)
    left = node.timer()
    node.heard(0, 100 + offset)
    assert (node.timer() == node.down(0, 100, S)) is resets
    assert resets or node.timer() == left


def test_backup_without_preemption_accepts_lower() -> None:  # [VRRP-051]
    node = backup(preempt=False)
    node.advance(2 * S)
    node.heard(0, 1)
    assert node.timer() == node.down(0, 100, S)


def test_an_owner_preempts_even_when_told_not_to() -> None:  # [VRRP-051]
    node = VirtualNode()
    node.add(0, priority=255, preempt=False, graceful=False)
    node.told_faults(0, add=SCRIPT)
    node.told_faults(0, clear=SCRIPT)
    assert node.state() == "MASTER"


def test_an_owner_in_a_group_waits_for_the_group() -> None:
    node = VirtualNode()
    node.add(0, priority=255, group=0, start=False)
    node.add(1, priority=100, group=0, start=False)
    node.group(0, [0, 1])
    node.told_faults(0, clear=DISABLED)
    assert node.state(0) == "BACKUP"
    node.told_faults(1, clear=DISABLED)
    node.advance(4 * S)
    assert [node.state(0), node.state(1)] == ["MASTER", "MASTER"]


def test_starting_a_group_one_by_one_is_no_fault() -> None:
    node = VirtualNode()
    for slot in (0, 1):
        node.add(slot, group=0, start=False)
    node.group(0, [0, 1])
    for slot in (0, 1):
        node.told_faults(slot, clear=DISABLED)
    states = [arg[1] for _, kind, _, arg, _ in node.take_events() if kind == EventKind.STATE]
    assert states == [1, 1]  # BACKUP, BACKUP, and no FAULT before


@pytest.mark.parametrize("waited", [0, 3 * S])
def test_priority_zero_sets_the_skew_whatever_was_left(waited: int) -> None:  # [VRRP-048]
    node = backup(priority=90, version=2)
    node.advance(waited)
    node.heard(0, 0)
    assert node.timer() == 648_437_500


def test_priority_zero_uses_the_learned_interval() -> None:  # [VRRP-049]
    node = backup(priority=100)
    node.heard(0, 200, interval=10 * CS)
    node.heard(0, 0, interval=10 * CS)
    assert node.timer() == node.skew(0, 100, 10 * CS)


def test_version_3_learns_the_interval_version_2_does_not() -> None:  # [VRRP-053]
    node = backup(version=3, priority=90)
    node.heard(0, 200, interval=3 * S)
    assert node.timer() == 10_945_312_500
    old = backup(version=2, priority=90)
    old.heard(0, 200, interval=3 * S)
    assert old.timer() == 3_648_437_500


BETTER, LESSER, OTHER = b"\xc0\x00\x02\x09", b"\xc0\x00\x02\x08", b"\xc0\x00\x02\x07"


def test_a_lesser_router_does_not_shorten_the_patience_with_a_better_master() -> None:
    """Beyond RFC 9568 6.4.2: a fast router that is about to yield to the slow master takes nobody's patience
    with that master."""
    for lesser in (150, 200):  # a lower priority; the same one and a lower address
        node = backup(priority=100)
        node.heard(0, 200, interval=3 * S, src=BETTER)
        node.heard(0, lesser, interval=10 * CS, src=LESSER)
        node.heard(0, lesser, interval=10 * CS, src=OTHER)
        node.heard(0, lesser, interval=10 * CS, src=LESSER)
        assert node.timer() == node.down(0, 100, 3 * S)
        assert node.learned() == 3 * S


def test_a_lesser_router_that_speaks_on_unanswered_is_the_master() -> None:
    """The better one, which would have made it yield, is gone."""
    node = backup(priority=100)
    node.heard(0, 200, interval=3 * S, src=BETTER)
    for _ in range(3):
        node.heard(0, 150, interval=10 * CS, src=LESSER)
    assert node.timer() == node.down(0, 100, 10 * CS)
    assert node.learned() == 10 * CS


def test_a_lesser_router_lengthens_the_patience_at_once() -> None:
    node = backup(priority=100)
    node.heard(0, 200, interval=10 * CS, src=BETTER)
    node.heard(0, 150, interval=3 * S, src=LESSER)
    assert node.timer() == node.down(0, 100, 3 * S)


@pytest.mark.parametrize(("priority", "src"), [(201, LESSER), (200, b"\xc0\x00\x02\x0a"), (50, BETTER)])
def test_a_better_router_and_the_same_one_are_learned_from_at_once(priority: int, src: bytes) -> None:
    node = backup(priority=40)
    node.heard(0, 200, interval=3 * S, src=BETTER)
    node.heard(0, priority, interval=10 * CS, src=src)
    assert node.timer() == node.down(0, 40, 10 * CS)


def test_a_better_master_that_said_goodbye_is_no_longer_waited_for() -> None:
    node = backup(priority=100)
    node.heard(0, 200, interval=3 * S, src=BETTER)
    node.heard(0, 0, interval=3 * S, src=BETTER)
    node.heard(0, 150, interval=10 * CS, src=LESSER)
    assert node.timer() == node.down(0, 100, 10 * CS)


def test_who_yielded_to_a_better_master_waits_for_it() -> None:
    node = master(priority=100)
    node.heard(0, 200, interval=3 * S, src=BETTER)
    assert node.state() == "BACKUP"
    deadline = node.timer()
    node.heard(0, 100, interval=10 * CS, src_order=-1, src=LESSER)
    assert node.timer() == deadline


def test_discarded_lower_advert_is_not_learned_from() -> None:  # [VRRP-053]
    node = backup()
    node.heard(0, 50, interval=3 * S)
    assert node.learned() == S


def test_as_master_the_local_interval_counts() -> None:  # [VRRP-054, -011]
    node = backup(priority=100)
    node.heard(0, 200, interval=3 * S)
    node.advance(node.timer())
    assert node.state() == "MASTER"
    assert node.timer() == S


def test_shutdown_of_a_backup_is_silent() -> None:  # [VRRP-060]
    node = backup()
    node.stop(0)
    assert node.state() == "INIT"
    assert what(node) == ["stopped"]
    assert node.timer() == NEVER


def test_a_queued_advert_counts_from_when_it_was_received() -> None:
    node = backup()
    node.advance(2 * S)
    node.heard(0, 150, age=500 * MS)
    assert node.timer() == node.down(0, 100, S) - 500 * MS


def test_preempt_delay_starts_with_the_first_lower_advert_and_accepts_meanwhile() -> None:
    node = backup(preempt_delay=10 * S)
    for _ in range(10):
        node.advance(S)
        node.heard(0, 50)
        assert node.state() == "BACKUP"
    node.advance(2 * S)
    node.heard(0, 50)  # the delay is over: discarded from now on
    node.advance(2 * S)
    assert node.state() == "MASTER"


def test_preempt_delay_does_not_slow_a_takeover_from_a_silent_master() -> None:
    node = backup(preempt_delay=100 * S)
    node.heard(0, 50)
    node.advance(node.down(0, 100, S))
    assert node.state() == "MASTER"


def test_an_equal_or_higher_advert_cancels_preempt_delay() -> None:
    node = backup(preempt_delay=3 * S)
    node.heard(0, 50)
    node.advance(2 * S)
    node.heard(0, 150)
    node.advance(2 * S)
    node.heard(0, 50)  # the delay begins anew
    node.advance(2 * S)
    assert node.state() == "BACKUP"


# ------------------------------------------- seamless: addresses before the advert where somebody answers


def room(node: VirtualNode) -> list[int]:
    """How long adverts of takeovers may wait for their addresses; the order of what is done."""
    done = node.take()
    names = [name for _, name, _, _ in done if name in ("addresses_first", "advert", "acquire")]
    assert names in (["advert", "acquire"], ["addresses_first", "advert", "acquire"])
    return [arg for _, name, _, arg in done if name == "addresses_first"]


@pytest.mark.parametrize("interval", [CS, 100 * MS, S])
def test_who_displaces_a_lower_master_sets_its_addresses_first(interval: int) -> None:
    node = backup(adver_int=interval)
    node.advance(node.timer() - interval // 2)
    node.heard(0, 50)
    node.take()
    node.advance(interval // 2)
    assert node.state() == "MASTER"
    assert room(node) == [interval // 2]


@pytest.mark.parametrize("version", [2, 3])
def test_after_a_goodbye_there_is_less_room_than_to_the_next_backup(version: int) -> None:
    """Only with virtual MACs: without, the one that leaves still answers after it has heard us."""
    node = backup(version=version, linger=0)
    node.heard(0, 200)
    node.heard(0, 0)
    node.take()
    node.advance(node.skew(0, 100, S))
    assert node.state() == "MASTER"
    (found,) = room(node)
    assert 0.7 * S / 256 < found < node.skew(0, 99, S) - node.skew(0, 100, S)


def test_after_a_goodbye_of_one_that_lingers_the_advert_goes_first() -> None:
    node = backup(linger=20 * MS)
    node.heard(0, 200)
    node.heard(0, 0)
    node.take()
    node.advance(node.skew(0, 100, S))
    assert node.state() == "MASTER"
    assert room(node) == []


def test_where_nobody_answers_the_advert_goes_first() -> None:
    silent = backup()
    silent.heard(0, 200)
    silent.take()
    silent.advance(silent.down(0, 100, S))
    lower = backup(preempt=False)  # heard to the end, but not displaced: it fell silent
    lower.heard(0, 50)
    lower.take()
    lower.advance(lower.down(0, 100, S))
    path = backup()  # BFD says that it is dead
    path.heard(0, 50)
    path.take()
    path.takeover(0)
    for node in (silent, lower, path):
        assert node.state() == "MASTER"
        assert room(node) == []


def test_members_of_a_group_displace_a_lower_master_alike() -> None:
    node = group(2)
    for _ in range(3):
        node.advance(S)
        node.heard(0, 50)
        node.heard(1, 50)
    node.take()
    node.advance(S)
    done = node.take()
    assert [node.state(i) for i in range(2)] == ["MASTER", "MASTER"]
    assert sorted(slot for _, name, slot, _ in done if name == "addresses_first") == [0, 1]


# ---------------------------------------------------------------- master (6.4.3)


def test_adverts_do_not_drift() -> None:  # [VRRP-062]
    node = master(adver_int=100 * MS, second_delay=0)
    start = node.clock
    node.advance(100 * S)
    times = [at for at, name, _, _ in node.take() if name == "advert"]
    assert times == [start + 100 * MS * n for n in range(1, 1001)]


def test_a_late_advert_keeps_the_rhythm() -> None:
    node = master(adver_int=100 * MS, second_delay=0)
    node.advance(130 * MS, stall=True)
    assert node.timer() == 70 * MS


@pytest.mark.parametrize(
    ("priority", "order", "becomes"),
    [(101, -1, "BACKUP"), (100, 1, "BACKUP"), (100, -1, "MASTER"), (99, 1, "MASTER"), (100, 0, "MASTER")],
)
def test_who_yields(priority: int, order: int, becomes: str) -> None:  # [VRRP-055, -056]
    node = master()
    node.heard(0, priority, src_order=order)
    assert node.state() == becomes
    done = what(node)
    if becomes == "BACKUP":
        assert done == ["silence", "release"]  # no priority 0 [VRRP-055]
        assert node.timer() == node.down(0, 100, S)


def test_higher_prio_send_advert() -> None:
    node = master(higher_prio_advert=True)
    node.heard(0, 200)
    assert what(node) == ["advert 100", "silence", "release"]


def test_yielding_learns_the_interval() -> None:
    node = master()
    node.heard(0, 200, interval=2 * S)
    assert node.timer() == node.down(0, 100, 2 * S)


def test_priority_zero_as_master_is_answered_at_once() -> None:  # [VRRP-058]
    node = master()
    node.advance(400 * MS)
    node.heard(0, 0)
    assert what(node) == ["advert 100"]
    assert node.timer() == S


def test_lower_master_is_answered_with_advert_and_announcement() -> None:  # [VRRP-057]
    node = master()
    node.advance(400 * MS)
    node.heard(0, 50)
    assert what(node) == ["advert 100", "announce 5"]
    assert node.timer() == S


def test_answers_to_a_lower_master_are_limited() -> None:
    node = master()
    for _ in range(20):
        node.heard(0, 50)
        node.advance(10 * MS)
    assert what(node).count("advert 100") == 1


def test_lower_master_is_not_answered_when_told_so() -> None:
    node = master(lower_prio_no_advert=True)
    node.heard(0, 50)
    assert what(node) == ["announce 5"]


def test_own_advert_heard_is_told_and_changes_nothing() -> None:  # [VRRP-023]
    node = master()
    node.take_events()
    node.heard(0, 100, src_order=0)
    assert what(node) == []
    assert [kind for _, kind, *_ in node.take_events()] == [EventKind.DUPLICATE]


def test_shutdown_of_a_master_says_goodbye_before_it_lets_go() -> None:  # [VRRP-059]
    node = master()
    node.stop(0, graceful=False)
    assert what(node) == ["advert 0", "silence", "release", "stopped"]
    assert node.state() == "INIT"


def test_priority_change_of_a_master_is_sent_at_once() -> None:  # [VRRP-061]
    node = master()
    node.told_faults(0, delta=-30)
    assert what(node) == ["advert 70"]


def test_priority_change_of_a_backup_moves_its_timer() -> None:  # [VRRP-061]
    node = backup(priority=100)
    node.advance(S)
    node.told_faults(0, delta=100)
    assert node.timer() == node.down(0, 200, S) - S


@pytest.mark.parametrize(("delta", "effective"), [(-200, 1), (400, 254), (0, 100), (-1, 99)])
def test_priority_is_clamped(delta: int, effective: int) -> None:  # [VRRP-009]
    node = backup()
    node.told_faults(0, delta=delta)
    assert node.priority() == effective


def test_an_owner_is_not_moved_by_weights() -> None:
    node = VirtualNode()
    node.add(0, priority=255)
    node.told_faults(0, delta=-100)
    assert node.priority() == 255


# ---------------------------------------------------------------- announcements (NBR)


def test_second_round_and_none_after_leaving() -> None:  # [NBR-010, -011]
    node = backup(second_delay=5 * S)
    node.advance(node.timer())
    node.take()
    node.advance(5 * S)
    assert "announce 5" in what(node)
    gone = master(second_delay=5 * S)
    gone.heard(0, 200)
    gone.take()
    for _ in range(10):
        gone.advance(S)
        gone.heard(0, 200)
    assert what(gone) == []


def test_refresh() -> None:
    node = master(second_delay=0, refresh=10 * S, refresh_repeat=2)
    node.advance(35 * S)
    assert what(node).count("announce 2") == 3


def test_addresses_are_renewed_while_they_are_held() -> None:
    node = master(renew_int=2 * S, second_delay=0)
    node.advance(9 * S)
    assert what(node).count("renew") == 4
    node.heard(0, 200)
    node.take()
    node.advance(S)
    node.heard(0, 200)
    node.advance(2 * S)
    assert "renew" not in what(node)


# ---------------------------------------------------------------- faults, links


def test_fault_of_a_master_says_goodbye_and_recovery_waits() -> None:
    node = master()
    node.told_faults(0, add=SCRIPT)
    assert node.state() == "FAULT"
    assert what(node) == ["advert 0", "silence", "release"]
    node.told_faults(0, clear=SCRIPT)
    assert node.state() == "BACKUP"
    assert node.timer() == node.down(0, 100, S)


def test_two_faults_need_two_recoveries() -> None:
    node = master()
    node.told_faults(0, add=SCRIPT | 1 << 11)
    node.told_faults(0, clear=SCRIPT)
    assert node.state() == "FAULT"
    node.told_faults(0, clear=1 << 11)
    assert node.state() == "BACKUP"


def test_link_down_is_a_fault_and_up_again_a_backup() -> None:
    node = VirtualNode()
    node.link(3, True)
    node.add(0, ifindex=3, track_primary=True)
    node.advance(node.timer())
    node.link(3, False)
    assert node.state() == "FAULT"
    node.link(3, True)
    assert node.state() == "BACKUP"
    node.link(3, False, gone=True)
    assert node.state() == "FAULT"


def test_an_unknown_link_is_down() -> None:
    node = VirtualNode()
    node.add(0, ifindex=9, track_primary=True)
    assert node.state() in ("INIT", "FAULT")
    assert node.faults() & 1


def test_dont_track_primary() -> None:
    node = VirtualNode()
    node.add(0, ifindex=9, track_primary=False)
    assert node.state() == "BACKUP"


@pytest.mark.parametrize(
    ("weight", "reverse", "up", "effective"),
    [
        (50, False, True, 150),
        (50, False, False, 100),
        (-50, False, True, 100),
        (-50, False, False, 50),
        (50, True, True, 50),
        (50, True, False, 100),
        (-50, True, True, 100),
        (-50, True, False, 150),
    ],
)
def test_tracked_interface_with_weight(weight: int, reverse: bool, up: bool, effective: int) -> None:
    node = VirtualNode()
    node.link(4, up)
    node.add(0, tracks=((4, weight, reverse),))
    assert node.priority() == effective
    assert node.state() == "BACKUP"


def test_tracked_interface_without_weight_faults() -> None:
    node = VirtualNode()
    node.link(4, True)
    node.add(0, tracks=((4, 0, False),))
    assert node.state() == "BACKUP"
    node.link(4, False)
    assert node.state() == "FAULT"


def test_link_delays_hold_back_a_change_once_it_was_up() -> None:
    node = VirtualNode()
    node.link(3, True)
    node.link_delays(3, up=2 * S, down=S)
    node.add(0, ifindex=3, track_primary=True)
    node.link(3, False)
    node.advance(500 * MS)
    assert node.state() == "BACKUP"
    node.link(3, True)  # back within the delay: nothing happened
    node.advance(2 * S)
    assert node.state() == "BACKUP"
    node.link(3, False)
    node.advance(S)
    assert node.state() == "FAULT"
    node.link(3, False, gone=True)
    assert node.state() == "FAULT"


# ---------------------------------------------------------------- graceful hand-over


def test_a_planned_stop_answers_until_the_successor_is_heard() -> None:
    node = master(graceful=True)
    node.stop(0)
    assert node.state() == "HANDOVER"
    assert what(node) == ["advert 0", "hush"]  # nothing is released yet
    node.advance(600 * MS)
    assert what(node) == []
    node.heard(0, 90)
    assert node.state() == "HANDOVER"  # the successor speaks before it has the addresses
    node.advance(20 * MS)
    assert node.state() == "INIT"
    assert what(node) == ["silence", "release", "stopped"]


def test_a_planned_stop_ends_even_if_nobody_comes() -> None:
    node = master(graceful=True)
    node.stop(0)
    node.take()
    node.advance(node.skew(0, 1, S) + S)
    assert node.state() == "INIT"
    assert what(node) == ["silence", "release", "stopped"]


def test_another_goodbye_does_not_end_the_hand_over() -> None:
    node = master(graceful=True)
    node.stop(0)
    node.heard(0, 0)
    assert node.state() == "HANDOVER"


def test_maintenance_hands_over_and_stays_away() -> None:
    node = master(graceful=True)
    node.told_faults(0, add=MAINTENANCE)
    assert node.state() == "HANDOVER"
    node.heard(0, 90)
    node.advance(20 * MS)
    assert node.state() == "FAULT"
    node.advance(100 * S)
    assert node.state() == "FAULT"
    node.told_faults(0, clear=MAINTENANCE)
    assert node.state() == "BACKUP"


def test_maintenance_without_a_successor_loses_nothing() -> None:
    node = master(graceful=True, second_delay=0)
    node.told_faults(0, add=MAINTENANCE)
    node.take()
    node.advance(3 * S)
    assert node.state() == "MASTER"
    assert "release" not in what(node)
    node.told_faults(0, clear=MAINTENANCE)
    node.advance(3 * S)
    assert node.state() == "MASTER"
    assert what(node) == ["advert 100"] * 3


def test_maintenance_waits_for_a_successor_also_where_a_stop_does_not() -> None:
    node = master(graceful=False)
    node.told_faults(0, add=MAINTENANCE)
    assert node.state() == "HANDOVER"
    node.advance(3 * S)
    assert node.state() == "MASTER"


def test_maintenance_that_is_forced_leaves_without_a_successor() -> None:
    node = master(graceful=True)
    node.told_faults(0, add=MAINTENANCE | LEAVE)
    node.advance(3 * S)
    assert node.state() == "FAULT"


def test_a_virtual_mac_is_taught_again_soon_after_taking_over() -> None:
    node = backup(teach=True, second_delay=5 * S, repeat=1)
    node.advance(node.timer())
    start = node.clock
    node.take()
    node.advance(6 * S)
    said = [(at - start) // MS for at, name, _, _ in node.take() if name == "announce"]
    assert said == [5, 20, 60, 5000]


def test_with_a_virtual_mac_the_old_master_is_gone_at_the_first_advert() -> None:
    node = master(graceful=True, linger=0)
    node.stop(0)
    node.heard(0, 90)
    node.advance(0)
    assert node.state() == "INIT"


def test_a_real_fault_during_a_hand_over_lets_go_at_once() -> None:
    node = master(graceful=True)
    node.told_faults(0, add=MAINTENANCE)
    node.take()
    node.told_faults(0, add=SCRIPT)
    assert node.state() == "FAULT"
    assert what(node) == ["silence", "release"]


def test_addresses_are_renewed_during_a_hand_over() -> None:
    node = master(graceful=True, adver_int=4 * S, renew_int=S, second_delay=0)
    node.stop(0)
    node.take()
    node.advance(3 * S)
    assert what(node).count("renew") == 3


# ---------------------------------------------------------------- lateness


def test_a_master_that_slept_longer_than_its_peers_wait_listens_first() -> None:
    node = master(adver_int=100 * MS, second_delay=0)
    node.advance(400 * MS, stall=True)
    assert node.state() == "BACKUP"
    assert what(node) == ["silence", "release"]  # not one advert
    node.heard(0, 100, interval=100 * MS, src_order=-1)  # equal priority counts for a backup
    assert node.state() == "BACKUP"


def test_a_master_that_slept_and_hears_nobody_takes_over_again_soon() -> None:
    node = master(adver_int=100 * MS, second_delay=0)
    node.advance(400 * MS, stall=True)
    node.advance(200 * MS)
    assert node.state() == "MASTER"


def test_a_master_that_was_only_a_little_late_goes_on() -> None:
    node = master(adver_int=100 * MS, second_delay=0)
    node.advance(190 * MS, stall=True)
    assert node.state() == "MASTER"
    assert what(node) == ["advert 100"]


def test_a_backup_that_slept_does_not_accuse_its_neighbour() -> None:
    node = backup(adver_int=100 * MS)
    node.heard(0, 200, interval=100 * MS)
    node.advance(2 * S, stall=True)
    assert node.state() == "BACKUP"
    assert what(node) == []
    node.heard(0, 200, interval=100 * MS)
    assert node.state() == "BACKUP"


def test_a_backup_that_is_always_late_acts_after_all() -> None:
    node = backup(adver_int=100 * MS)
    for _ in range(4):
        node.advance(2 * S, stall=True)
    assert node.state() == "MASTER"


def test_suspend_makes_a_master_doubt_and_a_backup_listen() -> None:
    node = master(second_delay=0)
    node.slept(60 * S)
    node.advance(0)
    assert node.state() == "BACKUP"
    assert "advert 100" not in what(node)
    other = backup()
    other.advance(other.timer() - 1)
    other.slept(60 * S)
    other.advance(S)
    assert other.state() == "BACKUP"


# ---------------------------------------------------------------- overlap


def test_an_overlap_is_measured_and_ends_with_announcements() -> None:
    node = master(adver_int=100 * MS, second_delay=0, lower_prio_no_advert=True)
    node.take_events()
    for _ in range(40):
        node.heard(0, 50, interval=100 * MS)
        node.advance(100 * MS)
    node.take()
    node.advance(300 * MS)
    assert "announce 1" in what(node)
    ends = [v[0] for _, kind, _, _, v in node.take_events() if kind == EventKind.OVERLAP_END]
    assert len(ends) == 1
    assert ends[0] == pytest.approx(4 * S, rel=0.1)


# ---------------------------------------------------------------- repairs


def test_repairs_are_counted_and_too_many_hand_over() -> None:
    node = master(repair_limit=3, repair_window=60 * S, second_delay=0)
    assert [node.repair(0) for _ in range(3)] == [True] * 3
    assert node.repair(0) is False
    assert node.state() == "FAULT"
    node.advance(60 * S)
    assert node.state() == "BACKUP"
    node.advance(node.timer())
    assert node.repair(0) is True


def test_a_backup_repairs_nothing() -> None:
    assert backup().repair(0) is False


# ---------------------------------------------------------------- sync groups


def group(n: int = 2, **options: object) -> VirtualNode:
    node = VirtualNode()
    for slot in range(n):
        node.add(slot, start=False, group=0, **options)
    node.group(0, list(range(n)))
    for slot in range(n):
        node.told_faults(slot, clear=DISABLED)
    return node


def test_a_group_starts_and_takes_over_together() -> None:
    node = group(3)
    assert [node.state(i) for i in range(3)] == ["BACKUP"] * 3
    node.advance(4 * S)
    assert [node.state(i) for i in range(3)] == ["MASTER"] * 3


def test_a_member_waits_for_the_others() -> None:
    node = group(2)
    for _ in range(10):
        node.advance(S)
        node.heard(1, 200)
    assert [node.state(i) for i in range(2)] == ["BACKUP", "BACKUP"]
    node.advance(5 * S)
    assert [node.state(i) for i in range(2)] == ["MASTER", "MASTER"]


def test_when_one_member_yields_the_others_follow_silently() -> None:
    node = group(2)
    node.advance(4 * S)
    node.take()
    node.heard(0, 200)
    assert [node.state(i) for i in range(2)] == ["BACKUP", "BACKUP"]
    assert not any(name == "advert" for _, name, _, _ in node.take())


def test_a_fault_of_one_member_faults_all_and_every_master_says_goodbye() -> None:
    node = group(2)
    node.advance(4 * S)
    node.take()
    node.told_faults(0, add=SCRIPT)
    assert [node.state(i) for i in range(2)] == ["FAULT", "FAULT"]
    assert sorted((slot, arg) for _, name, slot, arg in node.take() if name == "advert") == [(0, 0), (1, 0)]
    node.told_faults(0, clear=SCRIPT)
    assert [node.state(i) for i in range(2)] == ["BACKUP", "BACKUP"]


def test_draining_one_member_hands_the_group_over_gracefully() -> None:
    node = group(2, graceful=True)
    node.advance(4 * S)
    node.told_faults(0, add=MAINTENANCE)
    assert [node.state(i) for i in range(2)] == ["HANDOVER", "HANDOVER"]


def test_a_drained_group_to_which_nobody_answers_loses_nothing() -> None:
    node = group(2, graceful=True, second_delay=0)
    node.advance(4 * S)
    node.take()
    for i in range(2):
        node.told_faults(i, add=MAINTENANCE)
    assert [node.state(i) for i in range(2)] == ["HANDOVER", "HANDOVER"]
    node.advance(3 * S)
    assert [node.state(i) for i in range(2)] == ["MASTER", "MASTER"]
    for i in range(2):  # one after the other: neither is a reason to leave again
        node.told_faults(i, clear=MAINTENANCE)
        assert [node.state(k) for k in range(2)] == ["MASTER", "MASTER"]
    assert "release" not in what(node)


def test_a_group_that_came_back_from_a_drain_leaves_when_it_is_forced_or_fails() -> None:
    for more, state in ((LEAVE, "HANDOVER"), (SCRIPT, "FAULT")):
        node = group(2, graceful=True)
        node.advance(4 * S)
        for i in range(2):
            node.told_faults(i, add=MAINTENANCE)
        node.advance(3 * S)
        assert node.state(0) == "MASTER"
        node.told_faults(0, add=more)
        assert [node.state(i) for i in range(2)] == [state, state]


def test_a_drained_group_that_is_succeeded_stays_away() -> None:
    node = group(2, graceful=True)
    node.advance(4 * S)
    for i in range(2):
        node.told_faults(i, add=MAINTENANCE)
    for i in range(2):
        node.heard(i, 90)
    node.advance(20 * MS)
    assert [node.state(i) for i in range(2)] == ["FAULT", "FAULT"]
    node.told_faults(0, clear=MAINTENANCE)
    assert [node.state(i) for i in range(2)] == ["FAULT", "FAULT"]
    node.told_faults(1, clear=MAINTENANCE)
    assert [node.state(i) for i in range(2)] == ["BACKUP", "BACKUP"]


def test_a_lower_master_of_one_member_makes_all_announce() -> None:
    node = group(2)
    node.advance(4 * S)
    node.take()
    node.heard(0, 50)
    assert sorted(slot for _, name, slot, _ in node.take() if name == "announce") == [0, 1]


# ---------------------------------------------------------------- reload


def test_a_reload_keeps_the_role_and_announces_a_new_interval() -> None:
    node = master()
    node.replace(0, adver_int=500 * MS)
    assert node.state() == "MASTER"
    assert what(node) == ["advert 100"]
    assert node.timer() == 500 * MS


def test_an_unchanged_reload_does_nothing() -> None:
    node = master()
    left = node.timer()
    node.replace(0)
    assert what(node) == []
    assert node.timer() == left


def test_a_reload_that_raises_the_priority_of_a_backup() -> None:
    node = backup()
    node.heard(0, 150)
    node.replace(0, priority=200)
    assert node.priority() == 200
    node.heard(0, 150)
    node.advance(4 * S)
    assert node.state() == "MASTER"


def test_removing_an_instance_leaves_no_timer() -> None:
    node = master(refresh=S, renew_int=S)
    node.stop(0, graceful=False)
    node.remove(0)
    assert node.pending() == 0


def test_takeover_on_a_dead_path_does_not_wait() -> None:
    node = backup()
    node.heard(0, 200)
    node.takeover(0)
    assert node.state() == "MASTER"
