"""Every golden packet through the codecs: built octet by octet, read back, and its verdict.

tests/data/golden-packets.json holds packets that tshark and real peers have agreed on; "expect" says what a
receiver is to do with each.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from fastha._core import codec

PACKETS: dict[str, dict[str, Any]] = {
    p["name"]: p for p in json.loads((Path(__file__).parents[1] / "data" / "golden-packets.json").read_text())
}
HMAC_SECRET = bytes(range(32))
VRRP = [name for name, p in PACKETS.items() if p["protocol"].startswith("vrrp")]
VRRP_GOOD = [name for name in VRRP if not name.startswith("neg-")]
BFD = [name for name, p in PACKETS.items() if p["protocol"] == "bfd"]

# What becomes of each faulty advert, at a receiver set up for the packet it was made from.
VRRP_VERDICTS = {
    "neg-v2-ttl-254": "ttl",
    "neg-v2-version-4": "version",
    "neg-v2-type-2": "type",
    "neg-v2-checksum": "checksum",
    "neg-v2-wrong-vrid": "vrid",
    "neg-v2-auth-type-9": "auth_type",
    "neg-v2-auth-mismatch": "auth_mismatch",
    "neg-v2-adver-int": "interval_v2",
    "neg-v2-addr-list": "addr_list",
    "neg-v2-addr-list-owner": "ok",
    "neg-v2-truncated": "length",
    "neg-v3-ttl-254": "ttl",
    "neg-v3-version-1": "version",
    "neg-v3-type-3": "type",
    "neg-v3-checksum": "checksum",
    "neg-v3-count-0": "count_zero",
    "neg-v3-interval-0": "interval_zero",
    "neg-v3-truncated": "length",
    "neg-v3-interval-mismatch": "ok",
    "neg-v3-ipv6-hlim-254": "ttl",
    "neg-v3-ipv6-first-not-ll": "first_not_linklocal",
    "neg-v3-ipv6-checksum": "checksum",
    "neg-v3-ph-count-0": "count_zero",
    "neg-v3-ph-interval-0": "interval_zero",
    "neg-v3-ph-interval-mismatch": "ok",
    "neg-v3-ph-truncated": "length",
    "neg-v3-ph-addr-list": "ok",
}

BFD_VERDICTS = {
    "neg-bfd-version-0": "version",
    "neg-bfd-length-23": "length_small",
    "neg-bfd-length-25-A": "length_small",
    "neg-bfd-length-too-big": "length_large",
    "neg-bfd-mult-0": "detect_mult",
    "neg-bfd-M": "multipoint",
    "neg-bfd-my-0": "my_discriminator",
    "neg-bfd-your-0-up": "your_discriminator_zero",
    "neg-bfd-your-0-init": "your_discriminator_zero",
    "neg-bfd-P-and-F": "poll_and_final",
}


def octets(name: str, layer: str = "ip") -> bytes:
    return bytes.fromhex(PACKETS[name][f"{layer}_hex"])


def receiver(name: str, **changes: Any) -> codec.VrrpReceiver:
    """A receiver that fits the packet; for a faulty one, the packet that it was made from."""
    packet = PACKETS[name]
    decoded = packet["decoded"]
    version = 3 if "vrrp3" in packet["protocol"] else 2
    ipv6 = ":" in decoded["ip_src"]
    good = not name.startswith("neg-")
    addresses = ["fe80::100", "2001:db8::100"] if ipv6 else ["192.0.2.100"]
    settings: dict[str, Any] = {
        "version": version,
        "family": codec.AF_INET6 if ipv6 else codec.AF_INET,
        "vrid": 51,
        "interval": 1 if version == 2 else 100,
        "addresses": addresses,
        "no_pseudo": not decoded.get("checksum_pseudo_header", True),
        "unicast": decoded["ip_dst"] == "192.0.2.2",
        "discard_addr_mismatch": version == 2,
    }
    if good:
        settings["interval"] = decoded.get(
            "max_adver_int_cs", decoded.get("adver_int_s", settings["interval"])
        )
        settings["addresses"] = decoded.get("addresses", addresses)
        settings["auth_type"] = decoded.get("auth_type", 0)
        settings["auth_data"] = bytes.fromhex(decoded.get("auth_data", ""))
        if settings["auth_type"] == 2:
            settings["auth_data"] = b"s3cr3t"
    if "ka-hmac" in packet["protocol"]:
        settings["hmac_mode"] = "enforce"
        settings["hmac_monotonic"] = True
        settings["hmac_keys"] = [codec.VrrpHmacKey(1, HMAC_SECRET)]
    settings.update(changes)
    return codec.VrrpReceiver(**settings)


@pytest.mark.parametrize("name", VRRP)
def test_vrrp_verdict(name: str) -> None:
    """VRRP-025 ... VRRP-040, VRRP-091 ... VRRP-094: each fault has its own verdict, each good packet is
    taken."""
    rx = receiver(name)
    before = rx.state_bytes
    verdict, advert = rx.receive_packet(octets(name))
    assert verdict == VRRP_VERDICTS.get(name, "ok")
    if verdict != "ok":
        assert name.startswith("neg-")
        assert PACKETS[name]["expect"] in ("discard", "discard-if-checked")
        assert advert is None
        assert rx.state_bytes == before
        return
    assert advert is not None
    decoded = PACKETS[name]["decoded"]
    assert (advert.version, advert.vrid, advert.priority) == (
        decoded["version"],
        decoded["vrid"],
        decoded["priority"],
    )
    assert advert.source == ip_address(decoded["ip_src"])
    if "addresses" in decoded:
        assert [str(a) for a in advert.addresses] == decoded["addresses"]
        assert advert.interval == decoded.get("max_adver_int_cs", decoded.get("adver_int_s"))
    if not name.startswith("neg-"):
        assert advert.flags <= {"owner", "hmac_verified"}


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("neg-v3-interval-mismatch", "interval"),
        ("neg-v3-ph-interval-mismatch", "interval"),
        ("neg-v3-ph-addr-list", "addr_list"),
        ("neg-v2-addr-list-owner", "addr_list"),
        ("v2-ka-auth-hmac", "hmac_verified"),
        ("v2-owner", "owner"),
    ],
)
def test_odd_but_accepted(name: str, flag: str) -> None:
    verdict, advert = receiver(name).receive_packet(octets(name))
    assert verdict == "ok"
    assert advert is not None
    assert flag in advert.flags


def test_list_mismatch_is_processed_by_default() -> None:
    """A rolling change of the address list does not make two masters: counted, not discarded."""
    rx = receiver("neg-v2-addr-list", discard_addr_mismatch=False)
    verdict, advert = rx.receive_packet(octets("neg-v2-addr-list"))
    assert verdict == "ok"
    assert advert is not None
    assert "addr_list" in advert.flags


# What we would not send: reserved bits set (VRRP-010), AH signed as RFC 2402 and not keepalived has it.
NOT_OURS = {"v3-ipv4-reserve-set", "v3-ipv4-reserve-set-rfc5798", "v2-auth-ah-rfc2402"}


@pytest.mark.parametrize("name", [name for name in VRRP_GOOD if name not in NOT_OURS])
def test_vrrp_built_identically(name: str) -> None:
    """VRRP-001 ... VRRP-008, -010, -013, -018 ... -021: our packet is the golden one, octet for octet."""
    packet = PACKETS[name]
    decoded = packet["decoded"]
    hmac = "ka-hmac" in packet["protocol"]
    ipv6 = ":" in decoded["ip_src"]
    frame = octets(name, "frame")
    auth_type = decoded.get("auth_type", 0)
    template = codec.VrrpTemplate(
        version=decoded["version"],
        vrid=decoded["vrid"],
        priority=decoded["priority"],
        interval=decoded.get(
            "max_adver_int_cs", decoded.get("adver_int_s", 1 if decoded["version"] == 2 else 100)
        ),
        addresses=decoded.get("addresses", ["fe80::100", "2001:db8::100"] if ipv6 else ["192.0.2.100"]),
        src=decoded["ip_src"],
        dst=decoded["ip_dst"],
        auth_type=auth_type,
        auth_data=b"s3cr3t" if auth_type == 2 else bytes.fromhex(decoded.get("auth_data", "")),
        no_pseudo=not decoded.get("checksum_pseudo_header", True),
        ip_id=1,
        eth_src=frame[6:12],
        eth_dst=frame[:6] if decoded["ip_dst"] == "192.0.2.2" else None,
        hmac_key=codec.VrrpHmacKey(1, HMAC_SECRET) if hmac else None,
    )
    assert template.needs_sign == (hmac or auth_type == 2)
    template.sign(1_800_000_000_500_000_000)
    assert template.packet.hex() == packet["ip_hex"]
    assert template.frame == frame[: len(template.frame)]
    assert not any(frame[len(template.frame) :])  # the rest is Ethernet padding
    if auth_type != 2:
        assert template.payload.hex() == packet["payload_hex"]


@pytest.mark.parametrize("name", VRRP)
def test_every_prefix_of_an_advert_is_refused(name: str) -> None:
    """VRRP-028: nothing is read beyond the end, whatever is missing."""
    packet = octets(name)
    header = 40 if packet[0] >> 4 == 6 else 20
    decoded = PACKETS[name]["decoded"]
    rx = receiver(name)
    before = rx.state_bytes
    for cut in range(len(packet)):
        assert rx.receive_packet(packet[:cut])[0].startswith("ip_")
    for cut in range(len(packet) - header):
        verdict, advert = rx.receive(
            packet[header : header + cut], src=decoded["ip_src"], dst=decoded["ip_dst"]
        )
        assert verdict != "ok"
        assert advert is None
    assert rx.state_bytes == before


def test_ethernet_padding_is_no_part_of_the_advert() -> None:
    """VRRP-029: a frame padded to 60 octets, as AF_PACKET delivers it."""
    frame = octets("v3-ipv4-rfc5798", "frame")
    assert len(frame) == 60
    assert receiver("v3-ipv4-rfc5798").receive_packet(frame[14:])[0] == "ok"


@pytest.mark.parametrize("name", BFD)
def test_bfd_verdict(name: str) -> None:
    """BFD-001 ... BFD-006, BFD-009, BFD-013, BFD-014."""
    verdict, packet = codec.bfd_decode(octets(name, "payload"))
    assert verdict == BFD_VERDICTS.get(name, "ok")
    if verdict != "ok":
        assert packet is None
        return
    assert packet is not None
    decoded = PACKETS[name]["decoded"]
    bits = {"P": 0x20, "F": 0x10, "C": 0x08, "A": 0x04, "D": 0x02, "M": 0x01}
    assert packet.flags == sum(bit for flag, bit in bits.items() if decoded[flag])
    assert codec.bfd_state_name(packet.state).replace("_", "") == decoded["state"].lower()
    assert (packet.diag, packet.detect_mult, packet.length) == (
        decoded["diag"],
        decoded["detect_mult"],
        decoded["length"],
    )
    assert packet.my_discr == int(decoded["my_discr"], 16)
    assert packet.your_discr == int(decoded["your_discr"], 16)
    assert packet.min_tx_us == decoded["desired_min_tx_us"]
    assert packet.min_rx_us == decoded["required_min_rx_us"]
    assert packet.min_echo_rx_us == decoded["required_min_echo_rx_us"]


def golden_key(name: str) -> codec.BfdKey | None:
    auth = PACKETS[name]["decoded"].get("auth")
    if auth is None:
        return None
    secret = auth.get("key", auth.get("password"))
    return codec.BfdKey(auth["key_id"], auth["type"], secret.encode())


@pytest.mark.parametrize("name", [name for name in BFD if not name.startswith("neg-")])
def test_bfd_built_identically(name: str) -> None:
    """BFD-042, BFD-071, BFD-119: fields, digests and padding as the golden packets have them."""
    payload = octets(name, "payload")
    _, packet = codec.bfd_decode(payload)
    assert packet is not None
    auth = PACKETS[name]["decoded"].get("auth", {})
    assert packet.auth_seq == int(auth.get("sequence", "0"), 16)
    padded = len(payload) if len(payload) > packet.length else 0
    assert codec.bfd_encode(packet, golden_key(name), padded=padded) == payload


@pytest.mark.parametrize("name", [name for name in BFD if "auth" in PACKETS[name]["decoded"]])
def test_bfd_authentication(name: str) -> None:
    key = golden_key(name)
    assert key is not None
    auth = codec.BfdAuth([key])
    expected = "auth_digest" if name == "neg-bfd-sha1-digest" else "ok"
    assert auth.check(octets(name, "payload"), detect_mult=3) == expected
    if expected == "ok" and key.auth_type > 1:
        assert auth.sequence == int(PACKETS[name]["decoded"]["auth"]["sequence"], 16)
    else:
        assert auth.sequence is None
    assert codec.BfdAuth().check(octets(name, "payload"), detect_mult=3) == "auth_unexpected"


def test_gtsm() -> None:
    """BFD-086."""
    ttl = octets("neg-bfd-ttl-254")[8]
    assert codec.bfd_check_ttl(ttl, 255) == "ttl"
    assert codec.bfd_check_ttl(255, 255) == "ok"
    assert codec.bfd_check_ttl(64, 0) == "ok"
    assert codec.bfd_check_ttl(-1, 254) == "ttl"


@pytest.mark.parametrize("name", BFD)
def test_every_prefix_of_a_bfd_packet(name: str) -> None:
    payload = octets(name, "payload")
    length = payload[3]
    for cut in range(min(len(payload), length)):
        verdict, _ = codec.bfd_decode(payload[:cut])
        assert verdict != "ok"
        assert cut >= 24 or verdict == "too_short"


# ---- neighbours ----

VMAC4, VMAC6 = "00:00:5e:00:01:33", "00:00:5e:00:02:33"


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("garp-request-rfc9568", codec.garp(VMAC4, "192.0.2.100", tha="sender")),
        ("garp-request-rfc5227", codec.garp(VMAC4, "192.0.2.100", tha="zero")),
        ("garp-request-keepalived", codec.garp(VMAC4, "192.0.2.100")),
        ("garp-reply", codec.garp(VMAC4, "192.0.2.100", tha="sender", reply=True)),
        ("garp-request-no-vmac", codec.garp("02:00:00:00:00:01", "192.0.2.100", tha="zero")),
        ("arp-reply-for-vip", codec.arp_reply(VMAC4, "192.0.2.100", "02:00:00:00:00:02", "192.0.2.2")),
        ("una-vip", codec.neighbor_advertisement(VMAC6, "2001:db8::100")),
        ("una-vip-linklocal", codec.neighbor_advertisement(VMAC6, "fe80::100")),
        ("una-host", codec.neighbor_advertisement("02:00:00:00:00:01", "2001:db8::100", router=False)),
        ("na-defend-vip", codec.neighbor_advertisement(VMAC6, "2001:db8::100")),
        (
            "na-solicited-vip",
            codec.neighbor_advertisement(
                VMAC6,
                "2001:db8::100",
                solicited=True,
                dst="2001:db8::2",
                dst_mac="02:00:00:00:00:02",
            ),
        ),
    ],
)
def test_neighbour_frames_built_identically(name: str, frame: bytes) -> None:
    """NBR-002 ... NBR-008, NBR-021."""
    assert frame.hex() == PACKETS[name]["frame_hex"]


@pytest.mark.parametrize(
    ("question", "answer", "mac"),
    [
        ("arp-probe-for-vip", None, VMAC4),
        ("ns-for-vip", "na-solicited-vip", VMAC6),
        ("dad-ns-for-vip", "na-defend-vip", VMAC6),
    ],
)
def test_questions_are_answered(question: str, answer: str | None, mac: str) -> None:
    """NBR-019, NBR-021, NBR-022."""
    frame = codec.neigh_answer(octets(question, "frame"), mac)
    assert frame is not None
    if answer is not None:
        assert frame.hex() == PACKETS[answer]["frame_hex"]
    else:
        seen = codec.neigh_parse(frame)
        assert (seen.kind, str(seen.claim), seen.mac) == (
            "arp_reply",
            "192.0.2.100",
            codec.virtual_mac(2, 51),
        )
        assert seen.target == ip_address("0.0.0.0")


@pytest.mark.parametrize(
    ("name", "kind", "claim"),
    [
        ("garp-request-rfc9568", "arp_announce", "192.0.2.100"),
        ("garp-request-rfc5227", "arp_announce", "192.0.2.100"),
        ("garp-request-keepalived", "arp_announce", "192.0.2.100"),
        ("garp-reply", "arp_announce", "192.0.2.100"),
        ("arp-probe-for-vip", "arp_probe", None),
        ("arp-reply-for-vip", "arp_reply", "192.0.2.100"),
        ("una-vip", "na", "2001:db8::100"),
        ("una-host", "na", "2001:db8::100"),
        ("dad-ns-for-vip", "ns_dad", None),
        ("ns-for-vip", "ns", "2001:db8::2"),
        ("na-solicited-vip", "na", "2001:db8::100"),
    ],
)
def test_neighbour_frames_read(name: str, kind: str, claim: str | None) -> None:
    frame = octets(name, "frame")
    seen = codec.neigh_parse(frame)
    assert seen.kind == kind
    assert seen.claim == (ip_address(claim) if claim else None)
    if claim:
        assert seen.mac == frame[6:12]
    if kind in ("arp_announce", "arp_reply", "na"):
        assert codec.neigh_answer(frame, VMAC4) is None


def test_dad_nonce_is_told() -> None:
    """NBR-020: a node knows its own looped probe by the nonce."""
    assert codec.neigh_parse(octets("dad-ns-for-vip", "frame")).nonce == bytes(range(1, 7))


@pytest.mark.parametrize("name", [n for n, p in PACKETS.items() if p["protocol"] in ("arp", "icmpv6-nd")])
def test_every_prefix_of_a_neighbour_frame(name: str) -> None:
    frame = octets(name, "frame")
    whole = 42 if PACKETS[name]["protocol"] == "arp" else len(frame)
    for cut in range(whole):
        assert codec.neigh_parse(frame[:cut]).kind == "short"
    assert codec.neigh_parse(frame[:whole]).kind not in ("short", "none", "malformed", "checksum")
