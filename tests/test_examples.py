"""The examples do what they say, killed and with answers lost too: each decision is one order at the exchange."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pages
import pytest

from oms.cli.playground import wait_until
from oms.lab.judge import arrived, judge, tally
from oms.sandbox.launch import launch
from oms.sandbox.options import STATE_FILE, ServeOptions

pytestmark = pytest.mark.slow
DEADLINE_S = 90


@dataclass(frozen=True)
class Desk:
    """A clone with its own home, and the files of both sides."""

    terminal: pages.Terminal

    @property
    def state(self) -> Path:
        return self.terminal.home / ".local" / "state" / "oms"

    @property
    def ledger(self) -> Path:
        return self.state / "ledger.sandbox.sqlite3"

    @property
    def exchange(self) -> Path:
        return self.state / "sandbox" / STATE_FILE

    def open_exchange(self, *faults: object) -> None:
        """Start the sandbox that oms will find, with these rules for what goes wrong."""
        directory = self.exchange.parent
        launch(directory, ServeOptions(dir=directory, idle_exit_s=600, skew_s=2, faults=json.dumps(faults)))

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            words,
            cwd=self.terminal.clone,
            env=self.terminal.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err

    def kill_when_arrived(self, count: int, *words: str) -> None:
        """Start a program, and SIGKILL it and all its children when so many orders have reached the exchange."""
        with self.start(*words) as process:
            try:
                wait_until(lambda: len(arrived(self.exchange)) >= count, f"{count} orders arrived")
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def orders(self) -> int:
        """How many orders the exchange holds, after a reconciliation that leaves no disagreement."""
        code, _, err = self.run("oms", "reconcile")
        assert code == 0, err
        assert judge(self.ledger, self.exchange, is_settled=True) == []
        intents, orders = tally(self.ledger, self.exchange)
        assert intents == orders
        return orders


@pytest.fixture
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="", ignore_cleanup_errors=True) as directory:
        yield Desk(pages.fresh_clone(Path(directory)))
        pages.stop_exchanges(Path(directory))


def rows(desk: Desk) -> str:
    """A copy of the example's file, since the script writes beside it."""
    copy = desk.terminal.home / "orders.csv"
    copy.write_bytes((desk.terminal.clone / "examples" / "orders.csv").read_bytes())
    return str(copy)


def test_the_batch_ends_with_every_row_placed_once_though_answers_are_lost(desk: Desk) -> None:
    desk.open_exchange(
        {"match": {"method": "POST", "ticker": "SBXTEMP-A-T20"}, "fault": {"kind": "drop", "commit": True}},
        {"match": {"method": "POST", "ticker": "SBXRAIN-A-T10"}, "fault": {"kind": "drop"}},
    )
    file = rows(desk)
    code, _, err = desk.run("sh", "examples/batch.sh", file)
    assert code == 0, err
    assert Path(f"{file}.placed").read_text().count("\n") == 4
    assert desk.orders() == 3


def test_the_batch_killed_in_the_middle_goes_on_when_run_again(desk: Desk) -> None:
    desk.open_exchange({"match": {"method": "POST"}, "fault": {"kind": "hang", "ms": 60_000}})
    file = rows(desk)
    desk.kill_when_arrived(1, "sh", "examples/batch.sh", file)
    code, _, err = desk.run("sh", "examples/batch.sh", file)
    assert code == 0, err
    assert desk.orders() == 3


def test_the_batch_with_a_wrong_row_places_nothing(desk: Desk) -> None:
    file = rows(desk)
    with Path(file).open("a") as more:
        more.write("SBXTEMP-A-T20,buy,no,1,44\n")
    code, _, err = desk.run("sh", "examples/batch.sh", file)
    assert (code, desk.ledger.exists()) == (2, False)
    assert "line 5: price" in err


def test_the_strategy_that_says_its_decisions_twice_places_them_once(desk: Desk) -> None:
    first = desk.run("sh", "examples/bot.sh", "2026-11-22")
    again = desk.run("sh", "examples/bot.sh", "2026-11-22")
    assert (first[0], again[0]) == (0, 0)
    answers = [[json.loads(line) for line in said.splitlines()] for _, said, _ in (first, again)]
    assert [order["client_order_id"] for order in answers[0]] == ["rain-2026-11-22", "temp-2026-11-22"]
    assert [order["preexisting"] for order in answers[0] + answers[1]] == [False, False, True, True]
    assert [order["order_id"] for order in answers[0]] == [order["order_id"] for order in answers[1]]
    assert desk.orders() == 2


def test_the_loop_killed_at_any_point_places_no_decision_twice(desk: Desk) -> None:
    desk.open_exchange({"match": {"method": "POST", "nth": 2}, "fault": {"kind": "hang", "ms": 60_000}})
    desk.kill_when_arrived(2, "python", "examples/bot.py", "50")
    code, said, err = desk.run("python", "examples/bot.py", "2")
    assert code == 0, err
    names = {line.split()[0] for line in said.splitlines()}
    assert "in doubt" not in said
    # The minute may have changed in between: then there are two more decisions, and no other.
    assert len(names) in (2, 4)
    assert desk.orders() in (2, 4)
