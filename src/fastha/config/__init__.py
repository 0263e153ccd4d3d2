"""keepalived's configuration language: text to tokens to tree to a typed, frozen model.

    result = load("/etc/keepalived/keepalived.conf")
    for problem in result.diagnostics:
        print(problem.render())
    if result.config is not None: ...

Knows no other room. Keywords are declared as data (:mod:`fastha.config.tables_vrrp` and its kin). It is
loaded when one of these is used: who only holds a model does not need the language.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .diagnostics import CODES, Diagnostic
    from .loading import load
    from .model import Config
    from .result import LoadResult

__all__ = ["CODES", "Config", "Diagnostic", "LoadResult", "load"]
_HOME = {
    "CODES": "diagnostics",
    "Diagnostic": "diagnostics",
    "load": "loading",
    "Config": "model",
    "LoadResult": "result",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
