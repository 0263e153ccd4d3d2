"""Configuration text for the daemons of a lab, in keepalived's language: every daemon reads the same file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def block(head: str, lines: Iterable[str]) -> str:
    """``HEAD { lines }``, indented."""
    body = "\n".join(f"    {line}" for text in lines for line in text.splitlines())
    return f"{head} {{\n{body}\n}}\n"


def instance(
    name: str,
    *,
    vrid: int,
    priority: int,
    addresses: Sequence[str],
    advert: float = 0.1,
    version: int = 3,
    interface: str = "eth0",
    state: str = "BACKUP",
    lines: Sequence[str] = (),
) -> str:
    """A ``vrrp_instance``. ``advert``: interval in seconds; ``lines``: whatever else stands in the block."""
    return block(
        f"vrrp_instance {name}",
        [
            f"state {state}",
            f"interface {interface}",
            f"virtual_router_id {vrid}",
            f"priority {priority}",
            f"version {version}",
            f"advert_int {advert:g}",
            *lines,
            block("virtual_ipaddress", addresses),
        ],
    )


def sync_group(name: str, members: Sequence[str], *lines: str) -> str:
    """A ``vrrp_sync_group``."""
    return block(f"vrrp_sync_group {name}", [block("group", members), *lines])


def config(*blocks: str, globals_: Sequence[str] = ()) -> str:
    """A whole file."""
    return "\n".join([block("global_defs", ["router_id lab", *globals_]), *blocks])
