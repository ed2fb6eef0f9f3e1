"""`oms verify`: what it says, on which stream, with which exit code; and that it changes nothing."""

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_fake import Cli

from oms.cli import answer
from oms.sandbox.launch import Running, launch
from oms.sandbox.options import STATE_FILE, ServeOptions

TICKER = "SBXRAIN-A-T10"
ROWS = f"ticker,action,side,count,price\n{TICKER},buy,yes,3,0.95\n{TICKER},buy,no,4,0.03\n{TICKER},buy,yes,1,0.02\n"
FLAGS = ("--ticker", TICKER, "--action", "buy", "--side", "yes", "--count", "1", "--price", "0.95")
HOSTILE = "\x1b[31m=1+1\n<b>\u202e"


@dataclass(frozen=True, slots=True)
class Place:
    """The command line over a ledger of its own, and the exchange that it was reconciled with."""

    oms: Cli
    state: Path
    exchange: Path

    @property
    def ledger(self) -> Path:
        return self.state / "oms" / "ledger.sandbox.sqlite3"

    def spoil(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.ledger)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            assert database.execute(statement, values).rowcount > 0
            database.commit()

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.state)): path.read_bytes() for path in self.state.rglob("*") if path.is_file()
        }


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("exchange")
    found = launch(directory, ServeOptions(dir=directory, tier="unlimited", idle_exit_s=60))
    yield found
    os.kill(found.pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory that all tests copy; filled by the first."""
    return tmp_path_factory.mktemp("settled")


@pytest.fixture
def place(cli: Cli, exchange: Running, settled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OMS_VENUE__SANDBOX__BASE_URL", exchange.base_url)
    monkeypatch.setenv("OMS_VENUE__SANDBOX__KEY_ID", exchange.key_id)
    monkeypatch.setenv("OMS_VENUE__SANDBOX__PRIVATE_KEY_PATH", exchange.private_key_path)
    if not any(settled.iterdir()):
        monkeypatch.setenv("XDG_STATE_HOME", str(settled))
        assert cli("submit", "-", stdin=ROWS.encode()).code == 0
        assert cli("reconcile").code == 0
    state = Path(shutil.copytree(settled, tmp_path / "state"))
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    return Place(cli, state, Path(exchange.private_key_path).parent / STATE_FILE)


WAYS = {"live": [], "offline": ["--offline"], "file": ["--exchange"]}


def words(place: Place, way: str) -> list[str]:
    return ["verify", *WAYS[way], *([str(place.exchange)] if way == "file" else [])]


@pytest.mark.parametrize("way", WAYS)
def test_where_all_holds_it_is_exit_0_and_nothing_is_changed(place: Place, way: str) -> None:
    before = place.files()
    done = place.oms(*words(place, way), "--json")
    assert (done.code, done.json["ok"]) == (0, True)
    assert place.files() == before
    assert all(check["ok"] and check["breaches"] == [] and check["fix"] == "" for check in done.json["checks"])
    asked = {check["invariant"] for check in done.json["checks"]}
    assert {"I12", "I19"} <= asked
    assert ("I3" in asked, "I1" in asked) == (way != "offline", True)
    sent = [check for check in done.json["checks"] if check["check"] == "requests that arrived"]
    assert [check["count"] for check in sent] == ([3] if way == "file" else [])


def test_on_a_pipe_it_is_one_line_a_check(place: Place) -> None:
    done = place.oms("verify")
    head, *lines = done.out.splitlines()
    assert head.split("\t") == ["result", "invariant", "check", "count", "of", "breaches"]
    assert "OK\tI3\torders under one id\t3\torders at the exchange\t0" in lines
    assert "all hold" in done.err


def duplicate(place: Place) -> None:
    """The ledger forgets one of its orders, so that the exchange has one of our making that nobody knows."""
    with closing(sqlite3.connect(place.ledger)) as database:
        key = database.execute("SELECT key FROM orders WHERE status = 'resting'").fetchone()[0]
        for table in ("events", "commands", "fills"):
            database.execute(f"DELETE FROM {table} WHERE order_key = ?", (key,))
        database.execute("DELETE FROM orders WHERE key = ?", (key,))
        database.commit()


def other_status(place: Place) -> None:
    place.spoil("UPDATE orders SET status = 'canceled' WHERE status = 'resting'")


def other_trade(place: Place) -> None:
    place.spoil("UPDATE fills SET fee_e6 = fee_e6 + 1")


@pytest.mark.parametrize(
    ("plant", "way", "invariants"),
    [
        (duplicate, "live", {"I4", "I14"}),
        (duplicate, "offline", {"I14"}),
        (other_status, "live", {"I12", "I23"}),
        (other_status, "file", {"I12", "I23"}),
        (other_status, "offline", {"I12"}),
        (other_trade, "live", {"I11"}),
        (other_trade, "offline", {"I11"}),
    ],
)
def test_what_does_not_hold_is_told_first_with_what_to_do_and_is_exit_7(
    place: Place, plant: Callable[[Place], None], way: str, invariants: set[str]
) -> None:
    plant(place)
    done = place.oms(*words(place, way))
    assert done.code == 7
    assert done.out.startswith("BROKEN I")
    assert "\n       next: " in done.out.partition("\nresult\t")[0]
    assert done.err.startswith("error: ")
    told = place.oms(*words(place, way), "--json").json
    assert {check["invariant"] for check in told["checks"] if not check["ok"]} == invariants
    assert told["ok"] is False
    assert told["error"]["code"] == "breaches"
    assert told["error"]["hint"]


def test_work_that_is_left_to_do_breaks_nothing(place: Place, tmp_path: Path) -> None:
    rows = tmp_path / "more.csv"
    rows.write_text(ROWS.replace("0.02", "0.01"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMS_VENUE__SANDBOX__BASE_URL", "http://127.0.0.1:9/trade-api/v2")
        patch.setenv("OMS_SUBMIT__WAIT_S", "0.1")
        assert place.oms("submit", str(rows), "--batch", "unsent").code == 6
    done = place.oms("verify", "--offline")
    assert done.code == 0
    assert "3 commands not finished yet" in done.err


def test_what_comes_from_outside_is_shown_harmlessly_in_every_form(place: Place) -> None:
    place.spoil("UPDATE orders SET ticker = ? WHERE status = 'resting'", HOSTILE)
    place.spoil("UPDATE events SET kind = ? WHERE seq = 2", HOSTILE)
    done = place.oms("verify")
    assert done.code == 7
    assert "\\x1b[31m=1+1\\n<b>\\u202e" in done.out
    for form in ("table", "json", "jsonl"):
        said = place.oms("verify", "-o", form)
        assert not {"\x1b", "\u202e"} & set(said.out + said.err)
    lines = place.oms("verify", "-o", "jsonl").out.splitlines()
    assert any(HOSTILE in breach["sentence"] for line in lines for breach in json.loads(line)["breaches"])


def test_a_revision_that_is_not_known_is_a_finding_and_is_left_as_it_is(place: Place) -> None:
    place.spoil("UPDATE alembic_version SET version_num = '9999'")
    before = place.files()
    done = place.oms("verify", "--json")
    assert (done.code, [check["invariant"] for check in done.json["checks"]]) == (7, ["I22"])
    assert place.files() == before


# -- what keeps it from looking ---------------------------------------------------------------------------------------


def test_where_there_is_no_ledger_it_makes_none(place: Place) -> None:
    for path in place.ledger.parent.glob("*"):
        if path.is_file():
            path.unlink()
    before = place.files()
    done = place.oms("verify", "--offline", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "ledger_missing")
    assert place.files() == before


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(place: Place) -> None:
    place.ledger.write_bytes(b"notes\n" * 100)
    done = place.oms("verify", "--offline", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "ledger_foreign")
    assert place.ledger.read_bytes() == b"notes\n" * 100


def test_the_ledger_of_another_environment_is_refused_by_name(place: Place) -> None:
    place.spoil("UPDATE ledger SET environment = 'demo'")
    done = place.oms("verify", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "ledger_foreign")
    assert "demo" in done.json["error"]["message"]


def test_an_exchange_out_of_reach_is_exit_6(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_VENUE__SANDBOX__BASE_URL", "http://127.0.0.1:9/trade-api/v2")
    monkeypatch.setenv("OMS_VENUE__TIMEOUT_S", "0.3")
    assert place.oms("verify").code == 6
    assert place.oms("verify", "--offline").code == 0


def test_a_key_that_is_missing_or_refused_is_exit_4(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_VENUE__SANDBOX__KEY_ID", "nobody")
    assert place.oms("verify").code == 4
    monkeypatch.delenv("OMS_VENUE__SANDBOX__KEY_ID")
    assert place.oms("verify").code == 4


def test_a_file_that_is_no_exchanges_is_exit_2(place: Place, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    for named in (junk, place.ledger):
        done = place.oms("verify", "--exchange", str(named), "--json")
        assert (done.code, done.json["error"]["code"]) == (2, "bad_exchange_file")
    assert place.oms("verify", "--exchange", str(tmp_path / "none")).code == 2
    assert place.oms("verify", "--offline", "--exchange", str(place.exchange)).code == 2


def test_a_listing_that_cannot_be_trusted_concludes_nothing(
    place: Place, exchange: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oms.venue.transport import Answer, Channel

    honest = Channel.read

    def circular(self: Channel, request: object, timeout_s: float) -> Answer:
        found = honest(self, request, timeout_s)  # type: ignore[arg-type]
        if b'"orders"' in found.body:
            return Answer(200, json.dumps({**json.loads(found.body), "cursor": "again"}).encode())
        return found

    monkeypatch.setattr(Channel, "read", circular)
    assert place.oms("verify").code == 6


def test_the_table_on_a_terminal_is_drawn(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer.terminal, "is_terminal", lambda stream: True)
    monkeypatch.setenv("NO_COLOR", "1")
    done = place.oms("verify", "--offline")
    assert done.code == 0
    assert "chains of events" in done.out
    assert "\t" not in done.out


# Last: it changes the exchange that all tests of this file share.
def test_a_change_since_the_last_reading_is_a_difference_until_it_is_reconciled(place: Place) -> None:
    assert place.oms("submit", *FLAGS).code == 0
    done = place.oms("verify", "--json")
    assert {check["invariant"] for check in done.json["checks"] if not check["ok"]} == {"I11", "I23"}
    assert "oms reconcile" in done.json["error"]["hint"]
    assert place.oms("reconcile").code == 0
    assert place.oms("verify").code == 0
