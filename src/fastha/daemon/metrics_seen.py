"""Metrics of what is seen rather than counted by keepalived: how regular adverts are, how late timers, who
else seems to be master.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastha._core.engine import SPREAD_BOUNDS, Engine
from fastha.config.model import VrrpInstance
from fastha.telemetry.recorder import cumulative
from fastha.telemetry.snapshot import Histogram, Metric, Sample
from fastha.vrrp.running import Running

from .splitbrain import SplitBrains

Labels = tuple[tuple[str, str], ...]


def labels_of(conf: VrrpInstance) -> Labels:
    """The labels of an instance's metrics."""
    return (
        ("instance_name", conf.name),
        ("interface", conf.interface or ""),
        ("vrid", str(conf.vrid)),
        ("family", "IPv6" if conf.family == 10 else "IPv4"),
    )


def metrics(engine: Engine, running: Iterable[Running], brains: SplitBrains) -> tuple[Metric, ...]:
    """Adverts that were missing, and split brains."""
    labelled = [(labels_of(one.conf), one) for one in running]

    def each(name: str, help_: str, values: Iterable[float], kind: str = "counter") -> Metric:
        samples = tuple(Sample(labels, v) for (labels, _), v in zip(labelled, values, strict=True))
        return Metric(name=f"instance_{name}", help=help_, kind=kind, samples=samples)

    return (
        each(
            "adverts_missed_total",
            "Adverts of the master that should have come and did not, while it was not declared dead.",
            [engine.counters(one.slot)["adverts_missed"] for _, one in labelled],
        ),
        each(
            "split_brain",
            "1 while there seems to be a second master: heard, refused here, or claiming an address.",
            [brains.doubt(one.name) is not None for _, one in labelled],
            "gauge",
        ),
        each(
            "split_brains_total",
            "Times that there seemed to be a second master.",
            [brains.count(one.name) for _, one in labelled],
        ),
        each(
            "split_brain_seconds_total",
            "How long that lasted, all together.",
            [brains.seconds(one.name) for _, one in labelled],
        ),
    )


def histograms(engine: Engine, running: Iterable[Running]) -> tuple[Histogram, ...]:
    """How regular the adverts of masters are, and how late timers were served."""
    found = []
    for one in running:
        counts, total = engine.jitter(one.slot)
        found.append(
            _histogram(
                "instance_advert_jitter_seconds",
                "How far the adverts of the master were from their interval.",
                labels_of(one.conf),
                counts,
                total,
            )
        )
    counts, total = engine.lateness()
    late = "How late timers were served."
    return (*found, _histogram("engine_timer_lateness_seconds", late, (), counts, total))


def _histogram(name: str, help_: str, labels: Labels, counts: tuple[int, ...], total: float) -> Histogram:
    return Histogram(
        name=name,
        help=help_,
        labels=labels,
        buckets=cumulative(SPREAD_BOUNDS, counts),
        sum=total,
        count=sum(counts),
    )
