"""SMTP_CHECK, DNS_CHECK, GRPC_CHECK and GREETING_CHECK against servers that others wrote: aiosmtpd, dnsmasq,
gRPC's own health service, Redis, MariaDB and PostgreSQL. Up, wrong answers, killed, and back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from check_support import LOCAL, SECOND, free_port, once

from fastha.config.model_lvs import DnsCheck, GreetingCheck, GrpcCheck, NetworkChecker, SmtpCheck
from fastha.lvs.checkers.base import Result

REDIS = shutil.which("redis-server", path="/usr/bin:/usr/sbin")
DNSMASQ = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin")
MARIADB = shutil.which("mariadbd", path="/usr/sbin:/usr/bin")
POSTGRES = next((str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)


def check(kind: type[NetworkChecker], port: int, **more: Any) -> Result:
    """One run of a check."""
    conf = kind(connect_ip=LOCAL, connect_port=port, connect_timeout_ns=5 * SECOND, **more)

    return asyncio.run(once(conf, limit=60))  # type: ignore[arg-type]


@contextmanager
def running(*command: str, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, **how)
        try:
            yield process
        except AssertionError:
            said.seek(0)
            print(said.read()[-2000:].decode(errors="replace"), f"exit {process.poll()}")
            raise
        finally:
            process.kill()
            process.wait()


def until_ok(ask: Callable[[], Result]) -> None:
    """Until it answers as it should; the last reason if it never does."""
    patience = time.monotonic() + 40
    while not (result := ask()).ok:
        assert time.monotonic() < patience, result.reason
        time.sleep(0.1)


# -------------------------------------------------------------------- SMTP

MAIL_SERVER = """
import asyncio, sys
from aiosmtpd.smtp import SMTP
class Handler:
    async def handle_HELO(self, server, session, envelope, hostname):
        if hostname == "stranger.example": return "550 we do not know you"
        session.host_name = hostname
        return "250 mail.example"
async def main():
    loop = asyncio.get_running_loop()
    def made(): return SMTP(Handler(), hostname="mail.example")
    server = await loop.create_server(made, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""


def test_smtp() -> None:
    pytest.importorskip("aiosmtpd")
    port = free_port()
    with running(sys.executable, "-c", MAIL_SERVER, str(port)):
        until_ok(lambda: check(SmtpCheck, port))
        refused = check(SmtpCheck, port, helo_name="stranger.example")
        assert not refused.ok
        assert "550" in refused.reason
    gone = check(SmtpCheck, port)
    assert not gone.ok
    assert "refused" in gone.reason
    with running(sys.executable, "-c", MAIL_SERVER, str(port)):
        until_ok(lambda: check(SmtpCheck, port))


# -------------------------------------------------------------------- DNS


@pytest.mark.skipif(DNSMASQ is None, reason="dnsmasq is not installed (tools/debian-setup test)")
def test_dns() -> None:
    assert DNSMASQ is not None
    port = free_port()
    command = (
        DNSMASQ, "--keep-in-foreground", "--no-resolv", "--no-hosts", "--no-daemon", f"--port={port}",
        "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", "--pid-file=",
        "--conf-file=/dev/null",
        "--host-record=www.example,192.0.2.5,2001:db8::5", "--mx-host=example,mail.example",
        "--local=/example/",
        "--txt-record=example,hello", "--auth-ttl=60",
    )  # fmt: skip
    with running(*command) as server:
        until_ok(lambda: check(DnsCheck, port, type="A", name="www.example"))
        for kind, name in (("AAAA", "www.example"), ("MX", "example"), ("TXT", "example")):
            assert check(DnsCheck, port, type=kind, name=name).ok, kind
        missing = check(DnsCheck, port, type="A", name="nothing.example")
        assert not missing.ok
        assert missing.reason.endswith("answered NXDOMAIN")
        refused = check(DnsCheck, port, type="A", name="elsewhere.test")  # it has nobody to ask
        assert refused.reason.endswith("answered REFUSED")
        os.kill(server.pid, signal.SIGSTOP)
        silent = check(DnsCheck, port, type="A", name="www.example")
        os.kill(server.pid, signal.SIGCONT)
        assert not silent.ok
    assert not check(DnsCheck, port, type="A", name="www.example").ok
    with running(*command):
        until_ok(lambda: check(DnsCheck, port, type="A", name="www.example"))


# -------------------------------------------------------------------- gRPC


@pytest.fixture
def grpc_health() -> Iterator[tuple[int, Any]]:
    grpc = pytest.importorskip("grpc")
    health = pytest.importorskip("grpc_health.v1.health")
    service = pytest.importorskip("grpc_health.v1.health_pb2_grpc")
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    servicer = health.HealthServicer()
    service.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, servicer
    finally:
        server.stop(None).wait(20)


def test_grpc(grpc_health: tuple[int, Any]) -> None:
    from grpc_health.v1 import health_pb2

    port, servicer = grpc_health
    states = health_pb2.HealthCheckResponse
    servicer.set("shop.Orders", states.SERVING)
    until_ok(lambda: check(GrpcCheck, port))
    assert check(GrpcCheck, port, service="shop.Orders").ok
    servicer.set("shop.Orders", states.NOT_SERVING)
    ill = check(GrpcCheck, port, service="shop.Orders")
    assert not ill.ok
    assert "NOT_SERVING" in ill.reason
    assert check(GrpcCheck, port).ok  # the server itself is well
    unknown = check(GrpcCheck, port, service="shop.Nothing")
    assert not unknown.ok
    assert "grpc-status NOT_FOUND" in unknown.reason
    servicer.set("shop.Orders", states.SERVING)
    assert check(GrpcCheck, port, service="shop.Orders").ok
    servicer.enter_graceful_shutdown()
    assert not check(GrpcCheck, port).ok


# -------------------------------------------------------------------- databases


@pytest.mark.skipif(REDIS is None, reason="redis-server is not installed (tools/debian-setup test)")
@pytest.mark.parametrize("password", [None, "a secret"])
def test_redis(tmp_path: Path, password: str | None) -> None:
    assert REDIS is not None
    port = free_port()
    command = [REDIS, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    if password is not None:
        command += ["--requirepass", password]
    with running(*command):
        until_ok(lambda: check(GreetingCheck, port, protocol="redis", password=password))
        if password is not None:
            without = check(GreetingCheck, port, protocol="redis")
            assert not without.ok
            assert "NOAUTH" in without.reason
            wrong = check(GreetingCheck, port, protocol="redis", password="another")
            assert not wrong.ok
            assert "WRONGPASS" in wrong.reason or "invalid" in wrong.reason
        assert not check(GreetingCheck, port, protocol="postgresql").ok
    assert not check(GreetingCheck, port, protocol="redis").ok


@pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="starts a server as another user: run as root")
def test_postgresql() -> None:
    assert POSTGRES is not None
    with tempfile.TemporaryDirectory() as name:  # not pytest's: that may be entered by nobody but root
        folder = Path(name)
        shutil.chown(folder, "nobody")
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        data = folder / "data"
        subprocess.run(
            [f"{POSTGRES}/initdb", "-D", str(data), "-A", "trust", "-N"],
            check=True, capture_output=True, cwd=folder, timeout=60, **who,
        )  # fmt: skip
        port = free_port()
        with running(
            f"{POSTGRES}/postgres", "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder),
            cwd=folder, **who,
        ) as server:  # fmt: skip
            until_ok(lambda: check(GreetingCheck, port, protocol="postgresql"))
            assert not check(GreetingCheck, port, protocol="redis").ok
            server.send_signal(signal.SIGINT)
            server.wait(30)
        assert not check(GreetingCheck, port, protocol="postgresql").ok


@pytest.mark.skipif(MARIADB is None, reason="mariadbd is not installed (tools/debian-setup test)")
def test_mariadb() -> None:
    assert MARIADB is not None
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        options = [
            MARIADB, "--no-defaults", f"--datadir={folder}", f"--socket={folder}/socket", f"--port={port}",
            "--bind-address=127.0.0.1", "--skip-grant-tables", "--skip-networking=0", "--max-connections=10",
            "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M",
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]  # fmt: skip
        with running(*options) as server:
            until_ok(lambda: check(GreetingCheck, port, protocol="mysql"))
            found = check(GreetingCheck, port, protocol="mysql")
            assert "MariaDB" in found.reason
            # When all of its connections are taken it says so itself, in its greeting.
            with ExitStack() as held:
                for _ in range(12):  # the fewest that it can be limited to are ten, and one for its master
                    held.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                patience = time.monotonic() + 20
                while (full := check(GreetingCheck, port, protocol="mysql")).ok:
                    assert time.monotonic() < patience
                assert "Too many connections" in full.reason
            until_ok(lambda: check(GreetingCheck, port, protocol="mysql"))
            assert not check(GreetingCheck, port, protocol="redis").ok
            server.kill()
            server.wait(30)
        assert not check(GreetingCheck, port, protocol="mysql").ok
