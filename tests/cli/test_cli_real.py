"""The command line over the real service and a real sandbox exchange: words in, words out."""

import csv
import io
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cli_fake import Cli

from oms import Oms
from oms.sandbox.launch import Running, launch
from oms.sandbox.options import ServeOptions

TICKER = "SBXRAIN-A-T10"
ROWS = f"ticker,action,side,count,price\n{TICKER},buy,yes,3,0.95\n{TICKER},buy,no,4,0.03\n"
FLAGS = ("--ticker", TICKER, "--action", "buy", "--side", "yes", "--count", "1", "--price", "0.02")


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """A sandbox exchange, and a directory for the one ledger that sends to it."""
    directory = tmp_path_factory.mktemp("exchange")
    found = launch(directory, ServeOptions(dir=directory, tier="unlimited", idle_exit_s=60))
    yield found, tmp_path_factory.mktemp("state")
    os.kill(found.pid, signal.SIGTERM)


@pytest.fixture
def oms(cli: Cli, exchange: tuple[Running, Path], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, configured by variables for that exchange and that ledger."""
    found, state = exchange
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("OMS_VENUE__SANDBOX__BASE_URL", found.base_url)
    monkeypatch.setenv("OMS_VENUE__SANDBOX__KEY_ID", found.key_id)
    monkeypatch.setenv("OMS_VENUE__SANDBOX__PRIVATE_KEY_PATH", found.private_key_path)
    return cli


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(ROWS)
    return path


def test_a_file_is_placed_once_however_often_it_is_submitted(oms: Cli, rows: Path) -> None:
    first = oms("submit", str(rows), "--batch", "once", "--json")
    assert first.code == 0
    placed = first.json
    assert [(o["row"], o["status"], o["preexisting"]) for o in placed["orders"]] == [
        (1, "executed", False),
        (2, "resting", False),
    ]
    assert (placed["batch"], placed["recorded"], placed["environment"]) == ("once", 2, "sandbox")
    assert placed["orders"][1]["side"] == "ask"
    assert placed["orders"][1]["price"] == "0.9700"
    assert placed["orders"][1]["outcome_price"] == "0.0300"
    again = oms("submit", str(rows), "--batch", "once", "--json")
    assert again.code == 0
    assert [o["preexisting"] for o in again.json["orders"]] == [True, True]
    ids = [o["order_id"] for o in placed["orders"]]
    assert [o["order_id"] for o in again.json["orders"]] == ids
    assert again.json["recorded"] == 0
    assert "recorded before" in again.err


def test_the_four_forms_tell_the_same_orders(oms: Cli) -> None:
    assert oms("submit", *FLAGS, "--tag", "forms").code == 0
    as_json = oms("orders", "--json").json["orders"]
    as_lines = [json.loads(line) for line in oms("orders", "-o", "jsonl").out.splitlines()]
    as_csv = list(csv.DictReader(io.StringIO(oms("orders", "-o", "csv").out)))
    as_table = oms("orders").out.splitlines()
    assert as_json == as_lines
    names = [order["client_order_id"] for order in as_json]
    assert [row["client_order_id"] for row in as_csv] == names
    assert [line.split("\t")[1] for line in as_table[1:]] == names


def test_standard_input_takes_the_guides_order_object_as_it_stands(oms: Cli) -> None:
    line = {"ticker": TICKER, "action": "buy", "side": "yes", "count": 1, "type": "limit", "yes_price": 1}
    result = oms("submit", "-", "--json", stdin=json.dumps({**line, "client_order_id": "mine-1"}).encode())
    assert result.code == 0
    (order,) = result.json["orders"]
    assert (order["client_order_id"], order["price"], order["status"]) == ("mine-1", "0.0100", "resting")


def test_every_bad_row_is_named_and_nothing_is_recorded(oms: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(
        f"ticker,action,side,count,price\n{TICKER},buy,yes,0,0.95\n{TICKER},buy,maybe,1,x\n{TICKER},buy,yes,1,0.5\n"
    )
    before = oms("batches", "--json").out
    result = oms("submit", str(file), "--json")
    assert result.code == 2
    problems = result.json["error"]["problems"]
    assert {(problem["line"], problem["field"]) for problem in problems} >= {(2, "count"), (3, "price")}
    for problem in problems:
        assert f"line {problem['line']}: {problem['field']}: {problem['reason']}" in result.err
    assert oms("batches", "--json").out == before


def test_a_bad_flag_is_named_as_the_flag(oms: Cli) -> None:
    result = oms("submit", *FLAGS[:-1], "1.5")
    assert result.code == 2
    assert "--price: " in result.err


def test_a_refused_order_is_exit_5_with_reason_and_retry(oms: Cli) -> None:
    result = oms("submit", "--ticker", "NO-SUCH-MARKET", *FLAGS[2:], "--batch", "refused", "--json")
    assert result.code == 5
    (order,) = result.json["orders"]
    assert (order["status"], order["reason"]) == ("rejected", "refused")
    assert result.json["error"]["code"] == "refused"
    assert "-> oms submit --retry refused" in result.err
    retried = oms("submit", "--retry", "refused", "--json")
    assert retried.code == 5
    assert retried.json["orders"][0]["client_order_id"] != order["client_order_id"]


def test_a_resting_order_is_canceled_by_the_beginning_of_its_id(oms: Cli) -> None:
    (placed,) = oms("submit", *FLAGS, "--json").json["orders"]
    result = oms("cancel", placed["order_id"][:12], "--json")
    assert result.code == 0
    (order,) = result.json["orders"]
    assert (order["order_id"], order["status"]) == (placed["order_id"], "canceled")
    assert [o["status"] for o in oms("orders", "--status", "canceled", "--json").json["orders"]] == ["canceled"]


def test_unknown_names_are_exit_2(oms: Cli) -> None:
    for words in (("why", "no-such-order"), ("cancel", "no-such-order"), ("submit", "--retry", "no-such-batch")):
        result = oms(*words, "--json")
        assert (result.code, result.json["ok"]) == (2, False)


def test_why_tells_the_story_of_an_order(oms: Cli) -> None:
    (order,) = oms("submit", *FLAGS, "--json").json["orders"]
    said = oms("why", order["client_order_id"])
    assert said.code == 0
    lines = said.out.splitlines()
    assert order["order_id"] in said.out
    assert " ms " in lines[4]
    story = oms("why", order["client_order_id"], "--json").json
    assert story["timeline"][0]["event"] == "recorded"
    assert story["summary"] == lines[-1]


def test_status_reconcile_doctor_and_check_are_content(oms: Cli) -> None:
    oms("submit", *FLAGS)
    for words in (("status",), ("reconcile",), ("doctor",), ("db", "check"), ("markets", "--limit", "2"), ("batches",)):
        for form in ("table", "json", "jsonl", "csv"):
            result = oms(*words, "-o", form)
            assert (result.code, "Traceback" in result.err) == (0, False), words
            assert result.out or words == ("reconcile",)
    assert oms("status", "--json").json["exchange"] == "open"
    assert len(oms("markets", "--limit", "2", "--json").json["markets"]) == 2


def test_a_backup_can_be_restored(oms: Cli, tmp_path: Path) -> None:
    oms("submit", *FLAGS)
    copy = tmp_path / "copy.sqlite3"
    assert oms("db", "backup", str(copy), "--json").json["backup"] == str(copy)
    before = oms("orders", "--json").out
    assert oms("db", "restore", str(copy)).code == 0
    assert oms("orders", "--json").out == before


def test_a_dry_run_needs_no_key_no_network_and_leaves_no_trace(
    cli: Cli, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    for words in ((str(rows),), ("-",), FLAGS):
        result = cli("--env", "prod", "submit", *words, "--dry-run", "--json", stdin=json.dumps(ROW).encode())
        assert result.code == 0
        assert result.json["dry_run"] is True
        assert all(order["client_order_id"] and order["price"] for order in result.json["orders"])
    assert not state.exists()
    bad = cli("submit", "-", "--dry-run", "--json", stdin=b'{"ticker": "T"}')
    assert (bad.code, bad.json["ok"]) == (2, False)
    assert bad.json["error"]["problems"]


ROW = {"ticker": TICKER, "action": "sell", "side": "no", "count": 2, "price": "0.5"}


def test_reading_a_ledger_that_is_not_there_makes_none(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    for words in (("orders",), ("batches",), ("why", "abcdefgh"), ("db", "check")):
        result = cli(*words, "--json")
        assert (result.code, result.json["error"]["code"]) == (2, "ledger_missing")
    assert cli("status", "--offline").code == 0
    assert not state.exists()


def test_nothing_pending_is_done(oms: Cli) -> None:
    oms("submit", *FLAGS)
    result = oms("submit", "--json")
    assert (result.code, result.json["queued"], result.json["recorded"]) == (0, 0, 0)


def test_rows_that_waited_long_are_named_before_they_are_sent(oms: Cli, tmp_path: Path, exchange: Any) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps({"ticker": TICKER, "side": "bid", "price": "0.01", "count": "7"}))
    with Oms.open() as program:
        program.submit_file(path, batch="old", send=False)
    (ledger,) = exchange[1].rglob("*.sqlite3")
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("UPDATE batches SET created_at_us = created_at_us - 7500000000 WHERE name = 'old'")
    again = oms("submit", str(path), "--batch", "old")
    assert again.code == 0
    assert "1 pending order, the oldest recorded 2 h ago, will be sent in sandbox" in again.err.splitlines()[0]
    assert "will be sent" not in oms("submit", str(path), "--batch", "old").err
