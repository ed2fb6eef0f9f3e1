"""Design section 8 by real processes: what `oms submit` records, places, repeats, refuses and says about it."""

import json
import re
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oms.records import OrderRecord
from tests.contract.shells import Answer, Shell, wait_for
from tests.contract.worlds import CREATE, fault, flags, row

FIELDS = (
    *("client_order_id", "order_id", "environment", "batch", "row", "ticker", "side", "price", "action", "outcome"),
    *("outcome_price", "count", "time_in_force", "subaccount", "tag", "status", "in_doubt", "late", "preexisting"),
    *("fill_count", "remaining_count", "average_fill_price", "fees", "attempts", "reason", "detail"),
    *("created_at", "sent_at", "updated_at"),
)
CSV = "ticker,action,side,count,price\nSBXRAIN-A-T10,buy,yes,1,0.01\nSBXRAIN-A-T10,buy,no,2,0.02\n"


def placed(shell: Shell) -> list[str]:
    """The ids the exchange has orders under."""
    return [each["client_order_id"] for each in shell.sandbox.orders()]


def creates(shell: Shell) -> int:
    return sum(each["operation"] == CREATE for each in shell.sandbox.log())


def failed(answer: Answer, code: int, word: str) -> dict[str, Any]:
    """The command failed with that exit code, and said why as the one object of json."""
    assert answer.code == code, answer
    assert answer.json["ok"] is False
    error: dict[str, Any] = answer.json["error"]
    assert set(error) >= {"code", "message", "hint"}
    assert error["code"] == word, error
    return error


# -- the answer


def test_every_row_answers_one_record_in_the_rows_order(shell: Shell) -> None:
    rows = [row(count=str(n)) for n in range(1, 8)]
    answer = shell.submit(rows)
    assert answer.code == 0
    assert [(x["row"], x["count"], x["status"]) for x in answer.orders] == [
        (n, f"{n}.00", "resting") for n in range(1, 8)
    ]
    assert sorted(placed(shell)) == sorted(x["client_order_id"] for x in answer.orders)


def test_an_order_record_has_the_contracts_fields_in_every_form(shell: Shell) -> None:
    answer = shell.submit([row(tag="mine", time_in_force="good_till_canceled")])
    (order,) = answer.orders
    assert tuple(order)[: len(FIELDS)] == FIELDS
    assert tuple(order) == OrderRecord.__struct_fields__
    time = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    assert all(time.fullmatch(order[name]) for name in ("created_at", "sent_at", "updated_at"))
    assert {name: order[name] for name in ("price", "count", "fill_count", "remaining_count")} == {
        "price": "0.0100",
        "count": "1.00",
        "fill_count": "0.00",
        "remaining_count": "1.00",
    }
    assert (order["in_doubt"], order["late"], order["preexisting"], order["subaccount"]) == (False, False, False, None)
    assert (order["environment"], order["row"], order["attempts"], order["tag"]) == ("sandbox", 1, 1, "mine")
    (line,) = shell.oms("orders", "-o", "jsonl").lines
    assert line == order
    (cells,) = shell.oms("orders", "-o", "csv").table
    assert list(cells) == list(order)
    assert (cells["in_doubt"], cells["subaccount"], cells["price"]) == ("false", "", "0.0100")


@pytest.mark.parametrize("place", ["before", "after"])
def test_json_is_one_object_wherever_the_option_stands(shell: Shell, place: str) -> None:
    shell.file("orders.csv", CSV)
    words = ["--json", "submit", "orders.csv"] if place == "before" else ["submit", "orders.csv", "--json"]
    answer = shell.oms(*words)
    assert answer.code == 0
    assert len(answer.orders) == 2
    assert answer.json["ok"] is True


def test_stdout_is_the_answer_and_stderr_is_everything_else(shell: Shell) -> None:
    answer = shell.submit([row(), row(ticker="NOSUCH-MARKET")], "-vv")
    json.loads(answer.out)
    assert "submitted 2 orders" in answer.err
    assert "NOSUCH-MARKET" in answer.err
    assert "oms submit --retry" in answer.err


# -- the same again


@pytest.mark.fault(2, 78)
def test_the_same_file_again_places_nothing_and_says_when_it_was_placed(shell: Shell) -> None:
    first = shell.submit([row(), row(count="2")])
    again = shell.submit([row(), row(count="2")], name="a-copy.jsonl")
    assert (first.code, again.code) == (0, 0)
    assert creates(shell) == 2
    assert [x["preexisting"] for x in first.orders] == [False, False]
    assert [x["preexisting"] for x in again.orders] == [True, True]
    assert [x["client_order_id"] for x in again.orders] == [x["client_order_id"] for x in first.orders]
    assert "recorded before, at 20" in again.err


@pytest.mark.fault(15, 86)
def test_a_file_placed_from_a_lost_ledger_is_found_and_not_placed_again(shell: Shell) -> None:
    first = shell.submit([row(), row(count="2")])
    for path in shell.ledger.parent.iterdir():
        path.unlink()
    again = shell.submit([row(), row(count="2")])
    assert again.code == 0
    assert creates(shell) == 2
    assert [x["order_id"] for x in again.orders] == [x["order_id"] for x in first.orders]


def test_rows_mean_the_same_from_csv_json_lines_a_document_and_standard_input(shell: Shell) -> None:
    """Blank lines, order of columns and the writing of a number are no content."""
    first = shell.oms("submit", shell.file("a.csv", CSV), "-o", "json")
    rows = [row(count=1, price="0.0100"), row(side="no", count="2.00", price="0.02")]
    lines = "\n" + "\n\n".join(json.dumps(each) for each in rows)
    answers = [
        shell.oms("submit", shell.file("a.jsonl", lines), "-o", "json"),
        shell.oms("submit", shell.file("a.json", json.dumps({"orders": rows})), "-o", "json"),
        shell.oms("submit", shell.file("b.json", json.dumps(rows)), "-o", "json"),
        shell.oms("submit", "-", "-o", "json", stdin=lines.encode()),
        shell.oms("submit", "-", "-o", "json", stdin=CSV.encode()),
    ]
    for answer in answers:
        assert answer.code == 0, answer.err
        assert [x["client_order_id"] for x in answer.orders] == [x["client_order_id"] for x in first.orders]
        assert all(x["preexisting"] for x in answer.orders)
    assert creates(shell) == 2


def test_the_two_dialects_meet_and_an_order_shows_as_it_was_entered(shell: Shell) -> None:
    rows = [
        row(side="no", price="0.70"),
        {"ticker": "SBXRAIN-A-T10", "side": "ask", "count": 1, "price": "0.30"},
        row(action="sell", price="0.30"),
        row(side="no", price=None, no_price=70),
        row(side="no", price=None, yes_price=30),
        row(side="no", price=None, no_price_dollars="0.7000"),
    ]
    answer = shell.submit(rows, "--batch", "dialects")
    shown = [(x["side"], x["price"], x["action"], x["outcome"], x["outcome_price"]) for x in answer.orders]
    no = ("ask", "0.3000", "buy", "no", "0.7000")
    yes = ("ask", "0.3000", "sell", "yes", "0.3000")
    assert shown == [no, yes, yes, no, no, no]
    real = {(x["side"], x["price_e4"]) for x in shell.sandbox.orders()}
    assert real == {("ask", 3000)}


def test_the_order_of_kalshis_quick_start_guide_is_a_row_as_it_stands(shell: Shell) -> None:
    guide = {
        "ticker": "SBXRAIN-A-T10",
        "action": "buy",
        "side": "yes",
        "count": 1,
        "type": "limit",
        "yes_price": 1,
        "client_order_id": "11111111-2222-4333-8444-555555555555",
    }
    answer = shell.submit([guide])
    assert (answer.code, answer.orders[0]["price"]) == (0, "0.0100")
    assert placed(shell) == [guide["client_order_id"]]


# -- batches


@pytest.mark.fault(78)
def test_a_batch_of_one_name_with_other_rows_is_refused_by_name(shell: Shell) -> None:
    assert shell.submit([row()], "--batch", "morning").code == 0
    answer = shell.submit([row(count="2")], "--batch", "morning")
    error = failed(answer, 2, "bad_input")
    assert "morning" in error["message"]
    assert len(shell.oms("orders", "-o", "json").orders) == 1
    assert creates(shell) == 1


def test_rows_of_a_batch_younger_than_a_day_are_refused_naming_it_and_batch_means_it(shell: Shell) -> None:
    first = shell.submit([row(), row(count="2")])
    mended = [row(), row(count="3")]
    error = failed(shell.submit(mended), 2, "bad_input")
    assert first.json["batch"][:8] in error["message"]
    assert "--batch" in error["hint"]
    assert creates(shell) == 2
    meant = shell.submit(mended, "--batch", "meant")
    assert (meant.code, creates(shell)) == (0, 4)


def test_retry_places_what_was_rejected_under_new_ids_and_twice_places_nothing_twice(shell: Shell) -> None:
    shell.sandbox.control(faults=[fault("not_found", ticker="SBXRAIN-A-T20")])
    first = shell.submit([row(), row(ticker="SBXRAIN-A-T20")], "--batch", "b")
    assert (first.code, [x["status"] for x in first.orders]) == (5, ["resting", "rejected"])
    retried = shell.oms("submit", "--retry", "b", "-o", "json")
    assert retried.code == 0
    (order,) = retried.orders
    assert (order["ticker"], order["status"]) == ("SBXRAIN-A-T20", "resting")
    assert order["client_order_id"] != first.orders[1]["client_order_id"]
    again = shell.oms("submit", "--retry", "b", "-o", "json")
    failed(again, 2, "bad_input")
    assert len(placed(shell)) == 2


def test_a_callers_own_id_that_another_batch_holds_is_refused_naming_it(shell: Shell) -> None:
    assert shell.submit([row(client_order_id="mine-1")], "--batch", "first").code == 0
    answer = shell.submit([row(client_order_id="mine-1", count="2")], "--batch", "second")
    error = failed(answer, 2, "bad_input")
    assert "mine-1" in error["message"]
    assert "first" in error["message"]
    assert placed(shell) == ["mine-1"]


def test_one_order_by_flags_is_new_each_time(shell: Shell) -> None:
    ids = {shell.oms("submit", *flags(), "-o", "json").orders[0]["client_order_id"] for _ in range(2)}
    assert len(ids) == 2 == len(placed(shell))


def test_one_order_by_flags_with_an_id_of_its_own_is_placed_once(shell: Shell) -> None:
    words = [*flags(), "--tif", "good_till_canceled"]
    answers = [shell.oms("submit", *words, "--client-order-id", "mine", "-o", "json") for _ in range(2)]
    assert [answer.code for answer in answers] == [0, 0]
    assert [answer.orders[0]["preexisting"] for answer in answers] == [False, True]
    assert placed(shell) == ["mine"]
    other = shell.oms("submit", *words, "--client-order-id", "mine", "--count", "5", "-o", "json")
    failed(other, 2, "bad_input")


# -- exit codes


def test_exit_1_when_nothing_of_it_is_live(shell: Shell) -> None:
    shell.sandbox.control(faults=[fault("drop")])
    answer = shell.submit([row()], env={"OMS_SUBMIT__RESEND": "never"})
    failed(answer, 1, "unsent")
    assert answer.orders[0]["status"] == "unsent"


def test_exit_3_when_an_order_is_parked_and_it_says_what_to_do(shell: Shell) -> None:
    assert shell.sandbox.create(client_order_id="mine", count="9.00").status_code == 201
    answer = shell.submit([row(client_order_id="mine")])
    failed(answer, 3, "in_doubt")
    (order,) = answer.orders
    assert (order["in_doubt"], order["state"]) == (True, "parked")
    why = shell.oms("why", "mine")
    assert "PARKED" in why.out
    assert "oms resolve mine" in why.out
    resolved = shell.oms("resolve", "mine", "--absent", "-o", "json")
    assert (resolved.code, resolved.orders[0]["status"]) == (0, "unsent")
    assert shell.oms("orders", "--in-doubt", "-o", "json").orders == []
    assert shell.oms("reconcile").code == 0
    assert shell.oms("verify").code == 0, "the judge knows that a person has decided whose order it is"


def test_exit_5_when_the_exchange_refuses_and_5_comes_before_6_and_1(shell: Shell) -> None:
    answer = shell.submit([row(), row(ticker="NOSUCH-MARKET")])
    failed(answer, 5, "refused")
    assert [x["status"] for x in answer.orders] == ["resting", "rejected"]
    assert answer.orders[1]["reason"] == "refused"


def test_an_older_rejection_does_not_fail_a_later_run(shell: Shell) -> None:
    rows = [row(), row(ticker="NOSUCH-MARKET")]
    assert shell.submit(rows).code == 5
    assert shell.submit(rows).code == 0
    assert shell.oms("submit").code == 0


@pytest.mark.fault(41)
def test_exit_6_when_the_exchange_cannot_be_reached_with_everything_queued(shell: Shell) -> None:
    shell.sandbox.stop()
    answer = shell.submit([row(), row()], env={"OMS_SUBMIT__WAIT_S": "0.2"})
    failed(answer, 6, "unreachable")
    assert [x["state"] for x in answer.orders] == ["queued", "queued"]
    assert "still queued" in answer.err


def test_exit_130_when_interrupted_and_what_was_not_sent_stays_queued(shell: Shell) -> None:
    shell.sandbox.control(pause="trading")
    begun = shell.begin("submit", shell.file("o.jsonl", [row(), row()]), "-o", "json", env={"OMS_SUBMIT__WAIT_S": "60"})
    wait_for(lambda: creates(shell) >= 1)
    begun.child.kill(signal.SIGINT)
    answer = begun.end()
    failed(answer, 130, "interrupted")
    assert [x["state"] for x in answer.orders] == ["queued", "queued"]
    shell.sandbox.control(pause="none")
    assert shell.oms("submit").code == 0
    assert len(placed(shell)) == 2


def test_exit_3_comes_before_143_when_an_answer_did_not_come(shell: Shell) -> None:
    shell.sandbox.control(faults=[fault("hang", ms=4000)])
    begun = shell.begin("submit", shell.file("o.jsonl", [row()]), "-o", "json", env={"OMS_VENUE__TIMEOUT_S": "0.6"})
    wait_for(lambda: creates(shell) == 1)
    begun.child.kill(signal.SIGTERM)
    answer = begun.end()
    failed(answer, 3, "in_doubt")
    assert answer.orders[0]["in_doubt"] is True
    again = shell.oms("submit", "-o", "json")
    assert (again.code, again.orders[0]["status"]) == (0, "resting")
    assert creates(shell) == 1


# -- time to live


@pytest.mark.parametrize("how", ["flag", "column"])
def test_an_order_past_its_time_is_withdrawn_and_never_sent(shell: Shell, how: str) -> None:
    shell.sandbox.control(pause="trading")
    column = datetime.now(UTC) + timedelta(seconds=1)
    rows = [row(submit_before=column.isoformat() if how == "column" else None)]
    words = ["--ttl", "1"] if how == "flag" else []
    assert shell.submit(rows, *words, env={"OMS_SUBMIT__WAIT_S": "0.1"}).code == 6
    wait_for(lambda: datetime.now(UTC) > column + timedelta(seconds=0.5))
    shell.sandbox.control(pause="none")
    answer = shell.oms("submit", "-o", "json")
    failed(answer, 1, "unsent")
    assert (answer.orders[0]["status"], answer.orders[0]["reason"]) == ("unsent", "expired")
    assert placed(shell) == []


# -- draining, leftovers, a busy ledger


def test_submit_without_a_file_drains_and_a_file_names_older_leftovers_and_leaves_them(shell: Shell) -> None:
    shell.sandbox.control(pause="trading")
    assert shell.submit([row()], "--batch", "old").code == 6
    shell.sandbox.control(pause="none")
    answer = shell.submit([row(count="2")], "--batch", "new")
    assert (answer.code, answer.json["leftovers"]) == (0, 1)
    assert "older orders of other batches are unfinished" in answer.err
    assert [x["batch"] for x in shell.oms("orders", "--status", "pending", "-o", "json").orders] == ["old"]
    drained = shell.oms("submit", "-o", "json")
    assert (drained.code, [x["batch"] for x in drained.orders]) == (0, ["old"])
    nothing = shell.oms("submit", "-o", "json")
    assert (nothing.code, nothing.orders) == (0, [])
    assert "nothing is pending" in nothing.err


def test_a_busy_ledger_takes_a_batch_at_once_with_no_wait_and_its_holder_sends_it(shell: Shell) -> None:
    shell.sandbox.control(pause="trading")
    holder = shell.begin("submit", shell.file("a.jsonl", [row()]), "-o", "json", env={"OMS_SUBMIT__WAIT_S": "60"})
    wait_for(lambda: creates(shell) >= 1)
    answer = shell.submit([row(count="2")], "--no-wait", name="b.jsonl")
    assert answer.code == 0, answer.err
    assert answer.orders[0]["state"] == "queued"
    assert "another process sends" in answer.err
    busy = shell.oms("reconcile", "--wait", "0", "-o", "json")
    failed(busy, 6, "ledger_busy")
    shell.sandbox.control(pause="none")
    assert holder.end().code == 0
    assert sorted(x["status"] for x in shell.oms("orders", "-o", "json").orders) == ["resting", "resting"]


def test_a_second_submit_waits_and_answers_what_the_first_has_done_for_it(shell: Shell) -> None:
    shell.sandbox.control(pause="trading")
    holder = shell.begin("submit", shell.file("a.jsonl", [row()]), env={"OMS_SUBMIT__WAIT_S": "60"})
    wait_for(lambda: creates(shell) >= 1)
    second = shell.begin("submit", shell.file("b.jsonl", [row(count="2")]), "-o", "json")
    wait_for(lambda: len(shell.oms("orders", "-o", "json").orders) == 2)
    shell.sandbox.control(pause="none")
    assert holder.end().code == 0
    answer = second.end()
    assert (answer.code, [x["status"] for x in answer.orders]) == (0, ["resting"])
    assert len(placed(shell)) == 2
