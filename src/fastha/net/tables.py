"""iproute2's names for numbers: routing tables, scopes, protocols, dsfields, realms, link groups.

What this is for: a configuration may say ``table small`` or ``scope link``; the kernel wants numbers. Files
are read when first asked for, once. ip-route(8), FILES; keepalived.conf(5) iproute_usr_dir and
iproute_etc_dir.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ETC = Path("/etc/iproute2")
USR = (Path("/usr/share/iproute2"), Path("/usr/lib/iproute2"))

_BUILT_IN: dict[str, dict[str, int]] = {
    "rt_tables": {"unspec": 0, "default": 253, "main": 254, "local": 255},
    "rt_scopes": {"global": 0, "nowhere": 255, "host": 254, "link": 253, "site": 200},
    "rt_protos": {
        "unspec": 0,
        "none": 0,
        "redirect": 1,
        "kernel": 2,
        "boot": 3,
        "static": 4,
        "gated": 8,
        "ra": 9,
        "mrt": 10,
        "zebra": 11,
        "bird": 12,
        "babel": 42,
        "dnrouted": 13,
        "xorp": 14,
        "ntk": 15,
        "dhcp": 16,
        "keepalived": 18,
        "bgp": 186,
        "isis": 187,
        "ospf": 188,
        "rip": 189,
        "eigrp": 192,
    },
    "rt_dsfield": {},
    "rt_realms": {"unknown": 0},
    "group": {"default": 0},
}
_MOST = {
    "rt_tables": 0xFFFFFFFF,
    "rt_scopes": 255,
    "rt_protos": 255,
    "rt_dsfield": 255,
    "rt_realms": 0xFFFF,
    "group": 0x7FFFFFFF,
}
_WORD = {
    "rt_tables": "table",
    "rt_scopes": "scope",
    "rt_protos": "protocol",
    "rt_dsfield": "dsfield",
    "rt_realms": "realm",
    "group": "link group",
}


class UnknownNameError(ValueError):
    """A name that no table has, or a number out of range: says which files were looked at."""


class NameTables:
    """The tables of one pair of directories; ``usr`` and ``etc`` None mean the usual ones.

    What is in the ``etc`` directory wins over ``usr``, and both over the names every iproute2 knows; in
    each, the files of NAME.d are read after NAME.
    """

    def __init__(self, usr: str | Path | None = None, etc: str | Path | None = None) -> None:
        self._directories: Sequence[Path] = (
            *((Path(usr),) if usr is not None else USR),
            Path(etc) if etc is not None else ETC,
        )
        self._read: dict[str, dict[str, int]] = {}

    def _table(self, which: str) -> dict[str, int]:
        known = self._read.get(which)
        if known is None:
            known = dict(_BUILT_IN[which])
            for directory in self._directories:
                extra = sorted((directory / f"{which}.d").glob("*.conf"))
                for path in (directory / which, *extra):
                    known.update(_entries(path))
            self._read[which] = known
        return known

    def number(self, which: str, name: str | int) -> int:
        """The number of a name; a number (also as text, 0x too) stands for itself.

        ``which``: rt_tables, rt_scopes, rt_protos, rt_dsfield, rt_realms, group. Raises
        :exc:`UnknownNameError`.
        """
        if isinstance(name, str):
            found = self._table(which).get(name)
            if found is not None:
                return found
            try:
                # Unlike ip-route(8), keepalived takes a dsfield without 0x as decimal.
                number = int(name, 0)
            except ValueError:
                looked = ", ".join(str(directory / which) for directory in self._directories)
                raise UnknownNameError(
                    f"unknown {_WORD[which]} {name!r}: neither a number nor in {looked}"
                ) from None
        else:
            number = name
        if not 0 <= number <= _MOST[which]:
            raise UnknownNameError(f"{_WORD[which]} {name} is out of range: 0 to {_MOST[which]}")
        return number

    def name(self, which: str, number: int) -> str:
        """A name for a number, for people; the number when it has none."""
        return next((name for name, value in self._table(which).items() if value == number), str(number))


def _entries(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        words = line.split("#", 1)[0].split()
        if len(words) < 2:
            continue
        try:
            found[words[1]] = int(words[0], 0)
        except ValueError:
            continue
    return found
