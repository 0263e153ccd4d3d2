"""`fastha switchover`: let the other router be master, and stay its backup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .ask import answer, json_option, print_json, socket_option
from .drain import peer_option, print_handed_over, print_outlook, statements, title, whom


@click.command(name="switchover")
@click.argument("what", nargs=-1, required=True)
@click.option("--to", metavar="ADDRESS", help="Complain if another router than this one takes over.")
@peer_option
@socket_option
@json_option
def command(
    what: tuple[str, ...], to: str | None, peers: tuple[Any, ...], control_socket: Path, as_json: bool
) -> None:
    """Hand over now and be backup at once, without taking back.

    WHAT is a name, `instance NAME` or `group NAME`. This router does not preempt its successor, whatever is
    configured, until it is master again because that one left or failed, or until `fastha undrain WHAT`; over
    restarts too. If nobody takes over, nothing is lost and it stays master.
    """
    asked: dict[str, Any] = {**whom(what, node=False), "peers": statements(peers)}
    if not as_json:
        print_outlook(answer(control_socket, "outlook", timeout=30.0, **asked))
    data = answer(control_socket, "switchover", timeout=120.0, to=to, **asked)
    if as_json:
        print_json(data)
        return
    print_handed_over(data)
    click.echo(f"{title(data)}: BACKUP, and does not take back; `fastha undrain {' '.join(what)}` lets it")
