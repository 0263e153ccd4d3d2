"""A lab from a file, for ``fastha lab up``.

TOML: the segments, and a table for each node::

    segments = ["lan"]

    [nodes.r1]
    lan = ["192.0.2.1/24"]        # interface eth0; further segments are eth1, ... in this order
    daemon = "fastha"             # or "keepalived"
    config = "r1.conf"            # beside this file
    forward = true                # routes packets
    commands = ["route add default via 192.0.2.254"]   # of ip(8)

    [nodes.client]
    lan = ["192.0.2.9/24"]
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from fastha.lab import faults
from fastha.lab.daemons import KINDS, Daemon
from fastha.lab.spaces import LabError
from fastha.lab.topology import Lab

_OWN = {"daemon", "config", "forward", "commands"}


def read(path: Path) -> dict[str, Any]:
    """The file's content, checked. Raises :exc:`LabError` naming the node and the key."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"{path}: {error}") from error
    segments, nodes = found.get("segments"), found.get("nodes")
    if not isinstance(segments, list) or not all(isinstance(one, str) for one in segments):
        raise LabError(f'{path}: segments must be a list of names, such as segments = ["lan"]')
    if not isinstance(nodes, dict) or not nodes:
        raise LabError(f"{path}: no node; each is a table such as [nodes.r1]")
    if unknown := set(found) - {"segments", "nodes"}:
        raise LabError(f"{path}: unknown: {', '.join(sorted(unknown))}; there are segments and nodes")
    for name, table in nodes.items():
        _check_node(path, name, table, segments)
    return found


def _check_node(path: Path, name: str, table: Any, segments: list[str]) -> None:
    where = f"{path}: node {name}"
    if not isinstance(table, dict):
        raise LabError(f"{where}: must be a table, [nodes.{name}]")
    for key, value in table.items():
        if key in segments or key == "commands":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise LabError(f"{where}: {key} must be a list of texts")
        elif key == "daemon":
            if value not in KINDS:
                raise LabError(f"{where}: no daemon {value!r}; there are {', '.join(KINDS)}")
        elif key not in _OWN:
            raise LabError(
                f"{where}: {key} is neither a segment ({', '.join(segments)}) "
                f"nor one of {', '.join(sorted(_OWN))}"
            )
    if ("daemon" in table) != ("config" in table):
        raise LabError(f"{where}: daemon and config go together")
    if "config" in table and not (path.parent / str(table["config"])).is_file():
        raise LabError(f"{where}: there is no file {path.parent / str(table['config'])}")


def build(lab: Lab, path: Path) -> list[Daemon]:
    """Make what a file describes and start its daemons; raises :exc:`LabError`."""
    found = read(path)
    for segment in found["segments"]:
        lab.segment(segment)
    daemons = []
    for name, table in found["nodes"].items():
        node = lab.node(name, **{key: value for key, value in table.items() if key in lab.segments})
        if table.get("forward"):
            faults.forwarding(node)
        node.ip(*table.get("commands", ()))
        if "daemon" in table:
            text = (path.parent / table["config"]).read_text()
            daemons.append(KINDS[table["daemon"]](node, text))
    for daemon in daemons:
        daemon.start()
    return daemons
