"""Netlink as the main thread reads it: whatever octets come, they are read, or refused as cut short.

The kernel is trusted, its versions are not: attributes may be missing, longer, shorter or unknown.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from fastha.net import nlmsg, rtnl
from fastha.net.links import LinkTable, decode_address, decode_link
from fastha.net.nlmsg import NetlinkTruncatedError
from fastha.net.nlsock import _error
from fastha.tracking.procevents import parse

KINDS = (rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK, rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR, rtnl.RTM_NEWROUTE, 0, 65535)
FAMILIES = (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6, 7)


def nla(kind: int, payload: bytes) -> bytes:
    """An attribute of any type number."""
    return nlmsg.attr(kind & 0x3FFF, payload)


attributes = st.recursive(
    st.builds(nla, st.integers(0, 40), st.binary(max_size=20)),
    lambda inner: st.builds(
        lambda k, parts: nla(k, b"".join(parts)), st.integers(0, 40), st.lists(inner, max_size=4)
    ),
    max_leaves=8,
)
"""An attribute, perhaps of attributes."""
link_bodies = st.builds(
    lambda family, index, flags, parts: rtnl.IFINFOMSG.pack(family, 1, index, flags, 0) + b"".join(parts),
    st.sampled_from(FAMILIES),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(attributes, max_size=6),
)
address_bodies = st.builds(
    lambda family, prefix, index, parts: rtnl.IFADDRMSG.pack(family, prefix, 0, 0, index) + b"".join(parts),
    st.sampled_from(FAMILIES),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.lists(attributes, max_size=6),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.one_of(link_bodies, address_bodies, st.binary(max_size=64))),
        max_size=8,
    )
)
def test_the_link_table_takes_any_message_or_refuses_it(messages: list[tuple[int, bytes]]) -> None:
    table = LinkTable()
    for kind, body in messages:
        with contextlib.suppress(NetlinkTruncatedError):
            table.apply(kind, body)
        for link in table:
            assert table.by_index(link.ifindex) is link
            for family in (socket.AF_INET, socket.AF_INET6):
                table.source_address(link.ifindex, family)
            table.vrf(link)
            for address in table.addresses(link.ifindex):
                assert str(address.ip)


@given(st.one_of(link_bodies, address_bodies), st.data())
def test_a_message_cut_anywhere_is_read_or_refused(body: bytes, data: st.DataObject) -> None:
    cut = body[: data.draw(st.integers(0, len(body)))]
    for decode in (decode_link, decode_address):
        with contextlib.suppress(NetlinkTruncatedError):
            decode(cut)


@given(st.binary(max_size=200))
def test_any_octets_are_split_into_whole_messages_or_refused(octets: bytes) -> None:
    taken = 0
    with contextlib.suppress(NetlinkTruncatedError):
        for _, _, _, _, body in nlmsg.messages(octets):
            taken += nlmsg.HEADER.size + len(body)
            assert taken <= len(octets) + 3
            with contextlib.suppress(NetlinkTruncatedError):
                nlmsg.attrs(body)


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=60)), max_size=5))
def test_what_was_put_together_comes_apart(parts: list[tuple[int, bytes]]) -> None:
    octets = b"".join(nlmsg.message(kind, 0, body, seq=n) for n, (kind, body) in enumerate(parts))
    assert [(kind, body) for kind, _, _, _, body in nlmsg.messages(octets)] == parts


@given(st.binary(min_size=4, max_size=80), st.integers(0, 0xFFFF))
def test_an_answer_of_the_kernel_of_any_form_has_a_code(body: bytes, flags: int) -> None:
    code, hint = _error(body, flags)
    assert code == -struct.unpack_from("=i", body)[0] and isinstance(hint, str)


@given(st.binary(max_size=120))
def test_a_process_event_of_any_form_is_read_or_not(octets: bytes) -> None:
    parse(octets)
