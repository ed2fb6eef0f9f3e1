"""The sandbox over real HTTP, in a process of its own."""

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.sandbox.running import Sandbox, order, signed_headers, start_sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with start_sandbox(tmp_path / "sandbox") as running:
        yield running


def test_an_order_is_created_read_listed_refused_twice_and_canceled(sandbox: Sandbox) -> None:
    created = sandbox.create(client_order_id="one")
    assert created.status_code == 201
    order_id = created.json()["order_id"]
    assert created.json()["remaining_count"] == "1.00"
    assert "status" not in created.json()

    assert sandbox.call("GET", f"/portfolio/orders/{order_id}").json()["order"]["status"] == "resting"
    listed = sandbox.call("GET", "/portfolio/orders").json()["orders"]
    assert [order["client_order_id"] for order in listed] == ["one"]

    again = sandbox.create(client_order_id="one")
    assert again.status_code == 409
    assert again.json() == {"error": {"code": "order_already_exists", "message": "order already exists"}}

    canceled = sandbox.call("DELETE", f"/portfolio/events/orders/{order_id}", market_ticker="SBXRAIN-A-T10")
    assert canceled.status_code == 200
    assert canceled.json()["reduced_by"] == "1.00"
    assert [row["status"] for row in sandbox.orders()] == ["canceled"]


def test_every_answer_has_a_date_of_the_exchanges_clock(sandbox: Sandbox) -> None:
    sandbox.control(clock_offset_ms=-86_400_000)
    now = time.strftime("%a, %d %b %Y", time.gmtime(time.time() - 86_400))
    assert sandbox.call("GET", "/exchange/status").headers["date"].startswith(now)
    assert sandbox.call("GET", "/portfolio/orders").status_code == 401


def test_the_private_key_is_readable_only_by_its_owner(sandbox: Sandbox) -> None:
    assert stat.S_IMODE(os.stat(sandbox.private_key_path).st_mode) == 0o600


def test_a_killed_sandbox_resumes_with_the_same_keys_orders_and_ids(sandbox: Sandbox) -> None:
    first = sandbox.create(client_order_id="one").json()["order_id"]
    before, orders = sandbox.endpoint, sandbox.orders()
    sandbox.kill()
    sandbox.restart()
    assert {**sandbox.endpoint, "pid": 0} == {**before, "pid": 0}
    assert sandbox.orders() == orders
    assert sandbox.create(client_order_id="one").status_code == 409
    second = sandbox.create(client_order_id="two").json()["order_id"]
    assert second != first


def test_sigterm_ends_it_with_exit_code_zero_within_two_seconds(sandbox: Sandbox) -> None:
    began = time.monotonic()
    assert sandbox.stop() == 0
    assert time.monotonic() - began < 2


def create_until_it_dies(sandbox: Sandbox, name: str, acknowledged: list[str]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for number in range(10_000):
            wanted = order(client_order_id=f"{name}-{number}", price="0.9900" if number % 3 == 0 else "0.0100")
            path = "/trade-api/v2/portfolio/events/orders"
            headers = signed_headers(sandbox.key_id, sandbox.private_pem, "POST", path, time.time_ns() // 1_000_000)
            try:
                url = f"{sandbox.base_url}/portfolio/events/orders"
                answer = session.post(url, json=wanted, headers=headers, timeout=5)
            except requests.RequestException:
                return
            if answer.status_code == 201:
                acknowledged.append(wanted["client_order_id"])


@pytest.mark.slow
def test_a_sigkill_in_the_middle_of_a_burst_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with start_sandbox(tmp_path / "sandbox", tier="unlimited") as sandbox:
        for life in range(2):
            acknowledged: list[str] = []
            threads = [
                threading.Thread(target=create_until_it_dies, args=(sandbox, f"{life}-{number}", acknowledged))
                for number in range(3)
            ]
            for thread in threads:
                thread.start()
            while len(acknowledged) < 50:
                threads[0].join(timeout=0.01)
            sandbox.kill()
            for thread in threads:
                thread.join()
            sandbox.restart()
            rows = sandbox.orders()
            assert set(acknowledged) <= {row["client_order_id"] for row in rows}
            assert len({row["client_order_id"] for row in rows}) == len(rows)
            (purse,) = sandbox.rows(
                "SELECT * FROM purses WHERE subaccount = 0 AND exchange_index = 0 ORDER BY n DESC LIMIT 1"
            )
            newest = "SELECT MAX(version) FROM versions w WHERE w.seq = v.seq"
            (sums,) = sandbox.rows(f"SELECT SUM(reserved_e6) AS total FROM versions v WHERE version = ({newest})")
            assert purse["reserved_e6"] == sums["total"]
            filled = sandbox.rows("SELECT SUM(count_e2) AS total FROM fills")[0]["total"]
            assert filled == sum(row["fill_e2"] for row in rows)
