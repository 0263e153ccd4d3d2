"""A load balancer's start and its reload, beside keepalived's."""

from __future__ import annotations

from bench.kernel import NOTE, in_kernel
from bench.model import Case, Metric, Size

TITLE = "Load balancer: start and reload"
TEXT = f"""A daemon whose configuration has virtual servers with real servers and no checks. *Start*: from
starting the program to the last real server in the kernel's table. *Change*: from SIGHUP, after one weight of
all these was changed in the file, to that weight in the table. {NOTE}
"""
METRICS = (
    Metric("start_s", "start, s", ("p50",), 2),
    Metric("change_s", "change, s", ("p50", "max"), 2),
    Metric("pss_kib", "PSS, KiB", ("p50",), 0),
)
GOALS = ()


def cases(size: Size) -> list[Case]:
    """Virtual servers times real servers, and how many reloads."""
    plan = {"smallest": ((1, 2, 1),), "quick": ((10, 20, 1),), "full": ((10, 10, 3), (100, 100, 3))}[size]
    return [
        Case(
            f"{services} x {servers}",
            {"services": services, "servers": servers, "rounds": rounds},
            ("fastha", "keepalived"),
        )
        for services, servers, rounds in plan
    ]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """A kernel of its own for each."""
    return in_kernel("daemon", daemon=daemon, **case.parameters)
