"""Bad input as people and machines really write it: each text, and the line, field and words that must be answered."""

from dataclasses import dataclass
from io import BytesIO

import pytest

from oms.intake.batches import survey
from oms.intake.readers import Format, read_rows

NOW_US = 1_790_000_000_000_000  # September 2026
GOOD = {"ticker": '"KXBTC-26"', "action": '"buy"', "side": '"yes"', "count": "1", "price": '"0.56"'}


@dataclass(frozen=True)
class Bad:
    """One document, and one problem that has to be among those reported."""

    text: bytes
    field: str
    words: str
    line: int | None = 1
    fmt: Format = Format.JSONL


def row(words: str, field: str = "", **values: str | None) -> Bad:
    """A good JSON line but for `values` (literal JSON; None leaves a key out); the field is the one changed."""
    keys = {**GOOD, **values}
    body = ",".join(f'"{key}":{value}' for key, value in keys.items() if value is not None)
    return Bad(b"{" + body.encode() + b"}", field or next(iter(values)), words)


def csv(text: str | bytes, field: str, words: str, line: int | None) -> Bad:
    return Bad(text if isinstance(text, bytes) else text.encode(), field, words, line, Format.CSV)


def json(text: str | bytes, words: str, line: int | None, field: str = "") -> Bad:
    return Bad(text if isinstance(text, bytes) else text.encode(), field, words, line, Format.JSON)


HEAD = "ticker,action,side,count,price,tag\n"
NUMBERS = [
    # what counts and prices are not, whichever field holds it
    ('"1e3"', "exponent"),
    ("1e3", "exponent"),
    ("1E-2", "exponent"),
    ('"1_0"', "underscore"),
    ('"\uff11"', "ASCII digits"),
    ('"\u0663"', "ASCII digits"),
    ('" 1"', "blanks around"),
    ('"1 "', "blanks around"),
    ('" "', "blank"),
    ('"1\\n"', "blanks around"),
    ('"NaN"', "finite"),
    ('"inf"', "finite"),
    ('"-Infinity"', "finite"),
    ('"1,5"', "comma"),
    ('"$1"', "currency"),
    ('"+1"', "plus"),
    ('".5"', "both sides"),
    ('"5."', "both sides"),
    ('"0x10"', "not a decimal"),
    ('"ten"', "not a decimal"),
    ('"1.2.3"', "not a decimal"),
    ('"9999999999999999999999"', "too many digits"),
    ("true", "is true, not a number"),
    ("[1]", "is a list"),
    ('{"a":1}', "is an object"),
    ('"1\\u0000"', "control character"),
]

BAD = [
    *(row(words, count=text) for text, words in NUMBERS),
    *(row(words, price=text) for text, words in NUMBERS),
    *(row(words, price=None, yes_price=text, field="yes_price") for text, words in NUMBERS[:4]),
    row("missing", count=None),
    row("missing", count='""'),
    row("missing", count="null"),
    row("above 0", count="0"),
    row("above 0", count='"0.00"'),
    row("above 0", count="-1"),
    row("above 0", count="-0"),
    row("more than 2 decimal places", count="1.005"),
    row("too many digits", count="9223372036854775808"),
    row("more than 1000000000000", count="1000000000000.01"),
    row("price", price=None),
    row("between 0 and 1", price="0"),
    row("between 0 and 1", price='"1.00"'),
    row("for cents use yes_price", price="56"),
    row("between 0 and 1", price='"-0.5"'),
    row("more than 4 decimal places", price='"0.56001"'),
    row("1 and 99 cents", "yes_price", price=None, yes_price="0"),
    row("1 and 99 cents", "yes_price", price=None, yes_price="100"),
    row("1 and 99 cents", "no_price", price=None, no_price="-5"),
    row("decimal point", "yes_price", price=None, yes_price="0.5"),
    row("decimal point", "yes_price", price=None, yes_price="99.999"),
    row("decimal point", "no_price", price=None, no_price='"0.56"'),
    row("between 0 and 1", "no_price_dollars", price=None, no_price_dollars='"1"'),
    row("between 0 and 1", "yes_price_dollars", price=None, yes_price_dollars="56"),
    row("exactly one price", yes_price="56"),
    row("exactly one price", "no_price", price=None, yes_price="56", no_price="44"),
    row("missing", ticker=None),
    row("missing", ticker='""'),
    row("text, in quotes", ticker="26"),
    row("is true, not text", ticker="true"),
    row("is a list", ticker='["A"]'),
    row("1 to 128", ticker='"A B"'),
    row("1 to 128", ticker='"../etc"'),
    row('A\\"B', ticker='"A\\\\\\"B"'),
    row("A\\nB", ticker='"A\\nB"'),
    row("A\\x00", ticker='"A\\u0000"'),
    row("\\u202e", ticker='"\\u202eA"'),
    row("\\ud800", ticker='"A\\ud800"'),
    row("1 to 128", ticker='"\\ud83d\\ude80"'),
    row("...", ticker='"' + "A" * 10_000 + '"'),
    row("1 to 128", ticker='"' + "A" * 129 + '"'),
    row("missing", side=None),
    row("not one of yes, no, bid, ask: write yes", side='"YES"'),
    row("not one of", side='"buy"'),
    row("is the number 1", side="1"),
    row("needs action", action=None),
    row("not one of buy, sell: write buy", action='"Buy"'),
    row("not one of buy, sell", action='"bid"'),
    row("does not go with side bid", "action", side='"bid"'),
    row("give price, in YES dollars", "yes_price", side='"ask"', action=None, price=None, yes_price="5"),
    row("market orders ended", type='"market"'),
    row("the only type", type='"stop"'),
    row("not one of good_till_canceled", time_in_force='"GTC"'),
    row("write fill_or_kill", time_in_force='"FILL_OR_KILL"'),
    row("is true, not text", time_in_force="true"),
    row("neither true nor false", post_only='"yes"'),
    row("neither true nor false", post_only="1"),
    row("neither true nor false", reduce_only='"0"'),
    row("cannot go with immediate_or_cancel", post_only="true", time_in_force='"immediate_or_cancel"'),
    row("cannot go with fill_or_kill", post_only="true", time_in_force='"fill_or_kill"'),
    row("immediate_or_cancel only", reduce_only="true"),
    row("immediate_or_cancel only", reduce_only="true", time_in_force='"fill_or_kill"'),
    row("needs good_till_canceled", "expiration_time", expiration_time="1900000000", time_in_force='"fill_or_kill"'),
    row("Unix seconds", expiration_time='"tomorrow"'),
    row("Unix seconds", expiration_time="1900000000.5"),
    row("Unix seconds", expiration_time="-5"),
    row("milliseconds", expiration_time="1900000000000"),
    row("with a zone", expiration_time='"2030-01-01T00:00:00"'),
    row("with a zone", expiration_time='"2030-02-30T00:00:00Z"'),
    row("after 1970", expiration_time='"0001-01-01T00:00:00+23:59"'),
    row("fraction of a second", expiration_time='"2030-01-01T00:00:00.5Z"'),
    row("after 1970", expiration_time="0"),
    row("after 1970", expiration_time='"1960-01-01T00:00:00Z"'),
    row("in the past", expiration_time="1789999999"),
    row("in the past", submit_before='"2020-01-01T00:00:00Z"'),
    row("too far ahead", submit_before='"9999-12-31T23:59:59-12:00"'),
    row("too far ahead", expiration_time='"9999-12-31T23:59:59Z"'),
    row("in the past", submit_before="1790000000"),
    row("is false, not a number", submit_before="false"),
    row("from 0 to 63", subaccount="64"),
    row("from 0 to 63", subaccount="-1"),
    row("from 0 to 63", subaccount="1.0"),
    row("from 0 to 63", subaccount='"one"'),
    row("not one of taker_at_cross, maker", self_trade_prevention_type='"taker"'),
    row("1 to 64", client_order_id='"a.b"'),
    row("1 to 64", client_order_id='"' + "a" * 65 + '"'),
    row("1 to 64", client_order_id='" a"'),
    row("1 to 64", client_order_id='"é"'),
    row("in quotes", client_order_id="12345"),
    row("longer than 64", tag='"' + "a" * 65 + '"'),
    row("control character", tag='"a\\u001b[31m"'),
    row("control character", tag='"a\\tb"'),
    row("cannot be printed", tag='"a\\u2028b"'),
    row("in quotes", tag="5"),
    row("did you mean expiration_time?", expiration_ts="1"),
    row("did you mean time_in_force?", tif='"x"'),
    row("did you mean count?", count_fp='"1.00"'),
    row("did you mean ticker?", tickr='"A"'),
    row("V2 has no counterpart", buy_max_cost="100"),
    row("did you mean order_group?", order_group_id='"g"'),
    row("is not an order group of this ledger", order_group='"pins"'),
    row("has to be text", order_group="7"),
    row("the fields are ticker, action", "qqqq", qqqq="1"),
    row("not a known field", "a\\x1b", **{"a\\u001b": "1"}),
    # JSON lines
    Bad(b"{}", "ticker", "missing"),
    Bad(b"[]", "", "is a list"),
    Bad(b"5", "", "is a number"),
    Bad(b"null", "", "is null"),
    Bad(b"true", "", "is true or false"),
    Bad(b'"x"', "", "is a text"),
    Bad(b'\n\n{"ticker":', "", "is not JSON", 3),
    Bad(b"{'ticker': 1}", "", "not JSON: Expecting property name", 1),
    Bad(b'{"count":NaN}', "", "NaN is not JSON"),
    Bad(b'{"count":-Infinity}', "", "-Infinity is not JSON"),
    Bad(b'{"count":01}', "", "is not JSON"),
    Bad(b'{"count":1}{"count":1}', "", "one object per line"),
    Bad(b'{"count":1},', "", "one object per line"),
    Bad(b'{"count":1,"count":2}', "", 'the key "count" is given twice'),
    Bad(b'{"tag":{"a":1,"a":2}}', "", "given twice"),
    Bad(b'{"a":' * 10_000, "", "too deeply"),
    Bad(b"[" * 65_000, "", "too deeply"),
    Bad(b'\n{"tag":"\xff"}', "", "not UTF-8 (byte 0xff)", 2),
    Bad(b'{"tag":"' + b"x" * 70_000 + b'"}', "", "longer than 64 kB"),
    Bad(b'{"tag":"a\x00b"}', "", "Invalid control character"),
    Bad(b"", "", "no orders", None),
    Bad(b"\n \n", "", "no orders", None),
    # JSON documents
    json("", "the file is empty", 1),
    json("  \n ", "the file is empty", 2),
    json("[]", "no orders", None),
    json('{"orders":[]}', "no orders", None),
    json("[\n{},\n5]", "is a number", 3),
    json("[\n{},\n\n{}]", "missing", 4, "ticker"),
    json("[{},]", "is not JSON", 1),
    json("[\n{}\n{}]", "comma or the end", 3),
    json("[{}", "comma or the end", 1),
    json("[{}]\n\nx", "more after the end", 3),
    json('{"orders":[{}],"more":1}', "nothing but", 1),
    json('{"orders":[{}]', "has to be closed", 1),
    json('{"orders":[{}]} {}', "more after the end", 1),
    json('{"ticker":"A"} {}', "more after the end", 1),
    json('{"orders":5}', "not a known field", 1, "orders"),
    json('[\n{"a":1,\n"a":2}]', "given twice", 2),
    json('[\n{"a":1,\n"b":}]', "at line 3, column 5", 2),
    json("[" * 100_000, "too deeply", 1),
    json("5", "neither a list of orders", 1),
    json('{"ticker":', "is not JSON", 1),
    json(b"[\n\n\xc3\x28]", "not UTF-8", 3),
    json("[]".encode("utf-16"), "UTF-16", 1),
    # CSV
    csv("", "", "the file is empty", 1),
    csv("\n\n", "", "the file is empty", 1),
    csv(HEAD, "", "no orders", None),
    csv("KX,buy,yes,1,0.5\n", "", "has to name the columns", 1),
    csv("ticker;action;side;count;price\n", "", "separated by commas", 1),
    csv("ticker\taction\n", "", "separated by commas", 1),
    csv("\nticker,action,side,count,pric\n", "pric", "did you mean price?", 2),
    csv("ticker, action,side,count,price\n", " action", "did you mean action?", 1),
    csv("ticker,side,count,price,\n", "", "column 5 has no name", 1),
    csv("ticker,side,count,price,side\n", "side", "more than one column", 1),
    csv("side,count,price\n", "ticker", "no such column", 1),
    csv("ticker,side,price\n", "count", "no such column", 1),
    csv("ticker,count,price\n", "side", "no such column", 1),
    csv("ticker,side,count\n", "price", "no column with a price", 1),
    csv("ticker,side,count,price\rA,bid,1,0.5\r", "price\\rA", "not a known field", 1),
    csv((HEAD + "A,buy,yes,1,0.5,\n").encode("utf-16"), "", "UTF-16", 1),
    csv((HEAD + "A,buy,yes,1,0.5,\n").encode("utf-16-le"), "", "name the columns", 1),
    csv(HEAD + "A,buy,yes,1,0.5\n", "", "5 values where the header has 6", 2),
    csv(HEAD + "A,buy,yes,1,0.5,,\n", "", "7 values", 2),
    csv(HEAD + "A,buy,yes,1,0.5,x,y\n", "", "7 values", 2),
    csv(HEAD + "\n,,,,,\n", "ticker", "missing", 3),
    csv(HEAD + 'A,buy,yes,1,0.5,"x\ny"\nA,buy,yes,0,0.5,\n', "tag", "control character", 2),
    csv(HEAD + 'A,buy,yes,1,0.5,"x\ny"\nA,buy,yes,0,0.5,\n', "count", "above 0", 4),
    csv(HEAD + 'A,buy,yes,1,0.5,"x\nA,buy,yes,0,0.5,\n', "", "opened and not closed", 2),
    csv(HEAD + 'A,buy,yes,1,0.5,"x\nA,buy,yes,0,0.5,\n', "count", "above 0", 3),
    csv(HEAD + 'A,buy,yes,1,0.5,"x"y\n', "", "is not CSV", 2),
    csv(HEAD + 'A,buy,yes,1,0.5,"x"y"\n' + HEAD * 3, "", "opened and not closed", 2),
    csv(HEAD.encode() + b"A,buy,yes,1,0.5,\n\xe9,buy,yes,1,0.5,\n", "", "not UTF-8 (byte 0xe9)", 3),
    csv(HEAD.encode() + b"A\x00,buy,yes,1,0.5,\n", "ticker", "A\\x00", 2),
    csv(HEAD + "A,buy,yes,1,0.5," + "x" * 70_000 + "\nA,buy,yes,1,x,\n", "", "longer than 64 kB", 2),
    csv(HEAD + "A,buy,yes,1,0.5," + "x" * 70_000 + "\nA,buy,yes,1,x,\n", "price", "not a decimal", 3),
    csv(HEAD + "A,buy,yes,\uff11,0.5,\n", "count", "ASCII", 2),
    csv(HEAD + '"A",buy,yes, 1,0.5,\n', "count", "blanks", 2),
    csv(HEAD + "A,buy,yes,1,5e-1,\n", "price", "exponent", 2),
    csv(HEAD + "A,buy,yes,True,0.5,\n", "count", "not a decimal", 2),
]


def test_the_table_of_bad_input_is_as_long_as_it_claims() -> None:
    assert len(BAD) >= 100


@pytest.mark.fault(76, 77)
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.fmt}-{bad.field}-{bad.words}"[:60])
def test_bad_input_is_named_by_line_field_and_reason(bad: Bad) -> None:
    found = survey(read_rows(BytesIO(bad.text), bad.fmt), NOW_US)
    problems = found.problems + found.past
    assert [p for p in problems if (p.line, p.field) == (bad.line, bad.field) and bad.words in p.reason], problems
    for problem in problems:
        assert str(problem).isprintable()
        assert len(str(problem)) < 400
