"""What the commands share that ask the running daemon: the socket option, the errors, JSON or text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from fastha.daemon.client import DEFAULT_PATH, NoDaemonError, RefusedError, ask, follow

F = TypeVar("F", bound=Callable[..., Any])


def socket_option(function: F) -> F:
    """--control-socket."""
    return click.option(
        "--control-socket",
        "control_socket",
        type=click.Path(path_type=Path),
        default=DEFAULT_PATH,
        show_default=True,
        envvar="FASTHA_CONTROL_SOCKET",
        help="Where the daemon answers.",
    )(function)


def json_option(function: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON (versioned, stable).")(function)


def answer(control_socket: Path, command: str, *, timeout: float = 1.0, **arguments: Any) -> Any:
    """Asks the daemon; ends the program with a message and exit code 1 when it does not answer or
    declines."""
    try:
        return ask(control_socket, command, timeout=timeout, **arguments)
    except (NoDaemonError, RefusedError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)


def answers(control_socket: Path, command: str, **arguments: Any) -> Iterator[Any]:
    """Like `answer`, for a command with answers without end; ends the program when the daemon ends."""
    try:
        yield from follow(control_socket, command, **arguments)
    except (NoDaemonError, RefusedError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    click.echo("fastha has ended", err=True)
    sys.exit(1)


def print_json(data: Any) -> None:
    """JSON with indentation."""
    click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())
