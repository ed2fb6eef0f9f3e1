"""Every question that is asked while orders are sent is answered from an index, however much is stored."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import NOW_US, acknowledged, claimed, entries, recorded, running, tell

from oms.errors import UnknownOrder
from oms.ledger import engine, listing, queries, schema, strangers
from oms.ledger.changes import record_cancels
from oms.ledger.claim import Desk, Now, Scope, open_run, withdraw_expired
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e

SETTLED = 100_000
LARGE = ("orders", "commands", "events", "fills", "strangers")
NOW = Now(NOW_US, NOW_US // 1000)


def settle_many(path: Path) -> None:
    """A hundred thousand orders that have ended, copied from one that came their whole way."""
    with closing(running(path)) as ledger:
        recorded(ledger, 1, "old")
        entry = entries(ledger, 1, "old")[0]
        tell(ledger, [(entry, claimed(entry)), (entry, acknowledged(entry, entry.order.count_e2))])
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TEMP TABLE series (i)")
        db.executemany("INSERT INTO series VALUES (?)", ((i,) for i in range(1, SETTLED + 1)))
        changed = {
            "orders": {
                "key": "key + i",
                "client_order_id": "'old-' || (i + 1)",
                "row": "i + 1",
                "order_id": "'o' || i",
            },
            "commands": {"key": "key + i", "order_key": "order_key + i", "recorded_seq": "recorded_seq + 3 * i"},
            "events": {"seq": "seq + 3 * i", "order_key": "order_key + i", "command_key": "command_key + i"},
        }
        for table, changes in changed.items():
            columns = [column.name for column in schema.metadata.tables[table].columns]
            values = ", ".join(changes.get(name, f'"{name}"') for name in columns)
            names = ", ".join(f'"{name}"' for name in columns)
            db.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}, series")
        db.commit()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large ledger with a few unfinished commands of every sort."""
    path = tmp_path_factory.mktemp("large") / "ledger.sqlite3"
    settle_many(path)
    with closing(running(path)) as ledger:
        recorded(ledger, 12, "new")
        doubtful, resting, waiting, *_ = entries(ledger, 12, "new")
        for entry in (doubtful, resting):
            tell(ledger, [(entry, claimed(entry))])
        tell(ledger, [(doubtful, e.AttemptUnknown(attempt=1, why="no_answer")), (resting, acknowledged(resting))])
        record_cancels(ledger, [x.order_key for x in (doubtful, resting, waiting)], NOW_US)
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "INSERT INTO strangers SELECT client_order_id || 'x', substr(hex(key), 1, 14), 'o', 1, NULL FROM orders"
        )
        db.commit()
    return path


class Traced:
    """A ledger whose every statement is written down as it is executed."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        real = engine._connect

        def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
            connection = real(path, writable=writable)
            connection.set_trace_callback(self.statements.append)
            return connection

        patch.setattr(engine, "_connect", connect)
        self.ledger = running(path)
        self.statements.clear()

    def plans(self) -> Iterator[tuple[str, str]]:
        """(statement, step of its plan) for all that were executed."""
        with closing(sqlite3.connect(self.ledger.path)) as db:
            for statement in self.statements:
                if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "WITH"):
                    for row in db.execute(f"EXPLAIN QUERY PLAN {statement}"):
                        yield statement, str(row[3])


@pytest.fixture
def traced(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    traced = Traced(path, monkeypatch)
    with closing(traced.ledger):
        yield traced


def two_turns(ledger: Ledger) -> None:
    desk = Desk(ledger, Scope(), at_once=True)
    claimed_now = desk.turn([], 3, NOW).claimed
    answers = [(entry, e.NotProcessed(attempt=entry.command.attempts, why="stopped")) for entry in claimed_now]
    desk.turn(answers, 0, NOW)
    desk.has_claimable()


def hold_back(ledger: Ledger) -> None:
    with ledger.write() as connection:
        strangers.hold_back(connection, 2, bytes(32), NOW_US)


HOT: dict[str, Callable[[Ledger], object]] = {
    "two turns of the writer": two_turns,
    "the start of a run": lambda ledger: open_run(ledger, NOW_US),
    "withdrawing what expired": lambda ledger: withdraw_expired(ledger, NOW_US),
    "totals": queries.totals,
    "doubts": queries.doubts,
    "what rests": queries.resting,
    "witnesses of a minute": lambda ledger: queries.witnesses(ledger, NOW.signed_ms + 10, NOW.signed_ms + 60_000),
    "creates by their ids": lambda ledger: queries.creates_of(ledger, [f"old-{n}" for n in range(1, 500)]),
    "creates by order_id": lambda ledger: queries.creates_by_order_id(ledger, ["o1", "o2"]),
    "cancels asked for": lambda ledger: queries.cancels_asked(ledger, [1, 2]),
    "whether commands are finished": lambda ledger: queries.are_unfinished(ledger, [1, 2]),
    "an order by its name": lambda ledger: queries.entry_named(ledger, "old-77"),
    "filled orders whose trades are missing": lambda ledger: queries.untraded(ledger, 21),
    "known trades": lambda ledger: queries.known_trades(ledger, ["a", "b"]),
    "the newest order": queries.newest_order_id,
    "batches with something to send": queries.queued_batches,
    "orders of a lost ledger's retries": lambda ledger: strangers.unknown_retries(ledger, bytes(32)),
    "whether a lost ledger has retried": lambda ledger: strangers.has_retry(ledger, bytes(32), 1),
    "what was seen before it was recorded": hold_back,
    "what of a batch is unfinished": lambda ledger: listing.unfinished_of(ledger, (2,)),
    "what is unfinished": lambda ledger: listing.unfinished_of(ledger, None),
    "the oldest queued": listing.oldest_queued_us,
    "the oldest in doubt": listing.oldest_doubt_us,
    "one page of orders": lambda ledger: list(
        listing.order_rows(ledger, listing.Filter(), newest_first=True, limit=100)
    ),
    "orders in doubt": lambda ledger: list(
        listing.order_rows(ledger, listing.Filter(in_doubt=True), newest_first=True, limit=100)
    ),
    "one order's history": lambda ledger: listing.event_rows(ledger, 5),
}
# An index that is walked from one end, or whose entries are all wanted.
WALKED = ("ix_commands_unfinished", "ix_orders_resting", "ix_orders_created_ts_ms", "ix_orders_untraded")


@pytest.mark.fault(38)
@pytest.mark.parametrize("what", HOT)
def test_a_hot_question_is_answered_from_an_index(traced: Traced, what: str) -> None:
    HOT[what](traced.ledger)
    assert traced.statements
    for statement, step in traced.plans():
        if step.startswith("SCAN"):
            table = step.split()[1]
            is_walk = any(name in step for name in WALKED) or (
                table in ("orders", "strangers") and " LIMIT " in statement
            )
            assert table not in LARGE or is_walk, f"{step}\nin {statement}"


@pytest.mark.parametrize(
    "what",
    [
        "two turns of the writer",
        "the start of a run",
        "withdrawing what expired",
        "totals",
        "doubts",
        "orders in doubt",
    ],
)
def test_a_question_about_unfinished_commands_uses_their_partial_index(traced: Traced, what: str) -> None:
    HOT[what](traced.ledger)
    assert any("ix_commands_unfinished" in step for _, step in traced.plans())


def test_a_question_that_hides_the_list_of_states_would_be_noticed(traced: Traced) -> None:
    """The list has to be literal: bound, or cut down to one state, it hides the partial index from the planner."""
    with closing(sqlite3.connect(traced.ledger.path)) as db:
        plan = str(db.execute("EXPLAIN QUERY PLAN SELECT key FROM commands WHERE state = 'queued'").fetchall())
    assert "SCAN" in plan


# -- names


def test_an_order_answers_to_its_ids_and_to_the_start_of_one_that_is_its_alone(tmp_path: Path) -> None:
    with closing(running(tmp_path / "ledger.sqlite3")) as ledger:
        recorded(ledger, 12, "abcdefgh")
        entry = entries(ledger, 1, "abcdefgh")[0]
        tell(ledger, [(entry, claimed(entry)), (entry, acknowledged(entry))])
        for name in ("abcdefgh-1", "at-abcdefgh-1"):
            assert queries.entry_named(ledger, name).client_order_id == "abcdefgh-1", "though abcdefgh-10 begins so too"
        assert queries.entry_named(ledger, "at-abcdef").client_order_id == "abcdefgh-1"
        with pytest.raises(UnknownOrder, match="fits several orders: abcdefgh-"):
            queries.entry_named(ledger, "abcdefgh")
        for name in ("abcdefgh-1x", "abcdefg", "%", "________", "abcdefgh_1", ""):
            with pytest.raises(UnknownOrder, match="no order of this ledger is called"):
                queries.entry_named(ledger, name)


# -- lists


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [None, 1, 499, 500, 501, 700])
def test_a_list_is_whole_in_order_and_of_its_batch_alone(path: Path, newest_first: bool, limit: int | None) -> None:
    with closing(running(path)) as ledger:
        for wanted, most in ((listing.Filter(batch_keys=(1,)), SETTLED + 1), (listing.Filter(batch_keys=(2,)), 12)):
            at_most = limit if limit is not None else 1_200
            found = [
                row._mapping for row in listing.order_rows(ledger, wanted, newest_first=newest_first, limit=at_most)
            ]
            assert len(found) == min(most, at_most)
            assert {row["batch_key"] for row in found} == set(wanted.batch_keys or ())
            rows = [row["row"] for row in found]
            first = most if newest_first else 1
            assert rows == list(range(first, first - len(rows), -1) if newest_first else range(1, len(rows) + 1))


def test_what_is_still_being_recorded_is_in_no_list(tmp_path: Path) -> None:
    with closing(running(tmp_path / "ledger.sqlite3")) as ledger:
        recorded(ledger, 3, "a")
        recorded(ledger, 3, "b")
        with ledger.write() as connection:
            connection.exec_driver_sql("UPDATE batches SET state = 'recording' WHERE name = 'b'")
        listed = listing.order_rows(ledger, listing.Filter(), newest_first=True, limit=None)
        assert [row._mapping["client_order_id"] for row in listed] == ["a-3", "a-2", "a-1"]
        assert listing.counts_all(ledger) == {"pending": 3}
        assert queries.totals(ledger).queued == 3
        assert queries.creates_of(ledger, ["b-1"]) == {}
        with pytest.raises(UnknownOrder):
            queries.entry_named(ledger, "b-1")
