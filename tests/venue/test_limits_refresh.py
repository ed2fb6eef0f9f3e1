"""Limits are read again without an order waiting for it, and a sandbox that enforces them never says 429."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from oms import Oms
from oms.config import load
from oms.interrupt import Interrupt
from oms.sandbox.options import STATE_FILE
from oms.venue.door import Venue
from oms.venue.limiter import REFRESH_AFTER_429_US
from tests.sandbox.running import start_sandbox
from tests.venue.hostile import Seen, hostile, http, routing

LIMITS = {
    "usage_tier": "advanced",
    "read": {"refill_rate": 300, "bucket_capacity": 300},
    "write": {"refill_rate": 300, "bucket_capacity": 900},
}


def test_after_a_429_the_limits_are_read_again_on_a_thread_of_their_own(connect: Callable[..., Venue]) -> None:
    asked: list[str] = []
    seen = threading.Event()

    def route(request: Seen) -> bytes:
        asked.append(request.target)
        if request.target.endswith("/account/limits"):
            return http(200, LIMITS)
        if request.target.endswith("/account/endpoint_costs"):
            seen.set()
            return http(200, {"default_cost": 10, "endpoint_costs": []})
        return http(404, {})

    with hostile(routing(route)) as server:
        venue = connect(server.base_url)
        now_us = venue.clock.now_us()
        venue.limiter.drain_write(now_us)
        assert venue.limiter.take_create(now_us) > 0
        assert asked == []
        venue.limiter.take_create(now_us + REFRESH_AFTER_429_US)
        assert seen.wait(10)
        for thread in threading.enumerate():
            if thread.name == "oms-limits":
                thread.join(10)
        assert (venue.limiter.write.refill_per_s, venue.limiter.write.capacity) == (300, 900)


def test_limits_that_cannot_be_read_stay_as_they_are(connect: Callable[..., Venue]) -> None:
    with hostile(routing(lambda request: http(403, {"error": {"code": "no", "message": "no"}}))) as server:
        venue = connect(server.base_url)
        venue.learn_limits_soon()
        for thread in threading.enumerate():
            if thread.name == "oms-limits":
                thread.join(10)
        assert venue.limiter.write.refill_per_s == 100


@pytest.mark.slow
def test_a_run_at_full_speed_and_one_that_follows_at_once_meet_no_429(tmp_path: Path) -> None:
    """Three seconds under the smallest tier; benchmarks/rate.py does it for longer and measures the share used."""
    with start_sandbox(tmp_path / "sandbox", tier="basic") as sandbox:
        flags = {
            "environment": "sandbox",
            "venue.sandbox.base_url": sandbox.base_url,
            "venue.sandbox.key_id": sandbox.key_id,
            "venue.sandbox.private_key_path": str(sandbox.private_key_path),
            "ledger.url": f"sqlite:///{tmp_path / 'ledger.sqlite3'}",
        }
        row = {"ticker": "SBXRAIN-A-T10", "action": "buy", "side": "yes", "count": 1, "price": "0.01"}
        for count in (24, 6):
            with Oms(load(flags, {"HOME": str(tmp_path)}), Interrupt()) as oms:
                assert oms.submit([row] * count).exit_code == 0
        with closing(sqlite3.connect(tmp_path / "sandbox" / STATE_FILE)) as db:
            rows = db.execute("SELECT at_us, status FROM wire WHERE method = 'POST' ORDER BY at_us").fetchall()
    assert [status for _, status in rows if status == 429] == []
    assert len(sandbox.orders()) == 30
    # 300 tokens, of which 100 were there: so it cannot have been faster, and should not be much slower.
    assert 1.9 < (rows[-1][0] - rows[0][0]) / 1e6 < 6
