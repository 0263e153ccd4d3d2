"""A table of IPVS: written and read back, beside ipvsadm."""

from __future__ import annotations

from bench.kernel import NOTE, in_kernel
from bench.model import Case, Goal, Metric, Size

TITLE = "IPVS tables"
TEXT = f"""A table of virtual servers with real servers is written into an empty kernel, and read back with
all counters: by fastha's netlink codec, and by `ipvsadm -R` and `ipvsadm -Ln --stats`. {NOTE}
"""
METRICS = (
    Metric("set_up_s", "set up, s", ("min", "p50", "max"), 3),
    Metric("read_s", "read back, s", ("min", "p50", "max"), 3),
)
_BIG = ("100 x 100",)
GOALS = (
    Goal("set up in at most 0.2 of ipvsadm's time", "set_up_s", "p50", "ipvsadm", 0.2, 0, _BIG),
    Goal("read back in at most 0.7 of ipvsadm's time", "read_s", "p50", "ipvsadm", 0.7, 0, _BIG),
)


def cases(size: Size) -> list[Case]:
    """Virtual servers times real servers, and how often."""
    plan = {"smallest": ((2, 3, 1),), "quick": ((20, 50, 1),), "full": ((10, 10, 5), (100, 100, 3))}[size]
    return [
        Case(
            f"{services} x {servers}",
            {"services": services, "servers": servers, "rounds": rounds},
            ("fastha", "ipvsadm"),
        )
        for services, servers, rounds in plan
    ]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """A kernel of its own for each."""
    return in_kernel("table", daemon=daemon, **case.parameters)
