"""`oms demo`: the claim, shown. Kill oms in the middle of a batch, start it again, compare with the exchange.

The faults are chosen so that every run tells the same story: four senders, and the four requests that are to be under
way at the kill get no answer, so what is known, in doubt and queued at that moment does not depend on any race.
"""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from oms.cli import answer as stdout
from oms.cli import terminal
from oms.cli.invocation import Invocation, error_fields, pass_invocation
from oms.cli.options import Command
from oms.errors import OmsError

if TYPE_CHECKING:
    import subprocess

    from oms.cli.playground import Playground
    from oms.records import OrderRecord

DIRECTORY = Path(".oms-demo")
ROWS = 20
SENDERS = 4
KILL_AFTER = 12  # requests at the exchange; the last SENDERS of them hang
ANSWERED = KILL_AFTER - SENDERS
# What the exchange does to the first request of these rows: whether it takes the order, and that no answer comes.
LOST_ANSWERS = {3: True, 6: False, 18: True}
HANGING = {9: True, 10: True, 11: True, 12: False}
TICKERS = ("SBXRAIN-A-T10", "SBXTEMP-A-T20", "SBXRATE-A-T30", "SBXRAIN-B-T20")
SHOWN_ROWS = (1, 3, 6, 12, 16, 20)
FINDINGS_SHOWN = 10


@dataclass(slots=True)
class Facts:
    """What the demo saw, step by step."""

    orders: int = ROWS
    requests_before_kill: int = 0
    confirmed: int = 0  # in the ledger, after the kill
    in_doubt: int = 0
    queued: int = 0
    found_live: int = 0  # of those in doubt
    never_arrived: int = 0
    recorded_again: int = 0  # when the same file was submitted once more
    intents: int = 0
    exchange_orders: int = 0
    findings: list[str] = field(default_factory=list)


@click.command(cls=Command, short_help="Kill oms in mid-batch and prove that nothing is lost or doubled.")
@click.option("--keep", is_flag=True, help="Leave the exchange running, to try commands on.")
@pass_invocation
def demo(invocation: Invocation, keep: bool) -> int:
    """Kill oms in mid-batch and prove that nothing is lost or doubled.

    Works in ./.oms-demo, on a sandbox exchange of its own: no account, no key, no real money. Safe to repeat. Ends
    with PASS and exit code 0, or FAIL and 1.
    """
    from oms.cli.playground import playground

    if invocation.settings.config is not None or invocation.settings.environment is not None:
        raise click.UsageError(
            "the demo has an exchange and a configuration of its own; --config and --env do not apply"
        )
    started_s = time.monotonic()
    facts = Facts()
    say = _Story(invocation.answer.form == "table")
    rows: list[OrderRecord] = []
    with playground(DIRECTORY, leave_running=keep) as place:
        try:
            rows = _play(place, facts, say)
        except OmsError as failed:
            facts.findings.append(failed.message)
    passed = not facts.findings
    seconds = f"{time.monotonic() - started_s:.1f}"
    if invocation.answer.form == "table":
        _show(say, rows, facts, passed, seconds, keep)
    else:
        _answer(invocation, facts, passed, seconds)
    return 0 if passed else 1


class _Story:
    """Tells each step as it happens, where a person reads along."""

    def __init__(self, is_told: bool) -> None:
        self._is_told = is_told

    def step(self, name: str, text: str) -> None:
        self.line(f"{name:<9} {text}")

    def line(self, text: str = "") -> None:
        if self._is_told:
            stdout.write_text(f"{text}\n")
            stdout.flush()


def _play(place: "Playground", facts: Facts, say: _Story) -> "list[OrderRecord]":
    from oms.lab.judge import judge, tally

    place.orders.write_text("".join(f"{line}\n" for line in _file_lines()))
    place.open_exchange(_faults(place.preview()), SENDERS)
    say.step("sandbox", "an exchange on this machine, seed 7: no account, no real money")
    say.step("submit", f"{ROWS} orders; for {len(LOST_ANSWERS)} of them the exchange drops the connection")
    before = _crash(place, facts)
    say.step("crash", f"SIGKILL to oms when {facts.requests_before_kill} requests had reached the exchange")
    known = f"{facts.confirmed} confirmed, {facts.in_doubt} in doubt, {facts.queued} not sent yet"
    say.step("restart", f"ledger: {len(before)} intents, {known}")
    place.oms("submit")
    place.oms("reconcile")
    _learn(facts, before, place.listed())
    say.step(
        "resolve",
        f"{facts.in_doubt} in doubt: {facts.found_live} found live, "
        f"{facts.never_arrived} never arrived (sent again, same id)",
    )
    again = place.oms("submit", str(place.orders))
    facts.recorded_again = again.answer["recorded"]
    say.step("again", f"the same file once more: {again.answer['preexisting']} known, {facts.recorded_again} placed")
    rows = place.listed()
    facts.intents, facts.exchange_orders = tally(place.ledger, place.exchange)
    findings = judge(place.ledger, place.exchange, is_settled=True)
    facts.findings = [each.sentence for each in findings] + list(_short(facts))
    return rows


def _file_lines() -> Iterator[str]:
    yield "ticker,action,side,count,price"
    for row in range(1, ROWS + 1):
        ticker = TICKERS[row % len(TICKERS)]
        action = "sell" if row % 5 == 0 else "buy"
        side = "no" if row % 3 == 0 else "yes"
        # Every other order asks for what nobody gives and rests, the others meet what rests there and trade.
        is_patient = row % 2 == 0
        price = ("0.97" if is_patient else "0.10") if action == "sell" else ("0.03" if is_patient else "0.90")
        yield f"{ticker},{action},{side},{row},{price}"


def _faults(ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """What goes wrong, by client_order_id and each once, so that a second attempt goes through."""
    lost = [(row, {"kind": "drop", "commit": commits}) for row, commits in LOST_ANSWERS.items()]
    hanging = [(row, {"kind": "hang", "commit": commits, "ms": 60_000}) for row, commits in HANGING.items()]
    return [
        {"match": {"method": "POST", "client_order_id": f"^{ids[row - 1]}$"}, "fault": fault}
        for row, fault in lost + hanging
    ]


def _crash(place: "Playground", facts: Facts) -> "list[OrderRecord]":
    """Submit, kill in the middle; the ledger's orders as the dead process left them."""
    from oms.cli.playground import DemoFailed, wait_until
    from oms.lab.judge import arrived

    with place.start("submit", str(place.orders)) as process:
        try:
            wait_until(
                lambda: len(arrived(place.exchange)) >= KILL_AFTER or process.poll() is not None,
                f"{KILL_AFTER} requests at the exchange",
            )
            if process.returncode is not None:
                raise DemoFailed(f"oms ended by itself ({process.returncode}) before it could be killed")
            facts.requests_before_kill = len(arrived(place.exchange))
            wait_until(lambda: _is_settled(place.listed()), "the answers so far in the ledger")
        finally:
            _end(process)
    before = place.listed()
    counts = _count(before)
    facts.confirmed = counts["accepted"]
    facts.in_doubt = counts["on_wire"] + counts["in_doubt"]
    facts.queued = counts["queued"]
    return before


def _is_settled(orders: "Sequence[OrderRecord]") -> bool:
    """Whether every answer there was is in the ledger: nothing moves any more until an answer comes."""
    counts = _count(orders)
    unanswered = sum(row <= ANSWERED for row in LOST_ANSWERS)
    # One command is claimed ahead of each sender.
    return (counts["accepted"], counts["in_doubt"], counts["on_wire"]) == (
        ANSWERED - unanswered,
        unanswered,
        2 * SENDERS,
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


def _count(orders: "Sequence[OrderRecord]") -> dict[str, int]:
    states = [order.state for order in orders]
    return {state: states.count(state) for state in ("accepted", "on_wire", "in_doubt", "queued")}


def _learn(facts: Facts, before: "Sequence[OrderRecord]", after: "Sequence[OrderRecord]") -> None:
    attempts = {order.client_order_id: order.attempts for order in after}
    doubtful = [order for order in before if order.state in ("on_wire", "in_doubt")]
    facts.found_live = sum(attempts[order.client_order_id] == order.attempts for order in doubtful)
    facts.never_arrived = len(doubtful) - facts.found_live


def _short(facts: Facts) -> Iterator[str]:
    if not facts.orders == facts.intents == facts.exchange_orders:
        yield f"counted: {facts.orders} orders, {facts.intents} intents, {facts.exchange_orders} at the exchange"
    if facts.recorded_again:
        yield f"again: the same file recorded {facts.recorded_again} orders anew"
    if not facts.in_doubt:
        yield "crash: nothing was in doubt after the kill, so nothing was proven"


def _show(say: _Story, rows: "Sequence[OrderRecord]", facts: Facts, passed: bool, seconds: str, keep: bool) -> None:
    if rows:
        say.line()
        _show_orders(say, rows)
        say.line()
    if passed:
        say.step("check", f"{facts.intents} intents = {facts.exchange_orders} exchange orders, 0 duplicates, 0 lost,")
        say.step("", "every price, count, trade and position the same in both files")
    for finding in facts.findings[:FINDINGS_SHOWN]:
        for number, line in enumerate(wrap(terminal.plain(finding), 70, break_on_hyphens=False)):
            say.step("" if number else "wrong", line)
    if len(facts.findings) > FINDINGS_SHOWN:
        say.step("", f"and {len(facts.findings) - FINDINGS_SHOWN} more")
    say.line(f"{'PASS' if passed else 'FAIL'} in {seconds} s")
    if passed:
        say.line()
        for line in _next(rows, keep):
            say.line(line)


def _show_orders(say: _Story, rows: "Sequence[OrderRecord]") -> None:
    from oms.cli.columns import fields_of, trade_text

    say.line(f"  {'ROW':>3}  {'TICKER':<13}  {'ORDER':<24}  {'FILLED':>6}  {'STATUS':<8}  SENT")
    for order in rows:
        if order.row in SHOWN_ROWS:
            sent = {1: "once", 2: "twice"}.get(order.attempts, f"{order.attempts} times")
            what = f"{order.row:>3}  {order.ticker:<13}  {trade_text(fields_of(order)):<24}"
            say.line(f"  {what}  {order.fill_count:>6}  {order.status:<8}  {sent}")


def _next(rows: "Sequence[OrderRecord]", keep: bool) -> Iterator[str]:
    oms = _program()
    told = next(order for order in rows if order.row == max(HANGING))
    yield f"next:  export OMS_CONFIG={DIRECTORY}/config.toml"
    yield f"       {oms} orders"
    yield f"       {oms} why {told.client_order_id}"
    yield f"       {oms} help order-states"
    if keep:
        yield f"       {oms} markets          the exchange stays up for 10 quiet minutes"


def _program() -> str:
    """How the reader can call the oms that is running now."""
    script = Path(sys.executable).parent / "oms"
    on_path = shutil.which("oms")
    if on_path is not None and Path(on_path) == script:
        return "oms"
    with suppress(ValueError):
        return str(script.relative_to(Path.cwd()))
    return str(script)


def _answer(invocation: Invocation, facts: Facts, passed: bool, seconds: str) -> None:
    fields: dict[str, Any] = {"ok": passed, "verdict": "PASS" if passed else "FAIL", "seconds": seconds}
    if not passed:
        hint = f"the files of both sides are in {DIRECTORY}"
        fields["error"] = error_fields("demo_failed", facts.findings[0], hint)
    invocation.answer.done({**fields, "environment": "sandbox", "directory": str(DIRECTORY), **asdict(facts)})
