"""A measured figure, its goal, and how a benchmark reports: a line for people, JSON on request, an exit code.

A benchmark fails (exit 1) only where a figure is far off, at half its goal or twice its limit: a shared machine moves
every figure by tens of percent, and a check that cries wolf is switched off.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from probes import machine, probe

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

    @property
    def value(self) -> float:
        return statistics.median(self.samples)

    @property
    def verdict(self) -> str:
        """ok | below | far off | told"""
        if self.at_least is not None:
            return _judged(self.value / self.at_least)
        if self.at_most is not None:
            return _judged(self.at_most / max(self.value, 1e-9))
        return "told"

    def __str__(self) -> str:
        goal = "" if self.at_least is None else f"  goal >= {_shown(self.at_least)}"
        goal += "" if self.at_most is None else f"  goal <= {_shown(self.at_most)}"
        verdict = f"  {self.verdict}" if self.verdict != "told" else ""
        spread = f"  [{_shown(min(self.samples))} .. {_shown(max(self.samples))}]" if len(self.samples) > 1 else ""
        note = f"  ({self.note})" if self.note else ""
        return f"{self.name:52} {_shown(self.value):>8} {self.unit:7}{spread}{goal}{verdict}{note}"


def _judged(met: float) -> str:
    if met >= 1:
        return "ok"
    return "below" if met > 0.5 else "FAR OFF"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


@dataclass(slots=True)
class Told:
    """What one benchmark has to say."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        """Print a figure as soon as it is known."""
        self.figures.append(figure)
        print(f"  {figure}", flush=True)

    def say(self, note: str) -> None:
        self.notes.append(note)
        print(f"  {note}", flush=True)

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "machine": machine(),
            "probes": self.probes,
            "notes": self.notes,
            "figures": [asdict(f) | {"value": f.value, "verdict": f.verdict} for f in self.figures],
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
    """Parse, measure between two probes, report, exit 1 when a figure is far off."""
    given = parser.parse_args()
    told = Told(name)
    with _scratch(given.dir) as directory:
        rounds = given.rounds or (3 if given.short else ROUNDS)
        print(f"{name} ({machine()}; median of {rounds})")
        told.probes.append(f"before: {probe(directory)}")
        print(f"  {told.probes[-1]}", flush=True)
        measure(Asked(rounds, given.short, directory, given), told)
        told.probes.append(f"after: {probe(directory)}")
        print(f"  {told.probes[-1]}", flush=True)
    if given.json:
        text = json.dumps(told.as_json(), indent=1)
        print(text) if given.json == "-" else Path(given.json).write_text(text + "\n", encoding="utf-8")
    sys.exit(any(figure.verdict == "FAR OFF" for figure in told.figures))


@contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="oms-benchmark-", dir=parent) as directory:
        yield Path(directory)
