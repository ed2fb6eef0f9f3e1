"""The invariants by name, and who looks after each: a rule of the judge, or a test where one look cannot tell.

`judge` asks every rule that has what it needs. docs/reliability.md shows both tables; `docs/write_invariants.py` writes
them there.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oms.lab.judge import actions, agreement, history, records, wire
from oms.lab.judge.book import Raw, read_book
from oms.lab.judge.case import Case, Said, prepare
from oms.lab.judge.finding import Finding
from oms.lab.judge.reading import read_ledger
from oms.lab.judge.told import Told

_DAMAGE = "keep the file, it is evidence; restore a backup with `oms db restore`"
_BEHIND = "run `oms reconcile`, then `oms verify` again"
_BREACH = "send nothing more; keep both sides as they are and look with `oms why`"
_STRANGE = "name the exchange and the key that the ledger belongs to, or its own ledger with ledger.url"
_UNFINISHED = "run `oms reconcile`, then `oms submit`"


@dataclass(frozen=True, slots=True)
class Invariant:
    """A promise by the name under which the laboratory knows it."""

    name: str
    title: str
    tests: tuple[str, ...] = ()  # that look after what one look cannot see: "file::test", under tests/
    note: str = ""


_SENDS = ("lab/power/test_power_sends.py::test_every_send_is_on_the_disk_before_it_leaves",)
_BATCHES = (
    "ledger/test_ledger_record.py::test_the_same_batch_again_changes_nothing_and_is_told_apart",
    "ledger/test_ledger_record.py::test_one_key_with_other_content_is_refused_by_name",
    "crash/test_crash_recording.py::test_a_recording_that_was_killed_leaves_all_or_nothing",
)
_DOUBTS = (
    "ledger/test_ledger_exposure.py::test_an_order_in_doubt_counts_as_one_that_rests",
    "ledger/test_ledger_exposure.py::test_a_pending_amend_counts_as_the_worse_of_both_terms",
)
_TROUBLE = (
    "submitter/test_submitter_run.py::test_a_ledger_that_fails_ends_the_run_and_what_no_sender_had_begun_is_not_sent",
    "crash/test_crash_endings.py::test_a_full_disk_ends_the_run_before_anything_else_is_sent",
)
_HALTS = (
    "ledger/test_ledger_claim.py::test_a_halt_stops_every_claim_and_still_records_answers",
    "ledger/test_ledger_claim.py::test_a_ledger_whose_file_was_replaced_claims_nothing_and_stays_unusable",
    "ledger/test_ledger_open.py::test_the_ledger_of_another_environment_is_refused_by_name",
)
_RUNS = (
    "ledger/test_ledger_claim.py::test_a_run_that_lost_its_epoch_claims_and_records_nothing_more",
    "crash/test_crash_processes.py::test_when_the_sender_is_killed_one_that_waits_takes_over",
)
_SECRETS = ("contract/test_contract_places.py::test_nothing_secret_is_shown_by_any_command_however_talkative",)
_LOSSES = ("crash/test_crash_ledger_loss.py::test_a_ledger_lost_or_gone_back_in_mid_batch_places_nothing_twice",)
_MIGRATIONS = ("ledger/test_migrations.py::test_a_kill_at_any_statement_leaves_the_old_schema_and_the_retry_passes",)
_RESTARTS = (
    "contract/test_contract_reconcile.py::test_nothing_to_do_is_exit_0_and_doing_it_again_changes_nothing",
    "contract/test_contract_submit.py::test_the_same_file_again_places_nothing_and_says_when_it_was_placed",
)
_BAD = (
    "contract/test_answers_batch.py::test_items_of_one_batch_that_fill_and_fail_and_rest_are_told_apart",
    "ledger/test_ledger_implausible.py::test_an_order_id_of_another_order_is_doubt_and_rolls_nothing_back",
)
_SEEDS = ("lab/test_sim_campaign.py::test_a_seed_is_the_same_campaign_in_every_process",)
_LIVES = ("lab/test_sim_campaign.py::test_some_campaigns_of_crashes_and_faults_end_with_ledger_and_exchange_at_one",)

INVARIANTS = (
    Invariant("I1", "nothing is sent that was not on record first", _SENDS),
    Invariant("I2", "one intent has one id, for ever"),
    Invariant("I3", "one intent is never two orders"),
    Invariant("I4", "no order of ours is unknown to the ledger"),
    Invariant("I5", "every attempt of an order sends the same bytes"),
    Invariant("I6", "nothing is sent again once its outcome is known"),
    Invariant("I7", "orders in doubt count fully towards the limits", _DOUBTS),
    Invariant("I8", "doubt ends by evidence, never by time, error or restart"),
    Invariant("I9", "what is accepted has the exchange's own proof"),
    Invariant("I10", "states move only where the page of states allows; fill_count never falls"),
    Invariant("I11", "every trade counts once"),
    Invariant("I12", "the rows follow from the events, and the chain of events is whole"),
    Invariant("I13", "what was told is on the disk"),
    Invariant("I14", "a batch is recorded whole and once", _BATCHES),
    Invariant("I15", "nothing is sent after trouble with the ledger", _TROUBLE),
    Invariant(
        "I16", "nothing is sent while halted, past its time, from a replaced file, or to another exchange", _HALTS
    ),
    Invariant("I17", "one run sends at a time", _RUNS),
    Invariant("I18", "no secret in any output or file", _SECRETS),
    Invariant("I19", "money and counts are exact"),
    Invariant("I20", "a ledger that went back in time is noticed", _LOSSES),
    Invariant("I21", "an order made elsewhere is never taken for ours"),
    Invariant("I22", "the tables are of one known revision", _MIGRATIONS),
    Invariant("I23", "when faults stop, everything settles and both sides agree", _LIVES),
    Invariant("I24", "no tight loop"),
    Invariant("I25", "a restart with nothing to do does nothing", _RESTARTS),
    Invariant("I26", "one bad order stops no other", _BAD),
    Invariant("I27", "one seed gives one trace", _SEEDS),
)


_THINGS = {
    "there": "orders at the exchange",
    "epochs": "runs",
    "trades": "trades at the exchange",
    "fills": "trades",
    "told": "answers",
    "action_events": "events of actions",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that the judge looks at for an invariant."""

    invariant: str
    name: str
    look: Callable[[Case], Said]
    of: str  # what is counted: orders, events, ...
    then: str  # what a person does about a breach
    # ledger, clock (never set), told (what callers were), account (an exchange), exchange (of the same account), log
    # (of requests), record (of them), level (both sides of one moment), quiet
    needs: str = "ledger"

    @property
    def things(self) -> str:
        """What is counted, as a person says it."""
        return _THINGS.get(self.of, self.of)

    def is_asked(self, case: Case) -> bool:
        """Whether there is what the rule needs."""
        is_there = case.book is not None and case.is_one_account
        has_log = is_there and case.exchange.requests is not None
        has = {
            "ledger": True,
            "account": case.book is not None,
            "exchange": is_there,
            "log": has_log,
            "record": has_log and case.is_complete,
            "level": is_there and case.is_level,
            "quiet": case.is_quiet,
            "clock": case.is_timely,
            "told": bool(case.told),
        }
        return has[self.needs]


RULES = (
    Rule("I22", "revision and kind of the file", records.schema_is_one_and_known, "files", _DAMAGE),
    Rule("I20", "the mark beside the ledger", records.ledger_is_no_older_than_its_mark, "files", _BEHIND),
    Rule("I12", "chains of events", history.chains_are_intact, "events", _DAMAGE),
    Rule("I12", "rows against events", history.rows_follow_from_events, "orders", _DAMAGE),
    Rule("I19", "whole numbers", records.numbers_are_whole, "events", _DAMAGE),
    Rule("I14", "whole batches", records.batches_are_whole, "batches", _DAMAGE),
    Rule("I2", "ids of intents", records.one_id_is_one_intent, "orders", _DAMAGE),
    Rule("I5", "recorded requests", records.requests_are_as_recorded, "commands", _DAMAGE),
    Rule("I1", "batches in recording", records.nothing_is_sent_of_half_a_batch, "commands", _BREACH),
    Rule("I6", "attempts after an outcome", history.nothing_is_sent_after_its_outcome, "events", _BREACH),
    Rule("I8", "ends of doubt", history.doubt_ends_by_evidence, "events", _BREACH),
    Rule("I9", "proofs of acceptance", history.successes_have_proof, "orders", _BREACH),
    Rule("I21", "orders found under own ids", history.own_ids_are_no_proof_alone, "orders", _BREACH),
    Rule("I10", "moves of commands", history.moves_are_allowed, "events", _BREACH),
    Rule("I10", "status and fill_count", history.nothing_goes_back, "orders", _BREACH),
    Rule("I11", "trades of the ledger", history.trades_count_once, "fills", _DAMAGE),
    Rule("I17", "runs, one after another", history.one_run_sends_at_a_time, "epochs", _BREACH),
    Rule("I17", "runs, by their times", history.no_run_outlives_the_next, "epochs", _BREACH, "clock"),
    Rule("I16", "claims while halted", history.nothing_is_claimed_while_halted, "events", _BREACH, "clock"),
    Rule("I16", "claims past their time", history.nothing_is_claimed_past_its_time, "events", _BREACH),
    Rule("I13", "what callers were told", history.what_was_told_is_there, "told", _BREACH, "told"),
    Rule("I12", "chains of actions", actions.chains_are_intact, "action_events", _DAMAGE),
    Rule("I12", "actions against their events", actions.rows_follow_from_events, "actions", _DAMAGE),
    Rule("I10", "moves of actions", actions.moves_are_allowed, "action_events", _BREACH),
    Rule("I8", "ends of actions in doubt", actions.absence_is_fenced, "action_events", _BREACH),
    Rule("I16", "whose account both are", agreement.both_are_of_one_account, "there", _STRANGE, "account"),
    Rule("I3", "orders under one id", agreement.no_order_is_doubled, "there", _BREACH, "exchange"),
    Rule("I9", "orders that must be there", agreement.no_order_is_lost, "orders", _BREACH, "exchange"),
    Rule("I4", "orders that must be here", agreement.no_order_is_unknown, "there", _BREACH, "exchange"),
    Rule("I9", "order_ids", agreement.order_ids_agree, "orders", _BREACH, "exchange"),
    Rule("I21", "orders made elsewhere", agreement.no_stranger_is_adopted, "there", _BREACH, "exchange"),
    Rule("I9", "groups that must be there", actions.groups_are_there, "actions", _BREACH, "exchange"),
    Rule("I10", "fill_count on both sides", agreement.nothing_is_ahead_of_the_exchange, "orders", _BEHIND, "exchange"),
    Rule("I1", "requests that arrived", wire.every_request_was_claimed, "requests", _BREACH, "record"),
    Rule("I1", "actions that arrived", actions.every_request_was_claimed, "requests", _BREACH, "record"),
    Rule("I5", "bytes that arrived", wire.every_attempt_sends_the_same, "requests", _BREACH, "log"),
    Rule("I24", "requests in a second", wire.no_tight_loop, "requests", _BREACH, "log"),
    Rule("I8", "rejected and unsent orders", agreement.endings_are_true, "orders", _BEHIND, "level"),
    Rule("I23", "status and counts on both sides", agreement.orders_agree, "orders", _BEHIND, "level"),
    Rule("I19", "intents on both sides", agreement.intents_agree, "orders", _BEHIND, "level"),
    Rule("I11", "trades on both sides", agreement.trades_agree, "trades", _BEHIND, "level"),
    Rule("I23", "positions", agreement.positions_agree, "positions", _BEHIND, "level"),
    Rule("I23", "nothing left to do", agreement.nothing_is_left_to_do, "commands", _UNFINISHED, "quiet"),
    Rule("I23", "no action left to do", actions.nothing_is_left_to_do, "actions", _UNFINISHED, "quiet"),
)


@dataclass(frozen=True, slots=True)
class Checked:
    """One rule and what it found."""

    rule: Rule
    seen: int  # how many things it looked at
    findings: tuple[Finding, ...]


def examine(
    ledger: Path,
    exchange: Path | Raw | None,
    *,
    is_quiet: bool,
    is_level: bool,
    is_alone: bool,
    is_complete: bool = True,
    is_timely: bool = False,
    told: Sequence[Told] = (),
) -> list[Checked]:
    """Ask every rule that has what it needs, in the order of RULES.

    `is_quiet`: nothing may be left to do. `is_level`: both sides are of one moment and have to agree in everything.
    `is_alone`: nobody else uses the account. `is_complete`: the ledger was never lost, copied or restored, so every
    request that arrived is on its record. `is_timely`: the machine's clock was never set, so times on record can be
    compared. `told`: what callers were told of orders, before now. Both sides are only read, the exchange's first, so
    that what is placed meanwhile is not taken for unknown. Raises sqlite3.Error, OSError for a file that is not what it
    is said to be, ValueError for a body that is no answer of the exchange.
    """
    book = None if exchange is None else read_book(exchange)
    case = Case(read_ledger(ledger), book, is_level, is_quiet, is_alone, is_complete, is_timely, told)
    if not case.ledger.is_known:
        return [_ask(RULES[0], case)]
    prepare(case)
    return [_ask(rule, case) for rule in RULES if rule.is_asked(case)]


def judge(
    ledger: Path,
    exchange: Path | Raw | None,
    *,
    is_settled: bool,
    is_alone: bool = True,
    is_complete: bool = True,
    is_timely: bool = True,
    told: Sequence[Told] = (),
) -> list[Finding]:
    """Every breach of an invariant, the worst first; empty when all that can be seen from here holds.

    With `is_settled` nothing may be left to do and both sides have to agree in everything; without it only what must
    hold at any moment, in mid-crash too. Reads and raises as `examine` does.
    """
    checked = examine(
        ledger,
        exchange,
        is_quiet=is_settled,
        is_level=is_settled,
        is_alone=is_alone,
        is_complete=is_complete,
        is_timely=is_timely,
        told=told,
    )
    return by_weight(finding for each in checked for finding in each.findings)


# What was done twice or lost comes first, then what was said wrongly, then what merely differs.
_WEIGHT = ("I3", "I9", "I4", "I1", "I8", "I22", "I20", "I12", "I23")


def by_weight(findings: Iterator[Finding]) -> list[Finding]:
    """The findings, the worst first."""
    return sorted(
        findings, key=lambda each: _WEIGHT.index(each.invariant) if each.invariant in _WEIGHT else len(_WEIGHT)
    )


def _ask(rule: Rule, case: Case) -> Checked:
    try:
        found = tuple(Finding(rule.invariant, name, sentence) for name, sentence in rule.look(case))
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as exc:
        # Content that no oms writes must not keep the other rules from being asked, nor pass for content that holds.
        found = (Finding(rule.invariant, None, f"what is recorded cannot be judged: {type(exc).__name__}: {exc}"),)
    return Checked(rule, _count(rule.of, case), found)


def _count(of: str, case: Case) -> int:
    counted: dict[str, Collection[object]] = {
        "files": (case.ledger,),
        "requests": case.requests,
        "told": case.told,
        "there": case.book.orders if case.book is not None else (),
        "trades": case.book.trades if case.book is not None else (),
    }
    return len(counted[of] if of in counted else case.ledger[of])
