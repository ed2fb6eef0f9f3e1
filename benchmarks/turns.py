"""What a turn of the writer costs: CPU of claiming and acknowledging an order, by how many share a turn.

No network and no senders: one `Desk` claims a group, and the next turn records its answers together with the next
claims, as a run does. CPU is the process's own, so the disk's waits are not in it; the commits are real.
"""

import shutil
import time
from pathlib import Path

from figures import Asked, Figure, Told, options, run
from runs import configured, make_key, orders

from oms import Oms
from oms.config import Config
from oms.interrupt import Interrupt
from oms.ledger.claim import Desk, Now, Scope
from oms.ledger.ledger import open_ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.venue.clock import system_now_us

GROUPS = (1, 4, 16, 40)


def acknowledged(entry: Entry, now_ms: int) -> e.Acknowledged:
    return e.Acknowledged(
        attempt=entry.command.attempts,
        order_id=f"o-{entry.client_order_id}",
        fill_count_e2=0,
        remaining_count_e2=entry.order.count_e2,
        ts_ms=now_ms,
    )


def settle(config: Config, group: int) -> tuple[int, float]:
    """Claim and acknowledge everything queued, `group` to a turn: (orders, CPU seconds)."""
    ledger = open_ledger(config.ledger_url, config.environment, create=False, now_us=system_now_us())
    try:
        ledger.locks.take_writer(0)
        ledger.open_epoch(purpose="submit", key_print=None, now_us=system_now_us())
        desk = Desk(ledger, Scope(), at_once=False)
        done, held, begun = 0, list[tuple[Entry, e.Event]](), time.process_time()
        while True:
            now_us = system_now_us()
            turn = desk.turn(held, group, Now(now_us, now_us // 1000))
            desk.tend()
            done += len(held)
            held = [(entry, acknowledged(entry, now_us // 1000)) for entry in turn.claimed]
            if not held:
                return done, time.process_time() - begun
    finally:
        ledger.close()


def sample(directory: Path, count: int, group: int) -> float:
    """Microseconds of CPU an order."""
    ledger = directory / "turns" / "ledger.sqlite3"
    config = configured(ledger, "http://127.0.0.1:1/trade-api/v2", make_key(directory))
    with Oms(config, Interrupt()) as oms:
        oms.submit(orders(count), send=False)
    done, cpu_s = settle(config, group)
    assert done == count
    shutil.rmtree(ledger.parent)
    return cpu_s / count * 1e6


def measure(asked: Asked, told: Told) -> None:
    scale = 4 if asked.is_short else 1
    counts = {group: max(64, min(4_000, 200 * group) // scale) for group in GROUPS}
    sample(asked.directory, 64, 16)  # statements are compiled once a process
    samples: dict[int, list[float]] = {group: [] for group in GROUPS}
    for _ in range(asked.rounds):
        for group in GROUPS:
            samples[group].append(sample(asked.directory, counts[group], group))
    for group in GROUPS:
        told.add(Figure(f"claim + acknowledge, {group} to a turn: CPU an order", samples[group], "us"))


if __name__ == "__main__":
    run("turns", options(__doc__ or ""), measure)
