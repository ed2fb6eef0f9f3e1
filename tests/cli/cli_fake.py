"""A stand-in for `oms.app.Oms`: it records how it was called and answers what the test put on its class."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Self

from oms.records import (
    BatchRecord,
    BreakRecord,
    CheckRecord,
    MarketRecord,
    OrderRecord,
    ReconcileReport,
    StatusReport,
    Stop,
    Story,
    SubmitReport,
    TimelineEntry,
)


@dataclass(frozen=True)
class Result:
    """What one call of the command line said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Result]

AT = "2026-11-22T09:00:00.000000Z"


def order(row: int = 1, **changes: Any) -> OrderRecord:
    """An order that rests at the sandbox, but for the changes."""
    fields: dict[str, Any] = {
        "client_order_id": f"0a5e0000-0000-8000-8000-{row:012d}",
        "order_id": f"ord-{row}",
        "environment": "sandbox",
        "batch": "nightly",
        "row": row,
        "ticker": "KXTEST-26-A",
        "side": "ask",
        "price": "0.3000",
        "action": "buy",
        "outcome": "no",
        "outcome_price": "0.7000",
        "count": "10.00",
        "time_in_force": "good_till_canceled",
        "subaccount": None,
        "tag": None,
        "status": "resting",
        "in_doubt": False,
        "late": False,
        "preexisting": False,
        "fill_count": "0.00",
        "remaining_count": "10.00",
        "average_fill_price": None,
        "fees": None,
        "attempts": 1,
        "reason": None,
        "detail": None,
        "created_at": AT,
        "sent_at": AT,
        "updated_at": AT,
        "state": "accepted",
        "change_state": None,
    }
    return OrderRecord(**{**fields, **changes})


def report(**changes: Any) -> SubmitReport:
    """A run that placed one order, but for the changes."""
    fields: dict[str, Any] = {
        "environment": "sandbox",
        "batch": "nightly",
        "recorded": 1,
        "preexisting": 0,
        "placed_before_at": None,
        "counts": {"resting": 1},
        "in_doubt": 0,
        "queued": 0,
        "rejected_now": 0,
        "unsent_now": 0,
        "leftovers": 0,
        "stop": None,
        "notes": (),
        "seconds": "0.1",
        "exit_code": 0,
    }
    return SubmitReport(**{**fields, **changes})


def stop(code: str, exit_code: int) -> Stop:
    """A run that ended before its queue was empty."""
    return Stop(code=code, message=f"sending stopped: {code}", hint="oms doctor", exit_code=exit_code)


def reconciled(**changes: Any) -> ReconcileReport:
    """A reconcile that found nothing to do, but for the changes."""
    counts = ("resolved", "found", "absent", "late", "updated", "fills", "in_doubt", "queued", "external", "positions")
    fields: dict[str, Any] = dict.fromkeys((*counts, "external_fills", "settlements"), 0)
    fields |= {"halted": None} | {
        "environment": "sandbox",
        "breaks": (),
        "balance": "100.00",
        "stop": None,
        "notes": (),
        "exit_code": 0,
    }
    return ReconcileReport(**{**fields, **changes})


BREAK = BreakRecord(
    kind="lost", client_order_id="c-1", order_id="o-1", ticker="T", expected="resting", seen="nothing", suggestion="ask"
)
STATUS = StatusReport(
    environment="sandbox",
    ledger="/ledger",
    ledger_exists=True,
    holder=None,
    counts={"resting": 2},
    halted=None,
    queued=0,
    on_wire=0,
    in_doubt=0,
    parked=0,
    oldest_in_doubt_at=None,
    batches=1,
    exchange="open",
    base_url="http://127.0.0.1:1/trade-api/v2",
)
MARKET = MarketRecord(
    ticker="KXTEST-26-A",
    title="Will it rain?",
    status="open",
    yes_bid="0.40",
    yes_ask="0.60",
    last_price=None,
    volume="10",
    close_time=AT,
    price_ranges=({"start": "0", "end": "1", "step": "0.01"},),
)
BATCH = BatchRecord(
    batch="nightly", key="k", name="nightly", source="file", rows=1, created_at=AT, counts={"resting": 1}, in_doubt=0
)
STORY = Story(
    order=order(),
    summary="It rests in the book; nothing is to be done.",
    timeline=(
        TimelineEntry(at=AT, event="Recorded", command="create", text="recorded", data={"row": 1}),
        TimelineEntry(at="2026-11-22T09:00:00.012500Z", event="Accepted", command="create", text="yes", data={}),
    ),
)


class FakeOms:
    """Answers of every verb; a test sets what it needs on its own subclass."""

    calls: ClassVar[list[tuple[str, dict[str, Any]]]] = []
    answer_orders: ClassVar[list[OrderRecord]] = [order()]
    answer_report: ClassVar[SubmitReport] = report()
    answer_reconcile: ClassVar[ReconcileReport] = reconciled()
    answer_status: ClassVar[StatusReport] = STATUS
    answer_checks: ClassVar[list[CheckRecord]] = [CheckRecord(name="python", ok=True, seen="3.11", fix="")]
    answer_story: ClassVar[Story] = STORY
    answer_markets: ClassVar[list[MarketRecord]] = [MARKET]
    failure: ClassVar[BaseException | None] = None
    preview_count: ClassVar[int | None] = None
    is_unsettled: ClassVar[bool] = False
    is_unfinished: ClassVar[bool] = False

    def __init__(self, config: Any, interrupt: Any) -> None:
        self.config = config
        self.interrupt = interrupt

    @classmethod
    def open(cls, config: Any = None, *, environment: str | None = None, interrupt: Any = None) -> Self:
        return cls(config, interrupt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        pass

    def unsettled(self) -> bool:
        return self.is_unsettled

    def unfinished(self) -> bool:
        return self.is_unfinished

    def _called(self, name: str, /, **arguments: Any) -> None:
        self.calls.append((name, arguments))
        if self.failure is not None:
            raise self.failure

    def submit(self, orders: Any, **call: Any) -> SubmitReport:
        self._called("submit", orders=list(orders), **call)
        return self.answer_report

    def submit_file(self, path: Path | None, *, stdin: Any = None, confirm: Any = None, **call: Any) -> SubmitReport:
        content = stdin.read(1 << 20) if stdin is not None else b""
        self._called("submit_file", path=path, stdin=content, **call)
        if self.preview_count is not None:
            environment = str(self.config.environment)
            confirm(SimpleNamespace(count=self.preview_count, cost="7.00", environment=environment, batch="b"))
            self._called("confirmed")
        return self.answer_report

    def preview(self, orders: Any) -> list[dict[str, Any]]:
        self._called("preview", orders=list(orders))
        return [{"client_order_id": "c", "row": 1, "ticker": "T"}]

    def preview_file(
        self, path: Path | None, *, stdin: Any = None, batch: str | None = None
    ) -> Iterator[dict[str, Any]]:
        self._called("preview_file", path=path, batch=batch, stdin=stdin.read(1 << 20) if stdin else None)
        return iter([{"client_order_id": "c", "row": 1, "ticker": "T"}])

    def drain(self, **call: Any) -> SubmitReport:
        self._called("drain", **call)
        return self.answer_report

    def retry(self, batch: str, **call: Any) -> SubmitReport:
        self._called("retry", batch=batch, **call)
        return self.answer_report

    def reconcile(self, **call: Any) -> ReconcileReport:
        self._called("reconcile", **call)
        return self.answer_reconcile

    def cancel(self, names: Any, **call: Any) -> SubmitReport:
        self._called("cancel", names=names, **call)
        return self.answer_report

    def withdraw(self, names: Any = (), *, batch: str | None = None) -> SubmitReport:
        self._called("withdraw", names=names, batch=batch)
        return self.answer_report

    def orders(self, **call: Any) -> Iterator[OrderRecord]:
        self._called("orders", **call)
        limit = call.get("limit")
        return iter(self.answer_orders[:limit])

    def order(self, name: str) -> OrderRecord:
        return self.answer_orders[0]

    def run_orders(self, _report: SubmitReport) -> Iterator[OrderRecord]:
        return iter(self.answer_orders)

    def why(self, name: str) -> Story:
        self._called("why", name=name)
        return self.answer_story

    def resolve(self, name: str, **call: Any) -> OrderRecord:
        self._called("resolve", name=name, **call)
        return self.answer_orders[0]

    def batches(self, *, limit: int | None = None) -> Iterator[BatchRecord]:
        self._called("batches", limit=limit)
        return iter([BATCH])

    def status(self, **call: Any) -> StatusReport:
        self._called("status", **call)
        return self.answer_status

    def markets(self, **call: Any) -> Iterator[MarketRecord]:
        self._called("markets", **call)
        return iter(self.answer_markets)

    def doctor(self) -> Iterator[CheckRecord]:
        self._called("doctor")
        return iter(self.answer_checks)

    def check(self) -> Iterator[CheckRecord]:
        self._called("check")
        return iter(self.answer_checks)

    def backup(self, to: Path) -> Path:
        self._called("backup", to=to)
        return to

    def restore(self, source: Path) -> None:
        self._called("restore", source=source)
