"""Every rule about ledger and exchange together finds what is planted for it, on either side."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from oms.lab.judge import RULES, Finding, Raw, arrived, examine, judge, tally
from tests.lab.judged import Pair, made, pair

__all__ = ["made", "pair"]

Plant = Callable[[Pair], None]
LATER_MS = 2**50


def found_by(pair: Pair, name: str) -> tuple[Finding, ...]:
    checked = examine(pair.ledger, pair.exchange, is_quiet=True, is_level=True, is_alone=True)
    return next(each.findings for each in checked if each.rule.name == name)


def place(pair: Pair, **changes: Any) -> None:
    """One more order of the account at the exchange: a resting one that there is already, but for the changes."""
    with closing(sqlite3.connect(pair.exchange)) as database:
        database.row_factory = sqlite3.Row
        query = (
            "SELECT p.* FROM placed p JOIN orders o USING (seq) WHERE o.status = 'resting' AND p.client_order_id = ?"
        )
        source = dict(database.execute(query, (pair.one("status = 'resting'")["client_order_id"],)).fetchone())
        seq = database.execute("SELECT max(seq) + 1 FROM placed").fetchone()[0]
        order = {**source, "order_id": "another order", **changes, "seq": seq}
        database.execute(f"INSERT INTO placed VALUES ({', '.join('?' * len(order))})", tuple(order.values()))
        version = dict(database.execute("SELECT * FROM versions WHERE seq = ?", (source["seq"],)).fetchone())
        version["seq"] = seq
        database.execute(f"INSERT INTO versions VALUES ({', '.join('?' * len(version))})", tuple(version.values()))
        database.commit()


def other_account(pair: Pair) -> None:
    pair.spoil("UPDATE ledger SET user_id = 'somebody else'")


def doubled(pair: Pair) -> None:
    place(pair)


def lost_there(pair: Pair) -> None:
    name = pair.one("status = 'resting'")["client_order_id"]
    pair.spoil("DELETE FROM placed WHERE client_order_id = ?", name, side="exchange")


def unknown_here(pair: Pair) -> None:
    place(pair, client_order_id="nobody's")


def of_our_making(pair: Pair) -> None:
    name = pair.one("own_id = 0")["client_order_id"]
    place(pair, client_order_id=name[:-1] + ("0" if name[-1] != "0" else "1"))


def other_order_id(pair: Pair) -> None:
    name = pair.one("status = 'resting'")["client_order_id"]
    pair.spoil("UPDATE placed SET order_id = 'x' WHERE client_order_id = ?", name, side="exchange")


def look_alike(pair: Pair) -> None:
    name = pair.one("status = 'resting'")["client_order_id"]
    pair.spoil("UPDATE placed SET client_order_id = 'theirs' WHERE client_order_id = ?", name, side="exchange")


def filled_here_only(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET fill_count_e2 = 1 WHERE status = 'resting'")


def sent_unclaimed(pair: Pair) -> None:
    pair.spoil("UPDATE wire SET signed_ms = signed_ms + 1 WHERE client_order_ids = 'lostTrue'", side="exchange")


def canceled_unclaimed(pair: Pair) -> None:
    pair.spoil("UPDATE wire SET signed_ms = signed_ms + 1 WHERE operation = 'CancelOrderV2'", side="exchange")


def sent_twice(pair: Pair) -> None:
    with closing(sqlite3.connect(pair.exchange)) as database:
        values = list(database.execute("SELECT * FROM wire WHERE client_order_ids = 'lostTrue'").fetchone())
        values[0] = 9999
        database.execute(f"INSERT INTO wire VALUES ({', '.join('?' * len(values))})", values)
        database.commit()


def claim_not_on_record(pair: Pair) -> None:
    pair.spoil("UPDATE events SET kind = 'observed' WHERE kind = 'claimed'")


def other_bytes(pair: Pair) -> None:
    pair.spoil("UPDATE wire SET body_sha256 = 'x' WHERE client_order_ids = 'lostTrue'", side="exchange")


def other_bytes_of_a_batch(pair: Pair) -> None:
    pair.spoil("UPDATE wire SET body_sha256 = 'x' WHERE operation = 'BatchCreateOrdersV2'", side="exchange")


def again_and_again(pair: Pair) -> None:
    with closing(sqlite3.connect(pair.exchange)) as database:
        values = list(database.execute("SELECT * FROM wire WHERE client_order_ids = 'lostTrue'").fetchone())
        for seq in range(9000, 9030):
            database.execute(f"INSERT INTO wire VALUES ({', '.join('?' * len(values))})", [seq, *values[1:]])
        database.commit()


def refused_yet_there(pair: Pair) -> None:
    place(pair, client_order_id=pair.one("status = 'rejected'")["client_order_id"])


def pending_yet_there(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET status = 'pending' WHERE status = 'resting'")


def other_status(pair: Pair) -> None:
    name = pair.one("status = 'resting'")["client_order_id"]
    pair.spoil(
        "UPDATE versions SET status = 'canceled' WHERE seq = (SELECT seq FROM placed WHERE client_order_id = ?)",
        name,
        side="exchange",
    )


def other_remainder(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET remaining_count_e2 = 1 WHERE status = 'resting'")


def other_side(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET side = 'ask' WHERE side = 'bid' AND status = 'resting'")


def other_price(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET price_e6 = price_e6 + 1 WHERE status = 'resting'")


def other_ticker(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET ticker = 'X' WHERE status = 'executed'")


def trade_missing_here(pair: Pair) -> None:
    pair.spoil("DELETE FROM fills")


def trade_missing_there(pair: Pair) -> None:
    pair.spoil("DELETE FROM fills", side="exchange")


def other_fee(pair: Pair) -> None:
    pair.spoil("UPDATE fills SET fee_e6 = fee_e6 + 1", side="exchange")


def other_position(pair: Pair) -> None:
    pair.spoil("UPDATE positions SET position_e2 = position_e2 + 1")


def no_position(pair: Pair) -> None:
    pair.spoil("DELETE FROM positions")


def group_unclaimed(pair: Pair) -> None:
    pair.spoil("UPDATE wire SET signed_ms = signed_ms + 1 WHERE operation = 'CreateOrderGroup'", side="exchange")


def group_triggered_twice(pair: Pair) -> None:
    with closing(sqlite3.connect(pair.exchange)) as database:
        values = list(database.execute("SELECT * FROM wire WHERE operation = 'TriggerOrderGroup'").fetchone())
        values[0] = 9999
        database.execute(f"INSERT INTO wire VALUES ({', '.join('?' * len(values))})", values)
        database.commit()


def group_not_there(pair: Pair) -> None:
    pair.spoil("DELETE FROM order_groups", side="exchange")


PLANTED: list[tuple[Plant, str, str]] = [
    (group_unclaimed, "I1", "actions that arrived"),
    (group_triggered_twice, "I1", "actions that arrived"),
    (group_not_there, "I9", "groups that must be there"),
    (other_account, "I16", "whose account both are"),
    (doubled, "I3", "orders under one id"),
    (lost_there, "I9", "orders that must be there"),
    (unknown_here, "I4", "orders that must be here"),
    (of_our_making, "I4", "orders that must be here"),
    (other_order_id, "I9", "order_ids"),
    (look_alike, "I21", "orders made elsewhere"),
    (filled_here_only, "I10", "fill_count on both sides"),
    (sent_unclaimed, "I1", "requests that arrived"),
    (canceled_unclaimed, "I1", "requests that arrived"),
    (sent_twice, "I1", "requests that arrived"),
    (claim_not_on_record, "I1", "requests that arrived"),
    (other_bytes, "I5", "bytes that arrived"),
    (other_bytes_of_a_batch, "I5", "bytes that arrived"),
    (again_and_again, "I24", "requests in a second"),
    (refused_yet_there, "I8", "rejected and unsent orders"),
    (pending_yet_there, "I23", "status and counts on both sides"),
    (other_status, "I23", "status and counts on both sides"),
    (other_remainder, "I23", "status and counts on both sides"),
    (other_side, "I19", "intents on both sides"),
    (other_price, "I19", "intents on both sides"),
    (other_ticker, "I19", "intents on both sides"),
    (trade_missing_here, "I11", "trades on both sides"),
    (trade_missing_there, "I11", "trades on both sides"),
    (other_fee, "I11", "trades on both sides"),
    (other_position, "I23", "positions"),
    (no_position, "I23", "positions"),
]


@pytest.mark.parametrize(("plant", "invariant", "rule"), PLANTED, ids=[plant.__name__ for plant, _, _ in PLANTED])
def test_what_is_planted_is_found_by_its_rule(pair: Pair, plant: Plant, invariant: str, rule: str) -> None:
    plant(pair)
    found = found_by(pair, rule)
    assert {each.invariant for each in found} == {invariant}
    assert set(found) <= set(pair.judged())


def test_every_rule_about_both_sides_has_its_breach() -> None:
    mine = {rule.name for rule in RULES if rule.needs not in ("ledger", "clock", "told", "quiet")}
    assert {rule for _, _, rule in PLANTED} == mine


def test_a_second_order_is_told_before_everything_else(pair: Pair) -> None:
    other_price(pair)
    doubled(pair)
    first = pair.judged()[0]
    name = pair.one("status = 'resting'")["client_order_id"]
    assert (first.invariant, first.client_order_id) == ("I3", name)
    assert str(first) == f"I3: duplicate: 2 orders at the exchange under {name}"


@pytest.mark.parametrize("plant", [doubled, lost_there, unknown_here, sent_unclaimed, other_bytes])
def test_what_must_never_be_is_found_in_mid_crash_too(pair: Pair, plant: Plant) -> None:
    assert pair.judged(is_settled=False) == []
    plant(pair)
    assert pair.judged(is_settled=False)


@pytest.mark.parametrize("plant", [other_remainder, other_position, trade_missing_there])
def test_what_may_still_be_on_its_way_is_no_breach_before_the_end(pair: Pair, plant: Plant) -> None:
    plant(pair)
    asked = examine(pair.ledger, pair.exchange, is_quiet=False, is_level=False, is_alone=True)
    assert not {each.rule.name for each in asked if each.findings} & {
        rule.name for rule in RULES if rule.needs == "level"
    }


def test_orders_that_others_make_in_the_account_are_none_of_ours(pair: Pair) -> None:
    unknown_here(pair)
    assert judge(pair.ledger, pair.exchange, is_settled=True, is_alone=False) == []
    of_our_making(pair)
    assert [each.invariant for each in judge(pair.ledger, pair.exchange, is_settled=True, is_alone=False)] == ["I4"]


def test_a_canceled_order_may_have_been_amended_elsewhere_where_others_use_the_account(pair: Pair) -> None:
    """Seeds 5000041 and 5000536 of the long run: amended by a ledger that was lost, then canceled."""
    seq = "(SELECT seq FROM orders WHERE status = 'canceled' AND fill_e2 = 0 LIMIT 1)"
    pair.spoil(f"UPDATE versions SET initial_e2 = initial_e2 + 500 WHERE seq = {seq}", side="exchange")
    assert pair.invariants() == {"I19"}
    assert judge(pair.ledger, pair.exchange, is_settled=True, is_alone=False) == []


def test_an_order_that_was_renamed_elsewhere_is_there_where_others_use_the_account(pair: Pair) -> None:
    order = pair.one("status = 'resting'")
    name = order["client_order_id"]
    pair.spoil("UPDATE placed SET client_order_id = 'another' WHERE client_order_id = ?", name, side="exchange")
    assert pair.invariants() >= {"I9", "I21"}
    assert judge(pair.ledger, pair.exchange, is_settled=True, is_alone=False) == []
    # Never under our id, as far as the ledger was shown: somebody else's.
    pair.spoil(
        "UPDATE events SET data = replace(data, 'order_id', 'order_ix') WHERE kind IN ('acknowledged', 'found')",
        side="ledger",
    )
    assert "I21" in {each.invariant for each in judge(pair.ledger, pair.exchange, is_settled=True, is_alone=False)}


def test_a_ledger_that_was_lost_is_not_asked_for_its_requests(pair: Pair) -> None:
    sent_unclaimed(pair)
    assert judge(pair.ledger, pair.exchange, is_settled=True, is_complete=False) == []


def test_what_the_network_delivers_twice_was_sent_once(pair: Pair) -> None:
    sent_twice(pair)
    pair.spoil("UPDATE wire SET arrival_of = 8 WHERE seq = 9999", side="exchange")
    assert pair.judged() == []


def test_both_sides_are_counted(pair: Pair) -> None:
    assert tally(pair.ledger, pair.exchange) == (9, 8)
    assert len(arrived(pair.exchange)) == 9


# -- what a live exchange answered -----------------------------------------------------------------------------------


def bodies(pair: Pair, **changes: Any) -> Raw:
    """The exchange's answers as they came; `orders=f` is what f makes of the list of orders."""

    def read(name: str, key: str) -> list[bytes]:
        document = json.loads((pair.bodies / name).read_bytes())
        items = changes.get(key, lambda items: items)(document[key])
        half = len(items) // 2
        return [json.dumps({key: part, "cursor": ""}).encode() for part in (items[:half], items[half:])]

    return Raw(
        as_of_ms=changes.get("as_of_ms", LATER_MS),
        orders=[*read("portfolio-orders", "orders"), (pair.bodies / "historical-orders").read_bytes()],
        fills=read("portfolio-fills", "fills"),
        positions={0: read("portfolio-positions", "market_positions")},
    )


def test_the_bodies_of_a_live_exchange_agree_with_the_ledger(pair: Pair) -> None:
    raw = bodies(pair)
    assert judge(pair.ledger, raw, is_settled=True) == []
    asked = {each.rule.name for each in examine(pair.ledger, raw, is_quiet=True, is_level=True, is_alone=False)}
    assert asked == {rule.name for rule in RULES if rule.needs not in ("log", "record", "clock", "told")}


BODIES: list[tuple[dict[str, Any], set[str]]] = [
    ({"orders": lambda items: [*items, {**items[0], "order_id": "second"}]}, {"I3", "I9", "I21"}),
    ({"orders": lambda items: items[1:]}, {"I9"}),
    ({"orders": lambda items: [*items, {"order_id": "x"}]}, {"I4"}),
    ({"orders": lambda items: [{**each, "yes_price_dollars": "0.5000"} for each in items]}, {"I19"}),
    ({"orders": lambda items: [{**each, "yes_price_dollars": "1e400000"} for each in items]}, {"I4", "I9"}),
    ({"orders": lambda items: [{**each, "fill_count_fp": "0.005"} for each in items]}, {"I4", "I9"}),
    ({"fills": lambda items: items[1:]}, {"I11"}),
    ({"market_positions": lambda items: []}, {"I23"}),
]


@pytest.mark.parametrize(("changes", "invariants"), BODIES)
def test_bodies_that_say_otherwise_are_findings(pair: Pair, changes: dict[str, Any], invariants: set[str]) -> None:
    found = {each.invariant for each in judge(pair.ledger, bodies(pair, **changes), is_settled=True)}
    assert found
    assert found <= invariants


def test_what_is_told_on_two_pages_is_one_order(pair: Pair) -> None:
    raw = bodies(pair, orders=lambda items: [*items, items[0]], fills=lambda items: [*items, items[0]])
    assert judge(pair.ledger, raw, is_settled=True) == []


def test_an_order_younger_than_the_reading_is_not_missed(pair: Pair) -> None:
    raw = bodies(pair, orders=lambda items: [], fills=lambda items: [], market_positions=lambda items: [], as_of_ms=0)
    names = {each.rule.name for each in examine(pair.ledger, raw, is_quiet=False, is_level=False, is_alone=False)}
    assert "orders that must be there" in names
    assert judge(pair.ledger, raw, is_settled=False) == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"orders": 7}', b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_answer_is_an_error_and_never_agreement(pair: Pair, body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        judge(pair.ledger, Raw(0, [body], []), is_settled=True)
