"""Charts as inline SVG: bars, columns and lines. No library, no script, no number that is not in the table beside it.

Every text is escaped, and what does not print is made visible: labels may come from the exchange. Sizes are whole
pixels of a fixed canvas that the page scales. Colours are classes of the page's style, so that both themes apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import count

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 84, 16, 14, 40
_ROW = 30
_NAMES = 150
_ids = count(1)


def shown(text: object) -> str:
    """Text for HTML and SVG: nothing in it is markup, and nothing reorders or hides what is read."""
    words = str(text)
    if not words.isprintable():
        words = "".join(
            char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in words
        )
    return escape(words, quote=True)


@dataclass(frozen=True, slots=True)
class Bar:
    """One value with its label and how it reads."""

    label: str
    value: int
    reads: str
    kind: str = "one"  # the class of its colour


@dataclass(frozen=True, slots=True)
class Line:
    """A step line over time: (time, value), ascending in time."""

    name: str
    kind: str
    points: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the horizontal axis, in hundredths of a column, and what stands there."""

    place: int
    label: str


def bars(title: str, says: str, values: Sequence[Bar]) -> str:
    """Horizontal bars, each with its label and value."""
    high = max((bar.value for bar in values), default=0) or 1
    room = WIDTH - _NAMES - 110
    parts = []
    for row, bar in enumerate(values):
        y = 4 + row * _ROW
        long = max(bar.value * room // high, 2 if bar.value else 0)
        parts.append(
            f"<g><title>{shown(bar.label)}: {shown(bar.reads)}</title>"
            f'<text x="{_NAMES - 8}" y="{y + 15}" class="end">{shown(_short(bar.label))}</text>'
            f'<rect x="{_NAMES}" y="{y}" width="{long}" height="{_ROW - 8}" class="{bar.kind}"/>'
            f'<text x="{_NAMES + long + 6}" y="{y + 15}">{shown(bar.reads)}</text></g>'
        )
    return _svg(title, says, 8 + _ROW * max(1, len(values)), parts)


def columns(title: str, says: str, values: Sequence[Bar], marks: Sequence[Mark] = (), every: int = 1) -> str:
    """Upright columns side by side; every so many have their label below, and marks stand between them."""
    high = max((bar.value for bar in values), default=0) or 1
    top, steps = _scale(high)
    wide = (WIDTH - LEFT - RIGHT) * 100 // max(1, len(values))
    parts = [_grid(0, top, steps, str)]
    for place, bar in enumerate(values):
        x = LEFT + place * wide // 100
        y = _height(bar.value, 0, top)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{max(1, wide // 100 - 1)}" height="{HEIGHT - BOTTOM - y}"'
            f' class="{bar.kind}"><title>{shown(bar.label)}: {shown(bar.reads)}</title></rect>'
        )
        if place % every == 0:
            parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" class="small">{shown(bar.label)}</text>')
    for number, mark in enumerate(marks):
        x = LEFT + mark.place * wide // 10_000
        side, gap = ("small end", -4) if x > WIDTH * 3 // 4 else ("small", 4)
        parts.append(
            f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{HEIGHT - BOTTOM}" class="mark"/>'
            f'<text x="{x + gap}" y="{TOP + 10 + 14 * number}" class="{side}">{shown(mark.label)}</text>'
        )
    return _svg(title, says, HEIGHT, parts)


def lines(title: str, says: str, drawn: Sequence[Line], axis: Sequence[str], reads: "Reads") -> str:
    """Step lines over time; `axis` is what stands below the left and the right end."""
    points = [point for line in drawn for point in line.points]
    low, high = min([0, *(y for _, y in points)]), max([0, *(y for _, y in points)])
    top, steps = _scale(max(high, -low, 1))
    floor, roof = (low // steps) * steps, -(-high // steps) * steps
    if floor == roof:
        roof = top
    first, last = min((x for x, _ in points), default=0), max((x for x, _ in points), default=0)
    parts = [_grid(floor, roof, steps, reads)]
    for line in drawn:
        places = [
            (LEFT + (x - first) * (WIDTH - LEFT - RIGHT) // max(1, last - first), _height(y, floor, roof))
            for x, y in line.points
        ]
        parts.append(f'<path d="{_steps(places)}" class="line {line.kind}"><title>{shown(line.name)}</title></path>')
    for place, text in zip((LEFT, WIDTH - RIGHT), axis, strict=True):
        side = "small" if place == LEFT else "small end"
        parts.append(f'<text x="{place}" y="{HEIGHT - BOTTOM + 16}" class="{side}">{shown(text)}</text>')
    for number, line in enumerate(drawn):
        x = LEFT + 150 * number
        parts.append(
            f'<line x1="{x}" y1="{HEIGHT - 8}" x2="{x + 24}" y2="{HEIGHT - 8}" class="line {line.kind}"/>'
            f'<text x="{x + 30}" y="{HEIGHT - 4}" class="small">{shown(line.name)}</text>'
        )
    return _svg(title, says, HEIGHT, parts)


class Reads:
    """How a value of an axis reads: dollars x 10^8 as dollars."""

    def __call__(self, value: int) -> str:
        sign = "-" if value < 0 else ""
        cents = abs(value) // 10**6
        return f"{sign}${cents // 100:,}" + (f".{cents % 100:02d}" if cents % 100 else "")


def _svg(title: str, says: str, height: int, parts: Sequence[str]) -> str:
    name = f"chart{next(_ids)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-labelledby="{name}t {name}d"><title id="{name}t">{shown(title)}</title>'
        f'<desc id="{name}d">{shown(says)}</desc>{"".join(parts)}</svg>'
    )


def _grid(low: int, high: int, step: int, reads: "Reads | type[str]") -> str:
    found = []
    for value in range(low, high + 1, step):
        y = _height(value, low, high)
        kind = "axis" if value == 0 else "grid"
        found.append(
            f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" class="{kind}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4}" class="small end">{shown(reads(value))}</text>'
        )
    return "".join(found)


def _height(value: int, low: int, high: int) -> int:
    room = HEIGHT - TOP - BOTTOM
    return TOP + room - (value - low) * room // max(1, high - low)


def _scale(high: int) -> tuple[int, int]:
    """A round number from `high` on, and the step of about five lines up to it."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if step * 5 >= high:
                return -(-high // step) * step, step
        size *= 10


def _steps(places: Sequence[tuple[int, int]]) -> str:
    if not places:
        return "M0 0"
    (x, y), *rest = places
    return f"M{x} {y}" + "".join(f"H{x}V{y}" for x, y in rest)


def _short(label: str) -> str:
    return label if len(label) <= 22 else f"{label[:21]}…"
