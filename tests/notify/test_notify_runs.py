"""Real runs against a real exchange tell real hooks: at their end, at the start of the next, through SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from oms.app import notify
from tests.contract.worlds import World, fault, flags, row
from tests.notify.conftest import Address, Kept

ROOT = Path(__file__).resolve().parents[2]


def on_event(hook: Kept, **more: str) -> dict[str, str]:
    return {"hooks__on_event": json.dumps(hook.words), **more}


def process(world: World, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """One call of the command line in a process of its own."""
    environ = {**os.environ, **world.environ(**settings), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "oms", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_run_tells_at_its_end_what_was_refused_filled_and_in_doubt(own_world: World, hook: Kept) -> None:
    world = own_world
    world.faults(fault("empty", client_order_id="^lost$"))
    rows = [
        row(client_order_id="full", price="0.99", count="2"),
        row(client_order_id="lost"),
        row(client_order_id="none", ticker="SBXRAIN-A-NONE"),
    ]
    run = world.submit(rows, submit__concurrency="1", **on_event(hook))
    assert run.statuses == ["executed", "resting", "rejected"]
    assert hook.words_told == ["filled", "in_doubt", "refused"]
    by_word = {message["event"]: message for message in hook.messages}
    assert by_word["in_doubt"]["order"]["client_order_id"] == "lost"
    assert by_word["in_doubt"]["order"]["status"] == "resting"
    assert by_word["refused"]["order"]["reason"] == "refused"
    world.submit([row()], **on_event(hook))
    assert len(hook.messages) == 3


def test_what_a_killed_process_had_not_noted_is_told_again_under_the_same_ids(own_world: World, hook: Kept) -> None:
    world = own_world
    hook.mark("kill")
    settings = on_event(hook)
    killed = process(world, "submit", *flags(ticker="SBXRAIN-A-NONE", client_order_id="first"), **settings)
    assert killed.returncode == -signal.SIGKILL
    assert hook.words_told == ["refused"]
    again = process(world, "submit", *flags(client_order_id="second", price="0.99"), **settings)
    assert (again.returncode, again.stderr.count("hooks:")) == (0, 0)
    told = [(message["event_id"], message["event"]) for message in hook.messages]
    assert told[0] == told[1]
    assert [word for _, word in told] == ["refused", "refused", "filled"]
    third = process(world, "submit", *flags(client_order_id="third"), **settings)
    assert (third.returncode, len(hook.messages)) == (0, 3)


def test_the_answer_and_its_exit_code_are_the_runs_own_whatever_the_hook_does(own_world: World, hook: Kept) -> None:
    world = own_world
    hook.mark("fail")
    words = ("submit", *flags(ticker="SBXRAIN-A-NONE"), "--json")
    done = process(world, *words, **on_event(hook))
    assert done.returncode == 5
    assert json.loads(done.stdout)["rejected_now"] == 1
    assert done.stderr.count("hooks: ") == 1
    assert "no room for it; it is told again with the next run" in done.stderr
    assert "this goes nowhere" not in done.stdout + done.stderr


def test_a_run_does_not_wait_for_a_hook_before_it_sends(
    own_world: World, hook: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "DELIVERY_S", 600.0)
    hanging = hook.mark("hang")
    with own_world.opened(**on_event(hook)) as oms:
        oms.submit([row(ticker="SBXRAIN-A-NONE")])
        pid = int(wait_for(Path(f"{hook.file}.pid")))
        report = oms.submit([row(), row()])
        assert (report.exit_code, report.counts) == (0, {"resting": 2})
        os.kill(pid, 0)  # it runs still
        hanging.unlink()
        os.kill(pid, signal.SIGKILL)
    assert "refused" in hook.words_told


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text()


def test_oms_inside_of_a_hook_tells_nobody(own_world: World, hook: Kept, monkeypatch: Any) -> None:
    monkeypatch.setenv("OMS_IN_HOOK", "1")
    own_world.submit([row(ticker="SBXRAIN-A-NONE")], **on_event(hook))
    assert hook.deliveries == []
    monkeypatch.delenv("OMS_IN_HOOK")
    assert not [each for each in threading.enumerate() if each.name == "oms-courier"]


def test_hooks_and_webhook_have_cursors_of_their_own(own_world: World, hook: Kept, address: Address) -> None:
    world = own_world
    failing = hook.mark("fail")
    both = on_event(hook, hooks__webhook=address.url)
    world.submit([row(ticker="SBXRAIN-A-NONE")], **both)
    assert [message["event"] for message in address.messages] == ["refused"]
    failing.unlink()
    told_before = len(hook.messages)
    world.submit([row()], **both)
    assert len(address.messages) == 1
    assert {message["event_id"] for message in hook.messages} == {address.messages[0]["event_id"]}
    assert len(hook.messages) == told_before + 1


def test_the_webhooks_address_is_in_no_output(own_world: World, address: Address) -> None:
    world = own_world
    address.status = 500
    shown = process(world, "config", "show", hooks__webhook=address.url)
    assert "http://127.0.0.1/****" in shown.stdout
    done = process(world, "submit", *flags(ticker="SBXRAIN-A-NONE"), "-vv", hooks__webhook=address.url)
    assert done.returncode == 5
    assert "the webhook at 127.0.0.1 answered 500" in done.stderr
    assert len(address.requests) >= 1
    for said in (shown.stdout, shown.stderr, done.stdout, done.stderr):
        assert Address.SECRET not in said
    assert Address.SECRET.encode() not in world.ledger_path.read_bytes()


def test_a_break_that_reconcile_finds_and_a_halt_are_told_once(own_world: World, hook: Kept) -> None:
    world = own_world
    (order,) = world.submit([row()], **on_event(hook)).orders
    body = {"ticker": order.ticker, "side": "bid", "price": "0.0200", "count": "3.00"}
    amended = world.sandbox.call("POST", f"/portfolio/events/orders/{order.order_id}/amend", body)
    assert amended.status_code == 200, amended.text
    for _ in range(2):
        with world.opened(**on_event(hook)) as oms:
            assert oms.reconcile().exit_code == 7
    assert hook.words_told == ["break"]
    (message,) = hook.messages
    assert (message["data"]["kind"], message["data"]["order_id"]) == ("amended", order.order_id)
    for _ in range(2):
        with world.opened(**on_event(hook)) as oms:
            oms.halt("by hand")
            oms.reconcile()
    assert hook.words_told[1:].count("halt") == 1
    assert "by hand" in next(message["text"] for message in hook.messages if message["event"] == "halt")
    with world.opened() as oms:
        oms.unhalt()


def test_a_halt_that_is_lifted_before_any_run_is_told_by_the_next(own_world: World, hook: Kept) -> None:
    with own_world.opened(**on_event(hook)) as oms:
        oms.reconcile()
    with own_world.opened(**on_event(hook)) as oms:  # what was told before has been told
        oms.halt("for a moment")
        oms.unhalt()
    for _ in range(2):
        with own_world.opened(**on_event(hook)) as oms:
            oms.reconcile()
    assert [(x["event"], x["text"]) for x in hook.messages] == [
        ("halt", "sending was halted, and goes on: for a moment")
    ]


def test_without_hooks_nothing_of_them_is_left_or_loaded(own_world: World) -> None:
    world = own_world
    world.submit([row()])
    with world.opened() as oms:
        oms.reconcile()
        ledger = oms._open(create=False)
        with ledger.read() as connection:
            names = connection.exec_driver_sql("SELECT name FROM watermarks").scalars().all()
    assert not [name for name in names if name.startswith("delivered")]
    assert not Path(f"{world.ledger_path}.courier").exists()
