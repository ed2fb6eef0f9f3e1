"""A halt holds by a row or by a file, whatever else is broken, and stops the very next claim."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import NOW_US, acknowledged, claimed, entries, opened, recorded, running, tell

from oms.errors import LedgerFailed
from oms.ledger import queries
from oms.ledger.backup import backup
from oms.ledger.changes import record_cancels
from oms.ledger.claim import Desk, Now, Scope
from oms.ledger.halt import HaltFile, halt_path, lift_path
from oms.ledger.ledger import Ledger
from oms.ledger.restore import restore
from oms.lifecycle.states import CommandKind

NOW = Now(NOW_US, NOW_US // 1000)


def rows(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT name, reason FROM controls").fetchall()


def test_a_run_lays_out_the_file_that_a_halt_needs(ledger: Ledger) -> None:
    ready = HaltFile(ledger.path).ready
    assert ready.stat().st_size == 1024
    assert stat.S_IMODE(ready.stat().st_mode) == 0o600


def test_a_halt_is_a_row_and_a_file_and_is_told_with_its_reason(path: Path, ledger: Ledger) -> None:
    halted, problem = halt_path(path, "fat finger", NOW_US)
    assert (halted.reason, problem) == ("fat finger", "")
    assert rows(path) == [("halt", "fat finger")]
    assert HaltFile(path).read() == halted
    assert not HaltFile(path).ready.exists()
    assert queries.halt_reason(ledger) == "fat finger"


@pytest.mark.parametrize("only", ["row", "file"])
def test_either_alone_stops_the_next_claim_of_a_run_that_is_under_way(path: Path, ledger: Ledger, only: str) -> None:
    recorded(ledger, 3)
    desk = Desk(ledger, Scope(), at_once=False)
    assert len(desk.turn([], 1, NOW).claimed) == 1
    halt_path(path, "stop", NOW_US)
    if only == "row":
        os.unlink(HaltFile(path).path)
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute("DELETE FROM controls")
            database.commit()
    turn = desk.turn([], 2, NOW)
    assert (turn.claimed, turn.is_halted) == ((), True)
    assert queries.halt_reason(ledger) == "stop"


def test_a_cancel_is_claimed_all_the_same_by_a_run_that_only_cancels(path: Path, ledger: Ledger) -> None:
    recorded(ledger, 2)
    resting, _ = entries(ledger, 2)
    on_wire = tell(ledger, [(resting, claimed(resting))])[resting.command_key]
    tell(ledger, [(on_wire, acknowledged(resting))])
    record_cancels(ledger, [resting.order_key], NOW_US)
    halt_path(path, "stop", NOW_US)
    assert Desk(ledger, Scope(), at_once=False).turn([], 4, NOW).claimed == ()
    despite = Desk(ledger, Scope(creates=False, despite_halt=True), at_once=False)
    assert despite.has_claimable()
    assert [x.command.kind for x in despite.turn([], 4, NOW).claimed] == [CommandKind.CANCEL]
    assert not despite.has_claimable()


def test_a_second_halt_leaves_the_first_and_its_reason(path: Path, ledger: Ledger) -> None:
    halt_path(path, "first", NOW_US)
    assert halt_path(path, "second", NOW_US + 5)[0].reason == "first"
    assert rows(path) == [("halt", "first")]


def test_lifting_takes_away_both_and_lays_the_file_out_again(path: Path, ledger: Ledger) -> None:
    recorded(ledger, 1)
    halt_path(path, "stop", NOW_US)
    assert lift_path(path) == (True, "")
    assert rows(path) == []
    assert HaltFile(path).ready.read_bytes().strip() == b""
    assert len(Desk(ledger, Scope(), at_once=False).turn([], 1, NOW).claimed) == 1
    assert lift_path(path) == (False, "")
    assert halt_path(path, "again", NOW_US)[0].reason == "again"


def test_it_works_while_another_process_writes_and_never_lets_go(path: Path, ledger: Ledger) -> None:
    with ledger.write():
        halted, problem = halt_path(path, "stop", NOW_US)
    assert halted.reason == "stop"
    assert "locked" in problem
    assert HaltFile(path).is_set()
    lift_path(path)
    with ledger.locks.gate:
        assert halt_path(path, "stop", NOW_US)[1] == "another process holds the ledger"
    assert HaltFile(path).is_set()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500])
def test_it_works_on_a_ledger_that_cannot_be_read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    halted, problem = halt_path(path, "stop", NOW_US)
    assert halted.reason == "stop"
    assert problem
    assert HaltFile(path).is_set()


def test_it_works_where_there_is_no_ledger_yet_and_the_first_run_finds_it(path: Path) -> None:
    assert halt_path(path, "stop", NOW_US)[1] == "there is no ledger"
    with closing(running(path)) as ledger:
        recorded(ledger, 1)
        assert Desk(ledger, Scope(), at_once=False).turn([], 1, NOW).is_halted
        assert not HaltFile(path).ready.exists()


def test_the_ready_file_makes_it_work_where_nothing_new_can_be_made(
    path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def full(name: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(28, "No space left on device")
        return real(name, flags, mode)

    monkeypatch.setattr("os.open", full)
    assert HaltFile(path).set("stop", NOW_US).reason == "stop"
    assert HaltFile(path).read() == HaltFile(path).set("other", NOW_US)
    HaltFile(path).lift()
    os.unlink(HaltFile(path).ready)
    with pytest.raises(LedgerFailed, match="No space left"):
        HaltFile(path).set("stop", NOW_US)


def test_a_file_put_there_by_hand_halts_too(path: Path, ledger: Ledger) -> None:
    HaltFile(path).path.touch()
    recorded(ledger, 1)
    assert Desk(ledger, Scope(), at_once=False).turn([], 1, NOW).is_halted
    assert "is there" in (queries.halt_reason(ledger) or "")


def test_the_row_goes_with_a_copy_and_the_file_stays_with_its_path(path: Path, tmp_path: Path) -> None:
    with closing(opened(path)) as ledger:
        recorded(ledger, 1)
    halt_path(path, "stop", NOW_US)
    copy, elsewhere = tmp_path / "copy.sqlite3", tmp_path / "other" / "ledger.sqlite3"
    backup(path, copy)
    restore(copy, elsewhere, "sandbox", now_us=NOW_US)
    assert (rows(elsewhere), HaltFile(elsewhere).is_set()) == ([("halt", "stop")], False)
    lift_path(path)
    clean = tmp_path / "clean.sqlite3"
    backup(path, clean)
    halt_path(path, "again", NOW_US)
    restore(clean, path, "sandbox", now_us=NOW_US)
    assert (rows(path), HaltFile(path).is_set()) == ([], True)


def test_nothing_but_cancels_is_claimed_while_a_cancel_all_may_take_it_along(ledger: Ledger) -> None:
    recorded(ledger, 2)
    with ledger.write() as connection:
        queries.set_watermark(connection, "cancel_all_tail", NOW.signed_ms + 1_000, NOW_US)
    desk = Desk(ledger, Scope(), at_once=False)
    turn = desk.turn([], 2, NOW)
    assert (turn.claimed, turn.is_halted) == ((), False)
    assert desk.has_claimable()
    later = Now(NOW_US + 2_000_000, NOW.signed_ms + 2_000)
    assert len(desk.turn([], 2, later).claimed) == 2
