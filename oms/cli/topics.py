"""`oms help`: a command's help, or a text on what all commands share."""

import click

from oms.cli import answer as stdout
from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command

EXIT_CODES = """\
Exit codes, the same for every command. When several apply, the first of 3, 4, 130, 143, 7, 5, 6, 1 is given.

    0    done
    1    failed, and nothing of it is live at the exchange
    2    usage, input or configuration; nothing was sent
    3    something is in doubt (or parked): run `oms reconcile`, then `oms orders --in-doubt`
    4    credentials are missing, unreadable, too open or refused
    5    refused by the exchange or by a limit
    6    not sent, try again: exchange paused or out of reach, ledger busy, sending halted
    7    differences found (reconcile, verify, doctor, db check)
    130  interrupted by Ctrl-C; 143 by SIGTERM. What is queued stays queued: `oms submit` sends it
"""

ENVIRONMENT = """\
Environment variables. A flag beats a variable, a variable beats the file, the file beats the default.

    OMS_CONFIG                    the configuration file (--config); see `oms config path`
    OMS_ENVIRONMENT               sandbox (default), demo or prod (--env)
    OMS_SECTION__KEY              any setting of the file, such as OMS_SUBMIT__CONCURRENCY or OMS_LEDGER__URL
    KALSHI_API_KEY_ID             key id, where the configuration names none
    KALSHI_PRIVATE_KEY_PATH       path of its PEM file, readable by you alone
    XDG_CONFIG_HOME               oms/config.toml is read there (else ~/.config)
    XDG_STATE_HOME                one ledger per environment is kept in oms/ there (else ~/.local/state)
    NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, TERM=dumb   colour: NO_COLOR wins, then the other two, then the terminal
    OMS_DEBUG=1                   a traceback with an internal error

`oms config show` prints every setting with the place it comes from.
"""

ORDER_STATES = """\
Where an order can stand, and who moves it on.

    pending    recorded; the exchange has not shown it yet. Waiting for its turn, on the wire, or in doubt
    resting    in the exchange's book
    executed   filled whole
    canceled   ended at the exchange before it was filled whole; fill_count says how much was
    rejected   the exchange said no; `reason` and `detail` say why
    unsent     it never reached the exchange and never will: expired, withdrawn, halted or proven absent

In doubt is no status but a mark: a request left and nobody knows what became of it. Only evidence from the exchange
ends it: found there by its exact client_order_id, or proven absent by a complete listing taken late enough.
Until then the order counts as live. `oms reconcile` looks for evidence, `oms why ORDER` shows what there is.
Parked means that the evidence conflicts; `oms resolve ORDER` records a person's decision.
Late means that it turned up after its absence was concluded.
"""

INPUT = """\
A row of input: CSV with a header, JSON lines, a JSON list, or the flags of `oms submit`.

    ticker, count                 both needed
    action, side, price           buy or sell, yes or no, dollars of that side; instead of price:
                                  yes_price or no_price (cents), yes_price_dollars or no_price_dollars
    side, price                   without action: bid or ask, dollars of YES
    client_order_id               your own id, 1 to 64 of A-Z a-z 0-9 _ -; else oms derives one
    time_in_force                 good_till_canceled (default), immediate_or_cancel, fill_or_kill
    post_only, reduce_only, expiration_time, subaccount, self_trade_prevention_type, submit_before,
    order_group, tag

A batch is all or nothing: with one bad row nothing is recorded or sent, and every bad row is named.
The same file again is the same orders: nothing is placed twice. --batch NAME says that they are meant anew.
"""

OUTPUT = """\
stdout carries the answer, stderr everything else.

    -o table    on a terminal a table (newest 100 rows); on a pipe tab-separated text, nothing cut
    -o json     one object: {"orders": [...], ...}; failures too: {"ok": false, "error": {"code", "message", "hint"}}
    -o jsonl    one record a line
    -o csv      with a header; text that a spreadsheet would take for a formula is led by an apostrophe

--json is -o json. Prices, counts and fees are the exchange's decimal strings, times RFC 3339 UTC, unknown is null.
Fields are added over time, never changed. Completion: eval "$(_OMS_COMPLETE=bash_source oms)" (or zsh_, fish_source).
"""

TOPICS = {
    "exit-codes": EXIT_CODES,
    "environment": ENVIRONMENT,
    "order-states": ORDER_STATES,
    "input": INPUT,
    "output": OUTPUT,
}


@click.command("help", cls=Command, short_help="Explain a command or a topic such as exit-codes.")
@click.argument("words", metavar="[TOPIC]", nargs=-1)
@click.pass_context
@pass_invocation
def topics(invocation: Invocation, context: click.Context, words: tuple[str, ...]) -> None:
    """Explain a command or a topic such as exit-codes."""
    root = context.find_root()
    if not words:
        names = "".join(f"    oms help {topic}\n" for topic in TOPICS)
        text = f"{root.command.get_help(root)}\n\nTopics:\n{names}"
    elif len(words) == 1 and words[0] in TOPICS:
        text = TOPICS[words[0]]
    else:
        text = _command_help(root, words)
    if invocation.answer.form == "table":
        stdout.write_text(text if text.endswith("\n") else f"{text}\n")
    else:
        invocation.answer.done({"ok": True, "topic": " ".join(words), "text": text})


def _command_help(root: click.Context, words: tuple[str, ...]) -> str:
    context = root
    for word in words:
        group = context.command
        found = group.get_command(context, word) if isinstance(group, click.Group) else None
        if found is None:
            raise click.UsageError(f"no command or topic {' '.join(words)!r}; topics are {', '.join(TOPICS)}")
        context = click.Context(found, info_name=word, parent=context)
    return context.command.get_help(context)
