"""The two passes over a batch: digests, keys, all problems, and ids in order."""

import tracemalloc
from collections.abc import Iterator, Mapping
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.errors import InputError, Problem
from oms.intake import batches, ids
from oms.intake.batches import from_flags, intents, survey
from oms.intake.fields import Number
from oms.intake.intents import Intent, request_body
from oms.intake.readers import Format, Row, object_rows, read_rows
from oms.units import format_count, format_dollars

KEY = ids.key_of_name("test")


def order(ticker: str = "KX-1", **values: object) -> dict[str, object]:
    return {"ticker": ticker, "side": "bid", "count": "1", "price": "0.30", **values}


def rows(*orders: object) -> Iterator[Row]:
    return object_rows(orders)


def test_the_same_rows_in_any_format_and_dialect_are_the_same_batch() -> None:
    csv = b"\xef\xbb\xbfticker,side,count,price,tag\r\n\r\nKX-1,bid,1.00,0.3000,a\r\nKX-2,ask,2,0.7,\r\n"
    jsonl = (
        b'{"ticker":"KX-1","action":"sell","side":"no","count":1,"no_price":70,"subaccount":0}\n'
        b'{"ticker":"KX-2","action":"buy","side":"no","count":2.0,"price":0.30,"type":"limit","tag":null}\n'
    )
    one = survey(read_rows(BytesIO(csv), Format.CSV))
    two = survey(read_rows(BytesIO(jsonl), Format.JSONL))
    assert (one.count, one.problems, one.content_digest) == (two.count, two.problems, two.content_digest)
    assert one.count == 2
    assert one.key() == two.key() == ids.key_of_content(one.content_digest)
    made = [
        [intent.client_order_id for intent in intents(read_rows(BytesIO(data), fmt), one.key(), one)]
        for data, fmt in ((csv, Format.CSV), (jsonl, Format.JSONL))
    ]
    assert made[0] == made[1]


def test_the_content_digest_is_the_golden_one() -> None:
    found = survey(rows(order(), order("KX-2", client_order_id="mine")))
    assert found.content_digest.hex() == "5754b29be9945d48cff84dd8f60d25eb0eff911b7de5ef09cda51f1cab28a769"
    assert found.key().hex() == "85b392312a18492f7345dab44e03f17ad8726c76202f2cfb242bb879a386f72c"
    assert found.key("morning") == ids.key_of_name("morning")


def test_a_changed_row_another_order_of_rows_or_one_row_less_is_another_content() -> None:
    digests = {
        survey(rows(*orders)).content_digest
        for orders in (
            [order("A"), order("B")],
            [order("B"), order("A")],
            [order("A")],
            [order("A"), order("B", count="2")],
            [order("A"), order("B", client_order_id="x")],
        )
    }
    assert len(digests) == 5


def test_identical_rows_are_legal_and_get_ids_of_their_own() -> None:
    found = survey(rows(order(), order(), order()))
    made = list(intents(rows(order(), order(), order()), found.key(), found))
    assert found.problems == ()
    assert len({intent.client_order_id for intent in made}) == 3
    assert [ids.parse_id(intent.client_order_id) for intent in made] == [
        (ids.batch_digest(found.key()), number) for number in (1, 2, 3)
    ]
    assert len({ids.row_digest(intent) for intent in made}) == 1


def test_intents_come_in_the_order_of_the_rows_with_own_ids_kept() -> None:
    made = list(intents(rows(order("A"), order("B", client_order_id="mine"), order("C")), KEY))
    assert [intent.ticker for intent in made] == ["A", "B", "C"]
    assert [intent.own_id for intent in made] == [False, True, False]
    assert made[1].client_order_id == "mine"
    assert ids.parse_id(made[2].client_order_id) == (ids.batch_digest(KEY), 3)


def test_an_own_id_used_twice_is_a_problem_that_names_both_lines() -> None:
    found = survey(rows(order(client_order_id="a"), order(), order(client_order_id="b"), order(client_order_id="a")))
    assert found.own_ids == 2
    [problem] = found.problems
    assert (problem.line, problem.field) == (4, "client_order_id")
    assert "used on line 1 already" in problem.reason


def test_every_bad_row_is_named_and_the_good_ones_are_counted_too() -> None:
    found = survey(rows(order(count="0"), order(), 5, order(price="2", ticker="")))
    assert found.count == 4
    assert [(problem.line, problem.field) for problem in found.problems] == [
        (1, "count"),
        (3, ""),
        (4, "ticker"),
        (4, "price"),
    ]
    with pytest.raises(InputError) as caught:
        found.check()
    assert caught.value.problems == found.problems
    assert str(caught.value).startswith("4 problems in the input, first line 1: count:")
    assert caught.value.exit_code == 2


def test_the_message_about_a_single_problem_is_that_problem() -> None:
    with pytest.raises(InputError, match=r'^line 1: count: "0" is not above 0; nothing was recorded'):
        survey(rows(order(count="0"))).check()


def test_problems_beyond_the_limit_are_counted_and_not_kept() -> None:
    found = survey(object_rows(order(count="0", price="9") for _ in range(1_000)))
    assert len(found.problems) == batches.MAX_PROBLEMS
    assert found.problem_count == 2_000
    with pytest.raises(InputError, match=r"2000 problems .* \(1000 are not listed\)"):
        found.check()


def test_times_in_the_past_matter_only_while_the_batch_is_new() -> None:
    found = survey(rows(order(submit_before="5"), order(expiration_time="7"), order(expiration_time="9")), 8_000_000)
    assert found.problems == ()
    assert [(problem.line, problem.field) for problem in found.past] == [(1, "submit_before"), (2, "expiration_time")]
    found.check(new=False)
    with pytest.raises(InputError) as caught:
        found.check()
    assert caught.value.problems == found.past


def test_the_cost_is_what_all_orders_can_cost_at_most_without_fees() -> None:
    found = survey(rows(order(count="2.50"), order(side="ask", price="0.9999", count="0.01")))
    assert found.cost_e6 == 750_000 + 1  # 2.50 x 0.30 and 0.01 x 0.0001, exactly


def test_an_input_without_orders_is_refused() -> None:
    with pytest.raises(InputError, match="no orders"):
        survey(rows()).check()


def test_more_rows_than_an_id_can_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MAX_ROWS", 3)
    survey(rows(*[order()] * 3)).check()
    endless = ((number, order()) for number in iter(int, 1))
    found = survey(endless)
    assert found.count == 4
    assert "at most 3 rows" in found.problems[0].reason


@pytest.mark.parametrize("changed", ["A", "AC", "CB", "BA", "ABB", ""])
def test_a_file_that_changes_between_the_passes_never_yields_all_its_rows(changed: str) -> None:
    found = survey(rows(order("A"), order("B")))
    made = intents(rows(*map(order, changed)), KEY, found)
    taken: list[Intent] = []
    with pytest.raises(InputError, match="changed while it was read"):
        taken.extend(made)
    # One that only grew says so after the rows that were surveyed, which are the right ones.
    assert len(taken) < found.count or changed.startswith("AB")


def test_a_file_that_turned_bad_between_the_passes_is_refused_at_the_row() -> None:
    found = survey(rows(order("A"), order("B")))
    with pytest.raises(InputError, match="line 2: count"):
        list(intents(rows(order("A"), order("B", count="0")), KEY, found))
    assert len(list(intents(rows(order("A"), order("B")), KEY, found))) == 2


def test_flags_are_one_order_of_a_batch_of_its_own() -> None:
    intent = from_flags({**order(), "tag": None, "post_only": ""}, KEY)
    assert intent == next(intents(rows(order()), KEY))
    with pytest.raises(InputError) as caught:
        from_flags({**order(count="x", expiration_time="5"), "sides": "yes"}, KEY, 6_000_000)
    assert {(problem.line, problem.field) for problem in caught.value.problems} == {(None, "count"), (None, "sides")}
    with pytest.raises(InputError, match="expiration_time: 5 is in the past"):
        from_flags(order(expiration_time="5"), KEY, 6_000_000)


@pytest.mark.parametrize("fmt", [Format.CSV, Format.JSONL])
def test_both_passes_hold_one_row_at_a_time(fmt: Format) -> None:
    def data(count: int) -> BytesIO:
        if fmt is Format.CSV:
            lines = [f"KX-{number % 9},bid,{number % 90 + 1},0.5\n" for number in range(count)]
            return BytesIO(("ticker,side,count,price\n" + "".join(lines)).encode())
        made = '{"ticker":"KX-%d","side":"bid","count":%d,"price":0.5}\n'
        return BytesIO("".join(made % (number % 9, number % 90 + 1) for number in range(count)).encode())

    def peak(stream: BytesIO) -> int:
        tracemalloc.start()
        found = survey(read_rows(stream, fmt))
        stream.seek(0)
        assert sum(1 for _ in intents(read_rows(stream, fmt), found.key(), found)) == found.count
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(data(100))  # fills the bounded caches
    small, large = peak(data(1_000)), peak(data(8_000))
    assert large < small + 50_000, (small, large)


KEYS = st.sampled_from(["ticker", "action", "side", "count", "price", "yes_price", "client_order_id", "tag", "type"])
VALUES = st.sampled_from(["KX-1", "buy", "yes", "no", "bid", "1", "0.5", "limit", "", "x", None, True]) | st.text()
TREES = st.recursive(
    VALUES | st.integers() | st.floats(),
    lambda tree: st.lists(tree, max_size=2) | st.dictionaries(st.text(), tree, max_size=2),
)


SOUND = st.fixed_dictionaries(
    {
        "ticker": st.sampled_from(["KX-1", "a.B_c"]),
        "action": st.sampled_from(["buy", "sell"]),
        "side": st.sampled_from(["yes", "no"]),
        "count": st.sampled_from([1, "2.50", Number("1.00")]),
    },
    optional={
        "client_order_id": st.sampled_from(["own-1", "own-2"]),
        "time_in_force": st.sampled_from(["good_till_canceled", "immediate_or_cancel", "fill_or_kill"]),
        "post_only": st.sampled_from([True, False, "true", "FALSE"]),
        "reduce_only": st.sampled_from([True, False, "true"]),
        "expiration_time": st.sampled_from([1, "1900000000", "2030-01-01T00:00:00Z"]),
        "subaccount": st.sampled_from([0, "63", None]),
        "tag": st.text(max_size=3),
        "self_trade_prevention_type": st.sampled_from(["taker_at_cross", "maker"]),
    },
)
PRICE = st.sampled_from(
    [("price", "0.0001"), ("price", "0.5"), ("yes_price", 1), ("no_price", "99"), ("no_price_dollars", "0.12")]
)


@given(st.lists(st.tuples(SOUND, PRICE, st.dictionaries(KEYS, VALUES, max_size=1)), max_size=3))
def test_rows_that_are_nearly_right_are_accepted_or_named(
    parts: list[tuple[dict[str, object], tuple[str, object], dict[str, object]]],
) -> None:
    check_all(list(object_rows({**sound, price[0]: price[1], **odd} for sound, price, odd in parts)))


@given(st.lists(st.dictionaries(KEYS | st.text(), VALUES | TREES, max_size=8) | TREES, max_size=3))
def test_no_python_value_breaks_intake(orders: list[object]) -> None:
    check_all(list(object_rows(orders)))


PIECES = st.sampled_from(
    [*'\n\r\t ,;":{}[]0159.eE+-_é\x00', *('"ticker"', '"count"', '"orders"', "bid", "true", "null")]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=30), st.sampled_from(Format), st.booleans())
def test_no_text_breaks_intake(text: str, fmt: Format, header: bool) -> None:
    head = "ticker,side,count,price,tag\n" if header and fmt is Format.CSV else ""
    data = (head + text).encode("utf-8", "surrogatepass")
    check_all(list(read_rows(BytesIO(data), fmt)))


@given(st.binary(max_size=60), st.sampled_from(Format))
def test_no_bytes_break_intake(data: bytes, fmt: Format) -> None:
    check_all(list(read_rows(BytesIO(data), fmt)))


def check_all(found: list[Row]) -> None:
    """Nothing is raised; every row is an intent or a problem that can be printed; what is good stays good."""
    seen = survey(found, 1_000)
    assert seen.problem_count == len(seen.problems)
    assert all(str(problem).isprintable() for problem in seen.problems)
    if seen.problem_count:
        with pytest.raises(InputError):
            seen.check()
        return
    made = list(intents(found, seen.key(), seen))
    assert len(made) == seen.count > 0
    for intent, again in zip(made, intents(map(restated, made), seen.key()), strict=True):
        assert again.client_order_id == intent.client_order_id
        assert request_body(again) == request_body(intent)
        assert 0 < intent.price_e6 < 1_000_000
        assert intent.count_e2 > 0


def restated(intent: Intent) -> tuple[int | None, Mapping[str, object] | tuple[Problem, ...]]:
    """An accepted intent said again in the exchange's own words."""
    return None, {
        "ticker": intent.ticker,
        "side": intent.side,
        "count": format_count(intent.count_e2),
        "price": format_dollars(intent.price_e6),
        "time_in_force": intent.time_in_force,
        "self_trade_prevention_type": intent.self_trade_prevention_type,
        "post_only": intent.post_only,
        "reduce_only": intent.reduce_only,
        "expiration_time": intent.expiration_time,
        "subaccount": intent.subaccount,
        "client_order_id": intent.client_order_id if intent.own_id else None,
    }
