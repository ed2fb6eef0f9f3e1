"""The commands of money by real processes: every form, exact text, what is told on stderr."""

import sqlite3
from contextlib import closing
from decimal import Decimal

import pytest

from tests.contract.shells import Shell
from tests.contract.worlds import TICKER, row


@pytest.fixture
def traded(shell: Shell) -> Shell:
    """Ten bought, four sold, one resting; read by a reconcile."""
    rows = [
        row(price="0.99", count="10", tag="carry"),
        row(action="sell", price="0.01", count="4", tag="maker"),
        row(price="0.01", count="2"),
    ]
    assert shell.submit(rows, name="day.jsonl").code == 0
    assert shell.oms("reconcile").code == 0
    return shell


def test_pnl_in_every_form(traded: Shell) -> None:
    answer = traded.oms("pnl", "--by", "tag", "--quotes", "-o", "json")
    report = answer.json
    assert (answer.code, report["ok"], report["by"], report["notes"]) == (0, True, "tag", [])
    assert [line["key"] for line in report["lines"]] == ["carry", "maker"]
    assert sum(Decimal(line["total"]) for line in report["lines"]) == Decimal(report["total"]["total"])
    lines = traded.oms("pnl", "--by", "tag", "-o", "jsonl").lines
    assert [(line["by"], line["key"]) for line in lines] == [("tag", "carry"), ("tag", "maker"), ("total", None)]
    assert lines[-1] == {"by": "total", **report["total"]}
    table = traded.oms("pnl", "--by", "tag", "-o", "csv").table
    assert [line["total"] for line in table] == [line["total"] for line in lines]
    text = traded.oms("pnl").out.splitlines()
    assert text[0].split("\t") == [
        "by",
        "key",
        "fills",
        "volume",
        "position",
        "realized",
        "unrealized",
        "fees",
        "total",
    ]
    assert text[1].startswith(f"market\t{TICKER}\t")
    assert "prices of" in answer.err


def test_a_deposit_explains_the_balance_and_is_listed_in_every_form(traded: Shell) -> None:
    traded.sandbox.control(deposit={"dollars": "3.00"})
    traded.oms("reconcile")
    assert traded.oms("pnl", "-o", "json").json["notes"] == []
    newest, _ = traded.oms("balance", "-o", "jsonl").lines
    assert (newest["deposits"], newest["unexplained"]) == ("3.0000", "0.0000")
    listed = [line for line in traded.oms("transfers", "-o", "jsonl").lines if line["amount"] == "3.00"]
    assert [(each["kind"], each["status"], each["to_subaccount"]) for each in listed] == [("deposit", "applied", 0)]
    head, *_ = traded.oms("transfers", "-o", "csv").out.splitlines()
    assert head.split(",") == list(listed[0])


def test_what_does_not_tie_out_is_told_on_stderr_too(traded: Shell) -> None:
    everything = "/portfolio/summary/total_resting_order_value"
    first, *_ = traded.sandbox.call("GET", "/portfolio/balance").json()["balance_breakdown"]
    held = traded.sandbox.call("GET", everything).json()["resting_order_value_breakdown"]
    cash = Decimal(first["balance"]) + sum(Decimal(each["balance"]) for each in held) + 3
    traded.sandbox.control(balance={"dollars": f"{cash:.2f}"})
    traded.oms("reconcile")
    answer = traded.oms("pnl", "-o", "json")
    (note,) = answer.json["notes"]
    assert "interest, rewards" in note
    assert f"warning: {note}" in answer.err
    newest, first = traded.oms("balance", "-o", "jsonl").lines
    assert (first["since"], first["unexplained"], newest["since"]) == (None, None, first["at"])
    assert Decimal("2.9") < Decimal(newest["unexplained"]) <= Decimal("3.01")


def test_fills_positions_and_settlements_as_lists(traded: Shell) -> None:
    fills = traded.oms("fills", "-o", "jsonl").lines
    assert {fill["ticker"] for fill in fills} == {TICKER}
    assert traded.oms("fills", "--limit", "1", "-o", "jsonl").lines == fills[:1]
    first = fills[-1]["client_order_id"]
    assert traded.oms("fills", "--since", "1d", "-o", "jsonl").lines == fills
    of_first = traded.oms("fills", "--order", first, "-o", "jsonl").lines
    assert {fill["client_order_id"] for fill in of_first} == {first}
    assert traded.oms("fills", "--ticker", "NONE", "-o", "json").json == {"fills": [], "ok": True}
    (position,) = traded.oms("positions", "-o", "json").json["positions"]
    assert (position["position"], position["agrees"], position["exchange_position"]) == ("6.00", True, "6.00")
    traded.sandbox.control(market={"ticker": TICKER, "status": "settled", "result": "yes"})
    assert traded.oms("reconcile").code == 0
    (settled,) = traded.oms("settlements", "-o", "json").json["settlements"]
    assert (settled["revenue"], settled["paid"], settled["difference"]) == ("6.00", "6.0000", "0.0000")
    assert traded.oms("positions", "-o", "json").json["positions"] == []
    (flat,) = traded.oms("positions", "--closed", "-o", "csv").table
    assert flat["position"] == "0.00"


def test_a_wrong_word_or_order_is_named(traded: Shell) -> None:
    assert traded.oms("pnl", "--by", "year").code == 2
    missing = traded.oms("fills", "--order", "nobody", "-o", "json")
    assert (missing.code, missing.json["ok"]) == (2, False)


def test_positions_that_differ_are_told(traded: Shell) -> None:
    with closing(sqlite3.connect(traded.ledger)) as db, db:
        db.execute("UPDATE positions SET position_e2 = position_e2 + 1")
    answer = traded.oms("positions", "-o", "json")
    (position,) = answer.json["positions"]
    assert (position["agrees"], position["exchange_position"]) == (False, "6.01")
    assert f"{TICKER}: fills add up to 6.00, the exchange shows 6.01" in answer.err
    (note,) = traded.oms("pnl", "--quotes", "-o", "json").json["notes"]
    assert "the exchange shows 6.01" in note
