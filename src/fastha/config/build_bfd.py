"""From what the blocks say to the model of BFD sessions; keepalived's rules applied and told."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, get_args

from .lexer import Word
from .model import BfdAuto
from .model_bfd import BfdAuth, BfdAuthType, BfdInstance, BfdKey, BfdUnsolicited, SbfdReflector
from .reader import Block, Reader
from .tree import Statement

_LONGEST = {"simple": 16, "keyed-md5": 16, "meticulous-keyed-md5": 16}
_NAME_MOST = 31
_HOPS_V6 = 255 - 64
"""keepalived sends IPv6 packets with hop limit 64 unless told otherwise, and so they must be taken."""


def _us(nanoseconds: int) -> int:
    return nanoseconds // 1000


class BfdBuilder:
    """Builds the sessions of one configuration."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._seen: dict[Any, str] = {}

    def instance(self, name: str, block: Block) -> BfdInstance | None:
        """bfd_instance; None when it has no neighbour (reported; keepalived disables it, too)."""
        reader, at = self.reader, block.statement
        assert at is not None
        if len(name) > _NAME_MOST:
            text = f"bfd_instance {name}: the name is longer than {_NAME_MOST} characters; it is left out"
            reader.warn(at.words[1], "FH0113", text)
            return None
        word = block.order("neighbor_ip", "neighbour_ip")
        neighbor = block.get(word) if word is not None else None
        if neighbor is None:
            text = f"bfd_instance {name} has no neighbor_ip; it is left out"
            reader.warn(at, "FH0202", text, "neighbor_ip ADDRESS")
            return None
        source = block.get("source_ip")
        if source is not None and source.version != neighbor.version:
            where = block.where("source_ip") or at
            text = f"bfd_instance {name}: source_ip is of another family than the neighbour; it is left out"
            reader.warn(where, "FH0105", text)
            return None
        interface = block.get("interface")
        key = (neighbor, source, interface, bool(block.get("multihop", False)))
        if key in self._seen:
            text = f"bfd_instance {name} has the neighbour of {self._seen[key]}, too; it is left out"
            reader.warn(at, "FH0205", text)
            return None
        self._seen[key] = name
        if neighbor.version == 6 and neighbor.is_link_local and interface is None:
            text = f"bfd_instance {name}: a link-local neighbour needs an interface"
            reader.warn(at, "FH0202", text, suggestion="say `interface NAME` (fastha's own keyword)")
        self._mixes(name, block, at)
        multiplier = block.get("multiplier", 5)
        if multiplier > 10:
            reader.warn(block.where("multiplier") or at, "FH0213", f"{name}: multiplier {multiplier} is high")
        for interval in ("min_rx", "min_tx", "idle_tx"):
            if block.get(interval, 0) > 10_000_000_000:
                where = block.where(interval) or at
                reader.warn(where, "FH0213", f"{name}: {interval} is over 10 seconds")
        ttl_word = block.order("ttl", "hoplimit")
        max_hops = self._hops(block, neighbor.version, ttl_word)
        weight, reverse = reader.weight(block.get("weight", ()), 253, 0)
        either = block.has("vrrp") or block.has("checker")
        return BfdInstance(
            name=name,
            neighbor=neighbor,
            source=source,
            interface=interface,
            min_rx_us=_us(block.get("min_rx", 10_000_000)),
            min_tx_us=_us(block.get("min_tx", 10_000_000)),
            idle_tx_us=_us(block.get("idle_tx", 1_000_000_000)),
            multiplier=multiplier,
            passive=block.get("passive", False),
            ttl=block.get(ttl_word) if ttl_word is not None else 255,
            max_hops=max_hops,
            multihop=block.get("multihop", False),
            weight=weight,
            reverse=reverse,
            to_vrrp=block.has("vrrp") or not either,
            to_checker=block.has("checker") or not either,
            auth=self.auth(name, block.get("authentication")),
            echo_tx_us=_us(block.get("echo_tx", 0)),
            min_echo_rx_us=_us(block.get("min_echo_rx", 0)),
            unaffiliated_echo=block.get("unaffiliated_echo", False),
            demand=block.get("demand", False),
            demand_poll_us=_us(block.get("demand_poll", 0)),
            padded=block.get("pad_to", 0),
            sbfd_discr=block.get("sbfd", 0),
            notify=block.get("notify"),
            notify_up=block.get("notify_up"),
            notify_down=block.get("notify_down"),
            span=at.span,
        )

    def _mixes(self, name: str, block: Block, at: Statement) -> None:
        """What RFC 5883 3, RFC 7880 and RFC 9747 do not allow together. Errors: half of it would be no
        session."""
        multihop = bool(block.get("multihop", False))
        looped = bool(block.get("unaffiliated_echo", False))
        echo = looped or bool(block.get("echo_tx", 0)) or bool(block.get("min_echo_rx", 0))
        if multihop and echo:
            self.reader.error(at, "FH0203", f"{name}: there is no Echo over several hops (RFC 5883 3)")
        if block.has("sbfd") and (echo or block.get("passive", False)):
            text = f"{name}: an S-BFD initiator is active and has no Echo (RFC 7880 7.3)"
            self.reader.error(at, "FH0203", text)
        if looped and block.has("authentication"):
            text = f"{name}: unaffiliated_echo carries no authentication (RFC 9747 3)"
            self.reader.error(at, "FH0203", text)
        if multihop and block.get("interface") is not None:
            where = block.where("interface") or at
            self.reader.warn(where, "FH0203", f"{name}: a multihop session is not bound to a link")

    @staticmethod
    def _hops(block: Block, version: int, ttl_word: str | None) -> int:
        hops: int = block.get("max_hops", 0)
        if hops in (-1, 255):
            return -1
        if version == 6 and ttl_word is None:
            return min(hops + _HOPS_V6, 254)
        return hops

    def reflector(self, statement: Statement | None) -> SbfdReflector | None:
        """sbfd_reflector { ... }; None without a discriminator (reported)."""
        if statement is None:
            return None
        block = self.reader.block(statement.block or [], "sbfd_reflector", statement)
        discriminators = tuple(dict.fromkeys(block.all("discriminator")))
        if not discriminators:
            text = "sbfd_reflector has no discriminator; it is left out"
            self.reader.warn(statement, "FH0202", text, "discriminator NUMBER")
            return None
        return SbfdReflector(
            discriminators=discriminators,
            min_rx_us=_us(block.get("min_rx", 1_000_000_000)),
            admin_down=block.get("admin_down", False),
            auth=self.auth("sbfd_reflector", block.get("authentication")),
            span=statement.span,
        )

    def unsolicited(self, name: str, block: Block) -> BfdUnsolicited:
        """bfd_unsolicited INTERFACE { ... }."""
        prefixes: list[str] = []
        for word in (w for lines in block.all("neighbors") for words in lines for w in words):
            try:
                prefixes.append(str(ip_network(word.text, strict=False)))
            except ValueError:
                text = f"bfd_unsolicited {name}: {word.text!r} is no prefix; it is left out"
                self.reader.warn(word, "FH0105", text, "ADDRESS/LENGTH")
        if block.has("neighbors") and not prefixes and block.statement is not None:
            text = f"bfd_unsolicited {name}: neighbors names no prefix; none would mean everybody on the link"
            self.reader.error(block.statement, "FH0202", text, "ADDRESS/LENGTH")
        return BfdUnsolicited(
            interface=name,
            prefixes=tuple(prefixes),
            min_rx_us=_us(block.get("min_rx", 50_000_000)),
            min_tx_us=_us(block.get("min_tx", 50_000_000)),
            multiplier=block.get("multiplier", 3),
            most=block.get("max_sessions", 64),
            auth=self.auth(name, block.get("authentication")),
            span=block.statement.span if block.statement is not None else None,
        )

    def auth(self, name: str, statement: Statement | None) -> BfdAuth | None:
        """The authentication block. A block without a usable key is an error: it must not mean none."""
        if statement is None:
            return None
        block = self.reader.block(statement.block or [], "bfd_authentication", statement)
        keys: list[BfdKey] = []
        for words in block.all("key"):
            key = self._key(name, words)
            if key is not None and key.key_id in {k.key_id for k in keys}:
                self.reader.warn(words[0], "FH0205", f"{name}: there is a key {key.key_id} already")
            elif key is not None:
                keys.append(key)
        if not keys:
            self.reader.error(statement, "FH0202", f"{name}: authentication has no usable key")
            return None
        active = block.get("active_key", keys[0].key_id)
        if active not in {k.key_id for k in keys}:
            where = block.where("active_key") or statement
            self.reader.error(where, "FH0204", f"{name}: active_key {active} is not among the keys")
            return None
        return BfdAuth(keys=tuple(keys), active_key=active, optional=block.get("optional", False))

    def _key(self, name: str, words: tuple[Word, ...]) -> BfdKey | None:
        if len(words) != 3:
            self.reader.error(words[0], "FH0102", f"{name}: a key is ID TYPE SECRET")
            return None
        key_id = self.reader.integer(words[0], 0, 255, "key id")
        kinds = get_args(BfdAuthType)
        if words[1].text not in kinds:
            self.reader.error(
                words[1], "FH0110", f"{name}: {words[1].text!r} is no type of key", ", ".join(kinds)
            )
            return None
        secret = self.reader.secret(words[2])
        longest = _LONGEST.get(words[1].text, 20)
        if key_id is None or secret is None:
            return None
        if not 1 <= len(secret) <= longest:
            text = f"{name}: the secret of key {key_id} has {len(secret)} octets"
            self.reader.error(words[2], "FH0104", text, f"1 to {longest} octets (RFC 5880 4.2 to 4.4)")
            return None
        return BfdKey(key_id, words[1].text, secret)  # type: ignore[arg-type]  # checked above


def bfd_auto(reader: Reader, statement: Statement | None) -> BfdAuto | None:
    """`bfd auto { ... }` of a vrrp_instance (extension)."""
    if statement is None:
        return None
    if [w.text for w in statement.arguments] != ["auto"]:
        reader.warn(statement, "FH0110", "bfd: only `bfd auto { ... }` is known; it is ignored", "auto")
        return None
    block = reader.block(statement.block or [], "bfd_auto", statement)
    return BfdAuto(
        min_rx_ns=block.get("min_rx", 10_000_000),
        min_tx_ns=block.get("min_tx", 10_000_000),
        multiplier=block.get("multiplier", 3),
        takeover=block.get("takeover", True),
        takeover_delay_ns=block.get("takeover_delay", 0),
        auth=BfdBuilder(reader).auth("bfd auto", block.get("authentication")),
    )
