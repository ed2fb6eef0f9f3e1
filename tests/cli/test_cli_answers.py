"""What each command answers, in each form."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import cli_fake as fakes
import pytest
from cli_fake import Cli, FakeOms

from oms.records import CheckRecord, OrderRecord

SUBMIT_FLAGS = ("--ticker", "T", "--action", "buy", "--side", "yes", "--count", "1", "--price", "0.01")
LISTS = {
    ("orders",): "orders",
    ("batches",): "batches",
    ("markets",): "markets",
    ("doctor",): "checks",
    ("db", "check"): "checks",
    ("config", "show"): "config",
    ("submit", *SUBMIT_FLAGS): "orders",
    ("submit",): "orders",
    ("submit", "--retry", "nightly"): "orders",
    ("submit", "--dry-run", *SUBMIT_FLAGS): "orders",
    ("cancel", "abcdefgh"): "orders",
    ("withdraw", "--batch", "nightly"): "orders",
    ("resolve", "abcdefgh", "--absent"): "orders",
}
OBJECTS: dict[tuple[str, ...], str] = {
    ("status",): "exchange",
    ("reconcile",): "resolved",
    ("why", "abcdefgh"): "timeline",
    ("db", "backup", "copy.db"): "backup",
    ("config", "path"): "path",
    ("config", "validate"): "environment",
    ("help", "exit-codes"): "text",
}


@pytest.mark.parametrize(("words", "name"), [*LISTS.items(), *OBJECTS.items()], ids=lambda each: str(each))
def test_json_is_one_object_that_says_ok(fake: type[FakeOms], cli: Cli, words: tuple[str, ...], name: str) -> None:
    result = cli("--json", *words)
    assert result.code == 0
    assert result.json["ok"] is True
    assert name in result.json
    assert cli(*words, "-o", "json").out == result.out


@pytest.mark.parametrize(("words", "name"), LISTS.items(), ids=lambda each: str(each))
def test_jsonl_is_one_record_a_line(fake: type[FakeOms], cli: Cli, words: tuple[str, ...], name: str) -> None:
    listed = cli("--json", *words).json[name]
    assert [json.loads(line) for line in cli("-o", "jsonl", *words).out.splitlines()] == listed


@pytest.mark.parametrize("words", LISTS, ids=str)
def test_csv_has_a_header_and_a_line_for_each_record(fake: type[FakeOms], cli: Cli, words: tuple[str, ...]) -> None:
    listed = cli("--json", *words).json[LISTS[words]]
    rows = list(csv.reader(io.StringIO(cli("-o", "csv", *words).out)))
    assert rows[0] == list(listed[0])
    assert len(rows) == len(listed) + 1


@pytest.mark.parametrize("words", LISTS, ids=str)
def test_a_table_on_a_pipe_is_tab_separated_and_cuts_nothing(
    fake: type[FakeOms], cli: Cli, words: tuple[str, ...]
) -> None:
    header, *lines = cli(*words).out.splitlines()
    assert lines
    assert {line.count("\t") for line in lines} == {header.count("\t")}
    assert "\x1b" not in header


def test_an_order_has_every_field_of_the_contract(fake: type[FakeOms], cli: Cli) -> None:
    promised = PROMISED.split()
    for words in (("orders",), ("submit", *SUBMIT_FLAGS)):
        (order,) = cli("--json", *words).json["orders"]
        assert set(promised) <= set(order)
        assert (order["in_doubt"], order["tag"], order["price"]) == (False, None, "0.3000")


def test_an_empty_list_is_empty_json_and_a_csv_header(fake: type[FakeOms], cli: Cli) -> None:
    fake.answer_orders = []
    assert cli("orders", "--json").json["orders"] == []
    assert cli("orders", "-o", "jsonl").out == ""
    assert cli("orders", "-o", "csv").out.startswith("client_order_id,order_id,")


def test_a_long_list_is_whole_on_a_pipe_in_every_form(fake: type[FakeOms], cli: Cli) -> None:
    fake.answer_orders = [fakes.order(row) for row in range(1, 251)]
    assert len(cli("orders", "--json").json["orders"]) == 250
    for form in ("table", "csv"):
        assert len(cli("orders", "-o", form).out.splitlines()) == 251
    assert len(cli("orders", "--limit", "7", "-o", "jsonl").out.splitlines()) == 7


@pytest.mark.fault(79, 89)
@pytest.mark.parametrize("bad", ["=1+1", "+cmd", "-x", "@sum", "\tx", "\rx"])
def test_csv_text_that_looks_like_a_formula_is_quoted(fake: type[FakeOms], cli: Cli, bad: str) -> None:
    fake.answer_orders = [fakes.order(tag=bad, fees="-0.01")]
    (row,) = csv.DictReader(io.StringIO(cli("orders", "-o", "csv").out, newline=""))
    assert row["tag"] == f"'{bad}"
    assert row["fees"] == "-0.01"


PROMISED = """
    client_order_id order_id environment batch row ticker side price action outcome outcome_price count time_in_force
    subaccount tag status in_doubt late preexisting fill_count remaining_count average_fill_price fees attempts reason
    detail created_at sent_at updated_at
"""
HOSTILE = "\x1b[31mred\x1b]0;title\x07\nnext\u202eevil\u2066[bold]x[/bold]\x9b\ud800"


@pytest.mark.fault(89)
@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_hostile_text_reaches_no_terminal_as_it_is(fake: type[FakeOms], cli: Cli, form: str) -> None:
    fake.answer_orders = [fakes.order(detail=HOSTILE, reason="refused", status="rejected")]
    fake.answer_report = fakes.report(exit_code=5, rejected_now=1, notes=(HOSTILE,))
    result = cli("submit", "-o", form)
    for text in (result.out, result.err):
        assert not set(text) & set("\x1b\x07\u202e\u2066\x9b\ud800")
    assert "[bold]x[/bold]" in result.out
    if form == "json":
        assert result.json["orders"][0]["detail"] == HOSTILE


def test_flags_reach_oms_as_one_row_of_raw_text(fake: type[FakeOms], cli: Cli) -> None:
    words = (
        "submit",
        *SUBMIT_FLAGS,
        "--tif",
        "fill_or_kill",
        "--post-only",
        "--tag",
        "=x",
        "--batch",
        "b",
        "--ttl",
        "5",
    )
    assert cli(*words).code == 0
    ((_, call),) = fake.calls
    assert call["orders"] == [
        {
            "ticker": "T",
            "action": "buy",
            "side": "yes",
            "count": "1",
            "price": "0.01",
            "time_in_force": "fill_or_kill",
            "post_only": True,
            "tag": "=x",
        }
    ]
    assert (call["batch"], call["ttl_s"], call["wait"]) == ("b", 5, True)


def test_a_dash_reads_standard_input_and_nothing_else_does(fake: type[FakeOms], cli: Cli) -> None:
    cli("submit", "-", stdin=b"rows")
    cli("submit", stdin=b"rows")
    assert [(name, call.get("stdin")) for name, call in fake.calls] == [("submit_file", b"rows"), ("drain", None)]


def test_a_file_is_handed_over_by_its_path(fake: type[FakeOms], cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("ticker\n")
    cli("submit", str(file), "--no-wait")
    ((name, call),) = fake.calls
    assert (name, call["path"], call["wait"], call["batch"]) == ("submit_file", file, False, None)


def test_rows_not_placed_are_named_with_reason_and_next_command(fake: type[FakeOms], cli: Cli) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"status": "rejected", "state": "refused", "reason": "refused", "detail": "insufficient_balance"},
        {"status": "pending", "state": "in_doubt", "in_doubt": True, "reason": "no_answer"},
        {"status": "pending", "state": "parked", "in_doubt": True, "reason": "conflict"},
        {"status": "pending", "state": "queued"},
    ]
    fake.answer_orders = [fakes.order(row, **change) for row, change in enumerate(changes, start=1)]
    fake.answer_report = fakes.report(exit_code=3, in_doubt=2)
    said = [line for line in cli("--env", "demo", "submit").err.splitlines() if line.startswith("  row ")]
    assert [line.rsplit(" -> ", 1)[1] for line in said] == [
        "oms --env demo submit --retry nightly",
        "oms --env demo reconcile",
        f"oms --env demo why {fakes.order(4).client_order_id}",
        "oms --env demo submit",
    ]
    assert "insufficient_balance" in said[0]


def test_at_most_twenty_rows_not_placed_are_named_and_the_rest_counted(fake: type[FakeOms], cli: Cli) -> None:
    fake.answer_orders = [fakes.order(row, status="rejected", state="refused") for row in range(1, 31)]
    said = cli("submit").err
    assert said.count("  row ") == 20
    assert "and 10 more" in said


def test_reconcile_lists_breaks_in_every_form(fake: type[FakeOms], cli: Cli) -> None:
    fake.answer_reconcile = fakes.reconciled(breaks=(fakes.BREAK,), exit_code=7)
    result = cli("reconcile", "--json")
    assert result.code == 7
    assert result.json["error"]["code"] == "breaks"
    assert result.json["breaks"][0]["kind"] == "lost"
    assert json.loads(cli("reconcile", "-o", "jsonl").out)["kind"] == "lost"
    assert cli("reconcile").out.splitlines()[1].startswith("lost\t")
    assert next(csv.DictReader(io.StringIO(cli("reconcile", "-o", "csv").out)))["kind"] == "lost"


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-11-22T09:00:00Z", 1795338000000000),
        ("2026-11-22", 1795305600000000),
        ("2026-11-22T10:00:00.000001+01:00", 1795338000000001),
    ],
)
def test_since_is_a_moment_in_utc_microseconds(fake: type[FakeOms], cli: Cli, text: str, us: int) -> None:
    cli("reconcile", "--since", text)
    assert fake.calls[0][1]["since_us"] == us


def test_why_tells_the_timeline_with_the_time_between_its_facts(fake: type[FakeOms], cli: Cli) -> None:
    said = cli("why", "abcdefgh").out
    assert "+12.5 ms" in said
    assert said.rstrip().endswith(fakes.STORY.summary)
    assert cli("why", "abcdefgh", "--json").json["order"]["client_order_id"] == fakes.order().client_order_id


def test_a_wrong_check_is_exit_7_and_comes_with_its_fix(fake: type[FakeOms], cli: Cli) -> None:
    fake.answer_checks = [
        CheckRecord(name="clock", ok=None, seen="", fix=""),
        CheckRecord(name="key", ok=False, seen="0644", fix="chmod 600 key.pem"),
    ]
    for words in (("doctor",), ("db", "check")):
        result = cli(*words)
        assert result.code == 7
        assert "chmod 600 key.pem" in result.out
        failed = cli(*words, "--json").json
        assert (failed["ok"], failed["error"]["hint"]) == (False, "chmod 600 key.pem")


def test_csv_and_json_carry_every_field_of_an_order_record(fake: type[FakeOms], cli: Cli) -> None:
    assert tuple(cli("orders", "--json").json["orders"][0]) == OrderRecord.__struct_fields__
