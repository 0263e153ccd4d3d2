"""What the benchmarks make of their samples: statistics, judged goals, tables, pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from bench.__main__ import merged, pretty
from bench.daemons import DAEMONS, Vrrp, bare_text, frr_text, keepalived_text
from bench.model import kept, statistic, thinned
from bench.plot import strips
from bench.report import write_report
from bench.scenarios import NAMES
from bench.scenarios.flood import junk

from fastha._core import codec

ROUTERS = [
    Vrrp(7, 100, 100, "10.0.1.7", source="10.0.0.1"),
    Vrrp(8, 100, 1000, "10.1.1.8", "eth1", "10.1.0.1"),
]


def _data(mine: float, theirs: float) -> dict[str, Any]:
    def part(value: float) -> dict[str, Any]:
        samples = {"advert_excess_ms": [value] * 3, "garp_excess_ms": [value] * 3}
        return {"metrics": kept(samples), "failures": [], "control_us": {"p99": 42.0}}

    return {
        "machine": {
            "processor": "p", "cores": 1, "kernel": "k", "preemption": "n", "python": "3",
            "versions": {"keepalived": "2"},
        },
        "when": "2026-11-23 12:34 +0000",
        "size": "full",
        "control_fifo_us": {"p50": 1.0, "p99": 2.0, "max": None},
        "cases": [{"name": "kill 100 ms", "daemons": {"fastha": part(mine), "keepalived": part(theirs)}}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "which", "wanted"),
    [
        ([], "p50", None),
        ([3.0, 1.0, 2.0, 10.0], "p50", 2.5),
        ([3.0, 1.0, 2.0], "p50", 2),
        ([float(n) for n in range(1, 101)], "p99", 99),
        ([7.0], "p99", 7),
        ([2.0, 1.0], "min", 1),
        ([2.0, 1.0], "max", 2),
        ([2.0, 1.0], "sum", 3),
    ],
)
def test_statistics(values: list[float], which: str, wanted: float | None) -> None:
    assert statistic(values, which) == wanted


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        (0.20, "**not reached** (0.200, limit 0.150)"),
        (0.15, "reached (0.150, limit 0.150)"),
    ],
)
def test_goals_are_judged_by_the_numbers(tmp_path: Path, mine: float, verdict: str) -> None:
    (tmp_path / "failover.json").write_text(json.dumps(_data(mine, 0.5)))
    write_report(tmp_path, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    assert f"- advert excess at most 0.3 of keepalived's, kill 100 ms: {verdict}\n" in text
    assert f"| kill 100 ms | fastha | 3 | {mine:.3f} / {mine:.3f} / {mine:.3f} |" in text
    assert f"| {mine / 0.5:.3f} | 42 | 11-23 12:34, full |\n" in text
    assert "(report/failover-advert_excess_ms.svg)" in text
    assert (tmp_path / "report" / "failover-advert_excess_ms.svg").exists()


def test_a_missing_daemon_and_failures_are_shown(tmp_path: Path) -> None:
    data = _data(0.2, 0.5)
    data["cases"][0]["daemons"]["fastha"] = {"metrics": {}, "failures": ["LabError: no"]}
    (tmp_path / "failover.json").write_text(json.dumps(data))
    write_report(tmp_path, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    assert "| kill 100 ms | fastha | 0 (1 failed) | - / - / - |" in text
    assert "Goals:" not in text


def test_a_picture_is_well_formed_and_holds_every_line(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "p.svg"
    many = [n / 100 for n in range(1, 2000)]
    strips(
        target,
        "a < b",
        "ms",
        [("one", {"fastha": [0.0, -1.0, 5.0], "keepalived": many}), ("two", {"frr": []})],
    )
    root = ET.parse(target).getroot()
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "one", "two", "fastha", "keepalived", "frr"} <= set(texts)
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert 3 + 100 < len(dots) < 3 + 200
    assert all(190 <= float(dot.get("cx", "nan")) <= 860 for dot in dots)


def test_statistics_are_of_all_samples_and_files_hold_a_choice() -> None:
    many = [float(n) for n in range(10_000)]
    found = kept({"a": many, "b": [1.23456789]})
    assert (found["a"]["n"], found["a"]["p50"], found["a"]["p99"]) == (10_000, 4999.5, 9899)
    assert (found["a"]["samples"][0], found["a"]["samples"][-1]) == (0, 9999)
    assert len(found["a"]["samples"]) == 500
    assert found["b"]["samples"] == [1.2346]
    assert thinned([3.0, 1.0], 2) == [3.0, 1.0]


def test_the_files_keep_lists_on_a_line() -> None:
    text = pretty({"a": {"samples": [1.5, -2.0, 3e-05]}, "b": ["x", "y"]})
    assert '"samples": [ 1.5, -2.0, 3e-05 ]' in text
    assert json.loads(text) == {"a": {"samples": [1.5, -2.0, 3e-05]}, "b": ["x", "y"]}


def test_no_samples_no_picture(tmp_path: Path) -> None:
    strips(tmp_path / "p.svg", "t", "ms", [("one", {"fastha": []})])
    assert not (tmp_path / "p.svg").exists()


def test_every_daemon_is_told_the_same() -> None:
    assert set(DAEMONS) == {"fastha", "keepalived", "frr", "bare", "bare-rt"}
    for text in (keepalived_text(ROUTERS), frr_text(ROUTERS), bare_text(ROUTERS)):
        for word in ("10.0.1.7", "10.1.1.8", "eth0", "eth1"):
            assert word in text
    assert bare_text(ROUTERS).splitlines() == [
        "eth0 7 100 10 10.0.0.1 10.0.1.7/32",
        "eth1 8 100 100 10.1.0.1 10.1.1.8/32",
    ]
    assert "advert_int 0.1\n" in keepalived_text(ROUTERS)
    assert " vrrp 8 advertisement-interval 1000\n" in frr_text(ROUTERS)


def test_the_protocols_own_times() -> None:
    assert ROUTERS[0].down_ms == pytest.approx(360.9375)
    assert ROUTERS[0].down_ms * 1e6 == codec.vrrp_down_ns(3, 100, 100_000_000)
    assert ROUTERS[1].skew_ms * 1e6 == codec.vrrp_skew_ns(3, 100, 1_000_000_000)


def test_the_junk_is_junk() -> None:
    receiver = codec.VrrpReceiver(
        version=3, family=codec.AF_INET, vrid=1, interval=10, addresses=["10.0.1.1"], own_src="10.0.0.1"
    )
    verdicts = [
        receiver.receive(frame[34:], src="10.0.0.9", dst="224.0.0.18", ttl=frame[22])[0]
        for frame in junk("mixed")
    ]
    assert "ok" not in verdicts
    assert len(set(verdicts)) >= 4


def test_scenarios_have_what_a_scenario_has() -> None:
    import importlib

    for name in NAMES:
        scenario = importlib.import_module(f"bench.scenarios.{name}")
        keys = {metric.key for metric in scenario.METRICS}
        for size in ("smallest", "quick", "full"):
            names = [case.name for case in scenario.cases(size)]
            assert names
            assert len(set(names)) == len(names)
        full = {case.name for case in scenario.cases("full")}
        for goal in scenario.GOALS:
            assert goal.metric in keys
            assert set(goal.cases) <= full


def test_single_cases_take_the_place_of_what_they_replace() -> None:
    old, new = _data(0.2, 0.5), _data(0.1, 0.5)
    del new["cases"][0]["daemons"]["keepalived"]
    new["when"] = "2026-11-24 00:00 +0000"
    old["cases"].append({"name": "kill 10 ms", "daemons": {}})
    both = merged(old, new)
    assert [case["name"] for case in both["cases"]] == ["kill 100 ms", "kill 10 ms"]
    daemons = both["cases"][0]["daemons"]
    assert daemons["fastha"] == new["cases"][0]["daemons"]["fastha"]
    assert daemons["keepalived"] == old["cases"][0]["daemons"]["keepalived"]
    assert daemons["keepalived"]["when"] == "2026-11-23 12:34 +0000"
