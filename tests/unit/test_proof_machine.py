"""What the fuzzers found in the VRRP machine, kept as cases."""

from __future__ import annotations

from fastha._core.vnode import VirtualNode

S = 1_000_000_000
DISABLED = 1 << 8
SCRIPT = 1 << 10
MAINTENANCE = 1 << 14


def master(**options: object) -> VirtualNode:
    node = VirtualNode()
    node.add(0, **options)
    node.advance(node.timer())
    assert node.state() == "MASTER"
    node.take()
    return node


def test_a_drain_that_is_under_way_when_the_daemon_stops_does_not_end_as_master() -> None:
    """A drained master waits for a successor and stays if none comes; told to stop meanwhile, it forgot the
    second and came back as master, and the stop never ended."""
    node = master(graceful=True)
    node.told_faults(0, add=MAINTENANCE)
    assert node.state() == "HANDOVER"
    node.stop(0)
    node.advance(5 * S)
    assert node.state() == "INIT"
    assert "stopped" in [name for _, name, _, _ in node.take()]


def test_a_drain_that_nobody_answers_still_stays_master() -> None:
    node = master(graceful=True)
    node.told_faults(0, add=MAINTENANCE)
    node.advance(5 * S)
    assert node.state() == "MASTER"


def test_a_backup_of_version_2_that_learns_a_longer_interval_by_reload_waits_by_the_new_one() -> None:
    """The deadline was reckoned with the old interval before the new one was taken: a backup reloaded to 5 s
    after its master declared it dead after 3.6 s."""
    node = VirtualNode()
    node.add(0, version=2, priority=100, adver_int=S)
    node.heard(0, 200, interval=S)
    node.replace(0, version=2, priority=100, adver_int=5 * S)
    assert node.timer() == node.down(0, 100, 5 * S)
    node.advance(14 * S)
    assert node.state() == "BACKUP"


def test_a_backup_that_heard_nobody_waits_by_the_interval_of_the_reload() -> None:
    node = VirtualNode()
    node.add(0, priority=100, adver_int=S)
    node.replace(0, priority=100, adver_int=4 * S)
    assert node.timer() == node.down(0, 100, 4 * S)


def group_of_two_intervals() -> VirtualNode:
    node = VirtualNode()
    node.add(0, graceful=True, group=0, adver_int=3 * S, priority=150)
    node.add(1, graceful=True, group=0, adver_int=S // 10, priority=150)
    node.group(0, [0, 1])
    node.advance(15 * S)
    assert (node.state(0), node.state(1)) == ("MASTER", "MASTER")
    return node


def test_a_drained_group_whose_one_member_found_a_successor_does_not_come_back_in_part() -> None:
    """Members with different intervals ended their hand-overs at different times. One came back, then yielded
    to a higher router; the other, still handing over, came back beside it, and the group was split."""
    node = group_of_two_intervals()
    node.told_faults(0, add=MAINTENANCE)
    node.advance(S)
    assert (node.state(0), node.state(1)) == ("HANDOVER", "HANDOVER")
    node.heard(1, 200, interval=S // 10)
    for _ in range(80):
        node.advance(S // 10)
        node.heard(1, 200, interval=S // 10)
        assert node.state(1) != "MASTER"
    assert (node.state(0), node.state(1)) == ("FAULT", "FAULT")


def test_a_drained_group_comes_back_at_once_whatever_its_intervals() -> None:
    """Each member came back at its own time. Was the drain taken back just then, one was master and the other
    a backup until its timer ran out."""
    node = group_of_two_intervals()
    node.told_faults(0, add=MAINTENANCE)
    both = {(node.state(0), node.state(1))}
    for _ in range(80):
        node.advance(S // 10)
        both.add((node.state(0), node.state(1)))
    assert both == {("HANDOVER", "HANDOVER"), ("MASTER", "MASTER")}

    node = group_of_two_intervals()
    node.told_faults(0, add=MAINTENANCE)
    node.advance(S)
    node.told_faults(0, clear=MAINTENANCE)
    assert (node.state(0), node.state(1)) == ("BACKUP", "BACKUP")


def test_a_group_that_fails_while_it_is_drained_does_not_come_back_in_part() -> None:
    """The drain became a fault of one member; the other went on handing over, and came back alone."""
    node = VirtualNode()
    for slot in (0, 1):
        node.add(slot, graceful=True, group=0)
    node.group(0, [0, 1])
    node.advance(5 * S)
    assert (node.state(0), node.state(1)) == ("MASTER", "MASTER")
    node.told_faults(0, add=MAINTENANCE)
    assert (node.state(0), node.state(1)) == ("HANDOVER", "HANDOVER")
    node.told_faults(0, add=SCRIPT, clear=MAINTENANCE)
    node.advance(5 * S)
    assert (node.state(0), node.state(1)) == ("FAULT", "FAULT")
