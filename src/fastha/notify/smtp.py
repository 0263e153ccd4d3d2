"""A minimal SMTP client: one mail per connection, every step with a time limit. RFC 5321, RFC 3207, RFC 4954.

As keepalived, it says HELO and sends plain text; with TLS or a login it says EHLO. Nothing is sent in the
clear that was to be sent over TLS.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_LINE_LIMIT = 8192
_MAX_REPLY_LINES = 64


class SmtpError(Exception):
    """The server refused, answered nonsense, or did not offer what is wanted. `permanent`: trying again is
    no use."""

    def __init__(self, text: str, *, permanent: bool = False) -> None:
        super().__init__(text)
        self.permanent = permanent


class _Session:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float) -> None:
        self.reader = reader
        self.writer = writer
        self.timeout = timeout

    async def reply(self, step: str, *wanted: int) -> list[str]:
        """The text lines of one answer. Raises SmtpError when its code is not one of `wanted`."""
        lines: list[str] = []
        while True:
            try:
                raw = await asyncio.wait_for(self.reader.readline(), self.timeout)
            except TimeoutError:
                raise SmtpError(f"no answer to {step} within {self.timeout:g} s") from None
            except ValueError:
                raise SmtpError(f"the answer to {step} is too long") from None
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not raw:
                raise SmtpError(f"the server hung up at {step}")
            if len(line) < 3 or not line[:3].isdigit() or len(lines) >= _MAX_REPLY_LINES:
                raise SmtpError(f"the answer to {step} is no SMTP: {line[:80]!r}")
            lines.append(line[4:])
            if line[3:4] != "-":
                code = int(line[:3])
                if code not in wanted:
                    raise SmtpError(f"{step} was answered {line[:120]}", permanent=code >= 500)
                return lines

    async def command(self, text: str, *wanted: int, step: str = "") -> list[str]:
        await self.write(text.encode("utf-8", "surrogateescape") + b"\r\n", step or text)
        return await self.reply(step or text.split(":", 1)[0], *wanted)

    async def write(self, data: bytes, step: str) -> None:
        self.writer.write(data)
        try:
            await asyncio.wait_for(self.writer.drain(), self.timeout)
        except TimeoutError:
            raise SmtpError(f"the server does not read ({step}, {self.timeout:g} s)") from None


async def send_mail(
    message: bytes,
    *,
    host: str,
    port: int,
    sender: str,
    recipients: Sequence[str],
    helo: str,
    timeout: float = 30.0,
    tls: str = "none",
    context: ssl.SSLContext | None = None,
    user: str | None = None,
    password: str | None = None,
) -> list[str]:
    """Sends `message` (complete, lines ended with CRLF); returns the recipients that the server refused.

    Raises SmtpError, or OSError when there is no connection; both within a few times `timeout` seconds.
    """
    for address in (sender, *recipients):
        if any(c in address for c in "\r\n<> "):
            raise SmtpError(f"{address!r} is no mail address", permanent=True)
    secure = {"ssl": context, "server_hostname": host} if tls == "implicit" else {}
    try:
        connecting = asyncio.open_connection(host, port, limit=_LINE_LIMIT, **secure)  # type: ignore[arg-type]
        reader, writer = await asyncio.wait_for(connecting, timeout)
    except TimeoutError:
        raise SmtpError(f"no connection to {host} port {port} within {timeout:g} s") from None
    session = _Session(reader, writer, timeout)
    try:
        await session.reply("connection", 220)
        await _greet(session, helo, tls=tls, context=context, host=host, user=user, password=password)
        await session.command(f"MAIL FROM:<{sender}>", 250)
        refused = []
        last: SmtpError | None = None
        for recipient in recipients:
            try:
                await session.command(f"RCPT TO:<{recipient}>", 250, 251)
            except SmtpError as error:
                refused.append(recipient)
                last = error
        if last is not None and len(refused) == len(recipients):
            raise last
        await session.command("DATA", 354)
        await session.write(_stuffed(message) + b".\r\n", "the message")
        await session.reply("the message", 250)
        with contextlib.suppress(SmtpError, OSError):
            session.timeout = min(timeout, 2.0)
            await session.command("QUIT", 221)
        return refused
    finally:
        writer.close()


async def _greet(
    session: _Session,
    helo: str,
    *,
    tls: str,
    context: ssl.SSLContext | None,
    host: str,
    user: str | None,
    password: str | None,
) -> None:
    if tls == "none" and user is None:
        await session.command(f"HELO {helo}", 250)
        return
    offered = await session.command(f"EHLO {helo}", 250)
    if tls == "starttls":
        if not any(line.upper().startswith("STARTTLS") for line in offered):
            raise SmtpError("the server offers no STARTTLS, and nothing is sent in the clear", permanent=True)
        await session.command("STARTTLS", 220)
        if context is None:
            raise SmtpError("no TLS settings", permanent=True)
        try:
            upgrade = session.writer.start_tls(context, server_hostname=host)
            await asyncio.wait_for(upgrade, session.timeout)
        except TimeoutError:
            raise SmtpError(f"no TLS within {session.timeout:g} s") from None
        offered = await session.command(f"EHLO {helo}", 250)
    if user is None:
        return
    if tls == "none":
        raise SmtpError("a password is not sent without TLS", permanent=True)
    methods = next((line.upper().split()[1:] for line in offered if line.upper().startswith("AUTH")), [])
    secret = password or ""
    if "PLAIN" in methods:
        token = base64.b64encode(f"\0{user}\0{secret}".encode()).decode()
        await session.command(f"AUTH PLAIN {token}", 235, step="AUTH PLAIN")
    elif "LOGIN" in methods:
        await session.command("AUTH LOGIN", 334)
        await session.command(base64.b64encode(user.encode()).decode(), 334, step="AUTH LOGIN user")
        await session.command(base64.b64encode(secret.encode()).decode(), 235, step="AUTH LOGIN password")
    else:
        raise SmtpError(
            f"the server offers no login that is known here ({' '.join(methods)})", permanent=True
        )


def _stuffed(message: bytes) -> bytes:
    """The message with the dots of RFC 5321 section 4.5.2, ending with a line end."""
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in message.split(b"\r\n"))
