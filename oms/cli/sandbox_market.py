"""`oms sandbox market`: the sandbox's markets, and what can be made to happen in them."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Group
from oms.errors import OmsError

if TYPE_CHECKING:
    from oms.sandbox.remote import Remote

DIRECTORY: dict[str, Any] = {
    "metavar": "DIR",
    "type": click.Path(file_okay=False, path_type=Path),
    "help": "The sandbox of this directory (else the one oms itself uses).",
}
VALUE = re.compile(r"0(\.[0-9]{1,4})?|1(\.0{1,4})?", re.ASCII)  # 0 to 1 dollar
STATUSES = ("unopened", "open", "paused", "closed", "settled")


class SandboxFailed(OmsError):
    """The sandbox could not start."""

    code = "sandbox_failed"


class SandboxRefused(OmsError):
    """The sandbox would not do it. Nothing changed there."""

    code = "sandbox_refused"
    exit_code = 2


class SandboxMarket(msgspec.Struct, frozen=True, kw_only=True):
    """One market of the sandbox. Prices in dollars of YES."""

    ticker: str
    event: str
    status: str
    result: str | None
    settlement_value: str | None
    yes_bid: str
    yes_bid_size: str
    yes_ask: str
    yes_ask_size: str
    last_price: str
    volume: str
    open_interest: str
    close_time: str
    exchange_index: int
    grid: str
    title: str


def ask(invocation: Invocation, given: Path | None, question: "Callable[[Remote], dict[str, Any]]") -> dict[str, Any]:
    """What the sandbox answers; one that does not run is started, as oms does. Raises SandboxFailed, SandboxRefused."""
    from oms.sandbox.launch import NotStarted, launch
    from oms.sandbox.options import STATE_FILE
    from oms.sandbox.remote import Refused, Remote

    if given is not None and not (given / STATE_FILE).exists():
        raise SandboxRefused(f"there is no sandbox in {given}", hint="`oms sandbox serve --dir DIR` makes one")
    try:
        return question(Remote(launch(given or invocation.config.sandbox_dir)))
    except NotStarted as failed:
        raise SandboxFailed(str(failed)) from failed
    except Refused as refused:
        hint = invocation.command("sandbox", "market", "list") + " names the markets" if refused.status == 404 else ""
        raise SandboxRefused(f"the sandbox says: {refused}", hint=hint) from refused


@click.group(cls=Group, short_help="See its markets, and make things happen there.")
def market() -> None:
    """See the sandbox's markets, and make things happen there.

    TICKER is a market's, as `list` shows them. Prices are dollars of YES, from 0.01 to 0.99.
    """


@market.command("list", short_help="List its markets.")
@click.option("--status", type=click.Choice(STATUSES), help="Of this status.")
@click.option("--dir", **DIRECTORY)
@pass_invocation
def list_markets(invocation: Invocation, /, status: str | None, dir: Path | None) -> None:
    """List its markets, with their best prices, status and result."""
    from oms.cli.columns import Column, View, cell

    def column(name: str) -> Column:
        return Column(name, lambda fields: cell(fields[name]))

    query = {"limit": "1000"} if status is None else {"limit": "1000", "status": status}
    rows = ask(invocation, dir, lambda remote: remote.read("/markets", **query))["markets"]
    names = ("ticker", "status", "result", "yes_bid", "yes_ask", "last_price", "volume", "close_time", "title")
    view = View("markets", SandboxMarket, [column(name) for name in names])
    invocation.answer.rows(view, [_shown(row) for row in rows])
    invocation.answer.done({"ok": True})


@market.command(short_help="Show one market.")
@click.argument("ticker")
@click.option("--dir", **DIRECTORY)
@pass_invocation
def show(invocation: Invocation, /, ticker: str, dir: Path | None) -> None:
    """Show one market: status, result, best prices with their sizes, volume and open interest."""
    row = ask(invocation, dir, lambda remote: _market(remote, ticker))
    invocation.answer.done({"ok": True, **_fields(row)})


def _market(remote: "Remote", ticker: str) -> dict[str, Any]:
    from oms.sandbox.remote import Refused

    try:
        return dict(remote.read(f"/markets/{ticker}")["market"])
    except Refused as refused:
        if refused.status != 404:
            raise
        raise Refused(404, f"no market is called {ticker}") from refused


def _shown(row: dict[str, Any]) -> SandboxMarket:
    return SandboxMarket(
        ticker=row["ticker"],
        event=row["event_ticker"],
        status=row["status"],
        result=row["result"] or None,
        settlement_value=row["settlement_value_dollars"],
        yes_bid=row["yes_bid_dollars"],
        yes_bid_size=row["yes_bid_size_fp"],
        yes_ask=row["yes_ask_dollars"],
        yes_ask_size=row["yes_ask_size_fp"],
        last_price=row["last_price_dollars"],
        volume=row["volume_fp"],
        open_interest=row["open_interest_fp"],
        close_time=row["close_time"],
        exchange_index=row["exchange_index"],
        grid=row["price_level_structure"],
        title=row["title"],
    )


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return msgspec.structs.asdict(_shown(row))


def _change(invocation: Invocation, given: Path | None, ticker: str, change: dict[str, Any]) -> None:
    """Make one change, and answer the market as it is then."""

    def question(remote: "Remote") -> dict[str, Any]:
        _market(remote, ticker)  # so that a mistyped one is told as that
        remote.control(change)
        return _fields(_market(remote, ticker))

    invocation.answer.done({"ok": True, **ask(invocation, given, question)})


@market.command(short_help="Stop its trading: creates and amends are refused.")
@click.argument("ticker")
@click.option("--dir", **DIRECTORY)
@pass_invocation
def pause(invocation: Invocation, /, ticker: str, dir: Path | None) -> None:
    """Stop the trading of one market: creates and amends are refused, what rests stays."""
    _change(invocation, dir, ticker, {"market": {"ticker": ticker, "status": "paused"}})


@market.command(short_help="Let it trade (again).")
@click.argument("ticker")
@click.option("--dir", **DIRECTORY)
@pass_invocation
def resume(invocation: Invocation, /, ticker: str, dir: Path | None) -> None:
    """Let a market trade (again)."""
    _change(invocation, dir, ticker, {"market": {"ticker": ticker, "status": "open"}})


@market.command(short_help="Close it: what rests is canceled.")
@click.argument("ticker")
@click.option("--in", "in_s", metavar="S", type=click.IntRange(min=1), help="By itself, so many seconds from now.")
@click.option("--dir", **DIRECTORY)
@pass_invocation
def close(invocation: Invocation, /, ticker: str, in_s: int | None, dir: Path | None) -> None:
    """Close a market: what rests is canceled. It can still be settled, or resumed."""
    turn = {"status": "closed"} if in_s is None else {"close_ts": int(time.time()) + in_s}
    _change(invocation, dir, ticker, {"market": {"ticker": ticker, **turn}})


def _result(text: str) -> dict[str, str]:
    if text in ("yes", "no"):
        return {"result": text}
    if VALUE.fullmatch(text) is None:
        raise click.UsageError(f"{text} is no result: say yes, no, or a value in dollars such as 0.37")
    return {"result": "scalar", "value": text}


@market.command(short_help="Tell its result; nothing is paid yet.")
@click.argument("ticker")
@click.argument("result", metavar="yes|no|VALUE")
@click.option("--dir", **DIRECTORY)
@pass_invocation
def determine(invocation: Invocation, /, ticker: str, result: str, dir: Path | None) -> None:
    """Close a market and tell its result: yes, no, or what a YES contract is worth in dollars. Nothing is paid yet."""
    _change(invocation, dir, ticker, {"market": {"ticker": ticker, "status": "determined", **_result(result)}})


@market.command(short_help="Pay its positions, for good.")
@click.argument("ticker")
@click.argument("result", metavar="[yes|no|VALUE]", required=False)
@click.option("--dir", **DIRECTORY)
@pass_invocation
def settle(invocation: Invocation, /, ticker: str, result: str | None, dir: Path | None) -> None:
    """Settle a market: what rests is canceled, positions are paid, and nothing brings it back.

    The result is yes, no, or what a YES contract is worth in dollars (0.37); it may be left out once determined.
    """

    def question(remote: "Remote") -> dict[str, Any]:
        if not _market(remote, ticker)["result"] and result is None:
            raise click.UsageError("say how it settles: yes, no, or a value in dollars such as 0.37")
        given = {} if result is None else _result(result)
        remote.control({"market": {"ticker": ticker, "status": "settled", **given}})
        return _fields(_market(remote, ticker))

    invocation.answer.done({"ok": True, **ask(invocation, dir, question)})


@market.command(short_help="Fill a resting order of yours.")
@click.argument("ticker")
@click.option("--order", metavar="ID", help="This one, by order_id or client_order_id (else the first in turn).")
@click.option("--count", metavar="N", default="", help="So many contracts (else all that rest).")
@click.option("--dir", **DIRECTORY)
@pass_invocation
def trade(invocation: Invocation, /, ticker: str, order: str | None, count: str, dir: Path | None) -> None:
    """Fill a resting order of yours: a stranger trades with it at its price, past all that rests in front of it."""

    def question(remote: "Remote") -> dict[str, Any]:
        _market(remote, ticker)
        answer = remote.control({"fill": {"ticker": ticker, "order": order, "count": count}})
        return {"filled_order_id": answer["filled_order_id"], **_fields(_market(remote, ticker))}

    invocation.answer.done({"ok": True, **ask(invocation, dir, question)})


@market.command(short_help="Let a stranger's order rest there.")
@click.argument("ticker")
@click.argument("side", type=click.Choice(["bid", "ask"]))
@click.argument("price")
@click.argument("count")
@click.option("--dir", **DIRECTORY)
@pass_invocation
def quote(invocation: Invocation, /, ticker: str, side: str, price: str, count: str, dir: Path | None) -> None:
    """Let a stranger's order rest: a bid buys YES, an ask sells it. It may not trade at once."""
    told = {"ticker": ticker, "side": side, "price": price, "count": count}
    _change(invocation, dir, ticker, {"quote": told})
