"""rtnetlink messages for policy rules: every option of ``ip rule`` that keepalived takes, as numbers.

What this is for: like :mod:`fastha.net.rtnl`, whose rules hold here too (complete messages, sequence 0, no
socket, no names). What a configuration says is turned into a :class:`RuleSpec` by
:mod:`fastha.net.model_plan`. rtnetlink(7), ip-rule(8), the kernel's exported fib_rules.h.
"""

from __future__ import annotations

import struct

import msgspec

from .nlmsg import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    attr,
    attr_str,
    attr_u8,
    attr_u32,
    message,
)
from .rtnl import PROTOCOL, RTM_DELRULE, RTM_GETRULE, RTM_NEWRULE

FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_GOTO, FRA_PRIORITY, FRA_FWMARK, FRA_FLOW, FRA_TUN_ID = (
    1,
    2,
    3,
    4,
    6,
    10,
    11,
    12,
)
FRA_SUPPRESS_IFGROUP, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_FWMASK, FRA_OIFNAME = 13, 14, 15, 16, 17
FRA_L3MDEV, FRA_UID_RANGE, FRA_PROTOCOL, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE = (
    19,
    20,
    21,
    22,
    23,
    24,
)
FR_ACT_UNSPEC, FR_ACT_TO_TBL, FR_ACT_GOTO, FR_ACT_NOP = 0, 1, 2, 3
FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT = 6, 7, 8
FIB_RULE_INVERT = 2

FIB_RULE_HDR = struct.Struct("=BBBBBBBBI")  # family, dst len, src len, tos, table, -, -, action, flags


class RuleSpec(msgspec.Struct, frozen=True):
    """A policy rule in numbers; None means that it does not look at this."""

    family: int
    priority: int
    action: int = FR_ACT_TO_TBL
    table: int = 0
    src: bytes = b""
    src_len: int = 0
    dst: bytes = b""
    dst_len: int = 0
    invert: bool = False
    tos: int = 0
    fwmark: int | None = None
    fwmask: int | None = None
    realms: int | None = None
    """From-realm in the upper, to-realm in the lower 16 bits; IPv4."""
    suppress_prefixlength: int | None = None
    suppress_ifgroup: int | None = None
    iif: str | None = None
    oif: str | None = None
    goto: int | None = None
    """The priority of the rule to go on at."""
    tunnel_id: int | None = None
    uid_range: tuple[int, int] | None = None
    l3mdev: bool = False
    ip_protocol: int | None = None
    sport: tuple[int, int] | None = None
    dport: tuple[int, int] | None = None
    protocol: int = PROTOCOL


def _body(spec: RuleSpec) -> bytes:
    parts = [
        FIB_RULE_HDR.pack(
            spec.family,
            spec.dst_len,
            spec.src_len,
            spec.tos,
            spec.table if spec.table < 256 else 0,
            0,
            0,
            spec.action,
            FIB_RULE_INVERT if spec.invert else 0,
        )
    ]
    if spec.dst_len:
        parts.append(attr(FRA_DST, spec.dst))
    if spec.src_len:
        parts.append(attr(FRA_SRC, spec.src))
    if spec.iif is not None:
        parts.append(attr_str(FRA_IIFNAME, spec.iif))
    if spec.oif is not None:
        parts.append(attr_str(FRA_OIFNAME, spec.oif))
    for kind, value in (
        (FRA_GOTO, spec.goto),
        (FRA_PRIORITY, spec.priority),
        (FRA_FWMARK, spec.fwmark),
        (FRA_FWMASK, spec.fwmask),
        (FRA_FLOW, spec.realms),
        (FRA_SUPPRESS_IFGROUP, spec.suppress_ifgroup),
        (FRA_SUPPRESS_PREFIXLEN, spec.suppress_prefixlength),
        (FRA_TABLE, spec.table or None),
    ):
        if value is not None:
            parts.append(attr_u32(kind, value))
    if spec.tunnel_id is not None:
        parts.append(attr(FRA_TUN_ID, struct.pack("!Q", spec.tunnel_id)))
    if spec.uid_range is not None:
        parts.append(attr(FRA_UID_RANGE, struct.pack("=II", *spec.uid_range)))
    if spec.l3mdev:
        parts.append(attr_u8(FRA_L3MDEV, 1))
    if spec.ip_protocol is not None:
        parts.append(attr_u8(FRA_IP_PROTO, spec.ip_protocol))
    if spec.sport is not None:
        parts.append(attr(FRA_SPORT_RANGE, struct.pack("=HH", *spec.sport)))
    if spec.dport is not None:
        parts.append(attr(FRA_DPORT_RANGE, struct.pack("=HH", *spec.dport)))
    parts.append(attr_u8(FRA_PROTOCOL, spec.protocol))
    return b"".join(parts)


def rule_add(spec: RuleSpec) -> bytes:
    """Add a rule; refused when there is an equal one."""
    return message(RTM_NEWRULE, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, _body(spec))


def rule_delete(spec: RuleSpec) -> bytes:
    """Remove a rule; the protocol must agree, so that a foreign rule with equal selectors is not touched."""
    return message(RTM_DELRULE, NLM_F_REQUEST, _body(spec))


def rule_dump(family: int) -> bytes:
    """Ask for all rules of a family."""
    return message(RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, FIB_RULE_HDR.pack(family, *(0,) * 8))
