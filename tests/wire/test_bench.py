"""Every benchmark scenario runs at its smallest size, so that the suite cannot rot."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest
from bench.__main__ import main
from bench.daemons import DAEMONS
from bench.model import statistic
from bench.report import write_report
from bench.scenarios import NAMES

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
    pytest.mark.skipif(shutil.which("keepalived") is None, reason="needs Debian's keepalived"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_yields_every_metric_for_every_daemon(name: str, tmp_path: Path) -> None:
    status = main(["--smallest", name, "--out", str(tmp_path), "--report", str(tmp_path / "report.md")])
    data = json.loads((tmp_path / f"{name}.json").read_text())
    scenario = importlib.import_module(f"bench.scenarios.{name}")
    for case in data["cases"]:
        assert set(case["daemons"]) >= {"fastha", "keepalived"}
        for daemon, result in case["daemons"].items():
            assert result["failures"] == [], daemon
            assert set(result["samples"]) == {metric.key for metric in scenario.METRICS}, daemon
            assert all(result["samples"].values()), daemon
    assert status == 0
    report = (tmp_path / "report.md").read_text()
    assert f"## {scenario.TITLE}" in report
    assert "| fastha |" in report


def test_goals_are_judged_by_the_numbers(tmp_path: Path) -> None:
    def part(value: float) -> dict[str, object]:
        return {"samples": {"advert_excess_ms": [value] * 3, "garp_excess_ms": [value] * 3}, "failures": []}

    case = {"name": "kill 100 ms", "daemons": {"fastha": part(0.2), "keepalived": part(0.5)}}
    machine = {"processor": "p", "cores": 1, "kernel": "k", "preemption": "n", "python": "3", "versions": {}}
    data = {"machine": machine, "when": "now", "size": "full", "cases": [case]}
    data["control_fifo_us"] = {"p50": 1.0, "p99": 2.0, "max": None}
    (tmp_path / "failover.json").write_text(json.dumps(data))
    write_report(tmp_path, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    assert (
        "advert excess at most 0.3 of keepalived's, kill 100 ms: **not reached** (0.200, limit 0.150)" in text
    )


def test_statistics() -> None:
    assert statistic([], "p50") is None
    assert statistic([3.0, 1.0, 2.0, 10.0], "p50") == 2.5
    assert statistic([float(n) for n in range(1, 101)], "p99") == 99
    assert statistic([2.0, 1.0], "min") == 1
    assert statistic([2.0, 1.0], "sum") == 3


def test_every_daemon_has_an_adapter() -> None:
    assert {"fastha", "keepalived", "frr", "bare", "bare-rt"} == set(DAEMONS)
