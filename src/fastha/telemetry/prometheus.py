"""Prometheus' text format (version 0.0.4) from a snapshot. Pure; every metric is described in
docs/metrics.md.

States are written one series per state, 1 for the one that holds, so that alerts need no numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from fastha.telemetry.snapshot import (
    DaemonSnapshot,
    Histogram,
    InstanceSnapshot,
    Metric,
    ScriptSnapshot,
    StateCode,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: States that an instance can be seen in.
SHOWN_STATES = (
    StateCode.INIT,
    StateCode.BACKUP,
    StateCode.MASTER,
    StateCode.FAULT,
    StateCode.MAINT,
    StateCode.STOP,
)

Labels = tuple[tuple[str, str], ...]

_PACKET_ERRORS = (
    ("length", "packet_len_err"),
    ("ttl", "ip_ttl_err"),
    ("type", "invalid_type_rcvd"),
    ("interval", "advert_interval_err"),
    ("addresses", "addr_list_err"),
    ("auth_type", "invalid_authtype"),
    ("auth_mismatch", "authtype_mismatch"),
    ("auth_failure", "auth_failure"),
    ("hmac_missing", "auth_ext_missing"),
    ("hmac_malformed", "auth_ext_malformed"),
    ("hmac_unknown_key", "auth_ext_unknown_key"),
    ("hmac_invalid", "auth_ext_invalid_hmac"),
    ("hmac_stale", "auth_ext_stale"),
    ("hmac_replay", "auth_ext_replay"),
)


class _Writer:
    """Collects lines; every metric is announced once. Encoded as they come: there may be a million."""

    def __init__(self) -> None:
        self.page = bytearray()
        self._announced: set[str] = set()

    def line(self, text: str) -> None:
        self.page += text.encode("utf-8", "replace") + b"\n"

    def announce(self, name: str, kind: str, text: str) -> None:
        if name not in self._announced:
            self._announced.add(name)
            self.line(f"# HELP {name} {_help(text)}")
            self.line(f"# TYPE {name} {kind}")

    def metric(self, name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float]]) -> None:
        for labels, value in samples:
            self.announce(name, kind, text)
            self.line(f"{name}{_labels(labels)} {_value(value)}")

    def histogram(
        self,
        name: str,
        text: str,
        labels: Labels,
        buckets: Iterable[tuple[float, int]],
        total: float,
        count: int,
    ) -> None:
        """`buckets` are cumulative, without the last one."""
        self.announce(name, "histogram", text)
        for bound, below in buckets:
            self.line(f"{name}_bucket{_labels((*labels, ('le', _value(bound))))} {below}")
        self.line(f"{name}_bucket{_labels((*labels, ('le', '+Inf')))} {count}")
        self.line(f"{name}_sum{_labels(labels)} {_value(total)}")
        self.line(f"{name}_count{_labels(labels)} {count}")


def render(snapshot: DaemonSnapshot, more: Iterable[Metric] = ()) -> bytes:
    """All metrics of a snapshot, and more, taken one at a time: a page in Prometheus' text format."""
    out = _Writer()
    out.metric("fastha_info", "gauge", "Version.", [((("version", snapshot.version),), 1)])
    out.metric(
        "fastha_start_time_seconds", "gauge", "When the daemon started (epoch).", [((), snapshot.started)]
    )
    _instances(out, snapshot.instances)
    out.metric(
        "fastha_sync_group_state",
        "gauge",
        "1 for the state that the sync group is in.",
        (
            ((("group", group.name), ("state", state.name)), group.state is state)
            for group in snapshot.groups
            for state in SHOWN_STATES
        ),
    )
    _scripts(out, snapshot.scripts)
    out.metric(
        "fastha_track_file_value",
        "gauge",
        "Number last read from a track_file.",
        (((("file", file.name),), file.value) for file in snapshot.files),
    )
    out.metric(
        "fastha_track_process_running",
        "gauge",
        "Processes that match a vrrp_track_process.",
        (((("process", process.name),), process.current_processes) for process in snapshot.processes),
    )
    out.metric(
        "fastha_track_process_quorum",
        "gauge",
        "1 while a vrrp_track_process has its quorum.",
        (((("process", process.name),), process.have_quorum) for process in snapshot.processes),
    )
    for name, text, field, kind in (
        ("fastha_notify_delivered_total", "Notifications delivered.", "delivered", "counter"),
        (
            "fastha_notify_dropped_total",
            "Notifications dropped because they could not wait.",
            "dropped",
            "counter",
        ),
        ("fastha_notify_failed_total", "Notifications that failed.", "failed", "counter"),
        ("fastha_notify_queued", "Notifications that wait.", "queued", "gauge"),
    ):
        out.metric(
            name,
            kind,
            text,
            (
                ((("channel", channel.name), ("kind", channel.kind)), getattr(channel, field))
                for channel in snapshot.channels
            ),
        )
    for metric in itertools.chain(snapshot.metrics, more):
        _extra(out, metric)
    for histogram in snapshot.histograms:
        _extra_histogram(out, histogram)
    return bytes(out.page)


def _instances(out: _Writer, instances: tuple[InstanceSnapshot, ...]) -> None:
    labelled = [(_identity(instance), instance) for instance in instances]
    out.metric(
        "fastha_instance_state",
        "gauge",
        "1 for the state that the instance is in.",
        (
            ((*labels, ("state", state.name)), instance.state is state)
            for labels, instance in labelled
            for state in SHOWN_STATES
        ),
    )
    out.metric(
        "fastha_instance_faults",
        "gauge",
        "Reasons for which the instance is faulty.",
        ((labels, len(instance.fault_reasons)) for labels, instance in labelled),
    )
    for name, kind, text, field in (
        ("base_priority", "gauge", "Configured priority.", "base_priority"),
        ("effective_priority", "gauge", "Priority with all that is tracked.", "effective_priority"),
        ("master_priority", "gauge", "Priority of the master heard last.", "master_priority"),
        ("last_transition_seconds", "gauge", "When the state changed last (epoch).", "last_transition"),
        ("addresses_installed", "gauge", "1 while the virtual addresses are installed.", "vipset"),
        ("advert_interval_seconds", "gauge", "Interval of own adverts.", "adver_int"),
    ):
        out.metric(
            f"fastha_instance_{name}",
            kind,
            text,
            ((labels, getattr(instance, field)) for labels, instance in labelled),
        )
    for name, text, field in (
        ("adverts_received_total", "Adverts accepted.", "advert_rcvd"),
        ("adverts_sent_total", "Adverts sent.", "advert_sent"),
        ("became_master_total", "Times that the instance became master.", "become_master"),
        ("released_master_total", "Times that the instance stopped being master.", "release_master"),
        ("priority_zero_received_total", "Adverts with priority 0 received.", "pri_zero_rcvd"),
        ("priority_zero_sent_total", "Adverts with priority 0 sent.", "pri_zero_sent"),
    ):
        out.metric(
            f"fastha_instance_{name}",
            "counter",
            text,
            ((labels, getattr(instance.stats, field)) for labels, instance in labelled),
        )
    out.metric(
        "fastha_instance_packet_errors_total",
        "counter",
        "Adverts rejected, by the check that they failed.",
        (
            ((*labels, ("error", error)), getattr(instance.stats, field))
            for labels, instance in labelled
            for error, field in _PACKET_ERRORS
        ),
    )
    out.metric(
        "fastha_instance_transitions_total",
        "counter",
        "Changes of state, by the state entered.",
        (
            ((*labels, ("to", state)), count)
            for labels, instance in labelled
            for state, count in instance.transitions
        ),
    )


def _scripts(out: _Writer, scripts: tuple[ScriptSnapshot, ...]) -> None:
    labelled = [((("script", script.name),), script) for script in scripts]
    out.metric(
        "fastha_script_up",
        "gauge",
        "1 while the script counts as good; no series before its first result.",
        ((labels, script.result >= script.rise) for labels, script in labelled if script.result is not None),
    )
    for name, text, field in (
        ("runs_total", "Runs that ended.", "runs"),
        ("failures_total", "Runs that failed, for whatever reason.", "failures"),
        ("timeouts_total", "Runs that took longer than their timeout.", "timeouts"),
        ("overruns_total", "Runs left out because the one before had not ended.", "overruns"),
    ):
        out.metric(
            f"fastha_script_{name}",
            "counter",
            text,
            ((labels, getattr(script, field)) for labels, script in labelled),
        )
    for labels, script in labelled:
        if script.duration_buckets:
            out.histogram(
                "fastha_script_duration_seconds",
                "How long runs take.",
                labels,
                script.duration_buckets,
                script.duration_sum,
                script.runs,
            )


def _extra(out: _Writer, metric: Metric) -> None:
    out.metric(
        f"fastha_{metric.name}",
        metric.kind,
        metric.help,
        ((sample.labels, sample.value) for sample in metric.samples),
    )


def _extra_histogram(out: _Writer, histogram: Histogram) -> None:
    out.histogram(
        f"fastha_{histogram.name}",
        histogram.help,
        histogram.labels,
        histogram.buckets,
        histogram.sum,
        histogram.count,
    )


def _identity(instance: InstanceSnapshot) -> Labels:
    return (
        ("instance_name", instance.iname),
        ("interface", instance.ifname),
        ("vrid", str(instance.vrid)),
        ("family", instance.family),
    )


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _value(value: float) -> str:
    if isinstance(value, int):  # and truth values
        return str(int(value))
    return repr(value) if value == value else "NaN"  # noqa: PLR0124 - the one number that is not itself
