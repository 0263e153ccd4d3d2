"""A run as a picture (SVG): instances are lanes, time goes to the right, adverts are arrows."""

from __future__ import annotations

from html import escape

from fastha._core import sim

from .story import Story
from .timeline import BFD_STATE, BROKEN, FAULT, HEARD, LOST, STATE, Record, fault_words, name_of, session_name

WIDTH, LEFT, LANE, TOP = 1400, 120, 64, 50
COLOURS = {
    "INIT": "#bbbbbb",
    "BACKUP": "#7aa6d8",
    "MASTER": "#3a9a4a",
    "FAULT": "#d05a50",
    "HANDOVER": "#d8a33a",
}
MOST_ARROWS = 1500


def _span(story: Story, records: list[Record], span_us: int | None) -> tuple[int, int]:
    end = max((r[0] for r in records), default=story.until_us * 1000)
    first = min((f.at_us * 1000 for f in story.faults), default=0)
    begin = end - span_us * 1000 if span_us is not None else max(0, first - (end - first) // 10)
    return max(0, begin), max(end, begin + 1)


def _states(
    story: Story, records: list[Record], begin: int, end: int
) -> dict[int, list[tuple[int, int, str]]]:
    """Of each instance: from, to, state."""
    out: dict[int, list[tuple[int, int, str]]] = {}
    for inst in range(len(story.instances)):
        at, state = 0, "INIT"
        runs = []
        for r in records:
            if r[1] == STATE and r[2] == inst:
                runs.append((at, r[0], state))
                at, state = r[0], sim.STATES[r[5]]
        runs.append((at, end, state))
        out[inst] = [(max(a, begin), b, s) for a, b, s in runs if b > begin]
    return out


def svg(story: Story, records: list[Record], *, span_us: int | None = None) -> str:
    """The picture of a traced run; span_us: only the last so many microseconds.

    Arrows: adverts that were heard (grey), priority 0 (orange), lost ones (red, dashed, ending half-way).
    """
    begin, end = _span(story, records, span_us)
    lanes = {inst: TOP + n * LANE for n, inst in enumerate(range(len(story.instances)))}
    height = TOP + len(lanes) * LANE + 40 + 16 * len(story.faults)

    def x(at: int) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (at - begin) / (end - begin)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="18">{escape(story.about or f"seed {story.seed}")}</text>',
    ]
    for n in range(11):
        at = begin + (end - begin) * n // 10
        out.append(f'<path d="M{x(at):.1f} {TOP - 12}V{height - 10}" stroke="#eeeeee"/>')
        out.append(f'<text x="{x(at):.1f}" y="{TOP - 16}" fill="#777777">{at / 1e9:.3f} s</text>')
    for inst, y in lanes.items():
        out.append(f'<text x="8" y="{y + 14}">{escape(name_of(story, inst))}</text>')
    for inst, runs in _states(story, records, begin, end).items():
        for a, b, state in runs:
            out.append(
                f'<rect x="{x(a):.1f}" y="{lanes[inst]}" width="{max(x(b) - x(a), 1):.1f}" height="18" '
                f'fill="{COLOURS[state]}"><title>{state} {a / 1e9:.6f}-{b / 1e9:.6f} s</title></rect>'
            )
    out += _arrows(story, records, begin, lanes, x)
    y = TOP + len(lanes) * LANE + 20
    for n, fault in enumerate(story.faults):
        a, b = max(fault.at_us * 1000, begin), min(fault.until_us * 1000, end)
        if a < b:
            out.append(
                f'<rect x="{x(a):.1f}" y="{y + n * 16 - 9}" width="{max(x(b) - x(a), 2):.1f}" height="10" '
                f'fill="#d05a50" fill-opacity="0.3"/>'
            )
        out.append(f'<text x="8" y="{y + n * 16}" font-size="10">{escape(fault_words(story, fault))}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _arrows(story: Story, records: list[Record], begin: int, lanes: dict[int, int], x: object) -> list[str]:
    assert callable(x)
    out = []
    by_place = {(i.router, i.port, i.vrid): n for n, i in enumerate(story.instances)}
    packets = [r for r in records if r[1] in (HEARD, LOST) and r[0] >= begin][-MOST_ARROWS:]
    for at, kind, who, origin, priority, _, under_way in packets:
        i = story.instances[who]
        sender = by_place.get((origin, i.port, i.vrid))
        y2 = lanes[who] + 9
        y1 = lanes[sender] + 9 if sender is not None else TOP - 10
        x1, x2 = x(at - under_way * 1000), x(at)
        colour = "#e08020" if priority == 0 else "#888888"
        if kind == LOST:
            x2, y2, colour = (x1 + x2) / 2, (y1 + y2) // 2, "#cc2020"
        dash = ' stroke-dasharray="3 2"' if kind == LOST else ""
        out.append(
            f'<path d="M{x1:.1f} {y1}L{x2:.1f} {y2}" stroke="{colour}" stroke-width="0.7"{dash}/>'
            f'<circle cx="{x2:.1f}" cy="{y2}" r="1.6" fill="{colour}"/>'
        )
    for record in records:
        at, kind, who, _, a, b, _ = record
        if at < begin:
            continue
        if kind == BROKEN:
            out.append(
                f'<path d="M{x(at):.1f} {TOP - 12}V{TOP + len(lanes) * LANE}" '
                f'stroke="#cc2020" stroke-width="2"/>'
                f'<text x="{x(at) - 4:.1f}" y="34" text-anchor="end" fill="#cc2020">{sim.RULES[a]}</text>'
            )
        elif kind == BFD_STATE:
            words = f"{session_name(story, who // 2, who % 2)} {sim.BFD_STATES[b]}"
            lane = TOP + len(lanes) * LANE + 6
            out.append(f'<path d="M{x(at):.1f} {TOP}V{lane}" stroke="#8050b0" stroke-dasharray="1 3"/>')
            out.append(
                f'<text x="{x(at):.1f}" y="{lane}" font-size="9" fill="#8050b0">{escape(words)}</text>'
            )
        elif kind == FAULT:
            out.append(f'<path d="M{x(at):.1f} {TOP - 8}v8" stroke="#d05a50" stroke-width="2"/>')
    return out
