"""Design section 8 by real processes: what `oms reconcile` learns, counts, reports, and never does."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.contract.shells import Answer, Shell
from tests.contract.worlds import CREATE, TICKER, fault, row

BREAK = {"kind", "client_order_id", "order_id", "ticker", "expected", "seen", "suggestion", "first_seen_at"}


def reconcile(shell: Shell, *words: str, code: int = 0, **how: Any) -> dict[str, Any]:
    answer = shell.oms("reconcile", *words, "-o", "json", **how)
    assert answer.code == code, (answer.out, answer.err)
    return answer.json


def orders(shell: Shell, *words: str) -> list[dict[str, Any]]:
    return shell.oms("orders", *words, "-o", "json").orders


def placed(shell: Shell, **changes: Any) -> dict[str, Any]:
    answer = shell.submit([row(**changes)], name=f"{len(list(shell.home.iterdir()))}.jsonl")
    assert answer.code == 0, answer
    return answer.orders[0]


def trade(shell: Shell, order: dict[str, Any], count: str, side: str = "ask") -> None:
    """Somebody else trades against that order."""
    given = {"ticker": order["ticker"], "side": side, "price": order["price"], "count": count}
    shell.sandbox.control(trade={**given, "client_order_id": order["client_order_id"]})


def fills(shell: Shell) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{shell.ledger}?mode=ro", uri=True)) as db:
        return list(db.execute("SELECT trade_id, count_e2 FROM fills ORDER BY ts_ms, trade_id"))


def test_nothing_to_do_is_exit_0_and_doing_it_again_changes_nothing(shell: Shell) -> None:
    placed(shell)
    first = reconcile(shell)
    before = shell.oms("why", orders(shell)[0]["client_order_id"], "--json").json["timeline"]
    second = reconcile(shell)
    after = shell.oms("why", orders(shell)[0]["client_order_id"], "--json").json["timeline"]
    assert (first["breaks"], second["breaks"], before) == ([], [], after)
    assert (second["updated"], second["fills"], second["resolved"]) == (0, 0, 0)


@pytest.mark.fault(62)
def test_a_cancel_made_elsewhere_is_noticed(shell: Shell) -> None:
    order = placed(shell)
    gone = shell.sandbox.call("DELETE", f"/portfolio/events/orders/{order['order_id']}", market_ticker=TICKER)
    assert gone.status_code == 200
    report = reconcile(shell)
    assert (report["updated"], report["breaks"]) == (1, [])
    (shown,) = orders(shell)
    assert (shown["status"], shown["remaining_count"], shown["fill_count"]) == ("canceled", "0.00", "0.00")


@pytest.mark.fault(63)
def test_fills_made_elsewhere_are_counted_once_and_exactly_in_fractions(shell: Shell) -> None:
    order = placed(shell, price="0.02", count="3.33")
    trade(shell, order, "1.11")
    assert reconcile(shell)["fills"] == 1
    assert reconcile(shell)["fills"] == 0
    assert reconcile(shell, "--since", "1d")["fills"] == 0
    (shown,) = orders(shell)
    assert (shown["status"], shown["fill_count"], shown["remaining_count"]) == ("resting", "1.11", "2.22")
    assert shown["average_fill_price"] == "0.0200"
    trade(shell, order, "2.22")
    assert reconcile(shell)["fills"] == 1
    (shown,) = orders(shell)
    assert (shown["status"], shown["fill_count"], shown["remaining_count"]) == ("executed", "3.33", "0.00")
    assert sorted(count for _, count in fills(shell)) == [111, 222]


def test_an_order_that_took_liquidity_has_its_fills_fees_and_average(shell: Shell) -> None:
    order = placed(shell, price="0.99", count="5")
    assert order["status"] == "executed"
    assert reconcile(shell)["fills"] >= 1
    (shown,) = orders(shell)
    real = shell.sandbox.orders()[0]
    assert shown["fill_count"] == "5.00"
    assert float(shown["fees"]) * 1e6 == pytest.approx(real["taker_fees_e6"] + real["maker_fees_e6"])
    assert float(shown["average_fill_price"]) * 5 == pytest.approx(real["taker_cost_e6"] / 1e6)


def test_the_fills_of_a_no_order_are_priced_in_yes_and_shown_as_entered(shell: Shell) -> None:
    order = placed(shell, side="no", price="0.03", count="2")
    assert (order["side"], order["price"]) == ("ask", "0.9700")
    trade(shell, order, "2", side="bid")
    reconcile(shell)
    (shown,) = orders(shell)
    assert (shown["status"], shown["average_fill_price"], shown["outcome_price"]) == ("executed", "0.9700", "0.0300")


def test_positions_and_balance_are_as_last_seen(shell: Shell) -> None:
    placed(shell, price="0.99", count="2")
    report = reconcile(shell)
    assert report["positions"] == 1
    balance = shell.sandbox.call("GET", "/portfolio/balance").json()
    assert report["balance"] == balance.get("balance_dollars", report["balance"])


@pytest.mark.fault(69)
def test_an_order_made_elsewhere_is_external_and_no_break(shell: Shell) -> None:
    placed(shell)
    assert shell.sandbox.create(client_order_id="by-hand").status_code == 201
    report = reconcile(shell)
    assert (report["external"], report["breaks"]) == (1, [])
    assert len(orders(shell)) == 1


def test_an_amend_made_elsewhere_is_a_break_and_exit_7(shell: Shell) -> None:
    order = placed(shell, count="5")
    body = {"ticker": TICKER, "side": "bid", "price": "0.0200", "count": "4.00"}
    amended = shell.sandbox.call("POST", f"/portfolio/events/orders/{order['order_id']}/amend", body)
    assert amended.status_code == 200, amended.text
    report = reconcile(shell, "--since", "1d", code=7)
    assert report["ok"] is False
    assert report["error"]["code"] == "breaks"
    (found,) = report["breaks"]
    assert set(found) == BREAK
    assert (found["kind"], found["client_order_id"]) == ("amended", order["client_order_id"])
    assert (found["expected"], found["seen"]) == ("5.00 at 0.0100", "4.00 at 0.0200")


def test_an_order_that_got_another_id_elsewhere_is_still_known_by_its_order_id(shell: Shell) -> None:
    order = placed(shell, count="5")
    path = f"/portfolio/events/orders/{order['order_id']}/amend"
    body = {"ticker": TICKER, "side": "bid", "price": "0.0200", "count": "4.00"}
    renamed = shell.sandbox.call("POST", path, {**body, "updated_client_order_id": "another-name"})
    assert renamed.status_code == 200, renamed.text
    report = reconcile(shell, "--since", "1d", code=7)
    assert report["external"] == 0
    assert sorted(each["kind"] for each in report["breaks"]) == ["amended", "renamed"]
    assert "another-name" in str(report["breaks"])
    (after,) = [each for each in orders(shell) if each["order_id"] == order["order_id"]]
    assert (after["client_order_id"], after["price"], after["count"]) == (order["client_order_id"], "0.0200", "4.00")


def test_breaks_are_listed_in_every_form(shell: Shell) -> None:
    order = placed(shell, count="5")
    body = {"ticker": TICKER, "side": "bid", "price": "0.0200", "count": "4.00"}
    shell.sandbox.call("POST", f"/portfolio/events/orders/{order['order_id']}/amend", body)
    lines: Answer = shell.oms("reconcile", "--since", "1d", "-o", "jsonl")
    assert (lines.code, [set(each) for each in lines.lines]) == (7, [BREAK])
    table = shell.oms("reconcile", "--since", "1d", "-o", "csv")
    assert (table.code, [each["kind"] for each in table.table]) == (7, ["amended"])
    text = shell.oms("reconcile", "--since", "1d")
    assert text.code == 7
    assert "amended" in text.out


@pytest.mark.fault(6)
def test_what_a_dead_run_left_in_doubt_is_resolved_and_nothing_is_sent(shell: Shell) -> None:
    shell.sandbox.control(faults=[fault("hang", ms=20_000)])
    begun = shell.begin("submit", shell.file("o.jsonl", [row(), row()]), env={"OMS_SUBMIT__CONCURRENCY": "1"})
    while not shell.sandbox.orders():
        pass
    begun.child.kill(9)
    begun.child.wait()
    shell.sandbox.control(faults=[])
    sent = [each for each in shell.sandbox.log() if each["operation"] == CREATE]
    report = reconcile(shell)
    assert report["found"] >= 1
    assert report["in_doubt"] == 0
    assert report["queued"] >= 0
    assert [each for each in shell.sandbox.log() if each["operation"] == CREATE] == sent
    assert shell.oms("submit").code == 0
    assert sorted(x["status"] for x in orders(shell)) == ["resting", "resting"]
    assert len(shell.sandbox.orders()) == 2


def test_a_parked_order_is_a_break_and_exit_3(shell: Shell) -> None:
    assert shell.sandbox.create(client_order_id="mine", count="9.00").status_code == 201
    assert shell.submit([row(client_order_id="mine")]).code == 3
    report = reconcile(shell, code=3)
    assert [x["kind"] for x in report["breaks"]] == ["parked"]
    assert "oms resolve mine" in report["breaks"][0]["suggestion"]


@pytest.mark.fault(70)
def test_an_order_that_the_exchange_no_longer_shows_is_a_break_and_is_not_placed_again(shell: Shell) -> None:
    order = placed(shell)
    placed(shell, count="2")
    kept = shell.sandbox.rows("SELECT user_id FROM placed WHERE client_order_id = ?", order["client_order_id"])
    assert kept
    shell.sandbox.stop()
    with closing(sqlite3.connect(shell.sandbox.options.dir / "exchange.sqlite3")) as db:
        db.execute("UPDATE placed SET user_id = 'nobody' WHERE client_order_id = ?", (order["client_order_id"],))
        db.commit()
    shell.sandbox.restart()
    report = reconcile(shell, code=7)
    assert [(x["kind"], x["order_id"]) for x in report["breaks"]] == [("lost", order["order_id"])]
    assert shell.oms("submit").code == 0
    assert sum(x["operation"] == CREATE for x in shell.sandbox.log()) == 2


def test_reconcile_that_cannot_reach_the_exchange_is_exit_6_and_concludes_nothing(shell: Shell) -> None:
    placed(shell)
    before = orders(shell)
    shell.sandbox.stop()
    answer = shell.oms("reconcile", "-o", "json", env={"OMS_SUBMIT__WAIT_S": "0.1"})
    assert (answer.code, answer.json["error"]["code"]) == (6, "unreachable")
    assert orders(shell) == before


@pytest.mark.parametrize("since", ["yesterday", "-1d", "7", "2026-13-01"])
def test_a_since_that_is_no_time_is_exit_2(shell: Shell, since: str) -> None:
    assert shell.oms("reconcile", f"--since={since}").code == 2
    assert shell.wire.requests == 0
