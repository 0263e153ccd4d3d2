"""A page of HTTP_GET: reading the answer as it comes, and judging it. Pure but for the regex library.

The body is taken as it stands on the wire, up to Content-Length: digests are those of genhash. Only a JSON
body
is put together from chunks first. RFC 9112.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from fastha.config.model_lvs import HttpUrl
from fastha.lvs.checkers.pcre import Pattern, PatternError

MAX_HEADER = 65536
#: A body that is to be searched is kept up to this size.
MAX_KEPT = 4 << 20
#: Of a body that nobody looks at, so much is taken politely before the connection is closed.
POLITE = 256 << 10


class PageError(Exception):
    """Why an answer is none."""


class Reader:
    """Takes the octets of one answer; `complete` when it is all there."""

    __slots__ = (
        "_buffer",
        "_digest",
        "_wanted",
        "body",
        "chunked",
        "complete",
        "length",
        "location",
        "size",
        "status",
    )

    def __init__(self, *, digest: bool, keep: bool) -> None:
        self.status = 0
        self.length: int | None = None
        self.chunked = False
        self.location = ""
        self.body: bytearray | None = bytearray() if keep else None
        self.size = 0
        self.complete = False
        self._buffer = b""
        self._wanted = digest or keep
        self._digest = hashlib.md5(usedforsecurity=False) if digest else None

    @property
    def digest(self) -> str:
        """MD5 of the body so far."""
        return "" if self._digest is None else self._digest.hexdigest()

    def feed(self, data: bytes) -> None:
        """More octets. Raises PageError for what is no HTTP."""
        if not self.status:
            self._buffer += data
            data = self._header()
        if self.status and not self.complete:
            self._body(data)

    def _header(self) -> bytes:
        """Looks for the end of the header; what follows it is body."""
        while True:
            if not b"HTTP/".startswith(self._buffer[:5]) and not self._buffer.startswith(b"HTTP/"):
                said = self._buffer[:32].decode("ascii", "replace").strip()
                raise PageError(f"does not speak HTTP: it said '{said}'")
            found = re.search(rb"\r?\n\r?\n", self._buffer)
            if found is None:
                if len(self._buffer) > MAX_HEADER:
                    raise PageError(f"its header is longer than {MAX_HEADER} octets")
                return b""
            lines = self._buffer[: found.start()].split(b"\n")
            rest = self._buffer[found.end() :]
            status = re.match(rb"HTTP/\S+ +(\d{3})(?:\D|$)", lines[0].strip())
            if status is None:
                raise PageError(f"its status line is '{lines[0].strip()[:64].decode('ascii', 'replace')}'")
            code = int(status[1])
            if 100 <= code < 200:  # the real answer is to come
                self._buffer = rest
                if not rest:
                    return b""
                continue
            self._buffer = b""
            self._fields(lines[1:])
            self.status = code
            if code in (204, 304) or self.length == 0:
                self.complete = True
            return rest

    def _fields(self, lines: list[bytes]) -> None:
        for line in lines:
            name, _, value = line.partition(b":")
            field = name.strip().lower()
            if field == b"content-length" and value.strip().isdigit():
                self.length = int(value.strip()[:18])
            elif field == b"transfer-encoding" and b"chunked" in value.lower():
                self.chunked = True
            elif field == b"location":
                self.location = value.strip()[:128].decode("ascii", "replace")
        if self.chunked:
            self.length = None

    def _body(self, data: bytes) -> None:
        if self.length is not None:
            data = data[: self.length - self.size]
        self.size += len(data)
        if self._digest is not None:
            self._digest.update(data)
        if self.body is not None:
            if len(self.body) + len(data) > MAX_KEPT:
                raise PageError(f"its body is longer than the {MAX_KEPT >> 20} MiB that are searched")
            self.body += data
        if (self.length is not None and self.size >= self.length) or (
            not self._wanted and self.size > POLITE
        ):
            self.complete = True


def unchunk(body: bytes) -> bytes:
    """The contents of a chunked body; what is malformed ends it."""
    out, at = bytearray(), 0
    while (line := body.find(b"\r\n", at)) >= 0:
        try:
            size = int(body[at:line].split(b";")[0], 16)
        except ValueError:
            break
        if size <= 0:
            break
        out += body[line + 2 : line + 2 + size]
        at = line + 2 + size + 2
    return bytes(out)


def json_field(document: object, path: str) -> object:
    """The field at `a.b[0].c`. Raises PageError when there is none."""
    here = document
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if index and isinstance(here, list) and int(index) < len(here):
            here = here[int(index)]
        elif name and isinstance(here, dict) and name in here:
            here = here[name]
        else:
            raise PageError(f"the JSON has no field {path}")
    return here


class Judge:
    """What a page must be, made ready once. Raises PatternError for a regex that is none."""

    __slots__ = ("pattern", "url")

    def __init__(self, url: HttpUrl) -> None:
        self.url = url
        self.pattern = Pattern(url.regex, url.regex_options) if url.regex is not None else None

    def reader(self) -> Reader:
        """A reader that keeps what will be looked at."""
        url = self.url
        return Reader(
            digest=url.digest is not None, keep=self.pattern is not None or url.json_path is not None
        )

    def status_problem(self, reader: Reader) -> str:
        """What is wrong with the status, or nothing."""
        wanted = self.url.status_codes
        if any(low <= reader.status <= high for low, high in wanted):
            return ""
        text = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in wanted)
        to = f" (to {reader.location}; redirections are not followed)" if reader.location else ""
        return f"status {reader.status}{to}, not {text}"

    def problem(self, reader: Reader) -> str:
        """What is wrong with the whole page, or nothing."""
        url = self.url
        if not reader.status:
            return "the answer ended before its header did"
        if text := self.status_problem(reader):
            return text
        if url.digest is not None and reader.digest != url.digest:
            return f"digest {reader.digest}, not {url.digest}"
        body = bytes(reader.body or b"")
        if self.pattern is not None and (text := self._regex_problem(self.pattern, body)):
            return text
        if url.json_path is not None:
            return self._json_problem(unchunk(body) if reader.chunked else body, url.json_path)
        return ""

    def _regex_problem(self, pattern: Pattern, body: bytes) -> str:
        url = self.url
        try:
            at = pattern.search(body, url.regex_min_offset)
        except PatternError as error:
            return str(error)
        found = at is not None and (url.regex_max_offset is None or at <= url.regex_max_offset)
        if found == url.regex_no_match:
            return f"regex '{url.regex}' was found" if found else f"regex '{url.regex}' was not found"
        return ""

    def _json_problem(self, body: bytes, path: str) -> str:
        try:
            value = json_field(msgspec.json.decode(body), path)
        except (PageError, msgspec.DecodeError) as error:
            return f"JSON: {error}"
        if self.url.json_value is None:
            return ""
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return "" if text == self.url.json_value else f"{path} is {text[:64]}, not {self.url.json_value}"
