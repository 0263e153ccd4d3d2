"""Checks over HTTP/2: GRPC_CHECK (grpc.health.v1) and HTTP_GET with http_protocol 2. RFC 9113.

Extensions. With TLS the protocol is asked for by ALPN; without, the server is taken to speak HTTP/2 at once.
h2 is imported only here.
"""

from __future__ import annotations

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from fastha.config.model_lvs import GrpcCheck, HttpCheck
from fastha.lvs.checkers.base import Env
from fastha.lvs.checkers.http import host_of
from fastha.lvs.checkers.page import MAX_KEPT, Judge, Reader
from fastha.lvs.checkers.pcre import PatternError
from fastha.lvs.checkers.tls import SecureCheck

_SERVING = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_GRPC_CODES = {5: "NOT_FOUND (the service is not known)", 12: "UNIMPLEMENTED (no health service)"}


def varint(number: int) -> bytes:
    """A length as protocol buffers have it: seven bits an octet, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


class Frames:
    """Lengths of the frames of a stream, looked at before h2 has them: it gathers a frame whole, up to
    16 MiB, before it says that it is too long (RFC 9113 section 4.2)."""

    #: What a peer may send as long as we have not allowed it more: SETTINGS_MAX_FRAME_SIZE.
    MOST = 16_384

    def __init__(self) -> None:
        self._head = b""
        self._left = 0  # of the frame that began

    def overlong(self, data: bytes) -> int:
        """The length of the first frame that is too long; 0 when there is none in this piece."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            need = 9 - len(self._head)
            self._head += data[at : at + need]
            at += need
            if len(self._head) == 9:
                length = int.from_bytes(self._head[:3], "big")
                if length > self.MOST:
                    return length
                self._left = length
                self._head = b""
        return 0


class H2Check(SecureCheck):
    """One request over one connection; kinds judge `status`, `fields` and `body`."""

    alpn = ("h2",)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.h2: h2.connection.H2Connection | None = None
        self.frames = Frames()
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body = bytearray()

    def request(self) -> tuple[list[tuple[str, str]], bytes]:
        """Header fields and body."""
        raise NotImplementedError

    def answered(self) -> None:
        """The whole answer is there."""
        raise NotImplementedError

    def ready(self) -> None:
        tls = self.stream_tls
        if tls is not None and tls.object.selected_alpn_protocol() != "h2":
            self.fail("does not speak HTTP/2 (it did not choose h2 in the TLS handshake)")
            return
        self.status = 0
        self.fields = {}
        self.body.clear()
        connection = h2.connection.H2Connection(
            config=h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        connection.initiate_connection()
        fields, body = self.request()
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, fields, end_stream=not body)
        if body:
            connection.send_data(stream, body, end_stream=True)
        self.h2 = connection
        self.frames = Frames()
        self.send(connection.data_to_send())

    def told(self, data: bytes) -> None:
        connection = self.h2
        if connection is None:
            return
        if not self.status and data.startswith(b"HTTP/"):
            self.h2 = None
            self.fail("does not speak HTTP/2: it answered in HTTP/1")
            return
        if length := self.frames.overlong(data):
            self.h2 = None
            self.fail(f"does not speak HTTP/2: a frame of {length} octets, {Frames.MOST} are allowed")
            return
        try:
            events = connection.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.h2 = None
            self.fail(f"does not speak HTTP/2: {error}")
            return
        for event in events:
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                self.fields.update({str(name): str(value) for name, value in event.headers})
                self.status = int(self.fields.get(":status", "0"))
            elif isinstance(event, h2.events.DataReceived):
                self.body += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if len(self.body) > MAX_KEPT:
                    self.h2 = None
                    self.fail(f"its answer is longer than {MAX_KEPT >> 20} MiB")
                    return
            elif isinstance(event, h2.events.StreamReset):
                self.h2 = None
                self.fail(f"reset the stream: {event.error_code!r}")
                return
            elif isinstance(event, h2.events.ConnectionTerminated) and not self.status:
                self.h2 = None
                self.fail(f"ended the connection: {event.error_code!r}")
                return
            elif isinstance(event, h2.events.StreamEnded):
                self.h2 = None
                self.answered()
                return
        if out := connection.data_to_send():
            self.send(out)

    def ended(self, proper: bool) -> None:
        self.fail("closed the connection before the answer was complete")


class GrpcChecker(H2Check):
    """Asks grpc.health.v1.Health/Check; only SERVING is up."""

    def __init__(self, conf: GrpcCheck, env: Env) -> None:
        super().__init__(conf, env)
        self.grpc = conf
        self.secure = conf.ssl
        self.tls_options = conf.tls

    def server_name(self) -> str | None:
        return self.grpc.sni_name or self.grpc.authority

    def request(self) -> tuple[list[tuple[str, str]], bytes]:
        conf = self.grpc
        name = conf.service.encode()
        message = (b"\x0a" + varint(len(name)) + name) if name else b""
        address = f"[{conf.connect_ip}]" if conf.connect_ip.version == 6 else str(conf.connect_ip)
        fields = [
            (":method", "POST"),
            (":scheme", "https" if conf.ssl else "http"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", conf.authority or f"{address}:{conf.connect_port}"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "fastha"),
        ]
        return fields, b"\0" + len(message).to_bytes(4, "big") + message

    def answered(self) -> None:
        code = self.fields.get("grpc-status", "")
        if self.status != 200:
            self.fail(f"answered status {self.status}, not 200")
        elif code not in ("", "0"):
            word = _GRPC_CODES.get(int(code) if code.isdigit() else -1, code)
            self.fail(f"grpc-status {word} {self.fields.get('grpc-message', '')}".strip())
        else:
            body = bytes(self.body[5:])
            value = body[1] if len(body) >= 2 and body[0] == 0x08 else 0
            word = _SERVING.get(value, str(value))
            if value == 1:
                self.succeed("SERVING", warning=self.tls_warning)
            else:
                self.fail(f"says {word}")


class Http2Checker(H2Check):
    """HTTP_GET and SSL_GET with http_protocol 2: as HTTP/1 in all that is asked of a page."""

    def __init__(self, conf: HttpCheck, env: Env) -> None:
        super().__init__(conf, env)
        self.http = conf
        self.secure = conf.ssl
        self.tls_options = conf.tls
        self._index = 0
        self._one_only = False
        self._judges: list[Judge] = []
        self._broken = ""
        try:
            self._judges = [Judge(url) for url in conf.urls]
        except PatternError as error:
            self._broken = str(error)

    def server_name(self) -> str | None:
        conf = self.http
        if conf.enable_sni or conf.tls.verify:
            return conf.sni_name or conf.urls[self._index].virtualhost or conf.virtualhost
        return None

    def begin(self, up: bool) -> None:
        self._one_only = not up and not self.http.fast_recovery
        if not self._one_only:
            self._index = 0
        if self._broken:
            self.env.loop.call_soon(self._late_fail, self._done, self._broken, True)
        else:
            self.connect()

    def request(self) -> tuple[list[tuple[str, str]], bytes]:
        url = self.http.urls[self._index]
        return [
            (":method", "GET"),
            (":scheme", "https" if self.http.ssl else "http"),
            (":path", url.path),
            (":authority", host_of(self.http, url)),
            ("user-agent", "KeepAliveClient"),
        ], b""

    def answered(self) -> None:
        judge = self._judges[self._index]
        reader: Reader = judge.reader()
        reader.status = self.status
        reader.location = self.fields.get("location", "")
        reader.feed(bytes(self.body))
        path = judge.url.path
        if text := judge.problem(reader):
            self._index = 0
            self.fail(f"{path}: {text}")
            return
        self._end_probe()
        self._index += 1
        if self._index < len(self._judges):
            if self._one_only:
                self.succeed(f"{path}: status {self.status}", partial=True)
            else:
                self.received = 0
                self.connect()
            return
        self._index = 0
        self.succeed(f"{path}: status {self.status}", warning=self.tls_warning)
