"""Plan objects from numbers: what an operator would read, and the two messages, of an address, a route, a
rule.

What this is for: the one place where a specification becomes a :class:`fastha.net.plan.PlanObject`. It
looks no name up and opens no socket; what a configuration says is made into these specifications by
:mod:`fastha.net.model_plan`.
"""

from __future__ import annotations

import ipaddress
import socket

import msgspec

from . import rtnl
from .plan import ObjectKind, PlanObject
from .routes import RouteSpec, route_add, route_delete
from .rules import RuleSpec, rule_add, rule_delete


class AddressSpec(msgspec.Struct, frozen=True):
    """An address in numbers."""

    ifindex: int
    ifname: str
    """For people only."""
    address: bytes
    prefixlen: int
    """Of the peer, where there is one."""
    peer: bytes | None = None
    broadcast: bytes | None = None
    label: str | None = None
    scope: int = 0
    flags: int = 0
    """IFA_F_*"""
    preferred_lft: int = rtnl.FOREVER
    valid_lft: int = rtnl.FOREVER
    """Seconds after which the kernel removes it, unless it is renewed by sending the same message again."""

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AF_INET if len(self.address) == 4 else socket.AF_INET6


def address_text(spec: AddressSpec) -> str:
    """``192.0.2.50/24 dev eth0``, with what else tells it apart."""
    shown = str(ipaddress.ip_address(spec.address))
    if spec.peer is not None:
        shown += f" peer {ipaddress.ip_address(spec.peer)}"
    shown += f"/{spec.prefixlen} dev {spec.ifname}"
    return shown + (f" label {spec.label}" if spec.label is not None else "")


def address_object(spec: AddressSpec, *, tracked: bool = True) -> PlanObject:
    """The plan object of an address."""
    add = rtnl.address_add(
        spec.family,
        spec.ifindex,
        spec.address,
        spec.prefixlen,
        peer=spec.peer,
        broadcast=spec.broadcast,
        label=spec.label,
        scope=spec.scope,
        flags=spec.flags,
        preferred_lft=spec.preferred_lft,
        valid_lft=spec.valid_lft,
    )
    return PlanObject(
        kind=ObjectKind.ADDRESS,
        add=add,
        remove=rtnl.address_delete(spec.family, spec.ifindex, spec.address, spec.prefixlen, peer=spec.peer),
        family=spec.family,
        ifindex=spec.ifindex,
        address=spec.address,
        prefixlen=spec.prefixlen,
        text=address_text(spec),
        tracked=tracked,
        renew=spec.valid_lft != rtnl.FOREVER,
    )


def route_object(spec: RouteSpec, text: str, *, tracked: bool = True) -> PlanObject:
    """The plan object of a route; ``text`` as it was written."""
    add = route_add(spec)
    return PlanObject(
        kind=ObjectKind.ROUTE,
        add=add,
        remove=route_delete(spec),
        family=spec.family,
        ifindex=spec.ifindex,
        address=spec.dst,
        prefixlen=spec.dst_len,
        text=text,
        tracked=tracked,
    )


def rule_object(spec: RuleSpec, text: str, *, tracked: bool = True) -> PlanObject:
    """The plan object of a policy rule; ``text`` as it was written."""
    add = rule_add(spec)
    return PlanObject(
        kind=ObjectKind.RULE,
        add=add,
        remove=rule_delete(spec),
        family=spec.family,
        ifindex=0,
        address=b"",
        prefixlen=0,
        text=text,
        tracked=tracked,
    )
