"""Messages of IPVS, taken apart by an independent reader, and hostile answers."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastha._core import ipvs
from fastha._core.ipvs import Destination, Service


def attributes(data: bytes) -> dict[int, bytes]:
    """Type and value of each attribute, as netlink(7) lays them out."""
    found, at = {}, 0
    while at < len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def test_a_destination_message_octet_by_octet() -> None:
    service = Service(socket.AF_INET, 6, bytes([10, 9, 0, 1]), 80)
    dest = Destination(
        socket.AF_INET6,
        socket.inet_pton(socket.AF_INET6, "fd00::1"),
        8080,
        forward=ipvs.TUNNEL,
        weight=7,
        upper=100,
        lower=50,
        tunnel_type=ipvs.TUNNEL_GUE,
        tunnel_port=5555,
        tunnel_flags=ipvs.CHECKSUM,
    )
    message = ipvs.encode(28, ipvs.NEW_DEST, service, dest, flags=4, seq=9)
    length, kind, flags, seq, port, command, version = struct.unpack_from("=IHHIIBBxx", message)
    assert (length, kind, flags, seq, port, command, version) == (len(message), 28, 5, 9, 0, 5, 1)
    top = attributes(message[20:])
    inner = attributes(top[1])
    assert inner[1] == struct.pack("=H", 2)
    assert inner[2] == struct.pack("=H", 6)
    assert inner[3] == bytes([10, 9, 0, 1]) + bytes(12)
    assert inner[4] == struct.pack("!H", 80)
    assert 5 not in inner
    inner = attributes(top[2])
    assert inner[1] == socket.inet_pton(socket.AF_INET6, "fd00::1")
    assert inner[2] == struct.pack("!H", 8080)
    assert [struct.unpack("=I", inner[n])[0] for n in (3, 4, 5, 6)] == [2, 7, 100, 50]
    assert inner[11] == struct.pack("=H", socket.AF_INET6)
    assert inner[13] == b"\1"
    assert inner[14] == struct.pack("!H", 5555)  # network order, unlike most of the others
    assert inner[15] == struct.pack("=H", 1)


def test_a_service_message_and_back() -> None:
    service = Service(
        socket.AF_INET, 17, bytes([10, 9, 0, 1]), 53, scheduler="sh", flags=5, timeout=300, netmask=0xFFFFFF
    )
    message = ipvs.encode(28, ipvs.NEW_SERVICE, service)
    read = ipvs.decode_service(message[16:])
    assert read is not None
    assert read.same(service)
    assert (read.scheduler, read.flags, read.timeout, read.netmask) == ("sh", 5, 300, 0xFFFFFF)
    inner = attributes(attributes(message[20:])[1])
    assert inner[6] == b"sh\0"
    assert inner[7] == struct.pack("=II", 5, 0xFFFFFFFF)


def test_a_mark_names_no_address() -> None:
    message = ipvs.encode(28, ipvs.DEL_SERVICE, Service(socket.AF_INET6, 6, b"", 0, fwmark=7))
    inner = attributes(attributes(message[20:])[1])
    assert inner == {1: struct.pack("=H", 10), 5: struct.pack("=I", 7)}


def test_the_kernels_own_mark_is_no_difference() -> None:
    one = Service(2, 6, bytes(4), 80, flags=0)
    other = Service(2, 6, bytes(4), 80, flags=ipvs.HASHED, timeout=300)
    assert one.same(other)  # a time-out without persistence means nothing
    assert not one.same(Service(2, 6, bytes(4), 80, flags=ipvs.ONE_PACKET))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Service(3, 6, bytes(4), 80),
        lambda: Service(2, 6, bytes(16), 80),
        lambda: Service(2, 6, bytes(4), 70000),
        lambda: Service(2, 6, bytes(4), 80, scheduler="a-name-that-is-too-long"),
        lambda: Destination(10, bytes(4), 80),
        lambda: Destination(2, bytes(4), -1),
    ],
)
def test_what_no_kernel_takes(make: object) -> None:
    with pytest.raises(ValueError):
        make()  # type: ignore[operator]


@given(st.binary(max_size=400))
def test_answers_may_be_anything(data: bytes) -> None:
    ipvs.decode_service(data)
    ipvs.decode_destination(data, 2)


@given(st.data())
def test_answers_may_be_damaged(data: st.DataObject) -> None:
    dest = Destination(2, bytes([10, 0, 0, 1]), 80, forward=2, tunnel_type=1, tunnel_port=9)
    whole = bytearray(ipvs.encode(28, ipvs.NEW_DEST, Service(2, 6, bytes(4), 80), dest)[16:])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    ipvs.decode_destination(bytes(whole[: data.draw(st.integers(0, len(whole)))]), 2)
