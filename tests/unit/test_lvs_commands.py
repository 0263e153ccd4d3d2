"""`fastha drain|undrain|weight server` and `fastha server …`: the same requests on the control socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from fastha.cli.main import cli

WEIGH = {"do": "server_weight", "server": "192.0.2.1"}


class Daemon:
    """Answers every request on a control socket with the servers it would have moved."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[dict[str, Any]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, sock.makefile("rb") as lines:
                request = msgspec.json.decode(lines.readline())
                request.pop("v")
                self.asked.append(request)
                sock.sendall(msgspec.json.encode({"ok": True, "data": ["192.0.2.1:80"]}) + b"\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "control")
    yield made
    made.close()


def run(daemon: Daemon, words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [*words.split(), "--control-socket", str(daemon.path)])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("words", "request_", "said"),
    [
        ("drain server 192.0.2.1", {"do": "server_drain", "server": "192.0.2.1"}, "draining"),
        (
            "drain server 192.0.2.1:80 --deadline 10m",
            {"do": "server_drain", "server": "192.0.2.1:80", "deadline_s": 600},
            "draining",
        ),
        (
            "server drain 192.0.2.1:80 --deadline 90",
            {"do": "server_drain", "server": "192.0.2.1:80", "deadline_s": 90},
            "draining",
        ),
        ("undrain server 192.0.2.1", {"do": "server_undrain", "server": "192.0.2.1"}, "takes part again"),
        ("server undrain 192.0.2.1", {"do": "server_undrain", "server": "192.0.2.1"}, "takes part again"),
        (
            "weight server 192.0.2.1 7",
            {"do": "server_weight", "server": "192.0.2.1", "weight": 7},
            "weight 7",
        ),
        ("weight server 192.0.2.1", {**WEIGH, "weight": None}, "weight as configured"),
    ],
)
def test_both_spellings_ask_the_same(daemon: Daemon, words: str, request_: dict[str, Any], said: str) -> None:
    code, output = run(daemon, words)
    assert (code, output) == (0, f"192.0.2.1:80: {said}\n")
    assert daemon.asked == [request_]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("drain server 192.0.2.1 --deadline soon", "a number with s, m, h or d"),
        ("drain server 192.0.2.1 --force", "for instances, groups and the node"),
        ("drain WEB --deadline 10m", "drain server HOST"),
        ("undrain server 192.0.2.1 --keep-backup", "for instances, groups and the node"),
        ("weight server 192.0.2.1 70000", "not in the range"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    daemon: Daemon, words: str, why: str
) -> None:
    code, output = run(daemon, words)
    assert code == 2
    assert why in output
    assert daemon.asked == []
