"""The causal story, the distance of two clocks, and the split-brain detector: pure parts, made-up records."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastha.daemon.splitbrain import SplitBrains
from fastha.telemetry.clocks import distance
from fastha.telemetry.history import HistoryMark, HistoryRecord
from fastha.telemetry.records_json import NOTE, NotRecordsError, event_of, read_events, record_of
from fastha.telemetry.story import shifted, tell
from fastha.vrrp.records import Level, Note, Transition

S = 1_000_000_000
T0 = 1_700_000_000 * S
A, B = "192.0.2.1", "192.0.2.2"


def transition(
    at: int, old: str, new: str, cause: str, *, source: str, peer: str = "", **more: object
) -> HistoryRecord:
    details = {"source": source} | ({"peer": peer} if peer else {})
    if "peer_priority" in more:
        details["peer_priority"] = str(more.pop("peer_priority"))
    return HistoryRecord(
        wall_ns=at,
        kind="INSTANCE",
        name="VI_1",
        state=new,
        previous=old,
        cause=cause,
        vrid=7,
        details=details,
        **more,  # type: ignore[arg-type]
    )


def note(at: int, kind: str, text: str, **details: str) -> HistoryRecord:
    return HistoryRecord(
        wall_ns=at, kind=NOTE, name="VI_1", state=kind, cause=f"(VI_1) {text}", vrid=7, details=details
    )


def failover() -> tuple[list[HistoryRecord], list[HistoryRecord]]:
    """A's script fails, B preempts: what each of them writes down, by one clock."""
    ours = [
        note(T0, "tracking", "script chk failed twice: exit 1, 'no'"),
        note(T0 + 1000, "priority", "Changing effective priority from 150 to 90", number="90"),
        transition(
            T0 + 90_200_000,
            "MASTER",
            "BACKUP",
            f"a master with higher priority (or address) was heard: {B}",
            source=A,
            peer=B,
            peer_priority=100,
        ),
    ]
    theirs = [
        note(T0 + 1_000_000, "lower_priority", f"Received advert from {A} with lower priority 90", peer=A),
        transition(
            T0 + 90_000_000,
            "BACKUP",
            "MASTER",
            "preempted a lower master",
            source=B,
            peer=A,
            timeline=(HistoryMark("decided", 0), HistoryMark("advert sent", 60)),
        ),
    ]
    return ours, theirs


def test_one_router_tells_the_whole_chain() -> None:
    ours, _ = failover()
    (episode,) = tell([("r1", record) for record in ours])
    assert episode.headlines == (
        f"VI_1: script chk failed twice: exit 1, 'no' → priority 150→90 → {B} with priority 100 preempted",
    )
    assert [line.transition for line in episode.lines] == [False, False, True]


def test_both_routers_together() -> None:
    ours, theirs = failover()
    (episode,) = tell([("r1", r) for r in ours] + [("r2", r) for r in theirs])
    headline = episode.headlines[0]
    assert (
        headline.index("r1: script chk") < headline.index("r2: master (preempted") < headline.index("r1: 192")
    )


def test_what_is_far_apart_is_another_episode() -> None:
    ours, _ = failover()
    later = [transition(T0 + 60 * S, "BACKUP", "FAULT", "its interface is down (eth0)", source=A)]
    episodes = tell([("r1", r) for r in [*ours, *later]])
    assert [len(e.lines) for e in episodes] == [3, 1]
    assert episodes[1].headlines == ("VI_1: FAULT: its interface is down (eth0)",)


def test_a_master_that_dies_is_told_with_the_silence() -> None:
    record = transition(
        T0,
        "BACKUP",
        "MASTER",
        "no advert from the master within the master-down interval",
        source=B,
        peer=A,
        timeline=(
            HistoryMark("last advert heard", -3_600_000),
            HistoryMark("deadline", 0),
            HistoryMark("decided", 40),
            HistoryMark("first announcement", 400),
        ),
    )
    (episode,) = tell([("r2", record)])
    assert episode.headlines == (
        f"VI_1: took over: nothing from {A} for 3600 ms (the address was silent for at most 3600 ms)",
    )


@given(
    offset=st.integers(-3_000_000_000_000, 3_000_000_000_000),
    delay=st.integers(10_000, 5_000_000),
    seed=st.integers(0, 1000),
)
def test_the_distance_of_the_clocks_is_found(offset: int, delay: int, seed: int) -> None:
    """Several failovers at odd times; whatever the clocks' distance, it is found to within the delay."""
    dice = random.Random(seed)
    ours: list[HistoryRecord] = []
    theirs: list[HistoryRecord] = []
    at = T0
    for turn in range(6):
        at += dice.randrange(20, 4000) * S + dice.randrange(S)
        sender, receiver = (ours, theirs) if turn % 2 else (theirs, ours)
        me, other = (A, B) if turn % 2 else (B, A)
        sender.append(transition(at, "BACKUP", "MASTER", "preempted a lower master", source=me, peer=other))
        receiver.append(
            transition(
                at + delay, "MASTER", "BACKUP", f"a master with higher priority: {me}", source=other, peer=me
            )
        )
    moved = [r for _, r in shifted([("r2", r) for r in theirs], -offset)]
    found = distance(ours, moved)
    assert found is not None
    assert abs(found.ns - offset) <= delay
    assert found.pairs >= 6


def test_no_common_event_no_distance() -> None:
    ours, theirs = failover()
    assert distance(ours, theirs[:1]) is None
    assert distance([], []) is None


def test_a_goodbye_is_seen_by_both() -> None:
    ours = [transition(T0, "MASTER", "FAULT", "its interface is down (eth1)", source=A)]
    heard = T0 + 200_000
    theirs = [
        transition(
            heard + 600_000_000,
            "BACKUP",
            "MASTER",
            "the master said goodbye (priority 0)",
            source=B,
            peer=A,
            timeline=(HistoryMark("last advert heard", -600_000), HistoryMark("decided", 0)),
        )
    ]
    found = distance(ours, theirs)
    assert found is not None
    assert found.ns == T0 - heard


def test_records_go_through_json_and_back() -> None:
    for record in (*failover()[0], *failover()[1]):
        event = json.loads(json.dumps(event_of(record, "r2")))
        again = record_of(event)
        assert (again.wall_ns, again.kind, again.name, again.state) == (
            record.wall_ns,
            record.kind,
            record.name,
            record.state,
        )
        assert again.cause == record.cause
        assert again.details.get("peer") == record.details.get("peer")
    text = json.dumps([event_of(r, "r2") for r in failover()[1]]).encode()
    assert [node for node, _ in read_events(text)] == ["r2", "r2"]


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'[{"event": "note"}]'])
def test_what_is_no_list_of_events_is_refused_with_the_way_to_make_one(text: bytes) -> None:
    with pytest.raises(NotRecordsError):
        read_events(text)


# -------------------------------------------------------------------- split brain


class Watch:
    """A detector with its ears."""

    def __init__(self) -> None:
        self.told: list[Note] = []
        self.brains = SplitBrains(self.told.append)
        self.at = 10 * S

    def becomes(self, state: str) -> None:
        self.brains.transition(
            Transition(
                instance="VI_1",
                old="BACKUP",
                new=state,
                cause="",
                monotonic_ns=self.at,
                wall_ns=0,
                priority=100,
            )
        )

    def hears(self, kind: str, after: float = 0.0, text: str = "") -> None:
        self.at += int(after * S)
        self.brains.note(
            Note(
                kind=kind,
                level=Level.WARNING,
                text=text,
                instance="VI_1",
                monotonic_ns=self.at,
                peer=B,
                number=90,
            )
        )


def split(use: object) -> None:
    """Runs a coroutine function in a loop of its own."""
    asyncio.run(use())  # type: ignore[operator]


def test_one_advert_on_the_way_is_no_split_brain() -> None:
    async def use() -> None:
        watch = Watch()
        watch.becomes("MASTER")
        watch.hears("overlap_begin")
        watch.hears("lower_priority", 0.01)
        watch.hears("overlap_end", 3)
        watch.hears("foreign_claim")
        assert not watch.told
        assert watch.brains.count("VI_1") == 0

    split(use)


def test_two_masters_that_are_heard_are_told_once_and_their_end_too() -> None:
    async def use() -> None:
        watch = Watch()
        watch.becomes("MASTER")
        watch.hears("overlap_begin")
        for _ in range(5):
            watch.hears("lower_priority", 1)
        assert [n.level for n in watch.told] == [Level.ERROR]
        assert B in watch.told[0].text
        assert watch.brains.doubt("VI_1") is not None
        watch.hears("overlap_end", 1)
        assert len(watch.told) == 2
        assert watch.brains.doubt("VI_1") is None
        assert watch.brains.count("VI_1") == 1

    split(use)


def test_a_master_that_is_refused_here_is_inferred() -> None:
    async def use() -> None:
        watch = Watch()
        refused = f"(VI_1) advert from {B} refused: auth_failure (another password)"
        watch.hears("reject_auth_failure", text=refused)  # a backup is nobody's second master
        assert not watch.told
        watch.becomes("MASTER")
        watch.hears("reject_ttl", text="")  # a forged packet is no master
        assert not watch.told
        watch.hears("reject_auth_failure", text=refused)
        assert "another password" in watch.told[0].text
        doubt = watch.brains.doubt("VI_1")
        assert doubt is not None
        assert doubt.how == "refused"
        watch.becomes("BACKUP")
        assert watch.brains.doubt("VI_1") is None
        assert len(watch.told) == 2

    split(use)


def test_an_address_that_is_claimed_again_and_again() -> None:
    async def use() -> None:
        watch = Watch()
        watch.becomes("MASTER")
        watch.hears("foreign_claim")
        watch.hears("foreign_claim", 1.1)
        assert len(watch.told) == 1
        assert watch.brains.seconds("VI_1") >= 0

    split(use)
