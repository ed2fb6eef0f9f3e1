"""Turns and senders together: how much is under way, what a stop takes back, and that nothing is lost on the way."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from oms.errors import EpochLost, LedgerFailed
from oms.interrupt import Interrupt
from oms.ledger.changes import record_cancels
from oms.ledger.claim import Desk, Scope
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandState, OrderStatus
from oms.submitter.run import Run, SendSettings
from oms.venue.clock import ExchangeClock
from oms.venue.door import Venue
from oms.venue.exchange import ExchangeStatus
from oms.venue.orders import OrderRequest
from tests.contract.shells import wait_for
from tests.ledger.ledgers import NOW_US, entries, recorded, running
from tests.submitter.exchanges import Scripted, acknowledged


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(running(tmp_path / "ledger.sqlite3")) as ledger:
        yield ledger


class Sending:
    """A run over a ledger and a scripted venue; closed at its end."""

    def __init__(self, ledger: Ledger, **settings: Any) -> None:
        usual: dict[str, Any] = {"concurrency": 2, "batch_size": 1, "wait_s": 0.2, "timeout_s": 5}
        self.ledger = ledger
        self.venue = Scripted(ExchangeClock())
        self.interrupt = Interrupt()
        desk = Desk(ledger, Scope(), at_once=False)
        self.run = Run(desk, cast(Venue, self.venue), SendSettings(**{**usual, **settings}), self.interrupt)

    def drain(self) -> None:
        try:
            self.run.drain()
        finally:
            self.run.close()

    def states(self, count: int, name: str = "x") -> list[str]:
        return [entry.command.state.value for entry in entries(self.ledger, count, name)]

    @property
    def stop_code(self) -> str | None:
        return self.run.stop.code if self.run.stop is not None else None


def gate() -> tuple[threading.Event, Callable[[OrderRequest], e.Event]]:
    """An ending that waits until it is opened."""
    opened = threading.Event()

    def ending(request: OrderRequest) -> e.Event:
        assert opened.wait(20)
        return acknowledged(request)

    return opened, ending


def test_everything_queued_is_sent_once_in_order_and_recorded(ledger: Ledger) -> None:
    recorded(ledger, 40)
    sending = Sending(ledger, concurrency=1)
    sending.drain()
    assert sending.venue.sent == [f"x-{n}" for n in range(1, 41)]
    assert sending.states(40) == ["accepted"] * 40
    assert sending.stop_code is None


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_no_more_requests_are_under_way_than_asked_for_and_one_command_waits_for_each_sender(
    ledger: Ledger, concurrency: int
) -> None:
    recorded(ledger, 40)
    sending = Sending(ledger, concurrency=concurrency)
    opened, sending.venue.ending = gate()
    thread = threading.Thread(target=sending.drain)
    thread.start()
    wait_for(lambda: sending.venue.most_at_once == concurrency)
    wait_for(lambda: sending.states(40).count("on_wire") == 2 * concurrency)
    opened.set()
    thread.join()
    assert sending.venue.most_at_once == concurrency
    assert sorted(sending.venue.sent) == sorted(f"x-{n}" for n in range(1, 41))


def test_an_order_is_on_the_wire_in_the_ledger_before_it_is_sent(ledger: Ledger) -> None:
    recorded(ledger, 9)
    sending = Sending(ledger)
    seen: list[str] = []

    def ending(request: OrderRequest) -> e.Event:
        number = int(request.client_order_id.removeprefix("x-"))
        entry = entries(ledger, 9)[number - 1]
        seen.append(entry.command.state)
        assert entry.command.attempts == request.attempt
        assert entry.body == request.body
        return acknowledged(request)

    sending.venue.ending = ending
    sending.drain()
    assert seen == [CommandState.ON_WIRE] * 9


# -- batches


def test_orders_are_grouped_as_asked_and_cancels_go_alone(ledger: Ledger) -> None:
    recorded(ledger, 1, "live")
    Sending(ledger).drain()
    record_cancels(ledger, [entries(ledger, 1, "live")[0].order_key], NOW_US)
    recorded(ledger, 7)
    sending = Sending(ledger, batch_size=3, concurrency=1)
    sending.drain()
    assert sending.venue.canceled == ["at-live-1"]
    assert max(map(len, sending.venue.requests)) == 3
    assert len(sending.venue.requests) == 3
    assert sending.venue.sent == [f"x-{n}" for n in range(1, 8)]


def test_auto_shares_few_orders_among_the_senders_and_many_in_larger_requests(ledger: Ledger) -> None:
    recorded(ledger, 4)
    few = Sending(ledger, batch_size=None, concurrency=4)
    few.drain()
    assert list(map(len, few.venue.requests)) == [1, 1, 1, 1]
    recorded(ledger, 100, "many")
    many = Sending(ledger, batch_size=None, concurrency=2)
    many.drain()
    assert max(map(len, many.venue.requests)) == 20
    assert sorted(many.venue.sent) == sorted(f"many-{n}" for n in range(1, 101))


def test_all_orders_of_one_request_carry_one_timestamp(ledger: Ledger) -> None:
    recorded(ledger, 10)
    sending = Sending(ledger, batch_size=5, concurrency=1)
    sending.drain()
    found = entries(ledger, 10)
    for request, signed in zip(sending.venue.requests, sending.venue.signed, strict=True):
        assert {x.command.last_signed_ms for x in found if x.client_order_id in request} == {signed}


# -- stops


def test_an_interruption_claims_nothing_more_waits_for_what_is_under_way_and_takes_back_the_rest(
    ledger: Ledger,
) -> None:
    recorded(ledger, 20)
    sending = Sending(ledger)
    opened, sending.venue.ending = gate()
    thread = threading.Thread(target=sending.drain)
    thread.start()
    wait_for(lambda: len(sending.venue.requests) == 2)
    sending.interrupt.request(2)
    wait_for(lambda: sending.states(20).count("on_wire") == 2)
    opened.set()
    thread.join()
    assert sending.states(20) == ["accepted"] * 2 + ["queued"] * 18
    assert len(sending.venue.sent) == 2
    assert (sending.stop_code, sending.run.stop and sending.run.stop.exit_code) == ("interrupted", 130)


@pytest.mark.fault(81)
def test_a_halt_set_by_somebody_else_stops_the_claims(ledger: Ledger) -> None:
    recorded(ledger, 30)
    sending = Sending(ledger, concurrency=1)

    def ending(request: OrderRequest) -> e.Event:
        if request.client_order_id == "x-3":
            with ledger.write() as connection:
                connection.exec_driver_sql("INSERT INTO controls VALUES ('halt', 'by hand', 1)")
        return acknowledged(request)

    sending.venue.ending = ending
    sending.drain()
    assert sending.stop_code == "halted"
    assert 3 <= len(sending.venue.sent) <= 5
    assert sending.states(30).count("queued") == 30 - len(sending.venue.sent)
    assert "on_wire" not in sending.states(30)


def test_an_exchange_out_of_reach_is_given_up_after_the_time_it_may_wait(ledger: Ledger) -> None:
    recorded(ledger, 3)
    sending = Sending(ledger)
    sending.venue.ending = lambda request: e.NotProcessed(attempt=request.attempt, why="not_sent", detail="refused")
    sending.drain()
    assert (sending.stop_code, sending.states(3)) == ("unreachable", ["queued"] * 3)


def test_a_paused_exchange_is_asked_for_its_status_and_given_up_after_the_time(ledger: Ledger) -> None:
    recorded(ledger, 3)
    sending = Sending(ledger)
    sending.venue.status = ExchangeStatus(exchange_active=True, trading_active=False)
    sending.venue.ending = lambda request: e.NotProcessed(attempt=request.attempt, why="paused")
    sending.drain()
    assert (sending.stop_code, sending.states(3)) == ("paused", ["queued"] * 3)
    assert sending.venue.statuses_asked >= 1


# -- what goes wrong in here


@pytest.mark.fault(18)
def test_a_bug_in_a_sender_is_an_unknown_outcome_and_the_others_go_on(ledger: Ledger) -> None:
    recorded(ledger, 5)
    sending = Sending(ledger)

    def ending(request: OrderRequest) -> e.Event:
        if request.client_order_id == "x-2":
            raise KeyError("a bug, with 'KALSHI-ACCESS-SIGNATURE: abc' in its message")
        return acknowledged(request)

    sending.venue.ending = ending
    sending.drain()
    assert sending.states(5) == ["accepted", "in_doubt", "accepted", "accepted", "accepted"]
    detail = entries(ledger, 5)[1].command.detail or ""
    assert "internal" in detail
    assert "SIGNATURE" not in detail


@pytest.mark.fault(22)
def test_a_ledger_that_fails_ends_the_run_and_what_no_sender_had_begun_is_not_sent(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(ledger, 30)
    sending = Sending(ledger, concurrency=1)
    opened, held = gate()

    def ending(request: OrderRequest) -> e.Event:
        return held(request) if request.client_order_id == "x-2" else acknowledged(request)

    sending.venue.ending = ending
    real = Desk.turn
    turns = iter(range(99))

    def failing(self: Desk, *args: Any, **kwargs: Any) -> Any:
        if next(turns) == 2:
            opened.set()
            raise LedgerFailed("the disk is full")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Desk, "turn", failing)
    with pytest.raises(LedgerFailed):
        sending.drain()
    assert len(sending.venue.sent) <= 3
    assert sending.states(30).count("accepted") <= 2


@pytest.mark.fault(94)
def test_a_run_that_lost_its_epoch_stops_at_once(ledger: Ledger) -> None:
    recorded(ledger, 30)
    sending = Sending(ledger, concurrency=1)

    def ending(request: OrderRequest) -> e.Event:
        if request.client_order_id == "x-1":
            with ledger.write() as connection:
                connection.exec_driver_sql("UPDATE ledger SET epoch = epoch + 1")
        return acknowledged(request)

    sending.venue.ending = ending
    with pytest.raises(EpochLost):
        sending.drain()
    assert len(sending.venue.sent) <= 2
    assert sending.states(30).count("accepted") == 0


def test_unknown_outcomes_are_left_to_the_reconciler_and_do_not_stop_the_others(ledger: Ledger) -> None:
    recorded(ledger, 6)
    sending = Sending(ledger)
    sending.venue.ending = lambda request: (
        e.AttemptUnknown(attempt=request.attempt, why="http_5xx", http_status=502)
        if request.client_order_id in ("x-2", "x-5")
        else acknowledged(request)
    )
    sending.drain()
    assert sending.states(6) == ["accepted", "in_doubt", "accepted", "accepted", "in_doubt", "accepted"]
    assert [x.order.status for x in entries(ledger, 6)][1] is OrderStatus.PENDING
    assert len(sending.venue.sent) == 6
