"""Faults of the ledger's files: half of a checkpoint, flipped bits, a WAL that is gone or another's, a lying disk."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oms.errors import LedgerForeign, OmsError
from oms.ledger.check import check, check_tail
from oms.ledger.lock import Lock
from tests.crash import inspection
from tests.crash.lives import Life, World, wait_for
from tests.ledger.ledgers import opened, recorded, running, used

PAGE = 4096
TABLES = ("commands", "orders", "events", "fills")
TIMES = ("created_at_us", "updated_at_us")
SETTINGS = {"submit__in_flight_horizon_s": "1.3", "submit__concurrency": "2", "submit__batch_size": "1"}
BEFORE = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": "0.30", "count": "1"}]
ROWS = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in range(1, 7)]


def content(path: Path) -> list[Any]:
    """All that a ledger knows of orders; but for when rows were made and touched, which nothing is concluded from."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        rows = [dict(row) for table in TABLES for row in db.execute(f"SELECT * FROM {table} ORDER BY 1")]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def files(path: Path) -> tuple[bytes, bytes]:
    """The database and its write-ahead log, as they lie there."""
    wal = Path(f"{path}-wal")
    return path.read_bytes(), wal.read_bytes() if wal.exists() else b""


def laid(directory: Path, database: bytes, wal: bytes) -> Path:
    """A ledger that consists of these bytes."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    path = directory / "ledger.sqlite3"
    path.write_bytes(database)
    Path(f"{path}-wal").write_bytes(wal)
    return path


def complaints(path: Path) -> list[str]:
    """What a start and the whole check say about a ledger."""
    try:
        with closing(opened(path, create=False)) as ledger:
            check_tail(ledger)
            return [each.name for each in check(ledger) if not each.ok]
    except OmsError as exc:
        return [exc.code]


# -- in the middle of a checkpoint


@pytest.fixture
def checkpointed(tmp_path: Path) -> tuple[Path, bytes, bytes, bytes, bytes]:
    """A ledger: its two files before a checkpoint, the database after it, the WAL after the commit that follows."""
    path = tmp_path / "ledger.sqlite3"
    with closing(used(path, 60)) as ledger:
        database, wal = files(path)
        ledger.tend(idle=True)
        after, _ = files(path)
        recorded(ledger, 3, "next")
        _, next_wal = files(path)
    assert database != after
    return path, database, wal, after, next_wal


@pytest.mark.fault(9)
def test_killed_at_any_write_of_a_checkpoint_the_ledger_holds_all(
    tmp_path: Path, checkpointed: tuple[Path, bytes, bytes, bytes, bytes]
) -> None:
    """Pages are written one by one while the WAL stays: any of them may have been written."""
    _, database, wal, after, _ = checkpointed
    want = content(laid(tmp_path / "want", database, wal))
    pages = [at for at in range(0, len(after), PAGE) if database[at : at + PAGE] != after[at : at + PAGE]]
    assert len(pages) > 10
    luck = random.Random(9)
    written = [pages[:count] for count in range(len(pages) + 1)]
    written += [luck.sample(pages, luck.randrange(len(pages))) for _ in range(20)]
    for some in written:
        state = bytearray(database)
        for at in some:
            state.extend(bytes(max(0, at + PAGE - len(state))))
            state[at : at + PAGE] = after[at : at + PAGE]
        path = laid(tmp_path / "state", bytes(state), wal)
        assert complaints(path) == []
        assert content(path) == want


@pytest.mark.fault(9, 29)
def test_killed_while_the_log_begins_anew_the_ledger_holds_all_that_was_committed(
    tmp_path: Path, checkpointed: tuple[Path, bytes, bytes, bytes, bytes]
) -> None:
    """The first commit after a checkpoint overwrites the log from its start; it may be cut anywhere."""
    _, _, wal, after, next_wal = checkpointed
    want = content(laid(tmp_path / "want", after, b""))
    whole = content(laid(tmp_path / "whole", after, next_wal))
    assert whole != want
    luck = random.Random(9)
    seen = set()
    for cut in sorted({0, 16, 32, 40, len(next_wal), *(luck.randrange(len(next_wal)) for _ in range(40))}):
        path = laid(tmp_path / "state", after, next_wal[:cut] + wal[cut:])
        assert complaints(path) == []
        found = content(path)
        assert found in (want, whole)
        seen.add(found == whole)
    assert seen == {False, True}


# -- damage


@pytest.fixture
def settled(tmp_path: Path) -> Path:
    """A ledger at rest: one file."""
    path = tmp_path / "settled.sqlite3"
    used(path, 24).close()
    return path


def harms(database: bytes) -> Iterator[tuple[str, bytes]]:
    """The file with a bit flipped, a page zeroed, or its end cut off."""
    luck = random.Random(29)
    for page in range(0, len(database), PAGE):
        for _ in range(3):
            at, bit = page + luck.randrange(PAGE), luck.randrange(8)
            yield f"bit {bit} of byte {at}", database[:at] + bytes([database[at] ^ (1 << bit)]) + database[at + 1 :]
        yield f"zeros at {page}", database[:page] + bytes(PAGE) + database[page + PAGE :]
        yield f"cut to {page}", database[:page]


@pytest.mark.fault(29)
def test_damage_anywhere_is_noticed_or_without_effect(tmp_path: Path, settled: Path) -> None:
    database, wal = files(settled)
    assert wal == b""
    want = content(laid(tmp_path / "want", database, b""))
    quiet = 0
    for what, harmed in harms(database):
        path = laid(tmp_path / "state", harmed, b"")
        if not complaints(path):
            quiet += 1
            assert content(path) == want, what
    assert quiet < len(database) // PAGE * 3, "most of the file means something"


@pytest.mark.fault(28)
@pytest.mark.parametrize("revisions", [[], ["0001", "0002"]], ids=["none", "two"])
def test_a_ledger_with_no_or_two_revisions_is_refused_and_left_as_it_is(settled: Path, revisions: list[str]) -> None:
    with closing(sqlite3.connect(settled)) as db, db:
        db.execute("DELETE FROM alembic_version")
        db.executemany("INSERT INTO alembic_version VALUES (?)", [(each,) for each in revisions])
    with closing(sqlite3.connect(settled)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = settled.read_bytes()
    with pytest.raises(LedgerForeign, match="schema revisions; a ledger has one"):
        opened(settled)
    assert settled.read_bytes() == before


@pytest.mark.fault(39)
def test_a_checkpoint_and_a_recording_of_two_processes_never_overlap(tmp_path: Path) -> None:
    """SQLite before 3.51.3 can corrupt a WAL that one connection checkpoints while another commits: hence the gate."""
    path = tmp_path / "ledger.sqlite3"
    gate = Lock(path, ".gate")
    with closing(running(path)) as ledger:
        recorded(ledger, 20)
        ledger._commits = 10_000  # a checkpoint is due
        with gate:
            before = path.read_bytes()
            ledger.tend()
            assert path.read_bytes() == before, "a checkpoint passed the gate"
        ledger.tend()
        assert path.read_bytes() != before
        taken: list[bool] = []
        real = ledger.write

        def write() -> Any:
            taken.append(gate.acquire(0))
            return real()

        ledger.write = write  # type: ignore[method-assign]
        recorded(ledger, 3, "more")
        assert taken
        assert not any(taken), "a recording passed the gate"


# -- with an exchange


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    return world_of(SETTINGS, tier="unlimited", skew_s=1, dedupe="open_only")


def kept(world: World) -> dict[str, bytes]:
    names = [name for name in ("", "-wal", ".mark") if Path(f"{world.ledger}{name}").exists()]
    return {name: Path(f"{world.ledger}{name}").read_bytes() for name in names}


def put(world: World, kept: dict[str, bytes]) -> None:
    """Write the files over in place: their inodes stay."""
    for name in ("-wal", "-shm"):
        Path(f"{world.ledger}{name}").unlink(missing_ok=True)
    for name, data in kept.items():
        Path(f"{world.ledger}{name}").write_bytes(data)


def killed_in_mid_batch(world: World) -> None:
    life = world.live("submit", world.file(ROWS), nth=4, at="after all bytes")
    assert life.was_killed
    world.sandbox.control()


def finished(world: World, life: Life, rows: int = len(ROWS)) -> None:
    assert life.code == 0, life
    assert inspection.problems(world.ledger, world.exchange, ["resting"] * rows) == [], life
    assert len(world.sandbox.orders()) == rows


@pytest.mark.slow
@pytest.mark.fault(17)
def test_what_a_lying_disk_has_lost_is_told_and_not_sent_again(world: World) -> None:
    """After a power cut everything written since some moment is gone, the mark as well, and nobody was told."""
    assert world.live("submit", world.file(ROWS[:2], "first.jsonl")).code == 0
    had = kept(world)
    assert world.live("submit", world.file(ROWS[2:], "lost.jsonl")).code == 0
    put(world, had)
    told = world.live("reconcile", "-o", "json")
    assert json.loads(told.out)["external"] == len(ROWS) - 2, told
    assert "lost, copied or restored" in told.err
    posts = inspection.posts(world.exchange)
    again = world.live("submit", world.file(ROWS[2:], "lost.jsonl"))
    assert again.code == 0, again
    seen = inspection.facts(world.ledger, world.exchange)
    assert [*inspection.once(seen), *inspection.agreement(seen), *inspection.unfinished(seen)] == []
    assert inspection.posts(world.exchange) == posts


@pytest.mark.slow
@pytest.mark.fault(30)
@pytest.mark.parametrize("harm", ["no wal", "cut wal", "another's wal", "old file"])
def test_a_log_that_is_gone_or_anothers_places_nothing_twice(world: World, tmp_path: Path, harm: str) -> None:
    """Once the run was killed; what then does not fit together is refused, or known from the account."""
    assert world.live("submit", world.file(BEFORE, "first.jsonl")).code == 0
    old = kept(world)
    killed_in_mid_batch(world)
    wal = Path(f"{world.ledger}-wal")
    assert wal.stat().st_size > 0
    if harm == "no wal":
        wal.unlink()
    elif harm == "cut wal":
        wal.write_bytes(wal.read_bytes()[: -PAGE // 2])
    elif harm == "another's wal":
        other = used(tmp_path / "other.sqlite3", 30)
        wal.write_bytes(Path(f"{other.path}-wal").read_bytes())
        other.close()
    else:
        world.ledger.write_bytes(old[""])
    Path(f"{world.ledger}-shm").unlink(missing_ok=True)
    posts, there = inspection.posts(world.exchange), len(world.sandbox.orders())
    life = world.live("submit", world.file(ROWS))
    if life.code in (1, 2, 3):  # 3: damage was met, and what the run had sent before is not settled
        assert inspection.posts(world.exchange) == posts
        assert len(world.sandbox.orders()) == there
        assert "Traceback" not in life.err
        shutil.rmtree(world.ledger.parent)
        life = world.live("submit", world.file(ROWS))
        expected = len(ROWS)
        assert life.code == 0, life
        ours = inspection.facts(world.ledger, world.exchange)
        assert list(inspection.unfinished(ours)) == []
        assert len(ours.orders) == expected
    else:
        assert life.code == 0, life
    names = [order["client_order_id"] for order in world.sandbox.orders()]
    assert len(names) == len(set(names)) == len(ROWS) + 1


@pytest.mark.slow
@pytest.mark.fault(36, 86)
def test_a_ledger_that_another_program_has_vacuumed_is_the_same(world: World) -> None:
    killed_in_mid_batch(world)
    with closing(sqlite3.connect(world.ledger)) as db:
        db.execute("VACUUM")
    finished(world, world.live("submit", world.file(ROWS)))
    assert world.live("db", "check").code == 0


@pytest.mark.slow
@pytest.mark.fault(25, 36)
def test_a_write_lock_of_another_shell_delays_and_loses_nothing(world: World) -> None:
    """It is taken while requests are under way and held until their answers have come back."""
    assert world.live("submit", world.file(BEFORE, "first.jsonl")).code == 0
    slow = {"match": {"operation": "CreateOrderV2", "nth": 1, "times": 2}, "fault": {"kind": "delay", "ms": 500}}
    world.sandbox.control(faults=[slow])
    living = world.begin("submit", world.file(ROWS))
    wait_for(lambda: living.seams().count("after all bytes") >= 2)
    with closing(sqlite3.connect(world.ledger, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        commits = living.seams().count("after commit")
        wait_for(lambda: living.seams().count("after answer") >= 2)
        # What was claimed before goes out; nothing new is committed, so nothing new is sent.
        assert living.seams().count("after commit") - commits <= 1
        assert living.seams().count("after all bytes") <= 4
        shell.execute("COMMIT")
    finished(world, living.end(), len(ROWS) + 1)
    assert inspection.posts(world.exchange) == len(ROWS) + 1
