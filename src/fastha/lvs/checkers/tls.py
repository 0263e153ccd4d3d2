"""TLS for checks: contexts made once, conversations over the probes' octets, and when a certificate ends.

By default nothing is verified, as in keepalived's SSL_GET: a health check asks whether a server answers. The
extensions verify, ask for a minimum version, or warn of an expiry. Imported only where a check speaks TLS.
"""

from __future__ import annotations

import datetime
import ssl

from fastha.config.model_lvs import TlsOptions
from fastha.lvs.checkers.base import SocketCheck

_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


class TlsError(Exception):
    """Why TLS did not come about, in words for an operator."""


class TlsContexts:
    """Contexts by their options. Loading keys and authorities for every check would cost milliseconds."""

    def __init__(self) -> None:
        self._made: dict[tuple[TlsOptions, tuple[str, ...]], ssl.SSLContext] = {}

    def get(self, options: TlsOptions, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """Raises TlsError naming the file that cannot be used."""
        key = (options, alpn)
        context = self._made.get(key)
        if context is None:
            context = self._made[key] = self._make(options, alpn)
        return context

    @staticmethod
    def _make(options: TlsOptions, alpn: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        what = ""
        try:
            if options.verify:
                context.verify_mode = ssl.CERT_REQUIRED
                context.check_hostname = True
            if options.ca is not None:
                what = f"CA file {options.ca}"
                context.load_verify_locations(options.ca)
            elif options.verify:
                context.load_default_certs()
            if options.certificate is not None:
                what = f"certificate {options.certificate} or key {options.key}"
                context.load_cert_chain(options.certificate, options.key, options.password)
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"cannot use {what}: {error.strerror or error}") from None
        if options.minimum_version is not None:
            context.minimum_version = _VERSIONS[options.minimum_version]
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def not_after(certificate: bytes) -> datetime.datetime:
    """When a DER certificate ends (RFC 5280 section 4.1). Raises ValueError for what is none."""

    def element(data: bytes, at: int) -> tuple[int, int, int]:
        """Tag, start and end of the contents at an offset."""
        if at + 2 > len(data):
            raise ValueError("the certificate is cut short")
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[start : start + count], "big")
            start += count
        if start + length > len(data):
            raise ValueError("the certificate is cut short")
        return tag, start, start + length

    _, at, _ = element(certificate, 0)  # Certificate
    _, at, _ = element(certificate, at)  # TBSCertificate
    tag, _, end = element(certificate, at)
    if tag == 0xA0:  # the version, which comes first where there is one
        _, _, end = element(certificate, end)
    for _ in range(2):  # after the serial number: signature algorithm, issuer
        _, _, end = element(certificate, end)
    _, start, _ = element(certificate, end)  # validity
    _, _, end = element(certificate, start)  # notBefore
    tag, start, end = element(certificate, end)
    text = certificate[start:end].decode("ascii")
    if tag == 0x17:  # UTCTime
        year = int(text[:2])
        text = f"{1900 + year if year >= 50 else 2000 + year}{text[2:]}"
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)


class TlsStream:
    """One TLS conversation: octets of the wire in and out, plain text in and out. Does no I/O."""

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self.object = context.wrap_bio(self._in, self._out, server_hostname=name)
        self.established = False
        self.proper_end = False

    def outgoing(self) -> bytes:
        """What is to be sent."""
        return self._out.read()

    def begin(self) -> None:
        """Makes the first octets."""
        self._shake()

    def write(self, data: bytes) -> None:
        """Encrypts; see `outgoing`."""
        self.object.write(data)

    def feed(self, data: bytes) -> bytes:
        """What the octets say in plain text. Raises TlsError."""
        self._in.write(data)
        if not self.established:
            self._shake()
        plain = b""
        while self.established:
            try:
                more = self.object.read(65536)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.proper_end = True
                break
            except ssl.SSLError as error:
                raise TlsError(describe(error)) from None
            if not more:
                self.proper_end = True
                break
            plain += more
        return plain

    def _shake(self) -> None:
        try:
            self.object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise TlsError(describe(error)) from None

    def days_left(self) -> float | None:
        """Days until the server's certificate ends."""
        raw = self.object.getpeercert(binary_form=True)
        if not raw:
            return None
        left = not_after(raw) - datetime.datetime.now(datetime.UTC)
        return left.total_seconds() / 86400


def describe(error: ssl.SSLError) -> str:
    """A TLS failure in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}"
    reason = error.reason or str(error)
    if reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"):
        return "does not speak TLS on this port"
    return f"TLS failed: {reason.replace('_', ' ').lower()}"


class SecureCheck(SocketCheck):
    """A check that may speak TLS. Kinds see plain text: `ready` when they may speak, `told` for what came,
    `ended` when no more comes."""

    secure = False
    tls_options = TlsOptions()
    alpn: tuple[str, ...] = ()

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.stream_tls: TlsStream | None = None
        self.tls_warning = ""

    def server_name(self) -> str | None:
        """The name asked for in the handshake."""
        return None

    def ready(self) -> None:
        """Speak now."""
        raise NotImplementedError

    def told(self, data: bytes) -> None:
        """Plain text came."""
        raise NotImplementedError

    def ended(self, proper: bool) -> None:
        """No more comes; `proper` is false when TLS was cut off."""
        raise NotImplementedError

    def connected(self) -> None:
        self.stream_tls = None
        if not self.secure:
            self.ready()
            return
        try:
            context = self.env.tls.get(self.tls_options, self.alpn)
            self.stream_tls = TlsStream(context, self.server_name())
            self.stream_tls.begin()
        except (TlsError, ValueError) as error:
            self.fail(str(error))
            return
        self._flush()

    def heard(self, data: bytes) -> None:
        tls = self.stream_tls
        if tls is None:
            self.told(data)
            return
        was = tls.established
        try:
            plain = tls.feed(data)
        except TlsError as error:
            self.fail(str(error))
            return
        self._flush()
        if tls.established and not was:
            self._look_at_certificate(tls)
            self.ready()
        if plain and self._done is not None and self.stream_tls is tls:
            self.told(plain)
        if tls.proper_end and self._done is not None and self.stream_tls is tls:
            self.ended(True)

    def closed(self) -> None:
        tls = self.stream_tls
        if tls is None:
            if self.secure:
                super().closed()
            else:
                self.ended(True)
        elif not tls.established:
            self.fail("closed the connection during the TLS handshake")
        else:
            self.ended(tls.proper_end)

    def send(self, data: bytes) -> None:
        """Sends plain text."""
        if self.stream_tls is None:
            self.say(data)
        else:
            self.stream_tls.write(data)
            self._flush()

    def _flush(self) -> None:
        if self.stream_tls is not None and (out := self.stream_tls.outgoing()):
            self.say(out)

    def _look_at_certificate(self, tls: TlsStream) -> None:
        self.tls_warning = ""
        limit = self.tls_options.expiry_warning_days
        if not limit:
            return
        try:
            days = tls.days_left()
        except ValueError as error:
            self.tls_warning = str(error)
            return
        if days is not None and days < limit:
            self.tls_warning = (
                f"its certificate ends in {days:.1f} days" if days > 0 else "its certificate has ended"
            )
