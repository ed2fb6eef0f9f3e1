"""Whether a run stays under the account's rate and close to it: full speed against a real sandbox that enforces a tier.

Orders are sent one after another as fast as their tokens come, by one process and then by another that follows at
once (it must know what the first has spent), and in the end all of them are canceled. What counts is what the exchange
logged: no request answered 429, and the tokens it granted against all it could have granted in that time, a full bucket
at the start included.
"""

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from figures import Asked, Figure, Told, options, run

from oms import Oms
from oms.config import Config, load
from oms.interrupt import Interrupt
from oms.sandbox.launch import Running, launch
from oms.sandbox.limits import DEFAULT_COST, LIMITS
from oms.sandbox.options import STATE_FILE, ServeOptions

GOAL = 0.95


def configured(directory: Path, sandbox: Running, senders: int) -> Config:
    flags = {
        "environment": "sandbox",
        "venue.sandbox.base_url": sandbox.base_url,
        "venue.sandbox.key_id": sandbox.key_id,
        "venue.sandbox.private_key_path": sandbox.private_key_path,
        "ledger.url": f"sqlite:///{directory / 'ledger.sqlite3'}",
        "submit.concurrency": str(senders),
    }
    return load(flags, {"HOME": str(directory)})


def submit(config: Config, count: int) -> None:
    """Place orders that rest, through everything that `oms submit` does."""
    row = {"ticker": "SBXRAIN-A-T10", "action": "buy", "side": "yes", "count": 1, "price": "0.01"}
    with Oms(config, Interrupt()) as oms:
        report = oms.submit([row] * count)
        assert report.exit_code == 0, report


def cancel(config: Config) -> None:
    with Oms(config, Interrupt()) as oms:
        names = [order.client_order_id for order in oms.orders(status="resting")]
        report = oms.cancel(names)
        assert report.exit_code == 0, report


def logged(directory: Path) -> list[tuple[int, int, int]]:
    """The exchange's own log of writes: (received, us; status; tokens of creates)."""
    with closing(sqlite3.connect(directory / STATE_FILE)) as db:
        rows = db.execute(
            "SELECT at_us, status, client_order_ids FROM wire WHERE method IN ('POST', 'DELETE') ORDER BY at_us, seq"
        ).fetchall()
    return [(at_us, status, DEFAULT_COST * len(ids.split(",")) if ids else 0) for at_us, status, ids in rows]


def used(writes: list[tuple[int, int, int]], tier: str) -> float:
    """Tokens granted to creates over tokens that could have been, from the first to the last."""
    budget = LIMITS[tier].write
    seconds = (writes[-1][0] - writes[0][0]) / 1e6
    return sum(tokens for _, status, tokens in writes if status != 429) / (
        budget.bucket_capacity + budget.refill_rate * seconds
    )


def measure(asked: Asked, told: Told) -> None:
    tier = asked.options.tier
    budget = LIMITS[tier].write
    seconds = 5 if asked.is_short else asked.options.seconds
    count = (budget.bucket_capacity + budget.refill_rate * seconds) // DEFAULT_COST
    home = asked.directory / "sandbox"
    sandbox = launch(home, ServeOptions(dir=home, tier=tier, idle_exit_s=120, latency_ms=asked.options.latency_ms))
    try:
        config = configured(asked.directory, sandbox, asked.options.senders)
        submit(config, count)
        first = logged(home)
        again = [sys.executable, __file__, "--again", "20", "--dir", str(asked.directory)]
        subprocess.run([*again, "--senders", str(asked.options.senders)], check=True)
        cancel(config)
        every = logged(home)
    finally:
        os.kill(sandbox.pid, signal.SIGTERM)
    span_s = (first[-1][0] - first[0][0]) / 1e6
    rate = f"{tier} ({budget.refill_rate} tokens/s)"
    told.say(f"{len(first)} create requests in {span_s:.1f} s under {rate}, then 20 by another process, then their")
    told.say(f"cancels: {len(every)} writes in all")
    told.add(Figure("share of the allowed rate used", [used(first, tier)], "x", at_least=GOAL))
    refused = sum(status == 429 for _, status, _ in every)
    told.say(f"requests answered 429: {refused}")
    if refused:
        sys.exit(f"{refused} requests were answered 429")


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--tier", default="basic", choices=sorted(LIMITS), help="the exchange's tier (default basic)")
    parser.add_argument("--seconds", type=int, default=25, help="how long to send at full speed")
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--latency-ms", type=int, default=20, help="delay of every answer")
    parser.add_argument("--again", type=int, default=0, help=argparse.SUPPRESS)
    inner = parser.parse_args()
    if inner.again:
        home = inner.dir / "sandbox"
        submit(configured(inner.dir, launch(home), inner.senders), inner.again)
    else:
        run("rate", parser, measure)
