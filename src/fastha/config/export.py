"""The model as JSON, and the JSON Schema of that. Places in files are left out; secrets on request only."""

from __future__ import annotations

import ipaddress
import types
import typing
from typing import Any

import msgspec

from .jsontext import encode
from .model import Address, Config
from .model_base import Shared, Span, fields_of

VERSION = 1
"""Of the layout; it grows when a field changes its meaning or goes."""
_SECRETS = frozenset({"auth_pass", "secret", "password"})
HIDDEN = "********"


def to_data(thing: Any, *, secrets: bool = False) -> Any:
    """Structs as dictionaries (tagged ones with `kind`), addresses as text, octets as hexadecimal digits."""
    if isinstance(thing, msgspec.Struct):
        found: dict[str, Any] = {}
        config = type(thing).__struct_config__
        if config.tag is not None:
            found[config.tag_field or "type"] = config.tag
        for field, value in fields_of(thing):
            if field == "span":
                continue
            hidden = field in _SECRETS and value and not secrets
            found[field.rstrip("_")] = HIDDEN if hidden else to_data(value, secrets=secrets)
        if isinstance(thing, Address):
            found["text"] = thing.written
        return found
    if isinstance(thing, tuple):
        return [to_data(x, secrets=secrets) for x in thing]
    if isinstance(thing, bytes):
        return thing.hex()
    if isinstance(thing, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return str(thing)
    return thing


def to_json(config: Config, *, secrets: bool = False) -> str:
    """The whole model, indented."""
    data = {"version": VERSION, "config": to_data(config, secrets=secrets)}
    return msgspec.json.format(encode(data), indent=2).decode()


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of what :func:`to_json` gives."""
    defined: dict[str, Any] = {}
    root = _schema(Config, defined)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fastha configuration",
        "type": "object",
        "properties": {"version": {"const": VERSION}, "config": root},
        "required": ["version", "config"],
        "$defs": defined,
    }


def _struct_schema(kind: type[msgspec.Struct], defined: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in defined:
        defined[name] = {}  # against recursion
        properties: dict[str, Any] = {}
        config = kind.__struct_config__
        if config.tag is not None:
            properties[config.tag_field or "type"] = {"const": config.tag}
        properties |= _properties(kind, defined)
        description = (kind.__doc__ or "").partition("\n\n")[0]
        defined[name] = {
            "type": "object",
            "description": " ".join(description.split()),
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}


def _properties(kind: type[msgspec.Struct], defined: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(kind)
    for field in kind.__struct_fields__:
        if isinstance(hints[field], type) and issubclass(hints[field], Shared):
            found |= _properties(hints[field], defined)
        elif field != "span":
            found[field.rstrip("_")] = _schema(hints[field], defined)
    return found


_PLAIN: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string", "pattern": "^([0-9a-f]{2})*$|^\\*+$"},
    type(None): {"type": "null"},
    ipaddress.IPv4Address: {"type": "string", "format": "ipv4"},
    ipaddress.IPv6Address: {"type": "string", "format": "ipv6"},
}


def _schema(kind: Any, defined: dict[str, Any]) -> dict[str, Any]:
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(a, defined) for a in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": _schema(arguments[0], defined)}
        return {
            "type": "array",
            "prefixItems": [_schema(a, defined) for a in arguments],
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not Span:
        return _struct_schema(kind, defined)
    raise TypeError(f"the schema has no word for {kind!r}")
