"""Faults that people make: rights, read-only places, edited rows, other versions of the program."""

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from oms.app import health
from tests.contract.shells import Shell
from tests.contract.worlds import World, row
from tests.crash import inspection
from tests.crash.lives import World as Lives

OLD = Path(__file__).parent / "ledgers"
ROWS = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in range(1, 41)]
NEEDS_MOUNT = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/proc/mounts").exists(), reason="LEFT OUT: mounting a small disk needs root"
)


@contextmanager
def mounted(at: Path, size: str) -> Iterator[None]:
    """A disk of that size."""
    at.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", at], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("LEFT OUT: this machine does not let root mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def remount(at: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", at], check=True)


@pytest.fixture
def lives(world_of: Callable[..., Lives]) -> Lives:
    settings = {"submit__in_flight_horizon_s": "0.3", "submit__batch_size": "1", "submit__concurrency": "2"}
    return world_of(settings, tier="unlimited")


@NEEDS_MOUNT
@pytest.mark.slow
@pytest.mark.fault(21)
@pytest.mark.parametrize("size", ["48k", "220k", "330k", "420k"])
def test_a_disk_that_is_full_refuses_or_stops_and_the_next_run_finishes(lives: Lives, size: str) -> None:
    disk = lives.directory / "ledger"
    with mounted(disk, size):
        life = lives.live("submit", lives.file(ROWS))
        assert life.code in (0, 1, 2, 3), life
        assert "Traceback" not in life.err
        posts = life.seams.count("before first byte")
        if lives.ledger.exists() and lives.ledger.stat().st_size:
            assert inspection.torn(lives.ledger, lives.exchange) == []
        else:
            assert posts == 0
        remount(disk, "size=64m")
        assert lives.live("submit", lives.file(ROWS)).code == 0
        assert inspection.problems(lives.ledger, lives.exchange, ["resting"] * len(ROWS)) == []
    assert size == "420k" or life.code


@NEEDS_MOUNT
@pytest.mark.slow
@pytest.mark.fault(27)
def test_a_ledger_on_a_read_only_disk_is_named_and_nothing_is_sent(lives: Lives) -> None:
    disk = lives.directory / "ledger"
    with mounted(disk, "16m"):
        assert lives.live("submit", lives.file(ROWS[:2])).code == 0
        remount(disk, "ro")
        posts = inspection.posts(lives.exchange)
        for words in (["submit", str(lives.file(ROWS[2:4], "more.jsonl"))], ["submit"], ["reconcile"]):
            life = lives.live(*words)
            assert life.code in (1, 2), life
            assert "Traceback" not in life.err
            assert str(lives.ledger) in life.err
        assert inspection.posts(lives.exchange) == posts
        remount(disk, "rw")
        assert lives.live("submit", lives.file(ROWS[2:4], "more.jsonl")).code == 0
        assert inspection.problems(lives.ledger, lives.exchange, ["resting"] * 4) == []


@pytest.mark.fault(37)
def test_a_ledger_that_others_may_read_is_pointed_out(shell: Shell) -> None:
    assert shell.submit([row()]).code == 0
    shell.ledger.chmod(0o644)
    told = shell.oms("doctor", "-o", "json")
    (found,) = [each for each in told.json["checks"] if each["name"] == "ledger"]
    assert (told.code, found["ok"], found["fix"]) == (7, False, f"chmod 600 {shell.ledger}")


@pytest.mark.fault(35)
@pytest.mark.parametrize("kind", ["nfs4", "cifs"])
def test_a_ledger_on_a_network_disk_is_pointed_out(
    own_world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(health, "_file_system", lambda folder: kind)
    with own_world.opened() as oms:
        (found,) = [each for each in oms.doctor() if each.name == "file system"]
    assert (found.ok, found.seen) == (False, kind)


@pytest.mark.slow
@pytest.mark.fault(86)
@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE orders SET price_e6 = 990000 WHERE status = 'pending'",
        "UPDATE commands SET state = 'queued', live = '' WHERE state = 'accepted'",
        "DELETE FROM events WHERE kind = 'claimed'",
        "UPDATE orders SET status = 'pending', order_id = NULL WHERE status = 'resting'",
    ],
    ids=["another price", "queued again", "events deleted", "as if never sent"],
)
def test_a_row_that_a_person_has_edited_sends_no_order_twice_nor_another_than_was_recorded(
    lives: Lives, edit: str
) -> None:
    killed = lives.live("submit", lives.file(ROWS[:6]), nth=4, at="after answer")
    assert killed.was_killed
    with closing(sqlite3.connect(lives.ledger)) as db, db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(edit)
    assert lives.live("db", "check").code == 7
    life = lives.live("submit", lives.file(ROWS[:6]))
    assert "Traceback" not in life.err
    there = lives.sandbox.orders()
    assert len({order["client_order_id"] for order in there}) == len(there) <= 6
    prices = [order["price_e4"] for order in there]
    assert len(set(prices)) == len(prices)
    assert set(prices) <= {100 * n for n in range(1, 7)}
    assert lives.live("db", "check").code == 7
