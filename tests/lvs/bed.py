"""A client, a director and real servers in namespaces, and a load balancer that runs in one of them.

For the tests that run inside the kernel with IPVS (see `tests/uml/run`); everything ends with that kernel.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastha.config.model_lvs import Forwarding, HttpCheck, HttpUrl, LvsConfig, RealServer, VirtualServer
from fastha.lvs.events import LvsEvent
from fastha.lvs.manager import LvsManager
from fastha.net.namespace import path_of, set_namespace

T = TypeVar("T")
ip = ipaddress.ip_address
SECOND = 1_000_000_000
VIP = "10.0.0.100"


def sh(command: str, *, netns: str = "", check: bool = True) -> str:
    """Runs a command (in a namespace); its output."""
    words = ["sh", "-c", command]
    if netns:
        words = ["ip", "netns", "exec", netns, *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def listing(netns: str = "") -> list[str]:
    """`ipvsadm -Sn`, sorted: services and destinations as words that ipvsadm itself would take back."""
    return sorted(line.strip() for line in sh("ipvsadm -Sn", netns=netns).splitlines() if line.strip())


def until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "it") -> float:
    """Waits for a condition; how long it took. Fails after `seconds`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what} did not come about within {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - began


class Director(threading.Thread):
    """The load balancer, in a namespace, on an event loop of its own."""

    def __init__(self, config: LvsConfig, netns: str = "", **more: Any) -> None:
        super().__init__(daemon=True)
        self.config = config
        self.netns = netns
        self.more = more
        self.events: list[LvsEvent] = []
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            if self.netns:
                fd = os.open(path_of(self.netns), os.O_RDONLY)
                set_namespace(fd)
                os.close(fd)
            self.loop = asyncio.new_event_loop()
            self.manager = LvsManager(self.events.append, **self.more)
            self.loop.run_until_complete(self.manager.start(self.config))
        except BaseException as error:
            self._error = error
            self._ready.set()
            raise
        self._ready.set()
        self.loop.run_forever()

    def begin(self) -> Director:
        """Starts it, and waits until it has written the table."""
        self.start()
        assert self._ready.wait(30)
        if self._error is not None:
            raise AssertionError("the director did not start") from self._error
        return self

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs something on its loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Calls something on its loop."""

        async def main() -> None:
            function(*arguments)

        self.do(main())

    def end(self, **more: Any) -> None:
        """Stops the load balancer and its thread."""
        self.do(self.manager.stop(**more))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(10)

    def told(self, word: str) -> bool:
        """Whether some event says this."""
        return any(word in str(event) for event in list(self.events))


def balanced(
    method: Any,
    servers: Iterable[str],
    vip: str = VIP,
    *,
    every: Mapping[str, Any] | None = None,
    **more: Any,
) -> LvsConfig:
    """One virtual server on port 80, round robin over page servers that are asked by HTTP twice a second.

    `every`: more of each real server; `more`: of the virtual server."""
    addresses = [ip(server) for server in servers]
    real = tuple(
        RealServer(
            address=address,
            port=80,
            forwarding=Forwarding(method=method),
            checkers=(
                HttpCheck(
                    connect_ip=address,
                    connect_port=80,
                    urls=(HttpUrl(path="/", regex="lv-r"),),
                    delay_loop_ns=SECOND // 2,
                    delay_before_retry_ns=SECOND // 5,
                    connect_timeout_ns=5 * SECOND,
                    warmup_ns=0,
                ),
            ),
            **(every or {}),
        )
        for address in addresses
    )
    return LvsConfig(
        virtual_servers=(VirtualServer(address=ip(vip), port=80, scheduler="rr", real_servers=real, **more),)
    )


@contextmanager
def director(config: LvsConfig, netns: str = "", **more: Any) -> Iterator[Director]:
    """A running director."""
    it = Director(config, netns, **more).begin()
    try:
        yield it
    finally:
        if it.is_alive():
            it.end()


PAGE_SERVER = """
import http.server, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[2].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6  # both families
    request_queue_size = 128
    def handle_error(self, *_): pass
Server(("::", int(sys.argv[1])), Handler).serve_forever()
"""

ASKER = """
import socket, sys
for _ in range(int(sys.argv[3])):
    try:
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
        s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        data = b""
        while more := s.recv(4096): data += more
        print(data.split(b"\\r\\n\\r\\n")[1].decode())
    except OSError as error:
        print("error", error)
"""


class Bed:
    """One segment: client .2, director .1, real servers .11, .12, .13, all as `lv-*` namespaces."""

    servers = ("lv-r1", "lv-r2", "lv-r3")

    def __init__(self) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        sh("ip netns add lv-sw; ip -n lv-sw link add br0 type bridge; ip -n lv-sw link set br0 up")
        self.add("lv-c", 2)
        self.add("lv-d", 1)
        for number, name in enumerate(self.servers, 11):
            self.add(name, number)
        sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 "
           "net.ipv4.conf.eth0.send_redirects=0", netns="lv-d")  # fmt: skip
        sh(f"ip -n lv-d addr add {VIP}/32 dev eth0")

    def add(self, name: str, number: int) -> None:
        """A namespace on the segment."""
        sh(f"""ip netns add {name}
            ip link add p{number} type veth peer name eth0 netns {name}
            ip link set p{number} netns lv-sw
            ip -n lv-sw link set p{number} master br0 up
            ip -n {name} link set lo up
            ip -n {name} link set eth0 up
            ip -n {name} addr add 10.0.0.{number}/24 dev eth0""")
        # A guest whose host is busy loses seconds at a stretch: three unanswered requests prove nothing then.
        sh("for family in ipv4 ipv6; do for kind in mcast ucast; do "
           "echo 30 > /proc/sys/net/$family/neigh/eth0/${kind}_solicit; done; done", netns=name)  # fmt: skip

    def serve(self, name: str, port: int = 80) -> None:
        """Starts the page server of a real server; its page is its name."""
        self.running[name] = subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", PAGE_SERVER, str(port), name]
        )
        address = sh("hostname -I", netns=name, check=False).split()
        until(lambda: f":{port} " in sh("ss -ltn", netns=name), what=f"{name}'s server {address}")

    def stop(self, name: str) -> None:
        """Kills it."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def method(self, method: str) -> None:
        """Makes the real servers ready for this way of forwarding."""
        for name in self.servers:
            sh(f"ip -n {name} route del 10.0.0.2/32; ip -n {name} addr del {VIP}/32 dev lo; "
               f"ip -n {name} addr del {VIP}/32 dev tunl0", check=False)  # fmt: skip
            if method == "NAT":
                sh(f"ip -n {name} route add 10.0.0.2/32 via 10.0.0.1")
            else:
                sh("sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 "
                   "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0", netns=name)  # fmt: skip
                device = "lo"
                if method == "TUN":
                    device = "tunl0"
                    sh(f"ip -n {name} link add dummy-ipip type ipip local 0.0.0.0 2>/dev/null; "
                       f"ip -n {name} link set tunl0 up")  # fmt: skip
                    sh("sysctl -qw net.ipv4.conf.tunl0.rp_filter=0", netns=name)
                sh(f"ip -n {name} addr add {VIP}/32 dev {device}")

    def ask(self, count: int, port: int = 80, address: str = VIP) -> Counter[str]:
        """Requests of the client to the virtual address: who answered how often."""
        out = sh(f"{sys.executable} -c '{ASKER}' {address} {port} {count}", netns="lv-c")
        return Counter(out.split("\n")[:-1])

    def close(self) -> None:
        """Takes it all away."""
        for name in list(self.running):
            self.stop(name)
        for name in ("lv-c", "lv-d", "lv-sw", *self.servers):
            sh(f"ip netns del {name}", check=False)


DATA = Path(__file__).parent.parent / "data"
