"""Subaccounts: create, balances, transfers, netting; and that orders, positions and fills keep to their own."""

import uuid
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from oms.sandbox import auth
from tests.sandbox.stepping import ORDERS, PRIVATE_PEM, SPORTS, START_US, TICKER, Answer, Steps

SUBACCOUNTS = "/portfolio/subaccounts"
IOC = {"time_in_force": "immediate_or_cancel"}


@pytest.fixture
def steps() -> Steps:
    return Steps()


def transfer(steps: Steps, cents: Any = 100, **changes: Any) -> Answer:
    usual = {"client_transfer_id": str(uuid.uuid4()), "from_subaccount": 0, "to_subaccount": 1, "amount_cents": cents}
    body = {name: value for name, value in {**usual, **changes}.items() if value is not None}
    return steps.call("POST", f"{SUBACCOUNTS}/transfer", body)


def balances(steps: Steps) -> dict[tuple[int, int], Fraction]:
    rows = steps.get(f"{SUBACCOUNTS}/balances")["subaccount_balances"]
    return {(row["subaccount_number"], row["exchange_index"]): Fraction(row["balance"]) for row in rows}


def test_a_new_subaccount_gets_the_next_number_and_starts_empty(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    for number in (2, 3):
        answer = steps.call("POST", SUBACCOUNTS)
        assert (answer.status, answer.json) == (201, {"subaccount_number": number})
        steps.reopen()
    assert balances(steps) == {
        (0, 0): 1_000_000,
        (0, 1): 100_000,
        (0, 2): 100_000,
        (1, 0): 10_000,
        (2, 0): 0,
        (3, 0): 0,
    }
    assert steps.create(subaccount=2).code == "insufficient_balance"
    assert transfer(steps, 100, to_subaccount=2).status == 200
    assert steps.create(subaccount=2).status == 201


def test_there_are_at_most_sixty_three_and_basic_accounts_have_none(steps: Steps) -> None:
    assert [steps.call("POST", SUBACCOUNTS).status for _ in range(63)] == [201] * 62 + [400]
    steps = Steps(tier="basic")
    assert steps.call("POST", SUBACCOUNTS).status == 403


def test_a_transfer_moves_money_once_whatever_is_repeated(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    name = str(uuid.uuid4())
    for _ in range(2):
        assert transfer(steps, 12_345, client_transfer_id=name).json == {}
        steps.reopen()
    assert (balances(steps)[0, 0], balances(steps)[1, 0]) == (
        1_000_000 - Fraction("123.45"),
        10_000 + Fraction("123.45"),
    )
    assert transfer(steps, 1, from_subaccount=1, to_subaccount=0).status == 200
    newest, oldest = steps.get(f"{SUBACCOUNTS}/transfers")["transfers"]
    assert oldest == {
        "transfer_id": oldest["transfer_id"],
        "from_subaccount": 0,
        "to_subaccount": 1,
        "amount_cents": 12_345,
        "created_ts": START_US // 1_000_000,
        "exchange_index": 0,
    }
    assert (newest["from_subaccount"], newest["amount_cents"]) == (1, 1)
    page = steps.get(f"{SUBACCOUNTS}/transfers", limit=1)
    assert steps.get(f"{SUBACCOUNTS}/transfers", cursor=page["cursor"])["transfers"] == [oldest]
    assert steps.get("/portfolio/deposits")["deposits"] == []


def test_a_transfer_is_on_one_shard(steps: Steps) -> None:
    assert transfer(steps, 5_000, exchange_index=1).status == 200
    assert (balances(steps)[0, 1], balances(steps)[1, 1]) == (99_950, 50)
    assert steps.create(ticker=SPORTS, subaccount=1).status == 201


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cents": 100_000_001}, "insufficient_balance"),
        ({"cents": 0}, "invalid_parameters"),
        ({"cents": -1}, "invalid_parameters"),
        ({"cents": "1"}, "bad_request"),
        ({"to_subaccount": 0}, "invalid_parameters"),
        ({"to_subaccount": 2}, "invalid_parameters"),
        ({"exchange_index": 3}, "invalid_parameters"),
        ({"client_transfer_id": "one"}, "invalid_parameters"),
        ({"client_transfer_id": None}, "missing_parameters"),
    ],
    ids=str,
)
def test_a_bad_transfer_moves_nothing(steps: Steps, changes: dict[str, Any], code: str) -> None:
    before = balances(steps)
    answer = transfer(steps, **changes)
    assert (answer.status, answer.code) == (400, code)
    assert balances(steps) == before


def test_what_resting_orders_hold_cannot_be_transferred(steps: Steps) -> None:
    steps.create(price="0.5000", count="10000.00", subaccount=1)
    assert transfer(steps, 500_001, from_subaccount=1, to_subaccount=0).code == "insufficient_balance"
    assert transfer(steps, 500_000, from_subaccount=1, to_subaccount=0).status == 200


def test_netting_is_kept_and_shown(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    assert steps.call("PUT", f"{SUBACCOUNTS}/netting", {"subaccount_number": 1, "enabled": False}).status == 200
    assert steps.call("PUT", f"{SUBACCOUNTS}/netting", {"subaccount_number": 9, "enabled": False}).status == 400
    steps.reopen()
    rows = steps.get(f"{SUBACCOUNTS}/netting")["netting_configs"]
    assert [(row["subaccount_number"], row["enabled"]) for row in rows] == [(0, True), (1, False)]


def test_orders_positions_and_fills_keep_to_their_subaccount(steps: Steps) -> None:
    for subaccount, count in ((0, "1.00"), (1, "2.00")):
        steps.create(price="0.9900", count=count, subaccount=subaccount, **IOC)

    def rows(path: str, key: str, **query: Any) -> list[dict[str, Any]]:
        return list(steps.get(path, **query)[key])

    for subaccount, count in ((0, "1.00"), (1, "2.00")):
        (fill,) = rows("/portfolio/fills", "fills", subaccount=subaccount)
        assert (fill["count_fp"], fill["subaccount_number"]) == (count, subaccount)
        (order,) = rows("/portfolio/orders", "orders", subaccount=subaccount)
        assert (order["fill_count_fp"], order["subaccount_number"]) == (count, subaccount)
        (held,) = rows("/portfolio/positions", "market_positions", subaccount=subaccount)
        assert held["position_fp"] == count
    assert len(rows("/portfolio/fills", "fills")) == len(rows("/portfolio/orders", "orders")) == 2
    assert [row["position_fp"] for row in rows("/portfolio/positions", "market_positions")] == ["1.00"]
    steps.control(market={"ticker": TICKER, "status": "settled", "result": "yes"})
    assert [row["yes_count_fp"] for row in rows("/portfolio/settlements", "settlements", subaccount=1)] == ["2.00"]
    assert len(rows("/portfolio/settlements", "settlements")) == 2


def test_a_key_locked_to_a_subaccount_sees_and_does_only_what_is_there(steps: Steps) -> None:
    steps.exchange.add_key(auth.key_of_private(PRIVATE_PEM, steps.exchange.state.user_id, subaccount=1))
    assert "balance_breakdown" not in steps.get("/portfolio/balance")
    assert list(balances(steps)) == [(1, 0)]
    assert transfer(steps).status == 403
    assert steps.call("POST", SUBACCOUNTS).status == 403
    assert steps.call("GET", "/portfolio/positions", subaccount=0).status == 403
    assert steps.create().status == 201
    assert steps.listed()[0]["subaccount_number"] == 1
    assert steps.call("DELETE", ORDERS, subaccount=0).status == 403
    group = steps.call("POST", "/portfolio/order_groups/create", {"contracts_limit": 1}).json
    assert group["subaccount"] == 1


def test_another_users_account_comes_back_after_a_restart(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    other = auth.new_private_pem("ed25519").decode()
    steps.control(add_key={"private_pem": other, "user_id": "somebody"})
    steps.reopen()
    assert "somebody" in steps.exchange.state.accounts
