"""Both ways to say an order, what may be left out, and the body that goes to the exchange."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oms.intake.dialects import validate
from oms.intake.fields import Number
from oms.intake.intents import Intent, body_digest, request_body
from oms.intake.readers import Format, object_rows, read_rows
from oms.lifecycle.states import Action, Outcome, SelfTradePrevention, Side, TimeInForce
from oms.units import DOLLAR_E6, format_count, format_dollars


def accepted(row: Mapping[str, object]) -> Intent:
    intent = validate(row)
    assert isinstance(intent, Intent), intent
    return intent


def reasons(row: Mapping[str, object], now_us: int | None = None) -> dict[str, str]:
    problems = validate(row, 7, now_us)
    assert isinstance(problems, tuple), problems
    assert all(problem.line == 7 for problem in problems)
    return {problem.field: problem.reason for problem in problems}


BID: Mapping[str, object] = {"ticker": "KX-1", "side": "bid", "count": "1", "price": "0.30"}


@pytest.mark.parametrize(
    ("action", "outcome", "side", "yes_price"),
    [
        ("buy", "yes", Side.BID, "0.7"),
        ("sell", "yes", Side.ASK, "0.7"),
        ("buy", "no", Side.ASK, "0.3"),
        ("sell", "no", Side.BID, "0.3"),
    ],
)
def test_a_traders_words_are_translated_to_the_yes_book(action: str, outcome: str, side: Side, yes_price: str) -> None:
    row = {"ticker": "KX-1", "action": action, "side": outcome, "count": "2.5", "price": "0.70"}
    intent = accepted(row)
    assert (intent.side, intent.count_e2) == (side, 250)
    assert Decimal(intent.price_e6) / DOLLAR_E6 == Decimal(yes_price)
    assert (intent.action, intent.outcome, intent.outcome_price_e6) == (action, outcome, 700_000)


@pytest.mark.parametrize("outcome", ["yes", "no"])
@pytest.mark.parametrize(
    ("key", "value", "yes_e6"),
    [
        ("yes_price", "30", 300_000),
        ("no_price", "30", 700_000),
        ("yes_price_dollars", "0.3050", 305_000),
        ("no_price_dollars", "0.3050", 695_000),
        ("yes_price", Number("1"), 10_000),
        ("no_price", Number("99"), 10_000),
    ],
)
def test_a_price_key_that_names_its_leg_means_that_leg(outcome: str, key: str, value: str, yes_e6: int) -> None:
    assert accepted({"ticker": "KX-1", "action": "buy", "side": outcome, "count": "1", key: value}).price_e6 == yes_e6


def test_bid_and_ask_read_as_buying_and_selling_yes() -> None:
    bid, ask = accepted(BID), accepted({**BID, "side": "ask"})
    assert (bid.side, bid.price_e6, bid.action, bid.outcome) == (Side.BID, 300_000, Action.BUY, Outcome.YES)
    assert (ask.side, ask.price_e6, ask.action, ask.outcome) == (Side.ASK, 300_000, Action.SELL, Outcome.YES)


def test_the_order_object_of_kalshis_quick_start_guide_is_a_valid_line() -> None:
    line = (
        b'{"ticker": "KX-1", "action": "buy", "side": "yes", "count": 1, "type": "limit", "yes_price": 1, '
        b'"client_order_id": "5b7d7e2c-1c3a-4c53-9c0b-000000000001"}'
    )
    [(number, row)] = read_rows(BytesIO(line), Format.JSONL)
    assert isinstance(row, Mapping)
    intent = accepted(row)
    assert number == 1
    assert intent == Intent(
        client_order_id="5b7d7e2c-1c3a-4c53-9c0b-000000000001",
        ticker="KX-1",
        side=Side.BID,
        price_e6=10_000,
        count_e2=100,
        own_id=True,
    )


@pytest.mark.parametrize("absent", [None, ""])
def test_an_explicit_empty_or_null_is_the_same_as_absent(absent: str | None) -> None:
    empty = dict.fromkeys(
        (
            "action",
            "yes_price",
            "no_price",
            "yes_price_dollars",
            "no_price_dollars",
            "client_order_id",
            "time_in_force",
            "post_only",
            "reduce_only",
            "expiration_time",
            "subaccount",
            "self_trade_prevention_type",
            "submit_before",
            "tag",
            "type",
        ),
        absent,
    )
    assert accepted({**empty, **BID}) == accepted(BID)


def test_everything_that_may_be_said_is_understood() -> None:
    intent = accepted(
        {
            **BID,
            "client_order_id": "A-b_9",
            "time_in_force": "good_till_canceled",
            "post_only": "TRUE",
            "reduce_only": False,
            "expiration_time": "2030-01-01T01:00:00+01:00",
            "subaccount": Number("63"),
            "self_trade_prevention_type": "maker",
            "submit_before": "2029-12-31T23:59:59.5Z",
            "tag": "évening run #1",
            "type": "limit",
        }
    )
    assert intent == Intent(
        client_order_id="A-b_9",
        ticker="KX-1",
        side=Side.BID,
        price_e6=300_000,
        count_e2=100,
        time_in_force=TimeInForce.GOOD_TILL_CANCELED,
        self_trade_prevention_type=SelfTradePrevention.MAKER,
        post_only=True,
        expiration_time=1_893_456_000,
        subaccount=63,
        own_id=True,
        tag="évening run #1",
        submit_before_us=1_893_455_999_500_000,
    )


def test_reduce_only_goes_with_immediate_or_cancel() -> None:
    intent = accepted({**BID, "reduce_only": "true", "time_in_force": "immediate_or_cancel"})
    assert intent.reduce_only


def test_every_problem_of_a_row_is_reported_and_none_follows_from_another() -> None:
    found = reasons(
        {
            "ticker": "a b",
            "action": "hold",
            "side": "maybe",
            "count": "0",
            "price": "2",
            "yes_price": "x",
            "time_in_force": "GTC",
            "post_only": "1",
            "reduce_only": "true",
            "expiration_time": "never",
            "subaccount": "64",
            "self_trade_prevention_type": "none",
            "submit_before": "now",
            "tag": "\x07",
            "type": "market",
            "client_order_id": "a.b",
            "colour": "red",
        }
    )
    # reduce_only itself is well-formed, and with an unknown time_in_force nothing can be said about the two together.
    assert set(found) == {
        *("ticker", "action", "side", "count", "price", "yes_price", "time_in_force", "post_only", "expiration_time"),
        *("subaccount", "self_trade_prevention_type", "submit_before", "tag", "type", "client_order_id", "colour"),
    }


def test_a_time_in_the_past_is_a_problem_only_for_who_has_a_clock() -> None:
    row = {**BID, "expiration_time": "1000", "submit_before": "2000"}
    assert isinstance(validate(row), Intent)
    assert isinstance(validate(row, now_us=999_999_999), Intent)
    assert set(reasons(row, 1_000_000_000)) == {"expiration_time"}
    assert set(reasons(row, 2_000_000_000)) == {"expiration_time", "submit_before"}


def test_python_values_mean_what_their_text_means() -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    given_objects = {
        "ticker": "KX-1",
        "action": Action.BUY,
        "side": Outcome.NO,
        "count": 100,
        "price": Decimal("5.0E-1"),
        "time_in_force": TimeInForce.GOOD_TILL_CANCELED,
        "post_only": True,
        "expiration_time": noon,
        "subaccount": 2,
    }
    given_texts = {
        "ticker": "KX-1",
        "action": "buy",
        "side": "no",
        "count": "100",
        "price": "0.50",
        "time_in_force": "good_till_canceled",
        "post_only": "true",
        "expiration_time": "2030-01-01T11:00:00Z",
        "subaccount": "2",
    }
    assert accepted(given_objects) == accepted(given_texts)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("price", 0.5, "float"),
        ("count", 1.0, "float"),
        ("count", True, "is true, not a number"),
        ("count", 2**200, "too many digits"),
        ("count", Decimal("NaN"), "Decimal NaN"),
        ("count", Decimal("Infinity"), "Decimal Infinity"),
        ("count", Decimal("1E+999999"), "Decimal 1E+999999"),
        ("count", Decimal("1." + "1" * 60), "Decimal 1.111"),
        ("price", b"0.5", "of type bytes"),
        ("ticker", ["KX-1"], "a list"),
        ("ticker", {"a": 1}, "an object"),
        ("ticker", 5, "in quotes"),
        ("post_only", 1, "neither true nor false"),
        ("post_only", 1.0, "float"),
        ("expiration_time", datetime(2030, 1, 1), "with a zone"),
        ("submit_before", datetime(2030, 1, 1, tzinfo=UTC).date(), "of type date"),
        (5, "x", "not a known field"),
    ],
)
def test_python_values_that_are_not_exact_or_not_fit_are_refused(field: object, value: object, words: str) -> None:
    row: dict[str, object] = {**BID, field: value}  # type: ignore[dict-item]
    assert words in reasons(row)[str(field)]


def test_rows_of_the_python_api_are_mappings_or_dataclasses() -> None:
    @dataclass
    class Order:
        ticker: str
        side: str
        count: int
        price: str

    first, second, third, fourth = object_rows([BID, Order("KX-1", "bid", 1, "0.30"), "KX-1", Order])
    assert first[0] == 1
    assert isinstance(first[1], Mapping)
    assert isinstance(second[1], Mapping)
    assert accepted(first[1]) == accepted(second[1])
    assert isinstance(third[1], tuple)
    assert "of type str" in third[1][0].reason
    assert isinstance(fourth[1], tuple)


PRICES = st.integers(1, 9_999).map(lambda ticks: ticks * 100)
COUNTS = st.integers(1, 10**9)


@given(price_e6=PRICES, count_e2=COUNTS, action=st.sampled_from(Action), outcome=st.sampled_from(Outcome))
def test_both_dialects_and_all_prices_of_one_order_agree(
    price_e6: int, count_e2: int, action: Action, outcome: Outcome
) -> None:
    trader = {
        "ticker": "KX-1",
        "action": action.value,
        "side": outcome.value,
        "count": format_count(count_e2),
        "price": format_dollars(price_e6),
    }
    intent = accepted(trader)
    assert (intent.outcome_price_e6, intent.action, intent.outcome) == (price_e6, action, outcome)
    book = {
        "ticker": "KX-1",
        "side": intent.side.value,
        "count": format_count(intent.count_e2),
        "price": format_dollars(intent.price_e6),
    }
    assert replace(accepted(book), action=action, outcome=outcome) == intent
    assert request_body(accepted(book)) == request_body(intent)
    named = {key: value for key, value in trader.items() if key != "price"}
    other_e6 = DOLLAR_E6 - price_e6
    of_yes, of_no = (price_e6, other_e6) if outcome is Outcome.YES else (other_e6, price_e6)
    assert accepted({**named, "yes_price_dollars": format_dollars(of_yes)}) == intent
    assert accepted({**named, "no_price_dollars": format_dollars(of_no)}) == intent
    if of_yes % 10_000 == 0:
        assert accepted({**named, "yes_price": Number(of_yes // 10_000)}) == intent
        assert accepted({**named, "no_price": str(of_no // 10_000)}) == intent


INTENTS = st.builds(
    Intent,
    client_order_id=st.text(min_size=1, max_size=64),
    ticker=st.text(min_size=1, max_size=20),
    side=st.sampled_from(Side),
    price_e6=st.integers(1, DOLLAR_E6 - 1),
    count_e2=COUNTS,
    time_in_force=st.sampled_from(TimeInForce),
    self_trade_prevention_type=st.sampled_from(SelfTradePrevention),
    post_only=st.booleans(),
    reduce_only=st.booleans(),
    expiration_time=st.none() | st.integers(1, 10**11),
    subaccount=st.none() | st.integers(0, 63),
)


@given(intent=INTENTS)
@example(intent=Intent('"\\\x00é', "\ud800/", Side.ASK, 1, 1))
def test_the_request_body_is_what_a_json_library_would_write(intent: Intent) -> None:
    fields: dict[str, object] = {
        "ticker": intent.ticker,
        "client_order_id": intent.client_order_id,
        "side": intent.side.value,
        "count": format_count(intent.count_e2),
        "price": format_dollars(intent.price_e6),
        "time_in_force": intent.time_in_force.value,
        "self_trade_prevention_type": intent.self_trade_prevention_type.value,
        "post_only": intent.post_only or None,
        "reduce_only": intent.reduce_only or None,
        "expiration_time": intent.expiration_time,
        "subaccount": intent.subaccount,
    }
    said = {key: value for key, value in fields.items() if value is not None}
    assert request_body(intent) == json.dumps(said, separators=(",", ":"))


def test_the_body_digest_differs_with_every_byte_of_the_body() -> None:
    assert body_digest("{}").hex() == "44136fa355b3678a1146ad16f7e8649e"
    assert body_digest("{} ") != body_digest("{}")
