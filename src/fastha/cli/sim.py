"""`fastha sim`: play what can go wrong on a network that exists only in memory; show what broke, and how."""

from __future__ import annotations

import itertools
import json
import secrets
import sys
from pathlib import Path

import click

from fastha._core import sim
from fastha.sim import chance, picture, shrink, timeline
from fastha.sim.play import Broken, Hunt, hunt, play
from fastha.sim.story import Story, StoryError, read

TRACE = 2_000_000


@click.group(name="sim")
def command() -> None:
    """Simulate networks of routers and their failures, with the machines of the daemon themselves."""


def _breaks(_ctx: click.Context, _param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    sim.breaks(*names)
    return names


break_option = click.option(
    "--break",
    "broken",
    multiple=True,
    type=click.Choice(sim.BREAKS),
    callback=_breaks,
    help="Break the machines on purpose in this way (only here; the daemon cannot be).",
)


@command.command(name="run")
@click.option("--seed", type=int, help="The first seed; a random one if not given.")
@click.option("--seconds", type=float, default=60.0, show_default=True, help="Stop after so long.")
@click.option("--events", type=int, default=0, help="Stop after so many events of state machines; 0: never.")
@click.option("--count", type=int, default=0, help="Stop after so many seeds; 0: never.")
@break_option
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON.")
def run(
    seed: int | None, seconds: float, events: int, count: int, broken: tuple[str, ...], as_json: bool
) -> None:
    """Play seed after seed until a rule is broken or the time is over. Status 1: a rule was broken."""
    first = secrets.randbelow(2**40) if seed is None else seed
    click.echo(f"seeds from {first}", err=as_json)
    seeds = itertools.count(first) if count == 0 else range(first, first + count)
    out = hunt(seeds, seconds=seconds, events=events)
    if as_json:
        click.echo(json.dumps({"first": first, "seeds": out.seeds, "seconds": out.seconds, **out.stats}))
    else:
        _print_figures(out)
    for found, what in out.found:
        _print_found(found, what, broken)
    sys.exit(1 if out.found else 0)


def _print_figures(out: Hunt) -> None:
    s = out.stats
    rate = s["events"] / out.seconds / 1e6 if out.seconds else 0.0
    click.echo(
        f"{out.seeds} stories, {s['events']} events in {out.seconds:.1f} s: {rate:.2f} million a second"
    )
    click.echo("faults: " + ", ".join(f"{kind} {n}" for kind, n in sorted(out.kinds.items())))
    click.echo(
        f"takeovers {s['takeovers']}, of these though a better master lived {s['false_takeovers']}; "
        f"two masters {s['doubles']} times, {s['double_us'] / 1e6:.1f} s in all; "
        f"longest time without a master {s['gap_us_max'] / 1e6:.3f} s (long intervals among them)"
    )


def _print_found(seed: int, what: Broken, broken: tuple[str, ...]) -> None:
    options = "".join(f" --break {name}" for name in broken)
    click.echo(f"seed {seed} breaks {what.words(chance.story(seed))}")
    click.echo(f"to see it: fastha sim replay --seed {seed}{options} --shrink --svg story.svg")


@command.command(name="replay")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seed", type=int, help="The story of a seed instead of one in a file.")
@click.option("--shrink", "short", is_flag=True, help="Make it as short as it can be and still break.")
@click.option("--packets", is_flag=True, help="Tell of every advert.")
@click.option("--lines", type=int, default=200, show_default=True, help="The last so many lines.")
@click.option("--svg", type=click.Path(path_type=Path), help="Draw it: routers as lanes, adverts as arrows.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the story as JSON, to be played again.")
@break_option
def replay(
    file: Path | None, seed: int | None, short: bool, packets: bool, lines: int,
    svg: Path | None, save: Path | None, broken: tuple[str, ...],  # noqa: ARG001  set by its callback
) -> None:  # fmt: skip
    """Play one story again, exactly, and tell it. Status 1: a rule is broken."""
    if (file is None) == (seed is None):
        raise click.UsageError("give a file or --seed")
    try:
        story: Story = read(file) if file is not None else chance.story(seed or 0)
        if short:
            story = shrink.shrink(story, tell=lambda line: click.echo(f"shorter: {line}", err=True))
        outcome = play(story, trace=TRACE)
    except StoryError as error:
        raise click.ClickException(str(error)) from None
    told = list(timeline.lines(story, outcome.records, packets=packets))
    click.echo("\n".join(told[-lines:]))
    if svg is not None:
        svg.write_text(picture.svg(story, outcome.records), encoding="utf-8")
    if save is not None:
        save.write_text(story.to_json(), encoding="utf-8")
    if outcome.broken is None:
        click.echo("no rule is broken")
        return
    click.echo(f"broken: {outcome.broken.words(story)}")
    sys.exit(1)


@command.command(name="rules")
def rules() -> None:
    """The rules that are judged, the faults there are, the ways to break the machines."""
    click.echo("rules:  " + " ".join(sim.RULES))
    click.echo("faults: " + " ".join(sim.FAULTS))
    click.echo("breaks: " + " ".join(sim.BREAKS))


@command.command(name="study")
@click.option("--routers", type=int, default=1000, show_default=True)
@click.option("--interval-ms", type=float, default=10.0, show_default=True)
@click.option(
    "--seconds", type=float, default=2.0, show_default=True, help="Simulated time watched at each loss."
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--svg", type=click.Path(path_type=Path), help="Draw the curves.")
def study(routers: int, interval_ms: float, seconds: float, seed: int, svg: Path | None) -> None:
    """How loss on a segment full of routers makes false takeovers, beside what the formula predicts."""
    from fastha.sim import study as work  # noqa: PLC0415  only here

    rows = []
    click.echo(work.HEADER)
    for loss in work.LOSSES:
        row = work.measure(routers, interval_ms, loss, seconds, seed)
        rows.append(row)
        click.echo(row.line())
    click.echo(work.intervals())
    if svg is not None:
        svg.write_text(work.plot(rows, routers, interval_ms), encoding="utf-8")
