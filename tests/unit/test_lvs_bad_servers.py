"""Real servers that do everything wrong, against every kind of check that speaks to one: each check ends
in a
bounded time, takes in a bounded amount, and says in words what the matter is."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fastha._core.probe import Probes
from fastha.config import load
from fastha.config.model_base import Command
from fastha.config.model_lvs import (
    AgentCheck,
    AnyChecker,
    DnsCheck,
    GreetingCheck,
    GrpcCheck,
    HttpCheck,
    HttpUrl,
    MiscCheck,
    SmtpCheck,
    TcpCheck,
)
from fastha.lvs.checkers.base import STEPS, Env, Result, SocketCheck
from fastha.lvs.checkers.make import make_check
from fastha.scripts.identity import own_identity
from fastha.scripts.runner import Program, Runner

Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LOCAL = ipaddress.ip_address("127.0.0.1")
STEP_NS = 200_000_000
#: The whole of a check, and as much again for a machine that is busy with other things.
BOUND_S = 2 * STEPS * STEP_NS / 1e9 + 5

#: What a check may take in before it sees that it is too much: what the core hands over at a time, doubled.
PIECES = 2 * 2**16


def kinds(port: int) -> dict[str, AnyChecker]:
    """Every kind of check that opens a stream, but TCP_CHECK."""
    more: dict[str, Any] = {"connect_ip": LOCAL, "connect_port": port, "connect_timeout_ns": STEP_NS}
    page = (HttpUrl(path="/", regex="well"),)
    return {
        "HTTP_GET 1.0": HttpCheck(urls=page, **more),
        "HTTP_GET 1.1": HttpCheck(urls=page, http_protocol="1.1", **more),
        "HTTP_GET 2": HttpCheck(urls=page, http_protocol="2", **more),
        "SSL_GET": HttpCheck(urls=page, ssl=True, **more),
        "SMTP_CHECK": SmtpCheck(**more),
        "GRPC_CHECK": GrpcCheck(**more),
        "GRPC_CHECK ssl": GrpcCheck(ssl=True, **more),
        "redis": GreetingCheck(protocol="redis", **more),
        "mysql": GreetingCheck(protocol="mysql", **more),
        "postgresql": GreetingCheck(protocol="postgresql", **more),
        "AGENT_CHECK": AgentCheck(**more),
    }


class Guest:
    """A server on loopback; counts what it was asked and how much it could say."""

    def __init__(self, session: Session, context: ssl.SSLContext | None = None) -> None:
        self._session = session
        self._context = context
        self._tasks: set[asyncio.Task[Any]] = set()
        self.asked = 0

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError, ssl.SSLError):
            await self._session(reader, writer)
        writer.close()

    async def __aenter__(self) -> Guest:
        self._listener = await asyncio.start_server(self._one, "127.0.0.1", 0, ssl=self._context)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()


async def ask_all(
    confs: dict[str, AnyChecker], taken: dict[str, int] | None = None
) -> dict[str, tuple[Result, float]]:
    """Runs checks side by side: what each found, and how long it took; into `taken` the octets it took in."""
    loop = asyncio.get_running_loop()
    probes = Probes()
    loop.add_reader(probes.fileno(), probes.poll)
    env = Env(loop, probes)

    async def one(kind: str, conf: AnyChecker) -> tuple[Result, float]:
        found: asyncio.Future[Result] = loop.create_future()
        began = time.monotonic()
        check = make_check(conf, env, 1)
        check.start(True, found.set_result)
        ended = await asyncio.wait_for(found, BOUND_S), time.monotonic() - began
        if taken is not None and isinstance(check, SocketCheck):
            taken[kind] = check.received
        return ended

    try:
        ends = await asyncio.gather(*(one(kind, conf) for kind, conf in confs.items()))
        return dict(zip(confs, ends, strict=True))
    finally:
        loop.remove_reader(probes.fileno())
        probes.close()


def against(
    session: Session, context: ssl.SSLContext | None = None, taken: dict[str, int] | None = None
) -> tuple[dict[str, str], Guest]:
    """The reasons of all kinds against this server; none of them may call it well."""

    async def main() -> tuple[dict[str, str], Guest]:
        async with Guest(session, context) as guest:
            found = await ask_all(kinds(guest.port), taken)
            well = [kind for kind, (result, _) in found.items() if result.ok]
            assert well == []
            assert all(result.reason for result, _ in found.values())
            assert [kind for kind, (result, _) in found.items() if result.cannot_run] == []
            # Reasons are for a log line and a mail's subject.
            reasons = [result.reason for result, _ in found.values()]
            assert [reason for reason in reasons if len(reason) > 240 or not reason.isprintable()] == []
            return {kind: result.reason for kind, (result, _) in found.items()}, guest

    return asyncio.run(main())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "5", "-subj", "/CN=well.example", "-keyout", str(folder / "key"),
         "-out", str(folder / "cert")],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


def test_accepts_and_says_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    reasons, _ = against(silent)
    assert set(reasons.values()) == {"connected, but said nothing within 0.2 s"}


def test_accepts_nothing_and_refuses_nothing() -> None:
    """A full queue of connections: the kernel answers no more."""

    async def main() -> dict[str, tuple[Result, float]]:
        with socket.socket() as full, contextlib.ExitStack() as waiting:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):
                sock = waiting.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            port = full.getsockname()[1]
            tcp = TcpCheck(connect_ip=LOCAL, connect_port=port, connect_timeout_ns=STEP_NS)
            return await ask_all({"TCP_CHECK": tcp, **kinds(port)})

    found = asyncio.run(main())
    assert {result.reason for result, _ in found.values()} == {"no connection within 0.2 s"}


@pytest.mark.parametrize("octet", [b"x", b"\0", b"\n", b"2", b"H"])
def test_says_one_octet_at_a_time_for_ever(octet: bytes) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(octet)
            await writer.drain()
            await asyncio.sleep(0.05)

    reasons, _ = against(drip)
    if octet == b"H":
        assert reasons["HTTP_GET 1.0"].startswith("/: does not speak HTTP")
    if octet == b"2":  # never a whole line of SMTP
        assert "did not come to an end" in reasons["SMTP_CHECK"]
    if octet == b"x":
        assert reasons["SSL_GET"] == "does not speak TLS on this port"


def test_answers_one_octet_at_a_time() -> None:
    """An answer that is right as far as it goes, and takes for ever to go on."""
    answers = {
        "HTTP_GET 1.0": b"HTTP/1.0 200 OK\r\nX: " + b"a" * 500,
        "SMTP_CHECK": b"220-" + b"a" * 500,
        "redis": b"+" + b"O" * 500,
        "mysql": b"\xff\xff\0\0\x0a" + b"8" * 500,
        "AGENT_CHECK": b"up " * 200,
    }

    async def main() -> None:
        for kind, answer in answers.items():

            async def drip(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes = answer
            ) -> None:
                for octet in answer:
                    writer.write(bytes([octet]))
                    await writer.drain()
                    await asyncio.sleep(0.05)

            async with Guest(drip) as guest:
                result, took = (await ask_all({kind: kinds(guest.port)[kind]}))[kind]
            assert not result.ok
            assert "and did not come to an end" in result.reason, (kind, result)
            assert took >= STEPS * STEP_NS / 1e9 / 2

    asyncio.run(main())


@pytest.mark.parametrize(
    "first",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b"220 ", b"+", b"\xff\xff\xff\0\x0a"],
    ids=["nothing", "page", "smtp", "redis", "mysql"],
)
def test_sends_without_end(first: bytes) -> None:
    """10 GB would take longer than any check may: what is taken in is counted instead."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        block = b"x" * 65536
        while True:
            writer.write(block)
            await writer.drain()

    taken: dict[str, int] = {}
    reasons, guest = against(flood, taken=taken)
    assert guest.asked == len(reasons) == len(taken)
    for kind, octets in taken.items():
        # A page is kept up to 4 MiB; every other kind knows after its first pieces that this is no answer.
        page = first.startswith(b"HTTP") and kind.startswith("HTTP_GET 1")
        assert 0 < octets <= (4 * 2**20 if page else 0) + PIECES, kind
    if first.startswith(b"HTTP"):
        assert "longer than the 4 MiB that are searched" in reasons["HTTP_GET 1.0"]


def test_closes_at_once() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await asyncio.sleep(0.05)

    reasons, _ = against(close)
    assert "without a word" in reasons["HTTP_GET 1.0"]
    assert "without a word" in reasons["SMTP_CHECK"]
    assert reasons["SSL_GET"] == "closed the connection during the TLS handshake"


def test_resets_at_once() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    reasons, _ = against(reset)
    assert any("reset" in reason for reason in reasons.values())


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nwel",
        b"220-mail",
        b"\x10\0\0\0\x0a8.",
        b"\0\0\x12\4\0\0",
        b"\x16\x03\x03\0\x7a\2",
    ],
)
def test_closes_half_way(half: bytes) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(half)
        await writer.drain()
        writer.write_eof()
        await asyncio.sleep(0.05)

    against(close)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("HTTP_GET 1.0", b"HTTP/1.0 2OO\x1b[2J\rOK\x07 \0\r\n\r\n"),
        ("HTTP_GET 1.0", b"HTTP/1.0 301 Moved\r\nLocation: \x1b]0;owned\x07\xff\r\n\r\n"),
        ("SMTP_CHECK", b"554 no\x1b[31m\x9b\tway\r\n"),
        ("redis", b"-ERR a\nb\x1b[0m\r\n"),
        ("mysql", b"\x0b\0\0\0\xff\x10\x04a\nRS DOWN"),
        ("postgresql", b"E\nVS x DOWN\n\x1b[2J"),
        ("AGENT_CHECK", b"down#\x1b[2Jdisk \x00\r\n"),
    ],
)
def test_what_a_server_says_forges_no_line_and_moves_no_cursor(kind: str, answer: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await asyncio.sleep(0.1)

    async def main() -> Result:
        async with Guest(say) as guest:
            return (await ask_all({kind: kinds(guest.port)[kind]}))[kind][0]

    result = asyncio.run(main())
    assert not result.ok
    assert result.reason.isprintable()
    assert "?" in result.reason or kind == "postgresql"


def test_speaks_tls_on_a_plain_port(certificate: ssl.SSLContext) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nwell")
        await writer.drain()

    async def main() -> None:
        async with Guest(page, certificate) as guest:
            found = await ask_all(kinds(guest.port))
        # What speaks TLS reads the page; gRPC finds that nobody agreed to HTTP/2.
        assert found.pop("SSL_GET")[0].ok
        assert "did not choose h2" in found.pop("GRPC_CHECK ssl")[0].reason
        assert not any(result.ok for result, _ in found.values())
        assert all(result.reason for result, _ in found.values())

    asyncio.run(main())


@pytest.mark.parametrize("secure", [False, True])
def test_redirects_for_ever(certificate: ssl.SSLContext, secure: bool) -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async def main() -> None:
        async with Guest(redirect, certificate if secure else None) as guest:
            conf = HttpCheck(
                connect_ip=LOCAL,
                connect_port=guest.port,
                connect_timeout_ns=STEP_NS * 5,
                ssl=secure,
                urls=(HttpUrl(path="/"),),
            )
            result, _ = (await ask_all({"": conf}))[""]
            assert result.reason == "/: status 302 (to /again; redirections are not followed), not 200-299"
            assert guest.asked == 1

    asyncio.run(main())


# -- names --


def test_a_real_server_that_resolves_to_nothing_is_an_error_with_its_place() -> None:
    text = (
        "virtual_server 192.0.2.1 80 {\n protocol TCP\n"
        " real_server no.such.host.invalid 80 {\n  TCP_CHECK {\n  }\n }\n}\n"
    )
    result = load("lvs.conf", text=text)
    wrong = [d for d in result.diagnostics if "no.such.host.invalid" in d.message]
    assert wrong
    assert wrong[0].span is not None
    assert wrong[0].span.line == 3


def test_a_name_that_resolves_to_nothing_is_told_as_such() -> None:
    class Nothing(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            answer = data[:2] + struct.pack("!H", 0x8183) + data[4:]
            self.transport.sendto(answer, addr)  # type: ignore[attr-defined]

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Nothing, ("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        conf = DnsCheck(
            connect_ip=LOCAL, connect_port=port, connect_timeout_ns=STEP_NS, name="no.such.invalid"
        )
        try:
            return (await ask_all({"": conf}))[""][0]
        finally:
            transport.close()

    assert asyncio.run(main()).reason == "answered NXDOMAIN"


# -- programs --


def running(mark: str) -> list[int]:
    """The processes that have this in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
    return found


def gone(mark: str) -> None:
    """Its processes end within a few seconds."""
    patience = time.monotonic() + 10
    while left := running(mark):
        assert time.monotonic() < patience, left
        time.sleep(0.05)


async def misc(script: str, **more: Any) -> tuple[Result, float]:
    """One run of MISC_CHECK; the runner is closed behind it."""
    loop = asyncio.get_running_loop()
    runner = Runner(loop, notice=lambda text: None)
    probes = Probes()
    env = Env(
        loop,
        probes,
        runner=runner,
        program=lambda command: Program(command.argv[0], command.argv, own_identity()),
    )
    found: asyncio.Future[Result] = loop.create_future()
    began = time.monotonic()
    conf = MiscCheck(command=Command(("/bin/sh", "-c", script)), **more)
    make_check(conf, env, 1).start(True, found.set_result)
    result = await asyncio.wait_for(found, 30)
    took = time.monotonic() - began
    await runner.close()
    probes.close()
    return result, took


def test_a_program_that_hangs_and_ignores_signals_is_ended() -> None:
    mark = f"stubborn-{os.getpid()}"
    script = f"trap '' TERM INT HUP; while :; do sleep 0.1; done # {mark}"
    result, took = asyncio.run(misc(script, timeout_ns=STEP_NS))
    assert "timed out" in result.reason
    assert took < 20
    gone(mark)


def test_a_program_that_forks_leaves_nothing_behind() -> None:
    mark = f"600.{os.getpid()}17"
    script = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep {mark} & done; wait"
    result, _ = asyncio.run(misc(script, timeout_ns=STEP_NS))
    assert "timed out" in result.reason
    gone(mark)


def test_a_program_whose_children_keep_its_output_open_is_not_waited_for() -> None:
    mark = f"600.{os.getpid()}18"
    result, took = asyncio.run(misc(f"sleep {mark} & exit 0", timeout_ns=20_000_000_000))
    for pid in running(mark):  # a program that has ended well may leave a daemon behind
        os.kill(pid, signal.SIGKILL)
    assert result.ok
    assert took < 10


@pytest.mark.parametrize("where", ["1", "2"])
def test_a_program_that_floods_its_output_is_heard_in_part(where: str) -> None:
    script = f"head -c 50000000 /dev/zero | tr '\\0' x >&{where}; exit 1"
    result, took = asyncio.run(misc(script, timeout_ns=25_000_000_000))
    assert not result.ok
    assert len(result.reason) <= 240
    assert took < 25
