"""Micro-benchmarks of the parts between the packets, as Python uses them: machines under the virtual clock,
the configuration language, IPVS messages. The C functions themselves are in `bench/codec.py`."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.lvs_ipvs import table
from fastha._core import codec, ipvs
from fastha._core.bfd_spec import BfdSpec
from fastha._core.vnode import VirtualNode, VirtualRouter
from fastha.config import load
from fastha.lab import confs

SECOND = 1_000_000_000


@pytest.mark.benchmark(group="machines")
def test_backup_hears_an_advert(benchmark: BenchmarkFixture) -> None:
    node = VirtualNode(1)
    node.add(0, priority=100)
    benchmark(node.heard, 0, 200)
    assert node.state(0) == "BACKUP"


@pytest.mark.benchmark(group="machines")
@pytest.mark.parametrize("count", [1, 255, 4000])
def test_masters_for_a_second(benchmark: BenchmarkFixture, count: int) -> None:
    """Every timer of so many masters expires once, and each sends its advert."""
    node = VirtualNode(count)
    for slot in range(count):
        node.add(slot, priority=200)
    node.advance(5 * SECOND)
    node.take()

    def second() -> int:
        node.advance(SECOND)
        node.take_events()
        return len(node.take())

    assert benchmark(second) >= count


@pytest.mark.benchmark(group="machines")
def test_takeover_of_a_thousand(benchmark: BenchmarkFixture) -> None:
    def made() -> tuple[tuple[VirtualNode], dict[str, object]]:
        node = VirtualNode(1000)
        for slot in range(1000):
            node.add(slot, priority=100)
            node.heard(slot, 200)
        return (node,), {}

    def silence(node: VirtualNode) -> VirtualNode:
        node.advance(4 * SECOND)
        return node

    node = benchmark.pedantic(silence, setup=made, rounds=20)
    assert node.state(999) == "MASTER"


@pytest.mark.benchmark(group="machines")
def test_bfd_session_for_a_second(benchmark: BenchmarkFixture) -> None:
    """A session that is Up, at 10 ms: its packets of a second, and one of the neighbour's."""
    node = VirtualRouter(1, 1)
    ours, theirs = b"\xc0\x00\x02\x02", b"\xc0\x00\x02\x01"
    discriminator = node.bfd_add(0, BfdSpec(family=2, peer=theirs, local=ours))

    def packet(state: int) -> bytes:
        # so many missed packets make two seconds
        return codec.bfd_encode(
            codec.BfdPacket(
                state=state, detect_mult=200, my_discr=7, your_discr=discriminator, min_tx_us=10_000,
                min_rx_us=10_000,
            )
        )  # fmt: skip

    node.bfd_heard(packet(2), theirs, ours)
    alive = packet(3)

    def second() -> int:
        node.bfd_heard(alive, theirs, ours)
        node.advance(SECOND)
        node.take_events()
        return len(node.take_packets())

    assert benchmark(second) >= 90
    assert node.bfd_state(0) == "up"


@pytest.mark.benchmark(group="configuration")
@pytest.mark.parametrize("count", [1, 250])
def test_configuration(benchmark: BenchmarkFixture, count: int) -> None:
    text = confs.config(
        *(
            confs.instance(f"V{n}", vrid=n, priority=100, addresses=[f"10.0.1.{n}/16"])
            for n in range(1, count + 1)
        )
    )
    result = benchmark(load, "-", text=text)
    assert result.config is not None
    assert len(result.config.instances) == count


@pytest.mark.benchmark(group="ipvs")
def test_ipvs_messages_of_a_hundred_servers(benchmark: BenchmarkFixture) -> None:
    requests = table(1, 100)

    def encode() -> int:
        return sum(len(ipvs.encode(28, command, service, dest)) for command, service, dest in requests)

    assert benchmark(encode) > 100 * 60
