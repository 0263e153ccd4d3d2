"""HTTP_GET and SSL_GET: every url answers with the right status, digest, pattern or JSON field.

keepalived.conf(5): while up, all urls are asked in turn in one check; while down, one url for each delay_loop
unless fast_recovery, and the server is up again when the last of them is well. Redirections are not followed.
"""

from __future__ import annotations

from fastha.config.model_lvs import HttpCheck, HttpUrl
from fastha.lvs.checkers.base import Env
from fastha.lvs.checkers.page import Judge, PageError, Reader
from fastha.lvs.checkers.pcre import PatternError
from fastha.lvs.checkers.tls import SecureCheck


def host_of(conf: HttpCheck, url: HttpUrl) -> str:
    """The Host field: the virtualhost, or the address and port asked."""
    name = url.virtualhost or conf.virtualhost
    if name:
        return name
    text = f"[{conf.connect_ip}]" if conf.connect_ip.version == 6 else str(conf.connect_ip)
    return f"{text}:{conf.connect_port}"


def request_of(conf: HttpCheck, url: HttpUrl) -> bytes:
    """The request, octet for octet as keepalived makes it."""
    version = "1.1" if conf.http_protocol == "1.1" else "1.0"
    close = "Connection: close\r\n" if conf.http_protocol != "1.0" else ""
    return (
        f"GET {url.path} HTTP/{version}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host_of(conf, url)}"
        "\r\n\r\n"
    ).encode("utf-8", "surrogateescape")


class HttpChecker(SecureCheck):
    """Asks the urls one after another, each over a connection of its own."""

    def __init__(self, conf: HttpCheck, env: Env) -> None:
        super().__init__(conf, env)
        self.http = conf
        self.secure = conf.ssl
        self.tls_options = conf.tls
        self._judges: list[Judge] = []
        self._broken = ""
        try:
            self._judges = [Judge(url) for url in conf.urls]
        except PatternError as error:
            self._broken = str(error)
        self._requests = [request_of(conf, url) for url in conf.urls]
        self._index = 0
        self._one_only = False
        self._reader: Reader | None = None
        self._warning = ""

    def server_name(self) -> str | None:
        conf = self.http
        if not conf.enable_sni:
            return conf.virtualhost if conf.tls.verify else None
        return conf.sni_name or conf.urls[self._index].virtualhost or conf.virtualhost

    def begin(self, up: bool) -> None:
        self._one_only = not up and not self.http.fast_recovery
        self._warning = ""
        if not self._one_only:
            self._index = 0
        if self._broken:
            self.env.loop.call_soon(self._late_fail, self._done, self._broken, True)
            return
        self._ask()

    def _ask(self) -> None:
        self._reader = self._judges[self._index].reader()
        self.received = 0
        self.connect()

    def hello(self) -> bytes:
        return b"" if self.secure else self._requests[self._index]

    def ready(self) -> None:
        if self.secure:
            self._warning = self._warning or self.tls_warning
            self.send(self._requests[self._index])

    def told(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            return
        had_status = reader.status
        try:
            reader.feed(data)
        except PageError as error:
            self._bad(str(error))
            return
        if reader.status and not had_status and (text := self._judges[self._index].status_problem(reader)):
            self._bad(text)
        elif reader.complete and not self._waits_for_end():
            self._judge(reader)

    def _waits_for_end(self) -> bool:
        return self.secure and (self.http.tls_compliant or self.http.urls[self._index].tls_compliant)

    def ended(self, proper: bool) -> None:
        reader = self._reader
        if reader is None:
            return
        if not proper and self._waits_for_end():
            self._bad("the connection ended without TLS close_notify (tls_compliant)")
        elif not reader.status and not reader.size and not self.received:
            self._bad("closed the connection without a word")
        else:
            self._judge(reader)

    def refused(self, code: int, was_connected: bool) -> None:
        # A reset after the whole answer is how some servers close.
        reader = self._reader
        if was_connected and reader is not None and reader.complete:
            self._judge(reader)
        else:
            super().refused(code, was_connected)

    def _bad(self, text: str) -> None:
        url = self.http.urls[self._index]
        self._index = 0
        self._reader = None
        self.fail(f"{url.path}: {text}")

    def _judge(self, reader: Reader) -> None:
        self._reader = None
        if text := self._judges[self._index].problem(reader):
            self._bad(text)
            return
        self._end_probe()
        path = self.http.urls[self._index].path
        self._index += 1
        if self._index < len(self._judges):
            if self._one_only:
                self.succeed(f"{path}: status {reader.status}", partial=True, warning=self._warning)
            else:
                self._ask()
            return
        self._index = 0
        self.succeed(f"{path}: status {reader.status}", warning=self._warning)
