"""`fastha watch`: the running daemon, live and full-screen. `watch_screen` says what is shown; this file has
the terminal.

The terminal is put back however the program ends: by a key, a signal, an error, or Ctrl-Z for a while.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from fastha.daemon.client import NoDaemonError, RefusedError, ask

from .ask import socket_option
from .show_servers import real_line, virtual_line
from .show_tracked import script_lines
from .watch_screen import Model, paint, screen
from .why import present

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_KEYS = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up",
    b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\x1b[H": "home", b"\x1b[1~": "home", b"\x1bOH": "home",
    b"\x1b[F": "end", b"\x1b[4~": "end", b"\x1bOF": "end",
    b"\r": "why", b"\n": "why", b"w": "why", b"i": "instances", b"e": "events", b"c": "scripts",
    b"s": "servers", b"?": "help", b"h": "help", b"q": "quit", b"\x03": "quit", b" ": "now",
}  # fmt: skip
_FAR = 1 << 20


class EndedError(Exception):
    """A signal asked for the end."""


class Terminal:
    """The operator's terminal, in full-screen mode while entered."""

    def __init__(self) -> None:
        self.fd = sys.stdin.fileno()
        self._out = sys.stdout.fileno()
        self._before: list[Any] = termios.tcgetattr(self.fd)
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Full-screen from here on; put back at the end, whatever happens."""
        handlers = {
            signal.SIGTSTP: self._suspend,
            signal.SIGWINCH: lambda *_: None,
            signal.SIGTERM: self._end,
            signal.SIGHUP: self._end,
            signal.SIGINT: self._end,
        }
        old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        old_wakeup = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        try:
            self._enter()
            yield
        finally:
            self._leave()
            signal.set_wakeup_fd(old_wakeup)
            for number, handler in old.items():
                signal.signal(number, handler)
            os.close(self._wake)
            os.close(self._woken)

    def _enter(self) -> None:
        tty.setcbreak(self.fd)
        self.write(_ENTER)

    def _leave(self) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            self.write(_LEAVE)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self._before)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        raise EndedError(number)

    def _suspend(self, _number: int, _frame: FrameType | None) -> None:
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # here again after SIGCONT
        signal.signal(signal.SIGTSTP, self._suspend)
        self._enter()

    def write(self, text: str) -> None:
        """Writes all of it."""
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self._out, data) :]

    def key(self, patience: float) -> str | None:
        """The next key within so many seconds; None for none, "resize" when a signal came."""
        ready, _, _ = select.select([self.fd, self._wake], [], [], max(0.0, patience))
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 64)
            return "resize"
        if self.fd not in ready:
            return None
        pressed = os.read(self.fd, 16)
        if not pressed:
            raise EndedError(signal.SIGHUP)
        return _KEYS.get(pressed, _KEYS.get(pressed[:1], "") if pressed[:1] != b"\x1b" else "")


class Watch:
    """Asks the daemon and draws what it says."""

    def __init__(self, control_socket: Path, terminal: Terminal) -> None:
        self._socket = control_socket
        self._terminal = terminal
        self.model = Model(node=os.uname().nodename)

    def ask(self) -> None:
        """Asks for what the present view needs. A daemon that is gone leaves nothing old on the screen."""
        model = self.model
        model.now = time.time()
        try:
            model.status = self._get("status")
            model.instances = sorted(self._get("instances"), key=lambda one: str(one["name"]))
            model.events = self._get("events", limit=200)
            if model.view == "why" and model.instances:
                name = model.instances[min(model.chosen, len(model.instances) - 1)]["name"]
                data = self._get("why", what=name, since_s=1)
                model.why = [line for one in data["now"] for line in present(one, model.node)]
            elif model.view == "scripts":
                model.scripts = script_lines(self._get("scripts"))
            elif model.view == "servers":
                model.servers = self._servers()
        except (NoDaemonError, RefusedError) as error:
            model.trouble = str(error)
            model.status, model.instances, model.events = {}, [], []
        else:
            model.trouble = ""

    def _get(self, command: str, **arguments: Any) -> Any:
        return ask(self._socket, command, timeout=2.0, **arguments)

    def _servers(self) -> list[str]:
        try:
            data = self._get("servers")
        except RefusedError as error:
            return [str(error)]
        lines = []
        for virtual in data["virtual_servers"]:
            lines.append(virtual_line(virtual))
            lines += [real_line(real) for real in virtual["servers"]]
        return lines

    def draw(self) -> None:
        """One whole screen, written at once."""
        width, height = shutil.get_terminal_size()
        self.model.now = time.time()
        rows = paint(screen(self.model, width, height), width)
        self._terminal.write("\x1b[H" + "\r\n".join(f"{row}\x1b[0m\x1b[K" for row in rows) + "\x1b[J")

    def pressed(self, key: str) -> bool:
        """Does what a key says; whether the daemon is to be asked at once."""
        model = self.model
        page = max(1, shutil.get_terminal_size().lines - 4)
        steps = {"up": -1, "down": 1, "page up": -page, "page down": page, "home": -_FAR, "end": _FAR}
        if key in steps:
            if model.view == "instances":
                model.chosen = max(0, min(len(model.instances) - 1, model.chosen + steps[key]))
            else:
                model.top = max(0, model.top + steps[key])
            return False
        if key in ("instances", "why", "events", "scripts", "servers", "help"):
            model.view, model.top = key, _FAR if key == "events" else 0
            return True
        return key == "now"


@click.command(name="watch")
@click.option("-n", "--interval", default=1.0, show_default=True, type=click.FloatRange(0.1, 60.0), help="s")
@socket_option
def command(interval: float, control_socket: Path) -> None:
    """What runs, live: states, priorities, causes, events; why, scripts and servers by a key."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        raise click.ClickException("watch needs a terminal; `fastha show` and `fastha show events -f` do not")
    terminal = Terminal()
    watch = Watch(control_socket, terminal)
    code = 0
    with terminal.entered():
        try:
            _run(watch, terminal, interval)
        except EndedError as ended:
            number = int(ended.args[0])
            code = 0 if number == signal.SIGINT else 128 + number
    sys.exit(code)


def _run(watch: Watch, terminal: Terminal, interval: float) -> None:
    due = 0.0
    while True:
        if time.monotonic() >= due:
            watch.ask()
            due = time.monotonic() + interval
        watch.draw()
        key = terminal.key(due - time.monotonic())
        if key == "quit":
            return
        if key is not None and watch.pressed(key):
            due = 0.0
