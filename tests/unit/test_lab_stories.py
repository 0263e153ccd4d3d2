"""The chaos lab's own rules: the same seed is the same story, and each invariant is one that can fail."""

from __future__ import annotations

import pytest

from fastha.lab.chaos_check import Bounds, Fault, Observed, Sent, Span, check
from fastha.lab.chaos_story import ONLY_FASTHA, story

MS = 1_000_000
S = 1000 * MS
BOUNDS = Bounds(advert=100 * MS, slack=50 * MS, lifetime=3 * S, answer_every=20 * MS)
MIXED = {"r1": "fastha", "r2": "keepalived", "r3": "fastha"}
PRIORITIES = {"r1": 200, "r2": 150, "r3": 100}


def adverts(node: str, begin: int, end: int, *, goodbye: bool = False) -> list[Sent]:
    """One every 100 ms; times in milliseconds."""
    sent = [Sent(at * MS, node, PRIORITIES[node]) for at in range(begin, end, 100)]
    return [*sent, Sent(end * MS, node, 0)] if goodbye else sent


def answers(node: str, begin: int, end: int) -> list[Sent]:
    return [Sent(at * MS, node, 1) for at in range(begin, end, 20)]


def observed(*sent: list[Sent], said: tuple[list[Sent], ...] = (), **more: object) -> Observed:
    seen = Observed(PRIORITIES, begin=1 * S, **more)  # type: ignore[arg-type]
    seen.adverts["IPv4"] = sorted(one for part in sent for one in part)
    if said:
        seen.answers["198.51.100.99"] = sorted(one for part in said for one in part)
    return seen


def names(seen: Observed, end: int = 10_000) -> list[tuple[str, str]]:
    return [(violation.invariant, violation.node) for violation in check(seen, BOUNDS, end * MS)]


def test_the_same_seed_is_the_same_story_and_another_is_another() -> None:
    assert story(7, 60, MIXED) == story(7, 60, MIXED)
    assert story(7, 60, MIXED) != story(8, 60, MIXED)


def test_a_longer_story_begins_as_the_shorter_one() -> None:
    short, long = story(7, 20, MIXED), story(7, 60, MIXED)
    assert len(short) < len(long) and long[: len(short)] == short


def test_a_story_spares_keepalived_what_it_cannot_come_back_from_and_delays_only_where_asked() -> None:
    blows = [blow for seed in range(50) for step in story(seed, 60, MIXED) for blow in step.blows]
    assert not [b for b in blows if b.router == "r2" and b.kind in ONLY_FASTHA]
    assert not [b for b in blows if b.kind == "delay"]
    late = [b for seed in range(50) for step in story(seed, 60, MIXED, delay=True) for b in step.blows]
    assert [b for b in late if b.kind == "delay"]
    assert {b.kind for b in late} >= {b.kind for b in blows}


def test_a_quiet_segment_has_nothing_wrong() -> None:
    seen = observed(adverts("r1", 1000, 10_000), peace=[Span(1 * S, 10 * S)])
    assert names(seen) == []


def test_a_take_over_by_the_protocol_has_nothing_wrong() -> None:
    seen = observed(
        adverts("r1", 1000, 3000), adverts("r2", 3350, 5800), adverts("r1", 5800, 10_000),
        said=(answers("r1", 1000, 4500), answers("r2", 3350, 5800), answers("r1", 5800, 10_000)),
        faults=[Fault("r1", "kill", 3 * S, 5 * S)], peace=[Span(5 * S, 10 * S)],
    )  # fmt: skip
    assert names(seen) == []


def test_two_masters_that_hear_each_other() -> None:
    seen = observed(adverts("r1", 1000, 10_000), adverts("r2", 3000, 3500))
    assert names(seen) == [("two-masters", "r2")]


def test_two_masters_across_a_fault_of_the_path_are_nobodys_fault_until_it_is_healed() -> None:
    fault = [Fault("r1", "mute", 2900 * MS, 3500 * MS)]
    assert names(observed(adverts("r1", 1000, 10_000), adverts("r2", 3000, 3600), faults=fault)) == []
    assert names(observed(adverts("r1", 1000, 10_000), adverts("r2", 3000, 3900), faults=fault)) == [
        ("two-masters", "r2")
    ]


def test_two_routers_that_answer_for_one_address() -> None:
    seen = observed(
        adverts("r1", 1000, 10_000), said=(answers("r1", 1000, 10_000), answers("r3", 5000, 5600))
    )
    assert names(seen) == [("two-answers", "r3")]


def test_a_dead_routers_kernel_answers_no_longer_than_the_lifetime_of_its_addresses() -> None:
    sent = (adverts("r1", 1000, 3000), adverts("r2", 3350, 10_000))
    fault = [Fault("r1", "kill", 3 * S, 9900 * MS)]
    inside = observed(*sent, said=(answers("r1", 1000, 5900), answers("r2", 3350, 10_000)), faults=fault)
    beyond = observed(*sent, said=(answers("r1", 1000, 8000), answers("r2", 3350, 10_000)), faults=fault)
    assert names(inside) == []
    assert names(beyond) == [("two-answers", "r2")]


def test_nobody_speaks_though_somebody_could() -> None:
    seen = observed(
        adverts("r1", 1000, 3000), adverts("r3", 4000, 10_000), faults=[Fault("r1", "kill", 3 * S, 20 * S)]
    )
    assert names(seen) == [("no-master", "r3")] or names(seen) == [("no-master", "r2")]


def test_nobody_speaks_and_nobody_could() -> None:
    dead = [Fault(node, "unplug", 3 * S, 6 * S) for node in PRIORITIES]
    seen = observed(adverts("r1", 1000, 3000), adverts("r1", 6400, 10_000), faults=dead)
    assert names(seen) == []


def test_silence_to_the_end_is_seen() -> None:
    assert names(observed(adverts("r1", 1000, 8000))) == [("no-master", "r3")]


def test_who_speaks_into_a_dead_wire_is_no_owner() -> None:
    fault = [Fault("r1", "mute", 3 * S, 8 * S)]
    assert ("no-master", "r3") in names(observed(adverts("r1", 1000, 10_000), faults=fault))


def test_a_lower_router_that_stays_master_in_peace() -> None:
    seen = observed(adverts("r2", 1000, 10_000), peace=[Span(2 * S, 10 * S)])
    found = names(seen)
    assert ("order", "r2") in found and ("order", "r1") in found


def test_a_change_of_master_in_peace() -> None:
    seen = observed(
        adverts("r1", 1000, 5000), adverts("r2", 5350, 5900), adverts("r1", 5900, 10_000),
        peace=[Span(2 * S, 10 * S)],
    )  # fmt: skip
    assert names(seen) == [("flap", "r2"), ("flap", "r1")]


def test_a_backup_that_has_an_address() -> None:
    holds = [(9 * S, {"r1": {"198.51.100.99"}, "r3": {"2001:db8:1::99"}})]
    assert names(observed(adverts("r1", 1000, 10_000), holders=holds)) == [("holds", "r3")]


@pytest.mark.parametrize("end", [3000, 3050])
def test_a_goodbye_ends_a_term(end: int) -> None:
    seen = observed(adverts("r1", 1000, end, goodbye=True), adverts("r2", end + 100, 10_000))
    assert names(seen) == []
