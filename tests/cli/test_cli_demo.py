"""The demo proves what it says: PASS where ledger and exchange agree, FAIL where a duplicate or a loss is planted."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_fake import Cli

from oms.cli import playground
from oms.cli.playground import Finished, Playground
from oms.lab.judge import judge

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parent.parent.parent

STORY = """\
sandbox   an exchange on this machine, seed 7: no account, no real money
submit    20 orders; for 3 of them the exchange drops the connection
crash     SIGKILL to oms when 12 requests had reached the exchange
restart   ledger: 20 intents, 6 confirmed, 10 in doubt, 4 not sent yet
resolve   10 in doubt: 4 found live, 6 never arrived (sent again, same id)
again     the same file once more: 20 known, 0 placed
"""


@dataclass(frozen=True)
class Played:
    """One demo as it was played, and the directory it was played in."""

    code: int
    out: str
    err: str
    directory: Path

    @property
    def place(self) -> Path:
        return self.directory / ".oms-demo"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The demo, played once by a real process whose environment would lead it elsewhere if it listened to it."""
    directory = tmp_path_factory.mktemp("demo")
    misleading = {"OMS_ENVIRONMENT": "prod", "OMS_LEDGER__URL": "sqlite:////nowhere/ledger.sqlite3"}
    done = subprocess.run(
        [sys.executable, "-m", "oms", "demo"],
        cwd=directory,
        env={**os.environ, **misleading, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Played(done.returncode, done.stdout, done.stderr, directory)


def test_the_demo_passes_and_tells_its_story(played: Played) -> None:
    assert (played.code, played.err) == (0, "")
    assert played.out.startswith(STORY)
    assert re.search(r"^PASS in \d+\.\d s$", played.out, re.MULTILINE)
    assert max(map(len, played.out.split("next:")[0].splitlines())) <= 80
    assert [path.name for path in played.directory.iterdir()] == [".oms-demo"]


def test_the_demo_leaves_no_process_behind(played: Played) -> None:
    deadline = time.monotonic() + 10
    while playground.running(played.place / "sandbox") is not None:
        assert time.monotonic() < deadline


def plant_duplicate(exchange: Path) -> None:
    columns = "order_id, user_id, client_order_id, ticker, side, count_e2, price_e4, subaccount, exchange_index"
    with closing(sqlite3.connect(exchange)) as database:
        seq = database.execute("SELECT MAX(seq) + 1 FROM placed").fetchone()[0]
        source = database.execute("SELECT MAX(seq) FROM placed").fetchone()[0]
        database.execute(
            f"INSERT INTO placed (seq, {columns}, created_us, ticket)"
            f" SELECT ?, {columns}, created_us, ticket FROM placed WHERE seq = ?",
            (seq, source),
        )
        names = [row[1] for row in database.execute("PRAGMA table_info(versions)")][1:]
        database.execute(
            f"INSERT INTO versions SELECT ?, {', '.join(names)} FROM versions WHERE seq = ?", (seq, source)
        )
        database.commit()


def plant_loss(exchange: Path) -> None:
    with closing(sqlite3.connect(exchange)) as database:
        database.execute("DELETE FROM placed WHERE seq = (SELECT MAX(seq) FROM placed)")
        database.commit()


@pytest.mark.parametrize(("plant", "finding"), [(plant_duplicate, "duplicate: 2 orders"), (plant_loss, "lost: ")])
def test_the_judge_sees_what_is_planted_in_the_real_files(
    played: Played, tmp_path: Path, plant: Callable[[Path], None], finding: str
) -> None:
    copy = Playground(Path(shutil.copytree(played.place, tmp_path / "copy")))
    assert judge(copy.ledger, copy.exchange, is_settled=True) == []
    plant(copy.exchange)
    assert judge(copy.ledger, copy.exchange, is_settled=True)[0].sentence.startswith(finding)


def test_a_demo_over_the_last_one_fails_where_a_duplicate_is_planted(
    cli: Cli, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Playground.oms

    def with_a_duplicate(self: Playground, *words: str) -> Finished:
        finished = honest(self, *words)
        if words == ("reconcile",):
            plant_duplicate(self.exchange)
        return finished

    monkeypatch.setattr(Playground, "oms", with_a_duplicate)
    monkeypatch.chdir(played.directory)
    result = cli("demo", "--json")
    assert (result.code, result.json["ok"], result.json["verdict"]) == (1, False, "FAIL")
    assert result.json["findings"][0].startswith("duplicate: 2 orders at the exchange under")
    assert result.json["error"]["message"] == result.json["findings"][0]
    assert (result.json["intents"], result.json["exchange_orders"], result.json["never_arrived"]) == (20, 21, 6)


def test_a_step_that_fails_makes_the_demo_fail(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Playground) -> list[str]:
        raise playground.DemoFailed("`oms submit` ended with exit code 3")

    monkeypatch.setattr(Playground, "preview", broken)
    monkeypatch.chdir(tmp_path)
    result = cli("demo")
    assert result.code == 1
    assert "wrong     `oms submit` ended with exit code 3" in result.out
    assert "\nFAIL in " in result.out
    assert "PASS" not in result.out


def test_a_directory_of_somebody_else_is_left_alone(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / ".oms-demo" / "precious.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    monkeypatch.chdir(tmp_path)
    result = cli("demo")
    assert result.code == 6
    assert "holds other files" in result.err
    assert [path.name for path in mine.parent.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("words", [("--env", "prod", "demo"), ("demo", "--config", "x.toml")])
def test_the_demo_takes_no_other_exchange(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli(*words).code == 2
