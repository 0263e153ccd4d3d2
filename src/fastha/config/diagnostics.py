"""What is wrong with a configuration, where, and what to do: diagnostics with stable codes.

An error stops the daemon (or refuses a reload), a warning does not: what keepalived ignores with a
message, fastha ignores
with a warning.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from .model import Span

Severity = Literal["error", "warning", "note"]

CODES: dict[str, str] = {
    "FH0001": "The file does not exist or cannot be read.",
    "FH0002": "An include loop, or too many includes.",
    "FH0003": "An included file is missing.",
    "FH0004": "The line is too long, or holds a NUL octet.",
    "FH0005": "A definition is not known, or expands without end.",
    "FH0006": "The file is too large, or is not text.",
    "FH0007": "More problems than are shown.",
    "FH0101": "Unknown keyword.",
    "FH0102": "A word is missing after the keyword.",
    "FH0103": "Not a number.",
    "FH0104": "The number is out of range.",
    "FH0105": "Not an address.",
    "FH0106": "Not a boolean.",
    "FH0107": "Words after the last expected one.",
    "FH0108": "A brace is missing or in excess.",
    "FH0109": "A block was expected, or is not allowed here.",
    "FH0110": "Not one of the allowed words.",
    "FH0111": "Accepted, but its function is not built yet.",
    "FH0112": "Deprecated.",
    "FH0113": "A word that cannot be used as given.",
    "FH0201": "Two instances use the same virtual_router_id on one interface.",
    "FH0202": "Something that an instance needs is missing.",
    "FH0203": "A setting has no effect together with another one.",
    "FH0204": "A name is used that is not defined.",
    "FH0205": "A name is defined twice.",
    "FH0206": "An address is used twice.",
    "FH0207": "A value was adjusted.",
    "FH0208": "A virtual server without real servers, or a real server without a check.",
    "FH0209": "Address families that do not fit together.",
    "FH0210": "A quorum that cannot be reached.",
    "FH0214": "A route that is not tracked.",
    "FH0215": "A rule without a preference.",
    "FH0213": "Works, but is unusual enough to be a mistake.",
    "FH0301": "A tracked failure that can never move the address.",
    "FH0302": "nopreempt keeps the address where something has failed.",
    "FH0303": "The priority saturates: some weights have no effect.",
    "FH0304": "Strict mode drops the traffic to the addresses.",
    "FH0305": "The address owner's priority never changes.",
    "FH0306": "Equal priorities.",
    "FH0307": "The routers of a virtual router do not agree.",
    "FH0309": "A positive weight decides who is master.",
    "FH0310": "The routers list different addresses.",
    "FH0311": "A failure is noticed late.",
    "FH0312": "Nothing is tracked.",
    "FH0313": "A password that protects nothing.",
    "FH0401": "A program that may not or cannot run here.",
    "FH0402": "A program that runs, but not safely.",
    "FH0403": "An interface that is not here.",
    "FH0404": "A file or directory that is not here.",
}


def printable(text: str) -> str:
    """Without what a terminal would obey, and without octets that are no text."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


_SECRET = re.compile(
    r"(?<!\S)(auth_pass|password|key|fastha_tls_password|fastha_smtp_login|fastha_webhook|fastha_lvs_share)\s+[^}]*"
)


def masked(line: str) -> str:
    """A line as it may be shown and logged: stars for passwords and keys."""
    return _SECRET.sub(r"\1 ********", line)


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One problem."""

    severity: Severity
    code: str
    message: str
    span: Span
    line_text: str = ""
    expected: str = ""
    suggestion: str = ""

    def render(self) -> str:
        """For people: place, message, the line with a caret, what was expected, a suggestion."""
        text = f"{self.span}: {self.severity}: {self.message} [{self.code}]"
        if self.line_text:
            shown = self.line_text.replace("\t", " ")[:200]
            text += f"\n    {shown}\n    {' ' * (self.span.column - 1)}^"
        if self.expected:
            text += f"\n    expected: {self.expected}"
        if self.suggestion:
            text += f"\n    {self.suggestion}"
        return printable(text)


class Reporter:
    """Collects diagnostics; at most so many, that a broken file does not drown its first problem. Errors
    always count, also those that are no longer shown."""

    MOST = 500

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self.left_out = 0
        self._shown = {"error": 0, "warning": 0, "note": 0}
        self._failed = False

    def add(
        self,
        severity: Severity,
        code: str,
        message: str,
        span: Span,
        line_text: str = "",
        expected: str = "",
        suggestion: str = "",
    ) -> None:
        """Notes a problem."""
        self._failed = self._failed or severity == "error"
        if self._shown[severity] >= self.MOST:
            self.left_out += 1
        else:
            self._shown[severity] += 1
            self.found.append(
                Diagnostic(
                    severity=severity,
                    code=code,
                    message=message,
                    span=span,
                    line_text=masked(line_text),
                    expected=expected,
                    suggestion=suggestion,
                )
            )

    def tell_left_out(self, where: Span) -> None:
        """Says how many problems are not shown."""
        text = f"{self.left_out} more problems are not shown: put the first ones right"
        self.found.append(Diagnostic(severity="warning", code="FH0007", message=text, span=where))

    @property
    def failed(self) -> bool:
        """Whether there is an error."""
        return self._failed


_NAME_LONGEST = 80


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt word; empty when nothing is near."""
    return _near(word, tuple(known)) if len(word) <= _NAME_LONGEST else ""


@functools.lru_cache(maxsize=1024)
def _near(word: str, known: tuple[str, ...]) -> str:
    import difflib  # noqa: PLC0415  (10 ms that a file without mistakes need not pay at start)

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else ""
