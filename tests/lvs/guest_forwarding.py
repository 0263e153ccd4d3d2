"""Real requests through a director: balanced as the scheduler says, by NAT, DR and TUN; a server that dies is
out within its check interval and comes back; a drained one keeps its connections."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from bed import SECOND, VIP, Bed, balanced, director, listing, sh, until
from fastha.config.model_lvs import LvsConfig
from fastha.net.namespace import visiting


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    made = Bed()
    try:
        for name in made.servers:
            made.serve(name)
        yield made
    finally:
        made.close()


def config(method: Any, **every: Any) -> LvsConfig:
    return balanced(method, ("10.0.0.11", "10.0.0.12", "10.0.0.13"), every=every)


@pytest.mark.parametrize("method", ["NAT", "DR", "TUN"])
def test_forwarding(bed: Bed, method: str) -> None:
    bed.method(method)
    with director(config(method), "lv-d") as it:
        until(lambda: set(bed.ask(3)) == set(bed.servers), 15, "everyone answers")
        assert bed.ask(60) == Counter(dict.fromkeys(bed.servers, 20))
        bed.stop("lv-r2")
        took = until(lambda: "10.0.0.12" not in str(listing("lv-d")), 15, "the dead server is taken out")
        print(f"{method}: out after {took:.2f} s")
        assert bed.ask(20) == Counter({"lv-r1": 10, "lv-r3": 10})
        bed.serve("lv-r2")
        until(lambda: "10.0.0.12" in str(listing("lv-d")), 15, "the server is back")
        assert set(bed.ask(30)) == set(bed.servers)
        patience = time.monotonic() + 30

        def told() -> tuple[int, int]:
            it.do(it.manager.refresh())
            counters = it.manager.snapshot().virtual_servers[0].counters
            return counters.connections, counters.in_bytes

        def kernels_own() -> tuple[int, int]:
            line = next(x for x in sh("ipvsadm -Ln --stats --exact", netns="lv-d").splitlines() if VIP in x)
            return int(line.split()[2]), int(line.split()[5])

        # The kernel adds up in a thread that a busy machine starves: what it has counted is what is told.
        until(lambda: kernels_own()[0] >= 110 or time.monotonic() > patience, 40, "the kernel's counters")
        until(lambda: told() == kernels_own(), 10, "the same counters as the kernel's own")


def test_a_drained_server_keeps_its_connections_and_is_removed_after_the_last(bed: Bed) -> None:
    bed.method("NAT")
    with director(config("NAT"), "lv-d") as it:
        with visiting("lv-c"):
            held = [socket.create_connection((VIP, 80), timeout=5) for _ in range(3)]
        answers: list[bytes] = []

        def finish(sock: socket.socket) -> None:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            data = b""
            while more := sock.recv(4096):
                data += more
            answers.append(data.split(b"\r\n\r\n")[1])
            sock.close()

        assert it.do(it.manager.drain("10.0.0.12", deadline_s=600)) != []
        until(lambda: "-r 10.0.0.12:80 -m -w 0" in str(listing("lv-d")), 5, "weight 0")
        assert "lv-r2" not in bed.ask(20)
        server = it.manager.snapshot().virtual_servers[0].servers[1]
        assert server.state == "draining"
        threads = [threading.Thread(target=finish, args=(sock,)) for sock in held]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(answers) == [b"lv-r1", b"lv-r2", b"lv-r3"]  # also by the one that is draining
        # Ended connections count as inactive until the kernel's TIME_WAIT of two minutes is over: shortened.
        it.do(it.manager.drain("10.0.0.12", deadline_s=1))
        until(lambda: "10.0.0.12" not in str(listing("lv-d")), 10, "removed at the deadline")
        assert it.manager.snapshot().virtual_servers[0].servers[1].state == "drained"
        it.do(it.manager.undrain("10.0.0.12"))
        until(lambda: "-r 10.0.0.12:80 -m -w 1" in str(listing("lv-d")), 5, "back")


@pytest.mark.parametrize("method", ["NAT", "DR", "TUN"])
def test_checks_through_the_data_path(bed: Bed, method: str) -> None:
    """A server that runs but lacks the virtual address is down for such a check, and for no other."""
    bed.method(method)
    plain = config(method).virtual_servers[0]
    through = LvsConfig(
        virtual_servers=(
            msgspec.structs.replace(
                plain,
                real_servers=tuple(
                    msgspec.structs.replace(
                        server,
                        checkers=(msgspec.structs.replace(server.checkers[0], via_data_path=True),),
                    )
                    for server in plain.real_servers
                ),
            ),
        )
    )
    with director(through, "lv-d") as it:

        def states() -> list[bool]:
            servers = it.manager.snapshot().virtual_servers[0].servers
            return [s.up and all(c.has_run for c in s.checkers) for s in servers]

        until(
            lambda: states() == [True] * 3, 15, f"all up: {it.manager.snapshot().virtual_servers[0].servers}"
        )
        assert sum("-A -f" in line for line in listing("lv-d")) == 3
        if method != "NAT":
            device = "lo" if method == "DR" else "tunl0"
            sh(f"ip -n lv-r2 addr del {VIP}/32 dev {device}")
            until(lambda: states() == [True, False, True], 20, "the server without the address is down")
            sh(f"ip -n lv-r2 addr add {VIP}/32 dev {device}")
            until(lambda: states() == [True] * 3, 20, "and back")
    assert listing("lv-d") == []


def test_slow_start_shows_in_the_weights(bed: Bed) -> None:
    bed.method("NAT")
    with director(config("NAT", weight=100, slow_start_ns=3 * SECOND), "lv-d"):
        bed.stop("lv-r3")
        until(lambda: "10.0.0.13" not in str(listing("lv-d")), 15)
        bed.serve("lv-r3")
        seen: list[int] = []

        def grown() -> bool:
            for line in listing("lv-d"):
                if "10.0.0.13" in line:
                    seen.append(int(line.split()[-1]))
            return bool(seen) and seen[-1] == 100

        until(grown, 20, "the full weight")
        assert seen == sorted(seen)
        assert any(1 <= weight < 100 for weight in seen)
