"""Health checks against real servers on loopback: well, ill, and hostile. Each must end in a bounded time
with a reason that says what is the matter."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from check_support import LOCAL, environment, once, run_check

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
    PingCheck,
    SmtpCheck,
    TcpCheck,
    TlsOptions,
    UdpCheck,
)
from fastha.lvs.checkers.agent import read_line
from fastha.lvs.checkers.base import Result
from fastha.lvs.checkers.make import make_check
from fastha.scripts.identity import own_identity
from fastha.scripts.runner import Program, Runner

TIMEOUT_NS = 300_000_000
Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(session: Session, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await session(reader, writer)
        writer.close()

    listener = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


def saying(*parts: bytes, pause: float = 0.0, read: bool = True) -> Session:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if read:
            await reader.read(4096)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return session


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    await asyncio.sleep(5)


def http(port: int, *urls: HttpUrl, **more: Any) -> HttpCheck:
    return HttpCheck(
        connect_ip=LOCAL,
        connect_port=port,
        connect_timeout_ns=TIMEOUT_NS,
        urls=urls or (HttpUrl(path="/"),),
        **more,
    )


def page(body: bytes, status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def go(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


# -- TCP --


def test_tcp_up_and_refused() -> None:
    async def main() -> None:
        async with server(saying(read=False)) as port:
            conf = TcpCheck(connect_ip=LOCAL, connect_port=port, connect_timeout_ns=TIMEOUT_NS)
            assert (await once(conf)).ok
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            free = unused.getsockname()[1]
        result = await once(msgspec.structs.replace(conf, connect_port=free))
        assert not result.ok
        assert result.reason == "Connection refused"

    go(main())


def test_tcp_a_server_that_drops_packets_is_a_timeout() -> None:
    async def main() -> None:
        # A listener whose queue is full does not answer.
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            held = []
            for _ in range(3):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
                held.append(sock)
            conf = TcpCheck(
                connect_ip=LOCAL, connect_port=full.getsockname()[1], connect_timeout_ns=TIMEOUT_NS
            )
            began = time.monotonic()
            result = await once(conf)
            for sock in held:
                sock.close()
        assert result.reason == "no connection within 0.3 s"
        assert time.monotonic() - began < 3

    go(main())


def test_tcp_takes_the_greeting_so_that_the_server_sees_no_reset() -> None:
    async def main() -> None:
        ends: asyncio.Queue[str] = asyncio.Queue()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hello\r\n")
            try:
                ends.put_nowait("eof" if await reader.read() == b"" else "data")
            except ConnectionResetError:
                ends.put_nowait("reset")

        # The greeting must lie in the socket before the connection is seen: a listener answers from the
        # kernel.
        async with server(greet) as port, environment() as env:
            conf = TcpCheck(connect_ip=LOCAL, connect_port=port, connect_timeout_ns=TIMEOUT_NS)
            assert (await run_check(make_check(conf, env, 1))).ok
            assert await asyncio.wait_for(ends.get(), 5) in ("eof", "reset")

    go(main())


def test_source_address_that_is_not_ours_cannot_run() -> None:
    conf = TcpCheck(
        connect_ip=LOCAL, connect_port=9, bindto=ipaddress.ip_address("198.51.100.77"), bind_port=0
    )
    result = go(once(conf))
    assert not result.ok
    assert result.cannot_run
    assert "198.51.100.77" in result.reason


def test_interface_that_is_not_there_cannot_run() -> None:
    result = go(once(TcpCheck(connect_ip=LOCAL, connect_port=9, bind_if="nosuch0")))
    assert result.cannot_run
    assert "nosuch0" in result.reason


def test_source_address_and_port_are_used() -> None:
    async def main() -> None:
        seen: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.put_nowait(writer.get_extra_info("peername"))

        with socket.socket() as unused:
            unused.bind(("127.0.0.9", 0))
            source_port = unused.getsockname()[1]
        async with server(note) as port, environment() as env:
            conf = TcpCheck(
                connect_ip=LOCAL,
                connect_port=port,
                bindto=ipaddress.ip_address("127.0.0.9"),
                bind_port=source_port,
            )
            assert (await run_check(make_check(conf, env, 1))).ok
            assert await asyncio.wait_for(seen.get(), 5) == ("127.0.0.9", source_port)

    go(main())


# -- HTTP --


@pytest.mark.parametrize(
    ("url", "answer", "wanted"),
    [
        (HttpUrl(path="/"), page(b"hi"), ""),
        (HttpUrl(path="/"), page(b"", "302 Found", "Location: /again\r\n"), "302 (to /again; redirections"),
        (HttpUrl(path="/", status_codes=((302, 302),)), page(b"", "302 Found"), ""),
        (HttpUrl(path="/", digest="49f68a5c8493ec2c0bf489821c21fc3b"), page(b"hi"), ""),
        (HttpUrl(path="/", digest="00000000000000000000000000000000"), page(b"hi"), "digest 49f68a5c"),
        (HttpUrl(path="/", regex="^h.$"), page(b"hi"), ""),
        (HttpUrl(path="/", regex="nope"), page(b"hi"), "regex 'nope' was not found"),
        (HttpUrl(path="/", regex="hi", regex_no_match=True), page(b"hi"), "regex 'hi' was found"),
        (HttpUrl(path="/", regex="HI", regex_options=("caseless",)), page(b"hi"), ""),
        (HttpUrl(path="/", regex="b", regex_max_offset=1), page(b"aab"), "was not found"),
        (HttpUrl(path="/", regex="a", regex_min_offset=2), page(b"aab"), "was not found"),
        (HttpUrl(path="/", json_path="a.b[1]", json_value="ok"), page(b'{"a":{"b":[1,"ok"]}}'), ""),
        (HttpUrl(path="/", json_path="a", json_value="true"), page(b'{"a":true}'), ""),
        (HttpUrl(path="/", json_path="a", json_value="2"), page(b'{"a":1}'), "a is 1, not 2"),
        (HttpUrl(path="/", json_path="x"), page(b'{"a":1}'), "no field x"),
        (HttpUrl(path="/", json_path="x"), page(b"<html>"), "JSON:"),
        (HttpUrl(path="/"), b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
        (HttpUrl(path="/"), b"HTTP/1.1 abc\r\n\r\n", "its status line is"),
        (HttpUrl(path="/"), b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000, "header is longer"),
        (HttpUrl(path="/"), b"HTTP/1.1 200 OK\r\nX:", "ended before its header"),
        (HttpUrl(path="/"), b"", "closed the connection without a word"),
        (HttpUrl(path="/"), b"HTTP/1.1 100 Continue\r\n\r\n" + page(b"hi"), ""),
    ],
)
def test_http_answers(url: HttpUrl, answer: bytes, wanted: str) -> None:
    async def main() -> Result:
        async with server(saying(answer)) as port:
            return await once(http(port, url))

    result = go(main())
    assert result.ok == (not wanted), result
    assert wanted in result.reason


def test_http_requests_are_octet_for_octet_as_before() -> None:
    async def main() -> None:
        asked: asyncio.Queue[bytes] = asyncio.Queue()

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.put_nowait(await reader.read(4096))
            writer.write(page(b""))

        async with server(note) as port:
            for protocol, first, close in (
                ("1.0", b"HTTP/1.0", b""),
                ("1.0C", b"HTTP/1.0", b"Connection: close\r\n"),
                ("1.1", b"HTTP/1.1", b"Connection: close\r\n"),
            ):
                assert (await once(http(port, HttpUrl(path="/x?y"), http_protocol=protocol))).ok
                assert await asked.get() == (
                    b"GET /x?y "
                    + first
                    + b"\r\nUser-Agent: KeepAliveClient\r\n"
                    + close
                    + b"Host: 127.0.0.1:%d\r\n\r\n" % port
                )
            assert (await once(http(port, HttpUrl(path="/", virtualhost="a.example")))).ok
            assert b"Host: a.example\r\n" in await asked.get()

    go(main())


def test_http_hostile_servers_end_in_bounded_time() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        block = b"x" * 262144
        while True:  # ends when the check closes
            writer.write(block)
            await writer.drain()

    async def main() -> None:
        async with server(silence) as port:
            began = time.monotonic()
            result = await once(http(port))
            assert result.reason == "connected, but said nothing within 0.3 s"
            assert time.monotonic() - began < 3
        drip = [bytes([octet]) for octet in b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + b"x" * 400]
        async with server(saying(*drip, pause=0.05)) as port:
            began = time.monotonic()
            result = await once(http(port, HttpUrl(path="/", digest="0" * 32)))
            assert "did not come to an end" in result.reason
            assert time.monotonic() - began < 5
        async with server(flood) as port:
            assert (await once(http(port))).ok  # nobody asked for the body
            result = await once(http(port, HttpUrl(path="/", regex="y")))
            assert "longer than the 4 MiB" in result.reason
            result = await once(http(port, HttpUrl(path="/", digest="0" * 32)))
            assert "did not come to an end" in result.reason

    go(main())


def test_http_several_urls_up_all_at_once_down_one_by_one() -> None:
    async def main() -> None:
        asked: list[bytes] = []

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = (await reader.read(4096)).split(b"\r\n")[0]
            asked.append(line.split()[1])
            writer.write(page(b"x"))

        urls = HttpUrl(path="/1"), HttpUrl(path="/2"), HttpUrl(path="/3")
        async with server(note) as port, environment() as env:
            check = make_check(http(port, *urls), env, 1)
            assert not (await run_check(check, up=True)).partial
            assert asked == [b"/1", b"/2", b"/3"]
            asked.clear()
            assert (await run_check(check, up=False)).partial
            assert asked == [b"/1"]
            assert (await run_check(check, up=False)).partial
            result = await run_check(check, up=False)
            assert result.ok
            assert not result.partial
            asked.clear()
            fast = make_check(http(port, *urls, fast_recovery=True), env, 1)
            assert not (await run_check(fast, up=False)).partial
            assert asked == [b"/1", b"/2", b"/3"]

    go(main())


def test_http_pattern_that_is_none_says_where() -> None:
    result = go(once(http(1, HttpUrl(path="/", regex="a(b"))))
    assert result.cannot_run
    assert "a(b" in result.reason


def test_http_pattern_that_explodes_is_stopped() -> None:
    async def main() -> Result:
        async with server(saying(page(b"a" * 40 + b"b"))) as port:
            return await once(http(port, HttpUrl(path="/", regex="(a+)+$")))

    began = time.monotonic()
    result = go(main())
    assert not result.ok
    assert time.monotonic() - began < 5


# -- TLS --


@pytest.fixture(scope="module")
def tls_context(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
         "5", "-subj", "/CN=www.example", "-addext", "subjectAltName=DNS:www.example", "-keyout",
         str(folder / "key"), "-out", str(folder / "cert")],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context, folder / "cert"


def test_ssl_get(tls_context: tuple[ssl.SSLContext, Path]) -> None:
    context, certificate = tls_context
    names: list[str | None] = []
    context.sni_callback = lambda sock, name, ctx: names.append(name)

    async def main() -> None:
        async with server(saying(page(b"hi")), context) as port:
            assert (await once(http(port, ssl=True))).ok
            assert names[-1] is None
            assert (await once(http(port, ssl=True, enable_sni=True, virtualhost="www.example"))).ok
            assert names[-1] == "www.example"
            assert (
                await once(
                    http(port, ssl=True, enable_sni=True, sni_name="b.example", virtualhost="a.example")
                )
            ).ok
            assert names[-1] == "b.example"
            checked = TlsOptions(verify=True, ca=str(certificate), expiry_warning_days=30)
            result = await once(http(port, ssl=True, virtualhost="www.example", tls=checked))
            assert result.ok, result
            assert "ends in" in result.warning
            result = await once(http(port, ssl=True, virtualhost="other.example", tls=checked))
            assert "certificate is not valid" in result.reason
            result = await once(http(port, ssl=True, tls=TlsOptions(ca="/nonexistent")))
            assert "/nonexistent" in result.reason
        async with server(saying(page(b"hi"))) as port:  # plain
            result = await once(http(port, ssl=True))
            assert result.reason == "does not speak TLS on this port"
        async with server(silence) as port:
            assert "said nothing" in (await once(http(port, ssl=True))).reason
        async with server(saying(page(b"hi")), context) as port:  # TLS asked in plain
            assert not (await once(http(port))).ok

    try:
        go(main())
    finally:
        context.sni_callback = None


# -- SMTP, DNS, UDP, ping --


def test_smtp() -> None:
    async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220-mail\r\n220 ready\r\n")
        assert await reader.readline() == b"HELO me.example\r\n"
        writer.write(b"250-mail\r\n250 ok\r\n")
        assert await reader.readline() == b"QUIT\r\n"
        writer.write(b"221 bye\r\n")

    async def main() -> None:
        def conf(port: int) -> SmtpCheck:
            return SmtpCheck(
                connect_ip=LOCAL, connect_port=port, connect_timeout_ns=TIMEOUT_NS, helo_name="me.example"
            )

        async with server(good) as port:
            assert (await once(conf(port))).ok
        async with server(saying(b"554 go away\r\n", read=False)) as port:
            assert "554 go away" in (await once(conf(port))).reason
        async with server(saying(b"x" * 9000, read=False, pause=1)) as port:
            assert "no SMTP server" in (await once(conf(port))).reason
        async with server(silence) as port:
            assert "said nothing" in (await once(conf(port))).reason

    go(main())


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if (out := self.answer(data)) is not None:
            self.transport.sendto(out, addr)  # type: ignore[attr-defined]


async def datagram(conf: AnyChecker, answer: Callable[[bytes], bytes | None]) -> Result:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(answer), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        return await once(msgspec.structs.replace(conf, connect_port=port))
    finally:
        transport.close()


def test_dns() -> None:
    conf = DnsCheck(connect_ip=LOCAL, connect_timeout_ns=TIMEOUT_NS, type="A", name="www.example.org")

    def answer(query: bytes, flags: int) -> bytes:
        assert query.endswith(b"\3www\7example\3org\0\0\1\0\1")
        return query[:2] + struct.pack("!H", flags) + query[4:]

    assert go(datagram(conf, lambda q: answer(q, 0x8180))).ok
    assert go(datagram(conf, lambda q: answer(q, 0x8182))).reason == "answered SERVFAIL"
    assert "no answer" in go(datagram(conf, lambda q: b"\0\0" + q[2:])).reason
    assert "no answer" in go(datagram(conf, lambda q: b"x")).reason


def test_udp() -> None:
    conf = UdpCheck(connect_ip=LOCAL, connect_timeout_ns=TIMEOUT_NS)
    assert go(datagram(conf, lambda q: None)).ok
    asked: list[bytes] = []
    assert go(datagram(conf, asked.append)).ok
    assert asked == [b"keepalived check - keepalived ch"]
    need = msgspec.structs.replace(
        conf,
        require_reply=True,
        payload=b"\1\2",
        reply=b"\xab\xc0",
        reply_mask=b"\xff\xf0",
        min_reply_length=2,
    )
    assert go(datagram(need, lambda q: b"\xab\xcd\x00")).ok
    assert "is not what" in go(datagram(need, lambda q: b"\xab\xdd")).reason
    assert "answered 1 octets" in go(datagram(need, lambda q: b"\xab")).reason
    assert "no answer" in go(datagram(need, lambda q: None)).reason
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert go(once(msgspec.structs.replace(conf, connect_port=port))).reason == "Connection refused"


def test_ping_loopback() -> None:
    result = go(once(PingCheck(connect_ip=LOCAL, connect_timeout_ns=TIMEOUT_NS)))
    if result.cannot_run:
        pytest.skip(f"no ICMP sockets here: {result.reason}")
    assert result.ok, result


# -- programs --


def test_misc_exit_codes_and_hanging_programs() -> None:
    async def main() -> None:
        runner = Runner(asyncio.get_running_loop(), notice=lambda text: None)

        def program(command: Command) -> Program | str:
            return Program(command.argv[0], command.argv, own_identity())

        async with environment(runner=runner, program=program) as env:

            async def run(script: str, **more: Any) -> Result:
                conf = MiscCheck(command=Command(("/bin/sh", "-c", script)), **more)
                return await run_check(make_check(conf, env, 5))

            assert (await run("exit 0")).ok
            result = await run("echo no backend >&2; exit 1")
            assert not result.ok
            assert "no backend" in result.reason
            result = await run("exit 12", dynamic=True)
            assert (result.ok, result.weight) == (True, 5)  # 12 - 2 - 5
            assert not (await run("exit 12")).ok
            assert not (await run("kill -9 $$")).ok
            result = await run("sleep 60 & sleep 60", timeout_ns=200_000_000)
            assert "timed out" in result.reason
            result = await run("yes", timeout_ns=300_000_000)
            assert "timed out" in result.reason
        await runner.close()

    go(main())


def test_misc_that_security_refuses_says_why() -> None:
    async def main() -> Result:
        runner = Runner(asyncio.get_running_loop(), notice=lambda text: None)
        async with environment(runner=runner, program=lambda command: "not executable") as env:
            return await run_check(make_check(MiscCheck(command=Command(("/x",))), env, 1))

    result = go(main())
    assert result.cannot_run
    assert result.reason == "not executable"


# -- extensions --


def greeting(port: int, protocol: str, password: str | None = None) -> GreetingCheck:
    return GreetingCheck(
        connect_ip=LOCAL,
        connect_port=port,
        connect_timeout_ns=TIMEOUT_NS,
        protocol=protocol,  # type: ignore[arg-type]
        password=password,
    )


@pytest.mark.parametrize(
    ("protocol", "answer", "wanted"),
    [
        ("redis", b"+PONG\r\n", ""),
        ("redis", b"-NOAUTH Authentication required.\r\n", "NOAUTH"),
        ("redis", b"-LOADING Redis is loading\r\n", "LOADING"),
        ("mysql", b"\x0a\0\0\0\x0a8.0.36\0xx", ""),
        ("mysql", b"\x17\0\0\0\xff\x10\x04Too many connections", "1040: Too many"),
        ("postgresql", b"N", ""),
        ("postgresql", b"EFATAL", "not S or N"),
        ("postgresql", b"", "closed the connection without a word"),
    ],
)
def test_greetings(protocol: str, answer: bytes, wanted: str) -> None:
    async def main() -> Result:
        async with server(saying(answer, read=protocol != "mysql")) as port:
            return await once(greeting(port, protocol))

    result = go(main())
    assert result.ok == (not wanted), result
    assert wanted in result.reason


def test_agent_lines() -> None:
    assert read_line("up 50%", 10) == Result(ok=True, reason="the agent said 'up 50%'", weight=-5)
    assert read_line("75%", 100).weight == -25
    assert not read_line("down#disk full", 1).ok
    assert "disk full" in read_line("down#disk full", 1).reason
    assert read_line("drain", 7).weight == -7
    assert not read_line("", 1).ok
    assert not read_line("GET / HTTP/1.0", 1).ok

    async def main() -> Result:
        async with server(saying(b"up 200%\n", read=False)) as port:
            conf = AgentCheck(connect_ip=LOCAL, connect_port=port, connect_timeout_ns=TIMEOUT_NS)
            return await once(conf)

    assert go(main()).weight == 1


def h2_session(
    reply: Callable[[dict[str, str]], tuple[list[tuple[str, str]], bytes, list[tuple[str, str]]]],
) -> Session:
    import h2.config
    import h2.connection
    import h2.events

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(
            config=h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        fields: dict[str, str] = {}
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    fields = dict(event.headers)  # type: ignore[arg-type]
                elif isinstance(event, h2.events.StreamEnded):
                    headers, body, trailers = reply(fields)
                    stream = event.stream_id
                    connection.send_headers(stream, headers, end_stream=not body and not trailers)
                    if body:
                        connection.send_data(stream, body, end_stream=not trailers)
                    if trailers:
                        connection.send_headers(stream, trailers, end_stream=True)
            writer.write(connection.data_to_send())

    return session


def test_grpc() -> None:
    def serving(value: int) -> Any:
        def reply(fields: dict[str, str]) -> Any:
            assert fields[":path"] == "/grpc.health.v1.Health/Check"
            body = b"\0\0\0\0\2\x08" + bytes([value])
            return [(":status", "200"), ("content-type", "application/grpc")], body, [("grpc-status", "0")]

        return h2_session(reply)

    def unknown(fields: dict[str, str]) -> Any:
        return [(":status", "200"), ("grpc-status", "5")], b"", []

    async def main() -> None:
        def conf(port: int) -> GrpcCheck:
            return GrpcCheck(
                connect_ip=LOCAL, connect_port=port, connect_timeout_ns=TIMEOUT_NS, service="shop.Cart"
            )

        async with server(serving(1)) as port:
            assert (await once(conf(port))).ok
        async with server(serving(2)) as port:
            assert (await once(conf(port))).reason == "says NOT_SERVING"
        async with server(h2_session(unknown)) as port:
            assert "NOT_FOUND" in (await once(conf(port))).reason
        async with server(saying(page(b"plain old"))) as port:
            assert "does not speak HTTP/2" in (await once(conf(port))).reason

    go(main())


@pytest.mark.parametrize("piece", [1, 8, 9, 10, 100_000])
def test_an_overlong_frame_of_http2_is_refused_by_its_head(piece: int) -> None:
    """RFC 9113 section 4.2: no frame is longer than what was allowed; nobody waits for the rest of it."""
    from fastha.lvs.checkers.h2check import Frames

    def head(length: int) -> bytes:
        return length.to_bytes(3, "big") + bytes(6)

    def first_overlong(stream: bytes) -> int:
        frames = Frames()
        found = [frames.overlong(stream[at : at + piece]) for at in range(0, len(stream), piece)]
        return next((length for length in found if length), 0)

    allowed = head(0) + head(5) + b"\xff" * 5 + head(16_384) + b"\xff" * 16_384
    assert first_overlong(allowed + head(3)) == 0
    assert first_overlong(allowed + head(16_385)) == 16_385
    assert first_overlong(head(2**24 - 1)) == 2**24 - 1


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300])
def test_grpc_service_names_of_every_length_reach_the_server(length: int) -> None:
    """The length is a varint: from 128 octets on it takes two (protocol buffers' wire format)."""
    from fastha.lvs.checkers.h2check import GrpcChecker

    async def main() -> bytes:
        async with environment() as env:
            conf = GrpcCheck(connect_ip=LOCAL, connect_port=1, service="s" * length)
            return GrpcChecker(conf, env).request()[1]

    body = go(main())
    assert body[0] == 0  # not compressed
    message = body[5:]
    assert int.from_bytes(body[1:5], "big") == len(message)
    head = {0: b"", 1: b"\x0a\1", 127: b"\x0a\x7f", 128: b"\x0a\x80\1", 300: b"\x0a\xac\2"}[length]
    assert message == head + b"s" * length


def test_http2(tls_context: tuple[ssl.SSLContext, Path]) -> None:
    context, _ = tls_context

    def reply(fields: dict[str, str]) -> Any:
        return [(":status", "200")], json.dumps({"path": fields[":path"]}).encode(), []

    async def main() -> None:
        context.set_alpn_protocols(["h2"])
        async with server(h2_session(reply), context) as port:
            url = HttpUrl(path="/x", json_path="path", json_value="/x")
            assert (await once(http(port, url, ssl=True, http_protocol="2"))).ok
            bad = HttpUrl(path="/y", json_path="path", json_value="/x")
            assert "path is /y" in (await once(http(port, url, bad, ssl=True, http_protocol="2"))).reason

    go(main())


# -- checks that cannot be made, or break --


def test_a_check_that_cannot_be_made_fails_with_the_reason() -> None:
    result = go(once(DnsCheck(connect_ip=LOCAL, name="a..b")))
    assert result.cannot_run
    assert "'a..b' is no domain name" in result.reason


def test_a_check_that_breaks_comes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastha.lvs.checkers.tcp import TcpChecker

    def broken(self: TcpChecker) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(TcpChecker, "connected", broken)

    async def main() -> Result:
        async with server(saying(read=False)) as port:
            return await once(TcpCheck(connect_ip=LOCAL, connect_port=port))

    result = go(main())
    assert result.reason == "the check itself failed: RuntimeError: a defect"
