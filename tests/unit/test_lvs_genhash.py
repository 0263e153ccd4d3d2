"""`fastha genhash` beside keepalived's: the same digest for the same page, and nothing else on standard
output."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from fastha.cli.genhash import genhash

BODY = bytes(range(256)) * 3
ANSWERS = {
    b"/length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    b"/close": b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n" + BODY,
    b"/short": b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n" + BODY,
    b"/empty": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    b"/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                path = sock.recv(4096).split()[1]
                sock.sendall(ANSWERS.get(path, b""))

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.mark.parametrize("path", sorted(path.decode() for path in ANSWERS))
def test_the_digest_is_keepalived_s(port: int, path: str) -> None:
    words = ["-s", "127.0.0.1", "-p", str(port), "-u", path]
    ours = CliRunner().invoke(genhash, words)
    assert ours.exit_code == 0
    program = shutil.which("genhash")
    if program is not None:
        theirs = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=20)
        assert ours.output == theirs.stdout
    elif path != "/chunked":
        length = {"/short": 5, "/empty": 0}.get(path, len(BODY))
        assert ours.output.strip() == hashlib.md5(BODY[:length]).hexdigest()


def test_nothing_to_connect_to_is_a_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        free = unused.getsockname()[1]
    result = CliRunner().invoke(genhash, ["-s", "127.0.0.1", "-p", str(free), "-u", "/"])
    assert result.exit_code == 1
    assert "Connection failed" in result.output
