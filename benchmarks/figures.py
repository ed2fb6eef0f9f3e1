"""A measured figure, its goal, and how a benchmark reports: a line for people, JSON on request, an exit code.

A benchmark fails (exit 1) only where a figure is far off, at half its goal or twice its limit, and does not depend on
the machine alone (claims.TIMED): a shared machine moves every figure by tens of percent, and a check that cries wolf
is switched off.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from claims import PARTS, TIMED
from probes import Probe, machine, probe

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of several samples, and what it should be. Without a goal it is told, not judged."""

    name: str
    samples: Sequence[float]
    unit: str  # "x" for a ratio, else ms, us, rows/s ...
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    claim: str = ""  # the key of its part in claims.py, if it belongs to one
    rates: Mapping[str, float] = field(default_factory=dict)  # what each rival did a second (medians), for charts

    @property
    def value(self) -> float:
        return statistics.median(self.samples)

    @property
    def verdict(self) -> str:
        """ok | below | FAR OFF | told"""
        if self.at_least is not None:
            return _judged(self.value / self.at_least)
        if self.at_most is not None:
            return "ok" if self.value <= self.at_most else _judged(self.at_most / self.value)
        return "told"

    @property
    def is_failure(self) -> bool:
        """Far off, and not because the machine is slow."""
        return self.verdict == "FAR OFF" and self.unit not in TIMED

    @property
    def goal(self) -> str:
        if self.at_least is not None:
            return f">= {shown(self.at_least)}"
        return "" if self.at_most is None else f"<= {shown(self.at_most)}"

    @property
    def spread(self) -> str:
        """The least and the greatest sample."""
        return f"{shown(min(self.samples))} .. {shown(max(self.samples))}" if len(self.samples) > 1 else ""

    def __str__(self) -> str:
        told = f"{self.name:52} {shown(self.value):>8} {self.unit:7}"
        told += f"  [{self.spread}]" if self.spread else ""
        told += f"  goal {self.goal}  {self.verdict}" if self.goal else ""
        told += f"  ({', '.join(f'{who} {shown(rate)}/s' for who, rate in self.rates.items())})" if self.rates else ""
        return told + (f"  ({self.note})" if self.note else "")

    def as_json(self) -> dict[str, Any]:
        rates = {who: _rounded(rate) for who, rate in self.rates.items()}
        samples = [_rounded(sample) for sample in self.samples]
        return (
            asdict(self)
            | {"samples": samples, "rates": rates}
            | {"value": _rounded(self.value), "verdict": self.verdict}
        )


def figure_of(told: Mapping[str, Any]) -> Figure:
    """A figure as it was written into JSON."""
    return Figure(**{name: value for name, value in told.items() if name not in ("value", "verdict")})


def _rounded(value: float) -> float:
    """Five digits: more say nothing and make the record unreadable."""
    return float(f"{value:.5g}")


def _judged(met: float) -> str:
    if met >= 1:
        return "ok"
    return "below" if met > 0.5 else "FAR OFF"


def shown(value: float) -> str:
    """A number as people read it: three digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


@dataclass(slots=True)
class Told:
    """What one benchmark has to say."""

    name: str
    rounds: int = ROUNDS
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    series: dict[str, list[dict[str, float]]] = field(default_factory=dict)  # over time, for charts

    def add(self, figure: Figure) -> None:
        """Print a figure as soon as it is known."""
        self.figures.append(figure)
        self.step("")
        print(f"  {figure}", flush=True)

    def claim(
        self,
        key: str,
        samples: Sequence[float],
        *,
        name: str = "",
        rates: Mapping[str, float] | None = None,
        note: str = "",
    ) -> None:
        """A figure of a part of a claim: unit and goal are the part's; `name` is for the table at the end."""
        part = PARTS[key]
        figure = Figure(
            name or f"{key}: {part.says}", samples, part.unit, part.at_least, part.at_most, note, key, rates or {}
        )
        self.add(figure)

    def say(self, note: str) -> None:
        self.notes.append(note)
        self.step("")
        print(f"  {note}", flush=True)

    def skip(self, key: str, why: str) -> None:
        """A part of a claim that cannot be measured here; it stands in the table, loudly."""
        self.skipped.append({"claim": key, "why": why})
        self.step("")
        print(f"  SKIPPED {key} ({PARTS[key].says}): {why}", flush=True)

    def each_round(self, what: str = "", rounds: int = 0) -> Iterator[int]:
        """The numbers of the rounds from 0, each shown to who waits."""
        count = rounds or self.rounds
        for n in range(count):
            self.step(f"{what + ', ' if what else ''}round {n + 1} of {count}")
            yield n
        self.step("")

    def step(self, what: str) -> None:
        """What is being done now; on a terminal only, and gone with the next line."""
        if sys.stderr.isatty():
            print(f"\r\x1b[K{'  ... ' + what if what else ''}", end="", file=sys.stderr, flush=True)

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "rounds": self.rounds,
            "probes": [asdict(one) for one in self.probes],
            "notes": self.notes,
            "skipped": self.skipped,
            "series": self.series,
            "figures": [figure.as_json() for figure in self.figures],
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asked for."""

    rounds: int
    is_short: bool
    directory: Path  # scratch, on the disk that is measured
    options: argparse.Namespace


def options(purpose: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=purpose.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=0, help=f"samples per figure (default {ROUNDS}; --short: 3)")
    parser.add_argument("--short", action="store_true", help="smaller amounts, for CI")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too; - is stdout, after the lines")
    parser.add_argument("--dir", metavar="DIR", type=Path, help="scratch directory, on the disk to be measured")
    return parser


def run(name: str, parser: argparse.ArgumentParser, measure: Callable[[Asked, Told], None]) -> None:
    """Parse, measure between two probes, report, exit 1 when a figure is far off and the machine is not to blame."""
    given = parser.parse_args()
    rounds = given.rounds or (3 if given.short else ROUNDS)
    told = Told(name, rounds)
    with _scratch(given.dir) as directory:
        print(f"{name} ({machine()}; median of {rounds})")
        told.probes.append(probe(directory))
        print(f"  before: {told.probes[-1]}", flush=True)
        measure(Asked(rounds, given.short, directory, given), told)
        told.probes.append(probe(directory))
        print(f"  after: {told.probes[-1]}", flush=True)
    if given.json:
        text = json.dumps(told.as_json(), indent=1)
        print(text) if given.json == "-" else Path(given.json).write_text(text + "\n", encoding="utf-8")
    sys.exit(any(figure.is_failure for figure in told.figures))


@contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="oms-benchmark-", dir=parent) as directory:
        yield Path(directory)
