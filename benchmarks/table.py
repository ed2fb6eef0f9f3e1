"""The table at the end: every figure with its goal, median, spread and verdict, and the probes of each benchmark."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from claims import PARTS
from figures import figure_of, shown

HEAD = ("figure", "goal", "median", "spread", "verdict")
_RIGHT = (1, 2)  # columns of numbers
_NAME_WIDTH = 64
_STYLES = {"ok": "green", "below": "yellow", "FAR OFF": "bold red", "FAILED": "bold red"}
SKIPPED = "skipped"

Row = tuple[str, str, str, str, str]


def print_table(runs: Sequence[dict[str, Any]]) -> None:
    """To a terminal in color, else as plain text."""
    print()
    if sys.stdout.isatty():
        _print_rich(runs)
    else:
        _print_plain(runs)


def title(run: dict[str, Any]) -> str:
    """A benchmark's name, how long it took, and the machine before and after it."""
    probes = [f"fsync {p['fsync_us']} us, spin {p['spin_us'] / 1000:.1f} ms" for p in run.get("probes", ())]
    return f"{run['benchmark']} ({run['took_s']:.0f} s; {' -> '.join(probes) or 'no probe'})"


def rows(run: dict[str, Any]) -> Iterator[Row]:
    """One row a figure, one for each part that was skipped, one where the benchmark itself broke."""
    for told in run["figures"]:
        figure = figure_of(told)
        median = f"{shown(figure.value)} {figure.unit}"
        yield figure.name, figure.goal, median, figure.spread, "" if figure.verdict == "told" else figure.verdict
    for skipped in run.get("skipped", ()):
        yield f"{skipped['claim']}: {PARTS[skipped['claim']].says}", "", "", "", f"{SKIPPED}: {skipped['why']}"
    if run["exit_code"] and "probes" not in run:
        yield "ended without figures", "", "", "", "FAILED"


def _print_plain(runs: Sequence[dict[str, Any]]) -> None:
    every = [HEAD, *(row for run in runs for row in rows(run))]
    widths = [max(min(len(row[column]), _NAME_WIDTH) for row in every) for column in range(len(HEAD))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if column in _RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    print(f"  {line(HEAD)}")
    for run in runs:
        print(title(run))
        for row in rows(run):
            print(f"  {line(row)}")


def _print_rich(runs: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column, name in enumerate(HEAD):
        table.add_column(name, justify="right" if column in _RIGHT else "left", overflow="fold")
    for run in runs:
        table.add_row(Text(title(run), style="bold"))
        for *cells, verdict in rows(run):
            table.add_row(*map(Text, cells), Text(verdict, style=_STYLES.get(verdict, "yellow")))
    Console().print(table)
