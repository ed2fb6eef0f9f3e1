"""`oms submit`: rows of a file, one order by flags, a batch once more, or what is pending."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oms.cli import answer as stdout
from oms.cli import terminal
from oms.cli.invocation import Invocation, pass_invocation, stdin_bytes
from oms.cli.options import Command
from oms.cli.outcome import Count, answer_run, counted, duration_text, worth

if TYPE_CHECKING:
    from oms.app import Oms, Preview, ResumePrompt
    from oms.records import SubmitReport

MOST_S = 31_536_000  # a year, as in the configuration: a longer time to live is a mistake
# Flag and the field of a row it fills: raw text, which intake checks by the same rules as a file's.
ROW_FLAGS = {
    "--ticker": "ticker",
    "--action": "action",
    "--side": "side",
    "--count": "count",
    "--price": "price",
    "--yes-price": "yes_price",
    "--no-price": "no_price",
    "--yes-price-dollars": "yes_price_dollars",
    "--no-price-dollars": "no_price_dollars",
    "--time-in-force": "time_in_force",
    "--client-order-id": "client_order_id",
    "--expiration-time": "expiration_time",
    "--subaccount": "subaccount",
    "--self-trade-prevention-type": "self_trade_prevention_type",
    "--submit-before": "submit_before",
    "--order-group": "order_group",
    "--tag": "tag",
}
ROW_SWITCHES = {"--post-only": "post_only", "--reduce-only": "reduce_only"}
FLAG_HELP = {
    "--ticker": "Market, such as KXHIGHNY-26NOV22-T50.",
    "--action": "buy or sell.",
    "--side": "yes or no with --action; else bid or ask of the YES book.",
    "--count": "Contracts; 2 decimals at most.",
    "--price": "Dollars of the side named, such as 0.56.",
    "--yes-price": "Cents of YES.",
    "--no-price": "Cents of NO.",
    "--time-in-force": "good_till_canceled (default), immediate_or_cancel or fill_or_kill.",
    "--client-order-id": "Your own id; else oms derives one.",
    "--expiration-time": "When the exchange shall end the order.",
    "--submit-before": "When it is too late to send it.",
    "--order-group": "Order group, by name or id; beside FILE for all rows without one.",
    "--tag": "A word of your own, kept with the order.",
}


def _row_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag, field in reversed(ROW_SWITCHES.items()):
        command = click.option(flag, field, is_flag=True, default=None)(command)
    for flag, field in reversed(ROW_FLAGS.items()):
        names = (flag, "--tif") if field == "time_in_force" else (flag,)
        command = click.option(*names, field, metavar="TEXT", help=FLAG_HELP.get(flag))(command)
    return command


@click.command(cls=Command, short_help="Record orders, then send each of them once.")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--batch", metavar="NAME", help="Name of the batch: the same name and rows are the same orders.")
@click.option(
    "--ttl", metavar="S", type=click.IntRange(0, MOST_S), help="Seconds after which an unsent order is withdrawn."
)
@click.option("--dry-run", is_flag=True, help="Show the rows as they would be recorded; no key, no network, no ledger.")
@click.option("--no-wait", is_flag=True, help="Record and return at once when another process is sending.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--retry", metavar="BATCH", help="Record again what of BATCH was rejected or unsent, under new ids.")
@_row_flags
@pass_invocation
def submit(
    invocation: Invocation,
    /,
    file: str | None,
    batch: str | None,
    ttl: int | None,
    dry_run: bool,
    no_wait: bool,
    yes: bool,
    retry: str | None,
    **flags: Any,
) -> int:
    """Record orders, then send each of them once.

    FILE is .csv, .jsonl or .json; - reads any of these from standard input; flags say one order. Without any of them,
    send what is pending from earlier runs. Running the same file again places nothing twice;
    an order by flags is a new one each time, unless --client-order-id or --batch names it.
    """
    row = {field: value for field, value in flags.items() if value is not None}
    group = row.pop("order_group", None) if file is not None and set(row) == {"order_group"} else None
    _refuse_mixtures(file=file, row=row, retry=retry, batch=batch, ttl=ttl, dry_run=dry_run)
    if dry_run:
        return _dry_run(invocation, file, row, batch, group)
    with invocation.run() as oms:
        with invocation.notes.progress() as progress:
            if file is not None:
                call = {"batch": batch, "order_group": group, "ttl_s": ttl, "wait": not no_wait, "progress": progress}
                report = _submit_file(invocation, oms, file, yes, **call)
            elif row:
                report = _submit_row(oms, row, batch=batch, ttl_s=ttl, wait=not no_wait, progress=progress)
            elif retry is not None:
                _ask_retry(invocation, oms, retry, yes)
                report = oms.retry(retry, ttl_s=ttl, wait=not no_wait, progress=progress)
            else:
                report = oms.drain(confirm=_resume_question(invocation, yes), wait=not no_wait, progress=progress)
        return answer_run(invocation, oms, report)


def _refuse_mixtures(
    *, file: str | None, row: Mapping[str, Any], retry: str | None, batch: str | None, ttl: int | None, dry_run: bool
) -> None:
    sources = [name for name, given in (("FILE", file), ("flags of one order", row), ("--retry", retry)) if given]
    if len(sources) > 1:
        raise click.UsageError(f"{' and '.join(sources)} cannot be combined")
    if dry_run and not (file or row):
        raise click.UsageError("--dry-run needs FILE or the flags of one order")
    if batch is not None and not (file or row):
        raise click.UsageError("--batch names the batch of FILE or of the flags of one order")
    if ttl is not None and not sources:
        raise click.UsageError("--ttl is for orders being recorded; what is pending keeps its own")
    if batch is not None and not batch.strip():
        raise click.UsageError("--batch must not be empty")


def _submit_file(invocation: Invocation, oms: "Oms", file: str, yes: bool, **call: Any) -> "SubmitReport":
    piped = file == "-"

    def confirm(preview: "Preview") -> bool:
        question = f"Place {preview.count} orders costing ${preview.cost} in {preview.environment}?"
        invocation.confirm(question, yes=yes, piped_input=piped)
        return True

    resume = _resume_question(invocation, yes)
    if piped:
        return oms.submit_file(None, stdin=stdin_bytes(invocation), confirm=confirm, resume=resume, **call)
    return oms.submit_file(Path(file), confirm=confirm, resume=resume, **call)


def _submit_row(oms: "Oms", row: Mapping[str, Any], **call: Any) -> "SubmitReport":
    with flags_named():
        return oms.submit([row], **call)


@contextmanager
def flags_named() -> Iterator[None]:
    """Within: what is wrong with the one row is said of the flags that made it."""
    from oms.errors import InputError, Problem

    flags = {field: flag for flag, field in (ROW_FLAGS | ROW_SWITCHES).items()}
    try:
        yield
    except InputError as wrong:
        if not wrong.problems:
            raise
        problems = tuple(Problem(None, flags.get(each.field, each.field), each.reason) for each in wrong.problems)
        raise InputError(
            "the order given by flags is not valid; nothing was recorded", hint=wrong.hint, problems=problems
        ) from wrong


def _ask_retry(invocation: Invocation, oms: "Oms", batch: str, yes: bool) -> None:
    if invocation.environment != "prod":
        return
    again = [order for status in ("rejected", "unsent") for order in oms.orders(batch=batch, status=status)]
    again = [order for order in again if order.reason != "retried"]
    if len(again) > 1:
        invocation.confirm(
            f"Place {len(again)} orders of batch {batch} costing ${worth(again)} again in prod?", yes=yes
        )


def _resume_question(invocation: Invocation, yes: bool) -> "Callable[[ResumePrompt], bool]":
    def confirm(prompt: "ResumePrompt") -> bool:
        age = duration_text(prompt.oldest_age_s)
        question = f"Send {prompt.count} pending orders, the oldest recorded {age} ago, in {prompt.environment}?"
        orders = counted(prompt.count, "pending order")
        invocation.notes.say(f"{orders}, the oldest recorded {age} ago, will be sent in {prompt.environment}")
        if yes or prompt.environment != "prod":
            return True
        with invocation.signals.asking():
            # What is pending was agreed to before, so a script that cannot be asked goes on.
            return terminal.ask(question, invocation.signals.read) is not False

    return confirm


def _dry_run(
    invocation: Invocation, file: str | None, row: Mapping[str, Any], batch: str | None, group: str | None
) -> int:
    from oms.cli.columns import ORDERS

    with invocation.oms() as oms:
        if file is None:
            with flags_named():
                orders: Iterable[object] = oms.preview([row])
        elif file == "-":
            orders = oms.preview_file(None, stdin=stdin_bytes(invocation), batch=batch, order_group=group)
        else:
            orders = oms.preview_file(Path(file), batch=batch, order_group=group)
        count = Count(orders)
        left_out = invocation.answer.rows(ORDERS, count, stdout.TERMINAL_ROWS)
        if left_out:
            invocation.notes.say(f"{left_out} more rows not shown; -o jsonl shows all")
        invocation.answer.done({"ok": True, "dry_run": True, "count": count.seen})
        are = "is" if count.seen == 1 else "are"
        invocation.notes.say(f"dry run: {counted(count.seen, 'order')} {are} valid; nothing was recorded or sent")
    return 0
