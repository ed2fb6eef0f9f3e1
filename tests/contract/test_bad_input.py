"""Bad input through the command line: exit 2, a message that names line and field, nothing recorded, nothing sent.

Every case runs on a ledger that holds an order already, in a process of its own; a few run again where there is no
ledger, in an interpreter of their own.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.canary import Canary
from tests.contract.shells import Answer, Forge, Shell
from tests.contract.worlds import flags, row


@dataclass(frozen=True)
class Bad:
    """One command line that must fail: what is in the file, and what has to be said about it."""

    name: str
    content: bytes | None = None  # of the file, which the command is given as its last word
    said: Sequence[str] = ()  # words of the message or of its problems
    line: int | None = None  # of the first problem
    field: str = ""  # of some problem
    file: str = "bad.jsonl"
    words: Sequence[str] = ("submit",)
    stdin: bytes = b""


def jsonl(name: str, field: str, *said: str, **changes: Any) -> Bad:
    """A good first line, and a second one with these changes."""
    lines = [json.dumps(row()), json.dumps({k: v for k, v in {**row(), **changes}.items() if v is not ...})]
    return Bad(name, "\n".join(lines).encode(), said, 2, field)


def raw(name: str, second: str, *said: str, field: str = "") -> Bad:
    """A good first line, and this text as the second."""
    return Bad(name, f"{json.dumps(row())}\n{second}\n".encode(), said, 2, field)


def csv(name: str, text: str | bytes, line: int | None, field: str, *said: str) -> Bad:
    return Bad(name, text if isinstance(text, bytes) else text.encode(), said, line, field, "bad.csv")


def document(name: str, text: str | bytes, line: int | None, *said: str, field: str = "") -> Bad:
    return Bad(name, text if isinstance(text, bytes) else text.encode(), said, line, field, "bad.json")


def by_flags(name: str, *said: str, field: str = "", more: Sequence[str] = (), **changes: Any) -> Bad:
    return Bad(name, None, said, None, field, words=("submit", *flags(**changes), *more))


def usage(name: str, *said: str, words: Sequence[str], stdin: bytes = b"") -> Bad:
    return Bad(name, None, said, words=words, stdin=stdin)


HEAD = "ticker,action,side,count,price\n"
GOOD = "SBXRAIN-A-T10,buy,yes,1,0.01\n"

CASES = [
    # prices
    jsonl("a price of zero", "price", "not between 0 and 1", price="0"),
    jsonl("a price of a whole dollar", "price", "not between 0 and 1", "for cents use yes_price", price="1.00"),
    jsonl("a price in cents", "price", "not between 0 and 1", price="56"),
    jsonl("a negative price", "price", "not between 0 and 1", price="-0.5"),
    jsonl("a price of five decimals", "price", "decimal", price="0.12345"),
    jsonl("a price with an exponent", "price", "exponent", price="1e-2"),
    raw("a number with an exponent", json.dumps(row()).replace('"0.01"', "1e-2"), "exponent", field="price"),
    jsonl("a price that is no number", "price", "not a decimal", price="cheap"),
    jsonl("a price with a comma", "price", "comma", price="0,56"),
    jsonl("a price with a dollar sign", "price", "currency", price="$0.56"),
    jsonl("a price with blanks", "price", "blanks", price=" 0.56"),
    jsonl("a price in full-width digits", "price", "ASCII", price="\uff10.\uff15"),
    jsonl("a price with an underscore", "price", "underscore", price="0.5_0"),
    jsonl("a price that is not finite", "price", "finite", price="NaN"),
    raw("NaN as JSON", json.dumps(row()).replace('"0.01"', "NaN"), "NaN is not JSON"),
    raw("Infinity as JSON", json.dumps(row()).replace('"0.01"', "Infinity"), "Infinity is not JSON"),
    jsonl("a price that is true", "price", "is true, not a number", price=True),
    jsonl("a price that is a list", "price", price=["0.5"]),
    jsonl("no price", "price", "is missing", price=...),
    jsonl("an empty price", "price", "is missing", price=""),
    jsonl("two prices", "yes_price", "given beside price", yes_price=1),
    jsonl("cents with a decimal point", "yes_price", "whole cents", price=..., yes_price="0.56"),
    jsonl("a hundred cents", "yes_price", "between 1 and 99", price=..., yes_price=100),
    jsonl("zero cents", "no_price", "between 1 and 99", price=..., no_price=0),
    # counts
    jsonl("a count of zero", "count", "not above 0", count="0"),
    jsonl("a negative count", "count", "not above 0", count="-3"),
    jsonl("a count of three decimals", "count", "decimal", count="1.005"),
    jsonl("a count beyond all bounds", "count", "more than", count="1000000000001"),
    jsonl("a count of a thousand digits", "count", count="9" * 1000),
    raw("a number of 60,000 digits", json.dumps(row()).replace('"1"', "9" * 60_000), "too many", field="count"),
    jsonl("no count", "count", "is missing", count=...),
    jsonl("a count that is null", "count", "is missing", count=None),
    jsonl("a count that is text", "count", count="ten"),
    # sides
    jsonl("an unknown side", "side", "not one of", side="maybe"),
    jsonl("a side in capitals", "side", "write yes", side="YES"),
    jsonl("no side", "side", "is missing", side=...),
    jsonl("an unknown action", "action", "not one of", action="hold"),
    jsonl("no action", "action", "is missing", action=...),
    jsonl("an action with a side of the book", "action", "does not go with side bid", side="bid"),
    jsonl("a book side with the price of a leg", "no_price", side="ask", action=..., price=..., no_price=30),
    # tickers, ids, terms
    jsonl("no ticker", "ticker", "is missing", ticker=...),
    jsonl("a ticker with a slash", "ticker", "is not a ticker", ticker="A/../B"),
    jsonl("a ticker with a control character", "ticker", "is not a ticker", ticker="A\x1b[31mB"),
    jsonl("a ticker of 129 characters", "ticker", "is not a ticker", ticker="A" * 129),
    jsonl("a ticker that is a number", "ticker", "in quotes", ticker=7),
    jsonl("an id with a dot", "client_order_id", "not an id the exchange takes", client_order_id="a.b"),
    jsonl("an id of 65 characters", "client_order_id", client_order_id="a" * 65),
    jsonl("an id that is a number", "client_order_id", "in quotes", client_order_id=12345),
    Bad("an id used twice", (json.dumps(row(client_order_id="x")) + "\n").encode() * 2, ("used on line 1 already",), 2),
    jsonl("an unknown time in force", "time_in_force", "not one of", time_in_force="GTC"),
    jsonl("a market order", "type", "market orders ended", type="market"),
    jsonl("post only that cannot rest", "post_only", post_only=True, time_in_force="immediate_or_cancel"),
    jsonl("reduce only that rests", "reduce_only", "immediate_or_cancel only", reduce_only=True),
    jsonl("post only that is one", "post_only", "neither true nor false", post_only=1),
    jsonl("subaccount 64", "subaccount", "0 to 63", subaccount=64),
    jsonl("a subaccount of one and a half", "subaccount", subaccount="1.5"),
    jsonl("an unknown self trade prevention", "self_trade_prevention_type", self_trade_prevention_type="none"),
    jsonl("an expiry in the past", "expiration_time", "in the past", expiration_time=1_600_000_000),
    jsonl("an expiry in milliseconds", "expiration_time", "milliseconds", expiration_time=1_900_000_000_000),
    jsonl("an expiry without a zone", "expiration_time", "zone", expiration_time="2099-01-01T00:00:00"),
    jsonl("an expiry with fill or kill", "expiration_time", expiration_time=4 * 10**9, time_in_force="fill_or_kill"),
    jsonl("a last moment in the past", "submit_before", "in the past", submit_before="2020-01-01T00:00:00Z"),
    jsonl("a tag with a line break", "tag", "control character", tag="a\nb"),
    jsonl("a tag of 65 characters", "tag", "longer than 64", tag="a" * 65),
    # keys
    jsonl("an unknown key", "colour", "is not a known field", colour="red"),
    jsonl("a misspelled key", "tickr", "did you mean ticker?", tickr="A"),
    jsonl("what V2 has no more", "buy_max_cost", "no counterpart", buy_max_cost=100),
    raw("a key given twice", '{"ticker": "A", "ticker": "B"}', "given twice"),
    # files
    raw("half an object", '{"ticker": "A"', "is not JSON"),
    raw("two objects on one line", "{} {}", "more after the end"),
    raw("a list on a line", "[1]", "an order is an object"),
    raw("a text on a line", '"order"', "an order is an object"),
    raw("nesting without end", "[" * 20_000, "nested too deeply"),
    raw("a line without end", '{"tag": "' + "x" * 70_000 + '"}', "longer than 64 kB"),
    Bad("Latin-1", json.dumps(row()).encode() + b'\n{"tag": "\xe9"}', ("not UTF-8",), 2),
    Bad("UTF-16", json.dumps(row()).encode("utf-16"), ("UTF-16",), 1),
    Bad("an empty file", b"", ("no orders in the input",)),
    Bad("nothing but blank lines", b"\n\n \n", ("no orders in the input",)),
    csv("an unknown column", "ticker,action,side,count,price,colour\n", 1, "colour", "is not a known field"),
    csv("a column given twice", "ticker,ticker,action,side,count,price\n", 1, "ticker", "more than one column"),
    csv("no column with a price", "ticker,action,side,count\n", 1, "price", "no column with a price"),
    csv("no header", GOOD, 1, "", "has to name the columns"),
    csv("a header only", HEAD, None, "", "no orders in the input"),
    csv("semicolons", HEAD.replace(",", ";"), 1, "", "separated by commas"),
    csv("too few cells", HEAD + GOOD + "SBXRAIN-A-T10,buy\n", 3, "", "has 2 values"),
    csv("too many cells", HEAD + GOOD + "\n" + GOOD.strip() + ",,\n", 4, "", "has 7 values"),
    csv("an open quote", HEAD + GOOD + '"SBXRAIN,buy,yes,1,0.01\n', 3, "", "quote is opened"),
    csv("a formula", HEAD + "=1+1,buy,yes,1,0.01\n", 2, "ticker", "is not a ticker"),
    csv("an empty csv", b"", 1, "", "the file is empty"),
    document("half a document", '[{"ticker": "A"},', 1, "is not JSON"),
    document("more after the end", "[] []", 1, "more after the end"),
    document("a number", "7", 1, "neither a list of orders"),
    document("an empty list", "[]", None, "no orders in the input"),
    document("another key beside orders", '{"orders": [], "more": 1}', 1, 'nothing but "orders"'),
    document("a bad order on its line", f"[\n{json.dumps(row())},\n{json.dumps(row(count='0'))}\n]", 3, "not above 0"),
    Bad("a file of another kind", b"x", (".csv", ".jsonl", ".json"), file="orders.xlsx"),
    # flags
    by_flags("flags with a bad price", "--price", "not between 0 and 1", price="7"),
    by_flags("flags with two prices", "given beside", more=("--yes-price", "1")),
    by_flags("flags without a count", "--count", "is missing", count=None),
    by_flags("flags with a bad id", "--client-order-id", client_order_id="a b"),
    # usage
    usage("a file that is not there", "does not exist", words=("submit", "nowhere.csv")),
    usage("a directory", "is a directory", words=("submit", ".")),
    usage("an unknown option", "No such option", words=("submit", "--frobnicate")),
    usage("an unknown command", "No such command", words=("sbumit",)),
    usage("an unknown environment", "'sandbox', 'demo', 'prod'", words=("submit", "--env", "paper")),
    usage("an unknown form of answer", "table", words=("orders", "-o", "yaml")),
    usage("a negative ttl", "--ttl", words=("submit", *flags(), "--ttl", "-1")),
    usage("a ttl without orders", "--ttl", words=("submit", "--ttl", "5")),
    usage("a batch without orders", "--batch", words=("submit", "--batch", "x")),
    usage("an empty batch name", "--batch", words=("submit", *flags(), "--batch", "")),
    usage("a batch name with a line break", "batch name", words=("submit", *flags(), "--batch", "a\nb")),
    usage("a file and flags", "cannot be combined", words=("submit", "kept.jsonl", *flags())),
    usage("a file and a retry", "cannot be combined", words=("submit", "kept.jsonl", "--retry", "x")),
    usage("a dry run of nothing", "--dry-run", words=("submit", "--dry-run")),
    usage("the retry of an unknown batch", "no batch of this ledger", words=("submit", "--retry", "nothing")),
    usage("the cancel of an unknown order", "no order of this ledger", words=("cancel", "nothing-like-it")),
    usage("the withdrawal of neither orders nor a batch", "--batch NAME", words=("withdraw",)),
    usage("no decision", "--order-id ID, --absent", words=("resolve", "kept-1")),
    usage("nothing on standard input", "the file is empty", words=("submit", "-")),
    usage("garbage on standard input", "name the columns", words=("submit", "-"), stdin=b"\x00\x01\x02"),
    usage("an amend to a count in exponents", '"1e3" has an exponent', words=("amend", "kept-1", "--count", "1e3")),
    usage("an amend to too many", "more than 1000000000000", words=("amend", "kept-1", "--count", "1000000000001")),
    usage("a group limit of nothing", 'limit "0" is not above 0', words=("group", "create", "--limit", "0")),
    usage("a ttl of centuries", "--ttl", words=("submit", *flags(), "--ttl", "99999999999999999999")),
    usage("a laboratory without an end", "nan is no time", words=("lab", "--minutes", "nan")),
    usage("a status that no market has", "unopened", words=("markets", "--status", "weird")),
]  # fmt: skip

# Those that run again as a process of its own interpreter, on a machine without a ledger: of what needs none.
NEEDS_NONE = [bad for bad in CASES if bad.words[0] == "submit" and "--retry" not in bad.words]
ALONE = NEEDS_NONE[:: max(1, len(NEEDS_NONE) // 8)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, forge: Forge, rsa_key: Path) -> Iterator[Shell]:
    """A home with a ledger of one order, for all cases: none of them may change it."""
    canary = Canary()
    shell = Shell(tmp_path_factory.mktemp("bad"), forge, rsa_key, canary)
    placed = shell.submit([row(client_order_id="kept-1")], "--batch", "kept", name="kept.jsonl")
    assert placed.code == 0
    yield shell
    shell.close()
    canary.verify()


def state_of(shell: Shell) -> dict[str, str]:
    """Every file of the state directory and its content, and how many requests the exchange has had."""
    paths = sorted(path for path in shell.ledger.parent.glob("*") if path.is_file())
    # SQLite's shared memory is no content.
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.suffix != ".sqlite3-shm"
    }
    return {**files, "requests": str(len(shell.sandbox.log()))}


def check(bad: Bad, answer: Answer) -> None:
    """It failed as bad input does, and said what a person needs."""
    assert answer.code == 2, answer
    error = answer.json["error"]
    assert answer.json["ok"] is False
    everything = answer.err + json.dumps(error, ensure_ascii=False)
    for words in bad.said:
        assert words in everything or words.replace('"', '\\"') in everything, (words, everything)
    assert "Traceback" not in answer.err
    assert "\x1b" not in answer.err
    assert answer.err.startswith("error:") or "\nerror:" in answer.err or "error: " in answer.err
    problems = error.get("problems", [])
    if bad.line is not None:
        assert bad.line in [problem["line"] for problem in problems], problems
        assert f"line {bad.line}" in answer.err
    if bad.field:
        assert bad.field in [problem["field"] for problem in problems], problems
        assert bad.field in answer.err


def words_of(bad: Bad, shell: Shell) -> list[str]:
    words = [*bad.words]
    if bad.content is not None:
        words.append(str(shell.file(bad.file, bad.content)))
    return [*words, "-o", "json"] if "-o" not in words else [*words, "--json"]


@pytest.mark.fault(76, 77, 79)
@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_bad_input_is_exit_2_and_changes_nothing(place: Shell, bad: Bad) -> None:
    before = state_of(place)
    answer = place.oms(*words_of(bad, place), stdin=bad.stdin)
    check(bad, answer)
    assert state_of(place) == before


@pytest.mark.parametrize("bad", ALONE, ids=lambda bad: bad.name)
def test_bad_input_makes_no_ledger_where_there_is_none(shell: Shell, bad: Bad) -> None:
    shell.file("kept.jsonl", [row()])
    answer = shell.process(*words_of(bad, shell), stdin=bad.stdin)
    check(bad, answer)
    assert not (shell.home / "state").exists()
    assert shell.wire.requests == 0


def test_what_was_sent_cannot_be_withdrawn_and_what_is_not_parked_cannot_be_decided(place: Shell) -> None:
    for words, said in (
        (["withdraw", "kept-1"], "sent already"),
        (["resolve", "kept-1", "--absent"], "not parked"),
    ):
        answer = place.oms(*words, "-o", "json")
        assert (answer.code, said in answer.json["error"]["message"]) == (2, True), answer
    assert place.oms("orders", "-o", "json").orders[0]["status"] == "resting"


def test_every_bad_row_is_named_with_line_field_and_reason(place: Shell) -> None:
    rows = [row(), row(count="0", price="7"), row(), row(side="maybe", ticker="?")]
    answer = place.submit(rows, name="many.jsonl")
    problems = [(x["line"], x["field"]) for x in answer.json["error"]["problems"]]
    assert sorted(problems) == [(2, "count"), (2, "price"), (4, "side"), (4, "ticker")]
    for line, field in problems:
        assert f"line {line}: {field}: " in answer.err


@pytest.mark.fault(78, 79)
def test_one_bad_row_in_ten_thousand_records_none_of_them(place: Shell) -> None:
    before = state_of(place)
    rows = [row(count=str(n)) for n in range(1, 10_001)] + [row(count="0")]
    answer = place.submit(rows, name="large.jsonl")
    assert answer.code == 2
    assert "line 10001" in answer.err
    assert state_of(place) == before


def test_a_table_of_a_thousand_problems_ends_and_counts_the_rest(place: Shell) -> None:
    answer = place.submit([row(count="0") for _ in range(1_500)], name="bad.jsonl")
    assert (answer.code, len(answer.json["error"]["problems"])) == (2, 1_000)
    assert "500 are not listed" in answer.json["error"]["message"]
