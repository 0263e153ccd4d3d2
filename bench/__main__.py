"""``python -m bench [--quick] [SCENARIO...]``: run scenarios, keep what was seen, write the report."""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import os
import platform
import random
import re
import sys
import time
from pathlib import Path
from typing import Any, cast

import fastha
from bench.bed import MIXED
from bench.daemons import DAEMONS
from bench.model import Result, Scenario, Size, kept, statistic
from bench.report import write_report
from bench.scenarios import NAMES
from fastha.lab import LabError
from fastha.lab.bfd import BFD_DAEMONS
from fastha.lab.peers import Wakeups
from fastha.lab.spaces import run

RESULTS = Path(__file__).parent / "results"
SCRATCH = Path(__file__).parent / "out"
REPORT = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def load(name: str) -> Scenario:
    """A scenario by the name of its file."""
    return cast(Scenario, importlib.import_module(f"bench.scenarios.{name}"))


def machine() -> dict[str, Any]:
    """What the numbers were made on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    versions = {}
    for name, command in {
        "keepalived": ("dpkg-query", "-W", "-f", "${Version}", "keepalived"),
        "frr": ("dpkg-query", "-W", "-f", "${Version}", "frr"),
        "bird2": ("dpkg-query", "-W", "-f", "${Version}", "bird2"),
    }.items():
        try:
            versions[name] = run(*command)
        except LabError:
            versions[name] = "not installed"
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "preemption": platform.version(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "versions": versions,
    }


def pretty(data: dict[str, Any]) -> str:
    """JSON for people and for version control: indented, but each list of numbers on one line."""
    text = json.dumps(data, indent=1)
    return re.sub(r"\[[-\d.,eE\s]+\]", lambda found: " ".join(found[0].split()), text) + "\n"


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What was measured anew in place of what it replaces; the rest as it was, in the old order."""
    for case in old["cases"]:
        for row in case["daemons"].values():  # which may not say itself when it was measured
            row.setdefault("when", old["when"])
            row.setdefault("size", old["size"])
            row.setdefault("machine", old["machine"])
    cases = {case["name"]: case for case in old["cases"]}
    for case in new["cases"]:
        daemons = {**cases[case["name"]]["daemons"], **case["daemons"]} if case["name"] in cases else None
        cases[case["name"]] = {**case, "daemons": daemons or case["daemons"]}
    return {**new, "cases": list(cases.values())}


def run_scenario(
    name: str, size: Size, only: list[str], words: list[str], where: dict[str, Any]
) -> dict[str, Any]:
    """All cases of a scenario, daemons in a new random order at each repeat; the data of its part of the
    report."""
    scenario = load(name)
    shuffle = random.Random(name)
    cases = []
    every: list[float] = []
    for case in scenario.cases(size):
        if words and not any(word in case.name for word in words):
            continue
        daemons = [each for each in case.daemons if not only or each in only]
        results = {each: Result(case.name, each) for each in daemons}
        for repeat in range(case.repeats):
            shuffle.shuffle(daemons)
            for daemon in daemons:
                began = time.monotonic()
                try:
                    with Wakeups() as own:
                        samples = scenario.measure(case, daemon)
                    results[daemon].add(samples)
                    results[daemon].control_us += own.late_us
                    word = "done"
                except (LabError, AssertionError, KeyError, OSError) as error:
                    notes = "\n".join(getattr(error, "__notes__", []))
                    results[daemon].failures.append(f"{type(error).__name__}: {error}\n{notes}".strip())
                    word = f"FAILED: {error}"
                took = time.monotonic() - began
                print(
                    f"{name}: {case.name}: {daemon} {repeat + 1}/{case.repeats}: {word} ({took:.1f} s)",
                    flush=True,
                )
        cases.append(
            {
                "name": case.name,
                "parameters": case.parameters,
                "daemons": {
                    each: {
                        "metrics": kept(results[each].samples),
                        "control_us": _late(results[each].control_us),
                        "failures": results[each].failures,
                        "when": now(),
                        "size": size,
                        "machine": where,
                    }
                    for each in case.daemons
                    if each in results
                },
            }
        )
        for each in results.values():
            every += each.control_us
    return {"name": name, "size": size, "control_fifo_us": _late(every), "cases": cases}


def now() -> str:
    """The time, as the files and the report have it."""
    return time.strftime("%Y-%m-%d %H:%M %z")


def _late(values: list[float]) -> dict[str, float | None]:
    """What is told of the control."""
    return {which: statistic(values, which) for which in ("p50", "p99", "max")}


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when everything could be measured, 1 when something failed, 2 for a wrong word."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(NAMES)}; default all"
    )
    parser.add_argument("--quick", action="store_true", help="all in about five minutes")
    parser.add_argument("--smallest", action="store_true", help="only to see that it works")
    parser.add_argument(
        "--daemon",
        action="append",
        default=[],
        metavar="DAEMON",
        help=f"only this one, of {', '.join(sorted({*DAEMONS, *BFD_DAEMONS}))}, or FIRST>SECOND",
    )
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        help="only cases with this in their names; others keep their results",
    )
    parser.add_argument("--out", type=Path, help="directory of the JSON files")
    parser.add_argument("--report", type=Path, help="the report that is written")
    given = parser.parse_args(arguments)
    unknown = set(given.scenarios) - set(NAMES)
    if unknown:
        print(f"no scenario {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    strangers = {name for pair in given.daemon for name in pair.split(MIXED)} - {*DAEMONS, *BFD_DAEMONS}
    if strangers:
        print(f"no daemon {', '.join(sorted(strangers))}: see --help", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("the benchmarks make network namespaces: run them as root", file=sys.stderr)
        return 2
    size: Size = "smallest" if given.smallest else "quick" if given.quick else "full"
    # Only full runs are worth keeping beside the code.
    out = given.out or (RESULTS if size == "full" else SCRATCH)
    report = given.report or (REPORT if size == "full" else SCRATCH / "report.md")
    out.mkdir(parents=True, exist_ok=True)
    # As an installed package has it; an editable one would compile its source at each start.
    compileall.compile_dir(str(Path(fastha.__file__).parent), quiet=2)
    where = machine()
    failed = False
    for name in given.scenarios or NAMES:
        data = {
            "machine": where,
            "when": now(),
            **run_scenario(name, size, given.daemon, given.case, where),
        }
        failed |= any(d["failures"] for case in data["cases"] for d in case["daemons"].values())
        file = out / f"{name}.json"
        if (given.case or given.daemon) and file.exists():
            data = merged(json.loads(file.read_text()), data)
        file.write_text(pretty(data))
    write_report(out, report)
    print(f"wrote {report}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
