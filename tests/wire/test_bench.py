"""Every benchmark scenario runs at its smallest size, so that the suite cannot rot."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest
from bench.__main__ import main
from bench.scenarios import NAMES

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
    pytest.mark.skipif(shutil.which("keepalived") is None, reason="needs Debian's keepalived"),
]


ALONE = ("checks", "ipvs")
"""Scenarios in which no other daemon can take part, or on no kernel that has no IPVS."""


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_yields_every_metric_for_every_daemon(name: str, tmp_path: Path) -> None:
    status = main(["--smallest", name, "--out", str(tmp_path), "--report", str(tmp_path / "report.md")])
    data = json.loads((tmp_path / f"{name}.json").read_text())
    scenario = importlib.import_module(f"bench.scenarios.{name}")
    for case in data["cases"]:
        assert set(case["daemons"]) >= ({"fastha"} if name in ALONE else {"fastha", "keepalived"})
        for daemon, result in case["daemons"].items():
            assert result["failures"] == [], daemon
            assert set(result["metrics"]) == {metric.key for metric in scenario.METRICS}, daemon
            assert all(values["n"] > 0 for values in result["metrics"].values()), daemon
    assert status == 0
    report = (tmp_path / "report.md").read_text()
    assert f"## {scenario.TITLE}" in report
    assert "| fastha |" in report
