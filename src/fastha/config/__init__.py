"""keepalived's configuration language: text to tokens to tree to a typed, frozen model.

    result = load("/etc/keepalived/keepalived.conf")
    for problem in result.diagnostics:
        print(problem.render())
    if result.config is not None: ...

Knows no other room. Keywords are declared as data (:mod:`fastha.config.tables_vrrp` and its kin).
"""

from .diagnostics import CODES, Diagnostic
from .load import LoadResult, load
from .model import Config

__all__ = ["CODES", "Config", "Diagnostic", "LoadResult", "load"]
