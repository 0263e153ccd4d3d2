"""Addresses, routes and rules: their lines, read as `ip` reads them (keepalived.conf(5), ip-address(8) and
so on)."""

from __future__ import annotations

import ipaddress
from typing import Any

from .lexer import Word
from .model import Address, AddressOptions, Encap, Metric, NextHop, Route, Rule
from .reader import Reader

_ROUTE_TYPES = (
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "throw",
    "unreachable",
    "prohibit",
    "blackhole",
    "nat",
)
_LABEL_MOST = 15
_LOCKABLE = ("mtu", "advmss", "rtt", "rttvar", "reordering", "cwnd", "ssthresh", "rto_min", "congctl")
_PLAIN = ("hoplimit", "window", "initcwnd", "initrwnd", "quickack", "fastopen_no_cookie")
_ENCAP_WORDS = {
    "ip": ("id", "dst", "src", "tos", "ttl", "flags"),
    "ip6": ("id", "dst", "src", "tc", "hoplimit", "flags"),
}


def _text(words: list[Word]) -> str:
    return " ".join(w.text for w in words)


class _Cursor:
    """Walks over words; what is missing is reported once."""

    def __init__(self, reader: Reader, words: list[Word], at: int = 0, *, fatal: bool = False) -> None:
        """`fatal`: a missing word is an error, as keepalived ends for it in routes and rules."""
        self._fatal = fatal
        self.reader = reader
        self.words = words
        self.at = at

    def more(self) -> bool:
        return self.at < len(self.words)

    def next(self) -> Word:
        self.at += 1
        return self.words[self.at - 1]

    def value(self, of: Word) -> Word | None:
        """The word after a keyword; None (reported) when it is missing."""
        if self.more():
            return self.next()
        tell = self.reader.error if self._fatal else self.reader.warn
        tell(of, "FH0102", f"{of.text}: a word is missing after it")
        return None

    def ip(self, of: Word) -> Any:
        """An address, perhaps after inet or inet6."""
        word = self.value(of)
        if word is not None and word.text in ("inet", "inet6"):
            word = self.value(of)
        return self.reader.address(word, of.text) if word is not None else None

    def integer(self, of: Word, low: float = 0, high: float = 4294967295) -> int | None:
        word = self.value(of)
        return self.reader.integer(word, low, high, of.text) if word is not None else None


def read_address(reader: Reader, words: list[Word]) -> Address | None:
    """A line of virtual_ipaddress and its kin; None when the address itself is none (reported)."""
    first = words[0]
    text, _, length = first.text.partition("/")
    address = reader.address(Word(text, first.span, first.line_text), "address")
    if address is None:
        return None
    prefixlen: int = address.max_prefixlen
    if length:
        found = reader.integer(
            Word(length, first.span, first.line_text), 0, address.max_prefixlen, "mask length"
        )
        prefixlen = found if found is not None else prefixlen
    values: dict[str, Any] = {}
    cursor = _Cursor(reader, words, 1)
    while cursor.more():
        word = cursor.next()
        name = word.text
        if name in ("dev", "scope", "label", "track_group"):
            value = cursor.value(word)
            if value is None:
                continue
            if name == "label" and len(value.text) > _LABEL_MOST:
                text = (
                    f"label {value.text!r} is longer than {_LABEL_MOST} characters; the address is left out"
                )
                reader.warn(value, "FH0104", text)
                return None
            values[name] = value.text
        elif name in ("broadcast", "brd"):
            value = cursor.value(word)
            if value is not None and (value.text in "+-" or reader.address(value, name) is not None):
                values["broadcast"] = value.text
        elif name == "peer":
            value = cursor.value(word)
            if value is not None:
                peer, _, size = value.text.partition("/")
                values["peer"] = reader.address(Word(peer, value.span, value.line_text), name)
                values["peer_prefixlen"] = int(size) if size.isdigit() else None
        elif name in ("home", "mngtmpaddr", "noprefixroute", "autojoin", "no_track", "use_vmac"):
            values[name] = True
        elif name in ("-nodad", "nodad"):
            values["nodad"] = True
        elif name == "preferred_lft":
            value = cursor.value(word)
            if value is not None:
                forever = value.text == "forever"
                values["preferred_lft_s"] = -1 if forever else reader.integer(value, 0, 4294967295, name)
        elif name in (
            "secondary",
            "temporary",
            "deprecated",
            "dadfailed",
            "tentative",
            "permanent",
            "dynamic",
        ):
            reader.warn(word, "FH0113", f"{name} is the kernel's to say; it is ignored")
        else:
            reader.warn(word, "FH0101", f"{name!r} is no option of an address; it is ignored")
    text = _text(words)
    return Address(
        address=address,
        prefixlen=prefixlen,
        options=AddressOptions(**values),
        text=text if text != f"{address}/{prefixlen}" else "",
        span=first.span,
    )


def read_route(reader: Reader, words: list[Word]) -> Route | None:
    """A line of virtual_routes or static_routes; None when it has no destination (reported)."""
    cursor = _Cursor(reader, words, fatal=True)
    values: dict[str, Any] = {}
    metrics: list[Metric] = []
    features: list[str] = []
    hops: list[NextHop] = []
    destination: Word | None = None
    family: int | None = None
    while cursor.more():
        word = cursor.next()
        name = word.text
        if name in ("to", "as"):
            continue
        if name in ("inet", "inet6"):
            family = 2 if name == "inet" else 10
        elif name in _ROUTE_TYPES:
            values["type"] = name
        elif name == "src":
            values["source"] = cursor.ip(word)
        elif name == "from":
            value = cursor.value(word)
            values["from_"] = value.text if value is not None else None
        elif name in ("via", "gw"):
            values["via"] = cursor.ip(word)
        elif name == "or":
            second = cursor.ip(word)
            if second is not None and values.get("via") is not None:
                hops = [NextHop(via=values.pop("via")), NextHop(via=second)]
        elif name in ("dev", "oif"):
            value = cursor.value(word)
            values["dev"] = value.text if value is not None else None
        elif name in ("table", "protocol", "scope", "realms", "pref", "vrf"):
            value = cursor.value(word)
            values[name] = value.text if value is not None else None
        elif name in ("tos", "dsfield"):
            value = cursor.value(word)
            values["tos"] = value.text if value is not None else None
        elif name in ("metric", "priority", "preference"):
            values["metric"] = cursor.integer(word)
        elif name == "onlink":
            values["onlink"] = True
        elif name == "encap":
            values["encap"] = _encap(cursor, word)
        elif name == "expires":
            values["expires_s"] = cursor.integer(word)
        elif name in _LOCKABLE or name in _PLAIN:
            value = cursor.value(word)
            lock = value is not None and value.text == "lock" and name in _LOCKABLE
            if lock:
                value = cursor.value(word)
            if value is not None:
                metrics.append(Metric(name, value.text, lock))
        elif name == "features":
            value = cursor.value(word)
            if value is not None:
                features.append(value.text)
        elif name == "ttl-propagate":
            value = cursor.value(word)
            values["ttl_propagate"] = value is not None and value.text == "enabled"
        elif name in ("add", "prepend", "append"):
            values["position"] = name
        elif name == "no_track":
            values["no_track"] = True
        elif name == "track_group":
            value = cursor.value(word)
            values["track_group"] = value.text if value is not None else None
        elif name == "nexthop":
            hops = _next_hops(cursor)
        elif destination is None:
            destination = word
        else:
            reader.warn(word, "FH0101", f"{name!r} is no option of a route; it is ignored")
    if destination is None:
        reader.warn(words[0], "FH0102", "the route has no destination; it is ignored")
        return None
    target = destination.text
    if target in ("default", "any", "all", "default6"):
        family = family or (10 if target == "default6" else None)
        target = "default"
    else:
        try:
            network = ipaddress.ip_network(target, strict=False)
        except ValueError:
            reader.warn(destination, "FH0105", f"{target!r} is no destination; the route is ignored")
            return None
        family = 2 if network.version == 4 else 10
    if family is None:
        hint = (
            values.get("via")
            or values.get("source")
            or next((h.via for h in hops if h.via is not None), None)
        )
        family = 10 if hint is not None and hint.version == 6 else 2
    values = {k: v for k, v in values.items() if v is not None}
    if "dev" not in values and "no_track" not in values:
        text = f"route {target}: without dev it is not tracked (what removes it is not noticed by its link)"
        reader.warn(words[0], "FH0214", text, suggestion="say dev INTERFACE, or no_track")
    return Route(
        destination=target,
        family=family,
        metrics=tuple(metrics),
        features=tuple(features),
        nexthops=tuple(hops),
        text=_text(words),
        span=words[0].span,
        **values,
    )


def _encap(cursor: _Cursor, of: Word) -> Encap | None:
    kind = cursor.value(of)
    if kind is None:
        return None
    if kind.text in ("mpls", "ila"):
        value = cursor.value(kind)
        return Encap(kind=kind.text, options=(("value", value.text),)) if value is not None else None
    known = _ENCAP_WORDS.get(kind.text)
    if known is None:
        cursor.reader.warn(kind, "FH0110", f"encap {kind.text!r} is not known", "ip, ip6, mpls or ila")
        return None
    options: list[tuple[str, str]] = []
    while cursor.more() and cursor.words[cursor.at].text in known:
        name = cursor.next()
        value = cursor.value(name)
        if value is not None:
            options.append((name.text, value.text))
    return Encap(kind=kind.text, options=tuple(options))


def _next_hops(cursor: _Cursor) -> list[NextHop]:
    hops: list[NextHop] = []
    values: dict[str, Any] = {}
    while cursor.more():
        word = cursor.next()
        name = word.text
        if name == "nexthop":
            hops.append(NextHop(**values))
            values = {}
        elif name in ("via", "gw"):
            values["via"] = cursor.ip(word)
        elif name in ("dev", "oif"):
            value = cursor.value(word)
            values["dev"] = value.text if value is not None else None
        elif name == "weight":
            values["weight"] = cursor.integer(word, 1, 256) or 1
        elif name == "onlink":
            values["onlink"] = True
        elif name == "realms":
            value = cursor.value(word)
            values["realms"] = value.text if value is not None else None
        elif name == "encap":
            values["encap"] = _encap(cursor, word)
        else:
            cursor.reader.warn(word, "FH0101", f"{name!r} is no option of a next hop; it is ignored")
    hops.append(NextHop(**values))
    return hops


def read_rule(reader: Reader, words: list[Word]) -> Rule | None:
    """A line of virtual_rules or static_rules; None when it does nothing (reported)."""
    cursor = _Cursor(reader, words, fatal=True)
    values: dict[str, Any] = {}
    acts = False
    while cursor.more():
        word = cursor.next()
        name = word.text
        if name in ("inet", "inet6"):
            values["family"] = 2 if name == "inet" else 10
        elif name in ("from", "to"):
            value = cursor.value(word)
            if value is not None and value.text not in ("all", "any", "default"):
                try:
                    network = ipaddress.ip_network(value.text, strict=False)
                except ValueError:
                    reader.warn(value, "FH0105", f"{name}: {value.text!r} is no prefix; the rule is ignored")
                    return None
                values["from_" if name == "from" else "to"] = value.text
                values["family"] = 2 if network.version == 4 else 10
        elif name == "not":
            values["invert"] = True
        elif name in ("table", "lookup"):
            value = cursor.value(word)
            values["table"] = value.text if value is not None else None
            acts = True
        elif name in ("preference", "order", "priority"):
            values["priority"] = cursor.integer(word)
        elif name in ("tos", "dsfield"):
            value = cursor.value(word)
            values["tos"] = value.text if value is not None else None
        elif name in ("fwmark", "realms", "oif", "protocol"):
            value = cursor.value(word)
            values[name] = value.text if value is not None else None
        elif name in ("ipproto", "ip_proto"):
            value = cursor.value(word)
            values["ipproto"] = value.text if value is not None else None
        elif name in ("suppress_prefixlength", "sup_pl"):
            values["suppress_prefixlength"] = cursor.integer(word, 0, 128)
        elif name in ("suppress_ifgroup", "sup_group"):
            value = cursor.value(word)
            values["suppress_ifgroup"] = value.text if value is not None else None
        elif name in ("dev", "iif"):
            value = cursor.value(word)
            values["iif"] = value.text if value is not None else None
        elif name == "tunnel-id":
            values["tunnel_id"] = cursor.integer(word, 0, 2**64 - 1)
        elif name in ("uidrange", "sport", "dport"):
            values[name] = _pair(cursor, word)
        elif name == "l3mdev":
            values["l3mdev"] = True
            acts = True
        elif name == "goto":
            values["action"], values["goto"] = "goto", cursor.integer(word)
            acts = True
        elif name == "type":
            continue
        elif name in ("unicast", "blackhole", "unreachable", "prohibit", "nop"):
            values["action"] = name
            acts = True
        elif name == "no_track":
            values["no_track"] = True
        elif name == "track_group":
            value = cursor.value(word)
            values["track_group"] = value.text if value is not None else None
        else:
            reader.warn(word, "FH0101", f"{name!r} is no option of a rule; it is ignored")
    if not acts:
        reader.warn(words[0], "FH0102", "the rule has no action (table, goto, blackhole...); it is ignored")
        return None
    values = {k: v for k, v in values.items() if v is not None}
    if "priority" not in values:
        text = "the rule has no preference; the kernel's order is hardly what is meant"
        reader.warn(words[0], "FH0215", text, suggestion="say preference NUMBER")
    return Rule(text=_text(words), span=words[0].span, **values)


def _pair(cursor: _Cursor, of: Word) -> tuple[int, int] | None:
    word = cursor.value(of)
    if word is None:
        return None
    low, _, high = word.text.partition("-")
    if not low.isdigit() or (high and not high.isdigit()):
        cursor.reader.warn(word, "FH0103", f"{of.text}: {word.text!r} is not A-B", expected="A-B")
        return None
    return int(low), int(high or low)
