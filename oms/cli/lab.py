"""`oms lab`: the crash laboratory's simulation, with a live counter, and one line that says what came of it."""

import math
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oms.cli import terminal
from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from oms.lab.crew import Total

_FINDINGS_SHOWN = 5


@click.command(cls=Command, short_help="Crash oms by the thousand in a simulation, and judge what is left.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=2.0, help="How long (2).")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Begin with this campaign; the same seed is the same campaign."
)
@click.option("--campaigns", type=click.IntRange(min=1), help="At most so many; 1 with --seed repeats a failure.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Processes at a time (one for each core).")
@click.option("--keep", type=click.Path(path_type=Path), default=Path("oms-lab"), help="Failing ones are kept there.")
@pass_invocation
def lab(
    invocation: Invocation, minutes: float, seed: int | None, campaigns: int | None, jobs: int | None, keep: Path
) -> int:
    """Crash oms by the thousand in a simulation, and judge what is left.

    The real submitter, reconciler and ledger, and the sandbox exchange, in virtual time: requests are lost, late or
    doubled, answers false, clocks jump, ledgers go back in time, and lives end at any step. After each campaign all
    must have come to rest, and an independent judge compares ledger and exchange. Touches no account and no ledger of
    yours. Exit code 1 when a promise was broken.
    """
    from oms.lab import crew

    if not math.isfinite(minutes):
        raise click.BadParameter(f"{minutes} is no time", param_hint="--minutes")
    first = int.from_bytes(os.urandom(4), "big") if seed is None else seed
    began = time.monotonic()
    with ExitStack() as stack:
        told = _counter(stack, began)
        total = crew.campaigns(
            first,
            jobs=1 if campaigns == 1 else jobs or os.cpu_count() or 1,
            most=campaigns,
            seconds=minutes * 60,
            kept=keep,
            told=told,
        )
    seconds = f"{time.monotonic() - began:.1f}"
    fields: dict[str, Any] = {"ok": not total.breaches, **total.fields(), "seconds": seconds}
    invocation.answer.done(fields, _shown(total, seconds))
    for failure in total.failures[:_FINDINGS_SHOWN]:
        invocation.notes.error(f"seed {failure['seed']}: {_first(failure)}", f"look at {failure['kept']}/trace.txt")
    return 1 if total.breaches else 0


def _first(failure: "dict[str, Any]") -> str:
    breaches: list[str] = failure["breaches"]
    more = f" (and {len(breaches) - 1} more)" if len(breaches) > 1 else ""
    return f"{breaches[0]}{more}"


def _shown(total: "Total", seconds: str) -> dict[str, object]:
    return {
        "lives": total.lives,
        "crashes": total.crashes,
        "faults": total.faults,
        "orders": total.orders,
        "duplicates": total.duplicates,
        "lost": total.lost,
        "breaches": total.breaches,
        "campaigns": f"{total.campaigns}, seeds from {total.first_seed}",
        "seconds": seconds,
    }


def _line(total: "Total", began: float) -> str:
    passed = max(0.001, time.monotonic() - began)
    return (
        f"{passed:4.0f} s  {total.lives} lives ({total.lives / passed:.0f}/s), {total.crashes} crashes,"
        f" {total.faults} faults, {total.orders} orders, {total.duplicates} duplicates, {total.lost} lost,"
        f" {total.breaches} breaches"
    )


def _counter(stack: ExitStack, began: float) -> "Callable[[Total], None]":
    """A line that is redrawn, where a person looks at stderr."""
    if not terminal.is_drawable(sys.stderr):
        return lambda total: None
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    live = stack.enter_context(Live(console=Console(stderr=True), refresh_per_second=8, transient=True))
    return lambda total: live.update(Text(_line(total, began)))
