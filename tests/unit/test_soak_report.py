"""The soak's judgement: what grows is seen, what only breathes is not; the report is made of any run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))

import watch

import report

BASE = watch.Sample(0.0, True, 25_000, 36, 19, 5, 8, 0, 5, 22, 49, 0, {"socket": 19})


def run(**grows: int) -> list[watch.Sample]:
    """Twelve samples at rest; what is named grows by so much in each."""
    return [
        replace(BASE, at_s=20.0 * n, **{name: getattr(BASE, name) + by * n for name, by in grows.items()})
        for n in range(12)
    ]


@pytest.mark.parametrize("name", watch.MEASURES)
def test_what_grows_is_seen(name: str) -> None:
    found = watch.growth(run(**{name: {"memory_kib": 300, "threads": 3}.get(name, 1)}))
    assert len(found) == 1 and found[0].startswith(name.removesuffix("_kib"))


def test_what_breathes_is_not_growth() -> None:
    samples = [
        replace(s, memory_kib=25_000 + 400 * (n % 3), processes=n % 2, descriptors=36 + n % 2)
        for n, s in enumerate(run())
    ]
    assert watch.growth(samples) == []


def test_warm_up_and_what_happens_during_the_deeds_do_not_count() -> None:
    samples = [replace(BASE, memory_kib=10_000, descriptors=10), *run()[1:]]
    busy = [replace(BASE, at_s=s.at_s + 5, rest=False, processes=40, memory_kib=90_000) for s in samples]
    assert watch.growth([each for pair in zip(samples, busy, strict=True) for each in pair]) == []


def test_too_few_samples_prove_nothing() -> None:
    assert watch.growth(run()[:3]) != []


def test_the_report_is_well_formed(tmp_path: Path) -> None:
    runs = {"r1": run(descriptors=1), "r2": run()}
    grown = {node: watch.growth(samples) for node, samples in runs.items()}
    report.write(tmp_path, runs, {"reload": 3}, grown, 7)
    drawn = ElementTree.fromstring((tmp_path / "soak.svg").read_text())
    lines = [each for each in drawn if each.tag.endswith("polyline")]
    assert len(lines) == 2 * len(watch.MEASURES)
    assert "r1: descriptors grew" in (tmp_path / "soak.md").read_text()
