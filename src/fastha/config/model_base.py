"""What every part of the model is made of: places in a file, commands, addresses, units."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import msgspec

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
SECOND_NS = 1_000_000_000


class Span(msgspec.Struct, frozen=True, eq=False):
    """Where something stands: file, line and column, from 1.

    All places are equal: a line that moved is no change of what it says.
    """

    file: str
    line: int
    column: int = 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span)

    def __hash__(self) -> int:
        return 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Shared(msgspec.Struct, frozen=True):
    """What many things have in common, in a struct of its own so that they can share one in memory.

    Whoever is told of a thing is told these fields as the thing's own.
    """


def fields_of(thing: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """The fields of a struct by name, those that it shares with others among them."""
    for name in thing.__struct_fields__:
        value = getattr(thing, name)
        if isinstance(value, Shared):
            yield from fields_of(value)
        else:
            yield name, value


class Command(msgspec.Struct, frozen=True):
    """A program to run: its words, never a shell's."""

    argv: tuple[str, ...]
    user: str | None = None
    group: str | None = None
    supplementary: bool = False
    text: str = ""
    """As it was written."""
