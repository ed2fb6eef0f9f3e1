"""What became of a run, read back from the ledger: counts, exit code, notes (design 8). Sends nothing."""

from collections.abc import Sequence

import msgspec

from oms.app.tally import Ended
from oms.ledger import listing, queries
from oms.ledger.ledger import Ledger
from oms.ledger.record import RecordedBatch
from oms.lifecycle.states import CommandState
from oms.records import SubmitReport, worst
from oms.units import format_time
from oms.venue.clock import system_now_us


def nothing(environment: str) -> SubmitReport:
    """There was nothing to do."""
    return SubmitReport(
        environment=environment,
        batch=None,
        recorded=0,
        preexisting=0,
        placed_before_at=None,
        counts={},
        in_doubt=0,
        queued=0,
        rejected_now=0,
        unsent_now=0,
        leftovers=0,
        stop=None,
        notes=("nothing is pending",),
        seconds="0.0",
        exit_code=0,
    )


def of_batch(
    ledger: Ledger, batch: RecordedBatch, ended: Ended, began_us: int, *, is_meant: bool = False
) -> SubmitReport:
    """The report of a run about one batch. `is_meant`: that orders stay queued is what was asked for."""
    counts = listing.counts_by_batch(ledger, batch.key)
    queued, doubtful = listing.unfinished_of(ledger, (batch.key,))
    rejected, unsent = listing.ended_since(ledger, batch.key, began_us)
    leftovers = sum(listing.unfinished_of(ledger, None)) - queued - doubtful
    row = listing.batch_by_key(ledger, batch.key)._mapping
    notes = list(ended.notes)
    placed_at = format_time(batch.created_at_us) if batch.preexisting else None
    if placed_at is not None:
        notes.insert(0, f"this batch was recorded before, at {placed_at}; nothing of it is placed twice")
    if leftovers:
        notes.append(f"{leftovers} older orders of other batches are unfinished; `oms submit` without FILE sends them")
    rows = int(row["row_count"])
    return SubmitReport(
        environment=ledger.environment,
        batch=row["name"] or row["batch_key"][:16],
        batch_key=batch.key,
        recorded=0 if batch.preexisting else rows,
        preexisting=rows if batch.preexisting else 0,
        placed_before_at=placed_at,
        counts=counts,
        in_doubt=doubtful,
        queued=queued,
        rejected_now=rejected,
        unsent_now=unsent,
        leftovers=leftovers,
        stop=ended.stop,
        notes=tuple(notes),
        seconds=_seconds(began_us),
        exit_code=_code(ended, queued=0 if is_meant else queued, doubtful=doubtful, rejected=rejected, unsent=unsent),
    )


def of_drain(ledger: Ledger, ended: Ended, began_us: int) -> SubmitReport:
    """The report of a run that drained everything; actions are part of everything."""
    left = queries.totals(ledger)
    queued, doubtful = left.queued, left.doubtful
    rejected, unsent = len(ended.tally.rejected), len(ended.tally.unsent)
    keys = tuple(ended.tally.order_keys)
    notes = ended.notes if keys or queued or doubtful else [*ended.notes, "nothing is pending"]
    return _of(ledger, keys, ended, began_us, notes, queued, doubtful, rejected, unsent)


def of_orders(
    ledger: Ledger, keys: Sequence[int], ended: Ended, began_us: int, *, is_meant: bool = False
) -> SubmitReport:
    """The report of a run about these orders."""
    queued, doubtful = listing.unfinished_of_orders(ledger, keys)
    rejected, unsent = len(ended.tally.rejected), 0 if is_meant else len(ended.tally.unsent)
    queued = 0 if is_meant else queued
    return _of(ledger, tuple(keys), ended, began_us, ended.notes, queued, doubtful, rejected, unsent)


def of_cancel(ledger: Ledger, keys: Sequence[int], ended: Ended, began_us: int, before: dict[str, int]) -> SubmitReport:
    """The report of a cancel: done when every order has ended without having been executed since."""
    report = of_orders(ledger, keys, ended, began_us, is_meant=True)
    counts = listing.counts_by_status(ledger, keys)
    missed = counts.get("resting", 0) + counts.get("executed", 0)
    waiting = counts.get("pending", 0)
    code = report.exit_code
    if code in (0, 1) and missed:
        code = 5
    elif code in (0, 1) and waiting:
        code = 6
    notes = report.notes
    if counts.get("executed", 0) > before.get("executed", 0) or (missed and counts.get("executed")):
        were = "order was" if counts["executed"] == 1 else "orders were"
        notes = (*notes, f"{counts['executed']} {were} executed first: there was nothing left to cancel")
    return msgspec.structs.replace(report, notes=notes, exit_code=code)


def of_change(ledger: Ledger, key: int, command: int | None, ended: Ended, began_us: int) -> SubmitReport:
    """The report of an amend or decrease: done when the exchange has taken it; None: the order was so already."""
    report = of_orders(ledger, [key], ended, began_us, is_meant=True)
    if command is None:
        return msgspec.structs.replace(report, notes=("the order is so already: nothing was sent",), exit_code=0)
    entry = queries.change(ledger, command)
    name, state, reason = entry.command.kind, entry.command.state, entry.command.reason
    code, notes = report.exit_code, list(report.notes)
    why = f": {entry.command.detail}" if entry.command.detail else ""
    if state is CommandState.QUEUED:
        code = worst({code, 6})
        notes.append(f"the {name} waits: `oms submit` or the next change sends it")
    elif state in (CommandState.REFUSED, CommandState.ABSENT):
        code = worst({code, 5})
        notes.append(f"the {name} did not take effect ({reason}{why}); the order is {entry.order.status}")
    elif state is CommandState.WITHDRAWN:
        code = worst({code, 1})
        notes.append(f"the {name} was not sent ({reason}{why})")
    return msgspec.structs.replace(report, notes=tuple(notes), exit_code=code)


def with_note(report: SubmitReport, note: str) -> SubmitReport:
    """The report with one more sentence for a person."""
    return msgspec.structs.replace(report, notes=(*report.notes, note))


def _of(
    ledger: Ledger,
    keys: tuple[int, ...],
    ended: Ended,
    began_us: int,
    notes: Sequence[str],
    queued: int,
    doubtful: int,
    rejected: int,
    unsent: int,
) -> SubmitReport:
    return SubmitReport(
        environment=ledger.environment,
        batch=None,
        order_keys=keys,
        recorded=0,
        preexisting=0,
        placed_before_at=None,
        counts=listing.counts_by_status(ledger, keys),
        in_doubt=doubtful,
        queued=queued,
        rejected_now=rejected,
        unsent_now=unsent,
        leftovers=0,
        stop=ended.stop,
        notes=tuple(notes),
        seconds=_seconds(began_us),
        exit_code=_code(ended, queued=queued, doubtful=doubtful, rejected=rejected, unsent=unsent),
    )


def _code(ended: Ended, *, queued: int, doubtful: int, rejected: int, unsent: int) -> int:
    codes = {ended.stop.exit_code} if ended.stop is not None else set()
    if ended.is_done_elsewhere:
        return worst(codes | ({5} if rejected else set()) | ({1} if unsent else set()))
    codes |= {3} if doubtful else set()
    limited = len(ended.tally.limited)
    codes |= {5} if rejected or limited else set()
    codes |= {6} if queued else set()
    codes |= {1} if unsent > limited else set()
    return worst(codes)


def _seconds(began_us: int) -> str:
    tenths = max(0, system_now_us() - began_us) // 100_000
    return f"{tenths // 10}.{tenths % 10}"
