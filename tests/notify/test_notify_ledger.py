"""What is told follows from the ledger's history: each fact once it matters, in order, from a durable cursor."""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oms.app import notify
from oms.app.notify import Courier
from oms.app.notify import messages as pages
from oms.app.notify.messages import next_page
from oms.app.notify.receivers import receivers
from oms.config.hooks import EVENTS, HooksConfig
from oms.ledger import actions, deliveries, queries
from oms.ledger.append import set_halt
from oms.ledger.halt import halt_path, lift_path
from oms.ledger.ledger import Ledger, open_ledger
from oms.ledger.lock import Lock
from oms.ledger.record import clear_dead_recordings
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.actions import ActionRecorded, Done, Undecidable
from oms.lifecycle.states import ActionKind, Reason
from tests.export.stories import accept, answer, fill, story
from tests.ledger.ledgers import NOW_US, claimed, entries, recorded, tell
from tests.notify.conftest import Kept


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found, _ = story(tmp_path / "ledger.sqlite3", 12)
    with closing(found):
        yield found


def orders(ledger: Ledger) -> list[Entry]:
    return entries(ledger, 12)


def sent(ledger: Ledger, entry: Entry) -> Entry:
    return tell(ledger, [(entry, claimed(entry))])[entry.command_key]


def happens(ledger: Ledger, entry: Entry, *facts: e.Event) -> Entry:
    for fact in facts:
        entry = tell(ledger, [(entry, fact)])[entry.command_key]
    return entry


def told(ledger: Ledger, wanted: Sequence[str] = EVENTS, receiver: str = "command") -> list[tuple[str, str | None]]:
    """Everything a receiver has not been told, as (event, fact); it is told then."""
    found: list[tuple[str, str | None]] = []
    deliveries.begin(ledger, receiver, NOW_US)
    while True:
        page = next_page(ledger, receiver, wanted)
        if not page.messages and page.seq == deliveries.cursor(ledger, receiver):
            return found
        found += [(message.event, message.fact) for message in page.messages]
        deliveries.confirm(ledger, receiver, page.seq, page.told, NOW_US)


UNKNOWN = e.AttemptUnknown(attempt=1, why="no_answer")
REFUSED = e.AttemptRefused(attempt=1, http_status=400, code="bad")


def test_doubts_refusals_and_fills_are_told_in_the_order_in_which_they_happened(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    first, second, third, fourth, fifth, *_ = orders(ledger)
    happens(ledger, sent(ledger, first), UNKNOWN)
    happens(ledger, sent(ledger, second), REFUSED)
    (taken,) = accept(ledger, [third])
    fill(ledger, taken, 1, count_e2=100, price_e6=10_000)
    happens(ledger, sent(ledger, fourth), e.SenderDied(epoch=2))
    at_once = sent(ledger, fifth)
    happens(ledger, at_once, e.Acknowledged(attempt=1, order_id="o", fill_count_e2=100, remaining_count_e2=0, ts_ms=1))
    assert told(ledger) == [
        ("in_doubt", "attempt_unknown"),
        ("refused", "attempt_refused"),
        ("filled", "filled"),
        ("in_doubt", "sender_died"),
        ("filled", "acknowledged"),
    ]
    assert told(ledger) == []


def test_a_fact_that_moves_nothing_is_no_message(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    first, second, third, *_ = orders(ledger)
    (taken,) = accept(ledger, [first])
    happens(ledger, taken, UNKNOWN)  # an answer to an order that is known to be there
    happens(ledger, sent(ledger, second), UNKNOWN, UNKNOWN)
    happens(ledger, third, e.Withdrawn(reason=Reason.WITHDRAWN))
    assert told(ledger) == [("in_doubt", "attempt_unknown")]


def test_an_order_parked_or_withdrawn_by_a_limit_is_told(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    first, second, *_ = orders(ledger)
    snapshot = e.Snapshot(
        order_id="theirs",
        client_order_id=first.client_order_id,
        ticker="OTHER",
        side="bid",
        status="resting",
        price_e6=1,
        initial_count_e2=1,
        fill_count_e2=0,
        remaining_count_e2=1,
    )
    happens(
        ledger,
        sent(ledger, first),
        UNKNOWN,
        e.FoundForeign(source="orders", as_of_ms=1, order=snapshot, differs="ticker"),
    )
    happens(ledger, second, e.Withdrawn(reason=Reason.LIMIT, detail="max_open_orders"))
    assert told(ledger) == [
        ("in_doubt", "attempt_unknown"),
        ("parked", "found_foreign"),
        ("refused", "withdrawn"),
    ]


def test_only_what_was_asked_for_is_told_and_the_rest_is_passed_over(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    first, second, *_ = orders(ledger)
    happens(ledger, sent(ledger, first), UNKNOWN)
    happens(ledger, sent(ledger, second), REFUSED)
    assert told(ledger, ["refused"]) == [("refused", "attempt_refused")]
    assert told(ledger, ["in_doubt", "refused"]) == []


def test_pages_join_without_a_gap(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    for entry in orders(ledger):
        happens(ledger, sent(ledger, entry), UNKNOWN, REFUSED)
    for size in (1, 2, 5):
        monkeypatch.setattr(pages, "MOST", size)
        with ledger.write() as connection:
            connection.exec_driver_sql("UPDATE watermarks SET value_ms = 0 WHERE name LIKE 'delivered%'")
        assert told(ledger) == [("in_doubt", "attempt_unknown"), ("refused", "attempt_refused")] * 12


def test_a_receiver_that_is_new_hears_of_what_happens_from_now_on(ledger: Ledger) -> None:
    first, second, *_ = orders(ledger)
    happens(ledger, sent(ledger, first), UNKNOWN)
    deliveries.begin(ledger, "webhook", NOW_US)
    happens(ledger, sent(ledger, second), REFUSED)
    deliveries.begin(ledger, "webhook", NOW_US)
    assert told(ledger, receiver="webhook") == [("refused", "attempt_refused")]


def test_the_numbers_of_a_recording_that_died_do_not_hide_what_came_after(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    recorded(ledger, 5, "dead")
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET state = 'recording' WHERE name = 'dead'")
    assert told(ledger) == []
    with ledger.locks.recording:
        clear_dead_recordings(ledger)
    first, *_ = orders(ledger)
    happens(ledger, sent(ledger, first), UNKNOWN)
    assert told(ledger) == [("in_doubt", "attempt_unknown")]


def test_a_halt_is_told_each_time_it_is_set_and_a_break_each_time_it_appears(ledger: Ledger) -> None:
    def write(*statements: str) -> None:
        with ledger.write() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    seen = "INSERT INTO breaks VALUES ('{0}', 'vanished', 'x-1', NULL, 'T', 'resting', 'nothing', 'look', {1}, {1})"
    write("INSERT INTO controls VALUES ('halt', 'by hand', 5)", seen.format("b1", 10), seen.format("b2", 7))
    assert told(ledger) == [("halt", None), ("break", None), ("break", None)]
    write("UPDATE controls SET at_us = 6", "DELETE FROM breaks WHERE name = 'b1'")
    assert told(ledger) == [("halt", None)]
    write(seen.format("b1", 11))
    page = next_page(ledger, "command", EVENTS)
    (message,) = page.messages
    assert (message.event_id, message.data and message.data["client_order_id"]) == ("break 11 b1", "x-1")
    assert told(ledger, ["break"]) == [("break", None)]
    assert told(ledger) == []


def test_a_halt_by_its_file_alone_is_told_once(ledger: Ledger) -> None:
    ledger.halt.set("the ledger is locked", 77)
    (message,) = next_page(ledger, "command", EVENTS).messages
    assert (message.event_id, message.text) == ("halt 77", "sending is halted: the ledger is locked")
    assert told(ledger) == [("halt", None)]
    assert told(ledger) == []
    ledger.halt.path.write_bytes(b"")
    assert told(ledger) == [("halt", None)]
    assert told(ledger) == []


def said(ledger: Ledger) -> list[str]:
    """The texts of what is told now, until nothing is left."""
    found: list[str] = []
    while (page := next_page(ledger, "command", EVENTS)).messages or page.told:
        found += [message.text for message in page.messages]
        deliveries.confirm(ledger, "command", page.seq, page.told, NOW_US)
    return found


def test_a_halt_that_was_lifted_before_anybody_was_told_is_told_all_the_same(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    for at_us, reason in ((11, "first"), (12, "second")):
        halt_path(ledger.path, reason, at_us)
        assert lift_path(ledger.path) == (True, "")
    halt_path(ledger.path, "third", 13)
    was = "sending was halted, and goes on: "
    assert said(ledger) == [was + "first", was + "second", "sending is halted: third"]
    queries.lift_halt(ledger)
    halt_path(ledger.path, "fourth", 14)
    assert said(ledger) == ["sending is halted: fourth"]
    assert said(ledger) == []


def test_a_halt_by_row_and_another_by_file_are_told_each_and_a_bare_file_by_its_own_time(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    with ledger.write() as connection:
        set_halt(connection, "a second order", 21)
    ledger.halt.path.write_bytes(b"")
    os.utime(ledger.halt.path, ns=(22_000, 22_000))
    queries.lift_halt(ledger)
    ledger.halt.path.write_bytes(b"")  # the row is gone already: a lift that was cut off, and again
    os.utime(ledger.halt.path, ns=(22_000, 22_000))
    queries.lift_halt(ledger)
    first, second = said(ledger)
    assert "a second order" in first
    assert ledger.halt.path.name in second


def test_a_halt_whose_row_came_later_than_its_file_is_one_halt(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    ledger.halt.set("the ledger was locked", 77)
    queries.keep_halt(ledger, "the ledger was locked", 99)
    queries.lift_halt(ledger)
    assert said(ledger) == ["sending was halted, and goes on: the ledger was locked"]


def test_who_is_told_for_the_first_time_hears_nothing_of_halts_before_that(ledger: Ledger) -> None:
    halt_path(ledger.path, "before", 11)
    lift_path(ledger.path)
    deliveries.begin(ledger, "webhook", NOW_US)
    assert next_page(ledger, "webhook", EVENTS).messages == []


def test_of_halts_that_were_lifted_a_hundred_are_kept(ledger: Ledger) -> None:
    deliveries.begin(ledger, "command", NOW_US)
    for at_us in range(1, 105):
        halt_path(ledger.path, f"no {at_us}", at_us)
        queries.lift_halt(ledger)
    found = said(ledger)
    assert (len(found), found[-1][-3:]) == (101, "104")


def test_actions_in_doubt_parked_or_refused_are_told_too(ledger: Ledger) -> None:
    def act(kind: ActionKind, *facts: e.Event) -> None:
        (entry,) = actions.record(ledger, [ActionRecorded(kind=kind, target="pins")], NOW_US)
        entry = actions.claim(ledger, entry, NOW_US // 1000, NOW_US)
        actions.tell(ledger, entry, facts, NOW_US)

    act(ActionKind.CANCEL_ALL, UNKNOWN)
    deliveries.begin(ledger, "command", NOW_US)
    assert told(ledger) == []
    act(ActionKind.CANCEL_ALL, UNKNOWN, Done(attempt=1), UNKNOWN)
    act(ActionKind.GROUP_CREATE, UNKNOWN, Undecidable(as_of_ms=1, detail="two groups are new"))
    act(ActionKind.GROUP_DELETE, REFUSED)
    page = next_page(ledger, "command", EVENTS)
    assert [(message.event, message.command, message.text) for message in page.messages] == [
        ("in_doubt", "cancel_all", "attempt 1: outcome unknown (no_answer); the exchange has to be asked"),
        ("in_doubt", "group_create", "attempt 1: outcome unknown (no_answer); the exchange has to be asked"),
        ("parked", "group_create", "group create: two groups are new"),
        ("refused", "group_delete", "attempt 1 refused: HTTP 400 bad"),
    ]
    assert page.messages[0].data == {"target": "pins", "ticker": None, "attempt": 1, "why": "no_answer"}
    assert len({message.event_id for message in page.messages}) == 4
    assert len(told(ledger)) == 4
    assert told(ledger) == []


# -- the courier ------------------------------------------------------------------------------------------------------


def courier(ledger: Ledger, hook: Kept, **more: Any) -> Courier:
    hooks = HooksConfig(on_event=hook.words, **more)
    found = Courier(hooks, lambda: open_ledger(f"sqlite:///{ledger.path}", "sandbox", create=False))
    found.begin(ledger)
    return found


def deliver(found: Courier) -> None:
    found.wake()
    found.close()


def test_a_message_says_what_happened_and_where_the_order_stands_now(ledger: Ledger, hook: Kept) -> None:
    found = courier(ledger, hook)
    first, *_ = orders(ledger)
    doubtful = happens(ledger, sent(ledger, first), UNKNOWN)
    happens(ledger, doubtful, answer(doubtful))
    deliver(found)
    (delivery,) = hook.deliveries
    assert (delivery["environment"], delivery["ledger"]) == ("sandbox", ledger.ledger_id)
    (message,) = delivery["events"]
    assert (message["event"], message["command"], message["fact"]) == ("in_doubt", "create", "attempt_unknown")
    assert (message["data"]["why"], len(message["hash"])) == ("no_answer", 32)
    assert "outcome unknown" in message["text"]
    order = message["order"]
    assert (order["client_order_id"], order["status"], order["in_doubt"]) == ("x-1", "resting", False)
    assert int(message["event_id"]) < deliveries.newest_seq(ledger) == deliveries.cursor(ledger, "command")


def test_a_hook_gets_no_shell_no_stdout_of_ours_and_no_passphrase(
    ledger: Ledger, hook: Kept, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KALSHI_PRIVATE_KEY_PASSPHRASE", "open sesame")
    hook = Kept(hook.file.parent / "told; touch pwned $(touch pwned)")
    found = courier(ledger, hook)
    happens(ledger, sent(ledger, orders(ledger)[0]), UNKNOWN)
    deliver(found)
    assert hook.words_told == ["in_doubt"]
    environ = json.loads(Path(f"{hook.file}.env").read_text())
    assert environ["OMS_IN_HOOK"] == "1"
    assert "KALSHI_PRIVATE_KEY_PASSPHRASE" not in environ
    assert capfd.readouterr() == ("", "")


def test_a_failure_is_said_once_and_all_of_it_is_told_again(
    ledger: Ledger, hook: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    found = courier(ledger, hook)
    failing = hook.mark("fail")
    first, second, *_ = orders(ledger)
    happens(ledger, sent(ledger, first), UNKNOWN)
    found._round()
    found._round()
    assert [record.getMessage() for record in caplog.records] == [
        f"hooks: the hook {Path(hook.words[0]).name} ended with 1: no room for it; it is told again with the next run"
    ]
    failing.unlink()
    happens(ledger, sent(ledger, second), REFUSED)
    deliver(found)
    assert hook.words_told == ["in_doubt", "in_doubt", "in_doubt", "refused"]
    ids = [message["event_id"] for message in hook.messages]
    assert len(set(ids)) == 2
    assert ids == sorted(ids, key=int)


def test_a_hook_that_does_not_exist_is_named(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    hooks = HooksConfig(on_event=("/nowhere/notify",))
    found = Courier(hooks, lambda: open_ledger(f"sqlite:///{ledger.path}", "sandbox", create=False))
    found.begin(ledger)
    happens(ledger, sent(ledger, orders(ledger)[0]), UNKNOWN)
    deliver(found)
    assert "the hook notify could not be started: No such file or directory" in caplog.text


def test_a_hook_that_hangs_is_killed_with_its_children_at_the_deadline(hook: Kept) -> None:
    hook.mark("hang")
    (receiver,) = receivers(HooksConfig(on_event=hook.words))
    began = time.monotonic()
    problem = receiver.deliver(b"{}", 1.0)
    assert "did not end within 1 s and was killed" in problem
    assert time.monotonic() - began < 10
    pid = int(Path(f"{hook.file}.pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_closing_waits_only_so_long_and_says_what_is_left(
    ledger: Ledger, hook: Kept, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "DELIVERY_S", 1.0)
    found = courier(ledger, hook)
    happens(ledger, sent(ledger, orders(ledger)[0]), UNKNOWN)
    hook.mark("hang")
    found.wake()
    began = time.monotonic()
    found.close(0.1)
    assert time.monotonic() - began < 3
    assert "the rest goes out with the next run" in caplog.text
    assert found.is_closed
    thread = found._thread
    if thread is not None:
        thread.join(20)
    assert deliveries.cursor(ledger, "command") == 0


def test_one_courier_at_a_time_tells_and_the_other_finds_nothing_left(ledger: Ledger, hook: Kept) -> None:
    one, other = courier(ledger, hook), courier(ledger, hook)
    for entry in orders(ledger):
        happens(ledger, sent(ledger, entry), UNKNOWN)
    busy = Lock(ledger.path, ".courier")
    assert busy.acquire(0)
    one.wake()
    other.wake()
    assert hook.deliveries == []
    busy.release()
    one.close()
    other.close()
    assert len(hook.messages) == len({message["event_id"] for message in hook.messages}) == 12


def test_a_run_can_write_while_a_hook_runs(ledger: Ledger, hook: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "DELIVERY_S", 600.0)
    found = courier(ledger, hook)
    hanging = hook.mark("hang")
    first, second, *_ = orders(ledger)
    happens(ledger, sent(ledger, first), UNKNOWN)
    found.wake()
    deadline = time.monotonic() + 20
    while not (Path(f"{hook.file}.pid").exists() and Path(f"{hook.file}.pid").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pid = int(Path(f"{hook.file}.pid").read_text())
    happens(ledger, sent(ledger, second), REFUSED)
    ledger.tend(idle=True)
    os.kill(pid, 0)  # it runs still
    hanging.unlink()
    os.kill(pid, signal.SIGKILL)
    found.close()
    assert set(hook.words_told) == {"in_doubt"}
