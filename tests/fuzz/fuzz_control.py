"""Fuzzes the control socket of a running daemon: requests of the right shape and of every wrong one.

    python tests/fuzz/fuzz_control.py [SECONDS] [SEED]

A daemon with instances, a sync group and tracked objects runs in a namespace of its own (needs root). It gets
known and unknown commands with arguments of every JSON type, damaged and huge lines, lines in pieces, many
clients at once, clients that leave without reading. Each whole line must get one answer, `ok` or an error
text; the daemon must live, log no internal error, and say the same of itself as before. Exit code 1 if not.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sys
import time
from typing import Any

from fastha.lab import FasthaDaemon, Lab, confs

NAMES = ("VI_1", "VI_2", "GROUP", "", "nobody", "VI_1\0", "é" * 300, "../../etc/passwd", "*")
KEYS = ("name", "instance", "limit", "check", "force", "server", "weight", "deadline_s", "group", "since")
KNOWN = (
    *("status", "instances", "instance", "events", "counters", "drain", "undrain", "announce"),
    *("servers", "server_drain", "server_undrain", "server_weight", "reload"),
)

STREAMS = ("follow",)
"""Commands that go on answering until the client leaves."""


def text() -> str:
    """Two instances in a group, nobody beside them; the drains end by themselves."""
    instances = [
        confs.instance(
            f"VI_{n}",
            vrid=n,
            priority=100,
            advert=0.1,
            addresses=[f"198.51.100.{n}/24"],
            lines=["track_interface {", "  lo weight 5", "}"],
        )
        for n in (1, 2)
    ]
    return confs.config(*instances, confs.sync_group("GROUP", ["VI_1", "VI_2"]))


def value(r: random.Random, depth: int = 0) -> Any:
    """Something that JSON can say."""
    kinds: list[Any] = [
        None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.5, 1e308, 1e999, -1e999,
        "", "1", "-1", "nan", "inf", "1e999", "\ud800", "x" * 5000, *NAMES,
    ]  # fmt: skip
    if depth < 3:
        kinds += [[value(r, depth + 1) for _ in range(r.randrange(4))]]
        kinds += [{r.choice(KEYS): value(r, depth + 1) for _ in range(r.randrange(4))}]
    return r.choice(kinds)


def request(r: random.Random, commands: list[str]) -> bytes:
    """One line, mostly of the right shape."""
    asked: dict[str, Any] = {"v": 1, "do": r.choice(commands)}
    for _ in range(r.randrange(4)):
        asked[r.choice(KEYS)] = r.choice(NAMES) if r.random() < 0.4 else value(r)
    if r.random() < 0.1:
        asked["v"] = value(r)
    if r.random() < 0.1:
        asked["do"] = value(r)
    line = bytearray(json.dumps(asked).encode("utf-8", "surrogatepass"))
    kind = r.random()
    if kind < 0.15:
        for _ in range(r.randint(1, 5)):
            line[r.randrange(len(line))] = r.randrange(256)
    elif kind < 0.2:
        del line[r.randrange(len(line)) :]
    elif kind < 0.23:
        line = bytearray(b"[" * r.choice([10, 2000, 100_000]))
    elif kind < 0.25:
        line = bytearray(json.dumps(value(r)).encode("utf-8", "surrogatepass"))
    return bytes(line).replace(b"\n", b" ").replace(b"\0", b" ") + b"\n"


class Client:
    """A connection that asks and expects to be answered."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.left = b""

    def ask(self, line: bytes, pieces: int = 1) -> dict[str, Any]:
        """Send a line, perhaps in pieces; its answer."""
        size = len(line) // pieces + 1
        for at in range(0, len(line), size):
            self.sock.sendall(line[at : at + size])
        while b"\n" not in self.left:
            more = self.sock.recv(1 << 16)
            if not more:
                raise AssertionError("the connection was closed without an answer")
            self.left += more
        answer, self.left = self.left.split(b"\n", 1)
        reply = json.loads(answer)
        if reply.get("ok") is False:
            assert isinstance(reply["error"], str) and reply["error"], reply
            assert "Traceback" not in reply["error"], reply
        else:
            assert reply.get("ok") is True and "data" in reply, reply
        return dict(reply)


def main(seconds: float, seed: int) -> int:
    """Runs for so long; 1 if something did not hold."""
    r = random.Random(seed)
    tried = 0
    with Lab("fuzz") as lab:
        lab.segment("lan")
        node = lab.node("r1", lan=["198.51.100.11/24"])
        daemon = FasthaDaemon(node, text())
        daemon.start()
        path = str(daemon.control_socket)
        known = Client(path).ask(b'{"v":1,"do":"?"}\n')["error"].partition("known: ")[2].split(", ")
        assert set(KNOWN) <= set(known), known
        commands = [c for c in known if c not in STREAMS] + ["", "?", "__class__", "STATUS"]
        line = b""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                if r.random() < 0.1:  # leaves without reading, or in the middle of a line
                    with contextlib.suppress(OSError):
                        rude = Client(path)
                        line = request(r, [*commands, *STREAMS])
                        rude.sock.sendall(line[: r.choice([5, 10_000_000])])
                        rude.sock.close()
                if r.random() < 0.02:
                    crowd = []
                    for _ in range(80):
                        with contextlib.suppress(OSError):
                            crowd.append(Client(path))
                    for each in crowd:
                        each.sock.close()
                    time.sleep(0.05)
                client = Client(path)
                for _ in range(r.randrange(1, 20)):
                    line = request(r, commands)
                    client.ask(line, pieces=r.choice([1, 1, 1, 3]))
                    tried += 1
                client.sock.close()
            assert daemon.running, "the daemon has ended"
            for name in ("VI_1", "VI_2"):
                Client(path).ask(json.dumps({"v": 1, "do": "undrain", "name": name}).encode() + b"\n")
            status = Client(path).ask(b'{"v":1,"do":"instances"}\n')
            assert {i["name"] for i in status["data"]} == {"VI_1", "VI_2"}, status
            assert "internal error" not in daemon.log(), "internal error"
            daemon.terminate()
        except (AssertionError, OSError, ValueError) as error:
            print(
                f"failed after {tried} requests: {error}\nlast: {line[:500]!r}\n{daemon.log()[-6000:]}",
                file=sys.stderr,
            )
            return 1
    print(f"{tried} requests, none failed")
    return 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(float(arguments[0]) if arguments else 30, int(arguments[1]) if arguments[1:] else 1))
