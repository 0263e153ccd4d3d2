"""The simulator itself, the bugs that it found, the machines broken on purpose, and a minute of new seeds."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastha._core import sim
from fastha.cli.sim import command
from fastha.sim import chance, picture, shrink, study, timeline
from fastha.sim.play import hunt, play
from fastha.sim.story import Fault, Instance, Router, Segment, Session, Story, StoryError, from_json, read

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
SOURCES = Path(sim.__file__).parent.parent
MS, SECOND = 1_000, 1_000_000
STORIES = 25_000
"""About a minute of them on the machine that they were first played on."""

# Ways to break the machines: the seed that catches each, and the rule that says so.
CAUGHT = {
    "skew": (1, "patience"),
    "zero": (8, "patience"),
    "goodbye": (5, "goodbye"),
    "drain": (102, "flap"),
    "stall": (2, "flap"),
    "early": (1, "timer"),
    "group-claim": (1, "group"),
    "group-yield": (1, "group"),
    "tie": (6, "order"),
    "preempt": (2, "patience"),
    "nopreempt": (5, "patience"),
    "learn": (1, "patience"),
    "release": (1, "holds"),
    "yield": (2, "two-masters"),
    "speak": (1, "speaks"),
    "bfd-poll": (1, "bfd-poll"),
    "bfd-detect": (1, "bfd-one-side"),
    "bfd-sleep": (1, "bfd-accused"),
    "lesser": (1, "patience"),
    "group-wait": (12115, "group"),
}


@pytest.fixture(autouse=True)
def whole_machines() -> Iterator[None]:
    sim.breaks()
    yield
    sim.breaks()


def pair(*faults: Fault, until: int = 60 * SECOND, sessions: tuple[Session, ...] = ()) -> Story:
    return Story(
        seed=1,
        until_us=until,
        segments=(Segment(),),
        routers=(Router("r1", ((0, 0),)), Router("r2", ((0, 1),))),
        instances=(Instance(0, 1, priority=100), Instance(1, 1, priority=200)),
        sessions=sessions,
        faults=faults,
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_recorded_cases(path: Path) -> None:
    """Stories that broke a rule once; what was wrong is in their `about`."""
    story = read(path)
    assert story.about
    assert play(story).broken is None


def test_every_way_to_break_the_machines_is_listed() -> None:
    assert set(CAUGHT) == set(sim.BREAKS)


@pytest.mark.parametrize("name", CAUGHT)
def test_broken_machines_are_caught(name: str) -> None:
    """The seed recorded for each breakage breaks the rule with it, and none without it."""
    seed, rule = CAUGHT[name]
    story = chance.story(seed)
    assert play(story).broken is None
    sim.breaks(name)
    broken = play(story).broken
    assert broken is not None
    assert broken.rule == rule


def version() -> int:
    """A number that is another one for other machines, or another simulator."""
    code = hashlib.sha256()
    for path in sorted((*SOURCES.glob("_core/c/*.[ch]"), *SOURCES.glob("sim/*.py"))):
        code.update(path.read_bytes())
    return int.from_bytes(code.digest()[:5])


@pytest.mark.timeout(180)
def test_new_seeds() -> None:
    """New seeds for every version of the code, the same wherever that is tested: what one run finds, all do.
    FASTHA_SIM_SECONDS, FASTHA_SIM_SEED: how long, from which. `fastha sim run` plays others."""
    first = int(os.environ.get("FASTHA_SIM_SEED") or version())
    seconds = float(os.environ.get("FASTHA_SIM_SECONDS") or 60)
    print(f"seeds from {first}")
    out = hunt(range(first, first + STORIES), seconds=seconds)
    assert out.seeds > 0
    found = [
        f"{what.words(chance.story(seed))}: fastha sim replay --seed {seed} --shrink"
        for seed, what in out.found
    ]
    assert not found, f"seeds from {first}: {found}"


def test_same_seed_same_story() -> None:
    """To the nanosecond; another seed of the network's chance is another story."""
    story = chance.story(1)
    first, second = play(story, trace=100_000), play(story, trace=100_000)
    assert first.digest == second.digest
    assert first.records == second.records
    assert first.stats == second.stats
    assert play(dataclasses.replace(story, seed=2)).digest != first.digest


def test_stories_survive_being_written() -> None:
    for seed in range(50):
        story = chance.story(seed)
        assert from_json(story.to_json()) == story


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON object"),
        ('{"seed": 1, "nonsense": 2}', "no such field: nonsense"),
        ('{"seed":1,"until_us":1,"segments":[{"delay":1}],"routers":[],"instances":[]}', r"segments\[0\]"),
    ],
)
def test_bad_files_are_explained(text: str, words: str) -> None:
    with pytest.raises(StoryError, match=words):
        from_json(text)


def test_bad_stories_are_explained() -> None:
    with pytest.raises(StoryError, match="no such fault: flood"):
        pair(Fault("flood", 0, 1, 0)).world()
    with pytest.raises(StoryError, match="names something that does not exist"):
        pair(Fault("crash", 0, 1, 7)).world()


def test_crash_and_return() -> None:
    """The backup takes over after its own patience, the better router comes back and wins."""
    story = pair(Fault("crash", 20 * SECOND, 40 * SECOND, 1))
    outcome = play(story, trace=10_000)
    assert outcome.broken is None
    lines = list(timeline.lines(story, outcome.records))
    took = next(line for line in lines if "r1/1: BACKUP -> MASTER" in line)
    assert 20 < float(took.split()[0]) < 24
    assert any("r2/1: BACKUP -> MASTER (preempted a lower master)" in line for line in lines)


def test_no_master_is_noticed() -> None:
    """The rule itself: with a master that nobody replaces, it breaks when X is over and not before."""
    sim.breaks("early")  # a deadline that is set too early is lost: the backup never moves
    story = dataclasses.replace(
        pair(Fault("crash", 20 * SECOND, 50 * SECOND, 1)), excuse=("timer", "patience")
    )
    broken = play(story).broken
    assert broken is not None
    assert broken.rule == "no-master"


def test_takeover_by_bfd_is_not_for_those_who_slept() -> None:
    """A router that stood still was given up by its neighbour, which then sends once a second: no reason
    to take over. Found by the simulator: it did, 30 ms after waking."""
    session = Session(1, 0, interval_us=10 * MS)
    for kind in ("freeze", "sleep", "pause"):
        story = pair(Fault(kind, 30 * SECOND, 30 * SECOND + 308 * MS, 0), sessions=(session,))
        outcome = play(story)
        assert outcome.broken is None
        assert outcome.stats["takeovers"] == 1, kind


def test_takeover_by_bfd_is_for_the_others() -> None:
    session = Session(1, 0, interval_us=10 * MS)
    outcome = play(pair(Fault("crash", 30 * SECOND, 31 * SECOND, 1), sessions=(session,)), trace=10_000)
    taken = [
        r for r in outcome.records if r[1] == timeline.STATE and sim.CAUSES[r[6]] == "master's path is down"
    ]
    assert len(taken) == 1
    assert taken[0][0] < 30.05e9


def test_hundreds_of_routers() -> None:
    """Now and then a story has them; the last master standing is the best one that hears the others."""
    story = next(s for s in map(chance.story, range(1, 10_000)) if len(s.routers) > 200)
    assert len(story.segments) > 2
    outcome = play(story)
    assert outcome.broken is None
    assert outcome.stats["takeovers"] >= len({(i.vrid, i.port) for i in story.instances})


def test_two_versions_beside_one_another() -> None:
    """One VRID in both versions: each has a master of its own, and refuses what the other says."""
    story = dataclasses.replace(
        pair(),
        routers=tuple(Router(f"r{n}", ((0, n),)) for n in range(4)),
        instances=tuple(Instance(n, 1, version=2 + n % 2, priority=100 + n) for n in range(4)),
    )
    world = story.world()
    assert world.run(story.until_us * 1000) is None
    assert [world.state(n) for n in range(4)] == ["BACKUP", "BACKUP", "MASTER", "MASTER"]
    assert world.stats()["refused"] > 100


def test_duplicated_packets_do_not_become_a_storm() -> None:
    """Found by the simulator: two sessions kept one another changing state without end."""
    story = pair(
        Fault("duplicate", 0, 60 * SECOND, 0, 700_000),
        Fault("crash", 20 * SECOND, 21 * SECOND, 0),
        sessions=(Session(1, 0), Session(1, 0, interval_us=10 * MS), Session(1, 0, interval_us=300 * MS)),
    )
    outcome = play(story, events=1_000_000)
    assert outcome.stats["events"] < 100_000
    assert outcome.stats["bfd_changes"] < 1_000


def test_shrinking_leaves_what_matters() -> None:
    sim.breaks("drain")
    story = chance.story(CAUGHT["drain"][0])
    short = shrink.shrink(story)
    broken = play(short).broken
    assert broken is not None
    assert broken.rule == "flap"
    assert len(short.faults) == 1
    assert len(short.routers) == 2


def test_formula_of_loss() -> None:
    """A pair at 10 ms and 20 % loss: false takeovers as often as three adverts in a row are lost."""
    row = study.measure(2, 10.0, 0.2, 10.0, seed=3)
    assert row.pair == pytest.approx(row.pair_predicted, rel=0.15)
    assert "<svg" in study.plot([row], 2, 10.0)


def test_command_line(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(command, ["run", "--seed", "1", "--count", "5"]).exit_code == 0
    shown = runner.invoke(
        command,
        ["replay", "--seed", "102", "--break", "drain", "--shrink", "--packets",
         "--svg", str(tmp_path / "x.svg"), "--save", str(tmp_path / "x.json")],
    )  # fmt: skip
    assert shown.exit_code == 1
    assert "BROKEN: flap" in shown.output
    assert (tmp_path / "x.svg").read_text().startswith("<svg")
    again = runner.invoke(command, ["replay", str(tmp_path / "x.json")])
    assert again.exit_code == 0, "whole machines do not break it"
    assert runner.invoke(command, ["run", "--seed", "1", "--count", "200", "--break", "drain"]).exit_code == 1
    assert "no-master" in runner.invoke(command, ["rules"]).output


def test_picture_of_everything() -> None:
    outcome = play(chance.story(1), trace=200_000)
    assert picture.svg(chance.story(1), outcome.records).endswith("</svg>\n")
