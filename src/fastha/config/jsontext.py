"""JSON of what came from a configuration, whose words need not be UTF-8."""

from __future__ import annotations

from typing import Any

import msgspec


def encode(data: Any) -> bytes:
    """JSON. An octet that is no UTF-8 appears as the four characters of `\\xff`."""
    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:
        import json  # noqa: PLC0415  (only for files that are not UTF-8)
        import re  # noqa: PLC0415

        text = json.dumps(msgspec.to_builtins(data), ensure_ascii=False)
        return re.sub("[\udc80-\udcff]", lambda m: f"\\\\x{ord(m[0]) - 0xDC00:02x}", text).encode()
