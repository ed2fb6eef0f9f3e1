"""Limits at the claim, through real runs against a real sandbox: what was recorded within them may be over them now."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oms import Oms
from oms.config import load
from oms.interrupt import Interrupt
from tests.sandbox.running import Sandbox, start_sandbox

Open = Callable[..., Oms]
TICKER = "SBXRAIN-A-T10"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with start_sandbox(tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def opened(tmp_path: Path, sandbox: Sandbox) -> Open:
    def make(**limits: str) -> Oms:
        flags = {
            "environment": "sandbox",
            "venue.sandbox.base_url": sandbox.base_url,
            "venue.sandbox.key_id": sandbox.key_id,
            "venue.sandbox.private_key_path": str(sandbox.private_key_path),
            "ledger.url": f"sqlite:///{tmp_path / 'ledger.sqlite3'}",
            **{f"limits.{name}": value for name, value in limits.items()},
        }
        return Oms(load(flags, {"HOME": str(tmp_path)}), Interrupt())

    return make


def row(**changes: Any) -> dict[str, Any]:
    return {"ticker": TICKER, "action": "buy", "side": "yes", "count": 10, "price": "0.01", **changes}


def outcomes(oms: Oms) -> list[tuple[str, str | None]]:
    return [(order.status, order.reason) for order in oms.orders(newest_first=False)]


@pytest.mark.fault(80)
def test_what_was_recorded_before_the_limit_was_lowered_is_withdrawn_at_the_claim(
    opened: Open, sandbox: Sandbox
) -> None:
    with opened() as oms:
        oms.submit([row(), row(count=30), row(count=10)], send=False)
    with opened(max_market_exposure_dollars="0.25") as oms:
        report = oms.drain()
        assert outcomes(oms) == [("resting", None), ("unsent", "limit"), ("resting", None)]
        (second,) = [order for order in oms.orders() if order.status == "unsent"]
        assert second.detail is not None
        assert "limits.max_market_exposure_dollars = $0.25" in second.detail
        assert report.counts["unsent"] == 1
        assert report.exit_code == 5
    assert len(sandbox.orders()) == 2


def test_markets_are_read_when_their_orders_are_claimed(opened: Open, sandbox: Sandbox) -> None:
    with opened() as oms:
        oms.submit([row(), row(ticker="NO-SUCH-MARKET"), row(price="0.99"), row(count=1)], send=False)
    with opened(check_market="true", price_collar_dollars="0.05") as oms:
        oms.drain()
        assert outcomes(oms) == [("resting", None), ("unsent", "limit"), ("unsent", "limit"), ("resting", None)]


def test_a_run_within_its_limits_sends_everything(opened: Open, sandbox: Sandbox) -> None:
    with opened(max_open_orders="100", max_total_exposure_dollars="100", check_market="true") as oms:
        report = oms.submit([row()] * 60)
        assert report.exit_code == 0
        assert len(sandbox.orders()) == 60
