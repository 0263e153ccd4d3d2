"""Directors share drains and weights: the latest wish wins everywhere, and nobody else is believed."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastha.config import load
from fastha.config.model_lvs import Share
from fastha.lvs import directors
from fastha.lvs.directors import Directors
from fastha.lvs.shared import MOST, Wish, Wishes

SECRET = b"a shared secret"
_ports = itertools.count(23000)


def value(of: Wishes | Node) -> dict[str, tuple[bool, int | None]]:
    wishes = of.wishes if isinstance(of, Node) else of
    return {key: (wish.drain, wish.weight) for key, wish in wishes.known.items()}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directors, "EVERY_S", 0.2)
    monkeypatch.setattr(directors, "ANSWER_S", 0.1)


# -------------------------------------------------------------------- wishes


def test_the_latest_wish_wins_whatever_the_order() -> None:
    one, two = Wishes("one"), Wishes("two")
    first = one.make("s", 0.0, drain=True)
    two.hear([first], 0.0)
    second = two.make("s", 0.0, drain=False)
    assert second.stamp > first.stamp
    late = Wishes("late")
    assert late.hear([second, first], 0.0) == [second]
    assert one.hear([second], 0.0) == [second]
    assert value(one) == value(two) == value(late) == {"s": (False, None)}


def test_what_was_taken_back_is_not_revived_by_one_who_was_away() -> None:
    one, away = Wishes("one"), Wishes("away")
    away.hear([one.make("s", 0.0, drain=True)], 0.0)
    one.make("s", 0.0, drain=False)
    assert one.hear(away.told(0.0, lambda _key: False, away.known.values()), 0.0) == []
    assert value(one) == {"s": (False, None)}


def test_a_deadline_is_told_as_what_is_left_of_it() -> None:
    one, two = Wishes("one"), Wishes("two")
    one.make("s", 100.0, drain=True, left_s=60.0)
    (told,) = one.told(130.0, lambda _key: True, one.known.values())
    assert told.left_s == 30.0
    assert told.busy
    two.hear([told], 5000.0)  # its clock began elsewhere
    assert two.until == {"s": 5030.0}
    two.make("s", 5001.0, drain=False)
    assert two.until == {}


def test_only_so_many_are_kept_and_senseless_stamps_are_not() -> None:
    wishes = Wishes("one")
    wishes.hear([Wish(str(n), 1, "x") for n in range(MOST + 5)], 0.0)
    assert len(wishes.known) == MOST
    assert wishes.hear([Wish("1", 0, "x"), Wish("1", -4, "x"), Wish("1", 2**60, "x")], 0.0) == []


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.booleans(), st.booleans()), max_size=30),
    st.randoms(use_true_random=False),
)
def test_all_end_with_the_same(deeds: list[tuple[int, str, bool, bool]], chance: Any) -> None:
    """Three directors, wishes at any of them, packets lost and out of order; then all is told to all."""
    nodes = [Wishes(name) for name in ("one", "two", "three")]
    under_way: list[Wish] = []
    for number, key, drain, tell in deeds:
        made = nodes[number].make(key, 0.0, drain=drain, weight=None if drain else number)
        if tell:
            under_way.append(made)
        chance.shuffle(under_way)
        if under_way and chance.random() < 0.5:
            chance.choice(nodes).hear([under_way.pop()], 0.0)
    for _ in range(2):
        for speaker, listener in itertools.permutations(nodes, 2):
            listener.hear(list(speaker.told(0.0, lambda _key: False, speaker.known.values())), 0.0)
    assert value(nodes[0]) == value(nodes[1]) == value(nodes[2])


# -------------------------------------------------------------------- packets


@dataclass
class Node:
    """A director without servers."""

    host: str
    port: int
    peers: tuple[tuple[str, int], ...]
    secret: bytes = SECRET
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wishes = Wishes(self.host)
        conf = Share(address=self.host, port=self.port, secret=self.secret, peers=self.peers)
        self.directors = Directors(conf, self.told, self.heard, lambda _level, text: self.said.append(text))

    def told(self) -> list[Wish]:
        return list(self.wishes.told(time.monotonic(), lambda _key: True, self.wishes.known.values()))

    def heard(self, wishes: list[Wish]) -> None:
        self.wishes.hear(wishes, time.monotonic())

    def wish(self, key: str, **what: Any) -> None:
        self.directors.tell([self.wishes.make(key, time.monotonic(), **what)])


def nodes(count: int, secrets: tuple[bytes, ...] = (SECRET,) * 3) -> list[Node]:
    places = [(f"127.0.0.{n + 1}", next(_ports)) for n in range(count)]
    return [
        Node(*place, tuple(p for p in places if p != place), secret)
        for place, secret in zip(places, secrets, strict=False)
    ]


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about")


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 60))


def test_three_directors_learn_of_each_other_and_of_a_fourth_run() -> None:
    async def story() -> None:
        one, two, three = made = nodes(3)
        one.wishes.make("before", time.monotonic(), drain=True, left_s=600.0)
        for node in made:
            await node.directors.open()
        await until(lambda: all("before" in node.wishes.known for node in made))
        two.wish("s", drain=False, weight=7)
        await until(lambda: all(value(node).get("s") == (False, 7) for node in made))
        assert one.directors.busy("before")  # the others' servers are not done yet
        assert all(peer.here for peer in one.directors.snapshot())
        # One ends, and comes back having forgotten everything.
        three.directors.close()
        again = Node(three.host, three.port, three.peers)
        await again.directors.open()
        await until(lambda: value(again) == value(one))
        again.wish("s", drain=True)
        await until(lambda: value(one)["s"] == (True, None) == value(two)["s"])
        for node in (one, two, again):
            assert node.directors.refused["signature"] == node.directors.refused["malformed"] == 0
            node.directors.close()

    play(story)


def test_two_thousand_wishes_arrive() -> None:
    async def story() -> None:
        one, two = made = nodes(2)
        for n in range(2000):
            one.wishes.make(f"198.51.100.1:80 real-server-with-a-long-name-{n}:8080", 0.0, drain=True)
        for node in made:
            await node.directors.open()
        await until(lambda: len(two.wishes.known) == 2000)
        for node in made:
            node.directors.close()

    play(story)


def test_a_wrong_secret_a_stranger_and_a_recording_are_not_believed() -> None:
    async def story() -> None:
        one, two = nodes(2, (SECRET, b"another secret"))
        await one.directors.open()
        await two.directors.open()
        await until(lambda: one.directors.refused["signature"] and two.directors.refused["signature"])
        assert not one.directors.snapshot()[0].here
        two.directors.close()

        # The right one; what it sends is recorded.
        two = Node(two.host, two.port, two.peers)
        recorded: list[bytes] = []
        receive = one.directors.datagram_received

        def record(data: bytes, addr: tuple[str, int]) -> None:
            recorded.append(data)
            receive(data, addr)

        one.directors.datagram_received = record  # type: ignore[method-assign]
        await two.directors.open()
        two.wish("s", drain=True)
        await until(lambda: value(one).get("s") == (True, None))
        two.wish("s", drain=False)
        await until(lambda: value(one).get("s") == (False, None))
        place = (two.host, two.port)
        refused = one.directors.refused["replayed"]
        for data in recorded:
            receive(data, place)
        assert value(one)["s"] == (False, None)
        assert one.directors.refused["replayed"] > refused

        # A later run of ours, which knows nothing, believes none of it either.
        one.directors.close()
        fresh = Node(one.host, one.port, one.peers)
        for data in recorded:
            fresh.directors.datagram_received(data, place)
            for cut in (0, 5, 20, 44, len(data) - 1):
                fresh.directors.datagram_received(data[:cut], place)
            fresh.directors.datagram_received(bytes([data[0] ^ 1]) + data[1:], place)
            fresh.directors.datagram_received(data[:30] + bytes([data[30] ^ 1]) + data[31:], place)
        assert fresh.wishes.known == {}
        fresh.directors.datagram_received(recorded[0], ("127.0.0.99", 1))
        assert fresh.directors.refused["stranger"] == 1
        assert fresh.directors.refused["malformed"] > 0
        two.directors.close()

    play(story)


def test_an_address_that_is_not_here_is_told_and_tried_again() -> None:
    async def story() -> None:
        (one,) = nodes(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((one.host, one.port))
            await one.directors.open()
            assert "cannot be used: Address already in use" in one.said[0]
        await one.directors.open()
        one.directors.close()
        assert len(one.said) == 1

    play(story)


# -------------------------------------------------------------------- configuration


def text(*lines: str) -> str:
    return "global_defs {\n" + "\n".join(lines) + "\n}\n"


def test_the_configuration_names_the_directors() -> None:
    result = load(
        "-",
        text=text(
            "fastha_lvs_share [2001:db8::1]:3786 'the shared secret'",
            "fastha_lvs_peer [2001:db8::2]:3786",
            "fastha_lvs_peer [2001:db8::1]:3786",  # one list for all: itself is left out
        ),
    )
    assert result.config is not None
    share = result.config.lvs.share
    assert share == Share(
        address="2001:db8::1", port=3786, secret=b"the shared secret", peers=(("2001:db8::2", 3786),)
    )
    assert "secret" not in repr(share)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("fastha_lvs_peer 192.0.2.2:3786",), "without fastha_lvs_share"),
        (("fastha_lvs_share 192.0.2.1 'long enough'",), "is no ADDRESS:PORT"),
        (("fastha_lvs_share 192.0.2.1:3786 short",), "8 octets or more"),
        (("fastha_lvs_share 192.0.2.1:3786",), "8 octets or more"),
        (("fastha_lvs_share 192.0.2.1:3786 'long enough'", "fastha_lvs_peer x:1"), "is no ADDRESS:PORT"),
        (("fastha_lvs_share 192.0.2.1:3786 'long enough' more",), "needs quotes"),
        (
            ("fastha_lvs_share 192.0.2.1:3786 'long enough'", "fastha_lvs_peer 192.0.2.2:1 x"),
            "extra word 'x'",
        ),
    ],
)
def test_what_cannot_be_is_told(lines: tuple[str, ...], said: str) -> None:
    result = load("-", text=text(*lines))
    assert result.config is not None
    assert any(said in d.message for d in result.diagnostics), [d.message for d in result.diagnostics]
    share = result.config.lvs.share
    assert share is None or len(share.peers) == ("extra word" in said)
