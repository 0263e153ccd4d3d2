"""The whole daemon beside Debian's keepalived: the same configuration and the same events at the servers
give the
same FIFO lines in the same order, and the same tables."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bed import DATA, listing, sh, until

CONFIG = DATA / "lvs-fifo" / "fifo.conf"
FIFO = Path("/run/lvs.fifo")
SERVER = [sys.executable, "-m", "http.server", "8001", "--bind", "0.0.0.0"]


class Reader(threading.Thread):
    """Keeps the lines of the FIFO."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.fd = os.open(FIFO, os.O_RDWR)
        self.data = b""
        self.start()

    def run(self) -> None:
        while True:
            more = os.read(self.fd, 4096)
            self.data += more
            if b"END\n" in more:
                return

    def lines(self) -> list[str]:
        return self.data.decode().splitlines()

    def last(self, line: str, count: int) -> bool:
        return self.lines().count(line) >= count


def server() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(SERVER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: ":8001 " in sh("ss -ltn"), what="the server")
    return process


def story(command: list[str]) -> tuple[list[str], list[list[str]]]:
    """Starts the daemon, takes the server away, brings it back, ends the daemon."""
    if not FIFO.exists():
        os.mkfifo(FIFO)
    reader = Reader()
    tables = []
    web = server()
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: reader.last("VS [G1]:0 UP", 1) and reader.last("VS FWM 5 UP", 1), what="the start")
        time.sleep(1.5)  # every check has run once
        tables.append(listing())
        web.kill()
        web.wait()
        until(lambda: reader.last("VS [G1]:0 DOWN", 1) and reader.last("VS FWM 5 DOWN", 1), what="the loss")
        until(lambda: "127.0.0.9" in str(listing()), what="the sorry server")
        tables.append(listing())
        web = server()
        until(lambda: reader.last("VS [G1]:0 UP", 2) and reader.last("VS FWM 5 UP", 2), what="the return")
        until(lambda: "127.0.0.9" not in str(listing()), what="the sorry server's leave")
        tables.append(listing())
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(20)
        with contextlib.suppress(AssertionError):  # what is left then is what is compared
            until(lambda: not listing(), 3)
        tables.append(listing())
        if FIFO.exists():
            os.write(reader.fd, b"END\n")
    finally:
        web.kill()
        daemon.kill()
    return reader.lines(), tables


def by_server(lines: list[str]) -> dict[str, list[str]]:
    """The lines of each virtual server in their order: which of two servers is asked first is chance."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if line != "END":
            found.setdefault("G1" if "[G1]" in line else "FWM 5", []).append(line)
    return found


def test_fifo_lines_and_tables_are_those_of_keepalived() -> None:
    theirs, their_tables = story(["keepalived", "-n", "-l", "-C", "-f", str(CONFIG)])
    fastha = str(Path(sys.executable).parent / "fastha")
    ours, our_tables = story([fastha, "run", "-f", str(CONFIG)])
    assert by_server(ours)["G1"] == by_server(theirs)["G1"]
    pairs = by_server(ours)["FWM 5"], by_server(theirs)["FWM 5"]
    assert sorted(pairs[0]) == sorted(pairs[1])
    assert [line for line in pairs[0] if line.startswith("VS")] == [
        line for line in pairs[1] if line.startswith("VS")
    ]
    assert our_tables == their_tables
