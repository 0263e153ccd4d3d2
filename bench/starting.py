"""How long many virtual routers take to begin, beyond what the protocol asks: a column, its goal, and the
number."""

from __future__ import annotations

from collections.abc import Mapping

from bench.bed import HIGH
from bench.daemons import Vrrp
from bench.model import Goal, Metric

START_EXCESS = Metric("start_excess_ms", "start excess, ms", ("p50",), 0)


def start_goal(protocol: str, limit_ms: int, *cases: str) -> Goal:
    """A tenth of Active_Down_Interval, which `protocol` says in words, for these cases."""
    text = f"start excess below 10 % of the protocol's {protocol}"
    return Goal(text, START_EXCESS.key, "p50", "keepalived", 0, limit_ms, cases)


def start_excess_ms(begun: Mapping[tuple[int, int], int], since_ns: int, interval_ms: int) -> float:
    """From starting router 1 to the first advert of its last virtual router, beyond Active_Down_Interval."""
    return (max(begun.values()) - since_ns) / 1e6 - Vrrp(1, HIGH, interval_ms, "").down_ms
