"""What lies between two configurations, in an operator's words: what a reload would do, before it does.

`compare` is pure and knows no daemon. What a change means for the traffic (`Change.effect`) follows from
the rules of a reload: an instance is the same while family, VRID, interface, the way of its adverts and
its virtual device are; a virtual server while its address (mark, group) and protocol are; only what differs
is touched.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from .model import Address, Config, Route, Rule, Span, VrrpInstance
from .model_base import Command, fields_of
from .model_lvs import LvsConfig, RealServer, SorryServer, VirtualServer
from .writer import address, program

Action = Literal["added", "removed", "changed"]

_MINUS_PLUS = {
    "addresses": "virtual_ipaddress",
    "excluded": "virtual_ipaddress_excluded",
    "routes": "virtual_routes",
    "rules": "virtual_rules",
    "unicast_peers": "unicast_peer",
    "track_interfaces": "track_interface",
    "track_scripts": "track_script",
    "track_files": "track_file",
    "track_processes": "track_process",
    "track_bfds": "track_bfd",
    "members": "group",
    "checkers": "check",
}
# fields whose keyword has another name
_KEYWORDS = {
    "vrid": "virtual_router_id",
    "strict": "strict_mode",
    "source": "source address",
    "mcast_group": "multicast group",
    "track_primary": "tracking of the own interface",
    "track_source": "track_src_ip",
    "address_list": "fastha_address_list",
    "address_lifetime": "fastha_address_lifetime",
    "graceful_handover": "fastha_graceful_handover",
    "tracking_weight": "sync_group_tracking_weight",
    "scheduler": "lvs_sched",
    "forwarding": "lvs_method",
    "upper_threshold": "uthreshold",
    "lower_threshold": "lthreshold",
    "panic_percent": "fastha_panic",
    "damping": "fastha_damping",
    "slow_start": "fastha_slow_start",
    "pool": "fastha_pool",
    "drain": "fastha_drain",
}
_SECRET = frozenset({"auth_pass", "password", "secret"})
# not what the daemon does, but where and how it was written
_UNTOLD = frozenset({"span", "text"})
_AT_START = {
    "net_namespace": "net_namespace",
    "net_namespace_ipvs": "net_namespace_ipvs",
    "instance": "instance",
    "control_socket": "fastha_control_socket",
    "state_directory": "fastha_state_directory",
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is added, removed or changed."""

    action: Action
    kind: str
    """The keyword of the block: vrrp_instance, virtual_server..."""
    name: str
    details: tuple[str, ...] = ()
    """What changes in it, each as `priority 100 -> 90`."""
    effect: str = ""
    """What it means for the traffic; empty when nothing moves."""

    def render(self) -> str:
        """For people, one line or more."""
        text = f"{self.kind} {self.name}".rstrip() + f" is {self.action}"
        if self.effect:
            text += f": {self.effect}"
        return "\n".join((text, *(f"    {d}" for d in self.details)))


def compare(old: Config, new: Config) -> tuple[Change, ...]:
    """Every difference, instances first, in the order of the new file; empty when a reload does nothing."""
    found: list[Change] = []
    found.extend(_instances(old, new))
    for field, kind in (
        ("sync_groups", "vrrp_sync_group"),
        ("scripts", "vrrp_script"),
        ("track_files", "track_file"),
        ("track_processes", "vrrp_track_process"),
        ("track_groups", "track_group"),
        ("bfd_instances", "bfd_instance"),
    ):
        found.extend(_named(kind, getattr(old, field), getattr(new, field)))
    found.extend(
        _keyed(
            "bfd_unsolicited",
            {b.interface: b for b in old.bfd_unsolicited},
            {b.interface: b for b in new.bfd_unsolicited},
        )
    )
    if old.sbfd_reflector != new.sbfd_reflector:
        action: Action = (
            "added" if old.sbfd_reflector is None else "removed" if new.sbfd_reflector is None else "changed"
        )
        found.append(Change(action=action, kind="sbfd_reflector", name=""))
    for field, kind in (
        ("static_addresses", "static_ipaddress"),
        ("static_routes", "static_routes"),
        ("static_rules", "static_rules"),
        ("garp_groups", "garp_group"),
        ("link_delays", "interface_up_down_delays"),
        ("linkbeat_interfaces", "linkbeat_interfaces"),
    ):
        details = _members("", getattr(old, field), getattr(new, field))
        if details:
            found.append(Change(action="changed", kind=kind, name="", details=tuple(details)))
    found.extend(_lvs(old.lvs, new.lvs))
    details = _fields(old.globals_, new.globals_)
    if details:
        late = [
            word
            for field, word in _AT_START.items()
            if getattr(old.globals_, field) != getattr(new.globals_, field)
        ]
        effect = f"{', '.join(late)} only when the daemon is started anew" if late else ""
        found.append(
            Change(action="changed", kind="global_defs", name="", details=tuple(details), effect=effect)
        )
    return tuple(found)


# -------------------------------------------------------------------- instances


def identity(instance: VrrpInstance) -> tuple[Any, ...]:
    """What makes an instance the same one over a reload."""
    settings = instance.settings
    how = instance.source if settings.unicast else settings.mcast_group
    device = settings.vmac.kind if settings.vmac is not None else None
    return (instance.family, instance.vrid, instance.interface, settings.unicast, how, device)


def _instances(old: Config, new: Config) -> Iterable[Change]:
    before = {identity(i): i for i in old.instances}
    after = {identity(i): i for i in new.instances}
    names_before = {i.name for i in old.instances}
    for key, i in before.items():
        if key not in after:
            again = any(i.name == n.name for n in new.instances)
            effect = "it hands over and its addresses go"
            if again:
                effect = "as another virtual router of the same name is begun, it hands over first"
            yield Change(action="removed", kind="vrrp_instance", name=i.name, effect=effect)
    for key, i in after.items():
        was = before.get(key)
        if was is None:
            effect = "it begins as BACKUP"
            if i.name in names_before:
                effect += " (VRID, interface, source or virtual device differ: it is another virtual router)"
            yield Change(action="added", kind="vrrp_instance", name=i.name, effect=effect)
            continue
        details = _fields(was, i)
        if details:
            name = i.name if was.name == i.name else f"{was.name} (now {i.name})"
            yield Change(
                action="changed",
                kind="vrrp_instance",
                name=name,
                details=tuple(details),
                effect=_instance_effect(was, i),
            )


def _instance_effect(old: VrrpInstance, new: VrrpInstance) -> str:
    """What a change means while the instance goes on."""
    said: list[str] = []
    a, b = old.settings, new.settings
    if a.version != b.version:
        said.append("routers that still speak the other version do not hear it: two masters until all agree")
    elif (a.auth_type, a.auth_pass) != (b.auth_type, b.auth_pass) or a.auth_hmac != b.auth_hmac:
        said.append("routers with other authentication refuse its adverts until all agree")
    elif a.version == 2 and a.advert_int_ns != b.advert_int_ns:
        said.append("version 2 refuses adverts with another interval until all agree")
    if old.priority != new.priority:
        way = "up" if new.priority > old.priority else "down"
        said.append(f"priority goes {way}: another router may become master")
    gone = {a.address for a in (*old.addresses, *old.excluded)}
    gone -= {a.address for a in (*new.addresses, *new.excluded)}
    if gone:
        said.append(f"{', '.join(sorted(map(str, gone)))} no longer answer{'s' if len(gone) == 1 else ''}")
    return "; ".join(said) or "it keeps its role and misses no advert"


# -------------------------------------------------------------------- load balancing


def _place(address: Any, port: int) -> str:
    return f"[{address}]:{port}" if getattr(address, "version", 4) == 6 else f"{address}:{port}"


def server_name(server: VirtualServer) -> str:
    """A virtual server as an operator calls it: `192.0.2.1:80 TCP`, `fwmark 5 inet`, `group NAME TCP`."""
    if server.group is not None:
        again = f" ({server.group_use + 1})" if server.group_use else ""
        return f"group {server.group.name} {server.protocol}{again}"
    if server.fwmark:
        return f"fwmark {server.fwmark} {'inet6' if server.family == 10 else 'inet'}"
    return f"{_place(server.address, server.port)} {server.protocol}"


def _lvs(old: LvsConfig, new: LvsConfig) -> Iterable[Change]:
    before = {server_name(s): s for s in old.virtual_servers}
    after = {server_name(s): s for s in new.virtual_servers}
    for name in before:
        if name not in after:
            yield Change(
                action="removed",
                kind="virtual_server",
                name=name,
                effect="its service leaves IPVS and its connections end",
            )
    for name, server in after.items():
        was = before.get(name)
        if was is None:
            count = len(server.real_servers)
            text = f"{count} real server{'s' if count != 1 else ''}"
            yield Change(action="added", kind="virtual_server", name=name, details=(text,))
        elif was != server and (change := _virtual(name, was, server)) is not None:
            yield change
    details = _fields(old, new, skip=("virtual_servers",))
    if details:
        yield Change(action="changed", kind="load balancing", name="", details=tuple(details))


def _virtual(name: str, old: VirtualServer, new: VirtualServer) -> Change | None:
    details = _fields(old, new, skip=("real_servers",))
    before = {(r.address, r.port): r for r in old.real_servers}
    after = {(r.address, r.port): r for r in new.real_servers}
    gone = [k for k in before if k not in after]
    details.extend(f"- real_server {_place(*k)}" for k in gone)
    for key, real in after.items():
        was = before.get(key)
        if was is None:
            details.append(f"+ real_server {_place(*key)} weight {real.weight}")
        elif was != real:
            details.extend(f"real_server {_place(*key)}: {d}" for d in _fields(was, real))
    if not details:
        return None
    effect = "connections to the servers that stay are kept"
    if gone:
        effect = (
            f"connections to {len(gone)} removed server{'s' if len(gone) != 1 else ''} end; the others stay"
        )
    return Change(action="changed", kind="virtual_server", name=name, details=tuple(details), effect=effect)


# -------------------------------------------------------------------- anything


def _named(kind: str, old: Iterable[Any], new: Iterable[Any]) -> Iterable[Change]:
    return _keyed(kind, {x.name: x for x in old}, {x.name: x for x in new})


def _keyed(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Change]:
    for name in old:
        if name not in new:
            yield Change(action="removed", kind=kind, name=name)
    for name, thing in new.items():
        if name not in old:
            yield Change(action="added", kind=kind, name=name)
        elif details := _fields(old[name], thing):
            yield Change(action="changed", kind=kind, name=name, details=tuple(details))


def _fields(old: Any, new: Any, *, skip: tuple[str, ...] = ()) -> list[str]:
    """What differs between two structs of one type, a line each, as `keyword old -> new`."""
    found: list[str] = []
    for (field, a), (_, b) in zip(fields_of(old), fields_of(new), strict=True):
        if field in skip or field in _UNTOLD:
            continue
        if a == b or _plain(a) == _plain(b):
            continue
        word = keyword(field)
        if field in _SECRET:
            found.append(f"{word} changes")
        elif field in _MINUS_PLUS and type(a) is tuple and type(b) is tuple:
            found.extend(_members(_MINUS_PLUS[field], a, b))
        elif isinstance(a, msgspec.Struct) and type(a) is type(b) and _is_settings(a):
            found.extend(f"{word}: {line}" for line in _fields(a, b))
        else:
            found.append(f"{word} {value(a, field)} -> {value(b, field)}")
    return found


def _plain(thing: Any) -> Any:
    """Without how it was written: `192.0.2.1` and `192.0.2.1/32` are the same address."""
    if isinstance(thing, tuple):
        return tuple(map(_plain, thing))
    if isinstance(thing, (Route, Rule)):
        return " ".join(thing.text.split())
    if isinstance(thing, msgspec.Struct):
        return type(thing), tuple(
            _plain(getattr(thing, f)) for f in thing.__struct_fields__ if f not in _UNTOLD
        )
    return thing


def _is_settings(thing: msgspec.Struct) -> bool:
    """Whether a struct is a bundle of settings, told field by field, and not one value."""
    return not hasattr(thing, "argv") and not hasattr(thing, "address")


def _members(word: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> list[str]:
    """The members that come and go; when only their order differs, that."""
    before, after = {value(x): x for x in old}, {value(x): x for x in new}
    found = [f"- {word} {v}".replace("  ", " ") for v in before if v not in after]
    found += [f"+ {word} {v}".replace("  ", " ") for v in after if v not in before]
    if not found and tuple(before) != tuple(after):
        found.append(f"{word}: another order".lstrip(": "))
    elif not found and _plain(old) != _plain(new):
        found.append(f"{word} changes".strip())
    return found


def keyword(field: str) -> str:
    """The keyword that a field of the model comes from."""
    for suffix in ("_ns", "_us", "_s"):
        if field.endswith(suffix) and field not in ("inhibit_s",):
            field = field.removesuffix(suffix)
            break
    return _KEYWORDS.get(field, field.rstrip("_"))


def value(thing: Any, field: str = "") -> str:
    """A value for people: seconds for nanoseconds, what was written for commands and addresses."""
    if thing is None:
        return "none"
    if isinstance(thing, bool):
        return "on" if thing else "off"
    if isinstance(thing, int) and field.endswith(("_ns", "_us")):
        seconds = thing / (1_000_000_000 if field.endswith("_ns") else 1_000_000)
        return f"{seconds:.9f}".rstrip("0").rstrip(".") + " s"
    if isinstance(thing, int) and field.endswith("_s"):
        return f"{thing} s"
    if isinstance(thing, (str, int, ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return str(thing)
    if isinstance(thing, bytes):
        return thing.hex() or "none"
    if isinstance(thing, tuple):
        return ", ".join(map(value, thing)) or "none"
    if isinstance(thing, (RealServer, SorryServer)):
        return _place(thing.address, thing.port)
    if isinstance(thing, Span):
        return ""
    return _struct(thing)


def _struct(thing: Any) -> str:
    if isinstance(thing, Address):
        return address(thing)
    if isinstance(thing, Command):
        return program(thing)
    if isinstance(thing, (Route, Rule)):
        return " ".join(thing.text.split())
    parts: list[str] = []
    kind = getattr(type(thing).__struct_config__, "tag", None)
    if kind:
        parts.append(str(kind))
    for field, inner in fields_of(thing):
        if field in _UNTOLD or inner is None or inner is False or inner == ():
            continue
        if field in _SECRET or field == "secret":
            parts.append(f"{field} ***")
        elif field in ("name", "address", "interface", "method") and not parts:
            parts.append(value(inner, field))
        elif inner is True:
            parts.append(keyword(field))
        else:
            parts.append(f"{keyword(field)} {value(inner, field)}")
    return " ".join(parts)
