"""The Python API: what a program gets from `Oms`, beyond what the command line's contract already holds."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

from oms import Oms
from oms.app import Preview, ResumePrompt
from oms.config import Config, load
from oms.errors import ConfirmationNeeded, InputError, LedgerMissing, UnknownOrder
from oms.records import EXIT_PRECEDENCE, Progress, worst
from tests.contract.worlds import CREATE, LIST, World, fault, row

# -- the one exit code


@pytest.mark.parametrize("pair", list(permutations(EXIT_PRECEDENCE, 2)), ids=str)
def test_of_several_exit_codes_the_one_that_matters_most_is_given(pair: tuple[int, int]) -> None:
    first = next(code for code in (3, 4, 130, 143, 7, 5, 6, 1) if code in pair)
    assert worst(set(pair)) == first
    assert worst({0, *pair}) == first


def test_no_code_is_success() -> None:
    assert (worst(set()), worst({0}), worst(set(EXIT_PRECEDENCE))) == (0, 0, 3)


# -- without an exchange


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load({}, {"HOME": str(tmp_path), "OMS_ENVIRONMENT": "prod"})


@dataclass
class Order:
    """An order as a program may have it."""

    ticker: str
    side: str
    count: int
    price: Decimal


def test_orders_are_mappings_or_dataclasses_and_numbers_are_never_floats(config: Config) -> None:
    with Oms.open(config) as oms:
        (shown,) = oms.preview([Order("T", "bid", 2, Decimal("0.5"))], batch="b")
        assert (shown["count"], shown["price"], shown["action"]) == ("2.00", "0.5000", "buy")
        for bad in (row(price=0.5), Order, 7, {"ticker": "T"}):
            with pytest.raises(InputError):
                oms.preview([bad], batch="b")


def test_opening_and_closing_touches_neither_disk_nor_network(config: Config, tmp_path: Path) -> None:
    with Oms.open(config) as oms:
        assert not oms.unsettled()
        oms.close()
        oms.close()
    assert list(tmp_path.iterdir()) == []


def test_every_question_to_a_missing_ledger_says_so(config: Config) -> None:
    with Oms.open(config) as oms:
        for ask in (lambda: list(oms.orders()), lambda: list(oms.batches()), lambda: oms.why("x"), lambda: oms.check()):
            with pytest.raises(LedgerMissing):
                ask()
        assert oms.drain().exit_code == 0


def test_send_false_only_records_and_says_what_is_queued(config: Config) -> None:
    with Oms.open(config) as oms:
        report = oms.submit([row(), row(count="2")], batch="b", send=False)
        assert (report.exit_code, report.recorded, report.queued, report.counts) == (0, 2, 2, {"pending": 2})
        assert [order.state for order in oms.run_orders(report)] == ["queued", "queued"]
        (batch,) = oms.batches()
        assert (batch.batch, batch.rows, batch.counts, batch.in_doubt) == ("b", 2, {"pending": 2}, 0)
        with pytest.raises(InputError, match="not an order status"):
            oms.orders(status="lost")
        with pytest.raises(UnknownOrder):
            oms.orders(batch="c")


def test_without_a_name_every_call_is_a_new_intent_and_with_own_ids_the_same_one(config: Config) -> None:
    with Oms.open(config) as oms:
        for _ in range(2):
            oms.submit([row()], send=False)
        reports = [oms.submit([row(client_order_id="mine")], send=False) for _ in range(2)]
        assert [report.preexisting for report in reports] == [0, 1]
        assert len(list(oms.orders())) == 3


# -- questions in prod


def test_several_orders_in_prod_are_asked_about_once_and_a_no_records_nothing(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("ticker,action,side,count,price\nT,buy,yes,10,0.50\nT,buy,no,3,0.20\n")
    asked: list[Preview] = []

    def answer(preview: Preview) -> bool:
        asked.append(preview)
        return len(asked) > 1

    with Oms.open(config) as oms:
        with pytest.raises(ConfirmationNeeded):
            oms.submit_file(path, confirm=answer)
        assert not (tmp_path / ".local").exists()
        assert (asked[0].count, asked[0].cost, asked[0].environment) == (2, "5.60", "prod")
        assert oms.submit_file(path, confirm=answer).exit_code == 4
        assert oms.submit_file(path, confirm=answer).preexisting == 2
    assert len(asked) == 2, "what is recorded was agreed to"


@pytest.mark.parametrize("by", ["drain", "the same file again"])
@pytest.mark.parametrize(("minutes", "is_asked"), [(14, False), (16, True)])
def test_resuming_what_is_old_is_asked_about_with_count_and_age(
    config: Config, tmp_path: Path, minutes: int, is_asked: bool, by: str
) -> None:
    path = tmp_path / "o.csv"
    path.write_text("ticker,action,side,count,price\nT,buy,yes,10,0.50\nT,buy,no,3,0.20\n")
    asked: list[ResumePrompt] = []

    def answer(prompt: ResumePrompt) -> bool:
        asked.append(prompt)
        return False

    def resume(oms: Oms) -> int:
        if by == "drain":
            return oms.drain(confirm=answer).exit_code
        return oms.submit_file(path, resume=answer).exit_code

    with Oms.open(config) as oms:
        oms.submit_file(path, send=False)
    assert config.ledger_path is not None
    with closing(sqlite3.connect(config.ledger_path)) as db:
        db.execute(f"UPDATE batches SET created_at_us = created_at_us - {minutes} * 60000000")
        db.commit()
    with Oms.open(config) as oms:
        if is_asked:
            with pytest.raises(ConfirmationNeeded):
                resume(oms)
            ((prompt),) = asked
            assert (prompt.count, prompt.environment) == (2, "prod")
            assert 960 <= prompt.oldest_age_s < 1_020
        else:
            assert resume(oms) == 4
            assert asked == []


# -- with an exchange


def test_a_program_places_asks_cancels_and_reconciles_with_one_object(world: World) -> None:
    phases: list[Progress] = []
    with world.opened() as oms:
        report = oms.submit([row(), row(count="2")], batch=f"program-{world.serial()}", progress=phases.append)
        first, second = oms.run_orders(report)
        assert (first.status, second.status) == ("resting", "resting")
        assert oms.order(first.client_order_id) == first
        assert oms.cancel([first.client_order_id]).exit_code == 0
        assert oms.order(first.client_order_id).status == "canceled"
        assert oms.reconcile().exit_code == 0
        assert not oms.unsettled()
        story = oms.why(second.client_order_id)
        assert [entry.event for entry in story.timeline] == ["recorded", "claimed", "acknowledged"]
    assert any(each.phase == "sending" and each.done == 2 for each in phases)


def requests(world: World, operation: str) -> int:
    return sum(each["operation"] == operation for each in world.sandbox.log())


def test_a_program_reads_the_account_once_and_again_when_another_run_came_in_between(own_world: World) -> None:
    with own_world.opened() as oms:
        oms.submit([row()])
        before = requests(own_world, LIST)
        for _ in range(3):
            assert oms.submit([row()]).exit_code == 0
        assert requests(own_world, LIST) == before
        assert own_world.submit([row()]).exit_code == 0
        before = requests(own_world, LIST)
        assert oms.submit([row()]).exit_code == 0
        assert requests(own_world, LIST) > before


def test_what_a_program_left_in_doubt_its_next_call_resolves(own_world: World) -> None:
    with own_world.opened(submit__in_flight_horizon_s=0.2) as oms:
        oms.submit([row()])
        own_world.sandbox.control(pause="trading")
        first = oms.submit([row(count="2")], batch="b")
        assert (first.exit_code, first.queued) == (6, 1)
        own_world.sandbox.control(pause="none")
        again = oms.submit([row(count="2")], batch="b")
        assert (again.exit_code, again.preexisting, again.counts) == (0, 1, {"resting": 1})


def test_withdrawing_ends_what_was_not_sent_and_asks_nothing_of_the_exchange(world: World) -> None:
    world.faults(fault("clock", times=None))
    name = f"w-{world.serial()}"
    run = world.submit([row(), row(count="2"), row(count="3")], name=name)
    assert run.states == ["queued"] * 3
    world.faults()
    before = len(world.sandbox.log())
    with world.opened() as oms:
        one = oms.withdraw([run.orders[0].client_order_id])
        assert (one.exit_code, one.counts) == (0, {"unsent": 1})
        rest = oms.withdraw(batch=name)
        assert (rest.exit_code, rest.counts) == (0, {"unsent": 2})
        assert {order.reason for order in oms.orders(batch=name)} == {"withdrawn"}
        assert oms.withdraw(batch=name).exit_code == 0
    assert len(world.sandbox.log()) == before
    assert world.drain().exit_code == 0
    assert run.book() == [None, None, None]


def test_retries_form_a_chain_that_ends_when_everything_was_placed(own_world: World) -> None:
    own_world.faults(fault("not_found", times=3))
    first = own_world.submit([row(), row(count="2")], name="b")
    assert first.statuses == ["rejected", "rejected"]
    with own_world.opened() as oms:
        second = oms.retry("b")
        assert (second.batch, second.exit_code, second.recorded) == ("b~1", 5, 2)
        third = oms.retry("b")
        assert (third.batch, third.exit_code, third.recorded) == ("b~2", 0, 1)
        with pytest.raises(InputError, match="nothing of batch 'b' is left to retry"):
            oms.retry("b")
        with pytest.raises(UnknownOrder):
            oms.retry("c")
    assert len(own_world.sandbox.orders()) == 2
    assert requests(own_world, CREATE) == 5


def test_a_retry_that_was_cut_short_is_driven_on_and_not_made_again(own_world: World) -> None:
    own_world.faults(fault("not_found"))
    own_world.submit([row()], name="b")
    own_world.faults(fault("clock", times=None))
    with own_world.opened() as oms:
        assert oms.retry("b").exit_code == 4
    own_world.faults()
    with own_world.opened() as oms:
        report = oms.retry("b")
        assert (report.exit_code, report.batch, report.preexisting) == (0, "b~1", 1)
        assert len(list(oms.orders())) == 2


@pytest.mark.fault(81)
def test_a_second_order_under_one_id_halts_every_run_until_a_person_lifts_it(own_world: World) -> None:
    (first,) = own_world.submit([row()]).orders
    own_world.sandbox.control(dedupe="open_only")
    path = f"/portfolio/events/orders/{first.order_id}"
    assert own_world.sandbox.call("DELETE", path, market_ticker=first.ticker).ok
    assert own_world.sandbox.create(client_order_id=first.client_order_id).status_code == 201
    with own_world.opened() as oms:
        met = oms.submit([row(count="2")], batch="met it")
        assert (met.exit_code, met.stop and met.stop.code, met.queued) == (7, "halted", 1)
        report = oms.reconcile()
        assert [each.kind for each in report.breaks] == ["duplicate"]
        assert (report.exit_code, report.halted) == (7, oms.status().halted)
        assert first.client_order_id in (report.halted or "")
        before = requests(own_world, CREATE)
        halted = oms.submit([row(count="2")], batch="later")
        assert (halted.exit_code, halted.stop and halted.stop.code) == (6, "halted")
        assert requests(own_world, CREATE) == before
        assert "second order" in (oms.order(first.client_order_id).detail or "")
        assert "second order" in (oms.unhalt() or "")
        assert oms.unhalt() is None
        assert oms.status().halted is None
    assert own_world.drain().exit_code == 0
    assert requests(own_world, CREATE) == before + 2


def test_a_halt_is_a_break_for_as_long_as_it_stands_though_nothing_new_is_seen(own_world: World) -> None:
    assert own_world.submit([row()]).exit_code == 0
    with own_world.opened() as oms:
        path = oms.status().ledger
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO controls VALUES ('halt', 'a second order, o-2, was seen', 1)")
    with own_world.opened() as oms:
        for _ in range(2):
            report = oms.reconcile()
            assert [(each.kind, each.seen) for each in report.breaks] == [("halted", "a second order, o-2, was seen")]
            assert report.exit_code == 7
        oms.unhalt()
        assert oms.reconcile().exit_code == 0


def test_a_backup_holds_the_orders_and_a_restore_reads_the_account_before_it_sends(
    own_world: World, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.sqlite3"
    with own_world.opened() as oms:
        oms.submit([row()], batch="before")
        oms.backup(copy)
        lost = oms.submit([row(count="2")], batch="after")
        assert lost.exit_code == 0
        oms.restore(copy)
        assert [order.batch for order in oms.orders()] == ["before"]
        again = oms.submit([row(count="2")], batch="after")
        assert again.exit_code == 0
        (order,) = oms.run_orders(again)
        assert order.status == "resting"
        assert [check for check in oms.check() if not check.ok] == []
    assert len(own_world.sandbox.orders()) == 2
    assert requests(own_world, CREATE) == 2
