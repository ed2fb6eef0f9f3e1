"""A bot's loop: one bid per market and minute, two cents under the best, never placed twice.

    python examples/bot.py [CYCLES]

Kill it at any instant and start it again. A decision is named by its client_order_id, so the bot needs no memory of
its own: what it has decided before, the ledger knows.
"""

import sys
import time
from collections.abc import Mapping
from decimal import Decimal

from oms import Oms
from oms.errors import LedgerMissing, ReadFailed, UnknownOrder
from oms.records import MarketRecord, OrderRecord

PAUSE_S = 1


def decide(market: MarketRecord, minute: int) -> Mapping[str, object]:
    """What to place in this market in this minute."""
    best = Decimal(market.yes_bid or "0.03")
    return {
        "ticker": market.ticker,
        "action": "buy",
        "side": "yes",
        "count": 1,
        "price": max(Decimal("0.01"), best - Decimal("0.02")),
        "client_order_id": f"bid-{market.ticker}-{minute}",
    }


def place_once(oms: Oms, decision: Mapping[str, object]) -> OrderRecord:
    """The order of this decision: as it stands if it was placed before, else placed now."""
    name = str(decision["client_order_id"])
    try:
        return oms.order(name)
    except (UnknownOrder, LedgerMissing):
        oms.submit([decision])
        return oms.order(name)


def main() -> int:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with Oms.open() as oms:
        oms.drain()  # an earlier run may have been killed: resolve what is in doubt, send what is queued
        for cycle in range(cycles):
            if cycle:
                time.sleep(PAUSE_S)
            try:
                markets = list(oms.markets(search="SBXRAIN", limit=2))
            except ReadFailed as failed:
                print(failed, file=sys.stderr)
                continue
            for market in markets:
                order = place_once(oms, decide(market, int(time.time()) // 60))
                doubt = ", in doubt" if order.in_doubt else ""
                print(f"{order.client_order_id} {order.count} at {order.outcome_price}: {order.status}{doubt}")
        return oms.reconcile().exit_code


if __name__ == "__main__":
    sys.exit(main())
