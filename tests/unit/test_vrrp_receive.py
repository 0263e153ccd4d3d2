"""The checks on received adverts: order, unicast, authentication, address lists (RFC 3768 7.1, RFC 9568
7.1)."""

from __future__ import annotations

from typing import Any

import pytest

from fastha._core import codec

A, B, GROUP = "192.0.2.1", "192.0.2.2", "224.0.0.18"
VIPS = ["192.0.2.100", "192.0.2.101", "192.0.2.102"]
SECRET = bytes(range(32))
SECOND = 1_000_000_000


def template(version: int = 3, **changes: Any) -> codec.VrrpTemplate:
    settings: dict[str, Any] = {
        "version": version,
        "vrid": 51,
        "priority": 100,
        "interval": 1 if version == 2 else 100,
        "addresses": VIPS,
        "src": A,
        "ip_id": 1,
    }
    return codec.VrrpTemplate(**(settings | changes))


def receiver(version: int = 3, **changes: Any) -> codec.VrrpReceiver:
    settings: dict[str, Any] = {
        "version": version,
        "family": codec.AF_INET,
        "vrid": 51,
        "interval": 1 if version == 2 else 100,
        "addresses": VIPS,
    }
    return codec.VrrpReceiver(**(settings | changes))


def verdict(rx: codec.VrrpReceiver, tx: codec.VrrpTemplate, **clock: int) -> str:
    return rx.receive_packet(tx.packet, **clock)[0]


def flags(rx: codec.VrrpReceiver, tx: codec.VrrpTemplate, **clock: int) -> set[str]:
    name, advert = rx.receive_packet(tx.packet, **clock)
    assert name == "ok"
    assert advert is not None
    return set(advert.flags)


def fix_checksum(message: bytearray) -> bytes:
    """The version 2 (or RFC 9568) checksum over what is there."""
    message[6:8] = b"\0\0"
    message[6:8] = codec.checksum(bytes(message)).to_bytes(2, "big")
    return bytes(message)


# ---- order ----

# Faults in the order in which they have to be found; each is put in on top of all later ones.
FAULTS_V2 = [
    "ttl",
    "version",
    "type",
    "length",
    "checksum",
    "vrid",
    "not_multicast",
    "auth_mismatch",
    "interval_v2",
]


@pytest.mark.parametrize("first", FAULTS_V2)
def test_the_first_fault_counts(first: str) -> None:
    """Two faults at once: the counter is that of the earlier check."""
    faults = set(FAULTS_V2[FAULTS_V2.index(first) :])
    message = bytearray(template(2, addresses=VIPS[:1]).payload)
    if "version" in faults:
        message[0] = 0x71
    if "type" in faults:
        message[0] = (message[0] & 0xF0) | 7
    if "length" in faults:
        message[3] = 9
    if "vrid" in faults:
        message[1] = 52
    if "auth_mismatch" in faults:
        message[4] = 1
    if "interval_v2" in faults:
        message[5] = 9
    data = bytearray(fix_checksum(message))
    if "checksum" in faults:
        data[7] ^= 1
    got, _ = receiver(2, addresses=VIPS[:1]).receive(
        bytes(data),
        src=A,
        dst=B if "not_multicast" in faults else GROUP,
        ttl=254 if "ttl" in faults else 255,
    )
    assert got == first


def test_verdicts_are_distinct_and_named() -> None:
    assert codec.VRRP_RX_NAMES[0] == "ok"
    assert len(set(codec.VRRP_RX_NAMES)) == len(codec.VRRP_RX_NAMES)
    assert "?" not in codec.VRRP_RX_NAMES


def test_unknown_ttl_is_a_wrong_ttl() -> None:
    message = template().payload
    assert receiver().receive(message, src=A, dst=GROUP, ttl=-1)[0] == "ttl"


def test_peek() -> None:
    assert codec.vrrp_peek(template().payload) == (3, 1, 51, 100)
    assert codec.vrrp_peek(template().payload[:7]) is None
    signed = template(2, auth_type=2, auth_data=b"key")
    assert codec.vrrp_peek(signed.packet[20:], 51) == (2, 1, 51, 100)
    assert codec.vrrp_peek(signed.packet[20:51], 51) is None


# ---- checksum forms ----


@pytest.mark.parametrize("ours", [False, True])
def test_checksum_of_the_other_form_has_its_own_counter(ours: bool) -> None:
    """VRRP-020, VRRP-030: only the configured form is taken, and the other one is told apart from a broken
    packet."""
    assert verdict(receiver(no_pseudo=ours), template(no_pseudo=ours)) == "ok"
    assert verdict(receiver(no_pseudo=ours), template(no_pseudo=not ours)) == "checksum_other_form"
    broken = bytearray(template(no_pseudo=ours).payload)
    broken[6] ^= 0x10
    assert receiver(no_pseudo=ours).receive(bytes(broken), src=A, dst=GROUP)[0] == "checksum"


def test_old_unicast_checksum() -> None:
    """VRRP-021: a unicast peer whose pseudo-header carries the group is taken where that is allowed."""
    old = template(dst=B, old_unicast_checksum=True)
    assert verdict(receiver(unicast=True), old) == "checksum"
    assert "old_checksum" in flags(receiver(unicast=True, old_checksum_auto=True), old)
    assert flags(receiver(unicast=True, old_checksum_auto=True), template(dst=B)) == set()


# ---- senders ----


def test_destination_must_suit_the_instance() -> None:
    """VRRP-043."""
    assert verdict(receiver(), template(dst=B)) == "not_multicast"
    assert verdict(receiver(unicast=True), template()) == "not_unicast"
    assert verdict(receiver(unicast=True), template(dst=B)) == "ok"


def test_unicast_peers() -> None:
    """VRRP-044: source check and TTL limits, which bring the source check with them."""
    assert verdict(receiver(unicast=True, peers=[("192.0.2.9", None, None)]), template(dst=B)) == "ok"
    listed = receiver(
        unicast=True, check_unicast_src=True, peers=[("192.0.2.9", None, None), (A, None, None)]
    )
    assert verdict(listed, template(dst=B)) == "ok"
    assert verdict(listed, template(dst=B, src="192.0.2.3")) == "unknown_peer"
    limited = receiver(unicast=True, peers=[(A, 60, 64)])
    for ttl, expected in ((59, "peer_ttl"), (60, "ok"), (64, "ok"), (65, "peer_ttl"), (255, "peer_ttl")):
        assert verdict(limited, template(dst=B, ttl=ttl)) == expected
    assert verdict(limited, template(dst=B, src="192.0.2.3", ttl=64)) == "unknown_peer"
    assert limited.receive(template(dst=B).payload, src=A, dst=B, ttl=-1)[0] == "peer_ttl"


def test_own_source_is_flagged() -> None:
    """VRRP-023: a looped packet or a duplicate address; not discarded, since the election has to see it."""
    assert flags(receiver(own_src=A), template()) == {"own_source"}
    assert flags(receiver(own_src=B), template()) == set()


def test_owner_ignores_adverts_if_set() -> None:
    """VRRP-036."""
    assert verdict(receiver(priority=255, owner_ignores=True), template()) == "owner_ignored"
    assert verdict(receiver(priority=254, owner_ignores=True), template()) == "ok"
    assert flags(receiver(priority=255), template(priority=255)) == {"owner"}


# ---- address lists ----


def test_address_list_order_does_not_matter() -> None:
    for order in (VIPS[::-1], [VIPS[1], VIPS[0], VIPS[2]], [VIPS[0], VIPS[2], VIPS[1]]):
        assert flags(receiver(discard_addr_mismatch=True), template(addresses=order)) == set()


def test_address_list_is_a_multiset() -> None:
    twice = [VIPS[0], VIPS[0], VIPS[1]]
    assert flags(receiver(addresses=[VIPS[0], VIPS[1], VIPS[1]]), template(addresses=twice)) == {"addr_list"}
    assert flags(receiver(addresses=[VIPS[0], VIPS[1], VIPS[0]]), template(addresses=twice)) == set()


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [(VIPS[:2], {"addr_count", "addr_list"}), ([*VIPS[:2], "192.0.2.103"], {"addr_list"})],
)
def test_address_list_mismatch(addresses: list[str], expected: set[str]) -> None:
    """VRRP-035: processed and flagged, or discarded where set so, but never the owner's."""
    assert flags(receiver(), template(addresses=addresses)) == expected
    strict = receiver(2, discard_addr_mismatch=True)
    assert verdict(strict, template(2, addresses=addresses)) == "addr_list"
    assert flags(strict, template(2, addresses=addresses, priority=255)) == expected | {"owner"}


def test_known_sender_is_not_compared_again() -> None:
    """skip_check_adv_addr: while the sender stays the same, the last comparison stands."""
    rx = receiver(skip_check_adv_addr=True)
    assert flags(rx, template()) == set()
    assert flags(rx, template(addresses=VIPS[:1])) == set()
    assert flags(rx, template(addresses=VIPS[:1], src=B)) == {"addr_count", "addr_list"}
    assert flags(rx, template(src=B)) == {"addr_count", "addr_list"}
    assert flags(rx, template()) == set()


def test_lenient_switches() -> None:
    """Peers without addresses, and IPv6 lists that begin with a global address, are taken only where set
    so."""
    empty = template(addresses=[])
    assert verdict(receiver(), empty) == "count_zero"
    assert flags(receiver(accept_count_zero=True, addresses=[]), empty) == {"count_zero"}
    assert flags(receiver(2, addresses=[]), template(2, addresses=[])) == set()  # version 2 has no such rule
    six = {"addresses": ["2001:db8::100", "fe80::100"], "src": "fe80::1"}
    rx = {"addresses": ["fe80::100", "2001:db8::100"], "family": codec.AF_INET6}
    assert verdict(receiver(**rx), template(**six)) == "first_not_linklocal"
    assert flags(receiver(**rx, accept_first_global=True), template(**six)) == {"first_not_linklocal"}


# ---- version 2: password and AH ----


def test_password() -> None:
    """VRRP-032, VRRP-091: compared whole; a different type is not a wrong password."""
    rx = receiver(2, auth_type=1, auth_data=b"12345678")
    assert verdict(rx, template(2, auth_type=1, auth_data=b"12345678")) == "ok"
    assert verdict(rx, template(2, auth_type=1, auth_data=b"1234567")) == "auth_failure"
    assert verdict(rx, template(2, auth_type=1, auth_data=b"12345679")) == "auth_failure"
    assert verdict(rx, template(2)) == "auth_mismatch"
    unknown = bytearray(template(2).payload)
    unknown[4] = 9
    assert rx.receive(fix_checksum(unknown), src=A, dst=GROUP)[0] == "auth_type"


def test_ah() -> None:
    """VRRP-092: presence, form, SPI, ICV, growing sequence; on multicast and on unicast."""
    for dst, unicast in ((GROUP, False), (B, True)):
        rx = receiver(2, auth_type=2, auth_data=b"s3cr3t", unicast=unicast)
        tx = template(2, auth_type=2, auth_data=b"s3cr3t", dst=dst)
        assert verdict(rx, tx) == "ah_icv"  # not signed yet
        tx.sign(0)
        assert verdict(rx, tx) == "ok"
        assert rx.ah_sequence == 1
        assert verdict(rx, tx) == "ah_replay"
        tx.sign(0)
        assert verdict(rx, tx) == "ok"
        assert rx.ah_sequence == 2
        tx.priority = 0
        assert verdict(rx, tx) == "ah_icv"
        tx.sign(0)
        assert verdict(rx, tx) == "ok"
        assert verdict(receiver(2, unicast=unicast), tx) == "ah_unexpected"
        assert verdict(rx, template(2, dst=dst)) == "ah_missing"
        other = template(2, auth_type=2, auth_data=b"s3cr3T", dst=dst)
        other.sign(0)
        assert verdict(rx, other) == "ah_icv"
        assert rx.ah_sequence == 3


@pytest.mark.parametrize(
    ("at", "value", "expected"), [(0, 6, "ah_malformed"), (1, 5, "ah_malformed"), (7, 9, "ah_spi")]
)
def test_ah_header(at: int, value: int, expected: str) -> None:
    tx = template(2, auth_type=2, auth_data=b"s3cr3t")
    tx.sign(0)
    payload = bytearray(tx.packet[20:])
    payload[at] = value
    rx = receiver(2, auth_type=2, auth_data=b"s3cr3t")
    assert rx.receive(bytes(payload), src=A, dst=GROUP, proto=51)[0] == expected
    assert rx.receive(bytes(payload[:31]), src=A, dst=GROUP, proto=51)[0] == "too_short"


# ---- auth_hmac ----


def hmac_pair(**changes: Any) -> tuple[codec.VrrpTemplate, codec.VrrpReceiver]:
    key = codec.VrrpHmacKey(1, SECRET)
    return template(hmac_key=key), receiver(**({"hmac_mode": "enforce", "hmac_keys": [key]} | changes))


def test_hmac_time_window_and_replay() -> None:
    """VRRP-094: the stamp within the window, each used once, in growing order."""
    tx, rx = hmac_pair(hmac_window_s=5)
    tx.sign(1000 * SECOND)
    first = tx.packet
    assert verdict(rx, tx, wall_ns=1000 * SECOND) == "ok"
    assert verdict(rx, tx, wall_ns=1000 * SECOND) == "hmac_replay"
    tx.sign(1000 * SECOND)
    assert verdict(rx, tx, wall_ns=1004 * SECOND) == "ok"
    assert rx.receive_packet(first, wall_ns=1004 * SECOND)[0] == "hmac_replay"
    for clock, expected in ((994, "hmac_stale"), (1005, "ok"), (1006, "hmac_stale")):
        tx.sign(1000 * SECOND)
        assert verdict(rx, tx, wall_ns=clock * SECOND) == expected
    tx.sign(1011 * SECOND)
    assert verdict(rx, tx, wall_ns=1006 * SECOND) == "ok"
    tx.sign(1012 * SECOND)
    assert verdict(rx, tx, wall_ns=1006 * SECOND) == "hmac_stale"


def test_hmac_senders_are_kept_apart() -> None:
    key = codec.VrrpHmacKey(1, SECRET)
    rx = receiver(hmac_mode="enforce", hmac_keys=[key], hmac_monotonic=True)
    senders = [template(hmac_key=key, src=f"192.0.2.{n}") for n in range(1, 5)]
    for n, tx in enumerate(senders):
        tx.sign((n + 1) * SECOND)
        assert verdict(rx, tx, mono_ns=n + 1) == "ok"
    for tx in senders:
        assert verdict(rx, tx, mono_ns=9) == "hmac_replay"
    # a fifth takes the place of the longest silent
    fifth = template(hmac_key=key, src="192.0.2.5")
    fifth.sign(SECOND)
    assert verdict(rx, fifth, mono_ns=10) == "ok"
    assert verdict(rx, senders[1], mono_ns=11) == "hmac_replay"
    assert verdict(rx, senders[0], mono_ns=12) == "ok"


def test_hmac_monotonic_sender_that_rebooted() -> None:
    """Its stamps begin anew: refused until it has been silent long enough."""
    key = codec.VrrpHmacKey(1, SECRET)
    rx = receiver(hmac_mode="enforce", hmac_keys=[key], hmac_monotonic=True, hmac_forget_ns=10 * SECOND)
    tx = template(hmac_key=key)
    tx.sign(1_000_000 * SECOND)
    assert verdict(rx, tx, mono_ns=5 * SECOND) == "ok"
    again = template(hmac_key=key)
    again.sign(3 * SECOND)
    assert verdict(rx, again, mono_ns=15 * SECOND) == "hmac_replay"
    assert verdict(rx, again, mono_ns=15 * SECOND + 1) == "ok"


def test_hmac_faults() -> None:
    tx, rx = hmac_pair(hmac_monotonic=True)
    tx.sign(SECOND)
    good = tx.payload

    def at(offset: int, value: int, data: bytes = good) -> str:
        changed = bytearray(data)
        changed[len(good) - 28 + offset] = value
        return rx.receive(bytes(changed), src=A, dst=GROUP)[0]

    assert at(0, 2) == "hmac_malformed"
    assert at(1, 0) == "hmac_malformed"
    assert at(1, 7) == "hmac_unknown_key"
    assert at(3, 1) == "hmac_malformed"
    assert at(10, 9) == "hmac_invalid"
    assert at(27, good[-1] ^ 1) == "hmac_invalid"
    assert rx.receive(good[:-1], src=A, dst=GROUP)[0] == "hmac_malformed"
    assert rx.receive(good + b"\0", src=A, dst=GROUP)[0] == "hmac_malformed"
    assert rx.receive(good[:-28], src=A, dst=GROUP)[0] == "hmac_missing"
    # bound to its source: the checksum's pseudo-header put right, the tag is not
    moved = bytearray(good)
    moved[6:8] = template(src=B).payload[6:8]
    assert rx.receive(bytes(moved), src=B, dst=GROUP)[0] == "hmac_invalid"
    assert rx.receive(good, src=A, dst=GROUP)[0] == "ok"


@pytest.mark.parametrize("mode", ["permissive", "receive-only"])
def test_hmac_tolerant_modes(mode: str) -> None:
    """A rollout must not make two masters: failures are flagged with their reason and processed."""
    tx, rx = hmac_pair(hmac_mode=mode, hmac_window_s=5)
    tx.sign(1000 * SECOND)
    assert flags(rx, tx, wall_ns=1000 * SECOND) == {"hmac_verified"}
    name, advert = rx.receive_packet(tx.packet, wall_ns=1000 * SECOND)
    assert name == "ok"
    assert advert is not None
    assert (advert.flags, advert.hmac_why) == ({"hmac_tolerated"}, "hmac_replay")
    name, advert = rx.receive_packet(template().packet)
    assert advert is not None
    assert (name, advert.hmac_why) == ("ok", "hmac_missing")


def test_hmac_unicast_sender_must_be_a_peer() -> None:
    key = codec.VrrpHmacKey(1, SECRET)
    tx = template(hmac_key=key, dst=B)
    tx.sign(SECOND)
    settings = {"hmac_mode": "enforce", "hmac_keys": [key], "hmac_monotonic": True, "unicast": True}
    assert verdict(receiver(**settings), tx) == "unknown_peer"
    assert verdict(receiver(**settings, peers=[(A, None, None)]), tx) == "ok"


def test_trailer_at_an_instance_without_auth_hmac() -> None:
    """Taken with a flag, so that one router can begin to sign before the other is told; other surplus is
    refused."""
    tx, _ = hmac_pair()
    tx.sign(SECOND)
    assert flags(receiver(), tx) == {"hmac_ignored"}
    assert receiver().receive(tx.payload[:-1], src=A, dst=GROUP)[0] == "trailing"
    assert receiver().receive(template().payload + b"\0\0", src=A, dst=GROUP)[0] == "trailing"
    six = template(src="fe80::1", addresses=["fe80::100"], hmac_key=codec.VrrpHmacKey(3, SECRET))
    six.sign(SECOND)
    assert flags(receiver(family=codec.AF_INET6, addresses=["fe80::100"]), six) == {"hmac_ignored"}


def test_key_rolling() -> None:
    """All configured keys verify, one signs."""
    old, new = codec.VrrpHmacKey(1, SECRET), codec.VrrpHmacKey(2, SECRET[::-1])
    rx = receiver(hmac_mode="enforce", hmac_keys=[old, new], hmac_monotonic=True)
    for stamp, key in ((1, old), (2, new), (3, old)):
        tx = template(hmac_key=key)
        tx.sign(stamp * SECOND)
        name, advert = rx.receive_packet(tx.packet)
        assert name == "ok"
        assert advert is not None
        assert advert.hmac_key_id == key.key_id


# ---- building ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 4}, "version"),
        ({"vrid": 0}, "router id"),
        ({"interval": 4096}, "interval"),
        ({"interval": 0}, "interval"),
        ({"auth_type": 1}, "authentication"),
        ({"addresses": ["fe80::1"]}, "family"),
        ({"addresses": VIPS * 86}, "at most 255"),
        ({"dst": "ff02::12"}, "family"),
        ({"version": 2, "interval": 1, "src": "fe80::1", "addresses": []}, "family"),
    ],
)
def test_impossible_adverts_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(codec.CodecError, match=message):
        template(**changes)


def test_times() -> None:
    """The worked values of RFC 3768 6.1 and RFC 9568 6.1, the fraction kept."""
    assert codec.vrrp_down_ns(2, 100, SECOND) == 3_609_375_000
    assert codec.vrrp_skew_ns(2, 90, SECOND) == 648_437_500
    assert codec.vrrp_down_ns(3, 90, 3 * SECOND) == 10_945_312_500
    assert codec.vrrp_skew_ns(3, 90, SECOND) == 648_437_500
    assert codec.vrrp_down_ns(3, 200, SECOND // 10) == 321_875_000
    assert codec.vrrp_down_ns(3, 100, SECOND, adverts=5) == 5_609_375_000
