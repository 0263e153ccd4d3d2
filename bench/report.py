"""From the JSON files of the scenarios to the page that people read."""

from __future__ import annotations

import importlib
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from bench.model import Goal, Scenario
from bench.plot import strips
from bench.scenarios import NAMES

_INTRODUCTION = """
Written by `make bench` from `bench/results/*.json`; do not edit. Every daemon was measured in the same run,
alternately, from outside: packets with kernel timestamps between network namespaces, processor time and
memory from /proc. `bare-rt` is a control: the fewest lines of C that speak the protocol, with real-time
priority (`src/fastha/lab/bare.c`). All daemons run with their defaults, keepalived as its unit file starts
it. A ratio is fastha's figure divided by keepalived's. *Control* is how late a real-time process woke that
slept to given times meanwhile: what is not much above it is the machine's doing.
"""


def write_report(out: Path, target: Path) -> None:
    """Write the page from whatever results there are."""
    parts = ["# Benchmarks\n", _flow(_INTRODUCTION)]
    found = {
        name: json.loads((out / f"{name}.json").read_text())
        for name in NAMES
        if (out / f"{name}.json").exists()
    }
    machines = _machines(found.values())
    for number, text in enumerate(machines, 1):
        parts.append(_flow(f"Machine{f' {number}' if len(machines) > 1 else ''}: {text}"))
    for name, data in found.items():
        parts.append(_section(name, data, target, machines))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(parts).rstrip() + "\n")


def _machine(where: dict[str, Any]) -> str:
    """A machine and what was installed on it, in words."""
    versions = ", ".join(f"{peer} {version}" for peer, version in where["versions"].items())
    return (
        f"{where['processor']}, {where['cores']} cores, Linux {where['kernel']} "
        f"({where['preemption']}), Python {where['python']}; {versions}."
    )


def _machines(results: Iterable[dict[str, Any]]) -> list[str]:
    """All that anything in the report was measured on, in the order of their first rows."""
    rows = ((data, row) for data in results for case in data["cases"] for row in case["daemons"].values())
    return list(dict.fromkeys(_machine(row.get("machine", data["machine"])) for data, row in rows))


def _section(name: str, data: dict[str, Any], target: Path, machines: list[str]) -> str:
    scenario = cast(Scenario, importlib.import_module(f"bench.scenarios.{name}"))
    control = data["control_fifo_us"]
    out = [f"## {scenario.TITLE}\n", _flow(scenario.TEXT)]
    late = " / ".join(_number(control[which], 0) for which in ("p50", "p99", "max"))
    out.append(f"Control in the latest run: {late} µs (p50 / p99 / max).\n")
    headings = ["case", "daemon", "n", *(f"{m.heading} ({' / '.join(m.show)})" for m in scenario.METRICS)]
    headings += ["ratio of the first", "control p99, µs", "measured"]
    out.append("| " + " | ".join(headings) + " |")
    out.append("| " + " | ".join("---" for _ in headings) + " |")
    for case in data["cases"]:
        for daemon, result in case["daemons"].items():
            out.append("| " + " | ".join(_row(scenario, data, case, daemon, result, machines)) + " |")
    out.append("")
    for metric in scenario.METRICS:
        if not metric.plot:
            continue
        picture = target.parent / target.stem / f"{name}-{metric.key}.svg"
        rows = [
            (
                case["name"],
                {
                    daemon: result["metrics"][metric.key]["samples"]
                    for daemon, result in case["daemons"].items()
                    if metric.key in result["metrics"]
                },
            )
            for case in data["cases"]
        ]
        heading, _, unit = metric.heading.rpartition(", ")
        strips(picture, f"{scenario.TITLE}: {heading}", unit, rows)
        if picture.exists():
            out.append(f"![{scenario.TITLE}: {heading}]({target.stem}/{picture.name})\n")
    goals = [line for goal in scenario.GOALS for line in _goal(goal, data["cases"])]
    if goals:
        out += ["Goals:", "", *goals, ""]
    remarks = getattr(scenario, "REMARKS", "")
    if remarks:
        out.append(_flow(remarks))
    return "\n".join(out)


def _row(
    scenario: Scenario,
    data: dict[str, Any],
    case: dict[str, Any],
    daemon: str,
    result: dict[str, Any],
    machines: list[str],
) -> list[str]:
    metrics = result["metrics"]
    count = max((values["n"] for values in metrics.values()), default=0)
    row = [
        case["name"],
        daemon,
        str(count) + (f" ({len(result['failures'])} failed)" if result["failures"] else ""),
    ]
    for metric in scenario.METRICS:
        values = metrics.get(metric.key, {})
        row.append(" / ".join(_number(values.get(which), metric.digits) for which in metric.show))
    first = scenario.METRICS[0].key
    mine = _statistic(case, "fastha", first, "p50")
    theirs = _statistic(case, "keepalived", first, "p50")
    row.append(_number(mine / theirs, 3) if daemon == "fastha" and mine is not None and theirs else "")
    row.append(_number(result.get("control_us", {}).get("p99"), 0))
    where = machines.index(_machine(result.get("machine", data["machine"]))) + 1
    row.append(
        f"{result.get('when', data['when'])[5:16]}, {result.get('size', data['size'])}"
        + (f", machine {where}" if len(machines) > 1 else "")
    )
    return row


def _statistic(case: dict[str, Any], daemon: str, metric: str, which: str) -> float | None:
    """A statistic that was kept; None if this was not measured."""
    found: float | None = case["daemons"].get(daemon, {}).get("metrics", {}).get(metric, {}).get(which)
    return found


def _goal(goal: Goal, cases: list[dict[str, Any]]) -> list[str]:
    lines = []
    for case in cases:
        if goal.cases and case["name"] not in goal.cases:
            continue
        mine = _statistic(case, "fastha", goal.metric, goal.statistic)
        theirs = _statistic(case, goal.against, goal.metric, goal.statistic)
        if mine is None or (theirs is None and goal.factor != 0):
            continue
        limit = goal.factor * (theirs or 0.0) + goal.plus
        verdict = "reached" if (mine >= limit if goal.least else mine <= limit) else "**not reached**"
        lines.append(
            f"- {goal.text}, {case['name']}: {verdict} ({_number(mine, 3)}, limit {_number(limit, 3)})"
        )
    return lines


def _flow(text: str) -> str:
    """A paragraph, its lines broken anew."""
    return textwrap.fill(" ".join(text.split()), 110, break_long_words=False, break_on_hyphens=False) + "\n"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
