"""Charts as SVG text: a card of its own for light and dark, system fonts, nothing from the net, no script.

Pure: numbers and words in, text out, the same for the same. docs/write_performance.py decides what is drawn.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 880
_PAD = 20
_ROW = 24
_CHAR = 6.9  # of 12 px text, generously

_STYLE = """\
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; } .head { font-weight: 600; } .soft { fill: #59636e; }
.card { fill: #ffffff; stroke: #d1d9e0; } .grid { stroke: #d1d9e0; } .goal { stroke: #59636e; stroke-dasharray: 4 3; }
.a { fill: #0969da; } .b { fill: #8c959f; } .met { fill: #1a7f37; } .near { fill: #bf8700; }
.line { fill: none; stroke-width: 1.8; } .la { stroke: #0969da; } .lb { stroke: #8c959f; } .lc { stroke: #bf8700; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; } .soft { fill: #9198a1; } .card { fill: #0d1117; stroke: #3d444d; } .grid { stroke: #3d444d; }
.goal { stroke: #9198a1; } .a { fill: #4493f8; } .b { fill: #6e7681; } .met { fill: #3fb950; } .near { fill: #d29922; }
.la { stroke: #4493f8; } .lb { stroke: #9198a1; } .lc { stroke: #d29922; }
}
"""


@dataclass(frozen=True, slots=True)
class Met:
    """How a figure stands to its goal: 1 is the goal, more is better."""

    name: str
    met: float
    label: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rivals in one task, and what each did; ours is the first."""

    name: str
    rates: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity over time."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share one scale, which begins at 0."""

    name: str
    lines: Sequence[Line]


def goals(title: str, note: str, rows: Sequence[Met | str]) -> str:
    """Each figure against its goal, on a scale of factors; a text among the rows is the head of those below it."""
    left, right = 330, WIDTH - 150
    least, most = 0.25, 16.0

    def x(met: float) -> float:
        at = math.log(min(max(met, least), most) / least) / math.log(most / least)
        return left + at * (right - left)

    top = 84
    bottom = top + _ROW * len(rows)
    body = []
    for mark in (0.25, 0.5, 1, 2, 4, 8, 16):
        kind = "goal" if mark == 1 else "grid"
        body.append(f'<line class="{kind}" x1="{x(mark):.1f}" y1="{top - 8}" x2="{x(mark):.1f}" y2="{bottom}"/>')
        body.append(_text(x(mark), top - 14, "goal" if mark == 1 else f"{mark:g}x", "soft", "middle"))
    for n, row in enumerate(rows):
        y = top + _ROW * n
        if isinstance(row, str):
            body.append(_text(_PAD, y + 16, row, "head"))
            continue
        body.append(_text(left - 12, y + 16, row.name, "", "end"))
        begin, end = sorted((x(1), x(row.met)))
        kind = "met" if row.met >= 1 else "near"
        body.append(f'<rect class="{kind}" x="{begin:.1f}" y="{y + 5}" width="{max(end - begin, 3):.1f}" height="14"/>')
        body.append(_text(max(end, x(1)) + 8, y + 16, row.label + (" »" if row.met > most else ""), ""))
    return _page(title, note, bottom + _PAD, body)


def rates(title: str, note: str, groups: Sequence[Group]) -> str:
    """What each rival did a second, each group on its own scale from 0."""
    left, right = 330, WIDTH - 110
    y = 66.0
    body = []
    for group in groups:
        most = max(rate for _, rate in group.rates)
        body.append(_text(_PAD, y + 16, group.name, "head"))
        y += _ROW
        for n, (who, rate) in enumerate(group.rates):
            wide = max((right - left) * rate / most, 1)
            body.append(_text(left - 12, y + 16, who, "", "end"))
            body.append(
                f'<rect class="{"b" if n else "a"}" x="{left}" y="{y + 4:.1f}" width="{wide:.1f}" height="16"/>'
            )
            body.append(_text(left + wide + 8, y + 16, f"{rate:,.0f}/s", ""))
            y += _ROW
        y += 10
    return _page(title, note, y + _PAD / 2, body)


def times(title: str, note: str, panels: Sequence[Panel]) -> str:
    """Panels one below another over the same seconds."""
    left, right, tall = 70, WIDTH - _PAD, 120
    until = max(at for panel in panels for line in panel.lines for at, _ in line.points)
    body = []
    y = 66.0
    for panel in panels:
        body.append(_text(_PAD, y + 14, panel.name, "head"))
        body += _legend(panel, y + 14)
        bottom = y + 26 + tall
        most = _round_up(max(value for line in panel.lines for _, value in line.points))
        for part in (0, 0.5, 1):
            at = bottom - part * tall
            body.append(f'<line class="grid" x1="{left}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>')
            body.append(_text(left - 8, at + 4, f"{most * part:,g}", "soft", "end"))
        for kind, line in zip("abc", panel.lines, strict=False):
            points = " ".join(
                f"{left + at / until * (right - left):.1f},{bottom - value / most * tall:.1f}"
                for at, value in line.points
            )
            body.append(f'<polyline class="line l{kind}" points="{points}"/>')
        y = bottom + 24
    for minute in range(int(until // 60) + 1):
        body.append(_text(left + minute * 60 / until * (right - left), y - 4, f"{minute} min", "soft", "middle"))
    return _page(title, note, y + _PAD, body)


def _legend(panel: Panel, y: float) -> Iterator[str]:
    x = _PAD + len(panel.name) * _CHAR + 40
    for kind, line in zip("abc", panel.lines, strict=False):
        yield f'<line class="line l{kind}" x1="{x:.1f}" y1="{y - 4:.1f}" x2="{x + 18:.1f}" y2="{y - 4:.1f}"/>'
        yield _text(x + 24, y, line.name, "soft")
        x += 24 + len(line.name) * _CHAR + 20


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten, and of its halves between."""
    step = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * part for part in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * part >= value)


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{named}{placed}>{escape(words)}</text>'


def _page(title: str, note: str, height: float, body: Sequence[str]) -> str:
    tall = math.ceil(height)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" width="{WIDTH}" height="{tall}"'
            f' role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{_STYLE}</style>",
            f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{tall - 1}" rx="8"/>',
            _text(_PAD, 28, title, "title"),
            _text(_PAD, 48, note, "soft"),
            *body,
            "</svg>\n",
        ]
    )
