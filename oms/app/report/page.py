"""A report as one HTML page that needs nothing else: no script, no network, no file beside it.

It forbids itself everything but its own style by a content security policy that names the style by its hash. What comes
from the exchange or a caller is escaped. Beside each chart stands a table with its numbers. The page is well-formed XML
too, so that a test can read it strictly.
"""

import base64
import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from oms.app.report import charts
from oms.app.report.charts import Bar, Line, Mark, shown
from oms.app.report.figures import MARKETS_SHOWN, Figures, Latency, Rate
from oms.app.report.summary import by_status, dollars, duration, fields, share
from oms.units import format_count, format_dollars, format_time

STYLE = """
:root{color-scheme:light dark;--ink:#1a1f24;--paper:#fff;--soft:#5b6670;--rule:#d9dee3;--one:#1667c1;--two:#b85c00;
--good:#1d7a3a;--bad:#b3261e;--wait:#7a6a00;--mark:#8a2be2}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaee;--paper:#14181c;--soft:#9aa6b1;--rule:#343c44;--one:#6cb2ff;
--two:#ffab57;--good:#63c983;--bad:#ff8a80;--wait:#e0cc5a;--mark:#cf9bff}}
@media print{:root{--ink:#000;--paper:#fff;--soft:#444;--rule:#bbb;--one:#1667c1;--two:#b85c00;--good:#1d7a3a;
--bad:#b3261e;--wait:#7a6a00;--mark:#8a2be2}section{break-inside:avoid}body{max-width:none}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:60rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2.5rem 0 .5rem}
.soft,figcaption,caption{color:var(--soft)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.75rem;margin:1.5rem 0}
dl div{border:1px solid var(--rule);border-radius:.4rem;padding:.5rem .75rem}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums}
figure{margin:0}svg{display:block;width:100%;height:auto;font:13px system-ui,sans-serif}
svg text{fill:var(--ink)}svg .small{font-size:11px;fill:var(--soft)}svg .end{text-anchor:end}
svg rect{fill:var(--one)}svg rect.good{fill:var(--good)}svg rect.bad{fill:var(--bad)}svg rect.wait{fill:var(--wait)}
svg line{stroke:var(--rule)}svg line.axis{stroke:var(--soft)}svg .mark{stroke:var(--mark);stroke-dasharray:4 3}
svg .line{fill:none;stroke:var(--one);stroke-width:2}svg .line.two{stroke:var(--two);stroke-dasharray:6 3}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:.75rem 0;width:100%}
caption{text-align:left;font-size:.85rem}th,td{text-align:left;padding:.25rem .75rem .25rem 0;
border-bottom:1px solid var(--rule);vertical-align:top}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
"""

_KINDS = {
    "executed": "good",
    "resting": "one",
    "rejected": "bad",
    "unsent": "bad",
    "pending": "wait",
    "in doubt": "wait",
}
_STEPS = (1, 2, 5)
_COLUMNS = 90  # of a chart over time


def page(figures: Figures) -> str:
    """The whole page."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = f"oms report: {figures.environment}"
    span = "everything recorded" if figures.since_us is None else f"from {format_time(figures.since_us)}"
    return (
        '<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>'
        f'<meta http-equiv="Content-Security-Policy" content="{shown(policy)}"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        '<meta name="referrer" content="no-referrer"/>'
        f"<title>{shown(title)}</title><style>{STYLE}</style></head>\n<body><header><h1>{shown(title)}</h1>"
        f'<p class="soft">{shown(span)} to {shown(format_time(figures.made_at_us))}, ledger {shown(figures.ledger)}.'
        " Times are UTC.</p></header>\n<main>"
        + "\n".join([_tiles(figures), *_sections(figures)])
        + "</main></body></html>\n"
    )


def _tiles(figures: Figures) -> str:
    told = fields(figures)
    recorded, _ = figures.latencies
    tiles = {
        "Orders": f"{told['orders']['total']:,}",
        "In doubt": f"{figures.in_doubt:,}",
        "Acknowledged after, p50": duration(recorded.rank(500)),
        "Acknowledged after, p99": duration(recorded.rank(990)),
        "Trades": f"{told['money']['trades']:,}",
        "Realized, after fees": f"{told['money']['realized']} $",
    }
    return f"<dl>{''.join(f'<div><dt>{shown(k)}</dt><dd>{shown(v)}</dd></div>' for k, v in tiles.items())}</dl>"


def _sections(figures: Figures) -> Iterator[str]:
    yield _section("Order outcomes", *_outcomes(figures))
    for latency in figures.latencies:
        yield _section(f"Latency {latency.title}", *_latency(latency))
    yield _section("Fills and result over time", *_result(figures))
    yield _section("Rate budget used", *_rate(figures.rate))


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{shown(title)}</h2>{''.join(parts)}</section>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{shown(caption)}</figcaption></figure>"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], words: int = 1) -> str:
    """A table whose first `words` columns are text and whose others are numbers."""

    def cells(values: Sequence[Any], tag: str) -> str:
        found = []
        for place, value in enumerate(values):
            kind = ' class="number"' if place >= words else ""
            scope = ' scope="col"' if tag == "th" else ""
            found.append(f"<{tag}{kind}{scope}>{shown(value)}</{tag}>")
        return "".join(found)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{shown(caption)}</caption><thead><tr>{cells(heads, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _outcomes(figures: Figures) -> Iterator[str]:
    counts = {**by_status(figures), "in doubt": figures.in_doubt}
    total = sum(number for _, _, number in figures.outcomes)
    values = [Bar(name, number, f"{number:,}", _KINDS.get(name, "one")) for name, number in counts.items()]
    says = ", ".join(f"{bar.reads} {bar.label}" for bar in values)
    yield _figure(
        charts.bars("Orders by where they stand", says, values),
        f"{total:,} orders. In doubt counts commands on the wire, in doubt or parked, whatever the order's status.",
    )
    told = [(status, reason or "", f"{number:,}") for status, reason, number in sorted(figures.outcomes, key=_by_count)]
    yield _table("Orders by status and reason", ["status", "reason", "orders"], told, words=2)
    answers = fields(figures)["attempts"]
    rows = [(name.replace("_", " "), f"{number:,}") for name, number in answers.items()]
    yield _table("Attempts and how they were answered", ["attempts", "number"], rows)


def _by_count(outcome: tuple[str, str | None, int]) -> tuple[int, str, str]:
    return -outcome[2], outcome[0], outcome[1] or ""


def _latency(latency: Latency) -> Iterator[str]:
    if not latency.values:
        yield "<p>No order was acknowledged.</p>"
        return
    edges = _edges(latency.values[0], latency.values[-1])
    counts = [0] * (len(edges) - 1)
    place = 0
    for value in latency.values:
        while value >= edges[place + 1]:
            place += 1
        counts[place] += 1
    values = [Bar(duration(edges[i]), number, f"{number:,} orders") for i, number in enumerate(counts)]
    ranks = {name: latency.rank(rank) or 0 for name, rank in (("p50", 500), ("p90", 900), ("p99", 990), ("most", 1000))}
    marks = [Mark(_place(edges, ranks[name]), f"{name} {duration(ranks[name])}") for name in ("p50", "p99")]
    says = ", ".join(f"{name} {duration(value)}" for name, value in ranks.items())
    svg = charts.columns(
        f"Latency {latency.title}: orders by duration", says, values, marks, every=-(-len(values) // 12)
    )
    yield _figure(svg, f"{len(latency.values):,} orders; each column begins at the duration below it (1, 2, 5 steps).")
    yield _table("Percentiles, of every order", ["", "duration"], [(k, duration(v)) for k, v in ranks.items()])
    rows = [(f"from {bar.label}", f"{bar.value:,}") for bar in values if bar.value]
    yield _table("Orders by duration", ["duration", "orders"], rows)


def _place(edges: Sequence[int], value: int) -> int:
    """Where a value lies among the columns, in hundredths of one."""
    column = bisect_right(edges, value) - 1
    return 100 * column + 100 * (value - edges[column]) // (edges[column + 1] - edges[column])


def _edges(low: int, high: int) -> list[int]:
    """Edges 1, 2, 5, 10, 20 ... around all values, microseconds."""
    edges = [0] if low == 0 else []
    size = 1
    while not edges or edges[-1] <= high:
        for step in _STEPS:
            edge = step * size
            if edge <= low and low:
                edges = [edge]
            elif not edges or edges[-1] <= high:
                edges.append(edge)
        size *= 10
    return edges


def _result(figures: Figures) -> Iterator[str]:
    if not figures.points:
        yield "<p>No trade is known. `oms reconcile` reads them.</p>"
        return
    drawn = [
        Line("realized, after fees", "one", [(point.at_us, point.realized_e8) for point in figures.points]),
        Line("cash, after fees", "two", [(point.at_us, point.cash_e8) for point in figures.points]),
    ]
    first, last = figures.points[0], figures.points[-1]
    says = f"realized {dollars(last.realized_e8)}, cash {dollars(last.cash_e8)} dollars at the end"
    axis = [format_time(point.at_us)[:19].replace("T", " ") for point in (first, last)]
    yield _figure(
        charts.lines("Realized result and cash flow over time", says, drawn, axis, charts.Reads()),
        "From zero at the beginning of the period. Realized: average cost, settlements included. Cash: what trades and"
        " settlements moved, collateral of NO taken out.",
    )
    if figures.trades:
        values, wide = _over_time(figures.trades, 60, sum, "trades")
        total = sum(figures.trades.values())
        svg = charts.columns("Trades over time", f"{total:,} trades", values, every=-(-len(values) // 8))
        yield _figure(svg, f"{total:,} trades. Each column is {wide:,} min.")
    some = figures.points[:: -(-len(figures.points) // 20)]
    rows = [
        (format_time(p.at_us), dollars(p.realized_e8), dollars(p.cash_e8), format_dollars(p.fees_e6))
        for p in [*some, *([] if some[-1] is last else [last])]
    ]
    yield _table("The same, at some moments", ["time", "realized", "cash", "fees so far"], rows)
    heads = ["market", "trades", "contracts", "position now", "realized", "fees"]
    markets = [
        (
            *(m.ticker, f"{m.trades:,}", format_count(m.contracts_e2), format_count(m.position_e2)),
            *(dollars(m.realized_e8), format_dollars(m.fees_e6)),
        )
        for m in figures.markets[:MARKETS_SHOWN]
    ]
    left = len(figures.markets) - len(markets)
    more = f"; {left} more are not shown" if left > 0 else ""
    yield _table(f"Markets by the size of their result{more}", heads, markets)


def _over_time(
    counts: dict[int, int], unit_s: int, join: Callable[[Sequence[int]], int], noun: str
) -> tuple[list[Bar], int]:
    """Columns over time from counts by moment, and how many units each is wide."""
    first, last = min(counts), max(counts)
    wide = max(1, -(-(last - first + 1) // _COLUMNS))
    found: list[list[int]] = [[] for _ in range((last - first) // wide + 1)]
    for moment, number in counts.items():
        found[(moment - first) // wide].append(number)
    part = slice(11, 19) if (last - first) * unit_s < 86_400 else slice(5, 16)
    labels = [format_time((first + place * wide) * unit_s * 1_000_000)[part] for place in range(len(found))]
    numbers = [join(each) if each else 0 for each in found]
    return [
        Bar(label.replace("T", " "), number, f"{number:,} {noun}")
        for label, number in zip(labels, numbers, strict=True)
    ], wide


def _rate(rate: Rate) -> Iterator[str]:
    if not rate.attempts:
        yield "<p>Nothing was sent.</p>"
        return
    most = max(rate.attempts.values())
    values, wide = _over_time(rate.attempts, 1, max, "attempts")
    says = f"at most {most} attempts in one second"
    of = f"the busiest second of {wide:,} s" if wide > 1 else "one second"
    svg = charts.columns("Attempts per second over time", says, values, every=-(-len(values) // 8))
    yield _figure(svg, f"Each column is {of}. One request may carry many attempts.")
    yield from _shares(rate)
    rows = [
        ("in all", f"{sum(rate.attempts.values()):,}"),
        ("in the busiest second", f"{most:,}"),
        ("seconds with any", f"{len(rate.attempts):,}"),
    ]
    yield _table("What was sent", ["", "attempts"], rows)


def _shares(rate: Rate) -> Iterator[str]:
    """What was used of the write budget, where it is known what that was."""
    if not rate.allowed:
        yield "<p>How much of the account's write budget that was is unknown: its limits were not read.</p>"
        return
    percents = {second: 100 * rate.tokens[second] // allowed for second, allowed in rate.allowed.items()}
    values, wide = _over_time(percents, 1, max, "%")
    svg = charts.columns(
        "Share of the write budget used over time", f"{share(rate)} in all", values, every=-(-len(values) // 8)
    )
    of = f"the busiest second of {wide:,} s" if wide > 1 else "one second"
    yield _figure(
        svg,
        f"Tokens used in {of}, in percent of what refills in one. A bucket that was full lets more than 100 % through.",
    )
    budgets = Counter(rate.allowed.values())
    rows = [("in seconds with any", share(rate))]
    rows += [(f"at {per_s:,} tokens a second", f"{seconds:,} s") for per_s, seconds in sorted(budgets.items())]
    yield _table("Share of the write budget", ["", "used"], rows)
