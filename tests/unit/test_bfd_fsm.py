"""The BFD session machine, requirement by requirement (RFC 5880 6, and its relatives). No clock, no
network: each test gives the inputs and looks at what the machine asks for."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from fastha._core import codec
from fastha._core.bfdfsm import NEVER, SESSION_SIZE, Actions, Session, reflect

US = 1000
MS = 1_000_000
SECOND = 1_000_000_000
STATES = ["admin_down", "down", "init", "up"]
ADMIN_DOWN, DOWN, INIT, UP = range(4)
POLL, FINAL, AUTH, DEMAND = 0x20, 0x10, 0x04, 0x02
OURS, THEIRS = 11, 22


def packet(state: int, *, key: codec.BfdKey | None = None, **fields: Any) -> bytes:
    """A packet of the neighbour; Your Discriminator is ours unless said otherwise."""
    settings: dict[str, Any] = {
        "detect_mult": 3,
        "my_discr": THEIRS,
        "your_discr": OURS,
        "min_tx_us": 50_000,
        "min_rx_us": 50_000,
    }
    return codec.bfd_encode(codec.BfdPacket(state=state, **(settings | fields)), key)


def sent(actions: Actions) -> codec.BfdPacket:
    """The one packet that has been sent."""
    assert len(actions.packets) == 1
    verdict, read = codec.bfd_decode(actions.packets[0])
    assert read is not None, verdict
    return read


def session_in(state: int, **settings: Any) -> Session:
    """A session in that state at one second; if Up, the neighbour is known to be and no Poll runs."""
    s = Session(discr=OURS, **settings)
    if state == ADMIN_DOWN:
        s.step("admin_down", SECOND, arg=7)
    if state in (INIT, UP):
        s.receive(packet(DOWN, your_discr=0), SECOND)
    if state == UP:
        s.receive(packet(UP), SECOND)
        s.step("tx", s.tx_at)
        s.receive(packet(UP, flags=FINAL), max(SECOND, s.tx_at))
    assert s.state == STATES[state]
    return s


def test_size() -> None:
    assert SESSION_SIZE <= 512


# ---- the table of 6.2 and 6.8.6 ----

TABLE: dict[tuple[int, str], tuple[int, int | None, str]] = {
    # (state, input): (new state, diagnostic or None for unchanged, cause)
    (ADMIN_DOWN, "admin_down"): (ADMIN_DOWN, None, ""),
    (ADMIN_DOWN, "down"): (ADMIN_DOWN, None, ""),
    (ADMIN_DOWN, "init"): (ADMIN_DOWN, None, ""),
    (ADMIN_DOWN, "up"): (ADMIN_DOWN, None, ""),
    (ADMIN_DOWN, "expire"): (ADMIN_DOWN, None, ""),
    (ADMIN_DOWN, "disable"): (ADMIN_DOWN, None, ""),
    (ADMIN_DOWN, "enable"): (DOWN, 0, "admin"),
    (DOWN, "admin_down"): (DOWN, None, ""),
    (DOWN, "down"): (INIT, None, "handshake"),
    (DOWN, "init"): (UP, 0, "handshake"),
    (DOWN, "up"): (DOWN, None, ""),
    (DOWN, "expire"): (DOWN, None, ""),
    (DOWN, "disable"): (ADMIN_DOWN, 7, "admin"),
    (DOWN, "enable"): (DOWN, None, ""),
    (INIT, "admin_down"): (DOWN, 3, "neighbor_admin_down"),
    (INIT, "down"): (INIT, None, ""),
    (INIT, "init"): (UP, 0, "handshake"),
    (INIT, "up"): (UP, 0, "handshake"),
    (INIT, "expire"): (DOWN, 1, "detection_time_expired"),
    (INIT, "disable"): (ADMIN_DOWN, 7, "admin"),
    (INIT, "enable"): (INIT, None, ""),
    (UP, "admin_down"): (DOWN, 3, "neighbor_admin_down"),
    (UP, "down"): (DOWN, 3, "neighbor_down"),
    (UP, "init"): (UP, None, ""),
    (UP, "up"): (UP, None, ""),
    (UP, "expire"): (DOWN, 1, "detection_time_expired"),
    (UP, "disable"): (ADMIN_DOWN, 7, "admin"),
    (UP, "enable"): (UP, None, ""),
}


def test_the_table_is_whole() -> None:
    inputs = ["admin_down", "down", "init", "up", "expire", "disable", "enable"]
    assert set(TABLE) == set(product(range(4), inputs))


@pytest.mark.parametrize(("case", "expected"), TABLE.items(), ids=lambda v: f"{STATES[v[0]]}-{v[1]}")
def test_state_table(case: tuple[int, str], expected: tuple[int, int | None, str]) -> None:
    """BFD-020 ... BFD-023, BFD-027, BFD-028: every state with every input."""
    state, event = case
    new, diag, cause = expected
    s = session_in(state)
    before = s.local_diag
    if event in STATES:
        actions = s.receive(packet(STATES.index(event)), 2 * SECOND)
        assert actions.verdict == ("admin_down" if state == ADMIN_DOWN else "ok")
    elif event == "expire":
        # Down: nothing heard yet, so nothing can expire; as if a late timer fired.
        actions = s.step("detect", 100 * SECOND if s.detect_at == NEVER else s.detect_at)
    else:
        actions = s.step("admin_down" if event == "disable" else "admin_up", 2 * SECOND, arg=7)
    assert s.state == STATES[new]
    assert s.local_diag == (before if diag is None else diag)
    assert actions.cause == cause
    assert ("state" in actions.todo) == (new != state)
    if new != state:
        assert sent(actions).state == new  # BFD-040: told at once
        assert sent(actions).diag == s.local_diag


def test_bring_up_between_two_sessions() -> None:
    """BFD-021, BFD-042: Down, Init, Up on both sides, each told with the other's discriminator."""
    a, b = Session(discr=1, now=SECOND), Session(discr=2, now=SECOND)
    queue = [(b, a.step("tx", SECOND).packets[0])]
    seen = []
    while queue:
        target, data = queue.pop(0)
        actions = target.receive(data, SECOND)
        assert actions.verdict == "ok"
        seen.append((target.local_discr, target.state))
        queue += [(a if target is b else b, p) for p in actions.packets]
    assert (a.state, b.state) == ("up", "up")
    assert (2, "init") in seen
    assert (a.remote_discr, b.remote_discr) == (2, 1)


# ---- receiving ----


def test_discarded_packets_change_nothing() -> None:
    """BFD-015, BFD-016."""
    s = session_in(UP)
    before = s.snapshot
    key = codec.BfdKey(1, 2, b"secret")
    for data, verdict in [
        (packet(UP, key=key), "auth_unexpected"),
        (packet(DOWN)[:20], "too_short"),
        (packet(UP, your_discr=0), "your_discriminator_zero"),
        (b"\x00" + packet(DOWN)[1:], "version"),
    ]:
        actions = s.receive(data, 5 * SECOND)
        assert actions == (verdict, frozenset(), "", (), None)
        assert s.snapshot == before


def test_your_discriminator_zero_takes_an_up_session_down() -> None:
    """BFD-010: the neighbour has restarted."""
    s = session_in(UP)
    actions = s.receive(packet(DOWN, your_discr=0, my_discr=99), 2 * SECOND)
    assert (s.state, s.local_diag, actions.cause) == ("down", 3, "neighbor_down")
    assert sent(actions).your_discr == 99


def test_neighbour_may_change_its_discriminator() -> None:
    """BFD-012."""
    s = session_in(UP)
    actions = s.receive(packet(UP, my_discr=99), 2 * SECOND)
    assert s.state == "up"
    assert s.remote_discr == 99
    assert "remote" in actions.todo


def test_unassigned_diagnostics_are_taken() -> None:
    """BFD-014, BFD-031: shown, and no reason to go down."""
    s = session_in(UP)
    for diag in (6, 8, 9, 31):
        assert "diag" in s.receive(packet(UP, diag=diag), 2 * SECOND).todo
        assert (s.state, s.remote_diag) == ("up", diag)


def test_admin_down_session_takes_note_and_answers_polls() -> None:
    """2.4: the variables are set before the packet is discarded, and a Poll is answered in every state."""
    s = session_in(ADMIN_DOWN)
    actions = s.receive(packet(DOWN, flags=POLL, min_rx_us=7_000), 2 * SECOND)
    assert actions.verdict == "admin_down"
    assert (s.remote_discr, s.remote_min_rx_us) == (THEIRS, 7_000)
    assert sent(actions).flags == FINAL
    assert sent(actions).state == ADMIN_DOWN


# ---- roles and rates ----


def test_passive_waits_for_a_packet() -> None:
    """BFD-032."""
    s = Session(discr=OURS, passive=True)
    assert s.tx_at == NEVER
    assert s.step("tx", SECOND).packets == ()
    assert sent(s.receive(packet(DOWN, your_discr=0), SECOND)).state == INIT
    assert s.tx_at < NEVER
    s.step("detect", s.detect_at)  # lost again: silent again
    assert (s.state, s.tx_at, s.remote_discr) == ("down", NEVER, 0)


def test_slow_while_not_up() -> None:
    """BFD-037: announced and kept, also when configured otherwise."""
    for state in (DOWN, INIT, ADMIN_DOWN):
        s = session_in(state, min_tx_us=10_000, idle_tx_us=200_000)
        assert s.desired_min_tx_us == 1_000_000
        assert s.tx_int >= SECOND
    s = session_in(UP, min_tx_us=10_000)
    assert s.desired_min_tx_us == 10_000
    assert s.tx_int == 50 * MS  # what the neighbour wants
    assert Session(min_tx_us=3_000_000).desired_min_tx_us == 3_000_000
    assert Session(idle_tx_us=5_000_000).desired_min_tx_us == 5_000_000


def test_required_min_rx_zero_stops_us() -> None:
    """BFD-038: nothing periodic, Polls answered, changes told."""
    s = session_in(UP)
    s.receive(packet(UP, min_rx_us=0), 2 * SECOND)
    assert s.tx_at == NEVER
    assert sent(s.receive(packet(UP, min_rx_us=0, flags=POLL), 2 * SECOND)).flags == FINAL
    assert s.tx_at == NEVER
    s.receive(packet(UP, min_rx_us=20_000), 2 * SECOND)
    assert s.tx_at < NEVER


@pytest.mark.parametrize(("mult", "least", "most"), [(3, 0.75, 1.0), (1, 0.75, 0.9)])
def test_jitter(mult: int, least: float, most: float) -> None:
    """BFD-034 ... BFD-036: from the random bits given, over the whole range and no further."""
    s = session_in(UP, min_tx_us=100_000, detect_mult=mult)
    gaps = []
    for n in range(1000):
        now = s.tx_at
        s.step("tx", now, random=n * 4294967 + 1)
        gaps.append((s.tx_at - now) / (100 * MS))
    assert least <= min(gaps) < least + 0.001
    assert most - 0.001 < max(gaps) <= most
    assert abs(sum(gaps) / 1000 - (least + most) / 2) < 0.001


def test_shorter_interval_of_the_neighbour_counts_at_once() -> None:
    """BFD-041: from the last packet on."""
    s = session_in(UP, min_tx_us=10_000)
    s.receive(packet(UP, min_rx_us=1_000_000), 2 * SECOND)
    last = max(s.tx_at, 2 * SECOND)
    s.step("tx", last)
    assert s.tx_at >= last + 750 * MS
    actions = s.receive(packet(UP, min_rx_us=10_000), last + MS)
    assert "tx_timer" in actions.todo
    assert last + 7.5 * MS <= s.tx_at <= last + 10 * MS


def test_spurious_timers_do_nothing_but_set_themselves() -> None:
    s = session_in(UP)
    assert s.step("tx", s.tx_at - 1) == ("ok", frozenset({"tx_timer"}), "", (), None)
    assert s.step("detect", s.detect_at - 1) == ("ok", frozenset({"detect_timer"}), "", (), None)
    assert s.step("echo", 2 * SECOND) == ("ok", frozenset({"echo_timer"}), "", (), None)


# ---- detection ----


@pytest.mark.parametrize(
    ("ours", "theirs", "mult", "expected"),
    [(50_000, 50_000, 3, 150), (10_000, 100_000, 5, 500), (300_000, 100_000, 2, 600), (1_000, 1_000, 3, 3)],
)
def test_detection_time(ours: int, theirs: int, mult: int, expected: int) -> None:
    """BFD-045, BFD-047, BFD-101: their multiplier times the greater of ours and theirs, exactly."""
    s = session_in(UP, min_rx_us=ours)
    s.receive(packet(UP, min_tx_us=theirs, detect_mult=mult), 2 * SECOND)
    assert s.detect_int == expected * MS
    assert s.detect_at == 2 * SECOND + expected * MS


def test_kernel_time_counts() -> None:
    """BFD-048: detection runs from when the packet arrived, not from when it was read, nor backwards."""
    s = session_in(UP)
    s.receive(packet(UP), 3 * SECOND, rx_time=2 * SECOND)
    assert s.detect_at == 2 * SECOND + 150 * MS
    s.receive(packet(UP), 3 * SECOND, rx_time=2 * SECOND - 1)
    assert s.detect_at == 2 * SECOND + 150 * MS


def test_expiry_forgets_the_neighbour() -> None:
    """BFD-024 ... BFD-026: the packets that tell it carry Your Discriminator 0 and diagnostic 1."""
    s = session_in(UP)
    s.receive(packet(UP, min_rx_us=2_000_000), 2 * SECOND)
    assert (s.tx_int, s.remote_min_rx_us) == (2 * SECOND, 2_000_000)
    actions = s.step("detect", s.detect_at)
    assert {"state", "forget", "send"} <= actions.todo
    assert (sent(actions).your_discr, sent(actions).diag, sent(actions).state) == (0, 1, DOWN)
    assert (s.remote_discr, s.remote_min_rx_us, s.remote_min_tx_us) == (0, 1, 50_000)
    assert s.tx_int == SECOND


def test_timers_survive_a_flap_until_silence() -> None:
    """BFD-024: what the neighbour asked for holds while it is heard, whatever the state."""
    s = session_in(UP)
    s.receive(packet(DOWN, min_rx_us=2_000_000, min_tx_us=1_000_000), 2 * SECOND)
    assert s.state == "down"
    assert s.tx_int == 2 * SECOND
    assert s.detect_at == 5 * SECOND
    s.step("detect", s.detect_at)
    assert (s.state, s.tx_int, s.remote_discr) == ("down", SECOND, 0)


def test_own_sleep_is_not_the_neighbours_silence() -> None:
    """The engine was stopped for 400 ms of which the neighbour could know nothing: it gets the rest of its
    time."""
    s = session_in(UP)
    s.receive(packet(UP), 2 * SECOND)
    late = 2 * SECOND + 500 * MS
    actions = s.step("detect", late, asleep=400 * MS, stall=400 * MS)
    assert actions.todo == {"stalled", "detect_timer"}
    assert s.state == "up"
    assert s.detect_at == 2 * SECOND + 550 * MS
    # still nothing: this time it is the neighbour
    assert s.step("detect", s.detect_at, asleep=400 * MS).cause == "detection_time_expired"


def test_sleep_before_a_packet_does_not_count_again() -> None:
    s = session_in(UP)
    s.receive(packet(UP), 2 * SECOND, asleep=SECOND)
    assert s.detect_at == 2 * SECOND + 150 * MS
    # A packet from the middle of a sleep of 100 ms: what came after it, 40 ms, is sleep all the same.
    s.receive(packet(UP), 3 * SECOND, rx_time=3 * SECOND - 40 * MS, asleep=SECOND + 100 * MS, stall=100 * MS)
    assert s.detect_at == 3 * SECOND - 40 * MS + 150 * MS + 40 * MS


# ---- Poll Sequences ----


def test_poll_is_answered_at_once_in_every_state() -> None:
    """BFD-049, BFD-051: with F and without P, outside the schedule."""
    for state in range(4):
        s = session_in(state)
        s.receive(packet(UP if state == UP else ADMIN_DOWN), 2 * SECOND)
        at = s.tx_at
        actions = s.receive(packet(UP if state == UP else ADMIN_DOWN, flags=POLL), 2 * SECOND)
        assert sent(actions).flags & (POLL | FINAL) == FINAL
        assert s.tx_at == at or state == INIT  # Init goes Down by AdminDown, which is slower


def test_poll_with_a_change_of_state_is_one_packet() -> None:
    """BFD-013: never both P and F, and one packet tells both."""
    s = session_in(INIT)
    actions = s.receive(packet(UP, flags=POLL), 2 * SECOND)
    answer = sent(actions)
    assert (answer.state, answer.flags & (POLL | FINAL)) == (UP, FINAL)
    assert s.poll  # our own interval still has to be confirmed
    assert sent(s.step("tx", s.tx_at)).flags & (POLL | FINAL) == POLL


def test_coming_up_polls_until_final() -> None:
    """BFD-051 ... BFD-053."""
    s = session_in(INIT)
    first = sent(s.receive(packet(UP), 2 * SECOND))
    assert (first.state, first.flags, first.min_tx_us) == (UP, POLL, 50_000)
    for _ in range(5):
        assert sent(s.step("tx", s.tx_at)).flags == POLL
    actions = s.receive(packet(UP, flags=FINAL), s.tx_at)
    assert "poll_end" in actions.todo
    assert actions.packets == ()
    assert sent(s.step("tx", s.tx_at)).flags == 0
    before = s.snapshot
    stray = s.receive(packet(UP, flags=FINAL), s.detect_at - 150 * MS)  # BFD-052: nobody asked
    assert "poll_end" not in stray.todo
    assert s.snapshot == before


def test_final_before_the_poll_has_gone_is_ignored() -> None:
    s = session_in(INIT)
    s.receive(packet(UP, flags=POLL), 2 * SECOND)
    assert s.poll
    s.receive(packet(UP, flags=FINAL), 2 * SECOND)
    assert s.poll


def test_slower_transmission_waits_for_final() -> None:
    """BFD-053, BFD-054."""
    s = session_in(UP)
    announced = sent(s.reconfigure(2 * SECOND, min_tx_us=400_000))
    assert (announced.min_tx_us, announced.flags) == (400_000, POLL)
    assert s.tx_int == 50 * MS
    s.step("tx", s.tx_at)
    assert s.tx_int == 50 * MS
    s.receive(packet(UP, flags=FINAL), s.tx_at)
    assert s.tx_int == 400 * MS


def test_faster_transmission_is_immediate() -> None:
    """BFD-056."""
    s = session_in(UP)
    s.receive(packet(UP, min_rx_us=1_000), 2 * SECOND)
    s.reconfigure(2 * SECOND, min_tx_us=5_000)
    assert s.poll
    assert s.tx_int == 5 * MS


def test_stricter_reception_waits_for_final() -> None:
    """BFD-055, BFD-056: detection keeps the old value until F; a laxer one counts at once."""
    s = session_in(UP, min_rx_us=200_000)
    assert s.detect_int == 600 * MS
    assert sent(s.reconfigure(2 * SECOND, min_rx_us=50_000)).min_rx_us == 50_000
    assert s.detect_int == 600 * MS
    s.receive(packet(UP, flags=FINAL), 2 * SECOND + MS)
    assert s.detect_int == 150 * MS
    s.reconfigure(2 * SECOND + 2 * MS, min_rx_us=300_000)
    assert s.detect_int == 900 * MS


def test_a_change_during_a_poll_needs_a_poll_of_its_own() -> None:
    """BFD-057: F may answer the older packet; one packet without P, then P again."""
    s = session_in(UP)
    s.reconfigure(2 * SECOND, min_tx_us=400_000)
    s.reconfigure(2 * SECOND, min_tx_us=800_000)
    assert s.poll_pending
    actions = s.receive(packet(UP, flags=FINAL), 2 * SECOND + MS)
    assert "poll_end" not in actions.todo
    assert s.tx_int == 50 * MS
    assert sent(s.step("tx", s.tx_at)).flags == 0
    assert sent(s.step("tx", s.tx_at)).flags == POLL
    assert "poll_end" in s.receive(packet(UP, flags=FINAL), s.tx_at).todo
    assert s.tx_int == 800 * MS


def test_changes_while_not_up_count_at_once() -> None:
    """BFD-056: in Init, where the neighbour is known, with a Poll; in Down with nobody there, without."""
    s = session_in(INIT)
    announced = sent(s.reconfigure(2 * SECOND, min_rx_us=200_000))
    assert (announced.min_rx_us, announced.flags) == (200_000, POLL)
    assert s.rx_min_us == 200_000
    lonely = Session(discr=OURS)
    assert sent(lonely.reconfigure(2 * SECOND, min_rx_us=200_000)).flags == 0


def test_leaving_up_ends_the_poll() -> None:
    """The handshake announces everything anew; a Poll left over would ask about values long gone."""
    s = session_in(UP)
    s.reconfigure(2 * SECOND, min_tx_us=400_000)
    s.reconfigure(2 * SECOND, min_tx_us=800_000)
    assert (s.poll, s.poll_pending) == (True, True)
    told = sent(s.receive(packet(DOWN), 2 * SECOND))
    assert (told.state, told.flags, told.min_tx_us) == (DOWN, 0, 1_000_000)
    assert (s.poll, s.poll_pending, s.tx_min_us) == (False, False, 1_000_000)


def test_coming_up_clears_the_diagnostic() -> None:
    """BFD-029."""
    s = session_in(UP)
    assert sent(s.receive(packet(DOWN), 2 * SECOND)).diag == 3
    assert sent(s.receive(packet(DOWN), 2 * SECOND)).diag == 3  # Init: still why we went down
    assert sent(s.receive(packet(UP), 2 * SECOND)).diag == 0


def test_detect_mult_changes_without_a_poll() -> None:
    """BFD-059."""
    s = session_in(UP)
    told = sent(s.reconfigure(2 * SECOND, detect_mult=9))
    assert (told.detect_mult, told.flags) == (9, 0)
    assert not s.poll
    s.receive(packet(UP, flags=DEMAND), 2 * SECOND)
    told = sent(s.reconfigure(2 * SECOND, detect_mult=4))
    assert (told.detect_mult, told.flags) == (4, POLL)


def test_unchanged_configuration_does_nothing() -> None:
    s = session_in(UP)
    before = s.snapshot
    assert s.reconfigure(2 * SECOND).packets == ()
    assert s.snapshot == before


# ---- demand mode ----


def test_demand_bit_only_when_both_are_up() -> None:
    """BFD-060, BFD-062: and its first packet is a Poll."""
    s = Session(discr=OURS, demand=True)
    assert sent(s.step("tx", 1)).flags == 0
    s.receive(packet(DOWN, your_discr=0), SECOND)
    raised = sent(s.receive(packet(INIT), SECOND))
    assert (raised.state, raised.flags) == (UP, POLL)
    s.receive(packet(UP), SECOND)
    assert s.demand_on
    assert sent(s.step("tx", s.tx_at)).flags == POLL | DEMAND


def test_demand_asked_of_us_silences_us() -> None:
    """BFD-039, BFD-061: Polls are answered; the end of demand or of the session starts the packets again."""
    s = session_in(UP)
    answer = s.receive(packet(UP, flags=POLL | DEMAND), 2 * SECOND)
    assert sent(answer).flags == FINAL
    assert s.tx_at == NEVER
    s.receive(packet(UP), 2 * SECOND)
    assert s.tx_at < NEVER
    s.receive(packet(UP, flags=DEMAND), 2 * SECOND)
    assert s.tx_at == NEVER
    s.receive(packet(DOWN, flags=DEMAND), 2 * SECOND)
    assert (s.state, s.tx_at < NEVER) == ("down", True)


def demand_session(**settings: Any) -> Session:
    """In demand mode, its Poll answered."""
    s = session_in(UP, demand=True, **settings)
    s.step("tx", s.tx_at)
    s.receive(packet(UP, flags=FINAL), s.tx_at)
    assert s.demand_on
    assert not s.poll
    return s


def test_detection_in_demand_mode() -> None:
    """BFD-046: silence means nothing until we ask; then our multiplier, from the first P on."""
    s = demand_session(detect_mult=4)
    assert s.detect_at == NEVER
    s.step("poll", 5 * SECOND)
    assert s.detect_at == NEVER  # asked from the next packet on
    at = max(s.tx_at, 5 * SECOND)
    assert sent(s.step("tx", at)).flags == POLL | DEMAND
    assert s.detect_at == at + 4 * 50 * MS
    s.step("tx", s.tx_at)
    assert s.detect_at == at + 4 * 50 * MS  # not from a repetition
    assert s.step("detect", s.detect_at).cause == "detection_time_expired"


def test_demand_mode_verifies_when_asked_to() -> None:
    s = demand_session(demand_poll_us=3_000_000)
    s.receive(packet(UP, flags=DEMAND), 2 * SECOND)  # both silent now
    at = s.tx_at
    assert 3 * SECOND < at < 6 * SECOND
    assert sent(s.step("tx", at)).flags == POLL | DEMAND
    s.receive(packet(UP, flags=DEMAND | FINAL), at + MS)
    assert s.tx_at == at + MS + 3 * SECOND


def test_leaving_demand_mode_gives_the_neighbour_its_time() -> None:
    s = demand_session()
    actions = s.reconfigure(60 * SECOND, demand=False)
    assert sent(actions).flags == POLL
    assert s.detect_at == 60 * SECOND + 150 * MS
    assert s.step("detect", 60 * SECOND + MS).cause == ""


# ---- administration and the world around ----


def test_admin_down_goes_on_being_told() -> None:
    """BFD-027, BFD-099: for one detection time at least; then the session may go."""
    s = session_in(UP)
    actions = s.step("admin_down", 2 * SECOND, arg=7)
    assert (sent(actions).state, sent(actions).diag) == (ADMIN_DOWN, 7)
    assert not s.may_delete(2 * SECOND)
    assert s.tx_at < 3 * SECOND + 1
    assert not s.may_delete(5 * SECOND - 1)
    assert s.may_delete(5 * SECOND)
    assert "diag" in s.step("admin_down", 2 * SECOND, arg=5).todo
    assert sent(s.step("admin_up", 6 * SECOND)).state == DOWN
    assert Session().may_delete(SECOND)  # nobody there to tell


@pytest.mark.parametrize(
    ("event", "diag", "cause"),
    [("forwarding_reset", 4, "forwarding_plane_reset"), ("path_down", 5, "path_down")],
)
def test_told_from_below(event: Any, diag: int, cause: str) -> None:
    s = session_in(UP)
    actions = s.step(event, 2 * SECOND)
    assert (s.state, s.local_diag, actions.cause) == ("down", diag, cause)
    assert sent(actions).diag == diag
    assert s.step(event, 2 * SECOND).todo == frozenset()


def test_concatenated_path() -> None:
    """BFD-031: told at once, the session stays; under demand with a Poll."""
    s = session_in(UP)
    told = sent(s.step("concat", 2 * SECOND, arg=6))
    assert (told.state, told.diag, told.flags) == (UP, 6, 0)
    assert sent(s.step("concat", 2 * SECOND, arg=0)).diag == 0
    assert s.step("concat", 2 * SECOND, arg=0).packets == ()
    s.receive(packet(UP, flags=DEMAND), 2 * SECOND)
    assert sent(s.step("concat", 2 * SECOND, arg=8)).flags == POLL


def test_congestion_backs_off() -> None:
    """BFD-093: intervals doubled with a Poll, and back."""
    s = session_in(UP)
    told = sent(s.step("backoff", 2 * SECOND, arg=2))
    assert (told.min_tx_us, told.min_rx_us, told.flags) == (200_000, 200_000, POLL)
    assert s.detect_int == 600 * MS
    s.receive(packet(UP, flags=FINAL), 2 * SECOND + MS)
    assert s.tx_int == 200 * MS
    assert sent(s.step("backoff", 3 * SECOND, arg=0)).min_tx_us == 50_000


def test_padding() -> None:
    """BFD-119."""
    data = Session(padded=1472).step("tx", 1).packets[0]
    assert len(data) == 1472
    assert data[3] == 24
    assert not any(data[24:])


# ---- Echo ----


def echo_session(**settings: Any) -> Session:
    s = session_in(UP, echo_tx_us=20_000, **settings)
    assert not s.echo_on
    s.receive(packet(UP, min_echo_rx_us=30_000), 2 * SECOND)
    assert s.echo_on
    return s


def test_echo_runs_while_allowed() -> None:
    """BFD-063: only while Up and welcome, not faster than the neighbour can."""
    s = echo_session()
    assert s.echo_int == 30 * MS
    assert s.echo_at == 2 * SECOND
    actions = s.step("echo", 2 * SECOND, random=0xFFFF)
    assert actions.echo is not None
    assert s.echo_is_ours(actions.echo)
    assert 2 * SECOND + 29 * MS < s.echo_at <= 2 * SECOND + 30 * MS
    s.receive(packet(UP, min_echo_rx_us=0), 2 * SECOND + MS)
    assert (s.echo_on, s.echo_at) == (False, NEVER)


def test_echo_slows_the_control_packets() -> None:
    """BFD-066: Required Min RX of a second while Echo does the detecting, and back by the rules of 6.8.3."""
    s = echo_session()
    assert s.required_min_rx_us == 1_000_000
    assert s.detect_int == 3 * SECOND
    assert sent(s.step("tx", s.tx_at)).flags == POLL
    s.receive(packet(UP, min_echo_rx_us=0), s.tx_at)
    assert s.required_min_rx_us == 50_000
    assert s.detect_int == 3 * SECOND  # until F


def test_echo_failure() -> None:
    """BFD-065: multiplier times the interval after the last one that came back."""
    s = echo_session()
    now = 2 * SECOND
    for _ in range(4):
        now = s.echo_at
        assert s.step("echo", now).echo is not None
        s.step("echo_back", now + MS, rx_time=now + MS)
    deadline = now + MS + 90 * MS
    while s.echo_at < deadline:
        assert s.step("echo", s.echo_at).cause == ""
    assert s.echo_at == deadline
    actions = s.step("echo", deadline)
    assert (actions.cause, s.local_diag, s.state) == ("echo_failed", 2, "down")
    assert sent(actions).min_rx_us == 50_000  # what Echo had kept up is back at once
    assert s.echo_at == NEVER


def test_echo_and_own_sleep() -> None:
    s = echo_session()
    actions = s.step("echo", 3 * SECOND, asleep=950 * MS)
    assert "stalled" in actions.todo
    assert s.state == "up"
    assert s.step("echo", 4 * SECOND, asleep=950 * MS).cause == "echo_failed"


def test_foreign_echo_is_not_taken() -> None:
    s = echo_session()
    data = s.step("echo", 2 * SECOND).echo
    assert data is not None
    for n in range(24):
        if n in (12, 13, 14, 15):
            continue  # unused
        assert not s.echo_is_ours(data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :]) or n == 11
    assert not s.echo_is_ours(data[:23])


# ---- authentication ----

KEYS = [(7, kind, b"bfdsecret") for kind in range(1, 6)]


def codec_key(key: tuple[int, int, bytes]) -> codec.BfdKey:
    return codec.BfdKey(*key)


@pytest.mark.parametrize("key", KEYS, ids=["simple", "md5", "met-md5", "sha1", "met-sha1"])
def test_authenticated_bring_up(key: tuple[int, int, bytes]) -> None:
    """BFD-071: both sides with our own packets, all five types."""
    a, b = Session(discr=1, keys=[key], seq=5), Session(discr=2, keys=[key], seq=0xFFFFFFFE)
    queue = [(b, a.step("tx", SECOND).packets[0])]
    while queue:
        target, data = queue.pop(0)
        actions = target.receive(data, SECOND)
        assert actions.verdict == "ok"
        queue += [(a if target is b else b, p) for p in actions.packets]
    assert (a.state, b.state) == ("up", "up")
    assert b"bfdsecret" not in a.step("tx", a.tx_at).packets[0] or key[1] == 1  # BFD-072


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        (2, ["ok", "auth_sequence", "ok", "auth_sequence"]),
        (4, ["ok", "auth_sequence", "ok", "auth_sequence"]),
        (3, ["auth_sequence", "auth_sequence", "ok", "auth_sequence"]),
        (5, ["auth_sequence", "auth_sequence", "ok", "auth_sequence"]),
    ],
)
def test_sequence_window(kind: int, verdicts: list[str]) -> None:
    """BFD-074: same, one before, 3 x mult ahead, one further; around the wrap, too."""
    key = (1, kind, b"k")
    for last in (1000, 0xFFFFFFFF, 3):
        for ahead, verdict in zip((0, -1, 9, 10), verdicts, strict=True):
            s = Session(discr=OURS, keys=[key], detect_mult=3)
            first = packet(DOWN, your_discr=0, key=codec_key(key), auth_seq=last)
            assert s.receive(first, SECOND).verdict == "ok"
            assert (s.seq_known, s.rcv_seq) == (True, last)
            then = packet(INIT, key=codec_key(key), auth_seq=(last + ahead) % 2**32)
            assert s.receive(then, SECOND).verdict == verdict
            assert s.rcv_seq == ((last + ahead) % 2**32 if verdict == "ok" else last)


def test_bad_digest_moves_nothing() -> None:
    """BFD-080: not even with a sequence number that would shut the neighbour out."""
    key = (1, 5, b"k")
    s = Session(discr=OURS, keys=[key])
    s.receive(packet(DOWN, your_discr=0, key=codec_key(key), auth_seq=100), SECOND)
    before = s.snapshot
    forged = packet(DOWN, key=codec.BfdKey(1, 5, b"other"), auth_seq=109)
    assert s.receive(forged, SECOND).verdict == "auth_digest"
    assert s.snapshot == before
    assert s.receive(packet(INIT, key=codec_key(key), auth_seq=101), SECOND).verdict == "ok"


def test_authentication_faults() -> None:
    """BFD-015, BFD-069, BFD-073, BFD-082."""
    s = Session(discr=OURS, keys=[(7, 4, b"bfdsecret"), (8, 1, b"password")])
    for key, verdict in [
        (None, "auth_missing"),
        (codec.BfdKey(7, 2, b"bfdsecret"), "auth_type"),
        (codec.BfdKey(9, 4, b"bfdsecret"), "auth_key_id"),
        (codec.BfdKey(7, 4, b"bfdsecre"), "auth_digest"),
        (codec.BfdKey(8, 1, b"passwor"), "auth_digest"),
        (codec.BfdKey(8, 1, b"password1"), "auth_digest"),
        (codec.BfdKey(8, 1, b"password"), "ok"),
        (codec.BfdKey(7, 4, b"bfdsecret"), "ok"),
    ]:
        assert s.receive(packet(DOWN, your_discr=0, key=key), SECOND).verdict == verdict
    wrong_length = bytearray(packet(DOWN, your_discr=0, key=codec.BfdKey(7, 4, b"bfdsecret")))
    wrong_length[25] = 27
    assert s.receive(bytes(wrong_length), SECOND).verdict == "auth_length"
    # a section that ends before the packet does: what is behind it would be covered by no digest
    surplus = bytearray(packet(DOWN, your_discr=0, key=codec.BfdKey(8, 1, b"password")) + b"\0")
    surplus[3] += 1
    assert s.receive(bytes(surplus), SECOND).verdict == "auth_length"


def test_sequence_is_forgotten_after_two_detection_times() -> None:
    """BFD-078: then a restarted neighbour may begin anywhere."""
    key = (1, 5, b"k")
    s = Session(discr=OURS, keys=[key])
    s.receive(packet(DOWN, your_discr=0, key=codec_key(key), auth_seq=100), SECOND)
    detect = s.detect_int
    s.step("detect", s.detect_at)
    assert s.seq_known
    assert s.detect_at == SECOND + 2 * detect
    low = packet(DOWN, your_discr=0, key=codec_key(key), auth_seq=5)
    assert s.receive(low, s.detect_at - 1).verdict == "auth_sequence"
    s.step("detect", s.detect_at)
    assert (s.seq_known, s.detect_at) == (False, NEVER)
    assert s.receive(low, 10 * SECOND).verdict == "ok"


@pytest.mark.parametrize("kind", [3, 5])
def test_meticulous_sequence_counts_every_packet(kind: int) -> None:
    """BFD-075: F included."""
    key = (1, kind, b"k")
    s = Session(discr=OURS, keys=[key], seq=0xFFFFFFFE)
    numbers = [sent(s.step("tx", 1)).auth_seq]
    numbers.append(sent(s.step("tx", s.tx_at)).auth_seq)
    answer = s.receive(packet(ADMIN_DOWN, flags=POLL, key=codec_key(key), auth_seq=9), s.tx_at)
    numbers.append(sent(answer).auth_seq)
    assert numbers == [0xFFFFFFFF, 0, 1]


@pytest.mark.parametrize("kind", [2, 4])
def test_keyed_sequence_counts_changes(kind: int) -> None:
    """BFD-076: with new contents, and at least once a second."""
    s = Session(discr=OURS, keys=[(1, kind, b"k")], seq=10)
    assert sent(s.step("tx", SECOND, random=0)).auth_seq == 11
    assert sent(s.step("tx", SECOND + 750 * MS, random=0)).auth_seq == 11
    again = s.step("tx", SECOND + 1500 * MS, random=0)
    assert sent(again).auth_seq == 12
    changed = s.step("admin_down", s.tx_at, arg=7)
    assert sent(changed).auth_seq == sent(again).auth_seq + 1


def test_key_roll_without_a_flap() -> None:
    """BFD-082: both keys known on both sides, then the sender changes, then the old one goes; types
    included."""
    old, new = (1, 4, b"old"), (2, 5, b"new")
    s = Session(discr=OURS, keys=[old])
    seq = 100
    s.receive(packet(DOWN, your_discr=0, key=codec_key(old), auth_seq=seq), SECOND)
    s.receive(packet(UP, key=codec_key(old), auth_seq=seq), SECOND)
    s.reconfigure(2 * SECOND, keys=[old, new])
    assert s.receive(packet(UP, key=codec_key(new), auth_seq=seq + 1), 2 * SECOND).verdict == "ok"
    assert s.receive(packet(UP, key=codec_key(old), auth_seq=seq + 1), 2 * SECOND).verdict == "ok"
    s.reconfigure(2 * SECOND, keys=[old, new], tx_key=1)
    data = s.step("tx", max(s.tx_at, 2 * SECOND)).packets[0]
    assert codec.BfdAuth([codec_key(new)]).check(data, detect_mult=3) == "ok"
    s.reconfigure(2 * SECOND, keys=[new])
    assert s.receive(packet(UP, key=codec_key(old), auth_seq=seq + 2), 2 * SECOND).verdict == "auth_type"
    assert (s.state, s.transitions) == ("up", 2)


def test_authentication_rolled_out_step_by_step() -> None:
    """BFD-081: accept both, then sign, then insist."""
    key = (1, 5, b"k")
    s = Session(discr=OURS)
    s.receive(packet(DOWN, your_discr=0), SECOND)
    s.receive(packet(UP), SECOND)
    s.reconfigure(2 * SECOND, keys=[key], tx_key=None, auth_optional=True)
    assert s.receive(packet(UP), 2 * SECOND).verdict == "ok"
    assert s.receive(packet(UP, key=codec_key(key), auth_seq=5), 2 * SECOND).verdict == "ok"
    assert (
        s.receive(packet(UP, key=codec.BfdKey(1, 5, b"x"), auth_seq=6), 2 * SECOND).verdict == "auth_digest"
    )
    assert not sent(s.step("tx", max(s.tx_at, 2 * SECOND))).flags & AUTH
    s.reconfigure(2 * SECOND, keys=[key])
    assert sent(s.step("tx", max(s.tx_at, 2 * SECOND))).flags & AUTH
    assert s.receive(packet(UP), 2 * SECOND).verdict == "auth_missing"
    assert s.state == "up"


# ---- S-BFD ----

REFLECTOR = 0x0A000002


def initiator(**settings: Any) -> Session:
    return Session(discr=OURS, kind="sbfd", remote_discr=REFLECTOR, min_tx_us=100_000, **settings)


def test_sbfd_golden_pair() -> None:
    """BFD-104, BFD-106."""
    question = sent(initiator().step("tx", 1))
    assert (question.state, question.flags, question.your_discr) == (DOWN, DEMAND, REFLECTOR)
    assert (question.min_rx_us, question.min_echo_rx_us) == (0, 0)
    golden = bytes.fromhex("20420318112233440a000002000186a00000000000000000")
    assert reflect(golden, discrs=[1, REFLECTOR]) == (
        "ok",
        bytes.fromhex("20c003180a00000211223344000186a00000271000000000"),
    )


def test_sbfd_reflector_refuses() -> None:
    """BFD-102, BFD-103, BFD-105."""
    question = initiator().step("tx", 1).packets[0]
    assert reflect(question, discrs=[1]) == ("your_discriminator_unknown", None)
    assert reflect(question, discrs=[REFLECTOR], src_port=7784) == ("sbfd_port", None)
    verdict, answer = reflect(question, discrs=[REFLECTOR])
    assert answer is not None
    assert reflect(answer, discrs=[OURS]) == ("sbfd_demand", None)  # no loop
    assert reflect(question, discrs=[REFLECTOR], keys=[KEYS[0]]) == ("auth_missing", None)
    key = (7, 5, b"bfdsecret")
    signed = initiator(keys=[key], seq=500).step("tx", 1).packets[0]
    verdict, answer = reflect(signed, discrs=[REFLECTOR], keys=[key])
    assert (verdict, answer is not None) == ("ok", True)
    assert answer is not None
    read = codec.bfd_decode(answer)[1]
    assert read is not None
    assert read.auth_seq == 501
    assert codec.BfdAuth([codec_key(key)]).check(answer, detect_mult=3) == "ok"


def test_sbfd_session() -> None:
    """2.4: Up by the first answer, Down by silence; AdminDown is no loss (BFD-107)."""
    s = initiator()
    question = s.step("tx", 1).packets[0]
    _, answer = reflect(question, discrs=[REFLECTOR], min_rx_us=20_000)
    assert answer is not None
    actions = s.receive(answer, SECOND)
    assert (s.state, actions.cause) == ("up", "handshake")
    assert s.tx_int == 100 * MS
    assert s.detect_at == SECOND + 300 * MS
    _, admin = reflect(question, discrs=[REFLECTOR], admin_down=True)
    assert admin is not None
    actions = s.receive(admin, SECOND)
    assert (s.state, actions.cause) == ("down", "neighbor_admin_down")
    assert s.tx_int == SECOND
    s.receive(answer, 2 * SECOND)
    assert s.step("detect", s.detect_at).cause == "detection_time_expired"
    assert (s.state, s.local_diag, s.remote_discr) == ("down", 1, REFLECTOR)
    for data, verdict in [
        (packet(UP, my_discr=REFLECTOR, flags=DEMAND), "sbfd_demand"),
        (packet(INIT, my_discr=REFLECTOR), "sbfd_state"),
        (packet(UP, my_discr=5), "no_session"),
    ]:
        assert s.receive(data, 3 * SECOND).verdict == verdict


# ---- unaffiliated Echo ----


def test_unaffiliated_echo() -> None:
    """BFD-112 ... BFD-114: up by our own looped packets, down with diagnostic 2, intervals heard mean
    nothing."""
    s = Session(discr=OURS, kind="looped", min_tx_us=20_000, detect_mult=3)
    first = s.step("tx", SECOND)
    assert (sent(first).your_discr, sent(first).min_tx_us, sent(first).min_rx_us) == (0, 1_000_000, 1_000_000)
    assert s.tx_int == SECOND
    second = s.receive(first.packets[0], SECOND + MS)
    assert (s.state, sent(second).your_discr) == ("init", OURS)
    third = s.receive(second.packets[0], SECOND + 2 * MS)
    assert (s.state, sent(third).flags) == ("up", 0)
    assert s.tx_int == 20 * MS
    before = s.transitions
    assert s.receive(first.packets[0], SECOND + 3 * MS).todo == frozenset()  # a late one of the beginning
    assert s.receive(packet(UP), SECOND + 3 * MS).verdict == "echo_not_ours"
    assert s.detect_at == SECOND + 2 * MS + 60 * MS
    actions = s.step("detect", s.detect_at)
    assert (s.state, s.local_diag, actions.cause) == ("down", 2, "echo_failed")
    assert s.transitions == before + 1
    s.step("admin_down", 5 * SECOND, arg=7)
    assert s.tx_at == NEVER
