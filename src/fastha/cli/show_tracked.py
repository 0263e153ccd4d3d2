"""`fastha show`: what is tracked and what stands around: scripts, groups, links, tracking, channels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from .ask import answer, json_option, print_json, socket_option
from .since import words


def _command(name: str, text: str, present: Callable[[Any], Iterable[str]], nothing: str) -> click.Command:
    """A command that asks for something of that name and prints it."""

    @click.command(name=name, help=text)
    @socket_option
    @json_option
    def command(control_socket: Path, as_json: bool) -> None:
        data = answer(control_socket, name)
        if as_json:
            print_json(data)
            return
        lines = list(present(data))
        for line in lines or [nothing]:
            click.echo(line)

    return command


def _users(rows: list[dict[str, Any]]) -> str:
    return (
        ", ".join(
            f"{row['instance']} weight {row['weight']}{' reverse' if row['reverse'] else ''}" for row in rows
        )
        or "nobody"
    )


def _scripts(data: list[dict[str, Any]]) -> Iterable[str]:
    for script in data:
        yield f"{script['name']}  {script['state'].upper()}  {script['cause']}"
        yield f"    runs       {' '.join(script['command'])}  as {script['user'] or 'the daemon'}"
        yield (
            f"    every      {script['interval_s']:g} s, at most {script['timeout_s']:g} s, "
            f"rise {script['rise']}, fall {script['fall']}{', runs now' if script['running'] else ''}"
        )
        yield (
            f"    so far     {script['runs']} runs, {script['failures']} failed, "
            f"{script['timeouts']} too long, {script['overruns']} left out"
        )
        yield f"    tracked by {_users(script['tracked_by'])}"
        for run in script["last_runs"]:
            clock = time.strftime("%H:%M:%S", time.localtime(run["at"]))
            yield f"    {clock}   {run['result']}  ({words(run['took_s'])})"
        output = script["last_output"].rstrip("\n").splitlines()
        if output:
            yield "    its last output" + (" (the end of it):" if script["output_dropped"] else ":")
            for line in output[-20:]:
                yield "      | " + "".join(c if c.isprintable() or c == "\t" else "?" for c in line)


def script_lines(data: list[dict[str, Any]]) -> list[str]:
    """What `fastha show scripts` prints."""
    return list(_scripts(data)) or ["no scripts are tracked"]


def _groups(data: list[dict[str, Any]]) -> Iterable[str]:
    for group in data:
        yield f"{group['name']}  {group['state']}"
        for member in group["members"]:
            yield f"    {member['instance']:20} {member['state']:10} {member['cause']}"


def _links(data: list[dict[str, Any]]) -> Iterable[str]:
    for link in data:
        state = "up" if link["up"] else "DOWN" if link["exists"] else "MISSING"
        hardware = f"{link['mac'] or '-':18} mtu {link['mtu']}  {link['kind']}"
        yield f"{link['name']:16} {state:8} {hardware}".rstrip()
        yield f"    {', '.join(link['used_for'])}"
        if link["addresses"]:
            yield f"    {', '.join(link['addresses'])}"


def _tracking(data: dict[str, Any]) -> Iterable[str]:
    for file in data["files"]:
        yield f"file {file['name']}  {file['value']}  {file['path']}  {file['note']}".rstrip()
        yield f"    tracked by {_users(file['tracked_by'])}"
    for process in data["processes"]:
        limit = f" to {process['quorum_max']}" if process["quorum_max"] is not None else ""
        yield (
            f"process {process['name']}  {'UP' if process['up'] else 'DOWN'}  {process['running']} running, "
            f"{process['quorum']}{limit} wanted: {process['process']}"
        )
        yield f"    tracked by {_users(process['tracked_by'])}"


def _channels(data: list[dict[str, Any]]) -> Iterable[str]:
    for channel in data:
        counts = ", ".join(f"{channel[key]} {key}" for key in ("delivered", "dropped", "failed", "queued"))
        yield f"{channel['kind']:10} {channel['name']:30} {counts}"
        if channel["last_error"]:
            yield f"    {channel['last_error']}"


COMMANDS = (
    _command("scripts", "Scripts: result, last runs, last output.", _scripts, "no scripts are tracked"),
    _command("groups", "Sync groups and the states of their members.", _groups, "no sync groups"),
    _command("links", "Interfaces that instances use or track.", _links, "no interfaces are used"),
    _command("tracking", "Files and processes that are tracked.", _tracking, "no files, no processes"),
    _command("channels", "Notification: hooks, FIFOs, mail, webhooks.", _channels, "nobody is notified"),
)
