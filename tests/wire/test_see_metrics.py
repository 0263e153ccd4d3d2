"""Metrics of a running daemon that uses everything: all of them documented, all that alert rules and the
dashboard name are there, and promtool has nothing against them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from vrrp_bed import bed, needs_root

import fastha
from fastha.lab import wait_for
from fastha.lab.confs import block, config, instance, sync_group
from fastha.net.namespace import visiting

pytestmark = [pytest.mark.wire, needs_root]

DATA = Path(fastha.__file__).parent / "data"
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def names_in(text: str) -> set[str]:
    """The metrics that a text names, without the suffixes of a histogram's series."""
    return {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bfastha_\w+", text)}


def used() -> set[str]:
    """What the alert rules and the dashboard ask for."""
    rules = (DATA / "prometheus" / "alerts.yml").read_text()
    found = names_in("\n".join(re.findall(r"expr: (.*)", rules)))
    for panel in json.loads((DATA / "grafana" / "fastha.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            found |= names_in(target["expr"])
    return found


def everything(place: Path) -> str:
    (place / "flag").write_text("0\n")
    track = [
        block("track_script", ["check"]),
        block("track_file", ["flag"]),
        block("track_process", ["init"]),
        block("track_bfd", ["next weight 10"]),
    ]
    return config(
        block("vrrp_script check", ['script "/bin/true"', "interval 1", "user root"]),
        block("track_file flag", [f"file {place}/flag", "weight 0"]),
        block("vrrp_track_process init", ["process fastha-engine-no", "quorum 1", "weight 1"]),
        block("bfd_instance next", ["neighbor_ip 198.51.100.9", "source_ip 198.51.100.1"]),
        instance("VI_1", vrid=61, priority=100, addresses=["198.51.100.61/24"], lines=track),
        sync_group("G", ["VI_1"], "sync_group_tracking_weight"),
        block(
            "virtual_server 198.51.100.61 80",
            [
                "delay_loop 1", "lb_algo rr", "lb_kind NAT", "protocol TCP",
                block("real_server 198.51.100.1 80", ["weight 1", block("TCP_CHECK", ["connect_timeout 1"])]),
            ],
        ),
        globals_=[
            f"vrrp_notify_fifo {place}/fifo",
            "fastha_metrics 127.0.0.1:9106",
            "fastha_lvs_share 198.51.100.1:3786 'the shared secret'",
            "fastha_lvs_peer 198.51.100.9:3786",
        ],
    )  # fmt: skip


def test_every_metric_is_documented_and_every_one_that_is_used_is_there(tmp_path: Path) -> None:
    with bed("seemet") as made:
        first = made.daemon(
            2, "fastha", config(instance("VI_1", vrid=61, priority=200, addresses=["198.51.100.61/24"]))
        )
        made.wait_master(2, "198.51.100.61")
        made.daemon(1, "fastha", everything(tmp_path))

        def page() -> str:
            with visiting(made.routers[0].namespace):
                answer = urllib.request.urlopen("http://127.0.0.1:9106/metrics", timeout=10)
            return str(answer.read().decode())

        def sample(name: str) -> float:
            families = text_string_to_metric_families(page())
            return sum(s.value for f in families for s in f.samples if s.name == name)

        def served() -> bool:
            try:
                return "fastha_info" in page()
            except OSError:
                return False

        wait_for("metrics are served", served, timeout=10)
        wait_for("adverts are heard", lambda: sample("fastha_instance_advert_jitter_seconds_count") > 3)
        # an advert that does not come is counted, and no failover
        first.pause()
        time.sleep(0.22)
        first.resume()
        first.kill()
        made.wait_master(1, "198.51.100.61")
        wait_for("a check has run", lambda: sample("fastha_check_runs_total") > 0)

        text = page()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        there = set(re.findall(r"^# TYPE (fastha_\w+) ", text, re.M))
        documented = set(re.findall(r"`(fastha_\w+)`", DOCS.read_text()))
        documented = {re.sub(r"_bucket$", "", name) for name in documented}
        documented -= {"fastha_metrics", "fastha_metrics_file"}
        assert not there - documented, "docs/metrics.md lacks these"
        assert not used() - there, "alert rules or the dashboard name what is not there"
        # there once something was refused
        once = {"fastha_bfd_refused_total", "fastha_instance_rejected_total"}
        missing = sorted(documented - there - once)
        assert missing == [], "documented, and not there"

        outage = families["fastha_takeover_outage_seconds"].samples
        assert next(s.value for s in outage if s.name.endswith("_count")) == 1
        late = families["fastha_engine_timer_lateness_seconds"].samples
        counts = [s.value for s in late if s.name.endswith("_bucket")]
        assert counts == sorted(counts)
        assert counts[-1] > 0
        # no series twice: Prometheus would refuse the whole page
        series = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
        assert len(series) == len(set(series))


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")
@pytest.mark.parametrize("what", ["check", "test"])
def test_the_alert_rules_pass_promtool(what: str, tmp_path: Path) -> None:
    assert PROMTOOL is not None
    shutil.copy(DATA / "prometheus" / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).parents[1] / "data" / "alerts_test.yml", tmp_path)
    file = "alerts.yml" if what == "check" else "alerts_test.yml"
    done = subprocess.run(
        [PROMTOOL, what, "rules", file], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
