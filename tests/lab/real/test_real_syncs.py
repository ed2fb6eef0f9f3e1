"""Sync before send, proven from the system calls of real processes, for every command that sends.

From the trace of a life tests/lab/real/written.py rebuilds what a power cut would leave at the first byte of each write
request; the request has to be on record there, byte for byte.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from oms.cli.groups import group
from oms.cli.root import COMMANDS
from tests.crash.lives import World
from tests.lab.real import strace
from tests.lab.real.strace import TracedLife, WaitingNursery
from tests.lab.real.written import CALLS, Disk, Proof, prove

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tracing")]

SETTINGS = {"submit__in_flight_horizon_s": "0.3", "submit__batch_size": "1"}
BATCHED = {**SETTINGS, "submit__batch_size": "3"}
CREATE = "CreateOrderV2"
# Runs oms with a ledger that does not wait for the disk, and believes that it does.
CARELESS = """
import sqlite3, sys
class Careless(sqlite3.Connection):
    def execute(self, statement, *values):
        if statement == "PRAGMA synchronous = EXTRA":
            return super().execute("PRAGMA synchronous = OFF")
        if statement == "PRAGMA synchronous":
            return super().execute("SELECT 3")
        return super().execute(statement, *values)
connect = sqlite3.connect
sqlite3.connect = lambda *args, **options: connect(*args, **{**options, "factory": Careless})
from oms.cli.entry import run
sys.exit(run(sys.argv[1:]))
"""


def bids(count: int, first_cent: int = 1) -> list[dict[str, Any]]:
    """Orders that rest."""
    cents = range(first_cent, first_cent + count)
    return [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in cents]


def have_one(world: World) -> None:
    """A ledger that has had a run."""
    placed = world.live("submit", world.file(bids(1, 40), "first.jsonl"))
    assert placed.code == 0, placed


def suffer(world: World, times: int, **fault: Any) -> None:
    match = {"operation": CREATE, "times": times}
    world.sandbox.control(faults=[{"match": match, "fault": fault}])


def have_queued(world: World) -> None:
    have_one(world)
    assert world.live("submit", world.file(bids(3)), at="after commit", nth=1).was_killed


def have_refused(world: World) -> None:
    body = '{"error": {"code": "invalid_order", "message": "not today"}}'
    suffer(world, 3, kind="answer", status=400, body=body)
    assert world.live("submit", world.file(bids(3)), "--batch", "refused").code == 5
    world.sandbox.control(faults=[])


def have_resting(world: World) -> None:
    assert world.live("submit", world.file(bids(3), "rest.jsonl")).code == 0


def have_group(world: World) -> None:
    have_one(world)
    assert world.live("group", "create", "--limit", "10", "--name", "g").code == 0


def have_lost(world: World) -> None:
    """Three requests that never arrived, of a process that is dead."""
    suffer(world, 3, kind="drop", commit=False)
    assert world.live("submit", world.file(bids(3)), at="after all bytes", nth=3).was_killed
    world.sandbox.control(faults=[])


@dataclass(frozen=True)
class Sender:
    """A command that sends, and how many write requests it has to send; {ID} in argv is an order, {IDS} all."""

    name: str
    argv: tuple[str, ...]
    sends: int
    rows: int = 0  # of a new file, added to argv
    prepare: Callable[[World], None] = have_one
    settings: dict[str, str] = field(default_factory=lambda: SETTINGS)


SENDERS = [
    Sender("the first order of a new ledger", ("submit",), 1, 1, lambda world: None),
    Sender("a batch, one by one", ("submit",), 4, 4),
    Sender("a batch in batched requests", ("submit",), 2, 6, settings=BATCHED),
    Sender("what was queued", ("submit",), 3, prepare=have_queued),
    Sender("a retry", ("submit", "--retry", "refused"), 3, prepare=have_refused),
    Sender("a cancel", ("cancel", "{IDS}"), 3, prepare=have_resting),
    Sender("a cancel of all in batched requests", ("cancel", "--all"), 1, prepare=have_resting, settings=BATCHED),
    Sender("a cancel of the account", ("cancel", "--account"), 3, prepare=have_resting),
    Sender("an amend", ("amend", "{ID}", "--price", "0.30"), 1, prepare=have_resting),
    Sender("a decrease", ("decrease", "{ID}", "--to", "0.50"), 1, prepare=have_resting),
    Sender("a halt that clears", ("halt", "--cancel"), 4, prepare=have_resting),
    Sender("a new group", ("group", "create", "--limit", "10", "--name", "g"), 1),
    Sender("a group's limit", ("group", "limit", "g", "5"), 1, prepare=have_group),
    Sender("a group's trigger", ("group", "trigger", "g"), 1, prepare=have_group),
    Sender("a group's reset", ("group", "reset", "g"), 1, prepare=have_group),
    Sender("a group's end", ("group", "delete", "g"), 1, prepare=have_group),
    Sender("what was proven absent", ("submit",), 3, prepare=have_lost),
    Sender("a reconcile, which only reads", ("reconcile",), 0, prepare=have_lost),
]
# Commands that write nothing to an exchange: they look, or stay on this machine.
SILENT = {
    *("withdraw", "orders", "why", "resolve", "unhalt", "groups", "breaks", "batches", "fills", "positions", "pnl"),
    *("balance", "settlements", "status", "limits", "markets", "export", "report", "config", "db", "verify", "doctor"),
    *("help", "group settle", "transfers"),
}
# Whose orders go to an exchange of their own, by lives of the commands above.
PLAY = {"demo", "lab", "sandbox"}


def argv_of(sender: Sender, world: World) -> Sequence[str | Path]:
    if sender.rows:
        return [*sender.argv, world.file(bids(sender.rows))]
    if "{IDS}" in sender.argv:
        return [*sender.argv[:-1], *ids(world)]
    return [ids(world)[0] if part == "{ID}" else part for part in sender.argv]


def ids(world: World) -> list[str]:
    told = world.live("orders", "-o", "jsonl")
    assert told.code == 0, told
    return [json.loads(line)["client_order_id"] for line in told.out.splitlines()]


def test_every_command_that_sends_is_proven() -> None:
    listed = {" ".join(each.argv[:2] if each.argv[0] == "group" else each.argv[:1]) for each in SENDERS}
    assert listed & (SILENT | PLAY) == set()
    assert listed | SILENT | PLAY == COMMANDS.keys() - {"group"} | {f"group {name}" for name in group.commands}


def proven(world: World, argv: Sequence[str | Path], run: Callable[..., TracedLife], **how: Any) -> Proof:
    disk = Disk(world.ledger.parent)
    life = run(world, argv, CALLS, **how)
    assert life.code == 0, life
    return prove(life.calls, disk)


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.name)
def test_no_request_leaves_before_its_record_is_synced(
    world_of: Callable[..., World],
    waiting: WaitingNursery,
    sender: Sender,
    record_property: Callable[[str, object], None],
) -> None:
    world = world_of(sender.settings, tier="unlimited")
    sender.prepare(world)

    def run(*args: Any) -> TracedLife:
        return strace.forked(args[0], waiting, *args[1:])

    proof = proven(world, argv_of(sender, world), run)
    assert proof == Proof(sender.sends, [])
    record_property("counted", f"sync before send, from a trace: {sender.name}: {proof.sends} requests")


def test_a_process_of_its_own_proves_the_same_and_one_that_does_not_sync_is_caught(
    world_of: Callable[..., World],
) -> None:
    world = world_of(BATCHED, tier="unlimited")
    have_one(world)
    assert proven(world, ["submit", world.file(bids(4))], strace.live) == Proof(2, [])
    careless = proven(world, ["submit", world.file(bids(4, 10))], strace.live, wrapper=CARELESS)
    assert careless.sends == 2
    assert len(careless.breaches) == 2


def test_a_folder_that_is_not_synced_is_caught(world_of: Callable[..., World], waiting: WaitingNursery) -> None:
    """The write-ahead log is made anew by each run: its name has to be on the disk too."""
    world = world_of(SETTINGS, tier="unlimited")
    have_one(world)
    disk, again = Disk(world.ledger.parent), Disk(world.ledger.parent)
    life = strace.forked(world, waiting, ["submit", world.file(bids(1))], CALLS)
    folder = str(world.ledger.parent)
    assert prove(life.calls, disk) == Proof(1, [])
    without = prove([call for call in life.calls if (call.name, call.path) != ("fdatasync", folder)], again)
    assert (without.sends, len(without.breaches)) == (1, 1)
