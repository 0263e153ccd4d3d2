"""`fastha watch` in a pseudo-terminal: what it shows, keys, resizing, suspending, and leaving it whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from vrrp_bed import bed, needs_root

from fastha.lab.confs import config, instance
from fastha.lab.daemons import FasthaDaemon

pytestmark = [pytest.mark.wire, needs_root]

FASTHA = str(Path(sys.executable).with_name("fastha"))


class Screen:
    """A terminal of its own for one program."""

    def __init__(self, socket: Path, before: tuple[str, ...] = ()) -> None:
        width, height = 80, 24
        self.screen = pyte.Screen(width, height)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, slave = pty.openpty()
        self._size(width, height)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [*before, FASTHA, "watch", "-n", "0.2", "--control-socket", str(socket)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            # COLUMNS, which a parallel run of the tests sets, would stand for the terminal's own size
            env={k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")} | {"TERM": "xterm"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
        os.set_blocking(self.master, False)

    def _size(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width: int, height: int) -> None:
        self._size(width, height)
        self.screen.resize(height, width)

    def feed(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            while piece := os.read(self.master, 1 << 16):
                self.raw += piece
                self.stream.feed(piece)

    def text(self) -> str:
        self.feed()
        return "\n".join(self.screen.display)

    def wait(self, what: Callable[[str], bool], timeout: float = 15) -> str:
        end = time.monotonic() + timeout
        while True:
            text = self.text()
            if what(text):
                return text
            assert time.monotonic() < end, f"never shown; at the end:\n{text}"
            time.sleep(0.05)

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def restored(self) -> bool:
        """Whether the terminal is as it was: modes, cursor, the ordinary screen."""
        self.feed()
        end = self.raw[-200:]
        return (
            termios.tcgetattr(self.slave) == self.before
            and b"\x1b[?1049l" in end
            and b"\x1b[?25h" in end
            and b"\x1b[?7h" in end
        )

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def watching(socket: Path, *before: str) -> Iterator[Screen]:
    """The live view, run by the command `before` if there is one."""
    screen = Screen(socket, before)
    try:
        yield screen
    finally:
        screen.close()


def test_the_live_view() -> None:
    with bed("seewatch", routers=1) as made:
        blocks = [
            instance(f"VI_{n:02d}", vrid=n, priority=100 + n, addresses=[f"198.51.100.{100 + n}/24"])
            for n in range(1, 31)
        ]
        daemon = made.daemon(1, "fastha", config(*blocks))
        assert isinstance(daemon, FasthaDaemon)
        with watching(daemon.control_socket) as view:
            text = view.wait(lambda t: "30 MASTER" in t)
            assert "VI_01" in text
            assert "VI_30" not in text  # more than fit: the table scrolls
            assert "1 to " in text
            assert "of 30" in text
            view.press(b"\x1b[F")
            view.wait(lambda t: "VI_30" in t)
            view.press(b"\r")
            text = view.wait(lambda t: "VI_30 on " in t and "is master" in t)
            assert "priority     130 (base 130)" in text
            view.press(b"e")
            view.wait(lambda t: "BACKUP → MASTER" in t and " events:" in t)
            view.press(b"c")
            view.wait(lambda t: "no scripts are tracked" in t)
            view.press(b"i")
            view.wait(lambda t: "CAUSE" in t)
            for width, height in ((120, 50), (40, 10), (20, 5), (80, 24)):
                view.resize(width, height)
                view.wait(lambda t: t.startswith(" fastha") and "q quit" in t.splitlines()[-1])

            # the daemon dies: it says so, and shows nothing old
            daemon.kill()
            text = view.wait(lambda t: "fastha is" in t and "MASTER" not in t)
            assert "dead" in text or "not running" in text
            daemon.start()
            view.wait(lambda t: "30 MASTER" in t, timeout=20)

            view.press(b"q")
            assert view.process.wait(10) == 0
            assert view.restored()
        with watching(daemon.control_socket) as view:
            view.wait(lambda t: "30 MASTER" in t)
            view.process.send_signal(signal.SIGTERM)
            assert view.process.wait(10) == 128 + signal.SIGTERM
            assert view.restored()


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(tmp_path: Path) -> None:
    shell = 'set -m; "$@"; echo STOPPED; read line; fg >/dev/null; echo CODE $?; sleep 30'
    with watching(tmp_path / "nobody", "/bin/sh", "-c", shell, "sh") as view:
        view.wait(lambda t: "fastha is not running" in t)
        view.press(b"\x1a")
        view.wait(lambda t: "STOPPED" in t)
        assert b"\x1b[?1049l" in view.raw[-300:]
        assert termios.tcgetattr(view.slave)[3] == view.before[3]
        view.press(b"\n")
        view.wait(lambda t: "fastha is not running" in t and "STOPPED" not in t)
        view.press(b"q")
        view.wait(lambda t: "CODE 0" in t)
        assert termios.tcgetattr(view.slave)[3] == view.before[3]


def test_without_a_terminal_it_says_what_to_use_instead() -> None:
    done = subprocess.run(
        [FASTHA, "watch"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert "fastha show" in done.stderr
