"""Health checks beside keepalived's: what they cost, and whether they all begin at once."""

from __future__ import annotations

from bench.kernel import NOTE, in_kernel
from bench.model import Case, Goal, Metric, Size

TITLE = "Health checks beside keepalived"
TEXT = f"""A daemon asks so many real servers once a second: addresses of its own loopback, with one process
behind them. *Busiest*: the share of all first checks that fell into one tenth of a second. {NOTE}
"""
METRICS = (
    Metric("us_per_check", "processor time a check, µs", ("p50",), 0),
    Metric("checks_per_s", "checks a second", ("p50",), 0),
    Metric("core_percent", "processor, % of one", ("p50",), 1),
    Metric("pss_kib", "PSS, KiB", ("p50",), 0),
    Metric("busiest_percent", "busiest, %", ("max",), 1),
)
_MANY = ("2000 TCP",)
GOALS = (
    Goal("processor time of a check at most twice keepalived's", "us_per_check", "p50", "keepalived", 2),
    Goal("first checks are spread", "busiest_percent", "max", "keepalived", 0, 25, _MANY),
)


def cases(size: Size) -> list[Case]:
    """How many real servers, and for how many seconds; more than this kernel can do in a second is not
    asked."""
    plan: dict[Size, tuple[tuple[str, int, float], ...]] = {
        "smallest": (("tcp", 20, 1.0),),
        "quick": (("tcp", 100, 3.0),),
        "full": (("tcp", 200, 15.0), ("http", 200, 15.0), ("tcp", 2000, 15.0)),
    }
    return [
        Case(
            f"{count} {kind.upper()}",
            {"kind": kind, "count": count, "seconds": seconds},
            ("fastha", "keepalived"),
        )
        for kind, count, seconds in plan[size]
    ]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """A kernel of its own for each."""
    return in_kernel("checks", daemon=daemon, **case.parameters)
