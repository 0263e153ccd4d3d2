"""Micro-benchmarks of the codecs: `pytest bench/test_codec_bench.py`. Python's access, and the C functions'
limit."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.codec import measure, over_limit
from fastha._core import codec

VIPS = ["192.0.2.100", "192.0.2.101", "192.0.2.102"]
COMMON = {"version": 3, "vrid": 51, "interval": 100, "addresses": VIPS}


def test_c_functions_keep_their_limit() -> None:
    """Parse and build in C: under 200 ns each."""
    table = measure()
    assert over_limit(table) == {}


@pytest.mark.benchmark(group="vrrp")
def test_vrrp_encode(benchmark: BenchmarkFixture) -> None:
    data = benchmark(codec.vrrp_encode, **COMMON, priority=100, src="192.0.2.1", dst="224.0.0.18")
    assert len(data) == 20


@pytest.mark.benchmark(group="vrrp")
def test_vrrp_patch(benchmark: BenchmarkFixture) -> None:
    template = codec.VrrpTemplate(**COMMON, priority=100, src="192.0.2.1")
    benchmark(setattr, template, "priority", 7)
    assert template.priority == 7


@pytest.mark.benchmark(group="vrrp")
def test_vrrp_receive(benchmark: BenchmarkFixture) -> None:
    packet = codec.VrrpTemplate(**COMMON, priority=100, src="192.0.2.1").packet
    receiver = codec.VrrpReceiver(**COMMON, family=codec.AF_INET)
    assert benchmark(receiver.receive_packet, packet)[0] == "ok"


@pytest.mark.benchmark(group="bfd")
def test_bfd_encode(benchmark: BenchmarkFixture) -> None:
    packet = codec.BfdPacket(state=3, detect_mult=3, my_discr=1, your_discr=2)
    assert len(benchmark(codec.bfd_encode, packet)) == 24


@pytest.mark.benchmark(group="bfd")
def test_bfd_decode(benchmark: BenchmarkFixture) -> None:
    data = codec.bfd_encode(codec.BfdPacket(state=3, detect_mult=3, my_discr=1, your_discr=2))
    assert benchmark(codec.bfd_decode, data)[0] == "ok"


@pytest.mark.benchmark(group="neighbours")
def test_garp(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(codec.garp, b"\0\0\x5e\0\1\x33", "192.0.2.100")) == 60
