"""The study of docs/sim-study.md: what loss does to a segment full of routers, beside what is predicted.

A backup takes over falsely when all adverts of Active_Down_Interval (RFC 9568 6.1: three intervals and less
than one of skew) are lost: three in a row. With independent loss p and adverts every I seconds, that begins
p^3 (1-p) / I times a second for each backup.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastha._core import sim

MS = 1_000_000
SECOND = 1_000_000_000
LOSSES = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
MONTH = 30 * 86_400.0
HEADER = (
    "  loss   | failover ms, all routers | false takeovers/s, all: measured  predicted "
    "| a pair: measured  predicted"
)


def predicted(loss: float, interval: float, backups: int = 1, adverts: int = 3) -> float:
    """False takeovers a second; interval in seconds."""
    return backups * loss**adverts * (1 - loss) / interval


@dataclass(frozen=True)
class Row:
    """What was measured at one share of loss."""

    loss: float
    failover_ms: float | None
    rate: float
    rate_predicted: float
    pair: float
    pair_predicted: float

    def line(self) -> str:
        """As a line under HEADER."""
        failover = f"{self.failover_ms:10.1f}" if self.failover_ms is not None else "     never"
        return (
            f" {self.loss:6.1%}  |       {failover}         |      {self.rate:14.2f}"
            f"    {self.rate_predicted:14.2f}"
            f"        |  {self.pair:10.4f}  {self.pair_predicted:10.4f}"
        )


def _world(routers: int, interval: float, loss: float, seed: int) -> tuple[sim.World, list[int]]:
    w = sim.World(seed, int(interval * MS))
    segment = w.segment(100_000)
    made = []
    for n in range(routers):
        w.router([(segment, routers - n)])
        priority = 254 if n == 0 else 250 - (n - 1) * 249 // max(routers - 1, 1)
        made.append(w.instance(n, vrid=1, priority=max(priority, 1), adver_int=int(interval * MS)))
    w.fault("loss", 0, 10**6 * SECOND, segment, int(loss * 1_000_000))
    return w, made


def _failover(routers: int, interval: float, loss: float, seed: int) -> float | None:
    """Milliseconds from the death of the master until one router of the best priority left is alone."""
    w, made = _world(routers, interval, loss, seed)
    begin = int(100 * interval * MS)
    w.fault("crash", begin, 10**6 * SECOND, 0)
    w.start()
    w.run(begin)
    step = MS // 4
    for n in range(1, 8001):
        w.run(begin + n * step)
        best = [i for i in made[1:] if w.state(i) == "MASTER"]
        if len(best) == 1 and w.priority(best[0]) == w.priority(made[1]):
            return n * step / MS
    return None


def measure(routers: int, interval_ms: float, loss: float, seconds: float, seed: int) -> Row:
    """One row of the study. RuntimeError: a rule was broken, which loss is no excuse for."""
    w, _ = _world(routers, interval_ms, loss, seed)
    w.start()
    settled = int(100 * interval_ms * MS)
    w.run(settled)
    before = w.stats()["takeovers"]
    w.run(settled + int(seconds * SECOND))
    rate = (w.stats()["takeovers"] - before) / seconds
    p, _ = _world(2, interval_ms, loss, seed)
    p.start()
    p.run(settled)
    before = p.stats()["takeovers"]
    long = 2000.0
    p.run(settled + int(long * SECOND))
    for world in (w, p):
        if world.broken is not None:
            raise RuntimeError(f"loss {loss:.1%}: {world.broken}")
    return Row(
        loss=loss,
        failover_ms=_failover(routers, interval_ms, loss, seed),
        rate=rate,
        rate_predicted=predicted(loss, interval_ms / 1000, routers - 1),
        pair=(p.stats()["takeovers"] - before) / long,
        pair_predicted=predicted(loss, interval_ms / 1000),
    )


def intervals() -> str:
    """What is safe: the fewest adverts (vrrp_down_timer_adverts) for a false takeover a month."""
    out = ["adverts that must be lost for at most one false takeover a month and backup:"]
    steps = (0.01, 0.1, 1.0)
    out.append("  loss     " + "".join(f"{i * 1000:8.0f} ms" for i in steps))
    for loss in LOSSES[1:]:
        cells = [next(k for k in range(3, 100) if predicted(loss, i, 1, k) * MONTH <= 1) for i in steps]
        out.append(f"  {loss:6.1%}   " + "".join(f"{k:11d}" for k in cells))
    return "\n".join(out)


def plot(rows: list[Row], routers: int, interval_ms: float) -> str:
    """The rates over loss, logarithmic, as SVG: measured points, predicted lines."""
    from math import log10  # noqa: PLC0415  only for the picture

    width, height, left, top = 760, 420, 70, 40
    low, high = -5.0, 4.5

    def x(loss: float) -> float:
        return left + (width - left - 20) * loss / 0.3

    def y(rate: float) -> float:
        power = max(low, min(high, log10(rate))) if rate > 0 else low
        return top + (height - top - 50) * (high - power) / (high - low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="20">False takeovers a second, adverts every {interval_ms:g} ms</text>',
    ]
    for power in range(-5, 5):
        at = y(10.0**power)
        out.append(f'<path d="M{left} {at:.1f}H{width - 20}" stroke="#eeeeee"/>')
        out.append(f'<text x="12" y="{at + 4:.1f}">10^{power}</text>')
    for percent in range(0, 31, 5):
        out.append(f'<text x="{x(percent / 100) - 8:.1f}" y="{height - 30}">{percent} %</text>')
    curves: tuple[tuple[str, str, int, Callable[[Row], float]], ...] = (
        ("#3a6fc0", f"{routers} routers", routers - 1, lambda r: r.rate),
        ("#3a9a4a", "a pair", 1, lambda r: r.pair),
    )
    for colour, name, backups, of in curves:
        points = [
            (loss / 1000, predicted(loss / 1000, interval_ms / 1000, backups)) for loss in range(1, 301)
        ]
        line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        out += [
            f'<circle cx="{x(r.loss):.1f}" cy="{y(of(r)):.1f}" r="4" fill="{colour}"/>'
            for r in rows
            if of(r) > 0
        ]
        label = y(predicted(0.22, interval_ms / 1000, backups))
        out.append(f'<text x="{x(0.22):.1f}" y="{label - 10:.1f}" fill="{colour}">{name}</text>')
    out.append(
        f'<text x="{left}" y="{height - 8}">lines: predicted, p^3 (1-p) / I a backup; points: measured</text>'
    )
    out.append("</svg>")
    return "\n".join(out) + "\n"
