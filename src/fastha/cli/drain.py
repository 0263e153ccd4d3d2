"""`fastha drain` and `fastha undrain`: hand over and stay away (state MAINT), and take part again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from .ask import answer, json_option, print_json, socket_option
from .show_servers import drain_server, undrain_server

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ("instance", "group", "node")
_MOST = 8
"""Names that a line holds."""
_THERE = {"there": "a successor is there", "unknown": "a successor is not known", "absent": "NO SUCCESSOR"}


def whom(words: tuple[str, ...], *, node: bool = True) -> dict[str, str]:
    """What WHAT on a command line means: `instance NAME`, `group NAME`, `NAME`, `node`."""
    kinds = KINDS if node else KINDS[:2]
    if len(words) == 2 and words[0] in kinds[:2]:
        return {"kind": words[0], "name": words[1]}
    if len(words) == 1:
        return {"kind": "node"} if node and words[0] == "node" else {"name": words[0]}
    raise click.UsageError(
        "say what: instance NAME, group NAME"
        + (", server HOST[:PORT], NAME, or node" if node else ", or NAME")
    )


def real_server(words: tuple[str, ...]) -> str | None:
    """The HOST[:PORT] of `server HOST[:PORT]`; None when something else is meant."""
    return words[1] if len(words) == 2 and words[0] == "server" else None


def peer_option(function: F) -> F:
    """--peer."""
    return click.option(
        "--peer",
        "peers",
        multiple=True,
        type=click.File("rb"),
        help="What the other router says: a file with its `fastha show --json`, - for standard input.",
    )(function)


def statements(peers: tuple[Any, ...]) -> list[Any]:
    """The content of what --peer names."""
    found: list[Any] = []
    for file in peers:
        try:
            found.append(msgspec.json.decode(file.read()))
        except msgspec.MsgspecError as error:
            raise click.UsageError(
                f"--peer {file.name}: not the output of `fastha show --json`: {error}"
            ) from None
    return found


def title(data: dict[str, Any]) -> str:
    """What a command was about."""
    return "the node" if data["kind"] == "node" else f"{data['kind']} {data['name']}"


def print_outlook(data: dict[str, Any]) -> None:
    """What is known of successors; many of whom the same is known share a line."""
    said: dict[str, list[str]] = {}
    for one in data["instances"]:
        said.setdefault(f"({one['state']}): {_THERE[one['verdict']]}: {one['why']}", []).append(
            one["instance"]
        )
    for text, names in said.items():
        click.echo(f"{_listed(names)} {text}")


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")


def print_handed_over(data: dict[str, Any]) -> None:
    """What became of each instance."""
    said: dict[str, list[dict[str, Any]]] = {}
    for one in data["instances"]:
        if one["was_master"]:
            to = f" to {one['successor']}" if one["successor"] else ", and nobody took over"
            said.setdefault(to, []).append(one)
    for to, several in said.items():
        longest = max(one["took_ms"] for one in several)
        names = _listed([one["instance"] for one in several])
        click.echo(f"{names}: handed over{to} in {longest:g} ms")
    if data["unsaved"]:
        click.echo(f"but: {data['unsaved']}; this will not survive a restart", err=True)


@click.command(name="drain")
@click.argument("what", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Leave even if nobody takes over: the addresses are gone then.")
@click.option("--check", is_flag=True, help="Only say whether somebody is there to take over.")
@click.option("--deadline", help="A real server: remove it after this long at the latest: 90s, 10m, 2h.")
@peer_option
@socket_option
@json_option
def command(
    what: tuple[str, ...],
    force: bool,
    check: bool,
    deadline: str | None,
    peers: tuple[Any, ...],
    control_socket: Path,
    as_json: bool,
) -> None:
    """Hand over now, without losing a packet, and stay away (state MAINT) until `undrain`.

    WHAT is an instance's or a sync group's name, `instance NAME`, `group NAME`, or `node` for everything. An
    instance of a sync group stands for its group. An address to which nobody succeeds stays here, unless
    --force. Maintenance survives restarts and reboots.

    `server HOST[:PORT]` is a real server: it gets no new connections and keeps those it has, up to
    --deadline.

    Exit code: 0 done; 1 refused, nothing lost. With --check: 0 a successor is there, 3 not known, 4 known to
    be absent.
    """
    host = real_server(what)
    if host is not None:
        if force or check or peers:
            raise click.UsageError("--force, --check and --peer are for instances, groups and the node")
        drain_server(host, deadline, control_socket, as_json=as_json)
        return
    if deadline is not None:
        raise click.UsageError("--deadline is for `drain server HOST[:PORT]`")
    asked: dict[str, Any] = {**whom(what), "peers": statements(peers)}
    outlook = answer(control_socket, "outlook", timeout=30.0, **asked)
    if check:
        if as_json:
            print_json(outlook)
        else:
            print_outlook(outlook)
        verdicts = {one["verdict"] for one in outlook["instances"]}
        sys.exit(4 if "absent" in verdicts else 3 if "unknown" in verdicts else 0)
    if not as_json:
        print_outlook(outlook)
    data = answer(control_socket, "drain", timeout=120.0, force=force, **asked)
    if as_json:
        print_json(data)
        return
    print_handed_over(data)
    end = f"`fastha undrain {' '.join(what)}` ends it"
    click.echo(
        f"{title(data)}: in maintenance (MAINT){'' if data['unsaved'] else ', over restarts too'}; {end}"
    )


@click.command(name="undrain")
@click.argument("what", nargs=-1, required=True)
@click.option(
    "--keep-backup", is_flag=True, help="Do not take the addresses back while the present master lives."
)
@socket_option
@json_option
def undrain(what: tuple[str, ...], keep_backup: bool, control_socket: Path, as_json: bool) -> None:
    """Let what was drained take part again; it preempts as configured, unless --keep-backup.

    WHAT as for `drain`. Also ends what `fastha switchover` left: that an instance does not take back.
    """
    host = real_server(what)
    if host is not None:
        if keep_backup:
            raise click.UsageError("--keep-backup is for instances, groups and the node")
        undrain_server(host, control_socket, as_json=as_json)
        return
    data = answer(control_socket, "undrain", timeout=30.0, keep_backup=keep_backup, **whom(what))
    if as_json:
        print_json(data)
        return
    click.echo(f"{title(data)}: {_listed(data['instances']) or 'nothing was drained'}: takes part again")
    if data["unsaved"]:
        click.echo(f"but: {data['unsaved']}; after a restart it would be in maintenance again", err=True)
