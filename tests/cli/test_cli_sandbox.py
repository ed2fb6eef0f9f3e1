"""`oms sandbox`: serve as a process; load, control and market on a sandbox that runs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_fake import Cli

from oms.sandbox.launch import running
from tests.sandbox.running import Sandbox, start_sandbox


def test_serve_announces_itself_and_ends_in_good_order(tmp_path: Path, cli: Cli) -> None:
    words = [sys.executable, "-m", "oms", "sandbox", "serve", "--dir", str(tmp_path / "x"), "--seed", "7"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        assert told["base_url"].startswith("http://127.0.0.1:")
        assert Path(told["private_key_path"]).is_file()
        busy = cli("sandbox", "serve", "--dir", str(tmp_path / "x"), "--json")
        assert (busy.code, busy.json["error"]["code"]) == (6, "sandbox_busy")
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=30)
    assert (server.returncode, said) == (0, b"")


@pytest.mark.parametrize(
    "words",
    [
        ("--faults", "[{]"),
        ("--faults", '[{"fault": "no-such"}]'),
        ("--tier", "gold"),
        ("--port", "70000"),
        ("--dedupe", "x"),
    ],
    ids=str,
)
def test_serve_refuses_what_makes_no_sense(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    result = cli("sandbox", "serve", "--dir", str(tmp_path / "x"), *words, "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "usage")


def test_serve_says_why_it_cannot_start(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = cli("sandbox", "serve", "--dir", str(tmp_path / "file" / "x"))
    assert result.code == 1
    assert "Not a directory" in result.err


# ---- load, control, market


TICKER = "SBXRAIN-A-T10"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start_sandbox(tmp_path_factory.mktemp("sandbox") / "x", tier="unlimited") as sandbox:
        yield sandbox


@pytest.fixture
def market(cli: Cli, exchange: Sandbox) -> Callable[..., Any]:
    """`oms sandbox market WORDS` on the running sandbox: its json, once it ended with the code expected."""

    def call(*words: str, code: int = 0) -> Any:
        result = cli("sandbox", "market", *words, "--dir", str(exchange.options.dir), "--json")
        assert result.code == code, result
        return result.json if code == 0 else result.json["error"]

    return call


def status_of(exchange: Sandbox, order_id: str) -> str:
    return str(exchange.call("GET", f"/portfolio/orders/{order_id}").json()["order"]["status"])


def test_markets_are_listed_and_shown(market: Callable[..., Any], cli: Cli, exchange: Sandbox) -> None:
    assert len(market("list")["markets"]) == 30
    assert [row["ticker"] for row in market("list", "--status", "paused")["markets"]] == ["SBXRATE-B-T10"]
    shown = market("show", "SBXRATE-B-T30")
    assert (shown["status"], shown["result"], shown["settlement_value"]) == ("finalized", "yes", "1.0000")
    table = cli("sandbox", "market", "list", "--dir", str(exchange.options.dir)).out.splitlines()
    assert table[0].split("\t")[:3] == ["ticker", "status", "result"]
    assert len(table) == 31


def test_a_market_is_paused_resumed_and_closed(market: Callable[..., Any], exchange: Sandbox) -> None:
    ticker = "SBXRAIN-B-T10"
    order_id = exchange.create(ticker=ticker).json()["order_id"]
    assert market("pause", ticker)["status"] == "inactive"
    assert exchange.create(ticker=ticker).status_code == 409
    assert market("resume", ticker)["status"] == "active"
    assert market("close", ticker, "--in", "3600")["status"] == "active"
    assert status_of(exchange, order_id) == "resting"
    assert market("close", ticker)["status"] == "closed"
    assert status_of(exchange, order_id) == "canceled"


def test_an_order_is_filled_by_either_id_or_in_turn(market: Callable[..., Any], exchange: Sandbox) -> None:
    ids = [exchange.create(client_order_id=name, price="0.0300").json()["order_id"] for name in ("t-a", "t-b", "t-c")]
    assert market("trade", TICKER, "--order", "t-b", "--count", "0.95")["filled_order_id"] == ids[1]
    assert market("trade", TICKER, "--order", ids[1], "--count", "0.05")["filled_order_id"] == ids[1]
    assert [status_of(exchange, order_id) for order_id in ids] == ["resting", "executed", "resting"]
    assert [market("trade", TICKER)["filled_order_id"] for _ in range(2)] == [ids[0], ids[2]]
    assert "rests" in market("trade", TICKER, code=2)["message"]
    ask = exchange.create(side="ask", price="0.9900", count="2.00").json()["order_id"]
    assert "2.00 that rest" in market("trade", TICKER, "--order", ask, "--count", "2.01", code=2)["message"]
    assert "in SBXRAIN-A-T20" in market("trade", "SBXRAIN-A-T20", "--order", ask, code=2)["message"]


def test_a_strangers_quote_rests_and_can_be_taken(market: Callable[..., Any], exchange: Sandbox) -> None:
    shown = market("show", "SBXRAIN-A-T30")
    middle = f"{(int(shown['yes_bid'][2:]) + int(shown['yes_ask'][2:])) // 200 / 100:.4f}"
    assert market("quote", "SBXRAIN-A-T30", "ask", middle, "1.25")["yes_ask"] == middle
    assert "at once" in market("quote", "SBXRAIN-A-T30", "bid", middle, "1", code=2)["message"]
    taken = exchange.create(ticker="SBXRAIN-A-T30", price=middle, count="1.25").json()
    assert (taken["fill_count"], taken["average_fill_price"]) == ("1.25", middle)


def test_a_market_settles_with_a_result_a_value_or_what_was_determined(
    market: Callable[..., Any], exchange: Sandbox
) -> None:
    assert market("settle", "SBXTEMP-A-T10", code=2)["code"] == "usage"
    assert market("settle", "SBXTEMP-A-T10", "maybe", code=2)["code"] == "usage"
    assert market("determine", "SBXTEMP-A-T10", "no")["status"] == "determined"
    exchange.create(ticker="SBXTEMP-A-T20", price="0.9900", count="2.00")
    for words, result, value in (
        (("SBXTEMP-A-T10",), "no", "0.0000"),
        (("SBXTEMP-A-T20", "0.37"), "scalar", "0.3700"),
        (("SBXTEMP-A-T30", "yes"), "yes", "1.0000"),
    ):
        shown = market("settle", *words)
        assert (shown["status"], shown["result"], shown["settlement_value"]) == ("finalized", result, value)
    (row,) = exchange.call("GET", "/portfolio/settlements").json()["settlements"]
    assert (row["ticker"], row["revenue"], row["value"]) == ("SBXTEMP-A-T20", 74, 37)
    assert "stays so" in market("resume", "SBXTEMP-A-T10", code=2)["message"]


@pytest.mark.parametrize(
    "words", [("show",), ("pause",), ("close",), ("settle",), ("trade",), ("determine",), ("resume",)], ids=str
)
def test_an_unknown_market_is_told_with_where_to_look(market: Callable[..., Any], words: tuple[str, ...]) -> None:
    error = market(*words, "SBXNONE", *(["yes"] if words[0] in ("settle", "determine") else []), code=2)
    assert (error["code"], "SBXNONE" in error["message"]) == ("sandbox_refused", True)
    assert "market list" in error["hint"]


def test_control_shows_and_changes_the_settings(cli: Cli, exchange: Sandbox) -> None:
    where = ("--dir", str(exchange.options.dir), "--json")
    assert cli("sandbox", "control", *where).json["pause"] == "none"
    assert cli("sandbox", "control", '{"latency_ms": 1}', *where).json["latency_ms"] == 1
    assert cli("sandbox", "control", '{"latency_ms": 0}', *where).json["latency_ms"] == 0
    for change, code in (('{"pause": 1}', "sandbox_refused"), ("{", "usage"), ("[]", "usage")):
        refused = cli("sandbox", "control", change, *where)
        assert (refused.code, refused.json["error"]["code"]) == (2, code)


def test_a_directory_without_a_sandbox_is_not_made_one(cli: Cli, tmp_path: Path) -> None:
    refused = cli("sandbox", "market", "list", "--dir", str(tmp_path / "x"), "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "sandbox_refused")
    assert not (tmp_path / "x").exists()


def test_load_gives_a_past_to_a_sandbox_that_is_started_when_asked(cli: Cli, tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "x"), "--json")
    made = cli("sandbox", "load", "--orders", "40", "--fills", "100", "--resting", "7", *where).json
    assert (made["orders"], made["fills"], made["resting"], made["ok"]) == (40, 100, 7, True)
    assert cli("sandbox", "load", "--orders", "5", "--resting", "7", *where).json["error"]["code"] == "usage"
    try:
        shown = cli("sandbox", "control", *where).json
        assert (shown["orders"], shown["fills"], shown["resting"]) == (40, 100, 7)
        busy = cli("sandbox", "load", "--orders", "5", *where)
        assert (busy.code, busy.json["error"]["code"]) == (6, "sandbox_busy")
    finally:
        found = running(tmp_path / "x")
        assert found is not None
        os.kill(found.pid, signal.SIGTERM)
