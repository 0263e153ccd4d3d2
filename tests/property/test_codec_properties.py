"""What holds for every packet: what is built is read back, what is broken is refused and changes nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import assume, given
from hypothesis import strategies as st

from fastha._core import codec

octet = st.integers(1, 255)
mac = st.binary(min_size=6, max_size=6)
unicast4 = st.integers(0x01000000, 0xDFFFFFFF).map(IPv4Address)
unicast6 = st.integers(1 << 64, (0xFF << 120) - 1).map(IPv6Address)
linklocal = st.integers(0, (1 << 64) - 1).map(lambda n: IPv6Address((0xFE80 << 112) | n))


@st.composite
def adverts(draw: st.DrawFn) -> tuple[dict[str, object], codec.VrrpReceiver]:
    """Settings of a sender, and a receiver that fits them."""
    version, six = draw(st.sampled_from([(2, False), (3, False), (3, True)]))
    interval = draw(st.integers(1, 255 if version == 2 else 4095))
    if six:
        addresses: list[IPv4Address | IPv6Address] = [draw(linklocal), *draw(st.lists(unicast6, max_size=12))]
    else:
        addresses = list(draw(st.lists(unicast4, min_size=1, max_size=12)))
    auth_type = draw(st.sampled_from([0, 1, 2])) if version == 2 else 0
    auth_data = draw(st.binary(min_size=1, max_size=8)) if auth_type else b""
    no_pseudo = draw(st.booleans())
    unicast = draw(st.booleans())
    common = {"version": version, "vrid": draw(octet), "interval": interval, "addresses": addresses}
    common |= {"auth_type": auth_type, "auth_data": auth_data, "no_pseudo": no_pseudo}
    source = unicast6 if six else unicast4
    sender = common | {"src": draw(source), "priority": draw(st.integers(0, 255)), "ip_id": draw(octet)}
    if unicast:
        sender["dst"] = draw(source)
    receiver = codec.VrrpReceiver(
        **common,  # type: ignore[arg-type]
        family=codec.AF_INET6 if six else codec.AF_INET,
        unicast=unicast,
    )
    return sender, receiver


@given(adverts())
def test_advert_round_trip(case: tuple[dict[str, object], codec.VrrpReceiver]) -> None:
    sender, receiver = case
    template = codec.VrrpTemplate(**sender)  # type: ignore[arg-type]
    template.sign(1)
    verdict, advert = receiver.receive_packet(template.packet)
    assert verdict == "ok"
    assert advert is not None
    for field in ("version", "vrid", "priority", "interval"):
        assert getattr(advert, field) == sender[field]
    assert list(advert.addresses) == sender["addresses"]
    assert advert.source == sender["src"]
    assert advert.flags <= {"owner"}
    family = codec.AF_INET6 if isinstance(sender["src"], IPv6Address) else codec.AF_INET
    decoded = codec.vrrp_decode(family, template.payload)
    assert decoded is not None
    assert decoded.addresses == advert.addresses


@given(adverts(), st.data())
def test_a_flipped_bit_is_refused(
    case: tuple[dict[str, object], codec.VrrpReceiver], data: st.DataObject
) -> None:
    """One bit anywhere behind the IP header: never accepted, nothing remembered (VRRP-041)."""
    sender, receiver = case
    template = codec.VrrpTemplate(**sender)  # type: ignore[arg-type]
    template.sign(1)
    packet = bytearray(template.packet)
    header = 40 if packet[0] >> 4 == 6 else 20
    # the AH's two reserved octets are the only ones of which the checksum knows nothing; the ICV does
    bit = data.draw(st.integers(header * 8, len(packet) * 8 - 1))
    packet[bit // 8] ^= 0x80 >> bit % 8
    before = receiver.state_bytes
    verdict, advert = receiver.receive_packet(bytes(packet))
    assert verdict != "ok"
    assert advert is None
    assert receiver.state_bytes == before


@given(adverts(), st.permutations(range(12)))
def test_list_order_is_free(case: tuple[dict[str, object], codec.VrrpReceiver], order: list[int]) -> None:
    sender, receiver = case
    addresses = list(sender["addresses"])  # type: ignore[call-overload]
    first = addresses[:1] if isinstance(addresses[0], IPv6Address) else []  # has to stay first
    rest = [(order[i], a) for i, a in enumerate(addresses[len(first) :])]
    shuffled = first + [a for _, a in sorted(rest, key=lambda pair: pair[0])]
    template = codec.VrrpTemplate(**(sender | {"addresses": shuffled}))  # type: ignore[arg-type]
    template.sign(1)
    verdict, advert = receiver.receive_packet(template.packet)
    assert verdict == "ok"
    assert advert is not None
    assert "addr_list" not in advert.flags


@given(adverts(), st.integers(0, 255), st.integers(1, 255), st.integers(1, 65535))
def test_patched_is_built(
    case: tuple[dict[str, object], codec.VrrpReceiver], priority: int, interval: int, ip_id: int
) -> None:
    sender, _ = case
    patched = codec.VrrpTemplate(**sender)  # type: ignore[arg-type]
    patched.priority = priority
    patched.set_interval(interval)
    patched.set_ip_id(ip_id)
    patched.sign(5)
    changes = {"priority": priority, "interval": interval, "ip_id": ip_id}
    built = codec.VrrpTemplate(**(sender | changes))  # type: ignore[arg-type]
    built.sign(5)
    assert patched.packet == built.packet


@given(adverts(), st.binary(max_size=300), st.sampled_from([51, 112]))
def test_noise_changes_nothing(
    case: tuple[dict[str, object], codec.VrrpReceiver], noise: bytes, proto: int
) -> None:
    sender, receiver = case
    before = receiver.state_bytes
    six = isinstance(sender["src"], IPv6Address)
    src, dst = ("fe80::1", "ff02::12") if six else ("192.0.2.1", "224.0.0.18")
    verdict, _ = receiver.receive(noise, src=src, dst=dst, proto=proto)
    assert verdict != "ok"
    assert receiver.receive_packet(noise)[0] != "ok"
    assert receiver.state_bytes == before
    codec.vrrp_decode(codec.AF_INET, noise)
    codec.neigh_parse(noise)
    codec.bfd_decode(noise)


word = st.integers(0, 0xFFFFFFFF)
bfd_packets = st.builds(
    codec.BfdPacket,
    state=st.integers(0, 3),
    detect_mult=octet,
    my_discr=st.integers(1, 0xFFFFFFFF),
    your_discr=word,
    min_tx_us=word,
    min_rx_us=word,
    min_echo_rx_us=word,
    diag=st.integers(0, 31),
    flags=st.sampled_from([0, 0x20, 0x10, 0x08, 0x02, 0x2A]),
    auth_seq=word,
)
bfd_keys = st.one_of(
    st.none(),
    st.builds(codec.BfdKey, octet, st.integers(1, 3), st.binary(min_size=1, max_size=16)),
    st.builds(codec.BfdKey, octet, st.integers(4, 5), st.binary(min_size=1, max_size=20)),
)


@given(bfd_packets, bfd_keys, st.integers(0, 1500))
def test_bfd_round_trip(packet: codec.BfdPacket, key: codec.BfdKey | None, padded: int) -> None:
    assume(packet.your_discr != 0 or packet.state <= 1)
    data = codec.bfd_encode(packet, key, padded=padded)
    verdict, read = codec.bfd_decode(data)
    assert verdict == "ok"
    assert read is not None
    assert len(data) == max(read.length, padded)
    assert not any(data[read.length :])
    assert read.flags & ~4 == packet.flags
    for field in (
        "state",
        "detect_mult",
        "my_discr",
        "your_discr",
        "min_tx_us",
        "min_rx_us",
        "min_echo_rx_us",
        "diag",
    ):
        assert getattr(read, field) == getattr(packet, field)
    auth = codec.BfdAuth([key] if key else [])
    assert auth.check(data, detect_mult=3) == "ok"
    if key is not None and key.auth_type > 1:
        assert auth.sequence == read.auth_seq == packet.auth_seq


@given(bfd_packets, bfd_keys, st.data())
def test_bfd_flipped_bit_is_refused(
    packet: codec.BfdPacket, key: codec.BfdKey | None, data: st.DataObject
) -> None:
    """With a digest no bit may change; and the sequence does not move (BFD-080)."""
    assume(key is not None and key.auth_type > 1)
    octets = bytearray(codec.bfd_encode(packet, key))
    bit = data.draw(st.integers(0, len(octets) * 8 - 1))
    octets[bit // 8] ^= 0x80 >> bit % 8
    auth = codec.BfdAuth([key] if key else [])
    assert auth.check(bytes(octets), detect_mult=3) != "ok"
    assert auth.sequence is None


@given(mac, unicast4, st.sampled_from(["broadcast", "zero", "sender"]), st.booleans())
def test_garp_round_trip(mac: bytes, ip: IPv4Address, tha: str, reply: bool) -> None:
    frame = codec.garp(mac, ip, tha=tha, reply=reply)  # type: ignore[arg-type]
    assert len(frame) == 60
    seen = codec.neigh_parse(frame)
    assert (seen.kind, seen.claim, seen.mac, seen.target) == ("arp_announce", ip, mac, ip)


@given(mac, unicast6, st.booleans(), st.booleans())
def test_advertisement_round_trip(mac: bytes, target: IPv6Address, router: bool, override: bool) -> None:
    seen = codec.neigh_parse(codec.neighbor_advertisement(mac, target, router=router, override=override))
    assert (seen.kind, seen.claim, seen.mac, seen.target) == ("na", target, mac, target)
    assert (seen.router, seen.override, seen.solicited) == (router, override, False)
