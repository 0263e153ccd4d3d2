"""Webhooks: every event as a JSON document, POSTed in order, signed, tried again when it does not arrive.

An extension. RFC 9112 for the request; the body is the event as `msgspec` writes it, with the node's name
and a number that grows by one per event, so that a receiver sees a gap. Tried again are no connection,
time-outs, 408, 429 and 5xx, after 1, 2, 4 … seconds (at most a minute); other answers mean that trying
again is no use.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

import msgspec

import fastha
from fastha.notify.events import Event, InstanceEvent, ServerEvent
from fastha.notify.spec import WebhookSpec
from fastha.notify.worker import WorkerChannel

MAX_QUEUED = 1000
MAX_RETRY_S = 60.0
_HEAD_LIMIT = 16384
_REMEDY = (
    "Check that the receiver runs and can be reached from here; events wait, and the oldest are dropped first"
)


class WebhookError(Exception):
    """An attempt failed. `permanent`: another would, too."""

    def __init__(self, text: str, *, permanent: bool = False) -> None:
        super().__init__(text)
        self.permanent = permanent


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of X-Fastha-Signature."""
    mac = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


class WebhookChannel(WorkerChannel[bytes]):
    """One URL."""

    kind = "webhook"

    def __init__(
        self,
        spec: WebhookSpec,
        loop: asyncio.AbstractEventLoop,
        log: Callable[[str], None],
        *,
        node: str,
        first_retry: float = 1.0,
    ) -> None:
        """Raises ValueError for a URL that is none."""
        super().__init__(_shown(spec.url), loop, log, limit=MAX_QUEUED)
        self.spec = spec
        self._node = node
        self._first_retry = first_retry
        self._sequence = 0
        self._boot = f"{time.time_ns():x}"
        self._url = _checked(spec.url)
        self._context: ssl.SSLContext | None = None
        self._encoder = msgspec.json.Encoder()

    def send(self, event: Event) -> None:
        """Queues an event."""
        if isinstance(event, ServerEvent):
            if not self.spec.servers:
                return
        elif isinstance(event, InstanceEvent) and event.quiet:
            return
        self._sequence += 1
        document = {
            "node": self._node,
            "run": self._boot,
            "sequence": self._sequence,
            **msgspec.to_builtins(event),
        }
        try:
            body = self._encoder.encode(document)
        except UnicodeEncodeError:  # a name that is no UTF-8: JSON has no place for it
            body = json.dumps(document).encode()
        self._put(body)

    async def _deliver(self, item: bytes) -> None:
        delay = self._first_retry
        for attempt in range(1, self.spec.attempts + 1):
            try:
                await asyncio.wait_for(self._post(item), self.spec.timeout)
            except (WebhookError, OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                if isinstance(error, TimeoutError):
                    text = f"no answer within {self.spec.timeout:g} s"
                else:
                    text = str(error) or type(error).__name__
                self._trouble(text, _REMEDY)
                if attempt == self.spec.attempts or self._closing or getattr(error, "permanent", False):
                    self.failed += 1
                    return
                await asyncio.sleep(delay)
                delay = min(MAX_RETRY_S, delay * 2)
            else:
                self._works()
                return

    async def _post(self, body: bytes) -> None:
        url = self._url
        port = url.port or (443 if url.scheme == "https" else 80)
        context = self._tls() if url.scheme == "https" else None
        host = url.hostname or ""
        reader, writer = await asyncio.open_connection(
            host, port, limit=_HEAD_LIMIT, ssl=context, server_hostname=host if context else None
        )
        try:
            writer.write(self._head(len(body), body) + body)
            await writer.drain()
            status = await reader.readuntil(b"\r\n")
            parts = status.split(None, 2)
            if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
                raise WebhookError(f"the answer is no HTTP: {status[:80]!r}", permanent=True)
            code = int(parts[1])
            if not 200 <= code < 300:
                reason = status.decode("latin-1").strip()[:100]
                raise WebhookError(
                    f"answered {reason}", permanent=not (code in (408, 429) or 500 <= code < 600)
                )
        finally:
            writer.close()

    def _head(self, size: int, body: bytes) -> bytes:
        url = self._url
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        timestamp = str(int(time.time()))
        headers = [
            f"POST {target} HTTP/1.1",
            f"Host: {url.netloc.rpartition('@')[2]}",
            f"User-Agent: fastha/{fastha.__version__}",
            "Content-Type: application/json",
            f"Content-Length: {size}",
            "Connection: close",
            f"X-Fastha-Timestamp: {timestamp}",
        ]
        if self.spec.secret:
            headers.append(f"X-Fastha-Signature: {sign(self.spec.secret, timestamp, body)}")
        headers.extend(f"{name}: {value}" for name, value in self.spec.headers)
        return ("\r\n".join(headers) + "\r\n\r\n").encode("latin-1")

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self.spec.ca_file)
        return self._context


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c in url for c in " \r\n\t"):
        raise ValueError(f"webhook {url!r} is no http or https URL")
    return parts


def _shown(url: str) -> str:
    """Without what may be secret: a login, and what follows the path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
