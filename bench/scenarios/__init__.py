"""One scenario a file; see :class:`bench.model.Scenario`. The order here is that of the report."""

NAMES = (
    "failover",
    "mass",
    "steady",
    "lasting",
    "jitter",
    "start",
    "reload",
    "flood",
    "checks",
    "ipvs",
    "ipvs_daemon",
    "lvs",
    "bfd_detect",
    "bfd_false",
    "bfd_cost",
    "bfd_takeover",
)
