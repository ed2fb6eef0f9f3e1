"""Writes tables and charts of docs/performance.md from the record of a run, docs/performance.json.

python -m benchmarks --json docs/performance.json [--update NAME...]    measures
python docs/write_performance.py           rewrite what is written by machine, the charts too
python docs/write_performance.py --check   say whether all is in step (exit 1 if not)
"""

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from charts import Group, Line, Met, Panel, goals, rates, times
from claims import CLAIMS, PARTS, Part
from figures import Figure, figure_of, shown

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "performance.md"
RECORD = DOCS / "performance.json"
BLOCK = re.compile(r"(<!-- written: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
MINUTES = "minutes"  # the series of minutes.py over time
GOALS, RATES, TEN_MINUTES = "performance-goals.svg", "performance-rates.svg", "performance-minutes.svg"
_TITLES = {
    GOALS: "Every figure against its goal",
    RATES: "Orders a second, oms and its rivals",
    TEN_MINUTES: "The full rate of a tier, over time",
}

Run = Mapping[str, Any]


class Record:
    """A run that was written down, by claims."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.machine: Mapping[str, Any] = told["machine"]
        self.runs: list[Run] = [run for run in told["benchmarks"] if not run["is_short"]]
        self.figures: dict[str, Figure] = {}
        self.skipped: dict[str, str] = {}
        for run in self.runs:
            self.skipped |= {one["claim"]: one["why"] for one in run.get("skipped", ())}
            self.figures |= {figure.claim: figure for figure in map(figure_of, run["figures"]) if figure.claim}


# -- tables -----------------------------------------------------------------------------------------------------------


def machine_lines(record: Record) -> Iterator[str]:
    m = record.machine
    libraries = ", ".join(f"{name} {version}" for name, version in m["libraries"].items())
    days = sorted({run["date"][:10] for run in record.runs})
    commits = sorted({run["commit"][:10] for run in record.runs} - {""})
    yield f"Measured {' and '.join(dict.fromkeys((days[0], days[-1])))} at {', '.join(commits)}, with other work on the"
    yield "machine held back as far as that could be; the probes [below](#measuring-it-yourself) tell what it was like."
    yield f"{m['cores']} cores ({m['cpu']}), {m['memory_gb']:g} GB, {m['kernel']}, Python {m['python']}, SQLite"
    yield f"{m['sqlite']}; {libraries}."


def claim_lines(record: Record) -> Iterator[str]:
    yield "| claim | goal | measured (median of five, least to greatest) | |"
    yield "|---|---|---|---|"
    for claim in CLAIMS:
        yield f"| **{claim.says}** | | | |"
        for part in claim.parts:
            yield _part_line(part, record)


def _part_line(part: Part, record: Record) -> str:
    bound, sign = (part.at_most, "at most") if part.at_least is None else (part.at_least, "at least")
    assert bound is not None
    goal = f"{sign} {_amount(bound, part.unit)}"
    figure = record.figures.get(part.key)
    if figure is None:
        why = record.skipped.get(part.key)
        return f"| {part.says} | {goal} | not measured{': ' + why if why else ' yet'} | |"
    measured = f"**{_amount(figure.value, part.unit)}** ({_spread(figure) if figure.spread else 'one run'})"
    if figure.rates:
        measured += ": " + ", ".join(f"{who} {shown(rate)}/s" for who, rate in figure.rates.items())
    if figure.note:
        measured += f"; {figure.note}"
    verdict = "reached" if figure.verdict == "ok" else "**not reached**" + (f": {part.limit}" if part.limit else "")
    return f"| {part.says} | {goal} | {measured} | {verdict} |"


def _amount(value: float, unit: str) -> str:
    return f"{shown(value)}{'' if unit == 'x' else ' '}{unit}"


def _spread(figure: Figure) -> str:
    return f"{shown(min(figure.samples))} to {shown(max(figure.samples))}"


def chart_lines(record: Record) -> Iterator[str]:
    """The charts below the claims."""
    for name in charts(record):
        if name != GOALS:
            yield f"![{_TITLES[name]}]({name})\n"


def benchmark_lines(record: Record) -> Iterator[str]:
    yield "| `python -m benchmarks ...` | what it is | took | fsync, spin before and after |"
    yield "|---|---|---|---|"
    for run in record.runs:
        name = run["benchmark"]
        probes = " &rarr; ".join(f"{p['fsync_us']} us, {p['spin_us'] / 1000:.1f} ms" for p in run["probes"])
        yield f"| `{name}` | {_purpose(name)} | {run['took_s']:.0f} s | {probes} |"
    yield f"| | all of it | {sum(run['took_s'] for run in record.runs) / 60:.0f} min | |"


def _purpose(name: str) -> str:
    """The first sentence of a benchmark's docstring."""
    text = ast.get_docstring(ast.parse((DOCS.parent / "benchmarks" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].rstrip(".")


def figure_lines(record: Record) -> Iterator[str]:
    """What belongs to no claim."""
    yield "| benchmark | figure | measured | |"
    yield "|---|---|---|---|"
    for run in record.runs:
        for figure in map(figure_of, run["figures"]):
            if figure.claim:
                continue
            spread = f" ({_spread(figure)})" if figure.spread else ""
            told = [f"goal {figure.goal}: {figure.verdict}"] if figure.goal else []
            told += [figure.note] if figure.note else []
            yield (
                f"| `{run['benchmark']}` | {figure.name} | {_amount(figure.value, figure.unit)}{spread}"
                f" | {'; '.join(told)} |"
            )


BLOCKS = {
    "machine": machine_lines,
    "claims": claim_lines,
    "charts": chart_lines,
    "benchmarks": benchmark_lines,
    "figures": figure_lines,
}


def written(text: str, record: Record) -> str:
    """The page with its blocks as they should be."""
    return BLOCK.sub(lambda match: match[1] + "\n".join(BLOCKS[match[2]](record)) + "\n" + match[3], text)


# -- charts -----------------------------------------------------------------------------------------------------------


def charts(record: Record) -> dict[str, str]:
    """Every chart by the name of its file; one without figures is not drawn."""
    drawn = {GOALS: _goals(record)}
    if groups := list(_groups(record)):
        note = "each group on its own scale; oms writes every order down durably before it sends it"
        drawn[RATES] = rates(_TITLES[RATES], note, groups)
    if minutes := _minutes(record):
        drawn[TEN_MINUTES] = minutes
    return drawn


def _goals(record: Record) -> str:
    rows: list[Met | str] = []
    for claim in CLAIMS:
        measured = [(part, record.figures[part.key]) for part in claim.parts if part.key in record.figures]
        below = [_met(part, figure) for part, figure in measured if part.at_most != 0]
        rows += [_SHORT[claim.key], *below] if below else []
    note = "bars to the right of the goal reach it by that factor; to the left they miss it"
    return goals(_TITLES[GOALS], note, rows)


def _met(part: Part, figure: Figure) -> Met:
    if part.at_least is not None:
        met = figure.value / part.at_least
    else:
        assert part.at_most is not None
        met = part.at_most / max(figure.value, part.at_most / 1000)
    label = f"{_amount(figure.value, part.unit)} (goal {figure.goal})"
    return Met(_SHORT[part.key], met, label)


# What a claim and its parts are called where there is little room.
_SHORT = {
    "send": "Against no ledger, exchange 20 ms away",
    "slow-disk": "The same, fsync 4 ms slower",
    "cpu": "Against no ledger, exchange 0 ms away",
    "quick-start": "Against the quick-start guide's loop",
    "by-hand": "Against a loop written by hand",
    "dbos": "Against DBOS Transact",
    "batched": "Twenty orders to a request",
    "latency": "Added from call to wire",
    "resume": "Resuming 1,000 orders",
    "wal": "Starting after SIGKILL, 40 MB of log",
    "bytes": "Bytes kept of an order",
    "record": "Recording a file of 1,000,000 rows",
    "startup": "Starting the command line",
    "sandbox": "The sandbox exchange",
    "reconcile": "Reconciling 100,000 orders",
    "rate": "The full rate of a tier, ten minutes",
    "send-1": "1 sender",
    "send-8": "8 senders",
    "send-16": "16 senders",
    "slow-disk-16": "16 senders",
    "cpu-same": "the same client",
    "cpu-requests": "plain requests.Session",
    "quick-start-http": "http",
    "quick-start-tls": "TLS",
    "by-hand-disk": "the disk as it is",
    "by-hand-slow": "5 ms added to fsync",
    "dbos-default-0": "its default, exchange 0 ms away",
    "dbos-default-20": "its default, exchange 20 ms away",
    "dbos-best-0": "its best, exchange 0 ms away",
    "dbos-best-20": "its best, exchange 20 ms away",
    "batched-rate": "orders a second",
    "batched-single": "against one to a request",
    "latency-p50": "median, above 2 fsyncs",
    "latency-p99": "slowest hundredth, above 4 fsyncs",
    "resume-ratio": "among 1,000,000 / among 10,000",
    "resume-first": "to the first claim",
    "wal-start": "to the first claim",
    "bytes-order": "with one fill and all evidence",
    "record-rate": "rows a second",
    "record-ratio": "against merely inserting the rows",
    "record-memory": "memory grown",
    "startup-help": "oms --help, above click",
    "startup-orders": "oms orders, above sqlalchemy",
    "sandbox-rate": "single creates",
    "reconcile-rate": "orders a second",
    "rate-share": "share used",
    "rate-429": "answered 429",
    "rate-memory": "memory grown",
    "rate-p99": "recorded to acknowledged, p99 above",
}


def _groups(record: Record) -> Iterator[Group]:
    for claim in CLAIMS:
        for part in claim.parts:
            figure = record.figures.get(part.key)
            if figure is not None and len(figure.rates) > 1:
                ours_first = sorted(figure.rates.items(), key=lambda pair: pair[0] != "oms")
                yield Group(f"{_SHORT[claim.key]}: {_SHORT[part.key]}", ours_first)


def _minutes(record: Record) -> str:
    """The ten-minute run over time."""
    for run in record.runs:
        points = run.get("series", {}).get(MINUTES)
        if points:
            break
    else:
        return ""

    def line(name: str, what: str) -> Line:
        return Line(name, [(point["at_s"], point[what]) for point in points])

    panels = [
        Panel("Writes a second", [line("sent", "sent_per_s"), line("allowed", "allowed_per_s")]),
        Panel(
            "Milliseconds since recorded",
            [
                line("acknowledged, p99", "ack_p99_ms"),
                line("answered by the exchange, p99", "exchange_p99_ms"),
                line("acknowledged, median", "ack_p50_ms"),
            ],
        ),
        Panel("Memory, MB", [line("resident", "rss_mb")]),
    ]
    return times(
        _TITLES[TEN_MINUTES], "in slices of ten seconds: 400 writes a second allowed, exchange 20 ms away", panels
    )


# -- the whole --------------------------------------------------------------------------------------------------------


def wanted() -> dict[Path, str]:
    """Every file that is written from the record, as it should be."""
    record = Record(json.loads(RECORD.read_text(encoding="utf-8")))
    assert set(_SHORT) == {claim.key for claim in CLAIMS} | set(PARTS), "a claim or part has no short name"
    files = {DOCS / name: text for name, text in charts(record).items()}
    return files | {PAGE: written(PAGE.read_text(encoding="utf-8"), record)}


def main() -> int:
    files = wanted()
    if "--check" in sys.argv[1:]:
        out = [
            path.name for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        out += [path.name for path in DOCS.glob("performance-*.svg") if path not in files]
        print(f"out of step: {', '.join(out)}: run python docs/write_performance.py" if out else "in step")
        return int(bool(out))
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
