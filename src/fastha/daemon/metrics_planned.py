"""Metrics of planned change: who stays away, who does not take back, what is on trial."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastha.telemetry.snapshot import Metric, Sample

from .metrics_seen import labels_of

if TYPE_CHECKING:
    from .main import Daemon


def metrics(daemon: Daemon) -> tuple[Metric, ...]:
    """For the export."""
    labelled = [(labels_of(one.conf), one) for one in daemon.manager.instances.values()]

    def each(name: str, help_: str, values: Iterable[bool]) -> Metric:
        samples = tuple(Sample(labels, v) for (labels, _), v in zip(labelled, values, strict=True))
        return Metric(name=f"instance_{name}", help=help_, samples=samples)

    trial = daemon.trials.trial
    left = max(0.0, trial.deadline - time.monotonic()) if trial is not None else 0.0
    return (
        each("drained", "1 while the operator keeps it away.", [one.drained for _, one in labelled]),
        each(
            "held",
            "1 while it does not preempt, after a switchover.",
            [one.held for _, one in labelled],
        ),
        each(
            "ownerless",
            "1 while it is drained and no master is heard: nobody has its addresses.",
            [daemon.maintenance.ownerless(one.name) for _, one in labelled],
        ),
        Metric(
            name="trial_seconds_left",
            help="Until a configuration on trial is taken back; 0 when none is.",
            samples=(Sample((), left),),
        ),
    )
